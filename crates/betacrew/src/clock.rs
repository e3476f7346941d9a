//! The system's clock: the one place that reads the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970; zero where the clock is set before that.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the time since 1970 in nanoseconds, as tape files have it.
pub(crate) fn nanos_since_1970() -> u64 {
    feed::base::time::nanos(since_1970())
}
