//! Lines of a recorder: the protocol that each line's exchange speaks.

use super::mold::MoldFeed;
use crate::wire::Protocol;
use crate::wire::soup::{HeartbeatTimeout, Password, Text};
use alloc::vec;
use alloc::vec::Vec;

/// Maximum number of lines of a recorder.
pub const LINES_MAX: u16 = u16::MAX;

/// Protocol of a line's exchange, with what the recorder needs to speak it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum LineProtocol {
    /// The exercise's protocol, original or with the extension.
    #[default]
    Betacrew,
    /// SoupBinTCP: the recorder logs in, and logs in again at the next sequence after each break.
    Soup(SoupLogin),
    /// MoldUDP64: the recorder joins a group, and requests what it misses.
    Mold(MoldFeed),
}

impl LineProtocol {
    /// Returns the protocol's name.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Betacrew => Protocol::Betacrew,
            Self::Soup(_) => Protocol::Soup,
            Self::Mold(_) => Protocol::Mold,
        }
    }
}

/// User, password and session of a SoupBinTCP login. `Debug` does not show the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoupLogin {
    /// Name of the user.
    pub user: Text<6>,
    /// Password of the user.
    pub password: Password,
    /// Session to record; blank stands for the one that is current at the first login.
    pub session: Text<10>,
    /// Time without a packet of the recorder after which the exchange gives the connection up.
    /// Only exchanges of version 4.1 read it; `None` sends a login request of version 3.00.
    pub heartbeat_timeout: Option<HeartbeatTimeout>,
}

impl Default for SoupLogin {
    /// Returns the login of a user without name and password to the current session.
    fn default() -> Self {
        Self {
            user: Text::BLANK,
            password: Password::new(Text::BLANK),
            session: Text::BLANK,
            heartbeat_timeout: None,
        }
    }
}

/// Redundant lines of one session, each with its protocol.
///
/// ```
/// use feed::client::{LineProtocol, Lines, SoupLogin};
///
/// let two_of_the_exercise = Lines::from(2);
/// assert_eq!(two_of_the_exercise.protocols(), [LineProtocol::Betacrew; 2]);
/// let mixed = Lines::from([LineProtocol::Betacrew, LineProtocol::Soup(SoupLogin::default())]);
/// assert_eq!(mixed.protocols().len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines(Vec<LineProtocol>);

impl Lines {
    /// Returns the protocol of each line.
    #[must_use]
    pub fn protocols(&self) -> &[LineProtocol] {
        &self.0
    }

    /// Returns true if a line does not speak the exercise's protocol. The recorder then follows the
    /// session on all lines, because such a line is a subscription that goes on until the session's
    /// end.
    pub(super) fn are_followed(&self) -> bool {
        self.0.iter().any(|line| line.protocol() != Protocol::Betacrew)
    }

    /// Returns the number of request servers of each line that speaks MoldUDP64, with the line.
    pub(super) fn request_servers(&self) -> impl Iterator<Item = (u16, u16)> {
        (0u16..).zip(&self.0).filter_map(|(id, line)| match line {
            LineProtocol::Mold(feed) => Some((id, feed.servers)),
            _ => None,
        })
    }
}

impl From<u16> for Lines {
    /// Returns this many lines of the exercise's protocol.
    fn from(count: u16) -> Self {
        Self(vec![LineProtocol::Betacrew; count.into()])
    }
}

impl From<Vec<LineProtocol>> for Lines {
    /// Returns lines with these protocols, [`LINES_MAX`] at most; the rest is left out.
    fn from(mut protocols: Vec<LineProtocol>) -> Self {
        protocols.truncate(LINES_MAX.into());
        Self(protocols)
    }
}

impl<const N: usize> From<[LineProtocol; N]> for Lines {
    fn from(protocols: [LineProtocol; N]) -> Self {
        Self::from(protocols.to_vec())
    }
}
