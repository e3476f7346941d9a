//! Sinks: where recorded packets go, and where they came from.

use crate::base::seq::{SeqRange, SeqSet};
use crate::wire::{Info, RawFrame};
use core::time::Duration;

/// Where packets came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// The line, from 0.
    pub line: u16,
    /// How they were asked for.
    pub source: Source,
}

/// How packets were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// By a stream call; passes count from 1.
    Stream {
        /// Which of the recording's passes.
        pass: u32,
    },
    /// By resend calls.
    Resend,
}

/// Where a recording goes. Frames are valid packets, each slice in ascending order. Times are the
/// recorder's.
pub trait Sink {
    /// Packets never seen before.
    fn on_packets(&mut self, origin: Origin, frames: &[RawFrame], now: Duration);

    /// Packets whose sequences were recorded before. Returns how many of them differ from what
    /// was recorded.
    fn on_duplicates(&mut self, origin: Origin, frames: &[RawFrame]) -> u32;

    /// A gap was found.
    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        let _ = (gap, now);
    }

    /// What is missing here is asked for; in vain perhaps, and then again.
    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        let _ = (piece, now);
    }

    /// A gap, or a piece of one, was filled after having been open for `age`. This may be told
    /// before the packets that fill it are handed on.
    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        let _ = (piece, age, origin, now);
    }

    /// What is missing here has been given up ([`Options::give_up`]); if it comes all the same, it
    /// is recorded.
    ///
    /// [`Options::give_up`]: crate::client::RecorderOptions::give_up
    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        let _ = (range, now);
    }

    /// An exchange has described the session. At the first time, `vouched` lists the origins of
    /// this run whose packets so far are known to be of that session.
    ///
    /// Returns the sequences that are no longer recorded, because nothing tells which session they
    /// are of; the recorder asks for them again. A sink that returns none keeps what it has, of
    /// whatever session.
    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        let _ = (info, vouched, now);
        SeqSet::new()
    }

    /// Nothing more has come for now: a moment to put things away. Returns when to call this again
    /// should nothing come until then.
    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Whether nobody wants more; the recording then ends as if it were stopped.
    fn is_closed(&self) -> bool {
        false
    }

    /// Returns whether packets that are missing are waited for when the recording ends by
    /// [`enough`](Self::is_closed), as they are when it is stopped: something else than the reader who
    /// has had enough is to have them.
    fn wants_missing(&self) -> bool {
        true
    }

    /// Whether it can take no more; the recording then ends.
    fn has_failed(&self) -> bool {
        false
    }
}
