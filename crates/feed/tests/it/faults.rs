//! Effects of each fault as a client sees them: frames, order, sizes and times of writes, ends and
//! counters, worked out by hand from `docs/scenarios.md`. The packets are written here by hand,
//! too.

use crate::seen::{Seen, packet, see};
use feed::base::chance::Chance;
use feed::base::span::{Span, TimeSpan};
use feed::exchange::server::{MockExchange, ServerEvent};
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::{
    CorruptedField, Fault, FaultAction, FaultPlace, FaultSelector, Scenario, UnknownSequencePolicy,
    WriteSize,
};
use feed::tape::in_memory::Tape;
use feed::tape::pace::Pace;
use feed::wire::{Protocol, Reason};
use std::sync::Arc;
use std::time::Duration;

const STREAM: &[u8] = &[1, 0];
/// Describe call, and a resend call for packets 1 to 5.
const RANGE: &[u8] = &[3, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0, 5];
/// Original resend calls for packets 1, 2 and 3.
const SINGLES: &[u8] = &[2, 1, 2, 2, 2, 3];

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Calls [`see`] at time 0.
fn first(exchange: &mut MockExchange, calls: &[u8]) -> Seen {
    see(exchange, calls, &mut ms(0))
}

fn exchange(scenario: Scenario) -> MockExchange {
    MockExchange::new(Arc::new(Tape::sample(5)), scenario)
}

fn fault(action: FaultAction, place: FaultPlace, sequences: &str) -> Fault {
    let mut fault = Fault::new(action, place).expect("it fits there");
    fault.sequences = (!sequences.is_empty()).then(|| sequences.parse().unwrap());
    fault
}

fn with(action: FaultAction, place: FaultPlace, sequences: &str) -> MockExchange {
    exchange(Scenario::clean(7).with(fault(action, place, sequences)))
}

/// Returns the writes of the first connection to an exchange with this one fault.
fn writes(action: FaultAction, place: FaultPlace, sequences: &str, calls: &[u8]) -> String {
    first(&mut with(action, place, sequences), calls).writes
}

fn streamed(action: FaultAction, sequences: &str) -> String {
    writes(action, FaultPlace::Stream, sequences, STREAM)
}

const fn duplicate(copies: u32, after: u32, changed: Option<CorruptedField>) -> FaultAction {
    FaultAction::Duplicate { copies, after: Span::one(after), changed }
}

const fn garbage(bytes: u32) -> FaultAction {
    FaultAction::Garbage { bytes: Span::one(bytes) }
}

fn delay(time: u64) -> FaultAction {
    FaultAction::Delay { time: TimeSpan::one(ms(time)) }
}

fn write(size: WriteSize, pause: u64) -> FaultAction {
    FaultAction::Write { size, pause: TimeSpan::one(ms(pause)) }
}

#[test]
fn a_clean_exchange_sends_everything_once() {
    let mut exchange = exchange(Scenario::clean(7));
    let mut now = Duration::ZERO;
    assert_eq!(see(&mut exchange, STREAM, &mut now).writes, "1 2 3 4 5 end");
    assert_eq!(see(&mut exchange, RANGE, &mut now).writes, "I 1 2 3 4 5 open");
    assert_eq!(see(&mut exchange, SINGLES, &mut now).writes, "1 2 3 +400 end");
    let served = exchange.stats();
    assert_eq!((served.connections, served.streams, served.resends), (3, 1, 8));
    assert_eq!((served.dropped, served.refused, served.cut), (0, 0, 0));
    assert_eq!(served.bytes, 17 * (5 + 6 + 3));
}

#[test]
fn drop_holds_packets_back_and_counts_them() {
    for (sequences, seen, lost) in [
        ("1", "2 3 4 5 end", 1),
        ("2,4", "1 3 5 end", 2),
        ("5", "1 2 3 4 end", 1),
        ("1-5", "end", 5),
        ("6-9", "1 2 3 4 5 end", 0),
    ] {
        let mut exchange = with(FaultAction::Drop, FaultPlace::Stream, sequences);
        assert_eq!(first(&mut exchange, STREAM).writes, seen);
        assert_eq!((exchange.stats().dropped, exchange.stats().cut), (lost, 0), "{sequences}");
        assert_eq!(first(&mut exchange, RANGE).writes, "I 1 2 3 4 5 open");
    }
    let mut exchange = with(FaultAction::Drop, FaultPlace::Resend, "2");
    assert_eq!(first(&mut exchange, RANGE).writes, "I 1 3 4 5 open");
    assert_eq!(first(&mut exchange, SINGLES).writes, "1 3 +400 end");
    assert_eq!(exchange.stats().dropped, 2);
    assert_eq!(first(&mut exchange, STREAM).writes, "1 2 3 4 5 end");
}

