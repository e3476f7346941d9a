//! Recordings that go into a log, and come back from it.

use crate::in_time::ChildInTime;
use crate::server::{Server, free_port, servers};
use crate::support::{ServeProcess, betacrew, python, python_has, run};
use feed::base::rng::Rng;
use feed::tape::in_memory::Tape;
use feed::wire::RawFrame;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Checks that a client of another language reads the recording, if one is installed.
fn read_elsewhere(server: &Server, stream: &str, recording: &Path, session: &str) {
    if !python_has("nats_reader.py", "nats-py") {
        return;
    }
    let expected = recording.with_extension("expected.ndjson");
    let (code, _, said) = run(betacrew(&["convert", "--force"]).args([recording, &expected]));
    assert_eq!(code, 0, "{said}");
    let expected = expected.to_str().unwrap();
    let done = python("nats_reader.py", &[&server.url(), stream, expected, session]).unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn same(a: &Path, b: &Path) {
    let (a, b) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    assert!(a == b, "they differ");
}

/// The stream's only message, or how many it has.
fn messages(server: &Server, stream: &str) -> u64 {
    let target = format!("{}/{stream}", server.url()).parse().unwrap();
    let log = gateway::Log::open(&gateway::Settings::new(target), PATIENCE);
    log.map_or(0, |log| log.last())
}

#[test]
fn what_is_fetched_goes_into_a_log_and_comes_back() {
    if !servers() {
        return;
    }
    let server = Server::start();
    let exchange = ServeProcess::start(&["--tape", "random:20000:3", "--drop", "0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| run(betacrew(args).current_dir(folder.path()));
    let url = server.url();
    let (code, _, said) = here(
        &[
            &["fetch", &exchange.addresses[0], "--tape", "x.tape"],
            &["--publish", &url, "--publish-subject", "md.{session}"][..],
        ]
        .concat(),
    );
    assert_eq!(code, 0, "{said}");
    let line = said.lines().find(|line| line.starts_with("published 20,000 packets")).unwrap();
    let (_, rest) = line.split_once(&format!("{url}/")).unwrap();
    let (stream, _) = rest.split_once(':').unwrap();
    let session = stream.strip_prefix("betacrew-").unwrap();
    let log = format!("{url}/{stream}");
    read_elsewhere(&server, stream, &folder.path().join("x.tape"), session);

    let (code, _, said) = here(&["convert", &log, "back.json"]);
    assert_eq!(code, 0, "{said}");
    same(&folder.path().join("output.json"), &folder.path().join("back.json"));
    let (code, said, _) = here(&["inspect", &log, "--against", "output.json"]);
    assert!(code == 0 && said.contains("same"), "{said}");
    // An exchange plays it, not with the session's name: more of that may still be published.
    let again = ServeProcess::start(&["--tape", &log, "--drop", "0.2"]);
    let (code, _, said) = here(&["fetch", &again.addresses[0], "-o", "again.json"]);
    assert!(code == 0 && !said.contains(&format!("session {session}")), "{said}");
    same(&folder.path().join("output.json"), &folder.path().join("again.json"));

    // A log is made again from the tape, in another form, and a second time nothing is added.
    let rebuilt = format!("{url}/rebuilt");
    let json = ["--publish-format", "json", "--publish-block", "100"];
    let (code, _, said) = here(&[&["convert", "x.tape", &rebuilt], &json[..]].concat());
    assert!(code == 0 && said.contains("published 20,000 packets"), "{said}");
    let cut = messages(&server, "rebuilt");
    assert!((200..400).contains(&cut), "{cut} messages");
    read_elsewhere(&server, "rebuilt", &folder.path().join("x.tape"), session);
    let (code, _, said) = here(&["convert", "x.tape", &rebuilt, "--publish-check"]);
    assert!(code == 0 && said.contains("20,000 packets there before"), "{said}");
    assert_eq!(messages(&server, "rebuilt"), cut);
}

#[test]
fn a_log_with_something_else_in_it_is_left_alone() {
    if !servers() {
        return;
    }
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let log = format!("{}/x", server.url());
    let here = |args: &[&str]| run(betacrew(args).current_dir(folder.path()));
    for seed in ["3", "4"] {
        let exchange = ServeProcess::start(&["--tape", &format!("random:500:{seed}")]);
        let args = ["fetch", &exchange.addresses[0], "--publish", &log];
        let (code, _, said) = here(&[&args[..], &["-o", &format!("{seed}.json")]].concat());
        if seed == "3" {
            assert_eq!(code, 0, "{said}");
            continue;
        }
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("has something else: its message") && said.contains("4.json.tape"));
        assert!(folder.path().join("4.json").is_file(), "the recording is not to blame");
        assert!(folder.path().join("4.json.tape").is_file(), "nor lost");
    }
    // What is not whole is not published at all.
    std::fs::write(
        folder.path().join("gap.csv"),
        "symbol,buySellIndicator,quantity,price,sequence\nA,B,1,1,1\nA,B,1,1,3\n",
    )
    .unwrap();
    let (code, _, said) = here(&["convert", "gap.csv", &format!("{}/gap", server.url())]);
    assert!(code == 3 && said.contains("a NATS stream needs every packet"), "{said}");
    let none = format!("{}/gap", server.url());
    let (code, _, said) = here(&["convert", &none, "x.json"]);
    assert!(code == 2 && said.contains("there is no stream"), "{said}");
    let (code, _, said) = here(&["fetch", "-o", &none]);
    assert!(code == 2 && said.contains("--publish nats://"), "{said}");
}

#[test]
fn a_log_that_is_down_costs_nothing_but_time() {
    if !servers() {
        return;
    }
    let mut server = Server::start();
    server.kill();
    let exchange = ServeProcess::start(&["--tape", "random:30000:3"]);
    let folder = tempfile::tempdir().unwrap();
    let args = ["fetch", &exchange.addresses[0], "--timeout", "1s", "--publish"];
    let fetch = || run(betacrew(&args).arg(server.url()).current_dir(folder.path()));
    let (code, _, said) = fetch();
    assert_eq!(code, 5, "{said}");
    assert!(
        said.contains("has the packets up to 0, and") && said.contains("output.json.tape"),
        "{said}"
    );
    assert!(folder.path().join("output.json").is_file());
    server.again();
    let (code, _, said) = run(betacrew(&args).arg(server.url()).current_dir(folder.path()));
    assert!(code == 0 && said.contains("published 30,000 packets"), "{said}");
    assert!(!folder.path().join("output.json.tape").is_file());
}

/// A gateway that follows a session; killed and started again it goes on.
struct Follower {
    address: String,
    log: String,
    tape: PathBuf,
    child: Child,
}

impl Follower {
    fn start(address: &str, log: &str, tape: PathBuf) -> Self {
        let child = Self::spawn(address, log, &tape);
        Self { address: address.to_owned(), log: log.to_owned(), tape, child }
    }

    fn spawn(address: &str, log: &str, tape: &Path) -> Child {
        let mut command = betacrew(&["fetch", "--follow", address, "--publish", log, "--tape"]);
        command.arg(tape).arg("-o").arg(tape.with_extension("csv"));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn again(&mut self) {
        self.child.kill_and_reap();
        self.child = Self::spawn(&self.address, &self.log, &self.tape);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

#[test]
fn kills_leave_every_packet_in_the_log_once_and_in_order() {
    if !servers() {
        return;
    }
    let mut server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let log = format!("{}/x", server.url());
    let address = format!("127.0.0.1:{}", free_port());
    let record = folder.path().join("exchange.tape");
    let packets = 10_000 * rounds();
    let tape = format!("random:{packets}:5");
    let args = ["--live", "--tape", &tape, "--pace", "20000/s", "--drop", "0.05", "--record"];
    let args = [&args[..], &[record.to_str().unwrap()]].concat();
    let start = || ServeProcess::listening(&[&address], &args);
    let mut exchange = start();
    let mut gateways =
        ["a.tape", "b.tape"].map(|name| Follower::start(&address, &log, folder.path().join(name)));
    let mut rng = Rng::new(9);
    for round in 0..rounds() {
        let (began, before) = (Instant::now(), messages(&server, "x"));
        while messages(&server, "x") < before + 20 {
            assert!(began.elapsed() < PATIENCE, "round {round}: nothing is published");
            std::thread::yield_now();
        }
        match if round < 4 { round } else { rng.below(4) } {
            0 => server.kill(),
            1 => gateways[0].again(),
            2 => gateways[1].again(),
            _ => {
                exchange.child.kill().unwrap();
                drop(exchange);
                exchange = start();
            }
        }
        server.again_if_killed();
    }
    // The session has an end, which every gateway that has all of it reports.
    for gateway in &mut gateways {
        let ended = gateway.child.ends_with_output();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
    drop(exchange);
    let target = log.parse().unwrap();
    let mut frames: Vec<RawFrame> = Vec::new();
    let read = gateway::Log::open(&gateway::Settings::new(target), PATIENCE).unwrap();
    read.read(&mut |block| {
        frames.extend(&block.frames);
        Ok::<(), gateway::Error>(())
    })
    .unwrap();
    let played = Tape::random(packets.into(), 5);
    assert!(frames == played.frames(), "the log is not what was played");
    for gateway in &gateways {
        let said = run(betacrew(&["inspect"]).arg(&gateway.tape)).1;
        let session = said.split("session ").nth(1).and_then(|rest| rest.get(..4)).unwrap();
        read_elsewhere(&server, "x", &gateway.tape, session);
    }
}

/// Number of kills: `BETACREW_KILLS`, or a few.
fn rounds() -> u32 {
    std::env::var("BETACREW_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// A folder with a tape of 3,000 packets, recorded from an exchange.
fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let exchange = ServeProcess::start(&["--tape", "random:3000:7"]);
    let args = ["fetch", &exchange.addresses[0], "--tape", "x.tape", "-o", "x.json"];
    let (code, _, said) = run(betacrew(&args).current_dir(folder.path()));
    assert_eq!(code, 0, "{said}");
    folder
}

#[test]
fn what_was_removed_from_a_log_is_named_as_missing() {
    if !servers() {
        return;
    }
    let (server, folder) = (Server::start(), recorded());
    let here = |args: &[&str]| run(betacrew(args).current_dir(folder.path()));
    let log = format!("{}/x", server.url());
    // A stream of one's own, from which messages can be removed.
    server.stream(
        "CREATE",
        "x",
        r#""subjects":["betacrew.x"],"retention":"limits","storage":"file""#,
    );
    let (code, _, said) = here(&["convert", "x.tape", &log, "--publish-block", "500"]);
    assert!(code == 0 && said.contains("it has all up to 3,000"), "{said}");
    let last = messages(&server, "x");
    assert!(last > 3, "{last} messages");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--tape", &log];
    let check = |missing: &str| {
        let (code, said, _) = here(&["inspect", "--verify", &log]);
        assert!(code == 3 && said.contains("INCOMPLETE") && said.contains(missing), "{said}");
        let (code, _, said) = here(&["convert", &log, "no.json"]);
        assert!(code == 3 && said.contains(missing), "{said}");
        assert!(!folder.path().join("no.json").exists());
        let (code, _, said) = here(&["convert", &log, "-", "--to", "csv"]);
        assert!(code == 3 && said.contains(missing), "{said}");
        let (code, _, said) = here(&["convert", &log, "some.json", "--force", "--allow-gaps"]);
        assert!(code == 0 && said.contains(missing), "{said}");
        let (code, stdout, said) = run(&mut betacrew(&serve));
        assert!(code == 3 && said.contains("cannot play") && said.contains(missing), "{said}");
        assert_eq!(stdout, "");
        let (code, _, said) = here(&["convert", "x.tape", &log]);
        assert!(code == 3 && said.contains("lacks packets: "), "{said}");
        assert!(said.contains("removed") && !said.contains("has all"), "{said}");
    };
    // Others may publish more of it: what is there is played, as a session of its own.
    let play = |more: &[&str]| {
        let exchange = ServeProcess::start(&[&["--tape", &log, "--drop", "0"], more].concat());
        let (code, _, said) = here(&["fetch", &exchange.addresses[0], "-o", "played.json"]);
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains(&Tape::random(3000, 7).session().to_string()), "{said}");
        exchange.signal(rustix::process::Signal::INT);
        let (_, log) = exchange.ends();
        assert!(log.contains("as a session of its own"), "{log}");
        let all = std::fs::read(folder.path().join("x.json")).unwrap();
        let played = std::fs::read(folder.path().join("played.json")).unwrap();
        assert!(all.starts_with(played.trim_ascii_end().strip_suffix(b"\n]").unwrap()));
        let (_, session) = log.split_once("as a session of its own, ").unwrap();
        (session[..4].to_owned(), log, played.len() < all.len())
    };
    let (session, said, part) = play(&[]);
    assert!(!part && said.contains("where its session ends is not known"), "{said}");
    // Its name stays with the log, so that clients go on after a restart.
    assert_eq!(play(&[]).0, session);
    server.remove("x", 2);
    check("in 1 gap: ");
    let (of_part, said, part) = play(&["--allow-gaps"]);
    assert!(part && said.contains(" in 1 gap: "), "{said}");
    assert_ne!(of_part, session);
    server.remove("x", last);
    check("its last 1 message");
    server.request("$JS.API.STREAM.PURGE.x", "");
    check(&format!("{last} messages"));
    let (code, _, said) = run(betacrew(&serve).arg("--allow-gaps"));
    assert!(code == 3 && said.contains("there is nothing to play"), "{said}");
    let (_, said, _) = here(&["inspect", "--json", &log]);
    assert!(said.contains(&format!("\"removedMessages\":{last}")), "{said}");
}

#[test]
fn a_stream_that_discards_is_refused_with_what_to_set() {
    if !servers() {
        return;
    }
    let (server, folder) = (Server::start(), recorded());
    let exchange = ServeProcess::start(&["--tape", "random:3000:7"]);
    let log = format!("{}/x", server.url());
    let plain = r#""subjects":["betacrew.x"],"storage":"file""#;
    for (more, word) in [
        (r#""retention":"limits","max_msgs":5"#, "set discard to new, or max_msgs to -1"),
        (r#""retention":"workqueue""#, "retention is workqueue, not limits"),
    ] {
        server.stream("CREATE", "x", &format!("{plain},{more}"));
        for check in [&[][..], &["--publish-check"]] {
            let convert = ["convert", "x.tape", &log];
            let fetch = ["fetch", &exchange.addresses[0], "--restart", "--publish", &log];
            for command in [&convert[..], &fetch[..]] {
                let mut command = betacrew(&[command, check].concat());
                let (code, _, said) = run(command.current_dir(folder.path()));
                assert!(code == 2 && said.contains(word), "{said}");
                assert!(!said.contains("has all up to"), "{said}");
            }
        }
        assert_eq!(messages(&server, "x"), 0);
        server.request("$JS.API.STREAM.DELETE.x", "");
    }
}

#[test]
fn a_recording_that_ends_before_the_log_does_is_compared_with_it() {
    if !servers() {
        return;
    }
    let (server, folder) = (Server::start(), recorded());
    let here = |args: &[&str]| run(betacrew(args).current_dir(folder.path()));
    let log = format!("{}/x", server.url());
    let (code, _, said) = here(&["convert", "x.json", &log]);
    assert_eq!(code, 0, "{said}");
    let (code, text, said) = here(&["convert", "x.json", "-", "--to", "csv"]);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = text.lines().take(1 + 2560).collect();
    std::fs::write(folder.path().join("part.csv"), lines.join("\n") + "\n").unwrap();
    let (code, _, said) = here(&["convert", "part.csv", &log]);
    assert!(code == 0 && said.contains("up to 2,560, and more than this recording"), "{said}");
    assert!(said.contains("2,560 packets there before, the same"), "{said}");
    // Another session's packets, of which no name tells that they are.
    let other = ServeProcess::start(&["--tape", "random:2560:8"]);
    let args = ["fetch", &other.addresses[0], "--classic", "--publish", &log, "-o", "o.json"];
    let (code, _, said) = here(&args);
    assert!(code == 4 && said.contains("its message 1 has packet #1 "), "{said}");
    assert!(!said.contains("has all up to"), "{said}");
}
