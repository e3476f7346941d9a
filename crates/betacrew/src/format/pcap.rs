//! Captures of messages as MoldUDP64 would carry them: pcap with nanoseconds, and pcapng.
//!
//! Each datagram is an Ethernet frame of its own, with IPv4 and UDP, from and to addresses that are
//! reserved for documentation. Messages that arrived together share datagrams.

use super::{Arrival, Encoder, SessionFacts};
use feed::base::seq::Seq;
use feed::tape::file::SessionEnd;
use feed::wire::mold::{Builder, DoesNotFit, HEADER_BYTES, Header, PayloadLimit, Session};
use feed::wire::{Messages, SessionId};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// Session of messages whose session is not known.
const UNKNOWN_SESSION: SessionId = SessionId::new(*b"BETACREW  ");

/// Time of the first datagram if no time is known, in nanoseconds since 1970: 2000-01-01.
const FIRST_TIME: u64 = 946_684_800_000_000_000;

/// Time between two datagrams if no time is known, in nanoseconds.
const INTERVAL: u64 = 1_000_000;

/// Number of bytes of the Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

/// Ethernet frame before its payload: the group's address, a local one, and IPv4 as its type.
const ETHERNET: [u8; 14] = [0x01, 0x00, 0x5e, 0x7c, 0, 1, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00];

/// Sender, an address that is reserved for documentation (RFC 5737): 192.0.2.1.
const SOURCE: [u8; 4] = [192, 0, 2, 1];

/// Group that is reserved for documentation (RFC 6676): 233.252.0.1.
const GROUP: [u8; 4] = [233, 252, 0, 1];

/// Port of the sender and of the group.
const PORT: u16 = 26_477;

/// Number of bytes before the data of a packet of a pcapng file.
const BLOCK_HEAD: usize = 28;

/// Layout of a capture file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CaptureLayout {
    /// File of libpcap, with times in nanoseconds.
    Pcap,
    /// File of blocks, with times in nanoseconds.
    Pcapng,
}

impl CaptureLayout {
    /// Returns the beginning of the file.
    fn head(self) -> Vec<u8> {
        let mut head = Vec::new();
        let mut put = |number: u32| head.extend_from_slice(&number.to_le_bytes());
        let numbers: &[u32] = match self {
            // Magic number, version 2.4, time zone and accuracy of 0, maximum length, Ethernet.
            Self::Pcap => &[0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1],
            // Section header: byte order, version 1.0, length not known. Interface: Ethernet,
            // maximum length, times in nanoseconds (option 9 of 1 byte).
            Self::Pcapng => &[
                0x0a0d_0d0a,
                28,
                0x1a2b_3c4d,
                1,
                u32::MAX,
                u32::MAX,
                28,
                1,
                32,
                1,
                262_144,
                1 << 16 | 9,
                9,
                0,
                32,
            ],
        };
        numbers.iter().copied().for_each(&mut put);
        head
    }

    /// Returns the number of bytes between a packet's beginning in the file and its data.
    const fn packet_head(self) -> usize {
        match self {
            Self::Pcap => 16,
            Self::Pcapng => BLOCK_HEAD,
        }
    }

    /// Appends a packet.
    fn put(self, out: &mut Vec<u8>, at: u64, data: &[u8]) {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let (second, part) = (at / 1_000_000_000, at % 1_000_000_000);
        let low = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX);
        let mut numbers = |numbers: &[u32]| {
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        };
        match self {
            Self::Pcap => {
                numbers(&[u32::try_from(second).unwrap_or(u32::MAX), low(part), len, len]);
                out.extend_from_slice(data);
            }
            Self::Pcapng => {
                let total = len.next_multiple_of(4) + 32;
                numbers(&[6, total, 0, low(at >> 32), low(at), len, len]);
                out.extend_from_slice(data);
                out.resize(out.len().next_multiple_of(4), 0);
                out.extend_from_slice(&total.to_le_bytes());
            }
        }
    }

    /// Returns the number of bytes that a packet of `len` bytes takes in the file.
    const fn packet_len(self, len: usize) -> usize {
        match self {
            Self::Pcap => 16 + len,
            Self::Pcapng => len.next_multiple_of(4) + 32,
        }
    }
}

/// Writer of a capture file.
pub(super) struct PcapWriter {
    out: BufWriter<File>,
    layout: CaptureLayout,
    /// Datagram that is being filled.
    datagram: Vec<u8>,
    /// Sequence of the datagram's first message, and the one behind its last message.
    span: (Seq, Seq),
    /// Time of the datagram's first message.
    at: u64,
    /// Time of the last datagram that was written.
    last_at: u64,
    packet: Vec<u8>,
    /// Number of datagrams that were written.
    datagrams: u64,
    session: Option<SessionId>,
}

