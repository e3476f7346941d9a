//! The whole of it as data, for `--json` and for whatever draws it.

use crate::args::address::PORT;
use crate::grade::judge::ended;
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary};
use crate::grade::observe::evidence::ClientOutput;
use crate::grade::report::terminal::said;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use serde::Serialize;

/// So many lines of a timeline are reported.
const LINES: usize = 200;

/// All cases and what they came to. Times are in milliseconds.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GradeReport {
    /// The client's command.
    pub(crate) client: String,
    /// The version of the program that graded it.
    pub(crate) version: &'static str,
    pub(crate) seed: u64,
    /// `A`, `B`, `C`, `D` or `F`; absent where nothing was run.
    pub(crate) grade: Option<String>,
    /// What that grade takes.
    pub(crate) rule: Option<&'static str>,
    pub(crate) must: CauseCount,
    pub(crate) should: CauseCount,
    pub(crate) not_run: u32,
    pub(crate) cases: Vec<CaseReport>,
}

/// How many of how many.
#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct CauseCount {
    pub(crate) passed: u32,
    pub(crate) of: u32,
}

impl From<CaseTally> for CauseCount {
    fn from(tally: CaseTally) -> Self {
        Self { passed: tally.passed, of: tally.of }
    }
}

/// One case.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaseReport {
    pub(crate) id: &'static str,
    /// `must` or `should`.
    pub(crate) severity: &'static str,
    /// `pass`, `flaky`, `fail` or `not run`.
    pub(crate) verdict: &'static str,
    /// Of so many runs, so many passed.
    pub(crate) runs: CauseCount,
    pub(crate) requirement: &'static str,
    /// Where that stands in `docs/protocol.md`.
    pub(crate) section: &'static str,
    /// What the exchange does.
    pub(crate) about: String,
    /// What passes.
    pub(crate) passes: &'static str,
    /// Absent where it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunReport>,
    /// Commands that do the same by hand.
    pub(crate) by_hand: Vec<String>,
}

/// One run: the first that did not pass, or else the first.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunReport {
    pub(crate) took_ms: f64,
    /// How the client ended.
    pub(crate) ended: String,
    /// Where its output was found, and as what it was read.
    pub(crate) output: Option<String>,
    pub(crate) expected: Option<String>,
    pub(crate) came: Option<String>,
    pub(crate) cause: Option<CauseReport>,
    pub(crate) remarks: Vec<String>,
    /// The last lines of what it said.
    pub(crate) stderr: Vec<String>,
    pub(crate) timeline: Vec<LineReport>,
}

/// A likely cause.
#[derive(Serialize, Debug)]
pub(crate) struct CauseReport {
    pub(crate) id: &'static str,
    pub(crate) text: String,
}

/// One line of a timeline.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineReport {
    pub(crate) at_ms: f64,
    pub(crate) until_ms: f64,
    /// Counted from 1.
    pub(crate) connection: usize,
    /// `client` or `exchange`.
    pub(crate) from: &'static str,
    pub(crate) text: String,
}

fn ms(time: std::time::Duration) -> f64 {
    // To the microsecond.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl GradeReport {
    /// The report of a session that has ended.
    pub(crate) fn new(outcomes: &[CaseOutcome], setup: &AttemptSetup) -> Self {
        let summary = GradeSummary::of(outcomes);
        Self {
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
    let serve = case.scene.map(|scene| scene.by_hand(setup.seed, port));
    CaseReport {
        id: case.id,
        severity: outcome.severity.word(),
        verdict: outcome.verdict.word(),
        runs: outcome.runs.into(),
        requirement: case.requirement.text,
        section: case.requirement.section,
        about: case.about(),
        passes: case.passes.sentence(),
        run: outcome.shown.as_ref().map(|shown| run_report(&shown.seen, &shown.judged)),
        by_hand: serve.into_iter().chain([setup.client.shown_for(port)]).collect(),
    }
}

fn run_report(
    seen: &crate::grade::observe::evidence::Evidence,
    judged: &crate::grade::judge::Judged,
) -> RunReport {
    let fault = judged.fault.as_ref();
    RunReport {
        took_ms: ms(seen.ran.took),
        ended: ended(seen),
        output: match &seen.output {
            ClientOutput::None => None,
            ClientOutput::Unclear { place, why } => Some(format!("{place}: {why}")),
            ClientOutput::Found { place, rows, .. } => {
                Some(format!("{place}: {}", rows.understood()))
            }
        },
        expected: fault.map(|fault| fault.expected.clone()),
        came: fault.map(|fault| fault.came.clone()),
        cause: fault
            .and_then(|fault| fault.cause.as_ref())
            .map(|cause| CauseReport { id: cause.id, text: cause.text.clone() }),
        remarks: judged.remarks.iter().map(|remark| remark.text.clone()).collect(),
        stderr: said(&seen.ran.stderr),
        timeline: timeline(&seen.wire).into_iter().take(LINES).map(line_report).collect(),
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
