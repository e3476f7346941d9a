//! The report for a terminal: a table to be read at a glance, then what is to be learned.

use crate::grade::cases::Severity;
use crate::grade::diagnose;
use crate::grade::judge::ended;
use crate::grade::judge::verdict::{CaseOutcome, CaseTally, GradeSummary, Verdict, by_cause};
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireLog;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use crate::text::formatting::{count, took};
use std::collections::BTreeMap;
use std::fmt::Write;

/// So many lines of a timeline are shown.
const LINES: usize = 14;
/// So many failures are told in full.
const TOLD: usize = 10;
/// So many lines of what a client has said on stderr are shown.
const SAID: usize = 3;
/// Columns for a case's name.
const NAME: usize = 20;
/// Columns for what came.
const CAME: usize = 72;

/// How things are coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn put(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
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
            Verdict::NotRun => self.put("2", text),
        }
    }
}

/// What stands above the table.
pub(crate) fn head(setup: &AttemptSetup, cases: usize, paint: Paint) -> String {
    let port = setup.port.map_or_else(|| "free ports".to_owned(), |port| format!("port {port}"));
    format!(
        "{}  {}\n",
        paint.bold(&setup.client.shown()),
        paint.dim(&format!(
            "{}, {port}, seed {}",
            count(u64::try_from(cases).unwrap_or(0), "case"),
            setup.seed
        ))
    )
}

