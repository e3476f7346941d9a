//! Bytes of a tape file (described in `docs/tape.md`).

use super::session::Told;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::ledger::{Origin, Source};
use crate::session::tail::SessionEnd;
use crate::storage::Storage;
use crate::wire::{FRAME_LEN, SessionId};
use alloc::vec::Vec;

/// Version of the format written here.
pub const VERSION: u16 = 3;

/// Length of a file's head, in bytes.
pub(super) const HEAD_LEN: usize = 48;
/// Length of a block's head, in bytes.
pub(super) const BLOCK_HEAD_LEN: usize = 56;
/// Length of the trailer of a finished file, in bytes.
pub(super) const TRAILER_LEN: usize = 24;
/// Maximum payload of a block of packets, in bytes.
pub(super) const PAYLOAD_MAX: usize = FRAMES_MAX * FRAME_LEN;
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
    /// Session id, if it was known when the file was created; else four NUL bytes.
    pub session: [u8; 4],
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
            .put(self.session)
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
        Ok(Self {
            session: [bytes[12], bytes[13], bytes[14], bytes[15]],
            created: be64(bytes, 16),
            salt: be64(bytes, 24),
        })
    }
}

/// Returns the bytes of a session id; NUL bytes for none.
pub(super) fn session_bytes(session: Option<SessionId>) -> [u8; 4] {
    session.map_or([0; 4], |SessionId(id)| id)
}

/// Returns the session id of bytes; `None` for NUL bytes.
pub(super) fn session_of(bytes: [u8; 4]) -> Option<SessionId> {
    (bytes != [0; 4]).then_some(SessionId(bytes))
}

/// Kind of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockKind {
    /// Block of ascending packets. A sequence is at most once in the file.
    Packets(Origin),
    /// Session block. The payload has the session's id, and the offsets of earlier blocks that
    /// belong to the session; `first` and `last` are those of the session.
    Session(SessionEnd),
    /// Index of the blocks of packets.
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
    /// Number of packets, or of index entries.
    pub count: u32,
    /// Arrival time of the first packet, in nanoseconds since 1970.
    pub arrived: u64,
    /// Length of the payload, in bytes.
    pub len: u32,
    /// Checksum of the payload.
    pub sum: u32,
    /// Session of the packets, if it was known when they were written.
    pub session: Option<SessionId>,
}

impl BlockHead {
    /// Returns the sequences that a block of packets spans; `None` for other blocks.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        match self.kind {
            BlockKind::Packets(_) => SeqRange::new(self.first, self.last),
            _ => None,
        }
    }

    pub(super) fn encode<S: Storage>(&self, salt: u64) -> [u8; BLOCK_HEAD_LEN] {
        let (kind, source, line, pass) = match self.kind {
            BlockKind::Packets(Origin { line, source: Source::Stream { pass } }) => {
                (1, 1, line, pass)
            }
            BlockKind::Packets(Origin { line, source: Source::Resend }) => (1, 2, line, 0),
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
            (1, 1) => {
                BlockKind::Packets(Origin { line, source: Source::Stream { pass: be32(bytes, 8) } })
            }
            (1, 2) => BlockKind::Packets(Origin { line, source: Source::Resend }),
            (2, code) => BlockKind::Session(SessionEnd::of_code(code)),
            (3, _) => BlockKind::Index,
            _ => return None,
        };
        let head = Self {
            kind,
            first: be64(bytes, 12),
            last: be64(bytes, 20),
            count: be32(bytes, 28),
            arrived: be64(bytes, 32),
            len: be32(bytes, 40),
            sum: be32(bytes, 44),
            session: session_of([bytes[48], bytes[49], bytes[50], bytes[51]]),
        };
        head.sensible().then_some(head)
    }

    /// Returns true if the fields are consistent. A writer that knew the salt may still have had a
    /// bug.
    fn sensible(&self) -> bool {
        let packets = u64::from(self.count) * FRAME_LEN as u64;
        match self.kind {
            BlockKind::Packets(_) => {
                self.first >= FIRST_SEQ
                    && self.last <= MAX_SEQ
                    && self.first <= self.last
                    && self.count >= 1
                    && u64::from(self.count - 1) <= self.last - self.first
                    && packets == u64::from(self.len)
                    && self.len as usize <= PAYLOAD_MAX
            }
            BlockKind::Session(_) => {
                self.len >= 4 && self.len <= PAYLOAD_LIMIT && self.len % 8 == 4
            }
            BlockKind::Index => self.len <= PAYLOAD_LIMIT,
        }
    }
}

