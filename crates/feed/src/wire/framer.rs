//! Framer: cuts the bytes of a connection into frames of the exercise's protocol.

use super::{FRAME_LEN, RawFrame, is_torn_beginning};

/// Framer of one connection: cuts its bytes into frames.
#[derive(Default, Debug)]
pub(crate) struct Framer {
    carry: [u8; FRAME_LEN],
    held: usize,
    /// Number of bytes in whole frames returned before the current call.
    pub(crate) offset: u64,
}

impl Framer {
    /// Returns the frame that `bytes` completes, if one was begun, and the whole frames after it.
    /// The framer keeps the remaining bytes for the next call.
    pub(crate) fn split<'a>(&mut self, bytes: &'a [u8]) -> (Option<RawFrame>, &'a [RawFrame]) {
        let mut bytes = bytes;
        let mut head = None;
        if self.held > 0 {
            let (begin, rest) = bytes.split_at(bytes.len().min(FRAME_LEN - self.held));
            self.carry[self.held..self.held + begin.len()].copy_from_slice(begin);
            self.held += begin.len();
            bytes = rest;
            if self.held < FRAME_LEN {
                return (None, &[]);
            }
            self.held = 0;
            head = Some(self.carry);
        }
        let (frames, rest) = bytes.as_chunks();
        self.carry[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
        (head, frames)
    }

    /// Returns whether no message begins with the bytes that are kept.
    pub(crate) fn is_torn(&self) -> bool {
        is_torn_beginning(&self.carry[..self.held])
    }

    /// Returns whether a packet was begun and not finished.
    pub(crate) fn has_partial_frame(&self) -> bool {
        self.held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_frames(bytes in prop::collection::vec(any::<u8>(), 0..200),
            sizes in prop::collection::vec(0usize..40, 0..60)) {
            let (mut framer, mut rest, mut frames) = (Framer::default(), &bytes[..], Vec::new());
            for size in sizes.into_iter().chain([usize::MAX]) {
                let (chunk, after) = rest.split_at(size.min(rest.len()));
                let (head, body) = framer.split(chunk);
                frames.extend(head);
                frames.extend_from_slice(body);
                rest = after;
            }
            prop_assert_eq!(&frames[..], bytes.as_chunks::<FRAME_LEN>().0);
            prop_assert_eq!(framer.has_partial_frame(), bytes.len() % FRAME_LEN > 0);
        }
    }
}
