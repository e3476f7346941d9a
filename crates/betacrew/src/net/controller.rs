//! Controllers, which inspect and change a running exchange between two turns of its loop.

use feed::exchange::Exchange;
use mio::net::TcpStream;
use std::net::SocketAddr;
use std::time::Duration;

/// Connection of a running exchange.
#[derive(Debug)]
pub struct ConnectionRef<'a, C> {
    pub(super) stream: &'a TcpStream,
    /// State that the exchange has of it.
    pub conn: &'a mut C,
}

impl<C> ConnectionRef<'_, C> {
    /// Returns the address of the connection's client, if the system knows it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }
}

/// Component that inspects and changes a running exchange.
pub trait Controller<E: Exchange> {
    /// Returns whether the controller wants a turn. Called in every turn of the loop, so it must be
    /// cheap.
    fn wants(&self) -> bool;

    /// Inspects and changes the exchange and its connections. Returns true if anything changed, so
    /// that every connection gets a turn.
    fn turn(
        &mut self,
        exchange: &mut E,
        connections: &mut [ConnectionRef<'_, E::Connection>],
        now: Duration,
    ) -> bool;
}

/// Controller that never wants a turn.
#[derive(Clone, Copy, Debug)]
pub struct NoController;

impl<E: Exchange> Controller<E> for NoController {
    fn wants(&self) -> bool {
        false
    }

    fn turn(&mut self, _: &mut E, _: &mut [ConnectionRef<'_, E::Connection>], _: Duration) -> bool {
        false
    }
}
