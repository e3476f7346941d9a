//! `betacrew serve`: a mock exchange.

use crate::address;
use crate::failure::{Exit, Failure};
use crate::flags::draw_seed;
use crate::live::{LiveTape, Record};
use crate::net::{self, Stop};
use crate::scenario::file::{FaultFile, What};
use crate::scenario::text::Text;
use crate::scenario::{self, Engine, Plot, ScenarioFile};
use crate::tapes::{AnyTape, TapeName};
use crate::web::{self, Bill, ExchangeDesk};
use crate::words::{count, grouped, say, took};
use feed::chance::Chance;
use feed::live::Tempo;
use feed::market::Market;
use feed::original::{Death, Original};
use feed::pace::Pace;
use feed::play::Play;
use feed::player::{Ending, Note, Player, Served};
use feed::scenario::{Pick, Slow};
use feed::seq::{FIRST_SEQ, MAX_SEQ, SeqSet};
use feed::wire::Reason;
use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;

const LIVE: &str = "Live sessions";
const SHORTHAND: &str = "Loss (shorthand for a scenario)";

/// What `serve` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to listen; repeat it for more. Port 0 takes a free one [default: 127.0.0.1:3000 and
    /// [::1]:3000]
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
    slow: Option<Slow>,

    /// Begin another session, even if there is a record of one
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
    web: web::Args,
}

/// What a scenario of flags is called.
const FLAGS: &str = "flags";

