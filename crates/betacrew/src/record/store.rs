//! Recording of `fetch`: a tape file, and counters of its gaps.

use crate::clock::since_1970;
use crate::error::Failure;
use crate::format::{Arrival, Format, MessageConsumer, SessionFacts};
use crate::output::counters::WriteCounters;
use crate::output::successor::{self, Begun, Claim, Existing};
use crate::record::gap_counters::GapCounters;
use crate::storage::FileStorage;
use crate::text::formatting::message;
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::client::SessionPayload;
use feed::ledger::{Origin, Sink};
use feed::session::completeness::Facts;
use feed::tape::file::{FileHeadError, Layout, TapeFileError};
use feed::tape::recorder::{Conflict, TapeRecorder};
pub use feed::tape::recorder::{Resumed, SyncPolicy};
use feed::wire::{Info, Messages, SessionId};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Recording in a tape file, with an optional history of its gaps.
#[derive(Debug)]
pub struct RecordingStore {
    tape: TapeRecorder<FileStorage>,
    path: PathBuf,
    /// Right to the name of the file, which the first packet uses.
    claim: Option<Claim>,
    sync: SyncPolicy,
    /// Failure to take the name.
    failure: Option<Failure>,
    written: WriteCounters,
    /// Length of the file in bytes when it was last counted.
    len: u64,
    /// Gaps that were found and filled, without those of packets that no line missed.
    pub gaps: GapCounters,
}

impl RecordingStore {
    /// Opens the tape file at `path`, or creates it. Returns the facts about an earlier recording.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] or [`Failure::Content`] if the file cannot be used.
    pub fn open(path: &Path, sync: SyncPolicy) -> Result<(Self, Option<Resumed>), Failure> {
        let storage = match successor::begin(path, Existing::Continue)? {
            Begun::Empty(storage, claim) => {
                let store = Self::new(storage, path, sync, Some(claim))?;
                return Ok((store, None));
            }
            Begun::Recording(storage) => storage,
        };
        let (tape, resumed) = TapeRecorder::open(storage, sync, since_1970())
            .map_err(|error| failure(error, path))?;
        if resumed.packets == 0 && resumed.damages == 0 && tape.file().left_out() == 0 {
            // A file without packets is started again, so that its session does not bind this one.
            let cleared = tape.into_storage().cleared().map_err(|source| Failure::Storage {
                action: "record into",
                path: path.to_owned(),
                source,
            })?;
            return Ok((Self::new(cleared, path, sync, Some(Claim::Own))?, None));
        }
        let mut store = Self::with(tape, path, sync, None);
        store.gaps.start_with(&resumed.missing);
        Ok((store, Some(resumed)))
    }

    /// Creates a tape file that replaces a recording at `path` once it has its first packet.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] or [`Failure::Content`] if the file cannot be used, or the file
    /// at `path` is not a recording.
    pub fn anew(path: &Path, sync: SyncPolicy) -> Result<Self, Failure> {
        match successor::begin(path, Existing::Replace)? {
            Begun::Empty(storage, claim) => Self::new(storage, path, sync, Some(claim)),
            Begun::Recording(_) => unreachable!("a recording is replaced here, never continued"),
        }
    }

    /// Creates a recording in a temporary file without a name, which disappears with this value.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if no temporary file can be created.
    pub fn unnamed() -> Result<Self, Failure> {
        let path = std::env::temp_dir();
        let failed =
            |source| Failure::Storage { action: "record into", path: path.clone(), source };
        let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
        Self::new(storage, &path, SyncPolicy::Never, None)
    }

    fn new(
        storage: FileStorage,
        path: &Path,
        sync: SyncPolicy,
        claim: Option<Claim>,
    ) -> Result<Self, Failure> {
        let tape = TapeRecorder::create(storage, sync, since_1970(), crate::args::parse::random())
            .map_err(|error| failure(error, path))?;
        if sync != SyncPolicy::Never && matches!(claim, Some(Claim::Own | Claim::New(_))) {
            // After a power failure a file whose name was not synced cannot be found.
            crate::storage::sync_folder(path).map_err(|source| Failure::Storage {
                action: "record into",
                path: path.into(),
                source,
            })?;
        }
        Ok(Self::with(tape, path, sync, claim))
    }

