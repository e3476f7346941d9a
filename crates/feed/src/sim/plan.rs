//! What a seed draws for a life.

use super::session::{self, LiveSessionPlan, SecondSession};
use super::venue::{Lie, Venue};
use super::watch::Lawful;
use super::{Network, draw};
use crate::base::rng::{Rng, nth};
use crate::base::seq::{Seq, SeqRange};
use crate::client::RecorderOptions;
use crate::client::passes::FRUITLESS_PASSES_MAX;
use crate::exchange::server::MockExchange;
use crate::faults::scenario::{CorruptedField, Fault, FaultAction, Scenario};
use crate::tape::growing::{ArrivalRate, GrowingTape};
use crate::tape::in_memory::Tape;
use crate::tape::recorder::SyncPolicy;
use crate::wire::{RawFrame, SessionId, decode, packet_seq, sequence_of};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Keeps what is drawn of live sessions apart from everything else that a seed decides.
const SESSION: u64 = 0x6c69_7665;

/// Keeps what is drawn of ends inside packets apart from everything else that a seed decides.
const TORN: u64 = 0x0062_7265_616b;

/// Keeps what is drawn of lying lines and second sessions apart from everything else that a seed
/// decides.
const LIES: u64 = 0x6c69_6573;

/// Longest time without a new packet after which a recording has ended, however wrong things are,
/// where passes take no time.
pub(super) const GIVES_UP_MAX: Duration = Duration::from_secs(3600);

/// How a client's process comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crash {
    /// It is killed; what it has written stays.
    Kill,
    /// The power fails.
    Power,
    /// The disk takes so many more bytes.
    Full(u32),
    /// The user ends the recording; no crash at all.
    Stop,
}

/// What a seed draws.
#[derive(Clone, Debug)]
pub struct SimPlan {
    /// What is played.
    pub tape: Arc<Tape>,
    /// What goes wrong with each line.
    pub scenarios: Vec<Scenario>,
    /// The network.
    pub network: Network,
    /// What the recorder is told.
    pub options: RecorderOptions,
    /// How packets come into being, of a live session.
    pub session: Option<LiveSessionPlan>,
    /// What a line says of its session that is not so.
    pub lie: Option<Lie>,
    /// The session that another one makes way for.
    pub second: Option<SecondSession>,
    pub(super) sync: SyncPolicy,
    /// The network loses one in so many connections; 0: none.
    pub(super) silences: u32,
    pub(super) crashes: Vec<(Duration, Crash)>,
    /// When everything goes wrong for the last time.
    pub(super) heals: Duration,
}

