//! MoldUDP64 lines driven by hand: a test plays the groups and their request servers.

use crate::mold_world::{
    Event, MS, SESSION, World, datagram, end, heartbeat, lines, message, random, seconds,
};
use feed::base::rng::Rng;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::client::mold::request_server::REQUESTS_IN_FLIGHT_MAX;
use feed::client::{
    DatagramSource, IncompleteReason, Input, MoldViolation, Recorder, RecorderEvent,
    RecorderOptions,
};
use feed::session::completeness::{Completeness, Facts};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::mold::{Builder, ParseError, PayloadLimit, Session};
use feed::wire::{Info, SessionId};
use std::time::Duration;

#[test]
fn a_session_that_loses_datagrams_is_complete_by_requests() {
    for per in [1, 7, 40] {
        let mut world = World::new(lines(1, 1), RecorderOptions::default(), 20_000);
        world.play(0, (20_000, per, MS / 50), random(per, 50));
        world.run();
        world.assert_complete(20_000);
        let stats = world.recorder.line(0).unwrap();
        let missed = 20_000 - world.recorder.stats().streamed;
        assert_eq!((stats.missed, world.recorder.stats().resent), (missed, missed), "{per}");
        let requests = world.recorder.request_stats();
        assert_eq!((requests.timed_out, requests.sent), (0, requests.answered));
        assert_eq!(requests.slowest, MS * 20);
        assert_eq!(world.left, 1);
    }
}

#[test]
fn ten_thousand_gaps_are_filled_one_round_trip_after_the_end() {
    for pace in [Duration::ZERO, MS / 100] {
        let mut world = World::new(lines(1, 1), RecorderOptions::default(), 20_001);
        let last = world.play(0, (20_001, 1, pace), |number| number % 2 == 1);
        world.run_until(last + MS * 26);
        assert_eq!(world.sink.messages.len(), 20_001, "{pace:?}");
        assert_eq!(world.requests.len(), 10_000);
        assert!(world.most_in_flight <= REQUESTS_IN_FLIGHT_MAX.into());
        world.run();
        world.assert_complete(20_001);
    }
}

/// Lets time pass in which the driver reads nothing, and then gives it what waits: answers first.
fn pause(world: &mut World, until: Duration) {
    let mut waiting = Vec::new();
    while world.events.first_key_value().is_some_and(|((time, _), _)| *time <= until) {
        let ((time, _), event) = world.events.pop_first().unwrap();
        match event {
            Event::Request(..) => {
                world.now = time;
                world.happen(event);
            }
            _ => waiting.push(event),
        }
    }
    world.now = until;
    waiting.sort_by_key(|event| !matches!(event, Event::Answer(..)));
    waiting.into_iter().for_each(|event| world.happen(event));
    world.give(Input::Wake);
}

#[test]
fn answers_that_wait_to_be_read_are_not_requested_again() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 8001);
    let last = world.play(0, (8001, 1, MS / 100), |number| number % 2 == 1);
    world.run_until(last - MS * 30);
    assert!(world.in_flight > 900, "{}", world.in_flight);
    pause(&mut world, last - MS * 30 + MS * 200);
    world.run();
    world.assert_complete(8001);
    let requests = world.recorder.request_stats();
    assert_eq!((requests.sent, requests.timed_out), (4000, 0));
}

#[test]
fn loss_of_requests_and_answers_only_takes_longer() {
    let mut world = World::new(lines(1, 2), RecorderOptions::default(), 10_000);
    world.play(0, (10_000, 3, MS / 20), random(1, 50));
    let mut rng = Rng::new(3);
    world.servers.answers = Box::new(move |_, _, _| rng.below(10) > 0);
    world.run();
    world.assert_complete(10_000);
    let stats = world.recorder.request_stats();
    assert!(stats.timed_out > 0 && stats.timed_out < stats.sent / 5, "{stats:?}");
}

