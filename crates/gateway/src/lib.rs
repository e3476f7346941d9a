//! The gateway: a session's packets into a NATS JetStream stream, each once and in order, and back.
//!
//! What a message is, and what to do next, is decided without I/O: [`block`] and [`publisher`].
//! Around that is a thread with the client library, [`Gateway`], and a reader, [`Log`]. What is
//! promised, and to whom, is in `docs/gateway.md`.

pub mod block;
mod gateway;
mod log;
mod nats;
pub mod publisher;
mod stream;
mod target;

pub use gateway::{Gateway, Notice, Published};
pub use log::{Log, Removed};
pub use nats::Error;
pub use target::{Encoding, Settings, Target};
