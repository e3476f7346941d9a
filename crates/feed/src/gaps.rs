//! What is missing: ranges of sequences below the highest one seen.

use crate::seq::{Seq, SeqRange};
use alloc::collections::BTreeMap;
use core::time::Duration;

/// The open gaps of a recording: disjoint ranges, each with the time when it opened.
///
/// Cost is per range, never per sequence: a gap of two billion sequences takes the room of one.
#[derive(Clone, Default, Debug)]
pub struct GapSet {
    gaps: BTreeMap<Seq, Gap>,
    missing: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    last: Seq,
    opened: Duration,
}

impl GapSet {
    /// No gaps.
    #[must_use]
    pub const fn new() -> Self {
        Self { gaps: BTreeMap::new(), missing: 0 }
    }

    /// How many ranges are missing.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gaps.len()
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// How many sequences are missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The missing ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.gaps.iter().filter_map(|(&first, gap)| SeqRange::new(first, gap.last))
    }

    /// The first missing range at or above `seq`, without what lies below it.
    #[must_use]
    pub fn at_or_after(&self, seq: Seq) -> Option<SeqRange> {
        let around = self.gaps.range(..seq).next_back().filter(|(_, gap)| gap.last >= seq);
        let (&first, gap) = around.or_else(|| self.gaps.range(seq..).next())?;
        SeqRange::new(first.max(seq), gap.last)
    }

    /// Of the gaps that opened after `time`, the lowest of those above all older ones, and when it
    /// opened. Costs as much as there are.
    #[must_use]
    pub fn younger(&self, time: Duration) -> Option<(Seq, Duration)> {
        let young = self.gaps.iter().rev().take_while(|(_, gap)| gap.opened > time);
        young.last().map(|(&first, gap)| (first, gap.opened))
    }

    /// Whether filling `run` would leave two gaps where one is now.
    #[must_use]
    pub fn splits(&self, run: SeqRange) -> bool {
        let below = self.gaps.range(..run.first()).next_back();
        below.is_some_and(|(_, gap)| gap.last > run.last())
    }

    /// Opens a gap at time `now`. It must lie above all others; if it touches the highest one, that
    /// becomes longer.
    pub fn open(&mut self, range: SeqRange, now: Duration) {
        debug_assert!(self.gaps.last_key_value().is_none_or(|(_, top)| top.last < range.first()));
        match self.gaps.last_entry() {
            Some(mut top) if top.get().last + 1 == range.first() => {
                top.get_mut().last = range.last();
            }
            _ => drop(self.gaps.insert(range.first(), Gap { last: range.last(), opened: now })),
        }
        self.missing += u64::from(range.len());
    }

    /// Fills whatever of `run` is missing, and tells `filled` each piece, ascending, with how long
    /// it had been missing.
    pub fn fill(
        &mut self,
        run: SeqRange,
        now: Duration,
        mut filled: impl FnMut(SeqRange, Duration),
    ) {
        let mut from = run.first();
        while let Some(piece) = self.at_or_after(from).and_then(|found| found.intersect(run)) {
            let opened = self.cut(piece);
            self.missing -= u64::from(piece.len());
            filled(piece, now.saturating_sub(opened));
            from = piece.last() + 1;
        }
    }

    /// Takes `piece` out of the one gap that holds it; returns when that gap opened.
    fn cut(&mut self, piece: SeqRange) -> Duration {
        let holder = self.gaps.range_mut(..=piece.first()).next_back();
        let Some((&first, gap)) = holder else { return Duration::ZERO };
        let Gap { last, opened } = *gap;
        debug_assert!(first <= piece.first() && piece.last() <= last);
        if first < piece.first() {
            gap.last = piece.first() - 1;
        } else {
            self.gaps.remove(&first);
        }
        if piece.last() < last {
            self.gaps.insert(piece.last() + 1, Gap { last, opened });
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn range(first: Seq, last: Seq) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn a_gap_filled_in_its_middle_is_two_gaps_of_the_same_age() {
        let mut gaps = GapSet::new();
        gaps.open(range(10, 19), Duration::from_millis(5));
        let mut pieces = Vec::new();
        let later = Duration::from_millis(9);
        gaps.fill(range(13, 14), later, |piece, age| pieces.push((piece, age)));
        gaps.fill(range(1, 100), later, |piece, age| pieces.push((piece, age)));
        let age = Duration::from_millis(4);
        assert_eq!(pieces, [(range(13, 14), age), (range(10, 12), age), (range(15, 19), age)]);
        assert!(gaps.is_empty() && gaps.missing() == 0);
    }

    #[test]
    fn a_gap_of_two_billion_costs_one_entry() {
        let mut gaps = GapSet::new();
        gaps.open(range(2, crate::seq::MAX_SEQ), Duration::ZERO);
        gaps.fill(SeqRange::one(1_000_000_000), Duration::ZERO, |_, _| {});
        assert_eq!((gaps.len(), gaps.missing()), (2, 2_147_483_645));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_sequences(
            opened in prop::collection::vec((1u32..5, 0u32..9), 1..20),
            filled in prop::collection::vec((1u32..150, 0u32..9), 0..60),
        ) {
            let (mut gaps, mut model, mut top) = (GapSet::new(), BTreeSet::new(), 0);
            for (skip, more) in opened {
                gaps.open(range(top + skip, top + skip + more), Duration::ZERO);
                model.extend(top + skip..=top + skip + more);
                top += skip + more;
            }
            for (first, more) in filled {
                let mut pieces = Vec::new();
                gaps.fill(range(first, first + more), Duration::ZERO, |piece, _| {
                    pieces.extend(piece.first()..=piece.last());
                });
                let expected: Vec<Seq> =
                    (first..=first + more).filter(|seq| model.remove(seq)).collect();
                prop_assert_eq!(pieces, expected);
                prop_assert_eq!(gaps.missing(), model.len() as u64);
                let left: BTreeSet<Seq> =
                    gaps.ranges().flat_map(|r| r.first()..=r.last()).collect();
                prop_assert_eq!(&left, &model);
                let next = gaps.at_or_after(first).map(SeqRange::first);
                prop_assert_eq!(next, model.range(first..).next().copied());
            }
        }
    }
}
