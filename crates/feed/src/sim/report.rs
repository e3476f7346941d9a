//! Report of a simulated run.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Report of a simulated run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SimReport {
    /// Number of packets on the tape.
    pub packets: u64,
    /// Number of frames that clients received.
    pub delivered: u64,
    /// Number of simulated events.
    pub steps: u64,
    /// Number of times that the client was started.
    pub tries: u32,
    /// Number of crashes of the client.
    pub crashes: u32,
    /// Number of crashes of exchanges.
    pub outages: u32,
    /// Number of recordings that ended incomplete.
    pub incomplete: u32,
    /// Number of recorded packets that are not those of the tape, because extra or missing bytes
    /// shifted them.
    pub shifted: u64,
    /// Duration in simulated time.
    pub took: Duration,
    /// Trace of the run, if it was requested.
    pub trace: SimTrace,
}

/// Trace of a run: events with their times.
pub type SimTrace = Vec<(Duration, String)>;

/// Violation of an invariant in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Seed of the run.
    pub seed: u64,
    /// Description of the violation.
    pub what: String,
    /// Trace of the run, if it was requested.
    pub trace: SimTrace,
}
