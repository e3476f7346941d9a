//! Networks that each hold one case and have nothing but the loopback interface.
//!
//! In it port 3000 is always free, so that clients of a fixed port run side by side, and the client
//! reaches nothing but its exchange. Linux gives each thread its network: the thread of a case
//! enters a new one, and the exchange and the client that it starts are in it too.
//!
//! Only the superuser may make a network. Any other user may first enter a user namespace, in which
//! the same user is allowed to, if the system permits that. A process can enter one only while it
//! has one thread, and can never leave it, so that another process tries it first.

use std::fmt;
use std::io;
use std::sync::OnceLock;

/// Network of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CaseNetwork {
    /// Network of the machine.
    Shared,
    /// New network with a loopback interface.
    Own,
}

/// Reason why cases cannot have networks of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NoNetwork {
    /// Reason as a clause.
    why: String,
    /// Setting that would allow it, as a clause; empty if none is known.
    remedy: String,
}

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl NoNetwork {
    /// Returns the reason for a program that may start the client outside of a new network.
    pub(crate) fn outside(program: &str) -> Self {
        Self {
            why: format!("{program} may start the client outside of it"),
            remedy: "--isolate always tries it".to_owned(),
        }
    }
}

/// Reason why this process has no user namespace of its own, if it tried to enter one.
static REFUSED: OnceLock<NoNetwork> = OnceLock::new();

/// Error of the step at which this process was left half inside of a user namespace.
static HALF_ENTERED: OnceLock<String> = OnceLock::new();

/// Returns an error if this process is half inside of a user namespace: it cannot leave, and has no
/// rights to its own files there, so that clients would fail in it.
///
/// # Errors
/// Returns the error of the step that failed.
pub(crate) fn check_entered() -> io::Result<()> {
    HALF_ENTERED.get().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
}

/// Enters a user namespace, unless this process may make networks without one. `probe` starts
/// another process that tries it, and returns its error message if it fails. Must be called while
/// the process has one thread.
pub(crate) fn enter_user_namespace(probe: impl FnOnce() -> Result<(), String>) {
    if system::may_make_networks() {
        return;
    }
    let entered = probe().and_then(|()| system::unshare_user().map_err(|e| e.to_string()));
    let maps = match entered {
        Ok(maps) => maps,
        Err(why) => {
            let _ = REFUSED.set(NoNetwork { why, remedy: system::remedy() });
            return;
        }
    };
    // The probe has done the same, so that only a change of the system in between can fail here.
    if let Err(error) = system::write_maps(maps) {
        let _ = HALF_ENTERED.set(error.to_string());
    }
}

/// Checks on a thread of its own that a case can have a network, with both loopback addresses that
/// the machine has.
///
/// # Errors
/// Returns the reason if it cannot.
pub(crate) fn check() -> Result<(), NoNetwork> {
    if let Some(refused) = REFUSED.get() {
        return Err(refused.clone());
    }
    let tried = std::thread::spawn(|| {
        enter_new()?;
        std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).map(drop)
    });
    let tried = tried.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
    tried.map_err(|error| NoNetwork { why: error.to_string(), remedy: system::remedy() })
}

/// Moves the current thread into a new network and starts its loopback interface.
///
/// # Errors
/// Returns an error if the system does not allow it.
pub(crate) fn enter_new() -> io::Result<()> {
    system::enter_new_network()
}

#[cfg(all(target_os = "linux", target_endian = "little"))]
mod system {
    use super::messages::{self, Request};
    use nix::sched::{CloneFlags, unshare};
    use socket2::{Domain, Socket, Type};
    use std::fs;
    use std::io::{self, Read, Write};
    use std::time::Duration;

    /// Returns an error with the action that failed.
    fn failed(action: &str, error: impl Into<io::Error>) -> io::Error {
        let error: io::Error = error.into();
        io::Error::new(error.kind(), format!("{action}: {error}"))
    }

