//! Treatment of subscribers that are too slow.

use super::reply::Reply;
use super::{BetacrewConnection, Closing};
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::betacrew::faulted_run::PartlySent;
use crate::exchange::server::{MockExchange, ServerEvent, SlowTreatment};
use crate::faults::engine::FaultEngine;
use crate::faults::scenario::SlowSubscriberPolicy;
use crate::tape::source::TapeSource;
use crate::wire::{Frame, NotAvailable, Reason};
use core::time::Duration;

impl<P: TapeSource> MockExchange<P> {
    /// Skips packets of a subscriber that is too far behind, or cuts it off, as the scenario says.
    pub(in crate::exchange::server) fn apply_slow_policy(
        &mut self,
        conn: &mut BetacrewConnection,
        now: Duration,
    ) {
        let (SlowSubscriberPolicy::Skip(most) | SlowSubscriberPolicy::Cut(most)) =
            self.scenario.slow
        else {
            return;
        };
        let end = self.tape().last();
        let next = conn.next_seq(end);
        let behind = (end + 1).saturating_sub(next);
        let most = u64::from(most);
        // A message behind a part of a packet would be read as the rest of it.
        let ends = conn.ends_next();
        let Some(subscription) = conn.role.subscription_mut().filter(|_| !ends) else { return };
        // A subscriber that has never been up to date catches up with earlier packets.
        subscription.caught_up |= behind <= most;
        if behind <= most || !subscription.caught_up {
            return;
        }
        let (treatment, packets) = if matches!(self.scenario.slow, SlowSubscriberPolicy::Cut(_)) {
            let refusal = NotAvailable { first: next, count: behind, reason: Reason::TooSlow };
            conn.cut_off(&Frame::NotAvailable(refusal), end, &self.faults, now);
            (SlowTreatment::CutOff, behind)
        } else {
            (SlowTreatment::Skipped, conn.skip_to(end, &self.faults))
        };
        self.stats.skipped += packets;
        let connection = conn.base.index + 1;
        self.report(ServerEvent::Slow { connection, packets, treatment });
    }
}

impl BetacrewConnection {
    /// Returns whether a fault ends the subscription before another whole packet.
    fn ends_next(&self) -> bool {
        matches!(self.replies.front(), Some(Reply::Faulted { run, .. }) if run.ends_next())
    }

    /// Returns the packet of a plain stream that is partly sent, as a reply of its own.
    fn partly_sent_packet(&self, faults: &FaultEngine, end: Seq) -> Option<Reply> {
        match self.replies.front() {
            Some(Reply::Stream { run_id, next, .. })
                if self.write.partly_sent() == PartlySent::Yes =>
            {
                let kept = faults.kept(*run_id, *next, end).next()?;
                Some(Reply::Range(SeqRange::one(kept.first())))
            }
            _ => None,
        }
    }

    /// Leaves out all packets up to `end`, except one that is partly sent. Returns their number.
    fn skip_to(&mut self, end: Seq, faults: &FaultEngine) -> u64 {
        let partly_sent = self.partly_sent_packet(faults, end);
        let skipped = match self.replies.back_mut() {
            Some(Reply::Stream { next, .. }) => {
                let from = core::mem::replace(next, end + 1);
                end + 1 - from - u64::from(partly_sent.is_some())
            }
            Some(Reply::Faulted { run, .. }) => run.skip_to(end + 1),
            _ => 0,
        };
        partly_sent.into_iter().for_each(|reply| self.replies.push_front(reply));
        skipped
    }

    /// Replaces all replies by the rest of a packet that is partly sent and a refusal.
    fn cut_off(&mut self, refusal: &Frame, end: Seq, faults: &FaultEngine, now: Duration) {
        let mut partly_sent = self.partly_sent_packet(faults, end);
        if self.write.partly_sent() == PartlySent::Yes && partly_sent.is_none() {
            partly_sent = self.replies.pop_front();
            if let Some(Reply::Faulted { run, .. }) = &mut partly_sent {
                run.cut_off(PartlySent::Yes);
            }
        }
        self.replies.clear();
        self.replies.extend(partly_sent);
        self.add_message(refusal);
        self.write.sizes.end_write();
        self.base.held_until = None;
        self.role.end_subscription();
        self.base.closing = Closing::CutOff { since: now };
    }
}