/// One line of the table, with the group's name before its first.
pub(crate) fn row(outcome: &CaseOutcome, new_group: bool, paint: Paint) -> String {
    let mut text = String::new();
    if new_group {
        let _ = writeln!(text, "\n{}", outcome.case.group());
    }
    let mark = match outcome.verdict {
        Verdict::Pass => "✓",
        Verdict::Flaky { .. } => "~",
        Verdict::Fail => "✗",
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
    let time = outcome.shown.as_ref().map(|shown| took(shown.seen.ran.took));
    let _ = write!(text, " {}", paint.dim(&format!("{:>7}", time.unwrap_or_default())));
    let what = match outcome.verdict {
        Verdict::Pass | Verdict::NotRun => String::new(),
        Verdict::Fail => came(outcome),
        Verdict::Flaky { passed, of } => format!("passed {passed} of {of}: {}", came(outcome)),
    };
    if !what.is_empty() {
        let _ = write!(text, "  {}", cut(&what, CAME));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn came(outcome: &CaseOutcome) -> String {
    let fault = outcome.shown.as_ref().and_then(|shown| shown.judged.fault.as_ref());
    fault.map(|fault| fault.came.clone()).unwrap_or_default()
}

fn cut(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text.chars().take(columns - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// What stands below the table.
pub(crate) fn tail(outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) -> String {
    let mut text = String::new();
    let groups = by_cause(outcomes);
    for group in groups.iter().take(TOLD) {
        failure(&mut text, group, setup, paint);
    }
    if groups.len() > TOLD {
        let _ = writeln!(
            text,
            "\n{} more; name one of them to see it alone, or take --html FILE",
            count((groups.len() - TOLD) as u64, "failure")
        );
    }
    absent(&mut text, outcomes, setup, paint);
    behaviour(&mut text, outcomes, paint);
    grade(&mut text, &GradeSummary::of(outcomes), paint);
    text
}

/// A failure and those with the same cause.
fn failure(text: &mut String, group: &[&CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    let Some((first, others)) = group.split_first() else { return };
    let Some((shown, fault)) =
        first.shown.as_ref().and_then(|shown| Some((shown, shown.judged.fault.as_ref()?)))
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
    let _ = writeln!(text, "    expected  {}", fault.expected);
    let _ = writeln!(text, "    came      {}", fault.came);
    if let Some(cause) = &fault.cause {
        let _ = writeln!(text, "    cause     {}", paint.bold(&cause.text));
    }
    for line in said(&shown.seen.ran.stderr) {
        let _ = writeln!(text, "    stderr    {line}");
    }
    wire(text, &shown.seen.wire, paint);
    if let Some(scene) = first.case.scene {
        let port = setup.port.unwrap_or(crate::args::address::PORT);
        let serve = scene.by_hand(setup.seed, port);
        let _ = writeln!(text, "    by hand   {serve}");
        let _ = writeln!(text, "              {}", setup.client.shown_for(port));
    }
    if !others.is_empty() {
        let ids: Vec<&str> = others.iter().map(|outcome| outcome.case.id).collect();
        let _ = writeln!(text, "    also      {}", ids.join(", "));
    }
}

/// What a client has said that tells the most: around its last error, or else the last of it.
/// Without what could steer a terminal.
pub(crate) fn said(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    // Marks below a line say nothing without their place.
    let tells = |line: &&str| {
        !line.trim_matches(|c: char| c.is_whitespace() || "^~".contains(c)).is_empty()
    };
    let lines: Vec<&str> = text.lines().filter(tells).collect();
    let error = lines.iter().rposition(|line| diagnose::is_error(line.trim()));
    let from = error.map_or(lines.len().saturating_sub(SAID), |place| place.saturating_sub(1));
    lines[from..].iter().take(SAID).map(|line| harmless(line)).collect()
}

fn harmless(line: &str) -> String {
    cut(&plain(line.trim_end()), 100)
}

fn wire(text: &mut String, log: &WireLog, paint: Paint) {
    let lines = timeline(log);
    let shown = match lines.len() > LINES {
        // The end says more than the middle.
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

/// Where the client never reached the exchange: what it did instead.
fn absent(text: &mut String, outcomes: &[CaseOutcome], setup: &AttemptSetup, paint: Paint) {
    let Some(first) = outcomes.first().filter(|first| first.verdict == Verdict::NotRun) else {
        return;
    };
    let Some(shown) = &first.shown else { return };
    let _ = writeln!(
        text,
        "\n{} no connection came; {}",
        paint.bold("the client could not be graded:"),
        ended(&shown.seen)
    );
    for line in said(&shown.seen.ran.stderr) {
        let _ = writeln!(text, "    stderr    {line}");
    }
    let _ = match setup.port {
        Some(port) => writeln!(
            text,
            "It is expected to connect to 127.0.0.1 or localhost, port {port}. If it can be told \
             where to\nconnect: {{host}} and {{port}} in its command, or --port any and \
             BETACREW_HOST and BETACREW_PORT"
        ),
        None => writeln!(
            text,
            "It was told where to connect by {{host}} and {{port}} in its command, and by the \
             environment's\nBETACREW_HOST and BETACREW_PORT. One that cannot be told is expected \
             at port 3000: --port 3000"
        ),
    };
}

/// What was seen besides, and in how many cases.
fn behaviour(text: &mut String, outcomes: &[CaseOutcome], paint: Paint) {
    let mut seen: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for outcome in outcomes {
        for remark in outcome.shown.iter().flat_map(|shown| &shown.judged.remarks) {
            seen.entry(remark.kind).or_insert((0, remark.text.as_str())).0 += 1;
        }
    }
    for (place, (times, remark)) in seen.values().enumerate() {
        if place == 0 {
            let _ = writeln!(text, "\n{}", paint.bold("besides"));
        }
        let _ = writeln!(text, "  {remark} {}", paint.dim(&format!("({})", count(*times, "case"))));
    }
}

fn grade(text: &mut String, summary: &GradeSummary, paint: Paint) {
    let tally = |name: &str, tally: CaseTally| match tally.of {
        0 => String::new(),
        of => format!("   {name} {} of {of}", tally.passed),
    };
    let not_run = match summary.not_run {
        0 => String::new(),
        cases => format!("   not run {cases}"),
    };
    let (letter, rule) = match summary.letter {
        Some(letter) => (letter.to_string(), letter.rule()),
        None => ("none".to_owned(), "nothing was run"),
    };
    let _ = writeln!(
        text,
        "\n{}{}{}{not_run}   {}",
        paint.bold(&format!("grade {letter}")),
        tally("must", summary.must),
        tally("should", summary.should),
        paint.dim(rule)
    );
}
