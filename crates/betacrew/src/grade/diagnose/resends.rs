//! Causes in the detection of gaps, in resend calls and in the reading of answers.

use crate::grade::observe::evidence::{Evidence, packets, packets_with_verb};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::wire::{PacketEvent, WireEventKind, packet_of};
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::{Call, FRAME_LEN};
use std::collections::BTreeSet;
use std::time::Duration;

/// Number of packets in a session of the original exercise.
const EXERCISE_LEN: Seq = 14;

/// Time within which a client that closes a connection cannot have waited for answers. The slowest
/// answers of the cases take longer.
const ANSWER_WAIT_MIN: Duration = Duration::from_millis(350);

/// Returns the gaps that the client did not request and that its output misses.
fn unrequested_gaps(evidence: &Evidence) -> BTreeSet<Seq> {
    let requested = evidence.requested();
    evidence
        .gaps()
        .iter()
        .copied()
        .filter(|seq| !requested.contains(seq) && evidence.output_lacks(*seq))
        .collect()
}

/// Returns whether the client could see its gaps: its output has every packet sent in a
/// stream. Without an output, a client that was killed may still have been reading, so it does not
/// count.
fn could_see_gaps(evidence: &Evidence) -> bool {
    let streamed = evidence.streamed();
    let kept = match evidence.has_output() {
        true => streamed.iter().all(|seq| !evidence.output_lacks(*seq)),
        false => evidence.process.ended != ProcessEnd::Killed,
    };
    !streamed.is_empty() && kept
}

/// Detects that the client requested missing packets after the stream call, where nothing is
/// answered.
pub(crate) fn after_stream(evidence: &Evidence) -> Option<String> {
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

/// Detects that the client requested no packet although its stream had gaps.
pub(crate) fn never_asks(evidence: &Evidence) -> Option<String> {
    let gaps = evidence.gaps();
    // A gap at the beginning alone is the cause `first-gap-unseen`.
    let inner = gaps.iter().any(|seq| *seq > first_streamed(evidence));
    let none = evidence.requested().is_empty() && evidence.wire.streams() == 1;
    let missing = evidence.has_output() && gaps.iter().any(|seq| evidence.output_lacks(*seq));
    (none && inner && missing && could_see_gaps(evidence)).then(|| {
        format!(
            "{} dropped, and the client requests no packet",
            packets_with_verb(gaps.iter().copied())
        )
    })
}

/// Returns the lowest sequence sent in a stream; 0 if there is none.
fn first_streamed(evidence: &Evidence) -> Seq {
    evidence.streamed().first().copied().unwrap_or(0)
}

/// Detects that the client did not notice that packets before the first received one are missing.
pub(crate) fn first_gap(evidence: &Evidence) -> Option<String> {
    let first = first_streamed(evidence);
    let requested = evidence.requested();
    let unrequested_gaps: Vec<Seq> = (1..first).filter(|seq| !requested.contains(seq)).collect();
    let all = unrequested_gaps.len() == usize::try_from(first.saturating_sub(1)).unwrap_or(0);
    let others_requested =
        evidence.gaps().iter().all(|seq| *seq < first || requested.contains(seq))
            && requested.range(..first).next().is_none();
    let missing = unrequested_gaps.iter().all(|seq| evidence.output_lacks(*seq));
    (!unrequested_gaps.is_empty() && all && others_requested && missing && could_see_gaps(evidence))
        .then(|| {
            format!(
                "{} dropped and not requested: the client takes the first packet that it receives \
                 ({first}) for the first of the session",
                packets_with_verb(unrequested_gaps)
            )
        })
}

/// Detects that the client requested every gap but the last, which is directly before the last
/// packet.
pub(crate) fn last_gap(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested) =
        (evidence.gaps(), unrequested_gaps(evidence), evidence.requested());
    let only = unrequested_gaps.iter().next().filter(|_| unrequested_gaps.len() == 1)?;
    let last = gaps.last() == Some(only) && *only + 1 == evidence.highest();
    let rest = gaps.iter().filter(|seq| *seq != only).all(|seq| requested.contains(seq));
    // A client with the cause `counts-packets` would not have requested this one.
    let beyond = gaps.iter().any(|seq| requested.contains(seq) && *seq > streamed_count(evidence));
    (last && rest && beyond && could_see_gaps(evidence)).then(|| {
        format!(
            "packet {only}, directly before the last one, was dropped and not requested: the \
             client's search for gaps ends one too early"
        )
    })
}

/// Returns the number of packets sent in streams.
fn streamed_count(evidence: &Evidence) -> Seq {
    Seq::try_from(evidence.streamed().len()).unwrap_or(Seq::MAX)
}

