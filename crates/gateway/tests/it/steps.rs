//! The publisher, step by step.

use feed::tape::in_memory::Tape;
use feed::wire::SessionId;
use gateway::block::Block;
use gateway::publisher::{Answer, Flight, Options, Order, PublishFailure, Publisher, READS, State};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

fn publisher(check: bool) -> Publisher {
    let options = Options { session: None, block: 16, window: 4, check, patience: NOW };
    Publisher::new(options)
}

fn flight(publisher: &mut Publisher) -> Flight {
    match publisher.order(NOW) {
        Some(Order::Publish(flight)) => flight,
        other => panic!("{other:?}"),
    }
}

/// A publisher that has been told so.
fn told(check: bool, first: u64, last: u64) -> Publisher {
    let mut publisher = publisher(check);
    assert_eq!(publisher.order(NOW), Some(Order::Ask));
    assert_eq!((publisher.order(NOW), publisher.wants()), (None, None));
    tell(&mut publisher, state(first, last, last));
    publisher
}

#[test]
fn a_message_has_what_came_while_the_last_one_was_on_its_way() {
    let tape = Tape::random(200, 1);
    let mut publisher = told(false, 1, 0);
    let put = |publisher: &mut Publisher, from: usize, to: usize| {
        assert_eq!(publisher.put(&tape.frames()[from..to]), to - from);
    };
    put(&mut publisher, 0, 3);
    let one = flight(&mut publisher);
    assert_eq!((one.number, one.after, one.id.range.len()), (1, None, 3));
    put(&mut publisher, 3, 10);
    assert_eq!(publisher.order(NOW), None, "more may come before the first is there");
    publisher.on_answer(publisher.epoch(), 1, Answer::Stored { number: 1, duplicate: false }, NOW);
    assert_eq!(publisher.reached(), 3);
    let two = flight(&mut publisher);
    assert_eq!((two.number, two.after, two.id.range.len()), (2, None, 7));
    // Full blocks do not wait.
    put(&mut publisher, 10, 10 + 50);
    let three = flight(&mut publisher);
    assert_eq!((three.number, three.after, three.id.range.len()), (3, Some(two.id), 16));
    assert_eq!(flight(&mut publisher).after, Some(three.id));
    assert_eq!(publisher.frames(&three), tape.frames()[10..26]);
    assert_eq!(flight(&mut publisher).number, 5);
    assert_eq!(publisher.order(NOW), None, "the window is full");
    // One answer is one for all before.
    publisher.on_answer(publisher.epoch(), 4, Answer::Stored { number: 4, duplicate: false }, NOW);
    assert_eq!((publisher.reached(), publisher.wants()), (42, Some(61)));
}

#[test]
fn a_message_that_is_somewhere_else_says_that_the_end_is_not_known() {
    let tape = Tape::random(9, 1);
    for answer in [
        Answer::Stored { number: 7, duplicate: false },
        Answer::Stored { number: 7, duplicate: true },
        Answer::Refused,
    ] {
        let mut publisher = told(false, 1, 0);
        publisher.put(tape.frames());
        flight(&mut publisher);
        publisher.on_answer(publisher.epoch(), 1, answer, NOW);
        assert_eq!((publisher.order(NOW), publisher.reached()), (Some(Order::Ask), 0));
    }
}

#[test]
fn what_no_gateway_has_made_is_trouble() {
    let tape = Tape::random(30, 1);
    let block = |from: usize, to: usize| Block {
        session: None,
        frames: tape.frames()[from..to].to_vec(),
        stored: 0,
    };
    let mut torn = told(true, 1, 2);
    assert_eq!(torn.order(NOW), Some(Order::Read(1)));
    assert_eq!(torn.order(NOW), Some(Order::Read(2)));
    assert_eq!(torn.order(NOW), None);
    // In any order.
    torn.on_block(torn.epoch(), 2, Ok(block(11, 20)), NOW);
    torn.on_block(torn.epoch(), 1, Ok(block(0, 10)), NOW);
    assert_eq!(torn.put(&tape.frames()[..20]), 20);
    let failure = PublishFailure::Torn { number: 2, expected: 11, found: 12 };
    assert_eq!(torn.failure(), Some(&failure));
    assert_eq!(torn.order(NOW), None);

    // Numbers that no log has are no reason to fail.
    let mut odd = told(true, 1, u64::MAX);
    (1..).take(READS).for_each(|at| assert_eq!(odd.order(NOW), Some(Order::Read(at))));
    assert_eq!(odd.order(NOW), None);
}

fn state(first: u64, last: u64, messages: u64) -> State {
    State { first, last, messages }
}

fn tell(publisher: &mut Publisher, state: State) {
    publisher.on_state(publisher.epoch(), state, NOW);
}

#[test]
fn a_log_from_which_messages_were_removed_is_said_to_lack_them() {
    for (state, said) in [
        (state(6, 5, 0), "all its 5 messages were removed"),
        (state(4, 9, 6), "its messages 1 to 3 were removed"),
        (state(1, 9, 8), "1 of its 9 messages were removed"),
        (state(4, 9, 5), "4 of its 9 messages were removed"),
    ] {
        for check in [false, true] {
            let mut publisher = publisher(check);
            assert_eq!(publisher.order(NOW), Some(Order::Ask));
            tell(&mut publisher, state);
            let failure = publisher.failure().unwrap();
            assert!(failure.is_missing());
            assert_eq!(failure.to_string(), said);
            assert_eq!((publisher.order(NOW), publisher.done()), (None, false));
        }
    }
}

