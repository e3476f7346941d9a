//! MoldUDP64 1.00: a numbered stream of messages in UDP datagrams (`docs/mold.md`).
//!
//! A datagram is a session, the sequence of its first message, a count and that many messages,
//! each behind its length. A datagram without messages is a heartbeat or the end of the session;
//! both carry the next sequence, which shows a receiver that it missed the last messages. A
//! [`Request`] asks a request server to send messages again; the answer is an ordinary datagram.
//!
//! [`Datagram::parse`] checks a datagram once, so that iterating over its messages cannot fail.
//! [`Builder`] fills datagrams up to a payload limit.
//!
//! ```
//! use feed::wire::mold::{Builder, Content, Datagram, PayloadLimit, Session};
//!
//! let session = Session::new("DAY1")?;
//! let mut bytes = Vec::new();
//! let mut builder = Builder::new(&mut bytes, session, 41, PayloadLimit::DEFAULT);
//! builder.push(b"first")?;
//! builder.push(b"second")?;
//! assert_eq!(builder.finish(), 43);
//!
//! let datagram = Datagram::parse(&bytes)?;
//! assert_eq!(datagram.session(), session);
//! match datagram.content() {
//!     Content::Messages(messages) => {
//!         let numbered: Vec<(u64, &[u8])> = messages.numbered().collect();
//!         assert_eq!(numbered, [(41, &b"first"[..]), (42, b"second")]);
//!     }
//!     Content::Heartbeat | Content::EndOfSession => println!("{datagram}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod request;

pub use build::{Builder, DoesNotFit, PayloadLimit};
pub use request::{Request, RequestError};

use super::SessionId;
use core::fmt;

/// Byte ranges of the fields.
pub mod field {
    use core::ops::{Range, RangeFrom};

    /// Session, ten ASCII characters.
    pub const SESSION: Range<usize> = 0..10;
    /// Sequence of the first message. Unsigned, big-endian.
    pub const SEQUENCE: Range<usize> = 10..18;
    /// Number of messages. Unsigned, big-endian.
    pub const COUNT: Range<usize> = 18..20;
    /// Message blocks.
    pub const BLOCKS: RangeFrom<usize> = 20..;

    /// Length of a block's message, counted from the block's first byte. Unsigned, big-endian.
    pub const BLOCK_LENGTH: Range<usize> = 0..2;
    /// Message of a block.
    pub const BLOCK_MESSAGE: RangeFrom<usize> = 2..;
}

/// Bytes of a datagram's header, and of a whole heartbeat, end of session or request.
pub const HEADER_BYTES: usize = 20;

/// Bytes before a message: its length.
pub const BLOCK_HEADER_BYTES: usize = 2;

/// Count of a heartbeat.
pub const COUNT_HEARTBEAT: u16 = 0;

/// Count of an end of session. It is no number of messages: no UDP datagram has room for 65,535.
pub const COUNT_END_OF_SESSION: u16 = 0xffff;

/// Maximum number of messages in a datagram.
pub const COUNT_MAX: u16 = 0xfffe;

/// Maximum payload of a UDP datagram over IPv4, in bytes.
pub const PAYLOAD_MAX: usize = 65_507;

/// Name of a session, exactly as its ten bytes stand on the wire.
///
/// Sessions are compared byte by byte, because requests must repeat the bytes that the exchange
/// sends, whichever way it pads a short name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub [u8; 10]);

impl Session {
    /// Returns the session of a name, padded with spaces on the right.
    ///
    /// # Errors
    /// Returns [`SessionError`] if the name has more than ten characters, or one that is not
    /// printable ASCII.
    pub fn new(name: &str) -> Result<Self, SessionError> {
        let mut bytes = [b' '; 10];
        let room = bytes.get_mut(..name.len()).ok_or(SessionError)?;
        room.copy_from_slice(name.as_bytes());
        let is_text = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        is_text.then_some(Self(bytes)).ok_or(SessionError)
    }

    /// Returns the name without the spaces and NULs around it.
    #[must_use]
    pub fn trimmed(&self) -> &[u8] {
        let mut name = &self.0[..];
        while let [b' ' | 0, rest @ ..] | [rest @ .., b' ' | 0] = name {
            name = rest;
        }
        name
    }

