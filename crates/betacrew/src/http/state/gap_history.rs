//! History of a recording's gaps, for the dashboard. It costs the recording a note at each gap and
//! one a read, and only with `--http`.

use crate::http::state::metrics::Histogram;
use crate::http::state::{GapView, StripView};
use feed::base::seq::{Seq, SeqRange, to_index};
use feed::client::Recorder;
use feed::ledger::{Origin, Source};
use feed::wire::Messages;
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of gaps remembered; older ones are forgotten.
const GAPS_MAX: usize = 400;
/// Maximum number of streams whose position is remembered, the newest ones. The positions show
/// which line missed a packet.
const STREAMS_MAX: usize = 64;
/// Maximum number of lines told apart, one bit each in a `u64`.
const LINES_MAX: u16 = 64;
/// Maximum number of gaps read for one strip; the rest is estimated. Reading all of millions of
/// gaps would stop the loop.
const GAPS_READ_MAX: u32 = 1 << 16;
/// Sequence below which recovered packets are marked, one bit each (at most 16 MiB). Above it they
/// count as received.
const MARKED_BELOW: u64 = 1 << 27;

/// Gap that is remembered.
#[derive(Clone, Copy, Debug)]
struct GapRecord {
    id: u64,
    range: SeqRange,
    /// Number of the gap's packets that are still missing.
    missing: u64,
    opened: Duration,
    /// Time of the first request.
    requested: Option<Duration>,
    /// Number of requests. The pieces of a long gap count as one.
    requests: u32,
    /// Last sequence of the newest request.
    requested_to: Seq,
    /// Time at which the gap was given up.
    abandoned: Option<Duration>,
    filled: Option<(Duration, Origin)>,
    /// Lines that delivered later packets but not this gap, one bit each, until it was filled.
    missed_by: u64,
    /// True if a stream filled it that had already delivered later packets.
    is_late: bool,
}

/// Highest sequence that each stream has delivered.
#[derive(Default, Debug)]
struct StreamPositions(VecDeque<(Origin, Seq)>);

impl StreamPositions {
    fn update(&mut self, by: Origin, last: Seq) {
        if let Some((_, position)) = self.0.iter_mut().find(|(stream, _)| *stream == by) {
            *position = last.max(*position);
            return;
        }
        if self.0.len() == STREAMS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((by, last));
    }

    /// Returns the streams that have delivered a packet after `seq`.
    fn beyond(&self, seq: Seq) -> impl Iterator<Item = Origin> + '_ {
        self.0.iter().filter(move |(_, position)| *position > seq).map(|(stream, _)| *stream)
    }

    /// Returns the lines that have delivered a packet after `seq`, one bit each.
    fn lines_beyond(&self, seq: Seq) -> u64 {
        let lines = self.beyond(seq).map(|stream| stream.line).filter(|&line| line < LINES_MAX);
        lines.fold(0, |lines, line| lines | 1 << line)
    }
}

/// Gaps of a recording, and counts of all its gaps.
#[derive(Default, Debug)]
pub(crate) struct GapHistory {
    gaps: VecDeque<GapRecord>,
    positions: StreamPositions,
    /// Number of gaps found.
    pub(crate) gaps_found: u64,
    /// Number of packets that were missing and then arrived.
    pub(crate) recovered: u64,
    /// Number of packets given up.
    pub(crate) abandoned: u64,
    /// Time that recovered packets were missing.
    pub(crate) latency: Histogram,
    /// One bit for each sequence that was missing and then arrived.
    recovered_bits: Vec<u64>,
}

impl GapHistory {
    /// Notes a gap that was found.
    pub(crate) fn on_gap(&mut self, range: SeqRange, now: Duration) {
        self.gaps_found += 1;
        if self.gaps.len() == GAPS_MAX {
            self.gaps.pop_front();
        }
        self.gaps.push_back(GapRecord {
            id: self.gaps_found,
            range,
            missing: range.len(),
            opened: now,
            requested: None,
            requests: 0,
            requested_to: 0,
            abandoned: None,
            filled: None,
            missed_by: 0,
            is_late: false,
        });
    }

