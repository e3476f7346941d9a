//! Early stops: which connections are closed at once, and which are waited for.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::Dialect;
use super::{IncompleteReason, Recorder, RecorderEvent};
use crate::client::timers::STOP_WAIT;
use crate::ledger::Sink;
use core::time::Duration;

/// Early stop of a recording, from the request until the last connection is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    /// Reason for the stop.
    why: IncompleteReason,
    /// Time until which a follower waits for missing packets.
    pub(super) until: Duration,
}

impl Recorder {
    /// Stops the recording on request of the user. The first call waits for connections to an
    /// exchange that may be an original, and for the resends of a follower, and records what still
    /// arrives. The second call closes all connections.
    pub(super) fn stop(&mut self, now: Duration) {
        if self.stopping.is_some() {
            (0..self.conns.len()).rev().for_each(|at| drop(self.remove(at)));
            return;
        }
        self.begin_stop(IncompleteReason::Stopped, now);
    }

    /// Begins to stop the recording; does nothing if a stop has begun.
    pub(super) fn begin_stop(&mut self, why: IncompleteReason, now: Duration) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { why, until: now + STOP_WAIT });
        self.close_or_drain(true, now);
        if self.conns.iter().any(|conn| self.awaits_resends(conn, now)) {
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
        if self.conns.is_empty() {
            self.adopt_session(now, sink);
            let whole =
                self.is_complete() && !self.options.follow && !self.awaits_other_description(now);
            self.retract_on_stop(now, sink);
            self.finish((!whole).then_some(stopping.why), now);
        }
    }

    /// Returns whether a stopped follower's connection may still deliver missing packets. At any
    /// moment of a session that loses packets some resends are on their way, and without them the
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
    pub(super) fn close_or_drain(&mut self, early: bool, now: Duration) {
        for at in (0..self.conns.len()).rev() {
            let conn = &self.conns[at];
            let ours = self.lines[usize::from(conn.line)].dialect == Dialect::Extended;
            let open = conn.state == ConnectionState::Open;
            if open {
                self.count_missed(at);
            }
            let conn = &self.conns[at];
            // A reset kills an original and no other exchange. A connection that is not open yet
            // cannot be reset.
            let harmless = conn.state == ConnectionState::Connecting
                || ours && (early || open && self.has_no_answer_pending(conn));
            if self.awaits_resends(conn, now) {
                continue;
            }
            if harmless {
                self.remove(at);
            } else if open {
                self.drain(at, now);
            }
        }
    }
}
