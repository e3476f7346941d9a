//! How the client ended, or did not.

use crate::grade::observe::evidence::{Evidence, packets, packets_were};
use crate::grade::observe::fields::plain;
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::Ended;
use feed::base::seq::Seq;
use feed::wire::Call;
use std::time::Duration;

/// Packets of a write that a usual read does not hold.
const LARGE: usize = 60;

/// The client ended so soon after what it saw that this is why.
const SOON: Duration = Duration::from_millis(1500);

/// It crashed where a read had ended inside a packet.
pub(crate) fn crash_in_packet(seen: &Evidence) -> Option<String> {
    let cuts = seen.wire.segments().any(|(_, segment)| segment.cut_before || segment.cut_after);
    let said = String::from_utf8_lossy(&seen.ran.stderr).to_lowercase();
    let short = OUT_OF_BOUNDS.iter().any(|words| said.contains(words));
    (cuts && short)
        .then(|| crashed(seen, " when a read ended inside a packet"))
        .flatten()
        .map(|text| text + "; bytes must be put together across reads")
}

/// It crashed.
pub(crate) fn crash(seen: &Evidence) -> Option<String> {
    crashed(seen, occasion(seen))
}

fn crashed(seen: &Evidence, when: &str) -> Option<String> {
    let how = match seen.ran.ended {
        Ended::Signal(signal) => format!("it crashed (signal {signal})"),
        Ended::Exited(code) if code != 0 => format!("it crashed (exit code {code})"),
        _ => return None,
    };
    let said = String::from_utf8_lossy(&seen.ran.stderr);
    let error = said.lines().map(str::trim).rfind(|line| is_error(line)).map(plain);
    match (error, seen.ran.ended) {
        (Some(error), _) => Some(format!("{how}{when}: {error:.120}")),
        (None, Ended::Signal(_)) => Some(format!("{how}{when}")),
        // An exit code alone may be an honest report.
        (None, _) => None,
    }
}

/// How runtimes say that there are fewer bytes than were read.
const OUT_OF_BOUNDS: [&str; 6] = [
    "out of range",
    "outside buffer bounds",
    "requires a buffer",
    "out of bounds",
    "index out",
    "slice",
];

/// Whether a line of what a runtime says of a crash is the one that says what happened.
pub(crate) fn is_error(line: &str) -> bool {
    let words = ["Error", "error:", "Exception", "panicked at", "Traceback", "fault", "Abort"];
    let noise = ["Traceback (most recent", "node:internal", "at ", "throw er"];
    words.iter().any(|word| line.contains(word))
        && !noise.iter().any(|start| line.starts_with(start))
}

/// What the exchange did right before.
fn occasion(seen: &Evidence) -> &'static str {
    let last = seen.wire.events.iter().rev().find(|event| {
        matches!(
            event.what,
            WireEventKind::ResetByExchange | WireEventKind::Sent { .. } | WireEventKind::Finished
        )
    });
    match last.map(|event| &event.what) {
        Some(WireEventKind::ResetByExchange) => " after the exchange had reset its connection",
        _ if seen.wire.conns.is_empty() => " before it connected",
        Some(WireEventKind::Sent { .. } | WireEventKind::Finished) if is_large(seen) => {
            " in a stream that no usual read holds at once"
        }
        _ => "",
    }
}

/// Whether some write is so large that a client needs several reads for it.
fn is_large(seen: &Evidence) -> bool {
    seen.wire.segments().any(|(_, segment)| segment.frames.1 - segment.frames.0 > LARGE)
}

fn was_killed(seen: &Evidence) -> bool {
    seen.ran.ended == Ended::Killed
}

/// It used processors, or waited for one that others used, for most of the time.
fn was_busy(seen: &Evidence) -> bool {
    seen.ran.busy.is_some_and(|busy| busy * 2 > seen.ran.took)
}

/// It was busy until it was ended.
pub(crate) fn spins(seen: &Evidence) -> Option<String> {
    let busy = seen.ran.busy.filter(|_| was_killed(seen) && was_busy(seen))?;
    Some(format!(
        "it was not waiting but computing, for {:.1} of {:.1} s: a loop that does not end, perhaps \
         up to a sequence that was misread",
        busy.as_secs_f64(),
        seen.ran.took.as_secs_f64()
    ))
}

