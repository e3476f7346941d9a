//! Instruction counts of the hot paths. They are the same on a busy and on an idle machine, so that
//! a slower path shows where times would not.

use crate::on_each_processor;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Maximum growth of a count in percent, because another compiler or C library changes counts a
/// little.
const BOUND: u64 = 10;

/// File with the counts that a change is compared with.
const BASELINE: &str = "bench/counts.txt";

/// Counts instructions and compares them; with `record`, stores them instead.
pub(crate) fn run(record: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if Command::new("valgrind").arg("--version").output().is_err() {
        return match std::env::var_os("BETACREW_REQUIRE_VALGRIND") {
            Some(_) => Err("valgrind is not installed".to_owned()),
            None => {
                eprintln!("skipped: valgrind is not installed (apt-get install valgrind)");
                Ok(())
            }
        };
    }
    let hot = build(&root)?;
    let listed = output(Command::new(&hot))?;
    let cases = listed.lines().filter_map(|line| line.split('\t').next());
    let (queue, counts) = (Mutex::new(cases), Mutex::new(BTreeMap::new()));
    on_each_processor(|_| {
        loop {
            let next = queue.lock().map_err(|error| error.to_string())?.next();
            let Some(case) = next else { return Ok(()) };
            let counted = count(&root, &hot, case)?;
            counts.lock().map_err(|error| error.to_string())?.insert(case.to_owned(), counted);
        }
    })?;
    let counts = counts.into_inner().map_err(|error| error.to_string())?;
    let place = root.join(BASELINE);
    if record {
        let lines: String =
            counts.iter().map(|(case, count)| format!("{case} {count}\n")).collect();
        return fs::write(&place, lines).map_err(|error| format!("{BASELINE}: {error}"));
    }
    let before = fs::read_to_string(&place).map_err(|error| format!("{BASELINE}: {error}"))?;
    compare(&before, &counts)
}

fn build(root: &Path) -> Result<PathBuf, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let args = "build --quiet --release --locked --manifest-path bench/Cargo.toml \
                --no-default-features --bin hot --target-dir";
    let mut command = crate::command(args, &[]);
    let built = command.arg(&target).status().map_err(|error| error.to_string())?;
    if !built.success() {
        return Err(built.to_string());
    }
    Ok(target.join("release/hot"))
}

fn output(mut command: Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    let said = String::from_utf8_lossy(&said).into_owned();
    if done.status.success() { Ok(said) } else { Err(format!("{command:?}: {said}")) }
}

/// Counts the instructions of one case.
fn count(root: &Path, hot: &Path, case: &str) -> Result<u64, String> {
    let file = root.join("target").join(format!("callgrind.{case}"));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--toggle-collect=bench::hot::measured*"]);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(hot).arg(case);
    let said = output(command)?;
    let counted = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    match counted.and_then(|count| count.trim().parse().ok()) {
        // The output shows that another case was counted.
        Some(0) | None => Err(format!("nothing was counted of {case}:\n{said}")),
        Some(count) => Ok(count),
    }
}

/// Shows each count beside the recorded one. Growth beyond the bound is an error.
fn compare(before: &str, counts: &BTreeMap<String, u64>) -> Result<(), String> {
    let before: BTreeMap<&str, u64> = before
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(case, count)| Some((case, count.parse().ok()?)))
        .collect();
    if !before.keys().eq(counts.keys()) {
        return Err(format!("{BASELINE} has other cases: {RECORD}"));
    }
    let mut worse = Vec::new();
    for (case, &now) in counts {
        let old = before.get(case.as_str()).copied().unwrap_or(0);
        eprintln!("{case:12} {now:>12} instructions, {old:>12} recorded");
        if now * 100 > old * (100 + BOUND) {
            worse.push(format!("{case} takes {now} instructions instead of {old}"));
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!("more than {BOUND} % worse: {}. If that is meant, {RECORD}", worse.join(", ")))
}

const RECORD: &str = "record them with `cargo xtask counts --record`, and say why";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_much_worse_is_told_and_what_is_missing() {
        let counts = |scan| BTreeMap::from([("json".to_owned(), 7), ("scan".to_owned(), scan)]);
        let before = "json 7\nscan 1000\n";
        assert_eq!(compare(before, &counts(1100)), Ok(()));
        assert_eq!(compare(before, &counts(10)), Ok(()), "better is fine");
        let worse = compare(before, &counts(1101)).unwrap_err();
        assert!(worse.contains("scan takes 1101 instructions instead of 1000"), "{worse}");
        assert!(compare("json 7\n", &counts(1000)).unwrap_err().contains("other cases"));
    }
}
