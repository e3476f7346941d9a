//! Charts of prices and volumes over a session for each symbol, with a bounded number of bins.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, to_index};
use crate::wire::packet::{Packet, Side, Symbol};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Maximum number of bins of a chart.
pub const BINS: usize = 512;

/// Maximum number of symbols with a chart; the first ones have one (6 MiB in all).
pub const SYMBOLS_MAX: usize = 256;

/// Bin of a chart: one symbol in one part of a session.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ChartBin {
    /// Number of packets; without packets the prices are meaningless.
    pub packets: u64,
    /// Lowest price.
    pub low: i32,
    /// Highest price.
    pub high: i32,
    /// Sum of the quantities of buy packets.
    pub bought: i64,
    /// Sum of the quantities of sell packets.
    pub sold: i64,
    /// Sum of price times quantity.
    pub turnover: i128,
    /// Sum of the prices.
    pub prices: i64,
}

impl ChartBin {
    fn with(self, other: Self) -> Self {
        if self.packets == 0 || other.packets == 0 {
            return if self.packets == 0 { other } else { self };
        }
        Self {
            packets: self.packets + other.packets,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            bought: self.bought + other.bought,
            sold: self.sold + other.sold,
            turnover: self.turnover + other.turnover,
            prices: self.prices + other.prices,
        }
    }

    /// Returns the average price, weighted by volume if the quantities allow it; `None` without
    /// packets.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average to be shown")]
    pub fn average(&self) -> Option<f64> {
        let between = f64::from(self.low)..=f64::from(self.high);
        let weighted = self.turnover as f64 / (self.bought + self.sold) as f64;
        let plain = self.prices as f64 / self.packets as f64;
        // Negative quantities can move a weighted average outside the range of prices.
        let average = if between.contains(&weighted) { weighted } else { plain };
        (self.packets > 0).then_some(average)
    }
}

/// Charts of a session. All charts have bins of the same length, which doubles as the session
/// grows.
#[derive(Clone, Default, Debug)]
pub struct Charts {
    symbols: BTreeMap<Symbol, Vec<ChartBin>>,
    doublings: u32,
    left_out: u64,
}

impl Charts {
    /// Adds a packet. Packets are passed in ascending order.
    pub fn add(&mut self, packet: &Packet) {
        let place = packet.sequence - FIRST_SEQ;
        while to_index(place >> self.doublings) >= BINS {
            for bins in self.symbols.values_mut() {
                let pair = |pair: &[ChartBin]| {
                    pair.iter().copied().fold(ChartBin::default(), ChartBin::with)
                };
                *bins = bins.chunks(2).map(pair).collect();
            }
            self.doublings += 1;
        }
        if self.symbols.len() >= SYMBOLS_MAX && !self.symbols.contains_key(&packet.symbol) {
            self.left_out += 1;
            return;
        }
        let bins = self.symbols.entry(packet.symbol).or_default();
        let bin = to_index(place >> self.doublings);
        if bins.len() <= bin {
            bins.resize(bin + 1, ChartBin::default());
        }
        let (quantity, price) = (i64::from(packet.quantity), packet.price);
        let (bought, sold) = match packet.side {
            Side::Buy => (quantity, 0),
            Side::Sell => (0, quantity),
        };
        let turnover = i128::from(quantity) * i128::from(price);
        let prices = price.into();
        let one = ChartBin { packets: 1, low: price, high: price, bought, sold, turnover, prices };
        bins[bin] = bins[bin].with(one);
    }

    /// Returns a symbol's bins that have packets, each with the sequences that it spans.
    pub fn of(&self, symbol: Symbol) -> impl Iterator<Item = (SeqRange, ChartBin)> + '_ {
        let bins = self.symbols.get(&symbol).map_or(&[][..], Vec::as_slice);
        let width: Seq = 1 << self.doublings;
        bins.iter().enumerate().filter(|(_, bin)| bin.packets > 0).filter_map(move |(at, bin)| {
            let first = (at as u64).checked_mul(width)?.checked_add(FIRST_SEQ)?;
            Some((SeqRange::new(first, first.checked_add(width - 1)?.min(MAX_SEQ))?, *bin))
        })
    }

    /// Returns the number of packets of symbols beyond [`SYMBOLS_MAX`].
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(symbol: u32, sequence: Seq, price: i32) -> Packet {
        let side = if sequence.is_multiple_of(2) { Side::Buy } else { Side::Sell };
        let symbol = Symbol(symbol.to_be_bytes());
        Packet { symbol, side, quantity: 2, price, sequence }
    }

    #[test]
    fn parts_double_and_nothing_is_lost() {
        let mut charts = Charts::default();
        for seq in 1..=5000u32 {
            charts.add(&packet(1 + seq % 2, seq.into(), i32::try_from(seq).unwrap()));
        }
        charts.add(&packet(9, MAX_SEQ, -5));
        let parts: Vec<_> = charts.of(Symbol(1u32.to_be_bytes())).collect();
        let sum = parts.iter().fold(ChartBin::default(), |sum, (_, bin)| sum.with(*bin));
        assert_eq!((sum.packets, sum.low, sum.high), (2500, 2, 5000));
        assert_eq!((sum.bought, sum.sold, sum.average()), (5000, 0, Some(2501.0)));
        let (range, end) = charts.of(Symbol(9u32.to_be_bytes())).last().unwrap();
        assert_eq!((range.last(), end.packets, end.low), (MAX_SEQ, 1, -5));
        assert_eq!(range.len(), MAX_SEQ / BINS as u64);
    }

    #[test]
    fn prices_average_where_quantities_make_no_sense() {
        let odd =
            ChartBin { packets: 2, low: 10, high: 20, bought: 5, sold: -5, ..ChartBin::default() };
        assert_eq!(ChartBin { turnover: 99, prices: 30, ..odd }.average(), Some(15.0));
        assert_eq!(ChartBin::default().average(), None);
    }

    #[test]
    fn symbols_without_end_cost_no_memory_without_end() {
        let mut charts = Charts::default();
        (1..=300u32).for_each(|seq| charts.add(&packet(seq, seq.into(), 1)));
        assert_eq!((charts.symbols.len(), charts.left_out()), (SYMBOLS_MAX, 44));
    }
}
