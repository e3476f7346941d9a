//! Causes that show in the moment at which a client ends a connection before the exchange does.

use super::crashes::is_crash_report;
use super::hypotheses::CaseRun;
use super::kept::{REJECT_RULES, RejectRule, is_kept};
use super::resends::short_stream;
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::wire::{Segment, WireEventKind, packet_of};
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::count;
use feed::base::seq::{Seq, to_index};
use feed::wire::{Call, RawFrame};
use std::collections::BTreeSet;
use std::time::Duration;

/// Maximum time between the arrival of bytes and an end of the connection that they caused.
const AT_ONCE: Duration = Duration::from_millis(40);

/// Maximum number of connections that are examined. A client that makes more has another mistake.
pub(super) const EXAMINED_MAX: usize = 200;

/// End of a connection by the client, directly after some bytes had arrived.
struct Departure {
    /// Index of the connection.
    conn: usize,
    /// Write whose bytes arrived last.
    last: Segment,
    /// True if the connection has a stream.
    is_stream: bool,
    /// Number of requests on the connection.
    requests: usize,
    /// Number of answers that had arrived.
    answers: usize,
}

/// Returns the connections that the client ended first and directly after some bytes had arrived.
fn departures(evidence: &Evidence) -> Vec<Departure> {
    // The end of a process ends its connections.
    if is_crash_report(evidence) || matches!(evidence.process.ended, ProcessEnd::Signal(_)) {
        return Vec::new();
    }
    let of_conn = |conn: usize| {
        let (mut last, mut requests) = (None, 0);
        for event in evidence.events_before_kill().filter(|event| event.conn == conn) {
            match event.what {
                WireEventKind::Called { call: Call::Resend(_), late: false } => requests += 1,
                WireEventKind::Sent { from, to } => {
                    last = Some((event.at, Segment::of(conn, from, to)));
                }
                WireEventKind::ClientEnded | WireEventKind::Reset => {
                    let (at, last) = last?;
                    let is_stream = evidence.wire.conns.get(conn)?.stream_from.is_some();
                    let answers = last.frames.1 + usize::from(!last.cut_after);
                    let departure = Departure { conn, last, is_stream, requests, answers };
                    return (event.at < at + AT_ONCE).then_some(departure);
                }
                WireEventKind::Finished | WireEventKind::ResetByExchange => return None,
                _ => {}
            }
        }
        None
    };
    // A client that ends only its own side may read on.
    let leaves = |departure: &Departure| {
        let sent = evidence.wire.conns.get(departure.conn).map(|conn| &conn.frames[..]);
        let sent = sent.unwrap_or_default();
        let (before, after) = sent.split_at(sent.len().min(departure.last.frames.1 + 1));
        // A second copy of a packet that had arrived before shows nothing.
        let before: BTreeSet<Seq> = before.iter().filter_map(packet_of).collect();
        let mut after = after.iter().filter_map(packet_of).filter(|seq| !before.contains(seq));
        !after.any(|seq| is_kept(evidence, seq))
    };
    (0..evidence.wire.conns.len().min(EXAMINED_MAX)).filter_map(of_conn).filter(leaves).collect()
}

/// Returns whether the client ended its side of a stream and kept packets that came after that.
pub(super) fn reads_on(evidence: &Evidence) -> bool {
    (0..evidence.wire.conns.len().min(EXAMINED_MAX)).any(|conn| {
        let mut events = evidence.events_before_kill().filter(|event| event.conn == conn);
        let is_stream = evidence.wire.conns[conn].stream_from.is_some();
        let ended = events.any(|event| event.what == WireEventKind::ClientEnded);
        is_stream
            && ended
            && events.any(|event| match event.what {
                WireEventKind::Sent { from, to } => {
                    let place = Segment::of(conn, from, to).frames.1;
                    let seq = evidence.wire.seq_at(conn, place);
                    seq.is_some_and(|seq| is_kept(evidence, seq))
                }
                _ => false,
            })
    })
}

/// Detects that the exchange closed a stream in its silence, because the client had ended its own
/// side early, and that the client took this for the end of the session.
pub(super) fn closed_in_silence(evidence: &Evidence) -> Option<String> {
    let conn = evidence.wire.conns.iter().position(|conn| conn.stream_from.is_some())?;
    let has = |what: &WireEventKind| {
        evidence.events_before_kill().any(|event| event.conn == conn && event.what == *what)
    };
    let is_closed = has(&WireEventKind::ClientEnded)
        && has(&WireEventKind::Closed)
        && !has(&WireEventKind::Finished);
    let highest = evidence.highest();
    let is_over = evidence.wire.streams() == 1
        && matches!(evidence.process.ended, ProcessEnd::Exited(_))
        && (highest + 1..=evidence.last()).all(|seq| evidence.output_lacks(seq));
    (is_closed && is_over && (1..evidence.last()).contains(&highest)).then(|| {
        format!(
            "the exchange fell silent after packet {highest} and closed the stream, whose other \
             side the client had ended early, and the client did not stream again; the packets \
             after it were never sent"
        )
    })
}

