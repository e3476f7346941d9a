//! Monitor of a client: publishes the state of its recording.

use crate::http::Web;
use crate::http::api::events;
use crate::http::control::command::{ControlAnswer, ControlCommand, refusal_of};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::state::books::BookSnapshot;
use crate::http::state::client_watch::{ClientWatch, LineView};
use crate::http::state::feed_state::{self, LineState, Mode};
use crate::http::state::gap_history::GapHistory;
use crate::http::state::metrics::MetricsExtra;
use crate::http::state::recent_rates::RecentRates;
use crate::http::state::{Counters, Feed, Latency, LineSnapshot, SessionView, SoupSnapshot, State};
use crate::output::counters::OutputCounters;
use feed::base::seq::{FIRST_SEQ, SeqRange};
use feed::client::Recorder;
use feed::ledger::Origin;
use feed::session::completeness::Facts;
use feed::wire::{Messages, Protocol};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Maximum number of gaps in the state.
const GAPS_SHOWN: usize = 50;

/// Monitor of a recording. It does nothing if the program has no HTTP address.
#[derive(Debug)]
pub(crate) struct ClientMonitor<'a> {
    loop_handle: Option<LoopHandle>,
    book_snapshot: BookSnapshot,
    addresses: &'a [String],
    outputs: OutputCounters,
    gap_history: RefCell<GapHistory>,
    rates: RefCell<RecentRates>,
    watch: RefCell<ClientWatch>,
    clock: Clock,
}

/// Clock of the recorder that also runs while the recorder gets no input.
///
/// [`Recorder::now`] is the time of the latest input, so it stands still while a feed is silent.
/// Rates computed from it would never fall.
#[derive(Debug)]
struct Clock {
    /// Start of this clock.
    began: Instant,
    /// Time by which the recorder started later than this clock.
    ahead: Cell<Duration>,
    /// Start of the recorder, in milliseconds since 1970.
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
        // The recorder's time is at most this old. The smallest difference so far is the best
        // estimate.
        let ahead = elapsed.saturating_sub(recorder.now());
        if ahead < self.ahead.get() {
            self.ahead.set(ahead);
            let since = (elapsed - ahead).as_millis();
            self.origin.set(events::now().saturating_sub(u64::try_from(since).unwrap_or(0)));
        }
        elapsed.saturating_sub(self.ahead.get())
    }

    /// Converts a time of the recorder to milliseconds since 1970.
    fn since_1970(&self, time: Duration) -> u64 {
        self.origin.get() + u64::try_from(time.as_millis()).unwrap_or(0)
    }
}

impl<'a> ClientMonitor<'a> {
    pub(crate) fn new(web: Option<&Web>, addresses: &'a [String], outputs: OutputCounters) -> Self {
        let loop_handle = web.map(|web| web.loop_handle.clone());
        let book_snapshot = web.map(|web| web.book_snapshot.clone()).unwrap_or_default();
        Self {
            loop_handle,
            book_snapshot,
            addresses,
            outputs,
            gap_history: RefCell::default(),
            rates: RefCell::default(),
            watch: RefCell::default(),
            clock: Clock::new(),
        }
    }

    /// Answers the HTTP thread, if it waits. Called once a turn of the loop.
    pub(crate) fn tick(&self, recorder: &Recorder) {
        let Some(loop_handle) =
            self.loop_handle.as_ref().filter(|loop_handle| loop_handle.has_requests())
        else {
            return;
        };
        let mut answers = Vec::new();
        for (command, sender) in loop_handle.take_commands() {
            let answer = match command {
                ControlCommand::Strip { from, to, cells } => {
                    ControlAnswer::Strip(self.gap_history.borrow().strip(recorder, from, to, cells))
                }
                _ => ControlAnswer::Refused(refusal_of(
                    "a client takes no commands",
                    "commands to the exchange",
                )),
            };
            answers.push((sender, answer));
        }
        let (state, extra) = self.state(recorder, loop_handle);
        loop_handle.publish_snapshot(state, extra);
        for (sender, answer) in answers {
            // A caller that has left is no error.
            let _ = sender.send(answer);
        }
    }

