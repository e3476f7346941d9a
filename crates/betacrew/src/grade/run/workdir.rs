//! Folder in which a client runs, and detection of the files that it writes there.

use crate::error::Failure;
use crate::grade::run::copying::{self, is_personal, is_shared};
use crate::grade::run::other_files::is_of_another_program;
use crate::grade::run::run_folder::{self, RunFolder};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// Maximum number of directory entries searched for an output, folders near the top first.
const ENTRIES_MAX: usize = 20_000;

/// Folder in which each case runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Workdir {
    /// In a copy of the current folder, a fresh one for each case
    Copy,
    /// In an empty folder, a fresh one for each case
    Empty,
    /// In the current folder, one case after another
    Here,
}

/// Prepared folder of one case, with a record of the files that existed before.
pub(crate) struct CaseWorkdir {
    /// Folder in which the client runs.
    path: PathBuf,
    /// Folders elsewhere that hold files which the command names. They are searched too, because
    /// some clients write beside their own source file.
    beside: Vec<PathBuf>,
    /// Possible output files that existed before the client started.
    before: BTreeMap<PathBuf, Stamp>,
    /// Folder of the grader's run, which contains the copies of all cases.
    run_folder: PathBuf,
    /// Temporary folder, removed when this value is dropped; `None` if the client runs in the
    /// user's folder.
    folder: Option<TempDir>,
}

impl Drop for CaseWorkdir {
    fn drop(&mut self) {
        // `TempDir` alone fails here, because a client may have made parts of the folder read-only.
        if let Some(folder) = self.folder.take() {
            run_folder::remove(&folder.keep());
        }
    }
}

/// Metadata by which a write to a file is detected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    /// Size in bytes.
    len: u64,
    /// Time of the last write.
    modified: Option<SystemTime>,
    /// Inode, and time of the last status change in seconds and nanoseconds.
    identity: (u64, i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (found.ino(), found.ctime(), found.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0);
        Self { len: found.len(), modified: found.modified().ok(), identity }
    }
}

impl CaseWorkdir {
    /// Prepares the folder for one case. `named` lists the files that the command names.
    ///
    /// # Errors
    /// Returns an error if the current folder is too large to copy, or the copy cannot be written.
    pub(crate) fn prepare(
        workdir: Workdir,
        named: &[PathBuf],
        run: &RunFolder,
    ) -> Result<Self, Failure> {
        let here = std::env::current_dir().map_err(|source| Failure::System {
            action: "cannot determine the current folder",
            source,
        })?;
        let (path, folder) = match workdir {
            Workdir::Here => (here.clone(), None),
            Workdir::Empty => {
                let folder = run.case_folder()?;
                (folder.path().to_owned(), Some(folder))
            }
            Workdir::Copy => {
                let folder = run.case_folder()?;
                copying::copy(&here, folder.path(), run)?;
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
        let run_folder = run.path().to_owned();
        let mut workdir = Self { path, run_folder, beside, before, folder };
        workdir.before = workdir.possible_outputs().into_iter().collect();
        Ok(workdir)
    }

    /// Returns the folder in which the client runs.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder of the grader's run.
    pub(crate) fn run_folder(&self) -> &Path {
        &self.run_folder
    }

    /// Returns the path of the output that the user named, if the client has written it.
    pub(crate) fn written_file(&self, name: &Path) -> Option<PathBuf> {
        let path = self.path.join(name);
        let stamp = Stamp::of(&fs::metadata(&path).ok().filter(Metadata::is_file)?);
        (self.before.get(&path) != Some(&stamp)).then_some(path)
    }

    /// Records the state of a file that the normal search may not cover, before the client runs.
    pub(crate) fn track(&mut self, name: &Path) {
        let path = self.path.join(name);
        if let Ok(found) = fs::metadata(&path) {
            self.before.insert(path, Stamp::of(&found));
        }
    }

    /// Returns the possible output files that are new or changed, with the time of the last write.
    pub(crate) fn changed_files(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let new = |(path, stamp): &(PathBuf, Stamp)| self.before.get(path) != Some(stamp);
        let found = self.possible_outputs().into_iter().filter(new);
        found.map(|(path, stamp)| (path, stamp.modified)).collect()
    }

    /// Returns all files that could be an output.
    fn possible_outputs(&self) -> Vec<(PathBuf, Stamp)> {
        let mut found = Vec::new();
        let mut left = ENTRIES_MAX;
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            search_folder(&folder, &mut left, &mut found, Some(&mut folders));
        }
        for folder in &self.beside {
            search_folder(folder, &mut left, &mut found, None);
        }
        found
    }
}

/// Adds the possible output files of one folder to `found`, and its subfolders to `folders`.
fn search_folder(
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
            if let Some(folders) = folders.as_deref_mut().filter(|_| !is_shared(&name)) {
                folders.push(entry.path());
            }
        } else if kind.is_file()
            && could_be_output(Path::new(&name))
            && let Ok(about) = entry.metadata()
            && !is_of_another_program(&entry.path(), &about)
        {
            found.push((entry.path(), Stamp::of(&about)));
        }
    }
}

/// Returns whether a file's extension is one that clients use for their output.
fn could_be_output(name: &Path) -> bool {
    const ENDS: [&str; 8] = ["json", "ndjson", "jsonl", "csv", "txt", "out", "itch", "bin"];
    let end = name.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    end.is_some_and(|end| ENDS.contains(&end.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(workdir: &CaseWorkdir) -> Vec<String> {
        let name = |path: &Path| path.strip_prefix(&workdir.path).unwrap().display().to_string();
        let mut names: Vec<_> =
            workdir.changed_files().iter().map(|(path, _)| name(path)).collect();
        names.sort();
        names
    }

    #[test]
    fn only_files_written_since_the_start_count_as_output() {
        let run = RunFolder::open().unwrap();
        let mut workdir = CaseWorkdir::prepare(Workdir::Empty, &[], &run).unwrap();
        let path = workdir.path.clone();
        let write = |name: &str| fs::write(path.join(name), "[]").unwrap();
        fs::create_dir(path.join("data")).unwrap();
        fs::create_dir(path.join("node_modules")).unwrap();
        ["old.json", "again.json", "package.json"].iter().for_each(|name| write(name));
        workdir.before = workdir.possible_outputs().into_iter().collect();
        workdir.track(Path::new("old.json"));
        ["again.json", "data/new.csv", "node_modules/x.json", "client.js", "data/X.JSON"]
            .iter()
            .for_each(|name| write(name));
        assert_eq!(names(&workdir), ["again.json", "data/X.JSON", "data/new.csv"]);
        let named = |name: &str| workdir.written_file(Path::new(name)).is_some();
        assert!(named("again.json") && named("client.js"), "the user may name any file");
        assert!(!named("old.json") && !named("none.json") && !named("data"));
        let folder = workdir.path.clone();
        drop(workdir);
        assert!(!folder.exists());
    }
}
