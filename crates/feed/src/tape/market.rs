//! Synthetic market without an end: each packet is computed from the session's id and the packet's
//! sequence alone. An exchange can play it for ever, resend any packet and be restarted without
//! storing anything.

use crate::base::rng::{mix, nth};
use crate::base::seq::{Seq, SeqRange, to_index};
use crate::tape::in_memory::START;
use crate::tape::source::TapeSource;
use crate::wire::packet::{Packet, Side, Symbol};
use crate::wire::{FRAME_LEN, Frame, MAX_PACKET_SEQ, Messages, RawFrame, SessionId, encode};
use alloc::vec::Vec;

/// Length of each wave of prices relative to the shorter one before, as a power of two: 16 times.
/// Its height grows [`SWELL`] times, as far as a random walk gets in that time.
const STRETCH: u32 = 4;
const SWELL: i64 = 4;
const OCTAVES: u32 = 5;
/// Length of the shortest wave in packets, as a power of two.
const RIPPLE: u32 = 6;

/// Number of packets generated together.
const AT_ONCE: u64 = 4096;

/// Endless market, played without stored packets.
#[derive(Clone, Debug)]
pub struct SyntheticMarket {
    session: SessionId,
    key: u64,
    last: Seq,
    made: Vec<RawFrame>,
    /// First sequence in `made`.
    first: Seq,
}

impl SyntheticMarket {
    /// Creates the market of a session, up to packet `last`.
    #[must_use]
    pub fn new(session: SessionId, last: Seq) -> Self {
        let key = mix(u64::from(u32::from_be_bytes(session.shortened())));
        Self { session, key, last: last.min(MAX_PACKET_SEQ), made: Vec::new(), first: 0 }
    }

    /// Creates the market of the session that a seed names, up to packet `last`.
    #[must_use]
    pub fn seeded(seed: u64, last: Seq) -> Self {
        Self::new(SessionId::from_bits(mix(!seed)), last)
    }

    /// Returns the packet with a sequence.
    #[must_use]
    pub fn packet(&self, sequence: Seq) -> Packet {
        let bits = nth(self.key, sequence);
        let part = |shift: u32, of: u32| below(bits >> shift, of);
        // The smaller of two draws makes some symbols trade more than others.
        let which = part(0, 8).min(part(8, 8)) as usize;
        let (symbol, start) = START[which];
        let start = start.cast_signed();
        let mid = self.mid(which, start, sequence);
        // Most orders are close to the price, a few far from it; some cross it.
        let reach = u32::try_from(mid / 1_000).unwrap_or(1).max(4);
        let away = part(16, reach).min(part(24, reach)).cast_signed() - 1;
        let side = if part(32, 2) == 0 { Side::Buy } else { Side::Sell };
        let price = match side {
            Side::Buy => mid - away,
            Side::Sell => mid + away,
        };
        let lots = 1 + part(40, 20).min(part(48, 20));
        let quantity = (lots * 5).cast_signed();
        Packet { symbol: Symbol(*symbol), side, quantity, price, sequence }
    }

    /// Returns the price around which a symbol trades.
    fn mid(&self, which: usize, start: i32, sequence: Seq) -> i32 {
        let key = nth(self.key, u64::MAX - which as u64);
        let mut mid = i64::from(start);
        let mut swing = i64::from(start) / 2_000;
        for octave in 0..OCTAVES {
            let shift = RIPPLE + octave * STRETCH;
            let (knot, into) = (sequence >> shift, sequence & ((1 << shift) - 1));
            let height = |knot: u64| {
                let bits = nth(nth(key, octave.into()), knot);
                i64::from(below(bits, 2_001)) - 1_000
            };
            let (from, to) = (height(knot), height(knot + 1));
            let between = from + (((to - from) * into.cast_signed()) >> shift);
            mid += swing * between / 1_000;
            swing *= SWELL;
        }
        // All waves together move the price by at most a fifth of the start.
        i32::try_from(mid).unwrap_or(start)
    }
}

