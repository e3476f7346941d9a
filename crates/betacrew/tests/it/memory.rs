//! Memory does not grow with the session. `cargo bench -p betacrew --bench huge` shows it with 200
//! million packets.

use crate::endless::{Endless, made, watched};
use crate::in_time::LIMIT;
use crate::support::{Serving, betacrew, losing, run};
use feed::exchange::server::MockExchange;
use feed::tape::file::{OpenMode, TapeFile};
use feed::wire::sequence_of;
use std::fs;
use std::process::Stdio;

/// 51 MB of them.
const PACKETS: u64 = 3_000_000;
/// Maximum memory that the program allocates, in KiB. The pages of the program itself do not count,
/// because a debug build with all features has more than 25 MiB of them.
const ALLOCATED_MAX: u64 = 8 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn a_long_session_is_recorded_inspected_and_served_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("x.tape");
    let exchange = Serving::start(MockExchange::new(Endless::new(PACKETS), losing(3, "0.25", "")));
    let address = exchange.address.to_string();
    let mut fetch = betacrew(&["fetch", &address, "-o", "y.tape", "--tape", "x.tape"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (status, most) = watched(&mut fetch, LIMIT, "RssAnon");
    assert!(status.success(), "{status}");
    assert!((1..ALLOCATED_MAX).contains(&most), "fetch took {most} KiB");
    // Blocks are full, whichever packets were missed: each takes room in the index.
    let size = fs::metadata(&tape).unwrap().len();
    let overhead = size - PACKETS * 17;
    assert!(overhead < size / 200, "{overhead} bytes beside the packets");

    let mut inspect = betacrew(&["inspect", "x.tape"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (status, most) = watched(&mut inspect, LIMIT, "RssAnon");
    assert!(status.success(), "{status}");
    assert!((1..ALLOCATED_MAX).contains(&most), "inspect took {most} KiB");

    let against = ["inspect", "x.tape", "--against", "y.tape"];
    assert_eq!(run(betacrew(&against).current_dir(folder.path())).0, 0);
    let storage = betacrew::storage::FileStorage::read(&tape).unwrap();
    let (mut file, opened) = TapeFile::open(storage, OpenMode::Index).unwrap();
    assert!(opened.indexed);
    for seq in (1..=PACKETS).step_by(99_991) {
        assert_eq!(file.get(seq).unwrap(), Some(made(seq)));
        let mut reading = file.in_order(seq);
        assert_eq!(sequence_of(&reading.next().unwrap().unwrap().packets()[0]), seq);
    }
}
