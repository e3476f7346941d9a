//! Datagrams that are received many at once.

use mio::net::UdpSocket;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;

/// Maximum number of datagrams in a batch.
pub(in crate::net) const DATAGRAMS: usize = 64;

/// Bytes of a datagram's buffer: as many as any datagram has, and some more, so that the buffers do
/// not all compete for the same lines of the processor's cache.
const BUFFER: usize = 65_536 + 192;

/// Datagrams that were received by one system call.
pub(in crate::net) struct DatagramBatch {
    buffer: Vec<u8>,
    /// Length and sender of each datagram.
    received: Vec<(usize, Option<SocketAddr>)>,
    /// Number of datagrams that the kernel has dropped on the socket so far.
    dropped: Option<u32>,
}

impl DatagramBatch {
    /// Returns an empty batch.
    pub(in crate::net) fn new() -> Self {
        Self {
            buffer: vec![0; DATAGRAMS * BUFFER],
            received: Vec::with_capacity(DATAGRAMS),
            dropped: None,
        }
    }

    /// Forgets the datagrams.
    pub(in crate::net) fn clear(&mut self) {
        self.received.clear();
        self.dropped = None;
    }

    /// Returns the number of datagrams.
    pub(in crate::net) fn len(&self) -> usize {
        self.received.len()
    }

    /// Returns a datagram and its sender.
    pub(in crate::net) fn datagram(&self, at: usize) -> (&[u8], Option<SocketAddr>) {
        let (length, from) = self.received[at];
        let start = at * BUFFER;
        (&self.buffer[start..start + length], from)
    }

    /// Returns the number of datagrams that the kernel has dropped on the socket so far, if it has
    /// said so.
    pub(in crate::net) fn dropped(&self) -> Option<u32> {
        self.dropped
    }
}

#[cfg(target_os = "linux")]
pub(in crate::net) use linux::{force_receive_buffer, report_drops};
#[cfg(not(target_os = "linux"))]
pub(in crate::net) use other::{force_receive_buffer, report_drops};

#[cfg(target_os = "linux")]
mod linux {
    use super::{BUFFER, DATAGRAMS, DatagramBatch, Socket, UdpSocket, io};
    use nix::cmsg_space;
    use nix::sys::socket::sockopt::{RcvBufForce, RxqOvfl};
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt,
    };
    use std::io::IoSliceMut;
    use std::net::{SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    /// Requests the kernel's count of dropped datagrams with each datagram.
    pub(in crate::net) fn report_drops(socket: &Socket) -> io::Result<()> {
        Ok(setsockopt(socket, RxqOvfl, &1)?)
    }

    /// Sets the size of the receive buffer above the system's maximum, where that is allowed.
    pub(in crate::net) fn force_receive_buffer(socket: &Socket, size: usize) {
        // Only privileged programs may; the others get what the system's maximum allows.
        let _ = setsockopt(socket, RcvBufForce, &size);
    }

    impl DatagramBatch {
        /// Receives the datagrams that are there.
        ///
        /// # Errors
        /// Returns the system's error, `WouldBlock` if there is no datagram.
        pub(in crate::net) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                self.buffer.chunks_exact_mut(BUFFER).map(|it| [IoSliceMut::new(it)]).collect();
            // The headers are made anew, because the kernel shortens the room for the count of
            // drops in each that it fills.
            let space = Some(cmsg_space!(u32));
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(DATAGRAMS, space);
            let flags = MsgFlags::MSG_DONTWAIT;
            let received =
                recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
            for message in received {
                let from = message.address.and_then(|from| {
                    let v4 = from.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
                    let v6 = || from.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into());
                    v4.or_else(v6)
                });
                self.received.push((message.bytes, from));
                for control in message.cmsgs().into_iter().flatten() {
                    if let ControlMessageOwned::RxqOvfl(dropped) = control {
                        self.dropped = Some(dropped);
                    }
                }
            }
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{BUFFER, DATAGRAMS, DatagramBatch, Socket, UdpSocket, io};

    /// Does nothing: only Linux counts dropped datagrams for the receiver.
    pub(in crate::net) fn report_drops(_: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: only Linux has a way above its maximum.
    pub(in crate::net) fn force_receive_buffer(_: &Socket, _: usize) {}

    impl DatagramBatch {
        /// Receives the datagrams that are there.
        ///
        /// # Errors
        /// Returns the system's error, `WouldBlock` if there is no datagram.
        pub(in crate::net) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
            for buffer in self.buffer.chunks_exact_mut(BUFFER).take(DATAGRAMS) {
                match socket.recv_from(buffer) {
                    Ok((length, from)) => self.received.push((length, Some(from))),
                    Err(_) if !self.received.is_empty() => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }
    }
}
