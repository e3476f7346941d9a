//! Bytes of a connection's next write, made from its replies.

use super::reply::Reply;
use super::{BetacrewConnection, EndCause};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::exchange::server::betacrew::faulted_run::{FaultedRun, PartlySent, SendAction};
use crate::exchange::server::betacrew::send_buffer::SendBuffer;
use crate::exchange::server::write_sizes::WriteSizes;
use crate::faults::engine::FaultEngine;
use crate::tape::pace::{Pace, StreamClock};
use crate::tape::source::TapeSource;
use crate::wire::{FRAME_LEN, Frame, Protocol, encode};
use core::time::Duration;

/// Parts of the exchange that a connection needs to send.
pub(in crate::exchange::server) struct SendContext<'a, P> {
    /// Tape that is played.
    pub(in crate::exchange::server) tape: &'a mut P,
    /// Faults in force.
    pub(in crate::exchange::server) faults: &'a mut FaultEngine,
    /// Speed of streams.
    pub(in crate::exchange::server) pace: Pace,
    /// Time of the write.
    pub(in crate::exchange::server) now: Duration,
    /// True if a write has one packet at most.
    pub(in crate::exchange::server) one_by_one: bool,
}

/// Progress of a connection's writes.
#[derive(Debug)]
pub(super) struct WriteProgress {
    /// Number of bytes of the first frame or action that are sent already.
    offset: u8,
    /// Sizes of the writes, if a fault sets them.
    pub(super) sizes: WriteSizes,
}

impl WriteProgress {
    /// Begins with no byte sent.
    pub(super) fn new() -> Self {
        Self { offset: 0, sizes: WriteSizes::default() }
    }

    /// Returns how many bytes of the first frame or action are sent already.
    pub(super) fn offset(&self) -> usize {
        usize::from(self.offset)
    }

    /// Returns whether the first frame or action is partly sent.
    pub(super) fn partly_sent(&self) -> PartlySent {
        if self.offset > 0 { PartlySent::Yes } else { PartlySent::No }
    }

    /// Sets how many bytes of the first frame or action are sent already.
    pub(super) fn set_offset(&mut self, bytes: usize) {
        self.offset = u8::try_from(bytes).unwrap_or(0);
    }

    /// Gives up the frame and the write that were begun.
    pub(super) fn abort(&mut self) {
        self.offset = 0;
        self.sizes.end_write();
    }

    /// Returns the maximum number of bytes of the write that goes on or begins with `first`.
    fn limit(&mut self, first: Option<&Reply>, one_by_one: bool) -> usize {
        let offset = self.offset();
        let packets = |count: usize| count.saturating_mul(FRAME_LEN).saturating_sub(offset);
        match self.sizes.limit(packets) {
            Some(left) => left,
            None if one_by_one => match first {
                Some(Reply::Faulted { run, .. }) => {
                    run.actions.front().map_or(FRAME_LEN, |action| action.len()) - offset
                }
                _ => FRAME_LEN - offset,
            },
            None => usize::MAX,
        }
    }
}

impl BetacrewConnection {
    /// Copies the bytes of the next write into `out` and returns their number.
    pub(in crate::exchange::server) fn fill<P: TapeSource>(
        &mut self,
        context: &mut SendContext<'_, P>,
        out: &mut [u8],
    ) -> usize {
        self.adopt_faults(context.faults);
        if self.role.subscription().is_some() && context.tape.over() {
            self.end_stream_with(context.tape.last());
        }
        match self.peek_replies(context, out) {
            0 if self.add_notice(context) => self.peek_replies(context, out),
            count => count,
        }
    }

    /// Sets the last packet of a subscription, because its live session is over.
    fn end_stream_with(&mut self, end: Seq) {
        match self.replies.back_mut() {
            Some(Reply::Stream { last, .. }) => *last = end,
            Some(Reply::Faulted { run, .. }) => run.set_last(end),
            _ => {}
        }
    }

    /// Adds the heartbeat or the end of session that a subscriber is due while there is no packet
    /// for it. Returns whether there is one.
    fn add_notice<P: TapeSource>(&mut self, context: &SendContext<'_, P>) -> bool {
        let (over, end) = (context.tape.over(), context.tape.last());
        // Bytes that are not sent yet come first: they wait for a pause or for a slow socket.
        let is_free = self.base.held_until.is_none() && self.write.partly_sent() == PartlySent::No;
        let next = self.next_seq(end);
        let sent = next > end;
        let has_heartbeats = !context.faults.drops_heartbeats(Protocol::Betacrew, self.base.index);
        let Some(subscription) = self.role.subscription_mut().filter(|_| is_free && sent) else {
            return false;
        };
        match subscription.next_notice(next, over, context.now) {
            Some(Frame::Heartbeat(_)) if !has_heartbeats => false,
            Some(frame) => {
                // Before the stream, which has no packet to send now and goes on afterwards.
                self.replies.push_front(Reply::Message(encode(&frame)));
                true
            }
            None => false,
        }
    }

