//! Packets on their way into blocks.

use super::block::{BLOCK_HEAD_LEN, BLOCK_MAX};
use crate::base::seq::Seq;
use crate::ledger::Origin;
use crate::wire::{FRAME_LEN, RawFrame, sequence_of};
use alloc::vec::Vec;

/// From so many origins packets are gathered at the same time; of more, the oldest are written.
pub const GATHERED_MAX: usize = 8;

/// What one origin has brought and is not written yet.
#[derive(Debug)]
pub(super) struct PendingBlock {
    /// The place of a block's head, and then its payload.
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Origin,
    /// When the first of it came.
    pub(super) arrived: u64,
    ascending: bool,
}

impl PendingBlock {
    fn new(origin: Origin, arrived: u64) -> Self {
        let mut bytes = Vec::with_capacity(BLOCK_MAX);
        bytes.resize(BLOCK_HEAD_LEN, 0);
        Self { bytes, origin, arrived, ascending: true }
    }

    pub(super) fn frames(&self) -> &[RawFrame] {
        self.bytes[BLOCK_HEAD_LEN..].as_chunks().0
    }

    /// Takes as many frames as have room; returns how many.
    pub(super) fn take(&mut self, frames: &[RawFrame]) -> usize {
        let room = (BLOCK_MAX - self.bytes.len()) / FRAME_LEN;
        let taken = &frames[..room.min(frames.len())];
        if let (Some(top), Some(first)) = (self.frames().last(), taken.first()) {
            self.ascending &= sequence_of(top) < sequence_of(first);
        }
        self.bytes.extend_from_slice(taken.as_flattened());
        taken.len()
    }

    /// Adds a block behind what is there, without its head.
    pub(super) fn add_block(&mut self, frames: &[RawFrame]) {
        self.bytes.resize(self.bytes.len() + BLOCK_HEAD_LEN, 0);
        self.bytes.extend_from_slice(frames.as_flattened());
    }

    pub(super) fn sort(&mut self) {
        if !core::mem::replace(&mut self.ascending, true) {
            let frames: &mut [RawFrame] = self.bytes[BLOCK_HEAD_LEN..].as_chunks_mut().0;
            frames.sort_unstable_by_key(sequence_of);
        }
    }
}

/// What is not written yet, origin by origin. Resends come in small pieces between those of a
/// stream; were each a block, the index would grow with the losses.
#[derive(Default, Debug)]
pub(super) struct PendingBlocks {
    pending: Vec<PendingBlock>,
}

impl PendingBlocks {
    pub(super) fn packets(&self) -> u64 {
        self.pending.iter().map(|pending| pending.frames().len() as u64).sum()
    }

    /// What is pending of an origin, if anything is.
    pub(super) fn place(&self, origin: Origin) -> Option<usize> {
        self.pending.iter().position(|pending| pending.origin == origin)
    }

    /// Begins with an origin that nothing is pending of.
    pub(super) fn begin(&mut self, origin: Origin, arrived: u64) -> usize {
        self.pending.push(PendingBlock::new(origin, arrived));
        self.pending.len() - 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= GATHERED_MAX
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut PendingBlock> {
        self.pending.get_mut(place)
    }

    /// Forgets what has been written. The others keep their order: the oldest is the first.
    pub(super) fn remove(&mut self, place: usize) {
        self.pending.remove(place);
    }

    /// Forgets what was brought by origins that `keep` does not want; returns its sequences.
    pub(super) fn give_up(&mut self, keep: &dyn Fn(Origin) -> bool) -> Vec<Seq> {
        let mut gone = Vec::new();
        self.pending.retain(|pending| {
            let kept = keep(pending.origin);
            if !kept {
                gone.extend(pending.frames().iter().map(sequence_of));
            }
            kept
        });
        gone
    }

    /// The packet with this sequence, if it is pending.
    pub(super) fn find(&mut self, seq: Seq) -> Option<RawFrame> {
        self.look_up(seq).map(|(frame, _)| frame)
    }

    /// Returns the origin of the packet with this sequence, if it is pending.
    pub(super) fn origin_of(&mut self, seq: Seq) -> Option<Origin> {
        self.look_up(seq).map(|(_, origin)| origin)
    }

    fn look_up(&mut self, seq: Seq) -> Option<(RawFrame, Origin)> {
        self.pending.iter_mut().find_map(|pending| {
            pending.sort();
            let frames = pending.frames();
            let at = frames.binary_search_by_key(&seq, sequence_of).ok()?;
            Some((frames[at], pending.origin))
        })
    }
}
