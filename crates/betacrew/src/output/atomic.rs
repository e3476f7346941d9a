//! Putting files in place: written beside their place under another name, then renamed, so that a
//! place holds the old file or the whole new one at every instant.
//!
//! A writer locks its partial file until it ends. A partial file without a lock was left by a
//! process that was killed, and the next process that writes in that folder removes it.

use super::place::{cut, folder};
use crate::format::Format;
use crate::storage::{Durability, lock};
use crate::terminal::signals;
#[cfg(unix)]
use crate::text::location::shown;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use tempfile::NamedTempFile;

/// Part of a partial file's name that identifies this program: `.NAME.betacrew-XXXXXX.partial`.
/// Files without it belong to other programs and are never removed.
const MARK: &str = ".betacrew-";
const END: &str = ".partial";
/// Number of random letters and digits in a partial file's name.
const RANDOM: usize = 6;
/// Maximum number of bytes that a partial file's name takes over from its place's: with the rest of
/// the name they fit every file system, also an encrypted one that has only 143.
const TAKEN_OVER: usize = 100;
/// Maximum number of names tried for a partial file, should others keep removing it.
const TRIES: usize = 8;
/// Maximum number of a folder's entries that are looked at for what dead processes have left.
#[cfg(unix)]
const SWEEP_MAX: usize = 100_000;

/// File that is being written beside its place. It is removed unless it is put there.
#[derive(Debug)]
pub(crate) struct Partial {
    file: NamedTempFile,
    /// Metadata of the file that stood in the place when this one was begun.
    old: Option<Box<Metadata>>,
}

impl Partial {
    /// Begins a file that will be put at `place`.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn beside(place: &Path) -> io::Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{}{MARK}", cut(&name, TAKEN_OVER));
        let old = fs::metadata(place).ok().map(Box::new);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(END).rand_bytes(RANDOM);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file, less the umask. What replaces a file gets that one's permissions
            // once it is in place: until then no other user may read it.
            let mode = if old.is_some() { 0o600 } else { 0o666 };
            builder.permissions(fs::Permissions::from_mode(mode));
        }
        for _ in 0..TRIES {
            let file = signals::temporary(|| builder.tempfile_in(folder(place)))?;
            if claim(&file)? {
                return Ok(Self { file, old });
            }
        }
        Err(io::Error::other("another process keeps removing what is written beside it"))
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Returns the file for writing.
    pub(crate) fn file_mut(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Returns the temporary name of the file, which it has until it is put in place.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the file at `place`, unless a process is recording into the file there. With
    /// [`Durability::Synced`] it survives a power failure from then on, and the old file until
    /// then.
    ///
    /// # Errors
    /// Errors of the system; the file that stood there before still stands there.
    pub(crate) fn persist(
        self,
        place: &Path,
        format: Option<Format>,
        durability: Durability,
    ) -> io::Result<()> {
        let _held = hold(place)?;
        match format {
            #[cfg(feature = "sqlite")]
            Some(Format::Sqlite) => {
                super::database::replace(place, durability, || self.replace(place, durability))
            }
            _ => self.replace(place, durability),
        }
    }

    /// Puts the file at `place` without asking whether the file there is in use.
    ///
    /// # Errors
    /// As [`persist`](Self::persist).
    pub(super) fn replace(self, place: &Path, durability: Durability) -> io::Result<()> {
        if let Some(old) = fs::metadata(place).ok().map(Box::new).or(self.old) {
            take_over(self.file.as_file(), &old)?;
        }
        if durability == Durability::Synced {
            // Its content is safe before its name is, or the name could outlive it.
            self.file.as_file().sync_all()?;
        }
        self.file.persist(place).map_err(|error| error.error)?;
        match durability {
            Durability::Synced => crate::storage::sync_folder(place),
            Durability::Buffered => Ok(()),
        }
    }
}

