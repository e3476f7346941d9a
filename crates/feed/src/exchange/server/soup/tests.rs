//! Tests of connections in SoupBinTCP, without sockets.

mod sending;

use super::*;
use crate::base::seq::{SeqRange, to_index};
use crate::base::span::{Span, TimeSpan};
use crate::exchange::server::users::{FREE_TRIES, TRY_INTERVAL, Users};
use crate::exchange::server::{CutKind, LINGER, MockExchange, ServerConnection, ServerEvent};
use crate::exchange::{Exchange, Step};
use crate::faults::scenario::{
    Direction, ExtraPacket, Fault, FaultAction, Scenario, SlowSubscriberPolicy, WriteSize, only,
};
use crate::tape::growing::GrowingTape;
use crate::tape::in_memory::Tape;
use crate::tape::pace::Pace;
use crate::tape::source::TapeSource;
use crate::wire::soup::{
    HEADER_BYTES, HeartbeatTimeout, LoginAccepted, Packet, Password, RawPacket, RejectReason, Text,
    header, kind,
};
use crate::wire::{Framing, Messages, Run, SessionId};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);

/// Tape of messages of any length, at most a few of them at hand at once.
#[derive(Clone, Debug)]
struct MessageTape {
    messages: Vec<Vec<u8>>,
    framing: Framing,
    at_once: usize,
    bytes: Vec<u8>,
}

impl MessageTape {
    fn new(messages: Vec<Vec<u8>>, framing: Framing, at_once: usize) -> Self {
        Self { messages, framing, at_once, bytes: Vec::new() }
    }
}

impl TapeSource for MessageTape {
    fn last(&self) -> Seq {
        Seq::try_from(self.messages.len()).unwrap()
    }

    fn session(&self) -> SessionId {
        SessionId::new(*b"DAY-1     ")
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let Some(range) = range.intersect(SeqRange::new(1, self.last()).unwrap()) else {
            return Messages::NONE;
        };
        self.bytes.clear();
        let mut count = 0;
        for message in self.messages.iter().skip(to_index(range.first() - 1)) {
            if count == self.at_once || count == to_index(range.len()) {
                break;
            }
            match self.framing {
                Framing::Length => {
                    self.bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
                }
                Framing::LengthAndType => {
                    self.bytes.extend(header(kind::SEQUENCED, message.len()).unwrap());
                }
            }
            self.bytes.extend(message);
            count += 1;
        }
        let run = Run::counted(range.first(), count as u64, self.framing, &self.bytes);
        run.map_or(Messages::NONE, Messages::Run)
    }
}

/// Exchange with one client, and the bytes that the client has received.
struct Session<P> {
    exchange: MockExchange<P>,
    conn: ServerConnection,
    received: Vec<u8>,
    now: Duration,
}

fn request(sequence: u64) -> LoginRequest {
    LoginRequest {
        user: Text::new("ann").unwrap(),
        password: Password::new(Text::new("secret").unwrap()),
        session: Text::BLANK,
        sequence,
        heartbeat_timeout: None,
    }
}

impl<P: TapeSource> Session<P> {
    fn new(tape: P, scenario: Scenario) -> Self {
        let mut exchange = MockExchange::new(tape, scenario);
        let conn = exchange.open(Protocol::Soup, SECOND);
        Self { exchange, conn, received: Vec::new(), now: SECOND }
    }

    /// Connects again, and forgets what was received.
    fn reconnect(&mut self) {
        self.conn = self.exchange.open(Protocol::Soup, self.now);
        self.received.clear();
    }

    fn send(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        self.exchange.receive(&mut self.conn, &bytes, self.now);
    }

    fn login(&mut self, sequence: u64) {
        self.send(Packet::LoginRequest(request(sequence)));
    }

    /// Sends at most `most` bytes from a write of at most `room` bytes.
    fn take(&mut self, room: usize, most: usize) -> usize {
        let mut out = vec![0; room];
        let count = self.exchange.peek(&mut self.conn, &mut out, self.now).min(most);
        self.exchange.sent(&mut self.conn, count, self.now);
        self.received.extend(&out[..count]);
        count
    }

    /// Sends all that is due, and returns the step after it.
    fn run(&mut self) -> Step {
        while self.take(1 << 16, usize::MAX) > 0 {}
        self.exchange.step(&mut self.conn, self.now)
    }

