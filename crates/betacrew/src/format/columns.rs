//! Packets as columns of Arrow, which Arrow files and Parquet share.

use super::bounded::VALUE_MAX;
use super::column_values::ValueColumn;
use super::rows::{self, Batch, COLUMNS, packet};
use super::table::columns::TableReader;
use super::table::{self, Table};
use super::wide::{Wide, in_row};
use super::{Arrival, MessageConsumer, ReadError};
use arrow_array::builder::{
    Int32Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use feed::wire::Messages;
use feed::wire::packet::{Packet, Side};
use std::io;
use std::sync::Arc;

/// Number of rows that are written at once.
const ROWS: usize = 1 << 16;

/// Names and types of the columns.
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

/// Function that takes a full batch of rows.
pub(super) type BatchConsumer<'a> = &'a mut dyn FnMut(&RecordBatch) -> io::Result<()>;

/// Builder of batches of rows: packets ([`ColumnBuilder`]), or messages with the columns of their
/// payload ([`TableBuilder`](table::columns::TableBuilder)).
pub(super) trait BatchBuilder {
    /// Adds messages, and hands on each batch that is full.
    fn put(
        &mut self,
        messages: Messages<'_>,
        arrival: Arrival,
        full: BatchConsumer<'_>,
    ) -> io::Result<()>;

    /// Returns the rows so far as a batch, and begins another one.
    fn take(&mut self) -> io::Result<RecordBatch>;
}

/// Columns of packets that are being filled.
pub(super) struct ColumnBuilder {
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

impl ColumnBuilder {
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

    fn row(&mut self, packet: &Packet) -> io::Result<()> {
        // Nearly all names are ASCII, the same text in Latin-1 and UTF-8.
        match str::from_utf8(packet.symbol.trimmed()) {
            Ok(name) if name.is_ascii() => self.symbol.append_value(name),
            _ => self.symbol.append_value(packet.symbol.to_string()),
        }
        self.side.append_value(if packet.side == Side::Buy { "B" } else { "S" });
        self.quantity.append_value(packet.quantity);
        self.price.append_value(packet.price);
        self.sequence.append_value(rows::short_sequence(packet.sequence)?);
        Ok(())
    }
}

impl BatchBuilder for ColumnBuilder {
    fn put(
        &mut self,
        messages: Messages<'_>,
        arrival: Arrival,
        full: BatchConsumer<'_>,
    ) -> io::Result<()> {
        let (time, origin) = (arrival.time(), arrival.origin_text());
        let mut rest = messages.packets();
        while !rest.is_empty() {
            let fitting;
            (fitting, rest) = rest.split_at(rest.len().min(ROWS - self.rows));
            for frame in fitting {
                self.row(&packet(frame)?)?;
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

    fn take(&mut self) -> io::Result<RecordBatch> {
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

pub(super) fn fault(error: ArrowError) -> ReadError {
    match error {
        ArrowError::IoError(_, error) => io_fault(error),
        other => ReadError::Content(other.to_string()),
    }
}

/// Distinguishes errors of the system, which have a number, from those of decompressors.
pub(super) fn io_fault(error: io::Error) -> ReadError {
    match error.raw_os_error() {
        Some(_) => error.into(),
        None => ReadError::Content(error.to_string()),
    }
}

/// Returns the names of the columns to read: those of a table of messages, or those of order
/// packets.
pub(super) fn names(table: Option<&Table>) -> Vec<&'static str> {
    match table {
        Some(table) => table.columns().iter().map(|column| column.name).collect(),
        None => COLUMNS.to_vec(),
    }
}

/// Checks that a table has the columns of messages, each once and of a type that can be read.
/// Returns the table of messages; `None` for order packets.
pub(super) fn check(schema: &Schema) -> Result<Option<&'static Table>, ReadError> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    match Table::named(names) {
        Some(table) => table::columns::check(schema, table).map(|()| Some(table)),
        None => check_packets(schema).map(|()| None),
    }
}

/// Reader of the rows of batches, by their payload.
pub(super) enum ColumnRows<'a, 'b> {
    /// Order packets, and the number of rows read.
    Orders(Batch<'a, 'b>, u64),
    /// Messages of any length.
    Messages(TableReader<'a, 'b>),
}

impl<'a, 'b> ColumnRows<'a, 'b> {
    pub(super) fn new(table: Option<&'static Table>, each: &'a mut MessageConsumer<'b>) -> Self {
        match table {
            Some(table) => Self::Messages(TableReader::new(table, each)),
            None => Self::Orders(Batch::new(each), 0),
        }
    }

    /// Passes on the rows of columns that were [checked](check).
    pub(super) fn read(&mut self, columns: &RecordBatch) -> Result<(), ReadError> {
        match self {
            Self::Orders(batch, rows) => read(columns, rows, batch),
            Self::Messages(reader) => reader.read(columns),
        }
    }

    /// Passes on the rest of the rows.
    pub(super) fn finish(self) -> Result<(), ReadError> {
        match self {
            Self::Orders(mut batch, _) => Ok(batch.flush()?),
            Self::Messages(reader) => reader.finish(),
        }
    }
}

/// Checks that a table has the columns of packets.
fn check_packets(schema: &Schema) -> Result<(), ReadError> {
    for (at, name) in COLUMNS.into_iter().enumerate() {
        let mut found = schema.fields().iter().filter(|field| field.name() == name);
        let Some(field) = found.next() else {
            // The last two columns are optional.
            match at {
                5.. => continue,
                _ => return Err(ReadError::Content(format!("there is no column {name}"))),
            }
        };
        if found.next().is_some() {
            return Err(ReadError::Content(format!("there are two columns {name}")));
        }
        let kind = field.data_type();
        let (readable, expected) = match at {
            0 | 1 | 6 => (is_text(value_type(kind)), "text"),
            5 => (is_integer(value_type(kind)) || is_time(kind), "an integer or a time"),
            _ => (is_integer(value_type(kind)), "an integer"),
        };
        if !readable {
            return Err(ReadError::Content(format!("column {name} is {kind}, not {expected}")));
        }
    }
    Ok(())
}

/// Returns the type of the values in a dictionary.
fn value_type(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => values,
        plain => plain,
    }
}

fn is_text(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Null, Utf8, Utf8View};
    match kind {
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | Null => true,
        // Even a null takes as many bytes.
        DataType::FixedSizeBinary(len) => usize::try_from(*len).is_ok_and(|len| len <= VALUE_MAX),
        _ => false,
    }
}

fn is_integer(kind: &DataType) -> bool {
    kind.is_integer() || *kind == DataType::Null
}

/// Returns whether a column of a table of messages has texts.
pub(super) fn is_text_column(kind: &DataType) -> bool {
    is_text(value_type(kind))
}

/// Returns whether a column of a table of messages has numbers.
pub(super) fn is_number(kind: &DataType) -> bool {
    let values = value_type(kind);
    let is_float = matches!(values, DataType::Float32 | DataType::Float64);
    is_integer(values) || is_time(values) || is_float || matches!(values, DataType::Decimal128(..))
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..))
}

