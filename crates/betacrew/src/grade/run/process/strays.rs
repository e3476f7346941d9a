//! Processes of clients that have left their group. Linux makes them children of the grader when
//! their parents end, and the grader kills them too.

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use std::sync::OnceLock;
use std::time::Duration;

/// Children that this process had before the first client, which must not be killed.
static BEFORE: OnceLock<Vec<u32>> = OnceLock::new();

/// Makes this process the parent of all strays from now on.
pub(crate) fn adopt() {
    BEFORE.get_or_init(children);
    // On an error strays go to the system's first process, as they do on other systems.
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

/// Kills all strays.
pub(crate) fn end() {
    let Some(before) = BEFORE.get() else { return };
    // The children of a stray become children of this process when it ends, so the search
    // repeats until none is left. The bound keeps a client that forks without end from blocking
    // the grader.
    for _ in 0..64 {
        let mut live = super::live();
        let mut strays = children();
        strays.retain(|id| !live.contains(id) && !before.contains(id));
        if strays.is_empty() {
            return;
        }
        for id in strays {
            let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { continue };
            let killed = kill_process(pid, Signal::KILL);
            let ended = || Ok(waitpid(Some(pid), WaitOptions::NOHANG)?);
            if let Ok(None) = super::reap(ended, super::patience(killed.is_ok())) {
                // The process is added to the live ones, so that it is not waited for again.
                live.insert(id);
                let why = killed.err().map_or(String::new(), |error| format!(": {error}"));
                tracing::warn!(
                    "process {id}, which the client started, cannot be killed and still \
                     runs{why}"
                );
            }
        }
    }
}

/// Returns whether a process of any client has left its group and its parents.
pub(crate) fn has_strays() -> bool {
    let (live, before) = (super::live(), BEFORE.get());
    children()
        .iter()
        .any(|id| !live.contains(id) && before.is_none_or(|before| !before.contains(id)))
}

/// Returns the children of this process.
fn children() -> Vec<u32> {
    let own = u32::try_from(getpid().as_raw_nonzero().get()).unwrap_or(0);
    let parent = |id| stat(id)?.get(1)?.parse::<u32>().ok();
    ids().filter(|id| parent(*id) == Some(own)).collect()
}

/// Returns all processes of the machine.
pub(crate) fn ids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the fields after the name in `PID (NAME) STATE PARENT GROUP ...`. The text is split
/// at the last parenthesis, because the name may contain any characters.
pub(crate) fn stat(id: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    (fields.len() > FIELDS_MIN).then_some(fields)
}

/// Returns the time for which the busiest thread of a group of processes has computed,
/// including the time for which it waited for a processor. Threads that wait for something
/// again and again do not count, because work in small parts is no endless loop, even if there
/// is much.
pub(crate) fn busiest(group: u32) -> Option<Duration> {
    let group = group.to_string();
    let in_group = ids().filter(|id| stat(*id).is_some_and(|stat| stat[2] == group));
    in_group.flat_map(threads).filter_map(|thread| computed(&thread)).max()
}

/// Returns the folders of a process's threads.
fn threads(id: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path().to_string_lossy().into_owned()).collect()
}

/// Returns the time for which a thread has computed, if it hardly ever waited.
fn computed(thread: &str) -> Option<Duration> {
    let status = std::fs::read_to_string(format!("{thread}/status")).ok()?;
    let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    let waits: u32 = waits.trim().parse().ok()?;
    let (used, queued) = times(thread)?;
    let computed = used + queued;
    // The start of a runtime has waits too, so that a few are always allowed.
    let allowed = WAITS_MIN + u32::try_from(computed.as_millis()).ok()? / COMPUTED_PER_WAIT;
    (waits <= allowed).then_some(computed)
}

/// Returns the time for which a thread has had a processor, and the time for which it was ready
/// to run but waited for one.
fn times(thread: &str) -> Option<(Duration, Duration)> {
    // The file has three numbers: nanoseconds on a processor, nanoseconds waiting for one, and
    // the number of time slices.
    let text = std::fs::read_to_string(format!("{thread}/schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
    Some((next()?, next()?))
}

/// Returns the time for which the first thread of a process was ready to run but waited for a
/// processor.
pub(crate) fn queued(id: u32) -> Option<Duration> {
    times(&format!("/proc/{id}/task/{id}")).map(|(_, queued)| queued)
}

/// Number of waits that a thread may have in any case.
const WAITS_MIN: u32 = 200;
/// Minimum computing time between two further waits, in milliseconds.
const COMPUTED_PER_WAIT: u32 = 50;

/// Minimum number of fields, up to the group.
const FIELDS_MIN: usize = 3;
