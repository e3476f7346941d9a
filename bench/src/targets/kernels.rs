//! Kernels: work on bytes in memory, and on the way into a file.

use super::Plan;
use super::exchange::in_process;
use crate::Result;
use crate::measure::{By, Entry, here, kernel, side_by_side};
use crate::raw;
use crate::report::{Row, Want, count};
use bench::hot::{Nowhere, parted, take};
use betacrew::format::json;
use betacrew::net::{self, Stop};
use betacrew::record::store::{RecordingStore, SyncPolicy};
use feed::client::{Recorder, RecorderOptions};
use feed::faults::scenario::Scenario;
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, decode};
use serde::ser::{SerializeSeq, Serializer};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Target 9.
pub(super) fn scan(plan: &Plan) -> Result<Vec<Row>> {
    let (kept, _) = parted(&Tape::sample(1_000_000));
    let bytes = raw::bytes_of(&kept);
    let mut copy = vec![0; bytes.len()];
    let copying = || {
        Ok(kernel(|| {
            copy.copy_from_slice(black_box(&bytes));
            black_box(&mut copy);
        }))
    };
    let scanning = || {
        Ok(kernel(|| {
            black_box(take(black_box(&kept), &mut Nowhere));
        }))
    };
    let entries = vec![Entry::new("memcpy", copying), Entry::new("scan", scanning)];
    let all = side_by_side(plan.rounds.max(31), entries)?;
    let what = (9, "scan of 750,000 packets with 187,000 gaps", "memcpy of them (12.7 MB)");
    Ok(vec![Row::faster(what, By::Cpu, (&all[1], &all[0]), Want::AtLeast(0.45))])
}

/// Records one pass of what an exchange sends, asking for nothing again.
fn record(exchange: std::net::SocketAddr, path: &Path) -> Result<()> {
    let options = RecorderOptions {
        classic: true,
        passes: Some(1),
        resend_max: 0,
        ..RecorderOptions::default()
    };
    let (mut capture, _) =
        RecordingStore::open(path, SyncPolicy::Never).map_err(|error| error.to_string())?;
    let mut recorder = Recorder::new(options, 1);
    net::fetch(&[vec![exchange].into()], &mut recorder, &mut capture, &Stop::new(), |_| {})?;
    capture.end().map_err(|error| error.to_string())?;
    Ok(())
}

/// Target 10.
pub(super) fn capture(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(4_000_000, 1_000_000);
    let (kept, _) = parted(&Tape::sample(packets));
    let ready = raw::bytes_of(&kept);
    let least = ready.len() as u64;
    let exchange = raw::sender(ready)?;
    let mut rows = Vec::new();
    for (place, folder) in [("disk", &plan.folder), ("tmpfs", &plan.memory)] {
        let path = folder.join("capture.tape");
        let base = || {
            let _ = fs::remove_file(&path);
            here(|| {
                let mut file = File::create(&path)?;
                let mut stream = TcpStream::connect(exchange)?;
                stream.write_all(&raw::STREAM)?;
                raw::drain(&mut stream, |bytes| Ok(file.write_all(bytes)?)).map(drop)
            })
        };
        let ours = || {
            let _ = fs::remove_file(&path);
            let cost = here(|| record(exchange, &path))?;
            match fs::metadata(&path)?.len() >= least {
                true => Ok(cost),
                false => Err("not all was recorded".into()),
            }
        };
        let entries = vec![Entry::new("raw", base), Entry::new("betacrew", ours)];
        let all = side_by_side(plan.rounds.max(15), entries)?;
        let _ = fs::remove_file(&path);
        let work =
            format!("stream to tape file, {} packets, 25 % dropped, {place}", count(packets));
        let what = (10, work.as_str(), "draining and writing the same bytes");
        let pair = (&all[1], &all[0]);
        let want = if place == "disk" { Want::AtLeast(0.80) } else { Want::Shown };
        rows.push(Row::faster(what, By::Cpu, pair, want));
        rows.push(Row::faster(what, By::Wall, pair, Want::Shown));
    }
    Ok(rows)
}

