//! The paths that every packet takes, each as a case that can be timed or counted.

use betacrew::format::json;
use betacrew::storage::FileStorage;
use feed::base::chance::Chance;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange, to_index};
use feed::exchange::server::MockExchange;
use feed::exchange::{Disconnect, Exchange};
use feed::faults::engine::{FaultEngine, RunId};
use feed::faults::scenario::{FaultPlace, Scenario};
use feed::ledger::gap_set::GapSet;
use feed::ledger::{Ledger, Limits, Origin, Sink, Source, StreamPosition};
use feed::storage::Storage;
use feed::tape::file::{FileHead, TapeFile};
use feed::tape::in_memory::Tape;
use feed::tape::source::TapeSource;
use feed::wire::{Call, Messages, Protocol, RawFrame, sequence_of};
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;

mod itch;
mod wires;

pub use itch::decode_every_field;

/// Packets in each case: enough that what is done once does not show.
pub const PACKETS: u64 = 100_000;
/// As much as is read from a socket at once.
const CHUNK: usize = 256 * 1024 / 17;
const SEED: u64 = 7;

/// One path.
pub struct Case {
    /// Name of the case.
    pub name: &'static str,
    /// Description of the case.
    pub about: &'static str,
    /// Prepares the case; the returned function can be run any number of times.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All cases.
pub const CASES: [Case; 22] = [
    Case { name: "scan", about: "the ledger takes a stream with 25 % dropped", make: scan },
    Case { name: "scan-whole", about: "the ledger takes a stream without loss", make: scan_whole },
    Case { name: "refill", about: "the same, and then all dropped packets", make: refill },
    Case { name: "gaps", about: "25,000 gaps open and are filled in order", make: gaps },
    Case { name: "gaps-random", about: "25,000 gaps are filled in any order", make: gaps_random },
    Case { name: "tape-append", about: "a stream goes into a tape file", make: tape_append },
    Case { name: "tape-read", about: "a stream and its resends, merged", make: tape_read },
    Case { name: "tape-merge", about: "the same, however they came", make: tape_merge },
    Case { name: "json", about: "packets as JSON text", make: json_text },
    Case { name: "stream", about: "the exchange makes a stream that loses 25 %", make: stream },
    Case { name: "resend", about: "the exchange answers 18,750 calls", make: resend },
    Case { name: "itch-decode", about: "every field of ITCH messages", make: itch::decode },
    Case { name: "itch-books", about: "order books from ITCH messages", make: itch::books },
    Case { name: "itch-market", about: "ITCH messages of a synthetic day", make: itch::market },
    Case {
        name: "soup-frame",
        about: "Soup bytes become runs of messages",
        make: wires::soup_frame,
    },
    Case { name: "soup-messages", about: "and single messages", make: wires::soup_messages },
    Case { name: "soup-encode", about: "messages become Soup bytes", make: wires::soup_encode },
    Case { name: "soup-record", about: "Soup bytes go into a tape file", make: wires::soup_record },
    Case { name: "soup-orders", about: "the same with order packets", make: wires::soup_orders },
    Case { name: "mold-parse", about: "Mold datagrams become messages", make: wires::mold_parse },
    Case { name: "mold-build", about: "messages become Mold datagrams", make: wires::mold_build },
    Case {
        name: "mold-record",
        about: "Mold datagrams go into a tape file",
        make: wires::mold_record,
    },
];

/// Runs the part of a case that is counted.
#[inline(never)]
pub fn measured(run: &mut dyn FnMut()) {
    run();
}

/// The packets that a stream with 25 % loss keeps, and those that it loses, each ascending.
#[must_use]
pub fn parted(tape: &Tape) -> (Vec<RawFrame>, Vec<RawFrame>) {
    let scenario = Scenario::losing(SEED, quarter());
    let faults = FaultEngine::new(&scenario, tape.last());
    let course = RunId {
        protocol: Protocol::Betacrew,
        place: FaultPlace::Stream,
        connection: 0,
        pass: 0,
        run: 0,
    };
    let mut kept = Vec::with_capacity(tape.frames().len());
    for range in faults.kept(course, FIRST_SEQ, tape.last()) {
        kept.extend_from_slice(tape.slice(range));
    }
    let mut held = kept.iter().map(sequence_of).peekable();
    let dropped = tape.frames().iter().filter(|frame| {
        let is_kept = held.peek() == Some(&sequence_of(frame));
        if is_kept {
            held.next();
        }
        !is_kept
    });
    let dropped = dropped.copied().collect();
    (kept, dropped)
}

fn quarter() -> Chance {
    Chance::of(1, 4).unwrap_or(Chance::NEVER)
}

/// Sink that keeps nothing.
pub struct Nowhere;

impl Sink for Nowhere {
    fn on_messages(&mut self, _: Origin, messages: Messages<'_>, _: Duration) {
        black_box(messages);
    }

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }
}

