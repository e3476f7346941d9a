//! Network addresses as people type them.

use crate::args::zone;
use crate::error::Failure;
use crate::text::location::shown;
use feed::wire::Protocol;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Default port of the exchange.
pub const PORT: u16 = 3000;

/// Default port of the HTTP address.
pub const HTTP_PORT: u16 = 8080;

/// Host and port of a typed address, before the host is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Named {
    host: String,
    port: u16,
}

/// Splits `HOST`, `HOST:PORT`, `[V6]:PORT`, a bare IPv6 address, `:PORT` or a bare port into host
/// and port.
///
/// # Errors
/// Returns a description of the mistake.
fn split(text: &str, default: u16) -> Result<Named, String> {
    let text = text.trim();
    let named = |host: &str, port| Ok(Named { host: host.to_owned(), port });
    let port = |digits: &str| {
        let wrong = || "its port is not a number from 0 to 65535".to_owned();
        digits.parse::<u16>().map_err(|_| wrong())
    };
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    // A number is a port, because the system would read it as an IPv4 address in one number.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return named(LOCALHOST, port(text)?);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return named(bare, default);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return named(&address.ip().to_string(), address.port());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) => (host, port(digits)?),
        None => (text, default),
    };
    let host = if host.is_empty() { LOCALHOST } else { host };
    if host.contains([':', '/', ' ', '[', ']', '@']) {
        return Err("its host is not valid".to_owned());
    }
    if ends_in_a_number(host) && host.parse::<Ipv4Addr>().is_err() {
        return Err("an IPv4 address needs four decimal numbers".to_owned());
    }
    named(host, port)
}

/// Name of this machine, which stands for both of its loopback addresses.
const LOCALHOST: &str = "localhost";

/// Returns whether the system would read a host as an IPv4 address in an old notation (`127.1`,
/// `0x7f.1`) instead of a name.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((last, 10), |digits| (digits, 16));
    (hex.is_some() || !digits.is_empty()) && digits.chars().all(|digit| digit.is_digit(radix))
}

/// Returns the socket addresses of a typed address, whose default port is [`PORT`]. A name can have
/// several. A bare number is a port of this machine, and `localhost` is both of its loopback
/// addresses.
///
/// # Errors
/// Returns [`Failure::Usage`] if the text is not an address or its host is not known.
pub fn resolve(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    resolve_with(text, PORT)
}

/// Splits `PROTOCOL://` off a typed address; without it, the exercise's protocol is meant.
///
/// # Errors
/// Returns [`Failure::Usage`] if the protocol is not known.
pub fn split_protocol(text: &str) -> Result<(Protocol, &str), Failure> {
    let Some((name, address)) = text.trim().split_once("://") else {
        return Ok((Protocol::Betacrew, text));
    };
    let wrong = |error| Failure::Usage(format!("`{}`: the {error}", shown(text)));
    Ok((name.parse().map_err(wrong)?, address))
}

/// Returns the socket addresses of a typed address to connect to, as [`resolve`] does.
///
/// # Errors
/// Returns [`Failure::Usage`] if [`resolve`] does, or if the port is 0, which is no port to connect
/// to.
pub fn resolve_peer(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = resolve(text)?;
    if addresses.iter().any(|address| address.port() == 0) {
        return Err(Failure::Usage(format!(
            "`{}` has port 0, which cannot be connected to: use the port in the exchange's \
             \"listening on\" line",
            shown(text)
        )));
    }
    Ok(addresses)
}

