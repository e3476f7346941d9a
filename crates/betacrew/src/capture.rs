//! What `fetch` keeps while it records: a tape file, and what it counts on the way.

use crate::failure::Failure;
use crate::file::FileStorage;
use crate::format::{Arrival, Each};
use feed::ledger::{Origin, Sink, Source};
use feed::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::tape_file::{Head, Opened, TapeFile, TapeFileError};
use feed::wire::{Frame, Info, RawFrame, SessionId, decode, sequence_of};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Packets are written at the latest so long after they came. Half as long would be twice as many
/// blocks of a slow feed, and twice the memory for their index.
const FLUSH: Duration = Duration::from_millis(50);

/// So many conflicting packets are kept to be shown.
const CONFLICTS_SHOWN: usize = 8;

/// When what was recorded is made safe against a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Whenever the system gets to it, within seconds.
    Never,
    /// At the end.
    End,
    /// So often, and at the end.
    Every(Duration),
}

/// A gap, or a piece of one, that was filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filled {
    /// What was missing.
    pub range: SeqRange,
    /// When it was found missing, since the recording began.
    pub opened: Duration,
    /// How long it was missing.
    pub after: Duration,
    /// How it came.
    pub by: Origin,
}

/// What a recording that is gone on with had already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// How many packets.
    pub packets: u64,
    /// The highest sequence.
    pub highest: Seq,
    /// What was missing below it.
    pub missing: SeqSet,
    /// The session, if it was told.
    pub session: Option<SessionId>,
    /// Places where the file was damaged.
    pub damages: u32,
}

/// A recording, with the history of its gaps if that is wanted.
#[derive(Debug)]
pub struct Capture {
    tape: TapeFile<FileStorage>,
    path: PathBuf,
    failure: Option<Failure>,
    /// When the recorder's time began, since 1970.
    epoch: Duration,
    sync: Sync,
    /// When it was flushed and synced last.
    flushed: Duration,
    synced: Duration,
    unflushed: bool,
    /// How many gaps were found.
    pub gaps_found: u64,
    /// How many packets were missing at some time.
    pub packets_missed: u64,
    /// How many of them came by resend, and how many by later passes or other lines.
    pub recovered: (u64, u64),
    /// How each gap was filled; `None` if that is not wanted.
    pub filled: Option<Vec<Filled>>,
    /// The longest that anything was missing before it came.
    pub longest: Duration,
    /// The first packets that came again with other content: what was recorded, and what came.
    pub conflicts: Vec<(RawFrame, RawFrame)>,
}

impl Capture {
    /// Records into the tape file at `path`: a new one, or one that is there and is gone on with.
    /// Returns what was there.
    ///
    /// # Errors
    /// [`Failure::Storage`] or [`Failure::Content`] where that file cannot be used.
    pub fn open(path: &Path, sync: Sync) -> Result<(Self, Option<Resumed>), Failure> {
        let failed = |source| Failure::Storage { action: "record into", path: path.into(), source };
        let storage = FileStorage::write(path).map_err(failed)?;
        if feed::tape_file::is_stillborn(&storage).map_err(failed)? {
            let empty = storage.cleared().map_err(failed)?;
            let mut capture = Self::new(empty, path, sync)?;
            if sync != Sync::Never {
                // Without its head and its name a file is nothing.
                capture.tape.sync().map_err(|error| failure(error, path))?;
                crate::file::sync_folder(path).map_err(failed)?;
            }
            return Ok((capture, None));
        }
        let (mut tape, opened) =
            TapeFile::open(storage, false).map_err(|error| failure(error, path))?;
        let (missing, damaged) = tape.missing().map_err(|error| failure(error, path))?;
        let Opened { damages, .. } = opened;
        let told = tape.session().map(|info| info.session);
        let resumed = Resumed {
            packets: tape.packets(),
            highest: tape.span().map_or(0, SeqRange::last),
            missing,
            session: told.or(Some(SessionId(tape.head().session)).filter(|id| id.0 != [0; 4])),
            damages: damages + damaged,
        };
        let mut capture = Self::with(tape, path, sync);
        capture.gaps_found = resumed.missing.ranges().len() as u64;
        capture.packets_missed = resumed.missing.count();
        Ok((capture, Some(resumed)))
    }

    /// Records into a file that nobody sees and that is gone in the end.
    ///
    /// # Errors
    /// [`Failure::Storage`] where there is no room for temporary files.
    pub fn unnamed() -> Result<Self, Failure> {
        let path = std::env::temp_dir();
        let failed =
            |source| Failure::Storage { action: "record into", path: path.clone(), source };
        let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
        Self::new(storage, &path, Sync::Never)
    }

    fn new(storage: FileStorage, path: &Path, sync: Sync) -> Result<Self, Failure> {
        let head =
            Head { session: [0; 4], created: nanos(since_1970()), salt: crate::flags::random() };
        let tape = TapeFile::create(storage, head).map_err(|error| failure(error, path))?;
        Ok(Self::with(tape, path, sync))
    }

