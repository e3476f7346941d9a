//! Subscriptions: the heartbeats and the end of session that a subscriber receives while there is
//! no packet for it.

use crate::base::seq::Seq;
use crate::wire::Frame;
use core::time::Duration;

/// Time without any bytes after which a subscriber receives a heartbeat with the next sequence.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Time for which the end of a session is announced, unless the client closes before.
pub const FAREWELL: Duration = Duration::from_secs(3);

/// Interval between two announcements of a session's end.
const FAREWELL_INTERVAL: Duration = Duration::from_millis(500);

/// State of a subscription to a live session.
#[derive(Debug)]
pub(in crate::exchange::server) struct Subscription {
    /// Time of the next heartbeat or announcement, if no packet is sent before.
    pub(super) next_notice_at: Duration,
    /// Time of the first announcement of the session's end.
    end_announced: Option<Duration>,
    /// True once the subscriber was up to date. Before that, a subscriber that catches up with
    /// earlier packets is not too slow.
    pub(super) caught_up: bool,
}

impl Subscription {
    /// Begins a subscription.
    pub(super) fn new(now: Duration) -> Self {
        Self { next_notice_at: now + HEARTBEAT, end_announced: None, caught_up: false }
    }

    /// Reports that bytes were sent.
    pub(super) fn sent(&mut self, now: Duration) {
        // A fault can drop these messages. A subscriber that gets no end waits for its timeout, so
        // the end is repeated sooner than a heartbeat.
        let pause = if self.end_announced.is_some() { FAREWELL_INTERVAL } else { HEARTBEAT };
        self.next_notice_at = now + pause;
    }

    /// Returns whether the session's end was announced for its whole time.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.end_announced.is_some_and(|since| now >= since + FAREWELL)
    }

    /// Returns the heartbeat or the announcement that is due now, with every packet before `next`
    /// sent. `over` says that the session has ended with these packets.
    pub(super) fn next_notice(&mut self, next: Seq, over: bool, now: Duration) -> Option<Frame> {
        // The end is announced at once, whatever the time of the last heartbeat.
        if over && self.end_announced.is_none() {
            self.end_announced = Some(now);
            return Some(Frame::End(next));
        }
        if now < self.next_notice_at || self.is_over(now) {
            return None;
        }
        self.sent(now);
        Some(if self.end_announced.is_some() { Frame::End(next) } else { Frame::Heartbeat(next) })
    }
}
