//! Lines that describe a session which reaches further than it does: B lies, A is honest.

use crate::claims::{A, B, Lines, ten};
use feed::base::seq::{MAX_SEQ, Seq, SeqRange};
use feed::client::{IncompleteReason, Input, Output, RecorderEvent, RecorderOptions};
use feed::wire::Frame;
use std::time::Duration;

/// The connections beside the subscriptions.
const BESIDE_A: u32 = 1;
const BESIDE_B: u32 = 3;

/// `Limits::jump` of the followed lines.
const JUMP: Seq = 1000;

#[test]
fn a_description_that_another_line_denies_is_believed_up_to_its_bound() {
    for (last, believed) in [(10 + JUMP, true), (11 + JUMP, false), (MAX_SEQ, false)] {
        let mut lines = ten();
        lines.describe(BESIDE_B, last);
        let end = lines.recorder.ledger().end();
        assert_eq!(end, Some(if believed { last } else { 10 }), "{last}");
    }
    // What packets show moves the bound, so that a line that is behind denies nothing.
    let mut lines = ten();
    lines.describe(BESIDE_B, 15 + JUMP);
    lines.packets(A, 11, 14);
    assert_eq!(lines.recorder.ledger().end(), None);
    lines.packets(A, 15, 15);
    assert_eq!(lines.recorder.ledger().end(), Some(15 + JUMP));
}

#[test]
fn a_line_that_is_alone_is_believed_until_another_denies_what_it_describes() {
    let mut lines = Lines::follow(2);
    lines.describe(B, MAX_SEQ);
    lines.frame(B, Frame::Heartbeat(2));
    assert_eq!(lines.recorder.ledger().highest(), MAX_SEQ, "all of it is missing");
    lines.describe(A, 10);
    assert_eq!(lines.recorder.ledger().highest(), 10);
    lines.packets(A, 1, 10);
    assert!(lines.recorder.ledger().gaps().is_empty());
    // It tells it again with each connection that it gets.
    lines.describe(BESIDE_B, MAX_SEQ);
    assert_eq!(lines.recorder.ledger().end(), Some(10));
}

#[test]
fn a_lying_line_does_not_keep_an_honest_one_from_its_end() {
    for first in [A, B] {
        let mut lines = Lines::follow(2);
        for conn in [first, A + B - first] {
            lines.describe(conn, if conn == A { 10 } else { MAX_SEQ });
        }
        lines.packets(A, 1, 10);
        lines.frame(A, Frame::End(11));
        lines.frame(B, Frame::End(11));
        lines.is_complete(10);
        let contradicted = lines.recorder.violations().contradicted;
        assert_eq!(contradicted, SeqRange::new(11, MAX_SEQ), "it is told who was not believed");
    }
}

#[test]
fn a_description_widens_the_bound_on_packets_for_its_own_line_only() {
    let far = 50_000;
    let taken = |described: &[(u32, Seq)], conn: u32| {
        let mut lines = Lines::follow(2);
        for &(conn, last) in described {
            lines.describe(conn, last);
        }
        lines.packet(conn, far);
        let implausible = lines.recorder.violations().first_implausible;
        assert_eq!(implausible, lines.recording.is_empty().then_some(far));
        !lines.recording.is_empty()
    };
    assert!(taken(&[(B, far)], B), "nobody denies it");
    assert!(!taken(&[(B, far - 1)], B), "beyond what it has described");
    assert!(!taken(&[(B, far), (A, 10)], A), "the other line's word");
    assert!(!taken(&[(B, far), (A, 10)], B), "the other line denies it");
    assert!(!taken(&[(A, 10), (B, far)], B), "in any order");
    assert!(taken(&[(A, far), (B, far)], A) && taken(&[(A, far), (B, far)], B));
}

#[test]
fn heartbeats_are_no_more_believed_for_a_description_that_is_denied() {
    let mut lines = ten();
    lines.describe(BESIDE_B, MAX_SEQ);
    lines.frame(B, Frame::Heartbeat(12 + JUMP));
    assert_eq!(lines.recorder.violations().first_implausible, Some(11 + JUMP));
    assert_eq!(lines.recorder.ledger().highest(), 10);
    lines.frame(B, Frame::Heartbeat(11 + JUMP));
    assert_eq!(lines.recorder.ledger().highest(), 10 + JUMP);
}

