//! Stand-in for the HTTP address in a program built without the feature `web`.

use crate::error::Failure;
use crate::net::{NoController, Stop};
use crate::output::counters::{OutputCounters, WriteCounters};
use crate::output::sink::PacketSink;
use crate::scenario::ResolvedScenario;
use feed::analysis::messages::MessageMeaning;
use feed::base::seq::SeqRange;
use feed::client::Recorder;
use feed::faults::scenario::Played;
use feed::ledger::Origin;
use feed::wire::{Messages, Protocol};
use std::net::SocketAddr;
use std::time::Duration;

/// Command-line flags of the HTTP address: none.
#[derive(clap::Args, Clone, Default, Debug)]
#[group(id = "web")]
pub struct HttpArgs {}

/// HTTP address of a running program, which cannot exist here.
#[derive(Clone, Debug)]
pub(crate) enum Web {}

impl Web {
    pub(crate) fn lines(&self) -> String {
        match *self {}
    }

    pub(crate) fn is_at(&self, _: &[SocketAddr]) -> bool {
        match *self {}
    }

    pub(crate) fn books(&self, _: Option<MessageMeaning>) -> Result<Box<dyn PacketSink>, Failure> {
        match *self {}
    }
}

/// Stream on which a client would announce its HTTP address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announce {
    Stdout,
    Stderr,
}

impl HttpArgs {
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &std::path::Path)> {
        std::iter::empty()
    }

    pub(crate) fn is_enabled(&self) -> bool {
        false
    }

    #[expect(clippy::unnecessary_wraps)]
    pub(crate) fn exchange(&self, _: &Stop) -> Result<Option<Web>, Failure> {
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps)]
    pub(crate) fn client(&self, _: &Stop, _: Announce) -> Result<Option<Web>, Failure> {
        Ok(None)
    }
}

/// Description of the active scenario; empty, because this build has no HTTP server.
#[derive(Debug)]
pub(crate) struct ScenarioInfo;

impl ScenarioInfo {
    pub(crate) fn new(_: &ResolvedScenario, _: Played, _: &[(Protocol, String)]) -> Self {
        Self
    }
}

/// Constructor of a controller that never controls anything.
#[derive(Debug)]
pub(crate) struct ExchangeController;

impl ExchangeController {
    #[expect(clippy::new_ret_no_self)]
    pub(crate) fn new(_: Option<&Web>, _: ScenarioInfo, _: Option<WriteCounters>) -> NoController {
        NoController
    }
}

/// Monitor of a recording that publishes nothing.
#[derive(Debug)]
pub(crate) struct ClientMonitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> ClientMonitor<'a> {
    pub(crate) fn new(_: Option<&Web>, _: &'a [String], _: OutputCounters) -> Self {
        Self(std::marker::PhantomData)
    }

    pub(crate) fn tick(&self, _: &Recorder) {}

    pub(crate) fn on_gap(&self, _: SeqRange, _: Duration) {}

    pub(crate) fn on_messages(&self, _: Origin, _: Messages<'_>) {}

    pub(crate) fn on_request(&self, _: SeqRange, _: Duration) {}

    pub(crate) fn on_fill(&self, _: SeqRange, _: Duration, _: Origin, _: Duration) {}

    pub(crate) fn on_gap_abandoned(&self, _: SeqRange, _: Duration) {}
}
