//! Early stops: which connections are waited for, which packets are kept, and the effect of a
//! second stop.

use crate::by_hand::{RESEND, STREAM, Steps, range};
use crate::claims::{A, B, Lines};
use feed::client::timers::STOP_WAIT;
use feed::client::{IncompleteReason, Input, Output, RecorderEvent, RecorderOptions, Tail};
use feed::ledger::{Origin, Sink};
use feed::session::completeness::{Completeness, Facts};
use feed::wire::{Call, Messages, Reason};
use std::time::Duration;

fn wait(outputs: &[Output]) -> Option<Duration> {
    outputs.iter().find_map(|output| match output {
        Output::Note(RecorderEvent::Stopping { wait }) => Some(*wait),
        _ => None,
    })
}

#[test]
fn a_stop_closes_connections_to_a_described_exchange_at_once() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 40);
    steps.packets(STREAM, 50, 50);
    steps.calls(RESEND);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Drop(STREAM)) && outputs.contains(&Output::Drop(RESEND)));
    assert_eq!(wait(&outputs), None);
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().reason, Some(IncompleteReason::Stopped));
}

#[test]
fn a_stop_drains_an_exchange_that_may_be_an_original_and_keeps_its_packets() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Finish(STREAM)) && outputs.contains(&Output::Finish(RESEND)));
    assert_eq!(wait(&outputs), Some(Duration::from_secs(10)));
    assert!(steps.recorder.outcome().is_none(), "more packets may arrive");
    steps.packets(STREAM, 43, 60);
    assert_eq!(steps.calls(RESEND), [], "nothing more is requested");
    steps.give(Input::Ended(RESEND));
    assert!(!steps.recorder.is_done());
    steps.give(Input::Ended(STREAM));
    assert!(steps.recorder.is_done());
    let outcome = steps.recorder.outcome().unwrap();
    assert_eq!((outcome.last, outcome.missing.to_string().as_str()), (60, "41-42"));
    assert_eq!(outcome.reason, Some(IncompleteReason::Stopped));
}

#[test]
fn a_description_ends_the_wait_of_a_stop() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    steps.describe(100);
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().missing.to_string(), "41-100");
}

#[test]
fn the_wait_of_a_stop_is_limited_while_packets_keep_arriving() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 1);
    steps.give(Input::Stop);
    for seq in 2.. {
        steps.now = steps.recorder.deadline().unwrap().min(steps.now + Duration::from_secs(1));
        steps.packets(STREAM, seq, seq);
        if steps.recorder.is_done() {
            break;
        }
    }
    assert_eq!(steps.now, Duration::from_secs(10));
    assert_eq!(steps.recorder.ledger().highest(), 11, "the last packet arrives at the time limit");
}

#[test]
fn a_second_stop_closes_all_connections() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Drop(STREAM)) && outputs.contains(&Output::Drop(RESEND)));
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().last, 40);
}

#[test]
fn a_stopped_recording_that_becomes_whole_is_complete() {
    let mut steps = Steps::new(RecorderOptions { last: Some(41), ..RecorderOptions::default() });
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    steps.packets(STREAM, 41, 41);
    steps.give(Input::Ended(RESEND));
    steps.give(Input::Ended(STREAM));
    let outcome = steps.recorder.outcome().unwrap();
    assert_eq!((outcome.is_complete(), outcome.tail), (true, Tail::Confirmed));
}

#[test]
fn a_recording_that_has_ended_and_drains_can_be_stopped() {
    let mut steps = Steps::new(RecorderOptions { last: Some(3), ..RecorderOptions::default() });
    steps.packets(STREAM, 1, 3);
    steps.give(Input::Ended(STREAM));
    assert!(steps.recorder.outcome().unwrap().is_complete() && !steps.recorder.is_done());
    assert_eq!(wait(&steps.give(Input::Stop)), Some(Duration::from_secs(10)));
    steps.give(Input::Stop);
    assert!(steps.recorder.is_done() && steps.recorder.outcome().unwrap().is_complete());
}

/// Returns two stopped lines, of which only A has described the session; B has delivered packets 11
/// to 20.
fn unsettled() -> Lines {
    let mut lines = Lines::new(RecorderOptions::default(), 2);
    lines.packets(A, 1, 10);
    lines.packets(B, 11, 20);
    lines.describe(A + 1, 20);
    lines.give(Input::Stop);
    assert!(lines.recorder.outcome().is_none(), "B may be an original");
    assert_eq!(lines.recorder.session(), None, "B may play another session");
    lines
}

#[test]
fn a_stop_forgets_packets_of_a_line_that_reported_no_session() {
    let mut lines = unsettled();
    lines.give(Input::Ended(B));
    lines.give(Input::Ended(B + 1));
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!((lines.recording.len(), outcome.missing.to_string().as_str()), (10, "11-20"));
    assert_eq!(outcome.reason, Some(IncompleteReason::Stopped));
}

#[test]
fn packets_of_a_line_that_reports_its_session_during_a_stop_are_kept() {
    let mut lines = unsettled();
    lines.describe(B + 1, 20);
    assert!(lines.recorder.is_done());
    lines.is_complete(20);
}

