//! Lines without sockets: what they send, in which order, when, and what requests bring.

mod faults;
mod requests;

use super::*;
use crate::base::seq::{SeqRange, SeqSet};
use crate::base::span::{Span, TimeSpan};
use crate::exchange::Exchange;
use crate::exchange::datagrams::DatagramBatch;
use crate::exchange::server::MockExchange;
use crate::faults::scenario::{
    CorruptedField, Direction, Fault, FaultAction, FaultSelector, Scenario, WriteSize, only,
};
use crate::tape::growing::{ArrivalRate, GrowingTape};
use crate::tape::in_memory::Tape;
use crate::tape::itch_market::ItchMarket;
use crate::tape::pace::STEP;
use crate::tape::source::TapeSource;
use crate::wire::mold::{Content, Datagram, HEADER_BYTES, Header, Request};
use alloc::sync::Arc;
use alloc::vec;
use core::net::{Ipv4Addr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);
const CLIENT: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Options without a lead, and with this maximum number of messages in a datagram.
fn of(messages: u16) -> LineOptions {
    let limits = DatagramLimits { messages, ..DatagramLimits::default() };
    LineOptions { limits, lead: Duration::ZERO, ..LineOptions::default() }
}

fn exchange(last: Seq, scenario: Scenario, options: LineOptions) -> MockExchange {
    MockExchange::new(Arc::new(Tape::random(last, 1)), scenario).with_line(options)
}

/// Exchange, and its time.
struct Run<P = Arc<Tape>> {
    exchange: MockExchange<P>,
    now: Duration,
}

impl<P: TapeSource> Run<P> {
    fn new(exchange: MockExchange<P>) -> Self {
        Self { exchange, now: Duration::ZERO }
    }

    /// Returns everything that a line sends now.
    fn send(&mut self, line: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut batch = DatagramBatch::default();
            self.exchange.lines().unwrap().send_due(line, &mut batch, self.now);
            if batch.is_empty() {
                return all;
            }
            assert!(batch.iter().all(|(receiver, _)| receiver.is_none()));
            all.extend(batch.iter().map(|(_, datagram)| datagram.to_vec()));
        }
    }

    /// Returns everything that a line sends until `end`, by its deadlines.
    fn send_until(&mut self, line: usize, end: Duration) -> Vec<(Duration, Vec<u8>)> {
        let mut all = Vec::new();
        loop {
            all.extend(self.send(line).into_iter().map(|datagram| (self.now, datagram)));
            match self.exchange.lines().unwrap().line_deadline(line).filter(|at| *at <= end) {
                Some(at) => {
                    assert!(at > self.now, "a line that has sent everything waits");
                    self.now = at;
                }
                None => return all,
            }
        }
    }

    fn answers(&mut self, line: usize, request: &[u8]) -> Vec<Vec<u8>> {
        let mut batch = DatagramBatch::default();
        let lines = self.exchange.lines().unwrap();
        lines.receive_request(line, CLIENT, request, &mut batch, self.now);
        assert!(batch.iter().all(|(receiver, _)| receiver == Some(CLIENT)));
        batch.iter().map(|(_, datagram)| datagram.to_vec()).collect()
    }

    fn request(&mut self, line: usize, sequence: Seq, count: u16) -> Vec<Vec<u8>> {
        let session = Session(self.exchange.tape().session().padded());
        self.answers(line, &Request { session, sequence, count }.encode())
    }

    fn late(&mut self, line: usize) -> usize {
        let mut batch = DatagramBatch::default();
        self.exchange.lines().unwrap().send_late_answers(line, &mut batch, self.now);
        batch.len()
    }

    fn stats(&self, line: usize) -> MoldStats {
        self.exchange.mold_lines().nth(line).unwrap().stats
    }
}

/// Returns the sequences of the messages of a datagram.
fn sequences(datagram: &[u8]) -> Vec<Seq> {
    let datagram = Datagram::parse(datagram).unwrap();
    datagram.messages().numbered().map(|(seq, _)| seq).collect()
}

fn all_sequences(datagrams: &[Vec<u8>]) -> Vec<Seq> {
    datagrams.iter().flat_map(|datagram| sequences(datagram)).collect()
}

fn fault(action: FaultAction, place: FaultPlace) -> Fault {
    Fault::new(action, place).unwrap()
}

fn at(sequences: &str, action: FaultAction) -> Scenario {
    let mut fault = fault(action, FaultPlace::Stream);
    fault.sequences = Some(sequences.parse().unwrap());
    Scenario::clean(1).with(fault)
}

