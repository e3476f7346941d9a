//! Sessions: knowledge of where a session ends, and whether a recording of it is complete.

pub mod completeness;
pub mod tail;
