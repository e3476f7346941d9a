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

pub(crate) mod betacrew;
mod closing;
mod connection;
pub(crate) mod control;
mod ending;
pub mod mold;
pub mod soup;
pub mod users;
mod write_sizes;

pub use crate::exchange::server::closing::{EndCause, Ending, LINGER};
pub use crate::exchange::server::connection::ServerConnection;
pub use crate::exchange::server::control::{ConnectionView, CutKind};
pub use betacrew::{FAREWELL, HEARTBEAT};

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::exchange::datagrams::DatagramLines;
use crate::exchange::server::betacrew::BetacrewConnection;
use crate::exchange::server::closing::Closing;
use crate::exchange::server::connection::ConnectionBase;
use crate::exchange::server::mold::{MoldEvent, MoldLine, MoldStats};
use crate::exchange::server::soup::{SoupConnection, SoupEvent, SoupStats};
use crate::exchange::server::users::Users;
use crate::exchange::{Disconnect, Exchange, Step};
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::{FaultPlace, Scenario};
use crate::tape::in_memory::Tape;
use crate::tape::source::TapeSource;
use crate::wire::{CallDecoder, Protocol, Reason};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Time for which a connection may stay open without a call.
pub const UNCALLED: Duration = Duration::from_secs(5 * 60);

