//! Publisher: a state machine without I/O that decides what to publish next, and what the log's
//! answers mean.
//!
//! A driver gives it one input at a time, with the time, carries out the [`Order`]s that it hands
//! out until there is none, and waits for input or for [`wake`](Publisher::wake).
//!
//! # Each packet once, in order
//!
//! The log numbers its messages. A message is published on the condition that the last message of
//! the log has a certain number. This is enough as long as the publisher knows that last message,
//! because it has read it, or its own was confirmed. It is not enough behind a message that is not
//! confirmed yet: a message of another gateway, with other packets, may have taken that number, and
//! the next message would leave a hole. Such a message has a second condition: the id of the last
//! message, which contains a checksum of its packets. The log checks both conditions. So every
//! message that it takes continues it, whichever gateways publish or crash, and whichever messages
//! arrive late, twice or never.
//!
//! After a refusal, or without an answer, the publisher no longer knows the end of the log. It
//! requests the log's state, reads the messages that it has not published itself,
//! compares them with its own packets, and continues from there.
//!
//! # Size of messages
//!
//! A message has the packets that arrived while the last one was on its way, up to a full block.
//! Full blocks do not wait for answers, up to a window of them. So no timer is needed: a slow feed
//! is published packet by packet, a fast feed or a slow log in full blocks.

mod answers;
mod failure;

pub use failure::PublishFailure;
pub(crate) use failure::named;

use crate::block::{Block, Id};
use feed::base::seq::{Seq, to_index};
use feed::wire::{RawFrame, SessionId};
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of messages that are read ahead of the comparison.
pub const READS: usize = 32;
/// Default [patience](Options::patience) of a publisher.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// Interval between requests for the log's state while other gateways publish.
pub const POLL: Duration = Duration::from_millis(10);
/// First and maximum pause after a log has not answered.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Options of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Session of the packets, if known.
    pub session: Option<SessionId>,
    /// Maximum number of packets in a message, from 1.
    pub block: u32,
    /// Maximum number of messages on their way, from 1.
    pub window: usize,
    /// True if all messages of the log are compared, not only its last one and those that others
    /// add.
    pub check: bool,
    /// Time after the last sign of another gateway before this one publishes.
    pub patience: Duration,
}

impl Options {
    fn room(&self) -> usize {
        self.block as usize * self.window.max(2)
    }
}

/// Order to the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Ask for the log's state, and pass it to [`on_state`](Publisher::on_state).
    Ask,
    /// Read a message, and pass it to [`on_block`](Publisher::on_block).
    Read(u64),
    /// Publish a message, and pass the answer to [`on_answer`](Publisher::on_answer).
    Publish(Flight),
}

/// Message to be published, or on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flight {
    /// Number that the message gets in the log; the log's last message must have the number before.
    pub number: u64,
    /// Id that the log's last message must have, if that is not known yet.
    pub after: Option<Id>,
    /// Id of the message, with its sequences.
    pub id: Id,
}

/// Answer to a published message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Message stored.
    Stored {
        /// Number of the message.
        number: u64,
        /// True if the log had the message before.
        duplicate: bool,
    },
    /// Refused, because the log's last message is another one.
    Refused,
    /// No answer, or the log cannot take messages now.
    None,
}

/// State of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Number of the first message; one more than `last` if there is none.
    pub first: u64,
    /// Number of the last message ever stored.
    pub last: u64,
    /// Number of messages stored.
    pub messages: u64,
}

impl State {
    /// Returns the number of messages that were stored once and were removed.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.last.saturating_sub(self.messages)
    }
}

/// Counts of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Number of packets published and confirmed by the log.
    pub published: u64,
    /// Number of messages published.
    pub messages: u64,
    /// Number of packets that the log had before, equal to ours.
    pub compared: u64,
    /// Number of times that the log's end was not where it was expected.
    pub races: u64,
    /// Number of times that the log had lost messages which it had confirmed.
    pub rewinds: u64,
}

/// The log up to where it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// Number of the last message that is known to match the recording.
    number: u64,
    /// Sequence after the message's last packet; `None` until the message is read.
    next: Option<Seq>,
}