/// A packet as `serde` has it, without anything being copied.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Row5<'a> {
    symbol: &'a str,
    buy_sell_indicator: &'a str,
    quantity: i32,
    price: i32,
    sequence: u64,
}

/// Writes packets with `serde_json`, one after the other.
pub(super) fn serde_text(tape: &Tape, out: impl Write) -> Result<()> {
    let mut text = serde_json::Serializer::pretty(out);
    let mut array = text.serialize_seq(None)?;
    for frame in tape.frames() {
        let Ok(Frame::Packet(packet)) = decode(frame) else { continue };
        let symbol = std::str::from_utf8(packet.symbol.trimmed())?;
        let side = if packet.side.letter() == b'B' { "B" } else { "S" };
        array.serialize_element(&Row5 {
            symbol,
            buy_sell_indicator: side,
            quantity: packet.quantity,
            price: packet.price,
            sequence: packet.sequence,
        })?;
    }
    Ok(array.end()?)
}

/// Target 11.
pub(super) fn json_text(plan: &Plan) -> Result<Vec<Row>> {
    let tape = Tape::sample(1_000_000);
    let ready = super::jobs::text(1_000_000)?;
    let mut copy = vec![0; ready.len()];
    let mut held: Vec<u8> = Vec::with_capacity(ready.len() + 1);
    let mut made: Vec<u8> = Vec::with_capacity(ready.len() + 1);
    let copying = || {
        Ok(kernel(|| {
            copy.copy_from_slice(black_box(&ready));
            black_box(&mut copy);
        }))
    };
    let mut failed = false;
    let ours = || Ok(kernel(|| drop(json::write([tape.frames()], &mut io::sink()))));
    let whole = || {
        made.clear();
        Ok(kernel(|| drop(json::write([tape.frames()], &mut made))))
    };
    let serde = || {
        held.clear();
        Ok(kernel(|| failed |= serde_text(&tape, &mut held).is_err()))
    };
    let entries = vec![
        Entry::new("memcpy", copying),
        Entry::new("pieces", ours),
        Entry::new("whole", whole),
        Entry::new("serde_json", serde),
    ];
    let all = side_by_side(plan.rounds.max(15), entries)?;
    if failed || made != ready || held != ready {
        return Err("two JSON texts differ".into());
    }
    let (memcpy, serde) = ("memcpy of the text (124 MB)", "serde_json, streaming");
    let pieces = "JSON text of 1,000,000 packets, in pieces";
    let whole = "JSON text of 1,000,000 packets, kept";
    let row = |work, against, ours: usize, theirs: usize, want| {
        Row::faster((11, work, against), By::Cpu, (&all[ours], &all[theirs]), want)
    };
    Ok(vec![
        row(pieces, memcpy, 1, 0, Want::AtLeast(0.5)),
        row(pieces, serde, 1, 3, Want::AtLeast(5.0)),
        row(whole, memcpy, 2, 0, Want::Shown),
        row(whole, serde, 2, 3, Want::Shown),
    ])
}

/// Measures the recorder over a whole stream without loss.
pub(super) fn record_in_memory(plan: &Plan) -> Result<Vec<Row>> {
    let packets = plan.size(4_000_000, 1_000_000);
    let tape = Arc::new(Tape::sample(packets));
    let ready = raw::sender(raw::bytes_of(tape.frames()))?;
    let exchange = in_process(tape, Scenario::clean(7))?;
    let base = || here(|| raw::stream(ready).map(drop));
    let ours = || {
        here(|| {
            let mut recorder = Recorder::new(RecorderOptions::default(), 1);
            let lines = [vec![exchange].into()];
            net::fetch(&lines, &mut recorder, &mut Nowhere, &Stop::new(), |_| {})?;
            match recorder.outcome() {
                Some(outcome) if outcome.is_complete() => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        })
    };
    let entries = vec![Entry::new("raw", base), Entry::new("betacrew", ours)];
    let all = side_by_side(plan.rounds.max(15), entries)?;
    let work = format!("exchange and recorder, {} packets, nothing kept", count(packets));
    let what = (10, work.as_str(), "sending ready bytes and draining them");
    Ok(vec![Row::faster(what, By::Cpu, (&all[1], &all[0]), Want::Shown)])
}
