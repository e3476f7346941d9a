//! Comparison with an earlier run: what got better, and what got worse.

use crate::error::Failure;
use crate::grade::judge::verdict::CaseOutcome;
use crate::grade::report::json::SCHEMA;
use crate::text::escape::line;
use crate::text::formatting::count;
use crate::text::location::shown;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Maximum size of a report that is read, in bytes; reports have a few hundred thousand.
const REPORT_BYTES_MAX: u64 = 64 << 20;
/// Maximum number of cases that a remark names.
const NAMED_MAX: usize = 5;

/// Report of an earlier run, as `--json` wrote it; only the parts that are compared.
#[derive(Deserialize, Debug)]
struct EarlierReport {
    schema: String,
    client: String,
    version: String,
    seed: u64,
    cases: Vec<EarlierCase>,
}

/// Case of an earlier report.
#[derive(Deserialize, Debug)]
struct EarlierCase {
    id: String,
    verdict: String,
}

/// Success of a case: more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Success {
    /// No run passed, or the case could not be judged.
    None,
    /// Some runs passed.
    Partial,
    /// Every run passed.
    Full,
}

impl Success {
    /// Returns the success that a verdict means, by its word in the reports.
    fn of(verdict: &str) -> Self {
        match verdict {
            "pass" => Self::Full,
            "flaky" => Self::Partial,
            _ => Self::None,
        }
    }
}

/// Verdicts of an earlier run.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    /// Name of the run for people, such as the path of its report.
    name: String,
    /// Command of the client that was graded.
    client: String,
    /// Version of betacrew.
    version: String,
    /// Seed of the random faults.
    seed: u64,
    /// Success by the id of the case.
    cases: BTreeMap<String, Success>,
}

impl Baseline {
    /// Reads the report of an earlier run.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or is no report of a client that was graded.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Storage { action: "read", path: path.to_owned(), source };
        let wrong = |reason: String| Failure::Content { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(REPORT_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let report: EarlierReport = serde_json::from_slice(&bytes).map_err(|error| {
            wrong(format!(
                "a baseline is a report that `betacrew grade --json` has written, and this is \
                 none: {error}"
            ))
        })?;
        if report.schema != SCHEMA {
            return Err(wrong(format!(
                "it has the schema {}, and a baseline has {SCHEMA}: write it anew by betacrew \
                 grade --json",
                report.schema
            )));
        }
        let is_judged = |case: &EarlierCase| matches!(&*case.verdict, "pass" | "flaky" | "fail");
        let graded = report.cases.iter().any(is_judged);
        if !graded {
            return Err(wrong("no case was run for it, so nothing can be compared".to_owned()));
        }
        let cases =
            report.cases.into_iter().map(|case| (case.id, Success::of(&case.verdict))).collect();
        Ok(Self {
            name: shown(path).to_string(),
            client: report.client,
            version: report.version,
            seed: report.seed,
            cases,
        })
    }

    /// Returns the verdicts of this run, to compare the next one with.
    pub(crate) fn of(outcomes: &[CaseOutcome], run: &RunIdentity) -> Self {
        let success = |outcome: &CaseOutcome| {
            (outcome.case.id.to_owned(), Success::of(outcome.verdict.as_str()))
        };
        Self {
            name: "the run before".to_owned(),
            client: run.client.clone(),
            version: run.version.to_owned(),
            seed: run.seed,
            cases: outcomes.iter().map(success).collect(),
        }
    }

    /// Compares the outcomes of a run with this earlier one.
    pub(crate) fn compare<'a>(
        &self,
        outcomes: &'a [CaseOutcome],
        run: &RunIdentity,
    ) -> Comparison<'a> {
        let mut comparison = Comparison { since: self.name.clone(), ..Comparison::default() };
        let mut new = Vec::new();
        for outcome in outcomes {
            let now = Success::of(outcome.verdict.as_str());
            match self.cases.get(outcome.case.id) {
                None => new.push(outcome.case.id),
                Some(before) if now > *before => comparison.better.push(outcome),
                Some(before) if now < *before => comparison.worse.push(outcome),
                Some(_) => {}
            }
        }
        comparison.remarks = self.remarks(outcomes, run, &new);
        comparison
    }

    /// Returns why a comparison says less than it could.
    fn remarks(&self, outcomes: &[CaseOutcome], run: &RunIdentity, new: &[&str]) -> Vec<String> {
        let Self { client, version, seed, .. } = self;
        let mut remarks = Vec::new();
        if *client != run.client {
            remarks.push(format!("the earlier run graded another command: {}", line(client)));
        }
        if *version != run.version {
            remarks.push(format!(
                "the earlier run is of betacrew {}, and this one of {}: a case may have changed \
                 with it",
                line(version),
                run.version
            ));
        }
        if *seed != run.seed {
            remarks.push(format!(
                "the earlier run had seed {seed}, so that random faults hit other packets: --seed \
                 {seed} repeats them"
            ));
        }
        if !new.is_empty() {
            remarks.push(format!(
                "{} not in the earlier run, so nothing can be said about {}: {}",
                are(new.len()),
                if new.len() == 1 { "it" } else { "them" },
                named(new)
            ));
        }
        let graded = |id: &&str| outcomes.iter().any(|outcome| outcome.case.id == *id);
        let gone: Vec<&str> =
            self.cases.keys().map(String::as_str).filter(|id| !graded(id)).collect();
        if !gone.is_empty() {
            remarks.push(format!("{} only in the earlier run: {}", are(gone.len()), named(&gone)));
        }
        remarks
    }
}

