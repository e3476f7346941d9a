//! Memory and time of a huge session: recorded with and without loss, inspected, and
//! served again, by the program itself. The exchange makes its packets as it sends them.
//!
//! `cargo bench -p betacrew --bench huge -- [PACKETS]` (200,000,000 if not given: 3.4 GB of disk,
//! in the target folder or in `BETACREW_BENCH_DIR`, while it runs).

#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/it/endless.rs"]
mod endless;

use betacrew::net::{self, Stop};
use endless::{Endless, memory_of, watched};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    // `cargo test --benches` runs it too, and must not fill a disk.
    let mut args = std::env::args().skip(1);
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let packets = args.find_map(|arg| arg.replace('_', "").parse().ok()).unwrap_or(200_000_000);
    let folder = std::env::var_os("BETACREW_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    println!("{packets} packets, {} bytes of them", packets * 17);
    println!("what                         time       packets/s   most memory");
    for chance in ["0", "0.25"] {
        let tape = folder.join(format!("huge-{}.tape", std::process::id()));
        let _ = std::fs::remove_file(&tape);
        record(&tape, packets, chance);
        let began = Instant::now();
        let mut inspect = betacrew(&["inspect"], &tape).stdout(Stdio::null()).spawn().unwrap();
        let (status, most) = watched(&mut inspect, Duration::MAX, "VmHWM");
        assert!(status.success());
        row("inspect", packets, began.elapsed(), most);
        serve(&tape);
        let size = std::fs::metadata(&tape).unwrap().len();
        println!("the tape file has            {size} bytes");
        std::fs::remove_file(&tape).unwrap();
    }
}

fn betacrew(args: &[&str], tape: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_betacrew"));
    command.args(args).arg(tape).stdin(Stdio::null());
    command
}

/// Records the session as `fetch` does, and writes it as CSV into nothing.
fn record(tape: &Path, packets: u64, chance: &str) {
    let scenario = Scenario::losing(7, chance.parse().unwrap());
    let mut player = MockExchange::new(Endless::new(packets), scenario);
    let listener = net::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = Stop::new();
    let exchange = std::thread::spawn({
        let stop = stop.clone();
        move || net::serve(vec![listener], &mut player, &stop, |_, _| {})
    });
    let args = ["fetch", &address, "--format", "csv", "-o", "/dev/null", "--tape"];
    let began = Instant::now();
    let mut fetch = betacrew(&args, tape).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(fetch.stderr.take().unwrap()).lines();
    let said = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let (status, most) = watched(&mut fetch, Duration::MAX, "VmHWM");
    stop.stop();
    exchange.join().unwrap().unwrap();
    let said = said.join().unwrap();
    assert!(status.success(), "{said:#?}");
    row(&format!("fetch, loss {chance}, and CSV"), packets, began.elapsed(), most);
    said.iter().for_each(|line| println!("    {}", line.trim_end()));
}

/// Measures the time until a tape is served.
fn serve(tape: &Path) {
    let began = Instant::now();
    let mut command = betacrew(&["serve", "--listen", "127.0.0.1:0", "--tape"], tape);
    let mut serve = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let time = began.elapsed();
    assert!(line.starts_with("listening"), "{line}");
    let most = memory_of(&serve, "VmHWM").unwrap();
    serve.kill().unwrap();
    serve.wait().unwrap();
    row("serve, until it listens", 0, time, most);
}

#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn row(what: &str, packets: u64, time: Duration, most: u64) {
    let seconds = time.as_secs_f64();
    let rate = packets as f64 / seconds / 1e6;
    let rate = if packets == 0 { String::new() } else { format!("{rate:.1} M") };
    println!("{what:27} {seconds:8.3} s {rate:>11} {:9.1} MiB", most as f64 / 1024.0);
}
