//! Sessions: knowledge of where a session ends, and whether a recording of it is complete.
//!
//! * [`tail`]: how the last sequence is known: confirmed by an exchange, or inferred from passes;
//! * [`completeness`]: the decision whether a recording is complete, from
//!   [facts](completeness::Facts).

pub mod completeness;
pub mod tail;
