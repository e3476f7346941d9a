//! What becomes of a subscriber that is too slow.

use super::{Reply, ServerConnection};
use crate::base::seq::{Seq, SeqRange};
use crate::faults::engine::FaultEngine;
use crate::wire::Frame;
use core::time::Duration;

impl ServerConnection {
    /// The packet that a subscriber has been sent a part of, if it is not in a lane.
    fn begun(&self, faults: &FaultEngine, end: Seq) -> Option<Reply> {
        match self.replies.front() {
            Some(Reply::Stream { course, next, .. }) if self.offset > 0 => {
                let kept = faults.kept(*course, *next, end).next()?;
                Some(Reply::Range(SeqRange::one(kept.first())))
            }
            _ => None,
        }
    }

    /// A subscriber misses everything up to `end` that is not begun. Returns how many packets.
    pub(in crate::exchange::server) fn skip_to(&mut self, end: Seq, faults: &FaultEngine) -> u64 {
        let begun = self.begun(faults, end);
        let skipped = match self.replies.back_mut() {
            Some(Reply::Stream { next, .. }) => {
                let from = core::mem::replace(next, end + 1);
                u64::from(end + 1 - from) - u64::from(begun.is_some())
            }
            Some(Reply::Lane(lane, _)) => lane.skip_to(end + 1),
            _ => 0,
        };
        begun.into_iter().for_each(|reply| self.replies.push_front(reply));
        skipped
    }

    /// A subscriber gets what is begun and this, and no more.
    pub(in crate::exchange::server) fn cut_off(
        &mut self,
        frame: &Frame,
        end: Seq,
        faults: &FaultEngine,
        now: Duration,
    ) {
        let mut begun = self.begun(faults, end);
        if self.offset > 0 && begun.is_none() {
            begun = self.replies.pop_front();
            if let Some(Reply::Lane(lane, _)) = &mut begun {
                lane.cut_off(true);
            }
        }
        self.replies.clear();
        self.replies.extend(begun);
        self.owe(frame);
        (self.writing, self.resume_at, self.subscription) = (None, None, None);
        self.cut_at = Some(now);
    }
}
