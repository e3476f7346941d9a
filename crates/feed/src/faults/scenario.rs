//! Scenarios: what an exchange does wrong, and when. One noun for the exchange, the demo, the
//! grader, the simulator and the tests.
//!
//! A scenario has a seed and faults. A fault is *what* happens ([`FaultAction`]), *where* ([`FaultPlace`],
//! connections, passes, sequences) and *how often* ([`FaultSelector`], times). What it comes to is a pure
//! function of seed, connection, pass and sequence (`faults`), so a scenario repeats byte for byte.

mod possible;

pub use possible::{Impossible, Played};

use crate::base::chance::Chance;
use crate::base::seq::{SeqRange, SeqSet};
use crate::base::span::{Span, TimeSpan};
use crate::tape::pace::Pace;
use crate::wire::Reason;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// A packet is moved or repeated so many packets later at the most.
pub const LATER_MAX: u32 = 1024;
/// The most copies of one packet.
pub const COPIES_MAX: u32 = 64;
/// The longest run that one random draw picks.
pub const BURST_MAX: u32 = 4096;
/// The longest piece of garbage, in bytes.
pub const GARBAGE_MAX: u32 = 255;
/// A fault remembers how often it has happened to so many sequences, and then happens no more.
pub const COUNTED_MAX: usize = 1 << 20;

/// How long a resend connection of an original client may be silent before it is ended. Clients
/// exist that wait for this end, and clients that are slow to ask again.
pub const IDLE: Duration = Duration::from_millis(400);

/// What an exchange does wrong, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Decides everything random.
    pub seed: u64,
    /// What goes wrong, in the order in which it is decided.
    pub faults: Vec<Fault>,
    /// No fault that picks at random drops a stream's last packet.
    pub keep_last: bool,
    /// How fast streams are played.
    pub pace: Pace,
    /// Whether the exchange speaks the extension.
    pub extension: bool,
    /// What a resend call for a sequence that does not exist is answered by.
    pub unknown: UnknownSequencePolicy,
    /// How long a resend connection without the extension may be silent before it is ended; `None`:
    /// for ever.
    pub idle: Option<Duration>,
    /// What becomes of a subscriber that falls behind.
    pub slow: SlowSubscriberPolicy,
}

/// What becomes of a subscriber that is more packets behind a live session than this. Nothing is
/// stored for it in any case. It is written `wait`, `skip:1000` or `cut:1000`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SlowSubscriberPolicy {
    /// It gets everything, as late as it is.
    #[default]
    Wait,
    /// It misses what lies between, and can have that sent again.
    Skip(u32),
    /// It is told so, by a refusal of what it has not got, and its connection ends.
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

/// Why a text says nothing of slow subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowPolicyParseError;

impl fmt::Display for SlowPolicyParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected wait, or so many packets behind: skip:1000 or cut:1000")
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

/// What a resend call of the original protocol for a sequence that does not exist meets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum UnknownSequencePolicy {
    /// The end of its connection, after everything before it was answered.
    #[default]
    Close,
    /// No answer; the connection goes on.
    Silence,
    /// A reset of its connection.
    Reset,
    /// The death of the exchange.
    Die,
}

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    action: FaultAction,
    place: FaultPlace,
    /// Only on these connections, counted from 1 in the order in which the exchange accepts them.
    pub connections: Option<SeqSet>,
    /// Only in these streams, counted from 1 over all connections.
    pub passes: Option<SeqSet>,
    /// Only at these sequences.
    pub sequences: Option<SeqSet>,
    /// Only at the last so many sequences of the tape (as well as at `sequences`).
    pub last: Option<u32>,
    /// Which of those.
    pub pick: FaultSelector,
    /// To each sequence at most so often, counted over all connections.
    pub times: Option<u32>,
}

/// Where a fault happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultPlace {
    /// As a client connects, before anything else.
    Connect,
    /// At packets of streams.
    Stream,
    /// After the last packet of a stream, before its end.
    End,
    /// At packets that are sent again.
    Resend,
    /// At the heartbeats of subscriptions.
    Heartbeat,
}

/// Which of the sequences that a fault covers it happens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultSelector {
    /// All of them.
    All,
    /// Every nth: those that `n` divides.
    Every(u32),
    /// Each with this probability, and then the sequences after it until it is a run of this
    /// length.
    Random {
        /// How likely a run begins.
        chance: Chance,
        /// How long it is; 1 for single packets.
        burst: Span,
    },
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAction {
    /// The packet is not sent.
    Drop,
    /// It is sent again.
    Duplicate {
        /// So often.
        copies: u32,
        /// So many packets later; 0: at once.
        after: Span,
        /// With this field changed, so that the copy contradicts the packet.
        changed: Option<CorruptedField>,
    },
    /// It is sent so many packets later.
    Reorder {
        /// How many.
        by: Span,
    },
    /// It, and what follows on the connection, waits.
    Delay {
        /// So long.
        time: TimeSpan,
    },
    /// Nothing more is sent on the connection, and it is not closed.
    Silence,
    /// The write that begins with it has this size; the next one waits for `pause`.
    Write {
        /// How much is written at once.
        size: WriteSize,
        /// How long until the next write.
        pause: TimeSpan,
    },
    /// The exchange ends the connection before it.
    Close {
        /// So many bytes of it are still sent (0 to 17).
        bytes: u8,
    },
    /// The exchange resets the connection before it.
    Reset {
        /// So many bytes of it are still sent (0 to 17).
        bytes: u8,
    },
    /// A field of it is changed.
    Corrupt {
        /// Which.
        field: CorruptedField,
    },
    /// So many random bytes are sent before it.
    Garbage {
        /// How many.
        bytes: Span,
    },
    /// Another packet is sent in its place.
    Replace {
        /// The one so many sequences higher (or lower, where there is none).
        by: u32,
    },
    /// It is refused: with this reason by the extension, by the connection's end without.
    Refuse {
        /// Why.
        reason: Reason,
    },
    /// The exchange goes down: all connections are reset, and for a while nobody can connect.
    Restart {
        /// How long.
        down: Duration,
        /// With another session (another tape) after that.
        renew: bool,
    },
    /// The exchange goes down for good.
    Die,
}

