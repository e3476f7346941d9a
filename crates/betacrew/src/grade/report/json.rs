//! Report as data, for `--json`; the JUnit and HTML reports are made from it.

use crate::args::address::PORT;
use crate::grade::diagnose::unexplained;
use crate::grade::judge::end_description;
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary};
use crate::grade::observe::evidence::ClientOutput;
use crate::grade::report::terminal::stderr_lines;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use schemars::JsonSchema;
use serde::Serialize;

/// Maximum number of lines of a timeline.
const LINES: usize = 200;

/// Name and version of the report's schema.
pub(crate) const SCHEMA: &str = "urn:betacrew:grade:1";

/// Report of all cases. Times are in milliseconds.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GradeReport {
    /// Name and version of the schema of this report.
    #[schemars(extend("const" = SCHEMA))]
    pub(crate) schema: &'static str,
    /// Command of the client.
    pub(crate) client: String,
    /// Version of betacrew that graded it.
    pub(crate) version: &'static str,
    /// Seed of the random faults.
    pub(crate) seed: u64,
    /// Grade: `A`, `B`, `C`, `D` or `F`; null if no case was run.
    pub(crate) grade: Option<String>,
    /// Condition of that grade.
    pub(crate) rule: Option<&'static str>,
    /// Passes among the cases that are a must.
    pub(crate) must: PassCount,
    /// Passes among the cases that are a should.
    pub(crate) should: PassCount,
    /// Number of cases that were not run.
    pub(crate) not_run: u32,
    /// Cases in the order of the table.
    pub(crate) cases: Vec<CaseReport>,
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
    /// Verdict: `pass`, `flaky`, `fail` or `not run`.
    pub(crate) verdict: &'static str,
    /// Number of runs that passed, and of all runs.
    pub(crate) runs: PassCount,
    /// Sentence of the protocol that the case checks.
    pub(crate) requirement: &'static str,
    /// Section of `docs/protocol.md` with that sentence.
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
    /// Likely cause, if it is known.
    pub(crate) cause: Option<CauseReport>,
    /// Observations in a run that failed for no known cause.
    pub(crate) unexplained: Option<String>,
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
    pub(crate) fn new(outcomes: &[CaseOutcome], setup: &AttemptSetup) -> Self {
        let summary = GradeSummary::of(outcomes);
        Self {
            schema: SCHEMA,
            client: setup.client.shown(),
            version: env!("CARGO_PKG_VERSION"),
            seed: setup.seed,
            grade: summary.letter.map(|letter| letter.to_string()),
            rule: summary.letter.map(crate::grade::judge::verdict::Letter::rule),
            must: summary.must.into(),
            should: summary.should.into(),
            not_run: summary.not_run,
            cases: outcomes.iter().map(|outcome| case_report(outcome, setup)).collect(),
        }
    }
}

fn case_report(outcome: &CaseOutcome, setup: &AttemptSetup) -> CaseReport {
    let case = outcome.case;
    let port = setup.port.unwrap_or(PORT);
    let serve =
        case.exchange_setup.map(|exchange_setup| exchange_setup.serve_command(setup.seed, port));
    CaseReport {
        id: case.id,
        severity: outcome.severity.as_str(),
        verdict: outcome.verdict.as_str(),
        runs: outcome.runs.into(),
        requirement: case.requirement.text,
        section: case.requirement.section,
        about: case.about(),
        passes: case.passes.sentence(),
        run: outcome.shown.as_ref().map(|shown| run_report(&shown.evidence, &shown.judged)),
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
        output: match &evidence.output {
            ClientOutput::None => None,
            ClientOutput::Unclear { name, why } => Some(format!("{name}: {why}")),
            ClientOutput::Found { name, rows, .. } => {
                Some(format!("{name}: {}", rows.understood()))
            }
        },
        expected: failure.map(|failure| failure.expected.clone()),
        actual: failure.map(|failure| failure.actual.clone()),
        cause: failure.and_then(|failure| failure.cause.as_ref()).map(|cause| CauseReport {
            id: cause.id,
            text: cause.text.clone(),
            shown_by: cause.shown_by,
        }),
        unexplained: failure
            .filter(|failure| failure.cause.is_none())
            .map(|_| unexplained(evidence)),
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
