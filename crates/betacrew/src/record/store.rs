//! What `fetch` keeps while it records: a tape file, and what it counts on the way.

use crate::clock::since_1970;
use crate::error::Failure;
use crate::format::{Arrival, Format, PacketConsumer, SessionFacts};
use crate::output::counters::WriteCounters;
use crate::output::successor::{self, Begun, Claim};
use crate::storage::FileStorage;
use crate::text::formatting::packet;
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::ledger::{Origin, Sink, Source};
use feed::session::completeness::Facts;
use feed::tape::file::{FileHeadError, TapeFileError};
use feed::tape::recorder::{Conflict, TapeRecorder};
pub use feed::tape::recorder::{Resumed, SyncPolicy};
use feed::wire::{Info, RawFrame, SessionId};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
pub struct RecordingStore {
    keeper: TapeRecorder<FileStorage>,
    path: PathBuf,
    /// Right to the file's name, until the first packet makes use of it.
    claim: Option<Claim>,
    sync: SyncPolicy,
    /// Failure to take the name.
    failure: Option<Failure>,
    written: WriteCounters,
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
    /// What a recording that goes on had not reached before; asking for it is no loss.
    rest: Rest,
    /// Number of packets that were recorded, are not known to be of the session that was told
    /// later, and were asked for again. No line has lost them.
    pub distrusted: u64,
    /// Those of them that are below the highest sequence which was not.
    reopened: SeqSet,
    /// Whether gaps that open now are of packets that were distrusted just now.
    distrusts: bool,
}

/// The part of a session behind a recording that is gone on with.
#[derive(Debug)]
enum Rest {
    /// None is asked for: it comes by streams.
    Streamed,
    /// What lies above this sequence; no stream has brought anything yet.
    Above(Seq),
    /// This was asked for.
    Asked(SeqRange),
}

impl RecordingStore {
    /// Records into the tape file at `path`: a new one, or one that is there and is gone on with.
    /// Returns what was there.
    ///
    /// # Errors
    /// [`Failure::Storage`] or [`Failure::Content`] where that file cannot be used.
    pub fn open(path: &Path, sync: SyncPolicy) -> Result<(Self, Option<Resumed>), Failure> {
        let storage = match successor::begin(path, false)? {
            Begun::Empty(storage, claim) => {
                let capture = Self::new(storage, path, sync, Some(claim))?;
                return Ok((capture, None));
            }
            Begun::Recording(storage) => storage,
        };
        let (keeper, resumed) = TapeRecorder::open(storage, sync, since_1970())
            .map_err(|error| failure(error, path))?;
        if resumed.packets == 0 && resumed.damages == 0 && keeper.file().left_out() == 0 {
            // Of whatever session it was begun, there is nothing in it to go on with.
            let cleared = keeper.into_storage().cleared().map_err(|source| Failure::Storage {
                action: "record into",
                path: path.to_owned(),
                source,
            })?;
            return Ok((Self::new(cleared, path, sync, Some(Claim::Own))?, None));
        }
        let mut capture = Self::with(keeper, path, sync, None);
        capture.gaps_found = resumed.missing.ranges().len() as u64;
        capture.packets_missed = resumed.missing.count();
        Ok((capture, Some(resumed)))
    }

    /// Records into a new tape file that replaces the recording at `path`, if there is one, with
    /// its first packet.
    ///
    /// # Errors
    /// As [`open`](Self::open), also where the file there is no recording.
    pub fn anew(path: &Path, sync: SyncPolicy) -> Result<Self, Failure> {
        match successor::begin(path, true)? {
            Begun::Empty(storage, claim) => Self::new(storage, path, sync, Some(claim)),
            Begun::Recording(_) => unreachable!("it is to be replaced"),
        }
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
        Self::new(storage, &path, SyncPolicy::Never, None)
    }

    fn new(
        storage: FileStorage,
        path: &Path,
        sync: SyncPolicy,
        claim: Option<Claim>,
    ) -> Result<Self, Failure> {
        let keeper =
            TapeRecorder::create(storage, sync, since_1970(), crate::args::parse::random())
                .map_err(|error| failure(error, path))?;
        if sync != SyncPolicy::Never && matches!(claim, Some(Claim::Own | Claim::New(_))) {
            // Without its name a file is nothing.
            crate::storage::sync_folder(path).map_err(|source| Failure::Storage {
                action: "record into",
                path: path.into(),
                source,
            })?;
        }
        Ok(Self::with(keeper, path, sync, claim))
    }

