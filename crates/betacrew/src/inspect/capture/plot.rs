//! Captures as a picture: how many messages each line, and all lines together, have missed over
//! time.

use super::super::plot::{LEFT, RIGHT, STYLE, WIDTH, bar, path, rect, text};
use super::super::text::{share, time};
use super::{StreamReport, streams};
use crate::capture::{CaptureGap, CaptureSurvey, PARTS, Timeline};
use crate::text::escape::xml;
use crate::text::formatting::{count, grouped, took};
use std::time::Duration;

/// Maximum number of lines that are drawn for a stream.
const LINES: usize = 8;
/// Maximum number of streams that are drawn.
const STREAMS: usize = 8;
/// Top of the first stream, in pixels.
const TOP: f64 = 92.0;
/// Height of a stream's title, in pixels.
const TITLE: f64 = 30.0;
/// Height of a line's name, in pixels.
const NAME: f64 = 18.0;
/// Height of a line's strip, in pixels.
const STRIP: f64 = 36.0;
/// Height of a line with the space below it, in pixels.
const ROW: f64 = NAME + STRIP + 14.0;
/// Lowest height of missing messages, in pixels, so that one among a million is seen.
const SEEN: f64 = 2.0;

/// Strip of one line, or of all lines together.
struct StripRow {
    name: String,
    /// Messages that the line has brought, in each part of the time.
    received: Vec<u64>,
    /// Messages that the line has missed and another one has brought.
    recovered: Vec<u64>,
    /// Messages that no line has brought.
    missing: Vec<u64>,
}

/// Returns the picture of captures, as SVG.
pub(super) fn svg(survey: &CaptureSurvey) -> String {
    let reports = streams(survey);
    let (first, last) = survey.times.unwrap_or_default();
    // All strips have the same parts, those of the whole capture.
    let mut whole = Timeline::new(first);
    whole.add(last, 0);
    let rows: Vec<(String, Vec<StripRow>)> =
        reports.iter().take(STREAMS).map(|report| stream_rows(report, &whole)).collect();
    let stream_height = |rows: usize| (0..rows).fold(TITLE, |height, _| height + ROW);
    let height = rows.iter().fold(TOP + 40.0, |sum, (_, rows)| sum + stream_height(rows.len()));
    let name = survey.files.first().and_then(|path| path.file_name());
    let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
        xml(&name)
    );
    head(&mut svg, survey, &name);
    let x = |part: f64| LEFT + (RIGHT - LEFT) * part;
    let shown = scale(whole.width(), last - first);
    let mut top = TOP;
    for (title, rows) in &rows {
        text(&mut svg, LEFT, top + 14.0, "s", "start", title);
        top += TITLE;
        for row in rows {
            strip(&mut svg, row, top, &|part| x((part / shown).min(1.0)));
            top += ROW;
        }
    }
    axis(&mut svg, (first, last), top + 6.0);
    svg + "</svg>\n"
}

/// Returns the number of parts that the whole time takes.
#[expect(clippy::cast_precision_loss, reason = "a position to be drawn")]
fn scale(width: u64, nanos: u64) -> f64 {
    (nanos / width.max(1) + 1) as f64
}

/// Draws the heading: files, packets, and the legend.
fn head(svg: &mut String, survey: &CaptureSurvey, name: &str) {
    let name = match survey.files.len() {
        0 | 1 => name.to_owned(),
        files => format!("{name} and {}", count(files as u64 - 1, "more file")),
    };
    text(svg, LEFT, 38.0, "h", "start", &name);
    let mut parts = vec![count(survey.counts.packets, "packet")];
    if let Some((first, last)) = survey.times {
        parts.extend(time(first).map(|at| format!("{at} UTC")));
        parts.push(took(Duration::from_nanos(last - first)));
    }
    text(svg, LEFT, 60.0, "m", "start", &parts.join("  \u{b7}  "));
    let mut at = RIGHT;
    let legend = [
        ("missing", "missed by all", 112.0),
        ("recovered", "another line has it", 142.0),
        ("received", "received", 82.0),
    ];
    for (class, words, width) in legend {
        at -= width;
        rect(svg, class, (at, 51.0), (10.0, 10.0));
        text(svg, at + 15.0, 60.0, "m", "start", words);
    }
}

