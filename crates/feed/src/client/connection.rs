//! Connections of a recorder, from the attempt to connect to their end.
//!
//! The framer is part of the connection, so that half a packet is discarded with it and never
//! joined to bytes of the next connection.

use super::line::Dialect;
use super::resend::FAILED_DESCRIBES_MAX;
use super::soup::SoupStream;
use super::timers::{BACKOFF_MIN, DESCRIBE_WAIT, SESSION_WAIT, backoff};
use super::{ConnId, Output, PassEnd, Recorder, RecorderEvent};
use crate::base::seq::Seq;
use crate::ledger::{Origin, Source, StreamPosition};
use crate::wire::{Call, Framer, Protocol, SessionId, VERSION};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionRole {
    /// Requests the stream (or a subscription) and reads it.
    Stream { pass: u32 },
    /// Requests the description and resends.
    Resend,
}

/// State of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionState {
    /// Not open yet.
    Connecting,
    /// Open in both directions.
    Open,
    /// Half-closed by us: remaining bytes are read until the peer ends its side or time is up.
    Draining {
        /// Time at which the connection is closed if it stays silent.
        until: Duration,
        /// Time at which the connection is closed in any case.
        hard: Duration,
    },
}

/// Connection of a recorder to the exchange of one line.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) id: ConnId,
    pub(super) line: u16,
    pub(super) role: ConnectionRole,
    pub(super) state: ConnectionState,
    pub(super) wire: ConnectionWire,
    pub(super) outbox: Outbox,
    /// Time at which connecting began.
    pub(super) connecting_since: Duration,
    /// Time that connecting took.
    pub(super) rtt: Duration,
    /// Time at which the connection last delivered something useful, or was asked for something
    /// while idle.
    pub(super) last_useful: Duration,
    pub(super) track: StreamPosition,
    /// Sequence before the first one of the subscription.
    pub(super) subscribed_after: Seq,
    /// Number of packets requested.
    pub(super) requested: u64,
    /// Number of requested packets that were answered or refused.
    pub(super) answered: u64,
    /// Sequence up to which every request of this sweep is answered, or its answer was missed.
    pub(super) answered_up_to: Seq,
    /// Number of packets that were recorded from this connection.
    pub(super) new_packets: u64,
    /// Number of consecutive undecodable frames.
    pub(super) garbage_run: u32,
    /// Sequence of the latest packet that was not believed since torn bytes arrived, `Seq::MAX`
    /// before the first; `None` while the connection is known to be aligned.
    pub(super) misaligned: Option<Seq>,
    /// True once a describe call was sent.
    pub(super) described: bool,
    /// Session that the exchange plays, once it is known.
    pub(super) session: Option<SessionId>,
    /// Time of the last input.
    pub(super) last_input: Duration,
    /// True if ranges were requested before the describe call was answered.
    pub(super) requested_early: bool,
}

impl ClientConnection {
    pub(super) fn new(
        id: ConnId,
        line: u16,
        role: ConnectionRole,
        wire: ConnectionWire,
        now: Duration,
    ) -> Self {
        Self {
            id,
            line,
            role,
            state: ConnectionState::Connecting,
            wire,
            outbox: Outbox::default(),
            connecting_since: now,
            rtt: Duration::ZERO,
            last_useful: now,
            track: StreamPosition::default(),
            subscribed_after: 0,
            requested: 0,
            answered: 0,
            answered_up_to: 0,
            new_packets: 0,
            garbage_run: 0,
            misaligned: None,
            described: false,
            session: None,
            last_input: now,
            requested_early: false,
        }
    }

    /// Returns the origin of the packets that the connection delivers.
    pub(super) fn origin(&self) -> Origin {
        let source = match self.role {
            ConnectionRole::Stream { pass } => Source::Stream { pass },
            ConnectionRole::Resend => Source::Resend,
        };
        Origin { line: self.line, source }
    }

    /// Returns the number of requested packets that are not answered yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.requested.saturating_sub(self.answered)
    }

    /// Returns the figures that count once the connection is over.
    pub(super) fn summary(&self) -> ConnectionSummary {
        ConnectionSummary {
            line: self.line,
            role: self.role,
            described: self.described,
            requested: self.requested > 0,
            answered: self.answered,
            unanswered: self.in_flight() > 0,
            new_packets: self.new_packets,
            delivered: self.track.delivered,
            span: self.track.position.saturating_sub(self.subscribed_after),
        }
    }

    /// Returns whether the connection was ever opened.
    pub(super) fn was_opened(&self) -> bool {
        self.state != ConnectionState::Connecting
    }

    /// Returns the time at which the connection was opened.
    pub(super) fn opened(&self) -> Duration {
        self.connecting_since + self.rtt
    }

    /// Returns whether the connection is a stream that is connecting or open.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.role, ConnectionRole::Stream { .. })
            && !matches!(self.state, ConnectionState::Draining { .. })
    }
}

