//! Packets that both sides of a connection in SoupBinTCP have sent.

use feed::base::seq::Seq;
use feed::wire::soup::{
    FrameError, Framer, HEADER_BYTES, LENGTH_BYTES, LoginRequest, Packet, RawPacket, Received,
    RejectReason, Text, kind,
};
use std::ops::Range;
use std::time::Duration;

/// Maximum number of packets kept of each side of a connection.
const PACKETS_MAX: usize = 100_000;
/// Maximum number of bytes kept of a payload that is no message.
const PAYLOAD_MAX: usize = 256;

/// Packet of the exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SentPacket {
    /// Time of the write with the packet's last byte, since the exchange began to listen.
    pub(crate) at: Duration,
    /// Offsets of the packet's bytes on the connection.
    pub(crate) bytes: Range<u64>,
    /// Kind of the packet.
    pub(crate) what: SentKind,
}

/// Kind of a packet of the exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SentKind {
    /// Acceptance of a login, with the sequence of the next message.
    Accepted { session: Text<10>, sequence: Seq },
    /// Rejection of a login.
    Rejected(RejectReason),
    /// Message of the session.
    Message(Seq),
    /// Packet that is to be skipped, with its type and the first bytes of its payload.
    Other { kind: u8, payload: Vec<u8> },
    /// Heartbeat of the exchange.
    Heartbeat,
    /// End of the session.
    End,
    /// Length of 0, behind which nothing can be read.
    NoLength,
}

/// Packet of the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReceivedPacket {
    /// Time at which the exchange read the packet's last byte.
    pub(crate) at: Duration,
    /// Kind of the packet.
    pub(crate) what: ReceivedKind,
}

/// Kind of a packet of the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReceivedKind {
    /// Login request, and what is wrong with the form of its fields.
    Login(LoginRequest, Option<&'static str>),
    /// Heartbeat of the client.
    Heartbeat,
    /// Logout request.
    Logout,
    /// Message or debug text, which the exchange ignores.
    Ignored(u8),
    /// Bytes that no client may send, described as a noun.
    Illegal(String),
}

/// Packets of both sides of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct SoupConversation {
    /// Packets of the exchange, each as soon as its last byte was sent.
    pub(crate) sent: Vec<SentPacket>,
    /// Packets of the client.
    pub(crate) received: Vec<ReceivedPacket>,
    /// Times and byte offsets of the exchange's writes.
    pub(crate) writes: Vec<(Duration, Range<u64>)>,
    sender: SideDecoder,
    client: SideDecoder,
    /// Sequence of the exchange's next message.
    next: Seq,
}

/// Decoder of one side's bytes.
#[derive(Clone, Debug)]
struct SideDecoder {
    framer: Framer,
    /// True once nothing more can be read.
    is_over: bool,
}

impl Default for SideDecoder {
    fn default() -> Self {
        Self { framer: Framer::new(), is_over: false }
    }
}

