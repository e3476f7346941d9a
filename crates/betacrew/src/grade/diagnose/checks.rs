//! Tests of claims against other runs: what contradicts a claim, and where a cause could show.

use super::hypotheses::CaseRun;
use super::{
    content, crashes, decoding, ending, exit_code, frame_size, framing, gaps, kept, leaving, parts,
    resends, rules, timeouts,
};
use crate::grade::observe::evidence::Evidence;

/// Test of the claims of one cause.
pub(super) struct CauseCheck {
    /// Name of the cause.
    pub(super) id: &'static str,
    /// Test whether a run contradicts a claim.
    pub(super) contradiction: Contradiction,
    /// Returns whether the cause explains a failure without its whole pattern, once other runs show
    /// the cause.
    pub(super) exposed: Option<fn(&Evidence) -> bool>,
    /// Returns whether all runs together show what the run of the claim alone cannot show.
    pub(super) needs: Option<Need>,
}

/// Test whether all runs together support a claim about one of them.
pub(super) type Need = fn(&Evidence, &[CaseRun<'_>]) -> bool;

/// Test whether a run contradicts a claim.
#[derive(Clone, Copy)]
pub(super) enum Contradiction {
    /// No run can contradict the claim, because its own run shows it.
    Never,
    /// The claim is the same in every run.
    Any(fn(&Evidence) -> bool),
    /// The claim depends on its run, the first argument; the second is the other run.
    Claim(fn(&Evidence, &Evidence) -> bool),
}

const fn any(id: &'static str, by: fn(&Evidence) -> bool) -> CauseCheck {
    CauseCheck { id, contradiction: Contradiction::Any(by), exposed: None, needs: None }
}

const fn claim(id: &'static str, by: fn(&Evidence, &Evidence) -> bool) -> CauseCheck {
    CauseCheck { contradiction: Contradiction::Claim(by), ..never(id) }
}

const fn never(id: &'static str) -> CauseCheck {
    CauseCheck { id, contradiction: Contradiction::Never, exposed: None, needs: None }
}

impl CauseCheck {
    const fn exposed_by(self, exposed: fn(&Evidence) -> bool) -> Self {
        Self { exposed: Some(exposed), ..self }
    }

    const fn needing(self, needs: Need) -> Self {
        Self { needs: Some(needs), ..self }
    }
}

/// Tests of causes. Those without a test are shown by their own run alone.
pub(super) const CHECKS: &[CauseCheck] = &[
    any("frame-size", frame_size::keeps_a_second).exposed_by(frame_size::may_misframe),
    claim("split-packet", framing::has_no_split).exposed_by(framing::may_not_join),
    claim("crash", crashes::crashes_when_complete),
    claim("reports-error", crashes::crashes_when_complete),
    claim("crash-in-packet", crashes::crashes_otherwise).exposed_by(crashes::may_crash_in_packet),
    claim("read-size", framing::joins_parts),
    any("first-of-read", framing::keeps_several).exposed_by(framing::may_keep_first),
    any("first-answer-of-read", framing::keeps_several_answers)
        .exposed_by(framing::may_keep_first_answer),
    claim("written-early", content::waits_for_answers),
    claim("seems-early", content::waits_for_answers),
    claim("own-timeout", timeouts::waits_longer),
    claim("little-endian", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("unsigned", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("swapped-fields", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("absent-field", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("wrong-bytes", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("garbled-field", decoding::has_right_field).exposed_by(decoding::is_only_wrong),
    claim("no-room", content::has_more_room),
    claim("duplicates-kept", content::keeps_one_copy),
    claim("arrival-order", content::is_sorted),
    never("not-json").exposed_by(content::is_unclear),
    any("never-asks", gaps::asks),
    any("first-gap-unseen", gaps::asks_before_the_first).needing(gaps::asks_elsewhere),
    claim("search-starts-late", gaps::asks_below).needing(gaps::asks_elsewhere),
    any("last-gap-unseen", gaps::asks_before_the_last),
    any("counts-packets", gaps::asks_above_the_count),
    any("last-for-highest", gaps::asks_above_the_last).exposed_by(gaps::may_stop_at_the_last),
    any("off-by-one", gaps::asks_for_gaps),
    claim("fixed-length", gaps::learns_the_length).exposed_by(gaps::may_assume_length),
    claim("tries-too-few", resends::tries_more),
    claim("not-asked-again", resends::asks_again),
    claim("tail-unseen", resends::streams_again),
    claim("short-stream", resends::streams_again_after_a_break).needing(leaving::reads_on_if_ended),
    any("joins-connections", parts::keeps_behind_a_part),
    any("stops-at-gap", kept::goes_on_behind_a_gap).exposed_by(kept::may_stop),
    claim("overwrites-output", kept::keeps_earlier).exposed_by(kept::may_overwrite),
    any("last-packet-unread", kept::keeps_last),
    claim("rejects-valid", kept::keeps_rejected)
        .exposed_by(kept::may_reject)
        .needing(kept::keeps_others),
    claim("asks-beyond-end", rules::stays_within),
    any("hangs-complete", ending::writes_without_resends)
        .exposed_by(ending::may_hang_complete)
        .needing(ending::writes_after_resends),
    never("never-calls").exposed_by(crashes::sends_no_call),
    never("never-writes").needing(ending::never_writes),
    any("leaves-stream", leaving::reads_on),
    any("waits-for-end", ending::ends_resends_itself),
    any("waits-for-stream", ending::ends_streams_itself),
    claim("gives-up", ending::connects_again),
    claim("always-zero", exit_code::reports_failures),
    any("all-or-nothing", ending::writes_incomplete),
];

/// Returns the test of a cause, if it has one.
pub(super) fn of(id: &str) -> Option<&'static CauseCheck> {
    CHECKS.iter().find(|check| check.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_test_belongs_to_one_cause() {
        let known = super::super::ids();
        let tested: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(tested.len(), CHECKS.len());
        let unknown: Vec<&&str> = tested.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
