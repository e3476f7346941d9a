//! Tests of the bytes of a tape, and of the faults between them.

use super::*;
use crate::base::rng::Rng;
use crate::base::seq::to_index;
use crate::faults::scenario::FaultSelector;

#[test]
fn bytes_are_the_same_however_the_socket_takes_them() {
    let messages: Vec<Vec<u8>> =
        (0..40_u8).map(|at| vec![b'a' + at % 26; usize::from(at) * usize::from(at) % 97]).collect();
    let mut expected = None;
    for framing in [Framing::Length, Framing::LengthAndType] {
        for (at_once, room, most) in
            [(1000, 1 << 16, usize::MAX), (3, 1 << 16, 7), (7, 5, 5), (1, 1, 1), (4, 300, 299)]
        {
            let tape = MessageTape::new(messages.clone(), framing, at_once);
            let mut session = Session::new(tape, Scenario::clean(1));
            session.login(1);
            while session.take(room, most) > 0 {}
            assert_eq!(session.exchange.stats().packets, 40);
            let total = session.exchange.faults().tally().total();
            assert_eq!((total.sent, total.dropped), (40, 0));
            let expected = expected.get_or_insert_with(|| session.received.clone());
            assert!(session.received == *expected, "{framing:?} {at_once} {room} {most}");
        }
    }
    let (mut rest, mut found) = (&expected.as_deref().unwrap()[33..], Vec::new());
    while let Ok(Some((raw, after))) = RawPacket::split_first(rest) {
        if let Packet::Sequenced(message) = raw.decode().unwrap() {
            found.push(message.to_vec());
        }
        rest = after;
    }
    assert_eq!(found, messages);
}

#[test]
fn orders_are_the_same_however_the_socket_takes_them() {
    let mut expected = None;
    for (room, most) in [(1 << 16, usize::MAX), (1, 1), (19, 19), (20, 20), (21, 3), (777, 500)] {
        let mut session = Session::new(Arc::new(Tape::random(300, 1)), Scenario::clean(1));
        session.login(1);
        while session.take(room, most) > 0 {}
        assert_eq!(session.exchange.stats().packets, 300);
        let cells = session.exchange.faults().tally().cells();
        assert!(cells[1..=300].iter().all(|cell| (cell.sent, cell.dropped) == (1, 0)));
        let expected = expected.get_or_insert_with(|| session.received.clone());
        assert!(session.received == *expected, "{room} {most}");
    }
}

#[test]
fn a_message_that_no_packet_can_carry_ends_the_connection() {
    let tape = MessageTape::new(vec![vec![1; 9], vec![0; 65_535]], Framing::Length, 10);
    let mut session = Session::new(tape, Scenario::clean(1));
    session.login(1);
    assert_eq!(session.run(), Step::Finish);
    assert_eq!((session.said().as_str(), session.received.len()), ("A1 S", 33 + HEADER_BYTES + 9));
    assert_eq!(session.events().last(), Some(&SoupEvent::MessageTooLong { seq: 2 }));
}

#[test]
fn a_pace_counts_from_the_first_message_of_the_login() {
    for (first, said) in [(1, "A1 1 2 3 4 5 Z"), (3, "A3 3 4 5 Z")] {
        let scenario = Scenario { pace: Pace::PerSecond(10), ..Scenario::clean(1) };
        let mut session = sample(scenario);
        session.login(first);
        session.run();
        assert_eq!(session.said(), alloc::format!("A{first} {first}"));
        assert_eq!(session.run_until(SECOND * 10), Step::Finish);
        assert_eq!(session.said(), said);
        let took = session.now - SECOND;
        let expected = Duration::from_millis(100 * (5 - first));
        assert!(took >= expected && took < expected + Duration::from_millis(5), "{took:?}");
    }
}

#[test]
fn a_pace_in_bytes_counts_messages_without_their_packets() {
    let lengths = [30, 0, 100, 70, 1];
    let messages: Vec<Vec<u8>> = lengths.map(|len| vec![b'x'; len]).to_vec();
    for (first, took) in [(1, 200), (3, 170), (4, 70)] {
        for at_once in [1, 10] {
            let tape = MessageTape::new(messages.clone(), Framing::Length, at_once);
            let scenario = Scenario { pace: Pace::BytesPerSecond(1000), ..Scenario::clean(1) };
            let mut session = Session::new(tape, scenario);
            session.login(first);
            session.run();
            let sent = session.exchange.stats().packets;
            assert_eq!(sent, 1, "message {first} alone: the next one waits for its bytes");
            assert_eq!(session.run_until(SECOND * 10), Step::Finish);
            assert_eq!(session.exchange.stats().packets, 6 - first);
            let (took, expected) = (session.now - SECOND, Duration::from_millis(took));
            assert!(took >= expected && took < expected + Duration::from_millis(5), "{took:?}");
        }
    }
}

