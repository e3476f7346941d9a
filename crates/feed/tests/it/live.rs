//! Live sessions, the exchange's side: what subscribers get, and when.

use feed::base::seq::{MAX_SEQ, SeqRange};
use feed::base::span::{Span, TimeSpan};
use feed::exchange::server::{FAREWELL, HEARTBEAT, LINGER, MockExchange, ServerConnection};
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::{
    Fault, FaultAction, FaultPlace, Scenario, SlowSubscriberPolicy, WriteSize,
};
use feed::tape::growing::GrowingTape;
use feed::tape::market::SyntheticMarket;
use feed::tape::source::TapeSource;
use feed::wire::{Call, Frame, NotAvailable, RawFrame, Reason, decode};
use std::time::Duration;

type Exchanged = Vec<(Duration, Frame)>;

fn player(
    tempo: &str,
    last: u32,
    scenario: Scenario,
) -> MockExchange<GrowingTape<SyntheticMarket>> {
    MockExchange::new(
        GrowingTape::new(SyntheticMarket::seeded(1, last), tempo.parse().unwrap(), 3, 0),
        scenario,
    )
}

/// What a client gets for these calls until `until`, and how it ends.
fn client(
    player: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    from: Duration,
    calls: &[Call],
    until: Duration,
) -> (Exchanged, Step) {
    let (mut now, mut got, mut bytes) = (from, Vec::new(), Vec::new());
    let mut seat = player.open(now);
    let mut text = Vec::new();
    calls.iter().for_each(|call| call.encode(&mut text));
    player.receive(&mut seat, &text, now);
    let mut out = [0; 999];
    loop {
        let count = player.peek(&mut seat, &mut out, now);
        // A socket that takes odd amounts.
        let count = count.min(100);
        bytes.extend_from_slice(&out[..count]);
        player.sent(&mut seat, count, now);
        let whole = bytes.len() / 17 * 17;
        let frames: Vec<u8> = bytes.drain(..whole).collect();
        let frames: &[RawFrame] = frames.as_chunks().0;
        got.extend(frames.iter().map(|frame| (now, decode(frame).unwrap())));
        if count > 0 {
            continue;
        }
        let step = player.step(&mut seat, now);
        match player.deadline(&seat) {
            Some(later) if step == Step::Wait && later < until => {
                assert!(later > now, "a deadline that has passed: {later:?}");
                now = later;
            }
            _ => return (got, step),
        }
    }
}

fn describe() -> Call {
    Call::Describe { version: 1 }
}

fn packets(got: &Exchanged) -> Vec<(u128, u32)> {
    let packet = |(time, frame): &(Duration, Frame)| match frame {
        Frame::Packet(packet) => Some((time.as_millis(), packet.sequence)),
        _ => None,
    };
    got.iter().filter_map(packet).collect()
}

#[test]
fn a_subscriber_gets_what_is_there_and_then_what_comes_and_the_end() {
    let mut player = player("100/s", 20, Scenario::clean(1));
    // The session begins with the first client.
    player.open(Duration::ZERO);
    let mut early = player.open(Duration::ZERO);
    player.receive(&mut early, &[], Duration::ZERO);
    let late = Duration::from_millis(45);
    let until = Duration::from_secs(60);
    let (got, step) = client(&mut player, late, &[describe(), Call::Subscribe { first: 3 }], until);
    let (_, Frame::Info(info)) = got[0] else { panic!("{got:?}") };
    assert_eq!((info.first, info.last), (1, 5));
    let expected: Vec<(u128, u32)> = (3..=5)
        .map(|seq| (45, seq))
        .chain((6..=20).map(|seq| (seq as u128 * 10 - 10, seq)))
        .collect();
    assert_eq!(packets(&got), expected);
    let market = SyntheticMarket::seeded(1, 20);
    for (_, frame) in &got {
        if let Frame::Packet(packet) = frame {
            assert_eq!(*packet, market.packet(packet.sequence));
        }
    }
    let ends: Vec<u128> = got
        .iter()
        .filter(|(_, frame)| *frame == Frame::End(21))
        .map(|(time, _)| time.as_millis() - 190)
        .collect();
    assert_eq!(ends, [0, 500, 1000, 1500, 2000, 2500]);
    assert_eq!(step, Step::Finish);
    assert!(got.last().unwrap().0 < Duration::from_millis(190) + FAREWELL);
}

