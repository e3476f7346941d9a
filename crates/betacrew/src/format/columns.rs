//! Packets as columns of Arrow, which Arrow files and Parquet share.

use super::rows::{Batch, COLUMNS, packet};
use super::wide::{Wide, in_row};
use super::{Arrival, Fault};
use arrow_array::builder::{
    Int32Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, TimestampNanosecondArray, UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use feed::packet::{Packet, Side};
use feed::wire::RawFrame;
use std::io;
use std::sync::Arc;

/// So many rows are handed to a file at once.
const ROWS: usize = 1 << 16;

/// The columns' names and types.
pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let types = [
        (DataType::Utf8, false),
        (DataType::Utf8, false),
        (DataType::Int32, false),
        (DataType::Int32, false),
        (DataType::UInt32, false),
        (time, true),
        (DataType::Utf8, true),
    ];
    let field = |(name, (kind, nullable))| Field::new(name, kind, nullable);
    Arc::new(Schema::new(COLUMNS.into_iter().zip(types).map(field).collect::<Vec<_>>()))
}

/// Columns that are being filled.
pub(super) struct Builder {
    schema: SchemaRef,
    symbol: StringBuilder,
    side: StringBuilder,
    quantity: Int32Builder,
    price: Int32Builder,
    sequence: UInt32Builder,
    arrived: TimestampNanosecondBuilder,
    origin: StringBuilder,
    rows: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            schema: schema(),
            symbol: StringBuilder::new(),
            side: StringBuilder::new(),
            quantity: Int32Builder::new(),
            price: Int32Builder::new(),
            sequence: UInt32Builder::new(),
            arrived: TimestampNanosecondBuilder::new().with_timezone("UTC"),
            origin: StringBuilder::new(),
            rows: 0,
        }
    }

    /// Takes packets, and hands them on once they are many.
    pub(super) fn put(
        &mut self,
        frames: &[RawFrame],
        arrival: Arrival,
        mut full: impl FnMut(&RecordBatch) -> io::Result<()>,
    ) -> io::Result<()> {
        let (time, origin) = (arrival.time(), arrival.origin_text());
        let mut rest = frames;
        while !rest.is_empty() {
            let fitting;
            (fitting, rest) = rest.split_at(rest.len().min(ROWS - self.rows));
            for frame in fitting {
                self.row(&packet(frame)?);
            }
            match time {
                Some(time) => self.arrived.append_value_n(time, fitting.len()),
                None => self.arrived.append_nulls(fitting.len()),
            }
            match &origin {
                Some(origin) => fitting.iter().for_each(|_| self.origin.append_value(origin)),
                None => self.origin.append_nulls(fitting.len()),
            }
            self.rows += fitting.len();
            if self.rows == ROWS {
                full(&self.take()?)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, packet: &Packet) {
        // Nearly all names are ASCII, the same text in Latin-1 and UTF-8.
        match str::from_utf8(packet.symbol.trimmed()) {
            Ok(name) if name.is_ascii() => self.symbol.append_value(name),
            _ => self.symbol.append_value(packet.symbol.to_string()),
        }
        self.side.append_value(if packet.side == Side::Buy { "B" } else { "S" });
        self.quantity.append_value(packet.quantity);
        self.price.append_value(packet.price);
        self.sequence.append_value(packet.sequence);
    }

    /// What there is.
    pub(super) fn take(&mut self) -> io::Result<RecordBatch> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.symbol.finish()),
            Arc::new(self.side.finish()),
            Arc::new(self.quantity.finish()),
            Arc::new(self.price.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.arrived.finish()),
            Arc::new(self.origin.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)
    }
}

pub(super) fn failed(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}

pub(super) fn fault(error: ArrowError) -> Fault {
    match error {
        ArrowError::IoError(_, error) => error.into(),
        other => Fault::Content(other.to_string()),
    }
}

/// Hands on the rows of columns; `number` counts them.
pub(super) fn read(
    columns: &RecordBatch,
    number: &mut u64,
    batch: &mut Batch<'_, '_>,
) -> Result<(), Fault> {
    let [symbol, side] = [0, 1].map(|at| Texts::of(columns, COLUMNS[at]));
    let [quantity, price, sequence] = [2, 3, 4].map(|at| Integers::of(columns, COLUMNS[at]));
    let (symbol, side) = (needed(0, symbol?)?, needed(1, side?)?);
    let (quantity, price, sequence) =
        (needed(2, quantity?)?, needed(3, price?)?, needed(4, sequence?)?);
    let (arrived, origin) = (Integers::of(columns, COLUMNS[5])?, Texts::of(columns, COLUMNS[6])?);
    for row in 0..columns.num_rows() {
        *number += 1;
        let null = |at: usize| in_row(*number, &format!("{} is null", COLUMNS[at]));
        let (packet, arrival) = Wide {
            symbol: symbol.get(row).ok_or_else(|| null(0))?,
            side: side.get(row).ok_or_else(|| null(1))?,
            quantity: quantity.get(row).ok_or_else(|| null(2))?,
            price: price.get(row).ok_or_else(|| null(3))?,
            sequence: sequence.get(row).ok_or_else(|| null(4))?,
            arrived: arrived.as_ref().and_then(|column| column.get(row)),
            origin: origin.as_ref().and_then(|column| column.get(row)),
        }
        .narrow()
        .map_err(|reason| in_row(*number, &reason))?;
        batch.push(packet, arrival)?;
    }
    Ok(())
}

