//! Reading of rows: a message from the values of its columns.

use super::{ColumnKind, HEX, LENGTH, MESSAGE_TYPE, Table};
use crate::error::Failure;
use crate::format::payload::Payload;
use crate::format::rows::shown;
use crate::format::{Arrival, MessageConsumer, RunBuffer};
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use feed::payload::itch50::{Field, Kind, TYPES, TimeOfDay};
use feed::wire::MESSAGE_MAX;
use std::borrow::Cow;

/// Number of bytes of a run that are passed on at once.
const RUN_BYTES: usize = 64 * 1024;

/// Values of one row, by the indices of their columns. A value that is absent is null. Errors say
/// what is wrong with the value, without the name of the column.
pub(in crate::format) trait Cells {
    /// Returns an unsigned number.
    fn integer(&self, column: usize) -> Result<Option<u64>, String>;

    /// Returns a price in units of its last digit, `scale` digits behind the point.
    fn price(&self, column: usize, scale: u32) -> Result<Option<u64>, String>;

    /// Returns a text.
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>, String>;
}

/// Reader side of rows, which passes messages on in runs that arrived together.
pub(in crate::format) struct MessageBatch<'a, 'b> {
    run: RunBuffer,
    arrival: Arrival,
    each: &'a mut MessageConsumer<'b>,
}

impl<'a, 'b> MessageBatch<'a, 'b> {
    pub(in crate::format) fn new(each: &'a mut MessageConsumer<'b>) -> Self {
        Self { run: RunBuffer::default(), arrival: Arrival::UNKNOWN, each }
    }

    pub(in crate::format) fn push(
        &mut self,
        seq: Seq,
        message: &[u8],
        arrival: Arrival,
    ) -> Result<(), Failure> {
        let is_full = self.run.len() >= RUN_BYTES;
        if is_full || arrival != self.arrival || !self.run.continues_with(seq) {
            self.flush()?;
            self.arrival = arrival;
        }
        // No message is longer, because no value is.
        self.run.push(seq, message).map_err(|error| Failure::Usage(error.to_string()))
    }

    pub(in crate::format) fn flush(&mut self) -> Result<(), Failure> {
        if self.run.count() == 0 {
            return Ok(());
        }
        let done = (self.each)(self.run.messages(), self.arrival);
        self.run.clear();
        done
    }
}

impl Table {
    /// Writes the message of a row into `message`, and returns its sequence and arrival.
    ///
    /// # Errors
    /// Returns what is wrong with a value, with the name of its column.
    pub(in crate::format) fn read_row(
        &self,
        cells: &impl Cells,
        message: &mut Vec<u8>,
    ) -> Result<(Seq, Arrival), String> {
        let seq = self.integer(cells, 0)?.ok_or("sequence is null")?;
        if !(FIRST_SEQ..=MAX_SEQ).contains(&seq) {
            return Err(format!("sequence {seq} is not in 1..{MAX_SEQ}"));
        }
        message.clear();
        let hex = self.text(cells, self.hex)?;
        match self.payload {
            Payload::Itch50 => self.read_itch(cells, hex.as_deref(), message)?,
            Payload::Orders | Payload::Opaque => {
                let hex = hex.unwrap_or_default();
                read_hex(&hex, message)?;
                let length = self.integer(cells, 1)?;
                if length.is_some_and(|length| length != message.len() as u64) {
                    let length = length.unwrap_or(0);
                    return Err(format!(
                        "{LENGTH} is {length}, but {HEX} has {} bytes",
                        message.len()
                    ));
                }
                if length.is_none() && message.is_empty() {
                    return Err(format!("{LENGTH} and {HEX} are null"));
                }
            }
        }
        let arrived = self.integer(cells, self.hex + 1)?;
        let arrived = arrived.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
        let origin = self.text(cells, self.hex + 2)?;
        let origin = origin.as_deref().filter(|origin| !origin.is_empty());
        Ok((seq, Arrival::parse(arrived, origin)?))
    }

    fn integer(&self, cells: &impl Cells, column: usize) -> Result<Option<u64>, String> {
        cells.integer(column).map_err(|reason| self.named_reason(column, &reason))
    }

