//! Draws from a seed: networks, options, and scenarios with any fault, at any place, any number of
//! times.

use super::Network;
use crate::base::chance::Chance;
use crate::base::rng::Rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::base::span::{Span, TimeSpan};
use crate::client::RecorderOptions;
use crate::faults::scenario::{
    CorruptedField, Fault, FaultAction, FaultPlace, FaultSelector, Scenario, UnknownSequencePolicy,
    WriteSize,
};
use crate::ledger::Limits;
use crate::wire::Reason;
use core::time::Duration;

/// Draws a network for a session that ends with `last`. Long sessions are not cut into single
/// bytes.
pub fn network(rng: &mut Rng, last: Seq) -> Network {
    let micros = |micros: u64| Duration::from_micros(micros);
    Network {
        latency: micros(pick(rng, &[0, 20, 500, 10_000, 40_000])),
        jitter: micros(pick(rng, &[0, 0, 30, 400, 4_000])),
        segment: pick(rng, &[0, 0, 1400, 1400, if last > 300 { 9000 } else { 16 }]),
        cut_calls: rng.below(4) == 0,
    }
}

/// Draws the options of a recorder.
pub fn options(rng: &mut Rng, last: Seq) -> RecorderOptions {
    let usual = RecorderOptions::default();
    let rarely = |rng: &mut Rng| rng.below(6) == 0;
    RecorderOptions {
        classic: rarely(rng),
        last: rarely(rng).then_some(last),
        window: if rarely(rng) { rng.between(1, 40) } else { usual.window },
        retries: if rarely(rng) { rng.between(0, 3) } else { usual.retries },
        timeout: Duration::from_millis(pick(rng, &[300, 1_000, 3_000])),
        limits: Limits {
            max_gaps: pick(rng, &[2, 9, usual.limits.max_gaps, usual.limits.max_gaps]),
            backpressure_gaps: pick(rng, &[1, 4, 50, usual.limits.backpressure_gaps]),
            ..usual.limits
        },
        ..usual
    }
}

/// Draws a scenario with up to `most` faults for a tape that ends with `last`.
#[must_use]
pub fn scenario(rng: &mut Rng, last: Seq, most: u32) -> Scenario {
    let mut scenario = Scenario::clean(rng.bits());
    scenario.keep_last = rng.below(2) == 0;
    scenario.extension = rng.below(4) > 0;
    let unknowns = [
        UnknownSequencePolicy::Close,
        UnknownSequencePolicy::Close,
        UnknownSequencePolicy::Silence,
        UnknownSequencePolicy::Reset,
    ];
    scenario.unknown = pick(rng, &unknowns);
    if rng.below(4) == 0 {
        scenario.idle = None;
    }
    for _ in 0..rng.between(0, most) {
        scenario.faults.push(fault(rng, last));
    }
    scenario
}

/// Draws a fault.
pub fn fault(rng: &mut Rng, last: Seq) -> Fault {
    loop {
        let places = [
            FaultPlace::Stream,
            FaultPlace::Stream,
            FaultPlace::Resend,
            FaultPlace::End,
            FaultPlace::Connect,
        ];
        let place = pick(rng, &places);
        let action = action(rng);
        let Some(mut fault) = Fault::new(action, place) else { continue };
        let packets = matches!(place, FaultPlace::Stream | FaultPlace::Resend);
        if packets && rng.below(3) == 0 {
            fault.sequences = Some(set(rng, last));
        }
        if packets && rng.below(8) == 0 {
            fault.last = Some(rng.between(1, 3));
        }
        fault.pick = match rng.below(4) {
            0 => FaultSelector::All,
            1 => FaultSelector::Every(rng.between(1, 20)),
            _ => FaultSelector::Random { chance: chance(rng), burst: span(rng, 1, 9) },
        };
        if rng.below(4) == 0 {
            fault.connections = Some(set(rng, 6));
        }
        if matches!(place, FaultPlace::Stream | FaultPlace::End) && rng.below(4) == 0 {
            fault.passes = Some(set(rng, 4));
        }
        if rng.below(3) == 0 || ends(action) && rng.below(8) > 0 {
            fault.times = Some(rng.between(1, 3));
        }
        return fault;
    }
}

