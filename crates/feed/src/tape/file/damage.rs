//! Errors and damage of a tape file.

use super::block::{FileHeadError, Layout};
use crate::base::seq::SeqRange;
use core::fmt;

/// Error of a tape file.
#[derive(Debug)]
pub enum TapeFileError<E> {
    /// Error of the storage.
    Storage(E),
    /// File that is not a tape which this version reads.
    Head(FileHeadError),
    /// Messages that are order packets for a file of other messages, or the other way round.
    Mixed {
        /// Layout of the file's messages.
        stored: Layout,
    },
    /// Block that does not match its checksum.
    Damaged {
        /// Offset of the block's head, in bytes.
        offset: u64,
        /// Sequences that the block spans.
        span: SeqRange,
        /// Number of messages in the block.
        packets: u32,
        /// Length of the block, in bytes.
        bytes: u64,
    },
}

impl<E: fmt::Display> fmt::Display for TapeFileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Head(error) => error.fmt(f),
            Self::Mixed { stored: Layout::Packets } => f.write_str(
                "its messages are order packets, and those that arrive are not: record them into \
                 another file",
            ),
            Self::Mixed { stored: Layout::Run(_) } => f.write_str(
                "its messages are not order packets, and those that arrive are: record them into \
                 another file",
            ),
            Self::Damaged { offset, span, .. } => {
                write!(
                    f,
                    "the block at byte {offset} is damaged (sequences {span} or some of them)"
                )
            }
        }
    }
}

impl<E: core::error::Error> core::error::Error for TapeFileError<E> {}

impl<E> From<E> for TapeFileError<E> {
    fn from(error: E) -> Self {
        Self::Storage(error)
    }
}

/// Way in which [`TapeFile::open`](super::TapeFile::open) learns which messages a file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Read the index at the end of the file. A file without one is scanned.
    Index,
    /// Read all blocks and check them against their checksums, also if the file has an index.
    Scan,
}

/// Findings when a file was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Opened {
    /// True if the file had an index, so that its blocks were not read.
    pub indexed: bool,
    /// Number of places where bytes are not a block, or a block does not match its checksum.
    pub damages: u32,
    /// Number of bytes in these places.
    pub damaged_bytes: u64,
    /// Number of places that a crash has torn, and whose packets were recorded again before the
    /// index was written. Only [`TapeFile::check`](super::TapeFile::check) distinguishes them from
    /// damage.
    pub scars: u32,
    /// True if nothing is damaged and the index still differs from the blocks, because of a bug in
    /// its writer. Only [`TapeFile::check`](super::TapeFile::check) looks for it.
    pub misleading: bool,
}

/// Damaged place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Offset of the damage, in bytes.
    pub offset: u64,
    /// Number of bytes up to the next good block.
    pub bytes: u64,
    /// Sequences that the damaged block spans, if its head is good.
    pub span: Option<SeqRange>,
}
