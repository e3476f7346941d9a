//! Lines: the datagrams from one source to one group and port.

use super::stream::Membership;
use super::timeline::{PeakRate, Timeline};
use super::tracker::{DatagramSpan, SequenceTracker};
use feed::wire::SessionId;
use std::net::SocketAddr;

/// Source and destination of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Route {
    /// Address and port of the sender.
    pub(crate) source: SocketAddr,
    /// Group, or address of the receiver, and its port.
    pub(crate) destination: SocketAddr,
}

impl Route {
    /// Returns the route of answers.
    pub(super) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// Session of a line.
#[derive(Clone, Debug)]
pub(crate) struct LineSession {
    /// Session of the messages.
    pub(crate) session: SessionId,
    /// Sequences of the line alone.
    pub(crate) tracker: SequenceTracker,
    /// Number of datagrams, with heartbeats and ends of session.
    pub(crate) datagrams: u64,
    /// Number of messages, with duplicates.
    pub(crate) messages: u64,
    /// Number of bytes of all datagrams' payloads, as they were sent.
    pub(crate) bytes: u64,
    /// Number of heartbeats.
    pub(crate) heartbeats: u64,
    /// Number of ends of session.
    pub(crate) ends: u64,
    /// Number of datagrams that the capture has cut.
    pub(crate) cut_datagrams: u64,
    /// Number of messages that the capture has cut.
    pub(crate) cut_messages: u64,
    /// Times of the first and the last datagram, in nanoseconds since 1970.
    pub(crate) seen: (u64, u64),
    /// Messages over time.
    pub(crate) received: Timeline,
    /// Highest number of messages in a second.
    pub(crate) rate: PeakRate,
    /// Stream of the session.
    pub(super) membership: Membership,
}

impl LineSession {
    fn new(session: SessionId, begin: u64, at: u64) -> Self {
        Self {
            session,
            tracker: SequenceTracker::default(),
            datagrams: 0,
            messages: 0,
            bytes: 0,
            heartbeats: 0,
            ends: 0,
            cut_datagrams: 0,
            cut_messages: 0,
            seen: (at, at),
            received: Timeline::new(begin),
            rate: PeakRate::default(),
            membership: Membership::NEW,
        }
    }

    /// Counts the messages of a datagram.
    pub(super) fn count(&mut self, span: DatagramSpan, at: u64) {
        self.datagrams += 1;
        self.seen = (self.seen.0.min(at), self.seen.1.max(at));
        self.messages += span.held;
        if span.held > 0 {
            self.received.add(at, span.held);
            self.rate.add(at, span.held);
        }
        self.tracker.take(span, at, &mut |_| {});
    }

    /// Returns the index of the session's stream.
    pub(crate) fn stream(&self) -> Option<usize> {
        match self.membership {
            Membership::Member { stream, .. } => Some(stream),
            _ => None,
        }
    }
}

/// Maximum number of sessions of a line; datagrams of further ones count as not MoldUDP64.
const SESSIONS_MAX: usize = 16;

/// Datagrams of one route.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Source and destination.
    pub(crate) route: Route,
    /// Sessions, in the order of their first datagrams.
    pub(crate) sessions: Vec<LineSession>,
    /// Number of requests for messages, which a client sends.
    pub(crate) requests: u64,
    /// Number of messages that the requests name.
    pub(crate) requested: u64,
    /// True if the line is the answers to requests.
    pub(crate) answers: bool,
    /// Session of the last datagram.
    current: usize,
}

impl Line {
    pub(super) fn new(route: Route) -> Self {
        let sessions = Vec::new();
        Self { route, sessions, requests: 0, requested: 0, answers: false, current: 0 }
    }

    /// Returns the index of a session, which is added if it is new; `None` if there are too many.
    pub(super) fn session(&mut self, session: SessionId, begin: u64, at: u64) -> Option<usize> {
        let is_current = |held: &LineSession| held.session == session;
        if !self.sessions.get(self.current).is_some_and(is_current) {
            self.current = match self.sessions.iter().position(is_current) {
                Some(place) => place,
                None if self.sessions.len() >= SESSIONS_MAX => return None,
                None => {
                    self.sessions.push(LineSession::new(session, begin, at));
                    self.sessions.len() - 1
                }
            };
        }
        Some(self.current)
    }

    /// Returns the number of MoldUDP64 datagrams.
    pub(super) fn datagrams(&self) -> u64 {
        let downstream: u64 = self.sessions.iter().map(|session| session.datagrams).sum();
        downstream + self.requests
    }
}