/// Returns true if an action ends at least the connection at which it happens.
fn ends(action: FaultAction) -> bool {
    matches!(
        action,
        FaultAction::Close { .. }
            | FaultAction::Reset { .. }
            | FaultAction::Silence
            | FaultAction::Restart { .. }
            | FaultAction::Refuse { .. }
    )
}

fn action(rng: &mut Rng) -> FaultAction {
    let bytes = u8::try_from(rng.below(17)).unwrap_or(0);
    let bytes = if rng.below(2) == 0 { 0 } else { bytes };
    let fields = [
        CorruptedField::Symbol,
        CorruptedField::Side,
        CorruptedField::Quantity,
        CorruptedField::Price,
        CorruptedField::Sequence,
    ];
    let field = pick(rng, &fields);
    match rng.below(16) {
        0..4 => FaultAction::Drop,
        4 => {
            let changed = (rng.below(4) == 0).then_some(field);
            FaultAction::Duplicate { copies: rng.between(1, 3), after: span(rng, 0, 5), changed }
        }
        5 => FaultAction::Reorder { by: span(rng, 1, 9) },
        6 => FaultAction::Delay { time: time(rng, 40_000) },
        7 => FaultAction::Silence,
        8 => {
            let size = span(rng, 1, 40);
            let bytes = rng.below(2) == 0;
            let size = if bytes { WriteSize::Bytes(size) } else { WriteSize::Packets(size) };
            FaultAction::Write { size, pause: time(rng, 2_000) }
        }
        9 => FaultAction::Close { bytes },
        10 => FaultAction::Reset { bytes },
        11 => FaultAction::Corrupt { field },
        12 => FaultAction::Garbage { bytes: span(rng, 1, 40) },
        13 => FaultAction::Replace { by: rng.between(1, 3) },
        14 => {
            let reasons = [Reason::Quota, Reason::AgedOut, Reason::TooMany, Reason::OutOfRange];
            FaultAction::Refuse { reason: pick(rng, &reasons) }
        }
        _ => {
            let down = Duration::from_millis(rng.between(0, 900).into());
            FaultAction::Restart { down, renew: false }
        }
    }
}

fn chance(rng: &mut Rng) -> Chance {
    let of = [(1, 100), (1, 20), (1, 4), (1, 2), (9, 10)];
    let (numerator, denominator) = pick(rng, &of);
    Chance::of(numerator, denominator).unwrap_or(Chance::NEVER)
}

pub(super) fn span(rng: &mut Rng, low: u32, high: u32) -> Span {
    let one = rng.between(low, high);
    let other = if rng.below(2) == 0 { one } else { rng.between(one, high) };
    Span::new(one, other).unwrap_or(Span::one(one))
}

pub(super) fn time(rng: &mut Rng, most_micros: u32) -> TimeSpan {
    let micros = span(rng, 0, most_micros);
    let time = |micros: u32| Duration::from_micros(micros.into());
    TimeSpan::new(time(micros.low()), time(micros.high())).unwrap_or(TimeSpan::one(Duration::ZERO))
}

/// Draws a few ranges of numbers from 1 to `last`.
pub fn set(rng: &mut Rng, last: Seq) -> SeqSet {
    let last = last.max(FIRST_SEQ);
    let mut set = SeqSet::new();
    for _ in 0..rng.between(1, 3) {
        let first = rng.seq_between(FIRST_SEQ, last);
        let count = rng.between(1, 3).into();
        set.insert(SeqRange::counted(first, count).unwrap_or(SeqRange::one(first)));
    }
    set
}

/// Draws one of the values.
pub fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    let at = rng.below(u32::try_from(of.len()).unwrap_or(1)) as usize;
    of[at.min(of.len() - 1)]
}
