//! Datagrams being filled.

use super::{BLOCK_HEADER_BYTES, HEADER_BYTES, Header, PAYLOAD_MAX, Session, field};
use alloc::vec::Vec;
use core::fmt;

/// Maximum length of a datagram's payload in bytes, its header included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PayloadLimit(usize);

impl PayloadLimit {
    /// Limit that fits the 1,500 bytes of Ethernet with room for tunnels: 1,400.
    pub const DEFAULT: Self = Self(1_400);

    /// Lowest limit: a header and a message of no bytes.
    pub const MIN: Self = Self(HEADER_BYTES + BLOCK_HEADER_BYTES);

    /// Highest limit: what UDP over IPv4 carries.
    pub const MAX: Self = Self(PAYLOAD_MAX);

    /// Returns the limit of a number of bytes, or `None` outside [`MIN`](Self::MIN) and
    /// [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(bytes: usize) -> Option<Self> {
        if Self::MIN.0 <= bytes && bytes <= Self::MAX.0 { Some(Self(bytes)) } else { None }
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }

    /// Returns the length of the longest message that a datagram of this limit carries.
    #[must_use]
    pub const fn message_max(self) -> usize {
        self.0 - HEADER_BYTES - BLOCK_HEADER_BYTES
    }
}

impl Default for PayloadLimit {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One datagram that is being filled at the end of a buffer.
///
/// A datagram with no message is a heartbeat. Several datagrams may follow one another in one
/// buffer, for one system call.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut Vec<u8>,
    /// Length of the buffer before the datagram.
    start: usize,
    /// Sequence of the first message.
    sequence: u64,
    count: u16,
    limit: PayloadLimit,
}

impl<'a> Builder<'a> {
    /// Begins a datagram at the end of `out`, whose first message has this sequence.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, session: Session, sequence: u64, limit: PayloadLimit) -> Self {
        let start = out.len();
        out.extend_from_slice(&Header::heartbeat(session, sequence).encode());
        Self { out, start, sequence, count: 0, limit }
    }

    /// Appends a message.
    ///
    /// # Errors
    /// Returns [`DoesNotFit`] if the datagram has no room for the message, no datagram of this
    /// limit has, or sequences end. The datagram is then unchanged.
    pub fn push(&mut self, message: &[u8]) -> Result<(), DoesNotFit> {
        let (length, max) = (message.len(), self.limit.message_max());
        // The limit is below 65,535, so a message within it has a length of 16 bits.
        let prefix = u16::try_from(length).ok().filter(|_| length <= max);
        let prefix = prefix.ok_or(DoesNotFit::AnyDatagram { length, max })?;
        if self.room().is_none_or(|room| length > room) {
            return Err(DoesNotFit::ThisDatagram { length, room: self.room() });
        }
        // A datagram has room for 32,743 messages of no bytes, so the count stays below that of an
        // end of session.
        let count = self.count + 1;
        if self.sequence.checked_add(count.into()).is_none() {
            return Err(DoesNotFit::SequencesEnd);
        }
        self.out.extend_from_slice(&prefix.to_be_bytes());
        self.out.extend_from_slice(message);
        self.count = count;
        Ok(())
    }

    /// Appends messages until one does not fit; returns how many were appended.
    pub fn push_all<'m>(&mut self, messages: impl IntoIterator<Item = &'m [u8]>) -> usize {
        messages.into_iter().map_while(|message| self.push(message).ok()).count()
    }

    /// Returns the length of the longest message that still fits, or `None` where not even one of
    /// no bytes does.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        self.limit.bytes().checked_sub(self.length() + BLOCK_HEADER_BYTES)
    }

    /// Returns the length of the datagram so far, its header included.
    #[must_use]
    pub fn length(&self) -> usize {
        self.out.len() - self.start
    }

    /// Returns the number of messages so far.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Ends the datagram; returns the sequence of the message that comes behind it.
    pub fn finish(self) -> u64 {
        self.sequence.saturating_add(self.count.into())
    }
}

impl Drop for Builder<'_> {
    /// Writes the count, so that the buffer holds a legal datagram however filling it ended.
    fn drop(&mut self) {
        let datagram = self.out.get_mut(self.start..).unwrap_or_default();
        if let Some(field) = datagram.get_mut(field::COUNT) {
            field.copy_from_slice(&self.count.to_be_bytes());
        }
    }
}

