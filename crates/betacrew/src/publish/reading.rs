//! Reading a session back from a log.

use super::{CA, CREDS, file_from_env, readable, target};
use crate::failure::Failure;
use crate::file::FileStorage;
use crate::format::{Arrival, Damage, Each};
use crate::location::shown;
use crate::words::{count, grouped, holes};
use feed::ledger::{Origin, Source};
use feed::survey::Order;
use feed::tape_file::{End, Head, TapeFile, TapeFileError};
use feed::wire::{RawFrame, SessionId};
use gateway::{Log, Removed, Settings};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a log may be out of reach.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of gaps listed.
const LISTED: usize = 100;

fn open(path: &Path) -> Result<Log, Failure> {
    let mut settings = Settings::new(target(path, None)?);
    settings.creds = file_from_env(CREDS);
    settings.ca = file_from_env(CA);
    readable("credentials", settings.creds.as_deref())?;
    readable("certificate", settings.ca.as_deref())?;
    Ok(Log::open(&settings, PATIENCE)?)
}

/// Hands on the packets in the order of the log; when they came is when the log took them. Returns
/// which messages were removed from it.
///
/// # Errors
/// What the log or `each` reports.
pub(crate) fn read_all(path: &Path, each: &mut Each<'_>) -> Result<Removed, Failure> {
    open(path)?.read(&mut |block| each(&block.frames, Arrival { at: block.stored, origin: None }))
}

/// Hands on the packets as [`read_all`] does. That packets are missing before others is for `each`
/// to find out; that the last ones are, only the log tells.
///
/// # Errors
/// [`Failure::Gaps`] where its last messages were removed and that is not allowed; or what the log
/// or `each` reports.
pub(crate) fn read(path: &Path, damage: Damage, each: &mut Each<'_>) -> Result<(), Failure> {
    let mut order = Order::listing(LISTED);
    let removed = read_all(path, &mut |frames, arrival| {
        each(frames, arrival)?;
        take(path, &mut order, frames)
    })?;
    if removed.at_end == 0 {
        return Ok(());
    }
    let missing = lacking(&order, removed);
    if damage == Damage::Skip {
        tracing::warn!("{} lacks {missing}", shown(path));
        return Ok(());
    }
    Err(Failure::Gaps { path: path.to_owned(), missing })
}

fn take(path: &Path, order: &mut Order, frames: &[RawFrame]) -> Result<(), Failure> {
    order.take(frames, |_| {}).map_err(|disorder| Failure::Content {
        path: path.to_owned(),
        reason: disorder.to_string(),
    })
}

/// Names what is missing from a log, the packets of removed messages at its end included.
fn lacking(order: &Order, removed: Removed) -> String {
    let mut missing = Vec::new();
    if !order.missing().is_empty() {
        missing.push(holes(order.missing()));
    }
    let messages = count(removed.at_end, "message");
    match order.packets() {
        _ if removed.at_end == 0 => {}
        0 => missing.push(format!("every packet, removed with all its {messages}")),
        _ => missing.push(format!(
            "the packets after {}, removed with its last {messages}",
            grouped(order.highest().into())
        )),
    }
    missing.join(", and ")
}

/// Copies a session into a tape file that nobody sees and that is gone in the end.
///
/// # Errors
/// What the log or the disk reports; [`Failure::Gaps`] where the log does not have all packets.
pub(crate) fn to_tape(path: &Path) -> Result<TapeFile<FileStorage>, Failure> {
    let log = open(path)?;
    let folder = std::env::temp_dir();
    let failed = |source| Failure::Storage { action: "copy into", path: folder.clone(), source };
    let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
    let (mut storage, mut file) = (Some(storage), None::<TapeFile<FileStorage>>);
    let full = |error: TapeFileError<io::Error>| failed(io::Error::other(error));
    let mut order = Order::listing(LISTED);
    let origin = Origin { line: 0, source: Source::Stream { pass: 0 } };
    let removed = log.read(&mut |block| {
        take(path, &mut order, &block.frames)?;
        let file = match (&mut file, storage.take()) {
            (file, Some(storage)) => {
                let session = block.session.map_or([0; 4], |SessionId(id)| id);
                let head = Head { session, created: block.stored, salt: crate::flags::random() };
                file.insert(TapeFile::create(storage, head).map_err(full)?)
            }
            (Some(file), None) => file,
            (None, None) => return Ok(()),
        };
        file.append(origin, block.stored, &block.frames).map_err(full)?;
        // What comes later has a time of its own.
        file.flush_origin(origin).map_err(full)
    })?;
    if removed.at_end > 0 || !order.missing().is_empty() {
        let missing = lacking(&order, removed);
        return Err(Failure::Gaps { path: path.to_owned(), missing });
    }
    match (file, storage) {
        (Some(mut file), _) => {
            // What a log has is played as the session that it has, up to its last message.
            file.note_end(order.highest(), End::Inferred, 0).map(|()| file).map_err(full)
        }
        (None, Some(storage)) => {
            let head = Head { session: [0; 4], created: 0, salt: crate::flags::random() };
            TapeFile::create(storage, head).map_err(full)
        }
        (None, None) => Err(Failure::Stopped),
    }
}
