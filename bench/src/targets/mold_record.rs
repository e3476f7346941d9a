//! MoldUDP64: a recording beside `recvmmsg` of the same datagrams and writing them.
//!
//! The datagrams wait in the receiver's socket before the clock starts, so that neither side gets
//! them in smaller batches than the other because its sender is slow.

use super::Plan;
use crate::Result;
use crate::measure::{By, Cost, Entry, kernel, side_by_side};
use crate::report::{Row, Want, count};
use crate::tape::{MemoryTape, TOGETHER};
use betacrew::net::{self, GroupAddress, GroupSockets, LineSource, RECEIVE_BUFFER, Stop};
use betacrew::record::store::{RecordingStore, SyncPolicy};
use feed::client::{LineProtocol, MoldFeed, Recorder, RecorderOptions};
use feed::tape::source::TapeSource;
use feed::wire::Framing;
use feed::wire::mold::{Header, Session};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt};
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Number of datagrams in one system call.
const AT_ONCE: usize = 64;

/// Bytes of a datagram's buffer.
const BUFFER: usize = 2048;

/// Bytes of a receive buffer that a datagram of a thousand bytes takes, and some to spare.
const ROOM: usize = 4096;

/// Datagrams that fill a receive buffer, and the end of their session.
struct Fill {
    tape: MemoryTape,
    datagrams: Vec<Vec<u8>>,
    end: Vec<u8>,
}

impl Fill {
    fn new(plan: &Plan) -> Result<Self> {
        let room = open()?.receive_buffer() * 2 / ROOM;
        let datagrams = u64::try_from(room)?.min(plan.size(8_000, 4_000));
        let tape = MemoryTape::new(datagrams * u64::from(TOGETHER), Framing::Length)?;
        let session = Session(tape.session().padded());
        let end = Header::end_of_session(session, tape.last() + 1).encode().to_vec();
        Ok(Self { datagrams: tape.datagrams(TOGETHER)?, tape, end })
    }

    /// Sends everything to a socket that nobody reads yet.
    fn send(&self, receiver: SocketAddr) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // An end of session is believed once it is repeated.
        for datagram in self.datagrams.iter().chain([&self.end, &self.end]) {
            socket.send_to(datagram, receiver)?;
        }
        Ok(())
    }
}

/// Opens a socket as `fetch` does, with its receive buffer.
fn open() -> Result<GroupSockets> {
    Ok(GroupSockets::open(GroupAddress::new((Ipv4Addr::LOCALHOST, 0).into()))?)
}

/// Receives the datagrams into buffers that stay, and writes each batch with one call.
fn receive(fill: &Fill, path: &Path) -> Result<Cost> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Without the right to exceed the system's maximum, both sides get that maximum.
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))?;
    fill.send(socket.local_addr()?)?;
    let mut done = Ok(());
    let cost = kernel(|| done = write_batches(&socket, fill.datagrams.len() + 2, path));
    done?;
    Ok(cost)
}

fn write_batches(socket: &UdpSocket, datagrams: usize, path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let mut buffer = vec![0; AT_ONCE * BUFFER];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, None);
    let mut lengths = Vec::with_capacity(AT_ONCE);
    let mut left = datagrams;
    while left > 0 {
        lengths.clear();
        let mut slices: Vec<_> =
            buffer.chunks_exact_mut(BUFFER).map(|it| [IoSliceMut::new(it)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let some = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        lengths.extend(some.map(|message| message.bytes));
        let filled = buffer.chunks_exact(BUFFER).zip(&lengths);
        let slices: Vec<_> = filled.map(|(it, length)| IoSlice::new(&it[..*length])).collect();
        let bytes: usize = lengths.iter().sum();
        if file.write_vectored(&slices)? != bytes {
            return Err("the file took part of a batch".into());
        }
        left = left.checked_sub(lengths.len()).ok_or("more datagrams than were sent")?;
    }
    Ok(())
}

/// Records the datagrams.
fn record(fill: &Fill, path: &Path) -> Result<Cost> {
    let sockets = open()?;
    fill.send(sockets.local_addr()?)?;
    let lines = [LineSource::Group(sockets)];
    let mut done = Ok(());
    let cost = kernel(|| done = record_all(fill, &lines, path));
    done?;
    Ok(cost)
}

fn record_all(fill: &Fill, lines: &[LineSource], path: &Path) -> Result<()> {
    let (mut store, _) =
        RecordingStore::open(path, SyncPolicy::Never).map_err(|error| error.to_string())?;
    let protocols = [LineProtocol::Mold(MoldFeed::default())];
    let mut recorder = Recorder::new(RecorderOptions::default(), protocols);
    net::fetch(lines, &mut recorder, &mut store, &Stop::new(), |_| {})?;
    store.end().map_err(|error| error.to_string())?;
    match recorder.outcome() {
        Some(outcome) if outcome.is_complete() && store.packets() == fill.tape.last() => Ok(()),
        outcome => Err(format!("{} messages, {outcome:?}", store.packets()).into()),
    }
}

/// Adds the costs of several runs, because a receive buffer does not hold enough for one figure.
fn repeated(times: usize, path: &Path, run: impl Fn(&Path) -> Result<Cost>) -> Result<Cost> {
    let mut sum = Cost::default();
    for _ in 0..times {
        let _ = fs::remove_file(path);
        let cost = run(path)?;
        (sum.wall, sum.cpu) = (sum.wall + cost.wall, sum.cpu + cost.cpu);
    }
    Ok(sum)
}

/// Target 24.
pub(super) fn record_datagrams(plan: &Plan) -> Result<Vec<Row>> {
    let fill = Fill::new(plan)?;
    let times = if plan.quick { 4 } else { 16 };
    let messages = fill.tape.last() * times as u64;
    let mut rows = Vec::new();
    for (place, folder) in [("disk", &plan.folder), ("tmpfs", &plan.memory)] {
        let path = folder.join("mold.tape");
        let base = || repeated(times, &path, |path| receive(&fill, path));
        let ours = || repeated(times, &path, |path| record(&fill, path));
        let entries = vec![Entry::new("recvmmsg", base), Entry::new("betacrew", ours)];
        let all = side_by_side(plan.rounds.max(15), entries)?;
        let _ = fs::remove_file(&path);
        let work = format!(
            "MoldUDP64 to tape file, {} messages of 30 bytes, 30 a datagram, {place}",
            count(messages)
        );
        let what = (24, work.as_str(), "recvmmsg of the same datagrams and writing them");
        let pair = (&all[1], &all[0]);
        rows.push(Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)));
    }
    Ok(rows)
}
