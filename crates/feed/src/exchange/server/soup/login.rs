//! Answers to login requests.

use super::event::{RejectCause, SoupEvent};
use super::plan::{Flow, LoginOutcome, Stream};
use super::{CLIENT_TIMEOUT, CLIENT_TIMEOUT_MIN, SoupConnection, Stage};
use crate::base::seq::{FIRST_SEQ, Seq};
use crate::exchange::server::MockExchange;
use crate::exchange::server::users::Turn;
use crate::faults::scenario::{Direction, FaultPlace};
use crate::tape::pace::{Pace, StreamClock};
use crate::tape::source::TapeSource;
use crate::wire::SessionId;
use crate::wire::soup::{
    END_OF_STREAM, HeartbeatTimeout, LENGTH_MAX, LoginAccepted, LoginRequest, Packet, RejectReason,
    Text,
};
use core::time::Duration;

/// Returns the timeout of a connection: the one of the login request, or the common one.
fn client_timeout(requested: Option<HeartbeatTimeout>) -> Duration {
    let requested = requested.map(HeartbeatTimeout::as_duration).filter(|time| !time.is_zero());
    requested.map_or(CLIENT_TIMEOUT, |time| time.max(CLIENT_TIMEOUT_MIN))
}

/// Returns a session's id as a field.
fn session_field(id: SessionId) -> Text<10> {
    Text::from_padded(&id.padded())
}

impl<P: TapeSource> MockExchange<P> {
    /// Answers a login request now, or later if its address has sent wrong passwords.
    pub(super) fn take_login(
        &mut self,
        conn: &mut SoupConnection,
        request: LoginRequest,
        now: Duration,
    ) {
        match self.users.turn(conn.base.client, now) {
            Turn::Now => self.answer_login(conn, &request, now),
            Turn::At(until) => {
                self.stats.soup.slowed += 1;
                conn.stage = Stage::Postponed { request, until };
            }
            Turn::Never => {
                self.stats.soup.slowed += 1;
                conn.end();
                self.report_soup(conn, SoupEvent::Unanswered);
            }
        }
    }

    /// Answers a login request.
    pub(super) fn answer_login(
        &mut self,
        conn: &mut SoupConnection,
        request: &LoginRequest,
        now: Duration,
    ) {
        let first = match self.check_login(conn, request, now) {
            Ok(first) => first,
            Err((reason, cause)) => return self.reject_login(conn, request, reason, cause),
        };
        let run_id = conn.run_id(FaultPlace::Login, 0);
        let outcome = conn.plan.add_faults(&mut self.faults, run_id, 0);
        match outcome {
            LoginOutcome { ended: true, .. } => conn.stage = Stage::Over,
            LoginOutcome { reject: Some(reason), .. } => {
                self.reject_login(conn, request, reason, RejectCause::Fault);
            }
            LoginOutcome { shift, copies, .. } => {
                let first = self.shifted(first, shift);
                self.accept_login(conn, request, (first, copies), now);
            }
        }
    }

    /// Returns the first message of a login, or why it is rejected.
    fn check_login(
        &mut self,
        conn: &SoupConnection,
        request: &LoginRequest,
        now: Duration,
    ) -> Result<Seq, (RejectReason, RejectCause)> {
        if !self.users.is_right(&request.user, &request.password) {
            self.users.note_wrong(conn.base.client, now);
            self.stats.soup.wrong_passwords += 1;
            return Err((RejectReason::NotAuthorized, RejectCause::Password));
        }
        let unavailable = |cause| (RejectReason::SessionNotAvailable, cause);
        let session = session_field(self.tape().session());
        if !request.session.is_blank() && request.session != session {
            return Err(unavailable(RejectCause::Session(request.session)));
        }
        let (requested, next) = (request.sequence, self.tape().last() + 1);
        if requested == END_OF_STREAM {
            return Ok(next);
        }
        // A client that expects a later message was served by an exchange that has more of the
        // session. Accepted from here on, it would count the messages wrongly.
        let first = Seq::try_from(requested).ok().filter(|first| *first <= next);
        first.ok_or(unavailable(RejectCause::Sequence { requested, next }))
    }

    /// Returns the sequence that a login is accepted from.
    fn shifted(&self, first: Seq, shift: Option<(u32, Direction)>) -> Seq {
        match shift {
            None => first,
            Some((by, Direction::Later)) => {
                first.saturating_add(by.into()).min(self.tape().last() + 1)
            }
            Some((by, Direction::Earlier)) => first.saturating_sub(by.into()).max(FIRST_SEQ),
        }
    }

    fn accept_login(
        &mut self,
        conn: &mut SoupConnection,
        request: &LoginRequest,
        (first, copies): (Seq, u32),
        now: Duration,
    ) {
        let session = session_field(self.tape().session());
        let accepted = LoginAccepted { session, sequence: first };
        (0..=copies).for_each(|_| conn.plan.push(&Packet::LoginAccepted(accepted)));
        let pass = u32::try_from(self.stats.streams).unwrap_or(u32::MAX);
        self.stats.streams += 1;
        self.stats.soup.logins += 1;
        // A live session has a pace of its own.
        let is_live = !self.tape().over();
        conn.framer.set_limit(LENGTH_MAX);
        conn.fault_version = self.faults.version();
        conn.heartbeat_at = Stream::heartbeat_after(now);
        conn.stage = Stage::Streaming(Stream {
            run_id: conn.run_id(FaultPlace::Stream, pass),
            next: first,
            clock: StreamClock::new(first),
            began: now,
            pace: is_live.then_some(Pace::Unlimited),
            timeout: client_timeout(request.heartbeat_timeout),
            flow: Flow::Open,
            mask: None,
            caught_up: false,
        });
        self.report_soup(conn, SoupEvent::LoggedIn { user: request.user, first });
    }

    fn reject_login(
        &mut self,
        conn: &mut SoupConnection,
        request: &LoginRequest,
        reason: RejectReason,
        cause: RejectCause,
    ) {
        self.stats.soup.rejects += 1;
        conn.plan.push(&Packet::LoginRejected(reason));
        conn.stage = Stage::Over;
        self.report_soup(conn, SoupEvent::Rejected { user: request.user, reason, cause });
    }
}