/// Detects that the client searched for gaps up to the number of packets instead of the highest
/// sequence.
pub(crate) fn counts_packets(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested, streamed_count) = (
        evidence.gaps(),
        unrequested_gaps(evidence),
        evidence.requested(),
        streamed_count(evidence),
    );
    let low = |seq: &&Seq| **seq < streamed_count;
    let right = gaps.iter().filter(low).all(|seq| requested.contains(seq))
        && unrequested_gaps.iter().all(|seq| *seq >= streamed_count)
        && gaps
            .iter()
            .filter(|seq| **seq > streamed_count)
            .all(|seq| unrequested_gaps.contains(seq));
    // A client with the cause `last-gap-unseen` would have requested this one.
    let more = unrequested_gaps.iter().any(|seq| *seq + 1 < evidence.highest());
    let some = gaps.iter().any(|seq| *seq < streamed_count) || evidence.requested().contains(&0);
    (right && more && some && could_see_gaps(evidence)).then(|| {
        format!(
            "{} dropped and not requested: the client searches for gaps up to {streamed_count}, \
             the number of packets received, instead of up to {}, the highest sequence",
            packets_with_verb(unrequested_gaps),
            evidence.highest()
        )
    })
}

/// Detects that the client searched for gaps up to the packet received last, which is not the
/// highest one.
pub(crate) fn last_for_highest(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested) =
        (evidence.gaps(), unrequested_gaps(evidence), evidence.requested());
    let (_, last) = evidence.wire.streamed().last()?;
    let right = last < evidence.highest()
        && !unrequested_gaps.is_empty()
        && unrequested_gaps.iter().all(|seq| *seq > last)
        && gaps.iter().filter(|seq| **seq < last).all(|seq| requested.contains(seq));
    (right && could_see_gaps(evidence)).then(|| {
        format!(
            "{} dropped and not requested: the client searches for gaps up to {last}, the packet \
             received last, instead of up to {}, the highest sequence",
            packets_with_verb(unrequested_gaps),
            evidence.highest()
        )
    })
}

/// Detects that the client crashed on a sequence that does not fit into one byte.
pub(crate) fn too_large_to_ask(evidence: &Evidence) -> Option<String> {
    let first = evidence.gaps().range(256..).next()?;
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr).to_lowercase();
    // Words that runtimes use when a number does not fit into a byte.
    let words = ["255", "ubyte", "range(0, 256)", "byte must be", "overflow"];
    let crashed = !matches!(
        evidence.process.ended,
        ProcessEnd::Exited(0) | ProcessEnd::Killed | ProcessEnd::Lingered
    );
    (crashed && words.iter().any(|word| stderr_text.contains(word))).then(|| {
        format!(
            "the client crashed on the request for packet {first}: a resend call has one byte for \
             the sequence. Higher packets must be received in another stream"
        )
    })
}

/// Detects that the client requested the neighbours of the missing packets.
pub(crate) fn off_by_one(evidence: &Evidence) -> Option<String> {
    let (gaps, requested) = (evidence.gaps(), evidence.requested());
    let shifted = |by: i64| -> BTreeSet<Seq> {
        gaps.iter().filter_map(|seq| seq.checked_add_signed(by)).collect()
    };
    let wrong =
        !gaps.is_empty() && gaps.iter().all(|seq| evidence.output_lacks(*seq)) && requested != gaps;
    let off = [(-1, "below"), (1, "above")].into_iter().find(|(by, _)| *requested == shifted(*by));
    let (_, side) = off.filter(|_| wrong)?;
    Some(format!(
        "{} dropped, and the client requested {}: one {side}",
        packets_with_verb(gaps.iter().copied()),
        packets(requested.iter().copied())
    ))
}

/// Detects that the client assumes that every session has 14 packets.
pub(crate) fn fixed_length(evidence: &Evidence) -> Option<String> {
    let (requested, last) = (evidence.requested(), evidence.last());
    let beyond: BTreeSet<Seq> = requested.iter().copied().filter(|seq| *seq > last).collect();
    if last < EXERCISE_LEN && (last + 1..=EXERCISE_LEN).all(|seq| beyond.contains(&seq)) {
        return Some(format!(
            "the client requested {}, which the session does not have: it assumes that every \
             session has {EXERCISE_LEN} packets",
            packets(beyond)
        ));
    }
    // A client that waits for the answer to this request makes no further ones.
    if last < EXERCISE_LEN && beyond.contains(&(last + 1)) && !evidence.has_output() {
        return Some(format!(
            "the client requested packet {}, which the session does not have: it does not learn \
             the session's length from the packets",
            last + 1
        ));
    }
    let (low, high): (Vec<Seq>, Vec<Seq>) =
        evidence.gaps().iter().copied().partition(|seq| *seq <= EXERCISE_LEN);
    let unrequested_gaps = unrequested_gaps(evidence);
    let stops = !low.is_empty()
        && !high.is_empty()
        && low.iter().all(|seq| requested.contains(seq))
        && high.iter().all(|seq| unrequested_gaps.contains(seq));
    (stops && could_see_gaps(evidence)).then(|| {
        format!(
            "{} not requested, those up to {EXERCISE_LEN} were: the client assumes that every \
             session has {EXERCISE_LEN} packets",
            packets_with_verb(high)
        )
    })
}

