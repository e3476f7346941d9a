//! Clocks, rounds and medians.

use crate::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Cost of a run.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time of all that took part.
    pub(crate) cpu: Duration,
}

/// Of a cost, what is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Wall,
    Cpu,
}

impl By {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "CPU",
        }
    }

    pub(crate) fn of(self, cost: &Cost) -> Duration {
        match self {
            Self::Wall => cost.wall,
            Self::Cpu => cost.cpu,
        }
    }
}

fn clock(id: ClockId) -> Duration {
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

/// The CPU time of this process so far.
pub(crate) fn process_cpu() -> Duration {
    clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// The CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU time of a running process so far.
pub(crate) fn cpu_of(process: u32) -> Duration {
    let id = i32::try_from(process).map(Pid::from_raw).ok();
    id.and_then(|id| clock_getcpuclockid(id).ok()).map_or(Duration::ZERO, clock)
}

/// The CPU time of all child processes that have ended.
pub(crate) fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let sum = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(u64::try_from(sum)?))
}

/// Measures the cost of `run` in this process, over all threads.
pub(crate) fn here(run: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (began, cpu) = (Instant::now(), process_cpu());
    run()?;
    Ok(Cost { wall: began.elapsed(), cpu: process_cpu() - cpu })
}

/// Measures the cost of `run` in this thread.
pub(crate) fn kernel(run: impl FnOnce()) -> Cost {
    let (began, cpu) = (Instant::now(), thread_cpu());
    run();
    Cost { wall: began.elapsed(), cpu: thread_cpu() - cpu }
}

/// Entry that is measured beside others.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'static str,
    /// Maximum number of rounds.
    pub(crate) most: usize,
    pub(crate) run: Box<dyn FnMut() -> Result<Cost> + 'a>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Result<Cost> + 'a) -> Self {
        Self { name, most: usize::MAX, run: Box::new(run) }
    }

    /// Limits the number of rounds of an entry that takes minutes and differs a hundredfold.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// Costs of the rounds of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) costs: Vec<Cost>,
}

impl Series {
    pub(crate) fn median(&self, by: By) -> Duration {
        let mut times: Vec<Duration> = self.costs.iter().map(|cost| by.of(cost)).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Returns how many times faster this entry is than another: the median over the rounds that
    /// both took part in.
    pub(crate) fn faster_than(&self, other: &Self, by: By) -> f64 {
        let ratio = |(own, other): (&Cost, &Cost)| {
            by.of(other).as_secs_f64() / by.of(own).as_secs_f64().max(1e-9)
        };
        median(self.costs.iter().zip(&other.costs).map(ratio))
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs all entries side by side: a round to warm up, and then `rounds`, each of which begins with
/// another entry.
pub(crate) fn side_by_side(rounds: usize, entries: Vec<Entry<'_>>) -> Result<Vec<Series>> {
    let mut entries = entries;
    for entry in entries.iter_mut().filter(|entry| entry.most > rounds) {
        (entry.run)()?;
    }
    let mut all: Vec<Series> =
        entries.iter().map(|entry| Series { name: entry.name, costs: Vec::new() }).collect();
    let count = entries.len();
    for round in 0..rounds {
        for place in 0..count {
            let at = (round + place) % count;
            if round < entries[at].most {
                let cost = (entries[at].run)()?;
                all[at].costs.push(cost);
            }
        }
    }
    Ok(all)
}
