//! Cost of recovery by loss and round-trip time, as a table for people.

use super::{Network, SimWorld};
use crate::base::chance::Chance;
use crate::base::seq::SeqRange;
use crate::base::span::Span;
use crate::client::{Outcome, Recorder, RecorderOptions};
use crate::exchange::server::MockExchange;
use crate::faults::scenario::{Fault, FaultSelector, Scenario};
use crate::ledger::{Origin, Sink, Source};
use crate::tape::in_memory::Tape;
use crate::wire::Messages;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Loss rates, in packets of 1000.
const LOSSES: [u32; 6] = [1, 10, 50, 100, 250, 500];
/// Round-trip times, in microseconds.
const ROUND_TRIPS: [u32; 4] = [100, 1_000, 20_000, 250_000];
/// Lengths of runs of dropped packets.
const BURSTS: [u32; 2] = [1, 10];

/// Cost of a recovery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Number of gaps found.
    pub gaps: u64,
    /// Number of packets missed.
    pub missed: u64,
    /// Number of resend calls sent.
    pub calls: u64,
    /// Number of streams requested.
    pub passes: u32,
    /// Time from the end of the first stream to the last packet, in round trips.
    pub after: f64,
    /// Time from the first connection until the recording is known to be complete, in round trips.
    pub total: f64,
}

/// Sink that notes the times of arrival.
#[derive(Default)]
struct Times {
    gaps: u64,
    missed: u64,
    streamed: Duration,
    last: Duration,
}

impl Sink for Times {
    fn on_messages(&mut self, origin: Origin, _: Messages<'_>, now: Duration) {
        self.last = now;
        if origin.source == (Source::Stream { pass: 1 }) {
            self.streamed = now;
        }
    }

    fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
        0
    }

    fn on_gap(&mut self, gap: SeqRange, _: Duration) {
        self.gaps += 1;
        self.missed += gap.len();
    }
}

/// Measures the cost of recording a session whose streams drop packets in runs of `burst`.
///
/// Only the network's latency takes time, so that results are round trips; the time of transfer
/// comes on top. Returns `None` if the recording stays incomplete.
#[must_use]
pub fn measure(
    tape: &Arc<Tape>,
    per_mille: u32,
    burst: u32,
    round_trip: Duration,
    extension: bool,
) -> Option<Cost> {
    // The chance of a run is set so that this share of packets is dropped.
    let chance = Chance::of(per_mille, 1000 * burst)?;
    let mut fault = Fault::loss(chance);
    fault.pick = FaultSelector::Random { chance, burst: Span::one(burst) };
    let scenario = Scenario { extension, keep_last: false, ..Scenario::clean(7).with(fault) };
    let player = MockExchange::new(Arc::clone(tape), scenario);
    let network =
        Network { latency: round_trip / 2, jitter: Duration::ZERO, segment: 0, cut_calls: false };
    let mut world = SimWorld::new(alloc::vec![player], network, 7);
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    let mut times = Times::default();
    world.drive(&mut recorder, &mut times, None).ok()?;
    if !recorder.outcome().is_some_and(Outcome::is_complete)
        || recorder.ledger().highest() < tape.last()
    {
        return None;
    }
    let trips = |time: Duration| time.as_secs_f64() / round_trip.as_secs_f64();
    Some(Cost {
        gaps: times.gaps,
        missed: times.missed,
        calls: recorder.stats().resend_calls,
        passes: u32::try_from(world.exchanges()[0].stats().streams).unwrap_or(u32::MAX),
        after: trips(times.last.saturating_sub(times.streamed)),
        total: trips(recorder.ended_at()?),
    })
}

/// Returns the table as the documentation shows it.
#[must_use]
pub fn table(packets: u64, extension: bool) -> String {
    let tape = Arc::new(Tape::sample(packets));
    let mut text =
        String::from("| loss | dropped in | gaps | packets missed | requests a packet |");
    text += &ROUND_TRIPS.map(|micros| format!(" RTT {} ms |", ms(micros))).concat();
    if !extension {
        text += " streams |";
    }
    text += "\n|---|---|---|---|---|";
    text += &"---|".repeat(ROUND_TRIPS.len() + usize::from(!extension));
    text.push('\n');
    for per_mille in LOSSES {
        for burst in BURSTS {
            let costs: Vec<Option<Cost>> = ROUND_TRIPS
                .iter()
                .map(|&micros| Duration::from_micros(micros.into()))
                .map(|trip| measure(&tape, per_mille, burst, trip, extension))
                .collect();
            text += &row(per_mille, burst, &costs, extension);
        }
    }
    text
}

fn ms(micros: u32) -> String {
    match micros % 1000 {
        0 => format!("{}", micros / 1000),
        _ => format!("0.{}", micros / 100),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be shown")]
fn row(per_mille: u32, burst: u32, costs: &[Option<Cost>], extension: bool) -> String {
    let percent = match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenth => format!("{}.{tenth} %", per_mille / 10),
    };
    let dropped_in = if burst == 1 { "single packets".into() } else { format!("runs of {burst}") };
    // The slowest network comes last and has the most gaps found.
    let Some(Some(cost)) = costs.last() else {
        return format!("| {percent} | {dropped_in} | incomplete |\n");
    };
    let a_packet = cost.calls as f64 / (cost.missed as f64).max(1.0);
    let mut text =
        format!("| {percent} | {dropped_in} | {} | {} | {a_packet:.2} |", cost.gaps, cost.missed);
    for cost in costs {
        text += &match cost {
            Some(cost) => format!(" {:.1} / {:.1} |", cost.after, cost.total),
            None => " incomplete |".into(),
        };
    }
    if !extension {
        text += &format!(" {} |", cost.passes);
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_extension_everything_is_there_two_round_trips_after_the_stream() {
        let tape = Arc::new(Tape::sample(3_000));
        for per_mille in LOSSES {
            for burst in BURSTS {
                for micros in ROUND_TRIPS {
                    let trip = Duration::from_micros(micros.into());
                    let cost = measure(&tape, per_mille, burst, trip, true).unwrap();
                    assert!(
                        cost.after <= 2.0 && cost.total <= 4.0,
                        "{per_mille} {micros}: {cost:?}"
                    );
                    assert!(cost.calls <= cost.missed, "nothing twice: {cost:?}");
                }
            }
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_loss() {
        for (extension, columns) in [(true, 9), (false, 10)] {
            let table = table(60, extension);
            assert_eq!(table.lines().count(), 2 + LOSSES.len() * BURSTS.len());
            assert!(table.lines().all(|row| row.matches('|').count() == columns + 1), "{table}");
            assert!(table.contains("| 0.1 % | runs of 10 |") && table.contains("| 50 % |"));
        }
    }
}
