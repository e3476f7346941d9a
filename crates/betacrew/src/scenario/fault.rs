//! Translation of the faults of a file to faults that an exchange plays.

use super::file::{
    DirectionWord, ExtraWord, FaultFile, FieldWord, On, ReasonWord, SessionWord, What,
};
use feed::base::span::{Span, TimeSpan};
use feed::faults::scenario::{
    BURST_MAX, COPIES_MAX, CorruptedField, Direction, ExtraPacket, Fault, FaultAction, FaultPlace,
    FaultSelector, GARBAGE_MAX, INSERTED_MAX, LATER_MAX, WriteSize,
};
use feed::wire::Reason;
use feed::wire::mold::PAYLOAD_MAX;
use feed::wire::soup::RejectReason;
use std::ops::Range;
use std::time::Duration;

/// Mistake in the value of a key.
pub(super) struct Complaint {
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Complaint {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

/// Parameters, each with the kinds of faults that have it.
const PARAMETERS: [(&str, &[What]); 12] = [
    ("copies", &[What::Duplicate]),
    ("after", &[What::Duplicate]),
    ("field", &[What::Corrupt, What::Duplicate]),
    ("by", &[What::Reorder, What::Replace, What::Shift]),
    ("time", &[What::Delay]),
    (
        "bytes",
        &[What::Split, What::Garbage, What::Close, What::Reset, What::Insert, What::Truncate],
    ),
    ("packets", &[What::Coalesce]),
    ("pause", &[What::Split, What::Coalesce]),
    ("packet", &[What::Insert]),
    ("direction", &[What::Shift]),
    ("reason", &[What::Refuse, What::Reject]),
    ("down", &[What::Restart]),
];

/// Returns the word for a value in a file.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Returns the bytes of a key of a fault, or of the file, in a text.
pub(super) fn place(text: &str, fault: Option<usize>, key: &str) -> Option<Range<usize>> {
    let table = toml::de::DeTable::parse(text).ok()?;
    let Some(number) = fault else {
        return table.get_ref().get_key_value(key).map(|(key, _)| key.span());
    };
    let faults = table.get_ref().get("fault")?.get_ref().as_array()?;
    let fault = faults.get(number)?;
    let inner = fault.get_ref().as_table()?;
    let found = inner.get_key_value(key).or_else(|| inner.get_key_value("what"));
    found.map(|(key, value)| key.span().start..value.span().end)
}

/// Checks that a number or its bounds lie between `low` and `high`.
fn bounded(key: &'static str, span: Span, low: u32, high: u32) -> Result<Span, Complaint> {
    match span.low() >= low && span.high() <= high {
        true => Ok(span),
        false => {
            Err(Complaint::new(key, format!("`{key}` must be from {low} to {high}, not {span}")))
        }
    }
}

/// Returns the one number of a span that must not be bounds.
fn single(key: &'static str, span: Span) -> Result<u32, Complaint> {
    match span.low() == span.high() {
        true => Ok(span.low()),
        false => Err(Complaint::new(key, format!("`{key}` must be one number here, not bounds"))),
    }
}

impl FaultFile {
    /// Returns the fault that the exchange plays.
    pub(super) fn fault(&self) -> Result<Fault, Complaint> {
        self.check_parameters()?;
        let action = self.action()?;
        let on = self.on.unwrap_or(match self.what {
            What::Refuse => On::Resend,
            What::Reject | What::Shift => On::Login,
            _ => On::Stream,
        });
        let what = word(self.what);
        let mut fault = Fault::new(action, on.meaning()).ok_or_else(|| {
            let fits = |on: &On| action.fits(on.meaning());
            let places: Vec<String> = On::ALL.iter().filter(|on| fits(on)).map(word).collect();
            let inside = match self.bytes.is_some() && places.len() == 2 {
                true => " with `bytes`",
                false => "",
            };
            Complaint::new(
                "on",
                format!(
                    "`{what}`{inside} cannot happen on {}; it can on {}",
                    word(on),
                    places.join(", ")
                ),
            )
        })?;
        let packets = matches!(on, On::Stream | On::Resend);
        let only = |key, given: bool, right: bool, reason: &str| match given && !right {
            true => Err(Complaint::new(key, reason)),
            false => Ok(()),
        };
        let no_packet = format!("on {} there is no packet for `{what}` to choose", word(on));
        only("sequences", self.sequences.is_some(), packets, &no_packet)?;
        only("last", self.last.is_some(), packets, &no_packet)?;
        only(
            "passes",
            self.passes.is_some(),
            matches!(on, On::Stream | On::End),
            "`passes` counts streams: it needs on = \"stream\" or \"end\"",
        )?;
        fault.connections = self.connections.clone().map(|set| set.0);
        fault.lines = self.lines.clone().map(|set| set.0);
        fault.passes = self.passes.clone().map(|set| set.0);
        fault.sequences = self.sequences.clone().map(|set| set.0);
        fault.last = self.last;
        fault.times = self.times;
        fault.pick = self.pick()?;
        Ok(fault)
    }

    /// Checks that each given parameter belongs to the kind of fault.
    fn check_parameters(&self) -> Result<(), Complaint> {
        let given = [
            self.copies.is_some(),
            self.after.is_some(),
            self.field.is_some(),
            self.by.is_some(),
            self.time.is_some(),
            self.bytes.is_some(),
            self.packets.is_some(),
            self.pause.is_some(),
            self.packet.is_some(),
            self.direction.is_some(),
            self.reason.is_some(),
            self.down.is_some(),
        ];
        for ((key, with), _) in PARAMETERS.into_iter().zip(given).filter(|(_, given)| *given) {
            if !with.contains(&self.what) {
                let with: Vec<String> = with.iter().map(word).collect();
                let what = word(self.what);
                let message =
                    format!("`{key}` is not a parameter of `{what}`, but of {}", with.join(", "));
                return Err(Complaint::new(key, message));
            }
        }
        match self.session.is_some() && self.what != What::Restart {
            true => Err(Complaint::new("session", "`session` is a parameter of `restart`")),
            false => Ok(()),
        }
    }

    /// Returns the selector of the packets that the fault happens to.
    fn pick(&self) -> Result<FaultSelector, Complaint> {
        match (self.chance, self.every) {
            (Some(_), Some(_)) => Err(Complaint::new(
                "every",
                "`every` and `chance` exclude each other: use one of them",
            )),
            (None, _) if self.burst.is_some() => {
                Err(Complaint::new("burst", "`burst` needs `chance`"))
            }
            (None, Some(0)) => Err(Complaint::new("every", "`every` must be 1 or more")),
            (None, Some(n)) => Ok(FaultSelector::Every(n)),
            (None, None) => Ok(FaultSelector::All),
            (Some(chance), None) => {
                let burst = self.burst.map_or(Span::one(1), |span| span.0);
                let burst = bounded("burst", burst, 1, BURST_MAX)?;
                Ok(FaultSelector::Random { chance: chance.0, burst })
            }
        }
    }

    /// Returns a parameter that the kind of fault needs.
    fn needed<T>(&self, key: &'static str, value: Option<T>) -> Result<T, Complaint> {
        value.ok_or_else(|| Complaint::new("what", format!("`{}` needs `{key}`", word(self.what))))
    }

    /// Returns a reason that belongs to the kind of fault.
    fn fitting<T>(&self, reason: Option<T>, kind: &str) -> Result<T, Complaint> {
        let word = self.reason.map(word).unwrap_or_default();
        let wrong = || Complaint::new("reason", format!("`{word}` is no reason of `{kind}`"));
        reason.ok_or_else(wrong)
    }

    /// Returns the action of the fault.
    fn action(&self) -> Result<FaultAction, Complaint> {
        let bytes = self.bytes.map(|span| span.0);
        let pause = |default| self.pause.map_or(default, |times| times.0.0);
        let millis = |millis| TimeSpan::one(Duration::from_millis(millis));
        let cut = || -> Result<u8, Complaint> {
            let span = bounded("bytes", bytes.unwrap_or(Span::one(0)), 0, 17)?;
            Ok(u8::try_from(single("bytes", span)?).unwrap_or(0))
        };
        Ok(match self.what {
            What::Drop => FaultAction::Drop,
            What::Duplicate => FaultAction::Duplicate {
                copies: bounded("copies", Span::one(self.copies.unwrap_or(1)), 1, COPIES_MAX)?
                    .low(),
                after: bounded("after", self.after.map_or(Span::one(0), |s| s.0), 0, LATER_MAX)?,
                changed: self.field.map(FieldWord::meaning),
            },
            What::Reorder => {
                let by = self.needed("by", self.by)?;
                FaultAction::Reorder { by: bounded("by", by.0, 1, LATER_MAX)? }
            }
            What::Delay => FaultAction::Delay { time: self.needed("time", self.time)?.0.0 },
            What::Silence => FaultAction::Silence,
            What::Split => {
                let size = bounded("bytes", self.needed("bytes", bytes)?, 1, 1 << 20)?;
                FaultAction::Write { size: WriteSize::Bytes(size), pause: pause(millis(1)) }
            }
            What::Coalesce => {
                let size = self.needed("packets", self.packets)?.0;
                let size = bounded("packets", size, 1, 1 << 20)?;
                FaultAction::Write { size: WriteSize::Packets(size), pause: pause(millis(0)) }
            }
            What::Close => FaultAction::Close { bytes: cut()? },
            What::Reset => FaultAction::Reset { bytes: cut()? },
            What::Corrupt => {
                FaultAction::Corrupt { field: self.needed("field", self.field)?.meaning() }
            }
            What::Garbage => {
                let bytes = self.needed("bytes", bytes)?;
                FaultAction::Garbage { bytes: bounded("bytes", bytes, 1, GARBAGE_MAX)? }
            }
            What::Replace => {
                let by = bounded("by", self.by.map_or(Span::one(1), |s| s.0), 1, u32::MAX)?;
                FaultAction::Replace { by: single("by", by)? }
            }
            What::Refuse => {
                let reason = self.reason.unwrap_or(ReasonWord::Quota);
                FaultAction::Refuse { reason: self.fitting(reason.refusal(), "refuse")? }
            }
            What::Restart => {
                let down = self.down.map_or(millis(500), |times| times.0.0);
                if down.low() != down.high() {
                    return Err(Complaint::new("down", "`down` must be one time, not bounds"));
                }
                let renew = self.session == Some(SessionWord::Next);
                FaultAction::Restart { down: down.low(), renew }
            }
            What::Die => FaultAction::Die,
            What::Truncate => {
                let most = u32::try_from(PAYLOAD_MAX).unwrap_or(u32::MAX);
                let bytes = bounded("bytes", self.needed("bytes", bytes)?, 0, most)?;
                FaultAction::Truncate { bytes }
            }
            What::Insert | What::Hold | What::EndSession | What::Reject | What::Shift => {
                self.soup_action()?
            }
        })
    }

    /// Returns the action of a fault of SoupBinTCP.
    fn soup_action(&self) -> Result<FaultAction, Complaint> {
        Ok(match self.what {
            What::Reject => {
                let reason = self.reason.unwrap_or(ReasonWord::NotAuthorized);
                FaultAction::Reject { reason: self.fitting(reason.rejection(), "reject")? }
            }
            What::Insert => FaultAction::Insert {
                packet: self.packet.unwrap_or(ExtraWord::Debug).meaning(),
                bytes: bounded(
                    "bytes",
                    self.bytes.map_or(Span::one(16), |s| s.0),
                    0,
                    INSERTED_MAX,
                )?,
            },
            What::Hold => FaultAction::Hold,
            What::Shift => {
                let by = bounded("by", self.by.map_or(Span::one(1), |s| s.0), 1, u32::MAX)?;
                let direction = self.direction.unwrap_or(DirectionWord::Later).meaning();
                FaultAction::Shift { by: single("by", by)?, direction }
            }
            _ => FaultAction::EndSession,
        })
    }
}

impl On {
    /// All places.
    const ALL: [Self; 6] =
        [Self::Connect, Self::Login, Self::Stream, Self::End, Self::Resend, Self::Heartbeat];

    fn meaning(self) -> FaultPlace {
        match self {
            Self::Connect => FaultPlace::Connect,
            Self::Login => FaultPlace::Login,
            Self::Stream => FaultPlace::Stream,
            Self::End => FaultPlace::End,
            Self::Resend => FaultPlace::Resend,
            Self::Heartbeat => FaultPlace::Heartbeat,
        }
    }
}

impl FieldWord {
    fn meaning(self) -> CorruptedField {
        match self {
            Self::Symbol => CorruptedField::Symbol,
            Self::Side => CorruptedField::Side,
            Self::Quantity => CorruptedField::Quantity,
            Self::Price => CorruptedField::Price,
            Self::Sequence => CorruptedField::Sequence,
            Self::Session => CorruptedField::Session,
            Self::Count => CorruptedField::Count,
            Self::Length => CorruptedField::Length,
        }
    }

    pub(super) fn word(field: CorruptedField) -> Self {
        match field {
            CorruptedField::Symbol => Self::Symbol,
            CorruptedField::Side => Self::Side,
            CorruptedField::Quantity => Self::Quantity,
            CorruptedField::Price => Self::Price,
            CorruptedField::Sequence => Self::Sequence,
            CorruptedField::Session => Self::Session,
            CorruptedField::Count => Self::Count,
            CorruptedField::Length => Self::Length,
        }
    }
}

impl ExtraWord {
    fn meaning(self) -> ExtraPacket {
        match self {
            Self::Debug => ExtraPacket::Debug,
            Self::Unsequenced => ExtraPacket::Unsequenced,
            Self::Heartbeat => ExtraPacket::Heartbeat,
            Self::Unknown => ExtraPacket::Unknown,
            Self::NoLength => ExtraPacket::NoLength,
        }
    }

    pub(super) fn word(packet: ExtraPacket) -> Self {
        match packet {
            ExtraPacket::Debug => Self::Debug,
            ExtraPacket::Unsequenced => Self::Unsequenced,
            ExtraPacket::Heartbeat => Self::Heartbeat,
            ExtraPacket::Unknown => Self::Unknown,
            ExtraPacket::NoLength => Self::NoLength,
        }
    }
}

impl DirectionWord {
    fn meaning(self) -> Direction {
        match self {
            Self::Later => Direction::Later,
            Self::Earlier => Direction::Earlier,
        }
    }

    pub(super) fn word(direction: Direction) -> Self {
        match direction {
            Direction::Later => Self::Later,
            Direction::Earlier => Self::Earlier,
        }
    }
}

impl ReasonWord {
    fn refusal(self) -> Option<Reason> {
        match self {
            Self::OutOfRange => Some(Reason::OutOfRange),
            Self::TooMany => Some(Reason::TooMany),
            Self::Quota => Some(Reason::Quota),
            Self::AgedOut => Some(Reason::AgedOut),
            Self::NotAuthorized | Self::SessionNotAvailable => None,
        }
    }

    fn rejection(self) -> Option<RejectReason> {
        match self {
            Self::NotAuthorized => Some(RejectReason::NotAuthorized),
            Self::SessionNotAvailable => Some(RejectReason::SessionNotAvailable),
            _ => None,
        }
    }

    pub(super) fn word(reason: Reason) -> Option<Self> {
        match reason {
            Reason::OutOfRange => Some(Self::OutOfRange),
            Reason::TooMany => Some(Self::TooMany),
            Reason::Quota => Some(Self::Quota),
            Reason::AgedOut => Some(Self::AgedOut),
            _ => None,
        }
    }

    pub(super) fn reject_word(reason: RejectReason) -> Option<Self> {
        match reason {
            RejectReason::NotAuthorized => Some(Self::NotAuthorized),
            RejectReason::SessionNotAvailable => Some(Self::SessionNotAvailable),
            RejectReason::Other(_) => None,
        }
    }
}
