//! Opening a tape file: its blocks are found by the index, or by reading the file.

use super::block::{
    self, BLOCK_HEAD_LEN, BLOCK_MAGIC, BlockHead, BlockKind, HEAD_LEN, IndexEntry, TRAILER_LEN,
};
use super::content::is_in_place;
use super::index::Index;
use super::session::KnownSession;
use super::{Damage, Opened, TapeFile, TapeFileError};
use crate::base::seq::SeqRange;
use crate::storage::Storage;

/// Returns true if a crash has torn a file before its head was written: the file is shorter than a
/// head and begins one, or has only zeros. Nothing is recorded in such a file.
///
/// # Errors
/// Errors of the storage.
pub fn is_stillborn<S: Storage>(storage: &S) -> Result<bool, S::Error> {
    let len = storage.len()?;
    let mut window = alloc::vec![0; 64 * 1024];
    let read = storage.read_at(0, &mut window[..HEAD_LEN])?;
    if len < HEAD_LEN as u64 && block::begins_head(&window[..read]) {
        return Ok(true);
    }
    let mut at = 0;
    while at < len {
        let read = storage.read_at(at, &mut window)?;
        if read == 0 || window[..read].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

/// Returns true if a storage begins with the first bytes of a tape file, of any version and with
/// any damage behind them.
///
/// # Errors
/// Errors of the storage.
pub fn is_tape<S: Storage>(storage: &S) -> Result<bool, S::Error> {
    let mut begin = [0; block::MAGIC.len()];
    let read = storage.read_at(0, &mut begin)?;
    Ok(begin[..read] == block::MAGIC)
}

impl<S: Storage> TapeFile<S> {
    /// Opens a file by reading all of it, and reports each damaged place.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check(
        storage: S,
        tell: &mut dyn FnMut(Damage),
    ) -> Result<(Self, Opened), TapeFileError<S::Error>> {
        let mut file = Self::begin(storage)?;
        let mut opened = Opened { indexed: file.read_index()?, ..Opened::default() };
        let listed = core::mem::take(&mut file.index).in_file_order();
        let indexed = opened.indexed;
        file.scan(&mut |place| {
            // An index that was written after a crash does not list what the crash had torn.
            let until = place.offset + place.bytes;
            let from = listed.partition_point(|entry| entry.offset < place.offset);
            let hit = listed[from..].iter().take_while(|entry| entry.offset < until);
            let span = hit.map(|entry| entry.span).reduce(SeqRange::hull);
            if indexed && span.is_none() {
                opened.scars += 1;
            } else {
                opened.damages += 1;
                opened.damaged_bytes += place.bytes;
                tell(Damage { span: span.or(place.span), ..place });
            }
        })?;
        opened.misleading = indexed && opened.damages == 0 && file.index.in_file_order() != listed;
        Ok((file, opened))
    }

    /// Reads the index, if there is one at the end of the file.
    pub(super) fn read_index(&mut self) -> Result<bool, TapeFileError<S::Error>> {
        let mut trailer = [0; TRAILER_LEN];
        let Some(at) = self.end.checked_sub(TRAILER_LEN as u64) else { return Ok(false) };
        let read = self.storage.read_at(at, &mut trailer)?;
        let Some(offset) = block::read_trailer::<S>(&trailer[..read], self.head.salt) else {
            return Ok(false);
        };
        if offset >= at {
            return Ok(false);
        }
        let mut head = [0; BLOCK_HEAD_LEN];
        let read = self.storage.read_at(offset, &mut head)?;
        let Some(head) = BlockHead::decode::<S>(&head[..read], self.head.salt) else {
            return Ok(false);
        };
        // The length is checked against the file's, so that a damaged one cannot exhaust memory.
        if head.kind != BlockKind::Index
            || offset + BLOCK_HEAD_LEN as u64 + u64::from(head.len) != at
        {
            return Ok(false);
        }
        let mut payload = alloc::vec![0; head.len as usize];
        let read = self.storage.read_at(offset + BLOCK_HEAD_LEN as u64, &mut payload)?;
        if read < payload.len() || S::checksum(&payload) != head.sum {
            return Ok(false);
        }
        let Some((said, entries)) = payload.split_first_chunk() else { return Ok(false) };
        let mut index = Index::default();
        let mut free = HEAD_LEN as u64;
        for entry in entries.as_chunks().0 {
            // Offsets must ascend, so that no block is listed twice.
            let Some(entry) = IndexEntry::decode(entry).filter(|entry| entry.offset >= free) else {
                return Ok(false);
            };
            if index.layout().is_some_and(|stored| !stored.fits(entry.layout)) {
                return Ok(false);
            }
            free = entry.end();
            index.insert(entry);
        }
        if free > offset {
            return Ok(false);
        }
        let (id, ends, end) = block::read_index_head(said);
        self.session.take_report(id, ends, end, core::iter::empty());
        if id.is_none() {
            // An index lists only blocks of the session, so each one is checked first.
            let entries = index.in_file_order().into_iter();
            entries.for_each(|entry| {
                self.session.counts(entry, None);
            });
        }
        self.index = index;
        Ok(true)
    }

    /// Reads all blocks. Bytes between them that are not a block, from a crash or damage, are
    /// skipped up to the next block's magic number.
    pub(super) fn scan(
        &mut self,
        tell: &mut dyn FnMut(Damage),
    ) -> Result<(), TapeFileError<S::Error>> {
        let mut at = HEAD_LEN as u64;
        self.session = KnownSession::of_head(self.head.session);
        while at < self.end {
            match self.block_at(at)? {
                Some(len) => at += len,
                None => {
                    let next = self.next_magic(at + 1)?;
                    // A trailer is neither a block nor damage.
                    let mut bytes = [0; TRAILER_LEN];
                    let read = self.storage.read_at(at, &mut bytes)?;
                    if block::read_trailer::<S>(&bytes[..read], self.head.salt).is_some() {
                        at += TRAILER_LEN as u64;
                        continue;
                    }
                    tell(Damage { offset: at, bytes: next - at, span: self.span_at(at)? });
                    at = next;
                }
            }
        }
        self.leave_out();
        Ok(())
    }

    /// Reads the block at an offset. Returns its length; `None` if there is no good block.
    fn block_at(&mut self, at: u64) -> Result<Option<u64>, TapeFileError<S::Error>> {
        let mut head = [0; BLOCK_HEAD_LEN];
        let read = self.storage.read_at(at, &mut head)?;
        let Some(head) = BlockHead::decode::<S>(&head[..read], self.head.salt) else {
            return Ok(None);
        };
        let whole = BLOCK_HEAD_LEN as u64 + u64::from(head.len);
        if whole > self.end - at {
            return Ok(None);
        }
        let mut payload = alloc::vec![0; head.len as usize];
        let read = self.storage.read_at(at + BLOCK_HEAD_LEN as u64, &mut payload)?;
        if read < payload.len() || S::checksum(&payload) != head.sum {
            return Ok(None);
        }
        let BlockHead { first, last, count, len, .. } = head;
        match head.kind {
            BlockKind::Messages(_, layout) => match head.span() {
                Some(span)
                    if is_in_place(layout, span, &payload)
                        && self.index.layout().is_none_or(|stored| stored.fits(layout)) =>
                {
                    let entry = IndexEntry { span, count, layout, len, offset: at };
                    if self.session.counts(entry, head.session) {
                        self.index.insert(entry);
                    }
                }
                _ => return Ok(None),
            },
            BlockKind::Session(end) => match block::read_session(&payload) {
                Some((session, vouched)) => {
                    self.session.take_report(session, (first, last), end, vouched);
                }
                None => return Ok(None),
            },
            BlockKind::Index => {}
        }
        Ok(Some(whole))
    }

    /// Returns the sequences in the head of a block whose payload may be damaged.
    fn span_at(&self, at: u64) -> Result<Option<SeqRange>, TapeFileError<S::Error>> {
        let mut head = [0; BLOCK_HEAD_LEN];
        let read = self.storage.read_at(at, &mut head)?;
        let head = BlockHead::decode::<S>(&head[..read], self.head.salt);
        Ok(head.and_then(|head| head.span()))
    }

    /// Returns the offset at which the next block may begin.
    fn next_magic(&self, from: u64) -> Result<u64, TapeFileError<S::Error>> {
        let mut window = alloc::vec![0; 64 * 1024];
        let mut from = from;
        while from < self.end {
            let read = self.storage.read_at(from, &mut window)?;
            let found = window[..read].windows(BLOCK_MAGIC.len());
            // Reading can go on at a trailer as well.
            let found = found.into_iter().position(|bytes| bytes == BLOCK_MAGIC);
            if let Some(at) = found {
                return Ok(from + at as u64);
            }
            if read < BLOCK_MAGIC.len() {
                break;
            }
            from += (read - BLOCK_MAGIC.len() + 1) as u64;
        }
        Ok(self.end)
    }
}
