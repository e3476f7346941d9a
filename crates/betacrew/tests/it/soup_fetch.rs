//! `fetch` of SoupBinTCP sessions, from the venue's own package and from peers that violate the
//! protocol.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, betacrew, peer, python_has, run};
use betacrew::storage::FileStorage;
use feed::base::rng::Rng;
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::soup::{LoginAccepted, Packet, Text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SCRIPT: &str = "soup_server.py";

fn has_nasdaq() -> bool {
    python_has(SCRIPT, "nasdaq-protocols")
}

/// The venue's exchange as a process.
struct Venue {
    child: Child,
    address: String,
    logins: Receiver<String>,
}

impl Venue {
    /// Starts an exchange of these messages, whose file is put into `folder`.
    fn start(folder: &Path, messages: &[Vec<u8>], mut options: Value) -> Self {
        let path = folder.join("venue.itch");
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            bytes.extend(message);
        }
        std::fs::write(&path, bytes).unwrap();
        options["messages"] = json!(path);
        let script = format!("{}/tests/{SCRIPT}", env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.args([&script, "serve", &options.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let (sender, logins) = channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        Self { child, address: format!("127.0.0.1:{port}"), logins }
    }

    /// Returns user, session and sequence of each login since the last call.
    fn logins(&self) -> Vec<(String, String, u64)> {
        self.logins.try_iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

/// Returns the messages of a tape file in order. Fails if one is missing.
pub(crate) fn recorded(path: &Path) -> Vec<Vec<u8>> {
    let (file, _) = TapeFile::open(FileStorage::read(path).unwrap(), OpenMode::Index).unwrap();
    let mut reader = file.in_order(1);
    let mut all = Vec::new();
    while let Some(piece) = reader.next().unwrap() {
        for (seq, message) in piece.messages.iter() {
            assert_eq!(seq, all.len() as u64 + 1);
            all.push(message.to_vec());
        }
    }
    all
}

fn order_packets(count: u64) -> Vec<Vec<u8>> {
    Tape::random(count, 16).frames().iter().map(|frame| frame.to_vec()).collect()
}

/// Draws messages of many lengths, at most what the venue's package can send.
fn any_messages(count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(16);
    let mut draw = |number: usize| {
        let length = match number % 5000 {
            17 => 32_766,
            _ => [0, 1, 17, 30, 30, 36, 40, 200][rng.below(8) as usize],
        };
        (0..length).map(|_| rng.bits() as u8).collect()
    };
    (0..count).map(&mut draw).collect()
}

/// Runs `fetch` with a tape file and a report in `folder`.
fn fetch(folder: &Path, address: &str, args: &[&str]) -> (i32, String, Value) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (tape, report) = (path("rec.tape"), path("report.json"));
    let mut command = betacrew(&["fetch", address, "-o", "/dev/null", "--format", "csv"]);
    command.args(["--tape", &tape, "--report", &report]).args(args);
    let (code, stdout, stderr) = run(&mut command);
    let report = std::fs::read(path("report.json")).unwrap_or_default();
    (code, stdout + &stderr, serde_json::from_slice(&report).unwrap_or_default())
}

#[test]
fn five_order_packets_of_the_venues_package_are_recorded() {
    if !has_nasdaq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let venue = Venue::start(folder.path(), &order_packets(5), json!({}));
    let out = folder.path().join("out.json");
    let address = format!("soup://ann@{}", venue.address);
    let (code, _, text) = run(betacrew(&["fetch", &address, "-o"]).arg(&out));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("complete: 5 packets") && text.contains("1 accepted"), "{text}");
    assert_eq!(venue.logins(), [("ann".to_owned(), String::new(), 1)]);
    let packets: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(packets.as_array().unwrap().len(), 5);
}

/// Records messages through broken connections, and returns the number of logins.
fn record_through_breaks(messages: &[Vec<u8>], breaks: u32) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"breaks": breaks, "session": "NASDAQ-1", "late": 2});
    let venue = Venue::start(folder.path(), messages, options);
    let address = format!("soup://{}", venue.address);
    let (code, text, report) = fetch(folder.path(), &address, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(recorded(&folder.path().join("rec.tape")) == messages, "a message differs");
    assert_eq!(report["counts"]["duplicates"], 0, "a message was requested twice");
    let (logins, soup) = (venue.logins(), &report["lines"][0]["soup"]);
    assert_eq!((&soup["rejects"], &soup["movedLogins"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(soup["logins"], json!(logins.len() - 2));
    assert!(logins[3..].iter().all(|(_, session, _)| session == "NASDAQ-1"), "{logins:?}");
    logins.len()
}

#[test]
fn messages_of_any_length_survive_broken_connections() {
    if has_nasdaq() {
        assert!(record_through_breaks(&any_messages(100_000), 5000) > 20);
    }
}

#[test]
fn order_packets_survive_broken_connections() {
    if has_nasdaq() {
        assert!(record_through_breaks(&order_packets(20_000), 1000) > 20);
    }
}

#[test]
fn a_killed_recording_goes_on_with_the_next_message() {
    if !has_nasdaq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let messages = any_messages(60_000);
    let venue = Venue::start(folder.path(), &messages, json!({"breaks": 9000}));
    let address = format!("soup://{}", venue.address);
    let tape = folder.path().join("rec.tape");
    for kill in 1..=4 {
        let mut command = betacrew(&["fetch", &address, "-o", "/dev/null", "--format", "csv"]);
        let mut child = command.arg("--tape").arg(&tape).stderr(Stdio::null()).spawn().unwrap();
        let (enough, began) = (kill * 100_000, Instant::now());
        while tape.metadata().map_or(0, |file| file.len()) < enough {
            assert!(began.elapsed() < PATIENCE, "nothing is recorded");
            std::thread::yield_now();
        }
        child.kill_and_reap();
        let have = recorded(&tape).len() as u64;
        assert!(have > 0 && have < 60_000, "{have}");
    }
    venue.logins();
    let have = recorded(&tape).len() as u64;
    let (code, text, _) = fetch(folder.path(), &address, &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(venue.logins()[0].2, have + 1);
    assert!(recorded(&tape) == messages, "a message differs");
}

#[test]
fn a_wrong_password_ends_with_words_and_is_nowhere() {
    if !has_nasdaq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"user": "ann", "password": "sEcReT7"});
    let venue = Venue::start(folder.path(), &order_packets(5), options);
    let address = format!("soup://ann@{}", venue.address);
    let file = folder.path().join("password");
    let with_file = ["--log", "trace", "--password-file", file.to_str().unwrap()];
    std::fs::write(&file, "wRoNg99\n").unwrap();
    let (code, text, report) = fetch(folder.path(), &address, &with_file);
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("wrong user or password"), "{text}");
    assert_eq!(report["lines"][0]["soup"]["rejects"], 1, "one try is enough");
    let all = text + &report.to_string();
    assert!(!all.contains("wRoNg99"), "{all}");

    std::fs::write(&file, "sEcReT7\n").unwrap();
    let (code, text, _) = fetch(folder.path(), &address, &with_file);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("sEcReT7"), "{text}");
    let out = folder.path().join("out.json");
    let mut command = betacrew(&["fetch", &address, "-o", out.to_str().unwrap()]);
    let (code, _, text) = run(command.env("BETACREW_PASSWORD", "sEcReT7"));
    assert_eq!(code, 0, "{text}");
}

#[test]
fn flags_without_a_meaning_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (args, word) in [
        (&["soup://h:1", "--classic"][..], "--classic is for the exercise's original protocol"),
        (&["soup://h:1", "--passes", "2"], "--passes"),
        (&["soup://h:1", "--last", "9"], "--last"),
        (&["127.0.0.1:1", "--password-file", "x"], "such as soup://127.0.0.1:3001"),
        (&["127.0.0.1:1", "--give-up", "1s"], "add --follow"),
        (&["soup://ann:hUnTeR2@h:1"], "--password-file FILE"),
        (&["soup://h:1", "--password-file", "no-such-file"], "cannot read no-such-file"),
    ] {
        let mut command = betacrew(&["fetch"]);
        let (code, _, text) = run(command.args(args).current_dir(folder.path()));
        assert!(code == 2 || code == 6, "{args:?}: {code} {text}");
        assert!(text.contains(word) && !text.contains("hUnTeR2"), "{args:?}: {text}");
    }
    let mut command = betacrew(&["fetch", "soup://h:1"]);
    command.env("BETACREW_PASSWORD", "longer-than-ten").current_dir(folder.path());
    let (code, _, text) = run(&mut command);
    assert_eq!(code, 2);
    assert!(text.contains("at most 10") && !text.contains("longer-than"), "{text}");
}

