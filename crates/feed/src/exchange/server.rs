//! The mock exchange: plays a tape to any number of connections and drops packets on purpose.
//!
//! The mock exchange forgives what the original does not (`docs/protocol.md` gives the reasons, row
//! by row). Each connection has a buffer of its own, so that no client can harm another. A stream
//! begins with the first byte of its call. After a stream the exchange reads on until the client
//! closes. An unknown sequence ends only the connection that requested it.
//!
//! A connection from accept to bytes: [`MockExchange::open`](Exchange::open) accepts it, `receive`
//! decodes calls, `answer` makes replies of them, `peek` and `sent` turn replies into bytes
//! (`connection`), and `step` decides how the connection ends (`ending`).

mod answer;
pub(crate) mod connection;
pub(crate) mod control;
mod ending;
pub(crate) mod faulted_run;
pub(crate) mod send_buffer;
mod subscription;

pub use crate::exchange::server::connection::ServerConnection;
pub use crate::exchange::server::control::{ConnectionView, CutKind};
pub use crate::exchange::server::faulted_run::Ending;
pub use subscription::{FAREWELL, HEARTBEAT};

use crate::base::seq::{FIRST_SEQ, SeqRange, SeqSet};
use crate::exchange::server::connection::{Closing, SendContext};
use crate::exchange::{Disconnect, Exchange, Step};
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::{FaultPlace, Scenario};
use crate::tape::in_memory::Tape;
use crate::tape::pace::{Pace, STEP};
use crate::tape::source::TapeSource;
use crate::wire::{CallDecoder, Reason};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

/// Time for which a connection that was answered completely waits for its client to close it.
pub const LINGER: Duration = Duration::from_secs(30);

/// Time for which a connection may stay open without a call.
pub const UNCALLED: Duration = Duration::from_secs(5 * 60);

/// Maximum length of a tape that is sent with one write a packet, as the original does. Clients
/// that take each read for one packet then miss less.
pub const ONE_BY_ONE: u32 = 256;

/// Maximum number of unsent replies with which a connection is still read from, so that a client
/// that calls without reading costs bounded memory.
pub const OWED_MAX: usize = 256;

/// Counts of an exchange since it began.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ServerStats {
    /// Number of connections accepted.
    pub connections: u64,
    /// Number of stream and subscribe calls answered.
    pub streams: u64,
    /// Number of packets sent.
    pub packets: u64,
    /// Number of packets dropped on purpose.
    pub dropped: u64,
    /// Number of packets that resend calls requested and that the tape has.
    pub resends: u64,
    /// Number of resend calls, or parts of them, that were refused.
    pub refused: u64,
    /// Number of bytes sent.
    pub bytes: u64,
    /// Number of connections that clients reset.
    pub resets: u64,
    /// Number of connections that a fault or an order has ended.
    pub cut: u64,
    /// Number of packets that subscribers missed because they were too slow.
    pub skipped: u64,
}

/// Treatment of a subscriber that was too slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowTreatment {
    /// The subscription continues behind the packets that it missed.
    Skipped,
    /// The connection was ended before them.
    CutOff,
}

/// Event of a mock exchange, for logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerEvent {
    /// A client has called for the stream.
    Stream {
        /// Number of the connection, from 1.
        connection: u64,
        /// Number of the stream among all of the exchange, from 1.
        pass: u64,
    },
    /// A client has subscribed.
    Subscribed {
        /// Number of the connection, from 1.
        connection: u64,
        /// Number of the stream among all of the exchange, from 1.
        pass: u64,
        /// First sequence of the subscription.
        first: u32,
    },
    /// A client has requested packets that it cannot have.
    Refused {
        /// Number of the connection, from 1.
        connection: u64,
        /// First sequence refused, as requested.
        seq: u32,
        /// Reason. A call of the original protocol can only be out of range.
        reason: Reason,
    },
    /// A subscriber was too slow: it missed packets, or was cut off before them.
    Slow {
        /// Number of the connection, from 1.
        connection: u64,
        /// Number of packets that the subscriber misses.
        packets: u64,
        /// Treatment of the subscriber.
        treatment: SlowTreatment,
    },
    /// A fault or an order has ended a connection.
    Ended {
        /// Number of the connection, from 1.
        connection: u64,
        /// Way in which the connection ended.
        ending: Ending,
        /// True if an order ended the connection ([`MockExchange::cut`]), false if a fault did.
        by_order: bool,
    },
}

/// Maximum time between two growths of a live tape, also without connections.
pub const PASSING: Duration = Duration::from_millis(50);