#[test]
fn a_tape_is_sent_whole_in_datagrams_up_to_the_limits() {
    for (messages, datagrams) in [(1, 100), (7, 15), (COUNT_MAX, 2)] {
        let mut run = Run::new(exchange(100, Scenario::clean(1), of(messages)));
        let sent = run.send(0);
        let (end, sent) = sent.split_last().unwrap();
        assert_eq!(sent.len(), datagrams);
        assert_eq!(all_sequences(sent), (1..=100).collect::<Vec<_>>());
        assert!(sent.iter().all(|datagram| datagram.len() <= 1400));
        assert!(matches!(Datagram::parse(end).unwrap().content(), Content::EndOfSession));
        assert_eq!(Datagram::parse(end).unwrap().sequence(), 101);
        let first = Datagram::parse(&sent[0]).unwrap();
        assert_eq!(first.messages().next().unwrap().len(), 17, "order packets are 17 bytes");
        let stats = run.stats(0);
        assert_eq!((stats.datagrams, stats.messages, stats.ends), (datagrams as u64, 100, 1));
    }
}

#[test]
fn messages_of_any_framing_and_more_than_are_read_ahead_are_sent_whole() {
    let last = 20_000;
    let market = ItchMarket::seeded(1, last);
    let mut run = Run::new(MockExchange::new(market, Scenario::clean(1)).with_line(of(30)));
    let sent = run.send(0);
    let mut tape = ItchMarket::seeded(1, last);
    let mut next = 1;
    for datagram in &sent {
        for (seq, message) in Datagram::parse(datagram).unwrap().messages().numbered() {
            let on_tape = tape.messages(SeqRange::one(seq)).iter().next().unwrap().1.to_vec();
            assert_eq!((seq, message), (next, &on_tape[..]));
            next += 1;
        }
    }
    assert_eq!(next, last + 1);
}

#[test]
fn heartbeats_come_before_the_first_message_and_the_end_is_announced_for_a_while() {
    let options = LineOptions { lead: 3 * SECOND, ..of(10) };
    let mut run = Run::new(exchange(10, Scenario::clean(1), options));
    let sent = run.send_until(0, 100 * SECOND);
    let session = Session(run.exchange.tape().session().padded());
    let (before, after) = sent.split_at(3);
    for (second, (time, heartbeat)) in (0u32..).zip(before) {
        assert_eq!(*time, second * SECOND);
        assert_eq!(heartbeat[..], Header::heartbeat(session, 1).encode());
    }
    assert_eq!((after[0].0, sequences(&after[0].1)), (3 * SECOND, (1..=10).collect()));
    let ends = &after[1..];
    assert_eq!(ends.len(), 30);
    for (second, (time, end)) in (3u32..).zip(ends) {
        assert_eq!(*time, second * SECOND);
        assert_eq!(end[..], Header::end_of_session(session, 11).encode());
    }
    assert_eq!(run.exchange.mold_lines().next().unwrap().phase, "over");
    assert_eq!(run.request(0, 1, 10).len(), 1, "requests are answered after that");
}

#[test]
fn the_datagrams_of_a_paced_tape_do_not_depend_on_when_the_driver_asks() {
    let play = |step: Duration| {
        let scenario = Scenario { pace: Pace::PerSecond(10_000), ..Scenario::clean(1) };
        let mut run = Run::new(exchange(5000, scenario, of(25)));
        let (mut all, mut times) = (Vec::new(), Vec::new());
        while run.now < SECOND {
            let sent = run.send(0);
            times.extend(sent.iter().map(|_| run.now));
            all.extend(sent);
            run.now += step;
        }
        (all, times)
    };
    let (exact, times) = play(Duration::from_micros(50));
    assert_eq!(all_sequences(&exact), (1..=5000).collect::<Vec<_>>());
    let exact_messages = exact.iter().filter(|datagram| datagram.len() > HEADER_BYTES);
    let messages: Vec<usize> = exact_messages.map(|datagram| sequences(datagram).len()).collect();
    // A message that is due 1 ms after the first one still shares its datagram.
    assert!(messages[..400].iter().all(|count| (10..=12).contains(count)), "{messages:?}");
    assert!(*times.last().unwrap() > Duration::from_millis(499));
    for step in [1, 7, 300] {
        assert!(play(Duration::from_millis(step)).0 == exact, "asked each {step} ms");
    }
}

