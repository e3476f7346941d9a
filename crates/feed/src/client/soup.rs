//! SoupBinTCP lines: one connection each, which logs in at the lowest missing sequence.
//!
//! A SoupBinTCP connection delivers every message from its login on, in order, so a line has no
//! gaps of its own: after a break it logs in again at the next sequence. Nothing can be requested
//! beside the stream. [`stream`] is one connection without a recorder; this module connects it with
//! the session, the ledger and the line.

mod receive;
mod stream;
mod violation;

pub use violation::SoupViolation;

pub(super) use stream::SoupStream;

use super::connection::{ClientConnection, ConnectionState};
use super::lines::SoupLogin;
use super::timers::{LOGIN_WAIT, LOGOUT_WAIT, backoff};
use super::{Recorder, RecorderEvent};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::ledger::Sink;
use crate::wire::soup::{RejectReason, Text};
use crate::wire::{Info, SessionId, VERSION};
use core::time::Duration;
use stream::{Accepted, Requested};

/// Counters of a SoupBinTCP line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SoupStats {
    /// Logins that the exchange has accepted.
    pub logins: u32,
    /// Logins that the exchange has rejected.
    pub rejects: u32,
    /// Reason of the latest rejection, if no login was accepted since.
    pub rejection: Option<RejectReason>,
    /// Acceptances with another sequence than the requested one.
    pub moved: u32,
    /// Connections that were given up because the exchange sent no packet for too long.
    pub silences: u32,
    /// Heartbeats of the exchange.
    pub heartbeats: u64,
    /// Packets that mean nothing to a recording: debug texts, unsequenced messages, unknown types.
    pub skipped: u64,
}

/// Session and first message that the next login requests. After each login that is rejected
/// because the session is not available, the next choice is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LoginChoice {
    /// Lowest missing message of the session that is recorded, or of the current one as long as
    /// there is none.
    Recorded,
    /// Lowest missing message of the current session. Its acceptance shows whether another session
    /// has replaced the recorded one.
    Current,
    /// End of the stream, because the exchange may not have the missing message yet. One that has
    /// restarted, and is behind, accepts and repeats some messages. Message 1 is never requested
    /// so, because every exchange has it or will send it next.
    Latest,
}

impl LoginChoice {
    /// Returns the choice after a rejection.
    const fn next(self) -> Self {
        match self {
            Self::Recorded => Self::Current,
            Self::Current => Self::Latest,
            Self::Latest => Self::Recorded,
        }
    }
}

/// State of a SoupBinTCP line over all its connections.
#[derive(Debug)]
pub(super) struct SoupLine {
    login: SoupLogin,
    choice: LoginChoice,
    /// Recorded session as this line's exchange names it.
    name: Option<Text<10>>,
    /// Lowest sequence that the exchange serves.
    served_from: Seq,
    /// Number of consecutive acceptances with another sequence than the requested one.
    moved: u32,
    /// Number of consecutive ends of the session before a message that is known to exist.
    early_ends: u32,
    /// Number of consecutive connections that were cut for a violation before a new message.
    violations: u32,
    /// Time of the first rejection since the last acceptance, and the number of rejections.
    rejected: Option<(Duration, u32)>,
}

impl SoupLine {
    /// Returns the state of a line that has no connection yet.
    pub(super) fn new(login: SoupLogin) -> Self {
        Self {
            login,
            choice: LoginChoice::Recorded,
            name: None,
            served_from: FIRST_SEQ,
            moved: 0,
            early_ends: 0,
            violations: 0,
            rejected: None,
        }
    }

    /// Returns whether the exchange has violated the protocol on more than `retries` connections in
    /// a row.
    pub(super) fn has_violations(&self, retries: u32) -> bool {
        self.violations > retries
    }
}

/// Returns the name of a session in a login request.
fn name_of(session: SessionId) -> Text<10> {
    Text::from_padded(&session.padded())
}

