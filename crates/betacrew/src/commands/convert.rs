//! `betacrew convert`: writes a file of messages in another format.

#[cfg(feature = "nats")]
mod publish;

use crate::error::{Exit, Failure};
use crate::format::{DamagePolicy, Format, MessageConsumer, Payload, SessionFacts};
use crate::nats::PublishFlags;
use crate::net::Stop;
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::source::{self, StreamChoice};
use crate::storage::is_read_once;
use crate::text::formatting::{count, noun_in, took};
use crate::text::location::{Location, is_log, shown};
use feed::analysis::survey::SequenceOrder;
use feed::tape::file::SessionEnd;
use feed::wire::Messages;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of `convert`.
#[derive(clap::Args, Debug)]
pub struct ConvertArgs {
    /// File to read; - is stdin, for json, ndjson, csv, itch and captures
    ///
    /// Several packet captures (.pcap, .pcapng) are read as one.
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<Location>,

    /// File to write; - is stdout, for json, ndjson, csv, itch and arrow
    #[arg(value_name = "OUT")]
    output: Location,

    /// Format of IN [default: from the end of its name]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// Format of OUT [default: from the end of its name]
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,

    /// Meaning of the messages, which decides the columns of OUT [default: by the first message]
    ///
    /// opaque writes messages of any content as hexadecimal digits.
    #[arg(long, value_name = "PAYLOAD")]
    payload: Option<Payload>,

    /// Session to read, if a capture has several: NAME, or NAME@GROUP:PORT
    #[arg(long, value_name = "NAME")]
    session: Option<StreamChoice>,

    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,

    /// Continue past missing packets and damaged parts of a tape
    #[arg(long)]
    allow_gaps: bool,

    #[command(flatten)]
    publishing: PublishFlags,
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if a file cannot be read or written, or if packets are missing and
/// `--allow-gaps` is not set.
pub fn run(args: &ConvertArgs, stop: &Stop) -> Result<Exit, Failure> {
    let (input, output) = (args.input(), args.output.as_path());
    let from = args.from.map_or_else(|| Format::expect(input, "--from"), Ok)?;
    let to = args.to.map_or_else(|| Format::expect(output, "--to"), Ok)?;
    args.check_captures(from, to)?;
    let stdin = input == Path::new("-");
    from.check_source(input)?;
    from.check()?;
    to.check()?;
    #[cfg(feature = "nats")]
    if to == Format::Nats {
        return publish::publish_recording(input, from, (output, &args.publishing), stop);
    }
    args.compare_places(to)?;
    if !args.force && output.is_file() {
        return Err(Failure::Usage(format!(
            "`{}` already exists: --force replaces it",
            shown(output)
        )));
    }
    let damage = if args.allow_gaps { DamagePolicy::Skip } else { DamagePolicy::Refuse };
    let began = Instant::now();
    let destination = Output::begin_as(output, to)?.with_payload(args.payload);
    let mut check = OrderCheck::new(input, stop);
    if destination.is_stream() && !args.allow_gaps && !args.inputs.iter().any(|it| is_read_once(it))
    {
        // Bytes in a pipe cannot be taken back, so the input is checked before any is written.
        let facts = args.read(from, damage, &mut |messages, _| check.take(messages))?;
        check.check_complete(facts)?;
        check = OrderCheck::new(input, stop);
    }
    let mut facts = SessionFacts::default();
    destination.encode(to, |put| {
        facts = args.read(from, damage, &mut |messages, arrival| {
            check.take(messages)?;
            // After a gap the rest is only read to list all missing packets in the error.
            match args.allow_gaps || check.order.missing().is_empty() {
                true => put(messages, arrival),
                false => Ok(()),
            }
        })?;
        let complete = check.check_complete(facts);
        if args.allow_gaps { Ok(facts) } else { complete.map(|()| facts) }
    })?;
    let missing = facts.lacking(&mut check.order);
    let missing = missing.map(|missing| format!("; missing: {missing}")).unwrap_or_default();
    let end = match facts.end {
        Some(SessionEnd::Open) => "; the end of its session is not known",
        _ => "",
    };
    let numbers = match missing.is_empty() || to.has_sequences() || !check.order.has_runs() {
        true => "",
        false => "; OUT has no sequences, so its messages are numbered without the missing ones",
    };
    crate::terminal::message::message!(
        "{} from {} to {} in {}{missing}{end}{numbers}",
        count(check.order.packets(), noun_in(&check.order)),
        if stdin { "stdin".into() } else { shown(input).to_string() },
        if output == Path::new("-") { "stdout".into() } else { shown(output).to_string() },
        took(began.elapsed()),
    );
    Ok(Exit::Complete)
}

impl ConvertArgs {
    /// Returns the input, or the first of several.
    fn input(&self) -> &Path {
        self.inputs.first().map_or(Path::new("-"), Location::as_path)
    }