    fn with(
        tape: TapeRecorder<FileStorage>,
        path: &Path,
        sync: SyncPolicy,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            len: tape.file().size(),
            tape,
            path: path.to_owned(),
            claim,
            sync,
            failure: None,
            written: WriteCounters::default(),
            gaps: GapCounters::default(),
        }
    }

    /// Returns the number of recorded packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.tape.packets()
    }

    /// Returns the highest recorded sequence, or 0 if there is none.
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.tape.file().span().map_or(0, |span| span.last())
    }

    /// Returns the counters of the tape file, which include bytes that are still buffered.
    #[must_use]
    pub fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    /// Returns the session, if an exchange announced it.
    #[must_use]
    pub fn known_session(&self) -> Option<SessionId> {
        self.tape.file().session_id()
    }

    /// Returns the facts that the tape file has about its session.
    #[must_use]
    pub fn session_facts(&self) -> SessionFacts {
        SessionFacts::of(self.tape.file())
    }

    /// Returns the kind of the messages that the recording has so far.
    #[must_use]
    pub fn payload(&self) -> SessionPayload {
        match self.tape.file().layout() {
            None => SessionPayload::Unknown,
            Some(Layout::Packets) => SessionPayload::Packets,
            Some(Layout::Run(_)) => SessionPayload::Messages,
        }
    }

    /// Returns whether the recording is worth nothing to a later run: it has no session and no
    /// packets, not even packets of an unknown session.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let file = self.tape.file();
        file.packets() == 0 && file.left_out() == 0 && file.session_id().is_none()
    }

    /// Returns the path of the tape file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the recording: writes everything, and syncs it if requested.
    ///
    /// # Errors
    /// Errors of the file, of this call or of an earlier one.
    pub fn end(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.tape.end().map_err(|error| failure(error, &self.path))
    }

    /// Gives the file its name, once it has a packet.
    fn take_name(&mut self, claim: Claim) {
        // The packet is written first, because taking the name removes the earlier recording.
        let done = self.tape.end().map_err(|error| failure(error, &self.path));
        let failed = |source| {
            let path = self.path.clone();
            Failure::Storage { action: "record into", path, source }
        };
        self.failure = done.and_then(|()| claim.take(self.sync.into()).map_err(failed)).err();
    }

    /// Removes the tape file. An earlier recording that it should replace is kept if no packet was
    /// received.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if the file cannot be removed.
    pub fn remove(&mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        if let Some(Claim::Successor(_)) = self.claim.take() {
            return Ok(());
        }
        if path.is_dir() {
            // A file without a name disappears by itself.
            return Ok(());
        }
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Failure::Storage { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Writes the result to the tape file: whether the recording is complete, and the last known
    /// sequence of its session.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn conclude(&mut self, last: Seq, facts: &Facts) -> Result<(), Failure> {
        let done = self.tape.conclude(last, facts.end(), since_1970());
        done.map_err(|error| failure(error, &self.path))?;
        self.end()
    }

    /// Writes the index of the tape file, which makes opening it fast.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if let Some(claim) = self.claim.take() {
            claim.keep();
        }
        self.tape.finish(since_1970()).map_err(|error| failure(error, &self.path))
    }

    /// Writes buffered packets to the file.
    pub fn flush(&mut self) {
        self.tape.flush();
    }

    /// Returns the arrival of packets that arrive now.
    #[must_use]
    pub fn arrival(&self, origin: Origin, now: Duration) -> Arrival {
        Arrival { at: self.tape.stamp(now), origin: Some(origin) }
    }

    /// Reads all packets in order.
    ///
    /// # Errors
    /// Errors of the file and of `each`.
    pub fn read(&self, each: &mut MessageConsumer<'_>) -> Result<(), Failure> {
        self.read_from(FIRST_SEQ, each)
    }

    /// Reads all packets in order for a file of this format. A format without arrivals gets larger
    /// slices.
    ///
    /// # Errors
    /// Errors of the file and of `each`.
    pub fn read_for(&self, format: Format, each: &mut MessageConsumer<'_>) -> Result<(), Failure> {
        // Packets of different origins can be merged into long slices only for formats that store
        // no origin.
        if format.has_arrival() {
            return self.read(each);
        }
        let mut reading = self.tape.in_order(FIRST_SEQ);
        loop {
            match reading.merged() {
                Ok(messages) if messages.is_empty() => return Ok(()),
                Ok(messages) => each(messages, Arrival::UNKNOWN)?,
                Err(error) => return Err(failure(error, &self.path)),
            }
        }
    }

    /// Reads the packets in order, starting at sequence `from`.
    ///
    /// # Errors
    /// Errors of the file and of `each`.
    pub fn read_from(&self, from: Seq, each: &mut MessageConsumer<'_>) -> Result<(), Failure> {
        let mut reading = self.tape.in_order(from);
        loop {
            match reading.next() {
                Ok(Some(piece)) => each(piece.messages, Arrival::of(&piece.block))?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(failure(error, &self.path)),
            }
        }
    }

    /// Returns the first conflicting packets as text: both versions, with their lines if there are
    /// several.
    #[must_use]
    pub fn conflict_texts(&self, addresses: &[String]) -> Vec<String> {
        let line = |origin: Origin| match addresses {
            [_] => String::new(),
            all => {
                let address = all.get(usize::from(origin.line)).map_or("?", String::as_str);
                format!(" from {}", shown(address))
            }
        };
        let text = |conflict: &Conflict| {
            let before = || " recorded before".to_owned();
            let text = |bytes: &[u8]| message(conflict.seq, bytes);
            let (kept, came) = (text(&conflict.kept), text(&conflict.came));
            let kept_from = conflict.kept_from.map_or_else(before, line);
            format!("{kept}{kept_from}, then {came}{}", line(conflict.came_from))
        };
        self.tape.conflicts().iter().map(text).collect()
    }
}

