//! Where the HTTP thread and a loop meet. The loop looks at one flag a turn; only if it is up does
//! it take orders and tell its state. So what is not looked at costs nothing.

use crate::http::control::command::{ControlAnswer, ControlCommand};
use crate::http::state::State;
use crate::http::state::chart_history::ChartHistory;
use crate::http::state::metrics::Raw;
use crate::net::Stop;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// So many orders wait at the most.
const ORDERS_MAX: usize = 64;
/// A state that is no older than this is told again.
const FRESH: Duration = Duration::from_millis(90);
/// A loop that has not answered is woken again after this: it may just have been about to sleep.
const NUDGE: Duration = Duration::from_millis(30);
/// And is too busy after this.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a loop tells.
#[derive(Clone, Default, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) raw: Raw,
    /// When it was told.
    pub(crate) at: Option<Instant>,
}

type PendingCommand = VecDeque<(ControlCommand, oneshot::Sender<ControlAnswer>)>;

#[derive(Debug)]
struct LoopShared {
    /// Somebody wants something.
    wanted: AtomicBool,
    orders: Mutex<PendingCommand>,
    told: watch::Sender<Arc<Snapshot>>,
    /// What was told last was told for the chart history: whoever asks next gets a newer one.
    sampled: AtomicBool,
    history: ChartHistory,
    stop: Stop,
}

/// One end of the meeting, for both sides.
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
            wanted: AtomicBool::new(false),
            orders: Mutex::default(),
            told: watch::Sender::new(Arc::new(first)),
            sampled: AtomicBool::new(false),
            history: ChartHistory::default(),
            stop: stop.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn orders(&self) -> MutexGuard<'_, PendingCommand> {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the loop does.

    /// Whether somebody wants something.
    pub(crate) fn wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::Relaxed)
    }

    /// What is to be done, and who waits for the answer. Tell the state after it.
    pub(crate) fn take(&self) -> PendingCommand {
        self.shared.wanted.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.orders())
    }

    pub(crate) fn tell(&self, state: State, raw: Raw) {
        let at = Some(Instant::now());
        self.shared.sampled.store(false, Ordering::SeqCst);
        self.shared.told.send_replace(Arc::new(Snapshot { state, raw, at }));
    }

    // What the HTTP thread does.

    fn wake(&self) {
        self.shared.wanted.store(true, Ordering::SeqCst);
        self.shared.stop.wake();
    }

    /// The state, no older than a tenth of a second unless the loop is busy or over. With it,
    /// whether the loop has answered.
    pub(crate) async fn look(&self) -> (Arc<Snapshot>, bool) {
        let mut told = self.shared.told.subscribe();
        let fresh = |snapshot: &Snapshot| {
            snapshot.at.is_some_and(|at| at.elapsed() < FRESH)
                && !self.shared.sampled.load(Ordering::SeqCst)
        };
        let began = Instant::now();
        while !fresh(&told.borrow_and_update()) {
            if began.elapsed() > PATIENCE {
                return (told.borrow().clone(), false);
            }
            self.wake();
            // Whether it was told or not, the loop above looks.
            let _ = tokio::time::timeout(NUDGE, told.changed()).await;
        }
        let snapshot = told.borrow().clone();
        (snapshot, true)
    }

    /// Returns the state for the chart history, if the loop answers. Asking for it must not make
    /// others see an older state than they would without it.
    pub(crate) async fn sample(&self) -> Option<Arc<Snapshot>> {
        let before = self.last().at;
        let (snapshot, answered) = self.look().await;
        if snapshot.at != before {
            self.shared.sampled.store(true, Ordering::SeqCst);
        }
        answered.then_some(snapshot)
    }

    /// The last minutes.
    pub(crate) fn history(&self) -> &ChartHistory {
        &self.shared.history
    }

    /// What was told last.
    pub(crate) fn last(&self) -> Arc<Snapshot> {
        self.shared.told.borrow().clone()
    }

    /// Asks the loop; `None` where it is too busy or over.
    pub(crate) async fn ask(&self, order: ControlCommand) -> Option<ControlAnswer> {
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut orders = self.orders();
            if orders.len() >= ORDERS_MAX {
                return None;
            }
            orders.push_back((order, sender));
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.wake();
            if let Ok(answer) = tokio::time::timeout(NUDGE, &mut receiver).await {
                return answer.ok();
            }
        }
        None
    }
}
