//! MoldUDP64 at a distance of 20 ms there and back, over real sockets: how long after the last
//! datagram of a stream the last gap is filled.

use super::Plan;
use super::far::in_trips;
use crate::Result;
use crate::measure::median;
use crate::proxy::{far_line, socket};
use crate::report::{Row, count};
use crate::tape::MemoryTape;
use betacrew::net::{
    self, GroupAddress, GroupSockets, LineSockets, LineSource, Listener, Sockets, Stop,
};
use feed::base::chance::Chance;
use feed::client::{LineProtocol, MoldFeed, Recorder, RecorderOptions, RequestStats};
use feed::exchange::server::MockExchange;
use feed::exchange::server::mold::{DatagramLimits, LineOptions};
use feed::faults::scenario::Scenario;
use feed::ledger::{Origin, Sink, Source};
use feed::tape::pace::Pace;
use feed::wire::{Framing, Messages};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Datagrams a second. The proxy, the exchange and the recorder share the machine's cores, and more
/// would measure these.
const RATE: u32 = 100_000;

/// Time in which the recorder joins before the first message.
const LEAD: Duration = Duration::from_millis(30);

/// Notes when the last message of the stream came, and the last resent one.
struct Watch {
    streamed: Instant,
    resent: Instant,
    gaps: u64,
}

impl Sink for Watch {
    fn on_messages(&mut self, origin: Origin, _: Messages<'_>, _: Duration) {
        match origin.source {
            Source::Resend => self.resent = Instant::now(),
            Source::Stream { .. } => self.streamed = Instant::now(),
        }
    }

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }

    fn on_gap(&mut self, _: feed::base::seq::SeqRange, _: Duration) {
        self.gaps += 1;
    }
}

/// Result of one recording.
struct Recovery {
    after_stream: Duration,
    gaps: u64,
    requests: RequestStats,
}

fn recover(tape: &MemoryTape) -> Result<Recovery> {
    // With a buffer for bursts of requests, as `serve` has one.
    let requests = socket()?;
    let server = requests.local_addr()?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // The receiver is bound first, because the proxy has to know where it is.
    let receiver = UdpSocket::bind(loopback)?.local_addr()?;
    let far = far_line(receiver, server, ROUND_TRIP)?;
    let address = GroupAddress { servers: vec![far.server], ..GroupAddress::new(receiver) };
    let group = GroupSockets::open(address)?;
    let quarter = Chance::of(1, 4).ok_or("a quarter is a chance")?;
    let mut scenario = Scenario::losing(7, quarter);
    scenario.pace = Pace::PerSecond(RATE);
    let limits = DatagramLimits { messages: 1, ..DatagramLimits::default() };
    let options = LineOptions { limits, lead: LEAD, ..LineOptions::default() };
    let tape = tape.clone();
    let stop = Stop::new();
    let exchange_stop = stop.clone();
    let exchange = std::thread::spawn(move || {
        let mut exchange = MockExchange::new(tape, scenario).with_line(options);
        let downstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let receivers = vec![far.downstream];
        let line = LineSockets { downstream, receivers, requests: Some(requests) };
        let sockets = Sockets { listeners: Vec::<Listener>::new(), lines: vec![line] };
        net::serve(sockets, &mut exchange, &exchange_stop, |_, _| {})
    });
    let protocols = [LineProtocol::Mold(MoldFeed { servers: 1 })];
    let mut recorder = Recorder::new(RecorderOptions::default(), protocols);
    let now = Instant::now();
    let mut sink = Watch { streamed: now, resent: now, gaps: 0 };
    let lines = [LineSource::Group(group)];
    net::fetch(&lines, &mut recorder, &mut sink, &Stop::new(), |_| {})?;
    stop.stop();
    exchange.join().map_err(|_| "the exchange has failed")??;
    match recorder.outcome() {
        Some(outcome) if outcome.is_complete() => Ok(Recovery {
            after_stream: sink.resent.saturating_duration_since(sink.streamed),
            gaps: sink.gaps,
            requests: recorder.request_stats(),
        }),
        outcome => Err(format!("{outcome:?}").into()),
    }
}

/// Target 26.
pub(super) fn after_stream(plan: &Plan) -> Result<Vec<Row>> {
    let tape = MemoryTape::new(plan.size(53_400, 13_350), Framing::Length)?;
    let (mut times, mut gaps, mut timed_out) = (Vec::new(), 0, 0);
    for _ in 0..plan.rounds {
        let recovery = recover(&tape)?;
        times.push(recovery.after_stream.as_secs_f64());
        (gaps, timed_out) = (recovery.gaps, timed_out + recovery.requests.timed_out);
    }
    let took = Duration::from_secs_f64(median(times.into_iter()));
    let work = format!(
        "MoldUDP64: last of {} gaps filled, after a stream of {} datagrams a second",
        count(gaps / 500 * 500),
        count(RATE.into())
    );
    let row = in_trips((26, &work), took, 1.3);
    // A machine that is busy with other work holds answers up for longer than they may take.
    let theirs = format!("{} requests sent again", count(timed_out));
    Ok(vec![Row { theirs, ..row }])
}
