//! Appending to a tape file: messages gather in pending blocks, and blocks are written whole.

use super::block::{
    self, BLOCK_HEAD_LEN, ENTRY_LEN, FRAMES_MAX, INDEX_HEAD_LEN, IndexEntry, PAYLOAD_MAX,
};
use super::pending_blocks::payload_of;
use super::{BlockHead, BlockKind, Layout, TapeFile, TapeFileError};
use crate::base::seq::{Seq, SeqRange, to_index};
use crate::ledger::Origin;
use crate::storage::Storage;
use crate::wire::{FRAME_LEN, Messages, RawFrame, Run, SessionId};
use alloc::vec::Vec;

/// Maximum number of blocks that are written together with a full one.
const TOGETHER: usize = 3;

impl<S: Storage> TapeFile<S> {
    /// Appends messages that the file does not have. They are written when a block is full, or by
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// Errors of the storage, or [`TapeFileError::Mixed`]. The file can be opened again; messages
    /// appended before may be missing.
    pub fn append<'m>(
        &mut self,
        origin: Origin,
        arrived: u64,
        messages: impl Into<Messages<'m>>,
    ) -> Result<(), TapeFileError<S::Error>> {
        let messages = messages.into();
        if let Some(stored) = self.layout().filter(|stored| !stored.fits(Layout::of(messages)))
            && !messages.is_empty()
        {
            return Err(TapeFileError::Mixed { stored });
        }
        match messages {
            Messages::Packets(frames) => self.append_packets(origin, arrived, frames),
            Messages::Run(run) => self.append_run(origin, arrived, run),
        }
    }

    fn append_packets(
        &mut self,
        origin: Origin,
        arrived: u64,
        frames: &[RawFrame],
    ) -> Result<(), TapeFileError<S::Error>> {
        let mut rest = frames;
        while !rest.is_empty() {
            let place = match self.gathering.place(origin) {
                Some(place) => place,
                None if self.gathering.is_full() => {
                    self.write_pending(0, &[], 0)?;
                    continue;
                }
                None => self.gathering.begin(origin, arrived, Layout::Packets),
            };
            let taken = self.gathering.at(place).map_or(0, |pending| pending.take(rest));
            rest = &rest[taken..];
            if !rest.is_empty() {
                let whole = rest.len().min(TOGETHER * FRAMES_MAX) / FRAMES_MAX * FRAMES_MAX;
                let (behind, after) = rest.split_at(whole);
                let behind: Vec<_> = behind.chunks(FRAMES_MAX).map(Messages::Packets).collect();
                self.write_pending(place, &behind, arrived)?;
                rest = after;
            }
        }
        Ok(())
    }

    fn append_run(
        &mut self,
        origin: Origin,
        arrived: u64,
        run: Run<'_>,
    ) -> Result<(), TapeFileError<S::Error>> {
        let mut rest = Some(run);
        while let Some(run) = rest {
            let place = match self.gathering.place(origin) {
                Some(place) if self.gathering.is_continued_by(place, run) => place,
                Some(place) => {
                    // A block has one run.
                    self.write_pending(place, &[], 0)?;
                    continue;
                }
                None if self.gathering.is_full() => {
                    self.write_pending(0, &[], 0)?;
                    continue;
                }
                None => self.gathering.begin(origin, arrived, Layout::Run(run.framing())),
            };
            let Some(pending) = self.gathering.at(place) else { return Ok(()) };
            rest = pending.take_run(run);
            if rest.is_some() || pending.payload_len() >= PAYLOAD_MAX {
                let behind = split_whole_blocks(&mut rest);
                self.write_pending(place, &behind, arrived)?;
            }
        }
        Ok(())
    }

    /// Writes all appended messages, so that they survive the end of the process.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush(&mut self) -> Result<(), TapeFileError<S::Error>> {
        while self.gathering.at(0).is_some() {
            self.write_pending(0, &[], 0)?;
        }
        Ok(())
    }

    /// Writes the appended packets of one origin. Its next packets begin a new block with a new
    /// time.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush_origin(&mut self, origin: Origin) -> Result<(), TapeFileError<S::Error>> {
        self.gathering.place(origin).map_or(Ok(()), |place| self.write_pending(place, &[], 0))
    }

    /// Writes the pending messages of one origin, followed by a block of each of the messages in
    /// `behind`, in one write, because a write that ends inside a page costs more.
    fn write_pending(
        &mut self,
        place: usize,
        behind: &[Messages<'_>],
        arrived: u64,
    ) -> Result<(), TapeFileError<S::Error>> {
        let Some(pending) = self.gathering.at(place) else { return Ok(()) };
        pending.sort();
        let own = pending.bytes.len();
        behind.iter().for_each(|messages| pending.add_block(*messages));
        let (origin, layout) = (pending.origin, pending.layout);
        let own_span = pending.messages_in(own).span();
        let blocks = [(own, own_span, pending.arrived)].into_iter();
        let blocks = blocks.chain(behind.iter().map(|messages| {
            (BLOCK_HEAD_LEN + payload_of(*messages).len(), messages.span(), arrived)
        }));
        let (mut entries, mut offset, mut rest) = (Vec::new(), self.end, &mut pending.bytes[..]);
        for (len, span, came) in blocks {
            let Some((bytes, after)) = rest.split_at_mut_checked(len) else { break };
            let (kind, place) = (BlockKind::Messages(origin, layout), (offset, self.head.salt));
            entries.extend(seal::<S>(bytes, (kind, span), came, place, self.session.id));
            offset += len as u64;
            rest = after;
        }
        let len = pending.bytes.len();
        let done = self.storage.append(&pending.bytes);
        pending.bytes.truncate(own);
        self.appended(len, done)?;
        for entry in entries {
            self.index.insert(entry);
            self.session.wrote(entry, origin);
        }
        self.gathering.remove(place);
        Ok(())
    }

    /// Flushes, and waits until the file would survive a loss of power.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn sync(&mut self) -> Result<(), TapeFileError<S::Error>> {
        self.flush()?;
        Ok(self.storage.sync()?)
    }

    /// Flushes and writes the index, so that the next opening is quick. More may be added later.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn finish(&mut self, now: u64) -> Result<(), TapeFileError<S::Error>> {
        self.flush()?;
        let entries = self.index.in_file_order();
        let mut payload = Vec::with_capacity(entries.len() * ENTRY_LEN + INDEX_HEAD_LEN);
        // The index repeats the session blocks, so that they need not be searched.
        payload.extend(block::index_head(&self.session));
        entries.iter().for_each(|entry| payload.extend(entry.encode()));
        let at = self.end;
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let span = self.index.span();
        let (first, last) = span.map_or((0, 0), |span| (span.first(), span.last()));
        self.write(BlockKind::Index, (first, last, count), now, &payload)?;
        let trailer = block::trailer::<S>(at, self.head.salt);
        let done = self.storage.append(&trailer);
        self.appended(trailer.len(), done)
    }

    /// Writes a block.
    pub(super) fn write(
        &mut self,
        kind: BlockKind,
        (first, last, count): (Seq, Seq, u32),
        arrived: u64,
        payload: &[u8],
    ) -> Result<(), TapeFileError<S::Error>> {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let sum = S::checksum(payload);
        let head = BlockHead { kind, first, last, count, arrived, len, sum, session: None };
        let bytes = [&head.encode::<S>(self.head.salt), payload].concat();
        let done = self.storage.append(&bytes);
        self.appended(bytes.len(), done)
    }

    /// Moves the end behind the bytes that were appended, even if only part of them was.
    fn appended(
        &mut self,
        len: usize,
        done: Result<(), S::Error>,
    ) -> Result<(), TapeFileError<S::Error>> {
        if let Err(error) = done {
            self.end = self.storage.len().unwrap_or(self.end + len as u64);
            return Err(error.into());
        }
        self.end += len as u64;
        Ok(())
    }
}

