//! Recovery: at a distance of 20 ms there and back, and on the spot.

use super::Plan;
use super::exchange::in_process;
use crate::Result;
use crate::measure::{By, Cost, Entry, Series, median, side_by_side};
use crate::process::{Exchange, Family, client, run};
use crate::proxy::far;
use crate::raw;
use crate::report::{Row, Want, count, time};
use betacrew::net::{self, LoopEvent, Stop};
use feed::base::chance::Chance;
use feed::base::seq::{SeqRange, SeqSet, to_index};
use feed::client::{Recorder, RecorderEvent, RecorderOptions};
use feed::faults::scenario::Scenario;
use feed::ledger::{Origin, Sink, Source};
use feed::tape::in_memory::Tape;
use feed::wire::{Info, Messages, SessionId};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUND_TRIP: Duration = Duration::from_millis(20);

fn trips(time: Duration) -> f64 {
    time.as_secs_f64() / ROUND_TRIP.as_secs_f64()
}

/// A row whose figure is a number of round trips.
pub(super) fn in_trips((number, work): (u32, &str), took: Duration, most: f64) -> Row {
    Row {
        number,
        work: work.to_owned(),
        against: "one round trip of 20 ms".to_owned(),
        by: "wall",
        ours: time(took),
        theirs: String::new(),
        got: trips(took),
        unit: "RTT",
        want: Want::AtMost(most),
    }
}

/// Notes when the last packet came, or the last resend.
struct Watch {
    filled: Instant,
    resends_only: bool,
}

impl Sink for Watch {
    fn on_messages(&mut self, origin: Origin, _: Messages<'_>, _: Duration) {
        if origin.source == Source::Resend || !self.resends_only {
            self.filled = Instant::now();
        }
    }

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }
}

/// Measures the time from the end of the stream to the last filled gap.
fn after_stream(exchange: SocketAddr) -> Result<Duration> {
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    let now = Instant::now();
    let (mut sink, mut ended) = (Watch { filled: now, resends_only: true }, now);
    net::fetch(&[vec![exchange].into()], &mut recorder, &mut sink, &Stop::new(), |event| {
        if let LoopEvent::Note(_, RecorderEvent::PassEnded { .. }) = event {
            ended = Instant::now();
        }
    })?;
    complete(&recorder)?;
    Ok(sink.filled.saturating_duration_since(ended))
}

fn complete(recorder: &Recorder) -> Result<()> {
    match recorder.outcome() {
        Some(outcome) if outcome.is_complete() => Ok(()),
        outcome => Err(format!("{outcome:?}").into()),
    }
}

/// Target 14.
pub(super) fn during_stream(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for packets in [13_333, 133_333] {
        let quarter = Chance::of(1, 4).ok_or("a quarter is a chance")?;
        let scenario = Scenario::losing(7, quarter);
        let exchange = far(in_process(Arc::new(Tape::sample(packets)), scenario)?, ROUND_TRIP)?;
        let mut times = Vec::new();
        for _ in 0..plan.rounds {
            times.push(after_stream(exchange)?.as_secs_f64());
        }
        let took = Duration::from_secs_f64(median(times.into_iter()));
        let gaps = count(packets * 3 / 16 / 500 * 500);
        let work = format!("last of {gaps} gaps filled, after the end of the stream");
        rows.push(in_trips((14, &work), took, 1.15));
    }
    Ok(rows)
}

/// Every second packet of twice as many.
pub(super) fn isolated(gaps: u64) -> SeqSet {
    (0..gaps).map(|gap| SeqRange::one(gap * 2 + 1)).collect()
}

/// Measures a recorder that resumes a recording of a session with missing sequences.
fn recover(exchange: SocketAddr, session: SessionId, missing: &SeqSet) -> Result<Cost> {
    let highest = missing.ranges().last().map_or(0, |gap| gap.last() + 1);
    let session = Info { session, version: 1, first: 1, last: highest };
    let mut recorder =
        Recorder::resume(RecorderOptions::default(), 1, highest, missing, Some(session));
    let mut sink = Watch { filled: Instant::now(), resends_only: false };
    let (began, cpu) = (Instant::now(), crate::measure::process_cpu());
    net::fetch(&[vec![exchange].into()], &mut recorder, &mut sink, &Stop::new(), |_| {})?;
    complete(&recorder)?;
    let wall = sink.filled.saturating_duration_since(began);
    Ok(Cost { wall, cpu: crate::measure::process_cpu() - cpu })
}

fn streamed(exchange: SocketAddr) -> Result<Cost> {
    let began = Instant::now();
    raw::stream(exchange)?;
    Ok(Cost { wall: began.elapsed(), cpu: Duration::ZERO })
}

