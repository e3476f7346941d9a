//! `betacrew grade` on our client, on the examples and their naive versions, and on clients that
//! misbehave.

use crate::in_time::CommandInTime;
use crate::support::{betacrew, losing, playing, run};
use feed::tape::in_memory::Tape;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the folder of the example clients.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/clients").canonicalize().unwrap()
}

/// Returns the command of an example client, or `None` if this machine cannot run it. With
/// BETACREW_REQUIRE_CLIENTS=1 that is a failure.
pub(crate) fn example(name: &str, folder: &Path) -> Option<Vec<String>> {
    let path = examples().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (program, words) = match path.extension().unwrap().to_str().unwrap() {
        "js" => ("node", vec!["node".to_owned(), text(&path)]),
        "py" => ("python3", vec!["python3".to_owned(), text(&path)]),
        _ => ("cc", vec![text(&folder.join(path.file_stem().unwrap()))]),
    };
    let there =
        Command::new(program).arg("--version").output_in_time().is_ok_and(|o| o.status.success());
    if !there {
        let required = std::env::var_os("BETACREW_REQUIRE_CLIENTS").is_some_and(|v| v == "1");
        assert!(!required, "{program} is not installed, and BETACREW_REQUIRE_CLIENTS=1");
        println!("skipped: {program} is not installed, so {name} cannot be graded");
        return None;
    }
    if program == "cc" {
        let out = folder.join(path.file_stem().unwrap());
        let built = Command::new("cc")
            .args(["-w", "-O1", "-o"])
            .arg(out)
            .arg(&path)
            .output_in_time()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    Some(words)
}

/// Runs `betacrew grade` in an empty folder.
pub(crate) fn grade(args: &[&str], client: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    grade_in(folder.path(), args, client)
}

fn grade_in(folder: &Path, args: &[&str], client: &[&str]) -> (i32, String, String) {
    let mut command = betacrew(&["grade"]);
    command.args(args).arg("--").args(client).current_dir(folder);
    run(&mut command)
}

pub(crate) const BETACREW: &str = env!("CARGO_BIN_EXE_betacrew");

fn expect_an_a(client: &[&str]) {
    let (code, stdout, stderr) = grade(&[], client);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("\ngrade A "), "{stdout}");
}

#[test]
fn our_own_client_gets_an_a() {
    expect_an_a(&[BETACREW, "fetch", "{host}:{port}"]);
}

#[test]
fn the_examples_get_an_a() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["client.js", "client.py", "client.c"] {
        let lines = fs::read_to_string(examples().join(name)).unwrap().lines().count();
        assert!(lines < 150, "{name} is too long to be read as an example: {lines} lines");
    }
    std::thread::scope(|scope| {
        for name in ["client.js", "client.py", "client.c"] {
            let Some(words) = example(name, folder.path()) else { continue };
            scope.spawn(move || {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                expect_an_a(&[&words[..], &["{host}", "{port}"]].concat());
            });
        }
    });
}

/// Returns the rows of the table of faults in the naive clients.
fn wrongs() -> Vec<[String; 4]> {
    let text = fs::read_to_string(examples().join("README.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `naive"));
    rows.map(|row| {
        let cells: Vec<String> =
            row.split('|').map(|cell| cell.trim().replace('`', "")).skip(1).take(4).collect();
        cells.try_into().unwrap()
    })
    .collect()
}

/// Grades a naive client in the cases of these rows, and returns the rows whose cause was not
/// named.
fn unnamed(client: &[&str], rows: Vec<[String; 4]>) -> Vec<[String; 4]> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    // The time limit is the usual one: `naive.py` takes four seconds for half packets, without the
    // time to start Python.
    let mut args = vec!["--port", "any", "--jobs", "1", "--json"];
    args.push(report.to_str().unwrap());
    args.extend(rows.iter().map(|row| row[2].as_str()));
    let (_, stdout, stderr) = grade(&args, client);
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let wrong = |[name, what, case, named]: &[String; 4]| {
        let cases = report["cases"].as_array().unwrap();
        let found = cases.iter().find(|found| found["id"] == case.as_str()).unwrap();
        let cause = found["run"]["cause"]["id"].as_str().unwrap_or_default();
        let wrong = found["verdict"] != "fail" || cause != named;
        if wrong {
            println!("{name} {what}: {named} expected\n{stdout}{stderr}");
        }
        wrong
    };
    rows.into_iter().filter(wrong).collect()
}