    /// Returns the remembered gaps that overlap `piece`.
    fn overlapping(&mut self, piece: SeqRange) -> impl Iterator<Item = &mut GapRecord> {
        // With very many gaps, most requests lie before the oldest remembered gap: answer them
        // without a search.
        let before = self.gaps.front().is_none_or(|oldest| piece.last() < oldest.range.first());
        let from = match before {
            true => self.gaps.len(),
            false => self.gaps.partition_point(|gap| gap.range.last() < piece.first()),
        };
        let gaps = self.gaps.range_mut(from..);
        gaps.take_while(move |gap| gap.range.first() <= piece.last())
    }

    /// Notes how far a stream has come. `frames` are in ascending order.
    pub(crate) fn on_messages(&mut self, by: Origin, messages: Messages<'_>) {
        if let (Source::Stream { .. }, Some(span)) = (by.source, messages.span()) {
            self.positions.update(by, span.last());
        }
    }

    /// Notes a resend request.
    pub(crate) fn on_request(&mut self, piece: SeqRange, now: Duration) {
        for gap in self.overlapping(piece) {
            gap.requested.get_or_insert(now);
            // A long gap is requested in ascending pieces. A piece that begins before the end of
            // the last one starts a new request.
            gap.requests += u32::from(piece.first() <= gap.requested_to || gap.requests == 0);
            gap.requested_to = piece.last();
        }
    }

    /// Notes that a gap, or a piece of one, was filled. `age` is the time that it was missing.
    pub(crate) fn on_fill(&mut self, piece: SeqRange, age: Duration, by: Origin, now: Duration) {
        self.recovered += piece.len();
        self.latency.add(age);
        self.mark_recovered(piece);
        let missed_by = self.positions.lines_beyond(piece.last());
        // An age of zero means that one read had both the packets after the gap and those of the
        // gap. Positions do not include that read yet.
        let streamed = matches!(by.source, Source::Stream { .. });
        let is_late =
            streamed && (age.is_zero() || self.positions.beyond(piece.last()).any(|it| it == by));
        for gap in self.overlapping(piece) {
            let len = gap.range.intersect(piece).map_or(0, SeqRange::len);
            gap.missing = gap.missing.saturating_sub(len);
            gap.missed_by |= missed_by;
            gap.is_late |= is_late;
            if gap.missing == 0 {
                gap.filled = Some((now, by));
            }
        }
    }

    /// Notes missing packets that were given up.
    pub(crate) fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.abandoned += range.len();
        for gap in self.overlapping(range) {
            gap.abandoned.get_or_insert(now);
        }
    }

    /// Marks the packets of `piece` as recovered.
    fn mark_recovered(&mut self, piece: SeqRange) {
        let last = piece.last().min(MARKED_BELOW - 1);
        let mut next = piece.first();
        if next > last {
            return;
        }
        let words = to_index(last / 64) + 1;
        if self.recovered_bits.len() < words {
            self.recovered_bits.resize(words, 0);
        }
        while next <= last {
            let (word, bit) = (to_index(next / 64), next % 64);
            let len = (64 - bit).min(last - next + 1);
            self.recovered_bits[word] |= u64::MAX >> (64 - len) << bit;
            next += len;
        }
    }

    /// Returns the number of recovered packets from `first` to `last`.
    fn recovered_between(&self, first: u64, last: u64) -> u64 {
        let (mut next, mut sum) = (first, 0);
        while next <= last {
            let Some(word) = self.recovered_bits.get(to_index(next / 64)) else { break };
            let bit = next % 64;
            let len = (64 - bit).min(last - next + 1);
            sum += u64::from((word >> bit & (u64::MAX >> (64 - len))).count_ones());
            next += len;
        }
        sum
    }

    /// Returns the counts of the sequences `from` to `to` (default: the highest known one) in at
    /// most `cells` cells.
    pub(crate) fn strip(
        &self,
        recorder: &Recorder,
        from: u64,
        to: Option<u64>,
        cells: u32,
    ) -> StripView {
        let highest = recorder.ledger().highest();
        let known = highest.max(recorder.ledger().end().unwrap_or(0)).max(1);
        let to = to.unwrap_or(known).min(known);
        if from > to {
            return StripView { from, to, width: 1, exact: 1, cells: Vec::new() };
        }
        let width = (to - from + 1).div_ceil(cells.into());
        let max_gaps = GAPS_READ_MAX / cells.max(1);
        let mut exact = 1;
        let mut strip = Vec::with_capacity(cells as usize);
        let mut first = from;
        while first <= to {
            let last = first.saturating_add(width - 1).min(to);
            let missing = MissingCount::count(recorder, first, last, max_gaps);
            if missing.is_estimate {
                exact = width + 1;
            }
            let recovered = self.recovered_between(first, last);
            let not_received = recovered + missing.unrequested + missing.requested;
            let seen = (highest.min(last) + 1).saturating_sub(first);
            strip.push([
                seen.saturating_sub(not_received),
                recovered,
                missing.unrequested,
                missing.requested,
            ]);
            first = last + 1;
        }
        StripView { from, to, width, exact, cells: strip }
    }

    /// Returns the remembered gaps of a recording with this number of lines, oldest first.
    pub(crate) fn gaps(&self, lines: usize) -> Vec<GapView> {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let gap = |gap: &GapRecord| {
            let missed_by = match gap.filled {
                Some(_) => gap.missed_by,
                None => gap.missed_by | self.positions.lines_beyond(gap.range.last()),
            };
            GapView {
                id: gap.id,
                first: gap.range.first(),
                last: gap.range.last(),
                missing: gap.missing,
                opened: millis(gap.opened),
                requested: gap.requested.map(millis),
                requests: gap.requests,
                abandoned: gap.abandoned.map(millis),
                filled: gap.filled.map(|(time, _)| millis(time)),
                filled_by: gap.filled.map(|(_, by)| source_text(by, lines)),
                cause: cause(gap, missed_by, lines),
            }
        };
        self.gaps.iter().map(gap).collect()
    }
}

