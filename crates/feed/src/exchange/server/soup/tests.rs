//! Tests of connections in SoupBinTCP, without sockets.

use super::*;
use crate::base::seq::SeqRange;
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
        for message in self.messages.iter().skip(range.first() as usize - 1) {
            if count == self.at_once || count == range.len() as usize {
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

#[test]
fn bytes_are_the_same_however_the_socket_takes_them() {
    let messages: Vec<Vec<u8>> =
        (0..40_usize).map(|at| vec![b'a' + (at % 26) as u8; at * at % 97]).collect();
    let mut expected = None;
    for framing in [Framing::Length, Framing::LengthAndType] {
        for (at_once, room, most) in
            [(1000, 1 << 16, usize::MAX), (3, 1 << 16, 7), (7, 5, 5), (1, 1, 1), (4, 300, 299)]
        {
            let tape = MessageTape::new(messages.clone(), framing, at_once);
            let mut session = Session::new(tape, Scenario::clean(1));
            session.login(1);
            while session.take(room, most) > 0 {}
            assert_eq!(session.exchange.stats().packets, 40);
            let total = session.exchange.faults().tally().total();
            assert_eq!((total.sent, total.dropped), (40, 0));
            let expected = expected.get_or_insert_with(|| session.received.clone());
            assert!(session.received == *expected, "{framing:?} {at_once} {room} {most}");
        }
    }
    let (mut rest, mut found) = (&expected.as_deref().unwrap()[33..], Vec::new());
    while let Ok(Some((raw, after))) = RawPacket::split_first(rest) {
        if let Packet::Sequenced(message) = raw.decode().unwrap() {
            found.push(message.to_vec());
        }
        rest = after;
    }
    assert_eq!(found, messages);
}

#[test]
fn orders_are_the_same_however_the_socket_takes_them() {
    let mut expected = None;
    for (room, most) in [(1 << 16, usize::MAX), (1, 1), (19, 19), (20, 20), (21, 3), (777, 500)] {
        let mut session = Session::new(Arc::new(Tape::random(300, 1)), Scenario::clean(1));
        session.login(1);
        while session.take(room, most) > 0 {}
        assert_eq!(session.exchange.stats().packets, 300);
        let expected = expected.get_or_insert_with(|| session.received.clone());
        assert!(session.received == *expected, "{room} {most}");
    }
}

#[test]
fn a_message_that_no_packet_can_carry_ends_the_connection() {
    let tape = MessageTape::new(vec![vec![1; 9], vec![0; 65_535]], Framing::Length, 10);
    let mut session = Session::new(tape, Scenario::clean(1));
    session.login(1);
    assert_eq!(session.run(), Step::Finish);
    assert_eq!((session.said().as_str(), session.received.len()), ("A1 S", 33 + HEADER_BYTES + 9));
    assert_eq!(session.events().last(), Some(&SoupEvent::MessageTooLong { seq: 2 }));
}

#[test]
fn a_pace_counts_from_the_first_message_of_the_login() {
    for (first, said) in [(1, "A1 1 2 3 4 5 Z"), (3, "A3 3 4 5 Z")] {
        let scenario = Scenario { pace: Pace::PerSecond(10), ..Scenario::clean(1) };
        let mut session = sample(scenario);
        session.login(first);
        session.run();
        assert_eq!(session.said(), alloc::format!("A{first} {first}"));
        assert_eq!(session.run_until(SECOND * 10), Step::Finish);
        assert_eq!(session.said(), said);
        let took = session.now - SECOND;
        let expected = Duration::from_millis(100 * (5 - first));
        assert!(took >= expected && took < expected + Duration::from_millis(5), "{took:?}");
    }
}

#[test]
fn faults_of_logins() {
    let second = |action| {
        let mut fault = fault(action, FaultPlace::Login);
        fault.times = Some(1);
        Scenario::clean(1).with(fault)
    };
    let reason = RejectReason::NotAuthorized;
    let mut session = sample(second(FaultAction::Reject { reason }));
    session.login(1);
    assert_eq!((session.run(), session.said().as_str()), (Step::Finish, "JA"));
    session.reconnect();
    session.login(1);
    session.run();
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z", "rejected once");

    let shift = |by, direction| FaultAction::Shift { by, direction };
    let none = Span::one(0);
    let debug = FaultAction::Insert { packet: ExtraPacket::Debug, bytes: Span::one(3) };
    for (action, first, said, step) in [
        (FaultAction::Reject { reason: RejectReason::SessionNotAvailable }, 1, "JS", Step::Finish),
        (shift(2, Direction::Later), 2, "A4 4 5 Z", Step::Finish),
        (shift(9, Direction::Later), 2, "A6 Z", Step::Finish),
        (shift(1, Direction::Earlier), 4, "A3 3 4 5 Z", Step::Finish),
        (shift(9, Direction::Earlier), 4, "A1 1 2 3 4 5 Z", Step::Finish),
        (
            FaultAction::Duplicate { copies: 1, after: none, changed: None },
            4,
            "A4 A4 4 5 Z",
            Step::Finish,
        ),
        (debug, 5, "+ A5 5 Z", Step::Finish),
        (FaultAction::Close { bytes: 0 }, 1, "", Step::Finish),
        (FaultAction::Silence, 1, "", Step::Wait),
    ] {
        let mut session = sample(with(action, FaultPlace::Login));
        session.login(first);
        assert_eq!((session.run(), session.said().as_str()), (step, said), "{action:?}");
        assert_eq!(session.exchange.faults().times_applied(0), 1);
    }
    let time = TimeSpan::one(SECOND);
    let mut slow = sample(with(FaultAction::Delay { time }, FaultPlace::Login));
    slow.login(5);
    assert_eq!((slow.run(), slow.said().as_str()), (Step::Wait, ""));
    assert_eq!(slow.run_until(SECOND * 5), Step::Finish);
    assert_eq!((slow.now, slow.said().as_str()), (SECOND * 2, "A5 5 Z"));
}

#[test]
fn faults_of_messages() {
    let insert = |packet, bytes| FaultAction::Insert { packet, bytes: Span::one(bytes) };
    for (action, said, step) in [
        (FaultAction::Close { bytes: 0 }, "A1 1 2", Step::Finish),
        (FaultAction::Close { bytes: 1 }, "A1 1 2 1 bytes", Step::Finish),
        (FaultAction::Close { bytes: 17 }, "A1 1 2 17 bytes", Step::Finish),
        (FaultAction::Silence, "A1 1 2", Step::Wait),
        (FaultAction::EndSession, "A1 1 2 Z", Step::Finish),
        (insert(ExtraPacket::Debug, 9), "A1 1 2 + 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unsequenced, 0), "A1 1 2 U 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unsequenced, 65_534), "A1 1 2 U 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unknown, 65_534), "A1 1 2 ? 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Heartbeat, 0), "A1 1 2 H 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::NoLength, 0), "A1 1 2 no length 3 4 5 Z", Step::Finish),
    ] {
        for (room, most) in [(1 << 17, usize::MAX), (1 << 17, 1000), (100, 33)] {
            let mut session = sample(at_three(action));
            session.login(1);
            while session.take(room, most) > 0 {}
            let ended = session.run();
            assert_eq!((ended, session.said().as_str()), (step, said), "{action:?}");
            assert_eq!(session.exchange.faults().times_applied(0), 1);
        }
    }
    let mut reset = sample(at_three(FaultAction::Reset { bytes: 2 }));
    reset.login(1);
    assert_eq!(reset.run_until(SECOND * 5), Step::Reset);
    assert_eq!(reset.said(), "A1 1 2 2 bytes");
    let mut held = sample(at_three(FaultAction::Hold));
    held.login(1);
    assert_eq!(held.run_until(SECOND * 4), Step::Wait);
    assert_eq!(held.said(), "A1 1 2 H H H");
}

#[test]
fn faults_that_strike_other_protocols_are_not_applied() {
    let change = FaultAction::Duplicate { copies: 1, after: Span::one(0), changed: None };
    let by = Span::one(1);
    for action in [FaultAction::Drop, change, FaultAction::Reorder { by }] {
        let mut session = sample(at_three(action));
        session.login(1);
        session.run();
        assert_eq!(session.said(), "A1 1 2 3 4 5 Z", "{action:?}");
        assert_eq!(session.exchange.faults().times_applied(0), 0);
    }
}

#[test]
fn writes_have_the_size_that_a_fault_sets() {
    let write = |size| {
        let pause = TimeSpan::one(Duration::ZERO);
        with(FaultAction::Write { size, pause }, FaultPlace::Stream)
    };
    let sizes = |scenario| {
        let mut session = sample(scenario);
        session.login(1);
        let mut sizes = Vec::new();
        while let count @ 1.. = session.take(1 << 16, usize::MAX) {
            sizes.push(count);
        }
        assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
        sizes
    };
    let whole = sizes(Scenario::clean(1));
    assert_eq!(whole, [33 + 5 * 20 + 3]);
    assert_eq!(sizes(write(WriteSize::Packets(Span::one(2)))), [33, 40, 40, 23]);
    assert_eq!(
        sizes(write(WriteSize::Bytes(Span::one(1)))),
        [vec![33], vec![1; 100], vec![3]].concat()
    );
    assert_eq!(sizes(write(WriteSize::Bytes(Span::one(30)))), [33, 30, 30, 30, 13]);
}

#[test]
fn faults_of_the_end_and_of_heartbeats() {
    let mut missing = sample(with(FaultAction::Drop, FaultPlace::End));
    missing.login(5);
    assert_eq!(missing.run_until(SECOND * 3), Step::Wait);
    assert_eq!(missing.said(), "A5 5 H H");
    assert_eq!(missing.exchange.stats().soup.withheld, 1);
    let mut none = sample(
        with(FaultAction::Drop, FaultPlace::End)
            .with(fault(FaultAction::Drop, FaultPlace::Heartbeat)),
    );
    none.login(5);
    assert_eq!(none.run_until(SECOND * 3), Step::Wait);
    assert_eq!(none.said(), "A5 5");
    assert_eq!(none.exchange.stats().soup.withheld, 3);
}

#[test]
fn orders_and_other_faults_reach_a_connection() {
    let mut session = Session::new(Arc::new(Tape::sample(1000)), Scenario::clean(1));
    session.login(1);
    session.take(1 << 16, 33 + 25);
    session.exchange.stall(&mut session.conn, SECOND, SECOND);
    assert_eq!((session.run(), session.take(99, 99)), (Step::Wait, 0));
    session.now = SECOND * 2;
    // The message that is partly sent is sent to its end, and then the fault applies.
    session.exchange.set_scenario(with(FaultAction::EndSession, FaultPlace::Stream));
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.said(), "A1 1 2 Z");
    for (how, step) in [(CutKind::Close, Step::Finish), (CutKind::Reset, Step::Reset)] {
        let mut session = Session::new(Arc::new(Tape::sample(1000)), Scenario::clean(1));
        session.login(1);
        session.take(1 << 16, 33 + 25);
        session.exchange.cut(&mut session.conn, how);
        assert_eq!(
            (session.take(99, 99), session.exchange.step(&mut session.conn, SECOND)),
            (0, step)
        );
        assert_eq!(session.exchange.stats().cut, 1);
    }
}

#[test]
fn faults_that_are_gone_let_messages_go_on() {
    let mut session = sample(at_three(FaultAction::Hold));
    session.login(1);
    session.run();
    assert_eq!(session.said(), "A1 1 2");
    session.exchange.set_scenario(Scenario::clean(1));
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
}

#[test]
fn a_client_of_a_live_session_that_is_too_slow_is_cut_off_if_the_scenario_says_so() {
    let tape = GrowingTape::new(Arc::new(Tape::sample(1000)), "100/s".parse().unwrap(), 1, 0);
    let scenario = Scenario { slow: SlowSubscriberPolicy::Cut(50), ..Scenario::clean(1) };
    let mut session = Session::new(tape, scenario);
    session.login(1);
    session.run_until(SECOND * 2);
    session.now = SECOND * 4;
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.exchange.stats().skipped, 200);
}