#[test]
fn faults_of_the_naive_clients_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let wrongs = wrongs();
    assert!(wrongs.len() > 15);
    std::thread::scope(|scope| {
        for name in ["naive.js", "naive.py", "naive.c"] {
            let Some(words) = example(name, folder.path()) else { continue };
            let rows: Vec<_> = wrongs.iter().filter(|row| row[0] == name).cloned().collect();
            scope.spawn(move || {
                let client: Vec<&str> = words.iter().map(String::as_str).collect();
                let rows = unnamed(&client, rows);
                assert!(rows.is_empty(), "{rows:#?}");
            });
        }
    });
}

#[test]
fn outputs_of_any_shape_and_place_are_found() {
    let fetch = |rest: &[&str]| {
        let client = [&[BETACREW, "fetch", "{host}:{port}"], rest].concat();
        grade(&["gaps/burst", "basics/extremes"], &client)
    };
    for (rest, read) in [
        (&["-o", "data.csv"][..], "data.csv is read as CSV"),
        (&["-o", "x.ndjson"], "x.ndjson is read as lines of JSON"),
        (&["-o", "-"], "stdout is read as an array of objects"),
    ] {
        let (code, stdout, stderr) = fetch(rest);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stdout.contains(read), "{stdout}");
    }
    let named = |output| {
        let client = [BETACREW, "fetch", "{host}:{port}", "-o", "here.dat.json", "-o", "b.json"];
        grade(&["gaps/burst", "--output", output], &client)
    };
    assert_eq!(named("b.json").0, 0);
    let (code, stdout, _) = named("other.json");
    assert!(code == 10 && stdout.contains("no output"), "{stdout}");
}

/// Command of a client that connects and does nothing more.
const IDLE: [&str; 3] = ["bash", "-c", "exec 3<>/dev/tcp/$BETACREW_HOST/$BETACREW_PORT"];

#[test]
fn an_output_of_an_earlier_run_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let client = [BETACREW, "fetch", "{host}:{port}", "-o", "output.json"];
    let here = |client: &[&str], port: &[&str]| {
        let args = [&["gaps/one", "--workdir", "here"], port].concat();
        grade_in(folder.path(), &args, client)
    };
    assert_eq!(here(&client, &[]).0, 0);
    assert!(folder.path().join("output.json").exists());
    let (code, stdout, _) = here(&IDLE, &["--port", "any"]);
    assert!(code == 10 && stdout.contains("no output"), "{stdout}");
    // If the client runs in a copy, the folder does not change.
    let before = fs::read(folder.path().join("output.json")).unwrap();
    fs::write(folder.path().join("output.json"), "[]").unwrap();
    let (code, stdout, _) = grade_in(folder.path(), &["gaps/one"], &client);
    assert_eq!(code, 0, "{stdout}");
    assert_eq!(fs::read(folder.path().join("output.json")).unwrap(), b"[]");
    assert_ne!(before, b"[]");
}

#[test]
fn a_client_that_passes_sometimes_is_flaky() {
    let folder = tempfile::tempdir().unwrap();
    // Every second run does nothing.
    let count = folder.path().join("count");
    let script = format!(
        "echo >> {0}; if [ $(($(wc -l < {0}) % 2)) = 0 ]; then exec {BETACREW} fetch $1:$2; \
         else exec 3<>/dev/tcp/$1/$2; fi",
        count.display()
    );
    let client = ["bash", "-c", &script, "x", "{host}", "{port}"];
    let (code, stdout, stderr) = grade(&["gaps/one", "--repeat", "4", "--jobs", "1"], &client);
    assert_eq!(code, 10, "{stdout}{stderr}");
    assert!(stdout.contains("passed 2 of 4"), "{stdout}");
    let (code, stdout, _) = grade(&["tail/last-dropped", "--strict"], &IDLE_AT);
    assert_eq!(code, 10, "a should is a must: {stdout}");
    assert_eq!(grade(&["tail/last-dropped"], &IDLE_AT).0, 0, "a should does not fail the client");
}

