//! Listening sockets of `serve`, each with its protocol.

use super::lines::OpenLines;
use crate::args::address;
use crate::error::Failure;
use crate::http::Web;
use crate::net::{self, LISTENERS_MAX, Listener};
use crate::terminal::message::print;
use feed::exchange::server::users::Users;
use feed::wire::{Protocol, Protocols};
use std::fmt::Write;
use std::net::SocketAddr;

/// Sockets of an exchange, listening but not yet served.
pub(super) struct OpenExchange {
    pub(super) listeners: Vec<Listener>,
    pub(super) lines: OpenLines,
    pub(super) users: Users,
    pub(super) web: Option<Web>,
}

impl OpenExchange {
    /// Returns the address of each listener and line, with its protocol.
    pub(super) fn addresses(&self) -> Result<Vec<(Protocol, String)>, Failure> {
        let address = |listener: &Listener| {
            Ok((listener.protocol, listener.socket.local_addr()?.to_string()))
        };
        let addresses = self.listeners.iter().map(address).collect::<std::io::Result<Vec<_>>>();
        let action = "cannot read the address of a socket";
        let mut addresses = addresses.map_err(|source| Failure::System { action, source })?;
        addresses.extend(self.lines.addresses.iter().map(|line| (Protocol::Mold, line.clone())));
        Ok(addresses)
    }

    /// Prints the addresses. Called last, because a script may connect once it has read them.
    pub(super) fn print_addresses(&self) -> Result<(), Failure> {
        let mut lines = String::new();
        for (protocol, address) in self.addresses()? {
            // An address without a protocol is one of the exercise's protocol.
            let scheme = match protocol {
                Protocol::Betacrew => String::new(),
                protocol => format!("{protocol}://"),
            };
            let _ = writeln!(lines, "listening on {scheme}{address}");
        }
        lines += &self.web.as_ref().map(Web::lines).unwrap_or_default();
        print(&lines).map(drop)
    }
}

/// Returns the protocols of typed addresses.
///
/// # Errors
/// Returns [`Failure::Usage`] if one is not known.
pub(super) fn protocols(typed: &[String]) -> Result<Protocols, Failure> {
    let protocol = |text: &String| address::split_protocol(text).map(|(protocol, _)| protocol);
    match typed {
        [] => Ok(Protocols::default()),
        typed => typed.iter().map(protocol).collect(),
    }
}

/// Opens listeners on the given addresses but those of lines, or on port 3000 of both loopback
/// addresses.
///
/// # Errors
/// Returns [`Failure::Usage`] if an address is wrong or has two protocols, and
/// [`Failure::Listen`] if one is not free.
pub(super) fn listen(typed: &[String]) -> Result<Vec<Listener>, Failure> {
    let default = [format!("localhost:{}", address::PORT)];
    let typed = if typed.is_empty() { &default } else { typed };
    let mut wanted = Vec::<(SocketAddr, Protocol)>::new();
    let mut groups = Vec::new();
    for text in typed {
        let (protocol, text) = address::split_protocol(text)?;
        if protocol == Protocol::Mold {
            continue;
        }
        let mut addresses = address::resolve(text)?;
        let known = |address: &SocketAddr| wanted.iter().find(|(it, _)| it == address);
        if let Some((address, other)) = addresses
            .iter()
            .filter_map(known)
            .find(|(it, other)| it.port() != 0 && *other != protocol)
        {
            return Err(Failure::Usage(format!(
                "--listen: {address} cannot speak both {other}:// and {protocol}://; give each \
                 protocol a port of its own"
            )));
        }
        addresses.retain(|address| address.port() == 0 || known(address).is_none());
        wanted.extend(addresses.iter().map(|address| (*address, protocol)));
        groups.push((addresses, protocol));
    }
    let mut listeners = Vec::new();
    for (addresses, protocol) in groups {
        let found = net::listen_on(&addresses).map_err(|(address, source)| Failure::Listen {
            address: address.to_string(),
            source,
        })?;
        listeners.extend(found.into_iter().map(|socket| Listener { socket, protocol }));
    }
    match listeners.len() > LISTENERS_MAX {
        true => {
            Err(Failure::Usage(format!("--listen: at most {LISTENERS_MAX} addresses can be used")))
        }
        false => Ok(listeners),
    }
}
