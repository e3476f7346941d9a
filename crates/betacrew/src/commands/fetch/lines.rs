//! Lines of `fetch`: where each exchange is, what it speaks, and the password for it.

use super::FetchArgs;
use crate::args::feed_address::FeedAddress;
use crate::args::secret::Secret;
use crate::error::Failure;
use crate::net::{GroupAddress, GroupSockets, LineSource, RECEIVE_BUFFER};
use crate::terminal::message::message;
use feed::client::{LINES_MAX, LineProtocol, MoldFeed, SessionPayload, SoupLogin};
use feed::wire::Protocol;
use feed::wire::soup::{Password, Text};
use std::io::ErrorKind;
use std::net::SocketAddr;

/// Variable of the environment with the password for SoupBinTCP exchanges.
const PASSWORD: &str = "BETACREW_PASSWORD";

/// Lines of one run, in the order of the command line.
pub(super) struct FetchLines {
    /// Name of each line in messages and reports.
    pub(super) labels: Vec<String>,
    /// Protocol of each line.
    pub(super) protocols: Vec<LineProtocol>,
    /// Addresses or sockets of each line.
    pub(super) sources: Vec<LineSource>,
}

impl FetchLines {
    /// Reads the addresses and the password, and looks the hosts up.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if an address is wrong, a flag does not fit the protocols, or the
    /// password is too long, and the failures of [`Secret::read`].
    pub(super) fn read(args: &FetchArgs) -> Result<Self, Failure> {
        if args.addresses.len() > usize::from(LINES_MAX) {
            return Err(Failure::Usage(format!(
                "at most {LINES_MAX} exchanges can be recorded at once"
            )));
        }
        let typed = args.addresses.iter().map(|text| FeedAddress::parse(text));
        let typed = typed.collect::<Result<Vec<_>, _>>()?;
        let has_soup = speak(&typed, Protocol::Soup);
        check_flags(args, &typed)?;
        let password = if has_soup { password(args)? } else { Password::new(Text::BLANK) };
        let protocol = |address: &FeedAddress| match address.protocol {
            Protocol::Betacrew => LineProtocol::Betacrew,
            Protocol::Mold => LineProtocol::Mold(MoldFeed { servers: address.servers() }),
            Protocol::Soup => LineProtocol::Soup(SoupLogin {
                user: address.user,
                password,
                session: address.session,
                heartbeat_timeout: None,
            }),
        };
        Ok(Self {
            labels: typed.iter().map(FeedAddress::label).collect(),
            protocols: typed.iter().map(protocol).collect(),
            sources: typed.iter().map(source).collect::<Result<_, _>>()?,
        })
    }

    /// Returns whether an exchange has one of `addresses`.
    pub(super) fn any_at(&self, is_at: impl Fn(&[SocketAddr]) -> bool) -> bool {
        let is_at = |line: &LineSource| match line {
            LineSource::Exchange(addresses) => is_at(addresses),
            LineSource::Group(_) => false,
        };
        self.sources.iter().any(is_at)
    }
}

/// Looks the host of a line up, or opens the sockets of a group.
fn source(address: &FeedAddress) -> Result<LineSource, Failure> {
    if address.protocol != Protocol::Mold {
        return Ok(LineSource::Exchange(address.resolve()?));
    }
    let group = address.group()?;
    if group.servers.iter().any(|server| server.is_ipv4() != group.servers[0].is_ipv4()) {
        return Err(Failure::Usage(format!(
            "the request servers of {} have addresses of IPv4 and IPv6: use one of both for all",
            address.label()
        )));
    }
    let sockets = open_group(group, &address.label())?;
    let granted = sockets.receive_buffer();
    tracing::info!("{}: receive buffer of {granted} bytes", address.label());
    if granted < RECEIVE_BUFFER {
        message!(
            "{}: the system grants a receive buffer of {} KiB instead of {} KiB, so a burst may be \
             dropped before it is read (it is requested again). To allow more: sudo sysctl -w \
             net.core.rmem_max={RECEIVE_BUFFER}",
            address.label(),
            granted >> 10,
            RECEIVE_BUFFER >> 10
        );
    }
    Ok(LineSource::Group(sockets))
}

/// Opens the sockets of a group.
///
/// # Errors
/// Returns [`Failure::Usage`] if the address is not one of this machine, or is in use.
fn open_group(group: GroupAddress, label: &str) -> Result<GroupSockets, Failure> {
    let (address, interface) = (group.group, group.interface);
    GroupSockets::open(group).map_err(|error| {
        let hint = match (error.kind(), address.ip().is_multicast()) {
            (ErrorKind::AddrInUse, _) => {
                "another program receives there; end it, or use another port"
            }
            (ErrorKind::AddrNotAvailable, false) => {
                "it is no multicast group and no address of this machine; expected the address \
                 that the datagrams are sent to"
            }
            (_, true) if interface.is_some() => {
                "is interface= the address of an interface of this machine that is up?"
            }
            (_, true) if address.is_ipv6() => {
                "name the interface of the group: &interface=eth0, or [GROUP%eth0]:PORT"
            }
            (_, true) => "name the interface of the group: &interface=IP",
            _ => "expected the address that the datagrams are sent to",
        };
        Failure::Usage(format!("cannot receive from {label}: {error}; {hint}"))
    })
}

/// Returns whether a line speaks a protocol.
fn speak(lines: &[FeedAddress], protocol: Protocol) -> bool {
    lines.iter().any(|line| line.protocol == protocol)
}

/// Returns the password for SoupBinTCP exchanges: of the file, else of the environment, else blank.
fn password(args: &FetchArgs) -> Result<Password, Failure> {
    let (secret, place) = match &args.password_file {
        Some(path) => (Some(Secret::read(path)?), "--password-file"),
        None => (Secret::from_env(PASSWORD), PASSWORD),
    };
    let text = secret.as_ref().map_or("", Secret::expose);
    // The error tells a length or a byte, which is not said, because it is part of a secret.
    let text = Text::new(text).map_err(|_| {
        Failure::Usage(format!(
            "the password of {place} does not fit a login: expected at most 10 printable ASCII \
             characters"
        ))
    })?;
    Ok(Password::new(text))
}

/// Checks that the flags fit the protocols of the lines.
fn check_flags(args: &FetchArgs, lines: &[FeedAddress]) -> Result<(), Failure> {
    let refused = |flag: &str, reason: &str| Err(Failure::Usage(format!("{flag} {reason}")));
    if args.password_file.is_some() && !speak(lines, Protocol::Soup) {
        return refused(
            "--password-file",
            "needs an exchange with logins, such as soup://127.0.0.1:3001",
        );
    }
    if args.expected_payload() == SessionPayload::Messages && speak(lines, Protocol::Betacrew) {
        return refused(
            "--payload",
            "is for messages of soup:// and mold:// exchanges; the exercise's protocol has order \
             packets alone. Leave it out",
        );
    }
    if lines.iter().all(|line| line.protocol == Protocol::Betacrew) {
        return Ok(());
    }
    let flags = [
        ("--classic", args.classic, "the exercise's original protocol"),
        ("--passes", args.passes.is_some(), "further streams of a session that drops packets"),
        ("--last", args.last.is_some(), "a session that never says where it ends"),
    ];
    match flags.iter().find(|(_, is_given, _)| *is_given) {
        Some((flag, _, meaning)) => refused(
            flag,
            &format!(
                "is for {meaning}; a soup:// or mold:// exchange says where its session ends. \
                 Leave it out"
            ),
        ),
        None => Ok(()),
    }
}