#[test]
fn faults_of_logins() {
    let second = |action| {
        let mut fault = fault(action, FaultPlace::Login);
        fault.times = Some(1);
        Scenario::clean(1).with(fault)
    };
    let reason = RejectReason::NotAuthorized;
    let mut session = sample(second(FaultAction::Reject { reason }));
    session.login(1);
    assert_eq!((session.run(), session.said().as_str()), (Step::Finish, "JA"));
    session.reconnect();
    session.login(1);
    session.run();
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z", "rejected once");

    let shift = |by, direction| FaultAction::Shift { by, direction };
    let none = Span::one(0);
    let debug = FaultAction::Insert { packet: ExtraPacket::Debug, bytes: Span::one(3) };
    for (action, first, said, step) in [
        (FaultAction::Reject { reason: RejectReason::SessionNotAvailable }, 1, "JS", Step::Finish),
        (shift(2, Direction::Later), 2, "A4 4 5 Z", Step::Finish),
        (shift(9, Direction::Later), 2, "A6 Z", Step::Finish),
        (shift(1, Direction::Earlier), 4, "A3 3 4 5 Z", Step::Finish),
        (shift(9, Direction::Earlier), 4, "A1 1 2 3 4 5 Z", Step::Finish),
        (
            FaultAction::Duplicate { copies: 1, after: none, changed: None },
            4,
            "A4 A4 4 5 Z",
            Step::Finish,
        ),
        (debug, 5, "+ A5 5 Z", Step::Finish),
        (FaultAction::Close { bytes: 0 }, 1, "", Step::Finish),
        (FaultAction::Silence, 1, "", Step::Wait),
    ] {
        let mut session = sample(with(action, FaultPlace::Login));
        session.login(first);
        assert_eq!((session.run(), session.said().as_str()), (step, said), "{action:?}");
        assert_eq!(session.exchange.faults().times_applied(0), 1);
    }
    let time = TimeSpan::one(SECOND);
    let mut slow = sample(with(FaultAction::Delay { time }, FaultPlace::Login));
    slow.login(5);
    assert_eq!((slow.run(), slow.said().as_str()), (Step::Wait, ""));
    assert_eq!(slow.run_until(SECOND * 5), Step::Finish);
    assert_eq!((slow.now, slow.said().as_str()), (SECOND * 2, "A5 5 Z"));
}

#[test]
fn faults_of_messages() {
    let insert = |packet, bytes| FaultAction::Insert { packet, bytes: Span::one(bytes) };
    for (action, said, step) in [
        (FaultAction::Close { bytes: 0 }, "A1 1 2", Step::Finish),
        (FaultAction::Close { bytes: 1 }, "A1 1 2 1 bytes", Step::Finish),
        (FaultAction::Close { bytes: 17 }, "A1 1 2 17 bytes", Step::Finish),
        (FaultAction::Silence, "A1 1 2", Step::Wait),
        (FaultAction::EndSession, "A1 1 2 Z", Step::Finish),
        (insert(ExtraPacket::Debug, 9), "A1 1 2 + 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unsequenced, 0), "A1 1 2 U 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unsequenced, 65_534), "A1 1 2 U 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Unknown, 65_534), "A1 1 2 ? 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::Heartbeat, 0), "A1 1 2 H 3 4 5 Z", Step::Finish),
        (insert(ExtraPacket::NoLength, 0), "A1 1 2 no length 3 4 5 Z", Step::Finish),
    ] {
        for (room, most) in [(1 << 17, usize::MAX), (1 << 17, 1000), (100, 33)] {
            let mut session = sample(at_three(action));
            session.login(1);
            while session.take(room, most) > 0 {}
            let ended = session.run();
            assert_eq!((ended, session.said().as_str()), (step, said), "{action:?}");
            assert_eq!(session.exchange.faults().times_applied(0), 1);
        }
    }
    let mut reset = sample(at_three(FaultAction::Reset { bytes: 2 }));
    reset.login(1);
    assert_eq!(reset.run_until(SECOND * 5), Step::Reset);
    assert_eq!(reset.said(), "A1 1 2 2 bytes");
    let mut held = sample(at_three(FaultAction::Hold));
    held.login(1);
    assert_eq!(held.run_until(SECOND * 4), Step::Wait);
    assert_eq!(held.said(), "A1 1 2 H H H");
}

