//! Lines that describe a session with an end that is too high: B lies, A is honest.

use crate::claims::{A, B, Lines, ten};
use feed::base::seq::{Seq, SeqRange};
use feed::client::{IncompleteReason, Input, Output, RecorderEvent, RecorderOptions};
use feed::wire::{Frame, MAX_PACKET_SEQ};
use std::time::Duration;

/// Resend connection of line A.
const BESIDE_A: u32 = 1;
/// Resend connection of line B.
const BESIDE_B: u32 = 3;

/// Value of `Limits::max_jump` for the followed lines.
const JUMP: Seq = 1000;

#[test]
fn a_description_that_another_line_denies_is_believed_up_to_its_bound() {
    for (last, believed) in [(10 + JUMP, true), (11 + JUMP, false), (MAX_PACKET_SEQ, false)] {
        let mut lines = ten();
        lines.describe(BESIDE_B, last);
        let end = lines.recorder.ledger().end();
        assert_eq!(end, Some(if believed { last } else { 10 }), "{last}");
    }
    // Received packets move the bound, so a line that lags behind denies nothing.
    let mut lines = ten();
    lines.describe(BESIDE_B, 15 + JUMP);
    lines.packets(A, 11, 14);
    assert_eq!(lines.recorder.ledger().end(), None);
    lines.packets(A, 15, 15);
    assert_eq!(lines.recorder.ledger().end(), Some(15 + JUMP));
}

#[test]
fn the_only_line_is_believed_until_another_denies_its_description() {
    let mut lines = Lines::follow(2);
    lines.describe(B, MAX_PACKET_SEQ);
    lines.frame(B, Frame::Heartbeat(2));
    assert_eq!(
        lines.recorder.ledger().highest(),
        MAX_PACKET_SEQ,
        "all claimed packets are missing"
    );
    lines.describe(A, 10);
    assert_eq!(lines.recorder.ledger().highest(), 10);
    lines.packets(A, 1, 10);
    assert!(lines.recorder.ledger().gaps().is_empty());
    // The line repeats its description on each new connection.
    lines.describe(BESIDE_B, MAX_PACKET_SEQ);
    assert_eq!(lines.recorder.ledger().end(), Some(10));
}

#[test]
fn a_lying_line_does_not_keep_an_honest_one_from_its_end() {
    for first in [A, B] {
        let mut lines = Lines::follow(2);
        for conn in [first, A + B - first] {
            lines.describe(conn, if conn == A { 10 } else { MAX_PACKET_SEQ });
        }
        lines.packets(A, 1, 10);
        lines.frame(A, Frame::End(11));
        lines.frame(B, Frame::End(11));
        lines.is_complete(10);
        let contradicted = lines.recorder.violations().contradicted;
        assert_eq!(
            contradicted,
            SeqRange::new(11, MAX_PACKET_SEQ),
            "the retracted claim is reported"
        );
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
    assert!(taken(&[(B, far)], B), "no line denies it");
    assert!(!taken(&[(B, far - 1)], B), "beyond what it has described");
    assert!(!taken(&[(B, far), (A, 10)], A), "described by the other line only");
    assert!(!taken(&[(B, far), (A, 10)], B), "the other line denies it");
    assert!(!taken(&[(A, 10), (B, far)], B), "in any order");
    assert!(taken(&[(A, far), (B, far)], A) && taken(&[(A, far), (B, far)], B));
}

#[test]
fn a_line_that_describes_nothing_has_no_wider_bound_than_by_its_packets() {
    let options = RecorderOptions::default();
    let far = options.limits.max_jump + 2;
    let mut lines = Lines::new(options, 2);
    lines.describe(BESIDE_B, far);
    lines.packet(A, far);
    assert_eq!(lines.recorder.violations().first_implausible, Some(far), "A may be an original");
    lines.packet(B, far);
    assert_eq!(lines.recording.len(), 1);
}

#[test]
fn a_denied_description_does_not_widen_the_bound_on_heartbeats() {
    let mut lines = ten();
    lines.describe(BESIDE_B, MAX_PACKET_SEQ);
    lines.frame(B, Frame::Heartbeat(12 + JUMP));
    assert_eq!(lines.recorder.violations().first_implausible, Some(11 + JUMP));
    assert_eq!(lines.recorder.ledger().highest(), 10);
    lines.frame(B, Frame::Heartbeat(11 + JUMP));
    assert_eq!(lines.recorder.ledger().highest(), 10 + JUMP);
}

/// Returns a followed session with `give_up`, in which B claims 11 to 500 by a heartbeat.
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

/// Returns the ranges that are abandoned while two seconds pass.
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
fn claimed_packets_are_abandoned_only_once_every_line_claims_them() {
    let mut lines = claimed(Duration::from_secs(1));
    assert_eq!(given_up(&mut lines), [], "the packets may not exist yet");
    lines.frame(A, Frame::Heartbeat(21));
    assert_eq!(given_up(&mut lines), [SeqRange::new(11, 20).unwrap()]);
}

/// Stops a recording, and returns its missing packets and the claims that were retracted.
fn stopped(mut lines: Lines) -> (String, Option<SeqRange>) {
    lines.give(Input::Stop);
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::Stopped), "a stop alone is not a success");
    (outcome.missing.to_string(), lines.recorder.violations().contradicted)
}

#[test]
fn a_claim_that_an_end_denies_is_not_missing_after_a_follower_is_stopped() {
    let hour = Duration::from_secs(3600);
    assert_eq!(stopped(claimed(hour)), ("11-500".into(), None), "A may lag behind");
    let mut lines = claimed(hour);
    lines.frame(A, Frame::End(11));
    assert_eq!(stopped(lines), (String::new(), SeqRange::new(11, 500)));
    // The end that B itself reports denies nothing.
    let mut lines = claimed(hour);
    lines.frame(B, Frame::End(501));
    assert_eq!(stopped(lines), ("11-500".into(), None));
}

#[test]
fn claims_that_another_line_denies_are_not_missing_after_a_stop() {
    let two = |last: [Seq; 2]| {
        let mut lines = Lines::new(RecorderOptions::default(), 2);
        lines.describe(BESIDE_A, last[0]);
        lines.describe(BESIDE_B, last[1]);
        lines.packets(A, 1, 7);
        lines
    };
    assert_eq!(stopped(two([10, 10])), ("8-10".into(), None));
    // There was no time to request the claimed packets.
    assert_eq!(stopped(two([10, 500])), ("8-10".into(), None));
    assert_eq!(
        stopped(two([10, MAX_PACKET_SEQ])),
        ("8-10".into(), SeqRange::new(11, MAX_PACKET_SEQ))
    );
    // A received packet shows that the ones before it exist.
    let mut lines = two([10, 500]);
    lines.packets(B, 12, 12);
    assert_eq!(stopped(lines), ("8-11".into(), None));
    // No line denies the description.
    let mut lines = Lines::new(RecorderOptions::default(), 1);
    lines.describe(BESIDE_A, 500);
    lines.packets(A, 1, 7);
    let (missing, _) = stopped(lines);
    assert_eq!(missing, "8-500");
}

#[test]
fn a_stop_does_not_complete_a_recording_with_a_claimed_tail() {
    let mut lines = Lines::new(RecorderOptions::default(), 2);
    lines.describe(BESIDE_A, 10);
    lines.describe(BESIDE_B, 500);
    lines.packets(A, 1, 10);
    assert_eq!(stopped(lines), (String::new(), None));
}

#[test]
fn an_honest_line_that_lags_behind_does_not_deny_the_tail() {
    // The description is not believed at first; B then delivers packets ever closer to its end.
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
