//! Exchange of one case, which runs in a thread of this process.

use crate::error::Failure;
use crate::grade::cases::{CaseSetup, ReadOrder};
use crate::grade::feeds::mold::log::MoldLog;
use crate::grade::feeds::mold::sockets::{self, CaseLines, Delivery};
use crate::grade::observe::activity::WireActivity;
use crate::grade::observe::recorder::WireRecorder;
use crate::grade::observe::wire::{WireLog, packet_of};
use crate::grade::run::warnings;
use crate::net::{self, Listener, Sockets, Stop};
use crate::scenario::{self, EngineSection, ResolvedScenario};
use crate::tape::name::AnyTape;
use feed::base::seq::Seq;
use feed::exchange::Exchange;
use feed::exchange::original::OriginalExchange;
use feed::exchange::server::MockExchange;
use feed::exchange::server::mold::LineOptions;
use feed::tape::in_memory::Tape;
use feed::tape::source::TapeSource;
use feed::wire::mold::Session;
use feed::wire::packet::Packet;
use feed::wire::{FRAME_LEN, Frame, Protocol, decode};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Maximum number of free ports tried until one is free in both IPv4 and IPv6.
const PORT_TRIES: u32 = 50;
/// Time of heartbeats before the first message of a line, in which a client opens its other
/// sockets.
const LEAD: Duration = Duration::from_millis(300);
/// Time that a message waits for its datagram to fill.
const FLUSH: Duration = Duration::from_millis(5);
/// Number of seeds that are tried until the original exchange drops a packet in the middle. Of a
/// hundred seeds, two do not.
const SEEDS_MAX: u64 = 100;
/// Maximum time to wait for the end of connections whose client has ended.
const CLOSE_WAIT: Duration = Duration::from_millis(500);
/// Time for which a case without any connection waits for one that the client had begun.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Settings of the listeners of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    /// Port to use; `None` means any free one.
    pub(crate) port: Option<u16>,
    /// Order of the exchange's writes and the client's reads.
    pub(crate) order: ReadOrder,
    /// Protocol of the listeners.
    pub(crate) protocol: Protocol,
    /// Number of lines in MoldUDP64.
    pub(crate) lines: usize,
    /// Receivers of the lines.
    pub(crate) delivery: Delivery,
}