impl SoupConversation {
    /// Adds bytes that the exchange sent in one write, and decodes at most about `most` packets of
    /// them. Returns the number of packets.
    pub(crate) fn send(&mut self, at: Duration, bytes: &[u8], most: usize) -> usize {
        let before = self.writes.last().map_or(0, |(_, bytes)| bytes.end);
        self.writes.push((at, before..before + bytes.len() as u64));
        let mut rest = bytes;
        let mut from = self.sent.last().map_or(0, |packet| packet.bytes.end);
        let count = self.sent.len();
        self.sender.is_over |= most == 0;
        while !self.sender.is_over && self.sent.len() < PACKETS_MAX {
            let mut add = |length: usize, what| {
                let bytes = from..from + length as u64;
                from = bytes.end;
                self.sent.push(SentPacket { at, bytes, what });
            };
            match self.sender.framer.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Received::Sequenced(run))) => {
                    for message in run.messages() {
                        add(HEADER_BYTES + message.len(), SentKind::Message(self.next));
                        self.next += 1;
                    }
                }
                Ok(Some(Received::Other(raw))) => {
                    let what = sent_kind(&raw);
                    if let SentKind::Accepted { sequence, .. } = what {
                        self.next = sequence;
                    }
                    add(raw.as_bytes().len(), what);
                }
                Err(_) => {
                    add(LENGTH_BYTES, SentKind::NoLength);
                    self.sender.is_over = true;
                }
            }
        }
        self.sent.len() - count
    }

    /// Returns how many of the bytes that are to be sent belong to the first packet among them.
    pub(crate) fn first_packet(&self, bytes: &[u8]) -> usize {
        let sent = self.writes.last().map_or(0, |(_, bytes)| bytes.end);
        let whole = self.sent.last().map_or(0, |packet| packet.bytes.end);
        match bytes.first_chunk() {
            // Behind a part of a packet, the length is not at the front.
            Some(&length) if sent == whole && !self.sender.is_over => {
                (LENGTH_BYTES + usize::from(u16::from_be_bytes(length))).min(bytes.len())
            }
            _ => bytes.len(),
        }
    }

    /// Adds bytes of the client. Returns the indexes of the packets that they complete.
    pub(crate) fn receive(&mut self, at: Duration, bytes: &[u8]) -> Range<usize> {
        let before = self.received.len();
        let mut rest = bytes;
        while !self.client.is_over && self.received.len() < PACKETS_MAX {
            let what = match self.client.framer.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Received::Sequenced(_))) => ReceivedKind::Illegal(
                    "a sequenced message, which only an exchange sends".into(),
                ),
                Ok(Some(Received::Other(raw))) => received_kind(&raw),
                Err(error) => {
                    self.client.is_over = true;
                    ReceivedKind::Illegal(match error {
                        FrameError::Empty { .. } => "a packet with a length of 0".to_owned(),
                        other => other.to_string(),
                    })
                }
            };
            self.received.push(ReceivedPacket { at, what });
        }
        before..self.received.len()
    }

    /// Returns the login requests, with their times and what is wrong with their form.
    pub(crate) fn logins(
        &self,
    ) -> impl Iterator<Item = (Duration, &LoginRequest, Option<&'static str>)> {
        self.received.iter().filter_map(|packet| match &packet.what {
            ReceivedKind::Login(request, fault) => Some((packet.at, request, *fault)),
            _ => None,
        })
    }

    /// Returns the time of the first acceptance, with its session and sequence.
    pub(crate) fn accepted(&self) -> Option<(Duration, &Text<10>, Seq)> {
        self.sent.iter().find_map(|packet| match &packet.what {
            SentKind::Accepted { session, sequence } => Some((packet.at, session, *sequence)),
            _ => None,
        })
    }

    /// Returns the time of the end of the session, if it was sent.
    pub(crate) fn ended_at(&self) -> Option<Duration> {
        self.sent.iter().find(|packet| packet.what == SentKind::End).map(|packet| packet.at)
    }

    /// Returns the time of the logout request, if there is one.
    pub(crate) fn logged_out_at(&self) -> Option<Duration> {
        let mut packets = self.received.iter();
        packets.find(|packet| packet.what == ReceivedKind::Logout).map(|packet| packet.at)
    }

    /// Returns whether the exchange's last bytes are a part of a packet.
    pub(crate) fn ends_in_a_part(&self) -> bool {
        let sent = self.writes.last().map_or(0, |(_, bytes)| bytes.end);
        !self.sender.is_over && sent > self.sent.last().map_or(0, |packet| packet.bytes.end)
    }

    /// Returns the messages that were sent whole.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Seq, &SentPacket)> {
        self.sent.iter().filter_map(|packet| match packet.what {
            SentKind::Message(seq) => Some((seq, packet)),
            _ => None,
        })
    }

    /// Returns the index of the write that has the first byte of a packet, and of the one that has
    /// its last.
    pub(crate) fn writes_of(&self, packet: &SentPacket) -> (usize, usize) {
        let of = |byte: u64| self.writes.partition_point(|(_, bytes)| bytes.end <= byte);
        (of(packet.bytes.start), of(packet.bytes.end.saturating_sub(1)))
    }
}

fn sent_kind(raw: &RawPacket<'_>) -> SentKind {
    match raw.decode() {
        Ok(Packet::LoginAccepted(accepted)) => {
            SentKind::Accepted { session: accepted.session, sequence: accepted.sequence }
        }
        Ok(Packet::LoginRejected(reason)) => SentKind::Rejected(reason),
        Ok(Packet::ServerHeartbeat) => SentKind::Heartbeat,
        Ok(Packet::EndOfSession) => SentKind::End,
        _ => {
            let payload = raw.payload().iter().copied().take(PAYLOAD_MAX).collect();
            SentKind::Other { kind: raw.kind(), payload }
        }
    }
}

fn received_kind(raw: &RawPacket<'_>) -> ReceivedKind {
    match raw.decode() {
        Ok(Packet::LoginRequest(request)) => {
            ReceivedKind::Login(request, form_fault(raw.payload()))
        }
        Ok(Packet::ClientHeartbeat) => ReceivedKind::Heartbeat,
        Ok(Packet::LogoutRequest) => ReceivedKind::Logout,
        Ok(Packet::Unsequenced(_) | Packet::Debug(_)) => ReceivedKind::Ignored(raw.kind()),
        Ok(other) => ReceivedKind::Illegal(match other.kind() {
            kind::SERVER_HEARTBEAT => {
                "a heartbeat of the exchange (H) instead of its own (R)".into()
            }
            kind => format!("a packet of type '{}'", kind.escape_ascii()),
        }),
        Err(error) => ReceivedKind::Illegal(format!("a packet that cannot be read: {error}")),
    }
}

/// Returns what is wrong with the padding of a login request, if anything is. Exchanges of many
/// venues read it, and those that follow the specification by the letter do not.
fn form_fault(payload: &[u8]) -> Option<&'static str> {
    const USER: Range<usize> = 0..6;
    const PASSWORD: Range<usize> = 6..16;
    const SEQUENCE: Range<usize> = 26..46;
    let starts_blank = |range: Range<usize>| {
        let field = payload.get(range).unwrap_or_default();
        field.starts_with(b" ") && !field.trim_ascii().is_empty()
    };
    let sequence = payload.get(SEQUENCE).unwrap_or_default();
    if payload.contains(&0) {
        Some("a field is padded with NUL bytes instead of spaces")
    } else if starts_blank(USER) || starts_blank(PASSWORD) {
        Some("user or password is padded on the left instead of the right")
    } else if sequence.ends_with(b" ") {
        Some("the sequence is padded on the right instead of the left")
    } else {
        None
    }
}