/// Returns the failure for an error of the tape file at `path`.
fn failure(error: TapeFileError<io::Error>, path: &Path) -> Failure {
    match error {
        TapeFileError::Storage(source) => {
            Failure::Storage { action: "record into", path: path.to_owned(), source }
        }
        error @ TapeFileError::Head(FileHeadError::Short | FileHeadError::Foreign) => {
            Failure::Content {
                path: path.to_owned(),
                reason: format!("{error}. Choose another file: --tape FILE"),
            }
        }
        error @ TapeFileError::Head(_) => Failure::Content {
            path: path.to_owned(),
            reason: format!(
                "{error}. Choose another file with --tape FILE, or discard it with --restart"
            ),
        },
        error => Failure::Content { path: path.to_owned(), reason: error.to_string() },
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl Sink for RecordingStore {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        self.gaps.on_arrival(origin);
        self.tape.on_messages(origin, messages, now);
        if let Some(claim) = self.claim.take() {
            self.take_name(claim);
        }
        let len = self.tape.file().size();
        self.written.add(messages.len(), len.saturating_sub(self.len));
        self.len = len;
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.gaps.note_stream(origin);
        self.tape.on_duplicates(origin, messages)
    }

    fn on_gap(&mut self, gap: SeqRange, _: Duration) {
        self.gaps.on_gap(gap);
    }

    fn on_fill(&mut self, range: SeqRange, after: Duration, by: Origin, now: Duration) {
        self.gaps.on_fill(range, after, by, now);
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        // A file with a session is kept before its first packet, but it does not replace an earlier
        // recording yet.
        if let Some(claim) = self.claim.take_if(|claim| !claim.replaces()) {
            claim.keep();
        }
        let distrusted = self.tape.on_session(info, vouched, now);
        self.gaps.on_distrusted(&distrusted);
        distrusted
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.tape.on_idle(now)
    }

    fn has_failed(&self) -> bool {
        self.failure.is_some() || self.tape.has_failed()
    }

    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        self.tape.on_request(piece, now);
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.tape.on_gap_abandoned(range, now);
    }

    fn is_closed(&self) -> bool {
        self.tape.is_closed()
    }

    fn wants_missing(&self) -> bool {
        self.tape.wants_missing()
    }
}
