//! Cost of an open dashboard for the feed: `cargo bench -p betacrew --bench page`.
//!
//! An exchange and a client follow a live session at full pace, with and without somebody who reads
//! both pages' events and strips; CPU time of each one's loop a packet, medians of rounds in turn.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PACE: &str = "200000/s";
const SECONDS: u64 = 4;
const ROUNDS: usize = 9;

struct Program {
    child: Child,
    feed: String,
    http: String,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_betacrew"));
        command.args(args).args(["--http", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut program = Self { child, feed: String::new(), http: String::new() };
        while program.http.is_empty() {
            let line = lines.next().expect("a line").expect("text");
            if let Some(address) = line.strip_prefix("listening on ") {
                program.feed = address.to_owned();
            } else if let Some(address) = line.strip_prefix("http on ") {
                program.http = address.to_owned();
            }
        }
        program
    }

    /// CPU time of the thread that runs the loop, in nanoseconds.
    fn spent(&self) -> u64 {
        let id = self.child.id();
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat")).expect("Linux");
        text.split(' ').next().and_then(|spent| spent.parse().ok()).expect("a number")
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.http).expect("connects");
        let host = &self.http;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sends");
        stream
    }

    fn packets(&self) -> u64 {
        let mut text = String::new();
        self.ask("/api/state").read_to_string(&mut text).expect("an answer");
        let after = text.split("\"packets\":").nth(1).expect("a count");
        after.split(',').next().and_then(|count| count.parse().ok()).expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds a packet of the exchange's loop and of the client's.
fn round(watched: bool) -> [f64; 2] {
    let folder = tempfile::tempdir().expect("room");
    let tape = folder.path().join("x.tape");
    let exchange = Program::start(&["serve", "--live", "--pace", PACE, "--listen", "127.0.0.1:0"]);
    let args = ["fetch", "-f", &exchange.feed, "--tape", tape.to_str().expect("a path")];
    let client = Program::start(&[&args[..], &["-o", "/dev/null", "--format", "csv"]].concat());
    let programs = Arc::new([exchange, client]);
    let over = Arc::new(AtomicBool::new(false));
    let mut watchers = Vec::new();
    for at in (0..2).filter(|_| watched) {
        let (all, stop) = (Arc::clone(&programs), Arc::clone(&over));
        watchers.push(std::thread::spawn(move || {
            let mut events = all[at].ask("/api/events");
            let mut some = [0; 65_536];
            while !stop.load(Ordering::SeqCst) && matches!(events.read(&mut some), Ok(1..)) {
                // As the page does: a strip after each event.
                let mut strip = Vec::new();
                let _ = all[at].ask("/api/strip?cells=1200").read_to_end(&mut strip);
            }
        }));
    }
    std::thread::sleep(Duration::from_secs(1));
    let look = || [0, 1].map(|at: usize| (programs[at].spent(), programs[at].packets()));
    let before = look();
    std::thread::sleep(Duration::from_secs(SECONDS));
    let after = look();
    over.store(true, Ordering::SeqCst);
    watchers.into_iter().for_each(|watcher| watcher.join().expect("it has read"));
    [0, 1].map(|at| {
        let spent = (after[at].0 - before[at].0) as f64;
        spent / (after[at].1 - before[at].1).max(1) as f64
    })
}

fn main() {
    let mut costs: [[Vec<f64>; 2]; 2] = Default::default();
    for number in 0..ROUNDS * 2 {
        let watched = number % 2;
        let cost = round(watched == 1);
        for at in 0..2 {
            costs[at][watched].push(cost[at]);
        }
    }
    for (name, costs) in ["exchange", "client"].iter().zip(&mut costs) {
        let [alone, watched] = costs.each_mut().map(|rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        });
        let more = (watched / alone - 1.0) * 100.0;
        println!(
            "{name}: {alone:.0} ns of its loop's CPU a packet, {watched:.0} with a page open: \
             {more:+.1} %"
        );
    }
}
