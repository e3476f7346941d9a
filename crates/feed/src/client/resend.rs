//! Resends: what a line requests, when, and how it handles answers, refusals and failures.
//!
//! A line requests resends on a connection beside its stream, which it opens when it is needed.
//! [`Resender`] decides which range comes next; this module decides whether the line may request it
//! now ([`RequestScope`]), writes the calls, and judges a connection that ends.

mod sweep;

use super::connection::{ConnectionRole, ConnectionState, ConnectionSummary};
use super::line::{Dialect, LineState};
use super::{Recorder, RecorderEvent};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use crate::client::timers::{STREAM_LAG, backoff};
use crate::ledger::Sink;
use crate::wire::{Call, NotAvailable, Reason, VERSION};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
pub(super) use sweep::{RequestScope, Resender};

/// Approximate number of bytes of resend calls that one call of [`Recorder::transmit`] writes.
const REQUEST_BYTES: usize = 16 * 1024;

/// Number of consecutive failed resends after which passes begin beside the resends.
pub(super) const RESEND_FAILURES_MAX: u32 = 2;

/// Maximum number of connections that begin with a describe call and deliver nothing before the
/// recorder stops sending it.
pub(super) const FAILED_DESCRIBES_MAX: u32 = 2;

impl Recorder {
    /// Returns whether a line needs a new connection for a description or for resends.
    pub(super) fn wants_resend_connection(&self, id: u16, now: Duration) -> bool {
        let line = &self.lines[usize::from(id)];
        let describes = self.may_describe(line, now)
            && (line.describe_deadline.is_none() || self.lacks_session(line));
        line.resend.is_none()
            && !line.resender.given_up
            && now >= line.resender.retry_at
            && (describes || self.can_request(id, now))
    }

    /// Returns whether a line may still turn out to speak the extension.
    pub(super) fn may_describe(&self, line: &LineState, now: Duration) -> bool {
        line.dialect == Dialect::Unknown
            && !(self.options.classic || line.resender.given_up)
            // Some servers close, or wait, on a call that they do not know, so the number of tries
            // is limited.
            && (line.failed_describes < FAILED_DESCRIBES_MAX || self.lacks_session(line))
            && line.describe_deadline.is_none_or(|by| now < by)
    }

    /// Returns whether a line has anything to request now.
    pub(super) fn can_request(&self, id: u16, now: Duration) -> bool {
        let resender = &self.lines[usize::from(id)].resender;
        let scope = self.request_scope(id, now);
        !resender.given_up
            && resender.next_requestable(self.ledger.gaps(), FIRST_SEQ, scope).is_some()
    }

    /// Returns the sequences that a line may request now.
    fn request_scope(&self, id: u16, now: Duration) -> RequestScope {
        let mut ceiling = self.lowest_delivering(now);
        let line = &self.lines[usize::from(id)];
        let early = self.can_request_early(line, now);
        if (self.resumed && self.may_describe(line, now) || self.lacks_session(line)) && !early {
            // The line may still turn out to play another session.
            ceiling = 0;
        }
        if let Some((young, _)) = self.ledger.gaps().younger(self.reorder_cutoff(now)) {
            ceiling = ceiling.min(young - 1);
        }
        let highest = self.highest_requestable(line);
        match line.dialect {
            Dialect::Extended => RequestScope { ceiling: ceiling.min(highest), ranges: true },
            _ if early => RequestScope { ceiling, ranges: true },
            // An original dies when a sequence is requested that it does not have.
            _ => RequestScope {
                ceiling: ceiling.min(self.options.resend_max).min(highest),
                ranges: false,
            },
        }
    }

    /// Returns the lowest position of the lines that have delivered something lately. Packets above
    /// it may still arrive there, so they are not missed yet.
    pub(super) fn lowest_delivering(&self, now: Duration) -> Seq {
        let streams = self
            .conns
            .iter()
            .filter(|conn| {
                conn.is_stream()
                    && conn.state == ConnectionState::Open
                    && now < conn.last_useful + STREAM_LAG
            })
            .filter(|conn| !self.lacks_session(&self.lines[usize::from(conn.line)]));
        let streams = streams.map(|conn| conn.track.position).min().unwrap_or(MAX_SEQ);
        streams.min(self.lowest_mold_position(now))
    }

