//! Folder of one run of the grader, which holds the copies for its cases. Only its user may enter.
//!
//! A grader that is killed leaves its folder behind, and perhaps a client that still runs. The next
//! grader finds both. The folder is found by its name; a lock, which the system releases when a
//! process ends, shows that its grader is dead. The client is found by an environment variable that
//! holds the path of the folder.

use crate::error::Failure;
use crate::grade::run::copying::CopyShared;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// Prefix of the names of these folders.
const PREFIX: &str = "betacrew-grade-";
/// Name of the file in the folder that the grader keeps locked while it lives.
const OWNER: &str = "owner";
/// Name of the environment variable that gives each client the path of the folder.
pub(crate) const VARIABLE: &str = "BETACREW_GRADE_FOLDER";

/// Folder of one run of the grader.
#[derive(Debug)]
pub(crate) struct RunFolder {
    /// Folder, removed before the lock is released because fields are dropped in order.
    folder: Folder,
    /// Shared copies that exist already, by the path of the original.
    shared: Mutex<BTreeMap<PathBuf, CopyShared>>,
    /// Owner file, locked while this process lives.
    _owner: File,
}

/// Folder that is removed on drop, even if a client has made parts of it read-only.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

impl RunFolder {
    /// Creates a run folder in the system's folder for temporary files.
    ///
    /// # Errors
    /// Returns an error if that folder cannot be written.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_in(&std::env::temp_dir())
    }

    fn open_in(place: &Path) -> Result<Self, Failure> {
        let make = || {
            // TMPDIR may be spelt in several ways; the next grader compares canonical paths.
            let place = fs::canonicalize(place)?;
            let folder = Folder(private(PREFIX).tempdir_in(place)?.keep());
            // The owner file gets its final name only when it is locked, because the next grader
            // takes an unlocked owner file as a sign that this grader is dead.
            let new = folder.0.join("owner.new");
            let owner = File::create(&new)?;
            owner.try_lock().map_err(io::Error::from)?;
            fs::rename(&new, folder.0.join(OWNER))?;
            fs::create_dir(folder.0.join("shared"))?;
            Ok(Self { folder, shared: Mutex::default(), _owner: owner })
        };
        make().map_err(|source| unusable(place, source))
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder.0
    }

    /// Creates a folder for one case, which is removed when the returned value is dropped.
    ///
    /// # Errors
    /// Returns an error if the run folder cannot be written.
    pub(crate) fn case_folder(&self) -> Result<TempDir, Failure> {
        let case = private("case-").tempdir_in(self.path());
        case.map_err(|source| unusable(self.path(), source))
    }

    /// Returns the copy of a folder that all cases share, and makes it at the first call.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be copied.
    pub(crate) fn shared_copy(&self, original: &Path) -> Result<CopyShared, Failure> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(original) {
            return Ok(known.clone());
        }
        let name = original.file_name().unwrap_or_default();
        // The copy keeps its name, because Node.js looks for the dependencies of a package in the
        // folder `node_modules` around its real path.
        let place = self.path().join("shared").join(shared.len().to_string()).join(name);
        let made = CopyShared::make(original, place, name)?;
        shared.insert(original.to_owned(), made.clone());
        Ok(made)
    }
}

/// Returns a builder of temporary folders that no other user may enter.
fn private(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder
}

fn unusable(place: &Path, source: io::Error) -> Failure {
    Failure::Storage { action: "make a folder in", path: place.to_owned(), source }
}

/// Returns whether a path is the folder of a run.
pub(crate) fn is_run_folder(path: &Path) -> bool {
    has_run_folder_name(path) && path.join(OWNER).is_file()
}

fn has_run_folder_name(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name.starts_with(PREFIX))
}

/// Removes a folder and everything in it, as far as permissions allow.
pub(crate) fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() {
        return;
    }
    #[cfg(unix)]
    make_writable(folder, 0);
    // Entries that this user cannot remove are left for the next grader, which tries again.
    let _ = fs::remove_dir_all(folder);
}

/// Gives this user write access to a folder and its subfolders.
#[cfg(unix)]
fn make_writable(folder: &Path, depth: usize) {
    use std::os::unix::fs::PermissionsExt;
    if depth > 256 {
        return;
    }
    let _ = fs::set_permissions(folder, PermissionsExt::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // `file_type` does not follow links, so a link to one of the user's folders is left alone.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path(), depth + 1);
        }
    }
}

