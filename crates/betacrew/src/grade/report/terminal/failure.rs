//! Details of a failure: what was required, what happened on the wire, and what to do.

use super::layout::{Emphasis, Paint};
use super::{ids, severities, stderr_lines};
use crate::grade::diagnose::mending::Mending;
use crate::grade::diagnose::{advice, unexplained};
use crate::grade::example::ExampleClient;
use crate::grade::judge::verdict::CaseOutcome;
use crate::grade::observe::wire::WireLog;
use crate::grade::report::timeline::{SentBy, TimelineLine, timeline};
use crate::grade::run::attempt::AttemptSetup;
use crate::text::formatting::{count, took};
use std::fmt::Write;

/// Maximum number of lines of a timeline.
const LINES: usize = 14;

/// Column at which the text of a cause begins in the list of those to mend first.
const MEND_INDENT: usize = 12;

/// Writes the causes to mend first.
pub(super) fn mend_first(
    text: &mut String,
    mendings: &[Mending<'_>],
    setup: &AttemptSetup,
    paint: Paint,
) {
    let example = ExampleClient::closest_to(&setup.client.shown());
    let _ = writeln!(text, "\n{}", paint.bold("mend first"));
    for (place, mending) in mendings.iter().enumerate() {
        let remedy = mending.remedy;
        let _ = writeln!(
            text,
            "  {}. {}  {}",
            place + 1,
            paint.bold(remedy.id),
            paint.dim(&format!("fails {}", severities(&mending.outcomes)))
        );
        let mut item = |label: &str, told: &str, style| {
            let _ = write!(text, "     {label:7}");
            paint.block(text, MEND_INDENT, told, style);
        };
        item("cause", &mending.text(), Emphasis::None);
        item("to do", remedy.fix, Emphasis::Strong);
        if let Some(lines) = remedy.lesson.and_then(|lesson| example.lines(lesson)) {
            item("as in", &lines.to_string(), Emphasis::None);
        }
    }
    let _ = writeln!(text, "  {}", paint.dim("betacrew grade --explain NAME shows these lines"));
}

/// Writes the details of a failure, and the ids of other cases with the same cause.
pub(super) fn failure(
    text: &mut String,
    group: &[&CaseOutcome],
    setup: &AttemptSetup,
    paint: Paint,
) {
    let Some((first, others)) = group.split_first() else { return };
    let Some((shown, failure)) =
        first.shown.as_ref().and_then(|shown| Some((shown, shown.judged.failure.as_ref()?)))
    else {
        return;
    };
    let requirement = first.case.requirement;
    let _ = write!(
        text,
        "\n{} {}  {}  ",
        paint.verdict(first.verdict, "✗"),
        paint.bold(first.case.id),
        first.severity.as_str()
    );
    let indent = first.case.id.len() + first.severity.as_str().len() + 6;
    paint.block(text, indent, &first.case.about(), Emphasis::Weak);
    let required = format!("{} ({})", requirement.text, requirement.place());
    paint.item(text, "required", &required, Emphasis::None);
    paint.item(text, "expected", &failure.expected, Emphasis::None);
    paint.item(text, "actual", &failure.actual, Emphasis::None);
    remedy(text, first, setup, paint);
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
        paint.item(text, "also", &ids(others), Emphasis::None);
    }
}

/// Writes failures without their details: only what to do about each.
pub(super) fn without_details(text: &mut String, groups: &[Vec<&CaseOutcome>], paint: Paint) {
    if groups.is_empty() {
        return;
    }
    let told = format!(
        "{} more, without details. Name one of these cases to see its details, or use --html FILE \
         for all",
        count(groups.len() as u64, "failure")
    );
    text.push('\n');
    paint.block(text, 0, &told, Emphasis::None);
    for group in groups {
        let Some(first) = group.first() else { continue };
        let mark = paint.verdict(first.verdict, "✗");
        let _ = write!(text, "  {mark} ");
        paint.block(
            text,
            4,
            &format!("{}  {}", ids(group), first.severity.as_str()),
            Emphasis::None,
        );
        let advice = advice::on(first.case, first.cause());
        if let Some(advice) = advice {
            let _ = write!(text, "    {:10}", "to do");
            let told = format!("{} (betacrew grade --explain {})", advice.fix, advice.id);
            paint.block(text, TEXT_AT, &told, Emphasis::None);
        }
    }
}

/// Column at which the text of an item begins.
const TEXT_AT: usize = 14;

/// Writes the cause of a failure, and what to do about it.
fn remedy(text: &mut String, outcome: &CaseOutcome, setup: &AttemptSetup, paint: Paint) {
    let advice = advice::on(outcome.case, outcome.cause());
    match (outcome.cause(), advice, &outcome.shown) {
        (Some(cause), _, _) => {
            let shown_by = format!(" (shown by {})", count(cause.shown_by.into(), "case"));
            paint.item(text, "cause", &(cause.text.clone() + &shown_by), Emphasis::Strong);
        }
        // A broken rule is its own cause.
        (None, Some(_), _) | (None, None, None) => {}
        (None, None, Some(shown)) => {
            paint.item(text, "cause", &unexplained(&shown.evidence), Emphasis::None);
        }
    }
    if let Some(advice) = advice {
        paint.item(text, "to do", advice.fix, Emphasis::Strong);
    }
    let lesson = advice.map_or(outcome.case.requirement.lesson, |advice| advice.lesson);
    let closest = ExampleClient::closest_to(&setup.client.shown());
    let example = lesson.and_then(|lesson| closest.lines(lesson));
    if let Some(lines) = example {
        let more = advice.map(|advice| format!(" (betacrew grade --explain {})", advice.id));
        let told = format!("{lines}{}", more.unwrap_or_default());
        paint.item(text, "as in", &told, Emphasis::None);
    }
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

/// Column at which the description of a wire line begins.
const WIRE_INDENT: usize = 41;

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
    let _ = write!(text, "    {label:8}  {ms:9.1} ms  #{:<2} ", line.conn + 1);
    let told = paint.broken(&format!("{}{lasted}", line.text), WIRE_INDENT);
    for (place, told) in told.iter().enumerate() {
        let _ = match place {
            0 => writeln!(text, "{}", paint.put(colour, &format!("{from:8} {told}"))),
            _ => writeln!(text, "{:WIRE_INDENT$}{}", "", paint.put(colour, told)),
        };
    }
}
