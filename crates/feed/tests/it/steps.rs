//! Recorder step by step: one input, and the calls that follow.

use crate::by_hand::{RESEND, STREAM, Steps, range};
use feed::base::seq::{SeqRange, SeqSet};
use feed::client::{
    ConnId, IncompleteReason, Input, Output, PassEnd, Recorder, RecorderOptions, Tail,
};
use feed::ledger::{Limits, Origin, Sink};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::{Call, Frame, Info, Messages, RawFrame, Reason, SessionId, encode};
use std::time::Duration;

/// Sink that notes the requests reported to it.
#[derive(Default)]
struct RequestNotes {
    requested: Vec<SeqRange>,
}

impl Sink for RequestNotes {
    fn on_messages(&mut self, _: Origin, _: Messages<'_>, _: Duration) {}

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }

    fn on_request(&mut self, piece: SeqRange, _: Duration) {
        self.requested.push(piece);
    }
}

#[test]
fn no_more_is_in_flight_than_the_window_allows() {
    let mut steps = Steps::new(RecorderOptions { window: 7, ..RecorderOptions::default() });
    steps.describe(100);
    steps.packets(STREAM, 1, 10);
    steps.packets(STREAM, 30, 30);
    steps.packets(STREAM, 50, 50);
    assert_eq!(steps.calls(RESEND), [range(11, 7)]);
    assert_eq!(steps.calls(RESEND), []);
    steps.packets(RESEND, 11, 13);
    assert_eq!(steps.calls(RESEND), [range(18, 3)]);
}

#[test]
fn an_answer_that_would_open_one_gap_too_many_ends_its_request() {
    let limits = Limits { max_gaps: 1, ..Limits::default() };
    let mut steps = Steps::new(RecorderOptions { window: 1, limits, ..RecorderOptions::default() });
    steps.describe(9);
    steps.packets(STREAM, 1, 4);
    steps.packets(STREAM, 9, 9);
    assert_eq!(steps.calls(RESEND), [range(5, 1)]);
    // The exchange sends another packet instead, which would split the only gap that may be open.
    steps.packets(RESEND, 7, 7);
    assert_eq!(steps.recorder.ledger().gaps().missing(), 4, "the packet is ignored");
    assert_eq!(steps.calls(RESEND), [range(6, 1)], "the window is free again");
    steps.packets(RESEND, 8, 8);
    assert_eq!(steps.recorder.ledger().gaps().missing(), 3, "a packet at the gap's end is not");
}

#[test]
fn the_sink_is_told_each_requested_range() {
    let mut steps = Steps::new(RecorderOptions { window: 7, ..RecorderOptions::default() });
    steps.describe(100);
    steps.packets(STREAM, 1, 10);
    steps.packets(STREAM, 13, 14);
    steps.packets(STREAM, 30, 30);
    let mut notes = RequestNotes::default();
    steps.recorder.transmit(RESEND, steps.now, &mut notes, &mut Vec::new());
    let range = |first, last| SeqRange::new(first, last).unwrap();
    assert_eq!(notes.requested, [range(11, 12), range(15, 19)]);
    steps.recorder.transmit(RESEND, steps.now, &mut notes, &mut Vec::new());
    assert_eq!(notes.requested.len(), 2, "nothing more");
}

#[test]
fn a_refusal_of_too_many_halves_the_requested_range() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 1);
    steps.packets(STREAM, 100, 100);
    assert_eq!(steps.calls(RESEND), [range(2, 98)]);
    steps.refuse(2, 98, Reason::TooMany);
    assert_eq!(steps.calls(RESEND), [range(2, 49), range(51, 49)]);
}

#[test]
fn a_request_refused_by_quota_is_repeated_after_a_pause() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(3);
    steps.packets(STREAM, 1, 1);
    steps.packets(STREAM, 3, 3);
    assert_eq!(steps.calls(RESEND), [range(2, 1)]);
    steps.refuse(2, 1, Reason::Quota);
    assert_eq!(steps.calls(RESEND), [], "not at once");
    steps.now = steps.recorder.deadline().unwrap();
    assert!(steps.now >= Duration::from_millis(50));
    steps.give(Input::Wake);
    assert_eq!(steps.calls(RESEND), [range(2, 1)]);
}

