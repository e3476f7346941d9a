//! Failures of cases that ran beside others, until it is sure that the others did not cause them.
//!
//! A failure beside others may have two causes that are not the client's: the machine was busy, or
//! two clients were in each other's way, for example by a file of one name. So a few failures are
//! probed alone. If one of them then passes, all others run again alone as well. Otherwise a
//! failure counts if its run was as undisturbed as one alone, or if it fails in the same way
//! once more beside only a few others. What is still in doubt runs again alone.

use crate::grade::judge::verdict::{Attempt, CaseOutcome, Verdict};
use crate::grade::observe::evidence::Evidence;
use crate::grade::run::process::ProcessEnd;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Number of failures that are probed alone.
const PROBES: usize = 2;
/// Maximum time for which the exchange may be late in an undisturbed run.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Maximum time for which the client may wait for a processor in an undisturbed run. It is shorter
/// than the time-outs that clients have.
const QUEUED_MAX: Duration = Duration::from_millis(100);
/// Maximum share of a long run for which the client may wait for a processor, as a divisor.
const QUEUED_SHARE: u32 = 50;
/// Maximum share of the run of a client that computes until it is killed. It is larger, because
/// only the time that the client was given counts.
const COMPUTING_SHARE: u32 = 5;

/// Way in which a failed case runs again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rerun {
    /// Alone, and what comes of it is a sign for all others.
    Probe,
    /// Beside a few others.
    Confirmation,
    /// Alone.
    Alone,
}

/// Next step with the failures.
#[derive(Debug)]
pub(crate) enum NextStep {
    /// Run the case with this index again.
    Run(usize, Rerun),
    /// The outcome of the case with this index counts.
    Settle(usize, Box<CaseOutcome>),
}

/// Effect that cases have on each other, as far as probes have shown.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Influence {
    /// No probe has ended yet.
    #[default]
    Unknown,
    /// Probes failed alone as well.
    None,
    /// A probe passed alone.
    Some,
}

/// Failures of cases that ran beside others.
#[derive(Default, Debug)]
pub(crate) struct Suspects {
    /// Failures whose next step is not decided, by the index of their case.
    waiting: BTreeMap<usize, CaseOutcome>,
    /// Failures that run again now, with their outcome before.
    running: BTreeMap<usize, CaseOutcome>,
    /// Cases that only a run alone can decide.
    alone: VecDeque<usize>,
    influence: Influence,
}

impl Suspects {
    /// Adds a failure of a case that ran beside others.
    pub(crate) fn add(&mut self, index: usize, outcome: CaseOutcome) {
        self.waiting.insert(index, outcome);
    }

    /// Adds a case that only a run alone can decide.
    pub(crate) fn add_for_alone(&mut self, index: usize) {
        self.running.remove(&index);
        self.alone.push_back(index);
    }

    /// Returns the number of cases that may run again.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.alone.len()
    }

    /// Forgets all cases, because the grader stops.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.alone.clear();
    }

    /// Returns the next step, if there is one while `in_flight` cases run. At most `few` cases run
    /// side by side.
    pub(crate) fn next(&mut self, in_flight: usize, few: usize) -> Option<NextStep> {
        match self.influence {
            Influence::Unknown => {
                let probe = (in_flight == 0).then(|| self.probe()).flatten()?;
                Some(self.run(probe, Rerun::Probe))
            }
            Influence::Some => {
                self.alone.extend(std::mem::take(&mut self.waiting).into_keys());
                self.run_alone(in_flight)
            }
            Influence::None => {
                let sure = self.waiting.iter().find(|(_, outcome)| is_undisturbed(outcome));
                if let Some(index) = sure.map(|(index, _)| *index) {
                    let outcome = self.waiting.remove(&index)?;
                    return Some(NextStep::Settle(index, Box::new(outcome)));
                }
                match self.waiting.keys().next().copied() {
                    Some(index) if in_flight < few => Some(self.run(index, Rerun::Confirmation)),
                    Some(_) => None,
                    None => self.run_alone(in_flight),
                }
            }
        }
    }

    fn run_alone(&mut self, in_flight: usize) -> Option<NextStep> {
        let index = (in_flight == 0).then(|| self.alone.pop_front()).flatten()?;
        Some(NextStep::Run(index, Rerun::Alone))
    }

    /// Returns the failure that says most about the others: the one that took the least time.
    fn probe(&self) -> Option<usize> {
        let took =
            |outcome: &CaseOutcome| outcome.shown.as_ref().map(|shown| shown.evidence.process.took);
        let shortest = self.waiting.iter().min_by_key(|(_, outcome)| took(outcome));
        shortest.map(|(index, _)| *index)
    }

    fn run(&mut self, index: usize, how: Rerun) -> NextStep {
        if let Some(outcome) = self.waiting.remove(&index) {
            self.running.insert(index, outcome);
        }
        NextStep::Run(index, how)
    }

    /// Takes the outcome of a case that ran again. Returns it if it counts; otherwise the case runs
    /// once more.
    pub(crate) fn on_done(
        &mut self,
        index: usize,
        how: Rerun,
        outcome: CaseOutcome,
        probed: usize,
    ) -> Option<CaseOutcome> {
        let before = self.running.remove(&index);
        match how {
            Rerun::Alone => Some(outcome),
            Rerun::Probe => {
                if outcome.verdict == Verdict::Pass {
                    self.influence = Influence::Some;
                } else if probed >= PROBES || self.waiting.is_empty() {
                    self.influence = Influence::None;
                }
                Some(outcome)
            }
            Rerun::Confirmation => {
                let counts = outcome.verdict == Verdict::Pass
                    || is_undisturbed(&outcome)
                    || before.is_some_and(|before| fails_alike(&before, &outcome));
                if !counts {
                    self.alone.push_back(index);
                }
                counts.then_some(outcome)
            }
        }
    }
}

