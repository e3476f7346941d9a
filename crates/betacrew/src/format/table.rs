//! Table of messages: one row a message, and one column for each name that a field of the payload
//! has. All formats make their columns from it, so that no format has a list of its own.

#[cfg(feature = "columnar")]
pub(super) mod columns;
pub(super) mod csv;
pub(super) mod json;
mod read;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;
mod text;

pub(super) use read::{Cells, MessageBatch, float_units};

use super::Arrival;
use super::payload::{Payload, parsed};
use feed::base::seq::Seq;
use feed::payload::itch50::{Field, Kind, TYPES, Value};
use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;

/// Name of the first column of every table.
pub(super) const SEQUENCE: &str = "sequence";
/// Name of the column of ITCH with the letter of the message's type.
pub(super) const MESSAGE_TYPE: &str = "message_type";
/// Name of the column of opaque messages with their length in bytes.
const LENGTH: &str = "length";
/// Name of the column with all bytes of a message as hexadecimal digits.
pub(super) const HEX: &str = "hex";

/// Number of columns behind the message: its arrival time and its origin.
const ARRIVAL_COLUMNS: usize = 2;

/// Largest number that 64-bit floating-point numbers hold together with all smaller ones, as
/// decimals of 15 digits. Formats whose decimals are read as floating-point numbers hold no larger
/// ones exactly.
pub(super) const FLOAT_UNITS_MAX: u64 = 1_000_000_000_000_000;

/// Type of a column's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ColumnKind {
    /// Sequence, from 1.
    Sequence,
    /// Unsigned number; the value is its length in bytes: 2, 4 or 8.
    Integer(usize),
    /// Nanoseconds since midnight.
    TimeOfDay,
    /// Price with this many digits behind the point, which an unsigned number of this many bytes
    /// holds without the point.
    Price {
        /// Number of digits behind the point.
        scale: u32,
        /// Number of bytes: 4 or 8.
        bytes: usize,
    },
    /// Text of at most this many bytes, each of which is the character of the same number.
    Text(usize),
    /// Bytes as hexadecimal digits.
    Hex,
    /// Nanoseconds since 1970 (UTC).
    Arrived,
    /// Origin of the message, such as `pass 1`.
    Origin,
}

/// Column of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Column {
    /// Name of the column.
    pub(super) name: &'static str,
    /// Type of the column's values.
    pub(super) kind: ColumnKind,
}