#[test]
fn sequences_are_right_at_the_edges_of_masks() {
    let mut exchange = MockExchange::new(
        Arc::new(Tape::sample(130)),
        Scenario::skipping("1,63-65,127-128,130".parse().unwrap()),
    );
    let bytes = first(&mut exchange, STREAM).bytes;
    let seen: Vec<u8> = bytes.as_chunks::<17>().0.iter().map(|raw| raw[16]).collect();
    let kept = (2..=62).chain(66..=126).chain([129]);
    assert_eq!(seen, kept.collect::<Vec<u8>>());
    assert_eq!(exchange.stats().dropped, 7);
}

#[test]
fn a_fault_applies_at_its_place_and_as_often_as_it_says() {
    let four = |change: fn(&mut Fault)| {
        let mut fault = fault(FaultAction::Drop, FaultPlace::Stream, "");
        change(&mut fault);
        let mut exchange = exchange(Scenario::clean(7).with(fault));
        let mut now = Duration::ZERO;
        let seen: Vec<String> =
            (0..4).map(|_| see(&mut exchange, STREAM, &mut now).frames()).collect();
        seen.join(" | ")
    };
    assert_eq!(four(|f| f.pick = FaultSelector::Every(2)), "1 3 5 | 1 3 5 | 1 3 5 | 1 3 5");
    assert_eq!(four(|f| f.last = Some(2)), "1 2 3 | 1 2 3 | 1 2 3 | 1 2 3");
    assert_eq!(four(|f| f.passes = Some("2,4".parse().unwrap())), "1 2 3 4 5 |  | 1 2 3 4 5 | ");
    assert_eq!(
        four(|f| {
            f.connections = Some("3".parse().unwrap());
            f.sequences = Some("4".parse().unwrap());
        }),
        "1 2 3 4 5 | 1 2 3 4 5 | 1 2 3 5 | 1 2 3 4 5"
    );
    assert_eq!(
        four(|f| {
            f.times = Some(2);
            f.sequences = Some("1,3".parse().unwrap());
        }),
        "2 4 5 | 2 4 5 | 1 2 3 4 5 | 1 2 3 4 5"
    );
    assert_eq!(
        four(|f| {
            f.last = Some(1);
            f.sequences = Some("2".parse().unwrap());
            f.times = Some(1);
        }),
        "1 3 4 | 1 2 3 4 5 | 1 2 3 4 5 | 1 2 3 4 5"
    );
}

#[test]
fn only_random_loss_keeps_the_last_packet() {
    let always = FaultSelector::Random { chance: Chance::of(1, 1).unwrap(), burst: Span::one(1) };
    for (keep_last, pick, seen) in [
        (true, always, "5 end"),
        (false, always, "end"),
        (true, FaultSelector::All, "end"),
        (true, FaultSelector::Every(5), "1 2 3 4 end"),
    ] {
        for times in [None, Some(9)] {
            let mut fault = fault(FaultAction::Drop, FaultPlace::Stream, "");
            (fault.pick, fault.times) = (pick, times);
            let mut exchange = exchange(Scenario { keep_last, ..Scenario::clean(7).with(fault) });
            assert_eq!(first(&mut exchange, STREAM).writes, seen);
            assert_eq!(exchange.stats().dropped as usize, 5 - (seen.len() - 3) / 2);
        }
    }
}

