//! Messages of a session as they lie in a buffer, whatever protocol brought them.
//!
//! [`Messages`] is the unit that the ledger, tapes and sinks pass on: either order packets, which
//! carry their sequences, or a [`Run`] of consecutive messages of any length. A protocol turns its
//! bytes into messages without copying each of them: a [`Run`] remembers how its messages are
//! framed.

use crate::base::seq::{MAX_SEQ, Seq, SeqRange};
use crate::wire::soup::kind::SEQUENCED;
use crate::wire::{RawFrame, sequence_of};
use core::fmt;

/// Maximum length of a message in bytes.
pub const MESSAGE_MAX: usize = 65_535;

/// Bytes in front of each message of a [`Run`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Framing {
    /// Length of the message in 16 bits, big-endian, as in MoldUDP64 and in `.itch` files.
    Length,
    /// Length of type and message in 16 bits, big-endian, then the type `S`, as in SoupBinTCP.
    LengthAndType,
}

impl Framing {
    /// Returns the number of bytes in front of each message.
    #[must_use]
    pub const fn header_bytes(self) -> usize {
        match self {
            Self::Length => 2,
            Self::LengthAndType => 3,
        }
    }

    /// Splits the first message off `bytes`, and returns it and the bytes behind it; `None` if
    /// `bytes` end before the message does.
    #[inline]
    #[must_use]
    pub fn split_first(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (&length, rest) = bytes.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at_checked(u16::from_be_bytes(length).into())?;
        match self {
            Self::Length => Some((message, rest)),
            Self::LengthAndType => {
                let (_, message) = message.split_first().filter(|(kind, _)| **kind == SEQUENCED)?;
                Some((message, rest))
            }
        }
    }
}

/// Consecutive messages, each behind the bytes that its [`Framing`] says. A run has at least one
/// message.
///
/// Concept: [message](crate#message).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    range: SeqRange,
    framing: Framing,
    bytes: &'a [u8],
}

impl<'a> Run<'a> {
    /// Returns the run of all messages in `bytes`, the first of which has the sequence `first`;
    /// `None` if `bytes` are not one or more whole messages, or the last sequence would exceed
    /// [`MAX_SEQ`].
    #[must_use]
    pub fn new(first: Seq, framing: Framing, bytes: &'a [u8]) -> Option<Self> {
        let (mut count, mut rest) = (0, bytes);
        while !rest.is_empty() {
            rest = framing.split_first(rest)?.1;
            count += 1;
        }
        Self::counted(first, count, framing, bytes)
    }

    /// Returns the run of the `count` messages that `bytes` are known to be; `None` if there are
    /// none, or the last sequence would exceed [`MAX_SEQ`].
    #[must_use]
    pub fn counted(first: Seq, count: u64, framing: Framing, bytes: &'a [u8]) -> Option<Self> {
        let last = first.checked_add(count)?.checked_sub(1)?;
        if count == 0 || last > MAX_SEQ {
            return None;
        }
        Some(Self { range: SeqRange::new(first, last)?, framing, bytes })
    }

    /// Returns the sequences of the messages.
    #[must_use]
    pub fn range(&self) -> SeqRange {
        self.range
    }

