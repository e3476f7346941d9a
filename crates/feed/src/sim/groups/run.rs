//! Simulated run of a recording of MoldUDP64 lines, over crashes and restarts of the client.
//!
//! *Safety*, at all times: every recorded message is that of the tape, once, in order; the reported
//! missing messages are those that are missing; a recording that is reported complete has the whole
//! tape; written or synced messages survive a crash; requests stay within their bounds. *Liveness*:
//! a recording ends whatever the faults are; and once no fault strikes any more, and as long as the
//! lines still announce the end of the session, the same command ends complete.

use super::{DatagramNetwork, GroupPlan, GroupWorld, ServerFaults};
use crate::base::rng::Rng;
use crate::base::seq::{FIRST_SEQ, SeqRange, SeqSet};
use crate::client::mold::request_server::REQUESTS_IN_FLIGHT_MAX;
use crate::client::{IncompleteReason, Input, LineProtocol, MoldFeed, Outcome, Recorder};
use crate::exchange::server::MockExchange;
use crate::faults::scenario::Scenario;
use crate::session::completeness::{Completeness, Facts};
use crate::sim::Progress;
use crate::sim::checks::missing_is_true;
use crate::sim::disk::Disk;
use crate::sim::durable_expectation::DurabilityChecker;
use crate::sim::plan::Crash;
use crate::sim::recording_file::RecordingFile;
use crate::sim::report::{SimReport, Violation};
use crate::tape::growing::{ArrivalRate, GrowingTape};
use crate::tape::in_memory::Tape;
use crate::tape::recorder::TapeRecorder;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// Maximum number of times that the client is started.
const TRIES_MAX: u32 = 30;
/// Maximum number of starts after the last fault.
const HEALED_TRIES_MAX: u32 = 3;
/// Time within which a recording must end once no fault strikes any more.
const HEALED_MAX: Duration = Duration::from_secs(60);
/// Time within which every recording must end.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// Simulates the run of a plan.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate(seed: u64, plan: GroupPlan) -> Result<SimReport, Violation> {
    finished(GroupRun::new(seed, plan))
}

/// Simulates the run of a plan, and adds the trace of its events to the result.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate_traced(seed: u64, plan: GroupPlan) -> Result<SimReport, Violation> {
    let mut run = GroupRun::new(seed, plan);
    run.world.start_trace();
    finished(run)
}

/// Simulates a run to its end.
fn finished(mut run: GroupRun) -> Result<SimReport, Violation> {
    let seed = run.seed;
    let ended = run.run_tries();
    let trace = run.world.take_trace();
    let (steps, delivered) = run.world.counts();
    let took = run.world.now();
    match ended {
        Ok(()) => Ok(SimReport { steps, delivered, took, trace, ..run.report }),
        Err(what) => Err(Violation { seed, what, trace }),
    }
}

/// Exchange of a line.
type LineExchange = MockExchange<GrowingTape<Arc<Tape>>>;

struct GroupRun {
    seed: u64,
    plan: GroupPlan,
    rng: Rng,
    tape: Arc<Tape>,
    world: GroupWorld<LineExchange>,
    file: RecordingFile,
    healed: bool,
    /// True if the user has stopped the current or the last recording.
    stopped: bool,
    report: SimReport,
}

/// End of one start of the client.
enum Attempt {
    Over(Outcome),
    Crashed,
}

impl GroupRun {
    fn new(seed: u64, plan: GroupPlan) -> Self {
        let tape = Arc::new(Tape::random(plan.messages, seed));
        let there = if plan.tempo.is_some() { 0 } else { plan.messages };
        let tempo = plan.tempo.unwrap_or(ArrivalRate::Steady(1));
        let exchange = |scenario: &Scenario| {
            let live = GrowingTape::new(Arc::clone(&tape), tempo, seed, there);
            MockExchange::new(live, scenario.clone()).with_line(plan.line_options())
        };
        let exchanges = plan.scenarios.iter().map(exchange).collect();
        let mut world = GroupWorld::new(exchanges, plan.network, seed);
        world.server_faults(&plan.servers);
        let file = RecordingFile::new(plan.sync);
        let report = SimReport { packets: plan.messages, ..SimReport::default() };
        let rng = Rng::new(!seed);
        Self { seed, plan, rng, tape, world, file, healed: false, stopped: false, report }
    }

