//! MoldUDP64 in simulated runs: lines of datagrams and request servers, on a network that loses,
//! repeats, reorders and cuts datagrams.
//!
//! [`GroupWorld`] is the network; [`GroupPlan`] is a recording over it that a seed draws;
//! [`simulate`] runs it over crashes and restarts of the client, and checks its promises.

mod plan;
mod run;

pub use plan::GroupPlan;
pub use run::{simulate, simulate_traced};

use super::report::SimTrace;
use super::{Progress, Stuck};
use crate::base::rng::Rng;
use crate::base::seq::Seq;
use crate::client::{DatagramSource, Input, Output, Recorder};
use crate::exchange::Exchange;
use crate::exchange::datagrams::DatagramBatch;
use crate::ledger::Sink;
use crate::wire::mold::{Datagram, HEADER_BYTES, Request};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

/// Maximum number of steps of a recording.
const STEPS_MAX: u64 = 3_000_000;

/// Behaviour of a network of datagrams. Chances are in datagrams of 1000.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DatagramNetwork {
    /// Minimum time from one end to the other.
    pub latency: Duration,
    /// Maximum extra time of a datagram, so that datagrams overtake one another.
    pub jitter: Duration,
    /// Datagrams at which a run of lost ones begins.
    pub lost: u32,
    /// Length of a run of lost datagrams.
    pub burst: u32,
    /// Datagrams that arrive twice.
    pub duplicated: u32,
    /// Datagrams that are cut short.
    pub cut: u32,
    /// Requests and answers that are lost.
    pub requests_lost: u32,
    /// True if heartbeats and ends of session are never lost.
    pub keeps_ends: bool,
}

/// Behaviour of a line's request server.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ServerFaults {
    /// True if the server answers no request.
    pub silent: bool,
    /// Time that the server takes for an answer.
    pub slow: Duration,
    /// True if the server sends each answer twice.
    pub doubled: bool,
    /// Maximum number of messages in an answer.
    pub most: Option<u16>,
    /// Number by which the first sequence of an answer is too high.
    pub shifted: u64,
}

/// Event on the network.
#[derive(Debug)]
enum GroupEvent {
    /// Datagram of a line's group, for the client.
    Downstream(u16, Vec<u8>),
    /// Request to a line's server.
    Request(u16, Request),
    /// Answer of a line's server, for the client.
    Answer(u16, Vec<u8>),
    /// Deadline of a line.
    Wake(u16),
}

/// Lines of exchanges and a client, in virtual time.
pub struct GroupWorld<E> {
    exchanges: Vec<E>,
    network: DatagramNetwork,
    servers: Vec<ServerFaults>,
    rng: Rng,
    events: BTreeMap<(Duration, u64), GroupEvent>,
    created: u64,
    /// Deadline of each line that has an event.
    wakes: Vec<Option<Duration>>,
    /// Number of datagrams that each line still loses in its present run.
    losing: Vec<u32>,
    joined: Vec<bool>,
    now: Duration,
    /// Number of requests whose answer is still on its way.
    in_flight: u64,
    most_in_flight: u64,
    /// Number of events so far.
    steps: u64,
    /// Number of datagrams that the client has received.
    delivered: u64,
    /// Trace of the run, if it was requested.
    trace: Option<SimTrace>,
}

/// Address of the client.
const CLIENT: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

impl<E: Exchange> GroupWorld<E> {
    /// Creates a world of exchanges, whose first lines are those of the client.
    #[must_use]
    pub fn new(exchanges: Vec<E>, network: DatagramNetwork, seed: u64) -> Self {
        let count = exchanges.len();
        let mut world = Self {
            exchanges,
            network,
            servers: alloc::vec![ServerFaults::default(); count],
            rng: Rng::new(seed),
            events: BTreeMap::new(),
            created: 0,
            wakes: alloc::vec![None; count],
            losing: alloc::vec![0; count],
            joined: alloc::vec![false; count],
            now: Duration::ZERO,
            in_flight: 0,
            most_in_flight: 0,
            steps: 0,
            delivered: 0,
            trace: None,
        };
        (0u16..).take(count).for_each(|line| world.serve(line));
        world
    }

    /// Sets the faults of each line's request server.
    pub fn server_faults(&mut self, faults: &[ServerFaults]) {
        self.servers.iter_mut().zip(faults).for_each(|(own, faults)| *own = *faults);
    }

    /// Changes the network. Runs of lost datagrams end.
    pub fn set_network(&mut self, network: DatagramNetwork) {
        self.network = network;
        self.losing.fill(0);
    }

