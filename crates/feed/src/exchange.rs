//! The exchange's side of a session without I/O, for drivers: a socket loop, the simulator, a test.
//!
//! An exchange is a state machine. A driver owns the sockets and the clock, and does these steps in
//! a loop:
//!
//! 1. It calls [`tick`](Exchange::tick). If [`is_dead`](Exchange::is_dead) returns true, it ends;
//!    until [`down_until`](Exchange::down_until) it accepts no client, and its connections are
//!    reset.
//! 2. For each client that it accepts, it calls [`open`](Exchange::open) and keeps the state.
//! 3. For each connection that has bytes to read, if [`wants_input`](Exchange::wants_input) returns
//!    true, it calls [`receive`](Exchange::receive), or [`input_ended`](Exchange::input_ended) at
//!    the end of what the client sends.
//! 4. For each connection with an event, or whose [`deadline`](Exchange::deadline) has come, it
//!    sends what [`peek`](Exchange::peek) returns, reports it to [`sent`](Exchange::sent), and,
//!    once there is nothing to send, does what [`step`](Exchange::step) says. A connection that is
//!    closed or broken goes to [`disconnected`](Exchange::disconnected).
//! 5. If [`lines`](Exchange::lines) returns lines, which send datagrams, it does what
//!    [`DatagramLines`] says.
//! 6. It logs the events of [`poll_event`](Exchange::poll_event), and waits for a socket or for the
//!    earliest deadline.
//!
//! The [front page](crate#both-drivers) has these steps as a function, `serve`, for one connection;
//! [`client::mold`](crate::client::mold) has those of a line of datagrams.

pub mod datagrams;
pub mod original;
pub mod server;

use crate::exchange::datagrams::DatagramLines;
use crate::wire::Protocol;
use core::net::SocketAddr;
use core::time::Duration;

/// Action that a driver takes on a connection once [`Exchange::peek`] has nothing to send on it.
///
/// Concept: [line](crate#line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Leave the connection open.
    Wait,
    /// Send no more (half-close) and go on reading. Returned once per connection.
    Finish,
    /// Close the connection.
    Close,
    /// Reset the connection.
    Reset,
}

/// Way in which a connection went away.
///
/// Concept: [line](crate#line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disconnect {
    /// Both sides closed the connection, or the driver or the exchange gave it up.
    Closed,
    /// The client reset the connection.
    Reset,
}

/// Exchange without I/O.
///
/// A driver calls [`open`](Self::open) for each connection that it accepts, and keeps the returned
/// state. After each event on a connection, and at its [`deadline`](Self::deadline), it sends the
/// bytes of [`peek`](Self::peek) and reports to [`sent`](Self::sent) how many of them the
/// connection took, until `peek` returns none. Then it takes the action that [`step`](Self::step)
/// returns.
///
/// Concept: [line](crate#line).
pub trait Exchange {
    /// State of one connection.
    type Connection;
    /// Event that the exchange reports about itself.
    type Event;

    /// Accepts a client on a listener of this protocol, and returns the state of its connection.
    fn open(&mut self, protocol: Protocol, now: Duration) -> Self::Connection;

    /// Reports the client's address of a new connection and the exchange's own. Called only by
    /// drivers that have addresses.
    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        let _ = (conn, client, own);
    }

    /// Returns whether the driver may read from the connection now. If not, it asks again after
    /// bytes were sent on the connection.
    fn wants_input(&self, conn: &Self::Connection) -> bool;

    /// Takes bytes that the client has sent.
    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration);

    /// Reports that the client will send no more.
    fn input_ended(&mut self, conn: &mut Self::Connection, now: Duration);

    /// Reports that the connection is gone, and how that happened.
    fn disconnected(&mut self, conn: Self::Connection, how: Disconnect, now: Duration);

    /// Copies the bytes of the next write into `out` and returns their number: 0 if there is
    /// nothing to send, or nothing before the [`deadline`](Self::deadline). `out` must have room
    /// for a frame ([`FRAME_LEN`](crate::wire::FRAME_LEN)). Bytes that the connection does not take
    /// are offered again.
    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize;

    /// Reports that the connection took `count` of the bytes that `peek` returned last.
    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration);

    /// Returns the action to take on the connection when there is nothing to send.
    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step;

    /// Returns the time of the next [`peek`](Self::peek) if no event happens on the connection
    /// before.
    fn deadline(&mut self, conn: &Self::Connection) -> Option<Duration>;

    /// Returns whether the connection waits for its client: there is nothing to send, now or later,
    /// unless the client calls. A driver without room for another connection may close such a one.
    fn is_idle(&self, conn: &Self::Connection) -> bool {
        let _ = conn;
        false
    }

    /// Returns the next event that the exchange has to report.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Reports the time, independent of any connection. Returns the time of the next call, if one
    /// is needed.
    fn tick(&mut self, now: Duration) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Returns the time until which the exchange is down, if it is. All connections are reset when
    /// it goes down, and no client can connect before that time.
    fn down_until(&self) -> Option<Duration> {
        None
    }

    /// Returns the lines that send datagrams, if the exchange has some.
    fn lines(&mut self) -> Option<&mut dyn DatagramLines> {
        None
    }

    /// Returns whether the whole exchange has died. The mock exchange dies only of a fault or of a
    /// tape that can no longer be read; the original one also dies of illegal calls.
    fn is_dead(&self) -> bool {
        false
    }
}
