//! `betacrew convert`: a file of packets in another format.

#[cfg(feature = "nats")]
mod publish;

use crate::error::{Exit, Failure};
use crate::format::{DamagePolicy, Format, SessionFacts};
use crate::nats::PublishFlags;
use crate::net::Stop;
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::source;
use crate::text::formatting::{count, took};
use crate::text::location::{Location, is_log, shown};
use feed::analysis::survey::SequenceOrder;
use feed::tape::file::SessionEnd;
use feed::wire::RawFrame;
use std::path::Path;
use std::time::Instant;

/// What `convert` takes.
#[derive(clap::Args, Debug)]
pub struct ConvertArgs {
    /// The file to read; - is stdin, for json, ndjson and csv
    #[arg(value_name = "IN")]
    input: Location,

    /// The file to write; - is stdout, for json, ndjson and csv
    #[arg(value_name = "OUT")]
    output: Location,

    /// What IN is [default: what its name ends in]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// What OUT becomes [default: what its name ends in]
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,

    /// Replace OUT if it is there
    #[arg(long)]
    force: bool,

    /// Go on where sequences are missing, or where parts of a tape are damaged
    #[arg(long)]
    allow_gaps: bool,

    #[command(flatten)]
    publishing: PublishFlags,
}

/// Runs the command.
///
/// # Errors
/// Where one of the files makes no sense, or packets are missing and that is not allowed.
pub fn run(args: &ConvertArgs, stop: &Stop) -> Result<Exit, Failure> {
    let (input, output) = (args.input.as_path(), args.output.as_path());
    let from = args.from.map_or_else(|| Format::expect(input, "--from"), Ok)?;
    let to = args.to.map_or_else(|| Format::expect(output, "--to"), Ok)?;
    let stdin = input == Path::new("-");
    if stdin && !from.is_text() {
        return Err(Failure::Usage(format!(
            "{} cannot be read from stdin: name a file",
            from.name()
        )));
    }
    from.check()?;
    to.check()?;
    #[cfg(feature = "nats")]
    if to == Format::Nats {
        return publish::publish_recording(input, from, (output, &args.publishing), stop);
    }
    args.compare_places(to)?;
    if !args.force && output.is_file() {
        return Err(Failure::Usage(format!(
            "`{}` is there already: --force replaces it",
            shown(output)
        )));
    }
    let damage = if args.allow_gaps { DamagePolicy::Skip } else { DamagePolicy::Refuse };
    let began = Instant::now();
    let place = Output::begin_as(output, to)?;
    let mut check = OrderCheck::new(input, stop);
    if place.is_stream() && !args.allow_gaps && !stdin {
        // What has gone through a pipe cannot be taken back.
        let told = source::read(input, from, damage, &mut |frames, _| check.take(frames))?;
        check.whole(told)?;
        check = OrderCheck::new(input, stop);
    }
    let mut told = SessionFacts::default();
    place.encode(to, |put| {
        told = source::read(input, from, damage, &mut |frames, arrival| {
            check.take(frames)?;
            // After a gap only what else is missing is of interest.
            match args.allow_gaps || check.order.missing().is_empty() {
                true => put(frames, arrival),
                false => Ok(()),
            }
        })?;
        let whole = check.whole(told);
        if args.allow_gaps { Ok(told) } else { whole.map(|()| told) }
    })?;
    let missing = told.lacking(&mut check.order);
    let missing = missing.map(|missing| format!("; missing: {missing}")).unwrap_or_default();
    let end = match told.end {
        Some(SessionEnd::Open) => "; where its session ends is not known",
        _ => "",
    };
    crate::terminal::message::message!(
        "{} from {} to {} in {}{missing}{end}",
        count(check.order.packets(), "packet"),
        if stdin { "stdin".into() } else { shown(input).to_string() },
        if output == Path::new("-") { "stdout".into() } else { shown(output).to_string() },
        took(began.elapsed()),
    );
    Ok(Exit::Complete)
}

impl ConvertArgs {
    /// Makes sure that what is written is not what is read. A file may be replaced by itself in
    /// another form: it is read to its end before that.
    fn compare_places(&self, to: Format) -> Result<(), Failure> {
        let mut places = CommandPlaces::new();
        for (flag, path) in self.publishing.files() {
            places.reads(flag, path)?;
        }
        if !self.force || *self.output == *Path::new("-") || is_log(&self.input) {
            places.reads("", &self.input)?;
        }
        places.writes_as("", &self.output, Some(to))
    }
}

/// So many gaps are listed; of the others there is only the number.
const LISTED: usize = 100;

/// Sees that packets ascend, and what is missing between them.
struct OrderCheck<'a> {
    path: &'a Path,
    stop: &'a Stop,
    order: SequenceOrder,
}

impl<'a> OrderCheck<'a> {
    fn new(path: &'a Path, stop: &'a Stop) -> Self {
        Self { path, stop, order: SequenceOrder::listing(LISTED) }
    }

    fn take(&mut self, frames: &[RawFrame]) -> Result<(), Failure> {
        if self.stop.asked() {
            return Err(Failure::Stopped);
        }
        self.order.take(frames, |_| {}).map_err(|disorder| Failure::Content {
            path: self.path.to_owned(),
            reason: disorder.to_string(),
        })
    }

    /// Whether nothing is missing, not even of what the file knows its session to have.
    fn whole(&mut self, told: SessionFacts) -> Result<(), Failure> {
        let lacking = told.lacking(&mut self.order);
        lacking.map_or(Ok(()), |missing| Err(Failure::Gaps { path: self.path.to_owned(), missing }))
    }
}
