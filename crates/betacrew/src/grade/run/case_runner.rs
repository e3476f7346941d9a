//! Runs of all cases, one after another or several at a time.

use crate::error::Failure;
use crate::grade::cases::{Case, Severity};
use crate::grade::judge::judge;
use crate::grade::judge::verdict::{Attempt, CaseOutcome, Verdict};
use crate::grade::run::attempt::{self, AttemptSetup};
use crate::grade::run::run_folder::RunFolder;
use crate::net::Stop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

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
    /// Number of cases run at a time, at least 1.
    pub(crate) jobs: usize,
}

impl CaseRunner<'_> {
    /// Runs all cases and calls `on_outcome` with each outcome, in the order of the cases.
    ///
    /// Cases after a stop by the user count as not run. If the client never connects in the first
    /// case, all cases count as not run, because the client probably connects to another address.
    ///
    /// # Errors
    /// Returns an error if the client cannot be started or an exchange cannot listen.
    pub(crate) fn run_all(
        &self,
        stop: &Stop,
        mut on_outcome: impl FnMut(&CaseOutcome),
    ) -> Result<Vec<CaseOutcome>, Failure> {
        let mut outcomes: Vec<CaseOutcome> = Vec::with_capacity(self.cases.len());
        let Some((first, rest)) = self.cases.split_first() else { return Ok(outcomes) };
        let outcome = self.case(first, stop)?;
        on_outcome(&outcome);
        let never_connected = first.exchange_setup.is_some() && outcome.verdict == Verdict::NotRun;
        outcomes.push(outcome);
        if never_connected || stop.asked() {
            outcomes
                .extend(rest.iter().map(|case| CaseOutcome::not_run(case, self.severity(case))));
            return Ok(outcomes);
        }
        self.run_concurrently(rest, stop, &mut outcomes, &mut on_outcome)?;
        Ok(outcomes)
    }

    /// Runs cases on `jobs` threads, and calls `on_outcome` in the order of the cases.
    fn run_concurrently(
        &self,
        cases: &[&'static Case],
        stop: &Stop,
        outcomes: &mut Vec<CaseOutcome>,
        on_outcome: &mut impl FnMut(&CaseOutcome),
    ) -> Result<(), Failure> {
        let (next, failed) = (AtomicUsize::new(0), Stop::new());
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(cases.len()) {
                let (sender, next, failed) = (sender.clone(), &next, &failed);
                scope.spawn(move || self.run_queue(cases, next, (stop, failed), &sender));
            }
            drop(sender);
            let mut waiting: Vec<Option<CaseOutcome>> = vec![None; cases.len()];
            let mut reported = 0;
            let mut failure = None;
            for (index, done) in receiver {
                match done {
                    Ok(outcome) => waiting[index] = Some(outcome),
                    Err(error) => {
                        failed.stop();
                        failure.get_or_insert(error);
                    }
                }
                while let Some(outcome) = waiting.get_mut(reported).and_then(Option::take) {
                    on_outcome(&outcome);
                    outcomes.push(outcome);
                    reported += 1;
                }
            }
            failure.map_or(Ok(()), Err)
        })
    }

    /// Runs cases from the common queue until it is empty; runs none after a failure elsewhere.
    fn run_queue(
        &self,
        cases: &[&'static Case],
        next: &AtomicUsize,
        (stop, failed): (&Stop, &Stop),
        sender: &Sender<(usize, Result<CaseOutcome, Failure>)>,
    ) {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return };
            let done = match failed.asked() {
                true => Ok(CaseOutcome::not_run(case, self.severity(case))),
                false => self.case(case, stop),
            };
            if sender.send((index, done)).is_err() {
                return;
            }
        }
    }

    /// Returns the severity of a case, which is always must in strict mode.
    fn severity(&self, case: &Case) -> Severity {
        if self.strict { Severity::Must } else { case.severity }
    }

    /// Runs one case `repeat` times and judges each run.
    fn case(&self, case: &'static Case, stop: &Stop) -> Result<CaseOutcome, Failure> {
        let severity = self.severity(case);
        let mut runs = Vec::new();
        let mut reached = case.exchange_setup.is_none();
        for _ in 0..self.repeat {
            if stop.asked() {
                return Ok(CaseOutcome::not_run(case, severity));
            }
            let Some(evidence) = attempt::run(self.setup, case, self.folder, stop)? else {
                return Ok(CaseOutcome::not_run(case, severity));
            };
            reached |= attempt::has_connected(&evidence.wire);
            let judged = judge(case, &evidence);
            runs.push(Attempt { evidence, judged });
        }
        let outcome = CaseOutcome::of(case, severity, runs);
        let verdict = if reached { outcome.verdict } else { Verdict::NotRun };
        Ok(CaseOutcome { verdict, ..outcome })
    }
}
