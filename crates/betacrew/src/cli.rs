//! Command line of the program: reads it, sets up logging and signals, and runs the command.

mod help;
mod log_targets;
mod suggestions;
mod verbosity;

use crate::commands::{
    completions, convert, demo, fetch, health, man, scenarios, serve, sim, version,
};
use crate::error::{Exit, Failure};
use crate::net::Stop;
use crate::terminal::message;
use crate::terminal::style::{Colours, Stream};
use crate::terminal::{signals, stderr, style};
use crate::text::escape;
use crate::text::location::redacted;
use crate::{grade, inspect, schema};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::fmt;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use verbosity::VerbosityArgs;

#[derive(Parser)]
#[command(
    name = "betacrew",
    version,
    about = "A mock exchange that drops packets on purpose, and a client that recovers them all",
    after_help = "Start with `betacrew demo`, or with `betacrew serve` in one terminal and \
                  `betacrew fetch` in another.\n\n\
                  Exit codes: 0 complete, 1 unexpected error, 2 wrong command line, 3 incomplete, \
                  4 the exchange misbehaved, 5 exchange unreachable, 6 file error, 10 graded \
                  client failed",
    max_term_width = 100,
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Log level on stderr: off, error, warn, info, debug or trace [default: info for serve, warn
    /// for the other commands]
    ///
    /// A module can have a level of its own: `warn,betacrew::http=debug`.
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logging")]
    #[arg(value_parser = log_targets::parse)]
    log: Option<Targets>,

    #[command(flatten)]
    verbosity: VerbosityArgs,

    /// Format of the log: text, or one JSON object a line
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logging")]
    #[arg(default_value = "text")]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Run a mock exchange until Ctrl+C
    Serve(serve::ServeArgs),
    /// Record every packet of a session from an exchange to output.json
    Fetch(fetch::FetchArgs),
    /// Convert a file of packets to another format
    Convert(convert::ConvertArgs),
    /// Show the contents of recordings, missing packets and damage
    Inspect(inspect::InspectArgs),
    /// List the built-in scenarios, or print one as a starting point
    Scenarios(scenarios::ScenariosArgs),
    /// Simulate recordings with every kind of failure and check each one
    Sim(sim::SimArgs),
    /// Test a client, in any language, against exchanges that drop packets
    Grade(grade::GradeArgs),
    /// Watch an exchange drop packets and a client recover them
    Demo(demo::DemoArgs),
    /// Ask a running exchange or client over HTTP whether it is ready
    Health(health::HealthArgs),
    /// Print the completions of a shell: bash, zsh, fish, powershell or elvish
    Completions(completions::CompletionsArgs),
    /// Print the manual page of a command, or write those of all commands
    Man(man::ManArgs),
    /// Print the JSON Schema of a file that is read or written, or list them
    Schema(schema::SchemaArgs),
    /// Print the version, the built-in features, the commit and the platform
    Version,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs the program: reads the command line, runs its command and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|wrong| refuse(wrong));
    let serves = matches!(cli.command, Command::Serve(_));
    let usual = if serves { LevelFilter::INFO } else { LevelFilter::WARN };
    let default = cli.verbosity.level(usual);
    let mut targets = cli.log.unwrap_or_else(|| Targets::new().with_default(default));
    if cli.verbosity.is_quiet() {
        message::hold();
    }
    let named = |targets: &Targets| targets.iter().any(|(name, _)| name.starts_with("async_nats"));
    if targets.default_level().is_none_or(|level| level < LevelFilter::DEBUG) && !named(&targets) {
        // The publisher reports the state of its connections itself, so the library's own lines
        // would say everything twice.
        targets = targets.with_target("async_nats", LevelFilter::OFF);
    }
    if matches!(cli.log_format, LogFormat::Json) {
        targets = targets.with_target(message::TARGET, LevelFilter::INFO);
        message::log_messages();
    }
    log_to_stderr(targets, cli.log_format);
    signals::survive_file_size_limit();
    if let Command::Grade(args) = &cli.command {
        // Signals are watched by a second thread.
        grade::prepare(args);
    }
    let stop = Stop::new();
    let watched = signals::watch(&stop)
        .map_err(|source| Failure::System { action: "cannot install signal handlers", source });
    let done = watched.and_then(|()| match cli.command {
        Command::Serve(args) => serve::run(&args, &stop),
        Command::Fetch(args) => fetch::run(&args, &stop),
        Command::Convert(args) => convert::run(&args, &stop),
        Command::Inspect(args) => inspect::run(&args, &stop),
        Command::Scenarios(args) => scenarios::run(&args),
        Command::Sim(args) => sim::run(&args, &stop),
        Command::Grade(args) => grade::run(&args, &stop),
        Command::Demo(args) => demo::run(&args, &stop),
        Command::Health(args) => health::run(&args),
        Command::Completions(args) => completions::run(&args, &help::arrange(Cli::command())),
        Command::Man(args) => man::run(&args, help::arrange(Cli::command())),
        Command::Schema(args) => schema::run(&args),
        Command::Version => version::run(),
    });
    if !matches!(done, Ok(Exit::Complete)) {
        message::release();
    }
    done.unwrap_or_else(|failure| {
        message::show_failure(&failure);
        failure.exit()
    })
    .into()
}