    fn peek_replies<P: TapeSource>(
        &mut self,
        context: &mut SendContext<'_, P>,
        out: &mut [u8],
    ) -> usize {
        let Some(limit) = self.begin_write(context) else { return 0 };
        let limit = limit.min(out.len());
        let may_split = self.write.sizes.has_begun();
        let mut out =
            SendBuffer { out: &mut out[..limit], len: 0, skip: self.write.offset(), may_split };
        for reply in &mut self.replies {
            let goes_on = match reply {
                Reply::Message(frame) => out.put(frame),
                Reply::Range(range) => out.put_range(context.tape, *range),
                Reply::Faulted { run, began } => {
                    refill(run, *began, context);
                    out.put_actions(context.tape, &run.actions) && run.has_all_actions()
                }
                Reply::Stream { run_id, next, last, began } => {
                    let elapsed = context.now.saturating_sub(*began);
                    let SendContext { tape, faults, pace, .. } = context;
                    // A live session has a pace of its own.
                    let pace = if *last == Seq::MAX { Pace::Unlimited } else { *pace };
                    let mut clock = StreamClock::new(FIRST_SEQ);
                    let to = tape.last().min(*last).min(clock.limit(pace, *tape, elapsed));
                    let from = match pace {
                        Pace::Unlimited => out.put_kept(*tape, faults, *run_id, (*next, to)),
                        _ => *next,
                    };
                    faults.kept(*run_id, from, to).all(|part| {
                        let due = clock.due_of(pace, *tape, part, elapsed);
                        due.is_some_and(|due| out.put_range(*tape, due)) && due == Some(part)
                    })
                }
            };
            if !goes_on {
                break;
            }
        }
        out.len
    }

    /// Carries out the actions before the next bytes. Returns the maximum number of bytes of the
    /// next write; `None` if no bytes may be sent now.
    fn begin_write<P: TapeSource>(&mut self, context: &mut SendContext<'_, P>) -> Option<usize> {
        if self.base.held_until.is_some_and(|time| context.now < time) {
            return None;
        }
        self.base.held_until = None;
        while let Some(Reply::Faulted { run, began }) = self.replies.front_mut() {
            refill(run, *began, context);
            match run.actions.front().copied() {
                Some(SendAction::Wait(time)) => {
                    run.actions.pop_front();
                    // Time passes only between packets.
                    self.write.sizes.end_write();
                    if !time.is_zero() {
                        // An empty wait takes the place of this one, because it may be the last
                        // action of the connection, which would else close before the time has
                        // passed.
                        run.actions.push_front(SendAction::Wait(Duration::ZERO));
                        self.base.held_until = Some(context.now + time);
                        return None;
                    }
                }
                Some(SendAction::Write { size, pause, key }) => {
                    run.actions.pop_front();
                    self.write.sizes.set(size, pause, key);
                }
                Some(SendAction::End(ending)) => {
                    self.uncounted_drops += run.take_dropped();
                    self.drop_replies();
                    // Without this a subscriber would be kept until the session's end is announced.
                    self.role.end_subscription();
                    self.base.closing.force(ending, EndCause::Fault);
                }
                Some(_) => break,
                None if run.is_done() => {
                    self.uncounted_drops += run.take_dropped();
                    self.replies.pop_front();
                }
                None => return None,
            }
        }
        if self.replies.is_empty() {
            self.write.sizes.end_write();
            return None;
        }
        Some(self.write.limit(self.replies.front(), context.one_by_one))
    }
}

/// Makes the next actions of a faulted run, as far as its pace allows.
fn refill<P: TapeSource>(run: &mut FaultedRun, began: Duration, context: &mut SendContext<'_, P>) {
    let end = context.tape.last();
    let elapsed = context.now.saturating_sub(began);
    let mut due = if run.is_endless() { end } else { Seq::MAX };
    if !run.is_endless() && context.pace != Pace::Unlimited && run.is_stream() {
        let mut clock = StreamClock::new(FIRST_SEQ);
        due = clock.limit(context.pace, context.tape, elapsed);
        let next = SeqRange::new(run.next(), end.min(due).min(run.next().saturating_add(255)));
        due = match next.and_then(|next| clock.due_of(context.pace, context.tape, next, elapsed)) {
            Some(range) => range.last(),
            None if run.next() > end => Seq::MAX,
            None => 0,
        };
    }
    run.refill(context.faults, due, end);
}
