//! The project's tasks. `cargo xtask` lists them; `cargo xtask ci` is what CI runs.

mod counts;
mod coverage;
mod dist;
mod fuzz;
mod licences;
mod mutants;
#[cfg(test)]
mod pages;
mod picture;
#[cfg(test)]
mod prose;
#[cfg(test)]
mod rooms;
mod site;
mod soak;
mod suite;
#[cfg(test)]
mod tidy;
#[path = "../../crates/betacrew/src/text/xml.rs"]
mod xml;

use mutants::Choice;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

struct Task {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<(), String>,
    in_ci: bool,
}

/// Tasks, those of CI in the order in which it runs them.
const TASKS: [Task; 19] = [
    Task { name: "fmt", about: "formatting", run: fmt, in_ci: true },
    Task { name: "clippy", about: "lints, warnings are errors", run: clippy, in_ci: true },
    Task { name: "purity", about: "the core uses no standard library", run: purity, in_ci: true },
    Task { name: "test", about: "all tests, and the slowest", run: suite::run, in_ci: true },
    Task { name: "oldest", about: "the oldest supported Rust", run: oldest, in_ci: true },
    Task {
        name: "mutants",
        about: "bugs put in are noticed; CI tries a twelfth",
        run: mutants,
        in_ci: true,
    },
    Task {
        name: "fuzz",
        about: "each fuzz target, for a few seconds; needs cargo-fuzz",
        run: fuzz,
        in_ci: false,
    },
    Task { name: "doc", about: "documentation, warnings are errors", run: doc, in_ci: true },
    Task {
        name: "licences",
        about: "licences and sources of dependencies",
        run: licences::run,
        in_ci: true,
    },
    Task { name: "counts", about: "instructions of the hot paths", run: counts, in_ci: true },
    Task {
        name: "dist",
        about: "packages for dpkg, pip, npm, containers; needs their programs",
        run: dist::run,
        in_ci: false,
    },
    Task {
        name: "reproduce",
        about: "dist built again elsewhere has the same bytes",
        run: dist::reproduce,
        in_ci: false,
    },
    Task { name: "site", about: "the pages as a book; needs mdbook", run: site::run, in_ci: false },
    Task { name: "bench", about: "how fast it is, beside others", run: bench, in_ci: false },
    Task {
        name: "latency",
        about: "from the exchange's write to the line on stdout",
        run: latency,
        in_ci: false,
    },
    Task {
        name: "soak",
        about: "live sessions while both ends are killed",
        run: soak,
        in_ci: false,
    },
    Task {
        name: "coverage",
        about: "lines of the core that tests run",
        run: coverage,
        in_ci: false,
    },
    Task {
        name: "picture",
        about: "draws docs/demo.svg and docs/inspect.svg",
        run: picture,
        in_ci: false,
    },
    Task {
        name: "dashboard",
        about: "takes docs/dashboard-*.png; needs Node.js and Chromium",
        run: dashboard,
        in_ci: false,
    },
];

/// Tasks that CI runs beside the tests, which mostly wait. They build in folders of their own.
const BESIDE_TESTS: [&str; 2] = ["oldest", "counts"];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "timed" {
        let ran = suite::timed(&std::env::args().skip(2).collect::<Vec<_>>());
        return ran.unwrap_or_else(|reason| {
            eprintln!("{reason}");
            ExitCode::FAILURE
        });
    }
    let chosen: Vec<&Task> =
        TASKS.iter().filter(|task| name == "ci" && task.in_ci || task.name == name).collect();
    if chosen.is_empty() {
        let others: Vec<&str> =
            TASKS.iter().filter(|task| !task.in_ci).map(|task| task.name).collect();
        eprintln!("usage: cargo xtask TASK\n\n  ci         all of these but {}", others.join(", "));
        TASKS.iter().for_each(|task| eprintln!("  {:10} {}", task.name, task.about));
        return ExitCode::from(2);
    }
    let mut took = Vec::new();
    for task in chosen {
        if name == "ci" && BESIDE_TESTS.contains(&task.name) {
            continue;
        }
        eprintln!("\n== {}: {}", task.name, task.about);
        let (began, before) = (Instant::now(), used());
        let beside =
            (name == "ci" && task.name == "test").then(|| std::thread::spawn(beside_tests));
        let ran = (task.run)();
        let beside = beside.map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| Err("a task beside the tests panicked".to_owned()))
        });
        if let Err(reason) = ran.and(beside) {
            eprintln!("\n{} failed: {reason}", task.name);
            return ExitCode::FAILURE;
        }
        let cpu = used().zip(before).map_or(0.0, |(now, before)| (now - before).as_secs_f64());
        took.push(format!("{:10} {:7.1} {cpu:7.1}", task.name, began.elapsed().as_secs_f64()));
    }
    eprintln!("\ntask       seconds     CPU\n{}", took.join("\n"));
    ExitCode::SUCCESS
}