const IDLE_AT: [&str; 6] = ["bash", "-c", "exec 3<>/dev/tcp/$1/$2", "x", "{host}", "{port}"];

#[test]
fn a_client_that_cannot_be_run_is_not_graded() {
    let (code, stdout, stderr) = grade(&["gaps"], &["no-such-program", "{port}"]);
    assert_eq!(code, 2, "{stdout}");
    assert!(stderr.contains("cannot start the client") && stderr.contains("no-such-program"));
    let (code, stdout, _) = grade(&["gaps"], &["sh", "-c", "echo oh no >&2; exit 7", "{port}"]);
    assert_eq!(code, 10);
    for part in
        ["it made no connection; it ended with exit code 7", "oh no", "grade none", "not run"]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let (code, _, stderr) = grade(&["gap"], &["true"]);
    assert!(code == 2 && stderr.contains("no case matches `gap`"), "{stderr}");
    let (code, _, stderr) = run(&mut betacrew(&["grade"]));
    assert!(code == 2 && stderr.contains("no client to grade"), "{stderr}");
}

#[test]
fn a_client_of_another_exchange_is_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let other = playing(Tape::classic(), losing(1, "0.25", ""));
    let script =
        format!("echo >> {}; {BETACREW} fetch {}; sleep 1000", runs.display(), other.address);
    let args = ["gaps", "--port", "any", "--timeout", "4s"];
    let (code, stdout, stderr) = grade(&args, &["bash", "-c", &script]);
    assert_eq!(code, 10, "{stdout}{stderr}");
    assert!(stdout.contains("it made no connection"), "{stdout}{stderr}");
    assert_eq!(fs::read(&runs).unwrap(), b"\n", "{stdout}");
}

#[test]
fn a_fixed_port_serves_one_case_after_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = [BETACREW, "fetch", "{host}:{port}"];
    let shared = ["gaps", "--port", &port, "--isolate", "never"];
    let (code, _, stderr) = grade(&shared, &client);
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("cannot listen on port {port}")), "{stderr}");
    drop(listener);
    let (code, stdout, stderr) = grade(&shared, &client);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn reports_are_complete_and_load_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [junit, json, html, badge] = ["r.xml", "r.json", "r.html", "r.svg"].map(file);
    let args = [
        &["gaps/one", "basics/no-packets", "tail/last-dropped"][..],
        &["--junit", &junit, "--json", &json, "--html", &html, "--badge", &badge],
    ]
    .concat();
    let (code, ..) = grade(&args, &IDLE_AT);
    assert_eq!(code, 10);
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let report: Value = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!(report["grade"], "F");
    let verdicts: Vec<&str> = report["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["pass", "fail", "fail"]);
    assert!(read(&junit).contains("tests=\"3\" failures=\"1\" skipped=\"1\""));
    let page = read(&html);
    assert!(page.contains("id=\"gaps/one\"") && page.contains("connects"));
    for foreign in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(read(&badge).contains(">F</text>"));
    let (code, _, stderr) = grade(&["--html", "none/x.html"], &["true"]);
    assert!(code == 6 && stderr.contains("none/x.html"), "known before the first case: {stderr}");
}

