//! Runs of all cases, as many side by side as the machine has room for.
//!
//! The first case runs alone, because it shows whether the client connects at all, where it writes
//! and what it costs. The others start in the order of their usual time, the longest first; those
//! start before all others in which a client that lingers takes as long as it likes. A case
//! that fails while others run says little, because they may have slowed it down: `suspects` says
//! whether it runs again at the end, and which run counts.

use crate::error::Failure;
use crate::grade::cases::{Case, PassCondition, Severity};
use crate::grade::judge::verdict::{Attempt, CaseOutcome, Verdict};
use crate::grade::judge::{Observation, judge};
use crate::grade::run::attempt::{self, AttemptSetup, SharedState, SilentConnections};
use crate::grade::run::endless::{LEARNED_AFTER as ENDLESS_AFTER, SPIN_LEARNED, SpinCount};
use crate::grade::run::lingering::{LEARNED_AFTER, LingerCount};
use crate::grade::run::machine::MachineProbe;
use crate::grade::run::run_folder::RunFolder;
use crate::grade::run::start_pacer::{JobLimit, RunningCases, StartPacer};
use crate::grade::run::suspects::{NextStep, Rerun, Suspects};
use crate::grade::run::warnings;
use crate::net::Stop;
use crate::text::formatting::{count, took};
use feed::faults::scenario::IDLE;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Interval at which the machine is measured and the progress is shown.
const TICK: Duration = Duration::from_millis(20);
/// Usual time of a case that runs again, for the progress.
const SUSPECT_TIME: Duration = Duration::from_millis(800);

/// Selection of cases, with the settings of their runs.
pub(crate) struct CaseRunner<'a> {
    /// Settings that all runs share.
    pub(crate) setup: &'a AttemptSetup,
    /// Folder that receives the copies of the client's folder.
    pub(crate) folder: &'a RunFolder,
    /// Cases to run, in the order of the report.
    pub(crate) cases: &'a [&'static Case],
    /// True if every case counts as a must.
    pub(crate) strict: bool,
    /// Number of runs of each case, at least 1.
    pub(crate) repeat: u32,
    /// Number of cases that run side by side.
    pub(crate) jobs: JobLimit,
}

/// Observer of the runs.
pub(crate) trait RunObserver {
    /// Called once for each case, in the order of the cases.
    fn on_outcome(&mut self, outcome: &CaseOutcome);
    /// Called again and again while cases run.
    fn on_progress(&mut self, progress: &RunProgress);
    /// Called with a remark about the whole run.
    fn on_remark(&mut self, remark: &str);
}

/// Progress of the runs.
#[derive(Clone, Default, Debug)]
pub(crate) struct RunProgress {
    /// Cases that run, with the time since their start.
    pub(crate) in_flight: Vec<(&'static Case, Duration)>,
    /// Number of cases whose verdict is known.
    pub(crate) settled: usize,
    /// Number of all cases.
    pub(crate) all: usize,
    /// Number of cases that failed beside others and may run again.
    pub(crate) to_repeat: usize,
    /// Expected time until the end, if the client passes what is left.
    pub(crate) left: Duration,
}

/// Case that runs.
#[derive(Clone, Copy, Debug)]
struct RunningCase {
    index: usize,
    began: Instant,
    /// True if another case ran at any time since its start.
    beside_others: bool,
    /// Way in which it runs again, if it failed before.
    again: Option<Rerun>,
}

/// Message of a case's thread: the index of the case, and its outcome.
type Done = (usize, Result<CaseOutcome, Failure>);

/// State of the runs.
struct RunState<'a, O> {
    runner: &'a CaseRunner<'a>,
    shared: SharedState<'a>,
    observer: &'a mut O,
    pacer: StartPacer,
    machine: MachineProbe,
    /// Cases that have not started, the next one first.
    queue: VecDeque<usize>,
    in_flight: Vec<RunningCase>,
    /// Cases that failed beside others.
    suspects: Suspects,
    /// Outcomes by case, until they are reported.
    waiting: Vec<Option<CaseOutcome>>,
    /// Reported outcomes.
    reported: Vec<CaseOutcome>,
    settled: usize,
    ended: u32,
    last_start: Instant,
    /// Number of runs that were repeated, and of those among them that passed then.
    repeated: (u64, u64),
    /// Number of failures that were probed alone.
    probed: usize,
    failure: Option<Failure>,
}

