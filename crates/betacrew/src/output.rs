//! Outputs, which replace files atomically: a reader finds the old file or the complete new one. A
//! power failure may undo replacements of the last seconds, unless the output is durable.
//!
//! * `place` decides whether two names lead to the same file;
//! * `atomic` replaces a file, `database` replaces an SQLite database, which is several files;
//! * `successor` creates tape files, and keeps the file that they replace until the first packet;
//! * `sink` has live outputs, `rotating` files that follow one another, `counters` their counters.

pub(crate) mod atomic;
pub mod counters;
#[cfg(feature = "sqlite")]
mod database;
pub(crate) mod place;
pub(crate) mod rotating;
pub mod sink;
pub(crate) mod successor;

use crate::error::Failure;
use crate::format::{EncoderTarget, Format, MessageConsumer, Payload, SessionFacts};
use crate::output::counters::WriteCounters;
use crate::storage::Durability;
use atomic::Partial;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Output of a command. It is opened before the work, so that errors show at once, and replaces the
/// file at its path after it.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    to: OutputTarget,
    durability: Durability,
    payload: Option<Payload>,
    written: WriteCounters,
}

/// Destination of an output.
#[derive(Debug)]
enum OutputTarget {
    Stdout,
    /// New file beside the path, which replaces the old one at the end.
    Beside(Partial),
    /// Pipe, terminal or device, which is written directly.
    Through(File),
}

impl Output {
    /// Opens an output; `-` is stdout.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if the path cannot be written.
    pub fn begin(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::at(path.to_owned(), OutputTarget::Stdout));
        }
        let failed = |source| Failure::Storage { action: "write", path: path.to_owned(), source };
        // A symbolic link stays, and the file that it leads to is replaced or created.
        let place = place::follow(path).map_err(failed)?;
        let failed = |source| Failure::Storage { action: "write", path: place.clone(), source };
        let to = match fs::metadata(&place) {
            Ok(found) if found.is_dir() => {
                return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            Ok(found) if !found.is_file() => {
                OutputTarget::Through(File::options().write(true).open(&place).map_err(failed)?)
            }
            _ => {
                drop(atomic::hold(&place).map_err(failed)?);
                atomic::sweep(&place);
                OutputTarget::Beside(Partial::beside(&place).map_err(failed)?)
            }
        };
        Ok(Self::at(place, to))
    }

    fn at(path: PathBuf, to: OutputTarget) -> Self {
        let (durability, written) = (Durability::Buffered, WriteCounters::default());
        Self { path, to, durability, payload: None, written }
    }

    /// Opens an output for packets.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if the path cannot be written, and [`Failure::Usage`] if the
    /// format is not built in or cannot be written to a pipe.
    pub fn begin_as(path: &Path, format: Format) -> Result<Self, Failure> {
        format.check()?;
        let output = Self::begin(path)?;
        if output.is_stream() && !format.goes_through_pipes() {
            return Err(Failure::Usage(format!(
                "{} cannot be written to a pipe: name a file, or use json, ndjson, csv, itch \
                 or arrow",
                format.name()
            )));
        }
        Ok(output)
    }

    /// Sets the durability of the new file. The old file survives until it is replaced.
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Sets the payload of the messages, which the first message decides otherwise.
    #[must_use]
    pub fn with_payload(self, payload: Option<Payload>) -> Self {
        Self { payload, ..self }
    }

    /// Returns the path that the output replaces.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the counters of [`encode`](Self::encode).
    #[must_use]
    pub fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    /// Returns whether the output is a stream, whose bytes cannot be taken back.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        !matches!(self.to, OutputTarget::Beside(_))
    }

    /// Writes packets and replaces the file. `fill` passes them to the function that it is given,
    /// and returns the facts about their session. A closed pipe is not an error.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] or the failure of `fill`. The old file is then unchanged.
    pub fn encode(
        self,
        format: Format,
        fill: impl FnOnce(&mut MessageConsumer<'_>) -> Result<SessionFacts, Failure>,
    ) -> Result<(), Failure> {
        let path = self.path;
        let failed = |source| Failure::Storage { action: "write", path: path.clone(), source };
        let write = |place: EncoderTarget<'_>| {
            let mut encoder = self.written.encoder(format, self.payload, place).map_err(failed)?;
            let facts =
                fill(&mut |messages, arrival| encoder.put(messages, arrival).map_err(failed))?;
            encoder.session_facts(facts).and_then(|()| encoder.finish()).map_err(failed)
        };
        match self.to {
            OutputTarget::Stdout => {
                ignore_closed_pipe(write(EncoderTarget::Stream(Box::new(io::stdout().lock()))))
            }
            OutputTarget::Through(mut file) => {
                ignore_closed_pipe(write(EncoderTarget::Stream(Box::new(&mut file))))
            }
            OutputTarget::Beside(file) => {
                let same = file.file().try_clone().map_err(failed)?;
                write(EncoderTarget::File(same, file.path().to_owned()))?;
                file.persist(&path, Some(format), self.durability).map_err(failed)
            }
        }
    }

    /// Writes everything and replaces the file. A closed pipe is not an error.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`]. The old file is then unchanged.
    pub fn put(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let path = self.path;
        let done = match self.to {
            OutputTarget::Stdout => {
                let mut out = io::stdout().lock();
                ignore_broken_pipe(write(&mut out).and_then(|()| out.flush()))
            }
            OutputTarget::Through(mut file) => {
                ignore_broken_pipe(write(&mut file).and_then(|()| file.flush()))
            }
            OutputTarget::Beside(mut file) => write(file.file_mut())
                .and_then(|()| file.file_mut().flush())
                .and_then(|()| file.persist(&path, None, self.durability)),
        };
        done.map_err(|source| Failure::Storage { action: "write", path, source })
    }
}

/// Ignores the failure of a closed pipe.
fn ignore_closed_pipe(done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Err(Failure::Storage { action: "write", source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Ignores the error of a closed pipe.
fn ignore_broken_pipe(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        fs::write(&path, "old").unwrap();
        let failed = Output::begin(&path).unwrap().put(|out| {
            out.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("out.json") && message.contains("no storage space"), "{message}");
        assert_eq!((fs::read_to_string(&path).unwrap(), names()), ("old".to_owned(), 1));
        Output::begin(&path).unwrap().put(|out| out.write_all(b"new")).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), names()), ("new".to_owned(), 1));
    }

    #[test]
    fn a_durable_output_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let output = Output::begin(&path).unwrap().with_durability(Durability::Synced);
        output.put(|out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn an_abandoned_output_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Output::begin(&folder.path().join("out.json")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_that_cannot_be_written_fails_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for bad in [folder.path().to_owned(), folder.path().join("none/out.json")] {
            assert!(matches!(Output::begin(&bad), Err(Failure::Storage { .. })), "{bad:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_through_and_links_stay_links() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        Output::begin(Path::new("/dev/null")).unwrap().put(|out| out.write_all(b"x")).unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&real, &link).unwrap();
        Output::begin(&link).unwrap().put(|out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
