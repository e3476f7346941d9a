//! Why a publisher cannot go on.

use crate::block::session_word;
use feed::seq::Seq;
use feed::wire::{Frame, RawFrame, SessionId, decode};
use std::fmt;

/// Why a publisher cannot go on, ever: the log is not what was published from packets like ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A packet in the log is another one than ours.
    Conflict {
        /// The message's number.
        number: u64,
        /// Ours.
        ours: RawFrame,
        /// The log's.
        theirs: RawFrame,
    },
    /// A message is of another session.
    OtherSession {
        /// The message's number.
        number: u64,
        /// Ours.
        ours: SessionId,
        /// The log's.
        theirs: SessionId,
    },
    /// A message does not go on where the one before ended.
    Torn {
        /// The message's number.
        number: u64,
        /// The packet that should be its first.
        expected: Seq,
        /// Its first packet.
        found: Seq,
    },
    /// A message was not published by a gateway.
    Foreign {
        /// The message's number.
        number: u64,
        /// How that is known.
        reason: String,
    },
    /// All messages were removed, so nothing tells how far the log had come.
    Emptied {
        /// How many there were.
        messages: u64,
    },
}

fn shown(frame: &RawFrame) -> String {
    match decode(frame) {
        Ok(Frame::Packet(packet)) => packet.to_string(),
        _ => format!("\"{}\"", frame.escape_ascii()),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { number, ours, theirs } => write!(
                f,
                "its message {number} has packet {}, which was recorded as {}",
                shown(theirs),
                shown(ours)
            ),
            Self::OtherSession { number, ours, theirs } => write!(
                f,
                "its message {number} is of session {}, the recording is of {}",
                session_word(Some(*theirs)),
                session_word(Some(*ours))
            ),
            Self::Torn { number, expected, found } => write!(
                f,
                "its message {number} begins with packet {found}, where {expected} should come next"
            ),
            Self::Foreign { number, reason } => {
                write!(f, "its message {number} is no message of betacrew's: {reason}")
            }
            Self::Emptied { messages } => write!(
                f,
                "all its {messages} messages were removed, and with them how far it had come"
            ),
        }
    }
}
