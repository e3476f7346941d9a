//! Next steps of a recorder: connections, resend requests, further passes, the end.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::{Dialect, LineState};
use super::{ConnId, IncompleteReason, Outcome, Output, PassEnd, Recorder, Tail};
use crate::base::seq::{SeqRange, SeqSet};
use crate::client::recovery::{
    ANSWER_WAIT, DRAIN_WAIT, EMPTY_PASSES_MAX, FRUITLESS_PASSES_MAX, PARALLEL_PASSES, PASSES_MAX,
    SILENT_STREAMS_MAX, SMALL_PASS_BYTES, STREAM_LAG, STREAM_SILENCE, TAIL_PASSES_MIN,
};
use crate::client::resend::RESEND_FAILURES_MAX;
use crate::ledger::Sink;
use crate::wire::FRAME_LEN;
use alloc::vec::Vec;
use core::time::Duration;

impl Recorder {
    /// Handles connections whose deadline has passed.
    pub(super) fn expire(&mut self, now: Duration) {
        for id in self.conns.iter().map(|conn| conn.id).collect::<Vec<_>>() {
            let Some(at) = self.find(id) else { continue };
            let conn = &self.conns[at];
            if self.conn_timer(conn).is_none_or(|deadline| now < deadline) {
                continue;
            }
            let summary = conn.summary();
            match (conn.state, conn.role) {
                (ConnectionState::Draining { .. }, _) => drop(self.remove(at)),
                (ConnectionState::Connecting, _) => self.connect_failed(at, now),
                (ConnectionState::Open, ConnectionRole::Stream { .. }) if self.options.follow => {
                    if now >= conn.last_useful + self.options.silence && self.outcome.is_none() {
                        self.drain(at, now);
                        self.on_subscription_ended(summary, now);
                    }
                }
                (ConnectionState::Open, ConnectionRole::Stream { .. }) => {
                    // A stream that delivered packets and fell silent has probably ended.
                    if self.outcome.is_none() && now >= conn.last_useful + self.options.timeout {
                        self.drain(at, now);
                        match summary.delivered {
                            0 => {
                                self.on_pass_cut_off(summary, now);
                                self.count_silent_stream(summary.line);
                            }
                            _ => self.on_pass_complete(summary, PassEnd::Silent),
                        }
                    }
                }
                (ConnectionState::Open, ConnectionRole::Resend) => {
                    self.drain(at, now);
                    self.lines[usize::from(summary.line)].resend = None;
                    if !self.on_describe_failed(summary) {
                        self.on_resend_failed(summary, now);
                    }
                }
            }
        }
    }

    /// Counts a stream that delivered nothing until it timed out. One such stream is tolerated.
    fn count_silent_stream(&mut self, line: u16) {
        let line = &mut self.lines[usize::from(line)];
        line.silent_streams += 1;
        if line.silent_streams >= SILENT_STREAMS_MAX {
            line.cut_streams = u32::MAX;
        }
    }

    /// Returns the time at which a connection needs attention if nothing happens on it.
    pub(super) fn conn_timer(&self, conn: &ClientConnection) -> Option<Duration> {
        match (conn.state, conn.role) {
            (ConnectionState::Connecting, _) => Some(conn.connecting_since + self.options.timeout),
            (ConnectionState::Draining { until, .. }, _) => Some(until),
            (ConnectionState::Open, ConnectionRole::Stream { .. }) if self.options.follow => {
                Some(self.subscription_timer(conn))
            }
            (ConnectionState::Open, ConnectionRole::Stream { .. }) => {
                // A silent stream first stops keeping the others waiting, then its rest is
                // requested, and later it is given up.
                let (lag, mute) =
                    (conn.last_useful + STREAM_LAG, conn.last_useful + STREAM_SILENCE);
                let given_up = conn.last_useful + self.options.timeout;
                Some(if self.now < lag && (self.lines.len() > 1 || self.is_complete()) {
                    lag
                } else if self.now < mute && self.ledger.end().is_some() {
                    mute.min(given_up)
                } else {
                    given_up
                })
            }
            (ConnectionState::Open, ConnectionRole::Resend) => {
                if let Some(stopping) = self.stopping.filter(|_| self.outcome.is_none()) {
                    return Some(stopping.until);
                }
                let tries = self.lines[usize::from(conn.line)].resender.failures;
                // Follow mode retries for ever, so the exponent is capped at 3: an answer must not
                // wait for minutes after the exchange is back.
                let most = if self.options.follow { 3 } else { 8 };
                let wait = ANSWER_WAIT.max(conn.rtt * 4) * (1 << tries.min(most));
                (conn.in_flight() > 0).then(|| conn.last_useful + wait)
            }
        }
    }

