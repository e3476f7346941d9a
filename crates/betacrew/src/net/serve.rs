//! The loop of an exchange.

use super::{Desk, Nobody, Place, Stop};
use feed::exchange::{Exchange, Step};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// Bytes offered to a socket at once.
const WRITE: usize = 256 * 1024;
/// Bytes of calls read at once; bounds what a client can make the exchange owe.
const READ: usize = 16 * 1024;
/// So many writes or reads on one connection, then it is the others' turn.
const TURN: u32 = 8;
/// How long running streams may go on after a stop.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after the system has refused a connection (no descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When to look again at a connection that has something due.
const SOON: Duration = Duration::from_millis(1);
/// And at one whose client does not read.
const STALLED: Duration = Duration::from_millis(100);

const STOP: Token = Token(usize::MAX);

/// Runs `exchange` on `listeners` until `stop`, or until it dies. `tell` hears its notes.
///
/// # Errors
/// What the system reports about polling or listening, and [`ErrorKind::InvalidInput`] for more
/// than 1024 listeners; never about a connection.
pub fn serve<E: Exchange>(
    listeners: Vec<std::net::TcpListener>,
    exchange: &mut E,
    stop: &Stop,
    tell: impl FnMut(&E, E::Note),
) -> io::Result<()> {
    serve_at(listeners, exchange, stop, tell, &mut Nobody)
}

/// The same with somebody at the desk, who is given a turn whenever the loop is woken and they want
/// one.
///
/// # Errors
/// As [`serve`].
pub fn serve_at<E: Exchange>(
    listeners: Vec<std::net::TcpListener>,
    exchange: &mut E,
    stop: &Stop,
    tell: impl FnMut(&E, E::Note),
    desk: &mut impl Desk<E>,
) -> io::Result<()> {
    if listeners.len() > LISTENERS_MAX {
        return Err(ErrorKind::InvalidInput.into());
    }
    let poll = Poll::new()?;
    let _waker = stop.wake_by(Waker::new(poll.registry(), STOP)?);
    let mut server = Server {
        listeners: Vec::new(),
        exchange,
        tell,
        conns: Slab::new(),
        timers: BinaryHeap::new(),
        ready: VecDeque::new(),
        accept_at: None,
        pass_at: None,
        down: None,
        began: Instant::now(),
        poll,
        buffer: vec![0; WRITE],
    };
    listeners.into_iter().try_for_each(|listener| server.listen(listener))?;
    server.run(stop, desk)
}

struct Server<'a, E: Exchange, F> {
    listeners: Vec<TcpListener>,
    exchange: &'a mut E,
    tell: F,
    conns: Slab<Conn<E::Conn>>,
    /// When to look at a connection; at most one entry is armed for each.
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Connections whose turn ended before their work did.
    ready: VecDeque<usize>,
    /// When to accept again.
    accept_at: Option<Duration>,
    /// When to tell the exchange that time passes.
    pass_at: Option<Duration>,
    /// Until when the exchange is down, and where it listens after that.
    down: Option<(Duration, Vec<SocketAddr>)>,
    began: Instant,
    poll: Poll,
    buffer: Vec<u8>,
}

struct Conn<C> {
    stream: TcpStream,
    state: C,
    readable: bool,
    writable: bool,
    queued: bool,
    armed: Option<Duration>,
}

/// What became of a connection in its turn.
enum Turn {
    /// It waits for its socket, its client or its timer.
    Done,
    /// It could go on.
    More,
    /// It is over; `true`: the client has reset it.
    Gone(bool),
    /// It is to be reset.
    Reset,
}

