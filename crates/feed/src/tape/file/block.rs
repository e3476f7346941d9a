//! Bytes of a tape file (described in `docs/tape.md`).

use super::session::KnownSession;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::ledger::{Origin, Source};
use crate::session::tail::SessionEnd;
use crate::storage::Storage;
use crate::wire::messages::MESSAGE_MAX;
use crate::wire::{FRAME_LEN, Framing, Messages, SessionId};
use alloc::vec::Vec;

/// Version of the format written here.
pub const VERSION: u16 = 3;

/// Length of a file's head, in bytes.
pub(super) const HEAD_LEN: usize = 48;
/// Length of a block's head, in bytes.
pub(super) const BLOCK_HEAD_LEN: usize = 64;
/// Length of the trailer of a finished file, in bytes.
pub(super) const TRAILER_LEN: usize = 24;
/// Payload of a full block of packets, in bytes, from which a block of a run is written, too.
pub(super) const PAYLOAD_MAX: usize = FRAMES_MAX * FRAME_LEN;
/// Maximum payload of a block of a run, in bytes: less than a full block, and one message more.
pub(super) const RUN_PAYLOAD_MAX: usize = PAYLOAD_MAX + 3 + MESSAGE_MAX;
/// Maximum number of packets in a block.
pub(super) const FRAMES_MAX: usize = 64 * 1024 / FRAME_LEN;
/// Length of a full block, in bytes.
pub(super) const BLOCK_MAX: usize = BLOCK_HEAD_LEN + PAYLOAD_MAX;
/// Maximum payload that is accepted, in bytes: an index of a hundred billion packets is shorter.
const PAYLOAD_LIMIT: u32 = 1 << 30;

/// First bytes of a tape file: not text, so that no text file is taken for a tape and no tape
/// survives being treated as text.
pub const MAGIC: [u8; 8] = *b"\x8aTAPE\r\n\x1a";
const TRAILER_MAGIC: [u8; 8] = *b"\x8aINDEX\r\n";
pub(super) const BLOCK_MAGIC: [u8; 4] = *b"\x8aBLK";

/// Head of a tape file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHead {
    /// Session id, if it was known when the file was created.
    pub session: Option<SessionId>,
    /// Time when the file was created, in nanoseconds since 1970.
    pub created: u64,
    /// Random number that is part of the checksum of each block's head, so that a peer cannot craft
    /// a packet that looks like a block.
    pub salt: u64,
}

/// Returns true if these are the first bytes of a head, as far as they go.
pub(super) fn begins_head(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes) || bytes.starts_with(&MAGIC)
}

/// Reason why a file is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileHeadError {
    /// File shorter than a head.
    Short,
    /// File of another kind.
    Foreign,
    /// Tape of an earlier version.
    Older(u16),
    /// Tape of a later version.
    Newer(u16),
    /// Tape of packets with another length.
    PacketSize(u16),
    /// Head that does not match its checksum.
    Damaged,
}

impl core::fmt::Display for FileHeadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => f.write_str("it is too short for a tape file"),
            Self::Foreign => f.write_str("it is no tape file"),
            Self::Older(version) => write!(
                f,
                "it is a tape file of version {version}, whose sequences have 32 bits; this \
                 program reads version {VERSION}: record the session again, or read the file with \
                 the program that wrote it"
            ),
            Self::Newer(version) => write!(
                f,
                "it is a tape file of version {version}; this program reads up to {VERSION}"
            ),
            Self::PacketSize(size) => {
                write!(f, "its packets have {size} bytes; this program knows {FRAME_LEN}")
            }
            Self::Damaged => f.write_str("its first bytes are damaged"),
        }
    }
}

impl core::error::Error for FileHeadError {}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

/// Writer of fields one after the other.
struct FieldWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl FieldWriter<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) -> &mut Self {
        self.bytes[self.at..self.at + N].copy_from_slice(&field);
        self.at += N;
        self
    }
}

