//! Following of live sessions on simulated networks.

use feed::base::chance::Chance;
use feed::base::span::{Span, TimeSpan};
use feed::client::{IncompleteReason, Outcome, Recorder, RecorderOptions, Tail};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::{
    Fault, FaultAction, FaultPlace, FaultSelector, Scenario, SlowSubscriberPolicy, WriteSize,
};
use feed::sim::{Network, Progress, SimWorld};
use feed::tape::growing::GrowingTape;
use feed::tape::market::SyntheticMarket;
use feed::tape::recording::MemoryRecording;
use feed::tape::source::TapeSource;
use feed::wire::{MAX_PACKET_SEQ, sequence_of};
use std::time::Duration;

type Exchanges = Vec<MockExchange<GrowingTape<SyntheticMarket>>>;

fn network(latency_ms: u64) -> Network {
    Network {
        latency: Duration::from_millis(latency_ms),
        jitter: Duration::from_micros(300),
        segment: 1400,
        cut_calls: true,
    }
}

/// Returns an exchange of a live market of `last` packets.
pub(crate) fn exchange(
    tempo: &str,
    last: u64,
    scenario: Scenario,
) -> MockExchange<GrowingTape<SyntheticMarket>> {
    MockExchange::new(
        GrowingTape::new(SyntheticMarket::seeded(1, last), tempo.parse().unwrap(), 3, 0),
        scenario,
    )
}

fn options() -> RecorderOptions {
    let timeout = Duration::from_secs(1_000_000);
    RecorderOptions { follow: true, timeout, ..RecorderOptions::default() }
}

fn follow(exchanges: Exchanges, seed: u64) -> (Recorder, MemoryRecording, Duration) {
    follow_as(options(), exchanges, seed)
}

fn follow_as(
    options: RecorderOptions,
    exchanges: Exchanges,
    seed: u64,
) -> (Recorder, MemoryRecording, Duration) {
    let lines = u16::try_from(exchanges.len()).unwrap();
    let mut world = SimWorld::new(exchanges, network(5), seed);
    let (mut recorder, mut recording) = (Recorder::new(options, lines), MemoryRecording::new());
    world.drive(&mut recorder, &mut recording, None).unwrap();
    (recorder, recording, world.now())
}

fn complete(recorder: &Recorder, recording: &MemoryRecording, last: u64) {
    let outcome = recorder.outcome().unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!((outcome.last, outcome.tail), (last, Tail::Confirmed));
    let market = SyntheticMarket::seeded(1, last);
    let frames: Vec<_> = recording.in_order().flatten().copied().collect();
    assert_eq!(frames.len(), last as usize);
    for (seq, frame) in (1..).zip(&frames) {
        assert_eq!(sequence_of(frame), seq);
        let packet = feed::wire::encode(&feed::wire::Frame::Packet(market.packet(seq)));
        assert_eq!(*frame, packet);
    }
}

#[test]
fn a_session_is_followed_to_its_end() {
    for seed in 0..50 {
        let losing = Scenario::losing(seed, "0.2".parse().unwrap());
        let exchanges = vec![exchange("poisson:1000/s", 2000, losing)];
        let (recorder, recording, took) = follow(exchanges, seed);
        complete(&recorder, &recording, 2000);
        assert!((1..4).contains(&took.as_secs()), "{took:?}");
        assert_eq!(recorder.stats().duplicates, 0, "seed {seed}: nothing is requested twice");
    }
}

#[test]
fn missed_packets_are_recorded_a_round_trip_later() {
    let losing = Scenario::losing(1, "0.2".parse().unwrap());
    let mut world = SimWorld::new(vec![exchange("1000/s", MAX_PACKET_SEQ, losing)], network(20), 1);
    let (mut recorder, mut recording) = (Recorder::new(options(), 1), MemoryRecording::new());
    for second in 1..20 {
        let until = Duration::from_secs(second);
        let progress = world.drive(&mut recorder, &mut recording, Some(until)).unwrap();
        assert_eq!(progress, Progress::Until);
        // One round trip of 40 ms and the time of a few packets.
        let lag = recorder.ledger().highest() - recorder.ledger().frontier();
        assert!(lag < 60, "{lag} packets behind");
        assert!(recorder.ledger().highest() >= second * 1000 - 150);
        // The number of missed packets is known while the line runs.
        let missed = recorder.missed_by(0);
        assert!((150..250).contains(&(missed / second)), "{missed} missed after {second} s");
    }
}

#[test]
fn a_heartbeat_shows_a_missed_tail() {
    // Bursts of 5 packets, the last two of them dropped, then a pause.
    let skipping = Scenario::skipping("4-5".parse().unwrap());
    let mut world =
        SimWorld::new(vec![exchange("bursts:1/s:5", MAX_PACKET_SEQ, skipping)], network(5), 1);
    let (mut recorder, mut recording) = (Recorder::new(options(), 1), MemoryRecording::new());
    let until = |ms| Some(Duration::from_millis(ms));
    world.drive(&mut recorder, &mut recording, until(900)).unwrap();
    assert_eq!(
        (recorder.ledger().highest(), recording.len()),
        (3, 3),
        "nothing shows the two dropped packets yet"
    );
    world.drive(&mut recorder, &mut recording, until(1100)).unwrap();
    assert_eq!((recorder.ledger().highest(), recording.len()), (5, 5));
    assert_eq!((recorder.stats().resent, recorder.ledger().frontier()), (2, 5));
}

