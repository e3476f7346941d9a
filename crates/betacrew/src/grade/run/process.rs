//! Process of a client. It ends in time or is killed, together with all processes that it started.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of bytes kept from the beginning of the client's stdout.
pub(crate) const STDOUT_MAX: usize = 1 << 20;
/// Maximum number of bytes kept from the end of the client's stderr.
const STDERR_MAX: usize = 16 << 10;
/// Interval at which a running client is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(3);
/// Maximum time that a killed process may take to end. On a busy machine one that crashes writes
/// its memory to disk first.
const REAP_MAX: Duration = Duration::from_secs(20);
/// Maximum time to wait for a process that the system did not let the grader kill.
const REFUSED_MAX: Duration = Duration::from_secs(2);
/// Interval at which a killed process is checked.
const REAP_INTERVAL: Duration = Duration::from_millis(1);
/// Maximum time to wait for the rest of the output of a process that has ended.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// End of a client's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProcessEnd {
    /// The client exited with this code.
    Exited(i32),
    /// The client was ended by this signal, which the grader did not send.
    Signal(i32),
    /// The grader killed the client at the time limit.
    Killed,
    /// The grader killed the client because it had all packets and did not end.
    Lingered,
}

/// Reason for which a client is killed before the time limit of its case, although it has not
/// written all packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EarlyEnd {
    /// The client waits, and nothing can ever wake it.
    Stuck,
    /// The client computes with nothing on the wire, as it has done in earlier cases until the time
    /// limit.
    Spinning,
    /// The client prints without end, with nothing on the wire.
    Flooding,
}

/// Process of a client after its end.
#[derive(Clone, Debug)]
pub(crate) struct FinishedProcess {
    /// Reason for the end.
    pub(crate) ended: ProcessEnd,
    /// Time from the start to the end.
    pub(crate) took: Duration,
    /// Instant at which the grader killed the client, if it did.
    pub(crate) killed_at: Option<Instant>,
    /// Reason for which the grader killed the client before the time limit, if it did.
    pub(crate) early: Option<EarlyEnd>,
    /// Time for which the busiest thread of the client computed until it was killed, including time
    /// spent waiting for a processor; `None` if it was not killed, or if unknown.
    pub(crate) busy: Option<Duration>,
    /// Time for which the client's first thread waited for a processor since it first connected;
    /// `None` if unknown.
    pub(crate) queued: Option<Duration>,
    /// Beginning of the standard output, of which only a part is kept after it was read.
    pub(crate) stdout: Vec<u8>,
    /// End of the standard error output.
    pub(crate) stderr: Vec<u8>,
}

impl FinishedProcess {
    /// Returns whether the grader killed the client because nothing could wake it.
    pub(crate) fn was_stuck(&self) -> bool {
        self.early == Some(EarlyEnd::Stuck)
    }

    /// Returns whether the client computed, or waited for a busy processor, for most of the time
    /// until it was killed.
    pub(crate) fn was_busy(&self) -> bool {
        // A client that waits for packets is busy for a few percent of the time, one that spins for
        // all of it, less what other processes take.
        !self.was_stuck() && self.busy.is_some_and(|busy| busy * 2 > self.took)
    }
}

/// Decision about a client that still runs.
pub(crate) enum PollDecision {
    /// Let the client run, and decide again later.
    Wait,
    /// Kill the client: it has written all packets.
    EndLingering,
    /// Kill the client: it will never do anything more.
    EndEarly(EarlyEnd),
    /// Kill the client: the user has stopped the grader.
    Stop,
}

/// Reason why a client was not run to its end.
#[derive(Debug)]
pub(crate) enum ProcessFailure {
    /// The client cannot be started or checked.
    Run(io::Error),
    /// Process `id` of the client cannot be killed; it may run as another user.
    Unending { id: u32, source: io::Error },
}

impl From<io::Error> for ProcessFailure {
    fn from(error: io::Error) -> Self {
        Self::Run(error)
    }
}

/// Writer of a client's standard input, which runs in a thread of its own.
pub(crate) type Typist = Box<dyn FnOnce(ChildStdin) + Send>;

