//! Independence of the bytes that a connection of the mock exchange sends from the sizes in which
//! its socket takes them.

use feed::base::rng::Rng;
use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::Scenario;
use feed::sim::draw;
use feed::tape::in_memory::Tape;
use feed::wire::{Call, Protocol, sequence_of};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Returns all bytes that the exchange sends for these calls to a socket that takes `takes` bytes
/// at a time of writes of at most `buffer` bytes, and the last step.
fn sent(
    exchange: &mut MockExchange,
    calls: &[u8],
    buffer: usize,
    takes: &[usize],
) -> (Vec<u8>, Step) {
    let mut now = Duration::ZERO;
    let mut conn = exchange.open(Protocol::Betacrew, now);
    exchange.receive(&mut conn, calls, now);
    let (mut out, mut all) = (vec![0; buffer], Vec::new());
    for take in takes.iter().cycle() {
        let offered = exchange.peek(&mut conn, &mut out, now);
        let count = offered.min(*take);
        all.extend_from_slice(&out[..count]);
        exchange.sent(&mut conn, count, now);
        if offered > 0 {
            continue;
        }
        let step = exchange.step(&mut conn, now);
        match exchange.deadline(&conn) {
            Some(later) if step == Step::Wait => now = now.max(later),
            _ => return (all, step),
        }
    }
    unreachable!("takes are cycled for ever");
}

fn everything(exchange: &mut MockExchange, calls: &[u8]) -> Vec<u8> {
    sent(exchange, calls, 1 << 20, &[usize::MAX]).0
}

fn calls(ranges: Vec<(u64, u64)>, stream: bool) -> Vec<u8> {
    let mut calls = Vec::new();
    Call::Describe { version: 1 }.encode(&mut calls);
    for (first, count) in ranges {
        Call::ResendRange { first, count }.encode(&mut calls);
    }
    if stream {
        Call::Stream.encode(&mut calls);
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_connection_sends_the_same_bytes_however_the_socket_takes_them(
        takes in prop::collection::vec(1usize..3000, 1..20),
        buffer in 17usize..5000,
        chance in prop::sample::select(vec!["0", "0.25", "0.9", "1"]),
        ranges in prop::collection::vec((1u64..1100, 1u64..40), 0..8),
        stream in any::<bool>(),
    ) {
        let calls = calls(ranges, stream);
        let scenario = Scenario::losing(5, chance.parse().unwrap());
        let tape = Arc::new(Tape::random(1000, 1));
        let mut exchange = MockExchange::new(Arc::clone(&tape), scenario.clone());
        let whole = everything(&mut exchange, &calls);
        prop_assert_eq!(whole.len() as u64, exchange.stats().bytes);
        let mut again = MockExchange::new(tape, scenario);
        prop_assert_eq!(&sent(&mut again, &calls, buffer, &takes).0, &whole);
        prop_assert_eq!(again.stats(), exchange.stats());
    }
}

/// Checks that the effects of any faults do not depend on the sizes in which a socket takes bytes.
#[test]
fn faults_have_the_same_effects_however_the_socket_takes_bytes() {
    let (mut ended, mut differed) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let last = draw::pick(&mut rng, &[0, 1, 20, 70, 400]);
        let tape = Arc::new(Tape::random(last, 1));
        let scenario = draw::scenario(&mut rng, last, 5);
        let ranges =
            (0..rng.below(5)).map(|_| (rng.seq_between(1, 90), rng.seq_between(1, 80))).collect();
        let calls = calls(ranges, rng.below(3) > 0);
        let takes: Vec<usize> = (0..9).map(|_| rng.between(1, 60) as usize).collect();
        let buffer = rng.between(17, 400) as usize;
        let mut exchange = MockExchange::new(Arc::clone(&tape), scenario.clone());
        let mut again = MockExchange::new(Arc::clone(&tape), scenario.clone());
        // Limited faults count their applications over all connections.
        for _ in 0..3 {
            let whole = sent(&mut exchange, &calls, 1 << 20, &[usize::MAX]);
            let cut = sent(&mut again, &calls, buffer, &takes);
            assert_eq!(cut, whole, "seed {seed}: {scenario:?}");
            ended += u32::from(whole.1 == Step::Reset);
        }
        assert_eq!(again.stats(), exchange.stats(), "seed {seed}");
        let clean = everything(&mut MockExchange::new(tape, Scenario::clean(0)), &calls);
        differed += u32::from(everything(&mut exchange, &calls) != clean);
    }
    assert!(ended > 300 && differed > 1200, "{ended} {differed}");
}

#[test]
fn a_client_that_never_closes_is_closed_after_a_while() {
    let mut exchange = MockExchange::new(Arc::new(Tape::classic()), Scenario::clean(0));
    let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
    exchange.receive(&mut conn, &[2, 99], Duration::ZERO);
    assert_eq!(exchange.step(&mut conn, Duration::ZERO), Step::Finish);
    let later = Duration::from_secs(30);
    assert_eq!(exchange.deadline(&conn), Some(later));
    assert_eq!(exchange.step(&mut conn, later - Duration::from_millis(1)), Step::Wait);
    assert_eq!(exchange.step(&mut conn, later), Step::Close);
}

#[test]
fn dropped_sequences_are_those_that_a_stream_drops() {
    let scenario = Scenario::losing(9, "0.3".parse().unwrap());
    for last in [0, 1, 63, 64, 65, 1000] {
        let mut exchange = MockExchange::new(Arc::new(Tape::sample(last)), scenario.clone());
        // The stream is on the second connection.
        exchange.open(Protocol::Betacrew, Duration::ZERO);
        let told = exchange.dropped_sequences(2, 1);
        let sent = everything(&mut exchange, &[1, 0]);
        let sent: Vec<u64> = sent.as_chunks().0.iter().map(sequence_of).collect();
        let lost: Vec<u64> = (1..=last).filter(|seq| !sent.contains(seq)).collect();
        let told: Vec<u64> = told.ranges().iter().flat_map(|r| r.first()..=r.last()).collect();
        assert_eq!(told, lost, "{last}");
        assert_eq!(exchange.stats().dropped, lost.len() as u64);
    }
}

