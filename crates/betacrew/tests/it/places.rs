//! Places that commands write: equal places, files in use, files replaced and kept.

use crate::in_time::{ChildInTime, CommandInTime};
use crate::support::{PATIENCE, ServeProcess, betacrew, losing, next_call, peer, playing};
use betacrew::storage::FileStorage;
use feed::tape::file::{OpenMode, TapeFile};
use feed::tape::in_memory::Tape;
use feed::wire::{Frame, Info, SessionId, encode};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// Runs a command to its end: exit code and stderr.
fn ended(command: &mut Command) -> (i32, String) {
    let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let Output { status, stderr, .. } = child.ends_with_output();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

fn in_folder(folder: &Path, args: &[&str]) -> (i32, String) {
    ended(betacrew(args).current_dir(folder).stdout(Stdio::piped()))
}

/// All that is in a folder: names and content.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

fn names(folder: &Path) -> Vec<String> {
    content(folder).into_iter().map(|(name, _)| name).collect()
}

fn packets(path: &Path) -> u64 {
    TapeFile::open(FileStorage::read(path).unwrap(), OpenMode::Index).unwrap().0.packets()
}

/// A folder with a tape and what it became.
fn with_tape(packets: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(packets, 1), losing(1, "0", ""));
    let args = ["fetch", &exchange.address.to_string(), "-o", "a.json", "--tape", "a.tape"];
    let (code, said) = in_folder(folder.path(), &args);
    assert_eq!(code, 0, "{said}");
    folder
}

#[test]
fn one_place_named_twice_is_refused_before_anything_begins() {
    let folder = with_tape(5);
    fs::write(folder.path().join("s.toml"), "").unwrap();
    symlink("a.json", folder.path().join("link.json")).unwrap();
    symlink("new.json", folder.path().join("dangling.json")).unwrap();
    fs::hard_link(folder.path().join("a.json"), folder.path().join("hard.json")).unwrap();
    let before = content(folder.path());
    for (args, flags) in [
        (&["fetch", "-o", "n.json", "--report", "./n.json"][..], ["`-o n", "`--report ./n"]),
        (&["fetch", "-o", "a.json", "--report", "link.json"], ["`-o a", "`--report link"]),
        (&["fetch", "-o", "a.json", "-o", "hard.json"], ["`-o a", "`-o hard"]),
        (&["fetch", "-o", "new.json", "-o", "dangling.json"], ["`-o new", "`-o dang"]),
        (&["fetch", "-o", "b.json", "--tape", "b.json"], ["`-o b", "`--tape b"]),
        (&["fetch", "-o", "b.json", "-o", "b.json.tape"], ["whose recording is in", "`-o b"]),
        (&["fetch", "--tape", "x.tape", "--report", "x.tape"], ["`--tape x", "`--report x"]),
        (&["fetch", "-o", "-", "--report", "/dev/stdout"], ["`-o -", "`--report /dev"]),
        (&["serve", "--live", "--tape", "a.tape", "--record", "./a.tape"], ["--tape", "--record"]),
        (&["serve", "--live", "--scenario", "s.toml", "--record", "s.toml"], ["--sce", "--rec"]),
        (&["convert", "a.json", "./a.json"], ["`a.json` and", "`./a.json`"]),
        (&["inspect", "a.svg", "--from", "json", "--plot", "a.svg"], ["`a.svg` and", "`--plot"]),
        (&["grade", "--json", "r", "--html", "./r", "--", "true"], ["`--json r", "`--html ./r"]),
        (&["grade", "--json", "a.json", "--", "true", "a.json"], ["`-- a.js", "`--json a.js"]),
        (&["grade", "--junit", "a.json", "--", "./link.json"], ["`-- ./link", "`--junit a.js"]),
        (&["grade", "--html", "hard.json", "--", "a.json/", "a.json"], ["`-- a.", "`--html hard"]),
        (&["grade", "--badge", "a.json", "--", "true", "--in=a.json"], ["`-- a", "`--badge a"]),
        (&["demo", "--scenario", "s.toml", "-o", "s.toml"], ["`--scenario s", "`-o s"]),
    ] {
        let (code, said) = in_folder(folder.path(), args);
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(flags.iter().all(|flag| said.contains(flag)), "{args:?}: {said}");
        assert_eq!(content(folder.path()), before, "{args:?}");
    }
}

