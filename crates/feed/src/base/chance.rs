//! Probabilities with the same results on every machine.

use core::fmt;
use core::str::FromStr;

/// Probability with a precision of 2^-32, stored as an integer so that it gives the same results on
/// every machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance {
    /// Probability in units of 2^-32.
    parts: u64,
}

const WHOLE: u64 = 1 << 32;

impl Chance {
    /// Probability 0.
    pub const NEVER: Self = Self { parts: 0 };

    /// Returns the probability `numerator / denominator`, rounded as its decimal notation is when
    /// parsed; `None` if it is above 1 or the denominator is 0.
    #[must_use]
    pub const fn of(numerator: u32, denominator: u32) -> Option<Self> {
        if denominator == 0 || numerator > denominator {
            return None;
        }
        Some(Self {
            parts: (((numerator as u64) << 32) + denominator as u64 / 2) / denominator as u64,
        })
    }

    /// Returns the probability as a number from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "33 bits fit a double")]
    pub fn as_f64(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }

    /// Draws 64 times independently; each bit of the result is set with this probability. `word`
    /// returns random words, always the same word for the same number.
    ///
    /// The probability's binary digits are read from the last to the first: OR with a random bit
    /// maps p to (1 + p) / 2, AND maps p to p / 2, as a leading digit 1 or 0 does.
    pub(crate) fn draw(self, word: impl Fn(u64) -> u64) -> u64 {
        if self.parts >= WHOLE {
            return u64::MAX;
        }
        if self.parts == 0 {
            return 0;
        }
        let mut drawn = 0;
        for digit in self.parts.trailing_zeros()..32 {
            let random = word(u64::from(digit));
            drawn = if self.parts >> digit & 1 == 1 { drawn | random } else { drawn & random };
        }
        drawn
    }
}

impl FromStr for Chance {
    type Err = ChanceParseError;

    /// Parses `0.25` or `25%`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the value was checked to lie between 0 and 1"
    )]
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (number, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        match number.parse::<f64>().map(|value| value / scale) {
            Ok(value) if (0.0..=1.0).contains(&value) => {
                Ok(Self { parts: (value * WHOLE as f64 + 0.5) as u64 })
            }
            _ => Err(ChanceParseError),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written in hundredths of a percent without trailing zeros if that is exact, else with all
        // digits.
        let hundredths = (self.parts * 10_000 + WHOLE / 2) / WHOLE;
        let rounded = u32::try_from(hundredths).ok().and_then(|it| Self::of(it, 10_000));
        if rounded != Some(*self) {
            return self.as_f64().fmt(f);
        }
        match (hundredths / 100, hundredths % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// Error: a text is not a probability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChanceParseError;

impl fmt::Display for ChanceParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probability is a number from 0 to 1, or a percentage: 0.25 or 25%")
    }
}

impl core::error::Error for ChanceParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn chances_parse_and_print() {
        for (text, shown) in [("0.25", "25%"), ("25 %", "25%"), ("0.0125", "1.25%"), ("1", "100%")]
        {
            assert_eq!(text.parse::<Chance>().unwrap().to_string(), shown);
        }
        for exact in ["0.3333333333", "0.588888%", "0.00001", "0.9999999999"] {
            let chance: Chance = exact.parse().unwrap();
            assert_eq!(chance.to_string().parse(), Ok(chance), "{chance}");
        }
        assert_eq!("0.25".parse::<Chance>().ok(), Chance::of(1, 4));
        for bad in ["-0.1", "1.1", "101%", "NaN", "x", ""] {
            assert!(bad.parse::<Chance>().is_err(), "{bad}");
        }
        assert_eq!(Chance::of(2, 1), None);
    }
}
