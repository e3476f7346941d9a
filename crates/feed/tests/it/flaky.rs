//! Recording over connections that are cut, end early, or stall for ever.

use crate::world::{network, outcome, record};
use feed::base::rng;
use feed::client::{Recorder, RecorderOptions};
use feed::exchange::datagrams::DatagramLines;
use feed::exchange::original::OriginalExchange;
use feed::exchange::server::MockExchange;
use feed::exchange::{Disconnect, Exchange, Step};
use feed::faults::scenario::Scenario;
use feed::sim::{self, Network};
use feed::tape::in_memory::Tape;
use feed::wire::Protocol;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Fault of a connection after it has sent a number of bytes.
#[derive(Clone, Copy, Debug)]
enum ConnectionFault {
    /// Close by the exchange, perhaps in the middle of a packet.
    Cut(usize),
    /// Silence from then on.
    Stall(usize),
}

/// Exchange whose first connections fail.
struct Flaky<E> {
    inner: E,
    faults: Vec<Option<ConnectionFault>>,
    opened: usize,
}

impl<E: Exchange> Flaky<E> {
    fn new(inner: E, faults: Vec<Option<ConnectionFault>>) -> Self {
        Self { inner, faults, opened: 0 }
    }
}

struct FlakyConn<C> {
    inner: C,
    fault: Option<ConnectionFault>,
    sent: usize,
}

impl<C> FlakyConn<C> {
    /// Returns the number of bytes that the connection may still send.
    fn left(&self) -> usize {
        match self.fault {
            Some(ConnectionFault::Cut(at) | ConnectionFault::Stall(at)) => at - self.sent,
            None => usize::MAX,
        }
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl<E: Exchange> Exchange for Flaky<E> {
    type Connection = FlakyConn<E::Connection>;
    type Event = E::Event;

    fn open(&mut self, protocol: Protocol, now: Duration) -> Self::Connection {
        let fault = self.faults.get(self.opened).copied().flatten();
        self.opened += 1;
        FlakyConn { inner: self.inner.open(protocol, now), fault, sent: 0 }
    }

    fn wants_input(&self, conn: &Self::Connection) -> bool {
        self.inner.wants_input(&conn.inner)
    }

    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration) {
        self.inner.receive(&mut conn.inner, bytes, now);
    }

    fn input_ended(&mut self, conn: &mut Self::Connection, now: Duration) {
        self.inner.input_ended(&mut conn.inner, now);
    }

    fn disconnected(&mut self, conn: Self::Connection, how: Disconnect, now: Duration) {
        self.inner.disconnected(conn.inner, how, now);
    }

    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize {
        self.inner.peek(&mut conn.inner, out, now).min(conn.left())
    }

    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration) {
        conn.sent += count;
        self.inner.sent(&mut conn.inner, count, now);
    }

    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step {
        match conn.fault {
            Some(ConnectionFault::Cut(_)) if conn.left() == 0 => Step::Close,
            Some(ConnectionFault::Stall(_)) if conn.left() == 0 => Step::Wait,
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

    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        self.inner.connected(&mut conn.inner, client, own);
    }

    fn is_idle(&self, conn: &Self::Connection) -> bool {
        self.inner.is_idle(&conn.inner)
    }

    fn tick(&mut self, now: Duration) -> Option<Duration> {
        self.inner.tick(now)
    }

    fn down_until(&self) -> Option<Duration> {
        self.inner.down_until()
    }

    fn lines(&mut self) -> Option<&mut dyn DatagramLines> {
        self.inner.lines()
    }
}

fn player(tape: &Tape, seed: u64) -> MockExchange {
    MockExchange::new(Arc::new(tape.clone()), Scenario::losing(seed, "0.25".parse().unwrap()))
}

/// Draws the faults of the first few connections, each within the first `bytes`.
fn faults(seed: u64, count: u64, bytes: u64) -> Vec<Option<ConnectionFault>> {
    (0..count)
        .map(|i| {
            let draw = rng::nth(seed, i);
            let at = (draw >> 8) % bytes;
            match draw % 4 {
                0 => None,
                1 => Some(ConnectionFault::Stall(at as usize)),
                _ => Some(ConnectionFault::Cut(at as usize)),
            }
        })
        .collect()
}

#[test]
fn failing_connections_lose_no_packet() {
    for seed in 0..1000 {
        let tape = Tape::random([14, 300, 3000][seed as usize % 3], seed);
        let faults = faults(seed, 1 + seed % 6, tape.last() * 17);
        let exchange = Flaky::new(player(&tape, seed), faults);
        let options = RecorderOptions { retries: 8, ..RecorderOptions::default() };
        let run = record(options, vec![exchange], network(seed), seed, &tape);
        let outcome = outcome(&run);
        assert!(outcome.is_complete() && outcome.last == tape.last(), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn failing_connections_lose_no_packet_without_the_extension() {
    for seed in 0..300 {
        let tape = Tape::random([14, 100, 300][seed as usize % 3], seed);
        let faults = faults(seed, 1 + seed % 6, tape.last() * 17);
        let exchange = Flaky::new(player(&tape, seed), faults);
        let options = RecorderOptions { retries: 8, classic: true, ..RecorderOptions::default() };
        let run = record(options, vec![exchange], network(seed), seed, &tape);
        let outcome = outcome(&run);
        // A stream that is cut between two packets looks complete. The end may then be too low only
        // if every later pass missed it too.
        assert!(outcome.is_complete() && outcome.last == tape.last(), "seed {seed}: {outcome:?}");
    }
}

/// Passes that run side by side and are cut off together are one incident.
#[test]
fn a_batch_of_passes_that_is_cut_off_is_retried() {
    for seed in 0..50 {
        let tape = Tape::classic();
        let mut faults = vec![None, None];
        faults.extend([Some(ConnectionFault::Cut(0)); 12].map(|_| Some(ConnectionFault::Cut(9))));
        let exchange = Flaky::new(OriginalExchange::new(tape.clone(), seed), faults);
        let run = record(RecorderOptions::default(), vec![exchange], network(seed), seed, &tape);
        assert!(outcome(&run).is_complete(), "seed {seed}: {:?}", outcome(&run));
    }
}

/// One early close must not make a line request one packet at a time for ever.
#[test]
fn a_resend_connection_that_breaks_once_does_not_slow_the_rest() {
    let tape = Tape::random(40_000, 1);
    let network = Network {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        segment: 1400,
        cut_calls: true,
    };
    let exchange = Flaky::new(player(&tape, 1), vec![None, Some(ConnectionFault::Cut(40 * 17))]);
    let run = record(RecorderOptions::default(), vec![exchange], network, 1, &tape);
    assert!(outcome(&run).is_complete());
    assert!(run.elapsed < Duration::from_millis(500), "{:?}", run.elapsed);
}

/// Bytes that arrive after the recorder has ended must not be answered by a reset, because an
/// original dies of a reset.
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