#[test]
fn faults_that_strike_other_protocols_are_not_applied() {
    let change = FaultAction::Duplicate { copies: 1, after: Span::one(0), changed: None };
    let by = Span::one(1);
    for action in [FaultAction::Drop, change, FaultAction::Reorder { by }] {
        let mut session = sample(at_three(action));
        session.login(1);
        session.run();
        assert_eq!(session.said(), "A1 1 2 3 4 5 Z", "{action:?}");
        assert_eq!(session.exchange.faults().times_applied(0), 0);
    }
}

#[test]
fn writes_have_the_size_that_a_fault_sets() {
    let write = |size| {
        let pause = TimeSpan::one(Duration::ZERO);
        with(FaultAction::Write { size, pause }, FaultPlace::Stream)
    };
    let sizes = |scenario| {
        let mut session = sample(scenario);
        session.login(1);
        let mut sizes = Vec::new();
        while let count @ 1.. = session.take(1 << 16, usize::MAX) {
            sizes.push(count);
        }
        assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
        sizes
    };
    let whole = sizes(Scenario::clean(1));
    assert_eq!(whole, [33 + 5 * 20 + 3]);
    assert_eq!(sizes(write(WriteSize::Packets(Span::one(2)))), [33, 40, 40, 23]);
    assert_eq!(
        sizes(write(WriteSize::Bytes(Span::one(1)))),
        [vec![33], vec![1; 100], vec![3]].concat()
    );
    assert_eq!(sizes(write(WriteSize::Bytes(Span::one(30)))), [33, 30, 30, 30, 13]);
}

#[test]
fn faults_of_the_end_and_of_heartbeats() {
    let mut missing = sample(with(FaultAction::Drop, FaultPlace::End));
    missing.login(5);
    assert_eq!(missing.run_until(SECOND * 3), Step::Wait);
    assert_eq!(missing.said(), "A5 5 H H");
    assert_eq!(missing.exchange.stats().soup.withheld, 1);
    let mut none = sample(
        with(FaultAction::Drop, FaultPlace::End)
            .with(fault(FaultAction::Drop, FaultPlace::Heartbeat)),
    );
    none.login(5);
    assert_eq!(none.run_until(SECOND * 3), Step::Wait);
    assert_eq!(none.said(), "A5 5");
    assert_eq!(none.exchange.stats().soup.withheld, 3);
}

#[test]
fn orders_and_other_faults_reach_a_connection() {
    let mut session = Session::new(Arc::new(Tape::sample(1000)), Scenario::clean(1));
    session.login(1);
    session.take(1 << 16, 33 + 25);
    session.exchange.stall(&mut session.conn, SECOND, SECOND);
    assert_eq!((session.run(), session.take(99, 99)), (Step::Wait, 0));
    session.now = SECOND * 2;
    // The message that is partly sent is sent to its end, and then the fault applies.
    session.exchange.set_scenario(with(FaultAction::EndSession, FaultPlace::Stream));
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.said(), "A1 1 2 Z");
    for (how, step) in [(CutKind::Close, Step::Finish), (CutKind::Reset, Step::Reset)] {
        let mut session = Session::new(Arc::new(Tape::sample(1000)), Scenario::clean(1));
        session.login(1);
        session.take(1 << 16, 33 + 25);
        session.exchange.cut(&mut session.conn, how);
        assert_eq!(
            (session.take(99, 99), session.exchange.step(&mut session.conn, SECOND)),
            (0, step)
        );
        assert_eq!(session.exchange.stats().cut, 1);
    }
}

#[test]
fn faults_that_are_gone_let_messages_go_on() {
    let mut session = sample(at_three(FaultAction::Hold));
    session.login(1);
    session.run();
    assert_eq!(session.said(), "A1 1 2");
    session.exchange.set_scenario(Scenario::clean(1));
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.said(), "A1 1 2 3 4 5 Z");
}

#[test]
fn a_client_of_a_live_session_that_is_too_slow_is_cut_off_if_the_scenario_says_so() {
    let tape = GrowingTape::new(Arc::new(Tape::sample(1000)), "100/s".parse().unwrap(), 1, 0);
    let scenario = Scenario { slow: SlowSubscriberPolicy::Cut(50), ..Scenario::clean(1) };
    let mut session = Session::new(tape, scenario);
    session.login(1);
    session.run_until(SECOND * 2);
    session.now = SECOND * 4;
    assert_eq!(session.run(), Step::Finish);
    assert_eq!(session.exchange.stats().skipped, 200);
}

