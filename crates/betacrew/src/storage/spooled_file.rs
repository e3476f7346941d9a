//! File that stays in memory as long as it is small.

use super::FileStorage;
use feed::storage::Storage;
use std::io;

/// Maximum number of bytes kept in memory: those of a million order packets with their gaps.
pub(crate) const SPOOL_MAX: u64 = 32 << 20;

/// Size of a piece of memory. Pieces are never moved, as one growing buffer would be.
const PIECE: usize = 1 << 20;

/// Append-only file that begins in memory. It moves into its file when it exceeds [`SPOOL_MAX`], or
/// when [`move_to_file`](Self::move_to_file) is called. Dropped before that, nothing was written.
#[derive(Debug)]
pub(crate) struct SpooledFile(State);

#[derive(Debug)]
enum State {
    /// All bytes are in memory, in pieces of [`PIECE`] bytes; only the last one may be shorter.
    /// `file` is empty; `None` is a temporary file that does not exist yet.
    Memory { pieces: Vec<Vec<u8>>, len: u64, file: Option<FileStorage> },
    /// All bytes are in the file.
    File(FileStorage),
}

impl SpooledFile {
    /// Returns an empty storage in memory, which moves into `file`, an empty one.
    pub(crate) fn in_memory(file: FileStorage) -> Self {
        Self(State::Memory { pieces: Vec::new(), len: 0, file: Some(file) })
    }

    /// Returns an empty storage in memory, which moves into a temporary file without a name.
    pub(crate) fn temporary() -> Self {
        Self(State::Memory { pieces: Vec::new(), len: 0, file: None })
    }

    /// Returns a storage whose bytes are in a file from the beginning.
    pub(crate) fn in_file(file: FileStorage) -> Self {
        Self(State::File(file))
    }

    /// Returns whether bytes that a file with a name should have are in memory.
    pub(crate) fn is_owed_to_file(&self) -> bool {
        matches!(self.0, State::Memory { file: Some(_), .. })
    }

    /// Moves all bytes into the file, unless they are there already.
    ///
    /// # Errors
    /// Errors of the system. The file then has a part of the bytes, as after an append that failed.
    pub(crate) fn move_to_file(&mut self) -> io::Result<()> {
        let State::Memory { pieces, file, .. } = &mut self.0 else { return Ok(()) };
        let pieces = std::mem::take(pieces);
        let file = match file.take() {
            Some(file) => file,
            None => FileStorage::of(tempfile::tempfile()?)?,
        };
        self.0 = State::File(file);
        pieces.iter().try_for_each(|piece| self.append(piece))
    }

    /// Removes all content. What is recorded afterwards is in the file.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn cleared(self) -> io::Result<Self> {
        match self.0 {
            State::Memory { file, .. } => {
                Ok(Self(State::Memory { pieces: Vec::new(), len: 0, file }))
            }
            State::File(file) => file.cleared().map(Self::in_file),
        }
    }
}

impl Storage for SpooledFile {
    type Error = io::Error;

