//! Tapes: the complete, ordered record of a session, in memory, in a file, or growing while it is
//! played.

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
