//! Choice among the claims about all failures of a client.
//!
//! Each claim is a hypothesis about the client. It is withdrawn if any run contradicts it, a passed
//! one as well. Of the claims that stand, a failure gets one that only its mistake explains;
//! one that explains many more failures replaces one that explains few.

use super::checks::{self, CauseCheck, Contradiction};
use super::{Cause, Claim, Strength, claims, crashes};
use crate::grade::cases::{Case, PassCondition};
use crate::grade::judge::protocol_rules::ProtocolRule;
use crate::grade::observe::evidence::Evidence;
use crate::grade::run::process::ProcessEnd;
use std::collections::{BTreeMap, BTreeSet};

/// Minimum number of runs that show a cause before it explains runs without its whole pattern.
const ESTABLISHED_MIN: usize = 2;

/// Run of a case, with what decides about it.
#[derive(Clone, Copy)]
pub(super) struct CaseRun<'a> {
    /// Case, unless a test made the evidence by hand.
    pub(super) case: Option<&'static Case>,
    /// Condition under which the run passes.
    pub(super) passes: PassCondition,
    /// Evidence of the run.
    pub(super) evidence: &'a Evidence,
    /// True if the run failed.
    pub(super) failed: bool,
}

/// Claims that stand, and the runs that show each cause.
struct Standing<'a> {
    runs: &'a [CaseRun<'a>],
    /// Claims about each run.
    claims: Vec<Vec<Claim>>,
    /// Indexes of the runs that show each cause.
    shown_by: BTreeMap<String, BTreeSet<usize>>,
    /// Indexes of the failed runs that give each shown cause an occasion.
    occasions: BTreeMap<&'static str, BTreeSet<usize>>,
}

/// Returns the failed runs that give each shown cause an occasion.
fn occasions(
    runs: &[CaseRun<'_>],
    shown_by: &BTreeMap<String, BTreeSet<usize>>,
) -> BTreeMap<&'static str, BTreeSet<usize>> {
    let of_check = |check: &CauseCheck| {
        let exposed = check.exposed.filter(|_| shown_by.contains_key(check.id))?;
        let is_exposed = |run: &usize| runs[*run].failed && exposed(runs[*run].evidence);
        Some((check.id, (0..runs.len()).filter(is_exposed).collect()))
    };
    checks::CHECKS.iter().filter_map(of_check).collect()
}

