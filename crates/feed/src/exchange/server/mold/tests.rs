//! Lines without sockets: what they send, in which order, when, and what requests bring.

use super::requests::LATE_MAX;
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
use crate::tape::source::TapeSource;
use crate::wire::mold::{Content, Datagram, HEADER_BYTES, Header, Request};
use alloc::sync::Arc;
use alloc::vec;
use core::net::{Ipv4Addr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);
const CLIENT: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Options without a lead, and with so many messages a datagram.
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
fn faults_strike_datagrams_and_a_seed_repeats_them_byte_for_byte() {
    let span = |low, high| Span::new(low, high).unwrap();
    let random = |action: FaultAction, chance: &str, burst| {
        let chance = chance.parse().unwrap();
        let pick = FaultSelector::Random { chance, burst: span(1, burst) };
        let mut fault = fault(action, FaultPlace::Stream);
        fault.pick = pick;
        fault
    };
    let copies = FaultAction::Duplicate { copies: 2, after: span(0, 5), changed: None };
    let scenario = |seed| {
        Scenario::clean(seed)
            .with(random(FaultAction::Drop, "5%", 4))
            .with(random(copies, "5%", 1))
            .with(random(FaultAction::Reorder { by: span(1, 9) }, "5%", 1))
            .with(random(FaultAction::Truncate { bytes: span(0, 1400) }, "2%", 1))
            .with(random(FaultAction::Corrupt { field: CorruptedField::Count }, "1%", 1))
            .with(random(FaultAction::Garbage { bytes: span(1, 99) }, "1%", 1))
    };
    let play = |seed| {
        let exchange = exchange(20_000, scenario(seed), of(10)).with_line(of(10));
        let mut run = Run::new(exchange);
        let sent = [run.send(0), run.send(1)];
        let total = run.exchange.faults().tally().total();
        assert_eq!(total.sent + total.dropped, 40_000);
        (sent, run.stats(0))
    };
    let ([a, b], stats) = play(7);
    assert!(play(7).0 == [a.clone(), b.clone()], "the same seed");
    assert!(play(8).0[0] != a && a != b, "other seeds and lines differ");
    let legal = a.iter().filter(|bytes| Datagram::parse(bytes).is_ok());
    let received: SeqSet = legal.flat_map(|bytes| sequences(bytes)).map(SeqRange::one).collect();
    assert_eq!(received.count() + stats.dropped_messages, 20_000);
    assert_eq!(stats.messages, received.count());
    assert!((100..400).contains(&stats.dropped), "{stats:?}");
}

#[test]
fn two_lines_drop_independently_and_a_fault_may_strike_one_line_only() {
    let five_percent = Scenario::losing(3, "5%".parse().unwrap());
    let mut run = Run::new(exchange(50_000, five_percent, of(5)).with_line(of(5)));
    let missed = [0, 1].map(|line| {
        let received: SeqSet =
            all_sequences(&run.send(line)).into_iter().map(SeqRange::one).collect();
        received
    });
    let lost = missed.each_ref().map(|set| 50_000 - set.count());
    assert!(lost.iter().all(|lost| (2000..3000).contains(lost)), "{lost:?}");
    let both = (1..=50_000).filter(|&seq| missed.iter().all(|set| !set.contains(seq))).count();
    assert!((40..250).contains(&both), "{both} of {lost:?}");

    let mut on_second = Fault::skip("11-20".parse().unwrap());
    on_second.lines = Some(only(2));
    let scenario = Scenario::clean(1).with(on_second);
    let mut run = Run::new(exchange(30, scenario, of(10)).with_line(of(10)));
    assert_eq!(all_sequences(&run.send(0)), (1..=30).collect::<Vec<_>>());
    let sent = all_sequences(&run.send(1));
    assert_eq!(sent, (1..=10).chain(21..=30).collect::<Vec<_>>());
}

