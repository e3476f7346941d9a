//! Encoders: writers of messages in a format, and their destinations.

use super::{Arrival, SessionFacts};
use feed::base::seq::SeqRange;
use feed::wire::{Messages, SessionId};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Mark between packets that are written while they arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamMark {
    /// Packets that were abandoned and are left out.
    Abandoned(SeqRange),
    /// Start of another session, with a numbering of its own.
    Session(SessionId),
}

/// Writes messages in a format.
pub trait Encoder {
    /// Writes messages that arrived together, at once or later.
    ///
    /// # Errors
    /// Returns errors of the output, and [`io::ErrorKind::InvalidData`] for a message that does not
    /// fit the file's payload.
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()>;

    /// Writes a mark. Most formats ignore it, because their sequences show the gap.
    ///
    /// # Errors
    /// Errors of the output.
    fn mark(&mut self, mark: StreamMark) -> io::Result<()> {
        let _ = mark;
        Ok(())
    }

    /// Flushes the packets so far, if the format allows it.
    ///
    /// # Errors
    /// Errors of the output.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes the facts about the session, after the last packet. Most formats ignore them.
    ///
    /// # Errors
    /// Errors of the output.
    fn session_facts(&mut self, facts: SessionFacts) -> io::Result<()> {
        let _ = facts;
        Ok(())
    }

    /// Completes the file. Without this call it is not valid in its format.
    ///
    /// # Errors
    /// Returns errors of the output, and [`io::ErrorKind::InvalidData`] for a message that does not
    /// fit the file's payload.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Destination of an encoder.
pub(crate) enum EncoderTarget<'a> {
    /// Sequential writer.
    Stream(Box<dyn Write + 'a>),
    /// Empty file, open for reading and writing, and its path.
    File(File, PathBuf),
}

impl<'a> EncoderTarget<'a> {
    pub(crate) fn stream(self) -> Box<dyn Write + 'a> {
        match self {
            Self::Stream(out) => out,
            Self::File(file, _) => Box::new(file),
        }
    }

    pub(super) fn file(self) -> io::Result<(File, PathBuf)> {
        match self {
            Self::File(file, path) => Ok((file, path)),
            Self::Stream(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "it is not a file")),
        }
    }
}
