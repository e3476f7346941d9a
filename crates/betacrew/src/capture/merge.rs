//! Packets of several capture files, in the order of their times: rotated files follow one another,
//! and files of different taps are merged.

use super::file::{CaptureDamage, CaptureFile, CaptureKind, CapturedPacket, FileError};
use crate::error::Failure;
use crate::text::formatting::count;
use crate::text::location::shown;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Maximum number of files that cover the same time, and are therefore open together.
const OPEN_MAX: usize = 64;

/// Packets of several capture files.
pub(super) struct CaptureFiles {
    /// Files that begin later, with the times of their first packets, in ascending order.
    waiting: VecDeque<(u64, PathBuf)>,
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
    /// Returns an error if a file cannot be read or is no capture, or one of several is a pipe.
    pub(super) fn open(paths: &[impl AsRef<Path>]) -> Result<Self, Failure> {
        let (mut files, mut kinds, mut damage) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = Vec::new();
        if paths.len() > 1 {
            require_files(paths)?;
        }
        for path in paths {
            let path = path.as_ref();
            match CaptureFile::open(path) {
                Ok(file) => {
                    kinds.push(file.kind());
                    if paths.len() == 1 {
                        // A single file stays open, and may therefore be a pipe.
                        open.push(file);
                        continue;
                    }
                    let first = file.packet().map(|(packet, _)| packet.at);
                    files.extend(first.map(|first| (first, path.to_owned())));
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
        let Some((_, path)) = self.waiting.pop_front() else { return Ok(()) };
        if self.open.len() >= OPEN_MAX {
            return Err(Failure::Usage(format!(
                "more than {} cover the same time: merge them before (mergecap -w all.pcapng ...)",
                count(OPEN_MAX as u64, "file")
            )));
        }
        match CaptureFile::open(&path) {
            Ok(file) => self.open.push(file),
            Err(FileError::Damaged(place)) => self.damage.push(place),
            Err(FileError::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }
}

/// Refuses pipes and devices where captures are opened twice: a second opening of a pipe would find
/// nothing, or wait for ever.
///
/// # Errors
/// Returns [`Failure::Usage`] for the first path that is neither a regular file nor a folder.
pub(super) fn require_files(paths: &[impl AsRef<Path>]) -> Result<(), Failure> {
    for path in paths.iter().map(AsRef::as_ref) {
        // Opening the path names every other problem.
        let Ok(found) = std::fs::metadata(path) else { continue };
        if !found.is_file() && !found.is_dir() {
            return Err(Failure::Usage(format!(
                "{} is no regular file, and captures are read twice: copy it into a file before",
                shown(path)
            )));
        }
    }
    Ok(())
}
