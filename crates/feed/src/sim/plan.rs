//! Plan of a simulated run, drawn from a seed.

use super::session::{self, LiveSessionPlan, SecondSession};
use super::venue::{Lie, Venue};
use super::watch::Lawful;
use super::{Network, draw};
use crate::base::rng::{Rng, nth};
use crate::base::seq::{Seq, SeqRange};
use crate::client::RecorderOptions;
use crate::client::passes::FRUITLESS_PASSES_MAX;
use crate::exchange::server::MockExchange;
use crate::faults::scenario::{CorruptedField, ExtraPacket, Fault, FaultAction, Scenario};
use crate::tape::growing::{ArrivalRate, GrowingTape};
use crate::tape::in_memory::Tape;
use crate::tape::recorder::SyncPolicy;
use crate::wire::{Protocol, RawFrame, SessionId, decode, packet_seq, sequence_of};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Key that separates the random numbers of live sessions from all others of a seed.
const SESSION: u64 = 0x6c69_7665;

/// Key that separates the random numbers of ends inside packets from all others of a seed.
const TORN: u64 = 0x0062_7265_616b;

/// Key that separates the random numbers of lying lines and second sessions from all others of a
/// seed.
const LIES: u64 = 0x6c69_6573;

/// Key that separates the random numbers of SoupBinTCP lines from all others of a seed.
const SOUP: u64 = 0x736f_7570;

/// Maximum time without a new packet before a recording must end, whatever the faults, if passes
/// take no time.
pub(super) const GIVES_UP_MAX: Duration = Duration::from_secs(3600);

/// End of a client's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crash {
    /// Killed; the bytes that it has written stay.
    Kill,
    /// Loss of power.
    Power,
    /// Disk full after this number of bytes.
    Full(u32),
    /// Stopped by the user; not a crash.
    Stop,
}

/// Plan that a seed draws.
#[derive(Clone, Debug)]
pub struct SimPlan {
    /// Tape that is played.
    pub tape: Arc<Tape>,
    /// Faults of each line.
    pub scenarios: Vec<Scenario>,
    /// Protocol of each line.
    pub protocols: Vec<Protocol>,
    /// Network of the run.
    pub network: Network,
    /// Options of the recorder.
    pub options: RecorderOptions,
    /// Live session; `None` for a finished tape.
    pub session: Option<LiveSessionPlan>,
    /// False claims of a line about its session.
    pub lie: Option<Lie>,
    /// Session that replaces another one on a line.
    pub second: Option<SecondSession>,
    pub(super) sync: SyncPolicy,
    /// Number of connections of which the network silences one; 0 for none.
    pub(super) silences: u32,
    pub(super) crashes: Vec<(Duration, Crash)>,
    /// Time after which no fault strikes any more.
    pub(super) heals: Duration,
}

