//! Log lines: their form and their number.

use crate::http::{LIVE, Program};
use crate::support::{betacrew, run};
use serde_json::{Value, json};

/// Returns the log of a program from its start to its end, while a client does this.
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
    // More than a thousand packets went by, a fifth of them were dropped and sent again.
    assert!((5..100).contains(&lines.len()), "{lines:#?}");
    let (mut orders, mut timers) = (0, 0);
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}"));
        assert!(text("timestamp").ends_with('Z') && text("timestamp").len() == 27, "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level")), "{line}");
        assert!(text("target").starts_with("betacrew"), "{line}");
        orders += u32::from(text("message").starts_with("control: scenario drop 20%"));
        timers += u32::from(text("message").starts_with("timers: "));
    }
    assert!(orders == 1 && timers > 0, "{orders} {timers}");
}

#[test]
fn a_log_has_the_modules_that_were_asked_for() {
    let order = |exchange: &Program| {
        exchange.post("/api/drop", &json!({ "next": 1 }));
    };
    let lines = logged(&["--log", "off,betacrew::http=info"], order);
    let told: Vec<&String> = lines.iter().filter(|line| line.contains(" INFO ")).collect();
    assert!(
        told.len() == 1 && told[0].contains("control: the next packet is dropped"),
        "{lines:#?}"
    );
    let lines = logged(&["--log", "info,betacrew::http=off"], order);
    assert!(lines.iter().any(|line| line.contains(" INFO live at")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("control:")), "{lines:#?}");
}

/// Characters with which a file name or a scenario could control a terminal and forge a line.
const NASTY: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\r\n    77.777 ERROR forged\u{9b}1m\u{202e}";

/// Returns whether a text is safe to show.
fn is_safe(text: &str) {
    let strange = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}".contains(c));
    assert!(!text.contains(strange), "{text:?}");
    let forged = |line: &str| line.trim_start().starts_with("77.777") || line.starts_with("forged");
    assert!(text.contains("forged") && !text.lines().any(forged), "{text}");
}

#[test]
fn what_others_have_written_steers_no_terminal_and_forges_no_line() {
    use crate::support::ServeProcess;
    use rustix::process::Signal;
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("mine.toml");
    let about = serde_json::to_string(NASTY).unwrap();
    std::fs::write(&scenario, format!("about = {about}\n")).unwrap();
    let scenario = scenario.to_str().unwrap();
    for format in ["text", "json"] {
        let args = ["--scenario", scenario, "--log-format", format];
        let exchange = ServeProcess::start(&args);
        exchange.signal(Signal::TERM);
        let (code, log) = exchange.ends();
        assert_eq!(code, 0);
        is_safe(&log);
        assert_eq!(log.lines().filter(|line| line.contains("forged")).count(), 1, "{log}");
    }
    // Mistakes in files and in what is typed.
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "about = \"x\u{1b}[2J\u{202e}forged\n").unwrap();
    let nasty = format!("no{NASTY}");
    for args in [
        &["inspect", &nasty][..],
        &["convert", &nasty, "x.json"],
        &["serve", "--scenario", &nasty],
        &["serve", "--tape", &nasty],
        &["serve", "--pace", &nasty],
        &["serve", "--scenario", wrong.to_str().unwrap()],
        &["fetch", &nasty],
        &["scenarios", &nasty],
        &[&nasty],
    ] {
        let (code, stdout, stderr) = run(betacrew(args).current_dir(folder.path()));
        assert!(code != 0 && stdout.is_empty(), "{args:?}: {code}");
        let strange = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}".contains(c));
        assert!(!stderr.contains(strange), "{args:?}: {stderr:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_file_is_shown_on_one_line_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let mut name = NASTY.as_bytes().to_vec();
    name.extend(b"\xff.csv");
    let path = folder.path().join(std::ffi::OsStr::from_bytes(&name));
    let csv = "symbol,buySellIndicator,quantity,price,sequence\nA,B,1,2,1\n";
    std::fs::write(&path, csv).unwrap();
    let (code, stdout, stderr) = run(betacrew(&["inspect"]).arg(&path));
    assert_eq!(code, 0, "{stderr}");
    is_safe(&stdout);
    assert!(stdout.contains("\u{fffd}.csv: "), "{stdout}");
}
