//! Counts of the packets that an exchange has sent and of the faults that it has applied, made at
//! the moment of sending.

use crate::base::seq::{Seq, SeqRange, to_index};
use crate::faults::scenario::FaultAction;
use crate::wire::MAX_PACKET_SEQ;
use alloc::vec::Vec;

/// Maximum number of cells of a tape.
const CELLS_MAX: Seq = 4096;
/// Minimum number of sequences of a cell, as a power of two, so that a cell holds whole masks. A
/// tape of fewer than [`CELLS_MAX`] packets is counted sequence by sequence instead.
const SHIFT: u32 = 6;
/// Number of packets from which on a tape has larger cells, because it is sent fast and each cell
/// costs time.
const LONG: Seq = 1 << 16;

/// Counts of a range of sequences, over all streams since the tape began. A stream either sends or
/// drops each packet, so `dropped / (sent + dropped)` is the share that was dropped. Resends answer
/// requests and are no part of that sum.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TallyCell {
    /// Number of packets that streams sent.
    pub sent: u64,
    /// Number of packets that streams dropped on purpose.
    pub dropped: u64,
    /// Number of packets that clients requested again and that the tape has.
    pub resent: u64,
}

impl TallyCell {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.dropped += other.dropped;
    }
}

/// Counts by cell and by kind of fault, in at most 96 KiB however long the tape is.
#[derive(Clone, Debug)]
pub struct FaultTally {
    /// Number of sequences of a cell, as a power of two.
    shift: u32,
    cells: Vec<TallyCell>,
    /// Sum of all cells, those of earlier tapes included.
    total: TallyCell,
    /// Number of resends dropped on purpose.
    resends_dropped: u64,
    /// Number of times that faults of each kind were applied, by [`FaultAction::kind`].
    kinds: [u64; FaultAction::KINDS.len()],
    /// Number of packets that [`drop_next`](crate::exchange::server::MockExchange::drop_next) has
    /// dropped.
    dropped_by_order: u64,
}

impl FaultTally {
    /// Creates an empty tally for a tape that ends with `last`.
    pub(crate) fn new(last: Seq) -> Self {
        // A long tape has larger cells, so that few of them are touched for each write.
        let least = match last {
            LONG.. => SHIFT + 2,
            CELLS_MAX.. => SHIFT,
            _ => 0,
        };
        let shift = least.max((last / CELLS_MAX + 1).next_power_of_two().trailing_zeros());
        // A live tape is much shorter than its nominal last sequence, so it begins with small
        // cells.
        let shift = if last >= MAX_PACKET_SEQ { SHIFT } else { shift };
        Self {
            shift,
            cells: Vec::new(),
            total: TallyCell::default(),
            resends_dropped: 0,
            kinds: [0; FaultAction::KINDS.len()],
            dropped_by_order: 0,
        }
    }

    /// Begins the cells of the next tape and keeps the sums.
    pub(crate) fn restart(&mut self, last: Seq) {
        let Self { shift, cells, .. } = Self::new(last);
        (self.shift, self.cells) = (shift, cells);
    }

    /// Counts `count` applications of a fault.
    pub(crate) fn count_applied(&mut self, action: FaultAction, count: u64) {
        self.kinds[action.kind()] += count;
    }

    /// Counts packets dropped by order.
    pub(crate) fn count_dropped_by_order(&mut self, count: u64) {
        self.dropped_by_order += count;
    }

    /// Returns how many packets [`drop_next`](crate::exchange::server::MockExchange::drop_next) has
    /// dropped.
    #[must_use]
    pub fn dropped_by_order(&self) -> u64 {
        self.dropped_by_order
    }

