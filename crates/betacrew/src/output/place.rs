//! Identity of places: whether two names lead to the same file, pipe or device.
//!
//! Spelling proves nothing: `a.json`, `./a.json`, a link to it and a second hard link are one file.
//! A command therefore lists all its places here before it begins any of them.

use crate::args::nats_env;
use crate::error::Failure;
use crate::format::Format;
use crate::text::location::is_log;
use crate::text::location::shown;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Maximum number of symbolic links that are followed one after the other, the same as in Linux.
const LINKS_MAX: usize = 40;

/// Maximum length of a file's name in bytes, the limit of nearly all file systems.
const NAME_MAX: usize = 255;

/// Endings of the files that SQLite keeps beside a database.
const DATABASE_SIDECARS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Returns the folder that `path` lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns the name of the file behind all symbolic links at the end of `path`, also where nothing
/// has that name yet. A path that is no link is returned as it was typed.
///
/// # Errors
/// Links that lead in a circle, and errors of the system.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    // `/dev/stdout` and `/dev/fd/63` are links to pipes, which have no names.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(path.to_owned());
    }
    let mut place = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                place = folder(&place).join(fs::read_link(&place)?);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(place),
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle: remove the link"))
}

/// Returns the files that SQLite keeps beside the database at `path`.
pub(crate) fn database_sidecars(path: &Path) -> impl Iterator<Item = PathBuf> {
    DATABASE_SIDECARS.into_iter().map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// Returns `stem` and `end` as one name. A stem that would make it too long for the system is cut,
/// and its checksum keeps the names of two such stems apart.
pub(crate) fn fitting_name(stem: &OsStr, end: &OsStr) -> OsString {
    let mut name = stem.to_owned();
    if stem.len() + end.len() > NAME_MAX {
        let sum = format!("~{:08x}", crc32c::crc32c(stem.as_encoded_bytes()));
        let room = NAME_MAX.saturating_sub(sum.len() + end.len());
        name = cut(&stem.to_string_lossy(), room).into();
        name.push(sum);
    }
    name.push(end);
    name
}

/// Returns the beginning of `text` in at most `bytes` bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Identity of the file, pipe or device that a name leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Identity {
    /// Device and inode of something that exists.
    #[cfg(unix)]
    Inode(u64, u64),
    /// Name that nothing has yet, in a folder.
    New(Box<Identity>, OsString),
    /// Name of a place about which the system reports nothing.
    Spelled(PathBuf),
}

/// Standard stream of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StandardStream {
    In,
    Out,
    /// Output or error, for messages.
    Messages,
}

/// Place that a command reads or writes.
#[derive(Clone, Debug)]
struct Place {
    /// Flag and value of the place, as messages show them.
    said: String,
    /// Standard stream that is named, regardless of its redirection.
    standard: Option<StandardStream>,
    identity: Option<Identity>,
    /// True for a file, and for a name that will be one.
    is_file: bool,
    /// True for terminals and other devices, where several writers destroy nothing.
    is_device: bool,
    written: bool,
}

impl Place {
    fn of(flag: &str, path: &Path, written: bool) -> Self {
        let said = if flag.is_empty() {
            format!("`{}`", shown(path))
        } else {
            format!("`{flag} {}`", shown(path))
        };
        let standard = standard(path, written);
        let found = match standard {
            Some(StandardStream::In) => metadata_of(&io::stdin()),
            Some(_) => metadata_of(&io::stdout()),
            None => fs::metadata(path),
        };
        let identity = match &found {
            Ok(found) => Some(identity(found, path)),
            Err(_) if standard.is_some() => None,
            Err(_) => Some(new_identity(path)),
        };
        Self::with(said, standard, identity, found, written)
    }

    /// Returns the place of a stream that messages go to.
    fn of_messages(said: &str, found: io::Result<Metadata>) -> Self {
        let identity = found.as_ref().ok().map(|found| identity(found, Path::new(said)));
        Self::with(said.to_owned(), Some(StandardStream::Messages), identity, found, true)
    }

    fn with(
        said: String,
        standard: Option<StandardStream>,
        identity: Option<Identity>,
        found: io::Result<Metadata>,
        written: bool,
    ) -> Self {
        let found = found.ok();
        let is_file = found.as_ref().is_none_or(Metadata::is_file);
        let is_device = found.is_some_and(|found| is_device(&found));
        Self { said, standard, identity, is_file, is_device, written }
    }