    /// Runs until the connection ends or `until` has passed.
    fn run_until(&mut self, until: Duration) -> Step {
        loop {
            let step = self.run();
            let deadline = self.exchange.deadline(&self.conn);
            match deadline.filter(|_| step == Step::Wait) {
                Some(time) if time <= until => {
                    assert!(time > self.now, "a deadline in the past");
                    self.now = time;
                }
                _ => {
                    self.now = self.now.max(if step == Step::Wait { until } else { self.now });
                    return step;
                }
            }
        }
    }

    /// Returns the received packets in words.
    fn packets(&self) -> Vec<String> {
        let (mut rest, mut packets) = (&self.received[..], Vec::new());
        loop {
            match RawPacket::split_first(rest) {
                Ok(Some((raw, after))) => {
                    packets.push(match raw.decode().unwrap() {
                        Packet::Sequenced(message) if message.len() == 17 => {
                            let sequence = message[13..].try_into().unwrap();
                            u32::from_be_bytes(sequence).to_string()
                        }
                        Packet::LoginAccepted(LoginAccepted { sequence, .. }) => {
                            alloc::format!("A{sequence}")
                        }
                        Packet::LoginRejected(reason) => {
                            alloc::format!("J{}", char::from(reason.code()))
                        }
                        packet => char::from(packet.kind()).to_string(),
                    });
                    rest = after;
                }
                Ok(None) if rest.is_empty() => return packets,
                Ok(None) => {
                    packets.push(alloc::format!("{} bytes", rest.len()));
                    return packets;
                }
                Err(_) => {
                    packets.push("no length".to_string());
                    rest = &rest[2..];
                }
            }
        }
    }

    fn said(&self) -> String {
        self.packets().join(" ")
    }

    fn events(&mut self) -> Vec<SoupEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.exchange.poll_event() {
            if let ServerEvent::Soup { event, .. } = event {
                events.push(event);
            }
        }
        events
    }
}

fn sample(scenario: Scenario) -> Session<Arc<Tape>> {
    Session::new(Arc::new(Tape::sample(5)), scenario)
}

fn fault(action: FaultAction, place: FaultPlace) -> Fault {
    Fault::new(action, place).unwrap()
}

fn with(action: FaultAction, place: FaultPlace) -> Scenario {
    Scenario::clean(1).with(fault(action, place))
}

/// Scenario with a fault at message 3.
fn at_three(action: FaultAction) -> Scenario {
    let mut fault = fault(action, FaultPlace::Stream);
    fault.sequences = Some(only(3));
    Scenario::clean(1).with(fault)
}

#[test]
fn a_tape_is_played_and_the_session_ended() {
    for (sequence, said) in [
        (1, "A1 1 2 3 4 5 Z"),
        (4, "A4 4 5 Z"),
        (6, "A6 Z"),
        // From now on: a tape that is over has nothing more.
        (0, "A6 Z"),
    ] {
        let mut session = sample(Scenario::clean(1));
        session.login(sequence);
        assert_eq!((session.run(), session.said().as_str()), (Step::Finish, said));
        assert_eq!(session.exchange.step(&mut session.conn, session.now), Step::Wait);
        let late = session.now + LINGER;
        assert_eq!(session.exchange.deadline(&session.conn), Some(late));
        assert_eq!(session.exchange.step(&mut session.conn, late), Step::Close);
        let soup = session.exchange.stats().soup;
        assert_eq!((soup.logins, soup.ends, soup.rejects), (1, 1, 0));
    }
}

#[test]
fn a_packet_is_the_order_packet_behind_its_header() {
    let mut session = sample(Scenario::clean(1));
    session.login(5);
    session.run();
    let tape = Tape::sample(5);
    let mut expected = Vec::new();
    let id = Text::from_padded(&tape.session().padded());
    let accepted = Packet::LoginAccepted(LoginAccepted { session: id, sequence: 5 });
    accepted.encode(&mut expected).unwrap();
    Packet::Sequenced(&tape.frames()[4]).encode(&mut expected).unwrap();
    Packet::EndOfSession.encode(&mut expected).unwrap();
    assert_eq!(session.received, expected);
}

#[test]
fn logins_that_cannot_be_served_are_rejected() {
    let other = Text::new("OTHER").unwrap();
    let own = Text::from_padded(&Tape::sample(5).session().padded());
    let next = 6;
    for (login, said, cause) in [
        (request(7), "JS", Some(RejectCause::Sequence { requested: 7, next })),
        (request(u64::MAX), "JS", Some(RejectCause::Sequence { requested: u64::MAX, next })),
        (LoginRequest { session: other, ..request(1) }, "JS", Some(RejectCause::Session(other))),
        (LoginRequest { session: own, ..request(5) }, "A5 5 Z", None),
    ] {
        let mut session = sample(Scenario::clean(1));
        session.send(Packet::LoginRequest(login));
        assert_eq!((session.run(), session.said().as_str()), (Step::Finish, said));
        let rejected = session.events().into_iter().find_map(|event| match event {
            SoupEvent::Rejected { cause, .. } => Some(cause),
            _ => None,
        });
        assert_eq!(rejected, cause);
        assert_eq!(session.exchange.stats().soup.rejects, u64::from(cause.is_some()));
    }
}

