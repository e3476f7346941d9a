//! Lines and requests of MoldUDP64 in the report.

use super::ms;
use crate::record::store::RecordingStore;
use feed::client::{MoldStats, Outcome, Recorder};
use feed::wire::Protocol;
use schemars::JsonSchema;
use serde::Serialize;

/// Statistics of a MoldUDP64 line.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportMold {
    /// Datagrams of the session on the line's group.
    datagrams: u64,
    /// Number of heartbeats among the datagrams.
    heartbeats: u64,
    /// Number of ends of the session among the datagrams.
    ends: u64,
    /// Datagrams whose messages had all arrived before.
    duplicates: u64,
    /// Datagrams that arrived late, with messages that the line had missed.
    reordered: u64,
    /// Requests to the line's servers.
    requests: u64,
    /// Datagrams of the line's servers.
    answers: u64,
    /// Smoothed time from a request to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    kernel_drops: u64,
    /// Number of datagrams ignored because they are of another session.
    other_session_datagrams: u64,
    /// Number of datagrams ignored because another sender has sent them.
    stranger_datagrams: u64,
    /// Number of datagrams ignored because they break the rules of MoldUDP64.
    malformed_datagrams: u64,
}

impl From<&MoldStats> for ReportMold {
    fn from(stats: &MoldStats) -> Self {
        Self {
            datagrams: stats.datagrams,
            heartbeats: stats.heartbeats,
            ends: stats.ends,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            requests: stats.requests,
            answers: stats.answers,
            round_trip_ms: stats.round_trip.map(ms),
            kernel_drops: stats.kernel_drops,
            other_session_datagrams: stats.other_session,
            stranger_datagrams: stats.strangers,
            malformed_datagrams: stats.malformed,
        }
    }
}

/// Requests to the request servers of all lines.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportRequests {
    /// Requests sent.
    sent: u64,
    /// Requests that were answered in time.
    answered: u64,
    /// Requests that were not answered in time.
    timed_out: u64,
    /// Answers with fewer messages than requested.
    partial: u64,
    /// Longest time from a request to its answer.
    slowest_ms: f64,
    /// Messages that every line missed: recovered by requests, or missing.
    missed_by_all_lines: u64,
    /// First message that the request servers serve, if they do not reach back to the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    served_from: Option<u64>,
}

impl ReportRequests {
    /// Returns the requests of a recorder; `None` if no line speaks MoldUDP64.
    pub(super) fn of(
        recorder: &Recorder,
        store: &RecordingStore,
        outcome: &Outcome,
    ) -> Option<Self> {
        let mut lines = (0..).map_while(|line| recorder.line(line));
        lines.find(|line| line.protocol == Protocol::Mold)?;
        let stats = recorder.request_stats();
        Some(Self {
            sent: stats.sent,
            answered: stats.answered,
            timed_out: stats.timed_out,
            partial: stats.partial,
            slowest_ms: ms(stats.slowest),
            missed_by_all_lines: store.gaps.recovered.0 + outcome.missing.count(),
            served_from: recorder.served_from(),
        })
    }
}
