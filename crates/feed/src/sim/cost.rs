//! Cost of recovery by loss and round-trip time, as tables for people.

use super::groups::{DatagramNetwork, GroupWorld};
use super::{Network, SimWorld};
use crate::base::chance::Chance;
use crate::base::seq::SeqRange;
use crate::base::span::Span;
use crate::client::{LineProtocol, MoldFeed, Outcome, Recorder, RecorderOptions};
use crate::exchange::server::MockExchange;
use crate::exchange::server::mold::{DatagramLimits, LineOptions};
use crate::faults::scenario::{Fault, FaultSelector, Scenario};
use crate::ledger::{Origin, Sink, Source};
use crate::tape::in_memory::Tape;
use crate::wire::Messages;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// Loss rates, in packets or datagrams of 1000.
const LOSSES: [u32; 6] = [1, 10, 50, 100, 250, 500];
/// Round-trip times, in microseconds.
const ROUND_TRIPS: [u32; 4] = [100, 1_000, 20_000, 250_000];
/// Lengths of runs of lost packets or datagrams.
const BURSTS: [u32; 2] = [1, 10];

/// Exchange that a session is recorded from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeKind {
    /// Exchange of the original protocol: nothing says where the session ends.
    Original,
    /// Exchange that speaks the extension.
    Extended,
    /// Exchange that sends datagrams of one message in MoldUDP64, and answers likewise.
    Mold,
}

impl ExchangeKind {
    /// Returns the loss rates of the kind's table, in packets or datagrams of 1000.
    fn losses(self) -> &'static [u32] {
        match self {
            Self::Original | Self::Extended => &LOSSES,
            // Half of all requests and of all answers would be lost as well.
            Self::Mold => &LOSSES[..5],
        }
    }
}

/// Conditions under which the cost of a recovery is measured.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Packets or datagrams of 1000 that are lost.
    pub per_mille: u32,
    /// Number of packets or datagrams that are lost in a row.
    pub burst: u32,
    /// Round-trip time of the network.
    pub round_trip: Duration,
}

/// Cost of a recovery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Number of gaps found.
    pub gaps: u64,
    /// Number of messages missed.
    pub missed: u64,
    /// Number of requests sent.
    pub requests: u64,
    /// Number of streams requested. MoldUDP64 has none.
    pub streams: u64,
    /// Time from the end of the first stream, or from the last datagram that was sent to all, to
    /// the last message, in round trips.
    pub after: f64,
    /// Time from the start until the recording is known to be complete, in round trips.
    pub total: f64,
}