/// Draws the axis of time.
fn axis(svg: &mut String, (first, last): (u64, u64), y: f64) {
    let clock = |at| time(at).map(|at| at[11..].to_owned()).unwrap_or_default();
    let middle = first + (last - first) / 2;
    text(svg, LEFT, y, "m", "start", &clock(first));
    text(svg, f64::midpoint(LEFT, RIGHT), y, "m", "middle", &clock(middle));
    text(svg, RIGHT, y, "m", "end", &clock(last));
    text(svg, RIGHT, y + 18.0, "m", "end", "time (UTC)");
}

/// Returns the title of a stream, and its strips.
fn stream_rows(report: &StreamReport<'_>, whole: &Timeline) -> (String, Vec<StripRow>) {
    let stream = report.stream;
    let title = format!("Session {}: {}", stream.session, count(stream.messages, "message"));
    let mut rows = Vec::new();
    let mut union = vec![0; PARTS];
    for gap in &report.missing.listed {
        spread(&mut union, whole, gap, gap.range.len());
    }
    for line in report.downstream().take(LINES) {
        let mut received = line.session.received.clone();
        received.widen(whole.width());
        let (mut recovered, mut missing) = (vec![0; PARTS], vec![0; PARTS]);
        for gap in line.session.tracker.open_gaps() {
            let shared = stream.tracker.missing_in(gap.range);
            spread(&mut missing, whole, &gap, shared);
            spread(&mut recovered, whole, &gap, gap.range.len().saturating_sub(shared));
        }
        let (missed, all) = (line.missed.messages, line.session.tracker.span());
        let name = format!(
            "{}   {}   missed {} ({})",
            line.name,
            line.line.route.destination,
            grouped(missed),
            share(missed, all.map_or(0, feed::base::seq::SeqRange::len)),
        );
        rows.push(StripRow { name, received: received.parts().to_vec(), recovered, missing });
    }
    if rows.len() > 1 {
        // Together the lines have in each part at least what the best of them has.
        let best = |part: usize| {
            let received = rows.iter().map(|row| row.received[part] + row.recovered[part]);
            received.max().unwrap_or_default()
        };
        let received = (0..PARTS).map(best).collect();
        let missed = count(report.missing.messages, "message");
        let name = format!("all lines together   missed {missed}");
        rows.push(StripRow { name, received, recovered: vec![0; PARTS], missing: union });
    }
    (title, rows)
}

/// Adds the messages of a gap to the parts that it lasted.
fn spread(parts: &mut [u64], whole: &Timeline, gap: &CaptureGap, messages: u64) {
    let part = |at| whole.part(at).min(PARTS - 1);
    let (from, to) = (part(gap.before), part(gap.after).max(part(gap.before)));
    let all = (to - from + 1) as u64;
    let mut left = messages;
    for (number, count) in (0..).zip(parts.iter_mut().take(to + 1).skip(from)) {
        // Rounded up, so that one message is drawn where its gap begins.
        let share = left.div_ceil(all - number);
        *count += share;
        left -= share;
    }
}

/// Draws the strip of a line: a bar for each part of the time, by the shares of its messages.
#[expect(clippy::cast_precision_loss, reason = "the height of a bar")]
fn strip(svg: &mut String, row: &StripRow, top: f64, x: &dyn Fn(f64) -> f64) {
    text(svg, LEFT, top + 12.0, "m", "start", &row.name);
    let (top, bottom) = (top + NAME, top + NAME + STRIP);
    let mut bars = [const { String::new() }; 3];
    for (part, ((received, recovered), missing)) in
        row.received.iter().zip(&row.recovered).zip(&row.missing).enumerate()
    {
        let all = received + recovered + missing;
        if all == 0 {
            continue;
        }
        let (left, right) = (x(part as f64), x(part as f64 + 1.0));
        let height = |messages: u64| match messages {
            0 => 0.0,
            messages => (messages as f64 / all as f64 * STRIP).max(SEEN),
        };
        let (red, teal) = (height(*missing), height(*recovered));
        let grey = if *received > 0 { (STRIP - red - teal).max(0.0) } else { 0.0 };
        let mut bottom = bottom;
        for (bars, height) in bars.iter_mut().zip([grey, teal, red]) {
            let height = height.min(bottom - top);
            bar(bars, (left, bottom - height), (right - left, height));
            bottom -= height;
        }
    }
    for (class, bars) in ["received", "recovered", "missing"].into_iter().zip(bars) {
        path(svg, class, &bars);
    }
}