/// Draws a scenario of faults that can happen in SoupBinTCP.
fn drawn(rng: &mut Rng) -> Scenario {
    let mut scenario = Scenario { seed: rng.bits(), ..Scenario::clean(1) };
    for _ in 0..rng.below(4) {
        let pause = TimeSpan::one(Duration::from_millis(rng.below(3).into()));
        let span = Span::new(1, 1 + rng.below(70)).unwrap();
        let bytes = u8::try_from(rng.below(18)).unwrap();
        let packets = [
            ExtraPacket::Debug,
            ExtraPacket::Unsequenced,
            ExtraPacket::Heartbeat,
            ExtraPacket::Unknown,
            ExtraPacket::NoLength,
        ];
        let packet = packets[rng.below(5) as usize];
        let direction = if rng.below(2) == 0 { Direction::Later } else { Direction::Earlier };
        let down = Duration::from_millis(50);
        let action = match rng.below(13) {
            0 => FaultAction::Drop,
            1 => FaultAction::Duplicate { copies: 2, after: Span::one(0), changed: None },
            2 => FaultAction::Delay { time: pause },
            3 => FaultAction::Silence,
            4 => FaultAction::Write { size: WriteSize::Bytes(span), pause },
            5 => FaultAction::Write { size: WriteSize::Packets(span), pause },
            6 => FaultAction::Close { bytes },
            7 => FaultAction::Reset { bytes },
            8 => FaultAction::Insert { packet, bytes: span },
            9 => FaultAction::Hold,
            10 => FaultAction::EndSession,
            11 => FaultAction::Shift { by: rng.below(9), direction },
            _ => FaultAction::Restart { down, renew: false },
        };
        let places = [
            FaultPlace::Connect,
            FaultPlace::Login,
            FaultPlace::Stream,
            FaultPlace::Stream,
            FaultPlace::End,
            FaultPlace::Heartbeat,
        ];
        let Some(mut fault) = Fault::new(action, places[rng.below(6) as usize]) else { continue };
        if fault.place() == FaultPlace::Stream && rng.below(3) > 0 {
            let chance = ["2%", "10%", "50%"][rng.below(3) as usize].parse().unwrap();
            fault.pick = FaultSelector::Random { chance, burst: Span::one(1) };
        }
        scenario = scenario.with(fault);
    }
    scenario
}

#[test]
fn any_scenario_sends_the_same_bytes_however_they_are_taken() {
    let mut rng = Rng::new(8);
    for round in 0..1500 {
        let scenario = drawn(&mut rng);
        let (lengths, at_once) = (rng.bits(), 1 + rng.below(20) as usize);
        let messages = (0..rng.below(60)).map(|at| vec![b'm'; to_index(lengths >> (at % 60) & 31)]);
        let framing = [Framing::Length, Framing::LengthAndType][rng.below(2) as usize];
        let tape = MessageTape::new(messages.collect(), framing, at_once);
        let mut whole = Session::new(tape.clone(), scenario.clone());
        let mut parts = Session::new(tape, scenario.clone());
        whole.login(1);
        parts.login(1);
        let end = whole.run_until(SECOND * 40);
        loop {
            let room = 1 + rng.below(200) as usize;
            let mut out = vec![0; room];
            let count = parts.exchange.peek(&mut parts.conn, &mut out, parts.now);
            if count > 0 {
                let mut again = vec![0; room];
                assert_eq!(parts.exchange.peek(&mut parts.conn, &mut again, parts.now), count);
                assert_eq!(out, again, "round {round}: bytes change by being looked at");
                parts.take(room, 1 + rng.below(u32::try_from(count).unwrap()) as usize);
                continue;
            }
            let step = parts.exchange.step(&mut parts.conn, parts.now);
            let deadline = parts.exchange.deadline(&parts.conn);
            match deadline.filter(|time| step == Step::Wait && *time <= SECOND * 40) {
                Some(time) => {
                    assert!(time > parts.now, "round {round}: a deadline in the past");
                    parts.now = time;
                }
                None => {
                    assert_eq!(step, end, "round {round}: {scenario:?}");
                    break;
                }
            }
        }
        assert!(parts.received == whole.received, "round {round}: {scenario:?}");
        assert_eq!(parts.exchange.stats(), whole.exchange.stats(), "round {round}: {scenario:?}");
    }
}
