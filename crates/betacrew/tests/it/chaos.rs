//! Both ends as real processes, for as long as one likes: what goes wrong is drawn, either end is
//! killed at any moment, a slow client hangs on beside, and in the end the recording is whole.
//!
//! `cargo xtask soak` runs it for longer. A failure names its seed; real processes are not repeated
//! to the microsecond by it, but what was done to them is.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, call, connect};
use feed::base::rng::Rng;
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::market::SyntheticMarket;
use feed::wire::{Call, Frame, MAX_PACKET_SEQ, encode, sequence_of};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Scenarios of the exchanges, one for each start.
const SCENARIOS: [&str; 9] = [
    "clean",
    "quarter",
    "bursts",
    "duplicates",
    "reorder",
    "odd-pieces",
    "reset-in-stream",
    "closed-inside",
    "resend-twice",
];

#[derive(Clone, Copy, Debug)]
struct Plan {
    time: Duration,
    /// Packets a second.
    rate: u32,
    lines: usize,
    seed: u64,
}

/// One exchange, which is killed and started again.
struct Exchange {
    process: ServeProcess,
    record: String,
}

impl Exchange {
    fn args<'a>(plan: &'a [String; 3], record: &'a str, scenario: &'a str) -> Vec<&'a str> {
        let [market, pace, seed] = plan;
        let live = ["--live", "--tape", market, "--pace", pace, "--record", record];
        [&live[..], &["--scenario", scenario, "--seed", seed]].concat()
    }

    fn start(words: &[String; 3], record: String, scenario: &str) -> Self {
        let process = ServeProcess::start(&Self::args(words, &record, scenario));
        Self { process, record }
    }

    fn restart(&mut self, words: &[String; 3], scenario: &str) {
        self.process.child.kill_and_reap();
        let address = self.address();
        let args = Self::args(words, &self.record, scenario);
        self.process = ServeProcess::listening(&[&address], &args);
    }

    fn address(&self) -> String {
        self.process.addresses[0].clone()
    }
}

/// The client, whose stdout is checked line by line.
struct Client {
    child: Child,
    reader: JoinHandle<()>,
}

impl Client {
    /// Goes on after `seen`, which counts what is read.
    fn start(folder: &Path, addresses: &[String], seen: &Arc<AtomicU64>) -> Self {
        let from = (seen.load(Ordering::SeqCst) + 1).to_string();
        let mut child = betacrew(&["fetch", "-f", "--tape", "client.tape", "-o", "-"])
            .args(["--from", &from])
            .args(addresses)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let seen = Arc::clone(seen);
        let reader = std::thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8(line).unwrap();
                // A line that was cut off by the end of the program is no line.
                let after = line.split_once("\"sequence\":").filter(|_| line.ends_with('}'));
                let Some((_, after)) = after else { break };
                let seq: u64 = after.split(',').next().unwrap().parse().unwrap();
                assert_eq!(seq, seen.load(Ordering::SeqCst) + 1, "{line}");
                seen.store(seq, Ordering::SeqCst);
            }
        });
        Self { child, reader }
    }

    /// Ends it one way or the other; what it wrote until then counts.
    fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.ends();
        self.reader.join().expect("stdout has every packet, once, in order");
    }

    fn resident(&self) -> u64 {
        resident(self.child.id())
    }
}

/// Bytes of memory that a process has.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A subscriber that reads a little now and then, until told to stop.
fn slow_client(address: String, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            let Ok(mut stream) = std::net::TcpStream::connect(&address) else {
                std::thread::park_timeout(Duration::from_millis(50));
                continue;
            };
            for ask in [Call::Describe { version: 1 }, Call::Subscribe { first: 1 }] {
                let mut bytes = Vec::new();
                ask.encode(&mut bytes);
                let _ = std::io::Write::write_all(&mut stream, &bytes);
            }
            let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
            let mut few = [0; 512];
            while !stop.load(Ordering::SeqCst) && matches!(stream.read(&mut few), Ok(1..)) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    })
}

/// Checks a record against the market; returns how many packets there are up to the first gap.
/// Only behind `sure` there may be one: what an exchange sent and forgot when it was killed, it has
/// again once its session has come so far.
fn recorded(path: &Path, market: &SyntheticMarket, sure: u64) -> u64 {
    let storage = betacrew::storage::FileStorage::read(path).unwrap();
    let (file, _) = TapeFile::open(storage, OpenMode::Index).unwrap();
    let (mut reading, mut count) = (file.in_order(1), 0);
    while let Some(piece) = reading.next().unwrap() {
        for frame in piece.packets() {
            let seq = sequence_of(frame);
            assert_eq!(*frame, encode(&Frame::Packet(market.packet(seq))), "{seq}");
            assert!(seq == count + 1 || count >= sure, "{seq} after {count}, {sure} are sure");
            count += u64::from(seq == count + 1);
        }
    }
    count
}

