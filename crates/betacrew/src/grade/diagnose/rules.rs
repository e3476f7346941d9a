//! Causes of breaches of the protocol's rules: the mistake that makes a client break the rule, or
//! else the breach itself.

use super::{
    Claim, END_CAUSES, FIELD_CAUSES, KnownCause, PACKET_CAUSES, Strength, claims_of, crashes,
    framing, gaps, general, hypotheses, resends, specific,
};
use crate::grade::cases::Case;
use crate::grade::judge::protocol_rules::{self, ProtocolRule};
use crate::grade::observe::evidence::{Evidence, packets};
use feed::base::seq::Seq;
use std::collections::BTreeSet;

/// Causes of requests for sequences that the session does not have.
const BEYOND_END: &[KnownCause] = &[
    specific("split-packet", framing::split),
    specific("fixed-length", gaps::fixed_length),
    general("asks-beyond-end", asks_beyond_end),
];

/// Causes of requests for packets that had already arrived.
const NOT_MISSING: &[KnownCause] = &[
    specific("first-of-read", framing::first_of_read),
    specific("off-by-one", gaps::off_by_one),
    general("asks-for-received", asks_for_received),
];

/// Causes of calls that have another length than two bytes.
const CALL_LENGTH: &[KnownCause] =
    &[general("long-call", long_call), general("half-call", half_call)];

/// Causes of connections that the client resets.
const RESETS: &[KnownCause] = &[
    specific("answers-unread", resends::answers_unread),
    general("resets-connections", resets_connections),
];

/// Returns the claims about a breach of a rule; those that explain more come first.
pub(super) fn claims(rule: ProtocolRule, case: Option<&Case>, evidence: &Evidence) -> Vec<Claim> {
    let one = |known: KnownCause| claims_of(&[known], case, evidence);
    let silent = one(specific("never-calls", crashes::never_calls));
    if !silent.is_empty() {
        return silent;
    }
    match rule {
        ProtocolRule::BeyondEnd => claims_of(BEYOND_END, case, evidence),
        ProtocolRule::NotMissing => claims_of(NOT_MISSING, case, evidence),
        ProtocolRule::Resets => claims_of(RESETS, case, evidence),
        ProtocolRule::CallLength => claims_of(CALL_LENGTH, case, evidence),
        ProtocolRule::AfterStream => one(general("after-stream", after_stream)),
        ProtocolRule::Twice => one(general("asks-again", asks_again)),
        ProtocolRule::ConnectionEach => one(general("connection-each", connection_each)),
        ProtocolRule::Storm => one(general("connects-over-and-over", storm)),
        ProtocolRule::MakesUp => made_up_claims(case, evidence),
        ProtocolRule::Kills => {
            let breaches = [general("after-stream", after_stream)];
            let mut found = claims_of(&breaches, case, evidence);
            found.extend(claims_of(BEYOND_END, case, evidence));
            let died_of_call = evidence.wire.exchange_died && !found.is_empty();
            found.extend(claims_of(RESETS, case, evidence));
            let mut lengths = claims_of(CALL_LENGTH, case, evidence);
            // The original never answers half a call.
            if evidence.streamed().is_empty() {
                lengths.iter_mut().for_each(|claim| claim.strength = Strength::Specific);
            }
            found.extend(lengths);
            // What else is wrong with the packets did not kill the exchange.
            let explains = |claim: &Claim| !died_of_call || hypotheses::is_root(claim);
            found.extend(packet_claims(case, evidence).into_iter().filter(explains));
            found
        }
    }
}

/// Causes of packets in the output that were not sent so.
const MAKES_UP: [&str; 8] = [
    "frame-size",
    "split-packet",
    "read-size",
    "sequence-shifted",
    "broken-kept",
    "trusts-the-request",
    "crash-in-packet",
    "overwrites-output",
];

/// Returns the claims about packets in the output that were not sent so.
fn made_up_claims(case: Option<&Case>, evidence: &Evidence) -> Vec<Claim> {
    let mut claims = packet_claims(case, evidence);
    claims.retain(|claim| MAKES_UP.contains(&claim.id) || FIELD_CAUSES.contains(&claim.id));
    claims
}

/// Returns the claims about the packets of the output.
fn packet_claims(case: Option<&Case>, evidence: &Evidence) -> Vec<Claim> {
    match evidence.has_output() && evidence.differences.is_complete() {
        true => claims_of(END_CAUSES, case, evidence),
        false => claims_of(PACKET_CAUSES, case, evidence),
    }
}

/// Returns the sequences beyond the session's end that the client requested.
fn beyond(evidence: &Evidence) -> BTreeSet<Seq> {
    let known = 1..=evidence.last();
    evidence.requested().iter().copied().filter(|seq| !known.contains(seq)).collect()
}

fn asks_beyond_end(evidence: &Evidence) -> Option<String> {
    let beyond = beyond(evidence);
    let (first, last) = (*beyond.first()?, evidence.last());
    Some(match first {
        0 => format!(
            "the client requested {}: sequences begin at 1, and the original exchange crashes",
            packets(beyond)
        ),
        _ if beyond.len() == 1 && first == last + 1 => format!(
            "the client requested packet {first}, one beyond the last one: its search for gaps \
             ends one too late"
        ),
        _ => format!("the client requested {}, and the last one is {last}", packets(beyond)),
    })
}

/// Returns a sentence about a breach of a rule, with the client as its subject.
fn breach(rule: ProtocolRule, evidence: &Evidence) -> Option<String> {
    rule.broken(evidence).map(with_client)
}

