//! MoldUDP64 lines: datagrams of a group, and requests to its request servers.
//!
//! A line has no connection. The driver joins its group and passes on every datagram; what a line
//! misses arrives on another line, or is requested from the request servers of all lines.
//! `requests` decides what is requested where; this module connects it with the session, the
//! ledger and the lines. A datagram that is not of the session touches nothing but a counter.
//!
//! # Both drivers
//!
//! In this example an exchange drops a quarter of a line's datagrams, and its request server
//! answers at once. In a program, datagrams travel through sockets: one that sends to the line's
//! receivers, one of the request server, and at the client one that joins the group and one for
//! requests.
//!
//! ```
//! use feed::client::{DatagramSource, MoldFeed};
//! use feed::exchange::datagrams::DatagramBatch;
//! use feed::exchange::server::mold::LineOptions;
//! use feed::{Exchange, Input, LineProtocol, MemoryRecording, MockExchange, Output, Recorder};
//! use feed::{RecorderOptions, Scenario, Tape};
//! use std::time::Duration;
//!
//! let tape = Tape::sample(5000);
//! let scenario = Scenario::losing(7, "25%".parse()?);
//! let exchange = MockExchange::new(std::sync::Arc::new(tape.clone()), scenario);
//! let mut exchange = exchange.with_line(LineOptions::default());
//!
//! let lines = [LineProtocol::Mold(MoldFeed { servers: 1 })];
//! let mut recorder = Recorder::new(RecorderOptions::default(), lines);
//! let mut recording = MemoryRecording::new();
//! let client = "127.0.0.1:50000".parse()?;
//! let (mut batch, mut now) = (DatagramBatch::default(), Duration::ZERO);
//! let mut requests = 0;
//! recorder.handle(Input::Wake, now, &mut recording);
//! while !recorder.is_done() {
//!     let sender = exchange.lines().expect("the exchange has a line");
//!     // 1. Carry out the recorder's outputs. A program joins and leaves the group here.
//!     while let Some(output) = recorder.poll() {
//!         let Output::Request { line, server, request } = output else { continue };
//!         requests += 1;
//!         batch.clear();
//!         sender.receive_request(0, client, &request.encode(), &mut batch, now);
//!         for (_, bytes) in batch.iter() {
//!             let source = DatagramSource::Server(server);
//!             recorder.handle(Input::Datagram { line, source, bytes }, now, &mut recording);
//!         }
//!     }
//!     // 2. Deliver the datagrams that the line sends now.
//!     batch.clear();
//!     sender.send_due(0, &mut batch, now);
//!     for (_, bytes) in batch.iter() {
//!         let source = DatagramSource::Group;
//!         recorder.handle(Input::Datagram { line: 0, source, bytes }, now, &mut recording);
//!     }
//!     // 3. If there was none, wait for the next deadline.
//!     if batch.is_empty() {
//!         let deadlines = recorder.deadline().into_iter().chain(sender.line_deadline(0));
//!         now = now.max(deadlines.min().expect("something is due"));
//!         recorder.handle(Input::Wake, now, &mut recording);
//!     }
//! }
//! assert!(recorder.outcome().is_some_and(|outcome| outcome.is_complete()));
//! assert!(recording.in_order().flatten().eq(tape.frames()));
//! assert!(requests > 5, "a quarter of the datagrams was requested again");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer_size;
mod datagram;
mod in_flight;
mod line;
mod reach;
pub mod request_server;
mod requests;
mod violation;

pub use line::{MoldFeed, MoldStats};
pub use request_server::RequestStats;
pub use violation::{IgnoredDatagrams, MoldViolation};

pub(super) use line::{MoldLine, MoldPhase};
pub(super) use requests::Requests;

use super::line::LineState;
use super::timers::{END_WAIT, STREAM_LAG, UNSERVED_WAIT};
use super::{IncompleteReason, Output, Recorder, RecorderEvent};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use crate::ledger::Sink;
use crate::wire::mold::{Request, Session};
use core::time::Duration;
use requests::RequestScope;

impl Recorder {
    /// Joins the group of a line.
    pub(super) fn join(&mut self, id: u16, now: Duration) {
        let line = &mut self.lines[usize::from(id)];
        line.streams_to_open = 0;
        let Some(mold) = &mut line.mold else { return };
        if mold.phase == MoldPhase::Idle {
            mold.phase = MoldPhase::Joined { heard_at: now };
            self.passes_started += 1;
            mold.pass = self.passes_started;
            self.outputs.push_back(Output::Join { line: id });
        }
    }

