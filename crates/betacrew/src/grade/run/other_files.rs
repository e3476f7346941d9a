//! Files that other programs than the client write.
//!
//! A client may write beside its own source file, so that folders of the user are searched for its
//! output. The report of the grader may lie there too: as its standard output, or as that of a
//! program behind a pipe. Such a file changes while the client runs, and looks like an output.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::sync::OnceLock;

/// Identity of a file: its device and its number on it.
type FileId = (u64, u64);

/// Files that a process had open for writing before the first client started.
static OPEN: OnceLock<BTreeSet<FileId>> = OnceLock::new();

/// Notes the files that this process, and all others that it may look into, have open for writing.
/// Must be called before the first client starts.
pub(crate) fn note_open_files() {
    OPEN.get_or_init(|| system::written().collect());
}

/// Returns whether a file was open for writing before the first client started, so that another
/// program writes it.
pub(crate) fn is_of_another_program(about: &Metadata) -> bool {
    let open = OPEN.get();
    system::identity(about).is_some_and(|id| open.is_some_and(|open| open.contains(&id)))
}

#[cfg(target_os = "linux")]
mod system {
    use super::FileId;
    use crate::grade::run::process::all_ids;
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;

    /// Returns the files that any process has open for writing.
    pub(super) fn written() -> impl Iterator<Item = FileId> {
        let files = all_ids().flat_map(|id| {
            let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
            open.map(|entry| entry.path())
        });
        files.filter_map(|path| {
            // The link to an open file has the permissions with which it was opened.
            let is_written = fs::symlink_metadata(&path).ok()?.mode() & 0o200 != 0;
            let about = fs::metadata(&path).ok().filter(Metadata::is_file)?;
            is_written.then(|| identity(&about)).flatten()
        })
    }

    /// Returns the identity of a file.
    pub(super) fn identity(about: &Metadata) -> Option<FileId> {
        Some((about.dev(), about.ino()))
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
mod system {
    use super::FileId;
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;

    /// Returns the files that are this process's standard outputs.
    pub(super) fn written() -> impl Iterator<Item = FileId> {
        let files = ["/dev/fd/1", "/dev/fd/2"].into_iter();
        files.filter_map(|path| identity(&fs::metadata(path).ok().filter(Metadata::is_file)?))
    }

    /// Returns the identity of a file.
    pub(super) fn identity(about: &Metadata) -> Option<FileId> {
        Some((about.dev(), about.ino()))
    }
}

#[cfg(not(unix))]
mod system {
    use super::FileId;
    use std::fs::Metadata;

    /// Returns no files, because the system does not tell.
    pub(super) fn written() -> impl Iterator<Item = FileId> {
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
    use std::fs::{self, File};

    #[test]
    fn only_files_that_are_open_for_writing_belong_to_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("read"), "x").unwrap();
        fs::write(path("closed"), "x").unwrap();
        let _held = (File::create(path("written")).unwrap(), File::open(path("read")).unwrap());
        let open: BTreeSet<FileId> = system::written().collect();
        let is_open = |name: &str| {
            open.contains(&system::identity(&fs::metadata(path(name)).unwrap()).unwrap())
        };
        assert!(is_open("written") && !is_open("read") && !is_open("closed"));
    }
}
