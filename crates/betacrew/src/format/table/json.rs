//! Rows of messages as JSON objects: one a line, alone or in an array. An object has the keys that
//! are not null; the first one of a file has all keys, so that programs which look only at the
//! beginning of a file know all columns.

use super::text::TextBuffer;
use super::{
    Cell, Cells, HEX, MESSAGE_TYPE, MessageBatch, Row, Table, float_units, has_exact_float,
};
use crate::args::keyed::Keyed;
use crate::error::Failure;
use crate::format::bounded::{ROW_MAX, Watch};
use crate::format::json::{escaped, result_of};
use crate::format::rows::shown;
use crate::format::{Arrival, Encoder, MessageConsumer, ReadError, StreamMark};
use feed::wire::Messages;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Read, Write};

/// Layout of the objects in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::format) enum JsonLayout {
    /// One object a line, with the arrival of each message.
    Lines,
    /// Array of objects, without arrivals.
    Array,
}

/// Writer of rows.
pub(in crate::format) struct JsonTableWriter<W> {
    out: W,
    table: &'static Table,
    layout: JsonLayout,
    text: TextBuffer,
    is_first: bool,
}

impl<W: Write> JsonTableWriter<W> {
    pub(in crate::format) fn new(out: W, table: &'static Table, layout: JsonLayout) -> Self {
        Self { out, table, layout, text: TextBuffer::default(), is_first: true }
    }

    /// Puts what stands between two objects, or before the first one.
    fn begin_row(&mut self) {
        match (self.layout, self.is_first) {
            (JsonLayout::Lines, _) => {}
            (JsonLayout::Array, true) => self.text.put(b"[\n"),
            (JsonLayout::Array, false) => self.text.put(b",\n"),
        }
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.begin_row();
        let Self { table, layout, text, is_first, .. } = self;
        let columns = match layout {
            JsonLayout::Lines => table.columns(),
            JsonLayout::Array => table.message_columns(),
        };
        let (mut next, mut separator) = (0, &b"{\""[..]);
        let mut key = |text: &mut TextBuffer, column: usize| {
            text.put(separator);
            text.put(columns[column].name.as_bytes());
            separator = b",\"";
            text.put(b"\":");
        };
        table.cells(row, has_exact_float, &mut |column, cell| {
            if *is_first {
                for absent in next..column {
                    key(text, absent);
                    text.put(b"null");
                }
                next = column + 1;
            }
            key(text, column);
            value(text, &cell);
            Ok(())
        })?;
        if *is_first {
            for absent in next..columns.len() {
                key(text, absent);
                text.put(b"null");
            }
        }
        text.put(b"}");
        self.is_first = false;
        if self.layout == JsonLayout::Lines {
            self.text.put(b"\n");
        }
        self.text.hand_on(&mut self.out)
    }
}

/// Puts a value.
fn value(text: &mut TextBuffer, cell: &Cell<'_>) {
    match cell {
        Cell::Integer(_) | Cell::Price { .. } => text.plain(cell),
        Cell::Hex(_) => {
            text.put(b"\"");
            text.plain(cell);
            text.put(b"\"");
        }
        Cell::Text(bytes) => {
            text.put(b"\"");
            match bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ') {
                true => text.put(bytes),
                false => text.put(&escaped(bytes)),
            }
            text.put(b"\"");
        }
    }
}

impl<W: Write> Encoder for JsonTableWriter<W> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let arrival = match self.layout {
            JsonLayout::Lines => arrival,
            JsonLayout::Array => Arrival::UNKNOWN,
        };
        let origin = arrival.origin_text();
        for message in messages.iter() {
            self.row(&Row::of(message, arrival, origin.as_deref()))?;
        }
        Ok(())
    }

    fn mark(&mut self, mark: StreamMark) -> io::Result<()> {
        if self.layout == JsonLayout::Lines {
            self.text.put(crate::format::ndjson::marker(mark).as_bytes());
        }
        self.text.hand_on(&mut self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.hand_all(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.layout == JsonLayout::Array {
            self.text.put(if self.is_first { b"[]" } else { b"\n]" });
        }
        self.flush()
    }
}

/// Keys that say which payload the objects of a file have.
#[derive(Deserialize)]
pub(in crate::format) struct PayloadKeys {
    message_type: Option<IgnoredAny>,
    hex: Option<IgnoredAny>,
}

impl PayloadKeys {
    /// Returns the table of the payload; `None` for order packets.
    pub(in crate::format) fn table(&self) -> Option<&'static Table> {
        let names = [self.message_type.map(|_| MESSAGE_TYPE), self.hex.map(|_| HEX)];
        Table::named(names.into_iter().flatten())
    }
}

