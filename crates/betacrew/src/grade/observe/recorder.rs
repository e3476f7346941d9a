//! Recorder of the wire: an exchange that behaves like the one inside it, and logs what happens.

use crate::grade::cases::ReadOrder;
use crate::grade::feeds::mold::log::MoldLog;
use crate::grade::feeds::mold::recorder::Joining;
use crate::grade::observe::activity::{Lateness, WireActivity};
use crate::grade::observe::call_lengths::CallLengths;
use crate::grade::observe::wire::{Decoded, WireEventKind, WireLog};
use crate::grade::run::unread::{HELD_MAX, HeldBytes, UnreadProbe};
use feed::base::seq::Seq;
use feed::exchange::datagrams::DatagramLines;
use feed::exchange::{Disconnect, Exchange, Step};
use feed::wire::{Call, CallDecoder, FRAME_LEN, Protocol};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Returns whether bytes behind a stream call's first byte are calls by themselves: whole ones of
/// two bytes each, which begin with a known type, or of five with a number of 32 bits.
const fn begins_a_call(bytes: &[u8]) -> bool {
    matches!(bytes, [1 | 2, ..]) && bytes.len().is_multiple_of(2)
        || matches!(bytes, [2, 0, ..]) && bytes.len().is_multiple_of(5)
}

/// Returns a call as the client meant it. Two requests of two bytes each, the first one for packet
/// 0, are decoded as one with a sequence of 32 bits.
fn as_sent(call: Call) -> Call {
    match call {
        Call::Resend(seq) if seq > WIDE_MAX => Call::Resend(0),
        _ => call,
    }
}

/// Highest sequence that clients may request with 32 bits: no case has a longer tape.
const WIDE_MAX: Seq = u16::MAX as Seq;

/// Number of bytes from which no more are gathered for one write.
const GATHERED_MAX: usize = 1 << 16;

/// Exchange that behaves like the one inside it and records what happens on its connections.
pub(crate) struct WireRecorder<E> {
    /// Exchange that plays.
    pub(crate) inner: E,
    /// Record so far.
    pub(crate) log: WireLog,
    /// Bytes returned by the last call of `peek`, of which `sent` reports how many were written.
    peeked: Vec<u8>,
    /// Activity for the thread that watches the client.
    pub(crate) activity: Arc<WireActivity>,
    /// Client of the lines, if there are some.
    pub(crate) joining: Joining,
    /// Socket that reports unread bytes, if each write waits until the client has read the one
    /// before.
    unread: Option<UnreadProbe>,
    /// True if all bytes up to the next pause of the exchange are one write.
    gathers: bool,
    /// Lateness of the exchange.
    lateness: Lateness,
    /// True if each write has one packet of SoupBinTCP at most.
    splits: bool,
}

/// Connection of a [`WireRecorder`].
pub(crate) struct RecordedConnection<C> {
    /// Connection of the exchange inside.
    inner: C,
    /// Index of the connection in the log.
    id: usize,
    /// Decoder of the client's calls.
    calls: CallDecoder,
    /// Lengths of the client's calls.
    lengths: CallLengths,
    /// True if its stream call has one byte, and another call follows it.
    lone: bool,
    /// True if the exchange resets the connection.
    reset: bool,
    /// True if the exchange has ended its side: all that it still does is to wait for the client.
    finished: bool,
    /// Addresses of the client and of the exchange, while unread bytes can be counted.
    addresses: Option<(SocketAddr, SocketAddr)>,
    /// Time since which bytes are held back, if they are.
    held: Option<HeldBytes>,
    /// Bytes up to the next pause of the exchange inside, if they are gathered, that are not
    /// written yet.
    gathered: Vec<u8>,
}

impl<E: Exchange> WireRecorder<E> {
    /// Records the connections of `inner`, and keeps `activity` up to date for other threads.
    pub(crate) fn new(inner: E, activity: Arc<WireActivity>) -> Self {
        let (log, peeked) = (WireLog::default(), Vec::new());
        let joining = Joining::default();
        let (gathers, splits, lateness) = (false, false, Lateness::default());
        Self { inner, log, peeked, activity, joining, unread: None, gathers, lateness, splits }
    }

