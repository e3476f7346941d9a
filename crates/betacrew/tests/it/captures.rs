//! Packet captures: what `inspect` says of them, and `convert` into tapes and back.

pub(crate) mod build;
mod refused;

use crate::in_time::CommandInTime;
use crate::support::{ServeProcess, betacrew, run};
use build::{
    A, B, Capture, Layout, MICRO, STARTED, end_of, ethernet, frame, ipv4, ipv6, messages, numbered,
    udp,
};
use feed::base::rng::Rng;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

fn command(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(args).current_dir(folder))
}

/// Returns the exit code of `inspect --json`, and its report.
fn inspect(folder: &Path, files: &[&str]) -> (i32, Value) {
    let args = [&["inspect", "--json"], files].concat();
    let (code, stdout, stderr) = command(folder, &args);
    let report = serde_json::from_str(&stdout);
    (code, report.unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

fn gap(first: u64, last: u64, before: u64, after: u64) -> Value {
    json!({"first": first, "last": last, "before": STARTED + before, "after": STARTED + after})
}

/// Capture of two lines: A misses 3-4 and 7, B misses 4-5 and 7.
fn two_lines() -> Capture {
    let mut capture = Capture::ethernet();
    let mut at = 0;
    for (seq, count) in [(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 3)] {
        at += 100 * MICRO;
        let payload = numbered("DAY1", seq, count);
        if ![3, 4, 7].contains(&seq) {
            capture.add(at, &frame(A, &payload));
        }
        if ![4, 5, 7].contains(&seq) {
            capture.add(at + 9 * MICRO, &frame(B, &payload));
        }
    }
    capture.add(at + 20 * MICRO, &frame(A, &end_of("DAY1", 11)));
    capture.add(at + 30 * MICRO, &frame(B, &end_of("DAY1", 11)));
    capture
}

#[test]
fn lines_are_compared_and_what_all_missed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    two_lines().write(&folder.path().join("x.pcap"));
    let (code, report) = inspect(folder.path(), &["x.pcap"]);
    assert_eq!(code, 3, "{report}");
    let stream = &report["streams"][0];
    assert_eq!((&stream["messages"], &stream["ended"]), (&json!(8), &json!(true)));
    let missing = json!([gap(4, 4, 209 * MICRO, 400 * MICRO), gap(7, 7, 509 * MICRO, 700 * MICRO)]);
    assert_eq!(stream["missing"]["listed"], missing);
    let [a, b] = [&stream["lines"][0], &stream["lines"][1]];
    assert_eq!(a["missed"]["listed"][0], gap(3, 4, 100 * MICRO, 400 * MICRO));
    assert_eq!((&a["missed"]["messages"], &a["missedByAll"]), (&json!(3), &json!(2)));
    assert_eq!((&b["missed"]["messages"], &b["missedByAll"]), (&json!(3), &json!(2)));
    // A has 6 of the 6 messages that both have 9 µs before B.
    assert_eq!((&a["firstCopies"], &b["firstCopies"]), (&json!(6), &json!(0)));
    assert_eq!(a["lead99Ms"], json!(0.009));
    let (code, stdout, _) = command(folder.path(), &["inspect", "x.pcap", "--plot", "x.svg"]);
    assert_eq!(code, 3);
    for words in [
        "x.pcap: pcap with nanoseconds, 10 packets",
        "session DAY1: 8 messages, 1 to 10, ended",
        "missing  2 messages from both lines in 2 gaps: 4 at 22:13:20.000209 for 191 µs, 7 at ",
        "A     233.54.12.111:26477   10.0.0.1:18001",
        "another line has 1 of them",
    ] {
        assert!(stdout.contains(words), "{words}\n{stdout}");
    }
    let picture = fs::read_to_string(folder.path().join("x.svg")).unwrap();
    assert!(picture.contains("all lines together   missed 2 messages"), "{picture}");
}

#[test]
fn every_link_type_byte_order_and_tag_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = [numbered("DAY1", 1, 3), numbered("DAY1", 6, 2), end_of("DAY1", 8)];
    let ip = |payload: &[u8]| ipv4([10, 0, 0, 1], A.1, 0, &udp((1, A.2), payload));
    let ip6 = |payload: &[u8]| ipv6(1, A.1, &udp((1, A.2), payload));
    let before = |head: &[u8], packet: Vec<u8>| [head, &packet].concat();
    let sll = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    let sll2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    type Wrap<'a> = (u32, Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>);
    let links: [Wrap<'_>; 10] = [
        (1, Box::new(|p| ethernet(&[], 0x800, &ip(p)))),
        (1, Box::new(|p| ethernet(&[0x8100], 0x800, &ip(p)))),
        (1, Box::new(|p| ethernet(&[0x88a8, 0x8100], 0x800, &ip(p)))),
        (1, Box::new(|p| [ethernet(&[], 0x86dd, &ip6(p)), vec![0xee; 9]].concat())),
        (101, Box::new(ip)),
        (229, Box::new(ip6)),
        (0, Box::new(|p| before(&[2, 0, 0, 0], ip(p)))),
        (108, Box::new(|p| before(&[0, 0, 0, 24], ip6(p)))),
        (113, Box::new(|p| before(&sll, ip(p)))),
        (276, Box::new(|p| before(&sll2, ip(p)))),
    ];
    for (number, (link, wrap)) in links.iter().enumerate() {
        for layout in [Layout::Micro, Layout::Nano, Layout::Blocks] {
            let is_big = number % 2 == 1;
            let mut capture = Capture::new(layout, is_big, *link);
            for (at, payload) in (0..).zip(&payloads) {
                capture.add(at * 5 * MICRO, &wrap(payload));
            }
            capture.write(&folder.path().join("x.pcap"));
            let (code, report) = inspect(folder.path(), &["x.pcap"]);
            let stream = &report["streams"][0];
            let case = format!("link {link}, {layout:?}, number {number}: {report}");
            assert_eq!((code, &stream["messages"]), (3, &json!(5)), "{case}");
            let missing = json!([gap(4, 5, 0, 5 * MICRO)]);
            assert_eq!(stream["missing"]["listed"], missing, "{case}");
            assert_eq!(stream["ended"], json!(true), "{case}");
        }
    }
    // Compressed, whatever its name says.
    let plain = fs::read(folder.path().join("x.pcap")).unwrap();
    let mut gzip = flate2_of(&plain);
    fs::write(folder.path().join("x.pcapng.gz"), &gzip).unwrap();
    assert_eq!(inspect(folder.path(), &["x.pcapng.gz"]).1["streams"][0]["messages"], json!(5));
    gzip.truncate(gzip.len() - 12);
    fs::write(folder.path().join("x.pcap.gz"), &gzip).unwrap();
    let (code, report) = inspect(folder.path(), &["x.pcap.gz"]);
    assert_eq!(code, 6);
    assert!(report["damage"][0]["reason"].as_str().unwrap().contains("compressed data"));
}