#[test]
fn listed_sequences_and_every_nth_strike_the_datagrams_that_have_them() {
    let mut run = Run::new(exchange(100, at("7,31-32,100", FaultAction::Drop), of(10)));
    let sent = all_sequences(&run.send(0));
    let kept = (11..=30).chain(41..=90);
    assert_eq!(sent, kept.collect::<Vec<_>>());
    assert_eq!((run.stats(0).dropped, run.stats(0).dropped_messages), (3, 30));

    let mut every = fault(FaultAction::Drop, FaultPlace::Stream);
    every.pick = FaultSelector::Every(3);
    let mut run = Run::new(exchange(100, Scenario::clean(1).with(every), of(10)));
    let firsts: Vec<Seq> =
        run.send(0).iter().filter_map(|it| sequences(it).first().copied()).collect();
    assert_eq!(firsts, [1, 11, 31, 41, 61, 71, 91], "the 3rd, 6th and 9th are dropped");

    let mut tail = fault(FaultAction::Drop, FaultPlace::Stream);
    tail.last = Some(12);
    let mut run = Run::new(exchange(100, Scenario::clean(1).with(tail), of(10)));
    let sent = run.send(0);
    assert_eq!(all_sequences(&sent), (1..=80).collect::<Vec<_>>());
    assert_eq!(Datagram::parse(sent.last().unwrap()).unwrap().sequence(), 101, "which shows it");
}

#[test]
fn random_loss_spares_the_last_datagram_unless_it_must_not() {
    let all = Fault::loss("100%".parse().unwrap());
    let kept = Scenario::clean(1).with(all.clone());
    let sent = Run::new(exchange(100, kept, of(10))).send(0);
    assert_eq!(all_sequences(&sent), (91..=100).collect::<Vec<_>>());
    let lost = Scenario { keep_last: false, ..Scenario::clean(1).with(all) };
    assert_eq!(all_sequences(&Run::new(exchange(100, lost, of(10))).send(0)), [0; 0]);
}

#[test]
fn each_fault_of_a_datagram_does_what_its_name_says() {
    let play = |action| {
        let mut run = Run::new(exchange(60, at("25", action), of(10)));
        let sent = run.send(0);
        (run, sent)
    };
    let firsts = |sent: &[Vec<u8>]| -> Vec<Seq> {
        let datagrams = sent.iter().filter_map(|bytes| Datagram::parse(bytes).ok());
        datagrams.map(|datagram| datagram.sequence()).collect()
    };
    let one = Span::one;
    let copies = |after| FaultAction::Duplicate { copies: 1, after: one(after), changed: None };
    assert_eq!(firsts(&play(copies(0)).1), [1, 11, 21, 21, 31, 41, 51, 61]);
    assert_eq!(firsts(&play(copies(2)).1), [1, 11, 21, 31, 41, 21, 51, 61]);
    let later = |by| FaultAction::Reorder { by: one(by) };
    assert_eq!(firsts(&play(later(1)).1), [1, 11, 31, 21, 41, 51, 61]);
    assert_eq!(firsts(&play(later(99)).1), [1, 11, 31, 41, 51, 21, 61], "before the end");
    for bytes in [0, 19, 20, 21, 100, 9999] {
        let (run, sent) = play(FaultAction::Truncate { bytes: one(bytes) });
        let whole = HEADER_BYTES + 10 * 19;
        assert_eq!(sent[2].len(), (bytes as usize).min(whole - 1));
        assert!(Datagram::parse(&sent[2]).is_err());
        assert_eq!((run.stats(0).damaged, run.stats(0).dropped_messages), (1, 10));
    }
    for field in [CorruptedField::Count, CorruptedField::Length] {
        let (_, sent) = play(FaultAction::Corrupt { field });
        assert!(Datagram::parse(&sent[2]).is_err());
    }
    let (run, sent) = play(FaultAction::Corrupt { field: CorruptedField::Session });
    let session = Datagram::parse(&sent[2]).unwrap().session();
    assert_ne!(session.0, run.exchange.tape().session().padded());
    let (_, sent) = play(FaultAction::Corrupt { field: CorruptedField::Sequence });
    let sequence = Datagram::parse(&sent[2]).map_or(0, |datagram| datagram.sequence());
    assert!(sequence == 0 || sequence > 1 << 60);
    let (_, sent) = play(FaultAction::Garbage { bytes: one(33) });
    assert_eq!((sent[2].len(), firsts(&sent).len()), (33, 7));
    let (_, sent) = play(FaultAction::EndSession);
    assert!(matches!(Datagram::parse(&sent[2]).unwrap().content(), Content::EndOfSession));
    assert_eq!(firsts(&sent), [1, 11, 21, 21, 31, 41, 51, 61], "and the stream goes on");
    let back = FaultAction::Shift { by: 12, direction: Direction::Earlier };
    assert_eq!(firsts(&play(back).1), [1, 11, 9, 19, 29, 39, 49, 59, 61]);
    let on = FaultAction::Shift { by: 12, direction: Direction::Later };
    let (mut run, sent) = play(on);
    assert_eq!(firsts(&sent), [1, 11, 33, 43, 53, 61]);
    assert_eq!(all_sequences(&run.request(0, 21, 12)), (21..=30).collect::<Vec<_>>());
    let sized = |count| FaultAction::Write {
        size: WriteSize::Packets(one(count)),
        pause: TimeSpan::one(Duration::ZERO),
    };
    let mut run = Run::new(exchange(60, at("21", sized(3)), of(10)));
    assert_eq!(firsts(&run.send(0)), [1, 11, 21, 24, 34, 44, 54, 61]);
}

