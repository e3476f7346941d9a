//! `betacrew serve`: runs a mock exchange on listening sockets.

mod checks;
mod lines;
mod listen;
mod log;
mod users;

use crate::args::parse::draw_seed;
use crate::error::{Exit, Failure};
use crate::http::{self, ExchangeController, ScenarioInfo};
use crate::net::{self, Listener, Sockets, Stop};
use crate::output::successor::Existing;
use crate::scenario::file::{FaultFile, What};
use crate::scenario::text::QuotedText;
use crate::scenario::{self, EngineSection, ResolvedScenario, ScenarioFile};
use crate::tape::live::{LiveRecord, LiveTape};
use crate::tape::name::{AnyTape, FailingTape, TapeName};
use crate::terminal::signals;
use checks::check_arrival_times;
use clap::builder::{OsStringValueParser, TypedValueParser};
use feed::base::chance::Chance;
use feed::base::seq::{MAX_SEQ, Seq, SeqSet};
use feed::exchange::original::{Death, OriginalExchange};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::{Played, SlowSubscriberPolicy};
use feed::session::completeness::GapPolicy;
use feed::tape::growing::ArrivalRate;
use feed::tape::itch_market::ItchMarket;
use feed::tape::market::SyntheticMarket;
use feed::tape::pace::Pace;
use feed::tape::source::TapeSource;
use feed::wire::MAX_PACKET_SEQ;
use feed::wire::{Protocol, Protocols};
use listen::OpenExchange;
use log::{farewell, introduction, log};
use std::path::PathBuf;
use std::str::FromStr;

/// Heading of the flags for live sessions in `--help`.
const LIVE: &str = "Live sessions";
/// Heading of the flags that replace a scenario file in `--help`.
const SHORTHAND: &str = "Dropped packets (instead of a scenario)";

/// Flags of `serve`.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on: [PROTOCOL://]HOST:PORT, or a port of this machine [default: 3000]
    ///
    /// The protocol is betacrew, which is the default, soup (SoupBinTCP) or mold (MoldUDP64). A
    /// port alone listens on 127.0.0.1 and [::1], and port 0 takes a free port. Repeat the flag to
    /// listen on several addresses, also in several protocols.
    ///
    /// mold://HOST:PORT?request=HOST:PORT is a line: its datagrams go to the first address, a group
    /// or a single receiver, and the second one is its request server. More keys follow behind `&`:
    /// to=HOST:PORT (a further receiver), interface=IP or for a group of IPv6 its name, ttl=N (for
    /// groups 127.0.0.1 and 0, which stay on this machine), age=N or age=TIME (older messages are
    /// not sent again), rate=N (requests of a client in a second), start=TIME (heartbeats before
    /// the first message). Two lines drop independently.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,

    /// File of users who may log in over SoupBinTCP: `user password` a line [default: anyone]
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// Faults to play: a built-in scenario (see `betacrew scenarios`) or a TOML file
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["drop", "skip", "keep_last", "no_keep_last"])]
    scenario: Option<String>,

    /// Packets to play: sample[:N], classic, random:N[:SEED], market[:SEED], itch[:N[:SEED]] or a
    /// file [default: the scenario's tape, or sample; market with --live]
    ///
    /// sample is the example in the exercise's documents, classic the 14 packets of the original
    /// exchange, random a seeded order flow of N packets, market an endless one for --live,
    /// extremes packets with extreme numbers. itch:N is a trading day of N ITCH messages, itch an
    /// endless market of them for --live; both need listeners of soup:// or mold:// alone. lengths
    /// has messages of 0 to 65,534 bytes, for soup:// alone. A file is a .tape file or any other
    /// file that fetch
    /// writes.
    #[arg(long, value_name = "TAPE")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|it| TapeName::of_argument(&it)))]
    tape: Option<TapeName>,

    /// Play an incomplete recording up to its first missing packet, as a new session
    #[arg(long)]
    allow_gaps: bool,

    /// Speed of the stream: 5000/s, 80000B/s, or for files with times recorded, 2x, 0.5x [default:
    /// the scenario's, or as fast as the client reads; 1000/s with --live]
    ///
    /// Bytes (B) are those of the messages, without what their protocol adds. Tape files, captures
    /// and ITCH files have times. With --live this is the rate at which new packets are created:
    /// 5000/s, poisson:5000/s, bursts:5000/s:100, or for files with times recorded, 2x, 0.5x.
    #[arg(long, value_name = "PACE")]
    pace: Option<String>,

    /// Play a live session: new packets are created while clients are connected
    #[arg(long, help_heading = LIVE)]
    live: bool,

    /// Save the session to this tape file; continue its session if the file exists
    #[arg(long, value_name = "FILE", requires = "live", help_heading = LIVE)]
    record: Option<PathBuf>,

    /// Treatment of a slow subscriber: wait, skip:N or cut:N [default: the scenario's, or wait]
    ///
    /// wait sends every packet, however late. skip:N jumps to the newest packet once a subscriber
    /// is N packets behind; it can request the skipped ones. cut:N announces the reason and closes
    /// the connection.
    #[arg(long, value_name = "WHAT", requires = "live", help_heading = LIVE)]
    slow: Option<SlowSubscriberPolicy>,

    /// Start a new session although the --record file has one
    ///
    /// The file keeps the old session until the new one has its first packet.
    #[arg(long, requires = "live", help_heading = LIVE)]
    new_session: bool,

    /// Seed of the faults: the same seed repeats the same faults, connection by connection
    /// [default: the scenario's, or a random one that is logged]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Drop each packet of a stream with this probability: 0.25 or 25% [default: 0.25, or 0 with
    /// --skip or without a betacrew:// listener]
    #[arg(long, value_name = "P", help_heading = SHORTHAND)]
    drop: Option<Chance>,

    /// Drop exactly these sequences from every stream, such as 2,5-7
    #[arg(long, value_name = "SEQS", default_value = "", hide_default_value = true)]
    #[arg(help_heading = SHORTHAND)]
    skip: SeqSet,

    /// Never drop the last packet at random [this is the default]
    #[arg(long, overrides_with = "no_keep_last", help_heading = SHORTHAND)]
    keep_last: bool,

    /// Drop the last packet with the same probability as any other
    #[arg(long, help_heading = SHORTHAND)]
    no_keep_last: bool,

    #[command(flatten)]
    line_args: lines::LineArgs,

    #[command(flatten)]
    web: http::HttpArgs,
}

