//! Columns of Arrow whose values are read as one type, regardless of how their writer stored them.

use super::ReadError;
use super::bounded::VALUE_MAX;
use super::table::columns::Number;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayAccessor};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::Display;

/// Column whose values are read as one type, regardless of how its writer stored them.
pub(super) struct ValueColumn<'a, T> {
    get: Box<dyn Fn(usize) -> Result<Option<T>, String> + 'a>,
}

impl<'a, T: 'a> ValueColumn<'a, T> {
    /// Returns the value of a row.
    pub(super) fn value(&self, row: usize) -> Result<Option<T>, String> {
        (self.get)(row)
    }

    fn from(get: impl Fn(usize) -> Result<Option<T>, String> + 'a) -> Self {
        Self { get: Box::new(get) }
    }

    /// Dictionary column, with a key for each row.
    fn dictionary(keys: ValueColumn<'a, i64>, values: Self, count: usize) -> Self {
        Self::from(move |row| {
            let Some(key) = (keys.get)(row)? else { return Ok(None) };
            match usize::try_from(key).ok().filter(|&key| key < count) {
                Some(key) => (values.get)(key),
                None => Err(format!("has no value {key}")),
            }
        })
    }
}

fn unreadable(column: &dyn Array) -> ReadError {
    ReadError::Content(format!("a column is {}, which is not read", column.data_type()))
}

impl<'a> ValueColumn<'a, &'a str> {
    pub(super) fn of(column: &'a dyn Array) -> Result<Self, ReadError> {
        Self::texts_up_to(column, VALUE_MAX)
    }

    /// Column of texts of at most this many bytes.
    pub(super) fn texts_up_to(column: &'a dyn Array, length_max: usize) -> Result<Self, ReadError> {
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let values = &**dictionary.values();
            let keys = ValueColumn::<i64>::of(dictionary.keys())?;
            let texts = Self::texts_up_to(values, length_max)?;
            return Ok(Self::dictionary(keys, texts, values.len()));
        }
        Ok(match column.data_type() {
            DataType::Null => Self::from(|_| Ok(None)),
            DataType::Utf8 => Self::texts(column.as_string::<i32>(), length_max),
            DataType::LargeUtf8 => Self::texts(column.as_string::<i64>(), length_max),
            DataType::Utf8View => Self::texts(column.as_string_view(), length_max),
            DataType::Binary => Self::texts(column.as_binary::<i32>(), length_max),
            DataType::LargeBinary => Self::texts(column.as_binary::<i64>(), length_max),
            DataType::BinaryView => Self::texts(column.as_binary_view(), length_max),
            DataType::FixedSizeBinary(_) => Self::texts(column.as_fixed_size_binary(), length_max),
            _ => return Err(unreadable(column)),
        })
    }

    fn texts<A: ArrayAccessor + 'a>(column: A, length_max: usize) -> Self
    where
        A::Item: Bytes<'a>,
    {
        Self::from(move |row| {
            column.is_valid(row).then(|| text(column.value(row).bytes(), length_max)).transpose()
        })
    }
}

/// Values of columns of text.
trait Bytes<'a> {
    fn bytes(self) -> &'a [u8];
}

impl<'a> Bytes<'a> for &'a [u8] {
    fn bytes(self) -> &'a [u8] {
        self
    }
}

impl<'a> Bytes<'a> for &'a str {
    fn bytes(self) -> &'a [u8] {
        self.as_bytes()
    }
}

fn text(bytes: &[u8], length_max: usize) -> Result<&str, String> {
    if bytes.len() > length_max {
        return Err(format!("has {} bytes, which is too long", bytes.len()));
    }
    str::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

impl<'a> ValueColumn<'a, i64> {
    pub(super) fn of(column: &'a dyn Array) -> Result<Self, ReadError> {
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let values = &**dictionary.values();
            let keys = Self::of(dictionary.keys())?;
            return Ok(Self::dictionary(keys, Self::of(values)?, values.len()));
        }
        Ok(match column.data_type() {
            DataType::Null => Self::from(|_| Ok(None)),
            DataType::Int8 => Self::integers::<Int8Type>(column),
            DataType::Int16 => Self::integers::<Int16Type>(column),
            DataType::Int32 => Self::integers::<Int32Type>(column),
            DataType::Int64 => Self::integers::<Int64Type>(column),
            DataType::UInt8 => Self::integers::<UInt8Type>(column),
            DataType::UInt16 => Self::integers::<UInt16Type>(column),
            DataType::UInt32 => Self::integers::<UInt32Type>(column),
            DataType::UInt64 => Self::integers::<UInt64Type>(column),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => Self::times::<TimestampSecondType>(column, 1_000_000_000),
                TimeUnit::Millisecond => Self::times::<TimestampMillisecondType>(column, 1_000_000),
                TimeUnit::Microsecond => Self::times::<TimestampMicrosecondType>(column, 1_000),
                TimeUnit::Nanosecond => Self::times::<TimestampNanosecondType>(column, 1),
            },
            _ => return Err(unreadable(column)),
        })
    }

    fn integers<T: ArrowPrimitiveType<Native: TryInto<i64> + Display>>(
        column: &'a dyn Array,
    ) -> Self {
        let column = column.as_primitive::<T>();
        Self::from(move |row| {
            let value = column.is_valid(row).then(|| column.value(row));
            value
                .map(|value| {
                    let wide = value.try_into();
                    wide.map_err(|_| format!("{value} does not fit in 64 bits"))
                })
                .transpose()
        })
    }

    fn times<T: ArrowPrimitiveType<Native = i64>>(column: &'a dyn Array, nanoseconds: i64) -> Self {
        let column = column.as_primitive::<T>();
        Self::from(move |row| {
            let value = column.is_valid(row).then(|| column.value(row));
            value
                .map(|value| {
                    let time = value.checked_mul(nanoseconds);
                    time.ok_or_else(|| format!("{value} is beyond the years 1677 to 2262"))
                })
                .transpose()
        })
    }
}

impl<'a> ValueColumn<'a, Number> {
    /// Column of numbers of any type.
    pub(super) fn of(column: &'a dyn Array) -> Result<Self, ReadError> {
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let values = &**dictionary.values();
            let keys = ValueColumn::<i64>::of(dictionary.keys())?;
            return Ok(Self::dictionary(keys, Self::of(values)?, values.len()));
        }
        Ok(match column.data_type() {
            DataType::UInt64 => {
                let column = column.as_primitive::<UInt64Type>();
                Self::valid(column, |value| Number::Integer(value.into()))
            }
            DataType::Float32 => {
                let column = column.as_primitive::<Float32Type>();
                Self::valid(column, |value| Number::Float(value.into()))
            }
            DataType::Float64 => Self::valid(column.as_primitive::<Float64Type>(), Number::Float),
            DataType::Decimal128(_, scale) => {
                let scale = *scale;
                let column = column.as_primitive::<Decimal128Type>();
                Self::valid(column, move |value| Number::Decimal(value, scale))
            }
            _ => {
                let integers = ValueColumn::<i64>::of(column)?;
                let number = |number: i64| Number::Integer(number.into());
                Self::from(move |row| Ok((integers.get)(row)?.map(number)))
            }
        })
    }

    fn valid<A: ArrayAccessor + 'a>(column: A, number: impl Fn(A::Item) -> Number + 'a) -> Self {
        Self::from(move |row| Ok(column.is_valid(row).then(|| number(column.value(row)))))
    }
}
