//! Recording through trouble on the way: connections that are cut, end early, or stall for ever.

use crate::world::{network, outcome, record};
use feed::base::rng;
use feed::client::{Recorder, RecorderOptions};
use feed::exchange::original::OriginalExchange;
use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::Scenario;
use feed::sim::{self, Network};
use feed::tape::in_memory::Tape;
use std::sync::Arc;
use std::time::Duration;

/// What happens to a connection once it has sent so many bytes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The exchange closes it, perhaps in the middle of a packet.
    Cut(usize),
    /// Nothing more is ever sent.
    Stall(usize),
}

/// An exchange whose first connections come to grief.
struct Flaky<E> {
    inner: E,
    fates: Vec<Option<Fate>>,
    opened: usize,
}

impl<E: Exchange> Flaky<E> {
    fn new(inner: E, fates: Vec<Option<Fate>>) -> Self {
        Self { inner, fates, opened: 0 }
    }
}

struct FlakyConn<C> {
    inner: C,
    fate: Option<Fate>,
    sent: usize,
}

impl<C> FlakyConn<C> {
    /// How many more bytes it may send.
    fn left(&self) -> usize {
        match self.fate {
            Some(Fate::Cut(at) | Fate::Stall(at)) => at - self.sent,
            None => usize::MAX,
        }
    }
}

impl<E: Exchange> Exchange for Flaky<E> {
    type Connection = FlakyConn<E::Connection>;
    type Event = E::Event;

    fn open(&mut self, now: Duration) -> Self::Connection {
        let fate = self.fates.get(self.opened).copied().flatten();
        self.opened += 1;
        FlakyConn { inner: self.inner.open(now), fate, sent: 0 }
    }

    fn wants_input(&self, conn: &Self::Connection) -> bool {
        self.inner.wants_input(&conn.inner)
    }

    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration) {
        self.inner.receive(&mut conn.inner, bytes, now);
    }

    fn ended(&mut self, conn: &mut Self::Connection, now: Duration) {
        self.inner.ended(&mut conn.inner, now);
    }

    fn disconnected(&mut self, conn: Self::Connection, reset: bool, now: Duration) {
        self.inner.disconnected(conn.inner, reset, now);
    }

    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize {
        self.inner.peek(&mut conn.inner, out, now).min(conn.left())
    }

    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration) {
        conn.sent += count;
        self.inner.sent(&mut conn.inner, count, now);
    }

    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step {
        match conn.fate {
            Some(Fate::Cut(_)) if conn.left() == 0 => Step::Close,
            Some(Fate::Stall(_)) if conn.left() == 0 => Step::Wait,
            _ => self.inner.step(&mut conn.inner, now),
        }
    }

    fn deadline(&mut self, conn: &Self::Connection) -> Option<Duration> {
        self.inner.deadline(&conn.inner)
    }

    fn poll_event(&mut self) -> Option<E::Event> {
        self.inner.poll_event()
    }

    fn is_dead(&self) -> bool {
        self.inner.is_dead()
    }
}

fn player(tape: &Tape, seed: u64) -> MockExchange {
    MockExchange::new(Arc::new(tape.clone()), Scenario::losing(seed, "0.25".parse().unwrap()))
}

/// Fates of the first few connections, each cut or stalled in the first `bytes`.
fn fates(seed: u64, count: u64, bytes: u64) -> Vec<Option<Fate>> {
    (0..count)
        .map(|i| {
            let draw = rng::nth(seed, i);
            let at = (draw >> 8) % bytes;
            match draw % 4 {
                0 => None,
                1 => Some(Fate::Stall(at as usize)),
                _ => Some(Fate::Cut(at as usize)),
            }
        })
        .collect()
}

#[test]
fn trouble_on_the_way_costs_time_and_nothing_else() {
    for seed in 0..1000 {
        let tape = Tape::random([14, 300, 3000][seed as usize % 3], seed);
        let fates = fates(seed, 1 + seed % 6, u64::from(tape.last()) * 17);
        let exchange = Flaky::new(player(&tape, seed), fates);
        let options = RecorderOptions { retries: 8, ..RecorderOptions::default() };
        let run = record(options, vec![exchange], network(seed), seed, &tape);
        let outcome = outcome(&run);
        assert!(outcome.is_complete() && outcome.last == tape.last(), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn without_the_extension_too() {
    for seed in 0..300 {
        let tape = Tape::random([14, 100, 300][seed as usize % 3], seed);
        let fates = fates(seed, 1 + seed % 6, u64::from(tape.last()) * 17);
        let exchange = Flaky::new(player(&tape, seed), fates);
        let options = RecorderOptions { retries: 8, classic: true, ..RecorderOptions::default() };
        let run = record(options, vec![exchange], network(seed), seed, &tape);
        let outcome = outcome(&run);
        // A stream cut between two packets looks whole: then the end may come out too low only
        // if every later pass lost it, too.
        assert!(outcome.is_complete() && outcome.last == tape.last(), "seed {seed}: {outcome:?}");
    }
}

/// Passes that run side by side and are cut off together are one incident.
#[test]
fn a_batch_that_is_cut_off_is_tried_again() {
    for seed in 0..50 {
        let tape = Tape::classic();
        let mut fates = vec![None, None];
        fates.extend([Some(Fate::Cut(0)); 12].map(|_| Some(Fate::Cut(9))));
        let exchange = Flaky::new(OriginalExchange::new(tape.clone(), seed), fates);
        let run = record(RecorderOptions::default(), vec![exchange], network(seed), seed, &tape);
        assert!(outcome(&run).is_complete(), "seed {seed}: {:?}", outcome(&run));
    }
}

/// One early close must not leave a line asking for one packet at a time.
#[test]
fn a_resend_connection_that_breaks_once_does_not_slow_the_rest() {
    let tape = Tape::random(40_000, 1);
    let network = Network {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        segment: 1400,
        cut_calls: true,
    };
    let exchange = Flaky::new(player(&tape, 1), vec![None, Some(Fate::Cut(40 * 17))]);
    let run = record(RecorderOptions::default(), vec![exchange], network, 1, &tape);
    assert!(outcome(&run).is_complete());
    assert!(run.elapsed < Duration::from_millis(500), "{:?}", run.elapsed);
}

/// Bytes that still come after the recorder has ended must not be answered by a reset: an original
/// dies of that.
#[test]
fn an_original_on_a_slow_network_outlives_the_end_of_a_recording() {
    for seed in 0..200 {
        let network = Network {
            latency: Duration::from_millis(50),
            jitter: Duration::from_millis(400),
            segment: 17,
            cut_calls: false,
        };
        let recorder = Recorder::new(
            RecorderOptions { timeout: Duration::from_secs(60), ..RecorderOptions::default() },
            1,
        );
        let original = OriginalExchange::new(Tape::classic(), seed);
        let run = sim::run(recorder, vec![original], network, seed);
        let run = run.unwrap_or_else(|_| panic!("seed {seed}: stuck"));
        assert_eq!(run.exchanges[0].died_of(), None, "seed {seed}");
    }
}