#[test]
fn two_lines_fill_each_others_gaps_and_requests_the_rest() {
    let mut world = World::new(lines(2, 1), RecorderOptions::default(), 100_000);
    for line in 0..2 {
        world.play(line, (100_000, 30, MS / 20), random(u64::from(line) + 1, 50));
    }
    world.run();
    world.assert_complete(100_000);
    let missed = [0, 1].map(|line| world.recorder.missed_by(line));
    // What a line misses, the other has or both miss.
    let mut both = 0;
    let (mut a, mut b) = (random(1, 50), random(2, 50));
    let mut counts = [0, 0];
    for number in 0..100_000_u64.div_ceil(30) {
        let size = 30.min(100_000 - number * 30);
        let lost = [a(number), b(number)];
        both += if lost == [true, true] { size } else { 0 };
        (0..2).for_each(|line| counts[line] += if lost[line] { size } else { 0 });
    }
    assert_eq!(missed, counts);
    assert_eq!(world.recorder.stats().resent, both);
}

#[test]
fn a_tail_that_only_a_heartbeat_shows_is_requested() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 100);
    world.group(MS, 0, datagram(SESSION, 1, 10));
    world.group(seconds(1), 0, heartbeat(101));
    world.group(seconds(2), 0, end(101));
    world.run_until(seconds(1) + MS * 30);
    assert_eq!(world.sink.messages.len(), 100);
    assert_eq!(world.recorder.missed_by(0), 90);
    world.run();
    world.assert_complete(100);
    assert_eq!(world.now, seconds(4), "the end is not repeated, and nothing follows it");
}

#[test]
fn a_silent_server_is_left_for_another_one() {
    let mut world = World::new(lines(1, 2), RecorderOptions::default(), 5_000);
    world.play(0, (5_000, 5, MS), random(7, 100));
    world.servers.answers = Box::new(|server, _, _| server == 1);
    world.run();
    world.assert_complete(5_000);
    let silent = world.requests.iter().filter(|request| request.2 == 0).count();
    assert!(silent < world.requests.len() / 3, "{silent} of {}", world.requests.len());
}

#[test]
fn many_messages_that_no_server_serves_end_the_recording_soon() {
    let mut world = World::new(lines(1, 2), RecorderOptions::default(), 20_000);
    world.play(0, (20_000, 1, MS / 100), random(5, 100));
    world.servers.answers = Box::new(|_, _, _| false);
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::NotServed));
    assert_eq!(outcome.missing.count(), world.recorder.missed_by(0));
    assert!(world.now < seconds(12), "{:?}", world.now);
}

#[test]
fn a_server_slower_than_the_first_wait_is_not_silent() {
    let options = RecorderOptions { retries: 1, ..RecorderOptions::default() };
    let mut world = World::new(lines(1, 2), options, 5_000);
    world.servers.round_trip = MS * 700;
    world.play(0, (5_000, 5, MS), random(7, 100));
    world.run();
    world.assert_complete(5_000);
}

#[test]
fn a_server_with_a_limit_is_asked_no_faster_than_it_answers() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 40_000);
    world.play(0, (40_000, 1, Duration::ZERO), |number| number % 2 == 1);
    // 100 requests in each 10 ms.
    let (mut slot, mut left) = (0, 100);
    world.servers.answers = Box::new(move |_, _, now| {
        if now.as_millis() / 10 != slot {
            (slot, left) = (now.as_millis() / 10, 100);
        }
        left -= 1;
        left >= 0
    });
    world.run();
    // 20,000 messages at 10,000 a second.
    assert!(world.now < seconds(8), "{:?}", world.now);
    let stats = world.recorder.request_stats();
    assert!(stats.sent < 5 * stats.answered, "{stats:?}");
    world.assert_complete(40_000);
}

#[test]
fn partial_answers_are_asked_for_the_rest() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 3_000);
    world.play(0, (3_000, 40, MS), random(5, 200));
    world.servers.most = 7;
    world.run();
    world.assert_complete(3_000);
    let stats = world.recorder.request_stats();
    assert!(stats.partial * 4 < stats.answered, "requests get smaller: {stats:?}");
}

/// Three datagrams that agree on a sequence far ahead show that a line joins late. One that is
/// damaged and arrives several times does not.
#[test]
fn a_damaged_datagram_that_arrives_several_times_is_not_believed() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 100);
    world.group(MS, 0, datagram(SESSION, 1, 10));
    (0..5).for_each(|_| world.group(MS * 2, 0, datagram(SESSION, 1 << 50, 10)));
    world.group(MS * 3, 0, datagram(SESSION, 11, 90));
    (0..5).for_each(|_| world.group(MS * 4, 0, datagram(SESSION, 1 << 50, 10)));
    (0..3).for_each(|second| world.group(seconds(second + 1), 0, end(101)));
    world.run();
    world.assert_complete(100);
}

