//! Causes in the end of a client: endless waits, connections given up, outputs never written.

use super::gaps::EXERCISE_LEN;
use super::hypotheses::CaseRun;
use super::leaving::EXAMINED_MAX;
use super::timeouts::{self, left_stream, silence};
use crate::grade::observe::evidence::{ClientOutput, Evidence, packets, packets_with_verb};
use crate::grade::observe::wire::{WireConnection, WireEventKind};
use crate::grade::run::process::{EarlyEnd, ProcessEnd};
use crate::text::formatting::{count, took};
use feed::base::seq::Seq;
use feed::wire::Call;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Maximum time between an event and the end of the client for which the event explains the end.
const SOON: Duration = Duration::from_millis(1500);

/// Returns whether the client was killed at the time limit.
fn was_killed(evidence: &Evidence) -> bool {
    evidence.process.ended == ProcessEnd::Killed
}

/// Returns whether the client used a processor, or waited for a busy one, for most of the time.
fn was_busy(evidence: &Evidence) -> bool {
    evidence.process.was_busy()
}

/// Returns whether the client connected only in the second half of its time. A machine that is too
/// busy to start a client shows no loop in it, and not that it is slow.
fn was_started_late(evidence: &Evidence) -> bool {
    let first = evidence.wire.events.first();
    first.is_some_and(|event| event.at > evidence.process.took / 2)
}

/// Detects that the client computed until it was killed.
pub(super) fn spins(evidence: &Evidence) -> Option<String> {
    if evidence.process.early == Some(EarlyEnd::Flooding) {
        return Some(
            "the client printed without end, with nothing on the wire: an endless loop".to_owned(),
        );
    }
    let busy = evidence.process.busy.filter(|_| was_killed(evidence) && was_busy(evidence))?;
    let all = evidence.process.took;
    if was_started_late(evidence) {
        return None;
    }
    // A client with several threads can compute for longer than it runs.
    let time = match busy < all {
        true => format!("for {} of {}", took(busy), took(all)),
        false => format!("for all of its {}", took(all)),
    };
    Some(format!("the client was computing, not waiting, {time}: an endless loop"))
}

/// Detects that the client received a complete stream and waits for resends that it does not need.
pub(super) fn hangs_complete(evidence: &Evidence) -> Option<String> {
    // A client that sees no gap does not know that a dropped tail is missing.
    let whole = evidence.gaps().is_empty() && !evidence.streamed().is_empty();
    let finished = evidence.wire.events.iter().any(|event| event.what == WireEventKind::Finished);
    let idle = evidence.requested().is_empty()
        && finished
        && whole
        && matches!(evidence.output, ClientOutput::None)
        && !was_busy(evidence);
    let is_orderly = matches!(
        evidence.process.ended,
        ProcessEnd::Exited(0) | ProcessEnd::Killed | ProcessEnd::Lingered
    );
    (idle && is_orderly).then(|| {
        let how = if was_killed(evidence) { "waits for ever" } else { "wrote no output" };
        format!(
            "the stream had no gap and ended, so nothing was to be requested, and the client \
             {how}: it writes its output only after resends"
        )
    })
}

/// Returns whether a stream had as many frames as the session has packets, one of them no packet,
/// and the client requested nothing and wrote no output.
pub(super) fn may_hang_complete(evidence: &Evidence) -> bool {
    let is_full = |conn: &WireConnection| {
        conn.stream_from == Some(0) && conn.frames.len() == evidence.tape.len()
    };
    matches!(evidence.output, ClientOutput::None)
        && evidence.asked().is_empty()
        && evidence.wire.streams() == 1
        && evidence.wire.conns.iter().any(is_full)
}