/// Number of missing packets of a cell.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct MissingCount {
    unrequested: u64,
    requested: u64,
    /// True if only the first gaps were read and the rest is extrapolated from them.
    is_estimate: bool,
}

impl MissingCount {
    /// Counts the missing packets from `first` to `last`, reading at most `max_gaps` gaps.
    fn count(recorder: &Recorder, first: Seq, last: Seq, max_gaps: u32) -> Self {
        let (mut missing, mut next, mut gaps_read) = (Self::default(), first, 0);
        while next <= last
            && let Some(gap) = recorder.ledger().gaps().at_or_after(next)
            && gap.first() <= last
        {
            if gaps_read == max_gaps {
                let (all, seen) = (u128::from(last - first + 1), u128::from(next - first));
                let scaled = |count: u64| {
                    let scaled = u128::from(count) * all / seen.max(1);
                    u64::try_from(scaled).unwrap_or(u64::MAX)
                };
                return Self {
                    unrequested: scaled(missing.unrequested),
                    requested: scaled(missing.requested),
                    is_estimate: true,
                };
            }
            let end = gap.last().min(last);
            let requested = (end + 1).min(recorder.requested_below()).saturating_sub(gap.first());
            missing.unrequested += end - gap.first() + 1 - requested;
            missing.requested += requested;
            (next, gaps_read) = (end + 1, gaps_read + 1);
        }
        missing
    }
}

/// Returns the source of a gap's last packet, in words.
fn source_text(by: Origin, lines: usize) -> String {
    let line = by.line + 1;
    match by.source {
        Source::Resend if lines > 1 => format!("resend, line {line}"),
        Source::Resend => "resend".to_owned(),
        Source::Stream { .. } if lines > 1 => format!("line {line}"),
        Source::Stream { .. } => "stream".to_owned(),
    }
}

