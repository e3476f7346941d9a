//! Tape of messages of one length, in memory.

use crate::Result;
use feed::base::seq::{Seq, SeqRange, to_index};
use feed::tape::source::TapeSource;
use feed::wire::mold::{Builder, PayloadLimit, Session};
use feed::wire::{Framing, Messages, Run, SessionId};
use std::sync::Arc;

/// Length of a message in bytes: the mean length of ITCH messages.
pub(crate) const MESSAGE: usize = 30;

/// Number of messages in a datagram: nearly as many as fit the default payload limit.
pub(crate) const TOGETHER: u16 = 30;

/// Number of messages that a tape file, or a market, has at hand at once.
const AT_HAND: u64 = 4096;

/// Tape of messages of one length, in memory.
#[derive(Clone)]
pub(crate) struct MemoryTape {
    framing: Framing,
    /// Messages, each behind the bytes of its framing.
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl MemoryTape {
    /// Makes a tape of `messages` messages, framed as the protocol frames them that plays it.
    pub(crate) fn new(messages: u64, framing: Framing) -> Result<Self> {
        let of_type: &[u8] = if framing == Framing::LengthAndType { b"S" } else { b"" };
        let length = u16::try_from(of_type.len() + MESSAGE)?.to_be_bytes();
        let mut bytes = Vec::new();
        for number in 0..messages {
            let mut message = [b'M'; MESSAGE];
            message[..8].copy_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(&length);
            bytes.extend_from_slice(of_type);
            bytes.extend_from_slice(&message);
        }
        Ok(Self { framing, bytes: Arc::new(bytes) })
    }

    /// Returns the number of bytes of a message with those in front of it.
    fn block(&self) -> usize {
        self.framing.header_bytes() + MESSAGE
    }

    /// Returns the datagrams of the tape, with this many messages in each.
    pub(crate) fn datagrams(&self, together: u16) -> Result<Vec<Vec<u8>>> {
        let session = Session(self.session().padded());
        let (mut datagrams, mut sequence) = (Vec::new(), 1);
        for messages in self.bytes.chunks(self.block() * usize::from(together)) {
            let mut datagram = Vec::new();
            let mut builder = Builder::new(&mut datagram, session, sequence, PayloadLimit::DEFAULT);
            let messages = messages.chunks(self.block());
            builder.push_all(messages.map(|block| &block[self.framing.header_bytes()..]));
            sequence = builder.finish();
            datagrams.push(datagram);
        }
        match sequence == self.last() + 1 {
            true => Ok(datagrams),
            false => Err("the messages of a datagram do not fit it".into()),
        }
    }
}

impl TapeSource for MemoryTape {
    fn last(&self) -> Seq {
        (self.bytes.len() / self.block()) as Seq
    }

    fn session(&self) -> SessionId {
        SessionId::of(*b"MEMO")
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let at = |offset: u64| to_index(offset) * self.block();
        let count = range.len().min(AT_HAND);
        let bytes = self.bytes.get(at(range.first() - 1)..at(range.first() - 1 + count));
        let run = bytes.and_then(|bytes| Run::counted(range.first(), count, self.framing, bytes));
        run.map_or(Messages::NONE, Messages::Run)
    }
}