#[test]
fn the_largest_datagram_is_as_large_as_udp_allows() {
    let pause = TimeSpan::one(Duration::ZERO);
    let size = WriteSize::Bytes(Span::one(PayloadLimit::MAX.bytes() as u32));
    let largest = fault(FaultAction::Write { size, pause }, FaultPlace::Stream);
    let mut run = Run::new(exchange(10_000, Scenario::clean(1).with(largest), of(10)));
    let sent = run.send(0);
    assert_eq!(sequences(&sent[0]).len(), (65_507 - 20) / 19);
    assert_eq!(all_sequences(&sent).len(), 10_000);
}

#[test]
fn a_line_that_is_held_or_silent_goes_on_with_other_faults() {
    for (action, heartbeats) in [(FaultAction::Hold, 3), (FaultAction::Silence, 0)] {
        let mut run = Run::new(exchange(60, at("25", action), of(10)));
        let sent = run.send_until(0, 3 * SECOND);
        let sequence = |bytes: &[u8]| Datagram::parse(bytes).unwrap().sequence();
        let next: Vec<Seq> = sent[2..].iter().map(|(_, bytes)| sequence(bytes)).collect();
        assert_eq!(next, vec![21; heartbeats], "{action:?}");
        assert_eq!(all_sequences(&run.request(0, 15, 20)), (15..=20).collect::<Vec<_>>());
        run.exchange.set_scenario(Scenario::clean(1));
        let rest: Vec<Vec<u8>> = run.send(0);
        assert_eq!(all_sequences(&rest), (21..=60).collect::<Vec<_>>());
    }
}

#[test]
fn a_delay_holds_back_everything_that_follows() {
    let time = TimeSpan::one(SECOND / 2);
    let mut run = Run::new(exchange(60, at("25", FaultAction::Delay { time }), of(10)));
    assert_eq!(all_sequences(&run.send(0)), (1..=20).collect::<Vec<_>>());
    let deadline = run.exchange.lines().unwrap().line_deadline(0);
    assert_eq!(deadline, Some(SECOND / 2));
    run.now = SECOND / 2;
    assert_eq!(all_sequences(&run.send(0)), (21..=60).collect::<Vec<_>>());
}

