//! Reader of a tape file of runs in the order of its sequences.

use super::content::Content;
use super::{BlockHead, TapeFile, TapeFileError};
use crate::base::seq::{Seq, SeqRange};
use crate::storage::Storage;
use crate::wire::Messages;
use alloc::vec::Vec;

/// Reader that returns one block of a run at a time. It holds one block.
#[derive(Debug)]
pub(super) struct RunReader {
    /// For each sorted run of blocks, the position of the block that is loaded next.
    places: Vec<usize>,
    /// Next sequence.
    next: Seq,
    content: Content,
}

impl RunReader {
    /// Returns a reader from the sequence `from` on.
    pub(super) fn new<S: Storage>(file: &TapeFile<S>, from: Seq) -> Self {
        let places = (0..file.index.run_count()).map(|run| file.index.place(run, from)).collect();
        Self { places, next: from, content: Content::none() }
    }

    /// Moves to the next messages. Returns the head of their block and their sequences; `None` at
    /// the end.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block. The next call continues without that block.
    pub(super) fn step<S: Storage>(
        &mut self,
        file: &TapeFile<S>,
    ) -> Result<Option<(BlockHead, SeqRange)>, TapeFileError<S::Error>> {
        loop {
            let upcoming = self.places.iter().enumerate().filter_map(|(run, place)| {
                file.index.entry(run, *place).map(|entry| (entry.span.first(), run, entry))
            });
            let Some((_, run, entry)) = upcoming.min_by_key(|(first, run, _)| (*first, *run))
            else {
                return Ok(None);
            };
            self.places[run] += 1;
            // In a file that has a sequence twice, the first block that has it counts.
            if let Some(range) = entry.span.from(self.next) {
                let (block, content) = file.load(entry)?;
                self.content = content;
                self.next = range.last() + 1;
                return Ok(Some((block, range)));
            }
        }
    }

    /// Returns the messages of the latest step.
    pub(super) fn messages(&self, range: SeqRange) -> Messages<'_> {
        match self.content.messages() {
            Messages::Run(run) => run.part(range).map_or(Messages::NONE, Messages::Run),
            Messages::Packets(_) => Messages::NONE,
        }
    }
}
