//! `betacrew fetch`: records a session without loss.

mod places;
mod recording;
mod sessions;

use crate::args::address;
use crate::args::parse::{duration, number};
use crate::error::{Exit, Failure};
use crate::format::Format;
use crate::http;
use crate::nats;
use crate::net::Stop;
use crate::output::rotating::Rotate;
use crate::record::store::SyncPolicy;
use crate::terminal::progress::FOR_EVER;
use crate::text::location::{Location, shown};
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use feed::client::RecorderOptions;
use feed::wire::RESEND_MAX;
use recording::{FetchRecording, FinishedRecording};
use sessions::{SessionOutputs, SessionTurn};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FOLLOWING: &str = "Live sessions";
const RECORDING: &str = "Recording";
const RECOVERY: &str = "Recovery";

/// How long an exchange may be out of reach, or silent.
const TIMEOUT: Duration = Duration::from_secs(10);

fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "never" => Ok(SyncPolicy::Never),
        "end" => Ok(SyncPolicy::End),
        often => duration(often)
            .map(SyncPolicy::Every)
            .map_err(|_| format!("`{often}` is none of never, end, or a duration such as 1s")),
    }
}

/// What `fetch` takes.
#[derive(clap::Args, Debug)]
pub struct FetchArgs {
    /// The exchange: HOST:PORT, or a port of this machine; several are redundant lines of one
    /// session, whose union is recorded
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

    /// With --follow: give up what has been missing for so long, and say so
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[arg(help_heading = FOLLOWING, requires = "follow")]
    give_up: Option<Duration>,

    /// With --give-up: what is written as it comes goes on without what was given up (an NDJSON
    /// line says what is left out) instead of waiting for it
    #[arg(long, help_heading = FOLLOWING, requires = "give_up")]
    skip_lost: bool,

    /// With --follow and -o -: write packets from this one on; whoever has read some before goes
    /// on so
    #[arg(long, value_name = "SEQ", default_value_t = FIRST_SEQ, hide_default_value = true)]
    #[arg(value_parser = number(FIRST_SEQ..=MAX_SEQ))]
    #[arg(help_heading = FOLLOWING, requires = "follow")]
    from: Seq,

    /// With --follow: write files as packets come, one after the other, named after what is in
    /// them. When to begin the next: after a time (1h), a size (1GiB), or with each session; repeat
    /// it for whichever is first
    #[arg(long, value_name = "WHEN", help_heading = FOLLOWING, requires = "follow")]
    rotate: Vec<Rotate>,

    /// Publish what is recorded, in order and each packet once, into a stream of a NATS log:
    /// nats://HOST[:4222][,HOST ..][/STREAM], or tls:// [default STREAM: betacrew-SESSION]
    #[arg(long, value_name = "URL", help_heading = nats::PUBLISHING)]
    publish: Option<Location>,

    #[command(flatten)]
    publishing: nats::PublishFlags,

    /// Write what there is even if packets are missing (the exit code is 3 all the same)
    #[arg(long)]
    allow_gaps: bool,

    /// Keep the recording in this tape file, and go on with it if it is there [default:
    /// OUTPUT.tape, removed once the session is complete and written]
    #[arg(long, value_name = "FILE", help_heading = RECORDING)]
    tape: Option<PathBuf>,

    /// Begin anew even if a recording was begun before; that one stays until the first packet has
    /// come
    #[arg(long, help_heading = RECORDING)]
    restart: bool,

    /// When the recording must survive a loss of power: never (it survives the end of the program,
    /// and most of it a loss of power), end, or how often, such as 1s. What is written at the end
    /// is safe too then
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = sync)]
    #[arg(help_heading = RECORDING)]
    sync: SyncPolicy,

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

    #[command(flatten)]
    web: http::HttpArgs,
}

impl FetchArgs {
    pub(crate) fn options(&self) -> RecorderOptions {
        RecorderOptions {
            classic: self.classic,
            last: self.last,
            passes: self.passes,
            window: self.window,
            retries: self.retries,
            timeout: self.timeout(),
            follow: self.follow,
            reorder_wait: self.reorder_wait,
            give_up: self.give_up,
            resend_max: self.resend_max,
            ..RecorderOptions::default()
        }
    }

