//! `betacrew fetch`: records a session and requests missing packets again.

mod events;
mod lines;
mod places;
mod recording;
mod sessions;

use crate::args::feed_address::FeedAddress;
use crate::args::parse::{duration, number, sequence};
use crate::error::{Exit, Failure};
use crate::format::{Format, Payload};
use crate::http;
use crate::nats;
use crate::net::Stop;
use crate::output::rotating::Rotate;
use crate::record::store::SyncPolicy;
use crate::terminal::progress::FOR_EVER;
use crate::text::location::{Location, shown};
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use feed::client::{RecorderOptions, SessionPayload};
use feed::wire::{MAX_PACKET_SEQ, Protocol, RESEND_MAX};
use lines::FetchLines;
use recording::{FetchRecording, FinishedRecording};
use sessions::{SessionOutputs, SessionTurn};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Heading of the flags for live sessions in `--help`.
const FOLLOWING: &str = "Live sessions";
/// Heading of the flags for the tape file in `--help`.
const RECORDING: &str = "Recording";
/// Heading of the flags for requests and retries in `--help`.
const RECOVERY: &str = "Recovery";

/// Maximum value of flags that count passes or requests in flight.
const COUNT_MAX: u32 = i32::MAX.cast_unsigned();

/// Default time that an exchange may be unreachable or silent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Parses `--sync`.
fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "never" => Ok(SyncPolicy::Never),
        "end" => Ok(SyncPolicy::End),
        often => duration(often)
            .map(SyncPolicy::Every)
            .map_err(|_| format!("`{often}` is not never, end or a duration such as 1s")),
    }
}

/// Flags of `fetch`.
#[derive(clap::Args, Debug)]
pub struct FetchArgs {
    /// Exchange to record from: HOST:PORT, a port of this machine, soup://[USER@]HOST:PORT, or
    /// mold://GROUP:PORT
    ///
    /// soup:// records messages of any length over SoupBinTCP and follows the session until it ends
    /// (as --follow does); soup://HOST:PORT/SESSION names the session.
    /// mold://GROUP:PORT?request=HOST:PORT records MoldUDP64 datagrams and requests what is missing
    /// from request servers (repeat &request=); &interface=IP is where to join the group,
    /// &source=IP the only sender that is believed. Several addresses are
    /// redundant lines of one session, also in different protocols: a packet that one line misses
    /// is taken from another.
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:3000")]
    addresses: Vec<String>,

    /// File to write the packets to; - is stdout; repeat the flag for several files
    ///
    /// The end of the name says the format: .json, .ndjson, .csv, .parquet, .arrow, .sqlite, .itch,
    /// .itch.gz, .pcap, .pcapng, .tape.
    #[arg(short, long, value_name = "PATH", default_value = "output.json")]
    output: Vec<PathBuf>,

    /// Format of a single output [default: from its name, else json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Meaning of the messages, which decides the columns of the outputs [default: by the first
    /// message]
    ///
    /// opaque writes messages of any content as hexadecimal digits. Needs soup:// or mold://
    /// addresses.
    #[arg(long, value_name = "PAYLOAD")]
    payload: Option<Payload>,

    /// Follow a live session until it ends or Ctrl+C
    ///
    /// `-o -` then writes packets while they arrive, in order, as NDJSON (or CSV with --format
    /// csv).
    #[arg(long, short = 'f', conflicts_with_all = ["classic", "passes", "last"])]
    #[arg(help_heading = FOLLOWING)]
    follow: bool,

    /// Delay before a missing packet is requested, with --follow
    ///
    /// Packets may arrive out of order, or on another line, within this time.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    #[arg(help_heading = FOLLOWING)]
    reorder_wait: Duration,

    /// Time after which a missing packet is abandoned, with --follow [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[arg(help_heading = FOLLOWING)]
    give_up: Option<Duration>,

    /// Leave abandoned packets out of the live output instead of stopping there, with --give-up
    ///
    /// An NDJSON line names the sequences that are left out.
    #[arg(long, help_heading = FOLLOWING, requires = "give_up")]
    skip_abandoned: bool,

    /// First sequence to write to stdout, with --follow and -o -
    ///
    /// A reader that has stopped after some packets can continue with the next one.
    #[arg(long, value_name = "SEQ", default_value_t = FIRST_SEQ, hide_default_value = true)]
    #[arg(value_parser = sequence(FIRST_SEQ..=MAX_SEQ))]
    #[arg(help_heading = FOLLOWING)]
    from: Seq,

    /// Start a new output file after a time (1h), a size (1GiB) or each session, with --follow
    ///
    /// Files are written while packets arrive and named after the sequences in them. Repeat the
    /// flag to combine limits; the first one that is reached counts.
    #[arg(long, value_name = "WHEN", help_heading = FOLLOWING)]
    rotate: Vec<Rotate>,

