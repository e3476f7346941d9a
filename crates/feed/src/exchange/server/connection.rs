//! One connection of the mock exchange, from accept to bytes.
//!
//! A connection accepts calls, which give it a role ([`role`]). Each call adds a reply ([`reply`]).
//! Replies become bytes when the socket takes them ([`write`]), and are removed as they are sent
//! ([`send_progress`]). At last the connection closes ([`closing`]). Two things interfere:
//! subscribers that are too slow ([`slow_subscriber`]), and orders ([`control`]).
//!
//! The bytes of a reply that can only lose packets are not stored: they are made when the socket
//! takes them, and made again from where the socket stopped. So a client that does not read costs
//! no buffer. A reply that more can happen to is a [`FaultedRun`], which stores a bounded number of
//! actions.

pub(crate) mod closing;
pub(crate) mod control;
pub(crate) mod reply;
pub(crate) mod role;
pub(crate) mod send_progress;
pub(crate) mod slow_subscriber;
pub(crate) mod write;

pub(super) use closing::{Closing, EndCause};
pub(super) use role::ConnectionRole;
pub(super) use write::SendContext;

use crate::exchange::server::faulted_run::FaultedRun;
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use crate::wire::CallDecoder;
use alloc::collections::VecDeque;
use core::time::Duration;
use reply::Reply;
use write::WriteProgress;

/// Times and counts of a connection's traffic.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Time at which the connection was accepted.
    pub(super) opened: Duration,
    /// Time of the last byte sent or received.
    pub(super) active: Duration,
    /// Number of packets sent.
    pub(super) packets: u64,
    /// Number of bytes sent.
    pub(super) bytes: u64,
}

/// State of one connection of a [`MockExchange`](super::MockExchange).
#[derive(Debug)]
pub struct ServerConnection {
    /// Number of the connection, from 0 in the order in which connections are accepted.
    pub(super) index: u64,
    /// Decoder of the client's calls.
    pub(super) calls: CallDecoder,
    /// Role of the connection, by the calls received.
    pub(super) role: ConnectionRole,
    /// Progress of the exchange's end of the connection.
    pub(super) closing: Closing,
    /// True once the client will send no more.
    pub(super) client_ended: bool,
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
    /// Time before which no bytes are sent, because of a fault or an order.
    pub(super) held_until: Option<Duration>,
    /// Number of dropped packets that are not counted in the exchange's statistics yet.
    uncounted_drops: u64,
    /// Times and counts of the traffic.
    pub(super) traffic: Traffic,
}

impl ServerConnection {
    /// Accepts a connection. `calls` decodes its calls, with or without the extension.
    pub(super) fn new(index: u64, now: Duration, calls: CallDecoder) -> Self {
        Self {
            index,
            calls,
            role: ConnectionRole::Idle,
            closing: Closing::Open,
            client_ended: false,
            replies: VecDeque::new(),
            streams: 0,
            answers: 0,
            fault_version: 0,
            write: WriteProgress::new(),
            held_until: None,
            uncounted_drops: 0,
            traffic: Traffic { opened: now, active: now, packets: 0, bytes: 0 },
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
        self.role.accepts_calls() && !self.closing.has_ended()
    }

    /// Returns the number of replies that are not sent completely.
    pub(super) fn owed(&self) -> usize {
        self.replies.len()
    }

    fn run_id(&self, place: FaultPlace, pass: u32, run: u32) -> RunId {
        RunId { place, connection: self.index, pass, run }
    }
}