    /// Returns the id of the session, the same whichever way its name is padded.
    #[must_use]
    pub fn id(&self) -> SessionId {
        let mut padded = [b' '; SessionId::LEN];
        let trimmed = self.trimmed();
        padded[..trimmed.len()].copy_from_slice(trimmed);
        SessionId::new(padded)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A peer's bytes must not reach a terminal as they are.
        write!(f, "{}", self.trimmed().escape_ascii())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Error of a name that no session can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionError;

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("session name: expected at most ten printable ASCII characters")
    }
}

impl core::error::Error for SessionError {}

/// First 20 bytes of a datagram. Heartbeats, ends of session and requests are nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Session of the messages.
    pub session: Session,
    /// Sequence of the first message; where there is none, of the next one.
    pub sequence: u64,
    /// Number of messages, or [`COUNT_END_OF_SESSION`].
    pub count: u16,
}

impl Header {
    /// Returns a heartbeat: `next` is the sequence of the next message.
    #[must_use]
    pub const fn heartbeat(session: Session, next: u64) -> Self {
        Self { session, sequence: next, count: COUNT_HEARTBEAT }
    }

    /// Returns an end of session: `next` is the sequence behind the last message.
    #[must_use]
    pub const fn end_of_session(session: Session, next: u64) -> Self {
        Self { session, sequence: next, count: COUNT_END_OF_SESSION }
    }

    /// Returns the header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[field::SESSION].copy_from_slice(&self.session.0);
        bytes[field::SEQUENCE].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[field::COUNT].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// Splits the header off a datagram; `None` where the datagram is shorter than one.
    fn split_first(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&session, rest) = bytes.split_first_chunk()?;
        let (&sequence, rest) = rest.split_first_chunk()?;
        let (&count, rest) = rest.split_first_chunk()?;
        let sequence = u64::from_be_bytes(sequence);
        let count = u16::from_be_bytes(count);
        Some((Self { session: Session(session), sequence, count }, rest))
    }
}

/// One downstream datagram, checked: its blocks are as many as its count says and fill it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    header: Header,
    /// Number of messages, which is 0 for an end of session.
    messages: u16,
    blocks: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Checks the payload of one UDP datagram.
    ///
    /// # Errors
    /// Returns [`ParseError`] if the bytes are shorter than a header, hold fewer messages than the
    /// count says, end inside a message, go on behind the last one, or number messages beyond 64
    /// bits. Datagrams arrive from anywhere, so a receiver counts the error and goes on.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let length = bytes.len();
        let (header, blocks) = Header::split_first(bytes).ok_or(ParseError::Short { length })?;
        let Header { sequence, count, .. } = header;
        let messages = if count == COUNT_END_OF_SESSION { 0 } else { count };
        if sequence.checked_add(messages.into()).is_none() {
            return Err(ParseError::SequenceOverflow { sequence, count });
        }
        let mut rest = blocks;
        for message in 0..messages {
            let offset = length - rest.len();
            let Some((&size, behind)) = rest.split_first_chunk() else {
                return Err(ParseError::CountTooHigh { offset, count, held: message });
            };
            let size = u16::from_be_bytes(size);
            rest = behind.get(size.into()..).ok_or(ParseError::BlockTooLong {
                offset,
                message,
                length: size,
                available: behind.len(),
            })?;
        }
        match rest.len() {
            0 => Ok(Self { header, messages, blocks }),
            trailing => Err(ParseError::TrailingBytes { offset: length - trailing, trailing }),
        }
    }

    /// Returns the session of the messages.
    #[must_use]
    pub fn session(&self) -> Session {
        self.header.session
    }

    /// Returns the sequence of the first message; where there is none, of the next one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.header.sequence
    }

    /// Returns the number of messages, which is 0 for a heartbeat and an end of session.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.messages
    }

    /// Returns the sequence behind the last message. A receiver that has not got all messages below
    /// it misses some.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        // `parse` has checked the sum.
        self.header.sequence.saturating_add(self.messages.into())
    }

    /// Returns the header as it was sent.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Returns the bytes behind the header: each message behind its length.
    #[must_use]
    pub fn blocks(&self) -> &'a [u8] {
        self.blocks
    }

    /// Returns what the datagram carries.
    #[must_use]
    pub fn content(&self) -> Content<'a> {
        match self.header.count {
            COUNT_HEARTBEAT => Content::Heartbeat,
            COUNT_END_OF_SESSION => Content::EndOfSession,
            _ => Content::Messages(self.messages()),
        }
    }

    /// Returns an iterator over the messages.
    #[must_use]
    pub fn messages(&self) -> Messages<'a> {
        Messages { rest: self.blocks, count: self.messages, sequence: self.header.sequence }
    }
}