/// Value of one row in one column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell<'a> {
    /// Number.
    Integer(u64),
    /// Price in units of the last digit behind the point.
    Price {
        /// Number of units.
        units: u64,
        /// Number of digits behind the point.
        scale: u32,
    },
    /// Text; each byte is the character of the same number.
    Text(&'a [u8]),
    /// Bytes to be written as hexadecimal digits.
    Hex(&'a [u8]),
}

/// Returns whether a floating-point number holds the value exactly, if it is a price.
pub(super) fn has_exact_float(cell: &Cell<'_>) -> bool {
    !matches!(cell, Cell::Price { units, .. } if *units >= FLOAT_UNITS_MAX)
}

/// Message with all that a row says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Sequence of the message.
    pub(super) seq: Seq,
    /// Bytes of the message.
    pub(super) message: &'a [u8],
    /// Arrival time in nanoseconds since 1970, if it is known.
    pub(super) arrived: Option<i64>,
    /// Origin of the message, if it is known.
    pub(super) origin: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// Returns the row of a message that arrived like this; `origin` is the text of its origin.
    pub(super) fn of(
        (seq, message): (Seq, &'a [u8]),
        arrival: Arrival,
        origin: Option<&'a str>,
    ) -> Self {
        Self { seq, message, arrived: arrival.time(), origin }
    }
}

/// Field of a message type, and its column.
#[derive(Clone, Copy, Debug)]
struct FieldColumn {
    column: usize,
    field: &'static Field,
}

/// Columns of a payload.
#[derive(Debug)]
pub(super) struct Table {
    payload: Payload,
    columns: Vec<Column>,
    by_name: HashMap<&'static str, usize>,
    /// Fields of each message type by its letter, in the order of their columns.
    types: HashMap<u8, Vec<FieldColumn>>,
    /// Index of the column [`HEX`].
    hex: usize,
}

static ITCH50: LazyLock<Table> = LazyLock::new(Table::itch50);
static OPAQUE: LazyLock<Table> = LazyLock::new(|| {
    let columns = vec![Column { name: LENGTH, kind: ColumnKind::Integer(4) }];
    Table::new(Payload::Opaque, columns)
});

impl Table {
    /// Returns the table of a payload; `None` for order packets, whose columns are
    /// [others](super::rows::COLUMNS).
    pub(super) fn of(payload: Payload) -> Option<&'static Self> {
        match payload {
            Payload::Orders => None,
            Payload::Itch50 => Some(&ITCH50),
            Payload::Opaque => Some(&OPAQUE),
        }
    }

    /// Returns the table whose columns have these names; `None` if no table has them.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'static Self> {
        let mut found = None;
        for name in names {
            match name {
                MESSAGE_TYPE => return Some(&ITCH50),
                HEX => found = Some(&*OPAQUE),
                _ => {}
            }
        }
        found
    }

    /// Returns the table with the columns between the sequence and the hexadecimal digits.
    fn new(payload: Payload, columns: Vec<Column>) -> Self {
        let mut all = vec![Column { name: SEQUENCE, kind: ColumnKind::Sequence }];
        all.extend(columns);
        let hex = all.len();
        all.push(Column { name: HEX, kind: ColumnKind::Hex });
        all.push(Column { name: "arrived", kind: ColumnKind::Arrived });
        all.push(Column { name: "origin", kind: ColumnKind::Origin });
        let by_name = all.iter().zip(0..).map(|(column, at)| (column.name, at)).collect();
        Self { payload, columns: all, by_name, types: HashMap::new(), hex }
    }

    fn itch50() -> Self {
        let mut columns = vec![Column { name: MESSAGE_TYPE, kind: ColumnKind::Text(1) }];
        for field in TYPES.iter().flat_map(|kind| kind.fields()) {
            let kind = kind_of(field);
            match columns.iter_mut().find(|column| column.name == field.name()) {
                Some(column) => column.kind = wider(column.kind, kind),
                None => columns.push(Column { name: field.name(), kind }),
            }
        }
        let mut table = Self::new(Payload::Itch50, columns);
        for kind in TYPES {
            let place = |field: &'static Field| {
                Some(FieldColumn { column: table.column(field.name())?, field })
            };
            let mut fields: Vec<FieldColumn> = kind.fields().iter().filter_map(place).collect();
            fields.sort_by_key(|field| field.column);
            table.types.insert(kind.letter(), fields);
        }
        table
    }

    /// Returns the columns in their order.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the columns without those of the arrival.
    fn message_columns(&self) -> &[Column] {
        &self.columns[..self.columns.len() - ARRIVAL_COLUMNS]
    }

    /// Returns the index of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Calls `put` with each cell of a row that is not null, in the order of the columns. If
    /// `is_exact` is false for one of them, the row has the hexadecimal digits of the message, too.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::InvalidData`] if the message does not fit the payload, and errors
    /// of `put`.
    pub(super) fn cells<'a>(
        &self,
        row: &Row<'a>,
        is_exact: fn(&Cell<'_>) -> bool,
        put: &mut impl FnMut(usize, Cell<'a>) -> io::Result<()>,
    ) -> io::Result<()> {
        put(0, Cell::Integer(row.seq))?;
        let has_hex = match self.payload {
            Payload::Itch50 => !self.itch_cells(row, is_exact, put)?,
            Payload::Orders | Payload::Opaque => {
                put(1, Cell::Integer(row.message.len() as u64))?;
                true
            }
        };
        if has_hex {
            put(self.hex, Cell::Hex(row.message))?;
        }
        if let Some(arrived) = row.arrived.and_then(|at| u64::try_from(at).ok()) {
            put(self.hex + 1, Cell::Integer(arrived))?;
        }
        match row.origin {
            Some(origin) => put(self.hex + 2, Cell::Text(origin.as_bytes())),
            None => Ok(()),
        }
    }

    /// Calls `put` with the fields of an ITCH message. Returns whether they say all of it.
    fn itch_cells<'a>(
        &self,
        row: &Row<'a>,
        is_exact: fn(&Cell<'_>) -> bool,
        put: &mut impl FnMut(usize, Cell<'a>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let message = row.message;
        let is_known = parsed(row.seq, message)?.message_type().is_some();
        put(1, Cell::Text(&message[..1]))?;
        let fields = message.first().and_then(|letter| self.types.get(letter));
        let mut are_exact = is_known;
        for FieldColumn { column, field } in fields.into_iter().flatten() {
            let Some(value) = field.value(message) else { continue };
            let cell = match value {
                Value::Integer(number) => Cell::Integer(number),
                Value::Price4(price) => Cell::Price { units: price.0.into(), scale: 4 },
                Value::Price8(price) => Cell::Price { units: price.0, scale: 8 },
                Value::Time(time) => Cell::Integer(time.nanos()),
                Value::Letter(_) => Cell::Text(&message[field.offset()..=field.offset()]),
                Value::Text(text) => Cell::Text(text),
            };
            are_exact &= is_exact(&cell);
            put(*column, cell)?;
        }
        Ok(are_exact)
    }
}

/// Returns the type of the column that a field needs.
fn kind_of(field: &Field) -> ColumnKind {
    match field.kind() {
        Kind::Integer => ColumnKind::Integer(field.width()),
        Kind::Price4 => ColumnKind::Price { scale: 4, bytes: 4 },
        Kind::Price8 => ColumnKind::Price { scale: 8, bytes: 8 },
        Kind::Time => ColumnKind::TimeOfDay,
        Kind::Letter | Kind::Text => ColumnKind::Text(field.width()),
    }
}

/// Returns the type that holds the values of two fields of the same name.
fn wider(one: ColumnKind, other: ColumnKind) -> ColumnKind {
    match (one, other) {
        (ColumnKind::Integer(one), ColumnKind::Integer(other)) => {
            ColumnKind::Integer(one.max(other))
        }
        (ColumnKind::Text(one), ColumnKind::Text(other)) => ColumnKind::Text(one.max(other)),
        // A test checks that fields of one name agree in all other cases.
        _ => one,
    }
}

/// Exactness of formats that hold every value: nothing has to be repeated as hexadecimal digits.
pub(super) fn always_exact(_: &Cell<'_>) -> bool {
    true
}

#[cfg(test)]
mod tests;
