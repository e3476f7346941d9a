//! Tapes of messages of any length, played from a file in which each message stands behind its
//! length. The file is the user's, or a temporary copy of a file that has no random access.

use crate::error::Failure;
use crate::storage::FileStorage;
use feed::base::rng::mix;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::payload::itch50::Message;
use feed::storage::Storage;
use feed::tape::source::TapeSource;
use feed::wire::{Framing, Messages, Run, SessionId};
use std::collections::VecDeque;
use std::io;

/// Number of bytes after which a block ends. A block is at most one message longer.
const BLOCK: usize = 32 * 1024;

/// Maximum number of blocks kept (about 4 MiB at most), one for each of as many streams.
const BLOCKS_MAX: usize = 32;

/// Beginning of a block of a file.
#[derive(Clone, Copy, Debug)]
struct BlockStart {
    /// Sequence of the chunk's first message.
    first: Seq,
    /// Position of the chunk's first byte in the file.
    offset: u64,
    /// Latest time of a message before it, in nanoseconds since midnight.
    latest: u64,
}

/// Index of a file of messages, and its checksum. It takes 24 bytes for each 32 KiB of the file.
#[derive(Debug)]
pub(super) struct MessageIndex {
    blocks: Vec<BlockStart>,
    /// Sequence of the next message.
    next: Seq,
    /// Position of the next message.
    len: u64,
    latest: u64,
    checksum: u32,
}

impl MessageIndex {
    /// Creates the index of an empty file.
    pub(super) fn new() -> Self {
        Self { blocks: Vec::new(), next: FIRST_SEQ, len: 0, latest: 0, checksum: 0 }
    }

    /// Adds the run that follows in the file, each message behind its length.
    pub(super) fn add(&mut self, run: Run<'_>) {
        let (header, mut offset) = (Framing::Length.header_bytes(), self.len);
        for (seq, message) in run.iter() {
            let start = self.blocks.last().map(|block| block.offset);
            if start.is_none_or(|start| offset - start >= BLOCK as u64) {
                self.blocks.push(BlockStart { first: seq, offset, latest: self.latest });
            }
            self.latest = self.latest.max(time(message));
            self.checksum = crc32c::crc32c_append(self.checksum, message);
            offset += (header + message.len()) as u64;
        }
        (self.len, self.next) = (offset, run.range().last() + 1);
    }

    /// Returns the sequence of the last message; 0 if there is none.
    pub(super) fn last(&self) -> Seq {
        self.next - 1
    }
}

/// Returns the time of a message in nanoseconds since midnight; 0 if it has none.
fn time(message: &[u8]) -> u64 {
    Message::parse(message).ok().and_then(|message| message.timestamp()).map_or(0, |at| at.nanos())
}

/// Block of a file in memory.
#[derive(Debug)]
struct Block {
    first: Seq,
    bytes: Vec<u8>,
    /// Position of each message, and of the end.
    starts: Vec<usize>,
    /// Latest time up to each message.
    times: Vec<u64>,
}

impl Block {
    /// Returns the part of the block in `range`.
    fn part(&self, range: SeqRange) -> Option<Run<'_>> {
        let count = self.times.len();
        let skip = usize::try_from(range.first().checked_sub(self.first)?).ok()?;
        let wanted = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let end = skip.saturating_add(wanted).min(count);
        let bytes = self.bytes.get(*self.starts.get(skip)?..*self.starts.get(end)?)?;
        Run::counted(range.first(), (end - skip) as u64, Framing::Length, bytes)
    }
}

/// Tape of messages in a file, played without loading it into memory.
#[derive(Debug)]
pub struct MessageTape {
    storage: FileStorage,
    index: MessageIndex,
    session: SessionId,
    /// Blocks read last, the latest first, each with its place in the index.
    blocks: VecDeque<(usize, Block)>,
    failure: Option<String>,
}

