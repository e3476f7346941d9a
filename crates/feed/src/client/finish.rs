//! End of a recording: complete, incomplete for a reason, or stopped early.
//!
//! A recording that ends closes its connections. Some must be waited for, because an exchange of
//! the original protocol dies of a reset: such a connection is half-closed and read until the
//! exchange ends its side.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::Dialect;
use super::timers::{DRAIN_WAIT, STOP_WAIT};
use super::{IncompleteReason, Outcome, Output, Recorder, RecorderEvent, Tail};
use crate::base::seq::{SeqRange, SeqSet};
use crate::ledger::Sink;
use core::time::Duration;

/// Early stop of a recording, from the request until the last connection is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    /// Reason for the stop.
    reason: IncompleteReason,
    /// Time until which a follower waits for missing packets.
    pub(super) until: Duration,
}

impl Recorder {
    /// Returns whether everything up to a confirmed end has been recorded.
    pub(super) fn is_complete(&self) -> bool {
        let ledger = &self.ledger;
        if self.has_no_sign_of_exchange() {
            return false;
        }
        // An earlier recording may know a higher end than the user.
        let last = ledger.end().map(|end| end.max(self.believed_resumed_end()));
        ledger.gaps().is_empty() && last.is_some_and(|last| ledger.highest() >= last)
    }

    /// Returns the reason why the recording cannot become complete, if it is not. `cut_off`: more
    /// passes were wanted but no line can stream.
    pub(super) fn incomplete_reason(&self, cut_off: bool) -> Option<IncompleteReason> {
        if self.ledger.highest() == 0 && !self.lines.iter().any(|line| line.stats.reached) {
            return Some(IncompleteReason::Unreachable);
        }
        let missing = !self.ledger.gaps().is_empty();
        let doubtful = self.tail_miss_probability() >= self.options.tail_miss_probability;
        let passes_used_up = self.options.passes.is_some() && self.passes.complete > 0;
        let no_exchange = self.has_no_sign_of_exchange();
        // The user has limited the passes, and so accepts a doubtful end.
        if !missing && !no_exchange && (!doubtful || passes_used_up && self.ledger.highest() > 0) {
            return None;
        }
        let reason =
            self.lines.iter().find_map(|line| line.resender.refusal_reason).filter(|_| missing);
        Some(if self.lines.iter().all(|line| line.stats.given_up) {
            IncompleteReason::Unreachable
        } else if self.lines.iter().all(|line| line.stats.given_up || self.lacks_session(line)) {
            IncompleteReason::SessionUntold
        } else if no_exchange && self.violations.undecodable == 0 {
            IncompleteReason::NoAnswer
        } else if let Some(reason) = reason {
            IncompleteReason::Refused(reason)
        } else if cut_off {
            IncompleteReason::CutOff
        } else if missing {
            IncompleteReason::NotServed
        } else {
            IncompleteReason::EndUnknown
        })
    }

    /// Ends the recording, unless adopting the session means that some packets must be requested
    /// again.
    pub(super) fn adopt_session_and_finish(
        &mut self,
        reason: Option<IncompleteReason>,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let recorded = self.ledger.recorded();
        self.adopt_session(now, sink);
        match self.ledger.recorded() == recorded {
            true => self.finish(reason, now),
            false => self.advance(now, sink),
        }
    }

    /// Ends the recording with its outcome.
    pub(super) fn finish(&mut self, reason: Option<IncompleteReason>, now: Duration) {
        if self.outcome.is_some() {
            return;
        }
        let ledger = &self.ledger;
        // The reported end of a live session that goes on is only its end so far.
        let confirmed_end =
            if self.options.follow { self.agreed_session_end(now) } else { ledger.end() };
        let tail = match confirmed_end {
            Some(_) => Tail::Confirmed,
            None if self.passes.complete > 0 && ledger.highest() > 0 => Tail::Inferred {
                miss_probability: self
                    .passes
                    .miss_probability(ledger.highest(), self.passes.complete),
            },
            None => Tail::Unknown,
        };
        let mut missing: SeqSet = ledger.gaps().ranges().collect();
        let last = ledger.end().unwrap_or(0).max(ledger.highest()).max(self.believed_resumed_end());
        let tail_gap = SeqRange::new(ledger.highest() + 1, last);
        tail_gap.into_iter().for_each(|range| missing.insert(range));
        self.violations.contradicted =
            self.violations.contradicted.or(self.disbelieved_range(last));
        self.outcome = Some(Outcome { last, missing, tail, reason });
        self.ended_at = Some(now);
        self.leave_groups();
        // A recording that ends incomplete does not wait for an exchange that survives a reset.
        self.close_or_drain(reason.is_some(), now);
    }

