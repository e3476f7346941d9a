//! Simulated run of a recording, drawn from a seed: tape, scenarios, network, options, and the
//! times at which the client is killed, the power fails or the disk is full.
//!
//! *Safety*, at all times: every recorded packet is that of the tape, once, in order; the reported
//! missing packets are those that are missing; a recording that is reported complete is complete;
//! written or synced packets survive a crash; no exchange is asked for sequences that cannot exist;
//! the number of gaps stays within its bound. *Liveness*: a recording ends whatever the faults are;
//! and once no fault strikes any more, the same command ends with a complete recording, within a
//! bounded time.

use super::checks::shown;
use super::disk::Disk;
use super::plan::Crash;
pub use super::plan::SimPlan;
use super::recording_file::RecordingFile;
use super::session::OutagePlan;
use super::venue::Venue;
use super::world::{Progress, SimWorld, Stuck};
use crate::base::rng::Rng;
use crate::base::seq::SeqRange;
use crate::client::{IncompleteReason, Input, Outcome, Recorder};
use crate::faults::scenario::{Scenario, SlowSubscriberPolicy};
use crate::session::completeness::Facts;
use crate::sim::durable_expectation::DurabilityChecker;
pub use crate::sim::report::{SimReport, SimTrace, Violation};
use crate::tape::recorder::TapeRecorder;
use crate::tape::source::TapeSource;
use crate::wire::SessionId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of times that the client is started.
const TRIES_MAX: u32 = 60;
/// Maximum number of starts after the last fault.
const HEALED_TRIES_MAX: u32 = 3;
/// Maximum duration of a recording without faults.
const HEALED_MAX: Duration = Duration::from_secs(60);

/// Maximum number of events of all starts together.
const STEPS_MAX: u64 = 20_000_000;

/// Simulates the run of a plan.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate(seed: u64, plan: SimPlan) -> Result<SimReport, Violation> {
    SimRun::new(seed, plan).run()
}

/// Simulates the run of a plan, and adds the trace of its events to the result.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate_traced(seed: u64, plan: SimPlan) -> Result<SimReport, Violation> {
    let mut run = SimRun::new(seed, plan);
    run.world.start_trace();
    run.run()
}

pub(super) struct SimRun {
    seed: u64,
    pub(super) plan: SimPlan,
    rng: Rng,
    pub(super) world: SimWorld<Venue>,
    file: RecordingFile,
    healed: bool,
    /// Time of the client's last start.
    began: Duration,
    /// True if the user has stopped the current or the last recording.
    pub(super) stopped: bool,
    /// Session of the last recording, if its file has one.
    pub(super) session: Option<SessionId>,
    /// Sequences whose existence the last recording did not accept.
    pub(super) contradicted: Option<SeqRange>,
    /// True if an honest line has described the session to the last recorder.
    pub(super) heard: bool,
    pub(super) report: SimReport,
}

/// End of one start of the client.
enum Try {
    Over(Outcome),
    Crashed,
    /// The recorder looks for packets that do not exist.
    Deceived,
}

impl SimRun {
    fn new(seed: u64, plan: SimPlan) -> Self {
        let mut world = SimWorld::new(plan.venues(seed), plan.network, seed);
        world.speak(&plan.protocols);
        world.silence(plan.silences);
        plan.lawful().into_iter().for_each(|lawful| world.watch(lawful));
        let report = SimReport { packets: plan.tape.len(), ..SimReport::default() };
        let rng = Rng::new(!seed);
        let file = RecordingFile::new(plan.sync);
        Self {
            seed,
            plan,
            rng,
            world,
            file,
            healed: false,
            began: Duration::ZERO,
            stopped: false,
            session: None,
            contradicted: None,
            heard: false,
            report,
        }
    }

    fn run(mut self) -> Result<SimReport, Violation> {
        match self.run_tries() {
            Ok(()) => {
                self.report.delivered = self.world.delivered();
                self.report.steps = self.world.steps();
                self.report.took = self.world.now();
                self.report.trace = self.world.take_trace();
                Ok(self.report)
            }
            Err(what) => Err(Violation { seed: self.seed, what, trace: self.world.take_trace() }),
        }
    }

