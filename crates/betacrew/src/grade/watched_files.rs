//! Files of a client whose changes start the next run of `--watch`.
//!
//! The files are polled: their sizes and times are compared with those of the last look. That works
//! on every system and network drive, and its cost has a bound. What the client or the grader
//! writes must not start a run, because runs would follow each other without end:
//!
//! * folders of tools (`node_modules`, `.git`, `target`, caches), hidden and temporary files are
//!   never watched;
//! * reports, outputs that a run has found, and files into which a shell has led stdout or stderr
//!   are not watched;
//! * a file that could be an output is not watched if it is new, or changed in the first run;
//! * a file that ends [`INTERRUPTIONS_MAX`] runs in a row is not watched any more.

use crate::grade::run::copying::is_shared;
use crate::grade::run::run_folder::is_run_folder;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Maximum number of files and folders that a look visits.
const ENTRIES_MAX: usize = 5_000;
/// Number of runs in a row that a file may end by a change.
const INTERRUPTIONS_MAX: u32 = 3;

/// Folders that hold what tools have made, besides those that all cases share.
const TOOL_FOLDERS: [&str; 5] =
    ["__pycache__", "bower_components", "coverage", "htmlcov", "site-packages"];
/// Endings of files that clients write.
const WRITTEN: [&str; 8] = ["json", "ndjson", "jsonl", "csv", "txt", "out", "log", "db"];
/// Endings of files that editors and compilers write for a moment.
const TEMPORARY: [&str; 7] = ["partial", "pyc", "swo", "swp", "swx", "tmp", "bak"];

/// Size and time of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// Files by path.
type Stamps = BTreeMap<PathBuf, Stamp>;

/// Watched files.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    /// Folder whose files are watched.
    root: PathBuf,
    /// Files that the command names. They are watched wherever they are.
    named: Vec<PathBuf>,
    /// Files that the client or the grader writes.
    written: BTreeSet<PathBuf>,
    /// Devices and inodes of the grader's own stdout and stderr.
    streams: Vec<(u64, u64)>,
    /// Files at the last look.
    seen: Stamps,
    /// Numbers of runs in a row that each file has ended.
    interruptions: BTreeMap<PathBuf, u32>,
    /// True once a run has ended that no change interrupted.
    has_run: bool,
}

impl WatchedFiles {
    /// Begins to watch the files in `root`, and those that the command names. `reports` are the
    /// files that the grader writes.
    pub(crate) fn new(
        root: &Path,
        named: Vec<PathBuf>,
        reports: impl Iterator<Item = PathBuf>,
    ) -> Self {
        let written = reports.map(|report| root.join(report)).collect();
        let mut files = Self {
            root: root.to_owned(),
            named,
            written,
            streams: streams(),
            seen: Stamps::new(),
            interruptions: BTreeMap::new(),
            has_run: false,
        };
        files.seen = files.look();
        files
    }

    /// Returns the number of watched files.
    pub(crate) fn count(&self) -> usize {
        self.seen.len()
    }

    /// Returns a file that has changed since the last look, while no client runs.
    pub(crate) fn changed(&mut self) -> Option<PathBuf> {
        self.changes().into_iter().find(|path| !self.is_written(path))
    }

    /// Returns a file that has changed since the last look, while a client runs that may have
    /// written it.
    pub(crate) fn changed_in_run(&mut self) -> Option<PathBuf> {
        let mut found = None;
        for path in self.changes() {
            if self.is_written(&path) {
                continue;
            }
            let times = self.interruptions.entry(path.clone()).or_insert(0);
            *times += 1;
            let is_own = !self.has_run && has_end(&path, &WRITTEN) || *times >= INTERRUPTIONS_MAX;
            match is_own && !self.named.contains(&path) {
                true => drop(self.written.insert(path)),
                false => found = Some(path),
            }
        }
        found
    }

    /// Notes that a run has ended without an interruption, with the outputs that it found.
    pub(crate) fn on_run(&mut self, outputs: impl Iterator<Item = PathBuf>) {
        self.interruptions.clear();
        self.has_run = true;
        let outputs: Vec<PathBuf> = outputs.map(|output| self.root.join(output)).collect();
        self.written.extend(outputs.into_iter().filter(|output| !self.named.contains(output)));
    }

