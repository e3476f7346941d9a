//! Gateway of a session's packets into a NATS JetStream stream, each once and in order, and back.
//!
//! Messages ([`block`]) and the decisions about them ([`publisher`]) work without I/O. [`Gateway`]
//! runs them in a thread with the client library; [`Log`] reads a stream. `docs/gateway.md` has the
//! guarantees.

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