    /// Leaves the groups of all lines, and counts what the lines have missed.
    pub(super) fn leave_groups(&mut self) {
        for (id, line) in (0u16..).zip(&mut self.lines) {
            let Some(mold) = &mut line.mold else { continue };
            line.stats.missed = mold.missed();
            if mold.heard_at().is_some() {
                mold.phase = MoldPhase::Left;
                self.outputs.push_back(Output::Leave { line: id });
            }
        }
    }

    /// Counts datagrams that the kernel has dropped on the sockets of a line.
    pub(super) fn on_kernel_drops(&mut self, id: u16, count: u64) {
        if let Some(line) = self.lines.get_mut(usize::from(id)) {
            line.stats.mold.kernel_drops += count;
        }
    }

    /// Returns the highest sequence that may be requested now: what a line lags behind may still
    /// arrive there, and a gap may be too young.
    fn request_ceiling(&self, now: Duration) -> Seq {
        let mut ceiling = self.lowest_delivering(now);
        if let Some((young, _)) = self.ledger.gaps().younger(self.reorder_cutoff(now)) {
            ceiling = ceiling.min(young - 1);
        }
        ceiling
    }

    /// Returns the lowest position of the lines that have delivered something lately.
    pub(super) fn lowest_mold_position(&self, now: Duration) -> Seq {
        let delivering = self.lines.iter().filter_map(|line| {
            let mold = line.mold.as_ref()?;
            let lately = mold.heard_at().is_some_and(|at| now < at + STREAM_LAG);
            (lately && mold.first.is_some()).then_some(mold.position())
        });
        delivering.min().unwrap_or(MAX_SEQ)
    }

    /// Requests missing messages as far as the servers have room.
    pub(super) fn request_missing(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.ledger.gaps().is_empty() || self.outcome.is_some() || self.session.is_none() {
            return;
        }
        let ceiling = self.request_ceiling(now);
        let before = self.requests.served_from();
        let lines = &self.lines;
        self.requests.set_usable(|line| lines.get(usize::from(line)).is_some_and(is_line_usable));
        loop {
            let scope =
                RequestScope { gaps: self.ledger.gaps(), abandoned: &self.abandoned, ceiling };
            let Some(next) = self.requests.next(scope, now) else { break };
            let Some((id, number)) =
                self.requests.server(next.server).map(|server| (server.line, server.number))
            else {
                break;
            };
            let count = u16::try_from(next.piece.len()).unwrap_or(u16::MAX);
            let sequence = next.piece.first();
            let request = Request { session: self.wire_session(id), sequence, count };
            sink.on_request(next.piece, now);
            self.stats.resend_calls += 1;
            self.lines[usize::from(id)].stats.mold.requests += 1;
            self.outputs.push_back(Output::Request { line: id, server: number, request });
        }
        self.note_reach(before);
    }

    /// Reports the lowest message that the servers serve, once a search has found it.
    fn note_reach(&mut self, before: Option<Seq>) {
        if let Some(from) = self.requests.served_from().filter(|_| before.is_none()) {
            self.note(RecorderEvent::ServedFrom { sequence: from });
        }
    }

    /// Returns the session as a line's servers name it.
    fn wire_session(&self, id: u16) -> Session {
        let own = self.lines.get(usize::from(id)).into_iter();
        let mut known = own.chain(&self.lines).filter_map(|line| line.mold.as_ref()?.session);
        let recorded = || self.session.map_or(Session([b' '; 10]), |id| Session(id.padded()));
        known.next().unwrap_or_else(recorded)
    }

    /// Returns whether missing messages are requested, or will be at a time that a timer knows. A
    /// recording that only waited for a message that nothing announces would never end.
    pub(super) fn will_request(&self) -> bool {
        self.awaits_answers() && self.deadline().is_some()
    }

    /// Returns whether missing messages are requested, or may be.
    fn awaits_answers(&self) -> bool {
        let scope =
            RequestScope { gaps: self.ledger.gaps(), abandoned: &self.abandoned, ceiling: MAX_SEQ };
        self.session.is_some() && self.requests.has_hope(scope)
    }

    /// Returns whether a stopped recorder still waits for answers of request servers.
    pub(super) fn awaits_answers_after_stop(&self, now: Duration) -> bool {
        self.outcome.is_none()
            && self.stopping.is_some_and(|stopping| now < stopping.until)
            && self.awaits_answers()
    }

