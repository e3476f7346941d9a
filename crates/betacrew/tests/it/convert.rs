//! Files of one format become files of another.

use crate::in_time::ChildInTime;
use crate::soup_fetch::recorded;
use crate::support::{ServeProcess, betacrew, losing, playing, run};
use feed::base::seq::SeqRange;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, TapeFile};
use feed::tape::in_memory::Tape;
use feed::tape::lengths::ExtremeLengths;
use feed::tape::source::TapeSource;
use feed::wire::SessionId;
use feed::wire::soup::MESSAGE_MAX;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

/// The formats that this program was built with, by the ends of names.
fn formats() -> Vec<&'static str> {
    let mut formats = vec!["json", "ndjson", "csv", "tape"];
    if cfg!(feature = "columnar") {
        formats.extend(["parquet", "arrow"]);
    }
    if cfg!(feature = "sqlite") {
        formats.push("sqlite");
    }
    formats
}

fn convert(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(&["convert"]).args(args).current_dir(folder))
}

fn names(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// A tape file with what a recorder would write: a stream, and resends that fill its gaps.
fn record(path: &Path, tape: &Tape, skip: &[usize]) {
    let storage = betacrew::storage::FileStorage::write(path).unwrap();
    let head = FileHead { session: Some(SessionId::of(*b"K7QD")), created: 1, salt: 2 };
    let mut file = TapeFile::create(storage, head).unwrap();
    let missed = |place: &usize| place % 97 == 3;
    let (resent, streamed): (Vec<usize>, Vec<usize>) =
        (0..tape.frames().len()).filter(|place| !skip.contains(place)).partition(missed);
    let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
    let resend = Origin { line: 1, source: Source::Resend };
    for (origin, places) in [(stream, streamed), (resend, resent)] {
        for (at, places) in (1_700_000_000_123_456_789..).zip(places.chunks(1000)) {
            let frames: Vec<_> = places.iter().map(|&place| tape.frames()[place]).collect();
            file.append(origin, at, &frames).unwrap();
            file.flush().unwrap();
        }
    }
    file.finish(3).unwrap();
}

/// The packets, and what is known of their arrival, as text.
fn content(folder: &Path, name: &str) -> String {
    let (code, stdout, stderr) = convert(folder, &[name, "-", "--to", "ndjson", "--allow-gaps"]);
    assert_eq!(code, 0, "{name}: {stderr}");
    stdout
}

#[test]
fn every_format_becomes_every_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    record(&folder.join("first.tape"), &Tape::random(10_000, 5), &[]);
    let whole = content(folder, "first.tape");
    assert_eq!(whole.lines().count(), 10_000);
    assert!(whole.contains("\"resend, line 2\"") && whole.contains("\"pass 1\""));
    assert_eq!(convert(folder, &["first.tape", "plain.json"]).0, 0);
    let plain = content(folder, "plain.json");
    for from in formats() {
        let source = format!("a.{from}");
        let (code, stdout, stderr) = convert(folder, &["first.tape", &source]);
        assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
        assert!(stderr.starts_with("10,000 packets from first.tape to a."), "{stderr}");
        for to in formats() {
            let target = format!("{from}.{to}");
            let (code, _, stderr) = convert(folder, &[&source, &target]);
            assert_eq!(code, 0, "{target}: {stderr}");
            // All but JSON keep when and how packets came.
            let expected = if from == "json" || to == "json" { &plain } else { &whole };
            assert!(content(folder, &target) == *expected, "{target}");
        }
    }
    let json = fs::read(folder.join("tape.json")).unwrap();
    assert!(json == fs::read(folder.join("plain.json")).unwrap(), "JSON is byte for byte");
}

