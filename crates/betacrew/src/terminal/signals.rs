//! The one place that hears signals: INT (Ctrl+C), TERM and HUP.
//!
//! A command that has nothing to put in order is ended by the first signal, wherever it is blocked:
//! in reading a terminal, in opening a FIFO, in writing to a pipe that nobody reads. Its temporary
//! files are removed and the exit code is 128 and the signal's number, as a shell has it: 130 for
//! INT, 143 for TERM, 129 for HUP. Within an [`orderly`] scope the first two signals are requests
//! instead ([`Stop`]), and the third one ends the program.
//!
//! Signals that were ignored when the program started, as by `nohup`, stay ignored.

use crate::net::Stop;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Number of signals that end the program whatever it is doing.
const AT_ONCE: u32 = 3;

/// Maximum time without progress that a reader of ours may take once a signal was heard. One that
/// takes nothing for so long is not waited for.
pub(crate) const UNREAD: Duration = Duration::from_secs(1);

static STATE: Mutex<SignalState> =
    Mutex::new(SignalState { orderly: false, heard: 0, signal: 0, temporary: Vec::new() });

struct SignalState {
    /// The running command has something to put in order.
    orderly: bool,
    /// Number of signals so far.
    heard: u32,
    /// The latest of them.
    signal: i32,
    /// Temporary files that may exist.
    temporary: Vec<PathBuf>,
}

fn state() -> MutexGuard<'static, SignalState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides what a signal does, until it is dropped; then what held before holds again.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub(crate) struct SignalScope {
    before: bool,
    /// What watches the scope ends with it.
    watched: Option<Arc<()>>,
}

impl SignalScope {
    fn new(orderly: bool) -> Self {
        Self { before: std::mem::replace(&mut state().orderly, orderly), watched: None }
    }
}

impl Drop for SignalScope {
    fn drop(&mut self) {
        // Under the lock, so that what watches the scope does not end the program behind it.
        let mut state = state();
        state.orderly = self.before;
        self.watched = None;
    }
}

/// Marks work that ends in order when its [`Stop`] is asked for, and soon.
pub(crate) fn orderly() -> SignalScope {
    SignalScope::new(true)
}

/// Marks a call that may block for ever, within work that is orderly otherwise: one signal ends the
/// program there. What is to survive must have been written before.
pub(crate) fn may_block() -> SignalScope {
    SignalScope::new(false)
}

/// Marks writing that may block for ever and whose `progress` is counted. A signal that was heard
/// before it began is enough as well: it ends the program once nobody reads for [`UNREAD`].
pub(crate) fn may_block_writing(progress: impl Fn() -> u64 + Send + 'static) -> SignalScope {
    let mut scope = SignalScope::new(false);
    if state().heard > 0 {
        let watched = Arc::new(());
        let goes_on = Arc::downgrade(&watched);
        scope.watched = Some(watched);
        // Without the thread a second signal is needed.
        let _ = std::thread::Builder::new().spawn(move || {
            let (mut before, mut since) = (progress(), Instant::now());
            while goes_on.strong_count() > 0 {
                std::thread::sleep(UNREAD / 20);
                let now = progress();
                if now != before {
                    (before, since) = (now, Instant::now());
                } else if since.elapsed() >= UNREAD {
                    let state = state();
                    if goes_on.strong_count() > 0 {
                        leave(&state);
                    }
                }
            }
        });
    }
    scope
}

/// Makes a temporary file that does not outlive a program that a signal ends.
///
/// # Errors
/// What `make` reports.
pub(crate) fn temporary(
    make: impl FnOnce() -> io::Result<NamedTempFile>,
) -> io::Result<NamedTempFile> {
    // Under the lock, so that no file is made while those that exist are being removed.
    let mut state = state();
    let file = make()?;
    // Those that have been put in place or removed have no such name any more.
    state.temporary.retain(|path| path.exists());
    state.temporary.push(std::path::absolute(file.path())?);
    Ok(file)
}

/// Takes one signal: what `orderly` work is asked for or, where there is none, the end.
fn hear(signal: i32, stop: &Stop) {
    let mut state = state();
    state.heard += 1;
    state.signal = signal;
    // Work that has not even noticed the first signal is blocked.
    let blocked = stop.asked_unnoticed();
    if state.orderly && state.heard < AT_ONCE && !blocked {
        stop.stop();
        return;
    }
    leave(&state);
}

/// Ends the program as a signal does. The state stays locked, so that no temporary file is made
/// meanwhile.
fn leave(state: &SignalState) -> ! {
    for path in &state.temporary {
        // One that is not there any more has been put in place.
        let _ = std::fs::remove_file(path);
    }
    // Nothing else is done on the way out: flushing stdout could block once more.
    exit(128 + state.signal)
}

#[cfg(unix)]
fn exit(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// Hears signals from now on, in a thread of its own.
///
/// # Errors
/// What the system reports.
#[cfg(unix)]
pub(crate) fn watch(stop: &Stop) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_at_start();
    let wanted = [SIGHUP, SIGINT, SIGTERM];
    let wanted = wanted.into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let stop = stop.clone();
    let listen = move || signals.forever().for_each(|signal| hear(signal, &stop));
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

/// Hears signals from now on.
///
/// # Errors
/// What the system reports.
#[cfg(not(unix))]
pub(crate) fn watch(stop: &Stop) -> io::Result<()> {
    let stop = stop.clone();
    ctrlc::set_handler(move || hear(2, &stop)).map_err(io::Error::other)
}

#[cfg(not(unix))]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// Makes a write beyond the limit of file sizes (`ulimit -f`) fail like any other.
///
/// By default SIGXFSZ would end the program in the middle of its work, without a word.
pub(crate) fn outlive_file_size_limit() {
    #[cfg(unix)]
    {
        // A handler, for children inherit a signal that is ignored; nobody looks at the flag.
        let flag = Arc::default();
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag) {
            tracing::debug!("a limit of file sizes will end the program: {error}");
        }
    }
}

/// Signals that are ignored, as a mask whose lowest bit is signal 1; none where the system does not
/// tell. Called before any handler is installed.
#[cfg(unix)]
fn ignored_at_start() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored_mask(&status))
}

/// The mask of ignored signals in the text of `/proc/PID/status`.
#[cfg(unix)]
fn ignored_mask(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_process_status() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nCapInh:\t0\n";
        assert_eq!(ignored_mask(status), 0x1003);
        assert_eq!(ignored_mask("Name:\tx\n"), 0);
        assert_eq!(ignored_mask("SigIgn:\tnonsense\n"), 0);
    }
}
