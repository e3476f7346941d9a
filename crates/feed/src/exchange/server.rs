//! The player: our exchange. It plays a tape to any number of connections and loses packets on
//! purpose.
//!
//! Friendly where the original is not (`docs/protocol.md` says why, row by row): a buffer a
//! connection, so that nothing a client does harms another; the stream begins with the first byte
//! of the call; after the stream it goes on reading until the client closes; an unknown sequence
//! ends only the connection that asked.

pub(crate) mod connection;
pub(crate) mod control;
mod ending;
pub(crate) mod faulted_run;
pub(crate) mod send_buffer;
mod subscription;

pub use crate::exchange::server::connection::ServerConnection;
pub use crate::exchange::server::control::{ConnectionView, CutKind};
pub use crate::exchange::server::faulted_run::Ending;
pub use subscription::{FAREWELL, HEARTBEAT};

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, SeqRange, SeqSet};
use crate::exchange::server::connection::SendContext;
use crate::exchange::{Exchange, Step};
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::{FaultPlace, Scenario, SlowSubscriberPolicy, UnknownSequencePolicy};
use crate::tape::in_memory::Tape;
use crate::tape::pace::{Pace, STEP};
use crate::tape::source::TapeSource;
use crate::wire::{Call, Frame, Info, NotAvailable, Reason, VERSION};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

/// How long a connection that was answered completely waits for its client to close it.
pub const LINGER: Duration = Duration::from_secs(30);

/// Time for which a connection may stay on which nothing was ever called for.
pub const UNCALLED: Duration = Duration::from_secs(5 * 60);

/// Tapes up to this length are sent one write a packet, as the original does; clients that take a
/// read for a packet then lose less.
pub const ONE_BY_ONE: u32 = 256;

/// A connection with so many answers owed is not read from until some are sent.
pub const OWED_MAX: usize = 256;

/// What was counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ServerStats {
    /// Connections accepted.
    pub connections: u64,
    /// Stream and subscribe calls answered.
    pub streams: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets that were not sent on purpose.
    pub dropped: u64,
    /// Packets asked for by resend calls and available.
    pub resends: u64,
    /// Resend calls, or parts of them, that could not be served.
    pub refused: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Connections that clients reset.
    pub resets: u64,
    /// Connections that a fault has ended.
    pub cut: u64,
    /// Packets that subscribers missed because they were too slow.
    pub skipped: u64,
}

/// What the player tells about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerEvent {
    /// A connection has called for the stream.
    Stream {
        /// The connection, from 1.
        connection: u64,
        /// The exchange's stream, from 1.
        pass: u64,
    },
    /// A connection has subscribed.
    Subscribed {
        /// The connection, from 1.
        connection: u64,
        /// The exchange's stream, from 1.
        pass: u64,
        /// The first sequence wanted.
        first: u32,
    },
    /// A connection has asked for what it cannot have.
    Refused {
        /// The connection, from 1.
        connection: u64,
        /// The first sequence refused, as asked for.
        seq: u32,
        /// Why. A call of the original protocol can only be out of range.
        reason: Reason,
    },
    /// A subscriber was too slow: it missed packets, or was cut off before them.
    Slow {
        /// The connection, from 1.
        connection: u64,
        /// How many packets.
        packets: u64,
        /// Whether it was cut off.
        cut: bool,
    },
    /// A fault, or an order, has ended a connection.
    Ended {
        /// The connection, from 1.
        connection: u64,
        /// How.
        ending: Ending,
        /// Whether it was cut by order ([`MockExchange::cut`]) and by no fault.
        by_order: bool,
    },
}

/// A live tape grows at least so often, also while nobody is connected.
pub const PASSING: Duration = Duration::from_millis(50);

/// So many notes are kept for whoever asks; more are forgotten.
const NOTES_MAX: usize = 4096;

/// The exchange is down.
#[derive(Clone, Copy, Debug)]
struct Downtime {
    until: Duration,
    renew: bool,
}

/// An exchange that plays a tape. See the [module](self).
#[derive(Debug)]
pub struct MockExchange<P = Arc<Tape>> {
    /// The first one is played, the others after restarts that ask for another session.
    tapes: VecDeque<P>,
    scenario: Scenario,
    faults: FaultEngine,
    served: ServerStats,
    notes: VecDeque<ServerEvent>,
    outage: Option<Downtime>,
    died: bool,
    /// Nothing is sent.
    paused: bool,
    /// So many packets of streams are lost next, by order.
    losing: u32,
}