    /// Returns whether ranges are requested right behind the describe call. The exchange described
    /// itself when this session was recorded before; its answers are recorded only after it does so
    /// again.
    fn can_request_early(&self, line: &LineState, now: Duration) -> bool {
        self.resumed
            && self.session.is_some()
            && self.may_describe(line, now)
            && line.failed_describes == 0
            && self.lines.len() == 1
            && !self.options.follow
    }

    /// Returns the time after which gaps have opened too late to be requested yet.
    pub(super) fn reorder_cutoff(&self, now: Duration) -> Duration {
        // After the streams are closed no packet arrives late.
        match self.options.reorder_wait.is_zero() || self.stopping.is_some() {
            true => Duration::MAX,
            false => now.saturating_sub(self.options.reorder_wait),
        }
    }

    /// Appends resend calls.
    pub(super) fn write_requests(
        &mut self,
        at: usize,
        now: Duration,
        sink: &mut impl Sink,
        out: &mut Vec<u8>,
    ) {
        let scope = self.request_scope(self.conns[at].line, now);
        let conn = &mut self.conns[at];
        let line = &mut self.lines[usize::from(conn.line)];
        let early = scope.ranges && line.dialect == Dialect::Unknown;
        let resender = &mut line.resender;
        if now < resender.retry_at || resender.given_up || resender.paused {
            return;
        }
        resender.raise_in_flight_limit(conn.answered, conn.in_flight());
        let full = out.len() + REQUEST_BYTES;
        while out.len() < full
            && let Some(piece) = resender.next_request(self.ledger.gaps(), conn.in_flight(), scope)
        {
            // An exchange knows ranges only on a connection with a describe call. This one has none
            // if it was opened while the line counted as an original that is silent about it.
            if scope.ranges && !mem::replace(&mut conn.described, true) {
                Call::Describe { version: VERSION }.encode(out);
            }
            let call = if scope.ranges {
                Call::ResendRange { first: piece.first(), count: piece.len() }
            } else {
                Call::Resend(piece.first())
            };
            call.encode(out);
            sink.on_request(piece, now);
            conn.requested_early |= early;
            if conn.in_flight() == 0 {
                conn.last_useful = now;
            }
            conn.requested += piece.len();
            self.stats.resend_calls += 1;
        }
    }

    /// Returns the sequence below which every missing packet has been requested, on one line at
    /// least.
    #[must_use]
    pub fn requested_below(&self) -> Seq {
        let requesting = self.lines.iter().filter(|line| line.resend.is_some());
        let connections = requesting.map(|line| line.resender.cursor).max().unwrap_or(0);
        connections.max(if self.has_mold { self.requests.requested_below() } else { 0 })
    }

    /// Marks requests up to `seq` as answered after an answer for `seq`. Answers arrive in order,
    /// so packets requested before it that are still missing will not arrive any more.
    pub(super) fn mark_answered(&mut self, at: usize, seq: Seq) {
        let seq = seq.min(MAX_SEQ);
        let conn = &mut self.conns[at];
        if conn.role == ConnectionRole::Resend && seq > conn.answered_up_to {
            let resender = &self.lines[usize::from(conn.line)].resender;
            let missed =
                resender.count_unanswered(self.ledger.gaps(), conn.answered_up_to + 1, seq);
            conn.answered += missed.min(conn.in_flight());
            conn.answered_up_to = seq;
        }
    }

    /// Handles the refusal of a resend request.
    pub(super) fn on_refusal(&mut self, at: usize, refusal: NotAvailable) {
        let mut refusal = refusal;
        if refusal.reason == Reason::OutOfRange && refusal.first > self.highest_shown() {
            // The line claims more than it has. Requesting all of it could take for ever, because
            // each request is refused in turn.
            refusal.count = MAX_SEQ.saturating_sub(refusal.first).saturating_add(1);
        }
        let resender = &mut self.lines[usize::from(self.conns[at].line)].resender;
        resender.on_refusal(refusal, self.ledger.highest());
        resender.skip_refused(self.ledger.gaps());
    }