/// Planted faults: the text of the correct client that is replaced, the replacement, the case that
/// shows the fault, and the id of its cause.
#[rustfmt::skip]
const PLANTED: &[(&str, &str, &str, &str)] = &[
    ("while len(held) >= 17:", "if len(held) >= 17:", "framing/one-segment", "first-of-read"),
    // A reader that is slower than the exchange.
    ("held += chunk", "held = chunk\n            __import__(\"time\").sleep(0.02)",
        "framing/answers-in-pieces", "split-packet"),
    ("", "", "basics/as-it-comes", "none"),
    ("recv(4096)", "recv(17)", "basics/complete-stream", "none"),
    ("\">4sciii\"", "\"<4sciii\"", "basics/complete-stream", "spins"),
    ("\"price\": price", "\"price\": struct.unpack(\"<i\", frame[9:13])[0]",
        "basics/complete-stream", "little-endian"),
    ("\">4sciii\"", "\">4scIII\"", "basics/extremes", "unsigned"),
    ("\"price\": price", "\"price\": quantity", "basics/complete-stream", "swapped-fields"),
    ("        \"price\": price,\n", "", "basics/complete-stream", "absent-field"),
    ("range(1, highest)", "range(min(seen), highest)", "gaps/first-packet", "first-gap-unseen"),
    ("range(1, highest)", "range(1, highest - 1)", "gaps/before-last", "last-gap-unseen"),
    ("range(1, highest)", "range(1, len(seen))", "gaps/every-second", "counts-packets"),
    ("highest = max(seen)", "highest = 14", "basics/long-session", "fixed-length"),
    ("highest = max(seen)", "highest = 15", "conduct/beyond-end", "fixed-length"),
    ("highest = max(seen)", "highest = max(seen) + 2", "conduct/beyond-end", "asks-beyond-end"),
    ("bytes([2, seq])", "bytes([2, seq - 1])", "gaps/one", "off-by-one"),
    ("bytes([2, seq])", "bytes([2, seq % 256])", "gaps/beyond-one-byte", "sequence-cut"),
    ("", "", "gaps/beyond-one-byte", "too-large-to-ask"),
    ("if missing:", "if False:", "gaps/one", "never-asks"),
    ("len(missing))", "1)", "recovery/late-answers", "answers-unread"),
    ("len(missing))", "None)", "termination/open-connection", "waits-for-end"),
    ("if missing:", "write()\n    globals()[\"write\"] = list\n    if missing:",
        "recovery/late-answers", "written-early"),
    ("if sequence in seen:", "if False:", "robustness/duplicates", "duplicates-kept"),
    ("if side not in (b\"B\", b\"S\"):", "if False:", "robustness/broken-frame", "broken-kept"),
    ("packets.sort(", "sorted(packets, ", "gaps/order", "arrival-order"),
    ("connection.settimeout(3)", "", "robustness/silent", "waits-for-stream"),
    ("return 1 if abandoned else 0", "return 0", "termination/never-resent", "always-zero"),
    ("sys.exit(main())", "main()\nwhile True:\n    pass", "termination/nothing-missing", "lingers"),
    ("sys.exit(main())", "talk(bytes([1, 0]), None)\nos.abort()", "gaps/one", "crash"),
    ("sys.exit(main())", "talk(bytes([1, 0]), None)\nprint(seen[0])", "gaps/one", "crash"),
    ("if missing:",
        "if not missing:\n        socket.create_connection(ADDRESS).recv(1)\n    if missing:",
        "termination/nothing-missing", "hangs-complete"),
    ("if sequence in seen:", "if sequence in seen or sequence > 99:", "framing/large-stream",
        "no-room"),
    ("", "", "tail/last-dropped", "tail-unseen"),
    ("", "", "recovery/unanswered-once", "not-asked-again"),
    ("", "", "robustness/reset", "crash"),
];

/// Grades a client with a planted fault, and returns a message if the cause is not named.
fn plant(folder: &Path, python: &str, number: usize) -> Option<String> {
    let (right, planted, case, named) = PLANTED[number];
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plain.py");
    let plain = fs::read_to_string(plain).unwrap();
    assert!(plain.contains(right), "{right}");
    let reports = tempfile::tempdir().unwrap();
    let (client, report) =
        (folder.join(format!("{number}.py")), reports.path().join("report.json"));
    fs::write(&client, plain.replacen(right, planted, 1)).unwrap();
    // On a busy machine Python needs seconds to start.
    let args = [case, "--port", "any", "--timeout", "8s", "--json", report.to_str().unwrap()];
    let (_, stdout, stderr) = grade(&args, &[python, client.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let found = &report["cases"][0];
    let unnamed = if found["verdict"] == "pass" { "none" } else { "" };
    let cause = found["run"]["cause"]["id"].as_str().unwrap_or(unnamed);
    (cause != named).then(|| format!("{right} -> {planted}: {named} expected\n{stdout}{stderr}"))
}

#[test]
fn planted_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(words) = example("client.py", folder.path()) else { return };
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= PLANTED.len() {
                        return;
                    }
                    // The lock must not be held while a client is graded.
                    let unnamed = plant(folder.path(), &words[0], number);
                    wrong.lock().unwrap().extend(unnamed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PLANTED.len(), wrong.join("\n"));
}
