//! Reading a tape file in the order of its sequences.

use super::index::Index;
use super::{BlockHead, TapeFile, TapeFileError};
use crate::base::seq::{MAX_SEQ, Seq};
use crate::storage::Storage;
use crate::wire::{FRAME_LEN, RawFrame, sequence_of};
use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// A tape file's packets in order, in slices. Holds the blocks that span the place where it is:
/// one of the stream, one of the resends, and seldom more.
#[derive(Debug)]
pub struct OrderedReader<'a, S: Storage> {
    file: &'a TapeFile<S>,
    lanes: Vec<SortedRunReader>,
    /// The lane whose turn it is and the next sequence in it, if there is anything left. A lane
    /// whose block is not loaded yet stands at that block's first sequence.
    front: Option<(Seq, usize)>,
    /// The other lanes with something left, by their next sequence.
    heads: BinaryHeap<Reverse<(Seq, usize)>>,
    next: Seq,
    /// A lane whose block has been read to its end.
    spent: Option<usize>,
    /// Slots for what is merged. One that was used holds a sequence below [`next`](Self::next).
    merged: Vec<RawFrame>,
    /// How many sequences are merged at once: fewer where most are missing.
    width: Seq,
    /// Why no more is merged.
    failure: Option<TapeFileError<S::Error>>,
}

/// A lane, and what of it comes next.
type ReadStep = (usize, Range<usize>);

/// So many packets are handed out at once, or a window more.
const MERGED: usize = 4096;
/// Of so many sequences at most, and at least, the packets are merged at once.
const WIDE: Seq = 4096;
/// See [`WIDE`].
const NARROW: Seq = 64;

/// Packets as they are read: ascending, above all that came before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderedPiece<'a> {
    /// The block they are from: when and how they came.
    pub block: BlockHead,
    /// The packets.
    pub frames: &'a [RawFrame],
}

#[derive(Debug)]
struct SortedRunReader {
    /// The place in the lane of the block that is loaded next.
    place: usize,
    block: Option<BlockHead>,
    frames: Vec<RawFrame>,
    at: usize,
}

impl<'a, S: Storage> OrderedReader<'a, S> {
    pub(super) fn new(file: &'a TapeFile<S>, from: Seq) -> Self {
        let index: &Index = &file.index;
        let mut lanes = Vec::new();
        let mut heads = BinaryHeap::new();
        for lane in 0..index.lanes() {
            let place = index.place(lane, from);
            lanes.push(SortedRunReader { place, block: None, frames: Vec::new(), at: 0 });
            if let Some(entry) = index.entry(lane, place) {
                heads.push(Reverse((entry.span.first(), lane)));
            }
        }
        let front = heads.pop().map(|Reverse(head)| head);
        let (next, spent, merged, failure) = (from, None, Vec::new(), None);
        Self { file, lanes, front, heads, next, spent, merged, width: WIDE, failure }
    }

