//! Stopping a recorder before it is done: what is waited for, what is kept, what a second stop
//! does.

use crate::by_hand::{RESEND, STREAM, Steps, range};
use crate::claims::{A, B, Lines};
use feed::client::timers::STOP_WAIT;
use feed::client::{IncompleteReason, Input, Output, RecorderEvent, RecorderOptions, Tail};
use feed::ledger::{Origin, Sink};
use feed::session::completeness::{Completeness, Facts};
use feed::wire::{Call, RawFrame, Reason};
use std::time::Duration;

fn wait(outputs: &[Output]) -> Option<Duration> {
    outputs.iter().find_map(|output| match output {
        Output::Note(RecorderEvent::Stopping { wait }) => Some(*wait),
        _ => None,
    })
}

#[test]
fn an_exchange_of_ours_is_not_waited_for() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 40);
    steps.packets(STREAM, 50, 50);
    steps.calls(RESEND);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Drop(STREAM)) && outputs.contains(&Output::Drop(RESEND)));
    assert_eq!(wait(&outputs), None);
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().why, Some(IncompleteReason::Stopped));
}

#[test]
fn what_may_be_an_original_is_waited_for_and_its_packets_are_kept() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Finish(STREAM)) && outputs.contains(&Output::Finish(RESEND)));
    assert_eq!(wait(&outputs), Some(Duration::from_secs(10)));
    assert!(steps.recorder.outcome().is_none(), "more may come");
    steps.packets(STREAM, 43, 60);
    assert_eq!(steps.calls(RESEND), [], "nothing more is asked for");
    steps.give(Input::Ended(RESEND));
    assert!(!steps.recorder.is_done());
    steps.give(Input::Ended(STREAM));
    assert!(steps.recorder.is_done());
    let outcome = steps.recorder.outcome().unwrap();
    assert_eq!((outcome.last, outcome.missing.to_string().as_str()), (60, "41-42"));
    assert_eq!(outcome.why, Some(IncompleteReason::Stopped));
}

#[test]
fn a_wait_is_over_when_the_exchange_turns_out_to_be_ours() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    steps.describe(100);
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().missing.to_string(), "41-100");
}

#[test]
fn a_wait_has_an_end_whatever_comes() {
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
    assert_eq!(steps.recorder.ledger().highest(), 11, "the last comes with the end");
}

#[test]
fn a_second_stop_waits_for_nothing() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    let outputs = steps.give(Input::Stop);
    assert!(outputs.contains(&Output::Drop(STREAM)) && outputs.contains(&Output::Drop(RESEND)));
    assert!(steps.recorder.is_done());
    assert_eq!(steps.recorder.outcome().unwrap().last, 40);
}

