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
//!
//! # SoupBinTCP
//!
//! A line that speaks [SoupBinTCP](LineProtocol::Soup) has one connection. It logs in at the lowest
//! missing message, and again at the next one after each break. The rule for drivers is the same.
//! In this example the exchange cuts every connection after some messages:
//!
//! ```
//! use feed::client::{ConnId, Input, LineProtocol, Output, Recorder, RecorderOptions, SoupLogin};
//! use feed::exchange::server::MockExchange;
//! use feed::exchange::{Disconnect, Exchange, Step};
//! use feed::faults::scenario::{Fault, FaultAction, FaultPlace, FaultSelector, Scenario};
//! use feed::tape::in_memory::Tape;
//! use feed::tape::recording::MemoryRecording;
//! use feed::wire::Protocol;
//! use std::time::Duration;
//!
//! let tape = Tape::sample(1000);
//! let mut cut = Fault::new(FaultAction::Close { bytes: 5 }, FaultPlace::Stream).unwrap();
//! cut.pick = FaultSelector::Every(150);
//! cut.times = Some(1);
//! let scenario = Scenario::clean(7).with(cut);
//! let mut exchange = MockExchange::new(std::sync::Arc::new(tape.clone()), scenario);
//!
//! let lines = [LineProtocol::Soup(SoupLogin::default())];
//! let mut recorder = Recorder::new(RecorderOptions::default(), lines);
//! let mut recording = MemoryRecording::new();
//! let (mut conn, mut now) = (None, Duration::ZERO);
//! recorder.handle(Input::Wake, now, &mut recording);
//! while !recorder.is_done() {
//!     // 1. Carry out the recorder's outputs.
//!     while let Some(output) = recorder.poll() {
//!         match output {
//!             Output::Connect { conn: id, line: _ } => {
//!                 conn = Some((id, exchange.open(Protocol::Soup, now)));
//!                 recorder.handle(Input::Connected(id), now, &mut recording);
//!             }
//!             Output::Drop(_) => {
//!                 if let Some((_, server)) = conn.take() {
//!                     exchange.disconnected(server, Disconnect::Closed, now);
//!                 }
//!             }
//!             // A SoupBinTCP connection needs nothing else.
//!             _ => {}
//!         }
//!     }
//!     // 2. Move bytes in both directions.
//!     let mut moved = false;
//!     if let Some((id, server)) = &mut conn {
//!         let (id, mut sent, mut buffer): (ConnId, _, _) = (*id, Vec::new(), [0; 4096]);
//!         recorder.transmit(id, now, &mut recording, &mut sent);
//!         exchange.receive(server, &sent, now);
//!         let count = exchange.peek(server, &mut buffer, now);
//!         exchange.sent(server, count, now);
//!         moved = !sent.is_empty() || count > 0;
//!         let step = if count == 0 { exchange.step(server, now) } else { Step::Wait };
//!         recorder.handle(Input::Received(id, &buffer[..count]), now, &mut recording);
//!         if step != Step::Wait {
//!             recorder.handle(Input::Ended(id), now, &mut recording);
//!             moved = true;
//!         }
//!     }
//!     // 3. If nothing moved, wait for the next deadline.
//!     if !moved {
//!         let server = conn.as_ref().and_then(|(_, server)| exchange.deadline(server));
//!         let next = recorder.deadline().into_iter().chain(server).min();
//!         now = now.max(next.expect("something is due"));
//!         recorder.handle(Input::Wake, now, &mut recording);
//!     }
//! }
//! assert!(recorder.outcome().is_some_and(|outcome| outcome.is_complete()));
//! assert!(recording.in_order().flatten().eq(tape.frames()));
//! let stats = recorder.line(0).unwrap();
//! assert!(stats.soup.logins > 1 && recorder.stats().duplicates == 0);
//! ```
//!
//! # MoldUDP64
//!
//! A line that speaks [MoldUDP64](LineProtocol::Mold) has no connections: its driver joins a group,
//! passes on datagrams and sends requests. [`mold`] has an example of both ends.

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
mod progress;
mod receive;
mod resend;
mod session;
mod session_payload;
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
pub use session_payload::SessionPayload;
pub use soup::{SoupStats, SoupViolation};

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
///
/// Concept: [line](crate#line).
pub type ConnId = u32;

/// The client's side of a session; see the [module](self).
///
/// Concepts: [session](crate#session), [line](crate#line), [gap](crate#gap),
/// [resend](crate#resend), [pass](crate#pass), [tail](crate#tail).
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
    /// Returns a recorder of a session that arrives on redundant lines: each with its protocol, or
    /// a number of lines of the exercise's protocol.
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

    /// Returns the kind of the messages so far.
    #[must_use]
    pub fn payload(&self) -> SessionPayload {
        self.payload
    }

    /// Handles one input at time `now`, which may be of any clock that never goes back.
    pub fn handle(&mut self, input: Input<'_>, now: Duration, sink: &mut impl Sink) {
        self.now = now;
        if !core::mem::replace(&mut self.has_started, true) {
            self.ledger.begins(now);
        }
        // After a pause of the driver many answers wait to be read. The first of them does not say
        // that the others are missing; the next input of another kind does.
        let is_answer = matches!(input, Input::Datagram { source: DatagramSource::Server(_), .. });
        let others_wait = is_answer && self.requests.is_overdue(now);
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
        if !others_wait {
            self.expire_mold(now);
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
        // An original exchange may take one connection at a time, so a resend connection without a
        // request must not keep the next pass out.
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
    /// The recorder holds back a stream that drops packets faster than its line resends them, by
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

    /// Returns the index of the connection with this number.
    fn find(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| conn.id == id)
    }

    /// Queues an event for the driver to show.
    fn note(&mut self, note: RecorderEvent) {
        self.outputs.push_back(Output::Note(note));
    }
}
