//! Zones of IPv6 addresses: the interface on which an address means something, by name or number.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// Returns the number of an interface of this machine, typed as its name or number.
///
/// # Errors
/// Returns a description of the mistake.
pub(super) fn interface_number(typed: &str) -> Result<u32, String> {
    if let Ok(number) = typed.parse::<u32>() {
        let wrong = || "interfaces are numbered from 1".to_owned();
        return Some(number).filter(|&number| number > 0).ok_or_else(wrong);
    }
    named(typed)
}

#[cfg(target_os = "linux")]
fn named(typed: &str) -> Result<u32, String> {
    nix::net::if_::if_nametoindex(typed)
        .map_err(|_| "this machine has no interface of that name; `ip link` lists them".to_owned())
}

#[cfg(not(target_os = "linux"))]
fn named(_: &str) -> Result<u32, String> {
    Err("on this system the interface is typed as its number".to_owned())
}

/// Returns the address of a text `[IPV6%ZONE]:PORT` or `IPV6%ZONE`; `None` if it has no zone.
///
/// # Errors
/// Returns a description of the mistake.
pub(super) fn with_zone(text: &str, default_port: u16) -> Option<Result<SocketAddr, String>> {
    let (inside, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            (inside, port)
        }
        None => (text, ""),
    };
    let (ip, zone) = inside.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let address = || {
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default_port,
            digits => digits
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| "its port is not a number from 0 to 65535".to_owned())?,
        };
        let zone = interface_number(zone)
            .map_err(|error| format!("its interface `{}`: {error}", zone.escape_debug()))?;
        Ok(SocketAddrV6::new(ip, port, 0, zone).into())
    };
    Some(address())
}

/// Returns a group with its zone set, if it has none yet.
pub(super) fn in_zone(address: SocketAddr, zone: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(mut group) if group.ip().is_multicast() && group.scope_id() == 0 => {
            group.set_scope_id(zone);
            group.into()
        }
        other => other,
    }
}

/// Returns the number of the interface of a group of IPv6; `None` for other addresses, and 0 for a
/// group without a zone.
pub(super) fn zone_of(address: &SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(group) if group.ip().is_multicast() => Some(group.scope_id()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_an_interface() {
        let scoped =
            |port| Some(Ok(SocketAddrV6::new("ff15::1".parse().unwrap(), port, 0, 7).into()));
        assert_eq!(with_zone("[ff15::1%7]:30001", 9), scoped(30_001));
        assert_eq!(with_zone("[ff15::1%7]", 9), scoped(9));
        assert_eq!(with_zone("ff15::1%7", 9), scoped(9));
        for other in ["[ff15::1]:30001", "127.0.0.1:7", "host%7:9", "[host%7]:9", "3000", ""] {
            assert_eq!(with_zone(other, 9), None, "{other}");
        }
        for (wrong, word) in [
            ("[ff15::1%7]:x", "its port"),
            ("[ff15::1%7]9", "its port"),
            ("[ff15::1%0]:9", "numbered from 1"),
            ("[ff15::1%no-such-one]:9", "interface"),
        ] {
            let error = with_zone(wrong, 9).unwrap().unwrap_err();
            assert!(error.contains(word), "{wrong}: {error}");
        }
        let plain: SocketAddr = "[ff15::1]:7".parse().unwrap();
        assert_eq!(zone_of(&in_zone(plain, 3)), Some(3));
        assert_eq!(zone_of(&in_zone("[::1]:7".parse().unwrap(), 3)), None);
    }
}
