//! The command line: what can be typed, and where it goes.

use crate::failure::{Exit, Failure};
use crate::net::Stop;
use crate::{demo, fetch, serve};
use clap::{Parser, Subcommand};
use std::fmt;
use std::ops::RangeInclusive;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "betacrew",
    version,
    about = "A mock exchange that loses packets on purpose, and a client that never does",
    after_help = "Begin with `betacrew demo`, or with `betacrew serve` in one terminal and \
                  `betacrew fetch` in another.\n\n\
                  Exit codes: 0 complete, 1 unexpected, 2 usage, 3 incomplete, 4 peer misbehaved, \
                  5 unreachable, 6 storage",
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
        Command::Demo(args) => demo::run(&args, &stop),
    });
    done.unwrap_or_else(|failure| {
        eprintln!("betacrew: {failure}");
        failure.exit()
    })
    .into()
}

fn log_to_stderr(level: Level) {
    use std::io::IsTerminal;
    use tracing_subscriber::filter::LevelFilter;
    let filter = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(filter)
        .with_timer(Since(std::time::Instant::now()))
        .with_target(false)
        .init();
}

/// Stamps log lines with the seconds since the program began.
struct Since(std::time::Instant);

impl tracing_subscriber::fmt::time::FormatTime for Since {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> fmt::Result {
        write!(line, "{:9.3}", self.0.elapsed().as_secs_f64())
    }
}

/// Ctrl+C, SIGTERM and SIGHUP end the command in order; the second one at once.
fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.stop() > 0 {
            // As a shell reports a program that a signal has ended.
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::System {
        action: "cannot watch for signals",
        source: std::io::Error::other(error),
    })
}

/// A duration such as `10s`, `1m 30s` or `250ms`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no duration; expected one such as 10s, 250ms or 1m30s");
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Ok(std::time::Duration::from_secs(seconds.into()));
    }
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    std::time::Duration::try_from(span).map_err(|_| wrong())
}

/// Whole numbers within bounds.
pub(crate) fn number(bounds: RangeInclusive<u32>) -> clap::builder::RangedI64ValueParser<u32> {
    let (low, high) = bounds.into_inner();
    clap::value_parser!(u32).range(i64::from(low)..=i64::from(high))
}

/// A seed that is not twice the same.
pub(crate) fn draw_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds its hash maps from the system; short enough to be typed again.
    RandomState::new().build_hasher().finish() % 1_000_000_000
}

/// `14 packets`, `1 packet`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(number))
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2.3 ms`, `1.42 s`: three digits at most.
pub(crate) fn took(time: std::time::Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        ..60e6 => (micros / 1e6, "s"),
        _ => return format!("{}m {:02}s", time.as_secs() / 60, time.as_secs() % 60),
    };
    match value {
        ..10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Prints to stdout; whoever closed it does not want more.
pub(crate) fn say(text: &str) -> Result<Exit, Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::System { action: "cannot write to stdout", source: error })
        }
        _ => Ok(Exit::Complete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!((count(1, "gap"), count(2, "gap")), ("1 gap".into(), "2 gaps".into()));
        for (micros, text) in [
            (12, "12 µs"),
            (2_300, "2.3 ms"),
            (45_000, "45 ms"),
            (1_420_000, "1.4 s"),
            (90_000_000, "1m 30s"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), text);
        }
        for (text, millis) in [("10", 10_000), ("250ms", 250), ("1m30s", 90_000), ("1.5s", 1_500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("soon").is_err() && duration("-3s").is_err());
    }
}