fn flate2_of(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn packets_before_damage_are_kept_and_the_place_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for layout in [Layout::Nano, Layout::Blocks] {
        let mut capture = Capture::new(layout, false, 1);
        let mut ends = vec![capture.bytes().len()];
        for seq in 1..=4 {
            let payload = numbered("DAY1", seq, 1);
            ends.push(capture.add(seq * MICRO, &frame(A, &payload)).bytes().len());
        }
        for len in (0..=capture.bytes().len()).step_by(7).chain(ends.clone()) {
            let path = folder.path().join("x.pcap");
            fs::write(&path, &capture.bytes()[..len]).unwrap();
            let (code, stdout, stderr) = command(folder.path(), &["inspect", "--json", "x.pcap"]);
            let whole = ends.iter().filter(|end| **end <= len).count().saturating_sub(1);
            if len < 4 || layout == Layout::Nano && len < 24 {
                assert_eq!(code, 6, "{len}: {stderr}");
                continue;
            }
            let report: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(report["packets"], json!(whole), "{len}");
            // The blocks before the first packet end at 28 and 44 bytes.
            match ends.contains(&len) || layout == Layout::Blocks && [28, 44].contains(&len) {
                true => assert_eq!(code, if whole == 0 { 3 } else { 0 }, "{len}: {report}"),
                false => {
                    assert_eq!(code, 6, "{len}");
                    assert_eq!(report["damage"][0]["packet"], json!(whole + 1), "{report}");
                }
            }
        }
    }
    let mut huge = Capture::ethernet();
    huge.add(0, &frame(A, &numbered("DAY1", 1, 1)));
    let mut bytes = huge.bytes().to_vec();
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]);
    fs::write(folder.path().join("x.pcap"), bytes).unwrap();
    let (code, stdout, _) = command(folder.path(), &["inspect", "x.pcap"]);
    assert_eq!(code, 6);
    assert!(
        stdout.contains("DAMAGED  x.pcap: packet 2 at byte 113: a packet of 2,147,483,647"),
        "{stdout}"
    );
    let (code, _, stderr) = command(folder.path(), &["convert", "x.pcap", "x.itch"]);
    assert_eq!(code, 6);
    assert!(stderr.contains("--allow-gaps reads the packets before"), "{stderr}");
    let (code, _, _) = command(folder.path(), &["convert", "x.pcap", "x.itch", "--allow-gaps"]);
    assert_eq!(code, 0);
}

