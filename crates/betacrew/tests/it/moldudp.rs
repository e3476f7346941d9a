//! MoldUDP64 against the crate moldudp, as client of our exchange and as server of our client. It
//! is a program of its own (`tests/moldudp`), which `cargo build` makes there.

use crate::in_time::ChildInTime;
use crate::mold_fetch::free_addresses;
use crate::mold_serve::framed;
use crate::support::{ServeProcess, betacrew};
use feed::tape::itch_market::ItchMarket;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Returns the program; `None` if it was not built. Fails if the environment requires it.
fn program() -> Option<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moldudp/target/debug/moldudp-peer");
    let program = std::env::var_os("BETACREW_MOLDUDP").map_or(PathBuf::from(built), PathBuf::from);
    let is_required = std::env::var_os("BETACREW_REQUIRE_MOLDUDP").is_some_and(|it| it == "1");
    if program.exists() {
        return Some(program);
    }
    assert!(!is_required, "{} does not exist: cargo build there", program.display());
    println!("skipped: {} was not built", program.display());
    None
}

/// Peer as a process, which ends with the test.
struct Peer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Peer {
    fn start(program: &PathBuf, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns the next line of its output, behind `word`.
    fn says(&mut self, word: &str) -> String {
        let line = self.lines.next().unwrap().unwrap();
        line.strip_prefix(word).unwrap_or_else(|| panic!("{line}")).trim().to_owned()
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

#[test]
fn its_client_records_our_exchange_with_a_datagram_of_twenty_dropped() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let got = folder.path().join("got.itch");
    let mut peer = Peer::start(&program, &["client", got.to_str().unwrap()]);
    let group = peer.says("listening");
    let scenario = folder.path().join("every.toml");
    // It requests a gap once and reads one answer, so no gap may be longer than a datagram.
    let text = "about = \"x\"\npace = \"50000/s\"\n\
                [[fault]]\nwhat = \"drop\"\nevery = 20\n";
    std::fs::write(&scenario, text).unwrap();
    let line = format!("mold://{group}?request=127.0.0.1:0&start=1s");
    let args = ["--tape", "itch:20000:3", "--datagram", "1400,10"];
    let args = [&args[..], &["--scenario", scenario.to_str().unwrap()]].concat();
    let serve = ServeProcess::listening(&[&line], &args);
    let (_, server) = serve.addresses[0].split_once("request=").unwrap();
    peer.tell(server);
    assert_eq!(peer.says("recorded"), "20000 of 20000");
    assert!(framed(ItchMarket::seeded(3, 20_000)) == std::fs::read(got).unwrap());
}

#[test]
fn our_client_records_its_server_although_it_numbers_long_answers_wrongly() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("day.itch");
    let group = &free_addresses(1)[0];
    let mut peer = Peer::start(&program, &["server", group, "30000"]);
    let server = peer.says("request");
    let mut command = betacrew(&["fetch", &format!("mold://{group}?request={server}"), "-o"]);
    command.arg(&output).stderr(Stdio::piped());
    let mut fetch = command.spawn().unwrap();
    peer.tell("go");
    let ended = fetch.ends_with_output();
    let text = String::from_utf8_lossy(&ended.stderr);
    // Each message is right; that the server contradicts itself is said, and makes the code 4.
    let contradicts = text.contains("arrived again with different content");
    assert_eq!(ended.status.code(), Some(if contradicts { 4 } else { 0 }), "{text}");
    assert!(text.contains("complete: 30,000 messages"), "{text}");
    let mut want = Vec::new();
    for sequence in 1_u64..=30_000 {
        let padding = (sequence / 300 % 40) as usize;
        let message = format!("message {sequence} {}", "x".repeat(padding));
        want.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        want.extend(message.as_bytes());
    }
    assert!(std::fs::read(output).unwrap() == want, "{text}");
}