/// Maximum number of events kept for the driver. Later ones are forgotten.
const EVENTS_MAX: usize = 4096;

/// Time for which the exchange is down.
#[derive(Clone, Copy, Debug)]
struct Downtime {
    /// Time at which the exchange comes back.
    until: Duration,
    /// True if the exchange plays its next tape afterwards.
    renew: bool,
}

/// Exchange that plays a tape. See the [module](self).
///
/// Concepts: [tape](crate#tape), [dropped](crate#dropped).
#[derive(Debug)]
pub struct MockExchange<P = Arc<Tape>> {
    /// Tapes: the first is played, the others after restarts with another session.
    tapes: VecDeque<P>,
    scenario: Scenario,
    faults: FaultEngine,
    stats: ServerStats,
    /// Events that the driver has not taken yet.
    events: VecDeque<ServerEvent>,
    outage: Option<Downtime>,
    /// True once a fault has killed the exchange.
    died: bool,
    /// True while no bytes are sent, by order.
    paused: bool,
    /// Number of stream packets still to be dropped by order.
    drops_pending: u32,
}

impl<P: TapeSource> MockExchange<P> {
    /// Creates an exchange that plays `tape` as `scenario` says.
    #[must_use]
    pub fn new(tape: P, scenario: Scenario) -> Self {
        Self {
            faults: FaultEngine::new(&scenario, tape.end()),
            tapes: VecDeque::from([tape]),
            scenario,
            stats: ServerStats::default(),
            events: VecDeque::new(),
            outage: None,
            died: false,
            paused: false,
            drops_pending: 0,
        }
    }

    /// Adds the tape of the next session. A restart with another session goes on to the next tape;
    /// the last tape stays.
    #[must_use]
    pub fn with_next_tape(mut self, tape: P) -> Self {
        self.tapes.push_back(tape);
        self
    }

    /// Returns the tape that is played now.
    #[must_use]
    pub fn tape(&self) -> &P {
        &self.tapes[0]
    }

    /// Returns the scenario in force.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Returns the counts since the exchange began.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.stats
    }

    /// Returns the tape that is played now, to be ended for example.
    pub fn tape_mut(&mut self) -> &mut P {
        &mut self.tapes[0]
    }

    /// Returns whether a fault has killed the exchange.
    #[must_use]
    pub fn died(&self) -> bool {
        self.died
    }

    /// Returns the sequences that the first stream of a connection drops, if that is the `pass`th
    /// stream of the exchange (both from 1).
    #[must_use]
    pub fn dropped_sequences(&self, connection: u64, pass: u64) -> SeqSet {
        let connection = connection.saturating_sub(1);
        let pass = u32::try_from(pass.saturating_sub(1)).unwrap_or(u32::MAX);
        let run_id = RunId { place: FaultPlace::Stream, connection, pass, run: 0 };
        let last = self.tape().last();
        let mut dropped = SeqSet::new();
        let mut next = FIRST_SEQ;
        for kept in self.faults.kept(run_id, FIRST_SEQ, last) {
            SeqRange::new(next, kept.first() - 1).into_iter().for_each(|gap| dropped.insert(gap));
            next = kept.last() + 1;
        }
        SeqRange::new(next, last).into_iter().for_each(|gap| dropped.insert(gap));
        dropped
    }

    /// Queues an event for the driver.
    fn report(&mut self, event: ServerEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }
}

impl<P: TapeSource> Exchange for MockExchange<P> {
    type Connection = ServerConnection;
    type Event = ServerEvent;

    fn open(&mut self, now: Duration) -> ServerConnection {
        if let Some(outage) = self.outage.take_if(|outage| outage.until <= now)
            && outage.renew
            && self.tapes.len() > 1
        {
            self.tapes.pop_front();
            self.faults = self.faults.for_next_tape(&self.scenario, self.tape().end());
        }
        // An exchange without the extension reads all calls as the original does.
        let calls = match self.scenario.extension {
            true => CallDecoder::new(),
            false => CallDecoder::original(),
        };
        let mut conn = ServerConnection::new(self.stats.connections, now, calls);
        self.stats.connections += 1;
        conn.apply_connect_faults(&mut self.faults);
        conn
    }

    fn wants_input(&self, conn: &ServerConnection) -> bool {
        conn.owed() < OWED_MAX
    }

    fn receive(&mut self, conn: &mut ServerConnection, bytes: &[u8], now: Duration) {
        self.tapes[0].grow(now);
        conn.traffic.active = now;
        let mut rest = bytes;
        // Bytes after a stream call, or after a call that ends the connection, are discarded.
        while conn.accepts_calls() {
            let Some(call) = conn.calls.next(&mut rest) else { break };
            self.answer(conn, call, now);
        }
    }

