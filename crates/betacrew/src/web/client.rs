//! What a client tells, and what it notes for that while it records: little, and only at gaps.

use super::book::Shelf;
use super::meeting::Meeting;
use super::metrics::{Histogram, Raw};
use super::order::{Answer, Order, refused};
use super::state::{Counters, Gap, Latency, Line, Session, State, Strip};
use super::{Past, Web, events};
use feed::ledger::{Origin, Source};
use feed::recorder::{LineStats, Recorder};
use feed::seq::{FIRST_SEQ, SeqRange};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

/// So many gaps are remembered.
const GAPS: usize = 400;
/// So many of them are in the state.
const NEWEST: usize = 50;
/// Which sequences were recovered is known up to this one (a bit each: 16 MiB at the most); above,
/// they count as received.
const KNOWN: u32 = 1 << 27;

/// A gap while it is remembered.
#[derive(Clone, Copy, Debug)]
struct Seam {
    id: u64,
    range: SeqRange,
    missing: u32,
    opened: Duration,
    filled: Option<(Duration, Origin)>,
}

/// What is noted of a recording.
#[derive(Default, Debug)]
struct Notes {
    gaps: VecDeque<Seam>,
    found: u64,
    recovered: u64,
    lost: u64,
    latency: Histogram,
    /// A bit for each sequence that was missing and came.
    came: Vec<u64>,
    past: Past,
}

impl Notes {
    fn opened(&mut self, range: SeqRange, now: Duration) {
        self.found += 1;
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        let (id, missing) = (self.found, range.len());
        self.gaps.push_back(Seam { id, range, missing, opened: now, filled: None });
    }

    fn filled(&mut self, piece: SeqRange, age: Duration, by: Origin, now: Duration) {
        self.recovered += u64::from(piece.len());
        self.latency.add(age);
        self.mark(piece);
        if self.gaps.front().is_none_or(|oldest| piece.last() < oldest.range.first()) {
            return;
        }
        let from = self.gaps.partition_point(|gap| gap.range.last() < piece.first());
        let touched = self.gaps.range_mut(from..);
        for gap in touched.take_while(|gap| gap.range.first() <= piece.last()) {
            let len = gap.range.intersect(piece).map_or(0, SeqRange::len);
            gap.missing = gap.missing.saturating_sub(len);
            if gap.missing == 0 {
                gap.filled = Some((now, by));
            }
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

    fn strip(&self, recorder: &Recorder, from: u32, to: Option<u32>, cells: u32) -> Strip {
        let highest = recorder.ledger().highest();
        let known = highest.max(recorder.ledger().end().unwrap_or(0)).max(1);
        let to = to.unwrap_or(known).min(known);
        if from > to {
            return Strip { from, to, width: 1, exact: 1, cells: Vec::new() };
        }
        let width = (to - from + 1).div_ceil(cells);
        let mut strip = vec![[0; 4]; (to - from + 1).div_ceil(width) as usize];
        let ends = |at: usize| {
            let first = from + u32::try_from(at).unwrap_or(0) * width;
            (first, first.saturating_add(width - 1).min(to))
        };
        let mut next = from;
        while let Some(gap) = recorder.ledger().gaps().at_or_after(next) {
            // A long gap goes over many cells; each step ends one of them or the gap.
            if gap.first() > to {
                break;
            }
            let at = ((gap.first() - from) / width) as usize;
            let end = gap.last().min(ends(at).1);
            let asked = (end + 1).min(recorder.asked_below()).saturating_sub(gap.first());
            strip[at][2] += u64::from(end - gap.first() + 1 - asked);
            strip[at][3] += u64::from(asked);
            next = end + 1;
        }
        for (at, cell) in strip.iter_mut().enumerate() {
            let (first, last) = ends(at);
            cell[1] = self.came(first, last);
            let seen = u64::from((highest.min(last) + 1).saturating_sub(first));
            cell[0] = seen.saturating_sub(cell[1] + cell[2] + cell[3]);
        }
        Strip { from, to, width, exact: 1, cells: strip }
    }

    fn gaps(&self, lines: usize) -> Vec<Gap> {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let gap = |gap: &Seam| Gap {
            id: gap.id,
            first: gap.range.first(),
            last: gap.range.last(),
            missing: gap.missing,
            opened: millis(gap.opened),
            asked: None,
            filled: gap.filled.map(|(time, _)| millis(time)),
            by: gap.filled.map(|(_, origin)| match origin.source {
                Source::Resend => "resend".to_owned(),
                Source::Stream { .. } if lines > 1 => format!("line {}", origin.line + 1),
                Source::Stream { .. } => "stream".to_owned(),
            }),
            cause: (lines == 1).then(|| "lost on line 1".to_owned()),
        };
        self.gaps.iter().map(gap).collect()
    }
}

/// What is told of a recording, if anybody may ask.
#[derive(Debug)]
pub(crate) struct History<'a> {
    meeting: Option<Meeting>,
    shelf: Shelf,
    addresses: &'a [String],
    follow: bool,
    notes: RefCell<Notes>,
}

impl<'a> History<'a> {
    pub(crate) fn new(web: Option<&Web>, addresses: &'a [String], follow: bool) -> Self {
        let meeting = web.map(|web| web.meeting.clone());
        let shelf = web.map(|web| web.shelf.clone()).unwrap_or_default();
        Self { meeting, shelf, addresses, follow, notes: RefCell::default() }
    }