/// Returns a number of cases as the beginning of a sentence.
fn are(cases: usize) -> String {
    format!("{} {}", count(cases as u64, "case"), if cases == 1 { "is" } else { "are" })
}

/// Returns a list of ids, shortened.
fn named(ids: &[&str]) -> String {
    let first: Vec<_> = ids.iter().take(NAMED_MAX).map(|id| line(id)).collect();
    let first = first.join(", ");
    match ids.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Identity of a run: the client that it graded, and the program that did.
#[derive(Clone, Debug)]
pub(crate) struct RunIdentity {
    /// Command of the client.
    pub(crate) client: String,
    /// Version of betacrew.
    pub(crate) version: &'static str,
    /// Seed of the random faults.
    pub(crate) seed: u64,
}

/// Result of a comparison with an earlier run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Comparison<'a> {
    /// Name of the earlier run.
    pub(crate) since: String,
    /// Cases that pass, or pass more often, than in the earlier run.
    pub(crate) better: Vec<&'a CaseOutcome>,
    /// Cases that passed, or passed more often, in the earlier run.
    pub(crate) worse: Vec<&'a CaseOutcome>,
    /// Reasons why the comparison says less than it could.
    pub(crate) remarks: Vec<String>,
}

impl Comparison<'_> {
    /// Returns the change of a case, as the reports write it.
    pub(crate) fn change(&self, id: &str) -> Option<&'static str> {
        let has = |outcomes: &[&CaseOutcome]| outcomes.iter().any(|outcome| outcome.case.id == id);
        match () {
            () if has(&self.worse) => Some("worse"),
            () if has(&self.better) => Some("better"),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;
    use crate::grade::judge::verdict::Verdict;

    fn outcomes(verdicts: &[Verdict]) -> Vec<CaseOutcome> {
        let outcome = |(verdict, case): (&Verdict, &'static _)| CaseOutcome {
            verdict: *verdict,
            ..CaseOutcome::not_run(case, case.severity)
        };
        verdicts.iter().zip(CASES).map(outcome).collect()
    }

    fn run() -> RunIdentity {
        RunIdentity { client: "node x.js".to_owned(), version: "1", seed: 1 }
    }

    #[test]
    fn every_change_of_a_verdict_is_better_or_worse() {
        use Verdict::{Fail, NotRun, Pass};
        let flaky = Verdict::Flaky { passed: 1, of: 2 };
        let before = outcomes(&[Fail, flaky, Pass, Pass, Pass, Fail, NotRun]);
        let now = outcomes(&[flaky, Pass, Pass, flaky, NotRun, Fail, Fail]);
        let changes = Baseline::of(&before, &run()).compare(&now, &run());
        let ids = |outcomes: &[&CaseOutcome]| -> Vec<&str> {
            outcomes.iter().map(|outcome| outcome.case.id).collect()
        };
        assert_eq!(ids(&changes.better), [CASES[0].id, CASES[1].id]);
        assert_eq!(ids(&changes.worse), [CASES[3].id, CASES[4].id]);
        assert_eq!(changes.change(CASES[3].id), Some("worse"));
        assert_eq!(changes.change(CASES[5].id), None);
        assert!(changes.remarks.is_empty());
    }

    #[test]
    fn a_baseline_of_something_else_says_so() {
        let before = outcomes(&[Verdict::Pass; 8]);
        let other = RunIdentity { client: "old\x1b[31m".to_owned(), version: "0.9", seed: 2 };
        let now = &outcomes(&[Verdict::Pass; 9])[7..];
        let remarks = Baseline::of(&before, &other).compare(now, &run()).remarks;
        let [client, version, seed, new, gone] = &remarks[..] else { panic!("{remarks:?}") };
        assert!(
            client.contains("another command: old\\u001b[31m") && version.contains("betacrew 0.9")
        );
        assert!(seed.contains("--seed 2"), "{seed}");
        assert!(new.starts_with("1 case is") && new.contains(CASES[8].id), "{new}");
        assert!(gone.starts_with("7 cases are") && gone.ends_with("and 2 more"), "{gone}");
    }

    #[test]
    fn only_the_report_of_a_graded_client_is_a_baseline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let report = |schema: &str, verdict: &str| {
            format!(
                "{{\"schema\": \"{schema}\", \"client\": \"x\", \"version\": \"1\", \"seed\": 1, \
                 \"cases\": [{{\"id\": \"gaps/one\", \"verdict\": \"{verdict}\"}}]}}"
            )
        };
        for (text, reason) in [
            ("[]".to_owned(), "this is none"),
            (String::new(), "this is none"),
            (report("urn:betacrew:grade:9", "pass"), "schema urn:betacrew:grade:9"),
            (report(SCHEMA, "not run"), "no case was run"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Baseline::open(&path).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
        std::fs::write(&path, report(SCHEMA, "pass")).unwrap();
        assert!(Baseline::open(&path).is_ok());
        assert!(Baseline::open(folder.path()).is_err(), "a folder");
    }
}