#[test]
fn users_need_their_password_and_guesses_are_slowed() {
    let ann = (request(1).user, request(1).password);
    let mut session = sample(Scenario::clean(1));
    session.exchange = session.exchange.with_users(Users::new(vec![ann]));
    session.reconnect();
    session.login(1);
    session.run();
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
    let wrong = Password::new(Text::new("guess").unwrap());
    let wrong = LoginRequest { password: wrong, ..request(1) };
    let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
    let begin = |session: &mut Session<Arc<Tape>>, login| {
        session.reconnect();
        session.exchange.connected(&mut session.conn, client, client);
        session.send(Packet::LoginRequest(login));
        session.run()
    };
    for _ in 0..FREE_TRIES {
        assert_eq!(begin(&mut session, wrong), Step::Finish);
        assert_eq!(session.said(), "JA");
    }
    // Now even the right password has to wait, or a quick answer would tell that it is right.
    assert_eq!((begin(&mut session, request(1)), session.said().as_str()), (Step::Wait, ""));
    let turn = session.now + TRY_INTERVAL;
    assert_eq!(session.exchange.deadline(&session.conn), Some(turn));
    assert_eq!(session.run_until(turn), Step::Finish);
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
    // Of many at once, the last ones are not answered at all.
    let unanswered = (0..20).filter(|_| begin(&mut session, wrong) == Step::Finish).count();
    assert_eq!((unanswered, session.said().as_str()), (10, ""));
    let soup = session.exchange.stats().soup;
    assert_eq!((soup.wrong_passwords, soup.slowed), (FREE_TRIES.into(), 21));
    let events = alloc::format!("{:?}", session.events());
    assert!(!events.to_lowercase().contains("guess") && !events.contains("secret"), "{events}");
}

#[test]
fn a_login_in_pieces_is_one_login() {
    let mut session = sample(Scenario::clean(1));
    let mut bytes = Vec::new();
    Packet::LoginRequest(request(1)).encode(&mut bytes).unwrap();
    for byte in bytes {
        assert_eq!(session.run(), Step::Wait);
        session.exchange.receive(&mut session.conn, &[byte], session.now);
    }
    session.run();
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
}

#[test]
fn illegal_bytes_end_the_connection() {
    let live = |bytes: &[u8]| {
        let tape = GrowingTape::new(Arc::new(Tape::sample(5)), "1/s".parse().unwrap(), 1, 2);
        let mut session = Session::new(tape, Scenario::clean(1));
        session.exchange.receive(&mut session.conn, bytes, session.now);
        let step = session.run();
        let violation = session.events().into_iter().find_map(|event| match event {
            SoupEvent::Violation(violation) => Some(violation.to_string()),
            _ => None,
        });
        (step, session.said(), violation)
    };
    let mut login = Vec::new();
    Packet::LoginRequest(request(1)).encode(&mut login).unwrap();
    let twice = [&login[..], &login].concat();
    let zero = [&login[..], &[0, 0]].concat();
    let mut no_number = login.clone();
    no_number[48] = b'x';
    let finish =
        |said: &str, violation: &str| (Step::Finish, said.to_string(), Some(violation.to_string()));
    assert_eq!(
        live(&[0, 0]),
        finish("", "packet at byte 0 of the stream has length 0: expected 1 (its type) or more")
    );
    assert_eq!(live(&[0, 1, b'U']), finish("", "a packet of type 'U' before the login"));
    assert_eq!(live(&[0, 1, b'S']), finish("", "a packet of type 'S' before the login"));
    assert_eq!(live(&[0, 1, b'?']), finish("", "a packet of type '?' before the login"));
    assert!(live(&[1, 0, b'L']).2.unwrap().contains("256"), "longer than a login");
    assert!(live(&[0, 1, b'L']).2.unwrap().contains("payload of 0 bytes"));
    assert!(live(&no_number).2.unwrap().contains("requested sequence"));
    assert_eq!(live(&no_number).1, "JS");
    assert_eq!(live(&twice), finish("", "a second login request"));
    assert!(live(&zero).2.unwrap().contains("has length 0"));
    // Heartbeats and debug text may be sent at any time.
    let patient = [&[0, 1, b'R', 0, 3, b'+', b'h', b'i'][..], &login].concat();
    assert_eq!(live(&patient), (Step::Wait, "A1 1 2 3".to_string(), None));
}

