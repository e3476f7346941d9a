//! Cost of recovery over MoldUDP64 by loss and round-trip time, as a table for people.

use super::{DatagramNetwork, GroupWorld};
use crate::base::seq::SeqRange;
use crate::client::{LineProtocol, MoldFeed, Outcome, Recorder, RecorderOptions};
use crate::exchange::server::MockExchange;
use crate::exchange::server::mold::{DatagramLimits, LineOptions};
use crate::faults::scenario::Scenario;
use crate::ledger::{Origin, Sink, Source};
use crate::tape::in_memory::Tape;
use crate::wire::Messages;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Chances of loss, in datagrams of 1000.
const LOSSES: [u32; 5] = [1, 10, 50, 100, 250];
/// Round-trip times, in microseconds.
const ROUND_TRIPS: [u32; 4] = [100, 1_000, 20_000, 250_000];
/// Lengths of runs of lost datagrams.
const BURSTS: [u32; 2] = [1, 10];

/// Cost of a recovery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GroupCost {
    /// Number of gaps found.
    pub gaps: u64,
    /// Number of messages missed.
    pub missed: u64,
    /// Number of requests sent.
    pub requests: u64,
    /// Time from the last datagram of the group to the last message, in round trips.
    pub after: f64,
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
        if origin.source != Source::Resend {
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

/// Measures the cost of recording a session that loses datagrams of one message in runs of `burst`,
/// and requests and answers with the same chance. An answer has one message, too.
///
/// Only the network's latency takes time. Returns `None` if the recording stays incomplete.
#[must_use]
pub fn measure(
    tape: &Arc<Tape>,
    per_mille: u32,
    burst: u32,
    round_trip: Duration,
) -> Option<GroupCost> {
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
    let mut times = Times::default();
    world.drive(&mut recorder, &mut times, None).ok()?;
    if !recorder.outcome().is_some_and(Outcome::is_complete) {
        return None;
    }
    let after = times.last.saturating_sub(times.streamed);
    Some(GroupCost {
        gaps: times.gaps,
        missed: times.missed,
        requests: recorder.request_stats().sent,
        after: after.as_secs_f64() / round_trip.as_secs_f64(),
    })
}

/// Returns the table as the documentation shows it.
#[must_use]
pub fn table(messages: u64) -> String {
    let tape = Arc::new(Tape::sample(messages));
    let mut text = String::from("| loss | lost in | gaps | messages missed | requests a gap |");
    for micros in ROUND_TRIPS {
        text += &match micros {
            ..1_000 => format!(" RTT 0.{} ms |", micros / 100),
            _ => format!(" RTT {} ms |", micros / 1_000),
        };
    }
    text += "\n|---|---|---|---|---|---|---|---|---|\n";
    for per_mille in LOSSES {
        for burst in BURSTS {
            let trips = ROUND_TRIPS.map(|micros| Duration::from_micros(micros.into()));
            let costs: Vec<_> =
                trips.iter().map(|trip| measure(&tape, per_mille, burst, *trip)).collect();
            text += &row(per_mille, burst, &costs);
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be shown")]
fn row(per_mille: u32, burst: u32, costs: &[Option<GroupCost>]) -> String {
    let lost_in = if burst == 1 { "single datagrams".into() } else { format!("runs of {burst}") };
    let percent = match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenth => format!("{}.{tenth} %", per_mille / 10),
    };
    let Some(Some(cost)) = costs.last() else {
        return format!("| {percent} | {lost_in} | incomplete |\n");
    };
    let a_gap = cost.requests as f64 / (cost.gaps as f64).max(1.0);
    let (gaps, missed) = (cost.gaps, cost.missed);
    let mut text = format!("| {percent} | {lost_in} | {gaps} | {missed} | {a_gap:.2} |");
    for cost in costs {
        text += &cost.map_or(" incomplete |".into(), |cost| format!(" {:.1} |", cost.after));
    }
    text + "\n"
}
