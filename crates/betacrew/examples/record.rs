//! Records a feed into a program of your own: into a tape file that survives its end, with
//! something done to each packet on the way; then reads the tape back, in order and at random.
//!
//! `cargo run --example record`

use betacrew::net::{self, Stop};
use betacrew::storage::FileStorage;
use feed::base::seq::{FIRST_SEQ, SeqSet};
use feed::client::{Recorder, RecorderOptions};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::ledger::{Origin, Sink};
use feed::session::completeness::Facts;
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::in_memory::Tape;
use feed::tape::recorder::{SyncPolicy, TapeRecorder};
use feed::wire::{Frame, Info, Messages, RawFrame, decode};
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sink of the example: a tape file, and a sum that is always up to date.
struct Mine {
    tape_recorder: TapeRecorder<FileStorage>,
    /// Added up from what came, in whatever order it came.
    volume: i64,
}

impl Sink for Mine {
    // Whole slices of packets that were never seen before, as they lie in the buffer they were
    // received in. A packet that was dropped and resent is here once.
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        self.volume += volume(messages.packets());
        self.tape_recorder.on_messages(origin, messages, now);
    }

    // The recorder of the tape file compares repeats with what it has, stores the session, writes
    // packets when they are due, and ends the recording when the disk fails.
    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.tape_recorder.on_duplicates(origin, messages)
    }

    // Packets that may be from another session are removed here and requested again.
    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.tape_recorder.on_session(info, vouched, now)
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.tape_recorder.on_idle(now)
    }

    fn has_failed(&self) -> bool {
        self.tape_recorder.has_failed()
    }
}

fn volume(frames: &[RawFrame]) -> i64 {
    let quantity = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => packet.quantity.into(),
        _ => 0,
    };
    frames.iter().map(quantity).sum()
}

/// Records everything that the exchange at `address` has, into a file that is begun or gone on
/// with. Returns the volume that came.
fn record(path: &Path, address: SocketAddr) -> Result<i64, Box<dyn Error>> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let storage = FileStorage::write(path)?;
    let options = RecorderOptions::default();
    let (tape_recorder, mut recorder) = if feed::tape::file::is_stillborn(&storage)? {
        // A number that peers cannot know keeps their packets from looking like parts of the file.
        let salt = RandomState::new().hash_one(path);
        let tape_recorder =
            TapeRecorder::create(storage.cleared()?, SyncPolicy::End, since_1970, salt)?;
        (tape_recorder, Recorder::new(options, 1))
    } else {
        let (tape_recorder, was) = TapeRecorder::open(storage, SyncPolicy::End, since_1970)?;
        (tape_recorder, Recorder::resume(options, 1, was.highest, &was.missing, was.session))
    };
    let mut mine = Mine { tape_recorder, volume: 0 };
    net::fetch(&[vec![address].into()], &mut recorder, &mut mine, &Stop::new(), |_| {})?;
    // Everything is written and safe, and the index makes the next opening instant.
    mine.tape_recorder.end()?;
    let outcome = recorder.outcome().ok_or("it has not ended")?;
    let facts = Facts::of(&recorder, mine.tape_recorder.packets());
    mine.tape_recorder.conclude(outcome.last, facts.end(), since_1970)?;
    mine.tape_recorder.finish(since_1970)?;
    println!("complete: {}, {} packets", outcome.is_complete(), mine.tape_recorder.packets());
    Ok(mine.volume)
}

/// Reads the whole of a tape in the order of sequences, whatever order it was recorded in.
fn add_up(path: &Path) -> Result<(u64, i64), Box<dyn Error>> {
    let (tape, _) = TapeFile::open(FileStorage::read(path)?, OpenMode::Index)?;
    let (mut packets, mut traded) = (0, 0);
    let mut reading = tape.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next()? {
        packets += piece.packets().len() as u64;
        traded += volume(piece.packets());
    }
    Ok((packets, traded))
}

/// Runs the example.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // An exchange that loses a quarter of what it streams.
    let scenario = Scenario::losing(7, "25%".parse()?);
    let mut player = MockExchange::new(Arc::new(Tape::random(100_000, 7)), scenario);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = stop.clone();
        move || net::serve(vec![listener], &mut player, &stop, |_, _| {})
    });

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("session.tape");
    let came = record(&path, address)?;
    let (packets, again) = add_up(&path)?;
    println!("{packets} packets, {came} traded as they came, {again} in order");
    assert_eq!((packets, came), (100_000, again));

    // Any packet at any time, without reading what lies before it.
    let (mut tape, _) = TapeFile::open(FileStorage::read(&path)?, OpenMode::Index)?;
    for seq in [77_777, 1, 100_000] {
        let frame = tape.get(seq)?.ok_or("it is missing")?;
        println!("{seq}: {:?}", decode(&frame)?);
    }
    // Going on with what is complete asks for nothing more.
    assert_eq!(record(&path, address)?, 0);
    stop.stop();
    exchange.join().map_err(|_| "the exchange panicked")??;
    Ok(())
}
