//! What `fetch` keeps while it records: a tape file, and what it counts on the way.

use crate::failure::Failure;
use crate::file::FileStorage;
use crate::format::{Arrival, Each, Format, Told};
use crate::words::packet;
use crate::written::Written;
use feed::keeper::Keeper;
pub use feed::keeper::{Resumed, Sync};
use feed::ledger::{Origin, Sink, Source};
use feed::recorder::Outcome;
use feed::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::tape_file::TapeFileError;
use feed::wire::{Info, RawFrame, SessionId};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// A recording, with the history of its gaps if that is wanted.
#[derive(Debug)]
pub struct Capture {
    keeper: Keeper<FileStorage>,
    path: PathBuf,
    written: Written,
    /// How long the file was when that was counted.
    len: u64,
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
            let capture = Self::new(empty, path, sync)?;
            if sync != Sync::Never {
                // Without its name a file is nothing.
                crate::file::sync_folder(path).map_err(failed)?;
            }
            return Ok((capture, None));
        }
        let (keeper, resumed) =
            Keeper::open(storage, sync, since_1970()).map_err(|error| failure(error, path))?;
        let mut capture = Self::with(keeper, path);
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
        let keeper = Keeper::create(storage, sync, since_1970(), crate::flags::random())
            .map_err(|error| failure(error, path))?;
        Ok(Self::with(keeper, path))
    }

    fn with(keeper: Keeper<FileStorage>, path: &Path) -> Self {
        Self {
            len: keeper.file().size(),
            keeper,
            path: path.to_owned(),
            written: Written::default(),
            gaps_found: 0,
            packets_missed: 0,
            recovered: (0, 0),
            filled: None,
            longest: Duration::ZERO,
        }
    }

    /// Keeps how each gap was filled from now on.
    pub fn keep_history(&mut self) {
        self.filled.get_or_insert_default();
    }

    /// How many packets are recorded.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.keeper.packets()
    }

    /// What has been written to the tape file; that it is on its way there counts.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written.clone()
    }

    /// The session, if an exchange has told it.
    #[must_use]
    pub fn known_session(&self) -> Option<SessionId> {
        self.keeper.file().session_id()
    }

    /// What it knows of its session besides its packets.
    #[must_use]
    pub fn told(&self) -> Told {
        Told::of(self.keeper.file())
    }

    /// Whether there is nothing in it to go on with: no session, and no packets, not even such as
    /// do not count because nothing tells which session they are of.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let file = self.keeper.file();
        file.packets() == 0 && file.left_out() == 0 && file.session_id().is_none()
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
        self.keeper.end().map_err(|error| failure(error, &self.path))
    }

    /// Notes what the recording came to, as safe as asked for.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn conclude(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let done = self.keeper.conclude(outcome, since_1970());
        done.map_err(|error| failure(error, &self.path))?;
        self.end()
    }

    /// Writes the tape file's index, for the next opening to be quick.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.keeper.finish(since_1970()).map_err(|error| failure(error, &self.path))
    }

    /// Writes what was recorded to the file.
    pub fn flush(&mut self) {
        self.keeper.flush();
    }

    /// When and how packets came that come now.
    #[must_use]
    pub fn arrival(&self, origin: Origin, now: Duration) -> Arrival {
        Arrival { at: self.keeper.stamp(now), origin: Some(origin) }
    }

    /// Reads the packets in order.
    ///
    /// # Errors
    /// What went wrong with the file, or what `each` reports.
    pub fn read(&self, each: &mut Each<'_>) -> Result<(), Failure> {
        self.read_from(FIRST_SEQ, each)
    }

    /// Reads the packets in order for a file of this format: many at once, unless it has a place
    /// for when and how they came.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_for(&self, format: Format, each: &mut Each<'_>) -> Result<(), Failure> {
        if format.tells_arrival() {
            return self.read(each);
        }
        let mut reading = self.keeper.in_order(FIRST_SEQ);
        loop {
            match reading.merged() {
                Ok([]) => return Ok(()),
                Ok(frames) => each(frames, Arrival::UNKNOWN)?,
                Err(error) => return Err(failure(error, &self.path)),
            }
        }
    }

    /// Reads the packets in order, from a sequence on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, from: Seq, each: &mut Each<'_>) -> Result<(), Failure> {
        let mut reading = self.keeper.in_order(from);
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
        self.keeper
            .conflicts()
            .iter()
            .map(move |(old, new)| format!("{}, then {}", packet(old), packet(new)))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn failure(error: TapeFileError<io::Error>, path: &Path) -> Failure {
    match error {
        TapeFileError::Storage(source) => {
            Failure::Storage { action: "record into", path: path.to_owned(), source }
        }
        error @ TapeFileError::Head(_) => Failure::Content {
            path: path.to_owned(),
            reason: format!(
                "{error}. Record elsewhere with --tape FILE, or throw it away with --restart"
            ),
        },
        error => Failure::Content { path: path.to_owned(), reason: error.to_string() },
    }
}

impl Sink for Capture {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.keeper.fresh(origin, frames, now);
        let len = self.keeper.file().size();
        self.written.add(frames.len(), len.saturating_sub(self.len));
        self.len = len;
    }

    fn again(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.keeper.again(origin, frames)
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

    fn session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.keeper.session(info, vouched, now)
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        self.keeper.idle(now)
    }

    fn failed(&self) -> bool {
        self.keeper.failed()
    }
}