    /// Returns whether using both would destroy the content of one of them.
    fn collides(&self, other: &Self) -> bool {
        if !self.written && !other.written {
            return false;
        }
        let same = self.identity.is_some() && self.identity == other.identity && !self.is_device;
        match (self.standard, other.standard) {
            // `2>&1` sends messages where the packets go: that was typed on purpose.
            (Some(StandardStream::Messages), Some(_))
            | (Some(_), Some(StandardStream::Messages)) => false,
            (Some(StandardStream::Messages), None) | (None, Some(StandardStream::Messages)) => {
                same && self.is_file
            }
            (Some(one), Some(other)) if one == other => true,
            // A terminal or socket may be read and written; a file that is written cannot be read.
            _ => same && (self.is_file || self.written == other.written),
        }
    }
}

/// Returns the standard stream that a path stands for in its direction.
fn standard(path: &Path, written: bool) -> Option<StandardStream> {
    let (standard, names) = match written {
        true => (StandardStream::Out, ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]),
        false => (StandardStream::In, ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]),
    };
    names.iter().any(|name| path == Path::new(name)).then_some(standard)
}

#[cfg(unix)]
fn metadata_of(stream: &impl std::os::fd::AsFd) -> io::Result<Metadata> {
    fs::File::from(stream.as_fd().try_clone_to_owned()?).metadata()
}