#[test]
fn messages_of_the_shortest_and_longest_lengths_reach_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let on = ["soup://127.0.0.1:0"];
    let serve = ServeProcess::listening(&on, &["--scenario", "soup-lengths"]);
    let names: Vec<String> = formats().iter().map(|end| path(&format!("out.{end}"))).collect();
    let mut fetch = betacrew(&["fetch", &serve.addresses[0]]);
    fetch.args(names.iter().flat_map(|name| ["-o", name]));
    let (code, _, stderr) = run(&mut fetch);
    assert_eq!(code, 0, "{stderr}");
    let mut tape = ExtremeLengths::new();
    let all = SeqRange::new(1, tape.last()).unwrap();
    let want: Vec<Vec<u8>> = tape.messages(all).iter().map(|(_, it)| it.to_vec()).collect();
    assert!([0, MESSAGE_MAX].iter().all(|len| want.iter().any(|message| message.len() == *len)));
    for name in names {
        let copy = path("copy.tape");
        let (code, _, stderr) = convert(folder.path(), &[&name, &copy, "--force"]);
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(recorded(Path::new(&copy)) == want, "{name}");
        // Each file can be played as it was recorded.
        let again = ServeProcess::listening(&on, &["--tape", &name]);
        let copy = path("again.tape");
        let (code, _, stderr) = run(&mut betacrew(&["fetch", &again.addresses[0], "-o", &copy]));
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(recorded(Path::new(&copy)) == want, "{name}");
        fs::remove_file(copy).unwrap();
    }
    // A length of 0 would end a day file.
    let day = path("day.itch");
    let (code, _, stderr) = run(&mut betacrew(&["fetch", &serve.addresses[0], "-o", &day]));
    assert!(code == 6 && stderr.contains("message 1 has no bytes"), "{code} {stderr}");
    assert!(!Path::new(&day).exists() && Path::new(&(day + ".tape")).exists());
}

#[test]
fn gaps_need_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    record(&folder.join("a.tape"), &Tape::sample(20), &[0, 6, 7, 8]);
    for to in formats() {
        let target = format!("b.{to}");
        let (code, stdout, stderr) = convert(folder, &["a.tape", &target]);
        assert_eq!((code, stdout.as_str(), names(folder)), (3, "", 1), "{stderr}");
        assert!(stderr.contains("a.tape lacks 4 packets in 2 gaps: 1, 7-9;"), "{stderr}");
        assert!(stderr.contains("--allow-gaps"), "{stderr}");
        let (code, _, stderr) = convert(folder, &["a.tape", &target, "--allow-gaps"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("missing: 4 packets in 2 gaps: 1, 7-9"), "{stderr}");
        assert_eq!(content(folder, &target).lines().count(), 16);
        fs::remove_file(folder.join(target)).unwrap();
    }
    // A pipe gets nothing of what is not whole.
    let (code, stdout, _) = convert(folder, &["a.tape", "-", "--to", "csv"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("a.tape"), &Tape::sample(20), &[]);
    let want = content(folder.path(), "a.tape");
    let pipe = folder.path().join("pipe.ndjson");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).spawn().unwrap().ends().success());
    let writer = std::thread::spawn({
        let (pipe, text) = (pipe.clone(), want.clone());
        move || fs::write(pipe, text)
    });
    // Stdout is a pipe as well, for which files are checked before anything is written.
    let (code, text, stderr) = convert(folder.path(), &["pipe.ndjson", "-", "--to", "ndjson"]);
    writer.join().unwrap().unwrap();
    assert!(code == 0 && text == want, "{text} {stderr}");
    let (code, _, stderr) = convert(folder.path(), &["pipe.ndjson", "b.csv", "--from", "tape"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("tape cannot be read from a pipe: name a file"), "{stderr}");
}

#[test]
fn sequences_must_ascend() {
    let folder = tempfile::tempdir().unwrap();
    let row = |seq| {
        format!(
            "{{\"symbol\":\"A\",\"buySellIndicator\":\"B\",\"quantity\":1,\"price\":1,\
             \"sequence\":{seq}}}\n"
        )
    };
    for (rows, place) in [([1, 2, 2], "packet 3"), ([1, 3, 2], "packet 3"), ([2, 1, 3], "packet 2")]
    {
        fs::write(folder.path().join("a.ndjson"), rows.map(row).concat()).unwrap();
        let args = ["a.ndjson", "b.csv", "--allow-gaps"];
        let (code, _, stderr) = convert(folder.path(), &args);
        assert_eq!((code, names(folder.path())), (6, 1), "{stderr}");
        assert!(stderr.contains(&format!("{place} in it has sequence")), "{stderr}");
        assert!(stderr.contains("a.ndjson"), "{stderr}");
    }
}

