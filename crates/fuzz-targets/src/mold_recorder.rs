//! A recorder of MoldUDP64 lines as an operation list: whatever datagrams arrive, from wherever and
//! in whatever order, what it records is what the session has, it hands nothing on twice, it floods
//! no request server, and it comes to its end once everything is silent.

use arbitrary::Arbitrary;
use feed::base::seq::{Seq, SeqSet};
use feed::client::mold::request_server::{PACE_BURST, REQUESTS_IN_FLIGHT_MAX};
use feed::client::{
    DatagramSource, Input, LineProtocol, MoldFeed, Output, Recorder, RecorderOptions,
};
use feed::ledger::{Limits, Origin, Sink};
use feed::wire::Messages;
use feed::wire::mold::{Builder, Header, PayloadLimit, Session};
use std::collections::BTreeMap;
use std::time::Duration;

const SESSION: Session = Session(*b"DAY1      ");

/// Highest sequence of the session.
const LAST: Seq = 3_000;

/// Maximum number of steps to the recorder's end once everything is silent.
const STEPS_MAX: u32 = 200_000;

#[derive(Arbitrary, Debug)]
pub(crate) struct DrawnOptions {
    lines: u8,
    servers: u8,
    retries: u8,
    gaps: u8,
    jump: u16,
    reorder_wait: u8,
    give_up: Option<u8>,
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Op<'a> {
    /// Messages of the session.
    Messages(u8, From, u16, u8),
    Heartbeat(u8, From, u16),
    End(u8, From, u16),
    /// Messages of the session as another session's, or with a byte changed in front of them.
    Foreign(u8, From, u16, u8),
    Damaged(u8, From, u16, u8, u8, u8),
    Raw(u8, From, &'a [u8]),
    Drops(u8, u16),
    Pass(u16),
    Stop,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum From {
    Group,
    Server(u8),
    Stranger,
}

fn message(seq: Seq) -> Vec<u8> {
    (0..seq % 23).map(|place| (seq * 31 + place) as u8).collect()
}

fn datagram(first: Seq, count: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = Builder::new(&mut bytes, SESSION, first, PayloadLimit::DEFAULT);
    for seq in first..=LAST.min(first + Seq::from(count)) {
        if builder.push(&message(seq)).is_err() {
            break;
        }
    }
    builder.finish();
    bytes
}

/// Sink that checks every message. Damaged datagrams may hold other content, which is then known.
#[derive(Default)]
struct Checked {
    messages: BTreeMap<Seq, Vec<u8>>,
    /// True once a datagram may have had a message changed.
    tainted: bool,
}

impl Sink for Checked {
    fn on_messages(&mut self, _: Origin, messages: Messages<'_>, _: Duration) {
        for (seq, bytes) in messages.iter() {
            assert!(self.messages.insert(seq, bytes.to_vec()).is_none(), "{seq} is new twice");
            assert!(self.tainted || seq <= LAST && bytes == message(seq), "{seq} is not ours");
        }
    }

    fn on_duplicates(&mut self, _: Origin, messages: Messages<'_>) -> u32 {
        let differ = |(seq, bytes): &(Seq, &[u8])| self.messages[seq] != *bytes;
        messages.iter().filter(differ).count() as u32
    }
}

fn source(from: From) -> DatagramSource {
    match from {
        From::Group => DatagramSource::Group,
        From::Server(number) => DatagramSource::Server(number.into()),
        From::Stranger => DatagramSource::Stranger,
    }
}

/// Carries out the outputs. Returns the number of requests.
fn carry_out(recorder: &mut Recorder) -> u32 {
    let mut requests = 0;
    while let Some(output) = recorder.poll() {
        if let Output::Request { request, .. } = output {
            requests += 1;
            assert!(request.count > 0 && request.sequence > 0);
        }
    }
    requests
}

/// Returns what is known of a recording that does not end.
fn state(recorder: &Recorder) -> String {
    let line = |id| recorder.line(id).map(|line| (line.reached, line.given_up, line.mold));
    let lines: Vec<_> = (0..).map_while(line).collect();
    let gaps: SeqSet = recorder.ledger().gaps().ranges().collect();
    format!("missing {gaps}, end {:?}, lines {lines:?}", recorder.ledger().end())
}

fn options(drawn: &DrawnOptions) -> RecorderOptions {
    RecorderOptions {
        retries: (drawn.retries % 5).into(),
        reorder_wait: Duration::from_millis(drawn.reorder_wait.into()),
        give_up: drawn.give_up.map(|time| Duration::from_millis(256 + u64::from(time))),
        limits: Limits {
            max_jump: u64::from(drawn.jump) + 1,
            max_gaps: usize::from(drawn.gaps) + 1,
            ..Limits::default()
        },
        ..RecorderOptions::default()
    }
}

fn happen(op: Op<'_>, recorder: &mut Recorder, now: Duration, sink: &mut Checked) {
    let mut give = |line: u8, from, bytes: &[u8], sink: &mut Checked| {
        let (line, source) = (line.into(), source(from));
        recorder.handle(Input::Datagram { line, source, bytes }, now, sink);
    };
    let next = |seq: u16| Seq::from(seq) % LAST + 1;
    match op {
        Op::Messages(line, from, first, count) => {
            give(line, from, &datagram(next(first), count), sink);
        }
        Op::Heartbeat(line, from, seq) => {
            let header = Header::heartbeat(SESSION, next(seq));
            give(line, from, &header.encode(), sink);
        }
        Op::End(line, from, seq) => {
            let header = Header::end_of_session(SESSION, next(seq));
            give(line, from, &header.encode(), sink);
        }
        Op::Foreign(line, from, first, count) => {
            let mut bytes = datagram(next(first), count);
            bytes[0] = b'X';
            // The first datagram of all says which session is recorded.
            sink.tainted |= sink.messages.is_empty();
            give(line, from, &bytes, sink);
        }
        Op::Damaged(line, from, first, count, place, bit) => {
            let mut bytes = datagram(next(first), count);
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= 1 << (bit % 8);
            sink.tainted = true;
            give(line, from, &bytes, sink);
        }
        Op::Raw(line, from, bytes) => {
            sink.tainted = true;
            give(line, from, bytes, sink);
        }
        Op::Drops(line, count) => {
            let input = Input::KernelDrops { line: line.into(), count: count.into() };
            recorder.handle(input, now, sink);
        }
        Op::Pass(_) => recorder.handle(Input::Wake, now, sink),
        Op::Stop => recorder.handle(Input::Stop, now, sink),
    }
}

pub(crate) fn run(input: (DrawnOptions, Vec<Op<'_>>)) {
    let (drawn, ops) = input;
    let lines = u16::from(drawn.lines % 3) + 1;
    let servers = u16::from(drawn.servers % 3);
    let lines = vec![LineProtocol::Mold(MoldFeed { servers }); lines.into()];
    let all = u32::try_from(lines.len()).unwrap() * u32::from(servers.max(1));
    let mut recorder = Recorder::new(options(&drawn), lines);
    let (mut sink, mut now) = (Checked::default(), Duration::ZERO);
    recorder.handle(Input::Wake, now, &mut sink);
    for op in ops {
        if let Op::Pass(millis) = op {
            now += Duration::from_millis(millis.into());
        }
        happen(op, &mut recorder, now, &mut sink);
        assert!(carry_out(&mut recorder) <= PACE_BURST * all);
        let ledger = recorder.ledger();
        assert_eq!(ledger.recorded(), sink.messages.len() as u64);
        let missing: SeqSet = ledger.gaps().ranges().collect();
        assert!(sink.messages.keys().take(500).all(|seq| !missing.contains(*seq)));
    }
    for _ in 0..STEPS_MAX {
        if recorder.is_done() {
            return;
        }
        let Some(due) = recorder.deadline() else { panic!("no timer: {}", state(&recorder)) };
        now = now.max(due);
        recorder.handle(Input::Wake, now, &mut sink);
        assert!(carry_out(&mut recorder) <= REQUESTS_IN_FLIGHT_MAX.min(PACE_BURST) * all);
    }
    panic!("no end, {}: {}", recorder.timers(), state(&recorder));
}
