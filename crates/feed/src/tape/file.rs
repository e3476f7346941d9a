//! Tape file: a recording that survives crashes and is read in the order of its sequences.
//!
//! The file is a log of blocks, each with checksums, and nothing is ever overwritten. A crash can
//! therefore tear only the end, and a damaged block is recognised; the packets of both count as
//! missing. A finished file ends with an index of its blocks; without one, the index is built by
//! reading the file. `docs/tape.md` describes the bytes.
//!
//! # What is promised
//!
//! * What [`flush`](TapeFile::flush) has written survives the end of the process, what
//!   [`sync`](TapeFile::sync) has written survives a loss of power: as far as the
//!   [`Storage`] keeps its own promises.
//! * What is read was recorded: each packet lies in a block whose head and payload match their
//!   checksums (CRC-32C, 32 bits: chance damage passes one time in four billion, an attacker who
//!   can write into the file always). What does not match is
//!   [`Damaged`](TapeFileError::Damaged), never a guess.
//! * Whatever bytes a file has, opening and reading it end, without a panic.
//! * A medium that fails is an error, never an empty file or a gap.
//!
//! # What is not
//!
//! * That a sequence is added once is for who adds it to see to, as [`Ledger`] does. Read in
//!   order, a sequence that is there twice comes once.
//! * A file has one writer. Readers such as
//!   [`FileTapeSource`](crate::tape::source::FileTapeSource) see the packets that the file had when
//!   they opened it.
//!
//! # What it costs
//!
//! Memory: 64 KiB for each origin that packets come from at the same time (up to
//! [`GATHERED_MAX`]), and 24 bytes a block; blocks hold 3,855 packets, or what came until the
//! writer flushed. Reading in order holds the blocks that span the place where it is. An append is
//! a copy, and a write of 64 KiB once a block is full; [`get`](TapeFile::get) reads a block, unless
//! it is that of the last call.
//!
//! # Example
//!
//! ```
//! use feed::ledger::{Origin, Source};
//! use feed::base::seq::FIRST_SEQ;
//! use feed::sim::disk::Disk;
//! use feed::tape::in_memory::Tape;
//! use feed::tape::file::{FileHead, TapeFile};
//!
//! let tape = Tape::sample(5);
//! let (early, late) = tape.frames().split_at(3);
//! let head = FileHead { session: [0; 4], created: 0, salt: 7 };
//! let mut file = TapeFile::create(Disk::new(), head)?;
//! let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
//! file.append(stream, 1_000, late)?;
//! file.append(Origin { line: 0, source: Source::Resend }, 2_000, early)?;
//! file.finish(3_000)?;
//!
//! let (mut file, opened) = TapeFile::open(file.into_storage(), true)?;
//! assert!(opened.indexed);
//! assert_eq!(file.get(4)?, Some(tape.frames()[3]));
//! let mut reading = file.in_order(FIRST_SEQ);
//! let mut frames = Vec::new();
//! while let Some(piece) = reading.next()? {
//!     frames.extend_from_slice(piece.frames);
//! }
//! assert_eq!(frames, tape.frames());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Ledger`]: crate::ledger::Ledger

mod block;
mod damage;
mod index;
mod open;
pub(crate) mod ordered_reader;
pub(crate) mod pending_blocks;
mod session;

pub use crate::session::tail::SessionEnd;
pub use crate::tape::file::ordered_reader::{OrderedPiece, OrderedReader};
pub use crate::tape::file::pending_blocks::GATHERED_MAX;
pub use block::{BlockHead, BlockKind, FileHead, FileHeadError, MAGIC, VERSION};
pub use damage::{Damage, Opened, TapeFileError};
pub use open::{is_stillborn, is_tape};

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::Origin;
use crate::storage::Storage;
use crate::tape::file::pending_blocks::PendingBlocks;
use crate::wire::{FRAME_LEN, RawFrame, SessionId, oddness, sequence_of};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use block::{
    BLOCK_HEAD_LEN, BLOCK_MAX, ENTRY_LEN, FRAMES_MAX, HEAD_LEN, INDEX_HEAD_LEN, IndexEntry,
};
use index::Index;
use session::Told;

/// Tape file, open for appending and reading.
///
/// Concept: [tape](crate#tape).
#[derive(Debug)]
pub struct TapeFile<S> {
    storage: S,
    head: FileHead,
    told: Told,
    index: Index,
    /// Offset of the next block.
    end: u64,
    gathering: PendingBlocks,
    /// Blocks read last, the latest first.
    cache: VecDeque<(IndexEntry, Vec<RawFrame>)>,
}

/// Maximum number of blocks kept in memory for [`TapeFile::get`] (1 MiB in all).
const CACHED: usize = 16;

/// Maximum number of blocks that are written together with a full one.
const TOGETHER: usize = 3;

