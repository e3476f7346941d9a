//! Decision whether one more case may start beside those that run.
//!
//! Most of a case is waiting, so many cases can run side by side. What limits them is the
//! processor time that a client takes to start, and the memory that it holds.

use super::machine::MachineState;
use std::time::Duration;

/// Maximum number of cases that run side by side.
pub(crate) const JOBS_MAX: usize = 32;
/// Share of the processors that the cases may plan to use, in percent. The rest keeps exchanges and
/// clients from waiting for each other.
const PLANNED_PERCENT: u32 = 80;
/// Idle share of the processors, in percent, below which only a few cases run side by side.
const IDLE_MIN_PERCENT: u64 = 10;
/// Number of cases for each processor that run side by side at most. Those of a client that lingers
/// or hangs take no processor time, but a place.
const MANY_JOBS: usize = 16;
/// Number of cases for each processor that run side by side even on a busy machine.
const BUSY_JOBS: usize = 4;

/// Number of cases for each processor that hardly disturb each other.
const FEW_JOBS: usize = 3;
/// Time between two starts before any case has shown what the client costs.
const FIRST_INTERVAL: Duration = Duration::from_millis(60);

/// Number of cases that run side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JobLimit {
    /// One case after another, because they share a port or a folder.
    One,
    /// At most this many, as the user said.
    Fixed(usize),
    /// As many as the machine has room for.
    Measured,
}

/// Pacer of the starts of cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartPacer {
    /// Number of cases that the user or the setup allows.
    pub(crate) limit: JobLimit,
    /// Number of processors, at least 1.
    pub(crate) processors: usize,
}

/// Cases that run now, and what the cases before have cost.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct RunningCases {
    /// Number of cases that run.
    pub(crate) in_flight: usize,
    /// Number of those on whose wire nothing happens. Their clients linger or wait.
    pub(crate) resting: usize,
    /// Number of cases that have ended.
    pub(crate) ended: u32,
    /// Time since the last case started.
    pub(crate) since_start: Duration,
}

impl StartPacer {
    /// Returns a pacer for this machine.
    pub(crate) fn new(limit: JobLimit) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { limit, processors }
    }

    /// Returns whether one more case may start.
    pub(crate) fn may_start(&self, running: RunningCases, machine: MachineState) -> bool {
        let measured = match self.limit {
            JobLimit::One => return running.in_flight < 1,
            JobLimit::Fixed(jobs) => return running.in_flight < jobs,
            JobLimit::Measured => running.in_flight,
        };
        if measured == 0 {
            return true;
        }
        if measured >= self.most().min(machine.room.unwrap_or(JOBS_MAX)) {
            return false;
        }
        // Without a measurement there is no way to see that the machine has more to give.
        let (Some(used), Some(idle)) = (machine.used, machine.idle_percent) else {
            return measured < self.processors;
        };
        let is_busy = idle < IDLE_MIN_PERCENT;
        let active = measured.saturating_sub(running.resting);
        if is_busy && active >= self.processors.saturating_mul(BUSY_JOBS) {
            return false;
        }
        running.since_start >= self.interval(used, running.ended)
    }

    /// Returns the time between two starts at which the cases use the planned share of the
    /// processors.
    fn interval(&self, used: Duration, ended: u32) -> Duration {
        let processors = u32::try_from(self.processors).unwrap_or(u32::MAX);
        if ended == 0 {
            return FIRST_INTERVAL;
        }
        let one = used.checked_div(ended).unwrap_or_default();
        one / processors.max(1) * 100 / PLANNED_PERCENT
    }

    /// Returns the maximum number of cases that run side by side.
    pub(crate) fn most(&self) -> usize {
        match self.limit {
            JobLimit::One => 1,
            JobLimit::Fixed(jobs) => jobs,
            JobLimit::Measured => self.processors.saturating_mul(MANY_JOBS).min(JOBS_MAX),
        }
    }

    /// Returns the number of cases that run side by side without disturbing each other.
    pub(crate) fn few(&self) -> usize {
        self.most().min(self.processors.saturating_mul(FEW_JOBS))
    }

    /// Returns the time that cases of these usual times take together, before anything is known
    /// about the client.
    pub(crate) fn expected(&self, usual: impl Iterator<Item = Duration>) -> Duration {
        let (sum, longest) = usual
            .fold((Duration::ZERO, Duration::ZERO), |(sum, longest), time| {
                (sum + time, longest.max(time))
            });
        let most = u32::try_from(self.most()).unwrap_or(u32::MAX);
        (sum / most.max(1)).max(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn measured(processors: usize) -> StartPacer {
        StartPacer { limit: JobLimit::Measured, processors }
    }

    fn running(in_flight: usize, since_start: Duration) -> RunningCases {
        RunningCases { in_flight, resting: 0, ended: 10, since_start }
    }

    #[test]
    fn cases_start_as_fast_as_the_processors_can_carry_them() {
        // Ten cases have cost 160 ms each, which two processors carry every 100 ms.
        let machine =
            MachineState { idle_percent: Some(60), used: Some(1600 * MS), room: Some(1000) };
        let may = |running| measured(2).may_start(running, machine);
        assert!(!may(running(5, 99 * MS)) && may(running(5, 100 * MS)));
        assert!(may(running(0, Duration::ZERO)), "the first one starts at once");
        assert!(may(running(31, 100 * MS)) && !may(running(32, 1000 * MS)));
        let single = measured(1);
        assert!(single.may_start(running(15, 200 * MS), machine));
        assert!(!single.may_start(running(16, 1000 * MS), machine));
        let crowd = measured(64);
        assert!(crowd.may_start(running(31, 100 * MS), machine));
        assert!(!crowd.may_start(running(32, 100 * MS), machine), "{JOBS_MAX}");
    }

    #[test]
    fn a_busy_machine_and_one_without_memory_run_fewer() {
        let state = |idle, room| MachineState {
            idle_percent: Some(idle),
            used: Some(10 * MS),
            room: Some(room),
        };
        let may = |jobs, state| measured(2).may_start(running(jobs, 1000 * MS), state);
        assert!(may(7, state(0, 100)) && !may(8, state(0, 100)) && may(8, state(50, 100)));
        assert!(may(2, state(50, 3)) && !may(3, state(50, 3)));
        let lingering = RunningCases { resting: 3, ..running(10, 1000 * MS) };
        assert!(
            measured(2).may_start(lingering, state(0, 100)),
            "clients that linger do not count"
        );
        let unknown = MachineState::default();
        assert!(may(1, unknown) && !may(2, unknown));
    }

    #[test]
    fn a_limit_is_kept_whatever_the_machine_has() {
        let machine = MachineState::default();
        for (limit, jobs) in [(JobLimit::One, 1), (JobLimit::Fixed(8), 8)] {
            let pacer = StartPacer { limit, processors: 2 };
            assert!(pacer.may_start(running(jobs - 1, Duration::ZERO), machine));
            assert!(!pacer.may_start(running(jobs, 1000 * MS), machine));
        }
    }

    #[test]
    fn the_longest_case_bounds_the_expected_time() {
        let usual = [800 * MS, 800 * MS, 7000 * MS];
        let expected = |limit| StartPacer { limit, processors: 2 }.expected(usual.into_iter());
        assert_eq!(expected(JobLimit::One), 8600 * MS);
        assert_eq!(expected(JobLimit::Fixed(8)), 7000 * MS);
    }
}
