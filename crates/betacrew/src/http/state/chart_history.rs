//! Points of the charts over the last ten minutes, so that a reloaded page is not empty. The HTTP
//! thread takes one point a second, which costs an otherwise unobserved loop one snapshot a second.

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
/// Maximum number of points: ten minutes of them.
pub(crate) const POINTS_MAX: usize = 600;

/// Point of the charts. Counts are totals, as in the state.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Point {
    /// Time in milliseconds since 1970.
    pub at: u64,
    /// State of the feed.
    pub feed: FeedState,
    /// Number of packets recorded (client) or sent (exchange).
    pub packets: u64,
    /// Number of packets that were missing and then arrived; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// Number of packets missing at that time; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Number of gaps found; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u64>,
    /// Number of packets given up; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<u64>,
    /// Median time that recently recovered packets were missing, in milliseconds; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_p50_ms: Option<f64>,
    /// 99th percentile of that time, in milliseconds; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_p99_ms: Option<f64>,
    /// Number of packets dropped on purpose; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Number of packets requested again; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resent: Option<u64>,
    /// Number of packets between the slowest open stream and the tape's end; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
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
            abandoned: counters.abandoned,
            resend_p50_ms: latency.map(|latency| latency.resend_p50_ms),
            resend_p99_ms: latency.map(|latency| latency.resend_p99_ms),
            dropped: counters.dropped,
            resent: counters.dropped.map(|_| counters.resent),
            behind: state.behind,
        }
    }
}

/// Newest [`POINTS_MAX`] points.
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

    /// Returns the points, oldest first.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Takes a point every [`INTERVAL`] until the program ends. A second in which the loop does not
/// answer has no point.
pub(crate) async fn sample_forever(loop_handle: LoopHandle) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(snapshot) = loop_handle.sample().await {
            loop_handle.history().push(Point::of(&snapshot.state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::state::Counters;
    use crate::http::state::metrics::MetricsExtra;
    use crate::net::Stop;

    #[test]
    fn ten_minutes_of_points_take_at_most_192_kib() {
        let history = ChartHistory::default();
        for at in 0..2 * POINTS_MAX as u64 {
            history.push(Point { at, ..Point::default() });
        }
        let points = history.points();
        assert_eq!((points.len(), points[0].at), (POINTS_MAX, POINTS_MAX as u64));
        assert_eq!(INTERVAL * u32::try_from(POINTS_MAX).unwrap(), Duration::from_secs(600));
        // docs/http.md states this limit.
        let room = history.0.lock().unwrap().capacity() * size_of::<Point>();
        assert!(room <= 192 * 1024, "{room} bytes");
    }

    #[test]
    fn a_point_has_only_the_fields_of_its_role() {
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
            let loop_handle = LoopHandle::new(&Stop::new(), "client");
            let published = loop_handle.clone();
            let answering = tokio::spawn(async move {
                loop {
                    if published.has_requests() {
                        drop(published.take_commands());
                        published.publish_snapshot(State::default(), MetricsExtra::default());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            tokio::spawn(sample_forever(loop_handle.clone()));
            // The loop's answers carry the system's time, not the paused clock's.
            let mut taken = 0;
            while taken < 3 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                taken = loop_handle.history().points().len();
            }
            answering.abort();
        });
    }

    #[test]
    fn a_reader_after_a_sample_gets_a_newer_state() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let loop_handle = LoopHandle::new(&Stop::new(), "client");
            let published = loop_handle.clone();
            tokio::spawn(async move {
                for now in 1.. {
                    while !published.has_requests() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    drop(published.take_commands());
                    published.publish_snapshot(
                        State { now, ..State::default() },
                        MetricsExtra::default(),
                    );
                }
            });
            let sampled = loop_handle.sample().await.unwrap().state.now;
            assert!(loop_handle.snapshot().await.0.state.now > sampled);
        });
    }
}
