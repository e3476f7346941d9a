//! Text that `betacrew inspect` prints.

use super::reading::{InspectedTape, Inspection};
use super::{book, messages};
use crate::error::Exit;
use crate::format::Arrival;
use crate::terminal::sequence_strip::{self, CellMark};
use crate::terminal::style::{self, Stream};
use crate::text::formatting::{NO_PACKETS, count, grouped, holes, message, signed, took};
use crate::text::location::shown;
use feed::analysis::compare::{Comparison, Difference};
use feed::analysis::figures::SymbolStats;
use feed::analysis::survey::{OriginStats, Survey};
use feed::base::seq::Seq;
use feed::tape::file::{Damage, SessionEnd};
use feed::wire::packet::Symbol;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Maximum number of gaps, and of damaged places, that are listed.
pub(super) const LISTED: usize = 8;
/// Maximum number of symbols, and of origins, in a table.
const ROWS: usize = 20;
/// Number of marks in a row of the strip.
const WIDTH: usize = 60;
/// Maximum number of rows of the strip.
const HEIGHT: usize = 5;

/// Returns the description of a recording.
pub(super) fn found(found: &Inspection) -> String {
    let survey = &found.survey;
    let mut text = headline(found);
    if let Some(tape) = &found.tape {
        damage(&mut text, tape, noun(survey));
    }
    survey.messages.iter().for_each(|stats| messages::text(&mut text, stats));
    missed_at_first(&mut text, survey);
    arrivals(&mut text, survey);
    strip(&mut text, survey);
    market(&mut text, survey);
    match (&survey.messages, &survey.itch_books) {
        (_, Some(books)) => messages::books_text(&mut text, books),
        // Opaque messages have no books.
        (Some(_), None) => {}
        (None, None) => survey.books.iter().for_each(|books| book::text(&mut text, books)),
    }
    text
}

/// Returns the result of `--verify`.
pub(super) fn verdict(found: &Inspection) -> String {
    let said = match (super::verdict(found), &found.tape) {
        (Exit::Complete, Some(_)) => "complete, and every checksum is right".to_owned(),
        (Exit::Complete, None) => {
            format!("complete; {} has no checksums", found.format.name())
        }
        (Exit::Incomplete, _) => "INCOMPLETE".to_owned(),
        _ => "DAMAGED".to_owned(),
    };
    let mut text = format!("{}: {said}\n", shown(&found.path));
    packets(&mut text, found);
    if let Some(tape) = &found.tape {
        damage(&mut text, tape, noun(&found.survey));
    }
    text
}

/// Returns the first lines: file, format, session, packets.
fn headline(found: &Inspection) -> String {
    let mut text = format!("{}: {}", shown(&found.path), found.format.name());
    if let Some(bytes) = found.bytes {
        let _ = write!(text, ", {}", count(bytes, "byte"));
    }
    if let Some(tape) = &found.tape {
        if let Some(id) = tape.id() {
            let _ = write!(text, ", session {id}");
        }
        let state = if tape.indexed { "finished" } else { "not finished" };
        let begun = time(tape.head.created).map(|at| format!(", started {at} UTC"));
        let _ = write!(text, ", {state}{}", begun.unwrap_or_default());
    }
    text.push('\n');
    packets(&mut text, found);
    text
}

/// Returns the word for a message of the recording.
fn noun(survey: &Survey) -> &'static str {
    if survey.messages.is_some() { "message" } else { "packet" }
}

/// Writes how many packets are there, which are missing, and how the session's end is known.
fn packets(text: &mut String, found: &Inspection) {
    let (survey, noun) = (&found.survey, noun(&found.survey));
    let range = survey.span().map(|span| {
        let (first, last) = (span.first(), span.last());
        format!(": {first} to {last}")
    });
    let packets = grouped(survey.packets());
    let label = format!("{noun}s");
    let _ = writeln!(text, "  {label:8} {packets}{}", range.unwrap_or_default());
    let missing = match survey.missing() {
        none if none.is_empty() && found.is_empty_without_session() => Some(NO_PACKETS.to_owned()),
        none if none.is_empty() => None,
        missing => Some(holes(noun, missing)),
    };
    let end = (found.removed > 0).then(|| {
        format!("the {noun}s of its last {}, removed from the log", count(found.removed, "message"))
    });
    let missing: Vec<String> = missing.into_iter().chain(end).collect();
    let missing = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", and ") };
    let _ = writeln!(text, "  missing  {missing}");
    let Some(tape) = &found.tape else { return };
    match tape.session_facts.end {
        Some(SessionEnd::Confirmed) | None => {}
        Some(SessionEnd::Inferred) => {
            let _ = writeln!(text, "  end      inferred: no exchange has reported the last {noun}");
        }
        Some(SessionEnd::Open) => {
            text.push_str("  end      unknown: the recording stopped before the session's end\n");
        }
    }
    if tape.left_out > 0 {
        let packets = count(tape.left_out, noun);
        let _ = writeln!(text, "  left out {packets} of another or an unknown session");
    }
}

