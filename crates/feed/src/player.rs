//! The player: our exchange. It plays a tape to any number of connections and loses packets on
//! purpose.
//!
//! Friendly where the original is not (`docs/protocol.md` says why, row by row): a buffer a
//! connection, so that nothing a client does harms another; the stream begins with the first byte
//! of the call; after the stream it goes on reading until the client closes; an unknown sequence
//! ends only the connection that asked.

mod seat;

pub use seat::Seat;

use crate::drops::Drops;
use crate::exchange::{Exchange, Step};
use crate::pace::{Pace, STEP};
use crate::play::Play;
use crate::seq::{FIRST_SEQ, MAX_SEQ, SeqRange, SeqSet};
use crate::tape::Tape;
use crate::wire::{Call, FRAME_LEN, Frame, Info, NotAvailable, Reason, VERSION, encode};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;
use seat::Reply;

/// How long a connection that has asked for resends may be silent before it is ended. Clients
/// exist that wait for this end, and clients that are slow to ask again.
pub const IDLE: Duration = Duration::from_millis(400);

/// How long a connection that was answered completely waits for its client to close it.
pub const LINGER: Duration = Duration::from_secs(30);

/// Tapes up to this length are sent one write a packet, as the original does; clients that take a
/// read for a packet then lose less.
pub const ONE_BY_ONE: u32 = 256;

/// A connection with so many answers owed is not read from until some are sent.
pub const OWED_MAX: usize = 256;

/// What was counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Served {
    /// Connections accepted.
    pub connections: u64,
    /// Stream calls answered.
    pub streams: u64,
    /// Packets that streams lost on purpose.
    pub lost: u64,
    /// Packets asked for by resend calls and available.
    pub resends: u64,
    /// Resend calls, or parts of them, that could not be served.
    pub refused: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Connections that clients reset.
    pub resets: u64,
}

/// What the player tells about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// A connection has called for the stream.
    Stream {
        /// The connection, from 0.
        connection: u64,
        /// Its passes before this one.
        pass: u32,
    },
    /// A connection has asked for what it cannot have.
    Refused {
        /// The connection, from 0.
        connection: u64,
        /// The first sequence refused, as asked for.
        seq: u32,
        /// Why. A call of the original protocol can only be out of range; it ends its connection.
        reason: Reason,
    },
}

/// So many notes are kept for whoever asks; more are forgotten.
const NOTES_MAX: usize = 4096;

/// An exchange that plays a tape. See the [module](self).
#[derive(Debug)]
pub struct Player<P = Arc<Tape>> {
    tape: P,
    drops: Drops,
    pace: Pace,
    served: Served,
    notes: VecDeque<Note>,
}

impl<P: Play> Player<P> {
    /// Plays `tape`, losing `drops`.
    #[must_use]
    pub fn new(tape: P, drops: Drops) -> Self {
        Self {
            tape,
            drops,
            pace: Pace::Unlimited,
            served: Served::default(),
            notes: VecDeque::new(),
        }
    }

    /// Plays streams at this pace.
    #[must_use]
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The tape.
    #[must_use]
    pub fn tape(&self) -> &P {
        &self.tape
    }

    /// What was counted.
    #[must_use]
    pub fn served(&self) -> Served {
        self.served
    }

    /// Which sequences a pass on a connection loses.
    #[must_use]
    pub fn lost(&self, connection: u64, pass: u32) -> SeqSet {
        let mut lost = SeqSet::new();
        let mut next = FIRST_SEQ;
        for kept in self.drops.kept(connection, pass, FIRST_SEQ, self.tape.last()) {
            SeqRange::new(next, kept.first() - 1).into_iter().for_each(|gap| lost.insert(gap));
            next = kept.last() + 1;
        }
        SeqRange::new(next, self.tape.last()).into_iter().for_each(|gap| lost.insert(gap));
        lost
    }

    fn info(&self, version: u8) -> Frame {
        Frame::Info(Info {
            session: self.tape.session(),
            version: version.min(VERSION),
            first: FIRST_SEQ,
            last: self.tape.last(),
        })
    }

