//! SoupBinTCP lines driven by hand: a test plays the exchange, packet by packet.

use feed::base::seq::{Seq, SeqSet};
use feed::client::{
    ConnId, IncompleteReason, Input, LineProtocol, Output, Recorder, RecorderEvent,
    RecorderOptions, SoupLogin, SoupViolation, Tail, UndecodableError,
};
use feed::ledger::{Origin, Sink};
use feed::session::completeness::{Completeness, Facts};
use feed::tape::in_memory::Tape;
use feed::wire::soup::{Framer, LoginAccepted, LoginRequest, Packet, Password, Received, Text};
use feed::wire::{Call, CallDecoder, Frame, Info, Messages, SessionId, encode};
use std::collections::BTreeMap;
use std::time::Duration;

/// Sink that keeps every message, and how it was handed on.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) messages: BTreeMap<Seq, Vec<u8>>,
    pub(crate) packets: u64,
    pub(crate) session: Option<SessionId>,
}

impl Sink for Kept {
    fn on_messages(&mut self, _: Origin, messages: Messages<'_>, _: Duration) {
        self.packets += messages.packets().len() as u64;
        for (seq, message) in messages.iter() {
            assert!(self.messages.insert(seq, message.to_vec()).is_none(), "{seq} is new twice");
        }
    }

    fn on_duplicates(&mut self, _: Origin, messages: Messages<'_>) -> u32 {
        let differ = |(seq, message): &(Seq, &[u8])| self.messages[seq] != *message;
        messages.iter().filter(differ).count() as u32
    }

    fn on_session(&mut self, info: Info, _: &[Origin], _: Duration) -> SeqSet {
        self.session = Some(info.session);
        SeqSet::new()
    }
}

/// Recorder whose exchange is the test.
pub(crate) struct ByHand {
    pub(crate) recorder: Recorder,
    pub(crate) sink: Kept,
    pub(crate) now: Duration,
    /// Stream of each line.
    pub(crate) conns: Vec<Option<ConnId>>,
    pub(crate) notes: Vec<RecorderEvent>,
    pub(crate) finished: Vec<ConnId>,
}

pub(crate) fn login() -> SoupLogin {
    SoupLogin {
        user: Text::new("ann").unwrap(),
        password: Password::new(Text::new("secret").unwrap()),
        ..SoupLogin::default()
    }
}