impl FileHead {
    pub(super) fn encode<S: Storage>(&self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        let packet_size = u16::try_from(FRAME_LEN).unwrap_or(0);
        FieldWriter { bytes: &mut bytes, at: 0 }
            .put(MAGIC)
            .put(VERSION.to_be_bytes())
            .put(packet_size.to_be_bytes())
            .put(session_bytes(self.session))
            .put(self.created.to_be_bytes())
            .put(self.salt.to_be_bytes());
        let sum = S::checksum(&bytes[..HEAD_LEN - 4]);
        bytes[HEAD_LEN - 4..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    pub(super) fn decode<S: Storage>(bytes: &[u8]) -> Result<Self, FileHeadError> {
        if bytes.len() >= MAGIC.len() && bytes[..MAGIC.len()] != MAGIC {
            return Err(FileHeadError::Foreign);
        }
        if bytes.len() < HEAD_LEN {
            return Err(FileHeadError::Short);
        }
        // The version is checked first, because a later version may differ in all that follows, its
        // checksum included.
        match be16(bytes, 8) {
            VERSION => {}
            0 => return Err(FileHeadError::Damaged),
            version if version < VERSION => return Err(FileHeadError::Older(version)),
            version => return Err(FileHeadError::Newer(version)),
        }
        if S::checksum(&bytes[..HEAD_LEN - 4]) != be32(bytes, HEAD_LEN - 4) {
            return Err(FileHeadError::Damaged);
        }
        match be16(bytes, 10) {
            size if usize::from(size) == FRAME_LEN => {}
            size => return Err(FileHeadError::PacketSize(size)),
        }
        Ok(Self { session: session_at(bytes, 12), created: be64(bytes, 22), salt: be64(bytes, 30) })
    }
}

/// Returns the bytes of a session id; NUL bytes for none.
fn session_bytes(session: Option<SessionId>) -> [u8; SessionId::LEN] {
    session.map_or([0; SessionId::LEN], |id| id.padded())
}

/// Returns the session id at an offset; `None` for NUL bytes.
fn session_at(bytes: &[u8], at: usize) -> Option<SessionId> {
    let id = *bytes.get(at..)?.first_chunk()?;
    (id != [0; SessionId::LEN]).then_some(SessionId::new(id))
}

/// Layout of a block's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Order packets in ascending order.
    Packets,
    /// One run of consecutive messages.
    Run(Framing),
}

impl Layout {
    /// Returns the layout in which messages are stored.
    pub(super) fn of(messages: Messages<'_>) -> Self {
        match messages {
            Messages::Packets(_) => Self::Packets,
            Messages::Run(run) => Self::Run(run.framing()),
        }
    }

    /// Returns true if a file may have blocks of both layouts.
    pub(super) fn fits(self, other: Self) -> bool {
        matches!((self, other), (Self::Packets, Self::Packets) | (Self::Run(_), Self::Run(_)))
    }

    fn code(self) -> u8 {
        match self {
            Self::Packets => 1,
            Self::Run(Framing::Length) => 4,
            Self::Run(Framing::LengthAndType) => 5,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        let all = [Self::Packets, Self::Run(Framing::Length), Self::Run(Framing::LengthAndType)];
        all.into_iter().find(|layout| layout.code() == code)
    }

    /// Returns true if `count` messages from one end of `span` to the other can have a payload of
    /// `len` bytes.
    fn is_possible(self, span: SeqRange, count: u32, len: u32) -> bool {
        let (bytes, messages) = (u64::from(len), u64::from(count));
        match self {
            Self::Packets => {
                (1..=span.len()).contains(&messages)
                    && bytes == messages * FRAME_LEN as u64
                    && len as usize <= PAYLOAD_MAX
            }
            Self::Run(framing) => {
                messages == span.len()
                    && bytes >= messages * framing.header_bytes() as u64
                    && len as usize <= RUN_PAYLOAD_MAX
            }
        }
    }
}

/// Kind of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockKind {
    /// Block of messages in ascending order. A sequence is at most once in the file.
    Messages(Origin, Layout),
    /// Session block. The payload has the session's id, and the offsets of earlier blocks that
    /// belong to the session; `first` and `last` are those of the session.
    Session(SessionEnd),
    /// Index of the blocks of messages.
    Index,
}

/// Head of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHead {
    /// Kind of the payload.
    pub kind: BlockKind,
    /// Lowest sequence of the block.
    pub first: Seq,
    /// Highest sequence of the block.
    pub last: Seq,
    /// Number of messages, or of index entries.
    pub count: u32,
    /// Arrival time of the first message, in nanoseconds since 1970.
    pub arrived: u64,
    /// Length of the payload, in bytes.
    pub len: u32,
    /// Checksum of the payload.
    pub sum: u32,
    /// Session of the messages, if it was known when they were written.
    pub session: Option<SessionId>,
}

