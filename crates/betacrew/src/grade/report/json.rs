//! Report as data, for `--json`; the JUnit and HTML reports are made from it.

use crate::args::address::PORT;
use crate::grade::baseline::{Comparison, RunIdentity};
use crate::grade::cases::Severity;
use crate::grade::diagnose::advice;
use crate::grade::diagnose::mending::{Mending, mend_first};
use crate::grade::diagnose::unexplained;
use crate::grade::example::ExampleClient;
use crate::grade::judge::end_description;
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary};
use crate::grade::report::terminal::stderr_lines;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use schemars::JsonSchema;
use serde::Serialize;

/// Maximum number of lines of a timeline.
const LINES: usize = 200;

/// Name and version of the report's schema.
pub(crate) const SCHEMA: &str = "urn:betacrew:grade:1";

/// Results of a finished run, from which all reports are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportInput<'a> {
    /// Outcomes of all cases, in the order of the table.
    pub(crate) outcomes: &'a [CaseOutcome],
    /// Settings of the run.
    pub(crate) setup: &'a AttemptSetup,
    /// Comparison with an earlier run, if there is one.
    pub(crate) changes: Option<&'a Comparison<'a>>,
}

impl AttemptSetup {
    /// Returns what a run with these settings grades.
    pub(crate) fn identity(&self) -> RunIdentity {
        let version = env!("CARGO_PKG_VERSION");
        RunIdentity { client: self.client.shown(), version, seed: self.seed }
    }
}

/// Report of all cases. Times are in milliseconds.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GradeReport {
    /// Name and version of the schema of this report.
    #[schemars(extend("const" = SCHEMA))]
    pub(crate) schema: &'static str,
    /// Protocol of the cases: `betacrew`, `soup` or `mold`.
    pub(crate) protocol: &'static str,
    /// Command of the client.
    pub(crate) client: String,
    /// Version of betacrew that graded it.
    pub(crate) version: &'static str,
    /// Seed of the random faults.
    pub(crate) seed: u64,
    /// Grade: `A`, `B`, `C`, `D` or `F`; null if no case was run, or if most of those that are a
    /// must could not be judged.
    pub(crate) grade: Option<String>,
    /// Condition of that grade.
    pub(crate) rule: Option<&'static str>,
    /// Passes among the cases that are a must.
    pub(crate) must: PassCount,
    /// Passes among the cases that are a should.
    pub(crate) should: PassCount,
    /// Number of cases that were not run.
    pub(crate) not_run: u32,
    /// Number of cases that could not be judged, because the output was not understood.
    pub(crate) not_judged: u32,
    /// Causes to mend first: those that fail the most musts, at most three.
    pub(crate) mend_first: Vec<MendReport>,
    /// Comparison with the report that `--baseline` named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<BaselineReport>,
    /// Cases in the order of the table.
    pub(crate) cases: Vec<CaseReport>,
}

/// Cause to mend, with what to do.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct MendReport {
    /// Name of the cause, or of the case whose rule was broken. `--explain` explains it.
    pub(crate) id: &'static str,
    /// Explanation.
    pub(crate) text: String,
    /// Remedy, in one sentence.
    pub(crate) fix: &'static str,
    /// Lines of an example client that does it right.
    pub(crate) example: Option<ExampleReport>,
    /// Number of musts that fail by the cause.
    pub(crate) must: usize,
    /// Number of shoulds that fail by the cause.
    pub(crate) should: usize,
    /// Ids of the cases that fail by the cause.
    pub(crate) cases: Vec<&'static str>,
}

/// Lines of an example client.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct ExampleReport {
    /// Path and lines in the repository of betacrew, such as `examples/clients/client.py:64-74`.
    pub(crate) place: String,
    /// Lines with their numbers.
    pub(crate) code: String,
}

/// Comparison with an earlier run.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct BaselineReport {
    /// Name of the earlier report.
    pub(crate) name: String,
    /// Ids of the cases that pass, or pass more often, than before.
    pub(crate) better: Vec<&'static str>,
    /// Ids of the cases that passed, or passed more often, before.
    pub(crate) worse: Vec<&'static str>,
    /// Reasons why the comparison says less than it could, such as another version.
    pub(crate) remarks: Vec<String>,
}

/// Advice on a failure.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct AdviceReport {
    /// Name of the cause, or of the case whose rule was broken; absent if the cause is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'static str>,
    /// Remedy, in one sentence; absent if the cause is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<&'static str>,
    /// Path and lines of an example client that does it right, in the repository of betacrew.
    pub(crate) example: Option<String>,
}