#[test]
fn what_is_whole_at_the_end_of_a_wait_is_complete() {
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
fn a_recording_that_has_ended_and_waits_can_be_told_to_leave() {
    let mut steps = Steps::new(RecorderOptions { last: Some(3), ..RecorderOptions::default() });
    steps.packets(STREAM, 1, 3);
    steps.give(Input::Ended(STREAM));
    assert!(steps.recorder.outcome().unwrap().is_complete() && !steps.recorder.is_done());
    assert_eq!(wait(&steps.give(Input::Stop)), Some(Duration::from_secs(10)));
    steps.give(Input::Stop);
    assert!(steps.recorder.is_done() && steps.recorder.outcome().unwrap().is_complete());
}

/// Two lines of which only A has described the session; B brings 11 to 20 of the packets.
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
fn a_stop_leaves_out_what_a_line_brought_that_did_not_tell_its_session() {
    let mut lines = unsettled();
    lines.give(Input::Ended(B));
    lines.give(Input::Ended(B + 1));
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!((lines.recording.len(), outcome.missing.to_string().as_str()), (10, "11-20"));
    assert_eq!(outcome.why, Some(IncompleteReason::Stopped));
}

#[test]
fn a_line_that_tells_its_session_while_a_stop_waits_keeps_its_packets() {
    let mut lines = unsettled();
    lines.describe(B + 1, 20);
    assert!(lines.recorder.is_done());
    lines.is_complete(20);
}

/// A follower that has 35 of 40 packets and has asked for the others.
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

/// What a follower's recording came to: how complete it is, why it ended, what is missing.
fn ended(steps: &Steps) -> (Completeness, Option<IncompleteReason>, String) {
    assert!(steps.recorder.is_done());
    let outcome = steps.recorder.outcome().unwrap();
    let facts = Facts::of(&steps.recorder, steps.recorder.ledger().recorded());
    (facts.completeness(), outcome.why, outcome.missing.to_string())
}

fn nothing_missing(why: IncompleteReason) -> (Completeness, Option<IncompleteReason>, String) {
    (Completeness::SoFar, Some(why), String::new())
}

#[test]
fn what_a_follower_has_asked_for_is_waited_for() {
    let mut steps = behind();
    let outputs = steps.give(Input::Stop);
    assert_eq!(awaits(&outputs), Some((5, STOP_WAIT)));
    assert!(outputs.contains(&Output::Drop(STREAM)) && !outputs.contains(&Output::Drop(RESEND)));
    steps.now += Duration::from_millis(400);
    steps.packets(RESEND, 11, 14);
    assert!(!steps.recorder.is_done(), "one is still on its way");
    steps.now += Duration::from_millis(400);
    assert!(steps.packets(RESEND, 15, 15).contains(&Output::Drop(RESEND)));
    assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Stopped));
}

#[test]
fn a_follower_waits_for_resends_as_long_as_the_bound_says() {
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
fn a_second_stop_waits_for_no_resends() {
    let mut steps = behind();
    steps.give(Input::Stop);
    steps.give(Input::Stop);
    assert_eq!(ended(&steps).2, "11-15");
}

#[test]
fn a_follower_that_lacks_nothing_or_is_refused_ends_at_once() {
    let mut steps = behind();
    steps.packets(RESEND, 11, 15);
    assert_eq!(awaits(&steps.give(Input::Stop)), None);
    assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Stopped));

    let mut steps = behind();
    steps.refuse(11, 5, Reason::OutOfRange);
    assert_eq!(awaits(&steps.give(Input::Stop)), None);
    assert_eq!(ended(&steps).2, "11-15");

    // Or the exchange is gone meanwhile.
    let mut steps = behind();
    steps.give(Input::Stop);
    steps.give(Input::Ended(RESEND));
    assert_eq!(ended(&steps).2, "11-15");
}

#[test]
fn what_might_have_come_late_is_asked_for_when_its_stream_is_closed() {
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

/// A sink whose reader has had enough.
struct Enough;

impl Sink for Enough {
    fn on_packets(&mut self, _: Origin, _: &[RawFrame], _: Duration) {}

    fn on_duplicates(&mut self, _: Origin, _: &[RawFrame]) -> u32 {
        0
    }

    fn is_closed(&self) -> bool {
        true
    }
}

#[test]
fn a_reader_that_has_had_enough_stops_a_follower_as_a_user_does() {
    for answered in [true, false] {
        let mut steps = behind();
        // However often it is said.
        for _ in 0..3 {
            steps.recorder.handle(Input::Wake, steps.now, &mut Enough);
        }
        assert!(steps.recorder.outcome().is_none(), "what was asked for is on its way");
        if answered {
            steps.packets(RESEND, 11, 15);
            assert_eq!(ended(&steps), nothing_missing(IncompleteReason::Enough));
        } else {
            // The user need not wait for it.
            steps.give(Input::Stop);
            let missing =
                (Completeness::Incomplete, Some(IncompleteReason::Enough), "11-15".to_owned());
            assert_eq!(ended(&steps), missing);
        }
    }
}
