//! Index of a tape file: the blocks of packets by sequence.

use super::block::{IndexEntry, Layout};
use crate::base::seq::{Seq, SeqRange};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Blocks of a file, divided into sorted runs: within a run, blocks ascend and do not overlap, so
/// that a run can be searched and read in order. A stream fills one run, the resends for its gaps
/// another. A new run begins only where blocks overlap, so there are few.
#[derive(Clone, Default, Debug)]
pub(super) struct Index {
    runs: Vec<Vec<IndexEntry>>,
    /// Last sequence of each run, with the run's index: finds the run that a block continues,
    /// however many runs there are.
    tops: BTreeSet<(Seq, usize)>,
    packets: u64,
}

impl Index {
    pub(super) fn insert(&mut self, entry: IndexEntry) {
        self.packets += u64::from(entry.count);
        let below = self.tops.range(..(entry.span.first(), 0)).next_back().copied();
        let run = match below {
            Some(top) => {
                self.tops.remove(&top);
                top.1
            }
            None => {
                self.runs.push(Vec::new());
                self.runs.len() - 1
            }
        };
        self.runs[run].push(entry);
        self.tops.insert((entry.span.last(), run));
    }

    /// Removes the block at an offset. The end of its run is not moved back.
    pub(super) fn remove(&mut self, offset: u64, span: SeqRange) {
        for run in &mut self.runs {
            if let Ok(at) = run.binary_search_by_key(&span, |held| held.span)
                && run[at].offset == offset
            {
                self.packets -= u64::from(run.remove(at).count);
                return;
            }
        }
    }

    /// Removes the blocks for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: impl Fn(&IndexEntry) -> bool) {
        let entries = core::mem::take(self).in_file_order();
        entries.into_iter().filter(keep).for_each(|entry| self.insert(entry));
    }

    /// Returns the layout of the first block; blocks of others fit it.
    pub(super) fn layout(&self) -> Option<Layout> {
        self.runs.first()?.first().map(|entry| entry.layout)
    }

    /// Returns the number of messages in all blocks.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the range from the lowest to the highest sequence.
    pub(super) fn span(&self) -> Option<SeqRange> {
        let first = self.runs.iter().filter_map(|run| run.first()).map(|entry| entry.span.first());
        let last = self.runs.iter().filter_map(|run| run.last()).map(|entry| entry.span.last());
        SeqRange::new(first.min()?, last.max()?)
    }

    /// Returns true if the blocks have every sequence of their range exactly once. Returns false
    /// for overlapping blocks, of which the index cannot tell.
    pub(super) fn is_contiguous(&self) -> bool {
        let [run] = self.runs.as_slice() else { return self.runs.is_empty() };
        let full = |entry: &IndexEntry| u64::from(entry.count) == entry.span.len();
        run.iter().all(full)
            && run.windows(2).all(|pair| pair[0].span.last() + 1 == pair[1].span.first())
    }

    pub(super) fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Returns the position in a run of the first block that ends at `seq` or after.
    pub(super) fn place(&self, run: usize, seq: Seq) -> usize {
        self.runs[run].partition_point(|entry| entry.span.last() < seq)
    }

    pub(super) fn entry(&self, run: usize, place: usize) -> Option<IndexEntry> {
        self.runs.get(run)?.get(place).copied()
    }

    /// Returns the blocks that may contain `seq`.
    pub(super) fn holders(&self, seq: Seq) -> impl Iterator<Item = IndexEntry> + '_ {
        (0..self.runs.len())
            .filter_map(move |run| self.entry(run, self.place(run, seq)))
            .filter(move |entry| entry.span.first() <= seq)
    }

    /// Returns all blocks in the order of their offsets.
    pub(super) fn in_file_order(&self) -> Vec<IndexEntry> {
        let mut entries: Vec<IndexEntry> = self.runs.iter().flatten().copied().collect();
        entries.sort_unstable_by_key(|entry| entry.offset);
        entries
    }
}
