//! Orders that change what a connection sends, whatever its faults.

use super::BetacrewConnection;
use super::reply::Reply;
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::betacrew::faulted_run::PartlySent;
use crate::exchange::server::control::ConnectionPosition;
use crate::faults::engine::FaultEngine;

impl BetacrewConnection {
    /// Applies changed faults to the packets of a stream that are not partly sent. Replies to
    /// resend calls stay as they are.
    pub(super) fn adopt_faults(&mut self, faults: &FaultEngine) {
        let version = faults.version();
        if core::mem::replace(&mut self.fault_version, version) == version {
            return;
        }
        self.split_partly_sent_packet();
        let Some(Reply::Stream { run_id, next, last, began }) = self.replies.back() else { return };
        let stream = Reply::stream(*run_id, (*next, *last), faults, *began);
        self.replies.pop_back();
        self.replies.push_back(stream);
    }

    /// Makes the partly sent packet of a stream a reply of its own, because the rest of it must be
    /// sent whatever becomes of the stream.
    fn split_partly_sent_packet(&mut self) {
        if let Some(Reply::Stream { next, .. }) = self.replies.front_mut()
            && self.write.partly_sent() == PartlySent::Yes
        {
            let packet = Reply::Range(SeqRange::one(*next));
            *next += 1;
            self.replies.push_front(packet);
        }
    }

    /// Drops the next packets of the connection's stream, at most `count`, of a tape that ends with
    /// `end` now. Returns how many were dropped, and how many more the connection will drop itself.
    pub(in crate::exchange::server) fn drop_next(
        &mut self,
        faults: &mut FaultEngine,
        end: Seq,
        count: u32,
    ) -> (u64, u32) {
        self.adopt_faults(faults);
        let partly_sent = self.write.partly_sent();
        self.split_partly_sent_packet();
        // A packet that is partly sent belongs to the stream only if the stream is the first reply.
        let first = if self.replies.len() == 1 { partly_sent } else { PartlySent::No };
        match self.replies.back_mut() {
            Some(Reply::Stream { run_id, next, last, .. }) => {
                let to = end.min(*last);
                let mut done = 0;
                while *next <= to && done < count as usize {
                    let stop = faults.tally().last_countable_together(*next).min(to);
                    let (after, taken) =
                        faults.after_sending(*run_id, *next, stop, count as usize - done);
                    let all = after - *next;
                    let range = SeqRange::new(*next, after.saturating_sub(1));
                    range.into_iter().for_each(|range| faults.tally_mut().count_dropped(range));
                    faults.count_dropped_by_faults(*run_id, *next, after, all - taken as u64);
                    self.uncounted_drops += all;
                    (done, *next) = (done + taken, after);
                    if after <= stop {
                        break;
                    }
                }
                faults.tally_mut().count_dropped_by_order(done as u64);
                (done as u64, 0)
            }
            Some(Reply::Faulted { run, .. }) if run.is_stream() && !run.is_done() => {
                run.drop_next(count, first, faults.tally_mut());
                (0, count)
            }
            _ => (0, 0),
        }
    }

    /// Returns the role of the connection in one word, and the next sequence of its stream.
    pub(super) fn view(&self) -> ConnectionPosition {
        let next = match self.replies.back() {
            Some(Reply::Stream { next, .. }) => Some(*next),
            Some(Reply::Faulted { run, .. }) if run.is_stream() => Some(run.next()),
            _ => None,
        };
        ConnectionPosition { kind: self.role_name(), next }
    }
}
