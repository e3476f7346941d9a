//! Comparison of two recordings of a session.

use crate::analysis::survey::MissingRanges;
use crate::base::seq::{Seq, SeqRange};
use crate::wire::Messages;
use alloc::vec::Vec;

/// Maximum number of different messages that are kept to be shown.
pub const SHOWN: usize = 8;

/// Ascending sequences, joined to ranges as they are found.
#[derive(Clone, Default, Debug)]
struct ComparedPacket {
    ranges: MissingRanges,
    open: Option<SeqRange>,
}

impl ComparedPacket {
    fn add(&mut self, seq: Seq) {
        match self.open.filter(|open| open.last() + 1 == seq) {
            Some(open) => self.open = Some(open.hull(SeqRange::one(seq))),
            None => {
                self.close();
                self.open = Some(SeqRange::one(seq));
            }
        }
    }

    fn close(&mut self) {
        self.open.take().into_iter().for_each(|range| self.ranges.add(range));
    }
}

/// Comparison of two recordings. Each recording is passed from its beginning to its end, in
/// ascending pieces of any length. Memory does not depend on their length.
#[derive(Clone, Debug)]
pub struct Comparison {
    equal: u64,
    has_runs: bool,
    only: [ComparedPacket; 2],
    different: ComparedPacket,
    shown: Vec<Difference>,
}

/// Message that two recordings have with different content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Sequence of the message.
    pub seq: Seq,
    /// Message in the first recording.
    pub left: Vec<u8>,
    /// Message in the second recording.
    pub right: Vec<u8>,
}

impl Comparison {
    /// Creates a comparison that lists up to `limit` ranges of each kind.
    #[must_use]
    pub fn listing(limit: usize) -> Self {
        let found = || ComparedPacket { ranges: MissingRanges::listing(limit), open: None };
        let only = [found(), found()];
        Self { equal: 0, has_runs: false, only, different: found(), shown: Vec::new() }
    }

    /// Compares the next pieces of both recordings; `None` stands for the end of one. Returns the
    /// number of messages used of each piece; the caller passes the others again, with those that
    /// follow. The comparison is finished after a call with `None` for both.
    pub fn step(&mut self, left: Option<Messages<'_>>, right: Option<Messages<'_>>) -> (u64, u64) {
        let is_run = |side: Option<Messages<'_>>| matches!(side, Some(Messages::Run(_)));
        self.has_runs |= is_run(left) || is_run(right);
        let (Some(left), Some(right)) = (left, right) else {
            for (side, rest) in [left, right].into_iter().enumerate() {
                let rest = rest.unwrap_or(Messages::NONE);
                rest.iter().for_each(|(seq, _)| self.only[side].add(seq));
            }
            if left.is_none() && right.is_none() {
                self.only.iter_mut().chain([&mut self.different]).for_each(ComparedPacket::close);
            }
            return (left.map_or(0, |left| left.len()), right.map_or(0, |right| right.len()));
        };
        match (left, right) {
            (Messages::Packets(left), Messages::Packets(right)) => {
                let common = left.len().min(right.len());
                if left[..common] == right[..common] {
                    self.equal += common as u64;
                    return (common as u64, common as u64);
                }
            }
            (Messages::Run(left), Messages::Run(right)) if left == right => {
                let all = Messages::Run(left).len();
                self.equal += all;
                return (all, all);
            }
            _ => {}
        }
        self.merge(left, right)
    }

    /// Compares message by message until one of the pieces ends.
    fn merge(&mut self, left: Messages<'_>, right: Messages<'_>) -> (u64, u64) {
        let (mut l, mut r) = (0, 0);
        let (mut ones, mut others) = (left.iter(), right.iter());
        let (mut one, mut other) = (ones.next(), others.next());
        while let (Some((seq, bytes)), Some((other_seq, other_bytes))) = (one, other) {
            let order = seq.cmp(&other_seq);
            match order {
                core::cmp::Ordering::Less => self.only[0].add(seq),
                core::cmp::Ordering::Greater => self.only[1].add(other_seq),
                core::cmp::Ordering::Equal => self.both(seq, bytes, other_bytes),
            }
            if order.is_le() {
                (l, one) = (l + 1, ones.next());
            }
            if order.is_ge() {
                (r, other) = (r + 1, others.next());
            }
        }
        (l, r)
    }

    fn both(&mut self, seq: Seq, left: &[u8], right: &[u8]) {
        if left == right {
            self.equal += 1;
            return;
        }
        self.different.add(seq);
        if self.shown.len() < SHOWN {
            self.shown.push(Difference { seq, left: left.to_vec(), right: right.to_vec() });
        }
    }

