//! Connection between the HTTP thread and the loop that moves packets.
//!
//! The loop looks at one flag a turn. Only if the flag is raised does it take the queued commands
//! and publish a snapshot of its state, so a loop without clients of its HTTP address only reads
//! the flag.

use crate::http::control::command::{ControlAnswer, ControlCommand};
use crate::http::state::State;
use crate::http::state::chart_history::ChartHistory;
use crate::http::state::metrics::MetricsExtra;
use crate::net::Stop;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Maximum number of queued commands.
const COMMANDS_MAX: usize = 64;
/// Maximum age of a snapshot that is served again. It limits the loop to about ten snapshots a
/// second, however many clients ask.
const SNAPSHOT_MAX_AGE: Duration = Duration::from_millis(90);
/// Interval at which a loop that has not answered is woken again. A single wake-up can be lost
/// between the loop's look at the flag and its sleep.
const WAKE_INTERVAL: Duration = Duration::from_millis(30);
/// Time after which a loop that has not answered counts as busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// State of a loop at one time.
#[derive(Clone, Default, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) extra: MetricsExtra,
    /// Time of publication; `None` before the first one.
    pub(crate) at: Option<Instant>,
}

type PendingCommands = VecDeque<(ControlCommand, oneshot::Sender<ControlAnswer>)>;

#[derive(Debug)]
struct LoopShared {
    /// True while the HTTP thread waits for the loop.
    has_requests: AtomicBool,
    commands: Mutex<PendingCommands>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// True if the newest snapshot was taken for the chart history. The next reader then gets a
    /// newer one, because sampling must not make a reader's state older.
    is_sample: AtomicBool,
    history: ChartHistory,
    stop: Stop,
}

/// Handle shared by the HTTP thread and a loop.
#[derive(Clone, Debug)]
pub(crate) struct LoopHandle {
    shared: Arc<LoopShared>,
}

impl LoopHandle {
    pub(crate) fn new(stop: &Stop, role: &str) -> Self {
        let state = State {
            role: role.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: crate::http::api::events::now(),
            started: crate::http::api::events::now(),
            ..State::default()
        };
        let first = Snapshot { state, ..Snapshot::default() };
        let shared = LoopShared {
            has_requests: AtomicBool::new(false),
            commands: Mutex::default(),
            snapshot: watch::Sender::new(Arc::new(first)),
            is_sample: AtomicBool::new(false),
            history: ChartHistory::default(),
            stop: stop.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn commands(&self) -> MutexGuard<'_, PendingCommands> {
        self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Called by the loop.

    /// Returns whether the HTTP thread waits for the loop.
    pub(crate) fn has_requests(&self) -> bool {
        self.shared.has_requests.load(Ordering::Relaxed)
    }

    /// Takes the queued commands, each with the channel for its answer. Publish a snapshot after
    /// they are carried out. Leaves out commands whose clients were told to try again, or have
    /// gone: these would be carried out twice.
    pub(crate) fn take_commands(&self) -> PendingCommands {
        self.shared.has_requests.store(false, Ordering::SeqCst);
        let mut commands = std::mem::take(&mut *self.commands());
        commands.retain(|(_, sender)| !sender.is_closed());
        commands
    }

    /// Publishes the state of the loop.
    pub(crate) fn publish_snapshot(&self, state: State, extra: MetricsExtra) {
        let at = Some(Instant::now());
        self.shared.is_sample.store(false, Ordering::SeqCst);
        self.shared.snapshot.send_replace(Arc::new(Snapshot { state, extra, at }));
    }

    // Called by the HTTP thread.

    fn wake(&self) {
        self.shared.has_requests.store(true, Ordering::SeqCst);
        self.shared.stop.wake();
    }

    /// Returns a snapshot no older than [`SNAPSHOT_MAX_AGE`], and true; or the last one, and false,
    /// if the loop is busy or over.
    pub(crate) async fn snapshot(&self) -> (Arc<Snapshot>, bool) {
        let mut published = self.shared.snapshot.subscribe();
        let is_fresh = |snapshot: &Snapshot| {
            snapshot.at.is_some_and(|at| at.elapsed() < SNAPSHOT_MAX_AGE)
                && !self.shared.is_sample.load(Ordering::SeqCst)
        };
        let began = Instant::now();
        while !is_fresh(&published.borrow_and_update()) {
            if began.elapsed() > ANSWER_TIMEOUT {
                return (published.borrow().clone(), false);
            }
            self.wake();
            // A timeout is no error: the condition of the loop decides.
            let _ = tokio::time::timeout(WAKE_INTERVAL, published.changed()).await;
        }
        let snapshot = published.borrow().clone();
        (snapshot, true)
    }

    /// Returns a snapshot for the chart history, if the loop answers. Other readers do not get an
    /// older state because of it.
    pub(crate) async fn sample(&self) -> Option<Arc<Snapshot>> {
        let before = self.last_snapshot().at;
        let (snapshot, answered) = self.snapshot().await;
        if snapshot.at != before {
            self.shared.is_sample.store(true, Ordering::SeqCst);
        }
        answered.then_some(snapshot)
    }

    /// Returns the chart history.
    pub(crate) fn history(&self) -> &ChartHistory {
        &self.shared.history
    }

    /// Returns the newest snapshot, however old it is.
    pub(crate) fn last_snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.borrow().clone()
    }

    /// Sends a command to the loop and waits for its answer; `None` if the loop is busy or over.
    pub(crate) async fn send(&self, command: ControlCommand) -> Option<ControlAnswer> {
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut commands = self.commands();
            // A loop that takes no commands is stuck, so more of them would only wait as well.
            if commands.len() >= COMMANDS_MAX {
                return None;
            }
            commands.push_back((command, sender));
        }
        let began = Instant::now();
        while began.elapsed() < ANSWER_TIMEOUT {
            self.wake();
            if let Ok(answer) = tokio::time::timeout(WAKE_INTERVAL, &mut receiver).await {
                return answer.ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_whose_client_has_gone_is_not_carried_out() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let handle = LoopHandle::new(&Stop::new(), "exchange");
            let send = handle.send(ControlCommand::Pause);
            assert!(tokio::time::timeout(Duration::from_millis(1), send).await.is_err());
            let waiting = handle.clone();
            let waits = tokio::spawn(async move { waiting.send(ControlCommand::Resume).await });
            tokio::task::yield_now().await;
            assert_eq!(handle.commands().len(), 2);
            let mut taken = handle.take_commands();
            assert!(matches!(taken.pop_front(), Some((ControlCommand::Resume, _))));
            assert!(taken.is_empty());
            waits.abort();
        });
    }
}
