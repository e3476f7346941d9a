//! SoupBinTCP exchanges that are wrong: acceptances and ends that cannot be true, messages that
//! contradict recorded ones, bytes that violate the protocol.

use crate::soup::{ByHand, accepted, encoded, login, options, seconds};
use feed::base::seq::{MAX_SEQ, SeqSet};
use feed::client::{IncompleteReason, Input, LineProtocol, Recorder, SoupViolation, Tail};
use feed::wire::soup::{Packet, RawPacket, RejectReason};
use feed::wire::{Info, SessionId};

#[test]
fn one_wrong_acceptance_is_not_believed() {
    for wrong in [1, 3, 9] {
        let mut hand = ByHand::new();
        hand.login();
        hand.accept(1);
        hand.messages(1..=3);
        hand.give(Input::Broken(hand.conns[0].unwrap()));
        assert_eq!(hand.login().sequence, 4);
        // The exchange goes on with the right messages, which get wrong sequences.
        hand.accept(wrong);
        hand.messages(4..=6);
        assert_eq!(hand.login().sequence, 4);
        hand.accept(4);
        hand.messages(4..=5);
        hand.packets(&[Packet::EndOfSession]);
        hand.has(5);
        assert_eq!((hand.why(), hand.stats().moved), (None, 1));
        assert_eq!(hand.recorder.violations().conflicts, 0);
    }
}

#[test]
fn an_exchange_that_insists_on_a_higher_sequence_leaves_a_gap() {
    let mut hand = ByHand::new();
    for _ in 0..3 {
        assert_eq!(hand.login().sequence, 1);
        hand.accept(4);
        hand.messages(4..=5);
    }
    assert_eq!(hand.recorder.ledger().gaps().missing(), 3);
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    // What the exchange does not serve is not requested again.
    assert_eq!(hand.login().sequence, 6);
    hand.accept(6);
    hand.packets(&[Packet::EndOfSession]);
    let outcome = hand.recorder.outcome().unwrap();
    assert_eq!((outcome.reason, outcome.missing.count()), (Some(IncompleteReason::NotServed), 3));
    assert_eq!(outcome.tail, Tail::Confirmed);
    assert_eq!(hand.sink.messages.len(), 2);
}

#[test]
fn an_exchange_that_insists_on_a_lower_sequence_repeats_messages() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=4);
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    for _ in 0..3 {
        assert_eq!(hand.login().sequence, 5);
        hand.accept(3);
    }
    hand.messages(3..=6);
    hand.packets(&[Packet::EndOfSession]);
    hand.has(6);
    assert_eq!((hand.why(), hand.recorder.stats().duplicates), (None, 2));
}

#[test]
fn messages_that_conflict_with_recorded_ones_are_not_followed() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=4);
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    // Every third acceptance in a row is believed.
    for _ in 0..9 {
        hand.login();
        hand.accept(3);
        // The messages 5 to 8, with the sequences 3 to 6.
        hand.messages(5..=8);
        hand.has(4);
    }
    assert!(matches!(hand.violation(), Some((_, SoupViolation::Conflict(3)))));
    assert_eq!(hand.recorder.violations().conflicts, 6);
    assert!(hand.facts().misbehaved);
}

#[test]
fn an_early_end_is_checked() {
    let mut hand = ByHand::new();
    hand.login();
    hand.packets(&[accepted(1), Packet::EndOfSession]);
    assert_eq!(hand.why(), None, "nothing shows that there is more");

    let known = Info { session: SessionId::of(*b"DAY1"), version: 1, first: 1, last: 0 };
    let lines = [LineProtocol::Soup(login())];
    let missing = "2".parse().unwrap();
    let mut hand = ByHand::of(Recorder::resume(options(), lines, 5, &missing, Some(known)));
    hand.login();
    hand.accept(2);
    hand.messages(2..=2);
    hand.packets(&[Packet::EndOfSession]);
    assert!(hand.recorder.outcome().is_none(), "5 messages are known to exist");
    assert_eq!(hand.login().sequence, 6);
    hand.accept(6);
    hand.packets(&[Packet::EndOfSession]);
    assert_eq!(hand.why(), None);
}

