//! The exchange that a case plays against a client.

use super::cases::Scene;
use super::wire::{Watched, WireLog};
use crate::failure::Failure;
use crate::net::{self, Stop};
use crate::scenario::{self, Engine, Plot};
use crate::tapes::AnyTape;
use feed::exchange::Exchange;
use feed::original::Original;
use feed::packet::Packet;
use feed::player::Player;
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

/// The exchange of a case, ready to be played.
///
/// # Errors
/// Where the case names what there is not.
pub(super) fn plot(play: &Scene, seed: u64) -> Result<Plot, Failure> {
    let mut plot = scenario::open(play.scenario)?;
    let wrong = |what: &str| Failure::Usage(format!("a case has no such {what}"));
    if let Some(tape) = play.tape {
        plot.tape = tape.parse().map_err(|error: String| wrong(&error))?;
    }
    if let Some(pace) = play.pace {
        plot.scenario.pace = pace.parse().map_err(|_| wrong(pace))?;
    }
    plot.scenario.seed = seed;
    Ok(plot)
}

/// The packets of a tape.
///
/// # Errors
/// Where it cannot be had.
pub(super) fn packets(plot: &Plot) -> Result<Vec<Packet>, Failure> {
    let packet = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet),
        _ => None,
    };
    Ok(memory(plot)?.frames().iter().filter_map(packet).collect())
}

fn memory(plot: &Plot) -> Result<Arc<Tape>, Failure> {
    match plot.tape.open(plot.scenario.seed)? {
        AnyTape::Memory(tape) => Ok(tape),
        AnyTape::Market(_) | AnyTape::File(_) => {
            Err(Failure::Usage("cases play tapes in memory".to_owned()))
        }
    }
}

impl Stage {
    /// Begins to play, or to play nothing. `port`: where, or anywhere.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub(super) fn open(plot: Option<&Plot>, port: Option<u16>) -> Result<Self, Failure> {
        let listeners = listen(port)?;
        let address = listeners.first().map(TcpListener::local_addr);
        let port = match address {
            Some(Ok(address)) => address.port(),
            _ => port.unwrap_or_default(),
        };
        let stop = Stop::new();
        let (began, since) = (SystemTime::now(), Instant::now());
        let (active, open) = (Arc::default(), Arc::default());
        let thread = match plot {
            None => None,
            Some(plot) if plot.engine == Engine::Original => {
                let original = Original::new((*memory(plot)?).clone(), plot.scenario.seed);
                Some(play_on(listeners, original, &stop, &active, &open))
            }
            Some(plot) => {
                let player = Player::new(memory(plot)?, plot.scenario.clone());
                Some(play_on(listeners, player, &stop, &active, &open))
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
            move |source: io::Error| match port {
                Some(port) if source.kind() == io::ErrorKind::AddrInUse => {
                    Failure::Taken { port, source }
                }
                _ => Failure::Listen { address: address.to_string(), source },
            }
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
