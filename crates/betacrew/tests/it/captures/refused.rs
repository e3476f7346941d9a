//! Datagrams that are not believed, and inputs that are not read.

use super::build::{A, B, Capture, MICRO, end_of, frame, numbered};
use super::{command, inspect};
use crate::in_time::ChildInTime;
use crate::support::betacrew;
use serde_json::json;
use std::process::{Command, Stdio};

#[test]
fn a_wrong_sequence_far_ahead_is_believed_neither_by_inspect_nor_by_convert() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    for seq in 1..=8 {
        capture.add(seq * MICRO, &frame(A, &numbered("DAY1", seq, 1)));
        if seq == 4 {
            capture.add(seq * MICRO + 1, &frame(A, &numbered("DAY1", 1 << 40, 2)));
        }
        capture.add(seq * MICRO + 2, &frame(B, &numbered("DAY1", seq, 1)));
    }
    capture.add(9 * MICRO, &frame(A, &end_of("DAY1", 9)));
    capture.write(&folder.path().join("x.pcap"));
    let (code, report) = inspect(folder.path(), &["x.pcap"]);
    assert_eq!((code, &report["streams"][0]["last"]), (0, &json!(8)), "{report}");
    assert_eq!(report["notMold"][0]["datagrams"], json!(1), "{report}");
    let (code, _, stderr) = command(folder.path(), &["convert", "x.pcap", "x.itch"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, report) = inspect(folder.path(), &["x.itch"]);
    assert_eq!((code, &report["packets"]), (0, &json!(8)), "{report}");
}

#[test]
fn a_pipe_is_read_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    capture.add(0, &frame(A, &numbered("DAY1", 1, 3)));
    let file = folder.path().join("x.pcap");
    capture.write(&file);
    let (code, want, stderr) = command(folder.path(), &["convert", "x.pcap", "-", "--to", "csv"]);
    assert_eq!((code, want.lines().count()), (0, 4), "{stderr}");
    let pipe = folder.path().join("pipe.pcap");
    assert!(Command::new("mkfifo").arg(&pipe).spawn().unwrap().ends().success());
    let bytes = std::fs::read(&file).unwrap();
    // The second opening of a pipe would wait for ever.
    let through_pipe = |args: &[&str]| {
        let writer = std::thread::spawn({
            let (pipe, bytes) = (pipe.clone(), bytes.clone());
            move || std::fs::write(pipe, bytes)
        });
        let done = command(folder.path(), args);
        writer.join().unwrap().unwrap();
        done
    };
    let (code, text, stderr) = through_pipe(&["convert", "pipe.pcap", "-", "--to", "csv"]);
    assert_eq!((code, text == want), (0, true), "{text} {stderr}");
    let (code, text, stderr) = through_pipe(&["inspect", "x.pcap", "pipe.pcap", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["packets"], json!(2), "{report}");
    for args in [
        &["convert", "-", "-", "--from", "pcap", "--to", "csv"][..],
        &["inspect", "-", "--from", "pcap"],
    ] {
        let mut child = betacrew(args);
        child.stdin(std::fs::File::open(&file).unwrap()).stdout(Stdio::piped());
        let ended = child.spawn().unwrap().ends_with_output();
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(text == want || text.contains("DAY1: 3 messages"), "{text}");
    }
}
