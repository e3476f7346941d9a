//! `betacrew sim`: lives of recordings on simulated networks and disks.

use crate::error::{Exit, Failure};
use crate::net::Stop;
use crate::scenario::ScenarioFile;
use crate::terminal::message::print;
use crate::terminal::signals;
use crate::text::formatting::{count, grouped, took};
use feed::sim::run::{SimPlan, SimReport, Violation, live};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What `sim` takes.
#[derive(clap::Args, Debug)]
pub struct SimArgs {
    /// Live so many lives, one after the other
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,

    /// Begin with this seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// Print what recovery costs, by loss and round-trip time
    #[arg(long, conflicts_with_all = ["seeds", "from", "narrate"])]
    cost: bool,

    /// Live one life and tell what happens in it
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    narrate: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Where stdout fails.
pub fn run(args: &SimArgs, stop: &Stop) -> Result<Exit, Failure> {
    if let Some(seed) = args.narrate {
        return narrate(seed);
    }
    if args.cost {
        return print(&cost());
    }
    let began = Instant::now();
    let mut sum = SimReport::default();
    let mut lives = 0u64;
    let mut broken: Vec<Violation> = Vec::new();
    let orderly = signals::orderly();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        if stop.asked() {
            break;
        }
        lives += 1;
        match live(seed, false) {
            Ok(lived) => add(&mut sum, &lived),
            Err(life) => {
                let _blocks = signals::may_block();
                print(&format!("seed {seed}: {}; betacrew sim --narrate {seed}\n", life.what))?;
                broken.push(life);
            }
        }
    }
    drop(orderly);
    print(&summary(lives, broken.len(), &sum, began.elapsed()))?;
    Ok(if broken.is_empty() { Exit::Complete } else { Exit::Unexpected })
}

/// The tables of `docs/recovery.md`.
#[must_use]
pub fn cost() -> String {
    format!(
        "An exchange that speaks the extension, 10,000 packets:\n\n{}\n\
         An exchange of the original protocol, 100 packets:\n\n{}",
        feed::sim::cost::table(10_000, true),
        feed::sim::cost::table(100, false)
    )
}

fn add(sum: &mut SimReport, lived: &SimReport) {
    sum.packets += lived.packets;
    sum.delivered += lived.delivered;
    sum.steps += lived.steps;
    sum.tries += lived.tries;
    sum.crashes += lived.crashes;
    sum.incomplete += lived.incomplete;
    sum.shifted += lived.shifted;
    sum.took += lived.took;
}

fn summary(lives: u64, broken: usize, sum: &SimReport, time: Duration) -> String {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate to be shown"
    )]
    let rate = |number: u64| grouped((number as f64 / time.as_secs_f64().max(1e-9)) as u64);
    let mut text = format!(
        "{}, {broken} broken, in {}\n",
        match lives {
            1 => "1 life".to_owned(),
            more => grouped(more) + " lives",
        },
        took(time)
    );
    let _ = writeln!(
        text,
        "  {} recorded; the command was given {} times, cut short {} times, ended incomplete \
         {} times",
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
            "  {} recorded that the exchange had not sent so, where garbage shifted it",
            count(sum.shifted, "packet")
        );
    }
    text
}

/// Tells a life: its plan as scenario files, what happens, and what it comes to.
fn narrate(seed: u64) -> Result<Exit, Failure> {
    let plan = SimPlan::draw(seed);
    let mut text =
        format!("seed {seed}: {} on the tape\n", count(plan.tape.len().into(), "packet"));
    for (line, scenario) in plan.scenarios.iter().enumerate() {
        let tape = format!("random:{}:{seed}", plan.tape.len());
        let file = ScenarioFile {
            about: format!("What the simulator drew from seed {seed} for line {line}"),
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
    let (story, end, exit) = match live(seed, true) {
        Ok(lived) => (lived.story, "it ends well".to_owned(), Exit::Complete),
        Err(broken) => (broken.story, format!("BROKEN: {}", broken.what), Exit::Unexpected),
    };
    let mut text = String::new();
    for (time, what) in story {
        let _ = writeln!(text, "{:12.6} {what}", time.as_secs_f64());
    }
    print(&(text + &end + "\n"))?;
    Ok(exit)
}
