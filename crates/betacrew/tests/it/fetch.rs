//! The client as a person sees it.

use crate::in_time::ChildInTime;
use crate::support::{
    ReservedPort, ServeProcess, Serving, betacrew, losing, next_call, peer, playing, run,
};
use feed::exchange::server::MockExchange;
use feed::tape::in_memory::Tape;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

/// The documents' output.json.
const DOCUMENTS: &str = r#"[
  {
    "symbol": "SYMB",
    "buySellIndicator": "B",
    "quantity": 100,
    "price": 1000,
    "sequence": 1
  },
  {
    "symbol": "SYMB",
    "buySellIndicator": "S",
    "quantity": 101,
    "price": 1100,
    "sequence": 2
  },
  {
    "symbol": "SYMB",
    "buySellIndicator": "B",
    "quantity": 102,
    "price": 1200,
    "sequence": 3
  },
  {
    "symbol": "SYMB",
    "buySellIndicator": "S",
    "quantity": 103,
    "price": 1300,
    "sequence": 4
  },
  {
    "symbol": "SYMB",
    "buySellIndicator": "B",
    "quantity": 104,
    "price": 1400,
    "sequence": 5
  }
]"#;

fn fetch(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(&["fetch"]).args(args).current_dir(folder))
}

fn json(tape: &Tape) -> Vec<u8> {
    let mut text = Vec::new();
    betacrew::format::json::write([tape.frames()], &mut text).unwrap();
    text
}

#[test]
fn fifty_seeds_give_the_documents_file_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..50 {
        let seed = seed.to_string();
        let mut args = vec!["--seed", &seed];
        if seed.ends_with('7') {
            args.extend(["--no-keep-last", "--drop", "0.9"]);
        }
        let serving = ServeProcess::start(&args);
        let (code, stdout, stderr) = fetch(folder.path(), &[&serving.addresses[0]]);
        assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
        assert!(stderr.starts_with("complete: 5 packets in output.json\n"), "{stderr}");
        let output = folder.path().join("output.json");
        assert_eq!(fs::read_to_string(&output).unwrap(), DOCUMENTS, "seed {seed}");
        fs::remove_file(output).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing else is left behind");
}

#[test]
fn a_recording_is_a_tape_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = ServeProcess::start(&["--tape", "random:20000", "--seed", "3"]);
    assert_eq!(fetch(folder.path(), &[&first.addresses[0], "-o", "a.json"]).0, 0);
    let file = folder.path().join("a.json");
    let second = ServeProcess::start(&["--tape", file.to_str().unwrap()]);
    let (code, stdout, stderr) = fetch(folder.path(), &[&second.addresses[0], "-o", "-"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.as_bytes(), fs::read(file).unwrap());
    assert_eq!(stdout.as_bytes(), json(&Tape::random(20_000, 3)));
}

#[test]
fn a_tape_file_is_played_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(50_000, 3);
    let first = playing(tape.clone(), losing(2, "0.25", ""));
    let (address, file) = (first.address.to_string(), folder.path().join("a.tape"));
    assert_eq!(fetch(folder.path(), &[&address, "--tape", "a.tape"]).0, 0);
    let second = ServeProcess::start(&["--tape", file.to_str().unwrap(), "--drop", "0.5"]);
    let (code, stdout, stderr) = fetch(folder.path(), &[&second.addresses[0], "-o", "-"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.as_bytes(), json(&tape));
    assert!(stderr.contains(&format!("session {}", tape.session())), "the same session: {stderr}");
}

#[test]
fn a_tape_file_with_gaps_or_damage_is_not_played() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(300), losing(1, "0", "200-210"));
    let address = exchange.address.to_string();
    assert_eq!(fetch(folder.path(), &[&address, "--classic", "--tape", "gaps.tape"]).0, 3);
    let file = folder.path().join("gaps.tape");
    let (code, _, stderr) = run(&mut betacrew(&["serve", "--tape", file.to_str().unwrap()]));
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("200-210") && stderr.contains("fetch --tape"), "{stderr}");

    assert_eq!(fetch(folder.path(), &[&address, "--tape", "whole.tape"]).0, 0);
    let file = folder.path().join("whole.tape");
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--tape", file.to_str().unwrap()];
    let (code, stdout, stderr) = run(&mut betacrew(&serve));
    assert!(code == 6 && stdout.is_empty(), "what is damaged is not made up: {stderr}");
}

