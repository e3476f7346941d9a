//! A long path on one machine: a proxy that holds back what passes through it for half a round
//! trip each way, and what a client sends first for a whole one more, which is what the handshake
//! takes. No loss, no bandwidth, no slow start.

use crate::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const CHUNK: usize = 64 * 1024;

/// Begins a proxy to `exchange`; it lives as long as the process.
pub(crate) fn far(exchange: SocketAddr, round_trip: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let _ = join(client, exchange, round_trip);
        }
    });
    Ok(address)
}

fn join(client: TcpStream, exchange: SocketAddr, round_trip: Duration) -> Result<()> {
    let accepted = Instant::now();
    let exchange = TcpStream::connect(exchange)?;
    client.set_nodelay(true)?;
    exchange.set_nodelay(true)?;
    // On loopback the client is connected at once; what its handshake would take is held back here.
    let open = accepted + round_trip;
    let half = round_trip / 2;
    pass(client.try_clone()?, exchange.try_clone()?, half, open);
    pass(exchange, client, half, accepted);
    Ok(())
}

/// Passes on what `from` sends, each piece `delay` after it came and none before `open` and it.
fn pass(mut from: TcpStream, to: TcpStream, delay: Duration, open: Instant) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = from.read(&mut buffer).unwrap_or(0);
            let due = Instant::now().max(open) + delay;
            if sender.send((due, buffer[..count].to_vec())).is_err() || count == 0 {
                return;
            }
        }
    });
    std::thread::spawn(move || forward(&receiver, to));
}

/// An empty piece is the end.
fn forward(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((due, piece)) = pieces.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&piece).is_err() {
            return;
        }
    }
}