#[test]
fn heartbeats_and_the_end_of_the_session_can_be_dropped() {
    let no_end = Scenario::clean(1).with(fault(FaultAction::Drop, FaultPlace::End));
    let mut run = Run::new(exchange(10, no_end, of(10)));
    let sent = run.send_until(0, 50 * SECOND);
    assert_eq!((sent.len(), run.stats(0).heartbeats, run.stats(0).ends), (51, 50, 0));
    let heartbeats = fault(FaultAction::Drop, FaultPlace::Heartbeat);
    let options = LineOptions { lead: 5 * SECOND, ..of(10) };
    let mut run = Run::new(exchange(10, Scenario::clean(1).with(heartbeats), options));
    assert_eq!(run.send_until(0, 4 * SECOND).len(), 0);
    assert_eq!(run.stats(0).withheld, 5);
}

#[test]
fn a_restart_is_silent_and_may_begin_another_session() {
    for renew in [false, true] {
        let restart = FaultAction::Restart { down: SECOND, renew };
        let mut scenario = at("25", restart);
        scenario.faults[0].times = Some(1);
        let exchange = exchange(60, scenario, of(10)).with_next_tape(Arc::new(Tape::random(30, 2)));
        let mut run = Run::new(exchange);
        let session = Session(run.exchange.tape().session().padded());
        assert_eq!(all_sequences(&run.send(0)), (1..=20).collect::<Vec<_>>());
        assert_eq!(run.request(0, 1, 5).len(), 0, "nobody answers");
        assert_eq!(run.exchange.lines().unwrap().line_deadline(0), Some(SECOND));
        run.now = SECOND;
        let sent = run.send(0);
        let is_same = Datagram::parse(&sent[0]).unwrap().session() == session;
        assert_eq!(is_same, !renew);
        let expected: Vec<Seq> = if renew { (1..=30).collect() } else { (21..=60).collect() };
        assert_eq!(all_sequences(&sent), expected);
        let old = Request { session, sequence: 1, count: 1 };
        assert_eq!(run.answers(0, &old.encode()).len(), usize::from(!renew));
    }
}

#[test]
fn a_request_is_answered_with_one_datagram_or_not_at_all() {
    let mut run = Run::new(exchange(1000, Scenario::clean(1), of(30)));
    let session = Session(run.exchange.tape().session().padded());
    assert_eq!(run.request(0, 1, 1).len(), 0, "nothing is sent yet");
    run.send(0);
    for (first, count, last) in [(1, 1, 1), (990, 5, 994), (990, 500, 1000), (5, 65_535, 34)] {
        let answers = run.request(0, first, count);
        assert_eq!(answers.len(), 1);
        assert_eq!(all_sequences(&answers), (first..=last).collect::<Vec<_>>());
    }
    let before = run.stats(0);
    for (first, count) in [(0, 1), (0, 10), (1001, 1), (u64::MAX - 1, 1), (1 << 63, 10)] {
        assert_eq!(run.request(0, first, count).len(), 0, "{first}");
    }
    assert_eq!(run.stats(0).out_of_range - before.out_of_range, 5);
    let other = Session::new("OTHER").unwrap();
    let request = Request { session: other, sequence: 1, count: 1 };
    assert_eq!(run.answers(0, &request.encode()).len(), 0);
    let legal = Request { session, ..request }.encode();
    for wrong in [&[][..], &legal[..19], &[legal.as_slice(), &[0]].concat(), &[0; 1400]] {
        assert_eq!(run.answers(0, wrong).len(), 0);
    }
    assert_eq!(run.request(0, 1, 0).len(), 0, "for no messages");
    let stats = run.stats(0);
    assert_eq!((stats.other_session, stats.malformed, stats.answers), (1, 5, 4));
    let refused = stats.out_of_range + stats.other_session + stats.malformed;
    assert_eq!((stats.refused, stats.requests), (refused, 4 + refused));
}

