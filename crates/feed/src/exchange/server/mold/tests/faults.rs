//! Faults of datagrams.

use super::*;

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
