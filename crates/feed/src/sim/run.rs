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
use super::disk::{Disk, DiskFailed};
use super::plan::Crash;
pub use super::plan::SimPlan;
use super::session::OutagePlan;
use super::venue::Venue;
use super::world::{Progress, SimWorld, Stuck};
use crate::base::rng::Rng;
use crate::base::seq::{SeqRange, SeqSet};
use crate::client::{IncompleteReason, Input, Outcome, Recorder};
use crate::faults::scenario::{Scenario, SlowSubscriberPolicy};
use crate::ledger::Sink;
use crate::session::completeness::Facts;
use crate::sim::durable_expectation::{DurabilityChecker, DurableExpectation};
pub use crate::sim::report::{SimReport, SimTrace, Violation};
use crate::tape::file::{TapeFileError, is_stillborn};
use crate::tape::recorder::{SyncPolicy, TapeRecorder};
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

/// Simulates the run of a seed.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn live(seed: u64) -> Result<SimReport, Violation> {
    SimRun::new(seed, SimPlan::draw(seed)).live()
}

/// Simulates the run of a seed, and adds the trace of its events to the result.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn live_traced(seed: u64) -> Result<SimReport, Violation> {
    let mut run = SimRun::new(seed, SimPlan::draw(seed));
    run.world.narrate();
    run.live()
}