impl<S: Storage> TapeFile<S> {
    /// Creates a file on empty storage.
    ///
    /// # Errors
    /// Errors of the storage.
    pub fn create(storage: S, head: FileHead) -> Result<Self, TapeFileError<S::Error>> {
        let mut storage = storage;
        storage.append(&head.encode::<S>())?;
        Ok(Self {
            storage,
            head,
            told: Told::of_head(head.session),
            index: Index::default(),
            end: HEAD_LEN as u64,
            gathering: PendingBlocks::default(),
            cache: VecDeque::new(),
        })
    }

    /// Opens a file by its index, if it has one and `trust` is true, else by reading all of it.
    ///
    /// # Errors
    /// Returns an error if the storage has no tape file, or fails. Damage is not an error;
    /// [`Opened`] reports it.
    pub fn open(storage: S, trust: bool) -> Result<(Self, Opened), TapeFileError<S::Error>> {
        let mut file = Self::begin(storage)?;
        let mut opened = Opened { indexed: trust && file.read_index()?, ..Opened::default() };
        if !opened.indexed {
            file.scan(&mut |place| {
                opened.damages += 1;
                opened.damaged_bytes += place.bytes;
            })?;
        }
        Ok((file, opened))
    }

    /// Reads the head.
    fn begin(storage: S) -> Result<Self, TapeFileError<S::Error>> {
        let mut bytes = [0; HEAD_LEN];
        let read = storage.read_at(0, &mut bytes)?;
        let head = FileHead::decode::<S>(&bytes[..read]).map_err(TapeFileError::Head)?;
        let end = storage.len()?;
        Ok(Self {
            storage,
            head,
            told: Told::of_head(head.session),
            index: Index::default(),
            end,
            gathering: PendingBlocks::default(),
            cache: VecDeque::new(),
        })
    }

    /// Returns the head of the file.
    #[must_use]
    pub fn head(&self) -> FileHead {
        self.head
    }

