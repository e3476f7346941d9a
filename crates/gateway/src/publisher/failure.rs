//! Reasons why a publisher cannot continue.

use super::State;
use crate::block::session_word;
use feed::base::seq::Seq;
use feed::wire::{Frame, RawFrame, SessionId, decode};
use std::fmt;

/// Reason why a publisher can never continue: the log's messages do not match our packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishFailure {
    /// Packet in the log that differs from ours.
    Conflict {
        /// Number of the message.
        number: u64,
        /// Our packet.
        ours: RawFrame,
        /// Packet of the log.
        theirs: RawFrame,
    },
    /// Message of another session.
    OtherSession {
        /// Number of the message.
        number: u64,
        /// Our session.
        ours: Option<SessionId>,
        /// Session of the log.
        theirs: Option<SessionId>,
    },
    /// Message that does not continue the one before.
    Torn {
        /// Number of the message.
        number: u64,
        /// First sequence that the message should have.
        expected: Seq,
        /// First sequence that the message has.
        found: Seq,
    },
    /// Message that was not published by a gateway.
    Foreign {
        /// Number of the message.
        number: u64,
        /// Evidence, as text.
        reason: String,
    },
    /// Messages were removed from the log.
    Removed(State),
}

impl PublishFailure {
    /// Returns true if packets are missing from the log, rather than different.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Removed(_))
    }
}

/// Returns the name of a session in messages to people.
pub(crate) fn named(session: Option<SessionId>) -> String {
    match session {
        Some(_) => format!("session {}", session_word(session)),
        None => "a session without a name".to_owned(),
    }
}

fn shown(frame: &RawFrame) -> String {
    match decode(frame) {
        Ok(Frame::Packet(packet)) => packet.to_string(),
        _ => format!("\"{}\"", frame.escape_ascii()),
    }
}

impl fmt::Display for PublishFailure {
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
                "its message {number} is of {}, and the recording is of {}{}",
                named(*theirs),
                named(*ours),
                // JSON, for example, has no room for it.
                if ours.is_none() { " (the .tape of a recording has its name)" } else { "" }
            ),
            Self::Torn { number, expected, found } => write!(
                f,
                "its message {number} begins with packet {found}, where {expected} should come next"
            ),
            Self::Foreign { number, reason } => {
                write!(f, "its message {number} is no message of betacrew's: {reason}")
            }
            Self::Removed(State { messages: 0, last, .. }) => {
                write!(f, "all its {last} messages were removed")
            }
            Self::Removed(state) if state.first > 1 && state.removed() == state.first - 1 => {
                write!(f, "its messages 1 to {} were removed", state.first - 1)
            }
            Self::Removed(state) => {
                write!(f, "{} of its {} messages were removed", state.removed(), state.last)
            }
        }
    }
}
