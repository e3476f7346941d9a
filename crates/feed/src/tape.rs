//! Tapes: the complete, ordered record of a session, in memory, in a file, or growing while it is
//! played.
//!
//! An exchange plays a [`TapeSource`](source::TapeSource), at a [`Pace`](pace::Pace):
//!
//! * [`in_memory`]: a tape in memory, for tests and small files;
//! * [`source`]: the interface, and a tape file as a source;
//! * [`market`] and [`itch_market`]: endless markets, computed from a seed;
//! * [`growing`]: a live session, whose packets become available as time passes.
//!
//! A client records into a [`Sink`](crate::ledger::Sink):
//!
//! * [`recording`]: a recording in memory;
//! * [`recorder`]: the sink that writes a tape file, and resumes it;
//! * [`mod@file`]: the tape file itself, on any [`Storage`](crate::storage::Storage).

pub mod file;
pub mod growing;
pub mod in_memory;
pub mod itch_market;
pub mod lengths;
pub mod market;
pub(crate) mod order_flow;
pub mod pace;
pub mod recorder;
pub mod recording;
pub mod source;
mod windows;