#[test]
fn a_late_joiner_gets_what_the_server_reaches_back_to() {
    let last = 3_000_000;
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), last);
    for (place, first) in (last - 99..=last).step_by(10).enumerate() {
        world.group(MS * (1 + place as u32), 0, datagram(SESSION, first, 10));
    }
    (1..20).for_each(|second| world.group(seconds(second), 0, end(last + 1)));
    world.servers.from = 2_950_000;
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::BeforeReach));
    let from = world.recorder.served_from().unwrap();
    assert!((2_950_000..2_950_100).contains(&from), "{from}");
    assert_eq!(outcome.missing, format!("1-{}", from - 1).parse::<SeqSet>().unwrap());
    let noted = RecorderEvent::ServedFrom { sequence: from };
    assert_eq!(world.notes.iter().filter(|note| **note == noted).count(), 1);
    assert_eq!(world.recorder.violations().implausible, 0);
    // A server that has the whole day serves it.
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 200_000);
    world.servers.round_trip = MS;
    world.group(MS, 0, heartbeat(200_001));
    (1..20).for_each(|second| world.group(seconds(second), 0, end(200_001)));
    world.run();
    world.assert_complete(200_000);
    assert!(world.requests.len() < 20_000);
}

#[test]
fn nothing_foreign_reaches_the_recording() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 100);
    world.group(MS, 0, datagram(SESSION, 1, 10));
    let other = Session(*b"OTHER     ");
    world.group(MS * 2, 0, datagram(other, 11, 10));
    let whole = datagram(SESSION, 11, 10);
    world.group(MS * 2, 0, whole[..whole.len() - 1].to_vec());
    world.group(MS * 2, 0, whole[..15].to_vec());
    let mut counted = whole.clone();
    counted[19] = 11;
    world.group(MS * 2, 0, counted);
    let mut zero = whole.clone();
    zero[10..18].fill(0);
    world.group(MS * 2, 0, zero);
    let mut high = whole.clone();
    high[10..18].copy_from_slice(&(1_u64 << 63).to_be_bytes());
    world.group(MS * 2, 0, high);
    let mut far = whole.clone();
    far[10..18].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    world.group(MS * 2, 0, far);
    world.run_until(MS * 3);
    let source = DatagramSource::Stranger;
    world.give(Input::Datagram { line: 0, source, bytes: &whole });
    // Nonsense of a driver is no crash.
    for (line, source) in [(9, DatagramSource::Group), (0, DatagramSource::Server(7))] {
        world.give(Input::Datagram { line, source, bytes: &datagram(SESSION, 1, 5) });
    }
    assert_eq!(world.sink.messages.len(), 10);
    assert_eq!(world.recorder.ledger().highest(), 10);
    world.play(0, (100, 10, MS), |number| number > 0 && number % 2 == 0);
    world.run();
    world.assert_complete(100);
    let ignored = world.recorder.violations().datagrams;
    assert_eq!((ignored.malformed, ignored.other_session, ignored.strangers), (5, 1, 1));
    let block = ParseError::BlockTooLong { offset: 0, message: 9, length: 0, available: 0 };
    let first = ignored.first_malformed.unwrap();
    assert!(
        matches!(first, MoldViolation::Datagram(error)
        if std::mem::discriminant(&error) == std::mem::discriminant(&block)),
        "{first:?}"
    );
    assert_eq!(world.recorder.violations().implausible, 1);
    assert!(Facts::of(&world.recorder, 100).is_success());
}

#[test]
fn another_session_ends_the_recording_once_this_one_is_silent() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 100);
    world.play(0, (100, 10, MS), |_| false);
    world.events.retain(|(time, _), _| *time < MS * 11);
    let next = Session(*b"DAY2      ");
    for tenth in 0..60 {
        world.group(MS * (20 + 100 * tenth), 0, datagram(next, 1 + u64::from(tenth), 1));
    }
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::OtherSession));
    assert_eq!(world.recorder.line(0).unwrap().other_session, Some(SessionId::new(next.0)));
    assert_eq!(world.completeness(), Completeness::SoFar);
    assert_eq!(world.sink.messages.len(), 100);
    assert!((seconds(3)..seconds(4)).contains(&world.now), "{:?}", world.now);
}

