//! HTTP address of an exchange and of a client, over real sockets.

use crate::in_time::{ChildInTime, CommandInTime};
use crate::support::{PATIENCE, betacrew, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Running program with an HTTP address.
pub(crate) struct Program {
    child: Child,
    pub(crate) feed: String,
    /// Addresses of all listeners and lines.
    pub(crate) feeds: Vec<String>,
    pub(crate) http: String,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = betacrew(args);
        command.stderr(Stdio::null());
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        command.args(["--http", "127.0.0.1:0"]);
        Self::announced(command)
    }

    /// Starts a command with an HTTP address of its own; returns once that is announced.
    pub(crate) fn announced(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Built before the loop, because dropping it kills the child if the loop panics.
        let (feed, http) = (String::new(), String::new());
        let mut program = Self { child, feed, feeds: Vec::new(), http };
        for line in lines {
            if let Some(address) = line.strip_prefix("http on ") {
                program.http = address.to_owned();
                return program;
            }
            program.feed = line.strip_prefix("listening on ").unwrap().to_owned();
            program.feeds.push(program.feed.clone());
        }
        panic!("the program ended before it announced its HTTP address");
    }

    pub(crate) fn exchange(args: &[&str]) -> Self {
        Self::start(&[&["serve", "--listen", "127.0.0.1:0"], args].concat())
    }

    pub(crate) fn client(folder: &std::path::Path, exchange: &Self) -> Self {
        let output = folder.join("out.json");
        Self::start(&["fetch", "-f", &exchange.feed, "-o", output.to_str().unwrap()])
    }

    /// Ends the program as Ctrl+C does.
    pub(crate) fn interrupt(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.ends();
    }

    /// Sends `request` unchanged. Returns status and body of the answer.
    fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server answers an oversized request before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        // A reset after the answer does not make the answer invalid.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0);
        (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let host = &self.http;
        let len = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-length: {len}\r\n{headers}\r\n{body}"
        ))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let json = "content-type: application/json\r\n";
        let (status, body) = self.ask("POST", path, json, &body.to_string());
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(crate) fn metrics(&self) -> String {
        self.ask("GET", "/metrics", "", "").1
    }

    /// Waits until the state meets the condition.
    pub(crate) fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let state = self.get("/api/state");
            if what(&state) {
                return state;
            }
            assert!(began.elapsed() < PATIENCE, "never: {state}");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

pub(crate) const LIVE: [&str; 5] = ["--live", "--pace", "2000/s", "--drop", "0"];

#[test]
fn packets_dropped_by_command_are_a_gap_of_the_client_and_then_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    let client = Program::client(folder.path(), &exchange);
    client.until(|state| state["highest"].as_u64() > Some(10));
    let (status, answer) = exchange.post("/api/drop", &json!({ "next": 200 }));
    assert_eq!((status, &answer["done"]), (200, &json!("the next 200 packets are dropped")));
    let state = client.until(|state| state["counters"]["recovered"] == 200);
    assert_eq!(state["role"], "client");
    let gap = &client.get("/api/gaps")["gaps"][0];
    assert_eq!((&gap["id"], &gap["filled_by"]), (&json!(1), &json!("resend")), "{gap}");
    assert_eq!((&gap["cause"], &gap["abandoned"]), (&json!("missed on line 1"), &json!(null)));
    let times = ["opened", "requested", "filled"].map(|time| gap[time].as_f64().unwrap());
    assert!(times.is_sorted() && gap["requests"].as_u64() >= Some(1), "{gap}");
    let strip = client.get("/api/strip?cells=1");
    assert_eq!(strip["cells"][0][1], 200, "{strip}");
    let state = exchange.get("/api/state");
    assert_eq!(state["counters"]["dropped"], 200);
    let told = state["events"].as_array().unwrap().iter();
    assert!(told.clone().any(|event| event["text"].as_str().unwrap().contains("200 packets")));
    assert!(exchange.metrics().contains("faults_injected_total{kind=\"drop_next\"} 200\n"));
    let strip = exchange.get("/api/strip?cells=1");
    assert_eq!((&strip["cells"][0][1], &strip["cells"][0][2]), (&json!(200), &json!(200)));
}

