//! A log as servers are, old and new, with what they forget.

use feed::base::rng::Rng;
use feed::wire::{RawFrame, sequence_of};
use gateway::block::Id;
use gateway::publisher::{Answer, Flight};
use std::collections::HashMap;

/// A log.
pub(crate) struct Log {
    pub(crate) messages: Vec<(Id, Vec<RawFrame>)>,
    /// Ids that the server remembers for a while.
    ids: HashMap<String, u64>,
    /// The last message's id, if it is remembered.
    last_id: Option<Id>,
    /// A retry is answered `duplicate`; a newer one looks at the expected number first.
    old: bool,
    /// One that ignores the second condition, to see that this is noticed.
    pub(crate) forgetful: bool,
    /// The tape that every message must be a piece of.
    tape: Vec<RawFrame>,
    /// Violation of the model's rules, if there was one.
    pub(crate) wrong: Option<String>,
}

impl Log {
    pub(crate) fn new(tape: &[RawFrame], old: bool) -> Self {
        Self {
            messages: Vec::new(),
            ids: HashMap::new(),
            last_id: None,
            old,
            forgetful: false,
            tape: tape.to_vec(),
            wrong: None,
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The packet after its last one.
    pub(crate) fn next(&self) -> u64 {
        self.messages.last().and_then(|(_, frames)| frames.last()).map_or(1, |f| sequence_of(f) + 1)
    }

    pub(crate) fn publish(&mut self, flight: &Flight, frames: &[RawFrame]) -> Answer {
        let known = self.ids.get(&flight.id.to_string()).copied();
        let duplicate = known.map(|number| Answer::Stored { number, duplicate: true });
        if self.old
            && let Some(answer) = duplicate
        {
            return answer;
        }
        if flight.number != self.last() + 1 {
            return Answer::Refused;
        }
        if let Some(answer) = duplicate {
            return answer;
        }
        if flight.after.is_some() && flight.after != self.last_id && !self.forgetful {
            return Answer::Refused;
        }
        let first = self.next();
        let place = first as usize - 1;
        let piece = self.tape.get(place..place + frames.len());
        if piece != Some(frames) {
            let got = frames.first().map(sequence_of);
            self.wrong.get_or_insert(format!(
                "message {} begins with {got:?}, not {first}, \
                                              or is not the tape's",
                flight.number
            ));
        }
        self.messages.push((flight.id, frames.to_vec()));
        self.ids.insert(flight.id.to_string(), self.last());
        self.last_id = Some(flight.id);
        Answer::Stored { number: self.last(), duplicate: false }
    }

    /// Restarts the server, which then remembers only the ids within its window.
    pub(crate) fn restart(&mut self, rng: &mut Rng) {
        let window = u64::from(rng.below(20));
        let last = self.last();
        self.ids.retain(|_, number| *number + window > last);
        self.last_id = self.last_id.filter(|_| window > 0);
    }

    /// The last messages are gone, though they were confirmed.
    pub(crate) fn lose(&mut self, count: usize) {
        self.messages.truncate(self.messages.len().saturating_sub(count));
        let last = self.last();
        self.ids.retain(|_, number| *number <= last);
        self.last_id = self.messages.last().map(|(id, _)| *id);
    }
}
