//! Sequences that a line, or all lines of a session together, have brought: gaps, duplicates and
//! messages that came late.

use feed::base::seq::{Seq, SeqRange};
use std::collections::BTreeMap;

/// Maximum number of gaps that later messages can fill. For one more, the lowest counts as final.
const GAPS_MAX: usize = 1 << 20;

/// Maximum number of gaps that a summary lists.
pub(crate) const LISTED_MAX: usize = 10_000;

/// Maximum number of messages that a line can miss at once. A datagram further ahead is not
/// believed, because one wrong byte would make most sequences gaps.
const JUMP_MAX: u64 = 1 << 32;

/// Range of missing messages, with the times around it in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CaptureGap {
    /// Missing messages.
    pub(crate) range: SeqRange,
    /// Time of the last datagram before the gap.
    pub(crate) before: u64,
    /// Time of the datagram that showed it.
    pub(crate) after: u64,
}

impl CaptureGap {
    /// Returns the time between the datagrams around the gap, in nanoseconds.
    pub(crate) fn nanos(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// Gaps that are left at the end, in ascending order. All are counted, the first are listed.
#[derive(Clone, Default, Debug)]
pub(crate) struct GapSummary {
    /// Number of gaps.
    pub(crate) gaps: u64,
    /// Number of missing messages.
    pub(crate) messages: u64,
    /// Gap that lasted longest.
    pub(crate) longest: Option<CaptureGap>,
    /// Gap with the most messages.
    pub(crate) largest: Option<CaptureGap>,
    /// First gaps.
    pub(crate) listed: Vec<CaptureGap>,
}

impl GapSummary {
    fn add(&mut self, gap: CaptureGap) {
        self.gaps += 1;
        self.messages += gap.range.len();
        if self.longest.is_none_or(|longest| longest.nanos() < gap.nanos()) {
            self.longest = Some(gap);
        }
        if self.largest.is_none_or(|largest| largest.range.len() < gap.range.len()) {
            self.largest = Some(gap);
        }
        if self.listed.len() < LISTED_MAX {
            self.listed.push(gap);
        }
    }
}

/// Beginning of a datagram's messages, and how many of them are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DatagramSpan {
    /// Sequence of the first message; where there is none, of the next one.
    pub(crate) first: Seq,
    /// Number of messages that were captured as a whole.
    pub(crate) held: u64,
    /// Sequence behind the last message that was sent.
    pub(crate) next: Seq,
}

/// Returns whether a datagram is too far ahead to be believed, on a line whose next sequence is
/// `next` (0 before its first datagram).
pub(super) fn is_jump(next: Seq, datagram: DatagramSpan) -> bool {
    next > 0 && datagram.first > next.saturating_add(JUMP_MAX)
}

/// Open gap, which later messages may fill.
#[derive(Clone, Copy, Debug)]
struct OpenGap {
    last: Seq,
    before: u64,
    after: u64,
}

/// Sequences so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct SequenceTracker {
    /// Lowest sequence; 0 before the first datagram.
    first: Seq,
    /// Sequence behind the highest known one.
    next: Seq,
    /// Open gaps by their first sequence.
    open: BTreeMap<Seq, OpenGap>,
    /// Gaps that cannot be filled any more.
    settled: GapSummary,
    /// Time of the last datagram.
    at: u64,
    /// Number of messages that were there before.
    pub(crate) duplicates: u64,
    /// Number of messages that came after a higher one.
    pub(crate) late: u64,
    /// Highest number of sequences that a late message was behind.
    pub(crate) late_by: u64,
    /// Longest delay of a late message, in nanoseconds.
    pub(crate) late_nanos: u64,
}

impl SequenceTracker {
    /// Returns the range from the lowest to the highest known sequence.
    pub(crate) fn span(&self) -> Option<SeqRange> {
        SeqRange::new(self.first.max(1), self.next.checked_sub(1)?)
    }

    /// Returns the sequence behind the highest known one; 0 before the first datagram.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// Takes the messages of a datagram, and passes those that are new to `fresh`, in ascending
    /// order.
    pub(crate) fn take(
        &mut self,
        datagram: DatagramSpan,
        at: u64,
        fresh: &mut dyn FnMut(SeqRange),
    ) {
        if self.next == 0 {
            (self.first, self.next, self.at) = (datagram.first, datagram.first, at);
        }
        if let Some(run) = SeqRange::counted(datagram.first, datagram.held) {
            self.take_run(run, at, fresh);
        }
        if let Some(missing) = SeqRange::new(self.next, datagram.next.saturating_sub(1)) {
            self.open(missing, self.at, at);
            self.next = datagram.next;
        }
        self.at = self.at.max(at);
    }

    fn take_run(&mut self, run: SeqRange, at: u64, fresh: &mut dyn FnMut(SeqRange)) {
        let mut new = 0;
        if let Some(below) =
            SeqRange::new(run.first(), run.last().min(self.first.saturating_sub(1)))
        {
            // Answers to requests may go back behind the first message of the capture.
            if let Some(missing) = SeqRange::new(below.last() + 1, self.first.saturating_sub(1)) {
                self.open(missing, at, at);
            }
            self.first = run.first();
            new += below.len();
            fresh(below);
        }
        if run.first() < self.next && !self.open.is_empty() {
            new += self.fill(run, at, fresh);
        }
        if let Some(above) = run.from(self.next) {
            if let Some(missing) = SeqRange::new(self.next, run.first().saturating_sub(1)) {
                self.open(missing, self.at, at);
            }
            self.next = above.last() + 1;
            new += above.len();
            fresh(above);
        }
        self.duplicates += run.len() - new;
    }

