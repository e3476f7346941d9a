//! `betacrew serve`: a mock exchange.

mod log;

use crate::args::address;
use crate::args::parse::draw_seed;
use crate::error::{Exit, Failure};
use crate::http::{self, ExchangeController, ScenarioInfo, Web};
use crate::net::{self, LISTENERS_MAX, Stop};
use crate::output::place::CommandPlaces;
use crate::scenario::file::{FaultFile, What};
use crate::scenario::text::QuotedText;
use crate::scenario::{self, EngineSection, ResolvedScenario, ScenarioFile};
use crate::tape::live::{LiveRecord, LiveTape};
use crate::tape::name::{AnyTape, FailingTape, TapeName};
use crate::terminal::message::print;
use crate::terminal::signals;
use clap::builder::{OsStringValueParser, TypedValueParser};
use feed::base::chance::Chance;
use feed::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use feed::exchange::original::{Death, OriginalExchange};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::{Played, SlowSubscriberPolicy};
use feed::tape::growing::ArrivalRate;
use feed::tape::market::SyntheticMarket;
use feed::tape::pace::Pace;
use feed::tape::source::TapeSource;
use log::{farewell, introduction, log};
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;

const LIVE: &str = "Live sessions";
const SHORTHAND: &str = "Loss (shorthand for a scenario)";

/// What `serve` takes.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Where to listen: HOST:PORT, or a port of this machine alone; repeat it for more. Port 0
    /// takes a free one [default: 127.0.0.1:3000 and [::1]:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,

    /// What goes wrong: a built-in scenario (`betacrew scenarios` lists them) or a TOML file
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["drop", "skip", "keep_last", "no_keep_last"])]
    scenario: Option<String>,

    /// What to play: sample[:N] (the documents' packets), classic (the original's 14),
    /// random:N[:SEED] (seeded order flow), market[:SEED] (endless, for --live), a .tape file, or
    /// another file as fetch writes it [default: the scenario's, or sample; market with --live]
    #[arg(long, value_name = "TAPE")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|it| TapeName::of_argument(&it)))]
    tape: Option<TapeName>,

    /// Play a recording that is not whole all the same: the packets before the first missing one,
    /// as a session of its own
    #[arg(long)]
    allow_gaps: bool,

    /// Stream at this pace: 5000/s, 80000B/s, or for .tape files `recorded`, 2x, 0.5x [default: the
    /// scenario's, or as fast as the client reads]. With --live, packets come into being at
    /// this pace: 5000/s, poisson:5000/s, bursts:5000/s:100 [default: 1000/s]
    #[arg(long, value_name = "PACE")]
    pace: Option<String>,

    /// A live session: packets come into being while clients are connected
    #[arg(long, help_heading = LIVE)]
    live: bool,

    /// Keep what comes into being in this tape file; go on with its session if it is there
    #[arg(long, value_name = "FILE", requires = "live", help_heading = LIVE)]
    record: Option<PathBuf>,

    /// What becomes of a subscriber that is so many packets behind: wait (it gets everything,
    /// late), skip:N (it misses what lies between, and can have it sent again), cut:N (it is told
    /// so, and its connection ends) [default: the scenario's, or wait]
    #[arg(long, value_name = "WHAT", requires = "live", help_heading = LIVE)]
    slow: Option<SlowSubscriberPolicy>,

    /// Begin another session, even if there is a record of one; that one stays until the first
    /// packet of the other
    #[arg(long, requires = "live", help_heading = LIVE)]
    new_session: bool,

    /// Repeat the run of this seed: the same goes wrong, connection by connection [default: the
    /// scenario's, or drawn and logged]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Lose each packet of a stream with this probability: 0.25 or 25% [default: 0.25, or 0
    /// where --skip says what is lost]
    #[arg(long, value_name = "P", help_heading = SHORTHAND)]
    drop: Option<Chance>,

    /// Lose exactly these sequences from every stream, such as 2,5-7
    #[arg(long, value_name = "SEQS", default_value = "", hide_default_value = true)]
    #[arg(help_heading = SHORTHAND)]
    skip: SeqSet,

    /// Never lose the last packet at random [this is the default]
    #[arg(long, overrides_with = "no_keep_last", help_heading = SHORTHAND)]
    keep_last: bool,

    /// Lose the last packet like any other
    #[arg(long, help_heading = SHORTHAND)]
    no_keep_last: bool,

    #[command(flatten)]
    web: http::HttpArgs,
}

