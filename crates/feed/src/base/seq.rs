//! Sequence numbers, ranges of them and sets of them.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Sequence number: the position of a packet in its session, counted from 1.
///
/// Legal values are [`FIRST_SEQ`]`..=`[`MAX_SEQ`], so `seq + 1` cannot overflow. A wire format may
/// carry fewer; its module then names its own limit, and decoding checks that.
pub type Seq = u64;

/// Sequence of a session's first packet.
pub const FIRST_SEQ: Seq = 1;

/// Highest legal sequence (2^63 - 1), because files store sequences in signed 64-bit columns.
pub const MAX_SEQ: Seq = i64::MAX.cast_unsigned();

/// Returns an offset or a count of sequences as an index into memory. One that memory cannot hold
/// becomes `usize::MAX`, which lies outside every slice.
#[must_use]
pub fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Non-empty range of sequences, both ends included.
///
/// Its text form is `5` or `5-7`.
///
/// Concept: [gap](crate#gap).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeqRange {
    first: Seq,
    last: Seq,
}

impl SeqRange {
    /// Returns the range from `first` to `last`; `None` if it is empty.
    #[must_use]
    pub const fn new(first: Seq, last: Seq) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// Returns the range of `count` sequences from `first`, cut at [`MAX_SEQ`]; `None` if it is
    /// empty.
    #[must_use]
    pub fn counted(first: Seq, count: u64) -> Option<Self> {
        let last = first.checked_add(count.checked_sub(1)?).unwrap_or(MAX_SEQ).min(MAX_SEQ);
        Self::new(first, last)
    }

    /// Returns the range of one sequence.
    #[must_use]
    pub const fn one(seq: Seq) -> Self {
        Self { first: seq, last: seq }
    }

    /// Returns the lowest sequence of the range.
    #[must_use]
    pub const fn first(self) -> Seq {
        self.first
    }

    /// Returns the highest sequence of the range.
    #[must_use]
    pub const fn last(self) -> Seq {
        self.last
    }

    /// Returns the number of sequences in the range, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// Returns true if the range contains `seq`.
    #[must_use]
    pub const fn contains(self, seq: Seq) -> bool {
        self.first <= seq && seq <= self.last
    }

    /// Returns the common part of two ranges; `None` if there is none.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Returns the shortest range that contains both ranges.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Returns the part of the range at or above `seq`; `None` if there is none.
    #[must_use]
    pub fn from(self, seq: Seq) -> Option<Self> {
        Self::new(self.first.max(seq), self.last)
    }
}

impl fmt::Display for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Error: a text is not a list of sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeqParseError {
    /// Part of the list is not a whole number from [`FIRST_SEQ`] to [`MAX_SEQ`].
    Number,
    /// Range of the list ends before it begins.
    Backwards,
}

impl fmt::Display for SeqParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => {
                f.write_str("sequences are whole numbers from 1, with ranges and commas: 2,5-7")
            }
            Self::Backwards => f.write_str("a range goes from its lower to its higher end: 5-7"),
        }
    }
}

impl core::error::Error for SeqParseError {}

fn parse_seq(text: &str) -> Result<Seq, SeqParseError> {
    match text.trim().parse() {
        Ok(seq) if (FIRST_SEQ..=MAX_SEQ).contains(&seq) => Ok(seq),
        _ => Err(SeqParseError::Number),
    }
}

impl FromStr for SeqRange {
    type Err = SeqParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (parse_seq(first)?, parse_seq(last)?),
            None => (parse_seq(text)?, parse_seq(text)?),
        };
        Self::new(first, last).ok_or(SeqParseError::Backwards)
    }
}

/// Set of sequences, stored as ascending ranges that neither touch nor overlap.
///
/// Inserting above all other ranges takes constant time, because most sets grow at their end.
///
/// Concept: [gap](crate#gap).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SeqSet {
    ranges: Vec<SeqRange>,
}

impl SeqSet {
    /// Creates an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Returns the ranges of the set in ascending order.
    #[must_use]
    pub fn ranges(&self) -> &[SeqRange] {
        &self.ranges
    }

