//! Causes in the end of a client: crashes, endless waits, wrong exit codes.

use super::hypotheses::CaseRun;
use super::timeouts::{left_stream, silence};
use crate::grade::observe::evidence::{
    ClientOutput, Evidence, packets, packets_of_set, packets_with_verb,
};
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::{count, took};
use feed::base::seq::Seq;
use feed::wire::Call;
use std::time::Duration;

/// Number of packets in one write above which a read with a usual buffer does not hold it.
const LARGE: usize = 60;

/// Maximum time between an event and the end of the client for which the event explains the end.
const SOON: Duration = Duration::from_millis(1500);

/// Detects that the client crashed because a read ended inside a packet.
pub(super) fn crash_in_packet(evidence: &Evidence) -> Option<String> {
    let cuts = evidence.wire.segments().any(|(_, segment)| segment.cut_before || segment.cut_after);
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| stderr_text.contains(words));
    if !cuts {
        return None;
    }
    if says(&OUT_OF_BOUNDS) {
        let text = crashed(evidence, " when a read ended inside a packet")?;
        return Some(text + "; join bytes across reads");
    }
    // A client that reads on from the wrong byte counts up to a sequence of many millions.
    let text = says(&OUT_OF_MEMORY)
        .then(|| {
            crashed(
                evidence,
                " on a number that is no sequence, after a read had ended inside a packet",
            )
        })
        .flatten()?;
    Some(text + "; join bytes across reads")
}

/// Words with which runtimes report, in lower case, that a collection has grown too large.
const OUT_OF_MEMORY: [&str; 8] = [
    "maximum size exceeded",
    "invalid array length",
    "invalid string length",
    "out of memory",
    "allocation failed",
    "memoryerror",
    "outofmemory",
    "bad_alloc",
];

/// Detects that the client crashed.
pub(super) fn crash(evidence: &Evidence) -> Option<String> {
    crashed(evidence, occasion(evidence))
}

/// Detects that the client connected and never sent a call.
pub(super) fn never_calls(evidence: &Evidence) -> Option<String> {
    let was_reset =
        evidence.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange);
    let silent = evidence.wire.calls().next().is_none() && !evidence.wire.conns.is_empty();
    (silent && !was_reset).then(|| {
        let error = last_error(evidence)
            .map_or(String::new(), |error| format!(", and reported: {error:.120}"));
        format!("the client connected and sent no call{error}")
    })
}

/// Detects that the client ended with an error code and named an error itself.
pub(super) fn reports_error(evidence: &Evidence) -> Option<String> {
    let ProcessEnd::Exited(code) = evidence.process.ended else { return None };
    let error = last_error(evidence).filter(|_| code != 0 && !is_crash_report(evidence))?;
    Some(format!(
        "the client gave up{} (exit code {code}) and reported: {error:.120}",
        occasion(evidence)
    ))
}

/// Returns the last line of the standard error output that names an error.
fn last_error(evidence: &Evidence) -> Option<String> {
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr);
    stderr_text.lines().map(str::trim).rfind(|line| is_error(line)).map(plain)
}

/// Returns whether the standard error output has the report of a crash by a runtime, not only an
/// error that the client has handled.
fn is_crash_report(evidence: &Evidence) -> bool {
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr);
    let signs = [
        "Traceback (most recent",
        "node:internal",
        "Node.js v",
        "panicked at",
        "Exception in thread",
        "Unhandled exception",
        "goroutine ",
        "uncaught",
    ];
    signs.iter().any(|sign| stderr_text.contains(sign))
}

