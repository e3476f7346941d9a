//! Files of ITCH messages: converted, inspected, played, and exchanged with other programs
//! (`itch_readers.py` with pyarrow, pandas, polars, DuckDB and Python's own modules).

use crate::in_time::ChildInTime;
use crate::support::{ServeProcess, betacrew, run};
use feed::payload::itch50::{Books, Kind, Message, SyntheticMarket, TYPES, Value};
use feed::tape::in_memory::Tape;
use feed::wire::packet::Side;
use feed::wire::soup::{LoginAccepted, Packet, Text};
use serde_json::{Map, Value as Json, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Output;

const SCRIPT: &str = "itch_readers.py";
const PACKAGES: &str = "pyarrow pandas polars duckdb";

/// Number of messages of a day that has all kinds of fields.
const DAY_LEN: u64 = 4000;
/// Seed of the day.
const SEED: u64 = 3;

/// Formats with columns.
const TABLES: [&str; 6] = ["json", "ndjson", "csv", "parquet", "arrow", "sqlite"];

fn messages() -> Vec<Vec<u8>> {
    let market = SyntheticMarket::new(SEED, DAY_LEN);
    (0..DAY_LEN).map(|index| market.message(index).to_vec()).collect()
}

/// Returns messages as a file, each behind its length.
fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message);
    }
    bytes
}

/// Writes the day as `day.itch`, and returns its bytes.
fn write_day(folder: &Path) -> Vec<u8> {
    let bytes = framed(&messages());
    fs::write(folder.join("day.itch"), &bytes).unwrap();
    bytes
}

/// Runs the program in a folder, and returns its exit code and stderr.
fn command(folder: &Path, args: &[&str]) -> (i32, String) {
    let (code, _, stderr) = run(betacrew(args).current_dir(folder));
    (code, stderr)
}

fn convert(folder: &Path, args: &[&str]) {
    let (code, stderr) = command(folder, &[&["convert", "--force"], args].concat());
    assert_eq!(code, 0, "{args:?}: {stderr}");
}

/// Returns whether a format is built in.
fn is_built(folder: &Path, format: &str) -> bool {
    let (_, stderr) = command(folder, &["convert", "day.itch", &format!("built.{format}")]);
    !stderr.contains("built without")
}

#[test]
fn a_day_survives_every_format_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let day = write_day(folder);
    let formats = TABLES.iter().chain(&["tape", "itch", "itch.gz"]);
    for format in formats.filter(|format| is_built(folder, format)) {
        for payload in [&[][..], &["--payload", "opaque"]] {
            let name = format!("x.{format}");
            convert(folder, &[&["day.itch", &name], payload].concat());
            convert(folder, &[&name, "again.itch"]);
            assert!(fs::read(folder.join("again.itch")).unwrap() == day, "{format} {payload:?}");
        }
    }
    let compressed = fs::metadata(folder.join("x.itch.gz")).unwrap().len();
    assert!(compressed < day.len() as u64, "{compressed} bytes");
}

