//! Frames of the exchange: packets and the messages of the extension.

use super::align::symbol_fits;
use super::{FRAME_LEN, RawFrame};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use crate::wire::packet::{Packet, Side, Symbol};
use core::fmt;

/// Offsets of a frame's fields. Every message uses the places of the packet's fields.
mod field {
    pub(super) const KIND: usize = 4;
    pub(super) const QUANTITY: usize = 5;
    pub(super) const PRICE: usize = 9;
    pub(super) const SEQUENCE: usize = 13;
}

/// Message of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Order packet, kind `B` or `S`.
    Packet(Packet),
    /// Answer to a describe call, kind `I`.
    Info(Info),
    /// Heartbeat, kind `H`, with the sequence of the next packet.
    Heartbeat(Seq),
    /// End of session, kind `E`, with the sequence that a next packet would have had.
    End(Seq),
    /// Refusal of part of a requested range, kind `N`.
    NotAvailable(NotAvailable),
}

/// Identifier of a session. Lines and recordings with different ids belong to different sessions.
/// The id has only four characters, so two sessions may have the same id by chance.
///
/// Concept: [session](crate#session).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionId(pub [u8; 4]);

impl SessionId {
    /// Returns four letters or digits, derived from the last twenty bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        Self(
            [0, 5, 10, 15].map(|shift| LETTERS[usize::from((bits >> shift).to_le_bytes()[0] % 32)]),
        )
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

/// Description of a session and of its packets so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Identifier of the session.
    pub session: SessionId,
    /// Version of the extension that the exchange uses on this connection.
    pub version: u8,
    /// Lowest available sequence.
    pub first: Seq,
    /// Highest sequence so far; `first - 1` while there is none.
    pub last: Seq,
}

/// Requested range that the exchange does not resend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAvailable {
    /// First sequence refused. It echoes the request, so it can be any 32-bit number.
    pub first: u32,
    /// Number of sequences refused.
    pub count: u32,
    /// Reason of the refusal.
    pub reason: Reason,
}

/// Reason why an exchange refuses a resend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Sequences that the session does not have.
    OutOfRange,
    /// More sequences than the exchange resends at once.
    TooMany,
    /// Too many requests; retry later.
    Quota,
    /// Packets no longer kept by the exchange.
    AgedOut,
    /// Malformed call.
    Malformed,
    /// Client is not a subscriber.
    NotSubscriber,
    /// Subscriber is too far behind.
    TooSlow,
    /// Number unknown to this version.
    Other(u32),
}

impl Reason {
    /// Returns the reason's number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::OutOfRange => 1,
            Self::TooMany => 2,
            Self::Quota => 3,
            Self::AgedOut => 4,
            Self::Malformed => 5,
            Self::NotSubscriber => 6,
            Self::TooSlow => 7,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::OutOfRange,
            2 => Self::TooMany,
            3 => Self::Quota,
            4 => Self::AgedOut,
            5 => Self::Malformed,
            6 => Self::NotSubscriber,
            7 => Self::TooSlow,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("out of range"),
            Self::TooMany => f.write_str("too many in one request"),
            Self::Quota => f.write_str("request quota used up"),
            Self::AgedOut => f.write_str("no longer kept"),
            Self::Malformed => f.write_str("malformed request"),
            Self::NotSubscriber => f.write_str("not a subscriber"),
            Self::TooSlow => f.write_str("too far behind"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

/// Reason why 17 bytes are not a message. The caller knows their offset in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Kind (byte 4) is not one of `B`, `S`, `I`, `H`, `E`, `N`.
    Kind(u8),
    /// Sequence, or the field in its place, is outside the message's range.
    Sequence(i32),
    /// Other field is outside the message's range.
    Field(i32),
    /// First four bytes are not legal for the message: a symbol has no control characters.
    Symbol([u8; 4]),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(byte) => {
                write!(f, "byte 4 is 0x{byte:02x}, neither B nor S nor a message of the extension")
            }
            Self::Sequence(seq) => write!(f, "sequence {seq} is not legal here"),
            Self::Field(value) => write!(f, "field value {value} is not legal here"),
            Self::Symbol(bytes) => {
                write!(f, "\"{}\" is not legal as the first four bytes", bytes.escape_ascii())
            }
        }
    }
}

impl core::error::Error for DecodeError {}

fn four(raw: &RawFrame, at: usize) -> [u8; 4] {
    [raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]
}

fn signed(raw: &RawFrame, at: usize) -> i32 {
    i32::from_be_bytes(four(raw, at))
}

/// Returns the sequence of an encoded packet that is known to be legal.
#[must_use]
pub fn sequence_of(raw: &RawFrame) -> Seq {
    Seq::from_be_bytes(four(raw, field::SEQUENCE))
}

/// Returns the sequence of an encoded packet; `None` if the frame is not a packet. Other fields are
/// not checked, because they may have any value.
#[must_use]
pub fn packet_seq(raw: &RawFrame) -> Option<Seq> {
    let seq = sequence_of(raw);
    let packet = matches!(raw[field::KIND], b'B' | b'S') && (FIRST_SEQ..=MAX_SEQ).contains(&seq);
    packet.then_some(seq)
}

