//! Reader of a tape file in the order of its sequences, packet by packet.

use super::content::Content;
use super::index::Index;
use super::run_reader::RunReader;
use super::{BlockHead, Layout, TapeFile, TapeFileError};
use crate::base::seq::{MAX_SEQ, Seq, to_index};
use crate::storage::Storage;
use crate::wire::{FRAME_LEN, Messages, RawFrame, sequence_of};
use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// Reader that returns a tape file's packets in order, in slices. It holds the blocks around the
/// current sequence: one of the stream, one of the resends, rarely more.
#[derive(Debug)]
pub struct OrderedReader<'a, S: Storage> {
    file: &'a TapeFile<S>,
    runs: Vec<SortedRunReader>,
    /// Next sequence and the sorted run that has it; `None` at the end. A run whose block is not
    /// loaded yet is at that block's first sequence.
    front: Option<(Seq, usize)>,
    /// Other runs with packets left, by their next sequence.
    heads: BinaryHeap<Reverse<(Seq, usize)>>,
    next: Seq,
    /// Run whose block is read to its end.
    spent: Option<usize>,
    /// Slots for merged packets. A used slot has a sequence below [`next`](Self::next).
    merged: Vec<RawFrame>,
    /// Number of sequences that are merged together; smaller where most are missing.
    width: Seq,
    /// Error that ended the merging.
    failure: Option<TapeFileError<S::Error>>,
    /// Reader of a file of runs of messages, instead of all that is above.
    messages: Option<RunReader>,
}

/// Sorted run, and the range of its packets that comes next.
type ReadStep = (usize, Range<usize>);

/// Number of packets after which a merged slice is returned; it may exceed this by one window.
const MERGED: usize = 4096;
/// Maximum number of sequences that are merged together.
const WIDE: Seq = 4096;
/// Minimum number of sequences that are merged together.
const NARROW: Seq = 64;

/// Piece of a reading: ascending messages above all earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderedPiece<'a> {
    /// Head of the messages' block, with their time and origin.
    pub block: BlockHead,
    /// Messages of the piece.
    pub messages: Messages<'a>,
}

impl<'a> OrderedPiece<'a> {
    /// Returns the order packets of the piece; none if its messages are a run.
    #[must_use]
    pub fn packets(&self) -> &'a [RawFrame] {
        self.messages.packets()
    }
}

#[derive(Debug)]
struct SortedRunReader {
    /// Position in the run of the block that is loaded next.
    place: usize,
    block: Option<BlockHead>,
    frames: Vec<RawFrame>,
    at: usize,
}

impl<'a, S: Storage> OrderedReader<'a, S> {
    pub(super) fn new(file: &'a TapeFile<S>, from: Seq) -> Self {
        let index: &Index = &file.index;
        let has_message_runs = matches!(index.layout(), Some(Layout::Run(_)));
        let messages = has_message_runs.then(|| RunReader::new(file, from));
        let mut runs = Vec::new();
        let mut heads = BinaryHeap::new();
        for id in 0..if has_message_runs { 0 } else { index.run_count() } {
            let place = index.place(id, from);
            runs.push(SortedRunReader { place, block: None, frames: Vec::new(), at: 0 });
            if let Some(entry) = index.entry(id, place) {
                heads.push(Reverse((entry.span.first(), id)));
            }
        }
        let front = heads.pop().map(|Reverse(head)| head);
        let (next, spent, merged, failure) = (from, None, Vec::new(), None);
        Self { file, runs, front, heads, next, spent, merged, width: WIDE, failure, messages }
    }

