//! Addresses of exchanges with their protocol, as people type them for `fetch`.

use crate::args::address;
use crate::args::group_address::{GroupAddress, GroupParameters};
use crate::args::zone;
use crate::error::Failure;
use crate::text::location::shown;
use feed::wire::Protocol;
use feed::wire::soup::Text;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Reason for which `interface=` of a group of IPv4 is refused.
const NEEDS_IP: &str = "interface= needs an IP address, such as interface=192.0.2.7";

/// Address of an exchange: `HOST:PORT`, `betacrew://HOST:PORT`,
/// `soup://[USER@]HOST:PORT[/SESSION]` or
/// `mold://GROUP:PORT[?request=HOST:PORT][&interface=IP][&source=IP]`.
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
    /// Parameters of a group.
    group: GroupParameters,
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
        let not_address = |reason: String| {
            Failure::Usage(format!("`{}` is not an address: {reason}", shown(text)))
        };
        let (rest, group) = match (protocol, rest.split_once('?')) {
            (Protocol::Mold, Some((rest, query))) => {
                let group = GroupParameters::parse(query).map_err(not_address)?;
                let interface = group.interface.as_ref();
                if interface.is_some_and(|it| !rest.contains('[') && it.parse::<IpAddr>().is_err())
                {
                    return Err(not_address(NEEDS_IP.to_owned()));
                }
                (rest, group)
            }
            _ => (rest, GroupParameters::default()),
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
        if protocol != Protocol::Soup && (user.is_some() || session.is_some()) {
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
            group,
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

    /// Returns the number of request servers of a MoldUDP64 group.
    pub(crate) fn servers(&self) -> u16 {
        u16::try_from(self.group.requests.len()).unwrap_or(u16::MAX)
    }

    /// Returns the addresses of a MoldUDP64 group.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if a host or a port is wrong.
    pub(crate) fn group(&self) -> Result<GroupAddress, Failure> {
        let first = |text: &str| {
            let addresses = address::resolve_peer(text)?;
            // IPv4 comes first where a name has both, because most feeds are IPv4.
            let v4 = addresses.iter().find(|address| address.is_ipv4());
            let found = v4.or(addresses.first()).copied();
            found.ok_or_else(|| Failure::Usage(format!("`{}` has no address", shown(text))))
        };
        let servers = self.group.requests.iter().map(|server| first(server).map(on_this_machine));
        let (group, interface) = self.on_interface(first(&self.peer)?)?;
        Ok(GroupAddress {
            interface,
            source: self.group.source,
            servers: servers.collect::<Result<_, _>>()?,
            ..GroupAddress::new(group)
        })
    }

    /// Returns the group on the interface that was typed: a group of IPv6 has it as its zone, one
    /// of IPv4 beside it.
    fn on_interface(&self, group: SocketAddr) -> Result<(SocketAddr, Option<IpAddr>), Failure> {
        let Some(typed) = &self.group.interface else { return Ok((group, None)) };
        let wrong = |reason: String| {
            let typed = shown(typed);
            Failure::Usage(format!("interface={typed} of {}: {reason}", self.label()))
        };
        match zone::zone_of(&group) {
            None => {
                let parsed = typed.parse().map_err(|_| wrong(NEEDS_IP.to_owned()))?;
                Ok((group, Some(parsed)))
            }
            Some(0) if typed.parse::<IpAddr>().is_err() => {
                let number = zone::interface_number(typed).map_err(wrong)?;
                Ok((zone::in_zone(group, number), None))
            }
            Some(0) => Err(wrong("a group of IPv6 needs the name or number".to_owned())),
            Some(_) => Err(wrong("the group has its interface behind its %".to_owned())),
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

/// Returns the loopback address in place of the wildcard address, which `serve` prints if it
/// listens on all addresses. Answers never come from the wildcard address, so they would not be
/// believed.
fn on_this_machine(server: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return server,
    };
    SocketAddr::new(loopback, server.port())
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
            ("mold://ann@239.1.1.1:7", "only soup://"),
            ("mold://239.1.1.1:7/DAY1", "only soup://"),
            ("mold://239.1.1.1:7?interface=eth0", "interface= needs an IP address"),
            ("mold://239.1.1.1:7?ttl=1", "parameters are request="),
            ("mold://239.1.1.1:7?request=", "request= needs"),
            ("betacrew://h:1/DAY1", "only soup://"),
            ("ann@h:1", "only soup://"),
            ("soup://annabelle@h:1", "at most 6"),
            ("soup://h:1/ELEVENCHARS", "at most 10"),
        ] {
            let text = FeedAddress::parse(typed).unwrap_err().to_string();
            assert!(text.contains(word) && !text.contains("secret"), "{typed}: {text}");
        }
    }

    #[test]
    fn a_group_has_request_servers_an_interface_and_a_source() {
        let typed = "mold://239.1.1.1:30001?request=127.0.0.1:7&request=[::1]:8&interface=\
                     127.0.0.1&source=10.0.0.1";
        let address = FeedAddress::parse(typed).unwrap();
        assert_eq!(address.label(), "mold://239.1.1.1:30001");
        let group = address.group().unwrap();
        let parsed = |text: &str| text.parse().unwrap();
        assert_eq!(group.group, parsed("239.1.1.1:30001"));
        assert_eq!(group.servers, ["127.0.0.1:7", "[::1]:8"].map(parsed));
        assert_eq!(group.interface, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(group.source, Some("10.0.0.1".parse().unwrap()));
        // Answers come from an address of this machine, never from the wildcard address.
        let wild = FeedAddress::parse("mold://0.0.0.0:1?request=0.0.0.0:7&request=[::]:8").unwrap();
        let wild = wild.group().unwrap();
        assert_eq!(wild.group, parsed("0.0.0.0:1"));
        assert_eq!(wild.servers, ["127.0.0.1:7", "[::1]:8"].map(parsed));
        let plain = FeedAddress::parse("mold://30001").unwrap().group().unwrap();
        assert_eq!(plain, GroupAddress::new(parsed("127.0.0.1:30001")));
        assert!(FeedAddress::parse("mold://239.1.1.1:0").unwrap().group().is_err());
    }

    #[test]
    fn a_group_of_ipv6_has_an_interface_by_name_or_number() {
        let group = |typed: &str| FeedAddress::parse(typed).unwrap().group();
        let scoped =
            SocketAddr::V6(std::net::SocketAddrV6::new("ff15::1".parse().unwrap(), 7, 0, 1));
        for typed in ["mold://[ff15::1%1]:7", "mold://[ff15::1]:7?interface=1"] {
            assert_eq!(group(typed).unwrap(), GroupAddress::new(scoped), "{typed}");
        }
        assert_eq!(group("mold://[ff15::1]:7").unwrap().group, "[ff15::1]:7".parse().unwrap());
        if cfg!(target_os = "linux") {
            let lo = group("mold://[ff15::1%lo]:7").unwrap();
            assert_eq!(lo, group("mold://[ff15::1]:7?interface=lo").unwrap());
        }
        for (typed, word) in [
            ("mold://[ff15::1]:7?interface=::1", "name or number"),
            ("mold://[ff15::1%1]:7?interface=1", "behind its %"),
            ("mold://[ff15::1%no-such-one]:7", "interface"),
            ("mold://[ff15::1]:7?interface=no-such-one", "interface"),
            ("mold://[::1]:7?interface=lo", "needs an IP address"),
        ] {
            let text = group(typed).unwrap_err().to_string();
            assert!(text.contains(word), "{typed}: {text}");
        }
    }
}
