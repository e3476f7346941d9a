//! Helpers that the tests share: networks, recordings, and invariants of every recording.

use feed::client::{Outcome, Recorder, RecorderOptions, Tail};
use feed::exchange::Exchange;
use feed::sim::{self, Network, SimRecording};
use feed::tape::in_memory::Tape;
use feed::wire::RawFrame;
use std::time::Duration;

/// Draws the latency, jitter and segment size of a network from a seed.
pub(crate) fn network(seed: u64) -> Network {
    let draw = |of: u64| (feed::base::rng::nth(seed, 77) >> of) % 4;
    Network {
        latency: Duration::from_micros([20, 500, 10_000, 40_000][draw(0) as usize]),
        jitter: Duration::from_micros([0, 30, 400, 4_000][draw(8) as usize]),
        segment: [0, 5, 16, 1400][draw(16) as usize],
        cut_calls: false,
    }
}

/// Records from `exchanges`, a line each, and checks the invariants: every recorded packet is the
/// tape's, and every other packet is reported as missing.
pub(crate) fn record<E: Exchange>(
    options: RecorderOptions,
    exchanges: Vec<E>,
    network: Network,
    seed: u64,
    tape: &Tape,
) -> SimRecording<E> {
    let lines = u16::try_from(exchanges.len()).unwrap();
    let run = sim::run(Recorder::new(options, lines), exchanges, network, seed)
        .unwrap_or_else(|_| panic!("seed {seed}: the recorder is stuck"));
    let recorded: Vec<RawFrame> = run.recording.in_order().flatten().copied().collect();
    let outcome = outcome(&run);
    let expected: Vec<RawFrame> = (1..=outcome.last.min(tape.last()))
        .filter(|&seq| !outcome.missing.contains(seq))
        .map(|seq| tape.frames()[seq as usize - 1])
        .collect();
    assert_eq!(recorded, expected, "seed {seed}: {outcome:?}");
    assert!(!outcome.is_complete() || outcome.tail != Tail::Unknown, "seed {seed}: {outcome:?}");
    run
}

pub(crate) fn outcome<E>(run: &SimRecording<E>) -> &Outcome {
    run.recorder.outcome().unwrap()
}
