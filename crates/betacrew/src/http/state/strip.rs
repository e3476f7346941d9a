//! The sequence strip of an exchange: what its streams sent and dropped, cell by cell.

use crate::http::state::StripView;
use feed::faults::engine::FaultTally;

/// Returns the sequences `from` to `to` (to the last one, if that is `None`) of a tape that ends
/// with `last`, in up to `cells` cells.
///
/// Where cells are asked for that are narrower than what is counted, each gets its share. Shares
/// are rounded so that those of all cells add up to exactly what was counted.
pub(crate) fn of(tally: &FaultTally, last: u32, asked: (u32, Option<u32>, u32)) -> StripView {
    let (from, to, cells) = asked;
    let last = last.max(1);
    let to = to.unwrap_or(last).min(last);
    let exact = tally.width();
    if from > to {
        return StripView { from, to, width: 1, exact, cells: Vec::new() };
    }
    let width = (to - from + 1).div_ceil(cells);
    let mut strip = Vec::with_capacity(cells as usize);
    let mut first = from;
    while first <= to {
        let end = first.saturating_add(width - 1).min(to);
        strip.push(sum(tally, last, first, end));
        first = end + 1;
    }
    StripView { from, to, width, exact, cells: strip }
}

/// Returns what was sent, resent and dropped from `first` to `end`.
fn sum(tally: &FaultTally, last: u32, first: u32, end: u32) -> [u64; 4] {
    let (exact, mut sum) = (tally.width(), [0_u64; 4]);
    for at in first / exact..=end / exact {
        let Some(cell) = tally.cells().get(at as usize) else { break };
        // Sequence 0 does not exist, and the last cell ends with the tape.
        let start = (at * exact).max(1);
        let stop = (at * exact).saturating_add(exact - 1).min(last);
        let all = u64::from(stop + 1 - start);
        let before = |seq: u32| u64::from(seq.clamp(start, stop + 1) - start);
        let share = |counted: u64| {
            // The cell is within what is asked for, as most are: nothing is to be divided.
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

/// Returns `counted * some / all`, rounded down, where `some` is no more than `all`.
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
    use feed::wire::Call;
    use std::sync::Arc;
    use std::time::Duration;

    /// An exchange that loses a quarter of its packets, and has streamed its tape once.
    fn quarter(packets: u32) -> MockExchange {
        let fault = Fault::loss("25%".parse().unwrap());
        let tape = Arc::new(Tape::random(packets, 1));
        let mut player = MockExchange::new(tape, Scenario::clean(7).with(fault));
        stream(&mut player);
        player
    }

    fn call(player: &mut MockExchange, calls: &[Call]) -> ServerConnection {
        let (mut seat, mut bytes) = (player.open(Duration::ZERO), Vec::new());
        calls.iter().for_each(|call| call.encode(&mut bytes));
        player.receive(&mut seat, &bytes, Duration::ZERO);
        seat
    }

    fn stream(player: &mut MockExchange) {
        let (mut seat, mut out) = (call(player, &[Call::Stream]), vec![0; 1 << 16]);
        loop {
            let count = player.peek(&mut seat, &mut out, Duration::ZERO);
            player.sent(&mut seat, count, Duration::ZERO);
            if count == 0 {
                break;
            }
        }
        player.step(&mut seat, Duration::ZERO);
    }

    fn total(strip: &StripView) -> [u64; 4] {
        let add = |sum: [u64; 4], cell: &[u64; 4]| std::array::from_fn(|at| sum[at] + cell[at]);
        strip.cells.iter().fold([0; 4], add)
    }

    fn whole(player: &MockExchange, cells: u32) -> StripView {
        let last = player.tape().last();
        of(player.faults().tally(), last, (1, None, cells))
    }

    #[test]
    fn cells_of_any_width_add_up_to_what_was_counted() {
        for packets in [1, 14, 100, 4095, 4096, 5000, 65_535, 100_000] {
            let player = quarter(packets);
            let counted = player.faults().tally().total();
            assert_eq!(counted.sent + counted.dropped, u64::from(packets));
            for cells in [1, 7, 64, 1000, 4000] {
                let strip = whole(&player, cells);
                let expected = [counted.sent, 0, counted.dropped, 0];
                assert_eq!(total(&strip), expected, "{packets} in {cells} cells");
            }
        }
    }

    #[test]
    fn a_loss_of_25_percent_stays_25_percent_after_everything_was_resent() {
        let mut player = quarter(100_000);
        let before = total(&whole(&player, 1000));
        let share = before[2] as f64 / (before[0] + before[2]) as f64;
        assert!((0.24..0.26).contains(&share), "{share}");
        let resend = Call::ResendRange { first: 1, count: 100_000 };
        call(&mut player, &[Call::Describe { version: 1 }, resend]);
        let after = total(&whole(&player, 1000));
        assert_eq!([after[0], after[2], after[1]], [before[0], before[2], 100_000]);
    }

    #[test]
    fn a_later_stream_without_losses_does_not_hide_the_earlier_ones() {
        let mut player = quarter(14);
        let before = whole(&player, 14).cells;
        assert!(before.iter().any(|cell| cell[2] == 1));
        player.set_scenario(Scenario::clean(7));
        stream(&mut player);
        let after = whole(&player, 14).cells;
        let expected: Vec<[u64; 4]> =
            before.iter().map(|&[sent, _, dropped, _]| [sent + 1, 0, dropped, 0]).collect();
        assert_eq!(after, expected);
    }

    #[test]
    fn shares_of_very_much_are_exact() {
        assert_eq!(part(7, 3, 4), 5);
        assert_eq!(part(u64::MAX, 4, 4), u64::MAX);
        assert_eq!(part(u64::MAX, 1, 2), u64::MAX / 2);
    }

    #[test]
    fn a_range_that_is_not_there_is_empty() {
        let player = quarter(14);
        assert!(of(player.faults().tally(), 14, (15, None, 10)).cells.is_empty());
    }
}