/// Reason why a message was not appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DoesNotFit {
    /// Message that needs a datagram of its own, or the next one.
    ThisDatagram {
        /// Length of the message in bytes.
        length: usize,
        /// Length of the longest message that fits; `None` where not even one of no bytes does.
        room: Option<usize>,
    },
    /// Message longer than any datagram of this limit carries.
    AnyDatagram {
        /// Length of the message in bytes.
        length: usize,
        /// Length of the longest message that a datagram carries.
        max: usize,
    },
    /// Message whose sequence would not fit 64 bits.
    SequencesEnd,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisDatagram { length, room: Some(room) } => {
                write!(f, "message of {length} bytes: the datagram has room for {room}")
            }
            Self::ThisDatagram { length, room: None } => {
                write!(f, "message of {length} bytes: the datagram is full")
            }
            Self::AnyDatagram { length, max } => {
                write!(f, "message of {length} bytes: the payload limit allows {max} at most")
            }
            Self::SequencesEnd => write!(f, "sequences end at {}", u64::MAX),
        }
    }
}

impl core::error::Error for DoesNotFit {}

#[cfg(test)]
mod tests {
    use super::super::{Content, Datagram};
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const SESSION: Session = Session(*b"DAY1      ");

    fn limit(bytes: usize) -> PayloadLimit {
        PayloadLimit::new(bytes).unwrap()
    }

    #[test]
    fn a_datagram_is_filled_to_its_last_byte() {
        let mut out = Vec::new();
        let mut builder = Builder::new(&mut out, SESSION, 7, limit(28));
        assert_eq!(builder.room(), Some(6));
        builder.push(b"ab").unwrap();
        assert_eq!(builder.room(), Some(2));
        let error = builder.push(b"abc").unwrap_err();
        assert_eq!(error, DoesNotFit::ThisDatagram { length: 3, room: Some(2) });
        assert_eq!(error.to_string(), "message of 3 bytes: the datagram has room for 2");
        builder.push(b"cd").unwrap();
        assert_eq!((builder.length(), builder.count(), builder.room()), (28, 2, None));
        let error = builder.push(b"").unwrap_err();
        assert_eq!(error, DoesNotFit::ThisDatagram { length: 0, room: None });
        assert_eq!(error.to_string(), "message of 0 bytes: the datagram is full");
        let error = builder.push(b"1234567").unwrap_err();
        assert_eq!(error, DoesNotFit::AnyDatagram { length: 7, max: 6 });
        assert_eq!(builder.finish(), 9);
        assert_eq!(out, b"DAY1      \0\0\0\0\0\0\0\x07\0\x02\0\x02ab\0\x02cd");
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!(PayloadLimit::new(21), None);
        assert_eq!(limit(22).message_max(), 0);
        assert_eq!(PayloadLimit::new(65_508), None);
        assert_eq!(limit(65_507).message_max(), 65_485);
        assert_eq!(PayloadLimit::default().bytes(), 1_400);
        let mut out = Vec::new();
        let mut builder = Builder::new(&mut out, SESSION, 1, PayloadLimit::MAX);
        let empty = core::iter::repeat(&b""[..]);
        assert_eq!(builder.push_all(empty), 32_743);
        builder.finish();
        assert_eq!(Datagram::parse(&out).unwrap().count(), 32_743);
    }

    #[test]
    fn a_datagram_without_messages_is_a_heartbeat() {
        let mut out = b"before".to_vec();
        assert_eq!(Builder::new(&mut out, SESSION, 7, limit(28)).finish(), 7);
        let datagram = Datagram::parse(&out[6..]).unwrap();
        assert!(matches!(datagram.content(), Content::Heartbeat));
    }

    #[test]
    fn sequences_end_with_64_bits() {
        let mut out = Vec::new();
        let mut builder = Builder::new(&mut out, SESSION, u64::MAX - 1, PayloadLimit::DEFAULT);
        assert_eq!(builder.push(b"a"), Ok(()));
        assert_eq!(builder.push(b"b"), Err(DoesNotFit::SequencesEnd));
        assert_eq!(builder.finish(), u64::MAX);
        assert!(Datagram::parse(&out).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_built_parses_to_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..60),
            sequence: u64,
            payload_limit in 102usize..400,
        ) {
            let mut sequence = sequence.min(u64::MAX - 60);
            let first = sequence;
            let mut left = messages.iter().map(Vec::as_slice).peekable();
            let mut parsed: Vec<(u64, Vec<u8>)> = Vec::new();
            while left.peek().is_some() {
                let mut out = Vec::new();
                let mut builder = Builder::new(&mut out, SESSION, sequence, limit(payload_limit));
                while let Some(&message) = left.peek() && builder.push(message).is_ok() {
                    left.next();
                }
                sequence = builder.finish();
                prop_assert!(out.len() <= payload_limit);
                let datagram = Datagram::parse(&out).unwrap();
                prop_assert!(datagram.count() > 0, "every message fits some datagram");
                prop_assert_eq!(datagram.next_sequence(), sequence);
                let numbered = datagram.messages().numbered();
                parsed.extend(numbered.map(|(sequence, message)| (sequence, message.to_vec())));
            }
            prop_assert_eq!(parsed, (first..).zip(messages).collect::<Vec<_>>());
        }
    }
}