impl MessageTape {
    /// Creates the tape of a file with the messages of an index. Its session follows from the
    /// messages, so it stays the same while the file does.
    pub(super) fn new(storage: FileStorage, index: MessageIndex) -> Self {
        let bits = mix(index.len ^ mix(u64::from(index.checksum) << 32 ^ index.next));
        let session = SessionId::from_bits(bits);
        Self { storage, index, session, blocks: VecDeque::new(), failure: None }
    }

    /// Returns the place of the block with a message.
    fn place(&self, seq: Seq) -> Option<usize> {
        let is_known = (FIRST_SEQ..=self.index.last()).contains(&seq) && self.failure.is_none();
        let behind = self.index.blocks.partition_point(|block| block.first <= seq);
        behind.checked_sub(1).filter(|_| is_known)
    }

    /// Moves the block with a message to the front, and reads it if necessary.
    fn fetch(&mut self, seq: Seq) -> Option<&Block> {
        let place = self.place(seq)?;
        let held = self.blocks.iter().position(|(held, _)| *held == place);
        let block = match held.and_then(|at| self.blocks.remove(at)) {
            Some((_, block)) => Ok(block),
            None => self.read(place),
        };
        match block {
            Ok(block) => {
                self.blocks.truncate(BLOCKS_MAX - 1);
                self.blocks.push_front((place, block));
                self.blocks.front().map(|(_, block)| block)
            }
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }

    /// Reads a block. Its messages must be those that the index has seen.
    fn read(&self, place: usize) -> Result<Block, String> {
        let changed = || "it was changed while it was played: start again".to_owned();
        let start = *self.index.blocks.get(place).ok_or_else(changed)?;
        let next = self.index.blocks.get(place + 1);
        let end = next.map_or(self.index.len, |next| next.offset);
        let count = next.map_or(self.index.next, |next| next.first) - start.first;
        let mut bytes = vec![0; usize::try_from(end - start.offset).map_err(|_| changed())?];
        let read = self.storage.read_at(start.offset, &mut bytes);
        let read = read.map_err(|error| error.to_string())?;
        let run = Run::new(start.first, Framing::Length, &bytes[..read]);
        let run = run.filter(|run| run.range().len() == count).ok_or_else(changed)?;
        let (mut starts, mut times) = (vec![0], Vec::new());
        let (mut at, mut latest) = (0, start.latest);
        for (_, message) in run.iter() {
            at += Framing::Length.header_bytes() + message.len();
            latest = latest.max(time(message));
            starts.push(at);
            times.push(latest);
        }
        Ok(Block { first: start.first, bytes, starts, times })
    }
}

impl TapeSource for MessageTape {
    fn last(&self) -> Seq {
        self.index.last()
    }

    fn session(&self) -> SessionId {
        self.session
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let run = self.fetch(range.first()).and_then(|block| block.part(range));
        run.map_or(Messages::NONE, Messages::Run)
    }

    /// Returns the time of the message or of the latest one before it, in nanoseconds since
    /// midnight, because such a file has no other times. Times of a tape are only compared with
    /// each other.
    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        let block = self.fetch(seq)?;
        let place = usize::try_from(seq.checked_sub(block.first)?).ok()?;
        block.times.get(place).copied().filter(|&at| at > 0)
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// Temporary file without a name that takes the messages of a tape.
#[derive(Debug)]
pub(super) struct TemporaryMessages {
    storage: FileStorage,
    index: MessageIndex,
    pending: Vec<u8>,
}

/// Number of bytes that are written at once.
const PIECE: usize = 256 * 1024;

impl TemporaryMessages {
    /// Creates the file.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if no temporary file can be created.
    pub(super) fn new() -> Result<Self, Failure> {
        let storage = tempfile::tempfile().and_then(FileStorage::of).map_err(failed)?;
        Ok(Self { storage, index: MessageIndex::new(), pending: Vec::new() })
    }

