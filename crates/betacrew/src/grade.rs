//! `betacrew grade`: runs a client against the cases and reports which of them it passes.
//!
//! One case goes through these modules, in this order:
//!
//! 1. `cases`: the case says which scenario the exchange plays and what the client must do;
//! 2. `run`: `workdir` prepares a folder, `exchange_host` plays the scenario, `process` starts the
//!    client, `attempt` does all three once, and `case_runner` repeats it for each case;
//! 3. `observe`: `wire` records the calls and the bytes sent, `output_finder` finds the client's
//!    output and `rows` reads it; `evidence` holds all of that;
//! 4. `judge`: `protocol_rules` checks the calls, `compare` checks the output against the tape, and
//!    `verdict` counts;
//! 5. `diagnose`: names the likely cause of a failure;
//! 6. `report`: shows the outcomes as text, JSON, JUnit XML, HTML and SVG, and computes nothing.
//!
//! Beside them, `explain` explains cases and causes, `example` has the lines of the example clients
//! that advice points to, `baseline` compares a run with an earlier one, and `regrade` grades again
//! when one of the `watched_files` changes.

mod baseline;
mod cases;
mod diagnose;
mod example;
mod explain;
pub(crate) mod feeds;
mod judge;
pub mod observe;
mod regrade;
pub mod report;
mod report_files;
pub mod run;
mod select;
mod watched_files;

use crate::args::address::PORT;
use crate::args::parse::{duration, number};
use crate::error::{Exit, Failure};
use crate::grade::baseline::{Baseline, Comparison};
use crate::grade::explain::Explainer;
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::judge::verdict::{CaseOutcome, GradeSummary, Verdict};
use crate::grade::observe::names::FieldNames;
use crate::grade::regrade::Regrader;
use crate::grade::report::json::ReportInput;
use crate::grade::report::live::LiveReport;
use crate::grade::report::terminal::layout::Paint;
use crate::grade::report_files::ReportFiles;
use crate::grade::run::attempt::AttemptSetup;
use crate::grade::run::case_runner::{CaseRunner, RunObserver};
use crate::grade::run::client::GradedClient;
use crate::grade::run::network::{self, CaseNetwork, NoNetwork};
use crate::grade::run::run_folder::RunFolder;
use crate::grade::run::start_pacer::JobLimit;
use crate::grade::run::stdin::StdinScript;
use crate::grade::run::workdir::Workdir;
use crate::net::Stop;
use crate::terminal::message::print;
use crate::terminal::signals;
use cases::{Case, Severity};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const REPORTS: &str = "Reports";

/// Arguments of `betacrew grade`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "betacrew grade [OPTIONS] [CASES]... -- COMMAND...")]
pub struct GradeArgs {
    /// Cases to run: ids, groups, or patterns such as 'gaps/*' [default: all]
    #[arg(value_name = "CASES")]
    cases: Vec<String>,

    /// Protocol in which the client is graded
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    protocol: GradedProtocol,

    /// Command of the client, as you would type it in this folder. {host} and {port} in it are
    /// replaced by the exchange's address; without them the client is expected to connect to port
    /// 3000
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// File that the client writes, `-` for stdout [default: any file that appears or changes, else
    /// stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Names of fields in the output, if the grader does not find them by itself
    #[arg(long, value_name = "FIELD=NAME,...", value_parser = FieldNames::parse)]
    fields: Option<FieldNames>,

    /// Time limit of a case; twice that where the exchange is slow, silent or down
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,

    /// Port of the exchange: a number, or `any` for a client that reads BETACREW_PORT [default:
    /// 3000, or any if {port} is in the command]
    #[arg(long, value_name = "PORT")]
    port: Option<Port>,

    /// Folder in which the client runs
    #[arg(long, value_enum, value_name = "WHERE", default_value = "copy")]
    workdir: Workdir,

    /// Maximum number of cases that run side by side [default: what the machine has room for]
    #[arg(long, value_name = "N", value_parser = number(1..=64))]
    jobs: Option<u32>,

    /// Run each case in a network of its own, where its port is always free and nothing else can be
    /// reached (Linux). auto does so if the port is fixed and the system allows it
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    isolate: Isolate,

    /// Text that is typed for the client, or a file with it: \\n ends a line, {wait 500ms} pauses,
    /// {host} and {port} are the exchange's address [default: no input]
    #[arg(long, value_name = "TEXT|FILE", value_parser = StdinScript::open)]
    stdin: Option<StdinScript>,

