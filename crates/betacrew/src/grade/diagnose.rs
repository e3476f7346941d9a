//! Likely causes of failures, found in two steps.
//!
//! A *claim* is a pattern in the evidence of one run, found only if the whole pattern is there:
//!
//! * `framing`, `frame_size`: mistakes in how a client splits its reads into packets;
//! * `gaps`: mistakes in which missing packets it notices;
//! * `resends`: mistakes in how it requests packets and reads the answers;
//! * `content`, `decoding`: mistakes in how it decodes fields and writes its output;
//! * `kept`: mistakes that show in which of the received packets it keeps;
//! * `parts`: mistakes with a packet inside which its connection ended;
//! * `leaving`: mistakes that show in the moment at which it ends a connection;
//! * `timeouts`: time-outs of its own that are too short;
//! * `crashes`, `ending`, `exit_code`: crashes, endless waits and wrong exit codes;
//! * `rules`: breaches of the protocol's rules.
//!
//! A claim says something about the client, so it must agree with all other runs. `hypotheses`
//! withdraws each claim that another run contradicts, by the tests in `checks`, and then names for
//! each failure the cause that explains it and most of the others. `advice` says what to do about
//! each cause, and `mending` which one is worth mending first.

pub(crate) mod advice;
mod checks;
mod content;
mod crashes;
mod decoding;
mod ending;
mod exit_code;
mod frame_size;
mod framing;
mod gaps;
mod hypotheses;
mod kept;
mod leaving;
pub(crate) mod mending;
mod one_byte;
mod parts;
pub(crate) mod prompt;
mod resends;
mod rules;
#[cfg(test)]
pub(crate) mod testing;
mod timeouts;

pub(crate) use crashes::{crashed, is_error};

use super::cases::{Case, PassCondition};
use crate::grade::feeds;
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::judge::verdict::{CaseOutcome, Verdict};
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::text::formatting::count;
use hypotheses::CaseRun;

/// Likely cause of a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// Name of the cause, which never changes its meaning.
    pub(crate) id: &'static str,
    /// Explanation as a sentence without its full stop.
    pub(crate) text: String,
    /// Number of cases whose run shows the cause.
    pub(crate) shown_by: u32,
}

/// Strength of a claim.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Strength {
    /// Pattern that only this mistake leaves.
    Specific,
    /// Pattern that several mistakes leave, such as a client that waits for ever.
    General,
    /// Pattern that does not explain all of the failure, such as a wrong field in an output that
    /// also misses packets.
    Aside,
}

/// Function that returns the explanation of one cause, if the evidence has its pattern.
#[derive(Clone, Copy)]
enum CauseFinder {
    /// The run alone shows the pattern.
    Run(fn(&Evidence) -> Option<String>),
    /// The pattern depends on what the exchange of the case does.
    Case(fn(&Case, &Evidence) -> Option<String>),
}

/// Cause that can be found.
#[derive(Clone, Copy)]
struct KnownCause {
    id: &'static str,
    finder: CauseFinder,
    strength: Strength,
}

/// Claim that the failure of a run has a cause.
#[derive(Clone, Debug)]
struct Claim {
    id: &'static str,
    text: String,
    strength: Strength,
}

const fn specific(id: &'static str, finder: fn(&Evidence) -> Option<String>) -> KnownCause {
    KnownCause { id, finder: CauseFinder::Run(finder), strength: Strength::Specific }
}

const fn general(id: &'static str, finder: fn(&Evidence) -> Option<String>) -> KnownCause {
    KnownCause { strength: Strength::General, ..specific(id, finder) }
}

/// Returns a cause that depends on what the exchange of the case does.
const fn of_case(id: &'static str, finder: fn(&Case, &Evidence) -> Option<String>) -> KnownCause {
    KnownCause { id, finder: CauseFinder::Case(finder), strength: Strength::Specific }
}

