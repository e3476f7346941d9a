//! What can be wrong with a tape file.

use super::block::FileHeadError;
use crate::base::seq::SeqRange;
use core::fmt;

/// Why a tape file cannot be used.
#[derive(Debug)]
pub enum TapeFileError<E> {
    /// The medium failed.
    Storage(E),
    /// It is no tape file that this program reads.
    Head(FileHeadError),
    /// A block does not match its checksum.
    Damaged {
        /// Where its head begins, in bytes.
        offset: u64,
        /// The sequences it spans.
        span: SeqRange,
        /// How many packets it had.
        packets: u32,
        /// Its length, in bytes.
        bytes: u64,
    },
}

impl<E: fmt::Display> fmt::Display for TapeFileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Head(error) => error.fmt(f),
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

/// What was found when a file was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Opened {
    /// It had an index; its blocks were not read.
    pub indexed: bool,
    /// Places where bytes were no block, or a block did not match its checksum.
    pub damages: u32,
    /// How many bytes those were.
    pub damaged_bytes: u64,
    /// Places where a crash has torn what was being written, and what was there came again before
    /// the index was written. Only [`TapeFile::check`](super::TapeFile::check) tells
    /// them from damage.
    pub scars: u32,
    /// Nothing is damaged and yet the index is not that of the blocks: whoever wrote it had a bug.
    /// Only [`TapeFile::check`](super::TapeFile::check) looks.
    pub misleading: bool,
}

/// A place where a file is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How far the next good block is.
    pub bytes: u64,
    /// The sequences that the block there spans, if its head is good.
    pub span: Option<SeqRange>,
}