#[test]
fn files_are_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    record(&folder.join("a.tape"), &Tape::sample(5), &[]);
    fs::write(folder.join("b.csv"), "precious").unwrap();
    let (code, _, stderr) = convert(folder, &["a.tape", "b.csv"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`b.csv` already exists: --force replaces it"), "{stderr}");
    assert_eq!(fs::read_to_string(folder.join("b.csv")).unwrap(), "precious");
    assert_eq!(convert(folder, &["a.tape", "b.csv", "--force"]).0, 0);
    assert_eq!(fs::read_to_string(folder.join("b.csv")).unwrap().lines().count(), 6);
    // Also onto itself.
    assert_eq!(convert(folder, &["b.csv", "b.csv", "--force"]).0, 0);
    assert_eq!(content(folder, "b.csv"), content(folder, "a.tape"));
    assert_eq!(names(folder), 2);
}

#[test]
fn impossible_conversions_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    record(&folder.join("a.tape"), &Tape::sample(5), &[]);
    fs::create_dir(folder.join("d.csv")).unwrap();
    for (args, code, message) in [
        (&["a.tape", "b.txt"][..], 2, "`b.txt` does not say its format"),
        (&["a.tape", "-"], 2, "add --to FORMAT"),
        (&["-", "b.csv"], 2, "add --from FORMAT"),
        (&["-", "b.csv", "--from", "tape"], 2, "tape cannot be read from stdin: name a file"),
        (&["a.tape", "-", "--to", "tape"], 2, "tape cannot be written to a pipe: name a file"),
        (&["a.tape", "b.csv", "--to", "xls"], 2, "possible values: json, ndjson, csv"),
        (&["none.csv", "b.json"], 6, "cannot read none.csv"),
        (&["d.csv", "b.json"], 6, "cannot read d.csv"),
        (&["a.tape", "none/b.json"], 6, "cannot write none/b.json"),
        (&["a.tape", "d.csv"], 6, "cannot write"),
    ] {
        let (found, stdout, stderr) = convert(folder, args);
        assert_eq!((found, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert_eq!(names(folder), 2, "{args:?}");
    }
}

#[cfg(not(all(feature = "columnar", feature = "sqlite")))]
#[test]
fn what_was_not_built_in_says_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("a.tape"), &Tape::sample(5), &[]);
    let absent = [("parquet", "columnar"), ("arrow", "columnar"), ("sqlite", "sqlite")];
    for (format, feature) in absent {
        if formats().contains(&format) {
            continue;
        }
        let target = format!("b.{format}");
        for args in [["a.tape", &target], [&target, "b.csv"]] {
            let (code, _, stderr) = convert(folder.path(), &args);
            assert_eq!(code, 2, "{stderr}");
            assert!(stderr.contains("was built without"), "{stderr}");
            assert!(stderr.contains(&format!("--features {feature}")), "{stderr}");
            assert_eq!(names(folder.path()), 1);
        }
    }
}

#[test]
fn lines_that_are_no_packets_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let row = r#"{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":1}"#;
    for line in [
        // What `jq -c '.[]|[.]'` makes of an output.json.
        &format!("[{row}]"),
        &format!("[{row},{row}]"),
        r#"["A","B",1,1,1]"#,
        r#"{"abandoned":5}"#,
        r#"{"lots":{"first":1,"last":2}}"#,
    ] {
        fs::write(folder.path().join("a.ndjson"), format!("{line}\n{line}\n")).unwrap();
        let (code, _, stderr) = convert(folder.path(), &["a.ndjson", "b.csv"]);
        assert_eq!(code, 6, "{line}: {stderr}");
        assert!(stderr.contains("cannot use a.ndjson: line 1: "), "{line}: {stderr}");
        assert_eq!(names(folder.path()), 1, "{line}");
    }
}

