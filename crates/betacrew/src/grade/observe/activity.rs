//! Activity on the wire, as the thread that watches the client sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Activity that the thread of the exchange records and the thread of the case reads. Times are
/// those of the exchange.
#[derive(Default, Debug)]
pub(crate) struct WireActivity {
    /// Time of the last event, in milliseconds.
    last_event: AtomicU64,
    /// Number of open connections.
    open: AtomicUsize,
    /// Times at which the exchange acts next by itself, by connection.
    due: Mutex<BTreeMap<usize, Duration>>,
}

impl WireActivity {
    /// Records the time of an event.
    pub(crate) fn touch(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last_event.store(millis, Ordering::Relaxed);
    }

    /// Records a new connection.
    pub(crate) fn open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a connection.
    pub(crate) fn close(&self, conn: usize) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.set_due(conn, None);
    }

    /// Records when the exchange acts next by itself on a connection.
    pub(crate) fn set_due(&self, conn: usize, due: Option<Duration>) {
        let mut times = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        match due {
            Some(due) => times.insert(conn, due),
            None => times.remove(&conn),
        };
    }

    /// Returns the time of the last event.
    pub(crate) fn last_event(&self) -> Duration {
        Duration::from_millis(self.last_event.load(Ordering::Relaxed))
    }

    /// Returns the number of open connections.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns whether the exchange does nothing by itself before this time.
    pub(crate) fn rests_until(&self, time: Duration) -> bool {
        let times = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        times.values().all(|due| *due > time)
    }
}

/// Measurement of how late the exchange is with what it does by itself.
#[derive(Default, Debug)]
pub(crate) struct Lateness {
    /// Times at which the exchange acts next by itself, by connection.
    due: BTreeMap<usize, Duration>,
    max: Duration,
}

impl Lateness {
    /// Records when the exchange acts next by itself on a connection.
    pub(crate) fn set_due(&mut self, conn: usize, due: Option<Duration>) {
        match due {
            Some(due) => self.due.insert(conn, due),
            None => self.due.remove(&conn),
        };
    }

    /// Records that the exchange acts on a connection now.
    pub(crate) fn act(&mut self, conn: usize, now: Duration) {
        if self.due.get(&conn).is_some_and(|due| *due <= now)
            && let Some(due) = self.due.remove(&conn)
        {
            self.max = self.max.max(now.saturating_sub(due));
        }
    }

    /// Returns the maximum time for which the exchange was late.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_rests_when_no_connection_is_due() {
        let activity = WireActivity::default();
        let second = Duration::from_secs(1);
        assert!(activity.rests_until(second));
        activity.open();
        activity.set_due(0, Some(second));
        activity.set_due(1, Some(second * 9));
        assert!(!activity.rests_until(second) && activity.rests_until(second / 2));
        activity.close(0);
        assert!(activity.rests_until(second * 8) && activity.open_connections() == 0);
        activity.touch(second);
        assert_eq!(activity.last_event(), second);
    }
}
