//! Where a client runs, and which files it has written there.

use crate::failure::Failure;
use crate::location::shown;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// A folder with more than this is not copied for each case.
const COPY_BYTES_MAX: u64 = 64 << 20;
/// Nor one with more files.
const COPY_FILES_MAX: usize = 5_000;
/// Output is looked for in so many files, the files of the first folders first.
const LOOK_MAX: usize = 20_000;
/// Folders that are linked to, not copied: nobody writes output there, and they are large.
const LINKED: [&str; 6] = ["node_modules", ".git", "target", ".venv", "venv", "vendor"];

/// Where each case runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Workdir {
    /// In a copy of the current folder, a fresh one for each case
    Copy,
    /// In an empty folder, a fresh one for each case
    Empty,
    /// In the current folder, one case after the other
    Here,
}

/// The place where one case runs.
pub(super) struct Workplace {
    path: PathBuf,
    /// Folders elsewhere that the command names files of: some clients write beside themselves.
    beside: Vec<PathBuf>,
    before: BTreeMap<PathBuf, Stamp>,
    /// Removed with this.
    _folder: Option<TempDir>,
}

/// What shows that a file was written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Inode and time of change.
    place: (u64, i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            (found.ino(), found.ctime(), found.ctime_nsec())
        };
        #[cfg(not(unix))]
        let place = (0, 0, 0);
        Self { len: found.len(), modified: found.modified().ok(), place }
    }
}

impl Workplace {
    /// Prepares the place for one case. `named`: files that the command names.
    ///
    /// # Errors
    /// Where the folder is too large to be copied, or nothing can be written.
    pub(super) fn prepare(workdir: Workdir, named: &[PathBuf]) -> Result<Self, Failure> {
        let here = std::env::current_dir().map_err(|source| Failure::System {
            action: "cannot tell the current folder",
            source,
        })?;
        let fresh = || {
            tempfile::Builder::new().prefix("betacrew-grade-").tempdir().map_err(|source| {
                Failure::Storage { action: "make a folder in", path: std::env::temp_dir(), source }
            })
        };
        let (path, folder) = match workdir {
            Workdir::Here => (here.clone(), None),
            Workdir::Empty => {
                let folder = fresh()?;
                (folder.path().to_owned(), Some(folder))
            }
            Workdir::Copy => {
                let folder = fresh()?;
                Copying::default().folder(&here, folder.path())?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let mut beside: Vec<PathBuf> = named
            .iter()
            .filter_map(|file| file.parent())
            .filter(|parent| !parent.starts_with(&path) && is_personal(parent))
            .map(Path::to_owned)
            .collect();
        beside.sort();
        beside.dedup();
        let before = BTreeMap::new();
        let mut place = Self { path, beside, before, _folder: folder };
        place.before = place.look().into_iter().collect();
        Ok(place)
    }

    /// The folder in which the client runs.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that the user says the output is in, if it was written since.
    pub(super) fn written(&self, name: &Path) -> Option<PathBuf> {
        let path = self.path.join(name);
        let stamp = Stamp::of(&fs::metadata(&path).ok().filter(Metadata::is_file)?);
        (self.before.get(&path) != Some(&stamp)).then_some(path)
    }

    /// Takes note of a file that may be outside of what is looked at.
    pub(super) fn expect(&mut self, name: &Path) {
        let path = self.path.join(name);
        if let Ok(found) = fs::metadata(&path) {
            self.before.insert(path, Stamp::of(&found));
        }
    }

    /// The files that appeared or were written since, with the time of that.
    pub(super) fn changed(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let new = |(path, stamp): &(PathBuf, Stamp)| self.before.get(path) != Some(stamp);
        let found = self.look().into_iter().filter(new);
        found.map(|(path, stamp)| (path, stamp.modified)).collect()
    }

    /// The files that could be an output.
    fn look(&self) -> Vec<(PathBuf, Stamp)> {
        let mut found = Vec::new();
        let mut left = LOOK_MAX;
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            look_into(&folder, &mut left, &mut found, Some(&mut folders));
        }
        for folder in &self.beside {
            look_into(folder, &mut left, &mut found, None);
        }
        found
    }
}

/// A folder of a person's own, not one of the system's.
fn is_personal(folder: &Path) -> bool {
    !["/bin", "/sbin", "/usr", "/lib", "/etc", "/opt"]
        .iter()
        .any(|system| folder.starts_with(system))
}

fn look_into(
    folder: &Path,
    left: &mut usize,
    found: &mut Vec<(PathBuf, Stamp)>,
    mut folders: Option<&mut Vec<PathBuf>>,
) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        if kind.is_dir() {
            if let Some(folders) = folders.as_deref_mut().filter(|_| !is_linked(&name)) {
                folders.push(entry.path());
            }
        } else if kind.is_file()
            && could_be_output(Path::new(&name))
            && let Ok(about) = entry.metadata()
        {
            found.push((entry.path(), Stamp::of(&about)));
        }
    }
}