#[cfg(unix)]
#[test]
fn names_may_be_no_text_and_look_like_something_else() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("a.tape"), &Tape::classic(), &[]);
    for end in formats() {
        for stem in [&b"file:x"[..], b"x%41?mode=memory", b"x\xff"] {
            let name = std::ffi::OsStr::from_bytes(stem).to_owned();
            let name = [name, format!(".{end}").into()].into_iter().collect::<std::ffi::OsString>();
            let mut writes = betacrew(&["convert", "a.tape"]);
            let (code, _, stderr) = run(writes.arg(&name).current_dir(folder.path()));
            assert_eq!(code, 0, "{name:?}: {stderr}");
            let mut reads = betacrew(&["convert", "--to", "json"]);
            let (code, stdout, stderr) = run(reads.arg(&name).arg("-").current_dir(folder.path()));
            assert_eq!(code, 0, "{name:?}: {stderr}");
            assert_eq!(stdout.matches("symbol").count(), 14, "{name:?}");
            fs::remove_file(folder.path().join(&name)).unwrap();
        }
    }
    let name = std::ffi::OsStr::from_bytes(b"x\xff.tape");
    let mut serve = betacrew(&["serve", "--listen", "127.0.0.1:0", "--tape"]);
    let (code, _, stderr) = run(serve.arg(name).current_dir(folder.path()));
    assert!(code == 2 && stderr.contains("no tape `x\u{fffd}.tape`"), "{stderr}");
    assert_eq!(names(folder.path()), 1);
}

#[test]
fn damaged_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    record(&folder.join("a.tape"), &Tape::random(5_000, 1), &[]);
    for format in formats() {
        let source = format!("a.{format}");
        if format != "tape" {
            assert_eq!(convert(folder, &["a.tape", &source]).0, 0);
        }
        let good = fs::read(folder.join(&source)).unwrap();
        let garbage: Vec<u8> = (0..5000u32).map(|i| (i * i / 8) as u8).collect();
        let before = names(folder);
        for (what, bytes) in [
            ("empty", &[][..]),
            ("garbage", &garbage),
            ("half", &good[..good.len() / 2]),
            ("nearly whole", &good[..good.len() - 3]),
            ("the first bytes", &good[..5]),
        ] {
            // No lines are a file of no packets.
            let fine = format == "ndjson" && what == "empty";
            fs::write(folder.join(&source), bytes).unwrap();
            let (code, stdout, stderr) = convert(folder, &[&source, "out.csv"]);
            assert_eq!(code, if fine { 0 } else { 6 }, "{source} {what}: {stderr}");
            assert_eq!(stdout, "");
            assert!(stderr.contains(&source), "{source} {what}: {stderr}");
            assert!(!stderr.contains("panicked"), "{source} {what}: {stderr}");
            if fine {
                fs::remove_file(folder.join("out.csv")).unwrap();
            }
            assert_eq!(names(folder), before, "{source} {what}");
        }
        fs::write(folder.join(&source), &good).unwrap();
    }
}

