//! Addresses of lines in MoldUDP64, as people type them for `serve`.

use crate::args::{address, parse, zone};
use crate::error::Failure;
use crate::text::location::shown;
use feed::exchange::server::mold::{LineOptions, Retention};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Address of a line: `HOST:PORT?KEY=VALUE&...`, behind `mold://`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LineAddress {
    /// Groups and single addresses that get the datagrams, the one before the `?` first.
    pub(crate) receivers: Vec<SocketAddr>,
    /// Address of the request server.
    pub(crate) request: Option<SocketAddr>,
    /// Address of the interface from which datagrams of IPv4 are sent. Groups of IPv6 have theirs
    /// as their zone.
    pub(crate) interface: Option<Ipv4Addr>,
    /// Number of networks that datagrams may cross; 0 keeps them on this machine.
    pub(crate) ttl: Option<u8>,
    /// Settings of the line; those that the address does not have are the defaults.
    pub(crate) options: LineOptions,
}

/// Keys of an address, as errors list them.
const KEYS: &str = "the keys are request=HOST:PORT, interface=IP, ttl=N, to=HOST:PORT, age=N or \
                    age=TIME, rate=N and start=TIME";

impl LineAddress {
    /// Reads a typed address without its `mold://`, and looks its hosts up.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if a part is wrong, or if parts do not fit together.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let wrong =
            |what: &dyn Display| Failure::Usage(format!("--listen mold://{}: {what}", shown(text)));
        let (receiver, query) = text.split_once('?').unwrap_or((text, ""));
        let mut line = Self {
            receivers: vec![receiver_of(receiver.trim_end_matches('/'))?],
            request: None,
            interface: None,
            ttl: None,
            options: LineOptions::default(),
        };
        let (mut seen, mut named) = (Vec::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key != "to" && seen.contains(&key) {
                return Err(wrong(&format!("`{key}` is given twice")));
            }
            seen.push(key);
            let not = |what| wrong(&format!("`{key}` must be {what}, not `{}`", shown(value)));
            let time = || parse::duration(value).map_err(|error| wrong(&error));
            match key {
                "to" => line.receivers.push(receiver_of(value)?),
                "request" => line.request = address::resolve(value)?.first().copied(),
                "interface" => named = Some(value),
                "ttl" => line.ttl = Some(value.parse().map_err(|_| not("from 0 to 255"))?),
                "rate" => {
                    let rate = value.parse().ok().filter(|&rate| rate > 0);
                    line.options.request_rate =
                        rate.ok_or_else(|| not("a number of requests a second"))?;
                }
                "age" => {
                    line.options.retention = Some(match value.parse() {
                        Ok(messages) => Retention::Messages(messages),
                        Err(_) => Retention::Time(time()?),
                    });
                }
                "start" => line.options.lead = time()?,
                _ => return Err(wrong(&format!("`{}` is not a key; {KEYS}", shown(key)))),
            }
        }
        if let Some(named) = named {
            line.set_interface(named).map_err(|why| wrong(&why))?;
        }
        match line.contradiction() {
            Some(why) => Err(wrong(&why)),
            None => Ok(line),
        }
    }

    /// Sets the interface: its address, or the name or number if there are groups of IPv6.
    fn set_interface(&mut self, typed: &str) -> Result<(), String> {
        let not = |what: &str| format!("`interface` must be {what}, not `{}`", shown(typed));
        let is_of_v6 = |receiver: &SocketAddr| zone::zone_of(receiver).is_some();
        if !self.receivers.iter().any(is_of_v6) {
            let address = typed.parse().map_err(|_| not("an IPv4 address"))?;
            self.interface = Some(address);
            return Ok(());
        }
        if typed.parse::<IpAddr>().is_ok() {
            return Err(not("the name or number of an interface, because the group is of IPv6"));
        }
        let number = zone::interface_number(typed)
            .map_err(|error| format!("`interface={}`: {error}", shown(typed)))?;
        self.receivers.iter_mut().for_each(|to| *to = zone::in_zone(*to, number));
        Ok(())
    }

    /// Returns the number of the interface from which datagrams to groups of IPv6 are sent, if the
    /// line has such groups.
    pub(crate) fn zone(&self) -> Option<u32> {
        self.receivers.iter().find_map(zone::zone_of)
    }

    /// Returns why parts of the address do not fit together.
    fn contradiction(&self) -> Option<&'static str> {
        let (v4, v6): (Vec<_>, Vec<_>) = self.receivers.iter().partition(|to| to.is_ipv4());
        if !v4.is_empty() && !v6.is_empty() {
            return Some("one line has receivers of IPv4 or of IPv6, not of both");
        }
        let mut zones = v6.iter().copied().filter_map(zone::zone_of);
        match (self.zone(), zones.all(|zone| Some(zone) == self.zone())) {
            (Some(0), true) => {
                return Some(
                    "a group of IPv6 needs its interface, by name or number: [GROUP%eth0]:PORT, or \
                     interface=eth0",
                );
            }
            (_, true) => {}
            (_, false) => return Some("the groups of a line are on one interface"),
        }
        if self.interface.is_some() && v4.is_empty() {
            return Some("`interface` needs receivers of IPv4");
        }
        if self.request.is_some_and(|request| self.receivers.contains(&request)) {
            return Some(
                "`request` is where the datagrams go, so they would be taken for requests; give \
                 the request server a port of its own",
            );
        }
        let ages = self.options.retention.is_some();
        (ages && self.request.is_none()).then_some("`age` needs `request`, the request server")
    }

    /// Returns whether one of the receivers is a group.
    pub(crate) fn has_group(&self) -> bool {
        self.receivers.iter().any(|receiver| receiver.ip().is_multicast())
    }

    /// Returns the address from which datagrams are sent. Groups are on this machine unless the
    /// address says otherwise.
    pub(crate) fn source(&self) -> IpAddr {
        let is_v4 = self.receivers.iter().all(SocketAddr::is_ipv4);
        match self.interface {
            Some(interface) => interface.into(),
            None if self.has_group() && is_v4 => Ipv4Addr::LOCALHOST.into(),
            None if is_v4 => Ipv4Addr::UNSPECIFIED.into(),
            None => std::net::Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Returns the number of networks that datagrams to groups may cross.
    pub(crate) fn group_ttl(&self) -> u8 {
        self.ttl.unwrap_or(if self.source().is_loopback() { 0 } else { 1 })
    }

    /// Returns the address to give to clients, without `mold://`: with the request server's real
    /// port.
    pub(crate) fn client_address(&self, request: Option<SocketAddr>) -> String {
        let receiver = self.receivers.first().map(SocketAddr::to_string).unwrap_or_default();
        let mut text = receiver;
        // A group of IPv6 shows its interface as its zone.
        let shows_interface = self.has_group() && self.zone().is_none();
        let interface = shows_interface.then(|| format!("interface={}", self.source()));
        let request = request.map(|request| format!("request={request}"));
        for (pair, between) in request.into_iter().chain(interface).zip(["?", "&"]) {
            text += between;
            text += &pair;
        }
        text
    }
}

/// Returns the address of a receiver.
fn receiver_of(text: &str) -> Result<SocketAddr, Failure> {
    let found = address::resolve(text)?;
    let found = found.first().copied().filter(|address| address.port() != 0);
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "`{}` has port 0, to which nothing can be sent: use the port on which the receivers \
             wait",
            shown(text)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_address_has_a_receiver_and_settings() {
        let line = LineAddress::parse(
            "239.1.1.1:30001?request=127.0.0.1:0&ttl=3&interface=10.0.0.1&to=127.0.0.1:5&age=100\
             &rate=7&start=2s",
        )
        .unwrap();
        let receivers = ["239.1.1.1:30001", "127.0.0.1:5"].map(|it| it.parse().unwrap());
        assert_eq!(line.receivers, receivers);
        assert_eq!((line.request, line.group_ttl()), ("127.0.0.1:0".parse().ok(), 3));
        assert_eq!(line.source(), IpAddr::from([10, 0, 0, 1]));
        let options = line.options;
        assert_eq!(options.retention, Some(Retention::Messages(100)));
        assert_eq!((options.request_rate, options.lead), (7, Duration::from_secs(2)));
        let real = "127.0.0.1:4444".parse().ok();
        let shown = "239.1.1.1:30001?request=127.0.0.1:4444&interface=10.0.0.1";
        assert_eq!(line.client_address(real), shown);
        let line = LineAddress::parse("239.1.1.1:30001?age=1m&request=1").unwrap();
        assert_eq!(line.options.retention, Some(Retention::Time(Duration::from_secs(60))));
        assert_eq!((line.source(), line.group_ttl()), (IpAddr::from([127, 0, 0, 1]), 0));
        for typed in ["[ff15::1%7]:30001?to=[ff15::2%7]:1", "[ff15::1]:30001?interface=7&ttl=1"] {
            let line = LineAddress::parse(typed).unwrap();
            assert_eq!((line.zone(), line.group_ttl(), line.has_group()), (Some(7), 1, true));
            assert_eq!(line.client_address(real), "[ff15::1%7]:30001?request=127.0.0.1:4444");
        }
        let line = LineAddress::parse("127.0.0.1:30001").unwrap();
        assert_eq!((line.source(), line.request), (IpAddr::from([0, 0, 0, 0]), None));
        assert_eq!(line.client_address(None), "127.0.0.1:30001");
    }

    #[test]
    fn a_wrong_address_is_refused_with_words() {
        for (typed, word) in [
            ("127.0.0.1:0", "port 0"),
            ("127.0.0.1:1?to=127.0.0.1:0", "port 0"),
            ("127.0.0.1:1?ttl=256", "from 0 to 255"),
            ("127.0.0.1:1?ttl=1&ttl=2", "given twice"),
            ("127.0.0.1:1?interface=eth0", "an IPv4 address"),
            ("127.0.0.1:1?rate=0", "a number of requests"),
            ("127.0.0.1:1?age=soon&request=1", "not a duration"),
            ("127.0.0.1:1?age=10", "needs `request`"),
            ("127.0.0.1:5?request=127.0.0.1:5", "a port of its own"),
            ("127.0.0.1:5?to=127.0.0.1:6&request=127.0.0.1:6", "a port of its own"),
            ("127.0.0.1:1?loss=1", "not a key; the keys are"),
            ("127.0.0.1:1?request", "it is empty"),
            ("127.0.0.1:1?to=[::1]:5", "not of both"),
            ("[ff02::1]:5", "needs its interface, by name or number"),
            ("[ff02::1%no-such-one]:5", "interface"),
            ("[ff02::1%0]:5", "numbered from 1"),
            ("[ff02::1]:5?interface=::1", "the name or number of an interface"),
            ("[ff02::1%1]:5?to=[ff02::2%2]:5", "are on one interface"),
            ("[::1]:5?interface=127.0.0.1", "needs receivers of IPv4"),
        ] {
            let text = LineAddress::parse(typed).unwrap_err().to_string();
            assert!(text.contains(word), "{typed}: {text}");
        }
    }
}
