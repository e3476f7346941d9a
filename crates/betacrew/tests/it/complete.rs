//! Completeness of a recording, for `fetch` and for all commands that read its tape.

use crate::in_time::ChildInTime;
use crate::support::{
    PATIENCE, ReservedPort, ServeProcess, Serving, betacrew, losing, next_call, peer, playing, run,
};
use betacrew::storage::FileStorage;
use feed::base::seq::{Seq, SeqRange};
use feed::exchange::original::OriginalExchange;
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, OpenMode, SessionEnd, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, Info, SessionId, encode};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

pub(crate) const OLD: &str = "what was there before";

pub(crate) fn here(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(betacrew(args).current_dir(folder))
}

/// A folder with an output from before.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("day.json"), OLD).unwrap();
    folder
}

pub(crate) fn is_old(folder: &Path) {
    assert_eq!(fs::read_to_string(folder.join("day.json")).unwrap(), OLD);
}

pub(crate) fn begin(folder: &Path, args: &[&str]) -> Child {
    betacrew(args)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn interrupt(child: Child) -> (i32, String) {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    ends(child)
}

pub(crate) fn ends(mut child: Child) -> (i32, String) {
    let output = child.ends_with_output();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Reads ten lines of a client's stdout and closes it. Returns the client's messages.
pub(crate) fn stdout_closed_after_ten_lines(mut follower: Child) -> String {
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.by_ref().take(10).filter(Result::is_ok).count(), 10);
    drop(lines);
    let (code, said) = ends(follower);
    assert!(code == 0 && said.contains("the reader of stdout closed it"), "{code}: {said}");
    said
}

pub(crate) fn wait_for(what: &str, found: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !found() {
        assert!(Instant::now() < until, "{what} does not come");
        std::thread::yield_now();
    }
}

pub(crate) fn packets(path: &Path) -> u64 {
    let Ok(storage) = FileStorage::read(path) else { return 0 };
    TapeFile::open(storage, OpenMode::Index).map_or(0, |(file, _)| file.packets())
}

pub(crate) fn json(tape: &Tape) -> Vec<u8> {
    let mut text = Vec::new();
    betacrew::format::json::write([tape.frames()], &mut text).unwrap();
    text
}

#[test]
fn where_nobody_is_reached_nothing_is_replaced() {
    let folder = folder();
    let nobody = ReservedPort::new();
    let address = nobody.address();
    let follower = begin(folder.path(), &["fetch", "-f", &address, "-o", "day.json"]);
    wait_for("the recording", || folder.path().join("day.json.tape").exists());
    let (code, said) = interrupt(follower);
    assert!(code == 5 && said.contains("unreachable"), "{code}: {said}");
    is_old(folder.path());
    // Not even where the user knows that there is nothing.
    let args = ["fetch", &address, "--last", "0", "--timeout", "100ms", "-o", "day.json"];
    let (code, _, said) = here(folder.path(), &args);
    assert!(code == 5 && said.contains("unreachable"), "{code}: {said}");
    is_old(folder.path());
}

#[test]
fn an_empty_session_that_was_asked_for_is_complete() {
    let folder = folder();
    let exchange = playing(Tape::sample(0), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let (code, _, said) =
        here(folder.path(), &["fetch", &address, "--last", "0", "-o", "day.json"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("day.json")).unwrap().trim(), "[]");
}

#[test]
fn a_live_recording_is_kept_until_its_session_is_over() {
    let folder = folder();
    let live = ["--live", "--pace", "5000/s", "--tape", "market:1", "--drop", "0"];
    let exchange = ServeProcess::start(&live);
    let address = exchange.addresses[0].clone();
    let tape = folder.path().join("day.json.tape");
    let args = ["fetch", "-f", &address, "-o", "day.json"];
    let follower = begin(folder.path(), &args);
    wait_for("a thousand packets", || packets(&tape) > 1000);
    let (code, said) = interrupt(follower);
    assert!(code == 0 && said.contains("all that exist so far"), "{code}: {said}");
    assert!(said.contains("run the same command again"), "{said}");
    let written = fs::read_to_string(folder.path().join("day.json")).unwrap();
    let before = packets(&tape);
    assert_eq!(written.matches("\"sequence\"").count() as u64, before);

    // Nobody is there: what was written stays.
    drop(exchange);
    let mut follower = begin(folder.path(), &args);
    let mut said = BufReader::new(follower.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("continuing day.json.tape"), "{line}");
    kill_process(Pid::from_child(&follower), Signal::INT).unwrap();
    let said: Vec<String> = said.map(Result::unwrap).collect();
    assert_eq!(follower.ends().code(), Some(5), "{said:?}");
    assert!(said.iter().any(|line| line.contains("from an earlier run")), "{said:?}");
    assert_eq!(fs::read_to_string(folder.path().join("day.json")).unwrap(), written);

    // It goes on where it was.
    let exchange = ServeProcess::listening(&[&address], &live);
    let follower = begin(folder.path(), &args);
    wait_for("more packets", || packets(&tape) > before);
    let (code, said) = interrupt(follower);
    assert_eq!(code, 0, "{said}");
    assert!(packets(&tape) > before);
    drop(exchange);
}

const SESSION: SessionId = SessionId::of(*b"LIVE");

fn info(last: Seq) -> [u8; 17] {
    encode(&Frame::Info(Info { session: SESSION, version: 1, first: 1, last }))
}

/// A live exchange that tells of packets which never come: `last` when it describes itself, and
/// after ten packets those before `beat`. It says when it is asked for what is missing, or when a
/// subscriber has been told everything.
pub(crate) fn falls_silent(
    last: Seq,
    beat: Option<Seq>,
) -> (String, std::sync::mpsc::Receiver<()>) {
    let (told, is_told) = channel();
    let tape = Tape::random(10, 1);
    let address = peer(move |mut stream, _| {
        while let Some(call) = next_call(&mut stream) {
            match call[0] {
                3 => drop(stream.write_all(&info(last))),
                4 => drop(told.send(())),
                5 => {
                    let _ = stream.read_exact(&mut [0; 4]);
                    let mut bytes = tape.frames().as_flattened().to_vec();
                    if let Some(next) = beat {
                        bytes.extend(encode(&Frame::Heartbeat(next)));
                        let _ = stream.write_all(&bytes);
                    }
                    // Where a heartbeat tells of more, that is asked for.
                    if beat.is_none_or(|next| next <= 11) {
                        let _ = told.send(());
                    }
                }
                _ => {}
            }
            if call[0] == 4 {
                let _ = stream.read_exact(&mut [0; 8]);
            }
        }
    });
    (address.to_string(), is_told)
}

#[test]
fn an_announced_tail_that_did_not_arrive_is_missing() {
    for (last, beat, missing, kept) in [
        (2027, None, "2,027 packets: 1-2027", 0),
        (0, Some(31), "20 packets: 11-30", 10),
        (40, Some(11), "30 packets: 11-40", 10),
    ] {
        let folder = folder();
        let (address, told) = falls_silent(last, beat);
        let follower = begin(folder.path(), &["fetch", "-f", &address, "-o", "day.json"]);
        told.recv_timeout(PATIENCE).unwrap();
        let tape = folder.path().join("day.json.tape");
        wait_for("what came", || packets(&tape) == kept);
        let (code, said) = interrupt(follower);
        assert!(code == 3 && said.contains(missing), "{code}: {said}");
        assert!(said.contains("run the same command again"), "{said}");
        is_old(folder.path());
        // The tape knows it, too.
        let (code, text, _) = here(folder.path(), &["inspect", "--verify", "day.json.tape"]);
        let range = missing.split(": ").nth(1).unwrap();
        assert!(code == 3 && text.contains(range), "{code}: {text}");
    }
}

/// The first 1,199 packets of a session that is known to have 3,000.
fn part(path: &Path) -> Tape {
    let tape = Tape::random(3000, 1);
    record_beginning(path, &tape, 1199);
    tape
}

/// Records the first packets of a tape, and that its session is known to have all of it.
pub(crate) fn record_beginning(path: &Path, tape: &Tape, packets: Seq) {
    let head = FileHead { session: None, created: 1, salt: 2 };
    let mut file = TapeFile::create(FileStorage::write(path).unwrap(), head).unwrap();
    let told = Info { session: tape.session(), version: 1, first: 1, last: tape.last() };
    file.note_session(told, 1).unwrap();
    let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
    file.append(stream, 1, tape.slice(SeqRange::new(1, packets).unwrap())).unwrap();
    file.finish(2).unwrap();
}

/// Returns the session that `serve --tape` plays, the packets that a client gets, and the log.
pub(crate) fn played(folder: &Path, args: &[&str]) -> (String, Vec<u8>, String) {
    let exchange = ServeProcess::start(&[&["--drop", "0"], args].concat());
    let args = ["fetch", &exchange.addresses[0], "-o", "got.json", "--report", "report.json"];
    let (code, _, said) = here(folder, &args);
    assert_eq!(code, 0, "{said}");
    exchange.signal(Signal::INT);
    let (_, log) = exchange.ends();
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    let session = report["session"].as_str().unwrap().to_owned();
    (session, fs::read(folder.join("got.json")).unwrap(), log)
}

#[test]
fn a_tape_that_lacks_its_tail_is_not_whole_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.tape");
    let tape = part(&path);
    let packets: Vec<_> = (1..1200).map(|seq| packet(&tape, seq)).collect();
    let begun = Tape::new(packets).unwrap();
    let (code, text, _) = here(folder.path(), &["inspect", "--verify", "part.tape"]);
    assert!(code == 3 && text.contains("1200-3000"), "{code}: {text}");
    let (code, _, said) = here(folder.path(), &["convert", "part.tape", "p.json"]);
    assert!(code == 3 && said.contains("1200-3000"), "{code}: {said}");
    assert!(!folder.path().join("p.json").exists());
    let listen = ["serve", "--listen", "127.0.0.1:0", "--tape", "part.tape"];
    let (code, _, said) = here(folder.path(), &listen);
    assert!(code == 3 && said.contains("1200-3000") && said.contains("--allow-gaps"), "{said}");

    // With --allow-gaps it is converted and played, and a message says that it is incomplete.
    let (code, _, said) = here(folder.path(), &["convert", "part.tape", "p.json", "--allow-gaps"]);
    assert!(code == 0 && said.contains("1200-3000"), "{code}: {said}");
    assert_eq!(fs::read(folder.path().join("p.json")).unwrap(), json(&begun));
    let play = ["--tape", path.to_str().unwrap(), "--allow-gaps"];
    let (session, got, log) = played(folder.path(), &play);
    assert_ne!(session, tape.session().to_string());
    assert!(got == json(&begun) && log.contains("as a session of its own"), "{log}");

    // What a tape knows is not lost where it becomes another tape.
    let args = ["convert", "part.tape", "q.tape", "--allow-gaps"];
    assert_eq!(here(folder.path(), &args).0, 0);
    assert_eq!(here(folder.path(), &["inspect", "--verify", "q.tape"]).0, 3);
}

pub(crate) fn packet(tape: &Tape, seq: Seq) -> feed::wire::packet::Packet {
    match feed::wire::decode(&tape.frames()[seq as usize - 1]) {
        Ok(Frame::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tape_that_is_cut_is_played_only_as_a_session_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let tape = Tape::random(20_000, 1);
    let exchange = playing(tape.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let args = ["fetch", &address, "--tape", "x.tape", "-o", "x.json"];
    assert_eq!(here(folder.path(), &args).0, 0);
    let path = folder.path().join("x.tape");
    // Whole, it is the session that was recorded.
    let whole = ["--tape", path.to_str().unwrap()];
    let (session, got, log) = played(folder.path(), &whole);
    assert_eq!(session, tape.session().to_string());
    assert!(got == json(&tape) && !log.contains("of its own"), "{log}");

    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..200_000]).unwrap();
    let listen = ["serve", "--listen", "127.0.0.1:0", "--tape", "x.tape"];
    let (code, _, said) = here(folder.path(), &listen);
    assert!(code == 6 && said.contains("damaged") && said.contains("--allow-gaps"), "{said}");
    let (session, got, log) = played(folder.path(), &[&whole[..], &["--allow-gaps"]].concat());
    assert_ne!(session, tape.session().to_string());
    assert!(log.contains("as a session of its own"), "{log}");
    assert!(json(&tape).starts_with(got.trim_ascii_end().strip_suffix(b"\n]").unwrap()));
}

#[test]
fn an_unknown_end_of_a_tape_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tape");
    let head = FileHead { session: Some(SessionId::of(*b"LIVE")), created: 1, salt: 2 };
    let mut file = TapeFile::create(FileStorage::write(&path).unwrap(), head).unwrap();
    let stream = Origin { line: 0, source: Source::Stream { pass: 1 } };
    let tape = Tape::random(500, 1);
    file.append(stream, 1, tape.frames()).unwrap();
    file.finish(2).unwrap();
    let (code, text, _) = here(folder.path(), &["inspect", "--verify", "x.tape"]);
    assert!(code == 0 && text.contains("end      unknown"), "{code}: {text}");
    let (code, _, said) = here(folder.path(), &["convert", "x.tape", "x.json"]);
    assert!(code == 0 && said.contains("the end of its session is not known"), "{code}: {said}");
    let (session, got, log) = played(folder.path(), &["--tape", path.to_str().unwrap()]);
    assert!(session != "LIVE" && log.contains("as a session of its own"), "{session}: {log}");
    assert_eq!(got, json(&tape));

    file.note_end(500, SessionEnd::Confirmed, 3).unwrap();
    file.finish(3).unwrap();
    let (code, text, _) = here(folder.path(), &["inspect", "--verify", "x.tape"]);
    assert!(code == 0 && !text.contains("unknown"), "{code}: {text}");
    let (session, _, _) = played(folder.path(), &["--tape", path.to_str().unwrap()]);
    assert_eq!(session, "LIVE");
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    // Half of all packets are dropped, and half of all resends: some packets are always missing.
    fs::write(
        folder.path().join("gone.toml"),
        "[[fault]]\nwhat = \"drop\"\nchance = \"50%\"\nsequences = \"100-2000000000\"\n\
         [[fault]]\nwhat = \"drop\"\non = \"resend\"\nchance = \"50%\"\n",
    )
    .unwrap();
    let scenario = folder.path().join("gone.toml");
    let live = ["--live", "--pace", "20000/s", "--tape", "market:1", "--scenario"];
    let exchange = ServeProcess::start(&[&live[..], &[scenario.to_str().unwrap()]].concat());
    let args = ["fetch", "-f", &exchange.addresses[0], "-o", "-", "--tape", "x.tape"];
    let said = stdout_closed_after_ten_lines(begin(folder.path(), &args));
    assert!(!said.contains("missing") && !said.contains("--allow-gaps"), "{said}");
    assert!(packets(&folder.path().join("x.tape")) > 10);
}

#[test]
fn packets_of_two_sessions_are_not_taken_for_one() {
    let (one, other) = (Tape::random(200, 1), Tape::random(200, 2));
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let first = playing(one.clone(), losing(seed, "0.1", ""));
        let second = playing(other.clone(), losing(seed + 100, "0.1", ""));
        let (first, second) = (first.address.to_string(), second.address.to_string());
        let output = folder.path().join("o.json");
        let (code, _, said) = here(folder.path(), &["fetch", &first, &second, "-o", "o.json"]);
        if code == 0 {
            let got = fs::read(&output).unwrap();
            assert!(got == json(&one) || got == json(&other), "seed {seed}: mixed: {said}");
            continue;
        }
        assert_eq!(code, 4, "{said}");
        for address in [&first, &second] {
            let (code, _, said) = here(folder.path(), &["fetch", address, "-o", "o.json"]);
            let tape = if address == &first { &one } else { &other };
            match code {
                0 => assert!(fs::read(&output).unwrap() == json(tape), "seed {seed}: {said}"),
                // The recording is the other line's.
                code => assert!(code == 4 && said.contains("--restart"), "{code}: {said}"),
            }
        }
    }
}

