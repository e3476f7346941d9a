//! Proof that the checks find bugs: our own code with one bug put in at a time must fail them.
//!
//! The core and its own tests are copied to `target/mutants`, once for each processor. Each bug
//! replaces a text in such a copy; then the tests run that must notice it. `mutants.txt` lists the
//! bugs.

use crate::{command, on_each_processor};
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// List of bugs.
const LIST: &str = include_str!("../mutants.txt");

/// Bug that could be in the core.
#[derive(Default, Debug)]
struct Mutant<'a> {
    name: &'a str,
    /// Description of what the bug breaks.
    breaks: &'a str,
    /// Module of the core's tests that must notice the bug.
    by: &'a str,
    edits: Vec<Edit<'a>>,
}

/// Edit of a file: lines that replace others.
#[derive(Default, Debug)]
struct Edit<'a> {
    file: &'a str,
    before: Vec<&'a str>,
    after: Vec<&'a str>,
}

/// Test modules that are run. The first one simulates whole runs, the others check single rules.
const CHECKS: [&str; 11] = [
    "simulated_runs",
    "faults",
    "steps",
    "follow",
    "torn",
    "claims",
    "lies",
    "undescribed",
    "soup",
    "soup_lies",
    "mold",
];

/// Number of simulated runs for each bug.
const LIVES: &str = "12000";

/// Maximum duration of the tests without a bug. With a bug, the limit is a multiple of their real
/// duration, and a little more.
const PATIENCE: Duration = Duration::from_secs(300);
const TIMES: u32 = 4;
const SOME: Duration = Duration::from_secs(8);

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Time limit of the tests with a bug.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Multiple of the tests' duration without a bug: tests that take longer have noticed it.
    Measured(Duration),
    /// Guess: tests that take longer have shown nothing.
    Guessed(Duration),
}

/// Result of the tests.
enum Verdict {
    /// The tests ran into the time limit.
    Endless,
    Caught(String),
    Survived,
    /// The mutant does not compile.
    Senseless(String),
}

/// Choice of mutants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    All,
    /// Mutants whose names contain a text.
    Named(&'a str),
    /// One mutant of so many, by the commit: over some commits, all are tried.
    Share(usize),
}

impl Choice<'_> {
    /// Returns the chosen mutants. `commit` is the number of a commit.
    fn of<'a>(self, all: &'a [Mutant<'a>], commit: usize) -> Vec<&'a Mutant<'a>> {
        match self {
            Self::All => all.iter().collect(),
            Self::Named(text) => all.iter().filter(|it| it.name.contains(text)).collect(),
            Self::Share(parts) => all.iter().skip(commit % parts).step_by(parts).collect(),
        }
    }
}

/// Returns a number that differs between commits; 0 outside of a repository.
fn commit() -> usize {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(ROOT).output();
    let head = head.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    head.ok().and_then(|id| usize::from_str_radix(id.get(..8)?, 16).ok()).unwrap_or(0)
}