    fn run_tries(&mut self) -> Result<(), String> {
        let mut tries_healed = 0;
        for _ in 0..TRIES_MAX {
            let healed_before = self.healed;
            let outcome = match self.attempt()? {
                Attempt::Over(outcome) => outcome,
                Attempt::Crashed => continue,
            };
            if outcome.is_complete() || outcome.reason == Some(IncompleteReason::OtherSession) {
                return Ok(());
            }
            self.report.incomplete += 1;
            tries_healed += u32::from(healed_before);
            if healed_before && (self.is_silent() || self.plan.deceives()) {
                // A client that is started once the lines are silent hears of no session.
                return Ok(());
            }
            if tries_healed >= HEALED_TRIES_MAX {
                return Err(format!("a recording without a fault ends with {outcome:?}"));
            }
            self.world.tell(|| format!("run: {outcome:?}; the client is started again"));
            self.world.pass(Duration::from_millis(self.rng.between(0, 200).into()));
            if self.report.incomplete > HEALED_TRIES_MAX && !self.healed {
                self.heal();
            }
        }
        Err(format!("incomplete after {TRIES_MAX} starts"))
    }

    /// Returns whether every line has stopped to announce the end of its session, or will have
    /// before a client has recorded everything.
    fn is_silent(&mut self) -> bool {
        let soon = |exchange: &LineExchange| {
            exchange.mold_lines().all(|line| matches!(line.phase, "ending" | "over"))
        };
        self.world.exchanges().iter().all(soon)
            && self.world.now() > self.plan.heals + Duration::from_secs(20)
    }

    /// Starts the client once.
    fn attempt(&mut self) -> Result<Attempt, String> {
        self.report.tries += 1;
        let crash = self.plan.crashes.pop();
        if let Some((_, Crash::Full(room))) = crash {
            self.file.limit(room);
        }
        let feed = LineProtocol::Mold(MoldFeed { servers: 1 });
        let lines = self.plan.scenarios.iter().map(|_| feed).collect();
        let epoch = Duration::from_secs(1_700_000_000) + self.world.now();
        let Self { file, world, rng, plan, .. } = self;
        let started =
            file.open((plan.options.clone(), lines), epoch, rng, |event| world.tell(|| event))?;
        let Some((tape_recorder, mut recorder)) = started else { return Ok(Attempt::Crashed) };
        let mut checker = DurabilityChecker::new(tape_recorder);
        self.stopped = false;
        let kill = crash.filter(|(_, crash)| !matches!(crash, Crash::Full(_)));
        let mut kill = kill.map(|(after, crash)| (self.world.now() + after, crash));
        let latest = self.world.now().max(self.plan.heals) + HEALED_MAX;
        loop {
            let heals = (!self.healed).then_some(self.plan.heals.max(self.world.now()));
            let until = [kill.map(|(time, _)| time), heals, Some(latest)];
            let until = until.into_iter().flatten().min();
            let driven = self.world.drive(&mut recorder, &mut checker, until);
            let progress = driven.map_err(|stuck| format!("{stuck:?}: {}", recorder.timers()))?;
            let now = self.world.now();
            match kill.filter(|(time, _)| *time <= now) {
                _ if progress == Progress::Done => break,
                None if !self.healed => self.heal(),
                None => {
                    return Err(format!(
                        "the recorder does not end by {now:?}: {}",
                        recorder.timers()
                    ));
                }
                Some((_, Crash::Stop)) => {
                    (kill, self.stopped) = (None, true);
                    self.world.tell(|| "run: the user stops the recording".into());
                    recorder.handle(Input::Stop, now, &mut checker);
                }
                Some((_, crash)) => {
                    self.report.crashes += 1;
                    self.world.tell(|| format!("run: {crash:?}"));
                    self.world.abandon();
                    self.file.crashed(checker, crash, now, &mut self.rng);
                    self.world.pass(Duration::from_millis(self.rng.between(0, 50).into()));
                    return Ok(Attempt::Crashed);
                }
            }
        }
        self.file.finished(&checker, self.world.now());
        let outcome =
            recorder.outcome().cloned().ok_or("the recorder is done without an outcome")?;
        let is_limited = matches!(crash, Some((_, Crash::Full(_))));
        self.ended(checker.tape_recorder, outcome, &recorder, is_limited)
    }