    /// Returns a path as a person would name it.
    pub(crate) fn name<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// Returns whether a changed file is one that the client or the grader writes.
    fn is_written(&self, path: &Path) -> bool {
        self.written.contains(path)
    }

    /// Looks again, and returns the files that have changed, appeared or gone.
    fn changes(&mut self) -> Vec<PathBuf> {
        let now = self.look();
        let before = std::mem::replace(&mut self.seen, now);
        let new_output = |path: &Path| {
            !before.contains_key(path)
                && has_end(path, &WRITTEN)
                && !self.named.iter().any(|n| n == path)
        };
        let changed = self.seen.iter().filter(|(path, stamp)| before.get(*path) != Some(*stamp));
        let gone = before.keys().filter(|path| !self.seen.contains_key(*path));
        let changed: Vec<PathBuf> = changed.map(|(path, _)| path).chain(gone).cloned().collect();
        let (new, changed): (Vec<PathBuf>, Vec<PathBuf>) =
            changed.into_iter().partition(|path| new_output(path));
        self.written.extend(new);
        changed
    }

    /// Returns the files that are there now, up to the bound.
    fn look(&self) -> Stamps {
        let mut found = Stamps::new();
        let mut left = ENTRIES_MAX;
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Some(rest) = left.checked_sub(1) else { break };
                left = rest;
                let (path, name) = (entry.path(), entry.file_name());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && !is_tool_folder(&name) && !is_run_folder(&path) {
                    folders.push(path);
                } else if !kind.is_dir() && !is_temporary(&path) {
                    found.extend(self.stamp(&path).map(|stamp| (path, stamp)));
                }
            }
        }
        found.extend(self.named.iter().filter_map(|path| Some((path.clone(), self.stamp(path)?))));
        found
    }

    /// Returns the stamp of a file, or of the file that a link leads to. A file into which the
    /// grader itself prints has none.
    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let is_stream = identity(&about).is_some_and(|file| self.streams.contains(&file));
        let stamp = Stamp { len: about.len(), modified: about.modified().ok() };
        (!is_stream).then_some(stamp)
    }
}

/// Returns the device and the inode of a file.
#[cfg(unix)]
fn identity(about: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// Returns the devices and inodes of this process's stdout and stderr.
#[cfg(unix)]
fn streams() -> Vec<(u64, u64)> {
    use std::os::fd::AsFd;
    let of = |stream: std::os::fd::BorrowedFd<'_>| {
        let copy = fs::File::from(stream.try_clone_to_owned().ok()?);
        identity(&copy.metadata().ok()?)
    };
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    [of(stdout.as_fd()), of(stderr.as_fd())].into_iter().flatten().collect()
}

#[cfg(not(unix))]
fn streams() -> Vec<(u64, u64)> {
    Vec::new()
}

/// Returns whether a folder holds what tools have made.
fn is_tool_folder(name: &OsStr) -> bool {
    let hidden = name.as_encoded_bytes().starts_with(b".");
    hidden || is_shared(name) || TOOL_FOLDERS.iter().any(|tool| name == *tool)
}

/// Returns whether a file has one of these endings.
fn has_end(path: &Path, ends: &[&str]) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    end.is_some_and(|end| ends.contains(&end.as_str()))
}

