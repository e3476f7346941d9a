//! Messages that a line has read ahead from the tape, as they lie in a datagram.

use super::DatagramLimits;
use crate::base::seq::{Seq, SeqRange};
use crate::tape::source::TapeSource;
use crate::wire::mold::{BLOCK_HEADER_BYTES, HEADER_BYTES, PayloadLimit};
use crate::wire::{Framing, Messages};
use alloc::vec::Vec;

/// Maximum number of messages read ahead.
const STAGED_MAX: u64 = 4096;

/// Messages behind their lengths. Tapes hand out long runs; datagrams are slices of this buffer.
#[derive(Default, Debug)]
pub(super) struct Stage {
    /// Sequence of the first message.
    first: Seq,
    /// Number of messages.
    count: u64,
    bytes: Vec<u8>,
    /// Number of bytes that lie before the first message.
    offset: usize,
}

/// Messages for one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    /// Number of messages.
    pub(super) count: u16,
    /// Number of the messages' bytes.
    pub(super) bytes: usize,
    pub(super) end: ScanEnd,
}

/// Reason for which a datagram has no further messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ScanEnd {
    /// The datagram is full.
    Full,
    /// All messages that were asked for are in it.
    Done,
    /// The first message is longer than any datagram.
    TooLong,
}

impl Stage {
    /// Forgets all messages.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.offset) = (0, 0);
    }

    /// Returns the messages from `range` for one datagram.
    pub(super) fn scan<P: TapeSource>(
        &mut self,
        tape: &mut P,
        range: SeqRange,
        limits: DatagramLimits,
    ) -> Scan {
        if self.first != range.first() {
            self.clear();
            self.first = range.first();
        }
        let room = limits.payload.bytes() - HEADER_BYTES;
        let longest = BLOCK_HEADER_BYTES + PayloadLimit::MAX.message_max();
        let (mut count, mut bytes) = (0u16, 0);
        loop {
            if count >= limits.messages.max(1) {
                return Scan { count, bytes, end: ScanEnd::Full };
            }
            if u64::from(count) == range.len() {
                return Scan { count, bytes, end: ScanEnd::Done };
            }
            if u64::from(count) == self.count && !self.read(tape, range.last()) {
                return Scan { count, bytes, end: ScanEnd::Done };
            }
            let block = self.bytes.get(self.offset + bytes..).unwrap_or_default();
            let Some((length, _)) = block.split_first_chunk::<BLOCK_HEADER_BYTES>() else {
                return Scan { count, bytes, end: ScanEnd::Done };
            };
            let size = BLOCK_HEADER_BYTES + usize::from(u16::from_be_bytes(*length));
            match bytes + size <= room {
                true => (count, bytes) = (count + 1, bytes + size),
                false if count > 0 => return Scan { count, bytes, end: ScanEnd::Full },
                false if size <= longest => {
                    return Scan { count: 1, bytes: size, end: ScanEnd::Full };
                }
                false => return Scan { count: 0, bytes: size, end: ScanEnd::TooLong },
            }
        }
    }

    /// Returns the bytes of the first messages.
    pub(super) fn blocks(&self, scan: Scan) -> &[u8] {
        self.bytes.get(self.offset..self.offset + scan.bytes).unwrap_or_default()
    }

    /// Removes the first messages.
    pub(super) fn advance(&mut self, scan: Scan) {
        let count = u64::from(scan.count).max(1).min(self.count);
        self.first += count;
        self.count -= count;
        self.offset = (self.offset + scan.bytes).min(self.bytes.len());
    }

    /// Reads further messages, up to `last`. Returns false if the tape has none.
    fn read<P: TapeSource>(&mut self, tape: &mut P, last: Seq) -> bool {
        let next = self.first.saturating_add(self.count);
        let most = next.saturating_add(STAGED_MAX - 1);
        let Some(range) = SeqRange::new(next, last.min(most)) else { return false };
        let messages = tape.messages(range);
        if messages.span().map(SeqRange::first) != Some(next) {
            return false;
        }
        self.bytes.drain(..self.offset);
        self.offset = 0;
        match messages {
            Messages::Run(run) if run.framing() == Framing::Length => {
                self.bytes.extend_from_slice(run.bytes());
            }
            Messages::Packets(frames) => {
                for frame in frames {
                    self.push(frame);
                }
            }
            Messages::Run(run) => run.iter().for_each(|(_, message)| self.push(message)),
        }
        self.count += messages.len();
        true
    }

    fn push(&mut self, message: &[u8]) {
        // No message of a tape is longer than 65,535 bytes.
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let message = message.get(..length.into()).unwrap_or(message);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(message);
    }
}
