//! One connection of the player: what it owes, and how far that is sent.
//!
//! Where nothing but loss can happen, nothing to be sent is stored: it is made when the socket
//! takes it, and made again from where the socket stopped. So a client that does not read costs no
//! buffer. A run that more can happen to is a [`FaultedRun`], which makes a bounded number of items.

pub(crate) mod control;
pub(crate) mod send_progress;
pub(crate) mod slow_subscriber;

use super::subscription::Subscription;
use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::base::span::TimeSpan;
use crate::exchange::server::faulted_run::{Ending, FaultedRun, SendAction};
use crate::exchange::server::send_buffer::SendBuffer;
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::{FaultPlace, WriteSize};
use crate::tape::pace::Pace;
use crate::tape::source::TapeSource;
use crate::wire::{CallDecoder, FRAME_LEN, Frame, RawFrame, encode};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

#[derive(Debug)]
pub(super) enum Reply {
    /// The rest of the tape from `next` to `last`, without what the run loses. Always the last
    /// reply; called for at `began`.
    Stream { course: RunId, next: Seq, last: Seq, began: Duration },
    /// These packets.
    Range(SeqRange),
    /// A message of the extension.
    Message(RawFrame),
    /// A run that something goes wrong with; a stream began at this time.
    Lane(Box<FaultedRun>, Duration),
}

/// What a connection needs to know to send something.
pub(super) struct SendContext<'a, P> {
    pub(super) tape: &'a mut P,
    pub(super) faults: &'a mut FaultEngine,
    pub(super) pace: Pace,
    pub(super) now: Duration,
    /// A packet a write.
    pub(super) one_by_one: bool,
}

/// A write of a size that a fault decided.
#[derive(Debug)]
struct CurrentWrite {
    /// What is left of it.
    left: usize,
    pause: Duration,
}

/// How writes are sized that begin in the current packet.
#[derive(Clone, Copy, Debug)]
struct WriteSizing {
    size: WriteSize,
    pause: TimeSpan,
    key: u64,
    /// How many sizes were drawn.
    drawn: u64,
}

