//! Lines in MoldUDP64 of an exchange with an HTTP address: commands that reach them, commands that
//! cannot, and what each line has dropped beside what a client says that it missed.

use crate::http::Program;
use crate::mold_fetch::free_addresses;
use crate::support::{betacrew, run};
use feed::wire::mold::{Content, Datagram};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Starts an exchange on a number of lines, and on other addresses.
fn exchange(lines: &[String], others: &[&str], args: &[&str]) -> Program {
    let mut command = betacrew(&["serve"]);
    for address in lines.iter().map(String::as_str).chain(others.iter().copied()) {
        command.args(["--listen", address]);
    }
    command.args(args);
    Program::of(command)
}

/// Returns the addresses of lines to receivers of this machine, with a time of heartbeats.
fn lines(count: usize, start: &str) -> Vec<String> {
    let line = |to: &String| format!("mold://{to}?request=127.0.0.1:0&start={start}");
    free_addresses(count).iter().map(line).collect()
}

#[test]
fn each_line_drops_on_its_own_and_the_report_says_exactly_what_each_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = (folder.path().join("day.itch"), folder.path().join("report.json"));
    let scenario = folder.path().join("each.toml");
    let text = "about = \"Each line drops 5 % of its own\"\npace = \"20000/s\"\nkeep-last = false\n\
                [[fault]]\nwhat = \"drop\"\nchance = \"5%\"\nlines = \"1\"\n\
                [[fault]]\nwhat = \"drop\"\nchance = \"5%\"\nlines = \"2\"\n\
                [[fault]]\nwhat = \"reorder\"\nby = \"1-3\"\nchance = \"5%\"\nlines = \"2\"\n";
    std::fs::write(&scenario, text).unwrap();
    let args = ["--scenario", scenario.to_str().unwrap(), "--tape", "itch:4000", "--seed", "7"];
    let args = [&args[..], &["--datagram", "1400,1"]].concat();
    let exchange = exchange(&lines(2, "5s"), &[], &args);
    let mut command = betacrew(&["fetch"]);
    command.args(&exchange.feeds).arg("-o").arg(&output).arg("--report").arg(&report);
    // What one line drops, the other one may bring late: then it was not missed by both.
    command.args(["--reorder-wait", "200ms"]);
    let (code, _, said) = run(&mut command);
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let state = exchange.get("/api/state");
    for line in 0..2 {
        let (said, dropped) = (&report["lines"][line], &state["mold"][line]);
        assert_eq!(said["mold"]["kernelDrops"], 0, "{said}");
        assert_eq!(said["packetsMissed"], dropped["dropped_messages"], "{said} {dropped}");
        let share = dropped["dropped"].as_f64().unwrap() / 4000.0;
        assert!((0.03..0.07).contains(&share), "{dropped}");
        assert!(dropped["line"] == line + 1 && dropped["over_rate"] == 0, "{dropped}");
    }
    // Messages that both lines dropped are those that had to be requested.
    let strip = exchange.get("/api/strip?from=1&to=4000&cells=4000");
    assert_eq!((&strip["width"], &strip["exact"]), (&1.into(), &1.into()), "{strip}");
    let cells = strip["cells"].as_array().unwrap();
    let by_both = cells.iter().filter(|cell| cell[2] == 2).count();
    assert!(by_both > 0);
    assert_eq!(report["requests"]["missedByAllLines"], by_both, "{}", report["requests"]);
    assert_eq!(report["counts"]["resent"], by_both);
}

/// Receiver that returns the next datagram's sequence, and whether it has messages.
fn next(receiver: &UdpSocket) -> (u64, bool) {
    let mut buffer = [0; 2048];
    let length = receiver.recv(&mut buffer).unwrap();
    let datagram = Datagram::parse(&buffer[..length]).unwrap();
    (datagram.sequence(), matches!(datagram.content(), Content::Messages(_)))
}

