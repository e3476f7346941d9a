//! Judgement of one run: whether it passes its case, and why not.

pub(crate) mod compare;
pub(crate) mod protocol_rules;
pub(crate) mod verdict;

use super::cases::{Case, PassCondition};
use super::diagnose;
use super::feeds;
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::run::attempt::has_connected;
use crate::grade::run::endless::FLOOD_MAX;
use crate::grade::run::process::{EarlyEnd, ProcessEnd};
use crate::text::formatting::took;
use feed::base::seq::SeqRange;

/// Result of one run.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// Failure of the case; `None` if the run passed or could not be judged.
    pub(crate) failure: Option<CaseFailure>,
    /// Reason why the run could not be judged, if it could not.
    pub(crate) not_judged: Option<NotUnderstood>,
    /// Observations that do not decide this case.
    pub(crate) observations: Vec<Observation>,
}

/// Observation that does not decide the case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Observation {
    /// Key by which equal observations of several cases are merged; it begins with their order.
    pub(crate) kind: &'static str,
    /// Observation as a sentence.
    pub(crate) text: String,
}

/// Reason why a run cannot be judged: the client's output has packets in an unknown form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NotUnderstood {
    /// Name of the output, and what is not known about it, as a sentence.
    pub(crate) why: String,
    /// Option that settles it, as a sentence.
    pub(crate) remedy: String,
}

/// Reason why a run did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CaseFailure {
    /// Result that the case expects.
    pub(crate) expected: String,
    /// Result of the run.
    pub(crate) actual: String,
    /// Likely cause, if the evidence of all cases shows one.
    pub(crate) cause: Option<diagnose::Cause>,
}

/// Judges a run of a case.
pub(crate) fn judge(case: &Case, evidence: &Evidence) -> Judged {
    if let Some(feed) = &evidence.feed {
        return feeds::judge::judge(case, evidence, feed);
    }
    if let Some(reason) = not_judged(case, evidence) {
        let observations = observations(case, evidence);
        return Judged { failure: None, not_judged: Some(reason), observations };
    }
    // The cause is found when all cases have been run, because a claim must agree with all of them.
    let failure = failure(case, evidence).map(|(expected, actual)| CaseFailure {
        expected,
        actual,
        cause: None,
    });
    Judged { observations: observations(case, evidence), not_judged: None, failure }
}

/// Returns why a run cannot be judged, if its verdict depends on an output that is not understood.
fn not_judged(case: &Case, evidence: &Evidence) -> Option<NotUnderstood> {
    let (why, remedy) = evidence.output.not_understood()?;
    let needs_output = match case.passes {
        PassCondition::FollowsRule(rule) => rule == ProtocolRule::MakesUp,
        PassCondition::EndsAnyhow => false,
        PassCondition::Original => !evidence.wire.exchange_died,
        // The end alone may fail the client.
        PassCondition::Ends | PassCondition::EndsWithZero | PassCondition::Empty => {
            did_not_end(evidence).is_none()
        }
        PassCondition::ReportsFailure => unreported_failure(evidence).is_none(),
        PassCondition::Complete | PassCondition::InOrder | PassCondition::Feed(_) => true,
    };
    needs_output.then(|| NotUnderstood { why, remedy: remedy.to_owned() })
}

/// Returns the expected and the actual result, if they differ.
fn failure(case: &Case, evidence: &Evidence) -> Option<(String, String)> {
    let all = format!("all {} packets, each once", evidence.tape.len());
    let differences = &evidence.differences;
    match case.passes {
        PassCondition::Complete => incomplete(evidence).map(|actual| (all, actual)),
        PassCondition::Empty => {
            let actual = did_not_end(evidence).or_else(|| unclear_or_made_up(evidence));
            actual.map(|actual| ("an end by itself, and no packets".to_owned(), actual))
        }
        PassCondition::InOrder => {
            let disorder = || differences.out_of_order.map(|_| differences.summary());
            let actual = incomplete(evidence).or_else(disorder);
            actual.map(|actual| (format!("{all}, in the order of their sequences"), actual))
        }
        PassCondition::Ends => {
            let actual = did_not_end(evidence).or_else(|| incomplete(evidence));
            actual.map(|actual| (format!("{all}, and an end by itself"), actual))
        }
        PassCondition::EndsAnyhow => {
            did_not_end(evidence).map(|actual| ("an end by itself".to_owned(), actual))
        }
        PassCondition::EndsWithZero => {
            let code = || {
                (evidence.process.ended != ProcessEnd::Exited(0)).then(|| end_description(evidence))
            };
            let actual = did_not_end(evidence).or_else(|| incomplete(evidence)).or_else(code);
            actual.map(|actual| (format!("{all}, and exit code 0"), actual))
        }
        PassCondition::ReportsFailure => {
            let expected =
                "an end by itself with an exit code other than 0, and no made-up packets";
            unreported_failure(evidence).map(|actual| (expected.to_owned(), actual))
        }
        PassCondition::Original => {
            let dead = ProtocolRule::Kills.broken(evidence);
            let actual = dead.or_else(|| incomplete_of_original(evidence));
            let expected = "an exchange that is still alive, and all packets up to the highest one \
                            sent, each once";
            actual.map(|actual| (expected.to_owned(), actual))
        }
        PassCondition::FollowsRule(rule) => {
            // A client that does nothing breaks no rule.
            let is_mute = evidence.wire.calls().next().is_none();
            let absent = if has_connected(&evidence.wire) {
                is_mute.then(|| format!("it sent no call; {}", end_description(evidence)))
            } else {
                Some(no_output(evidence))
            };
            let actual = absent.or_else(|| rule.broken(evidence));
            actual.map(|actual| (rule.expected().to_owned(), actual))
        }
        // Feeds have a judge of their own.
        PassCondition::Feed(_) => None,
    }
}