#[cfg(feature = "nats")]
#[test]
fn files_that_the_environment_names_are_not_written() {
    let folder = with_tape(5);
    fs::write(folder.path().join("secret"), "hunter2").unwrap();
    symlink("secret", folder.path().join("link")).unwrap();
    let before = content(folder.path());
    let log = "nats://127.0.0.1:1/x";
    let live = ["serve", "--live", "--tape", log, "--record", "link"];
    for variable in ["PASSWORD_FILE", "CREDS", "CA"].map(|name| format!("BETACREW_NATS_{name}")) {
        for args in [
            &["fetch", "--publish", log, "-o", "secret"][..],
            &["fetch", "--publish", log, "--report", "secret"],
            &["fetch", "--publish", log, "--tape", "link"],
            &["convert", log, "secret", "--to", "csv"],
            &["convert", log, "link", "--to", "csv", "--force"],
            &["inspect", log, "--plot", "secret.svg"],
            &live,
        ] {
            let named = if args[0] == "inspect" { "secret.svg" } else { "secret" };
            let mut command = betacrew(args);
            command.current_dir(folder.path()).env(&variable, named).stdout(Stdio::piped());
            let (code, said) = ended(&mut command);
            assert_eq!(code, 2, "{args:?}: {said}");
            let variable = variable.as_str();
            let flag = match variable {
                "BETACREW_NATS_CREDS" => "--publish-creds",
                "BETACREW_NATS_CA" => "--publish-ca",
                _ => variable,
            };
            assert!(said.contains(variable) || said.contains(flag), "{args:?}: {said}");
            assert!(said.contains("the same place"), "{args:?}: {said}");
            assert_eq!(content(folder.path()), before, "{args:?}");
        }
    }
}

#[test]
fn standard_streams_that_go_to_a_file_are_that_file() {
    let folder = with_tape(5);
    let out = || fs::File::options().append(true).open(folder.path().join("a.json")).unwrap();
    let before = content(folder.path());
    let refused = |command: &mut Command| {
        let (code, _) = ended(command.current_dir(folder.path()));
        assert_eq!(code, 2, "{command:?}");
        assert_eq!(content(folder.path()), before, "{command:?}");
    };
    for args in [
        &["fetch", "-o", "-", "-o", "a.json"][..],
        &["convert", "a.json", "-", "--to", "json"],
        &["serve", "--live", "--record", "a.json"],
        &["grade", "--json", "a.json", "--", "true"],
    ] {
        refused(betacrew(args).stdout(out()));
    }
    let said = folder.path().join("said");
    let log = fs::File::create(&said).unwrap();
    let args = ["fetch", "-o", "b.json", "--tape", "said"];
    let status = betacrew(&args).current_dir(folder.path()).stderr(log).spawn().unwrap().ends();
    let said = fs::read_to_string(said).unwrap();
    assert!(
        status.code() == Some(2) && said.contains("standard error and `--tape said`"),
        "{said}"
    );
}

#[test]
fn pipes_are_written_through_by_whatever_name() {
    let folder = with_tape(20);
    for name in ["-", "/dev/stdout", "/proc/self/fd/1"] {
        let mut command = betacrew(&["convert", "a.tape", name, "--to", "csv"]);
        let output = command.current_dir(folder.path()).output_in_time().unwrap();
        let (text, said) =
            [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap()).into();
        assert_eq!(text.lines().count(), 21, "{name}: {said}");
    }
    assert_eq!(names(folder.path()), ["a.json", "a.tape"]);
}

