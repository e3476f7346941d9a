//! The recorder: the client's side of a session, as a state machine without I/O.
//!
//! A driver gives it inputs and carries out its outputs. There is one rule: **give it one input,
//! carry out what [`poll`](Recorder::poll) hands out until that is `None`, send what
//! [`transmit`](Recorder::transmit) has for the connections that can take bytes, then wait for
//! input or [`deadline`](Recorder::deadline)**. It is over when [`is_done`](Recorder::is_done) says so.
//!
//! What it does, a line at a time: it asks for the stream on one connection and, beside it, opens
//! another on which it asks what the exchange speaks and has lost packets sent again while the
//! stream still runs. What cannot be asked for comes with further passes. It never does what an
//! exchange of the original protocol dies of: it sends nothing after a stream call, asks for no
//! sequence above the highest one seen, and closes without resetting.

mod alignment;
mod claims;
mod connection;
mod decide;
mod event;
mod inputs;
mod line;
mod outcome;
mod passes;
pub mod recovery;
pub(crate) mod resend;
mod session;
mod stop;
pub(crate) mod subscription;

pub use crate::session::completeness::IncompleteReason;
pub use crate::session::tail::Tail;
pub use event::{Input, Output, PassEnd, RecorderEvent};
pub use outcome::{Outcome, PeerViolations};

use crate::base::seq::{Seq, SeqSet};
use crate::client::recovery::{PassStats, STREAM_SILENCE};
use crate::ledger::{Ledger, Limits, Sink};
use crate::wire::{Info, RESEND_MAX, SessionId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use connection::{ClientConnection, ConnectionRole, ConnectionState};
use core::time::Duration;
pub use line::LineStats;
use line::{Dialect, LineState};
use stop::Stopping;

/// A connection of a recorder; numbers are never used twice.
pub type ConnId = u32;

/// What a recorder is told to do.
#[derive(Clone, PartialEq, Debug)]
pub struct RecorderOptions {
    /// Never use the extension.
    pub classic: bool,
    /// Follow a live session to its end. Needs the extension.
    pub follow: bool,
    /// A subscription that is silent for so long is broken; heartbeats come every second.
    pub silence: Duration,
    /// What is missing is asked for once it has been missing for so long: it may yet come late, or
    /// by another line.
    pub reorder_wait: Duration,
    /// When following: what has been missing for so long (or a sixteenth longer) is given up. It is
    /// not asked for any more, and recorded if it comes all the same.
    pub give_up: Option<Duration>,
    /// The session's last sequence, where it is known; 0 for an empty session.
    pub last: Option<Seq>,
    /// At most so many passes; `None` leaves it to the policy (and to
    /// [`PASSES_MAX`](recovery::PASSES_MAX)). A recording
    /// whose passes are used up counts as complete however doubtful its end is.
    pub passes: Option<u32>,
    /// At most so many packets asked for and not yet answered, a line.
    pub window: u32,
    /// How often something that fails is tried again before it is given up.
    pub retries: u32,
    /// How long a peer may be out of reach, or silent, before it is given up.
    pub timeout: Duration,
    /// A session's end that nobody confirms is believed once the chance that a packet lies
    /// beyond it is lower than this.
    pub tail_miss_probability: f64,
    /// The highest sequence that is asked for from an exchange of the original protocol.
    pub resend_max: Seq,
    /// Bounds on what a peer can make the recorder believe.
    pub limits: Limits,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            classic: false,
            follow: false,
            silence: Duration::from_secs(3),
            reorder_wait: Duration::ZERO,
            give_up: None,
            last: None,
            passes: None,
            window: 1 << 20,
            retries: 4,
            timeout: Duration::from_secs(10),
            tail_miss_probability: 1e-6,
            resend_max: RESEND_MAX,
            limits: Limits::default(),
        }
    }
}

/// What was counted, over all lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RecorderStats {
    /// Bytes received.
    pub bytes: u64,
    /// Packets recorded from streams.
    pub streamed: u64,
    /// Packets recorded from resends.
    pub resent: u64,
    /// Packets that had been recorded before.
    pub repeated: u64,
    /// Passes that ended by silence.
    pub silent_passes: u32,
    /// Resend calls sent.
    pub resend_calls: u64,
    /// Connections opened.
    pub connections: u32,
    /// Connections that broke, were cut off or could not be opened.
    pub failures: u32,
}

