//! Live tape of `serve --live`: new packets are stored in a tape file, if one was named.

use crate::clock::{nanos_since_1970, since_1970};
use crate::error::Failure;
use crate::output::counters::WriteCounters;
use crate::output::successor::{self, Begun, Claim, Existing};
use crate::storage::{Durability, FileStorage};
use crate::tape::name::{AnyTape, FailingTape};
use feed::base::seq::{Seq, SeqRange};
use feed::base::time::nanos;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, OpenMode, SessionEnd, TapeFile};
use feed::tape::growing::{ArrivalRate, GrowingTape};
use feed::tape::recorder::FLUSH;
use feed::tape::source::TapeSource;
use feed::wire::{Info, Messages, SessionId};
use std::path::Path;
use std::time::Duration;

/// Record that an exchange keeps of its live session.
#[derive(Debug)]
pub struct LiveRecord {
    file: TapeFile<FileStorage>,
    /// Last sequence that was added.
    added: Seq,
    flushed: Duration,
    /// Time of the exchange's start, since 1970.
    epoch: Duration,
    /// Claim on the file's name, which the first packet uses.
    claim: Option<Claim>,
    written: WriteCounters,
}

/// Contents of a record when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlierRun {
    /// Id of the session.
    pub session: SessionId,
    /// Last packet of the record.
    pub last: Seq,
}

impl LiveRecord {
    /// Opens the record at `path`, or begins one if there is none, or if `existing` replaces it.
    /// A new record replaces the old file at its first packet.
    ///
    /// # Errors
    /// [`Failure::Storage`] or [`Failure::Content`] if the file cannot be used.
    pub fn open(
        path: &Path,
        existing: Existing,
        session: SessionId,
    ) -> Result<(Self, Option<EarlierRun>), Failure> {
        let content = |reason: String| Failure::Content { path: path.into(), reason };
        let epoch = since_1970();
        let with = |file, added, claim| {
            let written = WriteCounters::default();
            Self { file, added, flushed: Duration::ZERO, epoch, claim, written }
        };
        let storage = match successor::begin(path, existing)? {
            Begun::Empty(storage, claim) => {
                let (created, salt) = (nanos(epoch), crate::args::parse::random());
                let head = FileHead { session: Some(session), created, salt };
                let file = TapeFile::create(storage, head).map_err(|e| content(e.to_string()))?;
                return Ok((with(file, 0, Some(claim)), None));
            }
            Begun::Recording(storage) => storage,
        };
        let (mut file, _) =
            TapeFile::open(storage, OpenMode::Scan).map_err(|e| content(e.to_string()))?;
        let (missing, _) = file.missing().map_err(|e| content(e.to_string()))?;
        // Packets that were not written before a kill are generated again, with the same content.
        let last = file.span().map_or(0, SeqRange::last);
        let last = missing.ranges().first().map_or(last, |gap| gap.first() - 1);
        if !missing.is_empty() {
            return Err(content(format!(
                "packets are missing in it after {last}: --new-session begins another"
            )));
        }
        let session = file.head().session.ok_or_else(|| {
            content("its session is not known: --new-session begins another".to_owned())
        })?;
        Ok((with(file, last, None), Some(EarlierRun { session, last })))
    }

    /// Adds the packets that became available.
    fn add(&mut self, live: &mut GrowingTape<AnyTape>, now: Duration) -> Result<(), String> {
        let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let arrived = nanos(self.epoch + now);
        let len = self.file.size();
        while let Some(range) = SeqRange::new(self.added + 1, live.last()) {
            let messages = live.messages(range);
            let count = messages.len();
            if count == 0 {
                // The tape has failed, and reports the reason itself.
                break;
            };
            self.file.append(origin, arrived, messages).map_err(|error| error.to_string())?;
            self.added += count;
            self.written.add(count, 0);
        }
        if let Some(claim) = self.claim.take_if(|_| self.added > 0) {
            // The packet is written first, because the old record is replaced then.
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

    /// Ends the record: writes all packets and an index. `over` says that the session has ended.
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

/// Live tape with its record.
#[derive(Debug)]
pub struct LiveTape {
    live: GrowingTape<AnyTape>,
    record: Option<LiveRecord>,
    /// Reason why the record cannot be written, if it cannot.
    failure: Option<String>,
}

impl FailingTape for LiveTape {
    /// Returns the failure of the tape; [`finish`](LiveTape::finish) returns that of the record.
    fn failed(&self) -> Option<Failure> {
        self.live.tape().failed()
    }
}

impl LiveTape {
    /// Creates a live tape that continues at the end of its record.
    #[must_use]
    pub fn new(tape: AnyTape, tempo: ArrivalRate, seed: u64, record: Option<LiveRecord>) -> Self {
        let there = record.as_ref().map_or(0, |record| record.added);
        Self { live: GrowingTape::new(tape, tempo, seed, there), record, failure: None }
    }

    /// Returns the write counters of the record, if there is one.
    #[must_use]
    pub fn written(&self) -> Option<WriteCounters> {
        self.record.as_ref().map(|record| record.written.clone())
    }

    /// Ends the record.
    ///
    /// # Errors
    /// Returns the failure of the record as text.
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

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        self.live.messages(range)
    }

    fn message_len(&self) -> Option<u64> {
        self.live.message_len()
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