    /// Publish the packets to a NATS stream: nats://HOST[/STREAM]
    ///
    /// Packets are published in order, each once. The full form is
    /// nats://HOST[:4222][,HOST ..][/STREAM], or tls:// for encryption; the default STREAM is
    /// betacrew-SESSION.
    #[arg(long, value_name = "URL", help_heading = nats::PUBLISHING)]
    publish: Option<Location>,

    #[command(flatten)]
    publishing: nats::PublishFlags,

    /// Write the output even if packets are missing (the exit code is still 3)
    #[arg(long)]
    allow_gaps: bool,

    /// Tape file of the recording, which is continued if it exists [default: OUTPUT.tape, removed
    /// once the session is complete]
    #[arg(long, value_name = "FILE", help_heading = RECORDING)]
    tape: Option<PathBuf>,

    /// Start a new recording although the tape file has one
    ///
    /// The file keeps the old recording until the first packet of the new one arrives.
    #[arg(long, help_heading = RECORDING)]
    restart: bool,

    /// Sync the recording to disk: never, end (once it is complete), or an interval such as 1s
    ///
    /// With never the recording survives a crash of the program, but a power failure may cost its
    /// newest part. With end and an interval, the outputs written at the end are synced as well.
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = sync)]
    #[arg(help_heading = RECORDING)]
    sync: SyncPolicy,

    /// Write a JSON report of the recording, with every gap
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Last sequence of the session, if you know it, so that the end need not be inferred
    #[arg(long, value_name = "SEQ", value_parser = sequence(0..=MAX_PACKET_SEQ))]
    #[arg(help_heading = RECOVERY)]
    last: Option<Seq>,

    /// Maximum number of times to stream the session [default: until its end is certain]
    #[arg(long, value_name = "N", value_parser = number(1..=COUNT_MAX), help_heading = RECOVERY)]
    passes: Option<u32>,

    /// Use only the original protocol, without extensions
    #[arg(long, help_heading = RECOVERY)]
    classic: bool,

    /// Highest sequence to request from an exchange of the original protocol
    ///
    /// The original exchange crashes on requests above 127.
    #[arg(long, value_name = "SEQ", default_value_t = RESEND_MAX, value_parser = sequence(0..=255))]
    #[arg(help_heading = RECOVERY)]
    resend_max: Seq,

    /// Maximum number of requested packets without an answer
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = number(1..=COUNT_MAX))]
    #[arg(help_heading = RECOVERY)]
    window: u32,

    /// File with the password for soup:// exchanges [default: the variable BETACREW_PASSWORD]
    #[arg(long, value_name = "FILE", help_heading = FOLLOWING)]
    password_file: Option<PathBuf>,

    /// Time without data or heartbeats after which a live connection is closed and opened again
    /// [default: 3s; 15s with soup://]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = FOLLOWING)]
    silence: Option<Duration>,

    /// Time that an exchange may be unreachable or silent [default: 10s; unlimited with --follow]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = RECOVERY)]
    timeout: Option<Duration>,

    /// Maximum number of retries after a failure
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = number(0..=1000))]
    #[arg(help_heading = RECOVERY)]
    retries: u32,

    #[command(flatten)]
    web: http::HttpArgs,
}

impl FetchArgs {
    /// Returns the options of the recorder.
    pub(crate) fn options(&self) -> RecorderOptions {
        let default = RecorderOptions::default();
        RecorderOptions {
            silence: self.silence.unwrap_or(default.silence),
            soup_silence: self.silence.unwrap_or(default.soup_silence),
            classic: self.classic,
            last: self.last,
            passes: self.passes,
            window: self.window,
            retries: self.retries,
            timeout: self.timeout(),
            follow: self.follows(),
            reorder_wait: self.reorder_wait,
            give_up: self.give_up,
            resend_max: self.resend_max,
            ..default
        }
    }

    /// Returns whether a live session is followed: on request, and with a soup:// or mold:// line
    /// always.
    fn follows(&self) -> bool {
        self.follow || self.addresses.iter().any(|address| is_followed(address))
    }

    /// Returns the time that an exchange may be unreachable or silent.
    fn timeout(&self) -> Duration {
        // A live session may pause for any time, so silence ends a follower only if the user says
        // so.
        let default = if self.follow { FOR_EVER } else { TIMEOUT };
        self.timeout.unwrap_or(default)
    }