/// Returns the type that a column of text is decoded as: bytes, which [`text`] checks.
///
/// The decoder's own check of text takes as long as its views are, and millions of views may show
/// the same megabytes.
pub(super) fn undecoded(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::Dictionary(keys, values) => {
            DataType::Dictionary(keys.clone(), Box::new(undecoded(values)))
        }
        other => other.clone(),
    }
}

/// Passes on the rows of columns that were [checked](check); `number` counts them.
pub(super) fn read(
    columns: &RecordBatch,
    number: &mut u64,
    batch: &mut Batch<'_, '_>,
) -> Result<(), ReadError> {
    let column = |at: usize| columns.column_by_name(COLUMNS[at]).map(|column| &**column);
    let text = |at: usize| column(at).map(ValueColumn::<&str>::of).transpose();
    let integer = |at: usize| column(at).map(ValueColumn::<i64>::of).transpose();
    let [symbol, side, origin] = [text(0)?, text(1)?, text(6)?];
    let [quantity, price, sequence] = [integer(2)?, integer(3)?, integer(4)?];
    let arrived = integer(5)?;
    let wide = |row: usize| -> Result<Wide<'_>, String> {
        Ok(Wide {
            symbol: needed(&symbol, 0, row)?,
            side: needed(&side, 1, row)?,
            quantity: needed(&quantity, 2, row)?,
            price: needed(&price, 3, row)?,
            sequence: needed(&sequence, 4, row)?,
            arrived: cell(&arrived, 5, row)?,
            origin: cell(&origin, 6, row)?,
        })
    };
    for row in 0..columns.num_rows() {
        *number += 1;
        let narrow = wide(row).and_then(|row| row.narrow());
        let (packet, arrival) = narrow.map_err(|reason| in_row(*number, &reason))?;
        batch.push(packet, arrival)?;
    }
    Ok(())
}

