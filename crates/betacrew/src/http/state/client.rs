//! What a client tells.

use crate::http::Web;
use crate::http::api::events;
use crate::http::control::command::{ControlAnswer, ControlCommand, refused};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::state::books::BookSnapshot;
use crate::http::state::client_watch::{ClientWatch, LineView};
use crate::http::state::feed_state::{self, LineState};
use crate::http::state::gap_history::GapHistory;
use crate::http::state::metrics::Raw;
use crate::http::state::{Counters, Feed, Latency, LineSnapshot, SessionView, State};
use crate::output::counters::OutputCounters;
use feed::base::seq::{FIRST_SEQ, SeqRange};
use feed::client::Recorder;
use feed::ledger::Origin;
use feed::session::completeness::Facts;
use feed::wire::RawFrame;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// So many gaps are in the state.
const NEWEST: usize = 50;

/// What is told of a recording, if anybody may ask.
#[derive(Debug)]
pub(crate) struct ClientMonitor<'a> {
    meeting: Option<LoopHandle>,
    shelf: BookSnapshot,
    addresses: &'a [String],
    follow: bool,
    places: OutputCounters,
    notes: RefCell<GapHistory>,
    watch: RefCell<ClientWatch>,
    clock: Clock,
}

/// The recorder's time while it gets no input, and the time of day that goes with it.
///
/// [`Recorder::now`] is the time of the latest input, so it stands still while a feed is silent:
/// rates that are made of it would never drop.
#[derive(Debug)]
struct Clock {
    began: Instant,
    /// Time by which the recorder began later than this clock.
    ahead: Cell<Duration>,
    /// When the recorder began, in milliseconds since 1970.
    origin: Cell<u64>,
}

impl Clock {
    fn new() -> Self {
        let began = Instant::now();
        Self { began, ahead: Cell::new(Duration::MAX), origin: Cell::new(0) }
    }

    /// Returns the recorder's time now.
    fn now(&self, recorder: &Recorder) -> Duration {
        let elapsed = self.began.elapsed();
        // The recorder's own time is at most this old; the closest look so far counts.
        let ahead = elapsed.saturating_sub(recorder.now());
        if ahead < self.ahead.get() {
            self.ahead.set(ahead);
            let since = (elapsed - ahead).as_millis();
            self.origin.set(events::now().saturating_sub(u64::try_from(since).unwrap_or(0)));
        }
        elapsed.saturating_sub(self.ahead.get())
    }

    /// Returns a time of the recorder in milliseconds since 1970.
    fn of_day(&self, time: Duration) -> u64 {
        self.origin.get() + u64::try_from(time.as_millis()).unwrap_or(0)
    }
}

impl<'a> ClientMonitor<'a> {
    pub(crate) fn new(
        web: Option<&Web>,
        addresses: &'a [String],
        follow: bool,
        places: OutputCounters,
    ) -> Self {
        let meeting = web.map(|web| web.meeting.clone());
        let shelf = web.map(|web| web.shelf.clone()).unwrap_or_default();
        Self {
            meeting,
            shelf,
            addresses,
            follow,
            places,
            notes: RefCell::default(),
            watch: RefCell::default(),
            clock: Clock::new(),
        }
    }

    /// Time has passed: answers who has asked.
    pub(crate) fn tick(&self, recorder: &Recorder) {
        let Some(meeting) = self.meeting.as_ref().filter(|meeting| meeting.wanted()) else {
            return;
        };
        let mut answers = Vec::new();
        for (order, sender) in meeting.take() {
            let answer = match order {
                ControlCommand::Strip { from, to, cells } => {
                    ControlAnswer::Strip(self.notes.borrow().strip(recorder, from, to, cells))
                }
                _ => ControlAnswer::Refused(refused("a client has no faults", "ask the exchange")),
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

    fn state(&self, recorder: &Recorder, meeting: &LoopHandle) -> (State, Raw) {
        let mut notes = self.notes.borrow_mut();
        let (ledger, stats) = (recorder.ledger(), recorder.stats());
        let recorded = ledger.recorded();
        let latency = notes.latency;
        let now = self.clock.now(recorder);
        let (rates, recent) = notes.past.look(now, (recorded, stats.bytes), &latency);
        let lines = self.lines(recorder, now);
        let feed = self.feed(recorder, now, &lines);
        let gaps = notes.gaps(recorder.line_count());
        let state = State {
            now: events::now(),
            recording_began: Some(self.clock.origin.get()),
            feed,
            session: recorder.session().map(|id| SessionView {
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
            lines: Some(self.shown(recorder, &lines)),
            book: Some(self.shelf.look()),
            events: events::newest(),
            ..meeting.last().state.clone()
        };
        let tape = Some(self.places.tape.look());
        let outputs = self.places.outputs.iter();
        let outputs = outputs.map(|(name, written)| (name.clone(), written.look())).collect();
        (state, Raw { latency, gaps, tape, outputs, ..Raw::default() })
    }

    /// Returns what each line does, and since when.
    fn lines(&self, recorder: &Recorder, now: Duration) -> Vec<(LineState, Duration)> {
        let stats = (0..).map_while(|line| recorder.line(line));
        stats.map(|stats| feed_state::line(stats, self.follow, now)).collect()
    }

    /// Returns what the feed does, and notes what has happened to it.
    fn feed(&self, recorder: &Recorder, now: Duration, lines: &[(LineState, Duration)]) -> Feed {
        let ended = recorder.outcome().map(|_| {
            let at = recorder.ended_at().unwrap_or(now);
            let facts = Facts::of(recorder, recorder.ledger().recorded());
            (at, facts.completeness())
        });
        let stats = (0..).map_while(|line| recorder.line(line));
        let views = lines.iter().zip(stats).zip(self.addresses).map(|((line, stats), address)| {
            LineView { address, state: line.0, since: line.1, cuts: stats.cuts }
        });
        let session = recorder.session().map(|session| session.to_string());
        let views: Vec<LineView<'_>> = views.collect();
        for (kind, at, text) in self.watch.borrow_mut().look(now, &views, session, ended) {
            events::note(kind, self.clock.of_day(at), text);
        }
        let (state, since) = feed_state::client(lines, self.follow, ended);
        Feed { state, since: self.clock.of_day(since) }
    }

    fn shown(&self, recorder: &Recorder, lines: &[(LineState, Duration)]) -> Vec<LineSnapshot> {
        let stats = (0..).map_while(|line| Some((line, recorder.line(line)?)));
        let mut shown = Vec::with_capacity(lines.len());
        for (((id, stats), &(state, since)), address) in stats.zip(lines).zip(self.addresses) {
            let since = self.clock.of_day(since);
            shown.push(LineSnapshot {
                address: address.clone(),
                state,
                since: (!state.flows() && state != LineState::Connecting).then_some(since),
                delivered: stats.packets,
                first: stats.first,
                lost: recorder.missed_by(id),
                reconnects: stats.cuts.into(),
            });
        }
        shown
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

    fn note(&self, what: impl FnOnce(&mut GapHistory)) {
        if self.meeting.is_some() {
            what(&mut self.notes.borrow_mut());
        }
    }
}
