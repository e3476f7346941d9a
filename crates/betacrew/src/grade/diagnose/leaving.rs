//! Causes that show in the moment at which a client ends a connection before the exchange does.

use super::kept::REJECT_RULES;
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::wire::{Segment, WireEventKind};
use feed::base::seq::{Seq, to_index};
use feed::wire::{Call, Frame, decode};
use std::time::Duration;

/// Maximum time between the arrival of bytes and an end of the connection that they caused.
const AT_ONCE: Duration = Duration::from_millis(40);

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
    (0..evidence.wire.conns.len()).filter_map(of_conn).collect()
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

/// Returns the packet at which the client ended a stream, if it is a valid packet.
fn last_packet(evidence: &Evidence) -> Option<(usize, Result<Seq, ()>)> {
    let departures = departures(evidence);
    let departure = departures.iter().find(|departure| {
        departure.is_stream && !departure.last.cut_after && is_early(evidence, departure)
    })?;
    let frame = evidence.wire.conns[departure.conn].frames.get(departure.last.frames.1)?;
    let seq = match decode(frame) {
        Ok(Frame::Packet(packet)) if packet.sequence <= evidence.last() => Ok(packet.sequence),
        _ => Err(()),
    };
    Some((departure.conn, seq))
}

/// Detects that the client ended a stream at a valid packet that it rejects.
pub(super) fn at_a_valid_packet(evidence: &Evidence) -> Option<String> {
    let (conn, seq) = last_packet(evidence)?;
    let seq = seq.ok()?;
    let packet = evidence.tape.get(to_index(seq - 1))?;
    let before = |rule: &super::kept::RejectRule| {
        evidence.tape.iter().take(to_index(seq - 1)).any(|packet| (rule.rejects)(packet))
    };
    let rule = REJECT_RULES.iter().find(|rule| (rule.rejects)(packet) && !before(rule))?;
    Some(format!(
        "the client ended connection {} at packet {seq}, in the middle of the stream: it rejects \
         packets {}, which are valid",
        conn + 1,
        rule.text
    ))
}

/// Detects that the client ended a stream at a frame that is not a valid packet.
pub(super) fn at_a_broken_frame(evidence: &Evidence) -> Option<String> {
    let (conn, seq) = last_packet(evidence)?;
    seq.is_err().then(|| {
        format!(
            "the client ended connection {} at a frame that is not a valid packet, in the middle of \
             the stream: skip such a frame, and read on",
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
        let seqs: Vec<Seq> =
            frames.iter().filter_map(crate::grade::observe::wire::packet_of).collect();
        let distinct: std::collections::BTreeSet<Seq> = seqs.iter().copied().collect();
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
    use super::super::testing::{classic_run, run_on};
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
}
