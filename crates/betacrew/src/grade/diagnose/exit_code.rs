//! Causes in the exit code of a client.

use super::crashes::is_crash_report;
use crate::grade::observe::evidence::{Evidence, packets_of_set};
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;

/// Occasion on which a client should report a failure by its exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailureKind {
    /// The client could not connect.
    Unreachable,
    /// The exchange ended a connection by a reset.
    Broken,
    /// The recording is incomplete.
    Incomplete,
}

/// Returns the failure that a client should report; `None` if its recording is complete.
pub(super) fn failure_kind(evidence: &Evidence) -> Option<FailureKind> {
    let was_reset =
        evidence.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange);
    match evidence.differences.missing.is_empty() {
        _ if evidence.wire.conns.is_empty() => Some(FailureKind::Unreachable),
        true => None,
        false if was_reset => Some(FailureKind::Broken),
        false => Some(FailureKind::Incomplete),
    }
}

/// Detects that the client ended with exit code 0 although its recording is incomplete.
pub(super) fn always_zero(evidence: &Evidence) -> Option<String> {
    let kind =
        failure_kind(evidence).filter(|_| evidence.process.ended == ProcessEnd::Exited(0))?;
    let missing = || packets_of_set(&evidence.differences.missing);
    Some(match kind {
        FailureKind::Unreachable => "no exchange could be reached, and the client ended with exit \
                                     code 0, as if it had recorded everything"
            .to_owned(),
        FailureKind::Broken => format!(
            "the exchange reset the connection, {} missing, and the client ended with exit code 0, \
             as if it had recorded everything",
            with_verb(missing())
        ),
        FailureKind::Incomplete => format!(
            "{} missing, and the client ended with exit code 0, as if it had recorded everything",
            with_verb(missing())
        ),
    })
}

/// Adds the verb to a phrase about packets.
fn with_verb(packets: String) -> String {
    let verb = if packets.starts_with("packet ") { "is" } else { "are" };
    packets + " " + verb
}

/// Returns whether the client reported a failure of the same kind by its exit code.
pub(super) fn reports_failures(claimed: &Evidence, other: &Evidence) -> bool {
    // The exit code of a crash reports nothing about the recording.
    let reports = matches!(other.process.ended, ProcessEnd::Exited(code) if code != 0)
        && !is_crash_report(other);
    reports && failure_kind(other).is_some() && failure_kind(other) == failure_kind(claimed)
}

#[cfg(test)]
mod tests {
    use super::super::super::cases::PassCondition;
    use super::super::testing::classic_run;
    use crate::grade::run::process::ProcessEnd;

    #[test]
    fn an_exit_code_that_is_always_zero_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let lost = || classic_run().stream(rest()).ask([5]).finished().closed().write(rest());
        assert_eq!(lost().cause_for(PassCondition::ReportsFailure).0, "always-zero");
        assert_eq!(
            lost().ended(ProcessEnd::Killed).cause_for(PassCondition::ReportsFailure).0,
            "none"
        );
    }
}