#[test]
fn whoever_comes_after_the_end_is_told_so_at_once() {
    let mut player = player("1000/s", 20, Scenario::clean(1));
    player.tick(Duration::ZERO);
    let now = Duration::from_secs(9);
    let (mut seat, mut bytes) = (player.open(now), Vec::new());
    for ask in [describe(), Call::Subscribe { first: 21 }] {
        let mut text = Vec::new();
        ask.encode(&mut text);
        player.receive(&mut seat, &text, now);
        take(&mut player, &mut seat, now, &mut bytes, 999);
    }
    assert_eq!(decoded(&bytes)[1..], [Frame::End(21)]);
}

#[test]
fn an_idle_session_has_heartbeats() {
    let scenario = Scenario::clean(1);
    let mut player = player("bursts:1/s:5", MAX_SEQ, scenario);
    let calls = [describe(), Call::Subscribe { first: 1 }];
    let (got, step) = client(&mut player, Duration::ZERO, &calls, Duration::from_secs(9));
    let beats: Vec<(u64, u32)> = got
        .iter()
        .filter_map(|(time, frame)| match frame {
            Frame::Heartbeat(next) => Some((time.as_secs(), *next)),
            _ => None,
        })
        .collect();
    // Packets at 0 and 5 s.
    assert_eq!(beats, [(1, 6), (2, 6), (3, 6), (4, 6), (6, 11), (7, 11), (8, 11)]);
    assert_eq!((packets(&got).len(), step), (10, Step::Wait));
    assert_eq!(HEARTBEAT, Duration::from_secs(1));

    let mute = Fault::new(FaultAction::Drop, FaultPlace::Heartbeat).unwrap();
    let mut player = self::player("bursts:1/s:5", MAX_SEQ, Scenario::clean(1).with(mute));
    let (got, _) = client(&mut player, Duration::ZERO, &calls, Duration::from_secs(9));
    assert_eq!((got.len(), packets(&got).len()), (11, 10), "no heartbeats");
}

