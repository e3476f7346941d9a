//! Event loop of an exchange.

use super::admission::{
    self, ACCEPT_PAUSE, IdleQueue, Throttle, connections_max, out_of_descriptors,
};
use super::connection::{ServerSocket, Turn};
use super::lines::Lines;
use super::outage::ClosedListener;
use super::{ConnectionRef, Controller, Listener, NoController, Sockets, Stop};
use feed::exchange::{Disconnect, Exchange};
use feed::wire::Protocol;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind};
use std::iter;
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// Size of the write buffer in bytes.
const WRITE: usize = 256 * 1024;
/// Time for which running streams continue after a stop.
const GRACE: Duration = Duration::from_secs(2);

/// Interval for checking a connection whose deadline has passed.
const SOON: Duration = Duration::from_millis(1);
/// Interval for checking a connection whose deadline has passed while its client does not read.
const STALLED: Duration = Duration::from_millis(100);

/// Token of the waker.
const STOP: Token = Token(usize::MAX);

/// Runs `exchange` on `sockets` until `stop`, or until it crashes. `on_event` receives its
/// events.
///
/// # Errors
/// Returns errors of polling and listening, and [`ErrorKind::InvalidInput`] for more than 1024
/// listeners or 64 lines. Errors of connections only end these.
pub fn serve<E: Exchange>(
    sockets: impl Into<Sockets>,
    exchange: &mut E,
    stop: &Stop,
    on_event: impl FnMut(&E, E::Event),
) -> io::Result<()> {
    serve_with(sockets, exchange, stop, on_event, &mut NoController)
}

/// Runs `exchange` as [`serve`] does, with a controller that gets a turn whenever the loop is woken
/// and the controller wants one.
///
/// # Errors
/// Returns errors of polling and listening, and [`ErrorKind::InvalidInput`] for more than 1024
/// listeners or 64 lines. Errors of connections only end these.
pub fn serve_with<E: Exchange>(
    sockets: impl Into<Sockets>,
    exchange: &mut E,
    stop: &Stop,
    on_event: impl FnMut(&E, E::Event),
    controller: &mut impl Controller<E>,
) -> io::Result<()> {
    let sockets = sockets.into();
    if sockets.listeners.len() > LISTENERS_MAX {
        return Err(ErrorKind::InvalidInput.into());
    }
    serve_up_to(connections_max(), sockets, exchange, stop, on_event, controller)
}

/// Runs an exchange with at most `most` connections at once.
fn serve_up_to<E: Exchange>(
    most: usize,
    sockets: impl Into<Sockets>,
    exchange: &mut E,
    stop: &Stop,
    on_event: impl FnMut(&E, E::Event),
    controller: &mut impl Controller<E>,
) -> io::Result<()> {
    let poll = Poll::new()?;
    let Sockets { listeners, lines } = sockets.into();
    let lines = Lines::new(lines, poll.registry())?;
    let _waker = stop.register(Waker::new(poll.registry(), STOP)?);
    let mut server = ExchangeLoop {
        most,
        idle: IdleQueue::default(),
        evicted: 0,
        waiting: None,
        log: Throttle::default(),
        listeners: Vec::new(),
        lines,
        exchange,
        on_event,
        conns: Slab::new(),
        timers: BinaryHeap::new(),
        ready: VecDeque::new(),
        accept_at: None,
        tick_at: None,
        down: None,
        began: Instant::now(),
        poll,
        buffer: vec![0; WRITE],
    };
    for listener in listeners {
        let Listener { socket, protocol } = listener;
        server.listen(socket, protocol)?;
    }
    server.run(stop, controller)
}