impl SimPlan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let last = draw::pick(&mut rng, &[0, 1, 2, 14, 100, 100, 127, 128, 300, 300, 1_500, 6_000]);
        let lines = draw::pick(&mut rng, &[1, 1, 1, 2]);
        let most = draw::pick(&mut rng, &[0, 1, 2, 5, 8]);
        let crashes = draw::pick(&mut rng, &[0, 0, 0, 1, 1, 2, 3]);
        let plan = Self {
            tape: Arc::new(Tape::random(last, seed)),
            scenarios: (0..lines).map(|_| draw::scenario(&mut rng, last, most)).collect(),
            protocols: alloc::vec![Protocol::Betacrew; lines],
            network: draw::network(&mut rng, last),
            options: draw::options(&mut rng, last),
            session: None,
            lie: None,
            second: None,
            sync: draw::pick(
                &mut rng,
                &[SyncPolicy::Never, SyncPolicy::End, SyncPolicy::Every(Duration::from_millis(30))],
            ),
            silences: draw::pick(&mut rng, &[0, 0, 0, 3, 8]),
            crashes: (0..crashes).map(|_| crash(&mut rng)).collect(),
            heals: heals(&mut rng),
        };
        let mut rng = Rng::new(nth(seed, SESSION));
        let plan = if rng.below(4) == 0 { plan.live(&mut rng) } else { plan };
        let mut rng = Rng::new(nth(seed, TORN));
        let plan =
            if plan.session.is_some() && rng.below(2) == 0 { plan.torn(&mut rng) } else { plan };
        let mut rng = Rng::new(nth(seed, LIES));
        let plan = match rng.below(24) {
            0 => plan.lying(&mut rng),
            1 => plan.second(&mut rng),
            _ => plan,
        };
        let mut rng = Rng::new(nth(seed, SOUP));
        if rng.below(6) == 0 { plan.over_soup(&mut rng) } else { plan }
    }

    /// Adds to the plan an honest line and one that lies.
    fn lying(self, rng: &mut Rng) -> Self {
        let last = self.tape.last();
        let mut plan = self.telling(rng, true);
        plan.lie = Some(Lie::draw(rng, last));
        plan
    }

    /// Adds to the plan a line that plays another session, perhaps only from some time on.
    fn second(self, rng: &mut Rng) -> Self {
        let (last, two) = (self.tape.last(), rng.below(2) == 0);
        let mut plan = self.telling(rng, two);
        plan.options.last = None;
        plan.second = Some(SecondSession::draw(rng, last, plan.scenarios.len()));
        plan
    }

    /// Restricts the plan to exchanges that describe their sessions and send only whole messages,
    /// so that the client can know all facts. `two` asks for at least two lines.
    fn telling(mut self, rng: &mut Rng, two: bool) -> Self {
        if two && self.scenarios.len() < 2 {
            let scenario = draw::scenario(rng, self.tape.last(), 2);
            let live = self.session.is_some();
            self.scenarios.push(if live { session::scenario(rng, scenario) } else { scenario });
            self.protocols.push(Protocol::Betacrew);
        }
        for scenario in &mut self.scenarios {
            scenario.extension = true;
            scenario.faults.retain(|fault| !alters(fault.action()));
        }
        self.options.classic = false;
        if let Some(session) = &mut self.session {
            session.outages.clear();
        }
        self
    }

    /// Restricts the plan to connections that end inside packets, without other bytes that are not
    /// of the tape.
    fn torn(self, rng: &mut Rng) -> Self {
        let scenarios = self.scenarios.into_iter().map(|it| session::torn(rng, it)).collect();
        Self { scenarios, ..self }
    }

    /// Makes the session of the plan live.
    pub(super) fn live(self, rng: &mut Rng) -> Self {
        let lines = self.scenarios.len();
        Self {
            session: Some(LiveSessionPlan::draw(rng, self.tape.last(), lines)),
            options: session::options(rng, &self.options),
            scenarios: self.scenarios.into_iter().map(|it| session::scenario(rng, it)).collect(),
            // A follower has no limit of passes.
            heals: self.heals.min(Duration::from_secs(3)),
            ..self
        }
    }

    /// Returns the exchanges at the start of the run.
    pub(super) fn venues(&self, seed: u64) -> Vec<Venue> {
        let there = if self.session.is_some() { 0 } else { self.tape.last() };
        let second = self.second.as_ref().filter(|second| second.begins.is_none());
        (0..self.scenarios.len())
            .map(|line| match second {
                Some(second) if second.line == line => self.second_venue(seed, second),
                _ => self.venue(seed, line, &self.scenarios[line], there),
            })
            .collect()
    }

    /// Returns a line's exchange that has the first `there` packets of the tape.
    pub(super) fn venue(&self, seed: u64, line: usize, scenario: &Scenario, there: Seq) -> Venue {
        let lie = self.lie.clone().filter(|lie| lie.line == line);
        self.player(seed, &self.tape, scenario, there, lie)
    }

    /// Returns the exchange that plays the second session.
    pub(super) fn second_venue(&self, seed: u64, second: &SecondSession) -> Venue {
        let there = if self.session.is_some() { 0 } else { second.tape.last() };
        self.player(seed, &second.tape, &self.scenarios[second.line], there, None)
    }

    fn player(
        &self,
        seed: u64,
        tape: &Arc<Tape>,
        scenario: &Scenario,
        there: Seq,
        lie: Option<Lie>,
    ) -> Venue {
        let tempo = self.session.as_ref().map_or(ArrivalRate::Steady(1), |session| session.tempo);
        let live = GrowingTape::new(Arc::clone(tape), tempo, seed, there);
        Venue::new(MockExchange::new(live, scenario.clone()), lie)
    }

    /// Returns the tape that a recording of a session must equal; `None` if its packets may belong
    /// to either session.
    pub(super) fn tape_of(&self, session: Option<SessionId>) -> Option<&Arc<Tape>> {
        match (&self.second, session) {
            (None, _) => Some(&self.tape),
            (Some(second), Some(id)) if second.tape.session() == id => Some(&second.tape),
            (Some(_), Some(_)) => Some(&self.tape),
            (Some(_), None) => None,
        }
    }

    /// Returns true if a packet is one of those that must be recorded.
    pub(super) fn is_of(&self, session: Option<SessionId>, frame: &RawFrame) -> bool {
        let one = SeqRange::one(sequence_of(frame));
        let has = |tape: &Arc<Tape>| tape.slice(one) == [*frame];
        let other = || self.second.as_ref().is_some_and(|second| has(&second.tape));
        self.tape_of(session).map_or_else(|| has(&self.tape) || other(), has)
    }

    /// Returns the maximum time for all resends: one round trip for each full window, and for each
    /// time that a stream is held back until its gaps are filled.
    pub(super) fn filling(&self) -> Duration {
        let RecorderOptions { window, limits, .. } = &self.options;
        let window = u64::from(*window).min(limits.backpressure_gaps as u64);
        let fills = self.tape.len() / window.max(1) + 1;
        (self.network.latency + self.network.jitter) * 4 * times(fills)
    }

    /// Returns the maximum time without a new packet before a recording gives up: passes without
    /// new packets take as long as their delays.
    pub(super) fn gives_up(&self) -> Duration {
        let delays = self.actions().map(|action| match action {
            FaultAction::Delay { time } => time.high(),
            // At most one pause for each byte of a packet.
            FaultAction::Write { pause, .. } => pause.high() * 17,
            _ => Duration::ZERO,
        });
        GIVES_UP_MAX + delays.sum::<Duration>() * times(self.tape.len() + 1) * FRUITLESS_PASSES_MAX
    }

    fn actions(&self) -> impl Iterator<Item = FaultAction> + '_ {
        self.scenarios.iter().flat_map(|scenario| &scenario.faults).map(Fault::action)
    }

    /// Returns true if packets or an end of session may arrive that look legal and are not those of
    /// the tape.
    pub(super) fn deceives(&self) -> bool {
        let deceives = |action| {
            // An end that comes too early cannot be told from the right one.
            let garbage = matches!(action, FaultAction::Garbage { .. } | FaultAction::EndSession);
            forges(action) || garbage
        };
        self.actions().any(deceives)
    }

    /// Returns true if bytes arrive that shift the messages behind them, while all others are those
    /// of the tape.
    pub(super) fn shifts(&self) -> bool {
        let garbage = |action| matches!(action, FaultAction::Garbage { .. });
        self.actions().any(garbage) && !self.actions().any(forges)
    }

    /// Returns true if exchanges send whole messages, and at most a part of one at the end.
    pub(super) fn is_lawful(&self) -> bool {
        !self.actions().any(alters)
    }

    /// Returns the check of messages that exchanges may send: those of the tape and of the
    /// extension. `None` if scenarios make others.
    pub(super) fn lawful(&self) -> Option<Lawful> {
        if !self.is_lawful() {
            return None;
        }
        let second = self.second.as_ref().map(|second| &second.tape);
        let tapes: Vec<_> = second.into_iter().chain([&self.tape]).cloned().collect();
        Some(Box::new(move |frame| match packet_seq(frame) {
            Some(seq) => tapes.iter().any(|tape| tape.slice(SeqRange::one(seq)) == [*frame]),
            None => decode(frame).is_ok(),
        }))
    }
}

