//! The table of cases.

use super::{Case, Passes, Play, Severity};
use crate::grade::conduct::Rule;
use Passes::{Admits, Complete, Conduct, Ends, EndsWithZero, InOrder};
use Play::{Nobody, Original, Serve};
use Severity::{Must, Should};

const COMPLETE: &str = "Write every packet of the session, each once, with all its fields.";

/// All cases, in the order in which they are tried.
pub(crate) const CASES: &[Case] = &[
    Case {
        id: "basics/complete-stream",
        severity: Must,
        requirement: COMPLETE,
        section: "1.5",
        what: "the original's 14 packets, nothing lost",
        play: Serve("--tape classic --drop 0"),
        passes: Complete,
    },
    Case {
        id: "gaps/first-packet",
        severity: Must,
        requirement: "Take a sequence that is higher than expected for a gap, the first packet \
                      (sequence 1) included.",
        section: "1.5",
        what: "packet 1 lost",
        play: Serve("--tape classic --skip 1"),
        passes: Complete,
    },
];
