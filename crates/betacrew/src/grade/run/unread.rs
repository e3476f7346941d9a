//! Number of bytes that a client has received and not read yet.
//!
//! A client that takes each read for one packet fails in another way when one read has two
//! packets. How often that happens would depend on how busy the machine is. In cases whose packets
//! or pieces must arrive one by one, the exchange therefore makes the next write only when the
//! client has read the last.

use std::net::SocketAddr;
use std::time::Duration;

/// Maximum time for which bytes are held back from a client that does not read.
pub(crate) const HELD_MAX: Duration = Duration::from_secs(1);
/// Maximum time that counts between two looks at a client. On a busy machine looks are rarer, and
/// the client had no more chances to read than the exchange to look.
const LOOK_MAX: Duration = Duration::from_millis(10);

/// Bytes that are held back from a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldBytes {
    looked_at: Duration,
    /// Time for which they have been held back, as far as it counts.
    held_for: Duration,
}

impl HeldBytes {
    /// Begins to hold bytes back.
    pub(crate) fn since(now: Duration) -> Self {
        Self { looked_at: now, held_for: Duration::ZERO }
    }

    /// Counts the time since the last look, and returns the time for which the bytes have been held
    /// back.
    pub(crate) fn pass(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        self.held_for += passed.min(LOOK_MAX);
        self.held_for
    }
}

/// Socket that asks the system about other sockets (`man 7 sock_diag`). Requests and answers have
/// the machine's byte order; only little-endian machines are supported.
#[cfg(all(target_os = "linux", target_endian = "little"))]
pub(crate) struct UnreadProbe(socket2::Socket);

#[cfg(all(target_os = "linux", target_endian = "little"))]
impl UnreadProbe {
    /// Opens the socket; returns `None` if the system does not support it.
    pub(crate) fn open() -> Option<Self> {
        use socket2::{Domain, Socket, Type};
        /// Address family `AF_NETLINK` of Linux.
        const NETLINK: i32 = 16;
        /// Protocol `NETLINK_SOCK_DIAG` of Linux.
        const SOCK_DIAG: i32 = 4;
        let protocol = Some(SOCK_DIAG.into());
        let socket = Socket::new(Domain::from(NETLINK), Type::DGRAM, protocol).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
        Some(Self(socket))
    }

    /// Returns the number of bytes that wait unread in the socket at `client`. Returns `None` if
    /// the system does not know it, for example if the client runs on another machine.
    pub(crate) fn count(&mut self, client: SocketAddr, exchange: SocketAddr) -> Option<u32> {
        use std::io::{Read, Write};
        self.0.write_all(&message::request(client, exchange)).ok()?;
        let mut answer = [0; 1024];
        let len = self.0.read(&mut answer).ok()?;
        message::unread(&answer[..len])
    }
}

/// Layout of the netlink messages.
#[cfg(all(target_os = "linux", target_endian = "little"))]
mod message {
    use std::net::SocketAddr;

    /// Length in bytes of the header of a netlink message.
    pub(crate) const HEAD: usize = 16;

    /// Type of a request for a socket, and of its answer.
    pub(crate) const BY_FAMILY: u16 = 20;

    /// Returns a request for the TCP socket at `client` that is connected with `exchange`.
    pub(crate) fn request(client: SocketAddr, exchange: SocketAddr) -> Vec<u8> {
        /// Length in bytes of the whole request.
        const LEN: u32 = 72;
        /// Flag `NLM_F_REQUEST`.
        const REQUEST: u16 = 1;
        /// Protocol `IPPROTO_TCP`.
        const TCP: u8 = 6;
        /// Value of a field that matches anything.
        const ANY: [u8; 4] = [255; 4];
        // `AF_INET` and `AF_INET6` of Linux.
        let family = if client.is_ipv4() { 2 } else { 10 };
        let address = |address: SocketAddr| match address.ip() {
            std::net::IpAddr::V4(ip) => {
                let mut padded = [0; 16];
                padded[..4].copy_from_slice(&ip.octets());
                padded
            }
            std::net::IpAddr::V6(ip) => ip.octets(),
        };
        let mut bytes = Vec::new();
        bytes.extend(LEN.to_le_bytes());
        bytes.extend(BY_FAMILY.to_le_bytes());
        bytes.extend(REQUEST.to_le_bytes());
        // Sequence number and sender of the message: not used.
        bytes.extend([0; 8]);
        bytes.extend([family, TCP, 0, 0]);
        // States of the socket: any.
        bytes.extend(ANY);
        bytes.extend(client.port().to_be_bytes());
        bytes.extend(exchange.port().to_be_bytes());
        bytes.extend(address(client));
        bytes.extend(address(exchange));
        // Interface and cookie: any.
        bytes.extend([0; 4]);
        bytes.extend(ANY);
        bytes.extend(ANY);
        bytes
    }

    /// Returns the number of unread bytes that an answer reports; `None` if the answer is an error.
    pub(crate) fn unread(answer: &[u8]) -> Option<u32> {
        /// Position of the count after the header.
        const COUNT: usize = 56;
        let kind = answer.get(4..6)?.try_into().ok()?;
        if u16::from_le_bytes(kind) != BY_FAMILY {
            return None;
        }
        let count = answer.get(HEAD + COUNT..HEAD + COUNT + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(count))
    }
}

/// Placeholder for systems that do not tell how much a client has read.
#[cfg(not(all(target_os = "linux", target_endian = "little")))]
pub(crate) enum UnreadProbe {}

#[cfg(not(all(target_os = "linux", target_endian = "little")))]
impl UnreadProbe {
    pub(crate) fn open() -> Option<Self> {
        None
    }

    pub(crate) fn count(&mut self, _: SocketAddr, _: SocketAddr) -> Option<u32> {
        match *self {}
    }
}

#[cfg(all(test, target_os = "linux", target_endian = "little"))]
mod tests {
    use super::message::{BY_FAMILY, HEAD, unread};
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn bytes_that_a_client_has_not_read_are_counted() {
        let mut asked = UnreadProbe::open().unwrap();
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut own, peer) = listener.accept().unwrap();
            let exchange = own.local_addr().unwrap();
            assert_eq!(asked.count(peer, exchange), Some(0));
            own.write_all(&[0; 17]).unwrap();
            assert_eq!(asked.count(peer, exchange), Some(17));
            client.read_exact(&mut [0; 10]).unwrap();
            assert_eq!(asked.count(peer, exchange), Some(7));
            drop((client, listener));
            drop(own);
            assert_eq!(asked.count(exchange, exchange), None);
        }
    }

    #[test]
    fn a_client_without_a_processor_has_more_time_to_read() {
        let mut held = HeldBytes::since(Duration::ZERO);
        assert_eq!(held.pass(LOOK_MAX / 2), LOOK_MAX / 2);
        assert_eq!(held.pass(HELD_MAX * 9), LOOK_MAX / 2 + LOOK_MAX, "a late look counts once");
    }

    #[test]
    fn malformed_answers_report_no_count() {
        let mut answer = vec![0; HEAD + 60];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_le_bytes());
        answer[72] = 1;
        assert!(unread(&answer).is_some());
        (0..answer.len()).for_each(|len| assert_eq!(unread(&answer[..len]), None));
        answer[4] = 2;
        assert_eq!(unread(&answer), None);
    }
}
