//! Tape file: a recording that survives crashes and is read in the order of its sequences.
//!
//! The file is a log of blocks, each with checksums, and nothing is ever overwritten. A crash can
//! therefore tear only the end, and a damaged block is recognised; the packets of both count as
//! missing. A finished file ends with an index of its blocks; without one, the index is built by
//! reading the file. `docs/tape.md` describes the bytes.
//!
//! # Guarantees
//!
//! * Packets added before a [`flush`](TapeFile::flush) survive the end of the process, packets
//!   added before a [`sync`](TapeFile::sync) survive a loss of power, provided that the
//!   [`Storage`] keeps its own promises.
//! * Packets that are read were recorded: the head and the payload of their block match their
//!   checksums. (CRC-32C has 32 bits: random damage passes one time in four billion, an attacker
//!   who can write into the file always passes.) A block that does not match is an error,
//!   [`Damaged`](TapeFileError::Damaged).
//! * Opening and reading end without a panic, whatever bytes the file has.
//! * A failing medium is an error, never an empty file or a gap.
//!
//! # No guarantees
//!
//! * Sequences are not unique in the file: the caller adds each of them once, as [`Ledger`] does.
//!   If a sequence was added twice, reading in order returns it once.
//! * A file has one writer. Readers such as
//!   [`FileTapeSource`](crate::tape::source::FileTapeSource) see the packets that the file had when
//!   they opened it.
//!
//! # Costs
//!
//! Memory: 64 KiB for each origin from which packets arrive at the same time (up to
//! [`GATHERED_MAX`]; four times that once several blocks were written together), and 40 bytes for
//! each block. A block has up to 3,855 packets, fewer if the
//! writer flushes before; a block of other messages is one run, so a gap ends it as well. Reading
//! in order keeps the blocks that span the current sequence.
//!
//! Time: an append copies its packets, and writes 64 KiB once a block is full;
//! [`get`](TapeFile::get) reads a block, unless it is the block of the last call.
//!
//! # Example
//!
//! ```
//! use feed::ledger::{Origin, Source};
//! use feed::base::seq::FIRST_SEQ;
//! use feed::sim::disk::Disk;
//! use feed::tape::in_memory::Tape;
//! use feed::tape::file::{FileHead, OpenMode, TapeFile};
//!
//! let tape = Tape::sample(5);
//! let (early, late) = tape.frames().split_at(3);
//! let head = FileHead { session: None, created: 0, salt: 7 };
//! let mut file = TapeFile::create(Disk::new(), head)?;
//! let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
//! file.append(stream, 1_000, late)?;
//! file.append(Origin { line: 0, source: Source::Resend }, 2_000, early)?;
//! file.finish(3_000)?;
//!
//! let (mut file, opened) = TapeFile::open(file.into_storage(), OpenMode::Index)?;
//! assert!(opened.indexed);
//! assert_eq!(file.get(4)?, Some(tape.frames()[3]));
//! let mut reading = file.in_order(FIRST_SEQ);
//! let mut frames = Vec::new();
//! while let Some(piece) = reading.next()? {
//!     frames.extend_from_slice(piece.packets());
//! }
//! assert_eq!(frames, tape.frames());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Ledger`]: crate::ledger::Ledger

mod append;
mod block;
mod content;
mod damage;
mod index;
mod open;
pub(crate) mod ordered_reader;
pub(crate) mod pending_blocks;
mod run_reader;
mod session;

pub use crate::session::tail::SessionEnd;
pub use crate::tape::file::ordered_reader::{OrderedPiece, OrderedReader};
pub use crate::tape::file::pending_blocks::GATHERED_MAX;
pub use block::{BlockHead, BlockKind, FileHead, FileHeadError, Layout, MAGIC, VERSION};
pub use damage::{Damage, OpenMode, Opened, TapeFileError};
pub use open::{is_stillborn, is_tape};

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet, to_index};
use crate::storage::Storage;
use crate::tape::file::pending_blocks::PendingBlocks;
use crate::wire::{Messages, RawFrame, Run};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use block::{BLOCK_HEAD_LEN, HEAD_LEN, IndexEntry};
use content::Content;
use index::Index;
use session::KnownSession;

/// Tape file, open for appending and reading.
///
/// Concept: [tape](crate#tape).
#[derive(Debug)]
pub struct TapeFile<S> {
    storage: S,
    head: FileHead,
    session: KnownSession,
    index: Index,
    /// Offset of the next block.
    end: u64,
    gathering: PendingBlocks,
    /// Blocks read last, the latest first.
    cache: VecDeque<(IndexEntry, Content)>,
}

/// Receiver of messages that differ: sequence, stored message, other message.
pub type DifferConsumer<'a> = &'a mut dyn FnMut(Seq, &[u8], &[u8]);

