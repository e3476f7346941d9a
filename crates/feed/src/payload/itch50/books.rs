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
    /// Number of the level's orders.
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
mod tests;
