//! Who may ask for what: what keeps a web page of elsewhere, or a name that was made to point here,
//! from reading and from steering.

use crate::args::secret::Secret;
use crate::http::control::command::refused;
use crate::http::state::Refused;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use std::net::IpAddr;

/// Maximum length in bytes of a request's head.
pub(crate) const HEAD_MAX: usize = 64 * 1024;

/// Checks that a request's head is not too long. What reads it takes more, where all of it comes
/// at once.
///
/// # Errors
/// The status and what is wrong.
pub(crate) fn fits(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, Refused)> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let first = method.as_str().len() + " ".len() + target + " HTTP/1.1\r\n".len();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let length = first + lines.map(|line| line + ": \r\n".len()).sum::<usize>() + "\r\n".len();
    if length <= HEAD_MAX {
        return Ok(());
    }
    Err((
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        refused(format!("the head of the request has {length} bytes"), "up to 64 KiB"),
    ))
}

/// Whether a request is answered at all.
///
/// # Errors
/// The status and what is wrong.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    token: Option<&Secret>,
) -> Result<(), (StatusCode, Refused)> {
    let hosts = headers.get_all(header::HOST).iter().count();
    let host = text(headers, header::HOST).filter(|host| hosts == 1 && own(host));
    let Some(host) = host else {
        // A name that was made to point here (DNS rebinding) is in the Host header of a browser.
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            refused("the Host header names another host", "an IP address or localhost"),
        ));
    };
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(());
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, header::ORIGIN).and_then(|it| it.strip_prefix("http://"));
        if !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
            return Err((
                StatusCode::FORBIDDEN,
                refused("a page of another origin asks", "the page of this address, or no browser"),
            ));
        }
    }
    if let Some(token) = token {
        let given = text(headers, header::AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        if !given.is_some_and(|given| same(given.as_bytes(), token.expose().as_bytes())) {
            return Err((
                StatusCode::UNAUTHORIZED,
                refused("the token is missing or wrong", "Authorization: Bearer TOKEN"),
            ));
        }
    }
    Ok(())
}

/// Whether a body is said to be JSON: a form of a page of elsewhere cannot say so without asking
/// first.
///
/// # Errors
/// The status and what is wrong.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), (StatusCode, Refused)> {
    let kind = text(headers, header::CONTENT_TYPE).map(|it| it.split(';').next().unwrap_or(it));
    match kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        true => Ok(()),
        false => Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            refused("the body is not said to be JSON", "Content-Type: application/json"),
        )),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a host is an address, which nobody else can make point here, or this machine's name for
/// itself.
fn own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = |(at, byte): (usize, &u8)| byte ^ other.get(at).copied().unwrap_or(!byte);
    let sum = one.iter().enumerate().map(differ).fold(0, |sum, bits| sum | bits);
    std::hint::black_box(sum) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&str, &str)], token: Option<&str>) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let json = |()| if method == Method::POST { is_json(&map) } else { Ok(()) };
        let token = token.map(|token| Secret::from(token.to_owned()));
        check(method, &map, token.as_ref())
            .and_then(json)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn names_that_were_made_to_point_here_are_refused() {
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:80", "[::1]", "10.0.0.7"]
        {
            assert_eq!(asked(&Method::GET, &[("host", host)], None), 200, "{host}");
        }
        let foreign = [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::1",
            "",
            "127.0.0.1@evil.example",
        ];
        for host in foreign {
            assert_eq!(asked(&Method::GET, &[("host", host)], None), 421, "{host}");
        }
        assert_eq!(asked(&Method::GET, &[], None), 421);
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(&Method::GET, &two, None), 421);
    }

    #[test]
    fn pages_of_elsewhere_steer_nothing() {
        let host = ("host", "127.0.0.1:8080");
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(asked(&Method::POST, &[host, json], None), 200);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            assert_eq!(asked(&Method::POST, &[host, ("content-type", kind)], None), 415);
        }
        assert_eq!(asked(&Method::POST, &[host], None), 415);
        assert_eq!(
            asked(&Method::POST, &[host, json, ("origin", "http://127.0.0.1:8080")], None),
            200
        );
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:9090", "https://127.0.0.1:8080"]
        {
            assert_eq!(
                asked(&Method::POST, &[host, json, ("origin", origin)], None),
                403,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_head_has_a_bound() {
        let fits = |more: usize| {
            let mut headers = HeaderMap::new();
            // "GET / HTTP/1.1", "x: ..." and the empty line.
            let value = "y".repeat(HEAD_MAX - 16 - 5 - 2 + more);
            headers.insert("x", value.parse().unwrap());
            let checked = fits(&Method::GET, &Uri::from_static("/"), &headers);
            checked.map_err(|(status, _)| status.as_u16())
        };
        assert_eq!((fits(0), fits(1)), (Ok(()), Err(431)));
    }

    #[test]
    fn a_token_is_needed_where_there_is_one() {
        let ask = |value: &str| {
            let host = ("host", "10.0.0.7");
            let json = ("content-type", "application/json");
            asked(&Method::POST, &[host, json, ("authorization", value)], Some("secret"))
        };
        assert_eq!(ask("Bearer secret"), 200);
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret"] {
            assert_eq!(ask(wrong), 401, "{wrong}");
        }
        assert!(same(b"", b"") && !same(b"a", b"") && !same(b"", b"a"));
    }
}
