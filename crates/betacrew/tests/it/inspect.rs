//! `betacrew inspect` on recordings of every format.

use crate::in_time::ChildInTime;
use crate::support::{betacrew, run};
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, Info, RawFrame, SessionId, encode};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Time of the first packet: 2023-11-14 22:13:20, in nanoseconds.
const STARTED: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const STREAM: Origin = Origin { line: 0, source: Source::Stream { pass: 1 } };
const RESEND: Origin = Origin { line: 1, source: Source::Resend };

fn inspect(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(&["inspect"]).args(args).current_dir(folder))
}

fn new(path: &Path) -> TapeFile<betacrew::storage::FileStorage> {
    let storage = betacrew::storage::FileStorage::write(path).unwrap();
    TapeFile::create(
        storage,
        FileHead { session: Some(SessionId::of(*b"K7QD")), created: STARTED, salt: 2 },
    )
    .unwrap()
}

/// Records the packets of the original exchange except `missing`. Those in `late` are recovered
/// 40 ms later.
fn record(path: &Path, late: &[usize], missing: &[usize]) {
    let mut file = new(path);
    let info = Info { session: SessionId::of(*b"K7QD"), version: 1, first: 1, last: 14 };
    file.note_session(info, STARTED).unwrap();
    let tape = Tape::classic();
    let of = |wanted: &dyn Fn(&usize) -> bool| -> Vec<RawFrame> {
        let places = (0..14).filter(|place| !missing.contains(&(place + 1)) && wanted(place));
        places.map(|place| tape.frames()[place]).collect()
    };
    let streamed = of(&|place| !late.contains(&(place + 1)));
    for (at, half) in [STARTED + 5 * MS, STARTED + 8 * MS].into_iter().zip(streamed.chunks(7)) {
        file.append(STREAM, at, half).unwrap();
        file.flush().unwrap();
    }
    file.append(RESEND, STARTED + 45 * MS, &of(&|place| late.contains(&(place + 1)))).unwrap();
    file.finish(STARTED + 50 * MS).unwrap();
}

#[test]
fn a_recording_is_described() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("x.tape"), &[2, 13], &[9, 10, 14]);
    let (code, stdout, stderr) = inspect(folder.path(), &["x.tape"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let expected = "\
x.tape: tape, 735 bytes, session K7QD, finished, started 2023-11-14 22:13:20.000 UTC
  packets  11: 1 to 13
  missing  3 packets in 2 gaps: 9-10, 14
  end      unknown: the recording stopped before the session's end
  missed   2 packets in 2 gaps, recovered later: \
            half of them within 40 ms, the slowest after about 40 ms
  arrived  2023-11-14 22:13:20.005 to 22:13:20.045 UTC, within 40 ms, 275 packets a second

  origin          packets   share     first     last  packets/s
  pass 1                9  81.8 %  +0.0 µs  +3.0 ms      3,000
  resend, line 2        2  18.2 %   +40 ms   +40 ms

      1  ▪◆▪▪▪▪▪▪··▪▪◆·
         ▪ received   ◆ recovered   · missing

  symbol  packets  bought  sold     VWAP   low  high  last
  AAPL          4      80    30    99.82    98   102   102
  AMZN          3      15    15  3009.83  2999  3020  3020
  META          3      40    50    53.22    50    57    57
  MSFT          1      25     0   150.00   150   150   150
";
    // Words are compared without their spaces, so that the alignment of columns can change.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&stdout), words(expected), "{stdout}");
}

#[test]
fn json_has_all_details() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("x.tape"), &[2, 13], &[9, 10, 14]);
    let (code, stdout, _) = inspect(folder.path(), &["x.tape", "x.tape", "--json"]);
    assert_eq!(code, 0);
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]), (2, &lines[1]));
    let report = &lines[0];
    let missing: Value = serde_json::json!({
        "packets": 3, "ranges": 2,
        "listed": [{"first": 9, "last": 10}, {"first": 14, "last": 14}],
    });
    assert_eq!(report["missing"], missing);
    assert_eq!(
        (&report["packets"], &report["first"], &report["last"]),
        (&11.into(), &1.into(), &13.into())
    );
    assert_eq!(report["tape"]["session"], "K7QD");
    assert_eq!(report["tape"]["sessionLast"], 14);
    assert_eq!(report["recovered"]["slowestMs"], 40.0);
    assert_eq!(report["origins"][1]["origin"], "resend, line 2");
    assert_eq!(report["origins"][1]["first"], STARTED + 45 * MS);
    assert_eq!(report["symbols"][3]["symbol"], "MSFT");
    assert_eq!(report["symbols"][3]["vwap"], 150.0);
}

