//! Scenarios: the errors of an exchange, as data. One type serves the exchange, the demo, the
//! grader, the simulator and the tests.
//!
//! A scenario has a seed and faults. A fault has an action ([`FaultAction`]), a place
//! ([`FaultPlace`], connections, passes, sequences) and a frequency ([`FaultSelector`], times). Its
//! effect is a pure function of seed, connection, pass and sequence (`faults`), so a scenario
//! repeats byte for byte.

mod action;
mod possible;

pub use action::{
    CorruptedField, Direction, ExtraPacket, FaultAction, FaultPlace, INSERTED_MAX, WriteSize,
};
pub use possible::{Impossible, Played};

use crate::base::chance::Chance;
use crate::base::seq::{SeqRange, SeqSet};
use crate::base::span::Span;
use crate::tape::pace::Pace;
use crate::wire::{Protocol, Protocols};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Maximum number of packets by which a packet can be delayed, or its copy.
pub const LATER_MAX: u32 = 1024;
/// Maximum number of copies of one packet.
pub const COPIES_MAX: u32 = 64;
/// Maximum number of packets that one random draw picks.
pub const BURST_MAX: u32 = 4096;
/// Maximum number of bytes of one piece of garbage.
pub const GARBAGE_MAX: u32 = 255;
/// Maximum number of sequences for which a fault counts how often it was applied. Beyond that it is
/// not applied to further sequences, so that its memory is bounded.
pub const COUNTED_MAX: usize = 1 << 20;

/// Time for which a resend connection of an original client may be silent before the exchange ends
/// it: short enough for clients that wait for this end, long enough for clients that are slow to
/// send their next request.
pub const IDLE: Duration = Duration::from_millis(400);

/// Errors and settings of an exchange.
///
/// Concept: [dropped](crate#dropped).
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Seed of everything random.
    pub seed: u64,
    /// Faults, in the order in which they are decided.
    pub faults: Vec<Fault>,
    /// True if random loss never drops the last packet of a stream.
    pub keep_last: bool,
    /// Speed at which streams are played.
    pub pace: Pace,
    /// True if the exchange speaks the extension.
    pub extension: bool,
    /// Answer to an original resend call for a sequence that does not exist.
    pub unknown: UnknownSequencePolicy,
    /// Time for which a resend connection without the extension may be silent before the exchange
    /// ends it; `None` for no limit.
    pub idle: Option<Duration>,
    /// Treatment of a subscriber that falls behind.
    pub slow: SlowSubscriberPolicy,
}

/// Treatment of a subscriber that is more than a number of packets behind a live session. Nothing
/// is stored for it in any case. Written `wait`, `skip:1000` or `cut:1000`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SlowSubscriberPolicy {
    /// The subscriber receives everything, however late.
    #[default]
    Wait,
    /// The subscriber misses the packets between, and can request them again.
    Skip(u32),
    /// The missed packets are refused with the reason `too slow`, and the connection ends.
    Cut(u32),
}

impl fmt::Display for SlowSubscriberPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait => f.write_str("wait"),
            Self::Skip(most) => write!(f, "skip:{most}"),
            Self::Cut(most) => write!(f, "cut:{most}"),
        }
    }
}

/// Error of a text that is not a [`SlowSubscriberPolicy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowPolicyParseError;

impl fmt::Display for SlowPolicyParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected wait, or a number of packets behind: skip:1000 or cut:1000")
    }
}

impl core::error::Error for SlowPolicyParseError {}

impl FromStr for SlowSubscriberPolicy {
    type Err = SlowPolicyParseError;

    fn from_str(text: &str) -> Result<Self, SlowPolicyParseError> {
        let (word, most) = text.split_once(':').unwrap_or((text, ""));
        let most = most.parse().ok().filter(|&most| most > 0).ok_or(SlowPolicyParseError);
        match word {
            "wait" if text == word => Ok(Self::Wait),
            "skip" => most.map(Self::Skip),
            "cut" => most.map(Self::Cut),
            _ => Err(SlowPolicyParseError),
        }
    }
}

/// Answer to a resend call of the original protocol for a sequence that does not exist.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum UnknownSequencePolicy {
    /// The connection is closed after all earlier calls are answered.
    #[default]
    Close,
    /// No answer is sent, and the connection stays open.
    Silence,
    /// The connection is reset.
    Reset,
    /// The exchange goes down for good.
    Die,
}

