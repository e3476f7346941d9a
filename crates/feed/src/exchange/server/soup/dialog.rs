//! Dialog of a connection in SoupBinTCP: packets of the client, heartbeats and timeouts.

use super::event::{SoupEvent, SoupTimeout, SoupViolation};
use super::plan::PlanContext;
use super::{LOGIN_TIMEOUT, SoupConnection, Stage};
use crate::base::seq::Seq;
use crate::exchange::Step;
use crate::exchange::server::connection::{ConnectionBase, Dialog};
use crate::exchange::server::control::ConnectionPosition;
use crate::exchange::server::soup::plan::Stream;
use crate::exchange::server::{MockExchange, ServerEvent, SlowTreatment};
use crate::faults::scenario::SlowSubscriberPolicy;
use crate::tape::pace::STEP;
use crate::tape::source::TapeSource;
use crate::wire::Protocol;
use crate::wire::soup::{
    DecodeError, LoginRequest, Packet, RawPacket, Received, RejectReason, kind,
};
use core::time::Duration;

/// Packet of a client, as far as an exchange cares.
#[derive(Clone, Copy)]
enum ClientPacket {
    Login(Result<LoginRequest, DecodeError>),
    Logout,
    /// Packet that keeps the connection alive, and may be sent at any time.
    Alive,
    Unsequenced,
    /// Packet of another type, to be skipped.
    Other(u8),
}

impl ClientPacket {
    fn of(raw: &RawPacket<'_>) -> Self {
        match (raw.kind(), raw.decode()) {
            (kind::LOGIN_REQUEST, Ok(Packet::LoginRequest(request))) => Self::Login(Ok(request)),
            (kind::LOGIN_REQUEST, Err(error)) => Self::Login(Err(error)),
            (kind::LOGOUT_REQUEST, _) => Self::Logout,
            (kind::CLIENT_HEARTBEAT | kind::DEBUG, _) => Self::Alive,
            (kind::UNSEQUENCED, _) => Self::Unsequenced,
            (kind, _) => Self::Other(kind),
        }
    }
}

impl<P: TapeSource> MockExchange<P> {
    /// Queues an event of a connection for the driver.
    pub(super) fn report_soup(&mut self, conn: &SoupConnection, event: SoupEvent) {
        self.report(ServerEvent::Soup { connection: conn.base.number(), event });
    }

    /// Takes a packet of the client.
    fn take_packet(&mut self, conn: &mut SoupConnection, packet: ClientPacket, now: Duration) {
        let is_login = matches!(conn.stage, Stage::Login);
        match packet {
            ClientPacket::Login(Ok(request)) if is_login => self.take_login(conn, request, now),
            ClientPacket::Login(Err(error)) if is_login => {
                // A number that is none names no sequence of a session.
                if matches!(error, DecodeError::Number { .. }) {
                    self.stats.soup.rejects += 1;
                    conn.plan.push(&Packet::LoginRejected(RejectReason::SessionNotAvailable));
                }
                self.note_violation(conn, SoupViolation::Login(error));
            }
            ClientPacket::Login(_) => self.note_violation(conn, SoupViolation::SecondLogin),
            ClientPacket::Logout => {
                conn.end();
                self.report_soup(conn, SoupEvent::LoggedOut);
            }
            ClientPacket::Alive => {}
            ClientPacket::Unsequenced | ClientPacket::Other(_) if is_login => {
                let kind = match packet {
                    ClientPacket::Other(kind) => kind,
                    _ => kind::UNSEQUENCED,
                };
                self.note_violation(conn, SoupViolation::BeforeLogin { kind });
            }
            ClientPacket::Unsequenced => self.stats.soup.unsequenced += 1,
            ClientPacket::Other(_) => {}
        }
    }

    /// Ends the connection of a client that has sent something illegal.
    fn note_violation(&mut self, conn: &mut SoupConnection, violation: SoupViolation) {
        self.stats.soup.violations += 1;
        if !matches!(conn.stage, Stage::Login) {
            conn.plan.clear();
        }
        conn.stage = Stage::Over;
        self.report_soup(conn, SoupEvent::Violation(violation));
    }

    /// Returns the silence for which a connection ends now, if there is one.
    fn timeout_of(conn: &SoupConnection, now: Duration) -> Option<SoupTimeout> {
        match &conn.stage {
            Stage::Login if now >= conn.base.traffic.opened + LOGIN_TIMEOUT => {
                Some(SoupTimeout::Login)
            }
            Stage::Streaming(stream) if now >= conn.heard + stream.timeout => {
                Some(SoupTimeout::Heartbeat)
            }
            _ => None,
        }
    }

    /// Cuts off a client of a live session that is too far behind, if the scenario says so.
    /// SoupBinTCP has no way to leave messages out.
    fn cut_slow_client(&mut self, conn: &mut SoupConnection) {
        let SlowSubscriberPolicy::Cut(most) = self.scenario.slow else { return };
        let Some(next) = conn.next_seq() else { return };
        let behind = (self.tape().last() + 1).saturating_sub(next);
        let Stage::Streaming(stream) = &mut conn.stage else { return };
        let is_behind = behind > Seq::from(most);
        // A client that has never been up to date catches up with earlier messages.
        stream.caught_up |= !is_behind;
        if is_behind && stream.caught_up {
            conn.end();
            let (connection, packets) = (conn.base.number(), behind);
            self.stats.skipped += behind;
            let treatment = SlowTreatment::CutOff;
            self.report(ServerEvent::Slow { connection, packets, treatment });
        }
    }

