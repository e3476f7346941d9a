//! A recording that was interrupted goes on where it ended.

use crate::complete::wait_for;
use crate::in_time::ChildInTime;
use crate::support::{Serving, betacrew, losing, next_call, peer, playing, run};
use betacrew::storage::FileStorage;
use feed::base::rng::Rng;
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::file::{OpenMode, TapeFile, is_stillborn};
use feed::tape::in_memory::Tape;
use feed::tape::pace::Pace;
use feed::wire::{Frame, Info, encode};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn json(tape: &Tape) -> Vec<u8> {
    let mut text = Vec::new();
    betacrew::format::json::write([tape.frames()], &mut text).unwrap();
    text
}

fn fetch(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(&["fetch"]).args(args).current_dir(folder))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A peer that streams the first `count` packets of `tape` but those in `skip`, and then stalls. It
/// never tells which session it plays.
fn stalling(tape: &Tape, count: usize, skip: std::ops::Range<usize>) -> String {
    stalling_as(tape, count, skip, None)
}

/// Starts a peer as above that may announce its session.
fn stalling_as(
    tape: &Tape,
    count: usize,
    skip: std::ops::Range<usize>,
    told: Option<Info>,
) -> String {
    let frames: Vec<_> = tape.frames()[..count]
        .iter()
        .enumerate()
        .filter(|(i, _)| !skip.contains(i))
        .map(|(_, frame)| *frame)
        .collect();
    let address = peer(move |mut stream, _| {
        match (next_call(&mut stream), told) {
            (Some([1, _]), _) => drop(stream.write_all(frames.as_flattened())),
            (Some([3, _]), Some(info)) => drop(stream.write_all(&encode(&Frame::Info(info)))),
            _ => {}
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address.to_string()
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(5000, 4);
    let told = Info { session: tape.session(), version: 1, first: 1, last: 5000 };
    let interrupted = stalling_as(&tape, 3000, 100..200, Some(told));
    let args = [&interrupted, "--timeout", "300ms", "--retries", "0", "--passes", "1"];
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("run the same command again"), "{stderr}");
    assert_eq!(names(folder.path()), ["output.json.tape"]);

    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let (code, _, stderr) = fetch(folder.path(), &[&exchange.address.to_string()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("continuing output.json.tape: 2,900 packets"), "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
    assert_eq!(names(folder.path()), ["output.json"], "the recording is put away");
    let served = exchange.end().stats();
    assert_eq!((served.streams, served.resends), (0, 2100));
}

#[test]
fn without_the_extension_passes_bring_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(300, 4);
    let interrupted = stalling(&tape, 200, 150..160);
    let args = [&interrupted, "--timeout", "300ms", "--retries", "0", "--passes", "1"];
    assert_eq!(fetch(folder.path(), &args).0, 3);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let (code, _, stderr) = fetch(folder.path(), &[&exchange.address.to_string(), "--classic"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
}

#[test]
fn another_session_is_refused_and_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Tape::random(500, 1), Tape::random(500, 2));
    let exchange = playing(one.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    assert_eq!(fetch(folder.path(), &[&address, "--tape", "x.tape"]).0, 0);
    let recorded = fs::read(folder.path().join("x.tape")).unwrap();

    let exchange = playing(other.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--tape", "x.tape"]);
    assert_eq!(code, 4, "{stderr}");
    let (ours, theirs) = (one.session(), other.session());
    let reason = format!(
        "packets of different sessions: this recording is of session {ours}, and {address} plays \
         session {theirs}"
    );
    assert!(stderr.contains(&reason) && stderr.contains("--restart"), "{stderr}");
    assert!(fs::read(folder.path().join("x.tape")).unwrap().starts_with(&recorded));
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&one));

    let (code, _, stderr) = fetch(folder.path(), &[&address, "--tape", "x.tape", "--restart"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&other));
}

#[test]
fn a_recording_in_use_or_of_another_kind_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::classic();
    let exchange = playing(tape.clone(), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let path = folder.path().join("output.json.tape");
    fs::write(&path, "my notes").unwrap();
    let (code, _, stderr) = fetch(folder.path(), &[&address]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("output.json.tape: it is no tape file"), "{stderr}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");

    fs::remove_file(&path).unwrap();
    let held = FileStorage::write(&path).unwrap();
    let (code, _, stderr) = fetch(folder.path(), &[&address]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("another process is recording"), "{stderr}");
    drop(held);
    // Another test may be starting a process just now, which shares the lock until it has begun.
    wait_for("the lock's end", || match fetch(folder.path(), &[&address]) {
        (0, _, _) => true,
        (code, _, stderr) => {
            assert!(code == 6 && stderr.contains("another process is recording"), "{stderr}");
            false
        }
    });
}

#[test]
fn a_damaged_recording_loses_what_was_damaged_and_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(30_000, 1);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    assert_eq!(fetch(folder.path(), &[&address, "--tape", "x.tape"]).0, 0);
    let path = folder.path().join("x.tape");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).unwrap();
    fs::remove_file(folder.path().join("output.json")).unwrap();
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--tape", "x.tape"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("damaged in 1 place"), "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
    assert!(exchange.end().stats().streams == 1, "the second fetch needed no stream");
}

/// Returns the number of packets that a resumed recording finds in its file.
fn held(path: &Path) -> u64 {
    let Ok(storage) = FileStorage::read(path) else { return 0 };
    if is_stillborn(&storage).unwrap() {
        return 0;
    }
    let (mut tape, _) = TapeFile::open(storage, OpenMode::Scan).unwrap();
    tape.missing().unwrap();
    tape.packets()
}

/// The packets that are known to be of the session that is recorded: what came before the exchange
/// told its session comes again.
fn known(path: &Path) -> u64 {
    let Ok(storage) = FileStorage::read(path) else { return 0 };
    let told =
        TapeFile::open(storage, OpenMode::Index).is_ok_and(|(tape, _)| tape.session_id().is_some());
    if told { held(path) } else { 0 }
}

/// `kill -9` at random moments, again and again, until it is through.
#[test]
fn kill_nine_at_any_moment_costs_only_what_was_not_written() {
    let tape = Tape::random(20_000, 8);
    let whole = json(&tape);
    let mut rng = Rng::new(8);
    let (mut killed, mut halfway) = (0, 0);
    for round in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        // 20 ms for the stream.
        let pace = Pace::PerSecond(1_000_000);
        let scenario = Scenario { pace, ..losing(round, "0.25", "") };
        let exchange =
            Serving::start(MockExchange::new(std::sync::Arc::new(tape.clone()), scenario));
        let address = exchange.address.to_string();
        // A tape is written sooner; now and then the kill is to come while JSON is.
        let out = if round % 10 == 0 { "out.json" } else { "out.tape" };
        let path = folder.path().join(format!("{out}.tape"));
        for _ in 0..2 {
            let before = known(&path);
            let mut child = betacrew(&["fetch", &address, "-o", out])
                .current_dir(folder.path())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // A moment, not a wait for anything: whatever it is doing then, it is killed.
            std::thread::sleep(Duration::from_micros(rng.between(500, 20_000).into()));
            child.kill().unwrap();
            if child.ends().success() {
                break;
            }
            killed += 1;
            // Put away once the output is in place.
            let kept = known(&path) >= before || folder.path().join(out).exists();
            assert!(kept, "round {round}: what was written is gone");
        }
        let before = known(&path);
        let (code, _, stderr) = fetch(folder.path(), &[&address, "-o", out, "--report", "r"]);
        assert_eq!(code, 0, "round {round}: {stderr}");
        let out = folder.path().join(out);
        let same = match out.extension().is_some_and(|end| end == "json") {
            true => fs::read(out).unwrap() == whole,
            false => betacrew::tape::name::read(&out).unwrap().frames() == tape.frames(),
        };
        assert!(same, "round {round}");
        let report: Value =
            serde_json::from_slice(&fs::read(folder.path().join("r")).unwrap()).unwrap();
        assert_eq!(report["packets"], 20_000);
        if before > 0 {
            halfway += u32::from(before < 20_000);
            let counts = &report["counts"];
            let asked = counts["streamed"].as_u64().unwrap() + counts["resent"].as_u64().unwrap();
            assert_eq!(asked, 20_000 - before, "round {round}: {counts}");
        }
    }
    assert!(killed > 100 && halfway > 5, "{killed} were killed, {halfway} of them halfway");
}

