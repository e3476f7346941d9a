//! Reading a tape file in the order of its sequences.

use super::index::Index;
use super::{BlockHead, TapeFile, TapeFileError};
use crate::seq::{MAX_SEQ, Seq};
use crate::storage::Storage;
use crate::wire::{RawFrame, sequence_of};
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// A tape file's packets in order, in slices. Holds the blocks that span the place where it is:
/// one of the stream, one of the resends, and seldom more.
#[derive(Debug)]
pub struct InOrder<'a, S> {
    file: &'a TapeFile<S>,
    lanes: Vec<Lane>,
    /// The lanes with something left, by their next sequence. A lane whose block is not loaded yet
    /// stands at that block's first sequence.
    heads: BinaryHeap<Reverse<(Seq, usize)>>,
    next: Seq,
    /// A lane whose block has been read to its end.
    spent: Option<usize>,
}

/// Packets as they are read: ascending, above all that came before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// The block they are from: when and how they came.
    pub block: BlockHead,
    /// The packets.
    pub frames: &'a [RawFrame],
}

#[derive(Debug)]
struct Lane {
    /// The place in the lane of the block that is loaded next.
    place: usize,
    block: Option<BlockHead>,
    frames: Vec<RawFrame>,
    at: usize,
}

impl<'a, S: Storage> InOrder<'a, S> {
    pub(super) fn new(file: &'a TapeFile<S>, from: Seq) -> Self {
        let index: &Index = &file.index;
        let (lanes, heads) = (Vec::new(), BinaryHeap::new());
        let mut reading = Self { file, lanes, heads, next: from, spent: None };
        for lane in 0..index.lanes() {
            let place = index.place(lane, from);
            reading.lanes.push(Lane { place, block: None, frames: Vec::new(), at: 0 });
            if let Some(entry) = index.entry(lane, place) {
                reading.heads.push(Reverse((entry.span.first(), lane)));
            }
        }
        reading
    }

    /// The next packets.
    ///
    /// # Errors
    /// Where the medium fails or a block is damaged. The next call goes on without that block.
    #[expect(clippy::should_implement_trait, reason = "it lends; an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, TapeFileError<S::Error>> {
        while let Some(Reverse((_, id))) = self.heads.pop() {
            if let Some(spent) = self.spent.take() {
                self.lanes[spent].frames = Vec::new();
                self.lanes[spent].at = 0;
            }
            let loaded = self.load(id);
            let place = self.advance(id);
            self.requeue(id);
            loaded?;
            if !place.is_empty() {
                let lane = &self.lanes[id];
                return Ok(lane.block.map(|block| Piece { block, frames: &lane.frames[place] }));
            }
        }
        Ok(None)
    }

    /// Moves a lane, which was at the front, to where another's turn comes; returns what it passed.
    fn advance(&mut self, id: usize) -> Range<usize> {
        let lane = &mut self.lanes[id];
        let rest = &lane.frames[lane.at..];
        // A sequence that two blocks have counts once; so does what lies before the start.
        let known = rest.partition_point(|frame| sequence_of(frame) < self.next);
        // Up to it and not below it: what two lanes have must not keep both waiting.
        let limit = self.heads.peek().map_or(MAX_SEQ, |Reverse((seq, _))| *seq);
        let rest = &rest[known..];
        let run = match rest.last() {
            Some(top) if sequence_of(top) <= limit => rest.len(),
            _ => rest.iter().take_while(|frame| sequence_of(frame) <= limit).count(),
        };
        let start = lane.at + known;
        lane.at = start + run;
        if let Some(top) = rest[..run].last() {
            self.next = sequence_of(top) + 1;
        }
        start..start + run
    }

    /// Makes sure that a lane's next block is there.
    fn load(&mut self, id: usize) -> Result<(), TapeFileError<S::Error>> {
        let lane = &mut self.lanes[id];
        if lane.at == lane.frames.len()
            && let Some(entry) = self.file.index.entry(id, lane.place)
        {
            lane.place += 1;
            let (block, frames) = self.file.load(entry)?;
            lane.block = Some(block);
            lane.frames = frames;
            lane.at = 0;
        }
        Ok(())
    }

    fn requeue(&mut self, id: usize) {
        let lane = &self.lanes[id];
        let next = match lane.frames.get(lane.at) {
            Some(frame) => Some(sequence_of(frame)),
            None => self.file.index.entry(id, lane.place).map(|entry| entry.span.first()),
        };
        if let Some(seq) = next {
            self.heads.push(Reverse((seq, id)));
        }
        if lane.at == lane.frames.len() {
            self.spent = Some(id);
        }
    }
}
