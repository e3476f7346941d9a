//! Latency of a packet from the exchange's write to its line on the stdout of `fetch --follow -o
//! -`, beside a program that only passes bytes on: `latency [SECONDS]`.
//!
//! Exchange and reader are this process, so that one clock gives both times. A packet's time is
//! taken before the write that contains it, and after the read that returns it.

use feed::tape::market::SyntheticMarket;
use feed::wire::{FRAME_LEN, Frame, Info, MAX_PACKET_SEQ, encode};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Packets a second.
const RATES: [u64; 4] = [1_000, 10_000, 50_000, 200_000];
const SECONDS: u64 = 5;
/// Interval between checks for due packets.
const STEP: Duration = Duration::from_micros(20);

/// Packets that the exchange sends, with their times.
struct Feed {
    rate: u64,
    frames: Vec<u8>,
    /// When each packet was written, in nanoseconds since `began`.
    sent: Vec<AtomicU64>,
    began: Instant,
}

impl Feed {
    fn new(rate: u64, seconds: u64) -> Result<Self> {
        let count = rate * seconds;
        let market = SyntheticMarket::seeded(1, MAX_PACKET_SEQ);
        let frames = (1..=count).flat_map(|seq| encode(&Frame::Packet(market.packet(seq))));
        let sent = (0..count).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { rate, frames: frames.collect(), sent, began: Instant::now() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// One connection of the exchange: describes itself, and to a subscriber plays everything.
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        stream.read_exact(&mut [0; 2])?;
        let session = feed::wire::SessionId::of(*b"LATE");
        stream.write_all(&encode(&Frame::Info(Info { session, version: 1, first: 1, last: 0 })))?;
        stream.read_exact(&mut [0; 6])?;
        let (start, count) = (Instant::now(), self.sent.len());
        let mut done = 0;
        while done < count {
            let due = start.elapsed().as_nanos() * u128::from(self.rate) / 1_000_000_000;
            let due = usize::try_from(due)?.min(count);
            if due > done {
                let now = self.now();
                self.sent[done..due].iter().for_each(|sent| sent.store(now, Ordering::Relaxed));
                stream.write_all(&self.frames[done * FRAME_LEN..due * FRAME_LEN])?;
                done = due;
            }
            thread::sleep(STEP);
        }
        stream.write_all(&encode(&Frame::End(u64::try_from(count)? + 1)))?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    }

    /// Listens, in threads that live as long as the process.
    fn listen(self: &Arc<Self>) -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let feed = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let feed = Arc::clone(&feed);
                // A client that has what it wants closes connections.
                thread::spawn(move || feed.serve(stream).is_ok());
            }
        });
        Ok(address)
    }

    /// Returns the latency of each packet through `command`, in order, without the first tenth.
    /// `ends` returns the number of packets that end in bytes, given the number of bytes before.
    fn latencies(
        &self,
        command: &mut Command,
        ends: fn(&[u8], usize) -> usize,
    ) -> Result<Vec<u64>> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut out = child.stdout.take().ok_or("no stdout")?;
        let (mut buffer, mut bytes, mut took) = (vec![0; 1 << 16], 0, Vec::new());
        loop {
            let count = out.read(&mut buffer)?;
            let now = self.now();
            if count == 0 {
                break;
            }
            for _ in 0..ends(&buffer[..count], bytes) {
                let sent = self.sent.get(took.len()).ok_or("more came than was sent")?;
                took.push(now.saturating_sub(sent.load(Ordering::Relaxed)));
            }
            bytes += count;
        }
        child.wait()?;
        if took.len() != self.sent.len() {
            return Err(format!("{} of {} packets came", took.len(), self.sent.len()).into());
        }
        let mut took = took.split_off(took.len() / 10);
        took.sort_unstable();
        Ok(took)
    }
}

fn lines(bytes: &[u8], _: usize) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn frames(bytes: &[u8], before: usize) -> usize {
    (before + bytes.len()) / FRAME_LEN - before / FRAME_LEN
}

/// Copies what a subscription brings to stdout: what nobody can be faster than.
fn pass(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&[3, 1, 5, 0, 0, 0, 0, 1])?;
    stream.read_exact(&mut [0; FRAME_LEN])?;
    let (mut buffer, mut last) = (vec![0; 1 << 16], Vec::new());
    let mut out = std::io::stdout().lock();
    loop {
        let count = stream.read(&mut buffer)?;
        last.extend_from_slice(&buffer[..count]);
        // The end of session is no packet.
        let end = is_end(&last);
        let whole = last.len() - if end { FRAME_LEN } else { 0 };
        out.write_all(&last[..whole])?;
        out.flush()?;
        last.clear();
        if end || count == 0 {
            return Ok(());
        }
    }
}

fn is_end(bytes: &[u8]) -> bool {
    let last = bytes.last_chunk::<FRAME_LEN>();
    last.is_some_and(|last| matches!(feed::wire::decode(last), Ok(Frame::End(_))))
}

/// A program that lies beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn micros(sorted: &[u64], percent: usize) -> f64 {
    let nanos = sorted.get((sorted.len() - 1) * percent / 100).copied().unwrap_or(0);
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

fn measure(seconds: u64) -> Result<()> {
    println!("| packets a second | passed on, p50 | p99 | `fetch -f -o -`, p50 | p99 |");
    println!("|---|---|---|---|---|");
    for rate in RATES {
        let mut row = format!("| {rate} |");
        for follow in [false, true] {
            let feed = Arc::new(Feed::new(rate, seconds)?);
            let address = feed.listen()?.to_string();
            let (mut command, ends) = if follow {
                let mut command = Command::new(beside("betacrew")?);
                command.args(["fetch", "--follow", &address, "-o", "-"]);
                (command, lines as fn(&[u8], usize) -> usize)
            } else {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["pass", &address]);
                (command, frames as fn(&[u8], usize) -> usize)
            };
            let took = feed.latencies(&mut command, ends)?;
            row += &format!(" {:.0} µs | {:.0} µs |", micros(&took, 50), micros(&took, 99));
        }
        println!("{row}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pass", address] => pass(address),
        [] => measure(SECONDS),
        [seconds] => seconds.parse().map_err(Into::into).and_then(measure),
        _ => Err("usage: latency [SECONDS]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latency: {error}");
            ExitCode::FAILURE
        }
    }
}
