//! Both ends over SoupBinTCP, as processes: messages of any length, lines of different protocols, and
//! either end killed at any moment.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, run};
use feed::base::rng::Rng;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Number of times that either end is killed.
const KILLS: u32 = 8;

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
    for _ in 0..KILLS {
        let mut client = command().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.between(1, 150).into()));
        if rng.below(2) == 0 {
            serve.child.kill_and_reap();
            serve = ServeProcess::listening(&[&address], &args);
            std::thread::sleep(Duration::from_millis(rng.between(1, 100).into()));
        }
        client.kill_and_reap();
    }
    let began = Instant::now();
    let (code, _, text) = run(&mut command());
    assert_eq!(code, 0, "seed {seed}: {text}");
    assert!(began.elapsed() < PATIENCE);
    std::fs::read(output).unwrap()
}

#[test]
fn a_session_is_whole_whichever_end_is_killed() {
    for (tape, output) in [("itch:12000", "day.itch"), ("random:12000", "day.csv")] {
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