    fn with(
        keeper: TapeRecorder<FileStorage>,
        path: &Path,
        sync: SyncPolicy,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            len: keeper.file().size(),
            keeper,
            path: path.to_owned(),
            claim,
            sync,
            failure: None,
            written: WriteCounters::default(),
            gaps_found: 0,
            packets_missed: 0,
            recovered: (0, 0),
            filled: None,
            longest: Duration::ZERO,
            rest: Rest::Streamed,
            distrusted: 0,
            reopened: SeqSet::new(),
            distrusts: false,
        }
    }

    /// Goes on with a recording whose packets end with `highest`: what lies above is asked for
    /// rather than streamed, so that it counts as [`rest`](Self::rest) and not as lost.
    pub fn asks_for_rest(&mut self, highest: Seq) {
        self.rest = Rest::Above(highest);
    }

    /// How many packets behind what was recorded before were asked for.
    #[must_use]
    pub fn rest(&self) -> u64 {
        match self.rest {
            Rest::Asked(range) => range.len().into(),
            Rest::Streamed | Rest::Above(_) => 0,
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

    /// The highest sequence recorded; 0 where there is none.
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.keeper.file().span().map_or(0, |span| span.last())
    }

    /// What has been written to the tape file; that it is on its way there counts.
    #[must_use]
    pub fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    /// The session, if an exchange has told it.
    #[must_use]
    pub fn known_session(&self) -> Option<SessionId> {
        self.keeper.file().session_id()
    }

    /// What it knows of its session besides its packets.
    #[must_use]
    pub fn told(&self) -> SessionFacts {
        SessionFacts::of(self.keeper.file())
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
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.keeper.end().map_err(|error| failure(error, &self.path))
    }

    /// Gives the file its name, once it has a packet.
    fn take_name(&mut self, claim: Claim) {
        let durable = self.sync != SyncPolicy::Never;
        // The packet is written first, because the recording that had the name is lost then.
        let done = self.keeper.end().map_err(|error| failure(error, &self.path));
        let failed = |source| {
            let path = self.path.clone();
            Failure::Storage { action: "record into", path, source }
        };
        self.failure = done.and_then(|()| claim.take(durable).map_err(failed)).err();
    }

    /// Removes the recording's file. A recording that it was to replace stays if no packet came.
    ///
    /// # Errors
    /// [`Failure::Storage`] where it cannot be removed.
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

    /// Notes what the recording came to, as safe as asked for: how complete it is, and the last
    /// sequence that its session is known to have.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn conclude(&mut self, last: Seq, facts: &Facts) -> Result<(), Failure> {
        let done = self.keeper.conclude(last, facts.end(), since_1970());
        done.map_err(|error| failure(error, &self.path))?;
        self.end()
    }

    /// Writes the tape file's index, for the next opening to be quick.
    ///
    /// # Errors
    /// What went wrong with the file.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if let Some(claim) = self.claim.take() {
            claim.keep();
        }
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
    pub fn read(&self, each: &mut PacketConsumer<'_>) -> Result<(), Failure> {
        self.read_from(FIRST_SEQ, each)
    }

    /// Reads the packets in order for a file of this format: many at once, unless it has a place
    /// for when and how they came.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_for(&self, format: Format, each: &mut PacketConsumer<'_>) -> Result<(), Failure> {
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
    pub fn read_from(&self, from: Seq, each: &mut PacketConsumer<'_>) -> Result<(), Failure> {
        let mut reading = self.keeper.in_order(from);
        loop {
            match reading.next() {
                Ok(Some(piece)) => each(piece.frames, Arrival::of(&piece.block))?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(failure(error, &self.path)),
            }
        }
    }

    /// Returns the first conflicts as text, each packet with the line that brought it where there
    /// are several, or with the word that an earlier run recorded it.
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
            let (kept, came) = (packet(&conflict.kept), packet(&conflict.came));
            let kept_from = conflict.kept_from.map_or_else(before, line);
            format!("{kept}{kept_from}, then {came}{}", line(conflict.came_from))
        };
        self.keeper.conflicts().iter().map(text).collect()
    }
}

/// Number of sequences that a set and a range have in common.
fn overlap(set: &SeqSet, range: SeqRange) -> u64 {
    let (mut rest, mut count) = (Some(range), 0);
    while let Some(range) = rest
        && let Some(piece) = set.at_or_after(range.first())
        && let Some(common) = piece.intersect(range)
    {
        count += u64::from(common.len());
        rest = SeqRange::new(common.last() + 1, range.last());
    }
    count
}