    fn input_ended(&mut self, conn: &mut ServerConnection, _: Duration) {
        conn.client_ended = true;
        conn.unsubscribe();
    }

    fn disconnected(&mut self, _: ServerConnection, how: Disconnect, _: Duration) {
        self.stats.resets += u64::from(how == Disconnect::Reset);
    }

    fn peek(&mut self, conn: &mut ServerConnection, out: &mut [u8], now: Duration) -> usize {
        self.tapes[0].grow(now);
        if self.paused {
            return 0;
        }
        self.apply_slow_policy(conn, now);
        self.apply_pending_drops(conn);
        let tape = &mut self.tapes[0];
        let one_by_one = tape.last() <= ONE_BY_ONE;
        let Self { faults, scenario: Scenario { pace, .. }, .. } = self;
        conn.peek(&mut SendContext { tape, faults, pace: *pace, now, one_by_one }, out)
    }

    fn sent(&mut self, conn: &mut ServerConnection, count: usize, now: Duration) {
        if count > 0 {
            conn.traffic.active = now;
        }
        self.stats.bytes += count as u64;
        let before = conn.traffic.packets;
        self.stats.dropped += conn.advance(self.tape().last(), &mut self.faults, count, now);
        self.stats.packets += conn.traffic.packets - before;
    }

    fn step(&mut self, conn: &mut ServerConnection, now: Duration) -> Step {
        if self.paused && conn.closing.forced_end().is_none() {
            // A pause holds back bytes and ends, but a connection that both sides have ended is
            // over.
            let is_finished = matches!(conn.closing, Closing::Finished { .. });
            return if conn.client_ended && is_finished { Step::Close } else { Step::Wait };
        }
        // Counts the packets that are dropped behind the last one sent.
        self.stats.dropped += conn.advance(self.tape().last(), &mut self.faults, 0, now);
        if let Some(step) = self.carry_out_forced_end(conn, now) {
            return step;
        }
        self.apply_slow_policy(conn, now);
        if conn.owed() > 0 {
            return match conn.closing {
                // A client that was cut off and does not even read the refusal.
                Closing::CutOff { since } if now >= since + LINGER => Step::Reset,
                _ => Step::Wait,
            };
        }
        if conn.role.subscription().is_some_and(|it| !(conn.client_ended || it.is_over(now))) {
            return Step::Wait;
        }
        match conn.closing {
            Closing::Finished { .. } if conn.client_ended => Step::Close,
            // A client that has received everything may never close its side.
            Closing::Finished { since, .. } if now >= since + LINGER => Step::Close,
            Closing::Finished { .. } => Step::Wait,
            Closing::Open | Closing::CutOff { .. } | Closing::Ended(_) => {
                let is_idle_too_long = || self.idle_deadline(conn).is_some_and(|idle| now >= idle);
                if conn.accepts_calls() && !conn.client_ended && !is_idle_too_long() {
                    return Step::Wait;
                }
                conn.closing.finish(now);
                Step::Finish
            }
        }
    }

    fn deadline(&mut self, conn: &ServerConnection) -> Option<Duration> {
        if self.paused {
            return None;
        }
        if let Some(since) = conn.closing.waits_since() {
            return Some(since + LINGER);
        }
        if let Some(subscription) = conn.role.subscription() {
            let growth = self.tape().grows_at();
            let next = growth.into_iter().chain([subscription.next_notice_at]).min();
            return conn.held_until.or(next);
        }
        if conn.held_until.is_some() || conn.owed() == 0 {
            return conn.held_until.or_else(|| self.idle_deadline(conn));
        }
        if self.scenario.pace == Pace::Unlimited {
            return None;
        }
        let (began, next) = conn.paced_packet()?;
        let due = began + self.scenario.pace.due(&mut self.tapes[0], next);
        Some(due.max(conn.traffic.active + STEP))
    }

    fn is_idle(&self, conn: &ServerConnection) -> bool {
        conn.owed() == 0 && conn.role.subscription().is_none()
    }

    fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    fn tick(&mut self, now: Duration) -> Option<Duration> {
        let tape = &mut self.tapes[0];
        tape.grow(now);
        // Connections make the tape grow more often while they are served.
        tape.grows_at().map(|next| next.max(now + PASSING))
    }

    fn down_until(&self) -> Option<Duration> {
        self.outage.map(|outage| outage.until)
    }

    fn is_dead(&self) -> bool {
        self.died || self.tape().failure().is_some()
    }
}
