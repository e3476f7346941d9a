//! Reading a session back from a log.

use super::{CA, CREDS};
use crate::failure::Failure;
use crate::file::FileStorage;
use crate::format::{Arrival, Each};
use feed::ledger::{Origin, Source};
use feed::seq::{FIRST_SEQ, Seq};
use feed::tape_file::{End, Head, TapeFile, TapeFileError};
use feed::wire::SessionId;
use gateway::{Log, Settings};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a log may be out of reach.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(path: &Path) -> Result<Log, Failure> {
    let url = path.to_str().unwrap_or_default();
    let mut settings = Settings::new(url.parse().map_err(Failure::Usage)?);
    settings.creds = std::env::var_os(CREDS).map(Into::into);
    settings.ca = std::env::var_os(CA).map(Into::into);
    Ok(Log::open(&settings, PATIENCE)?)
}

/// Hands on the packets in the order of the log; when they came is when the log took them.
///
/// # Errors
/// What the log or `each` reports.
pub(crate) fn read(path: &Path, each: &mut Each<'_>) -> Result<(), Failure> {
    open(path)?.read(&mut |block| each(&block.frames, Arrival { at: block.stored, origin: None }))
}

/// Copies a session into a tape file that nobody sees and that is gone in the end.
///
/// # Errors
/// What the log or the disk reports, or that the log does not have all packets.
pub(crate) fn to_tape(path: &Path) -> Result<TapeFile<FileStorage>, Failure> {
    let log = open(path)?;
    let folder = std::env::temp_dir();
    let failed = |source| Failure::Storage { action: "copy into", path: folder.clone(), source };
    let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
    let (mut storage, mut file) = (Some(storage), None::<TapeFile<FileStorage>>);
    let full = |error: TapeFileError<io::Error>| failed(io::Error::other(error));
    let mut next = FIRST_SEQ;
    let origin = Origin { line: 0, source: Source::Stream { pass: 0 } };
    log.read(&mut |block| {
        check(path, &mut next, block.first(), block.frames.len())?;
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
    match (file, storage) {
        (Some(mut file), _) => {
            // What a log has is played as the session that it has, up to its last message.
            file.note_end(next - 1, End::Inferred, 0).map(|()| file).map_err(full)
        }
        (None, Some(storage)) => {
            let head = Head { session: [0; 4], created: 0, salt: crate::flags::random() };
            TapeFile::create(storage, head).map_err(full)
        }
        (None, None) => Err(Failure::Stopped),
    }
}

/// A block must go on where the one before ended.
fn check(path: &Path, next: &mut Seq, first: Seq, count: usize) -> Result<(), Failure> {
    if first != *next {
        let reason = format!("packet {first} comes where {next} should");
        return Err(Failure::Content { path: path.to_owned(), reason });
    }
    *next += u32::try_from(count).unwrap_or(0);
    Ok(())
}
