//! Report for a terminal: one line a case while the run goes on, then details of the failures and
//! the grade.

mod changes;
mod failure;
pub(crate) mod layout;

use crate::grade::cases::Severity;
use crate::grade::diagnose::mending::{self, by_worth, mend_first};
use crate::grade::diagnose::{self, prompt::waits_for_input};
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary, Verdict};
use crate::grade::judge::{NotUnderstood, end_description};
use crate::grade::observe::fields::plain;
use crate::grade::report::json::ReportInput;
use crate::grade::run::attempt::AttemptSetup;
use crate::grade::run::network::CaseNetwork;
use crate::text::formatting::{count, took};
use layout::{Emphasis, Paint, cut};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Maximum number of failures with details.
const FAILURES_MAX: usize = 10;
/// Maximum number of lines of a client's standard error output.
const STDERR_LINES: usize = 3;
/// Width of the column for a case's name.
const NAME: usize = 20;
/// Maximum width of the column for the actual result.
const RESULT_WIDTH: usize = 72;
/// Column at which the actual result begins.
const RESULT_AT: usize = 41;

/// Returns the heading above the table. `expected` is the time that a client without a fault takes.
pub(crate) fn heading(
    setup: &AttemptSetup,
    cases: usize,
    expected: Duration,
    paint: Paint,
) -> String {
    let port = setup.port.map_or_else(|| "free ports".to_owned(), |port| format!("port {port}"));
    let network = match setup.network {
        CaseNetwork::Shared => "",
        CaseNetwork::Own => " in a network for each case",
    };
    format!(
        "{}  {}\n",
        paint.bold(&setup.client.shown()),
        paint.dim(&format!(
            "{}, {port}{network}, seed {}, about {}",
            count(u64::try_from(cases).unwrap_or(0), "case"),
            setup.seed,
            seconds(expected)
        ))
    )
}

/// Returns a time in whole seconds, rounded up.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1000))
}

/// Returns a remark about the whole run.
pub(crate) fn remark(text: &str, paint: Paint) -> String {
    let mut remark = String::new();
    paint.block(&mut remark, 0, &format!("note: {text}"), Emphasis::Weak);
    remark
}

/// Position of a row in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RowPosition {
    /// First row of its group, which gets the group's name as a heading.
    FirstOfGroup,
    /// Any other row.
    WithinGroup,
}

