//! One connection in SoupBinTCP, from accept to bytes.
//!
//! A client logs in first (`login`). A plan says what is sent next: packets, messages, and what
//! faults put between them (`plan`). The plan becomes bytes when the socket takes them, and is
//! removed as they are sent (`send`). `dialog` is how the exchange drives all of it; heartbeats
//! and timeouts are there.
//!
//! The plan has the sequences of messages, not their bytes, so a client that does not read costs no
//! buffer. Bytes may be cut anywhere, because SoupBinTCP is a stream of bytes.

mod dialog;
mod event;
mod login;
mod plan;
mod send;
mod stats;
#[cfg(test)]
mod tests;

pub use event::{RejectCause, SoupEvent, SoupTimeout, SoupViolation};
pub use stats::SoupStats;

use crate::base::seq::Seq;
use crate::exchange::server::connection::ConnectionBase;
use crate::exchange::server::write_sizes::WriteSizes;
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use crate::wire::Protocol;
use crate::wire::soup::{Framer, LOGIN_LENGTH_MAX, LoginRequest};
use core::time::Duration;
use plan::{Plan, Stream};

/// Time for which a client may stay connected without a login.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Time without a packet of the client after which the exchange ends the connection, unless the
/// login request has another.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Minimum time of a login request, because clients send a heartbeat each second.
pub const CLIENT_TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// Time without any bytes after which a client receives a heartbeat.
pub const SERVER_HEARTBEAT: Duration = Duration::from_secs(1);

/// State of one connection in SoupBinTCP.
#[derive(Debug)]
pub(super) struct SoupConnection {
    /// Parts that do not depend on the protocol.
    base: ConnectionBase,
    /// Packets of the client.
    framer: Framer,
    stage: Stage,
    plan: Plan,
    /// Sizes of writes, if a fault sets them.
    sizes: WriteSizes,
    /// Version of the faults that the plan was made with.
    fault_version: u32,
    /// Time of the client's last bytes.
    heard: Duration,
    /// Time of the next heartbeat if nothing is sent before.
    heartbeat_at: Duration,
}

/// Stage of a connection.
#[derive(Debug)]
enum Stage {
    /// No login request was received yet.
    Login,
    /// A login request waits for its turn, because its address has sent wrong passwords.
    Postponed { request: LoginRequest, until: Duration },
    /// The login is accepted.
    Streaming(Stream),
    /// The connection ends once the plan is sent.
    Over,
}

impl SoupConnection {
    /// Accepts a connection.
    pub(super) fn new(base: ConnectionBase) -> Self {
        let opened = base.traffic.opened;
        Self {
            base,
            framer: Framer::with_limit(LOGIN_LENGTH_MAX),
            stage: Stage::Login,
            plan: Plan::default(),
            sizes: WriteSizes::default(),
            fault_version: 0,
            heard: opened,
            heartbeat_at: opened,
        }
    }

    /// Applies the faults that happen as a client connects.
    pub(super) fn apply_connect_faults(&mut self, faults: &mut FaultEngine) {
        let run_id = self.run_id(FaultPlace::Connect, 0);
        self.plan.add_faults(faults, run_id, 0);
    }

    fn run_id(&self, place: FaultPlace, pass: u32) -> RunId {
        RunId { protocol: Protocol::Soup, place, connection: self.base.index, pass, run: 0 }
    }

    /// Returns the sequence of the next message to be sent, if messages are sent.
    fn next_seq(&self) -> Option<Seq> {
        let Stage::Streaming(stream) = &self.stage else { return None };
        Some(self.plan.first_seq().unwrap_or(stream.next))
    }
}
