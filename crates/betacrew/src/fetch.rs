//! `betacrew fetch`: records a session without loss.

use crate::address;
use crate::capture::Capture;
use crate::failure::{Exit, Failure};
use crate::flags::{duration, number};
use crate::format::{Arrival, Format};
use crate::net::{self, Event, Stop};
use crate::output::Output;
use crate::progress::Progress;
use crate::report::Report;
use crate::summary;
use feed::recorder::{Note, Options, PassEnd, Recorder, Tail, Why};
use feed::seq::{MAX_SEQ, Seq};
use feed::wire::RESEND_MAX;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const RECOVERY: &str = "Recovery";

/// What `fetch` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The exchange; several are redundant lines of one session, whose union is recorded
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:3000")]
    addresses: Vec<String>,

    /// Where to write the packets; repeat it for more. A name says its format by its end: .json,
    /// .ndjson, .csv, .parquet, .arrow, .sqlite, .tape. - is stdout
    #[arg(short, long, value_name = "PATH", default_value = "output.json")]
    output: Vec<PathBuf>,

    /// The format of the one output [default: what its name ends in, else json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write what there is even if packets are missing (the exit code is 3 all the same)
    #[arg(long)]
    allow_gaps: bool,

    /// Write what happened, every gap included, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// The session's last sequence, if you know it: the end is then certain
    #[arg(long, value_name = "SEQ", value_parser = number(0..=MAX_SEQ), help_heading = RECOVERY)]
    last: Option<Seq>,

    /// Stream the session at most so often [default: until its end is beyond doubt]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_SEQ), help_heading = RECOVERY)]
    passes: Option<u32>,

    /// Speak only the original protocol
    #[arg(long, help_heading = RECOVERY)]
    classic: bool,

    /// The highest sequence to ask an exchange of the original protocol for; the original dies
    /// above 127
    #[arg(long, value_name = "SEQ", default_value_t = RESEND_MAX, value_parser = number(0..=255))]
    #[arg(help_heading = RECOVERY)]
    resend_max: Seq,

    /// Have at most so many packets asked for and not yet answered
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = number(1..=MAX_SEQ))]
    #[arg(help_heading = RECOVERY)]
    window: u32,

    /// How long an exchange may be out of reach, or silent
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    #[arg(help_heading = RECOVERY)]
    timeout: Duration,

    /// How often to try again what fails
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number(0..=1000))]
    #[arg(help_heading = RECOVERY)]
    retries: u32,
}

impl Args {
    fn options(&self) -> Options {
        Options {
            classic: self.classic,
            last: self.last,
            passes: self.passes,
            window: self.window,
            retries: self.retries,
            timeout: self.timeout,
            resend_max: self.resend_max,
            ..Options::default()
        }
    }

    /// Begins all outputs.
    fn outputs(&self) -> Result<Vec<(Output, Format)>, Failure> {
        if self.format.is_some() && self.output.len() > 1 {
            return Err(Failure::Usage(
                "--format is for a single output; several say theirs by their names' ends"
                    .to_owned(),
            ));
        }
        let places: Vec<&PathBuf> = self.output.iter().chain(&self.report).collect();
        if (1..places.len()).any(|at| places[..at].contains(&places[at])) {
            return Err(Failure::Usage(
                "the packets and the report need different places".to_owned(),
            ));
        }
        let begin = |path: &PathBuf| {
            let plain = path.extension().is_none().then_some(Format::Json);
            let format = self.format.or(Format::of(path)).or(plain);
            let format = format.map_or_else(|| Format::expect(path, "--format"), Ok)?;
            Ok((Output::begin_as(path, format)?, format))
        };
        self.output.iter().map(begin).collect()
    }
}

