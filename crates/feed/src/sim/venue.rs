//! Exchanges of simulated lives: ours, and some that lie about how far their session reaches.

use super::draw::pick;
use crate::base::rng::Rng;
use crate::base::seq::{MAX_SEQ, Seq};
use crate::exchange::server::{MockExchange, ServerConnection, ServerEvent};
use crate::exchange::{Disconnect, Exchange, Step};
use crate::faults::scenario::Scenario;
use crate::ledger::Limits;
use crate::tape::growing::GrowingTape;
use crate::tape::in_memory::Tape;
use crate::wire::FRAME_LEN;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Byte of a message that says what it is.
const KIND: usize = 4;
/// First of the four bytes of a message's sequence.
const SEQUENCE: usize = 13;

/// What a lying line says of its session. Its packets are the tape's.
#[derive(Clone, Debug)]
pub struct Lie {
    /// The line that lies.
    pub(super) line: usize,
    /// The last sequence that it says its session to have.
    last: Seq,
    /// Kinds of messages that say so: descriptions, heartbeats, ends.
    kinds: &'static [u8],
    /// Whether its heartbeats say that the session is over.
    ends: bool,
    /// Whether the client asks this line only the first time that it is started.
    pub(super) leaves: bool,
}

impl Lie {
    /// Returns a lie about a tape that ends with `last`, of one of two lines.
    pub(super) fn draw(rng: &mut Rng, last: Seq) -> Self {
        let jump = Limits::default().max_jump;
        let more = [1, 900, jump, jump + 1, 1 << 30].map(|more| last + more);
        let told = [0, last / 2, more[0], more[1], more[2], more[3], more[4], MAX_SEQ - 1];
        let kinds: [&[u8]; 5] = [b"I", b"I", b"H", b"HE", b"IHE"];
        // Where it is left out later, nothing tells who lies within the bound.
        let leaves = rng.below(3) == 0;
        let from = if leaves { 5 } else { 0 };
        Self {
            line: if leaves { 1 } else { rng.below(2) as usize },
            last: pick(rng, &told[from..]),
            kinds: pick(rng, &kinds),
            ends: rng.below(4) == 0,
            leaves,
        }
    }

    /// Puts the lie into bytes that go out behind the `begun` bytes of a message.
    fn put(&self, begun: &[u8], out: &mut [u8]) {
        let bytes: Vec<u8> = begun.iter().chain(&*out).copied().collect();
        for (at, byte) in (begun.len()..).zip(out) {
            let place = at % FRAME_LEN;
            let Some(&kind) = bytes.get(at - place + KIND).filter(|it| self.kinds.contains(it))
            else {
                continue;
            };
            // Heartbeats and ends tell the sequence that comes next.
            let told = if kind == b'I' { self.last } else { self.last + 1 };
            if place >= SEQUENCE {
                *byte = told.to_be_bytes()[place - SEQUENCE];
            } else if place == KIND && kind == b'H' && self.ends {
                *byte = b'E';
            }
        }
    }
}

/// An exchange of a simulated life.
pub(super) struct Venue {
    player: MockExchange<GrowingTape<Arc<Tape>>>,
    lie: Option<Lie>,
}

/// One connection of it.
pub(super) struct VenueConn {
    seat: ServerConnection,
    /// Bytes that were sent of the latest message, as an honest exchange would have sent them.
    begun: Vec<u8>,
    /// Bytes that are to be sent next, likewise.
    honest: Vec<u8>,
}

impl Venue {
    pub(super) fn new(player: MockExchange<GrowingTape<Arc<Tape>>>, lie: Option<Lie>) -> Self {
        Self { player, lie }
    }

    pub(super) fn player(&self) -> &MockExchange<GrowingTape<Arc<Tape>>> {
        &self.player
    }

    pub(super) fn change(&mut self, scenario: Scenario) {
        self.player.set_scenario(scenario);
    }

    /// Whether it lies.
    pub(super) fn lies(&self) -> bool {
        self.lie.is_some()
    }
}

impl Exchange for Venue {
    type Connection = VenueConn;
    type Event = ServerEvent;

    fn open(&mut self, now: Duration) -> VenueConn {
        VenueConn { seat: self.player.open(now), begun: Vec::new(), honest: Vec::new() }
    }

    fn wants_input(&self, conn: &VenueConn) -> bool {
        self.player.wants_input(&conn.seat)
    }

    fn receive(&mut self, conn: &mut VenueConn, bytes: &[u8], now: Duration) {
        self.player.receive(&mut conn.seat, bytes, now);
    }

    fn ended(&mut self, conn: &mut VenueConn, now: Duration) {
        self.player.ended(&mut conn.seat, now);
    }

    fn disconnected(&mut self, conn: VenueConn, how: Disconnect, now: Duration) {
        self.player.disconnected(conn.seat, how, now);
    }

    fn peek(&mut self, conn: &mut VenueConn, out: &mut [u8], now: Duration) -> usize {
        let count = self.player.peek(&mut conn.seat, out, now);
        if let Some(lie) = &self.lie {
            conn.honest.clear();
            conn.honest.extend_from_slice(&out[..count]);
            lie.put(&conn.begun, &mut out[..count]);
        }
        count
    }

    fn sent(&mut self, conn: &mut VenueConn, count: usize, now: Duration) {
        if self.lie.is_some() {
            conn.begun.extend_from_slice(&conn.honest[..count]);
            conn.begun.drain(..conn.begun.len() / FRAME_LEN * FRAME_LEN);
        }
        self.player.sent(&mut conn.seat, count, now);
    }

    fn step(&mut self, conn: &mut VenueConn, now: Duration) -> Step {
        self.player.step(&mut conn.seat, now)
    }

    fn deadline(&mut self, conn: &VenueConn) -> Option<Duration> {
        self.player.deadline(&conn.seat)
    }

    fn poll_event(&mut self) -> Option<ServerEvent> {
        self.player.poll_event()
    }

    fn tick(&mut self, now: Duration) -> Option<Duration> {
        self.player.tick(now)
    }

    fn down_until(&self) -> Option<Duration> {
        self.player.down_until()
    }

    fn is_dead(&self) -> bool {
        self.player.is_dead()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, Info, RawFrame, SessionId, encode};

    #[test]
    fn a_lie_is_put_into_what_is_sent_however_that_is_cut() {
        let info = Info { session: SessionId(*b"TEST"), version: 1, first: 1, last: 5 };
        let frames = [
            Tape::random(5, 1).frames()[0],
            encode(&Frame::Info(info)),
            encode(&Frame::Heartbeat(6)),
            encode(&Frame::End(6)),
        ];
        let lie = Lie { line: 1, last: 77, kinds: b"IH", ends: true, leaves: false };
        let expected: [RawFrame; 4] = [
            frames[0],
            encode(&Frame::Info(Info { last: 77, ..info })),
            encode(&Frame::End(78)),
            frames[3],
        ];
        let honest = frames.as_flattened();
        for cut in 0..honest.len() {
            let begun = &honest[cut / FRAME_LEN * FRAME_LEN..cut];
            let mut first = honest[..cut].to_vec();
            lie.put(&[], &mut first);
            let mut second = honest[cut..].to_vec();
            lie.put(begun, &mut second);
            assert_eq!([first, second].concat(), expected.as_flattened(), "{cut}");
        }
    }
}
