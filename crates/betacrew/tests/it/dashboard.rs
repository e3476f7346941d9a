//! Values that the dashboard shows: state of the feed, dropped packets, and events.

use crate::http::{LIVE, Program};
use crate::support::{PATIENCE, betacrew, run};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

fn feed(state: &Value) -> &str {
    state["feed"]["state"].as_str().unwrap()
}

/// Records a session of an exchange to its end.
fn record(exchange: &Program, output: &Path, more: &[&str]) {
    let args = [&["fetch", &exchange.feed, "-o", output.to_str().unwrap()], more].concat();
    let (code, _, said) = run(&mut betacrew(&args));
    assert_eq!(code, 0, "{said}");
}

/// Returns the sums of an exchange's strip: sent, resent, dropped.
fn strip(exchange: &Program, cells: u32) -> [u64; 3] {
    let strip = exchange.get(&format!("/api/strip?cells={cells}"));
    let cells = strip["cells"].as_array().unwrap();
    [0, 1, 2].map(|part| cells.iter().map(|cell| cell[part].as_u64().unwrap()).sum())
}

/// Reads a stream of the original protocol to its end. Returns the number of packets.
fn stream(exchange: &Program) -> u64 {
    let mut stream = TcpStream::connect(&exchange.feed).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[1, 0]).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap() as u64 / 17
}

#[test]
fn a_drop_rate_of_25_percent_is_shown_and_stays_shown() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--tape", "random:20000", "--drop", "25%", "--seed", "7"];
    let exchange = Program::exchange(&args);
    let came = stream(&exchange);
    assert!((14_800..15_200).contains(&came), "{came} of 20,000");
    for cells in [1, 100, 999, 4000] {
        assert_eq!(strip(&exchange, cells), [came, 0, 20_000 - came], "in {cells} cells");
    }
    // Resends do not change the share of drops.
    record(&exchange, &folder.path().join("all.json"), &[]);
    let [sent, resent, dropped] = strip(&exchange, 1000);
    assert!(resent >= 4800, "{resent} resent");
    let share = dropped as f64 / (sent + dropped) as f64;
    assert!((0.24..0.26).contains(&share), "{share}");
    let counters = &exchange.get("/api/state")["counters"];
    assert_eq!([&counters["streamed"], &counters["dropped"]], [&json!(sent), &json!(dropped)]);
    // A later stream without drops adds to the sum and hides none of the earlier drops.
    assert_eq!(exchange.post("/api/faults", &json!({ "clear": true })).0, 200);
    assert_eq!(stream(&exchange), 20_000);
    assert_eq!(strip(&exchange, 1000), [sent + 20_000, resent, dropped]);
}

#[test]
fn silent_and_unreachable_feeds_have_states_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    assert_eq!(feed(&exchange.get("/api/state")), "no_client");
    let client = Program::client(folder.path(), &exchange);
    client.until(|state| {
        feed(state) == "following" && state["rates"]["packets"].as_f64() > Some(1e3)
    });
    exchange.until(|state| feed(state) == "playing");
    assert_eq!(exchange.post("/api/pause", &json!({})).0, 200);
    let paused = exchange.until(|state| feed(state) == "paused");
    assert!(paused["feed"]["since"].as_u64() >= paused["started"].as_u64());
    // No data arrives, so the recorder's own clock stands still; rates must fall all the same.
    let silent = client.until(|state| feed(state) == "silent" && state["rates"]["packets"] == 0.0);
    let quiet = silent["now"].as_u64().unwrap() - silent["feed"]["since"].as_u64().unwrap();
    assert!((1500..20_000).contains(&quiet), "{quiet} ms");
    assert_eq!(silent["lines"][0]["state"], "silent");
    let gauge = "betacrew_client_feed_state{state=\"silent\"} 1\n";
    assert!(client.metrics().contains(gauge), "{}", client.metrics());
    assert!(exchange.metrics().contains("betacrew_exchange_feed_state{state=\"paused\"} 1\n"));
    assert_eq!(exchange.post("/api/resume", &json!({})).0, 200);
    client.until(|state| feed(state) == "following");
    drop(exchange);
    let gone = client.until(|state| feed(state) == "unreachable");
    assert!(gone["lines"][0]["since"].as_u64() > silent["feed"]["since"].as_u64());
    let kinds = |state: &Value| -> Vec<String> {
        let events = state["events"].as_array().unwrap().iter();
        events.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    let kinds = kinds(&gone);
    for kind in ["session", "connected", "silent", "unreachable"] {
        assert!(kinds.iter().any(|it| it == kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn a_stall_shows_in_the_state_the_events_and_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    let client = Program::client(folder.path(), &exchange);
    client.until(|state| feed(state) == "following");
    let stall = json!({ "all": true, "for_ms": 2000 });
    assert_eq!(exchange.post("/api/stall", &stall).0, 200);
    let state = exchange.until(|state| feed(state) == "stalled");
    let connections = state["connections"].as_array().unwrap();
    assert!(connections.iter().any(|one| one["kind"] == "subscriber" && one["stalled"] == true));
    let state = exchange.until(|state| feed(state) == "playing");
    let stalls = |event: &&Value| event["kind"] == "stall";
    let stalls = state["events"].as_array().unwrap().iter().filter(stalls).count();
    assert_eq!(stalls, 3, "commanded, begun and ended: {state}");
}

#[test]
fn the_history_has_points_that_no_client_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&LIVE);
    let client = Program::client(folder.path(), &exchange);
    assert_eq!(exchange.post("/api/drop", &json!({ "next": 50 })).0, 200);
    client.until(|state| state["counters"]["recovered"] == 50);
    // The program takes a point a second by itself.
    let began = Instant::now();
    for (program, count) in [(&exchange, "dropped"), (&client, "recovered")] {
        loop {
            let history = program.get("/api/history");
            let points = history["points"].as_array().unwrap();
            let last = points.last().cloned().unwrap_or_default();
            if points.len() >= 3 && last[count] == 50 {
                assert_eq!(history["interval_ms"], 1000);
                let ascending = points.is_sorted_by_key(|point| point["at"].as_u64());
                assert!(ascending && last["packets"].as_u64() > Some(50), "{history}");
                break;
            }
            assert!(began.elapsed() < PATIENCE, "never: {history}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let history = exchange.get("/api/history");
    let kinds: Vec<&Value> =
        history["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert!(kinds.contains(&&json!("drop")) && kinds.contains(&&json!("connected")), "{kinds:?}");
    assert!(!kinds.contains(&&json!("log")), "log lines are only in the state's events");
}

#[test]
fn the_end_of_a_live_session_is_a_state_and_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Program::exchange(&["--live", "--tape", "random:500", "--pace", "5000/s"]);
    record(&exchange, &folder.path().join("all.json"), &["-f"]);
    let state = exchange.until(|state| feed(state) == "over");
    assert!(state["events"].as_array().unwrap().iter().any(|event| event["kind"] == "over"));
}
