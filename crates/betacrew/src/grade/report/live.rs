//! Report while cases run: their rows on stdout, and a bar on stderr if that is a terminal.

use crate::error::Failure;
use crate::grade::judge::verdict::{CaseOutcome, Verdict};
use crate::grade::report::terminal::layout::Paint;
use crate::grade::report::terminal::{self, RowPosition, seconds};
use crate::grade::run::case_runner::{RunObserver, RunProgress};
use crate::terminal::message::{self, print};
use crate::terminal::stderr;
use crate::terminal::style::{self, Stream};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Maximum number of running cases that the bar names.
const NAMED: usize = 3;
/// Interval at which the bar changes.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Cases that get no row.
#[derive(Clone, Default, Debug)]
pub(crate) struct LeftOut {
    /// Ids of cases whose success is no news.
    pub(crate) passes: BTreeSet<&'static str>,
    /// True to leave out cases that were not run, because the run was stopped for the next one.
    pub(crate) not_run: bool,
}

/// Report while cases run.
pub(crate) struct LiveReport {
    paint: Paint,
    /// Group of the last row.
    group: &'static str,
    /// Result of printing so far.
    printed: Result<(), Failure>,
    /// Bar, once it is shown.
    bar: Option<ProgressBar>,
    /// True if stderr can show a bar.
    moves: bool,
    changed_at: Option<Instant>,
    /// Cases that get no row.
    left_out: LeftOut,
}

impl LiveReport {
    /// Creates the report; nothing is printed yet.
    pub(crate) fn new(paint: Paint) -> Self {
        let moves = style::of(Stream::Stderr).motion && !message::is_held();
        Self {
            paint,
            group: "",
            printed: Ok(()),
            bar: None,
            moves,
            changed_at: None,
            left_out: LeftOut::default(),
        }
    }

    /// Leaves out the rows of these cases.
    pub(crate) fn leave_out(&mut self, left_out: LeftOut) {
        self.left_out = left_out;
    }

    /// Removes the bar.
    ///
    /// # Errors
    /// Returns an error if stdout could not be written.
    pub(crate) fn end(self) -> Result<(), Failure> {
        stderr::clear();
        self.printed
    }

    /// Prints a text above the bar, unless stdout has failed before.
    fn put(&mut self, text: &str) {
        if self.printed.is_ok() {
            self.printed = stderr::aside(|| print(text)).map(|_| ());
        }
    }
}

impl RunObserver for LiveReport {
    fn on_outcome(&mut self, outcome: &CaseOutcome) {
        let is_left_out = match outcome.verdict {
            Verdict::Pass => self.left_out.passes.contains(outcome.case.id),
            Verdict::NotRun => self.left_out.not_run,
            _ => false,
        };
        if is_left_out {
            return;
        }
        let position = match std::mem::replace(&mut self.group, outcome.case.group()) {
            before if before == outcome.case.group() => RowPosition::WithinGroup,
            _ => RowPosition::FirstOfGroup,
        };
        self.put(&terminal::row(outcome, position, self.paint));
    }

    fn on_progress(&mut self, progress: &RunProgress) {
        let is_recent = self.changed_at.is_some_and(|at| at.elapsed() < BAR_INTERVAL);
        if !self.moves || is_recent {
            return;
        }
        self.changed_at = Some(Instant::now());
        let all = u64::try_from(progress.all).unwrap_or(u64::MAX);
        let bar = self.bar.get_or_insert_with(|| bar(all));
        bar.set_position(u64::try_from(progress.settled).unwrap_or(0));
        bar.set_message(described(progress));
    }

    fn on_remark(&mut self, remark: &str) {
        let text = terminal::remark(remark, self.paint);
        self.put(&text);
    }
}

/// Shows a bar for this number of cases.
fn bar(all: u64) -> ProgressBar {
    let bar = ProgressBar::new(all);
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len}  {wide_msg}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    stderr::show(&bar);
    bar
}

/// Returns the text beside the bar: the time that is left, and the cases that have run longest.
fn described(progress: &RunProgress) -> String {
    let mut text = format!("about {} left", seconds(progress.left));
    let mut running = progress.in_flight.clone();
    running.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
    for (place, (case, since)) in running.iter().take(NAMED).enumerate() {
        let before = if place == 0 { "; runs " } else { ", " };
        let _ = write!(text, "{before}{} ({})", case.id, seconds(*since));
    }
    if running.len() > NAMED {
        let _ = write!(text, " and {} more", running.len() - NAMED);
    }
    if progress.to_repeat > 0 {
        let _ = write!(text, "; {} to run again alone", progress.to_repeat);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;

    #[test]
    fn the_bar_names_the_cases_that_have_run_longest() {
        let since = |place: usize, seconds| (&CASES[place], Duration::from_secs(seconds));
        let progress = RunProgress {
            in_flight: vec![since(0, 1), since(1, 3), since(2, 2), since(3, 0)],
            settled: 5,
            all: 9,
            to_repeat: 2,
            left: Duration::from_millis(6500),
        };
        let (first, second) = (CASES[1].id, CASES[2].id);
        let text = described(&progress);
        assert!(text.starts_with("about 7 s left; runs "), "{text}");
        assert!(text.contains(&format!("{first} (3 s), {second} (2 s), ")), "{text}");
        assert!(text.ends_with(" and 1 more; 2 to run again alone"), "{text}");
    }
}
