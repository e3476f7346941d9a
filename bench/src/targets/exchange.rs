//! The exchange alone: one client that drains, and ten thousand.

use super::Plan;
use crate::Result;
use crate::crowd::{Crowd, settled};
use crate::measure::{By, Cost, Entry, Series, here, median, side_by_side};
use crate::process::{Exchange, Family};
use crate::raw;
use crate::report::{Row, Want, count};
use bench::hot::parted;
use betacrew::net::{self, Stop};
use feed::base::chance::Chance;
use feed::base::seq::to_index;
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Our exchange as a thread of this process, which it lives as long as.
pub(super) fn in_process(tape: Arc<Tape>, scenario: Scenario) -> Result<SocketAddr> {
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut player = MockExchange::new(tape, scenario);
        net::serve(vec![listener], &mut player, &Stop::new(), |_, _| {})
    });
    Ok(address)
}

fn drain(exchange: SocketAddr, least: u64) -> Result<()> {
    let came = raw::stream(exchange)?;
    match came >= least {
        true => Ok(()),
        false => Err(format!("{exchange} sent {came} bytes").into()),
    }
}

/// Target 6.
pub(super) fn one_client(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(4_000_000, 1_000_000);
    let tape = Arc::new(Tape::sample(packets));
    let (kept, _) = parted(&tape);
    let ready = raw::bytes_of(&kept);
    let least = ready.len() as u64 / 100 * 99;
    let ready = raw::sender(ready)?;
    let quarter = Chance::of(1, 4).ok_or("a quarter is a chance")?;
    let ours = in_process(tape, Scenario::losing(7, quarter))?;
    let entries = vec![
        Entry::new("ready bytes", || here(|| drain(ready, least))),
        Entry::new("betacrew", || here(|| drain(ours, least))),
    ];
    let all = side_by_side(plan.rounds.max(21), entries)?;
    let work = format!("exchange, one client, {} packets, 25 % dropped", count(packets));
    let what = (6, work.as_str(), "sending the same bytes from a buffer");
    let pair = (&all[1], &all[0]);
    Ok(vec![
        Row::faster(what, By::Cpu, pair, Want::AtLeast(0.75)),
        Row::faster(what, By::Wall, pair, Want::AtLeast(0.65)),
    ])
}

/// Target 7.
pub(super) fn against_node(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(1_000_000, 100_000);
    let mut exchanges = vec![("betacrew", Exchange::start(Family::Betacrew, packets, "0.25")?)];
    exchanges.push(("plain Rust", Exchange::start(Family::Plain, packets, "0.25")?));
    if plan.node {
        exchanges.push(("Node.js", Exchange::start(Family::Node, packets, "0.25")?));
        exchanges.push(("Node.js, tuned", Exchange::start(Family::Tuned, packets, "0.25")?));
    }
    let entries = exchanges.iter().map(|(name, exchange)| {
        let run = move || {
            let (cpu, mut cost) = (exchange.cpu(), Cost::default());
            cost.wall = here(|| drain(exchange.address, packets * 12))?.wall;
            Ok(Cost { cpu: exchange.cpu() - cpu, ..cost })
        };
        Entry::new(name, run)
    });
    let all = side_by_side(plan.rounds, entries.collect())?;
    let work = format!("exchange, {} packets, 25 % dropped, drained", count(packets));
    let mut rows = Vec::new();
    for theirs in &all[1..] {
        let want = if theirs.name == "Node.js" { Want::AtLeast(200.0) } else { Want::Shown };
        let what = (7, work.as_str(), theirs.name);
        rows.push(Row::faster(what, By::Wall, (&all[0], theirs), want));
        rows.push(Row::faster(what, By::Cpu, (&all[0], theirs), Want::Shown));
    }
    Ok(rows)
}

const EACH: u64 = 1000;

