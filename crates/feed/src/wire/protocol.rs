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
    /// MoldUDP64 (`docs/mold.md`): messages of any length in UDP datagrams, which networks lose.
    Mold,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Betacrew, Self::Soup, Self::Mold];

    /// Returns the protocol's name, which is the scheme of its addresses (`soup://HOST:PORT`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Betacrew => "betacrew",
            Self::Soup => "soup",
            Self::Mold => "mold",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Set of protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocols(u8);

impl Protocols {
    /// Set of no protocol.
    pub const NONE: Self = Self(0);

    /// Returns the set of one protocol.
    #[must_use]
    pub const fn of(protocol: Protocol) -> Self {
        Self::NONE.with(protocol)
    }

    /// Returns the set with one more protocol.
    #[must_use]
    pub const fn with(self, protocol: Protocol) -> Self {
        Self(self.0 | 1 << protocol as u8)
    }

    /// Returns whether a protocol is in the set.
    #[must_use]
    pub const fn contains(self, protocol: Protocol) -> bool {
        self.0 >> protocol as u8 & 1 == 1
    }

    /// Returns the protocols of the set.
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.into_iter().filter(move |protocol| self.contains(*protocol))
    }
}

/// Set of the exercise's protocol.
impl Default for Protocols {
    fn default() -> Self {
        Self::of(Protocol::Betacrew)
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        protocols.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Error: a text is not the name of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolParseError;

impl fmt::Display for ProtocolParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("protocols are ")?;
        for (place, protocol) in Protocol::ALL.into_iter().enumerate() {
            let between = match place {
                0 => "",
                place if place + 1 == Protocol::ALL.len() => " and ",
                _ => ", ",
            };
            write!(f, "{between}{protocol}://")?;
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
    fn sets_have_their_protocols() {
        let all: Protocols = Protocol::ALL.into_iter().collect();
        assert!(all.iter().eq(Protocol::ALL));
        assert!(Protocols::of(Protocol::Soup).iter().eq([Protocol::Soup]));
        assert_eq!(Protocols::NONE.iter().next(), None);
        assert!(!Protocols::default().contains(Protocol::Soup));
    }

    #[test]
    fn names_are_parsed() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("SOUP".parse(), Ok(Protocol::Soup));
        assert_eq!("http".parse::<Protocol>(), Err(ProtocolParseError));
        assert_eq!(
            ProtocolParseError.to_string(),
            "protocols are betacrew://, soup:// and mold://"
        );
    }
}
