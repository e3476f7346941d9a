//! Text of rows, which is gathered in a buffer and written out in large pieces.

use super::Cell;
use std::io::{self, Write};

/// Number of bytes that are written out at once.
const PIECE: usize = 256 * 1024;

/// Buffer of text.
#[derive(Default)]
pub(super) struct TextBuffer(Vec<u8>);

impl TextBuffer {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Puts a number as decimal digits.
    pub(super) fn number(&mut self, number: u64) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Puts a price with all digits behind its point.
    pub(super) fn price(&mut self, units: u64, scale: u32) {
        let one = 10u64.pow(scale);
        self.number(units / one);
        // The leading 1 keeps the zeros behind the point, and the point takes its place.
        let point = self.0.len();
        self.number(one + units % one);
        self.0[point] = b'.';
    }

    /// Puts bytes as hexadecimal digits.
    pub(super) fn hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15]);
        self.0.extend(digits.map(|digit| DIGITS[usize::from(digit)]));
    }

    /// Puts a byte as the character of the same number, in UTF-8.
    pub(super) fn latin(&mut self, byte: u8) {
        self.put(char::from(byte).encode_utf8(&mut [0; 2]).as_bytes());
    }

    /// Writes the text out if there is enough of it.
    pub(super) fn hand_on(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.0.len() < PIECE {
            return Ok(());
        }
        out.write_all(&self.0)?;
        self.0.clear();
        Ok(())
    }

    /// Writes all of the text out.
    pub(super) fn hand_all(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.0)?;
        self.0.clear();
        out.flush()
    }

    /// Puts a value that is no text.
    pub(super) fn plain(&mut self, cell: &Cell<'_>) {
        match *cell {
            Cell::Integer(number) => self.number(number),
            Cell::Price { units, scale } => self.price(units, scale),
            Cell::Hex(bytes) => self.hex(bytes),
            Cell::Text(bytes) => bytes.iter().for_each(|&byte| self.latin(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_all_their_digits() {
        for (units, scale, text) in [
            (0, 4, "0.0000"),
            (1, 4, "0.0001"),
            (1_234_500, 4, "123.4500"),
            (u64::from(u32::MAX), 4, "429496.7295"),
            (u64::MAX, 8, "184467440737.09551615"),
        ] {
            let mut buffer = TextBuffer::default();
            buffer.price(units, scale);
            assert_eq!(buffer.0, text.as_bytes());
        }
    }
}
