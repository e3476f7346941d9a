//! Answers of the log, and their consequences.

use super::{Answer, BACKOFF, Known, Origin, PublishFailure, Publisher, State};
use crate::block::Block;
use feed::base::seq::{FIRST_SEQ, Seq, to_index};
use feed::wire::sequence_of;
use std::time::Duration;

impl Publisher {
    /// Takes the log's state.
    pub fn on_state(&mut self, epoch: u32, state: State, now: Duration) {
        if epoch != self.epoch || !std::mem::take(&mut self.asking) {
            return;
        }
        if state.removed() > 0 {
            self.failure = Some(PublishFailure::Removed(state));
            return;
        }
        let last = state.last;
        self.tail = Some(last);
        // The first message was not read yet and may be gone; then the log is empty now.
        self.known = self.known.filter(|known| known.next.is_some());
        match self.known {
            // Part of the next message was compared, so it must exist as well.
            Some(known) if last >= known.number.saturating_add(u64::from(self.compared > 0)) => {
                self.audited = self.ended();
                if last > known.number && self.following.is_some() {
                    self.following = Some(now + self.options.patience);
                }
                return;
            }
            Some(_) => {
                self.forget(now);
                self.tail = Some(last);
            }
            None => {}
        }
        self.anchored = true;
        self.known = match last {
            0 => {
                self.origin = Origin::Known;
                Some(Known { number: 0, next: Some(FIRST_SEQ) })
            }
            _ => {
                let begin = if self.options.check { 1 } else { last };
                Some(Known { number: begin - 1, next: None })
            }
        };
    }

    /// Takes a message that was read, or the reason why it is not one of a gateway.
    pub fn on_block(
        &mut self,
        epoch: u32,
        number: u64,
        found: Result<Block, String>,
        now: Duration,
    ) {
        let Some(known) = self.known.filter(|_| epoch == self.epoch) else { return };
        if self.origin == Origin::Asked {
            self.begins(number, found);
            return;
        }
        let place = number.checked_sub(self.unread(known));
        let place = place.and_then(|at| usize::try_from(at).ok());
        let Some(slot) = place.and_then(|at| self.reads.get_mut(at)) else { return };
        match found {
            Ok(block) => *slot = Some(block),
            Err(reason) => self.failure = Some(PublishFailure::Foreign { number, reason }),
        }
        if !self.anchored
            && let Some(Some(block)) = self.reads.front()
        {
            let end = block.frames.last().map(|last| sequence_of(last) + 1);
            if end != known.next {
                // The message was lost, and another one was published in its place.
                self.forget(now);
                return;
            }
            self.reads.pop_front();
            self.anchored = true;
        }
        self.compare();
    }

    /// Checks the log's first message.
    fn begins(&mut self, number: u64, found: Result<Block, String>) {
        self.origin = Origin::Known;
        let ours = self.options.session;
        let failure = match found {
            Err(reason) => Some(PublishFailure::Foreign { number, reason }),
            Ok(block) if block.session != ours => {
                Some(PublishFailure::OtherSession { number, ours, theirs: block.session })
            }
            Ok(block) if block.first() != FIRST_SEQ => {
                Some(PublishFailure::Torn { number, expected: FIRST_SEQ, found: block.first() })
            }
            Ok(_) => None,
        };
        self.failure = self.failure.take().or(failure);
    }

