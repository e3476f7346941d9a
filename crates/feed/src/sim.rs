//! The simulator: a recorder, exchanges, the network between them and a clock, all from one seed.
//!
//! Connections are ordered byte pipes in both directions. What is sent arrives after the line's
//! latency and some more, cut into segments at any byte. Time jumps from event to event, so a
//! recording that takes seconds takes microseconds here.

pub mod disk;
pub mod draw;

use crate::exchange::{Exchange, Step};
use crate::recorder::{ConnId, Input, Output, Recorder};
use crate::recording::Recording;
use crate::rng::Rng;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// How the network behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// The least time from one end to the other.
    pub latency: Duration,
    /// Up to so much more for each segment.
    pub jitter: Duration,
    /// The longest segment, in bytes; lengths are drawn up to it. 0: writes stay whole.
    pub segment: u32,
    /// Whether what clients send is cut, too. (The original exchange does not survive that, nor
    /// do two bytes sent in one write ever arrive apart on a real network.)
    pub cut_calls: bool,
}

/// A simulated recording that has come to its end.
#[derive(Debug)]
pub struct Run<E> {
    /// The client's side.
    pub recorder: Recorder,
    /// What it recorded.
    pub recording: Recording,
    /// The exchanges, a line each.
    pub exchanges: Vec<E>,
    /// How long it took in simulated time.
    pub elapsed: Duration,
}

/// A recording that never ends.
#[derive(Debug)]
pub struct Stuck;

/// More steps than any sensible recording takes.
const STEPS_MAX: u64 = 5_000_000;

#[derive(Debug)]
enum Event {
    Connected,
    ToClient(Vec<u8>),
    ToClientEnd,
    ToClientReset,
    ToServer(Vec<u8>),
    ToServerEnd,
    ToServerReset,
    ServerWake,
}

struct Pipe<C> {
    line: usize,
    /// The exchange's end, while it has one.
    server: Option<C>,
    /// The client has not dropped it.
    client: bool,
    /// The exchange sends no more.
    finished: bool,
    /// Times before which nothing sent later may arrive, to the client and to the server.
    busy: [Duration; 2],
    /// Segments on their way to the client.
    inbound: u32,
    wake: Option<Duration>,
}

struct World<E: Exchange> {
    exchanges: Vec<E>,
    network: Network,
    rng: Rng,
    pipes: BTreeMap<ConnId, Pipe<E::Conn>>,
    /// By time and then by order of creation.
    events: BTreeMap<(Duration, u64), (ConnId, Event)>,
    created: u64,
    now: Duration,
}

/// Runs a recorder against one exchange a line until both are done.
///
/// # Errors
/// Where the recorder waits for something that will never come.
pub fn run<E: Exchange>(
    recorder: Recorder,
    exchanges: Vec<E>,
    network: Network,
    seed: u64,
) -> Result<Run<E>, Stuck> {
    let mut world = World {
        exchanges,
        network,
        rng: Rng::new(seed),
        pipes: BTreeMap::new(),
        events: BTreeMap::new(),
        created: 0,
        now: Duration::ZERO,
    };
    let mut recorder = recorder;
    let mut recording = Recording::new();
    recorder.handle(Input::Wake, world.now, &mut recording);
    for _ in 0..STEPS_MAX {
        world.carry_out(&mut recorder);
        if recorder.done() {
            let World { exchanges, now, .. } = world;
            return Ok(Run { recorder, recording, exchanges, elapsed: now });
        }
        let event = world.events.first_key_value().map(|(&(time, _), _)| time);
        let wake = recorder.deadline().map(|deadline| deadline.max(world.now));
        match (event, wake) {
            (Some(event), wake) if wake.is_none_or(|wake| event <= wake) => {
                if let Some(((time, _), (id, event))) = world.events.pop_first() {
                    world.now = time;
                    world.happen(id, event, &mut recorder, &mut recording);
                }
            }
            (_, Some(wake)) => {
                world.now = wake;
                recorder.handle(Input::Wake, wake, &mut recording);
            }
            _ => return Err(Stuck),
        }
    }
    Err(Stuck)
}

impl<E: Exchange> World<E> {
    fn schedule(&mut self, time: Duration, id: ConnId, event: Event) {
        self.created += 1;
        self.events.insert((time, self.created), (id, event));
    }

    /// Sends bytes or an end to the client (0) or the server (1), in order.
    fn send(&mut self, id: ConnId, to: usize, event: Event) {
        let jitter = u32::try_from(self.network.jitter.as_micros()).unwrap_or(u32::MAX - 1);
        let delay = Duration::from_micros(self.rng.between(0, jitter).into());
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let time = (self.now + self.network.latency + delay).max(pipe.busy[to]);
        pipe.busy[to] = time;
        pipe.inbound += u32::from(to == 0);
        self.schedule(time, id, event);
    }

