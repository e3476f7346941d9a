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

pub(crate) use ending::is_error;

use super::cases::Passes;
use crate::grade::observe::evidence::Evidence;

/// A likely cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// A name that stays.
    pub(crate) id: &'static str,
    pub(crate) text: String,
}

/// Looks for one cause.
type CauseFinder = fn(&Evidence) -> Option<String>;

/// Why packets are missing, doubled, wrong or in no output, in the order in which it is looked for:
/// what explains more comes first.
const OF_PACKETS: &[(&str, CauseFinder)] = &[
    ("crash-in-packet", ending::crash_in_packet),
    ("split-packet", framing::split),
    ("read-size", framing::read_size),
    ("not-json", content::not_json),
    ("after-stream", asking::after_stream),
    ("written-early", content::written_early),
    ("too-large-to-ask", asking::too_large_to_ask),
    ("fixed-length", asking::fixed_length),
    ("waits-for-end", ending::waited_for_end),
    ("crash", ending::crash),
    ("little-endian", content::little_endian),
    ("unsigned", content::unsigned),
    ("swapped-fields", content::swapped),
    ("absent-field", content::absent),
    ("first-of-read", framing::first_of_read),
    ("answers-unread", asking::answers_unread),
    ("first-answer-of-read", framing::first_answer_of_read),
    ("sequence-cut", asking::cut_to_a_byte),
    ("no-room", content::no_room),
    ("short-stream", asking::short_stream),
    ("never-asks", asking::never_asks),
    ("first-gap-unseen", asking::first_gap),
    ("last-for-highest", asking::last_for_highest),
    ("last-gap-unseen", asking::last_gap),
    ("counts-packets", asking::counts_packets),
    ("off-by-one", asking::off_by_one),
    ("broken-kept", content::broken),
    ("trusts-the-request", asking::trusts_the_request),
    ("not-asked-again", asking::not_asked_again),
    ("duplicates-kept", content::duplicates),
    ("tail-unseen", asking::tail),
    ("spins", ending::spins),
    ("hangs-complete", ending::hangs_complete),
    ("waits-for-answer", ending::waits_for_answer),
    ("waits-for-end", ending::waits_for_end),
    ("waits-for-stream", ending::waits_for_stream),
    ("gives-up", ending::gives_up),
    ("seems-early", content::seems_early),
    ("too-slow", ending::too_slow),
];

/// Why a client whose packets are all there did not end as it should, or wrote them in no order.
const OF_THE_REST: &[(&str, CauseFinder)] = &[
    ("arrival-order", content::arrival_order),
    ("crash", ending::crash),
    ("waits-for-end", ending::waits_for_end),
    ("lingers", ending::lingers),
];

/// Why a client did not say that it could not get everything.
const OF_SILENCE: &[(&str, CauseFinder)] = &[
    ("waits-for-answer", ending::waits_for_answer),
    ("waits-for-end", ending::waits_for_end),
    ("waits-for-stream", ending::waits_for_stream),
    ("trusts-the-request", asking::trusts_the_request),
    ("always-zero", ending::always_zero),
];

/// The cause of what is not as it should be in a run, if it is a known one. Conduct is its own
/// cause.
pub(crate) fn cause(seen: &Evidence, passes: Passes) -> Option<Cause> {
    let known = match passes {
        Passes::Conduct(_) => return None,
        Passes::Admits => OF_SILENCE,
        _ if seen.has_output() && seen.differences.complete() => OF_THE_REST,
        _ => OF_PACKETS,
    };
    known.iter().find_map(|(id, finder)| finder(seen).map(|text| Cause { id, text }))
}

/// The names of all causes.
#[cfg(test)]
pub(crate) fn ids() -> std::collections::BTreeSet<&'static str> {
    [OF_PACKETS, OF_THE_REST, OF_SILENCE].concat().iter().map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_name_of_its_own() {
        for known in [OF_PACKETS, OF_THE_REST, OF_SILENCE] {
            let mut ids: Vec<&str> = known.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            // Clients wait in two ways.
            ids.dedup_by(|one, other| one == other && *one == "waits-for-end");
            assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