#[test]
fn refusals_without_a_request_are_garbage() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 1);
    for seq in 1..1000 {
        steps.refuse(seq, 1, Reason::AgedOut);
    }
    assert_eq!(steps.recorder.violations().undecodable, 65, "the connection is cut after that");
    steps.packets(STREAM, 100, 100);
    assert_eq!(steps.recorder.ledger().gaps().missing(), 98);
}

#[test]
fn a_connection_is_cut_after_too_many_bad_frames_in_a_row() {
    let bad = [0xff; 17];
    for (count, cut) in [(64, false), (65, true)] {
        let mut steps = Steps::new(RecorderOptions::default());
        steps.frames(STREAM, &vec![bad; count]);
        let good = steps.tape.frames()[0];
        for _ in 0..10 {
            // A good frame resets the count of bad ones.
            steps.frames(STREAM, &[good]);
            steps.frames(STREAM, &[bad; 60]);
        }
        assert_eq!(steps.recorder.ledger().highest(), u64::from(!cut), "{count}");
    }
}

#[test]
fn packets_up_to_the_described_end_are_missing_after_a_stop() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 40);
    steps.give(Input::Stop);
    let outcome = steps.recorder.outcome().unwrap();
    assert_eq!((outcome.missing.to_string().as_str(), outcome.last), ("41-100", 100));
    assert_eq!((outcome.tail, outcome.reason), (Tail::Confirmed, Some(IncompleteReason::Stopped)));
}

#[test]
fn a_stream_that_ends_inside_a_packet_is_cut_off() {
    let mut steps = Steps::new(RecorderOptions { last: Some(100), ..RecorderOptions::default() });
    let bytes = steps.tape.frames()[..3].as_flattened()[..40].to_vec();
    steps.give(Input::Received(STREAM, &bytes));
    let outputs = steps.give(Input::Ended(STREAM));
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Note(feed::client::RecorderEvent::PassEnded {
            end: PassEnd::CutOff,
            delivered: 2,
            ..
        })
    )));
    assert_eq!(steps.recorder.passes().complete, 0);
}

/// Returns a recorder that resumes a recording of ten packets, three of them missing.
pub(crate) fn resumed(session: Option<SessionId>) -> Steps {
    let missing = "3,5-6".parse().unwrap();
    let mut steps = Steps {
        recorder: Recorder::resume(RecorderOptions::default(), 1, 10, &missing, session.map(known)),
        recording: MemoryRecording::new(),
        now: Duration::ZERO,
        tape: Tape::random(100, 1),
    };
    steps.give(Input::Wake);
    steps.give(Input::Connected(0));
    steps
}

/// Returns the description of a session of which only the id is known.
fn known(session: SessionId) -> Info {
    Info { session, version: 1, first: 1, last: 0 }
}

pub(crate) fn info(session: SessionId) -> RawFrame {
    encode(&Frame::Info(Info { session, version: 1, first: 1, last: 12 }))
}

pub(crate) const TEST: SessionId = SessionId::of(*b"TEST");

#[test]
fn a_resumed_recording_requests_nothing_before_the_session_is_known() {
    let mut steps = resumed(None);
    assert_eq!(steps.calls(0), [Call::Describe { version: 1 }]);
    assert_eq!(steps.calls(0), []);
    steps.frames(0, &[info(TEST)]);
    assert_eq!(steps.calls(0), [range(3, 1), range(5, 2), range(11, 2)]);
}

#[test]
fn a_resumed_recording_of_a_known_session_requests_at_once() {
    let mut steps = resumed(Some(TEST));
    assert_eq!(steps.calls(0), [Call::Describe { version: 1 }, range(3, 1), range(5, 2)]);
    steps.frames(0, &[info(TEST)]);
    assert_eq!(steps.calls(0), [range(11, 2)]);
    steps.packets(0, 3, 3);
    steps.packets(0, 5, 6);
    steps.packets(0, 11, 12);
    assert!(steps.recorder.outcome().unwrap().is_complete());
}

