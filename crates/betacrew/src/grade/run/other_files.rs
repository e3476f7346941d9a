//! Files that other programs than the client write.
//!
//! A client may write beside its own source file, so that folders of the user are searched for its
//! output. The report of the grader may lie there too: as its standard output, or as that of a
//! program behind a pipe. Such a file changes while the client runs, and looks like an output.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Identity of a file: its device and its number on it.
type FileId = (u64, u64);

/// Files that a process had open for writing before the first client started, with their paths. A
/// system gives the number of a file that is gone to a new one, which has another path.
static OPEN: OnceLock<BTreeMap<FileId, PathBuf>> = OnceLock::new();

/// Notes the files that this process, and all others that it may look into, have open for writing.
/// Must be called before the first client starts.
pub(crate) fn note_open_files() {
    OPEN.get_or_init(|| system::written().collect());
}

/// Returns whether a file was open for writing before the first client started, so that another
/// program writes it.
pub(crate) fn is_of_another_program(path: &Path, about: &Metadata) -> bool {
    let known = || OPEN.get()?.get(&system::identity(about)?);
    known().is_some_and(|known| fs::canonicalize(path).is_ok_and(|path| path == *known))
}

#[cfg(target_os = "linux")]
mod system {
    use super::FileId;
    use crate::grade::run::process::all_ids;
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    /// Returns the files that any process has open for writing.
    pub(super) fn written() -> impl Iterator<Item = (FileId, PathBuf)> {
        let files = all_ids().flat_map(|id| {
            let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
            open.map(|entry| entry.path())
        });
        files.filter_map(|path| {
            // The link to an open file has the permissions with which it was opened.
            let is_written = fs::symlink_metadata(&path).ok()?.mode() & 0o200 != 0;
            let about = fs::metadata(&path).ok().filter(Metadata::is_file)?;
            let open = is_written.then(|| identity(&about)).flatten()?;
            Some((open, fs::read_link(&path).ok()?))
        })
    }

    /// Returns the identity of a file.
    pub(super) fn identity(about: &Metadata) -> Option<FileId> {
        Some((about.dev(), about.ino()))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::FileId;
    use std::fs::Metadata;
    use std::path::PathBuf;

    /// Returns no files, because the system does not tell.
    pub(super) fn written() -> impl Iterator<Item = (FileId, PathBuf)> {
        std::iter::empty()
    }

    /// Returns no identity, because the system does not tell.
    pub(super) fn identity(_: &Metadata) -> Option<FileId> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn only_files_that_are_open_for_writing_belong_to_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("read"), "x").unwrap();
        fs::write(path("closed"), "x").unwrap();
        let _held = (File::create(path("written")).unwrap(), File::open(path("read")).unwrap());
        let open: BTreeMap<FileId, PathBuf> = system::written().collect();
        let place = |name: &str| {
            let about = fs::metadata(path(name)).unwrap();
            open.get(&system::identity(&about).unwrap()).cloned()
        };
        assert_eq!(place("written"), Some(fs::canonicalize(path("written")).unwrap()));
        assert!(place("read").is_none_or(|other| !other.ends_with("read")));
        assert!(place("closed").is_none_or(|other| !other.ends_with("closed")));
    }
}