#[test]
fn packets_of_a_client_are_counted_or_skipped() {
    let tape = GrowingTape::new(Arc::new(Tape::sample(5)), "1/s".parse().unwrap(), 1, 2);
    let mut session = Session::new(tape, Scenario::clean(1));
    session.login(1);
    for packet in [
        Packet::Unsequenced(b"order"),
        Packet::Unknown { kind: b'?', payload: b"new" },
        Packet::ClientHeartbeat,
        Packet::Debug(b"hello"),
        Packet::Unsequenced(&[0; 65_534]),
    ] {
        session.send(packet);
    }
    assert_eq!((session.run(), session.said().as_str()), (Step::Wait, "A1 1 2 3"));
    assert_eq!(session.exchange.stats().soup.unsequenced, 2);
    session.send(Packet::LogoutRequest);
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.events().last(), Some(&SoupEvent::LoggedOut));
}

#[test]
fn clients_that_are_silent_are_given_up() {
    let mut session = sample(Scenario::clean(1));
    assert!(session.exchange.is_idle(&session.conn));
    assert_eq!(session.exchange.deadline(&session.conn), Some(SECOND + LOGIN_TIMEOUT));
    assert_eq!(session.run_until(SECOND * 100), Step::Close);
    assert_eq!(session.now, SECOND + LOGIN_TIMEOUT);
    assert_eq!(session.events(), [SoupEvent::TimedOut(SoupTimeout::Login)]);
    // A live session: the client reads, but sends no heartbeat.
    let limits = [
        (None, CLIENT_TIMEOUT),
        (Some(0), CLIENT_TIMEOUT),
        (Some(1), CLIENT_TIMEOUT_MIN),
        (Some(5000), Duration::from_secs(5)),
        (Some(99_999), Duration::from_millis(99_999)),
    ];
    for (millis, timeout) in limits {
        let tape = GrowingTape::new(Arc::new(Tape::sample(1000)), "1/s".parse().unwrap(), 1, 2);
        let mut session = Session::new(tape, Scenario::clean(1));
        let heartbeat_timeout = millis.and_then(HeartbeatTimeout::from_millis);
        session.send(Packet::LoginRequest(LoginRequest { heartbeat_timeout, ..request(1) }));
        assert!(!session.exchange.is_idle(&session.conn));
        let half = session.now + timeout / 2;
        assert_eq!(session.run_until(half), Step::Wait);
        session.send(Packet::ClientHeartbeat);
        assert_eq!(session.run_until(SECOND * 1000), Step::Close);
        assert_eq!(session.now, half + timeout);
        assert_eq!(session.events().last(), Some(&SoupEvent::TimedOut(SoupTimeout::Heartbeat)));
        assert_eq!(session.exchange.stats().soup.timeouts, 1);
    }
}

#[test]
fn a_live_session_has_heartbeats_between_messages_and_an_end_behind_them() {
    let tape = GrowingTape::new(Arc::new(Tape::sample(3)), "bursts:1/s:3".parse().unwrap(), 1, 0);
    let mut session = Session::new(tape, Scenario::clean(1));
    session.login(1);
    session.run_until(SECOND * 10);
    assert_eq!(session.said(), "A1 1 2 3 Z");
    let tape = || GrowingTape::new(Arc::new(Tape::sample(5)), "1/s".parse().unwrap(), 1, 3);
    let mut slow = Session::new(tape(), Scenario::clean(1));
    slow.exchange.tick(SECOND);
    slow.login(0);
    // The fourth message is due at once, the fifth a second later.
    slow.run_until(SECOND * 10);
    assert_eq!(slow.said(), "A5 5 Z");
    // Every half a second would be too late for no heartbeat, every 2.5 seconds brings two.
    let rare = "bursts:2/s:5".parse().unwrap();
    let mut rare =
        Session::new(GrowingTape::new(Arc::new(Tape::sample(10)), rare, 1, 0), Scenario::clean(1));
    rare.login(1);
    rare.run_until(SECOND * 10);
    assert_eq!(rare.said(), "A1 1 2 3 4 5 H H 6 7 8 9 10 Z");
    assert_eq!(rare.exchange.stats().soup.heartbeats, 2);
}