impl SimPlan {
    /// What `seed` draws.
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
        match rng.below(24) {
            0 => plan.lying(&mut rng),
            1 => plan.second(&mut rng),
            _ => plan,
        }
    }

    /// The same plan with an honest line and one that lies.
    fn lying(self, rng: &mut Rng) -> Self {
        let last = self.tape.last();
        let mut plan = self.telling(rng, true);
        plan.lie = Some(Lie::draw(rng, last));
        plan
    }

    /// The same plan with a line that plays another session, from some time on perhaps.
    fn second(self, rng: &mut Rng) -> Self {
        let (last, two) = (self.tape.last(), rng.below(2) == 0);
        let mut plan = self.telling(rng, two);
        plan.options.last = None;
        plan.second = Some(SecondSession::draw(rng, last, plan.scenarios.len()));
        plan
    }

    /// The same plan, in which exchanges tell their sessions and send nothing but whole messages:
    /// what a client can know it knows. `two`: on two lines at the least.
    fn telling(mut self, rng: &mut Rng, two: bool) -> Self {
        if two && self.scenarios.len() < 2 {
            let scenario = draw::scenario(rng, self.tape.last(), 2);
            let live = self.session.is_some();
            self.scenarios.push(if live { session::scenario(rng, scenario) } else { scenario });
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

    /// The same plan, in which connections end inside packets, and nothing but that tells of bytes
    /// that are not the tape's.
    fn torn(self, rng: &mut Rng) -> Self {
        let scenarios = self.scenarios.into_iter().map(|it| session::torn(rng, it)).collect();
        Self { scenarios, ..self }
    }

    /// The same plan with a live session.
    fn live(self, rng: &mut Rng) -> Self {
        let lines = self.scenarios.len();
        Self {
            session: Some(LiveSessionPlan::draw(rng, self.tape.last(), lines)),
            options: session::options(rng, &self.options),
            scenarios: self.scenarios.into_iter().map(|it| session::scenario(rng, it)).collect(),
            // Whoever follows does so for as long as it takes.
            heals: self.heals.min(Duration::from_secs(3)),
            ..self
        }
    }

    /// The exchanges at the beginning.
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

    /// A line's exchange that has the first `there` packets of the tape.
    pub(super) fn venue(&self, seed: u64, line: usize, scenario: &Scenario, there: Seq) -> Venue {
        let lie = self.lie.clone().filter(|lie| lie.line == line);
        self.player(seed, &self.tape, scenario, there, lie)
    }

    /// The exchange that plays the second session.
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

    /// The tape that a recording of a session is to be; `None` where its packets may be of either.
    pub(super) fn tape_of(&self, session: Option<SessionId>) -> Option<&Arc<Tape>> {
        match (&self.second, session) {
            (None, _) => Some(&self.tape),
            (Some(second), Some(id)) if second.tape.session() == id => Some(&second.tape),
            (Some(_), Some(_)) => Some(&self.tape),
            (Some(_), None) => None,
        }
    }

    /// Whether a packet is one of those that are to be recorded.
    pub(super) fn is_of(&self, session: Option<SessionId>, frame: &RawFrame) -> bool {
        let one = SeqRange::one(sequence_of(frame));
        let has = |tape: &Arc<Tape>| tape.slice(one) == [*frame];
        let other = || self.second.as_ref().is_some_and(|second| has(&second.tape));
        self.tape_of(session).map_or_else(|| has(&self.tape) || other(), has)
    }

    /// How long it may take to have everything sent again: round trips, one for each time that the
    /// window is full, or that a stream is held back until its gaps are filled.
    pub(super) fn filling(&self) -> Duration {
        let RecorderOptions { window, limits, .. } = &self.options;
        let crowd = u32::try_from(limits.backpressure_gaps).unwrap_or(u32::MAX);
        let fills = self.tape.len() / crowd.min(*window).max(1) + 1;
        (self.network.latency + self.network.jitter) * 4 * fills
    }

    /// How long a recording may bring nothing new until it gives up: passes that bring nothing take
    /// as long as the delays in them.
    pub(super) fn gives_up(&self) -> Duration {
        let delays = self.actions().map(|action| match action {
            FaultAction::Delay { time } => time.high(),
            // A pause a byte of a packet, at the most.
            FaultAction::Write { pause, .. } => pause.high() * 17,
            _ => Duration::ZERO,
        });
        GIVES_UP_MAX + delays.sum::<Duration>() * (self.tape.len() + 1) * FRUITLESS_PASSES_MAX
    }

    fn actions(&self) -> impl Iterator<Item = FaultAction> + '_ {
        self.scenarios.iter().flat_map(|scenario| &scenario.faults).map(Fault::action)
    }

    /// Whether packets may arrive that look right and are not the tape's.
    pub(super) fn deceives(&self) -> bool {
        let deceives = |action| forges(action) || matches!(action, FaultAction::Garbage { .. });
        self.actions().any(deceives)
    }

    /// Whether bytes come that shift the messages behind them, and all else is the tape's.
    pub(super) fn shifts(&self) -> bool {
        let garbage = |action| matches!(action, FaultAction::Garbage { .. });
        self.actions().any(garbage) && !self.actions().any(forges)
    }

    /// Whether exchanges send whole messages, and perhaps a part of one in the end.
    pub(super) fn is_lawful(&self) -> bool {
        !self.actions().any(alters)
    }

    /// What tells the messages that exchanges may send: whole ones, the tape's or the extension's.
    /// `None` where scenarios make others.
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

/// Returns whether an action makes bytes that are no message, or not the tape's packet.
pub(super) fn alters(action: FaultAction) -> bool {
    matches!(
        action,
        FaultAction::Garbage { .. }
            | FaultAction::Corrupt { .. }
            | FaultAction::Duplicate { changed: Some(_), .. }
    )
}

/// Returns whether an action makes a packet that looks right and is not the tape's. Without a legal
/// side or sequence it does not look right.
fn forges(action: FaultAction) -> bool {
    match action {
        FaultAction::Corrupt { field } | FaultAction::Duplicate { changed: Some(field), .. } => {
            !matches!(field, CorruptedField::Side | CorruptedField::Sequence)
        }
        _ => false,
    }
}

/// A moment, short ones more often than long ones, and what happens then.
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

/// When nothing goes wrong any more. Some wait so long that a recording must end by itself before.
fn heals(rng: &mut Rng) -> Duration {
    match rng.below(8) {
        0 => GIVES_UP_MAX * 8,
        _ => Duration::from_millis(rng.between(0, 3_000).into()),
    }
}
