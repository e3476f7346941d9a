//! Sockets of an exchange's lines: datagrams downstream, requests and their answers.

use super::admission::Throttle;
use super::datagram_sender::send_many;
use feed::exchange::datagrams::{DatagramBatch, DatagramLines};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Sockets of one line.
#[derive(Debug)]
pub struct LineSockets {
    /// Socket from which the line sends.
    pub downstream: UdpSocket,
    /// Receivers: groups, or single addresses.
    pub receivers: Vec<SocketAddr>,
    /// Socket of the line's request server, if it has one.
    pub requests: Option<UdpSocket>,
}

/// Maximum number of lines of an exchange.
pub(crate) const LINES_MAX: usize = 64;

/// Maximum number of batches that a line sends, and of requests that it reads, before it is the
/// turn of the connections.
const BATCHES_AT_ONCE: usize = 16;
const REQUESTS_AT_ONCE: usize = 256;

/// Size of the buffer for a request. What is longer is cut off, and then no request either.
const REQUEST_BUFFER: usize = 64;

/// Time until another try of a socket that takes nothing, and of a line whose deadline has passed.
const SOON: Duration = Duration::from_millis(1);

/// First token of the lines' sockets, above those of all connections.
const FIRST_TOKEN: usize = usize::MAX - 1 - LINES_MAX;

/// Lines of an exchange in its event loop.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// Limit on log lines about datagrams that cannot be sent.
    log: Throttle,
}

/// One line in the event loop.
struct Line {
    downstream: Outgoing<UdpSocket>,
    receivers: Vec<SocketAddr>,
    requests: Option<Outgoing<mio::net::UdpSocket>>,
    /// True if requests may wait in the socket.
    readable: bool,
    /// Time of the line's next turn.
    next_at: Option<Duration>,
}

/// Socket, and the datagrams that it has not taken yet.
struct Outgoing<S> {
    socket: S,
    batch: DatagramBatch,
    /// Number of datagrams of the batch that the socket took or refused, each receiver counted.
    taken: usize,
    /// First error of the present turn, which the log gets.
    error: Option<io::Error>,
}

impl Lines {
    /// Registers the sockets of lines.
    pub(super) fn new(sockets: Vec<LineSockets>, registry: &Registry) -> io::Result<Self> {
        if sockets.len() > LINES_MAX {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut lines = Vec::new();
        for (number, LineSockets { downstream, receivers, requests }) in
            sockets.into_iter().enumerate()
        {
            downstream.set_nonblocking(true)?;
            let requests = requests.map(|socket| {
                socket.set_nonblocking(true)?;
                let mut socket = mio::net::UdpSocket::from_std(socket);
                registry.register(&mut socket, Token(FIRST_TOKEN + number), Interest::READABLE)?;
                Ok::<_, io::Error>(Outgoing::new(socket))
            });
            lines.push(Line {
                downstream: Outgoing::new(downstream),
                receivers,
                requests: requests.transpose()?,
                readable: true,
                next_at: Some(Duration::ZERO),
            });
        }
        Ok(Self { lines, log: Throttle::default() })
    }

    /// Notes that a socket has something to read. Returns false if the token is not of a line.
    pub(super) fn take_event(&mut self, token: Token) -> bool {
        let line = token.0.checked_sub(FIRST_TOKEN).and_then(|number| self.lines.get_mut(number));
        let wake = |line: &mut Line| (line.readable, line.next_at) = (true, Some(Duration::ZERO));
        line.map(wake).is_some()
    }

    /// Gives all lines a turn, because the exchange was changed.
    pub(super) fn wake(&mut self) {
        self.lines.iter_mut().for_each(|line| line.next_at = Some(Duration::ZERO));
    }

    /// Closes all sockets.
    pub(super) fn close(&mut self) {
        self.lines.clear();
    }

    /// Returns the time of the next turn.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.lines.iter().filter_map(|line| line.next_at).min()
    }

    /// Gives each line that has something to do a turn: answers requests, and sends what is due.
    pub(super) fn turn(&mut self, exchange: Option<&mut dyn DatagramLines>, now: Duration) {
        let Some(exchange) = exchange else {
            // Sockets without lines have nothing to do.
            return self.close();
        };
        for (number, line) in self.lines.iter_mut().enumerate() {
            if line.next_at.is_none_or(|at| at > now) {
                continue;
            }
            let answers = line.answer(exchange, number, now);
            let sent = line.send(exchange, number, now);
            line.next_at = match (answers, sent) {
                (Progress::More, _) | (_, Progress::More) => Some(now),
                (Progress::Done, Progress::Done) => {
                    let deadline = exchange.line_deadline(number);
                    deadline.map(|at| if at <= now { now + SOON } else { at })
                }
                _ => Some(now + SOON),
            };
            let requests = line.requests.as_mut().and_then(|requests| requests.error.take());
            for error in [line.downstream.error.take(), requests].into_iter().flatten() {
                if self.log.allows(now) {
                    tracing::warn!("line {}: cannot send a datagram: {error}", number + 1);
                }
            }
        }
    }
}