/// Target 8, times.
pub(super) fn many_clients(plan: &Plan) -> Result<Vec<Row>> {
    let clients = to_index(plan.size(10_000, 500));
    // A round of Node's takes a minute, and it is a hundred times off.
    let mut families = vec![(Family::Betacrew, usize::MAX), (Family::Plain, usize::MAX)];
    if plan.node {
        families.push((Family::Node, 1));
    }
    let slowest = RefCell::new(Vec::new());
    let mut exchanges = Vec::new();
    for (family, _) in &families {
        exchanges.push(Exchange::start(*family, EACH, "0.25")?);
    }
    let entries = families.iter().zip(&exchanges).map(|(&(family, most), exchange)| {
        let slowest = &slowest;
        let run = move || {
            let mut crowd = Crowd::connect(exchange, clients)?;
            let (cpu, began) = (exchange.cpu(), Instant::now());
            let mut times = crowd.stream(EACH * 17 / 2)?;
            let cost = Cost { wall: began.elapsed(), cpu: exchange.cpu() - cpu };
            if family == Family::Betacrew {
                times.sort_unstable();
                let (middle, last) = (times[times.len() / 2], times[times.len() - 1]);
                slowest.borrow_mut().push(last.as_secs_f64() / middle.as_secs_f64());
            }
            Ok(cost)
        };
        let name = match family {
            Family::Betacrew => "betacrew",
            Family::Plain => "plain Rust",
            _ => "Node.js",
        };
        Entry::new(name, run).at_most(most)
    });
    let all = side_by_side(plan.rounds, entries.collect())?;
    Ok(crowd_rows(clients, &all, median(slowest.borrow().iter().copied())))
}

fn crowd_rows(clients: usize, all: &[Series], slowest: f64) -> Vec<Row> {
    let work = format!("exchange, {} clients x 1,000 packets, 25 % dropped", count(clients as u64));
    let mut rows = Vec::new();
    for theirs in &all[1..] {
        let (wall, cpu) = match theirs.name {
            "Node.js" => (Want::AtLeast(60.0), Want::AtLeast(100.0)),
            _ => (Want::Shown, Want::AtLeast(1.5)),
        };
        let what = (8, work.as_str(), theirs.name);
        rows.push(Row::faster(what, By::Wall, (&all[0], theirs), wall));
        rows.push(Row::faster(what, By::Cpu, (&all[0], theirs), cpu));
    }
    rows.push(Row {
        number: 8,
        work,
        against: "its median client".to_owned(),
        by: "slowest client",
        ours: String::new(),
        theirs: String::new(),
        got: slowest,
        unit: "x",
        want: Want::AtMost(3.0),
    });
    rows
}

/// Target 8, memory: what a connection costs the exchange that waits, and one whose client does
/// not read.
pub(super) fn connections(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (family, name, want) in [
        (Family::Betacrew, "betacrew", (Want::AtMost(1.0), Want::AtMost(4.0))),
        (Family::Plain, "plain Rust", (Want::Shown, Want::Shown)),
    ] {
        let clients = to_index(plan.size(10_000, 1_000));
        let exchange = Exchange::start(family, EACH, "0.25")?;
        let before = exchange.resident()?;
        let crowd = Crowd::connect(&exchange, clients)?;
        let kind = ("idle", RESIDENT);
        rows.push(each(kind, name, clients, exchange.resident()? - before, want.0));
        drop(crowd);

        let clients = to_index(plan.size(1_000, 200));
        let exchange = Exchange::start(family, 1_000_000, "0.25")?;
        // Once it has streamed, what it needs for that is there.
        drain(exchange.address, 1)?;
        let (before, sockets_before) = (exchange.resident()?, socket_memory()?);
        let mut crowd = Crowd::connect(&exchange, clients)?;
        crowd.call()?;
        settled(&exchange);
        let kind = ("stalled", RESIDENT);
        rows.push(each(kind, name, clients, exchange.resident()? - before, want.1));
        let sockets = socket_memory()?.saturating_sub(sockets_before);
        rows.push(each(("stalled", "sockets, both ends"), name, clients, sockets, Want::Shown));
    }
    Ok(rows)
}

const RESIDENT: &str = "resident";

/// Returns how many bytes the system keeps for the TCP sockets of the machine. Those of clients
/// that do not read are full as well.
fn socket_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/net/sockstat")?;
    let tcp = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let pages = tcp.split_whitespace().skip_while(|word| *word != "mem").nth(1);
    Ok(pages.unwrap_or_default().parse::<u64>()? * 4096)
}

#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn each(
    (kind, by): (&str, &'static str),
    name: &str,
    clients: usize,
    bytes: u64,
    want: Want,
) -> Row {
    Row {
        number: 8,
        work: format!("memory of one of {} {kind} connections, {name}", count(clients as u64)),
        against: String::new(),
        by,
        ours: format!("{:.1} MiB in all", bytes as f64 / 1048576.0),
        theirs: String::new(),
        got: bytes as f64 / clients as f64 / 1024.0,
        unit: "KiB",
        want,
    }
}
