//! Text that `betacrew inspect` prints about captures.

use super::super::text::{share, table, time};
use super::{LineReport, StreamReport, streams};
use crate::capture::{CaptureGap, CaptureSurvey, GapSummary, NotMold};
use crate::text::formatting::{count, grouped, took};
use crate::text::location::shown;
use std::fmt::Write;
use std::time::Duration;

/// Maximum number of gaps that are listed.
const LISTED: usize = 8;

/// Maximum number of destinations that are not MoldUDP64, and of damaged places, that are listed.
const ROWS: usize = 20;

/// Maximum number of names of files that are listed.
const FILES: usize = 4;

/// Returns the description of captures.
pub(super) fn report(survey: &CaptureSurvey) -> String {
    let mut text = headline(survey);
    packets(&mut text, survey);
    for stream in streams(survey) {
        describe_stream(&mut text, &stream);
    }
    requests(&mut text, survey);
    others(&mut text, survey);
    text
}

/// Returns the first lines: files, packets, times.
fn headline(survey: &CaptureSurvey) -> String {
    let names = survey.files.iter().take(FILES).map(|path| shown(path).to_string());
    let mut text = names.collect::<Vec<_>>().join(", ");
    if survey.files.len() > FILES {
        let _ = write!(text, " and {}", count((survey.files.len() - FILES) as u64, "more file"));
    }
    let mut kinds: Vec<&str> = survey.kinds.iter().map(|kind| kind.name()).collect();
    kinds.dedup();
    let packets = count(survey.counts.packets, "packet");
    let _ = writeln!(text, ": {}, {packets}", kinds.join(" and "));
    let Some((first, last)) = survey.times else { return text };
    if let (Some(from), Some(to)) = (time(first), time(last)) {
        let to = if from[..10] == to[..10] { &to[11..] } else { &to };
        let _ = writeln!(text, "  captured {from} to {to} UTC, within {}", nanos(last - first));
    }
    text
}

/// Writes which packets are not read, and the damaged places.
fn packets(text: &mut String, survey: &CaptureSurvey) {
    let counts = &survey.counts;
    if let Some(first) = counts.first_fragment {
        let fragments = count(counts.fragments, "IP fragment");
        let first = grouped(first);
        let _ = writeln!(
            text,
            "  not read {fragments}, the first is packet {first}: datagrams are not put together \
             again, and their messages count as missing"
        );
    }
    if counts.unreadable > 0 {
        let packets = count(counts.unreadable, "packet");
        let _ = writeln!(text, "  not read {packets} whose headers are cut off or wrong");
    }
    for (link, packets) in &counts.unknown_links {
        let packets = count(*packets, "packet");
        let _ = writeln!(text, "  not read {packets} of the link type {link}, which is not known");
    }
    if counts.others > 0 {
        let _ = writeln!(text, "  not UDP  {}", count(counts.others, "packet"));
    }
    if counts.left_out > 0 {
        let datagrams = count(counts.left_out, "datagram");
        let _ = writeln!(text, "  left out {datagrams} of too many lines and destinations");
    }
    for place in survey.damage.iter().take(ROWS) {
        let _ = writeln!(
            text,
            "  DAMAGED  {}: packet {} at byte {}: {}",
            shown(&place.path),
            grouped(place.packet),
            grouped(place.offset),
            place.reason
        );
    }
}

fn nanos(nanos: u64) -> String {
    took(Duration::from_nanos(nanos))
}

/// Returns a time of the day such as `02:23:31.123456`, in UTC; `None` if the time is unknown.
fn clock(nanos: u64) -> Option<String> {
    let at = jiff::Timestamp::from_nanosecond(nanos.into()).ok().filter(|_| nanos > 0)?;
    Some(at.strftime("%H:%M:%S%.6f").to_string())
}

