//! Sockets: the loops that drive the core's state machines. One thread each.

mod admission;
mod connection;
pub(crate) mod controller;
mod fetch;
mod serve;

pub use crate::net::controller::{ConnectionRef, Controller, NoController};
#[cfg(feature = "web")]
pub(crate) use admission::limit_unsent;
pub use admission::{CONNECTIONS_MAX, UNSENT_MAX};
pub use fetch::{LoopEvent, fetch};
pub(crate) use serve::LISTENERS_MAX;
pub use serve::{serve, serve_at};

use mio::Waker;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Ends a loop from outside: a signal, another thread.
#[derive(Clone, Default, Debug)]
pub struct Stop {
    shared: Arc<StopState>,
}

#[derive(Default, Debug)]
struct StopState {
    asked: AtomicU32,
    /// Somebody has looked since it was asked for.
    noticed: AtomicBool,
    wakers: Mutex<Vec<Weak<Waker>>>,
}

impl Stop {
    /// A stop that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the loops that know it to end. Returns how often that was asked before.
    pub fn stop(&self) -> u32 {
        let before = self.shared.asked.fetch_add(1, Ordering::SeqCst);
        for waker in self.wakers().iter().filter_map(Weak::upgrade) {
            // One that cannot be woken has ended.
            let _ = waker.wake();
        }
        before
    }

    /// Wakes the loops that know it, and no more: they look who wants something.
    pub fn wake(&self) {
        for waker in self.wakers().iter().filter_map(Weak::upgrade) {
            let _ = waker.wake();
        }
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.times() > 0
    }

    /// How often it was asked for.
    #[must_use]
    pub fn times(&self) -> u32 {
        let times = self.shared.asked.load(Ordering::SeqCst);
        if times > 0 {
            self.shared.noticed.store(true, Ordering::SeqCst);
        }
        times
    }

    /// Whether it was asked for and nobody has looked since: what should have is blocked.
    pub(crate) fn asked_unnoticed(&self) -> bool {
        self.shared.asked.load(Ordering::SeqCst) > 0 && !self.shared.noticed.load(Ordering::SeqCst)
    }

    /// Wakes a loop for as long as the loop keeps what this returns.
    fn wake_by(&self, waker: Waker) -> Arc<Waker> {
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

/// So many clients may have connected and not been accepted yet (the system may allow fewer).
const BACKLOG: i32 = 4096;

/// Listens on an address, with room for thousands of clients that connect at once.
///
/// # Errors
/// What the system reports, `AddrInUse` for example.
pub fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows this would let two exchanges share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on each address that one name stands for. One of a family that this machine does not
/// have is left out where another can be had; port 0 becomes the same port for all, if that is
/// free.
///
/// # Errors
/// The address that cannot be had, and what the system reports.
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

/// Asks for as many file descriptors as the system lets this process have: each connection is one.
pub fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where that fails there are fewer connections; accepting says so when it matters.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
