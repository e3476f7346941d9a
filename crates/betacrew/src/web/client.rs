//! What a client tells.

use super::book::Shelf;
use super::meeting::Meeting;
use super::metrics::Raw;
use super::notes::Notes;
use super::order::{Answer, Order, refused};
use super::state::{Counters, Latency, Line, Session, State};
use super::{Web, events};
use crate::written::Places;
use feed::ledger::Origin;
use feed::recorder::{LineStats, Recorder};
use feed::seq::{FIRST_SEQ, SeqRange};
use feed::wire::RawFrame;
use std::cell::RefCell;
use std::time::Duration;

/// So many gaps are in the state.
const NEWEST: usize = 50;

/// What is told of a recording, if anybody may ask.
#[derive(Debug)]
pub(crate) struct History<'a> {
    meeting: Option<Meeting>,
    shelf: Shelf,
    addresses: &'a [String],
    follow: bool,
    places: Places,
    notes: RefCell<Notes>,
}

impl<'a> History<'a> {
    pub(crate) fn new(
        web: Option<&Web>,
        addresses: &'a [String],
        follow: bool,
        places: Places,
    ) -> Self {
        let meeting = web.map(|web| web.meeting.clone());
        let shelf = web.map(|web| web.shelf.clone()).unwrap_or_default();
        Self { meeting, shelf, addresses, follow, places, notes: RefCell::default() }
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
                lost: Some(notes.given_up),
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
        let tape = Some(self.places.tape.look());
        let outputs = self.places.outputs.iter();
        let outputs = outputs.map(|(name, written)| (name.clone(), written.look())).collect();
        (state, Raw { latency, gaps, tape, outputs, ..Raw::default() })
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

    /// Packets came, in ascending order.
    pub(crate) fn brought(&self, by: Origin, frames: &[RawFrame]) {
        self.note(|notes| notes.brought(by, frames));
    }

    /// What is missing here is asked for.
    pub(crate) fn asked(&self, piece: SeqRange, now: Duration) {
        self.note(|notes| notes.asked(piece, now));
    }

    /// A gap, or a piece of one, was filled.
    pub(crate) fn filled(&self, piece: SeqRange, age: Duration, by: Origin, now: Duration) {
        self.note(|notes| notes.filled(piece, age, by, now));
    }

    /// What is missing here was given up.
    pub(crate) fn lost(&self, range: SeqRange, now: Duration) {
        self.note(|notes| notes.lost(range, now));
    }

    fn note(&self, what: impl FnOnce(&mut Notes)) {
        if self.meeting.is_some() {
            what(&mut self.notes.borrow_mut());
        }
    }
}
