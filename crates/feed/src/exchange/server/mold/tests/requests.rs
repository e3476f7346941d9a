//! Request servers.

use super::super::requests::LATE_MAX;
use super::*;

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
    assert_eq!((answered, run.stats(0).over_rate), (15, 85));
    run.now = SECOND;
    assert_eq!(run.request(0, 1, 1).len(), 1);
    let events = core::iter::from_fn(|| run.exchange.poll_event());
    let over = |event: &ServerEvent| {
        matches!(event, ServerEvent::Mold { event: MoldEvent::OverRate { .. }, .. })
    };
    assert_eq!(events.filter(over).count(), 1);
}
