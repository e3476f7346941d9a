//! Cost of safety against power failures on this disk: a recording of 200 MB, written as fast
//! as it can be, with each policy of `fetch --sync`.
//!
//! `cargo bench -p betacrew --bench sync` (in the target folder, or in `BETACREW_BENCH_DIR`).

#![allow(clippy::unwrap_used, reason = "a benchmark")]

use betacrew::storage::FileStorage;
use feed::base::seq::to_index;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::SessionId;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// As much as a block holds.
const BLOCK: u64 = 3855;
const BLOCKS: u64 = 3052;
const ROUNDS: usize = 3;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let folder = std::env::var_os("BETACREW_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let tape = Tape::random(BLOCK * BLOCKS, 1);
    let bytes = tape.frames().len() * 17;
    println!("{} packets, {bytes} bytes; the best of {ROUNDS}", tape.len());
    println!("--sync         time     MB/s   syncs   median   slowest");
    for (name, interval, at_end) in [
        ("never", None, false),
        ("end", None, true),
        ("1s", Some(Duration::from_secs(1)), true),
        ("100ms", Some(Duration::from_millis(100)), true),
        ("10ms", Some(Duration::from_millis(10)), true),
        ("each block", Some(Duration::ZERO), true),
    ] {
        let runs = (0..ROUNDS).map(|_| record(&folder, &tape, interval, at_end));
        let (time, mut syncs) = runs.min_by_key(|(time, _)| *time).unwrap();
        syncs.sort_unstable();
        let ms = |time: Option<&Duration>| {
            time.map_or_else(
                || "-".to_owned(),
                |time| format!("{:.2} ms", time.as_secs_f64() * 1e3),
            )
        };
        #[expect(clippy::cast_precision_loss, reason = "to be read")]
        let rate = bytes as f64 / 1e6 / time.as_secs_f64();
        println!(
            "{name:10} {:6.3} s {rate:8.0} {:7} {:>8} {:>9}",
            time.as_secs_f64(),
            syncs.len(),
            ms(syncs.get(syncs.len() / 2)),
            ms(syncs.last()),
        );
    }
}

/// Records into a new file; returns how long that took, and each sync.
fn record(
    folder: &Path,
    tape: &Tape,
    interval: Option<Duration>,
    at_end: bool,
) -> (Duration, Vec<Duration>) {
    let path = folder.join(format!("sync-{}.tape", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let head = FileHead { session: Some(SessionId::of(*b"SYNC")), created: 1, salt: 2 };
    let mut file = TapeFile::create(FileStorage::write(&path).unwrap(), head).unwrap();
    let origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
    let mut syncs = Vec::new();
    let began = Instant::now();
    let mut last = began;
    let mut sync = |file: &mut TapeFile<FileStorage>| {
        let began = Instant::now();
        file.sync().unwrap();
        syncs.push(began.elapsed());
    };
    for block in tape.frames().chunks(to_index(BLOCK)) {
        file.append(origin, 1, block).unwrap();
        file.flush().unwrap();
        if interval.is_some_and(|interval| last.elapsed() >= interval) {
            sync(&mut file);
            last = Instant::now();
        }
    }
    file.finish(1).unwrap();
    if at_end {
        sync(&mut file);
    }
    let time = began.elapsed();
    drop(file);
    std::fs::remove_file(&path).unwrap();
    (time, syncs)
}