    /// Returns the next messages that arrived together.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block. The next call continues without that block.
    #[expect(clippy::should_implement_trait, reason = "it lends; an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<OrderedPiece<'_>>, TapeFileError<S::Error>> {
        if self.messages.is_some() {
            return self.next_of_messages();
        }
        let Some((id, place)) = self.step()? else { return Ok(None) };
        let reader = &self.runs[id];
        let messages = Messages::Packets(&reader.frames[place]);
        Ok(reader.block.map(|block| OrderedPiece { block, messages }))
    }

    fn next_of_messages(&mut self) -> Result<Option<OrderedPiece<'_>>, TapeFileError<S::Error>> {
        let Some(reader) = &mut self.messages else { return Ok(None) };
        let Some((block, range)) = reader.step(self.file)? else { return Ok(None) };
        Ok(Some(OrderedPiece { block, messages: reader.messages(range) }))
    }

    /// Returns the next messages, thousands at once, from any origin; none at the end. If a quarter
    /// of a stream arrived by resends, only three or four neighbouring packets share an origin, and
    /// [`next`](Self::next) would return them in tiny pieces.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn merged(&mut self) -> Result<Messages<'_>, TapeFileError<S::Error>> {
        if self.messages.is_some() {
            return Ok(self.next_of_messages()?.map_or(Messages::NONE, |piece| piece.messages));
        }
        self.merged.resize(MERGED + to_index(WIDE), [0; FRAME_LEN]);
        let mut count = 0;
        while count < MERGED && self.failure.is_none() && self.front.is_some() {
            count += self.window(count);
        }
        // Packets that were read before the error are returned first.
        match self.failure.take_if(|_| count == 0) {
            Some(failure) => Err(failure),
            None => Ok(Messages::Packets(&self.merged[..count])),
        }
    }

    /// Merges the packets of a window of sequences, each into its own slot, without comparing
    /// packets. They are stored after the first `merged` ones. Returns their number.
    fn window(&mut self, merged: usize) -> usize {
        self.release();
        let Some((first, _)) = self.front else { return 0 };
        let base = first.max(self.next);
        let (turns, end) = self.turns(base);
        let slots = &mut self.merged[merged..];
        let mut count = 0;
        // If two blocks have a sequence, the packet of the block that comes first is used.
        for &id in turns.iter().rev() {
            let reader = &mut self.runs[id];
            reader.at +=
                reader.frames[reader.at..].partition_point(|frame| sequence_of(frame) < base);
            let rest = &reader.frames[reader.at..];
            let run = &rest[..rest.partition_point(|frame| sequence_of(frame) < end)];
            reader.at += run.len();
            count += run.len();
            if turns.len() == 1 {
                slots[..run.len()].copy_from_slice(run);
            } else {
                run.iter().for_each(|frame| slots[to_index(sequence_of(frame) - base)] = *frame);
            }
            if let Some(last) = run.last() {
                self.next = self.next.max(sequence_of(last) + 1);
            }
        }
        if turns.len() > 1 {
            count = squeeze(&mut slots[..to_index(self.next.max(base) - base)], base);
            self.width = match count * 8 < to_index(self.width) {
                true => (self.width / 2).max(NARROW),
                false => (self.width * 2).min(WIDE),
            };
        }
        turns.iter().for_each(|&id| self.queue(id));
        count
    }

    /// Removes from the queue the runs that have packets in the window at `base`, and loads their
    /// blocks. Returns the runs and the end of the window, which is where one of them needs its
    /// next block, at the latest.
    fn turns(&mut self, base: Seq) -> (Vec<usize>, Seq) {
        let mut end = base.saturating_add(self.width);
        let mut turns = Vec::new();
        while let Some((seq, id)) = self.front.filter(|&(seq, _)| seq < end) {
            self.front = self.heads.pop().map(|Reverse(head)| head);
            turns.push(id);
            if let Err(failure) = self.load(id) {
                self.failure = Some(failure);
                end = seq.max(base);
            } else if let Some(entry) = self.file.index.entry(id, self.runs[id].place) {
                end = end.min(entry.span.first());
            }
        }
        (turns, end)
    }

    /// Returns a run to the queue if it has packets left.
    fn queue(&mut self, id: usize) {
        let next = self.upcoming(id);
        let reader = &mut self.runs[id];
        if reader.at == reader.frames.len() {
            (reader.frames, reader.at) = (Vec::new(), 0);
        }
        let Some(next) = next else { return };
        if let Some(held) = self.front.replace((next, id)) {
            let (low, high) = (held.min((next, id)), held.max((next, id)));
            self.front = Some(low);
            self.heads.push(Reverse(high));
        }
    }

    /// Moves to the next packets, and returns their run and their position in it.
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

    /// Moves the front run to the sequence at which another run is next. Returns the packets that
    /// it passed.
    fn advance(&mut self, id: usize) -> Range<usize> {
        let reader = &mut self.runs[id];
        let rest = &reader.frames[reader.at..];
        // Sequences that were read already, or lie before the start, are skipped.
        let known = match rest.first() {
            Some(first) if sequence_of(first) < self.next => {
                rest.partition_point(|frame| sequence_of(frame) < self.next)
            }
            _ => 0,
        };
        // The bound is included: two runs with the same next sequence would otherwise wait for each
        // other for ever.
        let limit = self.heads.peek().map_or(MAX_SEQ, |Reverse((seq, _))| *seq);
        let rest = &rest[known..];
        let run = match rest.last() {
            Some(top) if sequence_of(top) <= limit => rest.len(),
            _ => rest.iter().take_while(|frame| sequence_of(frame) <= limit).count(),
        };
        let start = reader.at + known;
        reader.at = start + run;
        if let Some(top) = rest[..run].last() {
            self.next = sequence_of(top) + 1;
        }
        start..start + run
    }

    /// Loads the next block of a run, if it is not loaded.
    fn load(&mut self, id: usize) -> Result<(), TapeFileError<S::Error>> {
        let reader = &mut self.runs[id];
        if reader.at == reader.frames.len()
            && let Some(entry) = self.file.index.entry(id, reader.place)
        {
            reader.place += 1;
            let (block, content) = self.file.load(entry)?;
            reader.block = Some(block);
            if let Content::Packets(frames) = content {
                reader.frames = frames;
            }
            reader.at = 0;
        }
        Ok(())
    }

    /// Drops the block that was read to its end.
    #[inline(always)]
    fn release(&mut self) {
        if let Some(spent) = self.spent.take() {
            self.runs[spent].frames = Vec::new();
            self.runs[spent].at = 0;
        }
    }

    /// Returns the next sequence of a run; `None` at its end.
    #[inline(always)]
    fn upcoming(&self, id: usize) -> Option<Seq> {
        let reader = &self.runs[id];
        match reader.frames.get(reader.at) {
            Some(frame) => Some(sequence_of(frame)),
            None => self.file.index.entry(id, reader.place).map(|entry| entry.span.first()),
        }
    }

    fn requeue(&mut self, id: usize) {
        let next = self.upcoming(id).map(|seq| (seq, id));
        let reader = &self.runs[id];
        let spent = reader.at == reader.frames.len();
        self.front = match (next, self.heads.peek_mut()) {
            // Another run is next; this one goes back to the queue.
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

/// Moves the packets of used slots together. Returns their number.
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