/// Locks a partial file, so that others see that its writer lives. Returns whether it still has its
/// name: in the instant before it was locked it looked like one of a dead process.
#[cfg(unix)]
fn claim(file: &NamedTempFile) -> io::Result<bool> {
    use crate::storage::is_at;
    use std::fs::TryLockError;
    match file.as_file().try_lock() {
        Ok(()) => is_at(file.as_file(), file.path()),
        Err(TryLockError::WouldBlock) => Ok(false),
        // A file system without locks cannot say whether a file is in use, so no file is removed.
        Err(TryLockError::Error(_)) => Ok(true),
    }
}

/// Takes no lock: here it would keep other handles of this process from writing.
#[cfg(not(unix))]
fn claim(_: &NamedTempFile) -> io::Result<bool> {
    Ok(true)
}

/// Gives a file the permissions of the one that it replaces, and its owner where the system allows
/// that. Where it does not, no user gets a permission that the old file did not give.
#[cfg(unix)]
fn take_over(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let mut own = file.metadata()?;
    let mut mode = old.mode() & 0o777;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        // Only root may give a file away; its group is any of the user's own.
        if fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
            let _ = fchown(file, None, Some(old.gid()));
        }
        own = file.metadata()?;
    }
    if own.gid() != old.gid() {
        mode = for_another_group(mode);
    }
    if own.mode() & 0o777 == mode {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn take_over(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Returns permissions for a file whose group could not be kept: its new group may do what
/// everybody might.
#[cfg(unix)]
fn for_another_group(mode: u32) -> u32 {
    mode & (0o707 | ((mode & 0o007) << 3))
}

/// Locks what is at `place` if it is a recording, for as long as what this returns is kept: no
/// process begins to record into a file that is about to lose its name.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where a process is recording into it.
pub(crate) fn hold(place: &Path) -> io::Result<Option<File>> {
    let mut file = match fs::metadata(place) {
        Ok(found) if found.is_file() => match File::open(place) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                File::options().write(true).open(place)?
            }
            file => file?,
        },
        _ => return Ok(None),
    };
    let mut begin = Vec::new();
    let read = (&mut file).take(feed::tape::file::MAGIC.len() as u64).read_to_end(&mut begin);
    // A file that is empty, or that may not be read, may have become a recording just now. Locks of
    // other files are not asked for: `flock out.json betacrew ...` holds one on purpose.
    if read.is_ok() && !feed::tape::file::MAGIC.starts_with(&begin) {
        return Ok(None);
    }
    match lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(error),
        // On a file system without locks no recording can be begun.
        Err(_) => Ok(None),
    }
}

/// Removes partial files of dead processes from the folder of `place`. Errors are ignored, because
/// the files are only in the way.
#[cfg(unix)]
pub(crate) fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(folder(place)) else { return };
    for entry in entries.take(SWEEP_MAX).map_while(Result::ok) {
        if entry.file_name().to_str().is_some_and(is_partial) {
            let _ = remove_if_dead(&entry.path());
        }
    }
}

/// Removes nothing: files of living processes cannot be told from others here.
#[cfg(not(unix))]
pub(crate) fn sweep(_: &Path) {}

