//! Order books by order: what rests in the displayed book after each message.

mod levels;
mod order_table;

use super::field::{Alpha, Price4};
use super::messages::Message;
use crate::wire::packet::Side;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use levels::Levels;
use order_table::{OrderTable, Resting};

/// Maximum number of resting orders that [`Books::new`] allows. A busy day of the venue has fewer
/// than three million at once. This many take about 400 MB.
pub const ORDERS_MAX: usize = 4 << 20;

/// One resting order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Code of the order's stock.
    pub stock_locate: u16,
    /// Side of the book.
    pub side: Side,
    /// Price at which the order is displayed.
    pub price: Price4,
    /// Number of shares that are left.
    pub shares: u32,
}

/// All resting orders of one price on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// Price of the level.
    pub price: Price4,
    /// Number of shares of all its orders.
    pub shares: u64,
    /// Number of its orders.
    pub orders: u32,
}

/// Book of one stock.
#[derive(Clone, Default, Debug)]
pub struct Book {
    stock: Option<Alpha<8>>,
    bids: Levels,
    asks: Levels,
    orders: usize,
}

impl Book {
    /// Returns the symbol of the stock, or `None` if no message named it.
    #[must_use]
    pub fn stock(&self) -> Option<Alpha<8>> {
        self.stock
    }

    /// Returns the number of resting orders.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders
    }

    /// Returns the best level of a side: the highest bid or the lowest ask.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels(side).next()
    }

    /// Returns the levels of a side, the best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        let (bids, asks) = match side {
            Side::Buy => (Some(self.bids.iter().rev()), None),
            Side::Sell => (None, Some(self.asks.iter())),
        };
        bids.into_iter().flatten().chain(asks.into_iter().flatten())
    }

    fn side_mut(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// Adds an order to its level.
    fn add(&mut self, order: Order) -> Resting {
        self.orders += 1;
        let level = self.side_mut(order.side).add(order.price, order.shares);
        Resting { order, level }
    }

    /// Removes shares of an order from its level, and the order if it is gone.
    fn reduce(&mut self, Resting { order, level }: &Resting, shares: u32, rest: Remainder) {
        self.side_mut(order.side).reduce(*level, order.price, shares, rest);
        if rest == Remainder::Gone {
            self.orders -= 1;
        }
    }
}

/// State of an order after a reduction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remainder {
    Resting,
    Gone,
}

/// Reason why a message could not be applied to the books. The books stay as they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApplyError {
    /// Order number that no resting order has.
    UnknownOrder(u64),
    /// Order number of a new order that a resting order already has.
    DuplicateOrder(u64),
    /// Execution or cancellation of more shares than the order has left.
    TooManyShares {
        /// Number of the order.
        order_reference: u64,
        /// Number of shares in the message.
        shares: u32,
        /// Number of shares that the order has left.
        left: u32,
    },
    /// Side that is neither `B` nor `S`.
    InvalidSide(u8),
    /// New order beyond the maximum number of resting orders, which this is. The books are
    /// incomplete from here.
    TooManyOrders(usize),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOrder(reference) => {
                write!(f, "order {reference} is not in the book: was its first message missed?")
            }
            Self::DuplicateOrder(reference) => {
                write!(f, "order {reference} is added, but it is already in the book")
            }
            Self::TooManyShares { order_reference, shares, left } => write!(
                f,
                "order {order_reference} loses {shares} shares, but it has only {left} left"
            ),
            Self::InvalidSide(letter) => {
                write!(f, "side {} of an order is neither B nor S", letter.escape_ascii())
            }
            Self::TooManyOrders(max) => {
                write!(f, "more than {max} orders rest at once: the books are incomplete from here")
            }
        }
    }
}

impl core::error::Error for ApplyError {}

