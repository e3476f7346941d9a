//! Order books, for people and for machines.

use super::text::{signed, table};
use crate::text::formatting::{count, grouped};
use feed::analysis::book::{Books, Level};
use feed::wire::packet::{Side, Symbol};
use serde::Serialize;
use std::fmt::Write;

/// So many symbols, for people.
const ROWS: usize = 24;

/// So many price levels a side, for machines.
const LEVELS: usize = 10;

pub(super) fn text(text: &mut String, books: &Books) {
    let mut rows = vec![
        ["", "symbol", "levels", "bid qty", "bid", "ask", "ask qty", "levels", "last", "traded"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let all = books.books().count();
    for (symbol, book) in books.books().take(ROWS) {
        let cells = |side| {
            let best = book.best(side);
            let of = |what: fn(Level) -> String| best.map_or("-".to_owned(), what);
            let levels = grouped(book.depth(side).count() as u64);
            [levels, of(|best| signed(best.quantity)), of(|best| best.price.to_string())]
        };
        let ([bids, bid_quantity, bid], [asks, ask_quantity, ask]) =
            (cells(Side::Buy), cells(Side::Sell));
        let last = book.last().map_or("-".to_owned(), |price| price.to_string());
        let traded = signed(book.traded().0);
        let name = name(*symbol);
        rows.push(
            [String::new(), name, bids, bid_quantity, bid, ask, ask_quantity, asks, last, traded]
                .to_vec(),
        );
    }
    text.push('\n');
    table(text, &rows, 2);
    if all > ROWS {
        let more = count((all - ROWS) as u64, "more book");
        let _ = writeln!(text, "  and {more} (--json has all)");
    }
}

/// What a peer has sent must not steer the terminal.
fn name(symbol: Symbol) -> String {
    symbol.trimmed().escape_ascii().to_string()
}

/// A symbol's book; levels are the best ones, the best first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookReport {
    symbol: String,
    bids: Levels,
    asks: Levels,
    last: Option<i32>,
    traded: i64,
    trades: u64,
}

#[derive(Serialize)]
struct Levels {
    /// How many there are.
    levels: usize,
    best: Vec<RestingOrders>,
}

#[derive(Serialize)]
struct RestingOrders {
    price: i32,
    quantity: i64,
}

pub(super) fn json(books: &Books) -> Vec<BookReport> {
    let levels = |book: &feed::analysis::book::Book, side| Levels {
        levels: book.depth(side).count(),
        best: book
            .depth(side)
            .take(LEVELS)
            .map(|Level { price, quantity }| RestingOrders { price, quantity })
            .collect(),
    };
    let book = |(symbol, book): (&Symbol, &feed::analysis::book::Book)| BookReport {
        symbol: symbol.to_string(),
        bids: levels(book, Side::Buy),
        asks: levels(book, Side::Sell),
        last: book.last(),
        traded: book.traded().0,
        trades: book.traded().1,
    };
    books.books().map(book).collect()
}
