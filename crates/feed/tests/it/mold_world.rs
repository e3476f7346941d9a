//! World of MoldUDP64 lines that are driven by hand: groups, request servers and a recorder, in
//! virtual time.

use crate::soup::Kept;
use feed::base::rng::Rng;
use feed::base::seq::Seq;
use feed::client::{
    DatagramSource, Input, LineProtocol, MoldFeed, Output, Recorder, RecorderEvent,
    RecorderOptions, Tail,
};
use feed::session::completeness::{Completeness, Facts};
use feed::wire::mold::{Builder, Header, PayloadLimit, Request, Session};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const SESSION: Session = Session(*b"DAY1      ");
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Message with this sequence, as the venue has it.
pub(crate) fn message(seq: Seq) -> Vec<u8> {
    let len = 12 + (seq * 7 % 30) as usize;
    (0..len).map(|place| (seq as u8).wrapping_mul(31).wrapping_add(place as u8)).collect()
}

/// Datagram with the messages from `first` on, `count` at most.
pub(crate) fn datagram(session: Session, first: Seq, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = Builder::new(&mut bytes, session, first, PayloadLimit::DEFAULT);
    for seq in first..first + count {
        if builder.push(&message(seq)).is_err() {
            break;
        }
    }
    builder.finish();
    bytes
}

pub(crate) fn heartbeat(next: Seq) -> Vec<u8> {
    Header::heartbeat(SESSION, next).encode().to_vec()
}

pub(crate) fn end(next: Seq) -> Vec<u8> {
    Header::end_of_session(SESSION, next).encode().to_vec()
}

/// Event on the network.
pub(crate) enum Event {
    Group(u16, Vec<u8>),
    Request(u16, u16, Request),
    Answer(u16, u16, Vec<u8>),
}

/// Function that says whether a server answers a request at a time.
type Answers = dyn FnMut(u16, &Request, Duration) -> bool;

/// Behaviour of request servers.
pub(crate) struct Servers {
    /// Time from a request to its answer.
    pub(crate) round_trip: Duration,
    /// Lowest sequence that they serve.
    pub(crate) from: Seq,
    /// Highest sequence that they serve.
    pub(crate) last: Seq,
    /// Maximum number of messages in an answer.
    pub(crate) most: u64,
    /// Returns whether a server answers a request at a time.
    pub(crate) answers: Box<Answers>,
}

/// Recorder with groups and request servers, in virtual time.
pub(crate) struct World {
    pub(crate) recorder: Recorder,
    pub(crate) sink: Kept,
    pub(crate) now: Duration,
    pub(crate) events: BTreeMap<(Duration, u64), Event>,
    pub(crate) count: u64,
    pub(crate) servers: Servers,
    pub(crate) requests: Vec<(Duration, u16, u16, Request)>,
    pub(crate) notes: Vec<RecorderEvent>,
    pub(crate) in_flight: u64,
    pub(crate) most_in_flight: u64,
    pub(crate) left: usize,
}

pub(crate) fn lines(count: usize, servers: u16) -> Vec<LineProtocol> {
    vec![LineProtocol::Mold(MoldFeed { servers }); count]
}

impl World {
    pub(crate) fn new(lines: Vec<LineProtocol>, options: RecorderOptions, last: Seq) -> Self {
        Self::of(Recorder::new(options, lines), last)
    }

    pub(crate) fn of(recorder: Recorder, last: Seq) -> Self {
        let servers = Servers {
            round_trip: MS * 20,
            from: 1,
            last,
            most: u64::MAX,
            answers: Box::new(|_, _, _| true),
        };
        let mut world = Self {
            recorder,
            sink: Kept::default(),
            now: Duration::ZERO,
            events: BTreeMap::new(),
            count: 0,
            servers,
            requests: Vec::new(),
            notes: Vec::new(),
            in_flight: 0,
            most_in_flight: 0,
            left: 0,
        };
        world.give(Input::Wake);
        world
    }