impl<E: Exchange, F: FnMut(&E, E::Note)> Server<'_, E, F> {
    fn run(&mut self, stop: &Stop, desk: &mut impl Desk<E>) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut stopping: Option<Duration> = None;
        self.pass_at = self.exchange.pass(self.now());
        while !self.exchange.dead() {
            if self.pass_at.is_some_and(|time| time <= self.now()) {
                self.pass_at = self.exchange.pass(self.now());
            }
            if stop.asked() && stopping.is_none() {
                stopping = Some(self.now() + GRACE);
                self.listeners.clear();
                self.down = None;
                self.end_idle();
            }
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
            if desk.wants() {
                self.visit(desk);
            }
            self.accept_again();
            self.expire();
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
            while let Some(note) = self.exchange.note() {
                (self.tell)(self.exchange, note);
            }
        }
        Ok(())
    }

    fn visit(&mut self, desk: &mut impl Desk<E>) {
        let now = self.now();
        let mut floor = Vec::with_capacity(self.conns.len());
        for (_, conn) in &mut self.conns {
            floor.push(Place { stream: &conn.stream, conn: &mut conn.state });
        }
        if desk.turn(self.exchange, &mut floor, now) {
            drop(floor);
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

    fn listen(&mut self, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let token = Token(self.listeners.len());
        self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Once the exchange has gone down: resets every connection and listens no more.
    fn go_down(&mut self) -> io::Result<()> {
        let now = self.now();
        let Some(until) = self.exchange.down_until().filter(|&until| now < until) else {
            return Ok(());
        };
        if self.down.is_none() {
            let addresses = self.listeners.iter().map(TcpListener::local_addr);
            self.down = Some((until, addresses.collect::<io::Result<_>>()?));
            self.listeners.clear();
            self.accept_at = None;
            for conn in core::mem::take(&mut self.conns) {
                reset(&conn.1.stream);
                self.exchange.gone(conn.1.state, false, now);
            }
        }
        Ok(())
    }

    /// Once the time of an outage is over: listens again.
    fn come_up(&mut self) {
        let now = self.now();
        let Some((_, addresses)) = self.down.take_if(|(until, _)| *until <= now) else { return };
        let mut left = addresses.as_slice();
        while let Some((address, after)) = left.split_first() {
            if let Err(error) = super::listen(*address).and_then(|socket| self.listen(socket)) {
                tracing::warn!("cannot listen on {address} again (trying on): {error}");
                self.down = Some((now + ACCEPT_PAUSE, left.to_vec()));
                return;
            }
            left = after;
        }
    }

    /// How long to wait for events.
    fn patience(&self, stopping: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((time, _))| *time);
        let up = self.down.as_ref().map(|(until, _)| *until);
        let next =
            [timer, stopping, self.accept_at, self.pass_at, up].into_iter().flatten().min()?;
        Some(next.saturating_sub(self.now()))
    }

    fn event(&mut self, event: &Event) {
        match event.token() {
            STOP => {}
            Token(id) if id < LISTENERS_MAX => self.accept(id),
            Token(token) => {
                let key = token - LISTENERS_MAX;
                if let Some(conn) = self.conns.get_mut(key) {
                    conn.readable |=
                        event.is_readable() || event.is_read_closed() || event.is_error();
                    conn.writable |= event.is_writable() || event.is_error();
                    // One whose turn will come does not get another.
                    if !conn.queued {
                        self.serve(key);
                    }
                }
            }
        }
    }

    fn accept(&mut self, id: usize) {
        while let Some(listener) = self.listeners.get(id) {
            match listener.accept() {
                Ok((stream, _)) => {
                    // Failing only makes packets arrive later.
                    let _ = stream.set_nodelay(true);
                    self.admit(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client has gone before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if self.accept_at.is_none() {
                        tracing::warn!("cannot accept a connection (trying again): {error}");
                    }
                    self.accept_at = Some(self.now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn accept_again(&mut self) {
        if self.accept_at.is_some_and(|time| self.now() >= time) {
            self.accept_at = None;
            (0..self.listeners.len()).for_each(|id| self.accept(id));
        }
    }

    fn admit(&mut self, mut stream: TcpStream) {
        let token = Token(LISTENERS_MAX + self.conns.vacant_key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, token, interest) {
            tracing::warn!("cannot watch a connection: {error}");
            return;
        }
        let state = self.exchange.open(self.now());
        let (readable, writable, queued, armed) = (true, true, false, None);
        let key = self.conns.insert(Conn { stream, state, readable, writable, queued, armed });
        self.serve(key);
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: usize) {
        let now = self.now();
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.queued = false;
        match conn.turn(self.exchange, &mut self.buffer, now) {
            Turn::Gone(by_client) => {
                let conn = self.conns.remove(key);
                self.exchange.gone(conn.state, by_client, now);
            }
            Turn::Reset => {
                let conn = self.conns.remove(key);
                reset(&conn.stream);
                self.exchange.gone(conn.state, false, now);
            }
            Turn::More => {
                conn.queued = true;
                self.ready.push_back(key);
            }
            Turn::Done => {
                // What is due already waits for the socket, or would have been done: to look at it
                // at once would be to look at it for ever.
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
        // Those that are armed meanwhile are for the next round, lest others wait for ever.
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

    /// Closes the connections that nothing is being sent on.
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
            self.exchange.gone(conn.state, false, now);
        }
    }
}

/// Closes a connection so that its client sees it reset.
fn reset(stream: &TcpStream) {
    // Where that fails it is closed like any other.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Tokens below are listeners.
pub(crate) const LISTENERS_MAX: usize = 1024;

impl<C> Conn<C> {
    fn turn<E: Exchange<Conn = C>>(
        &mut self,
        exchange: &mut E,
        buffer: &mut [u8],
        now: Duration,
    ) -> Turn {
        for _ in 0..TURN {
            let mut moved = false;
            if self.readable && exchange.wants_input(&self.state) {
                match self.stream.read(&mut buffer[..READ]) {
                    Ok(0) => {
                        self.readable = false;
                        exchange.ended(&mut self.state, now);
                    }
                    Ok(count) => exchange.receive(&mut self.state, &buffer[..count], now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Turn::Gone(true),
                }
                moved = true;
            }
            // A socket that takes nothing now: what is owed then need not be made.
            let count = if self.writable { exchange.peek(&mut self.state, buffer, now) } else { 0 };
            if count > 0 {
                match self.stream.write(&buffer[..count]) {
                    Ok(sent) => exchange.sent(&mut self.state, sent, now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Turn::Gone(true),
                }
                moved = true;
            }
            if count == 0 {
                match exchange.step(&mut self.state, now) {
                    Step::Wait => {}
                    Step::Close => return Turn::Gone(false),
                    Step::Reset => return Turn::Reset,
                    Step::Finish => {
                        if self.stream.shutdown(Shutdown::Write).is_err() {
                            return Turn::Gone(true);
                        }
                        moved = true;
                    }
                }
            }
            if exchange.dead() || !moved {
                return Turn::Done;
            }
        }
        Turn::More
    }
}
