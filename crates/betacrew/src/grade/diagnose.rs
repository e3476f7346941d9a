//! Likely causes of a failure. Each is a pattern in the evidence, and is named only if the whole
//! pattern is there.
//!
//! * `framing`: mistakes in how a client splits its reads into packets;
//! * `resends`: mistakes in how it detects gaps, requests packets and reads the answers;
//! * `content`: mistakes in how it decodes fields and writes its output;
//! * `ending`: crashes, endless waits and wrong exit codes;
//! * `advice`: what to do about each cause; `mending`: which cause is worth mending first.

pub(crate) mod advice;
mod content;
mod ending;
mod framing;
pub(crate) mod mending;
pub(crate) mod prompt;
mod resends;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use ending::{crashed, is_error};

use super::cases::PassCondition;
use crate::grade::observe::evidence::Evidence;

/// Likely cause of a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// Name of the cause, which never changes its meaning.
    pub(crate) id: &'static str,
    /// Explanation as a sentence without its full stop.
    pub(crate) text: String,
}

/// Function that returns the explanation of one cause, if the evidence has its pattern.
type CauseFinder = fn(&Evidence) -> Option<String>;

/// Causes of missing, repeated or wrong packets and of missing outputs. The first that matches is
/// named, so causes that explain more come first.
const PACKET_CAUSES: &[(&str, CauseFinder)] = &[
    ("crash-in-packet", ending::crash_in_packet),
    ("split-packet", framing::split),
    ("read-size", framing::read_size),
    ("not-json", content::not_json),
    ("after-stream", resends::after_stream),
    ("written-early", content::written_early),
    ("too-large-to-ask", resends::too_large_to_ask),
    ("fixed-length", resends::fixed_length),
    ("waits-for-end", ending::waited_for_end),
    ("crash", ending::crash),
    ("little-endian", content::little_endian),
    ("unsigned", content::unsigned),
    ("swapped-fields", content::swapped),
    ("absent-field", content::absent),
    ("first-of-read", framing::first_of_read),
    ("answers-unread", resends::answers_unread),
    ("first-answer-of-read", framing::first_answer_of_read),
    ("sequence-cut", resends::cut_to_a_byte),
    ("no-room", content::no_room),
    ("short-stream", resends::short_stream),
    ("never-asks", resends::never_asks),
    ("first-gap-unseen", resends::first_gap),
    ("last-for-highest", resends::last_for_highest),
    ("last-gap-unseen", resends::last_gap),
    ("counts-packets", resends::counts_packets),
    ("off-by-one", resends::off_by_one),
    ("broken-kept", content::broken),
    ("trusts-the-request", resends::trusts_the_request),
    ("not-asked-again", resends::not_asked_again),
    ("duplicates-kept", content::duplicates),
    ("tail-unseen", resends::tail),
    ("spins", ending::spins),
    ("hangs-complete", ending::hangs_complete),
    ("waits-for-answer", ending::waits_for_answer),
    ("waits-for-end", ending::waits_for_end),
    ("waits-for-stream", ending::waits_for_stream),
    ("gives-up", ending::gives_up),
    ("seems-early", content::seems_early),
    ("too-slow", ending::too_slow),
];

/// Causes of failures in which the output has every packet: wrong order, or no proper end.
const END_CAUSES: &[(&str, CauseFinder)] = &[
    ("arrival-order", content::arrival_order),
    ("crash", ending::crash),
    ("waits-for-end", ending::waits_for_end),
    ("lingers", ending::lingers),
];

/// Causes of failures in which the client should have reported an incomplete recording.
const EXIT_CODE_CAUSES: &[(&str, CauseFinder)] = &[
    ("waits-for-answer", ending::waits_for_answer),
    ("waits-for-end", ending::waits_for_end),
    ("waits-for-stream", ending::waits_for_stream),
    ("trusts-the-request", resends::trusts_the_request),
    ("always-zero", ending::always_zero),
];

/// Returns the likely cause of a run's failure. A broken protocol rule has none, because the rule
/// itself is the explanation.
pub(crate) fn cause(evidence: &Evidence, passes: PassCondition) -> Option<Cause> {
    let known = match passes {
        PassCondition::FollowsRule(_) => return None,
        PassCondition::ReportsFailure => EXIT_CODE_CAUSES,
        _ if evidence.has_output() && evidence.differences.is_complete() => END_CAUSES,
        _ => PACKET_CAUSES,
    };
    known.iter().find_map(|(id, finder)| finder(evidence).map(|text| Cause { id, text }))
}

/// Returns the names of all causes.
#[cfg(test)]
pub(crate) fn ids() -> std::collections::BTreeSet<&'static str> {
    [PACKET_CAUSES, END_CAUSES, EXIT_CODE_CAUSES].concat().iter().map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_has_a_cause_twice() {
        for known in [PACKET_CAUSES, END_CAUSES, EXIT_CODE_CAUSES] {
            let mut ids: Vec<&str> = known.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            // Two finders share this name, because clients wait for an end in two ways.
            ids.dedup_by(|one, other| one == other && *one == "waits-for-end");
            assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