/// Returns gaps as text: how many, and the first ones with their times.
fn gaps(summary: &GapSummary) -> String {
    let mut text =
        format!("{} in {}", count(summary.messages, "message"), count(summary.gaps, "gap"));
    let gap = |gap: &CaptureGap| {
        let at = clock(gap.before).map(|at| format!(" at {at}")).unwrap_or_default();
        format!("{}{at} for {}", gap.range, nanos(gap.nanos()))
    };
    let listed: Vec<String> = summary.listed.iter().take(LISTED).map(gap).collect();
    let _ = write!(text, ": {}", listed.join(", "));
    let more = summary.gaps.saturating_sub(listed.len() as u64);
    if more > 0 {
        let _ = write!(text, " and {} more", grouped(more));
    }
    text
}

fn describe_stream(text: &mut String, report: &StreamReport<'_>) {
    let stream = report.stream;
    let range = stream.tracker.span().map(|span| format!(", {} to {}", span.first(), span.last()));
    let end = if report.is_ended() { ", ended" } else { ", its end is not captured" };
    let messages = count(stream.messages, "message");
    let range = range.filter(|_| stream.messages > 0).unwrap_or_default();
    let _ = writeln!(text, "\nsession {}: {messages}{range}{end}", stream.session);
    let lines = report.downstream().count();
    let from = match lines {
        0 | 1 => String::new(),
        2 => " from both lines".to_owned(),
        lines => format!(" from all {lines} lines"),
    };
    let missing = match report.missing.gaps {
        0 => "nothing".to_owned(),
        _ => gaps(&report.missing).replacen(" in ", &format!("{from} in "), 1),
    };
    let _ = writeln!(text, "  missing  {missing}");
    if let (Some(longest), true) = (report.missing.longest, report.missing.gaps > 1) {
        let _ = writeln!(text, "  longest  {} without {}", nanos(longest.nanos()), longest.range);
    }
    if let Some(first) = stream.first_different {
        let copies = count(stream.different, "message");
        let _ = writeln!(text, "  DIFFER   {copies} between the lines, the first is {first}");
    }
    text.push('\n');
    table(text, &traffic(report), 4);
    text.push('\n');
    table(text, &loss(report), 2);
    for line in &report.lines {
        describe_line(text, line);
    }
}

