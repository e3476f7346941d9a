//! What an exchange has sent and what its faults have done, counted where it is carried out.

use crate::base::seq::{Seq, SeqRange};
use crate::faults::scenario::FaultAction;
use alloc::vec::Vec;

/// So many cells a tape is divided into at the most.
const CELLS_MAX: u32 = 4096;
/// A cell of a longer tape has so many sequences at least, as a power of two: what is one mask
/// stays together. A tape of fewer than [`CELLS_MAX`] packets is counted sequence by sequence.
const SHIFT: u32 = 6;
/// A tape that is so long is sent fast.
const LONG: Seq = 1 << 16;

/// Counts of a range of sequences, over all streams since the tape began. Every packet that came up
/// in a stream is either sent or dropped, so `dropped / (sent + dropped)` is the share that was
/// lost. Resends are answers to requests and no part of that sum.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TallyCell {
    /// Packets that streams sent.
    pub sent: u64,
    /// Packets that streams dropped on purpose.
    pub dropped: u64,
    /// Packets owed to clients that requested them again.
    pub resent: u64,
}

impl TallyCell {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.dropped += other.dropped;
    }
}

/// Counts by cell, and by kind of fault. It takes a bounded room (96 KiB) however long a tape is.
#[derive(Clone, Debug)]
pub struct FaultTally {
    /// A cell has two to the power of this many sequences.
    shift: u32,
    cells: Vec<TallyCell>,
    /// Sum of all cells, those of earlier tapes included.
    total: TallyCell,
    /// Resends dropped on purpose.
    resends_dropped: u64,
    /// By [`FaultAction::kind`].
    kinds: [u64; FaultAction::KINDS.len()],
    by_order: u64,
}

impl FaultTally {
    pub(crate) fn new(last: Seq) -> Self {
        // Of a long tape, few things are counted for each.
        let least = match last {
            LONG.. => SHIFT + 2,
            CELLS_MAX.. => SHIFT,
            _ => 0,
        };
        let shift = least.max((last / CELLS_MAX + 1).next_power_of_two().trailing_zeros());
        // A live tape is much shorter than where it ends.
        let shift = if last == crate::base::seq::MAX_SEQ { SHIFT } else { shift };
        Self {
            shift,
            cells: Vec::new(),
            total: TallyCell::default(),
            resends_dropped: 0,
            kinds: [0; FaultAction::KINDS.len()],
            by_order: 0,
        }
    }

    /// Another tape begins.
    pub(crate) fn restart(&mut self, last: Seq) {
        let Self { shift, cells, .. } = Self::new(last);
        (self.shift, self.cells) = (shift, cells);
    }

    pub(crate) fn struck(&mut self, action: FaultAction, count: u64) {
        self.kinds[action.kind()] += count;
    }

    pub(crate) fn lost_by_order(&mut self, count: u64) {
        self.by_order += count;
    }

    /// Packets that [`lose`](crate::exchange::server::MockExchange::drop_next) has lost.
    #[must_use]
    pub fn by_order(&self) -> u64 {
        self.by_order
    }