pub(super) struct SimRun {
    seed: u64,
    pub(super) plan: SimPlan,
    rng: Rng,
    pub(super) world: SimWorld<Venue>,
    disk: Disk,
    owed: DurableExpectation,
    healed: bool,
    /// Time of the client's last start.
    began: Duration,
    power_failed: bool,
    /// True if the user has stopped the current or the last recording.
    pub(super) stopped: bool,
    /// Session of the last recording, if its file has one.
    pub(super) session: Option<SessionId>,
    /// Sequences whose existence the last recording did not accept.
    pub(super) contradicted: Option<SeqRange>,
    /// True if an honest line has described the session to the last recorder.
    pub(super) heard: bool,
    pub(super) lived: SimReport,
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
        let lived = SimReport { packets: plan.tape.len(), ..SimReport::default() };
        let rng = Rng::new(!seed);
        Self {
            seed,
            plan,
            rng,
            world,
            disk: Disk::new(),
            owed: DurableExpectation::default(),
            healed: false,
            began: Duration::ZERO,
            power_failed: false,
            stopped: false,
            session: None,
            contradicted: None,
            heard: false,
            lived,
        }
    }

    fn live(mut self) -> Result<SimReport, Violation> {
        match self.lives() {
            Ok(()) => {
                self.lived.delivered = self.world.delivered();
                self.lived.steps = self.world.steps();
                self.lived.took = self.world.now();
                self.lived.story = self.world.story();
                Ok(self.lived)
            }
            Err(what) => Err(Violation { seed: self.seed, what, story: self.world.story() }),
        }
    }

    fn lives(&mut self) -> Result<(), String> {
        let mut tries_healed = 0;
        let mut healed_at = None;
        for _ in 0..TRIES_MAX {
            let endless = self.world.steps() > STEPS_MAX;
            if (tries_healed > HEALED_TRIES_MAX || endless) && self.plan.deceives() {
                // The recorder accepts packets that do not exist.
                return Ok(());
            }
            if endless {
                return Err("it goes on and on".into());
            }
            if tries_healed > HEALED_TRIES_MAX {
                return Err("nothing goes wrong any more, and it does not get there".into());
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
                    return Err(format!("it took {took:?} with nothing wrong any more"));
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
            self.lived.incomplete += 1;
            self.world.tell(|| format!("life: {outcome:?}; the same command again"));
            // A user waits a little before the next start.
            let pause = Duration::from_millis(self.rng.between(0, 200).into());
            self.world.pass(pause);
            if self.lived.incomplete > HEALED_TRIES_MAX && !self.healed {
                self.heal();
            }
        }
        Err(format!("{TRIES_MAX} tries are not enough"))
    }

    /// Starts the client once.
    fn attempt(&mut self) -> Result<Try, String> {
        self.lived.tries += 1;
        let crash = self.plan.crashes.pop();
        if let Some((_, Crash::Full(room))) = crash {
            self.disk.limit(Some(room.into()));
        }
        let Some((keeper, mut recorder)) = self.begin()? else { return Ok(Try::Crashed) };
        let mut keeper = DurabilityChecker::new(keeper);
        let began = self.world.now();
        (self.began, self.stopped) = (began, false);
        let gaps_before = recorder.ledger().gaps().len();
        let kill = crash.filter(|(_, crash)| !matches!(crash, Crash::Full(_)));
        let mut kill = kill.map(|(after, crash)| (self.world.now() + after, crash));
        loop {
            let until = self.until(kill.map(|(time, _)| time));
            let progress = self.world.drive(&mut recorder, &mut keeper, until);
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
                None => return Err("it follows on with nothing wrong any more".into()),
                Some((_, Crash::Stop)) => {
                    (kill, self.stopped) = (None, true);
                    self.world.tell(|| "life: the user has had enough".into());
                    recorder.handle(Input::Stop, now, &mut keeper);
                }
                Some((_, crash)) => {
                    self.crashed(keeper, crash);
                    return Ok(Try::Crashed);
                }
            }
        }
        let outcome = recorder.outcome().cloned().ok_or("it is done without an outcome")?;
        let since = keeper.progressed().unwrap_or(began);
        if self.world.now() > since + self.plan.gives_up() && !self.plan.deceives() {
            return Err("it does not give up".into());
        }
        self.owed.forget(&keeper);
        if !keeper.has_failed() {
            // If the disk fails only now, then in writing the last packets.
            self.owed.crashed(&keeper, self.plan.sync, false, self.world.now());
        }
        self.ended(keeper, outcome, &recorder, crash.is_some())
    }

    /// Checks a recording that has ended, and closes it. `crash` says that the disk may have been
    /// full.
    fn ended(
        &mut self,
        watched: DurabilityChecker,
        outcome: Outcome,
        recorder: &Recorder,
        crash: bool,
    ) -> Result<Try, String> {
        let DurabilityChecker { mut keeper, told, .. } = watched;
        let (end, now) = (Facts::of(recorder, keeper.packets()).end(), self.world.now());
        let done = keeper.end().and_then(|()| keeper.conclude(outcome.last, end, now));
        match done.and_then(|()| keeper.end()) {
            Ok(()) if outcome.reason == Some(IncompleteReason::Storage) => {
                return Err("the disk is said to have failed, and it has not".into());
            }
            Ok(()) => {}
            Err(TapeFileError::Storage(DiskFailed)) if crash => {
                self.world.tell(|| "life: the disk is full".into());
                self.disk = freed(keeper.into_storage());
                self.world.abandon();
                return Ok(Try::Crashed);
            }
            Err(error) => return Err(format!("the tape file: {error}")),
        }
        self.session = keeper.file().session_id();
        self.contradicted = recorder.violations().contradicted;
        self.heard = self.honest_is_heard(recorder);
        let recorded = self.recorded(&keeper)?;
        self.outcome_is_true(&outcome, &recorded, recorder)?;
        self.completeness_is_true(recorder, &recorded, &keeper, told)?;
        self.disk = freed(keeper.into_storage());
        if self.plan.sync != SyncPolicy::Never && !self.disk.is_safe() {
            return Err("it has ended, and the power must not fail yet".into());
        }
        self.owed.ended(recorded, self.plan.sync);
        // The process ends, which closes its connections.
        self.world.abandon();
        Ok(Try::Over(outcome))
    }

    /// Opens the earlier recording, or begins one.
    fn begin(&mut self) -> Result<Option<(TapeRecorder<Disk>, Recorder)>, String> {
        // A lying line may be left out after the first start.
        let left = self.lived.tries > 1 && self.plan.lie.as_ref().is_some_and(|lie| lie.leaves);
        let lines = self.plan.scenarios.len() - usize::from(left);
        let lines = self.plan.lines(lines);
        let (options, sync) = (self.plan.options.clone(), self.plan.sync);
        let epoch = Duration::from_secs(1_700_000_000) + self.world.now();
        let disk = core::mem::take(&mut self.disk);
        let failed = |error: &TapeFileError<DiskFailed>| format!("the tape file: {error}");
        if is_stillborn(&disk).map_err(|error| failed(&error.into()))? {
            self.owed.covered_by(&SeqSet::new())?;
            let mut empty = Disk::new();
            empty.limit(disk.room());
            return match TapeRecorder::create(empty, sync, epoch, self.rng.bits()) {
                Ok(keeper) => Ok(Some((keeper, Recorder::new(options, lines)))),
                // The disk is full at once.
                Err(_) => Ok(None),
            };
        }
        let (keeper, before) = match TapeRecorder::open(disk, sync, epoch) {
            Ok(opened) => opened,
            // A file that was never synced may be gone as a whole; the user is told to start over.
            Err(TapeFileError::Head(_)) if self.power_failed && sync == SyncPolicy::Never => {
                self.world.tell(|| "life: the recording is lost; --restart".into());
                self.owed.covered_by(&SeqSet::new())?;
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        };
        self.world.tell(|| format!("life: goes on with {} packets", before.packets));
        self.owed.found(&before)?;
        let recorder =
            Recorder::resume(options, lines, before.highest, &before.missing, before.session);
        Ok(Some((keeper, recorder)))
    }

    fn crashed(&mut self, keeper: DurabilityChecker, crash: Crash) {
        self.lived.crashes += 1;
        let (now, power) = (self.world.now(), crash == Crash::Power);
        self.owed.crashed(&keeper, self.plan.sync, power, now);
        self.world.tell(|| format!("life: {crash:?}"));
        self.world.abandon();
        let disk = keeper.keeper.into_storage();
        self.power_failed |= power;
        self.disk = match crash {
            Crash::Power => disk.power_loss(&mut self.rng),
            Crash::Kill | Crash::Full(_) | Crash::Stop => disk,
        };
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
        self.world.tell(|| format!("life: exchange {line} is killed, and back after {down:?}"));
        let player = self.world.exchanges()[line].player();
        let there = player.tape().last().saturating_sub(forgets);
        let scenario = player.scenario().clone();
        self.world.restart(line, self.plan.venue(self.seed, line, &scenario, there), down);
        self.lived.outages += 1;
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
        self.world.tell(|| format!("life: exchange {line} plays another session from now on"));
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
        self.world.tell(|| "life: nothing goes wrong from now on".into());
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
        Stuck::Waits => "it waits for what will never come".into(),
        Stuck::Endless => "it goes on for ever".into(),
    }
}

/// Returns the disk with all limits lifted.
fn freed(disk: Disk) -> Disk {
    let mut disk = disk;
    disk.limit(None);
    disk
}
