//! Events of connections in SoupBinTCP, for logs.

use crate::base::seq::Seq;
use crate::wire::soup::{DecodeError, FrameError, RejectReason, Text};
use core::fmt;

/// Event of a connection in SoupBinTCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoupEvent {
    /// A client has logged in.
    LoggedIn {
        /// User of the login.
        user: Text<6>,
        /// Sequence of the first message that the client receives.
        first: Seq,
    },
    /// A login was rejected.
    Rejected {
        /// User of the login.
        user: Text<6>,
        /// Reason that the answer gives.
        reason: RejectReason,
        /// Cause of the rejection.
        cause: RejectCause,
    },
    /// A login was not answered, because too many logins of its address wait after wrong passwords.
    Unanswered,
    /// The client has logged out.
    LoggedOut,
    /// The client was silent for too long.
    TimedOut(SoupTimeout),
    /// The client has sent something illegal.
    Violation(SoupViolation),
    /// The tape has a message that no packet can carry.
    MessageTooLong {
        /// Sequence of the message.
        seq: Seq,
    },
}

/// Cause of a rejected login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectCause {
    /// Unknown user, or wrong password.
    Password,
    /// Another session than the one that is played.
    Session(Text<10>),
    /// Sequence above the next one of the session.
    Sequence {
        /// Sequence requested.
        requested: u64,
        /// Next sequence of the session.
        next: Seq,
    },
    /// A fault of the scenario.
    Fault,
}

/// Silence of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoupTimeout {
    /// No login request.
    Login,
    /// No packet since the login, or since the last one.
    Heartbeat,
}

/// Illegal bytes of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoupViolation {
    /// Length that no packet can have, or none before a login.
    Frame(FrameError),
    /// Login request that cannot be read.
    Login(DecodeError),
    /// Second login request.
    SecondLogin,
    /// Packet of another type before the login.
    BeforeLogin {
        /// Type of the packet.
        kind: u8,
    },
}

impl fmt::Display for RejectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("wrong user or password"),
            Self::Session(session) => write!(f, "there is no session \"{session}\""),
            Self::Sequence { requested, next } => {
                write!(f, "message {requested} is requested, and the next one is {next}")
            }
            Self::Fault => f.write_str("by the scenario"),
        }
    }
}

impl fmt::Display for SoupViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Login(error) => error.fmt(f),
            Self::SecondLogin => f.write_str("a second login request"),
            Self::BeforeLogin { kind } => {
                write!(f, "a packet of type '{}' before the login", kind.escape_ascii())
            }
        }
    }
}