/// Number of passes out of a total.
#[derive(Serialize, JsonSchema, Clone, Copy, Debug)]
pub(crate) struct PassCount {
    /// Number of passes.
    pub(crate) passed: u32,
    /// Total number.
    pub(crate) of: u32,
}

impl From<CaseTally> for PassCount {
    fn from(tally: CaseTally) -> Self {
        Self { passed: tally.passed, of: tally.of }
    }
}

/// Report of one case.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaseReport {
    /// Id of the case.
    pub(crate) id: &'static str,
    /// Severity: `must` or `should`.
    pub(crate) severity: &'static str,
    /// Verdict: `pass`, `flaky`, `fail`, `not judged` or `not run`.
    pub(crate) verdict: &'static str,
    /// Change since the baseline: `better` or `worse`; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<&'static str>,
    /// Number of runs that passed, and of all runs.
    pub(crate) runs: PassCount,
    /// Sentence of the protocol that the case checks.
    pub(crate) requirement: &'static str,
    /// Page of the documentation with that sentence, such as `docs/protocol.md`.
    pub(crate) page: &'static str,
    /// Section of that page.
    pub(crate) section: &'static str,
    /// Description of the scenario.
    pub(crate) about: String,
    /// Condition under which a client passes.
    pub(crate) passes: &'static str,
    /// Run that is shown: the first that did not pass, or else the first. Absent if the case was
    /// not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunReport>,
    /// Commands that repeat the case by hand.
    pub(crate) by_hand: Vec<String>,
}

/// Report of one run.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunReport {
    /// Duration of the run.
    pub(crate) took_ms: f64,
    /// End of the client, such as "it ended with exit code 0".
    pub(crate) ended: String,
    /// Name of the output and the shape in which it was read.
    pub(crate) output: Option<String>,
    /// Expected result, if the run did not pass.
    pub(crate) expected: Option<String>,
    /// Actual result, if the run did not pass.
    pub(crate) actual: Option<String>,
    /// Reason why the run could not be judged, and the option that settles it. Absent if it was
    /// judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_judged: Option<String>,
    /// Likely cause, if it is known.
    pub(crate) cause: Option<CauseReport>,
    /// Observations in a run that failed for no known cause.
    pub(crate) unexplained: Option<String>,
    /// Advice on the failure, if the run did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<AdviceReport>,
    /// Observations that do not decide the case.
    pub(crate) observations: Vec<String>,
    /// Most useful lines of the standard error output.
    pub(crate) stderr: Vec<String>,
    /// Timeline of the wire, from its beginning.
    pub(crate) timeline: Vec<LineReport>,
}

/// Likely cause of a failure.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct CauseReport {
    /// Name of the cause, which never changes its meaning.
    pub(crate) id: &'static str,
    /// Explanation.
    pub(crate) text: String,
    /// Number of cases whose run shows the cause.
    #[serde(rename = "shownBy")]
    pub(crate) shown_by: u32,
}

/// Line of a timeline.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineReport {
    /// Time of the first event of the row.
    pub(crate) at_ms: f64,
    /// Time of the last event of the row.
    pub(crate) until_ms: f64,
    /// Number of the connection, from 1.
    pub(crate) connection: usize,
    /// Side that caused the events: `client` or `exchange`.
    pub(crate) from: &'static str,
    /// Description of the row: a sentence without a subject.
    pub(crate) text: String,
}

