//! ITCH 5.0 messages: any bytes are decoded or refused, and books stay within their bound and agree
//! with their orders.

use feed::payload::itch50::{Books, Field, Message};
use feed::wire::packet::Side;

/// Maximum number of resting orders, small enough to be reached.
const ORDERS: usize = 8;

pub(crate) fn run(input: &[u8]) {
    let mut books = Books::with_max_orders(ORDERS);
    let mut rest = input;
    // Each message stands behind one byte of length.
    while let Some((&len, after)) = rest.split_first() {
        let (bytes, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let Ok(message) = Message::parse(bytes) else { continue };
        assert_eq!(message.bytes(), bytes);
        let width: usize = message.fields().map(|(field, _): (&Field, _)| field.width()).sum();
        assert!(message.message_type().is_none_or(|known| known.len() == width + 1));
        assert!(message.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let before = (books.order_count(), books.refused());
        let applied = books.apply(&message);
        if applied.is_err() {
            assert_eq!((books.order_count(), books.refused()), (before.0, before.1 + 1));
        }
        assert!(books.order_count() <= ORDERS);
    }
    let mut orders = 0;
    for (_, book) in books.books() {
        let levels = || book.levels(Side::Buy).chain(book.levels(Side::Sell));
        assert!(levels().all(|level| level.orders > 0));
        assert_eq!(levels().map(|level| level.orders as usize).sum::<usize>(), book.order_count());
        orders += book.order_count();
    }
    assert_eq!(orders, books.order_count());
}
