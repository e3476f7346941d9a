//! `betacrew inspect`: shows what a recording contains, verifies it, or compares it with another.

mod against;
mod book;
pub(crate) mod capture;
pub(crate) mod json;
mod messages;
mod plot;
mod reading;
mod text;

use crate::error::{Exit, Failure};
use crate::format::{Format, Payload};
use crate::net::Stop;
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::terminal::message::print;
use crate::text::location::{Location, shown};
use capture::ReportForm;
use reading::Inspection;
use std::path::{Path, PathBuf};

/// Arguments of `betacrew inspect`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit codes: 0 if every file could be read, 6 if one could not.\nWith --verify: 3 \
                  if packets are missing, 6 if a file is damaged.\nWith --against: 3 if one \
                  recording lacks packets of the other, 4 if they differ in a packet.\n\
                  Packet captures (.pcap, .pcapng; several are read as one): 3 if all lines \
                  together miss messages, 6 if a file is damaged."
)]
pub struct InspectArgs {
    /// Recordings, in any format, or packet captures of MoldUDP64; - is stdin, for json, ndjson,
    /// csv and itch
    #[arg(value_name = "FILE", required = true)]
    files: Vec<Location>,

    /// Format of the files [default: by their names]
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,

    /// Check every byte and show only what is damaged or missing
    #[arg(long)]
    verify: bool,

    /// Compare with this recording: show the packets that differ or are in one of the two only
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["verify", "plot"])]
    against: Option<Location>,

    /// Draw prices, volumes and missing packets as an SVG picture; of captures, what each line
    /// missed over time
    #[arg(long, value_name = "OUT.svg", conflicts_with = "verify")]
    plot: Option<PathBuf>,

    /// Meaning of the messages [default: by the first message]
    ///
    /// itch50 reads messages as ITCH although the first one is of a type that ITCH 5.0 does not
    /// have; opaque does not look at their content.
    #[arg(long, value_name = "PAYLOAD", conflicts_with = "against")]
    payload: Option<Payload>,

    /// Show the order books at the end: the quantity that rests at each price, by symbol
    #[arg(long, conflicts_with_all = ["verify", "against"])]
    book: bool,

    /// Print JSON, one line a file
    #[arg(long)]
    json: bool,
}

/// Runs the command `betacrew inspect`.
///
/// # Errors
/// Returns an error if flags contradict each other, or a single file cannot be read. With several
/// files, an unreadable one is reported and the others are still shown.
pub fn run(args: &InspectArgs, stop: &Stop) -> Result<Exit, Failure> {
    let plot = args.plot()?;
    if args.are_captures()? {
        let form = if args.json { ReportForm::Json } else { ReportForm::Text };
        return capture::run(&args.files, form, plot, stop);
    }
    if let [path] = args.files.as_slice() {
        return match &args.against {
            Some(other) => args.compare(path, other, stop),
            None => args.inspect_file(path, plot, stop),
        };
    }
    let several = args.against.as_ref().map(|_| "--against").or(plot.as_ref().map(|_| "--plot"));
    if let Some(flag) = several {
        return Err(Failure::Usage(format!("{flag} is for a single FILE")));
    }
    let mut worst = Exit::Complete;
    for path in &args.files {
        // A file that cannot be read must not hide what the others contain.
        let exit = match args.inspect_file(path, None, stop) {
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
    /// Returns whether the files are captures, which are read as one.
    fn are_captures(&self) -> Result<bool, Failure> {
        let is_capture = |path: &&Location| {
            let format = self.from.or_else(|| Format::of(path));
            format.is_some_and(Format::is_capture)
        };
        let captures = self.files.iter().filter(is_capture).count();
        let flags = [
            ("--verify", self.verify),
            ("--against", self.against.is_some()),
            ("--book", self.book),
            ("--payload", self.payload.is_some()),
        ];
        let flag = flags.iter().find(|(_, is_set)| *is_set);
        match flag {
            _ if captures == 0 => Ok(false),
            _ if captures < self.files.len() => Err(Failure::Usage(
                "captures and other files cannot be inspected together".to_owned(),
            )),
            Some((flag, _)) => Err(Failure::Usage(format!(
                "{flag} is not for captures: betacrew convert them to a .tape file first"
            ))),
            None => Ok(true),
        }
    }

    fn format(&self, path: &Path) -> Result<Format, Failure> {
        let format = self.from.map_or_else(|| Format::expect(path, "--from"), Ok)?;
        format.check_source(path).map(|()| format)
    }

    /// Opens the picture. Its name must end in .svg, because an existing file is replaced.
    fn plot(&self) -> Result<Option<Output>, Failure> {
        let Some(path) = &self.plot else { return Ok(None) };
        if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svg")) {
            return Err(Failure::Usage(format!(
                "--plot writes SVG: end the name `{}` in .svg",
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

    /// Inspects one file.
    fn inspect_file(
        &self,
        path: &Path,
        plot: Option<Output>,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        let format = self.format(path)?;
        let listed = if self.json { json::LISTED } else { text::LISTED };
        let (charts, books) = (plot.is_some(), self.book);
        let verify = self.verify;
        let meaning = self.payload.and_then(Payload::meaning);
        let wanted = reading::InspectOptions { listed, verify, charts, books, meaning };
        let found = reading::read(path, format, wanted, stop)?;
        self.check_payload(&found)?;
        if let Some(output) = plot {
            if found.survey.messages.is_some() {
                return Err(Failure::Usage(
                    "--plot draws order packets, and these messages are none: leave it out"
                        .to_owned(),
                ));
            }
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

    /// Checks that the messages can have the meaning that `--payload` gives them.
    fn check_payload(&self, found: &Inspection) -> Result<(), Failure> {
        let refused = |reason| Err(Failure::Usage(format!("--payload {reason}: leave it out")));
        match (self.payload, &found.survey.messages) {
            (Some(Payload::Orders), Some(_)) => {
                refused("orders does not fit, because the messages are no order packets")
            }
            (Some(Payload::Itch50 | Payload::Opaque), None) if found.survey.packets() > 0 => {
                refused("is for messages, and these are order packets")
            }
            _ => Ok(()),
        }
    }

    /// Compares two files.
    fn compare(&self, path: &Path, other: &Path, stop: &Stop) -> Result<Exit, Failure> {
        if other == Path::new("-") {
            return Err(Failure::Usage("--against needs a file, not stdin".to_owned()));
        }
        // --from applies to the other file only if its name does not give the format.
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

/// Returns the exit code of `--verify`.
fn verdict(found: &Inspection) -> Exit {
    Exit::of(&found.facts())
}