/// Returns the connection with resend calls that the client left open, if there is one.
fn left_open(evidence: &Evidence) -> Option<usize> {
    (0..evidence.wire.conns.len()).find(|conn| {
        let events = || evidence.events_before_kill().filter(|event| event.conn == *conn);
        let asks = events().any(|event| {
            matches!(event.what, WireEventKind::Called { call: Call::Resend(_), late: false })
        });
        let ends = events().any(|event| {
            matches!(
                event.what,
                WireEventKind::ClientEnded | WireEventKind::Reset | WireEventKind::Closed
            )
        });
        asks && !ends
    })
}

/// Returns the packets that were requested, not sent and are not in the output.
fn unanswered(evidence: &Evidence) -> Vec<Seq> {
    let resent = evidence.resent();
    let known = 1..=evidence.last();
    let is_open =
        |seq: &Seq| !resent.contains(seq) && (evidence.output_lacks(*seq) || !known.contains(seq));
    evidence.requested().iter().copied().filter(is_open).collect()
}

/// Detects that the client waits for an answer that is never sent.
pub(super) fn waits_for_ever(evidence: &Evidence) -> Option<String> {
    let open = unanswered(evidence);
    let is_silent = silence(evidence) >= SILENT_MIN || evidence.process.was_stuck();
    let waits = was_killed(evidence) && is_silent && left_open(evidence).is_some();
    (waits && !open.is_empty() && !evidence.has_output()).then(|| {
        format!(
            "the client waits for {}, which the exchange does not send, and has waited {} without \
             a byte: limit the time of a wait",
            packets(open),
            took(silence(evidence))
        )
    })
}

/// Minimum number of connections on which a client requests a packet without end.
const TRIES: usize = 4;

/// Detects that the client requests a packet that never comes until it is killed.
pub(super) fn asks_for_ever(evidence: &Evidence) -> Option<String> {
    let mut conns: BTreeMap<Seq, BTreeSet<usize>> = BTreeMap::new();
    for (conn, call, late) in evidence.wire.calls() {
        if let (Call::Resend(seq), false) = (call, late) {
            conns.entry(seq).or_default().insert(conn);
        }
    }
    let open = unanswered(evidence);
    let asked = conns.iter().filter(|(seq, _)| open.contains(seq));
    let Some((seq, conns)) = asked.max_by_key(|(_, conns)| conns.len()) else {
        return streams_for_ever(evidence);
    };
    (was_killed(evidence) && conns.len() >= TRIES).then(|| {
        format!(
            "the client requested packet {seq} on {} connections, never got it, and does not give \
             up",
            conns.len()
        )
    })
}

/// Detects that the client calls for streams until it is killed, because of a packet that no stream
/// has.
fn streams_for_ever(evidence: &Evidence) -> Option<String> {
    let gaps = evidence.gaps().difference(evidence.resent());
    let gaps: Vec<Seq> = gaps.copied().collect();
    let streams = evidence.wire.streams();
    (was_killed(evidence) && streams >= TRIES && !gaps.is_empty()).then(|| {
        format!(
            "the client called for {streams} streams, none of them had {}, and the client does \
             not give up",
            packets(gaps)
        )
    })
}

/// Detects that the client waits for an answer that is never sent, or ends without its output
/// because of one.
pub(super) fn waits_for_answer(evidence: &Evidence) -> Option<String> {
    let gives_up = || {
        let open = unanswered(evidence);
        let gone = matches!(evidence.process.ended, ProcessEnd::Exited(_));
        (gone && !open.is_empty() && !evidence.has_output()).then(|| {
            format!(
                "{} requested and not sent, and the client wrote none of the packets that it had",
                packets_with_verb(open)
            )
        })
    };
    waits_for_ever(evidence).or_else(gives_up)
}

