//! Small files that unpack to gigabytes, or compute for ever: `bombs.py` writes them.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, python, python_has};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Address space in KiB that the program gets for a small file, whatever is in it.
const ADDRESSES: u64 = 700 * 1024;

/// Small files of other programs that unpack to gigabytes, or compute for ever, are refused in
/// little time and memory. Where there is too little memory the program is aborted, with 134.
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
        let done = inspect.ends_with_output();
        assert!(began.elapsed() < PATIENCE, "{:?} is read for {:?}", entry.path(), began.elapsed());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(6), "{:?}: {said}", entry.path());
        assert!(said.contains("cannot use"), "{:?}: {said}", entry.path());
        bombs += 1;
    }
    assert!(bombs >= 20, "{bombs} files");
}
