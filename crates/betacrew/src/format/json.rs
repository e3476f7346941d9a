//! The documents' format: a JSON array of objects, pretty-printed with two spaces as JavaScript's
//! `JSON.stringify(packets, null, 2)` does it, without a line end after the last bracket.

use feed::packet::{Packet, Side, Symbol};
use feed::seq::{FIRST_SEQ, MAX_SEQ};
use feed::wire::{Frame, RawFrame, decode};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::io::{self, Read, Write};

/// Text is handed to the writer in pieces of about this size.
const PIECE: usize = 256 * 1024;

/// Writes packets as they come.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    text: Vec<u8>,
    empty: bool,
}

impl<W: Write> Writer<W> {
    /// A writer of nothing yet.
    pub fn new(out: W) -> Self {
        Self { out, text: Vec::with_capacity(PIECE + 1024), empty: true }
    }

    /// Writes packets.
    ///
    /// # Errors
    /// What `out` reports; and [`io::ErrorKind::InvalidData`] for a frame that is no packet.
    pub fn put(&mut self, frames: &[RawFrame]) -> io::Result<()> {
        for frame in frames {
            let Ok(Frame::Packet(packet)) = decode(frame) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is no packet"));
            };
            let open: &[u8] = if std::mem::take(&mut self.empty) { b"[\n" } else { b",\n" };
            self.text.extend_from_slice(open);
            object(&packet, &mut self.text);
            if self.text.len() >= PIECE {
                self.out.write_all(&self.text)?;
                self.text.clear();
            }
        }
        Ok(())
    }

    /// Writes the end.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn finish(mut self) -> io::Result<()> {
        self.text.extend_from_slice(if self.empty { b"[]" } else { b"\n]" });
        self.out.write_all(&self.text)
    }
}

/// Writes packets, all at once.
///
/// # Errors
/// As [`Writer::put`].
pub fn write(frames: &[RawFrame], out: &mut impl Write) -> io::Result<()> {
    let mut writer = Writer::new(out);
    writer.put(frames)?;
    writer.finish()
}

fn object(packet: &Packet, text: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    text.extend_from_slice(b"  {\n    \"symbol\": \"");
    string(packet.symbol.trimmed(), text);
    text.extend_from_slice(b"\",\n    \"buySellIndicator\": \"");
    text.push(packet.side.letter());
    text.extend_from_slice(b"\",\n    \"quantity\": ");
    text.extend_from_slice(digits.format(packet.quantity).as_bytes());
    text.extend_from_slice(b",\n    \"price\": ");
    text.extend_from_slice(digits.format(packet.price).as_bytes());
    text.extend_from_slice(b",\n    \"sequence\": ");
    text.extend_from_slice(digits.format(packet.sequence).as_bytes());
    text.extend_from_slice(b"\n  }");
}

/// Bytes as the characters of the same numbers, escaped as JavaScript escapes them.
fn string(bytes: &[u8], text: &mut Vec<u8>) {
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
}

/// Reads packets. They may have other white space than [`write()`] gives them, and other keys too.
///
/// # Errors
/// Where the text is not such an array; the message has line and column.
pub fn read(input: impl Read) -> Result<Vec<Packet>, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_reader(io::BufReader::new(input));
    let packets = text.deserialize_seq(Packets)?;
    text.end()?;
    Ok(packets)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(deserialize_with = "symbol")]
    symbol: Symbol,
    #[serde(deserialize_with = "side")]
    buy_sell_indicator: Side,
    quantity: i32,
    price: i32,
    #[serde(deserialize_with = "sequence")]
    sequence: u32,
}

fn symbol<'de, D: Deserializer<'de>>(input: D) -> Result<Symbol, D::Error> {
    let text = String::deserialize(input)?;
    Symbol::from_text(&text).ok_or_else(|| {
        D::Error::custom(format!("symbol {text:?} is longer than four bytes or not Latin text"))
    })
}

fn side<'de, D: Deserializer<'de>>(input: D) -> Result<Side, D::Error> {
    let text = String::deserialize(input)?;
    match text.as_bytes() {
        [letter] => Side::from_letter(*letter),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom(format!("buySellIndicator is {text:?}, not \"B\" or \"S\"")))
}

fn sequence<'de, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(input)?;
    u32::try_from(number)
        .ok()
        .filter(|seq| (FIRST_SEQ..=MAX_SEQ).contains(seq))
        .ok_or_else(|| D::Error::custom(format!("sequence {number} is not in 1..{MAX_SEQ}")))
}

struct Packets;

impl<'de> Visitor<'de> for Packets {
    type Value = Vec<Packet>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of packets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let mut packets = Vec::new();
        while let Some(row) = rows.next_element::<Row>()? {
            let Row { symbol, buy_sell_indicator: side, quantity, price, sequence } = row;
            packets.push(Packet { symbol, side, quantity, price, sequence });
        }
        Ok(packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::Tape;

    fn text(tape: &Tape) -> String {
        let mut out = Vec::new();
        write(tape.frames(), &mut out).unwrap();
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
        assert_eq!(read(text.as_bytes()).unwrap(), packets);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn errors_say_where() {
        for (text, message) in [
            ("{}", "invalid type: map, expected an array of packets at line 1"),
            ("[{\"symbol\":\"ABCDE\"", "symbol \"ABCDE\" is longer than four bytes"),
            ("[{\"buySellIndicator\":\"X\"", "buySellIndicator is \"X\", not \"B\" or \"S\""),
            ("[{\"sequence\":0", "sequence 0 is not in 1..2147483647"),
            ("[{\"quantity\":3000000000", "expected i32"),
            ("[{\"symbol\":\"A\"}]", "missing field `buySellIndicator` at line 1"),
            ("[] []", "trailing characters"),
            ("", "EOF"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
