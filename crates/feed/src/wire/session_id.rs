//! Identifier of a session, as every protocol announces it.

use crate::base::rng::mix;
use core::fmt;

/// Identifier of a session: up to ten characters. Lines and recordings with different ids belong to
/// different sessions.
///
/// SoupBinTCP and MoldUDP64 have fields of ten characters. The exercise's protocol has four, so two
/// of its sessions may have the same id by chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionId([u8; Self::LEN]);

impl SessionId {
    /// Maximum length of an id in characters.
    pub const LEN: usize = 10;

    /// Length of an id in the exercise's protocol.
    pub const SHORT_LEN: usize = 4;

    /// Returns the id with these characters. Spaces at the end do not count.
    #[must_use]
    pub const fn new(padded: [u8; Self::LEN]) -> Self {
        Self(padded)
    }

    /// Returns the id of an announcement in the exercise's protocol.
    #[must_use]
    pub const fn of(short: [u8; Self::SHORT_LEN]) -> Self {
        let [a, b, c, d] = short;
        Self([a, b, c, d, b' ', b' ', b' ', b' ', b' ', b' '])
    }

    /// Returns the id as the exercise's protocol announces it; `None` if it is too long for that.
    #[must_use]
    pub fn short(&self) -> Option<[u8; Self::SHORT_LEN]> {
        let (short, rest) = self.0.split_first_chunk()?;
        rest.iter().all(|byte| *byte == b' ').then_some(*short)
    }

    /// Returns the id for the exercise's protocol: its own characters, or four that are derived
    /// from all of them if it is too long.
    #[must_use]
    pub fn shortened(&self) -> [u8; Self::SHORT_LEN] {
        let word = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let (high, low) = self.0.split_at(5);
        let bits = mix(high.iter().fold(0, word)) ^ low.iter().fold(0, word);
        let Self([a, b, c, d, ..]) = Self::from_bits(mix(bits));
        self.short().unwrap_or([a, b, c, d])
    }

    /// Returns the characters, padded with spaces at the end.
    #[must_use]
    pub const fn padded(&self) -> [u8; Self::LEN] {
        self.0
    }

    /// Returns the characters without spaces at the end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let padding = self.0.iter().rev().take_while(|byte| **byte == b' ').count();
        &self.0[..Self::LEN - padding]
    }

    /// Returns four letters or digits, derived from the last twenty bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let letter = |shift: u32| LETTERS[usize::from((bits >> shift).to_le_bytes()[0] % 32)];
        Self::of([0, 5, 10, 15].map(letter))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_short_id_is_the_same_as_a_padded_one() {
        let id = SessionId::of(*b"K7QD");
        assert_eq!(id, SessionId::new(*b"K7QD      "));
        assert_eq!((id.to_string(), id.short()), ("K7QD".to_string(), Some(*b"K7QD")));
        let long = SessionId::new(*b"NASDAQ-1  ");
        assert_eq!((long.to_string(), long.short()), ("NASDAQ-1".to_string(), None));
        assert_eq!(SessionId::of(*b"K7\x07D").to_string(), "K7\\x07D");
        assert_eq!(SessionId::of(*b"K7D\t").to_string(), "K7D\\t", "only spaces are padding");
    }
}