/// Runs the tasks that need not wait for the tests, one after another, with what the tests leave of
/// the processors.
fn beside_tests() -> Result<(), String> {
    let ours = std::env::current_exe().map_err(|error| error.to_string())?;
    BESIDE_TESTS.iter().try_for_each(|task| {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(&ours).arg(task);
        finish(&mut command).map_err(|reason| format!("{task}: {reason}"))
    })
}

fn fmt() -> Result<(), String> {
    cargo("fmt --all --check", &[])?;
    cargo("fmt --manifest-path bench/Cargo.toml --check", &[])
}

fn clippy() -> Result<(), String> {
    cargo("clippy --workspace --all-targets --all-features --locked -- -D warnings", &[])?;
    // Code without the features must compile as well; its tests run, see `suite`.
    cargo(
        "clippy --package betacrew --lib --bins --no-default-features --locked -- -D warnings",
        &[],
    )?;
    // The core without the simulator, as a program that uses it as a library builds it.
    cargo("clippy --package feed --lib --locked -- -D warnings", &[])?;
    // The bench is a workspace of its own, and shares the build folder.
    cargo(
        "clippy --manifest-path bench/Cargo.toml --target-dir target --all-targets --all-features \
         --locked -- -D warnings",
        &[],
    )
}

/// Builds the program with the oldest Rust that it supports. The versions of dependencies that only
/// other features need are chosen for that Rust by cargo.
fn oldest() -> Result<(), String> {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let rustup = || {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", version, "cargo"]);
        rustup.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // Cargo sets these variables for the programs that it starts.
        rustup.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
        rustup
    };
    if !rustup().arg("--version").output().is_ok_and(|done| done.status.success()) {
        let missing =
            format!("Rust {version} is not installed (rustup toolchain install {version})");
        return match std::env::var_os("BETACREW_REQUIRE_OLDEST") {
            Some(_) => Err(missing),
            None => {
                eprintln!("skipped: {missing}");
                Ok(())
            }
        };
    }
    let args = "check --quiet --package betacrew --locked --target-dir target/oldest";
    eprintln!("$ cargo +{version} {args}");
    finish(rustup().args(args.split(' ')))
}

/// Tries all bugs, or those with a name: `cargo xtask mutants window`. CI tries a share.
fn mutants() -> Result<(), String> {
    const SHARES_OF_CI: usize = 12;
    let is_ci = std::env::args().nth(1).is_some_and(|task| task == "ci");
    match std::env::args().nth(2) {
        Some(name) => mutants::run(Choice::Named(&name)),
        None if is_ci => mutants::run(Choice::Share(SHARES_OF_CI)),
        None => mutants::run(Choice::All),
    }
}

fn fuzz() -> Result<(), String> {
    fuzz::run(std::env::args().skip(2))
}

/// Runs the latency bench with its arguments: `cargo xtask latency 5`.
fn latency() -> Result<(), String> {
    cargo("build --release --locked --package betacrew", &[])?;
    let seconds = std::env::args().nth(2).unwrap_or_default();
    let run = "run --release --locked --manifest-path bench/Cargo.toml --target-dir target \
               --no-default-features --bin latency --";
    cargo(format!("{run} {seconds}").trim_end(), &[])
}