    /// Stops the recording on request of the user. The first call waits for connections to an
    /// exchange that may be an original, and for the resends of a follower, and records what still
    /// arrives. The second call closes all connections.
    pub(super) fn stop(&mut self, now: Duration) {
        if let Some(stopping) = &mut self.stopping {
            stopping.until = now;
            (0..self.conns.len()).rev().for_each(|at| drop(self.remove(at)));
            return;
        }
        self.begin_stop(IncompleteReason::Stopped, now);
    }

    /// Begins to stop the recording; does nothing if a stop has begun.
    pub(super) fn begin_stop(&mut self, reason: IncompleteReason, now: Duration) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { reason, until: now + STOP_WAIT });
        self.close_or_drain(true, now);
        if self.conns.iter().any(|conn| self.awaits_resends(conn, now))
            || self.awaits_answers_after_stop(now)
        {
            let packets = self.ledger.gaps().missing();
            self.note(RecorderEvent::AwaitingResends { packets, wait: STOP_WAIT });
        }
        let limits = self.conns.iter().filter_map(|conn| match conn.state {
            ConnectionState::Draining { hard, .. } => Some(hard),
            _ => None,
        });
        if let Some(limit) = limits.max() {
            self.note(RecorderEvent::Stopping { wait: limit.saturating_sub(now) });
        }
    }

    /// Ends a stopped recording once its last connection is closed.
    pub(super) fn finish_stopped(
        &mut self,
        stopping: Stopping,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        for at in 0..self.conns.len() {
            if self.awaits_resends(&self.conns[at], now) {
                self.restart_stalled_sweep(at, now);
            }
        }
        // An exchange may have described itself meanwhile, and may be closed at once then.
        self.close_or_drain(true, now);
        self.request_missing(now, sink);
        if self.conns.is_empty() && !self.awaits_answers_after_stop(now) {
            self.adopt_session(now, sink);
            let complete =
                self.is_complete() && !self.options.follow && !self.awaits_other_description(now);
            self.retract_on_stop(now, sink);
            self.finish((!complete).then_some(stopping.reason), now);
        }
    }

    /// Returns whether a stopped follower's connection may still deliver missing packets. At any
    /// moment of a session that drops packets some resends are on their way, and without them the
    /// recording would have gaps. A recording that is not followed does not need to wait, because
    /// it is incomplete anyway.
    fn awaits_resends(&self, conn: &ClientConnection, now: Duration) -> bool {
        let waits = self.options.follow
            && self.outcome.is_none()
            && self.stopping.is_some_and(|stopping| now < stopping.until);
        waits
            && (conn.role, conn.state) == (ConnectionRole::Resend, ConnectionState::Open)
            && self.lines[usize::from(conn.line)].dialect == Dialect::Extended
            && self.can_request(conn.line, now)
    }

    /// Closes every connection that may be closed without notice, and half-closes the others.
    /// `early`: the exchange may still be sending, which is only allowed to go on if it may be an
    /// original.
    fn close_or_drain(&mut self, early: bool, now: Duration) {
        for at in (0..self.conns.len()).rev() {
            if self.conns[at].wire.soup().is_some() {
                self.log_out_or_close(at, now);
                continue;
            }
            let conn = &self.conns[at];
            let extended = self.lines[usize::from(conn.line)].dialect == Dialect::Extended;
            let open = conn.state == ConnectionState::Open;
            if open {
                self.count_missed(at);
            }
            let conn = &self.conns[at];
            // A reset kills an original and no other exchange. A connection that is not open yet
            // cannot be reset.
            let closes_at_once = conn.state == ConnectionState::Connecting
                || extended && (early || open && self.has_no_answer_pending(conn));
            if self.awaits_resends(conn, now) {
                continue;
            }
            if closes_at_once {
                self.remove(at);
            } else if open {
                self.drain(at, now);
            }
        }
    }

    /// Returns whether nothing more can arrive on a resend connection to an exchange that is no
    /// original. It may be closed without waiting for the end of the peer.
    fn has_no_answer_pending(&self, conn: &ClientConnection) -> bool {
        let line = &self.lines[usize::from(conn.line)];
        conn.role == ConnectionRole::Resend
            && line.dialect == Dialect::Extended
            && conn.in_flight() == 0
    }

    /// Half-closes a connection and goes on reading.
    pub(super) fn drain(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        // A peer that goes on sending is not read for ever.
        let hard = now + self.options.timeout.min(DRAIN_WAIT * 5);
        conn.state = ConnectionState::Draining { until: now + DRAIN_WAIT, hard };
        let id = conn.id;
        self.outputs.push_back(Output::Finish(id));
    }
}