impl<P: TapeSource> MockExchange<P> {
    /// Plays `tape` as `scenario` says.
    #[must_use]
    pub fn new(tape: P, scenario: Scenario) -> Self {
        Self {
            faults: FaultEngine::new(&scenario, tape.end()),
            tapes: VecDeque::from([tape]),
            scenario,
            served: ServerStats::default(),
            notes: VecDeque::new(),
            outage: None,
            died: false,
            paused: false,
            losing: 0,
        }
    }

    /// Plays `tape` after a restart that asks for another session, and after the tapes that were
    /// given before. The last one stays.
    #[must_use]
    pub fn then(mut self, tape: P) -> Self {
        self.tapes.push_back(tape);
        self
    }

    /// The tape that is played now.
    #[must_use]
    pub fn tape(&self) -> &P {
        &self.tapes[0]
    }

    /// What goes wrong.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What was counted.
    #[must_use]
    pub fn served(&self) -> ServerStats {
        self.served
    }

    /// The tape that is played now, to be ended for example.
    pub fn tape_mut(&mut self) -> &mut P {
        &mut self.tapes[0]
    }

    /// Whether a fault has killed it.
    #[must_use]
    pub fn died(&self) -> bool {
        self.died
    }

    /// Which sequences a connection's first stream, the exchange's `pass`th, loses (both from 1).
    #[must_use]
    pub fn dropped_sequences(&self, connection: u64, pass: u64) -> SeqSet {
        let connection = connection.saturating_sub(1);
        let pass = u32::try_from(pass.saturating_sub(1)).unwrap_or(u32::MAX);
        let course = RunId { place: FaultPlace::Stream, connection, pass, run: 0 };
        let last = self.tape().last();
        let mut lost = SeqSet::new();
        let mut next = FIRST_SEQ;
        for kept in self.faults.kept(course, FIRST_SEQ, last) {
            SeqRange::new(next, kept.first() - 1).into_iter().for_each(|gap| lost.insert(gap));
            next = kept.last() + 1;
        }
        SeqRange::new(next, last).into_iter().for_each(|gap| lost.insert(gap));
        lost
    }

    fn info(&self, version: u8) -> Frame {
        Frame::Info(Info {
            session: self.tape().session(),
            version: version.min(VERSION),
            first: FIRST_SEQ,
            last: self.tape().last(),
        })
    }

    fn answer(&mut self, seat: &mut ServerConnection, call: Call, now: Duration) {
        match call {
            Call::Stream => {
                let pass = u32::try_from(self.served.streams).unwrap_or(u32::MAX);
                seat.begin_stream(pass, self.tape().last(), &self.faults, now);
                self.served.streams += 1;
                let connection = seat.index + 1;
                self.tell(ServerEvent::Stream { connection, pass: self.served.streams });
            }
            Call::Resend(seq) => match self.available(seq, 1) {
                Some(range) => {
                    self.served.resends += 1;
                    self.faults.tally_mut().resent(range);
                    seat.resent = true;
                    seat.owe_range(range, &self.faults);
                }
                None => self.unknown(seat, seq),
            },
            Call::Describe { version } => seat.owe(&self.info(version)),
            Call::ResendRange { first, count } => self.resend_range(seat, first, count),
            Call::Subscribe { first } => self.subscribe(seat, first, now),
            Call::Unknown(_) => {}
        }
    }

    fn subscribe(&mut self, seat: &mut ServerConnection, first: u32, now: Duration) {
        if !(FIRST_SEQ..=self.tape().last() + 1).contains(&first) {
            return self.refuse(seat, first, 0, Reason::OutOfRange);
        }
        let pass = u32::try_from(self.served.streams).unwrap_or(u32::MAX);
        seat.subscribe(pass, first, &self.faults, now);
        self.served.streams += 1;
        let connection = seat.index + 1;
        self.tell(ServerEvent::Subscribed { connection, pass: self.served.streams, first });
    }