impl fmt::Display for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { session, sequence, count } = self.header;
        match count {
            COUNT_HEARTBEAT => {
                write!(f, "heartbeat, session \"{session}\", next sequence {sequence}")
            }
            COUNT_END_OF_SESSION => {
                write!(f, "end of session \"{session}\", next sequence {sequence}")
            }
            1 => write!(f, "session \"{session}\", message {sequence}, {} bytes", self.size()),
            _ => {
                let last = self.next_sequence().saturating_sub(1);
                let size = self.size();
                write!(
                    f,
                    "session \"{session}\", {count} messages {sequence} to {last}, {size} bytes"
                )
            }
        }
    }
}

impl Datagram<'_> {
    /// Returns the bytes of all messages together.
    fn size(&self) -> usize {
        self.blocks.len() - BLOCK_HEADER_BYTES * usize::from(self.messages)
    }
}

impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram {{ {self} }}")
    }
}

/// Contents of a datagram.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Messages, one at least.
    Messages(Messages<'a>),
    /// No message: the exchange is alive, and nothing is missing below the datagram's sequence.
    Heartbeat,
    /// No message: the session has none from the datagram's sequence on. Requests are still
    /// answered for a while.
    EndOfSession,
}

/// Iterator over the messages of a [`Datagram`].
#[derive(Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
    count: u16,
    /// Sequence of the first message of the rest.
    sequence: u64,
}

impl<'a> Messages<'a> {
    /// Returns an iterator over the messages with their sequences.
    #[must_use]
    pub fn numbered(self) -> Numbered<'a> {
        Numbered(self)
    }

    /// Returns the sequence of the message that comes next.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messages {{ {} from sequence {} }}", self.count, self.sequence)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        // `Datagram::parse` has checked all lengths, so this ends with the blocks.
        let (&length, behind) = self.rest.split_first_chunk()?;
        let (message, rest) = behind.split_at_checked(u16::from_be_bytes(length).into())?;
        self.rest = rest;
        self.count = self.count.saturating_sub(1);
        self.sequence = self.sequence.saturating_add(1);
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count.into(), Some(self.count.into()))
    }
}

impl ExactSizeIterator for Messages<'_> {}

/// Iterator over the messages of a [`Datagram`], each with its sequence.
#[derive(Clone, Debug)]
pub struct Numbered<'a>(Messages<'a>);