impl Recorder {
    /// Sends the login on a connection that was opened.
    pub(super) fn log_in(&mut self, at: usize, now: Duration) {
        let id = usize::from(self.conns[at].line);
        let Some(soup) = &self.lines[id].soup else { return };
        let login = soup.login;
        let recorded = || soup.name.or(self.session.map(name_of)).unwrap_or(Text::BLANK);
        let session = match soup.choice {
            _ if !login.session.is_blank() => login.session,
            LoginChoice::Recorded => recorded(),
            LoginChoice::Current | LoginChoice::Latest => Text::BLANK,
        };
        let missing = self.lowest_missing(soup.served_from);
        let sequence = match soup.choice {
            LoginChoice::Latest if missing > FIRST_SEQ => None,
            _ => Some(missing),
        };
        let requested = Requested { session, sequence };
        let conn = &mut self.conns[at];
        conn.described = true;
        if let Some(stream) = conn.wire.soup() {
            stream.log_in(&login, requested, now, &mut conn.outbox.0);
        }
    }

    /// Returns the lowest sequence from `from` on that is not recorded and not abandoned.
    fn lowest_missing(&self, from: Seq) -> Seq {
        let beyond = self.ledger.highest() + 1;
        let gaps = self.ledger.gaps().ranges().filter_map(|gap| gap.from(from));
        let mut wanted = gaps.filter(|gap| !self.abandoned.covers(*gap));
        wanted.next().map_or(beyond, SeqRange::first).max(from)
    }

    /// Returns whether a SoupBinTCP line has reported the end of its session and nothing is missing
    /// before it, so that another login would deliver nothing.
    pub(super) fn has_whole_soup_session(&self, id: u16) -> bool {
        let line = &self.lines[usize::from(id)];
        let end = line.session_end.filter(|_| line.soup.is_some());
        end.is_some_and(|end| self.lowest_missing(FIRST_SEQ) > end)
    }

