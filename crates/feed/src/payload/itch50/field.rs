//! Fields of messages: their types on the wire, their descriptions, and their values as text.

use core::fmt;

/// Time of day in nanoseconds since midnight, 48 bits wide on the wire.
///
/// A valid day ends at 24 hours, but 48 bits hold 78 hours. Larger times than a day are kept and
/// displayed as they are, because a decoder must not change the bytes of a peer.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimeOfDay(u64);

impl TimeOfDay {
    /// Largest time that 48 bits can hold.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// Returns the time of this many nanoseconds since midnight, or `None` from 2^48 on.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Option<Self> {
        if nanos <= Self::MAX.0 { Some(Self(nanos)) } else { None }
    }

    /// Returns the nanoseconds since midnight.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{nanos:09}", seconds % 60)
    }
}

/// Price in units of 10^-4 dollars.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price4(pub u32);

impl fmt::Display for Price4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

/// Price in units of 10^-8 dollars. Only the market-wide circuit breaker's levels use it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price8(pub u64);

impl fmt::Display for Price8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08}", self.0 / 100_000_000, self.0 % 100_000_000)
    }
}

/// One-byte code.
///
/// Every byte is accepted, because the venue adds codes to existing fields without a new version of
/// the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter(pub u8);

impl Default for Letter {
    /// Returns the blank, which the protocol uses for "not available".
    fn default() -> Self {
        Self(b' ')
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, &[self.0])
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", [self.0].escape_ascii())
    }
}

/// Text of `N` bytes, left-justified and padded with blanks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alpha<const N: usize>(pub [u8; N]);

impl<const N: usize> Alpha<N> {
    /// Returns the padded text, or `None` if it is longer than `N` bytes or not ASCII.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if !text.is_ascii() {
            return None;
        }
        let mut bytes = [b' '; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// Returns the bytes without the blanks at their end.
    #[must_use]
    pub fn trimmed(&self) -> &[u8] {
        trim_padding(&self.0)
    }
}

impl<const N: usize> Default for Alpha<N> {
    fn default() -> Self {
        Self([b' '; N])
    }
}

impl<const N: usize> fmt::Display for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, self.trimmed())
    }
}

impl<const N: usize> fmt::Debug for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Returns text without the blanks at its end.
fn trim_padding(bytes: &[u8]) -> &[u8] {
    let padding = bytes.iter().rev().take_while(|&&byte| byte == b' ').count();
    bytes.get(..bytes.len() - padding).unwrap_or_default()
}

/// Writes bytes of a peer so that they cannot control a terminal. Text that is blank is shown in
/// quotes, because an empty value would look like a fault of the line.
fn write_text(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    if bytes.iter().all(|&byte| byte == b' ') {
        write!(f, "\"{}\"", bytes.escape_ascii())
    } else {
        write!(f, "{}", bytes.escape_ascii())
    }
}

/// Interpretation of a field's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Unsigned big-endian number.
    Integer,
    /// Price in units of 10^-4 dollars, 32 bits.
    Price4,
    /// Price in units of 10^-8 dollars, 64 bits.
    Price8,
    /// Nanoseconds since midnight, 48 bits.
    Time,
    /// One-byte code.
    Letter,
    /// Text, left-justified and padded with blanks.
    Text,
}

impl Kind {
    /// Returns the name that the documentation uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Price4 => "price(4)",
            Self::Price8 => "price(8)",
            Self::Time => "time",
            Self::Letter => "letter",
            Self::Text => "text",
        }
    }

    /// Returns the unit of every field of this kind; empty if each field has its own.
    const fn unit(self) -> &'static str {
        match self {
            Self::Price4 => "10^-4 dollars",
            Self::Price8 => "10^-8 dollars",
            Self::Time => "nanoseconds since midnight",
            Self::Integer | Self::Letter | Self::Text => "",
        }
    }
}

