//! Session that packets are of. A packet does not carry its session; the exchange reports it in its
//! description. What is known of one connection holds for the other connections of the same line
//! that were open at the same time, because an exchange that restarts with another session loses
//! all its connections.

use super::Recorder;
use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::LineState;
use super::session_payload::SessionPayload;
use super::{Output, RecorderEvent};
use crate::base::seq::SeqSet;
use crate::client::timers::{SESSION_WAIT, STREAM_LAG};
use crate::ledger::{Origin, Sink, Source};
use crate::wire::{Info, SessionId};
use alloc::vec::Vec;
use core::time::Duration;

/// Period in which a line's exchange is known to have played one session without interruption.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContactPeriod {
    session: SessionId,
    from: Duration,
    to: Duration,
}

impl ContactPeriod {
    /// Extends the period by a time in which some connection was open, if the two overlap. Returns
    /// whether they do.
    fn joins(&mut self, from: Duration, to: Duration) -> bool {
        let joins = from <= self.to && self.from <= to;
        if joins {
            (self.from, self.to) = (self.from.min(from), self.to.max(to));
        }
        joins
    }
}

/// Stream that ended before the session was adopted.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedStream {
    pass: u32,
    from: Duration,
    to: Duration,
    /// Session of the stream, once it is known.
    session: Option<SessionId>,
}

impl Recorder {
    /// Handles bytes of a connection, which show that its exchange is alive.
    pub(super) fn on_heard(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        conn.last_input = now;
        if let Some(contact) = &mut self.lines[usize::from(conn.line)].contact
            && conn.session.is_none()
            && contact.joins(conn.opened(), now)
        {
            conn.session = Some(contact.session);
        }
    }

    /// Returns whether packets of a connection are of the recorded session, as far as that can be
    /// known: an exchange of the original protocol reports no session. A session of messages that
    /// are no order packets has none of them.
    pub(super) fn is_of_session(&self, conn: &ClientConnection) -> bool {
        if self.payload == SessionPayload::Messages {
            return false;
        }
        match conn.session {
            None => self.session.is_none() && !self.options.follow,
            session => session == self.expected_session(),
        }
    }

    /// Returns the session that is recorded, or will be once it is adopted.
    pub(super) fn expected_session(&self) -> Option<SessionId> {
        self.session.or(self.proposed.map(|info| info.session))
    }

    /// Returns whether no line has shown that it is an exchange, neither by a packet, nor by a
    /// description, nor by the orderly end of a stream. A user who expects an empty session may
    /// have given the address of a peer that accepts connections and never sends anything.
    pub(super) fn has_no_sign_of_exchange(&self) -> bool {
        let described = self.lines.iter().any(|line| line.stats.info.is_some());
        self.ledger.highest() == 0 && self.passes.complete == 0 && !described
    }

    /// Returns whether the recording is of a known session and the line has not reported which one
    /// it plays.
    pub(super) fn lacks_session(&self, line: &LineState) -> bool {
        self.session.is_some() && line.stats.info.is_none()
    }

    /// Restarts the wait for a description when a line sends its first bytes. If the session is
    /// known, an exchange of the extension describes it with these bytes or soon after.
    pub(super) fn on_first_bytes(&mut self, at: usize, now: Duration) {
        if self.session.is_some() {
            let conn = &self.conns[at];
            let by = now + SESSION_WAIT.max(conn.rtt * 5 / 4);
            let line = &mut self.lines[usize::from(conn.line)];
            line.describe_deadline = line.describe_deadline.map(|_| by);
        }
    }

    /// Returns whether a line may still turn out to play another session whose packets it has
    /// delivered, or describe more of this one. A line that delivers nothing does not keep the
    /// others waiting.
    pub(super) fn awaits_other_description(&self, now: Duration) -> bool {
        let may_differ = |(id, line): (u16, &LineState)| {
            let delivers =
                line.stats.packets > 0 || self.silent_from(id).is_some_and(|by| now < by);
            delivers && self.may_describe(line, now)
        };
        self.lines.len() > 1 && (0u16..).zip(&self.lines).any(may_differ)
    }

    /// Returns the time from which a line that delivers nothing is not waited for.
    pub(super) fn silent_from(&self, id: u16) -> Option<Duration> {
        let conns = self.conns.iter().filter(|conn| conn.line == id);
        let open = conns.filter(|conn| !matches!(conn.state, ConnectionState::Draining { .. }));
        open.map(|conn| conn.last_useful + STREAM_LAG).max()
    }

    /// Remembers a stream that has ended, so that its packets can be attributed to a session later.
    pub(super) fn keep_ended_stream(&mut self, conn: &ClientConnection) {
        let ConnectionRole::Stream { pass } = conn.role else { return };
        if self.session.is_none() && conn.track.delivered > 0 {
            let stream = EndedStream {
                pass,
                from: conn.opened(),
                to: conn.last_input,
                session: conn.session,
            };
            self.lines[usize::from(conn.line)].ended_streams.push(stream);
        }
    }

    /// Handles the report of an exchange that it plays the recorded session, or the first session
    /// of all.
    pub(super) fn on_session_reported(
        &mut self,
        at: usize,
        info: Info,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        self.attribute_to_session(at, info.session, now);
        if self.session.is_some() {
            return self.report_session(info, &[], now, sink);
        }
        let last = self.proposed.map_or(0, |before| before.last).max(info.last);
        self.proposed = Some(Info { last, ..info });
        self.adopt_session_if_settled(now, sink);
    }