/// Returns true if an action makes bytes that are not a message, or not the tape's packet.
pub(super) fn alters(action: FaultAction) -> bool {
    matches!(
        action,
        FaultAction::Garbage { .. }
            | FaultAction::Corrupt { .. }
            | FaultAction::Duplicate { changed: Some(_), .. }
            | FaultAction::Insert { packet: ExtraPacket::NoLength, .. }
    )
}

/// Returns true if an action makes a packet with a legal side and sequence that is not the tape's.
fn forges(action: FaultAction) -> bool {
    match action {
        FaultAction::Corrupt { field } | FaultAction::Duplicate { changed: Some(field), .. } => {
            !matches!(field, CorruptedField::Side | CorruptedField::Sequence)
        }
        _ => false,
    }
}

/// Draws the time of a crash, early ones more often than late ones, and its kind.
fn crash(rng: &mut Rng) -> (Duration, Crash) {
    let reach = draw::pick(rng, &[300, 3_000, 30_000, 300_000]);
    let after = Duration::from_micros(rng.between(0, reach).into());
    let kind = match rng.below(6) {
        0 | 1 => Crash::Kill,
        2 | 3 => Crash::Power,
        4 => Crash::Stop,
        _ => Crash::Full(rng.between(0, 40_000)),
    };
    (after, kind)
}

/// Draws the time after which no fault strikes. Some times are so late that a recording must end by
/// itself before.
fn heals(rng: &mut Rng) -> Duration {
    match rng.below(8) {
        0 => GIVES_UP_MAX * 8,
        _ => Duration::from_millis(rng.between(0, 3_000).into()),
    }
}

/// Returns a count as the factor of a time. A plan has a few thousand packets.
fn times(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
