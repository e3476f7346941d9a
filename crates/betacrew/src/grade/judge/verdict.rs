//! What all cases came to.

use crate::grade::cases::{Case, Severity};
use crate::grade::judge::Judged;
use crate::grade::observe::evidence::Evidence;
use std::collections::BTreeMap;

/// What a case came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Every run passed.
    Pass,
    /// Some runs passed.
    Flaky { passed: u32, of: u32 },
    /// No run passed.
    Fail,
    /// It was not run, or the client never reached the exchange.
    NotRun,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flaky { .. } => "flaky",
            Self::Fail => "fail",
            Self::NotRun => "not run",
        }
    }
}

/// One run, judged.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) seen: Evidence,
    pub(crate) judged: Judged,
}

/// One case with its runs.
#[derive(Clone, Debug)]
pub(crate) struct CaseOutcome {
    pub(crate) case: &'static Case,
    pub(crate) severity: Severity,
    pub(crate) verdict: Verdict,
    /// Its runs.
    pub(crate) runs: CaseTally,
    /// The first run that did not pass, or else the first.
    pub(crate) shown: Option<Attempt>,
}

impl CaseOutcome {
    /// A case that was not run.
    pub(crate) fn not_run(case: &'static Case, severity: Severity) -> Self {
        let (verdict, runs) = (Verdict::NotRun, CaseTally::default());
        Self { case, severity, verdict, runs, shown: None }
    }

    /// A case that was run at least once.
    pub(crate) fn of(case: &'static Case, severity: Severity, runs: Vec<Attempt>) -> Self {
        let of = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let passes = runs.iter().filter(|run| run.judged.fault.is_none()).count();
        let passed = u32::try_from(passes).unwrap_or(u32::MAX);
        let verdict = match passed {
            0 => Verdict::Fail,
            all if all == of => Verdict::Pass,
            passed => Verdict::Flaky { passed, of },
        };
        let mut runs = runs;
        let place = runs.iter().position(|run| run.judged.fault.is_some()).unwrap_or(0);
        let shown = (!runs.is_empty()).then(|| runs.swap_remove(place));
        Self { case, severity, verdict, runs: CaseTally { passed, of }, shown }
    }

    /// The cause of its failure, if that is known.
    pub(crate) fn cause(&self) -> Option<&crate::grade::diagnose::Cause> {
        self.shown.as_ref()?.judged.fault.as_ref()?.cause.as_ref()
    }
}

/// The grade: `A` to `D`, or `F`; none where nothing was run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Letter {
    A,
    B,
    C,
    D,
    F,
}

impl Letter {
    pub(crate) const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::F];

    /// What it takes.
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

/// Passed, and all that were to be run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct CaseTally {
    pub(crate) passed: u32,
    pub(crate) of: u32,
}

/// All outcomes in a few numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GradeSummary {
    pub(crate) must: CaseTally,
    pub(crate) should: CaseTally,
    pub(crate) not_run: u32,
    pub(crate) letter: Option<Letter>,
}

impl GradeSummary {
    /// Counts.
    pub(crate) fn of(outcomes: &[CaseOutcome]) -> Self {
        let tally = |severity| {
            let all = || outcomes.iter().filter(move |outcome| outcome.severity == severity);
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let passed = all().filter(|outcome| outcome.verdict == Verdict::Pass).count();
            CaseTally { passed: count(passed), of: count(all().count()) }
        };
        let (must, should) = (tally(Severity::Must), tally(Severity::Should));
        let missed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::NotRun).count();
        let letter = (missed < outcomes.len()).then(|| letter(must, should));
        Self { must, should, not_run: u32::try_from(missed).unwrap_or(u32::MAX), letter }
    }
}

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

/// Failures with the same cause, in the order of their first case; those without a known cause
/// are each by themselves.
pub(crate) fn by_cause(outcomes: &[CaseOutcome]) -> Vec<Vec<&CaseOutcome>> {
    // Crashes are the same where their text is.
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
