//! What a recording came to.

use super::Recorder;
use crate::base::seq::{Seq, SeqRange, SeqSet};
use crate::session::completeness::{Completeness, Facts, IncompleteReason};
use crate::session::tail::Tail;
use crate::wire::{DecodeError, SessionId};

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
    pub why: Option<IncompleteReason>,
}

/// What peers did that no exchange should do.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PeerViolations {
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

impl PeerViolations {
    /// Whether there was any.
    #[must_use]
    pub fn has_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Facts {
    /// Returns the facts about a recorder that has ended and has recorded `packets` packets, those
    /// of earlier runs included.
    #[must_use]
    pub fn of(recorder: &Recorder, packets: u64) -> Self {
        let reached = (0..).map_while(|line| recorder.line(line)).any(|line| line.reached);
        let facts = Self { packets, follow: recorder.is_following(), reached, ..Self::default() };
        let Some(outcome) = recorder.outcome() else {
            return Self { why: Some(IncompleteReason::Stopped), ..facts };
        };
        Self {
            missing: outcome.missing.count(),
            tail: outcome.tail,
            why: reason(recorder, outcome),
            misbehaved: misbehaved(recorder.violations(), outcome.tail, outcome.why),
            ..facts
        }
    }
}

impl Outcome {
    /// Returns how much of its session a recorder has that has come to this, by what the outcome
    /// alone says; [`Facts::of`] knows more of what is so far all there is.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        let (missing, tail, why) = (self.missing.count(), self.tail, self.why);
        Facts { missing, tail, why, ..Facts::default() }.completeness()
    }

    /// Whether everything was recorded, up to an end that is confirmed or inferred.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.completeness() == Completeness::Complete
    }
}

/// Returns why a recorder ended before it was done.
fn reason(recorder: &Recorder, outcome: &Outcome) -> Option<IncompleteReason> {
    // Packets do not tell which session they are of. Where no exchange has told it either, packets
    // that conflict may be of two sessions, and none is known to be of the same one as another.
    let mixed = recorder.violations().conflicts > 0 && recorder.session().is_none();
    match outcome.why {
        Some(IncompleteReason::Storage) => outcome.why,
        _ if mixed => Some(IncompleteReason::OtherSession),
        why => why,
    }
}

fn misbehaved(violations: &PeerViolations, tail: Tail, why: Option<IncompleteReason>) -> bool {
    let implausible = violations.implausible > 0 && tail != Tail::Confirmed;
    let garbage = violations.undecodable > 0 && why == Some(IncompleteReason::CutOff);
    let disputed = violations.other_session.is_some() || violations.contradicted.is_some();
    violations.conflicts > 0 || disputed || implausible || garbage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tail::SessionEnd;

    #[test]
    fn only_a_complete_recording_ends_its_file() {
        let inferred = Tail::Inferred { doubt: 1e-7 };
        let outcome = |tail, missing: &str, why| {
            let outcome = Outcome { last: 9, missing: missing.parse().unwrap(), tail, why };
            let facts = Facts { missing: outcome.missing.count(), tail, why, ..Facts::default() };
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