/// Name of the scenario that the flags describe.
const FLAGS: &str = "flags";

impl ServeArgs {
    /// Returns the treatment of tapes with missing packets.
    fn gaps(&self) -> GapPolicy {
        if self.allow_gaps { GapPolicy::Allow } else { GapPolicy::Refuse }
    }

    /// Returns the scenario of `--scenario`, or the one that the other flags describe.
    fn resolve_scenario(&self, protocols: Protocols) -> Result<ResolvedScenario, Failure> {
        let mut resolved = match &self.scenario {
            Some(name) => scenario::open(name)?,
            None => self.shorthand(protocols).resolve(FLAGS, "").map_err(|refusal| {
                Failure::Scenario { place: "command line".to_owned(), message: refusal.to_string() }
            })?,
        };
        if let Some(tape) = &self.tape {
            resolved.tape = tape.clone();
        }
        if resolved.engine == EngineSection::Original && (self.pace.is_some() || self.live) {
            return Err(Failure::Usage(
                "the original exchange has no --pace and no --live: leave these flags out"
                    .to_owned(),
            ));
        }
        if self.live && self.tape.is_none() && self.scenario.is_none() {
            resolved.tape = TapeName::Market { seed: None };
        }
        if let Some(pace) = self.pace.as_ref().filter(|_| !self.live) {
            resolved.scenario.pace = parse_flag("--pace", pace)?;
        }
        if let Some(slow) = self.slow {
            resolved.scenario.slow = slow;
        }
        let drawn = || if resolved.seeded { resolved.scenario.seed } else { draw_seed() };
        resolved.scenario.seed = self.seed.unwrap_or_else(drawn);
        Ok(resolved)
    }