    /// Returns true if the set contains no sequence.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of sequences in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.len()).sum()
    }

    /// Returns the range that contains `seq`, or else the first range above it.
    #[must_use]
    pub fn at_or_after(&self, seq: Seq) -> Option<SeqRange> {
        self.ranges.get(self.ranges.partition_point(|range| range.last < seq)).copied()
    }

    /// Returns true if the set contains `seq`.
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        self.covers(SeqRange::one(seq))
    }

    /// Returns true if the set contains all of `range`.
    #[must_use]
    pub fn covers(&self, range: SeqRange) -> bool {
        let held = self.at_or_after(range.first);
        held.is_some_and(|held| held.first <= range.first && range.last <= held.last)
    }

    /// Adds a range. Sequences that are in the set already stay in it.
    pub fn insert(&mut self, range: SeqRange) {
        if self.ranges.last().is_none_or(|top| top.last.saturating_add(1) < range.first) {
            return self.ranges.push(range);
        }
        // Ranges that touch the new one or lie next to it are joined with it.
        let from = self.ranges.partition_point(|old| old.last.saturating_add(1) < range.first);
        let to = self.ranges.partition_point(|old| old.first <= range.last.saturating_add(1));
        let melted = self.ranges[from..to].iter().fold(range, |sum, old| sum.hull(*old));
        self.ranges.splice(from..to, [melted]);
    }

    /// Removes a range, as far as it is in the set.
    pub fn remove(&mut self, range: SeqRange) {
        let from = self.ranges.partition_point(|old| old.last < range.first);
        let to = self.ranges.partition_point(|old| old.first <= range.last);
        let Some((bottom, top)) = self.ranges[from..to].first().zip(self.ranges[from..to].last())
        else {
            return;
        };
        let below = SeqRange::new(bottom.first, range.first.saturating_sub(1));
        let above = SeqRange::new(range.last.saturating_add(1), top.last);
        self.ranges.splice(from..to, below.into_iter().chain(above));
    }
}

impl FromIterator<SeqRange> for SeqSet {
    fn from_iter<I: IntoIterator<Item = SeqRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl FromStr for SeqSet {
    type Err = SeqParseError;

    /// Parses `2,5-7`. An empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::new());
        }
        text.split(',').map(SeqRange::from_str).collect()
    }
}

impl fmt::Display for SeqSet {
    /// Writes `2, 5-7`. A precision (`{:.3}`) limits the number of ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().unwrap_or(usize::MAX).min(self.ranges.len());
        for (i, range) in self.ranges[..shown].iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{range}")?;
        }
        match self.ranges.len() - shown {
            0 => Ok(()),
            1 => write!(f, " and 1 more range"),
            more => write!(f, " and {more} more ranges"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn ranges_parse_and_print() {
        let set: SeqSet = "9, 2,5-7,3".parse().unwrap();
        assert_eq!(set.to_string(), "2-3, 5-7, 9");
        assert_eq!(alloc::format!("{set:.1}"), "2-3 and 2 more ranges");
        assert_eq!(set.count(), 6);
        assert_eq!("".parse::<SeqSet>(), Ok(SeqSet::new()));
        for bad in ["0", "9223372036854775808", "-3", "a", "1,,2", "5-", "1-2-3"] {
            assert_eq!(bad.parse::<SeqSet>(), Err(SeqParseError::Number), "{bad}");
        }
        assert_eq!("7-5".parse::<SeqSet>(), Err(SeqParseError::Backwards));
    }

    #[test]
    fn counted_ranges_stop_at_the_highest_sequence() {
        assert_eq!(SeqRange::counted(5, 0), None);
        assert_eq!(SeqRange::counted(5, 3), SeqRange::new(5, 7));
        assert_eq!(SeqRange::counted(MAX_SEQ, u64::MAX), SeqRange::new(MAX_SEQ, MAX_SEQ));
        assert_eq!(SeqRange::counted(u64::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_inserted_and_not_removed(
            changes in prop::collection::vec((1u64..60, 0u64..9, 0u8..3), 0..30),
        ) {
            let mut set = SeqSet::new();
            let mut model = BTreeSet::new();
            for (first, more, kind) in changes {
                let range = SeqRange::new(first, first + more).unwrap();
                if kind == 0 {
                    set.remove(range);
                    model.retain(|&seq| !range.contains(seq));
                } else {
                    set.insert(range);
                    model.extend(first..=first + more);
                }
            }
            prop_assert!(set.ranges().windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
            let held: BTreeSet<Seq> = set.ranges().iter().flat_map(|r| r.first..=r.last).collect();
            prop_assert_eq!(set.count(), model.len() as u64);
            prop_assert!((0..80).all(|seq| set.contains(seq) == model.contains(&seq)));
            prop_assert_eq!(held, model);
        }
    }
}