/// Returns the payload of a session block.
pub(super) fn session_payload(session: Option<SessionId>, vouched: &[u64]) -> Vec<u8> {
    let mut payload = session_bytes(session).to_vec();
    vouched.iter().for_each(|offset| payload.extend(offset.to_be_bytes()));
    payload
}

/// Reads the session of such a payload, and the offsets of the blocks that belong to it.
pub(super) fn read_session(
    payload: &[u8],
) -> Option<(Option<SessionId>, impl Iterator<Item = u64> + '_)> {
    let (id, offsets) = payload.split_first_chunk::<4>()?;
    let offsets = offsets.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
    Some((session_of(*id), offsets))
}

/// Length of an index's head, in bytes.
pub(super) const INDEX_HEAD_LEN: usize = 24;

/// Returns the head of an index, which describes the session.
pub(super) fn index_head(told: &Told) -> [u8; INDEX_HEAD_LEN] {
    let mut bytes = [0; INDEX_HEAD_LEN];
    FieldWriter { bytes: &mut bytes, at: 0 }
        .put(session_bytes(told.id))
        .put(told.first.to_be_bytes())
        .put(told.last.to_be_bytes())
        .put([told.end.code()]);
    bytes
}

/// Reads the session from the head of an index: its id, first and last sequence, and end.
pub(super) fn read_index_head(
    bytes: &[u8; INDEX_HEAD_LEN],
) -> (Option<SessionId>, (Seq, Seq), SessionEnd) {
    let id = session_of([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (id, (be64(bytes, 4), be64(bytes, 12)), SessionEnd::of_code(bytes[20]))
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

/// Index entry: the place of a block of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IndexEntry {
    /// Range from the block's first packet to its last.
    pub(super) span: SeqRange,
    pub(super) count: u32,
    /// Offset of the block's head.
    pub(super) offset: u64,
}

/// Length of an entry in the file, in bytes.
pub(super) const ENTRY_LEN: usize = 28;

impl IndexEntry {
    /// Returns the offset of the block's end.
    pub(super) fn end(&self) -> u64 {
        let payload = u64::from(self.count) * FRAME_LEN as u64;
        self.offset.saturating_add(BLOCK_HEAD_LEN as u64 + payload)
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        FieldWriter { bytes: &mut bytes, at: 0 }
            .put(self.span.first().to_be_bytes())
            .put(self.span.last().to_be_bytes())
            .put(self.count.to_be_bytes())
            .put(self.offset.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let (first, last, count) = (be64(bytes, 0), be64(bytes, 8), be32(bytes, 16));
        let span = SeqRange::new(first, last).filter(|_| first >= FIRST_SEQ && last <= MAX_SEQ)?;
        let fits = (1..=span.len()).contains(&count.into()) && count as usize <= FRAMES_MAX;
        fits.then_some(Self { span, count, offset: be64(bytes, 20) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::Disk;

    #[test]
    fn sequences_of_64_bits_survive() {
        let span = SeqRange::new(MAX_SEQ - 9, MAX_SEQ).unwrap();
        let entry = IndexEntry { span, count: 10, offset: 1 << 50 };
        assert_eq!(IndexEntry::decode(&entry.encode()), Some(entry));
        let head = BlockHead {
            kind: BlockKind::Packets(Origin { line: 1, source: Source::Resend }),
            first: span.first(),
            last: span.last(),
            count: 10,
            arrived: u64::MAX,
            len: 170,
            sum: 7,
            session: Some(SessionId(*b"LONG")),
        };
        assert_eq!(BlockHead::decode::<Disk>(&head.encode::<Disk>(3), 3), Some(head));
        let beyond = BlockHead { last: MAX_SEQ + 1, ..head };
        assert_eq!(BlockHead::decode::<Disk>(&beyond.encode::<Disk>(3), 3), None);
        let mut told = Told::of_head(*b"LONG");
        (told.first, told.last) = (1, MAX_SEQ);
        let read = read_index_head(&index_head(&told));
        assert_eq!((read.0, read.1), (head.session, (1, MAX_SEQ)));
    }
}