/// Running exchange of one case.
pub(crate) struct ExchangeHost {
    /// Placeholders of the client's command besides host and port, with their values.
    pub(crate) placeholders: Vec<(&'static str, String)>,
    /// Port on which the exchange listens, or which refuses connections if there is no exchange.
    pub(crate) port: u16,
    /// Time of day at which the exchange started.
    pub(crate) began: SystemTime,
    /// Activity on the wire.
    activity: Arc<WireActivity>,
    /// Instant at which the exchange started.
    since: Instant,
    stop: Stop,
    thread: Option<JoinHandle<io::Result<WireLog>>>,
    /// Sockets that keep the port reserved, even while the exchange is down or if there is none.
    _reserved: Vec<Socket>,
}

/// Opens the scenario of a case and replaces its tape, pace and seed as the case says.
///
/// # Errors
/// Returns an error if the case names an unknown scenario, tape or pace.
pub(crate) fn resolve(play: &CaseSetup, seed: u64) -> Result<ResolvedScenario, Failure> {
    let mut resolved = scenario::open(play.scenario)?;
    let wrong = |what: &str| Failure::Usage(format!("case with an unknown tape or pace: {what}"));
    if let Some(tape) = play.tape {
        resolved.tape = tape.parse().map_err(|error: String| wrong(&error))?;
    }
    if let Some(pace) = play.pace {
        resolved.scenario.pace = pace.parse().map_err(|_| wrong(pace))?;
    }
    resolved.scenario.seed = seed;
    Ok(resolved)
}

/// Returns the first seed from `seed` on with which the first stream of the original exchange drops
/// a packet before the highest one that it sends, so that a client has something to request.
pub(crate) fn seed_with_gap(seed: u64) -> u64 {
    let has_gap = |seed: &u64| {
        let streamed = first_stream(*seed);
        streamed.last().is_some_and(|highest| *highest > streamed.len() as u64)
    };
    (0..SEEDS_MAX).map(|more| seed.wrapping_add(more)).find(has_gap).unwrap_or(seed)
}

/// Returns the sequences of the first stream of the original exchange, in ascending order.
fn first_stream(seed: u64) -> Vec<Seq> {
    let mut original = OriginalExchange::new(Tape::classic(), seed);
    let mut conn = original.open(Protocol::Betacrew, Duration::ZERO);
    original.receive(&mut conn, &[1, 0], Duration::ZERO);
    let mut sequences = Vec::new();
    let mut frame = [0; FRAME_LEN];
    while original.peek(&mut conn, &mut frame, Duration::ZERO) == FRAME_LEN {
        original.sent(&mut conn, FRAME_LEN, Duration::ZERO);
        sequences.extend(packet_of(&frame));
    }
    sequences
}

/// Returns the packets of a scenario's tape.
///
/// # Errors
/// Returns an error if the tape cannot be opened or is not in memory.
pub(crate) fn tape_packets(resolved: &ResolvedScenario) -> Result<Vec<Packet>, Failure> {
    let packet = |frame| match decode(frame) {
        Ok(Frame::Packet(packet)) => Some(packet),
        _ => None,
    };
    Ok(tape_in_memory(resolved)?.frames().iter().filter_map(packet).collect())
}

fn tape_in_memory(resolved: &ResolvedScenario) -> Result<Arc<Tape>, Failure> {
    match resolved.tape.open(resolved.scenario.seed)? {
        AnyTape::Memory(tape) => Ok(tape),
        _ => Err(Failure::Usage("case with a tape that is not in memory".to_owned())),
    }
}

impl ExchangeHost {
    /// Starts the exchange of a case, or only reserves a port if `resolved` is `None`.
    ///
    /// # Errors
    /// Returns an error if the port cannot be used.
    pub(crate) fn open(
        resolved: Option<&ResolvedScenario>,
        listening: Listening,
    ) -> Result<Self, Failure> {
        let Listening { port, order, protocol, .. } = listening;
        if let (Protocol::Mold, Some(resolved)) = (protocol, resolved) {
            return Self::open_lines(resolved, listening);
        }
        let (reserved, addresses) = reserve(port)?;
        let port = addresses.first().map_or(0, SocketAddr::port);
        let listeners = match resolved {
            None => Vec::new(),
            Some(_) => listen(&addresses, protocol)?,
        };
        let stop = Stop::new();
        let (began, since) = (SystemTime::now(), Instant::now());
        let activity = Arc::<WireActivity>::default();
        let thread = match resolved {
            None => None,
            Some(resolved) if resolved.engine == EngineSection::Original => {
                let original = OriginalExchange::new(
                    (*tape_in_memory(resolved)?).clone(),
                    resolved.scenario.seed,
                );
                let recorder = WireRecorder::new(original, Arc::clone(&activity));
                Some(serve_in_thread(listeners, recorder.ordered(order), &stop))
            }
            Some(resolved) if protocol != Protocol::Betacrew => {
                let tape = resolved.tape.open(resolved.scenario.seed)?;
                let recorder = WireRecorder::new(mock(resolved, tape)?, Arc::clone(&activity));
                Some(serve_in_thread(listeners, recorder.ordered(order), &stop))
            }
            Some(resolved) => {
                let mock = MockExchange::new(tape_in_memory(resolved)?, resolved.scenario.clone());
                let recorder = WireRecorder::new(mock, Arc::clone(&activity));
                Some(serve_in_thread(listeners, recorder.ordered(order), &stop))
            }
        };
        let placeholders = Vec::new();
        Ok(Self { placeholders, port, began, activity, since, stop, thread, _reserved: reserved })
    }

    /// Starts the exchange of a case in MoldUDP64.
    fn open_lines(resolved: &ResolvedScenario, listening: Listening) -> Result<Self, Failure> {
        let Listening { port, lines, delivery, .. } = listening;
        let CaseLines { sockets, ports, placeholders } = sockets::open(port, lines, delivery)?;
        let port = ports.first().copied().unwrap_or(0);
        let tape = resolved.tape.open(resolved.scenario.seed)?;
        let log = MoldLog::new(Session(tape.session().padded()), tape.last(), ports);
        let options = LineOptions { flush: FLUSH, lead: LEAD, ..LineOptions::default() };
        let mock = mock(resolved, tape)?;
        let mock = sockets.iter().fold(mock, |mock, _| mock.with_line(options));
        let activity = Arc::<WireActivity>::default();
        let recorder = WireRecorder::new(mock, Arc::clone(&activity)).with_lines(log);
        let stop = Stop::new();
        let (began, since) = (SystemTime::now(), Instant::now());
        let sockets = Sockets { listeners: Vec::new(), lines: sockets };
        let thread = Some(serve_in_thread(sockets, recorder, &stop));
        Ok(Self { placeholders, port, began, activity, since, stop, thread, _reserved: Vec::new() })
    }

    /// Returns whether the client has connected at least once.
    pub(crate) fn has_connections(&self) -> bool {
        self.activity.last_event() > Duration::ZERO
    }

    /// Returns the time since the last event on the wire.
    pub(crate) fn idle_time(&self) -> Duration {
        self.since.elapsed().saturating_sub(self.activity.last_event())
    }

    /// Returns whether the exchange does nothing by itself for this time.
    pub(crate) fn rests_for(&self, time: Duration) -> bool {
        self.activity.rests_until(self.since.elapsed() + time)
    }