#[test]
fn a_recording_in_use_is_left_alone() {
    let folder = with_tape(100);
    let exchange = playing(Tape::random(200, 1), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let held = FileStorage::write(&folder.path().join("a.tape")).unwrap();
    let before = content(folder.path());
    for args in [
        &["fetch", &address, "--tape", "a.tape", "-o", "b.json"][..],
        &["fetch", &address, "--tape", "a.tape", "-o", "b.json", "--restart"],
        &["fetch", &address, "-o", "a.tape"],
        &["convert", "a.json", "a.tape", "--force"],
        &["demo", "-o", "a.tape"],
        &["serve", "--listen", "127.0.0.1:0", "--live", "--record", "a.tape"],
        &["serve", "--listen", "127.0.0.1:0", "--live", "--record", "a.tape", "--new-session"],
    ] {
        let (code, said) = in_folder(folder.path(), args);
        assert_eq!(code, 6, "{args:?}: {said}");
        assert!(said.contains("a.tape: another process is recording into it"), "{said}");
        assert_eq!(content(folder.path()), before, "{args:?}");
    }
    drop(held);
    assert_eq!(in_folder(folder.path(), &["fetch", &address, "-o", "a.tape"]).0, 0);
}

#[test]
fn a_recording_is_not_destroyed_by_what_cannot_begin() {
    let folder = with_tape(100);
    fs::write(folder.path().join("notes.txt"), "my notes").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let exchange = playing(Tape::random(200, 1), losing(1, "0", ""));
    let address = exchange.address.to_string();
    let before = content(folder.path());
    let free = ["serve", "--listen", "127.0.0.1:0", "--live", "--record"];
    let quick = ["--timeout", "300ms", "--retries", "0"];
    for (args, code) in [
        (&["serve", "--live", "--listen", &taken, "--record", "a.tape", "--new-session"][..], 1),
        (&["serve", "--live", "--listen", &taken, "--record", "new.tape"], 1),
        (&[&free[..], &["a.tape", "--new-session", "--http", "0.0.0.0:0"]].concat(), 2),
        (&[&free[..], &["a.tape", "--new-session", "--pace", "bogus"]].concat(), 2),
        (&[&free[..], &["a.tape", "--new-session", "--scenario", "none.toml"]].concat(), 2),
        (&[&free[..], &["notes.txt", "--new-session"]].concat(), 6),
        (&["fetch", &address, "--tape", "notes.txt", "--restart"], 6),
        (&["fetch", &address, "--tape", "a.tape", "--restart", "-o", "none/x.json"], 6),
        (&["fetch", "no address", "--tape", "a.tape", "--restart"], 2),
        (&[&["fetch", "127.0.0.1:1", "--tape", "a.tape", "--restart"][..], &quick].concat(), 5),
    ] {
        if cfg!(not(feature = "web")) && args.contains(&"--http") {
            continue;
        }
        let (found, said) = in_folder(folder.path(), args);
        assert_eq!(found, code, "{args:?}: {said}");
        assert_eq!(content(folder.path()), before, "{args:?}: {said}");
    }
}

/// A peer that sends its first packets once it is told to, and then waits.
fn waiting(tape: &Tape, count: usize) -> (String, std::sync::mpsc::Sender<()>, Receiver<()>) {
    let (go, went) = channel();
    let (connected, connections) = channel();
    let went = std::sync::Mutex::new(went);
    let frames = tape.frames()[..count].to_vec();
    let address = peer(move |mut stream, _| {
        if next_call(&mut stream).is_some_and(|call| call[0] == 1) {
            let _ = connected.send(());
            let _ = went.lock().unwrap().recv();
            let _ = stream.write_all(frames.as_flattened());
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (address.to_string(), go, connections)
}

#[test]
fn a_recording_is_replaced_by_the_first_packet() {
    let folder = with_tape(100);
    let place = folder.path().join("a.tape");
    let old = fs::read(&place).unwrap();
    let (address, go, connected) = waiting(&Tape::random(300, 2), 300);
    let args = ["fetch", &address, "--classic", "--tape", "a.tape", "--restart", "-o", "b.json"];
    let mut child =
        betacrew(&args).current_dir(folder.path()).stderr(Stdio::null()).spawn().unwrap();
    connected.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fs::read(&place).unwrap(), old);
    go.send(()).unwrap();
    let patience = Instant::now() + PATIENCE;
    while fs::read(&place).unwrap() == old {
        assert!(Instant::now() < patience, "it is not replaced");
        std::thread::yield_now();
    }
    // From the instant that it has the name there is something in it.
    assert!(packets(&place) > 0);
    child.kill_and_reap();
    assert_eq!(names(folder.path()).iter().filter(|name| name.ends_with(".tape")).count(), 1);
}

#[test]
fn another_session_of_an_exchange_replaces_its_record_by_its_first_packet() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.tape");
    let record = ["--live", "--pace", "20000/s", "--record", place.to_str().unwrap()];
    let ran = |args: &[&str]| {
        let exchange = ServeProcess::start(&[&record[..], args].concat());
        let patience = Instant::now() + PATIENCE;
        let before = fs::read(&place).unwrap();
        while fs::read(&place).unwrap().len() < 200 || fs::read(&place).unwrap() == before {
            assert!(Instant::now() < patience, "nothing is recorded");
            std::thread::yield_now();
        }
        exchange.signal(Signal::INT);
        let (code, log) = exchange.ends();
        assert_eq!(code, 0, "{log}");
        let (file, _) =
            TapeFile::open(FileStorage::read(&place).unwrap(), OpenMode::Index).unwrap();
        file.session().unwrap().session
    };
    let first = ran(&[]);
    assert_eq!(ran(&[]), first);
    assert_ne!(ran(&["--new-session"]), first);
    assert_eq!(names(folder.path()), ["x.tape"]);
}

#[test]
fn links_are_followed_and_permissions_and_owner_kept() {
    let folder = with_tape(20);
    let path = |name: &str| folder.path().join(name);
    symlink("a", path("b")).unwrap();
    symlink("b", path("a")).unwrap();
    let before = content(folder.path());
    let (code, said) = in_folder(folder.path(), &["convert", "a.tape", "b", "--to", "csv"]);
    assert!(code == 6 && said.contains("circle"), "{said}");
    assert_eq!(content(folder.path()), before);

    fs::create_dir(path("elsewhere")).unwrap();
    symlink("elsewhere/real.csv", path("link.csv")).unwrap();
    let convert = ["convert", "a.tape", "link.csv", "--force"];
    for mode in [None, Some(0o664), Some(0o606)] {
        let real = path("elsewhere/real.csv");
        if let Some(mode) = mode {
            fs::set_permissions(&real, fs::Permissions::from_mode(mode)).unwrap();
        }
        let given = mode.is_some() && std::os::unix::fs::chown(&real, Some(1234), Some(9)).is_ok();
        let (code, said) = in_folder(folder.path(), &convert);
        assert_eq!(code, 0, "{said}");
        assert!(path("link.csv").symlink_metadata().unwrap().is_symlink());
        let found = real.metadata().unwrap();
        assert!(mode.is_none_or(|mode| found.mode() & 0o777 == mode), "{:o}", found.mode());
        assert!(!given || (found.uid(), found.gid()) == (1234, 9));
        assert_eq!(fs::read_to_string(&real).unwrap().lines().count(), 21);
    }
    // A link to nowhere, and a recording behind one.
    symlink("none/x.csv", path("broken.csv")).unwrap();
    let (code, said) = in_folder(folder.path(), &["convert", "a.tape", "broken.csv"]);
    assert!(code == 6 && said.contains("none/x.csv"), "{said}");
}

#[test]
fn names_of_every_length_are_written_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(50, 1), losing(1, "25%", ""));
    let address = exchange.address.to_string();
    for len in [240, 250, 251, 255] {
        let name = "n".repeat(len - 5) + ".json";
        let (code, said) = in_folder(folder.path(), &["fetch", &address, "-o", &name]);
        assert_eq!(code, 0, "{len}: {said}");
        assert_eq!(names(folder.path()), [name.as_str()], "{len}");
        fs::remove_file(folder.path().join(name)).unwrap();
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_may_have_a_name_of_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(50, 1), losing(1, "25%", ""));
    let address = exchange.address.to_string();
    assert_eq!(in_folder(folder.path(), &["fetch", &address, "-o", "x.json"]).0, 0);
    // With the ends of its journal's and log's names, longer ones are too long for any file.
    for len in [246, 247, 248, 250, 255] {
        let name = "n".repeat(len - 7) + ".sqlite";
        for force in [&[][..], &["--force"]] {
            let args = [&["convert", "x.json", &name][..], force].concat();
            let (code, said) = in_folder(folder.path(), &args);
            assert_eq!(code, 0, "{len}: {said}");
        }
        let (code, said) = in_folder(folder.path(), &["inspect", &name, "--against", "x.json"]);
        assert_eq!(code, 0, "{len}: {said}");
        assert_eq!(names(folder.path()), [name.as_str(), "x.json"], "{len}");
        fs::remove_file(folder.path().join(name)).unwrap();
    }
}

