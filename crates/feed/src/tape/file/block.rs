//! The bytes of a tape file (`docs/tape.md` is their description).

use super::session::Told;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::ledger::{Origin, Source};
use crate::session::tail::SessionEnd;
use crate::storage::Storage;
use crate::wire::{FRAME_LEN, SessionId};
use alloc::vec::Vec;

/// The version of the format written here.
pub const VERSION: u16 = 2;

/// The length of a file's head, in bytes.
pub(super) const HEAD_LEN: usize = 48;
/// The length of a block's head, in bytes.
pub(super) const BLOCK_HEAD_LEN: usize = 48;
/// The length of the trailer of a finished file, in bytes.
pub(super) const TRAILER_LEN: usize = 24;
/// The longest payload of a block of packets, in bytes.
pub(super) const PAYLOAD_MAX: usize = FRAMES_MAX * FRAME_LEN;
/// So many packets at most are in a block.
pub(super) const FRAMES_MAX: usize = 64 * 1024 / FRAME_LEN;
/// The length of a block that has as many.
pub(super) const BLOCK_MAX: usize = BLOCK_HEAD_LEN + PAYLOAD_MAX;
/// No payload that is longer is believed: an index of a hundred billion packets is shorter.
const PAYLOAD_LIMIT: u32 = 1 << 30;

/// First bytes of a tape file: not text, so that no text file is taken for a tape and no tape
/// survives being treated as text.
pub const MAGIC: [u8; 8] = *b"\x8aTAPE\r\n\x1a";
const TRAILER_MAGIC: [u8; 8] = *b"\x8aINDEX\r\n";
pub(super) const BLOCK_MAGIC: [u8; 4] = *b"\x8aBLK";

/// What stands at the beginning of a tape file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHead {
    /// The session, if it was known when the file was begun; else four NUL bytes.
    pub session: [u8; 4],
    /// When the file was begun, in nanoseconds since 1970.
    pub created: u64,
    /// A random number that goes into the checksum of each block's head, so that no packet from
    /// a peer can be made to look like a block.
    pub salt: u64,
}

/// Whether these are a head's first bytes, as far as they go.
pub(super) fn begins_head(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes) || bytes.starts_with(&MAGIC)
}

/// Why a file is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileHeadError {
    /// It has no bytes, or not even a head.
    Short,
    /// It is something else.
    Foreign,
    /// It is a tape of this earlier version.
    Older(u16),
    /// It is a tape of this later version.
    Newer(u16),
    /// Its packets have this length.
    PacketSize(u16),
    /// Its head does not match its checksum.
    Damaged,
}

impl core::fmt::Display for FileHeadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => f.write_str("it is too short for a tape file"),
            Self::Foreign => f.write_str("it is no tape file"),
            Self::Older(version) => write!(
                f,
                "it is a tape file of version {version}, which does not tell what its packets are \
                 of; this program reads version {VERSION}"
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

/// Writes fields one after the other.
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
        // The version comes first: what follows may differ in a later one, its checksum too.
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

/// Writes a session id; none is NUL bytes.
pub(super) fn session_bytes(session: Option<SessionId>) -> [u8; 4] {
    session.map_or([0; 4], |SessionId(id)| id)
}

/// Reads a session id.
pub(super) fn session_of(bytes: [u8; 4]) -> Option<SessionId> {
    (bytes != [0; 4]).then_some(SessionId(bytes))
}

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockKind {
    /// Packets: ascending, each sequence at most once in the file.
    Packets(Origin),
    /// What is known of the session. The payload is its id and the places of earlier blocks whose
    /// packets are of it; `first` and `last` are its ends.
    Session(SessionEnd),
    /// Where the blocks of packets are.
    Index,
}

/// The head of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHead {
    /// What the payload is.
    pub kind: BlockKind,
    /// The lowest sequence in it.
    pub first: Seq,
    /// The highest sequence in it.
    pub last: Seq,
    /// How many packets (or index entries) it has.
    pub count: u32,
    /// When it came, in nanoseconds since 1970.
    pub arrived: u64,
    /// Its payload's length, in bytes.
    pub len: u32,
    /// Its payload's checksum.
    pub sum: u32,
    /// Of packets: the session that they are of, if that was known when they were written.
    pub session: Option<SessionId>,
}

impl BlockHead {
    /// The sequences it spans, if it is a block of packets.
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

