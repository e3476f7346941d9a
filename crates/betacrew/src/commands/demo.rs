//! `betacrew demo`: runs an exchange and a client in one process, over real TCP.

use crate::args::parse::{draw_seed, sequence};
use crate::error::{Exit, Failure};
use crate::format::Format;
use crate::net::{self, Stop};
use crate::output::Output;
use crate::output::place::CommandPlaces;
use crate::record::store::RecordingStore;
use crate::record::summary::{self, SummaryPlaces};
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

/// Flags of `demo`.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Seed: the same seed repeats the same run [default: a random one, which is shown]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Number of packets to play [default: 480, or the scenario's tape]
    #[arg(long, value_name = "N", value_parser = sequence(1..=PACKETS_MAX))]
    packets: Option<u64>,

    /// Drop each packet with this probability: 0.25 or 25%
    #[arg(long, value_name = "P", default_value = "25%", conflicts_with = "scenario")]
    drop: Chance,

    /// Faults to play instead: a built-in scenario (see `betacrew scenarios`) or a TOML file
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,

    /// File to write the packets to
    #[arg(short, long, value_name = "PATH", default_value = "output.json")]
    output: PathBuf,
}

/// Number of sequences in a row of the picture.
const WIDTH: u32 = 60;
/// Maximum number of packets that the demo shows.
const PACKETS_MAX: u64 = 100_000;

/// Tape and scenario of one demo.
struct DemoView {
    tape: Arc<Tape>,
    scenario: Scenario,
    /// Description of the scenario, as a part of a sentence.
    faults: String,
}

impl DemoArgs {
    /// Returns the tape and the scenario of these flags.
    fn view(&self, seed: u64) -> Result<DemoView, Failure> {
        let made = |packets| Arc::new(Tape::random(packets, seed));
        let Some(name) = &self.scenario else {
            return Ok(DemoView {
                tape: made(self.packets.unwrap_or(480)),
                scenario: Scenario::losing(seed, self.drop),
                faults: format!("and drops each with probability {}", self.drop),
            });
        };
        let resolved = scenario::open(name)?;
        let tape = match (self.packets, resolved.engine) {
            (_, EngineSection::Original) => {
                return Err(Failure::Usage(
                    "the demo cannot play the original exchange: use serve --scenario original"
                        .to_owned(),
                ));
            }
            (Some(packets), _) => made(packets),
            (None, _) => match resolved.tape.open(seed)? {
                AnyTape::Memory(tape) if tape.len() <= PACKETS_MAX => tape,
                _ => {
                    return Err(Failure::Usage(format!(
                        "the demo shows at most {PACKETS_MAX} packets: --packets N plays fewer"
                    )));
                }
            },
        };
        let scenario = Scenario { seed, ..resolved.scenario };
        Ok(DemoView {
            tape,
            scenario,
            faults: format!("as scenario {}: {}", resolved.name, resolved.about),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if a socket or the output fails.
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
        return Err(Failure::Usage(
            "the demo reads its output back, so stdout cannot be used: -o FILE".to_owned(),
        ));
    }
    let view = args.view(seed)?;
    let (mut store, recorder, time) = play(&view.tape, view.scenario.clone(), stop)?;
    let facts = Facts::of(&recorder, store.packets());
    if let Some(outcome) = recorder.outcome() {
        store.conclude(outcome.last, &facts)?;
    }
    if facts.completeness() != Completeness::Complete {
        let (addresses, recording) = (["the demo".to_owned()], (&recorder, &store));
        crate::terminal::message::show_text(&summary::text(
            &addresses,
            recording,
            time,
            SummaryPlaces::UpToGap(&[]),
            &facts,
        ));
        // A recording that was stopped early counts as success for `fetch`, but the demo has
        // promised all packets.
        return Ok(match Exit::of(&facts) {
            Exit::Complete => Exit::Incomplete,
            exit => exit,
        });
    }
    output.encode(format, |put| store.read_for(format, put).map(|()| store.session_facts()))?;
    check(args, &view.tape)?;
    print(&story(args, &view, &store, recorder.stats().resend_calls, time))
}

/// Returns the text and the pictures that the demo prints.
fn story(
    args: &DemoArgs,
    view: &DemoView,
    store: &RecordingStore,
    calls: u64,
    time: Duration,
) -> String {
    let colours = style::of(Stream::Stdout).colours;
    let marks = [
        (CellMark::Received, "received"),
        (CellMark::Missing, "dropped"),
        (CellMark::Recovered, "recovered"),
    ];
    let last = view.tape.last();
    let packets = count(last, "packet");
    let dropped: SeqSet = store.gaps.filled.iter().flatten().map(|filled| filled.range).collect();
    let mut text = format!(
        "An exchange plays {packets} over TCP {} (seed {}):\n\n",
        view.faults, view.scenario.seed
    );
    text += &sequence_strip::strip(last, &dropped, CellMark::Missing, WIDTH, colours);
    text += "\nThe client finds the gaps and requests the missing packets again:\n\n";
    text += &sequence_strip::strip(last, &dropped, CellMark::Recovered, WIDTH, colours);
    let _ = write!(
        text,
        "\n         {}\n\n{} dropped in {}, requested again with {}. Everything took {}.\n\
         {} was read back and compared with the exchange's tape:\n\
         all {packets} are there, each once, in order, equal.\n\n\
         Next: `betacrew serve` in one terminal, `betacrew fetch` in another.\n",
        sequence_strip::legend(&marks, colours),
        count(dropped.count(), "packet"),
        count(dropped.ranges().len() as u64, "gap"),
        count(calls, "request"),
        took(time),
        shown(&args.output),
    );
    text
}

/// Runs the exchange and the client. Returns the recording, its recorder and the time it took.
fn play(
    tape: &Arc<Tape>,
    scenario: Scenario,
    stop: &Stop,
) -> Result<(RecordingStore, Recorder, Duration), Failure> {
    let system = |action| move |source| Failure::System { action, source };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener =
        net::listen(any).map_err(|source| Failure::Listen { address: any.to_string(), source })?;
    let address = listener.local_addr().map_err(system("cannot read the address of a socket"))?;
    let mut mock = MockExchange::new(Arc::clone(tape), scenario);
    let exchange_stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = exchange_stop.clone();
        move || net::serve(vec![listener], &mut mock, &stop, |_, _| {})
    });
    let mut store = RecordingStore::unnamed()?;
    store.gaps.keep_history();
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    let began = Instant::now();
    let done = net::fetch(&[vec![address].into()], &mut recorder, &mut store, stop, |_| {});
    let time = began.elapsed();
    exchange_stop.stop();
    let served =
        exchange.join().unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")));
    served.map_err(system("the exchange stopped"))?;
    done.map_err(system("cannot watch connections"))?;
    store.end()?;
    Ok((store, recorder, time))
}

/// Reads the output back and checks that it equals the tape.
fn check(args: &DemoArgs, tape: &Tape) -> Result<(), Failure> {
    let written = name::read(&args.output)?;
    if written.frames() == tape.frames() {
        return Ok(());
    }
    let reason = "it differs from the tape that the exchange played".to_owned();
    Err(Failure::Content { path: args.output.clone(), reason })
}