/// Number of bytes that are read at once to find the first object.
const CHUNK: usize = 16 * 1024;

/// Reads the beginning of an array up to the end of its first object. Returns these bytes, and the
/// table of the payload if the object is not an order packet.
pub(in crate::format) fn beginning(
    input: &mut impl Read,
) -> io::Result<(Vec<u8>, Option<&'static Table>)> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        bytes.resize(start + CHUNK, 0);
        let count = match input.read(&mut bytes[start..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        bytes.truncate(start + count);
        let array = bytes.trim_ascii_start();
        let Some(rest) = array.strip_prefix(b"[") else {
            match array.is_empty() && count > 0 && bytes.len() < ROW_MAX {
                true => continue,
                false => return Ok((bytes, None)),
            }
        };
        let objects = serde_json::Deserializer::from_slice(rest);
        let table = match objects.into_iter::<Keyed<PayloadKeys>>().next() {
            Some(Ok(Keyed(keys))) => keys.table(),
            Some(Err(error)) if !error.is_eof() => None,
            _ if count > 0 && bytes.len() < ROW_MAX => continue,
            _ => None,
        };
        return Ok((bytes, table));
    }
}

/// Value of a key.
#[derive(Clone, PartialEq, Debug)]
enum JsonCell {
    Null,
    Integer(u64),
    Float(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for JsonCell {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct CellVisitor;
        impl Visitor<'_> for CellVisitor {
            type Value = JsonCell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or null")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<JsonCell, E> {
                Ok(JsonCell::Integer(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<JsonCell, E> {
                Ok(JsonCell::Float(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonCell, E> {
                Ok(JsonCell::Text(text.to_owned()))
            }

            fn visit_unit<E: Error>(self) -> Result<JsonCell, E> {
                Ok(JsonCell::Null)
            }
        }
        input.deserialize_any(CellVisitor)
    }
}

/// Values of an object, by the columns of a table.
struct JsonCells(Vec<JsonCell>);

impl Cells for JsonCells {
    fn integer(&self, column: usize) -> Result<Option<u64>, String> {
        self.price(column, 0)
    }

    fn price(&self, column: usize, scale: u32) -> Result<Option<u64>, String> {
        let units = match &self.0[column] {
            JsonCell::Null => return Ok(None),
            JsonCell::Integer(number) => number.checked_mul(10u64.pow(scale)),
            JsonCell::Float(number) => float_units(*number, scale),
            JsonCell::Text(text) => super::read::text_units(text, scale),
        };
        let wrong = || match &self.0[column] {
            JsonCell::Float(number) => format!("{number} has more than {scale} decimals"),
            JsonCell::Text(text) => format!("{:?} is no number", shown(text)),
            _ => "is too large".to_owned(),
        };
        units.map(Some).ok_or_else(wrong)
    }

    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>, String> {
        match &self.0[column] {
            JsonCell::Null => Ok(None),
            JsonCell::Text(text) => Ok(Some(Cow::Borrowed(text))),
            JsonCell::Integer(number) => Err(format!("{number} is no text")),
            JsonCell::Float(number) => Err(format!("{number} is no text")),
        }
    }
}

/// Reader of an object into the values of a table's columns.
struct ObjectSeed<'a> {
    table: &'static Table,
    cells: &'a mut [JsonCell],
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with named keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.cells.fill(JsonCell::Null);
        let mut seen = vec![false; self.cells.len()];
        while let Some(column) = map.next_key_seed(KeySeed(self.table))? {
            let Some(column) = column else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut seen[column], true) {
                let name = self.table.columns()[column].name;
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            self.cells[column] = map.next_value()?;
        }
        Ok(())
    }
}

/// Reader of a key into the index of its column; `None` for keys that are no columns.
struct KeySeed(&'static Table);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Option<usize>, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.column(key))
    }
}

/// Reader of rows.
pub(in crate::format) struct JsonTableReader<'a, 'b> {
    table: &'static Table,
    cells: JsonCells,
    message: Vec<u8>,
    batch: MessageBatch<'a, 'b>,
}

impl<'a, 'b> JsonTableReader<'a, 'b> {
    pub(in crate::format) fn new(table: &'static Table, each: &'a mut MessageConsumer<'b>) -> Self {
        let cells = JsonCells(vec![JsonCell::Null; table.columns().len()]);
        Self { table, cells, message: Vec::new(), batch: MessageBatch::new(each) }
    }

    /// Reads the object of a line. Returns its sequence.
    ///
    /// # Errors
    /// Returns what is wrong with the line.
    pub(in crate::format) fn parse(&mut self, line: &[u8]) -> Result<RowOfLine, String> {
        let mut input = serde_json::Deserializer::from_slice(line);
        let seed = ObjectSeed { table: self.table, cells: &mut self.cells.0 };
        let read = seed.deserialize(&mut input).and_then(|()| input.end());
        read.map_err(|error| crate::format::ndjson::plain(&error))?;
        let (seq, arrival) = self.table.read_row(&self.cells, &mut self.message)?;
        Ok(RowOfLine { seq, arrival })
    }

    /// Takes the message that was parsed last.
    ///
    /// # Errors
    /// Failures of the function that takes messages.
    pub(in crate::format) fn take(&mut self, row: &RowOfLine) -> Result<(), Failure> {
        self.batch.push(row.seq, &self.message, row.arrival)
    }

    /// Hands on the rest of the messages.
    ///
    /// # Errors
    /// Failures of the function that takes messages.
    pub(in crate::format) fn flush(&mut self) -> Result<(), Failure> {
        self.batch.flush()
    }
}

/// Sequence and arrival of a line's message.
pub(in crate::format) struct RowOfLine {
    /// Sequence of the message.
    pub(in crate::format) seq: feed::base::seq::Seq,
    arrival: Arrival,
}

/// Reads an array of objects.
pub(in crate::format) fn read(
    input: impl Read,
    watch: &Watch,
    table: &'static Table,
    each: &mut MessageConsumer<'_>,
) -> Result<(), ReadError> {
    let input = BufReader::with_capacity(64 * 1024, input);
    let mut text = serde_json::Deserializer::from_reader(input);
    let mut failed = None;
    let rows = JsonRows { reader: JsonTableReader::new(table, each), watch, failed: &mut failed };
    let done = text.deserialize_seq(rows).and_then(|()| text.end());
    result_of(failed, done)
}

struct JsonRows<'a, 'b, 'c> {
    reader: JsonTableReader<'b, 'c>,
    watch: &'a Watch,
    /// Failure of the function that takes messages, which an error of the parser cannot carry.
    failed: &'a mut Option<Failure>,
}

impl<'de> Visitor<'de> for JsonRows<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
        let JsonTableReader { table, cells, message, batch } = &mut self.reader;
        let mut done = Ok(());
        while done.is_ok() {
            let seed = ObjectSeed { table, cells: &mut cells.0 };
            if rows.next_element_seed(seed)?.is_none() {
                break;
            }
            self.watch.row();
            let row = table.read_row(cells, message);
            let (seq, arrival) = row.map_err(A::Error::custom)?;
            done = batch.push(seq, message, arrival);
        }
        done.and_then(|()| batch.flush()).map_err(|failure| {
            *self.failed = Some(failure);
            A::Error::custom("not taken")
        })
    }
}