    /// Returns whether this process has the capability `CAP_SYS_ADMIN`.
    pub(super) fn may_make_networks() -> bool {
        const SYS_ADMIN: u64 = 1 << 21;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set & SYS_ADMIN != 0)
    }

    /// Maps of a user namespace: each file of this process with its text.
    pub(super) type Maps = [(&'static str, String); 3];

    /// Enters a user namespace, and returns what gives this process the same user and group as
    /// before in it.
    pub(super) fn unshare_user() -> io::Result<Maps> {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| failed("no user namespace", e))?;
        Ok([
            // Without this the system refuses the map of groups.
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{0} {0} 1", user.as_raw())),
            ("gid_map", format!("{0} {0} 1", group.as_raw())),
        ])
    }

    /// Writes the maps of the user namespace that this process has entered.
    pub(super) fn write_maps(maps: Maps) -> io::Result<()> {
        maps.into_iter().try_for_each(|(file, text)| {
            fs::write(format!("/proc/self/{file}"), text).map_err(|e| failed(file, e))
        })
    }

    /// Moves the current thread into a new network and starts its loopback interface.
    pub(super) fn enter_new_network() -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| failed("no network namespace", e))?;
        // `AF_NETLINK` and `NETLINK_ROUTE` of Linux.
        let (netlink, route) = (16, 0);
        let socket = Socket::new(Domain::from(netlink), Type::DGRAM, Some(route.into()))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        send(&socket, &messages::loopback_up()).map_err(|e| failed("no loopback interface", e))?;
        // A system without IPv6 refuses the second one.
        for request in messages::addresses() {
            let _ = send(&socket, &request);
        }
        Ok(())
    }

    /// Sends a request and waits for its confirmation.
    fn send(mut socket: &Socket, request: &Request) -> io::Result<()> {
        socket.write_all(request)?;
        let mut answer = [0; 1024];
        let len = socket.read(&mut answer)?;
        messages::confirmed(&answer[..len])
    }

    /// Returns the setting of this system that would allow networks, as a clause.
    pub(super) fn remedy() -> String {
        let setting = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let sysctl = |name: &str| setting(&format!("/proc/sys/{}", name.replace('.', "/")));
        for (name, refusing, allowing) in [
            ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
            ("kernel.unprivileged_userns_clone", "0", "1"),
            ("user.max_user_namespaces", "0", "1000"),
            ("user.max_net_namespaces", "0", "1000"),
        ] {
            if sysctl(name) == refusing {
                return format!("`sudo sysctl {name}={allowing}` would allow it");
            }
        }
        let status = setting("/proc/self/status");
        let filtered = status.lines().any(|line| line == "Seccomp:\t2");
        match filtered {
            true => "in a container, `docker run --cap-add SYS_ADMIN` would allow it".to_owned(),
            false => "the superuser may be allowed to".to_owned(),
        }
    }
}

#[cfg(not(all(target_os = "linux", target_endian = "little")))]
mod system {
    use std::io;

    pub(super) fn may_make_networks() -> bool {
        false
    }

    pub(super) fn unshare_user() -> io::Result<()> {
        enter_new_network()
    }

    pub(super) fn write_maps(_: ()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn enter_new_network() -> io::Result<()> {
        Err(io::Error::other("only Linux has networks for single programs"))
    }

    pub(super) fn remedy() -> String {
        String::new()
    }
}

/// Layout of the netlink messages (`man 7 rtnetlink`). They have the machine's byte order; only
/// little-endian machines are supported.
#[cfg(all(target_os = "linux", target_endian = "little"))]
mod messages {
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// Bytes of a request.
    pub(super) type Request = Vec<u8>;

    /// Length in bytes of the header of a message.
    const HEAD: usize = 16;
    /// Flags `NLM_F_REQUEST` and `NLM_F_ACK`.
    const CONFIRMED: u16 = 1 | 4;
    /// Flag `NLM_F_CREATE`.
    const CREATE: u16 = 0x400;
    /// Index of the loopback interface in every network.
    const LOOPBACK: u32 = 1;

