//! Completeness of a recording. This module alone decides it.
//!
//! Exit codes, outputs, the summary, the report, and the commands that read a tape file all ask
//! [`Facts`], so that they cannot disagree.
//!
//! ```
//! use feed::session::completeness::{Completeness, Facts, IncompleteReason};
//! use feed::session::tail::Tail;
//!
//! let whole = Facts { packets: 9, tail: Tail::Confirmed, ..Facts::default() };
//! assert_eq!(whole.completeness(), Completeness::Complete);
//! // A stop is never success by itself.
//! let stopped = Facts { reason: Some(IncompleteReason::Stopped), ..whole };
//! assert_eq!(stopped.completeness(), Completeness::Incomplete);
//! // Of a live session that goes on, everything so far is there.
//! let followed = Facts { follow: true, tail: Tail::Unknown, ..stopped };
//! assert_eq!(followed.completeness(), Completeness::SoFar);
//! let behind = Facts { missing: 1, ..followed };
//! assert_eq!(behind.completeness(), Completeness::Incomplete);
//! ```

use crate::session::tail::{SessionEnd, Tail};
use crate::wire::Reason;
use crate::wire::soup::RejectReason;
use core::fmt;

/// Facts about a recording that decide whether it is complete.
///
/// Concepts: [session](crate#session), [tail](crate#tail).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Facts {
    /// Number of recorded packets.
    pub packets: u64,
    /// Number of sequences that are known to exist and are not recorded. They are known from
    /// packets, heartbeats, ends, descriptions, the session blocks of a tape file, or the user.
    pub missing: u64,
    /// Knowledge of the session's end.
    pub tail: Tail,
    /// Reason why the recorder ended early; `None` if it finished, and for a file.
    pub reason: Option<IncompleteReason>,
    /// True if the recorder follows a live session, which may go on after the recording.
    pub follow: bool,
    /// True if an exchange was reached.
    pub reached: bool,
    /// True if an exchange violated the protocol.
    pub misbehaved: bool,
    /// True if parts of the file are damaged.
    pub damaged: bool,
    /// True if the packets have another destination than a reader of stdout.
    pub outputs: bool,
}

impl Default for Facts {
    /// Returns the facts about an undamaged file without packets whose session's end is unknown.
    fn default() -> Self {
        Self {
            packets: 0,
            missing: 0,
            tail: Tail::Unknown,
            reason: None,
            follow: false,
            reached: true,
            misbehaved: false,
            damaged: false,
            outputs: true,
        }
    }
}

/// Completeness of a recording.
///
/// Concepts: [session](crate#session), [tail](crate#tail).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// Every packet up to the session's end is recorded. The end is confirmed or inferred.
    Complete,
    /// Every packet that is known to exist is recorded. The session goes on, or its end is unknown.
    SoFar,
    /// Packets are missing, or the recorder ended before it could tell.
    Incomplete,
}

/// Fault besides missing packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Exchange never reached.
    Unreachable,
    /// Exchange that rejected every login.
    Rejected,
    /// Protocol violated by an exchange.
    Misbehaved,
    /// File damaged.
    Damaged,
}

impl Facts {
    /// Returns the facts about an undamaged file of packets. `missing` counts the sequences up to
    /// the last one that the file's session is known to have. `end` is `None` for a format that
    /// cannot store the session's end; the end of the file then stands for it.
    #[must_use]
    pub fn of_file(packets: u64, missing: u64, end: Option<SessionEnd>) -> Self {
        let tail = match end {
            Some(SessionEnd::Open) => Tail::Unknown,
            Some(SessionEnd::Confirmed) => Tail::Confirmed,
            Some(SessionEnd::Inferred) | None => Tail::Inferred { miss_probability: 0.0 },
        };
        Self { packets, missing, tail, ..Self::default() }
    }

    /// Returns the end of session that a tape file stores: a known end if every packet up to it is
    /// recorded, else an open one.
    #[must_use]
    pub fn end(&self) -> SessionEnd {
        match (self.completeness(), self.tail) {
            (Completeness::Complete, Tail::Confirmed) => SessionEnd::Confirmed,
            (Completeness::Complete, Tail::Inferred { .. }) => SessionEnd::Inferred,
            _ => SessionEnd::Open,
        }
    }

