//! Which session packets are of. A packet does not tell; its exchange does, when it describes
//! itself, and what is known of one connection holds for others of the same line while both were
//! open: an exchange that restarts with another session loses all its connections.

use super::Recorder;
use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::LineState;
use super::{IncompleteReason, Output, RecorderEvent};
use crate::base::seq::SeqSet;
use crate::client::recovery::{LAG, TOLD_WAIT};
use crate::ledger::{Origin, Sink, Source};
use crate::wire::{Info, SessionId};
use alloc::vec::Vec;
use core::time::Duration;

/// Time in which a line's exchange is known to have played one session without interruption.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContactPeriod {
    session: SessionId,
    from: Duration,
    to: Duration,
}

impl ContactPeriod {
    /// Takes in a time in which some connection was open, if it was during the spell.
    fn joins(&mut self, from: Duration, to: Duration) -> bool {
        let joins = from <= self.to && self.from <= to;
        if joins {
            (self.from, self.to) = (self.from.min(from), self.to.max(to));
        }
        joins
    }
}

/// A stream that has ended before the session was settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedConnection {
    pass: u32,
    from: Duration,
    to: Duration,
    /// The session that it was of, once that is known.
    told: Option<SessionId>,
}

impl Recorder {
    /// Something came on a connection: its exchange is alive.
    pub(super) fn heard(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        conn.heard = now;
        if let Some(spell) = &mut self.lines[usize::from(conn.line)].spell
            && conn.session.is_none()
            && spell.joins(conn.opened(), now)
        {
            conn.session = Some(spell.session);
        }
    }

    /// Whether packets of a connection are of the session that is recorded, as far as anybody can
    /// know: an exchange of the original protocol tells nothing.
    pub(super) fn is_believed(&self, conn: &ClientConnection) -> bool {
        match conn.session {
            None => self.session.is_none() && !self.options.follow,
            session => session == self.told_session(),
        }
    }

    /// The session that is recorded, or will be.
    pub(super) fn told_session(&self) -> Option<SessionId> {
        self.session.or(self.proposed.map(|info| info.session))
    }

    /// Returns whether no line has shown that it is an exchange, neither by a packet, nor by
    /// describing itself, nor by ending a stream in order. A user who knows that the session is
    /// empty may have given the address of a peer that accepts connections and never says a word.
    pub(super) fn nothing_shown(&self) -> bool {
        let described = self.lines.iter().any(|line| line.stats.info.is_some());
        self.ledger.highest() == 0 && self.passes.complete == 0 && !described
    }

    /// Whether what a connection brings is of the session that is recorded.
    pub(super) fn is_ours(&self, at: usize) -> bool {
        self.is_believed(&self.conns[at])
    }

    /// Whether the recording is of a known session, and a line has not told which one it plays.
    pub(super) fn is_untold(&self, line: &LineState) -> bool {
        self.session.is_some() && line.stats.info.is_none()
    }

    /// A line has brought its first bytes. If the recording is of a known session, those of an
    /// exchange that speaks the extension describe it, or others soon will.
    pub(super) fn first_heard(&mut self, at: usize, now: Duration) {
        if self.session.is_some() {
            let conn = &self.conns[at];
            let by = now + TOLD_WAIT.max(conn.rtt * 5 / 4);
            let line = &mut self.lines[usize::from(conn.line)];
            line.describe_by = line.describe_by.map(|_| by);
        }
    }

    /// Whether a line may yet turn out to play another session, of which it has brought packets, or
    /// describe more of this one. One that brings nothing does not keep the others waiting.
    pub(super) fn strangers(&self, now: Duration) -> bool {
        let strange = |(id, line): (u16, &LineState)| {
            let comes = line.stats.packets > 0 || self.tells_by(id).is_some_and(|by| now < by);
            comes && self.undescribed(line, now)
        };
        self.lines.len() > 1 && (0u16..).zip(&self.lines).any(strange)
    }

    /// Returns when a line that brings nothing is no longer waited for.
    pub(super) fn tells_by(&self, id: u16) -> Option<Duration> {
        let conns = self.conns.iter().filter(|conn| conn.line == id);
        let open = conns.filter(|conn| !matches!(conn.state, ConnectionState::Draining { .. }));
        open.map(|conn| conn.active + LAG).max()
    }

    /// A connection has ended.
    pub(super) fn leaves_untold(&mut self, conn: &ClientConnection) {
        let ConnectionRole::Stream { pass } = conn.role else { return };
        if self.session.is_none() && conn.track.delivered > 0 {
            let stream =
                EndedConnection { pass, from: conn.opened(), to: conn.heard, told: conn.session };
            self.lines[usize::from(conn.line)].ended.push(stream);
        }
    }

    /// An exchange has told that it plays the session that is recorded, or the first session of
    /// all.
    pub(super) fn session_told(
        &mut self,
        at: usize,
        info: Info,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        self.vouch(at, info.session, now);
        if self.session.is_some() {
            return self.note_session(info, &[], now, sink);
        }
        let last = self.proposed.map_or(0, |before| before.last).max(info.last);
        self.proposed = Some(Info { last, ..info });
        self.settle_in_time(now, sink);
    }

