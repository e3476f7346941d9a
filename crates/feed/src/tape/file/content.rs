//! Messages of one block in memory.

use super::block::Layout;
use crate::base::seq::{Seq, SeqRange};
use crate::wire::{FRAME_LEN, Framing, Messages, RawFrame, Run, oddness, sequence_of};
use alloc::vec::Vec;

/// Messages of one block in memory.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Order packets in ascending order.
    Packets(Vec<RawFrame>),
    /// One run, which is checked.
    Run {
        /// Sequences of the messages.
        range: SeqRange,
        framing: Framing,
        /// Messages, each behind its header.
        bytes: Vec<u8>,
    },
}

impl Content {
    /// Returns room for a block's payload of `len` bytes.
    pub(super) fn with_len(layout: Layout, span: SeqRange, len: usize) -> Self {
        match layout {
            Layout::Packets => Self::Packets(alloc::vec![[0; FRAME_LEN]; len / FRAME_LEN]),
            Layout::Run(framing) => Self::Run { range: span, framing, bytes: alloc::vec![0; len] },
        }
    }

    /// Returns no messages.
    pub(super) const fn none() -> Self {
        Self::Packets(Vec::new())
    }

    /// Returns the bytes of the payload.
    pub(super) fn payload(&mut self) -> &mut [u8] {
        match self {
            Self::Packets(frames) => frames.as_flattened_mut(),
            Self::Run { bytes, .. } => bytes,
        }
    }

    /// Returns the messages.
    pub(super) fn messages(&self) -> Messages<'_> {
        match self {
            Self::Packets(frames) => Messages::Packets(frames),
            Self::Run { range, framing, bytes } => {
                let run = Run::counted(range.first(), range.len(), *framing, bytes);
                run.map_or(Messages::NONE, Messages::Run)
            }
        }
    }

    /// Returns the message with a sequence.
    pub(super) fn find(&self, seq: Seq) -> Option<&[u8]> {
        match self.messages() {
            Messages::Packets(frames) => {
                let at = frames.binary_search_by_key(&seq, sequence_of).ok()?;
                frames.get(at).map(RawFrame::as_slice)
            }
            Messages::Run(run) => Some(run.part(SeqRange::one(seq))?.iter().next()?.1),
        }
    }
}

/// Returns true if a payload has messages of this layout that ascend from one end of `span` to the
/// other.
pub(super) fn is_in_place(layout: Layout, span: SeqRange, payload: &[u8]) -> bool {
    match layout {
        Layout::Packets => are_in_place(payload.as_chunks().0, span),
        Layout::Run(framing) => {
            Run::new(span.first(), framing, payload).is_some_and(|run| run.range() == span)
        }
    }
}

/// Returns true if the frames are packets that ascend from one end of `span` to the other.
fn are_in_place(frames: &[RawFrame], span: SeqRange) -> bool {
    let mut top = span.first() - 1;
    let mut odd = 0;
    let mut ascending = true;
    for frame in frames {
        let seq = sequence_of(frame);
        odd |= oddness(frame);
        ascending &= seq > top;
        top = seq;
    }
    let first = frames.first().map(sequence_of);
    odd == 0 && ascending && first == Some(span.first()) && top == span.last()
}