/// Knowledge of the log's first message. If only the last message is compared, the first one shows
/// whether the log began with another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Unknown,
    Asked,
    /// Ours, or compared like all others.
    Known,
}

/// Publisher of packets, each once and in order.
#[derive(Debug)]
pub struct Publisher {
    options: Options,
    /// Number of the current epoch. Answers of an earlier epoch are ignored.
    epoch: u32,
    known: Option<Known>,
    /// Number of the log's last message, as reported in this epoch.
    tail: Option<u64>,
    /// True if the last known message is unchanged since the epoch began.
    anchored: bool,
    asking: bool,
    asked: Duration,
    /// Time before which nothing is ordered.
    rest: Option<Duration>,
    /// Time until which publishing is left to other gateways.
    following: Option<Duration>,
    /// Number of consecutive failures of the log.
    failures: u32,
    /// Blocks read behind the known end, in order; `None` is on its way.
    reads: VecDeque<Option<Block>>,
    /// Number of packets of the first block that were compared.
    compared: usize,
    /// Messages on their way behind the known end.
    flights: VecDeque<Flight>,
    /// Packets behind the known end and behind the compared ones.
    buffer: VecDeque<RawFrame>,
    /// Last packet of the recording, once it is known.
    last: Option<Seq>,
    /// True if the log's own state has shown, after all was published, that nothing is missing.
    audited: bool,
    /// Knowledge of the log's first message.
    origin: Origin,
    failure: Option<PublishFailure>,
    counts: Counts,
}