#[test]
fn a_tail_that_is_lost_shows_in_the_heartbeat() {
    let mut player = player("bursts:1/s:5", MAX_SEQ, Scenario::skipping("4-5".parse().unwrap()));
    let calls = [describe(), Call::Subscribe { first: 1 }];
    let (got, _) = client(&mut player, Duration::ZERO, &calls, Duration::from_secs(2));
    assert_eq!(packets(&got).iter().map(|packet| packet.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(got.last().unwrap().1, Frame::Heartbeat(6));
    assert_eq!(player.served().dropped, 2);
}

#[test]
fn original_clients_get_everything_so_far_and_the_end() {
    let mut player = player("1000/s", MAX_SEQ, Scenario::clean(1));
    player.open(Duration::ZERO);
    let (got, _) = client(&mut player, Duration::ZERO, &[Call::Stream], Duration::from_secs(1));
    assert_eq!(packets(&got), [(0, 1)], "the first call is there as the first packet is");
    let now = Duration::from_secs(2);
    let (got, step) = client(&mut player, now, &[Call::Stream], Duration::from_secs(9));
    assert_eq!((packets(&got).len(), step), (2001, Step::Finish));
    assert!(got.iter().all(|(time, _)| *time == now));
    let range = Call::ResendRange { first: 1999, count: 9 };
    let (got, _) = client(&mut player, now, &[describe(), range], Duration::from_secs(3));
    assert_eq!(packets(&got).len(), 3);
    let refused = NotAvailable { first: 2002, count: 6, reason: Reason::OutOfRange };
    assert_eq!(got.last().unwrap().1, Frame::NotAvailable(refused));
}

#[test]
fn one_cannot_subscribe_to_what_is_far_ahead() {
    for (first, fine) in [(0, false), (1, true), (2, true), (3, false), (u32::MAX, false)] {
        let mut player = player("1/s", MAX_SEQ, Scenario::clean(1));
        player.open(Duration::ZERO);
        let calls = [describe(), Call::Subscribe { first }];
        let (got, _) = client(&mut player, Duration::ZERO, &calls, Duration::from_millis(1));
        let refused = NotAvailable { first, count: 0, reason: Reason::OutOfRange };
        let is_refused = got.last().unwrap().1 == Frame::NotAvailable(refused);
        assert_eq!(is_refused, !fine, "{first}: {got:?}");
    }
}

/// Whatever goes wrong with a subscription: everything that was not dropped comes, then the end.
#[test]
fn faults_strike_subscriptions_as_they_do_streams() {
    for seed in 0..300 {
        let mut rng = feed::base::rng::Rng::new(seed);
        let mut scenario = Scenario::clean(seed);
        let actions: [fn(&mut feed::base::rng::Rng) -> FaultAction; 5] = [
            |_| FaultAction::Drop,
            |rng| FaultAction::Reorder { by: Span::one(rng.between(1, 9)) },
            |rng| FaultAction::Duplicate {
                copies: 2,
                after: Span::one(rng.between(0, 9)),
                changed: None,
            },
            |rng| FaultAction::Write {
                size: WriteSize::Bytes(Span::one(rng.between(1, 40))),
                pause: TimeSpan::one(Duration::from_micros(50)),
            },
            |rng| FaultAction::Delay {
                time: TimeSpan::one(Duration::from_millis(rng.between(1, 30).into())),
            },
        ];
        for _ in 0..rng.between(1, 3) {
            let action = actions[rng.below(5) as usize](&mut rng);
            let mut fault = Fault::new(action, FaultPlace::Stream).unwrap();
            fault.pick = feed::faults::scenario::FaultSelector::Every(rng.between(2, 9));
            scenario.faults.push(fault);
        }
        let drops = scenario.faults.iter().filter(|fault| fault.action() == FaultAction::Drop);
        let every: Vec<u32> = drops
            .filter_map(|fault| match fault.pick {
                feed::faults::scenario::FaultSelector::Every(n) => Some(n),
                _ => None,
            })
            .collect();
        let mut player = player("5000/s", 200, scenario.clone());
        let calls = [describe(), Call::Subscribe { first: 1 }];
        let (got, step) = client(&mut player, Duration::ZERO, &calls, Duration::from_secs(60));
        assert_eq!(step, Step::Finish, "seed {seed}: {scenario:?}");
        assert_eq!(got.last().unwrap().1, Frame::End(201), "seed {seed}");
        let mut seqs: Vec<u32> = packets(&got).iter().map(|packet| packet.1).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let kept: Vec<u32> = (1..=200).filter(|seq| every.iter().all(|n| seq % n > 0)).collect();
        // What is dropped may have been copied before; then the copy comes.
        let copied =
            scenario.faults.iter().any(|f| matches!(f.action(), FaultAction::Duplicate { .. }));
        assert!(copied || seqs == kept, "seed {seed}: {scenario:?}\n{seqs:?}");
        assert!(kept.iter().all(|seq| seqs.contains(seq)), "seed {seed}");
    }
}

#[test]
fn a_range_of_the_future_is_empty() {
    let mut live = GrowingTape::new(SyntheticMarket::seeded(1, 50), "1/s".parse().unwrap(), 3, 7);
    live.grow(Duration::ZERO);
    assert_eq!(live.last(), 8);
    assert!(live.frames(SeqRange::new(9, 20).unwrap()).is_empty());
    assert_eq!(live.frames(SeqRange::new(7, 20).unwrap()).len(), 2);
}

/// An exchange of 1,000 packets a second, and a subscriber that has read for 50 ms, part of a frame
/// at the end.
fn subscriber(
    slow: SlowSubscriberPolicy,
    fault: Option<Fault>,
) -> (MockExchange<GrowingTape<SyntheticMarket>>, ServerConnection, Vec<u8>) {
    let scenario = Scenario { slow, ..Scenario::clean(1) };
    let scenario = fault.into_iter().fold(scenario, Scenario::with);
    let mut player = player("1000/s", MAX_SEQ, scenario);
    let mut seat = player.open(Duration::ZERO);
    let mut text = Vec::new();
    [describe(), Call::Subscribe { first: 1 }].iter().for_each(|call| call.encode(&mut text));
    player.receive(&mut seat, &text, Duration::ZERO);
    let mut bytes = Vec::new();
    for ms in 0..50 {
        take(&mut player, &mut seat, Duration::from_millis(ms), &mut bytes, 17);
    }
    take(&mut player, &mut seat, Duration::from_millis(60), &mut bytes, 5);
    (player, seat, bytes)
}

fn take(
    player: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    seat: &mut ServerConnection,
    now: Duration,
    bytes: &mut Vec<u8>,
    most: usize,
) {
    let mut out = [0; 999];
    let count = player.peek(seat, &mut out, now).min(most);
    bytes.extend_from_slice(&out[..count]);
    player.sent(seat, count, now);
}

/// Time has passed, and the socket takes nothing.
fn later(
    player: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    seat: &mut ServerConnection,
    now: Duration,
) -> Step {
    player.tick(now);
    player.step(seat, now)
}

fn decoded(bytes: &[u8]) -> Vec<Frame> {
    let (frames, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    frames.iter().map(|frame| decode(frame).unwrap()).collect()
}

/// A fault that changes nothing, so that packets go through a lane.
fn harmless() -> Fault {
    let size = WriteSize::Packets(Span::one(1000));
    let pause = TimeSpan::one(Duration::ZERO);
    Fault::new(FaultAction::Write { size, pause }, FaultPlace::Stream).unwrap()
}

#[test]
fn a_subscriber_that_is_too_slow_misses_packets_and_no_frame_is_torn() {
    for fault in [None, Some(harmless())] {
        let lane = fault.is_some();
        let (mut player, mut seat, mut bytes) = subscriber(SlowSubscriberPolicy::Skip(100), fault);
        // It reads no more; at 1 s there are 1,001.
        assert_eq!(later(&mut player, &mut seat, Duration::from_secs(1)), Step::Wait);
        let skipped = player.served().skipped;
        for ms in 1000..1020 {
            take(&mut player, &mut seat, Duration::from_millis(ms), &mut bytes, 999);
        }
        let seqs: Vec<u32> = decoded(&bytes)[1..]
            .iter()
            .map(|frame| match frame {
                Frame::Packet(packet) => packet.sequence,
                other => panic!("{other:?}"),
            })
            .collect();
        let jump = seqs.windows(2).position(|pair| pair[1] != pair[0] + 1).unwrap();
        assert_eq!(seqs[jump + 1..], (1002..=1020).collect::<Vec<_>>());
        assert_eq!(u64::from(1001 - seqs[jump]), skipped);
        // What a lane had made already is sent.
        assert!(seqs[jump] == if lane { 61 } else { 50 }, "{}", seqs[jump]);
    }
}

#[test]
fn a_subscriber_that_is_too_slow_is_cut_off_with_a_word() {
    for fault in [None, Some(harmless())] {
        let (mut player, mut seat, mut bytes) = subscriber(SlowSubscriberPolicy::Cut(100), fault);
        assert_eq!(later(&mut player, &mut seat, Duration::from_millis(140)), Step::Wait);
        assert_eq!(player.served().skipped, 0);
        let mut now = Duration::from_secs(1);
        assert_eq!(later(&mut player, &mut seat, now), Step::Wait);
        take(&mut player, &mut seat, now, &mut bytes, 999);
        let frames = decoded(&bytes);
        let Some((Frame::NotAvailable(refusal), before)) = frames.split_last() else {
            panic!("{frames:?}")
        };
        assert_eq!(refusal.reason, Reason::TooSlow);
        assert_eq!(refusal.first + refusal.count, 1002);
        assert!(matches!(before.last(), Some(Frame::Packet(packet)) if packet.sequence == 50));
        assert_eq!(player.step(&mut seat, now), Step::Finish);
        // One that does not even read that is not kept for ever.
        let (mut player, mut seat, _) = subscriber(SlowSubscriberPolicy::Cut(100), None);
        assert_eq!(later(&mut player, &mut seat, now), Step::Wait);
        assert_eq!(player.deadline(&seat), Some(now + LINGER));
        now += LINGER;
        assert_eq!(player.step(&mut seat, now), Step::Reset);
    }
}

#[test]
fn whoever_catches_up_with_what_was_there_before_is_not_slow() {
    for slow in [SlowSubscriberPolicy::Skip(100), SlowSubscriberPolicy::Cut(100)] {
        let mut player = player("1000/s", MAX_SEQ, Scenario { slow, ..Scenario::clean(1) });
        player.open(Duration::ZERO);
        player.tick(Duration::ZERO);
        let calls = [describe(), Call::Subscribe { first: 1 }];
        let (from, until) = (Duration::from_secs(3), Duration::from_secs(4));
        let (got, _) = client(&mut player, from, &calls, until);
        let seqs: Vec<u32> = packets(&got).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u32).collect::<Vec<_>>());
        assert!(seqs.len() > 3900, "{}", seqs.len());
    }
}
