//! Clients that compute or print without end.
//!
//! A client that computes may be slow rather than in an endless loop, so the grader waits until the
//! time limit. If the client has computed until then in several cases, with nothing on the wire,
//! the grader ends it sooner in the others. A client that prints more than any client has to say,
//! with nothing on the wire, is ended at once.

use crate::grade::run::process::{EarlyEnd, FinishedProcess, ProcessEnd, RunningClient};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Number of cases in which a client has computed until the time limit before it is known to do so.
pub(crate) const LEARNED_AFTER: u32 = 3;
/// Time of computing with nothing on the wire after which a client that is known to compute without
/// end is killed.
pub(crate) const SPIN_LEARNED: Duration = Duration::from_secs(2);
/// Number of bytes that a client may print with nothing on the wire.
pub(crate) const FLOOD_MAX: u64 = 32 << 20;

/// Number of cases in which the client has computed until the time limit, with nothing on the wire.
#[derive(Default, Debug)]
pub(crate) struct SpinCount(AtomicU32);

impl SpinCount {
    /// Counts a case if the client has computed until the time limit. `idle` is the time for which
    /// nothing had happened on the wire.
    pub(crate) fn add(&self, finished: &FinishedProcess, idle: Duration) {
        let at_limit = finished.ended == ProcessEnd::Killed && finished.early.is_none();
        if at_limit && finished.was_busy() && idle >= SPIN_LEARNED {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether the client is known to compute without end.
    pub(crate) fn is_learned(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= LEARNED_AFTER
    }
}

/// Client that does something while nothing happens on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SilentWork {
    since: Instant,
    /// Time for which the client had computed by then.
    busy: Option<Duration>,
    /// Number of bytes that the client had printed by then.
    printed: u64,
}

impl SilentWork {
    /// Begins to watch a client.
    pub(crate) fn begin(client: RunningClient<'_>) -> Self {
        Self { since: Instant::now(), busy: client.busy(), printed: client.printed_len() }
    }

    /// Returns the time since then.
    pub(crate) fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    /// Returns why the client will do nothing more but this.
    pub(crate) fn endless(&self, client: RunningClient<'_>, spins: &SpinCount) -> Option<EarlyEnd> {
        if client.printed_len() - self.printed > FLOOD_MAX {
            return Some(EarlyEnd::Flooding);
        }
        let silent = self.since.elapsed();
        if silent < SPIN_LEARNED || !spins.is_learned() {
            return None;
        }
        let busy = client.busy()?.saturating_sub(self.busy?);
        (busy * 2 > silent).then_some(EarlyEnd::Spinning)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::grade::run::process::{PollDecision, run};
    use std::process::Command;

    /// Runs a shell script that is watched from its start, and returns its end.
    fn ran(script: &str, spins: &SpinCount, limit: Duration) -> Option<FinishedProcess> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut work = None;
        let finished = run(&mut command, None, limit, |client| {
            let work = work.get_or_insert_with(|| SilentWork::begin(client));
            match work.endless(client, spins) {
                Some(why) => PollDecision::EndEarly(why),
                None => PollDecision::Wait,
            }
        });
        finished.ok().flatten()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_client_that_prints_without_end_is_killed() {
        let none = SpinCount::default();
        for to in ["", ">&2"] {
            let finished = ran(&format!("yes {to}"), &none, LONG).unwrap();
            assert_eq!(finished.early, Some(EarlyEnd::Flooding), "{to:?}");
        }
        let finished = ran("head -c 20000000 /dev/zero", &none, LONG).unwrap();
        assert_eq!(finished.ended, ProcessEnd::Exited(0), "a long log is not endless");
    }

    #[test]
    fn a_client_that_computes_is_killed_early_once_that_is_known() {
        let spins = SpinCount::default();
        let spin = "while :; do :; done";
        let finished = ran(spin, &spins, SPIN_LEARNED + Duration::from_secs(1)).unwrap();
        assert_eq!((finished.ended, finished.early), (ProcessEnd::Killed, None), "not known yet");
        spins.add(&finished, SPIN_LEARNED / 2);
        for _ in 0..LEARNED_AFTER {
            assert!(!spins.is_learned());
            spins.add(&finished, SPIN_LEARNED);
        }
        assert!(spins.is_learned());
        assert_eq!(ran(spin, &spins, LONG).unwrap().early, Some(EarlyEnd::Spinning));
        let sleeps = ran("sleep 60", &spins, SPIN_LEARNED + Duration::from_secs(1)).unwrap();
        assert_eq!((sleeps.ended, sleeps.early), (ProcessEnd::Killed, None), "it does not compute");
        let others = SpinCount::default();
        (0..LEARNED_AFTER).for_each(|_| others.add(&sleeps, SPIN_LEARNED));
        assert!(!others.is_learned(), "it waited");
    }
}