/// Writes the damaged places of a tape file.
fn damage(text: &mut String, tape: &InspectedTape, noun: &str) {
    let place = |Damage { offset, bytes, span }: &Damage| {
        let held = span.map(|span| format!(", with some or all of {noun}s {span}"));
        let (at, bytes) = (grouped(*offset), count(*bytes, "byte"));
        format!("at byte {at}, {bytes}{}", held.unwrap_or_default())
    };
    let mut label = "damaged";
    for damage in &tape.damage {
        let _ = writeln!(text, "  {label:7}  {}", place(damage));
        label = "";
    }
    let more = tape.damages - tape.damage.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "           and {}", count(more, "more place"));
    }
    if tape.has_wrong_index {
        text.push_str("  damaged  its index does not match its blocks\n");
    }
    if tape.repeated > 0 {
        let _ = writeln!(text, "  damaged  {} recorded twice", count(tape.repeated, noun));
    }
    if tape.torn_places > 0 {
        let places = count(tape.torn_places.into(), "place");
        let _ =
            writeln!(text, "  repaired {places} torn by a crash: their {noun}s are recorded again");
    }
}

/// Writes how many packets the streams missed and later recovered.
fn missed_at_first(text: &mut String, survey: &Survey) {
    if survey.brought.iter().all(|brought| brought.origin.is_none()) {
        return;
    }
    let recovery = &survey.recovery;
    if recovery.packets == 0 {
        if survey.missing().is_empty() {
            let _ = writeln!(text, "  missed   no {}", noun(survey));
        }
        return;
    }
    let packets = count(recovery.packets, noun(survey));
    let gaps = count(recovery.gaps, "gap");
    let times = recovery.half_within().map(|half| {
        let slowest = took(recovery.slowest);
        format!(": half of them within {}, the slowest after about {slowest}", took(half))
    });
    let times = times.unwrap_or_default();
    let _ = writeln!(text, "  missed   {packets} in {gaps}, recovered later{times}");
}

