//! Clients that have all packets and do not end.
//!
//! Such a client waits for a timer, or for input. The first few times the grader waits too, because
//! it may be slow rather than stuck; after that it knows.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Time after which a client that has all packets and does nothing more is killed, unless the case
/// is about its end. The report says that it did not end by itself. It is halved with each case in
/// which the client has lingered.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Number of cases in which a client has lingered before it is known to linger.
pub(crate) const LEARNED_AFTER: u32 = 3;
/// Time after which a client that is known to linger is killed.
pub(crate) const LINGER_LEARNED: Duration = Duration::from_millis(200);

/// Number of cases in which the client has lingered.
#[derive(Default, Debug)]
pub(crate) struct LingerCount(AtomicU32);

impl LingerCount {
    /// Counts a case in which the client has lingered.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the time for which a client with all packets may linger.
    pub(crate) fn patience(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            count if count >= LEARNED_AFTER => LINGER_LEARNED,
            count => LINGER_MAX / 2u32.pow(count),
        }
    }

    /// Returns whether the client is known to linger.
    pub(crate) fn is_learned(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= LEARNED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_lingers_again_and_again_is_killed_sooner() {
        let lingering = LingerCount::default();
        for patience in [LINGER_MAX, LINGER_MAX / 2, LINGER_MAX / 4] {
            assert_eq!(lingering.patience(), patience);
            lingering.add();
        }
        assert!(lingering.is_learned());
        assert_eq!(lingering.patience(), LINGER_LEARNED);
    }
}
