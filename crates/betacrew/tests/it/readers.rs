//! Exchange of files with other programs: `readers.py` with pyarrow, pandas, polars,
//! duckdb and Python's own modules.

use crate::in_time::CommandInTime;
use crate::support::{betacrew, run};
use betacrew::storage::FileStorage;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, encode};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

const MODULES: &str = "pyarrow pandas polars duckdb";

fn python(args: &[&str]) -> std::io::Result<Output> {
    crate::support::python("readers.py", args)
}

fn readers() -> bool {
    crate::support::python_has("readers.py", MODULES)
}

/// Writes a tape with these symbols and all kinds of numbers and arrivals, and its rows as JSON.
fn tape(folder: &Path, symbols: &[[u8; 4]]) {
    let storage = FileStorage::write(&folder.join("x.tape")).unwrap();
    let head = FileHead { session: None, created: 0, salt: 1 };
    let mut file = TapeFile::create(storage, head).unwrap();
    let mut rows: Vec<Value> = Vec::new();
    let numbers = [0, 1, -1, i32::MIN, i32::MAX];
    for (place, symbol) in symbols.iter().enumerate() {
        let sequence = place as u64 + 1;
        let side = if place % 2 == 0 { Side::Buy } else { Side::Sell };
        let (quantity, price) = (numbers[place % 5], numbers[place % 4]);
        let packet = Packet { symbol: Symbol(*symbol), side, quantity, price, sequence };
        let resend = Origin { line: 1, source: Source::Resend };
        let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
        let (origin, origin_text) =
            if place % 3 == 0 { (resend, "resend, line 2") } else { (stream, "pass 1") };
        let arrived = if place % 10 == 0 { 0 } else { 1_700_000_000_123_456_789 + place as u64 };
        file.append(origin, arrived, &[encode(&Frame::Packet(packet))]).unwrap();
        file.flush().unwrap();
        let letter = char::from(side.letter()).to_string();
        let arrived = (arrived > 0).then_some(arrived);
        let symbol = packet.symbol.to_string();
        rows.push(json!([symbol, letter, quantity, price, sequence, arrived, origin_text]));
    }
    file.finish(0).unwrap();
    fs::write(folder.join("expected.json"), Value::from(rows).to_string()).unwrap();
}

/// Ours to theirs, and theirs to ours.
fn there_and_back(symbols: &[[u8; 4]]) {
    if !readers() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tape(folder, symbols);
    let convert = |from: &str, to: &str| run(betacrew(&["convert", from, to]).current_dir(folder));
    for format in ["json", "ndjson", "csv", "parquet", "arrow", "sqlite"] {
        let (code, _, stderr) = convert("x.tape", &format!("x.{format}"));
        assert!(code == 0 || stderr.contains("built without"), "{stderr}");
    }
    let mut piped = betacrew(&["convert", "x.tape", "-", "--to", "arrow"]);
    let piped = piped.current_dir(folder).output_in_time().unwrap();
    fs::write(folder.join("x.stream"), piped.stdout).unwrap();
    for task in ["read", "write"] {
        let Output { status, stdout, stderr } = python(&[task, folder.to_str().unwrap()]).unwrap();
        let text = [stdout, stderr].concat();
        assert!(status.success(), "{}", String::from_utf8_lossy(&text));
    }
    for (from, to) in [("x.json", "json.ndjson"), ("s.ndjson", "seconds.ndjson")] {
        assert_eq!(convert(from, to).0, 0, "{from}");
    }
    let mut theirs = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let expected = match name.split_once('-').map(|(kind, _)| kind) {
            Some("y") if name.ends_with(".json") => "json.ndjson",
            Some("y") => "x.ndjson",
            Some("s") => "seconds.ndjson",
            _ => continue,
        };
        let (code, _, stderr) = convert(&name, "z.ndjson");
        if stderr.contains("built without") {
            continue;
        }
        assert_eq!(code, 0, "{name}: {stderr}");
        let same =
            fs::read(folder.join("z.ndjson")).unwrap() == fs::read(folder.join(expected)).unwrap();
        assert!(same, "{name}");
        fs::remove_file(folder.join("z.ndjson")).unwrap();
        theirs += 1;
    }
    assert!(theirs >= 9);
}

#[test]
fn others_read_what_we_write_and_we_what_they_write() {
    let names = [*b"AAPL", *b"AMZN", *b"MSFT", *b"META", *b"X   "];
    there_and_back(&(0..5000).map(|i| names[i % 5]).collect::<Vec<_>>());
}

#[test]
fn also_where_symbols_are_odd() {
    let mut symbols: Vec<[u8; 4]> = (1..=255).map(|byte| [byte, b'"', byte, b' ']).collect();
    for byte in *b"\",;\n\r\t\\ '\xe9" {
        symbols.extend([
            [byte, byte, byte, b'.'],
            [b' ', byte, b' ', b'A'],
            [byte, b'X', b' ', b' '],
        ]);
    }
    symbols.extend([*b"NULL", *b"NA  ", *b"1   ", *b"-1.5", *b"nan ", *b"None"]);
    there_and_back(&symbols);
}

#[test]
fn also_where_there_are_nul_bytes_and_no_symbol() {
    there_and_back(&[*b"\0   ", *b"    ", *b"A\0B ", *b"\0\0\0\0"]);
}