#[test]
fn small_tapes_are_right_at_their_edges() {
    let folder = tempfile::tempdir().unwrap();
    for (tape, args) in [
        ("sample:0", &["--drop", "0"][..]),
        ("sample:1", &["--drop", "1", "--no-keep-last"]),
        ("sample:3", &["--skip", "1"]),
        ("sample:3", &["--skip", "1-3"]),
        ("sample:300", &["--skip", "1-100,300"]),
        ("sample:300", &["--drop", "0"]),
    ] {
        let serving = ServeProcess::start(&[&["--tape", tape], args].concat());
        let count = tape.split(':').nth(1).unwrap().parse().unwrap();
        let (code, _, stderr) = fetch(folder.path(), &[&serving.addresses[0]]);
        assert_eq!(code, 0, "{tape} {args:?}: {stderr}");
        let written = fs::read(folder.path().join("output.json")).unwrap();
        assert_eq!(written, json(&Tape::sample(count)), "{tape} {args:?}");
    }
}

#[test]
fn an_empty_session_needs_a_word_where_nobody_confirms_it() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(0), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--classic"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("--last N"), "{stderr}");
    assert!(!folder.path().join("output.json").exists());
    assert_eq!(fetch(folder.path(), &[&address, "--classic", "--last", "0"]).0, 0);
    assert_eq!(fs::read_to_string(folder.path().join("output.json")).unwrap(), "[]");
}

#[test]
fn what_cannot_be_had_is_named_and_nothing_is_written_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(300), losing(1, "0", "3,200-210"));
    let address = exchange.address.to_string();
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--classic"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("missing  11 packets: 200-210"), "{stderr}");
    assert!(stderr.contains("--allow-gaps"), "{stderr}");
    assert!(!folder.path().join("output.json").exists());

    let args = [&address, "--classic", "--allow-gaps", "--report", "report.json", "--restart"];
    assert_eq!(fetch(folder.path(), &args).0, 3);
    let written: Value =
        serde_json::from_slice(&fs::read(folder.path().join("output.json")).unwrap()).unwrap();
    assert_eq!(written.as_array().unwrap().len(), 289);
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["outcome"], "incomplete");
    assert_eq!(report["exitCode"], 3);
    assert_eq!(report["missing"], serde_json::json!([{"first": 200, "last": 210}]));
    let gaps = report["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 2);
    assert_eq!((&gaps[0]["first"], &gaps[0]["filledBy"]), (&3.into(), &"resend".into()));
    assert!(gaps[0]["filledAfterMs"].as_f64().unwrap() >= 0.0);
    assert_eq!(gaps[1]["filledBy"], "never");
    // Sequences up to 255 can be asked for if one knows that the exchange survives it.
    assert_eq!(fetch(folder.path(), &[&address, "--classic", "--resend-max", "255"]).0, 0);
}

#[test]
fn the_report_tells_every_gap() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(5000, 2), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    assert_eq!(fetch(folder.path(), &[&address, "--report", "r.json"]).0, 0);
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let missed: u64 = report["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| gap["last"].as_u64().unwrap() - gap["first"].as_u64().unwrap() + 1)
        .sum();
    assert_eq!(report["counts"]["resent"], missed);
    assert_eq!(report["counts"]["streamed"], 5000 - missed);
    assert_eq!((&report["packets"], &report["last"]), (&5000.into(), &5000.into()));
    assert_eq!(report["end"]["known"], "confirmed");
    assert!(report["counts"]["bytes"].as_u64().unwrap() >= 5000 * 17);
    assert_eq!(report["lines"][0]["extension"], true);
    assert!(report["tookMs"].as_f64().unwrap() > 0.0);
}

