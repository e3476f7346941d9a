//! The scan over received frames, a block at a time: without a branch for each packet, because
//! whether one was lost before the next cannot be predicted.

use crate::base::seq::{MAX_SEQ, Seq, SeqRange};
use crate::wire::{RawFrame, fits_at_once, oddness, packet_seq, sequence_of, symbol_fits};

/// So many frames are looked at at once.
pub(super) const BLOCK: usize = 64;

/// A block of packets as a stream has them: ascending, above everything known, with gaps between
/// them. Whether one was lost before the next cannot be predicted, so what is found out a packet is
/// found without a branch, and judged once a block.
pub(super) struct AscendingBlock {
    /// Each gap's first sequence and that of the packet behind it.
    gaps: [(Seq, Seq); BLOCK],
    pub(super) count: usize,
    /// No gap is longer: all their lengths, joined by `|`.
    pub(super) widest: u32,
}

impl AscendingBlock {
    /// Longer gaps are for others to judge; so many sequences cannot wrap around within a block.
    const WIDEST: u32 = 1 << 24;

    pub(super) fn new() -> Self {
        Self { gaps: [(0, 0); BLOCK], count: 0, widest: 0 }
    }

    /// What a block spans that goes on where `next` was expected; `None` where it does not rise
    /// from there, or something in it is no packet.
    pub(super) fn of(&mut self, block: &[RawFrame], next: Seq) -> Option<SeqRange> {
        let first = block.first().map(sequence_of).filter(|&first| first >= next)?;
        let (mut odd, mut widest, mut expected, mut count) = (0, 0, next, 0);
        for frame in block {
            let seq = sequence_of(frame);
            odd |= oddness(frame);
            let skipped = seq.wrapping_sub(expected);
            // A step back is a very wide one.
            widest |= skipped;
            // The place of the next gap, whether it is one or not.
            self.gaps[count % BLOCK] = (expected, seq);
            count += usize::from(skipped != 0);
            expected = seq.wrapping_add(1);
        }
        (self.count, self.widest) = (count, widest);
        let last = expected.wrapping_sub(1);
        let rises = odd == 0 && widest <= Self::WIDEST && last <= MAX_SEQ;
        SeqRange::new(first, last).filter(|_| rises)
    }

    /// Returns whether the last packet of a block that spans `span` lies behind a gap.
    pub(super) fn jumps_last(&self, span: SeqRange) -> bool {
        self.gaps[..self.count].last().is_some_and(|&(_, end)| end == span.last())
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let gaps = self.gaps[..self.count].iter();
        gaps.filter_map(|&(first, end)| SeqRange::new(first, end - 1))
    }
}

/// Where a few frames fall apart, a bit for each: found for all of them without a branch, for
/// whether a packet was lost before the next cannot be predicted.
pub(super) struct RunBoundaries {
    /// No packets, and packets without a symbol that do not follow the one before them.
    odd: u64,
    /// Packets that do not follow the one before them, and no packets.
    ends: u64,
    len: usize,
}

impl RunBoundaries {
    /// `next` is the sequence that goes on where the connection is.
    pub(super) fn of(block: &[RawFrame], next: Seq) -> Self {
        let (mut odd, mut strange, mut breaks, mut next) = (0, 0, 0, next);
        for (bit, frame) in block.iter().enumerate() {
            let packet = packet_seq(frame).is_some();
            let seq = sequence_of(frame);
            odd |= u64::from(!packet) << bit;
            strange |= u64::from(!fits_at_once(frame)) << bit;
            breaks |= u64::from(seq != next) << bit;
            next = seq.wrapping_add(1);
        }
        strange &= breaks;
        while strange != 0 {
            let bit = strange.trailing_zeros();
            odd |= u64::from(!symbol_fits(&block[bit as usize])) << bit;
            strange &= strange - 1;
        }
        Self { odd, ends: odd | breaks, len: block.len() }
    }

    /// Returns whether the packet at this place does not follow the one before it.
    pub(super) fn jumps(&self, at: usize) -> bool {
        self.ends >> at & 1 == 1
    }

    /// Returns whether what comes behind the packet at this place is no packet, or unknown here.
    pub(super) fn odd_behind(&self, at: usize) -> bool {
        at + 1 == self.len || self.odd >> (at + 1) & 1 == 1
    }

    /// The contiguous sequences from `at` on, a place in the block; `None` where no packet is.
    pub(super) fn run(&self, block: &[RawFrame], at: usize) -> Option<SeqRange> {
        if self.odd >> at & 1 == 1 {
            return None;
        }
        let first = sequence_of(&block[at]);
        let more = (self.ends >> at >> 1).trailing_zeros();
        let left = u32::try_from(block.len() - at).unwrap_or(0);
        SeqRange::counted(first, left.min(more + 1))
    }
}
