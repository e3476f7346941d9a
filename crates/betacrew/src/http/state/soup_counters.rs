//! Listeners of an exchange, and its counts of SoupBinTCP.

use feed::exchange::server::soup::SoupStats;
use feed::wire::{Protocol, Protocols};
use schemars::JsonSchema;
use serde::Serialize;

/// Listener of an exchange.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct ListenerView {
    /// Protocol that clients speak on it: `betacrew`, `soup` or `mold`.
    pub protocol: String,
    /// Address of the listener.
    pub address: String,
}

impl ListenerView {
    pub(crate) fn new((protocol, address): &(Protocol, String)) -> Self {
        Self { protocol: protocol.to_string(), address: address.clone() }
    }
}

/// Counts of an exchange's connections in SoupBinTCP.
#[derive(Clone, Copy, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct SoupCounters {
    /// Number of logins accepted.
    pub logins: u64,
    /// Number of logins rejected, for any reason.
    pub rejects: u64,
    /// Number of logins rejected because of an unknown user or a wrong password.
    pub wrong_passwords: u64,
    /// Number of logins that had to wait, or were not answered, after wrong passwords of their
    /// address.
    pub slowed: u64,
    /// Number of messages sent.
    pub messages: u64,
    /// Number of heartbeats sent.
    pub heartbeats: u64,
    /// Number of heartbeats and ends of the session withheld on purpose.
    pub withheld: u64,
    /// Number of ends of the session sent.
    pub ends: u64,
    /// Number of unsequenced messages received, which are ignored.
    pub unsequenced: u64,
    /// Number of clients that were silent for too long.
    pub timeouts: u64,
    /// Number of clients that have sent something illegal.
    pub violations: u64,
}

impl SoupCounters {
    /// Returns the counts of an exchange; `None` if no listener speaks SoupBinTCP.
    pub(crate) fn of(stats: &SoupStats, protocols: Protocols) -> Option<Self> {
        // Every count is named, so that a new one is published or does not compile.
        let SoupStats {
            logins,
            rejects,
            wrong_passwords,
            slowed,
            messages,
            heartbeats,
            withheld,
            ends,
            unsequenced,
            timeouts,
            violations,
        } = *stats;
        protocols.contains(Protocol::Soup).then_some(Self {
            logins,
            rejects,
            wrong_passwords,
            slowed,
            messages,
            heartbeats,
            withheld,
            ends,
            unsequenced,
            timeouts,
            violations,
        })
    }

    /// Returns the counts as metrics: name, description and value.
    pub(crate) fn metrics(&self) -> [(&'static str, &'static str, u64); 11] {
        [
            ("logins_total", "SoupBinTCP logins accepted.", self.logins),
            ("logins_rejected_total", "SoupBinTCP logins rejected.", self.rejects),
            (
                "wrong_passwords_total",
                "SoupBinTCP logins with an unknown user or a wrong password.",
                self.wrong_passwords,
            ),
            ("logins_slowed_total", "SoupBinTCP logins slowed after wrong passwords.", self.slowed),
            ("messages_sent_total", "SoupBinTCP messages sent.", self.messages),
            ("heartbeats_sent_total", "SoupBinTCP heartbeats sent.", self.heartbeats),
            (
                "withheld_total",
                "SoupBinTCP heartbeats and ends of the session withheld on purpose.",
                self.withheld,
            ),
            ("ends_sent_total", "SoupBinTCP ends of the session sent.", self.ends),
            (
                "unsequenced_received_total",
                "SoupBinTCP unsequenced messages received.",
                self.unsequenced,
            ),
            (
                "client_timeouts_total",
                "SoupBinTCP clients that were silent for too long.",
                self.timeouts,
            ),
            (
                "client_violations_total",
                "SoupBinTCP clients that have sent something illegal.",
                self.violations,
            ),
        ]
    }
}
