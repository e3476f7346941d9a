//! Comparison of an output of messages with the tape.

use crate::grade::feeds::output::{FeedRow, FeedRows};
use crate::grade::feeds::tape::FeedTape;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Maximum number of ranges of sequences that are listed.
const RANGES: usize = 8;
/// Maximum number of bytes of a message that are shown.
const SHOWN: usize = 12;

/// Message that stands in the output under another sequence than its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Misnumbered {
    /// Sequence in the output.
    pub(crate) written: Seq,
    /// Sequence on the tape.
    pub(crate) actual: Seq,
}

/// Differences between an output and the tape.
#[derive(Clone, Default, Debug)]
pub(crate) struct FeedDifferences {
    /// Messages on the tape that are not in the output.
    pub(crate) missing: SeqSet,
    /// Messages that are in the output more than once.
    pub(crate) doubled: SeqSet,
    /// Messages under another sequence than their own, in the order of the output.
    pub(crate) misnumbered: Vec<Misnumbered>,
    /// Contents of the output that are no message of the tape.
    pub(crate) foreign: Vec<Vec<u8>>,
    /// First message that is after a later one in the output, with that later one.
    pub(crate) out_of_order: Option<(Seq, Seq)>,
}

impl FeedDifferences {
    /// Compares an output with the tape. A row is found on the tape by its content, because its
    /// sequence may be absent or wrong.
    pub(crate) fn between(tape: &FeedTape, output: &FeedRows) -> Self {
        let mut found = Self::default();
        let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
        let mut highest = 0;
        for row in &output.rows {
            let Some(seq) = place(tape, row, &times) else {
                found.foreign.push(row.content.clone());
                continue;
            };
            *times.entry(seq).or_insert(0) += 1;
            if seq < highest && found.out_of_order.is_none() {
                found.out_of_order = Some((seq, highest));
            }
            highest = highest.max(seq);
            if let Some(written) = row.sequence.filter(|written| *written != seq) {
                found.misnumbered.push(Misnumbered { written, actual: seq });
            }
        }
        for seq in 1..=tape.last() {
            match times.get(&seq) {
                None => found.missing.insert(SeqRange::one(seq)),
                Some(1) => {}
                Some(_) => found.doubled.insert(SeqRange::one(seq)),
            }
        }
        found
    }

    /// Returns whether the output has exactly the messages of the tape, in any order.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.doubled.is_empty() && self.is_right()
    }

    /// Returns whether each row of the output is a message of the tape under its own sequence.
    pub(crate) fn is_right(&self) -> bool {
        self.misnumbered.is_empty() && self.foreign.is_empty()
    }

    /// Describes all differences in one line.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {:.*}", RANGES, self.missing));
        }
        if !self.doubled.is_empty() {
            parts.push(format!("more than once {:.*}", RANGES, self.doubled));
        }
        if let Some(first) = self.misnumbered.first() {
            let Misnumbered { written, actual } = first;
            let mut text = format!("message {actual} has the sequence {written}");
            if self.misnumbered.len() > 1 {
                let _ = write!(text, " (and {} more)", self.misnumbered.len() - 1);
            }
            parts.push(text);
        }
        if let Some(first) = self.foreign.first() {
            let mut text = format!("not on the tape: {}", shown(first));
            if self.foreign.len() > 1 {
                let _ = write!(text, " (and {} more)", self.foreign.len() - 1);
            }
            parts.push(text);
        }
        if let Some((seq, before)) = self.out_of_order {
            parts.push(format!("out of order: {seq} after {before}"));
        }
        parts.join("; ")
    }
}

/// Returns the sequence on the tape of a row's content: the row's own if the content is there, or
/// else the lowest that no row has had yet.
fn place(tape: &FeedTape, row: &FeedRow, times: &BTreeMap<Seq, u32>) -> Option<Seq> {
    let places = tape.places(&row.content);
    let own = row.sequence.filter(|seq| places.contains(seq));
    let free = || places.iter().copied().find(|seq| !times.contains_key(seq));
    own.or_else(free).or_else(|| places.last().copied())
}

/// Returns a content as text: its length, and its first bytes in hex.
pub(crate) fn shown(content: &[u8]) -> String {
    if content.is_empty() {
        return "a message of 0 bytes".to_owned();
    }
    let hex: String = content.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let more = if content.len() > SHOWN { "…" } else { "" };
    format!("a message of {} bytes, {hex}{more}", content.len())
}
