//! Requests for messages that a receiver missed.

use super::{HEADER_BYTES, Header, Session};
use core::fmt;

/// Request to send messages again, as a receiver sends it to a request server.
///
/// The answer is one ordinary datagram, with as many of the messages as fit into it. A request
/// that a server does not answer gets no refusal.
///
/// ```
/// use feed::wire::mold::{Request, Session};
///
/// let request = Request { session: Session::new("DAY1")?, sequence: 41, count: 2 };
/// assert_eq!(Request::parse(&request.encode()), Ok(request));
/// assert_eq!(request.to_string(), "request, session \"DAY1\", 2 messages 41 to 42");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Concept: [request](crate#request).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Session of the messages.
    pub session: Session,
    /// Sequence of the first message wanted.
    pub sequence: u64,
    /// Number of messages wanted.
    pub count: u16,
}

impl Request {
    /// Checks the payload of one UDP datagram.
    ///
    /// # Errors
    /// Returns [`RequestError`] if the bytes are not as many as a request has, ask for no message,
    /// or number messages beyond 64 bits. A request server ignores such a datagram.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let length = bytes.len();
        let Some((header, [])) = Header::split_first(bytes) else {
            return Err(RequestError::Length { length });
        };
        let Header { session, sequence, count } = header;
        if count == 0 {
            return Err(RequestError::NoMessages);
        }
        if sequence.checked_add(count.into()).is_none() {
            return Err(RequestError::SequenceOverflow { sequence, count });
        }
        Ok(Self { session, sequence, count })
    }

    /// Returns the request's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let Self { session, sequence, count } = *self;
        Header { session, sequence, count }.encode()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, sequence, count } = self;
        match count {
            1 => write!(f, "request, session \"{session}\", message {sequence}"),
            _ => {
                let last = sequence.saturating_add(u64::from(*count)).saturating_sub(1);
                write!(f, "request, session \"{session}\", {count} messages {sequence} to {last}")
            }
        }
    }
}

/// Error of bytes that are no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// Length that a request does not have.
    Length {
        /// Length of the datagram in bytes.
        length: usize,
    },
    /// Count of 0.
    NoMessages,
    /// Sequences that do not fit 64 bits.
    SequenceOverflow {
        /// Sequence of the first message.
        sequence: u64,
        /// Number of messages.
        count: u16,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { length } => {
                write!(f, "request of {length} bytes: a MoldUDP64 request has {HEADER_BYTES}")
            }
            Self::NoMessages => f.write_str("request for 0 messages (the count at byte 18)"),
            Self::SequenceOverflow { sequence, count } => write!(
                f,
                "request for {count} messages from sequence {sequence} (byte 10): sequences end \
                 at {}",
                u64::MAX
            ),
        }
    }
}

impl core::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const BYTES: &[u8; 20] = b"DAY1      \0\0\0\0\0\0\0\x29\x01\x02";

    #[test]
    fn a_request_has_the_documented_bytes() {
        let session = Session::new("DAY1").unwrap();
        let request = Request { session, sequence: 41, count: 258 };
        assert_eq!(&request.encode(), BYTES);
        assert_eq!(Request::parse(BYTES), Ok(request));
        assert_eq!(request.to_string(), "request, session \"DAY1\", 258 messages 41 to 298");
        let one = Request { count: 1, ..request };
        assert_eq!(one.to_string(), "request, session \"DAY1\", message 41");
    }

    #[test]
    fn bytes_that_are_no_request_are_named_errors() {
        for length in (0..20).chain([21, 1400]) {
            let mut bytes = BYTES.to_vec();
            bytes.resize(length, 0);
            assert_eq!(Request::parse(&bytes), Err(RequestError::Length { length }));
        }
        let mut none = *BYTES;
        none[18..].fill(0);
        assert_eq!(Request::parse(&none), Err(RequestError::NoMessages));
        let mut high = *BYTES;
        high[10..18].fill(0xff);
        let overflow = RequestError::SequenceOverflow { sequence: u64::MAX, count: 258 };
        assert_eq!(Request::parse(&high), Err(overflow));
        let mut last = high;
        last[16..].copy_from_slice(&[0xfe, 0xfd, 0x01, 0x02]);
        assert!(Request::parse(&last).is_ok(), "the last 258 sequences");
    }

    proptest! {
        #[test]
        fn a_request_that_parses_encodes_to_the_same_bytes(bytes: [u8; 20]) {
            if let Ok(request) = Request::parse(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
                prop_assert!(!request.to_string().contains(['\n', '\x1b']));
            }
        }
    }
}