/// A followed session with `give_up`, of which B claims 11 to 500 in a heartbeat.
fn claimed(give_up: Duration) -> Lines {
    let options =
        RecorderOptions { follow: true, give_up: Some(give_up), ..RecorderOptions::default() };
    let mut lines = Lines::new(options, 2);
    for conn in [A, BESIDE_A, B, BESIDE_B] {
        lines.describe(conn, 10);
    }
    lines.packets(A, 1, 10);
    lines.frame(B, Frame::Heartbeat(501));
    lines
}

/// Ranges that are given up while two seconds pass.
fn given_up(lines: &mut Lines) -> Vec<SeqRange> {
    let mut lost = Vec::new();
    for _ in 0..20 {
        lines.now += Duration::from_millis(100);
        lines.recorder.handle(Input::Wake, lines.now, &mut lines.recording);
        while let Some(output) = lines.recorder.poll() {
            if let Output::Note(RecorderEvent::GapAbandoned { range }) = output {
                lost.push(range);
            }
        }
    }
    lost
}

#[test]
fn what_one_line_claims_is_given_up_once_every_line_does() {
    let mut lines = claimed(Duration::from_secs(1));
    assert_eq!(given_up(&mut lines), [], "it may not exist yet");
    lines.frame(A, Frame::Heartbeat(21));
    assert_eq!(given_up(&mut lines), [SeqRange::new(11, 20).unwrap()]);
}

/// What a recording is missing when it is stopped, and what was taken for none.
fn stopped(mut lines: Lines) -> (String, Option<SeqRange>) {
    lines.give(Input::Stop);
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!(outcome.why, Some(IncompleteReason::Stopped), "a stop is no success by itself");
    (outcome.missing.to_string(), lines.recorder.violations().contradicted)
}

#[test]
fn a_claim_that_an_end_denies_is_not_missing_when_a_followed_session_is_stopped() {
    let hour = Duration::from_secs(3600);
    assert_eq!(stopped(claimed(hour)), ("11-500".into(), None), "A may be behind");
    let mut lines = claimed(hour);
    lines.frame(A, Frame::End(11));
    assert_eq!(stopped(lines), (String::new(), SeqRange::new(11, 500)));
    // The end that B itself tells denies nothing.
    let mut lines = claimed(hour);
    lines.frame(B, Frame::End(501));
    assert_eq!(stopped(lines), ("11-500".into(), None));
}

#[test]
fn what_another_line_denies_is_not_missing_when_a_recording_is_stopped() {
    let two = |last: [Seq; 2]| {
        let mut lines = Lines::new(RecorderOptions::default(), 2);
        lines.describe(BESIDE_A, last[0]);
        lines.describe(BESIDE_B, last[1]);
        lines.packets(A, 1, 7);
        lines
    };
    assert_eq!(stopped(two([10, 10])), ("8-10".into(), None));
    // There was no time to ask for it.
    assert_eq!(stopped(two([10, 500])), ("8-10".into(), None));
    assert_eq!(stopped(two([10, MAX_SEQ])), ("8-10".into(), SeqRange::new(11, MAX_SEQ)));
    // What packets have shown exists.
    let mut lines = two([10, 500]);
    lines.packets(B, 12, 12);
    assert_eq!(stopped(lines), ("8-11".into(), None));
    // Nobody denies it.
    let mut lines = Lines::new(RecorderOptions::default(), 1);
    lines.describe(BESIDE_A, 500);
    lines.packets(A, 1, 7);
    let (missing, _) = stopped(lines);
    assert_eq!(missing, "8-500");
}

#[test]
fn a_stop_completes_nothing_that_a_line_claims() {
    let mut lines = Lines::new(RecorderOptions::default(), 2);
    lines.describe(BESIDE_A, 10);
    lines.describe(BESIDE_B, 500);
    lines.packets(A, 1, 10);
    assert_eq!(stopped(lines), (String::new(), None));
}

#[test]
fn an_honest_line_that_is_behind_leaves_the_tail_to_the_other() {
    // The description is not believed at first; B then brings packets ever closer to its end.
    let mut lines = ten();
    lines.describe(BESIDE_B, 5000);
    for first in (1011..4990).step_by(1000) {
        lines.packet(B, first);
    }
    lines.packet(B, 4990);
    lines.frame(B, Frame::End(5001));
    assert_eq!(lines.recorder.ledger().highest(), 5000);
    assert_eq!(lines.recorder.ledger().gaps().missing(), 5000 - 10 - 5);
    let (missing, contradicted) = stopped(lines);
    assert_eq!((missing.rsplit_once(", ").unwrap().1, contradicted), ("4991-5000", None));
}
