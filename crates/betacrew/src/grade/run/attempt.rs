//! One run of the client in one case: folder, exchange and process together.

use crate::error::Failure;
use crate::grade::cases::Case;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::mold::sockets::Delivery;
use crate::grade::feeds::output::Place;
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::feeds::tape::CaseTape;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::names::FieldNames;
use crate::grade::observe::output_finder::{self, Reading};
use crate::grade::observe::wire;
use crate::grade::run::client::GradedClient;
use crate::grade::run::endless::SpinCount;
use crate::grade::run::exchange_host::{self, ExchangeHost, Listening};
use crate::grade::run::lingering::LingerCount;
use crate::grade::run::network::{self, CaseNetwork};
use crate::grade::run::process::{self, FinishedProcess, ProcessEnd, ProcessFailure, Typist};
use crate::grade::run::run_folder::RunFolder;
use crate::grade::run::stdin::StdinScript;
use crate::grade::run::watch::{ClientChecks, ClientWatch};
use crate::grade::run::workdir::{CaseWorkdir, Workdir};
use crate::net::Stop;
use crate::scenario::ResolvedScenario;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Maximum number of bytes of a stdout that are kept after the output was read.
const STDOUT_KEPT: usize = 64 << 10;
/// Maximum number of rows that are kept of an output for each packet of the tape.
const ROWS_FACTOR: usize = 8;
/// Number of rows that are kept of an output besides those.
const ROWS_SPARE: usize = 2000;

/// Settings that all runs of the client share.
#[derive(Clone, Debug)]
pub(crate) struct AttemptSetup {
    /// Client to run.
    pub(crate) client: GradedClient,
    /// Folder in which the client runs.
    pub(crate) workdir: Workdir,
    /// Name of the output, if the user gave one.
    pub(crate) output: Option<PathBuf>,
    /// Names of fields in the output that the user gave.
    pub(crate) fields: FieldNames,
    /// Time limit of a case, before its factor.
    pub(crate) timeout: Duration,
    /// Seed of the random faults.
    pub(crate) seed: u64,
    /// Port of every exchange; `None` means any free one.
    pub(crate) port: Option<u16>,
    /// Network of each exchange and its client.
    pub(crate) network: CaseNetwork,
    /// Input that is typed for the client, if any.
    pub(crate) stdin: Option<StdinScript>,
    /// Protocol in which the client is graded.
    pub(crate) protocol: GradedProtocol,
}

/// Resend connections on which the client is silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SilentConnections {
    /// The exchange ends them as the case's scenario says.
    AsPlayed,
    /// The exchange keeps them, as the original does.
    Kept,
}

/// State that all runs of the client share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedState<'a> {
    /// Folder that receives the copies of the client's folder.
    pub(crate) folder: &'a RunFolder,
    /// Number of cases in which the client has lingered.
    pub(crate) lingering: &'a LingerCount,
    /// Number of cases in which the client has computed until the time limit.
    pub(crate) spinning: &'a SpinCount,
    /// Name of the output that the client has written in an earlier case.
    pub(crate) output_name: &'a OnceLock<String>,
    /// Name of an output that was complete while the client still ran. The client may remove it.
    pub(crate) complete_name: &'a OnceLock<String>,
    /// Number of cases on whose wire nothing happens, so that they take no processor time.
    pub(crate) resting: &'a AtomicUsize,
    /// Handle by which the user stops the grader.
    pub(crate) stop: &'a Stop,
}

impl SharedState<'_> {
    /// Returns the name of the output in an earlier case, or in one that still runs.
    pub(crate) fn first_output(&self) -> Option<&str> {
        self.output_name.get().or_else(|| self.complete_name.get()).map(String::as_str)
    }

    /// Takes the output of a case that has ended for that of the client, if it has anything.
    fn learn_output<R>(&self, output: &ClientOutput<R>, is_empty: impl Fn(&R) -> bool) {
        if let ClientOutput::Found { name, rows, .. } = output
            && !is_empty(rows)
        {
            // Another case may have set it.
            let _ = self.output_name.set(name.clone());
        }
    }
}

