//! Client and server in MoldUDP64, as the crate moldudp has them, for the tests of both our ends.
//!
//! * `moldudp-peer server TARGET COUNT`: prints `request ADDRESS`, waits for a line on stdin, sends
//!   that many messages to TARGET and the end of the session, and answers requests until stdin
//!   ends;
//! * `moldudp-peer client OUT`: prints `listening ADDRESS`, reads the address of the request server
//!   from stdin, records until the end of the session, and writes each message to OUT, behind its
//!   length.

use moldudp::{MoldUDP64, MoldUDP64Server, Packet, PacketKind};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::Duration;

/// Number of messages in a datagram.
const PER_DATAGRAM: u64 = 10;

/// Number of datagrams of which one is not sent.
const DROPPED_OF: u64 = 20;

/// Time for which the client waits for answers after the end of the session.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", target, count] => serve(parsed(target)?, parsed(count)?),
        ["client", out] => record(out),
        _ => Err(io::Error::other("usage: moldudp-peer server TARGET COUNT | client OUT")),
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.trim().parse().map_err(|_| io::Error::other(format!("`{text}` is not valid")))
}

/// Returns the message with a sequence. Lengths grow slowly, so that the answer to a long request
/// sometimes has no room in one datagram. Its second datagram then has the sequence of the first,
/// and no more messages.
fn message(sequence: u64) -> Vec<u8> {
    let padding = usize::try_from(sequence / 300 % 40).unwrap_or(0);
    format!("message {sequence} {}", "x".repeat(padding)).into()
}

fn serve(target: SocketAddrV4, count: u64) -> io::Result<()> {
    let (downstream, requests) = (bound()?, bound()?);
    println!("request {}", requests.local_addr()?);
    let server = MoldUDP64Server::builder()
        .multicast_addr(target)
        .rerequest_bind_addr(requests.local_addr()?)
        .session("REFEREE".to_owned())
        .heartbeat_interval(Duration::from_millis(100))
        .build();
    let handle = server.start_with_sockets(downstream, requests)?;
    let mut lines = io::stdin().lock().lines();
    let _ = lines.next();
    let mut next = 1;
    let mut datagram = 0;
    while next <= count {
        let end = (next + PER_DATAGRAM).min(count + 1);
        let messages = (next..end).map(message).collect();
        datagram += 1;
        // Every tenth of the dropped ones is a gap of many datagrams, and the last one is a tail.
        let is_long = (datagram / DROPPED_OF) % 10 == 1 && datagram % DROPPED_OF < 8;
        match datagram % DROPPED_OF == 0 || is_long || end > count {
            true => handle.send_dropped(messages),
            false => handle.send(messages),
        }
        next = end;
        if datagram % 16 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    handle.shutdown();
    // The session goes on to be announced until the test closes stdin.
    lines.for_each(drop);
    Ok(())
}

fn bound() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
}

fn record(out: &str) -> io::Result<()> {
    let downstream = bound()?;
    let group = downstream.local_addr()?;
    println!("listening {group}");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let server: SocketAddr = parsed(&line)?;
    let SocketAddr::V4(group) = group else { return Err(io::Error::other("not IPv4")) };
    let client = MoldUDP64::builder()
        .multicast_addr(group)
        .interface_addr(Ipv4Addr::LOCALHOST)
        .rerequest_server_addrs(vec![server])
        .expected_seq_num(1)
        .build();
    let (datagrams, requests) = client.start_with_sockets(downstream, bound()?, &[server])?;
    let mut messages = BTreeMap::new();
    let mut last = None;
    // What was requested arrives behind the end.
    let wait = |ended: bool| if ended { ANSWER_WAIT } else { Duration::from_secs(20) };
    while let Ok(datagram) = datagrams.recv_timeout(wait(last.is_some())) {
        let packet = Packet::new(datagram.bytes());
        match packet.packet_kind() {
            PacketKind::Heartbeat => {}
            PacketKind::EndOfSession => last = Some(packet.seq_num() - 1),
            _ => {
                let numbered = (packet.seq_num()..).zip(packet.iter());
                numbered.for_each(|(sequence, message)| {
                    drop(messages.insert(sequence, message.data().to_vec()))
                });
            }
        }
        if last.is_some_and(|last| messages.len() as u64 == last) {
            break;
        }
    }
    drop(requests);
    let mut file = io::BufWriter::new(std::fs::File::create(out)?);
    for message in messages.values() {
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(message)?;
    }
    file.flush()?;
    println!("recorded {} of {}", messages.len(), last.unwrap_or(0));
    Ok(())
}