    /// Returns a message of this kind with these flags.
    fn message(kind: u16, flags: u16, body: &[u8]) -> Request {
        let len = u32::try_from(HEAD + body.len()).unwrap_or(0);
        let mut bytes = Vec::new();
        bytes.extend(len.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        // Sequence number and sender of the message: not used.
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    /// Returns the request that starts the loopback interface.
    pub(super) fn loopback_up() -> Request {
        /// Kind `RTM_NEWLINK`.
        const NEW_LINK: u16 = 16;
        /// Flag `IFF_UP` of an interface.
        const UP: u32 = 1;
        let fields = [0, LOOPBACK, UP, UP];
        message(NEW_LINK, CONFIRMED, &fields.map(u32::to_le_bytes).concat())
    }

    /// Returns requests that give the loopback interface an address of documentation in each
    /// family, because some systems look up names only in the families that have an address other
    /// than the usual ones of loopback.
    pub(super) fn addresses() -> [Request; 2] {
        let four = Ipv4Addr::new(192, 0, 2, 1).octets();
        let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
        // `AF_INET` and `AF_INET6` of Linux.
        [address(2, &four), address(10, &six)]
    }

    /// Returns the request that adds an address to the loopback interface.
    fn address(family: u8, address: &[u8]) -> Request {
        /// Kind `RTM_NEWADDR`.
        const NEW_ADDRESS: u16 = 20;
        /// Flag `IFA_F_NODAD`: nobody else can have the address.
        const UNIQUE: u8 = 2;
        /// Attributes `IFA_ADDRESS` and `IFA_LOCAL`.
        const ATTRIBUTES: [u16; 2] = [1, 2];
        let bits = u8::try_from(address.len() * 8).unwrap_or(0);
        let mut body = vec![family, bits, UNIQUE, 0];
        body.extend(LOOPBACK.to_le_bytes());
        for attribute in ATTRIBUTES {
            body.extend(u16::try_from(4 + address.len()).unwrap_or(0).to_le_bytes());
            body.extend(attribute.to_le_bytes());
            body.extend(address);
        }
        message(NEW_ADDRESS, CONFIRMED | CREATE, &body)
    }

    /// Returns whether an answer confirms a request.
    pub(super) fn confirmed(answer: &[u8]) -> io::Result<()> {
        /// Kind `NLMSG_ERROR`, with error 0 for a confirmation.
        const ERROR: u16 = 2;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).ok_or_else(malformed)?;
        let error = answer.get(HEAD..HEAD + 4).and_then(|error| error.try_into().ok());
        match (u16::from_le_bytes(kind), i32::from_le_bytes(error.ok_or_else(malformed)?)) {
            (ERROR, 0) => Ok(()),
            (ERROR, error) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
            _ => Err(malformed()),
        }
    }
}

#[cfg(all(test, target_os = "linux", target_endian = "little"))]
mod tests {
    use super::*;
    use crate::grade::run::testing::{REQUIRED, is_required};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn each_thread_has_its_port_and_reaches_no_other() {
        if let Err(refused) = check() {
            assert!(!is_required(), "{refused}, and {REQUIRED}=1");
            println!("skipped: a case cannot have a network of its own: {refused}");
            return;
        }
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = outside.local_addr().unwrap().port();
        let inside = std::thread::spawn(move || {
            enter_new().unwrap();
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "another network");
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            TcpStream::connect(("127.0.0.1", port)).unwrap();
            listener.accept().unwrap();
            let far = TcpStream::connect("198.51.100.1:9").unwrap_err();
            assert_eq!(far.kind(), io::ErrorKind::NetworkUnreachable);
        });
        inside.join().unwrap();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn a_namespace_that_was_entered_by_half_is_an_error() {
        check_entered().unwrap();
        let gone = system::write_maps(["no_such_map"; 3].map(|file| (file, String::new())));
        assert!(gone.unwrap_err().to_string().starts_with("no_such_map: "));
    }

    #[test]
    fn answers_are_confirmations_or_errors() {
        let answer = |kind: u16, error: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&kind.to_le_bytes());
            bytes[16..20].copy_from_slice(&error.to_le_bytes());
            bytes
        };
        messages::confirmed(&answer(2, 0)).unwrap();
        let refused = messages::confirmed(&answer(2, -1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        for wrong in [answer(3, 0), answer(2, i32::MIN), vec![], answer(2, 0)[..19].to_vec()] {
            assert!(messages::confirmed(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_reason_names_what_would_allow_it() {
        let refused = NoNetwork { why: "not permitted".into(), remedy: "x would allow it".into() };
        assert_eq!(refused.to_string(), "not permitted; x would allow it");
        assert!(NoNetwork::outside("docker").to_string().starts_with("docker may start"));
    }
}
