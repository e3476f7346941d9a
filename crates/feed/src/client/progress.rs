//! Progress of a recording: its state and counters, for drivers and for those who watch.

use super::passes::PassStats;
use super::{LineStats, Outcome, PeerViolations, Recorder, RecorderStats};
use crate::ledger::Ledger;
use crate::wire::SessionId;
use core::time::Duration;

impl Recorder {
    /// Returns whether the recording is over and every connection closed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.is_some() && self.conns.is_empty()
    }

    /// Returns the outcome of the recording, once it is known.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns the time at which the outcome was known. Closing the connections takes longer.
    #[must_use]
    pub fn ended_at(&self) -> Option<Duration> {
        self.ended_at
    }

    /// Returns the time of the latest input.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the ledger: which sequences are recorded and which are missing.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the counters over all lines.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.stats
    }

    /// Returns whether the recorder follows a live session.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.options.follow
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Returns the counters of one line.
    #[must_use]
    pub fn line(&self, line: u16) -> Option<&LineStats> {
        self.lines.get(usize::from(line)).map(|line| &line.stats)
    }

    /// Returns the statistics of the passes so far.
    #[must_use]
    pub fn passes(&self) -> PassStats {
        self.passes
    }

    /// Returns the id of the recorded session, once an exchange has reported it.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Returns the peers' violations of the protocol so far.
    #[must_use]
    pub fn violations(&self) -> &PeerViolations {
        &self.violations
    }
}
