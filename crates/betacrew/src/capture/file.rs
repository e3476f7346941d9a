//! Packets of one capture file in its order: pcap and pcapng, also compressed with gzip. A file is
//! read in pieces, so that memory does not grow with it.

use crate::error::Failure;
use crate::text::formatting::grouped;
use flate2::read::MultiGzDecoder;
use pcap_parser::pcapng::{self, Block};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Maximum length of a captured packet in bytes, which is also that of tcpdump and Wireshark.
const PACKET_MAX: usize = 262_144;

/// Maximum length of a block of a pcapng file that is read as a whole: a packet with its options,
/// or the description of an interface.
const BLOCK_MAX: usize = PACKET_MAX + 65_536;

/// Size of the buffer in bytes.
const BUFFER: usize = 1 << 20;

const _: () = assert!(BUFFER > BLOCK_MAX);

/// Maximum number of interfaces in a section of a pcapng file.
const INTERFACES_MAX: usize = 65_536;

/// First bytes of gzip data.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Type of a section header, which begins each section of a pcapng file.
const SECTION: u32 = 0x0a0d_0d0a;
/// Type of the description of an interface.
const INTERFACE: u32 = 1;
/// Type of a packet without a time, of the first interface.
const SIMPLE_PACKET: u32 = 3;
/// Type of a packet.
const ENHANCED_PACKET: u32 = 6;
/// Byte order mark of a section header, read as little-endian.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Damage after which a capture file cannot be read on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CaptureDamage {
    /// Path of the file.
    pub(crate) path: PathBuf,
    /// Number of the packet that cannot be read, counted from 1.
    pub(crate) packet: u64,
    /// Position of the damage in the file, or in the uncompressed data.
    pub(crate) offset: u64,
    /// Description of the damage.
    pub(crate) reason: String,
}

/// Error that ends the reading of a capture file.
#[derive(Debug)]
pub(super) enum FileError {
    /// Error of the system, or a file that is no capture.
    Failed(Failure),
    /// Damage; the packets before it are good.
    Damaged(CaptureDamage),
}

/// Packet of a capture file.
#[derive(Clone, Debug)]
pub(super) struct CapturedPacket {
    /// Number in the file, counted from 1, as Wireshark shows it.
    pub(super) number: u64,
    /// Time of the capture in nanoseconds since 1970; 0 if the file has none.
    pub(super) at: u64,
    /// Link type, which says with which header the packet begins.
    pub(super) link: i32,
    /// Place of the packet in the buffer.
    range: Range<usize>,
}

/// Kind of a capture file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CaptureKind {
    /// File of libpcap, with times in microseconds.
    Pcap,
    /// File of libpcap, with times in nanoseconds.
    PcapNanos,
    /// File of blocks.
    Pcapng,
}

impl CaptureKind {
    /// Returns the name of the kind.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::PcapNanos => "pcap with nanoseconds",
            Self::Pcapng => "pcapng",
        }
    }
}

/// Order of the bytes of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    fn number(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Interface of a pcapng file.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    /// Number of ticks in a second of the interface's clock.
    ticks: u64,
    /// Seconds to be added to its times.
    offset: i64,
}

impl Interface {
    /// Returns a time in nanoseconds since 1970.
    fn nanos(&self, ticks: u64) -> u64 {
        let second = 1_000_000_000_u128;
        let nanos = u128::from(ticks) * second / u128::from(self.ticks.max(1));
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let nanos = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        u64::try_from(nanos).unwrap_or(0)
    }
}

/// Reader of a capture file.
pub(super) struct CaptureFile {
    path: PathBuf,
    input: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Part of the buffer that was read and is not consumed.
    held: Range<usize>,
    /// Position of the first byte of that part in the file.
    offset: u64,
    kind: CaptureKind,
    order: ByteOrder,
    /// True for the variant of the format that has eight more bytes before each packet.
    is_modified: bool,
    /// Interfaces of a pcapng file's section, or the only one of a pcap file.
    interfaces: Vec<Interface>,
    /// Number of packets so far.
    packets: u64,
    current: Option<CapturedPacket>,
}