pub(crate) fn options() -> RecorderOptions {
    RecorderOptions { retries: 2, ..RecorderOptions::default() }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl ByHand {
    pub(crate) fn new() -> Self {
        Self::of(Recorder::new(options(), [LineProtocol::Soup(login())]))
    }

    pub(crate) fn of(recorder: Recorder) -> Self {
        let conns = vec![None; recorder.line_count()];
        let mut hand = Self {
            recorder,
            sink: Kept::default(),
            now: Duration::ZERO,
            conns,
            notes: Vec::new(),
            finished: Vec::new(),
        };
        hand.give(Input::Wake);
        hand
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.now, &mut self.sink);
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Connect { conn, line } => {
                    self.conns[usize::from(line)].get_or_insert(conn);
                }
                Output::Drop(conn) => {
                    let dropped = |known: &&mut Option<ConnId>| **known == Some(conn);
                    self.conns.iter_mut().filter(dropped).for_each(|known| *known = None);
                }
                Output::Finish(conn) => self.finished.push(conn),
                Output::Note(note) => self.notes.push(note),
                Output::Join { .. } | Output::Request { .. } | Output::Leave { .. } => {}
            }
        }
    }

    /// Returns the packets that the recorder sends on a line now.
    pub(crate) fn sent(&mut self, line: usize) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let conn = self.conns[line].unwrap();
        self.recorder.transmit(conn, self.now, &mut self.sink, &mut bytes);
        let (mut framer, mut rest, mut packets) = (Framer::new(), &bytes[..], Vec::new());
        while let Some(Received::Other(packet)) = framer.next(&mut rest).unwrap() {
            packets.push(packet.as_bytes().to_vec());
        }
        packets
    }

    /// Waits until the recorder connects, and returns its login.
    pub(crate) fn login(&mut self) -> LoginRequest {
        self.login_on(0)
    }

    pub(crate) fn login_on(&mut self, line: usize) -> LoginRequest {
        for _ in 0..20 {
            if self.conns[line].is_some() {
                break;
            }
            self.wake();
        }
        self.give(Input::Connected(self.conns[line].expect("the recorder connects")));
        let packets = self.sent(line);
        let [request] = &packets[..] else { panic!("{packets:?}") };
        let (packet, _) = feed::wire::soup::RawPacket::split_first(request).unwrap().unwrap();
        match packet.decode().unwrap() {
            Packet::LoginRequest(request) => request,
            other => panic!("{other}"),
        }
    }

    pub(crate) fn wake(&mut self) {
        self.now = self.now.max(self.recorder.deadline().expect("something is due"));
        self.give(Input::Wake);
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.recorder.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.give(Input::Wake);
            // The socket takes what there is to send.
            if self.conns[0].is_some() {
                self.sent(0);
            }
        }
        self.now = until;
    }

    /// Sends bytes, which do not arrive if the recorder has closed the connection.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if let Some(conn) = self.conns[0] {
            self.give(Input::Received(conn, bytes));
        }
    }

    pub(crate) fn packets(&mut self, packets: &[Packet<'_>]) {
        self.receive(&encoded(packets));
    }

    pub(crate) fn accept(&mut self, sequence: u64) {
        self.packets(&[accepted(sequence)]);
    }

    /// Sends the messages with these sequences.
    pub(crate) fn messages(&mut self, range: std::ops::RangeInclusive<u64>) {
        let texts: Vec<String> = range.map(|seq| format!("message {seq}")).collect();
        let packets = texts.iter().map(|text| Packet::Sequenced(text.as_bytes()));
        self.packets(&packets.collect::<Vec<_>>());
    }

    /// Checks that exactly the messages from 1 to `last` are recorded.
    pub(crate) fn has(&self, last: u64) {
        let all = (1..).zip(self.sink.messages.iter());
        for (number, (seq, message)) in all {
            assert_eq!(*seq, number);
            assert_eq!(message, format!("message {number}").as_bytes());
        }
        assert_eq!(self.sink.messages.len() as u64, last);
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts::of(&self.recorder, self.sink.messages.len() as u64)
    }

    pub(crate) fn why(&self) -> Option<IncompleteReason> {
        self.recorder.outcome().expect("it is over").reason
    }

    pub(crate) fn stats(&self) -> feed::client::SoupStats {
        self.recorder.line(0).unwrap().soup
    }

    pub(crate) fn violation(&self) -> Option<(u64, SoupViolation)> {
        self.recorder.violations().first_undecodable.map(|(offset, error)| match error {
            UndecodableError::Soup(violation) => (offset, violation),
            UndecodableError::Frame(error) => panic!("{error}"),
        })
    }
}

pub(crate) fn encoded(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
    bytes
}

pub(crate) fn accepted(sequence: u64) -> Packet<'static> {
    of_session("DAY1", sequence)
}

pub(crate) fn of_session(session: &str, sequence: u64) -> Packet<'static> {
    Packet::LoginAccepted(LoginAccepted { session: Text::new(session).unwrap(), sequence })
}

#[test]
fn a_session_is_recorded_up_to_its_end() {
    let mut hand = ByHand::new();
    let request = hand.login();
    assert_eq!((request.user, request.session), (login().user, Text::BLANK));
    assert_eq!((request.sequence, request.heartbeat_timeout), (1, None));
    assert!(request.password.matches(&login().password));
    hand.accept(1);
    hand.messages(1..=5);
    hand.packets(&[Packet::EndOfSession]);
    hand.has(5);
    let outcome = hand.recorder.outcome().unwrap();
    assert_eq!((outcome.last, outcome.tail, outcome.reason), (5, Tail::Confirmed, None));
    assert_eq!(hand.facts().completeness(), Completeness::Complete);
    assert_eq!(hand.sink.session, Some(SessionId::of(*b"DAY1")));
    assert!(hand.recorder.is_done(), "nothing is waited for after the end");
}

