//! Causes in crashes and in errors that the client reports.

use super::framing::joins_parts;
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;

/// Number of packets in one write above which a read with a usual buffer does not hold it.
const LARGE: usize = 60;

/// Detects that the client crashed because a read ended inside a packet.
pub(super) fn crash_in_packet(evidence: &Evidence) -> Option<String> {
    let cuts = evidence.wire.segments().any(|(_, segment)| segment.cut_before || segment.cut_after);
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| stderr_text.contains(words));
    if !cuts {
        return None;
    }
    // An error about a byte comes from a request, not from the reading of a packet.
    let is_request = says(&BYTE_LIMITS);
    if says(&OUT_OF_BOUNDS) && !is_request {
        let text = crashed(evidence, " when a read ended inside a packet")?;
        return Some(text + "; join bytes across reads");
    }
    // A client that reads on from the wrong byte counts up to a sequence of many millions.
    let text = (is_request || says(&OUT_OF_MEMORY))
        .then(|| {
            crashed(
                evidence,
                " on a number that is no sequence, after a read had ended inside a packet",
            )
        })
        .flatten()?;
    Some(text + "; join bytes across reads")
}

/// Limits of a byte, as runtimes name them.
const BYTE_LIMITS: [&str; 2] = ["<= 127", "<= 255"];

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
    (sends_no_call(evidence) && !was_reset).then(|| {
        let error = last_error(evidence)
            .map_or(String::new(), |error| format!(", and reported: {error:.120}"));
        format!("the client connected and sent no call{error}")
    })
}

/// Returns whether the client connected and sent no call.
pub(super) fn sends_no_call(evidence: &Evidence) -> bool {
    evidence.wire.calls().next().is_none() && !evidence.wire.conns.is_empty()
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
    let mut errors = stderr_text.lines().map(str::trim).filter(|line| is_error(line)).rev();
    let last = errors.clone().next()?;
    // An error about bytes explains more than one that follows from it.
    let of_bytes = |line: &&str| OUT_OF_BOUNDS.iter().any(|w| line.to_lowercase().contains(w));
    Some(plain(errors.find(of_bytes).unwrap_or(last)))
}

/// Returns whether the standard error output has the report of a crash by a runtime, not only an
/// error that the client has handled.
pub(super) fn is_crash_report(evidence: &Evidence) -> bool {
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
pub(crate) fn crashed(evidence: &Evidence, when: &str) -> Option<String> {
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
        _ => "",
    }
}

/// Returns whether another run shows that a crash is no failure: the client ends in the same way
/// when it has written everything.
pub(super) fn crashes_when_complete(claimed: &Evidence, other: &Evidence) -> bool {
    other.has_output()
        && other.differences.is_complete()
        && other.process.ended == claimed.process.ended
        && last_error(other).is_some()
        && last_error(other) == last_error(claimed)
}

/// Returns whether a crash in a cut packet has another reason: the client joins the parts of other
/// packets, or crashes in the same way where no packet is cut.
pub(super) fn crashes_otherwise(claimed: &Evidence, other: &Evidence) -> bool {
    let words = |evidence| last_error(evidence).map(|e| e.replace(|c: char| c.is_numeric(), ""));
    let is_cut = other.wire.segments().any(|(_, s)| s.cut_before || s.cut_after);
    let is_same = is_crash_report(other) && words(other) == words(claimed);
    // A client with a small buffer cuts large writes by itself.
    let is_large = other.wire.segments().any(|(_, s)| s.frames.1 - s.frames.0 > LARGE);
    (is_same && !is_cut && !is_large && other.process.ended == claimed.process.ended)
        || joins_parts(claimed, other)
}

/// Returns whether the run gives a client an occasion to crash in a cut packet, and it crashed, or
/// computed until it was killed, as it does on a misread number.
pub(super) fn may_crash_in_packet(evidence: &Evidence) -> bool {
    super::framing::may_not_join(evidence) && ends_abruptly(evidence)
}

/// Returns whether the client crashed, or computed until it was killed.
pub(super) fn ends_abruptly(evidence: &Evidence) -> bool {
    match evidence.process.ended {
        ProcessEnd::Signal(_) => true,
        ProcessEnd::Killed => super::ending::spins(evidence).is_some(),
        ProcessEnd::Exited(_) | ProcessEnd::Lingered => is_crash_report(evidence),
    }
}

#[cfg(test)]
mod tests {
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
        let byte = "node:internal\nRangeError: out of range. It must be <= 255. Received 256";
        let (id, text) = cut().ended(ProcessEnd::Exited(1)).says(byte).cause();
        assert!(
            id == "crash-in-packet" && text.contains("on a number that is no sequence"),
            "{text}"
        );
        let large = "node:internal\nRangeError: Map maximum size exceeded";
        let large = cut().ended(ProcessEnd::Exited(7)).says(large).cause();
        assert!(large.0 == "crash-in-packet" && large.1.contains("number that is no sequence"));
    }
}
