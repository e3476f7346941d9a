//! World of a run: exchanges and the network to them, in virtual time.
//!
//! Connections are ordered byte pipes in both directions. Bytes arrive after the network's latency
//! and jitter, cut into segments anywhere.

pub use super::network::Network;
use super::network::Pipe;
use super::watch::StormWatch;
use crate::base::rng::Rng;
use crate::client::{ConnId, Input, Output, Recorder};
use crate::exchange::{Disconnect, Exchange, Step};
use crate::ledger::Sink;
use crate::sim::event_queue::{EventQueue, PipeId, SimEvent};
use crate::wire::{FRAME_LEN, Protocol};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Error: a recording never ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stuck {
    /// Waits for an event that never happens.
    Waits,
    /// Took more steps than any reasonable recording.
    Endless,
}

/// Result of driving a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Recording ended.
    Done,
    /// Given time reached.
    Until,
}

/// Maximum number of steps from one new packet to the next.
const STEPS_MAX: u64 = 1_000_000;

/// Exchanges, one for each line, and the network to them.
pub struct SimWorld<E: Exchange> {
    pub(super) exchanges: Vec<E>,
    /// Times until which each line's exchange is down.
    pub(super) away: Vec<Duration>,
    /// Protocol of each line.
    pub(super) protocols: Vec<Protocol>,
    network: Network,
    rng: Rng,
    pub(super) pipes: BTreeMap<PipeId, Pipe<E::Connection>>,
    agenda: EventQueue,
    pub(super) now: Duration,
    /// Number of earlier clients, which is the upper half of a pipe's id.
    clients: u64,
    /// Number of pipes with held events.
    holding: u32,
    delivered: u64,
    steps: u64,
    /// Number of connections of which one falls silent; 0 for none.
    silences: u32,
    pub(super) trace: Option<Vec<(Duration, String)>>,
    pub(super) watched: StormWatch,
    buffer: Vec<u8>,
}

impl<E: Exchange> SimWorld<E> {
    /// Creates a world of exchanges.
    #[must_use]
    pub fn new(exchanges: Vec<E>, network: Network, seed: u64) -> Self {
        Self {
            away: alloc::vec![Duration::ZERO; exchanges.len()],
            protocols: alloc::vec![Protocol::Betacrew; exchanges.len()],
            exchanges,
            network,
            rng: Rng::new(seed),
            pipes: BTreeMap::new(),
            agenda: EventQueue::default(),
            now: Duration::ZERO,
            clients: 0,
            holding: 0,
            delivered: 0,
            steps: 0,
            silences: 0,
            trace: None,
            watched: StormWatch::default(),
            buffer: alloc::vec![0; 16 * 1024],
        }
    }

    /// Makes the network silence one in `one_in` new connections: from some time on it delivers
    /// nothing to either side, not even an end. 0 silences none.
    pub fn silence(&mut self, one_in: u32) {
        self.silences = one_in;
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the number of frames that clients received, counted by their bytes.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered / FRAME_LEN as u64
    }

    /// Returns the number of events so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the exchanges.
    pub fn exchanges(&mut self) -> &mut [E] {
        &mut self.exchanges
    }

    /// Returns the exchanges, and drops the world.
    #[must_use]
    pub fn into_exchanges(self) -> Vec<E> {
        self.exchanges
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
        recorder.handle(Input::Wake, self.now, sink);
        let (mut recorded, mut progress) = (0, self.steps);
        while self.steps - progress < STEPS_MAX {
            self.steps += 1;
            if recorder.ledger().recorded() != recorded {
                (recorded, progress) = (recorder.ledger().recorded(), self.steps);
            }
            self.carry_out(recorder, sink);
            if recorder.is_done() {
                return Ok(Progress::Done);
            }
            if self.holding > 0 && self.release(recorder, sink) {
                continue;
            }
            let event = self.agenda.next();
            let wake = recorder.deadline().map(|deadline| deadline.max(self.now));
            let next = event.into_iter().chain(wake).min();
            // No event is due now, so the sink may write.
            let idle = match next.is_none_or(|next| next > self.now) {
                true => sink.on_idle(self.now),
                false => None,
            };
            let next = next.into_iter().chain(idle).min();
            if let Some(until) = until.filter(|&until| next.is_none_or(|next| next >= until)) {
                self.now = self.now.max(until);
                return Ok(Progress::Until);
            }
            match (next, event, wake) {
                (None, ..) => return Err(Stuck::Waits),
                (Some(next), Some(event), _) if event <= next => {
                    if let Some((time, pipe, event)) = self.agenda.pop() {
                        self.now = time;
                        self.happen(pipe, event, recorder, sink);
                    }
                }
                (Some(next), _, Some(wake)) if wake <= next => {
                    self.now = wake;
                    recorder.handle(Input::Wake, wake, sink);
                }
                (Some(next), ..) => self.now = next,
            }
        }
        Err(Stuck::Endless)
    }

