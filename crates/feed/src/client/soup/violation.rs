//! Violations of SoupBinTCP by an exchange.

use crate::base::seq::{MAX_SEQ, Seq};
use crate::wire::soup::{DecodeError, FrameError, RejectReason, Text};
use core::fmt;

/// Violation of SoupBinTCP by an exchange. The recorder cuts the connection and logs in again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoupViolation {
    /// Packet whose length leaves no room for its type, or is too large.
    Length(u16),
    /// Packet whose payload is not as its type demands.
    Packet(DecodeError),
    /// Acceptance with a sequence that no message can have.
    AcceptedSequence(u64),
    /// Acceptance of another session than the one that was requested.
    AcceptedSession {
        /// Session that the login request named.
        requested: Text<10>,
        /// Session of the acceptance.
        accepted: Text<10>,
    },
    /// Second acceptance on one connection, with another sequence than the next one.
    AcceptedAgain {
        /// Sequence of the acceptance.
        accepted: u64,
        /// Sequence of the next message.
        expected: u64,
    },
    /// Rejection after the acceptance.
    RejectedLate(RejectReason),
    /// Sequenced message before the login was accepted.
    BeforeLogin,
    /// Sequenced message after the end of the session.
    AfterEnd,
    /// Message whose sequence would exceed [`MAX_SEQ`].
    SequenceTooHigh,
    /// Message that is no order packet with its own sequence, in a session of order packets.
    NotAnOrderPacket(Seq),
    /// Message that has arrived before with other content.
    Conflict(Seq),
}

impl From<FrameError> for SoupViolation {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Empty { .. } => Self::Length(0),
            FrameError::TooLong { length, .. } => Self::Length(length),
        }
    }
}

impl From<DecodeError> for SoupViolation {
    fn from(error: DecodeError) -> Self {
        Self::Packet(error)
    }
}

impl fmt::Display for SoupViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "packet of length {length}: expected 1 (its type) or more")
            }
            Self::Packet(error) => error.fmt(f),
            Self::AcceptedSequence(sequence) => {
                write!(f, "login accepted with sequence {sequence}: expected 1 to {MAX_SEQ}")
            }
            Self::AcceptedSession { requested, accepted } => {
                write!(f, "login for session \"{requested}\" accepted with session \"{accepted}\"")
            }
            Self::AcceptedAgain { accepted, expected } => write!(
                f,
                "second login accepted with sequence {accepted}, where message {expected} is next"
            ),
            Self::RejectedLate(reason) => {
                write!(f, "login rejected after it was accepted: {reason}")
            }
            Self::BeforeLogin => {
                f.write_str("sequenced message or end of session before the login was accepted")
            }
            Self::AfterEnd => f.write_str("sequenced message after the end of the session"),
            Self::SequenceTooHigh => write!(f, "message with a sequence above {MAX_SEQ}"),
            Self::NotAnOrderPacket(seq) => write!(
                f,
                "message {seq} is no order packet with this sequence, as the messages before it are"
            ),
            Self::Conflict(seq) => {
                write!(f, "message at or above {seq} repeats a recorded one with other content")
            }
        }
    }
}

impl core::error::Error for SoupViolation {}

#[cfg(test)]
mod tests {
    use super::SoupViolation;
    use crate::wire::soup::{FrameError, RejectReason};
    use std::string::ToString;

    #[test]
    fn a_violation_names_the_value_and_what_was_expected() {
        let expected = [
            (FrameError::Empty { offset: 7 }.into(), "packet of length 0: expected 1"),
            (SoupViolation::AcceptedSequence(0), "accepted with sequence 0: expected 1 to"),
            (
                SoupViolation::AcceptedAgain { accepted: 9, expected: 5 },
                "accepted with sequence 9, where message 5 is next",
            ),
            (
                SoupViolation::RejectedLate(RejectReason::NotAuthorized),
                "rejected after it was accepted: not authorized (A)",
            ),
            (SoupViolation::BeforeLogin, "before the login was accepted"),
            (SoupViolation::AfterEnd, "after the end of the session"),
            (SoupViolation::SequenceTooHigh, "a sequence above 9223372036854775807"),
            (SoupViolation::NotAnOrderPacket(4), "message 4 is no order packet"),
            (SoupViolation::Conflict(3), "at or above 3 repeats a recorded one"),
        ];
        for (violation, text) in expected {
            assert!(violation.to_string().contains(text), "{violation}");
        }
    }
}