/// The client's side of a session. See the [module](self).
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    ledger: Ledger,
    lines: Vec<LineState>,
    conns: Vec<ClientConnection>,
    next_conn: ConnId,
    passes_started: u32,
    passes: PassStats,
    /// Complete passes in a row that brought nothing new.
    fruitless_passes: u32,
    session: Option<SessionId>,
    /// The first session that was told, until nothing keeps it from being the one recorded.
    proposed: Option<Info>,
    /// Last sequence that the recording which is gone on with says its session to have.
    resumed_end: Seq,
    /// Last sequence of the session as the sink was told.
    reported_end: Seq,
    /// Time at which a line first said that the session is over.
    end_reported_at: Option<Duration>,
    /// Highest sequence that an earlier recording had.
    resumed_at: Seq,
    /// What was given up; some of it may have come since.
    abandoned: SeqSet,
    /// When to look next for what is to be given up.
    give_up_at: Duration,
    /// It began with packets that another recorder has recorded.
    resumed: bool,
    /// It ends before it is done.
    stopping: Option<Stopping>,
    /// There was an input.
    has_started: bool,
    stats: RecorderStats,
    violations: PeerViolations,
    outputs: VecDeque<Output>,
    outcome: Option<Outcome>,
    /// When that was known.
    ended_at: Option<Duration>,
    /// The time of the latest input.
    now: Duration,
}

impl Recorder {
    /// A recorder of a session that `lines` redundant sources bring.
    #[must_use]
    pub fn new(options: RecorderOptions, lines: u16) -> Self {
        let mut ledger = Ledger::new(options.limits);
        if let Some(last) = options.last {
            ledger.reaches(last);
        }
        Self {
            ledger,
            lines: (0..lines).map(|_| LineState::new(options.window)).collect(),
            options,
            conns: Vec::new(),
            next_conn: 0,
            passes_started: 0,
            passes: PassStats::default(),
            fruitless_passes: 0,
            session: None,
            proposed: None,
            resumed_end: 0,
            reported_end: 0,
            end_reported_at: None,
            resumed_at: 0,
            abandoned: SeqSet::new(),
            give_up_at: Duration::ZERO,
            resumed: false,
            stopping: None,
            has_started: false,
            stats: RecorderStats::default(),
            violations: PeerViolations::default(),
            outputs: VecDeque::new(),
            outcome: None,
            ended_at: None,
            now: Duration::ZERO,
        }
    }

    /// A recorder that goes on where another has ended: everything up to `highest` is recorded but
    /// what is `missing`, of this `session` if that is known, which has its last packet at least.
    ///
    /// An exchange that speaks the extension is asked only for the rest: of a known session at
    /// once, and nothing is recorded before it has shown to play that. One that does not tell its
    /// session is not gone on with then. What is of no known session is asked for again
    /// ([`Sink::on_session`]).
    #[must_use]
    pub fn resume(
        options: RecorderOptions,
        lines: u16,
        highest: Seq,
        missing: &SeqSet,
        session: Option<Info>,
    ) -> Self {
        let mut recorder = Self::new(options, lines);
        let told = recorder.ledger.end();
        recorder.ledger = Ledger::resume(recorder.options.limits, highest, missing);
        told.into_iter().for_each(|last| recorder.ledger.reaches(last));
        recorder.session = session.map(|info| info.session);
        recorder.resumed_end = session.map_or(0, |info| info.last);
        recorder.reported_end = recorder.resumed_end;
        recorder.resumed = highest > 0 || session.is_some();
        recorder.resumed_at = recorder.ledger.highest();
        let streams = recorder.options.classic && session.is_none();
        if recorder.resumed && !streams && !recorder.options.follow {
            recorder.lines.iter_mut().for_each(|line| line.streams_to_open = 0);
        }
        recorder
    }