#[test]
fn early_answers_are_recorded_only_of_the_known_session() {
    let packet = Tape::random(100, 1).frames()[2];
    for frames in [&[info(SessionId::of(*b"ELSE")), packet][..], &[packet], &[packet, info(TEST)]] {
        let mut steps = resumed(Some(TEST));
        steps.calls(0);
        steps.frames(0, frames);
        steps.frames(0, &[packet]);
        assert_eq!(steps.recorder.ledger().gaps().missing(), 3, "{frames:?}");
    }
}

#[test]
fn a_recording_does_not_resume_from_an_exchange_that_reports_no_session() {
    let mut steps = resumed(Some(TEST));
    assert_eq!(steps.calls(0).len(), 3);
    let mut conns = vec![];
    while !steps.recorder.is_done() {
        steps.now = steps.recorder.deadline().unwrap();
        for output in steps.give(Input::Wake) {
            if let Output::Connect { conn, .. } = output {
                conns.push(conn);
            }
        }
        for conn in std::mem::take(&mut conns) {
            steps.give(Input::Connected(conn));
            let calls = steps.calls(conn);
            let ranges = calls.iter().any(|call| matches!(call, Call::ResendRange { .. }));
            assert!(!ranges, "{calls:?}");
        }
    }
    assert_eq!(steps.recorder.outcome().unwrap().reason, Some(IncompleteReason::SessionUntold));
}

/// Lets time pass until the recorder finishes the resend connection, a minute at most, and returns
/// the time. `each` runs every tenth of a second.
fn time_until_finish(steps: &mut Steps, mut each: impl FnMut(&mut Steps)) -> Duration {
    while steps.now < Duration::from_secs(60) {
        steps.now += Duration::from_millis(100);
        let outputs = steps.give(Input::Wake);
        if outputs.iter().any(|output| matches!(output, Output::Finish(RESEND))) {
            break;
        }
        steps.calls(RESEND);
        each(steps);
    }
    steps.now
}

#[test]
fn useless_answers_do_not_count_as_activity() {
    let useless: [fn(&mut Steps); 4] = [
        |steps| steps.refuse(2, 0, Reason::AgedOut),
        |steps| drop(steps.packets(RESEND, 1, 1)),
        |steps| drop(steps.frames(RESEND, &[encode(&Frame::Heartbeat(100))])),
        |steps| steps.describe(100),
    ];
    for answer in useless {
        let mut steps = Steps::new(RecorderOptions::default());
        steps.describe(100);
        steps.packets(STREAM, 1, 1);
        steps.packets(STREAM, 100, 100);
        let gave_up = time_until_finish(&mut steps, answer);
        assert!(gave_up < Duration::from_secs(1), "{gave_up:?}");
    }
}

#[test]
fn duplicates_do_not_count_as_answers_to_later_requests() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(100);
    steps.packets(STREAM, 1, 1);
    steps.packets(STREAM, 10, 10);
    assert_eq!(steps.calls(RESEND), [range(2, 8)]);
    steps.packets(RESEND, 2, 9);
    steps.packets(RESEND, 2, 9);
    steps.packets(STREAM, 15, 15);
    assert_eq!(steps.calls(RESEND), [range(11, 4)]);
    let deadline = steps.recorder.deadline().unwrap();
    assert!(deadline < Duration::from_secs(1), "{deadline:?}");
}

#[test]
fn a_described_exchange_is_closed_at_once_at_the_end() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(3);
    steps.packets(STREAM, 1, 3);
    let outputs = steps.give(Input::Ended(STREAM));
    assert!(outputs.contains(&Output::Drop(RESEND)) && steps.recorder.is_done());
}

#[test]
fn an_exchange_that_may_be_an_original_is_drained_at_the_end() {
    let mut steps = Steps::new(RecorderOptions { last: Some(3), ..RecorderOptions::default() });
    steps.packets(STREAM, 1, 3);
    let outputs = steps.give(Input::Ended(STREAM));
    assert!(outputs.contains(&Output::Finish(RESEND)) && !steps.recorder.is_done());
    steps.give(Input::Ended(RESEND));
    assert!(steps.recorder.is_done());
}

