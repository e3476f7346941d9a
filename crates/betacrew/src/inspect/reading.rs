//! Reader of a recording in any format, which collects everything that the command shows.

use crate::error::Failure;
use crate::format::{Arrival, DamagePolicy as Policy, Format, MessageConsumer, SessionFacts};
use crate::net::Stop;
use crate::source;
use crate::storage::FileStorage;
use feed::analysis::book::Books;
use feed::analysis::messages::MessageMeaning;
use feed::analysis::survey::{Charts, Survey};
use feed::base::seq::FIRST_SEQ;
use feed::session::completeness::{Completeness, Facts};
use feed::tape::file::{Damage, FileHead, OpenMode, SessionEnd, TapeFile, TapeFileError};
use feed::wire::Messages;
use std::io;
use std::path::{Path, PathBuf};

/// Parts of an inspection that the user requested.
#[derive(Clone, Copy)]
pub(super) struct InspectOptions {
    /// Maximum number of gaps, and of damaged places, that are listed.
    pub(super) listed: usize,
    /// True if every byte of a tape file is read, instead of relying on its index.
    pub(super) verify: bool,
    /// True if prices and volumes over the session are collected.
    pub(super) charts: bool,
    /// True if order books are built.
    pub(super) books: bool,
    /// Meaning of messages that are no order packets; `None` if the first message decides.
    pub(super) meaning: Option<MessageMeaning>,
}

/// Contents of a recording.
pub(super) struct Inspection {
    /// Path of the file, or URL of the log.
    pub(super) path: PathBuf,
    /// Format of the recording.
    pub(super) format: Format,
    /// Size of the file in bytes; `None` for a pipe or a log.
    pub(super) bytes: Option<u64>,
    /// Packets, gaps and figures.
    pub(super) survey: Survey,
    /// Details that only a tape file has.
    pub(super) tape: Option<InspectedTape>,
    /// Number of messages removed from the end of a log. The number of packets in them is unknown.
    pub(super) removed: u64,
}

/// Details that only a tape file has.
pub(super) struct InspectedTape {
    /// Head of the file.
    pub(super) head: FileHead,
    /// Session facts that the file records.
    pub(super) session_facts: SessionFacts,
    /// Number of packets that belong to another or an unknown session.
    pub(super) left_out: u64,
    /// True if the file ends with an index, because its recording was finished.
    pub(super) indexed: bool,
    /// True if the index does not match the blocks.
    pub(super) has_wrong_index: bool,
    /// Number of places torn by a crash, whose packets are recorded again later.
    pub(super) torn_places: u32,
    /// First damaged places.
    pub(super) damage: Vec<Damage>,
    /// Number of damaged places.
    pub(super) damages: u64,
    /// Number of packets that are in the file more than once.
    pub(super) repeated: u64,
}

impl Inspection {
    /// Returns the facts that decide whether the recording is complete.
    pub(super) fn facts(&self) -> Facts {
        // Each message that was removed from a log had at least one packet.
        let missing = self.survey.missing().packets() + self.removed;
        let packets = self.survey.packets();
        let end = match &self.tape {
            Some(tape) => tape.session_facts.end,
            // A log can grow while it is read, so its end is open.
            None => (self.format == Format::Nats).then_some(SessionEnd::Open),
        };
        let damaged = self.tape.as_ref().is_some_and(InspectedTape::is_damaged);
        Facts { damaged, ..Facts::of_file(packets, missing, end) }
    }

    /// Returns whether the recording has no packets, and does not show that its session has none.
    pub(super) fn is_empty_without_session(&self) -> bool {
        let undamaged = Facts { damaged: false, ..self.facts() };
        undamaged.missing == 0 && undamaged.completeness() == Completeness::Incomplete
    }
}

