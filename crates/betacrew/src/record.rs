//! Recording of a session: the tape file, the live outputs, the summary and the report.

pub(crate) mod fan_out;
pub(crate) mod gap_counters;
pub(crate) mod observer;
pub mod report;
pub mod store;
pub(crate) mod summary;