/// Packets missed by a stream are requested while the passes that the unconfirmed end calls for
/// run.
#[test]
fn passes_do_not_wait_for_answers() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.packets(STREAM, 1, 40);
    steps.packets(STREAM, 42, 100);
    let outputs = steps.give(Input::Ended(STREAM));
    let connects = |outputs: &[Output]| {
        outputs.iter().filter(|it| matches!(it, Output::Connect { .. })).count()
    };
    assert_eq!(connects(&outputs), 0, "the exchange may still describe itself");
    assert_eq!(steps.calls(RESEND), [Call::Resend(41)]);
    steps.now = steps.recorder.deadline().unwrap();
    let outputs = steps.give(Input::Wake);
    assert!(connects(&outputs) > 1 && !outputs.contains(&Output::Finish(RESEND)));
    // The exchange may serve one connection at a time.
    let outputs = steps.packets(RESEND, 41, 41);
    assert!(outputs.contains(&Output::Finish(RESEND)));
}

#[test]
fn halving_the_requested_range_comes_to_an_end() {
    let mut steps = Steps::new(RecorderOptions { retries: 1, ..RecorderOptions::default() });
    steps.describe(100);
    steps.packets(STREAM, 1, 1);
    steps.packets(STREAM, 100, 100);
    let mut calls = 0;
    for _ in 0..10_000 {
        for call in steps.calls(RESEND) {
            if let Call::ResendRange { first, count } = call {
                calls += 1;
                steps.refuse(first, count, Reason::TooMany);
            }
        }
        steps.now += Duration::from_millis(10);
        steps.give(Input::Wake);
    }
    assert!(calls < 400, "{calls}");
}

#[test]
fn extended_messages_before_a_description_are_garbage() {
    for frame in [Frame::Heartbeat(50), Frame::End(50)] {
        let mut steps = Steps::new(RecorderOptions::default());
        steps.frames(RESEND, &[encode(&frame)]);
        assert_eq!(steps.recorder.ledger().end(), None);
        assert_eq!(steps.recorder.violations().undecodable, 1);
    }
}

#[test]
fn a_growing_end_is_one_gap() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(10);
    steps.packets(STREAM, 1, 1);
    steps.give(Input::Ended(STREAM));
    for last in 11..500 {
        steps.describe(last);
    }
    assert_eq!(steps.recorder.ledger().gaps().len(), 1);
}

#[test]
fn an_empty_description_does_not_end_a_stream_without_packets() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.describe(0);
    steps.now = Duration::from_millis(400);
    steps.give(Input::Wake);
    assert_eq!(steps.recorder.outcome(), None);
    steps.packets(STREAM, 1, 3);
    steps.give(Input::Ended(STREAM));
    assert_ne!(steps.recorder.outcome().map(|outcome| outcome.last), Some(0));
}

#[test]
fn another_session_ends_the_recording_while_connections_open() {
    let mut steps = Steps::new(RecorderOptions::default());
    steps.recorder =
        Recorder::resume(RecorderOptions::default(), 3, 10, &SeqSet::new(), Some(known(TEST)));
    steps.give(Input::Wake);
    steps.give(Input::Connected(2));
    // Half a packet follows the description.
    let bytes = [&info(SessionId::of(*b"ELSE"))[..], b"SYMBB"].concat();
    let outputs = steps.give(Input::Received(2, &bytes));
    assert!(outputs.contains(&Output::Drop(0)) && outputs.contains(&Output::Drop(1)));
    assert_eq!(steps.recorder.outcome().unwrap().reason, Some(IncompleteReason::OtherSession));
}

