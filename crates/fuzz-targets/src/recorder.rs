//! The recorder as an operation list: whatever happens on its connections, in whatever order, what
//! it believes stays true, it asks for nothing that an exchange would die of, and it comes to its
//! end once every connection fails.

use arbitrary::Arbitrary;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::client::{ConnId, Input, LineProtocol, Output, Recorder, RecorderOptions, SoupLogin};
use feed::ledger::{Limits, Origin, Sink};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::soup::{Framer, LoginAccepted, Packet, Received, RejectReason, Text};
use feed::wire::{
    Call, CallDecoder, Frame, Info, MAX_PACKET_SEQ, Messages, NotAvailable, Protocol, Reason,
    SessionId, encode, sequence_of,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

static TAPE: LazyLock<Tape> = LazyLock::new(|| Tape::sample(400));

/// Maximum number of steps to the recorder's end once every connection fails.
const STEPS_MAX: u32 = 50_000;

/// Missing ranges of an earlier recording, each a first sequence and a length.
type MissingRanges = Vec<(u16, u8)>;

#[derive(Arbitrary, Debug)]
pub(crate) struct DrawnOptions {
    classic: bool,
    last: Option<u16>,
    passes: Option<u8>,
    window: u16,
    retries: u8,
    gaps: u8,
    backpressure_gaps: u8,
    /// Protocols of the lines: one bit for each, and their number in the highest ones.
    lines: u8,
    resumes: Option<(u16, MissingRanges, bool)>,
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Op<'a> {
    Connected(u8),
    Failed(u8),
    /// Packets of the tape.
    Packets(u8, u16, u8),
    Info(u8, i32, bool),
    Refusal(u8, u32, u32, u8),
    /// Acceptance of a login: the requested sequence and this distance to it.
    Accept(u8, bool, i8),
    Reject(u8, u8),
    /// Messages of the tape from the accepted sequence on.
    Messages(u8, u8),
    /// Messages that are no order packets.
    Text(u8, &'a [u8]),
    EndOfSession(u8),
    SoupHeartbeat(u8),
    Heartbeat(u8, u32),
    End(u8, u32),
    Raw(u8, &'a [u8]),
    Ended(u8),
    Broken(u8),
    Pass(u32),
    Deadline,
    Stop,
}

/// A connection as its peer sees it.
struct Peer {
    open: bool,
    calls: CallDecoder,
    streamed: bool,
    /// Connection of a SoupBinTCP line: what the recorder sends on it, and the next message.
    soup: Option<(Framer, u64)>,
}

/// Recording that keeps order packets, and counts messages that are none.
#[derive(Default)]
struct Recording {
    packets: MemoryRecording,
    messages: u64,
}

impl Sink for Recording {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        match messages {
            Messages::Packets(_) => self.packets.on_messages(origin, messages, now),
            Messages::Run(_) => self.messages += messages.len(),
        }
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.packets.on_duplicates(origin, messages)
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.packets.on_session(info, vouched, now)
    }
}

struct World {
    recorder: Recorder,
    recording: Recording,
    now: Duration,
    peers: BTreeMap<ConnId, Peer>,
    given_last: Seq,
    resumed: bool,
}

fn recorder(drawn: &DrawnOptions) -> Recorder {
    let options = RecorderOptions {
        classic: drawn.classic,
        last: drawn.last.map(Seq::from),
        passes: drawn.passes.map(u32::from),
        window: u32::from(drawn.window),
        retries: u32::from(drawn.retries % 6),
        limits: Limits {
            max_gaps: usize::from(drawn.gaps) + 1,
            backpressure_gaps: usize::from(drawn.backpressure_gaps) + 1,
            ..Limits::default()
        },
        ..RecorderOptions::default()
    };
    let line = |number: u16| match drawn.lines >> number & 1 {
        0 => LineProtocol::Betacrew,
        _ => LineProtocol::Soup(SoupLogin::default()),
    };
    let lines: Vec<LineProtocol> = (0..u16::from(drawn.lines >> 4) % 3 + 1).map(line).collect();
    let Some((highest, missing, known)) = &drawn.resumes else {
        return Recorder::new(options, lines);
    };
    let range = |&(first, count): &(u16, u8)| SeqRange::counted(first.into(), count.into());
    let missing: SeqSet = missing.iter().filter_map(range).collect();
    let last = (*highest).into();
    let session = Info { session: SessionId::of(*b"FUZZ"), version: 1, first: 1, last };
    let session = known.then_some(session);
    Recorder::resume(options, lines, (*highest).into(), &missing, session)
}

/// Checks what the recorder sends on a SoupBinTCP connection: a login to a message that can be
/// next, heartbeats, a logout.
fn hear(framer: &mut Framer, next: &mut u64, bytes: &[u8], highest: Seq) {
    let mut rest = bytes;
    while let Some(received) = framer.next(&mut rest).expect("whole packets") {
        let Received::Other(packet) = received else { panic!("a client sends no messages") };
        match packet.decode().expect("it is legal") {
            Packet::LoginRequest(request) => {
                assert!(request.sequence <= highest + 1, "{request}");
                *next = request.sequence.max(1);
            }
            Packet::ClientHeartbeat | Packet::LogoutRequest => {}
            other => panic!("{other}"),
        }
    }
}

impl World {
    fn new(drawn: &DrawnOptions) -> Self {
        let mut world = Self {
            recorder: recorder(drawn),
            recording: Recording::default(),
            now: Duration::ZERO,
            peers: BTreeMap::new(),
            given_last: drawn.last.map_or(0, Seq::from),
            resumed: drawn.resumes.is_some(),
        };
        world.give(Input::Wake);
        world
    }

    fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.now, &mut self.recording);
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Connect { conn, line } => {
                    let calls = CallDecoder::new();
                    let protocol = self.recorder.line(line).expect("it is a line").protocol;
                    let soup = (protocol == Protocol::Soup).then(|| (Framer::new(), 1));
                    let new = Peer { open: false, calls, streamed: false, soup };
                    assert!(self.peers.insert(conn, new).is_none(), "a number twice");
                }
                Output::Finish(conn) => assert!(self.peers.contains_key(&conn)),
                Output::Drop(conn) => {
                    assert!(self.peers.remove(&conn).is_some(), "it never was");
                }
                Output::Join { .. } | Output::Request { .. } | Output::Leave { .. } => {}
                Output::Note(_) => {}
            }
        }
        self.look();
        self.answer();
    }

    /// Checks the invariants that hold at all times.
    fn look(&self) {
        let ledger = self.recorder.ledger();
        let mut before = 0;
        for frame in self.recording.packets.in_order().flatten() {
            let seq = sequence_of(frame);
            assert!(seq > before && seq <= ledger.highest(), "{seq} after {before}");
            before = seq;
        }
        let gaps: SeqSet = ledger.gaps().ranges().collect();
        assert_eq!(gaps.count(), ledger.gaps().missing());
        assert!(gaps.ranges().iter().all(|gap| {
            (gap.first()..=gap.last())
                .take(500)
                .all(|seq| self.recording.packets.get(seq).is_none())
        }));
        if !self.resumed {
            let recorded = self.recording.packets.len() as u64 + self.recording.messages;
            assert_eq!(recorded, ledger.recorded());
        }
        assert_eq!(
            self.recorder.is_done(),
            self.recorder.outcome().is_some() && self.peers.is_empty()
        );
    }

    /// Takes the recorder's calls, and checks that an original exchange would survive them.
    fn answer(&mut self) {
        for (&conn, peer) in &mut self.peers {
            let mut sent = Vec::new();
            self.recorder.transmit(conn, self.now, &mut self.recording, &mut sent);
            assert!(peer.open || sent.is_empty(), "bytes before there is a connection");
            assert!(!peer.streamed || sent.is_empty(), "bytes after a stream call");
            let mut rest = &sent[..];
            if let Some((framer, next)) = &mut peer.soup {
                let ledger = self.recorder.ledger();
                hear(framer, next, rest, ledger.highest().max(ledger.end().unwrap_or(0)));
                continue;
            }
            while let Some(call) = peer.calls.next(&mut rest) {
                let highest = self.recorder.ledger().highest().max(self.given_last);
                match call {
                    Call::Stream => peer.streamed = true,
                    Call::Resend(seq) => assert!((1..=highest.min(127)).contains(&seq), "{seq}"),
                    Call::ResendRange { first, count } => {
                        assert!(first >= 1 && count >= 1 && count <= highest - first + 1);
                    }
                    Call::Describe { .. } => {}
                    Call::Subscribe { first } if self.recorder.is_following() => {
                        assert!(first >= 1 && first <= highest + 1, "{first}");
                    }
                    Call::Subscribe { .. } | Call::Unknown(_) => panic!("{call:?}"),
                }
            }
        }
    }

    fn conn(&self, number: u8) -> Option<ConnId> {
        let count = self.peers.len().max(1);
        self.peers.keys().nth(usize::from(number) % count).copied()
    }

    fn bring(&mut self, number: u8, bytes: &[u8]) {
        let Some(conn) = self.conn(number) else { return };
        if self.peers[&conn].open && self.recorder.wants_input(conn) {
            self.give(Input::Received(conn, bytes));
        }
    }

    fn run(&mut self, op: Op<'_>) {
        match op {
            Op::Connected(number) => {
                let Some(conn) = self.conn(number) else { return };
                let peer = self.peers.get_mut(&conn).expect("it is one of them");
                if !std::mem::replace(&mut peer.open, true) {
                    self.give(Input::Connected(conn));
                }
            }
            Op::Failed(number) | Op::Broken(number) | Op::Ended(number) => {
                let Some(conn) = self.conn(number) else { return };
                self.give(match (self.peers[&conn].open, op) {
                    (false, _) => Input::ConnectFailed(conn),
                    (true, Op::Ended(_)) => Input::Ended(conn),
                    (true, _) => Input::Broken(conn),
                });
            }
            Op::Packets(number, first, count) => {
                let range = SeqRange::counted(Seq::from(first % 420) + 1, count.into());
                let frames = range.map_or(&[][..], |range| TAPE.slice(range));
                self.bring(number, frames.as_flattened());
            }
            Op::Raw(number, bytes) => self.bring(number, bytes),
            Op::Accept(..)
            | Op::Reject(..)
            | Op::Messages(..)
            | Op::Text(..)
            | Op::EndOfSession(_)
            | Op::SoupHeartbeat(_) => self.soup(&op),
            Op::Pass(micros) => {
                self.now += Duration::from_micros(micros.into());
                self.give(Input::Wake);
            }
            Op::Deadline => self.wake(),
            Op::Stop => self.give(Input::Stop),
            op => self.message(&op),
        }
    }

    /// Sends packets of SoupBinTCP, on whatever connection.
    fn soup(&mut self, op: &Op<'_>) {
        let (Op::Accept(number, ..)
        | Op::Reject(number, _)
        | Op::Messages(number, _)
        | Op::Text(number, _)
        | Op::EndOfSession(number)
        | Op::SoupHeartbeat(number)) = *op
        else {
            return;
        };
        let Some(conn) = self.conn(number) else { return };
        let mut next = self.peers[&conn].soup.as_ref().map_or(1, |(_, next)| *next);
        let mut bytes = Vec::new();
        let mut send = |packet: Packet<'_>| packet.encode(&mut bytes).expect("it fits");
        match *op {
            Op::Accept(_, own, by) => {
                next = next.saturating_add_signed(by.into());
                let session = Text::new(if own { "FUZZ" } else { "ELSE-LONG" }).expect("it fits");
                send(Packet::LoginAccepted(LoginAccepted { session, sequence: next }));
            }
            Op::Reject(_, code) => {
                send(Packet::LoginRejected(RejectReason::from_code(code)));
            }
            Op::Messages(_, count) => {
                for frame in (0..count).map_while(|_| {
                    let seq = next.checked_sub(1).and_then(|at| usize::try_from(at).ok())?;
                    next += 1;
                    TAPE.frames().get(seq)
                }) {
                    send(Packet::Sequenced(frame));
                }
            }
            Op::Text(_, text) => {
                send(Packet::Sequenced(text));
                next += 1;
            }
            Op::EndOfSession(_) => send(Packet::EndOfSession),
            _ => send(Packet::ServerHeartbeat),
        }
        if let Some((_, place)) = self.peers.get_mut(&conn).and_then(|peer| peer.soup.as_mut()) {
            *place = next;
        }
        self.bring(number, &bytes);
    }

    fn message(&mut self, op: &Op<'_>) {
        let (number, frame) = match *op {
            Op::Info(number, last, own) => {
                let session = SessionId::of(if own { *b"FUZZ" } else { *b"ELSE" });
                let last = Seq::try_from(last).unwrap_or(400);
                (number, Frame::Info(Info { session, version: 1, first: 1, last }))
            }
            Op::Refusal(number, first, count, reason) => {
                // It is written as the number that it is.
                let reason = Reason::Other(reason.into());
                (
                    number,
                    Frame::NotAvailable(NotAvailable {
                        first: first.into(),
                        count: count.into(),
                        reason,
                    }),
                )
            }
            Op::Heartbeat(number, next) => {
                (number, Frame::Heartbeat(Seq::from(next).clamp(1, MAX_PACKET_SEQ)))
            }
            Op::End(number, next) => (number, Frame::End(Seq::from(next).clamp(1, MAX_PACKET_SEQ))),
            _ => return,
        };
        self.bring(number, &encode(&frame));
    }

    fn wake(&mut self) {
        if let Some(deadline) = self.recorder.deadline() {
            self.now = self.now.max(deadline);
            self.give(Input::Wake);
        }
    }

    /// Makes every exchange unreachable.
    fn end(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.recorder.is_done() {
                let outcome = self.recorder.outcome().expect("it is done");
                let gaps: SeqSet = self.recorder.ledger().gaps().ranges().collect();
                assert!(gaps.ranges().iter().all(|gap| outcome.missing.contains(gap.first())));
                return;
            }
            match self.conn(0) {
                Some(conn) if self.peers[&conn].open => self.give(Input::Broken(conn)),
                Some(conn) => self.give(Input::ConnectFailed(conn)),
                None => {
                    assert!(self.recorder.deadline().is_some(), "it waits for nothing");
                    self.wake();
                }
            }
        }
        panic!("it does not come to its end");
    }
}

pub(crate) fn run(input: (DrawnOptions, Vec<Op<'_>>)) {
    let (drawn, ops) = input;
    let mut world = World::new(&drawn);
    ops.into_iter().take(200).for_each(|op| world.run(op));
    world.end();
}
