//! `betacrew demo`: an exchange and a client in one process, over real TCP.

use crate::args::parse::{draw_seed, number};
use crate::error::{Exit, Failure};
use crate::format::Format;
use crate::net::{self, Stop};
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::record::store::RecordingStore;
use crate::record::summary;
use crate::scenario::{self, EngineSection};
use crate::tape::name;
use crate::tape::name::AnyTape;
use crate::terminal::message::print;
use crate::terminal::sequence_strip::{self, CellMark};
use crate::terminal::style::{self, Stream};
use crate::text::formatting::{count, took};
use crate::text::location::shown;
use feed::base::chance::Chance;
use feed::base::seq::SeqSet;
use feed::client::{Recorder, RecorderOptions};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::session::completeness::{Completeness, Facts};
use feed::tape::in_memory::Tape;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `demo` takes.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Repeat the run of this seed [default: drawn and shown]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How many packets the exchange plays [default: 480, or the scenario's tape]
    #[arg(long, value_name = "N", value_parser = number(1..=PACKETS_MAX))]
    packets: Option<u32>,

    /// Lose each packet with this probability: 0.25 or 25%
    #[arg(long, value_name = "P", default_value = "25%", conflicts_with = "scenario")]
    drop: Chance,

    /// What goes wrong instead: a built-in scenario (see `betacrew scenarios`) or a TOML file
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,

    /// Where to write the packets
    #[arg(short, long, value_name = "PATH", default_value = "output.json")]
    output: PathBuf,
}

/// Marks a row.
const WIDTH: u32 = 60;
/// The longest tape that is shown.
const PACKETS_MAX: u32 = 100_000;

/// What is shown.
struct DemoView {
    tape: Arc<Tape>,
    scenario: Scenario,
    /// What happens to packets, as a part of a sentence.
    losing: String,
}

impl DemoArgs {
    fn show(&self, seed: u64) -> Result<DemoView, Failure> {
        let made = |packets| Arc::new(Tape::random(packets, seed));
        let Some(name) = &self.scenario else {
            return Ok(DemoView {
                tape: made(self.packets.unwrap_or(480)),
                scenario: Scenario::losing(seed, self.drop),
                losing: format!("and loses each with {}", self.drop),
            });
        };
        let plot = scenario::open(name)?;
        let tape = match (self.packets, plot.engine) {
            (_, EngineSection::Original) => {
                return Err(Failure::Usage(
                    "the demo shows our exchange: play the original one with serve".to_owned(),
                ));
            }
            (Some(packets), _) => made(packets),
            (None, _) => match plot.tape.open(seed)? {
                AnyTape::Memory(tape) if tape.len() <= PACKETS_MAX => tape,
                _ => {
                    return Err(Failure::Usage(format!(
                        "the demo shows {PACKETS_MAX} packets at most: --packets N plays fewer"
                    )));
                }
            },
        };
        let scenario = Scenario { seed, ..plot.scenario };
        Ok(DemoView {
            tape,
            scenario,
            losing: format!("as scenario {}: {}", plot.name, plot.about),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Where sockets or the output fail.
pub fn run(args: &DemoArgs, stop: &Stop) -> Result<Exit, Failure> {
    let seed = args.seed.unwrap_or_else(draw_seed);
    let format = Format::of(&args.output).unwrap_or(Format::Json);
    let mut places = CommandPlaces::printing();
    if let Some(path) = args.scenario.as_deref().and_then(scenario::file_of) {
        places.reads("--scenario", path)?;
    }
    places.writes_as("-o", &args.output, Some(format))?;
    let output = Output::begin_as(&args.output, format)?;
    if output.is_stream() {
        return Err(Failure::Usage("the demo reads its output back: name a file".to_owned()));
    }
    let show = args.show(seed)?;
    let (mut capture, recorder, time) = play(&show.tape, show.scenario.clone(), stop)?;
    let facts = Facts::of(&recorder, capture.packets());
    if let Some(outcome) = recorder.outcome() {
        capture.conclude(outcome.last, &facts)?;
    }
    if facts.completeness() != Completeness::Complete {
        let (addresses, recording) = (["the demo".to_owned()], (&recorder, &capture));
        crate::terminal::message::show_text(&summary::text(
            &addresses, recording, time, None, &facts,
        ));
        // The demo's exchange ends its session: all there is so far is not enough.
        return Ok(match Exit::of(&facts) {
            Exit::Complete => Exit::Incomplete,
            exit => exit,
        });
    }
    output.encode(format, |put| capture.read_for(format, put).map(|()| capture.told()))?;
    check(args, &show.tape)?;
    print(&story(args, &show, &capture, recorder.stats().resend_calls, time))
}

/// What happened, as text and pictures.
fn story(
    args: &DemoArgs,
    show: &DemoView,
    capture: &RecordingStore,
    calls: u64,
    time: Duration,
) -> String {
    let colour = style::of(Stream::Stdout).colour;
    let marks = [
        (CellMark::Received, "received"),
        (CellMark::Missing, "lost"),
        (CellMark::Recovered, "recovered"),
    ];
    let last = show.tape.last();
    let packets = count(last.into(), "packet");
    let lost: SeqSet = capture.filled.iter().flatten().map(|filled| filled.range).collect();
    let mut text = format!(
        "An exchange plays {packets} over TCP {} (seed {}):\n\n",
        show.losing, show.scenario.seed
    );
    text += &sequence_strip::strip(last, &lost, false, WIDTH, colour);
    text += "\nThe client finds the gaps and has the packets sent again:\n\n";
    text += &sequence_strip::strip(last, &lost, true, WIDTH, colour);
    let _ = write!(
        text,
        "\n         {}\n\n{} lost in {}, asked for again with {}. Everything took {}.\n\
         {} was read back and compared with the exchange's tape:\n\
         all {packets} are there, each once, in order, equal.\n\n\
         Next: `betacrew serve` in one terminal, `betacrew fetch` in another.\n",
        sequence_strip::legend(&marks, colour),
        count(lost.count(), "packet"),
        count(lost.ranges().len() as u64, "gap"),
        count(calls, "request"),
        took(time),
        shown(&args.output),
    );
    text
}

/// Runs both ends; returns what was recorded, how, and how fast.
fn play(
    tape: &Arc<Tape>,
    scenario: Scenario,
    stop: &Stop,
) -> Result<(RecordingStore, Recorder, Duration), Failure> {
    let system = |action| move |source| Failure::System { action, source };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener =
        net::listen(any).map_err(|source| Failure::Listen { address: any.to_string(), source })?;
    let address = listener.local_addr().map_err(system("cannot tell the address"))?;
    let mut player = MockExchange::new(Arc::clone(tape), scenario);
    let exchange_stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = exchange_stop.clone();
        move || net::serve(vec![listener], &mut player, &stop, |_, _| {})
    });
    let mut capture = RecordingStore::unnamed()?;
    capture.keep_history();
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    let began = Instant::now();
    let done = net::fetch(&[vec![address]], &mut recorder, &mut capture, stop, |_| {});
    let time = began.elapsed();
    exchange_stop.stop();
    let served = exchange.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
    served.map_err(system("the exchange cannot go on"))?;
    done.map_err(system("cannot watch connections"))?;
    capture.end()?;
    Ok((capture, recorder, time))
}

/// Reads the output back and compares it with the tape.
fn check(args: &DemoArgs, tape: &Tape) -> Result<(), Failure> {
    let written = name::read(&args.output)?;
    if written.frames() == tape.frames() {
        return Ok(());
    }
    let reason = "it differs from what the exchange played".to_owned();
    Err(Failure::Content { path: args.output.clone(), reason })
}
