//! Addresses of MoldUDP64 groups, with their request servers.

use crate::text::location::shown;
use std::net::{IpAddr, SocketAddr};

/// Maximum number of request servers of a line.
const REQUEST_SERVERS_MAX: usize = 64;

/// Addresses of a MoldUDP64 line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupAddress {
    /// Group and port that the datagrams are sent to, or an address of this machine. The zone of a
    /// group of IPv6 is the interface to join it on; 0 leaves the choice to the system.
    pub group: SocketAddr,
    /// Address of the interface to join a group of IPv4 on; `None` joins on the loopback interface
    /// and on the one that the system chooses.
    pub interface: Option<IpAddr>,
    /// Only sender whose datagrams are believed; `None` believes any.
    pub source: Option<IpAddr>,
    /// Request servers.
    pub servers: Vec<SocketAddr>,
}

impl GroupAddress {
    /// Returns the address of a group without request servers.
    #[must_use]
    pub const fn new(group: SocketAddr) -> Self {
        Self { group, interface: None, source: None, servers: Vec::new() }
    }
}

/// Parameters of a MoldUDP64 group, as they were typed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct GroupParameters {
    /// Request servers.
    pub(crate) requests: Vec<String>,
    /// Interface to join the group on: its address, or for a group of IPv6 its name or number.
    pub(crate) interface: Option<String>,
    /// Only sender that is believed.
    pub(crate) source: Option<IpAddr>,
}

impl GroupParameters {
    /// Reads the parameters behind the `?` of an address.
    ///
    /// # Errors
    /// Returns a description of the mistake.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut parameters = Self::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let ip = || {
                value
                    .parse::<IpAddr>()
                    .map_err(|_| format!("{name}= needs an IP address, such as {name}=192.0.2.7"))
            };
            match name {
                "request" if value.is_empty() => {
                    return Err("request= needs the HOST:PORT of a request server".to_owned());
                }
                "request" if parameters.requests.len() >= REQUEST_SERVERS_MAX => {
                    return Err(format!("it has more than {REQUEST_SERVERS_MAX} request servers"));
                }
                "request" => parameters.requests.push(value.to_owned()),
                "interface" if value.is_empty() => {
                    return Err("interface= needs the IP address of an interface".to_owned());
                }
                "interface" => parameters.interface = Some(value.to_owned()),
                "source" => parameters.source = Some(ip()?),
                _ => {
                    return Err(format!(
                        "its parameters are request=HOST:PORT, interface=IP (of a group of IPv6 \
                         the name) and source=IP, not `{}`",
                        shown(parameter)
                    ));
                }
            }
        }
        Ok(parameters)
    }
}