/// Returns a time in milliseconds, rounded to microseconds.
fn ms(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl GradeReport {
    /// Returns the report of a finished grading run.
    pub(crate) fn new(input: &ReportInput<'_>) -> Self {
        let ReportInput { outcomes, setup, changes } = *input;
        let summary = GradeSummary::of(outcomes);
        let RunIdentity { client, version, seed } = setup.identity();
        let example = ExampleClient::closest_to(&client);
        let mend = mend_first(outcomes);
        Self {
            schema: SCHEMA,
            protocol: setup.protocol.as_str(),
            client,
            version,
            seed,
            grade: summary.letter.map(|letter| letter.to_string()),
            rule: summary.letter.map(crate::grade::judge::verdict::Letter::rule),
            must: summary.must.into(),
            should: summary.should.into(),
            not_run: summary.not_run,
            not_judged: summary.not_judged,
            mend_first: mend.iter().map(|mending| mend_report(mending, example)).collect(),
            baseline: changes.map(baseline_report),
            cases: outcomes
                .iter()
                .map(|outcome| CaseReport {
                    change: changes.and_then(|changes| changes.change(outcome.case.id)),
                    ..case_report(outcome, setup)
                })
                .collect(),
        }
    }
}

fn mend_report(mending: &Mending<'_>, example: ExampleClient) -> MendReport {
    let remedy = mending.remedy;
    let lines = remedy.lesson.and_then(|lesson| example.lines(lesson));
    MendReport {
        id: remedy.id,
        text: mending.text(),
        fix: remedy.fix,
        example: lines
            .map(|lines| ExampleReport { place: lines.to_string(), code: lines.numbered() }),
        must: mending.count(Severity::Must),
        should: mending.count(Severity::Should),
        cases: mending.outcomes.iter().map(|outcome| outcome.case.id).collect(),
    }
}

fn baseline_report(changes: &Comparison<'_>) -> BaselineReport {
    let ids = |outcomes: &[&CaseOutcome]| outcomes.iter().map(|outcome| outcome.case.id).collect();
    BaselineReport {
        name: changes.since.clone(),
        better: ids(&changes.better),
        worse: ids(&changes.worse),
        remarks: changes.remarks.clone(),
    }
}

/// Returns what to do about a failure; `None` if the case passed or was not run.
fn advice_report(outcome: &CaseOutcome, setup: &AttemptSetup) -> Option<AdviceReport> {
    outcome.shown.as_ref()?.judged.failure.as_ref()?;
    let advice = advice::on(outcome.case, outcome.cause());
    let lesson = advice.map_or(outcome.case.requirement.lesson, |advice| advice.lesson);
    let closest = ExampleClient::closest_to(&setup.client.shown());
    let example = lesson.and_then(|lesson| closest.lines(lesson));
    Some(AdviceReport {
        id: advice.map(|advice| advice.id),
        fix: advice.map(|advice| advice.fix),
        example: example.map(|lines| lines.to_string()),
    })
}

fn case_report(outcome: &CaseOutcome, setup: &AttemptSetup) -> CaseReport {
    let case = outcome.case;
    let port = setup.port.unwrap_or(PORT);
    let serve =
        case.exchange_setup.map(|exchange_setup| exchange_setup.serve_command(setup.seed, port));
    let run = outcome.shown.as_ref().map(|shown| RunReport {
        advice: advice_report(outcome, setup),
        ..run_report(&shown.evidence, &shown.judged)
    });
    CaseReport {
        id: case.id,
        severity: outcome.severity.as_str(),
        verdict: outcome.verdict.as_str(),
        change: None,
        runs: outcome.runs.into(),
        requirement: case.requirement.text,
        page: case.requirement.page,
        section: case.requirement.section,
        about: case.about(),
        passes: case.passes.sentence(),
        run,
        by_hand: serve.into_iter().chain([setup.client.shown_with_port(port)]).collect(),
    }
}

fn run_report(
    evidence: &crate::grade::observe::evidence::Evidence,
    judged: &crate::grade::judge::Judged,
) -> RunReport {
    let failure = judged.failure.as_ref();
    RunReport {
        took_ms: ms(evidence.process.took),
        ended: end_description(evidence),
        output: evidence.output_description(),
        expected: failure.map(|failure| failure.expected.clone()),
        actual: failure.map(|failure| failure.actual.clone()),
        not_judged: judged
            .not_judged
            .as_ref()
            .map(|reason| format!("{}. {}", reason.why, reason.remedy)),
        cause: failure.and_then(|failure| failure.cause.as_ref()).map(|cause| CauseReport {
            id: cause.id,
            text: cause.text.clone(),
            shown_by: cause.shown_by,
        }),
        unexplained: failure
            .filter(|failure| failure.cause.is_none())
            .map(|_| unexplained(evidence)),
        advice: None,
        observations: judged
            .observations
            .iter()
            .map(|observation| observation.text.clone())
            .collect(),
        stderr: stderr_lines(&evidence.process.stderr),
        timeline: timeline(&evidence.wire).into_iter().take(LINES).map(line_report).collect(),
    }
}

fn line_report(line: TimelineLine) -> LineReport {
    LineReport {
        at_ms: ms(line.at),
        until_ms: ms(line.until),
        connection: line.conn + 1,
        from: match line.from {
            SentBy::Client => "client",
            SentBy::Exchange => "exchange",
        },
        text: line.text,
    }
}