    /// Returns the framing of the messages.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns all bytes, with the bytes in front of each message.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the messages with their sequences.
    #[must_use]
    pub fn iter(&self) -> RunIter<'a> {
        RunIter { next: self.range.first(), framing: self.framing, rest: self.bytes }
    }

    /// Returns the part of the run in `range`; `None` if there is none.
    #[must_use]
    pub fn part(&self, range: SeqRange) -> Option<Self> {
        self.part_at(range).map(|(_, part)| part)
    }

    /// Returns the part of the run in `range`, with the offset of its first byte; `None` if there
    /// is none.
    #[must_use]
    pub fn part_at(&self, range: SeqRange) -> Option<(usize, Self)> {
        let common = self.range.intersect(range)?;
        if common == self.range {
            return Some((0, *self));
        }
        let begin = self.after(self.bytes, common.first() - self.range.first())?;
        let behind = match common.last() == self.range.last() {
            true => &[],
            false => self.after(begin, common.len())?,
        };
        let start = self.bytes.len() - begin.len();
        let bytes = begin.get(..begin.len() - behind.len())?;
        Some((start, Self { range: common, framing: self.framing, bytes }))
    }

    /// Returns the longest part of the run that begins at its first message and has at most
    /// `bytes_max` bytes, and the rest. The first message is taken whatever its length is.
    #[must_use]
    pub fn split_within(&self, bytes_max: usize) -> (Self, Option<Self>) {
        if self.bytes.len() <= bytes_max {
            return (*self, None);
        }
        let (mut rest, mut count) = (self.bytes, 0);
        while let Some((_, behind)) = self.framing.split_first(rest) {
            if count > 0 && self.bytes.len() - behind.len() > bytes_max {
                break;
            }
            (rest, count) = (behind, count + 1);
        }
        let (first, framing) = (self.range.first(), self.framing);
        let taken = &self.bytes[..self.bytes.len() - rest.len()];
        let taken = Self::counted(first, count, framing, taken).unwrap_or(*self);
        let behind = SeqRange::new(taken.range.last() + 1, self.range.last());
        (taken, behind.map(|range| Self { range, framing, bytes: rest }))
    }

    /// Returns the bytes behind the first `count` messages of `bytes`.
    fn after(&self, bytes: &'a [u8], count: u64) -> Option<&'a [u8]> {
        (0..count).try_fold(bytes, |rest, _| Some(self.framing.split_first(rest)?.1))
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run {{ {}, {:?}, {} bytes }}", self.range, self.framing, self.bytes.len())
    }
}

/// Iterator over the messages of a [`Run`], each with its sequence.
#[derive(Clone, Debug)]
pub struct RunIter<'a> {
    next: Seq,
    framing: Framing,
    rest: &'a [u8],
}

impl<'a> Iterator for RunIter<'a> {
    type Item = (Seq, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (message, rest) = self.framing.split_first(self.rest)?;
        self.rest = rest;
        self.next += 1;
        Some((self.next - 1, message))
    }
}

/// Messages of a session in ascending order of their sequences.
///
/// Concepts: [message](crate#message), [packet](crate#packet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Messages<'a> {
    /// Order packets, which carry their sequences. They need not be consecutive.
    Packets(&'a [RawFrame]),
    /// Consecutive messages of any length.
    Run(Run<'a>),
}

impl<'a> Messages<'a> {
    /// Messages that are none.
    pub const NONE: Self = Self::Packets(&[]);

    /// Returns the number of messages.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Packets(frames) => frames.len() as u64,
            Self::Run(run) => run.range.len(),
        }
    }

    /// Returns the number of bytes of the messages, without the bytes in front of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Packets(frames) => frames.as_flattened().len() as u64,
            Self::Run(run) => {
                let headers = run.range.len().saturating_mul(run.framing.header_bytes() as u64);
                (run.bytes.len() as u64).saturating_sub(headers)
            }
        }
    }

    /// Returns true if there are no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the range from the lowest to the highest sequence; `None` without messages.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        match self {
            Self::Packets(frames) => {
                SeqRange::new(sequence_of(frames.first()?), sequence_of(frames.last()?))
            }
            Self::Run(run) => Some(run.range),
        }
    }

    /// Returns the first `count` messages, or all of them if there are fewer.
    #[must_use]
    pub fn first(&self, count: u64) -> Self {
        match self {
            Self::Packets(frames) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(frames.len());
                Self::Packets(&frames[..count])
            }
            Self::Run(run) => {
                let last = run.range.first().saturating_add(count).saturating_sub(1);
                let range = SeqRange::new(run.range.first(), last).filter(|_| count > 0);
                range.and_then(|range| run.part(range)).map_or(Self::NONE, Self::Run)
            }
        }
    }

    /// Returns the messages behind the first `count` ones.
    #[must_use]
    pub fn skip(&self, count: u64) -> Self {
        match self {
            _ if count == 0 => *self,
            Self::Packets(frames) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(frames.len());
                Self::Packets(&frames[count..])
            }
            Self::Run(run) => {
                let first = run.range.first().checked_add(count);
                let range = first.and_then(|first| SeqRange::new(first, run.range.last()));
                range.and_then(|range| run.part(range)).map_or(Self::NONE, Self::Run)
            }
        }
    }

    /// Returns the order packets; none if the messages are a run.
    #[must_use]
    pub fn packets(&self) -> &'a [RawFrame] {
        match self {
            Self::Packets(frames) => frames,
            Self::Run(_) => &[],
        }
    }

    /// Returns the ranges of consecutive sequences.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + use<'a> {
        let (frames, run) = match *self {
            Self::Packets(frames) => (frames, None),
            Self::Run(run) => (&[][..], Some(run.range)),
        };
        let consecutive = |low: &_, high: &_| sequence_of(low) + 1 == sequence_of(high);
        let span = |frames: &'a [RawFrame]| Self::Packets(frames).span();
        frames.chunk_by(consecutive).filter_map(span).chain(run)
    }

    /// Returns the messages with their sequences.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, &'a [u8])> + use<'a> {
        let (frames, run) = match *self {
            Self::Packets(frames) => (frames, None),
            Self::Run(run) => (&[][..], Some(run)),
        };
        let packets = frames.iter().map(|frame| (sequence_of(frame), frame.as_slice()));
        packets.chain(run.into_iter().flat_map(|run| run.iter()))
    }
}

