//! Test suite: runs all tests with all features and with none, counts them, and lists the slowest.
//!
//! Cargo starts each test program through `cargo xtask timed`, which records the time of each test.

use crate::{command, finish};
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Number of slowest tests that are listed.
const LISTED: usize = 15;

/// Number of tests that run at a time. Most tests of the program wait for other processes; the
/// others use all processors by themselves.
const AT_ONCE: &str = "4";

/// Folder of the program's tests.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/betacrew/tests/it");

/// Words by which a module of tests names a feature.
const FEATURES: [&str; 5] = ["feature = ", "arrow", "parquet", "sqlite", "nats"];

/// Modules that run without features although they name none: what everybody does first.
const BASICS: [&str; 2] = ["demo", "fetch"];

/// Module that does not run without features although it names some: the pages of the
/// documentation, whose commands take minutes.
const PAGES: &str = "readme";

/// Runs all tests with all features, and then without any those that features change.
pub(crate) fn run() -> Result<(), String> {
    let times = times();
    // The file does not exist before the first run.
    let _ = fs::remove_file(&times);
    cargo_test("test --workspace --all-features --locked", &[])?;
    let modules = modules().map_err(|error| format!("{FOLDER}: {error}"))?;
    let filters = filters(&modules);
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let package = "test --package betacrew --no-default-features --locked";
    cargo_test(&format!("{package} --lib --bins"), &[])?;
    cargo_test(&format!("{package} --test it"), &filters)?;
    let times = fs::read_to_string(&times).map_err(|error| error.to_string())?;
    eprint!("{}", slowest(&times));
    Ok(())
}

/// Module of the program's tests.
struct Module {
    name: String,
    /// True if it also runs without features.
    runs_bare: bool,
}

/// Returns the modules of the program's tests.
fn modules() -> std::io::Result<Vec<Module>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        // Folders hold parts of the module with their name.
        if path.is_file() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path)?;
            let names_feature = name != PAGES && FEATURES.iter().any(|word| text.contains(word));
            let runs_bare = names_feature || BASICS.contains(&&*name);
            modules.push(Module { name, runs_bare });
        }
    }
    modules.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(modules)
}

/// Returns the arguments by which the test program runs the modules that also run without features.
fn filters(modules: &[Module]) -> Vec<String> {
    let (bare, others): (Vec<&Module>, Vec<&Module>) =
        modules.iter().partition(|module| module.runs_bare);
    let mut filters: Vec<String> = bare.iter().map(|it| format!("{}::", it.name)).collect();
    // A filter fits anywhere in a test's name: `fetch::` is in `soup_fetch::` as well.
    for Module { name, .. } in others {
        if bare.iter().any(|module| name.ends_with(&module.name)) {
            filters.extend(["--skip".to_owned(), format!("{name}::")]);
        }
    }
    filters
}

/// File with a line for each test that was run: its seconds and its name.
fn times() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-times.txt")
}

fn cargo_test(args: &str, more: &[&str]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let runner = format!("target.'cfg(all())'.runner = [{:?}, \"timed\"]", program.display());
    eprintln!("$ cargo {args} -- {}", more.join(" "));
    let mut command = command(args, &[("RUST_TEST_THREADS", AT_ONCE)]);
    finish(command.arg("--config").arg(runner).arg("--").args(more))
}

/// Runs a test program with its arguments and notes how long each test takes. Other programs, such
/// as those of examples in documentation, just run.
pub(crate) fn timed(args: &[String]) -> Result<ExitCode, String> {
    let (program, args) = args.split_first().ok_or("usage: cargo xtask timed PROGRAM [ARGS]")?;
    let mut command = Command::new(program);
    command.args(args);
    let is_test = Path::new(program).parent().is_some_and(|folder| folder.ends_with("deps"));
    if !is_test {
        let status = command.status().map_err(|error| format!("{program}: {error}"))?;
        return Ok(code(status));
    }
    // The stable test harness tells times only with this variable, as the unstable one does.
    command.args(["-Zunstable-options", "--report-time"]).env("RUSTC_BOOTSTRAP", "1");
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{program}: {error}"))?;
    let mut times = String::new();
    let (told, mut out) = (child.stdout.take().map(BufReader::new), std::io::stdout().lock());
    for line in told.into_iter().flat_map(|told| told.split(b'\n')).map_while(Result::ok) {
        let text = String::from_utf8_lossy(&line);
        if let Some((seconds, name)) = time_of(&text) {
            let _ = writeln!(times, "{seconds} {name}");
        }
        let _ = writeln!(out, "{text}");
    }
    let file = fs::File::options().create(true).append(true).open(self::times());
    let written = file.and_then(|mut file| file.write_all(times.as_bytes()));
    written.map_err(|error| format!("{}: {error}", self::times().display()))?;
    child.wait().map(code).map_err(|error| error.to_string())
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// Returns the seconds and the name of a test from the line that it ended with.
fn time_of(line: &str) -> Option<(f64, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (_, seconds) = rest.split_once('<')?;
    Some((seconds.strip_suffix("s>")?.parse().ok()?, name))
}

/// Says how many tests were run, and which of them took longest.
fn slowest(times: &str) -> String {
    let one = |line: &str| {
        let (seconds, name) = line.split_once(' ')?;
        Some((seconds.parse::<f64>().ok()?, name.to_owned()))
    };
    let mut all: Vec<(f64, String)> = times.lines().filter_map(one).collect();
    all.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut text = format!("\n{} tests were run; the slowest:\n", all.len());
    for (seconds, name) in all.iter().take(LISTED) {
        let _ = writeln!(text, "{seconds:8.1} s  {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_tests_are_listed() {
        let told = "test a::b ... ok <1.250s>\ntest c ... FAILED <12.5s>\ntest d ... ignored\n";
        let times: String = told
            .lines()
            .filter_map(time_of)
            .map(|(seconds, name)| format!("{seconds} {name}\n"))
            .collect();
        let text = slowest(&times);
        assert!(text.contains("2 tests were run"), "{text}");
        assert!(text.find("12.5 s  c").unwrap() < text.find("1.2 s  a::b").unwrap(), "{text}");
        assert_eq!(slowest(&"1 x\n".repeat(LISTED + 1)).lines().count(), LISTED + 2);
    }

    #[test]
    fn modules_that_name_a_feature_run_without_it_as_well() {
        let filters = filters(&modules().unwrap()).join(" ");
        for module in ["readers::", "gateway::", "demo::", "fetch::", "--skip soup_fetch::"] {
            assert!(format!(" {filters} ").contains(&format!(" {module} ")), "{module}: {filters}");
        }
        assert!(!filters.contains("original::") && !filters.contains(" grade::"), "{filters}");
        assert!(!filters.contains(" readme::"), "{filters}");
        assert!(!filters.contains("--skip soup_serve::"), "it names a feature: {filters}");
    }
}
