//! Next steps of a recorder: connections, resend requests, further passes, the end.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::{ConnId, IncompleteReason, Outcome, Output, Recorder, Tail};
use crate::base::seq::{SeqRange, SeqSet};
use crate::client::timers::{DRAIN_WAIT, STREAM_LAG, STREAM_SILENCE};
use crate::ledger::Sink;
use core::time::Duration;

impl Recorder {
    /// Does what the state calls for after an input.
    pub(super) fn advance(&mut self, now: Duration, sink: &mut impl Sink) {
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
        let streams = self.conns.iter().filter(|conn| conn.streams());
        // A stream that still delivers packets may go beyond the end that was reported.
        let alone = self.lines.len() == 1;
        let mut live = streams.clone().filter(|conn| {
            let position = conn.track.position;
            let goes_on = position >= self.ledger.highest() && now < conn.last_useful + STREAM_LAG;
            goes_on || alone && position == 0 && now < conn.last_useful + STREAM_SILENCE
        });
        if self.is_complete() && live.next().is_none() && !self.awaits_other_description(now) {
            self.adopt_session_and_finish(None, now, sink);
        } else if streams.count() == 0 && self.lines.iter().all(|line| line.streams_to_open == 0) {
            self.between_passes(now, sink);
        }
    }

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

    /// Opens the streams that are due and the resend connections that are wanted.
    pub(super) fn open_connections(&mut self, now: Duration) {
        for id in 0..self.lines.len() {
            let line = &self.lines[id];
            if line.stats.given_up || now < line.retry_at {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "there are at most 65 536 lines")]
            let id16 = id as u16;
            for _ in 0..core::mem::take(&mut self.lines[id].streams_to_open) {
                self.connect(id16, ConnectionRole::Stream { pass: 0 }, now);
            }
            // A line that plays another session has no packets of this one.
            if self.lines[id].stats.other_session.is_none()
                && self.wants_resend_connection(id16, now)
            {
                self.lines[id].resend = Some(self.connect(id16, ConnectionRole::Resend, now));
            }
        }
    }

    /// Begins to connect to a line.
    fn connect(&mut self, line: u16, role: ConnectionRole, now: Duration) -> ConnId {
        let conn = self.next_conn;
        self.next_conn += 1;
        self.conns.push(ClientConnection::new(conn, line, role, now));
        self.outputs.push_back(Output::Connect { conn, line });
        conn
    }

    /// Returns the reason why the recording cannot become complete, if it is not. `cut_off`: more
    /// passes were wanted but no line can stream.
    pub(super) fn incomplete_reason(&self, cut_off: bool) -> Option<IncompleteReason> {
        if self.ledger.highest() == 0 && !self.lines.iter().any(|line| line.stats.reached) {
            return Some(IncompleteReason::Unreachable);
        }
        let lost = !self.ledger.gaps().is_empty();
        let doubtful = self.tail_doubt() >= self.options.tail_miss_probability;
        let settled = self.options.passes.is_some() && self.passes.complete > 0;
        let mute = self.has_no_sign_of_exchange();
        if !lost && !mute && (!doubtful || settled && self.ledger.highest() > 0) {
            return None;
        }
        let reason =
            self.lines.iter().find_map(|line| line.resender.refusal_reason).filter(|_| lost);
        Some(if self.lines.iter().all(|line| line.stats.given_up) {
            IncompleteReason::Unreachable
        } else if self.lines.iter().all(|line| line.stats.given_up || self.lacks_session(line)) {
            IncompleteReason::SessionUntold
        } else if mute && self.violations.undecodable == 0 {
            IncompleteReason::NoAnswer
        } else if let Some(reason) = reason {
            IncompleteReason::Refused(reason)
        } else if cut_off {
            IncompleteReason::CutOff
        } else if lost {
            IncompleteReason::NotServed
        } else {
            IncompleteReason::EndUnknown
        })
    }

    /// Ends the recording with its outcome.
    pub(super) fn finish(&mut self, why: Option<IncompleteReason>, now: Duration) {
        if self.outcome.is_some() {
            return;
        }
        let ledger = &self.ledger;
        // The reported end of a live session that goes on is only its end so far.
        let told = if self.options.follow { self.agreed_session_end(now) } else { ledger.end() };
        let tail = match told {
            Some(_) => Tail::Confirmed,
            None if self.passes.complete > 0 && ledger.highest() > 0 => {
                Tail::Inferred { doubt: self.passes.doubt(ledger.highest(), self.passes.complete) }
            }
            None => Tail::Unknown,
        };
        let mut missing: SeqSet = ledger.gaps().ranges().collect();
        let last = ledger.end().unwrap_or(0).max(ledger.highest()).max(self.believed_resumed_end());
        let tail_gap = SeqRange::new(ledger.highest() + 1, last);
        tail_gap.into_iter().for_each(|range| missing.insert(range));
        self.violations.contradicted =
            self.violations.contradicted.or(self.disbelieved_range(last));
        self.outcome = Some(Outcome { last, missing, tail, why });
        self.ended_at = Some(now);
        // A recording that ends incomplete does not wait for an exchange that survives a reset.
        self.close_or_drain(why.is_some(), now);
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
