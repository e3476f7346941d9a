//! The folder of one run of the grader, which only its user may enter: copies for its cases.
//!
//! A grader that is killed leaves its folder, and perhaps a client that still runs. The next one
//! finds both: the folder by its name, and that its grader is dead by a lock which the system gives
//! up with the process; the client by a variable of its environment, which says whose it is.

use crate::error::Failure;
use crate::grade::run::copying::CopyShared;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// How the names of these folders begin.
const PREFIX: &str = "betacrew-grade-";
/// The file in it that its grader holds a lock of.
const OWNER: &str = "owner";
/// The variable that each client finds the folder in.
pub(crate) const VARIABLE: &str = "BETACREW_GRADE_FOLDER";

/// The folder of one run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    /// Removed before the lock is given up.
    folder: Folder,
    shared: Mutex<BTreeMap<PathBuf, CopyShared>>,
    /// Locked for as long as this process lives.
    _owner: File,
}

/// A folder that is removed with this, also if a client has made parts of it read-only.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

impl RunFolder {
    /// Makes one in the folder for temporary files.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_in(&std::env::temp_dir())
    }

    fn open_in(place: &Path) -> Result<Self, Failure> {
        let make = || {
            // However TMPDIR is spelt: the next run compares.
            let place = fs::canonicalize(place)?;
            let folder = Folder(private(PREFIX).tempdir_in(place)?.keep());
            // It gets its name once it is locked: who finds it unlocked knows that we are dead.
            let new = folder.0.join("owner.new");
            let owner = File::create(&new)?;
            owner.try_lock().map_err(io::Error::from)?;
            fs::rename(&new, folder.0.join(OWNER))?;
            fs::create_dir(folder.0.join("shared"))?;
            Ok(Self { folder, shared: Mutex::default(), _owner: owner })
        };
        make().map_err(|source| unusable(place, source))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder.0
    }

    /// Makes a folder for one case, which is removed with what this returns.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn case(&self) -> Result<TempDir, Failure> {
        let case = private("case-").tempdir_in(self.path());
        case.map_err(|source| unusable(self.path(), source))
    }

    /// Returns the copy of a folder that all cases share, and makes it when first asked for.
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub(crate) fn shared(&self, original: &Path) -> Result<CopyShared, Failure> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(original) {
            return Ok(known.clone());
        }
        let place = self.path().join("shared").join(shared.len().to_string());
        let name = original.file_name().unwrap_or_default();
        let made = CopyShared::make(original, place, name)?;
        shared.insert(original.to_owned(), made.clone());
        Ok(made)
    }
}

/// Makes folders that nobody else may enter.
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

/// Whether a path is that of a run's folder.
pub(crate) fn is_one(path: &Path) -> bool {
    is_named_so(path) && path.join(OWNER).is_file()
}

fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name.starts_with(PREFIX))
}

/// Removes a folder with all that is in it, as far as that can be done.
pub(crate) fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() {
        return;
    }
    #[cfg(unix)]
    make_writable(folder, 0);
    // What is still there cannot be removed by us; the next run tries again.
    let _ = fs::remove_dir_all(folder);
}

/// Lets us write into a folder of ours and those in it.
#[cfg(unix)]
fn make_writable(folder: &Path, depth: usize) {
    use std::os::unix::fs::PermissionsExt;
    if depth > 256 {
        return;
    }
    let _ = fs::set_permissions(folder, PermissionsExt::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Of a link this is not the kind of what it leads to.
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
        if is_named_so(&folder) && is_own(&folder) {
            remove_if_dead(&folder);
        }
    }
}

/// Whether it is a folder, not a link to one, that belongs to this user.
fn is_own(folder: &Path) -> bool {
    let Ok(about) = fs::symlink_metadata(folder) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&about) != rustix::process::geteuid().as_raw() {
        return false;
    }
    about.is_dir()
}

fn remove_if_dead(folder: &Path) {
    // One that is not there yet, or not any more, is being made or removed.
    let Ok(owner) = File::open(folder.join(OWNER)) else { return };
    if owner.try_lock().is_err() {
        return;
    }
    let ended = end_clients_of(folder);
    remove(folder);
    let clients = if ended > 0 { ", and ended what still ran of its client" } else { "" };
    tracing::info!(
        "removed {}, which a grader that was killed has left{clients}",
        crate::text::location::shown(folder)
    );
}

/// Kills the processes that were started as clients with this folder; returns how many.
#[cfg(target_os = "linux")]
fn end_clients_of(folder: &Path) -> usize {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::os::unix::ffi::OsStrExt;
    let mark = [VARIABLE.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let mut ended = 0;
    // One that is just being started by another is found in the next round.
    for _ in 0..8 {
        let before = ended;
        for id in crate::grade::run::process::all_ids() {
            let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { continue };
            // Held before it is looked at, so that its number cannot become another's.
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
    fn it_is_its_user_s_alone_and_goes_with_its_run() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::open_in(place.path()).unwrap();
        let case = run.case().unwrap();
        for folder in [run.path(), case.path()] {
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
        }
        // A client may have made it hard to remove.
        fs::create_dir(case.path().join("closed")).unwrap();
        fs::write(case.path().join("closed/file"), "x").unwrap();
        fs::set_permissions(case.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        drop((case, run));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_dead_graders_have_left_is_removed() {
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
        assert!(!dead.exists(), "its owner is locked by nobody");
        assert!(alive.path().join(OWNER).exists());
        for name in ["another-folder", "betacrew-grade-new", "betacrew-grade-file"] {
            assert!(path(name).exists(), "{name}");
        }
        assert!(other.path().join("case-1").exists() && path("betacrew-grade-link").exists());
    }
}
