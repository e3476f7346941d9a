//! Ends of MoldUDP64 recordings: every recording ends, whatever is missing or falls silent.

use crate::mold_world::{MS, SESSION, World, datagram, end, heartbeat, lines, seconds};
use feed::client::{DatagramSource, IncompleteReason, Input, RecorderOptions};
use feed::ledger::Limits;
use feed::session::completeness::Completeness;
use std::time::Duration;

/// Servers that answered one message at a time, and have been silent for long, leave thousands of
/// pieces to request.
#[test]
fn a_recording_ends_soon_after_its_lines_and_servers_fall_silent() {
    for retries in [4, 30] {
        let options = RecorderOptions { retries, ..RecorderOptions::default() };
        let mut world = World::new(lines(1, 2), options, 9_000);
        world.servers.most = 1;
        world.servers.answers = Box::new(|_, _, now| now < seconds(1));
        world.group(MS, 0, datagram(SESSION, 1, 1));
        world.group(MS * 2, 0, datagram(SESSION, 20, 1));
        world.group(seconds(2), 0, datagram(SESSION, 22, 1));
        (3..60).for_each(|second| world.group(seconds(second), 0, heartbeat(23)));
        world.group(seconds(60), 0, datagram(SESSION, 9_000, 1));
        world.run();
        let outcome = world.recorder.outcome().unwrap();
        assert_eq!(outcome.missing, "21,23-8999".parse().unwrap());
        assert!(world.now < seconds(60 + 60), "{retries}: {:?}", world.now);
        assert!(world.requests.len() < 1_000, "{retries}: {}", world.requests.len());
    }
}

/// A laptop that slept handles all deadlines at once.
#[test]
fn a_message_after_a_long_sleep_does_not_keep_the_recording_open() {
    let options = RecorderOptions { retries: 2, ..RecorderOptions::default() };
    let mut world = World::new(lines(3, 2), options, 9_000);
    world.servers.answers = Box::new(|_, _, _| false);
    let source = DatagramSource::Group;
    for (wait, line, bytes) in
        [(0, 1, end(772)), (27, 0, end(2_624)), (56, 0, datagram(SESSION, 2_536, 1))]
    {
        world.now += seconds(wait);
        world.give(Input::Wake);
        world.give(Input::Datagram { line, source, bytes: &bytes });
    }
    world.run();
    assert_eq!(world.recorder.outcome().unwrap().missing, "1-2535,2537-2623".parse().unwrap());
}

#[test]
fn a_tail_without_room_among_the_gaps_does_not_keep_the_recording_open() {
    let limits = Limits { max_gaps: 1, ..Limits::default() };
    let options = RecorderOptions { retries: 0, limits, ..RecorderOptions::default() };
    let mut world = World::new(lines(2, 1), options, 1_369);
    world.servers.answers = Box::new(|_, _, _| false);
    world.group(MS, 0, datagram(SESSION, 11, 1));
    for bytes in [heartbeat(258), datagram(SESSION, 258, 2), end(1_370)] {
        world.group(MS, 1, bytes);
    }
    world.group(MS, 0, end(257));
    world.group(MS, 1, end(1_370));
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.missing, "1-10,12-257,260-1369".parse().unwrap());
    assert_eq!(outcome.last, 1_369);
}

#[test]
fn messages_that_no_server_serves_end_the_recording_incomplete() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 1_000);
    world.play(0, (1_000, 10, MS), |number| number == 50);
    world.servers.answers = Box::new(|_, _, _| false);
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert_eq!(outcome.missing, "501-510".parse().unwrap());
    assert_eq!(outcome.reason, Some(IncompleteReason::NotServed));
    assert_eq!(world.requests.len(), 5, "one request and four retries");
    assert_eq!(world.completeness(), Completeness::Incomplete);
    // Without a server, nothing is requested.
    let mut world = World::new(lines(1, 0), RecorderOptions::default(), 1_000);
    world.play(0, (1_000, 10, MS), |number| number == 50);
    world.run();
    assert_eq!(world.recorder.outcome().unwrap().reason, Some(IncompleteReason::NotServed));
    assert!(world.requests.is_empty());
}

#[test]
fn an_end_inside_the_stream_ends_nothing() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 50);
    world.group(MS, 0, datagram(SESSION, 1, 10));
    world.group(MS, 0, end(11));
    world.group(seconds(1), 0, heartbeat(11));
    world.group(seconds(2), 0, end(11));
    world.group(seconds(3), 0, datagram(SESSION, 11, 40));
    world.group(seconds(4), 0, end(51));
    world.group(seconds(5), 0, end(51));
    world.run();
    world.assert_complete(50);
    assert_eq!(world.now, seconds(5));
}