/// Detects that the client requested the lowest byte of a sequence above 255.
pub(crate) fn cut_to_a_byte(evidence: &Evidence) -> Option<String> {
    let (gaps, requested, streamed) = (evidence.gaps(), evidence.requested(), evidence.streamed());
    // A resend call of the original protocol has one byte for the sequence.
    let cut = |seq: Seq| seq % 256;
    let high: Vec<Seq> =
        gaps.iter().copied().filter(|seq| *seq > 255 && evidence.output_lacks(*seq)).collect();
    let wrong = high.iter().copied().filter(|seq| {
        let low = cut(*seq);
        requested.contains(&low) && (streamed.contains(&low) || low == 0)
    });
    let wrong: Vec<Seq> = wrong.collect();
    let first = wrong.first()?;
    // A client that is killed at the time limit has not requested all of them, so half is enough.
    (wrong.len() * 2 >= high.len()).then(|| {
        format!(
            "the client requested packet {} when packet {first} was missing: a resend call has one \
             byte for the sequence, and the other bytes were cut off. Higher packets must be \
             received in another stream",
            cut(*first)
        )
    })
}

/// Maximum number of connections that are examined for unread answers.
const EXAMINED_MAX: usize = 200;

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
}

/// Returns the resend calls of a connection.
fn resend_connection(evidence: &Evidence, conn: usize) -> ResendConnection {
    let mut resend_connection = ResendConnection {
        requested: Vec::new(),
        answered: BTreeSet::new(),
        after: BTreeSet::new(),
        left_after: None,
        reset: false,
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
                    resend_connection.answered.extend(seqs);
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
pub(crate) fn answers_unread(evidence: &Evidence) -> Option<String> {
    (0..evidence.wire.conns.len().min(EXAMINED_MAX)).find_map(|conn| {
        let ResendConnection { requested, answered, after, left_after, reset } =
            resend_connection(evidence, conn);
        let waited = left_after.filter(|waited| *waited < ANSWER_WAIT_MIN)?;
        // Answers that were sent can be unread too; closing the connection then resets it.
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
pub(crate) fn trusts_the_request(evidence: &Evidence) -> Option<String> {
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
pub(crate) fn not_asked_again(evidence: &Evidence) -> Option<String> {
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
    match (resets, other) {
        (true, _) => ", the connection was reset",
        (_, true) => ", received another packet instead",
        _ => ", received no answer",
    }
}

/// Detects that the client took a stream that ended early for a complete one.
pub(crate) fn short_stream(evidence: &Evidence) -> Option<String> {
    let highest = evidence.highest();
    let tail_missing = (highest + 1..=evidence.last()).all(|seq| evidence.output_lacks(seq));
    let reset = evidence.wire.events.iter().any(|event| {
        event.what == WireEventKind::ResetByExchange
            && evidence.wire.conns.get(event.conn).is_some_and(|conn| conn.stream_from.is_some())
    });
    let inside = evidence
        .wire
        .conns
        .iter()
        .any(|conn| conn.stream_from.is_some() && conn.sent % FRAME_LEN as u64 != 0);
    // A client that was killed may have been about to stream again.
    let done = evidence.has_output() || evidence.process.ended != ProcessEnd::Killed;
    let early = done
        && (1..evidence.last()).contains(&highest)
        && tail_missing
        && evidence.wire.streams() == 1;
    (early && (reset || inside)).then(|| {
        let how = if inside { "inside a packet" } else { "by a reset" };
        format!(
            "the stream ended {how} after packet {highest}, and the client did not stream again; \
             the packets after it were never sent"
        )
    })
}

/// Detects that the tail was dropped, and the client streamed only once.
pub(crate) fn tail(evidence: &Evidence) -> Option<String> {
    let highest = evidence.highest();
    let missing: Vec<Seq> = (highest + 1..=evidence.last()).collect();
    let all = evidence.has_output()
        && !missing.is_empty()
        && missing.iter().all(|seq| evidence.output_lacks(*seq));
    let rest = evidence.differences.missing.count() == missing.len() as u64;
    (all && rest && evidence.wire.streams() == 1).then(|| match highest {
        0 => "the stream had no packet, and the client streamed only once".to_owned(),
        _ => format!(
            "{} dropped at the end, which no later packet reveals, and the client streamed only \
             once",
            packets_with_verb(missing)
        ),
    })
}

#[cfg(test)]
mod tests;
