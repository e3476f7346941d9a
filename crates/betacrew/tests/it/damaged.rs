//! Tape files that are not as they were written: what each command says, and with which exit code.

use crate::support::{ServeProcess, betacrew, losing, playing, run};
use feed::tape::in_memory::Tape;
use std::fs;
use std::path::Path;

/// A finished recording of 30,000 packets.
fn recorded(folder: &Path) -> Vec<u8> {
    let exchange = playing(Tape::random(30_000, 1), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let args = ["fetch", &address, "--tape", "x.tape", "-o", "x.csv"];
    assert_eq!(run(betacrew(&args).current_dir(folder)).0, 0);
    fs::read(folder.join("x.tape")).unwrap()
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--tape", "x.tape"];
const CONVERT: &[&str] = &["convert", "x.tape", "y.csv"];
const INSPECT: &[&str] = &["inspect", "x.tape"];
const VERIFY: &[&str] = &["inspect", "--verify", "x.tape"];
/// `fetch` from an address without an exchange, because its messages about the file come first.
const FETCH: &[&str] = &["fetch", "127.0.0.1:1", "--tape", "x.tape", "--timeout", "0"];

/// Each command with these bytes: its exit code, and what it says somewhere.
fn expect(folder: &Path, bytes: &[u8], expected: &[(&[&str], i32, &str)]) {
    for (args, code, said) in expected {
        fs::write(folder.join("x.tape"), bytes).unwrap();
        let (found, stdout, stderr) = run(betacrew(args).current_dir(folder));
        let text = format!("{stdout}{stderr}");
        assert!(found == *code && text.contains(said), "{args:?}: {found}, {text}");
        let untouched = args[0] == "fetch" || fs::read(folder.join("x.tape")).unwrap() == bytes;
        assert!(untouched && !folder.join("y.csv").exists(), "{args:?}");
    }
}

#[test]
fn what_is_no_tape_is_refused_by_all_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let mut newer = good.clone();
    newer[9] = 4;
    let mut older = good.clone();
    older[9] = 2;
    let mut head = good.clone();
    head[20] ^= 1;
    let mut wide = good[..48].to_vec();
    wide[11] = 18;
    let sum = feed::storage::crc32c(&wide[..44]);
    wide[44..].copy_from_slice(&sum.to_be_bytes());
    for (bytes, said) in [
        (&older[..], "it is a tape file of version 2, whose sequences have 32 bits"),
        (&newer[..], "it is a tape file of version 4; this program reads up to 3"),
        (
            b"my notes, which are quite long, longer than a head is, all of them",
            "it is no tape file",
        ),
        (&head, "its first bytes are damaged"),
        (&wide, "its packets have 18 bytes; this program knows 17"),
    ] {
        let all = [SERVE, CONVERT, INSPECT, VERIFY, FETCH].map(|args| (args, 6, said));
        expect(folder.path(), bytes, &all);
        assert_eq!(fs::read(folder.path().join("x.tape")).unwrap(), bytes, "fetch left it alone");
    }
}

#[test]
fn what_never_became_a_tape_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let short = "it is too short for a tape file";
    for len in [0, 1, 47] {
        let readers = [SERVE, CONVERT, INSPECT, VERIFY].map(|args| (args, 6, short));
        expect(folder.path(), &good[..len], &readers);
        expect(folder.path(), &good[..len], &[(FETCH, 5, "unreachable")]);
    }
    // A file system may have kept the length and not the bytes.
    expect(folder.path(), &[0; 5000], &[(INSPECT, 6, "no tape file"), (FETCH, 5, "unreachable")]);
}

#[test]
fn a_flipped_bit_costs_the_packets_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let mut bad = good.clone();
    bad[100_000] ^= 4;
    let damaged = [
        (CONVERT, 6, "--allow-gaps reads the rest"),
        (INSPECT, 0, "\n  damaged  at byte "),
        (VERIFY, 6, "x.tape: DAMAGED\n"),
        (VERIFY, 6, "of packets "),
        (FETCH, 5, "it is damaged in 1 place; the packets there are requested again"),
    ];
    expect(folder.path(), &bad, &damaged);
    expect(folder.path(), &good, &[(VERIFY, 0, "x.tape: complete, and every checksum is right\n")]);
}

