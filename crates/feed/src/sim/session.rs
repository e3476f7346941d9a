//! Sessions drawn from a seed: arrival rates of live ones, outages of exchanges, and second
//! sessions that begin on a line.

use super::draw::pick;
use super::plan::alters;
use crate::base::rng::Rng;
use crate::base::seq::Seq;
use crate::client::RecorderOptions;
use crate::faults::scenario::{
    Fault, FaultAction, FaultPlace, FaultSelector, Scenario, SlowSubscriberPolicy,
};
use crate::tape::growing::{ArrivalRate, RATE_MAX};
use crate::tape::in_memory::Tape;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Plan of a live session.
#[derive(Clone, Debug)]
pub struct LiveSessionPlan {
    /// Arrival rate of the packets.
    pub tempo: ArrivalRate,
    /// Outages of exchanges, the last one first.
    pub(super) outages: Vec<OutagePlan>,
}

/// Outage: the process of an exchange is killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutagePlan {
    /// Time of the outage.
    pub(super) at: Duration,
    /// Line of the exchange.
    pub(super) line: usize,
    /// Number of sent packets that were not in the exchange's record yet, and are generated again.
    pub(super) forgets: u64,
    /// Time until the exchange is back.
    pub(super) down: Duration,
}

impl LiveSessionPlan {
    /// Draws a session of `last` packets on a number of lines.
    pub(super) fn draw(rng: &mut Rng, last: Seq, lines: usize) -> Self {
        let takes = pick(rng, &[100, 1_000, 2_000, 4_000]);
        let rate = last.saturating_mul(1_000).checked_div(takes).unwrap_or(0).max(1);
        let rate = u32::try_from(rate).unwrap_or(RATE_MAX);
        let tempo = match rng.below(3) {
            0 => ArrivalRate::Steady(rate),
            1 => ArrivalRate::Poisson(rate),
            _ => ArrivalRate::Bursts { rate, size: rng.between(1, 200) },
        };
        let count = pick(rng, &[0, 0, 1, 1, 2, 4]);
        let mut outages: Vec<OutagePlan> =
            (0..count).map(|_| OutagePlan::draw(rng, lines)).collect();
        outages.sort_by_key(|outage| core::cmp::Reverse(outage.at));
        Self { tempo, outages }
    }
}

impl OutagePlan {
    fn draw(rng: &mut Rng, lines: usize) -> Self {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        let reach = pick(rng, &[0, 50, 900, 9_000]);
        Self {
            at: millis(rng.between(0, 3_000)),
            line: rng.below(u32::try_from(lines).unwrap_or(1)) as usize,
            forgets: pick(rng, &[0, 0, 1, 20, 900]),
            down: millis(rng.between(0, reach)),
        }
    }
}

/// Second session, which a line plays instead of the recorded one.
#[derive(Clone, Debug)]
pub struct SecondSession {
    /// Line that plays the session.
    pub(super) line: usize,
    /// Time at which the session begins; `None` if it began before the client.
    pub(super) begins: Option<Duration>,
    /// Tape of the session.
    pub(super) tape: Arc<Tape>,
}

impl SecondSession {
    /// Draws a session beside one that ends with `last`, on one of a number of lines.
    pub(super) fn draw(rng: &mut Rng, last: Seq, lines: usize) -> Self {
        let packets = pick(rng, &[1, last / 2 + 1, last + 1, last + 9]);
        let at_once = lines > 1 && rng.below(2) == 0;
        let millis = Duration::from_millis(rng.between(0, 2_000).into());
        Self {
            line: rng.below(u32::try_from(lines).unwrap_or(1)) as usize,
            begins: (!at_once).then_some(millis / pick(rng, &[1, 20])),
            tape: Arc::new(Tape::random(packets, rng.bits())),
        }
    }
}

/// Draws the options of a follower from those of any recorder.
pub(super) fn options(rng: &mut Rng, usual: &RecorderOptions) -> RecorderOptions {
    let millis = Duration::from_millis;
    let for_ever = rng.below(2) == 0;
    let reorder_wait = millis(pick(rng, &[0, 0, 1, 20, 300]));
    RecorderOptions {
        follow: true,
        classic: false,
        last: None,
        timeout: if for_ever { Duration::from_secs(1_000_000) } else { usual.timeout },
        reorder_wait,
        // Long enough for a round trip, also after the last fault.
        give_up: (rng.below(8) == 0).then(|| reorder_wait + millis(rng.between(300, 2_000).into())),
        ..usual.clone()
    }
}

/// Draws a scenario for a live session from one for any session.
pub(super) fn scenario(rng: &mut Rng, usual: Scenario) -> Scenario {
    let packets = rng.between(1, 90);
    let slow = pick(
        rng,
        &[
            SlowSubscriberPolicy::Wait,
            SlowSubscriberPolicy::Wait,
            SlowSubscriberPolicy::Skip(packets),
            SlowSubscriberPolicy::Cut(packets),
        ],
    );
    let mut scenario = Scenario { extension: true, slow, ..usual };
    if rng.below(6) == 0
        && let Some(mut mute) = Fault::new(FaultAction::Drop, FaultPlace::Heartbeat)
    {
        mute.pick = FaultSelector::Every(rng.between(1, 3));
        scenario.faults.push(mute);
    }
    scenario
}

/// Draws a scenario whose subscriptions end inside packets from one for a live session. Faults that
/// would hide messages behind such an end are removed.
pub(super) fn torn(rng: &mut Rng, usual: Scenario) -> Scenario {
    let mut scenario = usual;
    scenario.faults.retain(|fault| !alters(fault.action()));
    let packets = rng.between(1, 9);
    let cut = SlowSubscriberPolicy::Cut(packets);
    scenario.slow = pick(
        rng,
        &[SlowSubscriberPolicy::Wait, SlowSubscriberPolicy::Skip(packets), cut, cut, cut, cut],
    );
    let bytes = u8::try_from(rng.between(1, 16)).unwrap_or(1);
    let ends =
        [FaultAction::Close { bytes }, FaultAction::Reset { bytes }, FaultAction::Reset { bytes }];
    if let Some(mut end) = Fault::new(pick(rng, &ends), FaultPlace::Stream) {
        // Each fault strikes once, so that every subscription gets further.
        end.pick = FaultSelector::Every(pick(rng, &[1, 2, 4, 9]));
        end.times = Some(1);
        scenario.faults.push(end);
    }
    scenario
}
