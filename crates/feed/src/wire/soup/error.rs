//! Errors of packets and of messages that do not fit into one.

use super::{Kind, MESSAGE_MAX, NumberError, kind};
use core::fmt;

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