/// The origin of a first pass.
pub const STREAM: Origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
/// Origin of resent packets.
pub const RESEND: Origin = Origin { line: 0, source: Source::Resend };

/// Takes all of it as it would come from a socket; returns how many packets are missing.
pub fn take(frames: &[RawFrame], sink: &mut impl Sink) -> u64 {
    let mut ledger = Ledger::new(Limits::default());
    take_by(STREAM, frames, &mut ledger, sink);
    ledger.gaps().missing()
}

fn take_by(origin: Origin, frames: &[RawFrame], ledger: &mut Ledger, sink: &mut impl Sink) {
    let mut track = StreamPosition::default();
    for chunk in frames.chunks(CHUNK) {
        black_box(ledger.take(chunk, origin, Duration::ZERO, &mut track, sink));
    }
}

fn scan() -> Box<dyn FnMut()> {
    let (kept, _) = parted(&Tape::sample(PACKETS));
    Box::new(move || {
        black_box(take(&kept, &mut Nowhere));
    })
}

fn scan_whole() -> Box<dyn FnMut()> {
    let tape = Tape::sample(PACKETS);
    Box::new(move || {
        black_box(take(tape.frames(), &mut Nowhere));
    })
}

fn refill() -> Box<dyn FnMut()> {
    let (kept, dropped) = parted(&Tape::sample(PACKETS));
    Box::new(move || {
        let mut ledger = Ledger::new(Limits::default());
        take_by(STREAM, &kept, &mut ledger, &mut Nowhere);
        take_by(RESEND, &dropped, &mut ledger, &mut Nowhere);
        assert!(ledger.gaps().is_empty());
    })
}

/// Every fourth packet.
fn holes() -> impl Iterator<Item = SeqRange> {
    (1..=PACKETS / 4).map(|hole| SeqRange::one(hole * 4))
}

fn fill_all(holes: impl Iterator<Item = SeqRange>, gaps: &mut GapSet) {
    let mut filled = 0;
    for hole in holes {
        gaps.fill(hole, Duration::ZERO, |piece, _| filled += piece.len());
    }
    black_box(filled);
}

fn opened() -> GapSet {
    let mut gaps = GapSet::new();
    holes().for_each(|hole| gaps.open(hole, Duration::ZERO));
    gaps
}

fn gaps() -> Box<dyn FnMut()> {
    Box::new(|| fill_all(holes(), &mut opened()))
}

fn gaps_random() -> Box<dyn FnMut()> {
    let mut order: Vec<SeqRange> = holes().collect();
    let mut rng = feed::base::rng::Rng::new(SEED);
    let count = PACKETS / 4;
    (1..count).for_each(|at| order.swap(to_index(at), to_index(rng.seq_between(0, at))));
    Box::new(move || fill_all(order.iter().copied(), &mut opened()))
}

/// A medium in memory.
#[derive(Default)]
pub struct Memory {
    bytes: Vec<u8>,
}

impl Storage for Memory {
    type Error = io::Error;

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn checksum(bytes: &[u8]) -> u32 {
        FileStorage::checksum(bytes)
    }
}

fn recorded(kept: &[RawFrame], dropped: &[RawFrame], room: usize) -> TapeFile<Memory> {
    let storage = Memory { bytes: Vec::with_capacity(room) };
    let head = FileHead { session: None, created: 0, salt: SEED };
    let done = TapeFile::create(storage, head).and_then(|mut file| {
        for (origin, frames) in [(STREAM, kept), (RESEND, dropped)] {
            frames.chunks(CHUNK).try_for_each(|chunk| file.append(origin, 0, chunk))?;
        }
        file.finish(0)?;
        Ok(file)
    });
    done.unwrap_or_else(|error| unreachable!("memory does not fail: {error}"))
}