#[test]
fn a_group_that_says_nothing_is_given_up() {
    let mut world = World::new(lines(2, 1), RecorderOptions::default(), 100);
    world.run();
    assert_eq!(world.now, seconds(10));
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::Unreachable));
}

#[test]
fn a_gap_waits_for_late_datagrams_first() {
    let options = RecorderOptions { reorder_wait: MS * 50, ..RecorderOptions::default() };
    let mut world = World::new(lines(1, 1), options, 100);
    let whole = |first| datagram(SESSION, first, 10);
    for (time, first) in [(1, 1), (2, 21), (40, 11), (41, 41), (100, 51)] {
        world.group(MS * time, 0, whole(first));
    }
    world.run_until(MS * 90);
    assert!(world.requests.is_empty());
    assert_eq!(world.recorder.line(0).unwrap().mold.reordered, 1);
    world.group(MS * 200, 0, end(101));
    world.group(MS * 201, 0, end(101));
    world.run();
    world.assert_complete(100);
    assert_eq!(world.requests[0].0, MS * 91);
}

#[test]
fn gaps_are_given_up_after_the_time_of_the_user() {
    let options = RecorderOptions { give_up: Some(seconds(2)), ..RecorderOptions::default() };
    let mut world = World::new(lines(1, 1), options, 100);
    world.play(0, (100, 10, MS), |number| number == 3);
    world.servers.answers = Box::new(|_, _, _| false);
    world.run_until(MS * 60);
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::GivenUp));
    assert_eq!(outcome.missing, "31-40".parse().unwrap());
}

#[test]
fn a_resumed_recording_requests_what_it_lacks() {
    let session = SessionId::new(SESSION.0);
    let info = Info { session, version: 1, first: 1, last: 0 };
    let missing: SeqSet = "11-20".parse().unwrap();
    let recorder =
        Recorder::resume(RecorderOptions::default(), lines(1, 1), 50, &missing, Some(info));
    let mut world = World::of(recorder, 100);
    (1..=100).filter(|seq| *seq < 11 || (21..=50).contains(seq)).for_each(|seq| {
        world.sink.messages.insert(seq, message(seq));
    });
    world.run_until(MS * 25);
    assert_eq!(world.sink.messages.len(), 50, "before any datagram of the group");
    world.group(MS * 30, 0, datagram(SESSION, 91, 10));
    (1..9).for_each(|second| world.group(seconds(second), 0, end(101)));
    world.run();
    world.assert_complete(100);
}

#[test]
fn a_stop_waits_for_answers_and_no_longer() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 1_000);
    world.play(0, (1_000, 10, MS), |number| number == 3);
    world.run_until(MS * 10);
    world.give(Input::Stop);
    assert!(!world.recorder.is_done());
    world.run();
    assert_eq!(world.completeness(), Completeness::SoFar);
    assert!(world.now < MS * 40, "{:?}", world.now);
    for stops in [1, 2] {
        let mut world = World::new(lines(1, 1), RecorderOptions::default(), 1_000);
        world.play(0, (1_000, 10, MS), |number| number == 3);
        world.servers.answers = Box::new(|_, _, _| false);
        world.run_until(MS * 10);
        (0..stops).for_each(|_| world.give(Input::Stop));
        world.run();
        assert_eq!(world.completeness(), Completeness::Incomplete);
        let waits = if stops == 1 { seconds(1) } else { Duration::ZERO };
        assert_eq!(world.now, MS * 10 + waits);
    }
}

#[test]
fn kernel_drops_are_counted_apart() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 100);
    world.give(Input::KernelDrops { line: 0, count: 5 });
    world.give(Input::KernelDrops { line: 3, count: 5 });
    assert_eq!(world.recorder.line(0).unwrap().mold.kernel_drops, 5);
    assert_eq!(world.recorder.missed_by(0), 0);
}

#[test]
fn an_answer_behind_what_was_requested_leaves_the_rest_to_be_requested() {
    for retries in [0, 1, 4] {
        let options = RecorderOptions { retries, ..RecorderOptions::default() };
        let mut world = World::new(lines(1, 1), options, 9_000);
        world.servers.answers = Box::new(|_, _, _| false);
        world.group(MS, 0, heartbeat(618));
        world.at(MS, Event::Answer(0, 0, datagram(SESSION, 18, 1)));
        world.in_flight += 1;
        world.run();
        assert_eq!(world.recorder.outcome().unwrap().missing, "1-17,19-617".parse().unwrap());
    }
}