    /// Returns the exchanges.
    pub fn exchanges(&mut self) -> &mut [E] {
        &mut self.exchanges
    }

    /// Gives the lines of exchanges that were changed a turn.
    pub fn wake(&mut self) {
        (0u16..).take(self.exchanges.len()).for_each(|line| self.serve(line));
    }

    /// Records a trace from now on.
    pub fn start_trace(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// Returns the trace since the last call.
    pub fn take_trace(&mut self) -> SimTrace {
        self.trace.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Adds an event to the trace.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push((now, what()));
        }
    }

    /// Returns the number of events, and of datagrams that the client has received, so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.steps, self.delivered)
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the highest number of requests that were on their way at once.
    #[must_use]
    pub fn most_in_flight(&self) -> u64 {
        self.most_in_flight
    }

    /// Drives a recorder until it is done, or until a given time.
    ///
    /// # Errors
    /// Returns an error if the recorder waits for an event that never happens.
    pub fn drive(
        &mut self,
        recorder: &mut Recorder,
        sink: &mut impl Sink,
        until: Option<Duration>,
    ) -> Result<Progress, Stuck> {
        self.give(Input::Wake, recorder, sink);
        for _ in 0..STEPS_MAX {
            self.steps += 1;
            if recorder.is_done() {
                return Ok(Progress::Done);
            }
            let event = self.events.first_key_value().map(|((time, _), _)| *time);
            let wake = recorder.deadline().map(|deadline| deadline.max(self.now));
            let next = event.into_iter().chain(wake).min();
            // No event is due now, so the sink may write.
            let idle = match next.is_none_or(|next| next > self.now) {
                true => sink.on_idle(self.now),
                false => None,
            };
            let next = next.into_iter().chain(idle).min();
            if let Some(until) = until.filter(|until| next.is_none_or(|next| next >= *until)) {
                self.now = self.now.max(until);
                return Ok(Progress::Until);
            }
            let Some(next) = next else { return Err(Stuck::Waits) };
            self.now = next.max(self.now);
            match event {
                Some(time) if time <= next => {
                    if let Some((_, event)) = self.events.pop_first() {
                        self.happen(event, recorder, sink);
                    }
                }
                _ => self.give(Input::Wake, recorder, sink),
            }
        }
        Err(Stuck::Endless)
    }