    /// Handles the deadlines of MoldUDP64 lines.
    pub(super) fn expire_mold(&mut self, now: Duration) {
        if self.outcome.is_some() || !self.has_mold {
            return;
        }
        let scope =
            RequestScope { gaps: self.ledger.gaps(), abandoned: &self.abandoned, ceiling: MAX_SEQ };
        let before = self.requests.served_from();
        self.requests.expire(scope, now);
        self.note_reach(before);
        if self.requests.leaves_out() {
            let at = *self.retry_unserved_at.get_or_insert(now + UNSERVED_WAIT);
            if now >= at && self.retries_unserved() {
                self.requests.retry_all();
                self.retry_unserved_at = None;
            }
        } else {
            self.retry_unserved_at = None;
        }
        for id in (0u16..).take(self.lines.len()) {
            self.confirm_end(id, now);
            if self.silent_since(id).is_some_and(|since| now >= self.timeout_after(since)) {
                let line = &mut self.lines[usize::from(id)];
                line.stats.given_up = true;
                line.stats.unreachable_since = line.stats.last_heard.or(Some(Duration::ZERO));
                self.note(RecorderEvent::LineGivenUp { line: id });
            }
        }
    }

    /// Returns whether messages that no server has answered are requested again from time to time:
    /// as long as the session goes on, and a line shows that.
    fn retries_unserved(&self) -> bool {
        let is_alive = |line: &LineState| line.mold.is_some() && !line.stats.given_up;
        self.end_reported_at.is_none() && self.lines.iter().any(is_alive)
    }

    /// Returns the time since which nothing arrives on a line that should deliver something.
    fn silent_since(&self, id: u16) -> Option<Duration> {
        let line = &self.lines[usize::from(id)];
        // An end that messages of another line disprove does not excuse silence.
        let is_expected = !line.stats.given_up && self.standing_end(line).is_none();
        line.mold.as_ref()?.heard_at().filter(|_| is_expected)
    }

    fn timeout_after(&self, since: Duration) -> Duration {
        since.saturating_add(self.options.timeout)
    }

    /// Returns the deadlines of a line.
    pub(super) fn mold_line_deadlines(&self, id: u16, now: Duration) -> MoldDeadlines {
        let line = &self.lines[usize::from(id)];
        let Some(mold) = line.mold.as_ref().filter(|_| self.outcome.is_none()) else {
            return MoldDeadlines::default();
        };
        let lag = mold.heard_at().map(|at| at + STREAM_LAG);
        let end = mold.end.filter(|_| line.session_end.is_none());
        MoldDeadlines {
            silence: self.silent_since(id).map(|since| self.timeout_after(since)),
            lag: lag.filter(|at| now < *at && !self.ledger.gaps().is_empty()),
            end: end.map(|end| end.since + END_WAIT),
        }
    }

    /// Returns the time at which requests are sent again, or count as unanswered.
    pub(super) fn request_deadline(&self) -> Option<Duration> {
        if self.outcome.is_some() || !self.has_mold || self.ledger.gaps().is_empty() {
            return None;
        }
        let retry = self.retry_unserved_at.filter(|_| self.retries_unserved());
        let young = self.ledger.gaps().younger(self.reorder_cutoff(self.now));
        let reorder = young.map(|(_, opened)| opened + self.options.reorder_wait);
        self.requests.deadline().into_iter().chain(retry).chain(reorder).min()
    }

    /// Returns the counters of requests to request servers.
    #[must_use]
    pub fn request_stats(&self) -> RequestStats {
        self.requests.stats()
    }

    /// Returns the lowest sequence that the request servers serve, if they do not reach back to the
    /// first message of the session.
    #[must_use]
    pub fn served_from(&self) -> Option<Seq> {
        self.requests.served_from()
    }

    /// Returns why a recording of which the request servers do not serve a part is incomplete.
    pub(super) fn unserved_reason(&self) -> IncompleteReason {
        let lowest = self.ledger.gaps().at_or_after(FIRST_SEQ).map(|gap| gap.first());
        match self.requests.served_from() {
            Some(from) if lowest.is_some_and(|lowest| lowest < from) => {
                IncompleteReason::BeforeReach
            }
            _ => IncompleteReason::NotServed,
        }
    }
}

/// Deadlines of a MoldUDP64 line.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct MoldDeadlines {
    /// Time at which a line that delivers nothing is given up.
    pub(super) silence: Option<Duration>,
    /// Time at which a line does not keep requests waiting any more.
    pub(super) lag: Option<Duration>,
    /// Time at which an end of session is believed.
    pub(super) end: Option<Duration>,
}

/// Returns whether the request servers of a line play the recorded session, as far as is known.
fn is_line_usable(line: &LineState) -> bool {
    line.stats.other_session.is_none()
}
