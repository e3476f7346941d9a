//! Fields of text and numbers in ASCII: read with either padding, written with the one of the
//! specification.

use core::fmt;

/// Returns whether a byte pads a field: a space, or the NUL that some programs leave instead.
fn is_padding(byte: u8) -> bool {
    matches!(byte, b' ' | 0)
}

/// Returns `field` without the padding on both sides.
fn trim(field: &[u8]) -> &[u8] {
    let begin = field.iter().take_while(|&&byte| is_padding(byte)).count();
    let field = field.get(begin..).unwrap_or_default();
    let end = field.iter().rev().take_while(|&&byte| is_padding(byte)).count();
    field.get(..field.len() - end).unwrap_or_default()
}

/// Text of at most `N` bytes without padding. Blank text is legal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    /// Text, padded with spaces on the right.
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    /// Text of no characters: on the wire, a field of spaces.
    pub const BLANK: Self = Self { bytes: [b' '; N], length: 0 };

    /// Returns `text` without the spaces around it.
    ///
    /// # Errors
    /// Returns [`TextError`] if the text does not fit its field, or has a character that is not
    /// printable ASCII.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let trimmed = trim(text.as_bytes());
        if let Some(&byte) = trimmed.iter().find(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(TextError::NotPrintable { byte });
        }
        let length = trimmed.len();
        Self::of_trimmed(trimmed).ok_or(TextError::TooLong { length, max: N })
    }

    /// Returns the text of a field that is padded on either side, or on both. Any bytes are read,
    /// because odd bytes make a name unknown, not a packet broken.
    #[must_use]
    pub fn from_padded(field: &[u8; N]) -> Self {
        Self::of_trimmed(trim(field)).unwrap_or(Self::BLANK)
    }

    fn of_trimmed(trimmed: &[u8]) -> Option<Self> {
        let mut bytes = [b' '; N];
        bytes.get_mut(..trimmed.len())?.copy_from_slice(trimmed);
        Some(Self { bytes, length: trimmed.len() })
    }

    /// Returns the text without padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Returns whether the text has no characters.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.length == 0
    }

    /// Returns the field with its padding on the right.
    #[must_use]
    pub fn right_padded(&self) -> [u8; N] {
        self.bytes
    }

    /// Returns the field with its padding on the left.
    #[must_use]
    pub fn left_padded(&self) -> [u8; N] {
        let mut field = self.bytes;
        field.rotate_right(N - self.length);
        field
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A peer's bytes must not reach a terminal as they are.
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Error of a text that no field can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextError {
    /// Text longer than its field.
    TooLong {
        /// Length of the text in bytes.
        length: usize,
        /// Length of the field in bytes.
        max: usize,
    },
    /// Character outside printable ASCII.
    NotPrintable {
        /// First byte of the character.
        byte: u8,
    },
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, max } => {
                write!(f, "text of {length} characters: at most {max} fit the field")
            }
            Self::NotPrintable { byte } => {
                write!(f, "byte 0x{byte:02x} in the text: only printable ASCII characters fit")
            }
        }
    }
}

impl core::error::Error for TextError {}

/// Error of a field that should be a number in ASCII digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// Field of padding alone.
    Blank,
    /// Byte that is neither a digit nor padding.
    NotADigit {
        /// Offset of the byte in the field.
        index: usize,
        /// Byte found there.
        byte: u8,
    },
    /// Number above 18446744073709551615, the highest that 64 bits hold.
    TooLarge,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank, expected digits"),
            Self::NotADigit { index, byte } => {
                let byte = byte.escape_ascii();
                write!(f, "'{byte}' at byte {index} of the field, expected a digit")
            }
            Self::TooLarge => write!(f, "number above {}", u64::MAX),
        }
    }
}

impl core::error::Error for NumberError {}

