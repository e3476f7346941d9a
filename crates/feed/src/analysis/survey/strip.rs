//! Strip: received, recovered and missing packets for each part of a session, with a bounded number
//! of parts.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, to_index};
use alloc::vec::Vec;

/// Maximum number of parts.
pub const BINS: usize = 4096;

/// Column of a strip: one part of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StripColumn {
    /// Sequences of the column.
    pub range: SeqRange,
    /// Number of packets that arrived in order.
    pub received: u64,
    /// Number of packets that arrived late.
    pub recovered: u64,
}

impl StripColumn {
    /// Returns the number of packets that did not arrive.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.range.len().saturating_sub(self.received).saturating_sub(self.recovered)
    }
}

/// Session in parts of equal length, a power of two. The length doubles whenever there would be
/// more than [`BINS`] parts, so the session's length need not be known before.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    /// Numbers of received and of recovered packets for each part.
    bins: Vec<(u64, u64)>,
    doublings: u32,
    last: Seq,
}

impl Strip {
    /// Adds sequences that arrived in order.
    pub fn add_received(&mut self, run: SeqRange) {
        self.add(run, |(received, _)| received);
    }

    /// Adds sequences that arrived after higher ones.
    pub fn add_recovered(&mut self, run: SeqRange) {
        self.add(run, |(_, recovered)| recovered);
    }

    /// Adds sequences to one of the numbers of each part.
    fn add(&mut self, run: SeqRange, number: fn(&mut (u64, u64)) -> &mut u64) {
        self.reaches(run.last());
        let mut from = run.first();
        while from <= run.last() {
            let bin = (from - FIRST_SEQ) >> self.doublings;
            // First sequence of the next part, which may lie beyond the last sequence.
            let next = (bin + 1) << self.doublings;
            let to = next.min(run.last());
            if let Some(part) = self.bins.get_mut(to_index(bin)) {
                *number(part) += to - from + 1;
            }
            from = to + 1;
        }
    }

    /// Records that the session has packets at least up to `last`.
    pub fn reaches(&mut self, last: Seq) {
        let Some(top) = last.min(MAX_SEQ).checked_sub(FIRST_SEQ) else { return };
        self.last = self.last.max(top + FIRST_SEQ);
        while to_index(top >> self.doublings) >= BINS {
            let pair = |pair: &[(u64, u64)]| {
                pair.iter().fold((0, 0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1))
            };
            self.bins = self.bins.chunks(2).map(pair).collect();
            self.doublings += 1;
        }
        let needed = to_index(top >> self.doublings) + 1;
        if self.bins.len() < needed {
            self.bins.resize(needed, (0, 0));
        }
    }

    /// Returns the last sequence; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Returns the session in at most `most` columns, at least one, of equal length except for the
    /// last.
    pub fn columns(&self, most: usize) -> impl Iterator<Item = StripColumn> + '_ {
        let each = self.bins.len().div_ceil(most.max(1)).max(1);
        let len = (each as u64) << self.doublings;
        self.bins.chunks(each).scan(FIRST_SEQ, move |first, bins| {
            let range = SeqRange::counted(*first, len)?.intersect(SeqRange::new(1, self.last)?)?;
            *first = first.saturating_add(len);
            let (received, recovered) =
                bins.iter().fold((0, 0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
            Some(StripColumn { range, received, recovered })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[test]
    fn the_longest_session_fits() {
        let mut strip = Strip::default();
        strip.add_received(SeqRange::one(1));
        strip.add_recovered(SeqRange::new(MAX_SEQ - 9, MAX_SEQ).unwrap());
        let columns: Vec<StripColumn> = strip.columns(10).collect();
        assert!(columns.len() <= 10 && strip.bins.len() <= BINS);
        assert_eq!((columns[0].received, columns[0].range.first()), (1, 1));
        let end = columns.last().unwrap();
        assert_eq!((end.recovered, end.range.last()), (10, MAX_SEQ));
        let all: u64 = columns.iter().map(|column| column.range.len()).sum();
        assert_eq!(all, MAX_SEQ);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Strip::default().columns(5).count(), 0);
    }

    proptest! {
        #[test]
        fn columns_add_up(
            runs in prop::collection::vec((1u64..3000, 1u64..3000, any::<bool>()), 1..20),
            most in 1usize..300,
        ) {
            let (mut strip, mut model, mut next) = (Strip::default(), BTreeMap::new(), 1);
            for (gap, len, late) in runs {
                let run = SeqRange::counted(next + gap - 1, len).unwrap();
                match late {
                    false => strip.add_received(run),
                    true => strip.add_recovered(run),
                }
                model.extend((run.first()..=run.last()).map(|seq| (seq, late)));
                next = run.last() + 1;
            }
            let columns: Vec<StripColumn> = strip.columns(most).collect();
            prop_assert!(columns.len() <= most);
            prop_assert_eq!(columns[0].range.first(), 1);
            prop_assert_eq!(columns.last().unwrap().range.last(), next - 1);
            let joined = columns.windows(2).all(|pair| {
                pair[0].range.last() + 1 == pair[1].range.first()
                    && pair[1].range.len() <= pair[0].range.len()
            });
            prop_assert!(joined);
            for column in columns {
                let count = |wanted: bool| {
                    let held = model.range(column.range.first()..=column.range.last());
                    held.filter(|(_, late)| **late == wanted).count()
                };
                prop_assert_eq!(to_index(column.received), count(false));
                prop_assert_eq!(to_index(column.recovered), count(true));
            }
        }
    }
}
