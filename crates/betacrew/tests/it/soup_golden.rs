//! A client that follows the specification of SoupBinTCP, without sockets: what it sees of each
//! scenario.

use crate::soup_serve::login_at;
use betacrew::scenario;
use betacrew::tape::name::AnyTape;
use feed::exchange::server::MockExchange;
use feed::exchange::{Disconnect, Exchange, Step};
use feed::tape::source::TapeSource;
use feed::wire::Protocol;
use feed::wire::soup::{Packet, RawPacket, kind};
use std::fmt::Write;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Time without bytes after which the client of the golden files gives a connection up.
const SILENCE: Duration = Duration::from_secs(15);

/// Maximum number of its connections.
const CONNECTIONS: usize = 8;

/// One connection of a client that follows the specification.
struct Client {
    /// Next message that it expects.
    next: u64,
    /// Bytes that are no whole packet yet.
    rest: Vec<u8>,
    /// All bytes of the connection.
    received: Vec<u8>,
    is_over: bool,
}

impl Client {
    /// Takes the bytes of a write, and returns its packets in words.
    fn take(&mut self, bytes: &[u8]) -> String {
        self.received.extend_from_slice(bytes);
        self.rest.extend_from_slice(bytes);
        let mut words = Vec::new();
        loop {
            match RawPacket::split_first(&self.rest) {
                Ok(Some((raw, after))) => {
                    let after = self.rest.len() - after.len();
                    words.push(match raw.decode().unwrap() {
                        Packet::Sequenced(_) => {
                            self.next += 1;
                            (self.next - 1).to_string()
                        }
                        Packet::LoginAccepted(accepted) => {
                            self.next = accepted.sequence;
                            format!("A{}", accepted.sequence)
                        }
                        packet => {
                            self.is_over |= packet == Packet::EndOfSession;
                            char::from(packet.kind()).to_string()
                        }
                    });
                    self.rest.drain(..after);
                }
                Ok(None) => break,
                Err(_) => {
                    words.push("no-length".to_owned());
                    self.rest.clear();
                }
            }
        }
        match words.is_empty() {
            true => format!(" {}B", bytes.len()),
            false => format!(" {}", words.join(",")),
        }
    }
}

/// Writes that a client sees on one connection, each with its time, and the end. The client logs in
/// at `next`, which becomes the message that it needs afterwards; `None` once the session is over.
fn transcript(
    exchange: &mut MockExchange<AnyTape>,
    next: &mut Option<u64>,
    now: &mut Duration,
) -> (String, Vec<u8>) {
    let (mut text, mut out) = (String::new(), vec![0; 1 << 18]);
    *now = exchange.down_until().unwrap_or(*now).max(*now);
    let mut conn = exchange.open(Protocol::Soup, *now);
    let first = next.unwrap_or(1);
    let mut client = Client { next: first, rest: Vec::new(), received: Vec::new(), is_over: false };
    exchange.receive(&mut conn, &login_at(first), *now);
    let (began, mut stamped, mut heard, mut said) = (*now, Duration::ZERO, *now, *now);
    let mut stamp = |text: &mut String, now: Duration| {
        if now - began > stamped {
            stamped = now - began;
            let _ = write!(text, " +{}us", stamped.as_micros());
        }
    };
    let end = loop {
        let count = exchange.peek(&mut conn, &mut out, *now);
        if count > 0 {
            stamp(&mut text, *now);
            text += &client.take(&out[..count]);
            exchange.sent(&mut conn, count, *now);
            heard = *now;
            continue;
        }
        match exchange.step(&mut conn, *now) {
            Step::Wait => {}
            Step::Finish | Step::Close => break "end",
            Step::Reset if exchange.died() => break "died",
            Step::Reset if exchange.down_until().is_some_and(|time| *now < time) => break "down",
            Step::Reset => break "reset",
        }
        if *now >= heard + SILENCE {
            break "silent";
        }
        if *now >= began + SILENCE * 2 {
            break "open";
        }
        // The client sends a heartbeat each second.
        if *now >= said + SECOND {
            exchange.receive(&mut conn, &[0, 1, kind::CLIENT_HEARTBEAT], *now);
            said = *now;
        }
        let deadline = exchange.deadline(&conn).unwrap_or(said + SECOND);
        *now = deadline.min(said + SECOND).max(*now + Duration::from_nanos(1));
    };
    exchange.disconnected(conn, Disconnect::Closed, *now);
    stamp(&mut text, *now);
    let _ = write!(text, " {end}");
    if text.len() > 400 {
        let sum = feed::storage::crc32c(text.as_bytes());
        text = format!(" {} bytes, {sum:08x} {end}", client.received.len());
    }
    *next = Some(client.next).filter(|_| !client.is_over);
    (format!("{text} crc {:08x}", feed::storage::crc32c(&client.received)), client.received)
}

/// Plays a scenario to a client that logs in again after each break. Returns what it sees on each
/// connection, and the bytes.
pub(crate) fn played(name: &str, seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut resolved = scenario::open(name).unwrap();
    resolved.scenario.seed = seed;
    let mut exchange =
        MockExchange::new(resolved.tape.open(seed).unwrap(), resolved.scenario.clone());
    if let Some(next) = &resolved.next {
        exchange = exchange.with_next_tape(next.open(seed).unwrap());
    }
    let (mut now, mut next, mut connections) = (Duration::ZERO, Some(1), Vec::new());
    for _ in 0..CONNECTIONS {
        if next.is_none() || exchange.is_dead() {
            break;
        }
        // A session that the tape does not have begins anew.
        next = next.filter(|next| *next <= exchange.tape().last() + 1).or(Some(1));
        connections.push(transcript(&mut exchange, &mut next, &mut now));
    }
    connections
}

/// Returns the effects of a scenario on a client in SoupBinTCP.
pub(crate) fn golden_of(name: &str, seed: u64) -> String {
    let mut text = format!("{name}, seed {seed}\n");
    for (line, _) in played(name, seed) {
        let _ = writeln!(text, " {line}");
    }
    text
}
