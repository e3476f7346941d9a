//! The recorder: the client's side of a session, as a state machine without I/O.
//!
//! A driver gives the recorder inputs and carries out its outputs. There is one rule: **give it one
//! input, carry out what [`poll`](Recorder::poll) returns until that is `None`, send what
//! [`transmit`](Recorder::transmit) appends for the connections that can take bytes, then wait for
//! input or for [`deadline`](Recorder::deadline)**. The recording is over when
//! [`is_done`](Recorder::is_done) returns true.
//!
//! For each line, the recorder requests the stream on one connection. Beside it, it opens a second
//! connection, which describes the session and requests resends while the stream still runs.
//! Packets that cannot be requested are recorded in further passes. The recorder never does what
//! kills an exchange of the original protocol: it sends nothing after a stream call, requests no
//! sequence above the highest one seen, and closes without a reset.

mod alignment;
mod claims;
mod connection;
mod event;
mod finish;
mod line;
mod lines;
pub mod mold;
mod options;
mod outcome;
pub mod passes;
mod receive;
mod resend;
mod session;
mod soup;
mod subscription;
pub mod timers;

pub use crate::session::completeness::IncompleteReason;
pub use crate::session::tail::Tail;
pub use event::{DatagramSource, Input, Output, PassEnd, RecorderEvent};
pub use lines::{LINES_MAX, LineProtocol, Lines, SoupLogin};
pub use mold::{IgnoredDatagrams, MoldFeed, MoldStats, MoldViolation, RequestStats};
pub use options::{RecorderOptions, RecorderStats};
pub use outcome::{Outcome, PeerViolations, UndecodableError};
pub use soup::{SessionPayload, SoupStats, SoupViolation};

use crate::base::seq::{Seq, SeqSet};
use crate::client::passes::PassStats;
use crate::client::timers::{STREAM_LAG, STREAM_SILENCE};
use crate::ledger::{Ledger, Sink};
use crate::wire::{Info, Protocol, RawFrame, SessionId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use connection::{ClientConnection, ConnectionRole, ConnectionState};
use core::time::Duration;
use finish::Stopping;
pub use line::LineStats;
use line::{Dialect, LineState};

/// Number of a connection, unique during the life of a recorder.
pub type ConnId = u32;

/// The client's side of a session; see the [module](self).
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    ledger: Ledger,
    lines: Vec<LineState>,
    conns: Vec<ClientConnection>,
    next_conn: ConnId,
    passes_started: u32,
    passes: PassStats,
    /// Number of consecutive complete passes without a new packet.
    fruitless_passes: u32,
    /// Session that is recorded, once one is adopted.
    session: Option<SessionId>,
    /// Kind of the session's messages.
    payload: SessionPayload,
    /// Order packets out of SoupBinTCP packets, while they are taken; empty between two inputs.
    packet_buffer: Vec<RawFrame>,
    /// Description by the first exchange that reported a session, until that session is adopted.
    proposed: Option<Info>,
    /// Last sequence of the session according to the recording that is resumed.
    resumed_end: Seq,
    /// Last sequence of the session as last reported to the sink.
    reported_end: Seq,
    /// Time at which a line first reported the end of the session.
    end_reported_at: Option<Duration>,
    /// Highest sequence of the recording that is resumed.
    resumed_at: Seq,
    /// Sequences that were abandoned; some of them may have arrived since.
    abandoned: SeqSet,
    /// Requests to the request servers of MoldUDP64 lines.
    requests: mold::Requests,
    /// True if a line speaks MoldUDP64.
    has_mold: bool,
    /// Time at which messages are requested again that no request server has answered.
    retry_unserved_at: Option<Duration>,
    /// Time of the next search for gaps to abandon.
    give_up_at: Duration,
    /// True if the recording began with packets of an earlier recorder.
    resumed: bool,
    /// Reason and time limit of an early stop, once it has begun.
    stopping: Option<Stopping>,
    /// True after the first input.
    has_started: bool,
    stats: RecorderStats,
    violations: PeerViolations,
    outputs: VecDeque<Output>,
    outcome: Option<Outcome>,
    /// Time at which the outcome was known.
    ended_at: Option<Duration>,
    /// Time of the latest input.
    now: Duration,
}