fn is_linked(name: &std::ffi::OsStr) -> bool {
    LINKED.iter().any(|linked| name == *linked)
}

/// Whether a file's name is one of an output.
fn could_be_output(name: &Path) -> bool {
    const ENDS: [&str; 6] = ["json", "ndjson", "jsonl", "csv", "txt", "out"];
    let end = name.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    end.is_some_and(|end| ENDS.contains(&end.as_str()))
}

#[derive(Default)]
struct Copying {
    files: usize,
    bytes: u64,
}

impl Copying {
    fn folder(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let failed = |path: &Path, source: io::Error| {
            refusal(&format!("{} cannot be: {source}", shown(path)))
        };
        for entry in fs::read_dir(from).map_err(|error| failed(from, error))?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let place = to.join(&name);
            self.files += 1;
            let done = if kind.is_symlink() || kind.is_dir() && is_linked(&name) {
                link(&path, &place)
            } else if kind.is_dir() {
                fs::create_dir(&place).map_err(|error| failed(&path, error))?;
                self.folder(&path, &place)?;
                Ok(())
            } else if kind.is_file() {
                self.bytes += entry.metadata().map_or(0, |about| about.len());
                self.check(from)?;
                fs::copy(&path, &place).map(drop)
            } else {
                Ok(())
            };
            match done {
                // What we may not read, the client does not need.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => done.map_err(|error| failed(&path, error))?,
            }
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<(), Failure> {
        if self.files <= COPY_FILES_MAX && self.bytes <= COPY_BYTES_MAX {
            return Ok(());
        }
        Err(refusal(&format!(
            "it has more than {COPY_FILES_MAX} files or {} MiB (counted up to {})",
            COPY_BYTES_MAX >> 20,
            shown(folder)
        )))
    }
}

fn refusal(why: &str) -> Failure {
    Failure::Usage(format!(
        "the current folder cannot be copied for each case: {why}\nRun this in the client's \
         folder, or choose --workdir here or --workdir empty"
    ))
}

/// A link to what `path` is; a relative link would point elsewhere from another place.
fn link(path: &Path, place: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match fs::canonicalize(path) {
        Ok(real) => std::os::unix::fs::symlink(real, place),
        // A link that leads nowhere.
        Err(_) => Ok(()),
    }
    #[cfg(not(unix))]
    {
        let _ = (path, place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Workplace) -> Vec<String> {
        let name = |path: &Path| path.strip_prefix(&place.path).unwrap().display().to_string();
        let mut names: Vec<_> = place.changed().iter().map(|(path, _)| name(path)).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_was_written_since_is_an_output() {
        let mut place = Workplace::prepare(Workdir::Empty, &[]).unwrap();
        let path = place.path.clone();
        let write = |name: &str| fs::write(path.join(name), "[]").unwrap();
        fs::create_dir(path.join("data")).unwrap();
        fs::create_dir(path.join("node_modules")).unwrap();
        ["old.json", "again.json", "package.json"].iter().for_each(|name| write(name));
        place.before = place.look().into_iter().collect();
        place.expect(Path::new("old.json"));
        ["again.json", "data/new.csv", "node_modules/x.json", "client.js", "data/X.JSON"]
            .iter()
            .for_each(|name| write(name));
        assert_eq!(names(&place), ["again.json", "data/X.JSON", "data/new.csv"]);
        let named = |name: &str| place.written(Path::new(name)).is_some();
        assert!(named("again.json") && named("client.js"), "any name may be named");
        assert!(!named("old.json") && !named("none.json") && !named("data"));
        let folder = place.path.clone();
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn a_copy_is_a_copy_with_links_to_what_is_large() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("src/node_modules")).unwrap();
        fs::write(from.path().join("src/client.js"), "x").unwrap();
        Copying::default().folder(from.path(), to.path()).unwrap();
        assert_eq!(fs::read(to.path().join("src/client.js")).unwrap(), b"x");
        #[cfg(unix)]
        assert!(fs::symlink_metadata(to.path().join("src/node_modules")).unwrap().is_symlink());
        let mut full = Copying { files: COPY_FILES_MAX, bytes: 0 };
        let (from, to) = (from.path().join("src"), to.path().join("again"));
        fs::create_dir(&to).unwrap();
        let refused = full.folder(&from, &to).unwrap_err().to_string();
        assert!(refused.contains("5000 files") && refused.contains("--workdir here"), "{refused}");
    }
}
