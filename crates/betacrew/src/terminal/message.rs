//! Messages to the user, on stderr or in the log with `--log-format json`, and results on stdout.

use crate::error::{Exit, Failure};
use crate::text::escape;
use crate::text::location::redacted;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Prints a message line to stderr, or logs it; a closed stderr is ignored.
macro_rules! message {
    ($($text:tt)*) => { $crate::terminal::message::show_text(&(format!($($text)*) + "\n")) };
}
pub(crate) use message;

/// Log target of messages.
pub(crate) const TARGET: &str = "betacrew::message";

/// Set once messages are logged instead of printed.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Logs all messages from now on, so that every line on stderr has the log's format.
pub(crate) fn log_messages() {
    LOGGED.store(true, Ordering::Relaxed);
}

/// Maximum number of bytes of messages that are held back; further ones are discarded.
const HELD_MAX: usize = 1 << 20;

/// Messages that are held back, once [`hold`] was called.
static HELD: Mutex<Option<String>> = Mutex::new(None);

/// Holds back all messages from now on, for `--quiet`: they are shown only if the command fails.
pub(crate) fn hold() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Shows the messages that were held back, and all that follow.
pub(crate) fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(text) = held.filter(|text| !text.is_empty()) {
        show_text(&text);
    }
}

/// Returns whether messages are held back.
pub(crate) fn is_held() -> bool {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Shows a failure on stderr, without secrets that an error of a library may repeat.
pub(crate) fn show_failure(failure: &Failure) {
    let text = redacted(&failure.to_string());
    match LOGGED.load(Ordering::Relaxed) {
        true => tracing::error!(target: TARGET, "{text}"),
        false => message!("betacrew: {text}"),
    }
}

/// Shows a text of one or more lines on stderr, or holds it back. All text for stderr but the log
/// goes through here.
pub(crate) fn show_text(text: &str) {
    if let Some(held) = &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
        if held.len() + text.len() <= HELD_MAX {
            held.push_str(text);
        }
        return;
    }
    show_at_once(text);
}

/// Shows a text of one or more lines on stderr, even with `--quiet`.
pub(crate) fn show_at_once(text: &str) {
    let text = &*escape::lines(text);
    if LOGGED.load(Ordering::Relaxed) {
        for line in text.lines() {
            tracing::info!(target: TARGET, "{}", line.trim());
        }
        return;
    }
    crate::terminal::stderr::write(text.as_bytes());
}

/// Shows a text on stderr with its colour codes kept.
pub(crate) fn show_coloured(text: &str) {
    crate::terminal::stderr::write(escape::coloured(text).as_bytes());
}

/// Returns whether nobody can read stdout any more, because it is a pipe whose reader has ended.
pub(crate) fn is_stdout_closed() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdout = std::io::stdout();
        let mut files = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut files, Some(&now)).is_ok_and(|_| files[0].revents().contains(PollFlags::ERR))
    }
    #[cfg(not(unix))]
    false
}

/// Prints a text that is not packets to stdout. A closed pipe is not a failure.
///
/// # Errors
/// Returns [`Failure::Storage`] if stdout cannot be written.
pub(crate) fn print(text: &str) -> Result<Exit, Failure> {
    use std::io::Write;
    let text = escape::coloured(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Storage { action: "write to", path: "stdout".into(), source: error })
        }
        _ => Ok(Exit::Complete),
    }
}