    /// Returns the scenario file that the flags for dropped packets stand for.
    fn shorthand(&self, protocols: Protocols) -> ScenarioFile {
        let drop = FaultFile::just(What::Drop);
        let can_drop = protocols.contains(Protocol::Betacrew);
        // The original exchange drops a quarter of the packets. A user who lists packets wants
        // exactly those dropped.
        let quarter = Chance::of(1, 4).filter(|_| self.skip.is_empty() && can_drop);
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

impl ServeArgs {
    /// Returns the facts about the played tapes and the listeners that faults depend on.
    fn played(&self, tape: &AnyTape, next: Option<&AnyTape>, protocols: Protocols) -> Played {
        let last = |tape: &AnyTape| (!tape.is_endless()).then(|| tape.last());
        let longest = |last: Seq| last.max(next.map_or(0, TapeSource::last));
        let (last, lines) = (last(tape).map(longest), lines::count(&self.listen));
        Played { last, live: self.live, protocols, lines }
    }
}

/// Runs the command.
///
/// # Errors
/// Returns a [`Failure`] if the scenario or the tape cannot be read, or an address is not free.
pub fn run(args: &ServeArgs, stop: &Stop) -> Result<Exit, Failure> {
    let protocols = listen::protocols(&args.listen)?;
    let resolved = args.resolve_scenario(protocols)?;
    args.compare_places(&resolved)?;
    let seed = resolved.scenario.seed;
    let mut tape = resolved.tape.open_as(seed, args.gaps())?;
    if args.web.is_enabled() && resolved.engine == EngineSection::Original {
        return Err(Failure::Usage(
            "the original exchange has no --http: leave the flag out".to_owned(),
        ));
    }
    if args.live {
        args.check_protocols(&resolved, &mut [&mut tape], protocols)?;
        return args.play_live(&resolved, protocols, tape, stop);
    }
    if tape.is_endless() {
        return Err(Failure::Usage(format!("the tape {} is endless: add --live", resolved.tape)));
    }
    let next = resolved.next.as_ref().map(|next| next.open_as(seed, args.gaps()));
    let mut next = next.transpose()?;
    let mut tapes: Vec<&mut AnyTape> = [&mut tape].into_iter().chain(&mut next).collect();
    args.check_protocols(&resolved, &mut tapes, protocols)?;
    if matches!(resolved.scenario.pace, Pace::Recorded(_)) {
        check_arrival_times(&mut tape)?;
    }
    let played = args.played(&tape, next.as_ref(), protocols);
    args.check_faults(&resolved, played)?;
    let original = match resolved.engine {
        EngineSection::Betacrew => None,
        EngineSection::Original => Some(original(&resolved, &tape)?),
    };
    let open = args.open(stop)?;
    let _orderly = signals::orderly();
    open.print_addresses()?;
    tracing::info!("{}", introduction(&tape, &resolved, protocols));
    match original {
        None => play((&resolved, played), tape, next, open, stop),
        Some(original) => play_original(original, open.listeners, stop),
    }
}

/// Parses a flag whose syntax depends on other flags.
fn parse_flag<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{name} {text}: {error}")))
}

impl ServeArgs {
    /// Opens the sockets for clients, and for HTTP if requested.
    fn open(&self, stop: &Stop) -> Result<OpenExchange, Failure> {
        net::raise_descriptor_limit();
        let users = self.users.as_deref().map(users::read).transpose()?.unwrap_or_default();
        let listeners = listen::listen(&self.listen)?;
        let lines = self.line_args.open(&self.listen)?;
        Ok(OpenExchange { listeners, lines, users, web: self.web.exchange(stop)? })
    }

