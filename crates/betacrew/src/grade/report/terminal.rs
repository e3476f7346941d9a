//! Report for a terminal: one line a case while the run goes on, then details of the failures and
//! the grade.

use crate::grade::cases::Severity;
use crate::grade::diagnose::{self, prompt::waits_for_input};
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary, Verdict, by_cause};
use crate::grade::judge::{NotUnderstood, end_description};
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireLog;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use crate::grade::run::network::CaseNetwork;
use crate::terminal::style::Colours;
use crate::text::formatting::{count, took};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Maximum number of lines of a timeline.
const LINES: usize = 14;
/// Maximum number of failures with details.
const FAILURES_MAX: usize = 10;
/// Maximum number of lines of a client's standard error output.
const STDERR_LINES: usize = 3;
/// Width of the column for a case's name.
const NAME: usize = 20;
/// Maximum width of the column for the actual result.
const RESULT_WIDTH: usize = 72;

/// Switch for colours in the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) Colours);

impl Paint {
    /// Wraps a text in an escape code, if colours are wanted.
    fn put(self, code: &str, text: &str) -> String {
        match self.0 {
            Colours::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Colours::Plain => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.put("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.put("2", text)
    }

    fn verdict(self, verdict: Verdict, text: &str) -> String {
        match verdict {
            Verdict::Pass => self.put("32", text),
            Verdict::Flaky { .. } => self.put("33", text),
            Verdict::Fail => self.put("31", text),
            Verdict::NotJudged => self.put("35", text),
            Verdict::NotRun => self.put("2", text),
        }
    }
}

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
    format!("{}\n", paint.dim(&format!("note: {text}")))
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
    let should = if outcome.severity == Severity::Should { "should" } else { "" };
    let _ = write!(
        text,
        "  {} {:NAME$} {:6}",
        paint.verdict(outcome.verdict, mark),
        outcome.case.name(),
        paint.dim(&format!("{should:6}")),
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
        let _ = write!(text, "  {}", cut(&what, RESULT_WIDTH));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Returns the actual result of the run that is shown.
fn actual(outcome: &CaseOutcome) -> String {
    let failure = outcome.shown.as_ref().and_then(|shown| shown.judged.failure.as_ref());
    failure.map(|failure| failure.actual.clone()).unwrap_or_default()
}

/// Shortens a text to a number of columns.
fn cut(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text.chars().take(columns - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// Returns the details below the table: failures, observations and the grade.
pub(crate) fn details(outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) -> String {
    let mut text = not_judged(outcomes, paint);
    let groups = by_cause(outcomes);
    for group in groups.iter().take(FAILURES_MAX) {
        failure(&mut text, group, setup, paint);
    }
    let left_out: Vec<&str> =
        groups.iter().skip(FAILURES_MAX).filter_map(|group| Some(group.first()?.case.id)).collect();
    if !left_out.is_empty() {
        let _ = writeln!(
            text,
            "\n{} more: {}. Name one of these cases to see its details, or use --html FILE for all",
            count(left_out.len() as u64, "failure"),
            left_out.join(", ")
        );
    }
    absent(&mut text, outcomes, setup, paint);
    input(&mut text, outcomes, setup, paint);
    behaviour(&mut text, outcomes, paint);
    grade(&mut text, &GradeSummary::of(outcomes), paint);
    text
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

/// Writes the details of a failure, and the ids of other cases with the same cause.
fn failure(text: &mut String, group: &[&CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    let Some((first, others)) = group.split_first() else { return };
    let Some((shown, failure)) =
        first.shown.as_ref().and_then(|shown| Some((shown, shown.judged.failure.as_ref()?)))
    else {
        return;
    };
    let requirement = first.case.requirement;
    let _ = writeln!(
        text,
        "\n{} {}  {}",
        paint.verdict(first.verdict, "✗"),
        paint.bold(first.case.id),
        paint.dim(&first.case.about())
    );
    let _ = writeln!(
        text,
        "    required  {} (docs/protocol.md, {})",
        requirement.text, requirement.section
    );
    let _ = writeln!(text, "    expected  {}", failure.expected);
    let _ = writeln!(text, "    actual    {}", failure.actual);
    if let Some(cause) = &failure.cause {
        let _ = writeln!(text, "    cause     {}", paint.bold(&cause.text));
    }
    for line in stderr_lines(&shown.evidence.process.stderr) {
        let _ = writeln!(text, "    stderr    {line}");
    }
    wire(text, &shown.evidence.wire, paint);
    if let Some(exchange_setup) = first.case.exchange_setup {
        let port = setup.port.unwrap_or(crate::args::address::PORT);
        let serve = exchange_setup.serve_command(setup.seed, port);
        let _ = writeln!(text, "    by hand   {serve}");
        let _ = writeln!(text, "              {}", setup.client.shown_with_port(port));
    }
    if !others.is_empty() {
        let ids: Vec<&str> = others.iter().map(|outcome| outcome.case.id).collect();
        let _ = writeln!(text, "    also      {}", ids.join(", "));
    }
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

/// Writes the timeline of a run.
fn wire(text: &mut String, log: &WireLog, paint: Paint) {
    let lines = timeline(log);
    let shown = match lines.len() > LINES {
        // The beginning and the end usually explain a failure, so the middle is left out.
        true => (&lines[..LINES / 2], &lines[lines.len() - LINES / 2..]),
        false => (&lines[..], &lines[..0]),
    };
    let mut label = "wire";
    for line in shown.0 {
        wire_line(text, label, line, paint);
        label = "";
    }
    let left_out = lines.len() - shown.0.len() - shown.1.len();
    if left_out > 0 {
        let _ = writeln!(text, "              … {} …", count(left_out as u64, "line"));
    }
    for line in shown.1 {
        wire_line(text, "", line, paint);
    }
}

/// Writes one line of a timeline.
fn wire_line(text: &mut String, label: &str, line: &TimelineLine, paint: Paint) {
    let ms = line.at.as_secs_f64() * 1e3;
    let (from, colour) = match line.from {
        SentBy::Client => ("client", "36"),
        SentBy::Exchange => ("exchange", "0"),
    };
    let lasted = line.until.saturating_sub(line.at);
    let lasted = match lasted.as_millis() {
        0 => String::new(),
        _ => format!(", over {}", took(lasted)),
    };
    let told = format!("{from:8} {}{lasted}", line.text);
    let _ = writeln!(
        text,
        "    {label:8}  {ms:9.1} ms  #{:<2} {}",
        line.conn + 1,
        paint.put(colour, &told)
    );
}

/// Explains that the client never connected, and how a client learns the address.
fn absent(text: &mut String, outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    let Some(first) = outcomes.first().filter(|first| first.verdict == Verdict::NotRun) else {
        return;
    };
    let Some(shown) = &first.shown else { return };
    let _ = writeln!(
        text,
        "\n{} it made no connection; {}",
        paint.bold("the client could not be graded:"),
        end_description(&shown.evidence)
    );
    for line in stderr_lines(&shown.evidence.process.stderr) {
        let _ = writeln!(text, "    stderr    {line}");
    }
    let _ = match setup.port {
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
        let _ = writeln!(
            text,
            "  {observation} {}",
            paint.dim(&format!("({})", count(*times, "case")))
        );
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
        };
        let text = details(&outcomes, &setup, Paint(Colours::Plain));
        let [first, second] = [cases[FAILURES_MAX].id, cases[FAILURES_MAX + 1].id];
        assert!(text.contains(&format!("2 failures more: {first}, {second}. ")), "{text}");
    }
}