/// Tries mutants. Each processor has a copy of the core of its own, because most of the time goes
/// into steps of a build that use one processor.
pub(crate) fn run(choice: Choice<'_>) -> Result<(), String> {
    let all = mutants(LIST)?;
    let chosen = choice.of(&all, commit());
    if chosen.is_empty() {
        return Err(format!("no bug is chosen by {choice:?}; xtask/mutants.txt lists them"));
    }
    let began = Instant::now();
    let limit = match choice {
        // CI has run the tests without a bug before.
        Choice::Share(_) => {
            on_each_processor(|worker| {
                lay_out(&scratch(worker)).map_err(|error| error.to_string())
            })?;
            Limit::Guessed(PATIENCE / TIMES)
        }
        Choice::All | Choice::Named(_) => Limit::Measured(try_without_mutants(&chosen)?),
    };
    let (queue, tried) = (Mutex::new(chosen.iter().copied()), Mutex::new((0, String::new())));
    on_each_processor(|worker| work(&scratch(worker), limit, &queue, &tried))?;
    let (count, failed) = tried.into_inner().map_err(|error| error.to_string())?;
    eprintln!("{count} of {} bugs tried in {:.0?}", all.len(), began.elapsed());
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Runs the checks that are to notice mutants without any. Returns the time limit with one.
fn try_without_mutants(chosen: &[&Mutant<'_>]) -> Result<Duration, String> {
    let used = CHECKS.iter().filter(|check| chosen.iter().any(|mutant| mutant.by == **check));
    let (checks, longest) = (Mutex::new(used), Mutex::new(Duration::ZERO));
    on_each_processor(|worker| run_checks(&scratch(worker), &checks, &longest))?;
    let longest = longest.into_inner().map_err(|error| error.to_string())?;
    Ok(longest.min(PATIENCE / TIMES) * TIMES + SOME)
}

/// Returns the folder of a processor's copy.
fn scratch(worker: usize) -> PathBuf {
    Path::new(ROOT).join("target/mutants").join(worker.to_string())
}

/// Copies the core, and runs checks of a queue without a bug. Notes the longest time of a check.
fn run_checks<'a>(
    scratch: &Path,
    checks: &Mutex<impl Iterator<Item = &'a &'static str>>,
    longest: &Mutex<Duration>,
) -> Result<(), String> {
    lay_out(scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    loop {
        let next = checks.lock().map_err(|error| error.to_string())?.next();
        let Some(check) = next else { return Ok(()) };
        build(scratch, check)??;
        let began = Instant::now();
        match verdict(scratch, check, PATIENCE)? {
            Verdict::Survived => {}
            Verdict::Endless => return Err(format!("{check} takes longer than {PATIENCE:?}")),
            Verdict::Caught(what) | Verdict::Senseless(what) => {
                return Err(format!("{check} fails without any bug put in: {what}"));
            }
        }
        let mut longest = longest.lock().map_err(|error| error.to_string())?;
        *longest = longest.max(began.elapsed());
    }
}

/// Tries mutants of a queue in a copy of the core, until there are no more. Counts them, and notes
/// those that are not noticed.
fn work<'a>(
    scratch: &Path,
    limit: Limit,
    queue: &Mutex<impl Iterator<Item = &'a Mutant<'a>>>,
    tried: &Mutex<(u32, String)>,
) -> Result<(), String> {
    loop {
        let next = queue.lock().map_err(|error| error.to_string())?.next();
        let Some(mutant) = next else { return Ok(()) };
        let Mutant { name, breaks, by, .. } = mutant;
        let (Limit::Measured(patience) | Limit::Guessed(patience)) = limit;
        let (told, failure) = match attempt(scratch, mutant, patience) {
            Ok(Verdict::Endless) => match limit {
                Limit::Measured(_) => (format!("{name:28} {by:10} never comes to its end"), None),
                Limit::Guessed(_) => (
                    format!("{name:28} UNDECIDED"),
                    Some(format!("{name}: UNDECIDED, try `cargo xtask mutants {name}`")),
                ),
            },
            Ok(Verdict::Caught(what)) => (format!("{name:28} {by:10} {what}"), None),
            Ok(Verdict::Survived) => (
                format!("{name:28} SURVIVED"),
                Some(format!("{name}: SURVIVED, nothing in {by} notices that {breaks}")),
            ),
            Ok(Verdict::Senseless(what)) | Err(what) => {
                let first = what.lines().next().unwrap_or_default();
                (format!("{name:28} {first}"), Some(format!("{name}: {what}")))
            }
        };
        eprintln!("{told}");
        let mut tried = tried.lock().map_err(|error| error.to_string())?;
        tried.0 += 1;
        failure.into_iter().for_each(|failure| tried.1 += &format!("{failure}\n"));
    }
}

/// Reads the list of mutants.
fn mutants(list: &str) -> Result<Vec<Mutant<'_>>, String> {
    let mut found: Vec<Mutant<'_>> = Vec::new();
    let written = (1..).zip(list.lines());
    for (number, line) in written.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let odd = || format!("mutants.txt:{number}: {line}");
        let edit = found.last_mut().and_then(|mutant| mutant.edits.last_mut());
        if let Some((sign @ ("- " | "+ " | "  "), text)) = line.split_at_checked(2) {
            let edit = edit.ok_or_else(odd)?;
            if sign != "+ " {
                edit.before.push(text);
            }
            if sign != "- " {
                edit.after.push(text);
            }
        } else if let Some(file) = line.strip_prefix("in ") {
            let mutant = found.last_mut().ok_or_else(odd)?;
            mutant.edits.push(Edit { file, ..Edit::default() });
        } else if let Some(by) = line.strip_prefix("by ") {
            let by = CHECKS.into_iter().find(|check| *check == by).ok_or_else(odd)?;
            found.last_mut().ok_or_else(odd)?.by = by;
        } else {
            let (name, breaks) = line.split_once(": ").ok_or_else(odd)?;
            found.push(Mutant { name, breaks, ..Mutant::default() });
        }
    }
    Ok(found)
}

