//! Packets, heartbeats and ends that subscribers of a live session receive, and their times.

use crate::follow::exchange;
use feed::base::seq::SeqRange;
use feed::base::span::{Span, TimeSpan};
use feed::exchange::server::{FAREWELL, HEARTBEAT, LINGER, MockExchange, ServerConnection};
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::{
    Fault, FaultAction, FaultPlace, Scenario, SlowSubscriberPolicy, WriteSize,
};
use feed::tape::growing::GrowingTape;
use feed::tape::market::SyntheticMarket;
use feed::tape::source::TapeSource;
use feed::wire::{Call, Frame, MAX_PACKET_SEQ, NotAvailable, Protocol, RawFrame, Reason, decode};
use std::time::Duration;

type Exchanged = Vec<(Duration, Frame)>;

/// Returns the frames that a client receives for these calls until `until`, and the last step.
fn client(
    exchange: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    from: Duration,
    calls: &[Call],
    until: Duration,
) -> (Exchanged, Step) {
    let (mut now, mut got, mut bytes) = (from, Vec::new(), Vec::new());
    let mut conn = exchange.open(Protocol::Betacrew, now);
    let mut text = Vec::new();
    calls.iter().for_each(|call| call.encode(&mut text));
    exchange.receive(&mut conn, &text, now);
    let mut out = [0; 999];
    loop {
        let count = exchange.peek(&mut conn, &mut out, now);
        // The socket takes at most 100 bytes, which are no whole frames.
        let count = count.min(100);
        bytes.extend_from_slice(&out[..count]);
        exchange.sent(&mut conn, count, now);
        let whole = bytes.len() / 17 * 17;
        let frames: Vec<u8> = bytes.drain(..whole).collect();
        let frames: &[RawFrame] = frames.as_chunks().0;
        got.extend(frames.iter().map(|frame| (now, decode(frame).unwrap())));
        if count > 0 {
            continue;
        }
        let step = exchange.step(&mut conn, now);
        match exchange.deadline(&conn) {
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

fn packets(got: &Exchanged) -> Vec<(u128, u64)> {
    let packet = |(time, frame): &(Duration, Frame)| match frame {
        Frame::Packet(packet) => Some((time.as_millis(), packet.sequence)),
        _ => None,
    };
    got.iter().filter_map(packet).collect()
}

#[test]
fn a_subscriber_receives_past_packets_then_new_ones_and_the_end() {
    let mut exchange = exchange("100/s", 20, Scenario::clean(1));
    // The session begins with the first client.
    exchange.open(Protocol::Betacrew, Duration::ZERO);
    let mut early = exchange.open(Protocol::Betacrew, Duration::ZERO);
    exchange.receive(&mut early, &[], Duration::ZERO);
    let late = Duration::from_millis(45);
    let until = Duration::from_secs(60);
    let (got, step) =
        client(&mut exchange, late, &[describe(), Call::Subscribe { first: 3 }], until);
    let (_, Frame::Info(info)) = got[0] else { panic!("{got:?}") };
    assert_eq!((info.first, info.last), (1, 5));
    let expected: Vec<(u128, u64)> = (3..=5)
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
fn a_subscriber_after_the_end_receives_the_end_at_once() {
    let mut exchange = exchange("1000/s", 20, Scenario::clean(1));
    exchange.tick(Duration::ZERO);
    let now = Duration::from_secs(9);
    let (mut conn, mut bytes) = (exchange.open(Protocol::Betacrew, now), Vec::new());
    for ask in [describe(), Call::Subscribe { first: 21 }] {
        let mut text = Vec::new();
        ask.encode(&mut text);
        exchange.receive(&mut conn, &text, now);
        take(&mut exchange, &mut conn, now, &mut bytes, 999);
    }
    assert_eq!(decoded(&bytes)[1..], [Frame::End(21)]);
}

#[test]
fn an_idle_session_has_heartbeats() {
    let scenario = Scenario::clean(1);
    let mut exchange = exchange("bursts:1/s:5", MAX_PACKET_SEQ, scenario);
    let calls = [describe(), Call::Subscribe { first: 1 }];
    let (got, step) = client(&mut exchange, Duration::ZERO, &calls, Duration::from_secs(9));
    let beats: Vec<(u64, u64)> = got
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
    let mut exchange =
        self::exchange("bursts:1/s:5", MAX_PACKET_SEQ, Scenario::clean(1).with(mute));
    let (got, _) = client(&mut exchange, Duration::ZERO, &calls, Duration::from_secs(9));
    assert_eq!((got.len(), packets(&got).len()), (11, 10), "no heartbeats");
}

#[test]
fn a_dropped_tail_shows_in_the_heartbeat() {
    let mut exchange =
        exchange("bursts:1/s:5", MAX_PACKET_SEQ, Scenario::skipping("4-5".parse().unwrap()));
    let calls = [describe(), Call::Subscribe { first: 1 }];
    let (got, _) = client(&mut exchange, Duration::ZERO, &calls, Duration::from_secs(2));
    assert_eq!(packets(&got).iter().map(|packet| packet.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(got.last().unwrap().1, Frame::Heartbeat(6));
    assert_eq!(exchange.stats().dropped, 2);
}

#[test]
fn original_clients_receive_all_packets_so_far_and_the_end() {
    let mut exchange = exchange("1000/s", MAX_PACKET_SEQ, Scenario::clean(1));
    exchange.open(Protocol::Betacrew, Duration::ZERO);
    let (got, _) = client(&mut exchange, Duration::ZERO, &[Call::Stream], Duration::from_secs(1));
    assert_eq!(packets(&got), [(0, 1)], "the first call is there as the first packet is");
    let now = Duration::from_secs(2);
    let (got, step) = client(&mut exchange, now, &[Call::Stream], Duration::from_secs(9));
    assert_eq!((packets(&got).len(), step), (2001, Step::Finish));
    assert!(got.iter().all(|(time, _)| *time == now));
    let range = Call::ResendRange { first: 1999, count: 9 };
    let (got, _) = client(&mut exchange, now, &[describe(), range], Duration::from_secs(3));
    assert_eq!(packets(&got).len(), 3);
    let refused = NotAvailable { first: 2002, count: 6, reason: Reason::OutOfRange };
    assert_eq!(got.last().unwrap().1, Frame::NotAvailable(refused));
}

#[test]
fn a_subscription_begins_at_most_with_the_next_packet() {
    for (first, fine) in [(0, false), (1, true), (2, true), (3, false), (u32::MAX.into(), false)] {
        let mut exchange = exchange("1/s", MAX_PACKET_SEQ, Scenario::clean(1));
        exchange.open(Protocol::Betacrew, Duration::ZERO);
        let calls = [describe(), Call::Subscribe { first }];
        let (got, _) = client(&mut exchange, Duration::ZERO, &calls, Duration::from_millis(1));
        let refused = NotAvailable { first, count: 0, reason: Reason::OutOfRange };
        let is_refused = got.last().unwrap().1 == Frame::NotAvailable(refused);
        assert_eq!(is_refused, !fine, "{first}: {got:?}");
    }
}

/// Checks that a subscriber receives every packet that is not dropped and then the end, whatever
/// other faults apply.
#[test]
fn faults_apply_to_subscriptions_as_to_streams() {
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
        let every: Vec<u64> = drops
            .filter_map(|fault| match fault.pick {
                feed::faults::scenario::FaultSelector::Every(n) => Some(n.into()),
                _ => None,
            })
            .collect();
        let mut exchange = exchange("5000/s", 200, scenario.clone());
        let calls = [describe(), Call::Subscribe { first: 1 }];
        let (got, step) = client(&mut exchange, Duration::ZERO, &calls, Duration::from_secs(60));
        assert_eq!(step, Step::Finish, "seed {seed}: {scenario:?}");
        assert_eq!(got.last().unwrap().1, Frame::End(201), "seed {seed}");
        let mut seqs: Vec<u64> = packets(&got).iter().map(|packet| packet.1).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let kept: Vec<u64> = (1..=200).filter(|seq| every.iter().all(|n| seq % n > 0)).collect();
        // A dropped packet may have a copy, which is sent.
        let copied =
            scenario.faults.iter().any(|f| matches!(f.action(), FaultAction::Duplicate { .. }));
        assert!(copied || seqs == kept, "seed {seed}: {scenario:?}\n{seqs:?}");
        assert!(kept.iter().all(|seq| seqs.contains(seq)), "seed {seed}");
    }
}

#[test]
fn a_range_of_future_packets_is_empty() {
    let mut live = GrowingTape::new(SyntheticMarket::seeded(1, 50), "1/s".parse().unwrap(), 3, 7);
    live.grow(Duration::ZERO);
    assert_eq!(live.last(), 8);
    assert!(live.messages(SeqRange::new(9, 20).unwrap()).is_empty());
    assert_eq!(live.messages(SeqRange::new(7, 20).unwrap()).len(), 2);
}

/// Returns an exchange of 1,000 packets a second, a subscriber that has read for 50 ms, up to a
/// part of a frame, and the bytes that it has read.
fn subscriber(
    slow: SlowSubscriberPolicy,
    fault: Option<Fault>,
) -> (MockExchange<GrowingTape<SyntheticMarket>>, ServerConnection, Vec<u8>) {
    let scenario = Scenario { slow, ..Scenario::clean(1) };
    let scenario = fault.into_iter().fold(scenario, Scenario::with);
    let mut exchange = exchange("1000/s", MAX_PACKET_SEQ, scenario);
    let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
    let mut text = Vec::new();
    [describe(), Call::Subscribe { first: 1 }].iter().for_each(|call| call.encode(&mut text));
    exchange.receive(&mut conn, &text, Duration::ZERO);
    let mut bytes = Vec::new();
    for ms in 0..50 {
        take(&mut exchange, &mut conn, Duration::from_millis(ms), &mut bytes, 17);
    }
    take(&mut exchange, &mut conn, Duration::from_millis(60), &mut bytes, 5);
    (exchange, conn, bytes)
}

fn take(
    exchange: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    conn: &mut ServerConnection,
    now: Duration,
    bytes: &mut Vec<u8>,
    most: usize,
) {
    let mut out = [0; 999];
    let count = exchange.peek(conn, &mut out, now).min(most);
    bytes.extend_from_slice(&out[..count]);
    exchange.sent(conn, count, now);
}

/// Returns the step at a later time, at which the socket takes no bytes.
fn later(
    exchange: &mut MockExchange<GrowingTape<SyntheticMarket>>,
    conn: &mut ServerConnection,
    now: Duration,
) -> Step {
    exchange.tick(now);
    exchange.step(conn, now)
}

fn decoded(bytes: &[u8]) -> Vec<Frame> {
    let (frames, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    frames.iter().map(|frame| decode(frame).unwrap()).collect()
}

/// Returns a fault without an effect, so that packets are sent by a faulted run.
fn harmless() -> Fault {
    let size = WriteSize::Packets(Span::one(1000));
    let pause = TimeSpan::one(Duration::ZERO);
    Fault::new(FaultAction::Write { size, pause }, FaultPlace::Stream).unwrap()
}

#[test]
fn a_slow_subscriber_misses_whole_packets_only() {
    for fault in [None, Some(harmless())] {
        let is_faulted_run = fault.is_some();
        let (mut exchange, mut conn, mut bytes) =
            subscriber(SlowSubscriberPolicy::Skip(100), fault);
        // The subscriber reads no more; at 1 s there are 1,001 packets.
        assert_eq!(later(&mut exchange, &mut conn, Duration::from_secs(1)), Step::Wait);
        let skipped = exchange.stats().skipped;
        for ms in 1000..1020 {
            take(&mut exchange, &mut conn, Duration::from_millis(ms), &mut bytes, 999);
        }
        let seqs: Vec<u64> = decoded(&bytes)[1..]
            .iter()
            .map(|frame| match frame {
                Frame::Packet(packet) => packet.sequence,
                other => panic!("{other:?}"),
            })
            .collect();
        let jump = seqs.windows(2).position(|pair| pair[1] != pair[0] + 1).unwrap();
        assert_eq!(seqs[jump + 1..], (1002..=1020).collect::<Vec<_>>());
        assert_eq!((1001 - seqs[jump]), skipped);
        // A faulted run still sends the packets that it has made already.
        assert!(seqs[jump] == if is_faulted_run { 61 } else { 50 }, "{}", seqs[jump]);
    }
}

#[test]
fn a_slow_subscriber_is_cut_off_with_a_refusal() {
    for fault in [None, Some(harmless())] {
        let (mut exchange, mut conn, mut bytes) = subscriber(SlowSubscriberPolicy::Cut(100), fault);
        assert_eq!(later(&mut exchange, &mut conn, Duration::from_millis(140)), Step::Wait);
        assert_eq!(exchange.stats().skipped, 0);
        let mut now = Duration::from_secs(1);
        assert_eq!(later(&mut exchange, &mut conn, now), Step::Wait);
        take(&mut exchange, &mut conn, now, &mut bytes, 999);
        let frames = decoded(&bytes);
        let Some((Frame::NotAvailable(refusal), before)) = frames.split_last() else {
            panic!("{frames:?}")
        };
        assert_eq!(refusal.reason, Reason::TooSlow);
        assert_eq!(refusal.first + refusal.count, 1002);
        assert!(matches!(before.last(), Some(Frame::Packet(packet)) if packet.sequence == 50));
        assert_eq!(exchange.step(&mut conn, now), Step::Finish);
        // A client that does not even read the refusal is reset after a while.
        let (mut exchange, mut conn, _) = subscriber(SlowSubscriberPolicy::Cut(100), None);
        assert_eq!(later(&mut exchange, &mut conn, now), Step::Wait);
        assert_eq!(exchange.deadline(&conn), Some(now + LINGER));
        now += LINGER;
        assert_eq!(exchange.step(&mut conn, now), Step::Reset);
    }
}

#[test]
fn a_subscriber_that_catches_up_with_past_packets_is_not_slow() {
    for slow in [SlowSubscriberPolicy::Skip(100), SlowSubscriberPolicy::Cut(100)] {
        let mut exchange =
            exchange("1000/s", MAX_PACKET_SEQ, Scenario { slow, ..Scenario::clean(1) });
        exchange.open(Protocol::Betacrew, Duration::ZERO);
        exchange.tick(Duration::ZERO);
        let calls = [describe(), Call::Subscribe { first: 1 }];
        let (from, until) = (Duration::from_secs(3), Duration::from_secs(4));
        let (got, _) = client(&mut exchange, from, &calls, until);
        let seqs: Vec<u64> = packets(&got).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        assert!(seqs.len() > 3900, "{}", seqs.len());
    }
}
