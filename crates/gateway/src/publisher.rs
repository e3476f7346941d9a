//! What to publish next, and what the log's answers mean: a state machine without I/O.
//!
//! A driver gives it one input at a time, with the time, carries out the [`Order`]s that it hands
//! out until there is none, and waits for input or for [`wake`](Publisher::wake).
//!
//! # Why every packet is there once and in order
//!
//! The log numbers its messages. A message is published on the condition that the log's last one
//! has a certain number. That is enough while the publisher knows what that last message is: it has
//! read it, or it has been told that its own was taken. While messages of its own are still on
//! their way it does not know. Then the number alone would not do: another gateway's message can
//! have taken the place of the one before, with other packets in it, and the next one would be
//! taken, and leave a hole. So what is published behind a message on its way has a second
//! condition: the log's last message must be exactly that one, by its id, which has a checksum of
//! its packets. Both conditions are the log's own to check, so it does not matter who else
//! publishes, what arrives late, twice or never, or who has crashed: what is taken goes on where
//! the log ended.
//!
//! What is refused, or not answered, means only that the publisher does not know the log's end any
//! more. It asks, reads what it has not published itself, compares that with its own packets, and
//! goes on from there.
//!
//! # How it is cut
//!
//! A message has what came while the last one was on its way, up to a full block; full blocks go
//! out without waiting, a window of them. So there are no timers: a slow feed is published packet
//! by packet, a fast one, or a slow log, in full blocks.

mod answers;
mod trouble;

pub use trouble::Trouble;
pub(crate) use trouble::named;

use crate::block::{Block, Id};
use feed::base::seq::Seq;
use feed::wire::{RawFrame, SessionId};
use std::collections::VecDeque;
use std::time::Duration;

/// So many messages are read ahead of the comparison.
pub const READS: usize = 32;
/// As a rule the [patience](Options::patience) of a publisher.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// While others publish the log is asked so often.
pub const POLL: Duration = Duration::from_millis(10);
/// How long a log that does not answer is left alone: at first, and at most.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What a publisher goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whose packets they are, if that is known.
    pub session: Option<SessionId>,
    /// The most packets in a message, from 1.
    pub block: u32,
    /// The most messages on their way, from 1.
    pub window: usize,
    /// Compare all that the log has, not only its last message and what others add to it.
    pub check: bool,
    /// While others publish, for so long after the last sign of them, nothing is published.
    pub patience: Duration,
}

impl Options {
    fn room(&self) -> usize {
        self.block as usize * self.window.max(2)
    }
}

/// What the driver is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Ask the log which messages it has: [`told`](Publisher::told).
    Ask,
    /// Read this message: [`read`](Publisher::read).
    Read(u64),
    /// Publish this one: [`answered`](Publisher::answered).
    Publish(Flight),
}

/// A message to be published, or on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flight {
    /// Its number in the log, if it is taken: the log's last one must be the one before.
    pub number: u64,
    /// The id that the log's last message must have, where that is not known yet.
    pub after: Option<Id>,
    /// Its own id, and which packets it has.
    pub id: Id,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The log has it, under this number.
    Stored {
        /// Its number.
        number: u64,
        /// The log had it before.
        duplicate: bool,
    },
    /// The log's last message is another one.
    Refused,
    /// No answer, or the log cannot take anything now.
    None,
}

/// Which messages a log has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Number of the first message; one more than `last` where there is none.
    pub first: u64,
    /// Number of the last message that there was.
    pub last: u64,
    /// Number of messages that are there.
    pub messages: u64,
}

impl State {
    /// Number of messages that were taken once and are not there any more.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.last.saturating_sub(self.messages)
    }
}

/// What it has counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Packets that it has published, as the log has confirmed.
    pub published: u64,
    /// In so many messages.
    pub messages: u64,
    /// Packets that the log had, and that are the same here.
    pub compared: u64,
    /// How often the log's end was not where it was thought to be.
    pub races: u64,
    /// How often the log had lost what it had confirmed.
    pub rewinds: u64,
}

/// The log up to where it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// The number of the last message that is known to go with ours.
    number: u64,
    /// The packet after it; `None` where that is yet to be read.
    next: Option<Seq>,
}

/// What is known of the log's first message. Where only its last one is compared, the first one
/// tells whether the log was begun with another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Unknown,
    Asked,
    /// It is ours, or compared like the others.
    Known,
}