#[test]
fn it_waits_for_an_exchange_that_is_not_up_yet() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and not listening: the port is ours, and connecting is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    let mut child = betacrew(&["fetch", &address])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(
        line.starts_with(&format!("no exchange at {address} yet; retrying for up to 10")),
        "{line}"
    );
    socket.listen(16).unwrap();
    let player = MockExchange::new(Arc::new(Tape::sample(5)), losing(3, "0.5", ""));
    let _exchange = Serving::on(std::net::TcpListener::from(socket), player);
    assert_eq!(child.ends().code(), Some(0));
    assert_eq!(fs::read_to_string(folder.path().join("output.json")).unwrap(), DOCUMENTS);
}

#[test]
fn nobody_there_is_exit_5_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = ReservedPort::new();
    let address = nobody.address();
    fs::write(folder.path().join("output.json"), "old").unwrap();
    let (code, _, stderr) = fetch(folder.path(), &[&address, "--timeout", "200ms"]);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("betacrew serve"), "{stderr}");
    assert_eq!(fs::read_to_string(folder.path().join("output.json")).unwrap(), "old");
}

#[test]
fn two_lines_are_one_session_and_one_may_die() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(2000, 9);
    let healthy = playing(tape.clone(), losing(1, "0.5", ""));
    // The other line gives half of it and breaks off in the middle of a packet, always.
    let half: Vec<u8> = tape.frames()[..1000].as_flattened().to_vec();
    let dying = peer(move |mut stream, _| {
        if next_call(&mut stream).is_some_and(|call| call[0] == 1) {
            let _ = stream.write_all(&half);
            let _ = stream.write_all(&[65; 9]);
        }
    });
    let nobody = ReservedPort::new();
    let absent = nobody.address();
    let lines = [healthy.address.to_string(), dying.to_string(), absent];
    let args = [&lines[0], &lines[1], &lines[2], "--report", "r.json", "--timeout", "2s"];
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&tape));
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(report["lines"][0]["extension"], true);
    assert!(report["lines"][1]["packets"].as_u64().unwrap() >= 1000);
    assert_eq!(report["lines"][2]["reached"], false);
}

