//! One connection of an exchange's loop.

use feed::exchange::{Disconnect, Exchange, Step};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// Bytes of calls read at once; bounds what a client can make the exchange owe.
const READ: usize = 16 * 1024;
/// So many writes or reads on one connection, then it is the others' turn.
const TURN: u32 = 8;

/// A connection.
pub(super) struct ServerSocket<C> {
    pub(super) stream: TcpStream,
    pub(super) state: C,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) queued: bool,
    pub(super) armed: Option<Duration>,
    /// When it was accepted, or bytes last moved on it.
    pub(super) active: Duration,
}

/// What became of a connection in its turn.
pub(super) enum Turn {
    /// It waits for its socket, its client or its timer.
    Done,
    /// It could go on.
    More,
    /// The connection is over, ended in this way.
    Gone(Disconnect),
    /// It is to be reset.
    Reset,
}

impl<C> ServerSocket<C> {
    /// Reads and writes what can be, and does what the exchange says, for a while.
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
                    Ok(0) => {
                        self.readable = false;
                        exchange.ended(&mut self.state, now);
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
            // A socket that takes nothing now: what is owed then need not be made.
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
