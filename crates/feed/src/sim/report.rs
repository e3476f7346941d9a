//! What a simulated life came to.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What a life came to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SimReport {
    /// Packets on the tape.
    pub packets: u64,
    /// Frames that clients were given.
    pub delivered: u64,
    /// Events that happened.
    pub steps: u64,
    /// How often the command was given.
    pub tries: u32,
    /// How often the client's process ended before its time.
    pub crashes: u32,
    /// How often an exchange's process did.
    pub outages: u32,
    /// How often a recording ended incomplete.
    pub incomplete: u32,
    /// Packets recorded that are not the tape's, where bytes came that shift what is behind them.
    pub shifted: u64,
    /// How long it took, in simulated time.
    pub took: Duration,
    /// What happened, if that was told.
    pub story: SimTrace,
}

/// What happened, and when.
pub type SimTrace = Vec<(Duration, String)>;

/// A life in which something is wrong with the recorder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The life's seed.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// What happened, if that was told.
    pub story: SimTrace,
}