    /// The next packets that came together.
    ///
    /// # Errors
    /// Where the medium fails or a block is damaged. The next call goes on without that block.
    #[expect(clippy::should_implement_trait, reason = "it lends; an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<OrderedPiece<'_>>, TapeFileError<S::Error>> {
        let Some((id, place)) = self.step()? else { return Ok(None) };
        let lane = &self.lanes[id];
        Ok(lane.block.map(|block| OrderedPiece { block, frames: &lane.frames[place] }))
    }

    /// The next packets, thousands at once, however they came: where a quarter of a stream came by
    /// resends, those that came together are three or four. Empty at the end.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn merged(&mut self) -> Result<&[RawFrame], TapeFileError<S::Error>> {
        self.merged.resize(MERGED + WIDE as usize, [0; FRAME_LEN]);
        let mut count = 0;
        while count < MERGED && self.failure.is_none() && self.front.is_some() {
            count += self.window(count);
        }
        // What was read before it comes first.
        match self.failure.take_if(|_| count == 0) {
            Some(failure) => Err(failure),
            None => Ok(&self.merged[..count]),
        }
    }

    /// Merges the packets of a window of sequences, each into a slot of its own, so that none is
    /// compared with another. They come behind the first `merged`; returns how many they are.
    fn window(&mut self, merged: usize) -> usize {
        self.release();
        let Some((first, _)) = self.front else { return 0 };
        let base = first.max(self.next);
        let (turns, end) = self.turns(base);
        let slots = &mut self.merged[merged..];
        let mut count = 0;
        // Of a sequence that two blocks have, the packet of the block that comes first counts.
        for &id in turns.iter().rev() {
            let lane = &mut self.lanes[id];
            lane.at += lane.frames[lane.at..].partition_point(|frame| sequence_of(frame) < base);
            let rest = &lane.frames[lane.at..];
            let run = &rest[..rest.partition_point(|frame| sequence_of(frame) < end)];
            lane.at += run.len();
            count += run.len();
            if turns.len() == 1 {
                slots[..run.len()].copy_from_slice(run);
            } else {
                run.iter().for_each(|frame| slots[(sequence_of(frame) - base) as usize] = *frame);
            }
            if let Some(last) = run.last() {
                self.next = self.next.max(sequence_of(last) + 1);
            }
        }
        if turns.len() > 1 {
            count = squeeze(&mut slots[..(self.next.max(base) - base) as usize], base);
            self.width = match count * 8 < self.width as usize {
                true => (self.width / 2).max(NARROW),
                false => (self.width * 2).min(WIDE),
            };
        }
        turns.iter().for_each(|&id| self.queue(id));
        count
    }

    /// Takes the lanes out of the queue that have something within a window that begins at `base`,
    /// and makes sure that it is loaded. Returns them, and where the window ends: at the latest
    /// where one of them needs another block, or has none to show.
    fn turns(&mut self, base: Seq) -> (Vec<usize>, Seq) {
        let mut end = base.saturating_add(self.width);
        let mut turns = Vec::new();
        while let Some((seq, id)) = self.front.filter(|&(seq, _)| seq < end) {
            self.front = self.heads.pop().map(|Reverse(head)| head);
            turns.push(id);
            if let Err(failure) = self.load(id) {
                self.failure = Some(failure);
                end = seq.max(base);
            } else if let Some(entry) = self.file.index.entry(id, self.lanes[id].place) {
                end = end.min(entry.span.first());
            }
        }
        (turns, end)
    }

    /// Puts a lane into the queue again, if anything is left of it.
    fn queue(&mut self, id: usize) {
        let next = self.upcoming(id);
        let lane = &mut self.lanes[id];
        if lane.at == lane.frames.len() {
            (lane.frames, lane.at) = (Vec::new(), 0);
        }
        let Some(next) = next else { return };
        if let Some(held) = self.front.replace((next, id)) {
            let (low, high) = (held.min((next, id)), held.max((next, id)));
            self.front = Some(low);
            self.heads.push(Reverse(high));
        }
    }

    /// Goes on to the next packets: their lane, and their place in it.
    fn step(&mut self) -> Result<Option<ReadStep>, TapeFileError<S::Error>> {
        while let Some((_, id)) = self.front {
            self.release();
            let loaded = self.load(id);
            let place = self.advance(id);
            self.requeue(id);
            loaded?;
            if !place.is_empty() {
                return Ok(Some((id, place)));
            }
        }
        Ok(None)
    }

    /// Moves a lane, which was at the front, to where another's turn comes; returns what it passed.
    fn advance(&mut self, id: usize) -> Range<usize> {
        let lane = &mut self.lanes[id];
        let rest = &lane.frames[lane.at..];
        // A sequence that two blocks have counts once; so does what lies before the start.
        let known = match rest.first() {
            Some(first) if sequence_of(first) < self.next => {
                rest.partition_point(|frame| sequence_of(frame) < self.next)
            }
            _ => 0,
        };
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

    /// Lets go of a block that has been read to its end.
    #[inline(always)]
    fn release(&mut self) {
        if let Some(spent) = self.spent.take() {
            self.lanes[spent].frames = Vec::new();
            self.lanes[spent].at = 0;
        }
    }

    /// The next sequence of a lane, if anything is left of it.
    #[inline(always)]
    fn upcoming(&self, id: usize) -> Option<Seq> {
        let lane = &self.lanes[id];
        match lane.frames.get(lane.at) {
            Some(frame) => Some(sequence_of(frame)),
            None => self.file.index.entry(id, lane.place).map(|entry| entry.span.first()),
        }
    }

    fn requeue(&mut self, id: usize) {
        let next = self.upcoming(id).map(|seq| (seq, id));
        let lane = &self.lanes[id];
        let spent = lane.at == lane.frames.len();
        self.front = match (next, self.heads.peek_mut()) {
            // Another lane's turn; this one takes its place among the others.
            (Some(own), Some(mut head)) if head.0 < own => {
                Some(core::mem::replace(&mut *head, Reverse(own)).0)
            }
            (None, Some(head)) => Some(PeekMut::pop(head).0),
            (own, _) => own,
        };
        if spent {
            self.spent = Some(id);
        }
    }
}

/// Moves the packets together whose slots are theirs; returns how many they are.
fn squeeze(slots: &mut [RawFrame], base: Seq) -> usize {
    let empty = |(slot, seq): (&RawFrame, Seq)| sequence_of(slot) != seq;
    let Some(hole) = slots.iter().zip(base..).position(empty) else { return slots.len() };
    let mut count = hole;
    for (at, seq) in (0..slots.len()).zip(base..).skip(hole) {
        if sequence_of(&slots[at]) == seq {
            slots[count] = slots[at];
            count += 1;
        }
    }
    count
}