    fn run_tries(&mut self) -> Result<(), String> {
        let mut tries_healed = 0;
        let mut healed_at = None;
        for _ in 0..TRIES_MAX {
            let endless = self.world.steps() > STEPS_MAX;
            if (tries_healed > HEALED_TRIES_MAX || endless) && self.plan.deceives() {
                // The recorder accepts packets that do not exist.
                return Ok(());
            }
            if endless {
                return Err(format!("the run does not end: more than {STEPS_MAX} events"));
            }
            if tries_healed > HEALED_TRIES_MAX {
                return Err(format!("incomplete after {tries_healed} starts without a fault"));
            }
            let healed_before = self.healed;
            let outcome = match self.attempt()? {
                Try::Over(outcome) => outcome,
                Try::Crashed => continue,
                Try::Deceived => return Ok(()),
            };
            tries_healed += u32::from(self.healed);
            self.exchanges_are_content()?;
            if self.healed {
                let since = *healed_at.get_or_insert(self.plan.heals);
                let took = self.world.now().saturating_sub(since.max(self.plan.heals));
                if took > self.patience() && !self.plan.deceives() {
                    return Err(format!("a recording without a fault took {took:?}"));
                }
            }
            if outcome.is_complete() {
                return self.complete(&outcome, healed_before);
            }
            if outcome.reason == Some(IncompleteReason::OtherSession) && self.plan.second.is_some()
            {
                return Ok(());
            }
            let nothing = matches!(
                outcome.reason,
                Some(IncompleteReason::EndUnknown | IncompleteReason::NoAnswer)
            );
            if self.plan.tape.is_empty() && nothing {
                // An empty session delivers nothing, and cannot be distinguished from an exchange
                // that does not answer.
                return Ok(());
            }
            self.report.incomplete += 1;
            self.world.tell(|| format!("run: {outcome:?}; the client is started again"));
            // A user waits a little before the next start.
            let pause = Duration::from_millis(self.rng.between(0, 200).into());
            self.world.pass(pause);
            if self.report.incomplete > HEALED_TRIES_MAX && !self.healed {
                self.heal();
            }
        }
        Err(format!("incomplete after {TRIES_MAX} starts"))
    }

    /// Starts the client once.
    fn attempt(&mut self) -> Result<Try, String> {
        self.report.tries += 1;
        let crash = self.plan.crashes.pop();
        if let Some((_, Crash::Full(room))) = crash {
            self.file.limit(room);
        }
        let Some((tape_recorder, mut recorder)) = self.begin()? else { return Ok(Try::Crashed) };
        let mut checker = DurabilityChecker::new(tape_recorder);
        let began = self.world.now();
        (self.began, self.stopped) = (began, false);
        let gaps_before = recorder.ledger().gaps().len();
        let kill = crash.filter(|(_, crash)| !matches!(crash, Crash::Full(_)));
        let mut kill = kill.map(|(after, crash)| (self.world.now() + after, crash));
        loop {
            let until = self.until(kill.map(|(time, _)| time));
            let progress = self.world.drive(&mut recorder, &mut checker, until);
            let progress = match progress {
                Err(Stuck::Endless) if self.plan.deceives() => return Ok(Try::Deceived),
                progress => progress.map_err(stuck)?,
            };
            self.gaps_are_bounded(&recorder, gaps_before)?;
            if let Some(frame) = self.world.unlawful() {
                return Err(format!("an exchange has sent {}: {frame:?}", shown(&frame)));
            }
            let now = self.world.now();
            match kill.filter(|(time, _)| *time <= now) {
                _ if progress == Progress::Done => break,
                None if self.outage() || self.second_begins() => {}
                None if !self.healed => self.heal(),
                None if self.plan.deceives() => return Ok(Try::Deceived),
                // A lying line alone may never report an end that is accepted.
                None if self.lies_alone(&recorder) => return Ok(Try::Deceived),
                None => return Err("a live session without a fault is followed without end".into()),
                Some((_, Crash::Stop)) => {
                    (kill, self.stopped) = (None, true);
                    self.world.tell(|| "run: the user stops the recording".into());
                    recorder.handle(Input::Stop, now, &mut checker);
                }
                Some((_, crash)) => {
                    self.crashed(checker, crash);
                    return Ok(Try::Crashed);
                }
            }
        }
        let outcome =
            recorder.outcome().cloned().ok_or("the recorder is done without an outcome")?;
        let since = checker.progressed().unwrap_or(began);
        if self.world.now() > since + self.plan.gives_up() && !self.plan.deceives() {
            return Err("the recorder does not give up".into());
        }
        self.file.finished(&checker, self.world.now());
        self.ended(checker, outcome, &recorder, crash.is_some())
    }

    /// Checks a recording that has ended, and closes it. `crash` says that the disk may have been
    /// full.
    fn ended(
        &mut self,
        checker: DurabilityChecker,
        outcome: Outcome,
        recorder: &Recorder,
        crash: bool,
    ) -> Result<Try, String> {
        let DurabilityChecker { tape_recorder, announced, .. } = checker;
        let (end, now) = (Facts::of(recorder, tape_recorder.packets()).end(), self.world.now());
        let Some(tape_recorder) = self.file.conclude(tape_recorder, &outcome, end, (now, crash))?
        else {
            self.world.tell(|| "run: the disk is full".into());
            self.world.abandon();
            return Ok(Try::Crashed);
        };
        self.session = tape_recorder.file().session_id();
        self.contradicted = recorder.violations().contradicted;
        self.heard = self.honest_is_heard(recorder);
        let recorded = self.recorded(&tape_recorder)?;
        self.outcome_is_true(&outcome, &recorded, recorder)?;
        self.completeness_is_true(recorder, &recorded, &tape_recorder, announced)?;
        self.file.close(tape_recorder, recorded)?;
        // The process ends, which closes its connections.
        self.world.abandon();
        Ok(Try::Over(outcome))
    }

