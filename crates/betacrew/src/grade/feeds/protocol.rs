//! Protocols in which a client can be graded.

use crate::args::address::PORT;
use crate::grade::cases::{CASES, Case};
use crate::grade::feeds::soup;
use feed::wire::Protocol;

/// Protocol in which a client is graded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub(crate) enum GradedProtocol {
    /// The exercise's protocol (docs/protocol.md)
    #[default]
    Betacrew,
    /// SoupBinTCP (docs/soup.md)
    Soup,
}

impl GradedProtocol {
    /// Returns the name that the command line and the reports use.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Betacrew => "betacrew",
            Self::Soup => "soup",
        }
    }

    /// Returns the cases of the protocol.
    pub(crate) const fn cases(self) -> &'static [Case] {
        match self {
            Self::Betacrew => CASES,
            Self::Soup => soup::cases::CASES,
        }
    }

    /// Returns the protocol of the exchange's listeners.
    pub(crate) const fn on_the_wire(self) -> Protocol {
        match self {
            Self::Betacrew => Protocol::Betacrew,
            Self::Soup => Protocol::Soup,
        }
    }

    /// Returns the flags of `betacrew serve` that choose the protocol and this port.
    pub(crate) fn listen_flags(self, port: u16) -> String {
        match self {
            Self::Betacrew if port == PORT => String::new(),
            Self::Betacrew => format!(" --listen 127.0.0.1:{port}"),
            Self::Soup => format!(" --listen soup://127.0.0.1:{port}"),
        }
    }
}
