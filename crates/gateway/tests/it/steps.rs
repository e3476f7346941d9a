//! The publisher, step by step.

use feed::tape::Tape;
use gateway::block::Block;
use gateway::publisher::{Answer, Flight, Options, Order, Publisher, Trouble};
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
    publisher.told(publisher.epoch(), first, last, NOW);
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
    publisher.answered(publisher.epoch(), 1, Answer::Stored { number: 1, duplicate: false }, NOW);
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
    publisher.answered(publisher.epoch(), 4, Answer::Stored { number: 4, duplicate: false }, NOW);
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
        publisher.answered(publisher.epoch(), 1, answer, NOW);
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
    torn.read(torn.epoch(), 2, Ok(block(11, 20)), NOW);
    torn.read(torn.epoch(), 1, Ok(block(0, 10)), NOW);
    assert_eq!(torn.put(&tape.frames()[..20]), 20);
    let trouble = Trouble::Torn { number: 2, expected: 11, found: 12 };
    assert_eq!(torn.trouble(), Some(&trouble));
    assert_eq!(torn.order(NOW), None);

    let emptied = told(false, 6, 5);
    assert_eq!(emptied.trouble(), Some(&Trouble::Emptied { messages: 5 }));
    // Numbers that no log has are no reason to fail.
    let mut odd = told(true, u64::MAX, u64::MAX);
    assert_eq!(odd.order(NOW), None);
}