#[test]
fn commands_change_a_running_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    let client = Program::client(folder.path(), &exchange);
    client.until(|state| state["highest"].as_u64() > Some(10));
    let done = |path: &str, body: Value| {
        let (status, answer) = exchange.post(path, &body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
    };
    done("/api/faults", json!({ "drop": 0.5 }));
    let state = exchange.until(|state| state["faults"]["rules"][0]["applied"].as_u64() > Some(20));
    assert!((state["faults"]["drop"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    done("/api/faults", json!({ "toml": "[[fault]]\nwhat = \"duplicate\"\n" }));
    client.until(|state| state["counters"]["duplicates"].as_u64() > Some(20));
    done("/api/faults", json!({ "scenario": "burst" }));
    assert_eq!(exchange.get("/api/state")["faults"]["scenario"], "burst");
    done("/api/faults", json!({ "clear": true }));
    done("/api/pause", json!({}));
    let sent = exchange.get("/api/state")["counters"]["packets"].clone();
    let last = exchange.get("/api/state")["session"]["last"].as_u64();
    let state = exchange.until(|state| state["session"]["last"].as_u64() > last);
    assert_eq!((&state["faults"]["paused"], &state["counters"]["packets"]), (&json!(true), &sent));
    done("/api/resume", json!({}));
    client.until(|state| state["highest"].as_u64() > last);
    done("/api/stall", json!({ "all": true, "for_ms": 1 }));
    let first = &exchange.get("/api/state")["connections"][0]["id"];
    done("/api/cut", json!({ "connection": first, "how": "reset" }));
    client.until(|state| state["lines"][0]["reconnects"].as_u64() > Some(0));
    client.until(|state| state["missing"] == 0 && state["highest"].as_u64() > last);
}

#[test]
fn invalid_requests_are_refused_with_the_allowed_values() {
    let exchange = Program::exchange(&LIVE);
    for (path, body, status) in [
        ("/api/faults", json!({ "drop": 1.5 }), 400),
        ("/api/faults", json!({ "drop": 0.1, "clear": true }), 400),
        ("/api/faults", json!({ "scenario": "/etc/passwd" }), 404),
        ("/api/faults", json!({ "toml": "[[fault]]\nwhat = \"nonsense\"\n" }), 400),
        ("/api/drop", json!({ "next": 0 }), 400),
        ("/api/drop", json!({ "next": -1 }), 400),
        ("/api/drop", json!([]), 400),
        ("/api/drop", json!([5]), 400),
        ("/api/pause", json!({ "no": 1 }), 400),
        ("/api/cut", json!({}), 400),
        ("/api/cut", json!({ "connection": 99 }), 404),
        ("/api/stall", json!({ "all": true, "for_ms": 3_600_001 }), 400),
        ("/api/nothing", json!({}), 404),
    ] {
        let (got, answer) = exchange.post(path, &body);
        assert_eq!(got, status, "{path} {body}: {answer}");
        assert!(answer["error"].is_string() && answer["allowed"].is_string(), "{answer}");
    }
    for query in ["from=0", "to=x", "cells=4001", "cells=1&cells=2", "from=9007199254740993", "to="]
    {
        let (status, body) = exchange.ask("GET", &format!("/api/strip?{query}"), "", "");
        assert_eq!(status, 400, "{query}: {body}");
    }
    assert_eq!(exchange.ask("DELETE", "/api/state", "", "").0, 405);
}

#[test]
fn a_foreign_web_page_cannot_send_commands() {
    let exchange = Program::exchange(&LIVE);
    let json = "content-type: application/json\r\n";
    let pause = |headers: &str| exchange.ask("POST", "/api/pause", headers, "{}").0;
    assert_eq!(pause("content-type: text/plain\r\n"), 415);
    assert_eq!(pause("content-type: application/x-www-form-urlencoded\r\n"), 415);
    assert_eq!(pause(&format!("{json}origin: http://evil.example\r\n")), 403);
    assert_eq!(pause(&format!("{json}origin: null\r\n")), 403);
    // DNS rebinding: the foreign name is in both headers.
    let rebound = "POST /api/pause HTTP/1.1\r\nhost: evil.example\r\n\
                   origin: http://evil.example\r\n\
                   connection: close\r\ncontent-type: application/json\r\n\
                   content-length: 2\r\n\r\n{}";
    assert_eq!(exchange.raw(rebound).0, 421);
    let read = "GET /api/state HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange.raw(read).0, 421);
    assert_eq!(exchange.get("/api/state")["faults"]["paused"], false);
    let own = format!("{json}origin: http://{}\r\n", exchange.http);
    assert_eq!(pause(&own), 200);
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let (code, _, stderr) =
        run(&mut betacrew(&["serve", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"]));
    assert!(code == 2 && stderr.contains("--http-token"), "{stderr}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "correct-horse\n").unwrap();
    let file = file.path().to_str().unwrap();
    for token in [["--http-token", "correct-horse"], ["--http-token-file", file]] {
        let exchange = Program::exchange(&[&LIVE[..], &token].concat());
        let pause = |token: &str| {
            let headers = format!("content-type: application/json\r\n{token}");
            exchange.ask("POST", "/api/pause", &headers, "{}").0
        };
        assert_eq!(pause(""), 401);
        assert_eq!(pause("authorization: Bearer wrong-horse!\r\n"), 401);
        assert_eq!(pause("authorization: Bearer correct-horse\r\n"), 200);
        exchange.get("/api/state");
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) =
        run(&mut betacrew(&["serve", "--listen", "127.0.0.1:0", "--http", &address]));
    assert_eq!(code, 1);
    assert!(stderr.contains(&address) && stderr.contains("--http"), "{stderr}");
}

#[test]
fn oversized_requests_and_too_many_clients_are_refused() {
    let exchange = Program::exchange(&LIVE);
    let json = "content-type: application/json\r\n";
    let long = format!("{{\"toml\":\"{}\"}}", "x".repeat(300_000));
    assert_eq!(exchange.ask("POST", "/api/faults", json, &long).0, 413);
    let mut many = String::new();
    for number in 0..3000 {
        let _ = write!(many, "x-{number}: {}\r\n", "y".repeat(40));
    }
    // Each request is one write. Status 0 is a reset before the answer was read.
    for (head, expected) in [
        (many, &[0, 431][..]),
        (format!("x: {}\r\n", "y".repeat(65_000)), &[200]),
        (format!("x: {}\r\n", "y".repeat(66_000)), &[0, 431]),
        (format!("x: {}\r\n", "y".repeat(100_000)), &[0, 431]),
    ] {
        let (status, answer) = exchange.ask("GET", "/api/state", &head, "");
        assert!(expected.contains(&status), "{} bytes: {status} {answer}", head.len());
    }
    // More clients than the limit, all silent: the rest are turned away, and the feed still works.
    let idle: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(&exchange.http).unwrap()).collect();
    let feed = TcpStream::connect(&exchange.feed).unwrap();
    drop((idle, feed));
    let began = Instant::now();
    // The slots are free once the exchange has noticed that the clients are gone.
    while exchange.ask("GET", "/healthz", "", "").0 != 200 {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn written_packets_and_bytes_are_counted_for_each_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (record, csv) = (path("record.tape"), path("out.csv"));
    let fast = ["--live", "--pace", "20000/s", "--drop", "0", "--record", &record];
    let exchange = Program::exchange(&fast);
    let args = ["fetch", "-f", &exchange.feed, "-o", &csv, "--rotate", "1h"];
    let client = Program::start(&args);
    let value = |program: &Program, name: &str| {
        let text = program.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
    };
    client.until(|state| state["highest"].as_u64() > Some(200));
    for (program, role) in [(&exchange, "exchange"), (&client, "client")] {
        let tape = |unit| value(program, &format!("betacrew_{role}_tape_{unit}_total"));
        let (packets, bytes) = (tape("packets_written"), tape("written_bytes"));
        assert!(packets >= 200.0 && bytes >= packets * 17.0, "{role}: {packets}, {bytes}");
    }
    let output = |unit| format!("betacrew_client_output_{unit}_total{{output=\"{csv}\"}}");
    let began = Instant::now();
    // The output is buffered, so the first bytes are written later.
    while value(&client, &output("written_bytes")) == 0.0 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert!(value(&client, &output("packets_written")) >= 200.0);
}

#[test]
fn a_listener_above_the_limit_gets_503_and_other_requests_are_answered() {
    let exchange = Program::exchange(&LIVE);
    let (mut listeners, events) = (Vec::new(), "/api/events");
    for _ in 0..96 {
        let mut stream = TcpStream::connect(&exchange.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = &exchange.http;
        write!(stream, "GET {events} HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        listeners.push(stream);
    }
    let (status, body) = exchange.ask("GET", events, "", "");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &answer["error"]), (503, &json!("96 clients listen to events already")));
    assert!(answer["allowed"].is_string());
    assert_eq!(exchange.ask("GET", "/healthz", "", "").0, 200);
}

/// Runs `check` on an exchange and on its client.
fn both(check: impl Fn(&Program)) {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.tape");
    let exchange =
        Program::exchange(&[&LIVE[..], &["--record", record.to_str().unwrap()]].concat());
    let client = Program::client(folder.path(), &exchange);
    client.until(|state| state["highest"].as_u64() > Some(10));
    check(&exchange);
    check(&client);
}

#[test]
fn every_query_of_the_grafana_dashboard_names_an_existing_metric() {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grafana.json");
    let text = std::fs::read_to_string(text).unwrap();
    let _: Value = serde_json::from_str(&text).unwrap();
    let names = std::cell::RefCell::new(String::new());
    both(|program| *names.borrow_mut() += &program.metrics());
    let names = names.into_inner();
    let known = |name: &str| {
        names
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|it| it.starts_with([' ', '{'])))
    };
    let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let asked: Vec<&str> = text.split(word).filter(|word| word.starts_with("betacrew_")).collect();
    assert!(asked.len() > 15, "{asked:?}");
    for name in asked {
        assert!(known(name), "{name} is no metric");
    }
}

/// Returns whether a tool runs. In CI (BETACREW_REQUIRE_HTTP=1) a missing tool fails the test.
pub(crate) fn has(command: &mut Command) -> bool {
    let there = command.output_in_time().is_ok_and(|output| output.status.success());
    let required = std::env::var_os("BETACREW_REQUIRE_HTTP").is_some_and(|value| value == "1");
    assert!(there || !required, "{command:?} does not run");
    there
}

#[test]
fn metrics_pass_promtool() {
    let promtool = std::env::var("BETACREW_PROMTOOL").unwrap_or("promtool".to_owned());
    if !has(Command::new(&promtool).arg("--version")) {
        return println!("skipped: no promtool (Debian's package prometheus has it)");
    }
    both(|program| {
        let mut lint = Command::new(&promtool);
        let lint = lint.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut lint = lint.spawn().unwrap();
        lint.stdin.take().unwrap().write_all(program.metrics().as_bytes()).unwrap();
        let output = lint.ends_with_output();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    });
}

#[test]
fn the_api_matches_its_openapi_document() {
    let python = std::env::var("BETACREW_PYTHON").unwrap_or("python3".to_owned());
    let tool = || {
        let mut command = Command::new(&python);
        command.args(["-m", "schemathesis.cli"]);
        command
    };
    if !has(tool().arg("--version")) {
        return println!("skipped: no schemathesis (python3 -m pip install schemathesis)");
    }
    let folder = tempfile::tempdir().unwrap();
    both(|program| {
        let document = format!("http://{}/openapi.json", program.http);
        // A text that fits the schema need not be a scenario, and a stream of events has no end.
        let runs: [&[&str]; 2] = [
            &["--exclude-path", "/api/events", "--exclude-path", "/api/faults"],
            &["--include-path", "/api/faults", "--exclude-checks", "positive_data_acceptance"],
        ];
        let client = program.get("/api/state")["role"] == "client";
        for select in &runs[..if client { 1 } else { 2 }] {
            let mut run = tool();
            run.args(["run", &document, "-n", "10", "--generation-deterministic", "--no-color"]);
            run.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "30"]);
            let output = run.args(*select).current_dir(folder.path()).output_in_time().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}");
        }
    });
}
