//! Copies a folder in such a way that no write into the copy reaches the original.
//!
//! Symbolic links are the danger. A link to a target inside the folder becomes a link into the
//! copy; a link to a target elsewhere becomes a copy of the target. Links to files of the system
//! stay links, but only where this user may not write the target.

use crate::error::Failure;
use crate::grade::run::run_folder::{self, RunFolder};
use crate::text::location::shown;
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Maximum number of bytes that are copied for each case.
const COPY_BYTES_MAX: u64 = 64 << 20;
/// Maximum number of files, folders and links that are copied for each case.
const COPY_FILES_MAX: usize = 5_000;
/// Maximum number of bytes of a folder that all cases share.
const SHARED_BYTES_MAX: u64 = 256 << 20;
/// Maximum number of entries of a folder that all cases share.
const SHARED_FILES_MAX: usize = 50_000;
/// Maximum number of folders, one inside another.
const DEPTH_MAX: usize = 64;

/// Folders that are copied once for all cases, because they are large and no client writes its
/// output there.
const SHARED: [&str; 6] = ["node_modules", ".git", "target", ".venv", "venv", "vendor"];
/// Shared folders that are left out if they are too large, because a client runs without them.
const OPTIONAL: [&str; 2] = [".git", "target"];

/// Returns whether a folder is one that all cases share.
pub(crate) fn is_shared(name: &OsStr) -> bool {
    SHARED.iter().any(|shared| name == *shared)
}

/// Returns whether a folder belongs to a person and not to the system.
pub(crate) fn is_personal(folder: &Path) -> bool {
    !["/bin", "/sbin", "/usr", "/lib", "/etc", "/opt"]
        .iter()
        .any(|system| folder.starts_with(system))
}

/// Folders of the system, and whether their contents can be copied.
const SYSTEM: [(&str, bool); 9] = [
    ("/bin", true),
    ("/sbin", true),
    ("/usr", true),
    ("/lib", true),
    ("/lib64", true),
    ("/etc", true),
    ("/dev", false),
    ("/proc", false),
    ("/sys", false),
];

/// Returns whether this user may write to a file or a folder.
fn is_writable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        true
    }
}

/// Copies the folder `from` into the folder `to`, for one case.
///
/// # Errors
/// Returns an error if the folder is too large, or a part of it cannot be read.
pub(crate) fn copy(from: &Path, to: &Path, run: &RunFolder) -> Result<(), Failure> {
    FolderCopier::new(from, to, Some(run), (COPY_FILES_MAX, COPY_BYTES_MAX))?.all()
}

/// Result of copying a folder that all cases share.
#[derive(Clone, Debug)]
pub(crate) enum CopyShared {
    /// Path of the copy, to which each case gets a link.
    Copied(PathBuf),
    /// No copy: the folder is too large, and clients run without it.
    LeftOut,
}