#[test]
fn an_empty_session_is_complete() {
    let mut hand = ByHand::new();
    hand.login();
    hand.packets(&[accepted(1), Packet::EndOfSession]);
    assert_eq!(hand.why(), None);
    assert_eq!(hand.facts().completeness(), Completeness::Complete);
}

#[test]
fn a_session_that_comes_byte_by_byte_is_the_same() {
    let mut hand = ByHand::new();
    hand.login();
    let mut bytes = encoded(&[accepted(1), Packet::Debug(b"x"), Packet::Sequenced(b"message 1")]);
    bytes.extend(encoded(&[Packet::Unsequenced(b"u"), Packet::Sequenced(b"message 2")]));
    bytes.extend(encoded(&[Packet::Unknown { kind: b'?', payload: b"new" }]));
    bytes.extend(encoded(&[Packet::ServerHeartbeat, Packet::EndOfSession]));
    bytes.chunks(1).for_each(|byte| hand.receive(byte));
    hand.has(2);
    assert_eq!((hand.stats().skipped, hand.stats().heartbeats), (3, 1));
    assert_eq!(hand.why(), None);
}

#[test]
fn after_a_break_no_message_is_requested_twice() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=3);
    // Half a packet is discarded with its connection.
    hand.receive(b"\x00\x0aSmess");
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    let request = hand.login();
    assert_eq!((request.sequence, request.session), (4, Text::new("DAY1").unwrap()));
    hand.accept(4);
    hand.messages(4..=6);
    hand.give(Input::Ended(hand.conns[0].unwrap()));
    assert_eq!(hand.login().sequence, 7);
    hand.accept(7);
    hand.packets(&[Packet::EndOfSession]);
    hand.has(6);
    assert_eq!((hand.why(), hand.recorder.stats().duplicates), (None, 0));
    assert_eq!((hand.stats().logins, hand.recorder.line(0).unwrap().cuts), (3, 2));
}

#[test]
fn an_idle_connection_gets_a_heartbeat_each_second() {
    let mut hand = ByHand::new();
    hand.login();
    hand.wait(seconds(3));
    assert_eq!(hand.sent(0), [b""; 0], "an unanswered login is no reason for a heartbeat");
    hand.accept(1);
    for _ in 0..5 {
        hand.packets(&[Packet::ServerHeartbeat]);
        hand.now += seconds(1);
        hand.give(Input::Wake);
        assert_eq!(hand.sent(0), [b"\x00\x01R"]);
        assert_eq!(hand.sent(0), [b""; 0]);
    }
    // An exchange that does not read gets no more than one.
    for _ in 0..5 {
        hand.now += seconds(1);
        hand.give(Input::Wake);
    }
    assert_eq!(hand.sent(0), [b"\x00\x01R"]);
}

#[test]
fn a_silent_exchange_is_connected_to_again() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=1);
    hand.wait(seconds(14));
    hand.packets(&[Packet::ServerHeartbeat]);
    // Bytes that never become a packet are no sign of life.
    hand.wait(seconds(14));
    hand.receive(b"\x00");
    let first = hand.conns[0];
    hand.wait(seconds(2));
    assert_ne!(hand.conns[0], first);
    assert_eq!(hand.stats().silences, 1);
    assert_eq!(hand.login().sequence, 2);
    // A login that is never answered is a silence, too.
    hand.wait(seconds(11));
    assert_eq!(hand.stats().silences, 2);
}

#[test]
fn a_stop_logs_out_and_takes_what_is_on_its_way() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=2);
    hand.give(Input::Stop);
    assert_eq!(hand.sent(0), [b"\x00\x01O"]);
    assert!(hand.finished.is_empty(), "the exchange closes the connection");
    hand.messages(3..=3);
    hand.give(Input::Ended(hand.conns[0].unwrap()));
    hand.has(3);
    assert_eq!(hand.why(), Some(IncompleteReason::Stopped));
    assert_eq!(hand.facts().completeness(), Completeness::SoFar);

    // An exchange that does not close is not waited for.
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.give(Input::Stop);
    hand.wake();
    assert!(hand.recorder.is_done() && hand.now <= seconds(1));
}

