//! Sink that reports the gaps of a recording to the HTTP address.

use crate::http::ClientMonitor;
use feed::base::seq::{SeqRange, SeqSet};
use feed::ledger::{Origin, Sink};
use feed::wire::{Info, Messages};
use std::time::Duration;

/// Sink that forwards everything to another sink and reports gaps to the HTTP address.
pub(crate) struct GapObserver<'a, S> {
    /// Sink that records.
    pub(crate) sink: S,
    /// State of the client that the HTTP address shows.
    pub(crate) history: &'a ClientMonitor<'a>,
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl<S: Sink> Sink for GapObserver<'_, S> {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        self.history.on_messages(origin, messages);
        self.sink.on_messages(origin, messages, now);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.history.on_messages(origin, messages);
        self.sink.on_duplicates(origin, messages)
    }

    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        self.history.on_gap(gap, now);
        self.sink.on_gap(gap, now);
    }

    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        self.history.on_request(piece, now);
        self.sink.on_request(piece, now);
    }

    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.history.on_fill(piece, age, origin, now);
        self.sink.on_fill(piece, age, origin, now);
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.history.on_gap_abandoned(range, now);
        self.sink.on_gap_abandoned(range, now);
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.sink.on_session(info, vouched, now)
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.sink.on_idle(now)
    }

    fn is_closed(&self) -> bool {
        self.sink.is_closed()
    }

    fn wants_missing(&self) -> bool {
        self.sink.wants_missing()
    }

    fn has_failed(&self) -> bool {
        self.sink.has_failed()
    }
}