impl<'a> From<&'a [RawFrame]> for Messages<'a> {
    fn from(frames: &'a [RawFrame]) -> Self {
        Self::Packets(frames)
    }
}

impl<'a> From<&'a alloc::vec::Vec<RawFrame>> for Messages<'a> {
    fn from(frames: &'a alloc::vec::Vec<RawFrame>) -> Self {
        Self::Packets(frames)
    }
}

impl<'a, const N: usize> From<&'a [RawFrame; N]> for Messages<'a> {
    fn from(frames: &'a [RawFrame; N]) -> Self {
        Self::Packets(frames)
    }
}

impl<'a> From<Run<'a>> for Messages<'a> {
    fn from(run: Run<'a>) -> Self {
        Self::Run(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn framed(framing: Framing, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let (extra, kind) = match framing {
                Framing::Length => (0, &b""[..]),
                Framing::LengthAndType => (1, &b"S"[..]),
            };
            let length = u16::try_from(message.len() + extra).unwrap();
            bytes.extend(length.to_be_bytes());
            bytes.extend(kind);
            bytes.extend(message);
        }
        bytes
    }

    #[test]
    fn bytes_that_are_not_whole_messages_are_no_run() {
        for framing in [Framing::Length, Framing::LengthAndType] {
            let bytes = framed(framing, &[b"ab".to_vec(), Vec::new(), b"c".to_vec()]);
            assert_eq!(Run::new(7, framing, &bytes).unwrap().range(), SeqRange::new(7, 9).unwrap());
            assert_eq!(Run::new(7, framing, &bytes[..bytes.len() - 1]), None);
            assert_eq!(Run::new(7, framing, &[]), None);
            assert_eq!(Run::new(MAX_SEQ, framing, &bytes), None, "sequences end");
        }
        // A length of 0 has no room for a type.
        assert_eq!(Run::new(1, Framing::LengthAndType, &[0, 0, 0, 1, b'S']), None);
    }

    proptest! {
        #[test]
        fn parts_of_a_run_are_its_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..20),
            framing in prop::sample::select(alloc::vec![Framing::Length, Framing::LengthAndType]),
            (from, more, room) in (0u64..25, 0u64..25, 0usize..99),
        ) {
            let bytes = framed(framing, &messages);
            let run = Run::new(5, framing, &bytes).unwrap();
            let all: Vec<_> = (5..).zip(messages.iter().map(Vec::as_slice)).collect();
            prop_assert_eq!(&Messages::Run(run).iter().collect::<Vec<_>>(), &all);

            let range = SeqRange::new(from, from + more).unwrap();
            let part = run.part(range).map_or(Vec::new(), |part| part.iter().collect());
            let wanted = all.iter().filter(|(seq, _)| range.contains(*seq));
            prop_assert_eq!(part, wanted.copied().collect::<Vec<_>>());

            for split in [0, from, more, 99, u64::MAX] {
                let messages = Messages::Run(run);
                let (head, tail) = (messages.first(split), messages.skip(split));
                prop_assert_eq!(head.len(), split.min(all.len() as u64));
                prop_assert_eq!(&head.iter().chain(tail.iter()).collect::<Vec<_>>(), &all);
            }

            let (taken, rest) = run.split_within(room);
            prop_assert!(taken.bytes().len() <= room || taken.range().len() == 1);
            let rest = rest.into_iter().flat_map(|rest| rest.iter());
            prop_assert_eq!(taken.iter().chain(rest).collect::<Vec<_>>(), all);
        }
    }
}