/// Returns a number below `of` (at most 2^16) from the lowest 32 bits.
const fn below(bits: u64, of: u32) -> u32 {
    (((bits & 0xffff_ffff) * of as u64) >> 32) as u32
}

impl TapeSource for SyntheticMarket {
    fn last(&self) -> Seq {
        self.last
    }

    fn session(&self) -> SessionId {
        self.session
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let held = self.first..self.first.saturating_add(self.made.len() as u64);
        if !held.contains(&range.first()) {
            let last = self.last.min(range.first().saturating_add(AT_ONCE - 1));
            let mut made = core::mem::take(&mut self.made);
            made.clear();
            made.extend((range.first()..=last).map(|seq| encode(&Frame::Packet(self.packet(seq)))));
            self.first = range.first();
            self.made = made;
        }
        let start = to_index(range.first() - self.first);
        let end = start.saturating_add(to_index(range.len())).min(self.made.len());
        self.made.get(start..end).map_or(Messages::NONE, Messages::Packets)
    }

    fn message_len(&self) -> Option<u64> {
        Some(FRAME_LEN as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_packet_can_be_had_at_any_time() {
        let mut market = SyntheticMarket::seeded(7, MAX_PACKET_SEQ);
        let far = [1, 2, 63, 64, 4096, 4097, 1_000_000_000, MAX_PACKET_SEQ - 1, MAX_PACKET_SEQ];
        for seq in far.into_iter().chain(far.into_iter().rev()) {
            let range = SeqRange::counted(seq, 10).unwrap();
            let frames = market.messages(range).packets().to_vec();
            assert!(!frames.is_empty() && frames.len() <= 10);
            for (seq, frame) in (seq..).zip(frames) {
                assert_eq!(frame, encode(&Frame::Packet(market.packet(seq))));
            }
        }
        assert_eq!(SyntheticMarket::seeded(7, 5).messages(SeqRange::new(5, 9).unwrap()).len(), 1);
        assert!(SyntheticMarket::seeded(7, 5).messages(SeqRange::new(6, 9).unwrap()).is_empty());
    }

    #[test]
    fn it_is_plausible_and_repeats() {
        let market = SyntheticMarket::seeded(7, MAX_PACKET_SEQ);
        let other = SyntheticMarket::seeded(8, MAX_PACKET_SEQ);
        assert_eq!(market.packet(5), SyntheticMarket::seeded(7, 5).packet(5));
        assert!((1..100).any(|seq| market.packet(seq) != other.packet(seq)));
        assert_ne!(market.session(), other.session());
        let (mut low, mut high) = ([i32::MAX; 8], [0; 8]);
        let (mut before, mut counts) = ([0; 8], [0u32; 8]);
        for seq in (1..200_000).chain(1_500_000_000..1_500_200_000) {
            let packet = market.packet(seq);
            let which = START.iter().position(|(name, _)| **name == packet.symbol.0).unwrap();
            assert!(packet.quantity > 0 && packet.price > 1_000, "{packet}");
            low[which] = low[which].min(packet.price);
            high[which] = high[which].max(packet.price);
            counts[which] += 1;
            if counts[which] > 1 && seq != 1_500_000_000 {
                let jump = (packet.price - before[which]).abs();
                assert!(
                    jump * 20 < packet.price || seq > 1_400_000_000,
                    "{packet} after {before:?}"
                );
            }
            before[which] = packet.price;
        }
        assert!(counts.iter().all(|&count| count > 5_000), "{counts:?}");
        for which in 0..8 {
            assert!(
                high[which] - low[which] > START[which].1.cast_signed() / 50,
                "{which} hardly moves"
            );
            let start = START[which].1.cast_signed();
            let near = start - start / 5 - 100..start + start / 5 + 100;
            assert!(near.contains(&low[which]) && near.contains(&high[which]), "{which}");
        }
    }
}