    /// Fills gaps with the messages of a run. Returns the number of messages that filled some.
    fn fill(&mut self, run: SeqRange, at: u64, fresh: &mut dyn FnMut(SeqRange)) -> u64 {
        let mut filled = 0;
        let below = self.open.range(..=run.first()).next_back();
        let begin = below.filter(|(_, gap)| gap.last >= run.first()).map(|(first, _)| *first);
        let mut from = begin.unwrap_or(run.first());
        while from <= run.last()
            && let Some((&first, &gap)) = self.open.range(from..=run.last()).next()
        {
            let part = SeqRange::new(first, gap.last).and_then(|range| range.intersect(run));
            let Some(part) = part else { break };
            self.open.remove(&first);
            if let Some(low) = SeqRange::new(first, part.first().saturating_sub(1)) {
                self.open.insert(low.first(), OpenGap { last: low.last(), ..gap });
            }
            if part.last() < gap.last {
                self.open.insert(part.last() + 1, gap);
            }
            filled += part.len();
            self.late += part.len();
            self.late_by = self.late_by.max(self.next - part.first());
            self.late_nanos = self.late_nanos.max(at.saturating_sub(gap.after));
            fresh(part);
            from = part.last() + 1;
        }
        filled
    }

    fn open(&mut self, range: SeqRange, before: u64, after: u64) {
        if self.open.len() >= GAPS_MAX
            && let Some((first, gap)) = self.open.pop_first()
        {
            self.settled.add(closed(first, gap));
        }
        self.open.insert(range.first(), OpenGap { last: range.last(), before, after });
    }

    /// Returns the gaps that are left, in ascending order.
    pub(crate) fn gaps(&self) -> GapSummary {
        let mut summary = self.settled.clone();
        self.open.iter().for_each(|(first, gap)| summary.add(closed(*first, *gap)));
        summary
    }

    /// Returns the open gaps in ascending order.
    pub(crate) fn open_gaps(&self) -> impl Iterator<Item = CaptureGap> + '_ {
        let settled = self.settled.listed.iter().copied();
        settled.chain(self.open.iter().map(|(first, gap)| closed(*first, *gap)))
    }

    /// Returns the number of missing messages within a range.
    pub(crate) fn missing_in(&self, range: SeqRange) -> u64 {
        let below = self.open.range(..range.first()).next_back();
        let inside = self.open.range(range.first()..=range.last());
        let part = |(first, gap): (&Seq, &OpenGap)| {
            Some(SeqRange::new(*first, gap.last)?.intersect(range)?.len())
        };
        below.into_iter().chain(inside).filter_map(part).sum()
    }
}

fn closed(first: Seq, gap: OpenGap) -> CaptureGap {
    let range = SeqRange::new(first, gap.last).unwrap_or(SeqRange::one(first));
    CaptureGap { range, before: gap.before, after: gap.after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn span(first: Seq, held: u64) -> DatagramSpan {
        DatagramSpan { first, held, next: first + held }
    }

    #[test]
    fn a_heartbeat_shows_a_missing_tail() {
        let mut tracker = SequenceTracker::default();
        tracker.take(span(5, 3), 100, &mut |_| {});
        tracker.take(span(10, 0), 900, &mut |_| {});
        let gaps = tracker.gaps();
        let gap = CaptureGap { range: SeqRange::new(8, 9).unwrap(), before: 100, after: 900 };
        assert_eq!((gaps.listed.as_slice(), gaps.messages), (&[gap][..], 2));
        assert_eq!(tracker.span(), SeqRange::new(5, 9));
        // The rest of a datagram that was cut is missing as well.
        tracker.take(DatagramSpan { first: 10, held: 1, next: 14 }, 950, &mut |_| {});
        assert_eq!(tracker.gaps().messages, 5);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_sequences(
            datagrams in prop::collection::vec((1u64..200, 0u64..6, 0u64..3), 1..80),
        ) {
            let mut tracker = SequenceTracker::default();
            let (mut seen, mut top, mut duplicates) = (BTreeSet::new(), 0, 0);
            let mut first = datagrams[0].0;
            for (at, (from, held, more)) in (1..).zip(datagrams) {
                let mut new = Vec::new();
                let datagram = DatagramSpan { first: from, held, next: from + held + more };
                tracker.take(datagram, at, &mut |range| new.extend(range.first()..=range.last()));
                first = if held > 0 { first.min(from) } else { first };
                top = top.max(from + held + more);
                let expected: Vec<Seq> =
                    (from..from + held).filter(|seq| seen.insert(*seq)).collect();
                duplicates += held - expected.len() as u64;
                prop_assert_eq!(new, expected);
            }
            let missing: Vec<Seq> = (first..top).filter(|seq| !seen.contains(seq)).collect();
            let gaps = tracker.gaps();
            let left = gaps.listed.iter().flat_map(|gap| gap.range.first()..=gap.range.last());
            prop_assert_eq!(left.collect::<Vec<_>>(), missing.clone());
            prop_assert_eq!(gaps.messages, missing.len() as u64);
            prop_assert_eq!(tracker.duplicates, duplicates);
            for from in (1..210).step_by(17) {
                let range = SeqRange::new(from, from + 30).unwrap();
                let inside = missing.iter().filter(|seq| range.contains(**seq)).count();
                prop_assert_eq!(tracker.missing_in(range), inside as u64);
            }
        }
    }
}
