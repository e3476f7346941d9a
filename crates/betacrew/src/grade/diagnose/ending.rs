//! Causes in the end of a client: crashes, endless waits, wrong exit codes.

use crate::grade::observe::evidence::{Evidence, packets, packets_with_verb};
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::Call;
use std::time::Duration;

/// Number of packets in one write above which a read with a usual buffer does not hold it.
const LARGE: usize = 60;

/// Maximum time between an event and the end of the client for which the event explains the end.
const SOON: Duration = Duration::from_millis(1500);

/// Detects that the client crashed because a read ended inside a packet.
pub(crate) fn crash_in_packet(evidence: &Evidence) -> Option<String> {
    let cuts = evidence.wire.segments().any(|(_, segment)| segment.cut_before || segment.cut_after);
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr).to_lowercase();
    let short = OUT_OF_BOUNDS.iter().any(|words| stderr_text.contains(words));
    (cuts && short)
        .then(|| crashed(evidence, " when a read ended inside a packet"))
        .flatten()
        .map(|text| text + "; join bytes across reads")
}

/// Detects that the client crashed.
pub(crate) fn crash(evidence: &Evidence) -> Option<String> {
    crashed(evidence, occasion(evidence))
}

/// Describes a crash, with the circumstance `when` and the error that the runtime printed.
pub(crate) fn crashed(evidence: &Evidence, when: &str) -> Option<String> {
    let how = match evidence.process.ended {
        ProcessEnd::Signal(signal) => format!("the client crashed (signal {signal})"),
        ProcessEnd::Exited(code) if code != 0 => format!("the client crashed (exit code {code})"),
        _ => return None,
    };
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr);
    let error = stderr_text.lines().map(str::trim).rfind(|line| is_error(line)).map(plain);
    match (error, evidence.process.ended) {
        (Some(error), _) => Some(format!("{how}{when}: {error:.120}")),
        (None, ProcessEnd::Signal(_)) => Some(format!("{how}{when}")),
        // An exit code without an error message may be a correct report of an incomplete recording.
        (None, _) => None,
    }
}

/// Words with which runtimes report that a buffer has fewer bytes than were read.
const OUT_OF_BOUNDS: [&str; 6] = [
    "out of range",
    "outside buffer bounds",
    "requires a buffer",
    "out of bounds",
    "index out",
    "slice",
];

/// Returns whether a line of a runtime's crash report is the one that names the error.
pub(crate) fn is_error(line: &str) -> bool {
    let words = ["Error", "error:", "Exception", "panicked at", "Traceback", "fault", "Abort"];
    let noise = ["Traceback (most recent", "node:internal", "at ", "throw er"];
    words.iter().any(|word| line.contains(word))
        && !noise.iter().any(|start| line.starts_with(start))
}

/// Describes what the exchange did just before the crash.
fn occasion(evidence: &Evidence) -> &'static str {
    let last = evidence.wire.events.iter().rev().find(|event| {
        matches!(
            event.what,
            WireEventKind::ResetByExchange | WireEventKind::Sent { .. } | WireEventKind::Finished
        )
    });
    match last.map(|event| &event.what) {
        Some(WireEventKind::ResetByExchange) => " after the exchange had reset its connection",
        _ if evidence.wire.conns.is_empty() => " before it connected",
        Some(WireEventKind::Sent { .. } | WireEventKind::Finished) if is_large(evidence) => {
            " in a stream that is larger than a usual read"
        }
        _ => "",
    }
}

/// Returns whether a write is so large that a client needs several reads for it.
fn is_large(evidence: &Evidence) -> bool {
    evidence.wire.segments().any(|(_, segment)| segment.frames.1 - segment.frames.0 > LARGE)
}

/// Returns whether the client was killed at the time limit.
fn was_killed(evidence: &Evidence) -> bool {
    evidence.process.ended == ProcessEnd::Killed
}

/// Returns whether the client used a processor, or waited for a busy one, for most of the time.
fn was_busy(evidence: &Evidence) -> bool {
    // A client that waits for packets is busy for a few percent of the time, one that spins for all
    // of it, less what other processes take.
    let is_busy = evidence.process.busy.is_some_and(|busy| busy * 2 > evidence.process.took);
    is_busy && !evidence.process.was_stuck
}