impl Edit<'_> {
    /// Returns the text with its lines replaced.
    fn apply(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let here = |at: &usize| {
            let there = lines[*at..].iter().map(|line| line.trim());
            there.take(self.before.len()).eq(self.before.iter().copied())
        };
        let places: Vec<usize> = (0..lines.len()).filter(here).collect();
        let &[at] = &places[..] else {
            let (count, lines) = (places.len(), self.before.join("\n"));
            return Err(format!("{} has these lines {count} times:\n{lines}", self.file));
        };
        let behind = &lines[at + self.before.len()..];
        Ok([&lines[..at], &self.after[..], behind].concat().join("\n") + "\n")
    }
}

/// Inserts a bug, runs the check, and removes the bug.
fn attempt(scratch: &Path, mutant: &Mutant<'_>, patience: Duration) -> Result<Verdict, String> {
    let mut before: Vec<(PathBuf, String)> = Vec::new();
    let edited = mutant.edits.iter().try_for_each(|edit| {
        let path = scratch.join("crates/feed/src").join(edit.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", edit.file))?;
        let changed = edit.apply(&text)?;
        before.push((path.clone(), text));
        fs::write(path, changed).map_err(|error| format!("{}: {error}", edit.file))
    });
    let verdict = edited.and_then(|()| verdict(scratch, mutant.by, patience));
    for (path, text) in before.into_iter().rev() {
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    verdict
}

/// Copies the core and its own tests, each check as a program of its own, so that a mutant compiles
/// only the tests that must notice it.
fn lay_out(scratch: &Path) -> std::io::Result<()> {
    let (from, to) = (Path::new(ROOT).join("crates/feed"), scratch.join("crates/feed"));
    let text = fs::read_to_string(Path::new(ROOT).join("Cargo.toml"))?;
    // The copy has nothing of the workspace but the core.
    let others = ["default-members", "exclude", "gateway"];
    let own = |line: &str| match line.split(' ').next() {
        Some("members") => Some("members = [\"crates/feed\"]".to_owned()),
        Some(key) if others.contains(&key) => None,
        _ => Some(line.to_owned()),
    };
    let text = text.lines().filter_map(own).collect::<Vec<_>>().join("\n");
    keep(&scratch.join("Cargo.toml"), &text)?;
    let text = fs::read_to_string(from.join("Cargo.toml"))?;
    let text = text.split("[dev-dependencies]").next().unwrap_or_default();
    keep(&to.join("Cargo.toml"), text)?;
    copy(&from.join("src"), &to.join("src"))?;
    for check in CHECKS {
        let mut main = "#![allow(clippy::unwrap_used, clippy::panic, dead_code)]\n".to_owned();
        for module in modules(&from, check)? {
            let _ = writeln!(main, "#[path = \"it/{module}.rs\"]\nmod {module};");
            let name = format!("tests/it/{module}.rs");
            keep(&to.join(&name), &fs::read_to_string(from.join(&name))?)?;
        }
        keep(&to.join(format!("tests/{check}.rs")), &main)?;
    }
    Ok(())
}

/// Returns a module of the core's tests and those that it uses.
fn modules(core: &Path, check: &str) -> std::io::Result<Vec<String>> {
    let mut found = vec![check.to_owned()];
    let mut read = 0;
    while let Some(module) = found.get(read) {
        let text = fs::read_to_string(core.join(format!("tests/it/{module}.rs")))?;
        read += 1;
        for rest in text.split("crate::").skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if !found.iter().any(|module| *module == rest[..end]) {
                found.push(rest[..end].to_owned());
            }
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            keep(&place, &fs::read_to_string(entry.path())?)?;
        }
    }
    Ok(())
}

/// Writes a file unless it is unchanged, so that cargo does not build it again.
fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)
}

