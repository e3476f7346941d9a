//! Order book: price levels built from the packets of a symbol.
//!
//! The protocol has neither order ids nor cancellations, so a packet is taken as an order of its
//! quantity at its price. Where it crosses resting orders of the other side, the two trade, best
//! price first and at the *resting* price, and only the remainder rests. A book is therefore never
//! crossed or locked. A packet with a quantity below 1 is counted and changes nothing.

use crate::wire::packet::{Packet, Side, Symbol};
use alloc::collections::BTreeMap;

/// Maximum number of symbols with a book. Packets of further symbols are only counted.
pub const BOOKS_MAX: usize = 65_536;

/// Maximum number of price levels per side. Beyond it, the level furthest from the market is
/// dropped.
pub const LEVELS_MAX: usize = 4_096;

/// Price level: a price and the quantity that rests there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// Price, in the protocol's unit.
    pub price: i32,
    /// Sum of the resting quantities.
    pub quantity: i64,
}

/// Trades that one packet caused.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Traded {
    /// Quantity traded.
    pub quantity: i64,
    /// Resting price of the last trade; `None` if nothing traded.
    pub price: Option<i32>,
}

/// Book of one symbol.
#[derive(Clone, Default, Debug)]
pub struct Book {
    bids: BTreeMap<i32, i64>,
    asks: BTreeMap<i32, i64>,
    /// Price of the last trade.
    last: Option<i32>,
    traded: i64,
    trades: u64,
    forgotten: u64,
    odd: u64,
}

impl Book {
    /// Adds a packet as an order. The caller chooses the book by the packet's symbol.
    pub fn add(&mut self, packet: &Packet) -> Traded {
        let mut left = i64::from(packet.quantity);
        if left < 1 {
            self.odd += 1;
            return Traded::default();
        }
        let mut traded = Traded::default();
        while left > 0
            && let Some(best) = self.best(opposite(packet.side))
            && crosses(packet, best.price)
        {
            let quantity = left.min(best.quantity);
            left -= quantity;
            traded = Traded { quantity: traded.quantity + quantity, price: Some(best.price) };
            self.take(opposite(packet.side), best, quantity);
        }
        if traded.quantity > 0 {
            self.last = traded.price;
            self.traded = self.traded.saturating_add(traded.quantity);
            self.trades += 1;
        }
        if left > 0 {
            self.rest(packet.side, packet.price, left);
        }
        traded
    }

    /// Returns the best level of a side: the highest bid or the lowest ask.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.depth(side).next()
    }

    /// Returns the levels of a side, the best first.
    pub fn depth(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        let level = |(&price, &quantity): (&i32, &i64)| Level { price, quantity };
        let (bids, asks) = match side {
            Side::Buy => (Some(self.bids.iter().rev().map(level)), None),
            Side::Sell => (None, Some(self.asks.iter().map(level))),
        };
        bids.into_iter().flatten().chain(asks.into_iter().flatten())
    }

    /// Returns the price of the last trade.
    #[must_use]
    pub fn last(&self) -> Option<i32> {
        self.last
    }

    /// Returns the quantity traded and the number of packets that traded.
    #[must_use]
    pub fn traded(&self) -> (i64, u64) {
        (self.traded, self.trades)
    }

    /// Returns how often a level was dropped because of [`LEVELS_MAX`].
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Returns the number of packets with a quantity below 1.
    #[must_use]
    pub fn odd(&self) -> u64 {
        self.odd
    }

    fn levels(&mut self, side: Side) -> &mut BTreeMap<i32, i64> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn take(&mut self, side: Side, level: Level, quantity: i64) {
        let levels = self.levels(side);
        if quantity == level.quantity {
            levels.remove(&level.price);
        } else {
            levels.insert(level.price, level.quantity - quantity);
        }
    }

    fn rest(&mut self, side: Side, price: i32, quantity: i64) {
        let levels = self.levels(side);
        let level = levels.entry(price).or_insert(0);
        *level = level.saturating_add(quantity);
        if levels.len() > LEVELS_MAX {
            match side {
                Side::Buy => levels.pop_first(),
                Side::Sell => levels.pop_last(),
            };
            self.forgotten += 1;
        }
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}

/// Returns true if a packet trades against orders that rest at `price`.
fn crosses(packet: &Packet, price: i32) -> bool {
    match packet.side {
        Side::Buy => packet.price >= price,
        Side::Sell => packet.price <= price,
    }
}

/// Books of all symbols.
#[derive(Clone, Default, Debug)]
pub struct Books {
    books: BTreeMap<Symbol, Book>,
    others: u64,
}

impl Books {
    /// Adds a packet to its symbol's book.
    pub fn add(&mut self, packet: &Packet) -> Traded {
        if let Some(book) = self.books.get_mut(&packet.symbol) {
            return book.add(packet);
        }
        if self.books.len() >= BOOKS_MAX {
            self.others += 1;
            return Traded::default();
        }
        self.books.entry(packet.symbol).or_default().add(packet)
    }

    /// Returns the books in alphabetical order of their symbols.
    pub fn books(&self) -> impl Iterator<Item = (&Symbol, &Book)> {
        self.books.iter()
    }

    /// Returns the book of a symbol.
    #[must_use]
    pub fn book(&self, symbol: Symbol) -> Option<&Book> {
        self.books.get(&symbol)
    }

    /// Returns the number of packets of symbols beyond [`BOOKS_MAX`].
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn packet(side: Side, quantity: i32, price: i32) -> Packet {
        Packet { symbol: Symbol(*b"AAPL"), side, quantity, price, sequence: 1 }
    }