    /// How often faults of each kind have happened.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        FaultAction::KINDS.into_iter().zip(self.kinds)
    }

    /// Returns the last sequence up to which a run can be counted in one go: the end of the cell
    /// that has `seq`, or of the mask where cells are smaller than masks.
    pub(crate) fn end(&self, seq: Seq) -> Seq {
        seq | ((1 << self.shift.max(SHIFT)) - 1)
    }

    /// Counts what streams made of sequences that lie in the cell of `seq`.
    pub(crate) fn streamed(&mut self, seq: Seq, sent: u64, dropped: u64) {
        let cell = self.at(seq);
        cell.sent += sent;
        cell.dropped += dropped;
        self.total.sent += sent;
        self.total.dropped += dropped;
    }

    /// Counts a packet that was requested again and dropped.
    pub(crate) fn resend_dropped(&mut self) {
        self.resends_dropped += 1;
    }

    /// Returns the cell of a sequence.
    fn at(&mut self, seq: Seq) -> &mut TallyCell {
        self.reach(seq);
        &mut self.cells[(seq >> self.shift) as usize]
    }

    /// Has a cell for a sequence, and for all before it.
    fn reach(&mut self, seq: Seq) {
        while seq >> self.shift >= CELLS_MAX {
            // Two cells become one.
            for at in 0..self.cells.len().div_ceil(2) {
                let mut cell = self.cells[at * 2];
                cell.add(self.cells.get(at * 2 + 1).copied().unwrap_or_default());
                self.cells[at] = cell;
            }
            self.cells.truncate(self.cells.len().div_ceil(2));
            self.shift += 1;
        }
        let at = (seq >> self.shift) as usize;
        if self.cells.len() <= at {
            self.cells.resize(at + 1, TallyCell::default());
        }
    }

    /// Counts packets that were requested again.
    pub(crate) fn resent(&mut self, range: SeqRange) {
        self.each(range, |cell, count| cell.resent += count);
    }

    /// Counts packets that a stream dropped, all of them.
    pub(crate) fn dropped(&mut self, range: SeqRange) {
        self.each(range, |cell, count| cell.dropped += count);
    }

    /// Counts a range, cell by cell and in the sum.
    fn each(&mut self, range: SeqRange, count: impl Fn(&mut TallyCell, u64)) {
        self.reach(range.last());
        let mut next = range.first();
        while next <= range.last() {
            let stop = (next | (self.width() - 1)).min(range.last());
            count(&mut self.cells[(next >> self.shift) as usize], u64::from(stop - next + 1));
            next = stop + 1;
        }
        count(&mut self.total, u64::from(range.len()));
    }

    /// Returns the sum of all cells since the exchange began, those of earlier tapes included.
    #[must_use]
    pub fn total(&self) -> TallyCell {
        self.total
    }

    /// Returns how many resends were dropped on purpose.
    #[must_use]
    pub fn resends_dropped(&self) -> u64 {
        self.resends_dropped
    }

    /// How many sequences a cell has.
    #[must_use]
    pub fn width(&self) -> u32 {
        1 << self.shift
    }

    /// The cells, the first one from sequence 0 on.
    #[must_use]
    pub fn cells(&self) -> &[TallyCell] {
        &self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_grow_and_nothing_is_lost() {
        let mut tally = FaultTally::new(crate::base::seq::MAX_SEQ);
        for seq in [1, 63, 64, 4096 * 64, 5_000_000, 1 << 30] {
            tally.streamed(seq, 1, 0);
        }
        tally.resent(SeqRange::new(1, 1 << 20).unwrap());
        tally.dropped(SeqRange::new(60, 130).unwrap());
        assert!(tally.cells().len() <= CELLS_MAX as usize);
        let mut sum = TallyCell::default();
        tally.cells().iter().for_each(|cell| sum.add(*cell));
        assert_eq!(sum, TallyCell { sent: 6, dropped: 71, resent: 1 << 20 });
        assert_eq!(sum, tally.total());
        assert_eq!(tally.cells()[0].sent, 4, "sequences below {}", tally.width());
        assert_eq!(FaultTally::new(10_000_000).width(), 4096);
    }

    #[test]
    fn a_short_tape_is_counted_sequence_by_sequence() {
        assert_eq!(FaultTally::new(CELLS_MAX - 1).width(), 1);
        assert_eq!(FaultTally::new(CELLS_MAX).width(), 64);
        let mut tally = FaultTally::new(14);
        tally.dropped(SeqRange::new(3, 4).unwrap());
        assert_eq!([2, 3, 4, 5].map(|seq| tally.at(seq).dropped), [0, 1, 1, 0]);
        assert!(FaultTally::new(CELLS_MAX - 1).cells.len() <= CELLS_MAX as usize);
        let mut full = FaultTally::new(CELLS_MAX - 1);
        full.streamed(CELLS_MAX - 1, 1, 0);
        assert_eq!((full.cells().len(), full.width()), (CELLS_MAX as usize, 1));
    }

    #[test]
    fn another_tape_begins_with_empty_cells_and_keeps_the_sum() {
        let mut tally = FaultTally::new(14);
        tally.streamed(7, 1, 0);
        tally.restart(14);
        assert_eq!((tally.cells().len(), tally.total().sent), (0, 1));
    }
}