    /// Checks what only captures can be: several files, a choice of session, compressed.
    fn check_captures(&self, from: Format, to: Format) -> Result<(), Failure> {
        let refused = |reason: &str| Err(Failure::Usage(reason.to_owned()));
        let is_plain = self.inputs.len() == 1 && self.session.is_none();
        if !from.is_capture() && !is_plain {
            return refused("several INs, and --session, are for captures (.pcap, .pcapng)");
        }
        if to == Format::Nats && !is_plain {
            return refused("convert the captures to a .tape file first, and publish that");
        }
        let is_compressed = self.output.extension().is_some_and(|end| end == "gz");
        if to.is_capture() && is_compressed {
            return refused(
                "captures are written without compression: leave out .gz, and use gzip",
            );
        }
        Ok(())
    }

    /// Reads the messages of the input.
    fn read(
        &self,
        from: Format,
        damage: DamagePolicy,
        each: &mut MessageConsumer<'_>,
    ) -> Result<SessionFacts, Failure> {
        if !from.is_capture() {
            return source::read(self.input(), from, damage, each);
        }
        let paths: Vec<PathBuf> = self.inputs.iter().map(|path| path.as_path().into()).collect();
        source::read_captures(&paths, self.session.as_ref(), damage, each)
    }

    /// Checks that the output is not the input. With `--force` a file may replace itself, because
    /// it is read to its end before it is replaced.
    fn compare_places(&self, to: Format) -> Result<(), Failure> {
        let mut places = CommandPlaces::new();
        for (flag, path) in self.publishing.files() {
            places.reads(flag, path)?;
        }
        if !self.force || *self.output == *Path::new("-") || is_log(self.input()) {
            for input in &self.inputs {
                places.reads("", input)?;
            }
        }
        places.writes_as("", &self.output, Some(to))
    }
}

/// Maximum number of gaps that an error lists; further ones are only counted.
const LISTED: usize = 100;

/// Checks that packets ascend, and collects the missing ones.
struct OrderCheck<'a> {
    path: &'a Path,
    stop: &'a Stop,
    order: SequenceOrder,
}

impl<'a> OrderCheck<'a> {
    fn new(path: &'a Path, stop: &'a Stop) -> Self {
        Self { path, stop, order: SequenceOrder::listing(LISTED) }
    }

    fn take(&mut self, messages: Messages<'_>) -> Result<(), Failure> {
        if self.stop.asked() {
            return Err(Failure::Stopped);
        }
        self.order.take(messages, |_| {}).map_err(|disorder| Failure::Content {
            path: self.path.to_owned(),
            reason: disorder.to_string(),
        })
    }

    /// Returns [`Failure::Gaps`] if packets are missing, up to the session's last known sequence.
    fn check_complete(&mut self, facts: SessionFacts) -> Result<(), Failure> {
        let missing = facts.lacking(&mut self.order);
        missing.map_or(Ok(()), |missing| Err(Failure::Gaps { path: self.path.to_owned(), missing }))
    }
}
