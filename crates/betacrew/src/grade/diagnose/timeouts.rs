//! Causes in time-outs of the client's own: how long it waited, and what would have been enough.

use super::ending::{SILENT_MIN, is_clients};
use super::leaving::EXAMINED_MAX;
use crate::grade::cases::Case;
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::wire::{WireEvent, WireEventKind};
use crate::grade::run::exchange_host;
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::faults::scenario::{FaultAction, FaultPlace};
use feed::tape::pace::Pace;
use feed::wire::{Call, FRAME_LEN};
use std::time::Duration;

/// Minimum time without a packet after which the end of a connection can come from a time-out.
const IDLE_MIN: Duration = Duration::from_millis(50);

/// Minimum age of a connection at which its end can come from a limit on the whole time.
const AGE_MIN: Duration = Duration::from_millis(300);

/// Maximum number of packets a second at which a case counts as slow.
const SLOW_PACE: u32 = 50;

/// Factor by which a silence must be longer than a time-out to show that there is no such time-out,
/// in percent.
const LONGER: u32 = 150;

/// Pauses that the exchange of a case makes and ends by itself.
#[derive(Clone, Copy, Default, Debug)]
struct CasePauses {
    /// Longest pause in a stream, or before it.
    stream: Option<Duration>,
    /// Longest pause before an answer.
    answers: Option<Duration>,
}

impl CasePauses {
    /// Reads the pauses from the scenario of a case.
    fn of(case: &Case) -> Self {
        let resolved = case.exchange_setup.and_then(|setup| exchange_host::resolve(&setup, 0).ok());
        let Some(resolved) = resolved else { return Self::default() };
        let mut pauses = Self::default();
        if let Pace::PerSecond(rate @ 1..=SLOW_PACE) = resolved.scenario.pace {
            pauses.stream = Some(Duration::from_secs(1) / rate);
        }
        for fault in &resolved.scenario.faults {
            let FaultAction::Delay { time } = fault.action() else { continue };
            let place = match fault.place() {
                FaultPlace::Resend => &mut pauses.answers,
                FaultPlace::Connect | FaultPlace::Stream => &mut pauses.stream,
                _ => continue,
            };
            *place = (*place).max(Some(time.high()));
        }
        pauses
    }
}

/// Connection that the client ended while the exchange would have sent more.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftConnection {
    /// Index of the connection.
    conn: usize,
    /// Time from the last packet, or else from the last call, to the end.
    pub(super) idle: Duration,
    /// Time from the connection to its end.
    age: Duration,
    /// Number of packets that had arrived.
    arrived: u64,
}

/// Returns the first stream that the client ended before the exchange did.
pub(super) fn left_stream(evidence: &Evidence) -> Option<LeftConnection> {
    (0..evidence.wire.conns.len()).find_map(|conn| {
        evidence.wire.conns[conn].stream_from?;
        left(evidence, conn)
    })
}

/// Returns the end of a connection if the client ended it first.
fn left(evidence: &Evidence, conn: usize) -> Option<LeftConnection> {
    let (mut opened, mut last) = (Duration::ZERO, Duration::ZERO);
    let mut arrived = 0;
    for WireEvent { at, what, .. } in evidence.events_before_kill().filter(|e| e.conn == conn) {
        match what {
            WireEventKind::Opened => (opened, last) = (*at, *at),
            WireEventKind::Called { .. } | WireEventKind::Received(_) => last = *at,
            WireEventKind::Sent { to, .. } => {
                last = *at;
                arrived = to / FRAME_LEN as u64;
            }
            WireEventKind::ClientEnded | WireEventKind::Reset => {
                let (idle, age) = (at.saturating_sub(last), at.saturating_sub(opened));
                return Some(LeftConnection { conn, idle, age, arrived });
            }
            WireEventKind::Finished | WireEventKind::Closed | WireEventKind::ResetByExchange => {
                return None;
            }
        }
    }
    None
}

/// Returns whether the client ended by an error of its runtime, which explains the end of its
/// connections.
fn crashed(evidence: &Evidence) -> bool {
    let stderr = String::from_utf8_lossy(&evidence.process.stderr);
    matches!(evidence.process.ended, ProcessEnd::Signal(_))
        || evidence.process.ended != ProcessEnd::Exited(0)
            && stderr.lines().any(|line| super::is_error(line.trim()) && !is_timeout(line))
}

/// Returns whether an error is that of a time-out.
fn is_timeout(line: &str) -> bool {
    let line = line.to_lowercase();
    ["timeout", "timed out", "time-out"].iter().any(|words| line.contains(words))
}

/// Detects that the client ended a stream in the middle because its own time-out is too short.
pub(super) fn in_stream(case: &Case, evidence: &Evidence) -> Option<String> {
    let left = left_stream(evidence).filter(|_| !crashed(evidence))?;
    let highest = evidence.highest();
    let pause = CasePauses::of(case).stream.filter(|_| highest < evidence.last())?;
    let conn = left.conn + 1;
    if left.idle >= IDLE_MIN && left.idle < pause {
        return Some(format!(
            "the client ended connection {conn} after {} without a packet, and the exchange was \
             silent for {} and would then have gone on: its time-out must be longer than that",
            took(left.idle),
            took(pause)
        ));
    }
    (left.age >= AGE_MIN && left.idle < pause).then(|| {
        format!(
            "the client ended connection {conn} {} after it had opened it, with {} of {} packets \
             and the exchange still sending: a limit on the whole time is too short for a slow \
             exchange; limit the time without a packet, to more than {}",
            took(left.age),
            left.arrived,
            evidence.tape.len(),
            took(pause)
        )
    })
}

