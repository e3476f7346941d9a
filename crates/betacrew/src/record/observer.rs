//! A recording that is looked at over HTTP: what happens at its gaps is noted.

use crate::http::ClientMonitor;
use feed::base::seq::{SeqRange, SeqSet};
use feed::ledger::{Origin, Sink};
use feed::wire::{Info, RawFrame};
use std::time::Duration;

/// Records into another sink, and notes what happens at gaps.
pub(crate) struct GapObserver<'a, S> {
    pub(crate) sink: S,
    pub(crate) history: &'a ClientMonitor<'a>,
}

impl<S: Sink> Sink for GapObserver<'_, S> {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.history.brought(origin, frames);
        self.sink.fresh(origin, frames, now);
    }

    fn again(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.history.brought(origin, frames);
        self.sink.again(origin, frames)
    }

    fn opened(&mut self, gap: SeqRange, now: Duration) {
        self.history.opened(gap, now);
        self.sink.opened(gap, now);
    }

    fn asked(&mut self, piece: SeqRange, now: Duration) {
        self.history.asked(piece, now);
        self.sink.asked(piece, now);
    }

    fn filled(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.history.filled(piece, age, origin, now);
        self.sink.filled(piece, age, origin, now);
    }

    fn lost(&mut self, range: SeqRange, now: Duration) {
        self.history.lost(range, now);
        self.sink.lost(range, now);
    }

    fn session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.sink.session(info, vouched, now)
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        self.sink.idle(now)
    }

    fn enough(&self) -> bool {
        self.sink.enough()
    }

    fn wants_missing(&self) -> bool {
        self.sink.wants_missing()
    }

    fn failed(&self) -> bool {
        self.sink.failed()
    }
}
