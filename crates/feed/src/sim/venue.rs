//! Exchanges of simulated runs: ours, and some that lie about the last sequence of their session.

use super::draw::pick;
use crate::base::rng::Rng;
use crate::base::seq::Seq;
use crate::exchange::datagrams::DatagramLines;
use crate::exchange::server::{MockExchange, ServerConnection, ServerEvent};
use crate::exchange::{Disconnect, Exchange, Step};
use crate::faults::scenario::Scenario;
use crate::ledger::Limits;
use crate::tape::growing::GrowingTape;
use crate::tape::in_memory::Tape;
use crate::wire::{FRAME_LEN, MAX_PACKET_SEQ, Protocol, field_bytes};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Offset of a message's kind.
const KIND: usize = 4;
/// Offset of a message's sequence.
const SEQUENCE: usize = 13;

/// False claim of a line about its session. Its packets are those of the tape.
#[derive(Clone, Debug)]
pub struct Lie {
    /// Line that lies.
    pub(super) line: usize,
    /// Last sequence that the line claims.
    last: Seq,
    /// Kinds of messages that carry the claim: descriptions, heartbeats, ends.
    kinds: &'static [u8],
    /// True if the line's heartbeats report the end of the session.
    ends: bool,
    /// True if the client uses the line only at its first start.
    pub(super) leaves: bool,
}

impl Lie {
    /// Draws a lie of one of two lines about a tape that ends with `last`.
    pub(super) fn draw(rng: &mut Rng, last: Seq) -> Self {
        let jump = Limits::default().max_jump;
        let more = [1, 900, jump, jump + 1, 1 << 30].map(|more| last + more);
        let lasts = [0, last / 2, more[0], more[1], more[2], more[3], more[4], MAX_PACKET_SEQ - 1];
        let kinds: [&[u8]; 5] = [b"I", b"I", b"H", b"HE", b"IHE"];
        // If the line is left out later, a lie within the bound cannot be recognised.
        let leaves = rng.below(3) == 0;
        let from = if leaves { 5 } else { 0 };
        Self {
            line: if leaves { 1 } else { rng.below(2) as usize },
            last: pick(rng, &lasts[from..]),
            kinds: pick(rng, &kinds),
            ends: rng.below(4) == 0,
            leaves,
        }
    }

    /// Writes the lie into bytes that follow the `begun` bytes of a message.
    fn put(&self, begun: &[u8], out: &mut [u8]) {
        let bytes: Vec<u8> = begun.iter().chain(&*out).copied().collect();
        for (at, byte) in (begun.len()..).zip(out) {
            let place = at % FRAME_LEN;
            let Some(&kind) = bytes.get(at - place + KIND).filter(|it| self.kinds.contains(it))
            else {
                continue;
            };
            // Heartbeats and ends carry the next sequence.
            let claimed = if kind == b'I' { self.last } else { self.last + 1 };
            if place >= SEQUENCE {
                *byte = field_bytes(claimed)[place - SEQUENCE];
            } else if place == KIND && kind == b'H' && self.ends {
                *byte = b'E';
            }
        }
    }
}

/// Exchange of a simulated run.
pub(super) struct Venue {
    player: MockExchange<GrowingTape<Arc<Tape>>>,
    lie: Option<Lie>,
}

/// Connection of a venue.
pub(super) struct VenueConn {
    seat: ServerConnection,
    /// Bytes of the latest message sent so far, as an honest exchange would have sent them.
    begun: Vec<u8>,
    /// Bytes to be sent next, as an honest exchange would send them.
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

    /// Returns true if the exchange lies.
    pub(super) fn lies(&self) -> bool {
        self.lie.is_some()
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl Exchange for Venue {
    type Connection = VenueConn;
    type Event = ServerEvent;

    fn open(&mut self, protocol: Protocol, now: Duration) -> VenueConn {
        let seat = self.player.open(protocol, now);
        VenueConn { seat, begun: Vec::new(), honest: Vec::new() }
    }

    fn wants_input(&self, conn: &VenueConn) -> bool {
        self.player.wants_input(&conn.seat)
    }

    fn receive(&mut self, conn: &mut VenueConn, bytes: &[u8], now: Duration) {
        self.player.receive(&mut conn.seat, bytes, now);
    }

    fn input_ended(&mut self, conn: &mut VenueConn, now: Duration) {
        self.player.input_ended(&mut conn.seat, now);
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

    fn lines(&mut self) -> Option<&mut dyn DatagramLines> {
        self.player.lines()
    }

    fn is_dead(&self) -> bool {
        self.player.is_dead()
    }

    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        self.player.connected(&mut conn.seat, client, own);
    }

    fn is_idle(&self, conn: &Self::Connection) -> bool {
        self.player.is_idle(&conn.seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, Info, RawFrame, SessionId, encode};

    #[test]
    fn a_lie_is_put_into_what_is_sent_however_that_is_cut() {
        let info = Info { session: SessionId::of(*b"TEST"), version: 1, first: 1, last: 5 };
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