    /// Compares the blocks that were read with our packets.
    pub(super) fn compare(&mut self) {
        while self.failure.is_none()
            && self.anchored
            && let Some(Some(block)) = self.reads.front()
            && let Some(known) = &mut self.known
        {
            let number = known.number.saturating_add(1);
            let next = *known.next.get_or_insert(block.first());
            if block.first() != next {
                let (expected, found) = (next, block.first());
                self.failure = Some(PublishFailure::Torn { number, expected, found });
                return;
            }
            let (ours, theirs) = (self.options.session, block.session);
            if ours != theirs {
                self.failure = Some(PublishFailure::OtherSession { number, ours, theirs });
                return;
            }
            let rest = block.frames.get(self.compared..).unwrap_or_default();
            let count = rest.len().min(self.buffer.len());
            let differs = self.buffer.iter().zip(rest).find(|(ours, theirs)| ours != theirs);
            if let Some((&ours, &theirs)) = differs {
                self.failure = Some(PublishFailure::Conflict { number, ours, theirs });
                return;
            }
            let whole = count == rest.len();
            if whole {
                let end = block.frames.last().map_or(next, sequence_of);
                *known = Known { number, next: Some(end.saturating_add(1)) };
                self.reads.pop_front();
                self.failures = 0;
            }
            self.compared = if whole { 0 } else { self.compared + count };
            self.counts.compared += count as u64;
            self.buffer.drain(..count);
            if !whole {
                return;
            }
        }
    }

    /// Takes the answer to the message with a number.
    pub fn on_answer(&mut self, epoch: u32, number: u64, answer: Answer, now: Duration) {
        let Some(known) = self.known.filter(|_| epoch == self.epoch) else { return };
        // The message was confirmed with a later one.
        if number <= known.number {
            return;
        }
        match answer {
            // A message that existed before says nothing about the messages before it.
            Answer::Stored { number: at, duplicate }
                if at == number && (!duplicate || number - 1 == known.number) =>
            {
                self.confirm(number, duplicate);
            }
            Answer::Stored { .. } => self.doubt(now),
            Answer::Refused => {
                self.counts.races += 1;
                self.following = Some(now + self.options.patience);
                self.doubt(now);
            }
            Answer::None => self.on_no_answer(now),
        }
    }

    /// Takes a failure: the log cannot be reached, or does not answer.
    pub fn on_no_answer(&mut self, now: Duration) {
        let (shortest, longest) = BACKOFF;
        let pause = (shortest * 2_u32.saturating_pow(self.failures.min(8))).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.doubt(now);
        self.rest = Some(now + pause);
    }

    /// Takes the news that the log is back, and ends the pause.
    pub fn on_connected(&mut self) {
        self.rest = None;
    }

    /// Confirms a message, and all that were published before it.
    fn confirm(&mut self, number: u64, duplicate: bool) {
        while let Some(&flight) = self.flights.front().filter(|flight| flight.number <= number) {
            self.flights.pop_front();
            let range = flight.id.range;
            if duplicate {
                self.counts.compared += range.len();
            } else {
                self.counts.published += range.len();
                self.counts.messages += 1;
            }
            self.buffer.drain(..to_index(range.len()).min(self.buffer.len()));
            let next = Some(range.last() + 1);
            self.known = Some(Known { number: flight.number, next });
            self.tail = Some(flight.number);
            self.failures = 0;
        }
    }

    /// Marks the log's end as unknown, because messages on their way may be stored or not.
    fn doubt(&mut self, now: Duration) {
        self.epoch += 1;
        self.asking = false;
        self.audited = false;
        if self.origin == Origin::Asked {
            self.origin = Origin::Unknown;
        }
        self.asked = now;
        self.tail = None;
        self.anchored = self.known.is_none_or(|known| known.number == 0 || known.next.is_none());
        self.flights.clear();
        self.reads.clear();
    }

    /// Drops all knowledge of the log, because it is wrong.
    fn forget(&mut self, now: Duration) {
        self.counts.rewinds += 1;
        self.start_over(now);
    }

    /// Begins to find out the log's state again.
    pub(super) fn start_over(&mut self, now: Duration) {
        self.known = None;
        self.origin = Origin::Unknown;
        self.doubt(now);
        self.following = None;
        self.compared = 0;
        self.buffer.clear();
    }

    /// Returns the highest packet of the recording that is known to be in the log; 0 if none is.
    #[must_use]
    pub fn reached(&self) -> Seq {
        let reached = self.base().map_or(0, |base| base - 1);
        reached.min(self.last.unwrap_or(reached))
    }
}
