//! Sequence strip of an exchange: counts of sent, resent and dropped packets, cell by cell.

use crate::http::state::StripView;
use feed::base::seq::{Seq, to_index};
use feed::faults::engine::FaultTally;

/// Returns the counts of `range`, which is `(from, to, cells)`, in at most `cells` cells. `last` is
/// the last sequence of the tape, and the default of `to`.
///
/// The tally counts in blocks of sequences. A cell narrower than a block gets its share of the
/// block; shares are rounded so that all cells add up to exactly the counts of the tally.
pub(crate) fn of(tally: &FaultTally, last: u64, range: (Seq, Option<Seq>, u32)) -> StripView {
    let (from, to, cells) = range;
    let last = last.max(1);
    let to = to.unwrap_or(last).min(last);
    let exact = tally.width();
    if from > to {
        return StripView { from, to, width: 1, exact, cells: Vec::new() };
    }
    let width = (to - from + 1).div_ceil(cells.into());
    let mut strip = Vec::with_capacity(cells as usize);
    let mut first = from;
    while first <= to {
        let end = first.saturating_add(width - 1).min(to);
        strip.push(sum(tally, last, first, end));
        first = end + 1;
    }
    StripView { from, to, width, exact, cells: strip }
}

/// Returns the packets sent, resent and dropped from `first` to `end`; the fourth count is 0.
fn sum(tally: &FaultTally, last: u64, first: u64, end: u64) -> [u64; 4] {
    let (exact, mut sum) = (tally.width(), [0_u64; 4]);
    for at in first / exact..=end / exact {
        let Some(cell) = tally.cells().get(to_index(at)) else { break };
        // Sequence 0 does not exist, and the last cell ends with the tape.
        let start = (at * exact).max(1);
        let stop = (at * exact).saturating_add(exact - 1).min(last);
        let all = stop + 1 - start;
        let before = |seq: u64| seq.clamp(start, stop + 1) - start;
        let share = |counted: u64| {
            // Most blocks lie wholly within the range, so nothing is divided.
            if counted == 0 || (first <= start && stop <= end) {
                return counted;
            }
            part(counted, before(end + 1), all) - part(counted, before(first), all)
        };
        for (sum, counted) in sum.iter_mut().zip([cell.sent, cell.resent, cell.dropped]) {
            *sum += share(counted);
        }
    }
    sum
}

/// Returns `counted * some / all`, rounded down. `some` must be at most `all`.
fn part(counted: u64, some: u64, all: u64) -> u64 {
    match counted.checked_mul(some) {
        Some(product) => product / all,
        None => {
            let part = u128::from(counted) * u128::from(some) / u128::from(all);
            u64::try_from(part).unwrap_or(counted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::exchange::Exchange;
    use feed::exchange::server::{MockExchange, ServerConnection};
    use feed::faults::scenario::{Fault, Scenario};
    use feed::tape::in_memory::Tape;
    use feed::wire::{Call, Protocol};
    use std::sync::Arc;
    use std::time::Duration;

    /// Returns an exchange that drops a quarter of its packets and has streamed its tape once.
    fn quarter(packets: u64) -> MockExchange {
        let fault = Fault::loss("25%".parse().unwrap());
        let tape = Arc::new(Tape::random(packets, 1));
        let mut exchange = MockExchange::new(tape, Scenario::clean(7).with(fault));
        stream(&mut exchange);
        exchange
    }

    fn call(exchange: &mut MockExchange, calls: &[Call]) -> ServerConnection {
        let (mut connection, mut bytes) =
            (exchange.open(Protocol::Betacrew, Duration::ZERO), Vec::new());
        calls.iter().for_each(|call| call.encode(&mut bytes));
        exchange.receive(&mut connection, &bytes, Duration::ZERO);
        connection
    }

    fn stream(exchange: &mut MockExchange) {
        let (mut connection, mut out) = (call(exchange, &[Call::Stream]), vec![0; 1 << 16]);
        loop {
            let count = exchange.peek(&mut connection, &mut out, Duration::ZERO);
            exchange.sent(&mut connection, count, Duration::ZERO);
            if count == 0 {
                break;
            }
        }
        exchange.step(&mut connection, Duration::ZERO);
    }

    fn total(strip: &StripView) -> [u64; 4] {
        let add = |sum: [u64; 4], cell: &[u64; 4]| std::array::from_fn(|at| sum[at] + cell[at]);
        strip.cells.iter().fold([0; 4], add)
    }

    fn whole(exchange: &MockExchange, cells: u32) -> StripView {
        let last = exchange.tape().last();
        of(exchange.faults().tally(), last, (1, None, cells))
    }

    #[test]
    fn cells_of_any_width_add_up_to_what_was_counted() {
        for packets in [1, 14, 100, 4095, 4096, 5000, 65_535, 100_000] {
            let exchange = quarter(packets);
            let counted = exchange.faults().tally().total();
            assert_eq!(counted.sent + counted.dropped, packets);
            for cells in [1, 7, 64, 1000, 4000] {
                let strip = whole(&exchange, cells);
                let expected = [counted.sent, 0, counted.dropped, 0];
                assert_eq!(total(&strip), expected, "{packets} in {cells} cells");
            }
        }
    }

    #[test]
    fn a_drop_rate_of_25_percent_stays_25_percent_after_every_packet_is_resent() {
        let mut exchange = quarter(100_000);
        let before = total(&whole(&exchange, 1000));
        let share = before[2] as f64 / (before[0] + before[2]) as f64;
        assert!((0.24..0.26).contains(&share), "{share}");
        let resend = Call::ResendRange { first: 1, count: 100_000 };
        call(&mut exchange, &[Call::Describe { version: 1 }, resend]);
        let after = total(&whole(&exchange, 1000));
        assert_eq!([after[0], after[2], after[1]], [before[0], before[2], 100_000]);
    }

    #[test]
    fn a_later_stream_without_drops_does_not_hide_earlier_drops() {
        let mut exchange = quarter(14);
        let before = whole(&exchange, 14).cells;
        assert!(before.iter().any(|cell| cell[2] == 1));
        exchange.set_scenario(Scenario::clean(7));
        stream(&mut exchange);
        let after = whole(&exchange, 14).cells;
        let expected: Vec<[u64; 4]> =
            before.iter().map(|&[sent, _, dropped, _]| [sent + 1, 0, dropped, 0]).collect();
        assert_eq!(after, expected);
    }

    #[test]
    fn shares_of_huge_counts_are_exact() {
        assert_eq!(part(7, 3, 4), 5);
        assert_eq!(part(u64::MAX, 4, 4), u64::MAX);
        assert_eq!(part(u64::MAX, 1, 2), u64::MAX / 2);
    }

    #[test]
    fn a_range_beyond_the_tape_is_empty() {
        let exchange = quarter(14);
        assert!(of(exchange.faults().tally(), 14, (15, None, 10)).cells.is_empty());
    }
}