#[cfg(not(unix))]
fn metadata_of<T>(_: &T) -> io::Result<Metadata> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn identity(found: &Metadata, _: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Identity::Inode(found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata, path: &Path) -> Identity {
    Identity::Spelled(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

/// Returns the identity of a file that does not exist yet.
fn new_identity(path: &Path) -> Identity {
    let place = follow(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder(&place);
    match (fs::metadata(folder), place.file_name()) {
        (Ok(found), Some(name)) => {
            Identity::New(Box::new(identity(&found, folder)), name.to_owned())
        }
        _ => Identity::Spelled(place),
    }
}

#[cfg(unix)]
fn is_device(found: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_device(_: &Metadata) -> bool {
    false
}

/// Files and streams of a command, each checked against the others.
#[derive(Debug)]
pub(crate) struct CommandPlaces {
    listed: Vec<Place>,
}

impl CommandPlaces {
    /// Begins the list of a command that writes messages to standard error.
    pub(crate) fn new() -> Self {
        Self { listed: vec![Place::of_messages("standard error", metadata_of(&io::stderr()))] }
    }

    /// Begins the list of a command that writes messages to standard output, too.
    pub(crate) fn printing() -> Self {
        let mut places = Self::new();
        places.listed.push(Place::of_messages("standard output", metadata_of(&io::stdout())));
        places
    }

    /// Adds a file that the command reads; `flag` is empty for an argument without one.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if the command also writes there.
    pub(crate) fn reads(&mut self, flag: &str, path: &Path) -> Result<(), Failure> {
        self.add(flag, path, false)
    }

    /// Adds a place that the command writes.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the command reads or writes there already.
    pub(crate) fn writes(&mut self, flag: &str, path: &Path) -> Result<(), Failure> {
        self.add(flag, path, true)
    }

    /// Adds a place that the command writes in a format, with the files that belong to that.
    ///
    /// # Errors
    /// As [`writes`](Self::writes).
    pub(crate) fn writes_as(
        &mut self,
        flag: &str,
        path: &Path,
        format: Option<Format>,
    ) -> Result<(), Failure> {
        self.writes(flag, path)?;
        if format == Some(Format::Sqlite) {
            let place = follow(path).unwrap_or_else(|_| path.to_owned());
            for sidecar in database_sidecars(&place) {
                self.writes(&format!("{flag} {}, which uses", shown(path)), &sidecar)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, flag: &str, path: &Path, written: bool) -> Result<(), Failure> {
        if is_log(path) {
            // A log is no file, but its password and certificates can be in files.
            return nats_env::files().try_for_each(|(name, file)| self.reads(name, &file));
        }
        let place = Place::of(flag, path, written);
        if let Some(other) = self.listed.iter().find(|other| place.collides(other)) {
            return Err(Failure::Usage(format!(
                "{} and {} are the same place, and one would destroy the other: name different \
                 places",
                other.said, place.said
            )));
        }
        self.listed.push(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a command that writes both places is refused.
    fn collide(one: &Path, other: &Path) -> bool {
        let mut places = CommandPlaces::new();
        places.writes("-o", one).unwrap();
        match places.writes("--report", other) {
            Ok(()) => false,
            Err(Failure::Usage(why)) => {
                assert!(why.contains("`-o ") && why.contains("`--report "), "{why}");
                true
            }
            Err(other) => unreachable!("{other}"),
        }
    }

    #[test]
    fn names_that_differ_only_in_spelling_are_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        // Whether the file exists or not.
        for _ in 0..2 {
            for other in ["a.json", "./a.json", "sub/../a.json", "sub/.././a.json"] {
                assert!(collide(&path("a.json"), &path(other)), "{other}");
            }
            assert!(!collide(&path("a.json"), &path("b.json")));
            assert!(!collide(&path("a.json"), &path("sub/a.json")));
            fs::write(path("a.json"), "").unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_of_all_kinds_are_what_they_lead_to() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("new.json", path("dangling")).unwrap();
        symlink("dangling", path("twice")).unwrap();
        symlink(".", path("here")).unwrap();
        for other in ["dangling", "twice", "here/new.json", "here/here/twice"] {
            assert!(collide(&path("new.json"), &path(other)), "{other}");
        }
        fs::write(path("a"), "").unwrap();
        fs::hard_link(path("a"), path("b")).unwrap();
        symlink("b", path("c")).unwrap();
        for other in ["b", "c", "here/c"] {
            assert!(collide(&path("a"), &path(other)), "{other}");
        }
        assert_eq!(follow(&path("twice")).unwrap(), path("new.json"));
        assert_eq!(follow(Path::new("/dev/null")).unwrap(), Path::new("/dev/null"));
        symlink("round", path("about")).unwrap();
        symlink("about", path("round")).unwrap();
        let circle = follow(&path("round")).unwrap_err().to_string();
        assert!(circle.contains("circle"), "{circle}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_up_to_a_bound() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |number: usize| folder.path().join(number.to_string());
        for number in 0..LINKS_MAX {
            symlink(path(number), path(number + 1)).unwrap();
        }
        assert_eq!(follow(&path(LINKS_MAX - 1)).unwrap(), path(0));
        assert!(follow(&path(LINKS_MAX)).is_err());
    }

    #[test]
    fn what_is_read_may_be_read_twice_but_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        fs::write(&file, "").unwrap();
        let mut places = CommandPlaces::new();
        places.reads("", &file).unwrap();
        places.reads("", &file).unwrap();
        let why = places.writes("--plot", &file).unwrap_err().to_string();
        assert!(why.contains("a.json` and `--plot "), "{why}");
    }

    #[test]
    fn the_standard_streams_are_places_too() {
        assert!(collide(Path::new("-"), Path::new("-")));
        assert!(cfg!(not(unix)) || collide(Path::new("-"), Path::new("/dev/stdout")));
        let mut places = CommandPlaces::new();
        places.reads("", Path::new("-")).unwrap();
        places.writes("", Path::new("-")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn devices_take_everything() {
        assert!(!collide(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    #[test]
    fn the_files_beside_a_database_belong_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for sidecar in ["x.sqlite-wal", "x.sqlite-shm", "x.sqlite-journal"] {
            let mut places = CommandPlaces::new();
            places.writes_as("-o", &path("x.sqlite"), Some(Format::Sqlite)).unwrap();
            let why = places.writes("--report", &path(sidecar)).unwrap_err().to_string();
            assert!(why.contains("x.sqlite, which uses"), "{why}");
        }
    }

    #[test]
    fn names_are_cut_only_where_they_must_be() {
        let name = |len: usize| fitting_name(OsStr::new(&"ä".repeat(len / 2)), OsStr::new(".tape"));
        assert_eq!(name(250).len(), 255);
        assert!(!name(250).to_str().unwrap().contains('~'));
        let long = name(252);
        assert!(long.len() <= NAME_MAX && long.to_str().unwrap().contains('~'));
        // Two that are cut alike stay apart.
        let other = "ä".repeat(126) + "b";
        assert_ne!(long, fitting_name(OsStr::new(&other), OsStr::new(".tape")));
    }
}
