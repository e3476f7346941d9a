//! Limits of an exchange's connections: their number, the idle one that is closed for the next, and
//! how often a lack of room is logged.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Maximum number of connections of an exchange, if the system lets it have as many.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Number of descriptors that are kept free for everything else: tapes, records, the HTTP address.
#[cfg(unix)]
const DESCRIPTORS_KEPT: usize = 256;

/// Shortest time for which a connection is idle before it may be closed to make room.
const IDLE_LEAST: Duration = Duration::from_secs(1);

/// Pause before connections are accepted again when there is no room, and between two searches for
/// idle ones, because a search looks at every connection.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Minimum time between two log lines about the same problem.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Unsent bytes that the system keeps for one connection.
///
/// Without a limit Linux lets the queue of a client that does not read grow to more than a
/// megabyte. What was sent and not acknowledged is not counted, so distant clients are not slowed
/// down.
pub const UNSENT_MAX: u32 = 64 * 1024;

/// Returns the maximum number of connections of an exchange: [`CONNECTIONS_MAX`], or as many as the
/// limit of descriptors allows.
pub(super) fn connections_max() -> usize {
    #[cfg(unix)]
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        return (limit - DESCRIPTORS_KEPT.min(limit / 4)).clamp(1, CONNECTIONS_MAX);
    }
    CONNECTIONS_MAX
}

/// Silence after which the system probes whether the client's machine still exists.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Sets the socket options of an exchange's connection. The connection works without them, so
/// errors are ignored.
pub(super) fn tune(stream: &mio::net::TcpStream) {
    // Without TCP_NODELAY small packets are delayed.
    let _ = stream.set_nodelay(true);
    // Without keepalive the connection of a machine that has disappeared takes up room for ever.
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
    limit_unsent(stream, UNSENT_MAX);
}

/// Limits the unsent bytes that the system keeps for a client that does not read.
pub(crate) fn limit_unsent(stream: &impl AsSocket, most: u32) {
    // A failure only means that the system buffers more.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(most);
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (stream, most);
}

#[cfg(unix)]
pub(crate) use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
pub(crate) use std::os::windows::io::AsSocket;

/// Returns whether an error means that no file descriptor is left for a connection.
pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        [Errno::MFILE, Errno::NFILE].iter().any(|errno| Some(errno.raw_os_error()) == code)
    }
    #[cfg(not(unix))]
    {
        // WSAEMFILE.
        error.raw_os_error() == Some(10_024)
    }
}

/// Connections that may be closed to make room, the longest idle first.
#[derive(Debug, Default)]
pub(super) struct IdleQueue {
    /// Keys of the connections, each with the start of its idle time at the last search.
    found: VecDeque<(usize, Duration)>,
    /// Time of the next search.
    search_at: Duration,
}

impl IdleQueue {
    /// Returns the next connection that `still` says is idle since that time. `search` lists
    /// all idle connections.
    pub(super) fn next(
        &mut self,
        now: Duration,
        still: impl Fn(usize, Duration) -> bool,
        search: impl FnOnce() -> Vec<(Duration, usize)>,
    ) -> Option<usize> {
        if let Some(key) = self.take(&still) {
            return Some(key);
        }
        if now < self.search_at {
            return None;
        }
        self.search_at = now + ACCEPT_PAUSE;
        let mut found = search();
        found.retain(|(since, _)| *since + IDLE_LEAST <= now);
        found.sort_unstable();
        self.found = found.into_iter().map(|(since, key)| (key, since)).collect();
        self.take(&still)
    }

    fn take(&mut self, still: impl Fn(usize, Duration) -> bool) -> Option<usize> {
        while let Some((key, since)) = self.found.pop_front() {
            if still(key, since) {
                return Some(key);
            }
        }
        None
    }
}

/// Lets one log line in [`LOG_PAUSE`] through.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    next: Option<Duration>,
}

impl Throttle {
    /// Returns whether a line may be logged now.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let allowed = self.next.is_none_or(|next| now >= next);
        if allowed {
            self.next = Some(now + LOG_PAUSE);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_longest_idle_goes_first_and_only_while_it_is_idle() {
        let mut queue = IdleQueue::default();
        let all = || vec![(SECOND * 3, 7), (SECOND, 9), (SECOND * 9, 1), (SECOND * 2, 4)];
        let now = SECOND * 9 + SECOND / 2;
        assert_eq!(queue.next(now, |_, _| true, all), Some(9));
        // What has called again meanwhile is passed over, and found without another search.
        let again = || unreachable!("it searches again");
        assert_eq!(queue.next(now, |key, _| key != 4, again), Some(7));
        // The last one has been idle for half a second only, and the next search has to wait.
        assert_eq!(queue.next(now + ACCEPT_PAUSE / 2, |_, _| true, again), None);
        assert_eq!(queue.next(SECOND * 10, |_, _| true, || vec![(SECOND * 9, 1)]), Some(1));
    }

    #[test]
    fn the_same_problem_is_logged_once_in_ten_seconds() {
        let mut throttle = Throttle::default();
        let times = (0..250).filter(|i| throttle.allows(ACCEPT_PAUSE * *i)).count();
        assert_eq!(times, 3, "in 25 seconds");
    }
}
