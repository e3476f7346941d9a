//! The HTTP address of a program that is built without one.

use crate::failure::Failure;
use crate::net::{Nobody, Stop};
use crate::outlet::Outlet;
use crate::scenario::Plot;
use feed::ledger::{Origin, Sink};
use feed::recorder::Recorder;
use feed::seq::SeqRange;
use feed::wire::{Info, RawFrame};
use std::time::Duration;

/// What is typed to have it: nothing.
#[derive(clap::Args, Clone, Default, Debug)]
#[group(id = "web")]
pub struct Args {}

/// Nobody has one.
#[derive(Clone, Debug)]
pub(crate) enum Web {}

impl Web {
    pub(crate) fn books(&self) -> Result<Box<dyn Outlet>, Failure> {
        match *self {}
    }
}

impl Args {
    pub(crate) fn wanted(&self) -> bool {
        false
    }

    #[expect(clippy::unnecessary_wraps)]
    pub(crate) fn exchange(&self, _: &Stop) -> Result<Option<Web>, Failure> {
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps)]
    pub(crate) fn client(&self, _: &Stop, _: bool) -> Result<Option<Web>, Failure> {
        Ok(None)
    }
}

/// What is on.
#[derive(Debug)]
pub(crate) struct Bill;

impl Bill {
    pub(crate) fn new(_: &Plot, _: bool) -> Self {
        Self
    }
}

/// Nobody sits there.
#[derive(Debug)]
pub(crate) struct ExchangeDesk;

impl ExchangeDesk {
    #[expect(clippy::new_ret_no_self)]
    pub(crate) fn new(_: Option<&Web>, _: Bill) -> Nobody {
        Nobody
    }
}

/// What is told of a recording: nothing.
#[derive(Debug)]
pub(crate) struct History<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> History<'a> {
    pub(crate) fn new(_: Option<&Web>, _: &'a [String], _: bool) -> Self {
        Self(std::marker::PhantomData)
    }

    pub(crate) fn tick(&self, _: &Recorder) {}
}

/// Records into the sink alone.
#[derive(Debug)]
pub(crate) struct Seen<S> {
    pub(crate) sink: S,
}

impl<S> Seen<S> {
    pub(crate) fn new(sink: S, _: &History<'_>) -> Self {
        Self { sink }
    }
}

impl<S: Sink> Sink for Seen<S> {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.sink.fresh(origin, frames, now);
    }

    fn again(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.sink.again(origin, frames)
    }

    fn opened(&mut self, gap: SeqRange, now: Duration) {
        self.sink.opened(gap, now);
    }

    fn filled(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.sink.filled(piece, age, origin, now);
    }

    fn lost(&mut self, range: SeqRange, now: Duration) {
        self.sink.lost(range, now);
    }

    fn session(&mut self, info: Info, now: Duration) {
        self.sink.session(info, now);
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        self.sink.idle(now)
    }

    fn enough(&self) -> bool {
        self.sink.enough()
    }

    fn failed(&self) -> bool {
        self.sink.failed()
    }
}