/// Splits off the blocks that are written together with a full one. The rest has less than a block,
/// or is for the next write.
fn split_whole_blocks<'m>(rest: &mut Option<Run<'m>>) -> Vec<Messages<'m>> {
    let mut blocks = Vec::new();
    while let Some(run) = *rest
        && blocks.len() < TOGETHER
        && let (block, Some(behind)) = run.split_within(PAYLOAD_MAX)
    {
        blocks.push(Messages::Run(block));
        *rest = Some(behind);
    }
    blocks
}

/// Writes the head of a block of messages into the room left for it. Returns the block's index
/// entry.
fn seal<S: Storage>(
    bytes: &mut [u8],
    (kind, span): (BlockKind, Option<SeqRange>),
    arrived: u64,
    (offset, salt): (u64, u64),
    session: Option<SessionId>,
) -> Option<IndexEntry> {
    let (BlockKind::Messages(_, layout), Some(span)) = (kind, span) else { return None };
    let (room, payload) = bytes.split_first_chunk_mut::<BLOCK_HEAD_LEN>()?;
    let count = match layout {
        Layout::Packets => payload.len() / FRAME_LEN,
        Layout::Run(_) => to_index(span.len()),
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let (first, last, sum) = (span.first(), span.last(), S::checksum(payload));
    let head = BlockHead { kind, first, last, count, arrived, len, sum, session };
    *room = head.encode::<S>(salt);
    Some(IndexEntry { span, count, layout, len, offset })
}
