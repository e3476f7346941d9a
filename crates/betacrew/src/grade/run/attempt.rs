//! One run of the client in one case: folder, exchange and process together.

use crate::error::Failure;
use crate::grade::cases::{Case, Passes};
use crate::grade::judge::compare::Differences;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::output_finder;
use crate::grade::observe::wire;
use crate::grade::run::client::GradedClient;
use crate::grade::run::exchange_host::{self, ExchangeHost};
use crate::grade::run::process::{self, FinishedProcess, NextChunk, ProcessFailure};
use crate::grade::run::run_folder::RunFolder;
use crate::grade::run::unread::Unread;
use crate::grade::run::workdir::{CaseWorkdir, Workdir};
use crate::net::Stop;
use feed::wire::packet::Packet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time after which a client that has all packets and does nothing more is killed, unless the case
/// is about its end. The report says that it did not end by itself.
const LINGER: Duration = Duration::from_secs(2);
/// Interval at which the output of a running client is checked.
const LOOK: Duration = Duration::from_millis(250);

/// Settings that all runs of the client share.
#[derive(Clone, Debug)]
pub(crate) struct AttemptSetup {
    /// Client to run.
    pub(crate) client: GradedClient,
    /// Folder in which the client runs.
    pub(crate) workdir: Workdir,
    /// Name of the output, if the user gave one.
    pub(crate) output: Option<PathBuf>,
    /// Time limit of a case, before its factor.
    pub(crate) timeout: Duration,
    /// Seed of the random faults.
    pub(crate) seed: u64,
    /// Port of every exchange; `None` means any free one.
    pub(crate) port: Option<u16>,
}

/// Runs the client in a case, and returns the evidence of the run. Returns `None` if the user
/// stopped the grader.
///
/// # Errors
/// Returns an error if the exchange cannot listen, or the client cannot be started.
pub(crate) fn run(
    setup: &AttemptSetup,
    case: &Case,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<Option<Evidence>, Failure> {
    let plot = case.scene.map(|scene| exchange_host::plot(&scene, setup.seed)).transpose()?;
    let tape = plot.as_ref().map(exchange_host::packets).transpose()?.unwrap_or_default();
    let mut place = CaseWorkdir::prepare(setup.workdir, &setup.client.files(), folder)?;
    if let Some(name) = &setup.output {
        place.expect(name);
    }
    let unread = case.is_apart().then(Unread::open).flatten();
    let stage = ExchangeHost::open(plot.as_ref(), setup.port, unread)?;
    let opened = stage.began;
    let Some(ran) = attend(setup, case, &place, &stage, &tape, stop)? else { return Ok(None) };
    let wire = stage.close()?;
    let began = wire.began.map_or(opened, |(_, began)| began);
    let output = output_finder::output(&place, setup.output.as_deref(), &ran.stdout, began);
    Ok(Some(Evidence::new(tape, wire, ran, output)))
}

/// Runs the client's process until it ends or is killed.
fn attend(
    setup: &AttemptSetup,
    case: &Case,
    place: &CaseWorkdir,
    stage: &ExchangeHost,
    tape: &[Packet],
    stop: &Stop,
) -> Result<Option<FinishedProcess>, Failure> {
    let mut command = setup.client.command(place, stage.port);
    let mut looked = Instant::now();
    let mut complete: Option<Instant> = None;
    let glance = |_| {
        if stop.asked() {
            return NextChunk::Stop;
        }
        // In cases about the end, a client that lingers must be left alone until the time limit.
        let to_its_end = matches!(
            case.passes,
            Passes::Ends | Passes::EndsWithZero | Passes::Admits | Passes::Empty
        );
        if to_its_end || looked.elapsed() < LOOK || stage.quiet() < LOOK {
            return NextChunk::Wait;
        }
        looked = Instant::now();
        if !is_complete(setup, place, stage, tape) {
            complete = None;
            return NextChunk::Wait;
        }
        match complete.get_or_insert(looked).elapsed() >= LINGER {
            true => NextChunk::Enough,
            false => NextChunk::Wait,
        }
    };
    process::run(&mut command, setup.timeout * case.patience, glance).map_err(|trouble| {
        match trouble {
            ProcessFailure::Unending { id, source } => Failure::Unending { process: id, source },
            ProcessFailure::Run(error) => {
                let program = setup.client.shown();
                Failure::Usage(format!(
                    "cannot start the client: {error}\nThe command is: {program}\nGive the \
                                         command after --, as you would type it in this folder: betacrew grade -- node \
                                         client.js"
                ))
            }
        }
    })
}

/// Returns whether the client's output has all packets now, while the client still runs.
fn is_complete(
    setup: &AttemptSetup,
    place: &CaseWorkdir,
    stage: &ExchangeHost,
    tape: &[Packet],
) -> bool {
    let output = output_finder::output(place, setup.output.as_deref(), &[], stage.began);
    match &output {
        ClientOutput::Found { rows, .. } => Differences::between(tape, rows).complete(),
        ClientOutput::None | ClientOutput::Unclear { .. } => false,
    }
}

/// Returns whether the client has connected to the exchange at least once.
pub(crate) fn connected(wire: &wire::WireLog) -> bool {
    !wire.conns.is_empty()
}
