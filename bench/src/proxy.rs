//! A long path on one machine: a proxy that holds back what passes through it for half a round
//! trip each way, and what a client sends first for a whole one more, which is what the handshake
//! takes. No loss, no bandwidth, no slow start.

use crate::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::time::TimeSpec;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Addresses of a proxy of datagrams.
pub(crate) struct FarLine {
    /// Address that the exchange sends the line's datagrams to.
    pub(crate) downstream: SocketAddr,
    /// Address of the request server, as the client has it.
    pub(crate) server: SocketAddr,
}

/// Bytes of a buffer for a datagram.
const DATAGRAM: usize = 2048;

/// Maximum number of datagrams that are received before those that are due are sent.
const AT_ONCE: usize = 64;

/// Bytes of the receive buffers, so that the proxy drops nothing itself.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Begins a proxy between a line of an exchange and one client. It ends with the process.
pub(crate) fn far_line(
    receiver: SocketAddr,
    server: SocketAddr,
    round_trip: Duration,
) -> Result<FarLine> {
    let half = round_trip / 2;
    let (downstream, requests, answers) = (socket()?, socket()?, socket()?);
    answers.connect(server)?;
    let line = FarLine { downstream: downstream.local_addr()?, server: requests.local_addr()? };
    let client = Arc::new(Mutex::new(receiver));
    let asker = Arc::clone(&client);
    let (to_client, to_server) = (requests.try_clone()?, answers.try_clone()?);
    let group = downstream.try_clone()?;
    std::thread::spawn(move || {
        hold_back(&downstream, half, |_| {}, |datagram| group.send_to(datagram, receiver))
    });
    std::thread::spawn(move || {
        let note = |from| *asker.lock().unwrap_or_else(PoisonError::into_inner) = from;
        hold_back(&requests, half, note, |datagram| to_server.send(datagram))
    });
    std::thread::spawn(move || {
        let client = || *client.lock().unwrap_or_else(PoisonError::into_inner);
        hold_back(&answers, half, |_| {}, |datagram| to_client.send_to(datagram, client()))
    });
    Ok(line)
}

/// Opens a socket of this machine with a receive buffer for bursts.
pub(crate) fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Only privileged programs may exceed the system's maximum.
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))?;
    Ok(socket)
}

/// Datagrams on their way, with the times at which they arrive.
type OnTheWay = VecDeque<(Instant, Vec<u8>)>;

/// Sends on what a socket receives, `delay` after it arrived.
fn hold_back(
    from: &UdpSocket,
    delay: Duration,
    note: impl Fn(SocketAddr),
    send: impl Fn(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut queue = OnTheWay::new();
    // One thread does both, because one that wakes another for each datagram could not keep up.
    from.set_nonblocking(true)?;
    loop {
        wait(from, queue.front().map(|(due, _)| *due))?;
        receive(from, delay, &mut queue, &note);
        let now = Instant::now();
        while queue.front().is_some_and(|(due, _)| *due <= now) {
            // A receiver that is gone misses it.
            let _ = queue.pop_front().map(|(_, datagram)| send(&datagram));
        }
    }
}

/// Waits for a datagram, or until the first one is due.
fn wait(socket: &UdpSocket, due: Option<Instant>) -> io::Result<()> {
    let left = due.map(|due| due.saturating_duration_since(Instant::now()));
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match ppoll(&mut polled, left.map(TimeSpec::from), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Receives what is there, up to a number, so that what is due is not late.
fn receive(socket: &UdpSocket, delay: Duration, queue: &mut OnTheWay, note: &impl Fn(SocketAddr)) {
    let mut buffer = [0; DATAGRAM];
    for _ in 0..AT_ONCE {
        match socket.recv_from(&mut buffer) {
            Ok((count, sender)) => {
                note(sender);
                queue.push_back((Instant::now() + delay, buffer[..count].to_vec()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // That of an earlier datagram, whose receiver is gone.
            Err(_) => {}
        }
    }
}
