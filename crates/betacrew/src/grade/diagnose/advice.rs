//! Advice on each cause: why the mistake matters, how to see it, and what to do about it.
//!
//! The tables have a row for each cause of [`super`], by its id. Where a broken rule of the
//! protocol is its own cause, the row has the id of the case.

mod conduct;
mod ending;
mod output;
mod reading;
mod resends;
mod streams;

use crate::grade::cases::{Case, PassCondition};
use crate::grade::diagnose::Cause;
use crate::grade::example::Lesson;
use crate::grade::feeds;

/// Advice on one cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Advice {
    /// Id of the cause, or of the case whose rule was broken.
    pub(crate) id: &'static str,
    /// Mistake, as the end of a sentence that begins with "the client".
    pub(crate) mistake: &'static str,
    /// Damage that the mistake does, as a sentence.
    pub(crate) harm: &'static str,
    /// Sign by which a person recognises the mistake while a case runs by hand, as a sentence.
    pub(crate) sign: &'static str,
    /// Remedy, as one sentence.
    pub(crate) fix: &'static str,
    /// Part of the example clients that does it right.
    pub(crate) lesson: Lesson,
    /// Ids of cases that show the mistake, the clearest first.
    pub(crate) cases: &'static [&'static str],
}

/// All tables, in the order of a packet's way through a client.
const TABLES: [&[Advice]; 6] = [
    reading::ADVICE,
    streams::ADVICE,
    resends::ADVICE,
    output::ADVICE,
    ending::ADVICE,
    conduct::ADVICE,
];

/// Returns all advice.
pub(crate) fn all() -> impl Iterator<Item = &'static Advice> {
    TABLES.into_iter().flatten()
}

/// Returns the advice with this id.
pub(crate) fn find(id: &str) -> Option<&'static Advice> {
    all().find(|advice| advice.id == id)
}

/// Remedy that a report names for a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Remedy {
    /// Id of the cause, or of the case whose rule was broken.
    pub(crate) id: &'static str,
    /// Remedy, as one sentence.
    pub(crate) fix: &'static str,
    /// Part of the example clients that does it right; `None` in protocols whose examples have no
    /// parts.
    pub(crate) lesson: Option<Lesson>,
}

/// Returns the remedy of a failure of `case`: of its cause, or else of the rule of the case.
pub(crate) fn on(case: &Case, cause: Option<&Cause>) -> Option<Remedy> {
    // Causes of other protocols have names of their own, some of them equal to the exercise's.
    if let (PassCondition::Feed(_), Some(setup)) = (case.passes, case.exchange_setup) {
        let advice = feeds::advice::find(setup.protocol, cause?.id)?;
        return Some(Remedy { id: advice.id, fix: advice.fix, lesson: None });
    }
    let advice = find(cause.map_or(case.id, |cause| cause.id))?;
    Some(Remedy { id: advice.id, fix: advice.fix, lesson: Some(advice.lesson) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;
    use crate::grade::diagnose::ids;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_and_every_rule_has_advice_and_every_advice_a_cause() {
        let known: BTreeSet<&str> = ids().into_iter().chain(["conduct/made-up"]).collect();
        let advised: BTreeSet<&str> = all().map(|advice| advice.id).collect();
        assert_eq!(advised, known, "left: crates/betacrew/src/grade/diagnose/advice");
        assert_eq!(all().count(), advised.len(), "one advice each");
    }

    #[test]
    fn no_cause_has_the_name_of_a_case_or_a_group() {
        for id in ids() {
            let is_case = CASES.iter().any(|case| case.id == id || case.group() == id);
            assert!(!is_case, "{id}: --explain could not tell them apart");
        }
    }

    #[test]
    fn advice_is_written_in_whole_sentences_about_cases_that_exist() {
        for advice in all() {
            let Advice { id, mistake, harm, sign, fix, cases, .. } = advice;
            for sentence in [harm, sign, fix] {
                assert!(sentence.ends_with('.'), "{id}: {sentence}");
                assert!(sentence.starts_with(char::is_uppercase), "{id}: {sentence}");
            }
            assert!(!fix.contains(". "), "{id}: what to do is one sentence: {fix}");
            assert!(mistake.starts_with(char::is_lowercase) && !mistake.ends_with('.'), "{id}");
            assert!(fix.len() <= 200, "{id}: {} characters", fix.len());
            assert!(!cases.is_empty(), "{id}: no case shows it");
            for case in *cases {
                assert!(CASES.iter().any(|known| known.id == *case), "{id}: {case}");
            }
        }
    }
}
