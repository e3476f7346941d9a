//! Memory and time of a huge session: recorded with and without loss, inspected, and
//! served again, by the program itself. The exchange makes its packets as it sends them.
//!
//! `cargo bench -p betacrew --bench huge -- [PACKETS]` (200,000,000 if not given: 3.4 GB of disk,
//! in the target folder or in `BETACREW_BENCH_DIR`, while it runs).
//!
//! With `itch`, a day of ITCH messages (10,000,000 if not given: 2.5 GB of disk) is converted to
//! each format and back, inspected, served and recorded:
//! `cargo bench -p betacrew --bench huge --features columnar,sqlite -- itch [MESSAGES]`.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/it/endless.rs"]
mod endless;

use betacrew::net::{self, Stop};
use endless::{Endless, memory_of, watched};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::payload::itch50::SyntheticMarket;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    // `cargo test --benches` runs it too, and must not fill a disk.
    let has = |word: &str| std::env::args().skip(1).any(|arg| arg == word);
    if !has("--bench") {
        return;
    }
    let count = std::env::args().skip(1).find_map(|arg| arg.replace('_', "").parse().ok());
    let folder = std::env::var_os("BETACREW_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    if has("itch") {
        return itch_day(&folder, count.unwrap_or(10_000_000));
    }
    let packets = count.unwrap_or(200_000_000);
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
        drop(serve("127.0.0.1:0", &tape));
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

/// Process that is killed once it is no longer needed.
struct Served {
    child: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Measures the time until a tape is served.
fn serve(listen: &str, tape: &Path) -> Served {
    let began = Instant::now();
    let mut command = betacrew(&["serve", "--listen", listen, "--tape"], tape);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let time = began.elapsed();
    let address = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    row("serve, until it listens", 0, time, memory_of(&child, "VmHWM").unwrap());
    Served { child, address }
}

/// Formats of a day of ITCH messages.
const FORMATS: [&str; 8] =
    ["tape", "itch.gz", "csv", "ndjson", "json", "parquet", "arrow", "sqlite"];

/// Maximum memory of a process that reads or writes a day of any length, in KiB.
const MEMORY_MAX: u64 = 128 * 1024;

/// Converts a day of ITCH messages to each format and back, inspects, serves and records it.
fn itch_day(folder: &Path, messages: u64) {
    let folder = folder.join(format!("huge-itch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let (day, again) = (path("day.itch"), path("again.itch"));
    write_day(&day, messages);
    println!("{messages} ITCH messages, {} bytes in {}", size(&day), day.display());
    println!("what                         time      messages/s   most memory");
    let step = |what: &str, args: &[&str], last: &Path| {
        let began = Instant::now();
        let mut command = betacrew(args, last);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (status, most) = watched(&mut child, Duration::MAX, "VmHWM");
        assert!(status.success(), "{what}");
        assert!(most < MEMORY_MAX, "{what}: {most} KiB");
        row(what, messages, began.elapsed(), most);
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for format in FORMATS {
        let other = path(&format!("day.{format}"));
        let probe = betacrew(&["inspect"], &other).output().unwrap();
        if String::from_utf8_lossy(&probe.stderr).contains("built without") {
            println!("{format}: not built in");
            continue;
        }
        step(&format!("itch to {format}"), &["convert", &text(&day)], &other);
        step(&format!("{format} to itch"), &["convert", &text(&other)], &again);
        assert!(are_equal(&day, &again), "{format}: other bytes");
        println!("    {} bytes", size(&other));
        std::fs::remove_file(&other).unwrap();
        std::fs::remove_file(&again).unwrap();
    }
    step("inspect", &["inspect"], &day);
    step("inspect --book", &["inspect", "--book"], &day);
    let served = serve("soup://127.0.0.1:0", &day);
    step("fetch over SoupBinTCP", &["fetch", &served.address, "-o"], &again);
    let most = memory_of(&served.child, "VmHWM").unwrap();
    assert!(most < MEMORY_MAX && are_equal(&day, &again), "{most} KiB");
    row("serve, until all is sent", 0, Duration::ZERO, most);
    drop(served);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Writes a synthetic day, each message behind its length.
fn write_day(path: &Path, messages: u64) {
    let market = SyntheticMarket::new(3, messages);
    let mut day = BufWriter::new(File::create(path).unwrap());
    for index in 0..messages {
        let message = market.message(index);
        day.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
        day.write_all(&message).unwrap();
    }
    day.flush().unwrap();
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Returns whether two files have the same bytes.
fn are_equal(one: &Path, other: &Path) -> bool {
    let open = |path: &Path| BufReader::new(File::open(path).unwrap());
    size(one) == size(other)
        && open(one).bytes().map_while(Result::ok).eq(open(other).bytes().map_while(Result::ok))
}

#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn row(what: &str, packets: u64, time: Duration, most: u64) {
    let seconds = time.as_secs_f64();
    let rate = packets as f64 / seconds / 1e6;
    let rate = if packets == 0 { String::new() } else { format!("{rate:.1} M") };
    println!("{what:27} {seconds:8.3} s {rate:>11} {:9.1} MiB", most as f64 / 1024.0);
}