fn failure(error: TapeFileError<io::Error>, path: &Path) -> Failure {
    match error {
        TapeFileError::Storage(source) => {
            Failure::Storage { action: "record into", path: path.to_owned(), source }
        }
        error @ TapeFileError::Head(FileHeadError::Short | FileHeadError::Foreign) => {
            Failure::Content {
                path: path.to_owned(),
                reason: format!("{error}. Record elsewhere with --tape FILE"),
            }
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

impl RecordingStore {
    /// A stream that brings something shows by gaps what it loses.
    fn streams(&mut self, by: Origin) {
        if matches!((&self.rest, by.source), (Rest::Above(_), Source::Stream { .. })) {
            self.rest = Rest::Streamed;
        }
    }
}

impl Sink for RecordingStore {
    fn on_packets(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.streams(origin);
        self.distrusts = false;
        self.keeper.on_packets(origin, frames, now);
        if let Some(claim) = self.claim.take() {
            self.take_name(claim);
        }
        let len = self.keeper.file().size();
        self.written.add(frames.len(), len.saturating_sub(self.len));
        self.len = len;
    }

    fn on_duplicates(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.streams(origin);
        self.keeper.on_duplicates(origin, frames)
    }

    fn on_gap(&mut self, gap: SeqRange, _: Duration) {
        if matches!(self.rest, Rest::Above(highest) if gap.first() > highest) {
            self.rest = Rest::Asked(gap);
            return;
        }
        if self.distrusts {
            self.reopened.insert(gap);
            return;
        }
        self.gaps_found += 1;
        self.packets_missed += u64::from(gap.len());
    }

    fn on_fill(&mut self, range: SeqRange, after: Duration, by: Origin, now: Duration) {
        self.distrusts = false;
        let rest = matches!(self.rest, Rest::Asked(rest) if rest.contains(range.first()));
        let lost = u64::from(range.len()) - overlap(&self.reopened, range);
        if !rest && lost > 0 {
            self.longest = self.longest.max(after);
        }
        match by.source {
            _ if rest => {}
            Source::Resend => self.recovered.0 += lost,
            Source::Stream { .. } => self.recovered.1 += lost,
        }
        if let Some(filled) = &mut self.filled {
            filled.push(Filled { range, opened: now.saturating_sub(after), after, by });
        }
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        // What was told of the session is worth keeping before its first packet, but not worth the
        // recording that the file may be to replace.
        if let Some(claim) = self.claim.take_if(|claim| !claim.replaces()) {
            claim.keep();
        }
        let distrusted = self.keeper.on_session(info, vouched, now);
        self.distrusts = !distrusted.is_empty();
        self.distrusted += distrusted.count();
        distrusted
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.keeper.on_idle(now)
    }

    fn has_failed(&self) -> bool {
        self.failure.is_some() || self.keeper.has_failed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;

    #[test]
    fn what_was_distrusted_is_no_loss_also_where_it_melts_into_a_gap() {
        let mut capture = RecordingStore::unnamed().unwrap();
        let origin = |source| Origin { line: 0, source };
        let (stream, resend) = (origin(Source::Stream { pass: 1 }), origin(Source::Resend));
        let range = |first, last| SeqRange::new(first, last).unwrap();
        let (tape, at) = (Tape::random(100, 1), Duration::from_millis);
        // Packets 11 to 20 are lost before the session is told, and nothing vouches for the others.
        capture.on_packets(stream, tape.slice(range(1, 10)), at(1));
        capture.on_gap(range(11, 20), at(2));
        capture.on_packets(stream, tape.slice(range(21, 30)), at(2));
        let info = Info { session: SessionId(*b"TOLD"), version: 1, first: 1, last: 100 };
        let distrusted = capture.on_session(info, &[], at(3));
        assert_eq!((distrusted.count(), capture.distrusted), (20, 20));
        distrusted.ranges().iter().for_each(|gap| capture.on_gap(*gap, at(3)));
        capture.on_fill(range(1, 15), at(5), resend, at(8));
        capture.on_packets(resend, tape.slice(range(1, 15)), at(8));
        capture.on_fill(range(16, 30), at(5), stream, at(9));
        capture.on_packets(stream, tape.slice(range(16, 30)), at(9));
        assert_eq!((capture.gaps_found, capture.packets_missed), (1, 10));
        assert_eq!(capture.recovered, (5, 5));
        assert_eq!(overlap(&distrusted, range(5, 7)), 3, "inside one piece");
        assert_eq!(overlap(&distrusted, range(5, 25)), 11);
        // What is lost later counts.
        capture.on_gap(range(31, 40), at(9));
        capture.on_fill(range(31, 40), at(1), resend, at(10));
        assert_eq!((capture.packets_missed, capture.recovered), (20, (15, 5)));
    }
}