/// Writes when packets or other messages arrived, and a table of their origins.
fn arrivals(text: &mut String, survey: &Survey) {
    let Some((first, last)) = survey.all.arrived else { return };
    let noun = noun(survey);
    let span = Duration::from_nanos(last - first);
    if let (Some(from), Some(to)) = (time(first), time(last)) {
        // The date is not repeated if it is the same, nor the time.
        let to = match from == to {
            true => String::new(),
            false if from[..10] == to[..10] => format!(" to {}", &to[11..]),
            false => format!(" to {to}"),
        };
        let rate = rate(&survey.all).map(|rate| format!(", {rate} {noun}s a second"));
        let rate = rate.unwrap_or_default();
        let _ = writeln!(text, "  arrived  {from}{to} UTC, within {}{rate}", took(span));
    }
    let mut rows = vec![
        ["", "origin", &format!("{noun}s"), "share", "first", "last", &format!("{noun}s/s")]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut brought = survey.brought.clone();
    brought.sort_by_key(|brought| brought.arrived);
    for brought in brought.iter().take(ROWS) {
        let since = |at: u64| took(Duration::from_nanos(at - first));
        let (from, to) = brought.arrived.map_or_else(Default::default, |(from, to)| {
            (format!("+{}", since(from)), format!("+{}", since(to)))
        });
        rows.push(vec![
            String::new(),
            Arrival { at: 0, origin: brought.origin }.origin_text().unwrap_or("unknown".into()),
            grouped(brought.packets),
            share(brought.packets, survey.packets()),
            from,
            to,
            rate(brought).unwrap_or_default(),
        ]);
    }
    text.push('\n');
    table(text, &rows, 2);
    let hidden = brought.iter().skip(ROWS);
    let more = survey.others + hidden.map(|brought| brought.packets).sum::<u64>();
    if more > 0 {
        let _ = writeln!(text, "  and {} of other origins", count(more, noun));
    }
}

/// Returns a share as a percentage.
#[expect(clippy::cast_precision_loss, reason = "a share to be shown")]
pub(super) fn share(part: u64, all: u64) -> String {
    let percent = part as f64 * 100.0 / all.max(1) as f64;
    // A part is never rounded up to 100.0 %, because that would read as all.
    let percent = if part < all { percent.min(99.9) } else { percent };
    format!("{percent:.1} %")
}

/// Returns the number of packets a second; `None` for a time too short to measure.
fn rate(brought: &OriginStats) -> Option<String> {
    let (first, last) = brought.arrived?;
    let nanos = u128::from(last - first);
    if nanos < 1_000_000 {
        return None;
    }
    let rate = (u128::from(brought.packets) * 1_000_000_000).checked_div(nanos)?;
    u64::try_from(rate).ok().map(grouped)
}

/// Writes the strip: one mark for each packet or group of packets, with a legend.
fn strip(text: &mut String, survey: &Survey) {
    let columns = survey.strip.columns(WIDTH * HEIGHT);
    let marks: Vec<(Seq, CellMark)> =
        columns.map(|column| (column.range.first(), CellMark::of(&column))).collect();
    let Some((_, next)) = marks.first().zip(marks.get(1).or(marks.first())) else { return };
    let each = if marks.len() > 1 { next.0 - 1 } else { 1 };
    let colours = style::of(Stream::Stdout).colours;
    let _ = write!(text, "\n{}", sequence_strip::rows(&marks, WIDTH, colours));
    let part = marks
        .iter()
        .map(|(_, mark)| *mark)
        .filter(|mark| matches!(mark, CellMark::SomeRecovered(_)));
    let most = part.max().unwrap_or(CellMark::SomeRecovered(1));
    let words = [
        (CellMark::Received, "received"),
        (most, "some missed, all recovered"),
        (CellMark::Recovered, "recovered"),
        (CellMark::SomeMissing, "some missing"),
        (CellMark::Missing, if each > 1 { "all missing" } else { "missing" }),
    ];
    let used = words.iter().filter(|(mark, _)| marks.iter().any(|(_, held)| held == mark));
    let used: Vec<_> = used.copied().collect();
    let scale = if each > 1 {
        format!("   (a mark is {} {}s)", grouped(each), noun(survey))
    } else {
        String::new()
    };
    let _ = writeln!(text, "         {}{scale}", sequence_strip::legend(&used, colours));
}

/// Writes the table of symbols.
fn market(text: &mut String, survey: &Survey) {
    let mut symbols: Vec<(&Symbol, &SymbolStats)> = survey.market.symbols().collect();
    if symbols.is_empty() {
        return;
    }
    let all = symbols.len();
    if all > ROWS {
        symbols.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.packets));
        symbols.truncate(ROWS);
    }
    let mut rows = vec![
        ["", "symbol", "packets", "bought", "sold", "VWAP", "low", "high", "last"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (symbol, figures) in symbols {
        rows.push(vec![
            String::new(),
            // An exchange may send any bytes as a symbol; they must not control the terminal.
            symbol.trimmed().escape_ascii().to_string(),
            grouped(figures.packets),
            signed(figures.bought),
            signed(figures.sold),
            average_price(figures),
            figures.low.to_string(),
            figures.high.to_string(),
            figures.last.to_string(),
        ]);
    }
    text.push('\n');
    table(text, &rows, 2);
    if all > ROWS {
        let more = count((all - ROWS) as u64, "more symbol");
        let _ = writeln!(text, "  and {more} (--json has all)");
    }
    if survey.market.others() > 0 {
        let _ =
            writeln!(text, "  and {} of other symbols", count(survey.market.others(), "packet"));
    }
}

/// Returns the average price of a symbol, weighted by quantity; `-` if there is none.
pub(super) fn average_price(figures: &SymbolStats) -> String {
    figures.average().map_or("-".to_owned(), |average| format!("{average:.2}"))
}

/// Writes rows as aligned columns, the first `left` of them aligned to the left.
pub(super) fn table(text: &mut String, rows: &[Vec<String>], left: usize) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column < left {
                true => write!(line, "{cell:width$}  "),
                false => write!(line, "{cell:>width$}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Returns a time such as `2026-11-25 02:23:31.123`, in UTC; `None` if the time is unknown.
pub(super) fn time(nanos: u64) -> Option<String> {
    let at = jiff::Timestamp::from_nanosecond(nanos.into()).ok().filter(|_| nanos > 0)?;
    Some(at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

/// Returns the description of how two recordings differ.
pub(super) fn comparison(places: [&Path; 2], comparison: &Comparison) -> String {
    let [one, other] = places.map(|path| shown(path).to_string());
    let first = comparison.first_difference();
    let noun = if comparison.has_runs() { "message" } else { "packet" };
    let mut text = match first {
        None => format!("{one} and {other} have the same {noun}s\n"),
        Some(seq) => {
            format!("{one} and {other} differ; the first difference is at {noun} {seq}\n")
        }
    };
    let _ = writeln!(text, "  same     {}", count(comparison.equal(), noun));
    for (side, name) in [&one, &other].into_iter().enumerate() {
        let only = comparison.only_in(side);
        if !only.is_empty() {
            let _ = writeln!(text, "  only in  {name}: {}", ranges(noun, only));
        }
    }
    if !comparison.different().is_empty() {
        let _ = writeln!(text, "  differ   {}", ranges(noun, comparison.different()));
        for Difference { seq, left, right } in comparison.shown() {
            let _ = writeln!(text, "           {} in {one}", message(*seq, left));
            let _ = writeln!(text, "           {} in {other}", message(*seq, right));
        }
    }
    text
}

/// Returns ranges of messages, which are not called gaps here.
fn ranges(noun: &str, found: &feed::analysis::survey::MissingRanges) -> String {
    holes(noun, found).replacen(" gaps:", " ranges:", 1).replacen(" gap:", " range:", 1)
}