/// Ends clients of graders that were killed, and removes their folders. Touches nothing else.
pub(crate) fn clean_up() {
    clean_up_in(&std::env::temp_dir());
}

fn clean_up_in(place: &Path) {
    let Ok(place) = fs::canonicalize(place) else { return };
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let folder = entry.path();
        if has_run_folder_name(&folder) && belongs_to_user(&folder) {
            remove_if_dead(&folder);
        }
    }
}

/// Returns whether a path is a folder of this user, and not a link to one.
fn belongs_to_user(folder: &Path) -> bool {
    let Ok(about) = fs::symlink_metadata(folder) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&about) != rustix::process::geteuid().as_raw() {
        return false;
    }
    about.is_dir()
}

fn remove_if_dead(folder: &Path) {
    // A folder without an owner file is just being made or removed by its grader.
    let Ok(owner) = File::open(folder.join(OWNER)) else { return };
    if owner.try_lock().is_err() {
        return;
    }
    let ended = end_clients_of(folder);
    remove(folder);
    let clients = if ended > 0 { ", and ended the client that still ran in it" } else { "" };
    tracing::info!(
        "removed {}, left by a grader that was killed{clients}",
        crate::text::location::shown(folder)
    );
}

/// Kills the processes whose environment names this folder, and returns their number.
#[cfg(target_os = "linux")]
fn end_clients_of(folder: &Path) -> usize {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::os::unix::ffi::OsStrExt;
    let mark = [VARIABLE.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let mut ended = 0;
    // A process that is just being started by another one is found in the next round.
    for _ in 0..8 {
        let before = ended;
        for id in crate::grade::run::process::all_ids() {
            let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { continue };
            // A file descriptor of the process is opened before its environment is read, because
            // the number alone could meanwhile belong to another process.
            let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let Ok(variables) = fs::read(format!("/proc/{id}/environ")) else { continue };
            let is_client = variables.split(|byte| *byte == 0).any(|variable| variable == mark);
            if is_client && pidfd_send_signal(held, Signal::KILL).is_ok() {
                ended += 1;
            }
        }
        if ended == before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    ended
}

#[cfg(not(target_os = "linux"))]
fn end_clients_of(_: &Path) -> usize {
    0
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_run_folder_is_private_and_is_removed_with_its_run() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::open_in(place.path()).unwrap();
        let case = run.case_folder().unwrap();
        for folder in [run.path(), case.path()] {
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
        }
        // A client may leave folders that cannot be entered.
        fs::create_dir(case.path().join("closed")).unwrap();
        fs::write(case.path().join("closed/file"), "x").unwrap();
        fs::set_permissions(case.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        drop((case, run));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_shared_copy_keeps_its_name() {
        let place = tempfile::tempdir().unwrap();
        let original = place.path().join("node_modules");
        fs::create_dir_all(original.join("top")).unwrap();
        let run = RunFolder::open_in(place.path()).unwrap();
        let CopyShared::Copied(copy) = run.shared_copy(&original).unwrap() else {
            panic!("an empty folder is not too large");
        };
        assert!(copy.ends_with("node_modules") && copy.join("top").is_dir(), "{copy:?}");
    }

    #[test]
    fn only_the_folders_of_dead_graders_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let alive = RunFolder::open_in(place.path()).unwrap();
        let dead = path("betacrew-grade-dead");
        let other = tempfile::tempdir().unwrap();
        for folder in [&dead, &path("another-folder"), &other.path().to_owned()] {
            fs::create_dir_all(folder.join("case-1")).unwrap();
            fs::write(folder.join(OWNER), "").unwrap();
        }
        fs::create_dir(path("betacrew-grade-new")).unwrap();
        fs::write(path("betacrew-grade-file"), "").unwrap();
        std::os::unix::fs::symlink(other.path(), path("betacrew-grade-link")).unwrap();
        clean_up_in(place.path());
        assert!(!dead.exists(), "no process locks its owner file");
        assert!(alive.path().join(OWNER).exists());
        for name in ["another-folder", "betacrew-grade-new", "betacrew-grade-file"] {
            assert!(path(name).exists(), "{name}");
        }
        assert!(other.path().join("case-1").exists() && path("betacrew-grade-link").exists());
    }
}