/// Detects that the client received all answers and waits for the exchange to end the connection.
pub(super) fn waits_for_end(evidence: &Evidence) -> Option<String> {
    let (requested, resent) = (evidence.requested(), evidence.resent());
    let all = !requested.is_empty() && requested.iter().all(|seq| resent.contains(seq));
    let conn = left_open(evidence)?;
    // A client that waits after the exchange has ended the connection waits for something else.
    let has_ended = evidence
        .events_before_kill()
        .any(|event| event.conn == conn && event.what == WireEventKind::Finished);
    (all && !has_ended
        && matches!(evidence.process.ended, ProcessEnd::Killed | ProcessEnd::Lingered))
    .then(|| {
        format!(
            "all answers arrived on connection {}, and the client left it open and waits for the \
             exchange to end it, which an exchange may never do",
            conn + 1
        )
    })
}

/// Detects that the client received all answers, waited for the exchange to end the connection, and
/// gave up without an output.
pub(super) fn waited_for_end(evidence: &Evidence) -> Option<String> {
    let (requested, resent) = (evidence.requested(), evidence.resent());
    let all = !requested.is_empty() && requested.iter().all(|seq| resent.contains(seq));
    // Last write, unless the exchange has ended the connection since.
    let mut last = None;
    let left = evidence.events_before_kill().find_map(|event| {
        match event.what {
            WireEventKind::Sent { .. } => last = Some(event),
            WireEventKind::Finished => last = None,
            WireEventKind::ClientEnded | WireEventKind::Reset => {
                return last.filter(|last| last.conn == event.conn).map(|last| (last, event));
            }
            _ => {}
        }
        None
    });
    let (last, left) = left?;
    let waited = left.at.checked_sub(last.at).filter(|waited| *waited > PATIENT)?;
    (all && !evidence.has_output() && evidence.process.ended != ProcessEnd::Exited(0)).then(|| {
        format!(
            "all answers arrived on connection {}, and the client then waited {} for the \
             exchange to end it, which an exchange may never do",
            left.conn + 1,
            took(waited)
        )
    })
}

/// Minimum time without an event after which a client counts as waiting.
const PATIENT: Duration = Duration::from_millis(800);

/// Minimum time without an event after which the exchange counts as silent.
pub(super) const SILENT_MIN: Duration = Duration::from_secs(1);

/// Detects that the exchange stopped sending, and the client waits for ever.
pub(super) fn waits_for_stream(evidence: &Evidence) -> Option<String> {
    let silent = evidence.wire.conns.iter().enumerate().find(|(conn, state)| {
        let ended = evidence.events_before_kill().any(|event| {
            event.conn == *conn
                && matches!(
                    event.what,
                    WireEventKind::Finished
                        | WireEventKind::ResetByExchange
                        | WireEventKind::ClientEnded
                )
        });
        state.stream_from.is_some() && !ended
    });
    let (conn, state) = silent.filter(|_| was_killed(evidence))?;
    // An exchange that has only just sent something has not stopped.
    let silence = silence(evidence);
    let is_waiting = silence >= SILENT_MIN || evidence.process.was_stuck();
    if !is_waiting || timeouts::acts_after_silence(evidence) {
        return None;
    }
    let brought = count(u64::try_from(state.frames.len()).unwrap_or(u64::MAX), "packet");
    Some(format!(
        "the exchange sent nothing after {brought} on connection {}, and the client has waited {} \
         without a byte: it has no time-out",
        conn + 1,
        took(silence)
    ))
}

/// Detects that the client has all packets and does not end.
pub(super) fn lingers(evidence: &Evidence) -> Option<String> {
    let complete =
        was_killed(evidence) && evidence.has_output() && evidence.differences.is_complete();
    (complete || evidence.process.ended == ProcessEnd::Lingered).then(|| {
        "the output is complete, and something keeps the client running: a timer, a listener or a \
         socket that is not closed"
            .to_owned()
    })
}

