//! Errors of bytes that are no datagram.

use super::HEADER_BYTES;
use core::fmt;

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
        /// Number of the message's bytes that the datagram has.
        available: usize,
    },
    /// Bytes behind the last message.
    TrailingBytes {
        /// Offset of the first byte behind the last message.
        offset: usize,
        /// Number of bytes behind the last message.
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
