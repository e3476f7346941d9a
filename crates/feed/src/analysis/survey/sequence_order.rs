//! Check that sequences ascend, and the ranges missing between them.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::wire::{MAX_PACKET_SEQ, Messages, RawFrame, sequence_of};
use core::fmt;

/// Missing ranges: all are counted, the first ones are listed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct MissingRanges {
    listed: SeqSet,
    limit: usize,
    gaps: u64,
    packets: u64,
}

impl MissingRanges {
    /// Creates an empty list of up to `limit` gaps.
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
        self.packets += gap.len();
    }

    /// Returns the gaps that are listed, the first ones.
    #[must_use]
    pub fn listed(&self) -> &SeqSet {
        &self.listed
    }

    /// Returns the number of gaps that are not listed.
    #[must_use]
    pub fn unlisted(&self) -> u64 {
        self.gaps - self.listed.ranges().len() as u64
    }

    /// Returns the number of gaps.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Returns the number of missing packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns true if nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps == 0
    }
}

/// Error: a sequence is not above the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disorder {
    /// Position of the packet in the recording, from 1.
    pub packet: u64,
    /// Sequence of the packet.
    pub seq: Seq,
    /// Highest sequence before the packet.
    pub after: Seq,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packet, seq, after } = self;
        write!(f, "packet {packet} in it has sequence {seq}, after {after}: they must ascend")
    }
}

impl core::error::Error for Disorder {}

/// Checker that packets ascend from [`FIRST_SEQ`] on; collects the ranges missing between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceOrder {
    next: Seq,
    packets: u64,
    has_runs: bool,
    missing: MissingRanges,
}

impl Default for SequenceOrder {
    fn default() -> Self {
        Self::listing(0)
    }
}

impl SequenceOrder {
    /// Creates a checker that lists up to `limit` gaps.
    #[must_use]
    pub fn listing(limit: usize) -> Self {
        let missing = MissingRanges::listing(limit);
        Self { next: FIRST_SEQ, packets: 0, has_runs: false, missing }
    }

    /// Returns whether there are messages that are no order packets.
    #[must_use]
    pub fn has_runs(&self) -> bool {
        self.has_runs
    }

    /// Takes messages, and calls `run` with each range of consecutive ones.
    ///
    /// # Errors
    /// Returns the first sequence that is not above those before it.
    pub fn take(
        &mut self,
        messages: Messages<'_>,
        mut run: impl FnMut(SeqRange),
    ) -> Result<(), Disorder> {
        let range = match messages {
            Messages::Packets(frames) => return self.take_packets(frames, run),
            Messages::Run(run) => run.range(),
        };
        self.has_runs = true;
        if range.first() < self.next {
            let (packet, after) = (self.packets + 1, self.next - 1);
            return Err(Disorder { packet, seq: range.first(), after });
        }
        let gap = SeqRange::new(self.next, range.first() - 1);
        gap.into_iter().for_each(|gap| self.missing.add(gap));
        run(range);
        self.packets += messages.len();
        self.next = range.last() + 1;
        Ok(())
    }

    fn take_packets(
        &mut self,
        frames: &[RawFrame],
        mut run: impl FnMut(SeqRange),
    ) -> Result<(), Disorder> {
        let mut rest = frames;
        while let Some(frame) = rest.first() {
            let first = sequence_of(frame);
            if first < self.next || first > MAX_PACKET_SEQ {
                let (packet, after) = (self.packets + 1, self.next - 1);
                return Err(Disorder { packet, seq: first, after });
            }
            SeqRange::new(self.next, first - 1).into_iter().for_each(|gap| self.missing.add(gap));
            let len = (first..=MAX_PACKET_SEQ)
                .zip(rest)
                .take_while(|(seq, frame)| sequence_of(frame) == *seq)
                .count();
            let last = first + (len as u64 - 1);
            SeqRange::new(first, last).into_iter().for_each(&mut run);
            self.packets += len as u64;
            self.next = last + 1;
            rest = &rest[len..];
        }
        Ok(())
    }

    /// Records that packets up to `last` exist; those that were not taken are missing.
    pub fn reaches(&mut self, last: Seq) {
        if let Some(tail) = SeqRange::new(self.next, last.min(MAX_SEQ)) {
            self.missing.add(tail);
        }
    }

    /// Returns the highest sequence taken; 0 if there is none.
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.next - 1
    }

    /// Returns the number of packets taken.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the missing ranges.
    #[must_use]
    pub fn missing(&self) -> &MissingRanges {
        &self.missing
    }
}