    fn levels(book: &Book, side: Side) -> Vec<(i32, i64)> {
        book.depth(side).map(|level| (level.price, level.quantity)).collect()
    }

    #[test]
    fn the_originals_packets_make_these_books() {
        let mut books = Books::default();
        for frame in crate::tape::in_memory::Tape::classic().frames() {
            if let Ok(crate::wire::Frame::Packet(packet)) = crate::wire::decode(frame) {
                books.add(&packet);
            }
        }
        let book = |symbol: &[u8; 4]| books.book(Symbol(*symbol)).unwrap();
        let sides = |book: &Book| (levels(book, Side::Buy), levels(book, Side::Sell));
        let aapl = (alloc::vec![(100, 50), (98, 30)], alloc::vec![(101, 20), (102, 10)]);
        assert_eq!(sides(book(b"AAPL")), aapl);
        let amzn = (alloc::vec![(3000, 10), (2999, 5)], alloc::vec![(3015, 10), (3020, 15)]);
        assert_eq!(sides(book(b"AMZN")), amzn);
        assert_eq!(books.books().count(), 4);
        assert!(books.books().all(|(_, book)| book.last().is_none()));
    }

    #[test]
    fn what_crosses_trades_at_the_resting_price_best_first() {
        let mut book = Book::default();
        book.add(&packet(Side::Sell, 10, 101));
        book.add(&packet(Side::Sell, 10, 103));
        book.add(&packet(Side::Sell, 10, 105));
        let traded = book.add(&packet(Side::Buy, 25, 103));
        assert_eq!(traded, Traded { quantity: 20, price: Some(103) });
        assert_eq!(levels(&book, Side::Buy), [(103, 5)], "what is left rests");
        assert_eq!(levels(&book, Side::Sell), [(105, 10)]);
        // Equal prices trade as well, so a book is never locked.
        assert_eq!(book.add(&packet(Side::Sell, 2, 103)).quantity, 2);
        assert_eq!((book.last(), book.traded()), (Some(103), (22, 2)));
        assert_eq!(book.add(&packet(Side::Buy, 0, 900)), Traded::default());
        assert_eq!(book.add(&packet(Side::Sell, -5, 1)), Traded::default());
        assert_eq!((book.odd(), levels(&book, Side::Buy)), (2, alloc::vec![(103, 3)]));
    }

    #[test]
    fn levels_and_books_have_bounds() {
        let mut book = Book::default();
        let most = i32::try_from(LEVELS_MAX).unwrap();
        for price in 1..=most + 10 {
            book.add(&packet(Side::Buy, 1, price));
        }
        assert_eq!((levels(&book, Side::Buy).len(), book.forgotten()), (LEVELS_MAX, 10));
        assert_eq!(book.best(Side::Buy).unwrap().price, most + 10, "the best ones stay");
        let mut books = Books::default();
        for symbol in 0..70_000u32 {
            let symbol = Symbol(symbol.to_be_bytes());
            books.add(&Packet { symbol, ..packet(Side::Buy, 1, 1) });
        }
        assert_eq!(books.books().count(), BOOKS_MAX);
        assert_eq!(books.others(), 70_000 - BOOKS_MAX as u64);
        let mut book = Book::default();
        for _ in 0..3 {
            book.add(&packet(Side::Buy, i32::MAX, i32::MAX));
            book.add(&packet(Side::Sell, i32::MAX, i32::MIN));
        }
        assert_eq!(book.best(Side::Buy), None);
    }

    /// Reference book of single orders, kept as a list.
    #[derive(Default)]
    struct Model {
        resting: Vec<(Side, i32, i64)>,
        traded: i64,
    }

    impl Model {
        fn add(&mut self, side: Side, quantity: i64, price: i32) {
            let mut left = quantity;
            while left > 0 {
                let other = self.resting.iter_mut().filter(|order| order.0 != side);
                let best = match side {
                    Side::Buy => other.filter(|o| o.1 <= price).min_by_key(|o| o.1),
                    Side::Sell => other.filter(|o| o.1 >= price).max_by_key(|o| o.1),
                };
                let Some(order) = best else { break };
                let taken = left.min(order.2);
                order.2 -= taken;
                left -= taken;
                self.traded += taken;
                self.resting.retain(|order| order.2 > 0);
            }
            if left > 0 {
                self.resting.push((side, price, left));
            }
        }

        fn levels(&self, side: Side) -> Vec<(i32, i64)> {
            let mut levels = BTreeMap::new();
            for order in self.resting.iter().filter(|order| order.0 == side) {
                *levels.entry(order.1).or_insert(0) += order.2;
            }
            let ascending: Vec<_> = levels.into_iter().collect();
            if side == Side::Buy { ascending.into_iter().rev().collect() } else { ascending }
        }
    }

    proptest! {
        #[test]
        fn a_book_is_what_its_single_orders_come_to(
            orders in prop::collection::vec((any::<bool>(), 1i32..30, 95i32..106), 0..120),
        ) {
            let (mut book, mut model) = (Book::default(), Model::default());
            for (buys, quantity, price) in orders {
                let side = if buys { Side::Buy } else { Side::Sell };
                book.add(&packet(side, quantity, price));
                model.add(side, quantity.into(), price);
            }
            for side in [Side::Buy, Side::Sell] {
                prop_assert_eq!(levels(&book, side), model.levels(side));
            }
            prop_assert_eq!(book.traded().0, model.traded);
            let bests = (book.best(Side::Buy), book.best(Side::Sell));
            if let (Some(bid), Some(ask)) = bests {
                prop_assert!(bid.price < ask.price, "crossed or locked");
            }
        }
    }
}
