//! A live tape as `serve` has it: what comes into being is kept in a tape file, if that is wanted.

use crate::clock::{nanos_since_1970, since_1970};
use crate::error::Failure;
use crate::output::counters::WriteCounters;
use crate::output::successor::{self, Begun, Claim, Existing};
use crate::storage::{Durability, FileStorage};
use crate::tape::name::{AnyTape, FailingTape};
use feed::base::seq::{Seq, SeqRange};
use feed::base::time::nanos;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, SessionEnd, TapeFile};
use feed::tape::growing::{ArrivalRate, GrowingTape};
use feed::tape::recorder::FLUSH;
use feed::tape::source::TapeSource;
use feed::wire::{Info, RawFrame, SessionId};
use std::path::Path;
use std::time::Duration;

/// The exchange's own record of a live session.
#[derive(Debug)]
pub struct LiveRecord {
    file: TapeFile<FileStorage>,
    /// Everything up to this sequence was added.
    added: Seq,
    flushed: Duration,
    /// When the exchange's time began, since 1970.
    epoch: Duration,
    /// Right to the file's name, until the first packet makes use of it.
    claim: Option<Claim>,
    written: WriteCounters,
}

/// What a record had when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlierRun {
    /// The session.
    pub session: SessionId,
    /// Its last packet.
    pub last: Seq,
}

impl LiveRecord {
    /// Opens the record at `path`; begins one if there is none, or with `anew`. That one replaces
    /// the record that is there with its first packet.
    ///
    /// # Errors
    /// [`Failure::Storage`] or [`Failure::Content`] where the file cannot be used.
    pub fn open(
        path: &Path,
        anew: bool,
        session: SessionId,
    ) -> Result<(Self, Option<EarlierRun>), Failure> {
        let content = |reason: String| Failure::Content { path: path.into(), reason };
        let epoch = since_1970();
        let with = |file, added, claim| {
            let written = WriteCounters::default();
            Self { file, added, flushed: Duration::ZERO, epoch, claim, written }
        };
        let existing = if anew { Existing::Replace } else { Existing::Continue };
        let storage = match successor::begin(path, existing)? {
            Begun::Empty(storage, claim) => {
                let (created, salt) = (nanos(epoch), crate::args::parse::random());
                let head = FileHead { session: session.0, created, salt };
                let file = TapeFile::create(storage, head).map_err(|e| content(e.to_string()))?;
                return Ok((with(file, 0, Some(claim)), None));
            }
            Begun::Recording(storage) => storage,
        };
        let (mut file, _) = TapeFile::open(storage, false).map_err(|e| content(e.to_string()))?;
        let (missing, _) = file.missing().map_err(|e| content(e.to_string()))?;
        // What was not written when it was killed comes into being again, the same.
        let last = file.span().map_or(0, SeqRange::last);
        let last = missing.ranges().first().map_or(last, |gap| gap.first() - 1);
        if !missing.is_empty() {
            return Err(content(format!(
                "packets are missing in it after {last}: --new-session begins another"
            )));
        }
        let session = SessionId(file.head().session);
        Ok((with(file, last, None), Some(EarlierRun { session, last })))
    }

    /// Adds what has come into being.
    fn add(&mut self, live: &mut GrowingTape<AnyTape>, now: Duration) -> Result<(), String> {
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let arrived = nanos(self.epoch + now);
        let len = self.file.size();
        while let Some(range) = SeqRange::new(self.added + 1, live.last()) {
            let frames = live.frames(range);
            let Some(count) = u32::try_from(frames.len()).ok().filter(|&count| count > 0) else {
                // The tape has failed, and tells why itself.
                break;
            };
            self.file.append(origin, arrived, frames).map_err(|error| error.to_string())?;
            self.added += count;
            self.written.add(frames.len(), 0);
        }
        if let Some(claim) = self.claim.take_if(|_| self.added > 0) {
            // The packet is written first, because the record that had the name is lost then.
            self.file.flush().map_err(|error| error.to_string())?;
            claim.take(Durability::Buffered).map_err(|error| error.to_string())?;
        }
        if now >= self.flushed + FLUSH {
            self.flushed = now;
            self.file.flush().map_err(|error| error.to_string())?;
        }
        self.written.add(0, self.file.size().saturating_sub(len));
        Ok(())
    }

    /// Ends it: everything is written, and an index. `over`: the session has come to its end.
    fn finish(&mut self, over: bool) -> Result<(), String> {
        if let Some(claim) = self.claim.take() {
            claim.keep();
        }
        let (end, now) =
            (if over { SessionEnd::Confirmed } else { SessionEnd::Open }, nanos_since_1970());
        let noted = self.file.note_end(self.added, end, now);
        noted.and_then(|()| self.file.finish(now)).map_err(|error| error.to_string())
    }
}

/// A live tape, and its record.
#[derive(Debug)]
pub struct LiveTape {
    live: GrowingTape<AnyTape>,
    record: Option<LiveRecord>,
    /// Why its record cannot be written.
    failure: Option<String>,
}

impl FailingTape for LiveTape {
    /// Of the tape behind it; of its record [`finish`](LiveTape::finish) tells.
    fn failed(&self) -> Option<Failure> {
        self.live.tape().failed()
    }
}

impl LiveTape {
    /// `tape` comes into being, from where its record ends.
    #[must_use]
    pub fn new(tape: AnyTape, tempo: ArrivalRate, seed: u64, record: Option<LiveRecord>) -> Self {
        let there = record.as_ref().map_or(0, |record| record.added);
        Self { live: GrowingTape::new(tape, tempo, seed, there), record, failure: None }
    }

    /// What has been written to its record, if it has one.
    #[must_use]
    pub fn written(&self) -> Option<WriteCounters> {
        self.record.as_ref().map(|record| record.written.clone())
    }

    /// Ends the record.
    ///
    /// # Errors
    /// What went wrong with it.
    pub fn finish(&mut self) -> Result<(), String> {
        match (&self.failure, &mut self.record) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(record)) => {
                let info =
                    Info { session: self.live.session(), version: 1, first: 1, last: record.added };
                let told = record.file.note_session(info, nanos_since_1970());
                let over = self.live.over();
                told.map_err(|error| error.to_string()).and_then(|()| record.finish(over))
            }
            (None, None) => Ok(()),
        }
    }
}

impl TapeSource for LiveTape {
    fn last(&self) -> Seq {
        self.live.last()
    }

    fn session(&self) -> SessionId {
        self.live.session()
    }

    fn frames(&mut self, range: SeqRange) -> &[RawFrame] {
        self.live.frames(range)
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        self.live.arrived(seq)
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref().or(self.live.failure())
    }

    fn grow(&mut self, now: Duration) {
        let before = self.live.last();
        self.live.grow(now);
        if let Some(record) = self.record.as_mut().filter(|_| self.live.last() > before)
            && let Err(failure) = record.add(&mut self.live, now)
        {
            self.failure.get_or_insert(format!("its record cannot be written: {failure}"));
        }
    }

    fn grows_at(&self) -> Option<Duration> {
        self.live.grows_at()
    }

    fn end(&self) -> Seq {
        self.live.end()
    }

    fn over(&self) -> bool {
        self.live.over()
    }
}