#[test]
fn messages_age_by_number_or_time() {
    let retention = Some(Retention::Messages(100));
    let options = LineOptions { retention, ..of(10) };
    let mut run = Run::new(exchange(1000, Scenario::clean(1), options));
    run.send(0);
    assert_eq!([900, 901, 1000].map(|seq| run.request(0, seq, 1).len()), [0, 1, 1]);
    assert_eq!(run.stats(0).aged_out, 1);

    let retention = Some(Retention::Time(SECOND));
    let scenario = Scenario { pace: Pace::PerSecond(1000), ..Scenario::clean(1) };
    let mut run = Run::new(exchange(10_000, scenario, LineOptions { retention, ..of(10) }));
    run.send_until(0, 5 * SECOND);
    let mut oldest = (1..5000).find(|seq| !run.request(0, *seq, 1).is_empty()).unwrap();
    assert!((3960..=4010).contains(&oldest), "{oldest}");
    run.now += 20 * SECOND;
    run.send(0);
    run.now += SECOND;
    oldest = run.request(0, 10_000, 1).len() as Seq;
    assert_eq!(oldest, 0, "all have aged out");
}

#[test]
fn the_request_server_fails_in_every_way() {
    let resend = |action| Scenario::clean(1).with(fault(action, FaultPlace::Resend));
    let play = |scenario| {
        let mut run = Run::new(exchange(1000, scenario, of(30)));
        run.send(0);
        run
    };
    let one = Span::one;
    let mut once = resend(FaultAction::Drop);
    once.faults[0].times = Some(1);
    let mut run = play(once);
    assert_eq!([5, 5, 6, 6].map(|seq| run.request(0, seq, 1).len()), [0, 1, 0, 1]);
    let mut run = play(resend(FaultAction::Silence));
    assert_eq!([5, 6].map(|seq| run.request(0, seq, 1).len()), [0, 0]);
    run.exchange.set_scenario(Scenario::clean(1));
    assert_eq!(run.request(0, 5, 1).len(), 1);
    let twice = FaultAction::Duplicate { copies: 1, after: one(0), changed: None };
    assert_eq!(play(resend(twice)).request(0, 5, 3).len(), 2);
    let two = FaultAction::Write {
        size: WriteSize::Packets(one(2)),
        pause: TimeSpan::one(Duration::ZERO),
    };
    assert_eq!(all_sequences(&play(resend(two)).request(0, 5, 9)), [5, 6]);
    let other = resend(FaultAction::Replace { by: 10 });
    assert_eq!(all_sequences(&play(other).request(0, 5, 2)), [15, 16]);
    let session = resend(FaultAction::Corrupt { field: CorruptedField::Session });
    let answer = play(session).request(0, 5, 2).remove(0);
    assert_ne!(Datagram::parse(&answer).unwrap().session().0[..4], [b' '; 4]);
    let cut = resend(FaultAction::Truncate { bytes: one(30) });
    assert_eq!(play(cut).request(0, 5, 2)[0].len(), 30);
    let mut run = play(resend(FaultAction::Delay { time: TimeSpan::one(SECOND) }));
    assert_eq!(run.request(0, 5, 2).len(), 0);
    assert_eq!((run.late(0), run.stats(0).answers), (0, 0));
    run.now = SECOND;
    assert_eq!((run.late(0), run.late(0)), (1, 0));
    (0..5000).for_each(|_| assert!(run.request(0, 5, 2).is_empty()));
    assert_eq!(run.stats(0).unanswered, 5000 - LATE_MAX as u64, "the memory is bounded");
}

#[test]
fn a_client_above_its_rate_gets_no_answer_and_others_do() {
    let options = LineOptions { request_rate: 5, ..of(10) };
    let mut run = Run::new(exchange(1000, Scenario::clean(1), options));
    run.send(0);
    let answered = (0..100).filter(|_| !run.request(0, 1, 1).is_empty()).count();
    assert_eq!((answered, run.stats(0).over_rate), (5, 95));
    run.now = SECOND;
    assert_eq!(run.request(0, 1, 1).len(), 1);
    let events = core::iter::from_fn(|| run.exchange.poll_event());
    let over = |event: &ServerEvent| {
        matches!(event, ServerEvent::Mold { event: MoldEvent::OverRate { .. }, .. })
    };
    assert_eq!(events.filter(over).count(), 1);
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
