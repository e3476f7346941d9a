//! Thousands of clients in one thread.

use crate::Result;
use crate::process::Exchange;
use crate::raw::{CHUNK, STREAM};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Number of files that a program may open for itself after it has begun to listen.
const SPARE: usize = 8;

/// Number of connections opened before the exchange must have accepted them. Of more than fit into
/// its queue, the system turns some away, which retry only after a second.
const TOGETHER: usize = 100;

/// Waits for an exchange to do what it will do soon.
fn until(done: impl Fn() -> Result<bool>) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(60);
    while !done()? {
        if Instant::now() > patience {
            return Err("the exchange does not accept, or does not close".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

pub(crate) struct Crowd {
    clients: Vec<TcpStream>,
}

impl Crowd {
    /// Returns once the exchange has accepted all of them.
    pub(crate) fn connect(exchange: &Exchange, count: usize) -> Result<Self> {
        // Those of an earlier crowd have to be gone.
        let before = exchange.descriptors_at_start + SPARE;
        until(|| Ok(exchange.descriptors()? <= before))?;
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let client = std::net::TcpStream::connect(exchange.address)?;
            client.set_nonblocking(true)?;
            clients.push(TcpStream::from_std(client));
            if clients.len() % TOGETHER == 0 || clients.len() == count {
                until(|| Ok(exchange.descriptors()? + SPARE >= before + clients.len()))?;
            }
        }
        Ok(Self { clients })
    }

    /// All call for the stream.
    pub(crate) fn call(&mut self) -> Result<()> {
        // Two bytes always have room.
        Ok(self.clients.iter_mut().try_for_each(|client| client.write_all(&STREAM))?)
    }

    /// All call for the stream and read it; returns when each had it.
    pub(crate) fn stream(&mut self, least: u64) -> Result<Vec<Duration>> {
        let mut poll = Poll::new()?;
        for (id, client) in self.clients.iter_mut().enumerate() {
            poll.registry().register(client, Token(id), Interest::READABLE)?;
        }
        let mut came = vec![0; self.clients.len()];
        let mut times = Vec::with_capacity(self.clients.len());
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; CHUNK];
        let began = Instant::now();
        self.call()?;
        while times.len() < self.clients.len() {
            poll.poll(&mut events, Some(Duration::from_secs(60)))?;
            if events.is_empty() {
                return Err("the exchange has fallen silent".into());
            }
            for event in &events {
                let id = event.token().0;
                if read(&mut self.clients[id], &mut buffer, &mut came[id])? {
                    poll.registry().deregister(&mut self.clients[id])?;
                    times.push(began.elapsed());
                    if came[id] < least {
                        return Err(format!("a client got {} bytes", came[id]).into());
                    }
                }
            }
        }
        Ok(times)
    }
}

/// Reads what is there; whether that was all.
fn read(client: &mut TcpStream, buffer: &mut [u8], came: &mut u64) -> Result<bool> {
    loop {
        match client.read(buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => *came += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns once an exchange does nothing any more.
pub(crate) fn settled(exchange: &Exchange) {
    let mut before = Duration::MAX;
    while exchange.cpu() != before {
        before = exchange.cpu();
        std::thread::sleep(Duration::from_millis(300));
    }
}