impl PcapWriter {
    pub(super) fn new(file: File, layout: CaptureLayout) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&layout.head())?;
        Ok(Self {
            out,
            layout,
            datagram: Vec::new(),
            span: (0, 0),
            at: 0,
            last_at: 0,
            packet: Vec::new(),
            datagrams: 0,
            session: None,
        })
    }

    /// Adds a message to the datagram, or to the next one if it has no room.
    fn push(&mut self, seq: Seq, message: &[u8], arrival: Arrival) -> io::Result<()> {
        let block = 2 + message.len();
        let is_full = self.datagram.len() + block > PayloadLimit::DEFAULT.bytes();
        let is_other = seq != self.span.1 || self.at != arrival.at;
        if !self.datagram.is_empty() && (is_full || is_other) {
            self.write_datagram()?;
        }
        if self.datagram.is_empty() {
            (self.span, self.at) = ((seq, seq), arrival.at);
            // A message that is longer than a datagram should be has one of its own.
            let limit = PayloadLimit::new(HEADER_BYTES + block).unwrap_or(PayloadLimit::MAX);
            let limit = limit.max(PayloadLimit::DEFAULT);
            let session = Session(UNKNOWN_SESSION.padded());
            let pushed = Builder::new(&mut self.datagram, session, seq, limit).push(message);
            pushed.map_err(|error| self.does_not_fit(seq, &error))?;
        } else {
            let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
            self.datagram.extend_from_slice(&length.to_be_bytes());
            self.datagram.extend_from_slice(message);
        }
        self.span.1 = seq + 1;
        Ok(())
    }

    fn does_not_fit(&self, seq: Seq, error: &DoesNotFit) -> io::Error {
        let reason = format!("message {seq} cannot travel in a UDP datagram: {error}");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    }

    /// Writes the datagram that is being filled.
    fn write_datagram(&mut self) -> io::Result<()> {
        if self.datagram.is_empty() {
            return Ok(());
        }
        let count = u16::try_from(self.span.1 - self.span.0).unwrap_or(u16::MAX);
        self.datagram[feed::wire::mold::field::COUNT].copy_from_slice(&count.to_be_bytes());
        let datagram = std::mem::take(&mut self.datagram);
        self.write(&datagram, self.at)?;
        self.datagram = datagram;
        self.datagram.clear();
        Ok(())
    }

    /// Writes a datagram with a time, or a steady one if it is not known.
    fn write(&mut self, datagram: &[u8], at: u64) -> io::Result<()> {
        let at = match (at, self.last_at) {
            (0, 0) => FIRST_TIME,
            (0, last) => last.saturating_add(INTERVAL),
            // Messages that a resend has brought arrived after later ones; in the order of
            // sequences they follow the ones before.
            (at, last) => at.max(last),
        };
        self.last_at = at;
        let mut frame = Vec::with_capacity(HEADERS + datagram.len());
        frame.extend_from_slice(&headers(datagram.len(), self.datagrams));
        frame.extend_from_slice(datagram);
        self.packet.clear();
        self.layout.put(&mut self.packet, at, &frame);
        self.datagrams += 1;
        self.out.write_all(&self.packet)
    }

    /// Writes the session into all datagrams, because it is known only behind the messages.
    fn name_session(&mut self, session: SessionId) -> io::Result<()> {
        self.out.flush()?;
        let file = self.out.get_mut();
        let mut offset = self.layout.head().len() as u64;
        let head = self.layout.packet_head();
        // Length of a packet, at the same distance from its data in both layouts.
        let mut length = [0; 4];
        let place = if self.layout == CaptureLayout::Pcap { 8 } else { 20 };
        for _ in 0..self.datagrams {
            file.seek(SeekFrom::Start(offset + place))?;
            file.read_exact(&mut length)?;
            let len = usize::try_from(u32::from_le_bytes(length)).unwrap_or_default();
            file.seek(SeekFrom::Start(offset + (head + HEADERS) as u64))?;
            file.write_all(&session.padded())?;
            offset += self.layout.packet_len(len) as u64;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

/// Returns the headers of a datagram: Ethernet, IPv4 and UDP without a checksum.
fn headers(len: usize, number: u64) -> [u8; HEADERS] {
    let length = |more: usize| u16::try_from(len + more).unwrap_or(u16::MAX).to_be_bytes();
    let mut ip = [0; 20];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length(28));
    ip[4..6].copy_from_slice(&number.to_be_bytes()[6..]);
    // Not to be fragmented, one hop, UDP.
    (ip[6], ip[8], ip[9]) = (0x40, 1, 17);
    ip[12..16].copy_from_slice(&SOURCE);
    ip[16..20].copy_from_slice(&GROUP);
    let words = ip.as_chunks::<2>().0;
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or_default();
    ip[10..12].copy_from_slice(&(!sum).to_be_bytes());
    let mut headers = [0; HEADERS];
    headers[..14].copy_from_slice(&ETHERNET);
    headers[14..34].copy_from_slice(&ip);
    headers[34..36].copy_from_slice(&PORT.to_be_bytes());
    headers[36..38].copy_from_slice(&PORT.to_be_bytes());
    headers[38..40].copy_from_slice(&length(8));
    headers
}

impl Encoder for PcapWriter {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        for (seq, message) in messages.iter() {
            self.push(seq, message, arrival)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_datagram()?;
        self.out.flush()
    }

    fn session_facts(&mut self, facts: SessionFacts) -> io::Result<()> {
        self.write_datagram()?;
        self.session = facts.session;
        if facts.end.is_some_and(|end| end != SessionEnd::Open) {
            let next = facts.last.max(self.span.1.saturating_sub(1)) + 1;
            let end = Header::end_of_session(Session(UNKNOWN_SESSION.padded()), next);
            self.write(&end.encode(), 0)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.write_datagram()?;
        if let Some(session) = self.session {
            self.name_session(session)?;
        }
        self.out.flush()
    }
}
