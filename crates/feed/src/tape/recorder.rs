//! The keeper: where a recording goes that must survive. It writes a tape file, and finds out what
//! one has when a recording is gone on with.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::base::time::nanos;
use crate::ledger::{Origin, Sink};
use crate::storage::Storage;
use crate::tape::file::{FileHead, Opened, OrderedReader, SessionEnd, TapeFile, TapeFileError};
use crate::wire::{Info, RawFrame, sequence_of};
use alloc::vec::Vec;
use core::time::Duration;

/// Packets are written at the latest so long after they came. Half as long would be twice as many
/// blocks of a slow feed, and twice the memory for their index.
pub const FLUSH: Duration = Duration::from_millis(50);

/// So many conflicting packets are kept to be shown.
pub const CONFLICTS_SHOWN: usize = 8;

/// A packet that came again with other content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Packet that is recorded.
    pub kept: RawFrame,
    /// Origin of that packet; `None` if an earlier run recorded it.
    pub kept_from: Option<Origin>,
    /// Packet that came later.
    pub came: RawFrame,
    /// Origin of that packet.
    pub came_from: Origin,
}

/// When what was recorded is made safe against a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
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
    /// The session, if it was told, and how far it reached by then.
    pub session: Option<Info>,
    /// Places where the file was damaged.
    pub damages: u32,
}

/// Keeps a recording in a tape file. What goes wrong with the file ends the recording, and is told
/// by [`end`](Self::end).
#[derive(Debug)]
pub struct TapeRecorder<S: Storage> {
    file: TapeFile<S>,
    sync: SyncPolicy,
    /// When the recorder's time began, since 1970.
    epoch: Duration,
    /// When it was flushed and synced last.
    flushed: Duration,
    synced: Duration,
    unflushed: bool,
    unsynced: bool,
    conflicts: Vec<Conflict>,
    /// Length of the file when this run began.
    len_before: u64,
    failure: Option<TapeFileError<S::Error>>,
}

impl<S: Storage> TapeRecorder<S> {
    /// Begins a recording on an empty medium. `salt` is random.
    ///
    /// # Errors
    /// What the medium reports.
    pub fn create(
        storage: S,
        sync: SyncPolicy,
        epoch: Duration,
        salt: u64,
    ) -> Result<Self, TapeFileError<S::Error>> {
        let head = FileHead { session: [0; 4], created: nanos(epoch), salt };
        let mut file = TapeFile::create(storage, head)?;
        if sync != SyncPolicy::Never {
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
        sync: SyncPolicy,
        epoch: Duration,
    ) -> Result<(Self, Resumed), TapeFileError<S::Error>> {
        let (mut file, Opened { damages, .. }) = TapeFile::open(storage, false)?;
        let (missing, damaged) = file.missing()?;
        let begun = |session| Info { session, version: 1, first: FIRST_SEQ, last: 0 };
        let resumed = Resumed {
            packets: file.packets(),
            highest: file.span().map_or(0, SeqRange::last),
            missing,
            session: file.session().or(file.session_id().map(begun)),
            damages: damages + damaged,
        };
        Ok((Self::with(file, sync, epoch), resumed))
    }

    fn with(file: TapeFile<S>, sync: SyncPolicy, epoch: Duration) -> Self {
        Self {
            len_before: file.size(),
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

    /// The first packets that came again with other content, [`CONFLICTS_SHOWN`] at most.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
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
            (None, SyncPolicy::Never) => self.file.flush(),
            (None, SyncPolicy::End | SyncPolicy::Every(_)) => self.file.sync(),
        }
    }

    /// Notes what the recording came to: `last`, the last sequence that its session is known to
    /// have, and whether that is its [`end`](crate::session::completeness::Facts::end). `now` is
    /// since 1970.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn conclude(
        &mut self,
        last: Seq,
        end: SessionEnd,
        now: Duration,
    ) -> Result<(), TapeFileError<S::Error>> {
        self.unsynced = true;
        self.file.note_end(last, end, nanos(now))
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
    pub fn in_order(&self, from: Seq) -> OrderedReader<'_, S> {
        self.file.in_order(from)
    }

    /// Gives the medium back, as it is.
    #[must_use]
    pub fn into_storage(self) -> S {
        self.file.into_storage()
    }

    /// Keeps a conflict to be shown.
    fn conflict(&mut self, kept: RawFrame, came: RawFrame, came_from: Origin) {
        if self.conflicts.len() < CONFLICTS_SHOWN {
            match self.file.origin_of(sequence_of(&kept), self.len_before) {
                Ok(kept_from) => {
                    self.conflicts.push(Conflict { kept, kept_from, came, came_from });
                }
                Err(error) => self.check(Err(error)),
            }
        }
    }

    fn check(&mut self, done: Result<(), TapeFileError<S::Error>>) {
        if let Err(error) = done {
            self.failure.get_or_insert(error);
        }
    }

    /// Syncs if it is time to; returns when it will be, if something is not safe then.
    fn sync_if_due(&mut self, now: Duration) -> Option<Duration> {
        let SyncPolicy::Every(interval) = self.sync else { return None };
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

impl<S: Storage> Sink for TapeRecorder<S> {
    fn on_packets(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        let done = self.file.append(origin, self.stamp(now), frames);
        self.check(done);
        // Where packets never stop coming, nothing is ever idle.
        if self.unflushed {
            let _ = self.on_idle(now);
        }
        self.unflushed = true;
        self.unsynced = true;
        self.sync_if_due(now);
    }

    fn on_duplicates(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        let mut count = 0;
        for frame in frames {
            match self.file.get(sequence_of(frame)) {
                Ok(Some(old)) if old != *frame => {
                    count += 1;
                    self.conflict(old, *frame, origin);
                }
                Ok(_) => {}
                Err(error) => self.check(Err(error)),
            }
        }
        count
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        let told = self.file.session();
        if told.is_some_and(|told| told.session == info.session && told.last >= info.last) {
            return SeqSet::new();
        }
        self.unsynced = true;
        let stamp = self.stamp(now);
        let noted = self.file.note_session_of(info, vouched, stamp).and_then(|distrusted| {
            // A later block that knows its session must not survive this one.
            if self.sync != SyncPolicy::Never && told.is_none() {
                self.file.sync()?;
            }
            Ok(distrusted)
        });
        noted.unwrap_or_else(|error| {
            self.check(Err(error));
            SeqSet::new()
        })
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
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

    fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