#[test]
fn duplicate_sends_copies_at_once_or_later() {
    assert_eq!(streamed(duplicate(1, 0, None), "2"), "1 2 2 3 4 5 end");
    assert_eq!(streamed(duplicate(3, 0, None), "5"), "1 2 3 4 5 5 5 5 end");
    assert_eq!(streamed(duplicate(1, 2, None), "2"), "1 2 3 4 2 5 end");
    assert_eq!(streamed(duplicate(2, 1, None), "1,3"), "1 2 1 1 3 4 3 3 5 end");
    assert_eq!(streamed(duplicate(1, 9, None), "2,4"), "1 2 3 4 5 2 4 end", "after the last");
    assert_eq!(
        streamed(duplicate(1, 0, Some(CorruptedField::Price)), "2"),
        "1 2 2!price 3 4 5 end"
    );
    assert_eq!(streamed(duplicate(1, 3, Some(CorruptedField::Side)), "1"), "1 2 3 4 1!side 5 end");
    // Copies that are due after the last packet keep the order of their slots.
    let far = fault(duplicate(1, 9, None), FaultPlace::Stream, "1");
    let near = fault(duplicate(1, 4, None), FaultPlace::Stream, "2");
    let scenario = Scenario::clean(7).with(far).with(near);
    assert_eq!(first(&mut exchange(scenario), STREAM).writes, "1 2 3 4 5 1 2 end");
    let resent = |calls| writes(duplicate(1, 0, None), FaultPlace::Resend, "2", calls);
    assert_eq!(resent(RANGE), "I 1 2 2 3 4 5 open");
    assert_eq!(resent(SINGLES), "1 2 2 3 +400 end");
}

#[test]
fn reorder_sends_packets_after_later_ones() {
    let by = |by| FaultAction::Reorder { by: Span::one(by) };
    assert_eq!(streamed(by(1), "2"), "1 3 2 4 5 end");
    assert_eq!(streamed(by(2), "2"), "1 3 4 2 5 end");
    assert_eq!(streamed(by(2), "1-2"), "3 1 4 2 5 end");
    assert_eq!(streamed(by(9), "4"), "1 2 3 5 4 end");
    assert_eq!(streamed(by(3), "5"), "1 2 3 4 5 end", "there is none later");
    assert_eq!(writes(by(2), FaultPlace::Resend, "1", RANGE), "I 2 3 1 4 5 open");
}

#[test]
fn delay_pauses_a_connection_and_silence_stops_it_for_ever() {
    assert_eq!(streamed(delay(20), "3"), "1 2 +20 3 4 5 end");
    assert_eq!(streamed(delay(20), "1,5"), "+20 1 2 3 4 +20 5 end");
    assert_eq!(writes(delay(20), FaultPlace::End, "", STREAM), "1 2 3 4 5 +20 end");
    assert_eq!(writes(delay(20), FaultPlace::Connect, "", STREAM), "+20 1 2 3 4 5 end");
    assert_eq!(writes(delay(20), FaultPlace::Resend, "2", RANGE), "I 1 +20 2 3 4 5 open");
    assert_eq!(streamed(FaultAction::Silence, "3"), "1 2 open");
    assert_eq!(writes(FaultAction::Silence, FaultPlace::End, "", STREAM), "1 2 3 4 5 open");
    assert_eq!(writes(FaultAction::Silence, FaultPlace::Connect, "", STREAM), "open");
    assert_eq!(writes(FaultAction::Silence, FaultPlace::Resend, "2", SINGLES), "1 open");
}

#[test]
fn a_silent_connection_is_closed_once_its_client_has_ended() {
    let mut exchange = with(FaultAction::Silence, FaultPlace::Connect, "");
    let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
    exchange.receive(&mut conn, STREAM, Duration::ZERO);
    assert_eq!(exchange.peek(&mut conn, &mut [0; 64], Duration::ZERO), 0);
    assert_eq!(exchange.step(&mut conn, Duration::ZERO), Step::Wait);
    exchange.input_ended(&mut conn, ms(1));
    assert_eq!(exchange.step(&mut conn, ms(1)), Step::Close);
    assert_eq!(exchange.stats().cut, 1, "counted once");
}

#[test]
fn writes_have_the_size_that_a_fault_sets() {
    let bytes = |count| WriteSize::Bytes(Span::one(count));
    let packets = |count| WriteSize::Packets(Span::one(count));
    // Each write that begins in packet 2 has five bytes; the last of them reaches into packet 3.
    let mut exchange = with(write(bytes(5), 1), FaultPlace::Stream, "2");
    let seen = first(&mut exchange, STREAM);
    assert_eq!(seen.writes, "1 5B +1 5B +1 5B +1 5B +1 14B 4 5 end");
    assert_eq!(seen.frames(), "1 2 3 4 5");
    // 85 bytes by 40.
    assert_eq!(streamed(write(bytes(40), 3), ""), "40B +3 40B +3 5B end");
    assert_eq!(streamed(write(packets(2), 0), ""), "1,2 3,4 5 end");
    assert_eq!(streamed(write(packets(3), 10), ""), "1,2,3 +10 4,5 end");
    assert_eq!(streamed(write(packets(2), 10), "2"), "1 2,3 +10 4 5 end");
    assert_eq!(writes(write(packets(9), 1), FaultPlace::Resend, "1", RANGE), "I 1,2,3,4,5 open");
}

