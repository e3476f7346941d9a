//! Protocols: how the messages of a session travel.

use core::fmt;
use core::str::FromStr;

/// Protocol in which an exchange sends a session's messages.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// The exercise's protocol with its extension (`docs/protocol.md`): order packets over TCP.
    #[default]
    Betacrew,
    /// SoupBinTCP (`docs/soup.md`): messages of any length over TCP.
    Soup,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 2] = [Self::Betacrew, Self::Soup];

    /// Returns the protocol's name, which is the scheme of its addresses (`soup://HOST:PORT`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Betacrew => "betacrew",
            Self::Soup => "soup",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Error: a text is not the name of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolParseError;

impl fmt::Display for ProtocolParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("protocols are ")?;
        for (place, protocol) in Protocol::ALL.into_iter().enumerate() {
            write!(f, "{}{protocol}://", if place == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

impl core::error::Error for ProtocolParseError {}

impl FromStr for Protocol {
    type Err = ProtocolParseError;

    fn from_str(text: &str) -> Result<Self, ProtocolParseError> {
        let named = |protocol: &Self| protocol.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or(ProtocolParseError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_are_parsed() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("SOUP".parse(), Ok(Protocol::Soup));
        assert_eq!("http".parse::<Protocol>(), Err(ProtocolParseError));
        assert_eq!(ProtocolParseError.to_string(), "protocols are betacrew:// and soup://");
    }
}
