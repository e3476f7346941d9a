//! Addresses as people type them.

use crate::failure::Failure;
use crate::location::shown;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The port of the exchange, where none is given.
pub const PORT: u16 = 3000;

/// Splits `HOST`, `HOST:PORT`, `[V6]:PORT`, a bare IPv6 address or `:PORT` into host and port.
fn split(text: &str) -> Option<(String, u16)> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Some((bare.to_owned(), PORT));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, PORT),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    (!host.contains([':', '/', ' ', '[', ']', '@'])).then(|| (host.to_owned(), port))
}

/// The socket addresses that a typed address means; several where a name has several.
///
/// # Errors
/// [`Failure::Usage`] where it is no address or no host of that name is known.
pub fn resolve(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    let Some((host, port)) = split(text) else {
        return Err(Failure::Usage(format!(
            "`{}` is no address; expected HOST:PORT, such as 127.0.0.1:3000 or [::1]:3000",
            shown(text)
        )));
    };
    let found: Vec<SocketAddr> = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| Failure::Usage(format!("no host `{}`: {error}", shown(&host))))?
        .collect();
    if found.is_empty() {
        return Err(Failure::Usage(format!("the host `{}` has no address", shown(&host))));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 3000),
            ("127.0.0.1:4000", "127.0.0.1", 4000),
            ("localhost", "localhost", 3000),
            ("localhost:0", "localhost", 0),
            (":4000", "localhost", 4000),
            ("::1", "::1", 3000),
            ("[::1]", "::1", 3000),
            ("[::1]:4000", "::1", 4000),
        ] {
            assert_eq!(split(text), Some((host.to_owned(), port)), "{text}");
        }
        for bad in ["a:b", "localhost:70000", "[::1", "http://x", "a b", "a@b"] {
            assert!(matches!(resolve(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
