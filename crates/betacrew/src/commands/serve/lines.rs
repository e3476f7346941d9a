//! Lines of `serve` in MoldUDP64: their flags, addresses and sockets.

use crate::args::line_address::LineAddress;
use crate::args::{address, parse};
use crate::error::Failure;
use crate::net::{LINES_MAX, LineSockets};
use feed::exchange::server::MockExchange;
use feed::exchange::server::mold::{DatagramLimits, LineOptions};
use feed::tape::source::TapeSource;
use feed::wire::Protocol;
use feed::wire::mold::{COUNT_MAX, PayloadLimit};
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Size of the system's buffer for datagrams to be sent, and for requests received, in bytes. The
/// system may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Flags of lines in MoldUDP64.
#[derive(clap::Args, Debug)]
pub(super) struct LineArgs {
    /// Maximum size of a MoldUDP64 datagram: BYTES[,MESSAGES] [default: 1400]
    ///
    /// The number of bytes is that of the datagram's payload. A message that is longer has a
    /// datagram of its own. 1400,1 sends each message alone.
    #[arg(long, value_name = "SIZE", value_parser = limits, help_heading = "MoldUDP64")]
    datagram: Option<DatagramLimits>,

    /// Maximum time that a message waits for its MoldUDP64 datagram to fill [default: 1ms]
    ///
    /// A tape that is played as fast as possible does not wait.
    #[arg(long, value_name = "TIME", value_parser = parse::duration, help_heading = "MoldUDP64")]
    flush: Option<Duration>,
}

/// Parses a maximum size of datagrams.
fn limits(text: &str) -> Result<DatagramLimits, String> {
    let (bytes, messages) = text.split_once(',').unwrap_or((text, "65534"));
    let payload = bytes.trim().parse().ok().and_then(PayloadLimit::new);
    let messages = messages.trim().parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
    match (payload, messages) {
        (Some(payload), Some(messages)) => Ok(DatagramLimits { payload, messages }),
        _ => Err(format!(
            "a datagram has {} to {} bytes and 1 to {COUNT_MAX} messages, such as 1400 or 1400,30",
            PayloadLimit::MIN.bytes(),
            PayloadLimit::MAX.bytes()
        )),
    }
}

/// Returns the number of lines among the typed addresses.
pub(super) fn count(typed: &[String]) -> u16 {
    let is_line = |text: &&String| {
        address::split_protocol(text).is_ok_and(|(protocol, _)| protocol == Protocol::Mold)
    };
    u16::try_from(typed.iter().filter(is_line).count()).unwrap_or(u16::MAX)
}

/// Lines whose sockets are open.
#[derive(Default)]
pub(super) struct OpenLines {
    pub(super) sockets: Vec<LineSockets>,
    options: Vec<LineOptions>,
    /// Address of each line for clients, without its protocol.
    pub(super) addresses: Vec<String>,
}

impl OpenLines {
    /// Adds the lines to an exchange, in the order of their sockets.
    pub(super) fn add_to<P: TapeSource>(&self, exchange: MockExchange<P>) -> MockExchange<P> {
        self.options.iter().fold(exchange, |exchange, options| exchange.with_line(*options))
    }
}

impl LineArgs {
    /// Opens the sockets of the lines among the typed addresses.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if an address is wrong, or a flag of lines is given without one;
    /// [`Failure::Listen`] if an address of a request server is not free, and [`Failure::System`]
    /// if another socket cannot be opened.
    pub(super) fn open(&self, typed: &[String]) -> Result<OpenLines, Failure> {
        let mut lines = OpenLines::default();
        for text in typed {
            let (protocol, text) = address::split_protocol(text)?;
            if protocol != Protocol::Mold {
                continue;
            }
            if lines.sockets.len() == LINES_MAX {
                return Err(Failure::Usage(format!(
                    "--listen: at most {LINES_MAX} lines of MoldUDP64 can be played"
                )));
            }
            let address = LineAddress::parse(text)?;
            let sockets = open_sockets(&address)?;
            let request = sockets.requests.as_ref().and_then(|socket| socket.local_addr().ok());
            lines.addresses.push(address.client_address(request));
            let mut options = address.options;
            options.limits = self.datagram.unwrap_or(options.limits);
            options.flush = self.flush.unwrap_or(options.flush);
            lines.options.push(options);
            lines.sockets.push(sockets);
        }
        let flag = self.datagram.map(|_| "--datagram").or(self.flush.map(|_| "--flush"));
        match flag.filter(|_| lines.sockets.is_empty()) {
            Some(flag) => Err(Failure::Usage(format!(
                "{flag}: only MoldUDP64 has datagrams; add --listen mold://HOST:PORT"
            ))),
            None => Ok(lines),
        }
    }
}

/// Opens the sockets of a line.
fn open_sockets(address: &LineAddress) -> Result<LineSockets, Failure> {
    let failed = |source| Failure::System { action: "cannot open a socket for datagrams", source };
    let downstream = downstream(address).map_err(failed)?;
    let requests = address.request.map(|at| {
        let failed = |source| Failure::Listen { address: format!("{at} (udp)"), source };
        bound(at).map_err(failed)
    });
    Ok(LineSockets {
        downstream,
        receivers: address.receivers.clone(),
        requests: requests.transpose()?,
    })
}

/// Opens the socket from which a line sends.
fn downstream(address: &LineAddress) -> std::io::Result<UdpSocket> {
    let socket = Socket::from(bound(SocketAddr::new(address.source(), 0))?);
    if let Some(zone) = address.zone() {
        socket.set_multicast_if_v6(zone)?;
        socket.set_multicast_hops_v6(address.group_ttl().into())?;
        socket.set_multicast_loop_v6(true)?;
    } else if address.has_group() {
        if let std::net::IpAddr::V4(interface) = address.source() {
            socket.set_multicast_if_v4(&interface)?;
        }
        socket.set_multicast_ttl_v4(address.group_ttl().into())?;
        socket.set_multicast_loop_v4(true)?;
    }
    match (address.ttl, address.source().is_ipv4()) {
        // No datagram leaves its own machine with 0, which systems refuse for single addresses.
        (Some(ttl @ 1..), true) => socket.set_ttl_v4(ttl.into())?,
        (Some(ttl @ 1..), false) => socket.set_unicast_hops_v6(ttl.into())?,
        _ => {}
    }
    Ok(socket.into())
}

/// Opens a socket on an address.
fn bound(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // A system that gives less than this still works.
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_datagrams_are_read() {
        let default = limits("1400").unwrap();
        assert_eq!(default, DatagramLimits::default());
        let one = limits("1400,1").unwrap();
        assert_eq!((one.payload, one.messages), (PayloadLimit::DEFAULT, 1));
        assert_eq!(limits("65507").unwrap().payload, PayloadLimit::MAX);
        for wrong in ["", "21", "65508", "1400,0", "1400,65535", "1400,x", ",5"] {
            assert!(limits(wrong).is_err(), "{wrong}");
        }
    }
}
