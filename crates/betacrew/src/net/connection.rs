//! Connection in the event loop of an exchange.

use feed::exchange::{Disconnect, Exchange, Step};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// Maximum number of bytes of calls in one read, which limits the answers that a client can make
/// pending at once.
const READ: usize = 16 * 1024;
/// Maximum number of reads and writes on one connection before it is the turn of the others.
const TURN: u32 = 8;

/// Connection with a client: socket, state and readiness.
pub(super) struct ServerSocket<C> {
    pub(super) stream: TcpStream,
    pub(super) state: C,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// True while the connection waits for another turn.
    pub(super) queued: bool,
    /// Time for which the connection's timer is set.
    pub(super) armed: Option<Duration>,
    /// Time at which the connection was accepted or last transferred bytes.
    pub(super) active: Duration,
}

/// Result of a connection's turn.
pub(super) enum Turn {
    /// Connection that waits for its socket, its client or its timer.
    Done,
    /// Connection that has more work.
    More,
    /// Connection that has ended, in this way.
    Gone(Disconnect),
    /// Connection that is to be reset.
    Reset,
}

impl<C> ServerSocket<C> {
    /// Reads and writes at most [`TURN`] times and executes the steps of the exchange.
    pub(super) fn turn<E: Exchange<Connection = C>>(
        &mut self,
        exchange: &mut E,
        buffer: &mut [u8],
        now: Duration,
    ) -> Turn {
        for _ in 0..TURN {
            let mut moved = false;
            if self.readable && exchange.wants_input(&self.state) {
                match self.stream.read(&mut buffer[..READ]) {
                    // The client has closed its sending side, and may still wait for packets.
                    Ok(0) => {
                        self.readable = false;
                        exchange.input_ended(&mut self.state, now);
                    }
                    Ok(count) => {
                        self.active = now;
                        exchange.receive(&mut self.state, &buffer[..count], now);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Turn::Gone(Disconnect::Reset),
                }
                moved = true;
            }
            // A full socket accepts nothing, so there is no reason to encode packets for it.
            let count = if self.writable { exchange.peek(&mut self.state, buffer, now) } else { 0 };
            if count > 0 {
                match self.stream.write(&buffer[..count]) {
                    Ok(sent) => {
                        self.active = now;
                        exchange.sent(&mut self.state, sent, now);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Turn::Gone(Disconnect::Reset),
                }
                moved = true;
            }
            if count == 0 {
                match exchange.step(&mut self.state, now) {
                    Step::Wait => {}
                    Step::Close => return Turn::Gone(Disconnect::Closed),
                    Step::Reset => return Turn::Reset,
                    Step::Finish => {
                        if self.stream.shutdown(Shutdown::Write).is_err() {
                            return Turn::Gone(Disconnect::Reset);
                        }
                        moved = true;
                    }
                }
            }
            if exchange.is_dead() || !moved {
                return Turn::Done;
            }
        }
        Turn::More
    }
}
