//! Records a feed into a program of your own: into a tape file that survives its end, with something
//! done to each packet on the way; then reads the tape back, in order and at random.
//!
//! `cargo run --example record`

use betacrew::file::FileStorage;
use betacrew::net::{self, Stop};
use feed::ledger::{Origin, Sink};
use feed::player::Player;
use feed::recorder::{Options, Recorder};
use feed::seq::{FIRST_SEQ, SeqRange};
use feed::tape::Tape;
use feed::tape_file::{Head, TapeFile, TapeFileError};
use feed::wire::{Frame, Info, RawFrame, decode, sequence_of};
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What takes the packets: a tape file, and a sum that is always up to date.
struct Mine {
    tape: TapeFile<FileStorage>,
    /// Added up from what came, in whatever order it came.
    volume: i64,
    /// The first thing that went wrong with the file. The recording ends then.
    failure: Option<TapeFileError<io::Error>>,
}

impl Mine {
    fn check(&mut self, done: Result<(), TapeFileError<io::Error>>) {
        self.failure = self.failure.take().or(done.err());
    }
}

impl Sink for Mine {
    // Whole slices of packets that were never seen before, as they lie in the buffer they were
    // received in. Of what is lost and sent again each packet comes here once.
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        for frame in frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                self.volume += i64::from(packet.quantity);
            }
        }
        // Nanoseconds of a clock of your choice: here, since the recording began.
        let arrived = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let done = self.tape.append(origin, arrived, frames);
        self.check(done);
    }

    // Packets that were recorded before: a peer that sends others now is not to be trusted.
    fn again(&mut self, _: Origin, frames: &[RawFrame]) -> u32 {
        let mut conflicts = 0;
        for frame in frames {
            match self.tape.get(sequence_of(frame)) {
                Ok(old) => conflicts += u32::from(old != Some(*frame)),
                Err(error) => self.check(Err(error)),
            }
        }
        conflicts
    }

    fn session(&mut self, info: Info, now: Duration) {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let done = self.tape.note_session(info, now);
        self.check(done);
    }

    // Nothing more has come: what did is put where the end of this program does not reach it.
    fn idle(&mut self, _: Duration) -> Option<Duration> {
        let done = self.tape.flush();
        self.check(done);
        None
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Records everything that the exchange at `address` has, into a file that is begun or gone on with.
fn record(path: &Path, address: std::net::SocketAddr) -> Result<i64, Box<dyn Error>> {
    let storage = FileStorage::write(path)?;
    let (tape, mut recorder) = if feed::tape_file::is_stillborn(&storage)? {
        // A number that peers cannot know keeps their packets from looking like parts of the file.
        let salt = RandomState::new().hash_one(path);
        let head = Head { session: [0; 4], created: 0, salt };
        (TapeFile::create(storage.cleared()?, head)?, Recorder::new(Options::default(), 1))
    } else {
        let (mut tape, _) = TapeFile::open(storage, false)?;
        let (missing, _) = tape.missing()?;
        let (highest, session) =
            (tape.span().map_or(0, SeqRange::last), tape.session().map(|info| info.session));
        (tape, Recorder::resume(Options::default(), 1, highest, &missing, session))
    };
    let mut mine = Mine { tape, volume: 0, failure: None };
    net::fetch(&[vec![address]], &mut recorder, &mut mine, &Stop::new(), |_| {})?;
    if let Some(failure) = mine.failure {
        return Err(failure.into());
    }
    let outcome = recorder.outcome().ok_or("it has not ended")?;
    println!("complete: {}, missing: {}", outcome.complete(), outcome.missing);
    // Everything is written, and the index behind it makes the next opening instant.
    mine.tape.finish(0)?;
    mine.tape.sync()?;
    Ok(mine.volume)
}

/// Reads the whole of a tape in the order of sequences, whatever order it was recorded in.
fn add_up(path: &Path) -> Result<(u64, i64), Box<dyn Error>> {
    let (tape, _) = TapeFile::open(FileStorage::read(path)?, true)?;
    let (mut packets, mut volume) = (0, 0);
    let mut reading = tape.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next()? {
        packets += piece.frames.len() as u64;
        for frame in piece.frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                volume += i64::from(packet.quantity);
            }
        }
    }
    Ok((packets, volume))
}

/// Runs it.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // An exchange that loses a quarter of what it streams.
    let drops =
        feed::drops::Drops { chance: "25%".parse()?, seed: 7, ..feed::drops::Drops::none() };
    let mut player = Player::new(Arc::new(Tape::random(100_000, 7)), drops);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = stop.clone();
        move || net::serve(vec![listener], &mut player, &stop, |_, _| {})
    });

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("session.tape");
    let volume = record(&path, address)?;
    let (packets, again) = add_up(&path)?;
    println!("{packets} packets, {volume} traded as they came, {again} in order");
    assert_eq!((packets, volume), (100_000, again));

    // Any packet at any time, without reading what lies before it.
    let (mut tape, _) = TapeFile::open(FileStorage::read(&path)?, true)?;
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
