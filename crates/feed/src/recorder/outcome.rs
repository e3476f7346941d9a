//! What a recording came to.

use crate::seq::{Seq, SeqRange, SeqSet};
use crate::wire::{DecodeError, Reason, SessionId};
use core::fmt;

/// How well the end of the session is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tail {
    /// The exchange said, or the user knew, which packet is the last.
    Confirmed,
    /// Nothing above the highest packet was seen in all passes; this is the chance that there is
    /// something all the same.
    Inferred {
        /// From 0 to 1.
        doubt: f64,
    },
    /// It could not be found out.
    Unknown,
}

/// Why a recording is incomplete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The user ended it.
    Stopped,
    /// No line could be reached (any more).
    Unreachable,
    /// Every stream was cut off, time and again.
    CutOff,
    /// What is missing was neither sent again when asked for nor streamed by further passes.
    NotServed,
    /// The exchange refused to send it again.
    Refused(Reason),
    /// It was missing for longer than [`Options::give_up`](super::Options::give_up).
    GivenUp,
    /// The peer was reached, and neither sent anything nor ended a stream in order.
    NoAnswer,
    /// Passes never showed enough of the session to tell where it ends.
    EndUnknown,
    /// An exchange plays another session than the one that was recorded before, or from another
    /// line.
    OtherSession,
    /// The exchange does not speak the extension, without which a session cannot be followed.
    NotLive,
    /// The recording is of a known session, and the exchange does not tell which one it plays.
    SessionUntold,
    /// The reader of the packets has had enough of them.
    Enough,
    /// What came could not be written.
    Storage,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped by the user"),
            Self::Unreachable => f.write_str("the exchange cannot be reached any more"),
            Self::CutOff => f.write_str("every stream was cut off or made no sense"),
            Self::NotServed => f.write_str(
                "the exchange neither sent them again nor streamed them in later passes",
            ),
            Self::Refused(reason) => write!(f, "the exchange refused to send them again: {reason}"),
            Self::GivenUp => f.write_str("what was missing for too long was given up"),
            Self::NoAnswer => f.write_str(
                "connections are accepted, and neither packets nor a description of a session come",
            ),
            Self::EndUnknown => f.write_str("too little came to tell where the session ends"),
            Self::OtherSession => f.write_str("packets of different sessions"),
            Self::NotLive => f.write_str(
                "the exchange does not speak the extension, without which a session cannot be \
                 followed",
            ),
            Self::SessionUntold => f.write_str(
                "the recording is of a known session, and the exchange does not tell which one it \
                 plays",
            ),
            Self::Enough => f.write_str("the reader has had enough"),
            Self::Storage => f.write_str("the recording could not be written"),
        }
    }
}

/// What a recording came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The last sequence known to exist; 0 where there is none.
    pub last: Seq,
    /// What is missing up to there.
    pub missing: SeqSet,
    /// How sure it is that there is nothing above.
    pub tail: Tail,
    /// Why something is missing, or why the end is unknown.
    pub why: Option<Why>,
}

/// What peers did that no exchange should do.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Packets that came again with other content; the first one was kept.
    pub conflicts: u64,
    /// Frames that were no message, and the first of them with its connection's bytes before it.
    pub undecodable: u64,
    /// The first of those: where it began in its connection's bytes, and what was wrong.
    pub first_undecodable: Option<(u64, DecodeError)>,
    /// Packets that were left out because what came right behind them was torn, and they did not
    /// follow the packet before them.
    pub doubtful: u64,
    /// Packets with a sequence too far ahead to be believed, and heartbeats and ends that tell of
    /// one.
    pub implausible: u64,
    /// The first of those sequences.
    pub first_implausible: Option<Seq>,
    /// Sequences that one line said to exist and did not bring, and that lie beyond the end that
    /// another line told; they were taken for none.
    pub contradicted: Option<SeqRange>,
    /// Session that a line told of, where another one is recorded and is not followed.
    pub other_session: Option<SessionId>,
}

impl Trouble {
    /// Whether there was any.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}