/// Returns the cause of a gap, in words: which lines missed its packets, or which one was late.
fn cause(gap: &GapRecord, missed_by: u64, lines: usize) -> String {
    if let (true, Some((_, by))) = (gap.is_late, gap.filled) {
        return format!("late on line {}", by.line + 1);
    }
    let named: Vec<String> = (0..LINES_MAX)
        .filter(|line| missed_by >> line & 1 == 1)
        .map(|line| (line + 1).to_string())
        .collect();
    match named.len() {
        0 => "at the end".to_owned(),
        1 => format!("missed on line {}", named[0]),
        count if count == lines => "missed on every line".to_owned(),
        _ => format!("missed on lines {}", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::client::RecorderOptions;
    use feed::tape::in_memory::Tape;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    fn stream(line: u16, pass: u32) -> Origin {
        Origin { line, source: Source::Stream { pass } }
    }

    /// Notes that the packets from `first` to `last` arrive.
    fn arrive(history: &mut GapHistory, by: Origin, first: u64, last: u64) {
        let tape = Tape::random(100, 1);
        history.on_messages(by, Messages::Packets(tape.slice(range(first, last))));
    }

    #[test]
    fn a_gap_has_a_timeline() {
        let mut history = GapHistory::default();
        let at = Duration::from_millis;
        history.on_gap(range(11, 50), at(5));
        let gap = &history.gaps(1)[0];
        assert_eq!((gap.requested, gap.requests, gap.abandoned, gap.filled), (None, 0, None, None));
        // One request in two pieces, then a second request.
        history.on_request(range(11, 30), at(6));
        history.on_request(range(31, 50), at(7));
        assert_eq!((history.gaps(1)[0].requested, history.gaps(1)[0].requests), (Some(6.0), 1));
        history.on_request(range(20, 50), at(8));
        history.on_request(range(60, 70), at(8));
        history.on_gap_abandoned(range(20, 50), at(9));
        let gap = &history.gaps(1)[0];
        assert_eq!((gap.requested, gap.requests, gap.abandoned), (Some(6.0), 2, Some(9.0)));
        assert_eq!((history.abandoned, gap.filled), (31, None));
        let resend = Origin { line: 1, source: Source::Resend };
        history.on_fill(range(11, 50), at(5), resend, at(10));
        let gap = &history.gaps(2)[0];
        assert_eq!((gap.filled, gap.filled_by.as_deref()), (Some(10.0), Some("resend, line 2")));
    }

    #[test]
    fn a_line_that_delivered_later_packets_has_missed_a_gap() {
        let at = Duration::from_millis;
        let mut history = GapHistory::default();
        let cause = |history: &GapHistory, lines| history.gaps(lines)[0].cause.clone();
        history.on_gap(range(11, 20), at(1));
        assert_eq!(cause(&history, 3), "at the end");
        arrive(&mut history, stream(0, 1), 10, 20);
        arrive(&mut history, Origin { line: 1, source: Source::Resend }, 21, 30);
        assert_eq!(cause(&history, 3), "at the end", "resends show nothing about a stream");
        arrive(&mut history, stream(0, 1), 21, 30);
        assert_eq!(cause(&history, 3), "missed on line 1");
        arrive(&mut history, stream(2, 3), 25, 40);
        assert_eq!(cause(&history, 3), "missed on lines 1, 3");
        history.on_fill(range(11, 20), at(9), stream(1, 2), at(10));
        arrive(&mut history, stream(1, 2), 11, 30);
        assert_eq!(cause(&history, 3), "missed on lines 1, 3", "line 2 has delivered it");
        history.on_gap(range(41, 41), at(10));
        for line in 0..3 {
            arrive(&mut history, stream(line, 4), 42, 42);
        }
        assert_eq!(history.gaps(3)[1].cause, "missed on every line");
    }

    #[test]
    fn packets_after_later_ones_of_the_same_pass_are_late() {
        let at = Duration::from_millis;
        let mut history = GapHistory::default();
        history.on_gap(range(11, 20), at(1));
        arrive(&mut history, stream(0, 1), 21, 21);
        history.on_fill(range(11, 15), at(1), stream(0, 2), at(2));
        history.on_fill(range(16, 20), at(1), stream(0, 2), at(2));
        assert_eq!(history.gaps(1)[0].cause, "missed on line 1");
        history.on_gap(range(31, 40), at(3));
        arrive(&mut history, stream(0, 2), 41, 41);
        history.on_fill(range(31, 40), at(1), stream(0, 2), at(4));
        assert_eq!(history.gaps(1)[1].cause, "late on line 1");
        // All in one read.
        history.on_gap(range(51, 60), at(5));
        history.on_fill(range(51, 60), at(0), stream(0, 2), at(5));
        assert_eq!(history.gaps(1)[2].cause, "late on line 1");
    }

    #[test]
    fn positions_of_the_newest_64_streams_are_kept() {
        let mut history = GapHistory::default();
        history.on_gap(range(1, 9), Duration::ZERO);
        for line in 0..1000 {
            arrive(&mut history, stream(line, line.into()), 10, 10);
        }
        assert_eq!(history.positions.0.len(), STREAMS_MAX);
        arrive(&mut history, stream(7, 7), 10, 10);
        assert_eq!(history.gaps(1000)[0].cause, "missed on line 8");
    }

    /// Returns a recorder to which these ranges are missing below `highest`.
    fn missing(highest: u64, missing: impl Iterator<Item = SeqRange>) -> Recorder {
        let missing = missing.collect();
        Recorder::resume(RecorderOptions::default(), 1, highest, &missing, None)
    }

    #[test]
    fn a_strip_of_ten_million_packets_is_exact_while_gaps_are_few() {
        let gaps = (1..=50).map(|n| range(n * 100_000, n * 100_000 + 99));
        let recorder = missing(10_000_000, gaps);
        let mut history = GapHistory::default();
        history.mark_recovered(range(1, 1000));
        let strip = history.strip(&recorder, 1, None, 4000);
        assert_eq!((strip.cells.len(), strip.width, strip.exact), (4000, 2500, 1));
        let sum = |place: usize| strip.cells.iter().map(|cell| cell[place]).sum::<u64>();
        assert_eq!([sum(0), sum(1), sum(2), sum(3)], [9_994_000, 1000, 5000, 0]);
        assert_eq!(strip.cells[39], [2499, 0, 1, 0]);
        assert_eq!(strip.cells[40], [2401, 0, 99, 0]);
        // One gap that covers all cells.
        let recorder = missing(10_000_000, [range(1, 9_999_999)].into_iter());
        let strip = history.strip(&recorder, 1, None, 4000);
        assert_eq!((strip.cells[3999], strip.exact), ([1, 0, 2499, 0], 1));
    }

    #[test]
    fn with_very_many_gaps_the_strip_is_estimated() {
        let recorder = missing(2_000_000, (1..=400_000).map(|n| SeqRange::one(n * 5)));
        let history = GapHistory::default();
        for cells in [1, 7, 1000, 4000] {
            let strip = history.strip(&recorder, 1, None, cells);
            assert!(strip.cells.len() <= cells as usize && strip.exact > strip.width);
            let missing: u64 = strip.cells.iter().map(|cell| cell[2]).sum();
            assert!((396_000..=404_000).contains(&missing), "about {missing} of 400,000");
            let all: u64 = strip.cells.iter().flatten().sum();
            assert_eq!(all, 2_000_000);
        }
        // Few enough that each is read.
        let strip = history.strip(&recorder, 1_000_001, Some(1_001_000), 4000);
        assert_eq!((strip.width, strip.exact), (1, 1));
        assert_eq!(strip.cells.iter().map(|cell| cell[2]).sum::<u64>(), 200);
        let counted = MissingCount::count(&recorder, 1, 2_000_000, 16);
        let expected = MissingCount { unrequested: 400_000, requested: 0, is_estimate: true };
        assert_eq!(counted, expected);
        assert_eq!(history.gaps(1).len(), 0, "gaps of an earlier run are not remembered");
    }

    #[test]
    fn the_newest_400_gaps_are_remembered() {
        let mut history = GapHistory::default();
        let origin = Origin { line: 0, source: Source::Resend };
        let at = Duration::from_millis;
        for gap in 0..500 {
            history.on_gap(range(gap * 10 + 1, gap * 10 + 4), at(gap));
        }
        assert_eq!((history.gaps.len(), history.gaps[0].id), (GAPS_MAX, 101));
        history.on_fill(range(4991, 4992), at(1), origin, at(600));
        assert_eq!(history.gaps(1)[399].missing, 2);
        history.on_fill(range(4993, 4994), at(1), origin, at(601));
        let last = &history.gaps(1)[399];
        assert_eq!((last.filled, last.filled_by.as_deref()), (Some(601.0), Some("resend")));
        history.on_fill(range(1, 4), at(1), origin, at(602));
        assert_eq!(history.recovered_between(1, 5000), 8);
        assert_eq!(
            (history.recovered_between(2, 3), history.recovered_between(4990, 4991)),
            (2, 1)
        );
        history.mark_recovered(range(MARKED_BELOW - 1, MARKED_BELOW + 10));
        assert_eq!(
            history.recovered_between(1, MARKED_BELOW + 20),
            9,
            "above the limit nothing is marked"
        );
    }
}
