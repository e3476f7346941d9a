//! Changes since an earlier run: cases that got better, and cases that got worse.

use super::layout::{Emphasis, Paint};
use super::{ids, severities};
use crate::grade::baseline::Comparison;
use std::fmt::Write;

/// Column at which the cases begin.
const CASES_AT: usize = 10;

/// Writes the changes.
pub(super) fn changes(text: &mut String, changes: &Comparison<'_>, paint: Paint) {
    let since = format!("since {}", changes.since);
    if changes.better.is_empty() && changes.worse.is_empty() {
        let _ = writeln!(text, "\n{} no case got better or worse", paint.bold(&(since + ":")));
    } else {
        let _ = writeln!(text, "\n{}", paint.bold(&since));
    }
    let better = ("better", paint.good("better"), &changes.better);
    let worse = ("worse", paint.bad("worse"), &changes.worse);
    for (word, painted, outcomes) in [better, worse] {
        if !outcomes.is_empty() {
            let spaces = CASES_AT - 2 - word.len();
            let _ = write!(text, "  {painted}{:spaces$}", "");
            let told = format!("{}: {}", severities(outcomes), ids(outcomes));
            paint.block(text, CASES_AT, &told, Emphasis::None);
        }
    }
    for remark in &changes.remarks {
        text.push_str("  ");
        paint.block(text, 2, &format!("note: {remark}"), Emphasis::Weak);
    }
}
