//! Causes in the detection of gaps, in resend calls and in the reading of answers.

use super::leaving::EXAMINED_MAX;
use super::one_byte::BYTE_MAX;
use super::timeouts::left_stream;
use crate::grade::observe::evidence::{Evidence, packets, packets_with_verb};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::wire::{PacketEvent, WireEventKind, packet_of};
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::{Call, FRAME_LEN};
use std::collections::BTreeSet;
use std::time::Duration;

/// Time within which a client that closes a connection cannot have waited for answers. The slowest
/// answers of the cases take longer.
const ANSWER_WAIT_MIN: Duration = Duration::from_millis(350);

/// Detects that the client requested missing packets after the stream call, where nothing is
/// answered.
pub(super) fn after_stream(evidence: &Evidence) -> Option<String> {
    let late: BTreeSet<Seq> = evidence
        .wire
        .packet_events()
        .filter_map(|(_, _, packet_event)| match packet_event {
            PacketEvent::Requested { seq, late: true } => Some(seq),
            _ => None,
        })
        .collect();
    let resent = evidence.resent();
    let missing = late.iter().any(|seq| evidence.output_lacks(*seq) && !resent.contains(seq));
    missing.then(|| {
        format!(
            "the client requested {} on the connection of the stream, where the exchange sends \
             nothing more; resend calls need a connection of their own",
            packets(late)
        )
    })
}

/// Detects that the client requested missing packets on several connections, each of which ended
/// before all answers had arrived, and then gave up.
pub(super) fn tries_too_few(evidence: &Evidence) -> Option<String> {
    let (mut conns, mut answered) = (0u64, 0usize);
    for conn in 0..evidence.wire.conns.len().min(EXAMINED_MAX) {
        let resends = resend_connection(evidence, conn);
        conns += u64::from(!resends.requested.is_empty());
        let open = resends.requested.iter().any(|seq| !resends.answered.contains(seq));
        if !resends.requested.is_empty() && open && resends.left_after.is_none() {
            answered += 1;
        }
    }
    let missing: BTreeSet<Seq> =
        evidence.gaps().iter().copied().filter(|seq| evidence.output_lacks(*seq)).collect();
    let some_answered = evidence.gaps().iter().any(|seq| evidence.resent().contains(seq));
    let is_over = evidence.process.ended != ProcessEnd::Killed && evidence.wire.streams() == 1;
    (conns >= TRIES_MIN && answered > 0 && some_answered && is_over && !missing.is_empty()).then(
        || {
            format!(
                "the client requested missing packets on {conns} connections, which the exchange \
                 ended before all answers had arrived, and gave up with {} missing: try as long as \
                 a connection brings something new",
                packets(missing)
            )
        },
    )
}

/// Minimum number of resend connections of a client that tries again.
const TRIES_MIN: u64 = 2;

/// Resend calls of one connection, and what happened to their answers.
struct ResendConnection {
    /// Sequences that the client requested.
    requested: Vec<Seq>,
    /// Sequences sent before the connection ended.
    answered: BTreeSet<Seq>,
    /// Sequences sent after the client had ended the connection.
    after: BTreeSet<Seq>,
    /// Time from the last event on the connection to its end, if the client ended it first.
    left_after: Option<Duration>,
    /// True if the client reset the connection.
    reset: bool,
    /// True if a packet was sent twice on the connection.
    has_copies: bool,
}

/// Returns the resend calls of a connection.
fn resend_connection(evidence: &Evidence, conn: usize) -> ResendConnection {
    let mut resend_connection = ResendConnection {
        requested: Vec::new(),
        answered: BTreeSet::new(),
        after: BTreeSet::new(),
        left_after: None,
        reset: false,
        has_copies: false,
    };
    let mut last_event_at = Duration::ZERO;
    let mut over = false;
    let mut answers = evidence.wire.conns[conn].frames.iter().map(packet_of);
    for event in evidence.events_before_kill().filter(|event| event.conn == conn) {
        match event.what {
            WireEventKind::Called { call: Call::Resend(seq), late: false } => {
                resend_connection.requested.push(seq);
            }
            WireEventKind::Sent { from, to } => {
                let whole = to / FRAME_LEN as u64 - from / FRAME_LEN as u64;
                let seqs = (0..whole).filter_map(|_| answers.next().flatten());
                if over {
                    resend_connection.after.extend(seqs);
                } else {
                    for seq in seqs {
                        let is_new = resend_connection.answered.insert(seq);
                        resend_connection.has_copies |= !is_new;
                    }
                }
            }
            WireEventKind::ClientEnded | WireEventKind::Reset if !over => {
                resend_connection.left_after = Some(event.at.saturating_sub(last_event_at));
                resend_connection.reset = event.what == WireEventKind::Reset;
                over = true;
            }
            WireEventKind::Reset => resend_connection.reset = true,
            WireEventKind::Finished | WireEventKind::Closed | WireEventKind::ResetByExchange => {
                over = true;
            }
            _ => {}
        }
        last_event_at = event.at;
    }
    resend_connection
}