/// Sink that notes the times of arrival.
#[derive(Default)]
struct Times {
    gaps: u64,
    missed: u64,
    /// Time of the last message of the first stream, or of a datagram that was sent to all.
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

/// Measures the cost of recording a session of which packets or datagrams are lost.
///
/// MoldUDP64 loses requests and answers with the same chance. Only the network's latency takes
/// time, so that results are round trips; the time of transfer comes on top. Returns `None` if the
/// recording stays incomplete.
#[must_use]
pub fn measure(tape: &Arc<Tape>, kind: ExchangeKind, conditions: Conditions) -> Option<Cost> {
    let mut times = Times::default();
    let (recorder, streams) = match kind {
        ExchangeKind::Original | ExchangeKind::Extended => {
            record_streams(tape, kind, conditions, &mut times)?
        }
        ExchangeKind::Mold => (record_datagrams(tape, conditions, &mut times)?, 0),
    };
    if !recorder.outcome().is_some_and(Outcome::is_complete)
        || recorder.ledger().highest() < tape.last()
    {
        return None;
    }
    let trips = |time: Duration| time.as_secs_f64() / conditions.round_trip.as_secs_f64();
    let requests = match kind {
        ExchangeKind::Original | ExchangeKind::Extended => recorder.stats().resend_calls,
        ExchangeKind::Mold => recorder.request_stats().sent,
    };
    Some(Cost {
        gaps: times.gaps,
        missed: times.missed,
        requests,
        streams,
        after: trips(times.last.saturating_sub(times.streamed)),
        total: trips(recorder.ended_at()?),
    })
}

/// Records a session whose streams drop packets in runs. Returns the recorder, and the number of
/// streams that it has requested.
fn record_streams(
    tape: &Arc<Tape>,
    kind: ExchangeKind,
    conditions: Conditions,
    times: &mut Times,
) -> Option<(Recorder, u64)> {
    let Conditions { per_mille, burst, round_trip } = conditions;
    // The chance of a run is set so that this share of packets is dropped.
    let chance = Chance::of(per_mille, 1000 * burst)?;
    let mut fault = Fault::loss(chance);
    fault.pick = FaultSelector::Random { chance, burst: Span::one(burst) };
    let extension = kind == ExchangeKind::Extended;
    let scenario = Scenario { extension, keep_last: false, ..Scenario::clean(7).with(fault) };
    let exchange = MockExchange::new(Arc::clone(tape), scenario);
    let network =
        Network { latency: round_trip / 2, jitter: Duration::ZERO, segment: 0, cut_calls: false };
    let mut world = SimWorld::new(alloc::vec![exchange], network, 7);
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    world.drive(&mut recorder, times, None).ok()?;
    Some((recorder, world.exchanges()[0].stats().streams))
}

/// Records a session in MoldUDP64 that loses datagrams of one message in runs.
fn record_datagrams(
    tape: &Arc<Tape>,
    conditions: Conditions,
    times: &mut Times,
) -> Option<Recorder> {
    let Conditions { per_mille, burst, round_trip } = conditions;
    let limits = DatagramLimits { messages: 1, ..DatagramLimits::default() };
    let options = LineOptions { limits, request_rate: 1_000_000, ..LineOptions::default() };
    let exchange = MockExchange::new(Arc::clone(tape), Scenario::clean(7)).with_line(options);
    let network = DatagramNetwork {
        latency: round_trip / 2,
        lost: per_mille / burst,
        burst,
        requests_lost: per_mille / 2,
        // A lost end would only measure the second until the next one.
        keeps_ends: true,
        ..DatagramNetwork::default()
    };
    let mut world = GroupWorld::new(alloc::vec![exchange], network, 7);
    let lines = [LineProtocol::Mold(MoldFeed { servers: 1 })];
    let mut recorder = Recorder::new(RecorderOptions::default(), lines);
    world.drive(&mut recorder, times, None).ok()?;
    Some(recorder)
}

/// Returns the table of an exchange as the documentation shows it.
#[must_use]
pub fn table(kind: ExchangeKind, messages: u64) -> String {
    let tape = Arc::new(Tape::sample(messages));
    let mut text = String::from(match kind {
        ExchangeKind::Mold => "| loss | lost in | gaps | messages missed | requests a gap |",
        _ => "| loss | dropped in | gaps | packets missed | requests a packet |",
    });
    text += &ROUND_TRIPS.map(|micros| format!(" RTT {} ms |", ms(micros))).concat();
    let has_streams = kind == ExchangeKind::Original;
    if has_streams {
        text += " streams |";
    }
    text += "\n|---|---|---|---|---|";
    text += &"---|".repeat(ROUND_TRIPS.len() + usize::from(has_streams));
    text.push('\n');
    for &per_mille in kind.losses() {
        for burst in BURSTS {
            let costs = ROUND_TRIPS.map(|micros| {
                let round_trip = Duration::from_micros(micros.into());
                measure(&tape, kind, Conditions { per_mille, burst, round_trip })
            });
            text += &row(kind, per_mille, burst, &costs);
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
fn row(kind: ExchangeKind, per_mille: u32, burst: u32, costs: &[Option<Cost>]) -> String {
    let percent = match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenth => format!("{}.{tenth} %", per_mille / 10),
    };
    let is_mold = kind == ExchangeKind::Mold;
    let lost_in = match (burst, is_mold) {
        (1, false) => "single packets".into(),
        (1, true) => "single datagrams".into(),
        _ => format!("runs of {burst}"),
    };
    // The slowest network comes last and has the most gaps found.
    let Some(Some(cost)) = costs.last() else {
        return format!("| {percent} | {lost_in} | incomplete |\n");
    };
    let requested = if is_mold { cost.gaps } else { cost.missed };
    let ratio = cost.requests as f64 / (requested as f64).max(1.0);
    let mut text =
        format!("| {percent} | {lost_in} | {} | {} | {ratio:.2} |", cost.gaps, cost.missed);
    for cost in costs {
        text += &match cost {
            // The end of a session in MoldUDP64 is repeated each second, whatever the distance is.
            Some(cost) if is_mold => format!(" {:.1} |", cost.after),
            Some(cost) => format!(" {:.1} / {:.1} |", cost.after, cost.total),
            None => " incomplete |".into(),
        };
    }
    if kind == ExchangeKind::Original {
        text += &format!(" {} |", cost.streams);
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
                    let round_trip = Duration::from_micros(micros.into());
                    let conditions = Conditions { per_mille, burst, round_trip };
                    let cost = measure(&tape, ExchangeKind::Extended, conditions).unwrap();
                    assert!(
                        cost.after <= 2.0 && cost.total <= 4.0,
                        "{per_mille} {micros}: {cost:?}"
                    );
                    assert!(cost.requests <= cost.missed, "nothing twice: {cost:?}");
                }
            }
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_loss() {
        for (kind, columns) in
            [(ExchangeKind::Extended, 9), (ExchangeKind::Original, 10), (ExchangeKind::Mold, 9)]
        {
            let table = table(kind, 60);
            assert_eq!(table.lines().count(), 2 + kind.losses().len() * BURSTS.len());
            assert!(table.lines().all(|row| row.matches('|').count() == columns + 1), "{table}");
            assert!(table.contains("| 0.1 % | runs of 10 |") && table.contains("| 25 % |"));
        }
    }
}
