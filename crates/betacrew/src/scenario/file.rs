//! Keys and values of a scenario file.

use super::fault::{self, Complaint};
use super::text::{Patience, QuotedText, TimeSpanText};
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

/// Scenario file: the tape that an exchange plays, and its faults.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioFile {
    /// Description of the scenario, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Tape to play [default: sample]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tape: Option<QuotedText<TapeName>>,
    /// Tape to play after a restart with `session = "next"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<QuotedText<TapeName>>,
    /// Seed of all random decisions [default: a random one that is shown; --seed overrides it]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Speed of streams [default: as fast as the client reads]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<QuotedText<Pace>>,
    /// True if random drops spare the last packet of a stream [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<bool>,
    /// True if the exchange supports the extension [default: true]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<bool>,
    /// Answer to a resend call of the original protocol for a sequence that does not exist
    /// [default: close]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<UnknownWord>,
    /// Time that a resend connection may be silent before the exchange closes it [default: 400ms]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<QuotedText<Patience>>,
    /// Treatment of a slow subscriber to a live session [default: wait]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<QuotedText<SlowSubscriberPolicy>>,
    /// Exchange that plays the scenario [default: betacrew]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<EngineSection>,
    /// Faults, each in a table of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "crate::args::keyed::list")]
    pub fault: Vec<FaultFile>,
}

/// Exchange that plays a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineSection {
    /// Mock exchange of betacrew.
    #[default]
    Betacrew,
    /// Original exchange, with its measured behaviour: it drops a quarter of each stream, even the
    /// last packet, and crashes on unexpected input.
    Original,
}

/// Answer to a resend call for a sequence that does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownWord {
    /// Close the connection.
    Close,
    /// Send no answer.
    Silence,
    /// Reset the connection.
    Reset,
    /// Crash the exchange.
    Die,
}

/// Fault: its kind with parameters, its place, and how often it happens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultFile {
    /// Kind of the fault.
    pub what: What,
    /// Place of the fault [default: stream; resend for refuse]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<On>,

    /// duplicate: number of copies [default: 1]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// duplicate: number of packets between the packet and its copy [default: 0]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<QuotedText<Span>>,
    /// corrupt: field to change; duplicate: field of the copy to change
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldWord>,
    /// reorder: number of packets that overtake it; replace: distance to the other packet; shift:
    /// distance to the other sequence
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<QuotedText<Span>>,
    /// delay: time of the delay
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<QuotedText<TimeSpanText>>,
    /// split: bytes in each write, or in the datagram; garbage: number of bytes; close, reset:
    /// bytes of the packet that are still sent (0 to 17) [default: 0]; insert: bytes behind the
    /// type [default: 16]; truncate: bytes of the datagram that are sent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<QuotedText<Span>>,
    /// coalesce: packets in each write, or messages in the datagram
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<QuotedText<Span>>,
    /// split, coalesce: time between two writes [default: 1ms for split, 0 for coalesce]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<QuotedText<TimeSpanText>>,
    /// insert: packet to insert [default: debug]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<ExtraWord>,
    /// shift: side of the other sequence [default: later]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionWord>,
    /// refuse: reason in the answer [default: quota]; reject: reason in the answer [default:
    /// not-authorized]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonWord>,
    /// restart: time until clients can connect again [default: 500ms]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<QuotedText<TimeSpanText>>,
    /// restart: session after the restart [default: same]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionWord>,

    /// Connections on which it happens, counted from 1 as the exchange accepts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<QuotedText<SeqSet>>,
    /// Lines of MoldUDP64 on which it happens, counted from 1 in the order of --listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<QuotedText<SeqSet>>,
    /// Streams in which it happens, counted from 1 over all connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<QuotedText<SeqSet>>,
    /// Sequences at which it happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<QuotedText<SeqSet>>,
    /// Number of last sequences at which it happens, in addition to `sequences`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,

    /// Probability with which it happens at each of these places [default: always]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<QuotedText<Chance>>,
    /// With `chance`: number of packets in a row [default: 1]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<QuotedText<Span>>,
    /// Divisor of the sequences at which it happens: 10 means every tenth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Maximum number of times that it happens to each sequence, over all connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// Kind of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Do not send the packet, the heartbeat or the end of the session, or do not answer the resend
    /// request.
    Drop,
    /// Send the packet again.
    Duplicate,
    /// Send the packet later than its turn.
    Reorder,
    /// Delay the packet and everything after it on the connection.
    Delay,
    /// Send nothing more on the connection, without closing it.
    Silence,
    /// Cut writes into pieces, at any byte.
    Split,
    /// Put several packets into one write.
    Coalesce,
    /// Close the connection before the packet, or inside it.
    Close,
    /// Reset the connection before the packet, or inside it.
    Reset,
    /// Change a field of the packet.
    Corrupt,
    /// Send random bytes before the packet.
    Garbage,
    /// Send another packet in its place.
    Replace,
    /// Refuse the resend: with a reason in the extension, by closing the connection without it.
    Refuse,
    /// Stop the exchange with all its connections, and start it again later.
    Restart,
    /// Crash the exchange for good.
    Die,
    /// Send a packet that is no message before the message (SoupBinTCP).
    Insert,
    /// Send no more messages on the connection, only heartbeats (SoupBinTCP).
    Hold,
    /// Announce the end of the session before the message, and close the connection (SoupBinTCP).
    EndSession,
    /// Reject the login (SoupBinTCP).
    Reject,
    /// Accept the login from another sequence on than the requested one (SoupBinTCP), or go on with
    /// another message (MoldUDP64).
    Shift,
    /// Cut the datagram short (MoldUDP64).
    Truncate,
}

