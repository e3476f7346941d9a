//! Clients of MoldUDP64 (`docs/mold.md`).

pub(crate) mod cases;
pub(crate) mod causes;
pub(crate) mod log;
pub(crate) mod recorder;
pub(crate) mod rules;
pub(crate) mod sockets;
pub(crate) mod timeline;
