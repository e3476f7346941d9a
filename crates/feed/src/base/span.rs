//! Spans: a fixed number, or bounds between which a seed draws one.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Span of whole numbers, both bounds included. Its text form is `5` or `2-9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    low: u32,
    high: u32,
}

impl Span {
    /// Returns the span from `low` to `high`; `None` if it is empty.
    #[must_use]
    pub const fn new(low: u32, high: u32) -> Option<Self> {
        if low <= high { Some(Self { low, high }) } else { None }
    }

    /// Returns the span of one number.
    #[must_use]
    pub const fn one(number: u32) -> Self {
        Self { low: number, high: number }
    }

    /// Returns the lowest number.
    #[must_use]
    pub const fn low(self) -> u32 {
        self.low
    }

    /// Returns the highest number.
    #[must_use]
    pub const fn high(self) -> u32 {
        self.high
    }

    /// Returns a number drawn from random bits, uniform to within 2^-32.
    #[must_use]
    pub const fn draw(self, bits: u64) -> u32 {
        let count = (self.high - self.low) as u64 + 1;
        let drawn = ((bits >> 32) * count) >> 32;
        self.low + drawn as u32
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low == self.high {
            true => write!(f, "{}", self.low),
            false => write!(f, "{}-{}", self.low, self.high),
        }
    }
}

/// Error: a text is not a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanParseError;

impl fmt::Display for SpanParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or two with the lower first: 5 or 2-9")
    }
}

impl core::error::Error for SpanParseError {}

impl FromStr for Span {
    type Err = SpanParseError;

    fn from_str(text: &str) -> Result<Self, SpanParseError> {
        let number = |text: &str| text.trim().parse().map_err(|_| SpanParseError);
        let (low, high) = match text.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(text)?, number(text)?),
        };
        Self::new(low, high).ok_or(SpanParseError)
    }
}

/// Span of times, both bounds included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimeSpan {
    low: Duration,
    high: Duration,
}

impl TimeSpan {
    /// Returns the span from `low` to `high`; `None` if it is empty.
    #[must_use]
    pub fn new(low: Duration, high: Duration) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// Returns the span of one time.
    #[must_use]
    pub const fn one(time: Duration) -> Self {
        Self { low: time, high: time }
    }

    /// Returns the shortest time.
    #[must_use]
    pub const fn low(self) -> Duration {
        self.low
    }

    /// Returns the longest time.
    #[must_use]
    pub const fn high(self) -> Duration {
        self.high
    }

    /// Returns a time drawn from random bits.
    #[must_use]
    pub fn draw(self, bits: u64) -> Duration {
        let more = u64::try_from((self.high - self.low).as_nanos()).unwrap_or(u64::MAX - 1);
        let drawn = (u128::from(bits) * (u128::from(more) + 1)) >> 64;
        self.low + Duration::from_nanos(u64::try_from(drawn).unwrap_or(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use alloc::string::ToString;

    #[test]
    fn spans_parse_and_print() {
        for (text, low, high) in [("5", 5, 5), ("2-9", 2, 9), (" 0 - 1 ", 0, 1)] {
            assert_eq!(text.parse(), Ok(Span { low, high }), "{text}");
        }
        assert_eq!(Span { low: 2, high: 9 }.to_string(), "2-9");
        assert_eq!(Span::one(4).to_string(), "4");
        for bad in ["", "-", "9-2", "1-", "-3", "x", "4294967296"] {
            assert_eq!(bad.parse::<Span>(), Err(SpanParseError), "{bad}");
        }
    }

    #[test]
    fn draws_reach_both_bounds_and_nothing_else() {
        let span = Span { low: 3, high: 5 };
        let mut seen = [0; 3];
        (0..3000).for_each(|i| seen[span.draw(rng::nth(1, i)) as usize - 3] += 1);
        assert!(seen.iter().all(|&count| (900..1100).contains(&count)), "{seen:?}");
        assert_eq!(Span { low: 0, high: u32::MAX }.draw(u64::MAX), u32::MAX);
        let (low, high) = (Duration::from_millis(2), Duration::from_millis(7));
        let times = TimeSpan::new(low, high).unwrap();
        assert_eq!((times.draw(0), times.draw(u64::MAX)), (low, high));
        assert_eq!(TimeSpan::one(high).draw(u64::MAX / 3), high);
        assert_eq!(TimeSpan::new(high, low), None);
    }
}