/// Returns whether a file is one that an editor, a compiler or the grader writes for a moment.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    // `.env` and its kind are settings of the client; other hidden files are those of tools.
    let is_hidden = name.starts_with('.') && !name.starts_with(".env");
    // vim tries whether it may write to a folder with a file of this name.
    let is_trial = name == "4913";
    is_hidden
        || is_trial
        || name.ends_with('~')
        || name.starts_with('#')
        || has_end(path, &TEMPORARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folder with some files, watched.
    struct World {
        folder: tempfile::TempDir,
        files: WatchedFiles,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for place in ["lib", "target/debug", "node_modules/x", ".git"] {
                fs::create_dir_all(folder.path().join(place)).unwrap();
            }
            for file in ["client.js", "lib/a.js", "config.json", "target/debug/client"] {
                fs::write(folder.path().join(file), "x").unwrap();
            }
            let named = vec![folder.path().join("target/debug/client")];
            let reports = ["grade.html"].map(PathBuf::from).into_iter();
            let files = WatchedFiles::new(folder.path(), named, reports);
            Self { folder, files }
        }

        /// Writes a file: each time with another size, because times may be equal.
        fn write(&self, name: &str) {
            let path = self.folder.path().join(name);
            let text = fs::read_to_string(&path).unwrap_or_default() + "x";
            fs::write(path, text).unwrap();
        }

        /// Returns the name of a file that has changed while no client ran.
        fn changed(&mut self) -> Option<String> {
            let path = self.files.changed()?;
            Some(self.files.name(&path).display().to_string())
        }

        fn changed_in_run(&mut self) -> Option<String> {
            let path = self.files.changed_in_run()?;
            Some(self.files.name(&path).display().to_string())
        }
    }

    #[test]
    fn sources_settings_and_the_program_are_watched() {
        let mut world = World::new();
        assert_eq!(world.files.count(), 4);
        assert_eq!(world.changed(), None);
        for name in ["client.js", "lib/a.js", "config.json", "target/debug/client", ".env"] {
            world.write(name);
            assert_eq!(world.changed().as_deref(), Some(name));
            assert_eq!(world.changed(), None, "{name}: once");
        }
        world.write("lib/new.js");
        assert_eq!(world.changed().as_deref(), Some("lib/new.js"), "a new file");
        fs::remove_file(world.folder.path().join("client.js")).unwrap();
        assert_eq!(world.changed().as_deref(), Some("client.js"), "a file that is gone");
    }

    #[test]
    fn what_tools_the_grader_and_the_client_write_is_not_watched() {
        let mut world = World::new();
        let tools = ["target/debug/other", "node_modules/x/y.js", ".git/index", ".client.js.swp"];
        let reports = ["grade.html", ".grade.html.betacrew-1.partial", "client.js~", "4913"];
        for name in tools.into_iter().chain(reports).chain(["output.json", "lib/client.log"]) {
            world.write(name);
            assert_eq!(world.changed(), None, "{name}");
        }
        // What could be an output and changes in the first run is one.
        world.write("config.json");
        assert_eq!(world.changed_in_run(), None);
        world.files.on_run(["a.dat".into()].into_iter());
        for name in ["config.json", "a.dat", "output.json"] {
            world.write(name);
            assert_eq!(world.changed(), None, "{name}");
        }
    }

    #[test]
    fn an_edit_interrupts_a_run_and_a_file_that_every_run_changes_does_not() {
        let mut world = World::new();
        world.write("client.js");
        assert_eq!(world.changed_in_run().as_deref(), Some("client.js"));
        world.files.on_run(std::iter::empty());
        world.write("config.json");
        assert_eq!(world.changed_in_run().as_deref(), Some("config.json"), "not in the first run");
        for _ in 1..INTERRUPTIONS_MAX {
            world.write("state.bin");
            assert_eq!(world.changed_in_run().as_deref(), Some("state.bin"));
        }
        world.write("state.bin");
        assert_eq!(world.changed_in_run(), None, "runs would follow each other without end");
        world.write("state.bin");
        assert_eq!(world.changed(), None);
        for _ in 0..=INTERRUPTIONS_MAX {
            world.write("target/debug/client");
            let changed = world.changed_in_run();
            assert_eq!(changed.as_deref(), Some("target/debug/client"), "the program itself");
        }
    }

    #[test]
    fn a_look_has_a_bound() {
        let mut world = World::new();
        fs::create_dir(world.folder.path().join("many")).unwrap();
        for number in 0..=ENTRIES_MAX {
            fs::write(world.folder.path().join(format!("many/{number}.x")), "").unwrap();
        }
        world.changed();
        assert!(world.files.count() <= ENTRIES_MAX + 1, "{}", world.files.count());
    }
}