/// What a scenario of flags is called.
const FLAGS: &str = "flags";

impl ServeArgs {
    /// The scenario that was named, or that the flags are shorthand for.
    fn plot(&self) -> Result<ResolvedScenario, Failure> {
        let mut plot = match &self.scenario {
            Some(name) => scenario::open(name)?,
            None => self.shorthand().plot(FLAGS, "").map_err(|refusal| Failure::Scenario {
                place: "the flags".to_owned(),
                message: refusal.to_string(),
            })?,
        };
        if let Some(tape) = &self.tape {
            plot.tape = tape.clone();
        }
        if plot.engine == EngineSection::Original && (self.pace.is_some() || self.live) {
            return Err(Failure::Usage("the original exchange has no pace".to_owned()));
        }
        if self.live && self.tape.is_none() && self.scenario.is_none() {
            plot.tape = TapeName::Market { seed: None };
        }
        if let Some(pace) = self.pace.as_ref().filter(|_| !self.live) {
            plot.scenario.pace = flag("--pace", pace)?;
        }
        if let Some(slow) = self.slow {
            plot.scenario.slow = slow;
        }
        let drawn = || if plot.seeded { plot.scenario.seed } else { draw_seed() };
        plot.scenario.seed = self.seed.unwrap_or_else(drawn);
        Ok(plot)
    }

    fn shorthand(&self) -> ScenarioFile {
        let drop = FaultFile::just(What::Drop);
        let quarter = Chance::of(1, 4).filter(|_| self.skip.is_empty());
        let chance = self.drop.or(quarter).filter(|&chance| chance != Chance::NEVER);
        let random =
            chance.map(|chance| FaultFile { chance: Some(QuotedText(chance)), ..drop.clone() });
        let skip = Some(self.skip.clone()).filter(|skip| !skip.is_empty());
        let listed = skip.map(|skip| FaultFile { sequences: Some(QuotedText(skip)), ..drop });
        ScenarioFile {
            keep_last: Some(!self.no_keep_last),
            fault: random.into_iter().chain(listed).collect(),
            ..ScenarioFile::default()
        }
    }
}

/// What is played, as far as faults depend on it.
fn played(tape: &AnyTape, next: Option<&AnyTape>, live: bool) -> Played {
    let last = |tape: &AnyTape| match tape {
        AnyTape::Market(_) => None,
        tape => Some(tape.last()),
    };
    let longest = |last: Seq| last.max(next.map_or(0, TapeSource::last));
    Played { last: last(tape).map(longest), live }
}

/// Runs the command.
///
/// # Errors
/// Where the scenario or the tape cannot be had or an address cannot be listened on.
pub fn run(args: &ServeArgs, stop: &Stop) -> Result<Exit, Failure> {
    let plot = args.plot()?;
    args.compare_places(&plot)?;
    let seed = plot.scenario.seed;
    let mut tape = plot.tape.open_as(seed, args.allow_gaps)?;
    if args.web.is_enabled() && plot.engine == EngineSection::Original {
        return Err(Failure::Usage(
            "the original exchange cannot be steered: no --http".to_owned(),
        ));
    }
    if args.live {
        return args.play_live(&plot, tape, stop);
    }
    if matches!(tape, AnyTape::Market(_)) {
        return Err(Failure::Usage("a market has no end: play it with --live".to_owned()));
    }
    let next = plot.next.as_ref().map(|next| next.open_as(seed, args.allow_gaps));
    let next = next.transpose()?;
    if matches!(plot.scenario.pace, Pace::Recorded(_)) {
        knows_times(&mut tape)?;
    }
    let played = played(&tape, next.as_ref(), false);
    args.check_faults(&plot, played)?;
    let original = match plot.engine {
        EngineSection::Betacrew => None,
        EngineSection::Original => Some(original(&plot, &tape)?),
    };
    let open = args.open(stop)?;
    let _orderly = signals::orderly();
    open.say()?;
    tracing::info!("{}", introduction(&tape, &plot));
    match original {
        None => play((&plot, played), tape, next, open, stop),
        Some(original) => play_original(original, open.listeners, stop),
    }
}

/// What is listened on.
struct OpenExchange {
    listeners: Vec<TcpListener>,
    web: Option<Web>,
}

impl OpenExchange {
    /// Says where, once nothing can fail any more.
    fn say(&self) -> Result<(), Failure> {
        let mut lines = String::new();
        for listener in &self.listeners {
            let address = listener
                .local_addr()
                .map_err(|source| Failure::System { action: "cannot tell the address", source })?;
            let _ = writeln!(lines, "listening on {address}");
        }
        lines += &self.web.as_ref().map(Web::lines).unwrap_or_default();
        print(&lines).map(drop)
    }
}

