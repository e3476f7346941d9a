//! `betacrew serve`: a mock exchange.

use crate::address;
use crate::failure::{Exit, Failure};
use crate::flags::draw_seed;
use crate::net::{self, Stop};
use crate::tapes::{AnyTape, TapeName};
use crate::words::{count, grouped, say};
use feed::drops::{Chance, Drops};
use feed::pace::Pace;
use feed::play::Play;
use feed::player::{Note, Player, Served};
use feed::seq::{FIRST_SEQ, SeqSet};
use feed::wire::Reason;
use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// What `serve` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to listen; repeat it for more. Port 0 takes a free one [default: 127.0.0.1:3000 and
    /// [::1]:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,

    /// What to play: sample[:N] (the documents' packets), classic (the original's 14),
    /// random:N[:SEED] (seeded order flow), a .tape file, or another file as fetch writes it
    #[arg(long, value_name = "TAPE", default_value = "sample")]
    tape: TapeName,

    /// Lose each packet of a stream with this probability: 0.25 or 25% [default: 0.25, or 0
    /// where --skip says what is lost]
    #[arg(long, value_name = "P")]
    drop: Option<Chance>,

    /// Lose exactly these sequences from every stream, such as 2,5-7
    #[arg(long, value_name = "SEQS", default_value = "", hide_default_value = true)]
    skip: SeqSet,

    /// Never lose the last packet at random [this is the default]
    #[arg(long, overrides_with = "no_keep_last")]
    keep_last: bool,

    /// Lose the last packet like any other
    #[arg(long)]
    no_keep_last: bool,

    /// Stream at this pace: 5000/s, or for .tape files `recorded`, 2x, 0.5x [default: as fast as
    /// the client reads]
    #[arg(long, value_name = "PACE")]
    pace: Option<Pace>,

    /// Repeat the run of this seed: the same packets are lost, connection by connection
    /// [default: drawn and logged]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Where the tape cannot be had or an address cannot be listened on.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let seed = args.seed.unwrap_or_else(draw_seed);
    let tape = args.tape.open(seed)?;
    let quarter = Chance::of(1, 4).unwrap_or(Chance::NEVER);
    let drops = Drops {
        seed,
        chance: args.drop.unwrap_or(if args.skip.is_empty() { quarter } else { Chance::NEVER }),
        skip: args.skip.clone(),
        keep: (!args.no_keep_last).then(|| tape.last()),
    };
    let mut tape = tape;
    let pace = args.pace.unwrap_or_default();
    if matches!(pace, Pace::Recorded(_)) && tape.last() > 0 && tape.arrived(FIRST_SEQ).is_none() {
        return Err(Failure::Usage(
            "this tape does not know when its packets came; give a rate: --pace 5000/s".to_owned(),
        ));
    }
    net::raise_descriptor_limit();
    let listeners = listen(&args.listen)?;
    let mut lines = String::new();
    for listener in &listeners {
        let address = listener
            .local_addr()
            .map_err(|source| Failure::System { action: "cannot tell the address", source })?;
        let _ = writeln!(lines, "listening on {address}");
    }
    say(&lines)?;
    tracing::info!("{}", introduction(&tape, &drops));
    let mut player = Player::new(tape, drops).paced(pace);
    net::serve(listeners, &mut player, stop, log)
        .map_err(|source| Failure::System { action: "the exchange cannot go on", source })?;
    if let (Some(reason), TapeName::File(path)) = (player.tape().failure(), &args.tape) {
        return Err(Failure::Content { path: path.clone(), reason: reason.to_owned() });
    }
    tracing::info!("{}", farewell(&player.served()));
    Ok(Exit::Complete)
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

fn introduction(tape: &AnyTape, drops: &Drops) -> String {
    let mut text =
        format!("playing {}, session {}", count(tape.last().into(), "packet"), tape.session());
    if drops.chance != Chance::NEVER {
        let last = if drops.keep.is_some() { " but the last" } else { "" };
        let _ = write!(text, "; each one{last} is lost with {}", drops.chance);
    }
    if !drops.skip.is_empty() {
        let _ = write!(text, "; {:.8} always lost", drops.skip);
    }
    let _ = write!(text, "; --seed {} repeats this run", drops.seed);
    text
}

/// Losses are listed for tapes up to this length.
const LISTED: u32 = 10_000;

fn log(player: &Player<AnyTape>, note: Note) {
    match note {
        Note::Stream { connection, pass } => {
            let all = player.tape().last();
            if all > LISTED {
                tracing::info!(
                    "connection {connection}: streaming {} packets",
                    grouped(all.into())
                );
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
        Note::Refused { connection, seq, reason: Reason::OutOfRange } => {
            tracing::info!(
                "connection {connection}: asked for {seq}, which the tape does not have"
            );
        }
        Note::Refused { connection, seq, reason } => {
            tracing::info!("connection {connection}: refused from {seq} on: {reason}");
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