/// Returns the value of a row in a column, by its index in [`COLUMNS`].
fn cell<T>(
    column: &Option<ValueColumn<'_, T>>,
    at: usize,
    row: usize,
) -> Result<Option<T>, String> {
    let Some(column) = column else { return Ok(None) };
    column.value(row).map_err(|reason| format!("{} {reason}", COLUMNS[at]))
}

fn needed<T>(column: &Option<ValueColumn<'_, T>>, at: usize, row: usize) -> Result<T, String> {
    cell(column, at, row)?.ok_or_else(|| format!("{} is null", COLUMNS[at]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use arrow_array::Array;
    use arrow_array::types::{Int8Type as Key, Int64Type, UInt64Type};
    use arrow_array::{
        BinaryViewArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int8Array,
        Int16Array, Int64Array, LargeBinaryArray, LargeStringArray, ListArray, NullArray,
        StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampSecondArray, UInt8Array, UInt16Array, UInt64Array,
    };
    use feed::wire::Messages;

    /// Returns the rows of these columns.
    fn rows(columns: &[(&str, ArrayRef)]) -> Result<Vec<(Packet, Arrival)>, ReadError> {
        let columns = RecordBatch::try_from_iter_with_nullable(
            columns.iter().map(|(name, column)| (*name, Arc::clone(column), true)),
        );
        let columns = columns.unwrap();
        let mut rows = Vec::new();
        check(&columns.schema())?;
        let mut take = |messages: Messages<'_>, arrival| -> Result<(), Failure> {
            rows.extend(messages.packets().iter().map(|frame| (packet(frame).unwrap(), arrival)));
            Ok(())
        };
        let mut batch = Batch::new(&mut take);
        read(&columns, &mut 0, &mut batch)?;
        batch.flush()?;
        Ok(rows)
    }

    fn complaint(columns: &[(&str, ArrayRef)]) -> String {
        match rows(columns) {
            Err(ReadError::Content(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn text(texts: [Option<&str>; 2]) -> ArrayRef {
        Arc::new(texts.into_iter().collect::<LargeStringArray>())
    }

    fn number(numbers: [i64; 2]) -> ArrayRef {
        Arc::new(Int64Array::from(numbers.to_vec()))
    }

    fn good() -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("symbol", text([Some("A"), Some("B")])),
            ("buySellIndicator", text([Some("B"), Some("S")])),
            ("quantity", number([1, 2])),
            ("price", number([1, 2])),
            ("sequence", number([1, 2])),
            ("arrived", number([7_000_000_000, 0])),
            ("origin", text([None, None])),
        ]
    }

    fn with(at: usize, column: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
        let mut columns = good();
        columns[at].1 = column;
        columns
    }

    #[test]
    fn every_type_of_another_writer_is_read() {
        let expected = rows(&good()).unwrap();
        let symbols: [ArrayRef; 7] = [
            Arc::new(StringArray::from(vec!["A", "B"])),
            Arc::new(StringViewArray::from(vec!["A", "B"])),
            Arc::new(LargeBinaryArray::from(vec![&b"A"[..], b"B"])),
            Arc::new(BinaryViewArray::from(vec![&b"A"[..], b"B"])),
            Arc::new(FixedSizeBinaryArray::try_from_iter([b"A   ", b"B   "].into_iter()).unwrap()),
            Arc::new(vec!["A", "B"].into_iter().collect::<DictionaryArray<Key>>()),
            Arc::new(vec!["A", "B"].into_iter().collect::<DictionaryArray<UInt64Type>>()),
        ];
        for symbol in symbols {
            let kind = symbol.data_type().clone();
            assert_eq!(rows(&with(0, symbol)).unwrap(), expected, "{kind}");
        }
        let values = Arc::new(Int16Array::from(vec![2, 1]));
        let keyed = DictionaryArray::<Key>::new(Int8Array::from(vec![1, 0]), values);
        let numbers: [ArrayRef; 6] = [
            Arc::new(Int8Array::from(vec![1, 2])),
            Arc::new(Int16Array::from(vec![1, 2])),
            Arc::new(UInt8Array::from(vec![1, 2])),
            Arc::new(UInt16Array::from(vec![1, 2])),
            Arc::new(UInt64Array::from(vec![1, 2])),
            Arc::new(keyed),
        ];
        for number in numbers {
            let kind = number.data_type().clone();
            for at in 2..5 {
                assert_eq!(rows(&with(at, Arc::clone(&number))).unwrap(), expected, "{kind}");
            }
        }
        let times: [ArrayRef; 3] = [
            Arc::new(TimestampSecondArray::from(vec![Some(7), None])),
            Arc::new(TimestampMillisecondArray::from(vec![7_000, 0]).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(7_000_000), None])),
        ];
        for time in times {
            let kind = time.data_type().clone();
            assert_eq!(rows(&with(5, time)).unwrap(), expected, "{kind}");
        }
        // What pandas makes of a column without a value.
        assert_eq!(rows(&with(6, Arc::new(NullArray::new(2)))).unwrap(), expected);
    }

    #[test]
    fn errors_say_where() {
        let complain = |at: usize, column: ArrayRef| complaint(&with(at, column));
        assert_eq!(complaint(&good()[..4]), "there is no column sequence");
        let twice = [&good()[..], &good()[2..3]].concat();
        assert_eq!(complaint(&twice), "there are two columns quantity");
        assert_eq!(complain(0, number([1, 2])), "column symbol is Int64, not text");
        let floats = Arc::new(Float64Array::from(vec![1.0, 2.0]));
        assert_eq!(complain(3, floats), "column price is Float64, not an integer");
        let times = Arc::new(TimestampSecondArray::from(vec![1, 2]));
        assert!(complain(4, times).starts_with("column sequence is Timestamp(s), not an integer"));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1)]),
            Some(vec![]),
        ]));
        assert!(complain(2, lists).starts_with("column quantity is List("));
        assert_eq!(complain(0, text([Some("A"), None])), "row 2: symbol is null");
        assert_eq!(complain(0, Arc::new(NullArray::new(2))), "row 1: symbol is null");
        assert!(
            complain(1, text([Some("B"), Some("b")])).starts_with("row 2: buySellIndicator is")
        );
        let bytes = Arc::new(LargeBinaryArray::from(vec![&b"A"[..], b"\xff"]));
        assert_eq!(complain(0, bytes), "row 2: symbol is not UTF-8 text");
        for (len, reason) in
            [(VALUE_MAX, "row 1: origin is \""), (VALUE_MAX + 1, "row 1: origin has")]
        {
            let long = "x".repeat(len);
            let message = complain(6, text([Some(&long), None]));
            assert!(message.starts_with(reason), "{len}: {message}");
        }
        assert_eq!(
            complain(2, number([1, 1 << 31])),
            "row 2: quantity 2147483648 does not fit in 32 bits"
        );
        let large = Arc::new(UInt64Array::from(vec![1 << 63, 1]));
        assert_eq!(
            complain(4, large),
            "row 1: sequence 9223372036854775808 does not fit in 64 bits"
        );
        assert_eq!(complain(4, number([0, 1])), "row 1: sequence 0 is not in 1..2147483647");
        let late = Arc::new(TimestampSecondArray::from(vec![9_223_372_037, 0]));
        assert!(complain(5, late).starts_with("row 1: arrived 9223372037 is beyond the years"));
        let keys = Int8Array::from(vec![0, 1]);
        let values = Arc::new(StringArray::from(vec!["A"]));
        assert!(DictionaryArray::<Key>::try_new(keys, values).is_err());
    }
}