    /// Returns the number of packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.index.packets() + self.gathering.packets()
    }

    /// Returns the length in bytes, including packets that are not written yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end + self.gathering.packets() * FRAME_LEN as u64
    }

    /// Returns the range from the lowest to the highest sequence.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        self.index.span()
    }

    /// Returns true if the blocks follow one another without gaps and overlaps, so that each
    /// sequence between the first and the last is recorded once. Overlapping blocks, as resends
    /// make them, must be read to find out: [`missing`](Self::missing).
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.gathering.packets() == 0 && self.index.is_contiguous()
    }

    /// Returns the storage.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Returns the storage. Packets that were not flushed are dropped.
    #[must_use]
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Appends packets that the file does not have. They are written when a block is full, or by
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// Errors of the storage. The file can be opened again; packets appended before may be missing.
    pub fn append(
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
                None => self.gathering.begin(origin, arrived),
            };
            let taken = self.gathering.at(place).map_or(0, |pending| pending.take(rest));
            rest = &rest[taken..];
            if !rest.is_empty() {
                let whole = rest.len().min(TOGETHER * FRAMES_MAX) / FRAMES_MAX * FRAMES_MAX;
                let (behind, after) = rest.split_at(whole);
                self.write_pending(place, behind, arrived)?;
                rest = after;
            }
        }
        Ok(())
    }

    /// Writes all appended packets, so that they survive the end of the process.
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

    /// Writes the pending packets of one origin, followed by blocks of the frames in `behind`, in
    /// one write, because a write that ends inside a page costs more.
    fn write_pending(
        &mut self,
        place: usize,
        behind: &[RawFrame],
        arrived: u64,
    ) -> Result<(), TapeFileError<S::Error>> {
        let Some(pending) = self.gathering.at(place) else { return Ok(()) };
        pending.sort();
        let own = pending.bytes.len();
        behind.chunks(FRAMES_MAX).for_each(|frames| pending.add_block(frames));
        let (mut entries, mut offset, mut came) = (Vec::new(), self.end, pending.arrived);
        for bytes in pending.bytes.chunks_mut(BLOCK_MAX) {
            let (place, id) = ((offset, self.head.salt), self.told.id);
            entries.extend(seal::<S>(bytes, pending.origin, came, place, id));
            offset += bytes.len() as u64;
            came = arrived;
        }
        let (len, origin) = (pending.bytes.len(), pending.origin);
        let done = self.storage.append(&pending.bytes);
        pending.bytes.truncate(own);
        self.appended(len, done)?;
        for entry in entries {
            self.index.insert(entry);
            self.told.wrote(entry, origin);
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
        payload.extend(block::index_head(&self.told));
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
    fn write(
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

    /// Returns the packet with a sequence; `None` if the file does not have it.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block.
    pub fn get(&mut self, seq: Seq) -> Result<Option<RawFrame>, TapeFileError<S::Error>> {
        if let Some(frame) = self.gathering.find(seq) {
            return Ok(Some(frame));
        }
        for (entry, frames) in self.cache.iter().filter(|(entry, _)| entry.span.contains(seq)) {
            debug_assert_eq!(entry.count as usize, frames.len());
            if let Ok(at) = frames.binary_search_by_key(&seq, sequence_of) {
                return Ok(Some(frames[at]));
            }
        }
        let holders: Vec<IndexEntry> = self.index.holders(seq).collect();
        for entry in holders {
            let frames = self.block(entry)?;
            if let Ok(at) = frames.binary_search_by_key(&seq, sequence_of) {
                return Ok(Some(frames[at]));
            }
        }
        Ok(None)
    }

    /// Returns the packets of a block, and keeps them for later calls.
    fn block(&mut self, entry: IndexEntry) -> Result<&[RawFrame], TapeFileError<S::Error>> {
        let block = match self.cache.iter().position(|(held, _)| *held == entry) {
            Some(at) => self.cache.remove(at),
            None => None,
        };
        let block = match block {
            Some(block) => block,
            None => (entry, self.load(entry)?.1),
        };
        self.cache.truncate(CACHED - 1);
        self.cache.push_front(block);
        Ok(self.cache.front().map_or(&[], |(_, frames)| frames))
    }

    /// Reads the flushed packets in order of sequence, from `from` on.
    #[must_use]
    pub fn in_order(&self, from: Seq) -> OrderedReader<'_, S> {
        OrderedReader::new(self, from)
    }

    /// Reads the whole file, and returns the sequences missing up to the highest one, and the
    /// number of damaged blocks. Damaged blocks are dropped, so that their packets count as
    /// missing.
    ///
    /// # Errors
    /// Errors of the storage.
    pub fn missing(&mut self) -> Result<(SeqSet, u32), TapeFileError<S::Error>> {
        self.flush()?;
        let mut missing = SeqSet::new();
        let mut next = FIRST_SEQ;
        let mut lost = Vec::new();
        let mut reading = self.in_order(FIRST_SEQ);
        loop {
            match reading.merged() {
                Ok([]) => break,
                Ok(frames) => {
                    for frame in frames {
                        let seq = sequence_of(frame);
                        if let Some(gap) = SeqRange::new(next, seq - 1) {
                            missing.insert(gap);
                        }
                        next = seq + 1;
                    }
                }
                Err(TapeFileError::Damaged { offset, span, .. }) => lost.push((offset, span)),
                Err(error) => return Err(error),
            }
        }
        for &(offset, span) in &lost {
            self.index.remove(offset, span);
        }
        Ok((missing, u32::try_from(lost.len()).unwrap_or(u32::MAX)))
    }

    /// Reads a block of packets, and checks it.
    fn load(
        &self,
        entry: IndexEntry,
    ) -> Result<(BlockHead, Vec<RawFrame>), TapeFileError<S::Error>> {
        let mut head = [0; BLOCK_HEAD_LEN];
        let mut frames: Vec<RawFrame> = alloc::vec![[0; FRAME_LEN]; entry.count as usize];
        let payload = frames.as_flattened_mut();
        let read = self.storage.read_at(entry.offset, &mut head)?
            + self.storage.read_at(entry.offset + BLOCK_HEAD_LEN as u64, payload)?;
        let whole = read == BLOCK_HEAD_LEN + payload.len();
        let sum = S::checksum(payload);
        let span = entry.span;
        let head = BlockHead::decode::<S>(&head, self.head.salt).filter(|head| {
            whole
                && head.span() == Some(span)
                && head.count == entry.count
                && head.sum == sum
                && in_place(&frames, span)
                && (head.session.is_none() || head.session == self.told.id)
        });
        let IndexEntry { offset, count: packets, .. } = entry;
        let bytes = entry.end() - offset;
        let damaged = TapeFileError::Damaged { offset, span, packets, bytes };
        head.map(|head| (head, frames)).ok_or(damaged)
    }
}

/// Writes the head of a block of packets into the room left for it. Returns the block's index
/// entry.
fn seal<S: Storage>(
    bytes: &mut [u8],
    origin: Origin,
    arrived: u64,
    (offset, salt): (u64, u64),
    session: Option<SessionId>,
) -> Option<IndexEntry> {
    let (room, payload) = bytes.split_first_chunk_mut::<BLOCK_HEAD_LEN>()?;
    let frames: &[RawFrame] = payload.as_chunks().0;
    let (first, last) = (sequence_of(frames.first()?), sequence_of(frames.last()?));
    let span = SeqRange::new(first, last)?;
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let (kind, sum) = (BlockKind::Packets(origin), S::checksum(payload));
    let head = BlockHead { kind, first, last, count, arrived, len, sum, session };
    *room = head.encode::<S>(salt);
    Some(IndexEntry { span, count, offset })
}

/// Returns true if the frames are packets that ascend from one end of `span` to the other.
fn in_place(frames: &[RawFrame], span: SeqRange) -> bool {
    let mut top = span.first() - 1;
    let mut odd = 0;
    let mut ascending = true;
    for frame in frames {
        let seq = sequence_of(frame);
        odd |= oddness(frame);
        ascending &= seq > top;
        top = seq;
    }
    let first = frames.first().map(sequence_of);
    odd == 0 && ascending && first == Some(span.first()) && top == span.last()
}
