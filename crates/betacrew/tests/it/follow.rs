//! Following live sessions for long: other sessions, files one after the other, what is given up.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, run};
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::market::SyntheticMarket;
use feed::tape::source::TapeSource;
use feed::wire::{MAX_PACKET_SEQ, SessionId, sequence_of};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// `betacrew fetch --follow` as a process whose stdout is read.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = betacrew(&["fetch", "--follow", "-o", "-"])
            .args(args)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The sequences of the lines that come next, so many.
    fn sequences(&mut self, count: usize) -> Vec<u64> {
        self.lines.by_ref().take(count).map(|line| sequence(&line.unwrap()).unwrap()).collect()
    }

    /// Ends the process as Ctrl+C does; returns its exit code, the rest of its lines and stderr.
    fn interrupt(self) -> (i32, Vec<String>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.ends()
    }

    fn ends(mut self) -> (i32, Vec<String>, String) {
        let left = self.lines.map(Result::unwrap).collect();
        let output = self.child.ends_with_output();
        (output.status.code().unwrap(), left, String::from_utf8(output.stderr).unwrap())
    }
}

fn sequence(line: &str) -> Option<u64> {
    let after = line.split_once("\"sequence\":")?.1;
    after.split_once(',')?.0.parse().ok()
}

/// A complete recording in a tape file: its session, and how many packets it has. They are the
/// market's.
fn recorded(path: &Path) -> (SessionId, u64) {
    let storage = betacrew::storage::FileStorage::read(path).unwrap();
    let (file, _) = TapeFile::open(storage, OpenMode::Index).unwrap();
    let session = file.session().unwrap().session;
    let market = SyntheticMarket::new(session, MAX_PACKET_SEQ);
    let (mut reading, mut count) = (file.in_order(1), 0);
    while let Some(piece) = reading.next().unwrap() {
        for frame in piece.packets() {
            count += 1;
            let packet = feed::wire::Frame::Packet(market.packet(count));
            assert_eq!((sequence_of(frame), *frame), (count, feed::wire::encode(&packet)));
        }
    }
    (session, count)
}

/// The names of files in a folder that begin so, in order.
fn names(folder: &Path, begin: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(begin)).collect();
    names.sort();
    names
}

#[test]
fn another_session_gets_a_recording_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let live = ["--live", "--pace", "20000/s", "--drop"];
    // Of what the first one loses, some could not be asked for any more.
    let mut exchange = ServeProcess::start(&[&live[..], &["0", "--tape", "market:1"]].concat());
    let address = exchange.addresses[0].clone();
    let args = [address.as_str(), "--tape", "cap.tape", "-o", "all.csv"];
    let mut follower = Follower::start(folder.path(), &args);
    assert_eq!(follower.sequences(5000), (1..=5000).collect::<Vec<_>>());
    exchange.child.kill().unwrap();
    drop(exchange);
    let second = [&live[..], &["10%", "--tape", "market:2"]].concat();
    let exchange = ServeProcess::listening(&[&address], &second);
    // What is left of the first session, then the second from its beginning.
    let mut before = 5000;
    let marked = loop {
        let line = follower.lines.next().unwrap().unwrap();
        match sequence(&line) {
            Some(seq) => assert_eq!(seq, before + 1),
            None => break line,
        }
        before += 1;
    };
    assert_eq!(follower.sequences(5000), (1..=5000).collect::<Vec<_>>());
    let (code, left, said) = follower.interrupt();
    let second = SyntheticMarket::seeded(2, MAX_PACKET_SEQ).session();
    assert_eq!(marked, format!("{{\"session\":\"{second}\"}}"));
    assert!(said.contains(&format!("now plays session {second}")), "{said}");
    assert!(code == 0 || code == 3, "{said}");

    let own = format!("cap-{second}.tape");
    let first = recorded(&folder.path().join("cap.tape"));
    assert_eq!(first, (SyntheticMarket::seeded(1, MAX_PACKET_SEQ).session(), before), "{said}");
    if code == 0 {
        let count = 5000 + left.len() as u64;
        assert_eq!(recorded(&folder.path().join(&own)), (second, count));
        let written = std::fs::read_to_string(folder.path().join(format!("all-{second}.csv")));
        assert_eq!(written.unwrap().lines().count(), count as usize + 1);
    }
    assert!(folder.path().join("all.csv").exists());

    // The same command finds its way back to it, and writes it from the beginning.
    let mut follower = Follower::start(folder.path(), &args);
    let line = follower.lines.find(|line| sequence(line.as_ref().unwrap()).is_none());
    assert_eq!(line.unwrap().unwrap(), marked);
    assert_eq!(follower.sequences(6000), (1..=6000).collect::<Vec<_>>());
    let (_, _, said) = follower.interrupt();
    assert!(said.contains(&format!("continuing {own}")), "{said}");
    drop(exchange);
}