impl BlockHead {
    /// Returns the sequences that a block of messages spans; `None` for other blocks.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        match self.kind {
            BlockKind::Messages(..) => SeqRange::new(self.first, self.last),
            _ => None,
        }
    }

    pub(super) fn encode<S: Storage>(&self, salt: u64) -> [u8; BLOCK_HEAD_LEN] {
        let (kind, source, line, pass) = match self.kind {
            BlockKind::Messages(Origin { line, source: Source::Stream { pass } }, layout) => {
                (layout.code(), 1, line, pass)
            }
            BlockKind::Messages(Origin { line, source: Source::Resend }, layout) => {
                (layout.code(), 2, line, 0)
            }
            BlockKind::Session(end) => (2, end.code(), 0, 0),
            BlockKind::Index => (3, 0, 0, 0),
        };
        let mut bytes = [0; BLOCK_HEAD_LEN];
        FieldWriter { bytes: &mut bytes, at: 0 }
            .put(BLOCK_MAGIC)
            .put([kind, source])
            .put(line.to_be_bytes())
            .put(pass.to_be_bytes())
            .put(self.first.to_be_bytes())
            .put(self.last.to_be_bytes())
            .put(self.count.to_be_bytes())
            .put(self.arrived.to_be_bytes())
            .put(self.len.to_be_bytes())
            .put(self.sum.to_be_bytes())
            .put(session_bytes(self.session));
        let sum = salted::<S>(&bytes, salt);
        bytes[BLOCK_HEAD_LEN - 4..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Decodes the block head at the beginning of `bytes`; `None` if there is none.
    pub(super) fn decode<S: Storage>(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<BLOCK_HEAD_LEN>()?;
        if !bytes.starts_with(&BLOCK_MAGIC)
            || salted::<S>(bytes, salt) != be32(bytes, BLOCK_HEAD_LEN - 4)
        {
            return None;
        }
        let line = be16(bytes, 6);
        let kind = match (bytes[4], bytes[5]) {
            (2, code) => BlockKind::Session(SessionEnd::of_code(code)),
            (3, _) => BlockKind::Index,
            (code, source) => {
                let source = match source {
                    1 => Source::Stream { pass: be32(bytes, 8) },
                    2 => Source::Resend,
                    _ => return None,
                };
                BlockKind::Messages(Origin { line, source }, Layout::of_code(code)?)
            }
        };
        let head = Self {
            kind,
            first: be64(bytes, 12),
            last: be64(bytes, 20),
            count: be32(bytes, 28),
            arrived: be64(bytes, 32),
            len: be32(bytes, 40),
            sum: be32(bytes, 44),
            session: session_at(bytes, 48),
        };
        head.sensible().then_some(head)
    }

    /// Returns true if the fields are consistent. A writer that knew the salt may still have had a
    /// bug.
    fn sensible(&self) -> bool {
        match self.kind {
            BlockKind::Messages(_, layout) => legal_span(self.first, self.last)
                .is_some_and(|span| layout.is_possible(span, self.count, self.len)),
            BlockKind::Session(_) => {
                self.len as usize >= SESSION_LEN
                    && self.len <= PAYLOAD_LIMIT
                    && self.len.is_multiple_of(8)
            }
            BlockKind::Index => self.len <= PAYLOAD_LIMIT,
        }
    }
}

/// Returns the range of legal sequences from `first` to `last`, if there is one.
fn legal_span(first: Seq, last: Seq) -> Option<SeqRange> {
    SeqRange::new(first, last).filter(|_| first >= FIRST_SEQ && last <= MAX_SEQ)
}

/// Length of the session id in a session block's payload, with room, in bytes.
const SESSION_LEN: usize = 16;

/// Returns the payload of a session block.
pub(super) fn session_payload(session: Option<SessionId>, vouched: &[u64]) -> Vec<u8> {
    let mut payload = session_bytes(session).to_vec();
    payload.resize(SESSION_LEN, 0);
    vouched.iter().for_each(|offset| payload.extend(offset.to_be_bytes()));
    payload
}

/// Reads the session of such a payload, and the offsets of the blocks that belong to it.
pub(super) fn read_session(
    payload: &[u8],
) -> Option<(Option<SessionId>, impl Iterator<Item = u64> + '_)> {
    let (id, offsets) = payload.split_at_checked(SESSION_LEN)?;
    let offsets = offsets.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
    Some((session_at(id, 0), offsets))
}

/// Length of an index's head, in bytes.
pub(super) const INDEX_HEAD_LEN: usize = 32;

/// Returns the head of an index, which describes the session.
pub(super) fn index_head(known: &KnownSession) -> [u8; INDEX_HEAD_LEN] {
    let mut bytes = [0; INDEX_HEAD_LEN];
    FieldWriter { bytes: &mut bytes, at: 0 }
        .put(session_bytes(known.id))
        .put(known.first.to_be_bytes())
        .put(known.last.to_be_bytes())
        .put([known.end.code()]);
    bytes
}

/// Reads the session from the head of an index: its id, first and last sequence, and end.
pub(super) fn read_index_head(
    bytes: &[u8; INDEX_HEAD_LEN],
) -> (Option<SessionId>, (Seq, Seq), SessionEnd) {
    (session_at(bytes, 0), (be64(bytes, 10), be64(bytes, 18)), SessionEnd::of_code(bytes[26]))
}

/// Returns the checksum of a block's head, computed with the salt in the place of the checksum.
fn salted<S: Storage>(bytes: &[u8; BLOCK_HEAD_LEN], salt: u64) -> u32 {
    let mut salty = [0; BLOCK_HEAD_LEN + 4];
    salty[..BLOCK_HEAD_LEN - 4].copy_from_slice(&bytes[..BLOCK_HEAD_LEN - 4]);
    salty[BLOCK_HEAD_LEN - 4..].copy_from_slice(&salt.to_be_bytes());
    S::checksum(&salty)
}

/// Returns the trailer of a finished file whose index block begins at `index`.
pub(super) fn trailer<S: Storage>(index: u64, salt: u64) -> [u8; TRAILER_LEN] {
    let mut bytes = [0; TRAILER_LEN];
    FieldWriter { bytes: &mut bytes, at: 0 }.put(TRAILER_MAGIC).put(index.to_be_bytes());
    let sum = S::checksum(&[&bytes[..16], &salt.to_be_bytes()].concat());
    bytes[16..20].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Returns the offset of the index block if `bytes` are a trailer.
pub(super) fn read_trailer<S: Storage>(bytes: &[u8], salt: u64) -> Option<u64> {
    let bytes = bytes.first_chunk::<TRAILER_LEN>()?;
    let index = be64(bytes, 8);
    (*bytes == trailer::<S>(index, salt)).then_some(index)
}

/// Index entry: the place of a block of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IndexEntry {
    /// Range from the block's first message to its last.
    pub(super) span: SeqRange,
    pub(super) count: u32,
    pub(super) layout: Layout,
    /// Length of the block's payload in bytes.
    pub(super) len: u32,
    /// Offset of the block's head.
    pub(super) offset: u64,
}

/// Length of an entry in the file, in bytes.
pub(super) const ENTRY_LEN: usize = 36;

impl IndexEntry {
    /// Returns the offset of the block's end.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(BLOCK_HEAD_LEN as u64 + u64::from(self.len))
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        FieldWriter { bytes: &mut bytes, at: 0 }
            .put(self.span.first().to_be_bytes())
            .put(self.span.last().to_be_bytes())
            .put(self.count.to_be_bytes())
            .put(self.len.to_be_bytes())
            .put(self.offset.to_be_bytes())
            .put([self.layout.code()]);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let span = legal_span(be64(bytes, 0), be64(bytes, 8))?;
        let (count, len, layout) = (be32(bytes, 16), be32(bytes, 20), Layout::of_code(bytes[32])?);
        let entry = Self { span, count, layout, len, offset: be64(bytes, 24) };
        layout.is_possible(span, count, len).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::Disk;

    #[test]
    fn sequences_of_64_bits_survive() {
        let span = SeqRange::new(MAX_SEQ - 9, MAX_SEQ).unwrap();
        let (layout, len) = (Layout::Run(Framing::Length), 170);
        let entry = IndexEntry { span, count: 10, layout, len, offset: 1 << 50 };
        assert_eq!(IndexEntry::decode(&entry.encode()), Some(entry));
        let head = BlockHead {
            kind: BlockKind::Messages(Origin { line: 1, source: Source::Resend }, layout),
            first: span.first(),
            last: span.last(),
            count: 10,
            arrived: u64::MAX,
            len,
            sum: 7,
            session: Some(SessionId::new(*b"TEN LETTER")),
        };
        assert_eq!(BlockHead::decode::<Disk>(&head.encode::<Disk>(3), 3), Some(head));
        let beyond = BlockHead { last: MAX_SEQ + 1, ..head };
        assert_eq!(BlockHead::decode::<Disk>(&beyond.encode::<Disk>(3), 3), None);
        let mut known = KnownSession::of_head(head.session);
        (known.first, known.last) = (1, MAX_SEQ);
        let read = read_index_head(&index_head(&known));
        assert_eq!((read.0, read.1), (head.session, (1, MAX_SEQ)));
    }
}
