//! What is shown while `fetch` works: a bar on a terminal, and anywhere that it waits.

use crate::words::{grouped, took};
use feed::recorder::Recorder;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A recording that takes no longer than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) struct Progress {
    began: Instant,
    bar: Option<ProgressBar>,
    terminal: bool,
    timeout: Duration,
    waiting: bool,
}

impl Progress {
    pub(crate) fn new(timeout: Duration) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), bar: None, terminal, timeout, waiting: false }
    }

    /// The exchange cannot be reached (yet). Said once, on a terminal and elsewhere.
    pub(crate) fn waiting(&mut self, address: &str) {
        if !std::mem::replace(&mut self.waiting, true) {
            eprintln!("no exchange at {address} yet; trying for up to {}", took(self.timeout));
        }
    }

    pub(crate) fn tick(&mut self, recorder: &Recorder) {
        if !self.terminal || self.began.elapsed() < PATIENCE {
            return;
        }
        let ledger = recorder.ledger();
        let known = u64::from(ledger.end().unwrap_or(0).max(ledger.highest()));
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            let template = "{bar:30} {percent}%  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar
        });
        bar.set_length(known.max(1));
        bar.set_position(ledger.recorded());
        let missing = ledger.gaps().missing();
        bar.set_message(format!(
            "{} packets, {} missing, pass {}",
            grouped(ledger.recorded()),
            grouped(missing),
            recorder.passes().complete + 1
        ));
    }

    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
