//! Reading a recording of any format into a survey.

use crate::error::Failure;
use crate::format::{Arrival, DamagePolicy as Policy, Format, PacketConsumer, SessionFacts};
use crate::net::Stop;
use crate::source;
use crate::storage::FileStorage;
use feed::analysis::book::Books;
use feed::analysis::survey::{Charts, Survey};
use feed::base::seq::FIRST_SEQ;
use feed::session::completeness::{Completeness, Facts};
use feed::tape::file::{Damage, FileHead, SessionEnd, TapeFile, TapeFileError};
use feed::wire::RawFrame;
use std::io;
use std::path::{Path, PathBuf};

/// What is to be found out.
#[derive(Clone, Copy)]
pub(super) struct InspectOptions {
    /// So many gaps, and places of damage, are listed.
    pub(super) listed: usize,
    /// A tape's index is not believed: every byte of it is read.
    pub(super) verify: bool,
    /// Prices and volumes over the session.
    pub(super) charts: bool,
    /// What rests in the end, in price levels.
    pub(super) books: bool,
}

/// What was found.
pub(super) struct Inspection {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// How long the file is; `None` for a pipe.
    pub(super) bytes: Option<u64>,
    pub(super) survey: Survey,
    /// What only a tape file tells.
    pub(super) tape: Option<InspectedTape>,
    /// Number of messages removed from the end of a log; how many packets they had, nothing tells.
    pub(super) removed: u64,
}

/// What only a tape file tells.
pub(super) struct InspectedTape {
    pub(super) head: FileHead,
    /// What it tells of its session.
    pub(super) told: SessionFacts,
    /// Number of packets in it that are of another session, or of one that nothing tells.
    pub(super) left_out: u64,
    /// It ends with an index: its recording was finished.
    pub(super) indexed: bool,
    pub(super) misleading: bool,
    /// Places where a crash has torn what came again later.
    pub(super) scars: u32,
    /// The first places of damage, and how many there are.
    pub(super) damage: Vec<Damage>,
    pub(super) damages: u64,
    /// How many packets are in it more than once.
    pub(super) repeated: u64,
}

impl Inspection {
    /// Facts about the file.
    pub(super) fn facts(&self) -> Facts {
        // Each message that was removed from a log had one packet at least.
        let missing = self.survey.missing().packets() + self.removed;
        let packets = self.survey.packets();
        let end = match &self.tape {
            Some(tape) => tape.told.end,
            // A log may be published into while it is read.
            None => (self.format == Format::Nats).then_some(SessionEnd::Open),
        };
        let damaged = self.tape.as_ref().is_some_and(InspectedTape::is_damaged);
        Facts::of_file(packets, missing, end, damaged)
    }

    /// Whether it has no packets, and nothing is known of its session either.
    pub(super) fn tells_nothing(&self) -> bool {
        let undamaged = Facts { damaged: false, ..self.facts() };
        undamaged.missing == 0 && undamaged.completeness() == Completeness::Incomplete
    }
}

impl InspectedTape {
    pub(super) fn is_damaged(&self) -> bool {
        self.damages > 0 || self.misleading || self.repeated > 0
    }

    /// The session's id, if it is known.
    pub(super) fn id(&self) -> Option<String> {
        self.told.session.map(|session| session.to_string())
    }

    fn add(&mut self, place: Damage, listed: usize) {
        self.damages += 1;
        if self.damage.len() < listed {
            self.damage.push(place);
        }
    }
}

pub(super) fn read(
    path: &Path,
    format: Format,
    wanted: InspectOptions,
    stop: &Stop,
) -> Result<Inspection, Failure> {
    let mut survey = Survey::listing(wanted.listed);
    survey.charts = wanted.charts.then(Charts::default);
    survey.books = wanted.books.then(Books::default);
    let mut take = |frames: &[RawFrame], arrival: Arrival| {
        if stop.asked() {
            return Err(Failure::Stopped);
        }
        let at = (arrival.at > 0).then_some(arrival.at);
        survey.take(frames, at, arrival.origin).map_err(|disorder| Failure::Content {
            path: path.to_owned(),
            reason: disorder.to_string(),
        })
    };
    let (tape, removed) = match format {
        Format::Tape => (Some(read_tape(path, wanted, &mut take)?), 0),
        _ => (None, source::read(path, format, Policy::Refuse, &mut take)?.removed),
    };
    if let Some(tape) = &tape {
        survey.reaches(tape.told.last);
    }
    let file = std::fs::metadata(path).ok().filter(|found| found.is_file());
    let bytes = file.map(|found| found.len());
    Ok(Inspection { path: path.to_owned(), format, bytes, survey, tape, removed })
}

fn read_tape(
    path: &Path,
    wanted: InspectOptions,
    take: &mut PacketConsumer<'_>,
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
    let mut tell = |place| {
        damages += 1;
        if places.len() < wanted.listed {
            places.push(place);
        }
    };
    let (mut file, mut opened) = match wanted.verify {
        true => TapeFile::check(open()?, &mut tell),
        false => TapeFile::open(open()?, true),
    }
    .map_err(wrong)?;
    if opened.damages > 0 && !wanted.verify {
        // That it is damaged is known; now where.
        (file, opened) = TapeFile::check(open()?, &mut tell).map_err(wrong)?;
    }
    let mut tape = InspectedTape {
        head: file.head(),
        told: SessionFacts::of(&file),
        left_out: file.left_out(),
        indexed: opened.indexed,
        misleading: opened.misleading,
        scars: opened.scars,
        damage: places,
        damages,
        repeated: 0,
    };
    let (mut read, held) = (0, file.packets());
    let mut lost = 0;
    let mut reading = file.in_order(FIRST_SEQ);
    loop {
        match reading.next() {
            Ok(Some(piece)) => {
                read += piece.frames.len() as u64;
                take(piece.frames, Arrival::of(&piece.block))?;
            }
            Ok(None) => break,
            Err(TapeFileError::Damaged { offset, span, bytes, packets }) => {
                lost += u64::from(packets);
                tape.add(Damage { offset, bytes, span: Some(span) }, wanted.listed);
            }
            Err(error) => return Err(wrong(error)),
        }
    }
    tape.repeated = held.saturating_sub(read).saturating_sub(lost);
    Ok(tape)
}