/// Maximum length of a tape that is sent with one write a packet, as the original does. Clients
/// that take each read for one packet then miss less.
pub const ONE_BY_ONE: Seq = 256;

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
    /// Counts of connections in SoupBinTCP.
    pub soup: SoupStats,
    /// Counts of lines in MoldUDP64, over all lines.
    pub mold: MoldStats,
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
        first: Seq,
    },
    /// A client has requested packets that it cannot have.
    Refused {
        /// Number of the connection, from 1.
        connection: u64,
        /// First sequence refused, as requested.
        seq: Seq,
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
    /// Event of a connection in SoupBinTCP.
    Soup {
        /// Number of the connection, from 1.
        connection: u64,
        /// Event.
        event: SoupEvent,
    },
    /// Event of a line in MoldUDP64.
    Mold {
        /// Number of the line, from 1.
        line: u64,
        /// Event.
        event: MoldEvent,
    },
    /// A fault or an order has ended a connection.
    Ended {
        /// Number of the connection, from 1.
        connection: u64,
        /// Way in which the connection ended.
        ending: Ending,
        /// Cause of the end.
        cause: EndCause,
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
    /// Users who may log in.
    users: Users,
    /// Lines in MoldUDP64.
    lines: Vec<MoldLine>,
    /// Number of the session that is played, from 0.
    session_number: u64,
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
            users: Users::default(),
            lines: Vec::new(),
            session_number: 0,
        }
    }

    /// Adds the tape of the next session. A restart with another session goes on to the next tape;
    /// the last tape stays.
    #[must_use]
    pub fn with_next_tape(mut self, tape: P) -> Self {
        self.tapes.push_back(tape);
        self
    }

    /// Lets only these users log in. Only SoupBinTCP has logins.
    #[must_use]
    pub fn with_users(mut self, users: Users) -> Self {
        self.users = users;
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
        ServerStats { mold: self.mold_stats(), ..self.stats }
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
        let (protocol, place) = (Protocol::Betacrew, FaultPlace::Stream);
        let run_id = RunId { protocol, place, connection, pass, run: 0 };
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

    /// Ends an outage whose time is over, with the next tape if the fault says so.
    fn come_up(&mut self, now: Duration) {
        if let Some(outage) = self.outage.take_if(|outage| outage.until <= now)
            && outage.renew
            && self.tapes.len() > 1
        {
            self.tapes.pop_front();
            self.session_number += 1;
            self.faults = self.faults.for_next_tape(&self.scenario, self.tape().end());
        }
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

    fn open(&mut self, protocol: Protocol, now: Duration) -> ServerConnection {
        self.come_up(now);
        let base = ConnectionBase::new(self.stats.connections, now);
        self.stats.connections += 1;
        match protocol {
            // MoldUDP64 has lines instead of connections.
            Protocol::Mold => {
                let mut base = base;
                base.closing.force(Ending::Close, EndCause::Fault);
                ServerConnection::soup(SoupConnection::new(base))
            }
            Protocol::Betacrew => {
                // An exchange without the extension reads all calls as the original does.
                let calls = match self.scenario.extension {
                    true => CallDecoder::new(),
                    false => CallDecoder::original(),
                };
                let mut conn = BetacrewConnection::new(base, calls);
                conn.apply_connect_faults(&mut self.faults);
                ServerConnection::betacrew(conn)
            }
            Protocol::Soup => {
                let mut conn = SoupConnection::new(base);
                conn.apply_connect_faults(&mut self.faults);
                ServerConnection::soup(conn)
            }
        }
    }

    fn connected(&mut self, conn: &mut ServerConnection, client: SocketAddr, _: SocketAddr) {
        conn.dialog_mut::<P>().base_mut().client = Some(client.ip());
    }

    fn wants_input(&self, conn: &ServerConnection) -> bool {
        conn.dialog::<P>().wants_input()
    }

    fn receive(&mut self, conn: &mut ServerConnection, bytes: &[u8], now: Duration) {
        self.tapes[0].grow(now);
        let dialog = conn.dialog_mut();
        dialog.base_mut().traffic.active = now;
        dialog.receive(self, bytes, now);
    }

    fn input_ended(&mut self, conn: &mut ServerConnection, _: Duration) {
        let dialog = conn.dialog_mut::<P>();
        dialog.base_mut().client_ended = true;
        dialog.input_ended();
    }

    fn disconnected(&mut self, _: ServerConnection, how: Disconnect, _: Duration) {
        self.stats.resets += u64::from(how == Disconnect::Reset);
    }

    fn peek(&mut self, conn: &mut ServerConnection, out: &mut [u8], now: Duration) -> usize {
        self.tapes[0].grow(now);
        if self.paused {
            return 0;
        }
        conn.dialog_mut().peek(self, out, now)
    }

    fn sent(&mut self, conn: &mut ServerConnection, count: usize, now: Duration) {
        let dialog = conn.dialog_mut();
        if count > 0 {
            dialog.base_mut().traffic.active = now;
        }
        dialog.base_mut().traffic.bytes += count as u64;
        self.stats.bytes += count as u64;
        dialog.sent(self, count, now);
    }

    fn step(&mut self, conn: &mut ServerConnection, now: Duration) -> Step {
        let dialog = conn.dialog_mut();
        if self.paused && dialog.base().closing.forced_end().is_none() {
            // A pause holds back bytes and ends, but a connection that both sides have ended is
            // over.
            let is_finished = matches!(dialog.base().closing, Closing::Finished { .. });
            let is_over = dialog.base().client_ended && is_finished;
            return if is_over { Step::Close } else { Step::Wait };
        }
        // Counts the packets that are dropped behind the last one sent.
        dialog.sent(self, 0, now);
        if let Some(step) = self.carry_out_forced_end(dialog.base_mut(), now) {
            return step;
        }
        dialog.step(self, now)
    }

    fn deadline(&mut self, conn: &ServerConnection) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let dialog = conn.dialog();
        match dialog.base().closing.waits_since() {
            Some(since) => Some(since + LINGER),
            None => dialog.deadline(self),
        }
    }

    fn is_idle(&self, conn: &ServerConnection) -> bool {
        conn.dialog::<P>().is_idle()
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

    fn lines(&mut self) -> Option<&mut dyn DatagramLines> {
        if self.lines.is_empty() { None } else { Some(self) }
    }

    fn is_dead(&self) -> bool {
        self.died || self.tape().failure().is_some()
    }
}