/// Runs a recorder with passes side by side, of which the connections `reached` open; after that no
/// connection opens any more. Returns the reason why it is incomplete.
fn reason_with_two_open_passes(reached: [ConnId; 2]) -> Option<IncompleteReason> {
    let mut steps = Steps::new(RecorderOptions::default());
    let options = RecorderOptions { classic: true, retries: 0, ..RecorderOptions::default() };
    steps.recorder = Recorder::resume(options, 1, 12_576, &SeqSet::new(), None);
    let mut conns: Vec<(ConnId, bool)> = Vec::new();
    let give = |steps: &mut Steps, input: Input<'_>, conns: &mut Vec<(ConnId, bool)>| {
        for output in steps.give(input) {
            match output {
                Output::Connect { conn, .. } => conns.push((conn, false)),
                Output::Drop(conn) => conns.retain(|it| it.0 != conn),
                _ => {}
            }
        }
    };
    for input in [Input::Wake, Input::Connected(0), Input::Ended(0)] {
        give(&mut steps, input, &mut conns);
    }
    for conn in reached {
        give(&mut steps, Input::Connected(conn), &mut conns);
        conns.iter_mut().filter(|it| it.0 == conn).for_each(|it| it.1 = true);
    }
    steps.now = steps.recorder.deadline()?;
    give(&mut steps, Input::Wake, &mut conns);
    for _ in 0..10_000 {
        if steps.recorder.is_done() {
            return steps.recorder.outcome()?.reason;
        }
        match conns.first() {
            Some(&(conn, true)) => give(&mut steps, Input::Broken(conn), &mut conns),
            Some(&(conn, false)) => give(&mut steps, Input::ConnectFailed(conn), &mut conns),
            None => {
                steps.now = steps.recorder.deadline().expect("the recorder has no deadline");
                give(&mut steps, Input::Wake, &mut conns);
            }
        }
    }
    None
}

#[test]
fn a_line_given_up_while_its_other_connections_fail_ends_the_recording() {
    for reached in (1..12).flat_map(|one| (1..12).map(move |other| [one, other])) {
        let why = reason_with_two_open_passes(reached);
        assert!(why.is_some(), "{reached:?}");
    }
}

#[test]
fn a_missed_tail_is_requested_after_a_heartbeat_or_an_end() {
    for tell in [Frame::Heartbeat(101), Frame::End(101)] {
        let mut steps = Steps::new(RecorderOptions::default());
        steps.describe(97);
        steps.packets(STREAM, 1, 97);
        steps.frames(RESEND, &[encode(&tell)]);
        steps.give(Input::Ended(STREAM));
        assert_eq!(steps.calls(RESEND), [range(98, 3)], "{tell:?}");
    }
}

#[test]
fn a_peer_that_sends_nothing_is_not_an_empty_session() {
    let options = || RecorderOptions { last: Some(0), ..RecorderOptions::default() };
    // The peer accepts connections and sends nothing, or breaks them.
    for breaks in [false, true] {
        let mut steps = Steps::new(options());
        let mut open = vec![STREAM, RESEND];
        while steps.recorder.outcome().is_none() {
            assert!(steps.now < Duration::from_secs(120), "the recorder waits for ever");
            let mut outputs = match open.pop().filter(|_| breaks) {
                Some(conn) => steps.give(Input::Broken(conn)),
                None => {
                    steps.now = steps.recorder.deadline().unwrap_or(steps.now).max(steps.now);
                    steps.give(Input::Wake)
                }
            };
            while let Some(output) = outputs.pop() {
                if let Output::Connect { conn, .. } = output {
                    outputs.extend(steps.give(Input::Connected(conn)));
                    steps.calls(conn);
                    open.push(conn);
                }
            }
        }
        let outcome = steps.recorder.outcome().unwrap();
        assert_eq!(
            (outcome.reason, outcome.is_complete()),
            (Some(IncompleteReason::NoAnswer), false)
        );
    }
    // A peer that describes an empty session, or ends a stream without a packet, has an empty
    // session.
    for describes in [false, true] {
        let mut steps = Steps::new(options());
        if describes {
            steps.describe(0);
        }
        steps.give(Input::Ended(STREAM));
        assert!(steps.recorder.outcome().unwrap().is_complete());
    }
}