/// Description of one field of a message type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    name: &'static str,
    offset: usize,
    width: usize,
    kind: Kind,
    unit: &'static str,
    about: &'static str,
}

impl Field {
    /// Describes a field whose Rust type is `T`.
    pub(super) const fn new<T: FieldType>(
        name: &'static str,
        offset: usize,
        unit: &'static str,
        about: &'static str,
    ) -> Self {
        let unit = if unit.is_empty() { T::KIND.unit() } else { unit };
        Self { name, offset, width: T::WIDTH, kind: T::KIND, unit, about }
    }

    /// Returns the name, in the form of a column's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the position of the first byte, counted from the message type's letter.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Returns how the bytes are interpreted.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the unit; empty for codes, texts and plain numbers.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// Returns the meaning of the field, in one or two sentences.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }

    /// Returns the field's value in a message, or `None` if the message is too short for it.
    #[must_use]
    pub fn value<'a>(&self, message: &'a [u8]) -> Option<Value<'a>> {
        let bytes = message.get(self.offset..self.offset + self.width)?;
        Some(match self.kind {
            Kind::Integer => Value::Integer(read_number(bytes)),
            // A field of this kind has 4 bytes, so the upper half of the number is zero.
            Kind::Price4 => Value::Price4(Price4(u32::try_from(read_number(bytes)).ok()?)),
            Kind::Price8 => Value::Price8(Price8(read_number(bytes))),
            Kind::Time => Value::Time(TimeOfDay::from_nanos(read_number(bytes))?),
            Kind::Letter => Value::Letter(Letter(*bytes.first()?)),
            Kind::Text => Value::Text(trim_padding(bytes)),
        })
    }
}

/// Returns the big-endian number of up to eight bytes.
fn read_number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Value of one field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Number; [`Field::unit`] is its unit.
    Integer(u64),
    /// Price in units of 10^-4 dollars.
    Price4(Price4),
    /// Price in units of 10^-8 dollars.
    Price8(Price8),
    /// Time of day.
    Time(TimeOfDay),
    /// One-byte code.
    Letter(Letter),
    /// Text without its padding. The bytes are the peer's and need not be printable.
    Text(&'a [u8]),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Price4(price) => price.fmt(f),
            Self::Price8(price) => price.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Letter(letter) => letter.fmt(f),
            Self::Text(text) => write_text(f, text),
        }
    }
}

/// Rust type of a field: how it is read and written.
pub trait FieldType: Copy {
    /// Interpretation of the bytes.
    const KIND: Kind;
    /// Number of bytes on the wire.
    const WIDTH: usize;
    /// Reads the value at `offset`. The message must have its type's length.
    fn read_at(message: &[u8], offset: usize) -> Self;
    /// Writes the value at `offset`. The message must have its type's length.
    fn write_at(self, message: &mut [u8], offset: usize);
}

/// Returns the `N` bytes at `offset`.
#[inline]
fn array_at<const N: usize>(message: &[u8], offset: usize) -> [u8; N] {
    // The offsets are checked against the length when the table of messages is compiled.
    *message.get(offset..).and_then(<[u8]>::first_chunk).expect("the field lies in its message")
}