/// Returns the table of what each line has brought.
fn traffic(report: &StreamReport<'_>) -> Vec<Vec<String>> {
    let head = [
        "",
        "line",
        "group",
        "source",
        "datagrams",
        "messages",
        "bytes",
        "heartbeats",
        "messages/s",
        "peak",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for LineReport { name, line, session, .. } in &report.lines {
        rows.push(vec![
            String::new(),
            name.clone(),
            line.route.destination.to_string(),
            line.route.source.to_string(),
            grouped(session.datagrams),
            grouped(session.messages),
            grouped(session.bytes),
            grouped(session.heartbeats),
            rate(session.messages, session.seen).map_or("-".to_owned(), grouped),
            grouped(session.rate.peak()),
        ]);
    }
    rows
}

/// Returns the number of messages a second; `None` for a time too short to measure.
pub(super) fn rate(messages: u64, (first, last): (u64, u64)) -> Option<u64> {
    let nanos = last.saturating_sub(first);
    let rate = (u128::from(messages) * 1_000_000_000).checked_div(nanos.into())?;
    u64::try_from(rate).ok().filter(|_| nanos >= 1_000_000)
}

/// Returns the table of what each line has missed, and how it compares with the others.
fn loss(report: &StreamReport<'_>) -> Vec<Vec<String>> {
    let head = [
        "",
        "line",
        "missed",
        "share",
        "gaps",
        "most",
        "longest",
        "duplicates",
        "late",
        "by",
        "first",
        "median",
        "99 %",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let time = |value: Option<u64>| value.map_or("-".to_owned(), nanos);
    for line in report.downstream() {
        let (missed, tracker) = (&line.missed, &line.session.tracker);
        let all = tracker.span().map_or(0, feed::base::seq::SeqRange::len);
        rows.push(vec![
            String::new(),
            line.name.clone(),
            grouped(missed.messages),
            share(missed.messages, all),
            grouped(missed.gaps),
            missed.largest.map_or("-".to_owned(), |gap| grouped(gap.range.len())),
            time(missed.longest.map(|gap| gap.nanos())),
            grouped(tracker.duplicates),
            grouped(tracker.late),
            if tracker.late > 0 { grouped(tracker.late_by) } else { "-".to_owned() },
            if report.lines.len() > 1 { grouped(line.first_copies) } else { "-".to_owned() },
            time(line.lead_median),
            time(line.lead_99),
        ]);
    }
    rows
}

/// Writes what the tables do not say about a line.
fn describe_line(text: &mut String, report: &LineReport<'_>) {
    let name = &report.name;
    if report.missed.gaps > 0 && !report.line.answers {
        let alone = report.missed.messages.saturating_sub(report.missed_by_all);
        let alone = match alone {
            0 => String::new(),
            alone => format!("; another line has {} of them", grouped(alone)),
        };
        let _ = writeln!(text, "  {name} missed {}{alone}", gaps(&report.missed));
    }
    if !report.line.answers {
        for (messages, place) in [(report.begins_after, "begins"), (report.ends_before, "ends")] {
            let (side, messages) = match place {
                "begins" => ("after the first of all lines", messages),
                _ => ("before the last of all lines", messages),
            };
            if messages > 0 {
                let _ = writeln!(text, "  {name} {place} {} {side}", count(messages, "message"));
            }
        }
    }
    if report.session.cut_datagrams > 0 {
        let datagrams = count(report.session.cut_datagrams, "datagram");
        let messages = count(report.session.cut_messages, "message");
        let _ = writeln!(
            text,
            "  {name} has {datagrams} that the capture has cut: {messages} in them count as missing \
             (raise the snap length)"
        );
    }
    if report.session.ends == 0 && !report.line.answers {
        let _ = writeln!(text, "  {name} has no end of session");
    }
}

/// Writes the requests for messages that clients sent.
fn requests(text: &mut String, survey: &CaptureSurvey) {
    let mut lines = survey.lines.iter().filter(|line| line.requests > 0).peekable();
    if lines.peek().is_some() {
        text.push_str("\nrequests\n");
    }
    for line in lines.by_ref().take(ROWS) {
        let (requests, messages) =
            (count(line.requests, "request"), count(line.requested, "message"));
        let (from, to) = (line.route.source, line.route.destination);
        let _ = writeln!(text, "  {requests} for {messages} from {from} to {to}");
    }
    let more = lines.count() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and those of {}", count(more, "more client"));
    }
}

/// Writes which datagrams are not MoldUDP64.
fn others(text: &mut String, survey: &CaptureSurvey) {
    if survey.other_traffic.is_empty() {
        return;
    }
    text.push_str("\nnot MoldUDP64\n");
    for other in survey.other_traffic.iter().take(ROWS) {
        let are = match (other.is_malformed, other.datagrams) {
            (_, 1) if other.reason == NotMold::Blank => "has no session and no sequence",
            _ if other.reason == NotMold::Blank => "have no session and no sequence",
            (true, 1) => "is malformed",
            (true, _) => "are malformed",
            (false, 1) => "is not MoldUDP64",
            (false, _) => "are not MoldUDP64",
        };
        let _ = writeln!(
            text,
            "  {} to {} {are}; the first is packet {}: {}",
            count(other.datagrams, "datagram"),
            other.destination,
            grouped(other.packet),
            other.reason
        );
    }
    let more = survey.other_traffic.iter().skip(ROWS);
    let datagrams: u64 = more.map(|other| other.datagrams).sum();
    if datagrams > 0 {
        let _ = writeln!(text, "  and {} to other destinations", count(datagrams, "datagram"));
    }
}
