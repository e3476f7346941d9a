//! Recording from an exchange that behaves, and dies, like the original.

use crate::world::{network, outcome, record};
use feed::client::{RecorderOptions, Tail};
use feed::exchange::original::{OriginalConnection, OriginalExchange};
use feed::exchange::server::{MockExchange, ServerConnection};
use feed::exchange::{Disconnect, Exchange, Step};
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, Protocol, decode};
use std::sync::Arc;
use std::time::Duration;

/// At least 9,999 of 10,000 recordings have all fourteen packets, and none kills the exchange. The
/// seeds are fixed, so the test either always passes or never.
#[test]
fn ten_thousand_recordings_lose_nothing_and_kill_nothing() {
    let tape = Tape::classic();
    let (mut short, mut passes) = (0, 0);
    for seed in 0..10_000 {
        let original = OriginalExchange::new(Tape::classic(), seed);
        let options = RecorderOptions { classic: seed % 4 == 0, ..RecorderOptions::default() };
        let network = network(seed);
        let run = record(options, vec![original], network, seed, &tape);
        assert_eq!(run.exchanges[0].died_of(), None, "seed {seed}");
        let outcome = outcome(&run);
        assert!(outcome.is_complete(), "seed {seed}: {outcome:?}");
        assert!(
            matches!(outcome.tail, Tail::Inferred { miss_probability } if miss_probability < 1e-6),
            "{outcome:?}"
        );
        short += u32::from(outcome.last != 14);
        passes += run.recorder.passes().complete;
    }
    assert!(short <= 1, "{short} of 10,000 recordings were short");
    assert!(passes < 130_000, "{passes} passes are more than the probability calls for");
}

#[test]
fn a_known_last_packet_needs_no_further_pass() {
    for seed in 0..500 {
        let original = OriginalExchange::new(Tape::classic(), seed);
        let options = RecorderOptions { last: Some(14), ..RecorderOptions::default() };
        let run = record(options, vec![original], network(seed), seed, &Tape::classic());
        assert!(outcome(&run).is_complete() && outcome(&run).tail == Tail::Confirmed);
        assert_eq!(run.exchanges[0].died_of(), None, "seed {seed}");
        // All fourteen sequences can be requested by the original protocol.
        assert_eq!(run.recorder.passes().complete, 1, "seed {seed}");
    }
}

#[test]
fn sequences_above_127_are_recorded_by_passes() {
    for seed in 0..60 {
        let tape = Tape::random(1000, seed);
        let original = OriginalExchange::new(tape.clone(), seed);
        let run = record(RecorderOptions::default(), vec![original], network(seed), seed, &tape);
        let outcome = outcome(&run);
        assert!(outcome.is_complete() && outcome.last == 1000, "seed {seed}: {outcome:?}");
        assert_eq!(run.exchanges[0].died_of(), None, "seed {seed}");
    }
}

/// An original must not be asked for packets that only a line of the extension has shown, because
/// it would die.
#[test]
fn an_original_is_asked_only_for_sequences_that_it_has_shown() {
    for seed in 0..300 {
        let longer = Tape::random(20, 1);
        let shorter = Tape::new(longer.frames()[..14].iter().map(|frame| match decode(frame) {
            Ok(Frame::Packet(packet)) => packet,
            other => unreachable!("{other:?}"),
        }));
        let original = Line::Original(Box::new(OriginalExchange::new(shorter.unwrap(), seed)));
        let ours = MockExchange::new(
            Arc::new(longer.clone()),
            Scenario::losing(seed, "0.5".parse().unwrap()),
        );
        let lines = vec![original, Line::Ours(Box::new(ours))];
        let run = record(RecorderOptions::default(), lines, network(seed), seed, &longer);
        assert!(outcome(&run).is_complete(), "seed {seed}: {:?}", outcome(&run));
        let Line::Original(original) = &run.exchanges[0] else { unreachable!("the first") };
        assert_eq!(original.died_of(), None, "seed {seed}");
    }
}

/// Exchange of either kind.
enum Line {
    Original(Box<OriginalExchange>),
    Ours(Box<MockExchange>),
}

#[expect(clippy::large_enum_variant, reason = "there are few of them")]
enum LineConn {
    Original(OriginalConnection),
    Ours(ServerConnection),
}

impl Exchange for Line {
    type Connection = LineConn;
    type Event = ();

    fn open(&mut self, protocol: Protocol, now: Duration) -> LineConn {
        match self {
            Self::Original(line) => LineConn::Original(line.open(protocol, now)),
            Self::Ours(line) => LineConn::Ours(line.open(protocol, now)),
        }
    }

    fn wants_input(&self, _: &LineConn) -> bool {
        true
    }

    fn receive(&mut self, conn: &mut LineConn, bytes: &[u8], now: Duration) {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.receive(conn, bytes, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.receive(conn, bytes, now),
            _ => {}
        }
    }

    fn input_ended(&mut self, conn: &mut LineConn, now: Duration) {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.input_ended(conn, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.input_ended(conn, now),
            _ => {}
        }
    }

    fn disconnected(&mut self, conn: LineConn, how: Disconnect, now: Duration) {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.disconnected(conn, how, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.disconnected(conn, how, now),
            _ => {}
        }
    }

    fn peek(&mut self, conn: &mut LineConn, out: &mut [u8], now: Duration) -> usize {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.peek(conn, out, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.peek(conn, out, now),
            _ => 0,
        }
    }

    fn sent(&mut self, conn: &mut LineConn, count: usize, now: Duration) {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.sent(conn, count, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.sent(conn, count, now),
            _ => {}
        }
    }