    fn text<'c>(
        &self,
        cells: &'c impl Cells,
        column: usize,
    ) -> Result<Option<Cow<'c, str>>, String> {
        cells.text(column).map_err(|reason| self.named_reason(column, &reason))
    }

    fn named_reason(&self, column: usize, reason: &str) -> String {
        format!("{} {reason}", self.columns[column].name)
    }

    fn read_itch(
        &self,
        cells: &impl Cells,
        hex: Option<&str>,
        message: &mut Vec<u8>,
    ) -> Result<(), String> {
        let letter = self.text(cells, 1)?;
        let letter = letter.as_deref().filter(|letter| !letter.is_empty());
        if let Some(hex) = hex.filter(|hex| !hex.is_empty()) {
            read_hex(hex, message)?;
            let own = message.first().copied().map(char::from);
            return match letter.is_none_or(|letter| letter.chars().eq(own)) {
                true => Ok(()),
                false => Err(format!("{MESSAGE_TYPE} and {HEX} are of different types")),
            };
        }
        let letter = letter.ok_or_else(|| format!("{MESSAGE_TYPE} is null"))?;
        let mut characters = letter.chars();
        let found = match (characters.next(), characters.next()) {
            (Some(letter), None) => TYPES.iter().find(|kind| char::from(kind.letter()) == letter),
            _ => None,
        };
        let Some(kind) = found else {
            return Err(format!(
                "{MESSAGE_TYPE} is {:?}, which ITCH 5.0 does not have: a message of another type \
                 needs its {HEX}",
                shown(letter)
            ));
        };
        message.resize(kind.len(), 0);
        message[0] = kind.letter();
        for field in self.types.get(&kind.letter()).into_iter().flatten() {
            self.read_field(cells, (field.column, field.field), kind.name(), message)?;
        }
        Ok(())
    }

    /// Writes the value of a field into a message.
    fn read_field(
        &self,
        cells: &impl Cells,
        (column, field): (usize, &Field),
        kind: &str,
        message: &mut [u8],
    ) -> Result<(), String> {
        let name = field.name();
        let out = &mut message[field.offset()..field.offset() + field.width()];
        let needed =
            |value: Option<u64>| value.ok_or_else(|| format!("{name} is null, but {kind} has one"));
        let number = match field.kind() {
            Kind::Letter | Kind::Text => {
                // Programs take an empty text for null.
                let text = self.text(cells, column)?.unwrap_or_default();
                return put_text(&text, out).map_err(|reason| format!("{name} {reason}"));
            }
            Kind::Integer => needed(self.integer(cells, column)?)?,
            Kind::Time => {
                let nanos = needed(self.integer(cells, column)?)?;
                let time = TimeOfDay::from_nanos(nanos);
                time.ok_or_else(|| format!("{name} {nanos} does not fit in 48 bits"))?.nanos()
            }
            Kind::Price4 | Kind::Price8 => {
                let scale = match self.columns[column].kind {
                    ColumnKind::Price { scale, .. } => scale,
                    _ => 0,
                };
                let price = cells.price(column, scale);
                needed(price.map_err(|reason| self.named_reason(column, &reason))?)?
            }
        };
        let bytes = number.to_be_bytes();
        let (high, low) = bytes.split_at(bytes.len() - out.len());
        if high.iter().any(|&byte| byte != 0) {
            return Err(format!("{name} {number} does not fit in {} bits", out.len() * 8));
        }
        out.copy_from_slice(low);
        Ok(())
    }
}

/// Writes a text, whose characters are bytes, with blanks behind it.
fn put_text(text: &str, out: &mut [u8]) -> Result<(), String> {
    out.fill(b' ');
    let mut places = out.iter_mut();
    for character in text.chars() {
        let byte = u8::try_from(character);
        match (places.next(), byte) {
            (Some(place), Ok(byte)) => *place = byte,
            (None, _) => {
                return Err(format!("{:?} is longer than its field", shown(text)));
            }
            (_, Err(_)) => return Err(format!("{:?} is not Latin text", shown(text))),
        }
    }
    Ok(())
}

