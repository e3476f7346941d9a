//! Counters of a client's line that speaks MoldUDP64, in the state and in the metrics.

use feed::client::MoldStats;
use schemars::JsonSchema;
use serde::Serialize;

/// Counters of a line that speaks MoldUDP64.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct MoldSnapshot {
    /// Number of datagrams of the session that arrived on the line's group.
    pub datagrams: u64,
    /// Number of heartbeats among the datagrams.
    pub heartbeats: u64,
    /// Number of datagrams whose messages had all arrived before.
    pub duplicates: u64,
    /// Number of datagrams that arrived late, with messages that the line had missed.
    pub reordered: u64,
    /// Number of requests to the line's servers.
    pub requests: u64,
    /// Number of datagrams that the line's servers answered with.
    pub answers: u64,
    /// Smoothed time from a request to its answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Number of datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: u64,
    /// Number of datagrams that were ignored because their session is another one.
    pub other_session: u64,
    /// Number of datagrams that were ignored because their sender is not the line's.
    pub strangers: u64,
    /// Number of datagrams that were ignored because they are not as MoldUDP64 demands.
    pub malformed: u64,
}

impl From<&MoldStats> for MoldSnapshot {
    fn from(stats: &MoldStats) -> Self {
        Self {
            datagrams: stats.datagrams,
            heartbeats: stats.heartbeats,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            requests: stats.requests,
            answers: stats.answers,
            round_trip_ms: stats.round_trip.map(|time| time.as_secs_f64() * 1e3),
            kernel_drops: stats.kernel_drops,
            other_session: stats.other_session,
            strangers: stats.strangers,
            malformed: stats.malformed,
        }
    }
}

/// Name of a counter in the metrics, its help text, and its value.
pub(crate) type MoldMetric = (&'static str, &'static str, fn(&MoldSnapshot) -> u64);

/// Counters of a line, with the middle part of their names.
pub(crate) const METRICS: [MoldMetric; 10] = [
    ("datagrams", "MoldUDP64 datagrams of a line's group.", |line| line.datagrams),
    ("datagram_heartbeats", "MoldUDP64 heartbeats of a line's group.", |line| line.heartbeats),
    ("duplicate_datagrams", "MoldUDP64 datagrams of a line with nothing new.", |line| {
        line.duplicates
    }),
    ("reordered_datagrams", "MoldUDP64 datagrams of a line that arrived late.", |line| {
        line.reordered
    }),
    ("requests", "Requests to the request servers of a line.", |line| line.requests),
    ("answers", "Datagrams of the request servers of a line.", |line| line.answers),
    (
        "kernel_drops",
        "Datagrams of a line that the kernel dropped before they were read.",
        |line| line.kernel_drops,
    ),
    ("foreign_datagrams", "Datagrams on a line that are of another session.", |line| {
        line.other_session
    }),
    ("stranger_datagrams", "Datagrams on a line whose sender is not the line's.", |line| {
        line.strangers
    }),
    ("malformed_datagrams", "Datagrams on a line that are not as MoldUDP64 demands.", |line| {
        line.malformed
    }),
];
