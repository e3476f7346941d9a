//! A bound on how much of a text is read before a row is complete, so that a file which is no
//! table does not end up in memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The most bytes that one row takes, give or take a reader's buffer.
pub(super) const ROW_MAX: usize = 1 << 20;

/// Maximum length in bytes of a text value: an origin takes 28, a symbol 8.
#[cfg(any(feature = "columnar", feature = "sqlite"))]
pub(super) const VALUE_MAX: usize = 256;

/// Maximum memory in bytes that compressed parts of a file may unpack to at one time.
#[cfg(feature = "columnar")]
pub(super) const UNPACKED_MAX: u64 = 256 << 20;

/// A reader that gives up where a row has no end.
pub(super) struct Bounded<R> {
    inner: R,
    watch: Rc<Watch>,
}

/// What is known of the reading, for who uses the reader indirectly.
pub(super) struct Watch {
    left: Cell<usize>,
    last: Cell<u8>,
    /// Whether the number of double quotes so far is odd.
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
    /// A row is complete.
    pub(super) fn row(&self) {
        self.left.set(ROW_MAX);
    }

    /// Whether the text so far ends with a line end, or is empty.
    pub(super) fn at_line_end(&self) -> bool {
        self.last.get() == b'\n'
    }

    /// Whether the text so far ends between double quotes.
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
