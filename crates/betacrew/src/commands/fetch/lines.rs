//! Lines of `fetch`: where each exchange is, what it speaks, and the password for it.

use super::FetchArgs;
use crate::args::feed_address::FeedAddress;
use crate::args::secret::Secret;
use crate::error::Failure;
use feed::client::{LINES_MAX, LineProtocol, SoupLogin};
use feed::wire::Protocol;
use feed::wire::soup::{Password, Text};
use std::net::SocketAddr;

/// Variable of the environment with the password for SoupBinTCP exchanges.
const PASSWORD: &str = "BETACREW_PASSWORD";

/// Lines of one run, in the order of the command line.
pub(super) struct FetchLines {
    /// Name of each line in messages and reports.
    pub(super) labels: Vec<String>,
    /// Protocol of each line.
    pub(super) protocols: Vec<LineProtocol>,
    /// Socket addresses of each line.
    pub(super) addresses: Vec<Vec<SocketAddr>>,
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
        let has_soup = typed.iter().any(|address| address.protocol == Protocol::Soup);
        check_flags(args, has_soup)?;
        if let Some(at) = typed.iter().position(|address| address.protocol == Protocol::Mold) {
            return Err(Failure::Usage(format!(
                "`{}`: fetch does not record MoldUDP64",
                typed[at].label()
            )));
        }
        let password = if has_soup { password(args)? } else { Password::new(Text::BLANK) };
        let protocol = |address: &FeedAddress| match address.protocol {
            Protocol::Betacrew | Protocol::Mold => LineProtocol::Betacrew,
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
            addresses: typed.iter().map(FeedAddress::resolve).collect::<Result<_, _>>()?,
        })
    }
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
fn check_flags(args: &FetchArgs, has_soup: bool) -> Result<(), Failure> {
    let refused = |flag: &str, reason: &str| Err(Failure::Usage(format!("{flag} {reason}")));
    if !has_soup {
        return match &args.password_file {
            Some(_) => refused(
                "--password-file",
                "needs an exchange with logins, such as soup://127.0.0.1:3001",
            ),
            None => Ok(()),
        };
    }
    let flags = [
        ("--classic", args.classic, "the exercise's original protocol"),
        ("--passes", args.passes.is_some(), "further streams of a session that loses packets"),
        ("--last", args.last.is_some(), "a session that never says where it ends"),
    ];
    match flags.iter().find(|(_, is_given, _)| *is_given) {
        Some((flag, _, meaning)) => refused(
            flag,
            &format!(
                "is for {meaning}; a soup:// exchange sends every message once and says where the \
                 session ends. Leave it out"
            ),
        ),
        None => Ok(()),
    }
}
