//! The last minutes as points of charts, so that a page that is loaded anew is not empty. The HTTP
//! thread takes one a second; a loop that nobody looks at has one more turn a second for it.

use crate::http::control::loop_handle::LoopHandle;
use crate::http::state::State;
use crate::http::state::feed_state::FeedState;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Interval between two points.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// Number of points kept: ten minutes of them.
pub(crate) const POINTS_MAX: usize = 600;

/// What charts show of a moment. Counts are since the beginning, as in the state.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Point {
    /// Time in milliseconds since 1970.
    pub at: u64,
    /// State of the feed.
    pub feed: FeedState,
    /// Packets recorded (client) or sent (exchange).
    pub packets: u64,
    /// Packets that were missing and came; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// Packets missing at that moment; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Gaps found; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u64>,
    /// Packets given up; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Median time that what was recovered lately was missing, in milliseconds; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_p50_ms: Option<f64>,
    /// Time that 99 of 100 did not exceed; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_p99_ms: Option<f64>,
    /// Packets dropped on purpose; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Packets requested again; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resent: Option<u64>,
    /// Packets that the stream furthest behind is behind; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u32>,
}

impl Point {
    fn of(state: &State) -> Self {
        let counters = &state.counters;
        let latency = state.latency.as_ref().filter(|latency| latency.count > 0);
        Self {
            at: state.now,
            feed: state.feed.state,
            packets: counters.packets,
            recovered: counters.recovered,
            missing: state.missing,
            gaps: counters.gaps,
            lost: counters.lost,
            resend_p50_ms: latency.map(|latency| latency.resend_p50_ms),
            resend_p99_ms: latency.map(|latency| latency.resend_p99_ms),
            dropped: counters.dropped,
            resent: counters.dropped.map(|_| counters.resent),
            behind: state.behind,
        }
    }
}

/// The newest [`POINTS_MAX`] points.
#[derive(Default, Debug)]
pub(crate) struct ChartHistory(Mutex<VecDeque<Point>>);

impl ChartHistory {
    fn push(&self, point: Point) {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() == POINTS_MAX {
            points.pop_front();
        }
        points.push_back(point);
    }

    /// Returns the points, the oldest first.
    pub(crate) fn look(&self) -> Vec<Point> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Takes a point every [`INTERVAL`], for as long as the program runs. A loop that does not answer
/// leaves a hole.
pub(crate) async fn keep(meeting: LoopHandle) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(snapshot) = meeting.sample().await {
            meeting.history().push(Point::of(&snapshot.state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::state::Counters;
    use crate::http::state::metrics::Raw;
    use crate::net::Stop;

    #[test]
    fn ten_minutes_are_kept_in_a_bounded_room() {
        let history = ChartHistory::default();
        for at in 0..2 * POINTS_MAX as u64 {
            history.push(Point { at, ..Point::default() });
        }
        let points = history.look();
        assert_eq!((points.len(), points[0].at), (POINTS_MAX, POINTS_MAX as u64));
        assert_eq!(INTERVAL * u32::try_from(POINTS_MAX).unwrap(), Duration::from_secs(600));
        // docs/http.md states it.
        let room = history.0.lock().unwrap().capacity() * size_of::<Point>();
        assert!(room <= 192 * 1024, "{room} bytes");
    }

    #[test]
    fn a_point_has_what_applies() {
        let counters = Counters { packets: 7, resent: 3, dropped: Some(2), ..Counters::default() };
        let state = State { now: 9, counters, behind: Some(4), ..State::default() };
        let point = Point::of(&state);
        assert_eq!((point.at, point.packets, point.resent), (9, 7, Some(3)));
        assert_eq!((point.dropped, point.behind, point.recovered), (Some(2), Some(4), None));
        let client = Point::of(&State::default());
        assert_eq!((client.resent, client.resend_p50_ms), (None, None));
    }

    #[test]
    fn a_point_is_taken_every_second_while_the_loop_answers() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let meeting = LoopHandle::new(&Stop::new(), "client");
            let told = meeting.clone();
            let answering = tokio::spawn(async move {
                loop {
                    if told.wanted() {
                        drop(told.take());
                        told.tell(State::default(), Raw::default());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            tokio::spawn(keep(meeting.clone()));
            // The time that the loop answers with is the system's, which stands still here.
            let mut taken = 0;
            while taken < 3 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                taken = meeting.history().look().len();
            }
            answering.abort();
        });
    }

    #[test]
    fn who_asks_after_a_point_was_taken_sees_a_state_of_its_own() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let meeting = LoopHandle::new(&Stop::new(), "client");
            let told = meeting.clone();
            tokio::spawn(async move {
                for now in 1.. {
                    while !told.wanted() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    drop(told.take());
                    told.tell(State { now, ..State::default() }, Raw::default());
                }
            });
            let sampled = meeting.sample().await.unwrap().state.now;
            assert!(meeting.look().await.0.state.now > sampled);
        });
    }
}
