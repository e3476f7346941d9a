//! Measures betacrew beside what people would use instead, and writes what came out into
//! `RESULTS.md`. `bench/README.md` says how, and how to read it.

mod crowd;
mod machine;
mod measure;
mod plot;
mod process;
mod proxy;
mod raw;
mod report;
mod tape;
mod targets;
#[path = "../../crates/betacrew/src/text/xml.rs"]
mod xml;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use targets::Plan;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: bench [--quick] [--rounds N] [--only N[,N...]] [--write]

  --quick    less of everything, in less than two minutes
  --rounds   number of rounds instead of 9 (3 with --quick)
  --only     these targets only
  --write    write RESULTS.md and its pictures; without --quick and --only that is the default";

struct Args {
    quick: bool,
    rounds: Option<usize>,
    only: Vec<u32>,
    write: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The parts of it that have to be processes.
        ["floor-exchange", wire] => number(wire).and_then(raw::floor_exchange),
        ["floor-client", exchange, len, path] => {
            number(len).and_then(|len| raw::floor_client(exchange, len, Path::new(path)))
        }
        _ => match parse(&args) {
            Some(args) => run(&args),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> Result<usize> {
    Ok(text.parse()?)
}

fn parse(typed: &[String]) -> Option<Args> {
    let mut args = Args { quick: false, rounds: None, only: Vec::new(), write: false };
    let mut typed = typed.iter().map(String::as_str);
    while let Some(word) = typed.next() {
        match word {
            "--quick" => args.quick = true,
            "--write" => args.write = true,
            "--rounds" => args.rounds = Some(typed.next()?.parse().ok().filter(|&n| n > 0)?),
            "--only" => {
                let numbers = typed.next()?.split(',').map(str::parse);
                args.only = numbers.collect::<std::result::Result<_, _>>().ok()?;
            }
            _ => return None,
        }
    }
    Some(args)
}

fn run(args: &Args) -> Result<()> {
    betacrew::net::raise_descriptor_limit();
    build()?;
    let node = process::has_node();
    if !node {
        eprintln!("Node.js is not there (`node`): nothing is compared with it");
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().unwrap_or(Path::new("."));
    let disk = tempfile::tempdir_in(beside)?;
    let memory = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() {
        Path::new("/dev/shm")
    } else {
        beside
    })?;
    let plan = Plan {
        rounds: args.rounds.unwrap_or(if args.quick { 3 } else { 9 }),
        quick: args.quick,
        node,
        folder: disk.path().to_owned(),
        memory: memory.path().to_owned(),
    };
    let machine = machine::describe(&plan)?;
    println!("{machine}");
    let began = Instant::now();
    let (rows, curves) = targets::run(&plan, &args.only)?;
    let missed = rows.iter().filter(|row| row.met() == Some(false)).count();
    let met = rows.iter().filter(|row| row.met() == Some(true)).count();
    println!("\n{met} met, {missed} missed, after {:.0} s", began.elapsed().as_secs_f64());
    if args.write || !args.quick && args.only.is_empty() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR"));
        let head = include_str!("results.md");
        let text = format!("{head}\n{machine}\n\n{}", report::table(&rows));
        fs::write(place.join("RESULTS.md"), text)?;
        fs::write(place.join("targets.svg"), plot::targets(&rows))?;
        if !curves.is_empty() {
            fs::write(place.join("costs.svg"), plot::costs(&curves))?;
        }
    }
    Ok(())
}

/// Makes sure that what is measured is what is here.
fn build() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = std::env::current_exe()?;
    let target: PathBuf = own.ancestors().nth(2).unwrap_or(Path::new("target")).to_owned();
    for (manifest, bin) in [("Cargo.toml", "betacrew"), ("bench/Cargo.toml", "plain")] {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&root).args(["build", "--quiet", "--release", "--locked"]);
        cargo.args(["--manifest-path", manifest, "--bin", bin, "--target-dir"]).arg(&target);
        if !cargo.status()?.success() {
            return Err(format!("{bin} does not build").into());
        }
    }
    Ok(())
}
