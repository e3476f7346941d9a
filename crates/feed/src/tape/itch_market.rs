//! Synthetic market of Nasdaq TotalView-ITCH messages, as a tape: each message is computed from the
//! session's id and its sequence alone.

use crate::base::rng::mix;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, to_index};
use crate::payload::itch50::{DAY_LEN_MIN, SyntheticMarket};
use crate::tape::source::TapeSource;
use crate::wire::soup::{HEADER_BYTES, header, kind};
use crate::wire::{Framing, Messages, Run, SessionId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Number of messages generated together, a piece.
const AT_ONCE: u64 = 1024;

/// Maximum number of pieces kept (1.3 MiB in all), one for each of as many streams.
const PIECES_MAX: usize = 32;

/// Number of messages in a day of an endless market.
const ENDLESS_DAY: u64 = 1 << 20;

/// Length of a day of the market's clock.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Market of ITCH messages, played without stored messages. A tape of known length is one trading
/// day; an endless one has day after day.
#[derive(Clone, Debug)]
pub struct ItchMarket {
    session: SessionId,
    market: SyntheticMarket,
    last: Seq,
    /// Pieces made last, the latest first.
    pieces: VecDeque<Piece>,
}

/// Messages generated together, framed as SoupBinTCP frames them.
#[derive(Clone, Debug, Default)]
struct Piece {
    /// Number of the piece.
    number: u64,
    bytes: Vec<u8>,
    /// Offset of each message in `bytes`, and the end of the last one.
    offsets: Vec<usize>,
}

impl ItchMarket {
    /// Creates the market of a session, up to message `last`. It is endless if that is
    /// [`MAX_SEQ`].
    #[must_use]
    pub fn new(session: SessionId, last: Seq) -> Self {
        let last = last.min(MAX_SEQ);
        let day = if last == MAX_SEQ { ENDLESS_DAY } else { last.max(DAY_LEN_MIN) };
        let short = u64::from(u32::from_be_bytes(session.shortened()));
        let market = SyntheticMarket::new(mix(short), day);
        Self { session, market, last, pieces: VecDeque::new() }
    }

    /// Creates the market of the session that a seed names, up to message `last`.
    #[must_use]
    pub fn seeded(seed: u64, last: Seq) -> Self {
        // Days of different lengths have different messages, so they are different sessions.
        Self::new(SessionId::from_bits(mix(!seed ^ mix(last))), last)
    }

    /// Returns whether the market has no last message.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.last == MAX_SEQ
    }

    /// Returns the index in a piece of a message, with the piece's number.
    fn place_of(seq: Seq) -> (u64, usize) {
        let index = seq - FIRST_SEQ;
        (index / AT_ONCE, to_index(index % AT_ONCE))
    }

    /// Moves a piece to the front, and makes it if necessary.
    fn fetch(&mut self, number: u64) {
        if self.pieces.front().is_some_and(|piece| piece.number == number) {
            return;
        }
        let at = self.pieces.iter().position(|piece| piece.number == number);
        let piece = match at.and_then(|at| self.pieces.remove(at)) {
            Some(piece) => piece,
            None => {
                let full = self.pieces.len() >= PIECES_MAX;
                let old = if full { self.pieces.pop_back() } else { None };
                self.make(number, old.unwrap_or_default())
            }
        };
        self.pieces.push_front(piece);
    }

    /// Makes a piece in the memory of an `old` one.
    fn make(&self, number: u64, old: Piece) -> Piece {
        let mut piece = Piece { number, ..old };
        piece.bytes.clear();
        piece.offsets.clear();
        let first = number * AT_ONCE;
        for index in first..(first + AT_ONCE).min(self.last) {
            let message = self.market.message(index);
            piece.offsets.push(piece.bytes.len());
            // No message of ITCH is too long for a packet.
            if let Ok(header) = header(kind::SEQUENCED, message.len()) {
                piece.bytes.extend_from_slice(&header);
                piece.bytes.extend_from_slice(&message);
            }
        }
        piece.offsets.push(piece.bytes.len());
        piece
    }
}

