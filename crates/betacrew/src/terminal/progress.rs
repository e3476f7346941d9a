//! What is shown while `fetch` works: a bar on a terminal, and anywhere that it waits.

use crate::terminal::style::Stream;
use crate::terminal::{stderr, style};
use crate::text::formatting::{grouped, took};
use crate::text::location::shown;
use feed::client::{LineStats, Recorder};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
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
    /// The bar that is shown, and whether its whole is known.
    bar: Option<(ProgressBar, bool)>,
    /// Bars can be drawn.
    moves: bool,
    timeout: Duration,
    /// Outages that were told, by line: the time since which each has been out of reach.
    outages: BTreeMap<u16, Option<Duration>>,
    written: u64,
}

/// A bar whose whole is known, or a line of text where it is not.
fn bar(whole: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new(whole.unwrap_or(0));
    let template = if whole.is_some() { "{bar:30} {percent}%  {msg}" } else { "{msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    stderr::show(&bar);
    bar
}

/// What is shown of a recording that runs: how many packets all are, if that is known, and text.
/// The end that a live session has now is none.
fn described(recorder: &Recorder) -> (Option<u64>, String) {
    let ledger = recorder.ledger();
    let text = format!(
        "{} packets, {} missing",
        grouped(ledger.recorded()),
        grouped(ledger.gaps().missing())
    );
    if recorder.is_following() {
        return (None, text);
    }
    let whole = ledger.end().map(|end| u64::from(end.max(ledger.highest())));
    (whole, format!("{text}, pass {}", grouped(u64::from(recorder.passes().complete) + 1)))
}

impl Progress {
    pub(crate) fn new(timeout: Duration) -> Self {
        let moves = style::of(Stream::Stderr).motion;
        Self {
            began: Instant::now(),
            bar: None,
            moves,
            timeout,
            outages: BTreeMap::new(),
            written: 0,
        }
    }

    /// A line's exchange cannot be reached. Said once for each outage, on a terminal and elsewhere.
    pub(crate) fn waiting(&mut self, line: u16, address: &str, stats: &LineStats) {
        if let Some(text) = self.outage(line, address, stats) {
            crate::terminal::message::message!("{text}");
        }
    }

    /// Returns what is to be said of a line that cannot be reached, once for each outage.
    fn outage(&mut self, line: u16, address: &str, stats: &LineStats) -> Option<String> {
        if self.outages.insert(line, stats.unreachable_since) == Some(stats.unreachable_since) {
            return None;
        }
        let (found, back) = match stats.reached {
            true => (format!("the exchange at {address} cannot be reached any more"), "it is back"),
            false => (format!("no exchange at {address} yet"), "there is one"),
        };
        let until = match self.timeout >= FOR_EVER {
            true => format!("until {back}"),
            false => format!("for up to {}", took(self.timeout)),
        };
        Some(format!("{found}; trying {until}"))
    }

    pub(crate) fn tick(&mut self, recorder: &Recorder) {
        if !self.moves || self.began.elapsed() < PATIENCE {
            return;
        }
        let (whole, text) = described(recorder);
        let known = self.bar.take().filter(|(_, known)| *known == whole.is_some());
        let (bar, known) = known.unwrap_or_else(|| (bar(whole), whole.is_some()));
        bar.set_length(whole.unwrap_or(1).max(1));
        bar.set_position(recorder.ledger().recorded());
        bar.set_message(text);
        self.bar = Some((bar, known));
    }

    /// What was recorded is being written.
    pub(crate) fn writing(&mut self, path: &Path, packets: u64) {
        if self.moves && packets > MANY {
            let bar = bar(Some(packets));
            bar.set_message(format!("writing {}", shown(path)));
            self.bar = Some((bar, true));
        }
    }

    /// So many packets more are written.
    pub(crate) fn wrote(&mut self, packets: u64) {
        self.written += packets;
        if let Some((bar, _)) = &self.bar
            && self.written % SOME < packets
        {
            bar.set_position(self.written);
        }
    }

    pub(crate) fn end(&mut self) {
        self.bar = None;
        stderr::clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::client::RecorderOptions;

    #[test]
    fn each_outage_of_each_line_is_told_once() {
        let mut progress = Progress::new(FOR_EVER);
        let out_since = |seconds, reached| LineStats {
            reached,
            unreachable_since: Some(Duration::from_secs(seconds)),
            ..LineStats::default()
        };
        let (never, gone) = (out_since(0, false), out_since(9, true));
        let yet = |at: &str| Some(format!("no exchange at {at} yet; trying until there is one"));
        assert_eq!(progress.outage(0, "A", &never), yet("A"));
        assert_eq!(progress.outage(1, "B", &never), yet("B"));
        assert_eq!(progress.outage(0, "A", &never), None);
        let back = "the exchange at A cannot be reached any more; trying until it is back";
        assert_eq!(progress.outage(0, "A", &gone).as_deref(), Some(back));
        assert_eq!(progress.outage(0, "A", &gone), None);
        assert!(progress.outage(0, "A", &out_since(99, true)).is_some(), "another outage");
    }

    #[test]
    fn what_has_no_end_has_no_percentage() {
        let recorder = |options| Recorder::new(options, 1);
        let options = RecorderOptions::default();
        let endless = recorder(RecorderOptions { follow: true, ..options.clone() });
        assert_eq!(described(&endless), (None, "0 packets, 0 missing".to_owned()));
        assert_eq!(described(&recorder(options.clone())).0, None);
        let (whole, text) = described(&recorder(RecorderOptions { last: Some(9), ..options }));
        assert_eq!((whole, text.as_str()), (Some(9), "0 packets, 0 missing, pass 1"));
    }
}
