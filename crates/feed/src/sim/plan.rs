//! What a seed draws for a life.

use super::{Network, draw};
use crate::keeper::Sync;
use crate::recorder::Options;
use crate::rng::Rng;
use crate::scenario::{Action, Field, Scenario};
use crate::tape::Tape;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// However wrong things are, a recording ends within so long.
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
pub struct Plan {
    /// What is played.
    pub tape: Arc<Tape>,
    /// What goes wrong with each line.
    pub scenarios: Vec<Scenario>,
    /// The network.
    pub network: Network,
    /// What the recorder is told.
    pub options: Options,
    pub(super) sync: Sync,
    /// The network loses one in so many connections; 0: none.
    pub(super) silences: u32,
    pub(super) crashes: Vec<(Duration, Crash)>,
    /// When everything goes wrong for the last time.
    pub(super) heals: Duration,
}

impl Plan {
    /// What `seed` draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let last = draw::pick(&mut rng, &[0, 1, 2, 14, 100, 100, 127, 128, 300, 300, 1_500, 6_000]);
        let lines = draw::pick(&mut rng, &[1, 1, 1, 2]);
        let most = draw::pick(&mut rng, &[0, 1, 2, 5, 8]);
        let crashes = draw::pick(&mut rng, &[0, 0, 0, 1, 1, 2, 3]);
        Self {
            tape: Arc::new(Tape::random(last, seed)),
            scenarios: (0..lines).map(|_| draw::scenario(&mut rng, last, most)).collect(),
            network: draw::network(&mut rng, last),
            options: draw::options(&mut rng, last),
            sync: draw::pick(
                &mut rng,
                &[Sync::Never, Sync::End, Sync::Every(Duration::from_millis(30))],
            ),
            silences: draw::pick(&mut rng, &[0, 0, 0, 3, 8]),
            crashes: (0..crashes).map(|_| crash(&mut rng)).collect(),
            heals: heals(&mut rng),
        }
    }

    /// Whether packets may arrive that look right and are not the tape's.
    pub(super) fn deceives(&self) -> bool {
        // Without a legal side or sequence it does not look right.
        let believed = |field| !matches!(field, Field::Side | Field::Sequence);
        let deceives = |action| match action {
            Action::Corrupt { field } | Action::Duplicate { changed: Some(field), .. } => {
                believed(field)
            }
            Action::Garbage { .. } => true,
            _ => false,
        };
        let mut faults = self.scenarios.iter().flat_map(|scenario| &scenario.faults);
        faults.any(|fault| deceives(fault.action()))
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
