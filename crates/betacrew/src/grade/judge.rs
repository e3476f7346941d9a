//! Whether a run passes its case.

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

/// What one run came to.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// `None`: it passed.
    pub(crate) fault: Option<RequirementFault>,
    /// What is worth knowing beside that.
    pub(crate) remarks: Vec<Remark>,
}

/// Something that is no fault in this case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remark {
    /// Remarks of one kind are one, told once.
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// Why a run did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequirementFault {
    pub(crate) expected: String,
    pub(crate) came: String,
    /// The likely cause, where what was seen shows it.
    pub(crate) cause: Option<diagnose::Cause>,
}

/// Judges a run.
pub(crate) fn judge(case: &Case, seen: &Evidence) -> Judged {
    let fault = fault(case, seen).map(|(expected, came)| {
        let cause = diagnose::cause(seen, case.passes);
        RequirementFault { expected, came, cause }
    });
    Judged { remarks: remarks(case, seen), fault }
}

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
            let expected = "an end by itself with an exit code other than 0, and nothing made up";
            unadmitted(seen).map(|came| (expected.to_owned(), came))
        }
        Passes::Conduct(rule) => {
            let absent = (!connected(&seen.wire)).then(|| no_output(seen));
            let came = absent.or_else(|| rule.broken(seen));
            came.map(|came| (rule.expected().to_owned(), came))
        }
    }
}

/// What is not as it should be about the packets.
fn incomplete(seen: &Evidence) -> Option<String> {
    match &seen.output {
        ClientOutput::None | ClientOutput::Unclear { .. } => Some(no_output(seen)),
        ClientOutput::Found { .. } if seen.differences.complete() => None,
        ClientOutput::Found { .. } => {
            let mut summary = seen.differences.clone();
            // Order is judged by cases of its own.
            summary.out_of_order = None;
            Some(summary.summary())
        }
    }
}

fn no_output(seen: &Evidence) -> String {
    let what = match &seen.output {
        ClientOutput::Unclear { place, why } => format!("{place} cannot be read as packets: {why}"),
        _ => "no output".to_owned(),
    };
    match seen.ran.ended {
        Ended::Exited(0) => what,
        _ => format!("{what}; {}", ended(seen)),
    }
}

fn unended(seen: &Evidence) -> Option<String> {
    match seen.ran.ended {
        Ended::Killed | Ended::Lingered => Some(ended(seen)),
        Ended::Exited(_) | Ended::Signal(_) => None,
    }
}

fn unclear_or_made_up(seen: &Evidence) -> Option<String> {
    match &seen.output {
        ClientOutput::Unclear { place, .. } if place != "stdout" => Some(no_output(seen)),
        _ if seen.differences.rows > 0 => Some(seen.differences.summary()),
        _ => None,
    }
}

fn unadmitted(seen: &Evidence) -> Option<String> {
    let made_up = &seen.differences.made_up;
    if let Some(came) = unended(seen) {
        return Some(came);
    }
    if !made_up.is_empty() || !seen.differences.wrong.is_empty() {
        return Some(seen.differences.summary());
    }
    (seen.ran.ended == Ended::Exited(0)).then(|| format!("{}, as if all were well", ended(seen)))
}

/// How the client ended, as a sentence without its end.
pub(crate) fn ended(seen: &Evidence) -> String {
    match seen.ran.ended {
        Ended::Exited(code) => format!("it ended with exit code {code}"),
        Ended::Signal(signal) => format!("it was ended by signal {signal}"),
        Ended::Killed => format!("it did not end within {}", took(seen.ran.took)),
        Ended::Lingered => "it had all packets and did not end".to_owned(),
    }
}

fn remarks(case: &Case, seen: &Evidence) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut add = |kind, text: Option<String>| {
        remarks.extend(text.map(|text| Remark { kind, text }));
    };
    if let ClientOutput::Found { place, rows, .. } = &seen.output {
        add("0 output", Some(format!("{place} was read as {}", rows.understood())));
    }
    let lingers = seen.ran.ended == Ended::Lingered && unended_is_no_fault(case);
    add(
        "1 lingers",
        lingers.then(|| "it did not end by itself after it had all packets".to_owned()),
    );
    let order = seen.differences.out_of_order.filter(|_| case.passes != Passes::InOrder);
    add(
        "2 order",
        order.map(|(seq, before)| {
            format!("its output is not in order: {seq} stands behind {before}")
        }),
    );
    for rule in ProtocolRule::ALL {
        if case.passes != Passes::Conduct(rule) {
            add(rule.expected(), rule.broken(seen));
        }
    }
    remarks
}

fn unended_is_no_fault(case: &Case) -> bool {
    matches!(case.passes, Passes::Complete | Passes::InOrder | Passes::Conduct(_))
}