/// Client that runs, as `poll` of [`run`] sees it.
#[derive(Clone, Copy)]
pub(crate) struct RunningClient<'a> {
    /// Id of the client's first process.
    pub(crate) id: u32,
    stdout: &'a OutputCapture,
    stderr: &'a OutputCapture,
}

impl RunningClient<'_> {
    /// Returns the time for which the first thread was ready to run but waited for a processor.
    pub(crate) fn queued(&self) -> Option<Duration> {
        strays::queued(self.id)
    }

    /// Returns the time for which the busiest thread has computed so far; only Linux tells.
    pub(crate) fn busy(&self) -> Option<Duration> {
        strays::busiest(self.id)
    }

    /// Returns the number of bytes that the client has printed so far.
    pub(crate) fn printed_len(&self) -> u64 {
        [self.stdout, self.stderr].map(|output| output.len.load(Ordering::Relaxed)).iter().sum()
    }

    /// Returns the beginning of what the client has printed so far.
    pub(crate) fn printed(&self) -> Vec<u8> {
        self.stdout.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs a client until it ends, until `limit`, or until `poll` ends it. The standard input is empty
/// without a `typist`. No process of the client runs afterwards. Returns `None` if `poll` returned
/// `Stop`.
///
/// # Errors
/// Returns an error if the client cannot be started or cannot be killed.
pub(crate) fn run(
    command: &mut Command,
    typist: Option<Typist>,
    limit: Duration,
    mut poll: impl FnMut(RunningClient<'_>) -> PollDecision,
) -> Result<Option<FinishedProcess>, ProcessFailure> {
    let stdin = if typist.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = Running::start(command)?;
    // The start may have waited until another case had ended its processes.
    let began = Instant::now();
    if let Some((typist, stdin)) = typist.zip(child.child.stdin.take()) {
        std::thread::spawn(move || typist(stdin));
    }
    let stdout = OutputCapture::of(child.child.stdout.take(), KeptOutput::First(STDOUT_MAX));
    let stderr = OutputCapture::of(child.child.stderr.take(), KeptOutput::Last(STDERR_MAX));
    let mut early = None;
    let (killed_at, stopped) = loop {
        if child.has_ended()? {
            break (None, false);
        }
        if began.elapsed() >= limit {
            break (Some(ProcessEnd::Killed), false);
        }
        match poll(RunningClient { id: child.child.id(), stdout: &stdout, stderr: &stderr }) {
            PollDecision::Wait => std::thread::sleep(POLL_INTERVAL),
            PollDecision::EndLingering => break (Some(ProcessEnd::Lingered), false),
            PollDecision::EndEarly(why) => {
                early = Some(why);
                break (Some(ProcessEnd::Killed), false);
            }
            PollDecision::Stop => break (Some(ProcessEnd::Killed), true),
        }
    };
    let took = began.elapsed();
    let at = killed_at.map(|_| Instant::now());
    let busy = at.and_then(|_| strays::busiest(child.child.id()));
    let queued = strays::queued(child.child.id());
    let code = child.end()?;
    if stopped {
        return Ok(None);
    }
    let (stdout, stderr) = (stdout.collect(), stderr.collect());
    Ok(Some(FinishedProcess {
        ended: killed_at.unwrap_or(code),
        took,
        killed_at: at,
        early,
        busy,
        queued,
        stdout,
        stderr,
    }))
}

/// Processes that were started here and have not been waited for yet.
static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Process that is killed on drop, so that none is left behind.
struct Running {
    child: Child,
    is_over: bool,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Self> {
        // The lock is held during the start, because the search for strays would otherwise take the
        // new process for one.
        let mut live = live();
        let child = command.spawn()?;
        live.insert(child.id());
        Ok(Self { child, is_over: false })
    }

    /// Returns whether the process has ended. It is not waited for, so that its number cannot be
    /// given to another process yet.
    #[cfg(target_os = "linux")]
    fn has_ended(&mut self) -> io::Result<bool> {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let id = WaitId::Pid(Pid::from_child(&self.child));
        Ok(waitid(id, options)?.is_some())
    }

    #[cfg(not(target_os = "linux"))]
    fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Kills the process and its group, and returns how the process ended.
    fn end(&mut self) -> Result<ProcessEnd, ProcessFailure> {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            // An error means that no process of the group is left.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let killed = self.child.kill();
        self.is_over = true;
        let status = reap(|| self.child.try_wait(), patience(killed.is_ok()));
        let id = self.child.id();
        if !matches!(status, Ok(None)) {
            live().remove(&id);
        }
        strays::end();
        let Some(status) = status? else {
            // The process stays in the list of live ones, so that it is not waited for again.
            let source = killed.err().unwrap_or_else(|| io::ErrorKind::TimedOut.into());
            return Err(ProcessFailure::Unending { id, source });
        };
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Ok(ProcessEnd::Signal(signal));
        }
        Ok(ProcessEnd::Exited(status.code().unwrap_or(-1)))
    }
}

/// Returns the maximum time to wait for a process's end. `was_sent` says whether the system has
/// sent it the signal.
fn patience(was_sent: bool) -> Duration {
    if was_sent { REAP_MAX } else { REFUSED_MAX }
}

/// Waits until a killed process has ended, for at most `patience`.
fn reap<T>(
    mut ended: impl FnMut() -> io::Result<Option<T>>,
    patience: Duration,
) -> io::Result<Option<T>> {
    let began = Instant::now();
    loop {
        match ended()? {
            // A process in a system call that cannot be interrupted, such as one on a dead network
            // disk, may not end for ever.
            None if began.elapsed() < patience => std::thread::sleep(REAP_INTERVAL),
            ended => return Ok(ended),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.end();
        }
    }
}

/// Part of an output that is kept, with its maximum number of bytes.
#[derive(Clone, Copy)]
enum KeptOutput {
    /// Beginning of the output.
    First(usize),
    /// End of the output.
    Last(usize),
}

/// Reader of a process's output. It reads all of it, so that the process never waits, and keeps a
/// part.
struct OutputCapture {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Number of bytes read.
    len: Arc<AtomicU64>,
    done: Receiver<()>,
}

impl OutputCapture {
    fn of(pipe: Option<impl Read + Send + 'static>, keep: KeptOutput) -> Self {
        let (kept, len, (tell, done)) = (Arc::default(), Arc::default(), channel());
        if let Some(pipe) = pipe {
            let (kept, len) = (Arc::clone(&kept), Arc::clone(&len));
            std::thread::spawn(move || drain(pipe, keep, &kept, &len, &tell));
        }
        Self { kept, len, done }
    }

    fn collect(self) -> Vec<u8> {
        // A process that has left the group may hold the pipe open for ever, so the wait is
        // limited.
        let _ = self.done.recv_timeout(CLOSE_WAIT);
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads `pipe` to its end, keeps the part that `keep` says, counts the bytes in `len`, and sends
/// on `done`.
fn drain(
    mut pipe: impl Read,
    keep: KeptOutput,
    kept: &Mutex<Vec<u8>>,
    len: &AtomicU64,
    done: &Sender<()>,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                len.fetch_add(count as u64, Ordering::Relaxed);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                match keep {
                    KeptOutput::First(most) => {
                        let room = most.saturating_sub(kept.len()).min(count);
                        kept.extend_from_slice(&buffer[..room]);
                    }
                    KeptOutput::Last(most) => {
                        kept.extend_from_slice(&buffer[..count]);
                        let is_over = kept.len().saturating_sub(most);
                        kept.drain(..is_over);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // An error means that the receiver is gone, because its wait has timed out.
    let _ = done.send(());
}

#[cfg(target_os = "linux")]
mod strays;

#[cfg(not(target_os = "linux"))]
mod strays {
    use std::time::Duration;

    pub(crate) fn adopt() {}
    pub(crate) fn end() {}

    pub(crate) fn queued(_: u32) -> Option<Duration> {
        None
    }

    pub(crate) fn busiest(_: u32) -> Option<Duration> {
        None
    }
}

pub(crate) use strays::adopt;
#[cfg(target_os = "linux")]
pub(crate) use strays::{has_strays, ids as all_ids, stat};

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn ran(script: &str, limit: Duration) -> FinishedProcess {
        let ran = run(&mut shell(script), None, limit, |_| PollDecision::Wait);
        ran.expect("there is a shell").expect("nobody stops it")
    }

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(200);

    #[test]
    fn each_kind_of_end_is_reported() {
        assert_eq!(ran("exit 3", LONG).ended, ProcessEnd::Exited(3));
        assert_eq!(ran("kill -SEGV $$", LONG).ended, ProcessEnd::Signal(11));
        assert_eq!(ran("sleep 60", SHORT).ended, ProcessEnd::Killed);
        let asleep = |decide: fn(RunningClient<'_>) -> PollDecision| {
            run(&mut shell("sleep 60"), None, LONG, decide).unwrap()
        };
        let enough = asleep(|_| PollDecision::EndLingering).unwrap();
        assert_eq!(enough.ended, ProcessEnd::Lingered);
        assert!(asleep(|_| PollDecision::Stop).is_none());
        let none = &mut Command::new("no such program");
        assert!(run(none, None, LONG, |_| PollDecision::Wait).is_err());
    }

    #[test]
    fn input_is_typed_and_ends() {
        let typist: Typist = Box::new(|mut stdin| {
            use std::io::Write;
            stdin.write_all(b"one\ntwo").unwrap();
        });
        let typed = run(&mut shell("cat; exit 4"), Some(typist), LONG, |_| PollDecision::Wait);
        let typed = typed.unwrap().unwrap();
        assert_eq!((typed.ended, &typed.stdout[..]), (ProcessEnd::Exited(4), &b"one\ntwo"[..]));
        assert!(ran("cat", LONG).stdout.is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processor_time_distinguishes_a_busy_client_from_an_idle_one() {
        let busy = ran("while :; do :; done", SHORT * 3).busy.unwrap();
        let idle = ran("sleep 60", SHORT).busy.unwrap();
        assert!(busy > idle, "{busy:?} {idle:?}");
        // The measurement must also hold while other processes take the processors.
        let processors = std::thread::available_parallelism().unwrap().get();
        let crowd = "for i in $(seq {}); do while :; do :; done & done; while :; do :; done";
        let crowded = ran(&crowd.replace("{}", &(processors * 2).to_string()), SHORT * 3);
        assert!(crowded.busy.unwrap() > crowded.took / 2, "{crowded:?}");
        assert!(crowded.queued.unwrap() > Duration::ZERO, "{crowded:?}");
        // Much work in small parts is no endless loop, nor are many processes that do a little.
        let parts = "i=0; while [ $i -lt 300 ]; do sleep 0.001; i=$((i+1)); done; sleep 60";
        let many = format!("for i in 1 2 3 4 5 6 7 8; do ({parts}) & done; wait");
        let working = ran(&many, SHORT * 10);
        assert!(working.busy.unwrap_or_default() < working.took / 2, "{working:?}");
    }

    #[test]
    fn output_is_kept_up_to_a_bound_and_never_blocks_the_client() {
        let loud = ran("echo out; echo err >&2; head -c 40000000 /dev/zero; echo last >&2", LONG);
        assert_eq!((loud.ended, loud.stdout.len()), (ProcessEnd::Exited(0), STDOUT_MAX));
        assert_eq!((&loud.stdout[..4], &loud.stderr[..]), (&b"out\n"[..], &b"err\nlast\n"[..]));
        let err = ran("head -c 1000000 /dev/zero >&2; echo end >&2", LONG).stderr;
        assert!(err.len() == STDERR_MAX && err.ends_with(b"end\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_processes_of_a_client_are_ended() {
        adopt();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        // One child stays in the group, the other has left it for a session of its own.
        let script = format!(
            "sleep 61 & echo $! >> {0}; setsid sh -c 'echo $$ >> {0}; sleep 62; :' & \
             while [ $(wc -l < {0}) -lt 2 ]; do :; done; exit 0",
            path.display()
        );
        assert_eq!(ran(&script, LONG).ended, ProcessEnd::Exited(0));
        let ids = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ids.lines().count(), 2);
        for id in ids.lines() {
            assert!(!std::path::Path::new("/proc").join(id).exists(), "{id} still runs");
        }
    }
}
