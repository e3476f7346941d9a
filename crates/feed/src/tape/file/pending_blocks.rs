//! Pending blocks: messages that are not written yet.

use super::block::{BLOCK_HEAD_LEN, BLOCK_MAX, Layout, PAYLOAD_MAX};
use crate::base::seq::{Seq, SeqRange};
use crate::ledger::Origin;
use crate::wire::{FRAME_LEN, Messages, RawFrame, Run, sequence_of};
use alloc::vec::Vec;

/// Maximum number of origins with pending messages; for one more, the oldest are written.
pub const GATHERED_MAX: usize = 8;

/// Messages of one origin that are not written yet.
#[derive(Debug)]
pub(super) struct PendingBlock {
    /// Room for the block's head, then its payload.
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Origin,
    /// Arrival time of the first message.
    pub(super) arrived: u64,
    /// Layout of the messages.
    pub(super) layout: Layout,
    /// Sequences of a run; `None` for order packets, and before the first message.
    range: Option<SeqRange>,
    ascending: bool,
}

impl PendingBlock {
    /// Returns a block without messages. `bytes` is a buffer of an earlier block, or an empty one.
    fn new(origin: Origin, arrived: u64, layout: Layout, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.reserve(BLOCK_MAX);
        bytes.resize(BLOCK_HEAD_LEN, 0);
        Self { bytes, origin, arrived, layout, range: None, ascending: true }
    }

    /// Returns the order packets; none if the messages are a run.
    pub(super) fn frames(&self) -> &[RawFrame] {
        self.messages().packets()
    }

    /// Returns the messages. Packets are in order only after [`sort`](Self::sort).
    pub(super) fn messages(&self) -> Messages<'_> {
        self.messages_in(self.bytes.len())
    }

    /// Returns the messages where other blocks may lie behind the first `len` bytes, which are this
    /// one.
    pub(super) fn messages_in(&self, len: usize) -> Messages<'_> {
        let payload = self.bytes.get(BLOCK_HEAD_LEN..len).unwrap_or_default();
        match (self.layout, self.range) {
            (Layout::Run(framing), Some(range)) => {
                let run = Run::counted(range.first(), range.len(), framing, payload);
                run.map_or(Messages::NONE, Messages::Run)
            }
            (Layout::Packets, _) => Messages::Packets(payload.as_chunks().0),
            (Layout::Run(_), None) => Messages::NONE,
        }
    }

    /// Returns the number of bytes in the payload.
    pub(super) fn payload_len(&self) -> usize {
        self.bytes.len() - BLOCK_HEAD_LEN
    }

    /// Takes as many frames as fit. Returns their number.
    pub(super) fn take(&mut self, frames: &[RawFrame]) -> usize {
        let room = (BLOCK_MAX - self.bytes.len()) / FRAME_LEN;
        let taken = &frames[..room.min(frames.len())];
        if let (Some(top), Some(first)) = (self.frames().last(), taken.first()) {
            self.ascending &= sequence_of(top) < sequence_of(first);
        }
        self.bytes.extend_from_slice(taken.as_flattened());
        taken.len()
    }

    /// Takes the beginning of a run that [continues](PendingBlocks::is_continued_by) these
    /// messages: as many as fit, and one at least. Returns the rest.
    pub(super) fn take_run<'a>(&mut self, run: Run<'a>) -> Option<Run<'a>> {
        let (taken, rest) = run.split_within(PAYLOAD_MAX.saturating_sub(self.payload_len()));
        self.bytes.extend_from_slice(taken.bytes());
        self.range = Some(self.range.map_or(taken.range(), |range| range.hull(taken.range())));
        rest
    }

    /// Appends a block without its head.
    pub(super) fn add_block(&mut self, messages: Messages<'_>) {
        self.bytes.resize(self.bytes.len() + BLOCK_HEAD_LEN, 0);
        self.bytes.extend_from_slice(payload_of(messages));
    }

    pub(super) fn sort(&mut self) {
        if !core::mem::replace(&mut self.ascending, true) {
            let frames: &mut [RawFrame] = self.bytes[BLOCK_HEAD_LEN..].as_chunks_mut().0;
            frames.sort_unstable_by_key(sequence_of);
        }
    }
}

