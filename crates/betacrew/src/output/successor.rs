//! Opening of tape files. An existing recording is locked and continued. If a new one is to replace
//! it, the old one stays until the new one has a packet.

use super::atomic::{Partial, sweep};
use super::place::follow;
use crate::error::Failure;
use crate::storage::{Durability, FileStorage};
use feed::tape::file::{is_stillborn, is_tape};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Medium for a recording.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Empty medium, and the right to its name.
    Empty(FileStorage, Claim),
    /// Medium with a recording, which is continued.
    Recording(FileStorage),
}

/// Treatment of a recording that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Open the earlier recording and add packets.
    Continue,
    /// Replace the earlier recording once the new one has a packet.
    Replace,
}

/// Right to a file's name. Dropped before it is used, it leaves all files as they were.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Name of an existing file, which is used itself.
    Own,
    /// Name of a file that was created just now, and is removed if nothing is recorded.
    New(New),
    /// Name that another recording has until this file replaces it.
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
    /// Gives the file its name, once it has a packet. With [`Durability::Synced`] this survives a
    /// power failure.
    ///
    /// # Errors
    /// Errors of the system. The other file then keeps the name.
    pub(crate) fn take(self, durability: Durability) -> io::Result<()> {
        match self {
            Self::Successor(Successor { partial, place, _old }) => {
                partial.replace(&place, durability)
            }
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

/// Opens the file at `path` for recording. `existing` says what happens to a recording there.
///
/// # Errors
/// Returns [`Failure::Storage`] if the file cannot be written or another process is recording into
/// it, and [`Failure::Content`] if [`Existing::Replace`] would destroy a file that is not a
/// recording.
pub(crate) fn begin(path: &Path, existing: Existing) -> Result<Begun, Failure> {
    let failed = |source| Failure::Storage { action: "record into", path: path.into(), source };
    let place = follow(path).map_err(failed)?;
    let is_new = fs::symlink_metadata(&place).is_err();
    sweep(&place);
    let storage = FileStorage::write(&place).map_err(failed)?;
    if is_stillborn(&storage).map_err(failed)? {
        let claim = if is_new { Claim::New(New(Some(place))) } else { Claim::Own };
        return Ok(Begun::Empty(storage.cleared().map_err(failed)?, claim));
    }
    if existing == Existing::Continue {
        return Ok(Begun::Recording(storage));
    }
    if !is_tape(&storage).map_err(failed)? {
        return Err(Failure::Content {
            path: path.into(),
            reason: "it is not a tape file, and only a recording is replaced: name another file"
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

    fn begun(path: &Path, existing: Existing) -> (FileStorage, Claim) {
        match begin(path, existing).unwrap() {
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
        drop(begun(&path, Existing::Replace));
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let (mut storage, claim) = begun(&path, Existing::Replace);
        storage.append(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), old);
        // Both are locked meanwhile.
        let busy = begin(&path, Existing::Continue).unwrap_err().to_string();
        assert!(busy.contains("another process is recording"), "{busy}");
        claim.take(Durability::Synced).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(begin(&path, Existing::Replace).is_err(), "the new one is locked, too");
        drop(storage);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_recording_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "my notes").unwrap();
        let refused = begin(&path, Existing::Replace).unwrap_err();
        assert!(matches!(refused, Failure::Content { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
    }

    #[test]
    fn a_file_that_nothing_comes_of_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        drop(begun(&path, Existing::Continue));
        assert!(!path.exists());
        begun(&path, Existing::Continue).1.keep();
        assert!(path.exists());
        // A file that was there before stays.
        drop(begun(&path, Existing::Replace));
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
            let (mut storage, claim) = begun(&link, Existing::Replace);
            storage.append(b"new").unwrap();
            claim.take(Durability::Buffered).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
    }
}