#[test]
fn messages_that_a_snap_length_cuts_count_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    let packet = frame(A, &messages("DAY1", 1, &[b"aaaa", b"bbbb", b"cccc"]));
    capture.add_cut(0, &packet, packet.len() - 3);
    capture.add(MICRO, &frame(A, &numbered("DAY1", 4, 1)));
    capture.add_cut(2 * MICRO, &frame(A, &numbered("DAY1", 5, 1)), 50);
    capture.write(&folder.path().join("x.pcap"));
    let (code, report) = inspect(folder.path(), &["x.pcap"]);
    let line = &report["streams"][0]["lines"][0];
    assert_eq!(code, 3);
    assert_eq!((&line["cutDatagrams"], &line["cutMessages"]), (&json!(1), &json!(1)), "{line}");
    assert_eq!(line["missed"]["listed"], json!([gap(3, 3, 0, 0)]));
    let other = &report["notMold"][0];
    assert_eq!((&other["datagrams"], &other["malformed"]), (&json!(1), &json!(true)));
    let stdout = command(folder.path(), &["inspect", "x.pcap"]).1;
    assert!(stdout.contains("raise the snap length"), "{stdout}");
    assert!(stdout.contains("the capture holds 8 bytes of it"), "{stdout}");
}

#[test]
fn fragments_are_said_and_other_protocols_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    for seq in [1, 2, 4] {
        capture.add(seq * MICRO, &frame(A, &numbered("DAY1", seq, 1)));
    }
    let whole = udp((1, A.2), &numbered("DAY1", 3, 1));
    let part =
        |fragment, udp: &[u8]| ethernet(&[], 0x800, &ipv4([10, 0, 0, 1], A.1, fragment, udp));
    capture.add(9 * MICRO, &part(0x2000, &whole[..16]));
    capture.add(9 * MICRO, &part(2, &whole[16..]));
    capture.add(9 * MICRO, &ethernet(&[], 0x806, &[0; 28]));
    // A protocol of another venue, and one that is text.
    let other = (9, [224, 0, 0, 1], 14_310);
    capture
        .add(9 * MICRO, &frame(other, b"\x01\0\x04\x80\x01\0\0\0\0\0\0\x47\x20\0\x04\0\0\0\0\0"));
    capture
        .add(9 * MICRO, &frame((9, [239, 255, 255, 250], 1900), b"NOTIFY * HTTP/1.1\r\n\r\n..."));
    // One that looks like MoldUDP64 by chance, among many that do not.
    capture.add(9 * MICRO, &frame(other, &numbered("CHANCE", 1, 1)));
    capture.add(9 * MICRO, &frame(other, &[7; 40]));
    // Messages of an anonymous capture.
    let mut blank = numbered("DAY1", 7, 1);
    blank[..18].fill(0);
    capture.add(9 * MICRO, &frame((9, [0; 4], 0), &blank));
    capture.write(&folder.path().join("x.pcap"));
    let (code, report) = inspect(folder.path(), &["x.pcap"]);
    assert_eq!(code, 3);
    assert_eq!((&report["fragments"], &report["otherPackets"]), (&json!(2), &json!(1)));
    assert_eq!(report["streams"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["streams"][0]["missing"]["messages"], json!(1));
    let stdout = command(folder.path(), &["inspect", "x.pcap"]).1;
    for words in [
        "2 IP fragments, the first is packet 4",
        "3 datagrams to 224.0.0.1:14310 are not MoldUDP64; the first is packet 7",
        "1 datagram to 239.255.255.250:1900 is not MoldUDP64",
        "1 datagram to 0.0.0.0:0 has no session and no sequence",
    ] {
        assert!(stdout.contains(words), "{words}\n{stdout}");
    }
}