    /// Keeps an order of writes and reads. Holds back each write, and the end, until the client has
    /// read everything before it, if the order says so and the system can tell.
    pub(crate) fn ordered(self, order: ReadOrder) -> Self {
        let waits = order != ReadOrder::Unordered;
        let unread = waits.then(UnreadProbe::open).flatten();
        let gathers = order == ReadOrder::ReadBetweenPauses;
        Self { unread, gathers, splits: order == ReadOrder::ReadEachPacket, ..self }
    }

    /// Records the lines of the exchange as well.
    pub(crate) fn with_lines(mut self, mold: MoldLog) -> Self {
        self.log.mold = Some(mold);
        self
    }

    /// Notes when the exchange began, if that is not known yet.
    pub(crate) fn note_began(&mut self, now: Duration) {
        let before =
            || Some((Instant::now().checked_sub(now)?, SystemTime::now().checked_sub(now)?));
        self.log.began = self.log.began.or_else(before);
    }

    /// Gathers the bytes up to the next pause of the exchange inside.
    fn gather(&mut self, conn: &mut RecordedConnection<E::Connection>, now: Duration) {
        let mut piece = [0; 4 * FRAME_LEN];
        while conn.gathered.len() < GATHERED_MAX {
            let count = self.inner.peek(&mut conn.inner, &mut piece, now);
            if count == 0 {
                return;
            }
            conn.gathered.extend_from_slice(&piece[..count]);
            self.inner.sent(&mut conn.inner, count, now);
        }
    }

    /// Returns whether bytes are held back now, because the client has not read the earlier ones.
    fn is_held_back(
        &mut self,
        conn: &mut RecordedConnection<E::Connection>,
        now: Duration,
    ) -> bool {
        let (Some(unread), Some((client, own))) = (&mut self.unread, conn.addresses) else {
            return false;
        };
        let count = unread.count(client, own);
        let can_hold = match count {
            Some(0) => true,
            // A client that has not read for HELD_MAX gets everything at once from now on.
            Some(_) => conn.held.get_or_insert(HeldBytes::since(now)).pass(now) < HELD_MAX,
            None => false,
        };
        conn.addresses = conn.addresses.filter(|_| can_hold);
        conn.held = conn.held.filter(|_| can_hold && count != Some(0));
        conn.held.is_some()
    }

