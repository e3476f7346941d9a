//! Answers that come late or never: the wait of a resumed recording for its session, an exchange
//! that describes itself after it was taken for an original, and one that resends nothing.

use crate::by_hand::{RESEND, STREAM, Steps};
use crate::steps::{TEST, info, resumed};
use feed::client::{ConnId, IncompleteReason, Input, Output, RecorderOptions};
use feed::wire::{Frame, Info, encode};
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
            return (steps.now, outcome.reason);
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

/// Returns the bytes that the recorder sends on a connection now.
fn sent(steps: &mut Steps, conn: ConnId) -> Vec<u8> {
    let mut bytes = Vec::new();
    steps.recorder.transmit(conn, steps.now, &mut steps.recording, &mut bytes);
    bytes
}

/// Describe calls are answered so late that a later connection begins without one. An exchange
/// would ignore ranges there.
#[test]
fn ranges_are_requested_only_behind_a_describe_call_of_their_connection() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 10);
    steps.packets(STREAM, 16, 30);
    // Until nothing is described any more, later connections take over from those that time out.
    let (mut described, mut plain) = (RESEND, None);
    while plain.is_none() {
        steps.now = steps.recorder.deadline().unwrap();
        for output in steps.give(Input::Wake) {
            let Output::Connect { conn, .. } = output else { continue };
            steps.give(Input::Connected(conn));
            match sent(&mut steps, conn)[..] {
                [3, ..] => described = conn,
                [2, ..] => plain = Some(conn),
                _ => {}
            }
        }
    }
    let plain = plain.unwrap();
    let info = Info { session: TEST, version: 1, first: 1, last: 100 };
    steps.frames(described, &[encode(&Frame::Info(info))]);
    steps.packets(plain, 11, 15);
    let calls = sent(&mut steps, plain);
    assert!(calls.starts_with(&[3, 1, 4]), "{calls:?}");
}

/// An exchange streams with a gap, and closes every resend connection without an answer.
#[test]
fn requests_that_are_never_answered_end() {
    let mut steps = Steps::new(RecorderOptions::default());
    let (mut streams, mut resends) = (vec![STREAM], vec![RESEND]);
    for _ in 0..1000 {
        let mut outputs = Vec::new();
        for conn in streams.drain(..) {
            outputs.extend(steps.packets(conn, 1, 10));
            outputs.extend(steps.packets(conn, 16, 30));
            outputs.extend(steps.give(Input::Ended(conn)));
        }
        for conn in resends.drain(..) {
            outputs.extend(steps.give(Input::Ended(conn)));
        }
        // Time passes only if nothing can be done now.
        if outputs.is_empty()
            && let Some(deadline) = steps.recorder.deadline()
        {
            steps.now = steps.now.max(deadline);
            outputs.extend(steps.give(Input::Wake));
        }
        while let Some(output) = outputs.pop() {
            let Output::Connect { conn, .. } = output else { continue };
            outputs.extend(steps.give(Input::Connected(conn)));
            match sent(&mut steps, conn)[..] {
                [1, ..] => streams.push(conn),
                _ => resends.push(conn),
            }
        }
    }
    let outcome = steps.recorder.outcome().expect("the recorder gives up");
    assert_eq!(outcome.missing.to_string(), "11-15");
    assert_eq!(outcome.reason, Some(IncompleteReason::NotServed));
}
