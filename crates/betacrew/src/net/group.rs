//! Sockets of a MoldUDP64 line: one for its group, and one for its request servers.

mod batch;

use crate::args::group_address::GroupAddress;
use batch::DatagramBatch;
use feed::client::DatagramSource;
use feed::client::mold::request_server::REQUESTS_IN_FLIGHT_MAX;
use feed::wire::mold::Request;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Size that is requested for receive buffers, in bytes. It holds what a fast group sends while the
/// recorder is busy with something else for some milliseconds.
pub const RECEIVE_BUFFER: usize = 16 << 20;

/// Maximum number of batches that are read from one socket before it is the turn of the others.
const TURN: usize = 16;

/// Maximum number of batches of answers that are read before it is the turn of the others: all that
/// the requests in flight to a server can cause, so that no request expires whose answer is there.
const ANSWERS_TURN: usize = REQUESTS_IN_FLIGHT_MAX as usize / batch::DATAGRAMS;

/// Open sockets of a MoldUDP64 line. They stay open while one session follows another.
#[derive(Debug)]
pub struct GroupSockets {
    address: GroupAddress,
    group: std::net::UdpSocket,
    /// Socket for requests, bound to any port of this machine; `None` without request servers.
    requests: Option<std::net::UdpSocket>,
    /// Size of the receive buffer that the system has granted, in bytes.
    receive_buffer: usize,
    drops: Arc<KernelDrops>,
}

/// Number of datagrams that the kernel has dropped on each socket of a line since it was opened, as
/// last reported. One recording after the other reads the same sockets.
type KernelDrops = [AtomicU32; 2];

impl GroupSockets {
    /// Opens the sockets of a line and joins its group.
    ///
    /// # Errors
    /// Returns the system's error if a socket cannot be opened, bound or joined, and
    /// [`ErrorKind::InvalidInput`] if the request servers have addresses of both IP versions.
    pub fn open(address: GroupAddress) -> io::Result<Self> {
        let group = address.group;
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        let granted = grow_receive_buffer(&socket)?;
        if group.ip().is_multicast() {
            // Several programs of one machine may receive a group.
            socket.set_reuse_address(true)?;
            socket.bind(&bound_to(group).into())?;
            join(&socket, &address)?;
        } else {
            socket.bind(&group.into())?;
        }
        batch::report_drops(&socket)?;
        socket.set_nonblocking(true)?;
        let requests = match address.servers.split_first() {
            None => None,
            Some((first, rest)) => {
                if rest.iter().any(|server| server.is_ipv4() != first.is_ipv4()) {
                    return Err(ErrorKind::InvalidInput.into());
                }
                Some(open_requests(*first)?)
            }
        };
        let drops = Arc::default();
        Ok(Self { address, group: socket.into(), requests, receive_buffer: granted, drops })
    }

    /// Returns the addresses of the line.
    #[must_use]
    pub fn address(&self) -> &GroupAddress {
        &self.address
    }

    /// Returns the address that the group's socket is bound to.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.group.local_addr()
    }

    /// Returns the size of the receive buffer that the system has granted, in bytes.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }
}

/// Opens the socket for requests to servers of one IP version.
fn open_requests(server: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    grow_receive_buffer(&socket)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    batch::report_drops(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Requests a large receive buffer, and returns the size that the system has granted.
fn grow_receive_buffer(socket: &Socket) -> io::Result<usize> {
    let before = socket.recv_buffer_size()?;
    batch::force_receive_buffer(socket, RECEIVE_BUFFER);
    if socket.recv_buffer_size()? < RECEIVE_BUFFER {
        // The system takes its own maximum for more.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    let granted = socket.recv_buffer_size()?.max(before);
    // Linux grants twice the size, for its own bookkeeping, and says so.
    Ok(if cfg!(target_os = "linux") { granted / 2 } else { granted })
}

/// Returns the address to bind for a group. Bound to the group's address, the socket receives no
/// datagrams of other groups; some systems cannot do that.
fn bound_to(group: SocketAddr) -> SocketAddr {
    match group {
        _ if cfg!(unix) => group,
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), group.port()),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), group.port()),
    }
}

/// Joins a group on its interface, or on the loopback interface and the system's choice.
fn join(socket: &Socket, address: &GroupAddress) -> io::Result<()> {
    let group = match address.group {
        SocketAddr::V4(group) => *group.ip(),
        SocketAddr::V6(group) => return socket.join_multicast_v6(group.ip(), group.scope_id()),
    };
    let join_on = |interface: Ipv4Addr| match address.source {
        Some(IpAddr::V4(source)) => socket.join_ssm_v4(&source, &group, &interface),
        _ => socket.join_multicast_v4(&group, &interface),
    };
    if let Some(IpAddr::V4(interface)) = address.interface {
        return join_on(interface);
    }
    let loopback = join_on(Ipv4Addr::LOCALHOST);
    // A machine without a route has no interface to choose.
    join_on(Ipv4Addr::UNSPECIFIED).or(loopback)
}