#[test]
fn order_packets_are_recorded_as_packets() {
    let tape = Tape::random(50, 1);
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    let packets = tape.frames().iter().map(|frame| Packet::Sequenced(frame));
    let bytes = encoded(&packets.collect::<Vec<_>>());
    bytes.chunks(70).for_each(|piece| hand.receive(piece));
    hand.packets(&[Packet::EndOfSession]);
    assert_eq!((hand.sink.packets, hand.why()), (50, None));
    assert!(hand.sink.messages.values().zip(tape.frames()).all(|(kept, frame)| kept == frame));
}

#[test]
fn a_message_that_is_no_order_packet_violates_a_session_of_order_packets() {
    let tape = Tape::random(9, 1);
    let [first, second, third] = [0, 1, 2].map(|at| tape.frames()[at]);
    let mut kind = second;
    kind[4] = b'X';
    for (wrong, name) in [
        (&b"text"[..], "short"),
        (&third[..], "sequence of another one"),
        (&kind[..], "side that does not exist"),
    ] {
        let mut hand = ByHand::new();
        hand.login();
        hand.accept(1);
        hand.packets(&[Packet::Sequenced(&first), Packet::Sequenced(wrong)]);
        assert_eq!(hand.sink.packets, 1, "{name}");
        assert!(matches!(hand.violation(), Some((_, SoupViolation::NotAnOrderPacket(2)))));
        assert_eq!(hand.login().sequence, 2);
    }
    // Messages of any length may look like order packets later on.
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.packets(&[Packet::Sequenced(b"text"), Packet::Sequenced(&second)]);
    assert_eq!((hand.sink.messages.len(), hand.sink.packets), (2, 0));
    assert_eq!(hand.violation(), None);
}

/// Answers the describe and subscribe calls of a line that speaks the exercise's protocol.
fn describe(hand: &mut ByHand, line: usize, last: Seq, session: [u8; 4]) -> Vec<Call> {
    let conn = hand.conns[line].unwrap();
    hand.give(Input::Connected(conn));
    let info = Info { session: SessionId::of(session), version: 1, first: 1, last };
    hand.give(Input::Received(conn, &encode(&Frame::Info(info))));
    let mut bytes = Vec::new();
    hand.recorder.transmit(conn, hand.now, &mut hand.sink, &mut bytes);
    let mut decoder = CallDecoder::new();
    let mut rest = &bytes[..];
    std::iter::from_fn(|| decoder.next(&mut rest)).collect()
}

#[test]
fn lines_of_different_protocols_are_lines_of_one_session() {
    for name in ["DAY1", "NASDAQ-1"] {
        let tape = Tape::random(20, 1);
        let lines = [LineProtocol::Soup(login()), LineProtocol::Betacrew];
        let mut hand = ByHand::of(Recorder::new(options(), lines));
        hand.login();
        hand.packets(&[of_session(name, 1)]);
        let packets = |range: std::ops::Range<usize>| {
            let frames = tape.frames()[range].iter();
            frames.map(|frame| Packet::Sequenced(frame)).collect::<Vec<_>>()
        };
        hand.packets(&packets(0..5));
        // The exercise's protocol announces a long name as four characters.
        let long = SessionId::new(Text::<10>::new(name).unwrap().right_padded());
        let calls = describe(&mut hand, 1, 20, long.shortened());
        assert_eq!(calls[1..], [Call::Subscribe { first: 6 }]);
        hand.give(Input::Received(hand.conns[1].unwrap(), tape.frames()[5..20].as_flattened()));
        assert_eq!(hand.sink.packets, 20, "{name}");
        hand.give(Input::Received(hand.conns[1].unwrap(), &encode(&Frame::End(21))));
        assert!(hand.recorder.outcome().is_none(), "the other line may have more");
        hand.packets(&packets(5..20));
        hand.packets(&[Packet::EndOfSession]);
        assert_eq!((hand.why(), hand.recorder.stats().duplicates), (None, 15), "{name}");
        assert!(hand.recorder.line(1).unwrap().other_session.is_none());
    }
}