#[test]
fn close_and_reset_end_it_before_or_inside_a_packet() {
    let close = |bytes| FaultAction::Close { bytes };
    let reset = |bytes| FaultAction::Reset { bytes };
    assert_eq!(streamed(close(0), "3"), "1 2 end");
    assert_eq!(streamed(close(5), "3"), "1 2 5B end");
    assert_eq!(streamed(close(17), "3"), "1 2 3 end");
    assert_eq!(writes(close(0), FaultPlace::Connect, "", STREAM), "end");
    assert_eq!(writes(close(3), FaultPlace::Resend, "2", RANGE), "I 1 3B end");
    // Bytes before a reset arrive, because the reset follows 5 ms later.
    assert_eq!(streamed(reset(0), "3"), "1 2 +5 reset");
    assert_eq!(streamed(reset(5), "3"), "1 2 5B +5 reset");
    assert_eq!(writes(reset(0), FaultPlace::End, "", STREAM), "1 2 3 4 5 +5 reset");
    assert_eq!(writes(reset(0), FaultPlace::Connect, "", STREAM), "+5 reset");
    assert_eq!(writes(reset(0), FaultPlace::Resend, "2", SINGLES), "1 +5 reset");
    let mut exchange = with(close(5), FaultPlace::Stream, "3");
    let seen = first(&mut exchange, STREAM);
    assert_eq!(seen.bytes[34..], packet(3)[..5]);
    assert_eq!(exchange.stats().cut, 1);
    assert_eq!(exchange.stats().bytes, 39);
}

#[test]
fn the_first_of_two_ends_in_the_file_wins() {
    let close = fault(FaultAction::Close { bytes: 2 }, FaultPlace::Stream, "3");
    let reset = fault(FaultAction::Reset { bytes: 9 }, FaultPlace::Stream, "3");
    for (one, other, seen) in [(&close, &reset, "1 2 2B end"), (&reset, &close, "1 2 9B +5 reset")]
    {
        let scenario = Scenario::clean(7).with(one.clone()).with(other.clone());
        assert_eq!(first(&mut exchange(scenario), STREAM).writes, seen);
    }
}

#[test]
fn corrupt_changes_one_field_and_garbage_comes_before_a_packet() {
    for (field, name) in [
        (CorruptedField::Symbol, "symbol"),
        (CorruptedField::Side, "side"),
        (CorruptedField::Quantity, "quantity"),
        (CorruptedField::Price, "price"),
        (CorruptedField::Sequence, "sequence"),
    ] {
        for seed in 0..200 {
            let fault = fault(FaultAction::Corrupt { field }, FaultPlace::Stream, "3");
            let mut exchange = exchange(Scenario::clean(seed).with(fault));
            let seen = first(&mut exchange, STREAM);
            assert_eq!(seen.writes, format!("1 2 3!{name} 4 5 end"));
            let raw = &seen.bytes[34..51];
            let sequence = i32::from_be_bytes(raw[13..].try_into().unwrap());
            match field {
                CorruptedField::Side => assert!(!raw[4].is_ascii_alphabetic(), "{}", raw[4]),
                CorruptedField::Sequence => {
                    assert!(sequence < 1 || sequence == i32::MAX, "{sequence}");
                }
                CorruptedField::Symbol => assert!(raw[..4].iter().all(u8::is_ascii_uppercase)),
                _ => {}
            }
        }
    }
    let resent = writes(
        FaultAction::Corrupt { field: CorruptedField::Price },
        FaultPlace::Resend,
        "2",
        RANGE,
    );
    assert_eq!(resent, "I 1 2!price 3 4 5 open");
    assert_eq!(streamed(garbage(20), "3"), "1 2 20B 3 4 5 end");
    assert_eq!(streamed(garbage(255), "1"), "?,?,?,?,?,?,?,?,?,?,?,?,?,?,? 1 2 3 4 5 end");
    assert_eq!(writes(garbage(20), FaultPlace::End, "", STREAM), "1 2 3 4 5 20B end");
    assert_eq!(writes(garbage(20), FaultPlace::Connect, "", STREAM), "20B 1 2 3 4 5 end");
    assert_eq!(writes(garbage(20), FaultPlace::Resend, "2", RANGE), "I 1 20B 2 3 4 5 open");
}

