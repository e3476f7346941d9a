//! Signals: they end orderly work in order, and everything else at once.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, next_call, peer, run};
use feed::tape::in_memory::Tape;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time that a process may take to end after its signal. It is not measured, only waited
/// for: a process that hangs would take all of it.
const PROMPT: Duration = Duration::from_secs(5);

const BOTH: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).spawn().unwrap().ends().success());
}

/// A terminal's two ends: the one that a person types at and the one that a program reads.
fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = File::options().read(true).open(name.to_str().unwrap()).unwrap();
    (File::from(person), program)
}

/// A process that is ended with the test, whatever becomes of that.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill_and_reap();
    }
}

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until it hears signals and its main thread waits for something.
    fn is_blocked(&mut self) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "it does not block");
            assert_eq!(self.0.try_wait().unwrap(), None, "it has ended: {}", self.log());
            let tasks = format!("/proc/{}/task", self.0.id());
            let hears = fs::read_dir(&tasks).unwrap().any(|task| {
                let name = fs::read_to_string(task.unwrap().path().join("comm"));
                name.is_ok_and(|name| name.trim() == "signals")
            });
            let stat = fs::read_to_string(format!("{tasks}/{}/stat", self.0.id())).unwrap();
            let state = stat.rsplit_once(") ").unwrap().1.chars().next();
            if hears && state == Some('S') {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the process to end and returns its exit code.
    fn ends(&mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < within, "it goes on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    /// Reads stderr until this has been said.
    fn says(&mut self, text: &str) {
        let stderr = self.0.stderr.as_mut().unwrap();
        let (mut log, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&log).contains(text) {
            assert_ne!(stderr.read(&mut byte).unwrap(), 0, "{}", String::from_utf8_lossy(&log));
            log.push(byte[0]);
        }
    }
}

/// Begins this command in a folder with `a.json` (20,000 packets) and FIFOs that nobody has opened,
/// ends it with one signal and looks at what it leaves.
fn ends_at_once(args: &[&str], begin: impl Fn(&mut Command, &Path) -> Vec<File>) {
    for (signal, expected) in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.json"), json(&Tape::random(20_000, 1))).unwrap();
        for name in ["in.json", "out.json", "plot.svg", "scenario.toml"] {
            fifo(&at(name));
        }
        let before = names(folder.path());
        let mut command = betacrew(args);
        command.current_dir(folder.path()).stdout(Stdio::piped());
        let kept = begin(&mut command, folder.path());
        let mut process = Process::start(&mut command);
        process.is_blocked();
        process.signal(signal);
        assert_eq!(process.ends(PROMPT), Some(expected), "{args:?}: {}", process.log());
        assert_eq!(names(folder.path()), before, "{args:?}");
        drop(kept);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort_unstable();
    names
}

fn json(tape: &Tape) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    let serving = crate::support::playing(tape.clone(), feed::faults::scenario::Scenario::clean(1));
    let address = serving.address.to_string();
    let (code, _, log) = run(&mut betacrew(&["fetch", &address, "-o", path.to_str().unwrap()]));
    assert_eq!(code, 0, "{log}");
    fs::read_to_string(path).unwrap()
}

fn nothing(_: &mut Command, _: &Path) -> Vec<File> {
    Vec::new()
}

#[test]
fn one_signal_ends_what_waits_for_somebody_to_open_a_fifo() {
    for args in [
        &["convert", "in.json", "b.json"][..],
        &["convert", "a.json", "out.json"],
        &["inspect", "in.json"],
        &["inspect", "--verify", "in.json"],
        &["inspect", "a.json", "--against", "in.json"],
        &["inspect", "a.json", "--plot", "plot.svg"],
        &["serve", "--listen", "127.0.0.1:0", "--tape", "in.json"],
        &["serve", "--listen", "127.0.0.1:0", "--scenario", "./scenario.toml"],
        &["fetch", "127.0.0.1:1", "-o", "out.json"],
        &["fetch", "127.0.0.1:1", "--report", "out.json"],
        &["fetch", "127.0.0.1:1", "-f", "-o", "out.json"],
    ] {
        ends_at_once(args, nothing);
    }
}

#[test]
fn one_signal_ends_what_waits_for_somebody_to_type() {
    for args in [
        &["convert", "-", "b.json", "--from", "json"][..],
        &["convert", "-", "-", "--from", "ndjson", "--to", "csv"],
        &["inspect", "-", "--from", "csv"],
    ] {
        ends_at_once(args, |command, _| {
            let (person, program) = terminal();
            command.stdin(program);
            vec![person]
        });
    }
}

#[test]
fn one_signal_ends_what_writes_to_somebody_who_does_not_read() {
    ends_at_once(&["convert", "a.json", "-", "--to", "csv"], nothing);
    ends_at_once(&["convert", "a.json", "out.json"], |_, folder| {
        // Opened for both, it is open at both ends.
        vec![File::options().read(true).write(true).open(folder.join("out.json")).unwrap()]
    });
    let serving = ServeProcess::start(&["--tape", "random:50000", "--drop", "0"]);
    for (signal, expected) in BOTH {
        let mut command = betacrew(&["fetch", &serving.addresses[0], "-o", "-"]);
        let mut process = Process::start(command.stdout(Stdio::piped()));
        // It has recorded all and begun to write.
        let stdout = process.0.stdout.as_mut().unwrap();
        assert_eq!(stdout.read(&mut [0]).unwrap(), 1);
        process.is_blocked();
        process.signal(signal);
        assert_eq!(process.ends(PROMPT), Some(expected), "{}", process.log());
    }
}