/// Sockets of a line in one event loop.
pub(super) struct RegisteredGroup {
    address: GroupAddress,
    sockets: [Option<GroupSocket>; 2],
    drops: Arc<KernelDrops>,
}

/// Socket in an event loop.
struct GroupSocket {
    socket: UdpSocket,
    readable: bool,
}

/// Index of the group's socket among those of a line.
pub(super) const GROUP: usize = 0;
/// Index of the socket for requests.
pub(super) const REQUESTS: usize = 1;

impl RegisteredGroup {
    /// Registers the sockets of a line. `token` returns the token of each by its index.
    pub(super) fn register(
        sockets: &GroupSockets,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<Self> {
        let register = |index: usize, socket: &std::net::UdpSocket| {
            let mut socket = UdpSocket::from_std(socket.try_clone()?);
            registry.register(&mut socket, token(index), Interest::READABLE)?;
            io::Result::Ok(GroupSocket { socket, readable: true })
        };
        let group = register(GROUP, &sockets.group)?;
        let requests = sockets.requests.as_ref().map(|socket| register(REQUESTS, socket));
        Ok(Self {
            address: sockets.address.clone(),
            sockets: [Some(group), requests.transpose()?],
            drops: Arc::clone(&sockets.drops),
        })
    }

    /// Marks a socket as readable.
    pub(super) fn wake(&mut self, index: usize) {
        if let Some(Some(socket)) = self.sockets.get_mut(index) {
            socket.readable = true;
        }
    }

    /// Returns whether a socket may have datagrams.
    pub(super) fn is_readable(&self) -> bool {
        self.sockets.iter().flatten().any(|socket| socket.readable)
    }

    /// Stops to read the group.
    pub(super) fn leave(&mut self) {
        self.sockets = [None, None];
    }

    /// Sends a request. One that the system does not take counts as lost: the recorder sends it
    /// again.
    pub(super) fn request(&self, server: u16, request: &Request) {
        if let (Some(socket), Some(server)) =
            (&self.sockets[REQUESTS], self.address.servers.get(usize::from(server)))
        {
            let _ = socket.socket.send_to(&request.encode(), *server);
        }
    }

    /// Returns the sender of a datagram on a socket.
    pub(super) fn source(&self, index: usize, from: Option<SocketAddr>) -> DatagramSource {
        if index == GROUP {
            let allowed = self.address.source;
            let is_allowed = allowed.is_none_or(|source| from.is_some_and(|it| it.ip() == source));
            return if is_allowed { DatagramSource::Group } else { DatagramSource::Stranger };
        }
        let servers = (0u16..).zip(&self.address.servers);
        let mut found = servers.filter(|(_, server)| from == Some(**server));
        found.next().map_or(DatagramSource::Stranger, |(number, _)| DatagramSource::Server(number))
    }

    /// Receives datagrams into a batch. Returns the number of datagrams that the kernel has dropped
    /// since the last call.
    pub(super) fn receive(&mut self, index: usize, batch: &mut DatagramBatch) -> u64 {
        batch.clear();
        let Some(Some(socket)) = self
            .sockets
            .get_mut(index)
            .filter(|it| it.as_ref().is_some_and(|socket| socket.readable))
        else {
            return 0;
        };
        // Errors of earlier requests are reported here, too; the next call receives.
        match batch.receive(&socket.socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
            Ok(()) | Err(_) => {}
        }
        let (Some(dropped), Some(before)) = (batch.dropped(), self.drops.get(index)) else {
            return 0;
        };
        dropped.wrapping_sub(before.swap(dropped, Relaxed)).into()
    }
}

/// Datagrams of the groups of one event loop, read in batches.
pub(super) type Batch = DatagramBatch;

/// Maximum number of batches of a turn at a socket.
pub(super) const fn turn(index: usize) -> usize {
    if index == REQUESTS { ANSWERS_TURN } else { TURN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(servers: Vec<SocketAddr>) -> GroupAddress {
        let group = "127.0.0.1:0".parse().unwrap();
        GroupAddress { group, interface: None, source: None, servers }
    }

    /// Reads datagrams of a socket until there are `count`, and returns them with their senders.
    fn read(group: &mut RegisteredGroup, index: usize, count: usize) -> Vec<(Vec<u8>, SocketAddr)> {
        let (mut batch, mut all) = (Batch::new(), Vec::new());
        let began = std::time::Instant::now();
        while all.len() < count {
            assert!(began.elapsed().as_secs() < 20, "{} of {count} datagrams", all.len());
            group.wake(index);
            group.receive(index, &mut batch);
            for at in 0..batch.len() {
                let (bytes, from) = batch.datagram(at);
                all.push((bytes.to_vec(), from.unwrap()));
            }
        }
        all
    }

    #[test]
    fn datagrams_of_any_length_are_received_in_batches() {
        let sockets = GroupSockets::open(local(Vec::new())).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut group = RegisteredGroup::register(&sockets, poll.registry(), Token).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let lengths = [0, 1, 20, 1400, 9000, 65_507];
        for length in lengths {
            sender.send_to(&vec![7; length], sockets.local_addr().unwrap()).unwrap();
        }
        let all = read(&mut group, GROUP, lengths.len());
        assert!(all.iter().map(|(bytes, _)| bytes.len()).eq(lengths));
        assert!(all.iter().all(|(_, from)| *from == sender.local_addr().unwrap()));
        group.leave();
        assert!(!group.is_readable());
    }

    #[test]
    fn the_kernel_says_how_many_datagrams_it_has_dropped() {
        let sockets = GroupSockets::open(local(Vec::new())).unwrap();
        socket2::SockRef::from(&sockets.group).set_recv_buffer_size(1).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut group = RegisteredGroup::register(&sockets, poll.registry(), Token).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = sockets.local_addr().unwrap();
        for _ in 0..1000 {
            sender.send_to(&[0; 100], to).unwrap();
        }
        let (mut batch, mut got, mut dropped) = (Batch::new(), 0, 0);
        for _ in 0..40 {
            group.wake(GROUP);
            dropped += group.receive(GROUP, &mut batch);
            got += batch.len() as u64;
        }
        // The count arrives with a datagram that is queued after the drops.
        sender.send_to(&[0; 100], to).unwrap();
        let began = std::time::Instant::now();
        let mut last = 0;
        while last == 0 {
            assert!(began.elapsed().as_secs() < 20);
            group.wake(GROUP);
            dropped += group.receive(GROUP, &mut batch);
            last = batch.len();
        }
        if cfg!(target_os = "linux") {
            assert_eq!(got + dropped, 1000, "{got} received");
            assert!(dropped > 0);
        }
        // The next recording reads the same sockets, and has lost nothing yet.
        let mut next = RegisteredGroup::register(&sockets, poll.registry(), Token).unwrap();
        sender.send_to(&[0; 100], to).unwrap();
        batch.clear();
        while batch.len() == 0 {
            assert!(began.elapsed().as_secs() < 20);
            next.wake(GROUP);
            assert_eq!(next.receive(GROUP, &mut batch), 0);
        }
    }

    #[test]
    fn senders_are_told_apart() {
        let servers = ["127.0.0.1:7", "127.0.0.1:8"].map(|text| text.parse().unwrap()).to_vec();
        let mut address = local(servers);
        address.source = Some("127.0.0.9".parse().unwrap());
        let sockets = GroupSockets::open(address).unwrap();
        let poll = mio::Poll::new().unwrap();
        let group = RegisteredGroup::register(&sockets, poll.registry(), Token).unwrap();
        let from = |text: &str| Some(text.parse().unwrap());
        for (index, sender, source) in [
            (GROUP, from("127.0.0.9:1"), DatagramSource::Group),
            (GROUP, from("127.0.0.1:1"), DatagramSource::Stranger),
            (GROUP, None, DatagramSource::Stranger),
            (REQUESTS, from("127.0.0.1:8"), DatagramSource::Server(1)),
            (REQUESTS, from("127.0.0.1:9"), DatagramSource::Stranger),
            (REQUESTS, from("127.0.0.9:8"), DatagramSource::Stranger),
        ] {
            assert_eq!(group.source(index, sender), source, "{index} {sender:?}");
        }
    }

    #[test]
    fn a_group_is_joined_on_the_loopback_interface() {
        let address = GroupAddress {
            group: "239.255.71.17:0".parse().unwrap(),
            interface: Some("127.0.0.1".parse().unwrap()),
            source: None,
            servers: Vec::new(),
        };
        let sockets = GroupSockets::open(address).unwrap();
        let poll = mio::Poll::new().unwrap();
        let mut group = RegisteredGroup::register(&sockets, poll.registry(), Token).unwrap();
        let sender = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let to =
            SocketAddr::new("239.255.71.17".parse().unwrap(), sockets.local_addr().unwrap().port());
        sender.send_to(b"hello", &to.into()).unwrap();
        assert_eq!(read(&mut group, GROUP, 1)[0].0, b"hello");
    }
}
