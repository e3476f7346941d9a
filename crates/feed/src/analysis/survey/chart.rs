//! Prices and volumes over a session, symbol by symbol, in so many parts and no more.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::wire::packet::{Packet, Side, Symbol};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// At most so many parts of a session are told apart.
pub const BINS: usize = 512;

/// The symbols that come first, up to so many, have a chart (6 MiB in all).
pub const SYMBOLS_MAX: usize = 256;

/// A symbol in part of a session.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ChartBin {
    /// How many packets; the prices mean nothing where there are none.
    pub packets: u32,
    /// The lowest price.
    pub low: i32,
    /// The highest price.
    pub high: i32,
    /// The quantities of buy packets, added up.
    pub bought: i64,
    /// The quantities of sell packets, added up.
    pub sold: i64,
    /// Prices times quantities, added up.
    pub turnover: i128,
    /// Prices, added up.
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

    /// The average price, weighted by volume where quantities are such that this makes sense.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average to be shown")]
    pub fn average(&self) -> Option<f64> {
        let between = f64::from(self.low)..=f64::from(self.high);
        let weighted = self.turnover as f64 / (self.bought + self.sold) as f64;
        let plain = self.prices as f64 / f64::from(self.packets);
        // Negative quantities can put it anywhere.
        let average = if between.contains(&weighted) { weighted } else { plain };
        (self.packets > 0).then_some(average)
    }
}

/// The charts of a session; all have the same parts, of a length that doubles as it must.
#[derive(Clone, Default, Debug)]
pub struct Charts {
    symbols: BTreeMap<Symbol, Vec<ChartBin>>,
    doublings: u32,
    left_out: u64,
}

impl Charts {
    /// Enters a packet. Packets ascend.
    pub fn add(&mut self, packet: &Packet) {
        let place = packet.sequence - FIRST_SEQ;
        while (place >> self.doublings) as usize >= BINS {
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
        let bin = (place >> self.doublings) as usize;
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

    /// A symbol's parts that have packets, and which sequences they span.
    pub fn of(&self, symbol: Symbol) -> impl Iterator<Item = (SeqRange, ChartBin)> + '_ {
        let bins = self.symbols.get(&symbol).map_or(&[][..], Vec::as_slice);
        let width: Seq = 1 << self.doublings;
        bins.iter().enumerate().filter(|(_, bin)| bin.packets > 0).filter_map(move |(at, bin)| {
            let first = u32::try_from(at).ok()?.checked_mul(width)?.checked_add(FIRST_SEQ)?;
            Some((SeqRange::new(first, first.checked_add(width - 1)?.min(MAX_SEQ))?, *bin))
        })
    }

    /// How many packets were of symbols beyond [`SYMBOLS_MAX`].
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
        for seq in 1..=5000 {
            charts.add(&packet(1 + seq % 2, seq, i32::try_from(seq).unwrap()));
        }
        charts.add(&packet(9, MAX_SEQ, -5));
        let parts: Vec<_> = charts.of(Symbol(1u32.to_be_bytes())).collect();
        let sum = parts.iter().fold(ChartBin::default(), |sum, (_, bin)| sum.with(*bin));
        assert_eq!((sum.packets, sum.low, sum.high), (2500, 2, 5000));
        assert_eq!((sum.bought, sum.sold, sum.average()), (5000, 0, Some(2501.0)));
        let (range, end) = charts.of(Symbol(9u32.to_be_bytes())).last().unwrap();
        assert_eq!((range.last(), end.packets, end.low), (MAX_SEQ, 1, -5));
        assert_eq!(range.len() as usize, MAX_SEQ as usize / BINS);
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
        (1..=300).for_each(|seq| charts.add(&packet(seq, seq, 1)));
        assert_eq!((charts.symbols.len(), charts.left_out()), (SYMBOLS_MAX, 44));
    }
}
