//! SoupBinTCP 3.00, 4.00 and 4.1: one numbered stream of messages over TCP (`docs/soup.md`).
//!
//! A packet is a length, a type and a payload. A client sends a [`LoginRequest`] that names a
//! session and the first sequence that it wants; the exchange answers with a [`LoginAccepted`]
//! and then sends messages as [`Packet::Sequenced`]. A message carries no sequence: both ends
//! count.
//!
//! * [`Framer`] turns bytes, cut anywhere, into packets. Sequenced messages that lie in a row
//!   come out as one [`SequencedRun`], a slice of the input.
//! * [`RawPacket`] is one packet as it lies in a buffer; [`Packet`] is its meaning.
//! * [`Packet::encode`] writes any packet.
//!
//! ```
//! use feed::wire::soup::{Framer, LoginAccepted, Packet, Received, Text};
//!
//! let accepted = LoginAccepted { session: Text::new("DAY1")?, sequence: 41 };
//! let mut bytes = Vec::new();
//! Packet::LoginAccepted(accepted).encode(&mut bytes)?;
//! for message in [&b"first"[..], b"second"] {
//!     Packet::Sequenced(message).encode(&mut bytes)?;
//! }
//!
//! let mut framer = Framer::new();
//! let mut sequence = 0;
//! let mut messages = Vec::new();
//! let mut rest = &bytes[..];
//! while let Some(received) = framer.next(&mut rest)? {
//!     match received {
//!         Received::Sequenced(run) => {
//!             for message in run.messages() {
//!                 messages.push((sequence, message.to_vec()));
//!                 sequence += 1;
//!             }
//!         }
//!         Received::Other(raw) => match raw.decode()? {
//!             Packet::LoginAccepted(accepted) => sequence = accepted.sequence,
//!             other => println!("{other}"),
//!         },
//!     }
//! }
//! assert_eq!(messages, [(41, b"first".to_vec()), (42, b"second".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod framer;
mod login;
mod text;

pub use framer::{FrameError, Framer, Messages, Received, SequencedRun};
pub use login::{
    END_OF_STREAM, HeartbeatTimeout, LoginAccepted, LoginRequest, Password, RejectReason,
};
pub use text::{NumberError, Text, TextError};

use alloc::vec::Vec;
use core::fmt;

/// Byte ranges of the fields, counted from the first byte of a packet (its length).
pub mod field {
    use core::ops::{Range, RangeFrom};

    /// Length of the rest of the packet: type and payload. Unsigned, big-endian.
    pub const LENGTH: Range<usize> = 0..2;
    /// Type of the packet, one ASCII character.
    pub const TYPE: usize = 2;
    /// Payload, as long as the length says.
    pub const PAYLOAD: RangeFrom<usize> = 3..;

    /// User name of a login request, padded on the right.
    pub const USER: Range<usize> = 3..9;
    /// Password of a login request, padded on the right.
    pub const PASSWORD: Range<usize> = 9..19;
    /// Session that a login request wants; blank stands for the current one.
    pub const REQUESTED_SESSION: Range<usize> = 19..29;
    /// First sequence that a login request wants, in ASCII digits.
    pub const REQUESTED_SEQUENCE: Range<usize> = 29..49;
    /// Heartbeat timeout of a login request in milliseconds, in ASCII digits. Only in version 4.1.
    pub const HEARTBEAT_TIMEOUT: Range<usize> = 49..54;

    /// Session of an accepted login, padded on the left.
    pub const SESSION: Range<usize> = 3..13;
    /// Sequence of the next message after an accepted login, in ASCII digits, padded on the left.
    pub const SEQUENCE: Range<usize> = 13..33;

    /// Reason of a rejected login, one ASCII character.
    pub const REJECT_REASON: usize = 3;
}