/// Returns whether a run shows that the client reads on after it has ended its side of a stream. A
/// claim about a stream that the client has ended itself needs that.
pub(super) fn reads_on_if_ended(claimed: &Evidence, runs: &[CaseRun<'_>]) -> bool {
    closed_in_silence(claimed).is_none()
        || short_stream(claimed).is_some()
        || runs.iter().any(|run| reads_on(run.evidence))
}

/// Returns whether the client ended a stream in the middle for no reason that its packets show, so
/// that such an end proves nothing about the packets of other runs.
pub(super) fn leaves_anyway(evidence: &Evidence) -> bool {
    let is_whole = |d: &Departure| d.is_stream && !d.last.cut_after && is_early(evidence, d);
    departures(evidence).iter().any(is_whole)
        && rejected_packet(evidence).is_none()
        && at_a_broken_frame(evidence).is_none()
}

/// Detects that the client ended a stream in the middle, for no reason that its packets show.
pub(super) fn in_the_middle(evidence: &Evidence) -> Option<String> {
    let departures = departures(evidence);
    let departure = departures.iter().find(|d| d.is_stream && is_early(evidence, d))?;
    let arrived = count(u64::try_from(departure.answers).unwrap_or(u64::MAX), "packet");
    Some(format!(
        "the client ended connection {} directly after {arrived}, while the exchange was still \
         sending: read a stream until the exchange ends it",
        departure.conn + 1
    ))
}

/// Returns whether the exchange would have sent more on a connection.
fn is_early(evidence: &Evidence, departure: &Departure) -> bool {
    match departure.is_stream {
        true => {
            let frames = &evidence.wire.conns[departure.conn].frames;
            let so_far = frames.get(..departure.last.frames.1).unwrap_or(frames);
            so_far.len() < evidence.tape.len()
                && evidence.wire.seq_at(departure.conn, departure.last.frames.1)
                    != Some(evidence.last())
        }
        false => departure.answers < departure.requests,
    }
}

/// Detects that the client ended a connection at the first part of a packet.
pub(super) fn at_a_part(evidence: &Evidence) -> Option<String> {
    let departures = departures(evidence);
    let is_cut = |departure: &&Departure| departure.last.cut_after && is_early(evidence, departure);
    let departure = departures.iter().find(is_cut)?;
    // The rest of the packet arrives after the end.
    let seq = evidence.wire.seq_at(departure.conn, departure.last.frames.1)?;
    (!evidence.differences.is_complete()).then(|| {
        format!(
            "packet {seq} arrived in pieces, and the client ended connection {} at its first part \
             instead of waiting for the rest",
            departure.conn + 1
        )
    })
}

/// Number of packets that may arrive between the one that makes a client end a stream and that end.
const LAG: usize = 2;

/// Returns the last frames that had arrived before the client ended a stream, the last one first.
fn last_frames(evidence: &Evidence) -> Option<(usize, Vec<RawFrame>)> {
    let departures = departures(evidence);
    let departure = departures.iter().find(|departure| {
        departure.is_stream && !departure.last.cut_after && is_early(evidence, departure)
    })?;
    let arrived = evidence.wire.conns[departure.conn].frames.get(..=departure.last.frames.1)?;
    Some((departure.conn, arrived.iter().rev().take(LAG + 1).copied().collect()))
}

/// Returns the connection that the client ended at a valid packet, the packet, and the rule by
/// which it rejects the packet but none before it.
pub(super) fn rejected_packet(evidence: &Evidence) -> Option<(usize, Seq, &'static RejectRule)> {
    let (conn, frames) = last_frames(evidence)?;
    frames.iter().filter_map(packet_of).find_map(|seq| {
        let place = to_index(seq.checked_sub(1)?);
        let packet = evidence.tape.get(place)?;
        let is_first = |rule: &&RejectRule| {
            let mut before = evidence.tape.iter().take(place);
            (rule.rejects)(packet) && !before.any(|packet| (rule.rejects)(packet))
        };
        let rule = REJECT_RULES.iter().find(is_first).filter(|_| place > 0)?;
        Some((conn, seq, rule))
    })
}

/// Detects that the client ended a stream at a valid packet that it rejects.
pub(super) fn at_a_valid_packet(evidence: &Evidence) -> Option<String> {
    let (conn, seq, rule) = rejected_packet(evidence)?;
    Some(format!(
        "the client ended connection {} at packet {seq}, in the middle of the stream: it rejects \
         packets {}, which are valid",
        conn + 1,
        rule.text
    ))
}

/// Detects that the client ended a stream at a frame that is not a valid packet.
pub(super) fn at_a_broken_frame(evidence: &Evidence) -> Option<String> {
    let (conn, frames) = last_frames(evidence)?;
    let known = 1..=evidence.last();
    let is_packet = |frame| packet_of(frame).is_some_and(|seq| known.contains(&seq));
    (!frames.iter().all(is_packet)).then(|| {
        format!(
            "the client ended connection {} at a frame that is not a valid packet, in the middle \
             of the stream: skip such a frame, and read on",
            conn + 1
        )
    })
}

/// Detects that the client ended a resend connection when it had as many answers as requests,
/// although some packets came twice.
pub(super) fn counts_answers(evidence: &Evidence) -> Option<String> {
    let departures = departures(evidence);
    departures.iter().filter(|departure| !departure.is_stream).find_map(|departure| {
        let frames = evidence.wire.conns[departure.conn].frames.get(..departure.answers)?;
        let seqs: Vec<Seq> = frames.iter().filter_map(packet_of).collect();
        let distinct: BTreeSet<Seq> = seqs.iter().copied().collect();
        let lacks = evidence.requested().iter().any(|seq| evidence.output_lacks(*seq));
        let is_full = departure.requests > 1 && departure.answers >= departure.requests;
        (is_full && distinct.len() < departure.requests.min(seqs.len()) && lacks).then(|| {
            format!(
                "the client ended connection {} after {} answers, as many as it had requested, and \
                 some packets had come twice: count packets, not answers",
                departure.conn + 1,
                departure.answers
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, named_in, run_on};
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    #[test]
    fn a_stream_that_the_client_ends_at_a_packet_is_recognised() {
        let extremes = run_on(Tape::extremes()).connect().call(Call::Stream).send(1..=6).ends();
        let (id, text) = extremes.send(7..=14).finished().closed().cause();
        assert_eq!(id, "rejects-valid");
        assert!(text.contains("at packet 6") && text.contains("with a negative price"), "{text}");
        let broken = classic_run().connect().call(Call::Stream).send(1..=5).damaged(6, 4, b'x');
        let broken = broken.ends().send(7..=14).finished().closed();
        assert_eq!(broken.id(), "leaves-at-broken");
        let part = classic_run().connect().call(Call::Stream).send(1..=5).together_cut(6, 9);
        let (id, text) = part.cause();
        assert_eq!(id, "split-packet");
        assert!(text.contains("packet 6 arrived in pieces, and the client ended"), "{text}");
        let late = run_on(Tape::extremes()).connect().call(Call::Stream).send(1..=6).idle().ends();
        assert_ne!(late.send(7..=14).finished().closed().id(), "rejects-valid");
    }

    #[test]
    fn counted_answers_are_recognised() {
        let rest = || (1..=14).filter(|seq| ![2, 4].contains(seq));
        let ask = || classic_run().stream(rest()).ask([2, 4]);
        let twice = ask().send([2, 2]).ends().send([4, 4]).closed();
        let (id, text) = twice.write((1..=14).filter(|seq| *seq != 4)).cause();
        assert_eq!(id, "counts-answers");
        assert!(text.contains("connection 2 after 2 answers"), "{text}");
        let once = ask().send([2]).ends().send([4]).closed();
        assert_eq!(once.write((1..=14).filter(|seq| *seq != 4)).id(), "answers-unread");
    }

    #[test]
    fn a_stream_that_the_exchange_closes_in_its_silence_is_recognised() {
        let closed = |kept: Seq| {
            let run = classic_run().connect().call(Call::Stream).send(1..=2).ends().send(3..=6);
            (run.closed().write(1..=kept), true)
        };
        let reads_on = classic_run().connect().call(Call::Stream).send(1..=2).ends().send(3..=14);
        let reads_on = reads_on.finished().closed().write(1..=14);
        assert_eq!(named_in(vec![closed(2), (reads_on, false)])[0], "short-stream");
        assert_eq!(named_in(vec![closed(6)])[0], "short-stream");
        let left = classic_run().connect().call(Call::Stream).send(1..=6).idle().ends().closed();
        let (id, text) = left.write(1..=6).cause();
        assert!(id == "short-stream" && text.contains("sent nothing for 1.0 s"), "{id}: {text}");
        assert_ne!(named_in(vec![closed(2)])[0], "short-stream", "it may have stopped reading");
    }
}
