//! Whether a recording is complete: the one place that decides it.
//!
//! Everybody who must know asks [`Facts`]: whether outputs are written and the recording is put
//! away, what the summary and the report say, what a tape file that is read, converted, checked or
//! played is worth. So they cannot disagree.
//!
//! ```
//! use feed::session::completeness::{Completeness, Facts, IncompleteReason};
//! use feed::session::tail::Tail;
//!
//! let whole = Facts { packets: 9, tail: Tail::Confirmed, ..Facts::default() };
//! assert_eq!(whole.completeness(), Completeness::Complete);
//! // A stop is never success by itself.
//! let stopped = Facts { why: Some(IncompleteReason::Stopped), ..whole };
//! assert_eq!(stopped.completeness(), Completeness::Incomplete);
//! // Of a live session that goes on, everything so far is there.
//! let followed = Facts { follow: true, tail: Tail::Unknown, ..stopped };
//! assert_eq!(followed.completeness(), Completeness::SoFar);
//! let behind = Facts { missing: 1, ..followed };
//! assert_eq!(behind.completeness(), Completeness::Incomplete);
//! ```

use crate::session::tail::{SessionEnd, Tail};
use crate::wire::Reason;
use core::fmt;

/// Facts about a recording from which everything else follows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Facts {
    /// Number of packets recorded.
    pub packets: u64,
    /// Number of sequences that are known to exist and are not recorded, whatever told of them:
    /// packets, heartbeats, ends, descriptions, the session blocks of a tape file, the user.
    pub missing: u64,
    /// Knowledge of the session's end.
    pub tail: Tail,
    /// Reason why the recorder ended before it was done; `None` if it was done, and for a file.
    pub why: Option<IncompleteReason>,
    /// Whether the recorder follows a live session, which may go on after it.
    pub follow: bool,
    /// Whether an exchange was reached.
    pub reached: bool,
    /// Whether an exchange did what no exchange should do.
    pub misbehaved: bool,
    /// Whether parts of the file are damaged.
    pub damaged: bool,
    /// Whether anything but a reader of stdout is to have the packets in the end.
    pub outputs: bool,
}

impl Default for Facts {
    /// The facts about an undamaged file that has no packets and does not tell of any.
    fn default() -> Self {
        Self {
            packets: 0,
            missing: 0,
            tail: Tail::Unknown,
            why: None,
            follow: false,
            reached: true,
            misbehaved: false,
            damaged: false,
            outputs: true,
        }
    }
}

/// How much of its session a recording has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// Every packet up to the session's end, which is confirmed or inferred.
    Complete,
    /// Every packet that is known to exist. The session goes on, or where it ends is not known.
    SoFar,
    /// Packets are missing, or the recorder has not got what it set out for.
    Incomplete,
}

/// Something wrong besides packets that are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No exchange was ever reached.
    Unreachable,
    /// An exchange did what no exchange should do.
    Misbehaved,
    /// The file is damaged.
    Damaged,
}

impl Facts {
    /// Returns the facts about a file of packets. `missing` counts everything up to the last
    /// sequence that the file knows its session to have. `end` is `None` for a format that has no
    /// room for the session's end: then the end of the file stands for it.
    #[must_use]
    pub fn of_file(packets: u64, missing: u64, end: Option<SessionEnd>, damaged: bool) -> Self {
        let tail = match end {
            Some(SessionEnd::Open) => Tail::Unknown,
            Some(SessionEnd::Confirmed) => Tail::Confirmed,
            Some(SessionEnd::Inferred) | None => Tail::Inferred { doubt: 0.0 },
        };
        Self { packets, missing, tail, damaged, ..Self::default() }
    }

    /// Returns what a tape file notes of the end of its session: that it is known, and that every
    /// packet up to it was recorded, or neither.
    #[must_use]
    pub fn end(&self) -> SessionEnd {
        match (self.completeness(), self.tail) {
            (Completeness::Complete, Tail::Confirmed) => SessionEnd::Confirmed,
            (Completeness::Complete, Tail::Inferred { .. }) => SessionEnd::Inferred,
            _ => SessionEnd::Open,
        }
    }

    /// Returns how much of its session the recording has.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        if self.missing > 0 || self.damaged {
            return Completeness::Incomplete;
        }
        match self.why {
            // Nothing recorded says nothing of a session, least of all that this was all of it.
            None if self.tail == Tail::Unknown && self.packets == 0 => Completeness::Incomplete,
            None if self.tail == Tail::Unknown => Completeness::SoFar,
            None => Completeness::Complete,
            Some(IncompleteReason::Stopped | IncompleteReason::Enough)
                if self.follow && self.packets > 0 =>
            {
                Completeness::SoFar
            }
            // Another session has begun: there is no more of this one.
            Some(IncompleteReason::OtherSession) if self.follow => Completeness::SoFar,
            Some(_) => Completeness::Incomplete,
        }
    }

    /// Returns what is wrong besides packets that are missing.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let in_vain =
            matches!(self.why, Some(IncompleteReason::Unreachable | IncompleteReason::Stopped));
        if self.damaged {
            Some(Fault::Damaged)
        } else if self.misbehaved {
            Some(Fault::Misbehaved)
        } else {
            (in_vain && !self.reached).then_some(Fault::Unreachable)
        }
    }

    /// Whether the recording came to what it was to come to.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let enough = self.why == Some(IncompleteReason::Enough) && !self.outputs;
        self.fault().is_none() && (enough || self.completeness() != Completeness::Incomplete)
    }

    /// Whether the packets are written to their outputs, which replaces what was there before.
    /// `allow_gaps`: the user wants them with packets missing.
    #[must_use]
    pub fn writes_outputs(&self, allow_gaps: bool) -> bool {
        match self.completeness() {
            Completeness::Complete => true,
            Completeness::SoFar => self.packets > 0,
            Completeness::Incomplete => {
                let mixed = self.why == Some(IncompleteReason::OtherSession) && !self.follow;
                allow_gaps && self.packets > 0 && !mixed
            }
        }
    }

    /// Whether the recording is kept once its packets are written, for the same command to go on:
    /// until its session is over.
    #[must_use]
    pub fn keeps_recording(&self) -> bool {
        match self.completeness() {
            Completeness::Complete => false,
            Completeness::SoFar => self.why != Some(IncompleteReason::OtherSession),
            Completeness::Incomplete => true,
        }
    }
}

