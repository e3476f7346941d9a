//! Sockets of the lines of a case, and how its client learns their addresses.

use crate::error::Failure;
use crate::grade::run::client::HOST;
use crate::net::LineSockets;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Group to which lines send if the client's command has `{group}`.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 42, 99);
/// Size in bytes of the system's buffers for datagrams; the system may give less.
const BUFFER: usize = 1 << 20;

/// Receivers of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    /// One address of this machine.
    Unicast,
    /// A group on the loopback interface.
    Group,
}

/// Sockets of the lines of a case.
pub(crate) struct CaseLines {
    /// Sockets, in the order of the lines.
    pub(crate) sockets: Vec<LineSockets>,
    /// Ports on which the client receives, in the order of the lines.
    pub(crate) ports: Vec<u16>,
    /// Placeholders of the command, besides the host and the first port, with their values.
    pub(crate) placeholders: Vec<(&'static str, String)>,
}

/// Opens the sockets of one or two lines: the client receives on `port` and on the port two above
/// it, and each request server has the port behind; without `port`, all are free ones. The command
/// gets the addresses of two lines in any case.
///
/// # Errors
/// Returns an error if a port is taken.
pub(crate) fn open(
    port: Option<u16>,
    lines: usize,
    delivery: Delivery,
) -> Result<CaseLines, Failure> {
    let at = |offset: u16| port.map_or(0, |port| port.saturating_add(offset));
    let failed = |port: u16| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Failure::Taken { port, source },
            _ => Failure::Listen { address: format!("port {port} (udp)"), source },
        }
    };
    // The sockets of the client's ports are closed again once all ports are known.
    let mut reserved = Vec::new();
    let mut opened = Vec::new();
    for line in 0..2 {
        let receiver = bound(at(2 * line)).map_err(failed(at(2 * line)))?;
        let requests = bound(at(2 * line + 1)).map_err(failed(at(2 * line + 1)))?;
        opened.push((port_of(&receiver)?, port_of(&requests)?, requests));
        reserved.push(receiver);
    }
    let host = match delivery {
        Delivery::Unicast => Ipv4Addr::LOCALHOST,
        Delivery::Group => GROUP,
    };
    let group = match delivery {
        Delivery::Unicast => HOST.to_owned(),
        Delivery::Group => GROUP.to_string(),
    };
    let mut placeholders = vec![("group", group)];
    for (names, (receiver, requests, _)) in
        [("port", "request_port"), ("port_b", "request_port_b")].iter().zip(&opened)
    {
        placeholders.push((names.0, receiver.to_string()));
        placeholders.push((names.1, requests.to_string()));
    }
    let mut sockets = Vec::new();
    let ports = opened.iter().take(lines).map(|(receiver, ..)| *receiver).collect();
    for (receiver, _, requests) in opened.into_iter().take(lines) {
        sockets.push(LineSockets {
            downstream: downstream().map_err(failed(0))?,
            receivers: vec![SocketAddr::new(host.into(), receiver)],
            requests: Some(requests),
        });
    }
    Ok(CaseLines { sockets, ports, placeholders })
}

fn port_of(socket: &UdpSocket) -> Result<u16, Failure> {
    let failed = |source| Failure::System { action: "cannot open a socket for datagrams", source };
    socket.local_addr().map(|address| address.port()).map_err(failed)
}

fn bound(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // A system that gives less than this still works.
    let _ = socket.set_send_buffer_size(BUFFER);
    let _ = socket.set_recv_buffer_size(BUFFER);
    socket.bind(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port).into())?;
    Ok(socket.into())
}

/// Opens the socket from which a line sends: to this machine only.
fn downstream() -> io::Result<UdpSocket> {
    let socket = Socket::from(bound(0)?);
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    socket.set_multicast_ttl_v4(0)?;
    socket.set_multicast_loop_v4(true)?;
    Ok(socket.into())
}