#[test]
fn a_pace_in_bytes_counts_messages_without_their_headers() {
    let scenario = Scenario { pace: Pace::BytesPerSecond(17_000), ..Scenario::clean(1) };
    let options = LineOptions { flush: SECOND, ..of(1) };
    let packets = Run::new(exchange(20, scenario.clone(), options)).send_until(0, SECOND);
    let of_messages = packets.iter().filter(|(_, datagram)| datagram.len() > HEADER_BYTES);
    let times: Vec<Duration> = of_messages.map(|(time, _)| *time).collect();
    assert_eq!(times, (0..20).map(Duration::from_millis).collect::<Vec<_>>());

    let tape = ItchMarket::seeded(1, 2000);
    let mut clock = StreamClock::new(1);
    let exchange = MockExchange::new(tape.clone(), scenario.clone()).with_line(options);
    let sent = Run::new(exchange).send_until(0, SECOND);
    let of_messages = sent.iter().filter(|(_, datagram)| datagram.len() > HEADER_BYTES);
    let mut tape = tape;
    let mut count = 0;
    for (at, datagram) in of_messages {
        count += 1;
        assert_eq!(sequences(datagram), [count]);
        let due = clock.due(scenario.pace, &mut tape, count);
        assert!(*at >= due && *at <= due + STEP * 2, "message {count} at {at:?} for {due:?}");
    }
    assert!((400..700).contains(&count), "{count} messages of about 30 bytes");
}

#[test]
fn a_datagram_of_as_many_messages_as_it_may_have_waits_for_no_more() {
    let scenario = Scenario { pace: Pace::PerSecond(1000), ..Scenario::clean(1) };
    let options = LineOptions { flush: SECOND, ..of(1) };
    let sent = Run::new(exchange(20, scenario, options)).send_until(0, SECOND);
    let of_messages = sent.iter().filter(|(_, datagram)| datagram.len() > HEADER_BYTES);
    let times: Vec<Duration> = of_messages.map(|(time, _)| *time).collect();
    assert_eq!(times, (0..20).map(Duration::from_millis).collect::<Vec<_>>());
}

#[test]
fn a_live_session_that_goes_on_sends_only_its_new_messages_and_answers_for_all() {
    let tape = GrowingTape::new(Arc::new(Tape::random(100, 1)), ArrivalRate::Steady(1000), 1, 60);
    let mut run = Run::new(MockExchange::new(tape, Scenario::clean(1)).with_line(of(1000)));
    let sent = run.send_until(0, SECOND);
    let sent: Vec<Vec<u8>> = sent.into_iter().map(|(_, datagram)| datagram).collect();
    assert_eq!(all_sequences(&sent), (61..=100).collect::<Vec<_>>());
    assert_eq!(all_sequences(&run.request(0, 1, 50)), (1..=50).collect::<Vec<_>>());
}

#[test]
fn messages_of_a_live_tape_wait_for_their_datagram_to_fill_but_not_for_long() {
    let rate = ArrivalRate::Steady(1000);
    let tape = GrowingTape::new(Arc::new(Tape::random(100, 1)), rate, 1, 0);
    let options = LineOptions { flush: Duration::from_millis(4), ..of(1000) };
    let mut run = Run::new(MockExchange::new(tape, Scenario::clean(1)).with_line(options));
    let sent = run.send_until(0, SECOND);
    let messages: Vec<Vec<u8>> = sent.iter().map(|(_, datagram)| datagram.clone()).collect();
    assert_eq!(all_sequences(&messages), (1..=100).collect::<Vec<_>>());
    for (time, datagram) in sent.iter().filter(|(_, datagram)| datagram.len() > HEADER_BYTES) {
        let first = Duration::from_millis(sequences(datagram)[0] - 1);
        assert!(*time - first <= Duration::from_millis(4), "{time:?}: {datagram:?}");
    }
    assert!(messages.len() < 50, "several messages share a datagram");
}

#[test]
fn orders_pause_lines_and_drop_datagrams() {
    let mut run = Run::new(exchange(100, Scenario::clean(1), of(10)));
    run.exchange.pause();
    assert_eq!((run.send(0).len(), run.request(0, 1, 1).len()), (0, 0));
    assert_eq!(run.exchange.lines().unwrap().line_deadline(0), None);
    run.exchange.resume();
    run.exchange.drop_next(15);
    assert_eq!(all_sequences(&run.send(0)), (21..=100).collect::<Vec<_>>());
    assert_eq!((run.exchange.drops_pending(), run.stats(0).dropped), (0, 2));
}
