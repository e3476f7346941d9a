//! Control over HTTP: commands to the running loop, and where the two meet.

pub(crate) mod command;
pub(crate) mod loop_handle;