    /// Takes one input at time `now` (any clock that only goes forward).
    pub fn handle(&mut self, input: Input<'_>, now: Duration, sink: &mut impl Sink) {
        self.now = now;
        if !core::mem::replace(&mut self.has_started, true) {
            self.ledger.begins(now);
        }
        self.input(input, now, sink);
        if sink.has_failed() {
            self.finish(Some(IncompleteReason::Storage), now);
        } else if sink.is_closed() && self.options.follow && sink.wants_missing() {
            self.begin_stop(IncompleteReason::Enough, now);
        } else if sink.is_closed() {
            self.adopt_session(now, sink);
            self.finish(Some(IncompleteReason::Enough), now);
        }
        if self.ledger.gaps().len() >= self.options.limits.backpressure_gaps {
            // What is not read cannot bring anything. (What was silent before is not held back.)
            for at in 0..self.conns.len() {
                let conn = &self.conns[at];
                if now < conn.last_useful + STREAM_SILENCE && self.held_back(conn) {
                    self.conns[at].last_useful = now;
                }
            }
        }
        self.expire(now);
        self.advance(now, sink);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Appends what is to be sent on a connection now; about 16 KiB at most, so ask again.
    pub fn transmit(
        &mut self,
        conn: ConnId,
        now: Duration,
        sink: &mut impl Sink,
        out: &mut Vec<u8>,
    ) {
        let Some(at) = self.find(conn) else { return };
        if !matches!(self.conns[at].state, ConnectionState::Open) {
            return;
        }
        out.append(&mut self.conns[at].outbox);
        if self.conns[at].role == ConnectionRole::Resend && self.outcome.is_none() {
            self.write_requests(at, now, sink, out);
        }
    }

    /// Whether to read from a connection now; if not, again after another one brought something or
    /// the [`deadline`](Self::deadline) has passed.
    ///
    /// A stream that loses faster than its line sends again is held back, by not reading it, so
    /// that few gaps are open however long the session is.
    #[must_use]
    pub fn wants_input(&self, conn: ConnId) -> bool {
        self.ledger.gaps().len() < self.options.limits.backpressure_gaps
            || self.find(conn).is_none_or(|at| !self.held_back(&self.conns[at]))
    }

    /// Whether a connection is a stream whose line is busy with sending again.
    fn held_back(&self, conn: &ClientConnection) -> bool {
        let filling = |other: &ClientConnection| {
            other.line == conn.line
                && other.role == ConnectionRole::Resend
                && other.state == ConnectionState::Open
                && other.in_flight() > 0
        };
        conn.streams()
            && self.lines[usize::from(conn.line)].dialect == Dialect::Extended
            && self.conns.iter().any(filling)
    }

    /// When to give it [`Input::Wake`] should nothing else happen before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let conns = self.conns.iter().filter_map(|conn| self.conn_timer(conn));
        let lines = (0..).zip(&self.lines).filter_map(|(id, line)| self.line_timer(id, line));
        conns.chain(lines).chain(self.give_up_deadline()).chain(self.dispute_deadline()).min()
    }

    /// Whether the recording is over and every connection closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.is_some() && self.conns.is_empty()
    }

    /// What the recording came to, once that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// When that was known; closing connections takes longer.
    #[must_use]
    pub fn ended_at(&self) -> Option<Duration> {
        self.ended_at
    }

    /// The time of the latest input.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What is missing below this sequence has been asked for, on one line at least.
    #[must_use]
    pub fn requested_below(&self) -> Seq {
        let asking = self.lines.iter().filter(|line| line.resend.is_some());
        asking.map(|line| line.resender.cursor).max().unwrap_or(0)
    }

    /// What has been seen and what is missing.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.stats
    }

    /// Whether it follows a live session.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.options.follow
    }

    /// How many lines it has.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// What was counted of a line.
    #[must_use]
    pub fn line(&self, line: u16) -> Option<&LineStats> {
        self.lines.get(usize::from(line)).map(|line| &line.stats)
    }

    /// The passes so far.
    #[must_use]
    pub fn passes(&self) -> PassStats {
        self.passes
    }

    /// The session's id, if an exchange has told it.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// What peers did wrong.
    #[must_use]
    pub fn violations(&self) -> &PeerViolations {
        &self.violations
    }

    fn find(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| conn.id == id)
    }

    fn note(&mut self, note: RecorderEvent) {
        self.outputs.push_back(Output::Note(note));
    }
}