#[test]
fn other_formats_and_pipes_are_inspected_too() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("x.tape"), &[2], &[9]);
    let formats: &[&str] = match cfg!(all(feature = "columnar", feature = "sqlite")) {
        true => &["json", "ndjson", "csv", "tape", "parquet", "arrow", "sqlite"],
        false => &["json", "ndjson", "csv", "tape"],
    };
    for format in formats {
        let name = format!("y.{format}");
        let args = ["convert", "x.tape", &name, "--allow-gaps"];
        assert_eq!(run(betacrew(&args).current_dir(folder.path())).0, 0);
        let (code, stdout, stderr) = inspect(folder.path(), &[&name]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{format}");
        // JSON has no times of arrival, and these formats do not record the session's end.
        assert!(stdout.contains("\n  missing  1 packet in 1 gap: 9\n"), "{format}: {stdout}");
        assert!(stdout.contains("3011.12"), "{format}: {stdout}");
        let arrival = *format == "json" || stdout.contains("pass 1") && stdout.contains("40 ms");
        assert!(arrival, "{format}: {stdout}");
    }
    let mut child = betacrew(&["inspect", "-", "--from", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let csv = fs::read(folder.path().join("y.csv")).unwrap();
    child.stdin.take().unwrap().write_all(&csv).unwrap();
    let output = child.ends_with_output();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.starts_with("-: CSV\n  packets  13: 1 to 14\n"));
    for (args, said) in [
        (&["-"][..], "--from FORMAT"),
        (&["-", "--from", "tape"], "cannot be read from stdin"),
        (&["x.tape", "y.csv", "--plot", "p.svg"], "--plot is for a single FILE"),
        (&["x.tape", "--plot", "x.tape"], "end the name `x.tape` in .svg"),
        (&["x.tape", "--against", "-"], "needs a file"),
    ] {
        let (code, _, stderr) = inspect(folder.path(), args);
        assert!(code == 2 && stderr.contains(said), "{args:?}: {stderr}");
    }
}

#[test]
fn several_files_are_described_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("x.tape"), &[], &[]);
    let (code, stdout, stderr) = inspect(folder.path(), &["none.csv", "x.tape"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("none.csv"), "{stderr}");
    assert!(stdout.starts_with("x.tape: tape") && stdout.contains("  missed   no packet\n"));
}

#[test]
fn two_recordings_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    record(&path("one.tape"), &[2], &[]);
    record(&path("other.tape"), &[7, 8], &[3, 4, 12]);
    let mut altered: Vec<RawFrame> = Tape::classic().frames().to_vec();
    altered[4][12] = 9;
    let mut file = new(&path("altered.tape"));
    file.append(STREAM, STARTED, &altered[..13]).unwrap();
    file.finish(STARTED).unwrap();
    let csv = ["convert", "one.tape", "one.csv"];
    assert_eq!(run(betacrew(&csv).current_dir(folder.path())).0, 0);

    let compare = |one: &str, other: &str| inspect(folder.path(), &[one, "--against", other]);
    let (code, stdout, _) = compare("one.tape", "one.csv");
    assert_eq!(code, 0);
    assert_eq!(stdout, "one.tape and one.csv have the same packets\n  same     14 packets\n");
    for (one, other) in [("one.csv", "other.tape"), ("other.tape", "one.csv")] {
        let (code, stdout, _) = compare(one, other);
        assert_eq!(code, 3, "{stdout}");
        assert!(stdout.contains("differ; the first difference is at packet 3\n"));
        assert!(
            stdout.contains("  only in  one.csv: 3 packets in 2 ranges: 3-4, 12\n"),
            "{stdout}"
        );
        assert!(!stdout.contains("only in  other.tape"), "{stdout}");
    }
    let (code, stdout, _) = compare("one.tape", "altered.tape");
    assert_eq!(code, 4, "{stdout}");
    let rows = [
        "  differ   1 packet in 1 range: 5",
        "           #5 META B 40 @ 50 in one.tape",
        "           #5 META B 40 @ 9 in altered.tape",
    ];
    assert!(stdout.contains(&rows.join("\n")), "{stdout}");
    assert!(stdout.contains("  only in  one.tape: 1 packet in 1 range: 14\n"), "{stdout}");
    let (code, stdout, _) =
        inspect(folder.path(), &["one.tape", "--against", "altered.tape", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["same"], &report["firstDifference"]), (4, &false.into(), &5.into()));
    assert_eq!(report["onlyIn"][0]["listed"][0]["first"], 14);

    let (code, _, stderr) = compare("one.tape", "none.tape");
    assert!(code == 6 && stderr.contains("none.tape"), "{stderr}");
    fs::write(path("bad.csv"), "nonsense").unwrap();
    let (code, _, stderr) = compare("bad.csv", "one.tape");
    assert!(code == 6 && stderr.contains("bad.csv"), "{stderr}");
}

