//! The recorder as an operation list: whatever happens on its connections, in whatever order, what
//! it believes stays true, it asks for nothing that an exchange would die of, and it comes to its
//! end once every connection fails.

#![no_main]

use arbitrary::Arbitrary;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::client::{ConnId, Input, Output, Recorder, RecorderOptions};
use feed::ledger::Limits;
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::{
    Call, CallDecoder, Frame, Info, MAX_PACKET_SEQ, NotAvailable, Reason, SessionId, encode,
    sequence_of,
};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

static TAPE: LazyLock<Tape> = LazyLock::new(|| Tape::sample(400));

/// Maximum number of steps to the recorder's end once every connection fails.
const STEPS_MAX: u32 = 50_000;

/// Missing ranges of an earlier recording, each a first sequence and a length.
type MissingRanges = Vec<(u16, u8)>;

#[derive(Arbitrary, Debug)]
struct Told {
    classic: bool,
    last: Option<u16>,
    passes: Option<u8>,
    window: u16,
    retries: u8,
    gaps: u8,
    backpressure_gaps: u8,
    lines: u8,
    resumes: Option<(u16, MissingRanges, bool)>,
}

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    Connected(u8),
    Failed(u8),
    /// Packets of the tape.
    Packets(u8, u16, u8),
    Info(u8, i32, bool),
    Refusal(u8, u32, u32, u8),
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
}

struct World {
    recorder: Recorder,
    recording: MemoryRecording,
    now: Duration,
    peers: BTreeMap<ConnId, Peer>,
    told_last: Seq,
    resumed: bool,
}

fn recorder(told: &Told) -> Recorder {
    let options = RecorderOptions {
        classic: told.classic,
        last: told.last.map(Seq::from),
        passes: told.passes.map(u32::from),
        window: u32::from(told.window),
        retries: u32::from(told.retries % 6),
        limits: Limits {
            max_gaps: usize::from(told.gaps) + 1,
            backpressure_gaps: usize::from(told.backpressure_gaps) + 1,
            ..Limits::default()
        },
        ..RecorderOptions::default()
    };
    let lines = u16::from(told.lines % 3) + 1;
    let Some((highest, missing, known)) = &told.resumes else {
        return Recorder::new(options, lines);
    };
    let range = |&(first, count): &(u16, u8)| SeqRange::counted(first.into(), count.into());
    let missing: SeqSet = missing.iter().filter_map(range).collect();
    let last = (*highest).into();
    let session = Info { session: SessionId::of(*b"FUZZ"), version: 1, first: 1, last };
    let session = known.then_some(session);
    Recorder::resume(options, lines, (*highest).into(), &missing, session)
}

impl World {
    fn new(told: &Told) -> Self {
        let mut world = Self {
            recorder: recorder(told),
            recording: MemoryRecording::new(),
            now: Duration::ZERO,
            peers: BTreeMap::new(),
            told_last: told.last.map_or(0, Seq::from),
            resumed: told.resumes.is_some(),
        };
        world.give(Input::Wake);
        world
    }

    fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.now, &mut self.recording);
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Connect { conn, .. } => {
                    let calls = CallDecoder::new();
                    let new = Peer { open: false, calls, streamed: false };
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
        for frame in self.recording.in_order().flatten() {
            let seq = sequence_of(frame);
            assert!(seq > before && seq <= ledger.highest(), "{seq} after {before}");
            before = seq;
        }
        let gaps: SeqSet = ledger.gaps().ranges().collect();
        assert_eq!(gaps.count(), ledger.gaps().missing());
        assert!(gaps.ranges().iter().all(|gap| {
            (gap.first()..=gap.last()).take(500).all(|seq| self.recording.get(seq).is_none())
        }));
        if !self.resumed {
            assert_eq!(self.recording.len() as u64, ledger.recorded());
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
            while let Some(call) = peer.calls.next(&mut rest) {
                let highest = self.recorder.ledger().highest().max(self.told_last);
                match call {
                    Call::Stream => peer.streamed = true,
                    Call::Resend(seq) => assert!((1..=highest.min(127)).contains(&seq), "{seq}"),
                    Call::ResendRange { first, count } => {
                        assert!(first >= 1 && count >= 1 && count <= highest - first + 1);
                    }
                    Call::Describe { .. } => {}
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
            Op::Pass(micros) => {
                self.now += Duration::from_micros(micros.into());
                self.give(Input::Wake);
            }
            Op::Deadline => self.wake(),
            Op::Stop => self.give(Input::Stop),
            op => self.message(&op),
        }
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

fuzz_target!(|input: (Told, Vec<Op<'_>>)| {
    let (told, ops) = input;
    let mut world = World::new(&told);
    ops.into_iter().take(200).for_each(|op| world.run(op));
    world.end();
});
