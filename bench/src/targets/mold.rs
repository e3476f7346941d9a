//! MoldUDP64: the exchange beside `sendmmsg` of ready datagrams.

use super::Plan;
use crate::Result;
use crate::measure::{By, Cost, Entry, kernel, side_by_side};
use crate::report::{Row, Want, count};
use betacrew::net::{self, LineSockets, Listener, Sockets, Stop};
use feed::base::seq::{Seq, SeqRange, to_index};
use feed::exchange::server::mold::{DatagramLimits, LineOptions, MoldEvent};
use feed::exchange::server::{MockExchange, ServerEvent};
use feed::faults::scenario::Scenario;
use feed::tape::source::TapeSource;
use feed::wire::mold::{Builder, PayloadLimit, Session};
use feed::wire::{Framing, Messages, Run, SessionId};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Length of a message in bytes, and number of messages in a datagram.
const MESSAGE: usize = 30;
const TOGETHER: u16 = 30;

/// Bytes of a message behind its length.
const BLOCK: usize = 2 + MESSAGE;

/// Number of messages that a tape file, or a market, has at hand at once.
const AT_HAND: u64 = 4096;

/// Number of datagrams in one system call.
const AT_ONCE: usize = 64;

/// Tape of messages of one length, in memory.
#[derive(Clone)]
struct MemoryTape {
    bytes: Arc<Vec<u8>>,
}

impl MemoryTape {
    fn new(messages: u64) -> Result<Self> {
        let length = u16::try_from(MESSAGE)?.to_be_bytes();
        let mut bytes = Vec::new();
        for number in 0..messages {
            let mut message = [b'M'; MESSAGE];
            message[..8].copy_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(&length);
            bytes.extend_from_slice(&message);
        }
        Ok(Self { bytes: Arc::new(bytes) })
    }

    /// Returns the datagrams of the tape.
    fn datagrams(&self) -> Result<Vec<Vec<u8>>> {
        let session = Session(self.session().padded());
        let (mut datagrams, mut sequence) = (Vec::new(), 1);
        for messages in self.bytes.chunks(BLOCK * usize::from(TOGETHER)) {
            let mut datagram = Vec::new();
            let limit = PayloadLimit::DEFAULT;
            let mut builder = Builder::new(&mut datagram, session, sequence, limit);
            builder.push_all(messages.chunks(BLOCK).map(|block| &block[2..]));
            sequence = builder.finish();
            datagrams.push(datagram);
        }
        Ok(datagrams)
    }
}

impl TapeSource for MemoryTape {
    fn last(&self) -> Seq {
        (self.bytes.len() / BLOCK) as Seq
    }

    fn session(&self) -> SessionId {
        SessionId::of(*b"MOLD")
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let at = |offset: u64| to_index(offset) * BLOCK;
        let count = range.len().min(AT_HAND);
        let bytes = self.bytes.get(at(range.first() - 1)..at(range.first() - 1 + count));
        let run =
            bytes.and_then(|bytes| Run::counted(range.first(), count, Framing::Length, bytes));
        run.map_or(Messages::NONE, Messages::Run)
    }
}

/// Plays a tape once.
fn play(tape: &MemoryTape, receiver: SocketAddr) -> Result<Cost> {
    let limits = DatagramLimits { messages: TOGETHER, ..DatagramLimits::default() };
    let options = LineOptions { limits, lead: Duration::ZERO, ..LineOptions::default() };
    let mut exchange = MockExchange::new(tape.clone(), Scenario::clean(1)).with_line(options);
    let downstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let line = LineSockets { downstream, receivers: vec![receiver], requests: None };
    let sockets = Sockets { listeners: Vec::<Listener>::new(), lines: vec![line] };
    let stop = Stop::new();
    let ended = |event| matches!(event, ServerEvent::Mold { event: MoldEvent::Ended { .. }, .. });
    let mut done = Ok(());
    let cost = kernel(|| {
        done = net::serve(sockets, &mut exchange, &stop, |_, event| {
            if ended(event) {
                stop.stop();
            }
        });
    });
    done?;
    Ok(cost)
}

/// Sends ready datagrams once.
fn send(datagrams: &[Vec<u8>], receiver: SocketAddr) -> Result<Cost> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = receiver.as_any();
    let mut done = Ok(0);
    let cost = kernel(|| {
        for some in datagrams.chunks(AT_ONCE) {
            let slices: Vec<_> = some.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
            let mut controls: Vec<_> =
                some.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let parts = slices.iter().zip(&mut controls);
            let mut headers: Vec<_> =
                parts.map(|(slice, control)| MMsgHdr::new_with_addr(&to, slice, control)).collect();
            done = sendmmsg(&socket, &mut headers, SendFlags::empty());
            if done != Ok(some.len()) {
                return;
            }
        }
    });
    done?;
    Ok(cost)
}

/// Target 22. Nobody reads what arrives, so that only the senders' work counts.
pub(super) fn exchange(plan: &Plan) -> Result<Vec<Row>> {
    let messages = plan.size(6_000_000, 1_500_000);
    let tape = MemoryTape::new(messages)?;
    let datagrams = tape.datagrams()?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let receiver = socket.local_addr()?;
    let entries = vec![
        Entry::new("ready datagrams", || send(&datagrams, receiver)),
        Entry::new("betacrew", || play(&tape, receiver)),
    ];
    let all = side_by_side(plan.rounds.max(21), entries)?;
    let work =
        format!("MoldUDP64 exchange, {} messages of 30 bytes, 30 a datagram", count(messages));
    let what = (22, work.as_str(), "sendmmsg of ready datagrams");
    let pair = (&all[1], &all[0]);
    Ok(vec![
        Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)),
        Row::faster(what, By::Wall, pair, Want::Shown),
    ])
}
