//! The player as an operation list, over drawn scenarios: connections that open, call, take as much
//! as they like of what they are offered, end and break, in any order. And one connection's bytes
//! do not depend on how they are taken.

use arbitrary::Arbitrary;
use feed::base::rng::Rng;
use feed::exchange::server::{MockExchange, ServerConnection};
use feed::exchange::{Disconnect, Exchange, Step};
use feed::faults::scenario::Scenario;
use feed::sim::draw;
use feed::tape::in_memory::Tape;
use feed::wire::soup::{HeartbeatTimeout, LoginRequest, Packet, Password, Text};
use feed::wire::{Call, Protocol};
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of steps after which a connection is over once its client has ended.
const STEPS_MAX: u32 = 20_000;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Asked {
    Stream,
    Resend(u8),
    Describe(u8),
    Range(u16, u16),
    Subscribe(u32),
    Byte(u8),
    /// Login of SoupBinTCP.
    Login(u8),
    /// Packet of SoupBinTCP: its type and the length of its payload.
    Packet(u8, u8),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Op {
    Open,
    Call(u8, Asked),
    /// Takes a part of what it is offered in so large a buffer.
    Take(u8, u16, u16),
    Pass(u16),
    Ended(u8),
    Reset(u8),
    OpenSoup,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Input {
    seed: u64,
    faults: u8,
    last: u8,
    ops: Vec<Op>,
    calls: Vec<Asked>,
    takes: Vec<u8>,
    buffer: u16,
}

fn bytes(asked: Asked) -> Vec<u8> {
    let mut bytes = Vec::new();
    match asked {
        Asked::Stream => Call::Stream.encode(&mut bytes),
        Asked::Resend(seq) => Call::Resend(seq.into()).encode(&mut bytes),
        Asked::Describe(version) => Call::Describe { version }.encode(&mut bytes),
        Asked::Range(first, count) => {
            Call::ResendRange { first: first.into(), count: count.into() }.encode(&mut bytes);
        }
        Asked::Subscribe(first) => Call::Subscribe { first: first.into() }.encode(&mut bytes),
        Asked::Byte(byte) => bytes.push(byte),
        Asked::Login(first) => {
            let login = LoginRequest {
                user: Text::BLANK,
                password: Password::new(Text::BLANK),
                session: Text::BLANK,
                sequence: first.into(),
                heartbeat_timeout: HeartbeatTimeout::from_millis(u32::from(first) * 400),
            };
            // A login always has room.
            let _ = Packet::LoginRequest(login).encode(&mut bytes);
        }
        Asked::Packet(kind, length) => {
            bytes.extend([0, length, kind]);
            bytes.resize(bytes.len() + usize::from(length), b'.');
        }
    }
    bytes
}

struct World {
    player: MockExchange,
    seats: Vec<ServerConnection>,
    now: Duration,
    taken: u64,
}

impl World {
    fn open(&mut self, protocol: Protocol) {
        if self.player.down_until().is_none_or(|until| until <= self.now) && !self.player.is_dead()
        {
            self.seats.push(self.player.open(protocol, self.now));
        }
    }

    /// Takes offered bytes, or lets the connection act without. Returns false once the connection
    /// is over.
    fn take(&mut self, at: usize, buffer: usize, part: usize) -> bool {
        let seat = &mut self.seats[at];
        let mut out = vec![0; buffer];
        let offered = self.player.peek(seat, &mut out, self.now);
        assert!(offered <= buffer);
        if offered > 0 {
            let mut again = vec![0; buffer];
            assert_eq!(self.player.peek(seat, &mut again, self.now), offered);
            assert_eq!(out, again, "what is offered changes by being looked at");
            let count = part % offered + 1;
            self.player.sent(seat, count, self.now);
            self.taken += count as u64;
            return true;
        }
        match self.player.step(seat, self.now) {
            Step::Wait | Step::Finish => {
                let deadline = self.player.deadline(seat);
                assert!(deadline.is_none_or(|time| time > self.now), "it is woken in vain");
                true
            }
            step @ (Step::Close | Step::Reset) => {
                self.player.disconnected(self.seats.remove(at), Disconnect::Closed, self.now);
                if step == Step::Reset && (self.player.died() || self.down()) {
                    // The driver resets them all.
                    self.seats.clear();
                }
                false
            }
        }
    }

    fn down(&self) -> bool {
        self.player.down_until().is_some_and(|until| self.now < until)
    }

    fn run(&mut self, op: Op) {
        let open = self.seats.len().max(1);
        let of = |number: u8| usize::from(number) % open;
        match op {
            Op::Open => self.open(Protocol::Betacrew),
            Op::OpenSoup => self.open(Protocol::Soup),
            Op::Pass(millis) => self.now += Duration::from_millis(millis.into()),
            _ if self.seats.is_empty() => {}
            Op::Call(number, asked) => {
                let seat = &mut self.seats[of(number)];
                if self.player.wants_input(seat) {
                    self.player.receive(seat, &bytes(asked), self.now);
                }
            }
            Op::Take(number, buffer, part) => {
                let buffer = usize::from(buffer % 4096).max(17);
                self.take(of(number), buffer, part.into());
            }
            Op::Ended(number) => self.player.input_ended(&mut self.seats[of(number)], self.now),
            Op::Reset(number) => {
                self.player.disconnected(
                    self.seats.remove(of(number)),
                    Disconnect::Reset,
                    self.now,
                );
            }
        }
    }

    /// Every client ends; then every connection is over in time.
    fn end(&mut self) {
        while !self.seats.is_empty() {
            self.player.input_ended(&mut self.seats[0], self.now);
            let mut steps = 0;
            while !self.seats.is_empty() && self.take(0, 4096, usize::MAX - 1) {
                steps += 1;
                assert!(steps < STEPS_MAX, "a connection is never over");
                if let Some(later) = self.player.deadline(&self.seats[0]) {
                    self.now = self.now.max(later);
                }
            }
        }
        assert_eq!(self.player.stats().bytes, self.taken);
    }
}

/// Returns all bytes that a connection sends for calls, and its end.
fn given(
    player: &mut MockExchange,
    (protocol, calls): (Protocol, &[u8]),
    buffer: usize,
    takes: &[u8],
) -> (Vec<u8>, Step) {
    let (mut now, mut all, mut out) = (Duration::ZERO, Vec::new(), vec![0; buffer]);
    let mut seat = player.open(protocol, now);
    player.receive(&mut seat, calls, now);
    for take in takes.iter().map(|&take| usize::from(take) + 1).cycle() {
        let offered = player.peek(&mut seat, &mut out, now);
        let count = if takes.len() == 1 { offered } else { offered.min(take) };
        if offered > 0 {
            all.extend_from_slice(&out[..count]);
            player.sent(&mut seat, count, now);
        } else {
            let step = player.step(&mut seat, now);
            match player.deadline(&seat) {
                Some(later) if step == Step::Wait => now = now.max(later),
                _ => return (all, step),
            }
        }
    }
    unreachable!("takes are cycled for ever");
}

fn scenario(input: &Input, last: u64) -> Scenario {
    draw::scenario(&mut Rng::new(input.seed), last, u32::from(input.faults % 6))
}

pub(crate) fn run(input: Input) {
    let last = u64::from(input.last);
    let tape = Arc::new(Tape::sample(last));
    let scenario = scenario(&input, last);
    let protocol = if input.faults < 128 { Protocol::Betacrew } else { Protocol::Soup };
    let login = (protocol == Protocol::Soup).then_some(Asked::Login(1));
    let calls = login.into_iter().chain(input.calls.iter().copied());
    let calls: Vec<u8> = calls.take(40).flat_map(bytes).collect();
    let calls = (protocol, &calls[..]);
    let mut whole = MockExchange::new(Arc::clone(&tape), scenario.clone());
    let mut cut = MockExchange::new(Arc::clone(&tape), scenario.clone());
    let takes: Vec<u8> = input.takes.iter().copied().chain([7, 99]).collect();
    let buffer = usize::from(input.buffer % 4096).max(17);
    let expected = given(&mut whole, calls, 1 << 16, &[0]);
    assert_eq!(given(&mut cut, calls, buffer, &takes), expected);
    assert_eq!(whole.stats(), cut.stats());

    let player = MockExchange::new(tape, scenario);
    let mut world = World { player, seats: Vec::new(), now: Duration::ZERO, taken: 0 };
    input.ops.into_iter().take(300).for_each(|op| world.run(op));
    world.end();
}
