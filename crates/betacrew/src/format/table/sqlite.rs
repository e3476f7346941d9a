//! Rows of messages in an SQLite database: the table `messages`.

use super::{Cell, Cells, ColumnKind, MessageBatch, Row, Table, float_units, has_exact_float};
use crate::error::Failure;
use crate::format::bounded::VALUE_MAX;
use crate::format::{Arrival, MessageConsumer};
use feed::wire::{MESSAGE_MAX, Messages};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Statement, ToSql};
use std::borrow::Cow;
use std::fmt::Write;
use std::io;

/// Name of the table with messages.
pub(in crate::format) const NAME: &str = "messages";

/// Returns the statement that creates the table.
pub(in crate::format) fn create(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE {NAME} (");
    for (at, column) in table.columns().iter().enumerate() {
        let kind = match column.kind {
            ColumnKind::Sequence => "INTEGER PRIMARY KEY",
            ColumnKind::Integer(_) | ColumnKind::TimeOfDay | ColumnKind::Arrived => "INTEGER",
            ColumnKind::Price { .. } => "REAL",
            ColumnKind::Text(_) | ColumnKind::Hex | ColumnKind::Origin => "TEXT",
        };
        let separator = if at > 0 { ", " } else { "" };
        let _ = write!(sql, "{separator}{} {kind}", column.name);
    }
    sql + ")"
}

/// Returns the statement that adds a row.
pub(in crate::format) fn insert(table: &Table) -> String {
    let values: Vec<String> = (1..=table.columns().len()).map(|at| format!("?{at}")).collect();
    format!("INSERT INTO {NAME} VALUES ({})", values.join(", "))
}

/// Returns whether a column holds a value exactly: integers have 63 bits, prices are floating-point
/// numbers.
fn is_exact(cell: &Cell<'_>) -> bool {
    let is_small = !matches!(cell, Cell::Integer(number) if i64::try_from(*number).is_err());
    is_small && has_exact_float(cell)
}

/// Adds a row for each message.
///
/// # Errors
/// Errors of SQLite, and [`io::ErrorKind::InvalidData`] for a message that does not fit.
pub(in crate::format) fn put(
    insert: &mut Statement<'_>,
    table: &Table,
    messages: Messages<'_>,
    arrival: Arrival,
    failed: &dyn Fn(rusqlite::Error) -> io::Error,
) -> io::Result<()> {
    let origin = arrival.origin_text();
    for message in messages.iter() {
        insert.clear_bindings();
        let row = Row::of(message, arrival, origin.as_deref());
        table.cells(&row, is_exact, &mut |column, cell| {
            insert.raw_bind_parameter(column + 1, Bound(cell)).map_err(failed)
        })?;
        insert.raw_execute().map_err(failed)?;
    }
    Ok(())
}

/// Cell as a value of SQLite.
struct Bound<'a>(Cell<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Integer(number) => match i64::try_from(number) {
                Ok(number) => ToSqlOutput::Owned(Value::Integer(number)),
                Err(_) => ToSqlOutput::Owned(Value::Real(float(number, 0))),
            },
            Cell::Price { units, scale } => ToSqlOutput::Owned(Value::Real(float(units, scale))),
            Cell::Text(bytes) if bytes.is_ascii() => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
            Cell::Text(bytes) => {
                let text = bytes.iter().copied().map(char::from).collect();
                ToSqlOutput::Owned(Value::Text(text))
            }
            Cell::Hex(bytes) => {
                let mut text = String::with_capacity(bytes.len() * 2);
                for byte in bytes {
                    let _ = write!(text, "{byte:02x}");
                }
                ToSqlOutput::Owned(Value::Text(text))
            }
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows with inexact numbers have the bytes, too")]
fn float(units: u64, scale: u32) -> f64 {
    units as f64 / 10u64.pow(scale) as f64
}

/// Returns the maximum length in bytes of a value of a column.
fn length_max(kind: ColumnKind) -> usize {
    match kind {
        ColumnKind::Hex => 2 * MESSAGE_MAX,
        _ => VALUE_MAX,
    }
}

/// Returns the expression that reads a column without reading long values.
///
/// Rows that have to be sorted wait in a temporary file. So that long values do not fill it, short
/// ones stand for them, which [`SqliteCells`] refuses.
pub(in crate::format) fn bounded(column: &super::Column) -> String {
    let (name, max) = (column.name, length_max(column.kind));
    format!("iif(octet_length(p.{name}) > {max}, zeroblob(0), p.{name})")
}

/// Values of a row, in the order of the table's columns.
struct SqliteCells<'a>(&'a rusqlite::Row<'a>);

impl SqliteCells<'_> {
    fn value(&self, column: usize) -> Result<ValueRef<'_>, String> {
        self.0.get_ref(column).map_err(|error| error.to_string())
    }
}

impl Cells for SqliteCells<'_> {
    fn integer(&self, column: usize) -> Result<Option<u64>, String> {
        self.price(column, 0)
    }

    fn price(&self, column: usize, scale: u32) -> Result<Option<u64>, String> {
        let (units, number) = match self.value(column)? {
            ValueRef::Null => return Ok(None),
            ValueRef::Integer(number) => {
                let units = u64::try_from(number).ok();
                (units.and_then(|units| units.checked_mul(10u64.pow(scale))), number.to_string())
            }
            ValueRef::Real(number) => (float_units(number, scale), number.to_string()),
            ValueRef::Text(_) | ValueRef::Blob(_) => return Err("is no number".to_owned()),
        };
        let wrong = || format!("{number} is no number of up to {scale} decimals from 0");
        units.map(Some).ok_or_else(wrong)
    }

    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>, String> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
                Ok(Some(Cow::Borrowed(text)))
            }
            _ => Err("is no text, or too long".to_owned()),
        }
    }
}

/// Reader of rows.
pub(in crate::format) struct SqliteTableReader<'a, 'b> {
    table: &'static Table,
    message: Vec<u8>,
    batch: MessageBatch<'a, 'b>,
}

impl<'a, 'b> SqliteTableReader<'a, 'b> {
    pub(in crate::format) fn new(table: &'static Table, each: &'a mut MessageConsumer<'b>) -> Self {
        Self { table, message: Vec::new(), batch: MessageBatch::new(each) }
    }

    /// Takes a row.
    ///
    /// # Errors
    /// Returns what is wrong with the row, or the failure of the function that takes messages.
    pub(in crate::format) fn take(
        &mut self,
        row: &rusqlite::Row<'_>,
    ) -> Result<Result<(), Failure>, String> {
        let cells = SqliteCells(row);
        let (seq, arrival) = self.table.read_row(&cells, &mut self.message)?;
        Ok(self.batch.push(seq, &self.message, arrival))
    }

    /// Hands on the rest of the messages.
    ///
    /// # Errors
    /// Failures of the function that takes messages.
    pub(in crate::format) fn flush(&mut self) -> Result<(), Failure> {
        self.batch.flush()
    }
}