/// Detects that the client ended a resend connection because it waits too short for an answer.
pub(super) fn in_answers(case: &Case, evidence: &Evidence) -> Option<String> {
    let pause = CasePauses::of(case).answers?;
    let left = left_answers(evidence).filter(|_| !crashed(evidence))?;
    (left.idle >= IDLE_MIN && left.idle < pause).then(|| {
        format!(
            "the client ended connection {} {} after its last request or answer, and the exchange \
             answers after {}: its time-out must be longer than that",
            left.conn + 1,
            took(left.idle),
            took(pause)
        )
    })
}

/// Returns the first resend connection that the client ended with requests unanswered.
fn left_answers(evidence: &Evidence) -> Option<LeftConnection> {
    (0..evidence.wire.conns.len().min(EXAMINED_MAX)).find_map(|conn| {
        let calls = evidence.wire.calls().filter(|(at, ..)| *at == conn);
        let resends = calls.filter(|(_, call, late)| matches!(call, Call::Resend(_)) && !late);
        let requested = u64::try_from(resends.count()).unwrap_or(u64::MAX);
        left(evidence, conn).filter(|left| left.arrived < requested)
    })
}

/// Returns whether a client that ended a stream after some time without a packet stayed on a stream
/// of another run for longer, or one that ended it at once always does so.
pub(super) fn waits_longer(claimed: &Evidence, other: &Evidence) -> bool {
    let Some(left) = left_stream(claimed) else { return false };
    if left.idle < IDLE_MIN {
        return left_stream(other).is_some_and(|other| other.age < AGE_MIN);
    }
    left.idle >= IDLE_MIN && longest_wait(other) > left.idle * LONGER / 100
}

/// Returns the longest time between two packets of a stream.
fn longest_wait(evidence: &Evidence) -> Duration {
    let mut last: Option<(usize, Duration)> = None;
    let mut longest = Duration::ZERO;
    for event in evidence.events_before_kill() {
        let is_stream =
            evidence.wire.conns.get(event.conn).is_some_and(|conn| conn.stream_from.is_some());
        if let (WireEventKind::Sent { .. }, true) = (&event.what, is_stream) {
            if let Some((_, at)) = last.filter(|(conn, _)| *conn == event.conn) {
                longest = longest.max(event.at.saturating_sub(at));
            }
            last = Some((event.conn, event.at));
        }
    }
    longest
}

/// Returns the time since the last event on the wire, at the end of the client.
pub(super) fn silence(evidence: &Evidence) -> Duration {
    let killed = evidence.process.killed_at.zip(evidence.wire.began);
    let end = killed
        .map_or(evidence.process.took, |(at, (began, _))| at.saturating_duration_since(began));
    let last = evidence.events_before_kill().last().map_or(Duration::ZERO, |event| event.at);
    end.saturating_sub(last)
}

/// Returns whether the client did something after a stream had been silent for a time, so that it
/// has a time-out.
pub(super) fn acts_after_silence(evidence: &Evidence) -> bool {
    // Time since which the exchange should be sending.
    let mut since: Option<Duration> = None;
    evidence.events_before_kill().any(|event| {
        let was_silent = since.is_some_and(|since| event.at > since + SILENT_MIN);
        since = match event.what {
            WireEventKind::Sent { .. } | WireEventKind::Called { call: Call::Stream, .. } => {
                Some(event.at)
            }
            _ => None,
        };
        was_silent && is_clients(&event.what)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RunBuilder, classic_run, named_in};
    use feed::wire::Call;
    use std::time::Duration;

    const STALL: &str = "robustness/stall";

    fn left_after(time: Duration) -> RunBuilder {
        let begun = classic_run().connect().call(Call::Stream).send(1..=6);
        begun.waits(time).hang_up().write(1..=6).in_case(STALL)
    }

    #[test]
    fn a_short_time_out_in_a_stream_is_recognised_with_its_value() {
        let (id, text) = left_after(Duration::from_millis(480)).cause();
        assert_eq!(id, "own-timeout");
        assert!(text.contains("after 500 ms without a packet"), "{text}");
        assert!(text.contains("silent for 2.0 s"), "{text}");
        // The exchange of this case is silent for ever, so giving up is right.
        let silent = left_after(Duration::from_millis(480)).in_case("robustness/silent");
        assert_ne!(silent.id(), "own-timeout");
        assert_ne!(left_after(Duration::from_secs(3)).id(), "own-timeout", "long enough");
        let total = left_after(Duration::ZERO);
        assert_ne!(total.id(), "own-timeout", "too young");
    }

    #[test]
    fn a_limit_on_the_whole_time_is_recognised() {
        let begun = classic_run().connect().call(Call::Stream).send(1..=13);
        let (id, text) = begun.hang_up().write(1..=13).in_case("robustness/slow").cause();
        assert_eq!(id, "own-timeout");
        assert!(text.contains("with 13 of 14 packets and the exchange still sending"), "{text}");
    }

    #[test]
    fn a_longer_wait_in_another_run_withdraws_a_time_out() {
        let patient = classic_run().connect().call(Call::Stream).send(1..=6);
        let patient = patient.waits(Duration::from_secs(1)).send(7..=14).finished().closed();
        let runs = || (left_after(Duration::from_millis(480)), true);
        assert_eq!(named_in(vec![runs()]), ["own-timeout"]);
        assert_ne!(named_in(vec![runs(), (patient.write(1..=14), false)])[0], "own-timeout");
    }

    #[test]
    fn a_short_time_out_for_answers_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let asked = classic_run().stream(rest()).ask([5]).waits(Duration::from_millis(80));
        let (id, text) = asked.hang_up().write(rest()).in_case("recovery/late-answers").cause();
        assert_eq!(id, "own-timeout");
        assert!(text.contains("answers after 300 ms"), "{text}");
    }
}
