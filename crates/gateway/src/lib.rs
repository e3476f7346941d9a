//! Gateway of a session's packets into a NATS JetStream stream, each once and in order, and back.
//!
//! # Concepts
//!
//! * **Log**: a JetStream stream with the packets of a session, in order.
//! * **Block**: one message of the log, with packets that follow one another and a header
//!   that names their session ([`block`]).
//! * **Publisher**: a state machine without I/O, which decides what to publish next, and what an
//!   answer of the server means ([`publisher`]). Each block is published on the condition that the
//!   log ends where the publisher believes, so several publishers need no coordination.
//! * **Target**: server, stream and options, as a user names them in a URL ([`Target`]).
//!
//! [`Gateway`] runs a publisher in a thread, with the NATS client library; [`Log`] reads a log
//! back. `docs/gateway.md` has the guarantees.

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