/// Runs the command.
///
/// # Errors
/// Where an address makes no sense or a file cannot be written.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let lines =
        args.addresses.iter().map(|text| address::resolve(text)).collect::<Result<Vec<_>, _>>()?;
    let outputs = args.outputs()?;
    let report = args.report.as_deref().map(Output::begin).transpose()?;

    let mut capture = Capture::new(report.is_some());
    let mut progress = Progress::new(args.timeout);
    let began = Instant::now();
    let recorder = net::fetch(&lines, args.options(), &mut capture, stop, |event| match event {
        Event::Tick(recorder) => progress.tick(recorder),
        Event::Note(recorder, note) => tell(&args.addresses, recorder, note, &mut progress),
    })
    .map_err(|source| Failure::System { action: "cannot watch connections", source })?;
    let took = began.elapsed();
    progress.end();

    let exit = exit(&recorder);
    let wanted = match recorder.outcome() {
        Some(outcome) if outcome.why == Some(Why::OtherSession) => false,
        Some(outcome) => outcome.complete() || args.allow_gaps && !capture.recording.is_empty(),
        None => false,
    };
    if wanted {
        for (output, format) in outputs {
            output.encode(format, |put| {
                capture.recording.in_order().try_for_each(|frames| put(frames, Arrival::UNKNOWN))
            })?;
        }
    }
    if let Some(report) = report {
        let content = Report::new(&args.addresses, &recorder, &capture, took, exit);
        report.put(|out| {
            serde_json::to_writer_pretty(&mut *out, &content)?;
            out.write_all(b"\n")
        })?;
    }
    let places = wanted.then_some(args.output.as_slice());
    eprint!("{}", summary::text(&args.addresses, &recorder, &capture, took, places));
    if let (Some(last), Some(outcome)) = (args.last, recorder.outcome())
        && last < outcome.last
    {
        eprintln!("  WARNING  --last {last} is wrong: there is a packet {}", outcome.last);
    }
    Ok(exit)
}

fn tell(addresses: &[String], recorder: &Recorder, note: Note, progress: &mut Progress) {
    let at = |line: u16| addresses.get(usize::from(line)).map_or("?", String::as_str);
    match note {
        Note::Unreachable { line, .. } => {
            progress.waiting(at(line));
            tracing::debug!("{}: no connection", at(line));
        }
        Note::Dead { line } if recorder.line(line).is_some_and(|line| line.reached) => {
            tracing::warn!("{}: no more connections are made; given up", at(line));
        }
        Note::Dead { line } => tracing::debug!("{}: given up", at(line)),
        Note::Described { line, info } => tracing::debug!(
            "{}: session {}, packets {} to {}",
            at(line),
            info.session,
            info.first,
            info.last
        ),
        Note::PassBegan { line, pass } => tracing::debug!("{}: pass {pass} begins", at(line)),
        Note::PassEnded { line, pass, delivered, end: PassEnd::Whole } => {
            tracing::debug!("{}: pass {pass} brought {delivered} packets", at(line));
        }
        Note::PassEnded { line, pass, delivered, end: PassEnd::Silent } => {
            tracing::warn!("{}: pass {pass} fell silent after {delivered} packets", at(line));
        }
        Note::PassEnded { line, pass, delivered, end: PassEnd::Cut } => {
            tracing::warn!("{}: pass {pass} was cut off after {delivered} packets", at(line));
        }
        Note::ResendFailed { line, tries } => {
            tracing::debug!("{}: resend requests unanswered, try {tries}", at(line));
        }
    }
}

/// Whose fault it was, as an exit code.
fn exit(recorder: &Recorder) -> Exit {
    let trouble = recorder.trouble();
    let Some(outcome) = recorder.outcome() else { return Exit::Unexpected };
    let reached = (0..).map_while(|line| recorder.line(line)).any(|line| line.reached);
    let implausible = trouble.implausible > 0 && outcome.tail != Tail::Confirmed;
    if trouble.conflicts > 0 || trouble.other_session || implausible {
        Exit::Misbehaved
    } else if outcome.complete() {
        Exit::Complete
    } else if !reached && outcome.why == Some(Why::Unreachable) {
        Exit::Unreachable
    } else if outcome.why == Some(Why::CutOff) && trouble.undecodable > 0 {
        Exit::Misbehaved
    } else {
        Exit::Incomplete
    }
}