    /// Restarts a sweep that has requested everything and was not answered completely.
    pub(super) fn restart_stalled_sweep(&mut self, at: usize, now: Duration) {
        let conn = &self.conns[at];
        let scope = self.request_scope(conn.line, now);
        let gaps = self.ledger.gaps();
        let line = &mut self.lines[usize::from(conn.line)];
        let resender = &mut line.resender;
        if self.options.follow {
            resender.pause_if_answer_missed(gaps, conn.answered_up_to, now);
        }
        if conn.in_flight() > 0
            || !resender.paused && resender.next_requestable(gaps, resender.cursor, scope).is_some()
            || resender.next_requestable(gaps, FIRST_SEQ, scope).is_none()
        {
            return;
        }
        if !resender.progressed {
            resender.failures += 1;
            resender.retry_at = now + backoff(resender.failures);
            if resender.failures > self.options.retries && !self.options.follow {
                resender.skip_lowest(gaps, scope);
            }
        }
        resender.restart_sweep();
        self.conns[at].answered_up_to = 0;
    }

    /// Handles the end of a resend connection.
    pub(super) fn on_resend_closed(&mut self, summary: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(summary.line)];
        line.resend = None;
        if self.on_describe_failed(summary) {
            return;
        }
        let line = &mut self.lines[usize::from(summary.line)];
        // An original may serve only so many requests on a connection. An exchange of the extension
        // answers them all, so an early end is an accident there.
        if summary.unanswered && line.dialect != Dialect::Extended {
            line.resender.on_early_close(summary.answered);
        }
        if summary.unanswered || !summary.requested {
            self.on_resend_failed(summary, now);
        }
    }

    /// Returns whether a connection that began with a describe call ended without an answer, and
    /// counts it then. The call may be the cause: there are servers that close, or wait, on a call
    /// that they do not know.
    fn on_describe_failed(&mut self, summary: ConnectionSummary) -> bool {
        let line = &mut self.lines[usize::from(summary.line)];
        // Follow mode needs the extension, so it goes on asking.
        let answered = summary.answered > 0 || self.options.follow;
        if !summary.described || line.dialect != Dialect::Unknown || answered {
            return false;
        }
        line.failed_describes += 1;
        line.resender.restart_sweep();
        if self.session.is_some() {
            // The recording cannot go on without the answer, so the call is sent again, but not at
            // once.
            line.resender.retry_at = self.now + backoff(line.failed_describes);
        }
        true
    }

    /// Handles the end of a resend connection with requests unanswered.
    pub(super) fn on_resend_failed(&mut self, summary: ConnectionSummary, now: Duration) {
        let scope = self.request_scope(summary.line, now);
        let line = &mut self.lines[usize::from(summary.line)];
        let resender = &mut line.resender;
        if summary.new_packets == 0 {
            resender.failures += 1;
            resender.retry_at = now + backoff(resender.failures);
            let note = RecorderEvent::ResendFailed { line: summary.line, tries: resender.failures };
            // Follow mode waits for an exchange that does not answer now.
            if resender.failures > self.options.retries && !self.options.follow {
                resender.skip_lowest(self.ledger.gaps(), scope);
            }
            self.note(note);
        }
        self.lines[usize::from(summary.line)].resender.restart_sweep();
    }

    /// Handles a resend connection whose answers did not arrive in time.
    pub(super) fn on_answer_timeout(&mut self, at: usize, now: Duration) {
        let summary = self.conns[at].summary();
        self.drain(at, now);
        self.lines[usize::from(summary.line)].resend = None;
        if !self.on_describe_failed(summary) {
            self.on_resend_failed(summary, now);
        }
    }

    /// Returns whether missing packets can be requested, and are likely to be resent.
    pub(super) fn can_fill_by_resend(&self, now: Duration) -> bool {
        (0u16..).zip(&self.lines).any(|(id, line)| {
            !line.stats.given_up
                && line.resender.failures < RESEND_FAILURES_MAX
                && self.can_request(id, now)
        })
    }

    /// Half-closes resend connections that serve no purpose, or whose line has failed `tries` times
    /// in a row. This makes room, because an exchange may take one connection at a time.
    pub(super) fn close_useless_resends(&mut self, tries: u32, now: Duration) {
        for at in 0..self.conns.len() {
            let conn = &self.conns[at];
            let (id, line) = (conn.line, &self.lines[usize::from(conn.line)]);
            if conn.role != ConnectionRole::Resend
                || conn.state != ConnectionState::Open
                || line.dialect == Dialect::Extended
            {
                continue;
            }
            let has_requests = conn.in_flight() > 0 || self.can_request(id, now);
            if !(has_requests && line.resender.failures < tries || self.may_describe(line, now)) {
                self.drain(at, now);
                self.lines[usize::from(id)].resend = None;
            }
        }
    }
}
