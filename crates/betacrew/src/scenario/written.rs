//! Translation of a scenario to a file, for scenarios that the simulator draws.

use super::file::{
    DirectionWord, ExtraWord, FaultFile, FieldWord, On, ReasonWord, ScenarioFile, SessionWord,
    UnknownWord, What,
};
use super::text::{Patience, QuotedText, TimeSpanText};
use feed::base::span::{Span, TimeSpan};
use feed::faults::scenario::{
    Fault, FaultAction, FaultPlace, FaultSelector, IDLE, Scenario, SlowSubscriberPolicy, WriteSize,
};
use feed::tape::pace::Pace;

impl From<&Fault> for FaultFile {
    fn from(fault: &Fault) -> Self {
        let mut file = Self::of(fault.action());
        file.on = Some(match fault.place() {
            FaultPlace::Connect => On::Connect,
            FaultPlace::Login => On::Login,
            FaultPlace::Stream => On::Stream,
            FaultPlace::End => On::End,
            FaultPlace::Resend => On::Resend,
            FaultPlace::Heartbeat => On::Heartbeat,
        });
        file.connections = fault.connections.clone().map(QuotedText);
        file.lines = fault.lines.clone().map(QuotedText);
        file.passes = fault.passes.clone().map(QuotedText);
        file.sequences = fault.sequences.clone().map(QuotedText);
        file.last = fault.last;
        file.times = fault.times;
        match fault.pick {
            FaultSelector::All => {}
            FaultSelector::Every(n) => file.every = Some(n),
            FaultSelector::Random { chance, burst } => {
                file.chance = Some(QuotedText(chance));
                file.burst = (burst != Span::one(1)).then_some(QuotedText(burst));
            }
        }
        file
    }
}

impl FaultFile {
    /// Returns a fault of this kind that happens always and everywhere.
    pub(crate) fn just(what: What) -> Self {
        Self {
            what,
            on: None,
            copies: None,
            after: None,
            field: None,
            by: None,
            time: None,
            bytes: None,
            packets: None,
            pause: None,
            packet: None,
            direction: None,
            reason: None,
            down: None,
            session: None,
            connections: None,
            lines: None,
            passes: None,
            sequences: None,
            last: None,
            chance: None,
            burst: None,
            every: None,
            times: None,
        }
    }

    fn of(action: FaultAction) -> Self {
        let times = |span| Some(QuotedText(TimeSpanText(span)));
        let bytes = |bytes: u8| (bytes > 0).then_some(QuotedText(Span::one(bytes.into())));
        match action {
            FaultAction::Drop => Self::just(What::Drop),
            FaultAction::Duplicate { copies, after, changed } => Self {
                copies: Some(copies),
                after: Some(QuotedText(after)),
                field: changed.map(FieldWord::word),
                ..Self::just(What::Duplicate)
            },
            FaultAction::Reorder { by } => {
                Self { by: Some(QuotedText(by)), ..Self::just(What::Reorder) }
            }
            FaultAction::Delay { time } => Self { time: times(time), ..Self::just(What::Delay) },
            FaultAction::Silence => Self::just(What::Silence),
            FaultAction::Write { size: WriteSize::Bytes(size), pause } => Self {
                bytes: Some(QuotedText(size)),
                pause: times(pause),
                ..Self::just(What::Split)
            },
            FaultAction::Write { size: WriteSize::Packets(size), pause } => Self {
                packets: Some(QuotedText(size)),
                pause: times(pause),
                ..Self::just(What::Coalesce)
            },
            FaultAction::Close { bytes: cut } => {
                Self { bytes: bytes(cut), ..Self::just(What::Close) }
            }
            FaultAction::Reset { bytes: cut } => {
                Self { bytes: bytes(cut), ..Self::just(What::Reset) }
            }
            FaultAction::Corrupt { field } => {
                Self { field: Some(FieldWord::word(field)), ..Self::just(What::Corrupt) }
            }
            FaultAction::Garbage { bytes } => {
                Self { bytes: Some(QuotedText(bytes)), ..Self::just(What::Garbage) }
            }
            FaultAction::Replace { by } => {
                Self { by: Some(QuotedText(Span::one(by))), ..Self::just(What::Replace) }
            }
            FaultAction::Refuse { reason } => {
                Self { reason: ReasonWord::word(reason), ..Self::just(What::Refuse) }
            }
            FaultAction::Restart { down, renew } => Self {
                down: times(TimeSpan::one(down)),
                session: renew.then_some(SessionWord::Next),
                ..Self::just(What::Restart)
            },
            FaultAction::Die => Self::just(What::Die),
            FaultAction::Insert { packet, bytes } => Self {
                packet: Some(ExtraWord::word(packet)),
                bytes: Some(QuotedText(bytes)),
                ..Self::just(What::Insert)
            },
            FaultAction::Hold => Self::just(What::Hold),
            FaultAction::Truncate { bytes } => {
                Self { bytes: Some(QuotedText(bytes)), ..Self::just(What::Truncate) }
            }
            FaultAction::EndSession => Self::just(What::EndSession),
            FaultAction::Reject { reason } => {
                Self { reason: ReasonWord::reject_word(reason), ..Self::just(What::Reject) }
            }
            FaultAction::Shift { by, direction } => Self {
                by: Some(QuotedText(Span::one(by))),
                direction: Some(DirectionWord::word(direction)),
                ..Self::just(What::Shift)
            },
        }
    }
}

impl From<&Scenario> for ScenarioFile {
    fn from(scenario: &Scenario) -> Self {
        Self {
            seed: Some(scenario.seed),
            keep_last: Some(scenario.keep_last),
            extension: Some(scenario.extension),
            pace: (scenario.pace != Pace::Unlimited).then_some(QuotedText(scenario.pace)),
            unknown: Some(UnknownWord::word(scenario.unknown)),
            idle: (scenario.idle != Some(IDLE)).then_some(QuotedText(Patience(scenario.idle))),
            slow: (scenario.slow != SlowSubscriberPolicy::Wait)
                .then_some(QuotedText(scenario.slow)),
            fault: scenario.faults.iter().map(FaultFile::from).collect(),
            ..Self::default()
        }
    }
}
