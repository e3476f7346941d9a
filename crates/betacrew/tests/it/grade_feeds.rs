//! `betacrew grade` in SoupBinTCP and MoldUDP64: the examples, their naive versions, and the
//! examples with planted faults.

use crate::grade::BETACREW;
use crate::in_time::CommandInTime;
use crate::support::{betacrew, run};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Arguments of the example clients.
const SOUP: &[&str] = &["{host}", "{port}"];
const MOLD: &[&str] =
    &["{host}:{port},{host}:{port_b}", "{host}:{request_port},{host}:{request_port_b}", "out.itch"];
const NAIVE_MOLD: &[&str] = &["{host}", "{port}", "{request_port}", "out.itch"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/clients").canonicalize().unwrap()
}

/// Returns whether Python can be run. With BETACREW_REQUIRE_CLIENTS=1 its absence is a failure.
fn has_python() -> bool {
    let version = Command::new("python3").arg("--version").output_in_time();
    let there = version.is_ok_and(|output| output.status.success());
    let required = std::env::var_os("BETACREW_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(there || !required, "python3 is not installed, and BETACREW_REQUIRE_CLIENTS=1");
    if !there {
        println!("skipped: python3 is not installed");
    }
    there
}

/// Grades a client, and returns the exit code, what was printed, and the JSON report.
fn grade(protocol: &str, args: &[&str], client: &[&str]) -> (i32, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let report = tempfile::tempdir().unwrap();
    let report = report.path().join("report.json");
    let mut command = betacrew(&["grade", "--protocol", protocol, "--json"]);
    command.arg(&report).args(args).arg("--").args(client).current_dir(folder.path());
    let (code, stdout, stderr) = run(&mut command);
    let json = fs::read(&report).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    (code, stdout + &stderr, json.unwrap_or_default())
}

fn python<'a>(script: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["python3", script], args].concat()
}