/// Publishes packets, each once and in order.
#[derive(Debug)]
pub struct Publisher {
    options: Options,
    /// Answers that belong to an earlier one come too late to mean anything.
    epoch: u32,
    known: Option<Known>,
    /// The number of the log's last message, as it was told in this epoch.
    tail: Option<u64>,
    /// The last known message is still the one it was when this epoch began.
    anchored: bool,
    asking: bool,
    asked: Duration,
    /// Do nothing before.
    rest: Option<Duration>,
    /// Others publish: leave it to them until then.
    following: Option<Duration>,
    /// How often the log has failed since it last did not.
    failures: u32,
    /// What was read behind the known end, in order; `None` is on its way.
    reads: VecDeque<Option<Block>>,
    /// How much of the first of them was compared.
    compared: usize,
    /// What is on its way behind the known end.
    flights: VecDeque<Flight>,
    /// The packets behind the known end and what was compared of it.
    buffer: VecDeque<RawFrame>,
    /// Nothing comes after this one.
    last: Option<Seq>,
    /// The log's own state has shown, since all was published, that all of it is there.
    audited: bool,
    /// Whether the log's first message is known to be of this session.
    origin: Origin,
    trouble: Option<Trouble>,
    counts: Counts,
}

impl Publisher {
    /// One that knows nothing of the log yet.
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
            trouble: None,
            counts: Counts::default(),
        }
    }

    /// The packet that it takes next; `None` until it knows what the log has. Where the log has
    /// more than was thought, or has lost something, that can be any other than the one after the
    /// last one taken.
    #[must_use]
    pub fn wants(&self) -> Option<Seq> {
        let held = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        self.base().map(|base| base.saturating_add(held))
    }

    /// The first packet that is neither published nor compared.
    #[must_use]
    pub fn base(&self) -> Option<Seq> {
        let next = self.known?.next?;
        Some(next.saturating_add(u32::try_from(self.compared).unwrap_or(u32::MAX)))
    }

    /// Takes packets, of which the first must be the one that it [wants](Self::wants); returns how
    /// many.
    pub fn put(&mut self, frames: &[RawFrame]) -> usize {
        let fits = frames.first().map(feed::wire::sequence_of) == self.wants();
        let room = self.options.room().saturating_sub(self.buffer.len());
        let taken = if fits { room.min(frames.len()) } else { 0 };
        self.buffer.extend(&frames[..taken]);
        self.compare();
        taken
    }

    /// Whether it takes more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.wants().is_some() && self.buffer.len() < self.options.room()
    }

    /// Whether it has use for a packet, or is done: there is something to do for who feeds it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let over = self.last.zip(self.wants()).is_some_and(|(last, next)| next > last);
        self.trouble.is_some() || self.done() || self.has_room() && !over
    }

    /// Nothing comes after this packet; it may want others before it once more.
    pub fn ends_with(&mut self, last: Seq) {
        self.audited &= self.last == Some(last);
        self.last = Some(last);
        let none = self.counts.published == 0 && self.counts.compared == 0;
        if none && !self.options.check && self.base().is_some_and(|base| base > last) {
            // The log's last message begins beyond the recording, so comparing it says nothing.
            self.options.check = true;
            self.start_over(self.asked);
        }
    }

    /// Whether the log has all packets up to the last one, as its own state says.
    #[must_use]
    pub fn done(&self) -> bool {
        self.trouble.is_none() && self.ended() && self.anchored && self.audited
    }

    /// Whether all packets up to the last one were published or compared.
    fn ended(&self) -> bool {
        self.last.zip(self.base()).is_some_and(|(last, base)| base > last)
    }

    /// Whether the log has packets behind the last one.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let more = self.known.zip(self.tail).is_some_and(|(known, tail)| tail > known.number);
        let beyond = self.last.zip(self.base()).is_some_and(|(last, base)| base - 1 > last);
        self.ended() && (more || beyond)
    }

    /// Why it cannot go on, ever.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the answers to orders must be given with.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The packets of a message on its way.
    #[must_use]
    pub fn frames(&self, flight: &Flight) -> Vec<RawFrame> {
        let base = self.base().unwrap_or(u32::MAX);
        let from = flight.id.range.first().saturating_sub(base) as usize;
        self.piece(from, flight.id.range.len() as usize)
    }

    /// A piece of the buffer, as far as there is one.
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

    /// What to do next, if anything.
    pub fn order(&mut self, now: Duration) -> Option<Order> {
        if self.trouble.is_some() || self.asking || self.rest.is_some_and(|rest| now < rest) {
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

    /// When to ask for [orders](Self::order) again should nothing happen.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        if self.trouble.is_some() || self.asking {
            return None;
        }
        let poll = self
            .following
            .filter(|_| self.tail.is_some() && self.reads.is_empty() && !self.buffer.is_empty())
            .map(|until| until.min(self.asked + POLL));
        self.rest.or(poll)
    }

    /// The first message to be read: the last known one, to see that it still is what it was, or
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
        let sent: usize = self.flights.iter().map(|flight| flight.id.range.len() as usize).sum();
        let count = self.buffer.len().checked_sub(sent)?.min(block);
        // Behind what is on its way only what cannot become more.
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