    /// Checks a recording that has ended, and closes it. `is_limited` says that the disk may have
    /// been full.
    fn ended(
        &mut self,
        tape_recorder: TapeRecorder<Disk>,
        outcome: Outcome,
        recorder: &Recorder,
        is_limited: bool,
    ) -> Result<Attempt, String> {
        let facts = Facts::of(recorder, tape_recorder.packets());
        let now = self.world.now();
        let Some(tape_recorder) =
            self.file.conclude(tape_recorder, &outcome, facts.end(), (now, is_limited))?
        else {
            self.world.tell(|| "run: the disk is full".into());
            self.world.abandon();
            return Ok(Attempt::Crashed);
        };
        let recorded = self.recorded(&tape_recorder)?;
        self.outcome_is_true(&outcome, &recorded, recorder, facts.completeness())?;
        self.file.close(tape_recorder, recorded)?;
        // The process ends.
        self.world.abandon();
        Ok(Attempt::Over(outcome))
    }

    /// Checks that the recorded messages are those of the tape, each once and in order.
    fn recorded(&self, tape_recorder: &TapeRecorder<Disk>) -> Result<SeqSet, String> {
        let (mut recorded, mut before, mut count) = (SeqSet::new(), 0, 0);
        let mut reading = tape_recorder.in_order(FIRST_SEQ);
        while let Some(piece) = reading.next().map_err(|error| format!("reading: {error}"))? {
            for (seq, message) in piece.messages.iter() {
                if seq <= before {
                    return Err(format!("sequence {seq} is read after {before}"));
                }
                if !self.tape.slice(SeqRange::one(seq)).iter().any(|it| it.as_slice() == message) {
                    return Err(format!(
                        "message {seq} was recorded, and is not on the tape: {message:?}"
                    ));
                }
                (before, count) = (seq, count + 1);
                recorded.insert(SeqRange::one(seq));
            }
        }
        match count == tape_recorder.packets() {
            true => Ok(recorded),
            false => {
                Err(format!("the file counts {} messages and has {count}", tape_recorder.packets()))
            }
        }
    }

    /// Checks that the outcome of a recording, and its completeness, are true.
    fn outcome_is_true(
        &self,
        outcome: &Outcome,
        recorded: &SeqSet,
        recorder: &Recorder,
        said: Completeness,
    ) -> Result<(), String> {
        missing_is_true(outcome, recorded)?;
        if recorder.violations().conflicts > 0 {
            return Err("the recorder reports a conflict of equal messages".into());
        }
        // A silent client's requests may still be on their way, twice as many with a slow server.
        let lines = self.plan.scenarios.len() as u64;
        if self.world.most_in_flight() > u64::from(REQUESTS_IN_FLIGHT_MAX) * lines * 2 {
            return Err(format!("{} requests at once", self.world.most_in_flight()));
        }
        if self.world.now() > ENDS_WITHIN {
            return Err(format!("took {:?}", self.world.now()));
        }
        if self.plan.deceives() {
            return Ok(());
        }
        if outcome.reason == Some(IncompleteReason::OtherSession) {
            return Err("the recorder reports another session, and there is only one".into());
        }
        let has_all = recorded.count() == self.plan.messages;
        if (outcome.is_complete() || said == Completeness::Complete) && !has_all {
            return Err(format!(
                "a recording of {recorded:.9} is reported {said:?}, of {}",
                self.plan.messages
            ));
        }
        if self.stopped && said == Completeness::Complete && !has_all {
            return Err(format!("a stopped recording of {recorded:.9} is reported complete"));
        }
        Ok(())
    }

    /// Ends all faults but the network's latency.
    fn heal(&mut self) {
        self.healed = true;
        self.world.tell(|| "run: no more faults from now on".into());
        let DatagramNetwork { latency, jitter, .. } = self.plan.network;
        self.world.set_network(DatagramNetwork { latency, jitter, ..DatagramNetwork::default() });
        let faultless = alloc::vec![ServerFaults::default(); self.plan.servers.len()];
        self.world.server_faults(&faultless);
        let seed = self.seed;
        for exchange in self.world.exchanges() {
            exchange.set_scenario(Scenario::clean(seed));
        }
        self.world.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_over_any_network_keep_their_promises() {
        let seeds = 600;
        let (mut crashes, mut incomplete) = (0, 0);
        for seed in 0..seeds {
            match simulate(seed, GroupPlan::draw(seed)) {
                Ok(report) => {
                    crashes += report.crashes;
                    incomplete += u32::from(report.incomplete > 0);
                }
                Err(broken) => panic!("seed {seed}: {}", broken.what),
            }
        }
        assert!(crashes > 150, "{crashes} crashes");
        assert!((20..300).contains(&incomplete), "{incomplete} of {seeds} were incomplete once");
    }

    #[test]
    fn a_seed_repeats_its_run() {
        for seed in 0..20 {
            let run = || simulate_traced(seed, GroupPlan::draw(seed));
            assert_eq!(run(), run());
        }
    }
}