/// Detects that the client was still active at the time limit.
pub(super) fn too_slow(evidence: &Evidence) -> Option<String> {
    if was_started_late(evidence) {
        return None;
    }
    if let Some(text) = reads_slowly(evidence).or_else(|| asks_slowly(evidence)) {
        return Some(text);
    }
    let last = evidence.events_before_kill().filter(|event| is_begun(&event.what)).last()?;
    let since = evidence.process.took.saturating_sub(last.at);
    let calls = evidence.wire.calls().count();
    (was_killed(evidence) && since < SOON && calls > 1).then(|| {
        format!(
            "the client was still active at the time limit: {calls} calls on {} connections, one \
             after another",
            evidence.wire.conns.len()
        )
    })
}

/// Detects that the exchange was still sending at the time limit, because the client reads slowly.
fn reads_slowly(evidence: &Evidence) -> Option<String> {
    let last = evidence.events_before_kill().last()?;
    let is_sending = matches!(last.what, WireEventKind::Sent { .. });
    let highest = evidence.highest();
    let is_slow = was_killed(evidence) && is_sending && silence(evidence) < SILENT_MIN;
    (is_slow && highest < evidence.last()).then(|| {
        format!(
            "the exchange was still sending at the time limit, {}, and had come to packet \
             {highest} of {}: the client reads too slowly",
            took(evidence.process.took),
            evidence.last()
        )
    })
}

/// Detects that the client had requested only some of the missing packets at the time limit, and
/// all that it had requested had arrived.
fn asks_slowly(evidence: &Evidence) -> Option<String> {
    let (requested, resent) = (evidence.requested(), evidence.resent());
    let left: Vec<Seq> =
        evidence.gaps().iter().copied().filter(|seq| !requested.contains(seq)).collect();
    let is_between = !requested.is_empty() && requested.is_subset(resent) && !left.is_empty();
    // A client that has written its output has finished.
    let is_waiting = evidence.process.ended == ProcessEnd::Killed
        && !evidence.process.was_stuck()
        && !evidence.has_output();
    // A client that requests packets again does not come to the others for another reason.
    let is_once = evidence.wire.requested().count() == requested.len();
    (is_waiting && is_once && is_between && !was_busy(evidence)).then(|| {
        format!(
            "at the time limit, {}, the client had requested {} and not yet {}, although all \
             answers had arrived: it waits too long between its requests",
            took(evidence.process.took),
            packets(requested.iter().copied()),
            packets(left)
        )
    })
}

/// Detects that the client waits for ever for a sequence that the session does not have.
pub(super) fn waits_for_unknown(evidence: &Evidence) -> Option<String> {
    let known = 1..=evidence.last();
    let open = unanswered(evidence);
    // A client that requests a much higher number has misread a packet, which is another mistake.
    let near = evidence.last().max(EXERCISE_LEN) + 1;
    let unknown: Vec<Seq> =
        open.into_iter().filter(|seq| !known.contains(seq) && *seq <= near).collect();
    // A client that requests what it has received has misread one, too, and one that requests a
    // packet again and again does not wait.
    let is_misread = !evidence.requested().is_disjoint(evidence.streamed());
    let waits = was_killed(evidence)
        && left_open(evidence).is_some()
        && !is_misread
        && asks_for_ever(evidence).is_none();
    (waits && !unknown.is_empty()).then(|| {
        format!(
            "the client requested {}, which the session does not have, and waits for ever for an \
             answer",
            packets(unknown)
        )
    })
}

/// Detects that the client wrote no output, which is a cause only if no other run has one.
pub(super) fn no_output(evidence: &Evidence) -> Option<String> {
    matches!(evidence.output, ClientOutput::None).then(|| {
        "the client writes no packets in any case, neither to a file nor to stdout".to_owned()
    })
}

