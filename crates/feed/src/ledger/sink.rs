//! Sinks: receivers of recorded packets, and the origin of each packet.

use crate::base::seq::{SeqRange, SeqSet};
use crate::wire::{Info, Messages};
use core::time::Duration;

/// Origin of packets: the line and the request that brought them.
///
/// Concept: [line](crate#line).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// Index of the line, from 0.
    pub line: u16,
    /// Kind of request that brought the packets.
    pub source: Source,
}

/// Kind of request that brought packets.
///
/// Concepts: [resend](crate#resend), [pass](crate#pass).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// A stream call.
    Stream {
        /// Number of the pass within the recording, from 1.
        pass: u32,
    },
    /// Resend calls.
    Resend,
}

/// Receiver of a recording: a tape, a file, a view. Frames are valid packets, each slice in
/// ascending order. Times are counted from the recorder's start.
///
/// A sink that wraps another one forwards every method. `#[warn(clippy::missing_trait_methods)]` on
/// its implementation reports a method that it forgets, whose default would swallow the calls.
///
/// Concept: [gap](crate#gap).
pub trait Sink {
    /// Takes packets whose sequences were not recorded before.
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration);

    /// Takes packets whose sequences were recorded before. Returns the number of packets that
    /// differ from the recorded ones.
    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32;

    /// Called when a gap is found.
    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        let _ = (gap, now);
    }

    /// Called once for each resend request that covers `piece`; a range may be requested more than
    /// once.
    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        let _ = (piece, now);
    }

    /// Called when a gap, or a piece of one, is filled after it was open for `age`. The call may
    /// come before the packets that fill it are handed to [`on_messages`](Self::on_messages).
    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        let _ = (piece, age, origin, now);
    }

    /// Called when missing packets are given up ([`RecorderOptions::give_up`]). If they arrive
    /// later, they are recorded.
    ///
    /// [`RecorderOptions::give_up`]: crate::client::RecorderOptions::give_up
    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        let _ = (range, now);
    }

    /// Called when an exchange describes the session. On the first call, `vouched` lists the
    /// origins of this run whose packets so far are known to be of that session.
    ///
    /// Returns the sequences that the sink has removed, because their session is unknown; the
    /// recorder requests them again. A sink that returns none keeps all its packets.
    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        let _ = (info, vouched, now);
        SeqSet::new()
    }

    /// Called when no more bytes are waiting: the moment to write buffered packets. Returns the
    /// time of the next call if nothing arrives until then.
    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Returns true if the sink needs no more packets; the recording then ends as if the user had
    /// stopped it.
    fn is_closed(&self) -> bool {
        false
    }

    /// Returns true if a recording that ends by [`is_closed`](Self::is_closed) waits for missing
    /// packets as one that the user stops. They matter only where another output than the closed
    /// one needs them.
    fn wants_missing(&self) -> bool {
        true
    }

    /// Returns true if the sink cannot store more packets; the recording then ends.
    fn has_failed(&self) -> bool {
        false
    }
}