impl CaseRunner<'_> {
    /// Runs all cases.
    ///
    /// Cases after a stop by the user count as not run. If the client never connects in the first
    /// case, all cases count as not run, because the client probably connects to another address.
    ///
    /// # Errors
    /// Returns an error if the client cannot be started or an exchange cannot listen.
    pub(crate) fn run_all(
        &self,
        stop: &Stop,
        observer: &mut impl RunObserver,
    ) -> Result<Vec<CaseOutcome>, Failure> {
        let (lingering, spinning) = (LingerCount::default(), SpinCount::default());
        let (output_name, complete_name) = (OnceLock::new(), OnceLock::new());
        let resting = AtomicUsize::new(0);
        let shared = SharedState {
            folder: self.folder,
            lingering: &lingering,
            spinning: &spinning,
            output_name: &output_name,
            complete_name: &complete_name,
            resting: &resting,
            stop,
        };
        let mut order: Vec<usize> = (1..self.cases.len()).collect();
        order.sort_by_key(|index| Reverse(self.cases[*index].start_priority()));
        let mut state = RunState {
            runner: self,
            shared,
            observer,
            pacer: StartPacer::new(self.jobs),
            machine: MachineProbe::new(),
            queue: (0..self.cases.len().min(1)).collect(),
            in_flight: Vec::new(),
            suspects: Suspects::default(),
            waiting: vec![None; self.cases.len()],
            reported: Vec::new(),
            settled: 0,
            ended: 0,
            last_start: Instant::now(),
            repeated: (0, 0),
            probed: 0,
            failure: None,
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            // A client that lingers shows everything before it ends.
            state.run(scope, &sender, &receiver, |state| {
                state.shared.complete_name.get().is_some() && state.pacer.limit != JobLimit::One
            });
            if state.first_connected() {
                state.queue.extend(order);
                state.limit_shared_output();
                state.run(scope, &sender, &receiver, |_| false);
            }
        });
        state.finish()
    }

    /// Returns the time that a client without a fault takes for all cases.
    pub(crate) fn expected(&self) -> Duration {
        StartPacer::new(self.jobs).expected(self.cases.iter().map(|case| case.usual_time()))
    }

    /// Returns the severity of a case, which is always must in strict mode.
    fn severity(&self, case: &Case) -> Severity {
        if self.strict { Severity::Must } else { case.severity }
    }

    /// Runs one case `repeat` times and judges each run.
    fn case(&self, case: &'static Case, shared: SharedState<'_>) -> Result<CaseOutcome, Failure> {
        let severity = self.severity(case);
        let mut runs = Vec::new();
        let mut reached = case.exchange_setup.is_none();
        for _ in 0..self.repeat {
            if shared.stop.asked() {
                return Ok(CaseOutcome::not_run(case, severity));
            }
            let Some(attempt) = self.attempt(case, shared)? else {
                return Ok(CaseOutcome::not_run(case, severity));
            };
            reached |= attempt::has_connected(&attempt.evidence.wire);
            runs.push(attempt);
        }
        let outcome = CaseOutcome::of(case, severity, runs);
        let verdict = if reached { outcome.verdict } else { Verdict::NotRun };
        Ok(CaseOutcome { verdict, ..outcome })
    }
}

impl CaseRunner<'_> {
    /// Runs the client once in a case and judges the run. Returns `None` if the user stopped the
    /// grader.
    ///
    /// A client that fails because the exchange has ended a silent connection runs again without
    /// that, because the original never ends one. If it passes then, that run counts.
    fn attempt(&self, case: &Case, shared: SharedState<'_>) -> Result<Option<Attempt>, Failure> {
        let run = |silent| -> Result<Option<Attempt>, Failure> {
            let evidence = attempt::run(self.setup, case, silent, shared)?;
            Ok(evidence.map(|evidence| Attempt { judged: judge(case, &evidence), evidence }))
        };
        let Some(first) = run(SilentConnections::AsPlayed)? else { return Ok(None) };
        // A client that waits for the end of connections which stay breaks no rule by it.
        let needs_packets = matches!(case.passes, PassCondition::Complete | PassCondition::InOrder);
        let has_failed = first.judged.failure.is_some() && needs_packets;
        if !has_failed || !first.evidence.was_ended_while_silent() {
            return Ok(Some(first));
        }
        let Some(mut kept) = run(SilentConnections::Kept)? else { return Ok(None) };
        let passes = kept.judged.failure.is_none() && kept.judged.not_judged.is_none();
        if passes {
            kept.judged.observations.push(Observation {
                kind: "2 silent connections",
                text: format!(
                    "it passes only if the exchange keeps a connection on which it is silent for \
                     {} between two resend calls; the original does, `betacrew serve` does not",
                    took(IDLE)
                ),
            });
        }
        Ok(Some(if passes { kept } else { first }))
    }
}

