//! Access rules. They keep foreign web pages from reading and from sending commands, also through
//! a host name that was made to point here (DNS rebinding).

use crate::args::secret::Secret;
use crate::http::control::command::refusal_of;
use crate::http::state::Refusal;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use std::net::IpAddr;

/// Maximum length in bytes of a request's head.
pub(crate) const HEAD_MAX: usize = 64 * 1024;

/// Checks that a request's head is at most [`HEAD_MAX`] bytes long. The HTTP library's own limit
/// does not hold for a head that arrives in one read.
///
/// # Errors
/// Returns the status and the reason if the head is too long.
pub(crate) fn check_head_length(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, Refusal)> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let first = method.as_str().len() + " ".len() + target + " HTTP/1.1\r\n".len();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let length = first + lines.map(|line| line + ": \r\n".len()).sum::<usize>() + "\r\n".len();
    if length <= HEAD_MAX {
        return Ok(());
    }
    Err((
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        refusal_of(format!("the head of the request has {length} bytes"), "up to 64 KiB"),
    ))
}

/// Checks the Host header and, for methods that change something, Origin and token.
///
/// # Errors
/// Returns the status and the reason if a check fails.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    token: Option<&Secret>,
) -> Result<(), (StatusCode, Refusal)> {
    let hosts = headers.get_all(header::HOST).iter().count();
    let host = text(headers, header::HOST).filter(|host| hosts == 1 && is_own_host(host));
    let Some(host) = host else {
        // DNS rebinding: a foreign name that resolves to this address makes a browser treat this
        // program as part of the foreign site. The browser then sends the foreign name as Host.
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            refusal_of("the Host header names another host", "an IP address or localhost"),
        ));
    };
    // Only these methods can change something; reading needs neither origin nor token.
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(());
    }
    // Browsers send Origin with every POST; other programs need not.
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, header::ORIGIN).and_then(|it| it.strip_prefix("http://"));
        if !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
            return Err((
                StatusCode::FORBIDDEN,
                refusal_of(
                    "a page of another origin must not send commands",
                    "the page of this address, or no browser",
                ),
            ));
        }
    }
    if let Some(token) = token {
        let given = text(headers, header::AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        if !given.is_some_and(|given| is_same(given.as_bytes(), token.expose().as_bytes())) {
            return Err((
                StatusCode::UNAUTHORIZED,
                refusal_of("the token is missing or wrong", "Authorization: Bearer TOKEN"),
            ));
        }
    }
    Ok(())
}

/// Checks that the body is declared as JSON. A form on a foreign page cannot declare that without
/// a preflight request, which is never granted.
///
/// # Errors
/// Returns the status and the reason if it is not.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), (StatusCode, Refusal)> {
    let kind = text(headers, header::CONTENT_TYPE).map(|it| it.split(';').next().unwrap_or(it));
    match kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        true => Ok(()),
        false => Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            refusal_of("the body is not declared as JSON", "Content-Type: application/json"),
        )),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Returns whether a host is an IP address or `localhost`. Those cannot be made to point here, as
/// other names can.
fn is_own_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Returns whether two texts are equal. The time it takes does not depend on where they differ,
/// because that would let a caller guess the token byte by byte.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = |(at, byte): (usize, &u8)| byte ^ other.get(at).copied().unwrap_or(!byte);
    let sum = one.iter().enumerate().map(differ).fold(0, |sum, bits| sum | bits);
    std::hint::black_box(sum) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, headers: &[(&str, &str)], token: Option<&str>) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let json = |()| if method == Method::POST { check_json(&map) } else { Ok(()) };
        let token = token.map(|token| Secret::from(token.to_owned()));
        check(method, &map, token.as_ref())
            .and_then(json)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn foreign_host_names_are_refused() {
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:80", "[::1]", "10.0.0.7"]
        {
            assert_eq!(status(&Method::GET, &[("host", host)], None), 200, "{host}");
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
            assert_eq!(status(&Method::GET, &[("host", host)], None), 421, "{host}");
        }
        assert_eq!(status(&Method::GET, &[], None), 421);
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&Method::GET, &two, None), 421);
    }

    #[test]
    fn foreign_pages_cannot_send_commands() {
        let host = ("host", "127.0.0.1:8080");
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(status(&Method::POST, &[host, json], None), 200);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            assert_eq!(status(&Method::POST, &[host, ("content-type", kind)], None), 415);
        }
        assert_eq!(status(&Method::POST, &[host], None), 415);
        assert_eq!(
            status(&Method::POST, &[host, json, ("origin", "http://127.0.0.1:8080")], None),
            200
        );
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:9090", "https://127.0.0.1:8080"]
        {
            assert_eq!(
                status(&Method::POST, &[host, json, ("origin", origin)], None),
                403,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_head_over_64_kib_is_refused() {
        let check = |more: usize| {
            let mut headers = HeaderMap::new();
            // "GET / HTTP/1.1", "x: ..." and the empty line.
            let value = "y".repeat(HEAD_MAX - 16 - 5 - 2 + more);
            headers.insert("x", value.parse().unwrap());
            let checked = check_head_length(&Method::GET, &Uri::from_static("/"), &headers);
            checked.map_err(|(status, _)| status.as_u16())
        };
        assert_eq!((check(0), check(1)), (Ok(()), Err(431)));
    }

    #[test]
    fn a_wrong_token_is_refused() {
        let ask = |value: &str| {
            let host = ("host", "10.0.0.7");
            let json = ("content-type", "application/json");
            status(&Method::POST, &[host, json, ("authorization", value)], Some("secret"))
        };
        assert_eq!(ask("Bearer secret"), 200);
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret"] {
            assert_eq!(ask(wrong), 401, "{wrong}");
        }
        assert!(is_same(b"", b"") && !is_same(b"a", b"") && !is_same(b"", b"a"));
    }
}
