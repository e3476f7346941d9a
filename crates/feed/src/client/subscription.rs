//! Subscriptions to a live session. A line's stream is a subscription, which the recorder renews
//! when its connection breaks or its exchange restarts.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState, ConnectionSummary};
use super::line::LineState;
use super::soup::SoupLine;
use super::{IncompleteReason, Output, PassEnd, Recorder, RecorderEvent};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::client::alignment::GARBAGE_FRAMES_MAX;
use crate::client::timers::{LINE_ABSENCE_MAX, backoff};
use crate::ledger::Sink;
use crate::wire::{Call, Info, SessionId};
use core::time::Duration;

impl Recorder {
    /// Subscribes on a connection whose exchange has described the session.
    pub(super) fn subscribe(&mut self, at: usize, info: Info) {
        // An exchange that lags behind, perhaps after a restart, is asked for its next packet.
        let behind = self.ledger.highest().min(info.last);
        let first = (behind + 1).max(info.first).max(FIRST_SEQ);
        let conn = &mut self.conns[at];
        (conn.track.position, conn.subscribed_after) = (first - 1, first - 1);
        // The exchange may have now what it refused before.
        let line = &mut self.lines[usize::from(conn.line)];
        line.resender.retry_refused(&self.abandoned);
        Call::Subscribe { first }.encode(&mut conn.outbox.0);
    }

    /// Handles a heartbeat or an end: the exchange has sent everything before `next` on this
    /// subscription.
    pub(super) fn on_heartbeat(
        &mut self,
        at: usize,
        next: Seq,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let conn = &mut self.conns[at];
        conn.last_useful = now;
        if next - 1 > conn.track.position {
            // Packets before `next` that have not arrived were missed. If too many gaps are open, a
            // later heartbeat reports them again.
            self.ledger.close_tail(now, sink);
            if self.ledger.highest() >= next - 1 {
                conn.track.position = next - 1;
            }
        }
    }

    /// Returns the number of packets that a line's subscriptions have missed so far.
    #[must_use]
    pub fn missed_by(&self, line: u16) -> u64 {
        let mold = self.lines.get(usize::from(line)).and_then(|line| line.mold.as_ref());
        if let Some(mold) = mold {
            return mold.missed();
        }
        let ended = self.line(line).map_or(0, |stats| stats.missed);
        let open = self.conns.iter().filter(|conn| conn.line == line && conn.is_stream());
        let open = open.map(|conn| conn.summary()).filter(|_| self.options.follow);
        ended + open.map(|summary| summary.span.saturating_sub(summary.delivered)).sum::<u64>()
    }

    /// Counts the packets missed by a subscription that ends with the recording.
    pub(super) fn count_missed(&mut self, at: usize) {
        let summary = self.conns[at].summary();
        if self.options.follow && matches!(summary.role, ConnectionRole::Stream { .. }) {
            let stats = &mut self.lines[usize::from(summary.line)].stats;
            stats.missed += summary.span.saturating_sub(summary.delivered);
        }
    }

    /// Handles the end of a subscription before the end of the session.
    pub(super) fn on_subscription_ended(&mut self, summary: ConnectionSummary, now: Duration) {
        let has_whole_session = self.has_whole_soup_session(summary.line);
        let line = &mut self.lines[usize::from(summary.line)];
        if has_whole_session {
            // The exchange closes the connection behind the end of the session.
            line.streams_to_open = 1;
            return;
        }
        line.stats.cuts += 1;
        line.stats.missed += summary.span.saturating_sub(summary.delivered);
        line.cut_streams =
            if summary.delivered > 0 { 1 } else { line.cut_streams.saturating_add(1) };
        line.retry_at = line.retry_at.max(now + backoff(line.cut_streams));
        line.streams_to_open = 1;
        // An exchange that is known to play live sessions is waited for. Another one may not speak
        // the extension at all.
        if summary.described && line.stats.info.is_none() && self.session.is_none() {
            line.failed_describes += 1;
            if line.failed_describes > self.options.retries {
                line.stats.given_up = true;
                self.note(RecorderEvent::LineGivenUp { line: summary.line });
            }
        }
        self.report_pass(summary, PassEnd::CutOff);
    }

    /// Handles a subscription that was silent for longer than heartbeats allow.
    pub(super) fn on_subscription_silence(&mut self, at: usize, now: Duration) {
        if self.outcome.is_none() {
            let summary = self.conns[at].summary();
            self.drain(at, now);
            self.on_subscription_ended(summary, now);
        }
    }

    /// Sets a line aside that plays another session, until it is checked again.
    pub(super) fn set_line_aside(&mut self, at: usize, session: SessionId, now: Duration) {
        let id = self.conns[at].line;
        let line = &mut self.lines[usize::from(id)];
        if line.stats.other_session.replace(session) != Some(session) {
            self.note(RecorderEvent::OtherSession { line: id, session });
        }
        for at in 0..self.conns.len() {
            let conn = &mut self.conns[at];
            if conn.line != id {
                continue;
            }
            // Packets that still arrive are not of the recorded session.
            conn.garbage_run = GARBAGE_FRAMES_MAX + 1;
            if conn.state != ConnectionState::Open {
                continue;
            }
            let summary = conn.summary();
            self.drain(at, now);
            match summary.role {
                ConnectionRole::Stream { .. } => self.on_subscription_ended(summary, now),
                ConnectionRole::Resend => self.lines[usize::from(id)].resend = None,
            }
        }
    }

