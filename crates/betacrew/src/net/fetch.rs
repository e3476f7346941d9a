//! Event loop of a client.

use super::Stop;
use super::group::{Batch, GROUP, GroupSockets, REQUESTS, RegisteredGroup, turn};
use feed::client::timers::Timer;
use feed::client::{ConnId, Input, Output, Recorder, RecorderEvent};
use feed::ledger::Sink;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// Size of the read buffer in bytes.
const READ: usize = 256 * 1024;
/// Maximum number of reads on one connection before it is the turn of the others.
const TURN: u32 = 8;
/// Minimum time between two [`LoopEvent::Tick`]s.
const TICK: Duration = Duration::from_millis(50);

/// Token of the waker.
const STOP: Token = Token(usize::MAX);

/// Event of the client's loop, for observers of a recording.
#[derive(Clone, Copy, Debug)]
pub enum LoopEvent<'a> {
    /// Event of the recorder.
    Note(&'a Recorder, RecorderEvent),
    /// Passage of time.
    Tick(&'a Recorder),
}

/// Source of a line's messages.
#[derive(Debug)]
pub enum LineSource {
    /// Exchange that is connected to, with its addresses, which are tried in turn.
    Exchange(Vec<SocketAddr>),
    /// MoldUDP64 group with its request servers.
    Group(GroupSockets),
}

impl LineSource {
    /// Returns the addresses to connect to; none for a group.
    fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::Exchange(addresses) => addresses,
            Self::Group(_) => &[],
        }
    }
}

impl From<Vec<SocketAddr>> for LineSource {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::Exchange(addresses)
    }
}

/// Drives `recorder`, which records a session into `sink`, until it is complete, cannot become
/// so, or is stopped. Each of its lines has a source. The result is in the recorder's outcome.
///
/// # Errors
/// Returns errors of polling, and [`ErrorKind::InvalidInput`] if an exchange has no address or the
/// recorder has more lines than `lines`. Errors of connections go to the recorder.
pub fn fetch<S: Sink>(
    lines: &[LineSource],
    recorder: &mut Recorder,
    sink: &mut S,
    stop: &Stop,
    watch: impl FnMut(LoopEvent<'_>),
) -> io::Result<()> {
    let is_empty =
        |line: &LineSource| matches!(line, LineSource::Exchange(addresses) if addresses.is_empty());
    if lines.len() < recorder.line_count() || lines.iter().any(is_empty) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let poll = Poll::new()?;
    let _waker = stop.register(Waker::new(poll.registry(), STOP)?);
    let mut groups = Vec::new();
    for (line, source) in (0u16..).zip(lines) {
        if let LineSource::Group(sockets) = source {
            let token = |index| group_token(line, index);
            groups.push((line, RegisteredGroup::register(sockets, poll.registry(), token)?));
        }
    }
    let batch = if groups.is_empty() { None } else { Some(Batch::new()) };
    let mut client = RecorderLoop {
        lines: lines
            .iter()
            .map(|line| LineAddresses { addresses: line.addresses(), next: 0 })
            .collect(),
        groups,
        batch,
        recorder,
        sink,
        watch,
        conns: Vec::new(),
        failed: VecDeque::new(),
        began: Instant::now(),
        poll,
        buffer: vec![0; READ],
        traced: Vec::new(),
    };
    client.run(stop)
}

/// Returns the token of a socket of a group. Connections have lower ones.
fn group_token(line: u16, index: usize) -> Token {
    Token(GROUP_TOKENS + usize::from(line) * 2 + index)
}

/// Lowest token of a group's socket.
const GROUP_TOKENS: usize = 1 << 40;

/// Addresses of a line, of which one is in use.
struct LineAddresses<'a> {
    addresses: &'a [SocketAddr],
    next: usize,
}

impl LineAddresses<'_> {
    /// Moves on to the next address after a failed attempt, once for all attempts at this address.
    fn failed(&mut self, attempt: usize) {
        if self.next == attempt {
            self.next += 1;
        }
    }
}

/// State of the loop.
struct RecorderLoop<'a, S, F> {
    lines: Vec<LineAddresses<'a>>,
    /// MoldUDP64 lines with their sockets.
    groups: Vec<(u16, RegisteredGroup)>,
    /// Datagrams of one read; `None` without such lines.
    batch: Option<Batch>,
    recorder: &'a mut Recorder,
    sink: &'a mut S,
    watch: F,
    conns: Vec<ClientSocket>,
    /// Connections whose socket could not be opened.
    failed: VecDeque<ConnId>,
    began: Instant,
    poll: Poll,
    buffer: Vec<u8>,
    /// Timers that were logged last.
    traced: Vec<Timer>,
}