    /// Makes the plan of a connection, and fills a write with it.
    fn fill_soup(&mut self, conn: &mut SoupConnection, out: &mut [u8], now: Duration) -> usize {
        let Self { tapes, faults, scenario, stats, .. } = self;
        let mut context = PlanContext { tape: &mut tapes[0], faults, pace: scenario.pace, now };
        if let Stage::Streaming(stream) = &mut conn.stage {
            stats.soup.withheld += conn.plan.refill(stream, &mut context);
        }
        match conn.fill(&mut context, out) {
            Ok(count) => count,
            Err(seq) => {
                conn.stop_messages();
                self.report_soup(conn, SoupEvent::MessageTooLong { seq });
                0
            }
        }
    }

    /// Adds the heartbeat that is due to the plan. Returns whether there is one.
    fn add_heartbeat(&mut self, conn: &mut SoupConnection, now: Duration) -> bool {
        let is_due = matches!(conn.stage, Stage::Streaming(_))
            && conn.is_up_to_date()
            && now >= conn.heartbeat_at;
        if !is_due {
            return false;
        }
        conn.heartbeat_at = Stream::heartbeat_after(now);
        if self.faults.drops_heartbeats(Protocol::Soup, conn.base.index) {
            self.stats.soup.withheld += 1;
            return false;
        }
        conn.plan.push(&Packet::ServerHeartbeat);
        true
    }
}

impl<P: TapeSource> Dialog<P> for SoupConnection {
    fn base(&self) -> &ConnectionBase {
        &self.base
    }

    fn base_mut(&mut self) -> &mut ConnectionBase {
        &mut self.base
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn receive(&mut self, exchange: &mut MockExchange<P>, bytes: &[u8], now: Duration) {
        self.heard = now;
        let mut rest = bytes;
        // Bytes after the exchange's end are discarded.
        while !matches!(self.stage, Stage::Over) && !self.base.closing.has_ended() {
            let packet = match self.framer.next(&mut rest) {
                Ok(Some(Received::Other(raw))) => ClientPacket::of(&raw),
                Ok(Some(Received::Sequenced(_))) => ClientPacket::Other(kind::SEQUENCED),
                Ok(None) => return,
                Err(error) => {
                    return exchange.note_violation(self, SoupViolation::Frame(error));
                }
            };
            exchange.take_packet(self, packet, now);
        }
    }

    fn input_ended(&mut self) {
        // A client that sends no more heartbeats has left.
        self.end();
    }

    fn peek(&mut self, exchange: &mut MockExchange<P>, out: &mut [u8], now: Duration) -> usize {
        if let Stage::Postponed { request, until } = self.stage
            && now >= until
        {
            exchange.answer_login(self, &request, now);
        }
        self.adopt_faults(exchange.faults.version());
        exchange.cut_slow_client(self);
        match exchange.fill_soup(self, out, now) {
            0 if exchange.add_heartbeat(self, now) => exchange.fill_soup(self, out, now),
            count => count,
        }
    }

    fn sent(&mut self, exchange: &mut MockExchange<P>, count: usize, now: Duration) {
        let MockExchange { tapes, faults, scenario, stats, .. } = exchange;
        let mut context = PlanContext { tape: &mut tapes[0], faults, pace: scenario.pace, now };
        let counts = self.advance(&mut context, count);
        stats.packets += counts.messages;
        stats.soup.messages += counts.messages;
        stats.soup.heartbeats += counts.heartbeats;
        stats.soup.ends += counts.ends;
    }

    fn step(&mut self, exchange: &mut MockExchange<P>, now: Duration) -> Step {
        if let Some(step) = self.base.lingering_step(now) {
            return step;
        }
        if let Some(timeout) = MockExchange::<P>::timeout_of(self, now) {
            exchange.stats.soup.timeouts += 1;
            self.end();
            self.base.closing.finish(now);
            exchange.report_soup(self, SoupEvent::TimedOut(timeout));
            // The client is not there to close its side.
            return Step::Close;
        }
        if !matches!(self.stage, Stage::Over) || !self.plan.actions.is_empty() {
            return Step::Wait;
        }
        self.base.closing.finish(now);
        Step::Finish
    }

    fn deadline(&self, exchange: &mut MockExchange<P>) -> Option<Duration> {
        let held = self.base.held_until;
        let patience = match &self.stage {
            Stage::Login => Some(self.base.traffic.opened + LOGIN_TIMEOUT),
            Stage::Postponed { until, .. } => Some(*until),
            Stage::Streaming(stream) => Some(self.heard + stream.timeout),
            Stage::Over => None,
        };
        let next = match &self.stage {
            Stage::Streaming(stream) if self.is_up_to_date() => {
                let MockExchange { tapes, faults, scenario, .. } = exchange;
                let tape = &mut tapes[0];
                let (growth, now) = (tape.grows_at(), self.base.traffic.active);
                let mut context = PlanContext { tape, faults, pace: scenario.pace, now };
                let due = stream.next_due(&mut context).map(|due| due.max(now + STEP));
                growth.into_iter().chain(due).chain([self.heartbeat_at]).min()
            }
            _ => held,
        };
        next.into_iter().chain(patience).min()
    }

    fn is_idle(&self) -> bool {
        match self.stage {
            Stage::Login | Stage::Postponed { .. } => true,
            Stage::Streaming(_) => false,
            Stage::Over => self.plan.actions.is_empty(),
        }
    }

    fn drop_pending(&mut self) {
        self.end();
    }

    fn position(&self) -> ConnectionPosition {
        let kind = match self.stage {
            Stage::Login | Stage::Postponed { .. } => "login",
            Stage::Streaming(_) => "subscriber",
            Stage::Over => "idle",
        };
        ConnectionPosition { kind, next: self.next_seq() }
    }
}