/// Place of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// When a client connects.
    Connect,
    /// At a login, before its answer (SoupBinTCP).
    Login,
    /// At packets of streams.
    Stream,
    /// After the last packet of a stream.
    End,
    /// At resent packets.
    Resend,
    /// At the heartbeats of subscriptions and of SoupBinTCP, which can only be dropped.
    Heartbeat,
}

/// Field of a packet that a fault changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldWord {
    /// Symbol, which gets other letters.
    Symbol,
    /// Side, which becomes neither `B` nor `S`, so that the frame cannot be decoded.
    Side,
    /// Quantity, which gets another number.
    Quantity,
    /// Price, which gets another number.
    Price,
    /// Sequence, which becomes one that no packet can have.
    Sequence,
    /// Session of a datagram, which becomes another one (MoldUDP64).
    Session,
    /// Count of a datagram, which becomes higher (MoldUDP64).
    Count,
    /// Length of a datagram's first message, which then ends beyond the datagram (MoldUDP64).
    Length,
}

/// Packet of SoupBinTCP that is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtraWord {
    /// Debug text.
    Debug,
    /// Unsequenced message.
    Unsequenced,
    /// Heartbeat.
    Heartbeat,
    /// Packet of a type that no version has.
    Unknown,
    /// Length field of 0, behind which nothing can be read.
    NoLength,
}

/// Side of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionWord {
    /// Higher sequences.
    Later,
    /// Lower sequences.
    Earlier,
}

/// Reason for refusing a resend or rejecting a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonWord {
    /// No packet has this sequence.
    OutOfRange,
    /// One request is for too many packets.
    TooMany,
    /// The client has sent too many requests.
    Quota,
    /// The exchange no longer keeps the packet.
    AgedOut,
    /// User or password is wrong (reject).
    NotAuthorized,
    /// The requested session is not available (reject).
    SessionNotAvailable,
}

/// Session after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionWord {
    /// Session before the restart, with the same tape.
    Same,
    /// New session with the tape that `next` names.
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
    /// Returns the scenario that the file describes. `text` is the text of the file.
    ///
    /// # Errors
    /// Returns a [`ScenarioError`], with its place in the text, if keys contradict each other.
    pub fn resolve(&self, name: &str, text: &str) -> Result<ResolvedScenario, ScenarioError> {
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

    /// Returns the first key that the chosen exchange does not support.
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
            "the original exchange has no `{key}`: it needs exchange = \"betacrew\" (the default)"
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
