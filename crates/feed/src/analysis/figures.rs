//! Figures of a session's packets, symbol by symbol.

use crate::wire::packet::{Packet, Side, Symbol};
use alloc::collections::BTreeMap;

/// So many symbols are told apart; packets of further ones are counted together.
pub const SYMBOLS_MAX: usize = 65_536;

/// What was traded of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymbolStats {
    /// How many packets.
    pub packets: u64,
    /// The quantities of buy packets, added up.
    pub bought: i64,
    /// The quantities of sell packets, added up.
    pub sold: i64,
    /// Prices times quantities, added up.
    pub turnover: i128,
    /// The lowest price.
    pub low: i32,
    /// The highest price.
    pub high: i32,
    /// The price of the packet added last.
    pub last: i32,
}

impl SymbolStats {
    fn of(packet: &Packet) -> Self {
        let price = packet.price;
        let none = Self {
            packets: 0,
            bought: 0,
            sold: 0,
            turnover: 0,
            low: price,
            high: price,
            last: price,
        };
        none.with(packet)
    }

    fn with(self, packet: &Packet) -> Self {
        let Packet { side, quantity, price, .. } = *packet;
        let (buy, sell) = match side {
            Side::Buy => (quantity, 0),
            Side::Sell => (0, quantity),
        };
        Self {
            packets: self.packets + 1,
            // Two billion packets of two billion each fit.
            bought: self.bought + i64::from(buy),
            sold: self.sold + i64::from(sell),
            turnover: self.turnover + i128::from(price) * i128::from(quantity),
            low: self.low.min(price),
            high: self.high.max(price),
            last: price,
        }
    }

    /// The volume-weighted average price; `None` where the quantities add up to nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average to be shown")]
    pub fn average(&self) -> Option<f64> {
        let volume = self.bought.checked_add(self.sold).filter(|&volume| volume != 0)?;
        Some(self.turnover as f64 / volume as f64)
    }
}

/// The figures of all symbols.
#[derive(Clone, Default, Debug)]
pub struct MarketStats {
    symbols: BTreeMap<Symbol, SymbolStats>,
    others: u64,
}

impl MarketStats {
    /// Adds a packet.
    pub fn add(&mut self, packet: &Packet) {
        if let Some(figures) = self.symbols.get_mut(&packet.symbol) {
            *figures = figures.with(packet);
        } else if self.symbols.len() < SYMBOLS_MAX {
            self.symbols.insert(packet.symbol, SymbolStats::of(packet));
        } else {
            self.others += 1;
        }
    }

    /// The symbols, in the order of their letters.
    pub fn symbols(&self) -> impl Iterator<Item = (&Symbol, &SymbolStats)> {
        self.symbols.iter()
    }

    /// How many packets were of symbols beyond [`SYMBOLS_MAX`].
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn packet(symbol: &[u8; 4], side: Side, quantity: i32, price: i32) -> Packet {
        Packet { symbol: Symbol(*symbol), side, quantity, price, sequence: 1 }
    }

    #[test]
    fn adds_up_by_symbol() {
        let mut market = MarketStats::default();
        market.add(&packet(b"META", Side::Buy, 10, 50));
        market.add(&packet(b"AAPL", Side::Sell, 1, -7));
        market.add(&packet(b"META", Side::Sell, 30, 70));
        market.add(&packet(b"META", Side::Buy, 0, 60));
        let symbols: Vec<_> = market.symbols().collect();
        let meta = SymbolStats {
            packets: 3,
            bought: 10,
            sold: 30,
            turnover: 2600,
            low: 50,
            high: 70,
            last: 60,
        };
        assert_eq!((symbols[0].0, symbols[1]), (&Symbol(*b"AAPL"), (&Symbol(*b"META"), &meta)));
        assert_eq!(meta.average(), Some(65.0));
        market.add(&packet(b"ZERO", Side::Buy, 0, 5));
        assert_eq!(market.symbols().last().unwrap().1.average(), None);
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let mut market = MarketStats::default();
        for _ in 0..1000 {
            market.add(&packet(b"BIGG", Side::Sell, i32::MIN, i32::MIN));
            market.add(&packet(b"BIGG", Side::Buy, i32::MAX, i32::MAX));
        }
        let (_, figures) = market.symbols().next().unwrap();
        assert_eq!((figures.low, figures.high, figures.packets), (i32::MIN, i32::MAX, 2000));
        assert_eq!(figures.sold, -2_147_483_648_000);
    }

    #[test]
    fn symbols_without_end_cost_no_memory_without_end() {
        let mut market = MarketStats::default();
        for symbol in 0..70_000u32 {
            market.add(&packet(&symbol.to_be_bytes(), Side::Buy, 1, 1));
        }
        assert_eq!(market.symbols().count(), SYMBOLS_MAX);
        assert_eq!(market.others(), 70_000 - SYMBOLS_MAX as u64);
    }
}