#[test]
fn a_torn_tape_gives_what_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tape");
    let tape = Tape::random(5_000, 1);
    record(&path, &tape, &[]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (code, _, stderr) = convert(folder.path(), &["a.tape", "b.json"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("--allow-gaps"), "{stderr}");
    let (code, _, stderr) = convert(folder.path(), &["a.tape", "b.json", "--allow-gaps"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("4,000 packets from a.tape") && stderr.contains("missing: 1,000"));
}

#[test]
fn text_goes_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("a.tape"), &Tape::random(50_000, 1), &[]);
    let (_, csv, _) = convert(folder.path(), &["a.tape", "-", "--to", "csv"]);
    let mut child = betacrew(&["convert", "-", "-", "--from", "csv", "--to", "ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(csv.as_bytes()));
    let done = child.ends_with_output();
    feeder.join().unwrap().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(stderr.starts_with("50,000 packets from stdin to stdout"), "{stderr}");
    assert!(String::from_utf8(done.stdout).unwrap() == content(folder.path(), "a.tape"));
    // A closed pipe is no failure.
    for format in formats().into_iter().filter(|format| ["csv", "arrow"].contains(format)) {
        let mut child = betacrew(&["convert", "a.tape", "-", "--to", format])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        assert_eq!(child.ends_with_output().status.code(), Some(0), "{format}");
    }
}

#[test]
fn fetch_writes_and_serve_plays_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(3_000, 9), losing(1, "0.1", ""));
    let names: Vec<String> = formats().iter().map(|format| format!("a.{format}")).collect();
    let address = exchange.address.to_string();
    let mut command = betacrew(&["fetch", &address]);
    names.iter().for_each(|name| {
        command.args(["-o", name]);
    });
    let (code, _, stderr) = run(command.current_dir(folder.path()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("3,000 packets in {}", names.join(", "))), "{stderr}");
    let json = fs::read_to_string(folder.path().join("a.json")).unwrap();
    for name in &names {
        let tape = folder.path().join(name);
        let serving = ServeProcess::start(&["--tape", tape.to_str().unwrap()]);
        let args = ["fetch", &serving.addresses[0], "-o", "-"];
        let (code, stdout, stderr) = run(betacrew(&args).current_dir(folder.path()));
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(stdout == json, "{name}");
    }
}

#[test]
fn fetch_takes_formats_from_names_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(5), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let fetch =
        |args: &[&str]| run(betacrew(&["fetch", &address]).args(args).current_dir(folder.path()));
    let (code, stdout, _) = fetch(&["-o", "-", "--format", "csv"]);
    assert_eq!((code, stdout.lines().count()), (0, 6));
    for (args, message) in [
        (&["-o", "a.csv", "-o", "b.csv", "--format", "csv"][..], "--format needs a single output"),
        (&["-o", "a.csv", "-o", "a.csv"], "different places"),
        (&["-o", "-", "--format", "tape"], "cannot be written to a pipe"),
        (&["-o", "a.txt"], "does not say its format"),
    ] {
        let (code, _, stderr) = fetch(args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
    assert_eq!(names(folder.path()), 0);
}

/// The most memory that the process ever had, in KiB.
#[cfg(target_os = "linux")]
fn most_memory(child: &std::process::Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Returns the most memory, in KiB, that a conversion of this many packets to a format needs.
#[cfg(target_os = "linux")]
fn memory_of(to: &str, packets: u32) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    // Most of the text is of no interest, so that a large file takes seconds.
    let pad = "x".repeat(600);
    let mut child = betacrew(&["convert", "-", &format!("a.{to}"), "--from", "ndjson"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = std::io::BufWriter::new(child.stdin.take().unwrap());
    for sequence in 1..=packets {
        writeln!(
            input,
            "{{\"symbol\":\"A\",\"buySellIndicator\":\"B\",\"quantity\":1,\"price\":1,\
             \"sequence\":{sequence},\"pad\":\"{pad}\"}}"
        )
        .unwrap();
    }
    input.flush().unwrap();
    let most = most_memory(&child);
    drop(input);
    let done = child.ends_with_output();
    assert_eq!(done.status.code(), Some(0), "{to}");
    most
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_file() {
    for to in formats().into_iter().filter(|to| ["csv", "tape", "parquet"].contains(to)) {
        // A row group of Parquet is in memory until it is written.
        let bound = if to == "parquet" { 16 << 10 } else { 6 << 10 };
        // The pages of the program itself, and what the libraries reserve, are in both.
        let (small, large) = (memory_of(to, 2_000), memory_of(to, 100_000));
        assert!(large < small + bound, "{to}: {small} KiB, and {large} KiB for 70 MB");
    }
}