/// A scenario that plays a tape after another one.
fn then(folder: &Path, tape: &str) -> String {
    let file = folder.join("next.toml");
    let scenario = format!(
        "tape = \"sample:5\"\nnext = {tape:?}\n[[fault]]\nwhat = \"restart\"\nsequences = 3\n\
         passes = 1\nsession = \"next\"\ndown = \"10ms\"\n"
    );
    fs::write(&file, scenario).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_damaged_tape_is_refused_before_anybody_can_connect_however_it_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = recorded(folder.path());
    bad[100_000] ^= 4;
    // The index is right: only a look at the block finds it.
    fs::write(folder.path().join("x.tape"), &bad).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tape, record) = (path("x.tape"), path("record.tape"));
    let next = then(folder.path(), &tape);
    for args in [
        &["--tape", &tape][..],
        &["--tape", &tape, "--pace", "1x"],
        &["--live", "--tape", &tape],
        &["--live", "--tape", &tape, "--record", &record],
        &["--scenario", &next],
    ] {
        let mut serve = betacrew(&["serve", "--listen", "127.0.0.1:0"]);
        let (code, stdout, log) = run(serve.args(args));
        assert!(
            code == 6 && log.contains(" bytes in 1 place of it are damaged"),
            "{args:?}: {code} {log}"
        );
        assert!(log.contains("the first at byte ") && log.contains("(of packets "), "{log}");
        assert_eq!(stdout, "", "{args:?}");
    }
    assert!(!folder.path().join("record.tape").exists());
}

#[test]
fn serve_refuses_what_inspect_finds_damaged_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = playing(Tape::random(60, 1), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    let args = ["fetch", &address, "--tape", "x.tape", "-o", "x.csv"];
    assert_eq!(run(betacrew(&args).current_dir(folder.path())).0, 0);
    let good = fs::read(folder.path().join("x.tape")).unwrap();
    let mut damaged = 0;
    for at in (0..good.len()).step_by(61) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(folder.path().join("x.tape"), &bad).unwrap();
        let (verified, text, said) = run(betacrew(VERIFY).current_dir(folder.path()));
        // Should the tape be good, what is checked next ends it.
        let mut serve = betacrew(SERVE);
        let serve = serve.args(["--skip", "61"]).current_dir(folder.path());
        let (served, _, log) = run(serve);
        let expected = if verified == 0 { 2 } else { verified };
        assert_eq!(served, expected, "byte {at}: {text}{said}{log}");
        damaged += u32::from(verified == 6);
    }
    assert!(damaged > 20, "{damaged}");
}

/// Flips a bit of a file, whose byte there was that, and leaves the others as they are.
fn flip(path: &str, at: u64, byte: u8) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte ^ 4]).unwrap();
}