/// Returns the row of one case.
pub(crate) fn row(outcome: &CaseOutcome, position: RowPosition, paint: Paint) -> String {
    let mut text = String::new();
    if position == RowPosition::FirstOfGroup {
        let _ = writeln!(text, "\n{}", outcome.case.group());
    }
    let mark = match outcome.verdict {
        Verdict::Pass => "✓",
        Verdict::Flaky { .. } => "~",
        Verdict::Fail => "✗",
        Verdict::NotJudged => "?",
        Verdict::NotRun => "-",
    };
    let _ = write!(
        text,
        "  {} {:NAME$} {:6}",
        paint.verdict(outcome.verdict, mark),
        outcome.case.name(),
        severity(outcome.severity, paint),
    );
    let time = outcome.shown.as_ref().map(|shown| took(shown.evidence.process.took));
    let _ = write!(text, " {}", paint.dim(&format!("{:>7}", time.unwrap_or_default())));
    let what = match outcome.verdict {
        Verdict::Pass | Verdict::NotRun => String::new(),
        Verdict::NotJudged => "not judged: its output is not understood".to_owned(),
        Verdict::Fail => actual(outcome),
        Verdict::Flaky { passed, of } => format!("passed {passed} of {of}; {}", actual(outcome)),
    };
    if !what.is_empty() {
        let room = paint.columns.map_or(RESULT_WIDTH, |columns| columns.saturating_sub(RESULT_AT));
        let _ = write!(text, "  {}", cut(&what, room.min(RESULT_WIDTH)));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Says which cases could not be judged, why, and what settles it. This comes before everything
/// else, because the other verdicts say little about such a client.
fn not_judged(outcomes: &[CaseOutcome], paint: Paint) -> String {
    let unjudged = || outcomes.iter().filter(|outcome| outcome.verdict == Verdict::NotJudged);
    let reason = |outcome: &CaseOutcome| outcome.shown.as_ref()?.judged.not_judged.clone();
    let Some(NotUnderstood { why, remedy }) = unjudged().find_map(reason) else {
        return String::new();
    };
    format!(
        "\n{} {} could not be judged, because {why}.\n{remedy}\n",
        paint.bold("the output is not understood:"),
        count(unjudged().count() as u64, "case")
    )
}

/// Returns a severity as a column; shoulds are dim, because they do not fail the client.
fn severity(severity: Severity, paint: Paint) -> String {
    let word = format!("{:6}", severity.as_str());
    if severity == Severity::Should { paint.dim(&word) } else { word }
}

/// Returns the number of outcomes of each severity: `3 musts and 1 should`.
pub(crate) fn severities(outcomes: &[&CaseOutcome]) -> String {
    let counts = [Severity::Must, Severity::Should].map(|severity| {
        let number = mending::count(outcomes, severity);
        (number > 0).then(|| count(number as u64, severity.as_str()))
    });
    counts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// Returns the ids of outcomes as a list.
pub(crate) fn ids(outcomes: &[&CaseOutcome]) -> String {
    outcomes.iter().map(|outcome| outcome.case.id).collect::<Vec<_>>().join(", ")
}

/// Returns the actual result of the run that is shown.
fn actual(outcome: &CaseOutcome) -> String {
    let failure = outcome.shown.as_ref().and_then(|shown| shown.judged.failure.as_ref());
    failure.map(|failure| failure.actual.clone()).unwrap_or_default()
}

/// Returns the details below the table: outputs that were not understood, what to mend first,
/// failures, observations, what changed since an earlier run, and the grade.
pub(crate) fn details(results: &ReportInput<'_>, paint: Paint) -> String {
    let ReportInput { outcomes, setup, changes } = *results;
    let mut text = not_judged(outcomes, paint);
    let first = mend_first(outcomes);
    let groups = by_worth(outcomes);
    if groups.len() > 1 && !first.is_empty() {
        failure::mend_first(&mut text, &first, setup, paint);
    }
    for group in groups.iter().take(FAILURES_MAX) {
        failure::failure(&mut text, group, setup, paint);
    }
    failure::without_details(&mut text, groups.get(FAILURES_MAX..).unwrap_or_default(), paint);
    absent(&mut text, outcomes, setup, paint);
    input(&mut text, outcomes, setup, paint);
    behaviour(&mut text, outcomes, paint);
    if let Some(changes) = changes {
        changes::changes(&mut text, changes, paint);
    }
    grade(&mut text, &GradeSummary::of(outcomes), paint);
    if !first.is_empty() {
        // The last line is what a person sees without scrolling.
        let named = first
            .iter()
            .map(|mending| format!("{} ({})", mending.remedy.id, severities(&mending.outcomes)));
        let told = format!(
            "mend first: {}; betacrew grade --explain NAME tells how",
            named.collect::<Vec<_>>().join(", ")
        );
        paint.block(&mut text, 0, &told, Emphasis::None);
    }
    text
}

/// Returns the most useful lines of a client's standard error output: those around its last error,
/// or else the last ones. Control characters are replaced.
pub(crate) fn stderr_lines(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    // Lines of ^ and ~ only mark a place in the line before.
    let tells = |line: &&str| {
        !line.trim_matches(|c: char| c.is_whitespace() || "^~".contains(c)).is_empty()
    };
    let lines: Vec<&str> = text.lines().filter(tells).collect();
    let error = lines.iter().rposition(|line| diagnose::is_error(line.trim()));
    let from =
        error.map_or(lines.len().saturating_sub(STDERR_LINES), |place| place.saturating_sub(1));
    lines[from..].iter().take(STDERR_LINES).map(|line| printable(line)).collect()
}

/// Returns a line without control characters, shortened.
fn printable(line: &str) -> String {
    cut(&plain(line.trim_end()), 100)
}

/// Explains that the client never connected, and how a client learns the address.
fn absent(text: &mut String, outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    let Some(first) = outcomes.first().filter(|first| first.verdict == Verdict::NotRun) else {
        return;
    };
    let Some(shown) = &first.shown else { return };
    let is_mold = shown.evidence.wire.mold.is_some();
    let what = if is_mold { "it opened no port of a line" } else { "it made no connection" };
    let _ = writeln!(
        text,
        "\n{} {what}; {}",
        paint.bold("the client could not be graded:"),
        end_description(&shown.evidence)
    );
    for line in stderr_lines(&shown.evidence.process.stderr) {
        let _ = writeln!(text, "    stderr    {line}");
    }
    let _ = match setup.port {
        Some(port) if is_mold => writeln!(
            text,
            "The client must receive datagrams on 127.0.0.1, port {port}. If it can be told its \
             port, put {{port}}\nin its command, or use --port any and read BETACREW_PORT"
        ),
        None if is_mold => writeln!(
            text,
            "The client must receive datagrams on {{port}} of {{host}}, which it takes from its \
             command, or on\nBETACREW_PORT of its environment. A client that joins a group takes \
             {{group}}. If its port is fixed,\nuse --port 30001"
        ),
        Some(port) => writeln!(
            text,
            "The client must connect to 127.0.0.1 or localhost, port {port}. If it can be told \
             where to connect,\nput {{host}} and {{port}} in its command, or use --port any and \
             read BETACREW_HOST and BETACREW_PORT{}",
            match setup.network {
                CaseNetwork::Own => {
                    ".\nIf something else connects for it, such as a container, use --isolate never"
                }
                CaseNetwork::Shared => "",
            }
        ),
        None => writeln!(
            text,
            "The client must take its address from {{host}} and {{port}} in its command, or from \
             BETACREW_HOST and\nBETACREW_PORT in its environment. If its port is fixed, use --port \
             3000"
        ),
    };
}

/// Explains how to give input to a client that seems to wait for some.
fn input(text: &mut String, outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    if setup.stdin.is_some() {
        return;
    }
    let mut failed = outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Pass);
    let sign = failed.find_map(|outcome| {
        let evidence = &outcome.shown.as_ref()?.evidence;
        (!evidence.has_output()).then(|| waits_for_input(&evidence.process)).flatten()
    });
    if let Some(sign) = sign {
        let _ = writeln!(
            text,
            "\n{} {sign}, and its input is empty. --stdin '1\\n' types an answer",
            paint.bold("the client seems to wait for input:"),
        );
    }
}

/// Writes the observations that decide no case, with the number of cases in which they were made.
fn behaviour(text: &mut String, outcomes: &[CaseOutcome], paint: Paint) {
    let mut evidence: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for outcome in outcomes {
        for observation in outcome.shown.iter().flat_map(|shown| &shown.judged.observations) {
            evidence.entry(observation.kind).or_insert((0, observation.text.as_str())).0 += 1;
        }
    }
    for (place, (times, observation)) in evidence.values().enumerate() {
        if place == 0 {
            let _ = writeln!(text, "\n{}", paint.bold("also observed"));
        }
        text.push_str("  ");
        let told = format!("{observation} ({})", count(*times, "case"));
        paint.block(text, 2, &told, Emphasis::None);
    }
}

/// Writes the grade.
fn grade(text: &mut String, summary: &GradeSummary, paint: Paint) {
    let tally = |name: &str, tally: CaseTally| match tally.of {
        0 => String::new(),
        of => format!("   {name} {} of {of}", tally.passed),
    };
    let not_run = match summary.not_run {
        0 => String::new(),
        cases => format!("   not run {cases}"),
    };
    let not_judged = match summary.not_judged {
        0 => String::new(),
        cases => format!("   not judged {cases}"),
    };
    let (letter, rule) = match summary.letter {
        Some(letter) => (letter.to_string(), letter.rule()),
        None if summary.not_judged > 0 => ("none".to_owned(), "too few cases could be judged"),
        None => ("none".to_owned(), "no case was run"),
    };
    let _ = writeln!(
        text,
        "\n{}{}{}{not_judged}{not_run}   {}",
        paint.bold(&format!("grade {letter}")),
        tally("must", summary.must),
        tally("should", summary.should),
        paint.dim(rule)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::{CASES, Case};
    use crate::grade::diagnose::testing::classic_run;
    use crate::grade::feeds::protocol::GradedProtocol;
    use crate::grade::judge::verdict::Attempt;
    use crate::grade::judge::{CaseFailure, Judged};
    use crate::grade::observe::names::FieldNames;
    use crate::grade::run::client::GradedClient;
    use crate::grade::run::workdir::Workdir;

    /// Returns the outcome of a case that failed for no known reason.
    fn unexplained(case: &'static Case) -> CaseOutcome {
        let evidence = classic_run().evidence();
        let failure =
            CaseFailure { expected: "packets".to_owned(), actual: "none".to_owned(), cause: None };
        let judged = Judged { failure: Some(failure), not_judged: None, observations: Vec::new() };
        CaseOutcome::of(case, Severity::Must, vec![Attempt { evidence, judged }])
    }

    #[test]
    fn failures_without_details_are_named() {
        let cases = &CASES[..FAILURES_MAX + 2];
        let outcomes: Vec<CaseOutcome> = cases.iter().map(unexplained).collect();
        let client = GradedClient::new(&["x".into()]).unwrap();
        let setup = AttemptSetup {
            client,
            workdir: Workdir::Copy,
            output: None,
            fields: FieldNames::default(),
            timeout: Duration::from_secs(1),
            seed: 1,
            port: None,
            network: CaseNetwork::Shared,
            stdin: None,
            protocol: GradedProtocol::Betacrew,
        };
        let input = ReportInput { outcomes: &outcomes, setup: &setup, changes: None };
        let text = details(&input, Paint::PLAIN);
        assert!(text.contains("\n2 failures more, without details. "), "{text}");
        for case in &cases[FAILURES_MAX..] {
            let named = format!("  ✗ {}  {}\n", case.id, case.severity.as_str());
            assert!(text.contains(&named), "{text}");
        }
    }
}
