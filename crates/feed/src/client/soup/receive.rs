//! Packets of SoupBinTCP connections: messages go to the ledger, violations end a connection.

use super::stream::SoupEvent;
use super::{LoginChoice, SoupStream, SoupViolation};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::client::alignment::GARBAGE_FRAMES_MAX;
use crate::client::connection::{ConnectionState, ConnectionWire};
use crate::client::outcome::UndecodableError;
use crate::client::{ConnId, Recorder, RecorderEvent};
use crate::ledger::{Sink, StopReason, StreamPosition, TakeResult};
use crate::wire::Run;
use core::time::Duration;

impl Recorder {
    /// Handles bytes of a SoupBinTCP connection.
    pub(in crate::client) fn soup_received(
        &mut self,
        id: ConnId,
        mut stream: SoupStream,
        bytes: &[u8],
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let mut rest = bytes;
        while self.outcome.is_none() {
            let Some(at) = self.find(id) else { return };
            // A connection to another session is read on, but not believed.
            if self.conns[at].garbage_run > GARBAGE_FRAMES_MAX {
                stream.leave();
            }
            let offset = stream.offset();
            match stream.next(&mut rest, now) {
                Ok(None) => break,
                Ok(Some(event)) => self.on_soup_event(at, event, offset, now, sink),
                Err(violation) => self.on_soup_violation(at, offset, violation, now),
            }
        }
        if let Some(at) = self.find(id) {
            self.conns[at].wire = ConnectionWire::Soup(stream);
        }
    }

    /// Handles an event of a SoupBinTCP connection. `offset` is where its packet begins.
    fn on_soup_event(
        &mut self,
        at: usize,
        event: SoupEvent<'_>,
        offset: u64,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let line = usize::from(self.conns[at].line);
        let stats = &mut self.lines[line].stats.soup;
        match event {
            SoupEvent::Accepted(requested, accepted) => {
                stats.logins += 1;
                stats.rejection = None;
                if let Err(violation) = self.on_login_accepted(at, requested, accepted, now, sink) {
                    self.on_soup_violation(at, offset, violation, now);
                }
            }
            SoupEvent::Rejected(reason) => self.on_login_rejected(at, reason, now),
            SoupEvent::Messages(run) => {
                if let Err(violation) = self.take_messages(at, run, now, sink) {
                    self.on_soup_violation(at, offset, violation, now);
                }
            }
            SoupEvent::Heartbeat => stats.heartbeats += 1,
            SoupEvent::Skipped => stats.skipped += 1,
            SoupEvent::End { last } => self.on_soup_end(at, last, now),
        }
    }

