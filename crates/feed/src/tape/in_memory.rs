//! Tape in memory: the complete, ordered record of a session's packets, as an exchange plays it.

pub(crate) use crate::tape::order_flow::START;

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, to_index};
use crate::wire::packet::{Packet, Side, Symbol};
use crate::wire::{Frame, MAX_PACKET_SEQ, RawFrame, SessionId, encode};
use alloc::vec::Vec;
use core::fmt;

/// Encoded packets of a session, in sequence order from [`FIRST_SEQ`] without a gap.
///
/// Concept: [tape](crate#tape).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tape {
    frames: Vec<RawFrame>,
    session: SessionId,
}

/// Reason why packets are not a tape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TapeError {
    /// Packet whose sequence is not its position plus 1.
    OutOfOrder {
        /// Position of the packet, from 0.
        place: u64,
        /// Sequence of the packet.
        sequence: Seq,
    },
}

impl fmt::Display for TapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::OutOfOrder { place, sequence } = *self;
        write!(
            f,
            "packet {} of the tape has sequence {sequence}: a tape holds every sequence from 1, \
             each once, in order",
            place + 1
        )
    }
}

impl core::error::Error for TapeError {}

impl Tape {
    /// Creates a tape of packets.
    ///
    /// # Errors
    /// Returns an error if the sequences are not 1, 2, 3 and so on.
    pub fn new(packets: impl IntoIterator<Item = Packet>) -> Result<Self, TapeError> {
        let packets = packets.into_iter();
        let mut frames = Vec::with_capacity(packets.size_hint().0);
        for (place, packet) in (0u64..).zip(packets) {
            if place + 1 != packet.sequence || packet.sequence > MAX_PACKET_SEQ {
                return Err(TapeError::OutOfOrder { place, sequence: packet.sequence });
            }
            frames.push(encode(&Frame::Packet(packet)));
        }
        Ok(Self { session: session_of(&frames), frames })
    }

    /// Creates a tape of `count` packets, each made by `make` from its sequence.
    fn made(count: u64, make: impl FnMut(Seq) -> Packet) -> Self {
        let mut make = make;
        let frames: Vec<_> = (FIRST_SEQ..=count.min(MAX_PACKET_SEQ))
            .map(|sequence| encode(&Frame::Packet(make(sequence))))
            .collect();
        Self { session: session_of(&frames), frames }
    }

    /// Returns the tape of the exercise's documents: symbol `SYMB`, alternating sides, quantities
    /// from 100 in steps of 1, prices from 1000 in steps of 100. The documents show five of these
    /// packets.
    #[must_use]
    pub fn sample(count: u64) -> Self {
        Self::made(count, |sequence| {
            // Prices repeat after 21 million packets, at which one would not fit into 32 bits.
            let i = i32::try_from((sequence - 1) % 21_000_000).unwrap_or(0);
            Packet {
                symbol: Symbol(*b"SYMB"),
                side: if i % 2 == 0 { Side::Buy } else { Side::Sell },
                quantity: 100 + i,
                price: 1000 + 100 * i,
                sequence,
            }
        })
    }

    /// Returns the fourteen packets of the original exchange.
    #[must_use]
    pub fn classic() -> Self {
        let rows = [
            (b"AAPL", Side::Buy, 50, 100),
            (b"AAPL", Side::Buy, 30, 98),
            (b"AAPL", Side::Sell, 20, 101),
            (b"AAPL", Side::Sell, 10, 102),
            (b"META", Side::Buy, 40, 50),
            (b"META", Side::Sell, 30, 55),
            (b"META", Side::Sell, 20, 57),
            (b"MSFT", Side::Buy, 25, 150),
            (b"MSFT", Side::Sell, 15, 155),
            (b"MSFT", Side::Buy, 20, 148),
            (b"AMZN", Side::Buy, 10, 3000),
            (b"AMZN", Side::Buy, 5, 2999),
            (b"AMZN", Side::Sell, 15, 3020),
            (b"AMZN", Side::Sell, 10, 3015),
        ];
        Self::made(14, |sequence| {
            let (symbol, side, quantity, price) = rows[to_index(sequence - FIRST_SEQ)];
            Packet { symbol: Symbol(*symbol), side, quantity, price, sequence }
        })
    }

    /// Returns fourteen packets with extreme fields: short symbols, the largest and smallest
    /// numbers, and numbers that change under common decoding mistakes.
    #[must_use]
    pub fn extremes() -> Self {
        let rows = [
            (b"A   ", 1, 1),
            (b"IBM ", i32::MAX, 255),
            (b"BRKB", 256, i32::MAX),
            (b"B   ", 65_536, 16_777_216),
            (b"S   ", 0, 0),
            (b"NIO ", 128, -1),
            (b"X   ", 32_768, -100),
            (b"SNAP", 100_000, i32::MIN),
            (b"NULL", 2_147_483, -40_000),
            (b"1   ", 10, 13),
            (b"TRUE", 66, 83),
            (b"FALS", i32::MIN, 1),
            (b"0   ", -1, 256),
            (b"Z   ", 17, 12_345_678),
        ];
        Self::made(14, |sequence| {
            let (symbol, quantity, price) = rows[to_index(sequence - FIRST_SEQ)];
            let side = if sequence % 3 == 0 { Side::Sell } else { Side::Buy };
            Packet { symbol: Symbol(*symbol), side, quantity, price, sequence }
        })
    }

