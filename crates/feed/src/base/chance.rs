//! Probabilities that mean the same on every machine.

use core::fmt;
use core::str::FromStr;

/// A probability, exact to 2^-32 so that it means the same on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance {
    /// Of 2^32.
    parts: u64,
}

const WHOLE: u64 = 1 << 32;

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self { parts: 0 };

    /// `numerator` times in `denominator`, as near as can be; the same as of its decimal notation.
    #[must_use]
    pub const fn of(numerator: u32, denominator: u32) -> Option<Self> {
        if denominator == 0 || numerator > denominator {
            return None;
        }
        Some(Self {
            parts: (((numerator as u64) << 32) + denominator as u64 / 2) / denominator as u64,
        })
    }

    /// As a number from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "33 bits fit a double")]
    pub fn as_f64(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }

    /// 64 independent draws: a bit is set with this probability. `word` gives random words, always
    /// the same one for the same number.
    ///
    /// It reads the probability's binary digits from the last to the first: OR with a random bit
    /// maps p to (1 + p) / 2 and AND maps it to p / 2, which is what a leading digit 1 or 0 does.
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
        // Hundredths of a percent, without zeros at the end; or else all of its digits.
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

/// A text is no probability.
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