    /// Returns whether another session has replaced the recorded one: some line plays another
    /// session, and no other line plays this one or may return to it.
    fn is_superseded(&self, now: Duration) -> bool {
        let is_gone = |line: &LineState| {
            // An exchange that restarts is unreachable for seconds, and may then return to this
            // session.
            let unreachable =
                line.connect_failures.is_some_and(|(since, _)| now >= since + LINE_ABSENCE_MAX);
            line.stats.given_up || line.stats.other_session.is_some() || unreachable
        };
        self.lines.iter().any(|line| line.stats.other_session.is_some())
            && self.lines.iter().all(is_gone)
    }

    /// Abandons gaps that are older than
    /// [`RecorderOptions::give_up`](super::RecorderOptions::give_up).
    fn abandon_old_gaps(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(max_age) = self.options.give_up.filter(|_| now >= self.give_up_at) else {
            return;
        };
        let (mut oldest, agreed) = (now, self.undisputed_end());
        for (range, opened) in self.ledger.gaps().dated() {
            // A sequence that only one line claims may not exist yet, and another line may still
            // deliver it.
            let Some(range) = SeqRange::new(range.first(), range.last().min(agreed)) else { break };
            if self.abandoned.covers(range) {
                continue;
            }
            if now < opened + max_age {
                oldest = oldest.min(opened);
                continue;
            }
            self.abandoned.insert(range);
            self.lines.iter_mut().for_each(|line| line.resender.exclude(range));
            self.outputs.push_back(Output::Note(RecorderEvent::GapAbandoned { range }));
            sink.on_gap_abandoned(range, now);
        }
        // A search costs time in proportion to the number of gaps, so it must not run too often.
        self.give_up_at = (oldest + max_age).max(now + max_age / 16);
    }

    /// Does what the state calls for in follow mode: opens connections, abandons gaps, ends the
    /// recording.
    pub(super) fn advance_following(&mut self, now: Duration, sink: &mut impl Sink) {
        self.abandon_old_gaps(now, sink);
        // The tail comes first, because nothing else might cause its request.
        if self.agreed_session_end(now).is_some() {
            self.ledger.close_tail(now, sink);
            self.retract_contradicted(false, now, sink);
        }
        self.open_connections(now);
        self.request_missing(now, sink);
        // A tail for which there is no room among the gaps is missing as well.
        let is_tail_open = |end| self.ledger.highest() >= end || self.ledger.is_full();
        if self.agreed_session_end(now).is_some_and(is_tail_open) {
            let gaps = self.ledger.gaps();
            if gaps.is_empty() {
                return self.finish(None, now);
            }
            if gaps.ranges().all(|gap| self.abandoned.covers(gap)) {
                return self.finish(Some(IncompleteReason::GivenUp), now);
            }
            let lowest = gaps.at_or_after(FIRST_SEQ).map_or(FIRST_SEQ, |gap| gap.first());
            let mut lines = (0u16..).zip(&self.lines).filter(|(_, line)| !line.stats.given_up);
            let none_serves = lines.all(|(id, line)| {
                let resender = &line.resender;
                !self.may_stream(id, lowest)
                    && (resender.given_up
                        || resender.refusal_reason.is_some()
                        || lowest > self.highest_requestable(line))
            });
            if none_serves
                && !self.will_request()
                && !(0u16..).zip(&self.lines).any(|(id, _)| self.can_request(id, now))
            {
                if self.retract_contradicted(true, now, sink) && self.ledger.gaps().is_empty() {
                    return self.finish(None, now);
                }
                let reason = self.lines.iter().find_map(|line| line.resender.refusal_reason);
                return self.finish(
                    Some(reason.map_or(self.unserved_reason(), IncompleteReason::Refused)),
                    now,
                );
            }
        }
        if self.is_superseded(now) {
            return self.finish(Some(IncompleteReason::OtherSession), now);
        }
        if self.lines.iter().all(|line| line.stats.given_up)
            && !self.conns.iter().any(ClientConnection::is_stream)
            && !(self.will_request() && self.lines.iter().any(|line| line.stats.reached))
        {
            self.finish(Some(self.reason_without_lines()), now);
        }
    }

    /// Returns the reason why a recording ends whose lines were all given up.
    fn reason_without_lines(&self) -> IncompleteReason {
        let retries = self.options.retries;
        let violates = |soup: &SoupLine| soup.has_violations(retries);
        if self.lines.iter().filter_map(|line| line.soup.as_ref()).any(violates) {
            return IncompleteReason::CutOff;
        }
        let mut rejections = self.lines.iter().filter_map(|line| line.stats.soup.rejection);
        if let Some(reason) = rejections.next() {
            return IncompleteReason::LoginRejected(reason);
        }
        // A peer that was reached and never described a session does not speak the extension, so it
        // has no live session. One that never answered a login may be no exchange at all.
        let without_description =
            |line: &&LineState| line.stats.reached && line.stats.info.is_none();
        match self.lines.iter().find(without_description) {
            Some(line) if line.soup.is_some() => IncompleteReason::NoAnswer,
            Some(_) => IncompleteReason::NotLive,
            None => IncompleteReason::Unreachable,
        }
    }
}
