//! A bound on how much of a text is read before a row is complete, so that a file which is no
//! table does not end up in memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The most bytes that one row takes, give or take a reader's buffer.
pub(super) const ROW_MAX: usize = 1 << 20;

/// A reader that gives up where a row has no end.
pub(super) struct Bounded<R> {
    inner: R,
    watch: Rc<Watch>,
}

/// What is known of the reading, for who uses the reader indirectly.
pub(super) struct Watch {
    left: Cell<usize>,
    last: Cell<u8>,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Watch>) {
        let watch = Rc::new(Watch { left: Cell::new(ROW_MAX), last: Cell::new(b'\n') });
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
