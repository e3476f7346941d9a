//! Limit on the bytes that are read before a row is complete, so that a file which is not a table
//! does not fill the memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Maximum number of bytes of a row, give or take the buffer of a reader.
pub(super) const ROW_MAX: usize = 1 << 20;

/// Maximum length in bytes of a text value: an origin takes 28, a symbol 8.
#[cfg(any(feature = "columnar", feature = "sqlite"))]
pub(super) const VALUE_MAX: usize = 256;

/// Maximum memory in bytes that compressed parts of a file may unpack to at one time.
#[cfg(feature = "columnar")]
pub(super) const UNPACKED_MAX: u64 = 256 << 20;

/// Reader that fails if a row has no end.
pub(super) struct Bounded<R> {
    inner: R,
    watch: Rc<Watch>,
}

/// State of the reading, for code that cannot reach the reader itself.
pub(super) struct Watch {
    left: Cell<usize>,
    last: Cell<u8>,
    /// True if the number of double quotes so far is odd.
    quoted: Cell<bool>,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Watch>) {
        let left = Cell::new(ROW_MAX);
        let watch = Watch { left, last: Cell::new(b'\n'), quoted: Cell::new(false) };
        let watch = Rc::new(watch);
        (Self { inner, watch: Rc::clone(&watch) }, watch)
    }
}

impl Watch {
    /// Starts the count for the next row.
    pub(super) fn row(&self) {
        self.left.set(ROW_MAX);
    }

    /// Returns whether the text so far ends with a line end, or is empty.
    pub(super) fn at_line_end(&self) -> bool {
        self.last.get() == b'\n'
    }

    /// Returns whether the text so far ends between double quotes.
    pub(super) fn in_quotes(&self) -> bool {
        self.quoted.get()
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.watch.left.get();
        if left == 0 {
            let reason = format!("more than {ROW_MAX} bytes are no row");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let most = left.min(out.len());
        let count = self.inner.read(&mut out[..most])?;
        self.watch.left.set(left - count);
        if let Some(last) = out[..count].last() {
            self.watch.last.set(*last);
            let quotes = out[..count].iter().filter(|&&byte| byte == b'"').count();
            self.watch.quoted.set(self.watch.quoted.get() ^ (quotes % 2 == 1));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_at_the_bound_and_not_before() {
        let (mut reader, watch) = Bounded::new(io::repeat(b'x'));
        let mut out = vec![0; ROW_MAX];
        reader.read_exact(&mut out).unwrap();
        assert!(!watch.at_line_end());
        assert_eq!(reader.read(&mut out).unwrap_err().kind(), io::ErrorKind::InvalidData);
        watch.row();
        reader.read_exact(&mut out).unwrap();
    }
}
