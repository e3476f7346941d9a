//! Memory does not grow with the session, nor by what files say of themselves. `cargo bench -p betacrew --bench huge` shows it with 200
//! million packets.

use crate::endless::{Endless, made, watched};
use crate::support::{PATIENCE, Serving, betacrew, losing, python, python_has, run};
use feed::player::Player;
use feed::wire::sequence_of;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

/// 51 MB of them.
const PACKETS: u32 = 3_000_000;
/// What the program takes, and a little room; in KiB.
const RESIDENT: u64 = 24 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn a_long_session_is_recorded_inspected_and_served_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("x.tape");
    let exchange = Serving::start(Player::new(Endless::new(PACKETS), losing(3, "0.25", "")));
    let address = exchange.address.to_string();
    let mut fetch = betacrew(&["fetch", &address, "-o", "y.tape", "--tape", "x.tape"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (status, most) = watched(&mut fetch);
    assert!(status.success(), "{status}");
    assert!((1..RESIDENT).contains(&most), "fetch took {most} KiB");
    // Blocks are full, whatever was lost: each takes room in the index.
    let size = fs::metadata(&tape).unwrap().len();
    let overhead = size - u64::from(PACKETS) * 17;
    assert!(overhead < size / 200, "{overhead} bytes beside the packets");

    let mut inspect = betacrew(&["inspect", "x.tape"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (status, most) = watched(&mut inspect);
    assert!(status.success(), "{status}");
    assert!((1..RESIDENT).contains(&most), "inspect took {most} KiB");

    let against = ["inspect", "x.tape", "--against", "y.tape"];
    assert_eq!(run(betacrew(&against).current_dir(folder.path())).0, 0);
    let storage = betacrew::file::FileStorage::read(&tape).unwrap();
    let (mut file, opened) = feed::tape_file::TapeFile::open(storage, true).unwrap();
    assert!(opened.indexed);
    for seq in (1..=PACKETS).step_by(99_991) {
        assert_eq!(file.get(seq).unwrap(), Some(made(seq)));
        let mut reading = file.in_order(seq);
        assert_eq!(sequence_of(&reading.next().unwrap().unwrap().frames[0]), seq);
    }
}

/// Address space in KiB that the program gets for a small file, whatever is in it.
const ADDRESSES: u64 = 700 * 1024;

/// Small files of other programs that unpack to gigabytes, or compute for ever, are refused in
/// little time and memory. Where there is too little memory the program is aborted, with 134.
#[cfg(all(target_os = "linux", feature = "columnar", feature = "sqlite"))]
#[test]
fn small_files_that_unpack_to_gigabytes_are_refused() {
    if !python_has("bombs.py", "pyarrow") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let written = python("bombs.py", &["write", folder.path().to_str().unwrap()]).unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let mut bombs = 0;
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        assert!(entry.metadata().unwrap().len() < 2 << 20, "{:?} is no small file", entry.path());
        let limited = format!("ulimit -v {ADDRESSES}; exec \"$0\" inspect \"$1\"");
        let mut inspect = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_betacrew")])
            .arg(entry.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while inspect.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                inspect.kill().unwrap();
                panic!("{:?} is read for more than {PATIENCE:?}", entry.path());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let done = inspect.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(6), "{:?}: {said}", entry.path());
        assert!(said.contains("cannot use"), "{:?}: {said}", entry.path());
        bombs += 1;
    }
    assert!(bombs >= 20, "{bombs} files");
}
