//! Following a live session: a line's stream is a subscription, and goes on when its connection or
//! its exchange does not.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState, ConnectionSummary};
use super::line::LineState;
use super::{IncompleteReason, Output, PassEnd, Recorder, RecorderEvent};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::client::recovery::{ABSENCE, GARBAGE_MAX, backoff};
use crate::ledger::Sink;
use crate::wire::{Call, Info, SessionId};
use core::time::Duration;

impl Recorder {
    /// An exchange has described itself on a connection that is to be a subscription.
    pub(super) fn subscribe(&mut self, at: usize, info: Info) {
        // One that is behind, after a restart perhaps, is asked for what it has next.
        let behind = self.ledger.highest().min(info.last);
        let first = (behind + 1).max(info.first).max(FIRST_SEQ);
        let conn = &mut self.conns[at];
        (conn.track.position, conn.from) = (first - 1, first - 1);
        // What it did not have, or not then, it may have now.
        let line = &mut self.lines[usize::from(conn.line)];
        line.asker.pardon(&self.lost);
        Call::Subscribe { first }.encode(&mut conn.outbox);
    }

    /// A subscription is told that everything before `next` was sent.
    pub(super) fn beat(&mut self, at: usize, next: Seq, now: Duration, sink: &mut impl Sink) {
        let conn = &mut self.conns[at];
        conn.active = now;
        if next - 1 > conn.track.position {
            // What did not come was lost. Where too many gaps are open, a later beat says it again.
            self.ledger.close_tail(now, sink);
            if self.ledger.highest() >= next - 1 {
                conn.track.position = next - 1;
            }
        }
    }

    /// How many packets a line's subscriptions should have brought and did not, so far.
    #[must_use]
    pub fn lost_by(&self, line: u16) -> u64 {
        let before = self.line(line).map_or(0, |stats| stats.lost);
        let open = self.conns.iter().filter(|conn| conn.line == line && conn.streams());
        let open = open.map(|conn| conn.tally()).filter(|_| self.options.follow);
        before + open.map(|tally| tally.span.saturating_sub(tally.delivered)).sum::<u64>()
    }

    /// Counts what a subscription lost that ends with the recording.
    pub(super) fn tally_feed(&mut self, at: usize) {
        let tally = self.conns[at].tally();
        if self.options.follow && matches!(tally.role, ConnectionRole::Stream { .. }) {
            let stats = &mut self.lines[usize::from(tally.line)].stats;
            stats.lost += tally.span.saturating_sub(tally.delivered);
        }
    }