#[test]
fn damage_that_befalls_a_tape_while_it_is_played_is_named_however_it_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tape, record) = (path("x.tape"), path("record.tape"));
    let next = then(folder.path(), &tape);
    for args in [
        &["--tape", &tape][..],
        &["--tape", &tape, "--pace", "1000000/s"],
        &["--tape", &tape, "--pace", "1000000x"],
        &["--tape", &tape, "--scenario", "duplicates"],
        &["--live", "--pace", "10000000/s", "--tape", &tape],
        // Slow enough that the place has not come into being before it is damaged.
        &["--live", "--pace", "5000/s", "--tape", &tape, "--record", &record],
        &["--scenario", &next],
    ] {
        fs::write(&tape, &good).unwrap();
        let serving = ServeProcess::start(args);
        flip(&tape, 300_000, good[300_000]);
        // It may end before the client has called, or is in the middle of a restart.
        let address = serving.addresses[0].clone();
        let calling = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let began = std::time::Instant::now();
            let mut failures = 0;
            while failures < 50 && began.elapsed() < crate::support::PATIENCE {
                match std::net::TcpStream::connect(&address) {
                    Ok(mut client) => {
                        failures = 0;
                        let _ = client.set_read_timeout(Some(crate::support::PATIENCE));
                        let _ = client.write_all(&[1, 0]);
                        let _ = client.read_to_end(&mut Vec::new());
                    }
                    Err(_) => failures += 1,
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        let (code, log) = serving.ends();
        calling.join().unwrap();
        let named = log.contains("x.tape: ") && log.contains("is damaged");
        assert!(code == 6 && named, "{args:?}: {code} {log}");
    }
    let (code, _, stderr) = run(&mut betacrew(&["inspect", "--verify", &record]));
    assert_eq!(code, 0, "what there was is recorded: {stderr}");
}

#[test]
fn a_cut_costs_what_is_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let cut = &good[..300_000];
    let expected = [
        (SERVE, 6, "in 1 place of it are damaged, the first at byte "),
        (CONVERT, 6, "--allow-gaps reads the rest"),
        (INSPECT, 0, ", not finished, "),
        (INSPECT, 0, "\n  damaged  at byte "),
        (VERIFY, 6, "DAMAGED"),
        (FETCH, 5, "it is damaged in 1 place"),
    ];
    expect(folder.path(), cut, &expected);
    // Without its index and trailer it is whole all the same, and only slower to open.
    let unfinished = &good[..good.windows(4).rposition(|four| four == b"\x8aBLK").unwrap()];
    expect(
        folder.path(),
        unfinished,
        &[(VERIFY, 0, "complete, and every"), (INSPECT, 0, "not finished")],
    );
}

#[test]
#[cfg(unix)]
fn a_limit_of_file_sizes_is_an_error_of_storage_and_not_the_end_by_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let limited = |args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -f 64 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_betacrew")]);
        run(command.args(args).current_dir(folder.path()).env("NO_COLOR", "1"))
    };
    let exchange = playing(Tape::random(30_000, 1), losing(1, "0.25", ""));
    let address = exchange.address.to_string();
    fs::write(folder.path().join("old.json"), "old").unwrap();
    let mut capture = betacrew(&["convert", "x.tape", "x.pcap"]);
    assert_eq!(run(capture.current_dir(folder.path())).0, 0);
    let record = ["serve", "--listen", "127.0.0.1:0", "--live", "--pace", "1000000/s"];
    for args in [
        &["convert", "x.tape", "old.json", "--force"][..],
        &["convert", "x.tape", "y.csv"],
        &["convert", "x.csv", "y.tape"],
        // Captures are copied into a temporary file.
        &["convert", "x.pcap", "y.itch"],
        &["fetch", &address, "-o", "old.json"],
        &["fetch", &address, "-o", "y.csv", "--tape", "y.tape"],
        &[&record[..], &["--record", "z.tape"]].concat(),
    ] {
        let (code, _, stderr) = limited(args);
        assert!(code == 6 && stderr.contains("File too large"), "{args:?}: {code} {stderr}");
        assert_eq!(fs::read(folder.path().join("old.json")).unwrap(), b"old");
    }
    let mut outputs = vec!["y.csv"];
    if cfg!(feature = "sqlite") {
        outputs.push("y.sqlite");
    }
    for output in outputs {
        let (code, _, stderr) = limited(&["convert", "x.tape", output]);
        let said = format!("cannot write {output}: File too large");
        assert!(code == 6 && stderr.contains(&said), "{code} {stderr}");
        assert!(stderr.contains("ulimit -f"), "{stderr}");
    }
    // And where stdout is a file.
    let to_file = "ulimit -f 0 && exec \"$@\" > stdout";
    for args in [&["inspect", "x.tape"][..], &["convert", "x.tape", "-", "--to", "csv"]] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", to_file, "sh", env!("CARGO_BIN_EXE_betacrew")]).args(args);
        let (code, _, stderr) = run(command.current_dir(folder.path()));
        assert!(code == 6 && stderr.contains("File too large"), "{args:?}: {code} {stderr}");
    }
}
