//! Recording of the wire: every connection, call and write of one run, with its time.

pub(crate) use super::segment::Segment;
pub(crate) use super::wire_event::{PacketEvent, WireEvent, WireEventKind, packet_of};

use super::call_lengths::LongCall;
use crate::grade::feeds::mold::log::MoldLog;
use crate::grade::feeds::soup::conversation::SoupConversation;
use feed::base::seq::Seq;
use feed::wire::{Call, FRAME_LEN, Protocol, RawFrame};
use std::time::{Duration, Instant, SystemTime};

/// Maximum number of events kept; further events are only counted.
pub(crate) const EVENTS_MAX: usize = 20_000;
/// Maximum number of connections kept.
pub(crate) const CONNS_MAX: usize = 10_000;
/// Maximum number of frames, or packets of SoupBinTCP, kept of all connections together; further
/// ones are not decoded.
pub(crate) const FRAMES_MAX: usize = 200_000;

/// State of one connection that its events do not show.
#[derive(Clone, Default, Debug)]
pub(crate) struct WireConnection {
    /// Complete frames sent on the connection.
    pub(crate) frames: Vec<RawFrame>,
    /// Number of frames that answer resend calls, all sent before the stream; `None` without a
    /// stream call.
    pub(crate) stream_from: Option<usize>,
    /// Number of bytes sent on the connection.
    pub(crate) sent: u64,
    /// True if the client had read everything before each write.
    pub(crate) read_one_by_one: bool,
    /// True if the client's last call has only its first byte.
    pub(crate) half_call: bool,
    /// Longest call of the client, if it has more than two bytes.
    pub(crate) long_call: Option<LongCall>,
    /// Number of bytes in the last read of the exchange.
    pub(crate) read_len: usize,
    /// Packets of both sides, if the connection speaks SoupBinTCP.
    pub(crate) soup: Option<SoupConversation>,
    /// Bytes of the frame that is not complete yet.
    part: Vec<u8>,
    /// Number of resend calls before the stream call.
    resends: usize,
}

impl WireConnection {
    /// Returns the bytes of the frame that was not complete when the connection ended.
    pub(crate) fn part(&self) -> &[u8] {
        &self.part
    }
}

/// Log of all connections of one run.
#[derive(Clone, Default, Debug)]
pub(crate) struct WireLog {
    /// Events in the order of time.
    pub(crate) events: Vec<WireEvent>,
    /// Connections in the order of connecting.
    pub(crate) conns: Vec<WireConnection>,
    /// Maximum time for which the exchange was late with what it does by itself.
    pub(crate) late: Duration,
    /// Number of events that were not kept.
    pub(crate) not_kept: u64,
    /// True if the exchange died of a call or a reset of the client.
    pub(crate) exchange_died: bool,
    /// Instant and time of day at which the times of the events begin.
    pub(crate) began: Option<(Instant, SystemTime)>,
    /// Datagrams, if the exchange plays MoldUDP64.
    pub(crate) mold: Option<MoldLog>,
    /// Number of frames kept of all connections.
    frames: usize,
}

impl WireLog {
    /// Returns the number of streams that the client called for.
    pub(crate) fn streams(&self) -> usize {
        self.calls().filter(|(_, call, late)| *call == Call::Stream && !late).count()
    }

