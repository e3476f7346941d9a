//! How each part of a session came, in so many parts and no more.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use alloc::vec::Vec;

/// At most so many parts are told apart.
pub const BINS: usize = 4096;

/// Part of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StripColumn {
    /// Its sequences.
    pub range: SeqRange,
    /// How many of them came in their turn.
    pub received: u32,
    /// How many came later.
    pub recovered: u32,
}

impl StripColumn {
    /// How many did not come.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.range.len().saturating_sub(self.received).saturating_sub(self.recovered)
    }
}

/// A session in parts of equal length, a power of two. It doubles whenever there would be more than
/// [`BINS`], so how long the session is need not be known before.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    /// What was received and what was recovered, part by part.
    bins: Vec<(u32, u32)>,
    doublings: u32,
    last: Seq,
}

impl Strip {
    /// Enters sequences that came, in their turn or `late`.
    pub fn add(&mut self, run: SeqRange, late: bool) {
        self.reaches(run.last());
        let mut from = run.first();
        while from <= run.last() {
            let bin = (from - FIRST_SEQ) >> self.doublings;
            // The first sequence of the next bin, which may lie beyond all that there are.
            let next = u64::from(bin + 1) << self.doublings;
            let to = u32::try_from(next).unwrap_or(MAX_SEQ).min(run.last());
            if let Some((received, recovered)) = self.bins.get_mut(bin as usize) {
                *(if late { recovered } else { received }) += to - from + 1;
            }
            from = to + 1;
        }
    }

    /// The session reaches to `last` at least.
    pub fn reaches(&mut self, last: Seq) {
        let Some(top) = last.min(MAX_SEQ).checked_sub(FIRST_SEQ) else { return };
        self.last = self.last.max(top + FIRST_SEQ);
        while (top >> self.doublings) as usize >= BINS {
            let pair = |pair: &[(u32, u32)]| {
                pair.iter().fold((0, 0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1))
            };
            self.bins = self.bins.chunks(2).map(pair).collect();
            self.doublings += 1;
        }
        let needed = (top >> self.doublings) as usize + 1;
        if self.bins.len() < needed {
            self.bins.resize(needed, (0, 0));
        }
    }

    /// The last sequence; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// All of it in at most `most` columns (but one at least) of equal length, except for the last.
    pub fn columns(&self, most: usize) -> impl Iterator<Item = StripColumn> + '_ {
        let each = self.bins.len().div_ceil(most.max(1)).max(1);
        let len = u32::try_from(each).unwrap_or(u32::MAX) << self.doublings;
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
        strip.add(SeqRange::one(1), false);
        strip.add(SeqRange::new(MAX_SEQ - 9, MAX_SEQ).unwrap(), true);
        let columns: Vec<StripColumn> = strip.columns(10).collect();
        assert!(columns.len() <= 10 && strip.bins.len() <= BINS);
        assert_eq!((columns[0].received, columns[0].range.first()), (1, 1));
        let end = columns.last().unwrap();
        assert_eq!((end.recovered, end.range.last()), (10, MAX_SEQ));
        let all: u64 = columns.iter().map(|column| u64::from(column.range.len())).sum();
        assert_eq!(all, u64::from(MAX_SEQ));
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Strip::default().columns(5).count(), 0);
    }

    proptest! {
        #[test]
        fn columns_add_up(
            runs in prop::collection::vec((1u32..3000, 1u32..3000, any::<bool>()), 1..20),
            most in 1usize..300,
        ) {
            let (mut strip, mut model, mut next) = (Strip::default(), BTreeMap::new(), 1);
            for (gap, len, late) in runs {
                let run = SeqRange::counted(next + gap - 1, len).unwrap();
                strip.add(run, late);
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
                prop_assert_eq!(column.received as usize, count(false));
                prop_assert_eq!(column.recovered as usize, count(true));
            }
        }
    }
}