#[test]
fn a_broken_subscription_is_renewed_without_loss_or_duplicates() {
    let actions = [
        FaultAction::Close { bytes: 9 },
        FaultAction::Reset { bytes: 3 },
        FaultAction::Silence,
        FaultAction::Restart { down: Duration::from_millis(700), renew: false },
    ];
    for (seed, action) in (0..).zip(actions) {
        let mut cut = Fault::new(action, FaultPlace::Stream).unwrap();
        cut.sequences = Some("300,301,900".parse().unwrap());
        cut.times = Some(1);
        let scenario = Scenario::losing(seed, "0.1".parse().unwrap()).with(cut);
        let (recorder, recording, _) = follow(vec![exchange("1000/s", 3000, scenario)], seed);
        complete(&recorder, &recording, 3000);
        assert!(recorder.stats().duplicates < 40, "{action:?}: {:?}", recorder.stats());
    }
}

#[test]
fn one_of_two_lines_may_die() {
    for seed in 0..30 {
        let losing = |seed| Scenario::losing(seed, "0.2".parse().unwrap());
        let mut die = Fault::new(FaultAction::Die, FaultPlace::Stream).unwrap();
        die.sequences = Some("700".parse().unwrap());
        let lines = vec![
            exchange("1000/s", 2000, losing(seed).with(die)),
            exchange("1000/s", 2000, losing(seed + 100)),
        ];
        let (recorder, recording, _) = follow(lines, seed);
        complete(&recorder, &recording, 2000);
        let (one, two) = (recorder.line(0).unwrap(), recorder.line(1).unwrap());
        assert!(one.first > 0 && two.first > one.first, "{one:?} {two:?}");
    }
}

#[test]
fn with_a_reorder_wait_the_other_line_fills_gaps_first() {
    let resends = |wait| {
        let losing = |seed| Scenario::losing(seed, "0.2".parse().unwrap());
        let lines = vec![exchange("1000/s", 2000, losing(1)), exchange("1000/s", 2000, losing(2))];
        let mut world = SimWorld::new(lines, network(5), 1);
        let options = RecorderOptions { reorder_wait: Duration::from_millis(wait), ..options() };
        let (mut recorder, mut recording) = (Recorder::new(options, 2), MemoryRecording::new());
        world.drive(&mut recorder, &mut recording, None).unwrap();
        complete(&recorder, &recording, 2000);
        recorder.stats().resent
    };
    let (at_once, later) = (resends(0), resends(30));
    // Only packets that both lines have missed: 4 %.
    assert!((40..130).contains(&later) && later <= at_once, "{at_once} {later}");
}

#[test]
fn an_exchange_without_the_extension_cannot_be_followed() {
    let scenario = Scenario { extension: false, ..Scenario::clean(1) };
    let (recorder, _, _) = follow(vec![exchange("1000/s", 100, scenario)], 1);
    let Outcome { reason, .. } = recorder.outcome().unwrap();
    assert_eq!(*reason, Some(IncompleteReason::NotLive));
}

fn restart(at: &str, renew: bool) -> Fault {
    let down = Duration::from_millis(300);
    let mut restart = Fault::new(FaultAction::Restart { down, renew }, FaultPlace::Stream).unwrap();
    restart.sequences = Some(at.parse().unwrap());
    restart.times = Some(1);
    restart
}

fn another(seed: u64) -> GrowingTape<SyntheticMarket> {
    GrowingTape::new(SyntheticMarket::seeded(seed, MAX_PACKET_SEQ), "1000/s".parse().unwrap(), 3, 0)
}

#[test]
fn another_session_is_not_mixed_with_the_one_that_is_recorded() {
    let scenario = Scenario::clean(1).with(restart("500", true));
    let exchange = exchange("1000/s", 2000, scenario).with_next_tape(another(2));
    let (recorder, recording, _) = follow(vec![exchange], 1);
    let outcome = recorder.outcome().unwrap();
    assert_eq!(
        (outcome.reason, outcome.last),
        (Some(IncompleteReason::OtherSession), recording.len() as u64)
    );
    assert!((499..520).contains(&recording.len()), "{}", recording.len());
    let (line, other) = (recorder.line(0).unwrap(), SyntheticMarket::seeded(2, MAX_PACKET_SEQ));
    assert_eq!((line.other_session, line.cuts > 0), (Some(other.session()), true));
    let market = SyntheticMarket::seeded(1, 2000);
    for frame in recording.in_order().flatten() {
        let packet = market.packet(sequence_of(frame));
        assert_eq!(*frame, feed::wire::encode(&feed::wire::Frame::Packet(packet)));
    }
}

