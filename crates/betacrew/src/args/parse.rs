//! Parsers for the values of flags: numbers, durations, seeds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest accepted duration: 136 years, which every clock can add without overflow.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Parses a duration such as `10s`, `1m 30s` or `250ms`, up to [`LONGEST`]. A bare number is in
/// seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; expected one such as 10s, 250ms or 1m30s");
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    let time = Duration::try_from(span).map_err(|_| wrong())?;
    match time > LONGEST {
        true => Err(format!("`{text}` is too long; the longest is {}s", LONGEST.as_secs())),
        false => Ok(time),
    }
}

/// Returns a parser for whole numbers within bounds.
pub(crate) fn number(bounds: RangeInclusive<u32>) -> clap::builder::RangedI64ValueParser<u32> {
    let (low, high) = bounds.into_inner();
    clap::value_parser!(u32).range(i64::from(low)..=i64::from(high))
}

/// Returns a parser of a sequence, or of a number of sequences, within bounds.
pub(crate) fn sequence(bounds: RangeInclusive<u64>) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(bounds)
}

/// Returns a random seed below 10^9, which is short enough to type again.
pub(crate) fn draw_seed() -> u64 {
    random() % 1_000_000_000
}

/// Returns a random number from the seed that the standard library gives its hash maps.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("10", 10_000), ("250ms", 250), ("1m30s", 90_000), ("1.5s", 1_500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("soon").is_err() && duration("-3s").is_err());
        assert_eq!(duration("4294967295s"), Ok(LONGEST));
        assert_eq!(duration("4294967295"), Ok(LONGEST));
        for long in ["4294967296s", "1193047h", "2500000000000000h"] {
            assert!(duration(long).is_err_and(|why| why.contains("too long")), "{long}");
        }
    }
}