/// Returns whether nothing on the machine has disturbed any run of a case: the exchange sent in
/// time, each write arrived in a read of its own where it must, and the client had a processor
/// whenever it wanted one.
fn is_undisturbed(outcome: &CaseOutcome) -> bool {
    // A flaky case has runs that are not shown.
    outcome.runs.of == 1
        && outcome.shown.as_ref().is_some_and(|Attempt { evidence, .. }| had_machine(evidence))
}

fn had_machine(evidence: &Evidence) -> bool {
    let process = &evidence.process;
    let computes = process.ended == ProcessEnd::Killed
        && process.busy.is_some_and(|busy| busy > process.took / 2);
    let share = if computes { COMPUTING_SHARE } else { QUEUED_SHARE };
    let queued_max = QUEUED_MAX.max(process.took / share);
    let has_processor = process.queued.is_some_and(|queued| queued <= queued_max);
    // A client that had a processor and computed did not read late because of the machine.
    let reads_in_order = computes || evidence.wire.conns.iter().all(|conn| conn.read_one_by_one);
    has_processor && reads_in_order && evidence.wire.late <= LATE_MAX
}

/// Returns whether two outcomes of a case are the same failure.
fn fails_alike(one: &CaseOutcome, other: &CaseOutcome) -> bool {
    let failure = |outcome: &CaseOutcome| outcome.shown.as_ref()?.judged.failure.clone();
    let end = |outcome: &CaseOutcome| Some(outcome.shown.as_ref()?.evidence.process.ended);
    let (Some(first), Some(second)) = (failure(one), failure(other)) else { return false };
    let cause = |outcome: &CaseOutcome| outcome.cause().map(|cause| cause.id);
    let is_alike = cause(one).is_some() && cause(one) == cause(other);
    let was_killed = |outcome| end(outcome) == Some(ProcessEnd::Killed);
    one.verdict == other.verdict
        && (is_alike || first.actual == second.actual)
        && was_killed(one) == was_killed(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;
    use crate::grade::cases::PassCondition::Complete;
    use crate::grade::diagnose::testing::{RunBuilder, classic_run};
    use crate::grade::judge::judge;

    /// Returns the outcome of a run of the case with this index, for which the client waited for a
    /// processor this long.
    fn outcome(index: usize, run: RunBuilder, queued: u64) -> CaseOutcome {
        let mut evidence = run.evidence();
        evidence.process.queued = Some(Duration::from_millis(queued));
        evidence.wire.conns.iter_mut().for_each(|conn| conn.read_one_by_one = true);
        let case = CASES.iter().filter(|case| case.passes == Complete).nth(index).unwrap();
        let judged = judge(case, &evidence);
        CaseOutcome::of(case, case.severity, vec![Attempt { evidence, judged }])
    }

    fn passes(index: usize) -> CaseOutcome {
        outcome(index, classic_run().stream(1..=14).write(1..=14), 0)
    }

    fn fails(index: usize, queued: u64) -> CaseOutcome {
        outcome(index, classic_run().stream(2..=14).write(2..=14), queued)
    }

    /// Returns failures of the first cases that waited this long for a processor.
    fn suspects(queued: &[u64]) -> Suspects {
        let mut suspects = Suspects::default();
        for (index, queued) in queued.iter().enumerate() {
            suspects.add(index, fails(index, *queued));
        }
        suspects
    }

    /// Returns the index and the way of the next run.
    fn run(suspects: &mut Suspects, in_flight: usize) -> Option<(usize, Rerun)> {
        match suspects.next(in_flight, 2) {
            Some(NextStep::Run(index, how)) => Some((index, how)),
            None => None,
            Some(settled) => panic!("{settled:?}"),
        }
    }

    /// Lets all probes fail.
    fn probe(suspects: &mut Suspects) {
        for probed in 1..=PROBES {
            let (index, how) = run(suspects, 0).unwrap();
            assert_eq!(how, Rerun::Probe);
            assert!(suspects.on_done(index, how, fails(index, 0), probed).is_some());
        }
    }

    #[test]
    fn if_one_passes_alone_all_run_alone() {
        let mut suspects = suspects(&[0, 0, 900]);
        assert_eq!(run(&mut suspects, 1), None, "a probe runs alone");
        let (index, how) = run(&mut suspects, 0).unwrap();
        assert!(suspects.on_done(index, how, passes(index), 1).is_some());
        for _ in 0..2 {
            let (index, how) = run(&mut suspects, 0).unwrap();
            assert_eq!((how, run(&mut suspects, 1)), (Rerun::Alone, None));
            assert!(suspects.on_done(index, how, fails(index, 900), 1).is_some());
        }
        assert_eq!(run(&mut suspects, 0), None);
    }

    #[test]
    fn undisturbed_failures_count_and_others_are_confirmed() {
        let mut suspects = suspects(&[0, 0, 0, 900, 900, 900]);
        probe(&mut suspects);
        let sure = suspects.next(5, 2);
        assert!(matches!(sure, Some(NextStep::Settle(2, _))), "{sure:?}");
        let confirmed = run(&mut suspects, 0);
        assert_eq!(confirmed, Some((3, Rerun::Confirmation)));
        assert_eq!(run(&mut suspects, 1), Some((4, Rerun::Confirmation)));
        assert_eq!(run(&mut suspects, 2), None, "only a few side by side");
        let again = |suspects: &mut Suspects, index, outcome| {
            suspects.on_done(index, Rerun::Confirmation, outcome, PROBES).is_some()
        };
        assert!(again(&mut suspects, 3, fails(3, 900)), "the same failure");
        assert!(again(&mut suspects, 4, passes(4)));
        assert_eq!(run(&mut suspects, 0), Some((5, Rerun::Confirmation)));
        let other = outcome(5, classic_run().stream(1..=14).ended(ProcessEnd::Exited(7)), 900);
        assert!(!again(&mut suspects, 5, other), "another failure, and disturbed");
        assert_eq!(run(&mut suspects, 0), Some((5, Rerun::Alone)));
    }

    #[test]
    fn a_run_is_undisturbed_only_if_all_measures_say_so() {
        let run = || classic_run().stream(1..=14).evidence();
        let is = |change: fn(&mut Evidence)| {
            let mut evidence = run();
            evidence.process.queued = Some(Duration::ZERO);
            evidence.wire.conns.iter_mut().for_each(|conn| conn.read_one_by_one = true);
            change(&mut evidence);
            had_machine(&evidence)
        };
        assert!(is(|_| {}));
        assert!(!is(|evidence| evidence.process.queued = None), "unknown");
        assert!(!is(|evidence| evidence.process.queued = Some(QUEUED_MAX * 2)));
        assert!(!is(|evidence| evidence.wire.late = LATE_MAX * 2));
        let computing = |queued: u64| {
            let mut evidence = classic_run().stream(1..=14).ended(ProcessEnd::Killed).evidence();
            evidence.wire.conns[0].read_one_by_one = true;
            let process = &mut evidence.process;
            process.took = Duration::from_secs(10);
            process.busy = Some(Duration::from_secs(10));
            process.queued = Some(Duration::from_millis(queued));
            had_machine(&evidence)
        };
        assert!(computing(1900) && !computing(2100));
        let mut unread = classic_run().stream(1..=14).ended(ProcessEnd::Killed).evidence();
        unread.wire.conns[0].read_one_by_one = false;
        unread.process.queued = Some(Duration::ZERO);
        (unread.process.took, unread.process.busy) = (QUEUED_MAX * 100, Some(QUEUED_MAX * 100));
        assert!(had_machine(&unread), "it computes instead of reading");
        assert!(!is(|evidence| evidence.wire.conns[0].read_one_by_one = false));
    }
}
