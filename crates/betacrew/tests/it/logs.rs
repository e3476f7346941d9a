//! What is logged: its form, and how much of it.

use crate::http::{LIVE, Program};
use crate::support::betacrew;
use serde_json::{Value, json};

/// What a program logs while it is asked by a client to do this, from its beginning to its end.
fn logged(log: &[&str], order: impl Fn(&Program)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (log_place, out) = (folder.path().join("log"), folder.path().join("out.json"));
    let args = [&["serve", "--listen", "127.0.0.1:0", "--tape", "market:1"], &LIVE[..], log];
    let mut command = betacrew(&args.concat());
    // Both append to it.
    let log_file = || std::fs::File::options().create(true).append(true).open(&log_place).unwrap();
    command.stderr(log_file());
    let exchange = Program::of(command);
    let mut client = betacrew(&["fetch", "-f", &exchange.feed, "-o", out.to_str().unwrap()]);
    client.args(log).stderr(log_file());
    let client = Program::of(client);
    order(&exchange);
    client.until(|state| state["highest"].as_u64() > Some(1000));
    client.interrupt();
    exchange.interrupt();
    std::fs::read_to_string(log_place).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_line_of_a_log_in_json_is_an_object_and_none_is_a_packet_s() {
    let lines = logged(&["--log-format", "json", "--log", "trace"], |exchange| {
        exchange.post("/api/faults", &json!({ "drop": 0.2 }));
    });
    // More than a thousand packets went by, a fifth of them were lost and sent again.
    assert!((5..50).contains(&lines.len()), "{lines:#?}");
    let mut orders = 0;
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}"));
        assert!(text("timestamp").ends_with('Z') && text("timestamp").len() == 27, "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level")), "{line}");
        assert!(text("target").starts_with("betacrew"), "{line}");
        orders += u32::from(text("message").starts_with("control: scenario drop 20%"));
    }
    assert_eq!(orders, 1);
}

#[test]
fn a_log_has_the_modules_that_were_asked_for() {
    let order = |exchange: &Program| {
        exchange.post("/api/lose", &json!({ "next": 1 }));
    };
    let lines = logged(&["--log", "off,betacrew::web=info"], order);
    let told: Vec<&String> = lines.iter().filter(|line| line.contains(" INFO ")).collect();
    assert!(told.len() == 1 && told[0].contains("control: the next packet is lost"), "{lines:#?}");
    let lines = logged(&["--log", "info,betacrew::web=off"], order);
    assert!(lines.iter().any(|line| line.contains(" INFO live at")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("control:")), "{lines:#?}");
}
