//! Scan over received frames, one block at a time. The scan has no branch for each packet, because
//! a processor cannot predict before which packet one is missing. It computes in the 32 bits of the
//! wire's sequence field and returns sequences.

use crate::base::seq::{Seq, SeqRange};
use crate::wire::{
    MAX_PACKET_SEQ, RawFrame, fits_at_once, oddness, packet_seq, sequence_field, sequence_of,
    symbol_fits,
};

/// Number of frames that are scanned together.
pub(super) const BLOCK: usize = 64;

/// Block of packets in the usual order of a stream: ascending, above the highest known sequence,
/// with gaps between them. Each packet is scanned without a branch, and the findings are checked
/// once for the whole block.
pub(super) struct AscendingBlock {
    /// First sequence of each gap, and the sequence of the packet behind it.
    gaps: [(u32, u32); BLOCK],
    pub(super) count: usize,
    /// Upper bound of the gaps' lengths: all lengths joined by `|`.
    pub(super) widest: u32,
}

impl AscendingBlock {
    /// Widest gap that this scan accepts. A block of gaps up to this width cannot wrap around the
    /// sequence range.
    const WIDEST: u32 = 1 << 24;

    pub(super) fn new() -> Self {
        Self { gaps: [(0, 0); BLOCK], count: 0, widest: 0 }
    }

    /// Scans a block after which `next` was expected, and returns the range that it spans. Returns
    /// `None` if the block does not ascend from there or contains a frame that is not a packet.
    pub(super) fn of(&mut self, block: &[RawFrame], next: Seq) -> Option<SeqRange> {
        // A packet cannot have a sequence above the field's, so a block cannot ascend from there.
        let next = u32::try_from(next).ok()?;
        let first = block.first().map(sequence_field).filter(|&first| first >= next)?;
        let (mut odd, mut widest, mut expected, mut count) = (0, 0, next, 0);
        for frame in block {
            let seq = sequence_field(frame);
            odd |= oddness(frame);
            let skipped = seq.wrapping_sub(expected);
            // A step back wraps around to a very wide gap, which WIDEST rejects.
            widest |= skipped;
            // Written for every packet, and kept only if there is a gap: a store is cheaper than a
            // branch.
            self.gaps[count % BLOCK] = (expected, seq);
            count += usize::from(skipped != 0);
            expected = seq.wrapping_add(1);
        }
        (self.count, self.widest) = (count, widest);
        let (first, last) = (Seq::from(first), Seq::from(expected.wrapping_sub(1)));
        let rises = odd == 0 && widest <= Self::WIDEST && last <= MAX_PACKET_SEQ;
        SeqRange::new(first, last).filter(|_| rises)
    }

    /// Returns true if the last packet of a block that spans `span` lies behind a gap.
    pub(super) fn jumps_last(&self, span: SeqRange) -> bool {
        self.gaps[..self.count].last().is_some_and(|&(_, end)| Seq::from(end) == span.last())
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let gaps = self.gaps[..self.count].iter();
        gaps.filter_map(|&(first, end)| SeqRange::new(first.into(), Seq::from(end) - 1))
    }
}

/// Boundaries between runs of consecutive packets in a block, one bit for each frame, found without
/// a branch for each frame.
pub(super) struct RunBoundaries {
    /// Bits of frames that are not packets, and of packets without a legal symbol that do not
    /// follow the packet before them.
    odd: u64,
    /// Bits of packets that do not follow the packet before them, and of frames that are not
    /// packets.
    ends: u64,
    len: usize,
}

impl RunBoundaries {
    /// Scans a block. `next` is the sequence after the connection's position.
    pub(super) fn of(block: &[RawFrame], next: Seq) -> Self {
        // No packet has sequence 0, so none follows a position beyond the field's range.
        let mut next = u32::try_from(next).unwrap_or(0);
        let (mut odd, mut strange, mut breaks) = (0, 0, 0);
        for (bit, frame) in block.iter().enumerate() {
            let packet = packet_seq(frame).is_some();
            let seq = sequence_field(frame);
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

    /// Returns true if the packet at index `at` does not follow the packet before it.
    pub(super) fn jumps(&self, at: usize) -> bool {
        self.ends >> at & 1 == 1
    }

    /// Returns true if the frame behind index `at` is not a packet, or lies outside the block.
    pub(super) fn odd_behind(&self, at: usize) -> bool {
        at + 1 == self.len || self.odd >> (at + 1) & 1 == 1
    }

    /// Returns the run of consecutive sequences that begins at index `at`; `None` if there is no
    /// packet.
    pub(super) fn run(&self, block: &[RawFrame], at: usize) -> Option<SeqRange> {
        if self.odd >> at & 1 == 1 {
            return None;
        }
        let first = sequence_of(&block[at]);
        let more = (self.ends >> at >> 1).trailing_zeros();
        let left = (block.len() - at) as u64;
        SeqRange::counted(first, left.min(u64::from(more) + 1))
    }
}
