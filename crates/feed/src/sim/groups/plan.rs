//! Recordings of MoldUDP64 lines that a seed draws.

use super::{DatagramNetwork, ServerFaults};
use crate::base::chance::Chance;
use crate::base::rng::{Rng, nth};
use crate::base::span::{Span, TimeSpan};
use crate::client::RecorderOptions;
use crate::exchange::server::mold::{DatagramLimits, LineOptions};
use crate::faults::scenario::{
    CorruptedField, Direction, Fault, FaultAction, FaultPlace, FaultSelector, Scenario, WriteSize,
};
use crate::sim::draw::{pick, set, span};
use crate::sim::plan::Crash;
use crate::tape::growing::ArrivalRate;
use crate::tape::recorder::SyncPolicy;
use crate::wire::Protocol;
use alloc::vec::Vec;
use core::time::Duration;

/// Key that separates the random numbers of datagram plans from all others of a seed.
const GROUPS: u64 = 0x6d6f_6c64;

/// Recording that a seed draws.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Number of messages of the session.
    pub messages: u64,
    /// Maximum number of messages in a datagram.
    pub per: u16,
    /// Faults of each line's exchange.
    pub scenarios: Vec<Scenario>,
    /// Arrival rate of the messages of a live session; `None` for a finished tape.
    pub tempo: Option<ArrivalRate>,
    /// Time of heartbeats before the first message of a finished tape.
    pub lead: Duration,
    /// Network while faults strike.
    pub network: DatagramNetwork,
    /// Faults of each line's request server.
    pub servers: Vec<ServerFaults>,
    /// Settings of the recorder.
    pub options: RecorderOptions,
    pub(super) sync: SyncPolicy,
    pub(super) crashes: Vec<(Duration, Crash)>,
    /// Time after which no fault strikes any more.
    pub(super) heals: Duration,
}

impl GroupPlan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(nth(seed, GROUPS));
        let lines = pick(&mut rng, &[1_u16, 1, 2, 2, 3]);
        let messages = pick(&mut rng, &[0, 1, 2, 20, 300, 300, 1_500, 3_000]);
        let most = pick(&mut rng, &[0, 0, 1, 3, 5]);
        let crashes = pick(&mut rng, &[0, 0, 0, 1, 1, 2, 3]);
        Self {
            messages,
            per: pick(&mut rng, &[1, 3, 10, 80]),
            scenarios: (0..lines).map(|_| scenario(&mut rng, messages, most)).collect(),
            tempo: (rng.below(3) == 0).then(|| tempo(&mut rng, messages)),
            lead: Duration::from_millis(pick(&mut rng, &[0, 20, 200, 1_000])),
            network: network(&mut rng),
            servers: (0..lines).map(|_| server(&mut rng)).collect(),
            options: RecorderOptions {
                // A MoldUDP64 line is always followed until its session ends.
                follow: true,
                reorder_wait: Duration::from_millis(pick(&mut rng, &[0, 0, 5])),
                retries: pick(&mut rng, &[0, 4, 4, 12]),
                timeout: Duration::from_secs(pick(&mut rng, &[3, 10, 60])),
                ..RecorderOptions::default()
            },
            sync: pick(
                &mut rng,
                &[SyncPolicy::Never, SyncPolicy::End, SyncPolicy::Every(Duration::from_millis(30))],
            ),
            crashes: (0..crashes).map(|_| crash(&mut rng)).collect(),
            heals: Duration::from_millis(rng.between(0, 4_000).into()),
        }
    }

    /// Returns the settings of each line.
    pub(super) fn line_options(&self) -> LineOptions {
        let limits = DatagramLimits { messages: self.per, ..DatagramLimits::default() };
        LineOptions { limits, lead: self.lead, ..LineOptions::default() }
    }

    /// Returns true if an end of session, or datagrams of another session, may arrive that look
    /// legal and are not those of the tape.
    pub(super) fn deceives(&self) -> bool {
        let faults = self.scenarios.iter().flat_map(|scenario| &scenario.faults);
        faults.map(Fault::action).any(|action| {
            matches!(
                action,
                FaultAction::EndSession | FaultAction::Corrupt { field: CorruptedField::Session }
            )
        })
    }
}

fn network(rng: &mut Rng) -> DatagramNetwork {
    let latency = Duration::from_micros(pick(rng, &[20, 500, 10_000, 80_000]));
    let burst = pick(rng, &[1_u32, 1, 3, 20]);
    DatagramNetwork {
        latency,
        jitter: match rng.below(3) {
            0 => Duration::ZERO,
            1 => latency / 10,
            _ => Duration::from_micros(rng.between(0, 5_000).into()),
        },
        lost: pick(rng, &[0, 1, 10, 50, 200, 500]) / burst,
        burst,
        duplicated: pick(rng, &[0, 0, 20, 300]),
        cut: pick(rng, &[0, 0, 20]),
        requests_lost: pick(rng, &[0, 0, 50, 300]),
        keeps_ends: false,
    }
}

