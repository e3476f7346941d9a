//! Options and counters of a recorder.

use crate::base::seq::Seq;
use crate::ledger::Limits;
use crate::wire::RESEND_MAX;
use core::time::Duration;

/// Settings of a recorder.
///
/// Concepts: [line](crate#line), [pass](crate#pass), [resend](crate#resend), [tail](crate#tail).
#[derive(Clone, PartialEq, Debug)]
pub struct RecorderOptions {
    /// Use of the original protocol alone: the recorder never sends a call of the extension.
    pub classic: bool,
    /// Follow mode: the recorder subscribes to a live session until its end. This needs the
    /// extension.
    pub follow: bool,
    /// Maximum time without a message on a subscription before the recorder reconnects. Exchanges
    /// send a heartbeat every second.
    pub silence: Duration,
    /// Maximum time without a packet on a SoupBinTCP connection before the recorder logs in again.
    /// Exchanges send a heartbeat every second.
    pub soup_silence: Duration,
    /// Minimum age of a gap before the recorder requests a resend. Until then the packets may still
    /// arrive late, or on another line.
    pub reorder_wait: Duration,
    /// Follow mode: age at which a gap is abandoned (up to a sixteenth later). Its packets are
    /// requested no more, and are recorded if they arrive all the same.
    pub give_up: Option<Duration>,
    /// Last sequence of the session, if the user knows it; 0 for an empty session.
    pub last: Option<Seq>,
    /// Maximum number of passes; with `None` the policy decides, up to
    /// [`PASSES_MAX`](super::passes::PASSES_MAX). After that many passes a recording counts as
    /// complete, however doubtful its end is.
    pub passes: Option<u32>,
    /// Maximum number of packets in flight for each line: requested and not yet answered.
    pub window: u32,
    /// Maximum number of retries of a failed operation before it is given up.
    pub retries: u32,
    /// Maximum time for which a peer may be unreachable, or silent, or may reject logins because
    /// its session is not available, before it is given up.
    pub timeout: Duration,
    /// Maximum accepted probability that a packet exists beyond an end that no exchange has
    /// confirmed. Passes go on until the estimate is lower.
    pub tail_miss_probability: f64,
    /// Highest sequence that is requested from an exchange of the original protocol.
    pub resend_max: Seq,
    /// Bounds on what a peer can make the recorder believe and store.
    pub limits: Limits,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            classic: false,
            follow: false,
            silence: Duration::from_secs(3),
            soup_silence: Duration::from_secs(15),
            reorder_wait: Duration::ZERO,
            give_up: None,
            last: None,
            passes: None,
            window: 1 << 20,
            retries: 4,
            timeout: Duration::from_secs(10),
            tail_miss_probability: 1e-6,
            resend_max: RESEND_MAX,
            limits: Limits::default(),
        }
    }
}

/// Counters of a recorder, over all lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RecorderStats {
    /// Bytes received.
    pub bytes: u64,
    /// Packets recorded from streams.
    pub streamed: u64,
    /// Packets recorded from resends.
    pub resent: u64,
    /// Packets received that had been recorded before.
    pub duplicates: u64,
    /// Passes that ended by silence.
    pub silent_passes: u32,
    /// Resend calls sent.
    pub resend_calls: u64,
    /// Connections opened.
    pub connections: u32,
    /// Connections that broke, were cut off or could not be opened.
    pub failures: u32,
}