    /// Time has passed: answers who has asked.
    pub(crate) fn tick(&self, recorder: &Recorder) {
        let Some(meeting) = self.meeting.as_ref().filter(|meeting| meeting.wanted()) else {
            return;
        };
        let mut answers = Vec::new();
        for (order, sender) in meeting.take() {
            let answer = match order {
                Order::Strip { from, to, cells } => {
                    Answer::Strip(self.notes.borrow().strip(recorder, from, to, cells))
                }
                _ => Answer::Refused(refused("a client has no faults", "ask the exchange")),
            };
            answers.push((sender, answer));
        }
        let (state, raw) = self.state(recorder, meeting);
        meeting.tell(state, raw);
        for (sender, answer) in answers {
            // Who asked may have gone.
            let _ = sender.send(answer);
        }
    }

    fn state(&self, recorder: &Recorder, meeting: &Meeting) -> (State, Raw) {
        let mut notes = self.notes.borrow_mut();
        let (ledger, stats) = (recorder.ledger(), recorder.stats());
        let recorded = ledger.recorded();
        let latency = notes.latency;
        let (rates, recent) = notes.past.look(recorder.now(), (recorded, stats.bytes), &latency);
        let gaps = notes.gaps(recorder.lines());
        let state = State {
            now: events::now(),
            session: recorder.session().map(|id| Session {
                id: id.to_string(),
                first: FIRST_SEQ,
                last: ledger.end().unwrap_or(0).max(ledger.highest()),
                over: recorder.outcome().is_some(),
                live: self.follow,
            }),
            counters: Counters {
                packets: recorded,
                bytes: stats.bytes,
                streamed: stats.streamed,
                resent: stats.resent,
                repeated: Some(stats.repeated),
                recovered: Some(notes.recovered),
                gaps: Some(notes.found),
                lost: Some(notes.lost),
                connections: stats.connections.into(),
                reconnects: stats.failures.into(),
                ..Counters::default()
            },
            rates,
            latency: Some(Latency {
                resend_p50_ms: recent.quantile(0.5),
                resend_p99_ms: recent.quantile(0.99),
                count: recent.count(),
            }),
            frontier: Some(ledger.frontier()),
            highest: Some(ledger.highest()),
            missing: Some(ledger.gaps().missing()),
            open_gaps: Some(ledger.gaps().len() as u64),
            gaps: Some(gaps.iter().rev().take(NEWEST).cloned().collect()),
            lines: Some(self.lines(recorder)),
            book: Some(self.shelf.look()),
            events: events::newest(),
            ..meeting.last().state.clone()
        };
        (state, Raw { latency, gaps, ..Raw::default() })
    }

    fn lines(&self, recorder: &Recorder) -> Vec<Line> {
        let lines = (0..).map_while(|line| Some((line, recorder.line(line)?))).zip(self.addresses);
        let line = |((id, stats), address): ((u16, &LineStats), &String)| Line {
            address: address.clone(),
            state: match () {
                () if stats.dead => "dead",
                () if !stats.reached => "connecting",
                () if self.follow => "following",
                () => "streaming",
            }
            .to_owned(),
            delivered: stats.packets,
            first: stats.first,
            lost: recorder.lost_by(id),
            reconnects: stats.cuts.into(),
        };
        lines.map(line).collect()
    }

    /// A gap was found.
    pub(crate) fn opened(&self, gap: SeqRange, now: Duration) {
        self.note(|notes| notes.opened(gap, now));
    }

    /// A gap, or a piece of one, was filled.
    pub(crate) fn filled(&self, piece: SeqRange, age: Duration, by: Origin, now: Duration) {
        self.note(|notes| notes.filled(piece, age, by, now));
    }

    /// What is missing here was given up.
    pub(crate) fn lost(&self, range: SeqRange) {
        self.note(|notes| notes.lost += u64::from(range.len()));
    }

    fn note(&self, what: impl FnOnce(&mut Notes)) {
        if self.meeting.is_some() {
            what(&mut self.notes.borrow_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn gaps_are_remembered_until_they_are_many() {
        let mut notes = Notes::default();
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