impl CaptureFile {
    /// Opens a capture file, and reads its first packet.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        if path == Path::new("-") {
            return Self::read(path, io::stdin());
        }
        let failed = |source| {
            FileError::Failed(Failure::Storage { action: "read", path: path.to_owned(), source })
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Self::read(path, file)
    }

    /// Begins to read a capture file's content.
    pub(super) fn read(path: &Path, file: impl Read + 'static) -> Result<Self, FileError> {
        let failed = |source| {
            FileError::Failed(Failure::Storage { action: "read", path: path.to_owned(), source })
        };
        let mut file = file;
        let mut first = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut first).map_err(failed)?;
        let is_compressed = first == GZIP_MAGIC;
        let input = io::Cursor::new(first).chain(file);
        let input: Box<dyn Read> = match is_compressed {
            true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, input))),
            false => Box::new(input),
        };
        let mut reader = Self {
            path: path.to_owned(),
            input,
            buffer: vec![0; BUFFER],
            held: 0..0,
            offset: 0,
            kind: CaptureKind::Pcap,
            order: ByteOrder::Little,
            is_modified: false,
            interfaces: Vec::new(),
            packets: 0,
            current: None,
        };
        reader.read_head()?;
        reader.advance()?;
        Ok(reader)
    }

    /// Returns the kind of the file.
    pub(super) fn kind(&self) -> CaptureKind {
        self.kind
    }

    /// Returns the packet that was read last; `None` at the end of the file.
    pub(super) fn packet(&self) -> Option<(&CapturedPacket, &[u8])> {
        let packet = self.current.as_ref()?;
        Some((packet, self.buffer.get(packet.range.clone())?))
    }

    /// Reads the next packet.
    pub(super) fn advance(&mut self) -> Result<(), FileError> {
        self.current = None;
        self.current = match self.kind {
            CaptureKind::Pcap | CaptureKind::PcapNanos => self.next_record()?,
            CaptureKind::Pcapng => self.next_packet_block()?,
        };
        Ok(())
    }

    fn damaged(&self, reason: impl Into<String>) -> FileError {
        let (path, packet) = (self.path.clone(), self.packets + 1);
        FileError::Damaged(CaptureDamage {
            path,
            packet,
            offset: self.offset,
            reason: reason.into(),
        })
    }

    /// Fills the buffer up to `wanted` unconsumed bytes. Returns their number, which is lower at
    /// the end of the file.
    fn fill(&mut self, wanted: usize) -> Result<usize, FileError> {
        if self.held.len() >= wanted {
            return Ok(wanted);
        }
        if self.held.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        while self.held.len() < wanted {
            match self.input.read(&mut self.buffer[self.held.end..]) {
                Ok(0) => return Ok(self.held.len()),
                Ok(count) => self.held.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        Ok(wanted)
    }

    fn read_error(&self, source: io::Error) -> FileError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("its compressed data are cut off"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                self.damaged(format!("its compressed data are damaged: {source}"))
            }
            _ => {
                let path = self.path.clone();
                FileError::Failed(Failure::Storage { action: "read", path, source })
            }
        }
    }

    /// Reads exactly `wanted` unconsumed bytes. Returns false if the file ends before the first of
    /// them.
    fn require(&mut self, wanted: usize, what: &str) -> Result<bool, FileError> {
        match self.fill(wanted)? {
            0 => Ok(false),
            held if held < wanted => Err(self.damaged(format!(
                "it is cut off: {} of {} bytes of {what}",
                grouped(held as u64),
                grouped(wanted as u64),
            ))),
            _ => Ok(true),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.held.clone()]
    }

    fn consume(&mut self, count: usize) {
        self.held.start += count;
        self.offset += count as u64;
    }

    /// Skips bytes without holding all of them.
    fn skip(&mut self, count: u64) -> Result<(), FileError> {
        let mut left = count;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let held = self.fill(piece)?;
            if held == 0 {
                return Err(self.damaged("it is cut off inside a block"));
            }
            self.consume(held);
            left -= held as u64;
        }
        Ok(())
    }

    /// Returns the number at an offset of the unconsumed bytes.
    fn number(&self, at: usize, order: ByteOrder) -> u32 {
        let bytes = self.bytes().get(at..).and_then(<[u8]>::first_chunk);
        order.number(bytes.copied().unwrap_or_default())
    }

    /// Reads the beginning of the file.
    fn read_head(&mut self) -> Result<(), FileError> {
        let content = |reason: &str| {
            let (path, reason) = (self.path.clone(), reason.to_owned());
            FileError::Failed(Failure::Content { path, reason })
        };
        let (empty, other) = (
            content("it is empty, and a capture has at least a header"),
            content("it is no capture: its first bytes are those of neither pcap nor pcapng"),
        );
        if self.fill(4)? < 4 {
            return Err(if self.held.is_empty() { empty } else { other });
        }
        let magic = self.number(0, ByteOrder::Little);
        if magic == SECTION {
            self.kind = CaptureKind::Pcapng;
            return Ok(());
        }
        let (order, kind, is_modified) = match magic {
            0xa1b2_c3d4 => (ByteOrder::Little, CaptureKind::Pcap, false),
            0xd4c3_b2a1 => (ByteOrder::Big, CaptureKind::Pcap, false),
            0xa1b2_3c4d => (ByteOrder::Little, CaptureKind::PcapNanos, false),
            0x4d3c_b2a1 => (ByteOrder::Big, CaptureKind::PcapNanos, false),
            0xa1b2_cd34 => (ByteOrder::Little, CaptureKind::Pcap, true),
            _ => return Err(other),
        };
        self.require(24, "its header")?;
        let header = pcap_parser::pcap::parse_pcap_header(self.bytes());
        // The upper bits say how long the checksum of each Ethernet frame is.
        let link = header.map(|(_, header)| header.network.0 & 0xffff);
        let Ok(link) = link else { return Err(self.damaged("its header is wrong")) };
        self.consume(24);
        let ticks = if kind == CaptureKind::Pcap { 1_000_000 } else { 1_000_000_000 };
        self.interfaces.push(Interface { link, ticks, offset: 0 });
        (self.kind, self.order, self.is_modified) = (kind, order, is_modified);
        Ok(())
    }

    /// Reads the next packet of a pcap file.
    fn next_record(&mut self) -> Result<Option<CapturedPacket>, FileError> {
        let head = if self.is_modified { 24 } else { 16 };
        if !self.require(head, "a packet's header")? {
            return Ok(None);
        }
        let len = self.number(8, self.order) as usize;
        if len > PACKET_MAX {
            return Err(self.damaged(format!(
                "a packet of {} bytes, and captures have at most {}",
                grouped(len as u64),
                grouped(PACKET_MAX as u64)
            )));
        }
        self.require(head + len, "a packet")?;
        let parsed = match (self.order, self.is_modified) {
            (_, true) => pcap_parser::pcap::parse_pcap_frame_modified(self.bytes()),
            (ByteOrder::Little, _) => pcap_parser::pcap::parse_pcap_frame(self.bytes()),
            (ByteOrder::Big, _) => pcap_parser::pcap::parse_pcap_frame_be(self.bytes()),
        };
        let parsed = parsed.map(|(_, record)| (record.ts_sec, record.ts_usec));
        let Ok((seconds, part)) = parsed else { return Err(self.damaged("a wrong packet")) };
        let interface = self.interfaces.first().copied();
        let Some(Interface { link, ticks, .. }) = interface else { return Ok(None) };
        let at = u64::from(seconds) * 1_000_000_000 + u64::from(part) * (1_000_000_000 / ticks);
        let start = self.held.start + head;
        self.consume(head + len);
        self.packets += 1;
        Ok(Some(CapturedPacket { number: self.packets, at, link, range: start..start + len }))
    }

    /// Reads the next packet of a pcapng file, and the blocks before it.
    fn next_packet_block(&mut self) -> Result<Option<CapturedPacket>, FileError> {
        while self.require(12, "a block's header")? {
            // A section header reads the same in both orders; the order follows it.
            let is_section = self.number(0, ByteOrder::Little) == SECTION;
            if is_section {
                self.order = match self.number(8, ByteOrder::Little) {
                    BYTE_ORDER => ByteOrder::Little,
                    mark if mark.swap_bytes() == BYTE_ORDER => ByteOrder::Big,
                    _ => return Err(self.damaged("a section header without byte order")),
                };
            }
            let (kind, len) = (self.number(0, self.order), self.number(4, self.order));
            if len < 12 || !len.is_multiple_of(4) {
                return Err(self.damaged(format!("a block of {len} bytes")));
            }
            if !matches!(kind, SECTION | INTERFACE | SIMPLE_PACKET | ENHANCED_PACKET) {
                self.skip(len.into())?;
                continue;
            }
            let len = len as usize;
            if len > BLOCK_MAX {
                return Err(self.damaged(format!(
                    "a block of {} bytes, and packets have at most {}",
                    grouped(len as u64),
                    grouped(PACKET_MAX as u64)
                )));
            }
            self.require(len, "a block")?;
            let found = self.read_block(len);
            self.consume(len);
            if let Some(packet) = found? {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// Reads a block. Returns its packet, if it has one.
    fn read_block(&mut self, len: usize) -> Result<Option<CapturedPacket>, FileError> {
        let block = &self.buffer[self.held.start..self.held.start + len];
        let parsed = match self.order {
            ByteOrder::Little => pcapng::parse_block_le(block),
            ByteOrder::Big => pcapng::parse_block_be(block),
        };
        let wrong = |what: &str| self.damaged(format!("a wrong {what}"));
        let Ok((_, parsed)) = parsed else { return Err(wrong("block")) };
        let (interface, ticks, data) = match &parsed {
            Block::SectionHeader(_) => {
                self.interfaces.clear();
                return Ok(None);
            }
            Block::InterfaceDescription(found) => {
                let link = found.linktype.0;
                let Some(ticks) = ticks(found.if_tsresol) else {
                    return Err(wrong("resolution of times"));
                };
                let interface = Interface { link, ticks, offset: found.if_tsoffset };
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Err(self.damaged("too many interfaces"));
                }
                self.interfaces.push(interface);
                return Ok(None);
            }
            Block::EnhancedPacket(packet) => {
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let data = packet.data.get(..packet.caplen as usize);
                let Some(data) = data else { return Err(wrong("length of a packet")) };
                (packet.if_id as usize, ticks, data)
            }
            // Its data are as long as the block allows, padded to four bytes.
            Block::SimplePacket(packet) => {
                let len = (packet.origlen as usize).min(packet.data.len());
                (0, 0, packet.data.get(..len).unwrap_or_default())
            }
            _ => return Ok(None),
        };
        let Some(interface) = self.interfaces.get(interface) else {
            return Err(
                self.damaged(format!("a packet of interface {interface}, which is not described"))
            );
        };
        // The data are part of the block, at most 28 bytes behind its beginning.
        let head = if matches!(parsed, Block::SimplePacket(_)) { 12 } else { 28 };
        let (start, len) = (self.held.start + head, data.len());
        let (link, at) = (interface.link, interface.nanos(ticks));
        self.packets += 1;
        Ok(Some(CapturedPacket { number: self.packets, at, link, range: start..start + len }))
    }
}

/// Returns the ticks of a clock in a second, from the option that says so: a power of ten, or of
/// two if the highest bit is set.
fn ticks(option: u8) -> Option<u64> {
    match option & 0x80 {
        0 => 10_u64.checked_pow(option.into()),
        _ => 2_u64.checked_pow((option & 0x7f).into()),
    }
}