    /// Lets time pass for the exchanges without a client.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(entry) = self.events.first_entry().filter(|it| it.key().0 <= until) {
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            match event {
                GroupEvent::Wake(line) => {
                    self.wakes[usize::from(line)] = None;
                    self.serve(line);
                }
                GroupEvent::Request(line, request) => self.answer(line, request),
                GroupEvent::Downstream(..) | GroupEvent::Answer(..) => {}
            }
        }
        self.now = until;
    }

    /// Ends the client's process: what is on its way to it is lost.
    pub fn abandon(&mut self) {
        self.joined.fill(false);
        self.events.retain(|_, event| matches!(event, GroupEvent::Wake(_)));
        self.in_flight = 0;
    }

    fn at(&mut self, time: Duration, event: GroupEvent) {
        self.created += 1;
        self.events.insert((time, self.created), event);
    }

    /// Returns the time at which a datagram that is sent now arrives.
    fn arrival(&mut self) -> Duration {
        let jitter = u32::try_from(self.network.jitter.as_micros()).unwrap_or(u32::MAX - 1);
        let extra = Duration::from_micros(self.rng.between(0, jitter).into());
        self.now + self.network.latency + extra
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        of_1000 > 0 && self.rng.below(1000) < of_1000
    }

    fn give(&mut self, input: Input<'_>, recorder: &mut Recorder, sink: &mut impl Sink) {
        recorder.handle(input, self.now, sink);
        while let Some(output) = recorder.poll() {
            match output {
                Output::Join { line } => self.joined[usize::from(line)] = true,
                Output::Leave { line } => self.joined[usize::from(line)] = false,
                Output::Request { line, request, .. } => {
                    self.tell(|| {
                        let Request { sequence, count, .. } = request;
                        format!("client: requests {count} from {sequence} on line {line}")
                    });
                    self.in_flight += 1;
                    self.most_in_flight = self.most_in_flight.max(self.in_flight);
                    let arrival = self.arrival();
                    self.at(arrival, GroupEvent::Request(line, request));
                }
                Output::Note(note) => self.tell(|| format!("client: {note:?}")),
                Output::Connect { .. } | Output::Finish(_) | Output::Drop(_) => {}
            }
        }
    }

    fn happen(&mut self, event: GroupEvent, recorder: &mut Recorder, sink: &mut impl Sink) {
        match event {
            GroupEvent::Wake(line) => {
                self.wakes[usize::from(line)] = None;
                self.serve(line);
            }
            GroupEvent::Downstream(line, bytes) => {
                if self.joined[usize::from(line)] {
                    self.arrived(&bytes, "on the group of", line);
                    let source = DatagramSource::Group;
                    self.give(Input::Datagram { line, source, bytes: &bytes }, recorder, sink);
                }
            }
            GroupEvent::Request(line, request) => self.answer(line, request),
            GroupEvent::Answer(line, bytes) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.arrived(&bytes, "from the server of", line);
                let source = DatagramSource::Server(0);
                self.give(Input::Datagram { line, source, bytes: &bytes }, recorder, sink);
            }
        }
    }

    /// Counts a datagram that the client receives.
    fn arrived(&mut self, bytes: &[u8], place: &str, line: u16) {
        self.delivered += 1;
        self.tell(|| match Datagram::parse(bytes) {
            Ok(datagram) => {
                let (first, count) = (datagram.sequence(), datagram.count());
                format!("client: gets {count} from {first} {place} line {line}")
            }
            Err(error) => {
                format!("client: gets {} bytes {place} line {line}: {error}", bytes.len())
            }
        });
    }

    /// Sends what a line's exchange has for its group, and notes its next deadline.
    fn serve(&mut self, line: u16) {
        let index = usize::from(line);
        loop {
            let mut batch = DatagramBatch::default();
            let Some(lines) = self.exchanges[index].lines() else { return };
            lines.send_due(0, &mut batch, self.now);
            if batch.is_empty() {
                break;
            }
            batch.iter().for_each(|(_, datagram)| self.send(line, datagram));
        }
        let mut late = DatagramBatch::default();
        if let Some(lines) = self.exchanges[index].lines() {
            lines.send_late_answers(0, &mut late, self.now);
        }
        self.send_answers(line, &late);
        let due = self.exchanges[index].lines().and_then(|lines| lines.line_deadline(0));
        if let Some(due) = due.map(|due| due.max(self.now))
            && self.wakes[index].is_none_or(|wake| due < wake)
        {
            self.wakes[index] = Some(due);
            self.at(due, GroupEvent::Wake(line));
        }
    }

    /// Sends a datagram to a group.
    fn send(&mut self, line: u16, datagram: &[u8]) {
        let index = usize::from(line);
        let is_kept = self.network.keeps_ends && datagram.len() == HEADER_BYTES;
        if !is_kept && self.losing[index] == 0 && self.chance(self.network.lost) {
            self.losing[index] = self.network.burst.max(1);
        }
        if !is_kept && self.losing[index] > 0 {
            self.losing[index] -= 1;
            return;
        }
        let copies = 1 + u32::from(self.chance(self.network.duplicated));
        for _ in 0..copies {
            let mut bytes = datagram.to_vec();
            if self.chance(self.network.cut) {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                bytes.truncate(self.rng.below(length.max(1)) as usize);
            }
            let arrival = self.arrival();
            self.at(arrival, GroupEvent::Downstream(line, bytes));
        }
    }

    /// Lets a line's request server answer.
    fn answer(&mut self, line: u16, request: Request) {
        let index = usize::from(line);
        let faults = self.servers[index];
        let mut request = request;
        request.sequence = request.sequence.saturating_add(faults.shifted as Seq);
        request.count = request.count.min(faults.most.unwrap_or(u16::MAX));
        let mut batch = DatagramBatch::default();
        if !faults.silent
            && !self.chance(self.network.requests_lost)
            && let Some(lines) = self.exchanges[index].lines()
        {
            let bytes: [u8; HEADER_BYTES] = request.encode();
            lines.receive_request(0, CLIENT, &bytes, &mut batch, self.now);
        }
        if batch.is_empty() {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.send_answers(line, &batch);
        // A fault may have delayed the answer.
        self.serve(line);
    }

    /// Sends the answers of a line's request server to the client.
    fn send_answers(&mut self, line: u16, answers: &DatagramBatch) {
        let faults = self.servers[usize::from(line)];
        for (_, bytes) in answers.iter() {
            if self.chance(self.network.requests_lost) {
                self.in_flight = self.in_flight.saturating_sub(1);
                continue;
            }
            for _ in 0..=u32::from(faults.doubled) {
                let arrival = self.arrival() + faults.slow;
                self.at(arrival, GroupEvent::Answer(line, bytes.to_vec()));
            }
        }
    }
}
