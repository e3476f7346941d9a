//! Removal of sent bytes from the replies of a connection, and their counts.

use super::BetacrewConnection;
use super::reply::Reply;
use super::write::WriteProgress;
use crate::base::seq::{Seq, to_index};
use crate::exchange::server::betacrew::faulted_run::{FaultedRun, SendAction};
use crate::faults::engine::{FaultEngine, RunId};
use crate::wire::FRAME_LEN;
use core::time::Duration;

impl BetacrewConnection {
    /// Removes `count` sent bytes from the replies. Returns how many packets were dropped between
    /// the last packet sent before and the next packet to be sent.
    pub(in crate::exchange::server) fn advance(
        &mut self,
        end: Seq,
        faults: &mut FaultEngine,
        count: usize,
        now: Duration,
    ) -> u64 {
        if count > 0 {
            if let Some(subscription) = self.role.subscription_mut() {
                subscription.sent(now);
            }
            if let Some(pause) = self.write.sizes.take(count) {
                self.base.held_until = (!pause.is_zero()).then_some(now + pause);
            }
        }
        let mut bytes = self.write.offset() + count;
        let mut dropped = core::mem::take(&mut self.uncounted_drops);
        let packets = &mut self.base.traffic.packets;
        while let Some(reply) = self.replies.front_mut() {
            let is_sent = match reply {
                Reply::Stream { run_id, next, last, .. } => {
                    let to = end.min(*last);
                    let (taken, skipped) = advance_stream(*run_id, next, to, bytes, faults);
                    bytes -= taken * FRAME_LEN;
                    (dropped, *packets) = (dropped + skipped, *packets + taken as u64);
                    *next > *last
                }
                Reply::Range(range) => {
                    let taken = ((bytes / FRAME_LEN) as u64).min(range.len());
                    bytes -= to_index(taken) * FRAME_LEN;
                    *packets += taken;
                    match range.from(range.first() + taken) {
                        Some(rest) => {
                            *range = rest;
                            false
                        }
                        None => true,
                    }
                }
                Reply::Message(_) if bytes >= FRAME_LEN => {
                    bytes -= FRAME_LEN;
                    true
                }
                Reply::Message(_) => false,
                Reply::Faulted { run, .. } => {
                    dropped += run.take_dropped();
                    bytes = advance_faulted(run, bytes, faults, (&mut self.write, packets));
                    run.is_done()
                }
            };
            if !is_sent {
                break;
            }
            self.replies.pop_front();
        }
        self.write.set_offset(bytes);
        dropped
    }
}

/// Advances a stream that only drops packets by the whole packets in `bytes`, up to the sequence
/// `to`. Returns their number, and the number of packets dropped before the next one to be sent.
fn advance_stream(
    run_id: RunId,
    next: &mut Seq,
    to: Seq,
    bytes: usize,
    faults: &mut FaultEngine,
) -> (usize, u64) {
    let (mut taken, mut dropped) = (0, 0);
    while *next <= to {
        // No further than the packets that the tally can count in one go.
        let stop = faults.tally().last_countable_together(*next).min(to);
        let (after, sent) = faults.after_sending(run_id, *next, stop, bytes / FRAME_LEN - taken);
        let skipped = after - *next - sent as u64;
        if after > *next {
            faults.count_run(run_id, *next, after, sent as u64);
        }
        (taken, dropped, *next) = (taken + sent, dropped + skipped, after);
        if after <= stop {
            break;
        }
    }
    (taken, dropped)
}

/// Removes sent bytes from the actions of a faulted run. Returns how many of them belong to the
/// action that is now first.
fn advance_faulted(
    run: &mut FaultedRun,
    bytes: usize,
    faults: &mut FaultEngine,
    (write, packets): (&mut WriteProgress, &mut u64),
) -> usize {
    let mut bytes = bytes;
    while let Some(action) = run.actions.front().copied() {
        match action {
            // Sizes that begin inside a write which is sent already.
            SendAction::Write { size, pause, key } if bytes > 0 => {
                write.sizes.set(size, pause, key);
            }
            SendAction::Wait(_) | SendAction::End(_) | SendAction::Write { .. } => break,
            _ if bytes < action.len() => break,
            _ => {
                bytes -= action.len();
                write.sizes.clear();
                if let SendAction::Packet { seq, .. } | SendAction::Changed { seq, .. } = action {
                    *packets += 1;
                    if run.is_stream() {
                        faults.tally_mut().count_streamed(seq, 1, 0);
                    }
                }
            }
        }
        run.actions.pop_front();
    }
    bytes
}
