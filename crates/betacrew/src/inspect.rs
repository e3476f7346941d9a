//! `betacrew inspect`: what is in a recording.

mod against;
mod book;
mod json;
mod plot;
mod reading;
mod text;

use crate::error::{Exit, Failure};
use crate::format::Format;
use crate::net::Stop;
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::terminal::message::print;
use crate::text::location::{Location, shown};
use reading::Inspection;
use std::path::{Path, PathBuf};

/// What `inspect` takes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit codes: 0 where files could be read, whatever is in them, and 6 where \
                        one could not.\nWith --verify 3 where packets are missing and 6 where a \
                        file is damaged.\nWith --against 3 where one of the two lacks packets and \
                        4 where they disagree on a packet."
)]
pub struct InspectArgs {
    /// The recordings, in any format; - is stdin, for json, ndjson and csv
    #[arg(value_name = "FILE", required = true)]
    files: Vec<Location>,

    /// What the files are [default: what their names end in]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// Check every byte and say only what is damaged or missing, and where
    #[arg(long)]
    verify: bool,

    /// Compare with this recording: what is only in one of them, what differs
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["verify", "plot"])]
    against: Option<Location>,

    /// Draw prices, volumes and what came how, as an SVG picture
    #[arg(long, value_name = "OUT.svg", conflicts_with = "verify")]
    plot: Option<PathBuf>,

    /// Show the order books as they are in the end: what rests of each symbol, and at which prices
    #[arg(long, conflicts_with_all = ["verify", "against"])]
    book: bool,

    /// Say it as JSON, one line a file
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Where flags contradict each other, and for a single file where it cannot be read.
pub fn run(args: &InspectArgs, stop: &Stop) -> Result<Exit, Failure> {
    let plot = args.plot()?;
    if let [path] = args.files.as_slice() {
        return match &args.against {
            Some(other) => args.compare(path, other, stop),
            None => args.look(path, plot, stop),
        };
    }
    let several = args.against.as_ref().map(|_| "--against").or(plot.as_ref().map(|_| "--plot"));
    if let Some(flag) = several {
        return Err(Failure::Usage(format!("{flag} is for a single FILE")));
    }
    let mut worst = Exit::Complete;
    for path in &args.files {
        // One file that cannot be read says nothing of the others.
        let exit = match args.look(path, None, stop) {
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            done => done.unwrap_or_else(|failure| {
                crate::terminal::message::show_failure(&failure);
                failure.exit()
            }),
        };
        worst = if exit as u8 > worst as u8 { exit } else { worst };
    }
    Ok(worst)
}

impl InspectArgs {
    fn format(&self, path: &Path) -> Result<Format, Failure> {
        let format = self.from.map_or_else(|| Format::expect(path, "--from"), Ok)?;
        if path == Path::new("-") && !format.is_text() {
            return Err(Failure::Usage(format!(
                "{} cannot be read from stdin: name a file",
                format.name()
            )));
        }
        Ok(format)
    }

    /// Begins the picture. Its name must say that it is one: what stands there is replaced.
    fn plot(&self) -> Result<Option<Output>, Failure> {
        let Some(path) = &self.plot else { return Ok(None) };
        if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svg")) {
            return Err(Failure::Usage(format!(
                "the picture is an SVG: end the name `{}` in .svg",
                shown(path)
            )));
        }
        let mut places = CommandPlaces::printing();
        for file in &self.files {
            places.reads("", file)?;
        }
        places.writes("--plot", path)?;
        Output::begin(path).map(Some)
    }

    /// Looks at one file.
    fn look(&self, path: &Path, plot: Option<Output>, stop: &Stop) -> Result<Exit, Failure> {
        let format = self.format(path)?;
        let listed = if self.json { json::LISTED } else { text::LISTED };
        let (charts, books) = (plot.is_some(), self.book);
        let wanted = reading::InspectOptions { listed, verify: self.verify, charts, books };
        let found = reading::read(path, format, wanted, stop)?;
        if let Some(output) = plot {
            let picture = plot::svg(&found);
            output.put(|out| out.write_all(picture.as_bytes()))?;
        }
        print(&match (self.json, self.verify) {
            (true, _) => json::found(&found),
            (false, true) => text::verdict(&found),
            (false, false) => text::found(&found),
        })?;
        Ok(if self.verify { verdict(&found) } else { Exit::Complete })
    }

    /// Compares two files.
    fn compare(&self, path: &Path, other: &Path, stop: &Stop) -> Result<Exit, Failure> {
        if other == Path::new("-") {
            return Err(Failure::Usage("--against needs a file, not stdin".to_owned()));
        }
        // One flag for both, where the names do not say.
        let other_format = Format::of(other).map_or_else(|| self.format(other), Ok)?;
        let sides = [(path, self.format(path)?), (other, other_format)];
        let listed = if self.json { json::LISTED } else { text::LISTED };
        let comparison = against::compare(sides, listed, stop)?;
        let places = [path, other];
        print(&match self.json {
            true => json::comparison(places, &comparison),
            false => text::comparison(places, &comparison),
        })?;
        let lacking = [0, 1].iter().any(|&side| !comparison.only_in(side).is_empty());
        Ok(match comparison.different().is_empty() {
            false => Exit::Misbehaved,
            true if lacking => Exit::Incomplete,
            true => Exit::Complete,
        })
    }
}

fn verdict(found: &Inspection) -> Exit {
    Exit::of(&found.facts())
}