/// Runs the client in a case, and returns the evidence of the run. Returns `None` if the user
/// stopped the grader. The calling thread must be one for this run alone, because it may stay in
/// the network of the case.
///
/// # Errors
/// Returns an error if the exchange cannot listen, or the client cannot be started.
pub(crate) fn run(
    setup: &AttemptSetup,
    case: &Case,
    silent: SilentConnections,
    shared: SharedState<'_>,
) -> Result<Option<Evidence>, Failure> {
    if setup.network == CaseNetwork::Own {
        network::enter_new().map_err(|source| Failure::System {
            action: "cannot make a network for a case (--isolate never does without)",
            source,
        })?;
    }
    let resolved = resolve(setup, case, silent)?;
    let tape = CaseTape::open(setup.protocol, resolved.as_ref())?;
    let mut workdir = CaseWorkdir::prepare(setup.workdir, &setup.client.files(), shared.folder)?;
    if let Some(name) = &setup.output {
        workdir.track(name);
    }
    let listening = Listening {
        port: setup.port,
        order: case.read_order(),
        protocol: setup.protocol.on_the_wire(),
        lines: case.exchange_setup.map_or(0, |played| played.lines),
        delivery: match setup.client.takes("{group}") {
            true => Delivery::Group,
            false => Delivery::Unicast,
        },
    };
    let host = ExchangeHost::open(resolved.as_ref(), listening)?;
    let opened = host.began;
    let Some(mut finished) = run_client(setup, case, &workdir, &host, &tape, shared)? else {
        return Ok(None);
    };
    if finished.ended == ProcessEnd::Lingered {
        shared.lingering.add();
    }
    let wire = host.close()?;
    let began = wire.began.map_or(opened, |(_, began)| began);
    let (named, stdout) = (setup.output.as_deref(), &finished.stdout[..]);
    Ok(Some(match tape {
        CaseTape::Packets(tape) => {
            let earlier = shared.output_name.get().map(String::as_str);
            let reading = Reading { names: &setup.fields, tape: &tape, earlier };
            let mut output = output_finder::output(&workdir, named, stdout, began, reading);
            finished.stdout.truncate(STDOUT_KEPT);
            finished.stdout.shrink_to_fit();
            if let ClientOutput::Found { rows, .. } = &mut output {
                rows.truncate(ROWS_SPARE + ROWS_FACTOR * tape.len());
            }
            shared.learn_output(&output, |rows| rows.rows.is_empty());
            Evidence::new(tape, wire, finished, output)
        }
        CaseTape::Messages(tape) => {
            let earlier = shared.output_name.get().map(String::as_str);
            let place = Place { workdir: &workdir, named, stdout, began, earlier };
            let output = place.judged(&tape);
            shared.learn_output(&output, |rows| rows.rows.is_empty());
            Evidence::of_feed(wire, finished, FeedEvidence::new(tape, output))
        }
    }))
}

/// Returns what the exchange of a case plays; `None` if the case has none.
fn resolve(
    setup: &AttemptSetup,
    case: &Case,
    silent: SilentConnections,
) -> Result<Option<ResolvedScenario>, Failure> {
    let Some(played) = case.exchange_setup else { return Ok(None) };
    let mut resolved = exchange_host::resolve(&played, played.seed(setup.seed))?;
    if silent == SilentConnections::Kept {
        resolved.scenario.idle = None;
    }
    Ok(Some(resolved))
}

/// Runs the client's process until it ends or is killed.
fn run_client(
    setup: &AttemptSetup,
    case: &Case,
    workdir: &CaseWorkdir,
    host: &ExchangeHost,
    tape: &CaseTape,
    shared: SharedState<'_>,
) -> Result<Option<FinishedProcess>, Failure> {
    let mut command = setup.client.command(workdir, host.port, &host.placeholders);
    let checks = ClientChecks::default();
    let mut watch = ClientWatch { setup, case, workdir, host, tape, shared, checks };
    let limit = watch.limit();
    let ran =
        process::run(&mut command, typist(setup, host.port), limit, |client| watch.decide(client));
    let before = watch.checks.queued_before.unwrap_or_default();
    let ran = ran.map(|finished| {
        finished.map(|finished| FinishedProcess {
            queued: finished.queued.map(|queued| queued.saturating_sub(before)),
            ..finished
        })
    });
    if let (Ok(Some(finished)), Some(work)) = (&ran, &watch.checks.silent_work) {
        shared.spinning.add(finished, work.lasted());
    }
    ran.map_err(|failure| match failure {
        ProcessFailure::Unending { id, source } => Failure::Unending { process: id, source },
        ProcessFailure::Run(error) => {
            let program = setup.client.shown();
            Failure::Usage(format!(
                "cannot start the client: {error}\nThe command is: {program}\nGive the command \
                 after --, as you would type it in this folder: betacrew grade -- node client.js"
            ))
        }
    })
}

/// Returns the writer of the client's input, if the user gave one.
fn typist(setup: &AttemptSetup, port: u16) -> Option<Typist> {
    let script = setup.stdin.clone()?;
    Some(Box::new(move |stdin| script.type_into(stdin, port)))
}

/// Returns whether the client has connected to the exchange at least once.
pub(crate) fn has_connected(wire: &wire::WireLog) -> bool {
    !wire.conns.is_empty()
}