/// Why a recording is incomplete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IncompleteReason {
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
    /// It was missing for longer than the recorder's option `give_up`.
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

impl fmt::Display for IncompleteReason {
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

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Facts = Facts {
        packets: 100,
        missing: 0,
        tail: Tail::Confirmed,
        why: None,
        follow: false,
        reached: true,
        misbehaved: false,
        damaged: false,
        outputs: true,
    };

    fn stopped() -> Facts {
        Facts { why: Some(IncompleteReason::Stopped), follow: true, tail: Tail::Unknown, ..WHOLE }
    }

    #[test]
    fn only_what_ends_is_complete() {
        assert_eq!(WHOLE.completeness(), Completeness::Complete);
        let inferred = Facts { tail: Tail::Inferred { doubt: 1e-7 }, ..WHOLE };
        assert_eq!(inferred.completeness(), Completeness::Complete);
        let unknown = Facts { tail: Tail::Unknown, ..WHOLE };
        assert_eq!(unknown.completeness(), Completeness::SoFar);
        let missing = Facts { missing: 1, ..WHOLE };
        assert_eq!(missing.completeness(), Completeness::Incomplete);
        let damaged = Facts { damaged: true, ..WHOLE };
        assert_eq!(damaged.completeness(), Completeness::Incomplete);
        assert_eq!(damaged.fault(), Some(Fault::Damaged));
    }

    #[test]
    fn a_stop_is_no_success_by_itself() {
        let plain = Facts { follow: false, ..stopped() };
        assert!(!plain.is_success() && !plain.writes_outputs(false) && plain.keeps_recording());
        let behind = Facts { missing: 30, ..stopped() };
        assert!(!behind.is_success() && !behind.writes_outputs(false));
        assert!(behind.writes_outputs(true) && behind.keeps_recording());
        let so_far = stopped();
        assert!(so_far.is_success() && so_far.writes_outputs(false) && so_far.keeps_recording());
    }

    #[test]
    fn an_old_output_is_not_replaced_where_nothing_came() {
        let nothing = Facts { packets: 0, ..stopped() };
        assert!(!nothing.is_success() && nothing.fault().is_none());
        assert!(!nothing.writes_outputs(false) && !nothing.writes_outputs(true));
        let unreached = Facts { reached: false, ..nothing };
        assert_eq!(unreached.fault(), Some(Fault::Unreachable));
        assert!(!unreached.writes_outputs(false));
        // An empty session that is over is something to say.
        let empty = Facts { packets: 0, ..WHOLE };
        assert!(empty.is_success() && empty.writes_outputs(false));
    }

    #[test]
    fn a_file_without_packets_is_whole_only_if_its_session_is_known_to_have_none() {
        let empty = |end| Facts::of_file(0, 0, end, false).completeness();
        assert_eq!(empty(Some(SessionEnd::Open)), Completeness::Incomplete);
        assert_eq!(empty(Some(SessionEnd::Confirmed)), Completeness::Complete);
        assert_eq!(empty(Some(SessionEnd::Inferred)), Completeness::Complete);
        assert_eq!(empty(None), Completeness::Complete);
        let one = Facts::of_file(1, 0, Some(SessionEnd::Open), false);
        assert_eq!(one.completeness(), Completeness::SoFar);
    }

    #[test]
    fn a_session_that_another_one_has_replaced_is_over() {
        let replaced = Facts { why: Some(IncompleteReason::OtherSession), ..stopped() };
        assert!(replaced.is_success() && !replaced.keeps_recording());
        let holey = Facts { missing: 1, ..replaced };
        assert!(!holey.is_success() && holey.keeps_recording());
        let mixed = Facts { why: Some(IncompleteReason::OtherSession), misbehaved: true, ..WHOLE };
        assert!(!mixed.is_success() && !mixed.writes_outputs(true) && mixed.keeps_recording());
    }

    #[test]
    fn a_reader_that_has_had_enough_is_no_failure() {
        let enough =
            Facts { why: Some(IncompleteReason::Enough), missing: 5, outputs: false, ..stopped() };
        assert!(enough.is_success());
        // Whoever wanted a file as well does not have it.
        let file = Facts { outputs: true, ..enough };
        assert!(!file.is_success() && !file.writes_outputs(false));
    }

    #[test]
    fn a_misbehaving_exchange_is_told_whatever_came() {
        let conflicts = Facts { misbehaved: true, ..WHOLE };
        assert_eq!(conflicts.fault(), Some(Fault::Misbehaved));
        assert!(!conflicts.is_success() && conflicts.writes_outputs(false));
    }
}
