//! Test double of the original exchange, with its measured behaviour, deaths included.
//!
//! The original is one Node.js process with one buffer for the bytes of all connections. It answers
//! the calls of well-behaved clients. It drops one packet in four of a stream, the last one
//! included. It dies, with every connection, if a requested sequence does not exist, if any byte
//! follows a stream call on a connection, and if a client resets its connection.

use crate::base::rng::Rng;
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::{Disconnect, Exchange, Step};
use crate::tape::in_memory::Tape;
use crate::wire::Protocol;
use alloc::vec::Vec;
use core::time::Duration;

/// Test double of the original exchange. See the [module](self).
#[derive(Debug)]
pub struct OriginalExchange {
    tape: Tape,
    rng: Rng,
    /// Number of packets in four that a stream drops; 1 as measured.
    dropped_of_four: u32,
    /// Bytes of all connections that are no whole call yet.
    buffer: Vec<u8>,
    died_of: Option<Death>,
}

/// Cause of the original exchange's death.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// A resend call for a sequence (its byte read as signed) that the tape does not have.
    UnknownSequence(i8),
    /// A client sent bytes on a connection after its stream call.
    WriteAfterEnd,
    /// A client reset its connection.
    Reset,
}

/// A connection of the [`OriginalExchange`].
#[derive(Debug, Default)]
pub struct OriginalConnection {
    outbox: Vec<u8>,
    streamed: bool,
    client_ended: bool,
    finished: bool,
}

impl OriginalExchange {
    /// Creates an exchange that plays `tape`; `seed` decides which packets are dropped.
    #[must_use]
    pub fn new(tape: Tape, seed: u64) -> Self {
        Self { tape, rng: Rng::new(seed), dropped_of_four: 1, buffer: Vec::new(), died_of: None }
    }

    /// Sets how many packets in four are dropped.
    #[must_use]
    pub fn losing(mut self, quarters: u32) -> Self {
        self.dropped_of_four = quarters;
        self
    }

    /// Returns what killed the exchange, if it is dead.
    #[must_use]
    pub fn died_of(&self) -> Option<Death> {
        self.died_of
    }

    fn die(&mut self, cause: Death) {
        self.died_of.get_or_insert(cause);
    }

    fn answer(&mut self, conn: &mut OriginalConnection, kind: i8, seq: i8) {
        match kind {
            1 | 2 if conn.streamed => self.die(Death::WriteAfterEnd),
            1 => {
                for frame in self.tape.frames() {
                    if self.rng.below(4) >= self.dropped_of_four {
                        conn.outbox.extend_from_slice(frame);
                    }
                }
                conn.streamed = true;
            }
            2 => {
                let range = Seq::try_from(seq).ok().filter(|&seq| seq > 0).map(SeqRange::one);
                match range.and_then(|range| self.tape.slice(range).first()) {
                    Some(frame) => conn.outbox.extend_from_slice(frame),
                    None => self.die(Death::UnknownSequence(seq)),
                }
            }
            _ => {}
        }
    }
}

impl Exchange for OriginalExchange {
    type Connection = OriginalConnection;
    type Event = core::convert::Infallible;

    fn open(&mut self, _: Protocol, _: Duration) -> OriginalConnection {
        OriginalConnection::default()
    }

    fn wants_input(&self, _: &OriginalConnection) -> bool {
        true
    }

    fn receive(&mut self, conn: &mut OriginalConnection, bytes: &[u8], _: Duration) {
        if conn.streamed {
            // Stricter than the original, which ignored calls of unknown kinds here.
            return self.die(Death::WriteAfterEnd);
        }
        self.buffer.extend_from_slice(bytes);
        while let [kind, seq, ..] = self.buffer[..] {
            self.buffer.drain(..2);
            self.answer(conn, kind.cast_signed(), seq.cast_signed());
        }
    }

    fn input_ended(&mut self, conn: &mut OriginalConnection, _: Duration) {
        conn.client_ended = true;
    }

    fn disconnected(&mut self, _: OriginalConnection, how: Disconnect, _: Duration) {
        if how == Disconnect::Reset {
            self.die(Death::Reset);
        }
    }

    fn peek(&mut self, conn: &mut OriginalConnection, out: &mut [u8], _: Duration) -> usize {
        let len = conn.outbox.len().min(out.len()).min(crate::wire::FRAME_LEN);
        out[..len].copy_from_slice(&conn.outbox[..len]);
        len
    }

    fn sent(&mut self, conn: &mut OriginalConnection, count: usize, _: Duration) {
        conn.outbox.drain(..count);
    }

    fn step(&mut self, conn: &mut OriginalConnection, _: Duration) -> Step {
        match (conn.outbox.is_empty(), conn.streamed || conn.client_ended) {
            (true, true) if conn.finished && conn.client_ended => Step::Close,
            (true, true) if !conn.finished => {
                conn.finished = true;
                Step::Finish
            }
            _ => Step::Wait,
        }
    }

    fn deadline(&mut self, _: &OriginalConnection) -> Option<Duration> {
        None
    }

    fn is_idle(&self, conn: &OriginalConnection) -> bool {
        conn.outbox.is_empty()
    }

    fn poll_event(&mut self) -> Option<core::convert::Infallible> {
        None
    }

    fn is_dead(&self) -> bool {
        self.died_of.is_some()
    }
}