/// Connection to an exchange.
struct ClientSocket {
    id: ConnId,
    line: usize,
    /// Number of the attempt among those of the line.
    attempt: usize,
    stream: TcpStream,
    connected: bool,
    readable: bool,
    writable: bool,
    /// Bytes to send, of which the first `sent` were sent.
    out: Vec<u8>,
    sent: usize,
    /// True if the sending side is to be closed once `out` is sent.
    finish: bool,
}

impl<S: Sink, F: FnMut(LoopEvent<'_>)> RecorderLoop<'_, S, F> {
    fn run(&mut self, stop: &Stop) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let mut stops = 0;
        let mut tick = Duration::ZERO;
        self.input(Input::Wake);
        while !self.recorder.is_done() {
            let ready = |conn: &ClientSocket| {
                conn.connected && conn.readable && self.recorder.wants_input(conn.id)
            };
            let busy = self.conns.iter().any(ready)
                || self.groups.iter().any(|(_, group)| group.is_readable())
                || !self.failed.is_empty();
            let deadline = self.recorder.deadline();
            let patience = match busy {
                true => Some(Duration::ZERO),
                false => [deadline, self.sink.on_idle(self.now())]
                    .into_iter()
                    .flatten()
                    .min()
                    .map(|time| time.saturating_sub(self.now())),
            };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if self.wake_group(event.token()) {
                    continue;
                }
                let found = self.conns.iter_mut().find(|conn| conn.id as usize == event.token().0);
                if let Some(conn) = found {
                    conn.readable |=
                        event.is_readable() || event.is_read_closed() || event.is_error();
                    conn.writable |= event.is_writable() || event.is_error();
                }
            }
            while stops < stop.times() {
                stops += 1;
                self.input(Input::Stop);
            }
            while let Some(id) = self.failed.pop_front() {
                self.input(Input::ConnectFailed(id));
            }
            // Answers come first: requests expire with the inputs behind them.
            self.read_groups(REQUESTS);
            let ids: Vec<ConnId> = self.conns.iter().map(|conn| conn.id).collect();
            for id in ids {
                self.turn(id);
            }
            self.read_groups(GROUP);
            if self.recorder.deadline().is_some_and(|time| time <= self.now()) {
                self.input(Input::Wake);
            }
            if self.now() >= tick {
                tick = self.now() + TICK;
                self.trace_timers();
                (self.watch)(LoopEvent::Tick(self.recorder));
            }
        }
        Ok(())
    }

    /// Logs the recorder's timers, if others run than at the last tick.
    fn trace_timers(&mut self) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let running: Vec<Timer> = self.recorder.timers().iter().map(|(timer, _)| timer).collect();
        if running != self.traced {
            tracing::trace!("timers: {}", self.recorder.timers());
            self.traced = running;
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Gives the recorder one input and executes its outputs.
    fn input(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.began.elapsed(), self.sink);
        self.execute_outputs();
    }

    /// Executes the outputs of the recorder.
    fn execute_outputs(&mut self) {
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Connect { conn, line } => self.connect(conn, usize::from(line)),
                Output::Finish(id) => {
                    if let Some(conn) = self.conns.iter_mut().find(|conn| conn.id == id) {
                        conn.finish = true;
                    }
                }
                Output::Drop(id) => self.drop(id),
                // The group was joined when its socket was opened.
                Output::Join { .. } => {}
                Output::Request { line, server, request } => {
                    if let Some(group) = self.group(line) {
                        group.request(server, &request);
                    }
                }
                Output::Leave { line } => {
                    if let Some(group) = self.group(line) {
                        group.leave();
                    }
                }
                Output::Note(note) => (self.watch)(LoopEvent::Note(self.recorder, note)),
            }
        }
        for conn in &mut self.conns {
            conn.send(self.recorder, self.sink, self.began.elapsed());
        }
    }

    fn group(&mut self, line: u16) -> Option<&mut RegisteredGroup> {
        self.groups.iter_mut().find(|(id, _)| *id == line).map(|(_, group)| group)
    }

    /// Marks the socket of a group as readable. Returns whether the token is that of one.
    fn wake_group(&mut self, token: Token) -> bool {
        let Some(place) = token.0.checked_sub(GROUP_TOKENS).filter(|_| token != STOP) else {
            return false;
        };
        if let Some(group) = u16::try_from(place / 2).ok().and_then(|line| self.group(line)) {
            group.wake(place % 2);
        }
        true
    }

    /// Reads one of the sockets of each group for one turn.
    fn read_groups(&mut self, index: usize) {
        let Some(mut batch) = self.batch.take() else { return };
        for at in 0..self.groups.len() {
            let mut turns = turn(index);
            while turns > 0 && self.read_group(at, index, &mut batch) {
                turns -= 1;
            }
        }
        self.batch = Some(batch);
    }

    /// Reads one batch of datagrams. Returns whether there were any.
    fn read_group(&mut self, at: usize, index: usize, batch: &mut Batch) -> bool {
        let (line, group) = &mut self.groups[at];
        let line = *line;
        let dropped = group.receive(index, batch);
        if dropped > 0 {
            self.input(Input::KernelDrops { line, count: dropped });
        }
        let now = self.began.elapsed();
        for place in 0..batch.len() {
            let (bytes, from) = batch.datagram(place);
            let source = self.groups[at].1.source(index, from);
            self.recorder.handle(Input::Datagram { line, source, bytes }, now, self.sink);
            self.execute_outputs();
        }
        batch.len() > 0
    }

    /// Closes a connection.
    fn drop(&mut self, id: ConnId) {
        if let Some(at) = self.conns.iter().position(|conn| conn.id == id) {
            let conn = self.conns.swap_remove(at);
            if !conn.connected {
                self.lines[conn.line].failed(conn.attempt);
            }
        }
    }

    /// Starts to connect to an address of a line.
    fn connect(&mut self, id: ConnId, line: usize) {
        let line_addresses = &mut self.lines[line];
        let LineAddresses { addresses, next: attempt } = *line_addresses;
        let address = addresses[attempt % addresses.len()];
        let begun = TcpStream::connect(address).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(id as usize), interest)?;
            Ok(stream)
        });
        match begun {
            Ok(stream) => self.conns.push(ClientSocket {
                id,
                line,
                attempt,
                stream,
                connected: false,
                readable: false,
                writable: false,
                out: Vec::new(),
                sent: 0,
                finish: false,
            }),
            Err(_) => {
                line_addresses.failed(attempt);
                self.failed.push_back(id);
            }
        }
    }

    /// Reads and writes as far as the socket of a connection allows.
    fn turn(&mut self, id: ConnId) {
        let Some(at) = self.conns.iter().position(|conn| conn.id == id) else { return };
        let conn = &mut self.conns[at];
        if !conn.connected {
            return match conn.connecting() {
                None => {}
                Some(true) => self.input(Input::Connected(id)),
                Some(false) => self.input(Input::ConnectFailed(id)),
            };
        }
        if conn.writable && (conn.sent < conn.out.len() || conn.finish) {
            conn.send(self.recorder, self.sink, self.began.elapsed());
        }
        for _ in 0..TURN {
            if !self.recorder.wants_input(id) {
                return;
            }
            let Some(conn) = self.conns.iter_mut().find(|conn| conn.id == id && conn.readable)
            else {
                return;
            };
            let input = match conn.stream.read(&mut self.buffer) {
                // An exchange ends a stream by closing its sending side.
                Ok(0) => {
                    conn.readable = false;
                    Input::Ended(id)
                }
                Ok(count) => Input::Received(id, &self.buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.readable = false;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    conn.readable = false;
                    Input::Broken(id)
                }
            };
            self.recorder.handle(input, self.began.elapsed(), self.sink);
            self.execute_outputs();
        }
    }
}