/// Returns 0 if the frame's kind is that of a packet. Results of many frames are joined by `|` and
/// checked once.
#[must_use]
pub(crate) fn oddness(raw: &RawFrame) -> u8 {
    ODDNESS[usize::from(raw[field::KIND])]
}

static ODDNESS: [u8; 256] = {
    let mut odd = [1; 256];
    (odd[b'B' as usize], odd[b'S' as usize]) = (0, 0);
    odd
};

/// Decodes a sequence field of at least `lowest`.
fn sequence(raw: &RawFrame, at: usize, lowest: Seq) -> Result<Seq, DecodeError> {
    let value = signed(raw, at);
    match Seq::try_from(value) {
        Ok(seq) if seq >= lowest => Ok(seq),
        _ => Err(DecodeError::Sequence(value)),
    }
}

/// Decodes one message.
///
/// # Errors
/// Returns an error if the kind is unknown, or a field is outside the range of its kind. Fields
/// that a message leaves empty must be empty, because that distinguishes it from the middle of a
/// packet.
pub fn decode(raw: &RawFrame) -> Result<Frame, DecodeError> {
    match raw[field::KIND] {
        b'I' => decode_info(raw).map(Frame::Info),
        b'H' => decode_next(raw).map(Frame::Heartbeat),
        b'E' => decode_next(raw).map(Frame::End),
        b'N' => blank(raw).map(|()| {
            Frame::NotAvailable(NotAvailable {
                first: u32::from_be_bytes(four(raw, field::SEQUENCE)),
                count: u32::from_be_bytes(four(raw, field::PRICE)),
                reason: Reason::from_code(u32::from_be_bytes(four(raw, field::QUANTITY))),
            })
        }),
        _ => decode_packet(raw).map(Frame::Packet),
    }
}

/// Symbol field of a message without a symbol: four spaces.
const BLANK: [u8; 4] = [b' '; 4];

/// Checks that a message has no symbol.
fn blank(raw: &RawFrame) -> Result<(), DecodeError> {
    let symbol = four(raw, 0);
    if symbol == BLANK { Ok(()) } else { Err(DecodeError::Symbol(symbol)) }
}

/// Decodes the next expected sequence, the only field of a heartbeat and of an end of session.
fn decode_next(raw: &RawFrame) -> Result<Seq, DecodeError> {
    blank(raw)?;
    for empty in [field::QUANTITY, field::PRICE].map(|at| signed(raw, at)) {
        if empty != 0 {
            return Err(DecodeError::Field(empty));
        }
    }
    sequence(raw, field::SEQUENCE, FIRST_SEQ)
}

/// Decodes a packet.
///
/// # Errors
/// Returns an error if the frame is not a packet or its sequence is not legal.
#[inline]
pub fn decode_packet(raw: &RawFrame) -> Result<Packet, DecodeError> {
    let kind = raw[field::KIND];
    Ok(Packet {
        symbol: Symbol(four(raw, 0)),
        side: Side::from_letter(kind).ok_or(DecodeError::Kind(kind))?,
        quantity: signed(raw, field::QUANTITY),
        price: signed(raw, field::PRICE),
        sequence: sequence(raw, field::SEQUENCE, FIRST_SEQ)?,
    })
}

fn decode_info(raw: &RawFrame) -> Result<Info, DecodeError> {
    let session = four(raw, 0);
    if !symbol_fits(raw) {
        return Err(DecodeError::Symbol(session));
    }
    let version = signed(raw, field::QUANTITY);
    let first = sequence(raw, field::PRICE, FIRST_SEQ)?;
    Ok(Info {
        session: SessionId(session),
        version: match u8::try_from(version) {
            Ok(known @ 1..) => known,
            _ => return Err(DecodeError::Field(version)),
        },
        first,
        last: sequence(raw, field::SEQUENCE, first - 1)?,
    })
}

/// Encodes one message.
#[must_use]
pub fn encode(frame: &Frame) -> RawFrame {
    match *frame {
        Frame::Packet(Packet { symbol, side, quantity, price, sequence }) => join(
            symbol.0,
            side.letter(),
            quantity.to_be_bytes(),
            price.to_be_bytes(),
            sequence.to_be_bytes(),
        ),
        Frame::Info(Info { session, version, first, last }) => join(
            session.0,
            b'I',
            u32::from(version).to_be_bytes(),
            first.to_be_bytes(),
            last.to_be_bytes(),
        ),
        Frame::Heartbeat(next) => join(BLANK, b'H', [0; 4], [0; 4], next.to_be_bytes()),
        Frame::End(next) => join(BLANK, b'E', [0; 4], [0; 4], next.to_be_bytes()),
        Frame::NotAvailable(NotAvailable { first, count, reason }) => {
            join(BLANK, b'N', reason.code().to_be_bytes(), count.to_be_bytes(), first.to_be_bytes())
        }
    }
}

