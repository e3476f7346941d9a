//! Evidence of one run in another protocol than the exercise's.

use crate::grade::feeds::compare::FeedDifferences;
use crate::grade::feeds::output::FeedRows;
use crate::grade::feeds::tape::FeedTape;
use crate::grade::observe::evidence::ClientOutput;

/// Tape and output of one run.
#[derive(Clone, Debug)]
pub(crate) struct FeedEvidence {
    /// Messages that the exchange plays.
    pub(crate) tape: FeedTape,
    /// Output of the client.
    pub(crate) output: ClientOutput<FeedRows>,
    /// Differences between output and tape; without an output, every message is missing.
    pub(crate) differences: FeedDifferences,
}

impl FeedEvidence {
    /// Compares an output with the tape.
    pub(crate) fn new(tape: FeedTape, output: ClientOutput<FeedRows>) -> Self {
        let none = FeedRows::default();
        let rows = if let ClientOutput::Found { rows, .. } = &output { rows } else { &none };
        let differences = FeedDifferences::between(&tape, rows);
        Self { tape, output, differences }
    }
}
