//! SoupBinTCP: the exchange beside the same bytes from a buffer, and a recording beside draining
//! and writing them.

use super::Plan;
use crate::Result;
use crate::measure::{By, Entry, here, side_by_side};
use crate::raw;
use crate::report::{Row, Want, count};
use crate::tape::MemoryTape;
use betacrew::net::{self, Listener, Stop};
use betacrew::record::store::{RecordingStore, SyncPolicy};
use feed::client::{LineProtocol, Recorder, RecorderOptions, SoupLogin};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::tape::source::TapeSource;
use feed::wire::soup::{
    END_OF_STREAM, LoginAccepted, LoginRequest, Packet, Password, Text, encode_sequenced,
};
use feed::wire::{Framing, Protocol};
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

fn in_process<P: TapeSource + Send + 'static>(tape: P) -> Result<SocketAddr> {
    let socket = net::listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut exchange = MockExchange::new(tape, Scenario::clean(1));
        let listener = Listener { socket, protocol: Protocol::Soup };
        net::serve(vec![listener], &mut exchange, &Stop::new(), |_, _| {})
    });
    Ok(address)
}

/// Logs in at the first message and drains what comes; `each` gets it in pieces.
fn drain(exchange: SocketAddr, least: usize, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let request = LoginRequest {
        user: Text::BLANK,
        password: Password::new(Text::BLANK),
        session: Text::BLANK,
        sequence: END_OF_STREAM + 1,
        heartbeat_timeout: None,
    };
    let mut login = Vec::new();
    Packet::LoginRequest(request).encode(&mut login)?;
    let mut stream = TcpStream::connect(exchange)?;
    stream.write_all(&login)?;
    let came = raw::drain(&mut stream, each)?;
    match came >= least as u64 {
        true => Ok(()),
        false => Err(format!("{exchange} sent {came} bytes").into()),
    }
}

/// Session of messages: the tape, and all that an exchange sends of it.
struct Session<P> {
    name: &'static str,
    tape: P,
    ready: Vec<u8>,
}

/// Returns everything that an exchange sends: the acceptance, the messages, and the end.
fn all_bytes(messages: &[u8]) -> Result<Vec<u8>> {
    let mut ready = Vec::with_capacity(messages.len() + 64);
    let accepted = LoginAccepted { session: Text::new("MEMO")?, sequence: 1 };
    Packet::LoginAccepted(accepted).encode(&mut ready)?;
    ready.extend_from_slice(messages);
    Packet::EndOfSession.encode(&mut ready)?;
    Ok(ready)
}

fn of_any_length(messages: u64) -> Result<Session<MemoryTape>> {
    let tape = MemoryTape::new(messages, Framing::LengthAndType)?;
    let ready = all_bytes(&tape.bytes)?;
    Ok(Session { name: "messages of 30 bytes", tape, ready })
}

fn of_orders(messages: u64) -> Result<Session<Arc<Tape>>> {
    let tape = Arc::new(Tape::sample(messages));
    let mut bytes = Vec::new();
    tape.frames().iter().try_for_each(|frame| encode_sequenced(frame, &mut bytes))?;
    Ok(Session { name: "order packets", tape, ready: all_bytes(&bytes)? })
}

/// Target 21.
pub(super) fn exchange(plan: &Plan) -> Result<Vec<Row>> {
    let messages = plan.size(4_000_000, 1_000_000);
    let mut rows = send(plan, messages, of_any_length(messages)?)?;
    rows.extend(send(plan, messages, of_orders(messages)?)?);
    Ok(rows)
}

fn send<P: TapeSource + Send + 'static>(
    plan: &Plan,
    messages: u64,
    session: Session<P>,
) -> Result<Vec<Row>> {
    let least = session.ready.len();
    let (ready, ours) = (raw::sender(Arc::new(session.ready))?, in_process(session.tape)?);
    let entries = vec![
        Entry::new("ready bytes", || here(|| drain(ready, least, |_| Ok(())))),
        Entry::new("betacrew", || here(|| drain(ours, least, |_| Ok(())))),
    ];
    let all = side_by_side(plan.rounds.max(21), entries)?;
    let work = format!("SoupBinTCP exchange, one client, {} {}", count(messages), session.name);
    let what = (21, work.as_str(), "sending the same bytes from a buffer");
    let pair = (&all[1], &all[0]);
    Ok(vec![
        Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)),
        Row::faster(what, By::Wall, pair, Want::Shown),
    ])
}

/// Target 23.
pub(super) fn record(plan: &Plan) -> Result<Vec<Row>> {
    let messages = plan.size(4_000_000, 1_000_000);
    let mut rows = Vec::new();
    let (any, orders) = (of_any_length(messages)?, of_orders(messages)?);
    for (name, ready) in [(any.name, any.ready), (orders.name, orders.ready)] {
        let least = ready.len();
        let ready = raw::sender(Arc::new(ready))?;
        for (place, folder) in [("disk", &plan.folder), ("tmpfs", &plan.memory)] {
            let path = folder.join("soup.tape");
            let fresh = |run: &dyn Fn() -> Result<()>| {
                let _ = fs::remove_file(&path);
                here(run)
            };
            let base = || fresh(&|| write_all(ready, least, &path));
            let ours = || fresh(&|| record_all(ready, messages, &path));
            let entries = vec![Entry::new("raw", base), Entry::new("betacrew", ours)];
            let all = side_by_side(plan.rounds.max(15), entries)?;
            let _ = fs::remove_file(&path);
            let work = format!("SoupBinTCP to tape file, {} {name}, {place}", count(messages));
            let what = (23, work.as_str(), "draining and writing the same bytes");
            let pair = (&all[1], &all[0]);
            rows.push(Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)));
            rows.push(Row::faster(what, By::Wall, pair, Want::Shown));
        }
    }
    Ok(rows)
}

fn write_all(exchange: SocketAddr, least: usize, path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    drain(exchange, least, |bytes| Ok(file.write_all(bytes)?))
}

fn record_all(exchange: SocketAddr, messages: u64, path: &Path) -> Result<()> {
    let (mut store, _) =
        RecordingStore::open(path, SyncPolicy::Never).map_err(|error| error.to_string())?;
    let lines = [LineProtocol::Soup(SoupLogin::default())];
    let mut recorder = Recorder::new(RecorderOptions::default(), lines);
    net::fetch(&[vec![exchange].into()], &mut recorder, &mut store, &Stop::new(), |_| {})?;
    store.end().map_err(|error| error.to_string())?;
    match recorder.outcome() {
        Some(outcome) if outcome.is_complete() && store.packets() == messages => Ok(()),
        outcome => Err(format!("{} messages, {outcome:?}", store.packets()).into()),
    }
}
