//! What is noted of a recording while it may be looked at: little, and only at gaps.

use crate::http::Past;
use crate::http::state::metrics::Histogram;
use crate::http::state::{GapView, StripView};
use feed::base::seq::{Seq, SeqRange};
use feed::client::Recorder;
use feed::ledger::{Origin, Source};
use feed::wire::{RawFrame, sequence_of};
use std::collections::VecDeque;
use std::time::Duration;

/// So many gaps are remembered.
const GAPS: usize = 400;
/// So many streams are, the newest, to tell who lost what.
const STREAMS: usize = 64;
/// And so many lines are told apart there.
const LINES: u16 = 64;
/// So many gaps are looked at for a strip; of more the rest is estimated.
const LOOKS: u32 = 1 << 16;
/// Which sequences were recovered is known up to this one (a bit each: 16 MiB at the most); above,
/// they count as received.
const KNOWN: u32 = 1 << 27;

/// A gap while it is remembered.
#[derive(Clone, Copy, Debug)]
struct GapRecord {
    id: u64,
    range: SeqRange,
    missing: u32,
    opened: Duration,
    /// When it was asked for first, how often since, and up to where the last time.
    asked: Option<Duration>,
    asks: u32,
    edge: Seq,
    /// When it was given up.
    given_up: Option<Duration>,
    filled: Option<(Duration, Origin)>,
    /// Lines that have brought something behind it but not it, a bit each, until it was filled.
    passed: u64,
    /// What filled it is a stream that had gone past it.
    late: bool,
}

/// How far streams have come.
#[derive(Default, Debug)]
struct Streams(VecDeque<(Origin, Seq)>);

impl Streams {
    fn brought(&mut self, by: Origin, last: Seq) {
        if let Some((_, position)) = self.0.iter_mut().find(|(stream, _)| *stream == by) {
            *position = last.max(*position);
            return;
        }
        if self.0.len() == STREAMS {
            self.0.pop_front();
        }
        self.0.push_back((by, last));
    }

    fn past(&self, seq: Seq) -> impl Iterator<Item = Origin> + '_ {
        self.0.iter().filter(move |(_, position)| *position > seq).map(|(stream, _)| *stream)
    }

    /// The lines that have brought something behind this sequence.
    fn lines_past(&self, seq: Seq) -> u64 {
        let lines = self.past(seq).map(|stream| stream.line).filter(|&line| line < LINES);
        lines.fold(0, |lines, line| lines | 1 << line)
    }
}

/// What is noted of a recording.
#[derive(Default, Debug)]
pub(crate) struct GapHistory {
    gaps: VecDeque<GapRecord>,
    streams: Streams,
    /// Gaps that were found, packets that were missing and came, and that were given up.
    pub(crate) found: u64,
    pub(crate) recovered: u64,
    pub(crate) given_up: u64,
    pub(crate) latency: Histogram,
    /// A bit for each sequence that was missing and came.
    came: Vec<u64>,
    pub(crate) past: Past,
}

impl GapHistory {
    pub(crate) fn opened(&mut self, range: SeqRange, now: Duration) {
        self.found += 1;
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        self.gaps.push_back(GapRecord {
            id: self.found,
            range,
            missing: range.len(),
            opened: now,
            asked: None,
            asks: 0,
            edge: 0,
            given_up: None,
            filled: None,
            passed: 0,
            late: false,
        });
    }

    /// The remembered gaps that have something of a piece.
    fn touched(&mut self, piece: SeqRange) -> impl Iterator<Item = &mut GapRecord> {
        // Most of what is asked for, where much is, lies before what is remembered.
        let before = self.gaps.front().is_none_or(|oldest| piece.last() < oldest.range.first());
        let from = match before {
            true => self.gaps.len(),
            false => self.gaps.partition_point(|gap| gap.range.last() < piece.first()),
        };
        let gaps = self.gaps.range_mut(from..);
        gaps.take_while(move |gap| gap.range.first() <= piece.last())
    }

