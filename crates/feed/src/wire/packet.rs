//! Packet: one order event of a session.

use crate::base::seq::Seq;
use core::fmt;

/// Ticker symbol: four bytes as on the wire, left-justified and padded with spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub [u8; 4]);

impl Symbol {
    /// Returns the symbol of a text, padded with spaces; `None` if the text has more than four
    /// characters, or one above U+00FF.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [b' '; 4];
        let mut slots = bytes.iter_mut();
        for c in text.chars() {
            *slots.next()? = u8::try_from(u32::from(c)).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns the symbol's bytes without padding. Each byte stands for the character of the same
    /// number, so bytes outside ASCII survive a round trip through text.
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

/// Side of the book that an order adds to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// Buy, `B` on the wire.
    Buy,
    /// Sell, `S` on the wire.
    Sell,
}

impl Side {
    /// Returns the side's letter on the wire and in every format.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Self::Buy => b'B',
            Self::Sell => b'S',
        }
    }

    /// Returns the side of a letter; `None` if it is neither `B` nor `S`.
    #[must_use]
    pub const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'B' => Some(Self::Buy),
            b'S' => Some(Self::Sell),
            _ => None,
        }
    }
}

/// Order packet.
///
/// Concepts: [packet](crate#packet), [session](crate#session).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// Symbol that is traded.
    pub symbol: Symbol,
    /// Side of the order.
    pub side: Side,
    /// Quantity; the wire allows any 32-bit value.
    pub quantity: i32,
    /// Price; the wire allows any 32-bit value and defines no unit.
    pub price: i32,
    /// Sequence of the packet in its session, from 1 (see [`Seq`]).
    pub sequence: Seq,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, side, quantity, price, sequence } = self;
        // The text may be printed, so control characters of a peer must not reach the terminal.
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