/// The last packet that an exchange has so far.
fn last(address: &str) -> u64 {
    let mut stream = connect(address.parse().unwrap());
    call(&mut stream, Call::Describe { version: 1 });
    match feed::wire::decode(&crate::support::read_frame(&mut stream)) {
        Ok(Frame::Info(info)) => info.last,
        other => panic!("{other:?}"),
    }
}

/// Counts of what was done, and maximum memory of the client and an exchange.
#[derive(Default, Debug)]
struct Told {
    client_kills: u32,
    client_stops: u32,
    exchange_kills: u32,
    packets: u64,
    memory: [u64; 2],
}

fn chaos(plan: Plan) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(plan.seed);
    let market = SyntheticMarket::seeded(plan.seed, MAX_PACKET_SEQ);
    let words =
        |pace: u32| [format!("market:{}", plan.seed), format!("{pace}/s"), plan.seed.to_string()];
    let mut exchanges: Vec<Exchange> = (0..plan.lines)
        .map(|line| {
            let record = folder.path().join(format!("exchange-{line}.tape"));
            Exchange::start(&words(plan.rate), record.to_str().unwrap().to_owned(), "quarter")
        })
        .collect();
    let addresses: Vec<String> = exchanges.iter().map(Exchange::address).collect();
    let (seen, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let slow = slow_client(addresses[0].clone(), Arc::clone(&stop));
    let mut client = Client::start(folder.path(), &addresses, &seen);
    let mut told = Told::default();
    let until = Instant::now() + plan.time;
    while Instant::now() < until {
        // Time is what a soak is made of.
        std::thread::sleep(Duration::from_millis(rng.between(100, 1500).into()));
        told.memory[0] = told.memory[0].max(client.resident());
        told.memory[1] = told.memory[1].max(resident(exchanges[0].process.child.id()));
        match rng.below(5) {
            0 => {
                client.end(Signal::KILL);
                client = Client::start(folder.path(), &addresses, &seen);
                told.client_kills += 1;
            }
            1 => {
                client.end(Signal::INT);
                client = Client::start(folder.path(), &addresses, &seen);
                told.client_stops += 1;
            }
            2 | 3 => {
                let which = rng.below(plan.lines as u32) as usize;
                let scenario = SCENARIOS[rng.below(SCENARIOS.len() as u32) as usize];
                exchanges[which].restart(&words(plan.rate), scenario);
                told.exchange_kills += 1;
            }
            _ => {}
        }
    }
    // Nothing goes wrong any more: everything that any exchange has comes.
    exchanges.iter_mut().for_each(|exchange| exchange.restart(&words(1), "clean"));
    told.packets = addresses.iter().map(|address| last(address)).max().unwrap();
    let patience = Instant::now() + PATIENCE;
    while seen.load(Ordering::SeqCst) < told.packets {
        let have = seen.load(Ordering::SeqCst);
        assert!(Instant::now() < patience, "{have} of {} packets; {plan:?}", told.packets);
        std::thread::sleep(Duration::from_millis(20));
    }
    client.end(Signal::INT);
    stop.store(true, Ordering::SeqCst);
    slow.join().unwrap();
    assert!(recorded(&folder.path().join("client.tape"), &market, told.packets) >= told.packets);
    for exchange in &exchanges {
        exchange.process.signal(Signal::INT);
    }
    for exchange in exchanges {
        assert_eq!(exchange.process.ends().0, 0);
        assert!(recorded(Path::new(&exchange.record), &market, MAX_PACKET_SEQ) > 0);
    }
    told
}

/// A number from the environment.
fn told<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn both_ends_are_killed_and_nothing_is_lost() {
    for lines in 1..=2 {
        let plan = Plan { time: Duration::from_secs(6), rate: 20_000, lines, seed: lines as u64 };
        let told = chaos(plan);
        assert!(told.packets > 20_000 && told.memory[0] < 64 << 20, "{plan:?}: {told:?}");
    }
}

#[test]
#[ignore = "takes as long as you like: cargo xtask soak"]
fn soak() {
    let plan = Plan {
        time: Duration::from_secs(told::<u64>("BETACREW_SOAK_MINUTES", 10) * 60),
        rate: told("BETACREW_SOAK_RATE", 200_000),
        lines: told("BETACREW_SOAK_LINES", 2),
        seed: told("BETACREW_SOAK_SEED", 1),
    };
    println!("{plan:?}");
    let told = chaos(plan);
    let [client, exchange] = told.memory.map(|bytes| bytes as f64 / 1024.0 / 1024.0);
    println!(
        "{} packets, each once, in order, equal. The client was killed {} times and stopped {} \
         times, exchanges were killed {} times.\nAt most {client:.1} MiB of memory (client) and \
         {exchange:.1} MiB (exchange).",
        told.packets, told.client_kills, told.client_stops, told.exchange_kills
    );
    assert!(told.memory.iter().all(|&bytes| bytes < 64 << 20), "{told:?}");
}
