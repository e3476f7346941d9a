//! SoupBinTCP: the exchange beside the same bytes from a buffer.

use super::Plan;
use crate::Result;
use crate::measure::{By, Entry, here, side_by_side};
use crate::raw;
use crate::report::{Row, Want, count};
use betacrew::net::{self, Listener, Stop};
use feed::base::seq::{Seq, SeqRange, to_index};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::tape::source::TapeSource;
use feed::wire::soup::{
    END_OF_STREAM, HEADER_BYTES, LoginAccepted, LoginRequest, Packet, Password, Text,
    encode_sequenced,
};
use feed::wire::{Framing, Messages, Protocol, Run, SessionId};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

/// Length of a message in bytes.
const MESSAGE: usize = 30;

/// Number of messages that a tape file, or a market, has at hand at once.
const AT_HAND: u64 = 4096;

/// Tape of messages of one length, in memory.
#[derive(Clone)]
struct MemoryTape {
    bytes: Arc<Vec<u8>>,
}

impl MemoryTape {
    fn new(messages: u64) -> Result<Self> {
        let mut bytes = Vec::new();
        for number in 0..messages {
            let mut message = [b'M'; MESSAGE];
            message[..8].copy_from_slice(&number.to_be_bytes());
            encode_sequenced(&message, &mut bytes)?;
        }
        Ok(Self { bytes: Arc::new(bytes) })
    }
}

impl TapeSource for MemoryTape {
    fn last(&self) -> Seq {
        (self.bytes.len() / (HEADER_BYTES + MESSAGE)) as Seq
    }

    fn session(&self) -> SessionId {
        SessionId::of(*b"SOUP")
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let at = |offset: u64| to_index(offset) * (HEADER_BYTES + MESSAGE);
        let count = range.len().min(AT_HAND);
        let bytes = self.bytes.get(at(range.first() - 1)..at(range.first() - 1 + count));
        let run = bytes
            .and_then(|bytes| Run::counted(range.first(), count, Framing::LengthAndType, bytes));
        run.map_or(Messages::NONE, Messages::Run)
    }
}

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

/// Logs in at the first message and drains what comes.
fn drain(exchange: SocketAddr, least: usize) -> Result<()> {
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
    let came = raw::drain(&mut stream, |_| Ok(()))?;
    match came >= least as u64 {
        true => Ok(()),
        false => Err(format!("{exchange} sent {came} bytes").into()),
    }
}

/// Target 21.
pub(super) fn exchange(plan: &Plan) -> Result<Vec<Row>> {
    let messages = plan.size(4_000_000, 1_000_000);
    let tape = MemoryTape::new(messages)?;
    let orders = Arc::new(Tape::sample(messages));
    let mut rows = Vec::new();
    let mut ready = Vec::new();
    let accepted = LoginAccepted { session: Text::BLANK, sequence: 1 };
    Packet::LoginAccepted(accepted).encode(&mut ready)?;
    ready.extend_from_slice(&tape.bytes);
    let mut ready_orders = Vec::new();
    orders.frames().iter().try_for_each(|frame| encode_sequenced(frame, &mut ready_orders))?;
    for (work, ours, ready) in [
        ("messages of 30 bytes", in_process(tape)?, ready),
        ("order packets", in_process(orders)?, ready_orders),
    ] {
        let least = ready.len();
        let ready = raw::sender(Arc::new(ready))?;
        let entries = vec![
            Entry::new("ready bytes", || here(|| drain(ready, least))),
            Entry::new("betacrew", || here(|| drain(ours, least))),
        ];
        let all = side_by_side(plan.rounds.max(21), entries)?;
        let work = format!("SoupBinTCP exchange, one client, {} {work}", count(messages));
        let what = (21, work.as_str(), "sending the same bytes from a buffer");
        let pair = (&all[1], &all[0]);
        rows.push(Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)));
        rows.push(Row::faster(what, By::Wall, pair, Want::Shown));
    }
    Ok(rows)
}
