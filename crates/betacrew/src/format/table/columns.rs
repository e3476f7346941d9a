//! Rows of messages as columns of Arrow, which Arrow files and Parquet share.

use super::{Cell, Cells, Column, ColumnKind, MessageBatch, Row, Table, always_exact, float_units};
use crate::format::column_values::ValueColumn;
use crate::format::columns::{self, BatchBuilder, BatchConsumer};
use crate::format::wide::in_row;
use crate::format::{Arrival, MessageConsumer, ReadError};
use arrow_array::builder::{
    Decimal128Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder, UInt16Builder,
    UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use feed::wire::{MESSAGE_MAX, Messages};
use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

/// Number of rows that are written at once. A row has many columns, most of them null.
const ROWS: usize = 1 << 14;

/// Number of bytes of texts after which rows are written, however few they are.
const TEXT_BYTES: usize = 8 << 20;

/// Returns the Arrow type of a column.
fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Sequence | ColumnKind::TimeOfDay => DataType::Int64,
        ColumnKind::Integer(2) => DataType::UInt16,
        ColumnKind::Integer(4) => DataType::UInt32,
        ColumnKind::Integer(_) => DataType::UInt64,
        ColumnKind::Price { scale, bytes } => {
            let digits = if bytes == 4 { 10 } else { 20 };
            DataType::Decimal128(digits, i8::try_from(scale).unwrap_or(0))
        }
        ColumnKind::Text(_) | ColumnKind::Hex | ColumnKind::Origin => DataType::Utf8,
        ColumnKind::Arrived => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
    }
}

/// Returns the names and types of a table's columns.
pub(in crate::format) fn schema(table: &Table) -> SchemaRef {
    let field = |column: &Column| {
        let is_nullable = column.kind != ColumnKind::Sequence;
        Field::new(column.name, data_type(column.kind), is_nullable)
    };
    Arc::new(Schema::new(table.columns().iter().map(field).collect::<Vec<_>>()))
}

/// Values of a column that is being filled.
enum Values {
    Signed(Int64Builder),
    Short(UInt16Builder),
    Medium(UInt32Builder),
    Long(UInt64Builder),
    Price(Decimal128Builder),
    Text(StringBuilder),
    Time(TimestampNanosecondBuilder),
}