#[test]
fn lines_of_different_sessions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tapes = [1, 2].map(|seed| Tape::random(300_000, seed));
    let ids = tapes.each_ref().map(Tape::session);
    let lines = tapes.map(|tape| playing(tape, losing(1, "0.1", "")));
    let addresses = lines.each_ref().map(|line| line.address.to_string());
    let args = [&addresses[0], &addresses[1], "--allow-gaps"];
    let (code, _, stderr) = fetch(folder.path(), &args);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("packets of different sessions"), "{stderr}");
    // It is one of the two, and the other line's is named.
    assert!(ids.iter().all(|id| stderr.contains(&id.to_string())), "{ids:?}: {stderr}");
    assert!(!folder.path().join("output.json").exists(), "two sessions are never mixed");
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--tape", "classic"]);
    let address = &serving.addresses[0];
    for args in [["-o", "none/x.json"], ["-o", "."], ["--report", "none/r.json"]] {
        let (code, _, stderr) = fetch(folder.path(), &[&[address.as_str()], &args[..]].concat());
        assert_eq!(code, 6, "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write"), "{stderr}");
    }
    let (code, _, stderr) = fetch(folder.path(), &[address, "-o", "/dev/full"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("/dev/full") && stderr.contains("No space left"), "{stderr}");
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.ends().1;
    assert!(log.contains("1 stream "), "only the last came so far: {log}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let serving = ServeProcess::start(&["--tape", "random:50000"]);
    let mut child = betacrew(&["fetch", &serving.addresses[0], "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    assert_eq!(child.ends().code(), Some(0));
}

/// A peer whose stream is these bytes, which answers nothing else and closes when its client does.
fn streaming(bytes: Vec<u8>) -> String {
    let address = peer(move |mut stream, _| {
        while let Some(call) = next_call(&mut stream) {
            if call[0] == 1 {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
        }
    });
    address.to_string()
}

#[test]
fn misbehaving_peers_are_exit_4() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::classic();
    let mut other = tape.frames()[2];
    other[12] ^= 1;
    let mut far = tape.frames()[2];
    far[13..].copy_from_slice(&i32::MAX.to_be_bytes());
    let stream = |odd| [tape.frames(), &[odd]].concat().as_flattened().to_vec();
    for (bytes, args, message) in [
        (stream(other), &["--last", "14"][..], "arrived again with different content"),
        (stream(far), &[], "too far ahead to be plausible"),
        (vec![0xee; 17 * 100], &[], "could not be decoded"),
    ] {
        let address = streaming(bytes);
        let args = [&[address.as_str(), "--retries", "0", "--timeout", "500ms"], args].concat();
        let (code, _, stderr) = fetch(folder.path(), &args);
        assert_eq!(code, 4, "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
        let _ = fs::remove_file(folder.path().join("output.json.tape"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stderr_does_not_stop_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut serving = betacrew(&["serve", "--listen", "127.0.0.1:0", "--tape", "classic"])
        .stdout(Stdio::piped())
        .stderr(full())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    for _ in 0..2 {
        let status = betacrew(&["fetch", address])
            .current_dir(folder.path())
            .stderr(full())
            .spawn()
            .unwrap()
            .ends();
        assert_eq!(status.code(), Some(0));
    }
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), json(&Tape::classic()));
    assert_eq!(serving.try_wait().unwrap(), None, "it goes on serving");
    serving.kill_and_reap();
}

#[test]
fn the_summary_counts_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(300), losing(1, "0", "3-4,250"));
    let address = exchange.address.to_string();
    let stderr = fetch(folder.path(), &[&address]).2;
    assert!(stderr.contains("missed   3 packets in 2 gaps: all recovered by resend"), "{stderr}");
    let stderr = fetch(folder.path(), &[&address, "--classic", "-o", "b.json"]).2;
    assert!(stderr.contains("missed   3 packets in 2 gaps: 2 recovered by resend"), "{stderr}");
    let stderr = fetch(folder.path(), &[&address, "--last", "299", "-o", "c.json"]).2;
    assert!(stderr.contains("--last 299 is wrong: the session has a packet 300"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_new_output_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::sample(5), losing(1, "0", ""));
    assert_eq!(fetch(folder.path(), &[&exchange.address.to_string()]).0, 0);
    fs::write(folder.path().join("other"), "").unwrap();
    let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("output.json"), mode("other"));
}

#[test]
fn ctrl_c_ends_it_and_says_what_is_missing() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::classic();
    let (told, asked) = std::sync::mpsc::channel();
    let stalling = peer(move |mut stream, _| {
        // Never closes before the client does, nor answers what it asks for then.
        while let Some(call) = next_call(&mut stream) {
            match call {
                [1, _] => {
                    stream.write_all(tape.frames()[..3].as_flattened()).unwrap();
                    stream.write_all(&tape.frames()[6]).unwrap();
                }
                // It has seen the gap.
                [2, _] => drop(told.send(())),
                _ => {}
            }
        }
    });
    let mut child = betacrew(&["fetch", &stalling.to_string(), "--allow-gaps"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    asked.recv().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.ends_with_output();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("stopped by the user"), "{stderr}");
    assert!(stderr.contains("missing  3 packets: 4-6"), "{stderr}");
    let written: Value =
        serde_json::from_slice(&fs::read(folder.path().join("output.json")).unwrap()).unwrap();
    let sequences: Vec<_> = written.as_array().unwrap().iter().map(|p| &p["sequence"]).collect();
    assert_eq!(sequences, [1, 2, 3, 7]);
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (args, message) in [
        (&["a:b:c"][..], "is not an address"),
        (&["--last=-1"], "--last"),
        (&["--last", "2147483648"], "2147483647"),
        (&["--passes", "0"], "--passes"),
        (&["--window", "0"], "--window"),
        (&["--timeout", "soon"], "10s, 250ms"),
        (&["--resend-max", "256"], "255"),
        (&["--bogus"], "--bogus"),
        (&["-o", "x", "--report", "x"], "different places"),
        (&["-o", "-", "--report", "-"], "different places"),
    ] {
        let (code, _, stderr) = fetch(folder.path(), args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}