/// Bytes of an exchange that violates the protocol, and what is said of them.
fn violations() -> Vec<(Vec<u8>, u64, SoupViolation)> {
    let accept = encoded(&[accepted(1)]);
    let behind = |packets: &[Packet<'_>]| [accept.clone(), encoded(packets)].concat();
    let at = accept.len() as u64;
    let promise = |text: &str| format!("\x00\x1fA      DAY1{text:>20}").into_bytes();
    let highest = MAX_SEQ;
    let no_digits = promise("12x");
    let digits = RawPacket::split_first(&no_digits);
    let digits = digits.unwrap().unwrap().0.decode().unwrap_err();
    vec![
        (vec![0, 0, b'A'], 0, SoupViolation::Length(0)),
        ([accept.clone(), vec![0, 0]].concat(), at, SoupViolation::Length(0)),
        (promise("12x"), 0, SoupViolation::Packet(digits)),
        (promise("0"), 0, SoupViolation::AcceptedSequence(0)),
        (
            promise("10000000000000000000"),
            0,
            SoupViolation::AcceptedSequence(10_000_000_000_000_000_000),
        ),
        (encoded(&[accepted(highest + 1)]), 0, SoupViolation::AcceptedSequence(highest + 1)),
        (encoded(&[Packet::Sequenced(b"x")]), 0, SoupViolation::BeforeLogin),
        (encoded(&[Packet::EndOfSession]), 0, SoupViolation::BeforeLogin),
        (behind(&[accepted(7)]), at, SoupViolation::AcceptedAgain { accepted: 7, expected: 1 }),
        (
            behind(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]),
            at,
            SoupViolation::RejectedLate(RejectReason::SessionNotAvailable),
        ),
    ]
}

#[test]
fn a_violation_is_named_and_the_line_is_given_up_after_some() {
    for (bytes, offset, violation) in violations() {
        let mut hand = ByHand::new();
        for _ in 0..3 {
            hand.login();
            hand.receive(&bytes);
        }
        assert_eq!(hand.violation(), Some((offset, violation)), "{violation}");
        assert_eq!(hand.why(), Some(IncompleteReason::CutOff), "{violation}");
        assert!(hand.facts().misbehaved && !hand.facts().is_success(), "{violation}");
        hand.wait(seconds(1));
        assert!(hand.recorder.is_done(), "{violation}");
    }
}

#[test]
fn a_violation_is_survived_if_the_exchange_does_better_the_next_time() {
    for (bytes, _, violation) in violations() {
        let mut hand = ByHand::new();
        for _ in 0..2 {
            hand.login();
            hand.receive(&bytes);
        }
        assert_eq!(hand.login().sequence, 1);
        hand.accept(1);
        hand.messages(1..=2);
        hand.packets(&[Packet::EndOfSession]);
        hand.has(2);
        assert_eq!(hand.why(), None, "{violation}");
        assert!(hand.facts().is_success());
    }
}

#[test]
fn messages_behind_the_highest_sequence_are_a_violation() {
    let highest = MAX_SEQ;
    let lines = [LineProtocol::Soup(login())];
    let known = Info { session: SessionId::of(*b"DAY1"), version: 1, first: 1, last: 0 };
    let recorder = Recorder::resume(options(), lines, highest - 1, &SeqSet::new(), Some(known));
    let mut hand = ByHand::of(recorder);
    assert_eq!(hand.login().sequence, highest);
    hand.accept(highest);
    hand.packets(&[Packet::Sequenced(b"last")]);
    hand.packets(&[Packet::Sequenced(b"beyond")]);
    assert!(matches!(hand.violation(), Some((_, SoupViolation::SequenceTooHigh))));
    assert_eq!(hand.sink.messages.len(), 1);
    assert_eq!(hand.recorder.ledger().highest(), highest);
}