#[test]
fn an_empty_session_is_complete() {
    let mut world = World::new(lines(1, 1), RecorderOptions::default(), 0);
    world.group(MS, 0, end(1));
    world.group(seconds(1), 0, end(1));
    world.run();
    assert_eq!(world.completeness(), Completeness::Complete);
    assert_eq!(world.recorder.outcome().unwrap().last, 0);
}

/// A gap that was filled makes room for the tail while no other input is awaited.
#[test]
fn a_tail_that_gets_room_late_is_requested() {
    let limits = Limits { max_gaps: 1, ..Limits::default() };
    let reorder_wait = Duration::ZERO;
    let options =
        RecorderOptions { retries: 0, limits, reorder_wait, ..RecorderOptions::default() };
    let mut world = World::new(lines(2, 1), options, 1_369);
    world.servers.answers = Box::new(|_, request, _| request.sequence >= 260);
    world.group(MS, 0, datagram(SESSION, 11, 1));
    let second = [heartbeat(258), datagram(SESSION, 258, 2), datagram(SESSION, 2, 9), end(1_370)];
    second.into_iter().for_each(|bytes| world.group(MS, 1, bytes));
    world.group(MS, 0, end(257));
    world.group(MS, 1, end(1_370));
    world.group(MS, 0, datagram(SESSION, 1, 1));
    world.run();
    assert_eq!(world.recorder.outcome().unwrap().missing, "12-257".parse().unwrap());
}

/// A laptop that slept gives up all lines before it reads the answers that wait.
#[test]
fn answers_after_all_lines_fell_silent_end_the_recording() {
    let mut world = World::new(lines(2, 1), RecorderOptions::default(), 107);
    world.servers.answers = Box::new(|_, _, _| false);
    world.group(MS, 0, datagram(SESSION, 98, 10));
    world.run_until(MS * 2);
    world.now += seconds(65);
    world.give(Input::Wake);
    for first in [1, 41, 81] {
        let bytes = datagram(SESSION, first, 40.min(98 - first));
        world.give(Input::Datagram { line: 0, source: DatagramSource::Server(0), bytes: &bytes });
    }
    world.run();
    let outcome = world.recorder.outcome().unwrap();
    assert!(outcome.missing.is_empty() && outcome.reason.is_some(), "{outcome:?}");
}

/// No line shows any more how time passes, and a new gap is too young to be requested at once.
#[test]
fn a_gap_that_opens_after_all_lines_fell_silent_ends_the_recording() {
    let options = RecorderOptions { reorder_wait: MS, ..RecorderOptions::default() };
    let mut world = World::new(lines(2, 1), options, 3_000);
    world.servers.answers = Box::new(|_, request, _| request.sequence > 20);
    world.group(MS, 0, datagram(SESSION, 11, 10));
    world.run_until(MS * 2);
    world.now += seconds(65);
    world.give(Input::Wake);
    for (first, count) in [(1_348, 10), (1, 10)] {
        let bytes = datagram(SESSION, first, count);
        world.give(Input::Datagram { line: 0, source: DatagramSource::Server(0), bytes: &bytes });
    }
    world.run();
    assert!(world.recorder.outcome().unwrap().missing.is_empty());
}

/// Request servers that were down for half a minute get all requests once they answer again, also
/// if the session ends soon after that.
#[test]
fn messages_missed_while_the_servers_were_down_are_recorded_once_they_answer() {
    for (lasts, filled) in [(31, None), (32, None), (60, Some(42)), (90, Some(42))] {
        let last = lasts * 100;
        let mut world = World::new(lines(1, 1), RecorderOptions::default(), last);
        world.servers.answers = Box::new(|_, _, now| now < seconds(1) || now > seconds(30));
        // Ten messages each 100 ms; once a second they are missed.
        for number in (0..last / 10).filter(|number| number % 10 != 4) {
            let time = MS * 100 * u32::try_from(number).unwrap();
            world.group(time, 0, datagram(SESSION, number * 10 + 1, 10));
        }
        world.group(seconds(lasts), 0, end(last + 1));
        world.group(seconds(lasts + 1), 0, end(last + 1));
        if let Some(second) = filled {
            world.run_until(seconds(second) - MS);
            assert!(world.recorder.ledger().gaps().is_empty(), "{lasts}");
        }
        world.run();
        world.assert_complete(last);
        assert!(world.now < seconds(lasts + 2), "{lasts}: {:?}", world.now);
    }
}