impl TapeSource for ItchMarket {
    fn last(&self) -> Seq {
        self.last
    }

    fn session(&self) -> SessionId {
        self.session
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        if range.first() < FIRST_SEQ || range.first() > self.last {
            return Messages::NONE;
        }
        let (number, from) = Self::place_of(range.first());
        self.fetch(number);
        let Some(Piece { bytes, offsets, .. }) = self.pieces.front() else {
            return Messages::NONE;
        };
        let to = from.saturating_add(to_index(range.len())).min(offsets.len().saturating_sub(1));
        let bytes = match (offsets.get(from), offsets.get(to)) {
            (Some(&start), Some(&end)) => bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        };
        let count = (to - from.min(to)) as u64;
        let run = Run::counted(range.first(), count, Framing::LengthAndType, bytes);
        run.map_or(Messages::NONE, Messages::Run)
    }

    /// Returns the market's time, whose first day is that of 1970.
    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        if !(FIRST_SEQ..=self.last).contains(&seq) {
            return None;
        }
        let (number, at) = Self::place_of(seq);
        self.fetch(number);
        let piece = self.pieces.front()?;
        let start = piece.offsets.get(at)? + HEADER_BYTES;
        // Bytes 5 to 10 of each message are the nanoseconds since midnight.
        let time = piece.bytes.get(start + 5..start + 11)?;
        let nanos = time.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let day = u32::try_from((seq - FIRST_SEQ) / self.market.day_len()).ok()?;
        u64::try_from(DAY.checked_mul(day)?.as_nanos()).ok()?.checked_add(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn any_range_has_the_messages_of_the_market() {
        let mut tape = ItchMarket::seeded(5, 5000);
        let market = tape.market.clone();
        let mut rng = Rng::new(1);
        for _ in 0..300 {
            let first = Seq::from(rng.between(1, 5000));
            let range = SeqRange::counted(first, rng.between(1, 3000).into()).unwrap();
            let mut count = 0;
            let mut next = Some(range);
            while let Some(range) = next {
                let messages = tape.messages(range);
                if messages.is_empty() {
                    break;
                }
                for (seq, message) in messages.iter() {
                    assert_eq!(&*market.message(seq - 1), message);
                    count += 1;
                }
                next = messages.span().and_then(|span| range.from(span.last() + 1));
            }
            assert_eq!(count, range.last().min(5000) - first + 1);
        }
        assert!(tape.messages(SeqRange::one(5001)).is_empty());
        assert!(tape.pieces.len() <= PIECES_MAX);
    }

    #[test]
    fn a_tape_of_known_length_is_a_whole_day() {
        let mut tape = ItchMarket::seeded(5, 5000);
        let event = |tape: &mut ItchMarket, seq| {
            let messages = tape.messages(SeqRange::one(seq));
            let (_, message) = messages.iter().next().unwrap();
            (message[0], message[11])
        };
        assert_eq!(event(&mut tape, 1), (b'S', b'O'), "the day begins");
        assert_eq!(event(&mut tape, 5000), (b'S', b'C'), "the day ends");
        // The shortest tapes are the beginning of a day.
        assert_eq!(event(&mut ItchMarket::seeded(5, 1), 1), (b'S', b'O'));
    }

    #[test]
    fn times_ascend_from_day_to_day() {
        let mut tape = ItchMarket::seeded(5, MAX_SEQ);
        let mut before = 0;
        for seq in (1..3 * ENDLESS_DAY).step_by(50_021) {
            let time = tape.arrived(seq).unwrap();
            assert!(time > before, "{seq}: {time} after {before}");
            before = time;
        }
        assert!(u128::from(before) > 2 * DAY.as_nanos());
        assert_eq!(tape.arrived(0), None);
    }

    #[test]
    fn pieces_that_are_used_again_are_not_made_again() {
        let mut tape = ItchMarket::seeded(5, MAX_SEQ);
        for number in 0..2 * PIECES_MAX as u64 {
            assert!(!tape.messages(SeqRange::one(1 + number * AT_ONCE)).is_empty());
        }
        assert_eq!(tape.pieces.len(), PIECES_MAX);
    }
}