impl Values {
    fn new(kind: ColumnKind) -> Self {
        match data_type(kind) {
            DataType::Int64 => Self::Signed(Int64Builder::new()),
            DataType::UInt16 => Self::Short(UInt16Builder::new()),
            DataType::UInt32 => Self::Medium(UInt32Builder::new()),
            DataType::UInt64 => Self::Long(UInt64Builder::new()),
            price @ DataType::Decimal128(..) => {
                Self::Price(Decimal128Builder::new().with_data_type(price))
            }
            DataType::Timestamp(..) => {
                Self::Time(TimestampNanosecondBuilder::new().with_timezone("UTC"))
            }
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn append_nulls(&mut self, count: usize) {
        match self {
            Self::Signed(values) => values.append_nulls(count),
            Self::Short(values) => values.append_nulls(count),
            Self::Medium(values) => values.append_nulls(count),
            Self::Long(values) => values.append_nulls(count),
            Self::Price(values) => values.append_nulls(count),
            Self::Text(values) => values.append_nulls(count),
            Self::Time(values) => values.append_nulls(count),
        }
    }

    /// Appends a value. Returns the number of bytes of a text.
    fn append(&mut self, cell: &Cell<'_>) -> io::Result<usize> {
        let number = match *cell {
            Cell::Integer(number) => number,
            Cell::Price { units, .. } => units,
            Cell::Text(bytes) | Cell::Hex(bytes) => {
                let Self::Text(values) = self else { return Err(unfit()) };
                match (cell, str::from_utf8(bytes)) {
                    (Cell::Text(_), Ok(text)) if text.is_ascii() => values.append_value(text),
                    (Cell::Text(_), _) => {
                        values.append_value(
                            bytes.iter().copied().map(char::from).collect::<String>(),
                        );
                    }
                    _ => {
                        bytes
                            .iter()
                            .try_for_each(|byte| write!(values, "{byte:02x}"))
                            .map_err(io::Error::other)?;
                        values.append_value("");
                    }
                }
                return Ok(bytes.len());
            }
        };
        match self {
            Self::Signed(values) => {
                values.append_value(i64::try_from(number).map_err(|_| unfit())?);
            }
            Self::Short(values) => {
                values.append_value(u16::try_from(number).map_err(|_| unfit())?);
            }
            Self::Medium(values) => {
                values.append_value(u32::try_from(number).map_err(|_| unfit())?);
            }
            Self::Long(values) => values.append_value(number),
            Self::Price(values) => values.append_value(number.into()),
            Self::Time(values) => {
                values.append_value(i64::try_from(number).map_err(|_| unfit())?);
            }
            Self::Text(_) => return Err(unfit()),
        }
        Ok(0)
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Signed(values) => Arc::new(values.finish()),
            Self::Short(values) => Arc::new(values.finish()),
            Self::Medium(values) => Arc::new(values.finish()),
            Self::Long(values) => Arc::new(values.finish()),
            Self::Price(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
        }
    }
}

/// Returns the error of a value that its column cannot hold.
fn unfit() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a value does not fit its column")
}

/// Columns that are being filled.
pub(in crate::format) struct TableBuilder {
    table: &'static Table,
    schema: SchemaRef,
    /// Values of each column, and their number.
    values: Vec<(Values, usize)>,
    rows: usize,
    text_bytes: usize,
}

impl TableBuilder {
    pub(in crate::format) fn new(table: &'static Table) -> Self {
        let values = table.columns().iter().map(|column| (Values::new(column.kind), 0)).collect();
        Self { table, schema: schema(table), values, rows: 0, text_bytes: 0 }
    }
}

impl BatchBuilder for TableBuilder {
    fn put(
        &mut self,
        messages: Messages<'_>,
        arrival: Arrival,
        full: BatchConsumer<'_>,
    ) -> io::Result<()> {
        let origin = arrival.origin_text();
        for message in messages.iter() {
            let row = Row::of(message, arrival, origin.as_deref());
            let Self { table, values, rows, text_bytes, .. } = self;
            table.cells(&row, always_exact, &mut |column, cell| {
                let (values, len) = &mut values[column];
                // Null is what the rows between have.
                values.append_nulls(*rows - *len);
                *text_bytes += values.append(&cell)?;
                *len = *rows + 1;
                Ok(())
            })?;
            self.rows += 1;
            if self.rows == ROWS || self.text_bytes >= TEXT_BYTES {
                full(&self.take()?)?;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.text_bytes = 0;
        let finish = |(values, len): &mut (Values, usize)| {
            values.append_nulls(rows - std::mem::take(len));
            values.finish()
        };
        let columns = self.values.iter_mut().map(finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(columns::failed)
    }
}

/// Checks that the columns of a table that a file has are there once, and of types that can be
/// read.
pub(in crate::format) fn check(schema: &Schema, table: &Table) -> Result<(), ReadError> {
    for column in table.columns() {
        let mut found = schema.fields().iter().filter(|field| field.name() == column.name);
        let Some(field) = found.next() else { continue };
        let (name, kind) = (column.name, field.data_type());
        if found.next().is_some() {
            return Err(ReadError::Content(format!("there are two columns {name}")));
        }
        let (is_readable, expected) = match column.kind {
            ColumnKind::Text(_) | ColumnKind::Hex | ColumnKind::Origin => {
                (columns::is_text_column(kind), "text")
            }
            _ => (columns::is_number(kind), "a number"),
        };
        if !is_readable {
            return Err(ReadError::Content(format!("column {name} is {kind}, not {expected}")));
        }
    }
    Ok(())
}

/// Number of any type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::format) enum Number {
    /// Whole number.
    Integer(i128),
    /// Number without its point, and the number of digits behind it.
    Decimal(i128, i8),
    /// Floating-point number.
    Float(f64),
}

impl Number {
    /// Returns the number in units of its digit `scale` behind the point.
    fn units(self, scale: u32) -> Option<u64> {
        let power = |power: u32| 10i128.checked_pow(power);
        match self {
            Self::Integer(number) => u64::try_from(number.checked_mul(power(scale)?)?).ok(),
            Self::Decimal(number, digits) => {
                let more = i32::try_from(scale).ok()? - i32::from(digits);
                let factor = power(more.unsigned_abs())?;
                let units = match more {
                    0.. => number.checked_mul(factor)?,
                    _ if number % factor == 0 => number / factor,
                    _ => return None,
                };
                u64::try_from(units).ok()
            }
            Self::Float(number) => float_units(number, scale),
        }
    }
}

/// Column of a batch.
enum TableColumn<'a> {
    Text(ValueColumn<'a, &'a str>),
    Number(ValueColumn<'a, Number>),
}

/// Values of one row of a batch.
struct BatchCells<'a, 'b> {
    columns: &'b [Option<TableColumn<'a>>],
    row: usize,
}

impl Cells for BatchCells<'_, '_> {
    fn integer(&self, column: usize) -> Result<Option<u64>, String> {
        self.price(column, 0)
    }