/// Returns whether several runs have no packets in their outputs, and no run has any.
pub(super) fn never_writes(_: &Evidence, runs: &[CaseRun<'_>]) -> bool {
    runs.len() >= RUNS_MIN && runs.iter().all(|run| run.evidence.differences.rows == 0)
}

/// Minimum number of runs that show that a client never writes packets.
const RUNS_MIN: usize = 3;

/// Returns whether an event was caused by the client.
pub(super) fn is_clients(what: &WireEventKind) -> bool {
    matches!(
        what,
        WireEventKind::Opened
            | WireEventKind::Called { .. }
            | WireEventKind::ClientEnded
            | WireEventKind::Reset
    )
}

/// Returns whether an event begins a connection or is a call.
fn is_begun(what: &WireEventKind) -> bool {
    matches!(what, WireEventKind::Opened | WireEventKind::Called { .. })
}

/// Detects that the client ended after one connection was reset.
pub(super) fn gives_up(evidence: &Evidence) -> Option<String> {
    let reset = evidence
        .wire
        .events
        .iter()
        .rev()
        .find(|event| event.what == WireEventKind::ResetByExchange)?;
    let goes_on =
        evidence.wire.events.iter().any(|event| is_begun(&event.what) && event.at > reset.at);
    let ended = matches!(evidence.process.ended, ProcessEnd::Exited(_));
    (ended && !goes_on && !evidence.differences.is_complete()).then(|| {
        format!(
            "the exchange reset connection {}, and the client gave up instead of connecting again",
            reset.conn + 1
        )
    })
}

/// Detects that the client ended with an error and wrote none of the packets that it had.
pub(super) fn all_or_nothing(evidence: &Evidence) -> Option<String> {
    let ProcessEnd::Exited(code) = evidence.process.ended else { return None };
    let had = evidence.streamed().union(evidence.resent()).count();
    let nothing = matches!(evidence.output, ClientOutput::None) && had > 0 && code != 0;
    nothing.then(|| {
        format!(
            "the client had received {} of {} packets, and ended with exit code {code} without \
             writing any of them",
            had,
            evidence.tape.len()
        )
    })
}

/// Returns whether the client wrote an output without having requested anything.
pub(super) fn writes_without_resends(evidence: &Evidence) -> bool {
    evidence.has_output() && evidence.differences.rows > 0 && evidence.requested().is_empty()
}

/// Returns whether the client writes an output after resends, if there are other runs.
pub(super) fn writes_after_resends(_: &Evidence, runs: &[CaseRun<'_>]) -> bool {
    let mut resent = runs.iter().filter(|run| !run.evidence.resent().is_empty());
    runs.len() < RUNS_MIN || resent.any(|run| run.evidence.differences.rows > 0)
}

/// Returns whether the client ended a connection with resend calls itself, after all answers and
/// before the exchange did.
pub(super) fn ends_resends_itself(evidence: &Evidence) -> bool {
    let is_answered = evidence.requested().is_subset(evidence.resent());
    is_answered
        && (0..evidence.wire.conns.len().min(EXAMINED_MAX)).any(|conn| {
            let (mut asks, mut last) = (false, Duration::ZERO);
            let events = evidence.events_before_kill().filter(|event| event.conn == conn);
            for event in events {
                match event.what {
                    WireEventKind::Called { call: Call::Resend(_), late: false } => asks = true,
                    WireEventKind::Sent { .. } => last = event.at,
                    WireEventKind::ClientEnded => return asks && event.at < last + PATIENT,
                    WireEventKind::Finished | WireEventKind::ResetByExchange => return false,
                    _ => {}
                }
            }
            false
        })
}

/// Returns whether the client ended a stream on which nothing arrived any more.
pub(super) fn ends_streams_itself(evidence: &Evidence) -> bool {
    left_stream(evidence).is_some_and(|left| left.idle > SILENT_MIN)
}

/// Returns whether the client connected again after a reset at the same stage of a connection.
pub(super) fn connects_again(claimed: &Evidence, other: &Evidence) -> bool {
    let resets = |evidence: &Evidence| -> Vec<(Duration, (bool, bool))> {
        let events = evidence.wire.events.iter();
        let resets = events.filter(|event| event.what == WireEventKind::ResetByExchange);
        let had_packets =
            |conn: usize| evidence.wire.conns.get(conn).is_some_and(|conn| conn.sent > 0);
        let asks = |conn: usize| {
            evidence.wire.calls().any(|(at, call, _)| at == conn && matches!(call, Call::Resend(_)))
        };
        resets.map(|event| (event.at, (had_packets(event.conn), asks(event.conn)))).collect()
    };
    let Some((_, stage)) = resets(claimed).pop() else { return false };
    let mut opened = other.wire.events.iter().filter(|event| event.what == WireEventKind::Opened);
    let first = resets(other).into_iter().find(|(_, other)| *other == stage);
    first.is_some_and(|(at, _)| opened.any(|event| event.at > at))
}

/// Returns whether the client wrote an output although it ended with an error code.
pub(super) fn writes_incomplete(evidence: &Evidence) -> bool {
    let is_error = matches!(evidence.process.ended, ProcessEnd::Exited(code) if code != 0);
    is_error && evidence.has_output() && evidence.differences.rows > 0
}

#[cfg(test)]
mod tests {
    use super::super::testing::classic_run;
    use crate::grade::run::process::ProcessEnd;
    use feed::wire::Call;

    #[test]
    fn endless_waits_are_recognised() {
        let killed = ProcessEnd::Killed;
        assert_eq!(classic_run().stream(1..=14).ended(killed).id(), "hangs-complete");
        let rest = || (1..=4).chain(6..=14);
        let (id, text) = classic_run().stream(rest()).ask([5]).ended(killed).cause();
        assert_eq!(id, "not-asked-again", "{text}");
        let answered = classic_run().stream(rest()).ask([5]).send([5]).write(1..=14).ended(killed);
        assert_eq!(answered.id(), "waits-for-end");
        let silent = || classic_run().connect().call(Call::Stream).send(1..=6);
        let (id, text) = silent().idle().idle().ended(killed).cause();
        assert_eq!(id, "waits-for-stream");
        assert!(
            text.contains("after 6 packets on connection 1") && text.contains("2.0 s"),
            "{text}"
        );
        let (id, text) = silent().ended(killed).cause();
        assert!(id == "too-slow" && text.contains("still sending at the time limit"), "{text}");
        let impatient = classic_run().stream(rest()).ask([5]).send([5]).idle().hang_up();
        assert_eq!(impatient.ended(ProcessEnd::Exited(1)).id(), "waits-for-end");
        let busy = classic_run().stream(1..=14).ended(killed).busy();
        assert_eq!(busy.id(), "spins");
        let lingers = classic_run().stream(1..=14).write(1..=14).ended(ProcessEnd::Lingered);
        assert_eq!(lingers.id(), "lingers");
    }

    #[test]
    fn a_slow_client_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let busy = classic_run().stream(rest()).fill([5]).connect().ended(ProcessEnd::Killed);
        let (id, text) = busy.cause();
        assert_eq!(id, "too-slow");
        assert!(text.contains("2 calls on 3 connections"), "{text}");
        let missing = || [1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14];
        let waits = || classic_run().stream(missing()).fill([4]).idle().idle();
        let (id, text) = waits().ended(ProcessEnd::Killed).cause();
        assert!(id == "too-slow" && text.contains("waits too long between its requests"), "{text}");
        // A client that has written its output has nothing left to request.
        let text =
            waits().write((1..=14).filter(|seq| *seq != 7)).ended(ProcessEnd::Killed).cause().1;
        assert!(!text.contains("waits too long between its requests"), "{text}");
    }

    #[test]
    fn giving_up_after_one_reset_is_recognised() {
        let reset = classic_run().connect().reset_by_exchange().ended(ProcessEnd::Exited(1));
        assert_eq!(reset.id(), "gives-up");
        // A busy machine may let a client end late.
        let late =
            classic_run().connect().reset_by_exchange().idle().idle().ended(ProcessEnd::Exited(0));
        assert_eq!(late.id(), "gives-up");
    }
}
