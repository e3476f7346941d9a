//! What happened on the wire while a client was graded: an exchange that takes notes.

use crate::grade::run::unread::{HELD_MAX, Unread};
use feed::base::seq::Seq;
use feed::exchange::{Disconnect, Exchange, Step};
use feed::wire::{Call, CallDecoder, FRAME_LEN, Frame, RawFrame, decode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// So many events are kept; more are counted.
pub(crate) const EVENTS_MAX: usize = 20_000;
/// So many connections are kept; of more, nothing is.
pub(crate) const CONNS_MAX: usize = 10_000;
/// So many frames are kept of all connections together; more are not looked at.
pub(crate) const FRAMES_MAX: usize = 200_000;

/// Something that happened on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WireEvent {
    /// Since the exchange began to listen.
    pub(crate) at: Duration,
    /// The connection, from 0 in the order in which they were made.
    pub(crate) conn: usize,
    pub(crate) what: WireEventKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WireEventKind {
    /// The client has connected.
    Opened,
    /// The client has sent a call. `late`: after a stream call on this connection.
    Called { call: Call, late: bool },
    /// The exchange has sent, in one write, these bytes of what it sends on the connection.
    Sent { from: u64, to: u64 },
    /// The client will send no more.
    ClientEnded,
    /// The exchange will send no more.
    Finished,
    /// Both sides have closed it, or the exchange has.
    Closed,
    /// The client has reset it, and what was on its way to it may be lost.
    Reset,
    /// The exchange has reset it.
    ResetByExchange,
}

/// One connection, as far as it cannot be read from the events.
#[derive(Clone, Default, Debug)]
pub(crate) struct WireConnection {
    /// The whole frames sent on it.
    pub(crate) frames: Vec<RawFrame>,
    /// Its frames before this place are answers to resend calls that came before a stream call.
    pub(crate) stream_from: Option<usize>,
    /// Bytes sent on it.
    pub(crate) sent: u64,
    /// True where the client had read everything before each write.
    pub(crate) apart: bool,
    part: Vec<u8>,
    resends: usize,
}

/// All that was noted.
#[derive(Clone, Default, Debug)]
pub(crate) struct WireLog {
    pub(crate) events: Vec<WireEvent>,
    pub(crate) conns: Vec<WireConnection>,
    /// Events that found no room.
    pub(crate) forgotten: u64,
    /// The exchange died of what the client did.
    pub(crate) died: bool,
    /// When the time of events began, by the clock and by the calendar.
    pub(crate) began: Option<(Instant, SystemTime)>,
    frames: usize,
}

/// Something about one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// A resend call. `late`: after a stream call on its connection, where nothing answers it.
    Asked { seq: Seq, late: bool },
    /// The packet was sent, by a stream or as an answer.
    Brought { seq: Seq, streamed: bool },
}

/// The sequence of a frame, if it is a packet.
pub(crate) fn packet_of(frame: &RawFrame) -> Option<Seq> {
    match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet.sequence),
        _ => None,
    }
}

/// A write that brought more or less than one packet, seen as packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// The connection.
    pub(crate) conn: usize,
    /// The places of the frames that it has a byte of: first and last.
    pub(crate) frames: (usize, usize),
    /// It begins inside a frame.
    pub(crate) cut_before: bool,
    /// It ends inside a frame.
    pub(crate) cut_after: bool,
}

impl Segment {
    /// The write of these bytes (at least one) of what is sent on a connection.
    pub(crate) fn of(conn: usize, from: u64, to: u64) -> Self {
        const LEN: u64 = FRAME_LEN as u64;
        let place = |byte: u64| usize::try_from(byte / LEN).unwrap_or(usize::MAX);
        Self {
            conn,
            frames: (place(from), place(to.saturating_sub(1))),
            cut_before: !from.is_multiple_of(LEN),
            cut_after: !to.is_multiple_of(LEN),
        }
    }
}

impl WireLog {
    /// Streams that were called for.
    pub(crate) fn streams(&self) -> usize {
        self.calls().filter(|(_, call, late)| *call == Call::Stream && !late).count()
    }