/// Nothing was missing, and it waits all the same.
pub(crate) fn hangs_complete(seen: &Evidence) -> Option<String> {
    let streamed = seen.streamed();
    let whole = (1..=seen.last()).all(|seq| streamed.contains(&seq));
    let finished = seen.wire.events.iter().any(|event| event.what == WireEventKind::Finished);
    let idle =
        seen.asked().is_empty() && finished && whole && !seen.has_output() && !was_busy(seen);
    (idle && !matches!(seen.ran.ended, Ended::Signal(_))).then(|| {
        let how = if was_killed(seen) { "it waits for ever" } else { "it wrote nothing" };
        format!(
            "the stream was complete and ended; nothing was missing to ask for, and {how}: it \
             writes its output only after resends"
        )
    })
}

/// Resend calls that were answered and whose connection the client left open.
fn left_open(seen: &Evidence) -> Option<usize> {
    (0..seen.wire.conns.len()).find(|conn| {
        let events = || seen.deeds().filter(|event| event.conn == *conn);
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

/// An answer never came, and it waits for it.
pub(crate) fn waits_for_answer(seen: &Evidence) -> Option<String> {
    let resent = seen.resent();
    let open: Vec<Seq> = seen
        .asked()
        .iter()
        .copied()
        .filter(|seq| !resent.contains(seq) && seen.misses(*seq))
        .collect();
    let waits = was_killed(seen) && left_open(seen).is_some();
    let gone = matches!(seen.ran.ended, Ended::Exited(_));
    let text = match (waits, gone) {
        (true, _) => format!("it waits for ever for {}, which never came", packets(open.clone())),
        (_, true) => format!(
            "{} never sent when it asked, and it wrote nothing of what it had",
            packets_were(open.clone())
        ),
        (false, false) => return None,
    };
    (!open.is_empty() && !seen.has_output()).then_some(text)
}

/// All answers came, and it waits for the exchange to end the connection.
pub(crate) fn waits_for_end(seen: &Evidence) -> Option<String> {
    let (asked, resent) = (seen.asked(), seen.resent());
    let all = !asked.is_empty() && asked.iter().all(|seq| resent.contains(seq));
    let conn = left_open(seen)?;
    (all && matches!(seen.ran.ended, Ended::Killed | Ended::Lingered)).then(|| {
        format!(
            "all answers had come on connection {}, and it left that open and waits for the \
             exchange to end it, which an exchange may never do",
            conn + 1
        )
    })
}

/// All answers came, and it lost its patience waiting for the exchange to end the connection.
pub(crate) fn waited_for_end(seen: &Evidence) -> Option<String> {
    let (asked, resent) = (seen.asked(), seen.resent());
    let all = !asked.is_empty() && asked.iter().all(|seq| resent.contains(seq));
    // The last thing that was sent, unless the exchange has ended the connection since.
    let mut last = None;
    let left = seen.deeds().find_map(|event| {
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
    (all && !seen.has_output() && seen.ran.ended != Ended::Exited(0)).then(|| {
        format!(
            "all answers had come on connection {}, and it went on waiting for {} ms for the \
             exchange to end that, which an exchange may never do",
            left.conn + 1,
            waited.as_millis()
        )
    })
}

/// A client that waits for longer than this waits for something.
const PATIENT: Duration = Duration::from_millis(800);

/// The exchange fell silent, and it waits for ever.
pub(crate) fn waits_for_stream(seen: &Evidence) -> Option<String> {
    let silent = seen.wire.conns.iter().enumerate().find(|(conn, state)| {
        let ended = seen.deeds().any(|event| {
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
    let (conn, state) = silent.filter(|_| was_killed(seen))?;
    let brought = state.frames.len();
    Some(format!(
        "the exchange fell silent after {brought} packets on connection {}, and it waits for ever: \
         it has no timeout",
        conn + 1
    ))
}

/// It has all and does not end.
pub(crate) fn lingers(seen: &Evidence) -> Option<String> {
    let complete = was_killed(seen) && seen.has_output() && seen.differences.complete();
    (complete || seen.ran.ended == Ended::Lingered).then(|| {
        "its output was complete, and something keeps it running: a timer, a listener or a socket \
         that is not closed"
            .to_owned()
    })
}

/// It was not idle when its time was over.
pub(crate) fn too_slow(seen: &Evidence) -> Option<String> {
    let last = seen.deeds().filter(|event| is_clients(&event.what)).last()?;
    let since = seen.ran.took.saturating_sub(last.at);
    let calls = seen.wire.calls().count();
    (was_killed(seen) && since < SOON).then(|| {
        format!(
            "it was still at work when its time was over: {calls} calls on {} connections, one \
             after the other",
            seen.wire.conns.len()
        )
    })
}

fn is_clients(what: &WireEventKind) -> bool {
    matches!(
        what,
        WireEventKind::Opened
            | WireEventKind::Called { .. }
            | WireEventKind::ClientEnded
            | WireEventKind::Reset
    )
}

/// One failed connection is the end of it.
pub(crate) fn gives_up(seen: &Evidence) -> Option<String> {
    let reset =
        seen.wire.events.iter().rev().find(|event| event.what == WireEventKind::ResetByExchange)?;
    let since = seen.ran.took.saturating_sub(reset.at);
    let again = seen
        .wire
        .events
        .iter()
        .any(|event| event.what == WireEventKind::Opened && event.at > reset.at);
    let ended = matches!(seen.ran.ended, Ended::Exited(_));
    (ended && !again && since < SOON && !seen.differences.complete()).then(|| {
        format!(
            "the exchange reset connection {}, and it gave up instead of trying again",
            reset.conn + 1
        )
    })
}

/// It says that all is well when it is not.
pub(crate) fn always_zero(seen: &Evidence) -> Option<String> {
    let incomplete = !seen.differences.missing.is_empty() || seen.tape.is_empty();
    (seen.ran.ended == Ended::Exited(0) && incomplete).then(|| {
        "what it could not get, or an error that it met, does not become its exit code".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::cases::Passes;
    use super::super::testing::story;
    use crate::grade::run::process::Ended;
    use feed::wire::Call;

    #[test]
    fn crashes_say_what_the_runtime_said() {
        let stderr = "node:internal/x:1\n  throw err;\n\nRangeError [ERR_OUT_OF_RANGE]: The value \
                      of \"offset\" is out of range.\n    at Buffer.readInt32BE (x)\n\nNode.js v20";
        let cut = story().connect().call(Call::Stream).send(1..=6).pieces([7], 9);
        let crash = || cut.ended(Ended::Exited(1)).says(stderr);
        let (id, text) = crash().cause();
        assert_eq!(id, "crash-in-packet");
        assert!(text.contains("when a read ended inside a packet: RangeError"), "{text}");
        let signal = story().stream(1..=14).ended(Ended::Signal(11)).cause();
        assert_eq!(signal, ("crash", "it crashed (signal 11)".to_owned()));
        let reset = story().stream(1..=6).connect().reset_by_exchange().ended(Ended::Exited(1));
        let (id, text) = reset.says("ConnectionResetError: [Errno 104]").cause();
        assert_eq!(id, "crash");
        assert!(text.contains("had reset its connection: ConnectionResetError"), "{text}");
        let honest = story().stream(1..=14).ended(Ended::Exited(3)).says("incomplete: 5").id();
        assert_ne!(honest, "crash");
    }

    #[test]
    fn waiting_for_what_never_comes() {
        let killed = Ended::Killed;
        assert_eq!(story().stream(1..=14).ended(killed).id(), "hangs-complete");
        let rest = || (1..=4).chain(6..=14);
        let (id, text) = story().stream(rest()).ask([5]).ended(killed).cause();
        assert_eq!(id, "not-asked-again", "{text}");
        let answered = story().stream(rest()).ask([5]).send([5]).write(1..=14).ended(killed);
        assert_eq!(answered.id(), "waits-for-end");
        let silent = story().connect().call(Call::Stream).send(1..=6).ended(killed);
        assert_eq!(silent.id(), "waits-for-stream");
        let impatient = story().stream(rest()).ask([5]).send([5]).idle().hang_up();
        assert_eq!(impatient.ended(Ended::Exited(1)).id(), "waits-for-end");
        let busy = story().stream(1..=14).ended(killed).busy();
        assert_eq!(busy.id(), "spins");
        let lingers = story().stream(1..=14).write(1..=14).ended(Ended::Lingered);
        assert_eq!(lingers.id(), "lingers");
    }

    #[test]
    fn still_at_work() {
        let rest = || (1..=4).chain(6..=14);
        let busy = story().stream(rest()).fill([5]).connect().ended(Ended::Killed);
        let (id, text) = busy.cause();
        assert_eq!(id, "too-slow");
        assert!(text.contains("2 calls on 3 connections"), "{text}");
    }

    #[test]
    fn a_code_that_is_always_zero() {
        let rest = || (1..=4).chain(6..=14);
        let lost = || story().stream(rest()).ask([5]).finished().closed().write(rest());
        assert_eq!(lost().cause_for(Passes::Admits).0, "always-zero");
        assert_eq!(lost().ended(Ended::Killed).cause_for(Passes::Admits).0, "none");
    }

    #[test]
    fn one_reset_is_enough_for_some() {
        let reset = story().connect().reset_by_exchange().ended(Ended::Exited(1));
        assert_eq!(reset.id(), "gives-up");
    }
}
