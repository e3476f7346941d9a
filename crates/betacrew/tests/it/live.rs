//! Live sessions over real sockets and real processes.

use crate::in_time::ChildInTime;
use crate::support::{ServeProcess, Serving, betacrew, call, connect, read_frame, run};
use feed::exchange::server::MockExchange;
use feed::faults::scenario::Scenario;
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::growing::GrowingTape;
use feed::tape::market::SyntheticMarket;
use feed::wire::{Call, Frame, Info, MAX_PACKET_SEQ, decode, encode, sequence_of};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

fn serve(folder: &Path, args: &[&str]) -> ServeProcess {
    let record = folder.join("exchange.tape");
    let record = record.to_str().unwrap();
    ServeProcess::start(&[&["--live", "--record", record], args].concat())
}

fn described(address: &str) -> (std::net::TcpStream, Info) {
    let mut stream = connect(address.parse().unwrap());
    call(&mut stream, Call::Describe { version: 1 });
    match decode(&read_frame(&mut stream)) {
        Ok(Frame::Info(info)) => (stream, info),
        other => panic!("{other:?}"),
    }
}

/// Receives packets `from` to `to` from a subscription.
fn subscribed(address: &str, from: u64, to: u64) -> Info {
    let (mut stream, info) = described(address);
    call(&mut stream, Call::Subscribe { first: from });
    let market = SyntheticMarket::new(info.session, MAX_PACKET_SEQ);
    for seq in from..=to {
        let packet = loop {
            let frame = read_frame(&mut stream);
            if !matches!(decode(&frame), Ok(Frame::Heartbeat(_))) {
                break frame;
            }
        };
        assert_eq!(packet, encode(&Frame::Packet(market.packet(seq))));
    }
    info
}

#[test]
fn an_exchange_that_is_killed_goes_on_with_the_same_session() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--pace", "50000/s", "--drop", "0"];
    let mut exchange = serve(folder.path(), &args);
    let before = subscribed(&exchange.addresses[0], 1, 5000);
    exchange.child.kill().unwrap();
    drop(exchange);
    // What it had sent and not recorded comes into being again, the same.
    let exchange = serve(folder.path(), &args);
    let after = subscribed(&exchange.addresses[0], 1, 9000);
    assert_eq!((after.session, after.first), (before.session, 1));
    exchange.signal(Signal::INT);
    assert_eq!(exchange.ends().0, 0);
    let tape = folder.path().join("exchange.tape");
    let (code, said, _) = run(betacrew(&["inspect", "--verify"]).arg(&tape));
    assert!(code == 0 && said.contains("complete"), "{said}");
    let other = serve(folder.path(), &[&args[..], &["--new-session"]].concat());
    let (_, info) = described(&other.addresses[0]);
    assert_ne!(info.session, before.session);
}

/// Packets as `fetch --follow -o -` writes them, until there are so many.
fn followed(address: &str, folder: &Path, count: usize) -> (Vec<String>, i32, String) {
    let mut child = betacrew(&["fetch", "--follow", address, "-o", "-", "-o", "out.json"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut got: Vec<String> = lines.by_ref().take(count).collect();
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, Signal::INT).unwrap();
    got.extend(lines);
    let output = child.ends_with_output();
    let said = String::from_utf8(output.stderr).unwrap();
    (got, output.status.code().unwrap(), said)
}

#[test]
fn a_session_is_written_on_as_it_comes_in_order_and_complete() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = serve(folder.path(), &["--pace", "poisson:20000/s", "--drop", "10%"]);
    let (lines, code, said) = followed(&exchange.addresses[0], folder.path(), 20_000);
    assert!(code == 0 || code == 3, "{said}");
    for (seq, line) in (1..).zip(&lines) {
        assert!(line.contains(&format!("\"sequence\":{seq},")), "{line}");
    }
    exchange.signal(Signal::INT);
    assert_eq!(exchange.ends().0, 0);
    // Equal to the exchange's own record, as far as it goes.
    let storage =
        betacrew::storage::FileStorage::read(&folder.path().join("exchange.tape")).unwrap();
    let (file, _) = TapeFile::open(storage, OpenMode::Index).unwrap();
    let mut reading = file.in_order(1);
    let mut seqs = Vec::new();
    while let Some(piece) = reading.next().unwrap() {
        seqs.extend(piece.packets().iter().map(sequence_of));
    }
    assert!(seqs.len() >= lines.len());
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    if code == 0 {
        let written = std::fs::read_to_string(folder.path().join("out.json")).unwrap();
        assert_eq!(written.matches("\"sequence\"").count(), lines.len());
    }
}

#[test]
fn a_session_that_ends_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = ServeProcess::start(&["--live", "--tape", "random:3000:1", "--pace", "10000/s"]);
    let args = ["fetch", "-f", &exchange.addresses[0], "-o", "x.tape"];
    let (code, _, said) = run(betacrew(&args).current_dir(folder.path()));
    assert!(code == 0 && said.contains("complete: 3,000 packets"), "{said}");
    let args = ["inspect", "x.tape", "--verify"];
    assert_eq!(run(betacrew(&args).current_dir(folder.path())).0, 0);
}

#[test]
fn a_subscriber_that_does_not_read_keeps_nobody_waiting() {
    // More than any socket takes is there already, and more comes all the time.
    let market = SyntheticMarket::seeded(1, MAX_PACKET_SEQ);
    let live = GrowingTape::new(market, "2000/s".parse().unwrap(), 1, 3_000_000);
    let exchange = Serving::start(MockExchange::new(live, Scenario::clean(1)));
    let mut stalled = connect(exchange.address);
    call(&mut stalled, Call::Describe { version: 1 });
    call(&mut stalled, Call::Subscribe { first: 1 });
    // It is full once another one that came after it has been served, time and again.
    let mut last = 0;
    while last < 3_000_500 {
        let (_, info) = described(&exchange.address.to_string());
        assert!(info.last >= last);
        last = info.last;
    }
    // And it goes on when that reads again.
    assert!(matches!(decode(&read_frame(&mut stalled)), Ok(Frame::Info(_))));
    for seq in 1..=500_000 {
        assert_eq!(sequence_of(&read_frame(&mut stalled)), seq);
    }
    exchange.end();
}

#[test]
fn flags_of_live_sessions_that_make_no_sense_are_refused() {
    for (args, reason) in [
        (&["serve", "--tape", "market"][..], "--live"),
        (&["serve", "--live", "--pace", "fast"], "poisson:5000/s"),
        (&["serve", "--record", "x"], "--live"),
        (&["serve", "--live", "--pace", "recorded"], "give a rate"),
        (&["fetch", "-f", "-o", "-", "--format", "json"], "ndjson or csv"),
        (&["fetch", "-f", "--last", "3"], "--last"),
        (&["fetch", "-f", "--give-up", "9ms", "--reorder-wait", "9ms"], "longer than --reorder"),
    ] {
        let (code, _, stderr) = run(&mut betacrew(args));
        assert!(code == 2 && stderr.contains(reason), "{args:?}: {stderr}");
    }
}
