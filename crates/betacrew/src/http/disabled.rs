//! The HTTP address of a program that is built without one.

use crate::error::Failure;
use crate::net::{NoController, Stop};
use crate::output::counters::{OutputCounters, WriteCounters};
use crate::output::sink::PacketSink;
use crate::scenario::ResolvedScenario;
use feed::base::seq::SeqRange;
use feed::client::Recorder;
use feed::faults::scenario::Played;
use feed::ledger::Origin;
use feed::wire::RawFrame;
use std::time::Duration;

/// What is typed to have it: nothing.
#[derive(clap::Args, Clone, Default, Debug)]
#[group(id = "web")]
pub struct HttpArgs {}

/// NoController has one.
#[derive(Clone, Debug)]
pub(crate) enum Web {}

impl Web {
    pub(crate) fn lines(&self) -> String {
        match *self {}
    }

    pub(crate) fn is_at(&self, _: &[std::net::SocketAddr]) -> bool {
        match *self {}
    }

    pub(crate) fn books(&self) -> Result<Box<dyn PacketSink>, Failure> {
        match *self {}
    }
}

impl HttpArgs {
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &std::path::Path)> {
        std::iter::empty()
    }

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
pub(crate) struct ScenarioInfo;

impl ScenarioInfo {
    pub(crate) fn new(_: &ResolvedScenario, _: Played) -> Self {
        Self
    }
}

/// NoController sits there.
#[derive(Debug)]
pub(crate) struct ExchangeController;

impl ExchangeController {
    #[expect(clippy::new_ret_no_self)]
    pub(crate) fn new(_: Option<&Web>, _: ScenarioInfo, _: Option<WriteCounters>) -> NoController {
        NoController
    }
}

/// What is told of a recording: nothing.
#[derive(Debug)]
pub(crate) struct ClientMonitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> ClientMonitor<'a> {
    pub(crate) fn new(_: Option<&Web>, _: &'a [String], _: bool, _: OutputCounters) -> Self {
        Self(std::marker::PhantomData)
    }

    pub(crate) fn tick(&self, _: &Recorder) {}

    pub(crate) fn opened(&self, _: SeqRange, _: Duration) {}

    pub(crate) fn brought(&self, _: Origin, _: &[RawFrame]) {}

    pub(crate) fn asked(&self, _: SeqRange, _: Duration) {}

    pub(crate) fn filled(&self, _: SeqRange, _: Duration, _: Origin, _: Duration) {}

    pub(crate) fn lost(&self, _: SeqRange, _: Duration) {}
}