impl<'a> Iterator for Numbered<'a> {
    type Item = (u64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let sequence = self.0.sequence;
        self.0.next().map(|message| (sequence, message))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Numbered<'_> {}

/// Error of bytes that are no downstream datagram. Offsets count from the datagram's first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// Fewer bytes than a header has.
    Short {
        /// Length of the datagram in bytes.
        length: usize,
    },
    /// Sequences that do not fit 64 bits (the field at offset 10).
    SequenceOverflow {
        /// Sequence of the first message.
        sequence: u64,
        /// Number of messages.
        count: u16,
    },
    /// Count above the number of messages in the datagram.
    CountTooHigh {
        /// Offset at which the next message's length is missing.
        offset: usize,
        /// Number of messages that the header announces.
        count: u16,
        /// Number of messages in front of the offset.
        held: u16,
    },
    /// Message that runs over the end of the datagram.
    BlockTooLong {
        /// Offset of the message's length.
        offset: usize,
        /// Number of messages in front of this one.
        message: u16,
        /// Length that the message should have.
        length: u16,
        /// Bytes of it that are there.
        available: usize,
    },
    /// Bytes behind the last message.
    TrailingBytes {
        /// Offset of the first of them.
        offset: usize,
        /// Number of them.
        trailing: usize,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { length } => {
                write!(f, "datagram of {length} bytes: a MoldUDP64 header has {HEADER_BYTES}")
            }
            Self::SequenceOverflow { sequence, count } => write!(
                f,
                "sequence {sequence} at byte 10 and {count} messages: sequences end at {}",
                u64::MAX
            ),
            Self::CountTooHigh { offset, count, held } => write!(
                f,
                "count of {count} messages, but the datagram ends at byte {offset} after {held}"
            ),
            Self::BlockTooLong { offset, message, length, available } => write!(
                f,
                "message {message} (from 0) at byte {offset} has length {length}, but only \
                 {available} bytes follow"
            ),
            Self::TrailingBytes { offset, trailing } => {
                write!(f, "{trailing} bytes behind the last message, from byte {offset} on")
            }
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let pairs = (0..text.len()).step_by(2).filter_map(|at| text.get(at..at + 2));
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn datagram(sequence: u64, count: u16, blocks: &[u8]) -> Vec<u8> {
        let session = Session(*b"DAY1      ");
        [&Header { session, sequence, count }.encode()[..], blocks].concat()
    }

    /// A datagram of a public capture of Nasdaq TotalView: an order is deleted.
    const DELETED: &str = "\
        303030303130303539420000000000e12f5a00010013440dbd00001f1aced85ad80000000001668bd6";

    /// A datagram of another such capture, whose session and sequences were blanked out: the market
    /// opens.
    const BLANKED: &str = "\
        0000000000000000000000000000000000000001000c53000000001f1acedb02f051";

    /// The first two of 38 messages of a datagram of the first capture, with a count of 2.
    const ORDERS: &str = "\
        303030303130303539420000000001220e5d0002002441197200001f23e0981ae10000000000792f9f42\
        000000014d45544120202020000c4950002441197200001f23e0981ae100000000006b3f7f5300000064\
        4d4554412020202000368634";

    #[test]
    fn datagrams_of_a_real_feed_are_read() {
        let bytes = hex(DELETED);
        let deleted = Datagram::parse(&bytes).unwrap();
        assert_eq!(deleted.session(), Session::new("000010059B").unwrap());
        assert_eq!((deleted.sequence(), deleted.count()), (14_757_722, 1));
        assert_eq!(deleted.next_sequence(), 14_757_723);
        let messages: Vec<_> = deleted.messages().collect();
        assert_eq!((messages[0].len(), messages[0][0]), (19, b'D'));
        assert_eq!(deleted.to_string(), "session \"000010059B\", message 14757722, 19 bytes");

        let bytes = hex(BLANKED);
        let blanked = Datagram::parse(&bytes).unwrap();
        assert_eq!((blanked.session(), blanked.sequence()), (Session([0; 10]), 0));
        assert_eq!(blanked.to_string(), "session \"\", message 0, 12 bytes");

        let bytes = hex(ORDERS);
        let orders = Datagram::parse(&bytes).unwrap();
        let numbered: Vec<_> = orders.messages().numbered().map(|(n, m)| (n, m[0])).collect();
        assert_eq!(numbered, [(19_009_117, b'A'), (19_009_118, b'A')]);
        assert_eq!(
            orders.to_string(),
            "session \"000010059B\", 2 messages 19009117 to 19009118, 72 bytes"
        );
    }

    #[test]
    fn heartbeats_and_ends_have_the_documented_bytes() {
        let session = Session::new("DAY1").unwrap();
        let beat = Header::heartbeat(session, 42).encode();
        assert_eq!(&beat, b"DAY1      \0\0\0\0\0\0\0\x2a\0\0");
        let beat = Datagram::parse(&beat).unwrap();
        assert!(matches!(beat.content(), Content::Heartbeat));
        assert_eq!(beat.to_string(), "heartbeat, session \"DAY1\", next sequence 42");
        let end = Header::end_of_session(session, 42).encode();
        assert_eq!(&end, b"DAY1      \0\0\0\0\0\0\0\x2a\xff\xff");
        let end = Datagram::parse(&end).unwrap();
        assert!(matches!(end.content(), Content::EndOfSession));
        assert_eq!((end.count(), end.next_sequence()), (0, 42), "an end is no 65,535 messages");
        assert_eq!(end.to_string(), "end of session \"DAY1\", next sequence 42");
    }

    #[test]
    fn bytes_that_are_no_datagram_are_named_errors_with_offsets() {
        let parse = |bytes: &[u8]| Datagram::parse(bytes).map(|_| ()).unwrap_err();
        for length in 0..HEADER_BYTES {
            assert_eq!(parse(&datagram(1, 0, b"")[..length]), ParseError::Short { length });
        }
        let too_high = |offset, count, held| ParseError::CountTooHigh { offset, count, held };
        assert_eq!(parse(&datagram(1, 1, b"")), too_high(20, 1, 0));
        assert_eq!(parse(&datagram(1, 3, b"\0\x01a\0\0")), too_high(25, 3, 2));
        assert_eq!(parse(&datagram(1, 2, b"\0\x01a\0")), too_high(23, 2, 1), "half a length");
        assert_eq!(parse(&datagram(1, 0xfffe, b"\0\0")), too_high(22, 0xfffe, 1));
        let error = parse(&datagram(1, 2, b"\0\x01a\0\x05bcd"));
        let too_long = ParseError::BlockTooLong { offset: 23, message: 1, length: 5, available: 3 };
        assert_eq!(error, too_long);
        assert_eq!(
            error.to_string(),
            "message 1 (from 0) at byte 23 has length 5, but only 3 bytes follow"
        );
        let trailing = |offset, trailing| ParseError::TrailingBytes { offset, trailing };
        assert_eq!(parse(&datagram(1, 1, b"\0\x01abc")), trailing(23, 2));
        assert_eq!(parse(&datagram(1, 0, b"a")), trailing(20, 1), "a heartbeat has no messages");
        assert_eq!(parse(&datagram(1, 0xffff, b"\0\0")), trailing(20, 2), "nor has an end");
    }

    #[test]
    fn sequences_that_do_not_fit_64_bits_are_an_error() {
        let blocks = b"\0\x01a\0\x01b";
        let highest = datagram(u64::MAX - 2, 2, blocks);
        assert_eq!(Datagram::parse(&highest).unwrap().next_sequence(), u64::MAX);
        let sequence = u64::MAX - 1;
        let overflow = ParseError::SequenceOverflow { sequence, count: 2 };
        assert_eq!(Datagram::parse(&datagram(sequence, 2, blocks)), Err(overflow));
        assert!(Datagram::parse(&datagram(u64::MAX, 0, b"")).is_ok());
        assert!(Datagram::parse(&datagram(u64::MAX, 0xffff, b"")).is_ok());
    }

    #[test]
    fn sessions_are_names_of_ten_characters() {
        assert_eq!(Session::new("DAY1").unwrap().0, *b"DAY1      ");
        assert!(Session::new("0123456789").is_ok());
        for bad in ["0123456789A", "é", "\n"] {
            assert_eq!(Session::new(bad), Err(SessionError));
        }
        assert_eq!(Session(*b"    DAY1  ").to_string(), "DAY1");
        assert_eq!(Session(*b"\0A\x1b[2J\xff \0\0").to_string(), "A\\x1b[2J\\xff");
        assert_ne!(Session(*b"      DAY1"), Session(*b"DAY1      "), "bytes count, not names");
        for name in [*b"DAY1      ", *b"      DAY1", *b"DAY1\0\0\0\0\0\0"] {
            assert_eq!(Session(name).id(), SessionId::of(*b"DAY1"));
        }
    }

    proptest! {
        #[test]
        fn a_datagram_that_parses_is_made_of_the_same_bytes(
            sequence in prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()],
            count in prop_oneof![4 => 0u16..5, 1 => Just(0xffff), 1 => any::<u16>()],
            blocks in prop::collection::vec(
                prop_oneof![6 => Just(0u8), 3 => 0u8..4, 1 => any::<u8>()], 0..12),
            cut in prop_oneof![3 => Just(0usize), 1 => 0usize..40],
        ) {
            let mut bytes = datagram(sequence, count, &blocks);
            bytes.truncate(bytes.len() - cut % bytes.len());
            if let Ok(datagram) = Datagram::parse(&bytes) {
                let mut again = datagram.header().encode().to_vec();
                for message in datagram.messages() {
                    again.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
                    again.extend(message);
                }
                prop_assert_eq!(&again, &bytes);
                prop_assert_eq!(datagram.messages().count(), usize::from(datagram.count()));
                let next = datagram.sequence().checked_add(datagram.count().into());
                prop_assert_eq!(next, Some(datagram.next_sequence()));
            }
        }

        #[test]
        fn any_bytes_are_a_datagram_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            match Datagram::parse(&bytes) {
                Ok(datagram) => prop_assert!(!datagram.to_string().contains(['\n', '\x1b'])),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