    /// Ends the client's process: the system resets its connections.
    pub fn abandon(&mut self) {
        let left: Vec<PipeId> =
            self.pipes.iter().filter(|(_, pipe)| pipe.client).map(|(&id, _)| id).collect();
        for id in left {
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.client = false;
                self.holding -= u32::from(!core::mem::take(&mut pipe.held).is_empty());
            }
            self.send(id, 1, SimEvent::ToServerReset);
            self.forget_if_silent(id);
        }
        self.clients += 1;
        self.forget_announced();
    }

    /// Lets time pass for the exchanges without a client.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.agenda.next().is_some_and(|next| next <= until) {
            if let Some((time, id, event)) = self.agenda.pop() {
                self.now = time;
                if let Some(pipe) = self.pipes.get_mut(&id).filter(|_| event.is_to_client()) {
                    pipe.inbound -= 1;
                }
                self.reach_exchange(id, event);
                self.serve(id);
            }
        }
        self.now = until;
    }

    fn pipe_id(&self, conn: ConnId) -> PipeId {
        self.clients << 32 | PipeId::from(conn)
    }

    /// Sends bytes or an end to the client (0) or the server (1), in order.
    pub(super) fn send(&mut self, id: PipeId, to: usize, event: SimEvent) {
        let jitter = u32::try_from(self.network.jitter.as_micros()).unwrap_or(u32::MAX - 1);
        let delay = Duration::from_micros(self.rng.between(0, jitter).into());
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        if pipe.silent_from.is_some_and(|from| from <= self.now) {
            return;
        }
        let time = (self.now + self.network.latency + delay).max(pipe.busy[to]);
        pipe.busy[to] = time;
        pipe.inbound += u32::from(to == 0);
        self.agenda.add(time, id, event);
    }

    /// Sends bytes in segments.
    fn send_bytes(&mut self, id: PipeId, to: usize, bytes: &[u8]) {
        let cut = to == 0 || self.network.cut_calls;
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = if cut { self.network.segment } else { 0 };
            let len = if most > 0 { self.rng.between(1, most) as usize } else { usize::MAX };
            let (segment, after) = rest.split_at(len.min(rest.len()));
            let segment = segment.to_vec();
            self.send(
                id,
                to,
                if to == 0 { SimEvent::ToClient(segment) } else { SimEvent::ToServer(segment) },
            );
            rest = after;
        }
    }

    fn carry_out(&mut self, recorder: &mut Recorder, sink: &mut impl Sink) {
        while let Some(output) = recorder.poll() {
            match output {
                Output::Connect { conn, line } => self.connect(conn, usize::from(line)),
                Output::Finish(conn) => self.send(self.pipe_id(conn), 1, SimEvent::ToServerEnd),
                Output::Drop(conn) => self.drop(conn),
                Output::Join { .. } | Output::Leave { .. } | Output::Request { .. } => {}
                Output::Note(note) => self.tell(|| format!("client: {note:?}")),
            }
        }
        let first = self.pipe_id(0);
        let open = |(&id, pipe): (&PipeId, &Pipe<E::Connection>)| pipe.client.then_some(id);
        let mut next = self.pipes.range(first..).find_map(open);
        while let Some(id) = next {
            let mut calls = Vec::new();
            let conn = ConnId::try_from(id - first).unwrap_or(ConnId::MAX);
            loop {
                let before = calls.len();
                recorder.transmit(conn, self.now, sink, &mut calls);
                if calls.len() == before {
                    break;
                }
            }
            if !calls.is_empty() {
                self.tell(|| format!("client: {} bytes on {conn}: {calls:?}", calls.len()));
                self.send_bytes(id, 1, &calls);
            }
            next = self.pipes.range(id + 1..).find_map(open);
        }
    }

    fn connect(&mut self, conn: ConnId, line: usize) {
        let id = self.pipe_id(conn);
        self.tell(|| format!("client: connects {conn} to line {line}"));
        let mut silent_from = None;
        if self.silences > 0 && self.rng.below(self.silences) == 0 {
            let after = Duration::from_micros(self.rng.between(0, 200_000).into());
            silent_from = Some(self.now + after);
        }
        self.pipes.insert(id, Pipe { silent_from, ..Pipe::new(line) });
        self.agenda.add(self.now + self.network.latency * 2, id, SimEvent::Connected);
    }

    fn drop(&mut self, conn: ConnId) {
        let id = self.pipe_id(conn);
        let Some(pipe) = self.pipes.get_mut(&id).filter(|pipe| pipe.client) else { return };
        pipe.client = false;
        // A closed socket answers bytes with a reset.
        let unread = pipe.inbound > 0 || !pipe.held.is_empty();
        self.holding -= u32::from(!core::mem::take(&mut pipe.held).is_empty());
        self.send(id, 1, if unread { SimEvent::ToServerReset } else { SimEvent::ToServerEnd });
        self.forget_if_silent(id);
    }

    /// Removes the exchange's end of a silenced connection, which would stay for ever.
    fn forget_if_silent(&mut self, id: PipeId) {
        let now = self.now;
        let silent = |pipe: &Pipe<E::Connection>| pipe.silent_from.is_some_and(|from| from <= now);
        if self.pipes.get(&id).is_some_and(silent)
            && let Some(Pipe { line, server: Some(conn), .. }) = self.pipes.remove(&id)
        {
            self.exchanges[line].disconnected(conn, Disconnect::Closed, now);
        }
    }

    fn happen(&mut self, id: PipeId, event: SimEvent, to: &mut Recorder, sink: &mut impl Sink) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let own = id >> 32 == self.clients;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
        let conn = id as ConnId;
        match event {
            SimEvent::Connected => {
                let reached = self.open(id);
                if own {
                    let input = if reached { Input::Connected } else { Input::ConnectFailed };
                    to.handle(input(conn), self.now, sink);
                }
            }
            SimEvent::ToClient(_) | SimEvent::ToClientEnd | SimEvent::ToClientReset => {
                pipe.inbound -= 1;
                if !pipe.client {
                    return;
                }
                if pipe.held.is_empty() && to.wants_input(conn) {
                    self.give(conn, event, to, sink);
                } else {
                    self.holding += u32::from(pipe.held.is_empty());
                    pipe.held.push_back(event);
                }
            }
            event => self.reach_exchange(id, event),
        }
        self.serve(id);
    }

    /// Passes an event to the client.
    fn give(&mut self, conn: ConnId, event: SimEvent, to: &mut Recorder, sink: &mut impl Sink) {
        match event {
            SimEvent::ToClient(bytes) => {
                self.delivered += bytes.len() as u64;
                self.tell(|| format!("client: gets {} bytes on {conn}", bytes.len()));
                to.handle(Input::Received(conn, &bytes), self.now, sink);
                if to.outcome().is_none() {
                    self.hear(self.pipe_id(conn), &bytes);
                }
            }
            SimEvent::ToClientEnd => {
                self.tell(|| format!("client: sees the end of {conn}"));
                to.handle(Input::Ended(conn), self.now, sink);
            }
            _ => {
                self.tell(|| format!("client: sees {conn} reset"));
                to.handle(Input::Broken(conn), self.now, sink);
            }
        }
    }

    /// Passes one held event to the client if the client reads again. Returns true if there was
    /// one.
    fn release(&mut self, to: &mut Recorder, sink: &mut impl Sink) -> bool {
        let first = self.pipe_id(0);
        let number = |id: PipeId| ConnId::try_from(id - first).unwrap_or(ConnId::MAX);
        let ready = |(&id, pipe): (&PipeId, &Pipe<E::Connection>)| {
            (!pipe.held.is_empty() && to.wants_input(number(id))).then_some(id)
        };
        let Some(id) = self.pipes.range(first..).find_map(ready) else { return false };
        let Some(pipe) = self.pipes.get_mut(&id) else { return false };
        let Some(event) = pipe.held.pop_front() else { return false };
        self.holding -= u32::from(pipe.held.is_empty());
        self.give(number(id), event, to, sink);
        true
    }

    /// Opens a connection at its exchange. Returns false if the exchange is down.
    fn open(&mut self, id: PipeId) -> bool {
        let Some(line) = self.pipes.get(&id).map(|pipe| pipe.line) else { return false };
        if self.is_down(line) {
            self.pipes.remove(&id);
            return false;
        }
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.server = Some(self.exchanges[line].open(self.protocols[line], self.now));
        }
        true
    }

    /// Passes an event to the exchange.
    fn reach_exchange(&mut self, id: PipeId, event: SimEvent) {
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let exchange = &mut self.exchanges[pipe.line];
        match (event, &mut pipe.server) {
            (SimEvent::Connected, _) => drop(self.open(id)),
            (SimEvent::ToServer(bytes), Some(conn)) => exchange.receive(conn, &bytes, now),
            (SimEvent::ToServerEnd, Some(conn)) => exchange.input_ended(conn, now),
            (SimEvent::ToServerReset, server) => {
                if let Some(conn) = server.take() {
                    exchange.disconnected(conn, Disconnect::Reset, now);
                }
            }
            (SimEvent::ServerWake, _) => pipe.wake = None,
            _ => {}
        }
    }

    /// Lets the exchange act on a connection.
    fn serve(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let line = pipe.line;
        let Some(mut conn) = pipe.server.take() else {
            if !pipe.client && pipe.inbound == 0 {
                self.pipes.remove(&id);
            }
            return self.bury(line);
        };
        let mut out = core::mem::take(&mut self.buffer);
        loop {
            let count = self.exchanges[line].peek(&mut conn, &mut out, self.now);
            if count == 0 {
                break;
            }
            let count = self.network.taken(count, &mut self.rng);
            self.exchanges[line].sent(&mut conn, count, self.now);
            self.look_at(id, &out[..count]);
            self.send_bytes(id, 0, &out[..count]);
        }
        self.buffer = out;
        match self.exchanges[line].step(&mut conn, self.now) {
            Step::Close => {
                self.exchanges[line].disconnected(conn, Disconnect::Closed, self.now);
                return self.end_once(id);
            }
            Step::Reset => {
                self.exchanges[line].disconnected(conn, Disconnect::Closed, self.now);
                self.send(id, 0, SimEvent::ToClientReset);
                return self.bury(line);
            }
            Step::Finish => self.end_once(id),
            Step::Wait => {}
        }
        let deadline = self.exchanges[line].deadline(&conn).map(|time| time.max(self.now));
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.server = Some(conn);
            if let Some(deadline) =
                deadline.filter(|&time| pipe.wake.is_none_or(|wake| time < wake))
            {
                pipe.wake = Some(deadline);
                self.agenda.add(deadline, id, SimEvent::ServerWake);
            }
        }
        self.bury(line);
    }

    /// Reports the end of the exchange's bytes to the client, once.
    fn end_once(&mut self, id: PipeId) {
        let pipe = self.pipes.get_mut(&id);
        if pipe.is_some_and(|pipe| !core::mem::replace(&mut pipe.finished, true)) {
            self.send(id, 0, SimEvent::ToClientEnd);
        }
    }

    /// Resets the connections of an exchange that is down or has died.
    fn bury(&mut self, line: usize) {
        if self.is_down(line) {
            self.reset_all(line);
        }
    }

    /// Resets all connections of a line.
    pub(super) fn reset_all(&mut self, line: usize) {
        let pipes = self.pipes.iter_mut().filter(|(_, pipe)| pipe.line == line);
        let open = pipes.filter_map(|(&id, pipe)| Some((id, pipe.server.take()?)));
        for (id, conn) in open.collect::<Vec<_>>() {
            self.exchanges[line].disconnected(conn, Disconnect::Closed, self.now);
            self.send(id, 0, SimEvent::ToClientReset);
        }
    }
}
