//! Fast writing of text rows into one buffer, which is written out when it is full. Constant parts
//! are copied in sizes that the compiler knows, and all digits of a number are computed at once, so
//! that the time hardly depends on the packet.

use feed::base::seq::Seq;
use std::io::{self, Write};

/// Number of bytes that are written out at once.
const PIECE: usize = 256 * 1024;

/// Maximum length of a row in bytes: its names, and each value at its longest.
const MOST: usize = 384;

pub(super) struct TextLines {
    bytes: Vec<u8>,
    len: usize,
}

/// A row that is being written.
pub(super) struct TextLine<'a> {
    room: &'a mut [u8; MOST],
    at: usize,
}

impl TextLines {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; PIECE + MOST], len: 0 }
    }

    /// Adds a row. There is room for one more once what is enough for a piece was
    /// [handed on](Self::hand_on).
    #[inline]
    pub(super) fn add(&mut self, write: impl FnOnce(&mut TextLine<'_>)) {
        let room = self.bytes[self.len..].first_chunk_mut();
        let mut line = TextLine { room: room.expect("who fills it takes it"), at: 0 };
        write(&mut line);
        self.len += line.at;
    }

    /// Writes full pieces out. Pieces have a round size, because the system handles a page twice if
    /// a piece ends in its middle, which costs a fifth more.
    #[inline]
    pub(super) fn hand_on(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.len < PIECE {
            return Ok(());
        }
        out.write_all(&self.bytes[..PIECE])?;
        self.bytes.copy_within(PIECE..self.len, 0);
        self.len -= PIECE;
        Ok(())
    }

    /// Writes the rest out.
    pub(super) fn hand_all(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.bytes[..std::mem::take(&mut self.len)])?;
        out.flush()
    }
}

impl TextLine<'_> {
    #[inline(always)]
    pub(super) fn put(&mut self, part: &[u8]) {
        self.room[self.at..self.at + part.len()].copy_from_slice(part);
        self.at += part.len();
    }

    /// Puts a part in which four bytes and one are others.
    #[inline(always)]
    pub(super) fn put_with(&mut self, part: &[u8], at: usize, four: [u8; 4], then: usize, one: u8) {
        let room = &mut self.room[self.at..self.at + part.len()];
        room.copy_from_slice(part);
        room[at..at + 4].copy_from_slice(&four);
        room[then] = one;
        self.at += part.len();
    }

    #[inline(always)]
    pub(super) fn number(&mut self, number: u32) {
        let low = if number < EIGHT {
            number
        } else {
            let high = number / EIGHT;
            // Numbers of 32 bits have at most ten digits: two before the lower eight.
            if high >= 10 {
                self.put(&[b'0' + (high / 10).to_le_bytes()[0]]);
            }
            self.put(&[b'0' + (high % 10).to_le_bytes()[0]]);
            number % EIGHT
        };
        let digits =
            u64::from(FOURS[(low / FOUR) as usize]) | u64::from(FOURS[(low % FOUR) as usize]) << 32;
        let zeros = match number < EIGHT {
            true => ((digits ^ ZEROS).trailing_zeros() / 8).min(7),
            false => 0,
        };
        // Always eight bytes; the next part overwrites surplus ones.
        self.put(&(digits >> (zeros * 8)).to_le_bytes());
        self.at -= zeros as usize;
    }

    /// Puts a sequence. Those of packets have 32 bits, which is the fast case.
    #[inline(always)]
    pub(super) fn sequence(&mut self, seq: Seq) {
        match u32::try_from(seq) {
            Ok(short) => self.number(short),
            Err(_) => self.put(seq.to_string().as_bytes()),
        }
    }

    #[inline(always)]
    pub(super) fn signed(&mut self, number: i32) {
        if number < 0 {
            self.put(b"-");
        }
        self.number(number.unsigned_abs());
    }
}

/// Smallest number with more than eight digits.
const EIGHT: u32 = 100_000_000;
/// `00000000`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Smallest number with more than four digits.
const FOUR: u32 = 10_000;

/// Four digits of every number below [`FOUR`], the highest in the lowest byte.
static FOURS: [u32; FOUR as usize] = {
    let mut fours = [0; FOUR as usize];
    let mut number = 0;
    while number < FOUR {
        let digits = [number / 1000, number / 100 % 10, number / 10 % 10, number % 10];
        let digits = digits[0] | digits[1] << 8 | digits[2] << 16 | digits[3] << 24;
        fours[number as usize] = digits | 0x3030_3030;
        number += 1;
    }
    fours
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_library_makes_of_them() {
        let mut rng = feed::base::rng::Rng::new(9);
        let random = (0..20_000).map(|_| (rng.bits() >> 32 >> (rng.bits() % 32)) as u32);
        let edges = (0..10).flat_map(|power| [10_u32.pow(power) - 1, 10_u32.pow(power)]);
        let mut lines = TextLines::new();
        for number in (0..FOUR).chain(random).chain(edges).chain([u32::MAX, 2_000_000_000]) {
            let signed = number.cast_signed();
            lines.add(|line| {
                line.signed(signed);
                line.put(b", ");
                line.number(number);
                line.put(b" ]");
            });
            let mut text = Vec::new();
            lines.hand_all(&mut text).unwrap();
            assert_eq!(text, format!("{signed}, {number} ]").as_bytes());
        }
    }
}