/// Figures of a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionSummary {
    pub(super) line: u16,
    pub(super) role: ConnectionRole,
    pub(super) described: bool,
    pub(super) requested: bool,
    pub(super) answered: u64,
    pub(super) unanswered: bool,
    pub(super) new_packets: u64,
    pub(super) delivered: u64,
    /// Number of sequences that the stream passed through.
    pub(super) span: u64,
}

impl Recorder {
    /// Opens the streams that are due and the resend connections that are wanted.
    pub(super) fn open_connections(&mut self, now: Duration) {
        for id in 0..self.lines.len() {
            let line = &self.lines[id];
            if line.stats.given_up || now < line.retry_at {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "there are at most 65 536 lines")]
            let id16 = id as u16;
            if line.mold.is_some() {
                self.join(id16, now);
                continue;
            }
            if self.has_whole_soup_session(id16) {
                continue;
            }
            for _ in 0..core::mem::take(&mut self.lines[id].streams_to_open) {
                self.connect(id16, ConnectionRole::Stream { pass: 0 }, now);
            }
            // A line that plays another session has no packets of this one.
            if self.lines[id].stats.other_session.is_none()
                && self.wants_resend_connection(id16, now)
            {
                self.lines[id].resend = Some(self.connect(id16, ConnectionRole::Resend, now));
            }
        }
    }

    /// Begins to connect to a line.
    fn connect(&mut self, line: u16, role: ConnectionRole, now: Duration) -> ConnId {
        let conn = self.next_conn;
        self.next_conn += 1;
        let wire = match self.lines[usize::from(line)].stats.protocol {
            Protocol::Betacrew => ConnectionWire::Frames(Framer::default()),
            // Lines of MoldUDP64 have no connections.
            Protocol::Soup | Protocol::Mold => ConnectionWire::Soup(SoupStream::new()),
        };
        self.conns.push(ClientConnection::new(conn, line, role, wire, now));
        self.outputs.push_back(Output::Connect { conn, line });
        conn
    }

    /// Handles an opened connection: sends its first calls.
    pub(super) fn connected(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        conn.last_input = now;
        let line = &mut self.lines[usize::from(conn.line)];
        conn.state = ConnectionState::Open;
        conn.rtt = now.saturating_sub(conn.connecting_since);
        conn.last_useful = now;
        line.connect_failures = None;
        line.stats.unreachable_since = None;
        line.stats.reached = true;
        self.stats.connections += 1;
        if let ConnectionRole::Stream { pass } = &mut conn.role {
            self.passes_started += 1;
            *pass = self.passes_started;
            if line.dialect == Dialect::Soup {
                return self.log_in(at, now);
            }
            // A subscription is requested only after the description, whose range it depends on.
            if self.options.follow {
                Call::Describe { version: VERSION }.encode(&mut conn.outbox.0);
                conn.described = true;
            } else {
                // An exchange of the extension describes the session first, so that the packets can
                // be attributed to it.
                if line.dialect == Dialect::Extended {
                    Call::Describe { version: VERSION }.encode(&mut conn.outbox.0);
                    conn.described = true;
                }
                Call::Stream.encode(&mut conn.outbox.0);
            }
            let (line, pass) = (conn.line, *pass);
            self.note(RecorderEvent::PassBegan { line, pass });
            return;
        }
        // The sweep goes on where the last connection left it.
        conn.answered_up_to = line.resender.cursor - 1;
        // An exchange of the extension answers extended calls only on connections that have sent a
        // describe call, so the call is needed on each of them, however many ended before it was
        // answered.
        let needs_extension =
            self.options.follow || line.dialect == Dialect::Extended || self.session.is_some();
        if !self.options.classic
            && (needs_extension || line.failed_describes < FAILED_DESCRIBES_MAX)
            && line.dialect != Dialect::Classic
        {
            Call::Describe { version: VERSION }.encode(&mut conn.outbox.0);
            conn.described = true;
            let wait = match (self.session.is_some(), line.stats.last_heard.is_some()) {
                (false, _) => DESCRIBE_WAIT,
                (true, true) => SESSION_WAIT,
                // An exchange that is slow to begin may play our session: it gets as much time as
                // any other.
                (true, false) => self.options.timeout.max(SESSION_WAIT),
            };
            // A quarter of a round trip more than the answer takes, for jitter.
            line.describe_deadline.get_or_insert(now + wait.max(conn.rtt * 5 / 4));
        }
    }

    /// Handles a connection that could not be opened.
    pub(super) fn connect_failed(&mut self, at: usize, now: Duration) {
        let conn = self.remove(at);
        self.stats.failures += 1;
        let line = &mut self.lines[usize::from(conn.line)];
        match conn.role {
            ConnectionRole::Stream { .. } => line.streams_to_open += 1,
            ConnectionRole::Resend => line.resend = None,
        }
        if line.stats.given_up {
            // A line that is given up is not opened again.
            line.streams_to_open = 0;
            return;
        }
        if line.retry_at > now {
            // The other connection of the line has just failed too, and counts once.
            return;
        }
        let (since, tries) = line
            .connect_failures
            .map_or((conn.connecting_since, 1), |(since, tries)| (since, tries + 1));
        line.connect_failures = Some((since, tries));
        line.stats.unreachable_since = Some(since);
        let note = if now.saturating_sub(since) >= self.options.timeout {
            line.stats.given_up = true;
            line.streams_to_open = 0;
            RecorderEvent::LineGivenUp { line: conn.line }
        } else {
            let pause = backoff(tries);
            line.retry_at = now + pause;
            RecorderEvent::Unreachable { line: conn.line, pause }
        };
        self.note(note);
    }

    /// Handles the end of a connection: the peer closed it, or it broke.
    pub(super) fn closed(&mut self, at: usize, broken: bool, now: Duration) {
        self.conns[at].last_input = now;
        let conn = self.remove(at);
        self.stats.failures += u32::from(broken);
        if self.outcome.is_some() || matches!(conn.state, ConnectionState::Draining { .. }) {
            return;
        }
        let summary = conn.summary();
        match summary.role {
            ConnectionRole::Stream { .. } if self.options.follow => {
                self.on_subscription_ended(summary, now);
            }
            ConnectionRole::Stream { .. } if broken || conn.wire.has_partial_frame() => {
                self.on_pass_cut_off(summary, now);
            }
            ConnectionRole::Stream { .. } => self.on_pass_complete(summary, PassEnd::Complete),
            ConnectionRole::Resend => self.on_resend_closed(summary, now),
        }
    }

    /// Stops believing a connection that sends garbage, and half-closes it.
    pub(super) fn cut(&mut self, at: usize, now: Duration) {
        self.stats.failures += 1;
        self.outputs.push_back(Output::Finish(self.conns[at].id));
        // Bytes that it still sends must not keep the connection open for long.
        self.conns[at].state =
            ConnectionState::Draining { until: now + BACKOFF_MIN, hard: now + BACKOFF_MIN };
        let summary = self.conns[at].summary();
        match summary.role {
            ConnectionRole::Stream { .. } if self.options.follow => {
                self.on_subscription_ended(summary, now);
            }
            ConnectionRole::Stream { .. } => self.on_pass_cut_off(summary, now),
            ConnectionRole::Resend => {
                self.lines[usize::from(summary.line)].resend = None;
                self.on_resend_failed(summary, now);
            }
        }
    }

    /// Forgets a connection and has the driver close it.
    pub(super) fn remove(&mut self, at: usize) -> ClientConnection {
        let conn = self.conns.remove(at);
        self.keep_ended_stream(&conn);
        self.outputs.push_back(Output::Drop(conn.id));
        conn
    }
}

/// Bytes that wait for a connection's socket. `Debug` does not show them, because a login request
/// has a password in it.
#[derive(Default)]
pub(super) struct Outbox(pub(super) Vec<u8>);

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Decoder of what a connection receives, in the protocol of its line.
#[derive(Debug)]
pub(super) enum ConnectionWire {
    /// Frames of the exercise's protocol.
    Frames(Framer),
    /// Packets of SoupBinTCP.
    Soup(SoupStream),
}

impl ConnectionWire {
    /// Returns the SoupBinTCP stream, if the connection is one.
    pub(super) fn soup(&mut self) -> Option<&mut SoupStream> {
        match self {
            Self::Frames(_) => None,
            Self::Soup(stream) => Some(stream),
        }
    }

    /// Returns whether a frame of the exercise's protocol was begun and not finished.
    fn has_partial_frame(&self) -> bool {
        matches!(self, Self::Frames(framer) if framer.has_partial_frame())
    }
}
