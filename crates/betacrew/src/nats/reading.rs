//! Reading a session from a stream.

use super::{readable, target};
use crate::args::nats_env::{CA, CREDS, file};
use crate::error::Failure;
use crate::format::{Arrival, MessageConsumer, SessionFacts};
use crate::storage::FileStorage;
use feed::analysis::survey::SequenceOrder;
use feed::ledger::{Origin, Source};
use feed::session::completeness::GapPolicy;
use feed::tape::file::{FileHead, SessionEnd, TapeFile, TapeFileError};
use feed::wire::{Messages, RawFrame, sequence_of};
use gateway::block::Block;
use gateway::{Log, Removed, Settings};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Maximum time for which a log may be unreachable.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of gaps listed.
const LISTED: usize = 100;

fn open(path: &Path) -> Result<Log, Failure> {
    let mut settings = Settings::new(target(path, None)?);
    settings.creds = file(CREDS);
    settings.ca = file(CA);
    readable("credentials", settings.creds.as_deref())?;
    readable("certificate", settings.ca.as_deref())?;
    Ok(Log::open(&settings, PATIENCE)?)
}

/// Returns the arrival of a block: the time when the log stored it.
fn arrival(block: &Block) -> Arrival {
    Arrival { at: block.stored, origin: None }
}

/// Passes the packets to `each` in the order of the log. Returns the log's facts about its session.
///
/// # Errors
/// Errors of the log and of `each`.
pub(crate) fn read(path: &Path, each: &mut MessageConsumer<'_>) -> Result<SessionFacts, Failure> {
    let mut facts = SessionFacts::default();
    let removed = open(path)?.read(&mut |block| {
        note(&mut facts, block);
        each(Messages::Packets(&block.frames), arrival(block))
    })?;
    Ok(ended(facts, removed))
}

/// Adds a block's facts about its session.
fn note(facts: &mut SessionFacts, block: &Block) {
    facts.session = block.session;
    facts.last = block.frames.last().map_or(facts.last, sequence_of);
}

/// Returns the facts of a log that was read to its end. More of its session may still be published.
fn ended(facts: SessionFacts, removed: Removed) -> SessionFacts {
    SessionFacts { end: Some(SessionEnd::Open), removed: removed.at_end, ..facts }
}

fn take(path: &Path, order: &mut SequenceOrder, frames: &[RawFrame]) -> Result<(), Failure> {
    order.take(Messages::Packets(frames), |_| {}).map_err(|disorder| Failure::Content {
        path: path.to_owned(),
        reason: disorder.to_string(),
    })
}

/// Copies a session into a temporary tape file without a name. The session's end stays open,
/// because more packets may be published.
///
/// # Errors
/// Errors of the log and of the disk; [`Failure::NotWhole`] if packets are missing and `gaps`
/// refuses that.
pub(crate) fn to_tape(path: &Path, gaps: GapPolicy) -> Result<TapeFile<FileStorage>, Failure> {
    let log = open(path)?;
    let folder = std::env::temp_dir();
    let failed = |source| Failure::Storage { action: "copy into", path: folder.clone(), source };
    let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
    let (mut storage, mut file) = (Some(storage), None::<TapeFile<FileStorage>>);
    let full = |error: TapeFileError<io::Error>| failed(io::Error::other(error));
    let mut order = SequenceOrder::listing(LISTED);
    let origin = Origin { line: 0, source: Source::Stream { pass: 0 } };
    let mut facts = SessionFacts::default();
    let removed = log.read(&mut |block| {
        note(&mut facts, block);
        take(path, &mut order, &block.frames)?;
        let file = match (&mut file, storage.take()) {
            (file, Some(storage)) => {
                let session = block.session;
                // The session that is played takes its id from the salt, so the id stays the same
                // while the log is.
                let bits = session.map_or(0, |id| u32::from_be_bytes(id.shortened()));
                let salt = block.stored ^ u64::from(bits);
                let head = FileHead { session, created: block.stored, salt };
                file.insert(TapeFile::create(storage, head).map_err(full)?)
            }
            (Some(file), None) => file,
            (None, None) => return Ok(()),
        };
        file.append(origin, block.stored, &block.frames).map_err(full)?;
        // Each block has its own time.
        file.flush_origin(origin).map_err(full)
    })?;
    let lacking = ended(facts, removed).lacking(&mut order).filter(|_| gaps == GapPolicy::Refuse);
    if let Some(missing) = lacking {
        let gap = order.missing().listed().ranges().first().copied();
        let before = gap.map_or(order.highest(), |gap| gap.first() - 1);
        return Err(Failure::NotWhole { path: path.to_owned(), missing, before });
    }
    match (file, storage) {
        (Some(file), _) => Ok(file),
        (None, Some(storage)) => {
            let head = FileHead { session: None, created: 0, salt: crate::args::parse::random() };
            TapeFile::create(storage, head).map_err(full)
        }
        (None, None) => Err(Failure::Stopped),
    }
}