/// One connection of a [`Player`](super::MockExchange).
#[derive(Debug)]
pub struct ServerConnection {
    pub(super) index: u64,
    /// Streams and answers to resend calls begun on it.
    streams: u32,
    answers: u32,
    pub(super) calls: CallDecoder,
    replies: VecDeque<Reply>,
    /// Bytes of the first owed item that are sent already.
    offset: u8,
    /// Packets dropped by runs that are over, until that is asked for.
    lost: u64,
    writing: Option<CurrentWrite>,
    sizing: Option<WriteSizing>,
    /// Nothing is sent before.
    pub(super) resume_at: Option<Duration>,
    /// A fault has ended it, and that has been told.
    pub(super) ending: Option<Ending>,
    pub(super) told: bool,
    /// No fault has ended it but an order.
    pub(super) cut_by_order: bool,
    streamed: bool,
    pub(super) subscription: Option<Subscription>,
    /// When a subscription was ended, for its client was too slow.
    pub(super) cut_at: Option<Duration>,
    /// It asked for what does not exist, and will be closed.
    pub(super) refused: bool,
    pub(super) resent: bool,
    pub(super) client_ended: bool,
    /// When we finished sending for good.
    pub(super) finished: Option<Duration>,
    pub(super) active: Duration,
    /// When it was accepted.
    pub(super) opened: Duration,
    /// Of which faults what it owes was made.
    edition: u32,
    /// Packets and bytes sent.
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl ServerConnection {
    pub(super) fn new(index: u64, now: Duration, extension: bool) -> Self {
        Self {
            index,
            streams: 0,
            answers: 0,
            calls: if extension { CallDecoder::new() } else { CallDecoder::original() },
            replies: VecDeque::new(),
            offset: 0,
            lost: 0,
            writing: None,
            sizing: None,
            resume_at: None,
            ending: None,
            told: false,
            cut_by_order: false,
            streamed: false,
            subscription: None,
            cut_at: None,
            refused: false,
            resent: false,
            client_ended: false,
            finished: None,
            active: now,
            opened: now,
            edition: 0,
            packets: 0,
            bytes: 0,
        }
    }

    /// Whether no further call will be answered.
    pub(super) fn settled(&self) -> bool {
        // What comes after our end was sent before the client saw it.
        self.streamed || self.refused || self.ending.is_some() || self.finished.is_some()
    }

    /// Whether silence ends it.
    pub(super) fn idles(&self) -> bool {
        (self.resent || self.calls.stuck()) && !self.calls.extended()
    }

    /// Whether anything was called for on it that this exchange knows.
    pub(super) fn called(&self) -> bool {
        self.streamed || self.resent || self.refused || self.calls.extended()
    }

    pub(super) fn owed(&self) -> usize {
        self.replies.len()
    }

    fn offset(&self) -> usize {
        usize::from(self.offset)
    }

    /// What may strike the connection as it opens.
    pub(super) fn opened(&mut self, faults: &mut FaultEngine) {
        let course = self.course(FaultPlace::Connect, 0, 0);
        if !faults.untouched(course) {
            let mut lane = FaultedRun::new(course, None, false);
            lane.around(faults);
            self.replies.push_back(Reply::Lane(Box::new(lane), Duration::ZERO));
        }
    }

    fn course(&self, place: FaultPlace, pass: u32, run: u32) -> RunId {
        RunId { place, connection: self.index, pass, run }
    }

    /// Owes the stream, the exchange's `pass`th (from 0) of a tape that ends with `last`.
    pub(super) fn begin_stream(
        &mut self,
        pass: u32,
        last: Seq,
        faults: &FaultEngine,
        now: Duration,
    ) {
        let course = self.course(FaultPlace::Stream, pass, self.streams);
        self.streams += 1;
        self.streamed = true;
        let end = RunId { place: FaultPlace::End, ..course };
        self.replies.push_back(if faults.plain(course) && faults.untouched(end) {
            Reply::Stream { course, next: FIRST_SEQ, last, began: now }
        } else {
            let lane = FaultedRun::new(course, SeqRange::new(FIRST_SEQ, last), false);
            Reply::Lane(Box::new(lane), now)
        });
    }

    /// Owes everything from `first` on, also what is not there yet.
    pub(super) fn subscribe(&mut self, pass: u32, first: Seq, faults: &FaultEngine, now: Duration) {
        let course = self.course(FaultPlace::Stream, pass, self.streams);
        self.streams += 1;
        self.streamed = true;
        self.subscription = Some(Subscription::new(now));
        let end = RunId { place: FaultPlace::End, ..course };
        self.replies.push_back(if faults.plain(course) && faults.untouched(end) {
            Reply::Stream { course, next: first, last: Seq::MAX, began: now }
        } else {
            let lane = FaultedRun::new(course, SeqRange::new(first, Seq::MAX), false);
            Reply::Lane(Box::new(lane), now)
        });
    }

    /// A subscriber that will send no more wants no more; for it never ends by itself.
    pub(super) fn unsubscribe(&mut self) {
        if self.subscription.take().is_some() {
            self.replies.clear();
            (self.offset, self.writing, self.resume_at) = (0, None, None);
        }
    }

    /// A live session is over: what is owed to a subscriber ends with `last`.
    fn close_subscription(&mut self, end: Seq) {
        match self.replies.back_mut() {
            Some(Reply::Stream { last, .. }) => *last = end,
            Some(Reply::Lane(lane, _)) => lane.ends_with(end),
            _ => {}
        }
    }

    /// The next sequence that a subscriber is owed.
    pub(super) fn expected(&self, end: Seq) -> Seq {
        match self.replies.back() {
            Some(Reply::Stream { next, .. }) => *next,
            Some(Reply::Lane(lane, _)) => lane.next(),
            _ => end + 1,
        }
    }

    /// Tells a subscriber what there is to tell when there is no packet for it; whether there was.
    fn pulse<P: TapeSource>(&mut self, plan: &SendContext<'_, P>) -> bool {
        let (over, end) = (plan.tape.over(), plan.tape.last());
        // What is not sent yet comes first: a wait, or packets that a slow socket does not take.
        let idle = self.resume_at.is_none() && self.ending.is_none() && self.offset == 0;
        let next = self.expected(end);
        let sent = next > end;
        let heard = !plan.faults.silences(self.index);
        let Some(subscription) = self.subscription.as_mut().filter(|_| idle && sent) else {
            return false;
        };
        match subscription.pulse(next, over, plan.now) {
            Some(Frame::Heartbeat(_)) if !heard => false,
            Some(frame) => {
                self.replies.push_front(Reply::Message(encode(&frame)));
                true
            }
            None => false,
        }
    }

    /// Owes packets that were asked for; a range that goes on where the last one ends makes that
    /// one longer.
    pub(super) fn owe_range(&mut self, range: SeqRange, faults: &FaultEngine) {
        let course = self.course(FaultPlace::Resend, 0, self.answers);
        self.answers = self.answers.saturating_add(1);
        if !faults.untouched(course) {
            let lane = FaultedRun::new(course, Some(range), self.calls.extended());
            self.replies.push_back(Reply::Lane(Box::new(lane), Duration::ZERO));
        } else if let Some(Reply::Range(last)) = self.replies.back_mut()
            && last.last() + 1 == range.first()
            && let Some(longer) = SeqRange::new(last.first(), range.last())
        {
            *last = longer;
        } else {
            self.replies.push_back(Reply::Range(range));
        }
    }

    /// Owes a message of the extension.
    pub(super) fn owe(&mut self, frame: &Frame) {
        self.replies.push_back(Reply::Message(encode(frame)));
    }

    /// Ends the connection once everything owed is sent.
    pub(super) fn owe_end(&mut self, ending: Ending) {
        let mut lane = FaultedRun::new(self.course(FaultPlace::Connect, 0, 0), None, false);
        lane.end(ending);
        self.replies.push_back(Reply::Lane(Box::new(lane), Duration::ZERO));
        self.refused = true;
    }

    /// Returns whether it has been ended, or a fault ends it before another whole packet.
    pub(super) fn ends_next(&self) -> bool {
        let lane = |reply: &Reply| matches!(reply, Reply::Lane(lane, _) if lane.ends_next());
        self.ending.is_some() || self.replies.front().is_some_and(lane)
    }

    /// When the stream that is owed first began, and its next packet.
    pub(super) fn held_back(&self) -> Option<(Duration, Seq)> {
        match self.replies.front()? {
            Reply::Stream { next, began, .. } => Some((*began, *next)),
            Reply::Lane(lane, began) if lane.items.is_empty() => Some((*began, lane.next())),
            _ => None,
        }
    }

    /// Puts what is owed into `out` as one write, and returns how many bytes.
    pub(super) fn peek<P: TapeSource>(
        &mut self,
        plan: &mut SendContext<'_, P>,
        out: &mut [u8],
    ) -> usize {
        self.adapt(plan.faults);
        if self.subscription.is_some() && plan.tape.over() {
            self.close_subscription(plan.tape.last());
        }
        match self.peek_owed(plan, out) {
            0 if self.pulse(plan) => self.peek_owed(plan, out),
            count => count,
        }
    }

    fn peek_owed<P: TapeSource>(&mut self, plan: &mut SendContext<'_, P>, out: &mut [u8]) -> usize {
        let Some(limit) = self.begin_write(plan) else { return 0 };
        let limit = limit.min(out.len());
        let whole = self.writing.is_some();
        let mut out =
            SendBuffer { out: &mut out[..limit], len: 0, skip: self.offset(), cut: whole };
        for reply in &mut self.replies {
            let goes_on = match reply {
                Reply::Message(frame) => out.put(frame),
                Reply::Range(range) => out.put_range(plan.tape, *range),
                Reply::Lane(lane, began) => {
                    refill(lane, *began, plan);
                    out.put_items(plan.tape, &lane.items) && lane.spent()
                }
                Reply::Stream { course, next, last, began } => {
                    let elapsed = plan.now.saturating_sub(*began);
                    let SendContext { tape, faults, pace, .. } = plan;
                    // A live session has a pace of its own.
                    let pace = if *last == Seq::MAX { Pace::Unlimited } else { *pace };
                    let to = tape.last().min(*last).min(pace.limit(elapsed));
                    let from = match pace {
                        Pace::Unlimited => out.put_kept(*tape, faults, *course, (*next, to)),
                        _ => *next,
                    };
                    faults.kept(*course, from, to).all(|part| {
                        let due = pace.due_of(*tape, part, elapsed);
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

    /// Does what comes before the next bytes, and returns how many of them at the most are one
    /// write; `None` where none may be sent now.
    fn begin_write<P: TapeSource>(&mut self, plan: &mut SendContext<'_, P>) -> Option<usize> {
        if self.resume_at.is_some_and(|time| plan.now < time) {
            return None;
        }
        self.resume_at = None;
        while let Some(Reply::Lane(lane, began)) = self.replies.front_mut() {
            refill(lane, *began, plan);
            match lane.items.front().copied() {
                // Time passes only between packets. What has passed stays until then, for it may
                // be the last that is owed.
                Some(SendAction::Wait(time)) => {
                    lane.items.pop_front();
                    self.writing = None;
                    if !time.is_zero() {
                        lane.items.push_front(SendAction::Wait(Duration::ZERO));
                        self.resume_at = Some(plan.now + time);
                        return None;
                    }
                }
                Some(SendAction::Write { size, pause, key }) => {
                    lane.items.pop_front();
                    self.sizing = Some(WriteSizing { size, pause, key, drawn: 0 });
                }
                Some(SendAction::End(ending)) => {
                    self.lost += lane.dropped();
                    self.replies.clear();
                    self.offset = 0;
                    // A subscriber would else be kept until it is told the session's end.
                    self.subscription = None;
                    self.ending = Some(ending);
                }
                Some(_) => break,
                None if lane.done() => {
                    self.lost += lane.dropped();
                    self.replies.pop_front();
                }
                None => return None,
            }
        }
        if self.replies.is_empty() {
            self.writing = None;
            return None;
        }
        Some(self.limit(plan.one_by_one))
    }

    /// How many bytes the write that goes on or begins now has at the most.
    fn limit(&mut self, one_by_one: bool) -> usize {
        let offset = self.offset();
        if let (None, Some(sizing)) = (&self.writing, &mut self.sizing) {
            let word = |index| rng::nth(sizing.key, sizing.drawn * 2 + index);
            let left = match sizing.size {
                WriteSize::Bytes(span) => span.draw(word(2)) as usize,
                WriteSize::Packets(span) => {
                    (span.draw(word(2)) as usize).saturating_mul(FRAME_LEN).saturating_sub(offset)
                }
            };
            self.writing =
                Some(CurrentWrite { left: left.max(1), pause: sizing.pause.draw(word(3)) });
            sizing.drawn += 1;
        }
        match &self.writing {
            Some(writing) => writing.left,
            None if one_by_one => match self.replies.front() {
                Some(Reply::Lane(lane, _)) => {
                    lane.items.front().map_or(FRAME_LEN, |item| item.len()) - offset
                }
                _ => FRAME_LEN - offset,
            },
            None => usize::MAX,
        }
    }
}

/// Makes a lane's next items, as far as its pace allows.
fn refill<P: TapeSource>(lane: &mut FaultedRun, began: Duration, plan: &mut SendContext<'_, P>) {
    let end = plan.tape.last();
    let elapsed = plan.now.saturating_sub(began);
    let mut due = if lane.is_open() { end } else { Seq::MAX };
    if !lane.is_open() && plan.pace != Pace::Unlimited && lane.streams() {
        due = plan.pace.limit(elapsed);
        let next = SeqRange::new(lane.next(), end.min(due).min(lane.next().saturating_add(255)));
        due = match next.and_then(|next| plan.pace.due_of(plan.tape, next, elapsed)) {
            Some(range) => range.last(),
            None if lane.next() > end => Seq::MAX,
            None => 0,
        };
    }
    lane.refill(plan.faults, due, end);
}
