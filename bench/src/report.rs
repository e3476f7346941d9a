//! The table: what was measured, beside what it should be.

use crate::measure::{By, Series};
use std::fmt::Write;
use std::time::Duration;

/// Target of a figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Want {
    AtLeast(f64),
    AtMost(f64),
    /// No target; the figure is only shown.
    Shown,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The target's number.
    pub(crate) number: u32,
    pub(crate) work: String,
    pub(crate) against: String,
    /// Quantity that is compared.
    pub(crate) by: &'static str,
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) got: f64,
    pub(crate) unit: &'static str,
    pub(crate) want: Want,
}

impl Row {
    /// Returns the row of how many times faster `ours` is than `theirs`.
    pub(crate) fn faster(
        (number, work, against): (u32, &str, &str),
        by: By,
        (ours, theirs): (&Series, &Series),
        want: Want,
    ) -> Self {
        Self {
            number,
            work: work.to_owned(),
            against: against.to_owned(),
            by: by.name(),
            ours: time(ours.median(by)),
            theirs: time(theirs.median(by)),
            got: ours.faster_than(theirs, by),
            unit: "x",
            want,
        }
    }

    pub(crate) fn met(&self) -> Option<bool> {
        match self.want {
            Want::AtLeast(bound) => Some(self.got >= bound),
            Want::AtMost(bound) => Some(self.got <= bound),
            Want::Shown => None,
        }
    }

    /// Returns the margin over the target; below 1 the target is missed.
    pub(crate) fn margin(&self) -> Option<f64> {
        match self.want {
            Want::AtLeast(bound) => Some(self.got / bound),
            // Nothing is as good as nothing, and anything is infinitely worse.
            Want::AtMost(0.0) => Some(if self.got > 0.0 { 0.0 } else { 1.0 }),
            Want::AtMost(bound) => Some(bound / self.got.max(bound / 1e3)),
            Want::Shown => None,
        }
    }

    pub(crate) fn figure(&self) -> String {
        with_unit(self.got, self.unit)
    }

    fn wanted(&self) -> String {
        match self.want {
            Want::AtLeast(bound) => format!("≥ {}", with_unit(bound, self.unit)),
            Want::AtMost(bound) => format!("≤ {}", with_unit(bound, self.unit)),
            Want::Shown => String::new(),
        }
    }

    /// Returns the line that is shown while the benchmark runs.
    pub(crate) fn line(&self) -> String {
        let met = self.met().map_or("      ", |met| if met { "met   " } else { "MISSED" });
        format!(
            "{:3}  {met} {:>10}  {:>10}  {} / {}, {} ({} / {})",
            self.number,
            self.figure(),
            self.wanted(),
            self.work,
            self.against,
            self.by,
            self.ours,
            self.theirs
        )
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    // `40`, not `40.0`: what is wanted is a round number.
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    match unit {
        "x" => text.to_owned(),
        unit => format!("{text} {unit}"),
    }
}

/// `12.3 ms`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        ..1e-3 => (seconds * 1e6, "µs"),
        ..1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// `1,048,576`; in words where that is a power of ten.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The whole table as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| # | work | against | by | ours | theirs | figure | target | |\n\
         |--:|---|---|---|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        let met = row.met().map_or("", |met| if met { "met" } else { "**missed**" });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | **{}** | {} | {met} |",
            row.number,
            row.work,
            row.against,
            row.by,
            row.ours,
            row.theirs,
            row.figure(),
            row.wanted(),
        );
    }
    text
}
