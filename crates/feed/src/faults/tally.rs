//! What an exchange has sent and what its faults have done, counted where it is carried out.

use crate::scenario::Action;
use crate::seq::{Seq, SeqRange};
use alloc::vec::Vec;

/// So many cells a tape is divided into at the most.
const CELLS_MAX: u32 = 4096;
/// A cell has so many sequences at least, as a power of two: what is one mask stays together.
const SHIFT: u32 = 6;
/// A tape that is so long is sent fast.
const LONG: Seq = 1 << 16;

/// What became of the sequences of a cell, over all runs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Packets sent by streams.
    pub sent: u64,
    /// Packets owed to who asked for them.
    pub resent: u64,
    /// Packets that streams have lost on purpose.
    pub dropped: u64,
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.dropped += other.dropped;
    }
}

/// Counts by cell, and by kind of fault. It takes a bounded room (96 KiB) however long a tape is.
#[derive(Clone, Debug)]
pub struct Tally {
    /// A cell has two to the power of this many sequences.
    shift: u32,
    cells: Vec<Cell>,
    /// By [`Action::kind`].
    kinds: [u64; Action::KINDS.len()],
    by_order: u64,
}

impl Tally {
    pub(super) fn new(last: Seq) -> Self {
        // Of a long tape, few things are counted for each.
        let least = if last >= LONG { SHIFT + 2 } else { SHIFT };
        let shift = least.max((last / CELLS_MAX + 1).next_power_of_two().trailing_zeros());
        // A live tape is much shorter than where it ends.
        let shift = if last == crate::seq::MAX_SEQ { SHIFT } else { shift };
        Self { shift, cells: Vec::new(), kinds: [0; Action::KINDS.len()], by_order: 0 }
    }

    /// Another tape begins.
    pub(super) fn restart(&mut self, last: Seq) {
        let Self { shift, cells, .. } = Self::new(last);
        (self.shift, self.cells) = (shift, cells);
    }

    pub(super) fn struck(&mut self, action: Action, count: u64) {
        self.kinds[action.kind()] += count;
    }

    pub(crate) fn lost_by_order(&mut self, count: u64) {
        self.by_order += count;
    }

    /// Packets that [`lose`](crate::player::Player::lose) has lost.
    #[must_use]
    pub fn by_order(&self) -> u64 {
        self.by_order
    }

    /// How often faults of each kind have happened.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Action::KINDS.into_iter().zip(self.kinds)
    }

    /// The last sequence of the cell that has `seq`.
    pub(crate) fn end(&self, seq: Seq) -> Seq {
        seq | ((1 << self.shift) - 1)
    }

    /// The cell of a sequence.
    pub(crate) fn at(&mut self, seq: Seq) -> &mut Cell {
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
            self.cells.resize(at + 1, Cell::default());
        }
        &mut self.cells[at]
    }

    pub(crate) fn resent(&mut self, range: SeqRange) {
        let mut next = range.first();
        while next <= range.last() {
            let stop = self.end(next).min(range.last());
            self.at(next).resent += u64::from(stop - next + 1);
            next = stop + 1;
        }
    }

    /// How many sequences a cell has.
    #[must_use]
    pub fn width(&self) -> u32 {
        1 << self.shift
    }

    /// The cells, the first one from sequence 0 on.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_grow_and_nothing_is_lost() {
        let mut tally = Tally::new(crate::seq::MAX_SEQ);
        for seq in [1, 63, 64, 4096 * 64, 5_000_000, 1 << 30] {
            tally.at(seq).sent += 1;
        }
        tally.resent(SeqRange::new(1, 1 << 20).unwrap());
        assert!(tally.cells().len() <= CELLS_MAX as usize);
        assert_eq!(tally.cells().iter().map(|cell| cell.sent).sum::<u64>(), 6);
        assert_eq!(tally.cells().iter().map(|cell| cell.resent).sum::<u64>(), 1 << 20);
        assert_eq!(tally.cells()[0].sent, 4, "sequences below {}", tally.width());
        assert_eq!(Tally::new(1000).width(), 64);
        assert_eq!(Tally::new(10_000_000).width(), 4096);
    }
}