impl Publisher {
    /// Creates a publisher that knows nothing of the log yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            epoch: 0,
            known: None,
            tail: None,
            anchored: false,
            asking: false,
            asked: Duration::ZERO,
            rest: None,
            following: None,
            failures: 0,
            reads: VecDeque::new(),
            compared: 0,
            flights: VecDeque::new(),
            buffer: VecDeque::new(),
            last: None,
            audited: false,
            origin: Origin::Unknown,
            failure: None,
            counts: Counts::default(),
        }
    }

    /// Returns the sequence that is taken next; `None` until the log's state is known. It can move
    /// forward if the log has more packets, and back if the log has lost some.
    #[must_use]
    pub fn wants(&self) -> Option<Seq> {
        let held = self.buffer.len() as u64;
        self.base().map(|base| base.saturating_add(held))
    }

    /// Returns the first sequence that is neither published nor compared.
    #[must_use]
    pub fn base(&self) -> Option<Seq> {
        let next = self.known?.next?;
        Some(next.saturating_add(self.compared as u64))
    }

    /// Takes packets, of which the first must be the one that is [wanted](Self::wants). Returns the
    /// number taken.
    pub fn put(&mut self, frames: &[RawFrame]) -> usize {
        let fits = frames.first().map(feed::wire::sequence_of) == self.wants();
        let room = self.options.room().saturating_sub(self.buffer.len());
        let taken = if fits { room.min(frames.len()) } else { 0 };
        self.buffer.extend(&frames[..taken]);
        self.compare();
        taken
    }

    /// Returns true if more packets are taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.wants().is_some() && self.buffer.len() < self.options.room()
    }

    /// Returns true if the caller has something to do: a packet is wanted, or all are published.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let over = self.last.zip(self.wants()).is_some_and(|(last, next)| next > last);
        self.failure.is_some() || self.done() || self.has_room() && !over
    }

    /// Marks a packet as the last one. Packets before it may still be wanted again.
    pub fn ends_with(&mut self, last: Seq) {
        self.audited &= self.last == Some(last);
        self.last = Some(last);
        let none = self.counts.published == 0 && self.counts.compared == 0;
        if none && !self.options.check && self.base().is_some_and(|base| base > last) {
            // The log's last message begins beyond the recording, so it cannot be compared.
            self.options.check = true;
            self.start_over(self.asked);
        }
    }

    /// Returns true if the log's own state shows all packets up to the last one.
    #[must_use]
    pub fn done(&self) -> bool {
        self.failure.is_none() && self.ended() && self.anchored && self.audited
    }

    /// Returns true if all packets up to the last one were published or compared.
    fn ended(&self) -> bool {
        self.last.zip(self.base()).is_some_and(|(last, base)| base > last)
    }

    /// Returns true if the log has packets behind the last one.
    #[must_use]
    pub fn continues(&self) -> bool {
        let more = self.known.zip(self.tail).is_some_and(|(known, tail)| tail > known.number);
        let beyond = self.last.zip(self.base()).is_some_and(|(last, base)| base - 1 > last);
        self.ended() && (more || beyond)
    }

    /// Returns the reason why publishing can never continue, if there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&PublishFailure> {
        self.failure.as_ref()
    }

    /// Returns the counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the epoch that answers to orders must carry.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the packets of a message on its way.
    #[must_use]
    pub fn frames(&self, flight: &Flight) -> Vec<RawFrame> {
        let base = self.base().unwrap_or(Seq::MAX);
        let from = to_index(flight.id.range.first().saturating_sub(base));
        self.piece(from, to_index(flight.id.range.len()))
    }

    /// Returns a part of the buffer, as far as it reaches.
    fn piece(&self, from: usize, count: usize) -> Vec<RawFrame> {
        let (front, back) = self.buffer.as_slices();
        let mut frames = Vec::with_capacity(count);
        for (slice, start) in [(front, 0), (back, front.len())] {
            let begin = from.saturating_sub(start).min(slice.len());
            let end = (from + count).saturating_sub(start).min(slice.len());
            frames.extend_from_slice(&slice[begin..end]);
        }
        frames
    }

    /// Returns the next order, if there is one.
    pub fn order(&mut self, now: Duration) -> Option<Order> {
        if self.failure.is_some() || self.asking || self.rest.is_some_and(|rest| now < rest) {
            return None;
        }
        self.rest = None;
        let Some((tail, known)) = self.tail.zip(self.known) else {
            return Some(self.ask(now));
        };
        if self.ended() && self.anchored && !self.audited {
            return Some(self.ask(now));
        }
        if tail > 0 && self.origin != Origin::Known && !self.options.check {
            let asked = std::mem::replace(&mut self.origin, Origin::Asked) == Origin::Asked;
            return (!asked).then_some(Order::Read(1));
        }
        let reading = self.unread(known).saturating_add(self.reads.len() as u64);
        if reading <= tail {
            if self.reads.len() >= READS || reading == u64::MAX {
                return None;
            }
            self.reads.push_back(None);
            return Some(Order::Read(reading));
        }
        if !self.reads.is_empty() {
            return None;
        }
        self.following = self.following.filter(|until| now < *until);
        if self.following.is_some() {
            let due = !self.buffer.is_empty() && now >= self.asked + POLL;
            return due.then(|| self.ask(now));
        }
        self.publish(known)
    }

    /// Returns the time at which to ask for [orders](Self::order) again if nothing happens before.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        if self.failure.is_some() || self.asking {
            return None;
        }
        let poll = self
            .following
            .filter(|_| self.tail.is_some() && self.reads.is_empty() && !self.buffer.is_empty())
            .map(|until| until.min(self.asked + POLL));
        self.rest.or(poll)
    }

    /// Returns the first message to be read: the last known one, to check that it is unchanged, or
    /// the one behind it.
    fn unread(&self, known: Known) -> u64 {
        known.number.saturating_add(u64::from(self.anchored))
    }

    fn ask(&mut self, now: Duration) -> Order {
        (self.asking, self.asked) = (true, now);
        Order::Ask
    }

    fn publish(&mut self, known: Known) -> Option<Order> {
        let before = self.flights.len();
        let block = self.options.block as usize;
        let sent: usize = self.flights.iter().map(|flight| to_index(flight.id.range.len())).sum();
        let count = self.buffer.len().checked_sub(sent)?.min(block);
        // Behind messages on their way, only full blocks are published, because a part block may
        // still grow.
        let wait = before > 0 && (count < block || before >= self.options.window);
        if wait {
            return None;
        }
        let id = Id::of(self.options.session, &self.piece(sent, count))?;
        let flight = Flight {
            number: known.number.checked_add(before as u64 + 1)?,
            after: self.flights.back().map(|flight| flight.id),
            id,
        };
        self.flights.push_back(flight);
        Some(Order::Publish(flight))
    }
}