    /// Opens the earlier recording, or begins one.
    fn begin(&mut self) -> Result<Option<(TapeRecorder<Disk>, Recorder)>, String> {
        // A lying line may be left out after the first start.
        let left = self.report.tries > 1 && self.plan.lie.as_ref().is_some_and(|lie| lie.leaves);
        let lines = self.plan.scenarios.len() - usize::from(left);
        let lines = self.plan.lines(lines);
        let epoch = Duration::from_secs(1_700_000_000) + self.world.now();
        let Self { file, world, rng, plan, .. } = self;
        file.open((plan.options.clone(), lines), epoch, rng, |event| world.tell(|| event))
    }

    fn crashed(&mut self, checker: DurabilityChecker, crash: Crash) {
        self.report.crashes += 1;
        let now = self.world.now();
        self.world.tell(|| format!("run: {crash:?}"));
        self.world.abandon();
        self.file.crashed(checker, crash, now, &mut self.rng);
        self.world.pass(Duration::from_millis(self.rng.between(0, 50).into()));
    }

    /// Returns the time of the next change of the world, or of the client's end at `kill`.
    fn until(&self, kill: Option<Duration>) -> Option<Duration> {
        let heal = (!self.healed).then_some(self.plan.heals.max(self.world.now()));
        let others = [self.outage_at(), self.second_at(), self.follows_until()];
        [kill, heal].into_iter().chain(others).flatten().min()
    }

    /// Returns the time of the next outage.
    fn outage_at(&self) -> Option<Duration> {
        let outages = &self.plan.session.as_ref().filter(|_| !self.healed)?.outages;
        outages.last().map(|outage| outage.at.max(self.world.now()))
    }

    /// Starts the next outage if it is due. Returns true if it was.
    fn outage(&mut self) -> bool {
        let now = self.world.now();
        if self.outage_at().is_none_or(|at| at > now) {
            return false;
        }
        let outages = self.plan.session.as_mut().map(|session| &mut session.outages);
        let Some(OutagePlan { line, forgets, down, .. }) = outages.and_then(Vec::pop) else {
            return false;
        };
        self.world.tell(|| format!("run: exchange {line} is killed, and back after {down:?}"));
        let player = self.world.exchanges()[line].player();
        let there = player.tape().last().saturating_sub(forgets);
        let scenario = player.scenario().clone();
        self.world.restart(line, self.plan.venue(self.seed, line, &scenario, there), down);
        self.report.outages += 1;
        true
    }

    /// Returns the time at which a line's exchange begins another session.
    fn second_at(&self) -> Option<Duration> {
        let begins = self.plan.second.as_ref().filter(|_| !self.healed)?.begins?;
        Some(begins.max(self.world.now()))
    }

    /// Begins the second session if it is due. Returns true if it was.
    fn second_begins(&mut self) -> bool {
        let now = self.world.now();
        if self.second_at().is_none_or(|at| at > now) {
            return false;
        }
        let Some(second) = self.plan.second.as_mut() else { return false };
        second.begins = None;
        let (second, line) = (second.clone(), second.line);
        self.world.tell(|| format!("run: exchange {line} plays another session from now on"));
        self.world.restart(line, self.plan.second_venue(self.seed, &second), Duration::ZERO);
        true
    }

    /// Returns the time by which a follower of a session without faults must be done.
    fn follows_until(&self) -> Option<Duration> {
        let live = self.healed && self.plan.session.is_some();
        live.then(|| self.plan.heals.max(self.began) + self.patience())
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.healed = true;
        self.world.tell(|| "run: no more faults from now on".into());
        self.world.silence(0);
        self.world.all_back();
        // A recorder that gives up packets before they can arrive need not become complete.
        let least = self.plan.filling();
        self.plan.options.give_up = self.plan.options.give_up.map(|time| time.max(least));
        for (exchange, scenario) in self.world.exchanges().iter_mut().zip(&self.plan.scenarios) {
            let healed = Scenario {
                faults: Vec::new(),
                slow: SlowSubscriberPolicy::Wait,
                ..scenario.clone()
            };
            exchange.change(healed);
        }
    }

    /// Returns the maximum duration of a recording after the last fault.
    fn patience(&self) -> Duration {
        HEALED_MAX + self.plan.filling()
    }
}

fn stuck(how: Stuck) -> String {
    match how {
        Stuck::Waits => "the recorder waits for an event that never happens".into(),
        Stuck::Endless => "the recorder does not end".into(),
    }
}