#[test]
fn a_line_is_stalled_by_its_number_and_the_others_go_on() {
    let receivers = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let typed = receivers.each_ref().map(|receiver| {
        receiver.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        format!("mold://{}?request=127.0.0.1:0&start=0", receiver.local_addr().unwrap())
    });
    let args = ["--tape", "random:100000", "--pace", "1000/s", "--datagram", "1400,5"];
    let exchange = exchange(&typed, &[], &args);
    receivers.iter().for_each(|receiver| while !next(receiver).1 {});
    let began = Instant::now();
    let (status, done) = exchange.post("/api/stall", &json!({ "line": 2, "for_ms": 2000 }));
    assert_eq!((status, &done["done"]), (200, &"line 2 stalled for 2.0 s".into()), "{done}");
    let state = exchange.get("/api/state");
    assert_eq!(
        (&state["mold"][0]["stalled"], &state["mold"][1]["stalled"]),
        (&false.into(), &true.into())
    );
    // What was sent before the stall is read first; then nothing comes until it is over.
    receivers[1].set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let mut buffer = [0; 2048];
    while receivers[1].recv(&mut buffer).is_ok() {}
    let during = began.elapsed();
    receivers[1].set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (_, has_messages) = next(&receivers[1]);
    assert!(has_messages && during < Duration::from_secs(2), "{during:?}");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let state = exchange.get("/api/state");
    let position = |line: usize| state["mold"][line]["next"].as_u64().unwrap();
    assert!(position(0) > 1000 && position(0).abs_diff(position(1)) < 500, "{state}");
    let (status, done) = exchange.post("/api/stall", &json!({ "all": true, "for_ms": 1 }));
    assert_eq!(status, 200);
    assert_eq!(done["done"], "0 connections and 2 lines stalled for 1.0 ms");
}

#[test]
fn commands_that_cannot_reach_a_line_are_refused_with_words() {
    let exchange = exchange(&lines(2, "0"), &[], &["--tape", "random:1000"]);
    let toml = "[[fault]]\nwhat = \"drop\"\nevery = 2\nlines = \"3\"";
    for (path, body, word) in [
        ("cut", json!({ "all": true }), "lines in MoldUDP64 have no connections"),
        ("cut", json!({ "connection": 1 }), "lines in MoldUDP64 have no connections"),
        ("cut", json!({ "line": 1 }), "unknown field `line`"),
        ("stall", json!({ "line": 3, "for_ms": 5 }), "there is no line 3"),
        ("stall", json!({ "line": 0, "for_ms": 5 }), "lines are numbered from 1"),
        ("stall", json!({ "line": 1, "connection": 1, "for_ms": 5 }), "both"),
        ("stall", json!({ "for_ms": 5 }), "no connection, no line and not all"),
        ("faults", json!({ "toml": toml }), "names line 3, but there are 2 lines"),
        ("faults", json!({ "scenario": "closed-early" }), "no connections"),
    ] {
        let (got, answer) = exchange.post(&format!("/api/{path}"), &body);
        let said = answer["error"].as_str().unwrap_or_default();
        assert!((400..500).contains(&got) && said.contains(word), "{path} {body}: {got} {answer}");
    }
    let (status, done) = exchange.post("/api/drop", &json!({ "next": 3 }));
    assert_eq!(status, 200);
    assert!(done["done"].as_str().unwrap().contains("all of their datagrams"), "{done}");
    let other = self::exchange(&lines(1, "0"), &["soup://127.0.0.1:0"], &["--tape", "itch:10"]);
    let _connected = std::net::TcpStream::connect(
        other.feeds.iter().find_map(|feed| feed.strip_prefix("soup://")).unwrap(),
    )
    .unwrap();
    other.until(|state| state["connections"].as_array().is_some_and(|all| all.len() == 1));
    let (status, done) = other.post("/api/cut", &json!({ "all": true }));
    let said = "1 connection closed; lines in MoldUDP64 have no connections";
    assert_eq!((status, &done["done"]), (200, &said.into()), "{done}");
}

#[test]
fn the_strip_reaches_every_message_of_a_long_session() {
    let exchange = exchange(&lines(1, "60s"), &[], &["--tape", "itch:5000000000"]);
    let strip = exchange.get("/api/strip?from=4999999990&cells=4");
    assert_eq!(
        (&strip["from"], &strip["to"]),
        (&json!(4_999_999_990_u64), &json!(5_000_000_000_u64))
    );
    assert_eq!(strip["cells"], json!([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]));
}