    pub(crate) fn brought(&mut self, by: Origin, frames: &[RawFrame]) {
        if let (Source::Stream { .. }, Some(last)) = (by.source, frames.last()) {
            self.streams.brought(by, sequence_of(last));
        }
    }

    pub(crate) fn asked(&mut self, piece: SeqRange, now: Duration) {
        for gap in self.touched(piece) {
            gap.asked.get_or_insert(now);
            // A long gap is asked for in pieces; what begins before the last one's end is another
            // time.
            gap.asks += u32::from(piece.first() <= gap.edge || gap.asks == 0);
            gap.edge = piece.last();
        }
    }

    pub(crate) fn filled(&mut self, piece: SeqRange, age: Duration, by: Origin, now: Duration) {
        self.recovered += u64::from(piece.len());
        self.latency.add(age);
        self.mark(piece);
        let passed = self.streams.lines_past(piece.last());
        // What came with the packets that opened the gap was not handed on before them.
        let streamed = matches!(by.source, Source::Stream { .. });
        let late =
            streamed && (age.is_zero() || self.streams.past(piece.last()).any(|it| it == by));
        for gap in self.touched(piece) {
            let len = gap.range.intersect(piece).map_or(0, SeqRange::len);
            gap.missing = gap.missing.saturating_sub(len);
            gap.passed |= passed;
            gap.late |= late;
            if gap.missing == 0 {
                gap.filled = Some((now, by));
            }
        }
    }

    pub(crate) fn lost(&mut self, range: SeqRange, now: Duration) {
        self.given_up += u64::from(range.len());
        for gap in self.touched(range) {
            gap.given_up.get_or_insert(now);
        }
    }

    fn mark(&mut self, piece: SeqRange) {
        let last = piece.last().min(KNOWN - 1);
        let mut next = piece.first();
        if next > last {
            return;
        }
        let words = (last / 64) as usize + 1;
        if self.came.len() < words {
            self.came.resize(words, 0);
        }
        while next <= last {
            let (word, bit) = ((next / 64) as usize, next % 64);
            let len = (64 - bit).min(last - next + 1);
            self.came[word] |= u64::MAX >> (64 - len) << bit;
            next += len;
        }
    }

    /// How many sequences from `first` to `last` were missing and came.
    fn came(&self, first: u32, last: u32) -> u64 {
        let (mut next, mut sum) = (first, 0);
        while next <= last {
            let Some(word) = self.came.get((next / 64) as usize) else { break };
            let bit = next % 64;
            let len = (64 - bit).min(last - next + 1);
            sum += u64::from((word >> bit & (u64::MAX >> (64 - len))).count_ones());
            next += len;
        }
        sum
    }

    pub(crate) fn strip(
        &self,
        recorder: &Recorder,
        from: u32,
        to: Option<u32>,
        cells: u32,
    ) -> StripView {
        let highest = recorder.ledger().highest();
        let known = highest.max(recorder.ledger().end().unwrap_or(0)).max(1);
        let to = to.unwrap_or(known).min(known);
        if from > to {
            return StripView { from, to, width: 1, exact: 1, cells: Vec::new() };
        }
        let width = (to - from + 1).div_ceil(cells);
        let most = LOOKS / cells.max(1);
        let mut exact = 1;
        let mut strip = Vec::with_capacity(cells as usize);
        let mut first = from;
        while first <= to {
            let last = first.saturating_add(width - 1).min(to);
            let missing = Missing::look(recorder, first, last, most);
            if missing.estimated {
                exact = width + 1;
            }
            let (came, lost) = (self.came(first, last), missing.open + missing.asked);
            let seen = u64::from((highest.min(last) + 1).saturating_sub(first));
            strip.push([seen.saturating_sub(came + lost), came, missing.open, missing.asked]);
            first = last + 1;
        }
        StripView { from, to, width, exact, cells: strip }
    }

