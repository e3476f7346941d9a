//! Protocols in which a client can be graded.

use crate::args::address::PORT;
use crate::grade::cases::{CASES, Case};
use crate::grade::feeds::{mold, soup};
use feed::wire::Protocol;

/// Protocol in which a client is graded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub(crate) enum GradedProtocol {
    /// The exercise's protocol (docs/protocol.md)
    #[default]
    Betacrew,
    /// SoupBinTCP (docs/soup.md)
    Soup,
    /// MoldUDP64 (docs/mold.md)
    Mold,
}

impl GradedProtocol {
    /// Returns the name that the command line and the reports use.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Betacrew => "betacrew",
            Self::Soup => "soup",
            Self::Mold => "mold",
        }
    }

    /// Returns the cases of the protocol.
    pub(crate) const fn cases(self) -> &'static [Case] {
        match self {
            Self::Betacrew => CASES,
            Self::Soup => soup::cases::CASES,
            Self::Mold => mold::cases::CASES,
        }
    }

    /// Returns the usual times in milliseconds of cases that take longer than others; `None` for
    /// the exercise's, which has its own table.
    pub(crate) const fn usual_times(self) -> Option<&'static [(&'static str, u64)]> {
        match self {
            Self::Betacrew => None,
            Self::Soup => Some(soup::cases::LONGER),
            Self::Mold => Some(mold::cases::LONGER),
        }
    }

    /// Returns the protocol of the exchange's listeners.
    pub(crate) const fn on_the_wire(self) -> Protocol {
        match self {
            Self::Betacrew => Protocol::Betacrew,
            Self::Soup => Protocol::Soup,
            Self::Mold => Protocol::Mold,
        }
    }

    /// Returns the flags of `betacrew serve` that choose the protocol, this port and this number of
    /// lines.
    pub(crate) fn listen_flags(self, port: u16, lines: usize) -> String {
        match self {
            Self::Betacrew if port == PORT => String::new(),
            Self::Betacrew => format!(" --listen 127.0.0.1:{port}"),
            Self::Soup => format!(" --listen soup://127.0.0.1:{port}"),
            Self::Mold => (0..lines).fold(" --flush 5ms".to_owned(), |flags, line| {
                let receiver = usize::from(port) + 2 * line;
                let server = receiver + 1;
                let query = format!("request=127.0.0.1:{server}&start=3s");
                flags + &format!(" --listen 'mold://127.0.0.1:{receiver}?{query}'")
            }),
        }
    }
}
