//! `betacrew fetch`: records a session without loss.

use crate::address;
use crate::capture::{Capture, Resumed, Sync};
use crate::failure::{Exit, Failure};
use crate::flags::{duration, number};
use crate::format::{Format, Place};
use crate::net::{self, Event, Stop};
use crate::output::Output;
use crate::progress::Progress;
use crate::report::Report;
use crate::summary;
use crate::tee::Tee;
use crate::words::count;
use feed::recorder::{Note, Options, Outcome, PassEnd, Recorder, Tail, Why};
use feed::seq::{MAX_SEQ, Seq};
use feed::wire::RESEND_MAX;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FOLLOWING: &str = "Live sessions";
const RECORDING: &str = "Recording";
const RECOVERY: &str = "Recovery";

/// How long an exchange may be out of reach, or silent.
const TIMEOUT: Duration = Duration::from_secs(10);

fn sync(text: &str) -> Result<Sync, String> {
    match text {
        "never" => Ok(Sync::Never),
        "end" => Ok(Sync::End),
        often => duration(often)
            .map(Sync::Every)
            .map_err(|_| format!("`{often}` is none of never, end, or a duration such as 1s")),
    }
}

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

    /// Follow a live session until it ends or Ctrl+C; -o - then writes packets as they come, in
    /// order, as NDJSON (or CSV with --format csv)
    #[arg(long, short = 'f', conflicts_with_all = ["classic", "passes", "last"])]
    #[arg(help_heading = FOLLOWING)]
    follow: bool,

    /// With --follow: ask for what is missing once it has been missing for so long, for it may come
    /// late, or by another line
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    #[arg(help_heading = FOLLOWING, requires = "follow")]
    reorder_wait: Duration,

    /// Write what there is even if packets are missing (the exit code is 3 all the same)
    #[arg(long)]
    allow_gaps: bool,

    /// Keep the recording in this tape file, and go on with it if it is there [default:
    /// OUTPUT.tape, removed once the packets are written]
    #[arg(long, value_name = "FILE", help_heading = RECORDING)]
    tape: Option<PathBuf>,

    /// Begin anew even if a recording was begun before
    #[arg(long, help_heading = RECORDING)]
    restart: bool,

    /// When the recording must survive a loss of power: never (it survives the end of the program,
    /// and most of it a loss of power), end, or how often, such as 1s. What is written at the end
    /// is safe too then
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = sync)]
    #[arg(help_heading = RECORDING)]
    sync: Sync,

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

    /// How long an exchange may be out of reach, or silent [default: 10s; with --follow it is
    /// waited for]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = RECOVERY)]
    timeout: Option<Duration>,

    /// How often to try again what fails
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number(0..=1000))]
    #[arg(help_heading = RECOVERY)]
    retries: u32,
}

impl Args {
    pub(crate) fn options(&self) -> Options {
        Options {
            classic: self.classic,
            last: self.last,
            passes: self.passes,
            window: self.window,
            retries: self.retries,
            timeout: self.timeout(),
            follow: self.follow,
            reorder_wait: self.reorder_wait,
            resend_max: self.resend_max,
            ..Options::default()
        }
    }

    fn timeout(&self) -> Duration {
        // A hundred years are for ever.
        let default = if self.follow { Duration::from_secs(3_155_760_000) } else { TIMEOUT };
        self.timeout.unwrap_or(default)
    }

    /// The format in which packets are written to stdout while they come, if they are.
    fn streamed(&self) -> Result<Option<Format>, Failure> {
        if !self.follow || !self.output.iter().any(|path| path == Path::new("-")) {
            return Ok(None);
        }
        match self.format.unwrap_or(Format::Ndjson) {
            format @ (Format::Ndjson | Format::Csv) => Ok(Some(format)),
            format => Err(Failure::Usage(format!(
                "{} has an end, which a live session has not yet: --format ndjson or csv",
                format.name()
            ))),
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
            let output = Output::begin_as(path, format)?;
            Ok((output.durable(self.sync != Sync::Never), format))
        };
        // What is written while it comes is not written at the end.
        let later = |path: &&PathBuf| !self.follow || path.as_path() != Path::new("-");
        self.output.iter().filter(later).map(begin).collect()
    }
}

/// Runs the command.
///
/// # Errors
/// Where an address makes no sense or a file cannot be written.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let lines =
        args.addresses.iter().map(|text| address::resolve(text)).collect::<Result<Vec<_>, _>>()?;
    let (outputs, streamed) = (args.outputs()?, args.streamed()?);
    let report = args.report.as_deref().map(Output::begin).transpose()?;
    let report = report.map(|output| output.durable(args.sync != Sync::Never));

    let (mut capture, mut recorder) = args.begin(lines.len())?;
    if report.is_some() {
        capture.keep_history();
    }
    let mut progress = Progress::new(args.timeout());
    let took = args.record(&lines, streamed, &mut recorder, &mut capture, &mut progress, stop)?;
    let exit = args.exit(&recorder);
    let wanted = match recorder.outcome() {
        Some(outcome) if outcome.why == Some(Why::OtherSession) => false,
        Some(_) if exit == Exit::Complete => true,
        Some(outcome) => outcome.complete() || args.allow_gaps && capture.packets() > 0,
        None => false,
    };
    if wanted {
        write(outputs, &capture, &mut progress, stop)?;
    }
    if let Some(report) = report {
        let content = Report::new(&args.addresses, &recorder, &capture, took, exit);
        report.put(|out| {
            let mut out = std::io::BufWriter::new(out);
            serde_json::to_writer_pretty(&mut out, &content)?;
            out.write_all(b"\n")?;
            out.flush()
        })?;
    }
    let places = wanted.then_some(args.output.as_slice());
    crate::words::tell_as_is(&summary::text(&args.addresses, &recorder, &capture, took, places));
    if let (Some(last), Some(outcome)) = (args.last, recorder.outcome())
        && last < outcome.last
    {
        crate::words::tell!(
            "  WARNING  --last {last} is wrong: there is a packet {}",
            outcome.last
        );
    }
    args.put_away(&recorder, &mut capture)?;
    Ok(exit)
}