/// Runs the soak test: `cargo xtask soak --minutes 60 --rate 200000`.
fn soak() -> Result<(), String> {
    soak::run(&std::env::args().skip(2).collect::<Vec<_>>())
}

fn coverage() -> Result<(), String> {
    coverage::run()
}

fn doc() -> Result<(), String> {
    cargo("doc --workspace --all-features --no-deps --locked", &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Builds the core without `std`, and checks that the proof can fail.
fn purity() -> Result<(), String> {
    const BUILD: &str = "build --quiet --manifest-path crates/feed/purity/Cargo.toml";
    cargo(BUILD, &[])?;
    let output = command(&format!("{BUILD} --features impure"), &[])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains("panic_impl") {
        return Err(format!("the proof does not notice the standard library:\n{said}"));
    }
    Ok(())
}

/// Counts instructions; `--record` stores the counts.
fn counts() -> Result<(), String> {
    counts::run(std::env::args().nth(2).as_deref() == Some("--record"))
}

/// Runs the bench with its arguments: `cargo xtask bench --quick --only 4`.
fn bench() -> Result<(), String> {
    const BUILD: &str = "run --release --manifest-path bench/Cargo.toml --target-dir target \
                         --bin bench --features columnar --";
    eprintln!("$ cargo {BUILD}");
    finish(command(BUILD, &[]).args(std::env::args().skip(2)))
}

/// Draws the README's pictures.
fn picture() -> Result<(), String> {
    let shown = command("run --quiet --release -- demo --seed 7 --packets 300", &[])
        .env("CLICOLOR_FORCE", "1")
        .env_remove("NO_COLOR")
        .output()
        .map_err(|error| error.to_string())?;
    let shown = String::from_utf8(shown.stdout).map_err(|error| error.to_string())?;
    let story = shown.split("\nNext: ").next().unwrap_or_default();
    let text = format!("$ cargo run --release -- demo\n\n{}", story.trim_end());
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo.svg");
    std::fs::write(place, picture::svg(&text)).map_err(|error| format!("{place}: {error}"))?;
    cargo("run --quiet --release -- demo --packets 600 --seed 7 -o target/session.tape", &[])?;
    cargo("run --quiet --release -- inspect target/session.tape --plot docs/inspect.svg", &[])
}

/// Takes the README's pictures of the dashboard, as the browser test would.
fn dashboard() -> Result<(), String> {
    cargo("build --quiet --release --package betacrew", &[])?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let status = Command::new("node")
        .args(["crates/betacrew/tests/browser/pictures.mjs", "docs"])
        .current_dir(root)
        .env("BETACREW_PROGRAM", format!("{root}/target/release/betacrew"))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(format!("{status} (has `npm ci --prefix crates/betacrew/tests/browser` been run?)"))
        }
        Err(error) => Err(format!("node: {error}")),
    }
}

fn cargo(args: &str, env: &[(&str, &str)]) -> Result<(), String> {
    eprintln!("$ cargo {args}");
    finish(&mut command(args, env))
}

/// Runs a function once on each processor, at the same time, with the number of the processor.
/// Returns the first error after all have ended.
fn on_each_processor(work: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..workers).map(|it| scope.spawn(move || work(it))).collect();
        let ended = running.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => Err("a thread panicked".to_owned()),
        });
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Runs a command, and returns an error if it fails.
fn finish(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the processor time of all processes that were started and have ended, where the system
/// tells it.
fn used() -> Option<Duration> {
    /// Linux counts processor time in hundredths of a second for programs.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    // Fields 16 and 17 of proc(5), cutime and cstime, of which the first two are cut off here.
    let times = fields.split(' ').skip(13).take(2);
    let ticks: u32 = times.map(|ticks| ticks.parse().unwrap_or(0)).sum();
    Some(TICK * ticks)
}

fn command(args: &str, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo describes this program in variables. A dependency whose build reads them would be built
    // again after each change between `cargo` and `cargo xtask`.
    for (name, _) in std::env::vars_os() {
        let is_own = |start: &str| name.to_string_lossy().starts_with(start);
        if is_own("CARGO_PKG_") || is_own("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.args(args.split(' ')).envs(env.iter().copied());
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}
