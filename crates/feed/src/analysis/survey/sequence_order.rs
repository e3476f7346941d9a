//! Sequences as they ascend, and what is missing between them.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::wire::{RawFrame, sequence_of};
use core::fmt;

/// What is missing: all of it counted, the first ranges of it listed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct MissingRanges {
    listed: SeqSet,
    limit: usize,
    gaps: u64,
    packets: u64,
}

impl MissingRanges {
    /// Lists up to `limit` gaps.
    #[must_use]
    pub fn listing(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Adds a gap above all others.
    pub fn add(&mut self, gap: SeqRange) {
        if self.listed.ranges().len() < self.limit {
            self.listed.insert(gap);
        }
        self.gaps += 1;
        self.packets += u64::from(gap.len());
    }

    /// The first of them.
    #[must_use]
    pub fn listed(&self) -> &SeqSet {
        &self.listed
    }

    /// How many gaps there are that are not listed.
    #[must_use]
    pub fn unlisted(&self) -> u64 {
        self.gaps - self.listed.ranges().len() as u64
    }

    /// How many gaps there are.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How many packets are missing.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps == 0
    }
}

/// A sequence that is not above the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disorder {
    /// Which packet of the recording it is, from 1.
    pub packet: u64,
    /// Its sequence.
    pub seq: Seq,
    /// The highest sequence before it.
    pub after: Seq,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packet, seq, after } = self;
        write!(f, "packet {packet} in it has sequence {seq}, after {after}: they must ascend")
    }
}

impl core::error::Error for Disorder {}

/// Sees that packets ascend from [`FIRST_SEQ`] on, and what is missing between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceOrder {
    next: Seq,
    packets: u64,
    missing: MissingRanges,
}

impl Default for SequenceOrder {
    fn default() -> Self {
        Self::listing(0)
    }
}

impl SequenceOrder {
    /// Lists up to `limit` gaps.
    #[must_use]
    pub fn listing(limit: usize) -> Self {
        Self { next: FIRST_SEQ, packets: 0, missing: MissingRanges::listing(limit) }
    }

    /// Takes packets, and tells `run` each contiguous piece of them.
    ///
    /// # Errors
    /// At the first sequence that is not above those before it.
    pub fn take(
        &mut self,
        frames: &[RawFrame],
        mut run: impl FnMut(SeqRange),
    ) -> Result<(), Disorder> {
        let mut rest = frames;
        while let Some(frame) = rest.first() {
            let first = sequence_of(frame);
            if first < self.next || first > MAX_SEQ {
                let (packet, after) = (self.packets + 1, self.next - 1);
                return Err(Disorder { packet, seq: first, after });
            }
            SeqRange::new(self.next, first - 1).into_iter().for_each(|gap| self.missing.add(gap));
            let len = (first..=MAX_SEQ)
                .zip(rest)
                .take_while(|(seq, frame)| sequence_of(frame) == *seq)
                .count();
            let last = first + u32::try_from(len - 1).unwrap_or(0);
            SeqRange::new(first, last).into_iter().for_each(&mut run);
            self.packets += len as u64;
            self.next = last + 1;
            rest = &rest[len..];
        }
        Ok(())
    }

    /// Everything up to `last` exists: what has not come by now is missing.
    pub fn reaches(&mut self, last: Seq) {
        if let Some(tail) = SeqRange::new(self.next, last.min(MAX_SEQ)) {
            self.missing.add(tail);
        }
    }

    /// The highest sequence that came; 0 where there is none.
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.next - 1
    }

    /// How many packets came.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// What is missing.
    #[must_use]
    pub fn missing(&self) -> &MissingRanges {
        &self.missing
    }
}
