//! Addresses of exchanges with their protocol, as people type them for `fetch`.

use crate::args::address;
use crate::error::Failure;
use crate::text::location::shown;
use feed::wire::Protocol;
use feed::wire::soup::Text;
use std::net::SocketAddr;

/// Address of an exchange: `HOST:PORT`, `betacrew://HOST:PORT` or
/// `soup://[USER@]HOST:PORT[/SESSION]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FeedAddress {
    /// Protocol that the exchange speaks there.
    pub(crate) protocol: Protocol,
    /// Name of the user; blank without one.
    pub(crate) user: Text<6>,
    /// Session to record; blank stands for the current one.
    pub(crate) session: Text<10>,
    /// Host and port, as they were typed.
    peer: String,
}

impl FeedAddress {
    /// Reads a typed address, whose host is not looked up.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if the protocol is not known, a part does not belong to the
    /// protocol, or there is a password, which other users of the machine could see.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let (protocol, rest) = match text.split_once("://") {
            None => (Protocol::Betacrew, text),
            Some((scheme, rest)) => {
                let protocol = scheme.parse().map_err(|error| {
                    Failure::Usage(format!("`{}` is not an exchange: {error}", shown(text)))
                })?;
                (protocol, rest)
            }
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Failure::Usage(format!(
                "the address of {} has a password, which others could read on the command line: \
                 use --password-file FILE or the variable BETACREW_PASSWORD",
                shown(rest)
            )));
        }
        let (peer, session) = match rest.split_once('/') {
            Some((peer, session)) => (peer, Some(session)),
            None => (rest, None),
        };
        if protocol == Protocol::Betacrew && (user.is_some() || session.is_some()) {
            return Err(Failure::Usage(format!(
                "`{}` is not an address: only soup:// addresses have a user or a session; expected \
                 HOST:PORT",
                shown(text)
            )));
        }
        let wrong = |what: &str, error| {
            Failure::Usage(format!("`{}` has a wrong {what}: {error}", shown(text)))
        };
        Ok(Self {
            protocol,
            user: Text::new(user.unwrap_or_default()).map_err(|error| wrong("user", error))?,
            session: Text::new(session.unwrap_or_default())
                .map_err(|error| wrong("session", error))?,
            peer: peer.to_owned(),
        })
    }

    /// Returns the name of the line in logs, reports and on the page: the address without the user.
    pub(crate) fn label(&self) -> String {
        let Self { protocol, session, peer, .. } = self;
        let peer = shown(peer);
        match (protocol, session.is_blank()) {
            (Protocol::Betacrew, _) => peer.to_string(),
            (Protocol::Soup | Protocol::Mold, true) => format!("{protocol}://{peer}"),
            (Protocol::Soup | Protocol::Mold, false) => format!("{protocol}://{peer}/{session}"),
        }
    }

    /// Returns the socket addresses to connect to.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if the host or the port is wrong.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        address::resolve_peer(&self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_protocol_a_user_and_a_session() {
        for (typed, label, user, session) in [
            ("3000", "3000", "", ""),
            ("betacrew://localhost:3000", "localhost:3000", "", ""),
            ("soup://h:1", "soup://h:1", "", ""),
            ("SOUP://ann@h:1", "soup://h:1", "ann", ""),
            ("soup://ann@[::1]:7/DAY1", "soup://[::1]:7/DAY1", "ann", "DAY1"),
            ("soup://h/", "soup://h", "", ""),
        ] {
            let address = FeedAddress::parse(typed).unwrap();
            assert_eq!(address.label(), label, "{typed}");
            assert_eq!(address.user, Text::new(user).unwrap(), "{typed}");
            assert_eq!(address.session, Text::new(session).unwrap(), "{typed}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_its_password() {
        for (typed, word) in [
            ("soup://ann:secret@h:1", "--password-file"),
            ("betacrew://ann:secret@h:1", "--password-file"),
            ("ann:secret@h:1", "--password-file"),
            ("http://h:1", "protocols are betacrew://, soup:// and mold://"),
            ("betacrew://h:1/DAY1", "only soup://"),
            ("ann@h:1", "only soup://"),
            ("soup://annabelle@h:1", "at most 6"),
            ("soup://h:1/ELEVENCHARS", "at most 10"),
        ] {
            let text = FeedAddress::parse(typed).unwrap_err().to_string();
            assert!(text.contains(word) && !text.contains("secret"), "{typed}: {text}");
        }
    }
}
