//! Sockets: the loops that drive the core's state machines. One thread each.

mod admission;
mod connection;
mod desk;
mod fetch;
mod serve;

#[cfg(feature = "web")]
pub(crate) use admission::limit_unsent;
pub use admission::{CONNECTIONS_MAX, UNSENT_MAX};
pub use desk::{Desk, Nobody, Place};
pub use fetch::{Event, fetch};
pub use serve::{serve, serve_at};

use mio::Waker;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Ends a loop from outside: a signal, another thread.
#[derive(Clone, Default, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Default, Debug)]
struct Shared {
    asked: AtomicU32,
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
        self.shared.asked.load(Ordering::SeqCst)
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
pub fn listen(address: std::net::SocketAddr) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows this would let two exchanges share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
