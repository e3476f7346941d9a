//! Tape recorder: a sink that stores a recording in a tape file, and reads what a file has when its
//! recording is resumed.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::base::time::nanos;
use crate::ledger::{Origin, Sink};
use crate::storage::Storage;
use crate::tape::file::{
    FileHead, OpenMode, Opened, OrderedReader, SessionEnd, TapeFile, TapeFileError,
};
use crate::wire::{Info, Messages, sequence_of};
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum time between the arrival of a packet and its write. Half of it would double the blocks
/// of a slow feed, and the memory of their index.
pub const FLUSH: Duration = Duration::from_millis(50);

/// Maximum number of conflicting messages that are kept to be shown.
pub const CONFLICTS_SHOWN: usize = 8;

/// Conflict: a message that arrived again with different content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Sequence of the message.
    pub seq: Seq,
    /// Message that is recorded.
    pub kept: Vec<u8>,
    /// Origin of that message; `None` if an earlier run recorded it.
    pub kept_from: Option<Origin>,
    /// Message that arrived later.
    pub came: Vec<u8>,
    /// Origin of that message.
    pub came_from: Origin,
}

/// Policy that says when recorded packets are made safe against a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// Left to the system, which writes within seconds.
    Never,
    /// Synced at the end of the recording.
    End,
    /// Synced at this interval, and at the end.
    Every(Duration),
}

/// Contents of a recording that is resumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// Number of packets.
    pub packets: u64,
    /// Highest sequence.
    pub highest: Seq,
    /// Sequences missing below the highest one.
    pub missing: SeqSet,
    /// Description of the session, if an exchange has given one.
    pub session: Option<Info>,
    /// Number of damaged places in the file.
    pub damages: u32,
}

/// Sink that stores a recording in a tape file. An error of the file ends the recording;
/// [`end`](Self::end) returns it.
#[derive(Debug)]
pub struct TapeRecorder<S: Storage> {
    file: TapeFile<S>,
    sync: SyncPolicy,
    /// Time of the recorder's start, since 1970.
    epoch: Duration,
    /// Times of the last flush and the last sync.
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
    /// Begins a recording on empty storage. `salt` is a random number.
    ///
    /// # Errors
    /// Errors of the storage.
    pub fn create(
        storage: S,
        sync: SyncPolicy,
        epoch: Duration,
        salt: u64,
    ) -> Result<Self, TapeFileError<S::Error>> {
        let head = FileHead { session: None, created: nanos(epoch), salt };
        let mut file = TapeFile::create(storage, head)?;
        if sync != SyncPolicy::Never {
            // A file without its head cannot be opened again, so the head is written at once.
            file.sync()?;
        }
        Ok(Self::with(file, sync, epoch))
    }

    /// Resumes the recording of a storage, and returns its contents.
    ///
    /// # Errors
    /// Returns an error if the storage has no tape file, or fails.
    pub fn open(
        storage: S,
        sync: SyncPolicy,
        epoch: Duration,
    ) -> Result<(Self, Resumed), TapeFileError<S::Error>> {
        let (mut file, Opened { damages, .. }) = TapeFile::open(storage, OpenMode::Scan)?;
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

    /// Returns the tape file.
    #[must_use]
    pub fn file(&self) -> &TapeFile<S> {
        &self.file
    }

    /// Returns the number of recorded packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.file.packets()
    }

    /// Returns the first conflicts, at most [`CONFLICTS_SHOWN`].
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Writes all recorded packets, so that they can be read.
    pub fn flush(&mut self) {
        let done = self.file.flush();
        self.check(done);
    }

    /// Converts a time of the recorder to nanoseconds since 1970.
    #[must_use]
    pub fn stamp(&self, now: Duration) -> u64 {
        nanos(self.epoch + now)
    }