    /// A subscription has ended before the session.
    pub(super) fn feed_lost(&mut self, tally: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(tally.line)];
        line.stats.cuts += 1;
        line.stats.lost += tally.span.saturating_sub(tally.delivered);
        line.cuts = if tally.delivered > 0 { 1 } else { line.cuts.saturating_add(1) };
        line.retry_at = line.retry_at.max(now + backoff(line.cuts));
        line.to_stream = 1;
        // An exchange that is known to play live sessions is waited for.
        if tally.described && line.stats.info.is_none() && self.session.is_none() {
            line.probes_failed += 1;
            if line.probes_failed > self.options.retries {
                line.stats.dead = true;
                self.note(RecorderEvent::Dead { line: tally.line });
            }
        }
        self.note_pass(tally, PassEnd::Cut);
    }

    /// When something is to be done about a subscription if nothing happens on it.
    pub(super) fn feed_deadline(&self, conn: &ClientConnection) -> Duration {
        let lag = conn.active + crate::client::recovery::LAG;
        let silent = conn.active + self.options.silence;
        if self.now < lag && !self.ledger.gaps().is_empty() { lag.min(silent) } else { silent }
    }

    /// A line plays another session: it is left alone until it is asked again.
    pub(super) fn put_aside(&mut self, at: usize, session: SessionId, now: Duration) {
        let id = self.conns[at].line;
        let line = &mut self.lines[usize::from(id)];
        if line.stats.other.replace(session) != Some(session) {
            self.note(RecorderEvent::OtherSession { line: id, session });
        }
        for at in 0..self.conns.len() {
            let conn = &mut self.conns[at];
            if conn.line != id {
                continue;
            }
            // What it still brings is not this session's.
            conn.garbage_run = GARBAGE_MAX + 1;
            if conn.state != ConnectionState::Open {
                continue;
            }
            let tally = conn.tally();
            self.drain(at, now);
            match tally.role {
                ConnectionRole::Stream { .. } => self.feed_lost(tally, now),
                ConnectionRole::Resend => self.lines[usize::from(id)].resend = None,
            }
        }
    }

    /// Whether another session has taken this one's place: some line plays one, and no other line
    /// plays this one or may come back to it.
    fn superseded(&self, now: Duration) -> bool {
        let gone = |line: &LineState| {
            let away = line.failing.is_some_and(|(since, _)| now >= since + ABSENCE);
            line.stats.dead || line.stats.other.is_some() || away
        };
        self.lines.iter().any(|line| line.stats.other.is_some()) && self.lines.iter().all(gone)
    }

    /// Gives up what has been missing for too long.
    fn give_up(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(patience) = self.options.give_up.filter(|_| now >= self.give_up_at) else {
            return;
        };
        let (mut oldest, agreed) = (now, self.agreed());
        for (range, opened) in self.ledger.gaps().dated() {
            // What only one line claims may not exist yet, and another line may still bring it.
            let Some(range) = SeqRange::new(range.first(), range.last().min(agreed)) else { break };
            if self.lost.covers(range) {
                continue;
            }
            if now < opened + patience {
                oldest = oldest.min(opened);
                continue;
            }
            self.lost.insert(range);
            self.lines.iter_mut().for_each(|line| line.asker.leave(range));
            self.outputs.push_back(Output::Note(RecorderEvent::Lost { range }));
            sink.on_gap_abandoned(range, now);
        }
        // Looking costs as much as there are gaps: not too often.
        self.give_up_at = (oldest + patience).max(now + patience / 16);
    }

    /// When to look for what is to be given up, if anything is missing.
    pub(super) fn give_up_deadline(&self) -> Option<Duration> {
        let over = self.outcome.is_some() || self.leaving.is_some();
        let waits = self.options.give_up.is_some() && !over;
        (waits && !self.ledger.gaps().is_empty()).then_some(self.give_up_at)
    }

    /// Does whatever the state of things calls for when following.
    pub(super) fn follow(&mut self, now: Duration, sink: &mut impl Sink) {
        self.give_up(now, sink);
        self.open_connections(now);
        if self.session_over(now).is_some() {
            self.ledger.close_tail(now, sink);
            self.drop_contradicted(false, now, sink);
        }
        if self.session_over(now).is_some_and(|end| self.ledger.highest() >= end) {
            let gaps = self.ledger.gaps();
            if gaps.is_empty() {
                return self.finish(None, now);
            }
            if gaps.ranges().all(|gap| self.lost.covers(gap)) {
                return self.finish(Some(IncompleteReason::GivenUp), now);
            }
            let lowest = gaps.at_or_after(FIRST_SEQ).map_or(FIRST_SEQ, |gap| gap.first());
            let mut lines = self.lines.iter().filter(|line| !line.stats.dead);
            let refused = lines.all(|line| {
                let asker = &line.asker;
                asker.failed || asker.reason.is_some() || lowest > self.has(line)
            });
            if refused && !(0u16..).zip(&self.lines).any(|(id, _)| self.can_ask(id, now)) {
                if self.drop_contradicted(true, now, sink) && self.ledger.gaps().is_empty() {
                    return self.finish(None, now);
                }
                let reason = self.lines.iter().find_map(|line| line.asker.reason);
                return self.finish(
                    Some(reason.map_or(IncompleteReason::NotServed, IncompleteReason::Refused)),
                    now,
                );
            }
        }
        if self.superseded(now) {
            return self.finish(Some(IncompleteReason::OtherSession), now);
        }
        if self.lines.iter().all(|line| line.stats.dead)
            && !self.conns.iter().any(ClientConnection::streams)
        {
            let deaf =
                self.lines.iter().any(|line| line.stats.reached && line.stats.info.is_none());
            self.finish(
                Some(if deaf { IncompleteReason::NotLive } else { IncompleteReason::Unreachable }),
                now,
            );
        }
    }
}
