//! The tape file: a recording that survives crashes, read in the order of its sequences.
//!
//! It is a log of blocks, each with checksums of its own; nothing in it is ever overwritten. So a
//! crash can tear only what was being added, a damaged block is known as such, and both are simply
//! missing from what was recorded. A finished file ends with an index of its blocks; without one
//! the index is made again by reading. `docs/tape.md` describes the bytes.
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
//! * A file has one writer. [`FileTapeSource`](crate::tape::source::FileTapeSource) and other readers see what
//!   was there when they opened it.
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
//! let mut file = TapeFile::create(Disk::new(), FileHead { session: [0; 4], created: 0, salt: 7 })?;
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

/// A tape file, open for adding and for reading.
#[derive(Debug)]
pub struct TapeFile<S> {
    storage: S,
    head: FileHead,
    told: Told,
    index: Index,
    /// Where the next block will begin.
    end: u64,
    gathering: PendingBlocks,
    /// The blocks that were looked into last, the latest first.
    cache: VecDeque<(IndexEntry, Vec<RawFrame>)>,
}

/// So many blocks are kept to be looked into again (1 MiB in all).
const CACHED: usize = 16;

/// So many blocks at most are written behind one that is full, together with it.
const TOGETHER: usize = 3;

impl<S: Storage> TapeFile<S> {
    /// Begins a file on an empty medium.
    ///
    /// # Errors
    /// What the medium reports.
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

    /// Opens a file: by its index if it has one and `trust` allows it, else by reading all of it.
    ///
    /// # Errors
    /// Where it is no tape file, or the medium fails. Damage is no error; it is told.
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

    /// What stands at its beginning.
    #[must_use]
    pub fn head(&self) -> FileHead {
        self.head
    }

    /// How many packets it has.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.index.packets() + self.gathering.packets()
    }

    /// How long it is, in bytes, with what is not written yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end + self.gathering.packets() * FRAME_LEN as u64
    }

    /// The lowest and the highest sequence in its blocks.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        self.index.span()
    }

    /// Whether its blocks lie one behind the other without a gap, so that nothing between its first
    /// and its last sequence is missing or there twice. Blocks that overlap, as those of resends
    /// do, must be read to find that out: [`missing`](Self::missing).
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.gathering.packets() == 0 && self.index.is_contiguous()
    }

    /// The medium.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Gives the medium back; what was not flushed is lost.
    #[must_use]
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Adds packets that it does not have. They are written once a block is full, or by
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the medium reports. The file can be opened again; what was added may be missing.
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

    /// Writes what was added, so that it survives the end of this process.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush(&mut self) -> Result<(), TapeFileError<S::Error>> {
        while self.gathering.at(0).is_some() {
            self.write_pending(0, &[], 0)?;
        }
        Ok(())
    }

    /// Writes what was added from this origin: what follows from it is a block of its own, with a
    /// time of its own.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush_origin(&mut self, origin: Origin) -> Result<(), TapeFileError<S::Error>> {
        self.gathering.place(origin).map_or(Ok(()), |place| self.write_pending(place, &[], 0))
    }

    /// Writes what one origin has brought, and `behind` it blocks of what it brings now, all at
    /// once: the fewer writes end in the middle of a page, the less they cost.
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

    /// Flushes, and makes it survive a loss of power.
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
        // What session blocks said, so that they need not be looked for.
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

    /// Moves the end behind what was added, also where only part of it was.
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

    /// The packet with this sequence.
    ///
    /// # Errors
    /// Where the medium fails or the block that has it is damaged.
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

    /// A block's packets, kept for the next time.
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

    /// Reads in the order of sequences, from `from` on, what was flushed.
    #[must_use]
    pub fn in_order(&self, from: Seq) -> OrderedReader<'_, S> {
        OrderedReader::new(self, from)
    }

    /// What is missing up to the highest sequence; reads everything. Damaged blocks are forgotten,
    /// so that what they held is missing; returns how many there were, too.
    ///
    /// # Errors
    /// What the medium reports.
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

    /// Reads a block of packets and checks it.
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

/// Writes the head of a block of packets, which has room for it, and returns its place in the file.
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

/// Whether frames are packets that ascend from one end of `span` to the other.
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