/// Causes of missing, repeated or wrong packets and of missing outputs. Those that explain more
/// come first.
const PACKET_CAUSES: &[KnownCause] = &[
    specific("never-calls", crashes::never_calls),
    specific("too-large-to-ask", one_byte::too_large_to_ask),
    specific("crash-in-packet", crashes::crash_in_packet),
    specific("frame-size", frame_size::frame_size),
    specific("split-packet", framing::split),
    specific("read-size", framing::read_size),
    specific("joins-connections", parts::joins_connections),
    specific("not-json", content::not_json),
    specific("written-twice", content::written_twice),
    specific("after-stream", resends::after_stream),
    of_case("own-timeout", timeouts::in_answers),
    specific("written-early", content::written_early),
    specific("fixed-length", gaps::fixed_length),
    specific("waits-for-end", ending::waited_for_end),
    specific("rejects-valid", kept::rejects),
    specific("crash", crashes::crash),
    of_case("own-timeout", timeouts::in_stream),
    specific("little-endian", decoding::little_endian),
    specific("unsigned", decoding::unsigned),
    specific("swapped-fields", decoding::swapped),
    specific("absent-field", decoding::absent),
    specific("sequence-shifted", decoding::sequence_shifted),
    specific("wrong-bytes", decoding::wrong_bytes),
    specific("first-of-read", framing::first_of_read),
    specific("counts-answers", leaving::counts_answers),
    specific("answers-unread", resends::answers_unread),
    specific("first-answer-of-read", framing::first_answer_of_read),
    specific("sequence-cut", one_byte::cut_to_a_byte),
    specific("no-room", content::no_room),
    specific("short-stream", resends::short_stream),
    specific("tries-too-few", resends::tries_too_few),
    specific("waits-for-answer", ending::waits_for_unknown),
    specific("too-large-to-ask", one_byte::stops_at_a_byte),
    specific("never-asks", gaps::never_asks),
    specific("first-gap-unseen", gaps::first_gap),
    specific("search-starts-late", gaps::search_starts_late),
    specific("last-for-highest", gaps::last_for_highest),
    specific("last-gap-unseen", gaps::last_gap),
    specific("counts-packets", gaps::counts_packets),
    specific("off-by-one", gaps::off_by_one),
    specific("broken-kept", content::broken),
    specific("trusts-the-request", resends::trusts_the_request),
    specific("last-copy-kept", kept::last_copy),
    specific("stops-at-gap", kept::stops_at_gap),
    specific("overwrites-output", kept::overwrites),
    specific("last-packet-unread", kept::last_unread),
    specific("streams-instead", resends::streams_instead),
    specific("leaves-at-broken", leaving::at_a_broken_frame),
    general("not-asked-again", resends::not_asked_again),
    specific("duplicates-kept", content::duplicates),
    specific("tail-unseen", resends::tail),
    general("never-asks", gaps::asks_nothing),
    general("leaves-stream", leaving::in_the_middle),
    general("short-stream", leaving::closed_in_silence),
    general("joins-connections", parts::stops_behind_a_part),
    general("spins", ending::spins),
    general("hangs-complete", ending::hangs_complete),
    general("asks-for-ever", ending::asks_for_ever),
    general("waits-for-answer", ending::waits_for_answer),
    general("waits-for-end", ending::waits_for_end),
    general("waits-for-stream", ending::waits_for_stream),
    general("short-stream", resends::streams_on),
    general("never-writes", ending::no_output),
    general("gives-up", ending::gives_up),
    general("connects-over-and-over", rules::storm),
    general("seems-early", content::seems_early),
    general("rest-unread", kept::rest_unread),
    general("garbled-field", decoding::garbled),
    general("too-slow", ending::too_slow),
    general("reports-error", crashes::reports_error),
    general("all-or-nothing", ending::all_or_nothing),
];

/// Causes of failures in which the output has every packet: wrong order, or no proper end.
const END_CAUSES: &[KnownCause] = &[
    specific("arrival-order", content::arrival_order),
    specific("crash", crashes::crash),
    specific("waits-for-end", ending::waits_for_end),
    general("lingers", ending::lingers),
    general("reports-error", crashes::reports_error),
];

/// Causes of failures in which the client should have reported an incomplete recording.
const EXIT_CODE_CAUSES: &[KnownCause] = &[
    specific("never-calls", crashes::never_calls),
    specific("asks-for-ever", ending::asks_for_ever),
    specific("waits-for-answer", ending::waits_for_ever),
    specific("waits-for-end", ending::waits_for_end),
    specific("waits-for-stream", ending::waits_for_stream),
    specific("trusts-the-request", resends::trusts_the_request),
    general("spins", ending::spins),
    general("connects-over-and-over", rules::storm),
    general("lingers", ending::lingers),
    specific("always-zero", exit_code::always_zero),
];

/// Returns the claims about the failure of a run; those that explain more come first.
fn claims(case: Option<&Case>, passes: PassCondition, evidence: &Evidence) -> Vec<Claim> {
    let known = match passes {
        PassCondition::FollowsRule(rule) => return rules::claims(rule, case, evidence),
        PassCondition::Original => return rules::claims(ProtocolRule::Kills, case, evidence),
        PassCondition::ReportsFailure => EXIT_CODE_CAUSES,
        _ if evidence.has_output() && evidence.differences.is_complete() => END_CAUSES,
        _ => PACKET_CAUSES,
    };
    claims_of(known, case, evidence)
}

/// Returns the claims that these causes make about a run, each cause once.
fn claims_of(known: &[KnownCause], case: Option<&Case>, evidence: &Evidence) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for KnownCause { id, finder, strength } in known.iter().copied() {
        if claims.iter().any(|claim| claim.id == id) {
            continue;
        }
        let text = match finder {
            CauseFinder::Run(finder) => finder(evidence),
            CauseFinder::Case(finder) => case.and_then(|case| finder(case, evidence)),
        };
        let strength = match explains_missing(id) || !misses_packets(evidence) {
            true => strength,
            false => Strength::Aside,
        };
        claims.extend(text.map(|text| Claim { id, text, strength }));
    }
    claims.sort_by_key(|claim| claim.strength);
    claims
}