    /// Settles the session, unless another line brings packets, or will at once, and may yet tell
    /// that they are of the same one.
    pub(super) fn settle_in_time(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.proposed.is_none() {
            return;
        }
        let streams = |id: u16| self.conns.iter().any(|conn| conn.line == id && conn.streams());
        let tells = |(id, line): (u16, &LineState)| {
            (line.stats.packets > 0 || streams(id)) && self.undescribed(line, now)
        };
        let waits = self.lines.len() > 1 && !self.options.follow;
        if !(waits && (0u16..).zip(&self.lines).any(tells)) {
            self.settle_session(now, sink);
        }
    }

    /// Ends the recording, unless it turns out that some of it is to be asked for again.
    pub(super) fn finish_settled(
        &mut self,
        why: Option<IncompleteReason>,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let recorded = self.ledger.recorded();
        self.settle_session(now, sink);
        match self.ledger.recorded() == recorded {
            true => self.finish(why, now),
            false => self.advance(now, sink),
        }
    }

    /// Makes the session that was told the one that is recorded. What is not known to be of it is
    /// asked for again.
    pub(super) fn settle_session(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(info) = self.proposed.take() else { return };
        self.session = Some(info.session);
        let vouched = self.vouched(info.session);
        self.note_session(info, &vouched, now, sink);
    }

    /// Tells the sink of the session, as far as all lines agree that it reaches: one line's word
    /// must not outlive the recording in its file.
    fn note_session(
        &mut self,
        info: Info,
        vouched: &[Origin],
        now: Duration,
        sink: &mut impl Sink,
    ) {
        self.noted = self.noted.max(self.described_by_all(now));
        let distrusted = sink.on_session(Info { last: self.noted, ..info }, vouched, now);
        self.distrust(&distrusted, now, sink);
    }

    /// Tells the sink how far the session reaches once lines agree on more than they did.
    pub(super) fn note_reach(&mut self, now: Duration, sink: &mut impl Sink) {
        let Some(session) = self.session.filter(|_| self.described_by_all(now) > self.noted) else {
            return;
        };
        let mut told = self.lines.iter().filter_map(|line| line.stats.info);
        if let Some(info) = told.find(|info| info.session == session) {
            self.note_session(info, &[], now, sink);
        }
    }

    fn distrust(&mut self, distrusted: &SeqSet, now: Duration, sink: &mut impl Sink) {
        if distrusted.is_empty() {
            return;
        }
        self.ledger.forget(distrusted, now, sink);
        // What was seen only there is no longer known to exist.
        let highest = self.ledger.highest();
        self.resumed_at = self.resumed_at.min(highest);
        for line in &mut self.lines {
            line.asker.rewind();
            line.highest = line.highest.min(highest);
        }
        self.conns.iter_mut().for_each(|conn| conn.settled = 0);
        let packets = distrusted.count();
        self.outputs.push_back(Output::Note(RecorderEvent::Distrusted { packets }));
    }

    /// Finds what else of a line is of the session that was told on one of its connections.
    fn vouch(&mut self, at: usize, session: SessionId, now: Duration) {
        let (id, opened) = (self.conns[at].line, self.conns[at].opened());
        let line = &mut self.lines[usize::from(id)];
        let spell = line.spell.get_or_insert(ContactPeriod { session, from: opened, to: now });
        if spell.session != session || !spell.joins(opened, now) {
            *spell = ContactPeriod { session, from: opened, to: now };
        }
        self.conns[at].session = Some(session);
        // What joins the spell makes it longer, and others may join it then.
        let mut found = true;
        while core::mem::take(&mut found) {
            for conn in self.conns.iter_mut().filter(|conn| conn.line == id && conn.is_open()) {
                if conn.session.is_none() && spell.joins(conn.opened(), conn.heard) {
                    conn.session = Some(session);
                    found = true;
                }
            }
            for stream in line.ended.iter_mut().filter(|stream| stream.told.is_none()) {
                if spell.joins(stream.from, stream.to) {
                    stream.told = Some(session);
                    found = true;
                }
            }
        }
    }

    /// The origins in this run whose packets are known to be of a session.
    fn vouched(&mut self, session: SessionId) -> Vec<Origin> {
        let told = Some(session);
        let streams = self.conns.iter().filter(|conn| conn.role != ConnectionRole::Resend);
        let streams = streams.filter(|conn| conn.session == told);
        let mut vouched: Vec<Origin> = streams.map(ClientConnection::origin).collect();
        for (id, line) in (0u16..).zip(&mut self.lines) {
            let origin = |source| Origin { line: id, source };
            let ended = line.ended.drain(..).filter(|stream| stream.told == told);
            vouched.extend(ended.map(|stream| origin(Source::Stream { pass: stream.pass })));
            // Answers to resend calls do not tell which connection brought them.
            if line.spell.is_some_and(|spell| spell.session == session) && !line.untold_answers {
                vouched.push(origin(Source::Resend));
            }
        }
        vouched
    }
}