/// Types of packets, as they stand on the wire.
pub mod kind {
    /// Debug text, in either direction.
    pub const DEBUG: u8 = b'+';
    /// Login accepted, from the exchange.
    pub const LOGIN_ACCEPTED: u8 = b'A';
    /// Login rejected, from the exchange.
    pub const LOGIN_REJECTED: u8 = b'J';
    /// Sequenced message, from the exchange.
    pub const SEQUENCED: u8 = b'S';
    /// Unsequenced message, from the client; since version 4.00 from the exchange, too.
    pub const UNSEQUENCED: u8 = b'U';
    /// Heartbeat of the exchange.
    pub const SERVER_HEARTBEAT: u8 = b'H';
    /// End of the session, from the exchange.
    pub const END_OF_SESSION: u8 = b'Z';
    /// Login request, from the client.
    pub const LOGIN_REQUEST: u8 = b'L';
    /// Heartbeat of the client.
    pub const CLIENT_HEARTBEAT: u8 = b'R';
    /// Logout request, from the client.
    pub const LOGOUT_REQUEST: u8 = b'O';
}

/// Bytes of a packet's length field.
pub const LENGTH_BYTES: usize = 2;

/// Bytes before a packet's payload: length and type.
pub const HEADER_BYTES: usize = 3;

/// Maximum length field of a packet: type and payload.
pub const LENGTH_MAX: u16 = u16::MAX;

/// Maximum length field of a client's packets before its login: that of a login request of
/// version 4.1.
pub const LOGIN_LENGTH_MAX: u16 = 52;

/// Maximum length of a message in bytes: a packet's length counts the type as well.
pub const MESSAGE_MAX: usize = 65_534;

/// Maximum length of a packet in bytes, its length field included.
pub const PACKET_MAX: usize = 65_537;

/// One packet as it lies in a buffer: a length that fits, a type and a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawPacket<'a> {
    kind: u8,
    /// All bytes of the packet, the length field included.
    bytes: &'a [u8],
}

impl<'a> RawPacket<'a> {
    /// Splits the first packet off `bytes`; returns it and the bytes behind it, or `None` where
    /// `bytes` end before the packet does.
    ///
    /// # Errors
    /// Returns [`FrameError::Empty`] (with offset 0) if the packet's length is 0.
    pub fn split_first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, FrameError> {
        let Some((&length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u16::from_be_bytes(length);
        if length == 0 {
            return Err(FrameError::Empty { offset: 0 });
        }
        let length = usize::from(length);
        match (rest.first(), bytes.split_at_checked(LENGTH_BYTES + length)) {
            (Some(&kind), Some((packet, rest))) => Ok(Some((Self { kind, bytes: packet }, rest))),
            _ => Ok(None),
        }
    }

    /// Returns the packet's type (see [`kind`]).
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Returns the bytes behind the type.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(field::PAYLOAD).unwrap_or_default()
    }

    /// Returns all bytes of the packet, its length field included.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Decodes the payload as the type demands.
    ///
    /// # Errors
    /// Returns [`DecodeError`] if the payload's length does not fit the type, or a number in it is
    /// none.
    pub fn decode(&self) -> Result<Packet<'a>, DecodeError> {
        let payload = self.payload();
        match self.kind {
            kind::DEBUG => Ok(Packet::Debug(payload)),
            kind::SEQUENCED => Ok(Packet::Sequenced(payload)),
            kind::UNSEQUENCED => Ok(Packet::Unsequenced(payload)),
            kind::LOGIN_ACCEPTED => LoginAccepted::decode(payload).map(Packet::LoginAccepted),
            kind::LOGIN_REQUEST => LoginRequest::decode(payload).map(Packet::LoginRequest),
            kind::LOGIN_REJECTED => match payload {
                &[code] => Ok(Packet::LoginRejected(RejectReason::from_code(code))),
                _ => Err(DecodeError::Length { kind: self.kind, length: payload.len() }),
            },
            kind::SERVER_HEARTBEAT => self.without_payload(Packet::ServerHeartbeat),
            kind::END_OF_SESSION => self.without_payload(Packet::EndOfSession),
            kind::CLIENT_HEARTBEAT => self.without_payload(Packet::ClientHeartbeat),
            kind::LOGOUT_REQUEST => self.without_payload(Packet::LogoutRequest),
            kind => Ok(Packet::Unknown { kind, payload }),
        }
    }

