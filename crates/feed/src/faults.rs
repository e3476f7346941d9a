//! Faults: the errors of an exchange, and the packets to which each of them applies.
//!
//! * [`scenario`]: a list of faults as data, which programs read from files;
//! * [`engine`]: the packets to which each fault applies, as a function of the seed.
//!
//! An exchange asks the engine before it sends a packet. A fault never depends on time or on
//! sockets, so a run can be repeated byte for byte.

pub mod engine;
pub mod scenario;
pub(crate) mod tally;
