//! Beginning of tape files. A recording that exists is locked and gone on with. Where a new one is
//! to replace it, the old one stays until the new one has a packet.

use super::atomic::{Partial, sweep};
use super::place::follow;
use crate::error::Failure;
use crate::storage::FileStorage;
use feed::tape::file::{is_stillborn, is_tape};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Medium for a recording.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Empty medium, and the right to its name.
    Empty(FileStorage, Claim),
    /// Medium with a recording, which is gone on with.
    Recording(FileStorage),
}

/// Right to a file's name. Dropped before it is used, it leaves all files as they were.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The file had the name before.
    Own,
    /// The file was made just now, and is removed if nothing is recorded.
    New(New),
    /// Another recording has the name until this file replaces it.
    Successor(Successor),
}

/// Path of a file that is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct New(Option<PathBuf>);

impl Drop for New {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// File beside the recording that it will replace.
#[derive(Debug)]
pub(crate) struct Successor {
    partial: Partial,
    place: PathBuf,
    /// Old recording, locked so that no other process records into it meanwhile.
    _old: FileStorage,
}

impl Claim {
    /// Gives the file its name, once it has a packet. With `durable` that survives a loss of power.
    ///
    /// # Errors
    /// Errors of the system; the file that had the name has it still.
    pub(crate) fn take(self, durable: bool) -> io::Result<()> {
        match self {
            Self::Successor(Successor { partial, place, _old }) => partial.replace(&place, durable),
            own => {
                own.keep();
                Ok(())
            }
        }
    }

    /// Returns whether another recording has the name until this file replaces it.
    pub(crate) fn replaces(&self) -> bool {
        matches!(self, Self::Successor(_))
    }

    /// Keeps the file without a packet, unless that would cost another recording.
    pub(crate) fn keep(self) {
        if let Self::New(mut new) = self {
            new.0 = None;
        }
    }
}

/// Opens the file at `path` for recording. With `anew` a recording that is there is to be replaced.
///
/// # Errors
/// [`Failure::Storage`] where it cannot be written, or another process is recording into it;
/// [`Failure::Content`] where `anew` would destroy a file that is no recording.
pub(crate) fn begin(path: &Path, anew: bool) -> Result<Begun, Failure> {
    let failed = |source| Failure::Storage { action: "record into", path: path.into(), source };
    let place = follow(path).map_err(failed)?;
    let is_new = fs::symlink_metadata(&place).is_err();
    sweep(&place);
    let storage = FileStorage::write(&place).map_err(failed)?;
    if is_stillborn(&storage).map_err(failed)? {
        let claim = if is_new { Claim::New(New(Some(place))) } else { Claim::Own };
        return Ok(Begun::Empty(storage.cleared().map_err(failed)?, claim));
    }
    if !anew {
        return Ok(Begun::Recording(storage));
    }
    if !is_tape(&storage).map_err(failed)? {
        return Err(Failure::Content {
            path: path.into(),
            reason: "it is no tape file, and only a recording is replaced: name another file"
                .to_owned(),
        });
    }
    let partial = Partial::beside(&place).map_err(failed)?;
    let medium = partial.file().try_clone().and_then(FileStorage::of).map_err(failed)?;
    Ok(Begun::Empty(medium, Claim::Successor(Successor { partial, place, _old: storage })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::storage::Storage;
    use feed::tape::file::MAGIC;

    fn begun(path: &Path, anew: bool) -> (FileStorage, Claim) {
        match begin(path, anew).unwrap() {
            Begun::Empty(storage, claim) => (storage, claim),
            Begun::Recording(_) => unreachable!("there is none"),
        }
    }

    #[test]
    fn a_recording_stays_until_its_successor_takes_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        fs::write(&path, [&MAGIC[..], &[1; 100]].concat()).unwrap();
        let old = fs::read(&path).unwrap();
        // Nothing came.
        drop(begun(&path, true));
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let (mut storage, claim) = begun(&path, true);
        storage.append(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), old);
        // Both are nobody else's meanwhile.
        let busy = begin(&path, false).unwrap_err().to_string();
        assert!(busy.contains("another process is recording"), "{busy}");
        claim.take(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(begin(&path, true).is_err(), "the new one is locked, too");
        drop(storage);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_recording_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "my notes").unwrap();
        let refused = begin(&path, true).unwrap_err();
        assert!(matches!(refused, Failure::Content { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
    }

    #[test]
    fn a_file_that_nothing_comes_of_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        drop(begun(&path, false));
        assert!(!path.exists());
        begun(&path, false).1.keep();
        assert!(path.exists());
        // A file that was there before stays.
        drop(begun(&path, true));
        assert!(path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_recording_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("x.tape"), folder.path().join("link"));
        std::os::unix::fs::symlink("x.tape", &link).unwrap();
        for content in ["", "old"] {
            fs::write(&path, [&MAGIC[..content.len().min(1) * 8], content.as_bytes()].concat())
                .unwrap();
            let (mut storage, claim) = begun(&link, true);
            storage.append(b"new").unwrap();
            claim.take(false).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
    }
}