    /// Runs the mock exchange with a live session.
    fn play_live(
        &self,
        resolved: &ResolvedScenario,
        protocols: Protocols,
        tape: AnyTape,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        let rate = self
            .pace
            .as_ref()
            .map_or(Ok(ArrivalRate::Steady(1000)), |pace| parse_flag("--pace", pace))?;
        let (mut tape, mut record) = (tape, None);
        if matches!(rate, ArrivalRate::Recorded(_)) {
            check_arrival_times(&mut tape)?;
        }
        let played = self.played(&tape, None, protocols);
        self.check_faults(resolved, played)?;
        // The record is opened last, so that an earlier failure leaves it untouched.
        let open = self.open(stop)?;
        let mut earlier = None;
        let existing = if self.new_session { Existing::Replace } else { Existing::Continue };
        if let Some(path) = &self.record {
            let (opened, before) = LiveRecord::open(path, existing, tape.session())?;
            if let Some(before) = before.filter(|before| before.session != tape.session()) {
                tape = match tape {
                    AnyTape::Market(_) => {
                        let market = SyntheticMarket::new(before.session, MAX_PACKET_SEQ);
                        AnyTape::Market(Box::new(market))
                    }
                    AnyTape::Itch(market) if market.is_endless() => {
                        AnyTape::Itch(Box::new(ItchMarket::new(before.session, MAX_SEQ)))
                    }
                    _ => {
                        let reason = "its session is not the session of this tape: --new-session \
                                      replaces it";
                        return Err(Failure::Content {
                            path: path.clone(),
                            reason: reason.to_owned(),
                        });
                    }
                };
            }
            earlier = before;
            record = Some(opened);
        }
        let _orderly = signals::orderly();
        open.print_addresses()?;
        let from = earlier
            .map_or(String::new(), |before| format!(", continuing after packet {}", before.last));
        tracing::info!("live at {rate}{from}; {}", introduction(&tape, resolved, protocols));
        let live = LiveTape::new(tape, rate, resolved.scenario.seed, record);
        let written = live.written();
        let addresses = open.addresses()?;
        let OpenExchange { listeners, lines, users, web } = open;
        let exchange = MockExchange::new(live, resolved.scenario.clone()).with_users(users);
        let mut exchange = lines.add_to(exchange);
        let sockets = Sockets { listeners, lines: lines.sockets };
        let mut controller = ExchangeController::new(
            web.as_ref(),
            ScenarioInfo::new(resolved, played, &addresses),
            written,
        );
        net::serve_with(sockets, &mut exchange, stop, log, &mut controller).map_err(system)?;
        let finished = exchange.tape_mut().finish();
        let exit = report_end(&exchange)?;
        if let (Err(reason), Some(path)) = (finished, &self.record) {
            return Err(Failure::Content { path: path.clone(), reason });
        }
        Ok(exit)
    }
}

/// Runs the mock exchange with a tape of known length.
fn play(
    (resolved, played): (&ResolvedScenario, Played),
    tape: AnyTape,
    next: Option<AnyTape>,
    open: OpenExchange,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let addresses = open.addresses()?;
    let OpenExchange { listeners, lines, users, web } = open;
    let exchange = MockExchange::new(tape, resolved.scenario.clone()).with_users(users);
    let mut exchange = lines.add_to(exchange);
    let sockets = Sockets { listeners, lines: lines.sockets };
    if let Some(next) = next {
        exchange = exchange.with_next_tape(next);
    }
    let info = ScenarioInfo::new(resolved, played, &addresses);
    let mut controller = ExchangeController::new(web.as_ref(), info, None);
    net::serve_with(sockets, &mut exchange, stop, log, &mut controller).map_err(system)?;
    report_end(&exchange)
}

/// Logs the totals of an exchange and returns its exit code.
fn report_end<P: TapeSource + FailingTape>(exchange: &MockExchange<P>) -> Result<Exit, Failure> {
    tracing::info!("{}", farewell(&exchange.stats()));
    match exchange.tape().failed() {
        Some(failure) => Err(failure),
        None if exchange.died() => Ok(Exit::Unexpected),
        None => Ok(Exit::Complete),
    }
}

/// Returns the failure of the exchange's event loop.
fn system(source: std::io::Error) -> Failure {
    Failure::System { action: "the exchange stopped", source }
}

/// Returns the original exchange with a tape that it can play.
fn original(resolved: &ResolvedScenario, tape: &AnyTape) -> Result<OriginalExchange, Failure> {
    let AnyTape::Memory(tape) = tape else {
        return Err(Failure::Usage(
            "the original exchange plays order packets from memory: convert this tape to .json \
             first"
                .to_owned(),
        ));
    };
    Ok(OriginalExchange::new((**tape).clone(), resolved.scenario.seed))
}

/// Runs the original exchange.
fn play_original(
    mut original: OriginalExchange,
    listeners: Vec<Listener>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    net::serve(listeners, &mut original, stop, |_, never| match never {}).map_err(system)?;
    let Some(death) = original.died_of() else { return Ok(Exit::Complete) };
    let cause = match death {
        Death::UnknownSequence(seq) => {
            format!("a client requested {seq}, which it does not have (it reads a signed byte)")
        }
        Death::WriteAfterEnd => "a client sent something after its stream call".to_owned(),
        Death::Reset => "a client reset its connection".to_owned(),
    };
    tracing::error!("the exchange crashed, as the original would: {cause}");
    Ok(Exit::Unexpected)
}
