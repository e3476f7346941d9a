//! Tests of order books built from ITCH messages.

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
    let executed = OrderExecutedWithPrice { order_reference: 1, executed_shares: 101, ..default() };
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
        (ApplyError::UnknownOrder(7), "order 7 is not in the book: was its first message missed?"),
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
