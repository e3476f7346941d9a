//! Judgement of one run in another protocol than the exercise's.

use crate::grade::cases::{Case, PassCondition};
use crate::grade::diagnose::Cause;
use crate::grade::feeds::compare::FeedDifferences;
use crate::grade::feeds::conditions::FeedCondition;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::mold::rules::MoldRule;
use crate::grade::feeds::soup::rules::SoupRule;
use crate::grade::feeds::{mold, soup};
use crate::grade::judge::{
    CaseFailure, Judged, NotUnderstood, Observation, did_not_end, end_description,
};
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::run::attempt::has_connected;
use crate::grade::run::process::ProcessEnd;

/// Judges a run of a case.
pub(crate) fn judge(case: &Case, evidence: &Evidence, feed: &FeedEvidence) -> Judged {
    let PassCondition::Feed(condition) = case.passes else {
        return Judged { failure: None, not_judged: None, observations: Vec::new() };
    };
    if let Some(reason) = not_judged(condition, evidence, feed) {
        let observations = observations(condition, evidence, feed);
        return Judged { failure: None, not_judged: Some(reason), observations };
    }
    let failure = actual(condition, evidence, feed).map(|actual| CaseFailure {
        expected: expected(condition, feed),
        actual,
        cause: cause(condition, evidence, feed),
    });
    Judged { failure, not_judged: None, observations: observations(condition, evidence, feed) }
}

/// Returns why a run cannot be judged, if its verdict depends on an output that is not understood.
fn not_judged(
    condition: FeedCondition,
    evidence: &Evidence,
    feed: &FeedEvidence,
) -> Option<NotUnderstood> {
    let (why, remedy) = feed.output.not_understood()?;
    let needs_output = match condition {
        FeedCondition::AnyOrder | FeedCondition::Complete | FeedCondition::NothingWrong => true,
        // The end alone may fail the client.
        FeedCondition::Ends | FeedCondition::EndsWithZero => did_not_end(evidence).is_none(),
        FeedCondition::ReportsFailure => unreported_failure(evidence, feed).is_none(),
        FeedCondition::Soup(_) => false,
        FeedCondition::Mold(rule) => rule == MoldRule::OtherSession,
    };
    needs_output.then(|| NotUnderstood { why, remedy: remedy.to_owned() })
}

/// Returns the result that a case expects.
fn expected(condition: FeedCondition, feed: &FeedEvidence) -> String {
    let all = format!("all {} messages, each once, in order", feed.tape.last());
    match condition {
        FeedCondition::AnyOrder => format!("all {} messages, each once", feed.tape.last()),
        FeedCondition::Complete => all,
        FeedCondition::Ends => format!("{all}, and an end by itself"),
        FeedCondition::EndsWithZero => format!("{all}, and exit code 0"),
        FeedCondition::ReportsFailure => {
            "an end by itself with an exit code other than 0, and no made-up messages".to_owned()
        }
        FeedCondition::NothingWrong => {
            "only messages of the session, each once, in order and under its own sequence"
                .to_owned()
        }
        FeedCondition::Soup(rule) => rule.expected().to_owned(),
        FeedCondition::Mold(rule) => rule.expected().to_owned(),
    }
}

/// Returns the result of a run, if it is not the expected one.
fn actual(condition: FeedCondition, evidence: &Evidence, feed: &FeedEvidence) -> Option<String> {
    match condition {
        FeedCondition::AnyOrder => lacking(evidence, feed),
        FeedCondition::Complete => incomplete(evidence, feed),
        FeedCondition::Ends => did_not_end(evidence).or_else(|| incomplete(evidence, feed)),
        FeedCondition::EndsWithZero => {
            let ended = evidence.process.ended;
            let code = || (ended != ProcessEnd::Exited(0)).then(|| end_description(evidence));
            did_not_end(evidence).or_else(|| incomplete(evidence, feed)).or_else(code)
        }
        FeedCondition::ReportsFailure => unreported_failure(evidence, feed),
        FeedCondition::NothingWrong => match &feed.output {
            ClientOutput::Found { rows, .. } if !rows.rows.is_empty() => wrong(feed),
            _ => Some(no_output(evidence, feed)),
        },
        // A client that does nothing breaks no rule.
        FeedCondition::Soup(rule) => absent(evidence, feed)
            .or_else(|| rule.broken(evidence))
            .or_else(|| mute(rule.not_shown(evidence), evidence)),
        FeedCondition::Mold(rule) => {
            let needs_output = rule == MoldRule::OtherSession && !evidence.has_output();
            let unread = || needs_output.then(|| no_output(evidence, feed));
            absent(evidence, feed)
                .or_else(unread)
                .or_else(|| rule.broken(evidence))
                .or_else(|| mute(rule.not_shown(evidence), evidence))
        }
    }
}