#[test]
fn files_of_messages_go_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let day = write_day(folder);
    convert(folder, &["day.itch", "day.itch.gz"]);
    for (input, from) in [("day.itch", "itch"), ("day.itch.gz", "itch"), ("day.itch.gz", "itch.gz")]
    {
        let mut child = betacrew(&["convert", "-", "-", "--from", from, "--to", "itch"])
            .current_dir(folder)
            .stdin(fs::File::open(folder.join(input)).unwrap())
            .stdout(fs::File::create(folder.join("out")).unwrap())
            .spawn()
            .unwrap();
        assert!(child.ends().success());
        assert!(fs::read(folder.join("out")).unwrap() == day, "{input}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let day = write_day(folder);
    let first = 2 + usize::from(day[1]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (day[..first + 1].to_vec(), "the length of message 2 at byte 14 is not whole"),
        (day[..first + 5].to_vec(), "message 2 at byte 14 has 3 of 39 bytes"),
        ([&day[..first], b"\0\0junk"].concat(), "at byte 14 a length of 0 ends the messages"),
        (b"this is no file of messages".to_vec(), "message 1 at byte 0 has 25 of 29,800 bytes"),
    ];
    for (bytes, words) in cases {
        fs::write(folder.join("bad.itch"), &bytes).unwrap();
        let (code, stderr) = command(folder, &["convert", "--force", "bad.itch", "x.csv"]);
        assert!(code == 6 && stderr.contains(words), "{words}: {code} {stderr}");
    }
    // The end marker of some day files.
    fs::write(folder.join("ended.itch"), [&day[..], b"\0\0"].concat()).unwrap();
    convert(folder, &["ended.itch", "again.itch"]);
    assert!(fs::read(folder.join("again.itch")).unwrap() == day);
    // A cut file is read as far as it is whole, if the user wants that.
    fs::write(folder.join("cut.itch"), &day[..day.len() - 1]).unwrap();
    convert(folder, &["--allow-gaps", "cut.itch", "again.itch"]);
    let last = messages().last().unwrap().len() + 2;
    assert!(fs::read(folder.join("again.itch")).unwrap() == day[..day.len() - last]);
}

#[test]
fn a_payload_that_does_not_fit_is_refused_with_the_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_day(folder);
    let mut all = messages();
    all[99] = b"A".to_vec();
    fs::write(folder.join("bad.itch"), framed(&all)).unwrap();
    let (code, stderr) = command(folder, &["convert", "bad.itch", "x.ndjson"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("message 100 does not fit the payload itch50"), "{stderr}");
    assert!(stderr.contains("--payload opaque") && !folder.join("x.ndjson").exists(), "{stderr}");
    convert(folder, &["--payload", "opaque", "bad.itch", "x.ndjson"]);
    let (code, stderr) = command(folder, &["convert", "day.itch", "x.csv", "--payload", "orders"]);
    assert!(code == 6 && stderr.contains("message 1 does not fit the payload orders"), "{stderr}");
}

#[test]
fn a_feed_that_begins_with_an_unknown_type_is_itch_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_day(folder);
    let mut all = messages();
    all.insert(0, b"zNEW".to_vec());
    fs::write(folder.join("new.itch"), framed(&all)).unwrap();
    let inspect = |args: &[&str]| {
        let (code, stdout, stderr) =
            run(betacrew(&[&["inspect"], args].concat()).current_dir(folder));
        (code, stdout + &stderr)
    };
    for (args, code, words) in [
        (&["new.itch"][..], 0, "payload  opaque"),
        (&["new.itch", "--payload", "itch50"], 0, "payload  ITCH 5.0"),
        (&["new.itch", "--payload", "itch50", "--book"], 0, " AAPL "),
        (&["day.itch", "--payload", "opaque"], 0, "payload  opaque"),
        (
            &["day.itch", "--payload", "orders"],
            2,
            "the messages are no order packets: leave it out",
        ),
        (&["day.itch", "--payload", "opaque", "--against", "new.itch"], 2, "--against"),
    ] {
        let (found, text) = inspect(args);
        assert!(found == code && text.contains(words), "{args:?}: {found} {text}");
    }

    let new = folder.join("new.itch");
    let args = ["--tape", new.to_str().unwrap()];
    let serve = ServeProcess::listening(&["soup://127.0.0.1:0"], &args);
    let soup = serve.addresses[0].as_str();
    for (args, columns) in [
        (&[][..], "sequence,length,hex,"),
        (&["--payload", "opaque"], "sequence,length,hex,"),
        (&["--payload", "itch50"], "sequence,message_type,stock_locate,"),
    ] {
        let (code, stderr) = command(folder, &[&["fetch", soup, "-o", "x.csv"], args].concat());
        let header = fs::read_to_string(folder.join("x.csv")).unwrap();
        assert!(code == 0 && header.starts_with(columns), "{args:?}: {stderr}");
        // Written while it arrives, and through a pipe.
        let follow = ["fetch", soup, "--follow", "--format", "csv", "-o", "-"];
        let (code, stdout, stderr) = run(betacrew(&[&follow, args].concat()).current_dir(folder));
        assert!(code == 0 && stdout.starts_with(columns), "{args:?}: {stderr}");
    }
    let (code, stderr) = command(folder, &["fetch", "127.0.0.1:1", soup, "--payload", "itch50"]);
    assert!(code == 2 && stderr.contains("the exercise's protocol has order packets"), "{stderr}");
}