impl ClientSocket {
    /// Returns whether connecting succeeded, or `None` while it goes on.
    fn connecting(&mut self) -> Option<bool> {
        if let Ok(Some(_)) | Err(_) = self.stream.take_error() {
            return Some(false);
        }
        match self.stream.peer_addr() {
            // TCP can connect a local port without a listener to itself; that is no exchange.
            Ok(peer) if self.stream.local_addr().is_ok_and(|own| own == peer) => Some(false),
            Ok(_) => {
                self.connected = true;
                self.writable = true;
                // A failure only delays requests.
                let _ = self.stream.set_nodelay(true);
                Some(true)
            }
            // A connection that is being made has no peer yet.
            Err(error) if error.kind() == ErrorKind::NotConnected => None,
            Err(_) => Some(false),
        }
    }

    /// Sends pending bytes as far as the socket accepts them. Errors are found by the next read.
    fn send(&mut self, recorder: &mut Recorder, sink: &mut impl Sink, now: Duration) {
        while self.connected && self.writable {
            if self.sent == self.out.len() {
                self.out.clear();
                self.sent = 0;
                recorder.transmit(self.id, now, sink, &mut self.out);
                if self.out.is_empty() {
                    break;
                }
            }
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.writable = false;
                    // The next read reports the error, after all bytes that arrived before it.
                    if error.kind() != ErrorKind::WouldBlock {
                        self.readable = true;
                    }
                }
            }
        }
        if self.finish && self.sent == self.out.len() {
            self.finish = false;
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}
