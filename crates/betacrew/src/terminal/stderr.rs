//! Stderr, shared by messages, the log and a progress bar: the bar moves away for other text.

use indicatif::ProgressBar;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Progress bar on the screen.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Returns the progress bar, locked.
fn bar() -> MutexGuard<'static, Option<ProgressBar>> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows a bar until [`clear`]; the one that was shown before is cleared.
pub(crate) fn show(new: &ProgressBar) {
    if let Some(old) = bar().replace(new.clone()) {
        old.finish_and_clear();
    }
}

/// Clears the bar that is shown, if one is.
pub(crate) fn clear() {
    if let Some(old) = bar().take() {
        old.finish_and_clear();
    }
}

/// Calls `write`, which may write to the terminal, while the bar is out of the way.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    match &*bar() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Writes whole lines. Errors are ignored, because there is no other place to report them.
pub(crate) fn write(lines: &[u8]) {
    aside(|| {
        let _ = io::stderr().lock().write_all(lines);
    });
}

/// Writer of whole lines for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StderrLines;

impl Write for StderrLines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        write(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