#[test]
fn a_line_that_plays_another_session_does_not_end_the_one_that_others_play() {
    let strange = Scenario::losing(1, "0.1".parse().unwrap()).with(restart("500", true));
    let lines = vec![
        exchange("1000/s", 2000, strange).with_next_tape(another(2)),
        exchange("1000/s", 2000, Scenario::losing(2, "0.2".parse().unwrap())),
    ];
    let (recorder, recording, _) = follow(lines, 1);
    complete(&recorder, &recording, 2000);
    assert!(recorder.line(0).unwrap().other_session.is_some());
    let missed = [0, 1].map(|line| recorder.line(line).unwrap().missed);
    assert!((20..90).contains(&missed[0]) && (300..500).contains(&missed[1]), "{missed:?}");
}

#[test]
fn packets_that_are_never_resent_are_abandoned_and_the_rest_is_recorded() {
    // These packets are sent neither in the stream nor in resends.
    let mut silent = Fault::new(FaultAction::Drop, FaultPlace::Resend).unwrap();
    silent.sequences = Some("300-305".parse().unwrap());
    let scenario = Scenario::skipping("300-305,400".parse().unwrap()).with(silent);
    let options = RecorderOptions { give_up: Some(Duration::from_millis(500)), ..options() };
    let exchanges = vec![exchange("1000/s", 3000, scenario)];
    let mut world = SimWorld::new(exchanges, network(5), 1);
    let (mut recorder, mut recording) = (Recorder::new(options, 1), MemoryRecording::new());
    let until = |ms| Some(Duration::from_millis(ms));
    world.drive(&mut recorder, &mut recording, until(780)).unwrap();
    let calls = recorder.stats().resend_calls;
    assert!(calls > 2 && recorder.ledger().gaps().missing() == 6, "{calls}");
    world.drive(&mut recorder, &mut recording, until(900)).unwrap();
    let calls = recorder.stats().resend_calls;
    world.drive(&mut recorder, &mut recording, None).unwrap();
    assert_eq!(recorder.stats().resend_calls, calls, "abandoned packets are requested no more");
    let outcome = recorder.outcome().unwrap();
    assert_eq!(
        (outcome.reason, outcome.missing.to_string()),
        (Some(IncompleteReason::GivenUp), "300-305".into())
    );
    assert_eq!((outcome.last, recording.len()), (3000, 2994));
}

#[test]
fn unanswered_requests_are_repeated_for_a_long_time() {
    let mut mute = Fault::new(FaultAction::Drop, FaultPlace::Resend).unwrap();
    mute.times = Some(8);
    let scenario = Scenario::skipping("100-103".parse().unwrap()).with(mute);
    let (recorder, recording, took) = follow(vec![exchange("1000/s", 20_000, scenario)], 1);
    complete(&recorder, &recording, 20_000);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_follower_that_was_too_slow_gets_every_packet_in_the_end() {
    // Writes of ten packets with pauses are slower than new packets, for a while.
    let pause = TimeSpan::one(Duration::from_millis(50));
    let write = FaultAction::Write { size: WriteSize::Packets(Span::one(10)), pause };
    let mut slow_writes = Fault::new(write, FaultPlace::Stream).unwrap();
    slow_writes.sequences = Some("500-900".parse().unwrap());
    for slow in [SlowSubscriberPolicy::Skip(100), SlowSubscriberPolicy::Cut(100)] {
        let scenario = Scenario { slow, ..Scenario::losing(1, "0.1".parse().unwrap()) };
        let exchange = exchange("1000/s", 5000, scenario.with(slow_writes.clone()));
        let (recorder, recording, took) = follow(vec![exchange], 1);
        complete(&recorder, &recording, 5000);
        assert_eq!(
            recorder.line(0).unwrap().cuts > 0,
            matches!(slow, SlowSubscriberPolicy::Cut(_))
        );
        assert!(!recorder.violations().has_any() && took < Duration::from_secs(8), "{took:?}");
    }
}

#[test]
fn missed_answers_are_requested_again_while_new_gaps_open() {
    for chance in [1, 30] {
        let mut unanswered = Fault::new(FaultAction::Drop, FaultPlace::Resend).unwrap();
        unanswered.pick =
            FaultSelector::Random { chance: Chance::of(chance, 100).unwrap(), burst: Span::one(1) };
        let scenario = Scenario::losing(1, "0.2".parse().unwrap()).with(unanswered);
        let mut world =
            SimWorld::new(vec![exchange("20000/s", MAX_PACKET_SEQ, scenario)], network(5), 1);
        let (mut recorder, mut recording) = (Recorder::new(options(), 1), MemoryRecording::new());
        for second in 1..5 {
            let until = Some(Duration::from_secs(second));
            world.drive(&mut recorder, &mut recording, until).unwrap();
            let lag = recorder.ledger().highest() - recorder.ledger().frontier();
            assert!(lag < 16_000, "{chance} %: {lag} packets behind after {second} s");
        }
    }
}