/// Target 15.
pub(super) fn fresh(plan: &Plan) -> Result<Vec<Row>> {
    let gaps = plan.size(100_000, 20_000);
    let missing = isolated(gaps);
    let tape = Arc::new(Tape::sample(gaps * 2));
    let session = tape.session();
    let ready = raw::bytes_of(&tape.frames()[..to_index(gaps)]);
    let exchange = far(in_process(tape, Scenario::clean(7))?, ROUND_TRIP)?;
    let ready = far(raw::sender(ready)?, ROUND_TRIP)?;
    let entries = vec![
        Entry::new("stream", || streamed(ready)),
        Entry::new("recovery", || recover(exchange, session, &missing)),
    ];
    let all = side_by_side(plan.rounds, entries)?;
    let work =
        format!("recovery of {} isolated gaps of a known session, fresh connection", count(gaps));
    let mut rows = vec![in_trips((15, &work), all[1].median(By::Wall), 2.2)];
    let what = (15, work.as_str(), "streaming as many packets");
    rows.push(Row::faster(what, By::Wall, (&all[1], &all[0]), Want::AtLeast(0.9)));
    Ok(rows)
}

/// One request after the other.
fn one_by_one(exchange: SocketAddr, missing: &SeqSet) -> Result<Cost> {
    let mut stream = TcpStream::connect(exchange)?;
    stream.set_nodelay(true)?;
    let mut packet = [0; 17];
    let began = Instant::now();
    for gap in missing.ranges() {
        let [.., a, b, c, d] = gap.first().to_be_bytes();
        stream.write_all(&[2, a, b, c, d])?;
        stream.read_exact(&mut packet)?;
    }
    Ok(Cost { wall: began.elapsed(), cpu: Duration::ZERO })
}

/// Target 16.
pub(super) fn near(plan: &Plan) -> Result<Vec<Row>> {
    let gaps = plan.size(100_000, 20_000);
    let missing = isolated(gaps);
    let tape = Arc::new(Tape::sample(gaps * 2));
    let session = tape.session();
    let exchange = in_process(tape, Scenario::clean(7))?;
    let entries = vec![
        Entry::new("one by one", || one_by_one(exchange, &missing)),
        Entry::new("betacrew", || recover(exchange, session, &missing)),
    ];
    let all = side_by_side(plan.rounds, entries)?;
    let work = format!("recovery of {} gaps, loopback", count(gaps));
    let what = (16, work.as_str(), "one request after the other");
    Ok(vec![Row::faster(what, By::Wall, (&all[1], &all[0]), Want::AtLeast(200.0))])
}

fn job(plan: &Plan, exchange: &Exchange) -> Result<Series> {
    let address = far(exchange.address, ROUND_TRIP)?;
    let output = plan.place("far.json");
    let job = || run(&mut client(Family::Betacrew, address, &output)?, Some(exchange));
    let all = side_by_side(plan.rounds, vec![Entry::new("betacrew", job)])?;
    Ok(all[0].clone())
}

/// An exchange that does not know the extension and loses 40 packets apart from each other, in
/// every stream.
const OLD: &str = "extension = false\ntape = \"sample:120\"\n[[fault]]\nwhat = \"drop\"\n\
                   sequences = \"";

/// Target 17.
pub(super) fn whole(plan: &Plan) -> Result<Vec<Row>> {
    let exchange = Exchange::start(Family::Betacrew, 10_000, "0.25")?;
    let took = job(plan, &exchange)?.median(By::Wall);
    let mut rows = vec![in_trips((17, "whole job, 10,000 packets, 25 % dropped"), took, 3.3)];
    let scenario = plan.place("old.toml");
    let dropped: Vec<String> = (0..40).map(|gap| (gap * 3 + 2).to_string()).collect();
    fs::write(&scenario, format!("{OLD}{}\"\n", dropped.join(",")))?;
    let scenario = scenario.to_str().ok_or("the folder's name is no text")?;
    let took = job(plan, &Exchange::serve(&["--scenario", scenario])?)?.median(By::Wall);
    let work = "whole job, 120 packets, 40 gaps, original protocol";
    rows.push(in_trips((17, work), took, 4.3));
    Ok(rows)
}

/// CPU time of recoveries of more and more gaps, both ends.
pub(super) fn growth(gaps: u64, rounds: usize) -> Result<Duration> {
    let missing = isolated(gaps);
    let tape = Arc::new(Tape::sample(gaps * 2));
    let session = tape.session();
    let exchange = in_process(tape, Scenario::clean(7))?;
    let entries = vec![Entry::new("betacrew", || recover(exchange, session, &missing))];
    let all = side_by_side(rounds, entries)?;
    Ok(all[0].median(By::Cpu))
}