#[test]
fn rotated_files_and_files_of_two_taps_are_one_capture() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Capture::ethernet();
    let mut parts: Vec<Capture> = (0..4).map(|_| Capture::ethernet()).collect();
    for seq in 1..=40 {
        for (tap, line) in [A, B].into_iter().enumerate() {
            if seq % (7 + tap as u64) == 0 {
                continue;
            }
            let (at, packet) = (seq * 50 * MICRO + tap as u64, frame(line, &numbered("X", seq, 1)));
            all.add(at, &packet);
            parts[2 * tap + usize::from(seq > 20)].add(at, &packet);
        }
    }
    all.write(&folder.path().join("all.pcap"));
    let names = ["a1.pcap", "a2.pcap", "b1.pcap", "b2.pcap"];
    parts.iter().zip(names).for_each(|(part, name)| part.write(&folder.path().join(name)));
    let whole = inspect(folder.path(), &["all.pcap"]).1;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let files = order.map(|file: usize| names[file]);
        let report = inspect(folder.path(), &files).1;
        assert_eq!(report["streams"], whole["streams"]);
    }
    let args = ["convert", "a1.pcap", "a2.pcap", "b1.pcap", "b2.pcap", "x.itch"];
    let (code, _, stderr) = command(folder.path(), &args);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn of_several_sessions_one_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    let third = (3, [233, 1, 1, 1], 5);
    for seq in 1..=3 {
        capture.add(seq * MICRO, &frame(A, &numbered("ONE", seq, 1)));
        capture.add(seq * MICRO, &frame(B, &messages("TWO", seq, &[b"two"])));
        // Another feed of the same session name.
        capture.add(seq * MICRO, &frame(third, &messages("TWO", seq, &[b"third"])));
    }
    capture.write(&folder.path().join("x.pcap"));
    let report = inspect(folder.path(), &["x.pcap"]).1;
    assert_eq!(report["streams"].as_array().unwrap().len(), 3, "{report}");
    let (code, _, stderr) = command(folder.path(), &["convert", "x.pcap", "x.itch"]);
    assert_eq!(code, 2);
    let names = "ONE, TWO@233.49.196.111:26477, TWO@233.1.1.1:5";
    assert!(stderr.contains(&format!("convert --session NAME` chooses one: {names}")), "{stderr}");
    let itch = |session: &str| {
        let args = ["convert", "x.pcap", "x.itch", "--force", "--session", session];
        let (code, _, stderr) = command(folder.path(), &args);
        (code == 0).then(|| fs::read(folder.path().join("x.itch")).unwrap()).ok_or(stderr)
    };
    assert_eq!(itch("ONE").unwrap(), b"\0\x09message 1\0\x09message 2\0\x09message 3");
    assert_eq!(itch("TWO@233.1.1.1:5").unwrap(), b"\0\x05third\0\x05third\0\x05third");
    assert!(itch("TWO").unwrap_err().contains("several sessions"));
    assert!(itch("THREE").unwrap_err().contains("no such session"));
    let (code, _, stderr) = command(folder.path(), &["convert", "x.itch", "y.itch", "z.tape"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn answers_to_requests_fill_gaps_and_are_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    for seq in [5, 6, 9] {
        capture.add(seq * MICRO, &frame(A, &numbered("DAY1", seq, 1)));
    }
    let (client, server) = ([10, 0, 0, 9], [10, 0, 0, 7]);
    let mut request = numbered("DAY1", 7, 0);
    request[19] = 2;
    let ask = ipv4(client, server, 0, &udp((40_000, 18_002), &request));
    let answer = udp((18_002, 40_000), &numbered("DAY1", 7, 2));
    capture.add(20 * MICRO, &ethernet(&[], 0x800, &ask));
    capture.add(30 * MICRO, &ethernet(&[], 0x800, &ipv4(server, client, 0, &answer)));
    let early = udp((18_002, 40_000), &numbered("DAY1", 1, 4));
    capture.add(40 * MICRO, &ethernet(&[], 0x800, &ipv4(server, client, 0, &early)));
    capture.write(&folder.path().join("x.pcap"));
    let (code, report) = inspect(folder.path(), &["x.pcap"]);
    assert_eq!((code, &report["streams"][0]["messages"]), (0, &json!(9)), "{report}");
    let lines = &report["streams"][0]["lines"];
    assert_eq!(
        (&lines[1]["line"], &lines[0]["missed"]["messages"]),
        (&json!("answers"), &json!(2))
    );
    assert_eq!(report["requests"][0]["messages"], json!(2));
    let (code, _, stderr) = command(folder.path(), &["convert", "x.pcap", "x.itch"]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_tape_becomes_a_capture_and_a_tape_again() {
    let folder = tempfile::tempdir().unwrap();
    let long = vec![b'x'; 5_000];
    let mut capture = Capture::ethernet();
    for (at, first, count) in [(0, 1, 3), (5, 4, 90), (900, 94, 1)] {
        capture.add(at * MICRO, &frame(A, &numbered("NIGHT", first, count)));
    }
    let datagram = [&b"NIGHT     \0\0\0\0\0\0\0\x5f\0\x01\x13\x88"[..], &long].concat();
    capture.add(901 * MICRO, &frame(A, &datagram));
    capture.add(999 * MICRO, &frame(A, &end_of("NIGHT", 96)));
    capture.write(&folder.path().join("x.pcap"));
    let steps = [
        ["x.pcap", "x.tape"],
        ["x.tape", "y.pcap"],
        ["y.pcap", "y.tape"],
        ["x.tape", "z.pcapng"],
        ["z.pcapng", "z.tape"],
        ["x.tape", "x.itch"],
        ["x.itch", "w.pcap"],
    ];
    for [from, to] in steps {
        let (code, _, stderr) = command(folder.path(), &["convert", from, to]);
        assert_eq!(code, 0, "{from} {to}: {stderr}");
    }
    let rows = |file: &str| command(folder.path(), &["convert", file, "-", "--to", "csv"]).1;
    assert_eq!(rows("x.tape").lines().count(), 96);
    assert_eq!(rows("y.tape"), rows("x.tape"));
    assert_eq!(rows("z.tape"), rows("x.tape"));
    let report = inspect(folder.path(), &["y.pcap"]).1;
    assert_eq!(
        (&report["streams"][0]["session"], &report["first"]),
        (&json!("NIGHT"), &json!(STARTED))
    );
    assert_eq!(inspect(folder.path(), &["w.pcap"]).1["streams"][0]["messages"], json!(95));
    tshark_reads(&folder.path().join("y.pcap"));
    tshark_reads(&folder.path().join("z.pcapng"));
}

#[test]
fn a_capture_is_played_and_recorded_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = Capture::ethernet();
    for seq in 1..=20 {
        let line = if seq % 2 == 0 { A } else { B };
        capture.add(seq * MICRO, &frame(line, &numbered("DAY1", seq, 1)));
    }
    capture.add(30 * MICRO, &frame(A, &end_of("DAY1", 21)));
    let path = folder.path().join("x.pcap");
    capture.write(&path);
    let (tape, listen) = (path.to_str().unwrap(), "soup://127.0.0.1:0");
    let serving = ServeProcess::listening(&[listen], &["--tape", tape, "--pace", "recorded"]);
    let address = serving.addresses[0].clone();
    let (code, _, stderr) = command(folder.path(), &["fetch", &address, "-o", "y.itch"]);
    assert_eq!(code, 0, "{address}: {stderr}");
    let (code, ..) = command(folder.path(), &["convert", "x.pcap", "x.itch"]);
    let read = |name| fs::read(folder.path().join(name)).unwrap();
    assert_eq!((code, read("y.itch")), (0, read("x.itch")));
}

/// Checks that tshark finds all messages in a capture of 95, and nothing that is wrong.
fn tshark_reads(path: &Path) {
    if !crate::wires::has_tshark() {
        return;
    }
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-d", "udp.port==26477,moldudp64", "-T", "fields"]);
    for field in ["moldudp64.msgseq", "ip.checksum.status", "_ws.malformed", "_ws.expert.message"] {
        command.args(["-e", field]);
    }
    command.args(["-o", "ip.check_checksum:TRUE"]);
    let output = command.output_in_time().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut sequences = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let found = fields.next().unwrap().split(',').filter_map(|seq| seq.parse::<u64>().ok());
        sequences.extend(found);
        assert_eq!(fields.next(), Some("1"), "{line}");
        let complaints: String = fields.collect();
        // The count of an end of session is above that of its messages.
        let is_end = complaints == "Number of Requested Messages";
        assert!(complaints.is_empty() || is_end, "{line}");
    }
    assert!(sequences.into_iter().eq(1..=95), "{text}");
}

/// Returns the sequences of listed gaps.
fn sequences(gaps: &Value) -> Vec<u64> {
    let listed = gaps["listed"].as_array().unwrap().iter();
    let range = |gap: &Value| gap["first"].as_u64().unwrap()..=gap["last"].as_u64().unwrap();
    listed.flat_map(range).collect()
}

#[test]
fn dpkt_and_wiresharks_tools_agree_about_drawn_captures() {
    let folder = tempfile::tempdir().unwrap();
    let has_dpkt = crate::support::python_has("captures.py", "dpkt");
    let has_tools = crate::wires::has_tshark();
    let mut rng = Rng::new(17);
    for round in 0..4 {
        let (mut packets, mut seq) = (Vec::new(), 1);
        for step in 0..400 {
            let count = u64::from(rng.between(1, 30));
            for line in [A, B] {
                // Dropped, twice, or late by up to ten datagrams.
                let late = if rng.below(20) == 0 { u64::from(rng.below(10)) } else { 0 };
                let copies = [1, 1, 1, 1, 1, 1, 1, 2, 0, 0][rng.below(10) as usize];
                let at = (step + late) * 100 + u64::from(rng.below(90));
                let packet = frame(line, &numbered("DRAWN", seq, count));
                (0..copies).for_each(|_| packets.push((at, packet.clone())));
            }
            seq += count;
        }
        packets.sort();
        let mut capture = Capture::new(Layout::Nano, round % 2 == 1, 1);
        for (at, packet) in &packets {
            capture.add(*at * MICRO, packet);
        }
        let path = folder.path().join("x.pcap");
        capture.write(&path);
        let report = inspect(folder.path(), &["x.pcap"]).1;
        let stream = &report["streams"][0];
        if has_dpkt {
            let output = crate::support::python("captures.py", &[path.to_str().unwrap()]).unwrap();
            let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json!(sequences(&stream["missing"])), theirs["missing"], "{round}");
            for line in stream["lines"].as_array().unwrap() {
                let other = &theirs["lines"][line["group"].as_str().unwrap()];
                assert_eq!(line["messages"], other["messages"], "{round}");
                assert_eq!(line["duplicates"], other["duplicates"], "{round}");
                assert_eq!(json!(sequences(&line["missed"])), other["missed"], "{round}");
            }
        }
        if has_tools {
            let edit = |args: &[&str]| {
                let tool =
                    Command::new(args[0]).args(&args[1..]).current_dir(&folder).output_in_time();
                assert!(tool.unwrap().status.success(), "{args:?}");
            };
            // As blocks; each line into a file of its own, and both merged again.
            edit(&["editcap", "-F", "pcapng", "x.pcap", "y.pcapng"]);
            assert_eq!(inspect(folder.path(), &["y.pcapng"]).1["streams"], report["streams"]);
            for (name, line) in [("a.pcapng", "ip.src==10.0.0.1"), ("b.pcapng", "ip.src==10.0.0.2")]
            {
                edit(&["tshark", "-r", "x.pcap", "-Y", line, "-w", name]);
            }
            let both = inspect(folder.path(), &["b.pcapng", "a.pcapng"]).1;
            assert_eq!(both["streams"][0]["missing"], stream["missing"]);
            edit(&["mergecap", "-F", "pcap", "-w", "m.pcap", "a.pcapng", "b.pcapng"]);
            let merged = inspect(folder.path(), &["m.pcap"]).1;
            assert_eq!(merged["streams"][0]["missing"]["messages"], stream["missing"]["messages"]);
        }
    }
}
