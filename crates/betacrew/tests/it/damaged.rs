//! Tape files that are not as they were written: what each command says, and with which exit code.

use crate::support::{ServeProcess, betacrew, connect, losing, playing, run};
use feed::tape::Tape;
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
/// Nobody answers there: what it finds in the file comes first.
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
    newer[9] = 3;
    let mut older = good.clone();
    older[9] = 1;
    let mut head = good.clone();
    head[20] ^= 1;
    let mut wide = good[..48].to_vec();
    wide[11] = 18;
    let sum = feed::storage::crc32c(&wide[..44]);
    wide[44..].copy_from_slice(&sum.to_be_bytes());
    for (bytes, said) in [
        (&older[..], "it is a tape file of version 1, which does not tell"),
        (&newer[..], "it is a tape file of version 3; this program reads up to 2"),
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
        (VERIFY, 6, "x.tape: NOT whole\n"),
        (VERIFY, 6, "of packets "),
        (FETCH, 5, "it is damaged in 1 place; what was there is asked for again"),
    ];
    expect(folder.path(), &bad, &damaged);
    expect(folder.path(), &good, &[(VERIFY, 0, "x.tape: whole, and every checksum is right\n")]);
    // The index is right, and the blocks have not been looked at yet.
    fs::write(folder.path().join("x.tape"), &bad).unwrap();
    let path = folder.path().join("x.tape");
    let serving = ServeProcess::start(&["--tape", path.to_str().unwrap()]);
    let client = connect(serving.addresses[0].parse().unwrap());
    std::io::Write::write_all(&mut &client, &[1, 0]).unwrap();
    let (code, log) = serving.wait();
    assert!(code == 6 && log.contains("is damaged"), "{code}: {log}");
}

#[test]
fn a_cut_costs_what_is_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = recorded(folder.path());
    let cut = &good[..300_000];
    let expected = [
        (SERVE, 6, "are damaged. betacrew inspect --verify shows them"),
        (CONVERT, 6, "--allow-gaps reads the rest"),
        (INSPECT, 0, ", not finished, "),
        (INSPECT, 0, "\n  damaged  at byte "),
        (VERIFY, 6, "NOT whole"),
        (FETCH, 5, "it is damaged in 1 place"),
    ];
    expect(folder.path(), cut, &expected);
    // Without its index and trailer it is whole all the same, and only slower to open.
    let unfinished = &good[..good.windows(4).rposition(|four| four == b"\x8aBLK").unwrap()];
    expect(
        folder.path(),
        unfinished,
        &[(VERIFY, 0, "whole, and every"), (INSPECT, 0, "not finished")],
    );
}
