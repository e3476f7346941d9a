//! Following a live session: a line's stream is a subscription, and goes on when its connection or
//! its exchange does not.

use super::connection::{Connection, Tally};
use super::{Note, PassEnd, Recorder, Why};
use crate::ledger::Sink;
use crate::recovery::backoff;
use crate::seq::{FIRST_SEQ, Seq};
use crate::wire::{Call, Info};
use core::time::Duration;

impl Recorder {
    /// An exchange has described itself on a connection that is to be a subscription.
    pub(super) fn subscribe(&mut self, at: usize, info: Info) {
        // One that is behind, after a restart perhaps, is asked for what it has next.
        let behind = self.ledger.highest().min(info.last);
        let first = (behind + 1).max(info.first).max(FIRST_SEQ);
        let conn = &mut self.conns[at];
        conn.track.position = first - 1;
        Call::Subscribe { first }.encode(&mut conn.outbox);
    }

    /// A subscription is told that everything before `next` was sent.
    pub(super) fn beat(&mut self, at: usize, next: Seq, now: Duration, sink: &mut impl Sink) {
        let conn = &mut self.conns[at];
        conn.active = now;
        self.ledger.reaches(next - 1);
        if next - 1 > conn.track.position {
            // What did not come was lost.
            conn.track.position = next - 1;
            self.ledger.close_tail(now, sink);
        }
    }

    /// A subscription has ended before the session.
    pub(super) fn feed_lost(&mut self, tally: Tally, now: Duration) {
        let line = &mut self.lines[usize::from(tally.line)];
        line.cuts = if tally.delivered > 0 { 1 } else { line.cuts.saturating_add(1) };
        line.retry_at = line.retry_at.max(now + backoff(line.cuts));
        line.to_stream = 1;
        if tally.described && line.stats.info.is_none() {
            line.probes_failed += 1;
            if line.probes_failed > self.options.retries {
                line.stats.dead = true;
                self.note(Note::Dead { line: tally.line });
            }
        }
        self.note_pass(tally, PassEnd::Cut);
    }

    /// When something is to be done about a subscription if nothing happens on it.
    pub(super) fn feed_deadline(&self, conn: &Connection) -> Duration {
        let lag = conn.active + crate::recovery::LAG;
        let silent = conn.active + self.options.silence;
        if self.now < lag && !self.ledger.gaps().is_empty() { lag.min(silent) } else { silent }
    }

    /// Does whatever the state of things calls for when following.
    pub(super) fn follow(&mut self, now: Duration) {
        self.open_connections(now);
        if let Some(end) = self.over {
            let whole = self.ledger.gaps().is_empty() && self.ledger.highest() >= end;
            let mut lines = self.lines.iter().filter(|line| !line.stats.dead);
            if whole || lines.all(|line| line.asker.failed || line.asker.reason.is_some()) {
                let asking = (0u16..).zip(&self.lines).any(|(id, _)| self.can_ask(id, now));
                if whole || !asking {
                    let reason = self.lines.iter().find_map(|line| line.asker.reason);
                    let why = reason.map_or(Why::NotServed, Why::Refused);
                    return self.finish((!whole).then_some(why), now);
                }
            }
        }
        if self.lines.iter().all(|line| line.stats.dead)
            && !self.conns.iter().any(Connection::streams)
        {
            let deaf =
                self.lines.iter().any(|line| line.stats.reached && line.stats.info.is_none());
            self.finish(Some(if deaf { Why::NotLive } else { Why::Unreachable }), now);
        }
    }
}