    /// Returns the log, at the end of the run.
    pub(crate) fn into_log(self) -> WireLog {
        let mut log = self.log;
        log.exchange_died = self.inner.is_dead();
        log.late = self.lateness.max();
        log
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl<E: Exchange> Exchange for WireRecorder<E> {
    type Connection = RecordedConnection<E::Connection>;
    type Event = E::Event;

    fn open(&mut self, protocol: Protocol, now: Duration) -> Self::Connection {
        self.activity.touch(now);
        self.activity.open();
        self.note_began(now);
        let id = self.log.open(protocol, now);
        let (inner, calls) = (self.inner.open(protocol, now), CallDecoder::new());
        RecordedConnection {
            inner,
            id,
            calls,
            lengths: CallLengths::default(),
            lone: false,
            reset: false,
            finished: false,
            addresses: None,
            held: None,
            gathered: Vec::new(),
        }
    }

    fn connected(&mut self, conn: &mut Self::Connection, client: SocketAddr, own: SocketAddr) {
        conn.addresses = Some((client, own));
        if let Some(state) = self.log.conns.get_mut(conn.id) {
            state.read_one_by_one = self.unread.is_some();
        }
        self.inner.connected(&mut conn.inner, client, own);
    }

    fn wants_input(&self, conn: &Self::Connection) -> bool {
        self.inner.wants_input(&conn.inner)
    }

    fn receive(&mut self, conn: &mut Self::Connection, bytes: &[u8], now: Duration) {
        self.activity.touch(now);
        if self.log.receive(now, conn.id, bytes) == Decoded::Yes {
            return self.inner.receive(&mut conn.inner, bytes, now);
        }
        let mut rest = bytes;
        loop {
            if conn.calls.owes_byte() && begins_a_call(rest) {
                // The exchange skips the first of these bytes as the second one of the stream call.
                conn.calls.forgive();
                conn.lengths.end_call();
                conn.lone = true;
            }
            let before = rest;
            let call = conn.calls.next(&mut rest);
            for byte in &before[..before.len() - rest.len()] {
                if let Some(long) = conn.lengths.take(*byte) {
                    self.log.note_long_call(conn.id, long);
                }
            }
            let Some(call) = call else { break };
            self.log.call(now, conn.id, as_sent(call));
        }
        if conn.lengths.is_zero() {
            // The decoder waits for more bytes, because the sequence may have 32 bits.
            self.log.call(now, conn.id, Call::Resend(0));
        }
        if let Some(state) = self.log.conns.get_mut(conn.id) {
            state.half_call = conn.lone || conn.calls.is_half();
            state.read_len = bytes.len();
        }
        self.inner.receive(&mut conn.inner, bytes, now);
    }

    fn input_ended(&mut self, conn: &mut Self::Connection, now: Duration) {
        self.activity.touch(now);
        self.log.add_event(now, conn.id, WireEventKind::ClientEnded);
        self.inner.input_ended(&mut conn.inner, now);
    }

    fn disconnected(&mut self, conn: Self::Connection, how: Disconnect, now: Duration) {
        self.activity.touch(now);
        self.activity.close(conn.id);
        self.lateness.set_due(conn.id, None);
        let what = match (how, conn.reset || self.inner.down_until().is_some()) {
            (Disconnect::Reset, _) => WireEventKind::Reset,
            (Disconnect::Closed, true) => WireEventKind::ResetByExchange,
            (Disconnect::Closed, false) => WireEventKind::Closed,
        };
        self.log.add_event(now, conn.id, what);
        self.inner.disconnected(conn.inner, how, now);
    }

    fn peek(&mut self, conn: &mut Self::Connection, out: &mut [u8], now: Duration) -> usize {
        if self.is_held_back(conn, now) {
            return 0;
        }
        let count = if self.gathers {
            if conn.gathered.is_empty() {
                self.gather(conn, now);
            }
            let count = conn.gathered.len().min(out.len());
            out[..count].copy_from_slice(&conn.gathered[..count]);
            count
        } else {
            let count = self.inner.peek(&mut conn.inner, out, now);
            if self.splits { self.log.first_packet(conn.id, &out[..count]) } else { count }
        };
        self.peeked.clear();
        self.peeked.extend_from_slice(&out[..count]);
        count
    }

    fn sent(&mut self, conn: &mut Self::Connection, count: usize, now: Duration) {
        self.activity.touch(now);
        if let Some(state) = self.log.conns.get_mut(conn.id) {
            // The claim holds for this write only if the system could still count unread bytes.
            state.read_one_by_one &= conn.addresses.is_some();
        }
        self.log.send(now, conn.id, &self.peeked[..count.min(self.peeked.len())]);
        if self.gathers {
            // The exchange inside was told when the bytes were gathered.
            conn.gathered.drain(..count.min(conn.gathered.len()));
        } else {
            self.inner.sent(&mut conn.inner, count, now);
        }
    }

    fn step(&mut self, conn: &mut Self::Connection, now: Duration) -> Step {
        self.lateness.act(conn.id, now);
        if conn.held.is_some() || !conn.gathered.is_empty() {
            return Step::Wait;
        }
        let step = self.inner.step(&mut conn.inner, now);
        match step {
            Step::Finish => {
                conn.finished = true;
                self.log.add_event(now, conn.id, WireEventKind::Finished);
            }
            Step::Reset => conn.reset = true,
            Step::Wait | Step::Close => {}
        }
        step
    }

    fn deadline(&mut self, conn: &Self::Connection) -> Option<Duration> {
        let due = self.inner.deadline(&conn.inner);
        let own = due.filter(|_| conn.held.is_none() && !conn.finished);
        self.lateness.set_due(conn.id, own);
        // No event reports that the client has read, so the driver must check again at once.
        let due = if conn.held.is_some() { Some(Duration::ZERO) } else { due };
        self.activity.set_due(conn.id, due.filter(|_| !conn.finished));
        due
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

    fn lines(&mut self) -> Option<&mut dyn DatagramLines> {
        match self.log.mold {
            Some(_) => Some(self),
            None => self.inner.lines(),
        }
    }

    fn is_dead(&self) -> bool {
        self.inner.is_dead()
    }

    fn tick(&mut self, now: Duration) -> Option<Duration> {
        self.inner.tick(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::exchange::original::OriginalExchange;
    use feed::tape::in_memory::Tape;

    /// Returns the calls that are recorded if a client sends these reads, and whether one of them
    /// is half a call.
    fn recorded(reads: &[&[u8]]) -> (Vec<Call>, bool) {
        let exchange = OriginalExchange::new(Tape::classic(), 1);
        let mut recorder = WireRecorder::new(exchange, Arc::default());
        let mut conn = recorder.open(Protocol::Betacrew, Duration::ZERO);
        reads.iter().for_each(|read| recorder.receive(&mut conn, read, Duration::ZERO));
        let log = recorder.into_log();
        (log.calls().map(|(_, call, _)| call).collect(), log.conns[0].half_call)
    }

    #[test]
    fn a_call_behind_half_a_stream_call_is_seen_as_it_was_sent() {
        let (stream, five) = (Call::Stream, Call::Resend(5));
        assert_eq!(recorded(&[&[1], &[2, 5]]), (vec![stream, five], true));
        assert_eq!(recorded(&[&[1, 2, 5]]), (vec![stream, five], true), "in one read");
        assert_eq!(recorded(&[&[1], &[2, 1]]), (vec![stream, Call::Resend(1)], true));
        let five_bytes: &[u8] = &[2, 0, 0, 0, 5];
        assert_eq!(recorded(&[&[1], five_bytes]), (vec![stream, five], true));
        assert_eq!(recorded(&[&[1], &[0]]), (vec![stream], false));
        assert_eq!(recorded(&[&[1], &[0, 2, 5]]), (vec![stream, five], false));
        assert_eq!(recorded(&[&[1, 0], &[2, 5]]), (vec![stream, five], false));
        let zero = Call::Resend(0);
        assert_eq!(recorded(&[&[2, 0]]), (vec![zero], false), "no more bytes come");
        assert_eq!(recorded(&[&[2, 0, 2, 1, 2]]).0, [zero], "two calls, the first one for 0");
        assert_eq!(recorded(&[five_bytes]).0, [five]);
    }

    #[test]
    fn calls_of_more_than_two_bytes_are_noted() {
        let long = |reads: &[&[u8]]| {
            let mut recorder =
                WireRecorder::new(OriginalExchange::new(Tape::classic(), 1), Arc::default());
            let mut conn = recorder.open(Protocol::Betacrew, Duration::ZERO);
            reads.iter().for_each(|read| recorder.receive(&mut conn, read, Duration::ZERO));
            recorder.into_log().conns[0].long_call.map(|call| call.len)
        };
        assert_eq!(long(&[&[1, 0, 0, 0, 0, 0]]), Some(6));
        assert_eq!(long(&[&[2, 5, 0, 0, 0, 0], &[2, 6, 0, 0, 0, 0]]), Some(6));
        assert_eq!(long(&[&[1], &[0, 0, 0, 0]]), Some(5), "in two reads");
        assert_eq!(long(&[&[1], &[2, 5]]), None, "a stream call of one byte");
        assert_eq!(long(&[&[1, 0], &[2, 5, 2, 6]]), None);
    }

    #[test]
    fn what_the_exchange_does_late_is_measured() {
        let resolved = crate::scenario::open("slow-start").unwrap();
        let tape = Arc::new(Tape::classic());
        let exchange = feed::exchange::server::MockExchange::new(tape, resolved.scenario);
        let mut recorder = WireRecorder::new(exchange, Arc::default());
        let mut conn = recorder.open(Protocol::Betacrew, Duration::ZERO);
        recorder.receive(&mut conn, &[1, 0], Duration::ZERO);
        let nothing = recorder.peek(&mut conn, &mut [0; FRAME_LEN], Duration::ZERO);
        assert_eq!(nothing, 0, "it is silent at first");
        let due = recorder.deadline(&conn).unwrap();
        recorder.step(&mut conn, due / 2);
        assert_eq!(recorder.lateness.max(), Duration::ZERO, "it is early");
        recorder.step(&mut conn, due + Duration::from_millis(70));
        assert_eq!(recorder.lateness.max(), Duration::from_millis(70));
    }
}