fn encoded(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
    bytes
}

fn accepted(sequence: u64) -> Packet<'static> {
    Packet::LoginAccepted(LoginAccepted { session: Text::new("DAY1").unwrap(), sequence })
}

/// Reads a login, sends bytes, and waits until the client has closed the connection.
fn answer(mut stream: TcpStream, bytes: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut login = [0; 49];
    if stream.read_exact(&mut login).is_ok() {
        let _ = stream.write_all(bytes);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

fn soup(address: SocketAddr) -> String {
    format!("soup://{address}")
}

#[test]
fn peers_that_violate_the_protocol_are_named_with_exit_code_4() {
    let promise = |sequence: &str| format!("\0\x1fA      DAY1{sequence:>20}").into_bytes();
    let message = Packet::Sequenced(b"x");
    for (bytes, words) in [
        (vec![0, 0, 0], "at byte 0 of its connection: packet of length 0"),
        ([encoded(&[accepted(1), message]), vec![0, 0]].concat(), "at byte 37"),
        (promise("10000000000000000000"), "sequence 10000000000000000000"),
        (promise("-1"), "expected a digit"),
        (encoded(&[message]), "before the login was accepted"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(2000), "sequenced message or"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = std::sync::Arc::new(bytes);
        let address = peer(move |stream, _| answer(stream, &bytes));
        let (code, text, report) =
            fetch(folder.path(), &soup(address), &["--retries", "1", "--timeout", "3s"]);
        if words == "sequenced message or" {
            // The text is a long packet of an unknown type, which is skipped.
            assert!(code == 3 || code == 4, "{code}: {text}");
            continue;
        }
        assert_eq!(code, 4, "{text}");
        assert!(text.contains(words), "{words}: {text}");
        assert!(report["violations"]["undecodableFrames"].as_u64() >= Some(1), "{report}");
    }
}

#[test]
fn an_exchange_that_is_not_there_or_says_nothing_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let port = crate::support::ReservedPort::new();
    let address = format!("soup://{}", port.address());
    let began = Instant::now();
    let (code, text, _) = fetch(folder.path(), &address, &["--timeout", "300ms"]);
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("unreachable"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10));

    // Connections are accepted, and a login is never answered.
    let silent = peer(|stream, _| answer(stream, b""));
    let args = ["--retries", "1", "--timeout", "200ms"];
    let (code, text, _) = fetch(folder.path(), &soup(silent), &args);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("is soup://"), "{text}");
}

#[test]
fn an_exchange_without_heartbeats_is_connected_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = peer(|stream, number| {
        let packets = match number {
            0 => vec![accepted(1), Packet::Sequenced(b"a")],
            _ => vec![accepted(2), Packet::Sequenced(b"b"), Packet::EndOfSession],
        };
        answer(stream, &encoded(&packets));
    });
    let (code, text, report) = fetch(folder.path(), &soup(address), &["--silence", "200ms"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(report["lines"][0]["soup"]["silences"], 1);
    assert!(text.contains("1 silent"), "{text}");
    assert_eq!(recorded(&folder.path().join("rec.tape")), [b"a", b"b"]);
}