    /// Returns whether one of the recordings has messages that are no order packets.
    #[must_use]
    pub fn has_runs(&self) -> bool {
        self.has_runs
    }

    /// Returns the number of messages that are equal in both recordings.
    #[must_use]
    pub fn equal(&self) -> u64 {
        self.equal
    }

    /// Returns the sequences that only the first (0) or only the second (1) recording has.
    #[must_use]
    pub fn only_in(&self, side: usize) -> &MissingRanges {
        &self.only[side.min(1)].ranges
    }

    /// Returns the sequences that both recordings have with different content.
    #[must_use]
    pub fn different(&self) -> &MissingRanges {
        &self.different.ranges
    }

    /// Returns the first messages that differ.
    #[must_use]
    pub fn shown(&self) -> &[Difference] {
        &self.shown
    }

    /// Returns the lowest sequence at which the recordings differ; `None` if they are equal or no
    /// ranges are listed.
    #[must_use]
    pub fn first_difference(&self) -> Option<Seq> {
        let found = [&self.only[0], &self.only[1], &self.different];
        let first =
            |found: &ComparedPacket| found.ranges.listed().ranges().first().map(|r| r.first());
        found.into_iter().filter_map(first).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::{Packet, Side, Symbol};
    use crate::wire::{Frame, RawFrame, encode};
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn frame(sequence: Seq, price: i32) -> RawFrame {
        let (symbol, side) = (Symbol(*b"TEST"), Side::Buy);
        encode(&Frame::Packet(Packet { symbol, side, quantity: 1, price, sequence }))
    }

    /// Compares two recordings, passed in pieces of the given lengths.
    fn compare(recordings: [&BTreeMap<Seq, i32>; 2], pieces: [usize; 2]) -> Comparison {
        let frames = recordings.map(|recording| -> Vec<RawFrame> {
            recording.iter().map(|(&seq, &price)| frame(seq, price)).collect()
        });
        let mut comparison = Comparison::listing(1000);
        let mut at = [0, 0];
        loop {
            let piece = |side: usize| {
                let rest = &frames[side][at[side]..];
                (!rest.is_empty()).then(|| &rest[..pieces[side].min(rest.len())])
            };
            let (left, right) = (piece(0), piece(1));
            let (l, r) = comparison.step(left.map(Messages::Packets), right.map(Messages::Packets));
            let (l, r) = (usize::try_from(l).unwrap(), usize::try_from(r).unwrap());
            if left.is_none() && right.is_none() {
                return comparison;
            }
            assert!(l + r > 0, "no progress");
            at = [at[0] + l, at[1] + r];
        }
    }

    proptest! {
        #[test]
        fn it_is_what_sets_say(
            one in prop::collection::btree_map(1u64..60, 0i32..3, 0..50),
            other in prop::collection::btree_map(1u64..60, 0i32..3, 0..50),
            pieces in [1usize..9, 1usize..9],
        ) {
            let found = compare([&one, &other], pieces);
            let held = |found: &MissingRanges| -> Vec<Seq> {
                found.listed().ranges().iter().flat_map(|r| r.first()..=r.last()).collect()
            };
            let only = |a: &BTreeMap<Seq, i32>, b: &BTreeMap<Seq, i32>| -> Vec<Seq> {
                a.keys().filter(|seq| !b.contains_key(seq)).copied().collect()
            };
            let both = one.iter().filter_map(|(seq, a)| Some((*seq, *a, *other.get(seq)?)));
            let (same, differ): (Vec<_>, Vec<_>) = both.partition(|(_, a, b)| a == b);
            prop_assert_eq!(held(found.only_in(0)), only(&one, &other));
            prop_assert_eq!(held(found.only_in(1)), only(&other, &one));
            prop_assert_eq!(found.equal(), same.len() as u64);
            let differing: Vec<Seq> = differ.iter().map(|(seq, ..)| *seq).collect();
            prop_assert_eq!(held(found.different()), differing);
            let pair = |&(seq, a, b): &(Seq, i32, i32)| {
                let (left, right) = (frame(seq, a).to_vec(), frame(seq, b).to_vec());
                Difference { seq, left, right }
            };
            let shown: Vec<_> = differ.iter().map(pair).take(SHOWN).collect();
            prop_assert_eq!(found.shown(), shown);
            let first = (1..60).find(|seq| one.get(seq) != other.get(seq));
            prop_assert_eq!(found.first_difference(), first);
        }
    }
}
