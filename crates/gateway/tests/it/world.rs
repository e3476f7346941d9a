//! Gateways and a log in virtual time.

use crate::model::Log;
use feed::base::rng::Rng;
use feed::tape::in_memory::Tape;
use feed::wire::RawFrame;
use gateway::block::Block;
use gateway::publisher::{Answer, Flight, Options, Order, Publisher, State};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

/// Without an answer for so long, there is none.
const TIMEOUT: u64 = 500_000;

/// Plan of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) packets: u64,
    pub(crate) gateways: usize,
    pub(crate) block: u32,
    pub(crate) window: usize,
    pub(crate) old: bool,
    pub(crate) check: bool,
    /// Of 1000: messages that get lost on the way there, answers on the way back, messages that
    /// come late.
    pub(crate) lost: [u32; 3],
    /// Kills of a gateway, kills of the log, and how many of its messages that costs.
    pub(crate) kills: [u32; 3],
    /// Maximum pause between packets, in microseconds.
    pub(crate) pause: u32,
    pub(crate) forgetful: bool,
    /// In milliseconds.
    pub(crate) patience: u64,
}

enum Event {
    /// Packets are there up to this one.
    Grow(usize, u64),
    Arrive {
        from: Sender,
        order: Order,
        frames: Vec<RawFrame>,
    },
    Answer {
        to: Sender,
        reply: Reply,
    },
    KillGateway(usize),
    KillLog(u64),
    Return,
    Wake(usize),
}

/// Sender of an order that waits for its answer.
#[derive(Clone, Copy)]
struct Sender {
    gateway: usize,
    life: u32,
    epoch: u32,
    order: u64,
}

enum Reply {
    State(State),
    Read(u64, Block),
    Published(u64, Answer),
    Failed,
}

struct Node {
    publisher: Publisher,
    life: u32,
    /// Last packet that the gateway has.
    has: u64,
    /// Which orders wait for an answer.
    waiting: HashSet<u64>,
    /// When it is woken next.
    wake: Option<u64>,
}

pub(crate) struct World {
    pub(crate) log: Log,
    plan: Plan,
    tape: Tape,
    nodes: Vec<Node>,
    rng: Rng,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    waiting: Vec<Option<Event>>,
    up: bool,
    /// Time after which no fault strikes.
    calm: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let tape = Tape::random(plan.packets, seed);
        let mut log = Log::new(tape.frames(), plan.old);
        log.forgetful = plan.forgetful;
        let mut world = Self {
            log,
            tape,
            nodes: Vec::new(),
            rng: Rng::new(seed),
            now: 0,
            events: BinaryHeap::new(),
            waiting: Vec::new(),
            up: true,
            // Packets come five at a time.
            calm: plan.packets * u64::from(plan.pause) / 8 + 100_000,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for gateway in 0..self.plan.gateways {
            self.nodes.push(Node {
                publisher: self.publisher(),
                life: 0,
                has: 0,
                waiting: HashSet::new(),
                wake: None,
            });
            let mut at = u64::from(self.rng.below(100_000));
            let mut has = 0;
            while has < self.plan.packets {
                at += u64::from(self.rng.below(self.plan.pause + 1));
                has = (has + 1 + u64::from(self.rng.below(9))).min(self.plan.packets);
                self.at(at, Event::Grow(gateway, has));
            }
            for _ in 0..self.plan.kills[0] {
                let at = self.moment();
                self.at(at, Event::KillGateway(gateway));
            }
        }
        for _ in 0..self.plan.kills[1] {
            let (at, down) = (self.moment(), u64::from(self.rng.below(900_000)));
            self.at(at, Event::KillLog(down));
        }
    }

    fn moment(&mut self) -> u64 {
        let calm = u32::try_from(self.calm).unwrap_or(u32::MAX);
        u64::from(self.rng.below(calm))
    }

    fn publisher(&self) -> Publisher {
        let Plan { block, window, check, .. } = self.plan;
        let patience = Duration::from_millis(self.plan.patience);
        let session = Some(self.tape.session());
        let mut publisher = Publisher::new(Options { session, block, window, check, patience });
        publisher.ends_with(self.plan.packets);
        publisher
    }

    fn at(&mut self, time: u64, event: Event) {
        self.events.push(Reverse((time, self.waiting.len() as u64)));
        self.waiting.push(Some(event));
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        self.now < self.calm && self.rng.below(1000) < of_1000
    }

    fn delay(&mut self, late: bool) -> u64 {
        // What is not late comes in the order in which it was sent.
        let late = late && self.chance(self.plan.lost[2]);
        self.now + 150 + if late { u64::from(self.rng.below(2_000_000)) } else { 0 }
    }