fn tape_append() -> Box<dyn FnMut()> {
    let (kept, dropped) = parted(&Tape::sample(PACKETS));
    Box::new(move || drop(black_box(recorded(&kept, &dropped, to_index(PACKETS) * 20))))
}

fn tape_read() -> Box<dyn FnMut()> {
    let (kept, dropped) = parted(&Tape::sample(PACKETS));
    let file = recorded(&kept, &dropped, 0);
    Box::new(move || {
        let mut reading = file.in_order(FIRST_SEQ);
        let mut count = 0;
        while let Ok(Some(piece)) = reading.next() {
            count += black_box(piece.packets()).len();
        }
        assert_eq!(count, to_index(PACKETS));
    })
}

fn tape_merge() -> Box<dyn FnMut()> {
    let (kept, dropped) = parted(&Tape::sample(PACKETS));
    let file = recorded(&kept, &dropped, 0);
    Box::new(move || {
        let mut reading = file.in_order(FIRST_SEQ);
        let mut count = 0;
        while let Ok(Messages::Packets(frames @ [_, ..])) = reading.merged() {
            count += black_box(frames).len();
        }
        assert_eq!(count, to_index(PACKETS));
    })
}

fn json_text() -> Box<dyn FnMut()> {
    let tape = Tape::sample(PACKETS);
    Box::new(move || {
        let done = json::write([tape.frames()], &mut io::sink());
        assert!(done.is_ok());
    })
}

/// Drives one connection of an exchange whose socket takes everything; returns how many bytes.
fn drive(player: &mut MockExchange<Arc<Tape>>, calls: &[u8], out: &mut [u8]) -> usize {
    let mut seat = player.open(Protocol::Betacrew, Duration::ZERO);
    let mut total = 0;
    // As much as the loop over sockets reads at once.
    for chunk in calls.chunks(4096) {
        player.receive(&mut seat, chunk, Duration::ZERO);
        loop {
            let count = player.peek(&mut seat, out, Duration::ZERO);
            if count == 0 {
                break;
            }
            black_box(&out[..count]);
            player.sent(&mut seat, count, Duration::ZERO);
            total += count;
        }
    }
    player.disconnected(seat, Disconnect::Closed, Duration::ZERO);
    total
}

fn stream() -> Box<dyn FnMut()> {
    let tape = Arc::new(Tape::sample(PACKETS));
    let mut out = vec![0; 256 * 1024];
    Box::new(move || {
        let mut player = MockExchange::new(Arc::clone(&tape), Scenario::losing(SEED, quarter()));
        assert!(drive(&mut player, &[1, 0], &mut out) > 17 * to_index(PACKETS) / 2);
    })
}

fn resend() -> Box<dyn FnMut()> {
    let tape = Arc::new(Tape::sample(PACKETS));
    let scenario = Scenario::losing(SEED, quarter());
    let faults = FaultEngine::new(&scenario, TapeSource::last(&tape));
    let course = RunId {
        protocol: Protocol::Betacrew,
        place: FaultPlace::Stream,
        connection: 0,
        pass: 0,
        run: 0,
    };
    let mut calls = Vec::new();
    Call::Describe { version: 1 }.encode(&mut calls);
    let mut next: Seq = FIRST_SEQ;
    for kept in faults.kept(course, FIRST_SEQ, TapeSource::last(&tape)) {
        if let Some(gap) = SeqRange::new(next, kept.first() - 1) {
            Call::ResendRange { first: gap.first(), count: gap.len() }.encode(&mut calls);
        }
        next = kept.last() + 1;
    }
    let mut out = vec![0; 256 * 1024];
    Box::new(move || {
        let mut player = MockExchange::new(Arc::clone(&tape), Scenario::clean(SEED));
        assert!(drive(&mut player, &calls, &mut out) > 17 * to_index(PACKETS) / 5);
    })
}
