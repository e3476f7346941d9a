//! JSON, the format of the exercise's output: an array of objects, printed like JavaScript's
//! `JSON.stringify(packets, null, 2)`, without a line end after the last bracket.

use super::bounded::{Bounded, Watch};
use super::line::{TextLine, TextLines};
use super::rows::{self, Batch, packet};
use super::table;
use super::{Arrival, Encoder, MessageConsumer, ReadError};
use crate::args::keyed::Keyed;
use crate::error::Failure;
use feed::base::seq::Seq;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Messages, RawFrame};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Read, Write};

/// Writes packets, given in slices.
///
/// # Errors
/// Returns errors of the writer, and [`io::ErrorKind::InvalidData`] for a frame that is not a
/// packet.
pub fn write<'a>(
    slices: impl IntoIterator<Item = &'a [RawFrame]>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut writer = Box::new(JsonWriter::new(out));
    slices
        .into_iter()
        .try_for_each(|frames| writer.put(Messages::Packets(frames), Arrival::UNKNOWN))?;
    writer.finish()
}

pub(super) struct JsonWriter<W> {
    out: W,
    text: TextLines,
    any: bool,
}

impl<W: Write> JsonWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, text: TextLines::new(), any: false }
    }
}

impl<W: Write> Encoder for JsonWriter<W> {
    fn put(&mut self, messages: Messages<'_>, _: Arrival) -> io::Result<()> {
        let mut frames = messages.packets();
        if let (false, [first, rest @ ..]) = (self.any, frames) {
            let first = packet(first)?;
            self.text.add(|line| {
                line.put(b"[\n");
                members(&first, &PRETTY, line);
                line.put(b"\n  }");
            });
            (self.any, frames) = (true, rest);
        }
        for frame in frames {
            let packet = packet(frame)?;
            self.text.add(|line| {
                line.put(b",\n");
                members(&packet, &PRETTY, line);
                line.put(b"\n  }");
            });
            self.text.hand_on(&mut self.out)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let close: &[u8] = if self.any { b"\n]" } else { b"[]" };
        self.text.add(|line| line.put(close));
        self.text.hand_all(&mut self.out)
    }
}

/// Text around the values of a packet's object.
pub(super) struct Glue {
    head: &'static [u8],
    /// Offsets of the symbol and the side in the head.
    symbol: usize,
    side: usize,
    price: &'static [u8],
    sequence: &'static [u8],
}

const PRETTY: Glue = Glue::new(
    b"  {\n    \"symbol\": \"????\",\n    \"buySellIndicator\": \"?\",\n    \"quantity\": ",
    b",\n    \"price\": ",
    b",\n    \"sequence\": ",
);

impl Glue {
    /// `head` is all up to the quantity, with `????` for the symbol and `?` for the side.
    pub(super) const fn new(
        head: &'static [u8],
        price: &'static [u8],
        sequence: &'static [u8],
    ) -> Self {
        let (mut symbol, mut side) = (0, head.len() - 1);
        while head[symbol] != b'?' {
            symbol += 1;
        }
        while head[side] != b'?' {
            side -= 1;
        }
        Self { head, symbol, side, price, sequence }
    }
}

/// Members of a packet's object.
#[inline(always)]
pub(super) fn members(packet: &Packet, glue: &Glue, line: &mut TextLine<'_>) {
    let Glue { head, symbol, side, .. } = *glue;
    let letter = packet.side.letter();
    if plain(packet.symbol) {
        line.put_with(head, symbol, packet.symbol.0, side, letter);
    } else {
        line.put(&head[..symbol]);
        match packet.symbol.trimmed() {
            name if name.iter().all(u8::is_ascii_alphanumeric) => line.put(name),
            name => line.put(&escaped(name)),
        }
        line.put(&head[symbol + 4..side]);
        line.put(&[letter]);
        line.put(&head[side + 1..]);
    }
    line.signed(packet.quantity);
    line.put(glue.price);
    line.signed(packet.price);
    line.put(glue.sequence);
    line.sequence(packet.sequence);
}

/// Returns whether a symbol needs no escapes: four characters from `0` to `Z`, true for nearly all.
/// All bytes are checked at once: one that is too low or too high leaves its highest bit set.
#[inline(always)]
fn plain(symbol: Symbol) -> bool {
    const fn all(byte: u8) -> u32 {
        u32::from_le_bytes([byte; 4])
    }
    let bytes = u32::from_le_bytes(symbol.0);
    (bytes.wrapping_sub(all(b'0')) | all(b'Z').wrapping_sub(bytes)) & all(0x80) == 0
}

/// Appends bytes as the characters of the same numbers, escaped as in JavaScript.
#[inline(never)]
pub(super) fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            0x08 => text.extend_from_slice(b"\\b"),
            0x0c => text.extend_from_slice(b"\\f"),
            0..0x20 => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            0x20..0x80 => text.push(byte),
            0x80.. => {
                text.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 2]).as_bytes());
            }
        }
    }
    text
}

/// Reads packets. They may have other white space than a [`JsonWriter`] gives them, and other keys
/// too. Errors have line and column.
pub(super) fn read(input: impl Read, each: &mut MessageConsumer<'_>) -> Result<(), ReadError> {
    let (mut input, watch) = Bounded::new(input);
    let (beginning, table) = table::json::beginning(&mut input)?;
    let input = io::Cursor::new(beginning).chain(input);
    if let Some(table) = table {
        return table::json::read(input, &watch, table, each);
    }
    let input = BufReader::with_capacity(64 * 1024, input);
    let mut text = serde_json::Deserializer::from_reader(input);
    let mut failed = None;
    let packets = Packets { batch: Batch::new(each), watch: &watch, failed: &mut failed };
    let done = text.deserialize_seq(packets).and_then(|()| text.end());
    result_of(failed, done)
}

