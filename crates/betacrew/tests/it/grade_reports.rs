//! `betacrew grade`: what its reports say about naive clients, `--explain`, `--baseline` and
//! `--watch`.

use crate::grade::{BETACREW, example};
use crate::in_time::{ChildInTime, LIMIT};
use crate::support::{betacrew, run};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Returns the client as a script that becomes a program with these words.
fn script(folder: &Path, body: &str) -> [String; 4] {
    let path = folder.join("client.sh");
    fs::write(&path, body).unwrap();
    ["bash", path.to_str().unwrap(), "{host}", "{port}"].map(str::to_owned)
}

/// Client that does everything right.
fn right() -> String {
    format!("exec {BETACREW} fetch $1:$2\n")
}

/// Client that connects and does nothing more.
const IDLE: &str = "exec 3<>/dev/tcp/$1/$2\n";

/// Client that reads the stream and writes nothing.
const READS: &str = "exec 3<>/dev/tcp/$1/$2; printf '\\1\\0' >&3; cat <&3 > /dev/null\n";

/// Client that writes only the first packets.
fn first_three() -> String {
    let fetch = format!("{BETACREW} fetch $1:$2 -o raw.ndjson --quiet");
    format!("{fetch}; head -n 3 raw.ndjson > output.ndjson; rm raw.ndjson\n")
}

/// Grades in a folder, and returns the exit code, stdout and stderr.
fn grade(folder: &Path, args: &[&str], client: &[String]) -> (i32, String, String) {
    let mut command = betacrew(&["grade"]);
    run(command.args(args).arg("--").args(client).current_dir(folder))
}

#[test]
fn reports_on_naive_clients_say_what_to_do_for_each_cause() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for (name, own) in [("naive.js", "client.js:"), ("naive.py", "client.py:")] {
            let Some(words) = example(name, folder.path()) else { continue };
            let place = folder.path().join(name.replace('.', "-"));
            fs::create_dir(&place).unwrap();
            scope.spawn(move || {
                let args = ["gaps", "framing", "conduct/beyond-end", "--port", "any"];
                let reports = ["--json", "r.json", "--html", "r.html", "--junit", "r.xml"];
                let (code, stdout, stderr) = grade(&place, &[&args[..], &reports].concat(), &words);
                assert_eq!(code, 10, "{stdout}{stderr}");
                reports_advise(&place, &stdout, own);
            });
        }
    });
}

/// Checks that all reports of a run name the causes to mend first, and what to do about each.
fn reports_advise(place: &Path, stdout: &str, own: &str) {
    let read = |name: &str| fs::read_to_string(place.join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("r.json")).unwrap();
    let first = report["mendFirst"].as_array().unwrap();
    assert!(first.len() >= 2, "{first:?}");
    let musts = |mend: &Value| mend["must"].as_u64().unwrap();
    assert!(first.windows(2).all(|pair| musts(&pair[0]) >= musts(&pair[1])), "{first:?}");
    let (html, junit) = (read("r.html"), read("r.xml"));
    for mend in first {
        let text = |key: &str| mend[key].as_str().unwrap().to_owned();
        let lines = mend["example"]["place"].as_str().unwrap();
        assert!(lines.contains(own), "{lines}: in the language of the client");
        assert!(stdout.contains(&format!("to do  {}\n", text("fix"))), "{stdout}");
        assert!(stdout.contains(&format!("as in  {lines}\n")), "{stdout}");
        let id = text("id");
        assert!(html.contains(&format!("<code>{id}</code>")) && html.contains(lines), "{id}");
        assert!(junit.contains(&format!("value=\"{id}: ")), "{id}");
        let (code, explained, _) = run(&mut betacrew(&["grade", "--explain", &id]));
        assert!(code == 0 && explained.contains(&text("fix")), "{explained}");
    }
    for case in report["cases"].as_array().unwrap() {
        let run = &case["run"];
        if run["cause"].is_object() {
            let fix = run["advice"]["fix"].as_str();
            let fix = fix.unwrap_or_else(|| panic!("no advice on {}", run["cause"]));
            assert!(html.contains(&fix.replace('\'', "&apos;")) || html.contains(fix), "{fix}");
        }
        assert_eq!(case["verdict"] == "fail", run["advice"]["example"].is_string(), "{case}");
    }
}