    /// The head that `bytes` begin with, if they begin with one.
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
            first: be32(bytes, 12),
            last: be32(bytes, 16),
            count: be32(bytes, 20),
            arrived: be64(bytes, 24),
            len: be32(bytes, 32),
            sum: be32(bytes, 36),
            session: session_of([bytes[40], bytes[41], bytes[42], bytes[43]]),
        };
        head.sensible().then_some(head)
    }

    /// Whether the numbers can be true together: whoever wrote them knew the salt, but may have
    /// had a bug.
    fn sensible(&self) -> bool {
        let packets = u64::from(self.count) * FRAME_LEN as u64;
        match self.kind {
            BlockKind::Packets(_) => {
                self.first >= FIRST_SEQ
                    && self.last <= MAX_SEQ
                    && self.first <= self.last
                    && self.count >= 1
                    && self.count - 1 <= self.last - self.first
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

/// The payload of a session block.
pub(super) fn session_payload(session: Option<SessionId>, vouched: &[u64]) -> Vec<u8> {
    let mut payload = session_bytes(session).to_vec();
    vouched.iter().for_each(|offset| payload.extend(offset.to_be_bytes()));
    payload
}

/// The session in such a payload, and the places of the blocks that are of it.
pub(super) fn read_session(
    payload: &[u8],
) -> Option<(Option<SessionId>, impl Iterator<Item = u64> + '_)> {
    let (id, offsets) = payload.split_first_chunk::<4>()?;
    let offsets = offsets.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
    Some((session_of(*id), offsets))
}

/// The length of what stands in an index before its entries, in bytes.
pub(super) const INDEX_HEAD_LEN: usize = 16;

/// What an index says of the session.
pub(super) fn index_head(told: &Told) -> [u8; INDEX_HEAD_LEN] {
    let mut bytes = [0; INDEX_HEAD_LEN];
    FieldWriter { bytes: &mut bytes, at: 0 }
        .put(session_bytes(told.id))
        .put(told.first.to_be_bytes())
        .put(told.last.to_be_bytes())
        .put([told.end.code()]);
    bytes
}

/// The session that an index tells of: its id, its first and last sequence, and its end.
pub(super) fn read_index_head(
    bytes: &[u8; INDEX_HEAD_LEN],
) -> (Option<SessionId>, (Seq, Seq), SessionEnd) {
    let id = session_of([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (id, (be32(bytes, 4), be32(bytes, 8)), SessionEnd::of_code(bytes[12]))
}

/// The checksum of a block's head: of its bytes with the salt in the place of the checksum.
fn salted<S: Storage>(bytes: &[u8; BLOCK_HEAD_LEN], salt: u64) -> u32 {
    let mut salty = [0; BLOCK_HEAD_LEN + 4];
    salty[..BLOCK_HEAD_LEN - 4].copy_from_slice(&bytes[..BLOCK_HEAD_LEN - 4]);
    salty[BLOCK_HEAD_LEN - 4..].copy_from_slice(&salt.to_be_bytes());
    S::checksum(&salty)
}

/// The trailer of a finished file whose index block begins at `index`.
pub(super) fn trailer<S: Storage>(index: u64, salt: u64) -> [u8; TRAILER_LEN] {
    let mut bytes = [0; TRAILER_LEN];
    FieldWriter { bytes: &mut bytes, at: 0 }.put(TRAILER_MAGIC).put(index.to_be_bytes());
    let sum = S::checksum(&[&bytes[..16], &salt.to_be_bytes()].concat());
    bytes[16..20].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Where the index block begins, if `bytes` are a trailer.
pub(super) fn read_trailer<S: Storage>(bytes: &[u8], salt: u64) -> Option<u64> {
    let bytes = bytes.first_chunk::<TRAILER_LEN>()?;
    let index = be64(bytes, 8);
    (*bytes == trailer::<S>(index, salt)).then_some(index)
}

/// An entry of the index: where a block of packets is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IndexEntry {
    /// From its first packet to its last.
    pub(super) span: SeqRange,
    pub(super) count: u32,
    /// Where its head begins.
    pub(super) offset: u64,
}

/// The length of an entry in the file, in bytes.
pub(super) const ENTRY_LEN: usize = 20;

impl IndexEntry {
    /// Where the block ends.
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
        let (first, last, count) = (be32(bytes, 0), be32(bytes, 4), be32(bytes, 8));
        let span = SeqRange::new(first, last).filter(|_| first >= FIRST_SEQ && last <= MAX_SEQ)?;
        let fits = (1..=span.len()).contains(&count) && count as usize <= FRAMES_MAX;
        fits.then_some(Self { span, count, offset: be64(bytes, 12) })
    }
}