    fn with(tape: TapeFile<FileStorage>, path: &Path, sync: Sync) -> Self {
        Self {
            tape,
            path: path.to_owned(),
            failure: None,
            epoch: since_1970(),
            sync,
            flushed: Duration::ZERO,
            synced: Duration::ZERO,
            unflushed: false,
            gaps_found: 0,
            packets_missed: 0,
            recovered: (0, 0),
            filled: None,
            longest: Duration::ZERO,
            conflicts: Vec::new(),
        }
    }

    /// Keeps how each gap was filled from now on.
    pub fn keep_history(&mut self) {
        self.filled.get_or_insert_default();
    }

    /// How many packets are recorded.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.tape.packets()
    }

    /// The tape file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the recording: everything is written, as safe as asked for.
    ///
    /// # Errors
    /// What went wrong with the file, now or before.
    pub fn end(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let done = match self.sync {
            Sync::Never => self.tape.flush(),
            Sync::End | Sync::Every(_) => self.tape.sync(),
        };
        done.map_err(|error| failure(error, &self.path))
    }

    /// Writes the tape file's index, for the next opening to be quick.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let now = nanos(since_1970());
        self.tape.finish(now).map_err(|error| failure(error, &self.path))?;
        self.end()
    }

    /// Reads the packets in order.
    ///
    /// # Errors
    /// What went wrong with the file, or what `each` reports.
    pub fn read(&self, each: &mut Each<'_>) -> Result<(), Failure> {
        let mut reading = self.tape.in_order(FIRST_SEQ);
        loop {
            match reading.next() {
                Ok(Some(piece)) => each(piece.frames, Arrival::of(&piece.block))?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(failure(error, &self.path)),
            }
        }
    }

    /// The first conflicts as text.
    pub fn conflict_texts(&self) -> impl Iterator<Item = String> + '_ {
        let text = |frame: &RawFrame| match decode(frame) {
            Ok(Frame::Packet(packet)) => packet.to_string(),
            _ => format!("{frame:?}"),
        };
        self.conflicts.iter().map(move |(old, new)| format!("{}, then {}", text(old), text(new)))
    }

    fn check(&mut self, done: Result<(), TapeFileError<io::Error>>) {
        if let Err(error) = done
            && self.failure.is_none()
        {
            self.failure = Some(failure(error, &self.path));
        }
    }

    fn now(&self, now: Duration) -> u64 {
        nanos(self.epoch + now)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn failure(error: TapeFileError<io::Error>, path: &Path) -> Failure {
    match error {
        TapeFileError::Storage(source) => {
            Failure::Storage { action: "record into", path: path.to_owned(), source }
        }
        error => Failure::Content { path: path.to_owned(), reason: error.to_string() },
    }
}

impl Sink for Capture {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        let done = self.tape.append(origin, self.now(now), frames);
        self.check(done);
        // Where packets never stop coming, nothing is ever idle.
        if self.unflushed {
            let _ = self.idle(now);
        }
        self.unflushed = true;
        if let Sync::Every(interval) = self.sync
            && now >= self.synced + interval
        {
            self.synced = now;
            let done = self.tape.sync();
            self.check(done);
        }
    }

    fn again(&mut self, _: Origin, frames: &[RawFrame]) -> u32 {
        let mut count = 0;
        for frame in frames {
            match self.tape.get(sequence_of(frame)) {
                Ok(Some(old)) if old != *frame => {
                    count += 1;
                    if self.conflicts.len() < CONFLICTS_SHOWN {
                        self.conflicts.push((old, *frame));
                    }
                }
                Ok(_) => {}
                Err(error) => self.check(Err(error)),
            }
        }
        count
    }

    fn opened(&mut self, gap: SeqRange, _: Duration) {
        self.gaps_found += 1;
        self.packets_missed += u64::from(gap.len());
    }

    fn filled(&mut self, range: SeqRange, after: Duration, by: Origin, now: Duration) {
        self.longest = self.longest.max(after);
        match by.source {
            Source::Resend => self.recovered.0 += u64::from(range.len()),
            Source::Stream { .. } => self.recovered.1 += u64::from(range.len()),
        }
        if let Some(filled) = &mut self.filled {
            filled.push(Filled { range, opened: now.saturating_sub(after), after, by });
        }
    }

    fn session(&mut self, info: Info, now: Duration) {
        if self.tape.session() != Some(info) {
            let done = self.tape.note_session(info, self.now(now));
            self.check(done);
        }
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        if !self.unflushed {
            return None;
        }
        if now < self.flushed + FLUSH {
            return Some(self.flushed + FLUSH);
        }
        self.flushed = now;
        self.unflushed = false;
        let done = self.tape.flush();
        self.check(done);
        None
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}