/// Returns the payload of a block of messages.
pub(super) fn payload_of(messages: Messages<'_>) -> &[u8] {
    match messages {
        Messages::Packets(frames) => frames.as_flattened(),
        Messages::Run(run) => run.bytes(),
    }
}

/// Messages that are not written yet, for each origin. Resends arrive in small pieces between those
/// of a stream. If each piece of order packets were a block, the index would grow with the number
/// of gaps. A piece of other messages is a block, because a block has one run.
#[derive(Default, Debug)]
pub(super) struct PendingBlocks {
    pending: Vec<PendingBlock>,
    /// Buffer of the block that was removed last, for the next one.
    spare: Vec<u8>,
}

impl PendingBlocks {
    /// Returns the number of messages.
    pub(super) fn count(&self) -> u64 {
        self.pending.iter().map(|pending| pending.messages().len()).sum()
    }

    /// Returns the number of bytes in all payloads.
    pub(super) fn bytes(&self) -> u64 {
        self.pending.iter().map(|pending| pending.payload_len() as u64).sum()
    }

    /// Returns the layout of the messages, if there are some.
    pub(super) fn layout(&self) -> Option<Layout> {
        self.pending.first().map(|pending| pending.layout)
    }

    /// Returns the position of an origin's pending messages, if there are some.
    pub(super) fn place(&self, origin: Origin) -> Option<usize> {
        self.pending.iter().position(|pending| pending.origin == origin)
    }

    /// Adds an origin without pending messages. Returns its position.
    pub(super) fn begin(&mut self, origin: Origin, arrived: u64, layout: Layout) -> usize {
        let spare = core::mem::take(&mut self.spare);
        self.pending.push(PendingBlock::new(origin, arrived, layout, spare));
        self.pending.len() - 1
    }

    /// Returns true if a run can be added to the pending messages at `place`: it is framed as they
    /// are and begins behind the last of them.
    pub(super) fn is_continued_by(&self, place: usize, run: Run<'_>) -> bool {
        self.pending.get(place).is_some_and(|pending| {
            let next = pending.range.map(|range| range.last() + 1);
            pending.layout == Layout::Run(run.framing()) && next == Some(run.range().first())
        })
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= GATHERED_MAX
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut PendingBlock> {
        self.pending.get_mut(place)
    }

    /// Removes messages that were written. The other origins keep their order, the oldest first.
    pub(super) fn remove(&mut self, place: usize) {
        self.spare = self.pending.remove(place).bytes;
    }

    /// Removes the messages of origins for which `keep` returns false. Returns their sequences.
    pub(super) fn give_up(&mut self, keep: &dyn Fn(Origin) -> bool) -> Vec<SeqRange> {
        let mut gone = Vec::new();
        self.pending.retain(|pending| {
            let kept = keep(pending.origin);
            if !kept {
                gone.extend(pending.messages().ranges());
            }
            kept
        });
        gone
    }

    /// Returns the packet with a sequence, if it is pending.
    pub(super) fn find(&mut self, seq: Seq) -> Option<RawFrame> {
        self.pending.iter_mut().find_map(|pending| {
            pending.sort();
            let frames = pending.frames();
            let at = frames.binary_search_by_key(&seq, sequence_of).ok()?;
            Some(frames[at])
        })
    }

    /// Returns the pending run that has the message with this sequence, if one has.
    pub(super) fn run_with(&self, seq: Seq) -> Option<Run<'_>> {
        self.pending.iter().find_map(|pending| match pending.messages() {
            Messages::Run(run) if run.range().contains(seq) => Some(run),
            _ => None,
        })
    }

    /// Returns the origin of the message with this sequence, if it is pending.
    pub(super) fn origin_of(&mut self, seq: Seq) -> Option<Origin> {
        self.pending.iter_mut().find_map(|pending| {
            pending.sort();
            let has = match pending.messages() {
                Messages::Packets(frames) => frames.binary_search_by_key(&seq, sequence_of).is_ok(),
                Messages::Run(run) => run.range().contains(seq),
            };
            has.then_some(pending.origin)
        })
    }
}