impl InspectedTape {
    /// Returns whether the file is damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damages > 0 || self.has_wrong_index || self.repeated > 0
    }

    /// Returns the session's id, if it is known.
    pub(super) fn id(&self) -> Option<String> {
        self.session_facts.session.map(|session| session.to_string())
    }

    /// Adds a damaged place, and keeps its details if fewer than `listed` are kept.
    fn add(&mut self, place: Damage, listed: usize) {
        self.damages += 1;
        if self.damage.len() < listed {
            self.damage.push(place);
        }
    }
}

/// Reads a recording.
///
/// # Errors
/// Returns an error if the recording cannot be read, its packets are not in order, or the user
/// stops the command.
pub(super) fn read(
    path: &Path,
    format: Format,
    wanted: InspectOptions,
    stop: &Stop,
) -> Result<Inspection, Failure> {
    let mut survey = Survey::listing(wanted.listed);
    survey.charts = wanted.charts.then(Charts::default);
    survey.books = wanted.books.then(Books::default);
    survey.meaning = wanted.meaning;
    let mut take = |messages: Messages<'_>, arrival: Arrival| {
        if stop.asked() {
            return Err(Failure::Stopped);
        }
        let at = (arrival.at > 0).then_some(arrival.at);
        survey.take(messages, at, arrival.origin).map_err(|disorder| Failure::Content {
            path: path.to_owned(),
            reason: disorder.to_string(),
        })
    };
    let (tape, removed) = match format {
        Format::Tape => (Some(read_tape(path, wanted, &mut take)?), 0),
        _ => (None, source::read(path, format, Policy::Refuse, &mut take)?.removed),
    };
    if let Some(tape) = &tape {
        survey.reaches(tape.session_facts.last);
    }
    let file = std::fs::metadata(path).ok().filter(|found| found.is_file());
    let bytes = file.map(|found| found.len());
    Ok(Inspection { path: path.to_owned(), format, bytes, survey, tape, removed })
}

/// Reads a tape file in the order of sequences, including its damage.
fn read_tape(
    path: &Path,
    wanted: InspectOptions,
    take: &mut MessageConsumer<'_>,
) -> Result<InspectedTape, Failure> {
    let failed = |source| Failure::Storage { action: "read", path: path.to_owned(), source };
    let wrong = |error: TapeFileError<io::Error>| match error {
        TapeFileError::Storage(source) => failed(source),
        other => Failure::Content { path: path.to_owned(), reason: other.to_string() },
    };
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let open = || FileStorage::read(path).map_err(failed);
    let mut places = Vec::new();
    let mut damages = 0_u64;
    let mut note_damage = |place| {
        damages += 1;
        if places.len() < wanted.listed {
            places.push(place);
        }
    };
    let (mut file, mut opened) = match wanted.verify {
        true => TapeFile::check(open()?, &mut note_damage),
        false => TapeFile::open(open()?, OpenMode::Index),
    }
    .map_err(wrong)?;
    if opened.damages > 0 && !wanted.verify {
        // The index shows that blocks are damaged, but only reading every byte shows where.
        (file, opened) = TapeFile::check(open()?, &mut note_damage).map_err(wrong)?;
    }
    let mut tape = InspectedTape {
        head: file.head(),
        session_facts: SessionFacts::of(&file),
        left_out: file.left_out(),
        indexed: opened.indexed,
        has_wrong_index: opened.misleading,
        torn_places: opened.scars,
        damage: places,
        damages,
        repeated: 0,
    };
    let (mut read, held) = (0, file.packets());
    let mut damaged_packets = 0;
    let mut reading = file.in_order(FIRST_SEQ);
    loop {
        match reading.next() {
            Ok(Some(piece)) => {
                read += piece.messages.len();
                take(piece.messages, Arrival::of(&piece.block))?;
            }
            Ok(None) => break,
            Err(TapeFileError::Damaged { offset, span, bytes, packets }) => {
                damaged_packets += u64::from(packets);
                tape.add(Damage { offset, bytes, span: Some(span) }, wanted.listed);
            }
            Err(error) => return Err(wrong(error)),
        }
    }
    tape.repeated = held.saturating_sub(read).saturating_sub(damaged_packets);
    Ok(tape)
}