/// Returns whether a file with this name is a partial one of this program.
#[cfg(unix)]
fn is_partial(name: &str) -> bool {
    let random = name
        .strip_suffix(END)
        .filter(|name| name.starts_with('.'))
        .and_then(|name| name.rsplit_once(MARK))
        .map(|(_, random)| random);
    random.is_some_and(|text| {
        text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(unix)]
fn remove_if_dead(path: &Path) -> io::Result<()> {
    use crate::storage::is_at;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    // Between the two it may have become a link or a pipe.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = File::options().read(true).write(true).custom_flags(flags).open(path)?;
    if file.try_lock().is_ok() && is_at(&file, path)? {
        fs::remove_file(path)?;
        tracing::debug!("removed {}, which a process that has died left", shown(path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileStorage;
    use std::path::PathBuf;

    fn put(place: &Path, content: &str) -> io::Result<()> {
        let mut partial = Partial::beside(place)?;
        io::Write::write_all(partial.file_mut(), content.as_bytes())?;
        partial.persist(place, None, Durability::Buffered)
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_of_every_length_can_be_put_in_place() {
        let folder = tempfile::tempdir().unwrap();
        for len in [1, 99, 100, 101, 230, 240, 254, 255] {
            let place = folder.path().join("n".repeat(len));
            put(&place, "x").unwrap();
            assert_eq!(fs::read_to_string(&place).unwrap(), "x");
        }
        // Three bytes a character, none of which is cut in two.
        put(&folder.path().join("\u{2603}".repeat(85)), "x").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_owner_are_those_of_the_file_that_is_replaced() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x");
        for mode in [0o600, 0o640, 0o664, 0o666, 0o444, 0o777] {
            fs::write(&place, "old").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            // Only root may give files away.
            let given = chown(&place, Some(1234), Some(4321)).is_ok();
            put(&place, "new").unwrap();
            let found = fs::metadata(&place).unwrap();
            assert_eq!(found.mode() & 0o777, mode, "{mode:o}");
            assert!(!given || (found.uid(), found.gid()) == (1234, 4321));
            fs::remove_file(&place).unwrap();
        }
        assert_eq!(for_another_group(0o664), 0o644);
        assert_eq!(for_another_group(0o640), 0o600);
        assert_eq!(for_another_group(0o676), 0o666);
    }

    #[cfg(unix)]
    #[test]
    fn what_replaces_a_file_is_nobody_elses_until_it_is_in_place() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x");
        fs::write(&place, "old").unwrap();
        let partial = Partial::beside(&place).unwrap();
        let mode = fs::metadata(partial.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn only_what_dead_processes_of_ours_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let alive = Partial::beside(&path("alive")).unwrap();
        for name in [
            ".x.json.abcdef.partial",
            "x.json.betacrew-abcdef.partial",
            ".x.json.betacrew-abcde.partial",
            ".x.json.betacrew-abc.ef.partial",
            ".x.json.betacrew-abcdef.part",
            "x.json",
        ] {
            fs::write(path(name), "somebody's").unwrap();
        }
        std::os::unix::fs::symlink("x.json", path(".l.betacrew-abcdef.partial")).unwrap();
        fs::create_dir(path(".d.betacrew-abcdef.partial")).unwrap();
        let before = names(folder.path());
        fs::write(path(".x.json.betacrew-aBc012.partial"), "a dead one's").unwrap();
        fs::write(path("..betacrew-aBc012.partial"), "a dead one's").unwrap();
        sweep(&path("any"));
        assert_eq!(names(folder.path()), before);
        assert!(alive.path().exists());
    }

    /// Writers and sweepers at the same time: no writer loses its file.
    #[cfg(unix)]
    #[test]
    fn what_the_living_write_survives_every_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: usize| folder.path().join(name.to_string());
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|name| {
                    let place = path(name);
                    scope.spawn(move || (0..50).for_each(|_| put(&place, "x").unwrap()))
                })
                .collect();
            while !writers.iter().all(|writer| writer.is_finished()) {
                sweep(&path(0));
            }
        });
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn a_recording_in_use_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("r.tape");
        for content in [&b""[..], &feed::tape::file::MAGIC, b"\x8aTAPE\r\n\x1a and more"] {
            fs::write(&place, content).unwrap();
            let partial = Partial::beside(&place).unwrap();
            let recording = FileStorage::write(&place).unwrap();
            let refused = partial.persist(&place, None, Durability::Buffered).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
            assert_eq!(fs::read(&place).unwrap(), content);
            drop(recording);
            put(&place, "new").unwrap();
        }
        // A lock on a file that is no recording is ignored: it belongs to another program.
        let text = File::open(&place).unwrap();
        text.lock().unwrap();
        put(&place, "newer").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
    }
}
