//! Next steps of a recorder: connections, resend requests, further passes, the end.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::{ConnId, Output, Recorder};
use crate::client::timers::{STREAM_LAG, STREAM_SILENCE};
use crate::ledger::Sink;
use core::time::Duration;

impl Recorder {
    /// Does what the state calls for after an input.
    pub(super) fn advance(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(stopping) = self.stopping {
            return self.finish_stopped(stopping, now, sink);
        }
        if self.lines.len() > 1 {
            self.update_believed_end(now, sink);
        }
        self.adopt_session_if_settled(now, sink);
        self.report_new_end(now, sink);
        for at in 0..self.conns.len() {
            if self.conns[at].role == ConnectionRole::Resend
                && self.conns[at].state == ConnectionState::Open
            {
                self.restart_stalled_sweep(at, now);
            }
        }
        if self.options.follow {
            return self.advance_following(now, sink);
        }
        if self.is_every_stream_silent(now) {
            self.ledger.close_tail(now, sink);
        }
        if self.passes.complete > 0 {
            self.close_useless_resends(u32::MAX, now);
        }
        self.open_connections(now);
        let streams = self.conns.iter().filter(|conn| conn.streams());
        // A stream that still delivers packets may go beyond the end that was reported.
        let alone = self.lines.len() == 1;
        let mut live = streams.clone().filter(|conn| {
            let position = conn.track.position;
            let goes_on = position >= self.ledger.highest() && now < conn.last_useful + STREAM_LAG;
            goes_on || alone && position == 0 && now < conn.last_useful + STREAM_SILENCE
        });
        if self.is_complete() && live.next().is_none() && !self.awaits_other_description(now) {
            self.adopt_session_and_finish(None, now, sink);
        } else if streams.count() == 0 && self.lines.iter().all(|line| line.streams_to_open == 0) {
            self.between_passes(now, sink);
        }
    }

    /// Opens the streams that are due and the resend connections that are wanted.
    pub(super) fn open_connections(&mut self, now: Duration) {
        for id in 0..self.lines.len() {
            let line = &self.lines[id];
            if line.stats.given_up || now < line.retry_at {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "there are at most 65 536 lines")]
            let id16 = id as u16;
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
        self.conns.push(ClientConnection::new(conn, line, role, now));
        self.outputs.push_back(Output::Connect { conn, line });
        conn
    }
}