    /// Stops the exchange and returns its log. The client must have ended; its connections get a
    /// short time to end too, so that the log has their ends.
    ///
    /// # Errors
    /// Returns an error if the exchange failed while it ran.
    pub(crate) fn close(mut self) -> Result<WireLog, Failure> {
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        // The connection of a client that has left at once may still wait to be accepted.
        let waits = |this: &Self| match this.has_connections() {
            true => this.activity.open_connections() > 0 && begun.elapsed() < CLOSE_WAIT,
            false => this.thread.is_some() && begun.elapsed() < ACCEPT_WAIT,
        };
        while waits(&self) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stop.stop();
        // No thread runs if the case has no exchange.
        let Some(thread) = self.thread.take() else { return Ok(WireLog::default()) };
        let done = thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
        done.map_err(|source| Failure::System { action: "the exchange cannot go on", source })
    }
}

impl Drop for ExchangeHost {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Returns an exchange of messages, with the session that follows in the scenario.
fn mock(resolved: &ResolvedScenario, tape: AnyTape) -> Result<MockExchange<AnyTape>, Failure> {
    let mock = MockExchange::new(tape, resolved.scenario.clone());
    Ok(match &resolved.next {
        Some(next) => mock.with_next_tape(next.open(resolved.scenario.seed)?),
        None => mock,
    })
}

/// Serves an exchange in a thread of its own until `stop`, and returns what the recorder noted.
fn serve_in_thread<E: Exchange + Send + 'static>(
    sockets: impl Into<Sockets> + Send + 'static,
    mut exchange: WireRecorder<E>,
    stop: &Stop,
) -> JoinHandle<io::Result<WireLog>> {
    let stop = stop.clone();
    std::thread::spawn(move || {
        let served = warnings::counted(|| net::serve(sockets, &mut exchange, &stop, |_, _| {}));
        served.map(|()| exchange.into_log())
    })
}

/// Binds a port on both loopback addresses, because clients that connect to `localhost` use either.
/// The sockets do not listen, so connections are refused until the exchange listens.
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
                if port.is_some() || tries == PORT_TRIES {
                    return Err(failed(four.port())(error));
                }
            }
            // The machine has no IPv6.
            Err(_) => return Ok((vec![first], vec![four])),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Allows the exchange to listen on the same port beside this socket.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, bound))
}

fn listen(addresses: &[SocketAddr], protocol: Protocol) -> Result<Vec<Listener>, Failure> {
    let one = |address: &SocketAddr| {
        let socket = net::listen(*address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Failure::Taken { port: address.port(), source },
            _ => Failure::Listen { address: address.to_string(), source },
        });
        socket.map(|socket| Listener { socket, protocol })
    };
    addresses.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn on(port: Option<u16>) -> Listening {
        Listening {
            port,
            order: ReadOrder::Unordered,
            protocol: Protocol::Betacrew,
            lines: 0,
            delivery: Delivery::Unicast,
        }
    }

    #[test]
    fn a_port_without_an_exchange_refuses_connections_and_stays_reserved() {
        let nobody = ExchangeHost::open(None, on(None)).unwrap();
        let address = (Ipv4Addr::LOCALHOST, nobody.port);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let others: Vec<ExchangeHost> =
            (0..50).map(|_| ExchangeHost::open(None, on(None)).unwrap()).collect();
        assert!(others.iter().all(|other| other.port != nobody.port));
    }

    #[test]
    fn the_original_exchange_drops_a_packet_that_can_be_requested() {
        let seeds: Vec<u64> = (0..300).map(seed_with_gap).collect();
        assert!(seeds.iter().enumerate().any(|(seed, used)| seed as u64 != *used));
        for seed in seeds {
            let streamed = first_stream(seed);
            let highest = streamed.iter().max().unwrap();
            assert!((1..*highest).any(|seq| !streamed.contains(&seq)), "{seed}: {streamed:?}");
        }
        assert_eq!(seed_with_gap(u64::MAX / 2), seed_with_gap(seed_with_gap(u64::MAX / 2)));
    }

    #[test]
    fn a_port_serves_one_exchange_after_another() {
        let resolved = scenario::open("clean").unwrap();
        let first = ExchangeHost::open(Some(&resolved), on(None)).unwrap();
        let port = first.port;
        for host in [Ipv4Addr::LOCALHOST.into(), std::net::IpAddr::from(Ipv6Addr::LOCALHOST)] {
            TcpStream::connect((host, port)).unwrap();
        }
        let taken = ExchangeHost::open(Some(&resolved), on(Some(port))).err();
        assert!(matches!(taken, Some(Failure::Taken { port: at, .. }) if at == port));
        assert_eq!(first.close().unwrap().conns.len(), 2);
        let again = ExchangeHost::open(Some(&resolved), on(Some(port))).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(again.close().unwrap().conns.len(), 1);
    }
}