    /// Does what is to be done about a subscriber that is too far behind.
    fn hurry(&mut self, seat: &mut ServerConnection, now: Duration) {
        let (SlowSubscriberPolicy::Skip(most) | SlowSubscriberPolicy::Cut(most)) =
            self.scenario.slow
        else {
            return;
        };
        let end = self.tape().last();
        let next = seat.expected(end);
        let behind = (end + 1).saturating_sub(next);
        let ends = seat.ends_next();
        let Some(subscription) = seat.subscription.as_mut().filter(|_| !ends) else { return };
        subscription.caught_up |= behind <= most;
        if behind <= most || !subscription.caught_up {
            return;
        }
        let cut = matches!(self.scenario.slow, SlowSubscriberPolicy::Cut(_));
        let packets = if cut {
            let refusal = NotAvailable { first: next, count: behind, reason: Reason::TooSlow };
            seat.cut_off(&Frame::NotAvailable(refusal), end, &self.faults, now);
            behind.into()
        } else {
            seat.skip_to(end, &self.faults)
        };
        self.served.skipped += packets;
        self.tell(ServerEvent::Slow { connection: seat.index + 1, packets, cut });
    }

    /// A resend call of the original protocol for a sequence that does not exist.
    fn unknown(&mut self, seat: &mut ServerConnection, seq: u32) {
        self.refused(seat, seq, Reason::OutOfRange);
        match self.scenario.unknown {
            UnknownSequencePolicy::Close => seat.refused = true,
            UnknownSequencePolicy::Silence => seat.resent = true,
            UnknownSequencePolicy::Reset => seat.owe_end(Ending::Reset),
            UnknownSequencePolicy::Die => seat.owe_end(Ending::Die),
        }
    }

    fn resend_range(&mut self, seat: &mut ServerConnection, first: u32, count: u32) {
        if count == 0 || !(FIRST_SEQ..=MAX_SEQ).contains(&first) {
            return self.refuse(seat, first, count, Reason::Malformed);
        }
        let given = self.available(first, count).map_or(0, |range| {
            self.faults.tally_mut().resent(range);
            seat.owe_range(range, &self.faults);
            range.len()
        });
        self.served.resends += u64::from(given);
        if given < count {
            self.refuse(seat, first.saturating_add(given), count - given, Reason::OutOfRange);
        }
    }

    /// What the tape has of the `count` sequences from `first`.
    fn available(&self, first: u32, count: u32) -> Option<SeqRange> {
        SeqRange::counted(first, count)?
            .intersect(SeqRange::new(FIRST_SEQ, self.tape().last())?)
            .filter(|range| range.first() == first)
    }

    fn refuse(&mut self, seat: &mut ServerConnection, first: u32, count: u32, reason: Reason) {
        self.refused(seat, first, reason);
        let refusal = NotAvailable { first, count, reason };
        seat.owe(&Frame::NotAvailable(refusal));
    }

    fn refused(&mut self, seat: &ServerConnection, seq: u32, reason: Reason) {
        self.served.refused += 1;
        self.tell(ServerEvent::Refused { connection: seat.index + 1, seq, reason });
    }

    fn tell(&mut self, note: ServerEvent) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push_back(note);
        }
    }
}

impl<P: TapeSource> Exchange for MockExchange<P> {
    type Connection = ServerConnection;
    type Event = ServerEvent;

    fn open(&mut self, now: Duration) -> ServerConnection {
        if let Some(outage) = self.outage.take_if(|outage| outage.until <= now)
            && outage.renew
            && self.tapes.len() > 1
        {
            self.tapes.pop_front();
            self.faults = self.faults.renewed(&self.scenario, self.tape().end());
        }
        let mut seat = ServerConnection::new(self.served.connections, now, self.scenario.extension);
        self.served.connections += 1;
        seat.opened(&mut self.faults);
        seat
    }

    fn wants_input(&self, seat: &ServerConnection) -> bool {
        seat.owed() < OWED_MAX
    }

    fn receive(&mut self, seat: &mut ServerConnection, bytes: &[u8], now: Duration) {
        self.tapes[0].grow(now);
        seat.active = now;
        let mut rest = bytes;
        // After a stream call, or one that ends the connection, everything is discarded.
        while !seat.settled() {
            let Some(call) = seat.calls.next(&mut rest) else { break };
            self.answer(seat, call, now);
        }
    }

