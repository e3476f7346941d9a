//! Detection of clients that wait for ever.
//!
//! A client without a time-out waits until the time limit of its case. On Linux the grader can tell
//! that nothing will ever wake it: each of its threads is in a system call that ends only if
//! something arrives, no timer runs, and all that could send it something is the exchange, which
//! has nothing to send. Whatever is not known to be so counts as able to wake up.

/// State of a client that seems to wait for ever: its threads, with the number of times that each
/// has begun to wait. If two states are equal, nothing has run between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Standstill(Vec<(u32, u64)>);

/// Returns the state of a client whose threads all wait, and of which none can ever run again
/// unless the exchange on `port` does something. `leader` is the first process of the client. The
/// threads are looked at one by one, so that only two equal states in a row are a proof.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn standstill(leader: u32, port: u16) -> Option<Standstill> {
    // Most clients that wait do so with a time-out, which shows at once.
    let mut threads = processes::waiting_threads(leader, port)?;
    for id in processes::of(leader)?.into_iter().filter(|id| *id != leader) {
        threads.extend(processes::waiting_threads(id, port)?);
    }
    threads.sort_unstable();
    Some(Standstill(threads))
}

/// Returns `None`, because other systems do not tell.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn standstill(_: u32, _: u16) -> Option<Standstill> {
    None
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod processes {
    use super::calls;
    use crate::grade::run::process::{all_ids, has_strays, stat};
    use rustix::net::sockopt::{Timeout, socket_acceptconn, socket_domain, socket_timeout};
    use rustix::net::{AddressFamily, SocketAddrAny, getpeername};
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    use std::collections::BTreeSet;
    use std::fs;
    use std::net::SocketAddr;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileTypeExt;

    /// Bit of the signal `SIGALRM` in a set of signals.
    const ALARM: u64 = 1 << 13;

    /// Returns the processes of a client that have not ended. Returns `None` if its first process
    /// has ended, or if a process has left, because it could belong to this client.
    pub(super) fn of(leader: u32) -> Option<BTreeSet<u32>> {
        let all: Vec<(u32, Vec<String>)> =
            all_ids().filter_map(|id| Some((id, stat(id)?))).collect();
        let is = |field: &String, id: &u32| field.parse() == Ok(*id);
        let mut found = BTreeSet::from([leader]);
        loop {
            let more = all.iter().filter(|(id, fields)| {
                !found.contains(id)
                    && (is(&fields[2], &leader) || found.iter().any(|known| is(&fields[1], known)))
            });
            let more: Vec<u32> = more.map(|(id, _)| *id).collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        let ended = |id: &u32| all.iter().any(|(other, fields)| other == id && fields[0] == "Z");
        if ended(&leader) || has_strays() {
            return None;
        }
        found.retain(|id| !ended(id));
        Some(found)
    }

    /// Returns the threads of a process that nothing but its exchange can wake, with the number of
    /// times that each has begun to wait; `None` if something else can wake one.
    pub(super) fn waiting_threads(id: u32, port: u16) -> Option<Vec<(u32, u64)>> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let caught = field(&status, "SigCgt:")?;
        let catches_alarm = u64::from_str_radix(caught, 16).ok()? & ALARM != 0;
        let has_timers = !fs::read_to_string(format!("/proc/{id}/timers")).ok()?.is_empty();
        if catches_alarm || has_timers || !has_only_known_files(id, port)? {
            return None;
        }
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{id}/task")).ok()? {
            let path = thread.ok()?.path();
            let status = fs::read_to_string(path.join("status")).ok()?;
            match calls::wait(&fs::read_to_string(path.join("syscall")).ok()?) {
                calls::Wait::Endless => {}
                // A time-out of the socket ends the call.
                calls::Wait::OnFile(file) if !has_timeout(id, file)? => {}
                calls::Wait::OnFile(_) | calls::Wait::Unknown => return None,
            }
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let waits = field(&status, "voluntary_ctxt_switches:")?.parse().ok()?;
            threads.push((number, waits));
        }
        Some(threads)
    }

    /// Returns the value of a field in the status of a process.
    fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// Returns a copy of a socket of another process, to ask for its settings.
    fn socket(id: u32, file: i32) -> Option<OwnedFd> {
        let process = Pid::from_raw(i32::try_from(id).ok()?)?;
        let process = pidfd_open(process, PidfdFlags::empty()).ok()?;
        pidfd_getfd(process, file, PidfdGetfdFlags::empty()).ok()
    }

    /// Returns the kind of an open file, such as `socket:[123]`, or its path.
    fn target(id: u32, file: &str) -> Option<String> {
        let target = fs::read_link(format!("/proc/{id}/fd/{file}")).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// Returns whether reading a file ends after a time without data.
    fn has_timeout(id: u32, file: i32) -> Option<bool> {
        let target = target(id, &file.to_string())?;
        if target.starts_with("pipe:") || target == "anon_inode:[eventfd]" {
            return Some(false);
        }
        let timeout = socket_timeout(socket(id, file)?, Timeout::Recv).ok()?;
        Some(timeout.is_some())
    }

    /// Returns whether no open file of a process can wake it, except its connections with the
    /// exchange and the pipes to its own processes.
    fn has_only_known_files(id: u32, port: u16) -> Option<bool> {
        for entry in fs::read_dir(format!("/proc/{id}/fd")).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.to_owned();
            let target = target(id, &name)?;
            let is_known = match target.split(':').next()? {
                "pipe" => true,
                "socket" => is_with_exchange(&socket(id, name.parse().ok()?)?, port),
                "anon_inode" => {
                    matches!(&*target, "anon_inode:[eventpoll]" | "anon_inode:[eventfd]")
                }
                _ if target.starts_with("/dev/pts/") || target.starts_with("/dev/tty") => false,
                _ => !fs::metadata(entry.path()).ok()?.file_type().is_fifo(),
            };
            if !is_known {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Returns whether a socket is connected with the exchange, or with nobody.
    fn is_with_exchange(socket: &OwnedFd, port: u16) -> bool {
        let is_inet = socket_domain(socket)
            .is_ok_and(|domain| [AddressFamily::INET, AddressFamily::INET6].contains(&domain));
        let listens = socket_acceptconn(socket).unwrap_or(true);
        // A socket without a peer gives an error here.
        let peer: Option<SocketAddrAny> = getpeername(socket).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let is_ours =
            |peer: SocketAddr| peer.ip().to_canonical().is_loopback() && peer.port() == port;
        is_inet && !listens && peer.is_none_or(is_ours)
    }
}

/// System calls, as `/proc/PID/syscall` shows them.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls {
    /// Reason why a thread does not run.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) enum Wait {
        /// Call that ends only if something arrives.
        Endless,
        /// Call that ends if something arrives at this file, or after the file's own time-out.
        OnFile(i32),
        /// Thread that runs, or call that may end by itself.
        Unknown,
    }

    /// Numbers of the system calls that wait.
    #[cfg(target_arch = "x86_64")]
    mod numbers {
        pub(super) const ON_FILE: [u64; 3] = [0, 45, 47];
        pub(super) const EPOLL: [u64; 2] = [232, 281];
        pub(super) const POLL: [u64; 1] = [7];
        pub(super) const PPOLL: u64 = 271;
        pub(super) const SELECT: [u64; 2] = [23, 270];
        pub(super) const FUTEX: u64 = 202;
        pub(super) const CHILD: [u64; 2] = [61, 247];
    }

    /// Numbers of the system calls that wait.
    #[cfg(target_arch = "aarch64")]
    mod numbers {
        pub(super) const ON_FILE: [u64; 3] = [63, 207, 212];
        pub(super) const EPOLL: [u64; 1] = [22];
        pub(super) const POLL: [u64; 0] = [];
        pub(super) const PPOLL: u64 = 73;
        pub(super) const SELECT: [u64; 1] = [72];
        pub(super) const FUTEX: u64 = 98;
        pub(super) const CHILD: [u64; 2] = [260, 95];
    }

    /// Returns why a thread does not run. The text is `running`, or the number of a system call and
    /// its six arguments.
    pub(super) fn wait(text: &str) -> Wait {
        let mut words = text.split_whitespace();
        let number = words.next().and_then(|number| number.parse().ok());
        let args = words.map(|arg| u64::from_str_radix(arg.trim_start_matches("0x"), 16));
        let args: Vec<u64> = args.filter_map(Result::ok).collect();
        let (Some(number), [first, second, _, fourth, fifth, ..]) = (number, &args[..]) else {
            return Wait::Unknown;
        };
        // Time-outs in milliseconds are 32-bit numbers, and -1 is none; others are pointers.
        let no_time = |time: u64| time & 0xffff_ffff == 0xffff_ffff;
        let endless = match number {
            number if numbers::ON_FILE.contains(&number) => {
                return i32::try_from(*first).map_or(Wait::Unknown, Wait::OnFile);
            }
            number if numbers::EPOLL.contains(&number) => no_time(*fourth),
            number if numbers::POLL.contains(&number) => no_time(args[2]),
            numbers::PPOLL => args[2] == 0,
            number if numbers::SELECT.contains(&number) => *fifth == 0,
            numbers::FUTEX => is_wait(*second) && *fourth == 0,
            number => numbers::CHILD.contains(&number),
        };
        if endless { Wait::Endless } else { Wait::Unknown }
    }

    /// Returns whether an operation of a futex waits for another thread: `FUTEX_WAIT`,
    /// `FUTEX_WAIT_BITSET` and `FUTEX_LOCK_PI`, whatever their flags are.
    fn is_wait(operation: u64) -> bool {
        matches!(operation & 0x7f, 0 | 6 | 9)
    }

    #[cfg(all(test, target_arch = "x86_64"))]
    mod tests {
        use super::*;

        #[test]
        fn calls_without_a_time_out_are_endless() {
            for (text, expected) in [
                ("running", Wait::Unknown),
                ("-1 0x7ffd 0x7f", Wait::Unknown),
                ("", Wait::Unknown),
                ("45 0x4 0x7f66 0x1 0x0 0x0 0x0 0x7ffd 0x7f66", Wait::OnFile(4)),
                ("281 0xe 0x7ffe 0x400 0xffffffff 0x0 0x8 0x7ffe 0x7f16", Wait::Endless),
                ("281 0xe 0x7ffe 0x400 0x1867d 0x0 0x8 0x7ffe 0x7f16", Wait::Unknown),
                ("202 0x2461 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7f", Wait::Endless),
                ("202 0x2461 0x189 0x0 0x7ffc 0x0 0xffffffff 0x7f 0x7f", Wait::Unknown),
                ("202 0x2461 0x81 0x1 0x0 0x0 0x0 0x7f 0x7f", Wait::Unknown),
                ("7 0x7ffd 0x1 0xffffffff 0x0 0x0 0x0 0x7f 0x7f", Wait::Endless),
                ("7 0x7ffd 0x1 0xbb8 0x0 0x0 0x0 0x7f 0x7f", Wait::Unknown),
                ("23 0x5 0x7ffd 0x0 0x0 0x0 0x0 0x7f 0x7f", Wait::Endless),
                ("230 0x0 0x0 0x7ffd 0x0 0x0 0x0 0x7f 0x7f", Wait::Unknown),
            ] {
                assert_eq!(wait(text), expected, "{text}");
            }
        }
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use crate::grade::run::process::{EarlyEnd, PollDecision, ProcessEnd, run};
    use crate::grade::run::testing::{REQUIRED, is_required};
    use std::net::TcpListener;
    use std::process::Command;
    use std::time::{Duration, Instant};

    /// Runs a script of Python with the port of a listener that never answers, and returns whether
    /// it is found to wait for ever before it ends.
    fn is_stuck(script: &str) -> Option<bool> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let mut command = Command::new("python3");
        let head = "import socket, sys, time, signal\ns = socket.create_connection(('127.0.0.1', \
                    int(sys.argv[1])))\n";
        command.args(["-c", &format!("{head}{script}"), &port.to_string()]);
        let limit = Duration::from_secs(30);
        let (mut before, mut checked_at) = (None, Instant::now());
        let done = run(&mut command, None, limit, |client| {
            if checked_at.elapsed() < Duration::from_millis(50) {
                return PollDecision::Wait;
            }
            checked_at = Instant::now();
            let now = super::standstill(client.id, port);
            match now.is_some() && std::mem::replace(&mut before, now.clone()) == now {
                true => PollDecision::EndEarly(EarlyEnd::Stuck),
                false => PollDecision::Wait,
            }
        });
        let Ok(Some(done)) = done else {
            assert!(!is_required(), "python3 is not installed, and {REQUIRED}=1");
            println!("skipped: python3 is not installed");
            return None;
        };
        assert!(done.was_stuck() || done.ended == ProcessEnd::Exited(0), "{done:?}");
        Some(done.was_stuck())
    }

    #[test]
    fn only_a_client_without_any_time_out_is_stuck() {
        let soon = "time.sleep(0.6)";
        for (script, stuck) in [
            ("s.recv(1)".to_owned(), true),
            ("import select; select.select([s], [], [])".to_owned(), true),
            ("import os\nif os.fork(): os.wait()\nelse: s.recv(1)".to_owned(), true),
            ("import threading\nthreading.Thread(target=s.recv, args=(1,)).start()".into(), true),
            (soon.to_owned(), false),
            ("s.settimeout(0.6)\ntry: s.recv(1)\nexcept OSError: pass".to_owned(), false),
            (
                "import struct\ns.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, \
                 struct.pack('ll', 0, 600000))\ntry: s.recv(1)\nexcept OSError: pass"
                    .to_owned(),
                false,
            ),
            (
                "signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))\n\
                 signal.setitimer(signal.ITIMER_REAL, 0.6)\ns.recv(1)"
                    .to_owned(),
                false,
            ),
            (format!("import threading\nthreading.Timer(0.6, s.close).start()\n{soon}"), false),
        ] {
            if let Some(found) = is_stuck(&script) {
                assert_eq!(found, stuck, "{script}");
            }
        }
    }
}
