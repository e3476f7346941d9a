//! Ends of passes: complete, or cut off.

use super::connection::{ConnectionRole, ConnectionSummary};
use super::{PassEnd, Recorder, RecorderEvent};
use crate::client::recovery::SILENT_STREAMS_MAX;
use crate::client::timers::backoff;
use core::time::Duration;

impl Recorder {
    /// Counts a pass that ran to its end.
    pub(super) fn on_pass_complete(&mut self, summary: ConnectionSummary, end: PassEnd) {
        let delivered = summary.delivered.min(self.ledger.highest().into());
        self.lines[usize::from(summary.line)].cut_streams = 0;
        self.stats.silent_passes += u32::from(end == PassEnd::Silent);
        self.passes.complete += 1;
        self.passes.delivered += delivered;
        self.fruitless_passes =
            if summary.new_packets == 0 { self.fruitless_passes + 1 } else { 0 };
        self.report_pass(summary, end);
    }

    /// Counts a pass that was cut off, and delays the next one.
    pub(super) fn on_pass_cut_off(&mut self, summary: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(summary.line)];
        // Passes that are cut off together count once. A pass that delivered something new does not
        // count as a failure.
        if summary.new_packets > 0 {
            line.cut_streams = 1;
        } else if line.retry_at <= now {
            line.cut_streams = line.cut_streams.saturating_add(1);
        }
        line.retry_at = now + backoff(line.cut_streams);
        self.report_pass(summary, PassEnd::CutOff);
    }

    /// Handles a stream that was silent for [`RecorderOptions::timeout`](super::RecorderOptions).
    pub(super) fn on_stream_timeout(&mut self, at: usize, now: Duration) {
        if self.outcome.is_some() {
            return;
        }
        let summary = self.conns[at].summary();
        self.drain(at, now);
        if summary.delivered > 0 {
            // A stream that delivered packets and fell silent has probably ended.
            self.on_pass_complete(summary, PassEnd::Silent);
        } else {
            self.on_pass_cut_off(summary, now);
            self.count_silent_stream(summary.line);
        }
    }

    /// Counts a stream that delivered nothing until it timed out. One such stream is tolerated.
    fn count_silent_stream(&mut self, line: u16) {
        let line = &mut self.lines[usize::from(line)];
        line.silent_streams += 1;
        if line.silent_streams >= SILENT_STREAMS_MAX {
            line.cut_streams = u32::MAX;
        }
    }

    /// Reports the end of a pass to the driver.
    pub(super) fn report_pass(&mut self, summary: ConnectionSummary, end: PassEnd) {
        if let ConnectionRole::Stream { pass } = summary.role {
            let delivered = summary.delivered;
            self.note(RecorderEvent::PassEnded { line: summary.line, pass, delivered, end });
        }
    }
}
