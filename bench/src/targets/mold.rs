//! MoldUDP64: the exchange beside `sendmmsg` of ready datagrams.

use super::Plan;
use crate::Result;
use crate::measure::{By, Cost, Entry, kernel, side_by_side};
use crate::report::{Row, Want, count};
use crate::tape::{MemoryTape, TOGETHER};
use betacrew::net::{self, LineSockets, Listener, Sockets, Stop};
use feed::exchange::server::mold::{DatagramLimits, LineOptions, MoldEvent};
use feed::exchange::server::{MockExchange, ServerEvent};
use feed::faults::scenario::Scenario;
use feed::wire::Framing;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Number of datagrams in one system call.
const AT_ONCE: usize = 64;

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

/// Sends datagrams of one length, which lie one behind the other, once: the system cuts each piece
/// that it is given into datagrams.
fn send_segments(datagrams: &[u8], length: usize, receiver: SocketAddr) -> Result<Cost> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(receiver)?;
    let segment = u16::try_from(length)?;
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let mut done = Ok(0);
    let cost = kernel(|| {
        for some in datagrams.chunks(length * AT_ONCE) {
            let slice = [IoSlice::new(some)];
            done = sendmsg::<()>(socket.as_raw_fd(), &slice, &control, MsgFlags::empty(), None);
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
    let tape = MemoryTape::new(messages, Framing::Length)?;
    let datagrams = tape.datagrams(TOGETHER)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let receiver = socket.local_addr()?;
    let together = datagrams.concat();
    let length = datagrams.first().map_or(0, Vec::len);
    let entries = vec![
        Entry::new("ready datagrams", || send(&datagrams, receiver)),
        Entry::new("betacrew", || play(&tape, receiver)),
        Entry::new("segments", || send_segments(&together, length, receiver)),
    ];
    let all = side_by_side(plan.rounds.max(21), entries)?;
    let work =
        format!("MoldUDP64 exchange, {} messages of 30 bytes, 30 a datagram", count(messages));
    let what = (22, work.as_str(), "sendmmsg of ready datagrams");
    let pair = (&all[1], &all[0]);
    let segments = (22, work.as_str(), "segmentation offload of ready datagrams of one length");
    Ok(vec![
        Row::faster(what, By::Cpu, pair, Want::AtLeast(0.70)),
        Row::faster(what, By::Wall, pair, Want::Shown),
        // README.md says why `serve` does without it, and misses this target.
        Row::faster(segments, By::Cpu, (&all[1], &all[2]), Want::AtLeast(0.70)),
    ])
}