impl Recorder {
    /// Returns a recorder of a session that arrives on redundant lines: each with its protocol, or a
    /// number of lines of the exercise's protocol.
    ///
    /// If a line speaks SoupBinTCP or MoldUDP64, the recorder follows the session on all lines.
    #[must_use]
    pub fn new(options: RecorderOptions, lines: impl Into<Lines>) -> Self {
        let (mut options, lines) = (options, lines.into());
        if lines.are_followed() {
            (options.follow, options.classic) = (true, false);
        }
        let mut ledger = Ledger::new(options.limits);
        if let Some(last) = options.last {
            ledger.reaches(last);
        }
        let requests = mold::Requests::new(lines.request_servers(), options.retries);
        Self {
            ledger,
            lines: lines
                .protocols()
                .iter()
                .map(|protocol| LineState::new(options.window, *protocol))
                .collect(),
            options,
            conns: Vec::new(),
            next_conn: 0,
            passes_started: 0,
            passes: PassStats::default(),
            fruitless_passes: 0,
            session: None,
            payload: SessionPayload::Unknown,
            packet_buffer: Vec::new(),
            proposed: None,
            resumed_end: 0,
            reported_end: 0,
            end_reported_at: None,
            resumed_at: 0,
            abandoned: SeqSet::new(),
            requests,
            has_mold: lines.protocols().iter().any(|line| line.protocol() == Protocol::Mold),
            retry_unserved_at: None,
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

    /// Returns a recorder that resumes an earlier recording: everything up to `highest` is recorded
    /// except `missing`. `session` is the session of those packets, if it is known, with the lowest
    /// value that its last sequence can have.
    ///
    /// An exchange that speaks the extension is asked only for the missing packets. If the session
    /// is known, the recorder requests them at once, and records an answer only after the exchange
    /// has shown that it plays that session. It does not resume from an exchange that reports no
    /// session then. Recorded packets of an unknown session are requested again (see
    /// [`Sink::on_session`]).
    #[must_use]
    pub fn resume(
        options: RecorderOptions,
        lines: impl Into<Lines>,
        highest: Seq,
        missing: &SeqSet,
        session: Option<Info>,
    ) -> Self {
        let mut recorder = Self::new(options, lines);
        let given_end = recorder.ledger.end();
        recorder.ledger = Ledger::resume(recorder.options.limits, highest, missing);
        given_end.into_iter().for_each(|last| recorder.ledger.reaches(last));
        recorder.session = session.map(|info| info.session);
        recorder.resumed_end = session.map_or(0, |info| info.last);
        recorder.reported_end = recorder.resumed_end;
        recorder.resumed = highest > 0 || session.is_some();
        recorder.resumed_at = recorder.ledger.highest();
        let classic = recorder.options.classic && session.is_none();
        // Resends fill a resumed recording, so it needs no stream, except where the original
        // protocol is all there is.
        if recorder.resumed && !classic && !recorder.options.follow {
            recorder.lines.iter_mut().for_each(|line| line.streams_to_open = 0);
        }
        recorder
    }

    /// Sets the kind of the messages that an earlier recording has. Without it, the next message of
    /// a SoupBinTCP line tells, as the first one of a new recording does.
    pub fn expect_payload(&mut self, payload: SessionPayload) {
        self.payload = payload;
    }

    /// Handles one input at time `now`, which may be of any clock that never goes back.
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
            // A stream that is not read cannot deliver anything, so its silence must not count
            // against it. A stream that was silent before is not held back.
            for at in 0..self.conns.len() {
                let conn = &self.conns[at];
                if now < conn.last_useful + STREAM_SILENCE && self.is_held_back(conn) {
                    self.conns[at].last_useful = now;
                }
            }
        }
        self.expire(now);
        self.advance(now, sink);
    }

    /// Dispatches one input.
    fn input(&mut self, input: Input<'_>, now: Duration, sink: &mut impl Sink) {
        match input {
            Input::Wake => {}
            Input::Stop => self.stop(now),
            Input::Datagram { line, source, bytes } => {
                self.stats.bytes += bytes.len() as u64;
                self.on_datagram(line, source, bytes, now, sink);
            }
            Input::KernelDrops { line, count } => self.on_kernel_drops(line, count),
            Input::Connected(id) => {
                if let Some(at) = self.find(id) {
                    self.connected(at, now);
                }
            }
            Input::ConnectFailed(id) => {
                if let Some(at) = self.find(id) {
                    self.connect_failed(at, now);
                }
            }
            Input::Received(id, bytes) => {
                self.stats.bytes += bytes.len() as u64;
                if let Some(at) = self.find(id) {
                    self.received(at, bytes, now, sink);
                }
            }
            Input::Ended(id) => {
                if let Some(at) = self.find(id) {
                    self.closed(at, false, now);
                }
            }
            Input::Broken(id) => {
                if let Some(at) = self.find(id) {
                    self.closed(at, true, now);
                }
            }
        }
    }

