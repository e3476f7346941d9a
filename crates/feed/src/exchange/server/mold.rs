//! Lines in MoldUDP64: downstream datagrams of the tape, and a request server for each line.
//!
//! A line has no connections: it sends each message once, to all receivers (`publish`). The
//! messages of a datagram are taken off the tape through a small buffer (`stage`); faults apply
//! to the datagram as a whole (`strike`). Messages are sent again by the line's request server
//! (`requests`), to the client that asks for them.
//!
//! The messages of a datagram depend on the tape, its pace and the limits, never on the moment at
//! which the driver asks, so a run repeats byte for byte. Only a live tape is different: its
//! messages are created while it plays.

mod lines;
mod publish;
mod rate_limit;
mod requests;
mod stage;
mod stats;
mod strike;
#[cfg(test)]
mod tests;

pub use stats::{MoldEvent, MoldLineView, MoldStats};

use crate::base::seq::{FIRST_SEQ, Seq};
use crate::exchange::server::{EVENTS_MAX, ServerEvent};
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use crate::tape::pace::{Pace, StreamClock};
use crate::wire::Protocol;
use crate::wire::mold::{COUNT_MAX, PayloadLimit, Session};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use requests::RequestServer;
use stage::Stage;
use strike::{DelayedDatagrams, PickedNumbers};

/// Time without a datagram after which a line sends a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Time for which a line announces the end of the session, once each [`HEARTBEAT`].
pub const END_ANNOUNCED: Duration = Duration::from_secs(30);

/// Time of heartbeats before the first message, so that receivers can join, unless the options have
/// another.
pub const LEAD: Duration = Duration::from_secs(1);

/// Time that a message waits for its datagram to fill, unless the options have another.
pub const FLUSH: Duration = Duration::from_millis(1);

/// Number of requests that a client may send in a second, and three times as many at once, unless
/// the options have another. A client that misses 5 % of a million messages a second, in datagrams
/// of 30, needs 1,700, and one with ten thousand gaps all of them at once. The address of a request
/// may be forged, so the rate also bounds the answers that a forged request can direct at another
/// host: 7 MB a second.
pub const REQUEST_RATE: u32 = 5_000;

/// Size limits of a datagram. A message that does not fit `payload` has a datagram of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramLimits {
    /// Maximum length in bytes.
    pub payload: PayloadLimit,
    /// Maximum number of messages, at least 1.
    pub messages: u16,
}

impl Default for DatagramLimits {
    fn default() -> Self {
        Self { payload: PayloadLimit::DEFAULT, messages: COUNT_MAX }
    }
}

/// Age from which on a request server no longer has a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retention {
    /// Number of messages sent after it.
    Messages(u64),
    /// Time since it was sent, to within 2 %.
    Time(Duration),
}

/// Settings of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineOptions {
    /// Size limits of downstream datagrams and of answers.
    pub limits: DatagramLimits,
    /// Maximum time that a message waits for its datagram to fill. Lines of an unlimited pace do
    /// not wait.
    pub flush: Duration,
    /// Time of heartbeats before the first message of a tape that is complete.
    pub lead: Duration,
    /// Age from which on messages are not sent again; `None` for no limit.
    pub retention: Option<Retention>,
    /// Number of requests that a client may send in a second, and three times as many at once.
    pub request_rate: u32,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            limits: DatagramLimits::default(),
            flush: FLUSH,
            lead: LEAD,
            retention: None,
            request_rate: REQUEST_RATE,
        }
    }
}

