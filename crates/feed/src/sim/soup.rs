//! SoupBinTCP in simulated runs: which lines speak it, and what goes wrong on them.

use super::draw::{pick, span, time};
use super::plan::SimPlan;
use crate::base::rng::Rng;
use crate::client::{LineProtocol, MoldFeed, SoupLogin};
use crate::faults::scenario::{
    Direction, ExtraPacket, Fault, FaultAction, FaultPlace, FaultSelector,
};
use crate::wire::Protocol;
use crate::wire::soup::RejectReason;
use alloc::vec::Vec;
use core::time::Duration;

impl SimPlan {
    /// Makes lines of the plan speak SoupBinTCP: all of them, or one of several.
    pub(super) fn over_soup(self, rng: &mut Rng) -> Self {
        let mut plan = if self.session.is_some() { self } else { self.live(rng) };
        // What a line says of its session's end is not the exercise's message here.
        plan.lie = None;
        plan.options.soup_silence = Duration::from_millis(pick(rng, &[1_500, 3_000, 15_000]));
        let mixed = plan.scenarios.len() > 1 && rng.below(2) == 0;
        let only = rng.below(2) as usize;
        for (line, scenario) in plan.scenarios.iter_mut().enumerate() {
            if !mixed || line == only {
                plan.protocols[line] = Protocol::Soup;
                scenario.faults.retain(happens_on_soup);
                for _ in 0..rng.between(0, 3) {
                    scenario.faults.push(fault(rng));
                }
            }
        }
        plan
    }

    /// Returns the lines of the plan's recorder, the first `count` of them.
    pub(super) fn lines(&self, count: usize) -> Vec<LineProtocol> {
        let line = |protocol: &Protocol| match protocol {
            Protocol::Betacrew => LineProtocol::Betacrew,
            Protocol::Soup => LineProtocol::Soup(SoupLogin::default()),
            Protocol::Mold => LineProtocol::Mold(MoldFeed { servers: 1 }),
        };
        self.protocols.iter().take(count).map(line).collect()
    }
}

fn happens_on_soup(fault: &Fault) -> bool {
    fault.action().happens_on(Protocol::Soup, fault.place())
}

/// Draws a fault of a SoupBinTCP connection.
fn fault(rng: &mut Rng) -> Fault {
    let places = [
        FaultPlace::Login,
        FaultPlace::Login,
        FaultPlace::Stream,
        FaultPlace::Stream,
        FaultPlace::End,
        FaultPlace::Heartbeat,
        FaultPlace::Connect,
    ];
    loop {
        let place = pick(rng, &places);
        let action = action(rng);
        let Some(mut fault) = Fault::new(action, place).filter(happens_on_soup) else { continue };
        fault.pick = match rng.below(3) {
            0 => FaultSelector::All,
            _ => FaultSelector::Every(rng.between(1, 30)),
        };
        // A fault without a limit may keep the recorder from ever being served.
        if rng.below(4) > 0 {
            fault.times = Some(rng.between(1, 3));
        }
        return fault;
    }
}

fn action(rng: &mut Rng) -> FaultAction {
    let extras = [
        ExtraPacket::Debug,
        ExtraPacket::Unsequenced,
        ExtraPacket::Heartbeat,
        ExtraPacket::Unknown,
        ExtraPacket::NoLength,
    ];
    let reasons = [
        RejectReason::SessionNotAvailable,
        RejectReason::SessionNotAvailable,
        RejectReason::NotAuthorized,
        RejectReason::Other(b'?'),
    ];
    match rng.below(12) {
        0 => FaultAction::Drop,
        1 => FaultAction::Duplicate {
            copies: rng.between(1, 2),
            after: span(rng, 0, 0),
            changed: None,
        },
        2 => FaultAction::Hold,
        3 if rng.below(8) == 0 => FaultAction::EndSession,
        3 | 4 => FaultAction::Delay { time: time(rng, 2_000_000) },
        5 => FaultAction::Silence,
        6 => FaultAction::Close { bytes: u8::try_from(rng.below(17)).unwrap_or(0) },
        7 => FaultAction::Reset { bytes: 0 },
        8 => FaultAction::Insert { packet: pick(rng, &extras), bytes: span(rng, 0, 300) },
        9 => FaultAction::Reject { reason: pick(rng, &reasons) },
        10 => FaultAction::Shift {
            by: rng.between(1, 20),
            direction: pick(rng, &[Direction::Later, Direction::Earlier]),
        },
        _ => {
            let down = Duration::from_millis(rng.between(0, 900).into());
            FaultAction::Restart { down, renew: false }
        }
    }
}
