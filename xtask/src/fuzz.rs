//! Coverage-guided fuzzing with `cargo fuzz`.
//!
//! Without a sanitizer, since nothing here is unsafe; so the stable compiler will do. CI does not
//! run this: the tests of `fuzz-targets` run each target over the kept inputs.

use crate::{cargo, command, on_each_processor};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz");

/// Time that each target runs if nothing else is said, in seconds.
const SECONDS: u32 = 10;

/// Maximum length of an input in bytes: short operation lists are easier to understand.
const LONGEST: u32 = 2000;

/// Maximum number of inputs of a target's seed corpus in the repository.
const SEEDS: usize = 60;

const USAGE: &str = "usage: cargo xtask fuzz [TARGET] [--seconds N] [--keep]\n\n  \
                     --keep  put what was found worth keeping into fuzz/seeds";

/// Targets to run, and how.
#[derive(Default)]
struct Wanted {
    target: Option<String>,
    seconds: Option<u32>,
    keep: bool,
}

/// Runs one target or all of them.
pub(crate) fn run(args: impl Iterator<Item = String>) -> Result<(), String> {
    let wanted = wanted(args)?;
    if !command("fuzz --version", &[]).output().is_ok_and(|done| done.status.success()) {
        return Err("cargo-fuzz is not installed (cargo install --locked cargo-fuzz)".to_owned());
    }
    cargo("fmt --manifest-path fuzz/Cargo.toml --check", &[])?;
    let listed = command("fuzz list", &[]).output().map_err(|error| error.to_string())?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let is_chosen = |it: &&str| wanted.target.as_deref().is_none_or(|target| target == *it);
    let chosen: Vec<&str> = listed.lines().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(format!("no such target; there are\n{listed}"));
    }
    let build = format!("fuzz build --sanitizer none {}", wanted.target.as_deref().unwrap_or(""));
    cargo(build.trim_end(), &[])?;
    fuzz_all(&chosen, wanted.seconds.unwrap_or(SECONDS))?;
    for target in chosen.iter().filter(|_| wanted.keep) {
        keep(target).map_err(|error| format!("{FOLDER}: {error}"))?;
    }
    Ok(())
}

/// Fuzzes targets, one on each processor at a time, because a fuzzer uses one.
fn fuzz_all(targets: &[&str], seconds: u32) -> Result<(), String> {
    let queue = Mutex::new(targets.iter());
    on_each_processor(|_| {
        loop {
            let next = queue.lock().map_err(|error| error.to_string())?.next();
            let Some(target) = next else { return Ok(()) };
            fuzz(target, seconds)?;
        }
    })
}

fn wanted(args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let (mut args, mut wanted) = (args, Wanted::default());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--keep" => wanted.keep = true,
            "--seconds" => {
                let seconds = args.next().and_then(|text| text.parse().ok());
                wanted.seconds = Some(seconds.ok_or(USAGE)?);
            }
            target if !target.starts_with('-') => wanted.target = Some(target.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(wanted)
}

fn corpus(target: &str) -> PathBuf {
    Path::new(FOLDER).join("corpus").join(target)
}

fn seeds(target: &str) -> PathBuf {
    match target {
        // The built-in scenarios are good seeds.
        "scenario" => Path::new(FOLDER).join("../crates/betacrew/scenarios"),
        _ => Path::new(FOLDER).join("seeds").join(target),
    }
}

/// Fuzzes a target. Prints how many inputs it has tried, or everything if it has found a bug.
fn fuzz(target: &str, seconds: u32) -> Result<(), String> {
    let (corpus, seeds) = (corpus(target), seeds(target));
    for folder in [&corpus, &seeds] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let (corpus, seeds) = (corpus.display(), seeds.display());
    let args = format!(
        "fuzz run --sanitizer none {target} {corpus} {seeds} -- -max_total_time={seconds} \
         -max_len={LONGEST} -timeout=20 -rss_limit_mb=2500 -verbosity=0 -print_final_stats=1"
    );
    let done = command(&args, &[]).output().map_err(|error| format!("cargo {args}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        return Err(format!("cargo {args}: {}\n{said}", done.status));
    }
    let stat = |name: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("stat::"));
        let found = lines.filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name);
        found.map_or("?", |(_, value)| value.trim())
    };
    let (inputs, rate) = (stat("number_of_executed_units"), stat("average_exec_per_sec"));
    eprintln!("{target:16} {inputs:>9} inputs, {rate:>7} a second");
    Ok(())
}

/// Stores the shortest inputs that reach all covered code.
fn keep(target: &str) -> Result<(), std::io::Error> {
    if target == "scenario" {
        return Ok(());
    }
    let (corpus, seeds) = (corpus(target), seeds(target));
    let shown = corpus.display();
    cargo(&format!("fuzz cmin --sanitizer none {target} {shown}"), &[])
        .map_err(std::io::Error::other)?;
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&corpus)? {
        let entry = entry?;
        found.push((entry.metadata()?.len(), entry.path()));
    }
    found.sort();
    // Inputs with names in words have found bugs, and stay.
    for entry in fs::read_dir(&seeds)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            fs::remove_file(path)?;
        }
    }
    // The inputs are spread over all lengths, because short ones alone cover little.
    let step = found.len().div_ceil(SEEDS).max(1);
    for (_, path) in found.iter().step_by(step) {
        fs::copy(path, seeds.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