/// Describes what is wrong with the packets of the output, if anything is. Their order is ignored.
fn incomplete(evidence: &Evidence) -> Option<String> {
    match &evidence.output {
        ClientOutput::None | ClientOutput::Unclear { .. } | ClientOutput::Foreign { .. } => {
            Some(no_output(evidence))
        }
        ClientOutput::Found { .. } if evidence.differences.is_complete() => None,
        ClientOutput::Found { .. } => {
            let mut summary = evidence.differences.clone();
            // Cases with `InOrder` judge the order.
            summary.out_of_order = None;
            Some(summary.summary())
        }
    }
}

/// Describes what is wrong with the packets of the output, if anything is. Packets above the
/// highest one sent may be missing, because the original never shows that it has dropped them.
fn incomplete_of_original(evidence: &Evidence) -> Option<String> {
    let mut rest = evidence.differences.clone();
    let highest = evidence.highest();
    if let Some(tail) = SeqRange::new(highest + 1, evidence.last().max(highest + 1)) {
        rest.missing.remove(tail);
    }
    match &evidence.output {
        ClientOutput::Found { .. } if highest > 0 => {
            rest.out_of_order = None;
            (!rest.is_complete()).then(|| rest.summary())
        }
        _ => Some(no_output(evidence)),
    }
}

/// Describes a missing or unreadable output.
fn no_output(evidence: &Evidence) -> String {
    let what = match &evidence.output {
        ClientOutput::Unclear { name, why } => format!("{name} has no readable packets: {why}"),
        _ if !evidence.process.stdout.is_empty() => "no output, only a log on stdout".to_owned(),
        _ => "no output".to_owned(),
    };
    match evidence.process.ended {
        ProcessEnd::Exited(0) => what,
        _ => format!("{what}; {}", end_description(evidence)),
    }
}

/// Describes the end of a client that the grader had to kill.
pub(crate) fn did_not_end(evidence: &Evidence) -> Option<String> {
    match evidence.process.ended {
        ProcessEnd::Killed | ProcessEnd::Lingered => Some(end_description(evidence)),
        ProcessEnd::Exited(_) | ProcessEnd::Signal(_) => None,
    }
}

/// Describes an output that has packets, or is unreadable, although the tape is empty.
fn unclear_or_made_up(evidence: &Evidence) -> Option<String> {
    // An unreadable standard output is only a log.
    match &evidence.output {
        ClientOutput::Unclear { name, .. } if name != "stdout" => Some(no_output(evidence)),
        _ if evidence.differences.rows > 0 => Some(evidence.differences.summary()),
        _ => None,
    }
}

/// Describes a run that should have ended with an error code and did not, or made packets up.
fn unreported_failure(evidence: &Evidence) -> Option<String> {
    let made_up = &evidence.differences.made_up;
    if let Some(actual) = did_not_end(evidence) {
        return Some(actual);
    }
    if !made_up.is_empty() || !evidence.differences.wrong.is_empty() {
        return Some(evidence.differences.summary());
    }
    (evidence.process.ended == ProcessEnd::Exited(0))
        .then(|| format!("{}, which reports success", end_description(evidence)))
}

/// Describes how the client ended, as a clause.
pub(crate) fn end_description(evidence: &Evidence) -> String {
    match evidence.process.ended {
        ProcessEnd::Exited(code) => format!("it ended with exit code {code}"),
        ProcessEnd::Signal(signal) => format!("it was ended by signal {signal}"),
        ProcessEnd::Killed if evidence.process.was_stuck() => {
            "it waits for ever: only the exchange could wake it, and that has nothing to send"
                .to_owned()
        }
        ProcessEnd::Killed if evidence.process.early == Some(EarlyEnd::Flooding) => {
            format!(
                "it did not end: it printed more than {} MiB with nothing on the wire",
                FLOOD_MAX >> 20
            )
        }
        ProcessEnd::Killed => format!("it did not end within {}", took(evidence.process.took)),
        ProcessEnd::Lingered if evidence.feed.is_some() => {
            "it had all messages and did not end".to_owned()
        }
        ProcessEnd::Lingered => "it had all packets and did not end".to_owned(),
    }
}

/// Returns the observations that do not decide the case.
fn observations(case: &Case, evidence: &Evidence) -> Vec<Observation> {
    let mut observations = Vec::new();
    let mut add = |kind, text: Option<String>| {
        observations.extend(text.map(|text| Observation { kind, text }));
    };
    if let ClientOutput::Found { name, rows, .. } = &evidence.output {
        add("0 output", Some(format!("{name} is read as {}", rows.understood())));
    }
    let lingers = evidence.process.ended == ProcessEnd::Lingered && may_linger(case);
    add("1 lingers", lingers.then(|| "it has all packets, and does not end by itself".to_owned()));
    let order = evidence.differences.out_of_order.filter(|_| case.passes != PassCondition::InOrder);
    add(
        "2 order",
        order.map(|(seq, before)| format!("its output is not in order: {seq} is after {before}")),
    );
    for rule in ProtocolRule::ALL {
        if case.passes != PassCondition::FollowsRule(rule) {
            add(rule.expected(), rule.broken(evidence));
        }
    }
    observations
}

/// Returns whether a client passes the case even if it does not end by itself.
fn may_linger(case: &Case) -> bool {
    matches!(
        case.passes,
        PassCondition::Complete
            | PassCondition::InOrder
            | PassCondition::Original
            | PassCondition::FollowsRule(_)
    )
}