    /// Ends the recording: writes all packets, and syncs them if the policy says so.
    ///
    /// # Errors
    /// Returns the first error of the file, from now or before.
    pub fn end(&mut self) -> Result<(), TapeFileError<S::Error>> {
        match (self.failure.take(), self.sync) {
            (Some(failure), _) => Err(failure),
            (None, SyncPolicy::Never) => self.file.flush(),
            (None, SyncPolicy::End | SyncPolicy::Every(_)) => self.file.sync(),
        }
    }

    /// Stores the result of the recording: the last sequence that its session is known to have, and
    /// the [end](crate::session::completeness::Facts::end) of the session. `now` is since 1970.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn conclude(
        &mut self,
        last: Seq,
        end: SessionEnd,
        now: Duration,
    ) -> Result<(), TapeFileError<S::Error>> {
        self.unsynced = true;
        self.file.note_end(last, end, nanos(now))
    }

    /// Writes the file's index, so that the next opening is quick. `now` is since 1970.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn finish(&mut self, now: Duration) -> Result<(), TapeFileError<S::Error>> {
        self.file.finish(nanos(now))?;
        self.end()
    }

    /// Reads the packets in order of sequence, from `from` on. Packets that are not written yet are
    /// missing.
    #[must_use]
    pub fn in_order(&self, from: Seq) -> OrderedReader<'_, S> {
        self.file.in_order(from)
    }

    /// Returns the storage as it is.
    #[must_use]
    pub fn into_storage(self) -> S {
        self.file.into_storage()
    }

    /// Stores a conflict to be shown.
    fn conflict(&mut self, seq: Seq, (kept, came): (&[u8], &[u8]), came_from: Origin) {
        if self.conflicts.len() < CONFLICTS_SHOWN {
            match self.file.origin_of(seq, self.len_before) {
                Ok(kept_from) => {
                    let (kept, came) = (kept.to_vec(), came.to_vec());
                    self.conflicts.push(Conflict { seq, kept, kept_from, came, came_from });
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

    /// Syncs if it is due. Returns the time of the next sync if packets are not synced yet.
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
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        let done = self.file.append(origin, self.stamp(now), messages);
        self.check(done);
        // A feed that never pauses is never idle, so the flush is checked here as well.
        if self.unflushed {
            let _ = self.on_idle(now);
        }
        self.unflushed = true;
        self.unsynced = true;
        self.sync_if_due(now);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        let mut count = 0;
        let run = match messages {
            Messages::Run(run) => run,
            Messages::Packets(frames) => {
                for frame in frames {
                    let seq = sequence_of(frame);
                    match self.file.get(seq) {
                        Ok(Some(old)) if old != *frame => {
                            count += 1;
                            self.conflict(seq, (&old, frame), origin);
                        }
                        Ok(_) => {}
                        Err(error) => self.check(Err(error)),
                    }
                }
                return count;
            }
        };
        let mut shown = Vec::new();
        let done = self.file.compare(run, &mut |seq, kept, came| {
            count += 1;
            if shown.len() < CONFLICTS_SHOWN {
                shown.push((seq, kept.to_vec(), came.to_vec()));
            }
        });
        self.check(done);
        for (seq, kept, came) in shown {
            self.conflict(seq, (&kept, &came), origin);
        }
        count
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        let known = self.file.session();
        if known.is_some_and(|known| known.session == info.session && known.last >= info.last) {
            return SeqSet::new();
        }
        self.unsynced = true;
        let stamp = self.stamp(now);
        let noted = self.file.note_session_of(info, vouched, stamp).and_then(|distrusted| {
            // If this block were lost and a later one survived, the later one would claim the
            // session for all blocks.
            if self.sync != SyncPolicy::Never && known.is_none() {
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
        // The last packets must be synced even if no more arrive.
        let sync_at = self.sync_if_due(now);
        let flush_at = self.unflushed.then_some(self.flushed + FLUSH);
        flush_at.into_iter().chain(sync_at).min()
    }

    fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