    fn len(&self) -> io::Result<u64> {
        match &self.0 {
            State::Memory { len, .. } => Ok(*len),
            State::File(file) => file.len(),
        }
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let pieces = match &self.0 {
            State::Memory { pieces, .. } => pieces,
            State::File(file) => return file.read_at(offset, out),
        };
        let Ok(offset) = usize::try_from(offset) else { return Ok(0) };
        let (mut done, mut skip) = (0, offset % PIECE);
        for piece in pieces.iter().skip(offset / PIECE) {
            let (Some(from), Some(to)) = (piece.get(skip..), out.get_mut(done..)) else { break };
            let count = from.len().min(to.len());
            to[..count].copy_from_slice(&from[..count]);
            (done, skip) = (done + count, 0);
            if done == out.len() {
                break;
            }
        }
        Ok(done)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (pieces, len) = match &mut self.0 {
            State::Memory { pieces, len, .. } => (pieces, len),
            State::File(file) => return file.append(bytes),
        };
        if *len + bytes.len() as u64 > SPOOL_MAX {
            self.move_to_file()?;
            return self.append(bytes);
        }
        *len += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = pieces.last().map_or(0, |last| PIECE - last.len());
            if room == 0 {
                pieces.push(Vec::with_capacity(PIECE));
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            if let Some(last) = pieces.last_mut() {
                last.extend_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    /// Moves all bytes into the file, and syncs it.
    fn sync(&mut self) -> io::Result<()> {
        self.move_to_file()?;
        match &mut self.0 {
            State::File(file) => file.sync(),
            State::Memory { .. } => Ok(()),
        }
    }

    fn checksum(bytes: &[u8]) -> u32 {
        FileStorage::checksum(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `len` bytes that differ from place to place.
    fn bytes(len: usize) -> Vec<u8> {
        let mut rng = feed::base::rng::Rng::new(len as u64);
        (0..len.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).take(len).collect()
    }

    fn read(storage: &SpooledFile, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let count = storage.read_at(offset, &mut out).unwrap();
        out.truncate(count);
        out
    }

    #[test]
    fn is_read_from_memory_and_from_its_file_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        let mut spooled = SpooledFile::in_memory(FileStorage::write(&path).unwrap());
        let content = bytes(3 * PIECE + 5);
        // Pieces of many lengths, some of them across the borders of the pieces of memory.
        let mut rest = content.as_slice();
        for len in [1, 17, PIECE - 20, 100, PIECE, 0, usize::MAX] {
            let (now, later) = rest.split_at(len.min(rest.len()));
            spooled.append(now).unwrap();
            rest = later;
        }
        for moved in [false, true] {
            if moved {
                spooled.move_to_file().unwrap();
            }
            assert_eq!(path.metadata().unwrap().len() > 0, moved);
            assert_eq!(spooled.is_owed_to_file(), !moved);
            assert_eq!(spooled.len().unwrap(), content.len() as u64);
            for (offset, len) in [
                (0, content.len()),
                (PIECE - 3, 7),
                (PIECE, PIECE),
                (2 * PIECE - 1, PIECE + 2),
                (content.len() - 2, 9),
                (content.len(), 1),
                (content.len() + PIECE, 1),
            ] {
                let end = content.len().min(offset + len);
                let wanted = content.get(offset..end).unwrap_or_default();
                assert!(read(&spooled, offset as u64, len) == wanted, "{offset} {len} {moved}");
            }
        }
        spooled.append(b"end").unwrap();
        assert_eq!(read(&spooled, content.len() as u64, 9), b"end");
        drop(spooled);
        assert_eq!(std::fs::read(&path).unwrap(), [content, b"end".to_vec()].concat());
    }

    #[test]
    fn moves_by_itself_at_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        let content = bytes(usize::try_from(SPOOL_MAX).unwrap());
        for mut spooled in
            [SpooledFile::in_memory(FileStorage::write(&path).unwrap()), SpooledFile::temporary()]
        {
            spooled.append(&content).unwrap();
            assert!(matches!(spooled.0, State::Memory { .. }));
            assert_eq!(path.metadata().unwrap().len(), 0);
            spooled.append(b"x").unwrap();
            assert!(matches!(spooled.0, State::File(_)));
            assert_eq!(spooled.len().unwrap(), SPOOL_MAX + 1);
            assert!(read(&spooled, 0, content.len()) == content);
            assert_eq!(read(&spooled, SPOOL_MAX, 2), b"x");
            std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, "")).unwrap();
        }
    }

    #[test]
    fn a_sync_moves_it_and_a_drop_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tape");
        let mut spooled = SpooledFile::in_memory(FileStorage::write(&path).unwrap());
        spooled.append(b"some").unwrap();
        drop(spooled);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        let mut spooled = SpooledFile::in_memory(FileStorage::write(&path).unwrap());
        spooled.append(b"some").unwrap();
        spooled.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"some");
        let mut spooled = spooled.cleared().unwrap();
        spooled.append(b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
