//! The whole of it as data, for `--json` and for whatever draws it.

use super::evidence::Output;
use super::judge::ended;
use super::run::Setup;
use super::terminal::said;
use super::timeline::{From, Line, timeline};
use super::verdict::{Outcome, Summary, Tally};
use crate::address::PORT;
use serde::Serialize;

/// So many lines of a timeline are reported.
const LINES: usize = 200;

/// All cases and what they came to. Times are in milliseconds.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The client's command.
    pub(super) client: String,
    /// The version of the program that graded it.
    pub(super) version: &'static str,
    pub(super) seed: u64,
    /// `A`, `B`, `C`, `D` or `F`; absent where nothing was run.
    pub(super) grade: Option<String>,
    /// What that grade takes.
    pub(super) rule: Option<&'static str>,
    pub(super) must: Count,
    pub(super) should: Count,
    pub(super) not_run: u32,
    pub(super) cases: Vec<CaseReport>,
}

/// How many of how many.
#[derive(Serialize, Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) passed: u32,
    pub(super) of: u32,
}

impl std::convert::From<Tally> for Count {
    fn from(tally: Tally) -> Self {
        Self { passed: tally.passed, of: tally.of }
    }
}

/// One case.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct CaseReport {
    pub(super) id: &'static str,
    /// `must` or `should`.
    pub(super) severity: &'static str,
    /// `pass`, `flaky`, `fail` or `not run`.
    pub(super) verdict: &'static str,
    /// Of so many runs, so many passed.
    pub(super) runs: Count,
    pub(super) requirement: &'static str,
    /// Where that stands in `docs/protocol.md`.
    pub(super) section: &'static str,
    /// What the exchange does.
    pub(super) about: String,
    /// What passes.
    pub(super) passes: &'static str,
    /// Absent where it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<RunReport>,
    /// Commands that do the same by hand.
    pub(super) by_hand: Vec<String>,
}

/// One run: the first that did not pass, or else the first.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunReport {
    pub(super) took_ms: f64,
    /// How the client ended.
    pub(super) ended: String,
    /// Where its output was found, and as what it was read.
    pub(super) output: Option<String>,
    pub(super) expected: Option<String>,
    pub(super) came: Option<String>,
    pub(super) cause: Option<CauseReport>,
    pub(super) remarks: Vec<String>,
    /// The last lines of what it said.
    pub(super) stderr: Vec<String>,
    pub(super) timeline: Vec<LineReport>,
}

/// A likely cause.
#[derive(Serialize, Debug)]
pub(super) struct CauseReport {
    pub(super) id: &'static str,
    pub(super) text: String,
}

/// One line of a timeline.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineReport {
    pub(super) at_ms: f64,
    pub(super) until_ms: f64,
    /// Counted from 1.
    pub(super) connection: usize,
    /// `client` or `exchange`.
    pub(super) from: &'static str,
    pub(super) text: String,
}

fn ms(time: std::time::Duration) -> f64 {
    // To the microsecond.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    /// The report of a session that has ended.
    pub(super) fn new(outcomes: &[Outcome], setup: &Setup) -> Self {
        let summary = Summary::of(outcomes);
        Self {
            client: setup.client.shown(),
            version: env!("CARGO_PKG_VERSION"),
            seed: setup.seed,
            grade: summary.letter.map(|letter| letter.to_string()),
            rule: summary.letter.map(super::verdict::Letter::rule),
            must: summary.must.into(),
            should: summary.should.into(),
            not_run: summary.not_run,
            cases: outcomes.iter().map(|outcome| case_report(outcome, setup)).collect(),
        }
    }
}

fn case_report(outcome: &Outcome, setup: &Setup) -> CaseReport {
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

fn run_report(seen: &super::evidence::Evidence, judged: &super::judge::Judged) -> RunReport {
    let fault = judged.fault.as_ref();
    RunReport {
        took_ms: ms(seen.ran.took),
        ended: ended(seen),
        output: match &seen.output {
            Output::None => None,
            Output::Unclear { place, why } => Some(format!("{place}: {why}")),
            Output::Found { place, rows, .. } => Some(format!("{place}: {}", rows.understood())),
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

fn line_report(line: Line) -> LineReport {
    LineReport {
        at_ms: ms(line.at),
        until_ms: ms(line.until),
        connection: line.conn + 1,
        from: match line.from {
            From::Client => "client",
            From::Exchange => "exchange",
        },
        text: line.text,
    }
}