#[test]
fn replace_sends_another_packet() {
    let by = |by| FaultAction::Replace { by };
    assert_eq!(streamed(by(1), "2"), "1 3 3 4 5 end");
    assert_eq!(streamed(by(3), "2"), "1 5 3 4 5 end");
    assert_eq!(streamed(by(1), "5"), "1 2 3 4 4 end", "there is none higher");
    assert_eq!(streamed(by(7), "2"), "1 1 3 4 5 end", "the lowest there is");
    assert_eq!(writes(by(1), FaultPlace::Resend, "2", SINGLES), "1 3 3 +400 end");
}

#[test]
fn refuse_sends_a_message_of_the_extension_or_closes_the_connection() {
    let quota = FaultAction::Refuse { reason: Reason::Quota };
    let aged = FaultAction::Refuse { reason: Reason::AgedOut };
    assert_eq!(writes(quota, FaultPlace::Resend, "2-3", RANGE), "I 1 N2+2:3 4 5 open");
    assert_eq!(writes(aged, FaultPlace::Resend, "1,3-5", RANGE), "I N1+1:4 2 N3+3:4 open");
    assert_eq!(writes(quota, FaultPlace::Resend, "", RANGE), "I N1+5:3 open");
    let both = Scenario::clean(7).with(fault(quota, FaultPlace::Resend, "2")).with(fault(
        aged,
        FaultPlace::Resend,
        "3",
    ));
    assert_eq!(first(&mut exchange(both), RANGE).writes, "I 1 N2+1:3 N3+1:4 4 5 open");
    let mut exchange = with(quota, FaultPlace::Resend, "2");
    assert_eq!(first(&mut exchange, SINGLES).writes, "1 end");
    assert_eq!(exchange.stats().cut, 1);
}

#[test]
fn restart_resets_all_connections_and_the_exchange_comes_back() {
    for renew in [false, true] {
        let restart = FaultAction::Restart { down: ms(500), renew };
        let mut fault = fault(restart, FaultPlace::Stream, "3");
        fault.times = Some(1);
        let mut exchange =
            exchange(Scenario::clean(7).with(fault)).with_next_tape(Arc::new(Tape::sample(2)));
        let mut now = ms(10);
        assert_eq!(see(&mut exchange, STREAM, &mut now).writes, "1 2 +5 reset");
        assert_eq!((now, exchange.down_until()), (ms(15), Some(ms(515))));
        assert!(!exchange.died() && !exchange.is_dead());
        now = ms(515);
        let seen = if renew { "1 2 end" } else { "1 2 3 4 5 end" };
        assert_eq!(see(&mut exchange, STREAM, &mut now).writes, seen);
        assert_eq!((exchange.down_until(), exchange.stats().cut), (None, 1));
    }
    let mut exchange = with(FaultAction::Die, FaultPlace::Stream, "3");
    assert_eq!(first(&mut exchange, STREAM).writes, "1 2 +5 reset");
    assert!(exchange.died() && exchange.is_dead());
    let down = FaultAction::Restart { down: ms(500), renew: false };
    for place in [FaultPlace::Connect, FaultPlace::End, FaultPlace::Resend] {
        let seen = ["+5 reset", "1 2 3 4 5 +5 reset", "+5 reset"];
        let calls = if place == FaultPlace::Resend { SINGLES } else { STREAM };
        let at = [FaultPlace::Connect, FaultPlace::End, FaultPlace::Resend]
            .iter()
            .position(|it| *it == place);
        assert_eq!(writes(down, place, "", calls), seen[at.unwrap()]);
        assert_eq!(writes(FaultAction::Die, place, "", calls), seen[at.unwrap()]);
    }
}

