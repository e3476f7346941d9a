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
mod parse_error;
mod request;
mod session;

pub use build::{Builder, DoesNotFit, PayloadLimit};
pub use parse_error::ParseError;
pub use request::{Request, RequestError};
pub use session::{Session, SessionError};

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

#[cfg(test)]
mod tests;