/// Returns the command of an example client, which is compiled into `folder` if it is in C; `None`
/// if its language is not installed. With BETACREW_REQUIRE_CLIENTS=1 that is a failure.
fn command(name: &str, folder: &Path, args: &[&str]) -> Option<Vec<String>> {
    let path = examples().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let program = if name.ends_with(".py") {
        has_python().then(|| vec!["python3".to_owned(), text(&path)])?
    } else {
        let binary = folder.join(path.file_stem().unwrap());
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&binary).arg(&path);
        let Ok(built) = cc.output_in_time() else {
            let required = std::env::var_os("BETACREW_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
            assert!(!required, "cc is not installed, and BETACREW_REQUIRE_CLIENTS=1");
            println!("skipped: cc is not installed, so {name} cannot be graded");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        vec![text(&binary)]
    };
    Some(program.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect())
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn the_examples_get_an_a() {
    let folder = tempfile::tempdir().unwrap();
    for (protocol, name, args, most) in [
        ("soup", "soup_client.py", SOUP, 150),
        ("mold", "mold_handler.py", MOLD, 150),
        ("soup", "soup_client.c", SOUP, 210),
        ("mold", "mold_handler.c", MOLD, 210),
    ] {
        let lines = fs::read_to_string(examples().join(name)).unwrap().lines().count();
        assert!(lines <= most, "{name} is too long to be read as an example: {lines} lines");
        let Some(client) = command(name, folder.path(), args) else { continue };
        let (code, text, report) = grade(protocol, &[], &words(&client));
        assert_eq!((code, &report["grade"]), (0, &Value::from("A")), "{text}");
        assert_eq!(report["protocol"], protocol);
    }
}

#[test]
fn our_own_client_passes() {
    let soup = [BETACREW, "fetch", "soup://{host}:{port}", "-o", "out.itch"];
    let mold =
        [BETACREW, "fetch", "mold://{host}:{port}?request={host}:{request_port}", "-o", "out.itch"];
    for (protocol, client, cases) in [
        ("soup", soup, &["basics", "framing", "packets/debug", "breaks/resume", "end"][..]),
        ("mold", mold, &["basics/many-a-datagram", "gaps", "tail", "end/of-the-session"]),
    ] {
        let (code, text, _) = grade(protocol, cases, &client);
        assert_eq!(code, 0, "{text}");
    }
}

/// Returns the rows of the tables of faults in the naive clients.
fn wrongs() -> Vec<[String; 4]> {
    let text = fs::read_to_string(examples().join("README.md")).unwrap();
    let is_row =
        |line: &&str| ["| `soup_naive", "| `mold_naive"].iter().any(|s| line.starts_with(s));
    let cells = |line: &str| {
        let cells = line.split('|').map(|cell| cell.trim().replace('`', "")).skip(1).take(4);
        cells.collect::<Vec<String>>().try_into().unwrap()
    };
    text.lines().filter(is_row).map(cells).collect()
}

#[test]
fn faults_of_the_naive_clients_are_named() {
    let rows = wrongs();
    assert!(rows.len() > 25);
    let folder = tempfile::tempdir().unwrap();
    for (protocol, name, args) in [
        ("soup", "soup_naive.py", SOUP),
        ("mold", "mold_naive.py", NAIVE_MOLD),
        ("soup", "soup_naive.c", SOUP),
        ("mold", "mold_naive.c", NAIVE_MOLD),
    ] {
        let rows: Vec<_> = rows.iter().filter(|row| row[0] == name).collect();
        assert!(rows.len() > 5, "{name}");
        let cases: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        let Some(client) = command(name, folder.path(), args) else { continue };
        let (_, text, report) = grade(protocol, &cases, &words(&client));
        for [_, what, case, named] in rows {
            let found = report["cases"].as_array().unwrap();
            let found = found.iter().find(|found| found["id"] == case.as_str()).unwrap();
            let cause = found["run"]["cause"]["id"].as_str().unwrap_or_default();
            assert_eq!((&found["verdict"], cause), (&"fail".into(), &named[..]), "{what}\n{text}");
        }
    }
}

/// Planted fault: protocol, replacements in the correct client, the case that shows the fault, and
/// the id of its cause.
type Planted = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

#[rustfmt::skip]
const PLANTED: &[Planted] = &[
    ("soup", &[("self.send(b\"L\", login.encode())", "self.sent = 0.0")],
        "basics/complete-stream", "no-login"),
    ("soup", &[("= session, int(payload[10:30])", "= session, self.next")],
        "breaks/accepted-earlier", "accepted-sequence-ignored"),
    ("soup", &[("recording.session, recording.next)", "recording.session, 1)"),
        ("if sequence == self.next:", "if True:")], "breaks/inside-a-packet", "starts-over"),
    ("soup", &[("recording.session, recording.next)", "recording.session, 1)")],
        "breaks/resume", "starts-over"),
    ("soup", &[("self.held[2 + length:]\n", "b\"\"\n")], "framing/pairs", "first-of-read"),
    ("soup", &[("self.held[2 + length:]\n", "b\"\"\n")], "framing/large", "first-of-read"),
    ("soup", &[("self.held += chunk", "self.held = chunk")],
        "framing/byte-by-byte", "split-packet"),
    ("soup", &[("if now >= self.sent + HEARTBEAT:", "if False:")],
        "heartbeats/of-the-client", "no-heartbeats"),
    ("soup", &[("elif kind == b\"Z\":\n                return True",
        "elif kind == b\"Z\":\n                pass")],
        "end/no-login-behind", "end-ignored"),
    ("soup", &[("kind == b\"S\"", "kind in (b\"S\", b\"H\")")],
        "heartbeats/of-the-exchange", "counts-others"),
    ("soup", &[("kind == b\"S\"", "kind in (b\"S\", b\"+\")")], "packets/debug", "counts-others"),
    ("soup", &[("kind == b\"S\"", "kind in (b\"S\", b\"U\")")],
        "packets/unsequenced", "counts-others"),
    ("soup", &[("time.sleep(min(0.05 * 2 ** fruitless, 1.0))", "return False")],
        "breaks/inside-a-packet", "gives-up"),
    ("soup", &[("time.sleep(min(0.05 * 2 ** fruitless, 1.0))", "return False")],
        "login/refused-once", "gives-up"),
    ("soup", &[("if now >= self.heard + SILENCE:", "if False:")],
        "heartbeats/none", "waits-in-silence"),
    ("soup", &[("if now >= self.heard + SILENCE:", "if False:")],
        "login/unanswered", "waits-for-login"),
    ("soup", &[("raise OSError(\"a length of 0: nothing behind it can be read\")",
        "time.sleep(99)")],
        "packets/no-length", "no-length-ignored"),
    ("soup", &[("return 0 if complete else 1", "return 0")], "login/not-authorized", "always-zero"),
    ("soup", &[("return 0 if complete else 1", "return 0")], "end/not-announced", "always-zero"),
    ("soup", &[("return 0 if complete else 1", "return 0")], "breaks/session-replaced",
        "always-zero"),
    ("soup", &[("{password:<10.10}", "{'' if session else 'secret':<10.10}")],
        "breaks/same-user", ""),
    ("soup", &[("            elif kind == b\"Z\":\n",
        "            elif kind == b\"?\":\n                raise OSError(\"unknown\")\n            \
         elif kind == b\"Z\":\n")],
        "packets/unknown-types", "stops-at-others"),
    ("soup", &[("TRIES = 7", "TRIES = 10 ** 6")], "login/never-available", "retries-for-ever"),
    ("soup", &[("TRIES = 7", "TRIES = 10 ** 6")], "end/not-announced", "retries-for-ever"),
    ("soup", &[("                sequence += 1\n", "                sequence += 1\n                \
         if sequence == 4:\n                    connection.send(b\"O\")\n                    \
         return True\n")],
        "conduct/logout", "ends-early"),
    ("soup", &[("recording.session, recording.next)", "recording.session, 0)")],
        "basics/complete-stream", "from-the-end"),
    ("soup", &[("if payload == b\"A\":", "if False:"), ("TRIES = 7", "TRIES = 10 ** 6")],
        "login/not-authorized", "retries-for-ever"),
    ("soup", &[("if self.session not in (\"\", session):", "if False:"),
        ("{session:>10}", "{'':>10}")],
        "breaks/other-session", "mixes-sessions"),
    ("soup", &[("    return 0 if complete else 1", "    time.sleep(60)")],
        "end/of-the-session", "lingers"),
    ("soup", &[("except (OSError, ValueError)", "except (ValueError)")], "breaks/reset", "crash"),
    ("soup", &[("elif kind == b\"Z\":", "elif kind in b\"ZH\":")],
        "heartbeats/of-the-exchange", "ends-early"),
    ("soup", &[("if sequence > self.next:", "if True:"), ("TRIES = 7", "TRIES = 10 ** 6")],
        "basics/complete-stream", "too-slow"),
    ("soup", &[("raise OSError(\"the connection ended\")",
        "part = self.held[3:]\n            \
         FILE.write(struct.pack(\">H\", len(part)) + part)\n            raise OSError(\"ended\")"),
        ("as file:\n", "as file:\n        globals()[\"FILE\"] = file\n")],
        "breaks/again-and-again", "part-kept"),

    ("mold", &[("requests=not flags", "requests=False")], "gaps/burst", "never-requests"),
    ("mold", &[("enumerate(messages)", "enumerate(messages[:1])"),
        ("requests=not flags", "requests=False")],
        "basics/many-a-datagram", "first-of-datagram"),
    ("mold", &[("        self.next = max(", "        if messages:\n            self.next = max(")],
        "tail/and-others", "tail-unseen"),
    ("mold", &[("        self.next = max(", "        if messages:\n            self.next = max(")],
        "tail/dropped", "tail-unseen"),
    ("mold", &[("enumerate(messages)", "enumerate(messages or [b\"\"])"),
        ("GIVE_UP = 5.0", "GIVE_UP = 3.0")],
        "basics/heartbeats", "heartbeat-as-message"),
    ("mold", &[("self.session not in (None, decoded[0])", "False")],
        "robustness/only-this-session", "other-session-kept"),
    ("mold", &[("self.session not in (None, decoded[0])", "False")],
        "robustness/session-changes", "other-session-kept"),
    ("mold", &[("GIVE_UP = 5.0", "GIVE_UP = 1e9")], "end/line-dies", "waits-in-silence"),
    ("mold", &[("GIVE_UP = 5.0", "GIVE_UP = 0.9")], "basics/heartbeats", "stops-in-silence"),
    ("mold", &[("END_STANDS = 0.25", "END_STANDS = 0.0")], "end/inside", "end-believed"),
    ("mold", &[("sequence + len(messages))", "sequence + count)")],
        "end/exit-code", "end-as-count"),
    ("mold", &[("IN_FLIGHT = 64", "asked = set()\nIN_FLIGHT = 64"),
        ("in handler.missing(IN_FLIGHT):",
         "in [g for g in handler.missing(IN_FLIGHT) if g not in asked and not asked.add(g)]:")],
        "requests/unanswered-once", "not-asked-again"),
    ("mold", &[("in sorted(handler.messages)", "in handler.messages")],
        "robustness/recovered-in-order", "arrival-order"),
    ("mold", &[("return 3", "return 0")], "end/never-answered", "always-zero"),
    ("mold", &[("GIVE_UP = 5.0", "GIVE_UP = 1e9")], "end/never-answered", "never-gives-up"),
    ("mold", &[("while not handler.is_complete() and", "while"),
        ("GIVE_UP = 5.0", "GIVE_UP = 1e9")],
        "end/of-the-session", "end-ignored"),
    ("mold", &[("servers[turn % len(servers)]", "servers[0]")],
        "lines/one-server-silent", "one-server-only"),
    ("mold", &[("if at == len(datagram) else None", "if True else None"),
        ("if at + 2 > len(datagram):\n            return None",
         "if at + 2 > len(datagram):\n            break")],
        "robustness/cut-short", "damaged-kept"),
    ("mold", &[("        for offset, message in enumerate",
        "        if not self.messages:\n            self.lowest = sequence\n        \
         for offset, message in enumerate")],
        "gaps/first", "start-unseen"),
    ("mold", &[("asker.sendto(request",
         "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(request"),
        ("GIVE_UP = 5.0", "GIVE_UP = 1.0")], "gaps/one", "answers-unread"),
];

/// Writes an example client with changes into a file.
fn write_changed(file: &Path, name: &str, changes: &[(&str, &str)]) {
    let mut text = fs::read_to_string(examples().join(name)).unwrap();
    for (right, changed) in changes {
        assert!(text.contains(right), "{right}");
        text = text.replacen(right, changed, 1);
    }
    fs::write(file, text).unwrap();
}

/// Grades a client with a planted fault, and returns a message if the cause is not named.
fn plant(folder: &Path, number: usize) -> Option<String> {
    let (protocol, changes, case, named) = PLANTED[number];
    let (name, args) = match protocol {
        "soup" => ("soup_client.py", SOUP),
        _ => ("mold_handler.py", MOLD),
    };
    let client = folder.join(format!("{number}.py"));
    write_changed(&client, name, changes);
    let args = python(client.to_str().unwrap(), args);
    let (_, text, report) = grade(protocol, &[case, "--timeout", "8s"], &args);
    let found = &report["cases"][0];
    let cause = found["run"]["cause"]["id"].as_str().unwrap_or_default();
    let is_named = found["verdict"] == "fail" && cause == named;
    (!is_named).then(|| format!("{changes:?}: {named} expected\n{text}"))
}

#[test]
fn planted_faults_are_named() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= PLANTED.len() {
                        return;
                    }
                    // The lock must not be held while a client is graded.
                    let unnamed = plant(folder.path(), number);
                    wrong.lock().unwrap().extend(unnamed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PLANTED.len(), wrong.join("\n"));
}

#[test]
fn an_output_that_is_not_understood_is_not_judged() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let client = folder.path().join("client.py");
    let write = "self.file.write(struct.pack(\">H\", len(payload)) + payload)";
    let cases = ["basics/complete-stream", "login/form", "end/of-the-session"];
    let grade = |changed: &str| {
        write_changed(&client, "soup_client.py", &[(write, changed), (", \"wb\")", ", \"w\")")]);
        grade("soup", &cases, &python(client.to_str().unwrap(), SOUP))
    };
    let (code, text, report) = grade("self.file.write(f\"{self.next}) {payload}\\n\")");
    assert_eq!(code, 3, "{text}");
    let (_, details) = text.split_once("the output is not understood: ").expect(&text);
    let reason = "2 cases could not be judged, because session.itch has messages, but in no known";
    assert!(details.starts_with(reason), "{text}");
    assert!(text.contains("--output FILE names another output"), "{text}");
    assert_eq!((&report["grade"], &report["notJudged"]), (&Value::Null, &2.into()));
    let verdict = |place: usize| report["cases"][place]["verdict"].as_str().unwrap();
    assert_eq!([0, 1, 2].map(verdict), ["not judged", "pass", "not judged"]);
    // A file without any message is a failure, and so is one that has only a log.
    let (code, text, report) = grade("self.file.write(f\"message {self.next}\\n\")");
    assert_eq!((code, &report["notJudged"]), (10, &0.into()), "{text}");
}

