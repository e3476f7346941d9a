//! `betacrew sim`: runs recordings on simulated networks and disks.

use crate::error::{Exit, Failure};
use crate::net::Stop;
use crate::scenario::ScenarioFile;
use crate::terminal::message::print;
use crate::terminal::signals;
use crate::text::formatting::{count, grouped, took};
use feed::sim::cost::{ExchangeKind, table};
use feed::sim::run::{SimPlan, SimReport, Violation, live, live_traced};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Flags of `sim`.
#[derive(clap::Args, Debug)]
pub struct SimArgs {
    /// Number of simulated runs, one for each seed
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,

    /// First seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// Print tables of the cost of recovery, by loss and round-trip time
    #[arg(long, conflicts_with_all = ["seeds", "from", "narrate"])]
    cost: bool,

    /// Simulate this seed alone and print every event
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    narrate: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if stdout cannot be written.
pub fn run(args: &SimArgs, stop: &Stop) -> Result<Exit, Failure> {
    if let Some(seed) = args.narrate {
        return narrate(seed);
    }
    if args.cost {
        return print(&cost());
    }
    let began = Instant::now();
    let mut sum = SimReport::default();
    let mut runs = 0u64;
    let mut broken: Vec<Violation> = Vec::new();
    let orderly = signals::orderly();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        if stop.asked() {
            break;
        }
        runs += 1;
        match live(seed) {
            Ok(report) => add(&mut sum, &report),
            Err(violation) => {
                let _blocks = signals::may_block();
                print(&format!(
                    "seed {seed}: {}; betacrew sim --narrate {seed}\n",
                    violation.what
                ))?;
                broken.push(violation);
            }
        }
    }
    drop(orderly);
    print(&summary(runs, broken.len(), &sum, began.elapsed()))?;
    Ok(if broken.is_empty() { Exit::Complete } else { Exit::Unexpected })
}

/// Returns the tables of `docs/recovery.md`.
#[must_use]
pub fn cost() -> String {
    format!(
        "An exchange that speaks the extension, 10,000 packets:\n\n{}\n\
         An exchange of the original protocol, 100 packets:\n\n{}\n\
         MoldUDP64, 10,000 datagrams of one message:\n\n{}",
        table(ExchangeKind::Extended, 10_000),
        table(ExchangeKind::Original, 100),
        table(ExchangeKind::Mold, 10_000)
    )
}

/// Adds the counts of a run to those of all runs.
fn add(sum: &mut SimReport, run: &SimReport) {
    sum.packets += run.packets;
    sum.delivered += run.delivered;
    sum.steps += run.steps;
    sum.tries += run.tries;
    sum.crashes += run.crashes;
    sum.incomplete += run.incomplete;
    sum.shifted += run.shifted;
    sum.took += run.took;
}

/// Returns the summary of all runs as text.
fn summary(runs: u64, broken: usize, sum: &SimReport, time: Duration) -> String {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate to be shown"
    )]
    let rate = |number: u64| grouped((number as f64 / time.as_secs_f64().max(1e-9)) as u64);
    let mut text = format!("{}, {broken} broken, in {}\n", count(runs, "run"), took(time));
    let _ = writeln!(
        text,
        "  {} recorded; the client started {} times, crashed {} times, ended incomplete {} times",
        count(sum.packets, "packet"),
        grouped(sum.tries.into()),
        grouped(sum.crashes.into()),
        grouped(sum.incomplete.into())
    );
    let _ = writeln!(
        text,
        "  {} delivered ({} a second), {} events ({} a second), {} of simulated time",
        count(sum.delivered, "packet"),
        rate(sum.delivered),
        grouped(sum.steps),
        rate(sum.steps),
        took(sum.took)
    );
    if sum.shifted > 0 {
        let _ = writeln!(
            text,
            "  {} recorded with other content than sent, because garbage shifted the frames",
            count(sum.shifted, "packet")
        );
    }
    text
}

/// Simulates one seed and prints its plan as scenario files, its events and its result.
fn narrate(seed: u64) -> Result<Exit, Failure> {
    let plan = SimPlan::draw(seed);
    let mut text = format!("seed {seed}: {} on the tape\n", count(plan.tape.len(), "packet"));
    for (line, scenario) in plan.scenarios.iter().enumerate() {
        let tape = format!("random:{}:{seed}", plan.tape.len());
        let file = ScenarioFile {
            about: format!("Scenario that the simulator drew from seed {seed} for line {line}"),
            tape: tape.parse().ok().map(crate::scenario::text::QuotedText),
            ..ScenarioFile::from(scenario)
        };
        let toml = toml::to_string(&file).unwrap_or_default();
        let _ = write!(text, "\n--- line {line}, as a scenario ---\n{toml}---\n");
    }
    let _ = writeln!(text, "\n{:?}\n{:?}", plan.network, plan.options);
    if let Some(session) = &plan.session {
        let _ = writeln!(text, "followed live: {session:?}");
    }
    text.push('\n');
    print(&text)?;
    let (story, end, exit) = match live_traced(seed) {
        Ok(report) => (report.story, "every promise held".to_owned(), Exit::Complete),
        Err(broken) => (broken.story, format!("BROKEN: {}", broken.what), Exit::Unexpected),
    };
    let mut text = String::new();
    for (time, what) in story {
        let _ = writeln!(text, "{:12.6} {what}", time.as_secs_f64());
    }
    print(&(text + &end + "\n"))?;
    Ok(exit)
}
