//! Verdict on each case over all its runs, and the grade.

use crate::grade::cases::{Case, Severity};
use crate::grade::judge::Judged;
use crate::grade::observe::evidence::Evidence;
use std::collections::BTreeMap;

/// Verdict on a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Every run passed.
    Pass,
    /// Some runs passed.
    Flaky { passed: u32, of: u32 },
    /// No run passed.
    Fail,
    /// No run failed, and the output of at least one was not understood.
    NotJudged,
    /// The case was not run, or the client never connected.
    NotRun,
}

impl Verdict {
    /// Returns the verdict as the reports write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flaky { .. } => "flaky",
            Self::Fail => "fail",
            Self::NotJudged => "not judged",
            Self::NotRun => "not run",
        }
    }
}

/// One run of a case, with its judgement.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Evidence of the run.
    pub(crate) evidence: Evidence,
    /// Judgement of the run.
    pub(crate) judged: Judged,
}

/// Outcome of one case over all its runs.
#[derive(Clone, Debug)]
pub(crate) struct CaseOutcome {
    /// Case that was run.
    pub(crate) case: &'static Case,
    /// Severity, which strict mode raises.
    pub(crate) severity: Severity,
    /// Verdict over all runs.
    pub(crate) verdict: Verdict,
    /// Number of runs that passed, and of all runs.
    pub(crate) runs: CaseTally,
    /// Run that the reports show: the first that failed, else one that could not be judged, else
    /// the first.
    pub(crate) shown: Option<Attempt>,
}

impl CaseOutcome {
    /// Returns the outcome of a case that was not run.
    pub(crate) fn not_run(case: &'static Case, severity: Severity) -> Self {
        let (verdict, runs) = (Verdict::NotRun, CaseTally::default());
        Self { case, severity, verdict, runs, shown: None }
    }

    /// Returns the outcome of a case that was run at least once.
    pub(crate) fn of(case: &'static Case, severity: Severity, runs: Vec<Attempt>) -> Self {
        let of = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let is_unjudged = |run: &Attempt| run.judged.not_judged.is_some();
        let has_failed = |run: &Attempt| run.judged.failure.is_some();
        let passes = runs.iter().filter(|run| !has_failed(run) && !is_unjudged(run)).count();
        let passed = u32::try_from(passes).unwrap_or(u32::MAX);
        let failed = runs.iter().position(has_failed);
        let verdict = match (passed, failed) {
            (all, _) if all == of => Verdict::Pass,
            (_, None) => Verdict::NotJudged,
            (0, Some(_)) => Verdict::Fail,
            (passed, Some(_)) => Verdict::Flaky { passed, of },
        };
        let mut runs = runs;
        let place = failed.or_else(|| runs.iter().position(is_unjudged)).unwrap_or(0);
        let shown = (!runs.is_empty()).then(|| runs.swap_remove(place));
        Self { case, severity, verdict, runs: CaseTally { passed, of }, shown }
    }

    /// Returns the likely cause of the failure, if it is known.
    pub(crate) fn cause(&self) -> Option<&crate::grade::diagnose::Cause> {
        self.shown.as_ref()?.judged.failure.as_ref()?.cause.as_ref()
    }
}

/// Grade of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Letter {
    A,
    B,
    C,
    D,
    F,
}

impl Letter {
    /// All grades, the best first.
    pub(crate) const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::F];

    /// Returns what a client must do for the grade.
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::A => "passes every case",
            Self::B => "passes every must",
            Self::C => "passes at least four in five of the musts",
            Self::D => "passes at least half of the musts",
            Self::F => "fails more than half of the musts",
        }
    }
}

impl std::fmt::Display for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Number of passes out of a total.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct CaseTally {
    /// Number of passes.
    pub(crate) passed: u32,
    /// Total number.
    pub(crate) of: u32,
}

/// Summary of all outcomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GradeSummary {
    /// Cases that are a must.
    pub(crate) must: CaseTally,
    /// Cases that are a should.
    pub(crate) should: CaseTally,
    /// Number of cases that were not run.
    pub(crate) not_run: u32,
    /// Number of cases that could not be judged.
    pub(crate) not_judged: u32,
    /// Grade; `None` if no case was run, or most of those that are a must could not be judged.
    pub(crate) letter: Option<Letter>,
}

impl GradeSummary {
    /// Counts the verdicts and determines the grade.
    pub(crate) fn of(outcomes: &[CaseOutcome]) -> Self {
        let tally = |severity| {
            let all = || outcomes.iter().filter(move |outcome| outcome.severity == severity);
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let passed = all().filter(|outcome| outcome.verdict == Verdict::Pass).count();
            CaseTally { passed: count(passed), of: count(all().count()) }
        };
        let (must, should) = (tally(Severity::Must), tally(Severity::Should));
        let number = |verdict, only: &[Severity]| {
            let is_meant = |outcome: &&CaseOutcome| {
                outcome.verdict == verdict && only.contains(&outcome.severity)
            };
            u32::try_from(outcomes.iter().filter(is_meant).count()).unwrap_or(u32::MAX)
        };
        let both = [Severity::Must, Severity::Should];
        let (not_run, not_judged) =
            (number(Verdict::NotRun, &both), number(Verdict::NotJudged, &both));
        // A letter without the musts would say something about the form of the output only. If no
        // case is a must, the shoulds decide.
        let (unjudged, of) = match must.of {
            0 => (not_judged, should.of),
            of => (number(Verdict::NotJudged, &[Severity::Must]), of),
        };
        let is_run = u64::from(not_run) < outcomes.len() as u64;
        let letter = (is_run && unjudged * 2 <= of).then(|| letter(must, should));
        Self { must, should, not_run, not_judged, letter }
    }
}

