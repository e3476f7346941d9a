//! How passes end: complete, or cut off.

use super::connection::{ConnectionRole, ConnectionSummary};
use super::{PassEnd, Recorder, RecorderEvent};
use crate::client::recovery::backoff;
use core::time::Duration;

impl Recorder {
    pub(super) fn pass_complete(&mut self, tally: ConnectionSummary, end: PassEnd) {
        let delivered = tally.delivered.min(self.ledger.highest().into());
        self.lines[usize::from(tally.line)].cuts = 0;
        self.stats.silent += u32::from(end == PassEnd::Silent);
        self.passes.complete += 1;
        self.passes.delivered += delivered;
        self.dry = if tally.fresh == 0 { self.dry + 1 } else { 0 };
        self.note_pass(tally, end);
    }

    pub(super) fn pass_cut(&mut self, tally: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(tally.line)];
        // Passes that are cut off together count once; one that brought something new not at all.
        if tally.fresh > 0 {
            line.cuts = 1;
        } else if line.retry_at <= now {
            line.cuts = line.cuts.saturating_add(1);
        }
        line.retry_at = now + backoff(line.cuts);
        self.note_pass(tally, PassEnd::Cut);
    }

    pub(super) fn note_pass(&mut self, tally: ConnectionSummary, end: PassEnd) {
        if let ConnectionRole::Stream { pass } = tally.role {
            let delivered = tally.delivered;
            self.note(RecorderEvent::PassEnded { line: tally.line, pass, delivered, end });
        }
    }
}