impl ServeArgs {
    /// Makes sure that the record is none of the files that are read.
    fn compare_places(&self, plot: &ResolvedScenario) -> Result<(), Failure> {
        let mut places = CommandPlaces::printing();
        for tape in [Some(&plot.tape), plot.next.as_ref()].into_iter().flatten() {
            if let TapeName::File(path) = tape {
                places.reads("--tape", path)?;
            }
        }
        if let Some(path) = self.scenario.as_deref().and_then(scenario::file_of) {
            places.reads("--scenario", path)?;
        }
        for (flag, path) in self.web.files() {
            places.reads(flag, path)?;
        }
        self.record.as_ref().map_or(Ok(()), |path| places.writes("--record", path))
    }
}

/// The value of a flag whose meaning depends on others.
fn flag<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{name} {text}: {error}")))
}

impl ServeArgs {
    /// Listens for clients, and for HTTP if that is asked for.
    fn open(&self, stop: &Stop) -> Result<OpenExchange, Failure> {
        net::raise_descriptor_limit();
        Ok(OpenExchange { listeners: listen(&self.listen)?, web: self.web.exchange(stop)? })
    }

    /// Makes sure that what was asked to go wrong can, in part at least, and says what cannot.
    fn check_faults(&self, plot: &ResolvedScenario, played: Played) -> Result<(), Failure> {
        let listed = self.scenario.is_some() || !self.skip.is_empty();
        self.check_skip(plot, played)?;
        let impossible = scenario::impossible_faults(&plot.scenario, played);
        if impossible.is_empty() || !listed && self.drop.is_none() {
            return Ok(());
        }
        let faults = impossible.join("; ");
        if listed && impossible.len() == plot.scenario.faults.len() {
            return Err(Failure::Usage(format!(
                "nothing would go wrong, for this can never happen to {}: {faults}. Choose faults \
                 that fit it, or another --tape",
                plot.tape
            )));
        }
        tracing::warn!("this can never happen to {}: {faults}", plot.tape);
        Ok(())
    }

    /// Makes sure that each sequence of `--skip` is one that is played: of one that is not, nobody
    /// would notice that it is never lost.
    fn check_skip(&self, plot: &ResolvedScenario, played: Played) -> Result<(), Failure> {
        let Some(last) = played.last else { return Ok(()) };
        let next = last.saturating_add(1);
        let beyond = self.skip.at_or_after(next);
        let beyond = beyond.and_then(|range| SeqRange::new(range.first().max(next), range.last()));
        let Some(beyond) = beyond else { return Ok(()) };
        let has = match last {
            0 => "no packets".to_owned(),
            1 => "packet 1 alone".to_owned(),
            last => format!("packets 1-{last}"),
        };
        Err(Failure::Usage(format!(
            "--skip {beyond}: no packet above {last} is sent, for {} has {has}. Skip some of \
             those, or choose another --tape",
            plot.tape
        )))
    }

    /// Runs our exchange with a live session.
    fn play_live(
        &self,
        plot: &ResolvedScenario,
        tape: AnyTape,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        let tempo = self
            .pace
            .as_ref()
            .map_or(Ok(ArrivalRate::Steady(1000)), |pace| flag("--pace", pace))?;
        let (mut tape, mut record) = (tape, None);
        if matches!(tempo, ArrivalRate::Recorded(_)) {
            knows_times(&mut tape)?;
        }
        let played = played(&tape, None, true);
        self.check_faults(plot, played)?;
        // What stands in the record is not touched before everything else can be had.
        let open = self.open(stop)?;
        let mut goes_on = None;
        if let Some(path) = &self.record {
            let (opened, before) = LiveRecord::open(path, self.new_session, tape.session())?;
            if let Some(before) = before.filter(|before| before.session != tape.session()) {
                let AnyTape::Market(_) = tape else {
                    return Err(Failure::Content {
                        path: path.clone(),
                        reason: "it has another session than this tape: --new-session replaces it"
                            .to_owned(),
                    });
                };
                tape = AnyTape::Market(Box::new(SyntheticMarket::new(before.session, MAX_SEQ)));
            }
            goes_on = before;
            record = Some(opened);
        }
        let _orderly = signals::orderly();
        open.say()?;
        let from = goes_on
            .map_or(String::new(), |before| format!(", going on after packet {}", before.last));
        tracing::info!("live at {tempo}{from}; {}", introduction(&tape, plot));
        let live = LiveTape::new(tape, tempo, plot.scenario.seed, record);
        let written = live.written();
        let mut player = MockExchange::new(live, plot.scenario.clone());
        let OpenExchange { listeners, web } = open;
        let mut desk =
            ExchangeController::new(web.as_ref(), ScenarioInfo::new(plot, played), written);
        net::serve_at(listeners, &mut player, stop, log, &mut desk).map_err(system)?;
        let finished = player.tape_mut().finish();
        let exit = ended(&player)?;
        if let (Err(reason), Some(path)) = (finished, &self.record) {
            return Err(Failure::Content { path: path.clone(), reason });
        }
        Ok(exit)
    }
}

