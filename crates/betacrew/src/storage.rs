//! Storage of tape files: a file of the system, locked against a second writer.

use feed::storage::Storage;
use feed::tape::recorder::SyncPolicy;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Maximum number of times that a file is opened again because it was replaced meanwhile.
const REPLACED_MAX: usize = 8;

/// Locks a recording against every other process, for as long as the file is open.
///
/// # Errors
/// Returns [`io::ErrorKind::ResourceBusy`] if another process has locked it, or an error of the
/// system.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another process is recording into it")
}

/// Returns whether `path` leads to `file` now: between opening a file and locking it another
/// process may have removed or replaced it.
///
/// # Errors
/// Errors of the system.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    match path.metadata() {
        Ok(found) => Ok(identity(found) == identity(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns true: files that are open cannot be removed or replaced here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Returns whether a path is stdin, a pipe or a device, whose content can be read only once.
pub(crate) fn is_read_once(path: &Path) -> bool {
    let is_other = |found: std::fs::Metadata| !found.is_file() && !found.is_dir();
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(is_other)
}

/// Durability of a file once it has its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// File that the system writes to disk later, so that a power failure may undo it.
    Buffered,
    /// File that survives a power failure.
    Synced,
}

impl From<SyncPolicy> for Durability {
    fn from(sync: SyncPolicy) -> Self {
        match sync {
            SyncPolicy::Never => Self::Buffered,
            SyncPolicy::End | SyncPolicy::Every(_) => Self::Synced,
        }
    }
}

/// File that is read at any position and written at its end.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    len: u64,
}

impl FileStorage {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// Opens a file for reading and appending, and creates it if there is none. It stays locked
    /// until this value is dropped.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::ResourceBusy`] if another process writes the file, or an error of
    /// the system.
    pub fn write(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        for _ in 0..REPLACED_MAX {
            let file = options.open(path)?;
            lock(&file)?;
            // A process that replaced the file before the lock was taken has left a file without
            // a name: everything recorded into it would be lost.
            if is_at(&file, path)? {
                return Self::of(file);
            }
        }
        Err(in_use())
    }

    /// Removes all content of the file.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn cleared(self) -> io::Result<Self> {
        self.file.set_len(0)?;
        Self::of(self.file)
    }

    /// Creates the storage from an open file.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn of(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

/// Syncs the folder of `path`, so that the name of the file survives a power failure.
///
/// # Errors
/// Errors of the system.
#[cfg(unix)]
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Does nothing, because this system cannot sync folders.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

impl Storage for FileStorage {
    type Error = io::Error;

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match read_once(&self.file, offset + done as u64, &mut out[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match write_once(&self.file, self.len, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.len += count as u64;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn checksum(bytes: &[u8]) -> u32 {
        crc32c::crc32c(bytes)
    }
}

#[cfg(unix)]
fn read_once(file: &File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

#[cfg(unix)]
fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_once(file: &File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}

#[cfg(windows)]
fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_added_to_and_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        let mut one = FileStorage::write(&path).unwrap();
        one.append(b"hello ").unwrap();
        one.append(b"world").unwrap();
        one.sync().unwrap();
        let busy = FileStorage::write(&path).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        let mut out = [0; 20];
        assert_eq!(FileStorage::read(&path).unwrap().read_at(6, &mut out).unwrap(), 5);
        assert_eq!(&out[..5], b"world");
        drop(one);
        let again = FileStorage::write(&path).unwrap();
        assert_eq!((again.len().unwrap(), again.read_at(99, &mut out).unwrap()), (11, 0));
    }

    #[test]
    fn the_quick_checksum_is_the_plain_one() {
        let mut rng = feed::base::rng::Rng::new(1);
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len).map(|_| rng.bits().to_le_bytes()[0]).collect();
            assert_eq!(FileStorage::checksum(&bytes), feed::storage::crc32c(&bytes));
        }
    }
}