/// Maximum number of blocks kept in memory for [`TapeFile::get`] (1 MiB in all).
const CACHED: usize = 16;

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
            session: KnownSession::of_head(head.session),
            index: Index::default(),
            end: HEAD_LEN as u64,
            gathering: PendingBlocks::default(),
            cache: VecDeque::new(),
        })
    }

    /// Opens a file, and learns from its index or from all its blocks which messages it has.
    ///
    /// # Errors
    /// Returns an error if the storage has no tape file, or fails. Damage is not an error;
    /// [`Opened`] reports it.
    pub fn open(storage: S, mode: OpenMode) -> Result<(Self, Opened), TapeFileError<S::Error>> {
        let mut file = Self::begin(storage)?;
        let mut opened =
            Opened { indexed: mode == OpenMode::Index && file.read_index()?, ..Opened::default() };
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
            session: KnownSession::of_head(head.session),
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

    /// Returns the number of messages.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.index.packets() + self.gathering.count()
    }

    /// Returns the length in bytes, including packets that are not written yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end + self.gathering.bytes()
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
        self.gathering.count() == 0 && self.index.is_contiguous()
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

    /// Returns the layout of the file's messages; `None` as long as it has none.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        self.index.layout().or(self.gathering.layout())
    }

    /// Returns the packet with a sequence; `None` if the file does not have it.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block.
    pub fn get(&mut self, seq: Seq) -> Result<Option<RawFrame>, TapeFileError<S::Error>> {
        if let Some(frame) = self.gathering.find(seq) {
            return Ok(Some(frame));
        }
        let packet = |content: &Content| match content {
            Content::Packets(_) => content.find(seq).and_then(|message| message.try_into().ok()),
            Content::Run { .. } => None,
        };
        for (_, content) in self.cache.iter().filter(|(entry, _)| entry.span.contains(seq)) {
            if let Some(frame) = packet(content) {
                return Ok(Some(frame));
            }
        }
        let holders: Vec<IndexEntry> = self.index.holders(seq).collect();
        for entry in holders {
            if let Some(frame) = packet(self.block(entry)?) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Compares the messages of a run with the file's messages of the same sequences, and passes
    /// those that differ to `differ`: sequence, stored message, other message.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block.
    pub fn compare(
        &mut self,
        run: Run<'_>,
        differ: DifferConsumer<'_>,
    ) -> Result<(), TapeFileError<S::Error>> {
        let mut rest = Some(run.range());
        while let Some(range) = rest {
            let first = range.first();
            let holder = self.index.holders(first).next();
            let stored = match (self.gathering.run_with(first), holder) {
                (Some(run), _) => Messages::Run(run),
                (None, Some(entry)) => self.block(entry)?.messages(),
                (None, None) => Messages::NONE,
            };
            let Messages::Run(stored) = stored else {
                rest = range.from(first + 1);
                continue;
            };
            let common = stored.range().intersect(range).unwrap_or(SeqRange::one(first));
            if let (Some(stored), Some(other)) = (stored.part(common), run.part(common))
                && (stored.framing() != other.framing() || stored.bytes() != other.bytes())
            {
                let pairs = stored.iter().zip(other.iter());
                for ((seq, stored), (_, other)) in pairs.filter(|(one, two)| one.1 != two.1) {
                    differ(seq, stored, other);
                }
            }
            rest = range.from(common.last() + 1);
        }
        Ok(())
    }

    /// Returns the messages of a block, and keeps them for later calls.
    fn block(&mut self, entry: IndexEntry) -> Result<&Content, TapeFileError<S::Error>> {
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
        Ok(self.cache.front().map_or(const { &Content::none() }, |(_, content)| content))
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
                Ok(Messages::Packets([])) => break,
                Ok(messages) => {
                    for range in messages.ranges() {
                        if let Some(gap) = SeqRange::new(next, range.first() - 1) {
                            missing.insert(gap);
                        }
                        next = range.last() + 1;
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

    /// Reads a block of messages, and checks it.
    fn load(&self, entry: IndexEntry) -> Result<(BlockHead, Content), TapeFileError<S::Error>> {
        let IndexEntry { span, count, layout, len, offset } = entry;
        let mut head = [0; BLOCK_HEAD_LEN];
        let mut content = Content::with_len(layout, span, to_index(len.into()));
        let payload = content.payload();
        let read = self.storage.read_at(offset, &mut head)?
            + self.storage.read_at(offset + BLOCK_HEAD_LEN as u64, payload)?;
        let whole = read == BLOCK_HEAD_LEN + payload.len();
        let sum = S::checksum(payload);
        let head = BlockHead::decode::<S>(&head, self.head.salt).filter(|head| {
            whole
                && head.span() == Some(span)
                && matches!(head.kind, BlockKind::Messages(_, stored) if stored == layout)
                && (head.count, head.len, head.sum) == (count, len, sum)
                && content::is_in_place(layout, span, payload)
                && (head.session.is_none() || head.session == self.session.id)
        });
        let bytes = entry.end() - offset;
        let damaged = TapeFileError::Damaged { offset, span, packets: count, bytes };
        head.map(|head| (head, content)).ok_or(damaged)
    }
}
