//! Tape of messages with the shortest and the longest length that SoupBinTCP can carry.

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, to_index};
use crate::storage::crc32c;
use crate::tape::source::TapeSource;
use crate::wire::soup::MESSAGE_MAX;
use crate::wire::{Framing, Messages, Run, SessionId};
use alloc::vec::Vec;

/// Lengths of the messages in bytes. Empty messages stand first, last, in a row, and beside the
/// longest ones.
const LENGTHS: [usize; 14] =
    [0, MESSAGE_MAX, 0, 0, 1, MESSAGE_MAX, MESSAGE_MAX, 17, MESSAGE_MAX - 1, 255, 256, 2, 3, 0];

/// Messages of extreme lengths with any bytes, in memory.
#[derive(Clone, Debug)]
pub struct ExtremeLengths {
    bytes: Vec<u8>,
    /// Offset of each message in `bytes`, and the end of the last one.
    offsets: Vec<usize>,
    session: SessionId,
}

impl ExtremeLengths {
    /// Creates the tape, which always has the same messages.
    #[must_use]
    pub fn new() -> Self {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::from([0]));
        for (seq, length) in (FIRST_SEQ..).zip(LENGTHS) {
            let header = u16::try_from(length).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&header.to_be_bytes());
            let words = (0..).flat_map(|index| rng::nth(seq, index).to_be_bytes());
            bytes.extend(words.take(header.into()));
            offsets.push(bytes.len());
        }
        let session = SessionId::from_bits(rng::mix(crc32c(&bytes).into()));
        Self { bytes, offsets, session }
    }
}

impl Default for ExtremeLengths {
    fn default() -> Self {
        Self::new()
    }
}

impl TapeSource for ExtremeLengths {
    fn last(&self) -> Seq {
        LENGTHS.len() as Seq
    }

    fn session(&self) -> SessionId {
        self.session
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let all = SeqRange::counted(FIRST_SEQ, self.last());
        let run = all.and_then(|all| all.intersect(range)).and_then(|part| {
            let offset = |seq: Seq| self.offsets.get(to_index(seq - FIRST_SEQ)).copied();
            let bytes = self.bytes.get(offset(part.first())?..offset(part.last() + 1)?)?;
            Run::counted(part.first(), part.len(), Framing::Length, bytes)
        });
        run.filter(|run| run.range().first() == range.first()).map_or(Messages::NONE, Messages::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_its_length_in_every_range() {
        let mut tape = ExtremeLengths::new();
        for first in FIRST_SEQ..=tape.last() {
            for last in first..=tape.last() + 1 {
                let range = SeqRange::new(first, last).unwrap();
                let lengths =
                    tape.messages(range).iter().map(|(_, it)| it.len()).collect::<Vec<_>>();
                let end = to_index(last.min(tape.last()));
                assert_eq!(lengths, LENGTHS[to_index(first - 1)..end]);
            }
        }
        let beyond = SeqRange::new(tape.last() + 1, tape.last() + 2).unwrap();
        assert!(tape.messages(beyond).is_empty());
        assert_eq!(tape.session(), ExtremeLengths::new().session());
    }
}