/// Describes a client that has never connected.
fn absent(evidence: &Evidence, feed: &FeedEvidence) -> Option<String> {
    (!has_connected(&evidence.wire)).then(|| no_output(evidence, feed))
}

/// Describes what a client has not done by which a rule could be judged, with its end.
fn mute(not_shown: Option<String>, evidence: &Evidence) -> Option<String> {
    not_shown.map(|text| format!("{text}; {}", end_description(evidence)))
}

/// Describes what is wrong with the messages of the output besides their order, if anything is.
fn lacking(evidence: &Evidence, feed: &FeedEvidence) -> Option<String> {
    let unordered = FeedDifferences { out_of_order: None, ..feed.differences.clone() };
    different(evidence, feed, &unordered)
}

/// Describes what is wrong with the messages of the output, if anything is.
fn incomplete(evidence: &Evidence, feed: &FeedEvidence) -> Option<String> {
    different(evidence, feed, &feed.differences)
}

/// Describes these differences, or an output that cannot be read.
fn different(
    evidence: &Evidence,
    feed: &FeedEvidence,
    differences: &FeedDifferences,
) -> Option<String> {
    match &feed.output {
        ClientOutput::None | ClientOutput::Unclear { .. } | ClientOutput::Foreign { .. } => {
            Some(no_output(evidence, feed))
        }
        ClientOutput::Found { .. } => {
            let is_fine = differences.is_complete() && differences.out_of_order.is_none();
            (!is_fine).then(|| differences.summary())
        }
    }
}

/// Describes messages of the output that are not on the tape, wrongly numbered or repeated.
fn wrong(feed: &FeedEvidence) -> Option<String> {
    let mut differences = feed.differences.clone();
    differences.missing = feed::base::seq::SeqSet::new();
    let is_fine = differences.is_complete() && differences.out_of_order.is_none();
    (!is_fine).then(|| differences.summary())
}

/// Describes a missing or unreadable output.
fn no_output(evidence: &Evidence, feed: &FeedEvidence) -> String {
    let what = match &feed.output {
        ClientOutput::Unclear { name, why } | ClientOutput::Foreign { name, why, .. } => {
            format!("{name} has no readable messages: {why}")
        }
        ClientOutput::Found { name, rows, .. } if rows.rows.is_empty() => {
            format!("{name} has no messages")
        }
        ClientOutput::None | ClientOutput::Found { .. } => "no output".to_owned(),
    };
    match evidence.process.ended {
        ProcessEnd::Exited(0) => what,
        _ => format!("{what}; {}", end_description(evidence)),
    }
}

/// Describes a run that should have ended with an error code and did not, or made messages up.
fn unreported_failure(evidence: &Evidence, feed: &FeedEvidence) -> Option<String> {
    if let Some(actual) = did_not_end(evidence) {
        return Some(actual);
    }
    if !feed.differences.is_right() {
        return Some(feed.differences.summary());
    }
    (evidence.process.ended == ProcessEnd::Exited(0))
        .then(|| format!("{}, which reports success", end_description(evidence)))
}

/// Returns the likely cause of a failure.
fn cause(condition: FeedCondition, evidence: &Evidence, feed: &FeedEvidence) -> Option<Cause> {
    match &evidence.wire.mold {
        Some(log) => mold::causes::cause(condition, evidence, feed, log),
        None => soup::causes::cause(condition, evidence, feed),
    }
}

/// Returns the observations that do not decide the case.
fn observations(
    condition: FeedCondition,
    evidence: &Evidence,
    feed: &FeedEvidence,
) -> Vec<Observation> {
    let mut observations = Vec::new();
    let mut add = |kind, text: Option<String>| {
        observations.extend(text.map(|text| Observation { kind, text }));
    };
    if let ClientOutput::Found { name, rows, .. } = &feed.output {
        add("0 output", Some(format!("{name} is read as {}", rows.shape)));
    }
    let lingers = evidence.process.ended == ProcessEnd::Lingered && !condition.is_about_the_end();
    add("1 lingers", lingers.then(|| "it has all messages, and does not end by itself".to_owned()));
    let order = feed.differences.out_of_order.filter(|_| condition == FeedCondition::AnyOrder);
    add(
        "2 order",
        order.map(|(seq, before)| format!("its output is not in order: {seq} is after {before}")),
    );
    for rule in SoupRule::ALL {
        if condition != FeedCondition::Soup(rule) {
            add(rule.expected(), rule.broken(evidence));
        }
    }
    for rule in MoldRule::ALL {
        if condition != FeedCondition::Mold(rule) {
            add(rule.expected(), rule.broken(evidence));
        }
    }
    observations
}

#[cfg(test)]
mod tests;
