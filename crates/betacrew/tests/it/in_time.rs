//! Waits for child processes that end in a failed test rather than never. Tests wait in no other
//! way: `cargo test -p xtask` checks that.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Maximum time that a process may take to end. The longest one grades a client in all cases, which
/// takes less than two minutes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Interval between two looks at whether a process has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Waits for a process that was started.
pub(crate) trait ChildInTime {
    /// Closes the process's stdin and waits for its end.
    ///
    /// # Panics
    /// Where the process takes longer than [`LIMIT`]; it is killed then.
    fn ends(&mut self) -> ExitStatus;

    /// Waits as [`ends`](Self::ends) does, and collects what is still to come from pipes.
    fn ends_with_output(&mut self) -> Output;

    /// Kills the process, if it still runs, and removes it from the system's table.
    fn kill_and_reap(&mut self);
}

/// Runs commands to their ends.
pub(crate) trait CommandInTime {
    /// Runs the command without input and collects stdout and stderr, whatever was set for these.
    fn output_in_time(&mut self) -> io::Result<Output>;
}

impl ChildInTime for Child {
    fn ends(&mut self) -> ExitStatus {
        ended(self, LIMIT)
    }

    fn ends_with_output(&mut self) -> Output {
        // Both are read at once: a process that fills a pipe waits for its reader.
        let (stdout, stderr) = (collect(self.stdout.take()), collect(self.stderr.take()));
        let status = self.ends();
        // A process that the child has started may still hold the pipe.
        let whole = |pipe: Receiver<_>| pipe.recv_timeout(LIMIT).expect("the pipe is closed");
        Output { status, stdout: whole(stdout), stderr: whole(stderr) }
    }

    fn kill_and_reap(&mut self) {
        let _ = self.kill();
        let began = Instant::now();
        // Called while a test fails, too, so it does not panic.
        while matches!(self.try_wait(), Ok(None)) && began.elapsed() < LIMIT {
            std::thread::sleep(LOOK);
        }
    }
}

impl CommandInTime for Command {
    fn output_in_time(&mut self) -> io::Result<Output> {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn().map(|mut child| child.ends_with_output())
    }
}

fn ended(child: &mut Child, limit: Duration) -> ExitStatus {
    drop(child.stdin.take());
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let late = began.elapsed() > limit;
        if late {
            let line = std::fs::read_to_string(format!("/proc/{}/cmdline", child.id()));
            let line = line.unwrap_or_default().replace('\0', " ");
            child.kill_and_reap();
            assert!(!late, "process {} does not end within {limit:?}: {line}", child.id());
        }
        std::thread::sleep(LOOK);
    }
}

/// Reads a pipe to its end in a thread.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (done, whole) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = done.send(bytes);
    });
    whole
}

#[cfg(unix)]
#[test]
fn a_process_that_does_not_end_fails_its_test_and_is_killed() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let waits = || ended(&mut child, Duration::ZERO);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(waits)).unwrap_err();
    let message = failed.downcast::<String>().unwrap();
    assert!(message.contains("does not end within 0ns"), "{message}");
    assert!(child.try_wait().unwrap().is_some());
    // A full pipe keeps nothing from its end.
    let mut loud = Command::new("sh");
    loud.args(["-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3"]);
    let output = loud.output_in_time().unwrap();
    let lengths = (output.stdout.len(), output.stderr.len());
    assert_eq!((output.status.code(), lengths), (Some(3), (1_000_000, 1_000_000)));
}
