//! `--watch`: grades a client again whenever one of its files changes.
//!
//! A run begins with the cases that failed in the run before, because those are what the person is
//! mending. A change in the middle of a run stops it, and the next one begins.

use crate::error::{Exit, Failure};
use crate::grade::baseline::Baseline;
use crate::grade::cases::Case;
use crate::grade::diagnose;
use crate::grade::judge::verdict::{CaseOutcome, Verdict};
use crate::grade::report::json::ReportInput;
use crate::grade::report::live::{LeftOut, LiveReport};
use crate::grade::report::terminal::{self, layout::Paint};
use crate::grade::report_files::ReportFiles;
use crate::grade::run::attempt::AttemptSetup;
use crate::grade::run::case_runner::RunObserver;
use crate::grade::run::run_folder::RunFolder;
use crate::grade::watched_files::WatchedFiles;
use crate::grade::{GradeArgs, exit_code};
use crate::net::Stop;
use crate::terminal::message::{is_stdout_closed, print, show_failure};
use crate::text::formatting::count;
use crate::text::location::shown;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Minimum time between two looks at the files.
const LOOK: Duration = Duration::from_millis(100);
/// Share of the time that looks may take, as a divisor: looks that take long are made less often.
const LOOK_SHARE: u32 = 10;

/// Grades again and again.
pub(crate) struct Regrader<'a> {
    pub(crate) args: &'a GradeArgs,
    pub(crate) setup: &'a AttemptSetup,
    /// Cases in the order of the table.
    pub(crate) cases: &'a [&'static Case],
    pub(crate) paint: Paint,
    /// Request of the user to stop.
    pub(crate) stop: &'a Stop,
}

/// End of one run.
enum RunEnd {
    /// All cases have an outcome.
    Finished(Vec<CaseOutcome>),
    /// A file changed in the middle of the run.
    Changed(PathBuf),
    /// The user stopped the grader.
    Stopped,
}