    /// Does what the state calls for after an input.
    fn advance(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(stopping) = self.stopping {
            return self.finish_stopped(stopping, now, sink);
        }
        if self.lines.len() > 1 {
            self.update_believed_end(now, sink);
        }
        self.adopt_session_if_settled(now, sink);
        self.report_new_end(now, sink);
        for at in 0..self.conns.len() {
            if self.conns[at].role == ConnectionRole::Resend
                && self.conns[at].state == ConnectionState::Open
            {
                self.restart_stalled_sweep(at, now);
            }
        }
        if self.options.follow {
            return self.advance_following(now, sink);
        }
        if self.is_every_stream_silent(now) {
            self.ledger.close_tail(now, sink);
        }
        if self.passes.complete > 0 {
            self.close_useless_resends(u32::MAX, now);
        }
        self.open_connections(now);
        let streams = self.conns.iter().filter(|conn| conn.is_stream());
        // A stream that still delivers packets may go beyond the end that was reported.
        let single_line = self.lines.len() == 1;
        let mut live = streams.clone().filter(|conn| {
            let position = conn.track.position;
            let is_ahead = position >= self.ledger.highest() && now < conn.last_useful + STREAM_LAG;
            is_ahead || single_line && position == 0 && now < conn.last_useful + STREAM_SILENCE
        });
        if self.is_complete() && live.next().is_none() && !self.awaits_other_description(now) {
            self.adopt_session_and_finish(None, now, sink);
        } else if streams.count() == 0 && self.lines.iter().all(|line| line.streams_to_open == 0) {
            self.between_passes(now, sink);
        }
    }

    /// Returns the next output, or `None` if the driver has carried out all of them.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Appends the bytes to send on a connection now. One call appends about 16 KiB at most; call
    /// it again for more.
    pub fn transmit(
        &mut self,
        conn: ConnId,
        now: Duration,
        sink: &mut impl Sink,
        out: &mut Vec<u8>,
    ) {
        let Some(at) = self.find(conn) else { return };
        let conn = &mut self.conns[at];
        let may_send = match conn.state {
            ConnectionState::Connecting => false,
            ConnectionState::Open => true,
            // A logout request is the last that is sent.
            ConnectionState::Draining { .. } => conn.wire.soup().is_some(),
        };
        if !may_send {
            return;
        }
        out.append(&mut conn.outbox.0);
        if conn.role == ConnectionRole::Resend
            && conn.state == ConnectionState::Open
            && self.outcome.is_none()
        {
            self.write_requests(at, now, sink, out);
        }
    }

    /// Returns whether to read from a connection now. If not, ask again after another connection
    /// has delivered something or the [`deadline`](Self::deadline) has passed.
    ///
    /// The recorder holds back a stream that loses packets faster than its line resends them, by
    /// not reading it. So the number of open gaps stays small, however long the session is.
    #[must_use]
    pub fn wants_input(&self, conn: ConnId) -> bool {
        self.ledger.gaps().len() < self.options.limits.backpressure_gaps
            || self.find(conn).is_none_or(|at| !self.is_held_back(&self.conns[at]))
    }

    /// Returns whether a connection is a stream whose line is busy with resends.
    fn is_held_back(&self, conn: &ClientConnection) -> bool {
        let is_busy = |other: &ClientConnection| {
            other.line == conn.line
                && other.role == ConnectionRole::Resend
                && other.state == ConnectionState::Open
                && other.in_flight() > 0
        };
        conn.is_stream()
            && self.lines[usize::from(conn.line)].dialect == Dialect::Extended
            && self.conns.iter().any(is_busy)
    }

    /// Returns whether the recording is over and every connection closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.is_some() && self.conns.is_empty()
    }

    /// Returns the outcome of the recording, once it is known.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns the time at which the outcome was known. Closing the connections takes longer.
    #[must_use]
    pub fn ended_at(&self) -> Option<Duration> {
        self.ended_at
    }

    /// Returns the time of the latest input.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the ledger: which sequences are recorded and which are missing.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the counters over all lines.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.stats
    }

    /// Returns whether the recorder follows a live session.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.options.follow
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Returns the counters of one line.
    #[must_use]
    pub fn line(&self, line: u16) -> Option<&LineStats> {
        self.lines.get(usize::from(line)).map(|line| &line.stats)
    }

    /// Returns the statistics of the passes so far.
    #[must_use]
    pub fn passes(&self) -> PassStats {
        self.passes
    }

    /// Returns the id of the recorded session, once an exchange has reported it.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Returns the peers' violations of the protocol so far.
    #[must_use]
    pub fn violations(&self) -> &PeerViolations {
        &self.violations
    }

    /// Returns the index of the connection with this number.
    fn find(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| conn.id == id)
    }

    /// Queues an event for the driver to show.
    fn note(&mut self, note: RecorderEvent) {
        self.outputs.push_back(Output::Note(note));
    }
}