fn needed<T>(at: usize, column: Option<T>) -> Result<T, Fault> {
    column.ok_or_else(|| Fault::Content(format!("there is no column {}", COLUMNS[at])))
}

fn mistyped(name: &str, column: &ArrayRef, expected: &str) -> Fault {
    Fault::Content(format!("column {name} is {}, not {expected}", column.data_type()))
}

/// A column of text, as different writers store it.
enum Texts<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    fn of(columns: &'a RecordBatch, name: &str) -> Result<Option<Self>, Fault> {
        let Some(column) = columns.column_by_name(name) else { return Ok(None) };
        let found = column.as_string_opt::<i32>().map(Self::Small);
        let found = found.or_else(|| column.as_string_opt::<i64>().map(Self::Large));
        let found = found.or_else(|| column.as_string_view_opt().map(Self::View));
        found.map(Some).ok_or_else(|| mistyped(name, column, "text"))
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Small(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Large(column) => column.is_valid(row).then(|| column.value(row)),
            Self::View(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// A column of integers or times.
enum Integers<'a> {
    Small(&'a Int32Array),
    Unsigned(&'a UInt32Array),
    Large(&'a Int64Array),
    Time(&'a TimestampNanosecondArray),
}

impl<'a> Integers<'a> {
    fn of(columns: &'a RecordBatch, name: &str) -> Result<Option<Self>, Fault> {
        let Some(column) = columns.column_by_name(name) else { return Ok(None) };
        let found = column.as_primitive_opt::<Int32Type>().map(Self::Small);
        let found = found.or_else(|| column.as_primitive_opt::<UInt32Type>().map(Self::Unsigned));
        let found = found.or_else(|| column.as_primitive_opt::<Int64Type>().map(Self::Large));
        let time = || column.as_primitive_opt::<TimestampNanosecondType>().map(Self::Time);
        let expected = "an integer or a time in nanoseconds";
        found.or_else(time).map(Some).ok_or_else(|| mistyped(name, column, expected))
    }

    fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Small(column) => column.is_valid(row).then(|| column.value(row).into()),
            Self::Unsigned(column) => column.is_valid(row).then(|| column.value(row).into()),
            Self::Large(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Time(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Float64Array;

    fn complaint(columns: &[(&str, ArrayRef)]) -> String {
        let columns = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
        match read(&columns, &mut 0, &mut Batch::new(&mut |_, _| Ok(()))) {
            Err(Fault::Content(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_say_where() {
        let text = |texts: [Option<&str>; 2]| -> ArrayRef {
            Arc::new(texts.into_iter().collect::<LargeStringArray>())
        };
        let number =
            |numbers: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(numbers.to_vec())) };
        let good = [
            ("symbol", text([Some("A"), Some("B")])),
            ("buySellIndicator", text([Some("B"), Some("S")])),
            ("quantity", number([1, 2])),
            ("price", number([1, 2])),
            ("sequence", number([1, 2])),
        ];
        let with = |at: usize, column: ArrayRef| {
            let mut columns = good.clone();
            columns[at].1 = column;
            complaint(&columns)
        };
        assert_eq!(complaint(&good[..4]), "there is no column sequence");
        assert_eq!(with(0, number([1, 2])), "column symbol is Int64, not text");
        let floats = Arc::new(Float64Array::from(vec![1.0, 2.0]));
        assert!(with(3, floats).starts_with("column price is Float64, not an integer"));
        assert_eq!(with(0, text([Some("A"), None])), "row 2: symbol is null");
        assert!(with(1, text([Some("B"), Some("b")])).starts_with("row 2: buySellIndicator is"));
        assert_eq!(
            with(2, number([1, 1 << 31])),
            "row 2: quantity 2147483648 does not fit in 32 bits"
        );
        assert_eq!(with(4, number([0, 1])), "row 1: sequence 0 is not in 1..2147483647");
    }
}
