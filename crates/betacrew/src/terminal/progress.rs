//! Progress of `fetch`: a bar on a terminal, and messages about exchanges that are unreachable.

use crate::terminal::style::Stream;
use crate::terminal::{message, stderr, style};
use crate::text::formatting::{count, grouped, noun, took};
use crate::text::location::shown;
use feed::client::{LineStats, Recorder};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Minimum duration of a recording that shows a bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// Timeout that stands for no timeout: 100 years.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3_155_760_000);

/// Minimum number of packets whose writing shows a bar.
const BAR_MIN: u64 = 1_000_000;
/// Number of written packets between two updates of the bar.
const BAR_INTERVAL: u64 = 1 << 16;

/// Progress of one recording.
pub(crate) struct Progress {
    began: Instant,
    /// Bar on the screen; true if the total is known.
    bar: Option<(ProgressBar, bool)>,
    /// True if stderr can show a bar.
    moves: bool,
    timeout: Duration,
    /// Reported outages, by line: the time since which each line has been unreachable.
    outages: BTreeMap<u16, Option<Duration>>,
    written: u64,
}

/// Shows a bar with a total, or a line of text without one.
fn bar(whole: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new(whole.unwrap_or(0));
    let template = if whole.is_some() { "{bar:30} {percent}%  {msg}" } else { "{msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    stderr::show(&bar);
    bar
}

/// Returns the total number of packets, if it is known, and the text beside the bar. A live session
/// has no total, because its end moves.
fn described(recorder: &Recorder) -> (Option<u64>, String) {
    let ledger = recorder.ledger();
    let text = format!(
        "{}, {} missing",
        count(ledger.recorded(), noun(recorder)),
        grouped(ledger.gaps().missing())
    );
    if recorder.is_following() {
        return (None, text);
    }
    let whole = ledger.end().map(|end| end.max(ledger.highest()));
    (whole, format!("{text}, pass {}", grouped(u64::from(recorder.passes().complete) + 1)))
}

impl Progress {
    /// Creates the progress of a recording; `timeout` is for messages about unreachable lines.
    pub(crate) fn new(timeout: Duration) -> Self {
        let moves = style::of(Stream::Stderr).motion && !message::is_held();
        Self {
            began: Instant::now(),
            bar: None,
            moves,
            timeout,
            outages: BTreeMap::new(),
            written: 0,
        }
    }

    /// Prints a message about a line that cannot be reached, once for each outage.
    pub(crate) fn waiting(&mut self, line: u16, address: &str, stats: &LineStats) {
        if let Some(text) = self.outage(line, address, stats) {
            crate::terminal::message::message!("{text}");
        }
    }

    /// Returns the message about a line that cannot be reached, once for each outage.
    fn outage(&mut self, line: u16, address: &str, stats: &LineStats) -> Option<String> {
        if self.outages.insert(line, stats.unreachable_since) == Some(stats.unreachable_since) {
            return None;
        }
        let (found, back) = match stats.reached {
            true => (format!("the exchange at {address} is no longer reachable"), "it is back"),
            false => (format!("no exchange at {address} yet"), "one starts"),
        };
        let until = match self.timeout >= FOR_EVER {
            true => format!("until {back}"),
            false => format!("for up to {}", took(self.timeout)),
        };
        Some(format!("{found}; retrying {until}"))
    }

    /// Updates the bar.
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

    /// Shows a bar for writing an output.
    pub(crate) fn writing(&mut self, path: &Path, packets: u64) {
        if self.moves && packets > BAR_MIN {
            let bar = bar(Some(packets));
            bar.set_message(format!("writing {}", shown(path)));
            self.bar = Some((bar, true));
        }
    }

    /// Adds to the number of written packets.
    pub(crate) fn wrote(&mut self, packets: u64) {
        self.written += packets;
        if let Some((bar, _)) = &self.bar
            && self.written % BAR_INTERVAL < packets
        {
            bar.set_position(self.written);
        }
    }

    /// Removes the bar.
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
    fn each_outage_of_each_line_is_reported_once() {
        let mut progress = Progress::new(FOR_EVER);
        let out_since = |seconds, reached| LineStats {
            reached,
            unreachable_since: Some(Duration::from_secs(seconds)),
            ..LineStats::default()
        };
        let (never, gone) = (out_since(0, false), out_since(9, true));
        let yet = |at: &str| Some(format!("no exchange at {at} yet; retrying until one starts"));
        assert_eq!(progress.outage(0, "A", &never), yet("A"));
        assert_eq!(progress.outage(1, "B", &never), yet("B"));
        assert_eq!(progress.outage(0, "A", &never), None);
        let back = "the exchange at A is no longer reachable; retrying until it is back";
        assert_eq!(progress.outage(0, "A", &gone).as_deref(), Some(back));
        assert_eq!(progress.outage(0, "A", &gone), None);
        assert!(progress.outage(0, "A", &out_since(99, true)).is_some(), "another outage");
    }

    #[test]
    fn a_live_session_has_no_percentage() {
        let recorder = |options| Recorder::new(options, 1);
        let options = RecorderOptions::default();
        let endless = recorder(RecorderOptions { follow: true, ..options.clone() });
        assert_eq!(described(&endless), (None, "0 packets, 0 missing".to_owned()));
        assert_eq!(described(&recorder(options.clone())).0, None);
        let (whole, text) = described(&recorder(RecorderOptions { last: Some(9), ..options }));
        assert_eq!((whole, text.as_str()), (Some(9), "0 packets, 0 missing, pass 1"));
    }
}