/// Puts the client in the place of the pronoun at the beginning of a sentence.
fn with_client(broken: String) -> String {
    match broken.split_once(' ') {
        Some(("it", rest)) => format!("the client {rest}"),
        Some(("its", rest)) => format!("the client's {rest}"),
        _ => broken,
    }
}

fn half_call(evidence: &Evidence) -> Option<String> {
    protocol_rules::half_call(evidence).map(with_client)
}

fn long_call(evidence: &Evidence) -> Option<String> {
    protocol_rules::long_call(evidence).map(with_client)
}

fn after_stream(evidence: &Evidence) -> Option<String> {
    let text = breach(ProtocolRule::AfterStream, evidence)?;
    Some(format!("{text}: resend calls need a connection of their own"))
}

fn asks_again(evidence: &Evidence) -> Option<String> {
    breach(ProtocolRule::Twice, evidence)
}

fn asks_for_received(evidence: &Evidence) -> Option<String> {
    breach(ProtocolRule::NotMissing, evidence)
}

fn resets_connections(evidence: &Evidence) -> Option<String> {
    let text = breach(ProtocolRule::Resets, evidence)?;
    Some(format!("{text}: read to the end before you close"))
}

fn connection_each(evidence: &Evidence) -> Option<String> {
    let text = breach(ProtocolRule::ConnectionEach, evidence)?;
    Some(format!("{text}: one connection takes all requests"))
}

pub(super) fn storm(evidence: &Evidence) -> Option<String> {
    breach(ProtocolRule::Storm, evidence)
}

/// Returns whether the client requested packets in a run and none beyond the end, where it seemed
/// in another run that it always requests one beyond the end.
pub(super) fn stays_within(claimed: &Evidence, other: &Evidence) -> bool {
    let one_more = beyond(claimed) == BTreeSet::from([claimed.last() + 1]);
    let saw_last = other.highest() == other.last();
    one_more && saw_last && !other.requested().is_empty() && beyond(other).is_empty()
}

/// Returns the names of the causes that only breaches of rules have.
#[cfg(test)]
pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    let lists = [BEYOND_END, NOT_MISSING, RESETS, CALL_LENGTH].concat();
    let alone = ["asks-again", "connection-each", "connects-over-and-over"];
    let is_general = |known: &KnownCause| known.strength == Strength::General;
    lists.into_iter().filter(is_general).map(|known| known.id).chain(alone)
}

#[cfg(test)]
mod tests {
    use super::super::super::cases::PassCondition;
    use super::super::testing::{RunBuilder, classic_run, run_on};
    use super::*;
    use crate::grade::run::process::ProcessEnd;
    use feed::tape::in_memory::Tape;

    fn cause_of(rule: ProtocolRule, run: RunBuilder) -> (&'static str, String) {
        run.cause_for(PassCondition::FollowsRule(rule))
    }

    #[test]
    fn breaches_of_rules_have_causes() {
        let rest = || (1..=14).filter(|seq| ![2, 4, 6].contains(seq));
        let each = classic_run().stream(rest()).fill([2]).fill([4]).fill([6]);
        let (id, text) = cause_of(ProtocolRule::ConnectionEach, each.write(1..=14));
        assert_eq!(id, "connection-each");
        assert!(text.starts_with("the client made 3 connections to request 3"), "{text}");
        let again = classic_run().stream(rest()).fill([2, 4, 6]).fill([2]).write(1..=14);
        assert_eq!(cause_of(ProtocolRule::Twice, again).0, "asks-again");
        let received = classic_run().stream(rest()).fill([1]).write(1..=14);
        assert_eq!(cause_of(ProtocolRule::NotMissing, received).0, "asks-for-received");
    }

    #[test]
    fn connections_without_end_are_a_storm_before_there_are_a_hundred() {
        let rest = || (1..=14).filter(|seq| *seq != 5);
        let again = |times: usize| {
            (0..times)
                .fold(classic_run().stream(rest()), |run, _| run.ask([5]).finished().hang_up())
        };
        let killed = again(30).ended(ProcessEnd::Killed);
        let (id, text) = cause_of(ProtocolRule::Storm, killed);
        assert_eq!(id, "connects-over-and-over");
        assert!(text.contains("made 31 connections in"), "{text}");
        assert!(text.contains("the last 30 of which brought nothing new"), "{text}");
        let broken = |run: RunBuilder| ProtocolRule::Storm.broken(&run.evidence());
        assert_eq!(broken(again(30)), None, "it gave up by itself");
        assert_eq!(broken(again(10).ended(ProcessEnd::Killed)), None, "a few");
        let brings = again(30).fill([5]).ended(ProcessEnd::Killed);
        assert_eq!(broken(brings), None, "the last one brought a packet");
    }

    #[test]
    fn requests_beyond_the_end_have_causes() {
        let short = || run_on(Tape::sample(5)).stream(1..=5);
        let all = short().ask(6..=14).hang_up().write(1..=5);
        assert_eq!(cause_of(ProtocolRule::BeyondEnd, all).0, "fixed-length");
        let one = short().ask([6]).hang_up().write(1..=5);
        let (id, text) = cause_of(ProtocolRule::BeyondEnd, one);
        assert_eq!(id, "asks-beyond-end");
        assert!(text.contains("packet 6, one beyond the last one"), "{text}");
        let zero = short().ask([0]).hang_up().write(1..=5);
        assert!(cause_of(ProtocolRule::Kills, zero).1.contains("sequences begin at 1"));
    }
}