/// State of a line after its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Turn after which the line waits for its deadline or a request.
    Done,
    /// The turn ended before the work did.
    More,
    /// A socket takes no more datagrams now.
    Blocked,
}

impl Line {
    /// Sends the datagrams that are due.
    fn send(&mut self, exchange: &mut dyn DatagramLines, number: usize, now: Duration) -> Progress {
        for _ in 0..BATCHES_AT_ONCE {
            if self.downstream.is_empty() {
                self.downstream.clear();
                exchange.send_due(number, &mut self.downstream.batch, now);
                if self.downstream.batch.is_empty() {
                    return Progress::Done;
                }
            }
            if self.downstream.send(|socket, some| send_many(socket, some), &self.receivers) {
                return Progress::Blocked;
            }
        }
        Progress::More
    }

    /// Answers the requests that have arrived, and sends the answers that a fault has delayed.
    fn answer(
        &mut self,
        exchange: &mut dyn DatagramLines,
        number: usize,
        now: Duration,
    ) -> Progress {
        let Some(requests) = &mut self.requests else {
            self.readable = false;
            return Progress::Done;
        };
        let mut buffer = [0; REQUEST_BUFFER];
        let mut read = 0;
        loop {
            if requests.send(send_answers, &[]) {
                return Progress::Blocked;
            }
            requests.clear();
            exchange.send_late_answers(number, &mut requests.batch, now);
            while self.readable && read < REQUESTS_AT_ONCE && !requests.batch.is_full() {
                read += 1;
                match requests.socket.recv_from(&mut buffer) {
                    Ok((length, client)) => {
                        let request = buffer.get(..length).unwrap_or_default();
                        exchange.receive_request(number, client, request, &mut requests.batch, now);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                    // An answer that could not be delivered, for example.
                    Err(_) => {}
                }
            }
            if requests.batch.is_empty() {
                let more = self.readable && read >= REQUESTS_AT_ONCE;
                return if more { Progress::More } else { Progress::Done };
            }
        }
    }
}

impl<S> Outgoing<S> {
    fn new(socket: S) -> Self {
        Self { socket, batch: DatagramBatch::default(), taken: 0, error: None }
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.taken = 0;
    }

    /// Sends the rest of the batch: a datagram without a receiver of its own goes to all
    /// `receivers`. Returns true if the socket takes no more now. A datagram that cannot be sent is
    /// left out, because those behind it may reach others: one receiver without a route must not
    /// hold up the line.
    fn send(
        &mut self,
        send: impl Fn(&S, &[(SocketAddr, &[u8])]) -> io::Result<usize>,
        receivers: &[SocketAddr],
    ) -> bool {
        let mut addressed: Vec<(SocketAddr, &[u8])> = Vec::with_capacity(self.batch.len());
        for (own, datagram) in self.batch.iter() {
            match own {
                Some(receiver) => addressed.push((receiver, datagram)),
                None => addressed.extend(receivers.iter().map(|receiver| (*receiver, datagram))),
            }
        }
        while let Some(rest) = addressed.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match send(&self.socket, rest) {
                Ok(count) => self.taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => return true,
                Err(error) => {
                    self.taken += 1;
                    self.error.get_or_insert(error);
                }
            }
        }
        self.clear();
        false
    }
}

/// Returns whether an error means that the system takes no more datagrams now.
fn is_full(error: &io::Error) -> bool {
    // Linux reports a full queue of the network card as ENOBUFS (105), which has no `ErrorKind`.
    error.kind() == ErrorKind::WouldBlock
        || cfg!(target_os = "linux") && error.raw_os_error() == Some(105)
}

/// Sends the first of some answers.
fn send_answers(socket: &mio::net::UdpSocket, some: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    #[cfg(unix)]
    return send_many(socket, some);
    #[cfg(not(unix))]
    some.first().map_or(Ok(0), |(to, datagram)| socket.send_to(datagram, *to).map(|_| 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_receiver_that_cannot_be_reached_holds_up_no_other() {
        let [good, bad] = ["127.0.0.1:7", "255.255.255.255:7"].map(|text| text.parse().unwrap());
        let taken = RefCell::new(Vec::<u8>::new());
        let mut outgoing = Outgoing::new(0);
        (1..=3).for_each(|number| outgoing.batch.push(&[number]));
        let is_blocked = outgoing.send(
            |_: &u8, some| {
                // As a system call does, it takes those before the first that fails.
                let fine = some.iter().take_while(|(to, _)| *to != bad);
                let numbers: Vec<u8> = fine.map(|(_, datagram)| datagram[0]).collect();
                taken.borrow_mut().extend(&numbers);
                match numbers.len() {
                    0 => Err(ErrorKind::PermissionDenied.into()),
                    count => Ok(count),
                }
            },
            &[bad, good],
        );
        assert!(!is_blocked && outgoing.is_empty());
        assert_eq!(taken.into_inner(), [1, 2, 3]);
        let error = outgoing.error.take().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
}
