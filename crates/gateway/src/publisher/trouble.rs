//! Why a publisher cannot go on.

use super::State;
use crate::block::session_word;
use feed::base::seq::Seq;
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
        ours: Option<SessionId>,
        /// The log's.
        theirs: Option<SessionId>,
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
    /// Messages were removed from the log.
    Removed(State),
}

impl Trouble {
    /// Whether packets are missing from the log, rather than others in it.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Removed(_))
    }
}

/// A session as it is called in messages to people.
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
                "its message {number} is of {}, and the recording is of {}{}",
                named(*theirs),
                named(*ours),
                // JSON, for one, has no room for it.
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
