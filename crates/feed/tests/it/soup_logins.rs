//! Logins over SoupBinTCP: rejections, sessions that are not there yet or replaced, exchanges that
//! are behind or ahead.

use crate::soup::{ByHand, login, options, seconds};
use feed::client::{IncompleteReason, Input, LineProtocol, Recorder, SoupLogin, SoupViolation};
use feed::wire::soup::{Packet, RejectReason, Text};
use feed::wire::{Info, SessionId};

#[test]
fn a_wrong_password_is_not_tried_again() {
    let mut hand = ByHand::new();
    hand.login();
    hand.packets(&[Packet::LoginRejected(RejectReason::NotAuthorized)]);
    assert_eq!(hand.why(), Some(IncompleteReason::LoginRejected(RejectReason::NotAuthorized)));
    assert!(hand.recorder.is_done());
    let words = hand.why().unwrap().to_string();
    assert!(words.contains("wrong user or password"), "{words}");
    let debug = format!("{:?}", hand.recorder);
    assert!(!debug.contains("secret"), "{debug}");
    assert_eq!((hand.stats().rejects, hand.stats().logins), (1, 0));
}

#[test]
fn a_session_that_is_not_available_is_waited_for() {
    let mut hand = ByHand::new();
    for _ in 0..5 {
        assert_eq!(hand.login().sequence, 1);
        hand.packets(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]);
    }
    assert_eq!(hand.login().sequence, 1);
    hand.accept(1);
    hand.messages(1..=1);
    hand.packets(&[Packet::EndOfSession]);
    hand.has(1);
    assert_eq!((hand.why(), hand.stats().rejects), (None, 5));
}

#[test]
fn a_session_that_never_becomes_available_ends_with_its_reason() {
    let mut hand = ByHand::new();
    while hand.recorder.outcome().is_none() {
        hand.login();
        hand.packets(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]);
    }
    let reason = IncompleteReason::LoginRejected(RejectReason::SessionNotAvailable);
    assert_eq!(hand.why(), Some(reason));
    assert!(hand.now >= seconds(10) && hand.now < seconds(12), "{:?}", hand.now);
}

#[test]
fn an_exchange_that_plays_another_session_is_found_out() {
    let known = Info { session: SessionId::of(*b"DAY0"), version: 1, first: 1, last: 0 };
    let lines = [LineProtocol::Soup(login())];
    let missing = "3".parse().unwrap();
    let mut hand = ByHand::of(Recorder::resume(options(), lines, 5, &missing, Some(known)));
    let request = hand.login();
    assert_eq!((request.session, request.sequence), (Text::new("DAY0").unwrap(), 3));
    hand.packets(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]);
    // The current session is asked for, because only its acceptance names it.
    assert_eq!(hand.login().session, Text::BLANK);
    hand.accept(3);
    hand.messages(3..=4);
    assert_eq!(hand.why(), Some(IncompleteReason::OtherSession));
    assert_eq!(hand.recorder.line(0).unwrap().other_session, Some(SessionId::of(*b"DAY1")));
    assert!(hand.sink.messages.is_empty());
}

#[test]
fn an_exchange_that_is_behind_repeats_what_is_recorded() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=5);
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    for sequence in [6, 6] {
        assert_eq!(hand.login().sequence, sequence);
        hand.packets(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]);
    }
    assert_eq!(hand.login().sequence, 0);
    hand.accept(4);
    hand.messages(4..=7);
    hand.packets(&[Packet::EndOfSession]);
    hand.has(7);
    assert_eq!((hand.why(), hand.recorder.stats().duplicates), (None, 2));
}

#[test]
fn an_exchange_that_is_ahead_is_asked_for_the_missing_messages_again() {
    let mut hand = ByHand::new();
    hand.login();
    hand.accept(1);
    hand.messages(1..=1);
    hand.give(Input::Broken(hand.conns[0].unwrap()));
    for _ in 0..2 {
        hand.login();
        hand.packets(&[Packet::LoginRejected(RejectReason::SessionNotAvailable)]);
    }
    assert_eq!(hand.login().sequence, 0);
    hand.accept(9);
    hand.messages(9..=9);
    assert_eq!(hand.login().sequence, 2);
    hand.accept(2);
    hand.messages(2..=9);
    hand.has(9);
}

#[test]
fn the_session_of_the_user_is_the_only_one_that_is_taken() {
    let named = SoupLogin { session: Text::new("DAY2").unwrap(), ..login() };
    let mut hand = ByHand::of(Recorder::new(options(), [LineProtocol::Soup(named)]));
    for _ in 0..3 {
        assert_eq!(hand.login().session, named.session);
        hand.accept(1);
        hand.messages(1..=1);
    }
    assert!(hand.sink.messages.is_empty());
    assert_eq!(hand.why(), Some(IncompleteReason::CutOff));
    assert!(hand.facts().misbehaved);
    assert!(matches!(hand.violation(), Some((0, SoupViolation::AcceptedSession { .. }))));
}
