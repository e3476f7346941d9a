//! Handling of the signals INT (Ctrl+C), TERM and HUP.
//!
//! A command that needs no orderly end is ended by the first signal, wherever it is blocked: in
//! reading a terminal, in opening a FIFO, in writing to a pipe that is not read. Its temporary
//! files are removed and the exit code is 128 and the signal's number, the same as in a shell: 130
//! for INT, 143 for TERM, 129 for HUP. Within an [`orderly`] scope the first two signals are
//! requests instead ([`Stop`]), and the third one ends the program.
//!
//! Signals that were ignored when the program started, as by `nohup`, stay ignored.

use crate::net::Stop;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Number of signals that end the program at once, even in orderly work.
const AT_ONCE: u32 = 3;

/// Maximum time without progress of a reader after a signal. A reader that takes nothing for longer
/// is not waited for.
pub(crate) const UNREAD: Duration = Duration::from_secs(1);

/// State of signal handling.
static STATE: Mutex<SignalState> =
    Mutex::new(SignalState { orderly: false, heard: 0, signal: 0, temporary: Vec::new() });

/// Received signals, and the tasks that the program must finish before it ends.
struct SignalState {
    /// True while the running command needs an orderly end.
    orderly: bool,
    /// Number of signals so far.
    heard: u32,
    /// Latest signal.
    signal: i32,
    /// Temporary files that may exist.
    temporary: Vec<PathBuf>,
}

fn state() -> MutexGuard<'static, SignalState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Scope that decides what a signal does. Dropping it restores the earlier decision.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub(crate) struct SignalScope {
    before: bool,
    /// Handle whose drop ends the thread that watches the scope.
    watched: Option<Arc<()>>,
}

impl SignalScope {
    fn new(orderly: bool) -> Self {
        Self { before: std::mem::replace(&mut state().orderly, orderly), watched: None }
    }
}

impl Drop for SignalScope {
    fn drop(&mut self) {
        // Under the lock, so that the watching thread cannot end the program after the scope.
        let mut state = state();
        state.orderly = self.before;
        self.watched = None;
    }
}

/// Starts a scope of work that ends in order, and soon, once its [`Stop`] is requested.
pub(crate) fn orderly() -> SignalScope {
    SignalScope::new(true)
}

/// Starts a scope for a call that may block for ever, within orderly work. One signal ends the
/// program there, so everything that must survive has to be written before.
pub(crate) fn may_block() -> SignalScope {
    SignalScope::new(false)
}

/// Starts a scope for writing that may block for ever; `progress` returns the bytes written. If a
/// signal was received before, the program ends once the output is not read for [`UNREAD`].
pub(crate) fn may_block_writing(progress: impl Fn() -> u64 + Send + 'static) -> SignalScope {
    let mut scope = SignalScope::new(false);
    if state().heard > 0 {
        let watched = Arc::new(());
        let goes_on = Arc::downgrade(&watched);
        scope.watched = Some(watched);
        // If the thread cannot be started, a second signal is needed.
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

/// Creates a temporary file that is removed if a signal ends the program.
///
/// # Errors
/// Errors of `make`.
pub(crate) fn temporary(
    make: impl FnOnce() -> io::Result<NamedTempFile>,
) -> io::Result<NamedTempFile> {
    // Under the lock, so that no file is created while existing ones are being removed.
    let mut state = state();
    let file = make()?;
    // Files that were renamed or removed no longer have this name.
    state.temporary.retain(|path| path.exists());
    state.temporary.push(std::path::absolute(file.path())?);
    Ok(file)
}

/// Handles a signal: requests orderly work to stop, or ends the program.
fn handle(signal: i32, stop: &Stop) {
    let mut state = state();
    state.heard += 1;
    state.signal = signal;
    // Work that has not noticed the first signal is blocked, so the second one ends the program.
    let blocked = stop.asked_unnoticed();
    if state.orderly && state.heard < AT_ONCE && !blocked {
        stop.stop();
        return;
    }
    leave(&state);
}

/// Removes temporary files and ends the program with the exit code of a signal. The state stays
/// locked, so that no temporary file is created meanwhile.
fn leave(state: &SignalState) -> ! {
    for path in &state.temporary {
        // A file that does not exist any more was renamed.
        let _ = std::fs::remove_file(path);
    }
    // No destructors run, because flushing stdout could block again.
    exit(128 + state.signal)
}

#[cfg(unix)]
fn exit(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// Starts to handle signals, in a thread of its own.
///
/// # Errors
/// Errors of the system.
#[cfg(unix)]
pub(crate) fn watch(stop: &Stop) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_at_start();
    let wanted = [SIGHUP, SIGINT, SIGTERM];
    let wanted = wanted.into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let stop = stop.clone();
    let listen = move || signals.forever().for_each(|signal| handle(signal, &stop));
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

/// Starts to handle signals.
///
/// # Errors
/// Errors of the system.
#[cfg(not(unix))]
pub(crate) fn watch(stop: &Stop) -> io::Result<()> {
    let stop = stop.clone();
    ctrlc::set_handler(move || handle(2, &stop)).map_err(io::Error::other)
}

#[cfg(not(unix))]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// Makes a write beyond the file size limit (`ulimit -f`) return an error, because the default
/// SIGXFSZ would end the program in the middle of its work, without a message.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        // A handler, because child processes would inherit an ignored signal. The flag is unused.
        let flag = Arc::default();
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag) {
            tracing::debug!(
                "cannot handle SIGXFSZ: exceeding the file size limit ends the program: {error}"
            );
        }
    }
}

/// Returns the ignored signals as a mask whose lowest bit is signal 1, or 0 if the system does not
/// report them. Called before any handler is installed.
#[cfg(unix)]
fn ignored_at_start() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored_mask(&status))
}

/// Returns the mask of ignored signals in the text of `/proc/PID/status`.
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