/// Returns the grade for these numbers of passes; the limits are those of [`Letter::rule`].
fn letter(must: CaseTally, should: CaseTally) -> Letter {
    let failed = must.of - must.passed;
    match failed {
        0 if should.passed == should.of => Letter::A,
        0 => Letter::B,
        _ if failed * 5 <= must.of => Letter::C,
        _ if failed * 2 <= must.of => Letter::D,
        _ => Letter::F,
    }
}

/// Groups failures with the same cause, in the order of their first case. A failure without a known
/// cause is a group by itself.
pub(crate) fn by_cause(outcomes: &[CaseOutcome]) -> Vec<Vec<&CaseOutcome>> {
    // All crashes have one id, but only crashes with the same message have the same cause.
    let key = |outcome: &CaseOutcome| {
        let cause = outcome.cause()?;
        Some(if cause.id == "crash" { cause.text.clone() } else { cause.id.to_owned() })
    };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&CaseOutcome>> = Vec::new();
    for outcome in outcomes {
        if !matches!(outcome.verdict, Verdict::Fail | Verdict::Flaky { .. }) {
            continue;
        }
        let key = key(outcome);
        match key.as_ref().and_then(|key| places.get(key).copied()) {
            Some(place) => groups[place].push(outcome),
            None => {
                if let Some(key) = key {
                    places.insert(key, groups.len());
                }
                groups.push(vec![outcome]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;
    use crate::grade::cases::PassCondition::Complete;
    use crate::grade::diagnose::testing::{RunBuilder, classic_run};
    use crate::grade::run::process::ProcessEnd;

    /// Returns the outcome of a run of a case.
    fn outcome(case: &'static Case, run: RunBuilder) -> CaseOutcome {
        let evidence = run.evidence();
        let judged = crate::grade::judge::judge(case, &evidence);
        CaseOutcome::of(case, case.severity, vec![Attempt { evidence, judged }])
    }

    #[test]
    fn a_grade_needs_musts_that_could_be_judged() {
        let must = |case: &&Case| case.severity == Severity::Must && case.passes == Complete;
        let cases: Vec<&'static Case> = CASES.iter().filter(must).take(4).collect();
        let whole = || classic_run().stream(1..=14).write(1..=14);
        let foreign = || classic_run().stream(1..=14).foreign();
        for (foreigners, letter) in [(0u32, Some(Letter::A)), (2, Some(Letter::D)), (3, None)] {
            let run = |(place, case): (u32, &&'static Case)| {
                outcome(case, if place < foreigners { foreign() } else { whole() })
            };
            let outcomes: Vec<CaseOutcome> = (0..).zip(&cases).map(run).collect();
            let summary = GradeSummary::of(&outcomes);
            assert_eq!((summary.letter, summary.not_judged), (letter, foreigners));
            let failed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Fail).count();
            assert_eq!(failed, 0, "what is not understood is no failure");
        }
        // The client's conduct can be judged, whatever it writes.
        let find = |id| CASES.iter().find(|case| case.id == id).unwrap();
        assert_eq!(outcome(find("conduct/resets"), foreign()).verdict, Verdict::Pass);
        let endless = foreign().ended(ProcessEnd::Killed);
        assert_eq!(outcome(find("termination/after-recovery"), endless).verdict, Verdict::Fail);
        assert_eq!(outcome(find("conduct/made-up"), foreign()).verdict, Verdict::NotJudged);
    }

    #[test]
    fn the_original_is_judged_by_what_came() {
        let case = CASES.iter().find(|case| case.id == "conduct/original").unwrap();
        let gap = || classic_run().stream([1, 2, 4, 5]);
        let verdict = |run| outcome(case, run).verdict;
        assert_eq!(verdict(gap().fill([3]).write(1..=5)), Verdict::Pass, "the tail is not seen");
        assert_eq!(verdict(gap().write([1, 2, 4, 5])), Verdict::Fail);
        assert_eq!(verdict(gap().write([])), Verdict::Fail);
        assert_eq!(verdict(classic_run().write([])), Verdict::Fail, "nothing came");
        assert_eq!(verdict(gap().fill([3])), Verdict::Fail);
    }

    #[test]
    fn the_grade_follows_its_rule() {
        let tally = |passed, of| CaseTally { passed, of };
        for (must, should, grade) in [
            (tally(30, 30), tally(9, 9), Letter::A),
            (tally(30, 30), tally(0, 9), Letter::B),
            (tally(24, 30), tally(9, 9), Letter::C),
            (tally(23, 30), tally(9, 9), Letter::D),
            (tally(15, 30), tally(9, 9), Letter::D),
            (tally(14, 30), tally(9, 9), Letter::F),
            (tally(0, 1), tally(0, 0), Letter::F),
            (tally(0, 0), tally(1, 2), Letter::B),
        ] {
            assert_eq!(letter(must, should), grade, "{must:?} {should:?}");
        }
    }
}