/// Returns a follower that has 35 of 40 packets and has requested the others.
fn behind() -> Steps {
    let mut steps = Steps::following(Duration::ZERO);
    steps.packets(STREAM, 1, 10);
    steps.packets(STREAM, 16, 40);
    assert_eq!(steps.calls(RESEND), [range(11, 5)]);
    steps
}

fn awaits(outputs: &[Output]) -> Option<(u64, Duration)> {
    outputs.iter().find_map(|output| match output {
        Output::Note(RecorderEvent::AwaitingResends { packets, wait }) => Some((*packets, *wait)),
        _ => None,
    })
}

/// Returns the result of a follower's recording: how complete it is, why it ended, and which
/// packets are missing.
fn ended(steps: &Steps) -> (Completeness, Option<IncompleteReason>, String) {
    assert!(steps.recorder.is_done());
    let outcome = steps.recorder.outcome().unwrap();
    let facts = Facts::of(&steps.recorder, steps.recorder.ledger().recorded());
    (facts.completeness(), outcome.reason, outcome.missing.to_string())
}

fn nothing_missing(why: IncompleteReason) -> (Completeness, Option<IncompleteReason>, String) {
    (Completeness::SoFar, Some(why), String::new())
}

#[test]
fn a_stopped_follower_waits_for_requested_packets() {
    let mut steps = behind();
    let outputs = steps.give(Input::Stop);
    assert_eq!(awaits(&outputs), Some((5, STOP_WAIT)));
    assert!(outputs.contains(&Output::Drop(STREAM)) && !outputs.contains(&Output::Drop(RESEND)));
    steps.now += Duration::from_millis(400);
    steps.packets(RESEND, 11, 14);
    assert!(!steps.recorder.is_done(), "one packet is still on its way");
    steps.now += Duration::from_millis(400);
    assert!(steps.packets(RESEND, 15, 15).contains(&Output::Drop(RESEND)));
    assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Stopped));
}

#[test]
fn a_stopped_follower_waits_for_resends_up_to_stop_wait() {
    let mut steps = behind();
    steps.give(Input::Stop);
    assert_eq!(steps.recorder.deadline(), Some(STOP_WAIT));
    steps.now = STOP_WAIT - Duration::from_nanos(1);
    steps.packets(RESEND, 11, 12);
    assert!(!steps.recorder.is_done());
    steps.now = STOP_WAIT;
    steps.give(Input::Wake);
    let missing = (Completeness::Incomplete, Some(IncompleteReason::Stopped), "13-15".to_owned());
    assert_eq!(ended(&steps), missing);
}

#[test]
fn a_second_stop_ends_the_wait_for_resends() {
    let mut steps = behind();
    steps.give(Input::Stop);
    steps.give(Input::Stop);
    assert_eq!(ended(&steps).2, "11-15");
}

#[test]
fn a_stopped_follower_without_pending_resends_ends_at_once() {
    let mut steps = behind();
    steps.packets(RESEND, 11, 15);
    assert_eq!(awaits(&steps.give(Input::Stop)), None);
    assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Stopped));

    let mut steps = behind();
    steps.refuse(11, 5, Reason::OutOfRange);
    assert_eq!(awaits(&steps.give(Input::Stop)), None);
    assert_eq!(ended(&steps).2, "11-15");

    // The exchange closes the connection meanwhile.
    let mut steps = behind();
    steps.give(Input::Stop);
    steps.give(Input::Ended(RESEND));
    assert_eq!(ended(&steps).2, "11-15");
}

#[test]
fn young_gaps_are_requested_when_a_stop_closes_the_stream() {
    let mut steps = Steps::following(Duration::from_secs(20));
    steps.now = Duration::from_secs(1);
    steps.packets(STREAM, 1, 10);
    steps.packets(STREAM, 16, 40);
    assert_eq!(steps.calls(RESEND), [] as [Call; 0]);
    assert_eq!(awaits(&steps.give(Input::Stop)), Some((5, STOP_WAIT)));
    assert_eq!(steps.calls(RESEND), [range(11, 5)]);
    steps.packets(RESEND, 11, 15);
    assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Stopped));
}

/// Sink whose reader wants no more packets.
struct Enough;

impl Sink for Enough {
    fn on_messages(&mut self, _: Origin, _: Messages<'_>, _: Duration) {}

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }

    fn is_closed(&self) -> bool {
        true
    }
}

#[test]
fn a_closed_sink_stops_a_follower_like_a_user() {
    for answered in [true, false] {
        let mut steps = behind();
        // The sink says so with every input.
        for _ in 0..3 {
            steps.recorder.handle(Input::Wake, steps.now, &mut Enough);
        }
        assert!(steps.recorder.outcome().is_none(), "the requested packets are on their way");
        if answered {
            steps.packets(RESEND, 11, 15);
            assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Enough));
        } else {
            // A stop by the user ends the wait.
            steps.give(Input::Stop);
            let missing =
                (Completeness::Incomplete, Some(IncompleteReason::Enough), "11-15".to_owned());
            assert_eq!(ended(&steps), missing);
        }
    }
}