    fn segments(&mut self, bytes: &[u8], cut: bool) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let most = if cut { self.network.segment } else { 0 };
            let len = if most > 0 { self.rng.between(1, most) as usize } else { usize::MAX };
            let (segment, after) = rest.split_at(len.min(rest.len()));
            segments.push(segment.to_vec());
            rest = after;
        }
        segments
    }

    fn carry_out(&mut self, recorder: &mut Recorder) {
        while let Some(output) = recorder.poll() {
            match output {
                Output::Connect { conn, line } => self.connect(conn, usize::from(line)),
                Output::Finish(id) => self.send(id, 1, Event::ToServerEnd),
                Output::Drop(id) => {
                    let Some(pipe) = self.pipes.get_mut(&id).filter(|pipe| pipe.client) else {
                        continue;
                    };
                    pipe.client = false;
                    // Bytes that arrive at a closed socket are answered by a reset.
                    let event = match pipe.inbound {
                        0 => Event::ToServerEnd,
                        _ => Event::ToServerReset,
                    };
                    self.send(id, 1, event);
                }
                Output::Note(_) => {}
            }
        }
        let open = |(&id, pipe): (&ConnId, &Pipe<E::Conn>)| pipe.client.then_some(id);
        for id in self.pipes.iter().filter_map(open).collect::<Vec<_>>() {
            let mut calls = Vec::new();
            loop {
                let before = calls.len();
                recorder.transmit(id, self.now, &mut calls);
                if calls.len() == before {
                    break;
                }
            }
            for segment in self.segments(&calls, self.network.cut_calls) {
                self.send(id, 1, Event::ToServer(segment));
            }
        }
    }

    fn connect(&mut self, id: ConnId, line: usize) {
        let pipe = Pipe {
            line,
            server: None,
            client: true,
            finished: false,
            busy: [Duration::ZERO; 2],
            inbound: 0,
            wake: None,
        };
        self.pipes.insert(id, pipe);
        let answered = self.now + self.network.latency * 2;
        self.schedule(answered, id, Event::Connected);
    }

    fn happen(&mut self, id: ConnId, event: Event, to: &mut Recorder, sink: &mut Recording) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let exchange = &mut self.exchanges[pipe.line];
        let now = self.now;
        if matches!(event, Event::ToClient(_) | Event::ToClientEnd | Event::ToClientReset) {
            pipe.inbound -= 1;
            if !pipe.client {
                return;
            }
        }
        match event {
            Event::Connected if exchange.dead() || down(exchange, now) => {
                self.pipes.remove(&id);
                to.handle(Input::Failed(id), now, sink);
            }
            Event::Connected => {
                pipe.server = Some(exchange.open(now));
                to.handle(Input::Connected(id), now, sink);
            }
            Event::ToClient(bytes) => to.handle(Input::Received(id, &bytes), now, sink),
            Event::ToClientEnd => to.handle(Input::Ended(id), now, sink),
            Event::ToClientReset => to.handle(Input::Broken(id), now, sink),
            Event::ToServer(bytes) => {
                if let Some(conn) = &mut pipe.server {
                    exchange.receive(conn, &bytes, now);
                }
            }
            Event::ToServerEnd => {
                if let Some(conn) = &mut pipe.server {
                    exchange.ended(conn, now);
                }
            }
            Event::ToServerReset => {
                if let Some(conn) = pipe.server.take() {
                    exchange.gone(conn, true, now);
                }
            }
            Event::ServerWake => pipe.wake = None,
        }
        self.serve(id);
    }

    /// Lets the exchange act on a connection.
    fn serve(&mut self, id: ConnId) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let line = pipe.line;
        let Some(mut conn) = pipe.server.take() else { return self.bury(line) };
        let mut out = [0; 4096];
        loop {
            let count = self.exchanges[line].peek(&mut conn, &mut out, self.now);
            if count == 0 {
                break;
            }
            self.exchanges[line].sent(&mut conn, count, self.now);
            for segment in self.segments(&out[..count], true) {
                self.send(id, 0, Event::ToClient(segment));
            }
        }
        match self.exchanges[line].step(&mut conn, self.now) {
            Step::Close => {
                self.exchanges[line].gone(conn, false, self.now);
                return self.end_once(id);
            }
            Step::Reset => {
                self.exchanges[line].gone(conn, false, self.now);
                self.send(id, 0, Event::ToClientReset);
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
                self.schedule(deadline, id, Event::ServerWake);
            }
        }
        self.bury(line);
    }

    /// Tells the client, once, that the exchange sends no more.
    fn end_once(&mut self, id: ConnId) {
        let pipe = self.pipes.get_mut(&id);
        if pipe.is_some_and(|pipe| !core::mem::replace(&mut pipe.finished, true)) {
            self.send(id, 0, Event::ToClientEnd);
        }
    }

    /// The connections of an exchange that is down or has died are reset.
    fn bury(&mut self, line: usize) {
        if self.exchanges[line].dead() || down(&self.exchanges[line], self.now) {
            let dead = self.pipes.iter_mut().filter(|(_, pipe)| pipe.line == line);
            let ids: Vec<ConnId> =
                dead.filter_map(|(&id, pipe)| pipe.server.take().map(|_| id)).collect();
            for id in ids {
                self.send(id, 0, Event::ToClientReset);
            }
        }
    }
}

fn down(exchange: &impl Exchange, now: Duration) -> bool {
    exchange.down_until().is_some_and(|until| now < until)
}
