//! The exchange that a case plays against a client.

use super::cases::Play;
use super::wire::{Watched, WireLog};
use crate::failure::Failure;
use crate::net::{self, Stop};
use crate::tapes::TapeName;
use feed::drops::{Chance, Drops};
use feed::exchange::Exchange;
use feed::original::Original;
use feed::packet::Packet;
use feed::player::Player;
use feed::seq::SeqSet;
use feed::tape::Tape;
use feed::wire::{Frame, decode};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Free ports are tried so often until one is free in both families.
const TRIES: u32 = 50;
/// How long the connections of a client that has ended may take to be seen ending.
const AFTERMATH: Duration = Duration::from_millis(500);

/// An exchange in a thread.
pub(super) struct Stage {
    pub(super) port: u16,
    pub(super) began: SystemTime,
    active: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    since: Instant,
    stop: Stop,
    thread: Option<JoinHandle<io::Result<WireLog>>>,
}

/// What a play is played with: the tape, and everything else in an exchange.
struct Made {
    tape: Tape,
    drops: Drops,
}

fn made(flags: &str, seed: u64) -> Result<Made, Failure> {
    let mut tape = TapeName::Classic;
    let mut drops = Drops { seed, ..Drops::none() };
    let wrong = |what: &str| Failure::Usage(format!("a case has a wrong flag: {what}"));
    let mut words = flags.split_whitespace();
    while let Some(flag) = words.next() {
        let value = words.next().unwrap_or_default();
        match flag {
            "--tape" => tape = value.parse().map_err(|error: String| wrong(&error))?,
            "--skip" => drops.skip = value.parse::<SeqSet>().map_err(|_| wrong(value))?,
            "--drop" => drops.chance = value.parse::<Chance>().map_err(|_| wrong(value))?,
            _ => return Err(wrong(flag)),
        }
    }
    let tape = match tape {
        TapeName::Sample(count) => Tape::sample(count),
        TapeName::Random { count, seed } => Tape::random(count, seed.unwrap_or(1)),
        TapeName::Classic | TapeName::File(_) => Tape::classic(),
    };
    drops.keep = Some(tape.last());
    Ok(Made { tape, drops })
}

/// The packets that a play plays.
///
/// # Errors
/// Where the case is described wrongly.
pub(super) fn tape(play: Play, seed: u64) -> Result<Vec<Packet>, Failure> {
    let tape = match play {
        Play::Serve(flags) => made(flags, seed)?.tape,
        Play::Original | Play::Nobody => Tape::classic(),
    };
    let packet = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet),
        _ => None,
    };
    Ok(tape.frames().iter().filter_map(packet).collect())
}

impl Stage {
    /// Begins to play. `port`: where, or anywhere.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub(super) fn open(play: Play, seed: u64, port: Option<u16>) -> Result<Self, Failure> {
        let listeners = listen(port)?;
        let address = listeners.first().map(TcpListener::local_addr);
        let port = match address {
            Some(Ok(address)) => address.port(),
            _ => port.unwrap_or_default(),
        };
        let stop = Stop::new();
        let (began, since) = (SystemTime::now(), Instant::now());
        let (active, open) = (Arc::default(), Arc::default());
        let thread = match play {
            Play::Nobody => None,
            Play::Serve(flags) => {
                let Made { tape, drops } = made(flags, seed)?;
                let player = Player::new(Arc::new(tape), drops);
                Some(play_on(listeners, player, &stop, &active, &open))
            }
            Play::Original => {
                let original = Original::new(Tape::classic(), seed);
                Some(play_on(listeners, original, &stop, &active, &open))
            }
        };
        Ok(Self { port, began, active, open, since, stop, thread })
    }

    /// How long nothing has happened on the wire.
    pub(super) fn quiet(&self) -> Duration {
        let active = Duration::from_millis(self.active.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(active)
    }

    /// Ends it, once the connections of the client, which has ended, are seen to have ended too.
    ///
    /// # Errors
    /// What the system reports about polling.
    pub(super) fn close(mut self) -> Result<WireLog, Failure> {
        let until = Instant::now() + AFTERMATH;
        std::thread::sleep(Duration::from_millis(2));
        while self.open.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stop.stop();
        let Some(thread) = self.thread.take() else { return Ok(WireLog::default()) };
        let done = thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        done.map_err(|source| Failure::System { action: "the exchange cannot go on", source })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn play_on<E: Exchange + Send + 'static>(
    listeners: Vec<TcpListener>,
    exchange: E,
    stop: &Stop,
    active: &Arc<AtomicU64>,
    open: &Arc<AtomicUsize>,
) -> JoinHandle<io::Result<WireLog>> {
    let mut exchange = Watched::new(exchange, Arc::clone(active), Arc::clone(open));
    let stop = stop.clone();
    std::thread::spawn(move || {
        net::serve(listeners, &mut exchange, &stop, |_, _| {}).map(|()| exchange.into_log())
    })
}

/// Listens on both loopback addresses: clients that connect to `localhost` use either.
fn listen(port: Option<u16>) -> Result<Vec<TcpListener>, Failure> {
    let four = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let six = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let mut tries = 0;
    loop {
        let failed = |address: SocketAddr| {
            move |source| Failure::Listen { address: address.to_string(), source }
        };
        let first = four(port.unwrap_or(0));
        let listener = net::listen(first).map_err(failed(first))?;
        let address = listener.local_addr().map_err(failed(first))?;
        let second = six(address.port());
        match net::listen(second) {
            Ok(other) => return Ok(vec![listener, other]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tries += 1;
                if port.is_some() || tries == TRIES {
                    return Err(failed(second)(error));
                }
            }
            // A machine without IPv6.
            Err(_) => return Ok(vec![listener]),
        }
    }
}