#[test]
fn control_characters_reach_neither_terminal_nor_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = new(&folder.path().join("<&>\".tape"));
    let symbols = [*b"\x1b[2J", *b"</t>", *b"\0\x07\xff&", *b"\"'> "];
    let frames: Vec<RawFrame> = (1..)
        .zip(symbols)
        .map(|(sequence, symbol)| {
            let (side, quantity) = (Side::Sell, i32::MIN);
            let symbol = Symbol(symbol);
            encode(&Frame::Packet(Packet { symbol, side, quantity, price: i32::MAX, sequence }))
        })
        .collect();
    file.append(STREAM, u64::MAX, &frames).unwrap();
    file.finish(u64::MAX).unwrap();
    let (code, stdout, _) = inspect(folder.path(), &["<&>\".tape", "--plot", "p.svg"]);
    assert_eq!(code, 0);
    assert!(!stdout.contains(['\x1b', '\0', '\x07']), "{stdout:?}");
    let svg = fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(!svg.contains(['\x1b', '\0', '\x07']) && !svg.contains("NaN") && !svg.contains("inf"));
    assert!(svg.contains("<title>&lt;&amp;&gt;&quot;.tape</title>"), "{svg}");
    // The picture has only tags that the program writes itself.
    let tags = svg.split('<').skip(1).map(|rest| rest.trim_start_matches('/'));
    let ours = "svg title style rect text tspan path line polygon polyline circle";
    for tag in tags {
        let name = tag.split([' ', '>', '/']).next().unwrap();
        assert!(ours.split(' ').any(|known| known == name), "{name}");
    }
    let (code, stdout, _) = inspect(folder.path(), &["<&>\".tape", "--json"]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert!(
        report["symbols"].as_array().unwrap().iter().any(|symbol| symbol["symbol"] == "\x1b[2J")
    );
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("x.tape"), &[], &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = betacrew(&["inspect", "x.tape"])
        .current_dir(folder.path())
        .stdout(writer)
        .spawn()
        .unwrap()
        .ends();
    assert!(status.success());
}

#[test]
fn an_empty_recording_is_described() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.json"), "[]").unwrap();
    let (code, stdout, _) = inspect(folder.path(), &["x.json", "--plot", "p.svg"]);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "x.json: JSON, 2 bytes\n  packets  0\n  missing  nothing\n")
    );
    let svg = fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn order_books_show_resting_and_traded_quantities() {
    let folder = tempfile::tempdir().unwrap();
    let row = |side, quantity, price, sequence| {
        format!(
            "{{\"symbol\":\"AAPL\",\"buySellIndicator\":\"{side}\",\"quantity\":{quantity},\
             \"price\":{price},\"sequence\":{sequence}}}\n"
        )
    };
    let rows = [row("B", 10, 100, 1), row("S", 4, 99, 2), row("S", 7, 103, 3), row("B", 5, 98, 4)];
    fs::write(folder.path().join("x.ndjson"), rows.concat()).unwrap();
    let (code, said, _) = inspect(folder.path(), &["x.ndjson", "--book"]);
    let line = said.lines().last().unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    // The sell order at 99 is matched with the bid at 100, and trades at that price.
    assert_eq!((code, cells), (0, vec!["AAPL", "2", "6", "100", "103", "7", "1", "100", "4"]));
    let (_, said, _) = inspect(folder.path(), &["x.ndjson", "--book", "--json"]);
    let found: Value = serde_json::from_str(&said).unwrap();
    let best = &found["books"][0]["bids"]["best"];
    assert_eq!(best.to_string(), "[{\"price\":100,\"quantity\":6},{\"price\":98,\"quantity\":5}]");
    let (_, said, _) = inspect(folder.path(), &["x.ndjson", "--json"]);
    assert!(!said.contains("books"));
}
