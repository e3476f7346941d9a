//! Event loops over sockets that drive the state machines of `feed`. Each runs in one thread.

mod admission;
mod connection;
pub(crate) mod controller;
mod datagram_sender;
mod fetch;
mod group;
mod lines;
mod outage;
mod serve;

pub use crate::args::group_address::GroupAddress;
pub use crate::net::controller::{ConnectionRef, Controller, NoController};
#[cfg(feature = "web")]
pub(crate) use admission::limit_unsent;
pub use admission::{CONNECTIONS_MAX, UNSENT_MAX};
pub use fetch::{LineSource, LoopEvent, fetch};
pub use group::{GroupSockets, RECEIVE_BUFFER};
pub(crate) use lines::LINES_MAX;
pub use lines::LineSockets;
pub(crate) use serve::LISTENERS_MAX;
pub use serve::{serve, serve_with};

use feed::wire::Protocol;
use mio::Waker;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Handle that ends event loops from outside, for signal handlers and other threads.
#[derive(Clone, Default, Debug)]
pub struct Stop {
    shared: Arc<StopState>,
}

/// State that all clones of a [`Stop`] share.
#[derive(Default, Debug)]
struct StopState {
    /// Number of requests to stop.
    asked: AtomicU32,
    /// True once a loop has seen the first request.
    noticed: AtomicBool,
    wakers: Mutex<Vec<Weak<Waker>>>,
}

impl Stop {
    /// Creates a handle without a request to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests all loops with this handle to end. Returns the number of earlier requests.
    pub fn stop(&self) -> u32 {
        let before = self.shared.asked.fetch_add(1, Ordering::SeqCst);
        for waker in self.wakers().iter().filter_map(Weak::upgrade) {
            // A loop that cannot be woken has ended.
            let _ = waker.wake();
        }
        before
    }

    /// Wakes all loops with this handle, so that each asks its [`Controller`] for commands.
    pub fn wake(&self) {
        for waker in self.wakers().iter().filter_map(Weak::upgrade) {
            let _ = waker.wake();
        }
    }

    /// Returns whether a stop was requested.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.times() > 0
    }

    /// Returns the number of requests to stop.
    #[must_use]
    pub fn times(&self) -> u32 {
        let times = self.shared.asked.load(Ordering::SeqCst);
        if times > 0 {
            self.shared.noticed.store(true, Ordering::SeqCst);
        }
        times
    }

    /// Returns whether a stop was requested but no loop has seen it, because its thread is blocked.
    pub(crate) fn asked_unnoticed(&self) -> bool {
        self.shared.asked.load(Ordering::SeqCst) > 0 && !self.shared.noticed.load(Ordering::SeqCst)
    }

    /// Registers the waker of a loop. The loop keeps the returned value while it wants to be woken.
    fn register(&self, waker: Waker) -> Arc<Waker> {
        let waker = Arc::new(waker);
        let mut wakers = self.wakers();
        wakers.retain(|old| old.strong_count() > 0);
        wakers.push(Arc::downgrade(&waker));
        waker
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Waker>>> {
        self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listening socket, and the protocol that clients speak on it.
#[derive(Debug)]
pub struct Listener {
    /// Listening socket.
    pub socket: std::net::TcpListener,
    /// Protocol of the listener's connections.
    pub protocol: Protocol,
}

/// Listening socket of the exercise's protocol.
impl From<std::net::TcpListener> for Listener {
    fn from(socket: std::net::TcpListener) -> Self {
        Self { socket, protocol: Protocol::Betacrew }
    }
}

/// Sockets of an exchange.
#[derive(Default, Debug)]
pub struct Sockets {
    /// Listening sockets for connections.
    pub listeners: Vec<Listener>,
    /// Sockets of the exchange's lines, in the order of the lines.
    pub lines: Vec<LineSockets>,
}

impl<L: Into<Listener>> From<Vec<L>> for Sockets {
    fn from(listeners: Vec<L>) -> Self {
        Self { listeners: listeners.into_iter().map(L::into).collect(), lines: Vec::new() }
    }
}

/// Maximum number of connected clients that are not accepted yet; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// Opens a listener on an address, with room for thousands of clients that connect at once.
///
/// # Errors
/// Errors of the system, such as `AddrInUse`.
pub fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    start_listening(reserve(address)?)
}

/// Takes a port without listening on it: clients are refused, and no other program gets the port.
///
/// # Errors
/// Errors of the system, such as `AddrInUse`.
fn reserve(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Not on Windows, where this option would let two exchanges share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Listens on a port that was taken before.
///
/// # Errors
/// Errors of the system.
fn start_listening(reserved: Socket) -> std::io::Result<std::net::TcpListener> {
    reserved.listen(BACKLOG)?;
    Ok(reserved.into())
}

/// Opens a listener on each address of one name. An address of a family that this machine lacks is
/// left out if there is another. Port 0 becomes the same free port for all, if possible.
///
/// # Errors
/// Returns the address that cannot be listened on, with the error of the system.
pub(crate) fn listen_on(
    addresses: &[SocketAddr],
) -> Result<Vec<std::net::TcpListener>, (SocketAddr, std::io::Error)> {
    let (mut listeners, mut absent) = (Vec::<std::net::TcpListener>::new(), None);
    for address in addresses {
        let first = listeners.first().and_then(|listener| listener.local_addr().ok());
        let port = first.map_or(address.port(), |first| first.port());
        let same = SocketAddr::new(address.ip(), port);
        let tried = match address.port() {
            0 => listen(same).or_else(|_| listen(*address)),
            _ => listen(*address),
        };
        match tried {
            Ok(listener) => listeners.push(listener),
            Err(error) if crate::args::address::no_such_family(&error) => {
                absent.get_or_insert((*address, error));
            }
            Err(error) => return Err((*address, error)),
        }
    }
    match absent {
        Some(absent) if listeners.is_empty() => Err(absent),
        Some((address, error)) => {
            tracing::warn!("not listening on {address}: {error}");
            Ok(listeners)
        }
        None => Ok(listeners),
    }
}

/// Raises the limit of open files to the maximum for this process, because each connection takes
/// one.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // A failure only means fewer connections; accepting logs it when they run out.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
