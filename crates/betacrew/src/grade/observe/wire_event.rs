//! Events on the connections of one run.

use feed::base::seq::Seq;
use feed::wire::{Call, Frame, RawFrame, decode};
use std::time::Duration;

/// Event on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WireEvent {
    /// Time since the exchange began to listen.
    pub(crate) at: Duration,
    /// Index of the connection, from 0 in the order of connecting.
    pub(crate) conn: usize,
    /// Kind of the event.
    pub(crate) what: WireEventKind,
}

/// Kind of an event on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WireEventKind {
    /// The client connected.
    Opened,
    /// The client sent a call. `late` is true after a stream call on the same connection.
    Called { call: Call, late: bool },
    /// The exchange sent, in one write, the bytes `from..to` of its output on the connection.
    Sent { from: u64, to: u64 },
    /// The client sent the packet with this index, in another protocol than the exercise's.
    Received(usize),
    /// The client ended its side of the connection.
    ClientEnded,
    /// The exchange ended its side of the connection.
    Finished,
    /// The connection was closed by both sides, or by the exchange.
    Closed,
    /// The client reset the connection. Bytes on their way to it may not have arrived.
    Reset,
    /// The exchange reset the connection.
    ResetByExchange,
}

/// Event that concerns one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PacketEvent {
    /// The client requested the packet. `late` is true after a stream call on the same connection,
    /// where the exchange does not answer.
    Requested { seq: Seq, late: bool },
    /// The exchange sent the packet, in a stream if `streamed` is true and else as an answer.
    Sent { seq: Seq, streamed: bool },
}

/// Returns the sequence of a frame, if it is a packet.
pub(crate) fn packet_of(frame: &RawFrame) -> Option<Seq> {
    match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet.sequence),
        _ => None,
    }
}