    /// Runs until all is published, or something is wrong, or it takes too long.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        while let Some(Reverse((time, place))) = self.next() {
            self.now = self.now.max(time);
            let Some(event) = self.waiting[place as usize].take() else { continue };
            self.apply(event);
            if let Some(wrong) = self.log.wrong.take() {
                return Err(wrong);
            }
            if let Some(failure) = self.nodes.iter().find_map(|node| node.publisher.failure()) {
                return Err(failure.to_string());
            }
            if self.now > self.calm + 60_000_000 {
                break;
            }
        }
        let state = |node: &Node| format!("{:?}", node.publisher.counts());
        match self.nodes.iter().find(|node| !node.publisher.done()) {
            None if self.log.next() == self.plan.packets + 1 => Ok(()),
            Some(node) => Err(format!("not done after {} us: {}", self.now, state(node))),
            None => Err(format!("the log ends before {}", self.log.next())),
        }
    }

    /// The next event. A log that loses what it has confirmed to all can only be made whole by one
    /// who looks again.
    fn next(&mut self) -> Option<Reverse<(u64, u64)>> {
        let lost = self.plan.kills[2] > 0 && self.log.next() <= self.plan.packets;
        if self.events.is_empty() && lost {
            self.at(self.now, Event::KillGateway(0));
        }
        self.events.pop()
    }

    pub(crate) fn races(&self) -> u64 {
        self.nodes.iter().map(|node| node.publisher.counts().races).sum()
    }

    /// Returns the number of events so far.
    pub(crate) fn happened(&self) -> usize {
        self.waiting.len() - self.events.len()
    }

    fn time(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Grow(gateway, has) => {
                self.nodes[gateway].has = has;
                self.turn(gateway);
            }
            Event::Wake(gateway) => self.turn(gateway),
            Event::Arrive { from, order, frames } => {
                if !self.up {
                    return;
                }
                let reply = self.serve(&order, &frames);
                if let Some(reply) = reply
                    && !self.chance(self.plan.lost[1])
                {
                    let at = self.delay(false);
                    self.at(at, Event::Answer { to: from, reply });
                }
            }
            Event::Answer { to, reply } => {
                self.answer(to, reply);
                self.turn(to.gateway);
            }
            Event::KillGateway(gateway) => {
                let publisher = self.publisher();
                let node = &mut self.nodes[gateway];
                (node.life, node.publisher) = (node.life + 1, publisher);
                self.turn(gateway);
            }
            Event::KillLog(down) => self.kill_log(down),
            Event::Return => self.up = true,
        }
    }

    fn kill_log(&mut self, down: u64) {
        self.up = false;
        let Self { log, rng, .. } = self;
        log.restart(rng);
        if self.plan.kills[2] > 0 {
            log.lose(rng.below(self.plan.kills[2]) as usize);
            // What was on its way to it is gone with its connections.
            for event in self.waiting.iter_mut() {
                event.take_if(|event| matches!(event, Event::Arrive { .. }));
            }
        }
        self.at(self.now + down, Event::Return);
    }

    fn serve(&mut self, order: &Order, frames: &[RawFrame]) -> Option<Reply> {
        Some(match order {
            Order::Ask => {
                let last = self.log.last();
                Reply::State(State { first: 1, last, messages: last })
            }
            Order::Read(number) => {
                let (id, frames) = self.log.messages.get(*number as usize - 1)?.clone();
                Reply::Read(*number, Block { session: id.session, frames, stored: 0 })
            }
            Order::Publish(flight) => {
                Reply::Published(flight.number, self.log.publish(flight, frames))
            }
        })
    }

    fn answer(&mut self, to: Sender, reply: Reply) {
        let now = self.time();
        let Sender { gateway, life, epoch, order } = to;
        let node = &mut self.nodes[gateway];
        if node.life != life || !node.waiting.remove(&order) {
            return;
        }
        match reply {
            Reply::State(state) => node.publisher.on_state(epoch, state, now),
            Reply::Read(number, block) => node.publisher.on_block(epoch, number, Ok(block), now),
            Reply::Published(number, answer) => {
                node.publisher.on_answer(epoch, number, answer, now);
            }
            Reply::Failed if epoch == node.publisher.epoch() => node.publisher.on_no_answer(now),
            Reply::Failed => {}
        }
    }

    /// Gives it what it wants, and carries out what it orders.
    fn turn(&mut self, gateway: usize) {
        let now = self.time();
        loop {
            let node = &mut self.nodes[gateway];
            if let Some(first) = node.publisher.wants().filter(|first| *first <= node.has) {
                let frames = &self.tape.frames()[first as usize - 1..node.has as usize];
                node.publisher.put(frames);
            }
            let Some(order) = node.publisher.order(now) else { break };
            let (life, epoch) = (node.life, node.publisher.epoch());
            let frames = match &order {
                Order::Publish(flight) => node.publisher.frames(flight),
                _ => Vec::new(),
            };
            let reply = match order {
                Order::Publish(Flight { number, .. }) => Reply::Published(number, Answer::None),
                _ => Reply::Failed,
            };
            let from = Sender { gateway, life, epoch, order: self.waiting.len() as u64 };
            node.waiting.insert(from.order);
            self.at(self.now + TIMEOUT, Event::Answer { to: from, reply });
            if !self.chance(self.plan.lost[0]) {
                let at = self.delay(true);
                self.at(at, Event::Arrive { from, order, frames });
            }
        }
        if let Some(wake) = self.nodes[gateway].publisher.wake() {
            let wake = (wake.as_micros() as u64).max(self.now + 1);
            let node = &mut self.nodes[gateway];
            if node.wake.is_none_or(|planned| wake < planned || planned <= self.now) {
                node.wake = Some(wake);
                self.at(wake, Event::Wake(gateway));
            }
        }
    }
}