    pub(crate) fn at(&mut self, time: Duration, event: Event) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    pub(crate) fn group(&mut self, time: Duration, line: u16, bytes: Vec<u8>) {
        self.at(time, Event::Group(line, bytes));
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.now, &mut self.sink);
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Request { line, server, request } => {
                    self.requests.push((self.now, line, server, request));
                    self.in_flight += 1;
                    self.most_in_flight = self.most_in_flight.max(self.in_flight);
                    let arrives = self.now + self.servers.round_trip / 2;
                    self.at(arrives, Event::Request(line, server, request));
                }
                Output::Note(note) => self.notes.push(note),
                Output::Leave { .. } => self.left += 1,
                Output::Join { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Group(line, bytes) => {
                let source = DatagramSource::Group;
                self.give(Input::Datagram { line, source, bytes: &bytes });
            }
            Event::Request(line, server, request) => {
                let servers = &mut self.servers;
                let answers = (servers.answers)(server, &request, self.now);
                let first = request.sequence;
                let served = servers.from <= first && first <= servers.last;
                if !answers || !served || request.session != SESSION {
                    self.in_flight -= 1;
                    return;
                }
                let count = u64::from(request.count).min(servers.last - first + 1);
                let bytes = datagram(SESSION, first, count.min(servers.most));
                let arrives = self.now + servers.round_trip / 2;
                self.at(arrives, Event::Answer(line, server, bytes));
            }
            Event::Answer(line, server, bytes) => {
                self.in_flight -= 1;
                let source = DatagramSource::Server(server);
                self.give(Input::Datagram { line, source, bytes: &bytes });
            }
        }
    }

    /// Runs until the recording is over, or a time.
    pub(crate) fn run_until(&mut self, until: Duration) {
        let mut steps = 0;
        while !self.recorder.is_done() {
            steps += 1;
            assert!(steps < 3_000_000, "endless at {:?}: {:?}", self.now, self.recorder.timers());
            let event = self.events.first_key_value().map(|((time, _), _)| *time);
            let wake = self.recorder.deadline().map(|time| time.max(self.now));
            let next = event.into_iter().chain(wake).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = next;
            match event {
                Some(time) if time <= next => {
                    let (_, event) = self.events.pop_first().unwrap();
                    self.happen(event);
                }
                _ => self.give(Input::Wake),
            }
        }
    }

    pub(crate) fn run(&mut self) {
        self.run_until(seconds(600));
        assert!(self.recorder.is_done(), "{:?}", self.recorder.timers());
    }

    /// Schedules a session of `last` messages in datagrams of `per`, one each `pace`, on a line;
    /// `drops` says which datagrams are dropped. Ends of session follow. Returns the time of the
    /// last datagram with messages.
    pub(crate) fn play(
        &mut self,
        line: u16,
        (last, per, pace): (Seq, u64, Duration),
        mut drops: impl FnMut(u64) -> bool,
    ) -> Duration {
        let (mut time, mut first, mut number) = (MS, 1, 0);
        while first <= last {
            let count = per.min(last - first + 1);
            if !drops(number) {
                self.group(time, line, datagram(SESSION, first, count));
            }
            number += 1;
            first += count;
            time += pace;
        }
        for second in 0..30 {
            self.group(time + seconds(second), line, end(last + 1));
        }
        time - pace
    }

    pub(crate) fn assert_complete(&self, last: Seq) {
        let outcome = self.recorder.outcome().unwrap();
        assert_eq!((outcome.last, outcome.tail, outcome.reason), (last, Tail::Confirmed, None));
        assert!(outcome.is_complete(), "{outcome:?}");
        let all: BTreeMap<Seq, Vec<u8>> = (1..=last).map(|seq| (seq, message(seq))).collect();
        assert!(self.sink.messages == all);
        assert_eq!(self.recorder.violations().conflicts, 0);
    }

    pub(crate) fn completeness(&self) -> Completeness {
        Facts::of(&self.recorder, self.sink.messages.len() as u64).completeness()
    }
}

pub(crate) fn random(seed: u64, per_mille: u32) -> impl FnMut(u64) -> bool {
    let mut rng = Rng::new(seed);
    move |_| rng.below(1000) < per_mille
}
