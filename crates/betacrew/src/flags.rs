//! What flags mean: numbers, durations, seeds.

use std::ops::RangeInclusive;

/// A duration such as `10s`, `1m 30s` or `250ms`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no duration; expected one such as 10s, 250ms or 1m30s");
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Ok(std::time::Duration::from_secs(seconds.into()));
    }
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    std::time::Duration::try_from(span).map_err(|_| wrong())
}

/// Whole numbers within bounds.
pub(crate) fn number(bounds: RangeInclusive<u32>) -> clap::builder::RangedI64ValueParser<u32> {
    let (low, high) = bounds.into_inner();
    clap::value_parser!(u32).range(i64::from(low)..=i64::from(high))
}

/// A seed that is not twice the same, and short enough to be typed again.
pub(crate) fn draw_seed() -> u64 {
    draw_salt() % 1_000_000_000
}

/// A random number.
pub(crate) fn draw_salt() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds its hash maps from the system.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [("10", 10_000), ("250ms", 250), ("1m30s", 90_000), ("1.5s", 1_500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("soon").is_err() && duration("-3s").is_err());
    }
}
