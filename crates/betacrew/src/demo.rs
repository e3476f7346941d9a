//! `betacrew demo`: an exchange and a client in one process, over real TCP.

use crate::capture::Capture;
use crate::cli::{count, draw_seed, number, say, took};
use crate::failure::{Exit, Failure};
use crate::format::json;
use crate::net::{self, Stop};
use crate::output::Output;
use crate::picture;
use feed::drops::{Chance, Drops};
use feed::player::Player;
use feed::recorder::Options;
use feed::seq::{SeqRange, SeqSet};
use feed::tape::Tape;
use std::fmt::Write;
use std::fs::File;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `demo` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Repeat the run of this seed [default: drawn and shown]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How many packets the exchange plays
    #[arg(long, value_name = "N", default_value_t = 480, value_parser = number(1..=100_000))]
    packets: u32,

    /// Lose each packet with this probability: 0.25 or 25%
    #[arg(long, value_name = "P", default_value = "25%")]
    drop: Chance,

    /// Where to write the packets
    #[arg(short, long, value_name = "PATH", default_value = "output.json")]
    output: PathBuf,
}

/// Marks a row.
const WIDTH: u32 = 60;

/// Runs the command.
///
/// # Errors
/// Where sockets or the output fail.
pub fn run(args: &Args, stop: &Stop) -> Result<Exit, Failure> {
    let seed = args.seed.unwrap_or_else(draw_seed);
    let output = Output::begin(&args.output)?;
    let tape = Arc::new(Tape::random(args.packets, seed));
    let drops = Drops { seed, chance: args.drop, skip: SeqSet::new(), keep: None };

    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let wanted = std::io::stdout().is_terminal() || set("CLICOLOR_FORCE");
    let colour = wanted && !set("NO_COLOR");
    let (capture, recorder, time, lost) = play(&tape, drops, stop)?;
    let mut text = format!(
        "An exchange plays {} over TCP and loses each with {} (seed {seed}):\n\n",
        count(args.packets.into(), "packet"),
        args.drop,
    );
    text += &picture::strip(tape.last(), &lost, false, WIDTH, colour);
    let _ = writeln!(text, "\nThe client finds the gaps and has the packets sent again:\n");
    text += &picture::strip(tape.last(), &lost, true, WIDTH, colour);
    let _ = writeln!(text, "\n         {}\n", picture::legend(colour));
    let _ = writeln!(
        text,
        "{} lost in {}, asked for again with {}. Everything took {}.",
        count(lost.count(), "packet"),
        count(lost.ranges().len() as u64, "gap"),
        count(recorder.stats().calls, "request"),
        took(time),
    );
    say(&text)?;

    if !recorder.outcome().is_some_and(|outcome| outcome.complete()) {
        say(&format!("The recording is incomplete: {:?}\n", recorder.outcome()))?;
        return Ok(Exit::Incomplete);
    }
    output.put(|mut out| json::write(capture.recording.in_order(), &mut out))?;
    check(args, &tape)?;
    say(&format!(
        "{} was read back and compared with the exchange's tape:\n\
         all {} are there, each once, in order, equal.\n\n\
         Next: `betacrew serve` in one terminal, `betacrew fetch` in another.\n",
        args.output.display(),
        count(tape.last().into(), "packet"),
    ))
}

/// Runs both ends; returns what was recorded, how, how fast, and what the first stream lost.
fn play(
    tape: &Arc<Tape>,
    drops: Drops,
    stop: &Stop,
) -> Result<(Capture, feed::recorder::Recorder, Duration, SeqSet), Failure> {
    let system = |action| move |source| Failure::System { action, source };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener =
        net::listen(any).map_err(|source| Failure::Listen { address: any.to_string(), source })?;
    let address = listener.local_addr().map_err(system("cannot tell the address"))?;
    let mut player = Player::new(Arc::clone(tape), drops);
    // The client's stream is the exchange's first connection.
    let lost = player.lost(0, 0).map(SeqRange::one).collect();
    let exchange_stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = exchange_stop.clone();
        move || net::serve(vec![listener], &mut player, &stop, |_, _| {})
    });
    let mut capture = Capture::new(false);
    let began = Instant::now();
    let recorder = net::fetch(&[vec![address]], Options::default(), &mut capture, stop, |_| {});
    let time = began.elapsed();
    exchange_stop.stop();
    let served = exchange.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
    served.map_err(system("the exchange cannot go on"))?;
    let recorder = recorder.map_err(system("cannot watch connections"))?;
    Ok((capture, recorder, time, lost))
}

/// Reads the output back and compares it with the tape.
fn check(args: &Args, tape: &Tape) -> Result<(), Failure> {
    let read = |source| Failure::Storage { action: "read", path: args.output.clone(), source };
    let differs = |reason: String| Failure::Content { path: args.output.clone(), reason };
    let packets = json::read(File::open(&args.output).map_err(read)?)
        .map_err(|error| differs(error.to_string()))?;
    let written = Tape::new(packets).map_err(|error| differs(error.to_string()))?;
    if written.frames() == tape.frames() {
        Ok(())
    } else {
        Err(differs("it differs from what the exchange played".to_owned()))
    }
}
