//! One connection of the mock exchange: the parts that all protocols share, and the dialog of each.

use super::MockExchange;
use super::betacrew::BetacrewConnection;
use super::closing::Closing;
use super::control::ConnectionPosition;
use super::soup::SoupConnection;
use crate::exchange::Step;
use crate::tape::source::TapeSource;
use crate::wire::Protocol;
use core::net::IpAddr;
use core::time::Duration;

/// State of one connection of a [`MockExchange`].
#[derive(Debug)]
pub struct ServerConnection {
    state: ProtocolState,
}

/// State of a connection in its protocol.
#[derive(Debug)]
enum ProtocolState {
    Betacrew(BetacrewConnection),
    Soup(SoupConnection),
}

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

/// Parts of a connection that do not depend on its protocol.
#[derive(Debug)]
pub(super) struct ConnectionBase {
    /// Number of the connection, from 0 in the order in which connections are accepted.
    pub(super) index: u64,
    /// Progress of the exchange's end of the connection.
    pub(super) closing: Closing,
    /// True once the client will send no more.
    pub(super) client_ended: bool,
    /// Time before which no bytes are sent, because of a fault or an order.
    pub(super) held_until: Option<Duration>,
    /// Times and counts of the traffic.
    pub(super) traffic: Traffic,
    /// Address of the client, if the driver has reported it.
    pub(super) client: Option<IpAddr>,
}

impl ConnectionBase {
    /// Accepts a connection.
    pub(super) fn new(index: u64, now: Duration) -> Self {
        Self {
            index,
            closing: Closing::Open,
            client_ended: false,
            held_until: None,
            traffic: Traffic { opened: now, active: now, packets: 0, bytes: 0 },
            client: None,
        }
    }

    /// Returns the number of the connection, from 1.
    pub(super) fn number(&self) -> u64 {
        self.index + 1
    }

    /// Sends no bytes before `until`.
    pub(super) fn stall(&mut self, until: Duration) {
        self.held_until = self.held_until.max(Some(until));
    }
}

/// Dialog of a connection with its client, in one protocol. The methods do for one connection what
/// those of [`Exchange`](crate::exchange::Exchange) do for the exchange. A pause and a forced end
/// are not their business.
pub(super) trait Dialog<P> {
    /// Returns the parts that do not depend on the protocol.
    fn base(&self) -> &ConnectionBase;

    /// Returns the parts that do not depend on the protocol, to be changed.
    fn base_mut(&mut self) -> &mut ConnectionBase;

    /// Returns whether the driver may read from the connection now.
    fn wants_input(&self) -> bool;

    /// Takes bytes that the client has sent.
    fn receive(&mut self, exchange: &mut MockExchange<P>, bytes: &[u8], now: Duration);

    /// Ends replies that would never end, because the client will send no more.
    fn input_ended(&mut self);

    /// Copies the bytes of the next write into `out` and returns their number.
    fn peek(&mut self, exchange: &mut MockExchange<P>, out: &mut [u8], now: Duration) -> usize;

    /// Removes bytes that the connection took from what is to be sent, and counts them.
    fn sent(&mut self, exchange: &mut MockExchange<P>, count: usize, now: Duration);

    /// Returns the action to take on the connection when there is nothing to send.
    fn step(&mut self, exchange: &mut MockExchange<P>, now: Duration) -> Step;

    /// Returns the time of the next [`peek`](Self::peek) if no event happens before.
    fn deadline(&self, exchange: &mut MockExchange<P>) -> Option<Duration>;

    /// Returns whether the connection waits for its client.
    fn is_idle(&self) -> bool;

    /// Drops all that is still to be sent, because an order ends the connection.
    fn drop_pending(&mut self);

    /// Returns the role of the connection in one word, and its position in the tape.
    fn position(&self) -> ConnectionPosition;
}

impl ServerConnection {
    /// Creates the state of a connection that speaks the exercise's protocol.
    pub(super) fn betacrew(connection: BetacrewConnection) -> Self {
        Self { state: ProtocolState::Betacrew(connection) }
    }

    /// Creates the state of a connection that speaks SoupBinTCP.
    pub(super) fn soup(connection: SoupConnection) -> Self {
        Self { state: ProtocolState::Soup(connection) }
    }

    /// Returns the protocol of the connection.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.state {
            ProtocolState::Betacrew(_) => Protocol::Betacrew,
            ProtocolState::Soup(_) => Protocol::Soup,
        }
    }

    /// Returns the dialog of the connection.
    pub(super) fn dialog<P: TapeSource>(&self) -> &dyn Dialog<P> {
        match &self.state {
            ProtocolState::Betacrew(connection) => connection,
            ProtocolState::Soup(connection) => connection,
        }
    }

    /// Returns the dialog of the connection, to be changed.
    pub(super) fn dialog_mut<P: TapeSource>(&mut self) -> &mut dyn Dialog<P> {
        match &mut self.state {
            ProtocolState::Betacrew(connection) => connection,
            ProtocolState::Soup(connection) => connection,
        }
    }
}
