//! What is sent is taken off what is owed, and counted.

use super::{Reply, SendAction, ServerConnection, WriteSizing};
use crate::base::seq::Seq;
use crate::exchange::server::faulted_run::FaultedRun;
use crate::faults::engine::{FaultEngine, RunId};
use crate::wire::FRAME_LEN;
use core::time::Duration;

impl ServerConnection {
    /// `count` bytes of what is owed are sent. Returns how many packets were lost between what was
    /// sent before and the next packet to be sent.
    pub(in crate::exchange::server) fn advance(
        &mut self,
        end: Seq,
        faults: &mut FaultEngine,
        count: usize,
        now: Duration,
    ) -> u64 {
        self.bytes += count as u64;
        if let (Some(subscription), true) = (&mut self.subscription, count > 0) {
            subscription.sent(now);
        }
        if let Some(writing) = &mut self.writing
            && count > 0
        {
            writing.left = writing.left.saturating_sub(count);
            if writing.left == 0 {
                let pause = writing.pause;
                self.writing = None;
                self.resume_at = (!pause.is_zero()).then_some(now + pause);
            }
        }
        let mut bytes = self.offset() + count;
        let mut lost = core::mem::take(&mut self.lost);
        while let Some(reply) = self.replies.front_mut() {
            let over = match reply {
                Reply::Stream { course, next, last, .. } => {
                    let there = end.min(*last);
                    let (taken, dropped) = pass_stream(*course, next, there, bytes, faults);
                    bytes -= taken * FRAME_LEN;
                    (lost, self.packets) = (lost + dropped, self.packets + taken as u64);
                    *next > *last
                }
                Reply::Range(range) => {
                    let sent =
                        u32::try_from(bytes / FRAME_LEN).unwrap_or(u32::MAX).min(range.len());
                    bytes -= sent as usize * FRAME_LEN;
                    self.packets += u64::from(sent);
                    match range.from(range.first() + sent) {
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
                Reply::Lane(lane, _) => {
                    lost += lane.dropped();
                    bytes = pass(lane, bytes, faults, (&mut self.sizing, &mut self.packets));
                    lane.done()
                }
            };
            if !over {
                break;
            }
            self.replies.pop_front();
        }
        self.offset = u8::try_from(bytes).unwrap_or(0);
        lost
    }
}

/// Moves a plain stream on by what `bytes` have whole packets of, up to `there`. Returns how many
/// packets that was, and how many were lost before the next one to be sent.
fn pass_stream(
    course: RunId,
    next: &mut Seq,
    there: Seq,
    bytes: usize,
    faults: &mut FaultEngine,
) -> (usize, u64) {
    let (mut taken, mut lost) = (0, 0);
    while *next <= there {
        // As far as what was sent is counted in one place.
        let stop = faults.tally().end(*next).min(there);
        let (after, sent) = faults.skip(course, *next, stop, bytes / FRAME_LEN - taken);
        let dropped = u64::from(after - *next) - sent as u64;
        if after > *next {
            faults.count_run(course, *next, after, sent as u64);
        }
        (taken, lost, *next) = (taken + sent, lost + dropped, after);
        if after <= stop {
            break;
        }
    }
    (taken, lost)
}

/// Takes sent bytes off a lane's items; returns how many belong to the one that is left first.
fn pass(
    lane: &mut FaultedRun,
    bytes: usize,
    faults: &mut FaultEngine,
    (sizing, packets): (&mut Option<WriteSizing>, &mut u64),
) -> usize {
    let mut bytes = bytes;
    while let Some(item) = lane.items.front().copied() {
        match item {
            // It lies within a write that began before it.
            SendAction::Write { size, pause, key } if bytes > 0 => {
                *sizing = Some(WriteSizing { size, pause, key, drawn: 0 });
            }
            SendAction::Wait(_) | SendAction::End(_) | SendAction::Write { .. } => break,
            _ if bytes < item.len() => break,
            _ => {
                bytes -= item.len();
                *sizing = None;
                if let SendAction::Packet { seq, .. } | SendAction::Changed { seq, .. } = item {
                    *packets += 1;
                    if lane.streams() {
                        faults.tally_mut().streamed(seq, 1, 0);
                    }
                }
            }
        }
        lane.items.pop_front();
    }
    bytes
}