/// How much is written at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteSize {
    /// So many bytes, wherever that ends.
    Bytes(Span),
    /// So many whole packets, or what is there.
    Packets(Span),
}

/// A field of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CorruptedField {
    /// The symbol: other letters.
    Symbol,
    /// The side: a byte that is neither `B` nor `S`, so that the frame makes no sense.
    Side,
    /// The quantity: another number.
    Quantity,
    /// The price: another number.
    Price,
    /// The sequence: a number that no packet can have (0, negative or far away).
    Sequence,
}

impl Fault {
    /// This action at this place, always; `None` where it cannot happen there.
    #[must_use]
    pub fn new(action: FaultAction, place: FaultPlace) -> Option<Self> {
        action.fits(place).then_some(Self {
            action,
            place,
            connections: None,
            passes: None,
            sequences: None,
            last: None,
            pick: FaultSelector::All,
            times: None,
        })
    }

    /// What happens.
    #[must_use]
    pub fn action(&self) -> FaultAction {
        self.action
    }

    /// Where it happens.
    #[must_use]
    pub fn place(&self) -> FaultPlace {
        self.place
    }

    /// Each packet of a stream is lost with this probability.
    #[must_use]
    pub fn loss(chance: Chance) -> Self {
        let pick = FaultSelector::Random { chance, burst: Span::one(1) };
        Self { pick, ..Self::drop() }
    }

    /// Every stream loses these sequences.
    #[must_use]
    pub fn skip(sequences: SeqSet) -> Self {
        Self { sequences: Some(sequences), ..Self::drop() }
    }

    fn drop() -> Self {
        Self {
            action: FaultAction::Drop,
            place: FaultPlace::Stream,
            connections: None,
            passes: None,
            sequences: None,
            last: None,
            pick: FaultSelector::All,
            times: None,
        }
    }

    /// Whether it can only ever keep a packet from being sent, whenever that is tried.
    pub(crate) fn only_drops(&self) -> bool {
        self.action == FaultAction::Drop && self.times.is_none()
    }
}

impl FaultAction {
    /// The kinds of actions, as scenario files call them.
    pub const KINDS: [&'static str; 14] = [
        "drop",
        "duplicate",
        "reorder",
        "delay",
        "silence",
        "write",
        "close",
        "reset",
        "corrupt",
        "garbage",
        "replace",
        "refuse",
        "restart",
        "die",
    ];

    /// Its place in [`KINDS`](Self::KINDS).
    #[must_use]
    pub const fn kind(self) -> usize {
        match self {
            Self::Drop => 0,
            Self::Duplicate { .. } => 1,
            Self::Reorder { .. } => 2,
            Self::Delay { .. } => 3,
            Self::Silence => 4,
            Self::Write { .. } => 5,
            Self::Close { .. } => 6,
            Self::Reset { .. } => 7,
            Self::Corrupt { .. } => 8,
            Self::Garbage { .. } => 9,
            Self::Replace { .. } => 10,
            Self::Refuse { .. } => 11,
            Self::Restart { .. } => 12,
            Self::Die => 13,
        }
    }

    /// Whether it can happen at this place.
    #[must_use]
    pub const fn fits(self, place: FaultPlace) -> bool {
        match self {
            Self::Drop => !matches!(place, FaultPlace::Connect | FaultPlace::End),
            Self::Duplicate { .. }
            | Self::Reorder { .. }
            | Self::Write { .. }
            | Self::Corrupt { .. }
            | Self::Replace { .. } => matches!(place, FaultPlace::Stream | FaultPlace::Resend),
            Self::Refuse { .. } => matches!(place, FaultPlace::Resend),
            // After its last packet a stream's connection is closed anyway.
            Self::Close { bytes } => match place {
                FaultPlace::Stream | FaultPlace::Resend => bytes <= 17,
                FaultPlace::Connect => bytes == 0,
                FaultPlace::End | FaultPlace::Heartbeat => false,
            },
            Self::Reset { bytes } => match place {
                FaultPlace::Stream | FaultPlace::Resend => bytes <= 17,
                FaultPlace::Connect | FaultPlace::End => bytes == 0,
                FaultPlace::Heartbeat => false,
            },
            Self::Delay { .. }
            | Self::Silence
            | Self::Garbage { .. }
            | Self::Restart { .. }
            | Self::Die => !matches!(place, FaultPlace::Heartbeat),
        }
    }
}

impl Scenario {
    /// Nothing goes wrong.
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

    /// Each packet of a stream, the last one included, is lost with this probability.
    #[must_use]
    pub fn losing(seed: u64, chance: Chance) -> Self {
        Self { keep_last: false, ..Self::clean(seed).with(Fault::loss(chance)) }
    }

    /// Every stream loses these sequences.
    #[must_use]
    pub fn skipping(sequences: SeqSet) -> Self {
        Self::clean(0).with(Fault::skip(sequences))
    }

    /// This as well.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

/// A set of the numbers from 1 on that holds this one alone, for connections and passes.
#[must_use]
pub fn only(number: u32) -> SeqSet {
    core::iter::once(SeqRange::one(number)).collect()
}
