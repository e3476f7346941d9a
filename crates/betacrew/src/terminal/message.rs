//! Messages to the user, on stderr or in the log with `--log-format json`, and results on stdout.

use crate::error::{Exit, Failure};
use crate::text::escape;
use crate::text::location::redacted;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Shows a failure on stderr, without secrets that an error of a library may repeat.
pub(crate) fn show_failure(failure: &Failure) {
    let text = redacted(&failure.to_string());
    match LOGGED.load(Ordering::Relaxed) {
        true => tracing::error!(target: TARGET, "{text}"),
        false => message!("betacrew: {text}"),
    }
}

/// Shows a text of one or more lines on stderr. All text for stderr but the log goes through here.
pub(crate) fn show_text(text: &str) {
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