/// Runs our exchange.
fn play(
    (plot, played): (&ResolvedScenario, Played),
    tape: AnyTape,
    next: Option<AnyTape>,
    open: OpenExchange,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let mut player = MockExchange::new(tape, plot.scenario.clone());
    if let Some(next) = next {
        player = player.then(next);
    }
    let OpenExchange { listeners, web } = open;
    let mut desk = ExchangeController::new(web.as_ref(), ScenarioInfo::new(plot, played), None);
    net::serve_at(listeners, &mut player, stop, log, &mut desk).map_err(system)?;
    ended(&player)
}

/// Says what was served, and how it ended.
fn ended<P: TapeSource + FailingTape>(player: &MockExchange<P>) -> Result<Exit, Failure> {
    tracing::info!("{}", farewell(&player.served()));
    match player.tape().failed() {
        Some(failure) => Err(failure),
        None if player.died() => Ok(Exit::Unexpected),
        None => Ok(Exit::Complete),
    }
}

/// Refuses to play a tape as it was recorded that does not know when that was.
fn knows_times(tape: &mut AnyTape) -> Result<(), Failure> {
    if tape.last() == 0 || tape.arrived(FIRST_SEQ).is_some() {
        return Ok(());
    }
    // That it cannot be read is another reason.
    Err(tape.failed().unwrap_or_else(|| {
        Failure::Usage(
            "this tape does not know when its packets came; give a rate: --pace 5000/s".to_owned(),
        )
    }))
}

fn system(source: std::io::Error) -> Failure {
    Failure::System { action: "the exchange cannot go on", source }
}

/// The original exchange, with a tape that it can play.
fn original(plot: &ResolvedScenario, tape: &AnyTape) -> Result<OriginalExchange, Failure> {
    let AnyTape::Memory(tape) = tape else {
        return Err(Failure::Usage(
            "the original exchange plays from memory: convert the tape to .json first".to_owned(),
        ));
    };
    Ok(OriginalExchange::new((**tape).clone(), plot.scenario.seed))
}

/// Runs the original exchange.
fn play_original(
    mut original: OriginalExchange,
    listeners: Vec<TcpListener>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    net::serve(listeners, &mut original, stop, |_, never| match never {}).map_err(system)?;
    let Some(death) = original.died_of() else { return Ok(Exit::Complete) };
    let of = match death {
        Death::UnknownSequence(seq) => {
            format!("it was asked for {seq}, which it does not have (its byte is signed)")
        }
        Death::WriteAfterEnd => "a client sent something after its stream call".to_owned(),
        Death::Reset => "a client reset its connection".to_owned(),
    };
    tracing::error!("the exchange has died, as the original would have: {of}");
    Ok(Exit::Unexpected)
}

/// Listens on the addresses typed, or on port 3000 of both loopback families.
fn listen(typed: &[String]) -> Result<Vec<TcpListener>, Failure> {
    let default = [format!("localhost:{}", address::PORT)];
    let typed = if typed.is_empty() { &default } else { typed };
    let (mut seen, mut listeners) = (Vec::<SocketAddr>::new(), Vec::new());
    for text in typed {
        let mut addresses = address::resolve(text)?;
        addresses.retain(|address| address.port() == 0 || !seen.contains(address));
        seen.extend(&addresses);
        let found = net::listen_on(&addresses).map_err(|(address, source)| Failure::Listen {
            address: address.to_string(),
            source,
        })?;
        listeners.extend(found);
    }
    match listeners.len() > LISTENERS_MAX {
        true => Err(Failure::Usage(format!("--listen: {LISTENERS_MAX} addresses at most"))),
        false => Ok(listeners),
    }
}
