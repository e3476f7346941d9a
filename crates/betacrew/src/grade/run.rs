//! One run of a client in one case.

use super::cases::{Case, Passes};
use super::client::Client;
use super::compare::Differences;
use super::evidence::{Evidence, Output};
use super::process::{self, Next, Ran, Trouble};
use super::run_folder::RunFolder;
use super::stage::{self, Stage};
use super::unread::Unread;
use super::workplace::{Workdir, Workplace};
use super::{find, wire};
use crate::failure::Failure;
use crate::net::Stop;
use feed::packet::Packet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A client that has all packets and does nothing more is ended after this, except where its end is
/// what matters; that it did not end by itself is noted.
const LINGER: Duration = Duration::from_secs(2);
/// How often a running client's output is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How clients are run.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) workdir: Workdir,
    /// The output's name, where the user has told it.
    pub(super) output: Option<PathBuf>,
    pub(super) timeout: Duration,
    pub(super) seed: u64,
    /// The port of every case; none: any free one.
    pub(super) port: Option<u16>,
}

/// Runs the client in a case. `None`: the user has ended it.
///
/// # Errors
/// Where the exchange cannot listen, or the client cannot be started.
pub(super) fn run(
    setup: &Setup,
    case: &Case,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<Option<Evidence>, Failure> {
    let plot = case.scene.map(|scene| stage::plot(&scene, setup.seed)).transpose()?;
    let tape = plot.as_ref().map(stage::packets).transpose()?.unwrap_or_default();
    let mut place = Workplace::prepare(setup.workdir, &setup.client.files(), folder)?;
    if let Some(name) = &setup.output {
        place.expect(name);
    }
    let unread = case.is_apart().then(Unread::open).flatten();
    let stage = Stage::open(plot.as_ref(), setup.port, unread)?;
    let opened = stage.began;
    let Some(ran) = attend(setup, case, &place, &stage, &tape, stop)? else { return Ok(None) };
    let wire = stage.close()?;
    let began = wire.began.map_or(opened, |(_, began)| began);
    let output = find::output(&place, setup.output.as_deref(), &ran.stdout, began);
    Ok(Some(Evidence::new(tape, wire, ran, output)))
}

/// Runs the client to its end.
fn attend(
    setup: &Setup,
    case: &Case,
    place: &Workplace,
    stage: &Stage,
    tape: &[Packet],
    stop: &Stop,
) -> Result<Option<Ran>, Failure> {
    let mut command = setup.client.command(place, stage.port);
    let mut looked = Instant::now();
    let mut complete: Option<Instant> = None;
    let glance = |_| {
        if stop.asked() {
            return Next::Stop;
        }
        let to_its_end = matches!(
            case.passes,
            Passes::Ends | Passes::EndsWithZero | Passes::Admits | Passes::Empty
        );
        if to_its_end || looked.elapsed() < LOOK || stage.quiet() < LOOK {
            return Next::Wait;
        }
        looked = Instant::now();
        if !is_complete(setup, place, stage, tape) {
            complete = None;
            return Next::Wait;
        }
        match complete.get_or_insert(looked).elapsed() >= LINGER {
            true => Next::Enough,
            false => Next::Wait,
        }
    };
    process::run(&mut command, setup.timeout * case.patience, glance).map_err(|trouble| {
        match trouble {
            Trouble::Unending { id, source } => Failure::Unending { process: id, source },
            Trouble::Run(error) => {
                let program = setup.client.shown();
                Failure::Usage(format!(
                    "the client cannot be started: {error}\nThe command was: {program}\nIt is \
                     what you would type in this folder, after --: betacrew grade -- node client.js"
                ))
            }
        }
    })
}

fn is_complete(setup: &Setup, place: &Workplace, stage: &Stage, tape: &[Packet]) -> bool {
    let output = find::output(place, setup.output.as_deref(), &[], stage.began);
    match &output {
        Output::Found { rows, .. } => Differences::between(tape, rows).complete(),
        Output::None | Output::Unclear { .. } => false,
    }
}

/// Whether the client has reached the exchange at all.
pub(super) fn connected(wire: &wire::WireLog) -> bool {
    !wire.conns.is_empty()
}