fn join(head: [u8; 4], kind: u8, quantity: [u8; 4], price: [u8; 4], seq: [u8; 4]) -> RawFrame {
    let mut raw = [0; FRAME_LEN];
    raw[..field::KIND].copy_from_slice(&head);
    raw[field::KIND] = kind;
    raw[field::QUANTITY..field::PRICE].copy_from_slice(&quantity);
    raw[field::PRICE..field::SEQUENCE].copy_from_slice(&price);
    raw[field::SEQUENCE..].copy_from_slice(&seq);
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_has_the_documented_bytes() {
        let packet = Packet {
            symbol: Symbol(*b"SYMB"),
            side: Side::Sell,
            quantity: 101,
            price: 1100,
            sequence: 2,
        };
        let raw = encode(&Frame::Packet(packet));
        assert_eq!(&raw, b"SYMBS\x00\x00\x00\x65\x00\x00\x04\x4c\x00\x00\x00\x02");
        assert_eq!(decode(&raw), Ok(Frame::Packet(packet)));
    }

    #[test]
    fn the_extension_has_the_documented_bytes() {
        let cases: [(Frame, &[u8; 17]); 4] = [
            (
                Frame::Info(Info { session: SessionId(*b"K7QD"), version: 1, first: 1, last: 14 }),
                b"K7QDI\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x0e",
            ),
            (Frame::Heartbeat(15), b"    H\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0f"),
            (Frame::End(15), b"    E\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0f"),
            (
                Frame::NotAvailable(NotAvailable {
                    first: 15,
                    count: 2,
                    reason: Reason::OutOfRange,
                }),
                b"    N\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x0f",
            ),
        ];
        for (frame, raw) in cases {
            assert_eq!(&encode(&frame), raw);
            assert_eq!(decode(raw), Ok(frame));
        }
    }

    #[test]
    fn what_is_not_legal_is_an_error_with_its_reason() {
        let good = encode(&Frame::Packet(Packet {
            symbol: Symbol(*b"AAPL"),
            side: Side::Buy,
            quantity: 1,
            price: 1,
            sequence: 1,
        }));
        let with = |at: usize, bytes: &[u8]| {
            let mut raw = good;
            raw[at..at + bytes.len()].copy_from_slice(bytes);
            decode(&raw)
        };
        assert_eq!(with(4, b"X"), Err(DecodeError::Kind(b'X')));
        assert_eq!(with(13, &[0; 4]), Err(DecodeError::Sequence(0)));
        assert_eq!(with(13, &[0xff; 4]), Err(DecodeError::Sequence(-1)));
        assert!(with(13, &[0x7f, 0xff, 0xff, 0xff]).is_ok());
        // A description that counts backwards, or has no version.
        assert_eq!(with(4, b"I\0\0\0\x01\0\0\0\x05\0\0\0\x03"), Err(DecodeError::Sequence(3)));
        assert!(with(4, b"I\0\0\0\x01\0\0\0\x05\0\0\0\x04").is_ok(), "an empty session");
        assert_eq!(with(4, b"I\0\0\0\0\0\0\0\x01\0\0\0\x03"), Err(DecodeError::Field(0)));
        // Empty fields must be empty: these bytes may be the middle of a packet.
        assert_eq!(with(4, b"H\0\0\0\0\0\0\0\0\0\0\0\x02"), Err(DecodeError::Symbol(*b"AAPL")));
        assert_eq!(with(4, b"N\0\0\0\0\0\0\0\0\0\0\0\x02"), Err(DecodeError::Symbol(*b"AAPL")));
        let beat = encode(&Frame::Heartbeat(2));
        assert!(decode(&beat).is_ok());
        for (at, field) in [(5, 1 << 24), (8, 1), (9, 1 << 24), (12, 1)] {
            let mut beat = beat;
            beat[at] = 1;
            assert_eq!(decode(&beat), Err(DecodeError::Field(field)));
        }
        let mut zero = beat;
        zero[13..].fill(0);
        assert_eq!(decode(&zero), Err(DecodeError::Sequence(0)));
        let info = Info { session: SessionId(*b"A\0 B"), version: 1, first: 1, last: 3 };
        let raw = encode(&Frame::Info(info));
        assert_eq!(decode(&raw), Err(DecodeError::Symbol(*b"A\0 B")));
    }

    proptest! {
        #[test]
        fn whatever_decodes_encodes_to_a_frame_that_means_the_same(raw in any::<[u8; 17]>(),
            kind in prop::sample::select(b"BSIHEN".to_vec())) {
            let mut raw = raw;
            raw[4] = kind;
            if let Ok(frame) = decode(&raw) {
                let again = encode(&frame);
                prop_assert_eq!(decode(&again), Ok(frame));
                if matches!(frame, Frame::Packet(_)) {
                    prop_assert_eq!(again, raw, "a packet loses no bit");
                }
            }
            let seq = match decode(&raw) {
                Ok(Frame::Packet(packet)) => Some(packet.sequence),
                _ => None,
            };
            prop_assert_eq!(packet_seq(&raw), seq);
        }
    }
}