/// Writes what was recorded into its places.
fn write(
    outputs: Vec<(Output, Format)>,
    capture: &Capture,
    progress: &mut Progress,
    stop: &Stop,
) -> Result<(), Failure> {
    let stops = stop.times();
    for (output, format) in outputs {
        progress.writing(output.path(), capture.packets());
        output.encode(format, |put| {
            capture.read(&mut |frames, arrival| {
                progress.wrote(frames.len() as u64);
                if stop.times() > stops {
                    return Err(Failure::Stopped);
                }
                put(frames, arrival)
            })
        })?;
        progress.end();
    }
    Ok(())
}

impl Args {
    /// Records, and writes on what comes if it is `streamed`; returns how long that took.
    fn record(
        &self,
        lines: &[Vec<SocketAddr>],
        streamed: Option<Format>,
        recorder: &mut Recorder,
        capture: &mut Capture,
        progress: &mut Progress,
        stop: &Stop,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut stdout = std::io::stdout();
        let encoder = streamed
            .map(|format| format.encoder(Place::Stream(&mut stdout)))
            .transpose()
            .map_err(|source| Failure::System { action: "cannot write to stdout", source })?;
        let mut tee = Tee::new(capture, encoder);
        net::fetch(lines, recorder, &mut tee, stop, |event| match event {
            Event::Tick(recorder) => progress.tick(recorder),
            Event::Note(recorder, note) => tell(&self.addresses, recorder, note, progress),
        })
        .map_err(|source| Failure::System { action: "cannot watch connections", source })?;
        let took = began.elapsed();
        progress.end();
        tee.end()?;
        Ok(took)
    }

    /// Whose fault it was; whoever ends following by Ctrl+C has what there was to have.
    fn exit(&self, recorder: &Recorder) -> Exit {
        let stopped = |outcome: &&Outcome| {
            outcome.why == Some(Why::Stopped) && recorder.ledger().gaps().is_empty()
        };
        match recorder.outcome().filter(stopped) {
            Some(_) if self.follow => Exit::Complete,
            _ => exit(recorder),
        }
    }

    /// Where the recording is kept while it is made; `None` where nobody could find it again.
    fn place(&self) -> Option<PathBuf> {
        if self.tape.is_some() {
            return self.tape.clone();
        }
        // Beside the first file; a device has no room beside it.
        let device = |path: &PathBuf| {
            path == Path::new("-") || std::fs::metadata(path).is_ok_and(|found| !found.is_file())
        };
        self.output.iter().find(|path| !device(path)).map(|path| {
            let mut name = path.clone().into_os_string();
            name.push(".tape");
            name.into()
        })
    }

    /// Begins the recording, or goes on with one.
    fn begin(&self, lines: usize) -> Result<(Capture, Recorder), Failure> {
        let lines = u16::try_from(lines)
            .map_err(|_| Failure::Usage("there can be 65,535 lines at most".to_owned()))?;
        let Some(place) = self.place() else {
            return Ok((Capture::unnamed()?, Recorder::new(self.options(), lines)));
        };
        if self.restart {
            remove(&place)?;
        }
        let (capture, resumed) = Capture::open(&place, self.sync)?;
        let Some(before) = resumed else {
            return Ok((capture, Recorder::new(self.options(), lines)));
        };
        crate::words::tell!(
            "going on with {}: {} recorded before",
            place.display(),
            count(before.packets, "packet")
        );
        if before.damages > 0 {
            let places = count(before.damages.into(), "place");
            crate::words::tell!("  it is damaged in {places}; what was there is asked for again");
        }
        let Resumed { highest, missing, session, .. } = before;
        Ok((capture, Recorder::resume(self.options(), lines, highest, &missing, session)))
    }

    /// Removes a recording that is done with, or says how to go on with one that is not.
    fn put_away(&self, recorder: &Recorder, capture: &mut Capture) -> Result<(), Failure> {
        let Some(place) = self.place() else { return Ok(()) };
        let why = recorder.outcome().and_then(|outcome| outcome.why);
        if why == Some(Why::OtherSession) {
            crate::words::tell!(
                "  the packets recorded so far stay in {}; --restart throws them away",
                place.display()
            );
        } else if self.tape.is_some() {
            capture.finish()?;
        } else if why.is_none() || self.exit(recorder) == Exit::Complete || capture.packets() == 0 {
            return remove(&place);
        } else {
            crate::words::tell!("  resume   the same command goes on where this one ended");
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Storage { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
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
