//! What is shown while `fetch` works: a bar on a terminal, and anywhere that it waits.

use crate::location::shown;
use crate::words::{grouped, took};
use feed::recorder::Recorder;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// A recording that takes no longer than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// Nobody waits longer.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3_155_760_000);

/// Writing fewer packets takes no time worth a bar.
const MANY: u64 = 1_000_000;
/// The bar moves every so many packets.
const SOME: u64 = 1 << 16;

pub(crate) struct Progress {
    began: Instant,
    bar: Option<ProgressBar>,
    terminal: bool,
    timeout: Duration,
    waiting: bool,
    written: u64,
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent}%  {msg}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

impl Progress {
    pub(crate) fn new(timeout: Duration) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), bar: None, terminal, timeout, waiting: false, written: 0 }
    }

    /// The exchange cannot be reached (yet). Said once, on a terminal and elsewhere.
    pub(crate) fn waiting(&mut self, address: &str) {
        if !std::mem::replace(&mut self.waiting, true) {
            let until = match self.timeout >= FOR_EVER {
                true => "until there is one".to_owned(),
                false => format!("for up to {}", took(self.timeout)),
            };
            crate::words::tell!("no exchange at {address} yet; trying {until}");
        }
    }

    pub(crate) fn tick(&mut self, recorder: &Recorder) {
        if !self.terminal || self.began.elapsed() < PATIENCE {
            return;
        }
        let ledger = recorder.ledger();
        let known = u64::from(ledger.end().unwrap_or(0).max(ledger.highest()));
        let bar = self.bar.get_or_insert_with(bar);
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

    /// What was recorded is being written.
    pub(crate) fn writing(&mut self, path: &Path, packets: u64) {
        if self.terminal && packets > MANY {
            let bar = bar();
            bar.set_length(packets);
            bar.set_message(format!("writing {}", shown(path)));
            self.bar = Some(bar);
        }
    }

    /// So many packets more are written.
    pub(crate) fn wrote(&mut self, packets: u64) {
        self.written += packets;
        if let Some(bar) = &self.bar
            && self.written % SOME < packets
        {
            bar.set_position(self.written);
        }
    }

    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