impl<'a, O: RunObserver> RunState<'a, O> {
    /// Runs all cases of the queue, and those again that failed beside others, until all have ended
    /// or `is_enough`.
    fn run<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        sender: &Sender<Done>,
        receiver: &Receiver<Done>,
        is_enough: impl Fn(&Self) -> bool,
    ) where
        'a: 'scope,
    {
        loop {
            while let Some((index, again)) = self.next_case() {
                self.start(index, again, scope, sender);
            }
            if self.in_flight.is_empty() || is_enough(self) {
                return;
            }
            self.show_progress();
            match receiver.recv_timeout(TICK) {
                Ok(done) => self.on_done(done),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Returns the case to start now, if one may start, and the way in which it runs again, if it
    /// does.
    fn next_case(&mut self) -> Option<(usize, Option<Rerun>)> {
        if self.failure.is_some() || self.shared.stop.asked() {
            self.queue.clear();
            self.suspects.clear();
        }
        if self.queue.is_empty() {
            return self.next_suspect().map(|(index, again)| (index, Some(again)));
        }
        let running = RunningCases {
            in_flight: self.in_flight.len(),
            resting: self.shared.resting.load(Ordering::Relaxed),
            ended: self.ended,
            since_start: self.last_start.elapsed(),
        };
        let may_start = self.pacer.may_start(running, self.machine.state());
        may_start.then(|| self.queue.pop_front()).flatten().map(|index| (index, None))
    }

    /// Returns the failed case to run again now, if one may start.
    fn next_suspect(&mut self) -> Option<(usize, Rerun)> {
        let few = self.pacer.few();
        while let Some(step) = self.suspects.next(self.in_flight.len(), few) {
            match step {
                NextStep::Settle(index, outcome) => self.settle(index, *outcome),
                NextStep::Run(index, again) => {
                    self.repeated.0 += 1;
                    self.probed += usize::from(again == Rerun::Probe);
                    return Some((index, again));
                }
            }
        }
        None
    }

    /// Starts a case on a thread of its own.
    fn start<'scope>(
        &mut self,
        index: usize,
        again: Option<Rerun>,
        scope: &'scope Scope<'scope, '_>,
        sender: &Sender<Done>,
    ) where
        'a: 'scope,
    {
        let others = !self.in_flight.is_empty();
        for other in &mut self.in_flight {
            other.beside_others = true;
        }
        let began = Instant::now();
        self.last_start = began;
        self.in_flight.push(RunningCase { index, began, beside_others: others, again });
        let (runner, shared, sender) = (self.runner, self.shared, sender.clone());
        let run = move || {
            // An error means that the runner has gone, which waits for this thread.
            let _ = sender.send((index, runner.case(runner.cases[index], shared)));
        };
        if let Err(source) = std::thread::Builder::new().spawn_scoped(scope, run) {
            self.in_flight.retain(|case| case.index != index);
            self.fail(Failure::System { action: "cannot start a thread for a case", source });
        }
    }

    /// Takes the outcome of a case that has ended.
    fn on_done(&mut self, (index, done): Done) {
        let place = self.in_flight.iter().position(|case| case.index == index);
        let case = place.map(|place| self.in_flight.swap_remove(place));
        let (beside_others, again) =
            case.map_or((false, None), |case| (case.beside_others, case.again));
        self.ended += 1;
        let outcome = match done {
            Err(failure) => return self.fail(failure),
            Ok(outcome) => outcome,
        };
        if let Some(again) = again {
            self.repeated.1 += u64::from(outcome.verdict == Verdict::Pass);
            // Side by side, an output in a shared folder may be that of another case.
            if again == Rerun::Confirmation && has_shared_output(&outcome) {
                self.suspects.add_for_alone(index);
            } else if let Some(outcome) = self.suspects.on_done(index, again, outcome, self.probed)
            {
                self.settle(index, outcome);
            }
        } else if beside_others && !is_certain(&outcome) {
            self.suspects.add(index, outcome);
        } else {
            self.settle(index, outcome);
        }
    }

    /// Keeps the first failure, after which no further case starts.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Keeps the final outcome of a case, and reports all outcomes whose turn it is.
    fn settle(&mut self, index: usize, outcome: CaseOutcome) {
        self.settled += 1;
        self.waiting[index] = Some(outcome);
        while let Some(outcome) = self.waiting.get_mut(self.reported.len()).and_then(Option::take) {
            self.observer.on_outcome(&outcome);
            self.reported.push(outcome);
        }
    }

    /// Returns whether the client has connected in the first case, if that case has an exchange.
    fn first_connected(&self) -> bool {
        let first = self.reported.first();
        // A client whose output is complete while it still runs has connected.
        let is_complete = self.shared.complete_name.get().is_some();
        (is_complete || first.is_some_and(|first| first.verdict != Verdict::NotRun))
            && !self.shared.stop.asked()
            && self.failure.is_none()
    }

    /// Runs one case after another if the client has written into a folder that all cases share.
    fn limit_shared_output(&mut self) {
        let early = self.shared.first_output().is_some_and(|name| Path::new(name).is_absolute());
        let written_outside = early || self.reported.iter().any(has_shared_output);
        if written_outside && self.pacer.limit != JobLimit::One {
            self.pacer.limit = JobLimit::One;
            self.observer.on_remark(
                "one case after another, because the client writes its output into a folder that \
                 all cases share; --output FILE with a relative path allows more",
            );
        }
    }

    /// Shows which cases run.
    fn show_progress(&mut self) {
        let usual = |index: usize| self.runner.cases[index].usual_time();
        let rest = |case: &RunningCase| usual(case.index).saturating_sub(case.began.elapsed());
        let running = self.in_flight.iter().map(rest);
        let queued = self.queue.iter().copied().map(usual);
        let few = u32::try_from(self.pacer.few()).unwrap_or(1);
        let again = SUSPECT_TIME * u32::try_from(self.suspects.len()).unwrap_or(0) / few;
        let progress = RunProgress {
            in_flight: self
                .in_flight
                .iter()
                .map(|case| (self.runner.cases[case.index], case.began.elapsed()))
                .collect(),
            settled: self.settled,
            all: self.runner.cases.len(),
            to_repeat: self.suspects.len(),
            left: self.pacer.expected(running.chain(queued)) + again,
        };
        self.observer.on_progress(&progress);
    }

    /// Makes the remarks that only the whole run shows.
    fn remark_at_end(&mut self) {
        let (repeated, passed) = self.repeated;
        if repeated > 0 {
            self.observer.on_remark(&format!(
                "of the cases that failed while others ran, {} ran again alone or beside a few: \
                 {passed} passed; only the last run counts",
                count(repeated, "case")
            ));
        }
        for (warning, times) in warnings::take() {
            let times = count(times, "time");
            self.observer.on_remark(&format!("exchanges of the cases warned {times}: {warning}"));
        }
        if self.shared.spinning.is_learned() {
            self.observer.on_remark(&format!(
                "the client computed until the time limit in {ENDLESS_AFTER} cases: after that it \
                 was ended when it had computed for {} with nothing on the wire, except in the \
                 group termination",
                took(SPIN_LEARNED)
            ));
        }
        if self.shared.lingering.is_learned() {
            self.observer.on_remark(&format!(
                "the client does not end when it has all packets: after {LEARNED_AFTER} such cases \
                 it was ended at once, except in the group termination"
            ));
        }
    }

    /// Returns all outcomes. Cases without one count as not run.
    fn finish(mut self) -> Result<Vec<CaseOutcome>, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let is_reported = self.reported.first().is_none_or(|c| c.verdict != Verdict::NotRun);
        for index in self.reported.len()..self.runner.cases.len() {
            let case = self.runner.cases[index];
            let outcome = self.waiting[index].take();
            let outcome =
                outcome.unwrap_or_else(|| CaseOutcome::not_run(case, self.runner.severity(case)));
            if is_reported {
                self.observer.on_outcome(&outcome);
            }
            self.reported.push(outcome);
        }
        self.remark_at_end();
        Ok(self.reported)
    }
}

/// Returns whether other cases that ran at the same time cannot have changed an outcome.
fn is_certain(outcome: &CaseOutcome) -> bool {
    matches!(outcome.verdict, Verdict::Pass | Verdict::NotJudged) && !has_shared_output(outcome)
}

/// Returns whether the client's output lies outside of the folder of its case, where other cases
/// may have written it.
fn has_shared_output(outcome: &CaseOutcome) -> bool {
    outcome.shown.as_ref().is_some_and(|shown| shown.evidence.has_output_outside())
}