#[test]
fn what_a_killed_run_left_is_gone_after_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".out.json.Ab12Cd.partial"), "somebody else's").unwrap();
    let (address, go, connected) = waiting(&Tape::random(50, 1), 20);
    let args = ["fetch", &address, "--classic", "-o", "out.json"];
    let mut child =
        betacrew(&args).current_dir(folder.path()).stderr(Stdio::null()).spawn().unwrap();
    connected.recv_timeout(PATIENCE).unwrap();
    let partial = |name: &String| name.contains(".betacrew-");
    assert_eq!(names(folder.path()).iter().filter(|name| partial(name)).count(), 1);
    // The living keep theirs, whatever others write there.
    let exchange = playing(Tape::random(50, 1), losing(1, "0", ""));
    let other = exchange.address.to_string();
    assert_eq!(in_folder(folder.path(), &["fetch", &other, "-o", "b.json"]).0, 0);
    assert_eq!(names(folder.path()).iter().filter(|name| partial(name)).count(), 1);
    go.send(()).unwrap();
    child.kill_and_reap();
    assert_eq!(in_folder(folder.path(), &["fetch", &other, "-o", "out.json"]).0, 0);
    assert_eq!(names(folder.path()), [".out.json.Ab12Cd.partial", "b.json", "out.json"]);
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_is_replaced_with_what_belongs_to_it() {
    use rusqlite::Connection;
    let folder = with_tape(20);
    let path = |name: &str| folder.path().join(name);
    assert_eq!(in_folder(folder.path(), &["convert", "a.tape", "x.sqlite"]).0, 0);
    // Another program has changed it, and died before its log was written into it.
    let other = Connection::open(path("x.sqlite")).unwrap();
    other.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    other.execute("UPDATE packets SET price = 77", []).unwrap();
    let (code, said) = in_folder(folder.path(), &["convert", "a.tape", "x.sqlite", "--force"]);
    assert!(code == 6 && said.contains("has this database open"), "{said}");
    // (Its locks end with the first copy that is closed, as POSIX has it.)
    for end in ["", "-wal", "-shm"] {
        fs::copy(path(&format!("x.sqlite{end}")), path(&format!("file:y.sqlite{end}"))).unwrap();
    }
    drop(other);
    let (code, said) = in_folder(folder.path(), &["convert", "a.tape", "file:y.sqlite", "--force"]);
    assert_eq!(code, 0, "{said}");
    assert!(names(folder.path()).iter().all(|name| !name.starts_with("file:y.sqlite-")));
    let replaced = path("file:y.sqlite");
    let args = ["inspect", replaced.to_str().unwrap(), "--against", "a.tape"];
    let (code, said) = in_folder(folder.path(), &args);
    assert_eq!(code, 0, "{said}");
    let again = Connection::open(path("file:y.sqlite")).unwrap();
    let sound: String = again.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

/// An exchange that describes another session to everybody who asks, and says when it was asked.
fn changing() -> String {
    let number = AtomicU32::new(0);
    let address = peer(move |mut stream, _| {
        let name = format!("{:04}", number.fetch_add(1, Ordering::SeqCst));
        let session = SessionId::of(name.as_bytes().try_into().unwrap());
        let tape = Tape::random(9, 1);
        while let Some(call) = next_call(&mut stream) {
            let answer = match call[0] {
                3 => encode(&Frame::Info(Info { session, version: 1, first: 1, last: 9 })).to_vec(),
                5 => {
                    let _ = stream.read_exact(&mut [0; 4]);
                    let _ = stream.write_all(tape.frames().as_flattened());
                    return;
                }
                _ => return,
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    address.to_string()
}

#[test]
fn an_exchange_that_changes_its_session_makes_few_files_and_overwrites_none() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..100 {
        fs::write(folder.path().join(format!("x-{number:04}.json")), "precious").unwrap();
    }
    let args = ["fetch", "-f", &changing(), "-o", "x.json"];
    let (code, said) = in_folder(folder.path(), &args);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("changed its session 11 times"), "{said}");
    let found = content(folder.path());
    let kept = found.iter().filter(|(_, content)| content == b"precious");
    assert_eq!(kept.count(), 100, "{said}");
    assert!(found.len() <= 100 + 11 * 2, "{:?}", names(folder.path()));
}