/// Detects that the client closed a connection too early and did not read the answers.
pub(super) fn answers_unread(evidence: &Evidence) -> Option<String> {
    (0..evidence.wire.conns.len().min(EXAMINED_MAX)).find_map(|conn| {
        let ResendConnection { requested, answered, after, left_after, reset, has_copies } =
            resend_connection(evidence, conn);
        let waited = left_after.filter(|waited| *waited < ANSWER_WAIT_MIN)?;
        // Answers that were sent can be unread too; closing the connection then resets it.
        // A copy that is unread resets it as well.
        let reset = reset && !has_copies;
        let unread = |seq: &Seq| after.contains(seq) || reset;
        let open = requested.into_iter().filter(|seq| unread(seq) && evidence.output_lacks(*seq));
        let missing: Vec<Seq> = open.collect();
        // The exchange may have answered with other packets.
        (!missing.is_empty() && (reset || !answered.contains(&missing[0]))).then(|| {
            let waited = match waited.as_millis() {
                ..10 => "without waiting for".to_owned(),
                _ => format!("after {}, before it had read", took(waited)),
            };
            let s = if missing.len() == 1 { "" } else { "s" };
            format!(
                "the client closed connection {} {waited} the answer{s} with {}",
                conn + 1,
                packets(missing)
            )
        })
    })
}

/// Detects that the client stored an answer under the sequence that it had requested, not under the
/// packet's own.
pub(super) fn trusts_the_request(evidence: &Evidence) -> Option<String> {
    let sent: BTreeSet<Seq> = evidence.streamed().union(evidence.resent()).copied().collect();
    let invented = evidence.differences.order.iter().find(|seq| !sent.contains(seq))?;
    let requested = evidence.requested().contains(invented);
    let content = evidence
        .differences
        .wrong
        .iter()
        .any(|wrong| wrong.seq == *invented && wrong.field != OutputField::Sequence);
    (requested && content).then(|| {
        format!(
            "packet {invented} was requested and another packet received; the client wrote it as \
             {invented}. A packet's own sequence says which one it is"
        )
    })
}

/// Detects that the client gave up a packet after one request without an answer.
pub(super) fn not_asked_again(evidence: &Evidence) -> Option<String> {
    let resent = evidence.resent();
    let mut times = std::collections::BTreeMap::new();
    evidence.wire.requested().for_each(|seq| *times.entry(seq).or_insert(0u32) += 1);
    let missing: Vec<Seq> = times
        .iter()
        .filter(|(seq, times)| {
            **times == 1 && !resent.contains(seq) && evidence.output_lacks(**seq)
        })
        .map(|(seq, _)| *seq)
        .filter(|seq| (1..=evidence.last()).contains(seq))
        .collect();
    let streams = evidence.wire.streams();
    (!missing.is_empty() && streams == 1).then(|| {
        format!(
            "the client requested {} once{}, and neither requested it again nor streamed again",
            packets(missing),
            request_result(evidence)
        )
    })
}

/// Describes what happened to requests that were not answered.
fn request_result(evidence: &Evidence) -> &'static str {
    let resets =
        evidence.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange);
    let other = evidence.resent().iter().any(|seq| !evidence.requested().contains(seq));
    let broken = evidence.wire.conns.iter().any(|conn| {
        let answers = conn.stream_from.unwrap_or(usize::MAX).min(conn.frames.len());
        conn.frames[..answers].iter().any(|frame| packet_of(frame).is_none())
    });
    match (resets, other) {
        _ if broken => ", received a frame that is not a packet",
        (true, _) => ", the connection was reset",
        (_, true) => ", received another packet instead",
        _ => ", received no answer",
    }
}

