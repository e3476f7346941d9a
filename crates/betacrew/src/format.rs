//! Packets as files, one module a format.

pub mod json;
