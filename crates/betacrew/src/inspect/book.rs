//! Order books, as text and as JSON.

use super::text::table;
use crate::text::formatting::{count, grouped, signed};
use feed::analysis::book::{Books, Level};
use feed::wire::packet::{Side, Symbol};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;

/// Maximum number of symbols in the text.
const ROWS: usize = 24;

/// Maximum number of price levels a side in the JSON.
const LEVELS: usize = 10;

/// Writes the table of order books.
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

/// Returns a symbol without characters that could control a terminal, because an exchange may send
/// any bytes.
fn name(symbol: Symbol) -> String {
    symbol.trimmed().escape_ascii().to_string()
}

/// Order book of one symbol.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookReport {
    /// Symbol, with its padding.
    symbol: String,
    /// Buy orders, the highest price first.
    bids: Levels,
    /// Sell orders, the lowest price first.
    asks: Levels,
    /// Price of the last trade.
    last: Option<i32>,
    /// Quantity traded.
    traded: i64,
    /// Number of trades.
    trades: u64,
}

/// Price levels of one side.
#[derive(Serialize, JsonSchema)]
struct Levels {
    /// Number of price levels.
    levels: usize,
    /// Best price levels, the best first.
    best: Vec<RestingOrders>,
}

/// Price level.
#[derive(Serialize, JsonSchema)]
struct RestingOrders {
    /// Price of the level.
    price: i32,
    /// Quantity that rests at the price.
    quantity: i64,
}

/// Returns the order books for the JSON.
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