/// A recording without `--tape` stands beside its first output until every output is written.
#[cfg(target_os = "linux")]
#[test]
fn a_recording_is_kept_if_one_of_its_outputs_fails() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(500, 4);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let args = [&address, "-o", "x.json", "-o", "/dev/full"];
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 6, "{stderr}");
    assert_eq!(names(folder.path()), ["x.json", "x.json.tape"]);
    assert_eq!(held(&folder.path().join("x.json.tape")), 500);
    let (code, _, stderr) = fetch(folder.path(), &args[..3]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("continuing x.json.tape: 500 packets"), "{stderr}");
    assert_eq!(names(folder.path()), ["x.json"]);
    assert_eq!(exchange.end().stats().streams, 1);
}

#[test]
fn what_came_is_written_though_nothing_more_comes() {
    let folder = tempfile::tempdir().unwrap();
    let peer = stalling(&Tape::random(3000, 4), 700, 0..0);
    for (args, tape) in [(&["--tape", "x.tape"], "x.tape"), (&["-o", "x.json"], "x.json.tape")] {
        let mut child = betacrew(&["fetch", &peer])
            .args(args)
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the packets", || held(&folder.path().join(tape)) == 700);
        child.kill_and_reap();
    }
}

/// A file can grow to so many blocks of 512 bytes, and then the system refuses.
#[cfg(unix)]
fn with_room(blocks: u32, folder: &Path, args: &[&str]) -> (i32, String, String) {
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let program = betacrew(args);
    run(Command::new("sh")
        .args(["-c", &limited, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(folder))
}

#[cfg(unix)]
#[test]
fn when_the_disk_is_full_it_says_so_and_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(60_000, 4);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let path = folder.path().join("x.tape");
    let mut before = 0;
    // Room for a head, for half a block, for some; and not for the output.
    for blocks in [0, 1, 50, 400, 1000, 2800] {
        let args = ["fetch", &address, "--tape", "x.tape"];
        let (code, _, stderr) = with_room(blocks, folder.path(), &args);
        assert_eq!(code, 6, "{blocks}: {stderr}");
        let file = if blocks < 2800 { "record into x.tape" } else { "write " };
        assert!(stderr.contains(&format!("cannot {file}")), "{blocks}: {stderr}");
        assert!(stderr.contains("File too large"), "{blocks}: {stderr}");
        assert!(held(&path) >= before && !folder.path().join("output.json").exists());
        before = held(&path);
    }
    assert_eq!(before, 60_000, "only the output had no room");
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--tape", "x.tape"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(fs::read(folder.path().join("output.json")).unwrap() == json(&tape));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_costs_no_packet() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(500, 4);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let args = [&address, "--tape", "x.tape", "--sync", "end"];
    let (code, _, stderr) = fetch(folder.path(), &[&args[..], &["-o", "/dev/full"]].concat());
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("cannot write /dev/full: No space left"), "{stderr}");
    assert_eq!(held(&folder.path().join("x.tape")), 500);
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
    assert_eq!(names(folder.path()), ["output.json", "x.tape"]);
}