    /// Returns the kind of messages that `--payload` promises.
    fn expected_payload(&self) -> SessionPayload {
        match self.payload {
            None => SessionPayload::Unknown,
            Some(Payload::Orders) => SessionPayload::Packets,
            Some(Payload::Itch50 | Payload::Opaque) => SessionPayload::Messages,
        }
    }

    /// Checks that outputs, formats and times fit together.
    fn check(&self) -> Result<(), Failure> {
        if self.format.is_some() && self.output.len() > 1 {
            return Err(Failure::Usage(
                "--format needs a single output; with several, end each name in its format"
                    .to_owned(),
            ));
        }
        let following = [
            ("--reorder-wait", !self.reorder_wait.is_zero()),
            ("--give-up", self.give_up.is_some()),
            ("--from", self.from != FIRST_SEQ),
            ("--rotate", !self.rotate.is_empty()),
            ("--silence", self.silence.is_some()),
        ];
        if let Some((flag, _)) = following.iter().find(|(_, is_given)| *is_given && !self.follows())
        {
            return Err(Failure::Usage(format!(
                "{flag} is for a live session: add --follow, or give a soup:// or mold:// address"
            )));
        }
        if self.give_up.is_some_and(|patience| patience <= self.reorder_wait) {
            return Err(Failure::Usage(
                "--give-up must be longer than --reorder-wait, or nothing is ever requested"
                    .to_owned(),
            ));
        }
        if self.from != FIRST_SEQ && !self.output.iter().any(|path| path == Path::new("-")) {
            return Err(Failure::Usage(format!(
                "--from {} sets the first packet on stdout, but nothing is written there: add \
                 -o -, or leave --from out",
                self.from
            )));
        }
        places::check(self, None)
    }

    /// Returns whether an output is written while packets arrive.
    fn is_streamed(&self, path: &Path) -> bool {
        self.follows() && (path == Path::new("-") || !self.rotate.is_empty())
    }

    /// Returns the format of an output that is written at the end.
    fn format_of(&self, path: &Path) -> Result<Format, Failure> {
        if crate::text::location::is_log(path) {
            return Err(Failure::Usage(format!(
                "{} is a NATS stream, not a file: use --publish {0}",
                shown(path)
            )));
        }
        // The exercise asks for JSON, so JSON is the format of a name that shows none.
        let plain = path.extension().is_none().then_some(Format::Json);
        let format = self.format.or(Format::of(path)).or(plain);
        format.map_or_else(|| Format::expect(path, "--format"), Ok)
    }

    /// Returns the format of packets that are written to stdout while they arrive.
    fn format_of_stdout(&self) -> Result<Format, Failure> {
        match self.format.unwrap_or(Format::Ndjson) {
            format @ (Format::Ndjson | Format::Csv) => Ok(format),
            format => Err(Failure::Usage(format!(
                "{} cannot be written while a session is live: use --format ndjson or csv",
                format.name()
            ))),
        }
    }
}

/// Returns whether a typed address is one whose session is always followed.
fn is_followed(typed: &str) -> bool {
    FeedAddress::parse(typed).is_ok_and(|address| address.protocol != Protocol::Betacrew)
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if an address is not valid or a file cannot be written.
pub fn run(args: &FetchArgs, stop: &Stop) -> Result<Exit, Failure> {
    args.check()?;
    let lines = FetchLines::read(args)?;
    let stdout_has_packets = args.output.iter().any(|path| path == Path::new("-"));
    let announce = if stdout_has_packets { http::Announce::Stderr } else { http::Announce::Stdout };
    let web = args.web.client(stop, announce)?;
    if web.as_ref().is_some_and(|web| lines.any_at(|line| web.is_at(line))) {
        return Err(Failure::Usage(
            "--http and the exchange have the same address: choose another --http address"
                .to_owned(),
        ));
    }
    let (began, mut worst) = (Instant::now(), Exit::Complete);
    let (mut sessions, mut turn) = (SessionOutputs::new(Duration::ZERO), SessionTurn::default());
    loop {
        let FinishedRecording { exit, session, next } =
            FetchRecording::begin(args, &lines, turn, stop)?.run(stop, web.as_ref())?;
        if worst == Exit::Complete {
            worst = exit;
        }
        let Some(next) = next.filter(|_| !stop.asked()) else { return Ok(worst) };
        if let Err(why) = sessions.change(began.elapsed()) {
            crate::terminal::message::message!(
                "the exchange misbehaves: {why}, and each session needs files of its own. \
                 Following ends here; run the same command again to continue with the session \
                 that is played then"
            );
            return Ok(Exit::Misbehaved);
        }
        // Each session has a recording of its own; an existing one is continued.
        turn = sessions.next(args, session, next)?;
        crate::terminal::message::message!(
            "the exchange now plays session {next}; recording continues with it"
        );
    }
}