    /// Adds messages.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if they cannot be written.
    pub(super) fn add(&mut self, run: Run<'_>) -> Result<(), Failure> {
        let start = self.pending.len();
        match run.framing() {
            Framing::Length => self.pending.extend_from_slice(run.bytes()),
            Framing::LengthAndType => run.iter().for_each(|(_, message)| {
                // No run has longer messages.
                let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
                self.pending.extend_from_slice(&length.to_be_bytes());
                self.pending.extend_from_slice(message);
            }),
        }
        let count = run.range().len();
        let added = &self.pending[start..];
        let framed = Run::counted(run.range().first(), count, Framing::Length, added);
        framed.into_iter().for_each(|run| self.index.add(run));
        if self.pending.len() >= PIECE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Failure> {
        self.storage.append(&self.pending).map_err(failed)?;
        self.pending.clear();
        Ok(())
    }

    /// Returns the sequence of the last message; 0 if there is none.
    pub(super) fn last(&self) -> Seq {
        self.index.last()
    }

    /// Returns the tape of all messages.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if they cannot be written.
    pub(super) fn into_tape(mut self) -> Result<MessageTape, Failure> {
        self.write()?;
        Ok(MessageTape::new(self.storage, self.index))
    }
}

fn failed(source: io::Error) -> Failure {
    Failure::Storage { action: "copy messages into", path: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::testing::write_payload;
    use crate::tape::name::AnyTape;
    use feed::payload::itch50::SyntheticMarket;
    use feed::session::completeness::GapPolicy;
    use std::path::Path;

    const LEN: u64 = 9000;

    fn message(seq: Seq) -> Vec<u8> {
        SyntheticMarket::new(3, LEN).message(seq - 1).to_vec()
    }

    fn open(path: &Path) -> MessageTape {
        match crate::tape::recorded::open(path, GapPolicy::Refuse).unwrap() {
            AnyTape::Messages(tape, _) => *tape,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_part_of_a_file_is_played_from_any_format() {
        let folder = tempfile::tempdir().unwrap();
        let messages: Vec<Vec<u8>> = (1..=LEN).map(message).collect();
        let mut sessions = Vec::new();
        for format in [Format::Itch, Format::ItchGz, Format::Ndjson, Format::Csv] {
            let name = if format == Format::ItchGz { "itch.gz" } else { format.name() };
            let path = folder.path().join(format!("x.{}", name.to_lowercase()));
            write_payload(&path, format, &messages);
            let mut tape = open(&path);
            assert_eq!(tape.last(), LEN, "{format:?}");
            sessions.push(tape.session());
            let mut rng = feed::base::rng::Rng::new(1);
            for _ in 0..300 {
                let first = rng.bits() % LEN + 1;
                let last = (first + rng.bits() % 700).min(LEN);
                let range = SeqRange::new(first, last).unwrap();
                let found: Vec<_> = tape.messages(range).iter().collect();
                assert!(!found.is_empty() && found.len() as u64 <= range.len());
                for (expected, (seq, bytes)) in (first..).zip(found) {
                    assert_eq!((seq, bytes), (expected, &message(expected)[..]));
                }
            }
            let mut next = FIRST_SEQ;
            while let Some(rest) = SeqRange::new(next, tape.last()) {
                next = tape.messages(rest).span().unwrap().last() + 1;
            }
            assert!(tape.messages(SeqRange::one(LEN + 1)).is_empty());
            let times: Vec<_> = (1..=LEN).map(|seq| tape.arrived(seq).unwrap_or(0)).collect();
            assert!(times.is_sorted() && times.last().is_some_and(|&at| at > 0));
            assert!(tape.failure().is_none() && tape.arrived(LEN + 1).is_none());
        }
        assert!(sessions.windows(2).all(|two| two[0] == two[1]), "{sessions:?}");
    }

    #[test]
    fn a_file_that_changes_while_it_is_played_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.itch");
        let messages: Vec<Vec<u8>> = (1..=LEN).map(message).collect();
        write_payload(&path, Format::Itch, &messages);
        let mut tape = open(&path);
        assert!(!tape.messages(SeqRange::one(1)).is_empty());
        std::fs::write(&path, b"\0\x01x").unwrap();
        assert!(tape.messages(SeqRange::one(LEN)).is_empty());
        assert!(tape.failure().unwrap().contains("changed while it was played"));
        assert!(tape.messages(SeqRange::one(1)).is_empty());
    }
}
