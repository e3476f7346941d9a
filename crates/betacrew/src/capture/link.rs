//! Headers of captured packets, from the link to UDP.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::net::SocketAddr;

/// UDP datagram of a captured packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UdpDatagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Payload, as far as it was captured.
    pub(super) payload: &'a [u8],
    /// Number of bytes at the payload's end that were not captured.
    pub(super) cut: usize,
}

/// Content of a captured packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PacketContent<'a> {
    /// Datagram over IPv4 or IPv6.
    Udp(UdpDatagram<'a>),
    /// Part of an IP packet, which is not reassembled.
    Fragment,
    /// Packet of another protocol.
    Other,
    /// Packet whose headers were cut off or are wrong.
    Unreadable,
    /// Packet of a link type that is not known.
    UnknownLink,
}

/// Link types, as <https://www.tcpdump.org/linktypes.html> numbers them.
mod link_type {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    /// Raw IP, as some systems number it.
    pub(super) const RAW_BSD: i32 = 12;
    /// Raw IP, as OpenBSD numbers it.
    pub(super) const RAW_OPENBSD: i32 = 14;
    pub(super) const RAW: i32 = 101;
    pub(super) const LOOP: i32 = 108;
    pub(super) const LINUX_SLL: i32 = 113;
    pub(super) const IPV4: i32 = 228;
    pub(super) const IPV6: i32 = 229;
    pub(super) const LINUX_SLL2: i32 = 276;
}

/// Returns the content of a packet of a link type.
pub(super) fn content(link: i32, data: &[u8]) -> PacketContent<'_> {
    match link {
        link_type::ETHERNET => match LaxSlicedPacket::from_ethernet(data) {
            Ok(packet) => sliced(&packet),
            Err(_) => PacketContent::Unreadable,
        },
        // The family in the first four bytes says 4 or 6, as the first bits of IP do.
        link_type::NULL | link_type::LOOP => ip(data.get(4..)),
        link_type::RAW
        | link_type::RAW_BSD
        | link_type::RAW_OPENBSD
        | link_type::IPV4
        | link_type::IPV6 => ip(Some(data)),
        link_type::LINUX_SLL => cooked(data, 14, 16),
        link_type::LINUX_SLL2 => cooked(data, 0, 20),
        _ => PacketContent::UnknownLink,
    }
}

fn ip(data: Option<&[u8]>) -> PacketContent<'_> {
    match data.map(LaxSlicedPacket::from_ip) {
        Some(Ok(packet)) => sliced(&packet),
        _ => PacketContent::Unreadable,
    }
}

/// Returns the content of a packet of Linux's cooked captures: the type of its content stands at
/// `at`, and the content behind `head` bytes.
fn cooked(data: &[u8], at: usize, head: usize) -> PacketContent<'_> {
    let kind = data.get(at..).and_then(<[u8]>::first_chunk);
    let (Some(kind), Some(data)) = (kind, data.get(head..)) else {
        return PacketContent::Unreadable;
    };
    let kind = EtherType(u16::from_be_bytes(*kind));
    sliced(&LaxSlicedPacket::from_ether_type(kind, data))
}

fn sliced<'a>(packet: &LaxSlicedPacket<'a>) -> PacketContent<'a> {
    let (source, destination, payload) = match &packet.net {
        Some(LaxNetSlice::Ipv4(net)) => {
            let header = net.header();
            (header.source_addr().into(), header.destination_addr().into(), net.payload())
        }
        Some(LaxNetSlice::Ipv6(net)) => {
            let header = net.header();
            (header.source_addr().into(), header.destination_addr().into(), net.payload())
        }
        Some(LaxNetSlice::Arp(_)) => return PacketContent::Other,
        None if packet.stop_err.is_some() => return PacketContent::Unreadable,
        None => return PacketContent::Other,
    };
    if payload.fragmented {
        return PacketContent::Fragment;
    }
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            let payload = udp.payload();
            let length = usize::from(udp.length()).saturating_sub(8);
            PacketContent::Udp(UdpDatagram {
                source: SocketAddr::new(source, udp.source_port()),
                destination: SocketAddr::new(destination, udp.destination_port()),
                payload,
                cut: length.saturating_sub(payload.len()),
            })
        }
        None if packet.stop_err.is_some() => PacketContent::Unreadable,
        _ => PacketContent::Other,
    }
}