fn server(rng: &mut Rng) -> ServerFaults {
    let usual = ServerFaults::default();
    match rng.below(8) {
        0 => ServerFaults { silent: true, ..usual },
        1 => ServerFaults { slow: Duration::from_millis(rng.between(1, 400).into()), ..usual },
        2 => ServerFaults { doubled: true, ..usual },
        3 => ServerFaults { most: Some(pick(rng, &[1, 2, 3, 4, 5])), ..usual },
        4 => ServerFaults { shifted: rng.between(1, 9).into(), ..usual },
        _ => usual,
    }
}

fn tempo(rng: &mut Rng, messages: u64) -> ArrivalRate {
    let takes = pick(rng, &[100, 1_000, 3_000]);
    let rate = u32::try_from((messages * 1_000 / takes).max(1)).unwrap_or(u32::MAX);
    match rng.below(3) {
        0 => ArrivalRate::Steady(rate),
        1 => ArrivalRate::Poisson(rate),
        _ => ArrivalRate::Bursts { rate, size: rng.between(1, 200) },
    }
}

fn scenario(rng: &mut Rng, last: u64, most: u32) -> Scenario {
    let mut scenario = Scenario::clean(rng.bits());
    scenario.keep_last = rng.below(2) == 0;
    for _ in 0..rng.between(0, most) {
        scenario.faults.push(fault(rng, last));
    }
    scenario
}

/// Draws a fault of a MoldUDP64 line or of its request server.
fn fault(rng: &mut Rng, last: u64) -> Fault {
    loop {
        let places = [
            FaultPlace::Stream,
            FaultPlace::Stream,
            FaultPlace::Stream,
            FaultPlace::Resend,
            FaultPlace::Resend,
            FaultPlace::Heartbeat,
            FaultPlace::End,
        ];
        let (place, action) = (pick(rng, &places), action(rng));
        let happens = |fault: &Fault| fault.happens_on(Protocol::Mold);
        let Some(mut fault) = Fault::new(action, place).filter(happens) else { continue };
        let has_packets = matches!(place, FaultPlace::Stream | FaultPlace::Resend);
        if has_packets && rng.below(3) == 0 {
            fault.sequences = Some(set(rng, last));
        }
        if has_packets && rng.below(8) == 0 {
            fault.last = Some(rng.between(1, 3));
        }
        let chance = pick(rng, &[(1, 100), (1, 20), (1, 4), (1, 2), (9, 10)]);
        let chance = Chance::of(chance.0, chance.1).unwrap_or(Chance::NEVER);
        fault.pick = match rng.below(4) {
            0 => FaultSelector::All,
            1 => FaultSelector::Every(rng.between(1, 20)),
            _ => FaultSelector::Random { chance, burst: span(rng, 1, 9) },
        };
        let stops = matches!(
            action,
            FaultAction::Hold
                | FaultAction::Silence
                | FaultAction::Restart { .. }
                | FaultAction::Delay { .. }
                | FaultAction::EndSession
        );
        if rng.below(3) == 0 || stops && rng.below(8) > 0 {
            fault.times = Some(rng.between(1, 3));
        }
        return fault;
    }
}

fn action(rng: &mut Rng) -> FaultAction {
    let millis =
        |rng: &mut Rng, most| TimeSpan::one(Duration::from_millis(rng.between(0, most).into()));
    let fields = [
        CorruptedField::Sequence,
        CorruptedField::Count,
        CorruptedField::Length,
        CorruptedField::Session,
    ];
    match rng.below(16) {
        0..4 => FaultAction::Drop,
        4 => {
            let (copies, after) = (rng.between(1, 3), span(rng, 0, 5));
            FaultAction::Duplicate { copies, after, changed: None }
        }
        5 => FaultAction::Reorder { by: span(rng, 1, 9) },
        6 => FaultAction::Delay { time: millis(rng, 300) },
        7 => FaultAction::Silence,
        8 => FaultAction::Hold,
        9 => {
            let sizes = [
                WriteSize::Packets(span(rng, 1, 40)),
                WriteSize::Bytes(Span::one(rng.between(40, 1_400))),
            ];
            FaultAction::Write { size: pick(rng, &sizes), pause: TimeSpan::one(Duration::ZERO) }
        }
        10 => FaultAction::Truncate { bytes: span(rng, 1, 60) },
        11 => FaultAction::Corrupt { field: pick(rng, &fields) },
        12 => FaultAction::Garbage { bytes: span(rng, 1, 40) },
        13 if rng.below(4) == 0 => FaultAction::EndSession,
        13 => FaultAction::Replace { by: rng.between(1, 3) },
        14 => FaultAction::Shift {
            by: rng.between(1, 20),
            direction: pick(rng, &[Direction::Later, Direction::Earlier]),
        },
        _ => {
            let down = Duration::from_millis(rng.between(0, 900).into());
            FaultAction::Restart { down, renew: false }
        }
    }
}

/// Draws the time of a crash after the client's start, and its kind.
fn crash(rng: &mut Rng) -> (Duration, Crash) {
    let reach = pick(rng, &[30_000, 300_000, 1_500_000, 3_000_000]);
    let after = Duration::from_micros(rng.between(0, reach).into());
    let kind = match rng.below(6) {
        0..=2 => Crash::Kill,
        3 => Crash::Power,
        4 => Crash::Stop,
        _ => Crash::Full(rng.between(0, 40_000)),
    };
    (after, kind)
}
