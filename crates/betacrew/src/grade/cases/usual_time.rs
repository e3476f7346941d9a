//! Time that a client without a fault usually takes for each case.
//!
//! The times only decide which case starts first and what the grader says about its duration, so
//! that they need not be exact.

use super::Case;
use std::time::Duration;

/// Usual time in milliseconds of a case that is not in [`LONGER`].
const SHORT: u64 = 800;

/// Cases that usually take longer than a second, with their usual time in milliseconds.
const LONGER: &[(&str, u64)] = &[
    ("basics/long-session", 3000),
    ("gaps/many", 2400),
    ("framing/half-packet", 2400),
    ("framing/byte-by-byte", 1400),
    ("recovery/late-answers", 3000),
    ("recovery/unanswered-once", 1400),
    ("recovery/broken-answer", 1400),
    ("recovery/other-packet", 1300),
    ("robustness/stall", 2900),
    ("robustness/slow", 3900),
    ("robustness/slow-start", 3600),
    ("robustness/late-end", 6900),
    ("robustness/silent", 2600),
    ("robustness/deaf", 2900),
    ("robustness/restart", 1900),
    ("termination/silent", 2600),
    ("termination/never-resent", 3200),
    ("termination/exchange-dies", 4100),
    ("termination/no-exchange", 4000),
    ("conduct/made-up", 3200),
    ("conduct/storm", 3200),
];

/// Cases in which one packet never comes, so that no output is complete.
const INCOMPLETE: [&str; 2] = ["conduct/made-up", "conduct/storm"];

/// Cases in which naive clients read a packet from the wrong byte on. Many then compute up to a
/// sequence of billions, until the time limit.
const MISREAD: [&str; 3] = ["framing/odd-pieces", "framing/half-packet", "framing/byte-by-byte"];

/// Time for which clients linger, or compute, if they do.
const LINGERING: Duration = Duration::from_secs(10);

impl Case {
    /// Returns the time that decides how early the case starts: the usual time, and more if a
    /// client that lingers is not ended, because no output can be complete or the case is about
    /// the end, or if clients often compute until the limit.
    pub(crate) fn start_priority(&self) -> Duration {
        let is_waited_for =
            self.is_about_the_end() || INCOMPLETE.contains(&self.id) || MISREAD.contains(&self.id);
        let lingering = if is_waited_for { LINGERING } else { Duration::ZERO };
        self.usual_time() + lingering
    }

    /// Returns the time that a client without a fault usually takes.
    pub(crate) fn usual_time(&self) -> Duration {
        let of_feeds = self.exchange_setup.and_then(|setup| setup.protocol.usual_times());
        let known = of_feeds.unwrap_or(LONGER).iter().find(|(id, _)| *id == self.id);
        Duration::from_millis(known.map_or(SHORT, |(_, time)| *time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;

    #[test]
    fn only_cases_of_the_table_have_a_usual_time() {
        for (id, time) in LONGER {
            assert!(CASES.iter().any(|case| case.id == *id), "{id}");
            assert!(*time > SHORT, "{id}");
        }
        for id in MISREAD {
            let misread = CASES.iter().find(|case| case.id == id).unwrap();
            assert!(misread.start_priority() > LINGERING, "{id}");
        }
        for id in INCOMPLETE {
            let case = CASES.iter().find(|case| case.id == id).unwrap();
            let scenario = case.exchange_setup.map(|setup| setup.scenario);
            assert_eq!(scenario, Some("never-resent"), "{id}");
        }
    }
}