    /// Handles a datagram that is of the recorded session, or of the first session of all.
    pub(super) fn on_session_heard(&mut self, info: Info, now: Duration, sink: &mut impl Sink) {
        if self.session.is_some() {
            return self.report_session(info, &[], now, sink);
        }
        let last = self.proposed.map_or(0, |before| before.last);
        self.proposed = Some(Info { last, ..info });
        self.adopt_session(now, sink);
    }

    /// Adopts the proposed session, unless another line delivers packets, or will soon, and may
    /// still report that they are of the same session.
    pub(super) fn adopt_session_if_settled(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.proposed.is_none() {
            return;
        }
        let streams = |id: u16| self.conns.iter().any(|conn| conn.line == id && conn.is_stream());
        let may_object = |(id, line): (u16, &LineState)| {
            (line.stats.packets > 0 || streams(id)) && self.may_describe(line, now)
        };
        let waits = self.lines.len() > 1 && !self.options.follow;
        if !(waits && (0u16..).zip(&self.lines).any(may_object)) {
            self.adopt_session(now, sink);
        }
    }

    /// Makes the proposed session the recorded one. Packets that are not known to be of it are
    /// requested again.
    pub(super) fn adopt_session(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(info) = self.proposed.take() else { return };
        self.session = Some(info.session);
        let attributed = self.origins_of(info.session);
        self.report_session(info, &attributed, now, sink);
    }

    /// Reports the session to the sink, with an end that all lines agree on. A lying line's claim
    /// must not outlive the recording in its file.
    fn report_session(
        &mut self,
        info: Info,
        attributed: &[Origin],
        now: Duration,
        sink: &mut impl Sink,
    ) {
        self.reported_end = self.reported_end.max(self.described_by_all(now));
        let unattributed =
            sink.on_session(Info { last: self.reported_end, ..info }, attributed, now);
        self.forget_unattributed(&unattributed, now, sink);
    }

    /// Reports the end of the session to the sink again once lines agree on a higher one.
    pub(super) fn report_new_end(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(session) = self.session.filter(|_| self.described_by_all(now) > self.reported_end)
        else {
            return;
        };
        let mut descriptions = self.lines.iter().filter_map(|line| line.stats.info);
        if let Some(info) = descriptions.find(|info| info.session == session) {
            self.report_session(info, &[], now, sink);
        }
    }

    /// Forgets packets that are not known to be of the session, so that they are requested again.
    fn forget_unattributed(&mut self, unattributed: &SeqSet, now: Duration, sink: &mut impl Sink) {
        if unattributed.is_empty() {
            return;
        }
        self.ledger.forget(unattributed, now, sink);
        // A sequence that only those packets have shown is no longer known to exist.
        let highest = self.ledger.highest();
        self.resumed_at = self.resumed_at.min(highest);
        for line in &mut self.lines {
            line.resender.restart_sweep();
            line.highest = line.highest.min(highest);
        }
        self.conns.iter_mut().for_each(|conn| conn.answered_up_to = 0);
        self.requests.retry_all();
        self.log_in_again(now);
        let packets = unattributed.count();
        self.outputs.push_back(Output::Note(RecorderEvent::PacketsForgotten { packets }));
    }

    /// Attributes the other connections of a line to the session that was reported on one of them.
    fn attribute_to_session(&mut self, at: usize, session: SessionId, now: Duration) {
        let (id, opened) = (self.conns[at].line, self.conns[at].opened());
        let line = &mut self.lines[usize::from(id)];
        let contact = line.contact.get_or_insert(ContactPeriod { session, from: opened, to: now });
        if contact.session != session || !contact.joins(opened, now) {
            *contact = ContactPeriod { session, from: opened, to: now };
        }
        self.conns[at].session = Some(session);
        // Each connection that overlaps the period extends it, and others may overlap it then.
        let mut found = true;
        while core::mem::take(&mut found) {
            for conn in self.conns.iter_mut().filter(|conn| conn.line == id && conn.was_opened()) {
                if conn.session.is_none() && contact.joins(conn.opened(), conn.last_input) {
                    conn.session = Some(session);
                    found = true;
                }
            }
            for stream in line.ended_streams.iter_mut().filter(|stream| stream.session.is_none()) {
                if contact.joins(stream.from, stream.to) {
                    stream.session = Some(session);
                    found = true;
                }
            }
        }
    }

    /// Returns the origins of this run whose packets are known to be of a session.
    fn origins_of(&mut self, session: SessionId) -> Vec<Origin> {
        let session_id = Some(session);
        let streams = self.conns.iter().filter(|conn| conn.role != ConnectionRole::Resend);
        let streams = streams.filter(|conn| conn.session == session_id);
        let mut attributed: Vec<Origin> = streams.map(ClientConnection::origin).collect();
        for (id, line) in (0u16..).zip(&mut self.lines) {
            let origin = |source| Origin { line: id, source };
            let ended = line.ended_streams.drain(..).filter(|stream| stream.session == session_id);
            attributed.extend(ended.map(|stream| origin(Source::Stream { pass: stream.pass })));
            // An origin does not say which connection delivered a resend, so one unattributed
            // answer spoils all.
            if line.contact.is_some_and(|contact| contact.session == session)
                && !line.unattributed_answers
            {
                attributed.push(origin(Source::Resend));
            }
        }
        attributed
    }
}