/// Returns the socket addresses of a typed address with this default port, as [`resolve`] does.
///
/// # Errors
/// Returns [`Failure::Usage`] if the text is not an address or its host is not known.
pub fn resolve_with(text: &str, default: u16) -> Result<Vec<SocketAddr>, Failure> {
    let wrong = |reason| {
        Failure::Usage(format!(
            "`{}` is not an address: {reason}; expected HOST:PORT, such as 127.0.0.1:{default} or \
             [::1]:{default}, or a port of this machine",
            shown(text)
        ))
    };
    if let Some(address) = zone::with_zone(text.trim(), default) {
        return Ok(vec![address.map_err(wrong)?]);
    }
    let Named { host, port } = split(text, default).map_err(wrong)?;
    if host.eq_ignore_ascii_case(LOCALHOST) {
        // Resolvers differ: some know only one of the two loopback addresses by this name.
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        return Ok([v4, v6].map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found: Vec<SocketAddr> = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| {
            Failure::Usage(format!("cannot find the host `{}`: {error}", shown(&host)))
        })?
        .collect();
    if found.is_empty() {
        return Err(Failure::Usage(format!("the host `{}` has no address", shown(&host))));
    }
    Ok(found)
}

/// Returns whether an error means that the system lacks an address family, such as IPv6.
#[must_use]
pub fn no_such_family(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        // 97 is EAFNOSUPPORT on Linux, for which `ErrorKind` has no variant.
        || error.raw_os_error() == Some(97)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 7),
            ("127.0.0.1:4000", "127.0.0.1", 4000),
            ("localhost", "localhost", 7),
            ("localhost:0", "localhost", 0),
            (":4000", "localhost", 4000),
            ("::1", "::1", 7),
            ("[::1]", "::1", 7),
            ("[::1]:4000", "::1", 4000),
            ("3000", "localhost", 3000),
            (" 8080 ", "localhost", 8080),
            ("0", "localhost", 0),
            ("65535", "localhost", 65535),
            ("0.0.11.184", "0.0.11.184", 7),
            ("feed1.example:9", "feed1.example", 9),
            ("host0x7f:9", "host0x7f", 9),
        ] {
            assert_eq!(split(text, 7), Ok(Named { host: host.to_owned(), port }), "{text}");
        }
        for bad in [
            "a:b",
            "localhost:70000",
            "[::1",
            "http://x",
            "a b",
            "",
            " ",
            ":",
            "127.1",
            "127.1:80",
            "0x7f.1",
            "0x7f000001",
            "0x7f000001:80",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "1.2.3.256",
            "65536",
            "2130706433",
            "0x",
        ] {
            let failed = resolve(bad);
            assert!(matches!(&failed, Err(Failure::Usage(_))), "{bad}: {failed:?}");
        }
    }

    #[test]
    fn a_protocol_stands_before_an_address() {
        for (text, protocol, address) in [
            ("127.0.0.1:3000", Protocol::Betacrew, "127.0.0.1:3000"),
            ("betacrew://[::1]:3000", Protocol::Betacrew, "[::1]:3000"),
            ("soup://127.0.0.1:0", Protocol::Soup, "127.0.0.1:0"),
            (" SOUP://3001", Protocol::Soup, "3001"),
        ] {
            assert_eq!(split_protocol(text).unwrap(), (protocol, address));
        }
        let refused = split_protocol("http://127.0.0.1:80").unwrap_err().to_string();
        assert!(refused.contains("protocols are betacrew://, soup:// and mold://"), "{refused}");
    }

    #[test]
    fn a_peer_has_a_port() {
        for text in ["0", ":0", "localhost:0", "127.0.0.1:0", "[::1]:0"] {
            let refused = resolve_peer(text).unwrap_err();
            assert!(matches!(refused, Failure::Usage(_)), "{text}: {refused}");
            assert!(refused.to_string().contains("has port 0"), "{text}: {refused}");
            assert!(resolve(text).is_ok(), "{text} can be listened on");
        }
        assert_eq!(resolve_peer("1").unwrap(), resolve("1").unwrap());
    }

    #[test]
    fn this_machine_has_both_loopback_addresses() {
        let both = ["127.0.0.1:80", "[::1]:80"].map(|text| text.parse().unwrap());
        for text in ["localhost:80", "LOCALHOST:80", ":80", "80"] {
            assert_eq!(resolve(text).unwrap(), both, "{text}");
        }
        assert_eq!(resolve_with("127.0.0.1", HTTP_PORT).unwrap()[0].port(), HTTP_PORT);
    }
}
