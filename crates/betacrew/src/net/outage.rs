//! Listeners of an exchange that is down: their ports refuse clients, and stay its own.

use super::{reserve, start_listening};
use feed::wire::Protocol;
use mio::net::TcpListener;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;

/// Listener that is closed during an outage.
pub(super) struct ClosedListener {
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    /// Socket that keeps the port meanwhile; without it another program may have taken the port.
    reserved: Option<Socket>,
}

impl ClosedListener {
    /// Closes a listener and keeps its port.
    ///
    /// # Errors
    /// Errors of the system.
    pub(super) fn close(listener: TcpListener, protocol: Protocol) -> io::Result<Self> {
        let address = listener.local_addr()?;
        drop(listener);
        Ok(Self { address, protocol, reserved: reserve(address).ok() })
    }

    /// Listens again. May be called again after an error.
    ///
    /// # Errors
    /// Errors of the system, such as `AddrInUse`.
    pub(super) fn reopen(&mut self) -> io::Result<std::net::TcpListener> {
        let reserved = self.reserved.take().map_or_else(|| reserve(self.address), Ok);
        reserved.and_then(start_listening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn a_port_refuses_clients_until_its_listener_is_open_again() {
        let listener = super::super::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut closed =
            ClosedListener::close(TcpListener::from_std(listener), Protocol::Betacrew).unwrap();
        assert!(closed.reserved.is_some());
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = closed.reopen().unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        TcpStream::connect(address).unwrap();
    }
}