    /// Number of runs of each case: a client that passes only some of them is flaky
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(1..=1000))]
    repeat: u32,

    /// Seed of the random faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Treat every case as a must
    #[arg(long)]
    strict: bool,

    /// Write the result of each case as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = REPORTS)]
    junit: Option<PathBuf>,

    /// Write all results as JSON
    #[arg(long, value_name = "FILE", help_heading = REPORTS)]
    json: Option<PathBuf>,

    /// Write all results as an HTML page, with a timeline of each connection
    #[arg(long, value_name = "FILE", help_heading = REPORTS)]
    html: Option<PathBuf>,

    /// Write the grade as a badge (SVG)
    #[arg(long, value_name = "FILE", help_heading = REPORTS)]
    badge: Option<PathBuf>,

    /// Compare with an earlier report of --json, and fail only if a must got worse (exit code 10)
    #[arg(long, value_name = "FILE", help_heading = REPORTS)]
    baseline: Option<PathBuf>,

    /// Grade again when a file of the client changes, failed cases first, until Ctrl+C
    #[arg(long, conflicts_with = "baseline")]
    watch: bool,

    /// List the cases and exit
    #[arg(long)]
    list: bool,

    /// Explain a case, or a cause that a report names, and exit
    #[arg(long, value_name = "CASE|CAUSE")]
    explain: Option<String>,

    /// Check whether a case can have a network of its own, and exit. The grader starts itself with
    /// this flag
    #[arg(long, hide = true)]
    isolation_probe: bool,
}

/// Networks of the cases, as the user wants them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Isolate {
    /// A network for each case if the port is fixed and the system allows it
    Auto,
    /// A network for each case, or no grade
    Always,
    /// The network of the machine
    Never,
}

/// Port on which the exchange of a case listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Port {
    /// Any free port.
    Any,
    /// One given port.
    One(u16),
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("any", _) => Ok(Self::Any),
            (_, Ok(port)) if port > 0 => Ok(Self::One(port)),
            _ => Err("a port is a number from 1 to 65535, or `any`".to_owned()),
        }
    }
}

/// Runs the command `betacrew grade`.
///
/// # Errors
/// Returns an error if the client cannot be started, an exchange cannot listen, or a report cannot
/// be written.
pub fn run(args: &GradeArgs, stop: &Stop) -> Result<Exit, Failure> {
    let all = args.protocol.cases();
    let cases = select::select(all, &args.cases).map_err(Failure::Usage)?;
    if args.list {
        return print(&explain::list(&cases));
    }
    let paint = Paint::of_stdout();
    if let Some(name) = &args.explain {
        let client = GradedClient::new(&args.command).map(|client| client.shown());
        let client = client.as_deref().unwrap_or_default();
        let explainer = Explainer { client, seed: args.seed, paint, protocol: args.protocol };
        return print(&explainer.explain(name).map_err(Failure::Usage)?);
    }
    network::check_entered().map_err(|source| Failure::System {
        action: "this process is half inside of a user namespace (--isolate never does without)",
        source,
    })?;
    if args.isolation_probe {
        return match network::check() {
            Ok(()) => Ok(Exit::Complete),
            Err(refused) => print(&refused.to_string()).map(|_| Exit::Unexpected),
        };
    }
    let (setup, remark) = args.setup()?;
    let baseline = args.baseline.as_deref().map(Baseline::open).transpose()?;
    run::run_folder::clean_up();
    run::process::adopt();
    if args.watch {
        let _orderly = signals::orderly();
        let regrader = Regrader { args, setup: &setup, cases: &cases, paint, stop };
        return regrader.run(remark.as_deref());
    }
    let folder = RunFolder::open()?;
    let runner = args.runner(&setup, &folder, &cases);
    let files = ReportFiles::open(args, &setup.client)?;
    run::other_files::note_open_files();
    // Ctrl+C must not end this process at once, because clients and their folders would be left
    // behind.
    let orderly = signals::orderly();
    print(&report::terminal::heading(&setup, cases.len(), runner.expected(), paint))?;
    let mut live = LiveReport::new(paint);
    remark.iter().for_each(|remark| live.on_remark(remark));
    let outcomes = runner.run_all(stop, &mut live);
    drop(orderly);
    live.end()?;
    let mut outcomes = outcomes?;
    diagnose::explain(&mut outcomes);
    let identity = setup.identity();
    let changes = baseline.map(|baseline| baseline.compare(&outcomes, &identity));
    let input = ReportInput { outcomes: &outcomes, setup: &setup, changes: changes.as_ref() };
    print(&report::terminal::details(&input, paint))?;
    files.write(&input)?;
    Ok(exit_code(&outcomes, changes.as_ref(), stop))
}

/// Prepares the process for networks of the cases, if the command wants any. Must be called while
/// the process has one thread.
pub fn prepare(args: &GradeArgs) {
    if args.isolation_probe {
        network::enter_user_namespace(|| Ok(()));
    } else if !args.list && args.explain.is_none() && args.wants_networks() {
        network::enter_user_namespace(probe);
    }
}

/// Starts this program again to check whether a case can have a network of its own, and returns
/// the reason if it cannot.
fn probe() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = std::process::Command::new(program);
    command.args(["grade", "--isolation-probe"]).stdin(std::process::Stdio::null());
    let tried = command.output().map_err(|error| error.to_string())?;
    match tried.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&tried.stdout).trim().to_owned()),
    }
}