    /// All calls: connection, call, whether it came after a stream call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, Call, bool)> {
        self.events.iter().filter_map(|event| match event.what {
            WireEventKind::Called { call, late } => Some((event.conn, call, late)),
            _ => None,
        })
    }

    /// The sequences of all resend calls of the original protocol that could be answered.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Seq> {
        self.calls().filter_map(|(_, call, late)| match call {
            Call::Resend(seq) if !late => Some(seq),
            _ => None,
        })
    }

    /// The packets that streams brought, connection by connection.
    pub(crate) fn streamed(&self) -> impl Iterator<Item = (usize, Seq)> {
        self.packets(true)
    }

    /// The packets that answered resend calls.
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

    /// The writes of packets, in order, with their times.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (Duration, Segment)> {
        self.events.iter().filter_map(|event| match event.what {
            WireEventKind::Sent { from, to } => Some((event.at, Segment::of(event.conn, from, to))),
            _ => None,
        })
    }

    /// The sequence of the frame at a place of a connection.
    pub(crate) fn seq_at(&self, conn: usize, place: usize) -> Option<Seq> {
        self.conns.get(conn)?.frames.get(place).and_then(packet_of)
    }

    /// What was asked for and what came, in the order of time.
    pub(crate) fn history(&self) -> impl Iterator<Item = (Duration, usize, Moment)> {
        self.events.iter().flat_map(move |event| {
            let moments: Vec<Moment> = match event.what {
                WireEventKind::Called { call: Call::Resend(seq), late } => {
                    vec![Moment::Asked { seq, late }]
                }
                WireEventKind::Sent { from, to } => self.brought(event.conn, from, to),
                _ => Vec::new(),
            };
            moments.into_iter().map(move |moment| (event.at, event.conn, moment))
        })
    }

    /// The packets whose last byte is among these bytes.
    fn brought(&self, conn: usize, from: u64, to: u64) -> Vec<Moment> {
        let place = |byte: u64| usize::try_from(byte / FRAME_LEN as u64).unwrap_or(usize::MAX);
        let Some(state) = self.conns.get(conn) else { return Vec::new() };
        let frames = state.frames.iter().enumerate().take(place(to)).skip(place(from));
        let streamed = |at| state.stream_from.is_some_and(|start| at >= start);
        frames
            .filter_map(|(at, frame)| {
                Some(Moment::Brought { seq: packet_of(frame)?, streamed: streamed(at) })
            })
            .collect()
    }

    pub(crate) fn note(&mut self, at: Duration, conn: usize, what: WireEventKind) {
        if self.events.len() < EVENTS_MAX && conn < CONNS_MAX {
            self.events.push(WireEvent { at, conn, what });
        } else {
            self.forgotten += 1;
        }
    }

    pub(crate) fn open(&mut self, at: Duration) -> usize {
        let id = self.conns.len();
        if id < CONNS_MAX {
            self.conns.push(WireConnection::default());
            self.note(at, id, WireEventKind::Opened);
        } else {
            self.forgotten += 1;
        }
        id
    }

    pub(crate) fn call(&mut self, at: Duration, conn: usize, call: Call) {
        let Some(state) = self.conns.get_mut(conn) else { return };
        let late = state.stream_from.is_some();
        match call {
            Call::Stream if !late => state.stream_from = Some(state.resends),
            Call::Resend(_) if !late => state.resends += 1,
            _ => {}
        }
        self.note(at, conn, WireEventKind::Called { call, late });
    }

    pub(crate) fn send(&mut self, at: Duration, conn: usize, bytes: &[u8]) {
        let Some(state) = self.conns.get_mut(conn).filter(|_| !bytes.is_empty()) else { return };
        let from = state.sent;
        state.sent += bytes.len() as u64;
        let to = state.sent;
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
        self.note(at, conn, WireEventKind::Sent { from, to });
    }
}

/// An exchange that takes notes; what it does is what the one inside does.
pub(crate) struct WireRecorder<E> {
    inner: E,
    log: WireLog,
    /// The bytes that were peeked at last.
    peeked: Vec<u8>,
    /// When something happened last, in milliseconds: for whoever waits for silence.
    active: Arc<AtomicU64>,
    /// Connections that are not gone.
    open: Arc<AtomicUsize>,
    /// Present where bytes are held back until the client has read those before.
    unread: Option<Unread>,
}

/// A connection of a [`WireRecorder`] exchange.
pub(crate) struct RecordedConnection<C> {
    inner: C,
    id: usize,
    calls: CallDecoder,
    /// The exchange resets it.
    reset: bool,
    /// Addresses of the client and of the exchange.
    addresses: Option<(SocketAddr, SocketAddr)>,
    /// Time since which bytes are held back.
    held: Option<Duration>,
}

impl<E: Exchange> WireRecorder<E> {
    /// Watches `inner`, and keeps `active` (milliseconds since it began) and `open` (connections)
    /// up to date meanwhile.
    pub(crate) fn new(inner: E, active: Arc<AtomicU64>, open: Arc<AtomicUsize>) -> Self {
        Self { inner, log: WireLog::default(), peeked: Vec::new(), active, open, unread: None }
    }

    /// Lets each write, and the end, come to the client by itself: nothing is sent before the
    /// client has read what came before.
    pub(crate) fn apart(self, unread: Option<Unread>) -> Self {
        Self { unread, ..self }
    }

