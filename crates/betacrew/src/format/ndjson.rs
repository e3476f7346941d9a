//! One JSON object a line, with the keys of all columns. Unknown values are `null`. Marker lines
//! announce packets that are left out, and the start of another session.

use super::bounded::Bounded;
use super::json::{Glue, members, sequence, side, symbol};
use super::line::TextLines;
use super::rows::{Batch, packet, shown};
use super::table::json::{JsonTableReader, PayloadKeys, RowOfLine};
use super::{Arrival, Encoder, MessageConsumer, ReadError, StreamMark};
use crate::args::keyed::Keyed;
use crate::error::Failure;
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use feed::wire::Messages;
use feed::wire::packet::{Packet, Side, Symbol};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};
use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};

const GLUE: Glue = Glue::new(
    b"{\"symbol\":\"????\",\"buySellIndicator\":\"?\",\"quantity\":",
    b",\"price\":",
    b",\"sequence\":",
);

pub(super) struct NdjsonWriter<W> {
    out: W,
    text: TextLines,
}

impl<W: Write> NdjsonWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, text: TextLines::new() }
    }
}

impl<W: Write> Encoder for NdjsonWriter<W> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let arrived = arrival.time().map_or("null".to_owned(), |at| at.to_string());
        // Its letters need no escapes.
        let origin = arrival.origin_text().map_or("null".to_owned(), |text| format!("\"{text}\""));
        let end = format!(",\"arrived\":{arrived},\"origin\":{origin}}}\n");
        for frame in messages.packets() {
            let packet = packet(frame)?;
            self.text.add(|line| {
                members(&packet, &GLUE, line);
                line.put(end.as_bytes());
            });
            self.text.hand_on(&mut self.out)?;
        }
        Ok(())
    }

    fn mark(&mut self, mark: StreamMark) -> io::Result<()> {
        let line = marker(mark);
        self.text.add(|text| text.put(line.as_bytes()));
        self.text.hand_on(&mut self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.hand_all(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

/// Returns the line of a mark.
pub(super) fn marker(mark: StreamMark) -> String {
    let line = match mark {
        StreamMark::Abandoned(range) => {
            serde_json::json!({ "abandoned": { "first": range.first(), "last": range.last() } })
        }
        StreamMark::Session(session) => serde_json::json!({ "session": session.to_string() }),
    };
    format!("{line}\n")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NdjsonRow<'a> {
    #[serde(deserialize_with = "symbol")]
    symbol: Symbol,
    #[serde(deserialize_with = "side")]
    buy_sell_indicator: Side,
    quantity: i32,
    price: i32,
    #[serde(deserialize_with = "sequence")]
    sequence: Seq,
    arrived: Option<i64>,
    #[serde(borrow)]
    origin: Option<Cow<'a, str>>,
    // A line is a packet or a marker, never both.
    abandoned: Option<IgnoredAny>,
    session: Option<IgnoredAny>,
}

/// Marker line, exactly as [`NdjsonWriter::mark`] writes it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Marker<'a> {
    Abandoned(Keyed<AbandonedRange>),
    #[serde(borrow)]
    Session(Cow<'a, str>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AbandonedRange {
    #[serde(deserialize_with = "any_sequence")]
    first: Seq,
    #[serde(deserialize_with = "any_sequence")]
    last: Seq,
}

/// Reads a sequence of any message; those of order packets have fewer bits.
fn any_sequence<'de, D: Deserializer<'de>>(input: D) -> Result<Seq, D::Error> {
    let seq = Seq::deserialize(input)?;
    let is_sequence = (FIRST_SEQ..=MAX_SEQ).contains(&seq);
    let wrong = || D::Error::custom(format!("sequence {seq} is not in 1..{MAX_SEQ}"));
    is_sequence.then_some(seq).ok_or_else(wrong)
}

/// Keys of marker lines, to tell a malformed marker from a malformed packet.
#[derive(Deserialize)]
struct MarkerKeys {
    abandoned: Option<IgnoredAny>,
    session: Option<IgnoredAny>,
}

/// Line that is not empty.
enum NdjsonLine {
    Packet(Packet, Arrival),
    Message(RowOfLine),
    Abandoned(SeqRange),
}

/// Returns whether a line is an object with a key of marker lines.
fn has_marker_keys(line: &[u8]) -> bool {
    let keys = serde_json::from_slice::<Keyed<MarkerKeys>>(line);
    keys.is_ok_and(|Keyed(keys)| keys.abandoned.is_some() || keys.session.is_some())
}

/// Reader of the lines of a file by its payload, which the first row decides.
enum NdjsonRows<'a, 'b> {
    Undecided(Option<&'a mut MessageConsumer<'b>>),
    Orders(Batch<'a, 'b>),
    Messages(JsonTableReader<'a, 'b>),
}

impl NdjsonRows<'_, '_> {
    fn parse(&mut self, line: &[u8]) -> Result<NdjsonLine, String> {
        if let Self::Undecided(each) = self {
            if has_marker_keys(line) {
                return NdjsonLine::parse(line);
            }
            let keys = serde_json::from_slice::<Keyed<PayloadKeys>>(line);
            let table = keys.ok().and_then(|Keyed(keys)| keys.table());
            if let Some(each) = each.take() {
                *self = match table {
                    Some(table) => Self::Messages(JsonTableReader::new(table, each)),
                    None => Self::Orders(Batch::new(each)),
                };
            }
        }
        let Self::Messages(reader) = self else { return NdjsonLine::parse(line) };
        match reader.parse(line) {
            Ok(row) => Ok(NdjsonLine::Message(row)),
            Err(_) if has_marker_keys(line) => NdjsonLine::parse_marker(line),
            Err(reason) => Err(reason),
        }
    }

    fn take(&mut self, line: &NdjsonLine) -> Result<(), Failure> {
        match (self, line) {
            (Self::Orders(batch), NdjsonLine::Packet(packet, arrival)) => {
                batch.push(*packet, *arrival)
            }
            (Self::Messages(reader), NdjsonLine::Message(row)) => reader.take(row),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Self::Undecided(_) => Ok(()),
            Self::Orders(batch) => batch.flush(),
            Self::Messages(reader) => reader.flush(),
        }
    }
}

impl NdjsonLine {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let row: NdjsonRow<'_> = match serde_json::from_slice(line) {
            Ok(Keyed(row)) => row,
            Err(error) => {
                let keys = serde_json::from_slice::<Keyed<MarkerKeys>>(line);
                return match keys {
                    Ok(Keyed(MarkerKeys { abandoned: None, session: None })) | Err(_) => {
                        Err(plain(&error))
                    }
                    Ok(_) => Self::parse_marker(line),
                };
            }
        };
        if row.abandoned.is_some() || row.session.is_some() {
            return Err("a packet has no key `abandoned` or `session`".to_owned());
        }
        let arrival = Arrival::parse(row.arrived, row.origin.as_deref())?;
        let NdjsonRow { symbol, buy_sell_indicator: side, quantity, price, sequence, .. } = row;
        Ok(Self::Packet(Packet { symbol, side, quantity, price, sequence }, arrival))
    }

    fn parse_marker(line: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice(line) {
            Ok(Marker::Abandoned(Keyed(AbandonedRange { first, last }))) => {
                SeqRange::new(first, last)
                    .map(Self::Abandoned)
                    .ok_or_else(|| format!("abandoned has first {first} above last {last}"))
            }
            Ok(Marker::Session(id)) => {
                let id = shown(&id);
                Err(format!("another session begins here, {id:?}: cut the file in two"))
            }
            Err(error) => Err(format!(
                "neither a packet nor such as {{\"abandoned\":{{\"first\":50,\"last\":51}}}}: {}",
                plain(&error)
            )),
        }
    }
}

/// Reads packets. Empty lines and markers of abandoned packets are skipped.
pub(super) fn read(input: impl Read, each: &mut MessageConsumer<'_>) -> Result<(), ReadError> {
    let (input, watch) = Bounded::new(input);
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut rows = NdjsonRows::Undecided(Some(each));
    let mut line = Vec::new();
    // Highest sequences so far, of packets and of abandoned ranges, which must not overlap.
    let (mut highest, mut abandoned) = (0, 0);
    for number in 1u64.. {
        line.clear();
        let wrong =
            |reason: &dyn std::fmt::Display| ReadError::Content(format!("line {number}: {reason}"));
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => watch.row(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(wrong(&error)),
            Err(error) => return Err(error.into()),
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = rows.parse(&line).map_err(|reason| wrong(&reason))?;
        let sequence = match &row {
            NdjsonLine::Packet(packet, _) => Some(packet.sequence),
            NdjsonLine::Message(message) => Some(message.seq),
            NdjsonLine::Abandoned(_) => None,
        };
        if let Some(sequence) = sequence {
            if sequence <= abandoned {
                return Err(wrong(&format!("packet {sequence} is listed as abandoned above")));
            }
            highest = highest.max(sequence);
            rows.take(&row)?;
        }
        match row {
            NdjsonLine::Packet(..) | NdjsonLine::Message(_) => {}
            NdjsonLine::Abandoned(range) if range.first() <= highest.max(abandoned) => {
                let (first, before) = (range.first(), highest.max(abandoned));
                return Err(wrong(&format!(
                    "packet {first} is listed as abandoned after {before}"
                )));
            }
            NdjsonLine::Abandoned(range) => abandoned = range.last(),
        }
    }
    rows.flush()?;
    Ok(())
}

/// Returns the column of a parser error; its line number counts within the line and is useless.
pub(super) fn plain(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

#[cfg(test)]
mod tests {
    use crate::format::testing::{complaint, written};
    use crate::format::{Format, read_text};
    use feed::wire::Messages;

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
            ("[]", "line 3: invalid type: sequence, expected an object with named keys"),
            (&format!("[{good}]"), "line 3: invalid type: sequence"),
            (r#"["A","B",1,1,2,null,null]"#, "line 3: invalid type: sequence"),
            ("null", "line 3: invalid type: null"),
            ("{}", "line 3: missing field `symbol`"),
            (r#"{"lots":{"first":5,"last":6}}"#, "line 3: missing field `symbol`"),
            (
                r#"{"abandoned":5}"#,
                "line 3: neither a packet nor such as {\"abandoned\":{\"first\":50",
            ),
            (r#"{"abandoned":[5,6]}"#, "line 3: neither a packet nor such as"),
            (r#"{"abandoned":{"first":5}}"#, "line 3: neither a packet nor such as"),
            (r#"{"abandoned":{"first":5,"last":6,"x":1}}"#, "line 3: neither a packet nor such as"),
            (r#"{"abandoned":{"first":5,"last":6},"x":1}"#, "line 3: neither a packet nor such as"),
            (r#"{"abandoned":null,"session":"A"}"#, "line 3: neither a packet nor such as"),
            (r#"{"abandoned":{"first":6,"last":5}}"#, "line 3: abandoned has first 6 above last 5"),
            (r#"{"abandoned":{"first":0,"last":5}}"#, "line 3: neither a packet nor such as"),
            (
                r#"{"abandoned":{"first":1,"last":5}}"#,
                "line 3: packet 1 is listed as abandoned after 1",
            ),
            (r#"{"session":"K7QD"}"#, "line 3: another session begins here"),
            (r#"{"session":"NASDAQ-1"}"#, "line 3: another session begins here, \"NASDAQ-1\": cut"),
            (r#"{"session":5}"#, "line 3: neither a packet nor such as"),
            (&good.replace("}", ",\"abandoned\":5}"), "line 3: a packet has no key `abandoned` or"),
            (&good.replace("}", ",\"price\":1}"), "line 3: duplicate field `price`"),
            (&good.replace("\"price\"", "\"Price\""), "line 3: missing field `price`"),
            (&format!("{good}{good}"), "line 3: trailing characters"),
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

    #[test]
    fn keys_of_others_and_abandoned_packets_are_passed_over() {
        let row = |sequence: u32| {
            format!(
                r#"{{"venue":["X"],"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,
                "sequence":{sequence}}}"#
            )
            .replace('\n', " ")
        };
        let abandoned = r#"{ "abandoned": {"last": 4, "first": 2} }"#;
        let text = format!("\u{feff}{}\r\n{abandoned}\n \n{}", row(1), row(5));
        let mut sequences = Vec::new();
        let mut take = |messages: Messages<'_>, _| {
            sequences.extend(messages.iter().map(|(seq, _)| seq));
            Ok(())
        };
        read_text(Box::new(std::io::Cursor::new(text)), Format::Ndjson, &mut take).unwrap();
        assert_eq!(sequences, [1, 5]);
        let late = format!("{}\n{abandoned}\n{}", row(1), row(4));
        assert_eq!(
            complaint(&late, Format::Ndjson),
            "line 3: packet 4 is listed as abandoned above"
        );
    }
}