/// Returns the number of a field that is padded on either side, or on both.
pub(super) fn parse_number(field: &[u8]) -> Result<u64, NumberError> {
    let digits = trim(field);
    if digits.is_empty() {
        return Err(NumberError::Blank);
    }
    let begin = field.iter().take_while(|&&byte| is_padding(byte)).count();
    let mut number: u64 = 0;
    for (index, &byte) in (begin..).zip(digits) {
        if !byte.is_ascii_digit() {
            return Err(NumberError::NotADigit { index, byte });
        }
        let digit = u64::from(byte - b'0');
        let longer = number.checked_mul(10).and_then(|number| number.checked_add(digit));
        number = longer.ok_or(NumberError::TooLarge)?;
    }
    Ok(number)
}

/// Returns the digits of `number`, padded with spaces on the left. Higher digits than the field has
/// room for are left out; the fields of the protocol have room for all that they are given.
pub(super) fn write_number<const N: usize>(number: u64) -> [u8; N] {
    let mut field = [b' '; N];
    let mut rest = number;
    for place in field.iter_mut().rev() {
        // The remainder is below 10.
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn text_is_read_with_padding_on_either_side() {
        let text = Text::<6>::new("AB").unwrap();
        for field in [*b"AB    ", *b"    AB", *b"  AB  ", *b"AB\0\0\0\0", *b"\0\0\0\0AB"] {
            assert_eq!(Text::from_padded(&field), text);
        }
        assert_eq!(text.right_padded(), *b"AB    ");
        assert_eq!(text.left_padded(), *b"    AB");
        assert_eq!(text.as_bytes(), b"AB");
        assert_eq!(Text::from_padded(b"A B   ").as_bytes(), b"A B", "spaces inside are text");
    }

    #[test]
    fn blank_and_full_text_have_their_bounds() {
        for blank in [Text::<3>::new("").unwrap(), Text::from_padded(b" \0 "), Text::BLANK] {
            assert!(blank.is_blank() && blank.as_bytes().is_empty());
            assert_eq!((blank.left_padded(), blank.right_padded()), (*b"   ", *b"   "));
        }
        let full = Text::<3>::new("ABC").unwrap();
        assert_eq!((full.left_padded(), full.right_padded()), (*b"ABC", *b"ABC"));
        assert_eq!(Text::<3>::new("ABCD"), Err(TextError::TooLong { length: 4, max: 3 }));
        assert_eq!(Text::<3>::new("\x1b"), Err(TextError::NotPrintable { byte: 0x1b }));
        assert_eq!(Text::<3>::new("é"), Err(TextError::NotPrintable { byte: 0xc3 }));
    }

    #[test]
    fn text_of_a_peer_is_shown_escaped() {
        assert_eq!(Text::from_padded(b"\x1b[2J\xff ").to_string(), "\\x1b[2J\\xff");
    }

    #[test]
    fn numbers_are_checked_digit_by_digit() {
        for (field, number) in
            [("  42", 42), ("42  ", 42), (" 42 ", 42), ("0000", 0), ("42\0\0", 42)]
        {
            assert_eq!(parse_number(field.as_bytes()), Ok(number), "{field:?}");
        }
        assert_eq!(parse_number(b"    "), Err(NumberError::Blank));
        assert_eq!(parse_number(b""), Err(NumberError::Blank));
        let not_a_digit = |index, byte| Err(NumberError::NotADigit { index, byte });
        assert_eq!(parse_number(b"  -1"), not_a_digit(2, b'-'));
        assert_eq!(parse_number(b" 4 2"), not_a_digit(2, b' '));
        assert_eq!(parse_number(b"0x10"), not_a_digit(1, b'x'));
        assert_eq!(parse_number(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_number(b"18446744073709551616"), Err(NumberError::TooLarge));
        assert_eq!(parse_number(b"99999999999999999999"), Err(NumberError::TooLarge));
        assert_eq!(parse_number(b"00018446744073709551615"), Ok(u64::MAX));
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(number: u64) {
            let field: [u8; 20] = write_number(number);
            prop_assert_eq!(parse_number(&field), Ok(number));
            let shown = alloc::format!("{number:>20}");
            prop_assert_eq!(shown.as_bytes(), field);
        }

        #[test]
        fn text_survives_both_paddings(field: [u8; 10]) {
            let text = Text::from_padded(&field);
            prop_assert_eq!(Text::from_padded(&text.left_padded()), text);
            prop_assert_eq!(Text::from_padded(&text.right_padded()), text);
        }
    }
}
