//! Both ends over SoupBinTCP, as processes: messages of any length, lines of different protocols,
//! and either end killed at any moment.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, run};
use feed::base::rng::Rng;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Number of messages of a session for each time that an end is killed, so that the session is not
/// over before the last one.
const MESSAGES: u32 = 2000;

/// Returns how often the client is killed, and in about half of the cases the exchange with it:
/// 8 times, or as often as `BETACREW_KILLS` says.
fn kills() -> u32 {
    std::env::var("BETACREW_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Returns the bytes of an output that a command has written in `folder`.
fn fetched(folder: &Path, lines: &[&str], output: &str) -> Vec<u8> {
    let output = path(folder, output);
    let mut command = betacrew(&["fetch", "-o", &output]);
    let (code, _, text) = run(command.args(lines));
    assert_eq!(code, 0, "{text}");
    std::fs::read(output).unwrap()
}

#[test]
fn lines_of_both_protocols_record_the_same_session() {
    let folder = tempfile::tempdir().unwrap();
    let on = ["127.0.0.1:0", "soup://127.0.0.1:0"];
    let serve = ServeProcess::listening(&on, &["--tape", "random:5000", "--scenario", "quarter"]);
    let [plain, soup] = [&serve.addresses[0], &serve.addresses[1]].map(String::as_str);
    let over_both = fetched(folder.path(), &[plain, soup], "both.json");
    assert_eq!(over_both, fetched(folder.path(), &[soup], "soup.json"));
    assert_eq!(over_both, fetched(folder.path(), &[plain], "plain.json"));
    assert!(over_both.len() > 5000 * 50);
}

#[test]
fn messages_of_any_length_are_recorded_as_they_are_played() {
    let folder = tempfile::tempdir().unwrap();
    let on = ["soup://127.0.0.1:0"];
    let serve = ServeProcess::listening(&on, &["--tape", "itch:20000"]);
    let day = fetched(folder.path(), &[&serve.addresses[0]], "day.itch");
    // What was recorded is played again, by another exchange.
    let played = path(folder.path(), "day.itch");
    let again = ServeProcess::listening(&on, &["--tape", &played]);
    assert!(day == fetched(folder.path(), &[&again.addresses[0]], "again.itch"));
    assert!(day.len() > 20_000 * 12);
}

#[test]
fn a_reader_that_has_enough_ends_a_follower_alike_in_both_protocols() {
    let on = ["127.0.0.1:0", "soup://127.0.0.1:0"];
    let args = ["--live", "--tape", "market", "--pace", "50000/s", "--drop", "10%"];
    let serve = ServeProcess::listening(&on, &args);
    // Something to catch up with.
    let folder = tempfile::tempdir().unwrap();
    let first = read_some(folder.path(), &serve.addresses[1], &["--from", "20000"]);
    assert!(first.contains("\"sequence\":20000"), "{first}");
    for address in &serve.addresses {
        let folder = tempfile::tempdir().unwrap();
        let first = read_some(folder.path(), address, &[]);
        assert!(first.contains("\"sequence\":1,"), "{address}: {first}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{address}: {left:?}");
    }
    // A file beside stdout gets everything so far.
    let folder = tempfile::tempdir().unwrap();
    read_some(folder.path(), &serve.addresses[1], &["-o", "day.csv"]);
    let rows = std::fs::read_to_string(folder.path().join("day.csv")).unwrap().lines().count();
    assert!(rows > 1 && folder.path().join("day.csv.tape").exists(), "{rows}");
}

/// Follows an exchange to stdout, closes it behind the first bytes, and returns these.
fn read_some(folder: &Path, address: &str, args: &[&str]) -> String {
    let mut command = betacrew(&["fetch", "--follow", address, "-o", "-"]);
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let output = child.ends_with_output();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{address}: {text}");
    assert!(text.contains("the reader of stdout closed it"), "{address}: {text}");
    String::from_utf8_lossy(&some).into_owned()
}

/// Records a session of `tape` while both ends are killed, and returns the output's bytes.
fn record_through_kills(folder: &Path, tape: &str, output: &str, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let args = ["--tape", tape, "--pace", "30000/s", "--seed", "7"];
    let mut serve = ServeProcess::listening(&["soup://127.0.0.1:0"], &args);
    let address = serve.addresses[0].clone();
    let (output, recording) = (path(folder, output), path(folder, "rec.tape"));
    let command = || {
        let mut command = betacrew(&["fetch", &address, "-o", &output, "--tape", &recording]);
        command.stderr(Stdio::null());
        command
    };
    let (mut exchanges, mut recording_clients) = (0, 0);
    for _ in 0..kills() {
        let mut client = command().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.between(1, 150).into()));
        if rng.below(2) == 0 {
            serve.child.kill_and_reap();
            exchanges += 1;
            serve = ServeProcess::listening(&[&address], &args);
            std::thread::sleep(Duration::from_millis(rng.between(1, 100).into()));
        }
        recording_clients += u32::from(client.try_wait().unwrap().is_none());
        client.kill_and_reap();
    }
    println!(
        "{tape}: killed the client {} times, {recording_clients} times while it recorded, and \
              the exchange {exchanges} times",
        kills()
    );
    assert!(recording_clients > kills() / 2, "{recording_clients} of {}", kills());
    let began = Instant::now();
    let (code, _, text) = run(&mut command());
    assert_eq!(code, 0, "seed {seed}: {text}");
    let rest = Duration::from_millis((kills() * MESSAGES / 30).into());
    assert!(began.elapsed() < PATIENCE + rest);
    std::fs::read(output).unwrap()
}

#[test]
fn a_session_is_whole_whichever_end_is_killed() {
    let messages = kills() * MESSAGES;
    for (tape, output) in [("itch", "day.itch"), ("random", "day.csv")] {
        let tape = &format!("{tape}:{messages}");
        let folder = tempfile::tempdir().unwrap();
        let killed = record_through_kills(folder.path(), tape, output, 16);
        let args = ["--tape", tape, "--seed", "7"];
        let serve = ServeProcess::listening(&["soup://127.0.0.1:0"], &args);
        let whole = fetched(folder.path(), &[&serve.addresses[0]], output);
        match output {
            // Each row has the time of its arrival.
            "day.csv" => {
                let packets = |bytes: &[u8]| -> Vec<String> {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    let fields = |line: &str| line.split(',').take(5).collect::<Vec<_>>().join(",");
                    text.lines().map(fields).collect()
                };
                assert!(packets(&killed) == packets(&whole), "a packet differs");
            }
            _ => assert!(killed == whole, "a message differs"),
        }
    }
}

#[test]
fn a_tape_with_messages_longer_than_datagrams_is_refused_by_other_listeners() {
    for (on, word) in [("127.0.0.1:0", "no order packets"), ("mold://127.0.0.1:5", "a datagram")] {
        let command = &mut betacrew(&["serve", "--scenario", "soup-lengths", "--listen", on]);
        let (code, _, text) = run(command);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(word), "{text}");
    }
}