    fn answer(&mut self, seat: &mut Seat, call: Call, now: Duration) {
        match call {
            Call::Stream => {
                let pass = seat.begin_stream(now);
                self.served.streams += 1;
                self.tell(Note::Stream { connection: seat.index, pass });
            }
            Call::Resend(seq) => match self.available(seq, 1) {
                Some(range) => {
                    self.served.resends += 1;
                    seat.resent = true;
                    seat.owe_range(range);
                }
                None => {
                    self.refused(seat, seq, Reason::OutOfRange);
                    seat.refused = true;
                }
            },
            Call::Describe { version } => {
                seat.owe(Reply::Message(encode(&self.info(version))));
            }
            Call::ResendRange { first, count } => self.resend_range(seat, first, count),
            Call::Subscribe { first } => {
                self.refuse(seat, first, 0, Reason::NotSubscriber);
            }
            Call::Unknown(_) => {}
        }
    }

    fn resend_range(&mut self, seat: &mut Seat, first: u32, count: u32) {
        if count == 0 || !(FIRST_SEQ..=MAX_SEQ).contains(&first) {
            return self.refuse(seat, first, count, Reason::Malformed);
        }
        let given = self.available(first, count).map_or(0, |range| {
            seat.owe_range(range);
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
            .intersect(SeqRange::new(FIRST_SEQ, self.tape.last())?)
            .filter(|range| range.first() == first)
    }

    fn refuse(&mut self, seat: &mut Seat, first: u32, count: u32, reason: Reason) {
        self.refused(seat, first, reason);
        let refusal = NotAvailable { first, count, reason };
        seat.owe(Reply::Message(encode(&Frame::NotAvailable(refusal))));
    }

    fn refused(&mut self, seat: &Seat, seq: u32, reason: Reason) {
        self.served.refused += 1;
        self.tell(Note::Refused { connection: seat.index, seq, reason });
    }

    fn tell(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push_back(note);
        }
    }
}

impl<P: Play> Exchange for Player<P> {
    type Conn = Seat;
    type Note = Note;

    fn open(&mut self, now: Duration) -> Seat {
        let index = self.served.connections;
        self.served.connections += 1;
        Seat::new(index, now)
    }

    fn wants_input(&self, seat: &Seat) -> bool {
        seat.owed() < OWED_MAX
    }

    fn receive(&mut self, seat: &mut Seat, bytes: &[u8], now: Duration) {
        seat.active = now;
        let mut rest = bytes;
        // After a stream call, or one that ends the connection, everything is discarded.
        while !seat.settled() {
            let Some(call) = seat.calls.next(&mut rest) else { break };
            self.answer(seat, call, now);
        }
    }

    fn ended(&mut self, seat: &mut Seat, _: Duration) {
        seat.client_ended = true;
    }

    fn gone(&mut self, _: Seat, reset: bool, _: Duration) {
        self.served.resets += u64::from(reset);
    }

    fn peek(&mut self, seat: &Seat, out: &mut [u8], now: Duration) -> usize {
        let one = FRAME_LEN - seat.offset();
        let most = if self.tape.last() <= ONE_BY_ONE { one.min(out.len()) } else { out.len() };
        let plan = (&self.drops, self.pace, now);
        seat.peek(&mut self.tape, plan, &mut out[..most])
    }

    fn sent(&mut self, seat: &mut Seat, count: usize, now: Duration) {
        seat.active = now;
        self.served.bytes += count as u64;
        self.served.lost += seat.advance(self.tape.last(), &self.drops, count);
    }

    fn step(&mut self, seat: &mut Seat, now: Duration) -> Step {
        // Packets lost behind the last one sent.
        self.served.lost += seat.advance(self.tape.last(), &self.drops, 0);
        if seat.owed() > 0 {
            return Step::Wait;
        }
        match seat.finished {
            Some(_) if seat.client_ended => Step::Close,
            Some(since) if now >= since + LINGER => Step::Close,
            Some(_) => Step::Wait,
            None => {
                let idle = seat.idles() && now >= seat.active + IDLE;
                if !(seat.settled() || seat.client_ended || idle) {
                    return Step::Wait;
                }
                seat.finished = Some(now);
                Step::Finish
            }
        }
    }

    fn deadline(&mut self, seat: &Seat) -> Option<Duration> {
        match seat.finished {
            Some(since) => Some(since + LINGER),
            None if self.pace != Pace::Unlimited && seat.owed() > 0 => {
                let (began, next) = seat.held_back()?;
                Some((began + self.pace.due(&mut self.tape, next)).max(seat.active + STEP))
            }
            None => (seat.idles() && seat.owed() == 0).then(|| seat.active + IDLE),
        }
    }

    fn note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    fn dead(&self) -> bool {
        self.tape.failure().is_some()
    }
}