impl CopyShared {
    /// Copies the folder `from` to `to`, for all cases.
    ///
    /// # Errors
    /// Returns an error if the folder is too large and clients need it.
    pub(crate) fn make(from: &Path, to: PathBuf, name: &OsStr) -> Result<Self, Failure> {
        fs::create_dir_all(&to).map_err(|source| failed(from, &source))?;
        let bounds = (SHARED_FILES_MAX, SHARED_BYTES_MAX);
        match FolderCopier::new(from, &to, None, bounds)?.all() {
            Ok(()) => Ok(Self::Copied(to)),
            Err(_) if OPTIONAL.iter().any(|spare| name == *spare) => {
                run_folder::remove(&to);
                Ok(Self::LeftOut)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Copy in progress.
struct FolderCopier<'a> {
    /// Original folder, without links in its path.
    from: PathBuf,
    /// Folder that receives the copy.
    to: &'a Path,
    /// Run folder that receives the shared copies; `None` while a shared folder itself is copied.
    run: Option<&'a RunFolder>,
    /// Maximum numbers of entries and bytes.
    bounds: (usize, u64),
    /// Number of entries copied so far.
    files: usize,
    /// Number of bytes copied so far.
    bytes: u64,
    /// Folders elsewhere that are being copied, without links in their paths; each contains the
    /// next. They are recorded so that links in a circle end.
    elsewhere: Vec<PathBuf>,
}

impl<'a> FolderCopier<'a> {
    fn new(
        from: &Path,
        to: &'a Path,
        run: Option<&'a RunFolder>,
        bounds: (usize, u64),
    ) -> Result<Self, Failure> {
        let from = fs::canonicalize(from).map_err(|source| failed(from, &source))?;
        Ok(Self { from, to, run, bounds, files: 0, bytes: 0, elsewhere: Vec::new() })
    }

    fn all(mut self) -> Result<(), Failure> {
        let (from, to) = (self.from.clone(), self.to);
        self.folder(&from, to, 0)
    }

    fn folder(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), Failure> {
        if depth > DEPTH_MAX {
            return Err(refusal(&format!("{} has too many levels", shown(from))));
        }
        for entry in fs::read_dir(from).map_err(|error| failed(from, &error))?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let place = to.join(&name);
            self.files += 1;
            self.check(from)?;
            match self.entry(&path, kind, &place, depth) {
                // A file that the grader may not read is skipped: the client could not read it
                // either.
                Err(CopyFailure::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(CopyFailure::Io(error)) => return Err(failed(&path, &error)),
                Err(CopyFailure::Failure(failure)) => return Err(failure),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, kind: FileType, place: &Path, depth: usize) -> CopiedFiles {
        if run_folder::is_run_folder(path) {
            // The run folder itself is inside the original if TMPDIR is; copying it would never
            // end.
            return Ok(());
        }
        if let Some(run) = self.run.filter(|_| path.file_name().is_some_and(is_shared))
            && path.is_dir()
        {
            return match run.shared_copy(path)? {
                CopyShared::Copied(copy) => Ok(link(&copy, place)?),
                CopyShared::LeftOut => Ok(()),
            };
        }
        if kind.is_symlink() {
            self.link(path, place, depth)
        } else if kind.is_dir() {
            fs::create_dir(place)?;
            Ok(self.folder(path, place, depth + 1)?)
        } else if kind.is_file() {
            self.file(path, place)
        } else {
            Ok(())
        }
    }

    fn file(&mut self, path: &Path, place: &Path) -> CopiedFiles {
        self.bytes = self.bytes.saturating_add(fs::metadata(path)?.len());
        self.check(path.parent().unwrap_or(path))?;
        fs::copy(path, place)?;
        Ok(())
    }

    /// Copies a link so that writes through it never reach the original.
    fn link(&mut self, path: &Path, place: &Path, depth: usize) -> CopiedFiles {
        let Ok(real) = fs::canonicalize(path) else {
            // The target does not exist yet; a client may create it, so the link must lead into the
            // copy.
            let target = fs::read_link(path)?;
            let target = plain(&path.parent().unwrap_or(path).join(target));
            return match target.strip_prefix(&self.from) {
                Ok(inside) => Ok(link(&self.to.join(inside), place)?),
                Err(_) => Ok(()),
            };
        };
        if let Ok(inside) = real.strip_prefix(&self.from)
            && !(self.run.is_some() && inside.iter().any(is_shared))
        {
            return Ok(link(&self.to.join(inside), place)?);
        }
        if let Some((_, can_be_copied)) = SYSTEM.iter().find(|(at, _)| real.starts_with(at)) {
            // Writes to the null device change nothing, so a link to it may stay.
            if !is_writable(&real) || real == Path::new("/dev/null") {
                return Ok(link(&real, place)?);
            }
            if !can_be_copied {
                return Ok(());
            }
        }
        if real.is_file() {
            return self.file(&real, place);
        }
        // A target that contains the folder being copied would make the copy endless.
        if real.is_dir() && !self.from.starts_with(&real) && !self.elsewhere.contains(&real) {
            fs::create_dir(place)?;
            self.elsewhere.push(real.clone());
            let done = self.folder(&real, place, depth + 1);
            self.elsewhere.pop();
            done?;
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<(), Failure> {
        let (files, bytes) = self.bounds;
        if self.files <= files && self.bytes <= bytes {
            return Ok(());
        }
        Err(refusal(&format!(
            "more than {files} files or {} MiB, including the targets of its links (counted up to \
             {})",
            bytes >> 20,
            shown(folder)
        )))
    }
}

/// Reason why an entry is not copied.
enum CopyFailure {
    /// The entry cannot be read or written.
    Io(io::Error),
    /// The whole copy must be refused.
    Failure(Failure),
}

/// Result of copying one entry.
type CopiedFiles = Result<(), CopyFailure>;

impl From<io::Error> for CopyFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failure> for CopyFailure {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Returns a path without `.` and `..`, without looking at the file system.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn failed(path: &Path, source: &io::Error) -> Failure {
    refusal(&format!("cannot copy {}: {source}", shown(path)))
}

fn refusal(why: &str) -> Failure {
    Failure::Usage(format!(
        "cannot copy the current folder for each case: {why}\nRun this in the client's folder, or \
         choose --workdir here or --workdir empty"
    ))
}

fn link(real: &Path, place: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(real, place);
    #[cfg(not(unix))]
    {
        let _ = (real, place);
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Folder to be copied and a folder elsewhere, each with a file.
    struct World {
        from: tempfile::TempDir,
        elsewhere: tempfile::TempDir,
        run: RunFolder,
    }

    impl World {
        fn new() -> Self {
            let (from, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::create_dir_all(from.path().join("out")).unwrap();
            fs::write(from.path().join("out/real.json"), "mine").unwrap();
            fs::write(elsewhere.path().join("real.json"), "mine").unwrap();
            Self { from, elsewhere, run: RunFolder::open().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.from.path().join(name)
        }

        fn copy(&self) -> Result<tempfile::TempDir, Failure> {
            let to = self.run.case_folder()?;
            copy(self.from.path(), to.path(), &self.run)?;
            Ok(to)
        }

        /// Asserts that no file of the user was written.
        fn untouched(&self) {
            for path in [self.path("out/real.json"), self.elsewhere.path().join("real.json")] {
                assert_eq!(fs::read(path).unwrap(), b"mine");
            }
        }
    }

    #[test]
    fn writes_through_a_link_stay_in_the_copy() {
        let world = World::new();
        let elsewhere = world.elsewhere.path();
        let links = [
            ("inside.json", PathBuf::from("out/real.json")),
            ("absolute.json", world.path("out/real.json")),
            ("chain.json", PathBuf::from("inside.json")),
            ("elsewhere.json", elsewhere.join("real.json")),
        ];
        for (name, target) in &links {
            symlink(target, world.path(name)).unwrap();
        }
        symlink(elsewhere, world.path("folder")).unwrap();
        symlink("out", world.path("data")).unwrap();
        symlink("out/new.json", world.path("new.json")).unwrap();
        symlink(elsewhere.join("new.json"), world.path("none.json")).unwrap();
        let to = world.copy().unwrap();
        let names = links.map(|(name, _)| name);
        let names = [&names[..], &["folder/real.json", "data/real.json"]].concat();
        for name in &names {
            assert_eq!(fs::read(to.path().join(name)).unwrap(), b"mine", "{name}");
        }
        for name in &names {
            fs::write(to.path().join(name), "theirs").unwrap();
        }
        for name in ["new.json", "none.json", "folder/new.json", "data/more.json"] {
            fs::write(to.path().join(name), "theirs").unwrap();
        }
        world.untouched();
        assert_eq!(fs::read(to.path().join("out/real.json")).unwrap(), b"theirs");
        assert_eq!(fs::read(to.path().join("out/new.json")).unwrap(), b"theirs");
        let count = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((count(elsewhere), count(&world.path("out"))), (1, 1), "no new file");
    }

    #[test]
    fn a_system_file_is_linked_only_if_it_cannot_be_written() {
        let world = World::new();
        for (name, target) in
            [("sh", "/bin/sh"), ("null", "/dev/null"), ("memory", "/proc/self/mem")]
        {
            symlink(target, world.path(name)).unwrap();
        }
        let to = world.copy().unwrap();
        let kind = |name: &str| fs::symlink_metadata(to.path().join(name)).unwrap().file_type();
        let root = is_writable(Path::new("/bin/sh"));
        assert_eq!(kind("sh").is_symlink(), !root);
        assert!(to.path().join("sh").is_file(), "linked or copied, the file exists");
        assert!(kind("null").is_symlink());
        assert!(!to.path().join("memory").exists());
    }

    #[test]
    fn links_in_a_circle_and_upwards_end() {
        let world = World::new();
        symlink(".", world.path("self")).unwrap();
        symlink("..", world.path("up")).unwrap();
        symlink("/", world.path("root")).unwrap();
        symlink("b", world.path("a")).unwrap();
        symlink("a", world.path("b")).unwrap();
        symlink(".", world.elsewhere.path().join("again")).unwrap();
        symlink(world.from.path(), world.elsewhere.path().join("back")).unwrap();
        symlink(world.elsewhere.path(), world.path("folder")).unwrap();
        let to = world.copy().unwrap();
        assert!(to.path().join("self/self/out/real.json").exists());
        assert!(!to.path().join("up").exists() && !to.path().join("root").exists());
        fs::write(to.path().join("folder/back/out/real.json"), "theirs").unwrap();
        world.untouched();
    }

    #[test]
    fn large_folders_are_copied_once_for_all_cases() {
        let world = World::new();
        fs::create_dir_all(world.path("src/node_modules/.bin")).unwrap();
        fs::write(world.path("src/client.js"), "x").unwrap();
        fs::write(world.path("src/node_modules/x.js"), "mine").unwrap();
        symlink("../x.js", world.path("src/node_modules/.bin/x")).unwrap();
        symlink("src/node_modules/x.js", world.path("output.json")).unwrap();
        symlink(world.elsewhere.path(), world.path("venv")).unwrap();
        let (one, other) = (world.copy().unwrap(), world.copy().unwrap());
        assert_eq!(fs::read(one.path().join("src/client.js")).unwrap(), b"x");
        let place = |to: &tempfile::TempDir| fs::read_link(to.path().join("src/node_modules"));
        assert_eq!(place(&one).unwrap(), place(&other).unwrap());
        for name in ["src/node_modules/.bin/x", "output.json", "venv/real.json"] {
            fs::write(one.path().join(name), "theirs").unwrap();
        }
        assert_eq!(fs::read(world.path("src/node_modules/x.js")).unwrap(), b"mine");
        world.untouched();
    }

    #[test]
    fn a_folder_over_the_bound_is_refused() {
        let world = World::new();
        let to = world.run.case_folder().unwrap();
        let copying = |files, bytes| {
            let place = tempfile::tempdir_in(to.path()).unwrap();
            FolderCopier::new(world.from.path(), place.path(), None, (files, bytes)).unwrap().all()
        };
        // A folder, and a file of four bytes in it.
        assert!(copying(2, 4).is_ok());
        for (files, bytes) in [(1, 4), (2, 3)] {
            let refused = copying(files, bytes).unwrap_err().to_string();
            assert!(refused.contains("--workdir here"), "{refused}");
        }
    }
}
