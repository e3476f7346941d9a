//! What is done to a connection by order, whatever its faults.

use super::{Reply, ServerConnection};
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::faulted_run::{Ending, FaultedRun};
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use alloc::boxed::Box;
use core::time::Duration;

impl ServerConnection {
    /// Other faults are in force: what is not begun is subject to them. Resends that are owed
    /// already are sent as they were.
    pub(super) fn adapt(&mut self, faults: &FaultEngine) {
        if core::mem::replace(&mut self.edition, faults.edition()) == faults.edition() {
            return;
        }
        self.set_begun_apart();
        let Some(Reply::Stream { course, next, last, began }) = self.replies.back() else { return };
        let (course, next, last, began) = (*course, *next, *last, *began);
        let end = RunId { place: FaultPlace::End, ..course };
        if !(faults.plain(course) && faults.untouched(end)) {
            let lane = FaultedRun::new(course, SeqRange::new(next, last), false);
            self.replies.pop_back();
            self.replies.push_back(Reply::Lane(Box::new(lane), began));
        }
    }

    /// What a stream has sent a part of is owed whatever becomes of the rest.
    fn set_begun_apart(&mut self) {
        if let Some(Reply::Stream { next, .. }) = self.replies.front_mut()
            && self.offset > 0
        {
            let begun = Reply::Range(SeqRange::one(*next));
            *next += 1;
            self.replies.push_front(begun);
        }
    }

    /// Loses the next packets of its stream, `count` at the most, of a tape that ends with `end`
    /// now. Returns how many, and how many more it will lose.
    pub(in crate::exchange::server) fn lose(
        &mut self,
        faults: &mut FaultEngine,
        end: Seq,
        count: u32,
    ) -> (u64, u32) {
        self.adapt(faults);
        let begun = self.offset > 0;
        self.set_begun_apart();
        let alone = self.replies.len() == 1;
        match self.replies.back_mut() {
            Some(Reply::Stream { course, next, last, .. }) => {
                let there = end.min(*last);
                let mut done = 0;
                while *next <= there && done < count as usize {
                    let stop = faults.tally().end(*next).min(there);
                    let (after, taken) = faults.skip(*course, *next, stop, count as usize - done);
                    let all = u64::from(after - *next);
                    let run = SeqRange::new(*next, after.saturating_sub(1));
                    run.into_iter().for_each(|run| faults.tally_mut().dropped(run));
                    faults.count_lost(*course, *next, after, all - taken as u64);
                    // Told by the next advance.
                    self.lost += all;
                    (done, *next) = (done + taken, after);
                    if after <= stop {
                        break;
                    }
                }
                faults.tally_mut().lost_by_order(done as u64);
                (done as u64, 0)
            }
            Some(Reply::Lane(lane, _)) if lane.streams() && !lane.done() => {
                lane.lose(count, begun && alone, faults.tally_mut());
                (0, count)
            }
            _ => (0, 0),
        }
    }

    /// Ends it at once.
    pub(in crate::exchange::server) fn cut(&mut self, ending: Ending) {
        self.replies.clear();
        (self.offset, self.writing, self.resume_at) = (0, None, None);
        self.subscription = None;
        // What a fault has ended already stays ended by that.
        self.cut_by_order = !self.told;
        self.ending = Some(ending);
    }

    /// Nothing is sent on it before `until`.
    pub(in crate::exchange::server) fn stall(&mut self, until: Duration) {
        self.resume_at = self.resume_at.max(Some(until));
    }

    /// What it is for, in a word, and the next sequence of its stream.
    pub(in crate::exchange::server) fn view(&self) -> (&'static str, Option<Seq>) {
        let next = match self.replies.back() {
            Some(Reply::Stream { next, .. }) => Some(*next),
            Some(Reply::Lane(lane, _)) if lane.streams() => Some(lane.next()),
            _ => None,
        };
        let kind = match () {
            () if self.subscription.is_some() => "subscriber",
            () if self.streamed => "stream",
            () if self.answers > 0 => "resend",
            () => "idle",
        };
        (kind, next)
    }
}
