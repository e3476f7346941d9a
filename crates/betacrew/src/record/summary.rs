//! Summary that `fetch` prints at its end, which can be read in three seconds.

mod datagrams;

use crate::record::store::RecordingStore;
use crate::text::formatting::{count, grouped, noun, took};
use crate::text::location::shown;
use feed::client::{IncompleteReason, Outcome, Recorder, Tail};
use feed::session::completeness::{Completeness, Facts, Fault};
use feed::wire::Protocol;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Maximum number of ranges that are listed.
const LISTED: usize = 8;

/// Outputs of a recording, by how much of it they have.
#[derive(Clone, Copy)]
pub(crate) enum SummaryPlaces<'a> {
    /// Outputs with everything that was received.
    Whole(&'a [PathBuf]),
    /// Outputs that were written while packets arrived, up to the first missing one.
    UpToGap(&'a [PathBuf]),
}

/// Returns the summary.
pub(crate) fn text(
    addresses: &[String],
    (recorder, store): (&Recorder, &RecordingStore),
    time: Duration,
    places: SummaryPlaces<'_>,
    facts: &Facts,
) -> String {
    let Some(outcome) = recorder.outcome() else { return String::new() };
    let mut text = String::new();
    headline(&mut text, (addresses, recorder), outcome, places, facts);
    if !facts.reached {
        return text;
    }
    losses(&mut text, store, noun(recorder));
    lines(&mut text, addresses, recorder);
    logins(&mut text, addresses, recorder);
    datagrams::lines(&mut text, addresses, recorder);
    ending(&mut text, outcome, recorder);
    violations(&mut text, addresses, recorder, store);
    let stats = recorder.stats();
    let connections = count(stats.connections.into(), "connection");
    if recorder.is_following() {
        // MoldUDP64 has no connections.
        let connections = match stats.connections {
            0 => String::new(),
            _ => format!(": {connections}"),
        };
        let _ = writeln!(text, "  took     {}{connections}", took(time));
        return text;
    }
    if stats.silent_passes > 0 {
        let passes = count(stats.silent_passes.into(), "stream");
        let _ = writeln!(text, "  WARNING  {passes} never ended; silence was treated as the end");
    }
    // A continued recording may need no stream at all, only resends.
    let passes = match recorder.passes().complete {
        0 => String::new(),
        1 => "1 pass, ".to_owned(),
        passes => format!("{} passes, ", grouped(passes.into())),
    };
    let _ = writeln!(text, "  took     {}: {passes}{connections}", took(time));
    text
}

/// Returns the reason for which a recording is incomplete, with the sessions if they differ.
fn reason(facts: &Facts, addresses: &[String], recorder: &Recorder) -> String {
    let Some(reason) = facts.reason else { return String::new() };
    let lines = (0..).map_while(|line| recorder.line(line)).zip(addresses);
    match (reason, recorder.session()) {
        (IncompleteReason::OtherSession, Some(recorded)) => {
            let others = lines.filter_map(|(line, address)| Some((line.other_session?, address)));
            let others = others.map(|(other, address)| format!("{address} plays session {other}"));
            let others: Vec<String> = others.collect();
            format!("{reason}: this recording is of session {recorded}, and {}", others.join(", "))
        }
        (IncompleteReason::OtherSession, None) => {
            format!("{reason}, and no exchange announces the session of its packets")
        }
        (IncompleteReason::SessionUntold, Some(recorded)) => {
            format!("{reason}; the recording is of session {recorded}")
        }
        (IncompleteReason::NoAnswer, _) => {
            format!("{reason}: is {} the address of an exchange?", addresses.join(" or "))
        }
        _ => reason.to_string(),
    }
}

/// Writes the first line, and the missing and received messages if the recording is incomplete.
fn headline(
    text: &mut String,
    (addresses, recorder): (&[String], &Recorder),
    outcome: &Outcome,
    places: SummaryPlaces<'_>,
    facts: &Facts,
) {
    let noun = noun(recorder);
    let packets = count(facts.packets, noun);
    let to = match places {
        SummaryPlaces::Whole(places) => {
            let files = places.iter().filter(|path| *path != Path::new("-"));
            let files: Vec<String> = files.map(|path| shown(path).to_string()).collect();
            if files.is_empty() { String::new() } else { format!(" in {}", files.join(", ")) }
        }
        SummaryPlaces::UpToGap(_) => String::new(),
    };
    let nothing = facts.packets == 0 && facts.reason == Some(IncompleteReason::Unreachable);
    if nothing || facts.fault() == Some(Fault::Unreachable) {
        let _ = writeln!(
            text,
            "unreachable: no exchange answers at {}. Start one with `betacrew serve`, or give its \
             address: `betacrew fetch HOST:PORT`",
            addresses.join(" or ")
        );
        if facts.packets > 0 {
            let _ = writeln!(text, "  have     {packets} from an earlier run");
        }
        return;
    }
    let so_far = match (facts.completeness(), facts.reason) {
        (Completeness::Complete, _) => Some(format!("complete: {packets}{to}")),
        (_, Some(IncompleteReason::Enough)) if facts.is_success() => {
            Some(format!("ended: the reader of stdout closed it; {packets}{to}"))
        }
        (Completeness::SoFar, Some(IncompleteReason::OtherSession)) => {
            Some(format!("replaced by another session: {packets}{to}, all that were received"))
        }
        (Completeness::SoFar, _) => Some(format!("stopped: {packets}{to}, all that exist so far")),
        (Completeness::Incomplete, _) => None,
    };
    if let Some(line) = so_far {
        let _ = writeln!(text, "{line}");
        return;
    }
    let why = reason(facts, addresses, recorder);
    let _ = writeln!(text, "incomplete: {why}");
    if !outcome.missing.is_empty() {
        let missing = count(outcome.missing.count(), noun);
        let _ = writeln!(text, "  missing  {missing}: {:.*}", LISTED, outcome.missing);
    }
    let rest = match places {
        SummaryPlaces::Whole(_) => format!("the {packets} received are{to}"),
        SummaryPlaces::UpToGap(_) if facts.packets == 0 => format!("no {noun} was received"),
        SummaryPlaces::UpToGap([]) => {
            format!("{packets} received and not written; --allow-gaps writes them")
        }
        SummaryPlaces::UpToGap(live) => {
            let name = |path: &PathBuf| match path == Path::new("-") {
                true => "stdout".to_owned(),
                false => shown(path).to_string(),
            };
            let names: Vec<String> = live.iter().map(name).collect();
            let names = names.join(", ");
            format!("{packets} received; those before the first missing one are in {names}")
        }
    };
    let _ = writeln!(text, "  have     {rest}");
}

/// Writes the missed messages and how they were recovered.
fn losses(text: &mut String, store: &RecordingStore, noun: &str) {
    if store.gaps.rest() > 0 {
        let rest = count(store.gaps.rest(), noun);
        let _ = writeln!(text, "  rest     {rest} beyond the earlier recording");
    }
    if store.gaps.distrusted > 0 {
        let packets = count(store.gaps.distrusted, noun);
        let _ = writeln!(
            text,
            "  again    {packets} recorded before the exchange announced its session: requested \
             again"
        );
    }
    if store.gaps.missed == 0 {
        let _ = writeln!(text, "  missed   nothing");
        return;
    }
    let (resent, streamed) = store.gaps.recovered;
    let recovered = match resent + streamed {
        0 => "none recovered".to_owned(),
        all if all == store.gaps.missed => "all recovered".to_owned(),
        some => format!("{} recovered", grouped(some)),
    };
    let how = match store.gaps.recovered {
        (0, 0) => String::new(),
        (_, 0) => " by resend".to_owned(),
        (0, _) => " by further passes or lines".to_owned(),
        (resent, streamed) => format!(
            " ({} by resend, {} by further passes or lines)",
            grouped(resent),
            grouped(streamed)
        ),
    };
    let slowest = match resent + streamed {
        0 => String::new(),
        _ => format!(", the slowest after {}", took(store.gaps.longest)),
    };
    let _ = writeln!(
        text,
        "  missed   {} in {}: {recovered}{how}{slowest}",
        count(store.gaps.missed, noun),
        count(store.gaps.found, "gap"),
    );
}

/// Writes a line of text for each of several redundant lines.
fn lines(text: &mut String, addresses: &[String], recorder: &Recorder) {
    let lines = (0..).map_while(|line| recorder.line(line));
    for (line, address) in lines.zip(addresses).filter(|_| addresses.len() > 1) {
        let first = grouped(line.first);
        let _ =
            write!(text, "  line     {address}: first with {first} of {}", grouped(line.packets));
        if line.missed > 0 {
            let _ = write!(text, ", missed {}", grouped(line.missed));
        }
        if line.cuts > 0 {
            let _ = write!(text, ", cut off {}", count(line.cuts.into(), "time"));
        }
        if let Some(session) = line.other_session {
            let _ = write!(text, ", now plays session {session}");
        }
        text.push('\n');
    }
}

/// Writes the logins and breaks of each SoupBinTCP line. Such a line has no gaps to report.
fn logins(text: &mut String, addresses: &[String], recorder: &Recorder) {
    let lines = (0..).map_while(|line| recorder.line(line)).zip(addresses);
    for (line, address) in lines.filter(|(line, _)| line.protocol == Protocol::Soup) {
        let soup = line.soup;
        let _ = write!(text, "  logins   {address}: {} accepted", grouped(soup.logins.into()));
        for (number, what) in [
            (soup.rejects, "rejected"),
            (soup.moved, "with another sequence"),
            (line.cuts, "ended early"),
            (soup.silences, "silent"),
        ] {
            if number > 0 {
                let _ = write!(text, ", {} {what}", grouped(number.into()));
            }
        }
        text.push('\n');
    }
}

/// Writes the last message of the session and how it is known.
fn ending(text: &mut String, outcome: &Outcome, recorder: &Recorder) {
    let last = match outcome.last {
        0 => format!("no {} at all", noun(recorder)),
        last => format!("{} {last}", noun(recorder)),
    };
    let end = match (outcome.tail, recorder.session()) {
        (Tail::Confirmed, Some(id)) => {
            format!("{last}, confirmed by the exchange (session {id})")
        }
        (Tail::Confirmed, None) => format!("{last}, as given by --last"),
        (Tail::Inferred { miss_probability }, _) => {
            format!("{last}, inferred: the chance of a later one is {}", chance(miss_probability))
        }
        (Tail::Unknown, Some(id)) if recorder.is_following() => {
            format!("not announced: {last} is the last one known (session {id})")
        }
        (Tail::Unknown, None) if recorder.is_following() => {
            "unknown: the exchange has not announced a session".to_owned()
        }
        (Tail::Unknown, _) => {
            "unknown: nothing was received. If you know the last sequence: --last N".to_owned()
        }
    };
    let _ = writeln!(text, "  end      {end}");
}

/// Returns a small probability as text.
fn chance(probability: f64) -> String {
    match probability {
        0.01.. => format!("{:.0} %", probability * 100.0),
        _ => format!("1 in {}", round((1.0 / probability).min(1e18))),
    }
}

/// Returns a number with at most three digits, in words if it is large.
fn round(number: f64) -> String {
    match number {
        ..1e3 => format!("{number:.0}"),
        ..1e6 => format!("{:.0} thousand", number / 1e3),
        ..1e9 => format!("{:.1} million", number / 1e6),
        _ => "more than a billion".to_owned(),
    }
}

/// Writes a warning for each violation of the protocol.
fn violations(
    text: &mut String,
    addresses: &[String],
    recorder: &Recorder,
    store: &RecordingStore,
) {
    let found = recorder.violations();
    if found.conflicts > 0 {
        let _ = writeln!(
            text,
            "  WARNING  {} arrived again with different content; the first version was kept:",
            count(found.conflicts, noun(recorder))
        );
        for conflict in store.conflict_texts(addresses) {
            let _ = writeln!(text, "           {conflict}");
        }
    }
    if let Some((offset, error)) = found.first_undecodable {
        let _ = writeln!(
            text,
            "  WARNING  {} could not be decoded; the first, at byte {offset} of its connection: \
             {error}",
            count(found.undecodable, "frame")
        );
    }
    if let Some(seq) = found.first_implausible {
        let _ = writeln!(
            text,
            "  WARNING  {} had a sequence too far ahead to be plausible, the first {seq}",
            count(found.implausible, "message")
        );
    }
    if found.doubtful > 0 {
        let _ = writeln!(
            text,
            "  WARNING  {} left out, because the bytes right after could not be decoded",
            count(found.doubtful, "packet")
        );
    }
    if let Some(range) = found.contradicted {
        let noun = noun(recorder);
        let _ = writeln!(
            text,
            "  WARNING  {noun} {range}: one line claims it but did not send it, and another line's \
             session ends before it; treated as not existing. Compare the lines one by one"
        );
    }
}