#[test]
fn an_answer_that_contradicts_the_recording_adds_nothing_to_it() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 40);
    let mut requests = 0;
    world.servers.answers = Box::new(move |_, _, _| {
        requests += 1;
        requests > 1
    });
    world.group(MS, 0, heartbeat(41));
    // The answer is too long for a datagram, and the second one is numbered like the first.
    world.at(MS * 21, Event::Answer(0, 0, datagram(SESSION, 1, 10)));
    let mut second = Vec::new();
    let mut builder = Builder::new(&mut second, SESSION, 1, PayloadLimit::DEFAULT);
    (11..=40).for_each(|seq| builder.push(&message(seq)).unwrap());
    builder.finish();
    world.at(MS * 21, Event::Answer(0, 0, second));
    world.in_flight += 2;
    world.group(MS * 100, 0, end(41));
    world.group(MS * 101, 0, end(41));
    world.run();
    assert!(world.recorder.outcome().unwrap().is_complete());
    assert!(world.sink.messages.iter().all(|(seq, bytes)| *bytes == message(*seq)));
    // The recording is right, and that the server contradicts itself is told.
    assert_eq!(world.recorder.violations().conflicts, 10);
    assert_eq!(world.completeness(), Completeness::Complete);
    let stats = world.recorder.stats();
    assert_eq!((stats.resent, stats.duplicates), (40, 10));
}

#[test]
fn an_answer_that_repeats_the_recording_fills_what_is_missing() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 40);
    world.servers.answers = Box::new(|_, _, _| false);
    for first in [5, 9, 20] {
        world.group(MS, 0, datagram(SESSION, first, 2));
    }
    world.group(MS, 0, heartbeat(31));
    // It has more than was requested: 31-40 are new.
    world.at(MS * 21, Event::Answer(0, 0, datagram(SESSION, 1, 40)));
    world.in_flight += 1;
    world.group(MS * 100, 0, end(41));
    world.group(MS * 101, 0, end(41));
    world.run();
    world.assert_complete(40);
    let stats = world.recorder.stats();
    assert_eq!((stats.streamed, stats.resent, stats.duplicates), (6, 34, 6));
    assert_eq!(world.recorder.violations().conflicts, 0);
}

#[test]
fn a_datagram_with_a_wrong_sequence_says_nothing_about_a_session_of_order_packets() {
    let tape = Tape::random(100, 1);
    let datagram_as = |claimed: Seq, first: Seq| {
        let (mut bytes, range) = (Vec::new(), SeqRange::counted(first, 10).unwrap());
        let mut builder = Builder::new(&mut bytes, SESSION, claimed, PayloadLimit::DEFAULT);
        let pushed = builder.push_all(tape.slice(range).iter().map(|frame| frame.as_slice()));
        assert_eq!(pushed, 10);
        drop(builder);
        bytes
    };
    let options = RecorderOptions { follow: true, ..RecorderOptions::default() };
    let mut recorder = Recorder::new(options, lines(2, 1));
    let (mut sink, source) = (MemoryRecording::new(), DatagramSource::Group);
    let mut now = Duration::ZERO;
    let mut give = |line: u16, bytes: &[u8], recorder: &mut Recorder| {
        now += MS;
        recorder.handle(Input::Datagram { line, source, bytes }, now, &mut sink);
        while recorder.poll().is_some() {}
    };
    recorder.handle(Input::Wake, Duration::ZERO, &mut MemoryRecording::new());
    while recorder.poll().is_some() {}
    // Neither before the first order packets nor between them.
    give(0, &datagram_as(7 << 59, 1), &mut recorder);
    for first in (1..=100).step_by(10) {
        give(0, &datagram_as(first, first), &mut recorder);
        give(1, &datagram_as(first, first), &mut recorder);
        give(0, &datagram_as((7 << 59) + first, first), &mut recorder);
        give(1, &datagram_as(first + 3, first), &mut recorder);
    }
    for line in [0, 1, 0, 1] {
        give(line, &end(101), &mut recorder);
    }
    assert!(recorder.outcome().is_some_and(|outcome| outcome.is_complete()));
    assert!(sink.in_order().flatten().eq(tape.frames()));
    assert_eq!(recorder.violations().datagrams.malformed, 20);
    assert_eq!([0, 1].map(|line| recorder.line(line).unwrap().missed), [0, 0]);
}
