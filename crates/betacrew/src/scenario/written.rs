//! A scenario as it would be written: what the simulator has drawn becomes a file.

use super::file::{
    FaultFile, FieldWord, On, ReasonWord, ScenarioFile, SessionWord, UnknownWord, What,
};
use super::text::{Patience, Text, Times};
use feed::base::span::{Span, TimeSpan};
use feed::faults::scenario::{Action, Fault, IDLE, Pick, Place, Scenario, Size, Slow};
use feed::tape::pace::Pace;

impl From<&Fault> for FaultFile {
    fn from(fault: &Fault) -> Self {
        let mut file = Self::of(fault.action());
        file.on = Some(match fault.place() {
            Place::Connect => On::Connect,
            Place::Stream => On::Stream,
            Place::End => On::End,
            Place::Resend => On::Resend,
            Place::Heartbeat => On::Heartbeat,
        });
        file.connections = fault.connections.clone().map(Text);
        file.passes = fault.passes.clone().map(Text);
        file.sequences = fault.sequences.clone().map(Text);
        file.last = fault.last;
        file.times = fault.times;
        match fault.pick {
            Pick::All => {}
            Pick::Every(n) => file.every = Some(n),
            Pick::Random { chance, burst } => {
                file.chance = Some(Text(chance));
                file.burst = (burst != Span::one(1)).then_some(Text(burst));
            }
        }
        file
    }
}

impl FaultFile {
    /// Just that, always and everywhere.
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
            reason: None,
            down: None,
            session: None,
            connections: None,
            passes: None,
            sequences: None,
            last: None,
            chance: None,
            burst: None,
            every: None,
            times: None,
        }
    }

    fn of(action: Action) -> Self {
        let times = |span| Some(Text(Times(span)));
        let bytes = |bytes: u8| (bytes > 0).then_some(Text(Span::one(bytes.into())));
        match action {
            Action::Drop => Self::just(What::Drop),
            Action::Duplicate { copies, after, changed } => Self {
                copies: Some(copies),
                after: Some(Text(after)),
                field: changed.map(FieldWord::word),
                ..Self::just(What::Duplicate)
            },
            Action::Reorder { by } => Self { by: Some(Text(by)), ..Self::just(What::Reorder) },
            Action::Delay { time } => Self { time: times(time), ..Self::just(What::Delay) },
            Action::Silence => Self::just(What::Silence),
            Action::Write { size: Size::Bytes(size), pause } => {
                Self { bytes: Some(Text(size)), pause: times(pause), ..Self::just(What::Split) }
            }
            Action::Write { size: Size::Packets(size), pause } => Self {
                packets: Some(Text(size)),
                pause: times(pause),
                ..Self::just(What::Coalesce)
            },
            Action::Close { bytes: cut } => Self { bytes: bytes(cut), ..Self::just(What::Close) },
            Action::Reset { bytes: cut } => Self { bytes: bytes(cut), ..Self::just(What::Reset) },
            Action::Corrupt { field } => {
                Self { field: Some(FieldWord::word(field)), ..Self::just(What::Corrupt) }
            }
            Action::Garbage { bytes } => {
                Self { bytes: Some(Text(bytes)), ..Self::just(What::Garbage) }
            }
            Action::Replace { by } => {
                Self { by: Some(Text(Span::one(by))), ..Self::just(What::Replace) }
            }
            Action::Refuse { reason } => {
                Self { reason: ReasonWord::word(reason), ..Self::just(What::Refuse) }
            }
            Action::Restart { down, renew } => Self {
                down: times(TimeSpan::one(down)),
                session: renew.then_some(SessionWord::Next),
                ..Self::just(What::Restart)
            },
            Action::Die => Self::just(What::Die),
        }
    }
}

impl From<&Scenario> for ScenarioFile {
    fn from(scenario: &Scenario) -> Self {
        Self {
            seed: Some(scenario.seed),
            keep_last: Some(scenario.keep_last),
            extension: Some(scenario.extension),
            pace: (scenario.pace != Pace::Unlimited).then_some(Text(scenario.pace)),
            unknown: Some(UnknownWord::word(scenario.unknown)),
            idle: (scenario.idle != Some(IDLE)).then_some(Text(Patience(scenario.idle))),
            slow: (scenario.slow != Slow::Wait).then_some(Text(scenario.slow)),
            fault: scenario.faults.iter().map(FaultFile::from).collect(),
            ..Self::default()
        }
    }
}
