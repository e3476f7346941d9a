//! The gateway: a session's packets into a NATS JetStream stream, each once and in order, and back.
//!
//! What a message is, and what to do next, is decided without I/O: [`block`] and [`publisher`].
//! Around that is a thread with the client library, [`gateway`], and a reader, [`log`]. What is
//! promised, and to whom, is in `docs/gateway.md`.

pub mod block;



pub mod publisher;