    fn step(&mut self, conn: &mut LineConn, now: Duration) -> Step {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.step(conn, now),
            (Self::Ours(line), LineConn::Ours(conn)) => line.step(conn, now),
            _ => Step::Wait,
        }
    }

    fn deadline(&mut self, conn: &LineConn) -> Option<Duration> {
        match (self, conn) {
            (Self::Original(line), LineConn::Original(conn)) => line.deadline(conn),
            (Self::Ours(line), LineConn::Ours(conn)) => line.deadline(conn),
            _ => None,
        }
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn is_dead(&self) -> bool {
        match self {
            Self::Original(line) => line.is_dead(),
            Self::Ours(line) => line.is_dead(),
        }
    }
}

#[test]
fn an_exchange_that_streams_nothing_is_not_taken_for_complete() {
    let run = record(
        RecorderOptions::default(),
        vec![OriginalExchange::new(Tape::classic(), 1).losing(4)],
        network(1),
        1,
        &Tape::classic(),
    );
    assert!(!outcome(&run).is_complete());
    assert_eq!(outcome(&run).tail, Tail::Unknown);
    assert_eq!(run.exchanges[0].died_of(), None);
}

mod the_double {
    //! The test double dies where the original died, and nowhere else.

    use feed::exchange::original::{Death, OriginalConnection, OriginalExchange};
    use feed::exchange::{Disconnect, Exchange, Step};
    use feed::tape::in_memory::Tape;
    use feed::wire::Protocol;
    use std::time::Duration;

    const NOW: Duration = Duration::ZERO;

    fn sent(original: &mut OriginalExchange, conn: &mut OriginalConnection) -> Vec<u8> {
        let (mut all, mut out) = (Vec::new(), [0; 64]);
        loop {
            let count = original.peek(conn, &mut out, NOW);
            if count == 0 {
                return all;
            }
            all.extend_from_slice(&out[..count]);
            original.sent(conn, count, NOW);
        }
    }

    fn after_calls(bytes: &[&[u8]]) -> (OriginalExchange, Vec<u8>) {
        let mut original = OriginalExchange::new(Tape::classic(), 3).losing(0);
        let mut conn = original.open(Protocol::Betacrew, NOW);
        for part in bytes {
            original.receive(&mut conn, part, NOW);
        }
        let sent = sent(&mut original, &mut conn);
        (original, sent)
    }

    #[test]
    fn serves_well_behaved_calls() {
        for (calls, packets) in [
            (&[&[1, 0][..]][..], 14),
            (&[&[2, 3]], 1),
            (&[&[2, 3, 2, 4, 2, 5]], 3),
            (&[&[2, 3], &[1, 0]], 15),
            (&[&[1], &[0]], 14),
            (&[&[3, 1], &[0, 0], &[127, 9], &[255, 9], &[2, 1]], 1),
            (&[&[1]], 0),
        ] {
            let (original, sent) = after_calls(calls);
            assert_eq!((original.died_of(), sent.len()), (None, packets * 17), "{calls:?}");
        }
    }

    #[test]
    fn dies_as_the_original_dies() {
        for seq in [0_u8, 15, 127, 128, 200, 255] {
            let death = Death::UnknownSequence(seq.cast_signed());
            assert_eq!(after_calls(&[&[2, seq]]).0.died_of(), Some(death));
        }
        assert_eq!(after_calls(&[&[1, 0], &[2, 1]]).0.died_of(), Some(Death::WriteAfterEnd));
        assert_eq!(after_calls(&[&[1, 0, 1, 0]]).0.died_of(), Some(Death::WriteAfterEnd));
        let mut original = after_calls(&[&[1, 0]]).0;
        let conn = original.open(Protocol::Betacrew, NOW);
        original.disconnected(conn, Disconnect::Reset, NOW);
        assert_eq!(original.died_of(), Some(Death::Reset));
    }

    #[test]
    fn a_stray_byte_poisons_every_later_client() {
        let mut original = after_calls(&[&[1]]).0;
        let mut later = original.open(Protocol::Betacrew, NOW);
        original.receive(&mut later, &[2, 5], NOW);
        // The exchange reads 01 02 and a 05 that waits for more: a stream call instead of a request
        // for packet 5.
        assert_eq!(sent(&mut original, &mut later).len(), 14 * 17);
    }

    #[test]
    fn ends_after_a_stream_and_when_the_client_ends() {
        let mut original = OriginalExchange::new(Tape::classic(), 3);
        let mut conn = original.open(Protocol::Betacrew, NOW);
        assert_eq!(original.step(&mut conn, NOW), Step::Wait);
        original.receive(&mut conn, &[1, 0], NOW);
        sent(&mut original, &mut conn);
        assert_eq!(original.step(&mut conn, NOW), Step::Finish);
        assert_eq!(original.step(&mut conn, NOW), Step::Wait);
        original.input_ended(&mut conn, NOW);
        assert_eq!(original.step(&mut conn, NOW), Step::Close);
        assert_eq!(original.died_of(), None);
    }

    #[test]
    fn drops_a_quarter_of_the_packets_and_the_last_one_too() {
        let mut original = OriginalExchange::new(Tape::classic(), 9);
        let (mut packets, mut lasts) = (0, 0);
        for _ in 0..1000 {
            let mut conn = original.open(Protocol::Betacrew, NOW);
            original.receive(&mut conn, &[1, 0], NOW);
            let bytes = sent(&mut original, &mut conn);
            packets += bytes.len() / 17;
            lasts += usize::from(bytes.ends_with(&[0, 0, 0, 14]));
        }
        assert!((10_200..10_800).contains(&packets), "{packets} of 14,000");
        assert!((700..800).contains(&lasts), "{lasts} of 1,000");
    }
}
