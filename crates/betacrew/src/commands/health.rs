//! `betacrew health`: asks a running exchange or client over HTTP whether it is ready.
//!
//! A container without a shell has no other program that could ask.

use crate::args::address::{self, HTTP_PORT};
use crate::args::parse::duration;
use crate::error::{Exit, Failure};
use crate::terminal::message::print;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Maximum number of bytes of an answer that are read; the first line is enough.
const ANSWER_MAX: usize = 1024;

/// Arguments of `health`.
#[derive(clap::Args, Debug)]
pub struct HealthArgs {
    /// Address at which the program serves HTTP: HOST:PORT, or a port of this machine
    #[arg(value_name = "ADDR", default_value = "8080")]
    address: String,

    /// Time in which it must answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    timeout: Duration,
}

/// Runs the command: exit code 0 if the program is ready, and 5 if it is not or does not answer.
///
/// # Errors
/// Returns [`Failure::Usage`] if the address is not valid.
pub fn run(args: &HealthArgs) -> Result<Exit, Failure> {
    let deadline = Instant::now() + args.timeout;
    let mut reason = String::new();
    for address in address::resolve_with(&args.address, HTTP_PORT)? {
        match status(address, deadline) {
            Ok(200) => return print(&format!("http on {address} is ready\n")),
            Ok(status) => reason = format!("{address} answers with status {status}"),
            Err(error) => reason = format!("{address}: {error}"),
        }
    }
    crate::terminal::message::message!(
        "betacrew: not ready: {reason}; is it the address of a betacrew that runs with --http?"
    );
    Ok(Exit::Unreachable)
}

/// Returns the status with which an address answers to `GET /readyz`.
fn status(address: SocketAddr, deadline: Instant) -> io::Result<u16> {
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 256];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    status_of(&answer).ok_or_else(|| io::Error::other("its answer is not HTTP"))
}

/// Returns the status of an answer's first line, `HTTP/1.1 200 OK`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let text = str::from_utf8(line).ok()?;
    text.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\nx: 1\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.1 503\r\n"), Some(503));
        for wrong in [&b""[..], b"SSH-2.0-x 200 y\n", b"HTTP/1.1\n", b"HTTP/1.1 \xff\n"] {
            assert_eq!(status_of(wrong), None, "{wrong:?}");
        }
    }
}