/// One line of the exchange.
#[derive(Debug)]
pub(super) struct MoldLine {
    /// Number of the line, from 0.
    index: u64,
    options: LineOptions,
    stats: MoldStats,
    /// First message of the exchange's first session. A live session that goes on after a restart
    /// of the program has sent the ones before.
    first: Seq,
    /// Session that the line plays; `None` before it has begun.
    session: Option<LineSession>,
    phase: Phase,
    /// Next message to be sent.
    next: Seq,
    /// Clock of the session's messages.
    clock: StreamClock,
    /// Number of datagrams made, those that faults have dropped included. Faults pick by it.
    datagrams: u64,
    /// Messages of the tape that were read ahead.
    stage: Stage,
    /// Size limits of the next datagram by a fault, with its number.
    sized: Option<(u64, DatagramLimits)>,
    /// Time at which the next message was first seen on a live tape.
    seen: Option<(Seq, Duration)>,
    /// Time before which nothing is sent, because of an order or a fault.
    held_until: Option<Duration>,
    /// Datagrams that are sent once that time is over.
    held: VecDeque<Vec<u8>>,
    /// Datagrams and copies that faults send later than others.
    delayed: DelayedDatagrams,
    /// Numbers of datagrams that faults pick.
    picked: PickedNumbers,
    /// Highest sequence at which a fault has moved the line, which it does once for each.
    shifted_at: Seq,
    /// Version of the faults that `phase` results from.
    fault_version: u32,
    heartbeat_at: Duration,
    /// Time at which there is something to send, besides heartbeats.
    wake_at: Option<Duration>,
    requests: RequestServer,
}

/// Session of a line.
#[derive(Clone, Copy, Debug)]
struct LineSession {
    /// Number of the session among those of the exchange, from 0.
    number: u64,
    name: Session,
    /// Time at which the first message is due.
    began: Duration,
    /// True if the tape was not complete when the session began, so it has a pace of its own.
    live: bool,
}

/// Phase of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Messages are sent as they are due.
    Playing,
    /// Only heartbeats are sent, because of a fault.
    Held,
    /// Line that sends nothing, because of a fault.
    Silent,
    /// The end of the session is announced.
    Ending {
        /// Time of the first announcement.
        since: Duration,
        /// Time of the next announcement.
        next_at: Duration,
    },
    /// Line that has sent everything. Requests are still answered.
    Over,
}

impl Phase {
    /// Returns the name of the phase, as views show it.
    fn name(self) -> &'static str {
        match self {
            Self::Playing => "playing",
            Self::Held => "held",
            Self::Silent => "silent",
            Self::Ending { .. } => "ending",
            Self::Over => "over",
        }
    }
}

/// Parts of the exchange that a line works on.
pub(super) struct LineContext<'a, P> {
    /// Tape that is played.
    pub(super) tape: &'a mut P,
    /// Faults in force.
    pub(super) faults: &'a mut FaultEngine,
    /// Speed of a tape that is complete.
    pub(super) pace: Pace,
    /// Number of stream packets still to be dropped by order.
    pub(super) drops_pending: &'a mut u32,
    /// Events for the driver.
    pub(super) events: &'a mut VecDeque<ServerEvent>,
    /// Time of the call.
    pub(super) now: Duration,
}

impl<P> LineContext<'_, P> {
    /// Queues an event for the driver.
    fn report(&mut self, line: u64, event: MoldEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(ServerEvent::Mold { line: line + 1, event });
        }
    }
}

impl MoldLine {
    /// Creates a line that has sent nothing.
    pub(super) fn new(index: u64, options: LineOptions, first: Seq) -> Self {
        Self {
            index,
            first,
            options,
            stats: MoldStats::default(),
            session: None,
            phase: Phase::Playing,
            next: FIRST_SEQ,
            clock: StreamClock::new(FIRST_SEQ),
            datagrams: 0,
            stage: Stage::default(),
            sized: None,
            seen: None,
            held_until: None,
            held: VecDeque::new(),
            delayed: DelayedDatagrams::default(),
            picked: PickedNumbers::default(),
            shifted_at: 0,
            fault_version: 0,
            heartbeat_at: Duration::ZERO,
            wake_at: Some(Duration::ZERO),
            requests: RequestServer::new(options.request_rate),
        }
    }

    /// Sends nothing downstream before `until`.
    fn stall(&mut self, until: Duration) {
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// Returns the run of the line that decides which of its datagrams meet a fault.
    fn run_id(&self, place: FaultPlace) -> RunId {
        RunId { protocol: Protocol::Mold, place, connection: self.index, pass: 0, run: 0 }
    }
}