    /// Returns how often faults of each kind were applied.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        FaultAction::KINDS.into_iter().zip(self.kinds)
    }

    /// Returns the last sequence up to which a run can be counted in one go: the end of the cell
    /// that has `seq`, or of the mask where cells are smaller than masks.
    pub(crate) fn last_countable_together(&self, seq: Seq) -> Seq {
        seq | ((1 << self.shift.max(SHIFT)) - 1)
    }

    /// Counts packets that streams sent or dropped, all in the cell of `seq`.
    pub(crate) fn count_streamed(&mut self, seq: Seq, sent: u64, dropped: u64) {
        let cell = self.cell_mut(seq);
        cell.sent += sent;
        cell.dropped += dropped;
        self.total.sent += sent;
        self.total.dropped += dropped;
    }

    /// Counts messages of streams that were all sent (`sent` is 1) or all dropped (0).
    pub(crate) fn count_streamed_range(&mut self, range: SeqRange, sent: u64) {
        let mut first = range.first();
        loop {
            self.grow_to(range.last());
            let end = (first | ((1 << self.shift) - 1)).min(range.last());
            let count = end - first + 1;
            self.count_streamed(first, count * sent, count * (1 - sent.min(1)));
            if end == range.last() {
                return;
            }
            first = end + 1;
        }
    }

    /// Counts a packet that was requested again and dropped.
    pub(crate) fn count_dropped_resend(&mut self) {
        self.resends_dropped += 1;
    }

    /// Returns the cell of a sequence, which it creates if need be.
    fn cell_mut(&mut self, seq: Seq) -> &mut TallyCell {
        self.grow_to(seq);
        &mut self.cells[to_index(seq >> self.shift)]
    }

    /// Creates cells up to that of a sequence; halves their number while that is too far.
    fn grow_to(&mut self, seq: Seq) {
        while seq >> self.shift >= CELLS_MAX {
            // Two neighbours become one cell.
            for at in 0..self.cells.len().div_ceil(2) {
                let mut cell = self.cells[at * 2];
                cell.add(self.cells.get(at * 2 + 1).copied().unwrap_or_default());
                self.cells[at] = cell;
            }
            self.cells.truncate(self.cells.len().div_ceil(2));
            self.shift += 1;
        }
        let at = to_index(seq >> self.shift);
        if self.cells.len() <= at {
            self.cells.resize(at + 1, TallyCell::default());
        }
    }

    /// Counts packets that were requested again.
    pub(crate) fn count_resent(&mut self, range: SeqRange) {
        self.count_range(range, |cell, count| cell.resent += count);
    }

    /// Counts packets that a stream dropped, all of them.
    pub(crate) fn count_dropped(&mut self, range: SeqRange) {
        self.count_range(range, |cell, count| cell.dropped += count);
    }

    /// Counts a range, cell by cell and in the sum.
    fn count_range(&mut self, range: SeqRange, count: impl Fn(&mut TallyCell, u64)) {
        self.grow_to(range.last());
        let mut next = range.first();
        while next <= range.last() {
            let stop = (next | (self.width() - 1)).min(range.last());
            count(&mut self.cells[to_index(next >> self.shift)], stop - next + 1);
            next = stop + 1;
        }
        count(&mut self.total, range.len());
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

    /// Returns the number of sequences of a cell.
    #[must_use]
    pub fn width(&self) -> u64 {
        1 << self.shift
    }

    /// Returns the cells in order of sequence; the first one begins with sequence 0.
    #[must_use]
    pub fn cells(&self) -> &[TallyCell] {
        &self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_grow_and_keep_their_counts() {
        let mut tally = FaultTally::new(MAX_PACKET_SEQ);
        for seq in [1, 63, 64, 4096 * 64, 5_000_000, 1 << 30] {
            tally.count_streamed(seq, 1, 0);
        }
        tally.count_resent(SeqRange::new(1, 1 << 20).unwrap());
        tally.count_dropped(SeqRange::new(60, 130).unwrap());
        assert!(tally.cells().len() <= to_index(CELLS_MAX));
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
        tally.count_dropped(SeqRange::new(3, 4).unwrap());
        assert_eq!([2, 3, 4, 5].map(|seq| tally.cell_mut(seq).dropped), [0, 1, 1, 0]);
        assert!(FaultTally::new(CELLS_MAX - 1).cells.len() <= to_index(CELLS_MAX));
        let mut full = FaultTally::new(CELLS_MAX - 1);
        full.count_streamed(CELLS_MAX - 1, 1, 0);
        assert_eq!((full.cells().len(), full.width()), (to_index(CELLS_MAX), 1));
    }

    #[test]
    fn another_tape_begins_with_empty_cells_and_keeps_the_sum() {
        let mut tally = FaultTally::new(14);
        tally.count_streamed(7, 1, 0);
        tally.restart(14);
        assert_eq!((tally.cells().len(), tally.total().sent), (0, 1));
    }
}