#[test]
fn messages_that_look_like_order_packets_are_recorded_as_they_are_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let packet = Tape::sample(1).frames()[0].to_vec();
    let all = [packet, b"something else".to_vec()];
    // A file would be one of order packets, so the peer plays messages.
    let mut stream = Vec::new();
    let accepted = LoginAccepted { session: Text::new("DAY1").unwrap(), sequence: 1 };
    Packet::LoginAccepted(accepted).encode(&mut stream).unwrap();
    all.iter().for_each(|it| Packet::Sequenced(it).encode(&mut stream).unwrap());
    Packet::EndOfSession.encode(&mut stream).unwrap();
    let address = crate::support::peer(move |mut socket, _| {
        let _ = socket.read_exact(&mut [0; 49]);
        let _ = socket.write_all(&stream);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let soup = format!("soup://{address}");
    let fetch = ["fetch", &soup, "-o", "x.itch", "--restart", "--retries", "1"];
    let (code, stderr) = command(folder, &fetch);
    assert_eq!(code, 4, "{stderr}");
    let (code, stderr) = command(folder, &[&fetch[..], &["--payload", "opaque"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(fs::read(folder.join("x.itch")).unwrap() == framed(&all));
}

#[test]
fn missing_messages_are_numbered_anew_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_day(folder);
    convert(folder, &["day.itch", "day.ndjson"]);
    let text = fs::read_to_string(folder.join("day.ndjson")).unwrap();
    let kept: Vec<&str> =
        text.lines().enumerate().filter(|(at, _)| *at != 9).map(|(_, line)| line).collect();
    fs::write(folder.join("gap.ndjson"), kept.join("\n")).unwrap();
    let (code, stderr) = command(folder, &["convert", "gap.ndjson", "x.itch"]);
    assert!(code == 3 && stderr.contains("1 gap: 10"), "{code} {stderr}");
    let (code, stderr) = command(folder, &["convert", "--allow-gaps", "gap.ndjson", "x.itch"]);
    assert!(code == 0 && stderr.contains("numbered without the missing ones"), "{stderr}");
    let mut all = messages();
    all.remove(9);
    assert!(fs::read(folder.join("x.itch")).unwrap() == framed(&all));
}

#[test]
fn inspect_counts_messages_and_shows_books() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_day(folder);
    convert(folder, &["day.itch", "day.tape"]);
    let all = messages();
    for name in ["day.itch", "day.tape"] {
        let args = ["inspect", "--json", "--book", name];
        let (code, stdout, stderr) = run(betacrew(&args).current_dir(folder));
        assert_eq!(code, 0, "{stderr}");
        let found: Json = serde_json::from_str(&stdout).unwrap();
        assert_eq!(found["packets"], DAY_LEN);
        let said = &found["messages"];
        assert_eq!(said["payload"], "itch50");
        assert_eq!((&said["shortest"], &said["longest"]), (&json!(12), &json!(50)));
        assert_eq!(said["bytes"], all.iter().map(Vec::len).sum::<usize>());
        let time = |message: &[u8]| Message::parse(message).unwrap().timestamp().unwrap().nanos();
        assert_eq!(said["firstTime"], time(&all[0]));
        assert_eq!(said["lastTime"], time(all.last().unwrap()));
        for kind in said["types"].as_array().unwrap() {
            let letter = kind["type"].as_str().unwrap().as_bytes()[0];
            let count = all.iter().filter(|message| message[0] == letter).count();
            assert_eq!(kind["messages"], count, "{kind}");
        }
        let mut books = Books::new();
        all.iter().for_each(|bytes| books.apply(&Message::parse(bytes).unwrap()).unwrap());
        let said = found["books"].as_array().unwrap();
        assert_eq!(said.len(), books.books().count());
        for (said, (locate, book)) in said.iter().zip(books.books()) {
            assert_eq!(
                (&said["stockLocate"], &said["orders"]),
                (&json!(locate), &json!(book.order_count()))
            );
            for (side, name) in [(Side::Buy, "bids"), (Side::Sell, "asks")] {
                assert_eq!(said[name]["levels"], book.levels(side).count());
                let best = book.levels(side).take(10).map(|level| {
                    let price = level.price.to_string();
                    json!({ "price": price, "shares": level.shares, "orders": level.orders })
                });
                assert_eq!(said[name]["best"], Json::from_iter(best));
            }
        }
    }
    let (_, stdout, _) = run(betacrew(&["inspect", "day.itch", "--book"]).current_dir(folder));
    let expected =
        ["  messages 4,000: 1 to 4000\n", "  payload  ITCH 5.0\n", " SystemEvent ", " AAPL "];
    for words in expected {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    let (code, stdout, _) =
        run(betacrew(&["inspect", "day.itch", "--against", "day.tape"]).current_dir(folder));
    assert!(code == 0 && stdout.contains("have the same messages"), "{stdout}");
    let mut other = all;
    other[41] = other[40].clone();
    fs::write(folder.join("other.itch"), framed(&other)).unwrap();
    let (code, stdout, _) =
        run(betacrew(&["inspect", "day.itch", "--against", "other.itch"]).current_dir(folder));
    assert!(code == 4 && stdout.contains("the first difference is at message 42"), "{stdout}");
    let (code, stderr) = command(folder, &["inspect", "day.itch", "--plot", "x.svg"]);
    assert!(code == 2 && stderr.contains("--plot draws order packets"), "{stderr}");
}

/// Type of a column in `itch_readers.py`.
fn type_name(kind: Kind, width: usize) -> &'static str {
    match (kind, width) {
        (Kind::Integer, 2) => "uint16",
        (Kind::Integer, 4) => "uint32",
        (Kind::Integer, _) => "uint64",
        (Kind::Time, _) => "int64",
        (Kind::Price4, _) => "price(4)",
        (Kind::Price8, _) => "price(8)",
        (Kind::Letter | Kind::Text, _) => "text",
    }
}

/// Writes the names and types of the columns, and the rows of messages.
fn write_expected(folder: &Path, messages: &[Vec<u8>]) {
    let mut columns: Vec<(&str, usize, Kind)> = Vec::new();
    for field in TYPES.iter().flat_map(|kind| kind.fields()) {
        match columns.iter_mut().find(|(name, ..)| *name == field.name()) {
            Some((_, width, _)) => *width = field.width().max(*width),
            None => columns.push((field.name(), field.width(), field.kind())),
        }
    }
    let mut types = vec![json!(["sequence", "int64"]), json!(["message_type", "text"])];
    types.extend(columns.iter().map(|(name, width, kind)| json!([name, type_name(*kind, *width)])));
    types.extend([
        json!(["hex", "text"]),
        json!(["arrived", "arrived"]),
        json!(["origin", "text"]),
    ]);
    fs::write(folder.join("columns.json"), Json::from(types).to_string()).unwrap();
    let latin = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let rows = (1u64..).zip(messages).map(|(sequence, bytes)| {
        let message = Message::parse(bytes).unwrap();
        let mut row = Map::new();
        row.insert("sequence".into(), sequence.into());
        row.insert("message_type".into(), latin(&bytes[..1]).into());
        for (field, value) in message.fields() {
            let value: Json = match value {
                Value::Integer(number) => number.into(),
                Value::Time(time) => time.nanos().into(),
                Value::Price4(price) => price.to_string().into(),
                Value::Price8(price) => price.to_string().into(),
                Value::Letter(letter) => latin(&[letter.0]).into(),
                Value::Text(text) => latin(text).into(),
            };
            row.insert(field.name().into(), value);
        }
        if message.message_type().is_none() {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            row.insert("hex".into(), hex.into());
        }
        Json::from(row)
    });
    fs::write(folder.join("expected.json"), Json::from_iter(rows).to_string()).unwrap();
}

#[test]
fn others_read_what_we_write_and_we_what_they_write() {
    if !crate::support::python_has(SCRIPT, PACKAGES) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut all = messages();
    all.push(b"z of a later version".to_vec());
    fs::write(folder.join("day.itch"), framed(&all)).unwrap();
    write_expected(folder, &all);
    for format in TABLES {
        let (code, stderr) = command(folder, &["convert", "day.itch", &format!("x.{format}")]);
        assert!(code == 0 || stderr.contains("built without"), "{stderr}");
    }
    let tasks: &[&str] =
        if folder.join("x.parquet").exists() { &["read", "write"] } else { &["read"] };
    for task in tasks {
        let done = crate::support::python(SCRIPT, &[task, folder.to_str().unwrap()]);
        let Output { status, stdout, stderr } = done.unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&[stdout, stderr].concat()));
    }
    let mut theirs = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("y-") {
            continue;
        }
        let (code, stderr) = command(folder, &["convert", "--force", &name, "z.itch"]);
        if stderr.contains("built without") {
            continue;
        }
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(fs::read(folder.join("z.itch")).unwrap() == framed(&all), "{name}");
        theirs += 1;
    }
    assert!(tasks.len() == 1 || theirs >= 14, "{theirs} files of theirs");
}

#[test]
fn every_file_is_played_over_soup_and_recorded_into_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let day = write_day(folder);
    for name in ["day.itch", "day.itch.gz", "day.ndjson", "day.tape"] {
        if name != "day.itch" {
            convert(folder, &["day.itch", name]);
        }
        let tape = folder.join(name);
        let tape = tape.to_str().unwrap();
        let (code, stderr) = command(folder, &["serve", "--listen", "127.0.0.1:0", "--tape", tape]);
        assert!(code == 2 && stderr.contains("order packets"), "{name}: {code} {stderr}");
        let serving = ServeProcess::listening(&["soup://127.0.0.1:0"], &["--tape", tape]);
        let outputs = ["out.itch", "out.itch.gz", "out.csv", "out.json"];
        let mut args = vec!["fetch", &serving.addresses[0]];
        outputs.iter().for_each(|output| args.extend(["-o", output]));
        let (code, stderr) = command(folder, &args);
        assert_eq!(code, 0, "{name}: {stderr}");
        for output in outputs {
            convert(folder, &[output, "again.itch"]);
            assert!(fs::read(folder.join("again.itch")).unwrap() == day, "{name} {output}");
        }
    }
}