    fn ended(&mut self, seat: &mut ServerConnection, _: Duration) {
        seat.client_ended = true;
        seat.unsubscribe();
    }

    fn disconnected(&mut self, _: ServerConnection, reset: bool, _: Duration) {
        self.served.resets += u64::from(reset);
    }

    fn peek(&mut self, seat: &mut ServerConnection, out: &mut [u8], now: Duration) -> usize {
        self.tapes[0].grow(now);
        if self.paused {
            return 0;
        }
        self.hurry(seat, now);
        self.lose_from(seat);
        let tape = &mut self.tapes[0];
        let one_by_one = tape.last() <= ONE_BY_ONE;
        let Self { faults, scenario: Scenario { pace, .. }, .. } = self;
        seat.peek(&mut SendContext { tape, faults, pace: *pace, now, one_by_one }, out)
    }

    fn sent(&mut self, seat: &mut ServerConnection, count: usize, now: Duration) {
        if count > 0 {
            seat.active = now;
        }
        self.served.bytes += count as u64;
        let before = seat.packets;
        self.served.dropped += seat.advance(self.tape().last(), &mut self.faults, count, now);
        self.served.packets += seat.packets - before;
    }

    fn step(&mut self, seat: &mut ServerConnection, now: Duration) -> Step {
        if self.paused && seat.ending.is_none() {
            return if seat.client_ended && seat.finished.is_some() {
                Step::Close
            } else {
                Step::Wait
            };
        }
        // Packets lost behind the last one sent.
        self.served.dropped += seat.advance(self.tape().last(), &mut self.faults, 0, now);
        if let Some(ending) = seat.ending
            && let Some(step) = self.end(seat, ending, now)
        {
            return step;
        }
        self.hurry(seat, now);
        if seat.owed() > 0 {
            // One that was cut off and does not even read that.
            let given_up = seat.cut_at.is_some_and(|since| now >= since + LINGER);
            return if given_up { Step::Reset } else { Step::Wait };
        }
        if seat.subscription.as_ref().is_some_and(|it| !(seat.client_ended || it.done(now))) {
            return Step::Wait;
        }
        match seat.finished {
            Some(_) if seat.client_ended => Step::Close,
            Some(since) if now >= since + LINGER => Step::Close,
            Some(_) => Step::Wait,
            None => {
                let idle = self.idle(seat).is_some_and(|idle| now >= idle);
                if !(seat.settled() || seat.client_ended || idle) {
                    return Step::Wait;
                }
                seat.finished = Some(now);
                Step::Finish
            }
        }
    }

    fn deadline(&mut self, seat: &ServerConnection) -> Option<Duration> {
        if self.paused {
            return None;
        }
        if let Some(since) = seat.finished.or(seat.cut_at) {
            return Some(since + LINGER);
        }
        if let Some(subscription) = &seat.subscription {
            let next = self.tape().grows_at().into_iter().chain([subscription.beat]).min();
            return seat.resume_at.or(next.filter(|_| seat.ending.is_none()));
        }
        if seat.resume_at.is_some() || seat.owed() == 0 {
            return seat.resume_at.or_else(|| self.idle(seat));
        }
        if self.scenario.pace == Pace::Unlimited {
            return None;
        }
        let (began, next) = seat.held_back()?;
        let due = began + self.scenario.pace.due(&mut self.tapes[0], next);
        Some(due.max(seat.active + STEP))
    }

    fn is_idle(&self, seat: &ServerConnection) -> bool {
        // What a fault has silenced owes a subscriber nothing more.
        seat.owed() == 0 && (seat.subscription.is_none() || seat.ending.is_some())
    }

    fn poll_event(&mut self) -> Option<ServerEvent> {
        self.notes.pop_front()
    }

    fn tick(&mut self, now: Duration) -> Option<Duration> {
        let tape = &mut self.tapes[0];
        tape.grow(now);
        // Connections look more often.
        tape.grows_at().map(|next| next.max(now + PASSING))
    }

    fn down_until(&self) -> Option<Duration> {
        self.outage.map(|outage| outage.until)
    }

    fn is_dead(&self) -> bool {
        self.died || self.tape().failure().is_some()
    }
}
