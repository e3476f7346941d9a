//! Ends of `fetch`: files that are kept, the exit code and the messages.

use crate::complete::{
    begin, falls_silent, folder, here, interrupt, is_old, json, packets,
    stdout_closed_after_ten_lines, tells_nothing, wait_for,
};
use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, Serving, losing, playing};
use feed::exchange::original::OriginalExchange;
use feed::tape::in_memory::Tape;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn conflicting_lines_that_tell_no_session_are_not_complete() {
    let folder = folder();
    let lines = [1, 2].map(|seed| playing(Tape::random(100, seed), losing(seed, "0.1", "")));
    let addresses = lines.each_ref().map(|line| line.address.to_string());
    let args = ["fetch", "--classic", &addresses[0], &addresses[1], "-o", "day.json"];
    for more in [&[][..], &["--allow-gaps"]] {
        let args = [&args[..], more, &["--restart", "--report", "report.json"]].concat();
        let (code, _, said) = here(folder.path(), &args);
        assert!(code == 4 && said.contains("incomplete: packets of different sessions"), "{said}");
        // Each packet with the line that it came from.
        let from = addresses.each_ref().map(|address| said.contains(&format!(" from {address}")));
        assert!(from == [true; 2] && !said.contains("complete: 100"), "{said}");
        assert!(said.contains("are kept in day.json.tape; --restart"), "{said}");
        is_old(folder.path());
        let report = fs::read_to_string(folder.path().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["outcome"], "incomplete");
        assert_eq!(report["exitCode"], 4);
        assert_eq!(report["reason"], "packets of different sessions");
    }
    // The tape does not say that this was all.
    let (_, text, _) = here(folder.path(), &["inspect", "--verify", "day.json.tape"]);
    assert!(text.contains("end      unknown"), "{text}");
}

#[test]
fn a_recording_of_no_known_session_is_not_completed_by_another_one() {
    let folder = folder();
    let address = tells_nothing(&Tape::random(50, 1));
    let mut killed = begin(folder.path(), &["fetch", &address, "-o", "day.json"]);
    wait_for("the packets", || packets(&folder.path().join("day.json.tape")) == 50);
    killed.kill_and_reap();
    let original = Serving::start(OriginalExchange::new(Tape::random(60, 2), 1));
    let address = original.address.to_string();
    let (code, _, said) = here(folder.path(), &["fetch", &address, "-o", "day.json"]);
    assert!(code == 4 && said.contains("incomplete: packets of different sessions"), "{said}");
    assert!(said.contains(" recorded before, then "), "{said}");
    is_old(folder.path());
}

#[test]
fn a_healthy_follower_that_is_stopped_lacks_nothing() {
    for _ in 0..6 {
        let exchange = ServeProcess::start(&["--live", "--pace", "20000/s", "--drop", "25%"]);
        let folder = folder();
        let args = ["fetch", "-f", &exchange.addresses[0], "-o", "day.json"];
        let follower = begin(folder.path(), &args);
        let tape = folder.path().join("day.json.tape");
        wait_for("packets", || packets(&tape) > 2000);
        let (code, said) = interrupt(follower);
        assert!(code == 0 && said.contains("all that exist so far"), "{code}: {said}");
        assert!(whole(&folder.path().join("day.json")) > 2000);
    }
}

/// Number of packets in a JSON output, which are those of the beginning of a session.
fn whole(path: &std::path::Path) -> u64 {
    let written: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let sequences = written.as_array().unwrap().iter().map(|packet| packet["sequence"].as_u64());
    let expected = (1..).zip(sequences.clone()).all(|(seq, packet)| packet == Some(seq));
    assert!(expected, "packets are missing");
    sequences.count() as u64
}

#[test]
fn a_file_beside_a_closed_pipe_has_everything_so_far() {
    for _ in 0..6 {
        let exchange = ServeProcess::start(&["--live", "--pace", "2000/s", "--drop", "25%"]);
        let folder = folder();
        let address = &exchange.addresses[0];
        let args = ["fetch", "-f", address, "-o", "-", "-o", "day.json"];
        let said = stdout_closed_after_ten_lines(begin(folder.path(), &args));
        assert!(said.contains(" in day.json"), "{said}");
        assert!(whole(&folder.path().join("day.json")) >= 10);
    }
}

#[test]
fn a_peer_that_says_nothing_is_no_empty_session() {
    let folder = folder();
    // Its system accepts connections, and it never looks at them.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = mute.local_addr().unwrap().to_string();
    for more in [&[][..], &["--classic"], &["--allow-gaps"]] {
        let args = ["fetch", &address, "--last", "0", "--timeout", "200ms", "-o", "day.json"];
        let (code, _, said) = here(folder.path(), &[&args[..], more].concat());
        assert!(code == 3 && said.contains("neither packets nor a description"), "{code}: {said}");
        assert!(said.contains(&format!("is {address} the address of an exchange?")), "{said}");
        is_old(folder.path());
    }
}

#[test]
fn packets_that_were_distrusted_are_not_called_lost() {
    let folder = tempfile::tempdir().unwrap();
    let address = tells_nothing(&Tape::random(134, 1));
    let mut killed = begin(folder.path(), &["fetch", &address, "-o", "o.json"]);
    wait_for("the packets", || packets(&folder.path().join("o.json.tape")) == 134);
    killed.kill_and_reap();
    let new = Tape::random(200, 2);
    let exchange = playing(new.clone(), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let (code, _, said) = here(folder.path(), &["fetch", &address, "-o", "o.json"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("  missed   nothing"), "{said}");
    assert!(
        said.contains("  again    134 packets recorded before the exchange announced"),
        "{said}"
    );
    assert!(fs::read(folder.path().join("o.json")).unwrap() == json(&new));
}

#[test]
fn a_recording_without_packets_starts_over_with_another_session() {
    let folder = folder();
    let (address, told) = falls_silent(2027, None);
    let follower = begin(folder.path(), &["fetch", "-f", &address, "-o", "day.json"]);
    told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(interrupt(follower).0, 3);
    assert!(folder.path().join("day.json.tape").exists());
    let tape = Tape::random(50, 3);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let (code, _, said) = here(folder.path(), &["fetch", &address, "-o", "day.json"]);
    assert!(code == 0 && said.contains("complete: 50 packets"), "{code}: {said}");
    assert!(fs::read(folder.path().join("day.json")).unwrap() == json(&tape));
}

#[cfg(target_os = "linux")]
#[test]
fn replaced_outputs_are_named_apart_from_others() {
    let folder = folder();
    let exchange = playing(Tape::random(50, 3), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let args = ["fetch", &address, "-o", "day.json", "-o", "/dev/full", "-o", "day.csv"];
    let (code, _, said) = here(folder.path(), &[&args[..], &["--tape", "x.tape"]].concat());
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("replaced: day.json; not replaced: /dev/full, day.csv"), "{said}");
    assert_eq!(whole(&folder.path().join("day.json")), 50);
    assert!(!folder.path().join("day.csv").exists());
}
