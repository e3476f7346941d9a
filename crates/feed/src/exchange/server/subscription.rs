//! What a subscriber is told when there is no packet for it: heartbeats, and the session's end.

use crate::base::seq::Seq;
use crate::wire::Frame;
use core::time::Duration;

/// A subscriber that has been sent nothing for so long is told the next expected sequence.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// The end of a session is told so long, unless the client closes before.
pub const FAREWELL: Duration = Duration::from_secs(3);

/// And so often.
const FAREWELL_AGAIN: Duration = Duration::from_millis(500);

/// A subscription to a live session.
#[derive(Debug)]
pub(super) struct Subscription {
    /// When it is told something if there is no packet.
    pub(super) beat: Duration,
    /// When it was first told that the session is over.
    over: Option<Duration>,
    /// It had everything once: only since then can it have been too slow.
    pub(super) caught_up: bool,
}

impl Subscription {
    pub(super) fn new(now: Duration) -> Self {
        Self { beat: now + HEARTBEAT, over: None, caught_up: false }
    }

    /// Something was sent.
    pub(super) fn sent(&mut self, now: Duration) {
        let pause = if self.over.is_some() { FAREWELL_AGAIN } else { HEARTBEAT };
        self.beat = now + pause;
    }

    /// Whether everything was told.
    pub(super) fn done(&self, now: Duration) -> bool {
        self.over.is_some_and(|since| now >= since + FAREWELL)
    }

    /// What to tell now, with everything before `next` sent.
    pub(super) fn pulse(&mut self, next: Seq, over: bool, now: Duration) -> Option<Frame> {
        if over && self.over.is_none() {
            self.over = Some(now);
            return Some(Frame::End(next));
        }
        if now < self.beat || self.done(now) {
            return None;
        }
        self.sent(now);
        Some(if self.over.is_some() { Frame::End(next) } else { Frame::Heartbeat(next) })
    }
}