/// Detects that the client computed until it was killed.
pub(crate) fn spins(evidence: &Evidence) -> Option<String> {
    let busy = evidence.process.busy.filter(|_| was_killed(evidence) && was_busy(evidence))?;
    Some(format!(
        "the client was computing, not waiting, for {} of {}: an endless loop, perhaps up \
         to a sequence that was misread",
        took(busy),
        took(evidence.process.took)
    ))
}

/// Detects that the client received a complete stream and waits for resends that it does not need.
pub(crate) fn hangs_complete(evidence: &Evidence) -> Option<String> {
    let streamed = evidence.streamed();
    let whole = (1..=evidence.last()).all(|seq| streamed.contains(&seq));
    let finished = evidence.wire.events.iter().any(|event| event.what == WireEventKind::Finished);
    let idle = evidence.requested().is_empty()
        && finished
        && whole
        && !evidence.has_output()
        && !was_busy(evidence);
    (idle && !matches!(evidence.process.ended, ProcessEnd::Signal(_))).then(|| {
        let how = if was_killed(evidence) { "waits for ever" } else { "wrote no output" };
        format!(
            "the stream was complete and ended, no packet was missing, and the client {how}: it \
             writes its output only after resends"
        )
    })
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

/// Detects that the client waits for an answer that is never sent, or ends without its output
/// because of one.
pub(crate) fn waits_for_answer(evidence: &Evidence) -> Option<String> {
    let resent = evidence.resent();
    let open: Vec<Seq> = evidence
        .requested()
        .iter()
        .copied()
        .filter(|seq| !resent.contains(seq) && evidence.output_lacks(*seq))
        .collect();
    let waits = was_killed(evidence) && left_open(evidence).is_some();
    let gone = matches!(evidence.process.ended, ProcessEnd::Exited(_));
    let text = match (waits, gone) {
        (true, _) => format!(
            "the client waits for ever for {}, which the exchange does not send",
            packets(open.clone())
        ),
        (_, true) => format!(
            "{} requested and not sent, and the client wrote none of the packets that it had",
            packets_with_verb(open.clone())
        ),
        (false, false) => return None,
    };
    (!open.is_empty() && !evidence.has_output()).then_some(text)
}

/// Detects that the client received all answers and waits for the exchange to end the connection.
pub(crate) fn waits_for_end(evidence: &Evidence) -> Option<String> {
    let (requested, resent) = (evidence.requested(), evidence.resent());
    let all = !requested.is_empty() && requested.iter().all(|seq| resent.contains(seq));
    let conn = left_open(evidence)?;
    (all && matches!(evidence.process.ended, ProcessEnd::Killed | ProcessEnd::Lingered)).then(|| {
        format!(
            "all answers arrived on connection {}, and the client left it open and waits for the \
             exchange to end it, which an exchange may never do",
            conn + 1
        )
    })
}

/// Detects that the client received all answers, waited for the exchange to end the connection, and
/// gave up without an output.
pub(crate) fn waited_for_end(evidence: &Evidence) -> Option<String> {
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

/// Detects that the exchange stopped sending, and the client waits for ever.
pub(crate) fn waits_for_stream(evidence: &Evidence) -> Option<String> {
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
    let brought = state.frames.len();
    Some(format!(
        "the exchange stopped sending after {brought} packets on connection {}, and the client \
         waits for ever: it has no timeout",
        conn + 1
    ))
}

/// Detects that the client has all packets and does not end.
pub(crate) fn lingers(evidence: &Evidence) -> Option<String> {
    let complete =
        was_killed(evidence) && evidence.has_output() && evidence.differences.is_complete();
    (complete || evidence.process.ended == ProcessEnd::Lingered).then(|| {
        "the output is complete, and something keeps the client running: a timer, a listener or a \
         socket that is not closed"
            .to_owned()
    })
}

/// Detects that the client was still active at the time limit.
pub(crate) fn too_slow(evidence: &Evidence) -> Option<String> {
    let last = evidence.events_before_kill().filter(|event| is_clients(&event.what)).last()?;
    let since = evidence.process.took.saturating_sub(last.at);
    let calls = evidence.wire.calls().count();
    (was_killed(evidence) && since < SOON).then(|| {
        format!(
            "the client was still active at the time limit: {calls} calls on {} connections, one \
             after another",
            evidence.wire.conns.len()
        )
    })
}

/// Returns whether an event was caused by the client.
fn is_clients(what: &WireEventKind) -> bool {
    matches!(
        what,
        WireEventKind::Opened
            | WireEventKind::Called { .. }
            | WireEventKind::ClientEnded
            | WireEventKind::Reset
    )
}

/// Detects that the client ended after one connection was reset.
pub(crate) fn gives_up(evidence: &Evidence) -> Option<String> {
    let reset = evidence
        .wire
        .events
        .iter()
        .rev()
        .find(|event| event.what == WireEventKind::ResetByExchange)?;
    let since = evidence.process.took.saturating_sub(reset.at);
    let again = evidence
        .wire
        .events
        .iter()
        .any(|event| event.what == WireEventKind::Opened && event.at > reset.at);
    let ended = matches!(evidence.process.ended, ProcessEnd::Exited(_));
    (ended && !again && since < SOON && !evidence.differences.is_complete()).then(|| {
        format!(
            "the exchange reset connection {}, and the client gave up instead of connecting again",
            reset.conn + 1
        )
    })
}

/// Detects that the client ended with exit code 0 although its recording is incomplete.
pub(crate) fn always_zero(evidence: &Evidence) -> Option<String> {
    let incomplete = !evidence.differences.missing.is_empty() || evidence.tape.is_empty();
    (evidence.process.ended == ProcessEnd::Exited(0) && incomplete).then(|| {
        "an incomplete recording, or an error, does not change the client's exit code".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::cases::PassCondition;
    use super::super::testing::classic_run;
    use crate::grade::run::process::ProcessEnd;
    use feed::wire::Call;

    #[test]
    fn a_crash_is_explained_with_the_runtime_s_error() {
        let stderr = "node:internal/x:1\n  throw err;\n\nRangeError [ERR_OUT_OF_RANGE]: The value \
                      of \"offset\" is out of range.\n    at Buffer.readInt32BE (x)\n\nNode.js v20";
        let cut = classic_run().connect().call(Call::Stream).send(1..=6).pieces([7], 9);
        let crash = || cut.ended(ProcessEnd::Exited(1)).says(stderr);
        let (id, text) = crash().cause();
        assert_eq!(id, "crash-in-packet");
        assert!(text.contains("when a read ended inside a packet: RangeError"), "{text}");
        let signal = classic_run().stream(1..=14).ended(ProcessEnd::Signal(11)).cause();
        assert_eq!(signal, ("crash", "the client crashed (signal 11)".to_owned()));
        let reset =
            classic_run().stream(1..=6).connect().reset_by_exchange().ended(ProcessEnd::Exited(1));
        let (id, text) = reset.says("ConnectionResetError: [Errno 104]").cause();
        assert_eq!(id, "crash");
        assert!(text.contains("had reset its connection: ConnectionResetError"), "{text}");
        let honest =
            classic_run().stream(1..=14).ended(ProcessEnd::Exited(3)).says("incomplete: 5").id();
        assert_ne!(honest, "crash");
    }

    #[test]
    fn endless_waits_are_recognised() {
        let killed = ProcessEnd::Killed;
        assert_eq!(classic_run().stream(1..=14).ended(killed).id(), "hangs-complete");
        let rest = || (1..=4).chain(6..=14);
        let (id, text) = classic_run().stream(rest()).ask([5]).ended(killed).cause();
        assert_eq!(id, "not-asked-again", "{text}");
        let answered = classic_run().stream(rest()).ask([5]).send([5]).write(1..=14).ended(killed);
        assert_eq!(answered.id(), "waits-for-end");
        let silent = classic_run().connect().call(Call::Stream).send(1..=6).ended(killed);
        assert_eq!(silent.id(), "waits-for-stream");
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
    }

    #[test]
    fn an_exit_code_that_is_always_zero_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let lost = || classic_run().stream(rest()).ask([5]).finished().closed().write(rest());
        assert_eq!(lost().cause_for(PassCondition::ReportsFailure).0, "always-zero");
        assert_eq!(
            lost().ended(ProcessEnd::Killed).cause_for(PassCondition::ReportsFailure).0,
            "none"
        );
    }

    #[test]
    fn giving_up_after_one_reset_is_recognised() {
        let reset = classic_run().connect().reset_by_exchange().ended(ProcessEnd::Exited(1));
        assert_eq!(reset.id(), "gives-up");
    }
}