    /// Takes messages that have arrived into the ledger.
    ///
    /// # Errors
    /// Returns a violation if the messages cannot be of the recorded session.
    fn take_messages(
        &mut self,
        at: usize,
        run: Run<'_>,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Result<(), SoupViolation> {
        self.payload = self.payload.after(&run);
        let range = run.range();
        // Messages that repeat recorded ones are compared first: if they differ, the exchange has
        // numbered those behind them wrongly, too.
        let known = SeqRange::new(range.first(), range.last().min(self.ledger.highest()));
        for part in [known, range.from(self.ledger.highest() + 1)].into_iter().flatten() {
            let Some(run) = run.part(part) else { continue };
            let (taken, violation) = self.take_part(at, run, now, sink);
            self.count_taken(at, taken);
            let conn = &mut self.conns[at];
            if taken.fresh > 0 {
                conn.last_useful = now;
                if let Some(soup) = &mut self.lines[usize::from(conn.line)].soup {
                    (soup.violations, soup.early_ends) = (0, 0);
                }
            }
            if let Some(violation) = violation {
                return Err(violation);
            }
            if taken.conflicts > 0 {
                return Err(SoupViolation::Conflict(part.first()));
            }
            match taken.stop {
                None => {}
                // Too many gaps are open to open another one. If the exchange serves them by now,
                // there are fewer.
                Some(StopReason::Crowded) => {
                    let line = usize::from(self.conns[at].line);
                    if let Some(soup) = &mut self.lines[line].soup {
                        soup.served_from = FIRST_SEQ;
                    }
                    self.cut_soup(at, now);
                    return Ok(());
                }
                Some(_) => {
                    self.violations.implausible += 1;
                    self.violations.first_implausible.get_or_insert(part.first());
                    self.cut_soup(at, now);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes messages into the ledger, as order packets if the session's messages are such.
    fn take_part(
        &mut self,
        at: usize,
        run: Run<'_>,
        now: Duration,
        sink: &mut impl Sink,
    ) -> (TakeResult, Option<SoupViolation>) {
        let plausible = self.highest_plausible(&self.lines[usize::from(self.conns[at].line)]);
        let conn = &self.conns[at];
        let (origin, mut track) = (conn.origin(), StreamPosition { plausible, ..conn.track });
        let (taken, foreign) = self.take_numbered(run, origin, &mut track, now, sink);
        self.conns[at].track = track;
        (taken, foreign.map(SoupViolation::NotAnOrderPacket))
    }

    /// Handles the end of the session. An end before a message that is known to exist is believed
    /// only if the exchange insists on it.
    fn on_soup_end(&mut self, at: usize, last: Seq, now: Duration) {
        let known = self.highest_shown().max(self.ledger.end().unwrap_or(0));
        let line = &mut self.lines[usize::from(self.conns[at].line)];
        let Some(soup) = &mut line.soup else { return };
        if last < known && soup.early_ends < self.options.retries {
            soup.early_ends += 1;
            return self.cut_soup(at, now);
        }
        if self.accept_claimed_end(at, last) {
            self.on_session_over(self.conns[at].line, last, now);
        }
    }

    /// Handles a violation: counts it, cuts the connection, and gives the line up after too many.
    fn on_soup_violation(
        &mut self,
        at: usize,
        offset: u64,
        violation: SoupViolation,
        now: Duration,
    ) {
        self.violations.undecodable += 1;
        let error = UndecodableError::Soup(violation);
        self.violations.first_undecodable.get_or_insert((offset, error));
        let id = self.conns[at].line;
        self.cut_soup(at, now);
        let line = &mut self.lines[usize::from(id)];
        let Some(soup) = &mut line.soup else { return };
        soup.violations += 1;
        soup.choice = LoginChoice::Recorded;
        if soup.has_violations(self.options.retries) && !line.stats.given_up {
            line.stats.given_up = true;
            line.streams_to_open = 0;
            self.note(RecorderEvent::LineGivenUp { line: id });
        }
    }

    /// Handles a connection whose exchange has not answered the login, or has sent no packet, for
    /// too long.
    pub(in crate::client) fn on_soup_silence(&mut self, at: usize, now: Duration) {
        self.lines[usize::from(self.conns[at].line)].stats.soup.silences += 1;
        self.cut_soup(at, now);
    }

    /// Closes a connection that cannot be believed, or that is of no more use; the line logs in
    /// again. A reset harms no exchange that speaks SoupBinTCP, so nothing is waited for.
    pub(super) fn cut_soup(&mut self, at: usize, now: Duration) {
        let conn = self.remove(at);
        self.stats.failures += 1;
        if conn.state == ConnectionState::Open {
            self.on_subscription_ended(conn.summary(), now);
        }
    }

    /// Logs in again on the connections that stand above a message that is missing again.
    pub(in crate::client) fn log_in_again(&mut self, now: Duration) {
        for at in (0..self.conns.len()).rev() {
            let conn = &self.conns[at];
            let Some(soup) = &self.lines[usize::from(conn.line)].soup else { continue };
            let is_behind = self.lowest_missing(soup.served_from) <= conn.track.position;
            if is_behind && conn.state == ConnectionState::Open {
                self.cut_soup(at, now);
            }
        }
    }

    /// Sends a heartbeat on a connection if one is due.
    pub(in crate::client) fn send_client_heartbeat(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        if let Some(stream) = conn.wire.soup() {
            stream.send_heartbeat(now, &mut conn.outbox.0);
        }
    }
}
