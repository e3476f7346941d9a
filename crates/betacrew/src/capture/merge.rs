//! Packets of several capture files, in the order of their times: rotated files follow one another,
//! and files of different taps are merged.

use super::file::{CaptureDamage, CaptureFile, CaptureKind, CapturedPacket, FileError};
use super::read::temporary;
use crate::error::Failure;
use crate::storage::is_read_once;
use crate::text::formatting::count;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Maximum number of files that cover the same time, and are therefore open together.
const OPEN_MAX: usize = 64;

/// Packets of several capture files.
pub(super) struct CaptureFiles {
    /// Files that begin later, with the times of their first packets, in ascending order.
    waiting: VecDeque<(u64, CaptureInput)>,
    open: Vec<CaptureFile>,
    /// Kinds of the files, in the order of the command line.
    pub(super) kinds: Vec<CaptureKind>,
    /// Damaged places; each ends the reading of its file.
    pub(super) damage: Vec<CaptureDamage>,
}

impl CaptureFiles {
    /// Opens capture files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or is no capture.
    pub(super) fn open(inputs: &[CaptureInput]) -> Result<Self, Failure> {
        let (mut files, mut kinds, mut damage) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = Vec::new();
        for input in inputs {
            match input.open() {
                Ok(file) => {
                    kinds.push(file.kind());
                    if inputs.len() == 1 {
                        // A single file stays open, and may therefore be a pipe.
                        open.push(file);
                        continue;
                    }
                    let first = file.packet().map(|(packet, _)| packet.at);
                    files.extend(first.map(|first| (first, input.clone())));
                }
                Err(FileError::Damaged(place)) => damage.push(place),
                Err(FileError::Failed(failure)) => return Err(failure),
            }
        }
        // Files with the same first time stay in the order of the command line.
        files.sort_by_key(|(first, _)| *first);
        Ok(Self { waiting: files.into(), open, kinds, damage })
    }

    /// Calls `each` with every packet.
    ///
    /// # Errors
    /// Errors of the files, and of `each`.
    pub(super) fn read(
        &mut self,
        mut each: impl FnMut(&CapturedPacket, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let at = |file: &CaptureFile| file.packet().map(|(packet, _)| packet.at);
            let earliest =
                self.open.iter().enumerate().filter_map(|(i, file)| Some((at(file)?, i)));
            let earliest = earliest.min();
            if let Some((first, _)) = self.waiting.front()
                && earliest.is_none_or(|(at, _)| *first <= at)
            {
                self.open_next()?;
                continue;
            }
            let Some((_, place)) = earliest else { return Ok(()) };
            // Only one file is open nearly always, and its packets need no comparison.
            let alone = self.waiting.front().map_or(u64::MAX, |(first, _)| *first);
            let alone = if self.open.len() == 1 { alone } else { 0 };
            let Some(file) = self.open.get_mut(place) else { return Ok(()) };
            while let Some((packet, data)) = file.packet() {
                each(packet, data)?;
                match file.advance() {
                    Ok(()) => {}
                    Err(FileError::Damaged(place)) => self.damage.push(place),
                    Err(FileError::Failed(failure)) => return Err(failure),
                }
                if file.packet().is_none_or(|(next, _)| next.at >= alone) {
                    break;
                }
            }
            if file.packet().is_none() {
                self.open.remove(place);
            }
        }
    }

    fn open_next(&mut self) -> Result<(), Failure> {
        let Some((_, input)) = self.waiting.pop_front() else { return Ok(()) };
        if self.open.len() >= OPEN_MAX {
            return Err(Failure::Usage(format!(
                "more than {} cover the same time: merge them before (mergecap -w all.pcapng ...)",
                count(OPEN_MAX as u64, "file")
            )));
        }
        match input.open() {
            Ok(file) => self.open.push(file),
            Err(FileError::Damaged(place)) => self.damage.push(place),
            Err(FileError::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }
}

/// Capture to be read: a file, or what a pipe has brought.
#[derive(Clone, Debug)]
pub(super) struct CaptureInput {
    path: PathBuf,
    /// Temporary copy of what can be read only once.
    copy: Option<Arc<File>>,
}

impl CaptureInput {
    /// Returns inputs that can be opened as often as a reader needs: pipes and stdin are copied
    /// into temporary files.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if a pipe cannot be read, or its copy not written.
    pub(super) fn reopened(paths: &[impl AsRef<Path>]) -> Result<Vec<Self>, Failure> {
        paths.iter().map(|path| Self::copied(path.as_ref())).collect()
    }

    /// Returns inputs that are read once. Several are opened twice, to put them in order.
    ///
    /// # Errors
    /// As [`reopened`](Self::reopened).
    pub(super) fn read_once(paths: &[impl AsRef<Path>]) -> Result<Vec<Self>, Failure> {
        match paths {
            [path] => Ok(vec![Self { path: path.as_ref().to_owned(), copy: None }]),
            paths => Self::reopened(paths),
        }
    }

    fn copied(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        if !is_read_once(&path) {
            return Ok(Self { path, copy: None });
        }
        let failed = |source| Failure::Storage { action: "read", path: path.clone(), source };
        let mut input: Box<dyn Read> = match path == Path::new("-") {
            true => Box::new(io::stdin().lock()),
            false => Box::new(File::open(&path).map_err(failed)?),
        };
        let mut copy = tempfile::tempfile().map_err(temporary)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => copy.write_all(&buffer[..count]).map_err(temporary)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Self { path, copy: Some(Arc::new(copy)) })
    }

    fn open(&self) -> Result<CaptureFile, FileError> {
        let Some(copy) = &self.copy else { return CaptureFile::open(&self.path) };
        let failed = |source| {
            let path = self.path.clone();
            FileError::Failed(Failure::Storage { action: "read", path, source })
        };
        // Only one reader of the copy is open at a time, so they may share its position.
        let mut file = copy.try_clone().map_err(failed)?;
        file.rewind().map_err(failed)?;
        CaptureFile::read(&self.path, file)
    }
}
