//! The keeper: where a recording goes that must survive. It writes a tape file, and finds out what
//! one has when a recording is gone on with.

use crate::ledger::{Origin, Sink};
use crate::seq::{Seq, SeqRange, SeqSet};
use crate::storage::Storage;
use crate::tape_file::{Head, InOrder, Opened, TapeFile, TapeFileError};
use crate::wire::{Info, RawFrame, SessionId, sequence_of};
use alloc::vec::Vec;
use core::time::Duration;

/// Packets are written at the latest so long after they came. Half as long would be twice as many
/// blocks of a slow feed, and twice the memory for their index.
pub const FLUSH: Duration = Duration::from_millis(50);

/// So many conflicting packets are kept to be shown.
pub const CONFLICTS_SHOWN: usize = 8;

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

/// Keeps a recording in a tape file. What goes wrong with the file ends the recording, and is told
/// by [`end`](Self::end).
#[derive(Debug)]
pub struct Keeper<S: Storage> {
    file: TapeFile<S>,
    sync: Sync,
    /// When the recorder's time began, since 1970.
    epoch: Duration,
    /// When it was flushed and synced last.
    flushed: Duration,
    synced: Duration,
    unflushed: bool,
    unsynced: bool,
    conflicts: Vec<(RawFrame, RawFrame)>,
    failure: Option<TapeFileError<S::Error>>,
}

impl<S: Storage> Keeper<S> {
    /// Begins a recording on an empty medium. `salt` is random.
    ///
    /// # Errors
    /// What the medium reports.
    pub fn create(
        storage: S,
        sync: Sync,
        epoch: Duration,
        salt: u64,
    ) -> Result<Self, TapeFileError<S::Error>> {
        let head = Head { session: [0; 4], created: nanos(epoch), salt };
        let mut file = TapeFile::create(storage, head)?;
        if sync != Sync::Never {
            // Without its head a file is nothing.
            file.sync()?;
        }
        Ok(Self::with(file, sync, epoch))
    }

    /// Goes on with the recording on a medium, and tells what it has.
    ///
    /// # Errors
    /// Where it is no tape file, or the medium fails.
    pub fn open(
        storage: S,
        sync: Sync,
        epoch: Duration,
    ) -> Result<(Self, Resumed), TapeFileError<S::Error>> {
        let (mut file, Opened { damages, .. }) = TapeFile::open(storage, false)?;
        let (missing, damaged) = file.missing()?;
        let told = file.session().map(|info| info.session);
        let resumed = Resumed {
            packets: file.packets(),
            highest: file.span().map_or(0, SeqRange::last),
            missing,
            session: told.or(Some(SessionId(file.head().session)).filter(|id| id.0 != [0; 4])),
            damages: damages + damaged,
        };
        Ok((Self::with(file, sync, epoch), resumed))
    }

    fn with(file: TapeFile<S>, sync: Sync, epoch: Duration) -> Self {
        Self {
            file,
            sync,
            epoch,
            flushed: Duration::ZERO,
            synced: Duration::ZERO,
            unflushed: false,
            unsynced: false,
            conflicts: Vec::new(),
            failure: None,
        }
    }

    /// The tape file.
    #[must_use]
    pub fn file(&self) -> &TapeFile<S> {
        &self.file
    }

    /// How many packets are recorded.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.file.packets()
    }

    /// The first packets that came again with other content: what was recorded, and what came.
    #[must_use]
    pub fn conflicts(&self) -> &[(RawFrame, RawFrame)] {
        &self.conflicts
    }

    /// Writes what was recorded, so that it can be read.
    pub fn flush(&mut self) {
        let done = self.file.flush();
        self.check(done);
    }

    /// A time of the recorder's, in nanoseconds since 1970.
    #[must_use]
    pub fn stamp(&self, now: Duration) -> u64 {
        nanos(self.epoch + now)
    }

    /// Ends the recording: everything is written, as safe as asked for.
    ///
    /// # Errors
    /// What went wrong with the file, now or before.
    pub fn end(&mut self) -> Result<(), TapeFileError<S::Error>> {
        match (self.failure.take(), self.sync) {
            (Some(failure), _) => Err(failure),
            (None, Sync::Never) => self.file.flush(),
            (None, Sync::End | Sync::Every(_)) => self.file.sync(),
        }
    }

    /// Writes the file's index, for the next opening to be quick. `now` is since 1970.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn finish(&mut self, now: Duration) -> Result<(), TapeFileError<S::Error>> {
        self.file.finish(nanos(now))?;
        self.end()
    }

    /// Reads the packets in order of sequence, from `from` on; what is not written yet is missing.
    #[must_use]
    pub fn in_order(&self, from: Seq) -> InOrder<'_, S> {
        self.file.in_order(from)
    }

    /// Gives the medium back, as it is.
    #[must_use]
    pub fn into_storage(self) -> S {
        self.file.into_storage()
    }

    fn check(&mut self, done: Result<(), TapeFileError<S::Error>>) {
        if let Err(error) = done {
            self.failure.get_or_insert(error);
        }
    }

    /// Syncs if it is time to; returns when it will be, if something is not safe then.
    fn sync_if_due(&mut self, now: Duration) -> Option<Duration> {
        let Sync::Every(interval) = self.sync else { return None };
        let due = self.synced + interval;
        if !self.unsynced || now < due {
            return self.unsynced.then_some(due);
        }
        self.synced = now;
        (self.unflushed, self.unsynced) = (false, false);
        let done = self.file.sync();
        self.check(done);
        None
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<S: Storage> Sink for Keeper<S> {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        let done = self.file.append(origin, self.stamp(now), frames);
        self.check(done);
        // Where packets never stop coming, nothing is ever idle.
        if self.unflushed {
            let _ = self.idle(now);
        }
        self.unflushed = true;
        self.unsynced = true;
        self.sync_if_due(now);
    }

    fn again(&mut self, _: Origin, frames: &[RawFrame]) -> u32 {
        let mut count = 0;
        for frame in frames {
            match self.file.get(sequence_of(frame)) {
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

    fn session(&mut self, info: Info, now: Duration) {
        if self.file.session() != Some(info) {
            self.unsynced = true;
            let done = self.file.note_session(info, self.stamp(now));
            self.check(done);
        }
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        if self.unflushed && now >= self.flushed + FLUSH {
            self.flushed = now;
            self.unflushed = false;
            let done = self.file.flush();
            self.check(done);
        }
        // What came last must become safe too, should nothing come after it.
        let sync_at = self.sync_if_due(now);
        let flush_at = self.unflushed.then_some(self.flushed + FLUSH);
        flush_at.into_iter().chain(sync_at).min()
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}