/// Prints what is wrong with the command line and exits with 2, or prints help and exits with 0.
fn refuse(mut wrong: clap::Error) -> ! {
    // Help is arranged only when it is shown, because that takes milliseconds of each start.
    let shows_help = matches!(
        wrong.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let parse_again = || help::arrange(Cli::command()).try_get_matches().err();
    wrong = shows_help.then(parse_again).flatten().unwrap_or(wrong);
    if !wrong.use_stderr() {
        wrong.exit();
    }
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    suggestions::add(&mut wrong, &Cli::command(), &typed);
    let text = wrong.render();
    let text = match style::of(Stream::Stderr).colours {
        Colours::Ansi => text.ansi().to_string(),
        Colours::Plain => text.to_string(),
    };
    // The message repeats what was typed, which may be a URL with a password.
    message::show_coloured(&redacted(&text));
    std::process::exit(wrong.exit_code());
}

/// Installs the log: on stderr, and for the dashboard's list of events.
fn log_to_stderr(targets: Targets, format: LogFormat) {
    use tracing_subscriber::prelude::*;
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines
            .with_writer(|| stderr::StderrLines)
            .fmt_fields(tracing_subscriber::fmt::format::debug_fn(write_field).delimited(" "))
            .with_ansi(style::of(Stream::Stderr).colours == Colours::Ansi)
            .with_timer(ElapsedTime(std::time::Instant::now()))
            .with_target(false)
            .boxed(),
        LogFormat::Json => lines
            .with_writer(|| LogFilter(stderr::StderrLines))
            .with_timer(UtcTime)
            .json()
            .flatten_event(true)
            .boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(targets));
    #[cfg(feature = "web")]
    let registry = registry.with(
        crate::http::EventBuffer
            .with_filter(Targets::new().with_target("betacrew", LevelFilter::DEBUG)),
    );
    registry.init();
}

/// Writes a field of a log line with line ends and control characters escaped.
fn write_field(
    line: &mut tracing_subscriber::fmt::format::Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => line.write_str(&escape::line(&value)),
        name => write!(line, "{name}={}", escape::line(&value)),
    }
}

/// Writer that escapes terminal control characters, because JSON lets some of them through.
struct LogFilter<W>(W);

impl<W: std::io::Write> std::io::Write for LogFilter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The log writes whole lines, so no character is split between two calls.
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(escape::lines(&text).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Timestamps of log lines in UTC, as in RFC 3339.
struct UtcTime;

impl tracing_subscriber::fmt::time::FormatTime for UtcTime {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> fmt::Result {
        write!(line, "{:.6}", jiff::Timestamp::now())
    }
}

/// Timestamps of log lines in seconds since the program started.
struct ElapsedTime(std::time::Instant);

impl tracing_subscriber::fmt::time::FormatTime for ElapsedTime {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> fmt::Result {
        write!(line, "{:9.3}", self.0.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        help::arrange(Cli::command()).debug_assert();
    }

    #[test]
    fn fetch_flags_become_recorder_options() {
        let typed = "betacrew fetch --last 7 --passes 3 --classic --resend-max 200 --window 9 \
                     --timeout 2s --retries 1";
        let Command::Fetch(args) = Cli::parse_from(typed.split_whitespace()).command else {
            unreachable!("fetch was typed");
        };
        let meant = feed::client::RecorderOptions {
            classic: true,
            last: Some(7),
            passes: Some(3),
            window: 9,
            retries: 1,
            timeout: std::time::Duration::from_secs(2),
            resend_max: 200,
            ..feed::client::RecorderOptions::default()
        };
        assert_eq!(args.options(), meant);
    }
}
