//! The packet: one order event of a session.

use crate::base::seq::Seq;
use core::fmt;

/// A ticker symbol: four bytes as they stand on the wire, left-justified and padded with spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub [u8; 4]);

impl Symbol {
    /// The symbol of a text, padded with spaces; `None` where it is longer than four characters or
    /// has one that a byte cannot hold (above U+00FF).
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [b' '; 4];
        let mut slots = bytes.iter_mut();
        for c in text.chars() {
            *slots.next()? = u8::try_from(u32::from(c)).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its bytes without the padding. A byte is the character of the same number, so bytes outside
    /// ASCII survive being written as text and read back.
    #[must_use]
    pub fn trimmed(&self) -> &[u8] {
        let padding = self.0.iter().rev().take_while(|&&byte| byte == b' ').count();
        &self.0[..self.0.len() - padding]
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trimmed().iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Which side of the book an order adds to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// `B` on the wire.
    Buy,
    /// `S` on the wire.
    Sell,
}

impl Side {
    /// The side's letter on the wire and in every format.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Self::Buy => b'B',
            Self::Sell => b'S',
        }
    }

    /// The side of a letter.
    #[must_use]
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'B' => Some(Self::Buy),
            b'S' => Some(Self::Sell),
            _ => None,
        }
    }
}

/// One order packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How much; the wire allows any 32-bit value.
    pub quantity: i32,
    /// At which price; the wire allows any 32-bit value and gives it no unit.
    pub price: i32,
    /// Its place in the session, from 1 (see [`Seq`]).
    pub sequence: Seq,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, side, quantity, price, sequence } = self;
        // For people's eyes: what a peer sends must not steer their terminal.
        let symbol = symbol.trimmed().escape_ascii();
        write!(f, "#{sequence} {symbol} {} {quantity} @ {price}", char::from(side.letter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn symbols_are_padded_and_trimmed() {
        assert_eq!(Symbol::from_text("AB"), Some(Symbol(*b"AB  ")));
        assert_eq!(Symbol::from_text("AB").unwrap().to_string(), "AB");
        assert_eq!(Symbol::from_text("").unwrap().to_string(), "");
        assert_eq!(Symbol::from_text("ABCDE"), None);
        assert_eq!(Symbol::from_text("é").map(|s| s.to_string()).as_deref(), Some("é"));
        assert_eq!(Symbol::from_text("€"), None);
    }
}