    /// Returns `count` packets of plausible order flow: several symbols with wandering prices, and
    /// orders on both sides. A seed always gives the same tape.
    #[must_use]
    pub fn random(count: u64, seed: u64) -> Self {
        let mut flow = crate::tape::order_flow::OrderFlow::new(seed);
        Self::made(count, |sequence| flow.packet(sequence))
    }

    /// Returns the number of packets.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Returns true if the tape has no packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the last sequence; 0 if the tape is empty.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.len()
    }

    /// Returns all encoded packets.
    #[must_use]
    pub fn frames(&self) -> &[RawFrame] {
        &self.frames
    }

    /// Returns the encoded packets of `range`; fewer if the tape ends before.
    #[must_use]
    pub fn slice(&self, range: SeqRange) -> &[RawFrame] {
        let end = self.frames.len().min(to_index(range.last()));
        let start = to_index(range.first().max(FIRST_SEQ) - 1).min(end);
        &self.frames[start..end]
    }

    /// Returns the session's id: four letters or digits derived from the packets, so that all
    /// exchanges that play the same tape play the same session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }
}

/// Derives a session id from a hash of the packets.
fn session_of(frames: &[RawFrame]) -> SessionId {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |sum, &b| sum << 8 | u64::from(b));
    let start = frames.len() as u64;
    let hash = frames.iter().fold(start, |hash, frame| {
        // The 17 bytes are read as three overlapping words.
        [word(&frame[..8]), word(&frame[8..16]), word(&frame[16..])]
            .iter()
            .fold(hash, |hash, part| {
                (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
            })
    });
    SessionId::from_bits(rng::mix(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    fn packet(tape: &Tape, seq: Seq) -> Packet {
        match decode(&tape.slice(SeqRange::one(seq))[0]) {
            Ok(Frame::Packet(packet)) => packet,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn sample_is_the_documents_tape() {
        let tape = Tape::sample(5);
        let fifth = Packet {
            symbol: Symbol(*b"SYMB"),
            side: Side::Buy,
            quantity: 104,
            price: 1400,
            sequence: 5,
        };
        assert_eq!((tape.len(), packet(&tape, 5)), (5, fifth));
        assert_eq!(packet(&tape, 2).side, Side::Sell);
    }

    #[test]
    fn random_flow_is_plausible_and_repeats() {
        let tape = Tape::random(5000, 7);
        assert_eq!(tape, Tape::random(5000, 7));
        assert_ne!(tape, Tape::random(5000, 8));
        let packets: Vec<Packet> = (1..=5000).map(|seq| packet(&tape, seq)).collect();
        let buys = packets.iter().filter(|p| p.side == Side::Buy).count();
        assert!((2000..3000).contains(&buys), "{buys}");
        assert!(packets.iter().all(|p| p.price > 0 && p.quantity > 0));
        let mut symbols: Vec<_> = packets.iter().map(|p| p.symbol).collect();
        symbols.sort();
        symbols.dedup();
        assert!(symbols.len() > 4);
        for symbol in symbols {
            let prices: Vec<i32> =
                packets.iter().filter(|p| p.symbol == symbol).map(|p| p.price).collect();
            let steps = prices.windows(2).map(|w| (w[0] - w[1]).abs()).max().unwrap();
            assert!(steps * 10 < prices[0], "{symbol} jumps by {steps} around {}", prices[0]);
            assert!(prices.iter().any(|&p| p != prices[0]), "{symbol} moves");
        }
    }

    #[test]
    fn a_tape_has_every_sequence_in_order() {
        let mut packets: Vec<Packet> = (1..=3).map(|seq| packet(&Tape::classic(), seq)).collect();
        assert_eq!(Tape::new(packets.clone()).unwrap().len(), 3);
        packets.remove(1);
        assert_eq!(Tape::new(packets), Err(TapeError::OutOfOrder { place: 1, sequence: 3 }));
        assert!(Tape::new([]).unwrap().is_empty());
    }

    #[test]
    fn slices_end_with_the_tape() {
        let tape = Tape::classic();
        let count = |first, last| tape.slice(SeqRange::new(first, last).unwrap()).len();
        assert_eq!((count(1, 14), count(14, 20), count(15, 20), count(0, 2)), (14, 1, 0, 2));
    }

    #[test]
    fn sessions_differ_by_content() {
        let ids = [Tape::classic(), Tape::sample(14), Tape::sample(5), Tape::sample(0)]
            .map(|tape| tape.session());
        for (i, id) in ids.iter().enumerate() {
            assert!(!ids[..i].contains(id), "{ids:?}");
        }
        assert_eq!(Tape::classic().session(), SessionId::of(*GOLDEN_SESSION), "ids never change");
    }

    const GOLDEN_SESSION: &[u8; 4] = b"4NAL";
}
