//! Tape files, the format of the recorder (`docs/tape.md`).

use super::{Arrival, DamagePolicy, Encoder, MessageConsumer, ReadError, SessionFacts};
use crate::args::parse::random;
use crate::clock::nanos_since_1970;
use crate::storage::FileStorage;
use feed::base::seq::FIRST_SEQ;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, OpenMode, TapeFile, TapeFileError};
use feed::wire::{Info, Messages};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

/// Origin that stands for an unknown one in a tape file, where passes count from 1.
const UNKNOWN: Origin = Origin { line: 0, source: Source::Stream { pass: 0 } };

pub(super) struct TapeWriter {
    file: TapeFile<FileStorage>,
    /// Arrival time of the pending packets of each origin.
    at: HashMap<Origin, u64>,
}

/// Maximum number of origins with pending packets.
const ORIGINS_MAX: usize = 4096;

impl TapeWriter {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let head = FileHead { session: None, created: nanos_since_1970(), salt: random() };
        let storage = FileStorage::of(file)?;
        Ok(Self { file: TapeFile::create(storage, head).map_err(failed)?, at: HashMap::new() })
    }
}

impl Encoder for TapeWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let origin = arrival.origin.unwrap_or(UNKNOWN);
        // A block has one time. In order of sequence, pieces of a stream's block alternate with
        // those of the resends' that fill its gaps.
        if self.at.get(&origin) != Some(&arrival.at) {
            self.file.flush_origin(origin).map_err(failed)?;
            if self.at.len() >= ORIGINS_MAX {
                self.file.flush().map_err(failed)?;
                self.at.clear();
            }
            self.at.insert(origin, arrival.at);
        }
        self.file.append(origin, arrival.at, messages).map_err(failed)
    }

    fn session_facts(&mut self, facts: SessionFacts) -> io::Result<()> {
        if let Some(session) = facts.session {
            let info = Info { session, version: 1, first: FIRST_SEQ, last: facts.last };
            self.file.note_session(info, nanos_since_1970()).map_err(failed)?;
        }
        self.file
            .note_end(facts.last, facts.end.unwrap_or_default(), nanos_since_1970())
            .map_err(failed)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.finish(nanos_since_1970()).map_err(failed)
    }
}

fn failed(error: TapeFileError<io::Error>) -> io::Error {
    match error {
        TapeFileError::Storage(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Reads packets in order of sequence.
pub(super) fn read(
    path: &Path,
    damage: DamagePolicy,
    each: &mut MessageConsumer<'_>,
) -> Result<SessionFacts, ReadError> {
    let storage = FileStorage::of(super::open(path)?)?;
    // Without the index every block is checked at once, and only the good ones are known.
    let mode = match damage {
        DamagePolicy::Refuse => OpenMode::Index,
        DamagePolicy::Skip => OpenMode::Scan,
    };
    let (file, opened) = TapeFile::open(storage, mode).map_err(fault)?;
    if damage == DamagePolicy::Refuse && opened.damages > 0 {
        return Err(ReadError::Content(format!(
            "{} bytes in {} places are damaged; --allow-gaps reads the rest",
            opened.damaged_bytes, opened.damages
        )));
    }
    let mut reading = file.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next().map_err(fault)? {
        each(piece.messages, Arrival::of(&piece.block))?;
    }
    Ok(SessionFacts::of(&file))
}

fn fault(error: TapeFileError<io::Error>) -> ReadError {
    match error {
        TapeFileError::Storage(error) => error.into(),
        damaged @ TapeFileError::Damaged { .. } => {
            ReadError::Content(format!("{damaged}; --allow-gaps reads the rest"))
        }
        other => ReadError::Content(other.to_string()),
    }
}