    fn timeout(&self) -> Duration {
        let default = if self.follow { FOR_EVER } else { TIMEOUT };
        self.timeout.unwrap_or(default)
    }

    /// Makes sure that places and formats fit together.
    fn check(&self) -> Result<(), Failure> {
        if self.format.is_some() && self.output.len() > 1 {
            return Err(Failure::Usage(
                "--format is for a single output; several say theirs by their names' ends"
                    .to_owned(),
            ));
        }
        if self.give_up.is_some_and(|patience| patience <= self.reorder_wait) {
            return Err(Failure::Usage(
                "--give-up must be longer than --reorder-wait, or nothing is asked for".to_owned(),
            ));
        }
        if self.from != FIRST_SEQ && !self.output.iter().any(|path| path == Path::new("-")) {
            return Err(Failure::Usage(format!(
                "--from {} says where stdout begins, and nothing is written there: add -o -, or \
                 leave --from out",
                self.from
            )));
        }
        places::check(self, None)
    }

    /// Whether an output is written while packets come.
    fn is_streamed(&self, path: &Path) -> bool {
        self.follow && (path == Path::new("-") || !self.rotate.is_empty())
    }

    /// The format of an output that is written at the end.
    fn format_of(&self, path: &Path) -> Result<Format, Failure> {
        if crate::text::location::is_log(path) {
            return Err(Failure::Usage(format!(
                "{} is a log, not a file: --publish {0} publishes into it",
                shown(path)
            )));
        }
        let plain = path.extension().is_none().then_some(Format::Json);
        let format = self.format.or(Format::of(path)).or(plain);
        format.map_or_else(|| Format::expect(path, "--format"), Ok)
    }

    /// The format in which packets are written to stdout while they come.
    fn format_of_stdout(&self) -> Result<Format, Failure> {
        match self.format.unwrap_or(Format::Ndjson) {
            format @ (Format::Ndjson | Format::Csv) => Ok(format),
            format => Err(Failure::Usage(format!(
                "{} has an end, which a live session has not yet: --format ndjson or csv",
                format.name()
            ))),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Where an address makes no sense or a file cannot be written.
pub fn run(args: &FetchArgs, stop: &Stop) -> Result<Exit, Failure> {
    args.check()?;
    let lines = args
        .addresses
        .iter()
        .map(|text| address::resolve_peer(text))
        .collect::<Result<Vec<_>, _>>()?;
    let has_stdout_output = args.output.iter().any(|path| path == Path::new("-"));
    let announce = if has_stdout_output { http::Announce::Stderr } else { http::Announce::Stdout };
    let web = args.web.client(stop, announce)?;
    if web.as_ref().is_some_and(|web| lines.iter().any(|line| web.is_at(line))) {
        return Err(Failure::Usage(
            "--http and the exchange have the same address: choose another for --http".to_owned(),
        ));
    }
    let (began, mut worst) = (Instant::now(), Exit::Complete);
    let (mut sessions, mut turn) = (SessionOutputs::new(Duration::ZERO), SessionTurn::default());
    loop {
        let FinishedRecording { exit, session, next } =
            FetchRecording::begin(args, turn, stop)?.run(&lines, stop, web.as_ref())?;
        if worst == Exit::Complete {
            worst = exit;
        }
        let Some(next) = next.filter(|_| !stop.asked()) else { return Ok(worst) };
        if let Err(why) = sessions.change(began.elapsed()) {
            crate::terminal::message::message!(
                "the exchange misbehaves: {why}, and each session takes files of its own. \
                 Following ends here; the same command goes on with the session that is played then"
            );
            return Ok(Exit::Misbehaved);
        }
        // Each session has its own recording; the one that is there already is gone on with.
        turn = sessions.next(args, session, next)?;
        crate::terminal::message::message!("the exchange plays session {next} now: recording that");
    }
}
