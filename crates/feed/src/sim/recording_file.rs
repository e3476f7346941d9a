//! Tape file of a simulated client: opened at each start, and damaged by crashes.

use super::disk::{Disk, DiskFailed};
use super::durable_expectation::{DurabilityChecker, DurableExpectation};
use super::plan::Crash;
use crate::base::rng::Rng;
use crate::base::seq::SeqSet;
use crate::client::{
    IncompleteReason, LineProtocol, Outcome, Recorder, RecorderOptions, SessionPayload,
};
use crate::ledger::Sink;
use crate::tape::file::{Layout, SessionEnd, TapeFileError, is_stillborn};
use crate::tape::recorder::{SyncPolicy, TapeRecorder};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Recorder that was started, with the recorder of its tape file.
pub(super) type Started = (TapeRecorder<Disk>, Recorder);

/// Tape file over all starts of a client, with the messages that it must still contain.
pub(super) struct RecordingFile {
    disk: Disk,
    owed: DurableExpectation,
    sync: SyncPolicy,
    power_failed: bool,
}

impl RecordingFile {
    /// Returns a file that does not exist yet.
    pub(super) fn new(sync: SyncPolicy) -> Self {
        let (disk, owed) = (Disk::new(), DurableExpectation::default());
        Self { disk, owed, sync, power_failed: false }
    }

    /// Lets the disk be full after this number of bytes.
    pub(super) fn limit(&mut self, room: u32) {
        self.disk.limit(Some(room.into()));
    }

    /// Opens the earlier recording, or begins one; `None` if the client cannot start. `tell` takes
    /// events for the trace.
    pub(super) fn open(
        &mut self,
        (options, lines): (RecorderOptions, Vec<LineProtocol>),
        epoch: Duration,
        rng: &mut Rng,
        mut tell: impl FnMut(String),
    ) -> Result<Option<Started>, String> {
        let (disk, sync) = (core::mem::take(&mut self.disk), self.sync);
        let failed = |error: &TapeFileError<DiskFailed>| format!("the tape file: {error}");
        if is_stillborn(&disk).map_err(|error| failed(&error.into()))? {
            self.owed.covered_by(&SeqSet::new())?;
            let mut empty = Disk::new();
            empty.limit(disk.room());
            return match TapeRecorder::create(empty, sync, epoch, rng.bits()) {
                Ok(tape_recorder) => Ok(Some((tape_recorder, Recorder::new(options, lines)))),
                // The disk is full at once.
                Err(_) => Ok(None),
            };
        }
        let (tape_recorder, before) = match TapeRecorder::open(disk, sync, epoch) {
            Ok(opened) => opened,
            // A file that was never synced may be gone as a whole; the user is told to start over.
            Err(TapeFileError::Head(_)) if self.power_failed && sync == SyncPolicy::Never => {
                tell("run: the recording is gone; the user restarts it".into());
                self.owed.covered_by(&SeqSet::new())?;
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        };
        tell(format!("run: the client resumes a recording of {} packets", before.packets));
        self.owed.found(&before)?;
        let mut recorder =
            Recorder::resume(options, lines, before.highest, &before.missing, before.session);
        recorder.expect_payload(match tape_recorder.file().layout() {
            None => SessionPayload::Unknown,
            Some(Layout::Packets) => SessionPayload::Packets,
            Some(Layout::Run(_)) => SessionPayload::Messages,
        });
        Ok(Some((tape_recorder, recorder)))
    }

    /// Notes that the recorder has ended.
    pub(super) fn finished(&mut self, checker: &DurabilityChecker, now: Duration) {
        self.owed.forget(checker);
        if !checker.has_failed() {
            // If the disk fails only now, then in writing the last packets.
            self.owed.crashed(checker, self.sync, false, now);
        }
    }

    /// Damages the file as a crash does.
    pub(super) fn crashed(
        &mut self,
        checker: DurabilityChecker,
        crash: Crash,
        now: Duration,
        rng: &mut Rng,
    ) {
        let power = crash == Crash::Power;
        self.owed.crashed(&checker, self.sync, power, now);
        let disk = checker.tape_recorder.into_storage();
        self.power_failed |= power;
        self.disk = match crash {
            Crash::Power => disk.power_loss(rng),
            Crash::Kill | Crash::Full(_) | Crash::Stop => disk,
        };
    }

    /// Writes the end of a recording that has ended in order at time `now`. Returns `None` if the
    /// disk is full, which it may be if `is_limited`.
    pub(super) fn conclude(
        &mut self,
        tape_recorder: TapeRecorder<Disk>,
        outcome: &Outcome,
        end: SessionEnd,
        (now, is_limited): (Duration, bool),
    ) -> Result<Option<TapeRecorder<Disk>>, String> {
        let mut tape_recorder = tape_recorder;
        let done =
            tape_recorder.end().and_then(|()| tape_recorder.conclude(outcome.last, end, now));
        match done.and_then(|()| tape_recorder.end()) {
            Ok(()) if outcome.reason == Some(IncompleteReason::Storage) => {
                Err("the recorder reports a failed disk, and the disk works".into())
            }
            Ok(()) => Ok(Some(tape_recorder)),
            Err(TapeFileError::Storage(DiskFailed)) if is_limited => {
                self.give_back(tape_recorder);
                Ok(None)
            }
            Err(error) => Err(format!("the tape file: {error}")),
        }
    }

    /// Takes the file back from its recorder, with all limits of the disk lifted.
    fn give_back(&mut self, tape_recorder: TapeRecorder<Disk>) {
        self.disk = tape_recorder.into_storage();
        self.disk.limit(None);
    }

    /// Closes a recording that has ended in order, which the power may not take any more.
    pub(super) fn close(
        &mut self,
        tape_recorder: TapeRecorder<Disk>,
        recorded: SeqSet,
    ) -> Result<(), String> {
        self.give_back(tape_recorder);
        if self.sync != SyncPolicy::Never && !self.disk.is_safe() {
            return Err("the recording has ended, and is not safe from a loss of power".into());
        }
        self.owed.ended(recorded, self.sync);
        Ok(())
    }
}