/// Detects that the client took a stream that ended early for a complete one.
pub(super) fn short_stream(evidence: &Evidence) -> Option<String> {
    let highest = evidence.highest();
    let tail_missing = (highest + 1..=evidence.last()).all(|seq| evidence.output_lacks(seq));
    let reset = evidence.wire.events.iter().any(|event| {
        event.what == WireEventKind::ResetByExchange
            && evidence.wire.conns.get(event.conn).is_some_and(|conn| conn.stream_from.is_some())
    });
    let silent = left_stream(evidence).filter(|left| left.idle > ANSWER_WAIT_MIN);
    // The exchange ended the stream, not the client.
    let inside = evidence.events_before_kill().any(|event| {
        let conn = evidence.wire.conns.get(event.conn);
        event.what == WireEventKind::Finished
            && conn.is_some_and(|c| c.stream_from.is_some() && c.sent % FRAME_LEN as u64 != 0)
    });
    // A client that was killed may have been about to stream again.
    let done = evidence.has_output() || evidence.process.ended != ProcessEnd::Killed;
    // What arrived and is missing has another reason.
    let keeps = !evidence.has_output()
        || evidence.streamed().iter().all(|seq| !evidence.output_lacks(*seq));
    let early = done
        && keeps
        && (1..evidence.last()).contains(&highest)
        && tail_missing
        && evidence.wire.streams() == 1;
    if let Some(left) = silent.filter(|_| early) {
        return Some(format!(
            "the exchange sent nothing for {} after packet {highest}, and the client ended the \
             stream and did not stream again; the packets after it were never sent",
            took(left.idle)
        ));
    }
    (early && (reset || inside)).then(|| {
        let how = if inside { "inside a packet" } else { "by a reset" };
        format!(
            "the stream ended {how} after packet {highest}, and the client did not stream again; \
             the packets after it were never sent"
        )
    })
}

/// Detects that the client called for another stream on the connection of a stream that had fallen
/// silent.
pub(super) fn streams_on(evidence: &Evidence) -> Option<String> {
    // A call while the exchange was sending was not made because of a silence.
    let (mut sent, mut over) = (Duration::ZERO, false);
    let conn = evidence.events_before_kill().find_map(|event| {
        match event.what {
            WireEventKind::Sent { .. } => sent = event.at,
            WireEventKind::Called { late: false, .. } => (sent, over) = (event.at, false),
            WireEventKind::Finished => over = true,
            WireEventKind::Called { call: Call::Stream, late: true } => {
                return (over || event.at > sent + ANSWER_WAIT_MIN).then_some(event.conn);
            }
            _ => {}
        }
        None
    })?;
    (evidence.highest() < evidence.last()).then(|| {
        format!(
            "the stream ended or fell silent before packet {}, and the client called for another \
             one on the same connection ({}), where the exchange sends nothing more: a further \
             stream needs a connection of its own",
            evidence.highest() + 1,
            conn + 1
        )
    })
}

/// Detects that the tail was dropped, and the client streamed only once.
pub(super) fn tail(evidence: &Evidence) -> Option<String> {
    let highest = evidence.highest();
    let missing: Vec<Seq> = (highest + 1..=evidence.last()).collect();
    // Many clients write no output if they have no packet.
    let is_written = evidence.has_output() || highest == 0;
    let has_ended = evidence.events_before_kill().any(|event| {
        let conn = evidence.wire.conns.get(event.conn);
        event.what == WireEventKind::Finished && conn.is_some_and(|c| c.stream_from.is_some())
    });
    let all = is_written
        && has_ended
        && !has_reset(evidence)
        && !missing.is_empty()
        && missing.iter().all(|seq| evidence.output_lacks(*seq));
    let rest = evidence.differences.missing.count() == missing.len() as u64;
    (all && rest && evidence.wire.streams() == 1).then(|| match highest {
        0 => "the stream had no packet, and the client streamed only once".to_owned(),
        _ => format!(
            "{} not in the stream, which no later packet reveals, and the client streamed only \
             once",
            packets_with_verb(missing)
        ),
    })
}

/// Minimum number of streams with which a client replaces requests.
const STREAMS_MIN: usize = 4;