/// State of the loop.
struct ExchangeLoop<'a, E: Exchange, F> {
    /// Maximum number of connections.
    most: usize,
    /// Connections to close when there is no room for another.
    idle: IdleQueue,
    /// Number of connections that were closed to make room.
    evicted: u64,
    /// Client that was accepted when there was no room, and is admitted next.
    waiting: Option<(TcpStream, Protocol)>,
    /// Limit on log lines about a lack of room.
    log: Throttle,
    listeners: Vec<(TcpListener, Protocol)>,
    lines: Lines,
    exchange: &'a mut E,
    on_event: F,
    conns: Slab<ServerSocket<E::Connection>>,
    /// Times at which to check connections. At most one entry of a connection is armed.
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Connections whose turn ended before their work did.
    ready: VecDeque<usize>,
    /// Time when connections are accepted again.
    accept_at: Option<Duration>,
    /// Time of the exchange's next tick.
    tick_at: Option<Duration>,
    /// End of the exchange's outage, and the addresses to listen on after it.
    down: Option<(Duration, Vec<ClosedListener>)>,
    began: Instant,
    poll: Poll,
    buffer: Vec<u8>,
}

impl<E: Exchange, F: FnMut(&E, E::Event)> ExchangeLoop<'_, E, F> {
    fn run(&mut self, stop: &Stop, controller: &mut impl Controller<E>) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut stopping: Option<Duration> = None;
        self.tick_at = self.exchange.tick(self.now());
        while !self.exchange.is_dead() {
            if self.tick_at.is_some_and(|time| time <= self.now()) {
                self.tick_at = self.exchange.tick(self.now());
            }
            if stop.asked() && stopping.is_none() {
                stopping = Some(self.now() + GRACE);
                // Clients that connected before the stop are still served.
                (0..self.listeners.len()).for_each(|id| self.accept(id));
                self.listeners.clear();
                self.lines.close();
                (self.down, self.waiting, self.accept_at) = (None, None, None);
                self.end_idle();
            }
            // A second signal does not wait for streams that still run.
            let over = |until| self.conns.is_empty() || self.now() >= until || stop.times() > 1;
            if stopping.is_some_and(over) {
                break;
            }
            match self.poll.poll(&mut events, self.patience(stopping)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.event(event);
            }
            if controller.wants() {
                self.control(controller);
            }
            self.accept_again();
            self.expire();
            let now = self.now();
            self.lines.turn(self.exchange.lines(), now);
            for _ in 0..self.ready.len() {
                if let Some(key) = self.ready.pop_front() {
                    self.serve(key);
                }
            }
            if stopping.is_some() {
                self.end_idle();
            } else {
                self.go_down()?;
                self.come_up();
            }
            while let Some(event) = self.exchange.poll_event() {
                (self.on_event)(self.exchange, event);
            }
        }
        Ok(())
    }

    /// Gives the controller a turn.
    fn control(&mut self, controller: &mut impl Controller<E>) {
        let now = self.now();
        let mut connections = Vec::with_capacity(self.conns.len());
        for (_, conn) in &mut self.conns {
            connections.push(ConnectionRef { stream: &conn.stream, conn: &mut conn.state });
        }
        if controller.turn(self.exchange, &mut connections, now) {
            drop(connections);
            self.lines.wake();
            for (key, conn) in &mut self.conns {
                if !std::mem::replace(&mut conn.queued, true) {
                    self.ready.push_back(key);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn listen(&mut self, listener: std::net::TcpListener, protocol: Protocol) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let token = Token(self.listeners.len());
        self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
        self.listeners.push((listener, protocol));
        Ok(())
    }

    /// Starts an outage if the exchange is down: resets every connection and closes the listeners.
    fn go_down(&mut self) -> io::Result<()> {
        let now = self.now();
        let Some(until) = self.exchange.down_until().filter(|&until| now < until) else {
            return Ok(());
        };
        if self.down.is_none() {
            let mut closed = Vec::new();
            for (listener, protocol) in core::mem::take(&mut self.listeners) {
                closed.push(ClosedListener::close(listener, protocol)?);
            }
            self.down = Some((until, closed));
            // A line that has sent everything may have another session to play afterwards.
            self.lines.wake();
            (self.accept_at, self.waiting) = (None, None);
            for conn in core::mem::take(&mut self.conns) {
                reset(&conn.1.stream);
                self.exchange.disconnected(conn.1.state, Disconnect::Closed, now);
            }
        }
        Ok(())
    }

    /// Ends an outage once its time is over: opens the listeners again.
    fn come_up(&mut self) {
        let now = self.now();
        let Some((_, closed)) = self.down.take_if(|(until, _)| *until <= now) else { return };
        let mut left = closed.into_iter();
        while let Some(mut closed) = left.next() {
            let listening = closed.reopen();
            if let Err(error) = listening.and_then(|socket| self.listen(socket, closed.protocol)) {
                if self.log.allows(now) {
                    let address = closed.address;
                    tracing::warn!("cannot listen on {address} again: {error}; trying again");
                }
                self.down = Some((now + ACCEPT_PAUSE, iter::once(closed).chain(left).collect()));
                return;
            }
        }
    }

    /// Returns the time to wait for events.
    fn patience(&self, stopping: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((time, _))| *time);
        let up = self.down.as_ref().map(|(until, _)| *until);
        let lines = self.lines.next_at();
        let times = [timer, stopping, self.accept_at, self.tick_at, up, lines];
        let next = times.into_iter().flatten().min()?;
        Some(next.saturating_sub(self.now()))
    }

    fn event(&mut self, event: &Event) {
        match event.token() {
            STOP => {}
            token if self.lines.take_event(token) => {}
            Token(id) if id < LISTENERS_MAX => self.accept(id),
            Token(token) => {
                let key = token - LISTENERS_MAX;
                if let Some(conn) = self.conns.get_mut(key) {
                    conn.readable |=
                        event.is_readable() || event.is_read_closed() || event.is_error();
                    conn.writable |= event.is_writable() || event.is_error();
                    // A queued connection gets its turn anyway.
                    if !conn.queued {
                        self.serve(key);
                    }
                }
            }
        }
    }

    fn accept(&mut self, id: usize) {
        let mut evicted = false;
        while let Some((listener, protocol)) =
            self.listeners.get(id).filter(|_| self.waiting.is_none())
        {
            match listener.accept() {
                Ok((stream, _)) => {
                    evicted = false;
                    admission::tune(&stream);
                    self.waiting = Some((stream, *protocol));
                    self.admit();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client closed the connection before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Only one connection is closed for room in a row, because another process that
                // takes the freed descriptors would otherwise end them all.
                Err(error) if out_of_descriptors(&error) && !evicted && self.evict() => {
                    evicted = true;
                }
                Err(error) => {
                    let advice = if out_of_descriptors(&error) {
                        "; raise the limit of open files (ulimit -n)"
                    } else {
                        ""
                    };
                    return self.pause_accepting(&format!(
                        "cannot accept a connection: {error}{advice}; trying again"
                    ));
                }
            }
        }
    }

    /// Accepts no connections for [`ACCEPT_PAUSE`], and logs the reason at most once in a while.
    fn pause_accepting(&mut self, why: &str) {
        let now = self.now();
        self.accept_at = Some(now + ACCEPT_PAUSE);
        if self.log.allows(now) {
            tracing::warn!("{why}");
        }
    }

    fn accept_again(&mut self) {
        if self.accept_at.is_some_and(|time| self.now() >= time) {
            self.accept_at = None;
            self.admit();
            (0..self.listeners.len()).for_each(|id| self.accept(id));
        }
    }

    /// Admits the waiting client if there is room, or if an idle connection can be closed for it.
    fn admit(&mut self) {
        if self.waiting.is_none() {
            return;
        }
        if self.conns.len() >= self.most && !self.evict() {
            let most = self.most;
            return self.pause_accepting(&format!(
                "{most} clients are connected and none is idle: further clients have to wait"
            ));
        }
        let Some((mut stream, protocol)) = self.waiting.take() else { return };
        let token = Token(LISTENERS_MAX + self.conns.vacant_key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let now = self.now();
        if let Err(error) = self.poll.registry().register(&mut stream, token, interest) {
            if self.log.allows(now) {
                tracing::warn!("cannot poll a connection: {error}");
            }
            return;
        }
        let mut state = self.exchange.open(protocol, now);
        if let (Ok(client), Ok(own)) = (stream.peer_addr(), stream.local_addr()) {
            self.exchange.connected(&mut state, client, own);
        }
        let conn = ServerSocket {
            stream,
            state,
            readable: true,
            writable: true,
            queued: false,
            armed: None,
            active: now,
        };
        let key = self.conns.insert(conn);
        self.serve(key);
    }

    /// Closes the connection that has been idle for longest. Returns false if none is idle.
    fn evict(&mut self) -> bool {
        let now = self.now();
        let (conns, exchange) = (&self.conns, &*self.exchange);
        let idle = |conn: &ServerSocket<E::Connection>| exchange.is_idle(&conn.state);
        let still =
            |key, since| conns.get(key).is_some_and(|conn| conn.active == since && idle(conn));
        let search = || {
            let idle = conns.iter().filter(|(_, conn)| idle(conn));
            idle.map(|(key, conn)| (conn.active, key)).collect()
        };
        let Some(key) = self.idle.next(now, still, search) else { return false };
        let conn = self.conns.remove(key);
        self.exchange.disconnected(conn.state, Disconnect::Closed, now);
        self.evicted += 1;
        if self.log.allows(now) {
            tracing::warn!(
                "too many clients: closed the connection that was idle for longest ({} so far)",
                self.evicted
            );
        }
        true
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: usize) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.queued = false;
        match conn.turn(self.exchange, &mut self.buffer, now) {
            Turn::Gone(how) => {
                let conn = self.conns.remove(key);
                self.exchange.disconnected(conn.state, how, now);
            }
            Turn::Reset => {
                let conn = self.conns.remove(key);
                reset(&conn.stream);
                self.exchange.disconnected(conn.state, Disconnect::Closed, now);
            }
            Turn::More => {
                conn.queued = true;
                self.ready.push_back(key);
            }
            Turn::Done => {
                // A deadline in the past waits for the socket. Checking the connection at once
                // would loop without a pause, so it is checked a little later.
                let soon = now + if conn.writable { SOON } else { STALLED };
                let late = |time| if time <= now { soon } else { time };
                let deadline = self.exchange.deadline(&conn.state).map(late);
                if let Some(time) = deadline.filter(|&time| conn.armed.is_none_or(|old| time < old))
                {
                    conn.armed = Some(time);
                    self.timers.push(Reverse((time, key)));
                }
            }
        }
    }

    fn expire(&mut self) {
        let now = self.now();
        // Timers that are armed meanwhile wait for the next round, so that this loop ends.
        for _ in 0..self.timers.len() {
            let due = self.timers.peek().is_some_and(|timer| timer.0.0 <= now);
            let Some(Reverse((time, key))) = due.then(|| self.timers.pop()).flatten() else {
                break;
            };
            if let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.armed == Some(time)) {
                conn.armed = None;
                if !conn.queued {
                    self.serve(key);
                }
            }
        }
    }

    /// Closes the connections without pending bytes.
    fn end_idle(&mut self) {
        let (mut one, now) = ([0; feed::wire::FRAME_LEN], self.now());
        let mut keys = Vec::new();
        for (key, conn) in &mut self.conns {
            if self.exchange.peek(&mut conn.state, &mut one, now) == 0 {
                keys.push(key);
            }
        }
        for key in keys {
            let conn = self.conns.remove(key);
            let _ = conn.stream.shutdown(Shutdown::Write);
            self.exchange.disconnected(conn.state, Disconnect::Closed, now);
        }
    }
}

/// Closes a connection so that its client sees it reset.
fn reset(stream: &TcpStream) {
    // If this fails the connection is closed without a reset.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Maximum number of listeners; their tokens are below this number.
pub(crate) const LISTENERS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::listen;
    use super::*;
    use feed::base::seq::to_index;
    use feed::exchange::server::MockExchange;
    use feed::faults::scenario::Scenario;
    use feed::tape::in_memory::Tape;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream as Client};
    use std::sync::Arc;

    const PATIENCE: Duration = Duration::from_secs(30);
    /// A million packets: more than the buffers between exchange and client take.
    const PACKETS: u64 = 1_000_000;

    fn client(address: SocketAddr, calls: &[u8]) -> Client {
        let mut client = Client::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(calls).unwrap();
        client
    }

    /// Runs an exchange with room for `most` connections, and `with` its address.
    fn with_room_for(most: usize, with: impl FnOnce(SocketAddr)) {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
        std::thread::scope(|scope| {
            let exchange = scope.spawn(|| {
                let mut player =
                    MockExchange::new(Arc::new(Tape::random(PACKETS, 1)), Scenario::clean(1));
                serve_up_to(most, vec![listener], &mut player, &stop, |_, _| {}, &mut NoController)
            });
            // What panics here must not wait for the exchange.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with(address)));
            stop.stop();
            exchange.join().unwrap().unwrap();
            result.unwrap();
        });
    }

    fn first_packet(client: &mut Client) -> u64 {
        let mut frame = [0; feed::wire::FRAME_LEN];
        client.read_exact(&mut frame).unwrap();
        feed::wire::sequence_of(&frame)
    }

    const STREAM: &[u8] = &[1, 0];
    const RESEND: &[u8] = &[2, 9];
    const DESCRIBE: &[u8] = &[3, 1];
    const SUBSCRIBE: &[u8] = &[5, 0, 0, 0, 0, 1];

    #[test]
    fn at_the_bound_the_longest_idle_makes_room_and_never_one_that_gets_something() {
        with_room_for(4, |address| {
            let mut stalled = client(address, STREAM);
            assert_eq!(first_packet(&mut stalled), 1);
            let mut subscriber = client(address, DESCRIBE);
            first_packet(&mut subscriber);
            subscriber.write_all(SUBSCRIBE).unwrap();
            assert_eq!(first_packet(&mut subscriber), 1);
            let mut oldest = client(address, DESCRIBE);
            first_packet(&mut oldest);
            let mut newer = client(address, DESCRIBE);
            first_packet(&mut newer);
            // A fifth and a sixth: each gets the place of one that waits for its client.
            let mut fifth = client(address, STREAM);
            assert_eq!(first_packet(&mut fifth), 1);
            assert_eq!(oldest.read(&mut [0]).unwrap(), 0, "closed");
            let mut sixth = client(address, STREAM);
            assert_eq!(first_packet(&mut sixth), 1);
            assert_eq!(newer.read(&mut [0]).unwrap(), 0, "closed");
            // Now all get something, and a seventh waits until one has gone.
            let mut seventh = client(address, RESEND);
            seventh.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(seventh.read(&mut [0]).is_err(), "there is no room");
            seventh.set_read_timeout(Some(PATIENCE)).unwrap();
            drop(fifth);
            assert_eq!(first_packet(&mut seventh), 9);
            let mut rest = Vec::new();
            stalled.read_to_end(&mut rest).unwrap();
            assert_eq!(rest.len(), (to_index(PACKETS) - 1) * feed::wire::FRAME_LEN);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_system_keeps_for_a_client_that_does_not_read_is_bounded() {
        use rustix::fd::AsFd;
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        admission::tune(&stream);
        let chunk = vec![0; WRITE];
        let mut taken = 0;
        while let Ok(count) = stream.write(&chunk) {
            taken += count;
        }
        let unread = rustix::io::ioctl_fionread(client.as_fd()).unwrap();
        let kept = taken as u64 - unread;
        // One write goes a segment beyond the bound.
        assert!(kept <= 3 * u64::from(super::super::UNSENT_MAX), "{kept} bytes");
    }
}