    /// The gaps that are remembered, of a recording of so many lines, the oldest first.
    pub(crate) fn gaps(&self, lines: usize) -> Vec<GapView> {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let gap = |gap: &GapRecord| {
            let passed = match gap.filled {
                Some(_) => gap.passed,
                None => gap.passed | self.streams.lines_past(gap.range.last()),
            };
            GapView {
                id: gap.id,
                first: gap.range.first(),
                last: gap.range.last(),
                missing: gap.missing,
                opened: millis(gap.opened),
                asked: gap.asked.map(millis),
                asks: gap.asks,
                given_up: gap.given_up.map(millis),
                filled: gap.filled.map(|(time, _)| millis(time)),
                by: gap.filled.map(|(_, by)| bringer(by, lines)),
                cause: cause(gap, passed, lines),
            }
        };
        self.gaps.iter().map(gap).collect()
    }
}

/// How many packets of a cell are missing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Missing {
    /// Not asked for, and asked for.
    open: u64,
    asked: u64,
    /// There are too many gaps to look at each: the rest is taken to be as the first of them.
    estimated: bool,
}

impl Missing {
    /// Looks at so many gaps from `first` to `last` at the most.
    fn look(recorder: &Recorder, first: Seq, last: Seq, most: u32) -> Self {
        let (mut missing, mut next, mut looks) = (Self::default(), first, 0);
        while next <= last
            && let Some(gap) = recorder.ledger().gaps().at_or_after(next)
            && gap.first() <= last
        {
            if looks == most {
                let (all, seen) = (u64::from(last - first + 1), u64::from(next - first));
                let scaled = |count: u64| count * all / seen.max(1);
                let (open, asked) = (scaled(missing.open), scaled(missing.asked));
                return Self { open, asked, estimated: true };
            }
            let end = gap.last().min(last);
            let asked = (end + 1).min(recorder.requested_below()).saturating_sub(gap.first());
            missing.open += u64::from(end - gap.first() + 1 - asked);
            missing.asked += u64::from(asked);
            (next, looks) = (end + 1, looks + 1);
        }
        missing
    }
}

/// Who brought the last of a gap.
fn bringer(by: Origin, lines: usize) -> String {
    let line = by.line + 1;
    match by.source {
        Source::Resend if lines > 1 => format!("resend, line {line}"),
        Source::Resend => "resend".to_owned(),
        Source::Stream { .. } if lines > 1 => format!("line {line}"),
        Source::Stream { .. } => "stream".to_owned(),
    }
}