    /// Returns all calls: connection, call, and whether a stream call precedes it.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, Call, bool)> {
        self.events.iter().filter_map(|event| match event.what {
            WireEventKind::Called { call, late } => Some((event.conn, call, late)),
            _ => None,
        })
    }

    /// Returns the sequences of all resend calls that the exchange could answer.
    pub(crate) fn requested(&self) -> impl Iterator<Item = Seq> {
        self.calls().filter_map(|(_, call, late)| match call {
            Call::Resend(seq) if !late => Some(seq),
            _ => None,
        })
    }

    /// Returns the sequences of all resend calls, also of those that the exchange does not answer
    /// because they follow a stream call.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Seq> {
        self.calls().filter_map(|(_, call, _)| match call {
            Call::Resend(seq) => Some(seq),
            _ => None,
        })
    }

    /// Returns the connection and sequence of each packet sent in a stream.
    pub(crate) fn streamed(&self) -> impl Iterator<Item = (usize, Seq)> {
        self.packets(true)
    }

    /// Returns the connection and sequence of each packet that answered a resend call.
    pub(crate) fn resent(&self) -> impl Iterator<Item = (usize, Seq)> {
        self.packets(false)
    }

    fn packets(&self, streamed: bool) -> impl Iterator<Item = (usize, Seq)> {
        self.conns.iter().enumerate().flat_map(move |(id, conn)| {
            let from = conn.stream_from.unwrap_or(usize::MAX).min(conn.frames.len());
            let part = if streamed { &conn.frames[from..] } else { &conn.frames[..from] };
            part.iter().filter_map(packet_of).map(move |seq| (id, seq))
        })
    }

    /// Returns the writes of the exchange in order, with their times.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (Duration, Segment)> {
        self.events.iter().filter_map(|event| match event.what {
            WireEventKind::Sent { from, to } => Some((event.at, Segment::of(event.conn, from, to))),
            _ => None,
        })
    }

    /// Returns the sequence of the frame with index `place` of a connection.
    pub(crate) fn seq_at(&self, conn: usize, place: usize) -> Option<Seq> {
        self.conns.get(conn)?.frames.get(place).and_then(packet_of)
    }

    /// Returns the resend calls and the packets sent, in the order of time.
    pub(crate) fn packet_events(&self) -> impl Iterator<Item = (Duration, usize, PacketEvent)> {
        self.events.iter().flat_map(move |event| {
            let packet_events: Vec<PacketEvent> = match event.what {
                WireEventKind::Called { call: Call::Resend(seq), late } => {
                    vec![PacketEvent::Requested { seq, late }]
                }
                WireEventKind::Sent { from, to } => self.packets_sent_in(event.conn, from, to),
                _ => Vec::new(),
            };
            packet_events.into_iter().map(move |packet_event| (event.at, event.conn, packet_event))
        })
    }

    /// Returns the packets whose last byte is among the bytes `from..to` of a connection.
    fn packets_sent_in(&self, conn: usize, from: u64, to: u64) -> Vec<PacketEvent> {
        let place = |byte: u64| usize::try_from(byte / FRAME_LEN as u64).unwrap_or(usize::MAX);
        let Some(state) = self.conns.get(conn) else { return Vec::new() };
        let frames = state.frames.iter().enumerate().take(place(to)).skip(place(from));
        let streamed = |at| state.stream_from.is_some_and(|start| at >= start);
        frames
            .filter_map(|(at, frame)| {
                Some(PacketEvent::Sent { seq: packet_of(frame)?, streamed: streamed(at) })
            })
            .collect()
    }

    /// Adds an event, or counts it if there are too many.
    pub(crate) fn add_event(&mut self, at: Duration, conn: usize, what: WireEventKind) {
        if self.events.len() < EVENTS_MAX && conn < CONNS_MAX {
            self.events.push(WireEvent { at, conn, what });
        } else {
            self.not_kept += 1;
        }
    }

    /// Adds a connection and returns its index.
    pub(crate) fn open(&mut self, protocol: Protocol, at: Duration) -> usize {
        let id = self.conns.len();
        if id < CONNS_MAX {
            let soup = (protocol == Protocol::Soup).then(SoupConversation::default);
            self.conns.push(WireConnection { soup, ..WireConnection::default() });
            self.add_event(at, id, WireEventKind::Opened);
        } else {
            self.not_kept += 1;
        }
        id
    }

    /// Adds a call of the client.
    pub(crate) fn call(&mut self, at: Duration, conn: usize, call: Call) {
        let Some(state) = self.conns.get_mut(conn) else { return };
        let late = state.stream_from.is_some();
        match call {
            Call::Stream if !late => state.stream_from = Some(state.resends),
            Call::Resend(_) if !late => state.resends += 1,
            _ => {}
        }
        self.add_event(at, conn, WireEventKind::Called { call, late });
    }

    /// Notes a call of more than two bytes, unless the connection has a longer one.
    pub(crate) fn note_long_call(&mut self, conn: usize, call: LongCall) {
        let Some(state) = self.conns.get_mut(conn) else { return };
        if state.long_call.is_none_or(|known| known.len < call.len) {
            state.long_call = Some(call);
        }
    }

    /// Adds bytes that the client sent, if they are of another protocol than the exercise's.
    pub(crate) fn receive(&mut self, at: Duration, conn: usize, bytes: &[u8]) -> Decoded {
        let soup = self.conns.get_mut(conn).and_then(|state| state.soup.as_mut());
        let Some(soup) = soup else { return Decoded::No };
        if self.frames >= FRAMES_MAX {
            return Decoded::Yes;
        }
        let packets = soup.receive(at, bytes);
        self.frames += packets.len();
        for packet in packets {
            self.add_event(at, conn, WireEventKind::Received(packet));
        }
        Decoded::Yes
    }

    /// Returns how many of the bytes that are to be sent belong to the first packet among them.
    pub(crate) fn first_packet(&self, conn: usize, bytes: &[u8]) -> usize {
        let soup = self.conns.get(conn).and_then(|state| state.soup.as_ref());
        soup.map_or(bytes.len(), |soup| soup.first_packet(bytes))
    }

    /// Adds bytes that the exchange sent in one write.
    pub(crate) fn send(&mut self, at: Duration, conn: usize, bytes: &[u8]) {
        let Some(state) = self.conns.get_mut(conn).filter(|_| !bytes.is_empty()) else { return };
        let from = state.sent;
        state.sent += bytes.len() as u64;
        let to = state.sent;
        if let Some(soup) = &mut state.soup {
            self.frames += soup.send(at, bytes, FRAMES_MAX.saturating_sub(self.frames));
            return self.add_event(at, conn, WireEventKind::Sent { from, to });
        }
        let mut rest = bytes;
        while !rest.is_empty() && self.frames < FRAMES_MAX {
            let more = rest.len().min(FRAME_LEN - state.part.len());
            state.part.extend_from_slice(&rest[..more]);
            rest = &rest[more..];
            if let Ok(frame) = RawFrame::try_from(&state.part[..]) {
                state.frames.push(frame);
                state.part.clear();
                self.frames += 1;
            }
        }
        self.add_event(at, conn, WireEventKind::Sent { from, to });
    }
}

/// Answer to whether bytes of a client were decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decoded {
    /// Bytes whose packets are in the log.
    Yes,
    /// Bytes of the exercise's protocol.
    No,
}
