//! One connection in the exercise's protocol, from accept to bytes.
//!
//! A connection accepts calls, which give it a role ([`role`]). Each call adds a reply ([`reply`]).
//! Replies become bytes when the socket takes them ([`write`]), and are removed as they are sent
//! ([`send_progress`]). Two things interfere: subscribers that are too slow ([`slow_subscriber`]),
//! and orders ([`control`]). [`dialog`] is how the exchange drives all of it.
//!
//! The bytes of a reply that can only drop packets are not stored: they are made when the socket
//! takes them, and made again from where the socket stopped. So a client that does not read costs
//! no buffer. A reply that more can happen to is a [`FaultedRun`], which stores a bounded number of
//! actions.

mod answer;
mod control;
mod dialog;
pub(crate) mod faulted_run;
mod reply;
mod role;
mod send_buffer;
mod send_progress;
mod slow_subscriber;
mod subscription;
mod write;

pub use subscription::{FAREWELL, HEARTBEAT};

use crate::exchange::server::closing::{Closing, EndCause};
use crate::exchange::server::connection::ConnectionBase;
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use crate::wire::{CallDecoder, Protocol};
use alloc::collections::VecDeque;
use core::time::Duration;
use faulted_run::FaultedRun;
use reply::Reply;
pub(super) use role::ConnectionRole;
use write::{SendContext, WriteProgress};

/// State of one connection in the exercise's protocol.
#[derive(Debug)]
pub(super) struct BetacrewConnection {
    /// Parts that do not depend on the protocol.
    pub(super) base: ConnectionBase,
    /// Decoder of the client's calls.
    pub(super) calls: CallDecoder,
    /// Role of the connection, by the calls received.
    pub(super) role: ConnectionRole,
    /// Replies that are not sent completely, in order.
    replies: VecDeque<Reply>,
    /// Number of streams begun on the connection.
    streams: u32,
    /// Number of answers to resend calls begun on the connection.
    answers: u32,
    /// Version of the faults that the replies were made with.
    fault_version: u32,
    /// Progress of the current write.
    write: WriteProgress,
    /// Number of dropped packets that are not counted in the exchange's statistics yet.
    uncounted_drops: u64,
}

impl BetacrewConnection {
    /// Accepts a connection. `calls` decodes its calls, with or without the extension.
    pub(super) fn new(base: ConnectionBase, calls: CallDecoder) -> Self {
        Self {
            base,
            calls,
            role: ConnectionRole::Idle,
            replies: VecDeque::new(),
            streams: 0,
            answers: 0,
            fault_version: 0,
            write: WriteProgress::new(),
            uncounted_drops: 0,
        }
    }

    /// Applies the faults that happen as a client connects.
    pub(super) fn apply_connect_faults(&mut self, faults: &mut FaultEngine) {
        let run_id = self.run_id(FaultPlace::Connect, 0, 0);
        if !faults.is_fault_free(run_id) {
            let mut run = FaultedRun::new(run_id, None, false);
            run.apply_outside_packets(faults);
            self.replies.push_back(Reply::faulted(run, Duration::ZERO));
        }
    }

    /// Returns whether further calls are answered.
    pub(super) fn accepts_calls(&self) -> bool {
        // Calls that arrive after the exchange's end were sent before the client saw that end.
        self.role.accepts_calls() && !self.base.closing.has_ended()
    }

    /// Returns the number of replies that are not sent completely.
    pub(super) fn owed(&self) -> usize {
        self.replies.len()
    }

    fn run_id(&self, place: FaultPlace, pass: u32, run: u32) -> RunId {
        let (protocol, connection) = (Protocol::Betacrew, self.base.index);
        RunId { protocol, place, connection, pass, run }
    }
}