    /// Returns the completeness of the recording.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        if self.missing > 0 || self.damaged {
            return Completeness::Incomplete;
        }
        match self.reason {
            // Without a packet or a known end, nothing shows that a session exists, so it cannot be
            // complete.
            None if self.tail == Tail::Unknown && self.packets == 0 => Completeness::Incomplete,
            None if self.tail == Tail::Unknown => Completeness::SoFar,
            None => Completeness::Complete,
            Some(IncompleteReason::Stopped | IncompleteReason::Enough)
                if self.follow && self.packets > 0 =>
            {
                Completeness::SoFar
            }
            // A new session has begun, so no more packets of this one will come.
            Some(IncompleteReason::OtherSession) if self.follow => Completeness::SoFar,
            Some(_) => Completeness::Incomplete,
        }
    }

    /// Returns the fault of the recording besides missing packets.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let in_vain =
            matches!(self.reason, Some(IncompleteReason::Unreachable | IncompleteReason::Stopped));
        if self.damaged {
            Some(Fault::Damaged)
        } else if self.misbehaved {
            Some(Fault::Misbehaved)
        } else if self.packets == 0
            && matches!(self.reason, Some(IncompleteReason::LoginRejected(_)))
        {
            Some(Fault::Rejected)
        } else {
            (in_vain && !self.reached).then_some(Fault::Unreachable)
        }
    }

    /// Returns true if the recording succeeded: the exit code is 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let enough = self.reason == Some(IncompleteReason::Enough) && !self.outputs;
        self.fault().is_none() && (enough || self.completeness() != Completeness::Incomplete)
    }

    /// Returns true if the packets are written to their outputs, which replaces the old files.
    #[must_use]
    pub fn writes_outputs(&self, gaps: GapPolicy) -> bool {
        match self.completeness() {
            Completeness::Complete => true,
            Completeness::SoFar => self.packets > 0,
            Completeness::Incomplete => {
                let mixed = self.reason == Some(IncompleteReason::OtherSession) && !self.follow;
                gaps == GapPolicy::Allow && self.packets > 0 && !mixed
            }
        }
    }

    /// Returns true if the recording is kept after its packets are written, so that the same
    /// command can continue it until the session is over.
    #[must_use]
    pub fn keeps_recording(&self) -> bool {
        match self.completeness() {
            Completeness::Complete => false,
            Completeness::SoFar => self.reason != Some(IncompleteReason::OtherSession),
            Completeness::Incomplete => true,
        }
    }
}

/// Treatment of a recording with missing packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GapPolicy {
    /// Refuse the recording.
    Refuse,
    /// Use the packets that the recording has.
    Allow,
}

