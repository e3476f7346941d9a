//! Recording from our own exchange, which drops packets.

use crate::world::{network, outcome, record};
use feed::client::{Recorder, RecorderOptions, Tail};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::{Fault, FaultAction, FaultPlace, FaultSelector, Scenario};
use feed::sim::{self, Network};
use feed::tape::in_memory::Tape;
use feed::wire::RawFrame;
use std::sync::Arc;
use std::time::Duration;

fn mock_exchange(tape: &Tape, seed: u64, chance: &str, skip: &str) -> MockExchange {
    let losing = Scenario::losing(seed, chance.parse().unwrap());
    let scenario = losing.with(Fault::skip(skip.parse().unwrap()));
    MockExchange::new(Arc::new(tape.clone()), scenario)
}

#[test]
fn every_dropped_packet_is_recorded() {
    let mut further = 0;
    for seed in 0..600 {
        let tape = Tape::random([0, 1, 5, 130, 700][seed as usize % 5], seed);
        let chance = ["0", "0.01", "0.25", "0.9", "1"][seed as usize / 5 % 5];
        let mut network = network(seed);
        network.cut_calls = true;
        let exchange = mock_exchange(&tape, seed, chance, "");
        let run = record(RecorderOptions::default(), vec![exchange], network, seed, &tape);
        let outcome = outcome(&run);
        assert!(outcome.is_complete(), "seed {seed}, {chance}: {outcome:?}");
        assert_eq!((outcome.last, outcome.tail), (tape.last(), Tail::Confirmed), "seed {seed}");
        let stats = run.recorder.stats();
        assert_eq!(stats.streamed + stats.resent, tape.last());
        let served = run.exchanges[0].stats();
        assert_eq!(served.refused, 0, "seed {seed}");
        further += u32::from(served.streams > 1);
    }
    // A description that arrives late on a slow network may find further passes begun.
    assert!(further < 30, "{further} of 600 recordings began further passes");
}

#[test]
fn passes_and_single_resends_suffice_without_the_extension() {
    for seed in 0..300 {
        let tape = Tape::random([1, 14, 127, 128, 300][seed as usize % 5], seed);
        let options = RecorderOptions { classic: true, ..RecorderOptions::default() };
        let exchange = mock_exchange(&tape, seed, "0.25", "");
        let run = record(options, vec![exchange], network(seed), seed, &tape);
        let outcome = outcome(&run);
        assert!(outcome.is_complete() && outcome.last == tape.last(), "seed {seed}: {outcome:?}");
        assert_eq!(run.exchanges[0].stats().refused, 0, "seed {seed}");
    }
}

#[test]
fn packets_that_no_stream_delivers_and_no_call_can_request_are_missing() {
    let tape = Tape::random(300, 1);
    let options = RecorderOptions { classic: true, ..RecorderOptions::default() };
    let exchange = mock_exchange(&tape, 1, "0", "5,200-210");
    let run = record(options, vec![exchange], network(1), 1, &tape);
    let outcome = outcome(&run);
    assert!(!outcome.is_complete());
    assert_eq!(outcome.missing, "200-210".parse().unwrap());
}

#[test]
fn lines_fill_each_others_gaps() {
    let mut slow = 0;
    for seed in 0..200 {
        let tape = Tape::random(400, seed);
        let lines = vec![
            mock_exchange(&tape, seed, "0.3", ""),
            mock_exchange(&tape, seed + 1000, "0.3", ""),
        ];
        let run = record(RecorderOptions::default(), lines, network(seed), seed, &tape);
        assert!(outcome(&run).is_complete(), "seed {seed}: {:?}", outcome(&run));
        let stats = run.recorder.stats();
        // Both lines missed about 9 % of the packets; only those need a resend.
        slow += u32::from(stats.resent >= 100);
        assert_eq!(run.recorder.violations().conflicts, 0);
    }
    // Packets of a line that reports no session are discarded after a wait, and the recording goes
    // on with the other line alone.
    assert!(slow <= 10, "{slow} of 200 recordings had one line only");
}

#[test]
fn lines_of_different_sessions_are_not_mixed() {
    let mut found = 0;
    for seed in 0..100 {
        let tapes = [Tape::random(400, 1), Tape::random(400, 2)];
        let lines = vec![
            mock_exchange(&tapes[0], seed, "0.3", ""),
            mock_exchange(&tapes[1], seed, "0.3", ""),
        ];
        let recorder = Recorder::new(RecorderOptions::default(), 2);
        let run = sim::run(recorder, lines, network(seed), seed)
            .unwrap_or_else(|_| panic!("seed {seed}: stuck"));
        let recorded: Vec<RawFrame> = run.recording.in_order().flatten().copied().collect();
        // The recording is complete before the other line delivers anything, or is refused.
        if outcome(&run).is_complete() {
            assert!(tapes.iter().any(|tape| tape.frames() == recorded), "seed {seed}: mixed");
        } else {
            assert!(
                run.recorder.violations().other_session.is_some(),
                "seed {seed}: {:?}",
                outcome(&run)
            );
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}

/// Answers that were missed while later ones arrive must not use up the window.
#[test]
fn missed_answers_leave_the_window_open() {
    let mut lost = Fault::skip("1-6000".parse().unwrap());
    let mut unanswered = Fault::new(FaultAction::Drop, FaultPlace::Resend).unwrap();
    unanswered.pick = FaultSelector::Every(13);
    unanswered.times = Some(1);
    lost.pick = FaultSelector::Every(2);
    let tape = Tape::random(6000, 1);
    let scenario = Scenario::clean(1).with(lost).with(unanswered);
    let network = Network {
        latency: Duration::from_millis(40),
        jitter: Duration::ZERO,
        segment: 0,
        cut_calls: false,
    };
    let options = RecorderOptions { window: 30, ..RecorderOptions::default() };
    let exchange = MockExchange::new(Arc::new(tape.clone()), scenario);
    let run = record(options, vec![exchange], network, 1, &tape);
    assert!(outcome(&run).is_complete());
    // 3,000 packets, 30 in a round trip of 80 ms, and the unanswered ones again.
    assert!(run.elapsed < Duration::from_secs(12), "{:?}", run.elapsed);
    assert!(run.recorder.stats().duplicates < 30, "{:?}", run.recorder.stats());
}
