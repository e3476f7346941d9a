//! Control over HTTP: commands to the running loop, and the handle that carries them.

pub(crate) mod command;
pub(crate) mod loop_handle;