/// One error of an exchange: an action, a place and a frequency.
///
/// Concept: [dropped](crate#dropped).
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    action: FaultAction,
    place: FaultPlace,
    /// Connections that the fault applies to, numbered from 1 as the exchange accepts them; `None`
    /// for all.
    pub connections: Option<SeqSet>,
    /// Lines of MoldUDP64 that the fault applies to, numbered from 1; `None` for all.
    pub lines: Option<SeqSet>,
    /// Streams that the fault applies to, numbered from 1 over all connections; `None` for all.
    pub passes: Option<SeqSet>,
    /// Sequences that the fault applies to; `None` for all.
    pub sequences: Option<SeqSet>,
    /// Number of sequences at the end of the tape that the fault applies to, besides `sequences`.
    pub last: Option<u32>,
    /// Choice among the sequences that the fault covers.
    pub pick: FaultSelector,
    /// Maximum number of times that the fault is applied to one sequence, over all connections;
    /// `None` for no limit.
    pub times: Option<u32>,
}

/// Choice among the sequences that a fault covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultSelector {
    /// All sequences.
    All,
    /// Sequences that are multiples of a number.
    Every(u32),
    /// Random sequences: a burst begins at each sequence with this probability.
    Random {
        /// Probability that a burst begins at a sequence.
        chance: Chance,
        /// Length of a burst in packets; 1 for single packets.
        burst: Span,
    },
}

impl Fault {
    /// Creates a fault that is always applied at this place; `None` if the action cannot happen
    /// there.
    #[must_use]
    pub fn new(action: FaultAction, place: FaultPlace) -> Option<Self> {
        action.fits(place).then_some(Self::always(action, place))
    }

    /// Returns the action.
    #[must_use]
    pub fn action(&self) -> FaultAction {
        self.action
    }

    /// Returns the place.
    #[must_use]
    pub fn place(&self) -> FaultPlace {
        self.place
    }

    /// Returns whether the fault can happen on a connection of this protocol.
    #[must_use]
    pub fn happens_on(&self, protocol: Protocol) -> bool {
        let is_chosen = match protocol {
            // Lines are no connections and have one stream each.
            Protocol::Mold => self.connections.is_none() && self.passes.is_none(),
            Protocol::Betacrew | Protocol::Soup => self.lines.is_none(),
        };
        is_chosen && self.action.happens_on(protocol, self.place)
    }

    /// Returns the protocols whose connections the fault can happen on.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        Protocol::ALL.into_iter().filter(|protocol| self.happens_on(*protocol)).collect()
    }

    /// Creates a fault that drops each packet of a stream with this probability.
    #[must_use]
    pub fn loss(chance: Chance) -> Self {
        let pick = FaultSelector::Random { chance, burst: Span::one(1) };
        Self { pick, ..Self::drop() }
    }

    /// Creates a fault that drops these sequences from every stream.
    #[must_use]
    pub fn skip(sequences: SeqSet) -> Self {
        Self { sequences: Some(sequences), ..Self::drop() }
    }

    /// Creates a fault of all packets, connections and passes.
    fn always(action: FaultAction, place: FaultPlace) -> Self {
        Self {
            action,
            place,
            connections: None,
            lines: None,
            passes: None,
            sequences: None,
            last: None,
            pick: FaultSelector::All,
            times: None,
        }
    }

    fn drop() -> Self {
        Self::always(FaultAction::Drop, FaultPlace::Stream)
    }

    /// Returns whether the fault can only drop packets, and the same ones each time.
    pub(crate) fn only_drops(&self) -> bool {
        self.action == FaultAction::Drop && self.times.is_none()
    }
}

impl Scenario {
    /// Creates a scenario without faults.
    #[must_use]
    pub const fn clean(seed: u64) -> Self {
        Self {
            seed,
            faults: Vec::new(),
            keep_last: true,
            pace: Pace::Unlimited,
            extension: true,
            unknown: UnknownSequencePolicy::Close,
            idle: Some(IDLE),
            slow: SlowSubscriberPolicy::Wait,
        }
    }

    /// Creates a scenario that drops each packet of a stream, the last one included, with this
    /// probability.
    #[must_use]
    pub fn losing(seed: u64, chance: Chance) -> Self {
        Self { keep_last: false, ..Self::clean(seed).with(Fault::loss(chance)) }
    }

    /// Creates a scenario that drops these sequences from every stream.
    #[must_use]
    pub fn skipping(sequences: SeqSet) -> Self {
        Self::clean(0).with(Fault::skip(sequences))
    }

    /// Returns the protocols in which the scenario does something: those of its faults, or all if
    /// it has none.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        let of_faults = self.faults.iter().flat_map(|fault| fault.protocols().iter());
        match self.faults.is_empty() {
            true => Protocol::ALL.into_iter().collect(),
            false => of_faults.collect(),
        }
    }

    /// Adds a fault.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

/// Returns the set that contains only this number (from 1), for `connections` and `passes`.
#[must_use]
pub fn only(number: u32) -> SeqSet {
    core::iter::once(SeqRange::one(number.into())).collect()
}