#[test]
fn files_follow_one_another_and_have_everything() {
    let folder = tempfile::tempdir().unwrap();
    let tape = ["--live", "--tape", "random:60000:1", "--pace", "100000/s", "--drop", "5%"];
    let exchange = ServeProcess::start(&tape);
    let args = ["fetch", "-f", &exchange.addresses[0], "--rotate", "500kB", "-o", "x.csv"];
    let (code, _, said) = run(betacrew(&args).current_dir(folder.path()));
    assert_eq!(code, 0, "{said}");
    let names = names(folder.path(), "x-");
    let series = names[0].rsplitn(3, '-').last().map(|begin| format!(" in {begin}-*.csv\n"));
    assert!(said.contains(&series.unwrap()), "{said}");
    assert!(names.len() > 3, "{names:?}");
    let mut next = 1;
    for name in &names {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        let mut range = name.trim_end_matches(".csv").rsplit('-').map(|seq| seq.parse().unwrap());
        let (last, first): (u64, u64) = (range.next().unwrap(), range.next().unwrap());
        assert_eq!((first, text.lines().count() as u64), (next, last - first + 2), "{name}");
        next = last + 1;
    }
    assert_eq!(next, 60_001);
    assert!(!folder.path().join("x.csv").exists() && !folder.path().join("x.csv.tape").exists());
}

#[test]
fn the_summary_says_that_live_files_end_before_a_missing_packet() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("gone.toml");
    let drop = "[[fault]]\nwhat = \"drop\"\nsequences = \"500\"\n";
    std::fs::write(&scenario, format!("{drop}{drop}on = \"resend\"\n")).unwrap();
    let live = ["--live", "--tape", "random:1000:1", "--pace", "2000/s", "--scenario"];
    let exchange = ServeProcess::start(&[&live[..], &[scenario.to_str().unwrap()]].concat());
    let args = ["fetch", "-f", &exchange.addresses[0], "--give-up", "200ms"];
    let args = [&args[..], &["--rotate", "1h", "-o", "x.csv"]].concat();
    let (code, _, said) = run(betacrew(&args).current_dir(folder.path()));
    assert_eq!(code, 3, "{said}");
    let names = names(folder.path(), "x-");
    assert!(
        matches!(&names[..], [one] if one.ends_with("-0000000001-0000000499.csv")),
        "{names:?}"
    );
    let have = "999 packets received; those before the first missing one are in x-";
    assert!(said.contains(have), "{said}");
}

#[test]
fn what_never_comes_is_given_up_and_said() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("gone.toml"),
        "[[fault]]\nwhat = \"drop\"\nsequences = \"50-52\"\n\
         [[fault]]\nwhat = \"drop\"\non = \"resend\"\nsequences = \"50-51\"\n",
    )
    .unwrap();
    let scenario = folder.path().join("gone.toml");
    let live = ["--live", "--tape", "random:1000:1", "--pace", "2000/s", "--scenario"];
    let live = [&live[..], &[scenario.to_str().unwrap()]].concat();
    let exchange = ServeProcess::start(&live);
    let args = [&exchange.addresses[0], "--give-up", "200ms", "--skip-abandoned"];
    let (code, lines, said) = Follower::start(folder.path(), &args).ends();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("abandoned: packet 50-51 did not arrive in time"), "{said}");
    assert_eq!(lines.len(), 999);
    assert_eq!(lines[49], "{\"abandoned\":{\"first\":50,\"last\":51}}");
    assert_eq!(lines[50..].iter().filter_map(|line| sequence(line)).min(), Some(52));
    // What was written so is read, too.
    std::fs::write(folder.path().join("x.ndjson"), lines.join("\n")).unwrap();
    let args = ["convert", "x.ndjson", "x.json", "--allow-gaps"];
    assert_eq!(run(betacrew(&args).current_dir(folder.path())).0, 0);

    // Whoever has not chosen that gets nothing that comes after it.
    let exchange = ServeProcess::start(&live);
    let args = [&exchange.addresses[0], "--give-up", "200ms"];
    let (code, lines, said) = Follower::start(folder.path(), &args).ends();
    assert_eq!((code, lines.len()), (3, 49), "{said}");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = ServeProcess::start(&["--live", "--pace", "20000/s", "--drop", "0"]);
    let mut follower = Follower::start(folder.path(), &[&exchange.addresses[0]]);
    assert_eq!(follower.sequences(10), (1..=10).collect::<Vec<_>>());
    drop(follower.lines);
    let output = follower.child.ends_with_output();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn a_reader_that_stalls_keeps_nothing_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let tape = ["--live", "--tape", "random:300000:1", "--pace", "1000000/s", "--drop", "5%"];
    let exchange = ServeProcess::start(&tape);
    let args = [&exchange.addresses[0], "--tape", "x.tape"];
    let mut follower = Follower::start(folder.path(), &args);
    // Nobody reads its stdout until everything is recorded.
    let patience = Instant::now() + PATIENCE;
    let path = folder.path().join("x.tape");
    let recorded = || {
        let storage = betacrew::storage::FileStorage::read(&path).ok()?;
        Some(TapeFile::open(storage, OpenMode::Index).ok()?.0.packets())
    };
    while recorded() != Some(300_000) {
        assert!(Instant::now() < patience, "{:?} packets", recorded());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(follower.sequences(300_000), (1..=300_000).collect::<Vec<_>>());
    let (code, left, said) = follower.ends();
    assert_eq!((code, left.len()), (0, 0), "{said}");
}

#[test]
fn flags_for_following_that_make_no_sense_are_refused() {
    for (args, reason) in [
        (&["--give-up", "1s"][..], "--follow"),
        (&["-f", "--skip-abandoned"], "--give-up"),
        (&["-f", "--rotate", "often"], "1GiB"),
        (&["-f", "--rotate", "1h", "-o", "/dev/null"], "needs the name of a file"),
        (&["--rotate", "1h"], "--follow"),
    ] {
        let (code, _, said) = run(betacrew(&["fetch"]).args(args));
        assert!(code == 2 && said.contains(reason), "{args:?}: {said}");
    }
}