/// Builds a check of the copy. Returns its program, or the reason why it does not compile.
fn build(scratch: &Path, check: &str) -> Result<Result<PathBuf, String>, String> {
    let test =
        format!("test --offline --package feed --features sim --test {check} --no-run --jobs 1");
    let built = command(&test, &[])
        .current_dir(scratch)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        // Each mutant changes little.
        .env("CARGO_INCREMENTAL", "1")
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&built.stderr);
    if !built.status.success() {
        let error = said.lines().find(|line| line.starts_with("error")).unwrap_or("?");
        return Ok(Err(format!("does not compile: {error}")));
    }
    let program = said.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let (program, _) = program.ok_or_else(|| format!("which are the tests?\n{said}"))?;
    Ok(Ok(scratch.join(program)))
}

/// Builds the copy as it is and runs a check.
fn verdict(scratch: &Path, check: &str, patience: Duration) -> Result<Verdict, String> {
    let program = match build(scratch, check)? {
        Ok(program) => program,
        Err(error) => return Ok(Verdict::Senseless(error)),
    };
    // The program is started without cargo, so that one that hangs can be ended.
    let mut child = Command::new(&program)
        .arg(format!("{check}::"))
        // One failure is enough. The stable test harness knows the option only with the variable.
        .args(["-Zunstable-options", "--fail-fast"])
        .envs([("BETACREW_SIM_RUNS", LIVES), ("RUST_BACKTRACE", "0"), ("RUSTC_BOOTSTRAP", "1")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let stdout = child.stdout.take();
    // The output is read while the program runs, because a full pipe would block it.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.map(|mut stdout| stdout.read_to_string(&mut text));
        text
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Verdict::Endless);
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = reading.join().unwrap_or_default();
    Ok(if status.success() { Verdict::Survived } else { Verdict::Caught(complaint(&said)) })
}

/// Returns the message of the first test that failed.
fn complaint(said: &str) -> String {
    let said = said.split("\nfailures:\n").nth(1).unwrap_or(said);
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let test = lines.find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let test = test.and_then(|name| name.rsplit("::").next()).unwrap_or("?");
    let what: Vec<&str> = lines
        .filter(|line| !line.starts_with("thread ") && !line.starts_with("note: "))
        .take_while(|line| !line.starts_with("---- "))
        .collect();
    // A simulated run reports its seed and the violation.
    match what.first().and_then(|line| line.strip_prefix("seed ")) {
        Some(life) => format!("seed {}", life.split(';').next().unwrap_or(life)),
        None => test.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_fits_the_sources() {
        let list = mutants(LIST).unwrap();
        assert!(list.len() >= 40);
        for mutant in &list {
            assert!(!mutant.by.is_empty() && !mutant.edits.is_empty(), "{}", mutant.name);
            for edit in &mutant.edits {
                let path = Path::new(ROOT).join("crates/feed/src").join(edit.file);
                let text = fs::read_to_string(path).unwrap();
                let changed = edit.apply(&text).unwrap_or_else(|e| panic!("{}: {e}", mutant.name));
                assert_ne!(changed, text, "{}", mutant.name);
            }
        }
    }

    #[test]
    fn shares_are_all_of_them_together() {
        let all = mutants(LIST).unwrap();
        let mut tried: Vec<&str> = Vec::new();
        for commit in 7..11 {
            tried.extend(Choice::Share(4).of(&all, commit).iter().map(|mutant| mutant.name));
        }
        let mut names: Vec<&str> = all.iter().map(|mutant| mutant.name).collect();
        tried.sort_unstable();
        names.sort_unstable();
        assert_eq!(tried, names);
        assert!(Choice::Named("soup").of(&all, 0).len() < all.len());
    }

    #[test]
    fn the_documentation_has_all_of_them() {
        let text = fs::read_to_string(Path::new(ROOT).join("docs/simulator.md")).unwrap();
        for Mutant { name, breaks, by, .. } in mutants(LIST).unwrap() {
            let row = format!("\n| `{name}` | {breaks} | `{by}` |\n");
            assert!(text.contains(&row), "docs/simulator.md lacks this row:{row}");
        }
    }

    #[test]
    fn lines_that_are_not_there_once_are_no_place() {
        let edit = Edit { file: "a.rs", before: vec!["b", "c"], after: vec!["d"] };
        assert_eq!(edit.apply("a\n  b\n  c\ne\n").unwrap(), "a\nd\ne\n");
        assert!(edit.apply("a\nb\n").unwrap_err().contains("0 times"));
        assert!(edit.apply("b\nc\nb\nc\n").unwrap_err().contains("2 times"));
        assert!(mutants("in a.rs\n").is_err() && mutants("x: y\nby nobody\n").is_err());
    }
}