impl Regrader<'_> {
    /// Grades until the user stops, or until nobody reads what it prints, and returns the exit code
    /// of the last run.
    ///
    /// # Errors
    /// Returns an error if the first run cannot begin, or stdout cannot be written.
    pub(crate) fn run(&self, remark: Option<&str>) -> Result<Exit, Failure> {
        let root = std::env::current_dir().map_err(|source| Failure::System {
            action: "cannot determine the current folder",
            source,
        })?;
        let reports = self.args.reports().into_iter().filter_map(|(_, path)| path.clone());
        let output = self.setup.output.clone();
        let named = self.setup.client.files();
        let mut files = WatchedFiles::new(&root, named, reports.chain(output));
        let mut before: Option<Vec<CaseOutcome>> = None;
        let mut last_exit = Exit::Incomplete;
        let mut remark = remark;
        loop {
            let end = match self.run_once(&mut files, before.as_deref(), remark.take()) {
                Ok(end) => end,
                // A client that cannot be started is mended like any other.
                Err(failure) if before.is_some() => {
                    show_failure(&failure);
                    RunEnd::Finished(Vec::new())
                }
                Err(failure) => return Err(failure),
            };
            let changed = match end {
                RunEnd::Stopped => return Ok(Exit::Incomplete),
                RunEnd::Changed(path) => Some(path),
                RunEnd::Finished(outcomes) => {
                    if !outcomes.is_empty() {
                        last_exit = exit_code(&outcomes, None, &Stop::new());
                        before = Some(outcomes);
                    }
                    let watched = count(files.count() as u64, "file");
                    print(&self.paint.dim(&format!("watching {watched}; Ctrl+C ends")))?;
                    print("\n")?;
                    self.wait(&mut files)
                }
            };
            let Some(changed) = changed else { return Ok(last_exit) };
            let changed = format!("{} changed", shown(files.name(&changed)));
            print(&format!("\n{}\n", self.paint.bold(&format!("── {changed} ──"))))?;
        }
    }

    /// Waits for a change, and then until the files are at rest. Returns `None` if the user stops
    /// the grader, or if nobody reads what it prints.
    fn wait(&self, files: &mut WatchedFiles) -> Option<PathBuf> {
        let mut changed: Option<PathBuf> = None;
        while !self.stop.asked() && !is_stdout_closed() {
            let began = Instant::now();
            let found = files.changed();
            if found.is_none() && changed.is_some() {
                return changed;
            }
            changed = found.or(changed);
            std::thread::sleep(pause(began.elapsed()));
        }
        None
    }

    /// Makes one run, with the cases first that failed before.
    fn run_once(
        &self,
        files: &mut WatchedFiles,
        before: Option<&[CaseOutcome]>,
        remark: Option<&str>,
    ) -> Result<RunEnd, Failure> {
        let (mut live, reports) = (LiveReport::new(self.paint), self.reports()?);
        let parts = self.parts(before);
        let passed = before.unwrap_or_default().iter();
        let passed = passed.filter(|outcome| outcome.verdict == Verdict::Pass);
        let passes = passed.map(|outcome| outcome.case.id).collect();
        live.leave_out(LeftOut { passes, not_run: true });
        if before.is_none() {
            let folder = RunFolder::open()?;
            let expected = self.args.runner(self.setup, &folder, self.cases).expected();
            let heading = terminal::heading(self.setup, self.cases.len(), expected, self.paint);
            print(&heading)?;
        }
        remark.iter().for_each(|remark| live.on_remark(remark));
        let round = Stop::new();
        let (ran, changed) =
            self.watched(files, &round, || self.run_parts(&parts, &round, &mut live));
        live.end()?;
        match changed {
            _ if self.stop.asked() => return Ok(RunEnd::Stopped),
            // An error may come from the change: a program that is just being compiled.
            Some(path) => return Ok(RunEnd::Changed(path)),
            None => {}
        }
        let mut outcomes = ran?;
        diagnose::explain(&mut outcomes);
        files.on_run(outcomes.iter().filter_map(output));
        let identity = self.setup.identity();
        let before = before.map(|before| Baseline::of(before, &identity));
        let changes = before.map(|before| before.compare(&outcomes, &identity));
        let input =
            ReportInput { outcomes: &outcomes, setup: self.setup, changes: changes.as_ref() };
        print(&terminal::details(&input, self.paint))?;
        reports.write(&input)?;
        Ok(RunEnd::Finished(outcomes))
    }

    /// Opens the report files.
    fn reports(&self) -> Result<ReportFiles, Failure> {
        ReportFiles::open(self.args, &self.setup.client)
    }

    /// Returns the cases in the order in which they run: those that failed before, and the others.
    fn parts(&self, before: Option<&[CaseOutcome]>) -> [Vec<&'static Case>; 2] {
        let passed = |case: &Case| {
            let before = before.unwrap_or_default().iter().find(|known| known.case.id == case.id);
            before.is_none_or(|before| before.verdict == Verdict::Pass)
        };
        let (others, failed) = self.cases.iter().partition(|case| passed(case));
        [failed, others]
    }

    /// Runs both parts of the cases, and returns the outcomes in the order of the table.
    fn run_parts(
        &self,
        parts: &[Vec<&'static Case>; 2],
        round: &Stop,
        live: &mut LiveReport,
    ) -> Result<Vec<CaseOutcome>, Failure> {
        // Copies that all cases share must be those of this run.
        let folder = RunFolder::open()?;
        let mut outcomes: Vec<CaseOutcome> = Vec::new();
        for cases in parts.iter().filter(|cases| !cases.is_empty()) {
            let runner = self.args.runner(self.setup, &folder, cases);
            outcomes.extend(runner.run_all(round, live)?);
        }
        let place =
            |outcome: &CaseOutcome| self.cases.iter().position(|case| case.id == outcome.case.id);
        outcomes.sort_by_key(place);
        Ok(outcomes)
    }

    /// Calls `run` while a thread watches the files and the user. Returns the result, and the
    /// file whose change has stopped the run.
    fn watched<T>(
        &self,
        files: &mut WatchedFiles,
        round: &Stop,
        run: impl FnOnce() -> T,
    ) -> (T, Option<PathBuf>) {
        std::thread::scope(|scope| {
            let (finished, wait) = channel::<()>();
            let watcher = scope.spawn(move || {
                let mut took = Duration::ZERO;
                loop {
                    let is_over = wait.recv_timeout(pause(took)) != Err(RecvTimeoutError::Timeout);
                    if self.stop.asked() {
                        round.stop();
                    }
                    let began = Instant::now();
                    let changed = files.changed_in_run();
                    if changed.is_some() {
                        round.stop();
                        return changed;
                    }
                    if is_over {
                        return None;
                    }
                    took = began.elapsed();
                }
            });
            let result = run();
            drop(finished);
            (result, watcher.join().ok().flatten())
        })
    }
}

/// Returns the time until the next look at the files, after one that took `took`.
fn pause(took: Duration) -> Duration {
    LOOK.max(took * LOOK_SHARE)
}

/// Returns the file that a run has found to be the output.
fn output(outcome: &CaseOutcome) -> Option<PathBuf> {
    outcome.shown.as_ref()?.evidence.output_name().map(PathBuf::from)
}
