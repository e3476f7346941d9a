//! Times as gaps and tape files store them: nanoseconds in 64 bits.

use core::time::Duration;

/// Returns a time in nanoseconds. 64 bits are enough for 584 years; a longer time returns
/// `u64::MAX`.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_up_to_the_bound() {
        let last = Duration::from_nanos(u64::MAX);
        assert_eq!(nanos(Duration::ZERO), 0);
        assert_eq!(nanos(last), u64::MAX);
        assert_eq!(nanos(last - Duration::from_nanos(1)), u64::MAX - 1);
        assert_eq!(nanos(last + Duration::from_nanos(1)), u64::MAX);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }
}