    /// Handles an accepted login.
    ///
    /// # Errors
    /// Returns a violation if the session or the sequence cannot be true.
    fn on_login_accepted(
        &mut self,
        at: usize,
        requested: Requested,
        accepted: Accepted,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Result<(), SoupViolation> {
        let id = self.conns[at].line;
        let announced = SessionId::new(accepted.session.right_padded());
        let session = self.as_recorded(announced);
        let line = &mut self.lines[usize::from(id)];
        let Some(soup) = &mut line.soup else { return Ok(()) };
        if !soup.login.session.is_blank() && requested.session != accepted.session {
            let (requested, accepted) = (requested.session, accepted.session);
            return Err(SoupViolation::AcceptedSession { requested, accepted });
        }
        soup.rejected = None;
        let sequence = accepted.sequence;
        let info = Info { session, version: VERSION, first: FIRST_SEQ, last: sequence - 1 };
        line.stats.info = Some(info);
        self.note(RecorderEvent::LoggedIn { line: id, session: announced, sequence });
        if self.expected_session().is_some_and(|known| known != session) {
            self.set_line_aside(at, session, now);
            return Ok(());
        }
        let line = &mut self.lines[usize::from(id)];
        line.stats.other_session = None;
        let Some(soup) = &mut line.soup else { return Ok(()) };
        soup.name = Some(accepted.session);
        soup.choice = LoginChoice::Recorded;
        let served_from = soup.served_from;
        let wanted = requested.sequence.unwrap_or_else(|| self.lowest_missing(served_from));
        let is_as_requested = match requested.sequence {
            Some(requested) => sequence == requested,
            None => sequence <= wanted,
        };
        let line = &mut self.lines[usize::from(id)];
        let Some(soup) = &mut line.soup else { return Ok(()) };
        if !is_as_requested {
            // One wrong acceptance would give every message behind it a wrong sequence, so it is
            // believed only if the exchange insists on it.
            line.stats.soup.moved += 1;
            soup.moved += 1;
            let is_believed = soup.moved > self.options.retries;
            self.note(RecorderEvent::LoginMoved {
                line: id,
                requested: wanted,
                accepted: sequence,
            });
            if !is_believed {
                self.cut_soup(at, now);
                return Ok(());
            }
        }
        if let Some(soup) = &mut self.lines[usize::from(id)].soup {
            soup.moved = 0;
        }
        self.begin_soup_stream(at, wanted, info, now, sink)
    }

    /// Begins to record the messages behind an acceptance that is believed.
    fn begin_soup_stream(
        &mut self,
        at: usize,
        wanted: Seq,
        info: Info,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Result<(), SoupViolation> {
        let (conn, before) = (self.conns[at].id, info.last);
        if before >= wanted && !self.accept_claimed_end(at, before) {
            return Err(SoupViolation::AcceptedSequence(before + 1));
        }
        let stream = &mut self.conns[at];
        (stream.track.position, stream.subscribed_after) = (before, before);
        stream.last_useful = now;
        self.on_session_reported(at, info, now, sink);
        // Messages of an unknown session may have been forgotten, so that the login is repeated.
        let Some(at) = self.find(conn) else { return Ok(()) };
        if before >= wanted {
            // The exchange does not serve the messages before its acceptance.
            self.ledger.close_tail(now, sink);
            if let Some(soup) = &mut self.lines[usize::from(self.conns[at].line)].soup {
                soup.served_from = before + 1;
            }
        }
        Ok(())
    }

    /// Returns a session by the name that the recording has for it. The exercise's protocol
    /// announces a shortened name of a session whose name is longer than four characters.
    pub(super) fn as_recorded(&self, announced: SessionId) -> SessionId {
        let is_short_for = |short: SessionId, long: SessionId| {
            long.short().is_none() && short.short() == Some(long.shortened())
        };
        match self.expected_session() {
            Some(known) if is_short_for(known, announced) => known,
            Some(known) if is_short_for(announced, known) => known,
            _ => announced,
        }
    }

    /// Handles a rejected login. A wrong user or password will not become right, so the line is
    /// given up then. A session that is not available may become so: the login is repeated.
    fn on_login_rejected(&mut self, at: usize, reason: RejectReason, now: Duration) {
        let id = self.conns[at].line;
        let line = &mut self.lines[usize::from(id)];
        let Some(soup) = &mut line.soup else { return };
        line.stats.soup.rejects += 1;
        line.stats.soup.rejection = Some(reason);
        let (since, tries) = soup.rejected.map_or((now, 1), |(since, tries)| (since, tries + 1));
        soup.rejected = Some((since, tries));
        soup.choice = soup.choice.next();
        let is_final = reason == RejectReason::NotAuthorized;
        if is_final || now.saturating_sub(since) >= self.options.timeout {
            line.stats.given_up = true;
            line.streams_to_open = 0;
        } else {
            line.retry_at = line.retry_at.max(now + backoff(tries));
            line.streams_to_open = 1;
        }
        let given_up = line.stats.given_up;
        self.remove(at);
        self.note(RecorderEvent::LoginRejected { line: id, reason });
        if given_up {
            self.note(RecorderEvent::LineGivenUp { line: id });
        }
    }

    /// Closes a connection at once, or sends a logout request and goes on reading for a moment, in
    /// which the exchange closes the connection.
    pub(super) fn log_out_or_close(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        let Some(stream) = conn.wire.soup() else { return };
        match conn.state {
            ConnectionState::Connecting => drop(self.remove(at)),
            ConnectionState::Draining { .. } => {}
            ConnectionState::Open => {
                if !stream.log_out(now, &mut conn.outbox.0) {
                    return drop(self.remove(at));
                }
                let until = now + LOGOUT_WAIT;
                conn.state = ConnectionState::Draining { until, hard: until };
            }
        }
    }

    /// Returns the maximum time that an exchange may take to answer a login.
    pub(super) fn login_wait(&self) -> Duration {
        LOGIN_WAIT.min(self.options.timeout)
    }

    /// Returns whether a line may still deliver missing messages from `lowest` on: it is connected
    /// below them, or will log in there.
    pub(super) fn may_stream(&self, id: u16, lowest: Seq) -> bool {
        let line = &self.lines[usize::from(id)];
        let Some(soup) = &line.soup else { return false };
        let serves = soup.served_from <= lowest
            && line.session_end.is_none()
            && !line.stats.given_up
            && line.stats.other_session.is_none();
        let mut streams =
            self.conns.iter().filter(|conn| conn.line == id && conn.is_stream()).peekable();
        serves
            && (streams.peek().is_none()
                || streams.any(|conn: &ClientConnection| conn.track.position < lowest))
    }
}
