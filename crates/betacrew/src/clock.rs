//! Time of day, which only this module reads from the system.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970, or zero if the clock is set to an earlier time.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the time since 1970 in nanoseconds, the unit of tape files.
pub(crate) fn nanos_since_1970() -> u64 {
    feed::base::time::nanos(since_1970())
}
