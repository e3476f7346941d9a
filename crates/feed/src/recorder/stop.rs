//! Stopping early: which connections may be closed at once, and which must be waited for.

use super::connection::State;
use super::line::Dialect;
use super::{Note, Recorder, Why};
use crate::ledger::Sink;
use core::time::Duration;

impl Recorder {
    /// Stops the recording because the user wants that. The first call waits for connections to an
    /// exchange that may be an original, and records what they still bring; the second closes them.
    pub(super) fn stop(&mut self, now: Duration) {
        if core::mem::replace(&mut self.stopping, true) {
            (0..self.conns.len()).rev().for_each(|at| drop(self.remove(at)));
            return;
        }
        self.close_or_drain(true, now);
        let limits = self.conns.iter().filter_map(|conn| match conn.state {
            State::Draining { hard, .. } => Some(hard),
            _ => None,
        });
        if let Some(limit) = limits.max() {
            self.note(Note::Stopping { wait: limit.saturating_sub(now) });
        }
    }

    /// Ends a stopped recording once its last connection is closed.
    pub(super) fn finish_stopped(&mut self, now: Duration, sink: &mut impl Sink) {
        // An exchange may have described itself meanwhile.
        self.close_or_drain(true, now);
        if self.conns.is_empty() {
            self.settle_session(now, sink);
            let whole = self.whole() && !self.options.follow && !self.strangers(now);
            self.drop_denied(now, sink);
            self.finish((!whole).then_some(Why::Stopped), now);
        }
    }

    /// Closes every connection that may be closed without notice, and half-closes the others.
    /// `early`: the exchange may still be sending, which only an original must be allowed to end.
    pub(super) fn close_or_drain(&mut self, early: bool, now: Duration) {
        for at in (0..self.conns.len()).rev() {
            let conn = &self.conns[at];
            let ours = self.lines[usize::from(conn.line)].dialect == Dialect::Extended;
            let open = conn.state == State::Open;
            if open {
                self.tally_feed(at);
            }
            let conn = &self.conns[at];
            // A reset kills an original, and nothing else; and nothing can be reset that is not yet
            // open.
            let harmless = conn.state == State::Connecting
                || ours && (early || open && self.owes_nothing(conn));
            if harmless {
                self.remove(at);
            } else if open {
                self.drain(at, now);
            }
        }
    }
}
