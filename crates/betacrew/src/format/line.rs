//! Text in the making: rows are written one behind the other into one buffer, which is handed on
//! when it is full. What a row always has is copied in sizes that the compiler knows, and a number
//! gives all of its digits at once, so that little depends on what a packet holds.

/// Text is handed to the place in pieces of about this many bytes.
const PIECE: usize = 256 * 1024;

/// The longest text of a row: its names, and each of its values at its longest.
const MOST: usize = 384;

pub(super) struct Lines {
    bytes: Vec<u8>,
    len: usize,
}

/// A row that is being written.
pub(super) struct Line<'a> {
    room: &'a mut [u8; MOST],
    at: usize,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; PIECE + MOST], len: 0 }
    }

    /// Adds a row. There is room for one more until [`is_full`](Self::is_full), and then a last.
    #[inline]
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Line<'_>)) {
        let room = self.bytes[self.len..].first_chunk_mut();
        let mut line = Line { room: room.expect("who fills it takes it"), at: 0 };
        write(&mut line);
        self.len += line.at;
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= PIECE
    }

    /// The text so far; it begins anew.
    pub(super) fn take(&mut self) -> &[u8] {
        &self.bytes[..std::mem::take(&mut self.len)]
    }
}

impl Line<'_> {
    #[inline(always)]
    pub(super) fn put(&mut self, part: &[u8]) {
        self.room[self.at..self.at + part.len()].copy_from_slice(part);
        self.at += part.len();
    }

    #[inline(always)]
    pub(super) fn number(&mut self, number: u32) {
        let (high, low) = (number / EIGHT, number % EIGHT);
        let digits = digits(low);
        let mut zeros = 0;
        match high {
            0 => zeros = (digits.trailing_zeros() / 8).min(7),
            1..10 => self.put(&[b'0' + high.to_le_bytes()[0]]),
            _ => self
                .put(&[b'0' + (high / 10).to_le_bytes()[0], b'0' + (high % 10).to_le_bytes()[0]]),
        }
        // Eight bytes in any case; what is too much is written over.
        self.put(&((digits | ZEROS) >> (zeros * 8)).to_le_bytes());
        self.at -= zeros as usize;
    }

    #[inline(always)]
    pub(super) fn signed(&mut self, number: i32) {
        if number < 0 {
            self.put(b"-");
        }
        self.number(number.unsigned_abs());
    }
}

/// From here on a number has more than eight digits.
const EIGHT: u32 = 100_000_000;
/// `00000000`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number below [`EIGHT`], a byte each, the highest in the lowest byte. Cuts
/// the number into halves, all halves of a size at once: a product with a rounded reciprocal, exact
/// for numbers as small as these, gives the upper ones.
#[inline(always)]
fn digits(number: u32) -> u64 {
    let (high, low) = (u64::from(number / 10_000), u64::from(number % 10_000));
    let fours = high | low << 32;
    let hundreds = (fours * 10_486) >> 20 & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = (twos * 103) >> 10 & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_library_makes_of_them() {
        let mut rng = feed::rng::Rng::new(9);
        let random = (0..20_000).map(|_| (rng.bits() >> 32 >> (rng.bits() % 32)) as u32);
        let edges = (0..10).flat_map(|power| [10_u32.pow(power) - 1, 10_u32.pow(power)]);
        let mut lines = Lines::new();
        for number in random.chain(edges).chain([u32::MAX, 2_000_000_000]) {
            let signed = number.cast_signed();
            lines.add(|line| {
                line.signed(signed);
                line.put(b", ");
                line.number(number);
                line.put(b" ]");
            });
            assert_eq!(lines.take(), format!("{signed}, {number} ]").as_bytes());
        }
    }

    #[test]
    fn every_half_of_a_number_has_its_digits() {
        for half in 0..10_000 {
            let expected = format!("{half:04}{:04}", 9_999 - half);
            let all = half * 10_000 + 9_999 - half;
            assert_eq!((digits(all) | ZEROS).to_le_bytes(), expected.as_bytes());
        }
    }
}
