//! Faults: the errors of an exchange, and the packets that each of them hits.

pub mod engine;
pub mod scenario;
pub(crate) mod tally;
