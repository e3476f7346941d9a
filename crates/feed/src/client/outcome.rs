//! Result of a recording, and the peers' violations of the protocol.

use super::{IgnoredDatagrams, Recorder, SoupViolation};
use crate::base::seq::{Seq, SeqRange, SeqSet};
use crate::session::completeness::{Completeness, Facts, IncompleteReason};
use crate::session::tail::Tail;
use crate::wire::{DecodeError, SessionId};
use core::fmt;

/// Result of a recording.
///
/// Concepts: [session](crate#session), [tail](crate#tail).
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Last sequence known to exist; 0 if there is none.
    pub last: Seq,
    /// Sequences up to `last` that are not recorded.
    pub missing: SeqSet,
    /// Certainty that no packet exists above `last`.
    pub tail: Tail,
    /// Reason why packets are missing or the end is unknown.
    pub reason: Option<IncompleteReason>,
}

/// Error of bytes that are not as their protocol demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UndecodableError {
    /// Error of a frame of the exercise's protocol.
    Frame(DecodeError),
    /// Violation of SoupBinTCP.
    Soup(SoupViolation),
}

impl fmt::Display for UndecodableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Soup(violation) => violation.fmt(f),
        }
    }
}

impl core::error::Error for UndecodableError {}

/// Violations of the protocol by peers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PeerViolations {
    /// Packets that arrived again with other content; the first copy was kept.
    pub conflicts: u64,
    /// Frames that could not be decoded, and SoupBinTCP packets that violate the protocol.
    pub undecodable: u64,
    /// First undecodable frame: its offset in its connection's bytes, and the error.
    pub first_undecodable: Option<(u64, UndecodableError)>,
    /// Packets that were ignored because torn bytes arrived right behind them and they did not
    /// follow the packet before them.
    pub doubtful: u64,
    /// Packets with a sequence too far ahead to be believed, and heartbeats and ends that report
    /// one.
    pub implausible: u64,
    /// First sequence that was too far ahead to be believed.
    pub first_implausible: Option<Seq>,
    /// Sequences that one line claimed and did not send, beyond the end that another line reported.
    /// They count as nonexistent.
    pub contradicted: Option<SeqRange>,
    /// Datagrams that were ignored on MoldUDP64 lines.
    pub datagrams: IgnoredDatagrams,
    /// Session that a line reported while another one is recorded and not followed.
    pub other_session: Option<SessionId>,
}

impl PeerViolations {
    /// Returns whether there was any violation.
    #[must_use]
    pub fn has_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Facts {
    /// Returns the facts about a recorder that has ended with `packets` recorded packets, those of
    /// earlier runs included.
    #[must_use]
    pub fn of(recorder: &Recorder, packets: u64) -> Self {
        let reached = (0..).map_while(|line| recorder.line(line)).any(|line| line.reached);
        let facts = Self { packets, follow: recorder.is_following(), reached, ..Self::default() };
        let Some(outcome) = recorder.outcome() else {
            return Self { reason: Some(IncompleteReason::Stopped), ..facts };
        };
        Self {
            missing: outcome.missing.count(),
            tail: outcome.tail,
            reason: reason(recorder, outcome),
            misbehaved: misbehaved(recorder.violations(), outcome.tail, outcome.reason),
            ..facts
        }
    }
}

impl Outcome {
    /// Returns how complete a recording with this outcome is, judged by the outcome alone.
    /// [`Facts::of`] also knows about follow mode and unreachable lines.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        let (missing, tail, reason) = (self.missing.count(), self.tail, self.reason);
        Facts { missing, tail, reason, ..Facts::default() }.completeness()
    }

    /// Returns whether everything was recorded, up to an end that is confirmed or inferred.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.completeness() == Completeness::Complete
    }
}

/// Returns the reason why a recorder ended before the recording was complete.
fn reason(recorder: &Recorder, outcome: &Outcome) -> Option<IncompleteReason> {
    // A packet does not carry its session. If no exchange has reported a session either, packets
    // that conflict may be of two sessions, and no packet is known to be of the same session as
    // another.
    let mixed = recorder.violations().conflicts > 0 && recorder.session().is_none();
    match outcome.reason {
        Some(IncompleteReason::Storage) => outcome.reason,
        _ if mixed => Some(IncompleteReason::OtherSession),
        reason => reason,
    }
}

/// Returns whether a violation makes the recording untrustworthy.
fn misbehaved(violations: &PeerViolations, tail: Tail, reason: Option<IncompleteReason>) -> bool {
    let implausible = violations.implausible > 0 && tail != Tail::Confirmed;
    let garbage = violations.undecodable > 0 && reason == Some(IncompleteReason::CutOff);
    let disputed = violations.other_session.is_some() || violations.contradicted.is_some();
    violations.conflicts > 0 || disputed || implausible || garbage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tail::SessionEnd;

    #[test]
    fn only_a_complete_recording_ends_its_file() {
        let inferred = Tail::Inferred { miss_probability: 1e-7 };
        let outcome = |tail, missing: &str, reason| {
            let outcome = Outcome { last: 9, missing: missing.parse().unwrap(), tail, reason };
            let facts =
                Facts { missing: outcome.missing.count(), tail, reason, ..Facts::default() };
            (outcome.is_complete(), facts.end())
        };
        assert_eq!(outcome(Tail::Confirmed, "", None), (true, SessionEnd::Confirmed));
        assert_eq!(outcome(inferred, "", None), (true, SessionEnd::Inferred));
        assert_eq!(outcome(Tail::Unknown, "", None), (false, SessionEnd::Open));
        for tail in [Tail::Confirmed, inferred] {
            assert_eq!(outcome(tail, "3", None), (false, SessionEnd::Open));
            assert_eq!(
                outcome(tail, "", Some(IncompleteReason::Stopped)),
                (false, SessionEnd::Open)
            );
        }
    }
}