/// How a gap came about, as far as is known: whether it was lost, where, or only late.
fn cause(gap: &GapRecord, passed: u64, lines: usize) -> String {
    if let (true, Some((_, by))) = (gap.late, gap.filled) {
        return format!("late on line {}", by.line + 1);
    }
    let named: Vec<String> = (0..LINES)
        .filter(|line| passed >> line & 1 == 1)
        .map(|line| (line + 1).to_string())
        .collect();
    match named.len() {
        0 => "at the end".to_owned(),
        1 => format!("lost on line {}", named[0]),
        count if count == lines => "lost on every line".to_owned(),
        _ => format!("lost on lines {}", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::client::RecorderOptions;
    use feed::tape::in_memory::Tape;

    fn range(first: u32, last: u32) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    fn stream(line: u16, pass: u32) -> Origin {
        Origin { line, source: Source::Stream { pass } }
    }

    /// Packets from `first` to `last` come.
    fn brings(notes: &mut GapHistory, by: Origin, first: u32, last: u32) {
        let tape = Tape::random(100, 1);
        notes.brought(by, tape.slice(range(first, last)));
    }

    #[test]
    fn a_gap_has_a_timeline() {
        let mut notes = GapHistory::default();
        let at = Duration::from_millis;
        notes.opened(range(11, 50), at(5));
        let gap = &notes.gaps(1)[0];
        assert_eq!((gap.asked, gap.asks, gap.given_up, gap.filled), (None, 0, None, None));
        // In two pieces, and once more.
        notes.asked(range(11, 30), at(6));
        notes.asked(range(31, 50), at(7));
        assert_eq!((notes.gaps(1)[0].asked, notes.gaps(1)[0].asks), (Some(6.0), 1));
        notes.asked(range(20, 50), at(8));
        notes.asked(range(60, 70), at(8));
        notes.lost(range(20, 50), at(9));
        let gap = &notes.gaps(1)[0];
        assert_eq!((gap.asked, gap.asks, gap.given_up), (Some(6.0), 2, Some(9.0)));
        assert_eq!((notes.given_up, gap.filled), (31, None));
        let resend = Origin { line: 1, source: Source::Resend };
        notes.filled(range(11, 50), at(5), resend, at(10));
        let gap = &notes.gaps(2)[0];
        assert_eq!((gap.filled, gap.by.as_deref()), (Some(10.0), Some("resend, line 2")));
    }

    #[test]
    fn what_went_past_a_gap_has_lost_it() {
        let at = Duration::from_millis;
        let mut notes = GapHistory::default();
        let cause = |notes: &GapHistory, lines| notes.gaps(lines)[0].cause.clone();
        notes.opened(range(11, 20), at(1));
        assert_eq!(cause(&notes, 3), "at the end");
        brings(&mut notes, stream(0, 1), 10, 20);
        brings(&mut notes, Origin { line: 1, source: Source::Resend }, 21, 30);
        assert_eq!(cause(&notes, 3), "at the end", "of a stream, not beside it");
        brings(&mut notes, stream(0, 1), 21, 30);
        assert_eq!(cause(&notes, 3), "lost on line 1");
        brings(&mut notes, stream(2, 3), 25, 40);
        assert_eq!(cause(&notes, 3), "lost on lines 1, 3");
        notes.filled(range(11, 20), at(9), stream(1, 2), at(10));
        brings(&mut notes, stream(1, 2), 11, 30);
        assert_eq!(cause(&notes, 3), "lost on lines 1, 3", "and the second has brought it");
        notes.opened(range(41, 41), at(10));
        for line in 0..3 {
            brings(&mut notes, stream(line, 4), 42, 42);
        }
        assert_eq!(notes.gaps(3)[1].cause, "lost on every line");
    }

    #[test]
    fn what_comes_after_what_follows_it_is_late_and_of_another_pass_is_not() {
        let at = Duration::from_millis;
        let mut notes = GapHistory::default();
        notes.opened(range(11, 20), at(1));
        brings(&mut notes, stream(0, 1), 21, 21);
        notes.filled(range(11, 15), at(1), stream(0, 2), at(2));
        notes.filled(range(16, 20), at(1), stream(0, 2), at(2));
        assert_eq!(notes.gaps(1)[0].cause, "lost on line 1");
        notes.opened(range(31, 40), at(3));
        brings(&mut notes, stream(0, 2), 41, 41);
        notes.filled(range(31, 40), at(1), stream(0, 2), at(4));
        assert_eq!(notes.gaps(1)[1].cause, "late on line 1");
        // All in what one read brought.
        notes.opened(range(51, 60), at(5));
        notes.filled(range(51, 60), at(0), stream(0, 2), at(5));
        assert_eq!(notes.gaps(1)[2].cause, "late on line 1");
    }

    #[test]
    fn so_many_streams_and_lines_are_told_apart() {
        let mut notes = GapHistory::default();
        notes.opened(range(1, 9), Duration::ZERO);
        for line in 0..1000 {
            brings(&mut notes, stream(line, line.into()), 10, 10);
        }
        assert_eq!(notes.streams.0.len(), STREAMS);
        brings(&mut notes, stream(7, 7), 10, 10);
        assert_eq!(notes.gaps(1000)[0].cause, "lost on line 8");
    }

    /// A recorder to which these are missing below `highest`.
    fn missing(highest: u32, missing: impl Iterator<Item = SeqRange>) -> Recorder {
        let missing = missing.collect();
        Recorder::resume(RecorderOptions::default(), 1, highest, &missing, None)
    }

    #[test]
    fn a_strip_of_ten_million_packets_is_exact_while_gaps_are_few() {
        let gaps = (1..=50).map(|n| range(n * 100_000, n * 100_000 + 99));
        let recorder = missing(10_000_000, gaps);
        let mut notes = GapHistory::default();
        notes.mark(range(1, 1000));
        let strip = notes.strip(&recorder, 1, None, 4000);
        assert_eq!((strip.cells.len(), strip.width, strip.exact), (4000, 2500, 1));
        let sum = |place: usize| strip.cells.iter().map(|cell| cell[place]).sum::<u64>();
        assert_eq!([sum(0), sum(1), sum(2), sum(3)], [9_994_000, 1000, 5000, 0]);
        assert_eq!(strip.cells[39], [2499, 0, 1, 0]);
        assert_eq!(strip.cells[40], [2401, 0, 99, 0]);
        // And one gap in all cells.
        let recorder = missing(10_000_000, [range(1, 9_999_999)].into_iter());
        let strip = notes.strip(&recorder, 1, None, 4000);
        assert_eq!((strip.cells[3999], strip.exact), ([1, 0, 2499, 0], 1));
    }

    #[test]
    fn of_very_many_gaps_only_some_are_looked_at() {
        let recorder = missing(2_000_000, (1..=400_000).map(|n| SeqRange::one(n * 5)));
        let notes = GapHistory::default();
        for cells in [1, 7, 1000, 4000] {
            let strip = notes.strip(&recorder, 1, None, cells);
            assert!(strip.cells.len() <= cells as usize && strip.exact > strip.width);
            let lost: u64 = strip.cells.iter().map(|cell| cell[2]).sum();
            assert!((396_000..=404_000).contains(&lost), "about {lost} of 400,000");
            let all: u64 = strip.cells.iter().flatten().sum();
            assert_eq!(all, 2_000_000);
        }
        // So few that each is looked at.
        let strip = notes.strip(&recorder, 1_000_001, Some(1_001_000), 4000);
        assert_eq!((strip.width, strip.exact), (1, 1));
        assert_eq!(strip.cells.iter().map(|cell| cell[2]).sum::<u64>(), 200);
        let looked = Missing::look(&recorder, 1, 2_000_000, 16);
        assert_eq!(looked, Missing { open: 400_000, asked: 0, estimated: true });
        assert_eq!(notes.gaps(1).len(), 0, "of another run, they are not remembered");
    }

    #[test]
    fn gaps_are_remembered_until_they_are_many() {
        let mut notes = GapHistory::default();
        let origin = Origin { line: 0, source: Source::Resend };
        let at = Duration::from_millis;
        for gap in 0..500 {
            notes.opened(range(gap * 10 + 1, gap * 10 + 4), at(gap.into()));
        }
        assert_eq!((notes.gaps.len(), notes.gaps[0].id), (GAPS, 101));
        notes.filled(range(4991, 4992), at(1), origin, at(600));
        assert_eq!(notes.gaps(1)[399].missing, 2);
        notes.filled(range(4993, 4994), at(1), origin, at(601));
        let last = &notes.gaps(1)[399];
        assert_eq!((last.filled, last.by.as_deref()), (Some(601.0), Some("resend")));
        notes.filled(range(1, 4), at(1), origin, at(602));
        assert_eq!(notes.came(1, 5000), 8);
        assert_eq!((notes.came(2, 3), notes.came(4990, 4991)), (2, 1));
        notes.mark(range(KNOWN - 1, KNOWN + 10));
        assert_eq!(notes.came(1, KNOWN + 20), 9, "a bound on what it takes");
    }
}