/// Reason why a recording is incomplete.
///
/// Concept: [session](crate#session).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IncompleteReason {
    /// Stopped by the user.
    Stopped,
    /// No line reachable.
    Unreachable,
    /// Every stream cut off, repeatedly.
    CutOff,
    /// Missing packets neither resent nor streamed by later passes.
    NotServed,
    /// Missing messages are older than those that the request servers still serve.
    BeforeReach,
    /// Resend refused by the exchange.
    Refused(Reason),
    /// Packets missing for longer than the recorder's option `give_up`.
    GivenUp,
    /// Peer reached, but it neither sent anything nor ended a stream in order.
    NoAnswer,
    /// End of the session unknown: the passes delivered too little to infer it.
    EndUnknown,
    /// Exchange that plays another session than an earlier run or another line has recorded.
    OtherSession,
    /// Exchange without the extension, which following a session needs.
    NotLive,
    /// Exchange that does not describe its session, while the recording belongs to a known one.
    SessionUntold,
    /// SoupBinTCP login rejected by the exchange.
    LoginRejected(RejectReason),
    /// Output closed by its reader.
    Enough,
    /// Packets could not be stored.
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
            Self::BeforeReach => {
                f.write_str("the request servers do not reach back to the first missing messages")
            }
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
            Self::LoginRejected(reason) => {
                write!(f, "the exchange rejected the login: {reason}")?;
                match reason {
                    RejectReason::NotAuthorized => {
                        f.write_str("; check the user in the address, and the password")
                    }
                    _ => Ok(()),
                }
            }
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
        reason: None,
        follow: false,
        reached: true,
        misbehaved: false,
        damaged: false,
        outputs: true,
    };

    fn stopped() -> Facts {
        Facts {
            reason: Some(IncompleteReason::Stopped),
            follow: true,
            tail: Tail::Unknown,
            ..WHOLE
        }
    }

    #[test]
    fn only_what_ends_is_complete() {
        assert_eq!(WHOLE.completeness(), Completeness::Complete);
        let inferred = Facts { tail: Tail::Inferred { miss_probability: 1e-7 }, ..WHOLE };
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
        assert!(
            !plain.is_success()
                && !plain.writes_outputs(GapPolicy::Refuse)
                && plain.keeps_recording()
        );
        let behind = Facts { missing: 30, ..stopped() };
        assert!(!behind.is_success() && !behind.writes_outputs(GapPolicy::Refuse));
        assert!(behind.writes_outputs(GapPolicy::Allow) && behind.keeps_recording());
        let so_far = stopped();
        assert!(
            so_far.is_success()
                && so_far.writes_outputs(GapPolicy::Refuse)
                && so_far.keeps_recording()
        );
    }

    #[test]
    fn an_old_output_is_not_replaced_where_nothing_came() {
        let nothing = Facts { packets: 0, ..stopped() };
        assert!(!nothing.is_success() && nothing.fault().is_none());
        assert!(
            !nothing.writes_outputs(GapPolicy::Refuse) && !nothing.writes_outputs(GapPolicy::Allow)
        );
        let unreached = Facts { reached: false, ..nothing };
        assert_eq!(unreached.fault(), Some(Fault::Unreachable));
        assert!(!unreached.writes_outputs(GapPolicy::Refuse));
        // An empty session that is known to be over is complete.
        let empty = Facts { packets: 0, ..WHOLE };
        assert!(empty.is_success() && empty.writes_outputs(GapPolicy::Refuse));
    }

    #[test]
    fn a_file_without_packets_is_whole_only_if_its_session_is_known_to_have_none() {
        let empty = |end| Facts::of_file(0, 0, end).completeness();
        assert_eq!(empty(Some(SessionEnd::Open)), Completeness::Incomplete);
        assert_eq!(empty(Some(SessionEnd::Confirmed)), Completeness::Complete);
        assert_eq!(empty(Some(SessionEnd::Inferred)), Completeness::Complete);
        assert_eq!(empty(None), Completeness::Complete);
        let one = Facts::of_file(1, 0, Some(SessionEnd::Open));
        assert_eq!(one.completeness(), Completeness::SoFar);
    }

    #[test]
    fn a_session_that_another_one_has_replaced_is_over() {
        let replaced = Facts { reason: Some(IncompleteReason::OtherSession), ..stopped() };
        assert!(replaced.is_success() && !replaced.keeps_recording());
        let holey = Facts { missing: 1, ..replaced };
        assert!(!holey.is_success() && holey.keeps_recording());
        let mixed =
            Facts { reason: Some(IncompleteReason::OtherSession), misbehaved: true, ..WHOLE };
        assert!(
            !mixed.is_success()
                && !mixed.writes_outputs(GapPolicy::Allow)
                && mixed.keeps_recording()
        );
    }

    #[test]
    fn a_reader_that_has_had_enough_is_no_failure() {
        let enough = Facts {
            reason: Some(IncompleteReason::Enough),
            missing: 5,
            outputs: false,
            ..stopped()
        };
        assert!(enough.is_success());
        // The file that was wanted as well lacks packets.
        let file = Facts { outputs: true, ..enough };
        assert!(!file.is_success() && !file.writes_outputs(GapPolicy::Refuse));
    }

    #[test]
    fn a_misbehaving_exchange_is_told_whatever_came() {
        let conflicts = Facts { misbehaved: true, ..WHOLE };
        assert_eq!(conflicts.fault(), Some(Fault::Misbehaved));
        assert!(!conflicts.is_success() && conflicts.writes_outputs(GapPolicy::Refuse));
    }
}
