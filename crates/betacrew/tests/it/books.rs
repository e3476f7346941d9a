//! Order books in the state that both ends serve over HTTP.

use crate::http::{LIVE, Program};
use feed::payload::itch50;
use feed::wire::packet::Side;
use serde_json::{Value, json};

#[test]
fn a_client_shows_order_books() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    let client = Program::client(folder.path(), &exchange);
    let all = |state: &Value| state["book"].as_array().is_some_and(|books| books.len() == 8);
    let state = client.until(|state| all(state) && state["highest"].as_u64() > Some(1000));
    for book in state["book"].as_array().unwrap() {
        let (bids, asks) = (book["bids"].as_array().unwrap(), book["asks"].as_array().unwrap());
        assert!(bids.len() <= 5 && asks.len() <= 5, "{book}");
        if let (Some(bid), Some(ask)) = (bids.first(), asks.first()) {
            assert!(bid[0].as_i64() < ask[0].as_i64(), "{book}");
            assert_eq!((&book["bid"], &book["ask"]), (bid, ask));
        }
    }
}

#[test]
fn an_exchange_shows_order_books_of_its_tape() {
    let exchange = Program::exchange(&["--tape", "random:100000:3"]);
    let mut books = feed::analysis::book::Books::default();
    for frame in feed::tape::in_memory::Tape::random(100_000, 3).frames() {
        let Ok(feed::wire::Frame::Packet(packet)) = feed::wire::decode(frame) else { panic!() };
        books.add(&packet);
    }
    let best = |book: &feed::analysis::book::Book, side| {
        let level = book.depth(side).next();
        level.map_or(Value::Null, |level| json!([level.price, level.quantity]))
    };
    let sides = [Side::Buy, Side::Sell];
    let expected: Vec<[Value; 2]> =
        books.books().map(|(_, book)| sides.map(|side| best(book, side))).collect();
    let told = |book: &Value| [book["bid"].clone(), book["ask"].clone()];
    exchange.until(|state| {
        let Some(books) = state["book"].as_array() else { return false };
        books.iter().map(told).eq(expected.iter().cloned())
    });
}

/// Returns the books as a page shows them: name, code, orders, and five levels a side in dollars.
fn shown(books: &itch50::Books) -> Vec<Value> {
    let mut all: Vec<_> = books.books().filter(|(_, book)| book.order_count() > 0).collect();
    all.sort_by_key(|(locate, book)| (std::cmp::Reverse(book.order_count()), *locate));
    all.truncate(50);
    all.sort_by_key(|(locate, _)| *locate);
    let levels = |book: &itch50::Book, side| {
        let best = book.levels(side).take(5);
        Value::from_iter(best.map(|it| json!([f64::from(it.price.0) / 1e4, it.shares])))
    };
    let book = |(locate, book): (u16, &itch50::Book)| {
        let name = String::from_utf8(book.stock().unwrap().trimmed().to_vec()).unwrap();
        let (bids, asks) = (levels(book, Side::Buy), levels(book, Side::Sell));
        let orders = book.order_count();
        json!({ "symbol": name, "stock_locate": locate, "orders": orders, "bid": bids[0],
                "ask": asks[0], "last": null, "bids": bids, "asks": asks })
    };
    all.into_iter().map(book).collect()
}

#[test]
fn both_ends_show_books_of_itch_messages() {
    let folder = tempfile::tempdir().unwrap();
    // Half a day, because the books of a whole one are empty at its end.
    let (day, half) = (itch50::SyntheticMarket::new(3, 20_000), 10_000);
    let (mut bytes, mut books) = (Vec::new(), itch50::Books::new());
    for index in 0..half {
        let message = day.message(index);
        books.apply(&itch50::Message::parse(&message).unwrap()).unwrap();
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&message);
    }
    let expected = shown(&books);
    let total = books.books().filter(|(_, book)| book.order_count() > 0).count();
    assert!(total > 4, "{total}");
    // The execution of an order that does not exist contradicts the books.
    let mut wrong = vec![b'E'; 31];
    wrong[1..11].fill(0);
    bytes.extend([0, 31]);
    bytes.extend(wrong);
    let tape = folder.path().join("half.itch");
    std::fs::write(&tape, bytes).unwrap();
    let serve = |tape: &std::path::Path| {
        let tape = tape.to_str().unwrap();
        let args = ["serve", "--listen", "soup://127.0.0.1:0", "--tape", tape];
        Program::start(&[&args[..], &["--scenario", "soup-end-missing"]].concat())
    };
    let exchange = serve(&tape);
    let client = Program::client(folder.path(), &exchange);
    for program in [&exchange, &client] {
        let state = program.until(|state| state["book_refused"] == 1);
        assert_eq!(state["book"].as_array().unwrap(), &expected);
        assert_eq!(state["book_total"], total);
    }
    drop((exchange, client));

    std::fs::write(&tape, [0, 2, b'h', b'i']).unwrap();
    let exchange = serve(&tape);
    let client = Program::client(&folder.path().join(""), &exchange);
    for program in [&exchange, &client] {
        let state = program.until(|state| state["session"]["last"] == 1 && state["book"].is_null());
        assert!(state.get("book_refused").is_none(), "{state}");
    }
}