#[test]
fn that_all_is_there_is_for_the_log_to_say_once_all_was_published() {
    let tape = Tape::random(9, 1);
    for (state, done) in [(state(1, 1, 1), true), (state(2, 1, 0), false), (state(1, 0, 0), false)]
    {
        let mut publisher = told(false, 1, 0);
        publisher.put(tape.frames());
        publisher.ends_with(9);
        flight(&mut publisher);
        let stored = Answer::Stored { number: 1, duplicate: false };
        publisher.on_answer(publisher.epoch(), 1, stored, NOW);
        assert_eq!((publisher.reached(), publisher.done()), (9, false), "confirmed, and not seen");
        assert_eq!(publisher.order(NOW), Some(Order::Ask));
        tell(&mut publisher, state);
        assert_eq!(publisher.done(), done, "{state:?}");
        // What came in between may have changed it.
        publisher.on_no_answer(NOW);
        assert!(!publisher.done());
    }
}

#[test]
fn a_recording_that_ends_before_the_logs_last_message_is_compared_all_the_same() {
    let tape = Tape::random(40, 1);
    let block = |from: usize, to: usize| Block {
        session: None,
        frames: tape.frames()[from..to].to_vec(),
        stored: 0,
    };
    for other in [false, true] {
        let mut publisher = told(false, 1, 2);
        assert_eq!(publisher.order(NOW), Some(Order::Read(1)), "how it begins");
        assert_eq!(publisher.order(NOW), None);
        publisher.on_block(publisher.epoch(), 1, Ok(block(0, 20)), NOW);
        assert_eq!(publisher.order(NOW), Some(Order::Read(2)));
        publisher.on_block(publisher.epoch(), 2, Ok(block(20, 40)), NOW);
        assert_eq!(publisher.wants(), Some(21), "the recording has 15 packets");
        publisher.ends_with(15);
        assert!(!publisher.done());
        assert_eq!(publisher.order(NOW), Some(Order::Ask));
        tell(&mut publisher, state(1, 2, 2));
        assert_eq!(publisher.order(NOW), Some(Order::Read(1)));
        publisher.on_block(publisher.epoch(), 1, Ok(block(0, 20)), NOW);
        let mut frames = tape.frames()[..15].to_vec();
        frames[3][8] ^= u8::from(other);
        assert_eq!(publisher.put(&frames), 15);
        assert_eq!(matches!(publisher.failure(), Some(PublishFailure::Conflict { .. })), other);
        if !other {
            publisher.order(NOW);
            tell(&mut publisher, state(1, 2, 2));
            assert!(publisher.done() && publisher.continues());
            assert_eq!(publisher.counts().compared, 15);
        }
    }
}

#[test]
fn a_message_of_another_session_or_of_none_is_not_gone_on_with() {
    let tape = Tape::random(5, 1);
    for (ours, theirs) in
        [(Some(*b"AAAA"), Some(*b"BBBB")), (None, Some(*b"BBBB")), (Some(*b"AAAA"), None)]
    {
        let (ours, theirs) = (ours.map(SessionId::of), theirs.map(SessionId::of));
        let options = Options { session: ours, block: 16, window: 4, check: false, patience: NOW };
        let mut publisher = Publisher::new(options);
        publisher.order(NOW);
        tell(&mut publisher, state(1, 1, 1));
        publisher.order(NOW);
        let block = Block { session: theirs, frames: tape.frames().to_vec(), stored: 0 };
        publisher.on_block(publisher.epoch(), 1, Ok(block), NOW);
        assert_eq!(
            publisher.failure(),
            Some(&PublishFailure::OtherSession { number: 1, ours, theirs })
        );
    }
}

#[test]
fn a_log_that_was_begun_otherwise_is_not_gone_on_with() {
    let tape = Tape::random(9, 1);
    let first = |session: Option<SessionId>, from: usize| {
        let mut publisher = told(false, 1, 5);
        assert_eq!(publisher.order(NOW), Some(Order::Read(1)));
        let block = Block { session, frames: tape.frames()[from..9].to_vec(), stored: 0 };
        publisher.on_block(publisher.epoch(), 1, Ok(block), NOW);
        publisher
    };
    let mut own = first(None, 0);
    assert_eq!(own.order(NOW), Some(Order::Read(5)));
    assert_eq!(own.failure(), None);
    let other = Some(SessionId::of(*b"BBBB"));
    let failure = PublishFailure::OtherSession { number: 1, ours: None, theirs: other };
    assert_eq!(first(other, 0).failure(), Some(&failure));
    let failure = PublishFailure::Torn { number: 1, expected: 1, found: 4 };
    assert_eq!(first(None, 3).failure(), Some(&failure));
    // An answer that does not come is asked for again, and one that comes late says nothing.
    let mut publisher = told(false, 1, 5);
    publisher.order(NOW);
    let before = publisher.epoch();
    publisher.on_no_answer(NOW);
    publisher.on_block(before, 1, Err("late".to_owned()), NOW);
    assert_eq!(publisher.failure(), None);
    publisher.on_connected();
    assert_eq!(publisher.order(NOW), Some(Order::Ask));
    tell(&mut publisher, state(1, 5, 5));
    assert_eq!(publisher.order(NOW), Some(Order::Read(1)));
}

#[test]
fn a_log_that_lost_its_only_message_before_it_was_read_is_begun_anew() {
    let mut publisher = told(false, 1, 1);
    publisher.order(NOW);
    publisher.on_no_answer(NOW);
    publisher.on_connected();
    assert_eq!(publisher.order(NOW), Some(Order::Ask));
    tell(&mut publisher, state(1, 0, 0));
    assert_eq!(publisher.wants(), Some(1));
}