    /// Returns `packet` if nothing follows the type.
    fn without_payload(&self, packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
        match self.payload().len() {
            0 => Ok(packet),
            length => Err(DecodeError::Length { kind: self.kind, length }),
        }
    }
}

impl fmt::Debug for RawPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload of a login request has the password in it.
        write!(f, "RawPacket {{ kind: {}, {} bytes }}", Kind(self.kind), self.payload().len())
    }
}

/// A packet's type as people read it: the character and its name.
struct Kind(u8);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            kind::DEBUG => "debug",
            kind::LOGIN_ACCEPTED => "login accepted",
            kind::LOGIN_REJECTED => "login rejected",
            kind::SEQUENCED => "sequenced data",
            kind::UNSEQUENCED => "unsequenced data",
            kind::SERVER_HEARTBEAT => "server heartbeat",
            kind::END_OF_SESSION => "end of session",
            kind::LOGIN_REQUEST => "login request",
            kind::CLIENT_HEARTBEAT => "client heartbeat",
            kind::LOGOUT_REQUEST => "logout request",
            other => return write!(f, "unknown packet '{}'", other.escape_ascii()),
        };
        f.write_str(name)
    }
}

/// One packet, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// Text for people, in either direction; programs ignore it.
    Debug(&'a [u8]),
    /// Answer to a login request that the exchange serves.
    LoginAccepted(LoginAccepted),
    /// Answer to a login request that the exchange does not serve; it then closes the connection.
    LoginRejected(RejectReason),
    /// Message of the session. Each counts one sequence, a message of no bytes as well.
    Sequenced(&'a [u8]),
    /// Message outside the session: it has no sequence and is not sent again.
    Unsequenced(&'a [u8]),
    /// Sign of life of an exchange that has sent nothing for a second.
    ServerHeartbeat,
    /// Announcement that the session has no more messages; the exchange closes the connection soon.
    EndOfSession,
    /// First packet of a client.
    LoginRequest(LoginRequest),
    /// Sign of life of a client that has sent nothing for a second.
    ClientHeartbeat,
    /// Request of a client to close the connection.
    LogoutRequest,
    /// Packet of a type that the specification does not have, to be skipped.
    Unknown {
        /// Type on the wire.
        kind: u8,
        /// Bytes behind the type.
        payload: &'a [u8],
    },
}

impl Packet<'_> {
    /// Returns the packet's type on the wire.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match *self {
            Self::Debug(_) => kind::DEBUG,
            Self::LoginAccepted(_) => kind::LOGIN_ACCEPTED,
            Self::LoginRejected(_) => kind::LOGIN_REJECTED,
            Self::Sequenced(_) => kind::SEQUENCED,
            Self::Unsequenced(_) => kind::UNSEQUENCED,
            Self::ServerHeartbeat => kind::SERVER_HEARTBEAT,
            Self::EndOfSession => kind::END_OF_SESSION,
            Self::LoginRequest(_) => kind::LOGIN_REQUEST,
            Self::ClientHeartbeat => kind::CLIENT_HEARTBEAT,
            Self::LogoutRequest => kind::LOGOUT_REQUEST,
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// Appends the packet's bytes to `out`, with the padding of the specification.
    ///
    /// # Errors
    /// Returns [`MessageTooLong`] if the payload exceeds [`MESSAGE_MAX`]; `out` is then unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), MessageTooLong> {
        let kind = self.kind();
        match *self {
            Self::Debug(payload)
            | Self::Sequenced(payload)
            | Self::Unsequenced(payload)
            | Self::Unknown { payload, .. } => append(out, kind, payload),
            Self::LoginAccepted(accepted) => append(out, kind, &accepted.encode()),
            Self::LoginRejected(reason) => append(out, kind, &[reason.code()]),
            Self::LoginRequest(request) => {
                let (fields, timeout) = request.encode();
                match timeout {
                    None => append(out, kind, &fields),
                    Some(timeout) => append(out, kind, &[&fields[..], &timeout].concat()),
                }
            }
            Self::ServerHeartbeat
            | Self::EndOfSession
            | Self::ClientHeartbeat
            | Self::LogoutRequest => append(out, kind, &[]),
        }
    }
}

