//! Messages that are no order packets, as text and as JSON: types, times, lengths and ITCH books.

use super::text::table;
use crate::text::formatting::{count, grouped};
use feed::analysis::messages::MessageStats;
use feed::payload::itch50::{Alpha, Book, Books, Level};
use feed::wire::packet::Side;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;

/// Maximum number of stocks in the text.
const ROWS: usize = 24;

/// Maximum number of price levels a side in the JSON.
const LEVELS: usize = 10;

/// Name of types that ITCH 5.0 does not have.
const UNKNOWN: &str = "unknown";

/// Writes payload, times, lengths and the table of types.
pub(super) fn text(text: &mut String, stats: &MessageStats) {
    let payload = if stats.is_itch() { "ITCH 5.0" } else { "opaque" };
    let _ = writeln!(text, "  payload  {payload}");
    if let Some((first, last)) = stats.times() {
        let order = match stats.earlier() {
            0 => "never earlier than the one before".to_owned(),
            earlier => format!("{} earlier than the one before", count(earlier, "message")),
        };
        let _ = writeln!(text, "  times    {first} to {last}, {order}");
    }
    let (shortest, longest) = stats.lengths();
    let _ = writeln!(
        text,
        "  lengths  {shortest} to {}, {} in all",
        count(longest as u64, "byte"),
        count(stats.bytes(), "byte")
    );
    if stats.unfit() > 0 {
        let unfit = count(stats.unfit(), "message");
        let _ = writeln!(text, "  damaged  {unfit} with another length than their type");
    }
    if !stats.is_itch() {
        return;
    }
    let mut rows = vec![["", "type", "name", "messages", "share"].map(str::to_owned).to_vec()];
    for (letter, known, messages) in stats.types() {
        rows.push(vec![
            String::new(),
            letter.escape_ascii().to_string(),
            known.map_or(UNKNOWN, |known| known.name()).to_owned(),
            grouped(messages),
            super::text::share(messages, stats.messages()),
        ]);
    }
    text.push('\n');
    table(text, &rows, 3);
}

/// Writes the table of order books, those with the most orders first.
pub(super) fn books_text(text: &mut String, books: &Books) {
    let mut rows = vec![
        ["", "stock", "orders", "levels", "bid qty", "bid", "ask", "ask qty", "levels"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut all: Vec<(u16, &Book)> =
        books.books().filter(|(_, book)| book.order_count() > 0).collect();
    all.sort_by_key(|(locate, book)| (std::cmp::Reverse(book.order_count()), *locate));
    for (locate, book) in all.iter().take(ROWS) {
        let cells = |side| {
            let best = book.best(side);
            let of = |what: fn(Level) -> String| best.map_or("-".to_owned(), what);
            let levels = grouped(book.levels(side).count() as u64);
            [levels, of(|best| grouped(best.shares)), of(|best| best.price.to_string())]
        };
        let ([bids, bid_shares, bid], [asks, ask_shares, ask]) =
            (cells(Side::Buy), cells(Side::Sell));
        let orders = grouped(book.order_count() as u64);
        rows.push(
            [
                String::new(),
                stock(*locate, book),
                orders,
                bids,
                bid_shares,
                bid,
                ask,
                ask_shares,
                asks,
            ]
            .to_vec(),
        );
    }
    text.push('\n');
    table(text, &rows, 2);
    if all.len() > ROWS {
        let more = count((all.len() - ROWS) as u64, "more book");
        let _ = writeln!(text, "  and {more} (--json has all)");
    }
    if books.refused() > 0 {
        let refused = count(books.refused(), "message");
        let _ = writeln!(text, "  {refused} contradicted the books and changed nothing");
    }
}

/// Returns the name of a book's stock without characters that could control a terminal.
fn stock(locate: u16, book: &Book) -> String {
    let name = |stock: Alpha<8>| stock.trimmed().escape_ascii().to_string();
    book.stock().map_or_else(|| format!("locate {locate}"), name)
}

/// Statistics of messages that are no order packets.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagesJson {
    /// Meaning of the messages: `itch50` or `opaque`.
    payload: &'static str,
    /// Time of the first message, in nanoseconds since midnight.
    first_time: Option<u64>,
    /// Time of the last message, in nanoseconds since midnight.
    last_time: Option<u64>,
    /// Number of messages whose time is earlier than that of the message before.
    earlier: u64,
    /// Length of the shortest message in bytes.
    shortest: usize,
    /// Length of the longest message in bytes.
    longest: usize,
    /// Sum of the lengths in bytes.
    bytes: u64,
    /// Number of messages with another length than their type.
    wrong_length: u64,
    /// Number of messages of each type.
    types: Vec<TypeJson>,
}

/// Messages of one type.
#[derive(Serialize, JsonSchema)]
struct TypeJson {
    /// First byte of the messages, as the character of the same number.
    #[serde(rename = "type")]
    letter: char,
    /// Name of the type; null for types that ITCH 5.0 does not have, and for opaque messages.
    name: Option<&'static str>,
    /// Number of messages.
    messages: u64,
}

/// Returns the statistics for the JSON.
pub(super) fn json(stats: &MessageStats) -> MessagesJson {
    let (shortest, longest) = stats.lengths();
    let types = stats.types().map(|(letter, known, messages)| TypeJson {
        letter: letter.into(),
        name: known.map(|known| known.name()),
        messages,
    });
    MessagesJson {
        payload: if stats.is_itch() { "itch50" } else { "opaque" },
        first_time: stats.times().map(|(first, _)| first.nanos()),
        last_time: stats.times().map(|(_, last)| last.nanos()),
        earlier: stats.earlier(),
        shortest,
        longest,
        bytes: stats.bytes(),
        wrong_length: stats.unfit(),
        types: types.collect(),
    }
}

/// Order book of one stock.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItchBookJson {
    /// Code of the stock.
    stock_locate: u16,
    /// Symbol of the stock; null if no message named it.
    stock: Option<String>,
    /// Number of resting orders.
    orders: usize,
    /// Buy orders, the highest price first.
    bids: LevelsJson,
    /// Sell orders, the lowest price first.
    asks: LevelsJson,
}

/// Price levels of one side.
#[derive(Serialize, JsonSchema)]
struct LevelsJson {
    /// Number of price levels.
    levels: usize,
    /// Best price levels, the best first.
    best: Vec<LevelJson>,
}

/// Price level.
#[derive(Serialize, JsonSchema)]
struct LevelJson {
    /// Price in dollars, as text with four decimals.
    price: String,
    /// Number of shares that rest at the price.
    shares: u64,
    /// Number of orders that rest at the price.
    orders: u32,
}

/// Returns the order books for the JSON.
pub(super) fn books_json(books: &Books) -> Vec<ItchBookJson> {
    let level = |Level { price, shares, orders }: Level| LevelJson {
        price: price.to_string(),
        shares,
        orders,
    };
    let levels = |book: &Book, side| LevelsJson {
        levels: book.levels(side).count(),
        best: book.levels(side).take(LEVELS).map(level).collect(),
    };
    let latin = |stock: Alpha<8>| stock.trimmed().iter().copied().map(char::from).collect();
    let book = |(stock_locate, book): (u16, &Book)| ItchBookJson {
        stock_locate,
        stock: book.stock().map(latin),
        orders: book.order_count(),
        bids: levels(book, Side::Buy),
        asks: levels(book, Side::Sell),
    };
    books.books().map(book).collect()
}
