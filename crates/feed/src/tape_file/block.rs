//! The bytes of a tape file (`docs/tape.md` is their description).

use crate::ledger::{Origin, Source};
use crate::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::storage::Storage;
use crate::wire::FRAME_LEN;

/// The version of the format written here.
pub const VERSION: u16 = 1;

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
pub struct Head {
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
pub enum HeadError {
    /// It has no bytes, or not even a head.
    Short,
    /// It is something else.
    Foreign,
    /// It is a tape of this later version.
    Newer(u16),
    /// Its packets have this length.
    PacketSize(u16),
    /// Its head does not match its checksum.
    Damaged,
}

impl core::fmt::Display for HeadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => f.write_str("it is too short for a tape file"),
            Self::Foreign => f.write_str("it is no tape file"),
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

impl core::error::Error for HeadError {}

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
struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Fields<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) -> &mut Self {
        self.bytes[self.at..self.at + N].copy_from_slice(&field);
        self.at += N;
        self
    }
}

impl Head {
    pub(super) fn encode<S: Storage>(&self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        let packet_size = u16::try_from(FRAME_LEN).unwrap_or(0);
        Fields { bytes: &mut bytes, at: 0 }
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

    pub(super) fn decode<S: Storage>(bytes: &[u8]) -> Result<Self, HeadError> {
        if bytes.len() >= MAGIC.len() && bytes[..MAGIC.len()] != MAGIC {
            return Err(HeadError::Foreign);
        }
        if bytes.len() < HEAD_LEN {
            return Err(HeadError::Short);
        }
        // The version comes first: what follows may differ in a later one, its checksum too.
        match be16(bytes, 8) {
            VERSION => {}
            0 => return Err(HeadError::Damaged),
            version => return Err(HeadError::Newer(version)),
        }
        if S::checksum(&bytes[..HEAD_LEN - 4]) != be32(bytes, HEAD_LEN - 4) {
            return Err(HeadError::Damaged);
        }
        match be16(bytes, 10) {
            size if usize::from(size) == FRAME_LEN => {}
            size => return Err(HeadError::PacketSize(size)),
        }
        Ok(Self {
            session: [bytes[12], bytes[13], bytes[14], bytes[15]],
            created: be64(bytes, 16),
            salt: be64(bytes, 24),
        })
    }
}

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Packets: ascending, each sequence at most once in the file.
    Packets(Origin),
    /// What the exchange said of the session: its id is the payload, `first` and `last` its ends.
    Session,
    /// Where the blocks of packets are.
    Index,
}

/// The head of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHead {
    /// What the payload is.
    pub kind: Kind,
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
}

impl BlockHead {
    /// The sequences it spans, if it is a block of packets.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        match self.kind {
            Kind::Packets(_) => SeqRange::new(self.first, self.last),
            _ => None,
        }
    }

    pub(super) fn encode<S: Storage>(&self, salt: u64) -> [u8; BLOCK_HEAD_LEN] {
        let (kind, source, line, pass) = match self.kind {
            Kind::Packets(Origin { line, source: Source::Stream { pass } }) => (1, 1, line, pass),
            Kind::Packets(Origin { line, source: Source::Resend }) => (1, 2, line, 0),
            Kind::Session => (2, 0, 0, 0),
            Kind::Index => (3, 0, 0, 0),
        };
        let mut bytes = [0; BLOCK_HEAD_LEN];
        Fields { bytes: &mut bytes, at: 0 }
            .put(BLOCK_MAGIC)
            .put([kind, source])
            .put(line.to_be_bytes())
            .put(pass.to_be_bytes())
            .put(self.first.to_be_bytes())
            .put(self.last.to_be_bytes())
            .put(self.count.to_be_bytes())
            .put(self.arrived.to_be_bytes())
            .put(self.len.to_be_bytes())
            .put(self.sum.to_be_bytes());
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
                Kind::Packets(Origin { line, source: Source::Stream { pass: be32(bytes, 8) } })
            }
            (1, 2) => Kind::Packets(Origin { line, source: Source::Resend }),
            (2, _) => Kind::Session,
            (3, _) => Kind::Index,
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
        };
        head.sensible().then_some(head)
    }

    /// Whether the numbers can be true together: whoever wrote them knew the salt, but may have
    /// had a bug.
    fn sensible(&self) -> bool {
        let packets = u64::from(self.count) * FRAME_LEN as u64;
        match self.kind {
            Kind::Packets(_) => {
                self.first >= FIRST_SEQ
                    && self.last <= MAX_SEQ
                    && self.first <= self.last
                    && self.count >= 1
                    && self.count - 1 <= self.last - self.first
                    && packets == u64::from(self.len)
                    && self.len as usize <= PAYLOAD_MAX
            }
            Kind::Session => self.len == 4,
            Kind::Index => self.len <= PAYLOAD_LIMIT,
        }
    }
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
    Fields { bytes: &mut bytes, at: 0 }.put(TRAILER_MAGIC).put(index.to_be_bytes());
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
pub(super) struct Entry {
    /// From its first packet to its last.
    pub(super) span: SeqRange,
    pub(super) count: u32,
    /// Where its head begins.
    pub(super) offset: u64,
}

/// The length of an entry in the file, in bytes.
pub(super) const ENTRY_LEN: usize = 20;

impl Entry {
    /// Where the block ends.
    pub(super) fn end(&self) -> u64 {
        let payload = u64::from(self.count) * FRAME_LEN as u64;
        self.offset.saturating_add(BLOCK_HEAD_LEN as u64 + payload)
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        Fields { bytes: &mut bytes, at: 0 }
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