/// Writes bytes at `offset`.
#[inline]
fn put_at(message: &mut [u8], offset: usize, bytes: &[u8]) {
    message[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Implements [`FieldType`] for unsigned integers.
macro_rules! integer_fields {
    ($($type:ty),+) => {$(
        impl FieldType for $type {
            const KIND: Kind = Kind::Integer;
            const WIDTH: usize = size_of::<$type>();

            #[inline]
            fn read_at(message: &[u8], offset: usize) -> Self {
                Self::from_be_bytes(array_at(message, offset))
            }

            #[inline]
            fn write_at(self, message: &mut [u8], offset: usize) {
                put_at(message, offset, &self.to_be_bytes());
            }
        }
    )+};
}

integer_fields!(u16, u32, u64);

impl FieldType for Price4 {
    const KIND: Kind = Kind::Price4;
    const WIDTH: usize = 4;

    #[inline]
    fn read_at(message: &[u8], offset: usize) -> Self {
        Self(u32::read_at(message, offset))
    }

    #[inline]
    fn write_at(self, message: &mut [u8], offset: usize) {
        self.0.write_at(message, offset);
    }
}

impl FieldType for Price8 {
    const KIND: Kind = Kind::Price8;
    const WIDTH: usize = 8;

    #[inline]
    fn read_at(message: &[u8], offset: usize) -> Self {
        Self(u64::read_at(message, offset))
    }

    #[inline]
    fn write_at(self, message: &mut [u8], offset: usize) {
        self.0.write_at(message, offset);
    }
}

impl FieldType for TimeOfDay {
    const KIND: Kind = Kind::Time;
    const WIDTH: usize = 6;

    #[inline]
    fn read_at(message: &[u8], offset: usize) -> Self {
        let [a, b, c, d, e, f] = array_at(message, offset);
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    #[inline]
    fn write_at(self, message: &mut [u8], offset: usize) {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        put_at(message, offset, &bytes);
    }
}

impl FieldType for Letter {
    const KIND: Kind = Kind::Letter;
    const WIDTH: usize = 1;

    #[inline]
    fn read_at(message: &[u8], offset: usize) -> Self {
        let [letter] = array_at(message, offset);
        Self(letter)
    }

    #[inline]
    fn write_at(self, message: &mut [u8], offset: usize) {
        put_at(message, offset, &[self.0]);
    }
}

impl<const N: usize> FieldType for Alpha<N> {
    const KIND: Kind = Kind::Text;
    const WIDTH: usize = N;

    #[inline]
    fn read_at(message: &[u8], offset: usize) -> Self {
        Self(array_at(message, offset))
    }

    #[inline]
    fn write_at(self, message: &mut [u8], offset: usize) {
        put_at(message, offset, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn values_are_shown_with_their_units() {
        let shown = [
            (Value::Integer(7).to_string(), "7"),
            (Value::Price4(Price4(1_234_500)).to_string(), "123.4500"),
            (Value::Price4(Price4(7)).to_string(), "0.0007"),
            (Value::Price8(Price8(400_000_000_001)).to_string(), "4000.00000001"),
            (TimeOfDay(34_200_000_000_001).to_string(), "09:30:00.000000001"),
            (TimeOfDay::MAX.to_string(), "78:11:14.976710655"),
            (Letter(b'B').to_string(), "B"),
            (Letter(b' ').to_string(), "\" \""),
            (Value::Text(b"\x1b[2J").to_string(), "\\x1b[2J"),
            (Alpha::<4>::default().to_string(), "\"\""),
        ];
        for (text, expected) in shown {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn texts_are_padded_and_trimmed() {
        let stock = Alpha::<8>::from_text("ZXZZT").unwrap();
        assert_eq!(stock.0, *b"ZXZZT   ");
        assert_eq!(stock.trimmed(), b"ZXZZT");
        assert_eq!(Alpha::<4>::from_text("ABCDE"), None);
        assert_eq!(Alpha::<4>::from_text("é"), None);
        // A blank inside the text belongs to it.
        assert_eq!(Alpha::<4>(*b" A  ").trimmed(), b" A");
    }

    #[test]
    fn times_have_48_bits() {
        assert_eq!(TimeOfDay::from_nanos((1 << 48) - 1), Some(TimeOfDay::MAX));
        assert_eq!(TimeOfDay::from_nanos(1 << 48), None);
        let mut bytes = [0xff; 8];
        TimeOfDay(0x0102_0304_0506).write_at(&mut bytes, 1);
        assert_eq!(bytes, [0xff, 1, 2, 3, 4, 5, 6, 0xff]);
        assert_eq!(TimeOfDay::read_at(&bytes, 1).nanos(), 0x0102_0304_0506);
    }
}