/// Describes a crash, with the circumstance `when` and the error that the runtime printed.
fn crashed(evidence: &Evidence, when: &str) -> Option<String> {
    let how = match evidence.process.ended {
        ProcessEnd::Signal(signal) => format!("the client crashed (signal {signal})"),
        ProcessEnd::Exited(code) if code != 0 && is_crash_report(evidence) => {
            format!("the client crashed (exit code {code})")
        }
        _ => return None,
    };
    match (last_error(evidence), evidence.process.ended) {
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
    let words = [
        "Error",
        "error:",
        "FATAL ERROR",
        "Exception",
        "panicked at",
        "Traceback",
        "fault",
        "Abort",
    ];
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
pub(super) fn spins(evidence: &Evidence) -> Option<String> {
    let busy = evidence.process.busy.filter(|_| was_killed(evidence) && was_busy(evidence))?;
    Some(format!(
        "the client was computing, not waiting, for {} of {}: an endless loop, perhaps up \
         to a sequence that was misread",
        took(busy),
        took(evidence.process.took)
    ))
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
            "the stream had no gap and ended, so nothing was to be requested, and the client {how}: \
             it writes its output only after resends"
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

/// Returns the packets that were requested, not sent and are not in the output.
fn unanswered(evidence: &Evidence) -> Vec<Seq> {
    let resent = evidence.resent();
    let is_open = |seq: &Seq| !resent.contains(seq) && evidence.output_lacks(*seq);
    evidence.requested().iter().copied().filter(is_open).collect()
}

/// Detects that the client waits for an answer that is never sent.
pub(super) fn waits_for_ever(evidence: &Evidence) -> Option<String> {
    let open = unanswered(evidence);
    let waits = was_killed(evidence) && left_open(evidence).is_some();
    (waits && !open.is_empty() && !evidence.has_output()).then(|| {
        format!(
            "the client waits for {}, which the exchange does not send, and has waited {} without \
             a byte: limit the time of a wait",
            packets(open),
            took(silence(evidence))
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
const SILENT_MIN: Duration = Duration::from_secs(1);

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
    if silence < SILENT_MIN && !evidence.process.was_stuck {
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
    if let Some(text) = reads_slowly(evidence) {
        return Some(text);
    }
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
pub(super) fn gives_up(evidence: &Evidence) -> Option<String> {
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

/// Occasion on which a client should report a failure by its exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailureKind {
    /// The client could not connect.
    Unreachable,
    /// The exchange ended a connection by a reset.
    Broken,
    /// The recording is incomplete.
    Incomplete,
}

/// Returns the failure that a client should report; `None` if its recording is complete.
pub(super) fn failure_kind(evidence: &Evidence) -> Option<FailureKind> {
    let was_reset =
        evidence.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange);
    match evidence.differences.missing.is_empty() {
        _ if evidence.wire.conns.is_empty() => Some(FailureKind::Unreachable),
        true => None,
        false if was_reset => Some(FailureKind::Broken),
        false => Some(FailureKind::Incomplete),
    }
}

/// Detects that the client ended with exit code 0 although its recording is incomplete.
pub(super) fn always_zero(evidence: &Evidence) -> Option<String> {
    let kind =
        failure_kind(evidence).filter(|_| evidence.process.ended == ProcessEnd::Exited(0))?;
    let missing = || packets_of_set(&evidence.differences.missing);
    Some(match kind {
        FailureKind::Unreachable => "no exchange could be reached, and the client ended with exit \
                                     code 0, as if it had recorded everything"
            .to_owned(),
        FailureKind::Broken => format!(
            "the exchange reset the connection, {} missing, and the client ended with exit code 0, \
             as if it had recorded everything",
            with_verb(missing())
        ),
        FailureKind::Incomplete => format!(
            "{} missing, and the client ended with exit code 0, as if it had recorded everything",
            with_verb(missing())
        ),
    })
}

/// Adds the verb to a phrase about packets.
fn with_verb(packets: String) -> String {
    let verb = if packets.starts_with("packet ") { "is" } else { "are" };
    packets + " " + verb
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

/// Returns whether the client writes an output after resends, if any run had resends.
pub(super) fn writes_after_resends(runs: &[CaseRun<'_>]) -> bool {
    let mut resent = runs.iter().filter(|run| !run.evidence.resent().is_empty()).peekable();
    resent.peek().is_none()
        || resent.any(|run| run.evidence.has_output() && run.evidence.differences.rows > 0)
}

/// Returns whether the client ended a connection with resend calls itself, after all answers and
/// before the exchange did.
pub(super) fn ends_resends_itself(evidence: &Evidence) -> bool {
    let is_answered = evidence.requested().is_subset(evidence.resent());
    is_answered
        && (0..evidence.wire.conns.len()).any(|conn| {
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
    let resets = |evidence: &Evidence| -> Vec<(Duration, bool)> {
        let events = evidence.wire.events.iter();
        let resets = events.filter(|event| event.what == WireEventKind::ResetByExchange);
        let had_packets =
            |conn: usize| evidence.wire.conns.get(conn).is_some_and(|conn| conn.sent > 0);
        resets.map(|event| (event.at, had_packets(event.conn))).collect()
    };
    let Some((_, stage)) = resets(claimed).pop() else { return false };
    let mut opened = other.wire.events.iter().filter(|event| event.what == WireEventKind::Opened);
    let first = resets(other).into_iter().find(|(_, had_packets)| *had_packets == stage);
    first.is_some_and(|(at, _)| opened.any(|event| event.at > at))
}

/// Returns whether the client reported a failure of the same kind by its exit code.
pub(super) fn reports_failures(claimed: &Evidence, other: &Evidence) -> bool {
    // The exit code of a crash reports nothing about the recording.
    let reports = matches!(other.process.ended, ProcessEnd::Exited(code) if code != 0)
        && !is_crash_report(other);
    reports && failure_kind(other).is_some() && failure_kind(other) == failure_kind(claimed)
}

/// Returns whether the client wrote an output although it ended with an error code.
pub(super) fn writes_incomplete(evidence: &Evidence) -> bool {
    let is_error = matches!(evidence.process.ended, ProcessEnd::Exited(code) if code != 0);
    is_error && evidence.has_output() && evidence.differences.rows > 0
}

#[cfg(test)]
mod tests {
    use super::super::super::cases::PassCondition;
    use super::super::testing::classic_run;
    use crate::grade::run::process::ProcessEnd;
    use feed::wire::Call;

    const RESET: &str = "Traceback (most recent call last):\nConnectionResetError: [Errno 104]";

    #[test]
    fn a_crash_is_explained_with_the_runtime_s_error() {
        let stderr = "node:internal/x:1\n  throw err;\n\nRangeError [ERR_OUT_OF_RANGE]: The value \
                      of \"offset\" is out of range.\n    at Buffer.readInt32BE (x)\n\nNode.js v20";
        let cut = || classic_run().connect().call(Call::Stream).send(1..=6).pieces([7], 9);
        let crash = || cut().ended(ProcessEnd::Exited(1)).says(stderr);
        let (id, text) = crash().cause();
        assert_eq!(id, "crash-in-packet");
        assert!(text.contains("when a read ended inside a packet: RangeError"), "{text}");
        let signal = classic_run().stream(1..=14).ended(ProcessEnd::Signal(11)).cause();
        assert_eq!(signal, ("crash", "the client crashed (signal 11)".to_owned()));
        let reset =
            classic_run().stream(1..=6).connect().reset_by_exchange().ended(ProcessEnd::Exited(1));
        let (id, text) = reset.says(RESET).cause();
        assert_eq!(id, "crash");
        assert!(text.contains("had reset its connection: ConnectionResetError"), "{text}");
        let honest =
            classic_run().stream(1..=14).ended(ProcessEnd::Exited(3)).says("incomplete: 5").id();
        assert_ne!(honest, "crash");
        let handled = classic_run().stream(1..=6).ended(ProcessEnd::Exited(2));
        let (id, text) = handled.says("Error: connection ended early").cause();
        assert_eq!(id, "reports-error", "{text}");
        let large = "node:internal\nRangeError: Map maximum size exceeded";
        let large = cut().ended(ProcessEnd::Exited(7)).says(large).cause();
        assert!(large.0 == "crash-in-packet" && large.1.contains("number that is no sequence"));
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