/// Returns the bytes that stand before a payload: length and type.
///
/// # Errors
/// Returns [`MessageTooLong`] if `length`, the payload's, exceeds [`MESSAGE_MAX`].
#[inline]
pub fn header(kind: u8, length: usize) -> Result<[u8; HEADER_BYTES], MessageTooLong> {
    match u16::try_from(length.saturating_add(1)) {
        Ok(length) => {
            let [high, low] = length.to_be_bytes();
            Ok([high, low, kind])
        }
        Err(_) => Err(MessageTooLong { length }),
    }
}

/// Appends a message as a [`Packet::Sequenced`] to `out`.
///
/// An exchange sends nearly nothing else: this takes 1.7 ns for a message of 30 bytes, and
/// [`Packet::encode`] 4.6 ns.
///
/// # Errors
/// Returns [`MessageTooLong`] if the message exceeds [`MESSAGE_MAX`]; `out` is then unchanged.
#[inline]
pub fn encode_sequenced(message: &[u8], out: &mut Vec<u8>) -> Result<(), MessageTooLong> {
    append(out, kind::SEQUENCED, message)
}

#[inline]
fn append(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> Result<(), MessageTooLong> {
    let header = header(kind, payload.len())?;
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    Ok(())
}

/// Maximum number of a payload's bytes that a line of text shows.
const SHOWN_MAX: usize = 48;

/// The beginning of a payload, made safe to show.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN_MAX).unwrap_or(self.0);
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "{} bytes \"{}\"{more}", self.0.len(), shown.escape_ascii())
    }
}

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = Kind(self.kind());
        match self {
            Self::Debug(payload)
            | Self::Sequenced(payload)
            | Self::Unsequenced(payload)
            | Self::Unknown { payload, .. } => write!(f, "{kind}, {}", Shown(payload)),
            Self::LoginAccepted(accepted) => write!(f, "{kind}, {accepted}"),
            Self::LoginRejected(reason) => write!(f, "{kind}: {reason}"),
            Self::LoginRequest(request) => write!(f, "{kind}, {request}"),
            Self::ServerHeartbeat
            | Self::EndOfSession
            | Self::ClientHeartbeat
            | Self::LogoutRequest => write!(f, "{kind}"),
        }
    }
}

/// Error of a message that no packet can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageTooLong {
    /// Length of the message in bytes.
    pub length: usize,
}

impl fmt::Display for MessageTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length;
        write!(f, "message of {length} bytes: a SoupBinTCP packet carries at most {MESSAGE_MAX}")
    }
}

impl core::error::Error for MessageTooLong {}

