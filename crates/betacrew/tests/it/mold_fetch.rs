//! `fetch` of MoldUDP64 groups over real sockets: from a publisher in Python, and from our
//! exchange.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

/// Publisher with request servers, as a process.
struct Publisher {
    child: Child,
    /// Open as long as the publisher runs.
    stdin: Option<ChildStdin>,
    /// Address of each line, as `fetch` takes it.
    addresses: Vec<String>,
    /// Number of messages that each line drops, once all are sent.
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// Returns addresses of this machine that are free at the moment.
pub(crate) fn free_addresses(count: usize) -> Vec<String> {
    let sockets: Vec<UdpSocket> =
        (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect()
}

impl Publisher {
    /// Starts a publisher for this many lines. It writes its messages to `want.itch` in `folder`.
    fn start(folder: &Path, lines: usize, args: &[&str]) -> Self {
        let targets = free_addresses(lines);
        let script = format!("{}/tests/mold_server.py", env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.arg(script).arg("--write").arg(folder.join("want.itch")).args(args);
        for target in &targets {
            command.args(["--to", target]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = targets.iter().map(|target| {
            let line = output.next().unwrap().unwrap();
            let server = line.strip_prefix("request ").unwrap();
            format!("mold://{target}?request={server}")
        });
        let addresses = addresses.collect();
        Self { child, stdin, addresses, lines: output }
    }

    /// Records the session with `fetch`. Returns its exit code, its messages and its report.
    fn fetch(&self, folder: &Path, args: &[&str]) -> (i32, String, Value) {
        let (output, report) = (folder.join("got.itch"), folder.join("report.json"));
        let mut command = betacrew(&["fetch"]);
        command.args(&self.addresses).arg("-o").arg(&output).arg("--report").arg(&report);
        let (code, _, text) = run(command.args(args));
        let report = std::fs::read(&report)
            .map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        (code, text, report)
    }

    /// Ends the publisher, and returns the number of messages that each line dropped.
    fn dropped(mut self) -> Vec<u64> {
        let line = self.lines.next().unwrap().unwrap();
        let counts = line.strip_prefix("dropped ").unwrap().split(' ');
        counts.map(|count| count.parse().unwrap()).collect()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stdin = None;
        self.child.kill_and_reap();
    }
}

fn assert_same(folder: &Path) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(read("want.itch") == read("got.itch"), "the recording differs from what was sent");
}

#[test]
fn a_hundred_thousand_messages_are_complete_at_five_percent_loss() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--messages", "100000", "--drop", "0.05", "--drop-answers", "0.05"];
    let publisher = Publisher::start(folder.path(), 1, &args);
    let (code, text, report) = publisher.fetch(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    assert_same(folder.path());
    assert_eq!(report["outcome"], "complete");
    let requests = &report["requests"];
    assert!(requests["answered"].as_u64().unwrap() > 0, "{requests}");
    assert!(requests["sent"].as_u64() >= requests["answered"].as_u64());
    let line = &report["lines"][0];
    assert_eq!(line["protocol"], "mold");
    // What the line has missed was dropped, or sent before `fetch` joined, or lost by the kernel.
    assert_eq!(requests["missedByAllLines"], report["counts"]["resent"]);
    let dropped = publisher.dropped();
    assert!(line["packetsMissed"].as_u64().unwrap() <= dropped[0] + 100_000 / 10, "{line}");
    assert!(text.contains("group    mold://127.0.0.1:"), "{text}");
}

#[test]
fn two_lines_with_hostile_datagrams_between_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--messages",
        "100000",
        "--drop",
        "0.05",
        "--duplicate",
        "0.02",
        "--reorder",
        "0.05",
        "--garbage",
        "0.05",
        "--drop-answers",
        "0.1",
    ];
    let publisher = Publisher::start(folder.path(), 2, &args);
    let (code, text, report) = publisher.fetch(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    assert_same(folder.path());
    assert_eq!(report["violations"]["conflictingPackets"], 0);
    for line in report["lines"].as_array().unwrap() {
        let count = |name: &str| line["mold"][name].as_u64().unwrap();
        assert!(count("otherSessionDatagrams") > 0 && count("malformedDatagrams") > 0, "{line}");
        assert!(count("duplicates") > 0 && count("reordered") > 0, "{line}");
        assert!(line["packetsFirst"].as_u64().unwrap() > 0, "{line}");
    }
}

#[test]
fn a_recording_that_was_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--messages", "50000", "--rate", "1500", "--drop", "0.1"];
    let publisher = Publisher::start(folder.path(), 1, &args);
    let output = folder.path().join("got.itch");
    let mut kills = 0;
    // On a busy machine, the session may be over, and recorded, before the last kill.
    let mut is_over = false;
    while kills < 3 && !is_over {
        let mut command = betacrew(&["fetch"]);
        command.args(&publisher.addresses).arg("-o").arg(&output).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let tape = folder.path().join("got.itch.tape");
        let length = || tape.metadata().map_or(0, |file| file.len());
        let (before, began) = (length(), Instant::now());
        while length() < before + 50_000 && !is_over {
            assert!(began.elapsed() < PATIENCE, "nothing is recorded");
            is_over = child.try_wait().unwrap().is_some();
            std::thread::yield_now();
        }
        kills += u32::from(!is_over);
        child.kill_and_reap();
    }
    assert!(kills > 0);
    let (code, text, _) = publisher.fetch(folder.path(), &[]);
    assert_eq!(code, 0, "{text}");
    assert_same(folder.path());
}

#[test]
fn messages_that_no_server_has_make_the_recording_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--messages", "3000", "--drop", "0.2", "--drop-answers", "1"];
    let publisher = Publisher::start(folder.path(), 1, &args);
    let (code, text, report) = publisher.fetch(folder.path(), &["--retries", "1"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("  missing  ") && !text.contains("packet"), "{text}");
    assert_eq!(report["outcome"], "incomplete");
    assert!(!folder.path().join("got.itch").exists());
}

#[test]
fn our_exchange_is_recorded_completely_on_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let listen = "mold://127.0.0.1:0?request=127.0.0.1:0";
    let targets = free_addresses(2);
    let lines = targets.iter().map(|target| listen.replacen("127.0.0.1:0", target, 1));
    let lines: Vec<String> = lines.collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let args = ["--tape", "itch:100000", "--drop", "5%", "--seed", "7"];
    let serve = ServeProcess::listening(&lines, &args);
    let mut outputs = Vec::new();
    // Messages of any length, and one line alone.
    for (name, addresses) in [("both", &serve.addresses[..]), ("one", &serve.addresses[..1])] {
        let output = folder.path().join(format!("{name}.itch"));
        let mut command = betacrew(&["fetch"]);
        let (code, _, text) = run(command.args(addresses).arg("-o").arg(&output));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("complete: 100,000 messages"), "{text}");
        outputs.push(std::fs::read(&output).unwrap());
    }
    assert!(outputs[0] == outputs[1]);
    drop(serve);
}

#[test]
fn a_group_without_a_sender_is_unreachable() {
    let address = format!("mold://{}", free_addresses(1)[0]);
    let (code, _, text) =
        run(&mut betacrew(&["fetch", &address, "--timeout", "300ms", "-o", "/dev/null"]));
    assert_eq!(code, 5, "{text}");
}

#[test]
fn wrong_addresses_and_flags_are_refused_with_words() {
    for (address, more, word) in [
        ("mold://192.0.2.1:30001", "", "no address of this machine"),
        ("mold://239.255.1.1:30001?interface=192.0.2.1", "", "interface="),
        ("mold://239.255.1.1:30001?request=127.0.0.1:7&request=[::1]:7", "", "IPv4 and IPv6"),
        ("mold://127.0.0.1:30001?request=127.0.0.1", "--classic", "--classic"),
        ("mold://127.0.0.1:30001/DAY", "", "only soup://"),
    ] {
        let mut args = vec!["fetch", address, "-o", "/dev/null"];
        args.extend(Some(more).filter(|more| !more.is_empty()));
        let (code, _, text) = run(&mut betacrew(&args));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(word), "{address}: {text}");
    }
}