/// Causes of wrong fields, which do not explain that packets are missing.
const FIELD_CAUSES: [&str; 7] = [
    "little-endian",
    "unsigned",
    "swapped-fields",
    "absent-field",
    "wrong-bytes",
    "garbled-field",
    "last-copy-kept",
];

/// Returns whether a cause can explain that packets are missing.
fn explains_missing(id: &str) -> bool {
    id != "duplicates-kept" && !FIELD_CAUSES.contains(&id)
}

/// Returns whether the output misses packets, and not because their sequences are wrong.
fn misses_packets(evidence: &Evidence) -> bool {
    !evidence.differences.missing.is_empty() && evidence.differences.made_up.is_empty()
}

/// Finds the likely causes of all failures, each by its own run and all others, and stores them in
/// the outcomes.
pub(crate) fn explain(outcomes: &mut [CaseOutcome]) {
    let causes = hypotheses::settle(&outcomes.iter().filter_map(run_of).collect::<Vec<CaseRun>>());
    let was_run = outcomes.iter_mut().filter(|outcome| run_of(outcome).is_some());
    for (outcome, cause) in was_run.zip(causes) {
        let shown = outcome.shown.as_mut();
        if let Some(failure) = shown.and_then(|shown| shown.judged.failure.as_mut()) {
            failure.cause = cause;
        }
    }
    count_cases(outcomes);
}

/// Counts the failures that show each cause of a client of another protocol.
fn count_cases(outcomes: &mut [CaseOutcome]) {
    let key = |outcome: &CaseOutcome| outcome.cause().map(|cause| (cause.id, cause.text.clone()));
    let causes: Vec<_> = outcomes.iter().filter_map(key).collect();
    for outcome in outcomes.iter_mut() {
        let shown = outcome.shown.as_mut().filter(|shown| shown.evidence.feed.is_some());
        let failure = shown.and_then(|shown| shown.judged.failure.as_mut());
        if let Some(cause) = failure.and_then(|failure| failure.cause.as_mut()) {
            // All crashes have one id, but only those with the same message have the same cause.
            let same = |(id, text): &&(&str, String)| {
                *id == cause.id && (*id != "crash" || *text == cause.text)
            };
            cause.shown_by = u32::try_from(causes.iter().filter(same).count()).unwrap_or(u32::MAX);
        }
    }
}

/// Returns the run of a case that the reports show, if the case was run and judged in the
/// exercise's protocol.
fn run_of(outcome: &CaseOutcome) -> Option<CaseRun<'_>> {
    let was_judged = !matches!(outcome.verdict, Verdict::NotRun | Verdict::NotJudged);
    let shown = outcome.shown.as_ref().filter(|_| was_judged)?;
    if shown.evidence.feed.is_some() {
        return None;
    }
    Some(CaseRun {
        case: Some(outcome.case),
        passes: outcome.case.passes,
        evidence: &shown.evidence,
        failed: shown.judged.failure.is_some(),
    })
}

/// Returns what was observed in a run whose failure has no known cause, as a sentence without its
/// full stop.
pub(crate) fn unexplained(evidence: &Evidence) -> String {
    if let Some(feed) = &evidence.feed {
        return feeds::unexplained::unexplained(evidence, feed);
    }
    let packets = |number: usize| count(u64::try_from(number).unwrap_or(u64::MAX), "packet");
    let output = match &evidence.output {
        ClientOutput::Found { .. } => {
            format!("the output has {}", packets(evidence.differences.rows))
        }
        ClientOutput::Unclear { name, .. } | ClientOutput::Foreign { name, .. } => {
            format!("{name} cannot be read")
        }
        ClientOutput::None => "there is no output".to_owned(),
    };
    format!(
        "no cause found: of {}, {} arrived in streams and {} in answers, {} requested, and \
         {output}",
        packets(evidence.tape.len()),
        evidence.streamed().len(),
        evidence.resent().len(),
        match evidence.requested().len() {
            1 => "1 was".to_owned(),
            number => format!("{number} were"),
        }
    )
}

/// Returns the names of all causes.
#[cfg(test)]
pub(crate) fn ids() -> std::collections::BTreeSet<&'static str> {
    let lists = [PACKET_CAUSES, END_CAUSES, EXIT_CODE_CAUSES];
    lists.concat().iter().map(|known| known.id).chain(rules::ids()).collect()
}

#[cfg(test)]
mod tests {
    use super::testing::classic_run;
    use super::*;

    #[test]
    fn what_was_observed_is_said_if_no_cause_is_known() {
        let text = unexplained(&classic_run().stream((1..=4).chain(6..=14)).fill([5]).evidence());
        let parts = ["of 14 packets, 13 arrived in streams and 1 in answers", "1 was requested"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let text = unexplained(&classic_run().stream(1..=14).write(1..=3).evidence());
        assert!(text.ends_with("0 were requested, and the output has 3 packets"), "{text}");
    }
}