    /// Returns the time at which a line may do something that it may not do yet.
    pub(super) fn line_timer(&self, id: u16, line: &LineState) -> Option<Duration> {
        let stopping = self.stopping.is_some() && !self.options.follow;
        if self.outcome.is_some() || stopping || line.stats.given_up {
            return None;
        }
        let unknown = line.dialect == Dialect::Unknown;
        let grace = line.describe_deadline.filter(|_| unknown);
        let young = self.ledger.gaps().younger(self.reorder_cutoff(self.now));
        let reordered_by = young.map(|(_, opened)| opened + self.options.reorder_wait);
        let held = self.options.follow.then(|| line.resender.pause_check_at());
        let tells = self.silent_from(id).filter(|_| unknown && self.lines.len() > 1);
        [Some(line.retry_at), Some(line.resender.retry_at), held, grace, reordered_by, tells]
            .into_iter()
            .flatten()
            .filter(|&time| time > self.now)
            .min()
    }

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

    /// Returns whether every stream has been silent for long, and the rest can be requested.
    fn is_every_stream_silent(&self, now: Duration) -> bool {
        let mut streams = self.conns.iter().filter(|conn| conn.streams()).peekable();
        streams.peek().is_some()
            && streams.all(|conn| {
                conn.state == ConnectionState::Open && now >= conn.last_useful + STREAM_SILENCE
            })
            && self
                .lines
                .iter()
                .any(|line| line.dialect == Dialect::Extended && !line.resender.given_up)
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

    /// Decides how to go on when no stream runs and none is due.
    fn between_passes(&mut self, now: Duration, sink: &mut impl Sink) {
        self.ledger.close_tail(now, sink);
        if self.is_complete() && !self.awaits_other_description(now) {
            return self.adopt_session_and_finish(None, now, sink);
        }
        // An end that no exchange confirms calls for passes in any case.
        let doubtful = self.tail_doubt() >= self.options.tail_miss_probability;
        let mut alive = self.lines.iter().filter(|line| !line.stats.given_up);
        if alive.any(|line| self.may_describe(line, now))
            || !doubtful && self.can_fill_by_resend(now)
        {
            return self.open_connections(now);
        }
        let streamable: Vec<usize> = (0..self.lines.len())
            .filter(|&id| {
                !self.lines[id].stats.given_up && self.lines[id].cut_streams <= self.options.retries
            })
            .filter(|&id| !self.lacks_session(&self.lines[id]))
            .collect();
        let passes = self.wanted_passes(now);
        if passes == 0 || streamable.is_empty() {
            // Streams deliver nothing new, but resends still may.
            let mut alive = (0u16..).zip(&self.lines).filter(|(_, line)| !line.stats.given_up);
            if alive.any(|(id, _)| self.can_request(id, now)) {
                return self.open_connections(now);
            }
            let whole = self.retract_unconfirmed_tail(now, sink);
            let why = if whole { None } else { self.incomplete_reason(passes > 0) };
            return self.adopt_session_and_finish(why, now, sink);
        }
        self.close_useless_resends(RESEND_FAILURES_MAX, now);
        for (_, &line) in (0..passes).zip(streamable.iter().cycle()) {
            self.lines[line].streams_to_open += 1;
        }
        self.open_connections(now);
    }

    /// Returns the number of passes to run next.
    fn wanted_passes(&self, now: Duration) -> u32 {
        let known = self.ledger.highest();
        let bound = self.options.tail_miss_probability;
        let small = known as usize * FRAME_LEN <= SMALL_PASS_BYTES;
        let left = self.options.passes.unwrap_or(PASSES_MAX).saturating_sub(self.passes_started);
        let most = left.min(if small { PARALLEL_PASSES } else { 1 });
        let runs = if self.may_fill_by_pass(known) && !self.can_fill_by_resend(now) {
            self.fruitless_passes
        } else if (self.tail_doubt() >= bound || self.has_no_sign_of_exchange())
            && (known > 0 || self.passes.complete < EMPTY_PASSES_MAX)
        {
            self.passes.complete
        } else {
            return 0;
        };
        // Before the first complete pass nothing is known about loss.
        if self.passes.complete == 0 {
            most.min(1)
        } else {
            self.passes.more(known, runs, bound, most)
        }
    }

    /// Returns whether something is missing that another pass may deliver.
    fn may_fill_by_pass(&self, known: u32) -> bool {
        let dry = self.fruitless_passes < FRUITLESS_PASSES_MAX
            && self.passes.doubt(known, self.fruitless_passes)
                >= self.options.tail_miss_probability;
        dry && !self.ledger.gaps().is_empty()
    }

    /// Returns the probability that a packet exists beyond the highest one, 0 if the end is
    /// confirmed.
    fn tail_doubt(&self) -> f64 {
        if self.ledger.end().is_some() {
            return 0.0;
        }
        if self.passes.complete < TAIL_PASSES_MIN {
            return 1.0;
        }
        self.passes.doubt(self.ledger.highest(), self.passes.complete)
    }

    /// Returns the reason why the recording cannot become complete, if it is not. `cut_off`: more
    /// passes were wanted but no line can stream.
    fn incomplete_reason(&self, cut_off: bool) -> Option<IncompleteReason> {
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