#[test]
fn reports_and_flags_know_the_protocol() {
    let (code, text, report) = grade("soup", &["login/form"], &["true", "{port}"]);
    assert_eq!(code, 0, "a should: {text}");
    assert!(text.contains("it made no connection"), "{text}");
    assert_eq!(report["cases"][0]["page"], "docs/soup.md");
    let command = report["cases"][0]["byHand"][0].as_str().unwrap();
    assert!(command.ends_with("--listen soup://127.0.0.1:3000"), "{command}");
    let (_, text, _) = grade("mold", &["gaps/one"], &["true", "{port}"]);
    assert!(text.contains("it opened no port of a line") && !text.contains("connect"), "{text}");
    let (_, text, _) = grade("mold", &["gaps/one", "--port", "30001"], &["true"]);
    assert!(text.contains("receive datagrams on 127.0.0.1, port 30001"), "{text}");
    let listed = |protocol| run(&mut betacrew(&["grade", "--protocol", protocol, "--list"])).1;
    assert!(listed("mold").contains("gaps/in-one-datagram"));
    assert!(!listed("soup").contains("gaps/"));
    let (code, _, stderr) =
        run(&mut betacrew(&["grade", "--protocol", "soup", "gaps", "--", "true"]));
    assert!(code == 2 && stderr.contains("no case matches `gaps`"), "{stderr}");
}
