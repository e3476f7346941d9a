//! A recording that was interrupted goes on where it ended.

use crate::support::{Serving, betacrew, losing, next_call, peer, playing, run};
use feed::player::Player;
use feed::rng::Rng;
use feed::tape::Tape;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
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

/// A peer that streams the first `count` packets of `tape` but those in `skip`, and then stalls.
fn stalling(tape: &Tape, count: usize, skip: std::ops::Range<usize>) -> String {
    let frames: Vec<_> = tape.frames()[..count]
        .iter()
        .enumerate()
        .filter(|(i, _)| !skip.contains(i))
        .map(|(_, frame)| *frame)
        .collect();
    let address = peer(move |mut stream, _| {
        if next_call(&mut stream).is_some_and(|call| call[0] == 1) {
            let _ = stream.write_all(frames.as_flattened());
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address.to_string()
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(5000, 4);
    let interrupted = stalling(&tape, 3000, 100..200);
    let args = [&interrupted, "--timeout", "300ms", "--retries", "0", "--passes", "1"];
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("the same command goes on"), "{stderr}");
    assert_eq!(names(folder.path()), ["output.json.tape"]);

    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let (code, _, stderr) = fetch(folder.path(), &[&exchange.address.to_string()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("going on with output.json.tape: 2,900 packets"), "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
    assert_eq!(names(folder.path()), ["output.json"], "the recording is put away");
    let served = exchange.end().served();
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
    assert!(stderr.contains("different sessions") && stderr.contains("--restart"), "{stderr}");
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
    let held = betacrew::file::FileStorage::write(&path).unwrap();
    let (code, _, stderr) = fetch(folder.path(), &[&address]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("another process is recording"), "{stderr}");
    drop(held);
    assert_eq!(fetch(folder.path(), &[&address]).0, 0);
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
    assert!(exchange.end().served().streams == 1, "the second fetch needed no stream");
}

/// `kill -9` at random moments of a paced stream, then again, until it is through.
#[test]
fn kill_nine_at_any_moment_costs_no_packet() {
    let tape = Tape::random(40_000, 8);
    let mut rng = Rng::new(8);
    let mut killed = 0;
    for round in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let player = Player::new(std::sync::Arc::new(tape.clone()), losing(round, "0.25", ""));
        let exchange = Serving::start(player);
        let address = exchange.address.to_string();
        for _ in 0..3 {
            let mut child = betacrew(&["fetch", &address, "-o", "out.json"])
                .current_dir(folder.path())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // A moment, not a wait for anything: whatever it is doing then, it is killed.
            std::thread::sleep(Duration::from_micros(rng.between(1_000, 60_000).into()));
            child.kill().unwrap();
            killed += u32::from(!child.wait().unwrap().success());
        }
        let (code, _, stderr) =
            fetch(folder.path(), &[&address, "-o", "out.json", "--report", "r"]);
        assert_eq!(code, 0, "round {round}: {stderr}");
        assert_eq!(fs::read(folder.path().join("out.json")).unwrap(), json(&tape), "round {round}");
        let report: Value =
            serde_json::from_slice(&fs::read(folder.path().join("r")).unwrap()).unwrap();
        assert_eq!(report["packets"], 40_000);
    }
    assert!(killed > 40, "only {killed} of 120 were killed before they were through");
}
