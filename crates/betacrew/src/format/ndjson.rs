//! A JSON object a line, with the keys of all columns; what is not known is `null`. Where packets
//! are left out, or another session begins, a line of its own says so.

use super::bounded::Bounded;
use super::json::{Glue, members, sequence, side, symbol};
use super::line::Lines;
use super::rows::{Batch, packet};
use super::{Arrival, Each, Encoder, Fault, Mark};
use feed::packet::{Packet, Side, Symbol};
use feed::wire::RawFrame;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};

const GLUE: Glue = Glue::new(
    b"{\"symbol\":\"????\",\"buySellIndicator\":\"?\",\"quantity\":",
    b",\"price\":",
    b",\"sequence\":",
);

pub(super) struct Writer<W> {
    out: W,
    text: Lines,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, text: Lines::new() }
    }
}

impl<W: Write> Encoder for Writer<W> {
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> io::Result<()> {
        let arrived = arrival.time().map_or("null".to_owned(), |at| at.to_string());
        // Its letters need no escapes.
        let origin = arrival.origin_text().map_or("null".to_owned(), |text| format!("\"{text}\""));
        let end = format!(",\"arrived\":{arrived},\"origin\":{origin}}}\n");
        for frame in frames {
            let packet = packet(frame)?;
            self.text.add(|line| {
                members(&packet, &GLUE, line);
                line.put(end.as_bytes());
            });
            self.text.hand_on(&mut self.out)?;
        }
        Ok(())
    }

    fn mark(&mut self, mark: Mark) -> io::Result<()> {
        let line = match mark {
            Mark::Lost(range) => {
                serde_json::json!({ "lost": { "first": range.first(), "last": range.last() } })
            }
            Mark::Session(session) => serde_json::json!({ "session": session.to_string() }),
        };
        self.text.add(|text| text.put(format!("{line}\n").as_bytes()));
        self.text.hand_on(&mut self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.hand_all(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(deserialize_with = "symbol")]
    symbol: Symbol,
    #[serde(deserialize_with = "side")]
    buy_sell_indicator: Side,
    quantity: i32,
    price: i32,
    #[serde(deserialize_with = "sequence")]
    sequence: u32,
    arrived: Option<i64>,
    #[serde(borrow)]
    origin: Option<Cow<'a, str>>,
}

/// What a line is that is no packet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    #[serde(default, rename = "lost")]
    _lost: Option<IgnoredAny>,
    #[serde(default, rename = "session")]
    session: Option<IgnoredAny>,
}

/// Reads lines; empty ones are passed over, and those that say what was lost.
pub(super) fn read(input: impl Read, each: &mut Each<'_>) -> Result<(), Fault> {
    let (input, watch) = Bounded::new(input);
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut batch = Batch::new(each);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let wrong =
            |reason: &dyn std::fmt::Display| Fault::Content(format!("line {number}: {reason}"));
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => watch.row(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(wrong(&error)),
            Err(error) => return Err(error.into()),
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row: Row = match serde_json::from_slice(&line) {
            Ok(row) => row,
            Err(error) => match serde_json::from_slice(&line) {
                Ok(Marked { session: None, _lost: Some(_) }) => continue,
                Ok(Marked { session: Some(_), .. }) => {
                    return Err(wrong(&"another session begins here: cut the file in two"));
                }
                _ => return Err(wrong(&plain(&error))),
            },
        };
        let arrival = Arrival::parse(row.arrived, row.origin.as_deref());
        let Row { symbol, buy_sell_indicator: side, quantity, price, sequence, .. } = row;
        let packet = Packet { symbol, side, quantity, price, sequence };
        batch.push(packet, arrival.map_err(|reason| wrong(&reason))?)?;
    }
    batch.flush()?;
    Ok(())
}

/// The parser counts lines within the line; only its column is of use.
fn plain(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

#[cfg(test)]
mod tests {
    use crate::format::Format;
    use crate::format::testing::{complaint, written};

    #[test]
    fn is_an_object_a_line() {
        assert_eq!(
            written(Format::Ndjson),
            "{\"symbol\":\"SYMB\",\"buySellIndicator\":\"B\",\"quantity\":100,\"price\":1000,\
             \"sequence\":1,\"arrived\":null,\"origin\":null}\n\
             {\"symbol\":\"SYMB\",\"buySellIndicator\":\"S\",\"quantity\":101,\"price\":1100,\
             \"sequence\":2,\"arrived\":1700000000123456789,\"origin\":\"resend, line 2\"}\n"
        );
    }

    #[test]
    fn errors_say_where() {
        let good = r#"{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":1}"#;
        for (line, message) in [
            ("[]", "line 3: invalid"),
            ("{}", "line 3: missing field `symbol`"),
            ("{\"symbol\":\"ABCDE\"}", "line 3: symbol \"ABCDE\" is longer than four bytes"),
            (&good.replace("B", "b"), "line 3: buySellIndicator is \"b\""),
            (&good.replace("\":1}", "\":0}"), "line 3: sequence 0 is not in 1..2147483647"),
            (&good.replace("}", ",\"arrived\":-1}"), "line 3: arrived lies before 1970"),
            (&good.replace("}", ",\"origin\":\"here\"}"), "line 3: origin is \"here\""),
            (&good[..40], "line 3: EOF"),
            (&"x".repeat(3 << 20), "line 3: more than 1048576 bytes are no row"),
        ] {
            let message_is = complaint(&format!("{good}\n\n{line}"), Format::Ndjson);
            assert!(message_is.starts_with(message), "{message}: {message_is}");
        }
    }
}
