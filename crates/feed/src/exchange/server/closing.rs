//! End of a connection on the exchange's side.

use crate::exchange::Step;
use crate::exchange::server::connection::ConnectionBase;
use core::time::Duration;

/// Time for which a connection that was answered completely waits for its client to close it.
pub const LINGER: Duration = Duration::from_secs(30);

/// Way in which a fault, or an order, ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The connection is closed as after its last packet.
    Close,
    /// The connection is reset.
    Reset,
    /// No more bytes are sent, and the connection stays open.
    Silence,
    /// The exchange goes down for a while, and all connections are reset.
    Restart {
        /// Time for which the exchange is down.
        down: Duration,
        /// True if the exchange plays another tape afterwards.
        renew: bool,
    },
    /// The exchange goes down for good, and all connections are reset.
    Die,
}

/// Progress of the exchange's end of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::exchange::server) enum Closing {
    /// Replies are sent.
    Open,
    /// The client was too slow for its subscription: only the rest of a packet and a refusal are
    /// sent.
    CutOff {
        /// Time of the decision.
        since: Duration,
    },
    /// A fault or an order has ended the connection: no more bytes are sent.
    Ended(ForcedEnd),
    /// The exchange has closed its side and waits for the client to close the other.
    Finished {
        /// Time of the half-close.
        since: Duration,
        /// End by a fault or an order, before the half-close or after it.
        forced: Option<ForcedEnd>,
    },
}

/// End of a connection by a fault or an order.
#[derive(Clone, Copy, Debug)]
pub(in crate::exchange::server) struct ForcedEnd {
    /// Way in which the connection ends.
    pub(in crate::exchange::server) ending: Ending,
    /// Cause of the end.
    pub(in crate::exchange::server) cause: EndCause,
    /// True once the end was counted and reported.
    is_reported: bool,
}

/// Cause of a forced end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// A fault of the scenario.
    Fault,
    /// An order ([`MockExchange::cut`](crate::exchange::server::MockExchange::cut)).
    Order,
}

impl Closing {
    /// Returns the end by a fault or an order, if there was one.
    pub(in crate::exchange::server) fn forced_end(&self) -> Option<ForcedEnd> {
        match *self {
            Self::Open | Self::CutOff { .. } => None,
            Self::Ended(end) => Some(end),
            Self::Finished { forced, .. } => forced,
        }
    }

    /// Returns whether the exchange will send no more bytes.
    pub(in crate::exchange::server) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Finished { .. })
    }

    /// Returns the time from which on the exchange waits for the client to read or to close.
    pub(in crate::exchange::server) fn waits_since(&self) -> Option<Duration> {
        match *self {
            Self::CutOff { since } | Self::Finished { since, .. } => Some(since),
            Self::Open | Self::Ended(_) => None,
        }
    }

    /// Ends the connection by a fault or an order.
    pub(in crate::exchange::server) fn force(&mut self, ending: Ending, cause: EndCause) {
        // An end is reported once: an order does not report the end of a connection that a fault
        // has ended already.
        let is_reported = self.forced_end().is_some_and(|end| end.is_reported);
        self.set_forced_end(ForcedEnd { ending, cause, is_reported });
    }

    /// Returns a forced end that was not reported yet, and marks it as reported.
    pub(in crate::exchange::server) fn take_report(&mut self) -> Option<ForcedEnd> {
        let end = self.forced_end().filter(|end| !end.is_reported)?;
        self.set_forced_end(ForcedEnd { is_reported: true, ..end });
        Some(end)
    }

    /// Marks the exchange's side as closed.
    pub(in crate::exchange::server) fn finish(&mut self, now: Duration) {
        *self = Self::Finished { since: now, forced: self.forced_end() };
    }

    fn set_forced_end(&mut self, end: ForcedEnd) {
        match self {
            Self::Finished { forced, .. } => *forced = Some(end),
            _ => *self = Self::Ended(end),
        }
    }
}

impl ConnectionBase {
    /// Returns what to do with a connection whose side of the exchange is closed; `None` if it is
    /// not.
    pub(in crate::exchange::server) fn lingering_step(&self, now: Duration) -> Option<Step> {
        let Closing::Finished { since, .. } = self.closing else { return None };
        let is_over = self.client_ended || now >= since + LINGER;
        Some(if is_over { Step::Close } else { Step::Wait })
    }
}