#[test]
fn an_unknown_sequence_is_answered_as_the_scenario_says() {
    // Resend 2, 9, 3: there is no 9.
    let calls = &[2, 2, 2, 9, 2, 3];
    for (unknown, seen, died) in [
        (UnknownSequencePolicy::Close, "2 end", false),
        (UnknownSequencePolicy::Silence, "2 3 +400 end", false),
        (UnknownSequencePolicy::Reset, "2 +5 reset", false),
        (UnknownSequencePolicy::Die, "2 +5 reset", true),
    ] {
        let mut exchange = exchange(Scenario { unknown, ..Scenario::clean(7) });
        assert_eq!(first(&mut exchange, calls).writes, seen);
        assert_eq!((exchange.died(), exchange.stats().refused), (died, 1));
    }
    // Ranges are refused in part: 4 and 5 exist, three more do not.
    let beyond = &[3, 1, 4, 0, 0, 0, 0, 4, 0, 0, 0, 5];
    let mut exchange = exchange(Scenario::clean(7));
    let seen = first(&mut exchange, beyond);
    assert_eq!(seen.writes, "I 4 5 N6+3:1 open");
    // None at all.
    let senseless = &[3, 1, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    assert_eq!(first(&mut exchange, senseless).writes, "I N4+0:5 open");
    let notes: Vec<ServerEvent> = std::iter::from_fn(|| exchange.poll_event()).collect();
    let refused = |connection, seq, reason| ServerEvent::Refused { connection, seq, reason };
    assert_eq!(notes, [refused(1, 6, Reason::OutOfRange), refused(2, 4, Reason::Malformed)]);
}

#[test]
fn silent_resend_connections_end_after_the_idle_time() {
    for (idle, seen) in [(Some(ms(400)), "1 2 3 +400 end"), (Some(ms(7)), "1 2 3 +7 end")] {
        let mut exchange = exchange(Scenario { idle, ..Scenario::clean(7) });
        assert_eq!(first(&mut exchange, SINGLES).writes, seen);
    }
    let mut exchange = exchange(Scenario { idle: None, ..Scenario::clean(7) });
    assert_eq!(first(&mut exchange, SINGLES).writes, "1 2 3 open");
}

#[test]
fn a_call_that_arrives_after_the_end_is_not_answered() {
    let mut exchange = exchange(Scenario::clean(7));
    let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
    exchange.receive(&mut conn, &[2, 1], Duration::ZERO);
    let mut out = [0; 64];
    let count = exchange.peek(&mut conn, &mut out, Duration::ZERO);
    exchange.sent(&mut conn, count, Duration::ZERO);
    assert_eq!(exchange.step(&mut conn, ms(400)), Step::Finish);
    exchange.receive(&mut conn, &[2, 2], ms(401));
    assert_eq!(exchange.peek(&mut conn, &mut out, ms(401)), 0, "it sends no more");
    exchange.input_ended(&mut conn, ms(402));
    assert_eq!(exchange.step(&mut conn, ms(402)), Step::Close);
}

#[test]
fn without_the_extension_its_calls_are_unknown() {
    let mut exchange = exchange(Scenario { extension: false, ..Scenario::clean(7) });
    // Read as calls of two bytes: 03 01, 04 00, 00 00, 00 01, 00 00, 00 05; then resend 2.
    let calls = [RANGE, &[2, 2]].concat();
    assert_eq!(first(&mut exchange, &calls).writes, "2 +400 end");
}

#[test]
fn a_paced_stream_with_faults_keeps_its_pace() {
    let at = |pace, fault| {
        let scenario = Scenario { pace, ..Scenario::clean(7).with(fault) };
        first(&mut exchange(scenario), STREAM).writes
    };
    let twice = || fault(duplicate(1, 1, None), FaultPlace::Stream, "2");
    assert_eq!(at(Pace::PerSecond(100), twice()), "1 +10 2 +10 3 2 +10 4 +10 5 end");
    // 17 bytes at 1,700 a second are ten milliseconds, too.
    assert_eq!(at(Pace::BytesPerSecond(1700), twice()), "1 +10 2 +10 3 2 +10 4 +10 5 end");
    // A late stream catches up: at 35 ms the fourth packet is due.
    let late = fault(delay(25), FaultPlace::Stream, "2");
    assert_eq!(at(Pace::PerSecond(100), late), "1 +35 2 3 4 +5 5 end");
    let dropped = fault(FaultAction::Drop, FaultPlace::Stream, "1-3");
    assert_eq!(at(Pace::PerSecond(100), dropped), "+30 4 +10 5 end");
    // Resends are never held back.
    let scenario = Scenario { pace: Pace::PerSecond(1), ..Scenario::clean(7).with(twice()) };
    assert_eq!(first(&mut exchange(scenario), RANGE).writes, "I 1 2 3 4 5 open");
}
