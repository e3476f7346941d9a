//! Sending of many datagrams with one system call, where the system has one for it.

use std::io;
use std::net::SocketAddr;

/// Maximum number of datagrams in one system call.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 64;

/// Sends the first of some datagrams, and returns how many the socket took.
///
/// # Errors
/// Returns the error of the first datagram.
#[cfg(target_os = "linux")]
pub(super) fn send_many(
    socket: impl rustix::fd::AsFd,
    some: &[(SocketAddr, &[u8])],
) -> io::Result<usize> {
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};
    use std::io::IoSlice;
    let some = &some[..some.len().min(AT_ONCE)];
    let addresses: Vec<_> = some.iter().map(|(to, _)| to.as_any()).collect();
    let slices: Vec<_> = some.iter().map(|(_, datagram)| [IoSlice::new(datagram)]).collect();
    let mut controls: Vec<_> = some.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let parts = addresses.iter().zip(&slices).zip(&mut controls);
    let mut headers: Vec<_> =
        parts.map(|((to, slice), control)| MMsgHdr::new_with_addr(to, slice, control)).collect();
    Ok(rustix::net::sendmmsg(socket, &mut headers, SendFlags::DONTWAIT)?)
}

/// Sends the first of some datagrams, and returns how many the socket took.
///
/// # Errors
/// Returns the error of the first datagram.
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn send_many(
    socket: impl rustix::fd::AsFd,
    some: &[(SocketAddr, &[u8])],
) -> io::Result<usize> {
    use rustix::net::SendFlags;
    let Some((to, datagram)) = some.first() else { return Ok(0) };
    rustix::net::sendto(socket, datagram, SendFlags::DONTWAIT, to)?;
    Ok(1)
}

/// Sends the first of some datagrams, and returns how many the socket took.
///
/// # Errors
/// Returns the error of the first datagram.
#[cfg(not(unix))]
pub(super) fn send_many(
    socket: &std::net::UdpSocket,
    some: &[(SocketAddr, &[u8])],
) -> io::Result<usize> {
    some.first().map_or(Ok(0), |(to, datagram)| socket.send_to(datagram, *to).map(|_| 1))
}
