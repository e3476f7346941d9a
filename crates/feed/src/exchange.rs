//! The exchange's side of a session, as a driver sees it: a socket loop, the simulator or a test.

pub mod original;
pub mod server;

use core::net::SocketAddr;
use core::time::Duration;

/// What to do with a connection once [`Exchange::peek`] has nothing to send on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Leave it open.
    Wait,
    /// Send no more (half-close) and go on reading. Asked for once.
    Finish,
    /// Close it.
    Close,
    /// Reset it.
    Reset,
}

/// An exchange without I/O.
///
/// A driver calls [`open`](Self::open) for each connection it accepts and keeps what that returns.
/// After anything that happened on a connection, and at its [`deadline`](Self::deadline), it sends
/// what [`peek`](Self::peek) gives, telling [`sent`](Self::sent) how much of it the connection
/// took, until that is nothing; then it does what [`step`](Self::step) says.
pub trait Exchange {
    /// One connection's state.
    type Connection;
    /// What it tells about itself.
    type Event;

    /// A client has connected.
    fn open(&mut self, now: Duration) -> Self::Connection;

    /// Tells a new connection the client's address and the exchange's own, where the driver has
    /// addresses.
    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        let _ = (conn, client, own);
    }

    /// Whether to read from the connection now; if not, again after something was sent on it.
    fn wants_input(&self, conn: &Self::Connection) -> bool;

    /// The client has sent bytes.
    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration);

    /// The client will send no more.
    fn ended(&mut self, conn: &mut Self::Connection, now: Duration);

    /// The connection is gone: closed by both sides, or reset by the client.
    fn disconnected(&mut self, conn: Self::Connection, reset: bool, now: Duration);

    /// Puts the next bytes to be sent into `out`, as one write, and returns how many: none where
    /// nothing is owed, or nothing is due before the [`deadline`](Self::deadline). `out` must
    /// have room for a frame ([`FRAME_LEN`](crate::wire::FRAME_LEN)).
    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize;

    /// The connection took `count` of the bytes that `peek` gave last.
    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration);

    /// What to do with the connection when there is nothing to send.
    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step;

    /// When to look at the connection again if nothing happens on it.
    fn deadline(&mut self, conn: &Self::Connection) -> Option<Duration>;

    /// Whether the connection waits for its client: nothing is owed on it, now or later, unless the
    /// client asks for something. A driver that has no room for another may close such a one.
    fn is_idle(&self, conn: &Self::Connection) -> bool {
        let _ = conn;
        false
    }

    /// Something to tell.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Time passes, whatever happens on connections. Returns when to tell that next, if at all.
    fn tick(&mut self, now: Duration) -> Option<Duration> {
        let _ = now;
        None
    }

    /// While the exchange is down: until when. Then all connections are reset, and nobody can
    /// connect before.
    fn down_until(&self) -> Option<Duration> {
        None
    }

    /// Whether the whole exchange has died. Ours only does where its tape can no longer be read;
    /// the original does when mistreated.
    fn is_dead(&self) -> bool {
        false
    }
}