    /// Returns whether bytes are held back from a client that has not read what came before.
    fn holds(&mut self, conn: &mut RecordedConnection<E::Connection>, now: Duration) -> bool {
        let (Some(unread), Some((client, own))) = (&mut self.unread, conn.addresses) else {
            return false;
        };
        let count = unread.count(client, own);
        let apart = match count {
            Some(0) => true,
            // One that does not read gets everything as soon as that is due.
            Some(_) => now.saturating_sub(*conn.held.get_or_insert(now)) < HELD_MAX,
            None => false,
        };
        conn.addresses = conn.addresses.filter(|_| apart);
        conn.held = conn.held.filter(|_| apart && count != Some(0));
        conn.held.is_some()
    }

    /// What was noted.
    pub(crate) fn into_log(self) -> WireLog {
        WireLog { died: self.inner.is_dead(), ..self.log }
    }

    fn touch(&self, now: Duration) {
        self.active.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl<E: Exchange> Exchange for WireRecorder<E> {
    type Connection = RecordedConnection<E::Connection>;
    type Event = E::Event;

    fn open(&mut self, now: Duration) -> Self::Connection {
        self.touch(now);
        self.open.fetch_add(1, Ordering::Relaxed);
        let before =
            || Some((Instant::now().checked_sub(now)?, SystemTime::now().checked_sub(now)?));
        self.log.began = self.log.began.or_else(before);
        let id = self.log.open(now);
        let (inner, calls) = (self.inner.open(now), CallDecoder::new());
        RecordedConnection { inner, id, calls, reset: false, addresses: None, held: None }
    }

    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        conn.addresses = Some((client, own));
        if let Some(state) = self.log.conns.get_mut(conn.id) {
            state.apart = self.unread.is_some();
        }
        self.inner.connected(&mut conn.inner, client, own);
    }

    fn wants_input(&self, conn: &Self::Connection) -> bool {
        self.inner.wants_input(&conn.inner)
    }

    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration) {
        self.touch(now);
        let mut rest = bytes;
        while let Some(call) = conn.calls.next(&mut rest) {
            self.log.call(now, conn.id, call);
        }
        self.inner.receive(&mut conn.inner, bytes, now);
    }

    fn ended(&mut self, conn: &mut Self::Connection, now: Duration) {
        self.touch(now);
        self.log.note(now, conn.id, WireEventKind::ClientEnded);
        self.inner.ended(&mut conn.inner, now);
    }

    fn disconnected(&mut self, conn: Self::Connection, how: Disconnect, now: Duration) {
        self.touch(now);
        self.open.fetch_sub(1, Ordering::Relaxed);
        let what = match (how, conn.reset || self.inner.down_until().is_some()) {
            (Disconnect::Reset, _) => WireEventKind::Reset,
            (Disconnect::Closed, true) => WireEventKind::ResetByExchange,
            (Disconnect::Closed, false) => WireEventKind::Closed,
        };
        self.log.note(now, conn.id, what);
        self.inner.disconnected(conn.inner, how, now);
    }

    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize {
        if self.holds(conn, now) {
            return 0;
        }
        let count = self.inner.peek(&mut conn.inner, out, now);
        self.peeked.clear();
        self.peeked.extend_from_slice(&out[..count]);
        count
    }

    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration) {
        self.touch(now);
        if let Some(state) = self.log.conns.get_mut(conn.id) {
            // Known of this write only if the system has just said so.
            state.apart &= conn.addresses.is_some();
        }
        self.log.send(now, conn.id, &self.peeked[..count.min(self.peeked.len())]);
        self.inner.sent(&mut conn.inner, count, now);
    }

    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step {
        if conn.held.is_some() {
            return Step::Wait;
        }
        let step = self.inner.step(&mut conn.inner, now);
        match step {
            Step::Finish => self.log.note(now, conn.id, WireEventKind::Finished),
            Step::Reset => conn.reset = true,
            Step::Wait | Step::Close => {}
        }
        step
    }

    fn deadline(&mut self, conn: &Self::Connection) -> Option<Duration> {
        let due = self.inner.deadline(&conn.inner);
        // Nobody tells when the client has read: the driver looks again soon.
        if conn.held.is_some() { Some(Duration::ZERO) } else { due }
    }

    fn is_idle(&self, conn: &Self::Connection) -> bool {
        self.inner.is_idle(&conn.inner)
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        self.inner.poll_event()
    }

    fn down_until(&self) -> Option<Duration> {
        self.inner.down_until()
    }

    fn is_dead(&self) -> bool {
        self.inner.is_dead()
    }
}