impl Args {
    /// The scenario that was named, or that the flags are shorthand for.
    fn plot(&self) -> Result<Plot, Failure> {
        let mut plot = match &self.scenario {
            Some(name) => scenario::open(name)?,
            None => self
                .shorthand()
                .plot(FLAGS, "")
                .map_err(|refusal| Failure::Scenario { place: "the flags".to_owned(), refusal })?,
        };
        if let Some(tape) = &self.tape {
            plot.tape = tape.clone();
        }
        if plot.engine == Engine::Original && (self.pace.is_some() || self.live) {
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
        let random = chance.map(|chance| FaultFile { chance: Some(Text(chance)), ..drop.clone() });
        let skip = Some(self.skip.clone()).filter(|skip| !skip.is_empty());
        let listed = skip.map(|skip| FaultFile { sequences: Some(Text(skip)), ..drop });
        ScenarioFile {
            keep_last: Some(!self.no_keep_last),
            fault: random.into_iter().chain(listed).collect(),
            ..ScenarioFile::default()
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Where the scenario or the tape cannot be had or an address cannot be listened on.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let plot = args.plot()?;
    let seed = plot.scenario.seed;
    let mut tape = plot.tape.open_as(seed, args.allow_gaps)?;
    if args.web.wanted() && plot.engine == Engine::Original {
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
    let next = plot.next.as_ref().map(|next| next.open(seed)).transpose()?;
    let recorded = matches!(plot.scenario.pace, Pace::Recorded(_));
    if recorded && tape.last() > 0 && tape.arrived(FIRST_SEQ).is_none() {
        return Err(Failure::Usage(
            "this tape does not know when its packets came; give a rate: --pace 5000/s".to_owned(),
        ));
    }
    let listeners = args.begin()?;
    tracing::info!("{}", introduction(&tape, &plot));
    match plot.engine {
        Engine::Betacrew => args.play(&plot, tape, next, listeners, stop),
        Engine::Original => play_original(&plot, &tape, listeners, stop),
    }
}

/// The value of a flag whose meaning depends on others.
fn flag<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{name} {text}: {error}")))
}

impl Args {
    /// Listens, and says where.
    fn begin(&self) -> Result<Vec<TcpListener>, Failure> {
        net::raise_descriptor_limit();
        let listeners = listen(&self.listen)?;
        let mut lines = String::new();
        for listener in &listeners {
            let address = listener
                .local_addr()
                .map_err(|source| Failure::System { action: "cannot tell the address", source })?;
            let _ = writeln!(lines, "listening on {address}");
        }
        say(&lines)?;
        Ok(listeners)
    }

    /// Runs our exchange with a live session.
    fn play_live(&self, plot: &Plot, tape: AnyTape, stop: &Stop) -> Result<Exit, Failure> {
        let tempo =
            self.pace.as_ref().map_or(Ok(Tempo::Steady(1000)), |pace| flag("--pace", pace))?;
        let (mut tape, mut record) = (tape, None);
        if matches!(tempo, Tempo::Recorded(_)) && tape.arrived(FIRST_SEQ).is_none() {
            return Err(Failure::Usage(
                "this tape does not know when its packets came; give a rate: --pace 5000/s"
                    .to_owned(),
            ));
        }
        let mut goes_on = None;
        if let Some(path) = &self.record {
            let (opened, before) = Record::open(path, self.new_session, tape.session())?;
            if let Some(before) = before.filter(|before| before.session != tape.session()) {
                let AnyTape::Market(_) = tape else {
                    return Err(Failure::Content {
                        path: path.clone(),
                        reason: "it has another session than this tape: --new-session replaces it"
                            .to_owned(),
                    });
                };
                tape = AnyTape::Market(Box::new(Market::new(before.session, MAX_SEQ)));
            }
            goes_on = before;
            record = Some(opened);
        }
        let listeners = self.begin()?;
        let from = goes_on.map_or(String::new(), |before| {
            format!(", going on after packet {}", grouped(before.last.into()))
        });
        tracing::info!("live at {tempo}{from}; {}", introduction(&tape, plot));
        let live = LiveTape::new(tape, tempo, plot.scenario.seed, record);
        let written = live.written();
        let mut player = Player::new(live, plot.scenario.clone());
        let web = self.web.exchange(stop)?;
        let mut desk = ExchangeDesk::new(web.as_ref(), Bill::new(plot, true), written);
        net::serve_at(listeners, &mut player, stop, log, &mut desk).map_err(system)?;
        tracing::info!("{}", farewell(&player.served()));
        let died = player.died();
        if let (Err(reason), Some(path)) = (player.tape_mut().finish(), &self.record) {
            return Err(Failure::Content { path: path.clone(), reason });
        }
        Ok(if died { Exit::Unexpected } else { Exit::Complete })
    }

    /// Runs our exchange.
    fn play(
        &self,
        plot: &Plot,
        tape: AnyTape,
        next: Option<AnyTape>,
        listeners: Vec<TcpListener>,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        let mut player = Player::new(tape, plot.scenario.clone());
        if let Some(next) = next {
            player = player.then(next);
        }
        let web = self.web.exchange(stop)?;
        let mut desk = ExchangeDesk::new(web.as_ref(), Bill::new(plot, false), None);
        net::serve_at(listeners, &mut player, stop, log, &mut desk).map_err(system)?;
        if let (Some(reason), TapeName::File(path)) = (player.tape().failure(), &plot.tape) {
            return Err(Failure::Content { path: path.clone(), reason: reason.to_owned() });
        }
        tracing::info!("{}", farewell(&player.served()));
        Ok(if player.died() { Exit::Unexpected } else { Exit::Complete })
    }
}

fn system(source: std::io::Error) -> Failure {
    Failure::System { action: "the exchange cannot go on", source }
}

/// Runs the original exchange.
fn play_original(
    plot: &Plot,
    tape: &AnyTape,
    listeners: Vec<TcpListener>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let AnyTape::Memory(tape) = tape else {
        return Err(Failure::Usage(
            "the original exchange plays from memory: convert the tape to .json first".to_owned(),
        ));
    };
    let mut original = Original::new((**tape).clone(), plot.scenario.seed);
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
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for text in typed {
        addresses.extend(address::resolve(text)?);
    }
    let default = addresses.is_empty();
    if default {
        addresses.push((Ipv4Addr::LOCALHOST, address::PORT).into());
        addresses.push((Ipv6Addr::LOCALHOST, address::PORT).into());
    }
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let new = address.port() == 0 || !seen.contains(address);
        seen.push(*address);
        new
    });
    let mut listeners = Vec::new();
    for address in addresses {
        match net::listen(address) {
            Ok(listener) => listeners.push(listener),
            // A machine without IPv6.
            Err(error) if default && address.is_ipv6() && no_such_family(&error) => {
                tracing::warn!("not listening on {address}: {error}");
            }
            Err(source) => return Err(Failure::Listen { address: address.to_string(), source }),
        }
    }
    Ok(listeners)
}

fn no_such_family(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        // EAFNOSUPPORT has no kind of its own.
        || error.raw_os_error() == Some(97)
}

fn introduction(tape: &AnyTape, plot: &Plot) -> String {
    let packets = match tape {
        AnyTape::Market(_) => "an endless market".to_owned(),
        tape => count(tape.last().into(), "packet"),
    };
    let mut text = format!("playing {packets}, session {}", tape.session());
    if plot.name == FLAGS {
        for fault in &plot.scenario.faults {
            if let Pick::Random { chance, .. } = fault.pick {
                let last = if plot.scenario.keep_last { " but the last" } else { "" };
                let _ = write!(text, "; each one{last} is lost with {chance}");
            }
            if let Some(skip) = &fault.sequences {
                let _ = write!(text, "; {skip:.8} always lost");
            }
        }
    } else {
        let _ = write!(text, "; scenario {}", plot.name);
        if !plot.about.is_empty() {
            let _ = write!(text, ": {}", plot.about);
        }
    }
    let _ = write!(text, "; --seed {} repeats this run", plot.scenario.seed);
    text
}

/// Losses are listed for tapes up to this length.
const LISTED: u32 = 10_000;

fn log<P: Play>(player: &Player<P>, note: Note) {
    match note {
        Note::Stream { connection, pass } => {
            let all = player.tape().last();
            if all > LISTED {
                let all = grouped(all.into());
                tracing::info!("connection {connection}: streaming {all} packets");
                return;
            }
            let lost = player.lost(connection, pass);
            let kept = u64::from(all) - lost.count();
            match lost.is_empty() {
                true => tracing::info!("connection {connection}: streaming all {all}"),
                false => tracing::info!(
                    "connection {connection}: streaming {kept} of {all}, losing {lost:.12}"
                ),
            }
        }
        Note::Subscribed { connection, first, .. } => {
            tracing::info!("connection {connection}: subscribes from {first} on");
        }
        Note::Refused { connection, seq, reason: Reason::OutOfRange } => {
            tracing::info!(
                "connection {connection}: asked for {seq}, which the tape does not have"
            );
        }
        Note::Refused { connection, seq, reason } => {
            tracing::info!("connection {connection}: refused from {seq} on: {reason}");
        }
        Note::Slow { connection, packets, cut } => {
            let what = if cut { "is cut off before" } else { "misses" };
            let packets = count(packets, "packet");
            tracing::info!("connection {connection}: is too slow and {what} {packets}");
        }
        Note::Ended { connection, ending } => {
            let how = match ending {
                Ending::Close => "ended".to_owned(),
                Ending::Reset => "reset".to_owned(),
                Ending::Silence => "silent from here on".to_owned(),
                Ending::Die => "the exchange dies".to_owned(),
                Ending::Restart { down, renew } => {
                    let session = if renew { "another" } else { "the same" };
                    format!("the exchange goes down for {}, then {session} session", took(down))
                }
            };
            tracing::info!("connection {connection}: {how}, as the scenario says");
        }
    }
}

fn farewell(served: &Served) -> String {
    let mut text = format!(
        "served {}: {} ({} lost on purpose), {}",
        count(served.connections, "connection"),
        count(served.streams, "stream"),
        count(served.lost, "packet"),
        count(served.resends, "resend"),
    );
    if served.refused > 0 {
        let _ = write!(text, ", {}", count(served.refused, "refusal"));
    }
    if served.resets > 0 {
        let _ = write!(text, ", {} by clients", count(served.resets, "reset"));
    }
    text
}
