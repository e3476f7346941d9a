//! Flags that would be misread: said at the start, or read as they are meant.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ReservedPort, ServeProcess, betacrew, run};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

/// Runs a command that must end by itself: exit code, stdout, stderr.
fn refused(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    run(betacrew(args).current_dir(folder.path()))
}

/// Runs a command until it has said where it is, and ends it.
fn says(mut command: Command, lines: usize) -> Vec<String> {
    struct Ended(Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.kill_and_reap();
        }
    }
    // It is killed, and leaves what it has begun.
    let folder = tempfile::tempdir().unwrap();
    command.current_dir(folder.path());
    let mut child = Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let stdout = BufReader::new(child.0.stdout.take().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    (0..lines).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect()
}

fn address(line: &str) -> SocketAddr {
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_bare_number_is_a_port_of_this_machine() {
    let lines = says(betacrew(&["serve", "--listen", "0"]), 1);
    assert!(address(&lines[0]).ip().is_loopback(), "{lines:?}");
    let reserved = ReservedPort::new();
    let port = reserved.port;
    let typed = port.to_string();
    let lines = says(betacrew(&["serve", "--listen", &typed]), 1);
    assert_eq!(address(&lines[0]), SocketAddr::from(([127, 0, 0, 1], port)));
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--tape", "classic"]);
    let port = serving.addresses[0].rsplit_once(':').unwrap().1;
    let (code, _, log) = run(betacrew(&["fetch", port]).current_dir(folder.path()));
    assert_eq!(code, 0, "{log}");
}

#[test]
fn what_is_no_address_is_refused_with_the_reason() {
    for (args, reason) in [
        (&["fetch", ""][..], "it is empty"),
        (&["fetch", "127.1"], "four decimal numbers"),
        (&["fetch", "0x7f000001:3000"], "four decimal numbers"),
        (&["fetch", "99999"], "not a number from 0 to 65535"),
        (&["fetch", "0"], "port 0, which cannot be connected to"),
        (&["fetch", "-f", "127.0.0.1:0"], "port 0, which cannot be connected to"),
        (&["fetch", "-f", "--from", "5"], "--from 5 sets the first packet on stdout"),
        (&["serve", "--pace", "0.01/s"], "whole number of packets or bytes a second"),
        (&["serve", "--live", "--pace", "0.01/s"], "whole number of packets a second, from 1"),
        (&["serve", "--listen", "127.1:0"], "four decimal numbers"),
        (&["serve", "--listen", ""], "it is empty"),
        (&["serve", "--listen", "127.0.0.1:0", "--log", "blah"], "off, error, warn, info"),
        (&["fetch", "--log", "betacrew"], "off, error, warn, info"),
    ] {
        let (code, stdout, stderr) = refused(args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(reason), "{args:?}: {stderr}");
    }
}

#[cfg(feature = "web")]
#[test]
fn http_has_a_port_of_its_own_and_both_families() {
    for args in [&["fetch", "127.0.0.1:1"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let mut command = betacrew(args);
        command.args(["--http", "localhost:0", "-f"].iter().take(if args.len() == 2 {
            3
        } else {
            2
        }));
        let both = std::net::TcpListener::bind("[::1]:0").is_ok();
        let lines = says(command, if both { 2 } else { 1 } + usize::from(args.len() == 3));
        let at: Vec<_> = lines.iter().filter(|line| line.starts_with("http on")).collect();
        let at: Vec<SocketAddr> = at.into_iter().map(|line| address(line)).collect();
        assert_eq!(at.len(), if both { 2 } else { 1 }, "{lines:?}");
        assert!(at.iter().all(|at| at.ip().is_loopback()));
    }
    let reserved = ReservedPort::new();
    let itself = reserved.address();
    let (code, _, stderr) = refused(&["fetch", &itself, "--http", &itself]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("the same address"), "{stderr}");
}

#[cfg(feature = "web")]
#[test]
fn nothing_is_listened_on_where_http_cannot_be_had() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("x.tape");
    std::fs::write(&record, "precious").unwrap();
    let place = record.to_str().unwrap();
    for more in [&[][..], &["--live", "--record", place, "--new-session"]] {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--http", &http][..], more].concat();
        let (code, stdout, stderr) = refused(&args);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("cannot serve HTTP on"), "{stderr}");
    }
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "precious");
}

#[test]
fn what_cannot_go_wrong_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let at = file.to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--tape", "sample"];
    std::fs::write(&file, "[[fault]]\nwhat = \"drop\"\non = \"heartbeat\"\n").unwrap();
    for (more, reason) in [
        (
            &["--skip", "100"][..],
            "--skip 100: the exchange sends no packet above 5, because sample:5 has",
        ),
        (
            &["--skip", "2,9"],
            "--skip 9: the exchange sends no packet above 5, because sample:5 has packets 1-5",
        ),
        (&["--skip", "4-9", "--drop", "20%"], "--skip 6-9: the exchange sends no packet above 5"),
        (&["--skip", "6-9"], "the exchange sends no packet above 5"),
        (&["--scenario", at], "only a live session has heartbeats"),
        (&["--live", "--pace", "9/s", "--skip", "100"], "the exchange sends no packet above 5"),
    ] {
        let (code, stdout, stderr) = refused(&[&serve[..], more].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{more:?}: {stderr}");
        assert!(stderr.contains(reason), "{more:?}: {stderr}");
    }
    // One that can happen in part is played.
    let skip = "[[fault]]\nwhat = \"drop\"\nsequences = ";
    std::fs::write(&file, format!("{skip}\"2\"\n{skip}\"100\"\n")).unwrap();
    let serving = ServeProcess::start(&["--tape", "sample", "--scenario", at]);
    serving.signal(rustix::process::Signal::TERM);
    let (code, log) = serving.ends();
    assert_eq!(code, 0, "{log}");
    assert!(
        log.contains(
            "WARN faults that cannot happen to sample:5: `drop, on stream, sequences 100`"
        ),
        "{log}"
    );
    for fine in [&["--skip", "5"][..], &["--drop", "0"], &["--tape", "sample:1"]] {
        let serving = ServeProcess::start(fine);
        serving.signal(rustix::process::Signal::TERM);
        let (code, log) = serving.ends();
        assert!(code == 0 && !log.contains("WARN"), "{log}");
    }
    let connected = TcpStream::connect(ServeProcess::start(&[]).addresses[0].as_str());
    assert!(connected.is_ok());
}

#[cfg(feature = "web")]
#[test]
fn faults_that_cannot_happen_are_refused_over_http_too() {
    use crate::http::Program;
    use serde_json::json;
    let exchange = Program::exchange(&["--tape", "sample"]);
    let order = |text: &str| exchange.post("/api/faults", &json!({ "toml": text }));
    let skip = |seq| format!("[[fault]]\nwhat = \"drop\"\nsequences = \"{seq}\"\n");
    let (status, answer) = order(&skip("100"));
    let error = answer["error"].as_str().unwrap();
    assert!(status == 400 && error.contains("never apply to this tape"), "{status} {answer}");
    let (status, answer) = order(&(skip("100") + &skip("5")));
    let done = answer["done"].as_str().unwrap();
    assert!(status == 200 && done.contains("`drop, on stream, sequences 100`"), "{answer}");
    assert_eq!(order(&skip("5")).1["done"], "scenario from /api/faults is in force");
    for fine in [json!({ "drop": 0 }), json!({ "clear": true })] {
        assert_eq!(exchange.post("/api/faults", &fine).0, 200, "{fine}");
    }
}
