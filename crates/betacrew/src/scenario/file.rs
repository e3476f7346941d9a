//! The form of a scenario file.

use super::fault::{self, Complaint};
use super::text::{Patience, QuotedText, RepeatCount};
use super::{ResolvedScenario, ScenarioError};
use crate::tape::name::TapeName;
use feed::base::chance::Chance;
use feed::base::seq::SeqSet;
use feed::base::span::Span;
use feed::faults::scenario::{IDLE, Scenario, SlowSubscriberPolicy, UnknownSequencePolicy};
use feed::tape::pace::Pace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What an exchange plays and what goes wrong with it.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioFile {
    /// What a client meets, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What is played [default: sample]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tape: Option<QuotedText<TapeName>>,
    /// What is played after a restart with `session = "next"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<QuotedText<TapeName>>,
    /// Decides everything random [default: drawn and shown; --seed wins]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How fast streams are played [default: as fast as the client reads]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<QuotedText<Pace>>,
    /// Whether random loss spares the last packet of a stream [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<bool>,
    /// Whether the exchange speaks the extension [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<bool>,
    /// What a resend call of the original protocol for a sequence that does not exist meets
    /// [default: close]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<UnknownWord>,
    /// How long a resend connection may be silent before the exchange ends it [default: 400ms]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<QuotedText<Patience>>,
    /// What becomes of a subscriber to a live session that falls behind [default: wait]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<QuotedText<SlowSubscriberPolicy>>,
    /// Whose exchange it is [default: betacrew]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<EngineSection>,
    /// What goes wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "crate::args::keyed::list")]
    pub fault: Vec<FaultFile>,
}

/// Whose exchange plays a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineSection {
    /// Ours.
    #[default]
    Betacrew,
    /// The original one, as its behaviour was measured: it loses a quarter of each stream, the last
    /// packet too, and dies of what it does not expect.
    Original,
}

/// What a resend call for a sequence that does not exist meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownWord {
    /// The end of its connection.
    Close,
    /// No answer.
    Silence,
    /// A reset of its connection.
    Reset,
    /// The death of the exchange.
    Die,
}

/// One thing that goes wrong: what, with its parameters; where; how often.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultFile {
    /// What happens.
    pub what: What,
    /// Where it happens [default: stream; resend for refuse]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<On>,

    /// duplicate: how many copies [default: 1]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// duplicate: how many packets later the copy comes [default: 0]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<QuotedText<Span>>,
    /// corrupt: which field is changed; duplicate: which field of the copy
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldWord>,
    /// reorder: how many packets later it comes; replace: how far the other packet is
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<QuotedText<Span>>,
    /// delay: how long
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<QuotedText<RepeatCount>>,
    /// split: bytes a write; garbage: how many bytes; close, reset: so many bytes of the packet are
    /// still sent (0 to 17) [default: 0]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<QuotedText<Span>>,
    /// coalesce: packets a write
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<QuotedText<Span>>,
    /// split, coalesce: the time between two writes [default: 1ms for split, 0 for coalesce]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<QuotedText<RepeatCount>>,
    /// refuse: the reason given [default: quota]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonWord>,
    /// restart: how long nobody can connect [default: 500ms]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<QuotedText<RepeatCount>>,
    /// restart: whether the same session goes on [default: same]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionWord>,

    /// Only on these connections, counted from 1 as the exchange accepts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<QuotedText<SeqSet>>,
    /// Only in these streams, counted from 1 over all connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<QuotedText<SeqSet>>,
    /// Only at these sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<QuotedText<SeqSet>>,
    /// Only at the last so many sequences (as well as at `sequences`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,

    /// Each of those with this probability [default: all]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<QuotedText<Chance>>,
    /// With `chance`: so many in a row [default: 1]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<QuotedText<Span>>,
    /// Every nth of those: the sequences that this divides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// To each sequence at most so often, over all connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The packet is not sent; a resend is not answered.
    Drop,
    /// It is sent again.
    Duplicate,
    /// It is sent later than its turn.
    Reorder,
    /// It waits, and with it what follows on the connection.
    Delay,
    /// Nothing more is sent on the connection, and it is not closed.
    Silence,
    /// Writes are cut into pieces, at any byte.
    Split,
    /// Several packets go into one write.
    Coalesce,
    /// The connection is ended before the packet, or inside it.
    Close,
    /// The connection is reset before the packet, or inside it.
    Reset,
    /// A field of the packet is changed.
    Corrupt,
    /// Random bytes are sent before the packet.
    Garbage,
    /// Another packet is sent in its place.
    Replace,
    /// The resend is refused: with a reason by the extension, by the connection's end without.
    Refuse,
    /// The exchange goes down, with all connections, and comes back.
    Restart,
    /// The exchange goes down for good.
    Die,
}

