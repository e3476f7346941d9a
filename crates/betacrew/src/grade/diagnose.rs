//! Likely causes: each a pattern in what was seen, claimed only where it is all there.
//!
//! * `framing`: how reads became packets;
//! * `asking`: how gaps became resend calls, and answers packets;
//! * `content`: how bytes became fields, and packets an output;
//! * `ending`: how the client ended, or did not.

mod asking;
mod content;
mod ending;
mod framing;
#[cfg(test)]
mod testing;

use super::cases::Passes;
use super::evidence::Evidence;

/// A likely cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cause {
    /// A name that stays.
    pub(super) id: &'static str,
    pub(super) text: String,
}

/// Looks for one cause.
type Finder = fn(&Evidence) -> Option<String>;

/// What is known, in the order in which it is looked for: what explains more comes first.
const KNOWN: &[(&str, Finder)] = &[
    ("not-json", content::not_json),
    ("crash", ending::crash),
    ("after-stream", asking::after_stream),
    ("little-endian", content::little_endian),
    ("unsigned", content::unsigned),
    ("swapped-fields", content::swapped),
    ("absent-field", content::absent),
    ("split-packet", framing::split),
    ("first-of-read", framing::first_of_read),
    ("first-answer-of-read", framing::first_answer_of_read),
    ("sequence-cut", asking::cut_to_a_byte),
    ("fixed-length", asking::fixed_length),
    ("never-asks", asking::never_asks),
    ("first-gap-unseen", asking::first_gap),
    ("last-gap-unseen", asking::last_gap),
    ("counts-packets", asking::counts_packets),
    ("off-by-one", asking::off_by_one),
    ("written-early", content::written_early),
    ("answers-unread", asking::answers_unread),
    ("trusts-the-request", asking::trusts_the_request),
    ("not-asked-again", asking::not_asked_again),
    ("duplicates-kept", content::duplicates),
    ("broken-kept", content::broken),
    ("arrival-order", content::arrival_order),
    ("short-stream", asking::short_stream),
    ("tail-unseen", asking::tail),
    ("hangs-complete", ending::hangs_complete),
    ("waits-for-answer", ending::waits_for_answer),
    ("waits-for-end", ending::waits_for_end),
    ("waits-for-stream", ending::waits_for_stream),
    ("lingers", ending::lingers),
    ("gives-up", ending::gives_up),
    ("always-zero", ending::always_zero),
];

/// The cause of what is not as it should be in a run, if it is a known one. Conduct is its own
/// cause.
pub(super) fn cause(seen: &Evidence, passes: Passes) -> Option<Cause> {
    if matches!(passes, Passes::Conduct(_)) {
        return None;
    }
    KNOWN.iter().find_map(|(id, finder)| finder(seen).map(|text| Cause { id, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_name_of_its_own() {
        let mut ids: Vec<&str> = KNOWN.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
