//! Judgement of one run: whether it passes its case, and why not.

pub(crate) mod compare;
pub(crate) mod protocol_rules;
pub(crate) mod verdict;

use super::cases::{Case, Passes};
use super::diagnose;
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::run::attempt::connected;
use crate::grade::run::process::Ended;
use crate::text::formatting::took;

/// Result of one run.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// Failure of the case; `None` if the run passed.
    pub(crate) fault: Option<RequirementFault>,
    /// Observations that do not decide this case.
    pub(crate) remarks: Vec<Remark>,
}

/// Observation that does not decide the case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remark {
    /// Key by which equal observations of several cases are merged; it begins with their order.
    pub(crate) kind: &'static str,
    /// Observation as a sentence.
    pub(crate) text: String,
}

/// Reason why a run did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequirementFault {
    /// Result that the case expects.
    pub(crate) expected: String,
    /// Result of the run.
    pub(crate) came: String,
    /// Likely cause, if the evidence shows one.
    pub(crate) cause: Option<diagnose::Cause>,
}

/// Judges a run of a case.
pub(crate) fn judge(case: &Case, seen: &Evidence) -> Judged {
    let fault = fault(case, seen).map(|(expected, came)| {
        let cause = diagnose::cause(seen, case.passes);
        RequirementFault { expected, came, cause }
    });
    Judged { remarks: remarks(case, seen), fault }
}

/// Returns the expected and the actual result, if they differ.
fn fault(case: &Case, seen: &Evidence) -> Option<(String, String)> {
    let all = format!("all {} packets, each once", seen.tape.len());
    let differences = &seen.differences;
    match case.passes {
        Passes::Complete => incomplete(seen).map(|came| (all, came)),
        Passes::Empty => {
            let came = unended(seen).or_else(|| unclear_or_made_up(seen));
            came.map(|came| ("an end by itself, and no packets".to_owned(), came))
        }
        Passes::InOrder => {
            let disorder = || differences.out_of_order.map(|_| differences.summary());
            let came = incomplete(seen).or_else(disorder);
            came.map(|came| (format!("{all}, in the order of their sequences"), came))
        }
        Passes::Ends => {
            let came = unended(seen).or_else(|| incomplete(seen));
            came.map(|came| (format!("{all}, and an end by itself"), came))
        }
        Passes::EndsWithZero => {
            let code = || (seen.ran.ended != Ended::Exited(0)).then(|| ended(seen));
            let came = unended(seen).or_else(|| incomplete(seen)).or_else(code);
            came.map(|came| (format!("{all}, and exit code 0"), came))
        }
        Passes::Admits => {
            let expected =
                "an end by itself with an exit code other than 0, and no made-up packets";
            unadmitted(seen).map(|came| (expected.to_owned(), came))
        }
        Passes::Conduct(rule) => {
            let absent = (!connected(&seen.wire)).then(|| no_output(seen));
            let came = absent.or_else(|| rule.broken(seen));
            came.map(|came| (rule.expected().to_owned(), came))
        }
    }
}

/// Describes what is wrong with the packets of the output, if anything is. Their order is ignored.
fn incomplete(seen: &Evidence) -> Option<String> {
    match &seen.output {
        ClientOutput::None | ClientOutput::Unclear { .. } => Some(no_output(seen)),
        ClientOutput::Found { .. } if seen.differences.complete() => None,
        ClientOutput::Found { .. } => {
            let mut summary = seen.differences.clone();
            // Cases with `InOrder` judge the order.
            summary.out_of_order = None;
            Some(summary.summary())
        }
    }
}

/// Describes a missing or unreadable output.
fn no_output(seen: &Evidence) -> String {
    let what = match &seen.output {
        ClientOutput::Unclear { place, why } => format!("{place} has no readable packets: {why}"),
        _ => "no output".to_owned(),
    };
    match seen.ran.ended {
        Ended::Exited(0) => what,
        _ => format!("{what}; {}", ended(seen)),
    }
}

/// Describes the end of a client that the grader had to kill.
fn unended(seen: &Evidence) -> Option<String> {
    match seen.ran.ended {
        Ended::Killed | Ended::Lingered => Some(ended(seen)),
        Ended::Exited(_) | Ended::Signal(_) => None,
    }
}

/// Describes an output that has packets, or is unreadable, although the tape is empty.
fn unclear_or_made_up(seen: &Evidence) -> Option<String> {
    // An unreadable standard output is only a log.
    match &seen.output {
        ClientOutput::Unclear { place, .. } if place != "stdout" => Some(no_output(seen)),
        _ if seen.differences.rows > 0 => Some(seen.differences.summary()),
        _ => None,
    }
}

/// Describes a run that should have ended with an error code and did not, or made packets up.
fn unadmitted(seen: &Evidence) -> Option<String> {
    let made_up = &seen.differences.made_up;
    if let Some(came) = unended(seen) {
        return Some(came);
    }
    if !made_up.is_empty() || !seen.differences.wrong.is_empty() {
        return Some(seen.differences.summary());
    }
    (seen.ran.ended == Ended::Exited(0)).then(|| format!("{}, which reports success", ended(seen)))
}

/// Describes how the client ended, as a clause.
pub(crate) fn ended(seen: &Evidence) -> String {
    match seen.ran.ended {
        Ended::Exited(code) => format!("it ended with exit code {code}"),
        Ended::Signal(signal) => format!("it was ended by signal {signal}"),
        Ended::Killed => format!("it did not end within {}", took(seen.ran.took)),
        Ended::Lingered => "it had all packets and did not end".to_owned(),
    }
}

/// Returns the observations that do not decide the case.
fn remarks(case: &Case, seen: &Evidence) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut add = |kind, text: Option<String>| {
        remarks.extend(text.map(|text| Remark { kind, text }));
    };
    if let ClientOutput::Found { place, rows, .. } = &seen.output {
        add("0 output", Some(format!("{place} is read as {}", rows.understood())));
    }
    let lingers = seen.ran.ended == Ended::Lingered && unended_is_no_fault(case);
    add("1 lingers", lingers.then(|| "it has all packets, and does not end by itself".to_owned()));
    let order = seen.differences.out_of_order.filter(|_| case.passes != Passes::InOrder);
    add(
        "2 order",
        order.map(|(seq, before)| format!("its output is not in order: {seq} is after {before}")),
    );
    for rule in ProtocolRule::ALL {
        if case.passes != Passes::Conduct(rule) {
            add(rule.expected(), rule.broken(seen));
        }
    }
    remarks
}

/// Returns whether a client passes the case even if it does not end by itself.
fn unended_is_no_fault(case: &Case) -> bool {
    matches!(case.passes, Passes::Complete | Passes::InOrder | Passes::Conduct(_))
}
