//! Processor time and memory that the machine has left for more cases.

use std::time::{Duration, Instant};

/// Minimum time between two measurements of the idle share, because the system counts in ticks of
/// 10 ms.
const WINDOW: Duration = Duration::from_millis(100);

/// State of the machine, as far as the system tells.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct MachineState {
    /// Share of all processors that was idle in the last tenth of a second, in percent.
    pub(crate) idle_percent: Option<u64>,
    /// Processor time that the grader and all ended clients have used since the probe was made.
    pub(crate) used: Option<Duration>,
    /// Number of clients for which half of the free memory suffices.
    pub(crate) room: Option<usize>,
}

/// Times of all processors in ticks.
#[derive(Clone, Copy, Debug)]
struct ProcessorTicks {
    idle: u64,
    all: u64,
}

/// Probe that measures the machine again and again.
pub(crate) struct MachineProbe {
    /// Beginning of the current window, with its ticks.
    window: (Instant, Option<ProcessorTicks>),
    /// Idle share of the window before.
    idle_percent: Option<u64>,
    /// Number of clients that the memory had room for at the beginning of the window.
    room: Option<usize>,
    /// Processor time that this process and its children had used before.
    before: Option<Duration>,
}

impl MachineProbe {
    /// Begins to measure.
    pub(crate) fn new() -> Self {
        let window = (Instant::now(), system::ticks());
        Self { window, idle_percent: None, room: system::room(), before: system::used() }
    }

    /// Returns the state now.
    pub(crate) fn state(&mut self) -> MachineState {
        let (since, before) = self.window;
        if since.elapsed() >= WINDOW {
            let now = system::ticks();
            self.idle_percent = before.zip(now).and_then(|(before, now)| idle(before, now));
            self.window = (Instant::now(), now);
            self.room = system::room();
        }
        let used = system::used().zip(self.before);
        MachineState {
            idle_percent: self.idle_percent,
            used: used.map(|(now, before)| now.saturating_sub(before)),
            room: self.room,
        }
    }
}

/// Returns the idle share of the time between two measurements, in percent.
fn idle(before: ProcessorTicks, now: ProcessorTicks) -> Option<u64> {
    let idle = now.idle.saturating_sub(before.idle);
    (idle * 100).checked_div(now.all.saturating_sub(before.all))
}

#[cfg(target_os = "linux")]
mod system {
    use super::ProcessorTicks;
    use nix::sys::resource::{UsageWho, getrusage};
    use std::fs;
    use std::time::Duration;

    /// Returns the ticks of all processors, from the first line of `/proc/stat`.
    pub(super) fn ticks() -> Option<ProcessorTicks> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        super::parse_ticks(stat.lines().next()?)
    }

    /// Returns the processor time of this process and of its children that have ended.
    pub(super) fn used() -> Option<Duration> {
        let of = |who| {
            let usage = getrusage(who).ok()?;
            let time = |time: nix::sys::time::TimeVal| {
                let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
                let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
                Duration::from_secs(seconds) + Duration::from_micros(micros)
            };
            Some(time(usage.user_time()) + time(usage.system_time()))
        };
        Some(of(UsageWho::RUSAGE_SELF)? + of(UsageWho::RUSAGE_CHILDREN)?)
    }

    /// Returns the number of clients for which half of the free memory suffices, if each needs as
    /// much as the largest one that has ended.
    pub(super) fn room() -> Option<usize> {
        let largest = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?.max_rss();
        let largest = u64::try_from(largest).ok().filter(|kib| *kib > 0)?;
        let info = fs::read_to_string("/proc/meminfo").ok()?;
        let free = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let free: u64 = free.trim().trim_end_matches(" kB").parse().ok()?;
        usize::try_from(free / 2 / largest).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::ProcessorTicks;
    use std::time::Duration;

    pub(super) fn ticks() -> Option<ProcessorTicks> {
        None
    }

    pub(super) fn used() -> Option<Duration> {
        None
    }

    pub(super) fn room() -> Option<usize> {
        None
    }
}

/// Parses the line `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...`. Guests are left out,
/// because their time is part of that of the users.
#[cfg(any(target_os = "linux", test))]
fn parse_ticks(line: &str) -> Option<ProcessorTicks> {
    let numbers = line.strip_prefix("cpu ")?.split_whitespace().take(8);
    let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, _, _, idle, waiting, ..] = numbers[..] else { return None };
    Some(ProcessorTicks { idle: idle.saturating_add(waiting), all: numbers.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_share_is_that_of_the_time_between() {
        let at = |line| parse_ticks(line).unwrap();
        let before = at("cpu  100 0 50 800 50 0 0 0 0 0");
        assert_eq!(idle(before, at("cpu  110 0 60 870 60 0 0 0 7 7")), Some(80));
        assert_eq!(idle(before, before), None, "no time has passed");
        for wrong in ["", "cpu0 1 2 3 4 5", "cpu  1 2 3", "cpu  a b c d e"] {
            assert!(parse_ticks(wrong).is_none(), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_its_state() {
        std::process::Command::new("true").status().unwrap();
        let state = MachineProbe::new().state();
        assert!(state.used.is_some() && state.room.is_some_and(|room| room > 0), "{state:?}");
        assert!(system::ticks().is_some());
    }
}