/// Where a fault happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// As a client connects.
    Connect,
    /// At packets of streams.
    Stream,
    /// After the last packet of a stream.
    End,
    /// At packets that are sent again.
    Resend,
    /// At the heartbeats of subscriptions: drop is all that can happen to them.
    Heartbeat,
}

/// A field of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldWord {
    /// Other letters.
    Symbol,
    /// Neither `B` nor `S`: the frame makes no sense.
    Side,
    /// Another number.
    Quantity,
    /// Another number.
    Price,
    /// A number that no packet can have.
    Sequence,
}

/// Why a resend is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonWord {
    /// There is no such packet.
    OutOfRange,
    /// Too many packets in one request.
    TooMany,
    /// Too many requests.
    Quota,
    /// The packet is no longer kept.
    AgedOut,
}

/// Which session a restart brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionWord {
    /// The same tape.
    Same,
    /// The tape that `next` names.
    Next,
}

impl FromStr for ScenarioFile {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            ScenarioError::new(error.message(), text, error.span())
        })
    }
}

impl ScenarioFile {
    /// Makes sense of the file, whose text is `text`.
    ///
    /// # Errors
    /// Where parts of it contradict each other; with the place in the text.
    pub fn plot(&self, name: &str, text: &str) -> Result<ResolvedScenario, ScenarioError> {
        let refuse = |complaint: &Complaint, fault: Option<usize>| {
            ScenarioError::new(&complaint.message, text, fault::place(text, fault, complaint.key))
        };
        let faults = (0..).zip(&self.fault).map(|(number, file)| {
            let fault = match file.session {
                Some(SessionWord::Next) if file.what == What::Restart && self.next.is_none() => {
                    Err(Complaint::new(
                        "session",
                        "a restart with session = \"next\" needs `next`, the tape of that session",
                    ))
                }
                _ => file.fault(),
            };
            fault.map_err(|complaint| refuse(&complaint, Some(number)))
        });
        let faults = faults.collect::<Result<Vec<_>, _>>()?;
        let engine = self.exchange.unwrap_or_default();
        if let Some(complaint) = self.contradiction(engine) {
            return Err(refuse(&complaint, None));
        }
        Ok(ResolvedScenario {
            name: name.to_owned(),
            about: self.about.clone(),
            engine,
            tape: self.tape.clone().map_or(TapeName::Sample(5), |tape| tape.0),
            next: self.next.clone().map(|tape| tape.0),
            seeded: self.seed.is_some(),
            scenario: Scenario {
                seed: self.seed.unwrap_or(0),
                faults,
                keep_last: self.keep_last.unwrap_or(true),
                pace: self.pace.map_or(Pace::Unlimited, |pace| pace.0),
                extension: self.extension.unwrap_or(true),
                unknown: self.unknown.map_or(UnknownSequencePolicy::Close, UnknownWord::meaning),
                idle: self.idle.map_or(Some(IDLE), |idle| idle.0.0),
                slow: self.slow.map_or(SlowSubscriberPolicy::Wait, |slow| slow.0),
            },
        })
    }

    fn contradiction(&self, engine: EngineSection) -> Option<Complaint> {
        if engine == EngineSection::Betacrew {
            return None;
        }
        let given = [
            ("fault", !self.fault.is_empty()),
            ("pace", self.pace.is_some()),
            ("keep-last", self.keep_last.is_some()),
            ("extension", self.extension.is_some()),
            ("unknown", self.unknown.is_some()),
            ("idle", self.idle.is_some()),
            ("slow", self.slow.is_some()),
        ];
        let (key, _) = given.into_iter().find(|(_, given)| *given)?;
        let message = format!(
            "the original exchange does what it does: `{key}` is for exchange = \"betacrew\" (the \
             default)"
        );
        Some(Complaint::new(key, message))
    }
}

impl UnknownWord {
    fn meaning(self) -> UnknownSequencePolicy {
        match self {
            Self::Close => UnknownSequencePolicy::Close,
            Self::Silence => UnknownSequencePolicy::Silence,
            Self::Reset => UnknownSequencePolicy::Reset,
            Self::Die => UnknownSequencePolicy::Die,
        }
    }

    pub(super) fn word(unknown: UnknownSequencePolicy) -> Self {
        match unknown {
            UnknownSequencePolicy::Close => Self::Close,
            UnknownSequencePolicy::Silence => Self::Silence,
            UnknownSequencePolicy::Reset => Self::Reset,
            UnknownSequencePolicy::Die => Self::Die,
        }
    }
}
