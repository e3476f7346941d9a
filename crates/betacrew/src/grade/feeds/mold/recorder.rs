//! Recording of lines: what they send, what the client requests, what is answered.
//!
//! A line has no connections, so that nothing tells that a client is there. On Linux the system's
//! table of sockets does; a line sends nothing before the client has a socket on its port, because
//! a client may take long to start. Elsewhere the line begins after a fixed time.

use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind};
use crate::grade::observe::recorder::WireRecorder;
use feed::exchange::Exchange;
use feed::exchange::datagrams::{DatagramBatch, DatagramLines};
use feed::wire::Protocol;
use std::net::SocketAddr;
use std::time::Duration;

/// Time after which a line begins where the system does not tell whether its client is there.
const START_AFTER: Duration = Duration::from_secs(2);
/// Interval at which a line that waits looks for its client.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Time after the client was seen in which it may open the sockets of further lines.
const FURTHER_MAX: Duration = Duration::from_millis(300);

/// Client of the lines, as far as it was seen.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Joining {
    /// True once the lines may send.
    has_joined: bool,
    looked_at: Duration,
    /// Time at which the client was seen.
    joined_at: Duration,
    /// Number of lines that were looked for.
    lines: usize,
}

impl<E: Exchange> WireRecorder<E> {
    /// Returns whether the lines may send.
    fn may_send(&mut self, now: Duration) -> bool {
        self.note_began(now);
        if self.joining.has_joined {
            self.look_for_further(now);
            return true;
        }
        if now < self.joining.looked_at + LOOK_INTERVAL && now > Duration::ZERO {
            return false;
        }
        self.joining.looked_at = now;
        let Some(mold) = &self.log.mold else { return true };
        let port = mold.ports.first().copied().unwrap_or(0);
        match has_socket(port) {
            Some(true) => self.join(now),
            None if now >= START_AFTER => self.join(now),
            Some(false) | None => {}
        }
        self.joining.has_joined
    }

    /// Notes that the client is there.
    fn join(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.joining.has_joined, true) {
            (self.joining.joined_at, self.joining.lines) = (now, 1);
            self.log.open(Protocol::Mold, now);
            self.add_mold(now, 0, MoldEventKind::Joined);
        }
    }

    /// Notes to which further lines the client listens, once it had the time to open its sockets.
    fn look_for_further(&mut self, now: Duration) {
        let line = self.joining.lines;
        let port = self.log.mold.as_ref().and_then(|mold| mold.ports.get(line).copied());
        let Some(port) = port.filter(|_| now >= self.joining.joined_at + FURTHER_MAX) else {
            return;
        };
        self.joining.lines += 1;
        // Where the system does not tell, the client is taken to listen to every line.
        if has_socket(port) != Some(false) {
            self.add_mold(now, line, MoldEventKind::Joined);
        }
    }

    fn add_mold(&mut self, now: Duration, line: usize, what: MoldEventKind) {
        self.activity.touch(now);
        if let Some(mold) = &mut self.log.mold {
            mold.add(now, line, what);
        }
    }

    /// Notes the datagrams that a line has sent.
    fn add_datagrams<'a>(
        &mut self,
        now: Duration,
        line: usize,
        datagrams: impl Iterator<Item = &'a [u8]>,
        event: fn(DatagramKind) -> MoldEventKind,
    ) {
        for datagram in datagrams {
            let Some(mold) = &self.log.mold else { return };
            let kind = mold.kind_of(datagram);
            self.add_mold(now, line, event(kind));
        }
    }
}

/// Returns the datagrams of a batch behind the first `before`.
fn behind(batch: &DatagramBatch, before: usize) -> impl Iterator<Item = &[u8]> {
    batch.iter().skip(before).map(|(_, datagram)| datagram)
}

impl<E: Exchange> DatagramLines for WireRecorder<E> {
    fn line_count(&self) -> usize {
        self.log.mold.as_ref().map_or(0, |mold| mold.ports.len())
    }

    fn send_due(&mut self, line: usize, out: &mut DatagramBatch, now: Duration) {
        if !self.may_send(now) {
            return;
        }
        let before = out.len();
        if let Some(lines) = self.inner.lines() {
            lines.send_due(line, out, now);
        }
        self.add_datagrams(now, line, behind(out, before), MoldEventKind::Sent);
    }

    fn receive_request(
        &mut self,
        line: usize,
        client: SocketAddr,
        request: &[u8],
        out: &mut DatagramBatch,
        now: Duration,
    ) {
        self.join(now);
        if let Some(mold) = &self.log.mold {
            let request = mold.request_of(request);
            self.add_mold(now, line, MoldEventKind::Requested(request));
        }
        let before = out.len();
        if let Some(lines) = self.inner.lines() {
            lines.receive_request(line, client, request, out, now);
        }
        self.add_datagrams(now, line, behind(out, before), MoldEventKind::Answered);
    }

    fn send_late_answers(&mut self, line: usize, out: &mut DatagramBatch, now: Duration) {
        if !self.may_send(now) {
            return;
        }
        let before = out.len();
        if let Some(lines) = self.inner.lines() {
            lines.send_late_answers(line, out, now);
        }
        self.add_datagrams(now, line, behind(out, before), MoldEventKind::Answered);
    }

    fn line_deadline(&mut self, line: usize) -> Option<Duration> {
        if !self.joining.has_joined {
            return Some(self.joining.looked_at + LOOK_INTERVAL);
        }
        let due = self.inner.lines().and_then(|lines| lines.line_deadline(line));
        self.activity.set_due(line, due);
        due
    }
}

/// Returns whether a socket for datagrams has this port; `None` if the system does not tell.
fn has_socket(port: u16) -> Option<bool> {
    // The thread's own table: each case may have a network of its own.
    let tables = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let mut tables = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok());
    let first = tables.next()?;
    let has = |table: &str| table.lines().filter_map(local_port).any(|at| at == port);
    Some(has(&first) || tables.any(|table| has(&table)))
}

/// Returns the local port of a row such as `7: 0100007F:0BB8 00000000:0000 07 ...`.
fn local_port(row: &str) -> Option<u16> {
    let (_, port) = row.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_client_s_socket_is_seen() {
        for host in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(host) else { continue };
            let port = socket.local_addr().unwrap().port();
            assert_eq!(has_socket(port), Some(true), "{host}");
            drop(socket);
            assert_eq!(has_socket(port), Some(false), "{host}");
        }
        assert_eq!(local_port("  sl  local_address rem_address"), None);
        assert_eq!(local_port("7: 0100007F:0BB8 00000000:0000 07"), Some(3000));
    }
}
