//! Captures made for tests, byte by byte.

use feed::wire::mold::{Builder, Header, PayloadLimit, Session};
use std::fs;
use std::path::Path;

/// Time of the first packet: 2023-11-14 22:13:20, in nanoseconds.
pub(crate) const STARTED: u64 = 1_700_000_000_000_000_000;
/// Nanoseconds in a microsecond.
pub(crate) const MICRO: u64 = 1_000;

/// Addresses of line A: last byte of the sender's address, group, port.
pub(crate) const A: (u8, [u8; 4], u16) = (1, [233, 54, 12, 111], 26_477);
/// Addresses of line B.
pub(crate) const B: (u8, [u8; 4], u16) = (2, [233, 49, 196, 111], 26_477);

/// Payload of a datagram with messages of a session.
pub(crate) fn messages(session: &str, first: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let session = Session::new(session).unwrap();
    let mut builder = Builder::new(&mut bytes, session, first, PayloadLimit::DEFAULT);
    assert_eq!(builder.push_all(messages.iter().copied()), messages.len());
    builder.finish();
    bytes
}

/// Payload of a datagram with `count` messages that say their sequences.
pub(crate) fn numbered(session: &str, first: u64, count: u64) -> Vec<u8> {
    let texts: Vec<String> = (first..first + count).map(|seq| format!("message {seq}")).collect();
    messages(session, first, &texts.iter().map(String::as_bytes).collect::<Vec<_>>())
}

/// Payload of an end of session.
pub(crate) fn end_of(session: &str, next: u64) -> Vec<u8> {
    Header::end_of_session(Session::new(session).unwrap(), next).encode().to_vec()
}

/// UDP header and payload.
pub(crate) fn udp((from, to): (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// IPv4 packet of UDP. `fragment` is the field of flags and offset.
pub(crate) fn ipv4(from: [u8; 4], to: [u8; 4], fragment: u16, udp: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + udp.len() as u16).to_be_bytes());
    bytes.extend([0, 7]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, 17, 0, 0]);
    bytes.extend(from);
    bytes.extend(to);
    bytes.extend(udp);
    bytes
}

/// IPv6 packet of UDP, to a group that ends in the last bytes of an IPv4 address.
pub(crate) fn ipv6(from: u8, to: [u8; 4], udp: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((udp.len() as u16).to_be_bytes());
    bytes.extend([17, 64, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, from]);
    bytes.extend([0xff, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(to);
    bytes.extend(udp);
    bytes
}

/// Ethernet frame with VLAN tags of these types.
pub(crate) fn ethernet(tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0x5e, 1, 2, 3, 2, 0, 0, 0, 0, 1];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 42]);
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Ethernet frame of a line's datagram.
pub(crate) fn frame((from, group, port): (u8, [u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let udp = udp((18_001, port), payload);
    ethernet(&[], 0x800, &ipv4([10, 0, 0, from], group, 0, &udp))
}

/// Layout of a capture file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    Micro,
    Nano,
    Blocks,
}

/// Capture file.
pub(crate) struct Capture {
    bytes: Vec<u8>,
    layout: Layout,
    is_big: bool,
}

impl Capture {
    pub(crate) fn new(layout: Layout, is_big: bool, link: u32) -> Self {
        let mut capture = Self { bytes: Vec::new(), layout, is_big };
        match layout {
            Layout::Micro => capture.words(&[0xa1b2_c3d4]),
            Layout::Nano => capture.words(&[0xa1b2_3c4d]),
            Layout::Blocks => {
                capture.words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d]);
                capture.halves(&[1, 0]);
                // Section of unknown length; then a block that nobody knows.
                capture.words(&[u32::MAX, u32::MAX, 28, 0x1234, 16, 0, 16, 1, 32]);
                capture.halves(&[link as u16, 0]);
                capture.words(&[262_144]);
                // Times in nanoseconds: option 9 of 1 byte.
                capture.halves(&[9, 1]);
                capture.bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
                capture.words(&[32]);
                return capture;
            }
        }
        capture.halves(&[2, 4]);
        capture.words(&[0, 0, 262_144, link]);
        capture
    }

    /// Capture of Ethernet frames with nanoseconds.
    pub(crate) fn ethernet() -> Self {
        Self::new(Layout::Nano, false, 1)
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            let big = word.to_be_bytes();
            self.bytes.extend(if self.is_big { big } else { word.to_le_bytes() });
        }
    }

    fn halves(&mut self, halves: &[u16]) {
        for half in halves {
            let big = half.to_be_bytes();
            self.bytes.extend(if self.is_big { big } else { half.to_le_bytes() });
        }
    }

    /// Adds a packet, a number of nanoseconds after the first one.
    pub(crate) fn add(&mut self, after: u64, packet: &[u8]) -> &mut Self {
        self.add_cut(after, packet, packet.len())
    }

    /// Adds the first `kept` bytes of a packet.
    pub(crate) fn add_cut(&mut self, after: u64, packet: &[u8], kept: usize) -> &mut Self {
        let (at, kept) = (STARTED + after, &packet[..kept.min(packet.len())]);
        let (len, full) = (kept.len() as u32, packet.len() as u32);
        let (second, part) = ((at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32);
        match self.layout {
            Layout::Micro => self.words(&[second, part / 1000, len, full]),
            Layout::Nano => self.words(&[second, part, len, full]),
            Layout::Blocks => {
                let total = len.next_multiple_of(4) + 32;
                self.words(&[6, total, 0, (at >> 32) as u32, at as u32, len, full]);
                self.bytes.extend(kept);
                self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
                self.words(&[total]);
                return self;
            }
        }
        self.bytes.extend(kept);
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, &self.bytes).unwrap();
    }
}
