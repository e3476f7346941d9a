//! Recording in memory: received packets in the order of arrival, with an index by sequence.

use crate::base::seq::{Seq, SeqRange, SeqSet, to_index};
use crate::ledger::{Origin, Sink};
use crate::wire::{Info, Messages, RawFrame, sequence_of};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Packets stored in the order of arrival, readable in the order of their sequences.
///
/// Memory is 17 bytes for each packet and one index entry for each run of consecutive sequences
/// that arrived together.
///
/// Concept: [tape](crate#tape).
#[derive(Clone, Default, Debug)]
pub struct MemoryRecording {
    log: Vec<RawFrame>,
    runs: BTreeMap<Seq, RecordedRun>,
    /// True if an exchange has described its session.
    described: bool,
    /// Origins of the packets until the session is described, each with the position in the log
    /// from which it applies.
    origins: Vec<(usize, Origin)>,
}

#[derive(Clone, Copy, Debug)]
struct RecordedRun {
    at: usize,
    len: usize,
}

impl MemoryRecording {
    /// Creates an empty recording.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of packets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Returns true if the recording has no packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Returns the packet with a sequence.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&RawFrame> {
        let (&first, run) = self.runs.range(..=seq).next_back()?;
        let offset = to_index(seq - first);
        (offset < run.len).then(|| &self.log[run.at + offset])
    }

    /// Returns all packets in the order of their sequences, in slices.
    pub fn in_order(&self) -> impl Iterator<Item = &[RawFrame]> {
        self.runs.values().map(|run| &self.log[run.at..run.at + run.len])
    }

    /// Appends ascending packets that are not recorded yet.
    fn append(&mut self, frames: &[RawFrame]) {
        let at = self.log.len();
        self.log.extend_from_slice(frames);
        let mut start = 0;
        for end in 1..=frames.len() {
            let first = sequence_of(&frames[start]);
            let expected = first + (end - start) as u64;
            if end < frames.len() && sequence_of(&frames[end]) == expected {
                continue;
            }
            self.insert(first, RecordedRun { at: at + start, len: end - start });
            start = end;
        }
    }

    fn insert(&mut self, first: Seq, run: RecordedRun) {
        // A run that continues the one before it, also in the log, extends that one.
        if let Some((&before, last)) = self.runs.range_mut(..first).next_back()
            && first - before == last.len as u64
            && last.at + last.len == run.at
        {
            last.len += run.len;
        } else {
            self.runs.insert(first, run);
        }
    }
}

impl Sink for MemoryRecording {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, _: Duration) {
        if !self.described && self.origins.last().is_none_or(|last| last.1 != origin) {
            self.origins.push((self.log.len(), origin));
        }
        self.append(messages.packets());
    }

    fn on_session(&mut self, _: Info, vouched: &[Origin], _: Duration) -> SeqSet {
        let origins = core::mem::take(&mut self.origins);
        let all_known = origins.iter().all(|(_, origin)| vouched.contains(origin));
        if core::mem::replace(&mut self.described, true) || all_known {
            return SeqSet::new();
        }
        let log = core::mem::take(&mut self.log);
        self.runs.clear();
        let mut gone: Vec<SeqRange> = Vec::new();
        let ends = origins.iter().skip(1).map(|(at, _)| *at).chain([log.len()]);
        for ((at, origin), end) in origins.iter().zip(ends) {
            // Each slice ascends, and may consist of several runs.
            for frames in log[*at..end].chunk_by(|low, high| sequence_of(low) < sequence_of(high)) {
                match vouched.contains(origin) {
                    true => self.append(frames),
                    false => gone.extend(frames.iter().map(|it| SeqRange::one(sequence_of(it)))),
                }
            }
        }
        gone.sort_unstable_by_key(|range| range.first());
        gone.into_iter().collect()
    }

    fn on_duplicates(&mut self, _: Origin, messages: Messages<'_>) -> u32 {
        let differ =
            |frame: &&RawFrame| self.get(sequence_of(frame)).is_some_and(|old| old != *frame);
        u32::try_from(messages.packets().iter().filter(differ).count()).unwrap_or(u32::MAX)
    }
}
