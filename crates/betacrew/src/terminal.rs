//! The terminal and the shell around the program: signals, and what may be coloured or move.

pub(crate) mod message;
pub(crate) mod progress;
pub(crate) mod sequence_strip;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod style;