#[test]
fn a_follower_whose_packets_nobody_reads_is_stopped_by_one_signal() {
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--live", "--pace", "200000/s", "--drop", "0"]);
    let mut command = betacrew(&["fetch", "-f", &serving.addresses[0], "-o", "-"]);
    command.args(["--tape", "x.tape"]).current_dir(folder.path()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let grows = || fs::metadata(folder.path().join("x.tape")).is_ok_and(|x| x.len() > 1_000_000);
    let began = Instant::now();
    while !grows() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
    process.signal(Signal::TERM);
    let code = process.ends(PROMPT);
    let log = process.log();
    // Nothing is missing in the recording, and what stdout did not get is said.
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped: stdout is not read"), "{log}");
    assert!(log.contains(", all that exist so far"), "{log}");
    let tape = folder.path().join("x.tape");
    let (verified, text, _) = run(&mut betacrew(&["inspect", "--verify", tape.to_str().unwrap()]));
    assert_eq!(verified, 0, "{text}");
    // The pipe has the beginning of the session, in order, and no more than it can hold.
    let mut piped = String::new();
    process.0.stdout.take().unwrap().read_to_string(&mut piped).unwrap();
    let whole = piped.lines().take(piped.matches('\n').count());
    let sequences: Vec<u64> = whole
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|packet| packet["sequence"].as_u64().unwrap())
        .collect();
    assert!(sequences.len() > 100, "{}", sequences.len());
    assert!((1..).zip(&sequences).all(|(expected, &seq)| seq == expected), "{sequences:?}");
}

/// An exchange that never describes itself, and never closes before its client does: it sends
/// packets 1 and 3, tells when its client has seen that 2 is missing, and sends all once its client
/// has ended its side; or 1 for ever.
fn original(endless: bool) -> (std::net::SocketAddr, std::sync::mpsc::Receiver<()>) {
    let tape = Tape::classic();
    let (tell, told) = std::sync::mpsc::channel();
    let address = peer(move |mut stream, _| {
        while let Some(call) = next_call(&mut stream) {
            match call {
                [1, _] => [0, 2].map(|at| stream.write_all(&tape.frames()[at]).unwrap()),
                [2, _] => {
                    let _ = tell.send(());
                    continue;
                }
                _ => continue,
            };
            // The call was the last thing that a client may send.
            if stream.read(&mut [0]).is_ok_and(|count| count == 0) {
                let _ = stream.write_all(tape.frames().as_flattened());
            }
            while endless && stream.write_all(&tape.frames()[0]).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
            return;
        }
    });
    (address, told)
}

fn fetching(folder: &Path, address: std::net::SocketAddr, args: &[&str]) -> Process {
    let mut command = betacrew(&["fetch", &address.to_string(), "--log", "debug"]);
    command.args(args).current_dir(folder).stdout(Stdio::null());
    Process::start(&mut command)
}

const WAITS: &str =
    "stopping: waiting up to 10 s for the exchange to end its connections; Ctrl+C again leaves now";

#[test]
fn what_an_original_sends_after_a_stop_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = original(false);
    let mut process = fetching(folder.path(), address, &["--last", "14"]);
    seen.recv_timeout(PATIENCE).unwrap();
    process.signal(Signal::INT);
    process.says(WAITS);
    assert_eq!(process.ends(PATIENCE), Some(0), "{}", process.log());
    let written = fs::read_to_string(folder.path().join("output.json")).unwrap();
    assert_eq!(written.matches("sequence").count(), 14);
}

#[test]
fn a_second_signal_leaves_an_original_that_sends_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = original(true);
    let mut process = fetching(folder.path(), address, &["--allow-gaps", "--last", "20"]);
    seen.recv_timeout(PATIENCE).unwrap();
    process.signal(Signal::TERM);
    process.says(WAITS);
    process.signal(Signal::TERM);
    assert_eq!(process.ends(PROMPT), Some(3));
    let log = process.log();
    assert!(log.contains("stopped by the user"), "{log}");
    assert!(folder.path().join("output.json").exists(), "{log}");
}

#[test]
fn an_exchange_of_ours_is_left_at_once_and_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--tape", "random:9000", "--pace", "500/s"]);
    let address = serving.addresses[0].parse().unwrap();
    let mut process = fetching(folder.path(), address, &[]);
    process.says("session");
    process.signal(Signal::INT);
    assert_eq!(process.ends(PROMPT), Some(3));
    let log = process.log();
    assert!(log.contains("stopped by the user") && !log.contains("stopping:"), "{log}");
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    for (name, ignored) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let mut command = Command::new("sh");
        let script = format!("trap '' {name}; exec \"$0\" inspect - --from json");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_betacrew")]).stdin(Stdio::piped());
        let mut process = Process::start(command.stdout(Stdio::null()));
        process.is_blocked();
        let mask = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        process.signal(ignored);
        let status = mask(process.0.id());
        let line = status.lines().find(|line| line.starts_with("SigIgn")).unwrap();
        let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_ne!(bits & 1 << (ignored.as_raw() - 1), 0, "{status}");
        // The other ones are heard.
        process.signal(Signal::TERM);
        assert_eq!(process.ends(PROMPT), Some(143));
    }
    let mut process = Process::start(
        betacrew(&["inspect", "-", "--from", "json"]).stdin(Stdio::piped()).stdout(Stdio::null()),
    );
    process.is_blocked();
    process.signal(Signal::HUP);
    assert_eq!(process.ends(PROMPT), Some(129));
}