    fn price(&self, column: usize, scale: u32) -> Result<Option<u64>, String> {
        let Some(TableColumn::Number(values)) = &self.columns[column] else { return Ok(None) };
        let Some(number) = values.value(self.row)? else { return Ok(None) };
        if matches!(number, Number::Float(number) if number.is_nan()) {
            // pandas has no other null for numbers.
            return Ok(None);
        }
        let wrong = || format!("{number:?} is no number of up to {scale} decimals from 0");
        number.units(scale).map(Some).ok_or_else(wrong)
    }

    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>, String> {
        let Some(TableColumn::Text(values)) = &self.columns[column] else { return Ok(None) };
        Ok(values.value(self.row)?.map(Cow::Borrowed))
    }
}

/// Reader of batches.
pub(in crate::format) struct TableReader<'a, 'b> {
    table: &'static Table,
    message: Vec<u8>,
    batch: MessageBatch<'a, 'b>,
    /// Number of rows read.
    rows: u64,
}

impl<'a, 'b> TableReader<'a, 'b> {
    pub(in crate::format) fn new(table: &'static Table, each: &'a mut MessageConsumer<'b>) -> Self {
        Self { table, message: Vec::new(), batch: MessageBatch::new(each), rows: 0 }
    }

    /// Passes on the messages of a batch whose columns were [checked](check).
    ///
    /// # Errors
    /// Returns [`ReadError::Content`] with the number of a row that is no message, and failures of
    /// the function that takes messages.
    pub(in crate::format) fn read(&mut self, batch: &RecordBatch) -> Result<(), ReadError> {
        let column = |column: &Column| {
            let Some(values) = batch.column_by_name(column.name) else { return Ok(None) };
            let is_text =
                matches!(column.kind, ColumnKind::Text(_) | ColumnKind::Hex | ColumnKind::Origin);
            let length_max = match column.kind {
                ColumnKind::Hex => 2 * MESSAGE_MAX,
                _ => crate::format::bounded::VALUE_MAX,
            };
            Ok::<_, ReadError>(Some(match is_text {
                true => TableColumn::Text(ValueColumn::texts_up_to(&**values, length_max)?),
                false => TableColumn::Number(ValueColumn::<Number>::of(&**values)?),
            }))
        };
        let columns = self.table.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let cells = BatchCells { columns: &columns, row };
            let read = self.table.read_row(&cells, &mut self.message);
            let (seq, arrival) = read.map_err(|reason| in_row(self.rows, &reason))?;
            self.batch.push(seq, &self.message, arrival)?;
        }
        Ok(())
    }

    /// Hands on the rest of the messages.
    ///
    /// # Errors
    /// Failures of the function that takes messages.
    pub(in crate::format) fn finish(mut self) -> Result<(), ReadError> {
        Ok(self.batch.flush()?)
    }
}