/// Appends the bytes of hexadecimal digits.
fn read_hex(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return Err(format!("{HEX} has an odd number of digits"));
    }
    if pairs.len() > MESSAGE_MAX {
        return Err(format!("{HEX} has {} bytes, more than {MESSAGE_MAX}", pairs.len()));
    }
    for pair in pairs {
        let digit =
            |at: usize| char::from(pair[at]).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let byte = digit(0).zip(digit(1)).map(|(high, low)| high << 4 | low);
        out.push(byte.ok_or_else(|| format!("{HEX} has other characters than digits and a to f"))?);
    }
    Ok(())
}

/// Returns a floating-point number in units of its digit `scale` behind the point; `None` if it is
/// negative, too large to be exact, or has more digits.
pub(in crate::format) fn float_units(number: f64, scale: u32) -> Option<u64> {
    let one = 10f64.powi(i32::try_from(scale).ok()?);
    let units = (number * one).round();
    #[expect(clippy::cast_precision_loss, reason = "the bound itself is exact")]
    let max = super::FLOAT_UNITS_MAX as f64;
    // Division is correctly rounded, so that equality says that `number` stands for these units.
    #[expect(clippy::float_cmp, reason = "it is exact or it is another number")]
    let is_exact = (0.0..=max).contains(&units) && units / one == number;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in the bounds")]
    is_exact.then_some(units as u64)
}

/// Returns a text as a number in units of its digit `scale` behind the point.
pub(super) fn text_units(text: &str, scale: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let width = usize::try_from(scale).ok()?;
    let (kept, rest) = fraction.split_at_checked(width).unwrap_or((fraction, ""));
    if digits(whole) && (fraction.is_empty() || digits(fraction)) {
        if !rest.bytes().all(|byte| byte == b'0') {
            return None;
        }
        let units = whole.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(scale)?)?;
        let missing = u32::try_from(width - kept.len()).ok()?;
        let fraction = if kept.is_empty() { 0 } else { kept.parse::<u64>().ok()? };
        return units.checked_add(fraction * 10u64.pow(missing));
    }
    // Other programs write small numbers with an exponent.
    float_units(text.parse().ok()?, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_other_programs_are_exact_or_refused() {
        for (text, scale, units) in [
            ("123.4500", 4, Some(1_234_500)),
            ("123.45", 4, Some(1_234_500)),
            ("123", 4, Some(1_230_000)),
            ("0.0001", 4, Some(1)),
            ("1e-4", 4, Some(1)),
            ("1001.0", 0, Some(1001)),
            ("1001", 0, Some(1001)),
            ("18446744073709551615", 0, Some(u64::MAX)),
            ("184467440737.09551615", 8, Some(u64::MAX)),
            ("184467440737.09551616", 8, None),
            ("0.00001", 4, None),
            ("1.5", 0, None),
            ("-1", 0, None),
            ("", 0, None),
            (".5", 4, Some(5000)),
            ("nan", 0, None),
            ("inf", 0, None),
            ("1e300", 0, None),
            ("0x10", 0, None),
        ] {
            assert_eq!(text_units(text, scale), units, "{text}");
        }
        for units in [0, 1, 7, 123_456_789, 4_294_967_295, super::super::FLOAT_UNITS_MAX] {
            for scale in [0, 4, 8] {
                let text = format!("{units}e-{scale}");
                assert_eq!(float_units(text.parse().unwrap(), scale), Some(units), "{text}");
            }
        }
        assert_eq!(float_units(0.000_05, 4), None);
    }

    #[test]
    fn hexadecimal_digits_are_bytes() {
        let mut out = Vec::new();
        read_hex("00fFa5", &mut out).unwrap();
        assert_eq!(out, [0, 0xff, 0xa5]);
        for bad in ["0", "0g", "é0", "00 1"] {
            assert!(read_hex(bad, &mut Vec::new()).is_err(), "{bad}");
        }
        assert!(read_hex(&"00".repeat(MESSAGE_MAX), &mut Vec::new()).is_ok());
        assert!(read_hex(&"00".repeat(MESSAGE_MAX + 1), &mut Vec::new()).is_err());
    }
}