/// Returns the result of reading an array: the failure of the function that took the messages, or
/// the parser's result.
pub(super) fn result_of(
    failed: Option<Failure>,
    parsed: serde_json::Result<()>,
) -> Result<(), ReadError> {
    match (failed, parsed) {
        (Some(failure), _) => Err(failure.into()),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => Err(io::Error::from(error).into()),
        (None, Err(error)) => Err(ReadError::Content(error.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRow {
    #[serde(deserialize_with = "symbol")]
    symbol: Symbol,
    #[serde(deserialize_with = "side")]
    buy_sell_indicator: Side,
    quantity: i32,
    price: i32,
    #[serde(deserialize_with = "sequence")]
    sequence: Seq,
}

/// Text that is copied only if it has escapes.
#[derive(Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn symbol<'de, D: Deserializer<'de>>(input: D) -> Result<Symbol, D::Error> {
    rows::symbol(&JsonText::deserialize(input)?.0).map_err(D::Error::custom)
}

pub(super) fn side<'de, D: Deserializer<'de>>(input: D) -> Result<Side, D::Error> {
    rows::side(&JsonText::deserialize(input)?.0).map_err(D::Error::custom)
}

pub(super) fn sequence<'de, D: Deserializer<'de>>(input: D) -> Result<Seq, D::Error> {
    rows::sequence(i64::deserialize(input)?).map_err(D::Error::custom)
}

struct Packets<'a, 'b, 'c> {
    batch: Batch<'b, 'c>,
    watch: &'a Watch,
    /// Failure of the function that takes the packets, which an error of the parser cannot carry.
    failed: &'a mut Option<Failure>,
}

impl<'de> Visitor<'de> for Packets<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of packets")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
        let mut done = Ok(());
        while let (Ok(()), Some(Keyed(row))) = (&done, rows.next_element::<Keyed<JsonRow>>()?) {
            self.watch.row();
            let JsonRow { symbol, buy_sell_indicator: side, quantity, price, sequence } = row;
            let packet = Packet { symbol, side, quantity, price, sequence };
            done = self.batch.push(packet, Arrival::UNKNOWN);
        }
        done.and_then(|()| self.batch.flush()).map_err(|failure| {
            *self.failed = Some(failure);
            A::Error::custom("not taken")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::testing::complaint;
    use feed::tape::in_memory::Tape;

    fn read_back(text: &str) -> Vec<Packet> {
        let mut packets = Vec::new();
        let mut take = |messages: Messages<'_>, _| {
            packets.extend(messages.packets().iter().map(|frame| packet(frame).unwrap()));
            Ok(())
        };
        read(text.as_bytes(), &mut take).unwrap();
        packets
    }

    fn text(tape: &Tape) -> String {
        let mut out = Vec::new();
        write([tape.frames()], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn is_the_documents_text() {
        assert_eq!(text(&Tape::sample(0)), "[]");
        assert_eq!(
            text(&Tape::sample(2)),
            r#"[
  {
    "symbol": "SYMB",
    "buySellIndicator": "B",
    "quantity": 100,
    "price": 1000,
    "sequence": 1
  },
  {
    "symbol": "SYMB",
    "buySellIndicator": "S",
    "quantity": 101,
    "price": 1100,
    "sequence": 2
  }
]"#
        );
    }

    #[test]
    fn agrees_with_an_independent_writer() {
        let tape = Tape::random(500, 3);
        let value: serde_json::Value = serde_json::from_str(&text(&tape)).unwrap();
        // serde_json sorts keys, so compare without them.
        let lines = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&text(&tape)), lines(&serde_json::to_string_pretty(&value).unwrap()));
    }

    #[test]
    fn every_symbol_survives() {
        let packets: Vec<Packet> = (0..=255u8)
            .zip(1..)
            .map(|(byte, sequence)| Packet {
                symbol: Symbol([byte, b'"', byte, b' ']),
                side: Side::Sell,
                quantity: i32::MIN,
                price: -1,
                sequence,
            })
            .collect();
        let text = text(&Tape::new(packets.clone()).unwrap());
        assert_eq!(read_back(&text), packets);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn errors_say_where() {
        for (text, message) in [
            ("{}", "invalid type: map, expected an array of packets at line 1"),
            (&format!("[{{\"x\":\"{}", "x".repeat(3 << 20)), "more than 1048576 bytes are no row"),
            ("[{\"symbol\":\"ABCDE\"", "symbol \"ABCDE\" is longer than four bytes"),
            ("[{\"buySellIndicator\":\"X\"", "buySellIndicator is \"X\", not \"B\" or \"S\""),
            ("[{\"sequence\":0", "sequence 0 is not in 1..2147483647"),
            ("[{\"quantity\":3000000000", "expected i32"),
            ("[{\"symbol\":\"A\"}]", "missing field `buySellIndicator` at line 1"),
            ("[[\"A\",\"B\",1,1,1]]", "invalid type: sequence, expected an object with named keys"),
            ("[null]", "invalid type: null, expected an object with named keys"),
            ("[{\"price\":1,\"price\":1", "duplicate field `price`"),
            ("[] []", "trailing characters"),
            ("", "EOF"),
        ] {
            let error = complaint(text, Format::Json);
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
