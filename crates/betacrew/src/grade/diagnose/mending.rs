//! Order in which the causes of failures are worth mending.

use crate::grade::cases::Severity;
use crate::grade::diagnose::advice::{self, Remedy};
use crate::grade::judge::verdict::{CaseOutcome, by_cause};
use std::cmp::Reverse;

/// Maximum number of causes that a report names as those to mend first.
pub(crate) const FIRST_MAX: usize = 3;

/// Cause to mend, with the cases that fail by it.
#[derive(Clone, Debug)]
pub(crate) struct Mending<'a> {
    /// Remedy of the cause.
    pub(crate) remedy: Remedy,
    /// Failures by the cause, in the order of the cases.
    pub(crate) outcomes: Vec<&'a CaseOutcome>,
}

impl Mending<'_> {
    /// Returns what the first failure shows: the cause in this client, or the broken rule.
    pub(crate) fn text(&self) -> String {
        let first = self.outcomes.first();
        let failure = first.and_then(|first| first.shown.as_ref()?.judged.failure.as_ref());
        failure.map_or_else(String::new, |failure| {
            failure.cause.as_ref().map_or(&failure.actual, |cause| &cause.text).clone()
        })
    }

    /// Returns the number of failures of a severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        count(&self.outcomes, severity)
    }
}

/// Returns the number of outcomes of a severity.
pub(crate) fn count(outcomes: &[&CaseOutcome], severity: Severity) -> usize {
    outcomes.iter().filter(|outcome| outcome.severity == severity).count()
}

/// Returns the failures by cause, those with the most musts first.
pub(crate) fn by_worth(outcomes: &[CaseOutcome]) -> Vec<Vec<&CaseOutcome>> {
    let mut groups = by_cause(outcomes);
    let musts_and_shoulds =
        |group: &Vec<&CaseOutcome>| (count(group, Severity::Must), count(group, Severity::Should));
    groups.sort_by_key(|group| Reverse(musts_and_shoulds(group)));
    groups
}

/// Returns the causes to mend first: those with advice whose cases have the most musts.
pub(crate) fn mend_first(outcomes: &[CaseOutcome]) -> Vec<Mending<'_>> {
    let mendings = by_worth(outcomes).into_iter().filter_map(|outcomes| {
        let first = outcomes.first()?;
        let remedy = advice::on(first.case, first.cause())?;
        Some(Mending { remedy, outcomes })
    });
    mendings.take(FIRST_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;
    use crate::grade::diagnose::Cause;
    use crate::grade::diagnose::testing::classic_run;
    use crate::grade::judge::verdict::Attempt;
    use crate::grade::judge::{CaseFailure, Judged};

    /// Returns a failure of a case by a cause.
    fn failed(case: &str, cause: Option<&'static str>) -> CaseOutcome {
        let case = CASES.iter().find(|known| known.id == case).unwrap();
        let cause =
            cause.map(|id| Cause { id, text: format!("shown by {}", case.id), shown_by: 1 });
        let failure = CaseFailure { expected: String::new(), actual: "wrong".to_owned(), cause };
        let judged = Judged { failure: Some(failure), not_judged: None, observations: Vec::new() };
        let attempt = Attempt { evidence: classic_run().evidence(), judged };
        CaseOutcome::of(case, case.severity, vec![attempt])
    }

    #[test]
    fn causes_with_the_most_musts_come_first_and_unknown_ones_do_not_count() {
        let outcomes = [
            failed("basics/one-packet", None),
            failed("gaps/first-packet", Some("first-gap-unseen")),
            failed("framing/half-packet", Some("split-packet")),
            failed("framing/odd-pieces", Some("split-packet")),
            failed("tail/last-dropped", Some("tail-unseen")),
            failed("tail/all-dropped", Some("tail-unseen")),
            failed("conduct/made-up", None),
        ];
        let first = mend_first(&outcomes);
        let found: Vec<_> = first
            .iter()
            .map(|mending| (mending.remedy.id, mending.count(Severity::Must), mending.text()))
            .collect();
        let split = "shown by framing/half-packet".to_owned();
        let gap = "shown by gaps/first-packet".to_owned();
        let wrong = "wrong".to_owned();
        assert_eq!(
            found,
            [
                ("split-packet", 2, split),
                ("first-gap-unseen", 1, gap),
                ("conduct/made-up", 1, wrong)
            ]
        );
        let ids: Vec<&str> = by_worth(&outcomes).iter().map(|group| group[0].case.id).collect();
        assert_eq!(ids[0], "framing/half-packet");
        assert_eq!(ids.last(), Some(&"tail/last-dropped"), "shoulds are last: {ids:?}");
    }
}