/// Books of all stocks, kept order by order.
///
/// Memory is bounded by the maximum number of resting orders and by the 65,536 codes of stocks, so
/// that a hostile feed cannot exhaust it.
#[derive(Clone, Debug)]
pub struct Books {
    orders: OrderTable,
    /// Books by the codes of their stocks.
    books: Vec<Option<Box<Book>>>,
    max_orders: usize,
    refused: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self::new()
    }
}

impl Books {
    /// Returns empty books that hold up to [`ORDERS_MAX`] orders.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_orders(ORDERS_MAX)
    }

    /// Returns empty books that hold up to this many orders.
    #[must_use]
    pub fn with_max_orders(max_orders: usize) -> Self {
        Self { orders: OrderTable::default(), books: Vec::new(), max_orders, refused: 0 }
    }

    /// Applies a message. Messages that do not change the displayed book are accepted and ignored.
    ///
    /// # Errors
    ///
    /// Returns [`ApplyError`] if the message contradicts the books; they stay as they were. After a
    /// gap in the feed such messages are expected, so a caller may count them and continue.
    pub fn apply(&mut self, message: &Message<'_>) -> Result<(), ApplyError> {
        let applied = self.try_apply(message);
        if applied.is_err() {
            self.refused = self.refused.saturating_add(1);
        }
        applied
    }

    /// Returns the book of a stock, or `None` if no message concerned it.
    #[must_use]
    pub fn book(&self, stock_locate: u16) -> Option<&Book> {
        self.books.get(usize::from(stock_locate))?.as_deref()
    }

    /// Returns the books with their stock codes, in ascending order of the codes.
    pub fn books(&self) -> impl Iterator<Item = (u16, &Book)> {
        (0..=u16::MAX)
            .zip(&self.books)
            .filter_map(|(locate, book)| Some((locate, &**book.as_ref()?)))
    }

    /// Returns a resting order, or `None` if the number is not that of one.
    #[must_use]
    pub fn order(&self, order_reference: u64) -> Option<&Order> {
        self.orders.get(order_reference).map(|resting| &resting.order)
    }

    /// Returns the number of resting orders of all books.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// Returns the number of messages that could not be applied.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn try_apply(&mut self, message: &Message<'_>) -> Result<(), ApplyError> {
        match message {
            Message::StockDirectory(view) => {
                self.book_mut(view.stock_locate()).stock = Some(view.stock());
                Ok(())
            }
            Message::AddOrder(view) => self.add(
                view.order_reference(),
                view.side().0,
                (view.stock_locate(), view.stock()),
                (view.shares(), view.price()),
            ),
            Message::AddOrderWithMpid(view) => self.add(
                view.order_reference(),
                view.side().0,
                (view.stock_locate(), view.stock()),
                (view.shares(), view.price()),
            ),
            Message::OrderExecuted(view) => {
                self.reduce(view.order_reference(), view.executed_shares())
            }
            Message::OrderExecutedWithPrice(view) => {
                self.reduce(view.order_reference(), view.executed_shares())
            }
            Message::OrderCancel(view) => {
                self.reduce(view.order_reference(), view.cancelled_shares())
            }
            Message::OrderDelete(view) => {
                let reference = view.order_reference();
                let resting = self.orders.remove(reference);
                let resting = resting.ok_or(ApplyError::UnknownOrder(reference))?;
                let Resting { order, .. } = resting;
                self.book_mut(order.stock_locate).reduce(&resting, order.shares, Remainder::Gone);
                Ok(())
            }
            Message::OrderReplace(view) => self.replace(
                view.original_order_reference(),
                view.new_order_reference(),
                view.shares(),
                view.price(),
            ),
            // Trades, crosses and broken trades report executions of orders that are not displayed
            // or that an execution message has reported already, so the displayed book stays.
            _ => Ok(()),
        }
    }

    fn add(
        &mut self,
        reference: u64,
        side: u8,
        (stock_locate, stock): (u16, Alpha<8>),
        (shares, price): (u32, Price4),
    ) -> Result<(), ApplyError> {
        let side = Side::from_letter(side).ok_or(ApplyError::InvalidSide(side))?;
        if self.orders.get(reference).is_some() {
            return Err(ApplyError::DuplicateOrder(reference));
        }
        if self.orders.len() >= self.max_orders {
            return Err(ApplyError::TooManyOrders(self.max_orders));
        }
        let order = Order { stock_locate, side, price, shares };
        let book = self.book_mut(stock_locate);
        book.stock.get_or_insert(stock);
        let resting = book.add(order);
        self.orders.insert(reference, resting);
        Ok(())
    }

    /// Returns the book of a stock; a new one if there is none.
    fn book_mut(&mut self, stock_locate: u16) -> &mut Book {
        let place = usize::from(stock_locate);
        if place >= self.books.len() {
            self.books.resize(place + 1, None);
        }
        self.books[place].get_or_insert_default()
    }

    /// Removes shares of an order.
    fn reduce(&mut self, reference: u64, shares: u32) -> Result<(), ApplyError> {
        let resting = self.orders.get_mut(reference).ok_or(ApplyError::UnknownOrder(reference))?;
        let before = *resting;
        let Some(left) = before.order.shares.checked_sub(shares) else {
            let left = before.order.shares;
            return Err(ApplyError::TooManyShares { order_reference: reference, shares, left });
        };
        resting.order.shares = left;
        let rest = if left == 0 { Remainder::Gone } else { Remainder::Resting };
        if rest == Remainder::Gone {
            self.orders.remove(reference);
        }
        self.book_mut(before.order.stock_locate).reduce(&before, shares, rest);
        Ok(())
    }

    /// Replaces an order by a new one of the same side and stock.
    fn replace(
        &mut self,
        original: u64,
        new: u64,
        shares: u32,
        price: Price4,
    ) -> Result<(), ApplyError> {
        if new != original && self.orders.get(new).is_some() {
            return Err(ApplyError::DuplicateOrder(new));
        }
        let before = self.orders.remove(original).ok_or(ApplyError::UnknownOrder(original))?;
        let order = before.order;
        let book = self.book_mut(order.stock_locate);
        book.reduce(&before, order.shares, Remainder::Gone);
        let replacement = book.add(Order { shares, price, ..order });
        self.orders.insert(new, replacement);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{
        AddOrder, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedWithPrice, OrderReplace,
    };
    use super::super::{EncodedMessage, Header, Layout, Letter};
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn apply(books: &mut Books, message: &impl Layout) -> Result<(), ApplyError> {
        books.apply(&Message::parse(&EncodedMessage::new(message)).unwrap())
    }

    fn add(order_reference: u64, side: u8, shares: u32, price: u32) -> AddOrder {
        AddOrder {
            header: Header { stock_locate: 1, ..Header::default() },
            order_reference,
            side: Letter(side),
            shares,
            stock: Alpha(*b"ZXZZT   "),
            price: Price4(price),
        }
    }

    #[test]
    fn levels_follow_the_orders() {
        let mut books = Books::new();
        for order in [add(1, b'B', 100, 50), add(2, b'B', 200, 50), add(3, b'B', 5, 40)] {
            apply(&mut books, &order).unwrap();
        }
        apply(&mut books, &add(4, b'S', 7, 60)).unwrap();
        let book = books.book(1).unwrap();
        let level = |price, shares, orders| Level { price: Price4(price), shares, orders };
        let bids: Vec<Level> = book.levels(Side::Buy).collect();
        assert_eq!(bids, [level(50, 300, 2), level(40, 5, 1)]);
        assert_eq!(book.best(Side::Sell), Some(level(60, 7, 1)));
        assert_eq!((book.order_count(), book.stock().unwrap().trimmed()), (4, &b"ZXZZT"[..]));

        let executed = OrderExecuted { order_reference: 1, executed_shares: 60, ..default() };
        apply(&mut books, &executed).unwrap();
        let replaced = OrderReplace {
            original_order_reference: 2,
            new_order_reference: 5,
            shares: 10,
            price: Price4(45),
            ..default()
        };
        apply(&mut books, &replaced).unwrap();
        apply(&mut books, &OrderDelete { order_reference: 4, ..default() }).unwrap();
        let book = books.book(1).unwrap();
        let bids: Vec<Level> = book.levels(Side::Buy).collect();
        assert_eq!(bids, [level(50, 40, 1), level(45, 10, 1), level(40, 5, 1)]);
        assert_eq!(book.best(Side::Sell), None);
        assert_eq!((books.order_count(), books.refused()), (3, 0));
        assert_eq!(books.order(5).unwrap().shares, 10);
    }

    fn default<T: Default>() -> T {
        T::default()
    }

    #[test]
    fn contradictions_are_refused_and_change_nothing() {
        let mut books = Books::with_max_orders(2);
        apply(&mut books, &add(1, b'B', 100, 50)).unwrap();
        apply(&mut books, &add(2, b'S', 100, 60)).unwrap();
        let executed =
            OrderExecutedWithPrice { order_reference: 1, executed_shares: 101, ..default() };
        let replaced = |original, new| OrderReplace {
            original_order_reference: original,
            new_order_reference: new,
            ..default()
        };
        let refused = [
            (apply(&mut books, &add(1, b'B', 1, 1)), ApplyError::DuplicateOrder(1)),
            (apply(&mut books, &add(3, b'B', 1, 1)), ApplyError::TooManyOrders(2)),
            (apply(&mut books, &add(3, b'X', 1, 1)), ApplyError::InvalidSide(b'X')),
            (
                apply(&mut books, &executed),
                ApplyError::TooManyShares { order_reference: 1, shares: 101, left: 100 },
            ),
            (apply(&mut books, &replaced(1, 2)), ApplyError::DuplicateOrder(2)),
            (apply(&mut books, &replaced(9, 3)), ApplyError::UnknownOrder(9)),
            (
                apply(&mut books, &OrderDelete { order_reference: 7, ..default() }),
                ApplyError::UnknownOrder(7),
            ),
        ];
        for (result, error) in refused {
            assert_eq!(result, Err(error));
        }
        let shown = [
            (
                ApplyError::UnknownOrder(7),
                "order 7 is not in the book: was its first message missed?",
            ),
            (ApplyError::InvalidSide(b'X'), "side X of an order is neither B nor S"),
            (
                ApplyError::TooManyShares { order_reference: 1, shares: 101, left: 100 },
                "order 1 loses 101 shares, but it has only 100 left",
            ),
            (
                ApplyError::TooManyOrders(2),
                "more than 2 orders rest at once: the books are incomplete from here",
            ),
        ];
        for (error, text) in shown {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!((books.refused(), books.order_count()), (7, 2));
        assert_eq!(books.book(1).unwrap().best(Side::Buy).unwrap().shares, 100);
        // An order may be replaced under its own number, and in a full book.
        apply(&mut books, &replaced(1, 1)).unwrap();
    }

    /// One random operation on one of a few orders, so that most of them meet.
    #[derive(Clone, Copy, Debug)]
    enum Operation {
        Add(u64, bool, u16, u32, u32),
        Reduce(u64, u32),
        Delete(u64),
        Replace(u64, u64, u32, u32),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let (reference, shares, price) = (0..12u64, 0..20u32, 1..6u32);
        prop_oneof![
            3 => (reference.clone(), any::<bool>(), 0..3u16, shares.clone(), price.clone())
                .prop_map(|(r, b, l, s, p)| Operation::Add(r, b, l, s, p)),
            2 => (reference.clone(), shares.clone()).prop_map(|(r, s)| Operation::Reduce(r, s)),
            1 => reference.clone().prop_map(Operation::Delete),
            2 => (reference.clone(), reference, shares, price)
                .prop_map(|(o, n, s, p)| Operation::Replace(o, n, s, p)),
        ]
    }

    /// Books as a list of orders, each looked up from the start.
    #[derive(Default)]
    struct NaiveBooks(Vec<(u64, Order)>);

    impl NaiveBooks {
        fn position(&self, reference: u64) -> Option<usize> {
            self.0.iter().position(|(known, _)| *known == reference)
        }

        /// Returns whether the operation is possible, and carries it out.
        fn apply(&mut self, operation: Operation) -> bool {
            match operation {
                Operation::Add(reference, is_buy, stock_locate, shares, price) => {
                    if self.position(reference).is_some() {
                        return false;
                    }
                    let side = if is_buy { Side::Buy } else { Side::Sell };
                    let price = Price4(price);
                    self.0.push((reference, Order { stock_locate, side, price, shares }));
                }
                Operation::Reduce(reference, shares) => {
                    let Some(place) = self.position(reference) else { return false };
                    if self.0[place].1.shares < shares {
                        return false;
                    }
                    self.0[place].1.shares -= shares;
                    if self.0[place].1.shares == 0 {
                        self.0.remove(place);
                    }
                }
                Operation::Delete(reference) => {
                    let Some(place) = self.position(reference) else { return false };
                    self.0.remove(place);
                }
                Operation::Replace(original, new, shares, price) => {
                    let Some(place) = self.position(original) else { return false };
                    if new != original && self.position(new).is_some() {
                        return false;
                    }
                    let order = Order { shares, price: Price4(price), ..self.0[place].1 };
                    self.0[place] = (new, order);
                }
            }
            true
        }

        fn levels(&self, stock_locate: u16, side: Side) -> Vec<Level> {
            let mut levels: Vec<Level> = Vec::new();
            for (_, order) in &self.0 {
                if (order.stock_locate, order.side) != (stock_locate, side) {
                    continue;
                }
                match levels.iter_mut().find(|level| level.price == order.price) {
                    Some(level) => {
                        level.shares += u64::from(order.shares);
                        level.orders += 1;
                    }
                    None => levels.push(Level {
                        price: order.price,
                        shares: order.shares.into(),
                        orders: 1,
                    }),
                }
            }
            levels.sort_by_key(|level| level.price);
            if side == Side::Buy {
                levels.reverse();
            }
            levels
        }
    }

    fn apply_operation(books: &mut Books, operation: Operation) -> bool {
        let applied = match operation {
            Operation::Add(reference, is_buy, stock_locate, shares, price) => {
                let mut order = add(reference, if is_buy { b'B' } else { b'S' }, shares, price);
                order.header.stock_locate = stock_locate;
                apply(books, &order)
            }
            Operation::Reduce(order_reference, cancelled_shares) => {
                apply(books, &OrderCancel { order_reference, cancelled_shares, ..default() })
            }
            Operation::Delete(order_reference) => {
                apply(books, &OrderDelete { order_reference, ..default() })
            }
            Operation::Replace(original, new, shares, price) => {
                let replaced = OrderReplace {
                    original_order_reference: original,
                    new_order_reference: new,
                    shares,
                    price: Price4(price),
                    ..default()
                };
                apply(books, &replaced)
            }
        };
        applied.is_ok()
    }

    proptest! {
        #[test]
        fn books_equal_a_naive_model(operations in prop::collection::vec(operation(), 0..80)) {
            let (mut books, mut model) = (Books::new(), NaiveBooks::default());
            for operation in operations {
                prop_assert_eq!(apply_operation(&mut books, operation), model.apply(operation));
                for locate in 0..3 {
                    let ours = |side| books.book(locate)
                        .map_or(Vec::new(), |book| book.levels(side).collect());
                    prop_assert_eq!(ours(Side::Buy), model.levels(locate, Side::Buy));
                    prop_assert_eq!(ours(Side::Sell), model.levels(locate, Side::Sell));
                }
                prop_assert_eq!(books.order_count(), model.0.len());
            }
        }
    }
}
