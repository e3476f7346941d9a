//! Graded protocols besides the exercise's: messages over SoupBinTCP and MoldUDP64.
//!
//! A protocol has a folder of its own: `cases` is its table, `conversation` or `log` has what both
//! sides sent, `rules` are what its specification asks of a client, `causes` names likely causes,
//! and `timeline` describes the wire. All protocols share how messages are read from a client's
//! output (`output`), compared with the tape (`compare`) and judged (`judge`).
//! An output of no known form is searched for messages (`traces`). `advice` says what to do about
//! each cause.

pub(crate) mod advice;
pub(crate) mod compare;
pub(crate) mod conditions;
pub(crate) mod evidence;
pub(crate) mod judge;
pub(crate) mod mold;
pub(crate) mod output;
pub(crate) mod protocol;
#[cfg(test)]
pub(crate) mod run_builder;
pub(crate) mod soup;
pub(crate) mod tape;
#[cfg(test)]
pub(crate) mod testing;
mod traces;
pub(crate) mod unexplained;

use crate::grade::observe::wire::WireLog;
use crate::grade::report::timeline::TimelineLine;

/// Returns the timeline of a log in another protocol than the exercise's; `None` in the exercise's.
pub(crate) fn timeline(log: &WireLog) -> Option<Vec<TimelineLine>> {
    if let Some(mold) = &log.mold {
        return Some(mold::timeline::timeline(mold));
    }
    let is_soup = log.conns.iter().any(|conn| conn.soup.is_some());
    is_soup.then(|| soup::timeline::timeline(log))
}
