//! Output for people: colours, progress bars, summaries, answers.

use crate::complete::record_beginning;
use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, peer, run};
use feed::tape::in_memory::Tape;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command whose stderr is a terminal, until `done` says that what came is enough, and ends
/// it by `INT`; returns all that came.
fn on_a_terminal(mut command: Command, done: impl Fn(&str) -> bool) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(program).spawn().unwrap();
    // The command holds the other end.
    drop(command);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut person, mut bytes) = (File::from(person), [0; 4096]);
        while let Ok(count @ 1..) = person.read(&mut bytes) {
            let _ = tell.send(bytes[..count].to_vec());
        }
    });
    let (mut all, began) = (Vec::new(), Instant::now());
    while !done(&String::from_utf8_lossy(&all)) {
        assert!(began.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&all));
        all.extend(told.recv_timeout(PATIENCE).unwrap());
    }
    let id = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
    child.ends();
    told.iter().for_each(|bytes| all.extend(bytes));
    String::from_utf8(all).unwrap()
}

#[test]
fn lines_and_bars_are_coloured_and_move_where_that_is_wanted() {
    let serve = |set: &[(&str, &str)]| {
        let mut command = betacrew(&["serve", "--listen", "127.0.0.1:0"]);
        command.env_remove("NO_COLOR").env("TERM", "xterm").envs(set.iter().copied());
        on_a_terminal(command, |log| log.contains("repeats this run"))
    };
    assert!(serve(&[]).contains("\x1b["));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let log = serve(&[plain]);
        assert!(!log.contains('\x1b'), "{plain:?}: {log:?}");
    }
    let address = ["fetch", "127.0.0.1:1", "--timeout", "0s", "--log", "debug"];
    let mut forced = betacrew(&address);
    forced.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    let folder = tempfile::tempdir().unwrap();
    assert!(run(forced.current_dir(folder.path())).2.contains("\x1b["));
    assert!(!run(betacrew(&address).current_dir(folder.path())).2.contains('\x1b'));
    let demo = ["demo", "--output", "x.json"];
    let mut dumb = betacrew(&demo);
    dumb.env("CLICOLOR_FORCE", "1").current_dir(folder.path());
    assert!(!run(&mut dumb).1.contains('\x1b'), "NO_COLOR wins");
    assert!(run(dumb.env_remove("NO_COLOR")).1.contains('\x1b'));
}

/// An exchange that sends some packets, waits until a bar is shown, and breaks off within a packet.
fn breaking_off() -> std::net::SocketAddr {
    let tape = Tape::classic();
    peer(move |mut stream, _| {
        if crate::support::next_call(&mut stream) == Some([1, 0]) {
            let bytes = &tape.frames().as_flattened()[..100];
            for part in bytes.chunks(10) {
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(60));
            }
        }
    })
}

#[test]
fn a_warning_does_not_stand_behind_a_bar() {
    let folder = tempfile::tempdir().unwrap();
    let address = breaking_off().to_string();
    let command = |term| {
        let mut command = betacrew(&["fetch", &address, "--last", "14"]);
        command.env("TERM", term).current_dir(folder.path());
        command
    };
    let log = on_a_terminal(command("xterm"), |log| log.contains("cut off after"));
    assert!(log.contains("packets, 0 missing, pass 1"), "no bar was shown: {log:?}");
    let before = log.split("WARN").next().unwrap();
    let line = before.rsplit(['\r', '\n']).next().unwrap();
    assert!(!line.contains("packets") && !line.contains('%'), "{log:?}");
    let log = on_a_terminal(command("dumb"), |log| log.contains("cut off after"));
    assert!(!log.contains("pass 1\r") && !log.contains('\x1b'), "{log:?}");
}

#[test]
fn what_was_not_recorded_yet_was_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--tape", "random:9000:1", "--drop", "0"]);
    let fetch = |args: &[&str]| {
        let mut command = betacrew(&["fetch", &serving.addresses[0]]);
        run(command.args(args).current_dir(folder.path()))
    };
    // A recording of the same session that has its beginning alone.
    record_beginning(&folder.path().join("part.tape"), &Tape::random(9000, 1), 4000);
    let (code, _, log) = fetch(&["--tape", "part.tape"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("continuing part.tape"), "{log}");
    assert!(log.contains("beyond the earlier recording\n  missed   nothing\n"), "{log}");
    assert!(!log.contains("pass"), "{log}");
}

#[cfg(feature = "web")]
#[test]
fn a_cut_by_hand_is_logged_as_one() {
    use crate::http::Program;
    use serde_json::json;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("log");
    let mut command = betacrew(&["serve", "--listen", "127.0.0.1:0", "--live"]);
    command.stderr(File::create(&place).unwrap());
    let exchange = Program::of(command);
    let mut stream = std::net::TcpStream::connect(&exchange.feed).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange.until(|state| state["connections_total"] == 1);
    assert_eq!(exchange.post("/api/cut", &json!({ "all": true })).0, 200);
    assert_eq!(stream.read(&mut [0; 100]).unwrap(), 0);
    exchange.interrupt();
    let log = std::fs::read_to_string(place).unwrap();
    assert!(log.contains("connection 1: ended, by a command over HTTP"), "{log}");
    assert!(!log.contains("by the scenario"), "{log}");
}

#[cfg(feature = "web")]
#[test]
fn every_answer_ends_in_a_newline() {
    use crate::http::Program;
    use serde_json::json;
    let exchange = Program::exchange(&["--live"]);
    for path in [
        "/",
        "/api/state",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/nowhere",
        "/api/strip?cells=none",
        "/api/scenarios",
    ] {
        let (_, body) = exchange.ask("GET", path, "", "");
        assert!(body.ends_with('\n') && !body.ends_with("\n\n"), "{path}: {body:?}");
    }
    let json = "content-type: application/json\r\n";
    for order in [json!({ "next": 1 }), json!({ "next": 0 })] {
        let (_, body) = exchange.ask("POST", "/api/drop", json, &order.to_string());
        assert!(body.ends_with("}\n"), "{body:?}");
    }
}
