//! Wait of a resumed recording for the exchange to report its session.

use crate::steps::{TEST, info, resumed};
use feed::client::{IncompleteReason, Input, Output};
use std::time::Duration;

/// Lets time pass until a resumed recording is over, and returns that time with the reason. At
/// `first` its latest connection delivers a part of a message, and at `described` the rest of its
/// description, if there is one.
fn resumed_until(first: u64, described: Option<u64>) -> (Duration, Option<IncompleteReason>) {
    let mut steps = resumed(Some(TEST));
    let mut conn = 0;
    for ms in (0..60_000).step_by(10) {
        steps.now = Duration::from_millis(ms);
        let mut outputs = steps.give(Input::Wake);
        let frame = info(TEST);
        if ms == first {
            outputs.extend(steps.give(Input::Received(conn, &frame[..5])));
        } else if Some(ms) == described {
            outputs.extend(steps.give(Input::Received(conn, &frame[5..])));
        }
        for output in outputs {
            if let Output::Connect { conn: next, .. } = output {
                conn = next;
                steps.give(Input::Connected(conn));
            }
        }
        steps.calls(conn);
        if let Some(outcome) = steps.recorder.outcome() {
            return (steps.now, outcome.why);
        }
    }
    (steps.now, None)
}

#[test]
fn a_resumed_recording_waits_for_a_silent_line_up_to_the_timeout() {
    let (seconds, never) = (Duration::from_secs, u64::MAX);
    let no_session = Some(IncompleteReason::SessionUntold);
    // The line stays silent: `RecorderOptions::timeout`.
    assert_eq!(resumed_until(never, None), (seconds(10), no_session));
    // `SESSION_WAIT` counts from the first bytes.
    assert_eq!(resumed_until(5_000, None), (seconds(7), no_session));
    assert_eq!(resumed_until(8_990, None), (Duration::from_millis(10_990), no_session));
}

#[test]
fn a_recording_resumes_from_an_exchange_that_describes_itself_late() {
    for (first, described) in [(3_000, 3_010), (3_000, 4_990), (9_990, 11_980)] {
        let (ended, why) = resumed_until(first, Some(described));
        assert_ne!(why, Some(IncompleteReason::SessionUntold), "{described}: {ended:?}");
    }
}