#[test]
fn only_what_got_worse_since_the_baseline_fails() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let cases = ["gaps/one", "gaps/burst", "tail/last-dropped"];
    let with = |flags: &[&str], client: &[String]| grade(at, &[&cases[..], flags].concat(), client);
    let idle = script(at, IDLE);
    assert_eq!(with(&["--json", "bad.json"], &idle).0, 10);
    let (code, stdout, _) = with(&["--baseline", "bad.json", "--junit", "same.xml"], &idle);
    assert_eq!(code, 0, "it fails as before: {stdout}");
    assert!(stdout.contains("since bad.json: no case got better or worse"), "{stdout}");
    let junit = fs::read_to_string(at.join("same.xml")).unwrap();
    assert!(junit.contains("failures=\"0\""), "{junit}");

    let good = script(at, &right());
    let (code, stdout, _) = with(&["--baseline", "bad.json", "--json", "good.json"], &good);
    assert_eq!(code, 0, "{stdout}");
    let better = "  better  2 musts and 1 should: gaps/one, gaps/burst, tail/last-dropped\n";
    assert!(stdout.contains(better), "{stdout}");

    script(at, IDLE);
    let reports = ["--baseline", "good.json", "--json", "now.json", "--html", "now.html"];
    let (code, stdout, _) = with(&reports, &idle);
    assert_eq!(code, 10, "{stdout}");
    assert!(stdout.contains("  worse   2 musts and 1 should: "), "{stdout}");
    let report: Value = serde_json::from_slice(&fs::read(at.join("now.json")).unwrap()).unwrap();
    assert_eq!(report["baseline"]["worse"].as_array().unwrap().len(), 3);
    assert_eq!(report["cases"][0]["change"], "worse");
    assert!(fs::read_to_string(at.join("now.html")).unwrap().contains("<b class=\"worse\">"));
    // A should that got worse does not fail the client, and neither does a case that is new.
    let tail = ["tail/last-dropped", "gaps/order", "--baseline", "good.json"];
    let (code, stdout, _) = grade(at, &tail, &idle);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("note: 1 case is not in the earlier run"), "{stdout}");
    assert!(stdout.contains("note: 2 cases are only in the earlier run"), "{stdout}");
    assert_eq!(grade(at, &[&tail[..], &["--strict"]].concat(), &idle).0, 10, "a must by --strict");
    // A client that makes no connection any more is worse, too.
    let gone = ["false".to_owned(), "{port}".to_owned()];
    let (code, stdout, _) = with(&["--baseline", "good.json"], &gone);
    assert!(code == 10 && stdout.contains("another command: bash"), "{stdout}");
    assert_eq!(with(&["--baseline", "bad.json"], &gone).0, 10, "it cannot be graded");
    let (code, _, stderr) = with(&["--baseline", "client.sh"], &idle);
    assert!(code == 6 && stderr.contains("betacrew grade --json"), "{stderr}");
    let (code, _, stderr) = with(&["--baseline", "bad.json", "--json", "bad.json"], &idle);
    assert!(code == 2 && stderr.contains("--baseline"), "{stderr}");
}

/// A grader that watches a client.
struct Watching {
    process: Child,
    printed: Receiver<u8>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.process.kill_and_reap();
    }
}

impl Watching {
    fn start(folder: &Path, args: &[&str], client: &[String]) -> Self {
        let mut command = betacrew(&["grade", "--watch"]);
        command.args(args).arg("--").args(client).current_dir(folder);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (tell, printed) = channel();
        let mut stdout = process.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = stdout.read(&mut byte) {
                let _ = tell.send(byte[0]);
            }
        });
        Self { process, printed }
    }

    /// Waits until this is printed, and returns everything printed since the last wait.
    fn until(&mut self, what: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(what.as_bytes()) {
            let byte = self.printed.recv_timeout(LIMIT);
            bytes.push(byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&bytes))));
        }
        String::from_utf8(bytes).unwrap()
    }

    fn interrupt(&mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.process.ends().code()
    }
}

/// Line that is printed when a run has ended.
const WATCHES: &str = "Ctrl+C ends\n";

#[test]
fn a_watched_client_is_graded_again_failed_cases_first() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let client = script(at, READS);
    let args = ["basics/complete-stream", "gaps/one", "conduct/whole-calls", "--json", "r.json"];
    let mut watching = Watching::start(at, &args, &client);
    let first = watching.until(WATCHES);
    assert!(first.contains("grade D ") || first.contains("grade F "), "{first}");
    assert!(first.contains("watching 1 file; "), "its report is not the client's: {first}");

    script(at, &right());
    let second = watching.until(WATCHES);
    assert!(second.contains("── client.sh changed ──"), "{second}");
    assert!(second.contains("since the run before\n"), "{second}");
    assert!(second.contains("  better  2 musts: basics/complete-stream, gaps/one\n"), "{second}");
    assert!(second.contains("grade A "), "{second}");
    let row = |name: &str| second.find(&format!("✓ {name} "));
    assert!(row("complete-stream") < row("one"), "{second}");
    assert_eq!(row("whole-calls"), None, "it passed before, so it is no news: {second}");
    let report: Value = serde_json::from_slice(&fs::read(at.join("r.json")).unwrap()).unwrap();
    assert_eq!(report["grade"], "A", "reports are written after each run");

    fs::write(at.join("notes.log"), "no file of the client").unwrap();
    script(at, READS);
    let third = watching.until(WATCHES);
    assert!(third.contains("  worse   2 musts: basics/complete-stream, gaps/one\n"), "{third}");
    assert!(!third.contains("notes.log"), "{third}");
    assert_eq!(watching.interrupt(), Some(10), "the code of the last run");
}

#[test]
fn a_change_in_the_middle_of_a_run_begins_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let started = at.join("started");
    assert!(std::process::Command::new("mkfifo").arg(&started).spawn().unwrap().ends().success());
    // The first client tells that it runs, and then never ends.
    let waits = format!("exec 3<>/dev/tcp/$1/$2; echo > {}; sleep 1000\n", started.display());
    let client = script(at, &waits);
    let args = ["gaps/one", "--timeout", "10m", "--workdir", "empty"];
    let mut watching = Watching::start(at, &args, &client);
    fs::read(&started).unwrap();
    script(at, &first_three());
    let text = watching.until(WATCHES);
    assert!(text.contains("── client.sh changed ──") && text.contains("✗ one "), "{text}");
    assert!(!text.contains("- one "), "what was stopped gets no row: {text}");
    // A client that cannot be started is mended like any other.
    fs::remove_file(at.join("client.sh")).unwrap();
    watching.until(WATCHES);
    script(at, &right());
    let text = watching.until(WATCHES);
    assert!(text.contains("grade A "), "{text}");
    assert_eq!(watching.interrupt(), Some(0));
}

#[test]
fn a_grader_that_nobody_reads_ends_after_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = betacrew(&["grade", "--watch", "gaps/one", "--json", "r.json", "--"]);
    command.args(script(folder.path(), READS)).current_dir(folder.path()).stdin(Stdio::null());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = process.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    assert_eq!(process.ends().code(), Some(10), "the code of the run");
    assert!(folder.path().join("r.json").exists(), "the run came to its end");
}
