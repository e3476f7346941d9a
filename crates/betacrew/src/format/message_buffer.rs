//! Messages that are kept longer than the buffer that they arrived in.

use feed::base::seq::Seq;
use feed::wire::{Framing, MESSAGE_MAX, Messages, RawFrame, Run};
use std::io;

/// Copy of messages that were handed on.
#[derive(Clone, Debug)]
pub(crate) enum OwnedMessages {
    /// Order packets.
    Packets(Vec<RawFrame>),
    /// Consecutive messages of any length.
    Run {
        /// Sequence of the first message.
        first: Seq,
        /// Number of messages.
        count: u64,
        /// Framing of the messages in `bytes`.
        framing: Framing,
        /// Messages, each behind its header.
        bytes: Vec<u8>,
    },
}

impl OwnedMessages {
    /// Copies messages.
    pub(crate) fn of(messages: Messages<'_>) -> Self {
        match messages {
            Messages::Packets(frames) => Self::Packets(frames.to_vec()),
            Messages::Run(run) => Self::Run {
                first: run.range().first(),
                count: messages.len(),
                framing: run.framing(),
                bytes: run.bytes().to_vec(),
            },
        }
    }

    /// Returns the number of bytes, with those of the headers.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Packets(frames) => frames.as_flattened().len(),
            Self::Run { bytes, .. } => bytes.len(),
        }
    }

    /// Returns the messages.
    pub(crate) fn messages(&self) -> Messages<'_> {
        match self {
            Self::Packets(frames) => Messages::Packets(frames),
            Self::Run { first, count, framing, bytes } => {
                Run::counted(*first, *count, *framing, bytes).map_or(Messages::NONE, Messages::Run)
            }
        }
    }
}

/// Run of messages that is being filled, each message behind its length.
#[derive(Clone, Default, Debug)]
pub(crate) struct RunBuffer {
    first: Seq,
    count: u64,
    bytes: Vec<u8>,
}

impl RunBuffer {
    /// Returns the number of bytes, with those of the lengths.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of messages.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns true if a message with this sequence continues the run.
    pub(crate) fn continues_with(&self, seq: Seq) -> bool {
        self.count == 0 || seq.checked_sub(self.first) == Some(self.count)
    }

    /// Adds a message. The first message decides the sequences of the others.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::InvalidData`] if the message is longer than [`MESSAGE_MAX`].
    pub(crate) fn push(&mut self, seq: Seq, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len()).map_err(|_| {
            let reason =
                format!("message {seq} has {} bytes, more than {MESSAGE_MAX}", message.len());
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        if self.count == 0 {
            self.first = seq;
        }
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(message);
        self.count += 1;
        Ok(())
    }

    /// Removes all messages.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// Returns the messages.
    pub(crate) fn messages(&self) -> Messages<'_> {
        Run::counted(self.first, self.count, Framing::Length, &self.bytes)
            .map_or(Messages::NONE, Messages::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_copied_as_they_are() {
        let mut buffer = RunBuffer::default();
        assert!(buffer.messages().is_empty() && buffer.continues_with(9));
        for (seq, message) in [(7, &b"ab"[..]), (8, b""), (9, b"c")] {
            assert!(buffer.continues_with(seq));
            buffer.push(seq, message).unwrap();
        }
        assert!(!buffer.continues_with(9) && !buffer.continues_with(11));
        let all: Vec<_> = buffer.messages().iter().collect();
        assert_eq!(all, [(7, &b"ab"[..]), (8, b""), (9, b"c")]);
        let owned = OwnedMessages::of(buffer.messages());
        assert_eq!((owned.messages(), owned.bytes()), (buffer.messages(), buffer.len()));
        assert!(buffer.push(10, &[0; MESSAGE_MAX]).is_ok());
        assert!(buffer.push(11, &[0; MESSAGE_MAX + 1]).is_err());
        let packets = Messages::Packets(&[[0; 17]]);
        let owned = OwnedMessages::of(packets);
        assert_eq!((owned.messages(), owned.bytes()), (packets, 17));
    }
}