/// Returns the exit code: a stop by the user, a failed must, one that could not be judged, or
/// success. With a baseline only musts that got worse fail the client, and a client that has no
/// grade.
fn exit_code(outcomes: &[CaseOutcome], changes: Option<&Comparison<'_>>, stop: &Stop) -> Exit {
    let is_must = |outcome: &CaseOutcome| outcome.severity == Severity::Must;
    let summary = GradeSummary::of(outcomes);
    let failed = match changes {
        Some(changes) => {
            summary.letter.is_none() || changes.worse.iter().any(|worse| is_must(worse))
        }
        None => {
            let is_fine = |verdict| matches!(verdict, Verdict::Pass | Verdict::NotJudged);
            outcomes.iter().any(|case| is_must(case) && !is_fine(case.verdict))
        }
    };
    // Cases that could not be judged are no failure of the client, and no success either.
    let is_unknown = changes.is_none()
        && (summary.not_judged > 0 && summary.letter.is_none()
            || outcomes.iter().any(|case| is_must(case) && case.verdict == Verdict::NotJudged));
    match failed {
        _ if stop.asked() => Exit::Incomplete,
        true => Exit::ClientFailed,
        false if is_unknown => Exit::Incomplete,
        false => Exit::Complete,
    }
}

impl GradeArgs {
    /// Returns the flags of the report files with their values.
    fn reports(&self) -> [(&'static str, &Option<PathBuf>); 4] {
        [
            ("--junit", &self.junit),
            ("--json", &self.json),
            ("--html", &self.html),
            ("--badge", &self.badge),
        ]
    }

    /// Returns the runner of these cases.
    fn runner<'a>(
        &self,
        setup: &'a AttemptSetup,
        folder: &'a RunFolder,
        cases: &'a [&'static Case],
    ) -> CaseRunner<'a> {
        let jobs = self.jobs(setup);
        CaseRunner { setup, folder, cases, strict: self.strict, repeat: self.repeat, jobs }
    }

    /// Returns the settings that all runs share, and a remark about them.
    fn setup(&self) -> Result<(AttemptSetup, Option<String>), Failure> {
        let client = GradedClient::new(&self.command).ok_or_else(|| {
            Failure::Usage(
                "no client to grade. Put its command after --, for example:\n\n  betacrew grade -- \
                 node client.js\n  betacrew grade -- python3 client.py {host} {port}\n\n--list \
                 lists the cases, --help the options"
                    .to_owned(),
            )
        })?;
        let port = self.fixed_port(&client);
        let (network, remark) = self.network(&client)?;
        let setup = AttemptSetup {
            client,
            workdir: self.workdir,
            output: self.output.clone(),
            fields: self.fields.clone().unwrap_or_default(),
            timeout: self.timeout,
            seed: self.seed,
            port,
            network,
            stdin: self.stdin.clone(),
            protocol: self.protocol,
        };
        Ok((setup, remark))
    }

    /// Returns the port of all exchanges; `None` means any free one.
    fn fixed_port(&self, client: &GradedClient) -> Option<u16> {
        match self.port {
            Some(Port::Any) => None,
            Some(Port::One(port)) => Some(port),
            None => (!client.takes_port()).then_some(PORT),
        }
    }

    /// Returns whether cases may get networks of their own.
    fn wants_networks(&self) -> bool {
        let client = GradedClient::new(&self.command);
        let is_fixed = || {
            client.is_some_and(|client| {
                self.fixed_port(&client).is_some() && client.leaves_for().is_none()
            })
        };
        match self.isolate {
            Isolate::Always => true,
            Isolate::Never => false,
            Isolate::Auto => is_fixed(),
        }
    }

    /// Returns the network of each case, and a remark if cases would need networks of their own and
    /// cannot have them.
    fn network(&self, client: &GradedClient) -> Result<(CaseNetwork, Option<String>), Failure> {
        let is_fixed = self.fixed_port(client).is_some();
        let tried = match (self.isolate, client.leaves_for()) {
            (Isolate::Never, _) => return Ok((CaseNetwork::Shared, None)),
            (Isolate::Auto, _) if !is_fixed => return Ok((CaseNetwork::Shared, None)),
            (Isolate::Auto, Some(program)) => Err(NoNetwork::outside(program)),
            (Isolate::Auto | Isolate::Always, _) => network::check(),
        };
        match tried {
            Ok(()) => Ok((CaseNetwork::Own, None)),
            Err(refused) if self.isolate == Isolate::Always => Err(Failure::Usage(format!(
                "--isolate always: a case cannot have a network of its own: {refused}"
            ))),
            Err(refused) => {
                let remark = format!(
                    "one case after another, because they share a port and none can have a network \
                     of its own: {refused}"
                );
                Ok((CaseNetwork::Shared, Some(remark)))
            }
        }
    }

    /// Returns the number of cases that run side by side: one if they share a port or a folder.
    fn jobs(&self, setup: &AttemptSetup) -> JobLimit {
        let shares_port = setup.port.is_some() && setup.network == CaseNetwork::Shared;
        let wanted = self.jobs.and_then(|jobs| usize::try_from(jobs).ok());
        match wanted {
            _ if shares_port || setup.workdir == Workdir::Here => JobLimit::One,
            Some(jobs) => JobLimit::Fixed(jobs),
            None => JobLimit::Measured,
        }
    }
}
