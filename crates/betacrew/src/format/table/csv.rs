//! Rows of messages as comma-separated values: a line of names, then a line for each message. Null
//! is an empty value.

use super::text::TextBuffer;
use super::{Cell, Cells, MessageBatch, Row, Table, always_exact};
use crate::format::rows::shown;
use crate::format::{Arrival, Encoder, MessageConsumer, ReadError};
use csv::StringRecord;
use feed::wire::Messages;
use std::borrow::Cow;
use std::io::{self, Write};

/// Writer of rows.
pub(in crate::format) struct CsvTableWriter<W> {
    out: W,
    table: &'static Table,
    text: TextBuffer,
}

impl<W: Write> CsvTableWriter<W> {
    pub(in crate::format) fn new(out: W, table: &'static Table) -> Self {
        let mut text = TextBuffer::default();
        for (at, column) in table.columns().iter().enumerate() {
            text.put(if at > 0 { b"," } else { b"" });
            text.put(column.name.as_bytes());
        }
        text.put(b"\n");
        Self { out, table, text }
    }
}

impl<W: Write> Encoder for CsvTableWriter<W> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let origin = arrival.origin_text();
        let Self { out, table, text } = self;
        for message in messages.iter() {
            let row = Row::of(message, arrival, origin.as_deref());
            let mut next = 0;
            table.cells(&row, always_exact, &mut |column, cell| {
                (next..column).for_each(|_| text.put(b","));
                next = column;
                value(text, &cell);
                Ok(())
            })?;
            (next + 1..table.columns().len()).for_each(|_| text.put(b","));
            text.put(b"\n");
            text.hand_on(out)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.hand_all(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

/// Puts a value, in quotes if it has characters that would end it.
fn value(text: &mut TextBuffer, cell: &Cell<'_>) {
    let Cell::Text(bytes) = cell else { return text.plain(cell) };
    if !bytes.iter().any(|byte| b",\"\n\r".contains(byte)) {
        return text.plain(cell);
    }
    text.put(b"\"");
    for &byte in *bytes {
        if byte == b'"' {
            text.put(b"\"");
        }
        text.latin(byte);
    }
    text.put(b"\"");
}

/// Indices of the columns of a table in the lines of a file.
struct CsvCells<'a> {
    places: &'a [Option<usize>],
    record: &'a StringRecord,
}

impl CsvCells<'_> {
    fn value(&self, column: usize) -> Option<&str> {
        let value = self.places[column].and_then(|at| self.record.get(at));
        value.filter(|value| !value.is_empty())
    }
}

impl Cells for CsvCells<'_> {
    fn integer(&self, column: usize) -> Result<Option<u64>, String> {
        self.price(column, 0).map_err(|_| {
            format!("{:?} is no whole number", shown(self.value(column).unwrap_or("")))
        })
    }

    fn price(&self, column: usize, scale: u32) -> Result<Option<u64>, String> {
        let Some(value) = self.value(column) else { return Ok(None) };
        let units = super::read::text_units(value, scale);
        units
            .map(Some)
            .ok_or_else(|| format!("{:?} is no number with up to {scale} decimals", shown(value)))
    }

    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>, String> {
        Ok(self.value(column).map(Cow::Borrowed))
    }
}

/// Reader of rows, line by line.
pub(in crate::format) struct CsvTableReader<'a, 'b> {
    table: &'static Table,
    places: Vec<Option<usize>>,
    batch: MessageBatch<'a, 'b>,
    message: Vec<u8>,
}

impl<'a, 'b> CsvTableReader<'a, 'b> {
    /// Returns the reader for a file whose first line has these names.
    ///
    /// # Errors
    /// Returns [`ReadError::Content`] if a name of the table occurs twice.
    pub(in crate::format) fn new(
        table: &'static Table,
        names: &StringRecord,
        each: &'a mut MessageConsumer<'b>,
    ) -> Result<Self, ReadError> {
        let mut places = vec![None; table.columns().len()];
        for (at, name) in names.iter().enumerate() {
            let Some(column) = table.column(name) else { continue };
            if places[column].replace(at).is_some() {
                return Err(ReadError::Content(format!("line 1: there are two columns {name}")));
            }
        }
        Ok(Self { table, places, batch: MessageBatch::new(each), message: Vec::new() })
    }

    /// Takes a line.
    ///
    /// # Errors
    /// Returns [`ReadError::Content`] with the number of the line if it is no message, and failures
    /// of the function that takes messages.
    pub(in crate::format) fn take(&mut self, record: &StringRecord) -> Result<(), ReadError> {
        let cells = CsvCells { places: &self.places, record };
        let row = self.table.read_row(&cells, &mut self.message);
        let (seq, arrival) = row.map_err(|reason| {
            let line = record.position().map_or(0, csv::Position::line);
            ReadError::Content(format!("line {line}: {reason}"))
        })?;
        Ok(self.batch.push(seq, &self.message, arrival)?)
    }

    /// Hands on the rest of the messages.
    ///
    /// # Errors
    /// Failures of the function that takes messages.
    pub(in crate::format) fn finish(mut self) -> Result<(), ReadError> {
        Ok(self.batch.flush()?)
    }
}
