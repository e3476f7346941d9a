//! Who looks at a running exchange and steers it, between two turns of its loop.

use feed::exchange::Exchange;
use mio::net::TcpStream;
use std::net::SocketAddr;
use std::time::Duration;

/// A connection of a running exchange.
#[derive(Debug)]
pub struct ConnectionRef<'a, C> {
    pub(super) stream: &'a TcpStream,
    /// The exchange's state of it.
    pub conn: &'a mut C,
}

impl<C> ConnectionRef<'_, C> {
    /// Its client's address, if the system knows it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }
}

/// Somebody who looks at a running exchange and steers it.
pub trait Controller<E: Exchange> {
    /// Whether to be given a turn. Asked in every turn of the loop, so it must cost nothing.
    fn wants(&self) -> bool;

    /// Looks at the exchange and its connections, and changes what is to be changed. Whether
    /// anything was: then every connection gets a turn.
    fn turn(
        &mut self,
        exchange: &mut E,
        floor: &mut [ConnectionRef<'_, E::Connection>],
        now: Duration,
    ) -> bool;
}

/// Nobody at the desk.
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