/// An exchange that streams these packets and tells nothing, neither which session they are of nor
/// an end.
pub(crate) fn tells_nothing(tape: &Tape) -> String {
    let frames = tape.frames().to_vec();
    let address = peer(move |mut stream, _| {
        if next_call(&mut stream).is_some_and(|call| call[0] == 1) {
            let _ = stream.write_all(frames.as_flattened());
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address.to_string()
}

#[test]
fn packets_recorded_before_the_session_is_announced_are_requested_again() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Tape::random(134, 1), Tape::random(200, 2));
    let address = tells_nothing(&old);
    let mut killed = begin(folder.path(), &["fetch", &address, "-o", "o.json"]);
    wait_for("the packets", || packets(&folder.path().join("o.json.tape")) == 134);
    killed.kill_and_reap();
    let exchange = playing(new.clone(), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let (code, _, said) = here(folder.path(), &["fetch", &address, "-o", "o.json"]);
    assert!(code == 0 && said.contains("134 packets recorded before"), "{code}: {said}");
    let again = "  again    134 packets recorded before the exchange announced its session";
    assert!(said.contains(again), "{said}");
    assert!(fs::read(folder.path().join("o.json")).unwrap() == json(&new), "{said}");
}

#[test]
fn a_known_session_is_not_gone_on_with_from_an_exchange_that_tells_none() {
    let folder = folder();
    let path = folder.path().join("x.tape");
    let tape = part(&path);
    let original = Serving::start(OriginalExchange::new(tape.clone(), 1));
    for classic in [&[][..], &["--classic"]] {
        let address = original.address.to_string();
        let args = ["fetch", &address, "--tape", "x.tape", "-o", "day.json"];
        let (code, _, said) = here(folder.path(), &[&args[..], classic].concat());
        assert!(code == 3 && said.contains("does not tell which one it plays"), "{code}: {said}");
        assert!(said.contains("--restart"), "{said}");
        is_old(folder.path());
        assert_eq!(packets(&path), 1199);
    }
    assert_eq!(original.end().died_of(), None);
}