/// Detects that the client streams again and again instead of requesting what is missing.
pub(super) fn streams_instead(evidence: &Evidence) -> Option<String> {
    let streams = evidence.wire.streams();
    let missing: Vec<Seq> = (1..=evidence.last())
        .filter(|seq| !evidence.streamed().contains(seq) && evidence.output_lacks(*seq))
        .collect();
    let asks = !evidence.requested().is_empty();
    (streams >= STREAMS_MIN && !asks && !missing.is_empty()).then(|| {
        format!(
            "the client called for {streams} streams and requested no packet: {} missing in all of \
             them, and a resend call would have brought them",
            packets_with_verb(missing)
        )
    })
}

/// Returns the number of connections with resend calls.
fn resend_connections(evidence: &Evidence) -> usize {
    let conns: BTreeSet<usize> = evidence
        .wire
        .calls()
        .filter(|(_, call, late)| matches!(call, Call::Resend(_)) && !late)
        .map(|(conn, ..)| conn)
        .collect();
    conns.len()
}

/// Returns whether the client made more resend connections than in a run in which it seemed to
/// give up after some.
pub(super) fn tries_more(claimed: &Evidence, other: &Evidence) -> bool {
    resend_connections(other) > resend_connections(claimed)
}

/// Returns whether the client requested a packet again, on another connection, that was not sent
/// for the same reason as in a run in which it seemed to give up.
pub(super) fn asks_again(claimed: &Evidence, other: &Evidence) -> bool {
    // A client that misreads packets, or cuts off high sequences, requests some twice by accident.
    let is_misread = !other.differences.made_up.is_empty()
        || other.requested().range(other.last() + 1..).next().is_some();
    if is_misread || other.last() > BYTE_MAX {
        return false;
    }
    let ends: std::collections::BTreeMap<usize, Duration> = other
        .wire
        .events
        .iter()
        .filter(|event| {
            matches!(event.what, WireEventKind::Closed | WireEventKind::ResetByExchange)
        })
        .map(|event| (event.conn, event.at))
        .collect();
    // Requests on connections side by side are no second try.
    let is_over = |conn: usize, at| ends.get(&conn).is_some_and(|end| *end <= at);
    let mut open: std::collections::BTreeMap<Seq, usize> = std::collections::BTreeMap::new();
    let mut again = false;
    for (at, conn, packet_event) in other.wire.packet_events() {
        match packet_event {
            PacketEvent::Requested { seq, late: false } => {
                let before = open.insert(seq, conn).filter(|before| *before != conn);
                again |= before.is_some_and(|before| is_over(before, at));
            }
            PacketEvent::Sent { seq, .. } => drop(open.remove(&seq)),
            PacketEvent::Requested { .. } => {}
        }
    }
    again && request_result(claimed) == request_result(other)
}

/// Returns the first connection with a stream, if its packets have no gap. A client that has seen a
/// gap may stream again for that reason.
fn first_stream_without_gap(evidence: &Evidence) -> Option<usize> {
    let conn = evidence.wire.conns.iter().position(|conn| conn.stream_from.is_some())?;
    let seqs = evidence.wire.conns[conn].frames.iter().filter_map(packet_of);
    (1..).zip(seqs).all(|(expected, seq)| expected == seq).then_some(conn)
}

/// Returns whether the first stream had no gap and ended without a reset, and was followed by
/// another one. A stream without any packet says nothing about others.
pub(super) fn streams_again(claimed: &Evidence, other: &Evidence) -> bool {
    let Some(conn) = first_stream_without_gap(other) else { return false };
    let is_empty = other.wire.conns[conn].frames.is_empty();
    other.wire.streams() > 1 && !has_reset(other) && is_empty == (claimed.highest() == 0)
}

/// Returns whether the exchange reset a connection.
fn has_reset(evidence: &Evidence) -> bool {
    evidence.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange)
}

/// Returns whether a stream that ended as in another run was followed by another stream.
pub(super) fn streams_again_after_a_break(claimed: &Evidence, other: &Evidence) -> bool {
    let Some(conn) = first_stream_without_gap(other) else { return false };
    let is_inside = !other.wire.conns[conn].sent.is_multiple_of(FRAME_LEN as u64);
    let was_reset = other
        .wire
        .events
        .iter()
        .any(|event| event.conn == conn && event.what == WireEventKind::ResetByExchange);
    other.wire.streams() > 1 && (is_inside || was_reset) && was_reset == has_reset(claimed)
}

#[cfg(test)]
mod tests;