/// Error of a packet whose payload is not as its type demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Length of the payload that the type does not have.
    Length {
        /// Type of the packet.
        kind: u8,
        /// Length of the payload in bytes.
        length: usize,
    },
    /// Field that should be a number in ASCII digits.
    Number {
        /// Name of the field.
        field: &'static str,
        /// Offset of the field's first byte in the packet.
        offset: usize,
        /// Fault of the number.
        error: NumberError,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { kind, length } => {
                write!(f, "{} with a payload of {length} bytes", Kind(*kind))?;
                match *kind {
                    kind::LOGIN_REQUEST => f.write_str(": expected 46, or 51 in version 4.1"),
                    kind::LOGIN_ACCEPTED => f.write_str(": expected 30"),
                    kind::LOGIN_REJECTED => f.write_str(": expected 1"),
                    _ => f.write_str(": expected none"),
                }
            }
            Self::Number { field, offset, error } => {
                write!(f, "{field} at byte {offset} of the packet: {error}")
            }
        }
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Length { .. } => None,
            Self::Number { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn encoded(packet: Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
        let (packet, rest) = RawPacket::split_first(bytes).unwrap().unwrap();
        assert!(rest.is_empty());
        assert_eq!(packet.as_bytes(), bytes);
        packet.decode()
    }

    fn request() -> LoginRequest {
        LoginRequest {
            user: Text::new("ann").unwrap(),
            password: Password::new(Text::new("secret").unwrap()),
            session: Text::new("DAY1").unwrap(),
            sequence: 42,
            heartbeat_timeout: None,
        }
    }

    #[test]
    fn each_packet_has_the_documented_bytes() {
        let accepted = LoginAccepted { session: Text::new("DAY1").unwrap(), sequence: 42 };
        let timeout = HeartbeatTimeout::from_millis(15_000);
        let old = b"\x00\x2fLann   secret          DAY1                  42";
        let new = b"\x00\x34Lann   secret          DAY1                  4215000";
        let cases: [(Packet<'_>, &[u8]); 14] = [
            (Packet::Debug(b"hello"), b"\x00\x06+hello"),
            (Packet::LoginAccepted(accepted), b"\x00\x1fA      DAY1                  42"),
            (Packet::LoginRejected(RejectReason::NotAuthorized), b"\x00\x02JA"),
            (Packet::LoginRejected(RejectReason::SessionNotAvailable), b"\x00\x02JS"),
            (Packet::LoginRejected(RejectReason::Other(b'?')), b"\x00\x02J?"),
            (Packet::Sequenced(b"\x00\xff"), b"\x00\x03S\x00\xff"),
            (Packet::Sequenced(b""), b"\x00\x01S"),
            (Packet::Unsequenced(b"note"), b"\x00\x05Unote"),
            (Packet::ServerHeartbeat, b"\x00\x01H"),
            (Packet::EndOfSession, b"\x00\x01Z"),
            (Packet::LoginRequest(request()), old),
            (Packet::LoginRequest(LoginRequest { heartbeat_timeout: timeout, ..request() }), new),
            (Packet::ClientHeartbeat, b"\x00\x01R"),
            (Packet::LogoutRequest, b"\x00\x01O"),
        ];
        for (packet, bytes) in cases {
            assert_eq!(
                encoded(packet).escape_ascii().to_string(),
                bytes.escape_ascii().to_string()
            );
            assert_eq!(decoded(bytes), Ok(packet));
        }
        assert_eq!(old.len(), field::REQUESTED_SEQUENCE.end);
        assert_eq!(new.len(), field::HEARTBEAT_TIMEOUT.end);
        assert_eq!(new.len(), LENGTH_BYTES + usize::from(LOGIN_LENGTH_MAX));
        let unknown = Packet::Unknown { kind: b'?', payload: b"new" };
        assert_eq!(decoded(b"\x00\x04?new"), Ok(unknown));
        assert_eq!(encoded(unknown), b"\x00\x04?new");
    }

    #[test]
    fn fields_are_read_with_either_padding() {
        let ours = b"\x00\x1fA      DAY1                  42";
        // As the venue's own Python package pads, and as C programs do that leave NULs.
        let right = b"\x00\x1fADAY1      42                  ";
        let nul = b"\x00\x1fADAY1\0\0\0\0\0\x0042\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        for bytes in [&right[..], &nul[..]] {
            assert_eq!(decoded(bytes), decoded(ours), "{}", bytes.escape_ascii());
        }
        let login = b"\x00\x2fL   ann    secretDAY1      42                  ";
        assert_eq!(decoded(login), Ok(Packet::LoginRequest(request())));
    }

    #[test]
    fn a_payload_of_the_wrong_length_is_an_error() {
        let length = |kind, length| Err(DecodeError::Length { kind, length });
        for kind in [b'H', b'Z', b'R', b'O'] {
            assert_eq!(decoded(&[0, 2, kind, 0]), length(kind, 1));
        }
        assert_eq!(decoded(b"\x00\x01J"), length(b'J', 0));
        assert_eq!(decoded(b"\x00\x03JAA"), length(b'J', 2));
        for (kind, lengths) in [(b'A', &[29, 31][..]), (b'L', &[0, 45, 47, 50, 52][..])] {
            for &wrong in lengths {
                let mut bytes = header(kind, wrong).unwrap().to_vec();
                bytes.resize(HEADER_BYTES + wrong, b'1');
                assert_eq!(decoded(&bytes), length(kind, wrong));
            }
        }
    }

    #[test]
    fn a_sequence_that_is_no_number_is_an_error_with_its_place() {
        let number = |field, offset, error| Err(DecodeError::Number { field, offset, error });
        let blank = b"\x00\x1fA      DAY1                    ";
        assert_eq!(decoded(blank), number("sequence", 13, NumberError::Blank));
        let high = b"\x00\x1fA      DAY118446744073709551616";
        assert_eq!(decoded(high), number("sequence", 13, NumberError::TooLarge));
        let highest = b"\x00\x1fA      DAY118446744073709551615";
        assert!(matches!(decoded(highest), Ok(Packet::LoginAccepted(_))));
        let text = b"\x00\x2fLann   secret          DAY1                  4x";
        let error = NumberError::NotADigit { index: 19, byte: b'x' };
        assert_eq!(decoded(text), number("requested sequence", 29, error));
        let timeout = b"\x00\x34Lann   secret          DAY1                  42     ";
        assert_eq!(decoded(timeout), number("heartbeat timeout", 49, NumberError::Blank));
    }

    #[test]
    fn a_message_has_its_bound() {
        let longest = vec![7; MESSAGE_MAX];
        let bytes = encoded(Packet::Sequenced(&longest));
        assert_eq!(bytes.len(), PACKET_MAX);
        assert_eq!(bytes[..4], [0xff, 0xff, b'S', 7]);
        assert_eq!(decoded(&bytes), Ok(Packet::Sequenced(&longest)));
        let mut again = Vec::new();
        encode_sequenced(&longest, &mut again).unwrap();
        assert_eq!(again, bytes);
        let mut out = vec![1, 2, 3];
        let error = Packet::Sequenced(&[0; MESSAGE_MAX + 1]).encode(&mut out).unwrap_err();
        assert_eq!(error, MessageTooLong { length: 65_535 });
        assert_eq!(out, [1, 2, 3], "nothing was written");
        assert!(header(b'S', usize::MAX).is_err());
        let max = HeartbeatTimeout::MAX_MILLIS;
        assert!(HeartbeatTimeout::from_millis(max).is_some());
        assert!(HeartbeatTimeout::from_millis(max + 1).is_none());
    }

    #[test]
    fn each_packet_is_one_line_of_text() {
        let timeout = HeartbeatTimeout::from_millis(15_000);
        let current = LoginRequest {
            session: Text::BLANK,
            sequence: END_OF_STREAM,
            heartbeat_timeout: timeout,
            ..request()
        };
        let accepted = LoginAccepted { session: Text::new("DAY1").unwrap(), sequence: 42 };
        let cases = [
            (
                Packet::LoginRequest(request()),
                "login request, user \"ann\", session \"DAY1\", from sequence 42",
            ),
            (
                Packet::LoginRequest(current),
                "login request, user \"ann\", current session, from the end of the stream, \
                 heartbeat timeout 15000 ms",
            ),
            (Packet::LoginAccepted(accepted), "login accepted, session \"DAY1\", next sequence 42"),
            (
                Packet::LoginRejected(RejectReason::NotAuthorized),
                "login rejected: not authorized (A): wrong user or password",
            ),
            (Packet::Sequenced(b"S\x00\n"), "sequenced data, 3 bytes \"S\\x00\\n\""),
            (Packet::Unknown { kind: 7, payload: b"" }, "unknown packet '\\x07', 0 bytes \"\""),
            (Packet::EndOfSession, "end of session"),
        ];
        for (packet, text) in cases {
            assert_eq!(packet.to_string(), text);
        }
        let long = Packet::Debug(&[b'a'; 500]).to_string();
        assert_eq!(long, format!("debug, 500 bytes \"{}\"...", "a".repeat(SHOWN_MAX)));
    }

    #[test]
    fn a_password_is_shown_nowhere_and_compared_without_case() {
        let packet = Packet::LoginRequest(request());
        let bytes = encoded(packet);
        let (raw, _) = RawPacket::split_first(&bytes).unwrap().unwrap();
        let mut framer = Framer::new();
        assert_eq!(framer.next(&mut &bytes[..40]), Ok(None));
        let texts = [format!("{packet}"), format!("{packet:?}"), format!("{raw:?}")];
        for text in texts.into_iter().chain([format!("{framer:?}")]) {
            assert!(!text.contains("secret") && !text.contains("115"), "{text}");
        }
        let password = |text| Password::new(Text::new(text).unwrap());
        assert!(password("Secret").matches(&password("sECRET")));
        assert!(!password("secret").matches(&password("secret1")));
        assert!(!password("").matches(&password("secret")));
    }

    fn any_text<const N: usize>() -> impl Strategy<Value = Text<N>> {
        any::<[u8; N]>().prop_map(|field| Text::from_padded(&field))
    }

    /// Any packet but those with a payload of any bytes.
    fn any_control() -> impl Strategy<Value = Packet<'static>> {
        let timeout = prop::option::of(0..=HeartbeatTimeout::MAX_MILLIS);
        let login = (any_text(), any_text(), any_text(), any::<u64>(), timeout);
        let login = login.prop_map(|(user, password, session, sequence, timeout)| LoginRequest {
            user,
            password: Password::new(password),
            session,
            sequence,
            heartbeat_timeout: timeout.and_then(HeartbeatTimeout::from_millis),
        });
        let accepted = (any_text(), any::<u64>());
        let accepted = accepted.prop_map(|(session, sequence)| LoginAccepted { session, sequence });
        prop_oneof![
            login.prop_map(Packet::LoginRequest),
            accepted.prop_map(Packet::LoginAccepted),
            any::<u8>().prop_map(|code| Packet::LoginRejected(RejectReason::from_code(code))),
            Just(Packet::ServerHeartbeat),
            Just(Packet::EndOfSession),
            Just(Packet::ClientHeartbeat),
            Just(Packet::LogoutRequest),
        ]
    }

    /// Bytes of any packet, most of them sequenced messages of one length.
    pub(super) fn any_packet() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 30),
            1 => prop::collection::vec(any::<u8>(), 0..300),
        ];
        prop_oneof![
            6 => payload.clone().prop_map(|payload| encoded(Packet::Sequenced(&payload))),
            1 => (any::<u8>(), payload).prop_map(|(kind, payload)| {
                encoded(Packet::Unknown { kind, payload: &payload })
            }),
            1 => any_control().prop_map(encoded),
        ]
    }

    proptest! {
        #[test]
        fn a_packet_is_read_as_it_was_written(packet in any_control()) {
            let bytes = encoded(packet);
            prop_assert_eq!(decoded(&bytes), Ok(packet));
        }

        #[test]
        fn any_payload_of_any_type_is_decoded_or_refused(
            kind in prop::sample::select(b"+AJSUHZLRO?\0\xff".to_vec()),
            payload in prop::collection::vec(
                prop_oneof![Just(b' '), Just(b'7'), Just(0), any::<u8>()], 0..60),
        ) {
            let mut bytes = header(kind, payload.len()).unwrap().to_vec();
            bytes.extend(&payload);
            if let Ok(packet) = decoded(&bytes) {
                prop_assert_eq!(packet.kind(), kind);
                prop_assert!(!packet.to_string().contains(['\n', '\x1b']));
                let again = encoded(packet);
                prop_assert_eq!(decoded(&again), Ok(packet));
                if !matches!(packet, Packet::LoginRequest(_) | Packet::LoginAccepted(_)) {
                    prop_assert_eq!(again, bytes, "nothing but padding is written otherwise");
                }
            }
        }
    }
}
