//! Seeded order flow that looks like a market: prices wander, orders gather around them.

use crate::base::rng::Rng;
use crate::base::seq::Seq;
use crate::wire::packet::{Packet, Side, Symbol};

/// Where each symbol starts, in the protocol's unitless price.
pub(crate) const START: [(&[u8; 4], u32); 8] = [
    (b"AAPL", 19_000),
    (b"AMZN", 17_800),
    (b"GOOG", 15_400),
    (b"META", 51_000),
    (b"MSFT", 42_500),
    (b"NFLX", 64_000),
    (b"NVDA", 12_100),
    (b"TSLA", 24_800),
];

/// The lowest price a symbol can wander to.
const FLOOR: u32 = 1_000;
/// And the highest.
const CEILING: u32 = 1_000_000;

pub(crate) struct OrderFlow {
    rng: Rng,
    mids: [u32; START.len()],
}

impl OrderFlow {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), mids: START.map(|(_, price)| price) }
    }

    /// The next order: a symbol, at most 0.1 % away from its last price, on either side of it.
    pub(crate) fn packet(&mut self, sequence: Seq) -> Packet {
        let rng = &mut self.rng;
        // The smaller of two draws: some symbols trade more than others.
        let count = u32::try_from(START.len()).unwrap_or(1);
        let which = rng.below(count).min(rng.below(count)) as usize;
        let mid = &mut self.mids[which];
        let step = *mid / 1_000;
        *mid = (*mid + rng.below(2 * step + 1)).saturating_sub(step).clamp(FLOOR, CEILING);
        let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
        // Most orders stand close to the price, few far from it.
        let away = 1 + rng.below(step + 1).min(rng.below(step + 1));
        let price = match side {
            Side::Buy => *mid - away,
            Side::Sell => *mid + away,
        };
        let lots = 1 + rng.below(20).min(rng.below(20));
        Packet {
            symbol: Symbol(*START[which].0),
            side,
            quantity: (lots * 5).cast_signed(),
            price: price.cast_signed(),
            sequence,
        }
    }
}
