//! The command line: what can be typed, and where it goes.

use crate::failure::Failure;
use crate::net::Stop;
use crate::{convert, demo, fetch, grade, inspect, scenarios, serve, sim};
use clap::{Parser, Subcommand};
use std::fmt;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "betacrew",
    version,
    about = "A mock exchange that loses packets on purpose, and a client that never does",
    after_help = "Begin with `betacrew demo`, or with `betacrew serve` in one terminal and \
                  `betacrew fetch` in another.\n\n\
                  Exit codes: 0 complete, 1 unexpected, 2 usage, 3 incomplete, 4 peer misbehaved, \
                  5 unreachable, 6 storage, 10 graded client failed",
    max_term_width = 100,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How much to log to stderr [default: info for serve, warn for the others]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logging")]
    log: Option<Level>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a mock exchange until Ctrl+C
    Serve(serve::Args),
    /// Record a session from an exchange, every packet of it, to output.json
    Fetch(fetch::Args),
    /// Write a file of packets in another format
    Convert(convert::Args),
    /// Look into recordings: what is there, what is missing, whether it is whole
    Inspect(inspect::Args),
    /// List the built-in scenarios, or print one as a starting point
    Scenarios(scenarios::Args),
    /// Simulate lives of recordings, with everything that can go wrong, and check each
    Sim(sim::Args),
    /// Test a client of anybody's, in any language, against exchanges that lose packets
    Grade(grade::Args),
    /// Watch an exchange lose packets and a client recover them, in one process
    Demo(demo::Args),
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// The program.
pub fn main() -> ExitCode {
    // Prints what is wrong and exits with 2, or prints help and exits with 0.
    let cli = Cli::parse();
    let default = if matches!(cli.command, Command::Serve(_)) { Level::Info } else { Level::Warn };
    log_to_stderr(cli.log.unwrap_or(default));
    let stop = Stop::new();
    let done = stop_on_signals(&stop).and_then(|()| match cli.command {
        Command::Serve(args) => serve::run(&args, &stop),
        Command::Fetch(args) => fetch::run(&args, &stop),
        Command::Convert(args) => convert::run(&args, &stop),
        Command::Inspect(args) => inspect::run(&args, &stop),
        Command::Scenarios(args) => scenarios::run(&args),
        Command::Sim(args) => sim::run(&args, &stop),
        Command::Grade(args) => grade::run(&args, &stop),
        Command::Demo(args) => demo::run(&args, &stop),
    });
    done.unwrap_or_else(|failure| {
        crate::words::tell!("betacrew: {failure}");
        failure.exit()
    })
    .into()
}

fn log_to_stderr(level: Level) {
    use std::io::IsTerminal;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = match &level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    // What becomes of its connections we say ourselves.
    let client = if matches!(level, Level::Debug) { filter } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(filter).with_target("async_nats", client);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(filter)
        // Where stderr cannot be written there is nobody to tell that either.
        .log_internal_errors(false)
        .with_timer(Since(std::time::Instant::now()))
        .with_target(false)
        .finish()
        .with(targets)
        .init();
}

/// Stamps log lines with the seconds since the program began.
struct Since(std::time::Instant);

impl tracing_subscriber::fmt::time::FormatTime for Since {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> fmt::Result {
        write!(line, "{:9.3}", self.0.elapsed().as_secs_f64())
    }
}

/// Ctrl+C, SIGTERM and SIGHUP end what runs in order, the second one what is then still done, and
/// the third one everything at once.
fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.stop() > 1 {
            // As a shell reports a program that a signal has ended.
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::System {
        action: "cannot watch for signals",
        source: std::io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let typed = "betacrew fetch --last 7 --passes 3 --classic --resend-max 200 --window 9 \
                     --timeout 2s --retries 1";
        let Command::Fetch(args) = Cli::parse_from(typed.split_whitespace()).command else {
            unreachable!("fetch was typed");
        };
        let meant = feed::recorder::Options {
            classic: true,
            last: Some(7),
            passes: Some(3),
            window: 9,
            retries: 1,
            timeout: std::time::Duration::from_secs(2),
            resend_max: 200,
            ..feed::recorder::Options::default()
        };
        assert_eq!(args.options(), meant);
    }
}
