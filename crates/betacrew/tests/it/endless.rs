//! A tape that takes no memory, and how much memory a process takes.

use feed::base::rng::mix;
use feed::base::seq::{Seq, SeqRange};
use feed::tape::source::TapeSource;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, Messages, RawFrame, SessionId, encode};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Number of packets that are made at once.
const AT_ONCE: u64 = 4096;

/// A tape of any length whose packets are made from their sequences when they are asked for.
#[derive(Debug)]
pub(crate) struct Endless {
    last: Seq,
    made: Vec<RawFrame>,
}

impl Endless {
    pub(crate) fn new(last: Seq) -> Self {
        Self { last, made: Vec::new() }
    }
}

/// The packet with this sequence.
pub(crate) fn made(sequence: Seq) -> RawFrame {
    let bits = mix(sequence);
    let [symbol, side, quantity, price, ..] = bits.to_le_bytes();
    encode(&Frame::Packet(Packet {
        symbol: Symbol([b'S', b'Y', b'M', b'A' + symbol % 8]),
        side: if side.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        quantity: 1 + i32::from(quantity),
        price: 10_000 + i32::from(price),
        sequence,
    }))
}

impl TapeSource for Endless {
    fn last(&self) -> Seq {
        self.last
    }

    fn session(&self) -> SessionId {
        SessionId::of(*b"HUGE")
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let last = range.last().min(self.last).min(range.first().saturating_add(AT_ONCE - 1));
        self.made.clear();
        self.made.extend((range.first()..=last).map(made));
        Messages::Packets(&self.made)
    }
}

/// Waits for a process to end. Returns the highest value that a field of `/proc/PID/status` had, in
/// KiB: `VmHWM` is memory with the pages of the program itself, `RssAnon` what it has allocated.
///
/// # Panics
/// Panics if the process takes longer than `limit`; it is killed then.
pub(crate) fn watched(child: &mut Child, limit: Duration, field: &str) -> (ExitStatus, u64) {
    let mut most = 0;
    let began = Instant::now();
    loop {
        most = most.max(memory_of(child, field).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (status, most);
        }
        let in_time = began.elapsed() < limit || child.kill().is_err();
        assert!(in_time, "process {} does not end within {limit:?}", child.id());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a field of `/proc/PID/status` in KiB, or nothing once the process has ended.
pub(crate) fn memory_of(child: &Child, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
