//! Violations of MoldUDP64 by senders of datagrams to a line.

use crate::base::seq::{MAX_SEQ, Seq};
use crate::wire::mold::ParseError;
use core::fmt;

/// Violation of MoldUDP64 by a datagram. The recorder ignores the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoldViolation {
    /// Bytes that are no datagram.
    Datagram(ParseError),
    /// Sequence that no message can have.
    Sequence(u64),
    /// Message that is no order packet with its own sequence, in a session of order packets.
    NotAnOrderPacket(Seq),
}

impl fmt::Display for MoldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram(error) => error.fmt(f),
            Self::Sequence(seq) => write!(f, "sequence {seq}: expected 1 to {MAX_SEQ}"),
            Self::NotAnOrderPacket(seq) => write!(
                f,
                "message {seq} is no order packet with this sequence, as the messages before it are"
            ),
        }
    }
}

impl core::error::Error for MoldViolation {}

/// Datagrams that were ignored, by kind, over all lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct IgnoredDatagrams {
    /// Datagrams that are not as MoldUDP64 demands.
    pub malformed: u64,
    /// First violation by such a datagram.
    pub first_malformed: Option<MoldViolation>,
    /// Datagrams of another session than the recorded one.
    pub other_session: u64,
    /// Datagrams of a sender that is not the line's.
    pub strangers: u64,
}
