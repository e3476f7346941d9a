//! Datagrams that are not believed, and inputs that are not read.

use super::build::{A, B, Capture, MICRO, end_of, frame, numbered};
use super::{command, inspect};
use crate::in_time::ChildInTime;
use serde_json::json;
use std::process::Command;

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
fn a_pipe_is_refused_where_it_would_be_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    capture.add(0, &frame(A, &numbered("DAY1", 1, 1)));
    capture.write(&folder.path().join("x.pcap"));
    let pipe = folder.path().join("pipe.pcap");
    assert!(Command::new("mkfifo").arg(&pipe).spawn().unwrap().ends().success());
    for args in [
        &["convert", "pipe.pcap", "x.itch"][..],
        &["inspect", "x.pcap", "pipe.pcap"],
        &["serve", "--tape", "pipe.pcap"],
    ] {
        let (code, _, stderr) = command(folder.path(), args);
        assert!(code == 2 && stderr.contains("pipe.pcap is no regular file"), "{code} {stderr}");
    }
}