mod paced {
    use feed::base::seq::SeqRange;
    use feed::exchange::Exchange;
    use feed::exchange::server::MockExchange;
    use feed::faults::scenario::Scenario;
    use feed::ledger::{Origin, Source};
    use feed::sim::disk::Disk;
    use feed::tape::file::{FileHead, OpenMode, SessionEnd, TapeFile};
    use feed::tape::in_memory::Tape;
    use feed::tape::pace::Pace;
    use feed::tape::source::{FileTapeSource, TapeSource};
    use std::sync::Arc;
    use std::time::Duration;

    fn at(pace: Pace) -> Scenario {
        Scenario { pace, ..Scenario::clean(0) }
    }

    /// Returns the time in milliseconds at which a driver that waits for deadlines sends each
    /// packet.
    fn times<P: TapeSource>(exchange: MockExchange<P>) -> Vec<u64> {
        let mut exchange = exchange;
        let (mut now, mut times, mut out) = (Duration::ZERO, Vec::new(), [0; 4096]);
        let mut conn = exchange.open(feed::wire::Protocol::Betacrew, now);
        exchange.receive(&mut conn, &[1, 0], now);
        loop {
            let count = exchange.peek(&mut conn, &mut out, now);
            exchange.sent(&mut conn, count, now);
            times.extend(std::iter::repeat_n(now.as_millis() as u64, count / 17));
            if count == 0 {
                if exchange.step(&mut conn, now) == feed::exchange::Step::Finish {
                    return times;
                }
                let next = exchange.deadline(&conn).unwrap();
                assert!(next > now, "a deadline that has passed");
                now = next;
            }
        }
    }

    #[test]
    fn a_rate_is_kept() {
        let times = times(MockExchange::new(Arc::new(Tape::sample(500)), at(Pace::PerSecond(100))));
        assert_eq!(times, (0..500).map(|i| i * 10).collect::<Vec<u64>>());
        let exchange =
            MockExchange::new(Arc::new(Tape::random(100_000, 1)), at(Pace::PerSecond(1_000_000)));
        let times = super::paced::times(exchange);
        assert_eq!((times.len(), times[0]), (100_000, 0));
        assert!((99..=101).contains(times.last().unwrap()), "{:?}", times.last());
    }

    #[test]
    fn a_recording_is_played_as_it_came() {
        let tape = Tape::random(9000, 2);
        let head = FileHead { session: None, created: 0, salt: 3 };
        let mut file = TapeFile::create(Disk::new(), head).unwrap();
        let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let range = |first, last| tape.slice(SeqRange::new(first, last).unwrap());
        let millis = |ms: u64| 7_000_000_000 + ms * 1_000_000;
        file.append(stream, millis(0), range(1, 10)).unwrap();
        file.flush().unwrap();
        file.append(stream, millis(50), range(12, 5000)).unwrap();
        file.flush().unwrap();
        // A packet that was resent much later holds no other packet back.
        let resend = Origin { line: 0, source: Source::Resend };
        file.append(resend, millis(400), range(11, 11)).unwrap();
        file.append(stream, millis(120), range(5001, 9000)).unwrap();
        file.flush().unwrap();
        let disk = file.into_storage();
        for (pace, scale) in [(Pace::Recorded(100), 1), (Pace::Recorded(50), 2)] {
            let (file, _) = TapeFile::open(disk.clone(), OpenMode::Scan).unwrap();
            let times = times(MockExchange::new(FileTapeSource::new(file).unwrap(), at(pace)));
            assert_eq!((times.len(), times[9], times[10]), (9000, 0, 0));
            assert_eq!((times[11], times[4999]), (50 * scale, 50 * scale));
            assert_eq!((times[5000], times[8999]), (120 * scale, 120 * scale));
        }
    }

    #[test]
    fn a_tape_file_plays_the_same_bytes_as_memory() {
        let tape = Tape::random(20_000, 2);
        let head = FileHead { session: Some(tape.session()), created: 0, salt: 3 };
        let mut file = TapeFile::create(Disk::new(), head).unwrap();
        let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let odd = |frame: &&feed::wire::RawFrame| feed::wire::sequence_of(frame) % 3 == 1;
        let (some, rest): (Vec<_>, Vec<_>) = tape.frames().iter().partition(odd);
        file.append(stream, 0, &rest).unwrap();
        file.append(stream, 0, &some).unwrap();
        file.flush().unwrap();
        // The file has no end of session yet, so it plays as another session.
        let (open, _) = TapeFile::open(file.storage().clone(), OpenMode::Scan).unwrap();
        assert_ne!(FileTapeSource::new(open).unwrap().session(), tape.session());
        file.note_end(20_000, SessionEnd::Confirmed, 1).unwrap();
        let mut play = FileTapeSource::new(file).unwrap();
        assert_eq!((play.last(), play.session()), (20_000, tape.session()));
        let mut rng = feed::base::rng::Rng::new(1);
        for _ in 0..500 {
            let first = rng.seq_between(1, 20_100);
            let range = SeqRange::counted(first, rng.seq_between(1, 9000)).unwrap();
            let frames = play.messages(range).packets().to_vec();
            assert_eq!(frames, tape.slice(range)[..frames.len()]);
            assert_eq!(frames.is_empty(), first > 20_000);
        }
    }
}
