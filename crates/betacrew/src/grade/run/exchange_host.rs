//! The exchange that a case plays against a client.

use crate::error::Failure;
use crate::grade::cases::CaseSetup;
use crate::grade::observe::wire::{WireLog, WireRecorder};
use crate::grade::run::unread::Unread;
use crate::net::{self, Stop};
use crate::scenario::{self, EngineSection, ResolvedScenario};
use crate::tape::name::AnyTape;
use feed::exchange::Exchange;
use feed::exchange::original::OriginalExchange;
use feed::exchange::server::MockExchange;
use feed::tape::in_memory::Tape;
use feed::wire::packet::Packet;
use feed::wire::{Frame, decode};
use socket2::{Domain, Socket, Type};
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
pub(crate) struct ExchangeHost {
    pub(crate) port: u16,
    pub(crate) began: SystemTime,
    active: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    since: Instant,
    stop: Stop,
    thread: Option<JoinHandle<io::Result<WireLog>>>,
    /// Nobody else gets the port meanwhile, though the exchange may be down, or there is none.
    _reserved: Vec<Socket>,
}

/// The exchange of a case, ready to be played.
///
/// # Errors
/// Where the case names what there is not.
pub(crate) fn plot(play: &CaseSetup, seed: u64) -> Result<ResolvedScenario, Failure> {
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
pub(crate) fn packets(plot: &ResolvedScenario) -> Result<Vec<Packet>, Failure> {
    let packet = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet),
        _ => None,
    };
    Ok(memory(plot)?.frames().iter().filter_map(packet).collect())
}

fn memory(plot: &ResolvedScenario) -> Result<Arc<Tape>, Failure> {
    match plot.tape.open(plot.scenario.seed)? {
        AnyTape::Memory(tape) => Ok(tape),
        AnyTape::Market(_) | AnyTape::File(..) => {
            Err(Failure::Usage("cases play tapes in memory".to_owned()))
        }
    }
}

impl ExchangeHost {
    /// Begins to play, or to play nothing. `port`: where, or anywhere. `unread`: holds each write
    /// back until the client has read the one before.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub(crate) fn open(
        plot: Option<&ResolvedScenario>,
        port: Option<u16>,
        unread: Option<Unread>,
    ) -> Result<Self, Failure> {
        let (reserved, addresses) = reserve(port)?;
        let port = addresses.first().map_or(0, SocketAddr::port);
        let listeners = match plot {
            None => Vec::new(),
            Some(_) => listen(&addresses)?,
        };
        let stop = Stop::new();
        let (began, since) = (SystemTime::now(), Instant::now());
        let (active, open) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
        let thread = match plot {
            None => None,
            Some(plot) if plot.engine == EngineSection::Original => {
                let original = OriginalExchange::new((*memory(plot)?).clone(), plot.scenario.seed);
                let watched = WireRecorder::new(original, Arc::clone(&active), Arc::clone(&open));
                Some(play_on(listeners, watched.apart(unread), &stop))
            }
            Some(plot) => {
                let player = MockExchange::new(memory(plot)?, plot.scenario.clone());
                let watched = WireRecorder::new(player, Arc::clone(&active), Arc::clone(&open));
                Some(play_on(listeners, watched.apart(unread), &stop))
            }
        };
        Ok(Self { port, began, active, open, since, stop, thread, _reserved: reserved })
    }

    /// How long nothing has happened on the wire.
    pub(crate) fn quiet(&self) -> Duration {
        let active = Duration::from_millis(self.active.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(active)
    }

    /// Ends it, once the connections of the client, which has ended, are seen to have ended too.
    ///
    /// # Errors
    /// What the system reports about polling.
    pub(crate) fn close(mut self) -> Result<WireLog, Failure> {
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

impl Drop for ExchangeHost {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn play_on<E: Exchange + Send + 'static>(
    listeners: Vec<TcpListener>,
    mut exchange: WireRecorder<E>,
    stop: &Stop,
) -> JoinHandle<io::Result<WireLog>> {
    let stop = stop.clone();
    std::thread::spawn(move || {
        net::serve(listeners, &mut exchange, &stop, |_, _| {}).map(|()| exchange.into_log())
    })
}

/// Binds a port of both loopback addresses, since clients that connect to `localhost` use either.
/// As nothing listens there, connections are refused.
fn reserve(port: Option<u16>) -> Result<(Vec<Socket>, Vec<SocketAddr>), Failure> {
    let failed = |port: u16| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Failure::Taken { port, source },
            _ => Failure::Listen { address: format!("port {port}"), source },
        }
    };
    let mut tries = 0;
    loop {
        let wanted = port.unwrap_or(0);
        let (first, four) = bind((Ipv4Addr::LOCALHOST, wanted).into()).map_err(failed(wanted))?;
        match bind((Ipv6Addr::LOCALHOST, four.port()).into()) {
            Ok((second, six)) => return Ok((vec![first, second], vec![four, six])),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tries += 1;
                if port.is_some() || tries == TRIES {
                    return Err(failed(four.port())(error));
                }
            }
            // A machine without IPv6.
            Err(_) => return Ok((vec![first], vec![four])),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // So that the exchange can listen there beside it.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, bound))
}

fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let one = |address: &SocketAddr| {
        net::listen(*address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Failure::Taken { port: address.port(), source },
            _ => Failure::Listen { address: address.to_string(), source },
        })
    };
    addresses.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_port_without_an_exchange_refuses_and_is_nobody_else_s() {
        let nobody = ExchangeHost::open(None, None, None).unwrap();
        let address = (Ipv4Addr::LOCALHOST, nobody.port);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let others: Vec<ExchangeHost> =
            (0..50).map(|_| ExchangeHost::open(None, None, None).unwrap()).collect();
        assert!(others.iter().all(|other| other.port != nobody.port));
    }

    #[test]
    fn a_port_serves_one_exchange_after_the_other() {
        let plot = scenario::open("clean").unwrap();
        let first = ExchangeHost::open(Some(&plot), None, None).unwrap();
        let port = first.port;
        for host in [Ipv4Addr::LOCALHOST.into(), std::net::IpAddr::from(Ipv6Addr::LOCALHOST)] {
            TcpStream::connect((host, port)).unwrap();
        }
        let taken = ExchangeHost::open(Some(&plot), Some(port), None).err();
        assert!(matches!(taken, Some(Failure::Taken { port: at, .. }) if at == port));
        assert_eq!(first.close().unwrap().conns.len(), 2);
        let again = ExchangeHost::open(Some(&plot), Some(port), None).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(again.close().unwrap().conns.len(), 1);
    }
}