    fn state(&self, recorder: &Recorder, loop_handle: &LoopHandle) -> (State, MetricsExtra) {
        let gap_history = self.gap_history.borrow();
        let (ledger, stats) = (recorder.ledger(), recorder.stats());
        let recorded = ledger.recorded();
        let latency = gap_history.latency;
        let now = self.clock.now(recorder);
        let (rates, recent) =
            self.rates.borrow_mut().update(now, (recorded, stats.bytes), &latency);
        let lines = self.lines(recorder, now);
        let feed = self.feed(recorder, now, &lines);
        let gaps = gap_history.gaps(recorder.line_count());
        let books = self.book_snapshot.get();
        let state = State {
            now: events::now(),
            recording_began: Some(self.clock.origin.get()),
            feed,
            session: recorder.session().map(|id| SessionView {
                id: id.to_string(),
                first: FIRST_SEQ,
                last: ledger.end().unwrap_or(0).max(ledger.highest()),
                over: recorder.outcome().is_some(),
                live: recorder.is_following(),
            }),
            counters: Counters {
                packets: recorded,
                bytes: stats.bytes,
                streamed: stats.streamed,
                resent: stats.resent,
                duplicates: Some(stats.duplicates),
                recovered: Some(gap_history.recovered),
                gaps: Some(gap_history.gaps_found),
                abandoned: Some(gap_history.abandoned),
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
            gaps: Some(gaps.iter().rev().take(GAPS_SHOWN).cloned().collect()),
            lines: Some(self.shown(recorder, &lines)),
            book: books.books,
            book_total: books.total,
            book_refused: books.refused,
            events: events::newest(),
            ..loop_handle.last_snapshot().state.clone()
        };
        let tape = Some(self.outputs.tape.look());
        let outputs = self.outputs.outputs.iter();
        let outputs = outputs.map(|(name, written)| (name.clone(), written.look())).collect();
        (state, MetricsExtra { latency, gaps, tape, outputs, ..MetricsExtra::default() })
    }

    /// Returns the state of each line and its start.
    fn lines(&self, recorder: &Recorder, now: Duration) -> Vec<(LineState, Duration)> {
        let (mode, stats) = (mode(recorder), (0..).map_while(|line| recorder.line(line)));
        stats.map(|stats| feed_state::line(stats, mode, now)).collect()
    }

    /// Returns the state of the feed, and notes what has changed since the last look as events.
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
        for (kind, at, text) in self.watch.borrow_mut().update(now, &views, session, ended) {
            events::note(kind, self.clock.since_1970(at), text);
        }
        let (state, since) = feed_state::client(lines, mode(recorder), ended);
        Feed { state, since: self.clock.since_1970(since) }
    }

    fn shown(&self, recorder: &Recorder, lines: &[(LineState, Duration)]) -> Vec<LineSnapshot> {
        let stats = (0..).map_while(|line| Some((line, recorder.line(line)?)));
        let mut shown = Vec::with_capacity(lines.len());
        for (((id, stats), &(state, since)), address) in stats.zip(lines).zip(self.addresses) {
            let since = self.clock.since_1970(since);
            shown.push(LineSnapshot {
                address: address.clone(),
                state,
                since: (!state.is_receiving() && state != LineState::Connecting).then_some(since),
                delivered: stats.packets,
                first: stats.first,
                missed: recorder.missed_by(id),
                reconnects: stats.cuts.into(),
                protocol: stats.protocol.to_string(),
                mold: (stats.protocol == Protocol::Mold).then(|| (&stats.mold).into()),
                soup: (stats.protocol == Protocol::Soup).then(|| SoupSnapshot {
                    logins: stats.soup.logins.into(),
                    rejects: stats.soup.rejects.into(),
                    rejection: stats.soup.rejection.map(|reason| reason.to_string()),
                    silences: stats.soup.silences.into(),
                    heartbeats: stats.soup.heartbeats,
                }),
            });
        }
        shown
    }

    /// Notes a gap that was found.
    pub(crate) fn on_gap(&self, gap: SeqRange, now: Duration) {
        self.note(|history| history.on_gap(gap, now));
    }

    /// Notes how far a stream has come. `frames` are packets in ascending order, new or duplicate.
    pub(crate) fn on_messages(&self, origin: Origin, messages: Messages<'_>) {
        self.note(|history| history.on_messages(origin, messages));
    }

    /// Notes a resend request.
    pub(crate) fn on_request(&self, piece: SeqRange, now: Duration) {
        self.note(|history| history.on_request(piece, now));
    }

    /// Notes that a gap, or a piece of one, was filled. `age` is the time that it was missing.
    pub(crate) fn on_fill(&self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.note(|history| history.on_fill(piece, age, origin, now));
    }

    /// Notes missing packets that were given up.
    pub(crate) fn on_gap_abandoned(&self, range: SeqRange, now: Duration) {
        self.note(|history| history.on_gap_abandoned(range, now));
    }

    fn note(&self, change: impl FnOnce(&mut GapHistory)) {
        if self.loop_handle.is_some() {
            change(&mut self.gap_history.borrow_mut());
        }
    }
}

/// Returns the mode of a recording, from the recorder's options.
fn mode(recorder: &Recorder) -> Mode {
    if recorder.is_following() { Mode::Follow } else { Mode::Record }
}
