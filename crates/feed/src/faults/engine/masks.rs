//! Masks: which of a block's 64 sequences a set, a divisor or a run of bits has.

use super::BLOCK;
use crate::base::seq::{MAX_SEQ, Seq, SeqRange, SeqSet, to_index};

/// Returns the mask of the sequences of a block that are in a set.
pub(super) fn set_mask(set: &SeqSet, block: u64) -> u64 {
    let start = block * BLOCK;
    let Some(all) = SeqRange::new(start, (start + (BLOCK - 1)).min(MAX_SEQ)) else { return 0 };
    let from = set.ranges().partition_point(|range| range.last() < start);
    let inside = set.ranges()[from..].iter().map_while(|range| range.intersect(all));
    inside.fold(0, |mask, part| mask | bit_run(part.first() - start, part.len()))
}

/// Returns a mask of `count` bits (1 to 64) from bit `from` on, cut off at bit 64.
pub(super) fn bit_run(from: u64, count: u64) -> u64 {
    u64::MAX >> (BLOCK - count.min(BLOCK)) << from
}

/// Returns the mask of the sequences of a block that `n` divides.
pub(super) fn multiples_mask(n: u32, block: u64) -> u64 {
    let n = u64::from(n.max(1));
    let start = block * BLOCK;
    let first = (n - start % n) % n;
    (first..BLOCK).step_by(to_index(n)).fold(0, |mask, bit| mask | 1 << bit)
}

/// Returns the mask of the sequences of a block that lie in bursts, which may begin before it.
pub(super) fn burst_mask(
    block: u64,
    longest: u32,
    starts: impl Fn(u64) -> u64,
    length: impl Fn(Seq) -> u32,
) -> u64 {
    let begin = block * BLOCK;
    let mut mask = 0;
    for from in block.saturating_sub(u64::from(longest).div_ceil(BLOCK))..=block {
        let mut left = starts(from);
        while left != 0 {
            let start = from * BLOCK + u64::from(left.trailing_zeros());
            left &= left - 1;
            let stop = start + u64::from(length(start));
            let reach = stop.saturating_sub(begin);
            match start.checked_sub(begin) {
                Some(bit) if stop > start => mask |= bit_run(bit, reach - bit),
                None if reach > 0 => mask |= bit_run(0, reach),
                _ => {}
            }
        }
    }
    mask
}
