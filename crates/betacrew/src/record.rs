//! Recording a session: where packets are kept, how they are handed on, and what is said about it.

pub(crate) mod fan_out;
pub(crate) mod observer;
pub mod report;
pub mod store;
pub(crate) mod summary;