/// Returns the cause of each run; `None` if it passed or no claim stands.
pub(super) fn settle(runs: &[CaseRun<'_>]) -> Vec<Option<Cause>> {
    let standing = Standing::new(runs);
    (0..runs.len()).map(|run| standing.cause(run)).collect()
}

/// Returns the key under which equal causes are counted: all crashes have one id, but only crashes
/// with the same message have the same cause.
fn key(claim: &Claim) -> String {
    match claim.id {
        "crash" => claim.text.clone(),
        id => id.to_owned(),
    }
}

/// Mistakes after which nothing that a client does is right, so that other patterns follow from
/// them.
const ROOTS: [&str; 6] = [
    "never-calls",
    "too-large-to-ask",
    "frame-size",
    "crash-in-packet",
    "split-packet",
    "read-size",
];

/// Causes that explain a run that does not show their whole pattern only if nothing else does.
const LAST_RESORTS: [&str; 1] = ["last-for-highest"];

/// Returns whether no other claim explains what a claim explains.
pub(super) fn is_root(claim: &Claim) -> bool {
    ROOTS.contains(&claim.id)
}

/// Causes of waits without an end.
const WAITS: [&str; 3] = ["waits-for-answer", "waits-for-end", "asks-for-ever"];

/// Causes in what the exchange did to a stream, which explain why there is no output.
const STOPS: [&str; 3] = ["waits-for-stream", "gives-up", "short-stream"];

/// Returns whether a claim explains why the client of a run had to be killed. What is wrong with
/// the packets besides does not explain that.
fn explains_end(claim: &Claim, evidence: &Evidence) -> bool {
    evidence.process.ended == ProcessEnd::Killed && WAITS.contains(&claim.id)
}

/// Returns whether a claim that explains more failures may replace the first one. What ended a
/// client or a stream is not explained by what is wrong with the packets besides.
fn may_replace(other: &Claim, first: &Claim, evidence: &Evidence) -> bool {
    let is_stop = |claim: &Claim| STOPS.contains(&claim.id);
    let stands = is_root(first)
        || is_stop(first)
        || explains_end(first, evidence)
        || first.id == "crash" && is_stop(other);
    !stands
}

/// Returns whether a run failed for what its output has or lacks, or because the client never
/// ended, so that a cause of other runs can explain it.
fn fails_by_packets(run: &CaseRun<'_>, own: &[Claim]) -> bool {
    let evidence = run.evidence;
    let differences = &evidence.differences;
    let is_killed = evidence.process.ended == ProcessEnd::Killed;
    let is_wrong = !differences.made_up.is_empty() || !differences.wrong.is_empty();
    let is_stopped = own.iter().any(|claim| STOPS.contains(&claim.id));
    match run.passes {
        // The original dies of what a client sends.
        PassCondition::Original if evidence.wire.exchange_died => false,
        PassCondition::ReportsFailure => is_wrong || is_killed && !is_stopped,
        PassCondition::EndsAnyhow => crashes::ends_abruptly(evidence),
        PassCondition::FollowsRule(rule) => rule == ProtocolRule::MakesUp,
        _ => evidence.has_output() || !is_stopped,
    }
}

/// Returns whether a cause with this support replaces one with less.
fn outweighs(support: usize, less: usize) -> bool {
    support > 2 * less
}

impl<'a> Standing<'a> {
    fn new(runs: &'a [CaseRun<'a>]) -> Self {
        let of_run = |run: &CaseRun<'_>| match run.failed {
            true => claims(run.case, run.passes, run.evidence),
            false => Vec::new(),
        };
        let mut claims: Vec<Vec<Claim>> = runs.iter().map(of_run).collect();
        // Whether any run contradicts a cause, for the causes that make the same claim each time.
        let mut known: BTreeMap<&'static str, bool> = BTreeMap::new();
        for (run, of_run) in runs.iter().zip(&mut claims) {
            of_run.retain(|claim| {
                let Some(check) = checks::of(claim.id) else { return true };
                let refuted = match check.contradiction {
                    Contradiction::Never => false,
                    Contradiction::Any(by) => *known
                        .entry(claim.id)
                        .or_insert_with(|| runs.iter().any(|other| by(other.evidence))),
                    Contradiction::Claim(by) => {
                        runs.iter().any(|other| by(run.evidence, other.evidence))
                    }
                };
                !refuted && check.needs.is_none_or(|needs| needs(run.evidence, runs))
            });
        }
        let mut shown_by: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (run, of_run) in claims.iter().enumerate() {
            for claim in of_run {
                shown_by.entry(key(claim)).or_default().insert(run);
            }
        }
        let occasions = occasions(runs, &shown_by);
        Self { runs, claims, shown_by, occasions }
    }

    /// Returns the number of runs that show the cause of a claim.
    fn support(&self, claim: &Claim) -> usize {
        self.shown_by.get(&key(claim)).map_or(0, BTreeSet::len)
    }

    /// Returns the number of runs that show a claim and give another cause no occasion.
    fn unexplained(&self, claim: &Claim, check: &CauseCheck) -> usize {
        let runs = self.shown_by.get(&key(claim));
        runs.map_or(0, |runs| runs.iter().filter(|run| !self.gives(**run, check)).count())
    }

    /// Returns whether a failed run gives a shown cause an occasion.
    fn gives(&self, run: usize, check: &CauseCheck) -> bool {
        self.occasions.get(check.id).is_some_and(|runs| runs.contains(&run))
    }

    /// Returns the cause of a run.
    fn cause(&self, run: usize) -> Option<Cause> {
        let own = &self.claims[run];
        let specific = || own.iter().filter(|claim| claim.strength == Strength::Specific);
        let first = specific().next();
        let broadest = specific().rev().max_by_key(|claim| self.support(claim));
        let picked = match (first, broadest) {
            (Some(first), Some(other))
                if may_replace(other, first, self.runs[run].evidence)
                    && outweighs(self.support(other), self.support(first)) =>
            {
                Some(other)
            }
            _ => first,
        };
        // A root that the run shows itself explains what other runs only suggest.
        if !picked.is_some_and(is_root)
            && let Some(cause) = self.established(run, picked)
        {
            return Some(cause);
        }
        let claim = picked.or_else(|| own.first())?;
        let shown_by = u32::try_from(self.support(claim)).unwrap_or(u32::MAX);
        Some(Cause { id: claim.id, text: claim.text.clone(), shown_by })
    }

    /// Returns the cause that other runs show, if this run gives it an occasion, failed as it makes
    /// a client fail, and the cause outweighs the one that was picked.
    fn established(&self, run: usize, picked: Option<&Claim>) -> Option<Cause> {
        let CaseRun { failed, passes, .. } = self.runs[run];
        if !failed {
            return None;
        }
        let fails_by_packets = fails_by_packets(&self.runs[run], &self.claims[run]);
        // A client that assumes a length may stop after the first packet beyond the end.
        let is_beyond = passes == PassCondition::FollowsRule(ProtocolRule::BeyondEnd);
        let lengths = |check: &&CauseCheck| is_beyond && check.id == "fixed-length";
        let is_unexplained = self.claims[run].is_empty();
        let may_show = |check: &&CauseCheck| {
            // Without a call nothing can arrive, whatever the exchange does.
            (fails_by_packets || lengths(check) || check.id == "never-calls")
                && (is_unexplained || !LAST_RESORTS.contains(&check.id))
                && self.gives(run, check)
                && !self.claims[run].iter().any(|claim| claim.id == check.id)
        };
        let shown = |check: &CauseCheck| {
            let runs = self.shown_by.get(check.id)?;
            let first = *runs.first()?;
            let claim = self.claims[first].iter().find(|claim| claim.id == check.id)?;
            // Where nothing specific is known, one run that shows a specific cause is enough.
            let is_shown = claim.strength == Strength::Specific || runs.len() >= ESTABLISHED_MIN;
            let enough = match picked {
                None => is_shown,
                // A crash is often only the end of what another mistake began.
                Some(crash) if crash.id == "crash" => {
                    is_shown && runs.len() > self.unexplained(crash, check)
                }
                Some(other) => {
                    runs.len() >= ESTABLISHED_MIN && outweighs(runs.len(), self.support(other))
                }
            };
            enough.then_some((runs.len(), first, claim))
        };
        let found = checks::CHECKS.iter().filter(may_show).filter_map(shown);
        let (support, first, claim) = found.max_by_key(|(support, ..)| *support)?;
        let place = self.runs[first].case.map_or("another case", |case| case.id);
        let shown_by = u32::try_from(support).unwrap_or(u32::MAX);
        Some(Cause { id: claim.id, text: format!("as in {place}: {}", claim.text), shown_by })
    }
}

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
