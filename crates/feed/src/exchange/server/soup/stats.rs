//! Counts of connections in SoupBinTCP.

/// Counts of an exchange's connections in SoupBinTCP since it began.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SoupStats {
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
    /// Number of heartbeats and ends of the session that a fault has withheld.
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
